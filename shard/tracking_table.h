/*
 * tracking_table.h: which sessions keep which keys of one shard in caches of their own.
 * Names without a database, each with a set of sessions. Owner thread only; bounded work for each
 * call, whatever the table's size.
 */
#pragma once

#include "core/random.h"
#include "core/slice.h"

/* A tracker is a session and the core that holds its connection, in one word. */

#define TRACKER_CORE_BITS 10

static inline uint64_t
tracker_of(uint64_t session_id, uint32_t core)
{
    return session_id << TRACKER_CORE_BITS | core;
}

static inline uint64_t
tracker_session_id(uint64_t tracker)
{
    return tracker >> TRACKER_CORE_BITS;
}

static inline uint32_t
tracker_core(uint64_t tracker)
{
    return (uint32_t)(tracker & ((1U << TRACKER_CORE_BITS) - 1));
}

/** A name with its trackers, in ascending order. */
struct tracked_key {
    struct tracked_key *next; /* in its bucket */
    uint64_t hash;
    uint32_t size;
    uint32_t tracker_count;
    uint32_t tracker_capacity; /* 1: `one`; else `many` */
    union {
        uint64_t one;
        uint64_t *many;
    };
    char bytes[];
};

struct tracking_table {
    struct tracked_key ***segments;
    uint32_t segment_capacity;
    uint64_t bucket_count;
    uint64_t key_count;
    uint64_t item_count; /* trackers of all keys */
};

void tracking_table_create(struct tracking_table *table);
void tracking_table_destroy(struct tracking_table *table);

static inline const uint64_t *
tracked_key_trackers(const struct tracked_key *key)
{
    return key->tracker_capacity == 1 ? &key->one : key->many;
}

static inline struct slice
tracked_key_name(const struct tracked_key *key)
{
    return slice_of(key->bytes, key->size);
}

/** The session reads the key. Twice is once. The bytes are copied. */
void tracking_table_add(struct tracking_table *table, struct slice key, uint64_t hash,
                        uint64_t tracker);

/** Take the key out of the table: the caller's, for tracked_key_delete(). NULL: nobody has it. */
MUST_CHECK struct tracked_key *tracking_table_take(struct tracking_table *table, struct slice key,
                                                   uint64_t hash);
/** The same for any key, each about as likely; NULL: the table is empty. */
MUST_CHECK struct tracked_key *tracking_table_take_random(struct tracking_table *table,
                                                          struct random *random);
void tracked_key_delete(struct tracked_key *key);

/** Free at most `count` keys of a table that is used for nothing else any more. True: it is empty
 * and holds no memory. */
bool tracking_table_drain(struct tracking_table *table, uint32_t count);
