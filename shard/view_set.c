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
#include "shard/multi.h"
#include "shard/shard.h"

#define LINEAR_COUNT_MAX 12
#define KEYS_ON_STACK 64

static bool
view_is_key(const struct view *view, struct slice key, uint64_t hash, uint16_t db)
{
    return view->hash == hash && view->db == db && slice_equal(view->key, key);
}

/** A view set in the making. */
struct builder {
    struct view_set *set;
    const struct shard *shard;
    uint32_t *table; /* maps hashes to indexes + 1; NULL: so few keys that they are compared */
    uint32_t table_mask;
    uint32_t next; /* place in set->declared */
};

/** Room for so many declared keys. */
static void
builder_create(struct builder *builder, struct view_set *set, const struct shard *shard,
               uint32_t declared_count)
{
    *builder = (struct builder){.set = set, .shard = shard};
    set->declared_count = declared_count;
    if (declared_count > VIEW_SET_INLINE_COUNT) {
        set->views = heap_alloc(declared_count * sizeof(*set->views));
        set->declared = heap_alloc(declared_count * sizeof(*set->declared));
    }
    if (declared_count > LINEAR_COUNT_MAX) {
        uint32_t size = 32;
        while (size < declared_count * 2) {
            size *= 2;
        }
        builder->table = heap_alloc(size * sizeof(*builder->table));
        memset(builder->table, 0, size * sizeof(*builder->table));
        builder->table_mask = size - 1;
    }
}

/** Where this key's view is, or set->count. */
static uint32_t
find_view(const struct builder *builder, struct slice key, uint64_t hash, uint16_t db)
{
    const struct view_set *set = builder->set;
    if (builder->table == NULL) {
        for (uint32_t i = 0; i < set->count; i++) {
            if (view_is_key(&set->views[i], key, hash, db)) {
                return i;
            }
        }
        return set->count;
    }
    uint32_t place = (uint32_t)hash & builder->table_mask;
    while (builder->table[place] != 0) {
        uint32_t index = builder->table[place] - 1;
        if (view_is_key(&set->views[index], key, hash, db)) {
            return index;
        }
        place = (place + 1) & builder->table_mask;
    }
    builder->table[place] = set->count + 1;
    return set->count;
}

static void
add_key(struct builder *builder, struct slice key, uint16_t db, uint16_t flags)
{
    struct view_set *set = builder->set;
    uint64_t hash = hash_bytes(key.data, key.size, builder->shard->keyspace.hash_seed);
    uint32_t index = find_view(builder, key, hash, db);
    ASSERT(builder->next < set->declared_count);
    set->declared[builder->next++] = index;
    set->is_exclusive |= (flags & VIEW_EXCLUSIVE) != 0;
    if (index < set->count) {
        struct view *view = &set->views[index];
        view->flags |= flags & VIEW_EXCLUSIVE;
        view->flags &= flags | (uint16_t)~VIEW_NO_TOUCH;
        return;
    }
    uint16_t slot = key_slot(key);
    uint16_t owner = builder->shard->node->slot_owner[slot];
    view_prepare(&set->views[index], key, hash, slot, owner, db, flags);
    if (set->count == 0) {
        set->owner = owner;
        set->is_one_owner = true;
    } else if (set->owner != owner) {
        set->is_one_owner = false;
    }
    set->count++;
}

static void
set_clear(struct view_set *set)
{
    set->count = 0;
    set->declared_count = 0;
    set->is_one_owner = false;
    set->is_exclusive = false;
    set->views = set->inline_views;
    set->declared = set->inline_declared;
}

/** The keys of one command line. `on_stack` has room for KEYS_ON_STACK of them; *keys is it, or
 * heap memory. Not positive: it names none as it should. */
static int64_t
find_keys(const struct shard *shard, const struct command *command, const struct slice *argv,
          uint32_t argc, uint16_t db, struct command_view *on_stack, struct command_view **keys)
{
    uint32_t database_count = shard->keyspace.database_count;
    *keys = on_stack;
    int64_t count = command_views(command, argv, argc, db, database_count, *keys, KEYS_ON_STACK);
    if (count > KEYS_ON_STACK) {
        *keys = heap_alloc((size_t)count * sizeof(**keys));
        count = command_views(command, argv, argc, db, database_count, *keys, (uint32_t)count);
    }
    return count;
}

static void
add_keys(struct builder *builder, const struct slice *argv, const struct command_view *keys,
         int64_t count, uint16_t no_touch)
{
    for (int64_t i = 0; i < count; i++) {
        bool is_exclusive = (keys[i].flags & (KEY_RW | KEY_OW | KEY_RM)) != 0;
        add_key(builder, argv[keys[i].index], keys[i].db,
                (is_exclusive ? VIEW_EXCLUSIVE : 0) | no_touch);
    }
}

bool
view_set_create_multi(struct view_set *set, const struct shard *shard, struct multi *multi,
                      uint32_t from, uint32_t to)
{
    set_clear(set);
    struct command_view on_stack[KEYS_ON_STACK];
    struct command_view *keys;
    uint32_t declared_count = 0;
    for (uint32_t i = from; i < to; i++) {
        struct multi_item *item = &multi->items[i];
        item->declared_index = declared_count;
        item->declared_count = 0;
        if (item->command->scope == SCOPE_KEYS) {
            int64_t count =
                find_keys(shard, item->command, item->argv, item->argc, item->db, on_stack, &keys);
            item->declared_count = count <= 0 ? 0 : (uint32_t)count;
            declared_count += item->declared_count;
            if (keys != on_stack) {
                heap_free(keys);
            }
        }
    }
    uint32_t watch_count = multi->watches == NULL ? 0 : multi->watches->count;
    if (declared_count + watch_count == 0) {
        return false;
    }
    struct builder builder;
    builder_create(&builder, set, shard, declared_count + watch_count);
    for (uint32_t i = from; i < to; i++) {
        const struct multi_item *item = &multi->items[i];
        if (item->declared_count > 0) {
            int64_t count =
                find_keys(shard, item->command, item->argv, item->argc, item->db, on_stack, &keys);
            add_keys(&builder, item->argv, keys, count,
                     (item->command->flags & CMD_NO_TOUCH) != 0 ? VIEW_NO_TOUCH : 0);
            if (keys != on_stack) {
                heap_free(keys);
            }
        }
    }
    for (uint32_t i = 0; i < watch_count; i++) {
        add_key(&builder, multi->watches->items[i].key, multi->watches->items[i].db, VIEW_NO_TOUCH);
    }
    heap_free(builder.table);
    return true;
}

bool
view_set_create(struct view_set *set, const struct shard *shard, const struct request *request)
{
    if (UNLIKELY(request->multi != NULL)) {
        return view_set_create_multi(set, shard, request->multi, 0, request->multi->count);
    }
    return view_set_create_grown(set, shard, request, NULL, 0);
}

bool
view_set_create_grown(struct view_set *set, const struct shard *shard,
                      const struct request *request, const struct slice *extra,
                      uint32_t extra_count)
{
    set_clear(set);
    struct command_view on_stack[KEYS_ON_STACK];
    struct command_view *keys;
    int64_t count = find_keys(shard, request->command, request->argv, request->argc, request->db,
                              on_stack, &keys);
    if (count > 0) {
        struct builder builder;
        builder_create(&builder, set, shard, (uint32_t)count + extra_count);
        add_keys(&builder, request->argv, keys, count, 0);
        for (uint32_t i = 0; i < extra_count; i++) {
            add_key(&builder, extra[i], request->db, VIEW_NO_TOUCH);
        }
        heap_free(builder.table);
    }
    if (keys != on_stack) {
        heap_free(keys);
    }
    return count > 0;
}

void
view_set_destroy(struct view_set *set)
{
    if (set->views != set->inline_views) {
        heap_free(set->views);
        heap_free(set->declared);
    }
}
