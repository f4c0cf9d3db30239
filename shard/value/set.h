/*
 * set.h: a set in whichever form it has: intset, listpack or packed table.
 * Any thread that holds the object (see object.h). A change may move or convert the object: the
 * handle then says what it is now, and view_object_edit() has to be told.
 *
 * Members given out are good until the set changes, and their digits' buffer is used again. Members
 * given in must not lie in the set, but for set_remove().
 */
#pragma once

#include "core/random.h"
#include "core/slice.h"
#include "shard/value/packed.h"
#include "shard/value/value.h"

struct set {
    enum value_encoding encoding;
    void *object; /* NULL: no set yet; the first member added makes one */
};

/** Up to where a set stays small, and the seed of the tables that are made beyond. */
struct set_limits {
    uint64_t intset_count;
    uint64_t listpack_count;
    uint64_t listpack_member_size;
    uint64_t seed;
};

#define SET_DIGITS_SIZE 24

uint64_t set_count(const struct set *set);
bool set_contains(const struct set *set, struct slice member);
/** Each member equally likely; the set is not empty. */
struct slice set_random(const struct set *set, struct random *random, char digits[SET_DIGITS_SIZE]);

/** True: it was not there. */
bool set_add(struct set *set, const struct set_limits *limits, struct slice member);
/** True: it was there. A set that becomes empty stays one. */
bool set_remove(struct set *set, struct slice member);
/** Free all at once. */
void set_delete(struct set *set);

/** Over all members; a change of the set ends the walk. */
struct set_walk {
    struct set set;
    struct packed_walk packed;
    uint32_t position;
    char digits[SET_DIGITS_SIZE];
};

void set_walk_start(struct set_walk *walk, const struct set *set);
/** False: that was all. *member is good until the next call. */
bool set_next(struct set_walk *walk, struct slice *member);

typedef void set_visit_fn(void *context, struct slice member);

/** Visit a few members; positions as packed_scan() has them. Small sets are visited whole. */
uint64_t set_scan(const struct set *set, uint64_t position, set_visit_fn *visit, void *context);
