/*
 * quicklist.h: a long list as a chain of listpacks.
 * Any thread that holds the object (see object.h). Elements are named by places, which a change of
 * the list makes stale unless it hands out a new one. Texts given in must not lie in the list.
 */
#pragma once

#include "shard/value/listpack.h"

struct quicklist_node {
    struct quicklist_node *previous;
    struct quicklist_node *next;
    struct listpack *listpack;
    /** Elements, so that looking for an index does not touch the listpacks it passes. */
    uint32_t count;
};

struct quicklist {
    struct object object;
    struct quicklist_node *first;
    struct quicklist_node *last;
    uint64_t count;
};

/** How large a node may become. */
struct quicklist_limits {
    uint64_t size_max;  /* bytes of its listpack */
    uint64_t count_max; /* elements */
};

/** An element. `node` NULL: none. */
struct quicklist_place {
    struct quicklist_node *node;
    uint32_t position; /* in its listpack */
};

extern const struct object_ops quicklist_ops;

/** From list-max-listpack-size: elements, or -1 to -5 for 4 to 64 KB. */
struct quicklist_limits quicklist_limits_of(int64_t max_listpack_size);

/* ---- life ---- */

/** Takes the listpack as its only node. */
struct quicklist *quicklist_new(struct listpack *listpack);
/** Takes the list, which has one node or none, and returns what it holds as a listpack. */
struct listpack *quicklist_unwrap(struct quicklist *quicklist);

/* ---- looking ---- */

/** By index below `count`, from the nearer end. */
struct quicklist_place quicklist_seek(const struct quicklist *quicklist, uint64_t index);

/* ---- changing ---- */

void quicklist_push_first(struct quicklist *quicklist, const struct quicklist_limits *limits,
                          struct slice text);
void quicklist_push_last(struct quicklist *quicklist, const struct quicklist_limits *limits,
                         struct slice text);
/** In front of the place. */
void quicklist_insert(struct quicklist *quicklist, const struct quicklist_limits *limits,
                      struct quicklist_place place, struct slice text);
void quicklist_replace(struct quicklist *quicklist, const struct quicklist_limits *limits,
                       struct quicklist_place place, struct slice text);
/** `count` elements from an index on; there are so many. */
void quicklist_remove(struct quicklist *quicklist, const struct quicklist_limits *limits,
                      uint64_t index, uint64_t count);
/** The same, but they become a list of their own, with no more work than to walk over its nodes. */
struct quicklist *quicklist_take(struct quicklist *quicklist, uint64_t index, uint64_t count);
/** Elements equal to a text, up to `count_max`, from the first or from the last one on. Returns how
 * many. */
uint64_t quicklist_remove_equal(struct quicklist *quicklist, const struct quicklist_limits *limits,
                                struct slice text, uint64_t count_max, bool is_backward);

/** The same for one listpack; *removed_count: how many. */
struct listpack *quicklist_listpack_remove_equal(struct listpack *listpack, struct slice text,
                                                 uint64_t count_max, bool is_backward,
                                                 uint64_t *removed_count);

/** Recount everything. For tests. */
bool quicklist_check(const struct quicklist *quicklist);
