/*
 * rdb_file_test.c: what is written is walked from the front and by chunks; the head has one size;
 * padding has every size; each changed byte and each cut is found; old opcodes are known.
 */
#include "persist/rdb_file_read.h"

#include "core/heap.h"
#include "core/random.h"
#include "persist/crc64.h"
#include "persist/rdb_skip.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- files ---- */

static void
write_string_key(struct rdb_writer *writer, uint32_t number)
{
    char name[24];
    struct rdb_key key = {.deadline_ms = number % 3 == 0 ? 1900000000000 + (int64_t)number : -1,
                          .idle_s = number % 4 == 1 ? (int64_t)number * 100 : -1,
                          .frequency = number % 4 == 2 ? (int32_t)number % 256 : -1,
                          .type = RDB_TYPE_STRING};
    key.key = slice_of(name, (size_t)snprintf(name, sizeof(name), "key:%u", number));
    rdb_write_key(writer, &key);
    rdb_write_string(writer, SLICE("the value, the value, the value, the value"));
}

/** A file of chunks with three keys each; every other chunk ends with padding. */
static void
file_write(struct rdb_writer *file, uint32_t chunk_count, bool has_checksum)
{
    struct rdb_chunk chunks[16];
    struct rdb_writer part;
    cr_assert(chunk_count <= ARRAY_COUNT(chunks));
    rdb_writer_create(&part, true);
    rdb_write_head(file, &(struct rdb_head){.version = RDB_VERSION, .server_version = "7.0.15"});
    for (uint32_t i = 0; i < chunk_count; i++) {
        rdb_writer_clear(&part);
        rdb_write_select(&part, i % 3);
        for (uint32_t k = 0; k < 3; k++) {
            write_string_key(&part, i * 3 + k);
        }
        uint64_t crc = crc64_update(0, rdb_writer_bytes(&part));
        if (i % 2 == 1) {
            uint64_t left_size = 300;
            uint64_t zero_count = rdb_write_padding(&part, &left_size);
            crc = crc64_update(0, rdb_writer_bytes(&part));
            crc = crc64_combine(crc, 0, zero_count);
            for (; zero_count > 0; zero_count--) {
                rdb_write_u8(&part, 0);
            }
        }
        chunks[i] = (struct rdb_chunk){.offset = file->size,
                                       .size = part.size,
                                       .crc = crc,
                                       .key_count = 3,
                                       .shard = (uint16_t)(i % 2)};
        rdb_write_bytes(file, rdb_writer_bytes(&part));
    }
    rdb_writer_clear(&part);
    rdb_write_tail(&part, chunks, chunk_count, slice_of(file->bytes, RDB_HEAD_SIZE), file->size,
                   has_checksum);
    rdb_write_bytes(file, rdb_writer_bytes(&part));
    rdb_writer_destroy(&part);
}

/** Walks to the end; values are strings. Returns how it ends. */
static enum rdb_item_kind
walk(struct rdb_file_reader *reader, uint32_t *key_count, bool is_checking)
{
    struct rdb_item item;
    char name[24];
    *key_count = 0;
    while (rdb_file_next(reader, &item)) {
        if (item.kind != RDB_ITEM_KEY) {
            continue;
        }
        if (!rdb_skip_string(&reader->reader)) {
            continue;
        }
        (*key_count)++;
        if (is_checking) {
            uint32_t number = 0;
            snprintf(name, sizeof(name), "%.*s", (int)item.key.key.size, item.key.key.data);
            cr_assert_eq(sscanf(name, "key:%u", &number), 1);
            cr_assert_eq(item.key.deadline_ms,
                         number % 3 == 0 ? 1900000000000 + (int64_t)number : -1);
            cr_assert_eq(item.key.idle_s, number % 4 == 1 ? (int64_t)number * 100 : -1);
            cr_assert_eq(item.key.frequency, number % 4 == 2 ? (int32_t)number % 256 : -1);
            cr_assert(item.is_key_mapped);
        }
    }
    return item.kind;
}

static enum rdb_item_kind
walk_file(struct slice file, uint32_t *key_count, bool is_checking)
{
    struct rdb_file_reader reader;
    rdb_file_reader_create(&reader, file, true);
    enum rdb_item_kind kind = walk(&reader, key_count, is_checking);
    rdb_file_reader_destroy(&reader);
    return kind;
}

Test(rdb_file, what_is_written_is_walked)
{
    for (uint32_t chunk_count = 0; chunk_count <= 16; chunk_count++) {
        for (uint32_t has_checksum = 0; has_checksum < 2; has_checksum++) {
            struct rdb_writer file;
            struct rdb_index index;
            uint32_t key_count;
            rdb_writer_create(&file, false);
            file_write(&file, chunk_count, has_checksum);
            struct slice bytes = rdb_writer_bytes(&file);
            cr_assert_eq(walk_file(bytes, &key_count, true), RDB_ITEM_END);
            cr_assert_eq(key_count, 3 * chunk_count);

            cr_assert(rdb_index_read(bytes, &index));
            cr_assert_eq(index.chunk_count, chunk_count);
            cr_assert_eq(index.key_count, 3 * chunk_count);
            cr_assert_eq(index.head_size, RDB_HEAD_SIZE);
            cr_assert_eq(index.has_checksums, has_checksum);
            cr_assert_eq(index.version, RDB_VERSION);
            for (uint32_t i = 0; i < chunk_count; i++) {
                struct rdb_file_reader reader;
                rdb_file_reader_create_chunk(&reader, bytes, &index, i, true);
                cr_assert_eq(walk(&reader, &key_count, true), RDB_ITEM_END);
                cr_assert_eq(reader.end_offset, index.chunks[i].offset + index.chunks[i].size);
                cr_assert_eq(reader.is_verified, has_checksum);
                cr_assert_eq(key_count, 3);
                cr_assert_eq(index.chunks[i].shard, i % 2);
                rdb_file_reader_destroy(&reader);
            }
            rdb_index_destroy(&index);
            rdb_writer_destroy(&file);
        }
    }
}

/** Libraries of functions stand between the head and the first chunk, and nothing else does. */
Test(rdb_file, an_index_goes_with_libraries_of_functions)
{
    for (uint32_t is_library = 0; is_library < 2; is_library++) {
        struct rdb_writer file;
        struct rdb_writer tail;
        struct rdb_index index;
        struct rdb_chunk chunk = {.key_count = 1};
        rdb_writer_create(&file, true);
        rdb_writer_create(&tail, true);
        rdb_write_head(&file, &(struct rdb_head){.version = RDB_VERSION, .server_version = "7"});
        rdb_write_function(&file, SLICE("#!lua name=a\n"));
        if (is_library) {
            rdb_write_function(&file, SLICE("#!lua name=b\n a a a a a a a a a a a a a a a a a"));
        } else {
            rdb_write_resize(&file, 1, 0);
        }
        chunk.offset = file.size;
        rdb_write_select(&file, 0);
        write_string_key(&file, 1);
        chunk.size = file.size - chunk.offset;
        chunk.crc = crc64_update(0, slice_of(file.bytes + chunk.offset, chunk.size));
        rdb_write_tail(&tail, &chunk, 1, slice_of(file.bytes, chunk.offset), file.size, true);
        rdb_write_bytes(&file, rdb_writer_bytes(&tail));
        uint32_t key_count;
        cr_assert_eq(walk_file(rdb_writer_bytes(&file), &key_count, true), RDB_ITEM_END);
        cr_assert_eq(key_count, 1);
        cr_assert_eq(rdb_index_read(rdb_writer_bytes(&file), &index), is_library == 1);
        if (is_library) {
            cr_assert_eq(index.head_size, chunk.offset);
            rdb_index_destroy(&index);
        }
        rdb_writer_destroy(&file);
        rdb_writer_destroy(&tail);
    }
}

Test(rdb_file, every_changed_byte_is_found)
{
    struct rdb_writer file;
    rdb_writer_create(&file, false);
    file_write(&file, 4, true);
    struct slice bytes = rdb_writer_bytes(&file);
    for (size_t at = 0; at < file.size; at++) {
        for (uint32_t bit = 0; bit < 8; bit += 1 + at % 3) {
            uint32_t key_count;
            struct rdb_index index;
            file.bytes[at] ^= (char)(1 << bit);
            cr_assert_eq(walk_file(bytes, &key_count, false), RDB_ITEM_DAMAGED, "byte %zu", at);
            if (rdb_index_read(bytes, &index)) {
                uint32_t damaged_count = 0;
                for (uint32_t i = 0; i < index.chunk_count; i++) {
                    struct rdb_file_reader reader;
                    rdb_file_reader_create_chunk(&reader, bytes, &index, i, true);
                    damaged_count += walk(&reader, &key_count, false) == RDB_ITEM_DAMAGED;
                    rdb_file_reader_destroy(&reader);
                }
                cr_assert_eq(damaged_count, 1, "byte %zu", at);
                rdb_index_destroy(&index);
            }
            file.bytes[at] ^= (char)(1 << bit);
        }
    }
    rdb_writer_destroy(&file);
}

Test(rdb_file, every_cut_is_found)
{
    struct rdb_writer file;
    struct rdb_index index;
    rdb_writer_create(&file, false);
    file_write(&file, 3, true);
    for (size_t size = 0; size < file.size; size++) {
        uint32_t key_count;
        struct slice cut = slice_of(file.bytes, size);
        cr_assert_eq(walk_file(cut, &key_count, false), RDB_ITEM_DAMAGED, "size %zu", size);
        cr_assert_not(rdb_index_read(cut, &index));
    }
    rdb_writer_destroy(&file);
}

Test(rdb_file, bytes_behind_the_end_are_not_the_files)
{
    struct rdb_writer file;
    struct rdb_file_reader reader;
    struct rdb_index index;
    uint32_t key_count;
    rdb_writer_create(&file, false);
    file_write(&file, 3, true);
    size_t size = file.size;
    rdb_write_bytes(&file, SLICE("*1\r\n$4\r\nPING\r\n"));
    rdb_file_reader_create(&reader, rdb_writer_bytes(&file), true);
    cr_assert_eq(walk(&reader, &key_count, true), RDB_ITEM_END);
    cr_assert_eq(reader.end_offset, size);
    cr_assert(reader.is_verified);
    rdb_file_reader_destroy(&reader);
    cr_assert_not(rdb_index_read(rdb_writer_bytes(&file), &index));
    rdb_writer_destroy(&file);
}

Test(rdb_file, heads_have_one_size)
{
    static const uint64_t numbers[] = {0, 1, 255, 65536, 123456789, 1ULL << 40, UINT64_MAX};
    for (uint32_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct rdb_writer writer;
        struct rdb_head head = {.version = i % 2 == 0 ? RDB_VERSION : RDB_VERSION_VALKEY,
                                .server_version = i % 3 == 0 ? "" : "a rather long name of one",
                                .now_s = (int64_t)(numbers[i] >> 1),
                                .used_memory = numbers[i],
                                .is_aof_base = i % 2 == 0};
        rdb_writer_create(&writer, i % 2 == 0);
        rdb_write_head(&writer, &head);
        cr_assert_eq(writer.size, RDB_HEAD_SIZE);
        cr_assert_eq(rdb_file_version(rdb_writer_bytes(&writer)), head.version);
        rdb_writer_destroy(&writer);
    }
}

Test(rdb_file, padding_has_every_size)
{
    struct rdb_writer writer;
    rdb_writer_create(&writer, false);
    uint64_t size = RDB_PADDING_SIZE_MIN;
    while (size < ((uint64_t)48 << 20) + 100) {
        uint64_t left_size = size;
        uint64_t total = 0;
        while (left_size > 0) {
            rdb_writer_clear(&writer);
            uint64_t left_before = left_size;
            uint64_t zero_count = rdb_write_padding(&writer, &left_size);
            struct rdb_reader reader;
            uint8_t opcode;
            uint64_t length;
            rdb_reader_create(&reader, rdb_writer_bytes(&writer));
            cr_assert(rdb_read_u8(&reader, &opcode));
            cr_assert_eq(opcode, RDB_OPCODE_AUX);
            cr_assert(rdb_skip_string(&reader));
            cr_assert(rdb_read_length(&reader, &length));
            cr_assert(rdb_reader_is_at_end(&reader));
            cr_assert_eq(length, zero_count);
            cr_assert_eq(left_before - left_size, writer.size + zero_count);
            total += writer.size + zero_count;
        }
        cr_assert_eq(total, size);
        bool is_near_step = size < 70 || (size > 16380 && size < 16400) ||
                            (size > ((uint64_t)16 << 20) - 10 && size < ((uint64_t)16 << 20) + 20);
        size += is_near_step ? 1 : size < 16380 ? MIN(97U, 16381 - size) : 99991;
        if (size > ((uint64_t)16 << 20) - 100000 && size < ((uint64_t)16 << 20) - 10) {
            size = ((uint64_t)16 << 20) - 9;
        }
    }
    rdb_writer_destroy(&writer);
}

/* ---- single items ---- */

static struct rdb_item
item_of(struct rdb_file_reader *reader, struct slice bytes, bool is_there)
{
    struct rdb_item item;
    rdb_file_reader_create(reader, bytes, true);
    cr_assert_eq(rdb_file_next(reader, &item), is_there);
    return item;
}

Test(rdb_file, old_and_foreign_opcodes_are_known)
{
    struct rdb_file_reader reader;
    struct rdb_item item;

    item = item_of(&reader,
                   SLICE("REDIS0009\xF7\x81\x00\x00\x00\x00\x00\x00\x04\x01\x02\x01\x05"
                         "\x02hi\x03"
                         "abcd\x04"
                         "12345678\x01\x40\x80\x00\xFE\x05"),
                   true);
    cr_assert_eq(item.kind, RDB_ITEM_MODULE_AUX);
    cr_assert(slice_equal(item.name, SLICE("AAAAAAAAB")));
    cr_assert(rdb_file_next(&reader, &item));
    cr_assert_eq(item.db, 5);
    rdb_file_reader_destroy(&reader);

    item = item_of(&reader, SLICE("VALKEY080\xF4\x07\x40\x80\x03"), true);
    cr_assert_eq(item.kind, RDB_ITEM_SLOT_INFO);
    cr_assert(item.slot == 7 && item.key_count == 128 && item.deadline_count == 3);
    rdb_file_reader_destroy(&reader);

    item = item_of(&reader,
                   SLICE("REDIS0010\xF5\x04"
                         "code"),
                   true);
    cr_assert_eq(item.kind, RDB_ITEM_FUNCTION);
    cr_assert(slice_equal(item.value, SLICE("code")));
    rdb_file_reader_destroy(&reader);

    item = item_of(&reader,
                   SLICE("REDIS0010\xF6\x01n\x03lua\x01\x02it\x04"
                         "code"),
                   true);
    cr_assert(item.kind == RDB_ITEM_FUNCTION && item.is_old_function);
    cr_assert(slice_equal(item.name, SLICE("n")));
    cr_assert(slice_equal(item.value, SLICE("code")));
    rdb_file_reader_destroy(&reader);

    /* Deadlines in seconds, before the key's own database even; they go with the next key only. */
    item = item_of(&reader, SLICE("REDIS0003\xFD\x10\x00\x00\x00\xFE\x02\x00\x01k\x01v"), true);
    cr_assert_eq(item.kind, RDB_ITEM_SELECT);
    cr_assert(rdb_file_next(&reader, &item));
    cr_assert(item.kind == RDB_ITEM_KEY && item.key.deadline_ms == 16000);
    cr_assert_eq(item.offset, 9);
    rdb_file_reader_destroy(&reader);
}

Test(rdb_file, damage_is_told)
{
    static const struct {
        struct slice bytes;
        uint64_t offset;
        const char *why;
    } cases[] = {
        {{"", 0}, 0, "no signature"},
        {{"REDIS00x1", 9}, 0, "no signature"},
        {{"REDIS0013", 9}, 0, "version 13"},
        {{"VALKEY010", 9}, 0, "version 10"},
        {{"REDIS0000", 9}, 0, "version 0"},
        {{"REDIS0010", 9}, 9, "end mark"},
        {{"REDIS0010\xF0", 10}, 9, "opcode 240"},
        {{"REDIS0010\x07\x01k", 12}, 9, "module"},
        {{"REDIS0010\xFA\x05key", 14}, 9, "record"},
        {{"REDIS0010\xFF\x01\x02", 12}, 9, "checksum"},
        {{"REDIS0010\xFF\x01\x02\x01\x02\x01\x02\x01\x02", 18}, 9, "checksum is wrong"},
        {{"REDIS0010\xFC\x01\x02", 12}, 9, "deadline"},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct rdb_file_reader reader;
        struct rdb_item item = item_of(&reader, cases[i].bytes, false);
        cr_assert_eq(item.kind, RDB_ITEM_DAMAGED);
        cr_assert_eq(item.offset, cases[i].offset, "case %u", i);
        cr_assert_not_null(strstr(item.why, cases[i].why), "case %u: %s", i, item.why);
        cr_assert_not(rdb_file_next(&reader, &item));
        cr_assert_eq(item.kind, RDB_ITEM_DAMAGED);
        rdb_file_reader_destroy(&reader);
    }
}

Test(rdb_file, a_value_that_cannot_be_read_is_its_keys_damage)
{
    struct rdb_file_reader reader;
    struct rdb_item item = item_of(&reader, SLICE("REDIS0010\xF9\x05\x00\x01k\x09short"), true);
    cr_assert_eq(item.kind, RDB_ITEM_KEY);
    cr_assert_not(rdb_skip_string(&reader.reader));
    cr_assert_not(rdb_file_next(&reader, &item));
    cr_assert_eq(item.kind, RDB_ITEM_DAMAGED);
    cr_assert_eq(item.offset, 9);
    cr_assert_not_null(strstr(item.why, "value"));
    rdb_file_reader_destroy(&reader);
}

Test(rdb_file, signatures)
{
    cr_assert_eq(rdb_file_version(SLICE("REDIS0001")), 1);
    cr_assert_eq(rdb_file_version(SLICE("REDIS0012")), 12);
    cr_assert_eq(rdb_file_version(SLICE("REDIS0080")), 80);
    cr_assert_eq(rdb_file_version(SLICE("VALKEY080")), 80);
    cr_assert_eq(rdb_file_version(SLICE("VALKEY08")), 0);
    cr_assert(rdb_file_begins(SLICE("REDIS0099...")));
    cr_assert_not(rdb_file_begins(SLICE("*1\r\n$4\r\nPING\r\n")));
}
