/*
 * loader_rdb.c: the keys of an RDB file, by all cores at once.
 *
 * Nobody hands keys to anybody: each core reads the file itself, builds the values of its own keys
 * and passes by those of others, which takes their lengths only. Where the file has an index, each
 * chunk is walked by one core first, the one that is likely to own what is in it (the shard of the
 * same number wrote it):
 *
 *     chunks      0   1   2   3   4   5          written by shards 0 1 0 1 1 0
 *     core 0      x       x           x          marks chunk 2: it holds keys of others
 *     core 1          x       x   x              marks none
 *     all have walked theirs
 *     core 1              x                      and takes its own keys from what others have
 * marked
 *
 * So a file that as many shards wrote is read once; one of another number of shards is built in
 * parallel all the same. Without an index everybody walks everything.
 *
 * Keys go into the keyspace in batches: values are built first, while slots and buckets are on
 * their way into the cache. Libraries of functions are the home core's.
 *
 * Invariant: a key is put by its owner, in the walk that met it, once; whoever finds it there
 * already has met it twice in the file.
 * Rejected: sending foreign keys to their owners (bytes copied, mail for each batch, and a bound on
 * what is under way), a thread that parses for all (it would be the slowest).
 */
#include "core/heap.h"
#include "persist/crc64.h"
#include "shard/loader_internal.h"
#include "shard/view.h"

/** Items between two looks at the clock: some ten microseconds. */
#define ITEMS_BETWEEN_LOOKS 64
/** What a new key begins with under an LFU policy. */
#define FREQUENCY_START 5

/* ---- keys ---- */

/** The access clock that a key of the file gets. */
static uint32_t
key_access(const struct loader *loader, const struct rdb_key *key)
{
    const struct shard *shard = loader->shard;
    if (view_is_lfu(shard)) {
        uint32_t minutes = (uint32_t)((uint64_t)shard->now_ms / 60000) & 0xffff;
        uint32_t frequency = key->frequency < 0 ? FREQUENCY_START : (uint32_t)key->frequency;
        return minutes << 8 | (frequency & 0xff);
    }
    uint64_t idle_s = key->idle_s > 0 ? (uint64_t)key->idle_s : 0;
    return (view_access_clock_s(shard) - (uint32_t)idle_s) & 0xffffff;
}

static void
key_drop(struct loader *loader, struct loader_key *key)
{
    struct memory *memory = &loader->shard->memory;
    if (key->value.is_object) {
        keyspace_object_drop(&loader->shard->keyspace, &key->value);
    } else if (key->value.raw != NULL) {
        memory_adopt(memory, raw_block_size(key->value.raw));
        raw_delete(memory, key->value.raw);
    }
    heap_free(key->key_copy);
}

static bool
key_put(struct loader *loader, struct loader_key *key)
{
    struct shard *shard = loader->shard;
    struct keyspace *keyspace = &shard->keyspace;
    struct entry *old = keyspace_find(keyspace, key->db, key->slot, key->key, key->hash);
    if (UNLIKELY(old != NULL) && loader->load->is_merge) {
        keyspace_remove(keyspace, key->db, key->slot, key->hash, old);
    } else if (UNLIKELY(old != NULL)) {
        int shown = (int)MIN(key->key.size, 64);
        load_fail(
            loader->load, -EBADMSG, loader_file(loader), key->offset,
            "the key '%.*s' of database %u is there twice: the file is damaged, or it was not "
            "written by a server",
            shown, key->key.data, key->db);
        key_drop(loader, key);
        return false;
    }
    if (key->value.raw != NULL) {
        memory_adopt(&shard->memory, raw_block_size(key->value.raw));
    }
    struct entry *entry = keyspace_put(keyspace, key->db, key->slot, key->hash, key->key, NULL,
                                       &key->value, key->deadline_ms);
    entry_access_set(entry, key->access);
    heap_free(key->key_copy);
    return true;
}

/** Put what has been gathered. */
static bool
batch_put(struct loader *loader)
{
    struct keyspace *keyspace = &loader->shard->keyspace;
    uint32_t count = loader->key_batch_count;
    bool is_good = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct loader_key *key = &loader->keys[i];
        keyspace_prefetch_bucket(keyspace, key->db, key->slot, key->hash);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct loader_key *key = &loader->keys[i];
        keyspace_prefetch_entry(keyspace, key->db, key->slot, key->hash);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (is_good) {
            is_good = key_put(loader, &loader->keys[i]);
        } else {
            key_drop(loader, &loader->keys[i]);
        }
    }
    loader->key_batch_count = 0;
    loader->key_count += count;
    return is_good;
}

static bool
fail_value(struct loader *loader, const struct rdb_item *item)
{
    const struct rdb_key *key = &item->key;
    return load_fail(loader->load, -EBADMSG, loader_file(loader), item->offset,
                     "the value of the key '%.*s' is damaged, or of a type that is not known here "
                     "(%u)",
                     (int)MIN(key->key.size, 64), key->key.data, key->type);
}

/** A key of this core: its value is built now, and put with its batch. */
static bool
key_take(struct loader *loader, const struct rdb_item *item, uint16_t slot)
{
    struct keyspace *keyspace = &loader->shard->keyspace;
    struct loader_key *key = &loader->keys[loader->key_batch_count];
    key->key = item->key.key;
    key->key_copy = NULL;
    key->offset = item->offset;
    key->slot = slot;
    key->db = loader->db;
    key->hash = keyspace_hash(keyspace, key->key);
    if (keyspace->databases[key->db].slots != NULL) {
        keyspace_prefetch_slot(keyspace, key->db, slot);
    }
    key->deadline_ms = item->key.deadline_ms < 0 ? ENTRY_NO_DEADLINE : item->key.deadline_ms;
    key->access = key_access(loader, &item->key);
    loader->options.text = key->text;
    if (!item->is_key_mapped) {
        key->key_copy = heap_alloc(MAX(key->key.size, 1));
        memcpy(key->key_copy, key->key.data, key->key.size);
        key->key.data = key->key_copy;
    }
    if (UNLIKELY(!codec_read(&loader->rdb.reader, item->key.type, &loader->options, &key->value))) {
        fail_value(loader, item);
        heap_free(key->key_copy);
        return false;
    }
    loader->key_batch_count++;
    return loader->key_batch_count < LOADER_BATCH_MAX || batch_put(loader);
}

static bool
key_meet(struct loader *loader, const struct rdb_item *item)
{
    struct shard *shard = loader->shard;
    struct load_file *file = loader_file(loader);
    uint16_t slot = key_slot(item->key.key);
    bool is_mine = shard->node->slot_owner[slot] == shard->index;
    if (!is_mine && loader->stage == STAGE_RDB_OWN) {
        atomic_store_explicit(&file->has_foreign[loader->chunk_index], true, memory_order_relaxed);
    }
    bool is_over =
        !file->keeps_all && item->key.deadline_ms >= 0 && item->key.deadline_ms < shard->now_ms;
    if (!is_mine || is_over) {
        loader->expired_count += is_mine;
        return codec_skip(&loader->rdb.reader, item->key.type) || fail_value(loader, item);
    }
    return key_take(loader, item, slot);
}

/* ---- items ---- */

/** A library of functions: the home core keeps it. */
static bool
library_meet(struct loader *loader, const struct rdb_item *item)
{
    struct load *load = loader->load;
    if (item->is_old_function) {
        return load_fail(load, -EBADMSG, loader_file(loader), item->offset,
                         "it holds functions in the form of a release candidate of 7.0");
    }
    if (!loader_is_home(loader) || libraries_put(load->libraries, item->value, load->is_merge)) {
        return true;
    }
    struct slice name = library_name(item->value);
    return load_fail(load, -EBADMSG, loader_file(loader), item->offset,
                     "the library of functions '%.*s' is there twice: the file is damaged, or it "
                     "was not written by a server",
                     (int)MIN(name.size, 64), name.data);
}

static bool
item_meet(struct loader *loader, const struct rdb_item *item)
{
    struct load *load = loader->load;
    switch (item->kind) {
    case RDB_ITEM_KEY:
        return key_meet(loader, item);
    case RDB_ITEM_SELECT:
        if (item->db >= loader->shard->keyspace.database_count) {
            return load_fail(load, -ERANGE, loader_file(loader), item->offset,
                             "it has keys in database %llu, and there are %u databases here: "
                             "start with a larger 'databases'",
                             (unsigned long long)item->db, loader->shard->keyspace.database_count);
        }
        loader->db = (uint16_t)item->db;
        return true;
    case RDB_ITEM_FUNCTION:
        if (loader->stage != STAGE_RDB_WHOLE) {
            return load_fail(load, -EBADMSG, loader_file(loader), item->offset,
                             "a library of functions stands among the keys of a chunk");
        }
        return library_meet(loader, item);
    case RDB_ITEM_DAMAGED:
        return load_fail(load, -EBADMSG, loader_file(loader), item->offset, "%s", item->why);
    case RDB_ITEM_AUX:
    case RDB_ITEM_RESIZE:
    case RDB_ITEM_MODULE_AUX:
    case RDB_ITEM_SLOT_INFO:
    case RDB_ITEM_END:
        return true;
    }
    ASSERT(false);
}

/* ---- walks ---- */

static void
reader_begin(struct loader *loader, uint16_t version)
{
    loader->options = codec_options_of(loader->shard->config, loader->shard->keyspace.hash_seed,
                                       &loader->shard->memory, NULL);
    loader->options.version = version;
    loader->is_rdb_open = true;
    loader->db = 0;
}

static void
reader_end(struct loader *loader)
{
    rdb_file_reader_destroy(&loader->rdb);
    loader->is_rdb_open = false;
}

/** Whose walk is the chunk? */
static uint32_t
chunk_walker(const struct loader *loader, const struct rdb_index *index, uint32_t chunk)
{
    uint32_t writer = index->chunks[chunk].shard;
    uint32_t count = loader->load->core_count;
    return writer < count ? writer : (writer + chunk) % count;
}

/** The next chunk of the stage, from chunk_index on. False: there is none. */
static bool
chunk_find(struct loader *loader)
{
    struct load_file *file = loader_file(loader);
    const struct rdb_index *index = &file->index;
    bool is_own = loader->stage == STAGE_RDB_OWN;
    for (; loader->chunk_index < index->chunk_count; loader->chunk_index++) {
        uint32_t chunk = loader->chunk_index;
        bool is_walker = chunk_walker(loader, index, chunk) == loader->shard->index;
        if (is_own ? is_walker
                   : !is_walker &&
                         atomic_load_explicit(&file->has_foreign[chunk], memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/** What stands in front of the chunks. */
static void
head_walk(struct loader *loader, struct slice bytes)
{
    struct rdb_file_reader reader;
    struct rdb_item item;
    rdb_file_reader_create(&reader, bytes, false);
    bool is_good = true;
    while (is_good && rdb_file_next(&reader, &item) &&
           item.offset < loader_file(loader)->index.head_size) {
        is_good = item.kind != RDB_ITEM_FUNCTION || library_meet(loader, &item);
    }
    rdb_file_reader_destroy(&reader);
}

void
loader_rdb_open(struct loader *loader)
{
    struct load_file *file = loader_file(loader);
    struct slice bytes = slice_of(file->map.bytes, file->map.size);
    if (file->has_index) {
        loader->stage = STAGE_RDB_OWN;
        loader->chunk_index = 0;
        if (loader_is_home(loader)) {
            head_walk(loader, bytes);
        }
        return;
    }
    loader->stage = STAGE_RDB_WHOLE;
    bool is_summing = loader_is_home(loader) && loader->shard->config->rdbchecksum;
    rdb_file_reader_create(&loader->rdb, bytes, is_summing);
    reader_begin(loader, rdb_file_version(bytes));
}

void
loader_rdb_close(struct loader *loader)
{
    if (loader->is_rdb_open) {
        reader_end(loader);
    }
    for (uint32_t i = 0; i < loader->key_batch_count; i++) {
        key_drop(loader, &loader->keys[i]);
    }
    loader->key_batch_count = 0;
}

/** Walk on. True: the time is over; false: the end, or a failure. */
static bool
walk(struct loader *loader, uint64_t until_ns)
{
    struct load_file *file = loader_file(loader);
    struct rdb_item item;
    for (;;) {
        for (uint32_t i = 0; i < ITEMS_BETWEEN_LOOKS; i++) {
            bool has_more = rdb_file_next(&loader->rdb, &item);
            if (!item_meet(loader, &item)) {
                return false;
            }
            if (!has_more) {
                return false;
            }
        }
        /* Chunks of a file lie anywhere: there its keys tell the progress, see below. */
        if (!file->has_index) {
            loader_pass(loader, file->base + rdb_file_offset(&loader->rdb));
        }
        if (load_has_failed(loader->load)) {
            return false;
        }
        if (clock_monotonic_ns() >= until_ns) {
            return true;
        }
    }
}

/** The chunks of a stage, one after the other. */
static bool
chunks_step(struct loader *loader, uint64_t until_ns)
{
    struct load_file *file = loader_file(loader);
    while (loader->is_rdb_open || chunk_find(loader)) {
        if (!loader->is_rdb_open) {
            bool is_summing = loader->stage == STAGE_RDB_OWN && loader->shard->config->rdbchecksum;
            rdb_file_reader_create_chunk(&loader->rdb, slice_of(file->map.bytes, file->map.size),
                                         &file->index, loader->chunk_index, is_summing);
            reader_begin(loader, file->index.version);
        }
        if (walk(loader, until_ns)) {
            return true;
        }
        reader_end(loader);
        if (load_has_failed(loader->load) || !batch_put(loader)) {
            return false;
        }
        loader->chunk_index++;
        if (loader->stage == STAGE_RDB_OWN) {
            /* What one core has walked of the file counts for as many. */
            uint64_t part = file->index.tail_offset * loader->chunk_index / file->index.chunk_count;
            loader_pass(loader, file->base + part);
        }
    }
    return false;
}

static bool
whole_step(struct loader *loader, uint64_t until_ns)
{
    struct load_file *file = loader_file(loader);
    if (walk(loader, until_ns)) {
        return true;
    }
    uint64_t end = loader->rdb.end_offset;
    reader_end(loader);
    if (load_has_failed(loader->load) || !batch_put(loader)) {
        return false;
    }
    loader_pass(loader, file->base + end);
    if (file->is_aof && !file->is_scanned && end < file->size) {
        load_fail(loader->load, -EBADMSG, file, end, "bytes follow where its RDB ends");
    } else if (file->is_scanned) {
        loader_aof_open(loader, end);
    } else {
        loader->file_index++;
        loader->stage = STAGE_OPEN;
    }
    return false;
}

bool
loader_rdb_step(struct loader *loader, uint64_t until_ns)
{
    struct load_file *file = loader_file(loader);
    switch (loader->stage) {
    case STAGE_RDB_WHOLE:
        return whole_step(loader, until_ns);
    case STAGE_RDB_OWN:
        if (chunks_step(loader, until_ns)) {
            return true;
        }
        loader->stage = STAGE_RDB_WAIT;
        /* Pairs with the acquire below: has_foreign is known to all. */
        atomic_fetch_add_explicit(&file->walked_count, 1, memory_order_release);
        return false;
    case STAGE_RDB_WAIT:
        if (atomic_load_explicit(&file->walked_count, memory_order_acquire) <
            loader->load->core_count) {
            loader_wait(loader);
            return true;
        }
        loader->stage = STAGE_RDB_OTHERS;
        loader->chunk_index = 0;
        return false;
    case STAGE_RDB_OTHERS:
        if (chunks_step(loader, until_ns)) {
            return true;
        }
        loader_pass(loader, file->base + file->size);
        loader->file_index++;
        loader->stage = STAGE_OPEN;
        return false;
    case STAGE_OPEN:
    case STAGE_AOF:
    case STAGE_END:
        break;
    }
    ASSERT(false);
}
