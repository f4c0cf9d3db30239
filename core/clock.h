/*
 * clock.h: what time it is. The only room that reads clocks; everybody else is told the time.
 * Any thread may call these. The simulator links its own clock.c in place of the real one.
 */
#pragma once

#include "core/base.h"

#include <time.h>

/** Turns ticks into nanoseconds. Fixed after clock_scale_create(), then any thread may read it. */
struct clock_scale {
    /** Nanoseconds for each tick, times 2^32. */
    uint64_t ns_per_tick_q32;
};

/** Wall-clock time since 1970; it may jump. For deadlines that clients name and for TIME. */
int64_t clock_unix_us(void);
int64_t clock_unix_ms(void);

/** Never goes back; its zero means nothing. */
uint64_t clock_monotonic_ns(void);

/** CPU time that the calling thread has used. */
uint64_t clock_thread_cpu_ns(void);

/** Broken-down time in the machine's zone; not for turns, it may look at the zone file. */
void clock_local_time(int64_t unix_s, struct tm *out);

/**
 * The CPU's own steady counter: some 10 ns a read or less. Only differences mean something, and
 * only through a clock_scale. May be reordered with its neighbours by some tens of instructions.
 */
static inline uint64_t
clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return clock_monotonic_ns();
#endif
}

/** Calibrates ticks against the monotonic clock; busy for at most 2 ms of a core's time. */
void clock_scale_create(struct clock_scale *scale);

/** A difference of ticks in nanoseconds. */
static inline uint64_t
clock_ticks_to_ns(const struct clock_scale *scale, uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * scale->ns_per_tick_q32) >> 32);
}
