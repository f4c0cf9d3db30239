#include "core/heap.h"
#include "persist/crc64.h"
#include "persist/rdb_file_internal.h"
#include "persist/rdb_file_read.h"
#include "persist/rdb_skip.h"

/*
 * rdb_index.c: where the parts of a file lie, from its end.
 *
 *     ... | AUX index: chunk, chunk ... | AUX locator | FF | crc |
 *           ^                                 |    the last 9 bytes
 *           `---------------------------------'
 *
 * The locator is found by its size and known by its name. From there on everything is compared with
 * everything: the index's checksum with the locator's, the chunks with each other and with what
 * lies around them, and the checksums of head, chunks and tail, combined, with the file's. The
 * chunks' bytes are not touched: whoever reads one compares its checksum then.
 *
 * Invariant: an index that is accepted covers the file; each byte belongs to the head, to one
 * chunk, or to the tail.
 *
 * Rejected: telling why an index does not fit. The file without it is a file as any other, and its
 * reader finds what is damaged by offset and reason.
 */

/** What stands in front of the locator's numbers: name and all. */
#define LOCATOR_NUMBERS_SIZE (3 * sizeof(uint64_t))

static uint64_t
get_u64(const char *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

/** The bytes of the index's field; false: there is no locator, or it lies. */
static bool
index_find(struct slice file, struct slice *field)
{
    static const char start[] = "\xFA\x0F" RDB_LOCATOR_NAME "\x20\x00\x01\x00\x00\x00\x00\x00\x00";
    _Static_assert(sizeof(start) - 1 + LOCATOR_NUMBERS_SIZE == RDB_LOCATOR_SIZE, "all of it");
    _Static_assert(sizeof(RDB_LOCATOR_NAME) - 1 == 0x0F, "its length");
    _Static_assert(RDB_LOCATOR_VALUE_SIZE == 0x20, "and that of its value");
    if (file.size < RDB_SIGNATURE_SIZE + RDB_LOCATOR_SIZE + RDB_END_SIZE ||
        (unsigned char)file.data[file.size - RDB_END_SIZE] != RDB_OPCODE_END) {
        return false;
    }
    uint64_t locator_offset = file.size - RDB_END_SIZE - RDB_LOCATOR_SIZE;
    const char *locator = file.data + locator_offset;
    if (memcmp(locator, start, sizeof(start) - 1) != 0) {
        return false;
    }
    const char *numbers = locator + sizeof(start) - 1;
    uint64_t offset = get_u64(numbers);
    uint64_t size = get_u64(numbers + 8);
    if (offset < RDB_SIGNATURE_SIZE || offset > locator_offset || size != locator_offset - offset) {
        return false;
    }
    *field = slice_of(file.data + offset, size);
    return crc64_update(0, *field) == get_u64(numbers + 16);
}

/** The chunks side by side, from the head's end to the tail's begin. */
static bool
chunks_fit(struct rdb_index *index)
{
    uint64_t end_offset = index->tail_offset;
    if (index->chunk_count > 0) {
        end_offset = index->chunks[0].offset;
    }
    index->head_size = end_offset;
    for (uint32_t i = 0; i < index->chunk_count; i++) {
        const struct rdb_chunk *chunk = &index->chunks[i];
        if (chunk->offset != end_offset || end_offset > index->tail_offset || chunk->size == 0 ||
            chunk->size > index->tail_offset - end_offset || chunk->key_count > chunk->size) {
            return false;
        }
        end_offset += chunk->size;
        index->key_count += chunk->key_count;
    }
    return end_offset == index->tail_offset && index->head_size >= RDB_SIGNATURE_SIZE;
}

/** The index's value: a head, and the chunks. They are index->chunks then. */
static bool
chunks_read(struct rdb_index *index, struct slice value)
{
    uint16_t flags;
    uint32_t count;
    if (value.size < RDB_INDEX_HEAD_SIZE || value.data[0] != 0 ||
        value.data[1] != RDB_INDEX_FORMAT) {
        return false;
    }
    memcpy(&flags, value.data + 2, sizeof(flags));
    memcpy(&count, value.data + 4, sizeof(count));
    if ((flags & ~RDB_INDEX_HAS_CHECKSUMS) != 0 ||
        value.size - RDB_INDEX_HEAD_SIZE != (uint64_t)count * RDB_INDEX_CHUNK_SIZE) {
        return false;
    }
    index->has_checksums = (flags & RDB_INDEX_HAS_CHECKSUMS) != 0;
    index->chunk_count = count;
    index->chunks = heap_alloc((size_t)count * sizeof(*index->chunks));
    const char *at = value.data + RDB_INDEX_HEAD_SIZE;
    for (uint32_t i = 0; i < count; i++, at += RDB_INDEX_CHUNK_SIZE) {
        struct rdb_chunk *chunk = &index->chunks[i];
        chunk->offset = get_u64(at);
        chunk->size = get_u64(at + 8);
        chunk->crc = get_u64(at + 16);
        chunk->key_count = get_u64(at + 24);
        memcpy(&chunk->shard, at + 32, sizeof(chunk->shard));
    }
    return true;
}

/** Is the head a signature, AUX fields and libraries of functions, and nothing else? */
static bool
head_is_plain(struct slice head)
{
    struct rdb_reader reader;
    uint8_t opcode;
    rdb_reader_create(&reader, head);
    bool is_plain = rdb_skip_bytes(&reader, RDB_SIGNATURE_SIZE);
    while (is_plain && !rdb_reader_is_at_end(&reader)) {
        is_plain = rdb_read_u8(&reader, &opcode) && rdb_skip_string(&reader) &&
                   (opcode == RDB_OPCODE_FUNCTION ||
                    (opcode == RDB_OPCODE_AUX && rdb_skip_string(&reader)));
    }
    rdb_reader_destroy(&reader);
    return is_plain;
}

/** Do the parts' checksums make up the file's? */
static bool
checksum_fits(struct slice file, const struct rdb_index *index)
{
    uint64_t file_crc = get_u64(file.data + file.size - sizeof(file_crc));
    if (!index->has_checksums) {
        return file_crc == 0;
    }
    uint64_t crc = crc64_update(0, slice_of(file.data, index->head_size));
    for (uint32_t i = 0; i < index->chunk_count; i++) {
        crc = crc64_combine(crc, index->chunks[i].crc, index->chunks[i].size);
    }
    crc = crc64_update(crc, slice_of(file.data + index->tail_offset,
                                     file.size - sizeof(file_crc) - index->tail_offset));
    return crc == file_crc;
}

/** The field's value: the field is that, and nothing else. */
static bool
field_value(struct slice field, struct slice *value)
{
    static const char start[] = "\xFA\x0D" RDB_INDEX_NAME;
    _Static_assert(sizeof(RDB_INDEX_NAME) - 1 == 0x0D, "its length");
    size_t start_size = sizeof(start) - 1;
    if (field.size < start_size || memcmp(field.data, start, start_size) != 0) {
        return false;
    }
    struct rdb_reader reader;
    uint64_t size;
    rdb_reader_create(&reader, slice_of(field.data + start_size, field.size - start_size));
    bool is_good = rdb_read_length(&reader, &size) && (uint64_t)(reader.end - reader.at) == size;
    *value = slice_of(reader.at, (size_t)(reader.end - reader.at));
    rdb_reader_destroy(&reader);
    return is_good;
}

bool
rdb_index_read(struct slice file, struct rdb_index *index)
{
    struct slice field;
    struct slice value;
    *index = (struct rdb_index){.version = rdb_file_version(file)};
    if (index->version == 0 || !index_find(file, &field) || !field_value(field, &value)) {
        return false;
    }
    index->tail_offset = (uint64_t)(field.data - file.data);
    if (chunks_read(index, value) && chunks_fit(index) &&
        head_is_plain(slice_of(file.data, index->head_size)) && checksum_fits(file, index)) {
        return true;
    }
    rdb_index_destroy(index);
    return false;
}

void
rdb_index_destroy(struct rdb_index *index)
{
    heap_free(index->chunks);
    *index = (struct rdb_index){0};
}
