/*
 * multi.c: queued commands and their arguments.
 * A transaction of usual size is one allocation: the queue with room for a dozen commands and their
 * arguments; what is more goes to further blocks.
 *
 *     | items 0..11 | slices, bytes, slices, bytes ...  |──▶ [ block ] ──▶ [ block ]
 *
 * Arguments are copied since the receive buffer that they came in is wanted by others: a client may
 * take its time between MULTI and EXEC.
 */
#include "shard/multi.h"

#include "core/hash.h"
#include "core/heap.h"
#include "core/number.h"
#include "shard/execute.h"
#include "shard/router.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/value/raw.h"
#include "shard/watch.h"

#define MULTI_BLOCK_SIZE 8192

struct multi_block {
    struct multi_block *next;
    size_t size;
    size_t used_size;
    _Alignas(16) char bytes[];
};

struct multi *
multi_new(void)
{
    struct multi *multi = heap_alloc(sizeof(*multi));
    memset(multi, 0, offsetof(struct multi, inline_items));
    multi->items = multi->inline_items;
    multi->capacity = MULTI_INLINE_ITEMS;
    return multi;
}

void
multi_delete(struct shard *shard, struct multi *multi)
{
    if (multi == NULL) {
        return;
    }
    for (uint32_t i = 0; i < multi->count; i++) {
        if (multi->items[i].large_raw != NULL) {
            large_raw_drop(shard, multi->items[i].large_raw);
        }
    }
    while (multi->blocks != NULL) {
        struct multi_block *block = multi->blocks;
        multi->blocks = block->next;
        heap_free(block);
    }
    if (multi->items != multi->inline_items) {
        heap_free(multi->items);
    }
    multi_watches_delete(multi->watches);
    heap_free(multi);
}

/** Room that stays where it is. */
static void *
multi_alloc(struct multi *multi, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (size <= MULTI_INLINE_BYTES - multi->size) {
        void *memory = multi->bytes + multi->size;
        multi->size += (uint32_t)size;
        return memory;
    }
    struct multi_block *block = multi->blocks;
    if (block == NULL || block->size - block->used_size < size) {
        size_t block_size = MAX(size, (size_t)MULTI_BLOCK_SIZE);
        block = heap_alloc(sizeof(*block) + block_size);
        block->next = multi->blocks;
        block->size = block_size;
        block->used_size = 0;
        multi->blocks = block;
    }
    void *memory = block->bytes + block->used_size;
    block->used_size += size;
    return memory;
}

void
multi_add(struct multi *multi, const struct request *request)
{
    if (multi->count == multi->capacity) {
        multi->capacity *= 2;
        size_t size = multi->capacity * sizeof(*multi->items);
        if (multi->items == multi->inline_items) {
            multi->items = heap_alloc(size);
            memcpy(multi->items, multi->inline_items, sizeof(multi->inline_items));
        } else {
            multi->items = heap_realloc(multi->items, size);
        }
    }
    const struct raw *large = request->large_raw;
    size_t byte_count = 0;
    for (uint32_t i = 0; i < request->argc; i++) {
        bool is_large = large != NULL && request->argv[i].data == large->data;
        byte_count += is_large ? 0 : request->argv[i].size;
    }
    struct slice *argv = multi_alloc(multi, request->argc * sizeof(*argv) + byte_count);
    char *end = (char *)(argv + request->argc);
    for (uint32_t i = 0; i < request->argc; i++) {
        argv[i] = request->argv[i];
        if ((large != NULL && argv[i].data == large->data) || argv[i].size == 0) {
            continue;
        }
        memcpy(end, argv[i].data, argv[i].size);
        argv[i].data = end;
        end += argv[i].size;
    }
    multi->items[multi->count++] = (struct multi_item){.command = request->command,
                                                       .argv = argv,
                                                       .argc = request->argc,
                                                       .large_raw = request->large_raw};
    multi->memory_size += request->argc * sizeof(*argv) + byte_count;
    multi->command_flags |= request->command->flags;
    multi->has_unloadable |= (request->command->flags & CMD_LOADING) == 0;
    enum command_scope scope = request->command->scope;
    multi->has_local |= scope == SCOPE_LOCAL;
    bool grows =
        request->command->grows != NULL && request->command->grows(request->argv, request->argc);
    multi->has_whole |= grows || scope == SCOPE_ALL || scope == SCOPE_CLOSED || scope == SCOPE_WALK;
}

void
multi_plan(struct multi *multi, uint16_t db, uint32_t database_count)
{
    for (uint32_t i = 0; i < multi->count; i++) {
        struct multi_item *item = &multi->items[i];
        item->db = db;
        int64_t selected;
        /* What SELECT will say about its argument is for it to say. */
        if (item->command->scope == SCOPE_LOCAL && strcmp(item->command->name, "select") == 0 &&
            number_parse_i64(item->argv[1], &selected) && selected >= 0 &&
            selected < database_count) {
            db = (uint16_t)selected;
        }
    }
}

/* ---- WATCH ---- */

void
multi_watch(struct session *session, uint16_t db, struct slice key)
{
    struct multi_watches *watches = session->watches;
    uint64_t hash = hash_bytes(key.data, key.size, session->shard->keyspace.hash_seed);
    uint32_t count = watches == NULL ? 0 : watches->count;
    for (uint32_t i = 0; i < count; i++) {
        const struct multi_watch *watch = &watches->items[i];
        if (watch->hash == hash && watch->db == db && slice_equal(watch->key, key)) {
            return;
        }
    }
    if (watches == NULL || count == watches->capacity) {
        uint32_t capacity = MAX(count * 2, 4U);
        watches = heap_realloc(watches, sizeof(*watches) + capacity * sizeof(*watches->items));
        watches->capacity = capacity;
        session->watches = watches;
    }
    char *copy = heap_alloc(MAX(key.size, (size_t)1));
    if (key.size > 0) {
        memcpy(copy, key.data, key.size);
    }
    watches->items[count] = (struct multi_watch){
        .key = slice_of(copy, key.size), .hash = hash, .slot = key_slot(key), .db = db};
    watches->count = count + 1;
}

void
multi_watches_delete(struct multi_watches *watches)
{
    if (watches == NULL) {
        return;
    }
    for (uint32_t i = 0; i < watches->count; i++) {
        heap_free((void *)(uintptr_t)watches->items[i].key.data);
    }
    heap_free(watches);
}

void
multi_unwatch(struct session *session)
{
    struct shard *shard = session->shard;
    struct multi_watches *watches = session->watches;
    if (watches == NULL) {
        return;
    }
    for (uint32_t i = 0; i < watches->count; i++) {
        uint16_t owner = shard->node->slot_owner[watches->items[i].slot];
        bool is_first = true;
        for (uint32_t j = 0; j < i && is_first; j++) {
            is_first = shard->node->slot_owner[watches->items[j].slot] != owner;
        }
        if (is_first) {
            router_unwatch(shard, owner, session->id);
        }
    }
    multi_watches_delete(watches);
    session->watches = NULL;
}

void
multi_discard(struct session *session)
{
    if (session->multi != NULL) {
        multi_delete(session->shard, session->multi);
        session->multi = NULL;
        session->flags &= ~SESSION_MULTI;
    }
    multi_unwatch(session);
}
