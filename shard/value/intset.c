#include "shard/value/intset.h"

#include <assert.h>
#include <string.h>

/*
 * intset.c: integers in ascending order, all in the width of the widest.
 *
 *     [mark] | [width 2, 4 or 8] [count] [i0][i1][i2] ...
 *              ^ intset_bytes()
 *
 * A lookup is a binary search in one block; adding moves the tail. The first integer that needs
 * more room widens all: it lies outside the range of the others, so it goes to one of the ends.
 * Width never shrinks, as in Redis: bytes stay comparable.
 *
 * The block is always a whole size class, and what it has beyond the integers is slack: so its
 * mark tells the capacity, and a growing set moves four times for each doubling.
 *
 * Invariant: strictly ascending; every integer fits `width`; intset_bytes() lies in the block.
 */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout is read as it lies");

#define INTSET_HEADER_SIZE (2 * sizeof(uint32_t))

static uint32_t
width_of(int64_t value)
{
    if (value >= INT16_MIN && value <= INT16_MAX) {
        return 2;
    }
    return value >= INT32_MIN && value <= INT32_MAX ? 4 : 8;
}

static int64_t
load(const unsigned char *data, uint32_t width, uint32_t index)
{
    int16_t narrow;
    int32_t middle;
    int64_t wide;
    switch (width) {
    case 2:
        memcpy(&narrow, data + (size_t)index * 2, sizeof(narrow));
        return narrow;
    case 4:
        memcpy(&middle, data + (size_t)index * 4, sizeof(middle));
        return middle;
    default:
        memcpy(&wide, data + (size_t)index * 8, sizeof(wide));
        return wide;
    }
}

static void
store(struct intset *intset, uint32_t index, int64_t value)
{
    /* Little-endian: the low bytes come first. */
    memcpy(intset->data + (size_t)index * intset->width, &value, intset->width);
}

static size_t
used_size(const struct intset *intset)
{
    return sizeof(struct intset) + (size_t)intset->width * intset->count;
}

static struct intset *
grow(struct intset *intset, uint32_t width, uint32_t count)
{
    return object_block_grow(intset, used_size(intset),
                             sizeof(struct intset) + (size_t)width * count);
}

struct intset *
intset_new(void)
{
    struct intset *intset = object_block_new(sizeof(struct intset));
    intset->width = 2;
    intset->count = 0;
    return intset;
}

void
intset_delete(struct intset *intset)
{
    heap_free(intset);
}

struct intset *
intset_copy(const struct intset *intset)
{
    return intset_from_bytes(intset_bytes(intset));
}

struct intset *
intset_from_bytes(struct slice bytes)
{
    ASSERT(bytes.size >= INTSET_HEADER_SIZE);
    struct intset *intset = object_block_new(offsetof(struct intset, width) + bytes.size);
    memcpy((char *)intset + offsetof(struct intset, width), bytes.data, bytes.size);
    ASSERT_SLOW(intset_validate(intset_bytes(intset)));
    return intset;
}

int64_t
intset_get(const struct intset *intset, uint32_t index)
{
    ASSERT(index < intset->count);
    return load(intset->data, intset->width, index);
}

bool
intset_find(const struct intset *intset, int64_t value, uint32_t *index)
{
    uint32_t low = 0;
    uint32_t high = intset->count;
    if (high > 0 && value > load(intset->data, intset->width, high - 1)) {
        /* Sets are often filled in ascending order. */
        low = high;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (load(intset->data, intset->width, middle) < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (index != NULL) {
        *index = low;
    }
    return low < intset->count && load(intset->data, intset->width, low) == value;
}

int64_t
intset_random(const struct intset *intset, struct random *random)
{
    ASSERT(intset->count > 0);
    return load(intset->data, intset->width, (uint32_t)random_below(random, intset->count));
}

/** All integers in a larger width, and `value`, which needs it, at the end where it belongs. */
static struct intset *
widen_and_add(struct intset *intset, int64_t value)
{
    uint32_t old_width = intset->width;
    uint32_t count = intset->count;
    uint32_t width = width_of(value);
    intset = grow(intset, width, count + 1);
    intset->width = width;
    uint32_t shift = value < 0 ? 1 : 0;
    /* From the last on, so that nothing is overwritten before it is read. */
    for (uint32_t i = count; i-- > 0;) {
        store(intset, i + shift, load(intset->data, old_width, i));
    }
    store(intset, value < 0 ? 0 : count, value);
    intset->count++;
    return intset;
}

struct intset *
intset_add(struct intset *intset, int64_t value, bool *is_added)
{
    ASSERT(intset->count < INTSET_COUNT_MAX);
    *is_added = true;
    if (width_of(value) > intset->width) {
        return widen_and_add(intset, value);
    }
    uint32_t index;
    if (intset_find(intset, value, &index)) {
        *is_added = false;
        return intset;
    }
    size_t width = intset->width;
    intset = grow(intset, intset->width, intset->count + 1);
    memmove(intset->data + width * (index + 1), intset->data + width * index,
            width * (intset->count - index));
    store(intset, index, value);
    intset->count++;
    return intset;
}

struct intset *
intset_remove_range(struct intset *intset, uint32_t index, uint32_t count)
{
    if (index >= intset->count) {
        return intset;
    }
    count = MIN(count, intset->count - index);
    size_t width = intset->width;
    memmove(intset->data + width * index, intset->data + width * (index + count),
            width * (intset->count - index - count));
    intset->count -= count;
    return object_block_shrink(intset, used_size(intset));
}

struct intset *
intset_remove(struct intset *intset, int64_t value, bool *is_removed)
{
    uint32_t index;
    *is_removed = intset_find(intset, value, &index);
    return *is_removed ? intset_remove_range(intset, index, 1) : intset;
}

bool
intset_validate(struct slice bytes)
{
    uint32_t width;
    uint32_t count;
    if (bytes.size < INTSET_HEADER_SIZE) {
        return false;
    }
    memcpy(&width, bytes.data, sizeof(width));
    memcpy(&count, bytes.data + sizeof(width), sizeof(count));
    if ((width != 2 && width != 4 && width != 8) || count > INTSET_COUNT_MAX ||
        bytes.size != INTSET_HEADER_SIZE + (size_t)width * count) {
        return false;
    }
    const unsigned char *data = (const unsigned char *)bytes.data + INTSET_HEADER_SIZE;
    for (uint32_t i = 1; i < count; i++) {
        if (load(data, width, i - 1) >= load(data, width, i)) {
            return false;
        }
    }
    return true;
}

/* ---- as an object ---- */

static size_t
object_count_integers(const void *object)
{
    return ((const struct intset *)object)->count;
}

static void *
object_copy_intset(const void *object)
{
    return intset_copy(object);
}

static bool
object_free_intset(void *object, uint32_t step_count_max)
{
    (void)step_count_max;
    intset_delete(object);
    return true;
}

const struct object_ops intset_ops = {
    .count = object_count_integers,
    .copy = object_copy_intset,
    .free_steps = object_free_intset,
};
