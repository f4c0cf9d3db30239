#include "snapshot_rig.h"

#include "core/heap.h"
#include "core/mailbox.h"
#include "persist/rdb_file_read.h"
#include "shard/lock.h"
#include "shard/router.h"
#include "shard/value/codec.h"
#include "shard/value/digest.h"
#include "shard/value/object.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PRINT_SEED 77

/* ---- the file ---- */

static void
rig_write(struct shard *shard, struct ring_op *op, int fd, const struct iovec *vector,
          uint32_t vector_count, uint64_t offset)
{
    struct snapshot_rig *rig = shard->core;
    cr_assert_eq(fd, 5);
    cr_assert_eq(vector_count, 1);
    cr_assert_lt(rig->write_count, SNAPSHOT_RIG_WRITES_MAX);
    rig->writes[rig->write_count++] =
        (struct snapshot_rig_write){.op = op, .vector = vector, .offset = offset};
    rig->write_peak = MAX(rig->write_peak, rig->write_count);
}

static void
file_put(struct snapshot_rig *rig, uint64_t offset, const void *bytes, size_t size)
{
    if (offset + size > rig->capacity) {
        size_t capacity = MAX(rig->capacity * 2, offset + size);
        rig->bytes = realloc(rig->bytes, capacity);
        cr_assert_not_null(rig->bytes);
        memset(rig->bytes + rig->capacity, 0, capacity - rig->capacity);
        rig->capacity = capacity;
    }
    memcpy(rig->bytes + offset, bytes, size);
    rig->size = MAX(rig->size, offset + size);
}

bool
snapshot_rig_complete(struct snapshot_rig *rig)
{
    if (rig->write_count == 0) {
        return false;
    }
    uint32_t at = (uint32_t)random_below(&rig->random, rig->write_count);
    struct snapshot_rig_write write = rig->writes[at];
    rig->writes[at] = rig->writes[--rig->write_count];
    if (rig->is_failing && random_below(&rig->random, 3) == 0) {
        write.op->done(write.op, -ENOSPC);
        return true;
    }
    size_t size = write.vector->iov_len;
    if (random_below(&rig->random, 4) == 0) {
        size = 1 + random_below(&rig->random, size);
    }
    file_put(rig, write.offset, write.vector->iov_base, size);
    write.op->done(write.op, (int32_t)size);
    return true;
}

/* ---- the model ---- */

uint64_t
snapshot_print(const struct value *value)
{
    struct digest digest = {0};
    uint64_t print = value->type;
    if (value->type == VALUE_HASH) {
        struct hash hash = {.encoding = (enum value_encoding)value->encoding,
                            .object = value->object};
        struct hash_walk walk;
        struct hash_pair pair;
        hash_walk_start(&walk, &hash);
        while (hash_next(&walk, &pair)) {
            uint64_t field = hash_bytes(pair.field.data, pair.field.size, PRINT_SEED);
            print += hash_bytes(pair.value.data, pair.value.size, field) ^
                     (uint64_t)pair.deadline_ms * 31;
        }
        return print;
    }
    if (value->type == VALUE_STREAM) {
        struct rdb_writer writer;
        rdb_writer_create(&writer, false);
        codec_write(&writer, value);
        print ^= hash_bytes(writer.bytes, writer.size, PRINT_SEED);
        rdb_writer_destroy(&writer);
        return print;
    }
    digest_mix_value(&digest, value, false);
    return print ^ hash_bytes((const char *)digest.bytes, DIGEST_SIZE, PRINT_SEED);
}

struct keep {
    struct snapshot_rig *rig;
    struct shard *shard;
    uint32_t db;
};

static void
keep_entry(void *context, struct entry *entry)
{
    const struct keep *keep = context;
    struct snapshot_rig *rig = keep->rig;
    if (rig->key_count == rig->key_capacity) {
        rig->key_capacity = MAX(rig->key_capacity * 2, 1024U);
        rig->keys = realloc(rig->keys, rig->key_capacity * sizeof(*rig->keys));
        cr_assert_not_null(rig->keys);
    }
    struct slice key = entry_key(entry);
    struct value value;
    entry_value(entry, &value);
    struct snapshot_key *kept = &rig->keys[rig->key_count++];
    *kept = (struct snapshot_key){.key = malloc(key.size + 1),
                                  .key_size = key.size,
                                  .db = keep->db,
                                  .type = value.type,
                                  .deadline_ms = entry_deadline_ms(entry),
                                  .print = snapshot_print(&value)};
    memcpy(kept->key, key.data, key.size);
}

static int
key_compare(const void *a, const void *b)
{
    const struct snapshot_key *x = a;
    const struct snapshot_key *y = b;
    if (x->db != y->db) {
        return x->db < y->db ? -1 : 1;
    }
    int order = memcmp(x->key, y->key, MIN(x->key_size, y->key_size));
    return order != 0 ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static void
keep_all(struct snapshot_rig *rig)
{
    for (uint32_t i = 0; i < rig->shards->count; i++) {
        struct keep keep = {.rig = rig, .shard = rig->shards->shards[i]};
        struct keyspace *keyspace = &keep.shard->keyspace;
        for (; keep.db < keyspace->database_count; keep.db++) {
            uint32_t slot = keyspace_slot_next(keyspace, keep.db, 0);
            for (; slot < SLOT_COUNT; slot = keyspace_slot_next(keyspace, keep.db, slot + 1)) {
                uint32_t before = rig->key_count;
                for (uint64_t at = 0;;) {
                    at = keyspace_scan(keyspace, keep.db, slot, at, keep_entry, &keep);
                    if (at == 0) {
                        break;
                    }
                }
                /* Nothing changes meanwhile: each bucket came once. */
                cr_assert_eq(rig->key_count - before,
                             table_count(&keyspace_slot(keyspace, keep.db, slot)->table));
            }
        }
    }
    if (rig->key_count > 0) {
        qsort(rig->keys, rig->key_count, sizeof(*rig->keys), key_compare);
    }
}

static struct snapshot_key *
key_find(struct snapshot_rig *rig, uint32_t db, struct slice key)
{
    struct snapshot_key wanted = {
        .key = (char *)(uintptr_t)key.data, .key_size = key.size, .db = db};
    return bsearch(&wanted, rig->keys, rig->key_count, sizeof(*rig->keys), key_compare);
}

/* ---- playing ---- */

struct snapshot_rig *
snapshot_rig_new(uint32_t shard_count, uint64_t seed)
{
    struct snapshot_rig *rig = calloc(1, sizeof(*rig));
    cr_assert_not_null(rig);
    rig->shards = shards_new(shard_count, 3);
    rig->shards->is_checked = false;
    rig->pace = 1;
    random_create(&rig->random, seed);
    for (uint32_t i = 0; i < shard_count; i++) {
        rig->shards->shards[i]->core = rig;
    }
    return rig;
}

void
snapshot_rig_delete(struct snapshot_rig *rig)
{
    shards_delete(rig->shards);
    free(rig->bytes);
    free(rig->keys);
    free(rig);
}

void
snapshot_rig_cut(struct snapshot_rig *rig, enum snapshot_form form)
{
    uint64_t start = form == SNAPSHOT_RDB ? RDB_HEAD_SIZE : 0;
    keep_all(rig);
    rig->size = 0;
    if (rig->capacity > 0) {
        memset(rig->bytes, 0, rig->capacity);
    }
    rig->over_count = 0;
    rig->write_peak = 0;
    rig->job = snapshot_job_new(rig->shards->count, start);
    rig->job->form = form;
    rig->job->fd = 5;
    rig->job->is_compressing = random_below(&rig->random, 2) == 0;
    rig->job->write = rig_write;
    for (uint32_t i = 0; i < rig->shards->count; i++) {
        snapshot_cut(rig->shards->shards[i], rig->job);
    }
}

static void
rig_step(struct snapshot_rig *rig, uint32_t index)
{
    struct shard *shard = rig->shards->shards[index];
    if (shard->snapshot != NULL) {
        snapshot_step(shard, 0);
    }
}

void
snapshot_rig_play(struct snapshot_rig *rig)
{
    if (random_below(&rig->random, rig->pace) == 0) {
        rig_step(rig, (uint32_t)random_below(&rig->random, rig->shards->count));
    }
    for (uint64_t i = random_below(&rig->random, 3); i > 0; i--) {
        snapshot_rig_complete(rig);
    }
}

static void
rig_mail(void *context, struct mail *mail)
{
    struct snapshot_rig *rig = context;
    cr_assert_eq(mail->kind, MAIL_SNAPSHOT);
    struct snapshot_part *part = container_of(mail, struct snapshot_part, mail);
    cr_assert(part->is_over);
    cr_assert_eq(part - rig->job->parts, mail->from);
    rig->over_count++;
}

void
snapshot_rig_drain(struct snapshot_rig *rig)
{
    struct shards *shards = rig->shards;
    for (uint32_t rounds = 0; rig->over_count < shards->count; rounds++) {
        cr_assert_lt(rounds, 10000000);
        for (uint32_t i = 0; i < shards->count; i++) {
            rig_step(rig, i);
            mail_flush(shards->exchange, i);
        }
        snapshot_rig_complete(rig);
        mail_receive(shards->exchange, 0, UINT32_MAX, rig_mail, rig);
    }
    cr_assert_eq(rig->write_count, 0);
}

/* ---- looking ---- */

static void
check_bit(void *context, struct entry *entry)
{
    const struct keyspace *keyspace = context;
    cr_assert_eq(entry_snapshot_bit(entry), keyspace->snapshot_bit);
    cr_assert(!entry_is_lent(entry));
}

void
snapshot_rig_check_bits(const struct snapshot_rig *rig)
{
    for (uint32_t i = 0; i < rig->shards->count; i++) {
        struct shard *shard = rig->shards->shards[i];
        struct keyspace *keyspace = &shard->keyspace;
        cr_assert_null(shard->snapshot);
        cr_assert_null(keyspace_held_next(keyspace));
        cr_assert_eq(lock_table_request_count(shard->locks), 0);
        cr_assert(keyspace_check(keyspace));
        for (uint32_t db = 0; db < keyspace->database_count; db++) {
            uint32_t slot = keyspace_slot_next(keyspace, db, 0);
            for (; slot < SLOT_COUNT; slot = keyspace_slot_next(keyspace, db, slot + 1)) {
                for (uint64_t at = 0;;) {
                    at = keyspace_scan(keyspace, db, slot, at, check_bit, keyspace);
                    if (at == 0) {
                        break;
                    }
                }
            }
        }
    }
}

static void
check_key(struct snapshot_rig *rig, uint32_t db, struct slice key, const struct value *value,
          int64_t deadline_ms)
{
    struct snapshot_key *kept = key_find(rig, db, key);
    cr_assert_not_null(kept, "key %.*s of %u is not of the cut", (int)key.size, key.data, db);
    cr_assert(!kept->is_found, "key %.*s of %u comes twice", (int)key.size, key.data, db);
    cr_assert_eq(kept->type, value->type);
    cr_assert_eq(kept->deadline_ms, deadline_ms, "deadline of %.*s", (int)key.size, key.data);
    cr_assert_eq(kept->print, snapshot_print(value), "value of %.*s", (int)key.size, key.data);
    kept->is_found = true;
}

/** Head, chunks, tail: as whoever saves puts them together. */
static void
put_together(struct snapshot_rig *rig)
{
    struct snapshot_job *job = rig->job;
    struct rdb_chunk *chunks = NULL;
    uint32_t count = 0;
    bool has_field_deadlines = false;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        const struct snapshot_part *part = &job->parts[i];
        chunks = realloc(chunks, (count + part->chunk_count + 1) * sizeof(*chunks));
        for (uint32_t j = 0; j < part->chunk_count; j++) {
            cr_assert_eq(part->chunks[j].shard, i);
            chunks[count++] = part->chunks[j];
        }
        has_field_deadlines |= part->has_field_deadlines;
    }
    qsort(chunks, count, sizeof(*chunks), rdb_chunk_compare);
    struct rdb_writer head;
    struct rdb_writer tail;
    rdb_writer_create(&head, false);
    rdb_writer_create(&tail, false);
    rdb_write_head(
        &head, &(struct rdb_head){.version = has_field_deadlines ? RDB_VERSION_VALKEY : RDB_VERSION,
                                  .server_version = "7.0.15"});
    uint64_t end = atomic_load(&job->end_offset);
    rdb_write_tail(&tail, chunks, count, rdb_writer_bytes(&head), end, true);
    file_put(rig, 0, head.bytes, head.size);
    file_put(rig, end, tail.bytes, tail.size);
    rdb_writer_destroy(&head);
    rdb_writer_destroy(&tail);
    free(chunks);
}

static void
check_rdb(struct snapshot_rig *rig)
{
    struct shard *shard = rig->shards->shards[0];
    struct rdb_file_reader reader;
    struct rdb_item item;
    struct rdb_index index;
    char text[CODEC_TEXT_SIZE];
    put_together(rig);
    struct slice file = slice_of(rig->bytes, rig->size);
    struct codec_options options = codec_options_of(shard->config, 1, &shard->memory, text);
    options.version = rdb_file_version(file);
    rdb_file_reader_create(&reader, file, true);
    uint32_t db = UINT32_MAX;
    while (rdb_file_next(&reader, &item)) {
        if (item.kind == RDB_ITEM_SELECT) {
            db = (uint32_t)item.db;
        }
        if (item.kind != RDB_ITEM_KEY) {
            continue;
        }
        struct value value;
        cr_assert(codec_read(&reader.reader, item.key.type, &options, &value));
        check_key(rig, db, item.key.key, &value, item.key.deadline_ms);
        if (value.is_object) {
            value_object_delete(&value);
        } else if (value.raw != NULL) {
            memory_adopt(&shard->memory, raw_block_size(value.raw));
            raw_delete(&shard->memory, value.raw);
        }
    }
    cr_assert_eq(item.kind, RDB_ITEM_END, "%s",
                 item.kind == RDB_ITEM_DAMAGED ? item.why : "no end");
    cr_assert_eq(reader.end_offset, rig->size);
    rdb_file_reader_destroy(&reader);
    cr_assert(rdb_index_read(file, &index));
    cr_assert_eq(index.key_count, rig->key_count);
    rdb_index_destroy(&index);
}

/** "$3\r\n" or "*3\r\n": the number. */
static uint64_t
command_number(struct slice *text, char mark)
{
    cr_assert_gt(text->size, 3);
    cr_assert_eq(text->data[0], mark);
    char *end;
    uint64_t number = strtoull(text->data + 1, &end, 10);
    cr_assert_eq(memcmp(end, "\r\n", 2), 0);
    *text = slice_of(end + 2, text->size - (size_t)(end + 2 - text->data));
    return number;
}

static void
check_commands(struct snapshot_rig *rig)
{
    /* Another machine that executes them. */
    struct shards *other = shards_new(1, 1);
    struct snapshot_rig copy = {.shards = other};
    struct slice text = slice_of(rig->bytes, rig->size);
    other->is_checked = false;
    while (text.size > 0) {
        struct slice argv[8];
        uint32_t argc = (uint32_t)command_number(&text, '*');
        cr_assert_leq(argc, 8);
        for (uint32_t i = 0; i < argc; i++) {
            size_t size = command_number(&text, '$');
            argv[i] = slice_of(text.data, size);
            cr_assert_geq(text.size, size + 2);
            text = slice_of(text.data + size + 2, text.size - size - 2);
        }
        struct slice reply = shards_run(other, argv, argc);
        cr_assert_eq(memcmp(reply.data, "+OK\r\n", 5), 0, "%.60s", reply.data);
        effects_clear(&other->journal);
    }
    keep_all(&copy);
    cr_assert_eq(copy.key_count, rig->key_count);
    for (uint32_t i = 0; i < copy.key_count; i++) {
        const struct snapshot_key *a = &copy.keys[i];
        const struct snapshot_key *b = &rig->keys[i];
        cr_assert(key_compare(a, b) == 0 && a->print == b->print &&
                  a->deadline_ms == b->deadline_ms);
        rig->keys[i].is_found = true;
        free(a->key);
    }
    free(copy.keys);
    shards_delete(other);
}

void
snapshot_rig_check_file(struct snapshot_rig *rig)
{
    struct snapshot_job *job = rig->job;
    uint64_t key_count = 0;
    cr_assert_eq(atomic_load(&job->error), 0);
    for (uint32_t i = 0; i < job->shard_count; i++) {
        key_count += job->parts[i].key_count;
    }
    cr_assert_eq(key_count, rig->key_count);
    if (job->form == SNAPSHOT_RDB) {
        check_rdb(rig);
    } else {
        check_commands(rig);
    }
    for (uint32_t i = 0; i < rig->key_count; i++) {
        const struct snapshot_key *kept = &rig->keys[i];
        cr_assert(kept->is_found, "key %.*s of %u is missing", (int)kept->key_size, kept->key,
                  kept->db);
    }
    snapshot_rig_forget(rig);
}

void
snapshot_rig_forget(struct snapshot_rig *rig)
{
    for (uint32_t i = 0; i < rig->key_count; i++) {
        free(rig->keys[i].key);
    }
    rig->key_count = 0;
    snapshot_job_delete(rig->job);
    rig->job = NULL;
}
