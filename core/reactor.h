/*
 * reactor.h: the loop of one core. It owns the order of a turn; what happens in each step is told
 * by its owner's table of functions.
 */
#pragma once

#include "core/clock.h"
#include "core/mailbox.h"
#include "core/ring.h"

struct reactor;

/** One turn's steps, in the order in which they are called. */
struct reactor_ops {
    /** The turn's clock has been read: reactor->now_ms, now_ns. */
    void (*begin)(void *owner);
    void (*mail)(void *owner, struct mail *mail);
    /** Run the commands of ready connections. True: more is ready, do not sleep. */
    bool (*run)(void *owner);
    /** Timers and expiry. True: behind time, do not sleep. */
    bool (*advance)(void *owner);
    /** What can wait, at most until now_ns passes `until_ns`. True: there is more. */
    bool (*background)(void *owner, uint64_t until_ns);
    /** Start the sends. Doorbells have been rung; they are once more if this posts mail. */
    void (*flush)(void *owner);
    /** Requests sent to other cores and not yet answered. */
    uint32_t (*pending_count)(void *owner);
    /** Requests executed so far, for whomever. */
    uint64_t (*work_count)(void *owner);
    /** When something is due next, by the wall clock; INT64_MAX: nothing. */
    int64_t (*next_ms)(void *owner);
};

struct reactor {
    uint32_t core;
    struct ring *ring;
    struct exchange *exchange;
    const struct reactor_ops *ops;
    void *owner;
    _Atomic bool is_stopping; /* set by any thread, which wakes the ring then */
    /** How long to look for mail before sleeping while other cores owe answers; 0: not at all. */
    uint64_t mail_poll_ns;
    /** Under a load of deep pipelines: how long to let input gather before a turn; 0: never. */
    uint64_t gather_max_ns;
    struct clock_scale clock_scale;
    /* ---- the load of the last millisecond ---- */
    uint64_t window_start_ns;
    uint64_t window_turn_count;
    uint64_t window_work_count;
    bool is_gathering;
    /* ---- the turn's ---- */
    int64_t now_ms;
    uint64_t now_ns;
    /* ---- counted ---- */
    uint64_t turn_count;
    uint64_t busy_ns;
    uint64_t idle_ns;
    uint64_t longest_turn_ns; /* CPU time of this thread */
};

/** The longest sleep: a lost wake-up, should there ever be one, costs no more. */
#define REACTOR_SLEEP_MAX_MS 1000
/** Mail taken in one turn, at the most. */
#define REACTOR_MAIL_MAX 1024
/** What background work may take of a turn. */
#define REACTOR_BACKGROUND_NS 200000

/** Run until is_stopping is set. The core's thread. */
void reactor_run(struct reactor *reactor);
