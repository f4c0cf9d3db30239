/*
 * clock.c: the machine's clocks.
 *
 * Three kinds, for three questions. Wall-clock time is what clients name in deadlines. The
 * monotonic clock is for timers and durations. Ticks are for durations behind every command, where
 * even the vDSO's 20 ns are too many: they are read by one instruction and turned into nanoseconds
 * when somebody asks.
 *
 * The scale is measured and not asked for: the kernel knows the tick rate but does not tell it
 * everywhere. Two pairs of (ticks, monotonic) a millisecond apart are off by the time between the
 * two reads of a pair, so each end takes the tightest of several reads: some 20 ns in 1 ms, which
 * is far better than any statistic needs.
 */
#include "core/clock.h"

#define CALIBRATION_NS 1000000
/** Tightest of so many: an interrupt spoils one read, not all. */
#define CALIBRATION_READ_COUNT 8

static uint64_t
clock_read_ns(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);
    ASSERT(rc == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t
clock_unix_us(void)
{
    return (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000);
}

int64_t
clock_unix_ms(void)
{
    return (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000000);
}

uint64_t
clock_monotonic_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_thread_cpu_ns(void)
{
    return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void
clock_local_time(int64_t unix_s, struct tm *out)
{
    time_t seconds = (time_t)unix_s;
    struct tm *result = localtime_r(&seconds, out);
    if (result == NULL) {
        /* A year beyond an int: nothing to print, but nothing to die for either. */
        *out = (struct tm){.tm_mday = 1, .tm_year = 70};
    }
}

struct clock_pair {
    uint64_t ticks;
    uint64_t ns;
};

static struct clock_pair
clock_pair_read(void)
{
    struct clock_pair best = {0};
    uint64_t gap_min = UINT64_MAX;
    for (int i = 0; i < CALIBRATION_READ_COUNT; i++) {
        uint64_t before = clock_ticks();
        uint64_t ns = clock_monotonic_ns();
        uint64_t after = clock_ticks();
        if (after - before < gap_min) {
            gap_min = after - before;
            best = (struct clock_pair){.ticks = before + (after - before) / 2, .ns = ns};
        }
    }
    return best;
}

void
clock_scale_create(struct clock_scale *scale)
{
    struct clock_pair first = clock_pair_read();
    while (clock_monotonic_ns() - first.ns < CALIBRATION_NS) {
    }
    struct clock_pair last = clock_pair_read();
    uint64_t ticks = last.ticks - first.ticks;
    ASSERT(ticks > 0);
    scale->ns_per_tick_q32 = (uint64_t)(((unsigned __int128)(last.ns - first.ns) << 32) / ticks);
    ASSERT(scale->ns_per_tick_q32 > 0);
}
