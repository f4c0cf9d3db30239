/*
 * debug_keys.c: DEBUG's verbs that look into keys and tables, and the one that makes keys by the
 * thousand.
 *
 *     POPULATE 3        shard 0: key:1         shard 1: key:0 key:2      (by their slots)
 *     SDSLEN key        shard 0: nothing       shard 1: the line         -> the line
 *     HTSTATS 0         shard 0: its counts    shard 1: its counts       -> the sums
 *
 * Every shard is asked while all of them are closed: so a part sees each of its values at home, and
 * what POPULATE makes appears at once. Each goes through all names and makes those that are its
 * own; to sort them out first would cost the coordinator the same walk, and mail.
 *
 * The keys of POPULATE are made as SET makes them (watchers hear of them, a snapshot that is being
 * written leaves them out), but no log is told, as with redis-server: they are there until the
 * process ends, or for as long as the snapshot or rewritten log that they get into.
 */
#include "core/heap.h"
#include "core/log.h"
#include "core/number.h"
#include "shard/command/debug_internal.h"
#include "shard/shard.h"
#include "shard/value/codec.h"
#include "shard/value/listpack.h"
#include "shard/value/packed.h"
#include "shard/view.h"
#include "shard/view_set.h"

#include <stdio.h>

/** More names would be counted for a day. */
#define POPULATE_COUNT_MAX ((int64_t)UINT32_MAX)
/** Bytes that are written of a value before they are forgotten. */
#define FILE_STEP_SIZE ((size_t)64 << 10)
/** Elements that LISTPACK shows. */
#define LISTPACK_SHOWN_MAX 128
/** Bytes of each. */
#define LISTPACK_TEXT_SIZE 64

/** What a part finds at its key: part->number. */
enum finding {
    FINDING_NONE,  /* no such key here */
    FINDING_TEXT,  /* part->bytes */
    FINDING_WRONG, /* of another kind */
};

/* ---- one key ---- */

/** The key argv[2], if it is this shard's and there; else NULL. */
static const struct entry *
part_entry(const struct part *part)
{
    const struct shard *shard = part->shard;
    struct slice key = part->argv[2];
    uint16_t slot = key_slot(key);
    if (shard->node->slot_owner[slot] != shard->index) {
        return NULL;
    }
    const struct entry *entry =
        keyspace_find(&shard->keyspace, part->db, slot, key, keyspace_hash(&shard->keyspace, key));
    return entry == NULL || entry_is_over(entry, shard->now_ms) ? NULL : entry;
}

/** What the shards found; `wrong`: the error for a key of another kind. */
static struct slice
parts_finding(struct call *call, const char *wrong)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct part *part = &call->parts[i];
        if (part->number == FINDING_TEXT) {
            return slice_of(output_flatten(&part->bytes), part->bytes.byte_count);
        }
        if (part->number == FINDING_WRONG) {
            reply_error(call->reply, wrong);
            return (struct slice){0};
        }
    }
    reply_error(call->reply, "ERR no such key");
    return (struct slice){0};
}

/** Frees the text. */
static void
run_verbatim(struct call *call, const char *wrong)
{
    struct slice text = parts_finding(call, wrong);
    if (text.data != NULL) {
        reply_verbatim(call->reply, text, "txt");
        heap_free((char *)(uintptr_t)text.data);
    }
}

uint64_t
debug_file_size(const struct shard *shard, const struct value *value)
{
    struct rdb_writer writer;
    struct codec_writer state;
    uint64_t size = 0;
    bool is_done = false;
    rdb_writer_create(&writer, shard->config->rdbcompression);
    codec_writer_create(&state, &writer, value);
    while (!is_done) {
        is_done = codec_write_step(&state, FILE_STEP_SIZE);
        size += writer.size;
        rdb_writer_clear(&writer);
    }
    codec_writer_destroy(&state);
    rdb_writer_destroy(&writer);
    return size;
}

/* ---- SDSLEN ---- */

void
debug_sdslen_part(struct part *part)
{
    const struct entry *entry = part_entry(part);
    struct value value;
    if (entry == NULL) {
        return;
    }
    entry_value(entry, &value);
    if (value.type != VALUE_STRING || value.encoding == ENCODING_INT) {
        part->number = FINDING_WRONG;
        return;
    }
    size_t raw_room = value.raw == NULL ? 0 : value.raw->capacity - value.raw->size;
    size_t raw_total = value.raw == NULL ? 0 : raw_size(value.raw);
    char text[256];
    int size = snprintf(text, sizeof(text),
                        "key_sds_len:%zu, key_sds_avail:0, key_zmalloc: %zu, val_sds_len:%zu, "
                        "val_sds_avail:%zu, val_zmalloc: %zu",
                        entry_key(entry).size, entry_size(entry) - raw_total, value.bytes.size,
                        raw_room, raw_total);
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    output_append(&part->bytes, text, (size_t)size + 1);
    part->number = FINDING_TEXT;
}

void
debug_sdslen_run(struct call *call)
{
    struct slice text = parts_finding(call, "ERR Not an sds encoded string.");
    if (text.data != NULL) {
        reply_simple(call->reply, text.data);
        heap_free((char *)(uintptr_t)text.data);
    }
}

/* ---- LISTPACK ---- */

/** One element for people; bytes that do not print are dots. */
static void
listpack_show(struct log *log, uint32_t index, struct slice element)
{
    char text[LISTPACK_TEXT_SIZE + 1];
    size_t size = MIN(element.size, (size_t)LISTPACK_TEXT_SIZE);
    for (size_t i = 0; i < size; i++) {
        text[i] = element.data[i] >= ' ' && element.data[i] <= '~' ? element.data[i] : '.';
    }
    text[size] = '\0';
    log_write(log, LOG_NOTICE_LEVEL, "DEBUG LISTPACK: %u: %zu bytes: %s", index, element.size,
              text);
}

void
debug_listpack_part(struct part *part)
{
    const struct entry *entry = part_entry(part);
    struct log *log = part->shard->node->log;
    struct value value;
    if (entry == NULL) {
        return;
    }
    entry_value(entry, &value);
    if (!value.is_object || value.encoding != ENCODING_LISTPACK) {
        part->number = FINDING_WRONG;
        return;
    }
    const struct listpack *listpack = value.object;
    log_write(log, LOG_NOTICE_LEVEL, "DEBUG LISTPACK: %u bytes, %u elements",
              listpack_size(listpack), listpack_count(listpack));
    uint32_t at = listpack_first(listpack);
    for (uint32_t i = 0; at != LISTPACK_NONE && i < LISTPACK_SHOWN_MAX; i++) {
        char digits[LISTPACK_DIGITS_SIZE];
        listpack_show(log, i, listpack_text(listpack, at, digits));
        at = listpack_next(listpack, at);
    }
    output_append(&part->bytes, "", 1);
    part->number = FINDING_TEXT;
}

/** The words are redis-server's, for whoever compares them; the log is what we have of its kind. */
void
debug_listpack_run(struct call *call)
{
    struct slice text = parts_finding(call, "ERR Not a listpack encoded object.");
    if (text.data != NULL) {
        reply_simple(call->reply, "Listpack structure printed on stdout");
        heap_free((char *)(uintptr_t)text.data);
    }
}

/* ---- HTSTATS-KEY ---- */

#define TABLE_HEADLINE "Hash table 0 stats (main hash table):\n"
#define TABLE_EMPTY "No stats available for empty dictionaries\n"

void
debug_htstats_key_part(struct part *part)
{
    const struct entry *entry = part_entry(part);
    struct value value;
    char text[256];
    int size;
    if (entry == NULL) {
        return;
    }
    entry_value(entry, &value);
    if (value.is_object && value.encoding == ENCODING_HASHTABLE) {
        const struct packed *packed = value.object;
        size = snprintf(text, sizeof(text),
                        TABLE_HEADLINE " table size: %u\n number of elements: %llu\n"
                                       " max bucket length: %u\n",
                        packed->bucket_count, (unsigned long long)packed->count, packed->chain_max);
    } else if (value.is_object && value.encoding == ENCODING_SKIPLIST) {
        size_t count = object_count(VALUE_ZSET, ENCODING_SKIPLIST, value.object);
        size = snprintf(text, sizeof(text), TABLE_HEADLINE " number of elements: %zu\n", count);
    } else {
        part->number = FINDING_WRONG;
        return;
    }
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    output_append(&part->bytes, text, (size_t)size);
    part->number = FINDING_TEXT;
}

void
debug_htstats_key_run(struct call *call)
{
    run_verbatim(call, "ERR The value stored at the specified key is not represented using an hash "
                       "table");
}

/* ---- HTSTATS ---- */

/** Of one database; shards add theirs up. */
struct table_facts {
    uint64_t slot_count; /* that hold keys: each has a table of its own */
    uint64_t key_count;
    uint64_t deadline_count;
    uint64_t size;
};

bool
debug_htstats_check(struct call *call)
{
    int64_t db;
    if (!call_integer(call, 2, &db, NULL)) {
        return false;
    }
    if (db < 0 || db >= call->shard->keyspace.database_count) {
        reply_error(call->reply, "ERR Out of range database");
        return false;
    }
    return true;
}

void
debug_htstats_part(struct part *part)
{
    const struct keyspace *keyspace = &part->shard->keyspace;
    struct table_facts *facts = heap_alloc(sizeof(*facts));
    int64_t db = 0;
    bool is_number = number_parse_i64(part->argv[2], &db);
    ASSERT(is_number && db < keyspace->database_count); /* debug_htstats_check() */
    const struct database *database = &keyspace->databases[db];
    *facts = (struct table_facts){.key_count = database->key_count,
                                  .deadline_count = database->deadline_count};
    uint32_t slot = keyspace_slot_next(keyspace, (uint32_t)db, 0);
    while (slot < SLOT_COUNT) {
        const struct table *table = &database->slots[slot].table;
        facts->slot_count++;
        facts->size += table_size(table);
        if (++slot < SLOT_COUNT) {
            slot = keyspace_slot_next(keyspace, (uint32_t)db, slot);
        }
    }
    part->data = facts;
}

void
debug_htstats_run(struct call *call)
{
    struct table_facts all = {0};
    for (uint32_t i = 0; i < call->part_count; i++) {
        const struct table_facts *facts = call->parts[i].data;
        all.slot_count += facts->slot_count;
        all.key_count += facts->key_count;
        all.deadline_count += facts->deadline_count;
        all.size += facts->size;
    }
    char text[512];
    char keys[256] = TABLE_EMPTY;
    char deadlines[64] = TABLE_EMPTY;
    if (all.key_count > 0) {
        snprintf(keys, sizeof(keys),
                 " table size: %llu\n number of elements: %llu\n hash slots with keys: %llu\n"
                 " bytes of tables: %llu\n",
                 (unsigned long long)(all.size / sizeof(uint64_t)),
                 (unsigned long long)all.key_count, (unsigned long long)all.slot_count,
                 (unsigned long long)all.size);
    }
    if (all.deadline_count > 0) {
        snprintf(deadlines, sizeof(deadlines), " number of elements: %llu\n",
                 (unsigned long long)all.deadline_count);
    }
    int size = snprintf(text, sizeof(text),
                        "[Dictionary HT]\n" TABLE_HEADLINE "%s[Expires HT]\n" TABLE_HEADLINE "%s",
                        keys, deadlines);
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    reply_verbatim(call->reply, slice_of(text, (size_t)size), "txt");
}

/* ---- POPULATE ---- */

/** DEBUG POPULATE count [prefix [size]] */
struct populate {
    int64_t count;
    struct slice prefix;
    int64_t size; /* 0: as the values come */
};

/** Replies nothing; false: one of the numbers is none. */
static bool
populate_parse(const struct slice *argv, uint32_t argc, int64_t size_max, struct populate *populate)
{
    *populate = (struct populate){.prefix = argc > 3 ? argv[3] : SLICE("key")};
    return number_parse_i64(argv[2], &populate->count) && populate->count >= 0 &&
           populate->count <= POPULATE_COUNT_MAX &&
           (argc < 5 || (number_parse_i64(argv[4], &populate->size) && populate->size >= 0 &&
                         populate->size <= size_max));
}

bool
debug_populate_check(struct call *call)
{
    struct populate populate;
    int64_t size_max = (int64_t)call->shard->config->proto_max_bulk_len;
    if (!populate_parse(call->argv, call->argc, size_max, &populate)) {
        reply_error(call->reply, "ERR value is out of range, must be positive");
        return false;
    }
    return true;
}

/** A key that is there stays as it is. */
static void
populate_put(struct part *part, struct slice key, struct slice text)
{
    struct shard *shard = part->shard;
    uint16_t slot = key_slot(key);
    if (shard->node->slot_owner[slot] != shard->index) {
        return;
    }
    struct view view;
    struct call call = {.shard = shard, .db = part->db, .now_ms = part->now_ms};
    view_prepare(&view, key, keyspace_hash(&shard->keyspace, key), slot, (uint16_t)shard->index,
                 part->db, VIEW_EXCLUSIVE);
    view_open_key(shard, &view);
    if (!view_exists(&view)) {
        view_string_set(&call, &view, text);
    }
    view_commit(shard, &view);
    call_scratch_free(&call);
}

void
debug_populate_part(struct part *part)
{
    struct populate populate;
    bool is_good = populate_parse(part->argv, part->argc, INT64_MAX, &populate);
    ASSERT(is_good); /* debug_populate_check() */
    size_t prefix_size = populate.prefix.size;
    size_t room_size = MAX((size_t)populate.size, (size_t)64);
    char *key = heap_alloc(prefix_size + 1 + NUMBER_I64_SIZE_MAX);
    char *text = heap_alloc(room_size);
    uint64_t former_actor_id = part->shard->actor_id;
    part->shard->actor_id = part->session_id;
    memset(text, 0, room_size);
    if (prefix_size > 0) {
        memcpy(key, populate.prefix.data, prefix_size);
    }
    key[prefix_size] = ':';
    for (int64_t i = 0; i < populate.count; i++) {
        char value[8 + NUMBER_I64_SIZE_MAX] = "value:";
        size_t key_size = prefix_size + 1 + number_format_i64(key + prefix_size + 1, i);
        size_t value_size = 6 + number_format_i64(value + 6, i);
        size_t size = populate.size == 0 ? value_size : (size_t)populate.size;
        /* The numbers never get shorter: what is behind them is zero still. */
        memcpy(text, value, MIN(value_size, size));
        populate_put(part, slice_of(key, key_size), slice_of(text, size));
    }
    part->shard->actor_id = former_actor_id;
    heap_free(key);
    heap_free(text);
}
