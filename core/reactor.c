/*
 * reactor.c: one turn after the other.
 *
 *     wait ─▶ completions ─▶ mail ─▶ ready connections ─▶ time ─▶ background ─▶ doorbells ─▶ flush
 * ─▶ wait
 *
 * A turn reads the clock once; all its commands see the same time. It sleeps only when nothing is
 * ready, overdue or in the mailboxes; while other cores owe it answers it looks for mail for some
 * microseconds first, since an answer usually comes sooner than a sleeper wakes.
 */
#include "core/reactor.h"

/** Turns shorter than this cannot have used 1 ms of CPU time: theirs is not asked for. */
#define TURN_LONG_NS 200000

/** The load is looked at so often. */
#define WINDOW_NS 1000000
/** In a window: turns that make it worth while, and requests in each of them. */
#define GATHER_TURNS_MIN 16
#define GATHER_WORK_MIN 8

static void
receive_mail(void *context, struct mail *mail)
{
    struct reactor *reactor = context;
    reactor->ops->mail(reactor->owner, mail);
}

/** Look for mail for a while. True: some has come. */
static bool
poll_mail(struct reactor *reactor)
{
    uint64_t start = clock_ticks();
    for (;;) {
        for (int i = 0; i < 32; i++) {
            if (mail_is_waiting(reactor->exchange, reactor->core)) {
                return true;
            }
            cpu_relax();
        }
        if (clock_ticks_to_ns(&reactor->clock_scale, clock_ticks() - start) >
            reactor->mail_poll_ns) {
            return false;
        }
    }
}

static uint64_t
sleep_ns(struct reactor *reactor)
{
    int64_t next_ms = reactor->ops->next_ms(reactor->owner);
    int64_t wait_ms = REACTOR_SLEEP_MAX_MS;
    if (next_ms != INT64_MAX) {
        wait_ms = next_ms - clock_unix_ms();
    }
    wait_ms = MAX(MIN(wait_ms, REACTOR_SLEEP_MAX_MS), 0);
    return (uint64_t)wait_ms * 1000000;
}

/**
 * A core that is faster than its clients wakes up for each of them: with deep pipelines a wake-up,
 * a receive and a send for every batch are most of what it does. When many short turns follow each
 * other, each with a pipeline of work, input is left to gather for some microseconds, so that a
 * turn serves several connections. Requests that come alone are never put off: they are what
 * latency is measured by.
 */
static void
watch_load(struct reactor *reactor)
{
    uint64_t passed_ns = reactor->now_ns - reactor->window_start_ns;
    if (passed_ns < WINDOW_NS) {
        return;
    }
    uint64_t work_count = reactor->ops->work_count(reactor->owner);
    uint64_t turns = reactor->turn_count - reactor->window_turn_count;
    uint64_t work = work_count - reactor->window_work_count;
    reactor->is_gathering =
        passed_ns < 2 * WINDOW_NS && turns >= GATHER_TURNS_MIN && work >= turns * GATHER_WORK_MIN;
    reactor->window_start_ns = reactor->now_ns;
    reactor->window_turn_count = reactor->turn_count;
    reactor->window_work_count = work_count;
}

/** Wait for the world or for other cores. */
static void
reactor_wait(struct reactor *reactor, bool has_more)
{
    if (has_more || reactor->is_stopping) {
        ring_wait(reactor->ring, 0);
        return;
    }
    if (reactor->mail_poll_ns > 0 && reactor->ops->pending_count(reactor->owner) > 0) {
        ring_submit(reactor->ring);
        if (poll_mail(reactor)) {
            ring_wait(reactor->ring, 0);
            return;
        }
    }
    if (reactor->is_gathering && reactor->gather_max_ns > 0 &&
        reactor->ops->pending_count(reactor->owner) == 0) {
        ring_gather(reactor->ring, reactor->gather_max_ns);
    }
    uint64_t timeout_ns = sleep_ns(reactor);
    if (timeout_ns == 0 || !mail_park(reactor->exchange, reactor->core)) {
        ring_wait(reactor->ring, 0);
        return;
    }
    ring_wait(reactor->ring, timeout_ns);
    mail_unpark(reactor->exchange, reactor->core);
}

static bool
reactor_turn(struct reactor *reactor)
{
    const struct reactor_ops *ops = reactor->ops;
    void *owner = reactor->owner;
    reactor->now_ms = clock_unix_ms();
    reactor->now_ns = clock_monotonic_ns();
    reactor->turn_count++;
    watch_load(reactor);
    ops->begin(owner);
    bool has_more = mail_receive(reactor->exchange, reactor->core, REACTOR_MAIL_MAX, receive_mail,
                                 reactor) == REACTOR_MAIL_MAX;
    has_more |= ops->run(owner);
    has_more |= ops->advance(owner);
    has_more |= ops->background(owner, reactor->now_ns + REACTOR_BACKGROUND_NS);
    /* Doorbells first: what a client does when it has its reply must not overtake the mail. */
    mail_flush(reactor->exchange, reactor->core);
    ops->flush(owner);
    mail_flush(reactor->exchange, reactor->core);
    return has_more || mail_is_waiting(reactor->exchange, reactor->core);
}

void
reactor_run(struct reactor *reactor)
{
    clock_scale_create(&reactor->clock_scale);
    bool has_more = false;
    uint64_t before = clock_ticks();
    while (!reactor->is_stopping) {
        reactor_wait(reactor, has_more);
        uint64_t start = clock_ticks();
        reactor->idle_ns += clock_ticks_to_ns(&reactor->clock_scale, start - before);
        uint64_t cpu_start = clock_thread_cpu_ns();
        has_more = reactor_turn(reactor);
        before = clock_ticks();
        uint64_t turn_ns = clock_ticks_to_ns(&reactor->clock_scale, before - start);
        reactor->busy_ns += turn_ns;
        if (UNLIKELY(turn_ns > TURN_LONG_NS)) {
            uint64_t cpu_ns = clock_thread_cpu_ns() - cpu_start;
            reactor->longest_turn_ns = MAX(reactor->longest_turn_ns, cpu_ns);
        }
    }
}
