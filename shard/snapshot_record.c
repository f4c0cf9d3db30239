/*
 * snapshot_record.c: an entry as bytes of a file.
 *
 *     RDB        [deadline] [idle time or frequency] type key value
 *     commands   SET key value [PXAT deadline]
 *                RESTORE key deadline payload REPLACE ABSTTL
 *
 * Commands are what an append-only file begins with where its base is to be one without RDB's form:
 * what redis-server 7.0 executes. Its own rewrite names elements one by one (RPUSH, HSET ...);
 * RESTORE says the same in one word, is whole or not there at all, and keeps the encoding.
 *
 * Where the value itself takes many steps only head and end are written here.
 */
#include "shard/snapshot_internal.h"

#include "core/number.h"
#include "persist/crc64.h"
#include "shard/view.h"

/* ---- RDB ---- */

void
snapshot_write_key(struct snapshot *snapshot, struct rdb_writer *writer, const struct entry *entry,
                   const struct value *value)
{
    const struct snapshot_job *job = snapshot->job;
    const struct shard *shard = snapshot->shard;
    uint32_t access = entry_access(entry);
    struct rdb_key key = {
        .key = entry_key(entry),
        .deadline_ms = entry_deadline_ms(entry),
        .idle_s = job->keeps_idle ? (int64_t)view_idle_s(shard, access) : -1,
        .frequency = job->keeps_frequency ? (int32_t)view_frequency(shard, access) : -1,
        .type = (uint8_t)codec_type(value),
    };
    snapshot->part->has_field_deadlines |= key.type == RDB_TYPE_HASH_2;
    rdb_write_key(writer, &key);
}

/* ---- commands ---- */

static void
write_mark(struct rdb_writer *writer, char mark, uint64_t number)
{
    char text[NUMBER_I64_SIZE_MAX + 3];
    text[0] = mark;
    size_t size = 1 + number_format_u64(text + 1, number);
    text[size++] = '\r';
    text[size++] = '\n';
    rdb_write_bytes(writer, slice_of(text, size));
}

void
snapshot_write_argument_head(struct rdb_writer *writer, uint64_t size)
{
    write_mark(writer, '$', size);
}

void
snapshot_write_argument(struct rdb_writer *writer, struct slice argument)
{
    snapshot_write_argument_head(writer, argument.size);
    rdb_write_bytes(writer, argument);
    rdb_write_bytes(writer, SLICE("\r\n"));
}

static void
write_number(struct rdb_writer *writer, int64_t number)
{
    char digits[NUMBER_I64_SIZE_MAX];
    snapshot_write_argument(writer, slice_of(digits, number_format_i64(digits, number)));
}

void
snapshot_write_set(struct rdb_writer *writer, const struct entry *entry, uint64_t size)
{
    write_mark(writer, '*', entry_has_deadline(entry) ? 5 : 3);
    snapshot_write_argument(writer, SLICE("SET"));
    snapshot_write_argument(writer, entry_key(entry));
    snapshot_write_argument_head(writer, size);
}

void
snapshot_write_set_end(struct rdb_writer *writer, const struct entry *entry)
{
    rdb_write_bytes(writer, SLICE("\r\n"));
    if (entry_has_deadline(entry)) {
        snapshot_write_argument(writer, SLICE("PXAT"));
        write_number(writer, entry_deadline_ms(entry));
    }
}

void
snapshot_write_restore(struct rdb_writer *writer, const struct entry *entry)
{
    write_mark(writer, '*', 6);
    snapshot_write_argument(writer, SLICE("RESTORE"));
    snapshot_write_argument(writer, entry_key(entry));
    write_number(writer, entry_has_deadline(entry) ? entry_deadline_ms(entry) : 0);
}

void
snapshot_write_restore_end(struct rdb_writer *writer)
{
    rdb_write_bytes(writer, SLICE("\r\n"));
    snapshot_write_argument(writer, SLICE("REPLACE"));
    snapshot_write_argument(writer, SLICE("ABSTTL"));
}

void
snapshot_write_payload_end(struct rdb_writer *writer, uint8_t type, uint64_t crc)
{
    size_t start_size = writer->size;
    rdb_write_u16(writer, type == RDB_TYPE_HASH_2 ? RDB_VERSION_VALKEY : RDB_VERSION);
    struct slice version = slice_of(writer->bytes + start_size, writer->size - start_size);
    rdb_write_u64(writer, crc64_update(crc, version));
}

static void
write_command(struct snapshot *snapshot, struct rdb_writer *writer, const struct entry *entry,
              const struct value *value)
{
    if (value->type == VALUE_STRING) {
        char digits[NUMBER_I64_SIZE_MAX];
        struct slice bytes = value->encoding == ENCODING_INT
                                 ? slice_of(digits, number_format_i64(digits, value->integer))
                                 : value->bytes;
        snapshot_write_set(writer, entry, bytes.size);
        rdb_write_bytes(writer, bytes);
        snapshot_write_set_end(writer, entry);
        return;
    }
    struct rdb_writer *payload = &snapshot->payload;
    rdb_writer_clear(payload);
    codec_write_payload(payload, value);
    snapshot->part->has_field_deadlines |= codec_type(value) == RDB_TYPE_HASH_2;
    snapshot_write_restore(writer, entry);
    snapshot_write_argument_head(writer, payload->size);
    rdb_write_bytes(writer, rdb_writer_bytes(payload));
    snapshot_write_restore_end(writer);
    if (payload->capacity > 2 * SNAPSHOT_CHUNK_CAPACITY) {
        rdb_writer_destroy(payload);
        rdb_writer_create(payload, snapshot->job->is_compressing);
    }
}

/* ---- either ---- */

void
snapshot_write_select(const struct snapshot *snapshot, struct rdb_writer *writer, uint32_t db)
{
    if (snapshot->job->form == SNAPSHOT_RDB) {
        rdb_write_select(writer, db);
        return;
    }
    write_mark(writer, '*', 2);
    snapshot_write_argument(writer, SLICE("SELECT"));
    write_number(writer, db);
}

void
snapshot_write_record(struct snapshot *snapshot, struct rdb_writer *writer,
                      const struct entry *entry)
{
    struct value value;
    entry_value(entry, &value);
    if (snapshot->job->form == SNAPSHOT_COMMANDS) {
        write_command(snapshot, writer, entry, &value);
        return;
    }
    snapshot_write_key(snapshot, writer, entry, &value);
    codec_write(writer, &value);
}
