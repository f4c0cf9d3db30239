/*
 * intset.h: a small set of integers: a sorted array in one block, in Redis's own byte layout.
 * All integers take 2, 4 or 8 bytes, as the widest one ever added needs. A function that changes it
 * takes the set and returns what takes its place. Any thread that holds the object (see object.h).
 */
#pragma once

#include "core/random.h"
#include "core/slice.h"
#include "shard/value/object.h"

/** More integers than this do not fit into its count. */
#define INTSET_COUNT_MAX (UINT32_C(1) << 28)

struct intset {
    struct object_block block;
    /** From here on as DUMP and files carry it: bytes of an integer, how many there are, and the
     * integers, ascending, little-endian. */
    uint32_t width;
    uint32_t count;
    unsigned char data[];
};

extern const struct object_ops intset_ops;

struct intset *intset_new(void);
void intset_delete(struct intset *intset);
struct intset *intset_copy(const struct intset *intset);
/** A copy of bytes that intset_validate() accepts. */
struct intset *intset_from_bytes(struct slice bytes);

static inline uint32_t
intset_count(const struct intset *intset)
{
    return intset->count;
}

static inline struct slice
intset_bytes(const struct intset *intset)
{
    return slice_of(&intset->width, 2 * sizeof(uint32_t) + (size_t)intset->width * intset->count);
}

/** By rank, 0 the smallest. */
int64_t intset_get(const struct intset *intset, uint32_t index);
/** Is it there? *index (may be NULL) is where it is or would be. */
bool intset_find(const struct intset *intset, int64_t value, uint32_t *index);
static inline bool
intset_contains(const struct intset *intset, int64_t value)
{
    return intset_find(intset, value, NULL);
}
/** Each equally likely; the set is not empty. */
int64_t intset_random(const struct intset *intset, struct random *random);

/** *is_added: it was not there. */
struct intset *intset_add(struct intset *intset, int64_t value, bool *is_added);
/** *is_removed: it was there. */
struct intset *intset_remove(struct intset *intset, int64_t value, bool *is_removed);
/** Up to `count` integers from a rank on. */
struct intset *intset_remove_range(struct intset *intset, uint32_t index, uint32_t count);

/** Are these bytes, whoever made them, an intset through and through? */
bool intset_validate(struct slice bytes);
