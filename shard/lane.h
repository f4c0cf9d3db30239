/*
 * lane.h: the order within a connection. A lane is the part of a connection that its core keeps
 * about requests under way: replies leave in request order, and a request starts only when LOANS'
 * rules let it. Owner: the core that holds the connection.
 */
#pragma once

#include "core/list.h"
#include "net/output.h"

struct session;
struct shard;
struct transaction;
struct lane;
struct lane_item;

/** One reply that the connection still owes its client; embedded in whatever produces it. */
struct lane_item {
    struct lane_item *next;
    struct output *source; /* holds the reply when is_done ... */
    uint64_t reply_size;   /* ... its first bytes; LANE_REPLY_ALL: everything in it */
    uint64_t counted_size; /* of it in lane->waiting_size */
    bool is_done;
    bool is_muted; /* CLIENT REPLY OFF: the reply is dropped */
    void (*retire)(struct shard *shard, struct lane_item *item); /* the reply has been taken */
};

#define LANE_REPLY_ALL UINT64_MAX
/** Requests of one connection under way, at the most; then it stops reading. */
#define LANE_ITEMS_MAX 4096

struct lane_ops {
    /** A reason to wait is gone, or replies have arrived: look at the connection again this turn.
     */
    void (*resume)(struct lane *lane);
    /** Bytes that nobody asked for were written to lane_output(): have them sent. NULL: as
     * resume().
     */
    void (*pushed)(struct lane *lane);
    /** The last request of a lane whose connection had ended is home. */
    void (*ended)(struct lane *lane);
};

struct lane {
    struct session *session;
    struct shard *shard;
    const struct lane_ops *ops;
    struct output *output;   /* the connection's; NULL: it has ended, replies are dropped */
    struct lane_item *first; /* replies owed, in request order */
    struct lane_item *last;
    uint64_t waiting_size; /* bytes of replies that wait behind others, as far as counted */
    uint32_t single_count; /* singles sent to their owners and not yet answered */
    uint16_t single_owner; /* the shard that the last of them was sent to */
    bool has_mixed_owners; /* they were not all sent to that one */
    uint32_t item_count;
    uint32_t self_batch_count;  /* of those, batches to this very core (singles that had to wait) */
    uint32_t transaction_count; /* transactions whose RETURNs are not mailed yet */
    uint32_t barrier_count;     /* commands over all shards under way: nothing passes them */
    struct transaction *transaction_first; /* not yet executed, by ticket */
    struct transaction *transaction_last;
};

void lane_create(struct lane *lane, struct shard *shard, struct session *session,
                 struct output *output, const struct lane_ops *ops);

/** Where a reply that is known now is to be written: behind all that are still owed. */
struct output *lane_output(struct lane *lane);

/** Where a push is to be written: as a reply, but that it does not wait for a command that waits
 * for its keys. lane_pushed() follows. */
struct output *lane_push_output(struct lane *lane);

/** Owe a reply that comes later. */
void lane_push(struct lane *lane, struct lane_item *item);

/** The reply is there; it leaves with the next lane_emit() that finds it in front. */
void lane_item_done(struct lane *lane, struct lane_item *item);

/** Bytes of replies that are known but wait behind somebody else's. */
uint64_t lane_waiting_size(const struct lane *lane);

/** Items may be done: move what is next in order to the connection. */
void lane_emit(struct lane *lane);

/** A push was written to lane_output(). */
static inline void
lane_pushed(struct lane *lane)
{
    if (lane->ops->pushed != NULL) {
        lane->ops->pushed(lane);
    } else {
        lane->ops->resume(lane);
    }
}

/** Is any request under way? */
static inline bool
lane_is_idle(const struct lane *lane)
{
    return lane->first == NULL && lane->single_count == 0 && lane->transaction_count == 0;
}

/** The connection has ended: what is under way runs on, its replies are dropped. ops->ended()
 * follows, at once when the lane is idle. */
void lane_abandon(struct lane *lane);
