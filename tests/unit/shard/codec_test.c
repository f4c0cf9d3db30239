/*
 * codec_test.c: every type in every encoding goes out and comes back the same, at once and in
 * steps; every old form is read; whatever is damaged is refused.
 */
#include "shard/value/codec.h"

#include "collection.h"
#include "core/heap.h"
#include "core/random.h"
#include "persist/crc64.h"
#include "shard/entry.h"
#include "shard/keyspace.h"
#include "shard/value/digest.h"
#include "shard/value/intset.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

/* ---- payloads ---- */

/** With the footer. The same buffer each time. */
static struct slice
payload_end(struct rdb_writer *writer, uint16_t version)
{
    rdb_write_u16(writer, version);
    rdb_write_u64(writer, crc64_update(0, rdb_writer_bytes(writer)));
    return rdb_writer_bytes(writer);
}

static const char *
restore(struct harness *harness, const char *key, struct slice payload)
{
    struct slice argv[] = {SLICE("RESTORE"), slice_of_string(key), SLICE("0"), payload,
                           SLICE("REPLACE")};
    return harness_run(harness, argv, ARRAY_COUNT(argv)).data;
}

/** DUMP's answer; the caller's. */
static struct slice
dump(struct harness *harness, const char *key)
{
    struct slice argv[] = {SLICE("DUMP"), slice_of_string(key)};
    struct slice reply = harness_run(harness, argv, 2);
    struct slice bulk;
    cr_assert_eq(reply_bulks(reply, &bulk, 1), 1);
    char *bytes = heap_alloc(bulk.size);
    memcpy(bytes, bulk.data, bulk.size);
    return slice_of(bytes, bulk.size);
}

static bool
find_value(struct harness *harness, const char *name, struct value *value)
{
    struct slice key = slice_of_string(name);
    struct keyspace *keyspace = &harness->shard->keyspace;
    struct entry *entry =
        keyspace_find(keyspace, 0, key_slot(key), key, keyspace_hash(keyspace, key));
    if (entry == NULL) {
        return false;
    }
    entry_value(entry, value);
    return true;
}

static struct digest
digest_of(struct harness *harness, const char *key)
{
    struct value value;
    struct digest digest = {0};
    cr_assert(find_value(harness, key, &value), "%s", key);
    digest_mix_value(&digest, &value, false);
    return digest;
}

static void
write_in_steps(struct harness *harness, const char *key, size_t step_size)
{
    struct value value;
    struct rdb_writer whole;
    struct rdb_writer pieces;
    struct codec_writer state;
    cr_assert(find_value(harness, key, &value));
    rdb_writer_create(&whole, true);
    rdb_writer_create(&pieces, true);
    codec_write(&whole, &value);
    codec_writer_create(&state, &pieces, &value);
    uint64_t step_count = 1;
    while (!codec_write_step(&state, step_size)) {
        step_count++;
    }
    codec_writer_destroy(&state);
    cr_expect(slice_equal(rdb_writer_bytes(&whole), rdb_writer_bytes(&pieces)), "%s", key);
    cr_expect_leq(step_count, whole.size / MAX(step_size, 1) + 2, "%s", key);
    rdb_writer_destroy(&whole);
    rdb_writer_destroy(&pieces);
}

/** DUMP, RESTORE to another key: the same value, in the same encoding. */
static void
round_trip(struct harness *harness, const char *key)
{
    struct slice payload = dump(harness, key);
    cr_expect_str_eq(restore(harness, "copy", payload), "+OK\r\n", "%s", key);
    struct digest before = digest_of(harness, key);
    struct digest after = digest_of(harness, "copy");
    cr_expect(memcmp(&before, &after, sizeof(before)) == 0, "%s", key);
    char encoding[24];
    snprintf(encoding, sizeof(encoding), "%s", harness_encoding(harness, key));
    cr_expect_str_eq(harness_encoding(harness, "copy"), encoding, "%s", key);
    write_in_steps(harness, key, 1);
    write_in_steps(harness, key, 700);
    heap_free((void *)(uintptr_t)payload.data);
}

/* ---- round trips ---- */

Test(codec, strings)
{
    struct harness *harness = harness_new();
    harness->is_checked = true;
    static const char *const texts[] = {
        "0",
        "-1",
        "127",
        "-129",
        "32768",
        "-2147483648",
        "2147483648",
        "007",
        "1e5",
        "abc",
        "9223372036854775807",
        "-9223372036854775808",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        harness_format(harness, "SET k %s", texts[i]);
        round_trip(harness, "k");
    }
    static const uint32_t sizes[] = {0,    1,    20,   21,   44,    45,    63,    64,
                                     1023, 1024, 1025, 4096, 16383, 16384, 70000, 1 << 20};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char *text = heap_alloc(sizes[i] + 1);
        memset(text, 'x', sizes[i]);
        struct slice argv[] = {SLICE("SET"), SLICE("k"), slice_of(text, sizes[i])};
        harness_run(harness, argv, 3);
        heap_free(text);
        round_trip(harness, "k");
    }
    harness_delete(harness);
}

static void
fill(struct harness *harness, uint32_t count, const char *member_format)
{
    harness_line(harness, "DEL l s h z");
    char member[200];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(member, sizeof(member), member_format, i);
        harness_format(harness, "RPUSH l %s", member);
        harness_format(harness, "SADD s %s", member);
        harness_format(harness, "HSET h %s %u", member, i * 7);
        harness_format(harness, "ZADD z %s%u%s %s", i % 3 == 0 ? "-" : "", i,
                       i % 5 == 0 ? ".125" : "", member);
    }
}

Test(codec, collections_of_all_sizes)
{
    struct harness *harness = harness_new();
    static const char *const formats[] = {
        "%u",
        "%u00000000000",
        "m%u",
        "-%u",
        "%u-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    static const uint32_t counts[] = {1, 2, 24, 25, 127, 128, 129, 511, 512, 513, 1500};
    static const char *const keys[] = {"l", "s", "h", "z"};
    for (size_t f = 0; f < ARRAY_COUNT(formats); f++) {
        for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
            fill(harness, counts[c], formats[f]);
            for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
                round_trip(harness, keys[k]);
            }
        }
    }
    harness_delete(harness);
}

Test(codec, scores_at_their_ends)
{
    struct harness *harness = harness_new();
    harness_line(harness, "ZADD z inf a -inf b 1e300 c -1e-300 d 0.1 e 4611686018427387905 f "
                          "9223372036854775808 g 5e-324 h");
    cr_expect_str_eq(harness_encoding(harness, "z"), "listpack");
    round_trip(harness, "z");
    harness->config->zset_max_listpack_entries = 0;
    harness_line(harness, "DEL z");
    harness_line(harness, "ZADD z inf a -inf b 1e300 c -1e-300 d 0.1 e -0.0 f 5e-324 h");
    cr_expect_str_eq(harness_encoding(harness, "z"), "skiplist");
    round_trip(harness, "z");
    cr_expect_str_eq(harness_line(harness, "ZSCORE copy f"), "$2\r\n-0\r\n");
    harness_delete(harness);
}

static void
limits_set(struct harness *harness, int64_t count, int64_t list_size)
{
    struct config *config = harness->config;
    config->hash_max_listpack_entries = count;
    config->set_max_listpack_entries = count;
    config->set_max_intset_entries = count;
    config->zset_max_listpack_entries = count;
    config->list_max_listpack_size = list_size;
}

/** What is read becomes what the limits say, whatever it was. */
Test(codec, limits_decide_the_encoding)
{
    struct harness *harness = harness_new();
    fill(harness, 20, "m%u");
    harness_line(harness, "SADD i 1 2 3 4 5 6");
    struct slice payloads[5];
    static const char *const keys[] = {"l", "s", "h", "z", "i"};
    static const char *const small[] = {"listpack", "listpack", "listpack", "listpack", "intset"};
    static const char *const large[] = {"quicklist", "hashtable", "hashtable", "skiplist",
                                        "hashtable"};
    for (int i = 0; i < 5; i++) {
        cr_expect_str_eq(harness_encoding(harness, keys[i]), small[i]);
        payloads[i] = dump(harness, keys[i]);
    }
    limits_set(harness, 5, 5);
    for (int i = 0; i < 5; i++) {
        restore(harness, "copy", payloads[i]);
        cr_expect_str_eq(harness_encoding(harness, "copy"), large[i], "%s", keys[i]);
        struct digest before = digest_of(harness, keys[i]);
        struct digest after = digest_of(harness, "copy");
        cr_expect(memcmp(&before, &after, sizeof(before)) == 0, "%s", keys[i]);
        heap_free((void *)(uintptr_t)payloads[i].data);
        payloads[i] = dump(harness, "copy");
    }
    limits_set(harness, 500, -2);
    for (int i = 0; i < 5; i++) {
        restore(harness, "copy", payloads[i]);
        /* Nodes of a list stay apart. */
        cr_expect_str_eq(harness_encoding(harness, "copy"), i == 0 ? large[0] : small[i]);
        heap_free((void *)(uintptr_t)payloads[i].data);
    }
    harness_delete(harness);
}

/* ---- old forms ---- */

/** A ziplist under construction. */
struct ziplist {
    unsigned char bytes[4096];
    uint32_t size;
    uint32_t last;
    uint32_t previous_size;
    uint16_t count;
};

static void
ziplist_start(struct ziplist *ziplist)
{
    memset(ziplist, 0, sizeof(*ziplist));
    ziplist->size = 10;
    ziplist->last = 10;
}

static void
ziplist_add(struct ziplist *ziplist, const void *encoding, uint32_t encoding_size, const void *data,
            uint32_t size)
{
    unsigned char *at = ziplist->bytes + ziplist->size;
    ziplist->last = ziplist->size;
    if (ziplist->previous_size < 254) {
        *at++ = (unsigned char)ziplist->previous_size;
    } else {
        *at++ = 254;
        memcpy(at, &ziplist->previous_size, 4);
        at += 4;
    }
    memcpy(at, encoding, encoding_size);
    memcpy(at + encoding_size, data, size);
    at += encoding_size + size;
    ziplist->previous_size = (uint32_t)(at - ziplist->bytes) - ziplist->size;
    ziplist->size = (uint32_t)(at - ziplist->bytes);
    ziplist->count++;
}

static void
ziplist_add_text(struct ziplist *ziplist, const char *text)
{
    uint32_t size = (uint32_t)strlen(text);
    unsigned char head[2] = {(unsigned char)size};
    if (size >= 64) {
        head[0] = (unsigned char)(0x40 | size >> 8);
        head[1] = (unsigned char)size;
    }
    ziplist_add(ziplist, head, size < 64 ? 1 : 2, text, size);
}

static struct slice
ziplist_end(struct ziplist *ziplist)
{
    ziplist->bytes[ziplist->size++] = 0xFF;
    memcpy(ziplist->bytes, &ziplist->size, 4);
    memcpy(ziplist->bytes + 4, &ziplist->last, 4);
    memcpy(ziplist->bytes + 8, &ziplist->count, 2);
    return slice_of(ziplist->bytes, ziplist->size);
}

static const char *
restore_blob(struct harness *harness, uint8_t type, struct slice blob)
{
    struct rdb_writer writer;
    rdb_writer_create(&writer, true);
    rdb_write_u8(&writer, type);
    if (type == RDB_TYPE_LIST_QUICKLIST) {
        rdb_write_length(&writer, 1);
    }
    rdb_write_string(&writer, blob);
    const char *reply = restore(harness, "k", payload_end(&writer, 6));
    rdb_writer_destroy(&writer);
    return reply;
}

#define LONG_TEXT                                                                                  \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aa"                                                                                           \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" \
    "bb"                                                                                           \
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" \
    "cc"

/** All encodings of numbers and strings; an element behind a long one tells its size in five bytes.
 */
static struct slice
ziplist_of_all(struct ziplist *ziplist)
{
    ziplist_start(ziplist);
    ziplist_add_text(ziplist, "hello");
    ziplist_add(ziplist, "\xF1", 1, "", 0);
    ziplist_add(ziplist, "\xFD", 1, "", 0);
    ziplist_add(ziplist, "\xFE", 1, "\x80", 1);
    ziplist_add(ziplist, "\xC0", 1, "\x00\x80", 2);
    ziplist_add_text(ziplist, LONG_TEXT);
    ziplist_add(ziplist, "\xF0", 1, "\xff\xff\x7f", 3);
    ziplist_add(ziplist, "\xD0", 1, "\xff\xff\xff\x7f", 4);
    ziplist_add(ziplist, "\xE0", 1, "\x00\x00\x00\x00\x00\x00\x00\x80", 8);
    ziplist_add(ziplist, "\x80\x00\x00\x00\x02", 5, "hi", 2);
    ziplist_add_text(ziplist, "12");
    return ziplist_end(ziplist);
}

Test(codec, lists_of_ziplists)
{
    struct harness *harness = harness_new();
    struct ziplist ziplist;
    struct slice blob = ziplist_of_all(&ziplist);
    static const uint8_t types[] = {RDB_TYPE_LIST_ZIPLIST, RDB_TYPE_LIST_QUICKLIST};
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        cr_expect_str_eq(restore_blob(harness, types[i], blob), "+OK\r\n");
        cr_expect_str_eq(harness_line(harness, "LRANGE k 0 4"),
                         "*5\r\n$5\r\nhello\r\n$1\r\n0\r\n$2\r\n12\r\n$4\r\n-128\r\n$6\r\n-32768"
                         "\r\n");
        cr_expect_str_eq(harness_line(harness, "LRANGE k 6 -1"),
                         "*5\r\n$7\r\n8388607\r\n$10\r\n2147483647\r\n$20\r\n-9223372036854775808"
                         "\r\n$2\r\nhi\r\n$2\r\n12\r\n");
        cr_expect_str_eq(harness_line(harness, "LINDEX k 5"), "$282\r\n" LONG_TEXT "\r\n");
        /* A number that came as text is a number. */
        cr_expect_str_eq(harness_line(harness, "LPOS k 12 RANK -1"), ":10\r\n");
    }
    harness_delete(harness);
}

Test(codec, hashes_and_sorted_sets_of_ziplists)
{
    struct harness *harness = harness_new();
    struct ziplist ziplist;
    ziplist_start(&ziplist);
    ziplist_add_text(&ziplist, "f");
    ziplist_add(&ziplist, "\xF6", 1, "", 0);
    ziplist_add_text(&ziplist, "g");
    ziplist_add_text(&ziplist, "6.5");
    ziplist_add_text(&ziplist, "h");
    ziplist_add_text(&ziplist, "inf");
    struct slice blob = ziplist_end(&ziplist);
    cr_expect_str_eq(restore_blob(harness, RDB_TYPE_HASH_ZIPLIST, blob), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "HMGET k f g h"),
                     "*3\r\n$1\r\n5\r\n$3\r\n6.5\r\n$3\r\ninf\r\n");
    cr_expect_str_eq(harness_line(harness, "HLEN k"), ":3\r\n");
    cr_expect_str_eq(restore_blob(harness, RDB_TYPE_ZSET_ZIPLIST, blob), "+OK\r\n");
    cr_expect_str_eq(
        harness_line(harness, "ZRANGE k 0 -1 WITHSCORES"),
        "*6\r\n$1\r\nf\r\n$1\r\n5\r\n$1\r\ng\r\n$3\r\n6.5\r\n$1\r\nh\r\n$3\r\ninf\r\n");
    harness_delete(harness);
}

Test(codec, zipmaps)
{
    struct harness *harness = harness_new();
    struct slice good = SLICE("\x02"
                              "\x01"
                              "f"
                              "\x02\x03"
                              "ab???"
                              "\xfe\x01\x00\x00\x00"
                              "g"
                              "\x00\x00"
                              "\xff");
    cr_expect_str_eq(restore_blob(harness, RDB_TYPE_HASH_ZIPMAP, good), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "HMGET k f g x"), "*3\r\n$2\r\nab\r\n$0\r\n\r\n$-1\r\n");
    cr_expect_str_eq(harness_encoding(harness, "k"), "listpack");
    harness->config->hash_max_listpack_value = 1;
    restore_blob(harness, RDB_TYPE_HASH_ZIPMAP, good);
    cr_expect_str_eq(harness_encoding(harness, "k"), "hashtable");
    char bytes[40];
    for (size_t size = 0; size < good.size; size++) {
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_HASH_ZIPMAP, slice_of(good.data, size)),
                         "-ERR Bad data format\r\n");
    }
    /* The count, sizes, the two sizes of what is unused, the end. */
    static const uint32_t places[] = {0, 1, 3, 4, 10, 11, 12, 13, 14, 16, 17, 18};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        memcpy(bytes, good.data, good.size);
        bytes[places[i]] = (char)(bytes[places[i]] + 100);
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_HASH_ZIPMAP, slice_of(bytes, good.size)),
                         "-ERR Bad data format\r\n", "byte %u", places[i]);
    }
    harness_delete(harness);
}

/** Each byte of a ziplist that tells a size or an offset, changed. */
Test(codec, ziplists_that_lie)
{
    struct harness *harness = harness_new();
    struct ziplist ziplist;
    struct slice blob = ziplist_of_all(&ziplist);
    char bytes[4096];
    for (size_t size = 0; size < blob.size; size++) {
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_LIST_ZIPLIST, slice_of(blob.data, size)),
                         "-ERR Bad data format\r\n");
    }
    /* Header, the first element's head, the second one's predecessor, the end. */
    static const uint32_t places[] = {0, 1, 3, 4, 7, 8, 10, 11, 17};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        memcpy(bytes, blob.data, blob.size);
        bytes[places[i]]++;
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_LIST_ZIPLIST, slice_of(bytes, blob.size)),
                         "-ERR Bad data format\r\n", "byte %u", places[i]);
    }
    /* Two pairs and a half, the same field twice, out of order, a score that is none. */
    static const char *const texts[][6] = {
        {"a", "1", "b", "2", "c"},
        {"a", "1", "b", "2", "a", "3"},
        {"a", "2", "b", "1"},
        {"b", "1", "a", "1"},
        {"a", "nan"},
        {"a", "1x"},
        {"a", ""},
        {NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        ziplist_start(&ziplist);
        for (int k = 0; k < 6 && texts[i][k] != NULL; k++) {
            ziplist_add_text(&ziplist, texts[i][k]);
        }
        blob = ziplist_end(&ziplist);
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_ZSET_ZIPLIST, blob),
                         "-ERR Bad data format\r\n", "zset %zu", i);
        bool is_hash = i >= 2 && texts[i][0] != NULL;
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_HASH_ZIPLIST, blob),
                         is_hash ? "+OK\r\n" : "-ERR Bad data format\r\n", "hash %zu", i);
    }
    harness_delete(harness);
}

/** The forms with a count and strings in front of listpacks' time. */
Test(codec, plain_forms)
{
    struct harness *harness = harness_new();
    struct rdb_writer writer;
    rdb_writer_create(&writer, true);
    rdb_write_u8(&writer, RDB_TYPE_LIST);
    rdb_write_length(&writer, 2);
    rdb_write_string(&writer, SLICE("12"));
    rdb_write_string(&writer, SLICE("b"));
    cr_expect_str_eq(restore(harness, "k", payload_end(&writer, 1)), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "LRANGE k 0 -1"), "*2\r\n$2\r\n12\r\n$1\r\nb\r\n");
    rdb_writer_clear(&writer);
    rdb_write_u8(&writer, RDB_TYPE_ZSET);
    rdb_write_length(&writer, 3);
    rdb_write_string(&writer, SLICE("x"));
    rdb_write_bytes(&writer, SLICE("\x04"
                                   "10.5"));
    rdb_write_string(&writer, SLICE("y"));
    rdb_write_bytes(&writer, SLICE("\xff"));
    rdb_write_string(&writer, SLICE("z"));
    rdb_write_bytes(&writer, SLICE("\x01"
                                   "3"));
    cr_expect_str_eq(restore(harness, "k", payload_end(&writer, 3)), "+OK\r\n");
    cr_expect_str_eq(
        harness_line(harness, "ZRANGE k 0 -1 WITHSCORES"),
        "*6\r\n$1\r\ny\r\n$4\r\n-inf\r\n$1\r\nz\r\n$1\r\n3\r\n$1\r\nx\r\n$4\r\n10.5\r\n");
    rdb_writer_clear(&writer);
    /* A node that is one element, and one that is a listpack. */
    struct listpack *listpack = listpack_append(listpack_new(0), SLICE("b"));
    rdb_write_u8(&writer, RDB_TYPE_LIST_QUICKLIST_2);
    rdb_write_length(&writer, 2);
    rdb_write_length(&writer, 1);
    rdb_write_string(&writer, SLICE("a"));
    rdb_write_length(&writer, 2);
    rdb_write_string(&writer, listpack_bytes(listpack));
    cr_expect_str_eq(restore(harness, "k", payload_end(&writer, 10)), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "LRANGE k 0 -1"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    listpack_delete(listpack);
    rdb_writer_destroy(&writer);
    harness_delete(harness);
}

Test(codec, sets_of_listpacks_are_of_version_11)
{
    struct harness *harness = harness_new();
    struct listpack *listpack = listpack_new(0);
    listpack = listpack_append(listpack_append(listpack, SLICE("a")), SLICE("5"));
    struct rdb_writer writer;
    for (uint16_t version = 10; version <= 12; version++) {
        rdb_writer_create(&writer, true);
        rdb_write_u8(&writer, RDB_TYPE_SET_LISTPACK);
        rdb_write_string(&writer, listpack_bytes(listpack));
        cr_expect_str_eq(restore(harness, "k", payload_end(&writer, version)),
                         version == 10 ? "-ERR Bad data format\r\n" : "+OK\r\n");
        rdb_writer_destroy(&writer);
    }
    cr_expect_str_eq(harness_line(harness, "SMISMEMBER k a 5 b"), "*3\r\n:1\r\n:1\r\n:0\r\n");
    cr_expect_str_eq(harness_encoding(harness, "k"), "listpack");
    /* Nobody's effects may hold what redis-server 7.0 does not read. */
    effects_clear(&harness->journal);
    rdb_writer_create(&writer, true);
    rdb_write_u8(&writer, RDB_TYPE_SET_LISTPACK);
    rdb_write_string(&writer, listpack_bytes(listpack));
    restore(harness, "k", payload_end(&writer, 11));
    rdb_writer_destroy(&writer);
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &harness->journal);
    cr_assert(effect_read(&reader, &effect));
    cr_expect_eq(effect.argv[3].data[0], RDB_TYPE_SET);
    effect_reader_destroy(&reader);
    listpack = listpack_append(listpack, SLICE("a"));
    rdb_writer_create(&writer, true);
    rdb_write_u8(&writer, RDB_TYPE_SET_LISTPACK);
    rdb_write_string(&writer, listpack_bytes(listpack));
    cr_expect_str_eq(restore(harness, "k", payload_end(&writer, 11)), "-ERR Bad data format\r\n");
    rdb_writer_destroy(&writer);
    listpack_delete(listpack);
    harness_delete(harness);
}

/** A listpack whose number is a string, or takes more bytes than it needs, is put right. */
Test(codec, foreign_spellings)
{
    struct harness *harness = harness_new();
    static const struct slice listpacks[] = {
        SLICE("\x0d\x00\x00\x00\x02\x00\x81"
              "5\x02\x81"
              "v\x02\xff"),
        SLICE("\x0e\x00\x00\x00\x02\x00\xf1\x05\x00\x03\x81"
              "v\x02\xff"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(listpacks); i++) {
        cr_expect_str_eq(restore_blob(harness, RDB_TYPE_HASH_LISTPACK, listpacks[i]), "+OK\r\n");
        cr_expect_str_eq(harness_line(harness, "HGET k 5"), "$1\r\nv\r\n");
        cr_expect_str_eq(harness_line(harness, "HSET k 5 w"), ":0\r\n");
        cr_expect_str_eq(harness_line(harness, "HLEN k"), ":1\r\n");
    }
    harness_delete(harness);
}
