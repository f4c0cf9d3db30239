#include "persist/rdb_file.h"

#include "core/number.h"
#include "persist/crc64.h"
#include "persist/rdb_file_internal.h"

#include <stdio.h>

/*
 * rdb_file.c: an RDB file from its parts, which several cores write at once.
 *
 *     0                RDB_HEAD_SIZE                                              end
 *     | REDIS0010 AUX.. pad | chunk | chunk | chunk |  index | locator | FF | crc |
 *                           ^ SELECTDB, records, pad   ^         |
 *                                                      `---------' offset, size, crc
 *
 * Libraries of functions, where there are any, stand between the head and the first chunk, and
 * count as the head's bytes.
 *
 * Chunks are written where there is room, in whatever order they get full. So the file's order is
 * known at the end only, and then the head is written, and the tail. The checksum of the file is
 * that of head, chunks and tail, combined in the file's order: nothing is read again.
 *
 * An old reader takes the file as any other: the index and all padding are AUX fields, which it
 * passes by. A new one finds the locator by its fixed size and the file's end, and the index by the
 * locator.
 *
 * Invariant: head, chunks and tail lie side by side; every byte is summed once.
 *
 * Rejected: the index in front (its size is known last), a file for each shard (nobody else reads
 * it), bytes behind the checksum (refused in the base of an AOF), and numbers of a fixed width in
 * the head instead of its padding (readers expect them as they always were).
 */

/** What pads, and how much one field takes: a reader may take memory for it. */
#define PADDING_NAME "pad"
#define PADDING_SIZE_MAX ((uint64_t)16 << 20)
/** Opcode and name. */
#define PADDING_NAME_SIZE (2 + sizeof(PADDING_NAME) - 1)

/** Lengths of one and of two bytes reach so far. */
#define LENGTH_1_MAX 63
#define LENGTH_2_MAX 16383
#define LENGTH_2_MARK 0x40
#define LENGTH_5_MARK 0x80

#define FREQUENCY_MAX 255

_Static_assert(PADDING_NAME_SIZE + 1 == RDB_PADDING_SIZE_MIN, "a field without zeros");

/* ---- fields ---- */

void
rdb_write_aux(struct rdb_writer *writer, struct slice name, struct slice value)
{
    rdb_write_u8(writer, RDB_OPCODE_AUX);
    rdb_write_string(writer, name);
    rdb_write_string(writer, value);
}

static void
write_aux_number(struct rdb_writer *writer, struct slice name, uint64_t number)
{
    char digits[NUMBER_I64_SIZE_MAX];
    rdb_write_aux(writer, name, slice_of(digits, number_format_u64(digits, number)));
}

/** The name as it is, and the value's length: its bytes follow as they are. */
static void
write_aux_start(struct rdb_writer *writer, struct slice name, uint64_t value_size)
{
    rdb_write_u8(writer, RDB_OPCODE_AUX);
    rdb_write_length(writer, name.size);
    rdb_write_bytes(writer, name);
    rdb_write_length(writer, value_size);
}

void
rdb_write_select(struct rdb_writer *writer, uint32_t db)
{
    rdb_write_u8(writer, RDB_OPCODE_SELECT);
    rdb_write_length(writer, db);
}

void
rdb_write_resize(struct rdb_writer *writer, uint64_t key_count, uint64_t deadline_count)
{
    ASSERT(deadline_count <= key_count);
    rdb_write_u8(writer, RDB_OPCODE_RESIZE);
    rdb_write_length(writer, key_count);
    rdb_write_length(writer, deadline_count);
}

void
rdb_write_function(struct rdb_writer *writer, struct slice code)
{
    rdb_write_u8(writer, RDB_OPCODE_FUNCTION);
    rdb_write_string(writer, code);
}

void
rdb_write_key(struct rdb_writer *writer, const struct rdb_key *key)
{
    if (key->deadline_ms >= 0) {
        rdb_write_u8(writer, RDB_OPCODE_DEADLINE_MS);
        rdb_write_u64(writer, (uint64_t)key->deadline_ms);
    }
    if (key->idle_s >= 0) {
        rdb_write_u8(writer, RDB_OPCODE_IDLE);
        rdb_write_length(writer, (uint64_t)key->idle_s);
    }
    if (key->frequency >= 0) {
        ASSERT(key->frequency <= FREQUENCY_MAX);
        rdb_write_u8(writer, RDB_OPCODE_FREQUENCY);
        rdb_write_u8(writer, (uint8_t)key->frequency);
    }
    rdb_write_u8(writer, key->type);
    rdb_write_string(writer, key->key);
}

/* ---- padding ---- */

/** The length that, with so many bytes of value, makes `size`. */
static uint64_t
write_padding_length(struct rdb_writer *writer, uint64_t size)
{
    if (size <= LENGTH_1_MAX + 1) {
        rdb_write_u8(writer, (uint8_t)(size - 1));
        return size - 1;
    }
    if (size <= LENGTH_2_MAX + 2) {
        rdb_write_u8(writer, (uint8_t)(LENGTH_2_MARK | (size - 2) >> 8));
        rdb_write_u8(writer, (uint8_t)(size - 2));
        return size - 2;
    }
    uint32_t swapped = __builtin_bswap32((uint32_t)(size - 5));
    rdb_write_u8(writer, LENGTH_5_MARK);
    rdb_write_bytes(writer, slice_of(&swapped, sizeof(swapped)));
    return size - 5;
}

uint64_t
rdb_write_padding(struct rdb_writer *writer, uint64_t *left_size)
{
    ASSERT(*left_size >= RDB_PADDING_SIZE_MIN);
    uint64_t size = MIN(*left_size, PADDING_SIZE_MAX);
    if (*left_size > size && *left_size - size < RDB_PADDING_SIZE_MIN) {
        size -= RDB_PADDING_SIZE_MIN;
    }
    rdb_write_u8(writer, RDB_OPCODE_AUX);
    rdb_write_u8(writer, sizeof(PADDING_NAME) - 1);
    rdb_write_bytes(writer, SLICE(PADDING_NAME));
    *left_size -= size;
    return write_padding_length(writer, size - PADDING_NAME_SIZE);
}

/* ---- head ---- */

void
rdb_write_head(struct rdb_writer *writer, const struct rdb_head *head)
{
    static const char zeros[RDB_HEAD_SIZE];
    char signature[RDB_SIGNATURE_SIZE + 1];
    struct slice server_version = slice_of_string(head->server_version);
    ASSERT(server_version.size <= RDB_HEAD_VERSION_SIZE_MAX);
    ASSERT(head->version <= RDB_VERSION_REDIS_MAX || head->version == RDB_VERSION_VALKEY);
    size_t start_size = writer->size;
    if (head->version == RDB_VERSION_VALKEY) {
        snprintf(signature, sizeof(signature), "VALKEY%03u", (unsigned)head->version % 1000);
    } else {
        snprintf(signature, sizeof(signature), "REDIS%04u", (unsigned)head->version % 1000);
    }
    rdb_write_bytes(writer, slice_of(signature, RDB_SIGNATURE_SIZE));
    rdb_write_aux(writer, SLICE("redis-ver"), server_version);
    write_aux_number(writer, SLICE("redis-bits"), 8 * sizeof(void *));
    write_aux_number(writer, SLICE("ctime"), (uint64_t)MAX(head->now_s, 0));
    write_aux_number(writer, SLICE("used-mem"), head->used_memory);
    write_aux_number(writer, SLICE("aof-base"), head->is_aof_base);
    uint64_t left_size = RDB_HEAD_SIZE - (writer->size - start_size);
    uint64_t zero_count = rdb_write_padding(writer, &left_size);
    rdb_write_bytes(writer, slice_of(zeros, zero_count));
    ASSERT(writer->size - start_size == RDB_HEAD_SIZE);
}

/* ---- tail ---- */

int
rdb_chunk_compare(const void *a, const void *b)
{
    const struct rdb_chunk *chunk_a = a;
    const struct rdb_chunk *chunk_b = b;
    return (chunk_a->offset > chunk_b->offset) - (chunk_a->offset < chunk_b->offset);
}

static void
write_u32(struct rdb_writer *writer, uint32_t number)
{
    rdb_write_bytes(writer, slice_of(&number, sizeof(number)));
}

static void
write_index(struct rdb_writer *writer, const struct rdb_chunk *chunks, uint32_t chunk_count,
            bool has_checksum)
{
    write_aux_start(writer, SLICE(RDB_INDEX_NAME),
                    RDB_INDEX_HEAD_SIZE + (uint64_t)chunk_count * RDB_INDEX_CHUNK_SIZE);
    rdb_write_u8(writer, 0);
    rdb_write_u8(writer, RDB_INDEX_FORMAT);
    rdb_write_u16(writer, has_checksum ? RDB_INDEX_HAS_CHECKSUMS : 0);
    write_u32(writer, chunk_count);
    for (uint32_t i = 0; i < chunk_count; i++) {
        rdb_write_u64(writer, chunks[i].offset);
        rdb_write_u64(writer, chunks[i].size);
        rdb_write_u64(writer, has_checksum ? chunks[i].crc : 0);
        rdb_write_u64(writer, chunks[i].key_count);
        rdb_write_u16(writer, chunks[i].shard);
    }
}

static void
write_locator(struct rdb_writer *writer, uint64_t index_offset, struct slice index)
{
    size_t start_size = writer->size;
    uint64_t crc = crc64_update(0, index);
    write_aux_start(writer, SLICE(RDB_LOCATOR_NAME), RDB_LOCATOR_VALUE_SIZE);
    rdb_write_u8(writer, 0);
    rdb_write_u8(writer, RDB_INDEX_FORMAT);
    rdb_write_u16(writer, 0);
    write_u32(writer, 0);
    rdb_write_u64(writer, index_offset);
    rdb_write_u64(writer, index.size);
    rdb_write_u64(writer, crc);
    ASSERT(writer->size - start_size == RDB_LOCATOR_SIZE);
}

void
rdb_write_tail(struct rdb_writer *writer, const struct rdb_chunk *chunks, uint32_t chunk_count,
               struct slice head, uint64_t offset, bool has_checksum)
{
    ASSERT(writer->size == 0);
    uint64_t end_offset = head.size;
    uint64_t crc = has_checksum ? crc64_update(0, head) : 0;
    for (uint32_t i = 0; i < chunk_count; i++) {
        ASSERT(chunks[i].offset == end_offset);
        ASSERT(chunks[i].size > 0);
        end_offset += chunks[i].size;
        if (has_checksum) {
            crc = crc64_combine(crc, chunks[i].crc, chunks[i].size);
        }
    }
    ASSERT(offset == end_offset);
    write_index(writer, chunks, chunk_count, has_checksum);
    write_locator(writer, offset, rdb_writer_bytes(writer));
    rdb_write_u8(writer, RDB_OPCODE_END);
    if (has_checksum) {
        crc = crc64_update(crc, rdb_writer_bytes(writer));
    }
    rdb_write_u64(writer, crc);
}
