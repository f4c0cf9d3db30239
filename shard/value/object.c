#include "shard/value/object.h"

#include "shard/value/intset.h"
#include "shard/value/listpack.h"
#include "shard/value/packed.h"
#include "shard/value/quicklist.h"
#include "shard/value/ztree.h"

#include <string.h>

/*
 * object.c: the one place that knows all collections.
 * Whoever holds a collection without knowing what it is (deletion, copying, DBSIZE of it) asks here
 * by type and encoding; the structures know nothing of each other, and a new one adds its line.
 *
 * A table and not a method pointer in the object: eight bytes for each small hash are a tenth of
 * what its fields take.
 *
 * Rejected: collections in the core's own account from the start (a borrower on another core would
 * have to write the owner's counters, or copy what it edits).
 */

static const struct object_ops *const object_tables[][ENCODING_STREAM + 1] = {
    [VALUE_LIST] = {[ENCODING_LISTPACK] = &listpack_ops, [ENCODING_QUICKLIST] = &quicklist_ops},
    [VALUE_SET] = {[ENCODING_LISTPACK] = &listpack_ops,
                   [ENCODING_INTSET] = &intset_ops,
                   [ENCODING_HASHTABLE] = &packed_ops},
    [VALUE_ZSET] = {[ENCODING_LISTPACK] = &listpack_pair_ops, [ENCODING_SKIPLIST] = &ztree_ops},
    [VALUE_HASH] = {[ENCODING_LISTPACK] = &listpack_pair_ops, [ENCODING_HASHTABLE] = &packed_ops},
    [VALUE_STREAM] = {[ENCODING_STREAM] = NULL},
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
    uint64_t size = (*object)->size;
    if (object_ops(type, encoding)->free_steps(*object, step_count_max)) {
        *object = NULL;
        return true;
    }
    /* Else whoever calls in a loop would do so forever. */
    ASSERT((*object)->size < size);
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

void *
object_block_new(size_t block_size)
{
    size_t size = memory_class_size(block_size);
    struct object *object = heap_alloc(size);
    object->size = size;
    return object;
}

void *
object_block_resize(void *object, size_t used_size, size_t block_size)
{
    ASSERT(used_size <= block_size);
    if (memory_class_size(block_size) == object_size(object)) {
        return object;
    }
    struct object *fresh = object_block_new(block_size);
    size_t size = fresh->size;
    memcpy(fresh, object, used_size);
    fresh->size = size;
    heap_free(object);
    return fresh;
}
