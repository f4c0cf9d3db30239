/*
 * ztree.h: a large sorted set: (score, member) in order, ranks, and the score of a member.
 * Any thread that holds the object (see object.h). Scores are never NaN; 0 and -0 are the same
 * place in the order, and the one that came is kept. Slices given in may lie anywhere but in the
 * tree that is changed; slices given out are good until its next change.
 *
 * Ranges are intervals of ranks: both ends are found in O(log n), their difference is the count,
 * and ztree_at() is where to begin:
 *
 *     uint64_t from = ztree_rank_of_score(tree, 10, false);
 *     uint64_t to = ztree_rank_of_score(tree, 20, true);
 *     struct ztree_place place = ztree_at(tree, from);
 *     for (; from < to; from++, place = ztree_next(tree, place)) {
 *         struct ztree_item item = ztree_get(tree, place);
 *     }
 */
#pragma once

#include "core/random.h"
#include "core/slice.h"
#include "shard/value/object.h"

struct ztree;

#define ZTREE_NONE UINT32_MAX

/** Where an element lies, until the next change. `leaf` is ZTREE_NONE: nowhere. */
struct ztree_place {
    uint32_t leaf;
    uint32_t index;
};

struct ztree_item {
    double score;
    struct slice member;
};

enum ztree_put {
    ZTREE_ADDED,
    ZTREE_MOVED, /* the member has another score now */
    ZTREE_SAME,
};

extern const struct object_ops ztree_ops;

/** Empty. `seed` keeps clients from choosing colliding members; cursors hold for one seed. */
struct ztree *ztree_new(uint64_t seed);
void ztree_delete(struct ztree *tree);
struct ztree *ztree_copy(const struct ztree *tree);
/** As object_ops says. */
bool ztree_free_steps(struct ztree *tree, uint32_t step_count_max);

uint64_t ztree_count(const struct ztree *tree);

/** False: no such member. `score` may be NULL. */
bool ztree_find(const struct ztree *tree, struct slice member, double *score);
/** False: no such member. *rank is how many come before it; `score` may be NULL. */
bool ztree_rank(const struct ztree *tree, struct slice member, uint64_t *rank, double *score);

enum ztree_put ztree_put(struct ztree *tree, struct slice member, double score);
/** False: no such member. */
bool ztree_remove(struct ztree *tree, struct slice member);
/** Remove the elements with ranks from `from` up to, not including, `to`. */
void ztree_remove_ranks(struct ztree *tree, uint64_t from, uint64_t to);

/** How many have a lower score (is_after: or the same). Infinities are allowed. */
uint64_t ztree_rank_of_score(const struct ztree *tree, double score, bool is_after);
/** How many members are lower in byte order (is_after: or the same). All scores are the same. */
uint64_t ztree_rank_of_member(const struct ztree *tree, struct slice member, bool is_after);

/** The element with this rank; from count on: nowhere. */
struct ztree_place ztree_at(const struct ztree *tree, uint64_t rank);
struct ztree_place ztree_next(const struct ztree *tree, struct ztree_place place);
struct ztree_place ztree_previous(const struct ztree *tree, struct ztree_place place);
struct ztree_item ztree_get(const struct ztree *tree, struct ztree_place place);

/** For who goes leaf by leaf: elements of a leaf, the leaf in front of it or ZTREE_NONE, and a
 * number that all leaves' are below. */
uint32_t ztree_leaf_count(const struct ztree *tree, uint32_t leaf);
uint32_t ztree_leaf_previous(const struct ztree *tree, uint32_t leaf);
uint32_t ztree_id_count(const struct ztree *tree);

typedef void ztree_leaf_fn(void *context, uint32_t leaf);

/** Visit the leaves behind one, without a look into them. */
void ztree_leaves_behind(const struct ztree *tree, uint32_t leaf, ztree_leaf_fn *visit,
                         void *context);

typedef void ztree_scan_fn(void *context, struct ztree_item item);

/**
 * Hand over a few elements, from a cursor on, and return the next cursor: 0 at the end, to begin
 * with 0. Cursors stay below 2^48. What is there from the first call to the last is handed over at
 * least once, whatever else is added, moved and removed between the calls.
 */
uint64_t ztree_scan(const struct ztree *tree, uint64_t cursor, ztree_scan_fn *scan, void *context);

/** Everything that must hold, looked at element by element: for tests. */
bool ztree_is_valid(const struct ztree *tree);
