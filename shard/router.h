/*
 * router.h: from requests to the shards that execute them, and back.
 * One router for each shard; it is the coordinator for the requests of its own connections and the
 * owner for those of others. All functions are the owning core's thread's.
 */
#pragma once

#include "core/mailbox.h"
#include "shard/lane.h"
#include "shard/request.h"

struct router;
struct ring_buffer;
struct raw;

/** The closed set of what cores say to each other. */
enum mail_kind {
    MAIL_BATCH,      /* singles to their owner */
    MAIL_BATCH_HOME, /* the same batch with replies */
    MAIL_LOCK,       /* a transaction asks an owner for its keys */
    MAIL_GRANT,      /* the owner lends them */
    MAIL_GIVE_BACK,  /* the coordinator was wounded and returns them unused */
    MAIL_RETURN,     /* executed: what became of the keys */
    MAIL_DONE,       /* the owner has carried it into its keyspace */
    MAIL_WOUND,      /* the owner wants a grant back for an older transaction */
    MAIL_WOUND_HOME, /* the coordinator returns the wound's node */
    MAIL_PART,       /* one shard's part of a command over all of them */
    MAIL_PART_HOME,
    MAIL_UNPIN,   /* bytes of a stored value have been sent */
    MAIL_UNWATCH, /* a client watches no more keys of the shard */
    MAIL_STEP,    /* a part of an EXEC that has closed all shards */
    MAIL_STEP_HOME,
    MAIL_PUBLISH,      /* a message for sessions of the core */
    MAIL_UNSUBSCRIBE,  /* what a session that has ended was subscribed to */
    MAIL_BLOCK,        /* a command that may block, to the owner of its keys */
    MAIL_BLOCK_PARKED, /* it waits there */
    MAIL_BLOCK_CANCEL, /* the wait has ended elsewhere */
    MAIL_BLOCK_HOME,   /* a part of a wait is over */
    MAIL_TRACKING,     /* what shard/tracking.h says to itself on other cores */
    MAIL_RELEASE,      /* a transaction is on disk everywhere: its keys are free */
    MAIL_SNAPSHOT,     /* a shard's part of a snapshot is written; see shard/snapshot.h */
    MAIL_LOADER,       /* what shard/loader.h says to itself on other cores */
    MAIL_AOF,          /* what shard/persistence.h and the shards' logs say to each other */
    MAIL_CONNECTION,   /* an accepted connection for another core; not the router's */
    MAIL_LISTEN,       /* other listening sockets for a core; not the router's */
};

/** Rules that a test leaves out on purpose; no effect in release builds. */
enum router_fault {
    ROUTER_FAULT_NO_HOLD_BACK = 1 << 0, /* later singles pass one that waits at its owner */
    ROUTER_FAULT_NO_SINGLES_FIRST =
        1 << 1, /* transactions start before earlier singles are answered */
    ROUTER_FAULT_NO_RETURN_FIRST = 1 << 2, /* singles pass transactions of their connection */
    ROUTER_FAULT_NO_WATCH_MARKS = 1 << 3,  /* what comes home from a loan marks no watches */
    ROUTER_FAULT_EARLY_WATCH = 1 << 4,     /* EXEC asks for marks before its keys are locked */
    ROUTER_FAULT_EXEC_OPEN = 1 << 5,       /* EXEC's steps do not close the shards */
    ROUTER_FAULT_LATE_WAIT = 1 << 6,       /* waits are registered when the keys are unlocked */
    ROUTER_FAULT_NO_WAKE = 1 << 7,         /* RETURN does not serve those who wait */
    ROUTER_FAULT_OFFER_UNLOCKED = 1 << 8,  /* an offered key is not held for whom it is offered */
    ROUTER_FAULT_NEW_TICKET = 1 << 9,      /* who is woken queues behind all others */
    ROUTER_FAULT_EARLY_PUBLISH = 1 << 10,  /* PUBLISH passes what its connection asked elsewhere */
    ROUTER_FAULT_LATE_TRACKING = 1 << 11,  /* a loan's reads are tracked when the keys are free */
    ROUTER_FAULT_EARLY_PUSH = 1 << 12,     /* invalidations pass replies that are held back */
    ROUTER_FAULT_PARTS_FREE = 1 << 13,     /* keys are free before all owners have their parts */
};

struct router *router_new(struct shard *shard, struct exchange *exchange);
void router_delete(struct router *router);
void router_fault_set(struct router *router, uint32_t faults);

/** Fill in what routing needs: command, key, slot, owner. argv, argc, db, protocol and flags are
 * set. */
void router_resolve(struct shard *shard, struct request *request);
/** Bring what these resolved requests will look up in this shard into the cache, step by step over
 * all of them, so that their misses overlap. At most ROUTER_PREFETCH_MAX. */
#define ROUTER_PREFETCH_MAX 32
void router_prefetch(struct shard *shard, const struct request *requests, uint32_t count);

enum router_verdict {
    ROUTER_STARTED, /* it was executed, or is under way */
    ROUTER_STALLED, /* it may not start yet: give it again after lane_ops.resume() */
    ROUTER_FULL,    /* no room in a mailbox: give it again next turn */
};

/**
 * Start one resolved request of a lane. Its arguments lie in `buffer` (referenced as long as they
 * are needed) or elsewhere (then they are copied if needed later); large_raw is taken over when
 * started.
 */
enum router_verdict router_start(struct shard *shard, struct lane *lane, struct request *request,
                                 struct ring_buffer *buffer);

/** The lane has no more requests for now: send what was gathered. Before another lane starts any.
 */
void router_lane_end(struct shard *shard, struct lane *lane);

/** Mail for this shard; false: not a kind of the router's. */
bool router_receive(struct shard *shard, struct mail *mail);

/** Forwarded requests and transactions that this core waits for. */
uint32_t router_pending_count(const struct shard *shard);

/** Take back what the session watches at `owner`. */
void router_unwatch(struct shard *from, uint32_t owner, uint64_t session_id);

/** A pinned value of `owner` has been sent by `from`'s core. */
void router_unpin(struct shard *from, uint32_t owner, struct raw *raw);
