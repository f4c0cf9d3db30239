/*
 * codec_skip_test.c: for each type that can be read, skipping stops where reading does, in one
 * piece and in many, and a value that is cut short is not skipped.
 */
#include "shard/value/codec.h"

#include "core/heap.h"
#include "shard/value/raw.h"

#include <criterion/criterion.h>

/** What lies behind each value. */
#define REST "\x05rest of the file"

static struct codec_options
options_of(struct memory *memory, char *text, uint16_t version)
{
    return (struct codec_options){
        .hash = {.listpack_count = 128, .listpack_text_size = 64, .seed = 1},
        .set = {.intset_count = 512, .listpack_count = 128, .listpack_member_size = 64, .seed = 1},
        .zset = {.listpack_count = 128, .listpack_member_size = 64, .seed = 1},
        .list = quicklist_limits_of(-2),
        .memory = memory,
        .text = text,
        .version = version,
    };
}

struct pieces {
    struct slice bytes;
};

static int64_t
pieces_fill(void *context, void *buffer, size_t size)
{
    struct pieces *pieces = context;
    if (pieces->bytes.size == 0) {
        return 0;
    }
    memcpy(buffer, pieces->bytes.data, 1);
    pieces->bytes.data++;
    pieces->bytes.size--;
    return 1;
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

/** `value` is a valid one; the number of its version, 10 where nothing needs another. */
static void
skip_is_as_read(uint8_t type, uint16_t version, struct slice bytes)
{
    struct memory memory;
    char text[CODEC_TEXT_SIZE];
    struct value value;
    struct rdb_writer whole;
    struct rdb_reader reader;
    memory_create(&memory);
    struct codec_options options = options_of(&memory, text, version);
    rdb_writer_create(&whole, false);
    rdb_write_bytes(&whole, bytes);
    rdb_write_bytes(&whole, SLICE(REST));

    rdb_reader_create(&reader, rdb_writer_bytes(&whole));
    cr_assert(codec_read(&reader, type, &options, &value), "type %u", type);
    cr_assert_eq(rdb_reader_offset(&reader), bytes.size, "type %u", type);
    value_drop(&value, &memory);

    rdb_reader_create(&reader, rdb_writer_bytes(&whole));
    cr_assert(codec_skip(&reader, type), "type %u", type);
    cr_assert_eq(rdb_reader_offset(&reader), bytes.size, "type %u", type);

    struct pieces pieces = {.bytes = rdb_writer_bytes(&whole)};
    rdb_reader_create_source(&reader, pieces_fill, &pieces);
    cr_assert(codec_skip(&reader, type), "type %u", type);
    cr_assert_eq(rdb_reader_offset(&reader), bytes.size, "type %u", type);
    rdb_reader_destroy(&reader);

    for (size_t size = 0; size < bytes.size; size++) {
        rdb_reader_create(&reader, slice_of(bytes.data, size));
        cr_assert_not(codec_skip(&reader, type), "type %u, %zu bytes", type, size);
        cr_assert_neq(reader.error, 0);
    }
    rdb_writer_destroy(&whole);
    cr_assert_eq(memory.used_size, 0);
    memory_destroy(&memory);
}

/** Length and bytes of a listpack or another block. */
static void
write_block(struct rdb_writer *writer, struct slice block)
{
    rdb_write_length(writer, block.size);
    rdb_write_bytes(writer, block);
}

/** "a" "1" as a listpack, and as a ziplist. */
#define LISTPACK_PAIR SLICE("\x0c\0\0\0\x02\0\x81\x61\x02\x01\x01\xff")
#define ZIPLIST_PAIR SLICE("\x10\0\0\0\x0d\0\0\0\x02\0\0\x01\x61\x03\xf2\xff")
/** The same and no deadline. */
#define LISTPACK_TRIPLE SLICE("\x0e\0\0\0\x03\0\x81\x61\x02\x01\x01\0\x01\xff")
#define INTSET SLICE("\x02\0\0\0\x02\0\0\0\x01\0\x05\0")
#define ZIPMAP SLICE("\x01\x01\x61\x01\0\x31\xff")

Test(codec_skip, strings)
{
    struct rdb_writer writer;
    rdb_writer_create(&writer, true);
    static const struct slice texts[] = {{"", 0},     {"12", 2},       {"-1234", 5},
                                         {"hi", 2},   {"7654321", 7},  {"99999999999", 11},
                                         {"\xff", 1}, {"00000001", 8}, {"abc", 3}};
    for (uint32_t i = 0; i < ARRAY_COUNT(texts); i++) {
        rdb_writer_clear(&writer);
        rdb_write_string(&writer, texts[i]);
        skip_is_as_read(RDB_TYPE_STRING, 10, rdb_writer_bytes(&writer));
    }
    char text[20000];
    memset(text, 'x', sizeof(text));
    for (size_t size = 50; size <= sizeof(text); size *= 7) {
        rdb_writer_clear(&writer);
        rdb_write_string(&writer, slice_of(text, size));
        skip_is_as_read(RDB_TYPE_STRING, 10, rdb_writer_bytes(&writer));
    }
    rdb_writer_destroy(&writer);
}

Test(codec_skip, counted_elements)
{
    static const struct {
        uint8_t type;
        uint16_t version;
        struct slice bytes;
    } cases[] = {
        {RDB_TYPE_LIST, 1, {"\x02\x01\x61\xc0\x05", 5}},
        {RDB_TYPE_SET, 1, {"\x02\x01\x61\xc1\x05\x05", 6}},
        {RDB_TYPE_HASH, 1, {"\x01\x01\x61\x01\x62", 5}},
        {RDB_TYPE_ZSET,
         1,
         {"\x03\x01\x61\x03"
          "1.5"
          "\x01\x62\xfe\x01\x63\xff",
          13}},
        {RDB_TYPE_ZSET_2, 10, {"\x01\x01\x61\0\0\0\0\0\0\xf0\x3f", 11}},
        {RDB_TYPE_HASH_2, 80, {"\x01\x01\x61\x01\x62\xff\xff\xff\xff\xff\xff\xff\xff", 13}},
        {RDB_TYPE_HASH_METADATA, 12, {"\0\x01\0\0\0\0\0\0\x01\x05\x01\x61\x01\x62", 14}},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        skip_is_as_read(cases[i].type, cases[i].version, cases[i].bytes);
    }
}

Test(codec_skip, blocks)
{
    static const struct {
        uint8_t type;
        uint16_t version;
        struct slice front;
        struct slice block;
    } cases[] = {
        {RDB_TYPE_LIST_ZIPLIST, 5, {"", 0}, ZIPLIST_PAIR},
        {RDB_TYPE_LIST_QUICKLIST, 7, {"\x01", 1}, ZIPLIST_PAIR},
        {RDB_TYPE_LIST_QUICKLIST_2, 10, {"\x01\x02", 2}, LISTPACK_PAIR},
        {RDB_TYPE_LIST_QUICKLIST_2, 10, {"\x02\x01\x06single\x02", 10}, LISTPACK_PAIR},
        {RDB_TYPE_SET_INTSET, 5, {"", 0}, INTSET},
        {RDB_TYPE_SET_LISTPACK, 11, {"", 0}, LISTPACK_PAIR},
        {RDB_TYPE_HASH_ZIPMAP, 1, {"", 0}, ZIPMAP},
        {RDB_TYPE_HASH_ZIPLIST, 5, {"", 0}, ZIPLIST_PAIR},
        {RDB_TYPE_HASH_LISTPACK, 10, {"", 0}, LISTPACK_PAIR},
        {RDB_TYPE_HASH_LISTPACK_EX, 12, {"\0\0\0\0\0\0\0\0", 8}, LISTPACK_TRIPLE},
        {RDB_TYPE_ZSET_ZIPLIST, 5, {"", 0}, ZIPLIST_PAIR},
        {RDB_TYPE_ZSET_LISTPACK, 10, {"", 0}, LISTPACK_PAIR},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct rdb_writer writer;
        rdb_writer_create(&writer, false);
        rdb_write_bytes(&writer, cases[i].front);
        write_block(&writer, cases[i].block);
        skip_is_as_read(cases[i].type, cases[i].version, rdb_writer_bytes(&writer));
        rdb_writer_destroy(&writer);
    }
}

/** A group with a consumer each, both with nothing pending, in a stream without entries. */
static void
write_empty_stream(struct rdb_writer *writer, uint8_t type)
{
    rdb_write_length(writer, 0); /* nodes */
    rdb_write_length(writer, 0); /* entries */
    rdb_write_bytes(writer, SLICE("\x05\x01"));
    if (type != RDB_TYPE_STREAM_LISTPACKS) {
        rdb_write_bytes(writer, SLICE("\0\0\x04\0\x03")); /* first, deleted, added */
    }
    rdb_write_length(writer, 2); /* groups */
    for (uint32_t i = 0; i < 2; i++) {
        rdb_write_string(writer, slice_of(i == 0 ? "one" : "two", 3));
        rdb_write_bytes(writer, SLICE("\x03\0"));
        if (type != RDB_TYPE_STREAM_LISTPACKS) {
            rdb_write_length(writer, 2);
        }
        rdb_write_length(writer, 0); /* pending */
        rdb_write_length(writer, 1); /* consumers */
        rdb_write_string(writer, SLICE("alice"));
        rdb_write_u64(writer, 1700000000000);
        if (type == RDB_TYPE_STREAM_LISTPACKS_3) {
            rdb_write_u64(writer, 1700000000001);
        }
        rdb_write_length(writer, 0);
    }
}

Test(codec_skip, streams_of_all_ages)
{
    static const uint8_t types[] = {RDB_TYPE_STREAM_LISTPACKS, RDB_TYPE_STREAM_LISTPACKS_2,
                                    RDB_TYPE_STREAM_LISTPACKS_3};
    for (uint32_t i = 0; i < ARRAY_COUNT(types); i++) {
        struct rdb_writer writer;
        rdb_writer_create(&writer, false);
        write_empty_stream(&writer, types[i]);
        skip_is_as_read(types[i], 11, rdb_writer_bytes(&writer));
        rdb_writer_destroy(&writer);
    }
}

Test(codec_skip, streams_with_pending_entries)
{
    struct stream *stream = stream_new();
    struct stream_limits limits = {.size_max = 4096, .count_max = 3};
    for (uint64_t i = 1; i <= 10; i++) {
        struct slice texts[] = {SLICE("field"), SLICE("value")};
        stream_append(stream, &limits, (struct stream_id){i, 0}, texts, 1);
    }
    struct stream_group *group =
        stream_group_create(stream, SLICE("group"), (struct stream_id){10, 0}, 10);
    struct stream_consumer *consumer = stream_consumer_create(stream, group, SLICE("bob"), 5);
    for (uint64_t i = 2; i <= 9; i += 3) {
        struct stream_pending *pending =
            stream_pending_add(stream, group, (struct stream_id){i, 0}, consumer);
        pending->delivery_ms = 7;
        pending->delivery_count = i * 100;
    }
    struct value value = value_object(VALUE_STREAM, ENCODING_STREAM, stream);
    struct rdb_writer writer;
    rdb_writer_create(&writer, true);
    codec_write(&writer, &value);
    skip_is_as_read((uint8_t)codec_type(&value), RDB_VERSION, rdb_writer_bytes(&writer));
    rdb_writer_destroy(&writer);
    value_object_delete(&value);
}

Test(codec_skip, unknown_types)
{
    for (uint32_t type = 0; type < 256; type++) {
        static const uint8_t unknown[] = {6, 7, 8, 23, 26, 100, 245, 255};
        struct rdb_reader reader;
        rdb_reader_create(&reader, SLICE("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        bool is_unknown =
            type > RDB_TYPE_HASH_LISTPACK_EX || memchr(unknown, (int)type, sizeof(unknown)) != NULL;
        cr_assert_eq(codec_skip(&reader, (uint8_t)type), !is_unknown, "type %u", type);
    }
}

Test(codec_skip, counts_that_lie)
{
    struct rdb_reader reader;
    for (uint8_t type = RDB_TYPE_LIST; type <= RDB_TYPE_ZSET_2; type++) {
        rdb_reader_create(&reader, SLICE("\x81\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"));
        cr_assert_not(codec_skip(&reader, type));
    }
    rdb_reader_create(&reader, SLICE("\x81\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"));
    cr_assert_not(codec_skip(&reader, RDB_TYPE_STRING));
}
