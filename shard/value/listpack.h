/*
 * listpack.h: a short sequence of strings and integers in one block, in Redis's own byte layout.
 * A function that changes it takes the listpack and returns what takes its place. Any thread that
 * holds the object (see object.h).
 *
 * Elements are named by positions: byte offsets, which a change before or at them makes stale. 0
 * (LISTPACK_NONE) is no element: what the first one's predecessor and the last one's successor is.
 *
 *     for (uint32_t at = listpack_first(lp); at != LISTPACK_NONE; at = listpack_next(lp, at)) {
 *         char digits[LISTPACK_DIGITS_SIZE];
 *         struct slice text = listpack_text(lp, at, digits);
 *     }
 *
 * Strings that are integers in canonical spelling are stored as integers. Slices given in may lie
 * anywhere but in the listpack that is changed. Slices given out are good until the next change.
 */
#pragma once

#include "core/slice.h"
#include "shard/value/object.h"

#define LISTPACK_NONE 0U
/** Room for the digits of any integer. */
#define LISTPACK_DIGITS_SIZE 24
/** No listpack grows beyond: listpack_fits() says whether it would. */
#define LISTPACK_SIZE_MAX (UINT64_C(1) << 30)
/** Total bytes and count in front, the end mark behind. */
#define LISTPACK_SIZE_EMPTY 7

struct listpack {
    struct object_block block;
    /** [u32 total bytes][u16 count, 65535: unknown][elements ...][0xFF], little-endian. What DUMP
     * and files carry. */
    unsigned char bytes[];
};

/** An element as it is stored. */
struct listpack_item {
    bool is_integer;
    int64_t integer;
    /** Where it is no integer. */
    struct slice bytes;
};

extern const struct object_ops listpack_ops;
/** For hashes and sorted sets: two elements count one. */
extern const struct object_ops listpack_pair_ops;

/* ---- life ---- */

/** Empty, with room for so many bytes of elements. */
struct listpack *listpack_new(size_t room_size);
void listpack_delete(struct listpack *listpack);
struct listpack *listpack_copy(const struct listpack *listpack);
/** A copy of bytes that listpack_validate() accepts. */
struct listpack *listpack_from_bytes(struct slice bytes);
/** Give back slack. */
struct listpack *listpack_trim(struct listpack *listpack);
/** Room for `added_size` more bytes, so that the next changes do not move it. */
struct listpack *listpack_reserve(struct listpack *listpack, size_t added_size);

/* ---- looking ---- */

/** Bytes of the listpack itself: header, elements and end. */
static inline uint32_t
listpack_size(const struct listpack *listpack)
{
    uint32_t size;
    memcpy(&size, listpack->bytes, sizeof(size));
    return size;
}

static inline struct slice
listpack_bytes(const struct listpack *listpack)
{
    return slice_of(listpack->bytes, listpack_size(listpack));
}

/** Elements. O(1) below 65,535, above a walk. */
uint32_t listpack_count(const struct listpack *listpack);

static inline bool
listpack_is_empty(const struct listpack *listpack)
{
    return listpack_size(listpack) == LISTPACK_SIZE_EMPTY;
}

uint32_t listpack_first(const struct listpack *listpack);
uint32_t listpack_last(const struct listpack *listpack);
uint32_t listpack_next(const struct listpack *listpack, uint32_t position);
uint32_t listpack_previous(const struct listpack *listpack, uint32_t position);
/** By index, -1 the last; from the nearer end. LISTPACK_NONE outside. */
uint32_t listpack_seek(const struct listpack *listpack, int64_t index);

struct listpack_item listpack_get(const struct listpack *listpack, uint32_t position);
/** The element as text; an integer's digits are written into `digits`. */
struct slice listpack_text(const struct listpack *listpack, uint32_t position,
                           char digits[LISTPACK_DIGITS_SIZE]);
/** Bytes of the element as text. */
uint32_t listpack_text_size(const struct listpack *listpack, uint32_t position);
/** False: it is no integer. */
bool listpack_integer(const struct listpack *listpack, uint32_t position, int64_t *value);
bool listpack_equal(const struct listpack *listpack, uint32_t position, struct slice text);

/**
 * The first element at or behind `position` that equals `text`, or LISTPACK_NONE. After each
 * comparison `skip_count` elements are passed over: 1 finds fields among fields and values.
 */
uint32_t listpack_find(const struct listpack *listpack, uint32_t position, struct slice text,
                       uint32_t skip_count);

/** Bytes that such an element takes in a listpack, so that limits can be checked before. */
size_t listpack_item_size(struct slice text);
/** Does the listpack stay within LISTPACK_SIZE_MAX with these bytes more? */
static inline bool
listpack_fits(const struct listpack *listpack, size_t added_size)
{
    return listpack_size(listpack) + (uint64_t)added_size <= LISTPACK_SIZE_MAX;
}

/* ---- changing ---- */

struct listpack *listpack_append(struct listpack *listpack, struct slice text);
struct listpack *listpack_append_integer(struct listpack *listpack, int64_t value);
struct listpack *listpack_prepend(struct listpack *listpack, struct slice text);
/** In front of the element at `*position` (LISTPACK_NONE: at the end); *position is the new one's.
 */
struct listpack *listpack_insert(struct listpack *listpack, uint32_t *position, struct slice text);
struct listpack *listpack_insert_integer(struct listpack *listpack, uint32_t *position,
                                         int64_t value);
/** Behind the element at `*position`; *position is the new one's. */
struct listpack *listpack_insert_after(struct listpack *listpack, uint32_t *position,
                                       struct slice text);
/** The element stays at `position`. */
struct listpack *listpack_replace(struct listpack *listpack, uint32_t position, struct slice text);
struct listpack *listpack_replace_integer(struct listpack *listpack, uint32_t position,
                                          int64_t value);
/** Up to `count` elements from `*position` on; *position is what followed them, or LISTPACK_NONE.
 */
struct listpack *listpack_remove(struct listpack *listpack, uint32_t *position, uint32_t count);
/** Up to `count` elements from an index on, -1 the last. Outside: nothing. */
struct listpack *listpack_remove_range(struct listpack *listpack, int64_t index, uint32_t count);
/** Append elements of another listpack, byte for byte: up to `count` from `position` on. */
struct listpack *listpack_append_from(struct listpack *listpack, const struct listpack *from,
                                      uint32_t position, uint32_t count);

/* ---- foreign bytes ---- */

/** Are these bytes, whoever made them, a listpack through and through? *count: its elements. */
bool listpack_validate(struct slice bytes, uint32_t *count);
