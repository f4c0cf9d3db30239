/*
 * object.h: what all collections have in common: one heap object that knows its own byte count.
 *
 * Every structure that a key may hold besides a string begins with `struct object`, or, where it is
 * one block and nothing else, with `struct object_block`; object_size() reads both. All blocks
 * come from object_alloc() or object_block_new() (core/heap.h below them), never from a core's
 * `struct memory`: so whoever holds the key exclusively, its owner or a borrower on another core,
 * grows, shrinks, converts and frees it where he runs, and the owner settles the difference of
 * object_size() when the view is committed. Nothing in here is shared: one thread at a time, and
 * readers only while it is read.
 *
 * A command on collections needs this page, the structure's header and shard/view.h. LPUSH on short
 * lists, whole:
 *
 *     struct view *view = call->views[0];
 *     if (!view_check_type(call, view, VALUE_LIST)) {
 *         return;
 *     }
 *     struct listpack *listpack = view_exists(view) ? view_object(view) : listpack_new(0);
 *     for (uint32_t i = 2; i < call->argc; i++) {
 *         listpack = listpack_prepend(listpack, call->argv[i]);
 *     }
 *     view_object_edit(call, view, VALUE_LIST, ENCODING_LISTPACK, listpack);
 *     call_effect_same(call, view);
 *     reply_i64(call->reply, listpack_count(listpack));
 *
 * and the end of LPOP, where nothing may stay behind that is empty:
 *
 *     if (listpack_count(listpack) == 0) {
 *         view_delete(call, view);
 *     } else {
 *         view_object_edit(call, view, VALUE_LIST, ENCODING_LISTPACK, listpack);
 *     }
 *
 * (view_delete() frees the object as the view knows it: where an edit may have moved it, tell the
 * view first, view_object_edit() and then view_delete().) A conversion makes the new structure,
 * frees the old one and tells view_object_edit() the new encoding. A *STORE command builds its
 * result and calls view_object_set(), which frees what the key held.
 */
#pragma once

#include "core/heap.h"
#include "core/memory.h"
#include "shard/value/value.h"

#include <assert.h>

struct image;

/** The first member of every collection of more than one block. */
struct object {
    /** All bytes that it takes: the sum of memory_class_size() of its blocks, this one included.
     * A multiple of 8, which is what tells it from a `struct object_block`. */
    uint64_t size;
    /** NULL, but while somebody writes what the collection was while it changes: image.h. */
    struct image *image;
};

/** The first member of every collection of one block. The block is as large as this says: what its
 * structure does not use is room. */
struct object_block {
    /** Twice the number of the block's size class, and 1. */
    uint8_t mark;
};
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a mark lies on a size's lowest byte");

/** What a structure can do for those who do not know it. Its table is defined in its own file and
 * named in object.c. */
struct object_ops {
    /** Elements as LLEN, HLEN, SCARD, ZCARD, XLEN count them. */
    size_t (*count)(const void *object);
    /** A deep copy, which nothing shares with the original. */
    void *(*copy)(const void *object);
    /**
     * Free some `step_count_max` (> 0) blocks, taking them off `size`; the object is of no other
     * use from the first call on. True: all is freed, the object itself too.
     */
    bool (*free_steps)(void *object, uint32_t step_count_max);
};

/** Of a collection that exists here; asserts that it does. */
const struct object_ops *object_ops(enum value_type type, enum value_encoding encoding);

/**
 * What a block with this mark takes. The classes are 16, 32, 48 and 64 bytes, then four for each
 * doubling: up to 128 KiB they are those of memory_class_size(). Beyond they go on like this, so
 * that a block that grows moves four times for each doubling at any size.
 */
static inline size_t
object_block_mark_size(uint8_t mark)
{
    unsigned class = mark >> 1;
    if (class < 4) {
        return (size_t)16 * (class + 1);
    }
    return (size_t)(5 + (class & 3)) << (3 + (class >> 2));
}

/** Of a collection of one block. */
static inline size_t
object_block_size(const void *object)
{
    return object_block_mark_size(((const struct object_block *)object)->mark);
}

/** All bytes that a collection takes beside its key, of either kind. */
static inline size_t
object_size(const void *object)
{
    if ((((const struct object_block *)object)->mark & 1) != 0) {
        return object_block_size(object);
    }
    return ((const struct object *)object)->size;
}

/** Elements. */
size_t object_count(enum value_type type, enum value_encoding encoding, const void *object);

/** A deep copy with no owner yet. */
void *object_copy(enum value_type type, enum value_encoding encoding, const void *object);

/** Free a part, `step_count_max` blocks or so. True: it is all gone and *object is NULL; else the
 * rest is to be freed by more calls. One that has an image is the image's from now on. */
bool object_free_steps(struct object **object, enum value_type type, enum value_encoding encoding,
                       uint32_t step_count_max);

/** Free all at once. NULL is nothing to free. */
void object_delete(enum value_type type, enum value_encoding encoding, void *object);

/* ---- for the structures ---- */

/** A block of a collection; it is counted in `object`. */
static inline void *
object_alloc(struct object *object, size_t size)
{
    object->size += memory_class_size(size);
    return heap_alloc(size);
}

/** `size` is what was asked for. NULL is allowed. */
static inline void
object_free(struct object *object, void *block, size_t size)
{
    if (block != NULL) {
        object->size -= memory_class_size(size);
        heap_free(block);
    }
}

/** Contents up to the smaller size are kept. NULL with size 0 allocates. */
void *object_realloc(struct object *object, void *block, size_t old_size, size_t new_size);

/** The block that holds `struct object` itself (`type_size` bytes, zero but for the size). */
void *object_new(size_t type_size);

/* Collections of one block: they begin with `struct object_block`. */

/** What a block takes that holds `size` bytes: the next class. */
size_t object_block_class_size(size_t size);

/** A block for at least `block_size` bytes, which has its mark and nothing else yet. */
void *object_block_new(size_t block_size);
/** The same with other contents' size; the first `used_size` bytes are kept. */
void *object_block_resize(void *object, size_t used_size, size_t block_size);

/** At least `block_size` bytes. Each class is about a fifth larger than the last one, so that
 * growing in a loop costs amortised O(1). */
static inline void *
object_block_grow(void *object, size_t used_size, size_t block_size)
{
    if (LIKELY(block_size <= object_block_size(object))) {
        return object;
    }
    return object_block_resize(object, used_size, block_size);
}

/** Of a block that holds `block_size` bytes give back the rest, once that is more than half. */
static inline void *
object_block_shrink(void *object, size_t block_size)
{
    /* A class is less than a quarter larger than what it is for. */
    if (LIKELY(block_size > object_block_size(object) / 2)) {
        return object;
    }
    return object_block_resize(object, block_size, block_size);
}

/* ---- for the owner ---- */

/** A collection is in, or out of, this core's account, or has changed its size. Owner thread. */
static inline void
object_charge(struct memory *memory, int64_t size_delta)
{
    memory->used_size += (uint64_t)size_delta;
    memory->peak_size = MAX(memory->peak_size, memory->used_size);
}
