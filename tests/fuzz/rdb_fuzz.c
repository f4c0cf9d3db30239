/*
 * rdb_fuzz.c: whatever the bytes of a file say, its walk ends, reads no byte beyond, leaves nothing
 * behind; a value that is read ends where skipping it ends, in one piece and in many; and an index
 * that is accepted lies within its file and covers it.
 *
 * The first byte says what the input is: the bytes themselves, or numbers that a file is made from
 * by our own writer, with chunks, padding, index and locator, and what is then changed in its
 * bytes. An unchanged file gives back what was put in, from the front and by its chunks. Without a
 * fuzzer the program makes inputs of its own, from the seed of its first argument.
 */
#include "core/heap.h"
#include "core/random.h"
#include "persist/crc64.h"
#include "persist/rdb_file_read.h"
#include "shard/value/codec.h"
#include "shard/value/raw.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** More databases than keys are put into. */
#define DB_COUNT 16

/** What a walk has seen: the sums do not depend on the order of chunks. */
struct sight {
    enum rdb_item_kind last;
    bool is_verified;
    uint64_t key_count;
    uint64_t sum;
};

/* ---- reading ---- */

struct pieces {
    struct slice bytes;
    size_t size_max;
};

static int64_t
pieces_fill(void *context, void *buffer, size_t size)
{
    struct pieces *pieces = context;
    size = MIN(MIN(size, pieces->size_max), pieces->bytes.size);
    if (size > 0) {
        memcpy(buffer, pieces->bytes.data, size);
        pieces->bytes.data += size;
        pieces->bytes.size -= size;
    }
    return (int64_t)size;
}

static void
value_drop(struct value *value, struct memory *memory)
{
    if (value->is_object) {
        value_object_delete(value);
    } else if (value->raw != NULL) {
        memory_adopt(memory, raw_block_size(value->raw));
        raw_delete(memory, value->raw);
    }
}

/** Reads the value, and looks whether skipping it comes to the same place. */
static void
value_pass(struct rdb_file_reader *file, uint8_t type, struct memory *memory)
{
    char text[CODEC_TEXT_SIZE];
    struct value value;
    struct codec_options options = {
        .hash = {.listpack_count = 16, .listpack_text_size = 64, .seed = 7},
        .set = {.intset_count = 16, .listpack_count = 8, .listpack_member_size = 64, .seed = 7},
        .zset = {.listpack_count = 16, .listpack_member_size = 64, .seed = 7},
        .list = quicklist_limits_of(-2),
        .memory = memory,
        .text = text,
        .version = file->version,
    };
    const unsigned char *begin = file->reader.at;
    struct slice bytes = slice_of(begin, (size_t)(file->reader.end - begin));
    struct pieces pieces = {.bytes = bytes, .size_max = 1 + bytes.size % 7};
    struct rdb_reader skipping;
    struct rdb_reader skipping_pieces;
    rdb_reader_create(&skipping, bytes);
    rdb_reader_create_source(&skipping_pieces, pieces_fill, &pieces);
    bool is_skipped = codec_skip(&skipping, type);
    bool is_skipped_in_pieces = codec_skip(&skipping_pieces, type);
    ASSERT(is_skipped == is_skipped_in_pieces);
    ASSERT(is_skipped == (skipping.error == 0));
    ASSERT(!is_skipped || rdb_reader_offset(&skipping) == rdb_reader_offset(&skipping_pieces));
    if (codec_read(&file->reader, type, &options, &value)) {
        ASSERT(is_skipped);
        ASSERT(skipping.at == file->reader.at);
        value_drop(&value, memory);
    }
    rdb_reader_destroy(&skipping);
    rdb_reader_destroy(&skipping_pieces);
}

/** A database's number, a key and its attributes. */
static uint64_t
key_sum(uint64_t db, const struct rdb_key *key)
{
    int64_t numbers[] = {(int64_t)db, key->deadline_ms, key->idle_s, key->frequency, key->type};
    uint64_t crc = crc64_update(1, slice_of(numbers, sizeof(numbers)));
    return crc64_update(crc, key->key);
}

static void
file_walk(struct rdb_file_reader *file, struct sight *sight)
{
    struct memory memory;
    struct rdb_item item;
    uint64_t db = 0;
    uint64_t last_offset = 0;
    memory_create(&memory);
    while (rdb_file_next(file, &item)) {
        ASSERT(item.offset < rdb_file_offset(file));
        ASSERT(rdb_file_offset(file) > last_offset);
        last_offset = rdb_file_offset(file);
        if (item.kind == RDB_ITEM_SELECT) {
            db = item.db;
        } else if (item.kind == RDB_ITEM_KEY) {
            sight->key_count++;
            sight->sum += key_sum(db, &item.key);
            value_pass(file, item.key.type, &memory);
        }
    }
    sight->last = item.kind;
    sight->is_verified = file->is_verified;
    ASSERT(item.kind == RDB_ITEM_END || item.kind == RDB_ITEM_DAMAGED);
    ASSERT(item.kind == RDB_ITEM_END || (item.why != NULL && item.offset <= file->file.size));
    /* Once over, always over. */
    ASSERT(!rdb_file_next(file, &item));
    ASSERT(item.kind == sight->last);
    ASSERT(memory.used_size == 0);
    memory_destroy(&memory);
}

/** By its index, if it has one; the last chunk first. */
static bool
chunks_walk(struct slice file, struct sight *sight)
{
    struct rdb_index index;
    if (!rdb_index_read(file, &index)) {
        return false;
    }
    ASSERT(index.head_size <= index.tail_offset);
    ASSERT(index.tail_offset < file.size);
    sight->last = RDB_ITEM_END;
    for (uint32_t i = index.chunk_count; i > 0; i--) {
        struct rdb_file_reader reader;
        struct sight chunk_sight = {.sum = 0};
        rdb_file_reader_create_chunk(&reader, file, &index, i - 1, true);
        file_walk(&reader, &chunk_sight);
        rdb_file_reader_destroy(&reader);
        sight->key_count += chunk_sight.key_count;
        sight->sum += chunk_sight.sum;
        if (chunk_sight.last != RDB_ITEM_END) {
            sight->last = RDB_ITEM_DAMAGED;
        }
    }
    rdb_index_destroy(&index);
    return true;
}

/** From the front and by chunks; true: there was an index. */
static bool
bytes_try(struct slice bytes, bool is_summing, struct sight *front, struct sight *parts)
{
    /* In a block of their size, so that a sanitizer sees who reads beyond. */
    char *copy = heap_alloc(bytes.size);
    struct rdb_file_reader reader;
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    *front = (struct sight){.sum = 0};
    *parts = (struct sight){.sum = 0};
    rdb_file_reader_create(&reader, slice_of(copy, bytes.size), is_summing);
    file_walk(&reader, front);
    rdb_file_reader_destroy(&reader);
    bool has_index = chunks_walk(slice_of(copy, bytes.size), parts);
    heap_free(copy);
    return has_index;
}

/* ---- files to begin with ---- */

/** A value's bytes of some type, that the type's reader takes. */
static uint8_t
value_make(struct rdb_writer *writer, struct random *random)
{
    static const uint8_t types[] = {RDB_TYPE_STRING, RDB_TYPE_LIST,  RDB_TYPE_SET,
                                    RDB_TYPE_HASH,   RDB_TYPE_ZSET,  RDB_TYPE_ZSET_2,
                                    RDB_TYPE_HASH_2, RDB_TYPE_STRING};
    uint8_t type = types[random_below(random, ARRAY_COUNT(types))];
    uint64_t count = 1 + random_below(random, 20);
    if (type == RDB_TYPE_STRING) {
        rdb_write_string(writer, SLICE("abababababababababababababababababab"));
        return type;
    }
    rdb_write_length(writer, count);
    for (uint64_t i = 0; i < count; i++) {
        rdb_write_integer(writer, (int64_t)(i * i * 77));
        if (type == RDB_TYPE_HASH || type == RDB_TYPE_HASH_2) {
            rdb_write_string(writer, SLICE("value"));
        }
        if (type == RDB_TYPE_HASH_2) {
            rdb_write_u64(writer, i % 3 == 0 ? UINT64_MAX : UINT64_C(1900000000000) + i);
        } else if (type == RDB_TYPE_ZSET_2) {
            rdb_write_double(writer, (double)i / 2);
        } else if (type == RDB_TYPE_ZSET) {
            rdb_write_u8(writer, 1);
            rdb_write_u8(writer, (uint8_t)('0' + i % 10));
        }
    }
    return type;
}

static void
key_make(struct rdb_writer *writer, struct random *random, uint64_t db, struct sight *sight)
{
    char name[32];
    struct rdb_writer value;
    struct rdb_key key = {.deadline_ms = -1, .idle_s = -1, .frequency = -1};
    key.key = slice_of(name, (size_t)snprintf(name, sizeof(name), "%s%llu",
                                              random_below(random, 2) == 0 ? "" : "key",
                                              (unsigned long long)random_below(random, 100000)));
    if (random_below(random, 3) == 0) {
        key.deadline_ms = (int64_t)(random_next(random) >> 20);
    }
    if (random_below(random, 4) == 0) {
        key.idle_s = (int64_t)random_below(random, 1000000);
    } else if (random_below(random, 4) == 0) {
        key.frequency = (int32_t)random_below(random, 256);
    }
    rdb_writer_create(&value, random_below(random, 2) == 0);
    key.type = value_make(&value, random);
    rdb_write_key(writer, &key);
    rdb_write_bytes(writer, rdb_writer_bytes(&value));
    rdb_writer_destroy(&value);
    sight->key_count++;
    sight->sum += key_sum(db, &key);
}

/** Whole records, and perhaps padding. */
static uint64_t
chunk_make(struct rdb_writer *writer, struct random *random, struct sight *sight)
{
    static const char zeros[4096];
    uint64_t key_count = random_below(random, 6);
    uint32_t db = (uint32_t)random_below(random, DB_COUNT);
    rdb_write_select(writer, db);
    for (uint64_t i = 0; i < key_count; i++) {
        key_make(writer, random, db, sight);
    }
    if (random_below(random, 3) == 0) {
        rdb_write_function(writer, SLICE("#!lua name=library"));
    }
    if (random_below(random, 2) == 0) {
        uint64_t left_size = RDB_PADDING_SIZE_MIN + random_below(random, 200);
        while (left_size > 0) {
            uint64_t zero_count = rdb_write_padding(writer, &left_size);
            ASSERT(zero_count <= sizeof(zeros));
            rdb_write_bytes(writer, slice_of(zeros, zero_count));
        }
    }
    return key_count;
}

static void
file_make(struct rdb_writer *file, struct random *random, bool has_checksum, struct sight *sight)
{
    struct rdb_chunk chunks[8];
    uint32_t chunk_count = (uint32_t)random_below(random, ARRAY_COUNT(chunks) + 1);
    struct rdb_writer part;
    rdb_writer_create(&part, random_below(random, 2) == 0);
    rdb_write_head(file, &(struct rdb_head){.version = RDB_VERSION_VALKEY,
                                            .server_version = "7.0.15",
                                            .now_s = 1700000000,
                                            .used_memory = random_next(random)});
    struct slice head = slice_of(file->bytes, file->size);
    for (uint32_t i = 0; i < chunk_count; i++) {
        rdb_writer_clear(&part);
        struct rdb_chunk *chunk = &chunks[i];
        chunk->key_count = chunk_make(&part, random, sight);
        chunk->offset = file->size;
        chunk->size = part.size;
        chunk->crc = crc64_update(0, rdb_writer_bytes(&part));
        chunk->shard = (uint16_t)random_below(random, 4);
        rdb_write_bytes(file, rdb_writer_bytes(&part));
    }
    head.data = file->bytes;
    rdb_writer_clear(&part);
    rdb_write_tail(&part, chunks, chunk_count, head, file->size, has_checksum);
    rdb_write_bytes(file, rdb_writer_bytes(&part));
    rdb_writer_destroy(&part);
}

/** A place and what becomes of it. */
struct patch {
    uint8_t what;
    uint8_t byte;
    uint16_t place;
};

static size_t
patch_apply(char *bytes, size_t size, struct patch patch)
{
    if (size == 0) {
        return 0;
    }
    size_t place = patch.place % size;
    switch (patch.what % 5) {
    case 0:
        bytes[place] ^= (char)(1 << patch.byte % 8);
        break;
    case 1:
        bytes[place] = (char)patch.byte;
        break;
    case 2:
        /* An opcode, or a length of eight bytes. */
        bytes[place] = (char)(patch.byte % 2 == 0 ? 0x81 : 0xf4 + patch.byte % 12);
        break;
    case 3:
        /* The tail: index, locator and end. */
        bytes[size - 1 - place % MIN(size, (size_t)200)] ^= (char)(1 << patch.byte % 8);
        break;
    default:
        return patch.byte % 4 == 0 ? place : size;
    }
    return size;
}

#define HEAD_SIZE 12

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sight front;
    struct sight parts;
    if (size < HEAD_SIZE) {
        return 0;
    }
    if (data[0] % 8 == 0) {
        bytes_try(slice_of(data + 1, size - 1), data[1] % 2 == 0, &front, &parts);
        return 0;
    }
    struct random random;
    struct rdb_writer file;
    struct sight sight = {.sum = 0};
    uint64_t seed;
    bool has_checksum = data[1] % 2 == 0;
    memcpy(&seed, data + 4, sizeof(seed));
    random_create(&random, seed);
    rdb_writer_create(&file, false);
    file_make(&file, &random, has_checksum, &sight);
    bool has_index = bytes_try(rdb_writer_bytes(&file), true, &front, &parts);
    ASSERT(has_index);
    ASSERT(front.last == RDB_ITEM_END);
    ASSERT(front.key_count == sight.key_count && front.sum == sight.sum);
    ASSERT(parts.last == RDB_ITEM_END);
    ASSERT(parts.key_count == sight.key_count && parts.sum == sight.sum);

    size_t file_size = file.size;
    char *before = heap_alloc(file_size);
    memcpy(before, file.bytes, file_size);
    for (size_t at = HEAD_SIZE; at + sizeof(struct patch) <= size; at += sizeof(struct patch)) {
        struct patch patch;
        memcpy(&patch, data + at, sizeof(patch));
        file_size = patch_apply(file.bytes, file_size, patch);
    }
    bool is_changed = file_size != file.size || memcmp(before, file.bytes, file_size) != 0;
    heap_free(before);
    has_index = bytes_try(slice_of(file.bytes, file_size), data[2] % 2 == 0, &front, &parts);
    /* A checksum finds all damage, unless it was damaged into none. */
    if (is_changed && has_checksum) {
        ASSERT(!has_index || parts.last == RDB_ITEM_DAMAGED);
        ASSERT(front.last == RDB_ITEM_DAMAGED || !front.is_verified);
    }
    rdb_writer_destroy(&file);
    return 0;
}

#ifdef FUZZ_SMOKE
int
main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t round_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    struct random random;
    random_create(&random, seed);
    printf("seed %llu, %llu rounds\n", (unsigned long long)seed, (unsigned long long)round_count);
    for (uint64_t round = 0; round < round_count; round++) {
        uint8_t input[HEAD_SIZE + 4 * sizeof(struct patch)];
        for (size_t i = 0; i < sizeof(input); i++) {
            input[i] = (uint8_t)random_next(&random);
        }
        LLVMFuzzerTestOneInput(input, HEAD_SIZE + random_below(&random, 5) * sizeof(struct patch));
    }
    return 0;
}
#endif
