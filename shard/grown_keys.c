/*
 * grown_keys.c: an array of names and an open hash table over it.
 */
#include "shard/grown_keys.h"

#include "core/hash.h"
#include "core/heap.h"
#include "shard/call.h"

#define TABLE_SIZE_MIN 64

void
grown_keys_create(struct grown_keys *keys)
{
    *keys = (struct grown_keys){0};
}

void
grown_keys_destroy(struct grown_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        heap_free((void *)(uintptr_t)keys->names[i].data);
    }
    heap_free(keys->names);
    heap_free(keys->table);
    *keys = (struct grown_keys){0};
}

/** Where the name stands in the table, or the free place for it. */
static uint32_t
find_place(const struct grown_keys *keys, struct slice name)
{
    uint32_t mask = keys->table_size - 1;
    uint32_t place = (uint32_t)hash_bytes(name.data, name.size, 0) & mask;
    while (keys->table[place] != 0 && !slice_equal(keys->names[keys->table[place] - 1], name)) {
        place = (place + 1) & mask;
    }
    return place;
}

static void
table_grow(struct grown_keys *keys)
{
    keys->table_size = MAX(keys->table_size * 2, (uint32_t)TABLE_SIZE_MIN);
    heap_free(keys->table);
    keys->table = heap_alloc(keys->table_size * sizeof(*keys->table));
    memset(keys->table, 0, keys->table_size * sizeof(*keys->table));
    for (uint32_t i = 0; i < keys->count; i++) {
        keys->table[find_place(keys, keys->names[i])] = i + 1;
    }
}

uint32_t
grown_keys_index(struct grown_keys *keys, struct slice name)
{
    if (keys->count * 2 >= keys->table_size) {
        table_grow(keys);
    }
    uint32_t place = find_place(keys, name);
    if (keys->table[place] != 0) {
        return keys->table[place] - 1;
    }
    if (keys->count == keys->capacity) {
        keys->capacity = MAX(keys->capacity * 2, 16U);
        keys->names = heap_realloc(keys->names, keys->capacity * sizeof(*keys->names));
    }
    char *copy = heap_alloc(MAX(name.size, (size_t)1));
    if (name.size > 0) {
        memcpy(copy, name.data, name.size);
    }
    keys->names[keys->count] = slice_of(copy, name.size);
    keys->table[place] = ++keys->count;
    return keys->count - 1;
}

struct view *
call_key(struct call *call, struct slice key)
{
    struct grown_keys *keys = call->grown;
    ASSERT(keys != NULL);
    uint32_t index = grown_keys_index(keys, key);
    if (index < keys->ready_count) {
        return keys->views[index];
    }
    call->flags |= CALL_GROWS;
    return NULL;
}
