/* clock_test.c: the real clocks against the C library and against each other. */
#include "core/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(clock, unix_time_is_the_systems)
{
    int64_t before_s = (int64_t)time(NULL);
    int64_t us = clock_unix_us();
    int64_t ms = clock_unix_ms();
    int64_t after_s = (int64_t)time(NULL);
    /* time() may lag the precise clock by a tick. */
    cr_assert_geq(us, before_s * 1000000);
    cr_assert_leq(us, (after_s + 2) * 1000000);
    cr_assert_geq(ms, us / 1000);
    cr_assert_leq(ms, (after_s + 2) * 1000);
}

Test(clock, monotonic_and_cpu_time_go_forward)
{
    uint64_t cpu_ns = clock_thread_cpu_ns();
    uint64_t ns = clock_monotonic_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now_ns = clock_monotonic_ns();
        cr_assert_geq(now_ns, ns);
        ns = now_ns;
    }
    cr_assert_gt(clock_thread_cpu_ns(), cpu_ns);
}

Test(clock, ticks_scale_to_nanoseconds)
{
    uint64_t start_ns = clock_thread_cpu_ns();
    struct clock_scale scale;
    clock_scale_create(&scale);
    /* CPU time: another process may take the core away. */
    cr_assert_leq(clock_thread_cpu_ns() - start_ns, 2000000);
    uint64_t first_ticks = clock_ticks();
    uint64_t first_ns = clock_monotonic_ns();
    while (clock_monotonic_ns() - first_ns < 5000000) {
    }
    uint64_t ticks_ns = clock_ticks_to_ns(&scale, clock_ticks() - first_ticks);
    uint64_t outer_ns = clock_monotonic_ns() - first_ns;
    cr_assert_geq(ticks_ns, 4900000);
    /* The ticks were read first and may have been preempted before the clock was. */
    cr_assert_leq(ticks_ns, outer_ns + outer_ns / 50 + 50000000);
}

Test(clock, big_differences_do_not_overflow)
{
    struct clock_scale scale = {.ns_per_tick_q32 = UINT64_C(1) << 31};
    cr_assert_eq(clock_ticks_to_ns(&scale, 10), 5);
    cr_assert_eq(clock_ticks_to_ns(&scale, UINT64_C(1) << 62), UINT64_C(1) << 61);
}

Test(clock, local_time_follows_the_zone)
{
    cr_assert_eq(setenv("TZ", "XYZ-2", 1), 0);
    tzset();
    struct tm tm;
    clock_local_time(86400 * 365 + 3600, &tm);
    cr_assert_eq(tm.tm_year, 71);
    cr_assert_eq(tm.tm_mon, 0);
    cr_assert_eq(tm.tm_mday, 1);
    cr_assert_eq(tm.tm_hour, 3);
    clock_local_time(INT64_MAX, &tm);
    cr_assert_eq(tm.tm_year, 70);
}
