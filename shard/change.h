/*
 * change.h: who has to hear that a key of this shard is not what it was: those who WATCH it, those
 * who block on it, those who keep it in a client-side cache. Owner thread only.
 * A shard that nobody is interested in pays one comparison.
 */
#pragma once

#include "shard/shard.h"

/* Bits of shard->interest, set and cleared by the rooms that keep the tables. */
#define INTEREST_WATCH (1u << 0)    /* shard/watch.h */
#define INTEREST_BLOCK (1u << 1)    /* shard/block.h */
#define INTEREST_TRACKING (1u << 2) /* shard/tracking.h */
#define INTEREST_EVENTS (1u << 4)   /* events or messages wait to be published: notify_publish() */
#define INTEREST_READY (1u << 3)    /* a key that is waited for has changed: block_serve_ready() */

/** One key as it is after a change. */
struct change {
    struct slice key;
    uint64_t hash;
    uint16_t db;
    uint16_t slot;
    uint8_t type;        /* enum value_type; VALUE_NONE: it is gone */
    bool is_quiet;       /* for those who block on it alone */
    uint64_t session_id; /* whose command did it; 0: nobody's (expiry, eviction) */
};

/** change_key() when somebody is interested. */
void change_tell(struct shard *shard, const struct change *change);

/** A key was written, created or removed, or its deadline was changed; it is in its new state. */
static inline void
change_key(struct shard *shard, const struct change *change)
{
    if (UNLIKELY(shard->interest != 0)) {
        change_tell(shard, change);
    }
}

/** A database is about to be emptied. `db` UINT32_MAX: all of them. Each shard is told. */
void change_flush(struct shard *shard, uint32_t db);

/** Two databases have been exchanged. Each shard is told. */
void change_swap(struct shard *shard, uint32_t db_a, uint32_t db_b);
