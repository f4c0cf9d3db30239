/*
 * zset.h: a sorted set in whichever form it has: listpack or tree.
 * Any thread that holds the object (see object.h). A change may move or convert the object: the
 * handle then says what it is now, and view_object_edit() has to be told.
 *
 * The order is by score, then by the bytes of the member. Ranges are intervals of ranks, from 0 on.
 * Scores are never NaN. Members given out are good until the set changes, and their digits' buffer
 * is used again. Members given in must not lie in the set.
 */
#pragma once

#include "core/slice.h"
#include "shard/value/listpack.h"
#include "shard/value/ztree.h"

struct zset {
    enum value_encoding encoding; /* LISTPACK or SKIPLIST, which is the tree */
    void *object;                 /* NULL: no set yet; the first member added makes one */
};

/** Up to where a sorted set stays small, and the seed of the trees that are made beyond. */
struct zset_limits {
    uint64_t listpack_count;
    uint64_t listpack_member_size;
    uint64_t seed;
};

uint64_t zset_count(const struct zset *zset);
/** False: no such member. `score` may be NULL. */
bool zset_find(const struct zset *zset, struct slice member, double *score);
/** False: no such member. *rank: how many come before it; `score` may be NULL. */
bool zset_rank(const struct zset *zset, struct slice member, uint64_t *rank, double *score);

enum ztree_put zset_put(struct zset *zset, const struct zset_limits *limits, struct slice member,
                        double score);
/** True: it was there. A set that becomes empty stays one. */
bool zset_remove(struct zset *zset, struct slice member);
/** Remove the ranks from `from` up to, not including, `to`. */
void zset_remove_ranks(struct zset *zset, uint64_t from, uint64_t to);
/** Free all at once; an object of NULL is nothing. */
void zset_delete(struct zset *zset);
/** A tree that fits the limits becomes a listpack. */
void zset_compact(struct zset *zset, const struct zset_limits *limits);

/** How many have a lower score (is_after: or the same). */
uint64_t zset_rank_of_score(const struct zset *zset, double score, bool is_after);
/** How many members are lower in byte order (is_after: or the same). All scores are the same. */
uint64_t zset_rank_of_member(const struct zset *zset, struct slice member, bool is_after);

/** From an element on, in either direction; a change of the set ends the walk. */
struct zset_walk {
    const struct listpack *listpack;
    const struct ztree *tree;
    struct ztree_place place;
    uint32_t position;
    bool is_backward;
    char digits[LISTPACK_DIGITS_SIZE];
};

/** The first one is that with this rank. */
void zset_walk_start(struct zset_walk *walk, const struct zset *zset, uint64_t rank,
                     bool is_backward);
/** False: that was all. The member is good until the next call. */
bool zset_next(struct zset_walk *walk, struct ztree_item *item);

/** A score as ZSCAN spells it: as it is stored. `out` has room for NUMBER_DOUBLE_SIZE_MAX bytes;
 * returns how many were written. */
size_t zset_score_text(const struct zset *zset, double score, char *out);

/** Visit a few elements; cursors as ztree_scan() has them. Small sets are visited whole. */
uint64_t zset_scan(const struct zset *zset, uint64_t cursor, ztree_scan_fn *visit, void *context);
