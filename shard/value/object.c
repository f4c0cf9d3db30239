#include "shard/value/object.h"

#include "shard/value/image.h"
#include "shard/value/intset.h"
#include "shard/value/listpack.h"
#include "shard/value/packed.h"
#include "shard/value/quicklist.h"
#include "shard/value/stream.h"
#include "shard/value/ztree.h"

#include <string.h>

/*
 * object.c: the one place that knows all collections.
 * Whoever holds a collection without knowing what it is (deletion, copying, DBSIZE of it) asks here
 * by type and encoding; the structures know nothing of each other, and a new one adds its line.
 *
 * A table and not a method pointer in the object: eight bytes for each small hash are a tenth of
 * what its fields take. For the same reason what is one block has one byte for its size:
 *
 *     struct object        [s s s s s s s s]   a multiple of 8: the lowest bit of the first byte is
 * 0 struct object_block  [m]                 2 * class + 1: that bit is 1
 *
 * There are 16, 32, 48 and 64 bytes, and then 5, 6, 7 and 8 quarters of 64, of 128 and so on.
 *
 * Rejected: the size of a block from the allocator (a walk through its pages for each command, and
 * no other allocator could stand in for it); collections in the core's own account from the start
 * (a borrower on another core would have to write the owner's counters, or copy what it edits).
 */

static const struct object_ops *const object_tables[][ENCODING_STREAM + 1] = {
    [VALUE_LIST] = {[ENCODING_LISTPACK] = &listpack_ops, [ENCODING_QUICKLIST] = &quicklist_ops},
    [VALUE_SET] = {[ENCODING_LISTPACK] = &listpack_ops,
                   [ENCODING_INTSET] = &intset_ops,
                   [ENCODING_HASHTABLE] = &packed_ops},
    [VALUE_ZSET] = {[ENCODING_LISTPACK] = &listpack_pair_ops, [ENCODING_SKIPLIST] = &ztree_ops},
    [VALUE_HASH] = {[ENCODING_LISTPACK] = &listpack_pair_ops, [ENCODING_HASHTABLE] = &packed_ops},
    [VALUE_STREAM] = {[ENCODING_STREAM] = &stream_ops},
};

const struct object_ops *
object_ops(enum value_type type, enum value_encoding encoding)
{
    ASSERT((size_t)type < ARRAY_COUNT(object_tables));
    ASSERT((size_t)encoding < ARRAY_COUNT(object_tables[0]));
    const struct object_ops *ops = object_tables[type][encoding];
    ASSERT(ops != NULL);
    return ops;
}

size_t
object_count(enum value_type type, enum value_encoding encoding, const void *object)
{
    return object_ops(type, encoding)->count(object);
}

void *
object_copy(enum value_type type, enum value_encoding encoding, const void *object)
{
    return object_ops(type, encoding)->copy(object);
}

bool
object_free_steps(struct object **object, enum value_type type, enum value_encoding encoding,
                  uint32_t step_count_max)
{
    ASSERT(step_count_max > 0);
    struct image *image = object_image(*object);
    if (UNLIKELY(image != NULL)) {
        image_take(image, *object);
        *object = NULL;
        return true;
    }
    uint64_t size = object_size(*object);
    if (object_ops(type, encoding)->free_steps(*object, step_count_max)) {
        *object = NULL;
        return true;
    }
    /* Else whoever calls in a loop would do so forever. */
    ASSERT(object_size(*object) < size);
    return false;
}

void
object_delete(enum value_type type, enum value_encoding encoding, void *object)
{
    struct object *rest = object;
    if (rest == NULL) {
        return;
    }
    while (!object_free_steps(&rest, type, encoding, UINT32_MAX)) {
    }
}

void *
object_realloc(struct object *object, void *block, size_t old_size, size_t new_size)
{
#ifndef TESSERA_SYSTEM_MALLOC
    /* The system's allocator is there to catch overruns: blocks are as large as asked for. */
    if (block != NULL && memory_class_size(old_size) == memory_class_size(new_size)) {
        return block;
    }
#endif
    void *fresh = object_alloc(object, new_size);
    if (block != NULL) {
        memcpy(fresh, block, MIN(old_size, new_size));
        object_free(object, block, old_size);
    }
    return fresh;
}

void *
object_new(size_t type_size)
{
    ASSERT(type_size >= sizeof(struct object));
    struct object *object = heap_alloc(type_size);
    memset(object, 0, type_size);
    object->size = memory_class_size(type_size);
    return object;
}

/* ---- one block ---- */

static uint8_t
block_mark_of(size_t size)
{
    unsigned class;
    if (size <= 64) {
        class = size == 0 ? 0 : (unsigned)(size - 1) / 16;
    } else {
        /* The upper three bits of what is one less: 5 to 8 quarters of them, one class each. */
        unsigned shift = 61 - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
        class = 4 * (shift - 3) + (unsigned)((size - 1) >> shift & 3);
    }
    ASSERT(class <= UINT8_MAX / 2);
    return (uint8_t)(class << 1 | 1);
}

size_t
object_block_class_size(size_t size)
{
    return object_block_mark_size(block_mark_of(size));
}

void *
object_block_new(size_t block_size)
{
    ASSERT(block_size >= sizeof(struct object_block));
    uint8_t mark = block_mark_of(block_size);
    struct object_block *block = heap_alloc(object_block_mark_size(mark));
    block->mark = mark;
    return block;
}

void *
object_block_resize(void *object, size_t used_size, size_t block_size)
{
    struct object_block *block = object;
    ASSERT(used_size <= block_size);
    uint8_t mark = block_mark_of(block_size);
    if (mark == block->mark) {
        return object;
    }
    struct object_block *fresh = heap_alloc(object_block_mark_size(mark));
    memcpy(fresh, object, used_size);
    fresh->mark = mark;
    heap_free(object);
    return fresh;
}
