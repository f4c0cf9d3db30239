/*
 * watch.c: a hash table of watched keys, each with a list of its watchers, and a hash table of
 * clients, each with the list of what it watches.
 *
 *     key ("a", db 0)  ─▶ watch ─▶ watch          a watch is in two lists: its key's and its
 * client's key ("b", db 0)  ─▶ watch     │ │        │ client 17 ───────────┴────────│── dirty or
 * not: one flag for each client client 23 ────────────────────┘
 *
 * Both tables chain in buckets that double with their contents; WATCH is rare, and a shard that
 * nobody watches has no tables at all.
 */
#include "shard/watch.h"

#include "core/hash.h"
#include "core/heap.h"
#include "core/list.h"
#include "shard/change.h"

#define WATCH_BUCKETS_MIN 16

struct watched_key {
    struct watched_key *next;
    uint64_t hash;
    struct list watches;
    uint16_t db;
    size_t size;
    char bytes[];
};

struct watch_client {
    struct watch_client *next;
    uint64_t session_id;
    struct list watches;
    bool is_dirty;
};

struct watch {
    struct list_node key_link;
    struct list_node client_link;
    struct watched_key *key;
    struct watch_client *client;
};

struct watch_table {
    struct watched_key **keys; /* [bucket_count] */
    struct watch_client **clients;
    uint32_t bucket_count;
    uint32_t key_count;
    uint32_t client_count;
};

struct watch_table *
watch_table_new(void)
{
    struct watch_table *table = heap_alloc(sizeof(*table));
    *table = (struct watch_table){0};
    return table;
}

static uint64_t
key_place(uint16_t db, uint64_t hash)
{
    return hash ^ (uint64_t)db * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t
client_place(uint64_t session_id)
{
    return (session_id * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

/** Room for one more in both tables: load below 1. */
static void
table_grow(struct watch_table *table)
{
    if (MAX(table->key_count, table->client_count) < table->bucket_count) {
        return;
    }
    uint32_t bucket_count = MAX(table->bucket_count * 2, (uint32_t)WATCH_BUCKETS_MIN);
    struct watched_key **keys = heap_alloc(bucket_count * sizeof(struct watched_key *));
    struct watch_client **clients = heap_alloc(bucket_count * sizeof(struct watch_client *));
    memset(keys, 0, bucket_count * sizeof(struct watched_key *));
    memset(clients, 0, bucket_count * sizeof(struct watch_client *));
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        while (table->keys[i] != NULL) {
            struct watched_key *key = table->keys[i];
            table->keys[i] = key->next;
            struct watched_key **place = &keys[key_place(key->db, key->hash) & (bucket_count - 1)];
            key->next = *place;
            *place = key;
        }
        while (table->clients[i] != NULL) {
            struct watch_client *client = table->clients[i];
            table->clients[i] = client->next;
            struct watch_client **place =
                &clients[client_place(client->session_id) & (bucket_count - 1)];
            client->next = *place;
            *place = client;
        }
    }
    heap_free(table->keys);
    heap_free(table->clients);
    table->keys = keys;
    table->clients = clients;
    table->bucket_count = bucket_count;
}

/** Where the key is linked from, or the end of its chain. There is a table. */
static struct watched_key **
find_key(const struct watch_table *table, uint16_t db, struct slice key, uint64_t hash)
{
    struct watched_key **place = &table->keys[key_place(db, hash) & (table->bucket_count - 1)];
    while (*place != NULL && ((*place)->hash != hash || (*place)->db != db ||
                              !slice_equal(slice_of((*place)->bytes, (*place)->size), key))) {
        place = &(*place)->next;
    }
    return place;
}

static struct watch_client **
find_client(const struct watch_table *table, uint64_t session_id)
{
    struct watch_client **place =
        &table->clients[client_place(session_id) & (table->bucket_count - 1)];
    while (*place != NULL && (*place)->session_id != session_id) {
        place = &(*place)->next;
    }
    return place;
}

static void
key_dirty(struct watched_key *key)
{
    for (struct list_node *node = list_first(&key->watches); node != NULL;
         node = list_next(&key->watches, node)) {
        container_of(node, struct watch, key_link)->client->is_dirty = true;
    }
}

static void
watch_delete(struct watch_table *table, struct watch *watch)
{
    struct watched_key *key = watch->key;
    list_remove(&watch->key_link);
    list_remove(&watch->client_link);
    heap_free(watch);
    if (!list_is_empty(&key->watches)) {
        return;
    }
    struct watched_key **place =
        find_key(table, key->db, slice_of(key->bytes, key->size), key->hash);
    ASSERT(*place == key);
    *place = key->next;
    table->key_count--;
    heap_free(key);
}

static void
client_delete(struct watch_table *table, struct watch_client **place)
{
    struct watch_client *client = *place;
    struct list_node *node;
    while ((node = list_first(&client->watches)) != NULL) {
        watch_delete(table, container_of(node, struct watch, client_link));
    }
    *place = client->next;
    table->client_count--;
    heap_free(client);
}

void
watch_table_delete(struct watch_table *table)
{
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        while (table->clients[i] != NULL) {
            client_delete(table, &table->clients[i]);
        }
    }
    ASSERT(table->key_count == 0);
    heap_free(table->keys);
    heap_free(table->clients);
    heap_free(table);
}

void
watch_add(struct shard *shard, uint64_t session_id, uint16_t db, struct slice key, uint64_t hash)
{
    struct watch_table *table = shard->watches;
    table_grow(table);
    struct watch_client **client_at = find_client(table, session_id);
    if (*client_at == NULL) {
        struct watch_client *client = heap_alloc(sizeof(*client));
        *client = (struct watch_client){.session_id = session_id};
        list_create(&client->watches);
        *client_at = client;
        table->client_count++;
    }
    struct watched_key **key_at = find_key(table, db, key, hash);
    if (*key_at == NULL) {
        struct watched_key *watched = heap_alloc(sizeof(*watched) + key.size);
        *watched = (struct watched_key){.hash = hash, .db = db, .size = key.size};
        list_create(&watched->watches);
        if (key.size > 0) {
            memcpy(watched->bytes, key.data, key.size);
        }
        *key_at = watched;
        table->key_count++;
    }
    struct watch_client *client = *client_at;
    for (struct list_node *node = list_first(&client->watches); node != NULL;
         node = list_next(&client->watches, node)) {
        if (container_of(node, struct watch, client_link)->key == *key_at) {
            return;
        }
    }
    struct watch *watch = heap_alloc(sizeof(*watch));
    watch->key = *key_at;
    watch->client = client;
    list_node_create(&watch->key_link);
    list_node_create(&watch->client_link);
    list_push_back(&(*key_at)->watches, &watch->key_link);
    list_push_back(&client->watches, &watch->client_link);
    shard->interest |= INTEREST_WATCH;
}

bool
watch_is_dirty(const struct shard *shard, uint64_t session_id)
{
    const struct watch_table *table = shard->watches;
    if (table->client_count == 0) {
        return false;
    }
    const struct watch_client *client = *find_client(table, session_id);
    if (client == NULL || client->is_dirty) {
        return client != NULL;
    }
    /* A key whose time is over is gone, whether somebody has seen it or not. */
    for (struct list_node *node = list_first(&client->watches); node != NULL;
         node = list_next(&client->watches, node)) {
        const struct watched_key *key = container_of(node, struct watch, client_link)->key;
        struct slice bytes = slice_of(key->bytes, key->size);
        const struct entry *entry =
            keyspace_find(&shard->keyspace, key->db, key_slot(bytes), bytes, key->hash);
        if (entry != NULL && entry_is_over(entry, shard->now_ms)) {
            return true;
        }
    }
    return false;
}

void
watch_remove(struct shard *shard, uint64_t session_id)
{
    struct watch_table *table = shard->watches;
    if (table->client_count == 0) {
        return;
    }
    struct watch_client **place = find_client(table, session_id);
    if (*place != NULL) {
        client_delete(table, place);
    }
    if (table->client_count == 0) {
        heap_free(table->keys);
        heap_free(table->clients);
        *table = (struct watch_table){0};
        shard->interest &= ~INTEREST_WATCH;
    }
}

void
watch_key_changed(struct shard *shard, uint16_t db, struct slice key, uint64_t hash)
{
    struct watched_key *watched = *find_key(shard->watches, db, key, hash);
    if (watched != NULL) {
        key_dirty(watched);
    }
}

static void
dirty_existing(struct shard *shard, uint32_t db, uint32_t other_db)
{
    const struct watch_table *table = shard->watches;
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (struct watched_key *key = table->keys[i]; key != NULL; key = key->next) {
            if (db != UINT32_MAX && key->db != db && key->db != other_db) {
                continue;
            }
            struct slice bytes = slice_of(key->bytes, key->size);
            uint32_t slot = key_slot(bytes);
            bool is_there =
                keyspace_find(&shard->keyspace, key->db, slot, bytes, key->hash) != NULL;
            if (!is_there && other_db != UINT32_MAX) {
                uint32_t swapped = key->db == db ? other_db : db;
                is_there = keyspace_find(&shard->keyspace, swapped, slot, bytes, key->hash) != NULL;
            }
            if (is_there) {
                key_dirty(key);
            }
        }
    }
}

void
watch_flushed(struct shard *shard, uint32_t db)
{
    dirty_existing(shard, db, UINT32_MAX);
}

void
watch_swapped(struct shard *shard, uint32_t db_a, uint32_t db_b)
{
    dirty_existing(shard, db_a, db_b);
}
