/*
 * packed.h: a hash table of members, or of members with values: large sets and hashes. A member may
 * have a deadline.
 * Any thread that holds the object (see object.h). Unlike a listpack it never moves, but for
 * packed_time(): other functions that change it return nothing to keep.
 *
 * Slices given out point into the table and are good until its next change. Slices given in may lie
 * in the table where a function says so.
 */
#pragma once

#include "core/random.h"
#include "core/slice.h"
#include "shard/value/object.h"

/** Scan positions are below 2^40. */
#define PACKED_POSITION_BITS 40

struct packed {
    struct object object;
    uint64_t count;
    /** Of the members' hash. */
    uint64_t seed;
    /** Pointers to buckets: one array, or a directory of such arrays: see packed.c. */
    void *root;
    uint32_t bucket_count;
    /** Pointers that there is room for. */
    uint32_t capacity;
    /** No bucket has ever held more members: for fair random choice. */
    uint32_t chain_max;
    bool has_values;
    /** It is a struct packed_timed: members may have deadlines. */
    bool is_timed;
};

/** A member that stays until it is removed. As an unsigned number it is behind all deadlines. */
#define PACKED_NO_DEADLINE INT64_C(-1)

/** A table that knows the deadlines of its members: packed_times.c. */
struct packed_timed {
    struct packed packed;
    /** The first deadline, as an unsigned number. */
    uint64_t first_ms;
    void *root;
    uint32_t height;
};

/** One member; `value` is empty in a table without values. */
struct packed_item {
    struct slice member;
    struct slice value;
    int64_t deadline_ms;
};

extern const struct object_ops packed_ops;

/* ---- life ---- */

/** Empty. Any seed will do; one that clients cannot guess keeps them from preparing collisions. */
struct packed *packed_new(uint64_t seed, bool has_values);
/** All at once; object_free_steps() for large ones. */
void packed_delete(struct packed *packed);
struct packed *packed_copy(const struct packed *packed);

/* ---- looking ---- */

static inline uint64_t
packed_count(const struct packed *packed)
{
    return packed->count;
}

/** Is the member there? *value (may be NULL) is what belongs to it. */
bool packed_find(const struct packed *packed, struct slice member, struct slice *value);

/** The same with the member's own bytes and its deadline. */
bool packed_find_item(const struct packed *packed, struct slice member, struct packed_item *item);

/** Bring in what packed_find() will read first. */
void packed_prefetch(const struct packed *packed, struct slice member);

/** Any member, each equally likely; the table is not empty. */
struct packed_item packed_random(const struct packed *packed, struct random *random);

/* ---- changing ---- */

/** Add a member that may be there already: then nothing changes, and the answer is false. */
bool packed_insert(struct packed *packed, struct slice member, struct slice value);

/** Add a member, or give it another value; its deadline is gone. True: it was not there. `value`
 * must not lie in the table. */
bool packed_set(struct packed *packed, struct slice member, struct slice value);

/** True: it was there. `member` may lie in the table, and is gone with it. */
bool packed_remove(struct packed *packed, struct slice member);

/* ---- deadlines ---- */

/** Make it a table whose members can have deadlines, at another address, unless it is one. O(1). */
struct packed *packed_time(struct packed *packed);

/** packed_set() with a deadline, or PACKED_NO_DEADLINE. Only for a timed table with values. */
bool packed_set_timed(struct packed *packed, struct slice member, struct slice value,
                      int64_t deadline_ms);

/** Another deadline, or none, for a member of a timed table. False: there is no such member. */
bool packed_deadline_set(struct packed *packed, struct slice member, int64_t deadline_ms);

/** The first deadline of all members; PACKED_NO_DEADLINE: there is none. */
static inline int64_t
packed_first_ms(const struct packed *packed)
{
    return packed->is_timed ? (int64_t)((const struct packed_timed *)packed)->first_ms
                            : PACKED_NO_DEADLINE;
}

static inline bool
packed_is_due(int64_t deadline_ms, int64_t now_ms)
{
    return (uint64_t)deadline_ms <= (uint64_t)now_ms;
}

/** Members at most that packed_expire() removes at once. */
#define PACKED_EXPIRE_MAX 16

typedef void packed_expire_fn(void *context, const struct packed_item *items, uint32_t count);

/**
 * Remove some members whose deadline is not after `now_ms`: one bucket's, PACKED_EXPIRE_MAX at
 * most. `expire` (may be NULL) sees them before. Returns how many they were; 0: none is due.
 */
uint32_t packed_expire(struct packed *packed, int64_t now_ms, packed_expire_fn *expire,
                       void *context);

/* ---- walking ---- */

/** Over all members, in no order; a change of the table ends the walk. */
struct packed_walk {
    const struct packed *packed;
    uint32_t bucket_index;
    uint32_t item_index;
    uint32_t item_offset;
};

static inline struct packed_walk
packed_walk(const struct packed *packed)
{
    return (struct packed_walk){.packed = packed};
}

/** False: that was all. */
bool packed_next(struct packed_walk *walk, struct packed_item *item);

typedef void packed_visit_fn(void *context, const struct packed_item *item);

/**
 * Visit one bucket; `position` is 0 at first and then what the last call returned; 0 again when all
 * is done. Whatever is in the table from the first call to the last is visited at least once,
 * however much the table grows or shrinks in between. `visit` must not change the table.
 */
uint64_t packed_scan(const struct packed *packed, uint64_t position, packed_visit_fn *visit,
                     void *context);

/** Visit the members of one bucket, from one of them on. Returns how many the bucket has. */
uint32_t packed_bucket_visit(const struct packed *packed, uint32_t index, uint32_t from,
                             packed_visit_fn *visit, void *context);

/** Recount everything: is each member where its hash says, do the sums agree? O(n). */
bool packed_check(const struct packed *packed);
