/*
 * worker.h: one core at work: its ring, reactor, listeners, clients and shard, on one thread.
 */
#pragma once

#include "core/reactor.h"
#include "core/topology.h"
#include "net/listener.h"
#include "shard/client.h"
#include "shard/shard.h"

/** Where a core listens from now on, sent to it when that changes. The sender makes it; the core
 * closes what it does not use, and frees it. */
struct worker_listen {
    struct mail mail;
    uint32_t count;
    struct worker_listen_place {
        uint32_t id; /* of the endpoint */
        int fd;      /* its new socket; -1: the one that the core has */
    } places[];
};

struct worker;

/** What main gives to all workers; constant while they run. */
struct worker_setup {
    struct node *node;
    struct exchange *exchange;
    struct worker *workers; /* by core */
    struct shard_seed seed;
    bool is_pinned;
    bool is_oversubscribed;
    struct ring_faults *faults; /* of all rings, for tests; NULL: none */
    /** Ends the process in order: told by any worker, carried out by main. Any thread. */
    void (*stop)(void *context, uint32_t flags);
    void *stop_context;
    /** Bring other parts of the process up to date with a new configuration (log, listeners).
     * `caller`'s thread, all shards closed. 0 or -errno with the error text. */
    int (*config_apply)(void *context, struct worker *caller, const struct config *old,
                        const struct config *now, char *error, size_t error_size);
};

struct worker {
    struct shard shard;
    struct reactor reactor;
    uint64_t counted_turn_count; /* of the reactor's, in the counters already */
    uint64_t counted_busy_ns;
    uint64_t counted_idle_ns;
    struct client_room room;
    const struct worker_setup *setup;
    struct ring *ring;
    struct list listeners;
    int64_t next_tick_ms;
    bool is_paused; /* CLIENT PAUSE was in force in the last turn */
    /** Connections given to this core and not yet ended: added to by whoever accepts, taken off
     * here. */
    alignas(CACHE_LINE_SIZE) _Atomic uint32_t connection_count;
};

/** Make the core's ring and shard, on the thread that will run it. 0 or -errno. */
MUST_CHECK int worker_create(struct worker *worker, const struct worker_setup *setup,
                             uint32_t index, const struct config *config, int32_t cpu);
/** Take connections from this descriptor, which the worker owns from now on. `id` is the
 * endpoint's; 0 for the Unix socket. Before worker_run(). */
void worker_listen(struct worker *worker, uint32_t id, int fd, bool is_unix);
/** Have core `to` listen on TCP where `listen` says and nowhere else; connections stay. `worker`'s
 * thread; mail that it posts to `to` afterwards comes after the change. */
void worker_listen_change(struct worker *worker, uint32_t to, struct worker_listen *listen);
/** Serve until told to stop. */
void worker_run(struct worker *worker);

/* The end, on the worker's thread, when worker_run() has returned. All workers take each step
 * before any takes the next: close, settle until nobody had anything to do any more, destroy. */

/** Take no more connections and close all; requests under way run on. */
void worker_close(struct worker *worker);
/** Handle the mail that is still under way. Returns how much work there was. */
uint32_t worker_settle(struct worker *worker);
/** Like worker_settle(), and what was answered only when it is in the log goes on: until all cores
 * return 0 there are requests under way, whose changes the log has to have. */
uint32_t worker_end_requests(struct worker *worker);

/** Write what is left of the log, give up a snapshot; mail may be needed for it. Again and again,
 * until it returns 0 on all workers. */
uint32_t worker_end_files(struct worker *worker);
void worker_destroy(struct worker *worker);
