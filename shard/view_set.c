/*
 * view_set.c: from arguments to views.
 * A key that is named twice gets one view, in the stronger mode: otherwise a command would wait for
 * itself, and its second look at the key would miss what its first one changed. Few keys are
 * compared one by one; many go through a small table, so that an MSET of 100,000 pairs stays
 * linear.
 */
#include "shard/view_set.h"

#include "core/hash.h"
#include "core/heap.h"
#include "shard/shard.h"

#define LINEAR_COUNT_MAX 12
#define KEYS_ON_STACK 64

static bool
view_is_key(const struct view *view, struct slice key, uint64_t hash, uint16_t db)
{
    return view->hash == hash && view->db == db && slice_equal(view->key, key);
}

/** Where this key's view is, or set->count. `table` maps hashes to indexes + 1. */
static uint32_t
find_view(const struct view_set *set, struct slice key, uint64_t hash, uint16_t db, uint32_t *table,
          uint32_t table_mask)
{
    if (table == NULL) {
        for (uint32_t i = 0; i < set->count; i++) {
            if (view_is_key(&set->views[i], key, hash, db)) {
                return i;
            }
        }
        return set->count;
    }
    uint32_t place = (uint32_t)hash & table_mask;
    while (table[place] != 0) {
        uint32_t index = table[place] - 1;
        if (view_is_key(&set->views[index], key, hash, db)) {
            return index;
        }
        place = (place + 1) & table_mask;
    }
    table[place] = set->count + 1;
    return set->count;
}

static void
add_keys(struct view_set *set, const struct shard *shard, const struct request *request,
         const struct command_view *keys)
{
    uint32_t table_mask = 0;
    uint32_t *table = NULL;
    if (set->declared_count > LINEAR_COUNT_MAX) {
        uint32_t size = 32;
        while (size < set->declared_count * 2) {
            size *= 2;
        }
        table = heap_alloc(size * sizeof(*table));
        memset(table, 0, size * sizeof(*table));
        table_mask = size - 1;
    }
    for (uint32_t i = 0; i < set->declared_count; i++) {
        struct slice key = request->argv[keys[i].index];
        uint64_t hash = hash_bytes(key.data, key.size, shard->keyspace.hash_seed);
        bool is_exclusive = (keys[i].flags & (KEY_RW | KEY_OW | KEY_RM)) != 0;
        uint16_t flags = is_exclusive ? VIEW_EXCLUSIVE : 0;
        uint32_t index = find_view(set, key, hash, keys[i].db, table, table_mask);
        set->declared[i] = index;
        set->is_exclusive |= is_exclusive;
        if (index < set->count) {
            set->views[index].flags |= flags;
            continue;
        }
        uint16_t slot = key_slot(key);
        uint16_t owner = shard->node->slot_owner[slot];
        view_prepare(&set->views[index], key, hash, slot, owner, keys[i].db, flags);
        if (set->count == 0) {
            set->owner = owner;
            set->is_one_owner = true;
        } else if (set->owner != owner) {
            set->is_one_owner = false;
        }
        set->count++;
    }
    heap_free(table);
}

bool
view_set_create(struct view_set *set, const struct shard *shard, const struct request *request)
{
    set->count = 0;
    set->declared_count = 0;
    set->is_one_owner = false;
    set->is_exclusive = false;
    set->views = set->inline_views;
    set->declared = set->inline_declared;
    struct command_view on_stack[KEYS_ON_STACK];
    struct command_view *keys = on_stack;
    uint32_t database_count = shard->keyspace.database_count;
    int64_t count = command_views(request->command, request->argv, request->argc, request->db,
                                  database_count, keys, KEYS_ON_STACK);
    if (count <= 0) {
        return false;
    }
    if (count > KEYS_ON_STACK) {
        keys = heap_alloc((size_t)count * sizeof(*keys));
        count = command_views(request->command, request->argv, request->argc, request->db,
                              database_count, keys, (uint32_t)count);
    }
    if (count > VIEW_SET_INLINE_COUNT) {
        set->views = heap_alloc((size_t)count * sizeof(*set->views));
        set->declared = heap_alloc((size_t)count * sizeof(*set->declared));
    }
    set->declared_count = (uint32_t)count;
    add_keys(set, shard, request, keys);
    if (keys != on_stack) {
        heap_free(keys);
    }
    return true;
}

void
view_set_destroy(struct view_set *set)
{
    if (set->views != set->inline_views) {
        heap_free(set->views);
        heap_free(set->declared);
    }
}
