/*
 * codec_fuzz.c: whatever the bytes say, reading a value gives a sound one or none: it reads no byte
 * beyond, leaves nothing behind, takes no memory that the bytes do not pay for, and finds the same
 * in one piece as in many. A sound one is written and read again, and is the same then.
 *
 * The first byte says what the input is: the bytes themselves, or numbers that a valid value is
 * made from, and what is then changed in its bytes. So damage that is one bit away from every type
 * and form is near without a corpus. Without a fuzzer the program makes inputs of its own, from the
 * seed of its first argument.
 */
#include "core/heap.h"
#include "core/random.h"
#include "shard/value/codec.h"
#include "shard/value/digest.h"
#include "shard/value/intset.h"
#include "shard/value/raw.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- options ---- */

static struct codec_options
options_of(uint8_t choice, struct memory *memory, char *text)
{
    uint64_t count = (choice & 1) != 0 ? 4 : 64;
    struct codec_options options = {
        .hash = {.listpack_count = count, .listpack_text_size = 64, .seed = 7},
        .set = {.intset_count = count,
                .listpack_count = count / 2,
                .listpack_member_size = 64,
                .seed = 7},
        .zset = {.listpack_count = count, .listpack_member_size = 64, .seed = 7},
        .list = quicklist_limits_of((choice & 2) != 0 ? 3 : -1),
        .memory = memory,
        .text = text,
    };
    options.list.compress_depth = (choice & 4) != 0;
    static const uint16_t versions[] = {10, 11, 12, 80};
    options.version = versions[choice >> 3 & 3];
    return options;
}

/* ---- is it sound? ---- */

static bool
value_is_sound(const struct value *value)
{
    uint32_t count;
    if (!value->is_object) {
        return value->type == VALUE_STRING;
    }
    if (value->encoding != ENCODING_STREAM &&
        object_count(value->type, value->encoding, value->object) == 0) {
        return false;
    }
    switch ((enum value_encoding)value->encoding) {
    case ENCODING_LISTPACK:
        return listpack_validate(listpack_bytes(value->object), &count);
    case ENCODING_INTSET:
        return intset_validate(intset_bytes(value->object));
    case ENCODING_QUICKLIST:
        return quicklist_check(value->object);
    case ENCODING_HASHTABLE:
        return packed_check(value->object);
    case ENCODING_SKIPLIST:
        return ztree_is_valid(value->object);
    case ENCODING_STREAM:
        return stream_check(value->object);
    case ENCODING_INT:
    case ENCODING_EMBSTR:
    case ENCODING_RAW:
    default:
        return false;
    }
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

/** Returns whether there was a value, and its digest. */
static bool
value_read(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
           struct digest *digest, struct rdb_writer *writer)
{
    struct value value;
    *digest = (struct digest){0};
    if (!codec_read(reader, type, options, &value)) {
        ASSERT(reader->error != 0);
        return false;
    }
    ASSERT(reader->error == 0);
    ASSERT(value_is_sound(&value));
    digest_mix_value(digest, &value, false);
    if (writer != NULL) {
        rdb_write_u8(writer, (uint8_t)codec_type(&value));
        codec_write(writer, &value);
    }
    value_drop(&value, options->memory);
    return true;
}

static void
bytes_try(struct slice bytes, uint8_t type, uint8_t choice)
{
    struct memory memory;
    char text[CODEC_TEXT_SIZE];
    memory_create(&memory);
    struct codec_options options = options_of(choice, &memory, text);
    /* In a block of their size, so that a sanitizer sees who reads beyond. */
    char *copy = heap_alloc(bytes.size);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    struct rdb_writer writer;
    struct rdb_reader reader;
    struct digest digest;
    struct digest other_digest;
    rdb_writer_create(&writer, (choice & 32) != 0);
    rdb_reader_create(&reader, slice_of(copy, bytes.size));
    bool is_read = value_read(&reader, type, &options, &digest, &writer);
    rdb_reader_destroy(&reader);

    struct pieces pieces = {.bytes = bytes, .size_max = 1 + choice % 13};
    rdb_reader_create_source(&reader, pieces_fill, &pieces);
    bool is_read_again = value_read(&reader, type, &options, &other_digest, NULL);
    rdb_reader_destroy(&reader);
    ASSERT(is_read == is_read_again);
    ASSERT(memcmp(&digest, &other_digest, sizeof(digest)) == 0);

    if (is_read) {
        options.version =
            writer.bytes[0] == RDB_TYPE_HASH_2 ? RDB_VERSION_VALKEY : (uint16_t)RDB_VERSION;
        rdb_reader_create(&reader, slice_of(writer.bytes + 1, writer.size - 1));
        bool is_back = value_read(&reader, (uint8_t)writer.bytes[0], &options, &other_digest, NULL);
        ASSERT(is_back);
        ASSERT(rdb_reader_is_at_end(&reader));
        ASSERT(memcmp(&digest, &other_digest, sizeof(digest)) == 0);
        rdb_reader_destroy(&reader);
    }
    rdb_writer_destroy(&writer);
    heap_free(copy);
    ASSERT(memory.used_size == 0);
    memory_destroy(&memory);
}

/* ---- values to begin with ---- */

static size_t
word_make(struct random *random, char word[100])
{
    switch (random_below(random, 6)) {
    case 0:
        return (size_t)snprintf(word, 100, "%lld",
                                (long long)random_next(random) >> random_below(random, 64));
    case 1:
        memset(word, 'x', 70);
        return 60 + random_below(random, 10);
    default:
        return (size_t)snprintf(word, 100, "w%u", (unsigned)random_below(random, 1000));
    }
}

static void
ziplist_text(struct rdb_writer *out, struct slice text)
{
    rdb_write_u8(out, (uint8_t)text.size);
    rdb_write_bytes(out, text);
}

/** The words as a ziplist or a zipmap, as a string in `writer`. */
static void
old_make(struct rdb_writer *writer, struct random *random, uint32_t count, bool is_zipmap,
         bool is_scored)
{
    struct rdb_writer blob;
    uint32_t previous_size = 0;
    uint32_t last = 10;
    rdb_writer_create(&blob, false);
    rdb_write_bytes(&blob, slice_of("\0\0\0\0\0\0\0\0\0\0", is_zipmap ? 1 : 10));
    for (uint32_t i = 0; i < count; i++) {
        char word[100];
        size_t size = (size_t)snprintf(word, sizeof(word), "%05u", i);
        if (!is_scored && i % 2 != 0) {
            size = MIN(word_make(random, word), (size_t)62);
        }
        size_t from = blob.size;
        last = (uint32_t)from;
        if (!is_zipmap) {
            rdb_write_u8(&blob, (uint8_t)previous_size);
        }
        if (!is_zipmap && random_below(random, 4) == 0 && (i % 2 != 0 || !is_scored)) {
            rdb_write_u8(&blob, 0xC0);
            rdb_write_u16(&blob, (uint16_t)(i * 3));
        } else if (is_zipmap && i % 2 != 0) {
            rdb_write_u8(&blob, (uint8_t)size);
            rdb_write_u8(&blob, 2);
            rdb_write_bytes(&blob, slice_of(word, size));
            rdb_write_u16(&blob, 0);
        } else {
            ziplist_text(&blob, slice_of(word, size));
        }
        previous_size = (uint32_t)(blob.size - from);
    }
    rdb_write_u8(&blob, 0xFF);
    if (is_zipmap) {
        blob.bytes[0] = (char)MIN(count / 2, 254U);
    } else {
        uint32_t size = (uint32_t)blob.size;
        uint16_t stored_count = (uint16_t)count;
        memcpy(blob.bytes, &size, 4);
        memcpy(blob.bytes + 4, &last, 4);
        memcpy(blob.bytes + 8, &stored_count, 2);
    }
    rdb_write_string(writer, rdb_writer_bytes(&blob));
    rdb_writer_destroy(&blob);
}

static struct value
stream_make(struct random *random, uint32_t count)
{
    struct stream *stream = stream_new();
    struct stream_limits limits = {.size_max = 4096, .count_max = 5};
    for (uint32_t i = 0; i < count; i++) {
        char word[100];
        struct slice texts[] = {SLICE("f"), slice_of(word, word_make(random, word)),
                                slice_of(word, i % 4), SLICE("v")};
        stream_append(stream, &limits, (struct stream_id){i + 1, i % 3}, texts, i % 7 == 0 ? 2 : 1);
    }
    for (uint32_t i = 0; i < count; i += 4) {
        stream_remove(stream, (struct stream_id){i + 1, i % 3});
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct stream_group *group =
            stream_group_create(stream, slice_of("ab", i + 1), (struct stream_id){count, 0},
                                i == 0 ? STREAM_READ_COUNT_UNKNOWN : 3);
        struct stream_consumer *consumers[2] = {
            stream_consumer_create(stream, group, SLICE("alice"), 1700000000000),
            stream_consumer_create(stream, group, SLICE("bob"), 0),
        };
        for (uint32_t k = 0; k < count; k += 2) {
            struct stream_pending *pending = stream_pending_add(
                stream, group, (struct stream_id){k + 1, k % 3}, consumers[k / 2 % 2]);
            pending->delivery_ms = k;
            pending->delivery_count = k * 100;
        }
    }
    return value_object(VALUE_STREAM, ENCODING_STREAM, stream);
}

/** A value of a kind, for codec_write(). */
static struct value
value_make(uint32_t kind, struct random *random, uint32_t count,
           const struct codec_options *options)
{
    struct list_value list = list_value_new();
    struct set set = {.encoding = ENCODING_INTSET};
    struct hash hash = {.encoding = ENCODING_LISTPACK};
    struct zset zset = {.encoding = ENCODING_LISTPACK};
    if (kind == 4) {
        object_delete(VALUE_LIST, list.encoding, list.object);
        return stream_make(random, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        char word[100];
        char other[100];
        struct slice text = slice_of(word, word_make(random, word));
        struct slice value = slice_of(other, word_make(random, other));
        if (kind == 0) {
            list_value_grow(&list, &options->list, &text, 1);
            list_value_push_last(&list, &options->list, text);
        } else if (kind == 1) {
            bool is_number = random_below(random, 64) != 0;
            set_add(&set, &options->set,
                    is_number ? slice_of(other, (size_t)snprintf(other, 100, "%u", i * 99)) : text);
        } else if (kind == 2) {
            int64_t deadline_ms = random_below(random, 40) == 0 ? 1800000000000 : HASH_NO_DEADLINE;
            hash_set_timed(&hash, &options->hash, text, value, deadline_ms);
        } else {
            zset_put(&zset, &options->zset, text, (double)i / (i % 3 == 0 ? 1 : -4));
        }
    }
    if (kind != 0) {
        object_delete(VALUE_LIST, list.encoding, list.object);
    }
    switch (kind) {
    case 0:
        return value_object(VALUE_LIST, list.encoding, list.object);
    case 1:
        return value_object(VALUE_SET, set.encoding, set.object);
    case 2:
        return value_object(VALUE_HASH, hash.encoding, hash.object);
    default:
        return value_object(VALUE_ZSET, zset.encoding, zset.object);
    }
}

/** Bytes of a valid value, and its type. */
static uint8_t
seed_make(struct rdb_writer *writer, uint32_t kind, struct random *random, uint8_t choice)
{
    struct codec_options options = options_of(choice, NULL, NULL);
    uint32_t count = 1 + (uint32_t)random_below(random, random_below(random, 4) == 0 ? 150 : 12);
    static const uint8_t old_types[] = {RDB_TYPE_LIST_ZIPLIST, RDB_TYPE_HASH_ZIPLIST,
                                        RDB_TYPE_ZSET_ZIPLIST, RDB_TYPE_HASH_ZIPMAP,
                                        RDB_TYPE_LIST_QUICKLIST};
    if (kind >= 8) {
        uint8_t type = old_types[kind % ARRAY_COUNT(old_types)];
        if (type == RDB_TYPE_LIST_QUICKLIST) {
            rdb_write_length(writer, 1);
        }
        old_make(writer, random, 2 * count, type == RDB_TYPE_HASH_ZIPMAP,
                 type == RDB_TYPE_ZSET_ZIPLIST);
        return type;
    }
    if (kind == 5) {
        char word[100];
        rdb_write_string(writer, slice_of(word, word_make(random, word)));
        return RDB_TYPE_STRING;
    }
    struct value value = value_make(kind % 5, random, count, &options);
    uint8_t type = (uint8_t)codec_type(&value);
    codec_write(writer, &value);
    value_object_delete(&value);
    /* A set's listpack is a valid list's, and the other way round. */
    return type;
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
    switch (patch.what % 6) {
    case 0:
        bytes[place] ^= (char)(1 << patch.byte % 8);
        break;
    case 1:
        bytes[place] = (char)patch.byte;
        break;
    case 2:
        bytes[place]++;
        break;
    case 3:
        bytes[place] = (char)(patch.byte % 2 == 0 ? 0x81 : 0xff);
        break;
    case 4:
        /* Heads are where most that matters stands. */
        bytes[place % MIN(size, (size_t)24)] ^= (char)(1 << patch.byte % 8);
        break;
    default:
        if (patch.byte % 4 == 0) {
            return place;
        }
        break;
    }
    return size;
}

#define HEAD_SIZE 12

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_SIZE) {
        return 0;
    }
    uint8_t choice = data[1];
    if (data[0] % 4 == 0) {
        bytes_try(slice_of(data + 3, size - 3), data[2], choice);
        return 0;
    }
    struct random random;
    struct rdb_writer writer;
    uint64_t seed;
    memcpy(&seed, data + 4, sizeof(seed));
    random_create(&random, seed);
    rdb_writer_create(&writer, (data[3] & 1) != 0);
    uint8_t type = seed_make(&writer, data[2] % 13, &random, choice);
    size_t bytes_size = writer.size;
    for (size_t at = HEAD_SIZE; at + sizeof(struct patch) <= size; at += sizeof(struct patch)) {
        struct patch patch;
        memcpy(&patch, data + at, sizeof(patch));
        bytes_size = patch_apply(writer.bytes, bytes_size, patch);
    }
    if (data[3] % 16 == 2) {
        type = data[3] >> 4;
    }
    bytes_try(slice_of(writer.bytes, bytes_size), type, choice);
    rdb_writer_destroy(&writer);
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
