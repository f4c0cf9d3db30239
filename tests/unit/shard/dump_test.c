/*
 * dump_test.c: what RESTORE refuses, which deadline and clock a restored key gets, what its effects
 * are; fields with deadlines; any damage to a payload.
 */
#include "collection.h"
#include "core/heap.h"
#include "core/random.h"
#include "persist/crc64.h"
#include "shard/entry.h"
#include "shard/keyspace.h"
#include "shard/value/codec.h"
#include "shard/value/digest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice
dump(struct harness *harness, const char *key)
{
    struct slice argv[] = {SLICE("DUMP"), slice_of_string(key)};
    struct slice bulk;
    cr_assert_eq(reply_bulks(harness_run(harness, argv, 2), &bulk, 1), 1);
    char *bytes = heap_alloc(bulk.size);
    memcpy(bytes, bulk.data, bulk.size);
    return slice_of(bytes, bulk.size);
}

static void
dump_free(struct slice payload)
{
    heap_free((void *)(uintptr_t)payload.data);
}

/** "%" stands for the payload. */
static const char *
restore_line(struct harness *harness, struct slice payload, const char *line)
{
    char text[200];
    struct slice argv[12];
    uint32_t argc = 0;
    snprintf(text, sizeof(text), "%s", line);
    for (char *save = NULL, *word = strtok_r(text, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        argv[argc++] = strcmp(word, "%") == 0 ? payload : slice_of_string(word);
    }
    return harness_run(harness, argv, argc).data;
}

#define BUSY "-BUSYKEY Target key name already exists.\r\n"
#define NO_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NO_PAYLOAD "-ERR DUMP payload version or checksum are wrong\r\n"
#define SYNTAX "-ERR syntax error\r\n"

Test(dump, errors_in_their_order)
{
    static const struct {
        const char *line;
        const char *reply;
    } steps[] = {
        {"RESTORE k 0 %", BUSY},
        {"RESTORE k x bad", BUSY},
        {"RESTORE k 0 % replace", "+OK\r\n"},
        {"RESTORE k x bad REPLACE", NO_INTEGER},
        {"RESTORE k -1 bad REPLACE", "-ERR Invalid TTL value, must be >= 0\r\n"},
        {"RESTORE k 0 bad REPLACE", NO_PAYLOAD},
        {"RESTORE k 0 0123456789 REPLACE", NO_PAYLOAD},
        {"RESTORE k x bad IDLETIME", SYNTAX},
        {"RESTORE k x bad FREQ", SYNTAX},
        {"RESTORE k x bad IDLETIME x", NO_INTEGER},
        {"RESTORE k x bad IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0\r\n"},
        {"RESTORE k x bad FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"},
        {"RESTORE k x bad FREQ -1", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"},
        {"RESTORE k x bad FREQ 5 IDLETIME 5", SYNTAX},
        {"RESTORE k x bad IDLETIME 5 FREQ 5", SYNTAX},
        {"RESTORE k 0 % IDLETIME 5 IDLETIME x", NO_INTEGER},
        {"RESTORE k x bad NOSUCH", SYNTAX},
    };
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v");
    struct slice payload = dump(harness, "k");
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        cr_expect_str_eq(restore_line(harness, payload, steps[i].line), steps[i].reply, "%s",
                         steps[i].line);
    }
    cr_expect_str_eq(harness_line(harness, "DUMP nosuch"), "$-1\r\n");
    dump_free(payload);
    harness_delete(harness);
}

Test(dump, deadlines)
{
    struct harness *harness = harness_new();
    harness_line(harness, "RPUSH l a b");
    struct slice payload = dump(harness, "l");
    restore_line(harness, payload, "RESTORE k 0 %");
    cr_expect_eq(harness_deadline_ms(harness, "k"), -1);
    restore_line(harness, payload, "RESTORE k 5000 % REPLACE");
    cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 5000);
    restore_line(harness, payload, "RESTORE k 0 % REPLACE");
    cr_expect_eq(harness_deadline_ms(harness, "k"), -1);
    restore_line(harness, payload, "RESTORE k 1800000000000 % REPLACE ABSTTL");
    cr_expect_eq(harness_deadline_ms(harness, "k"), INT64_C(1800000000000));
    effects_clear(&harness->journal);
    /* Its time is over: the old one goes, nothing comes. */
    cr_expect_str_eq(restore_line(harness, payload, "RESTORE k 1 % REPLACE ABSTTL"), "+OK\r\n");
    cr_expect_str_eq(harness_effects(harness), "DEL k\n");
    cr_expect_str_eq(restore_line(harness, payload, "RESTORE k 1 % ABSTTL"), "+OK\r\n");
    cr_expect_str_eq(restore_line(harness, payload, "RESTORE k 9223372036854775807 %"), "+OK\r\n");
    cr_expect_str_eq(harness_effects(harness), "");
    cr_expect_str_eq(harness_line(harness, "EXISTS k"), ":0\r\n");
    dump_free(payload);
    harness_delete(harness);
}

Test(dump, access_clocks)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v");
    struct slice payload = dump(harness, "k");
    restore_line(harness, payload, "RESTORE k 0 % IDLETIME 5 IDLETIME 7 REPLACE");
    cr_expect_str_eq(harness_line(harness, "OBJECT IDLETIME k"), ":7\r\n");
    restore_line(harness, payload, "RESTORE k 0 % REPLACE");
    cr_expect_str_eq(harness_line(harness, "OBJECT IDLETIME k"), ":0\r\n");
    restore_line(harness, payload, "RESTORE k 0 % FREQ 200 REPLACE");
    cr_expect_str_eq(harness_line(harness, "OBJECT IDLETIME k"), ":0\r\n");
    harness->config->maxmemory_policy = CONFIG_MAXMEMORY_ALLKEYS_LFU;
    restore_line(harness, payload, "RESTORE k 0 % FREQ 200 REPLACE");
    cr_expect_str_eq(harness_line(harness, "OBJECT FREQ k"), ":200\r\n");
    restore_line(harness, payload, "RESTORE k 0 % REPLACE");
    cr_expect_str_eq(harness_line(harness, "OBJECT FREQ k"), ":5\r\n");
    dump_free(payload);
    harness_delete(harness);
}

/** One of each type; sizes by the number. */
static void
fill(struct harness *harness, uint32_t count)
{
    harness_line(harness, "SET s01 12345");
    harness_format(harness, "SETRANGE s02 %u abcabcabcabcabcabcabcabcabc", count);
    for (uint32_t i = 0; i < count; i++) {
        harness_format(harness, "RPUSH l element-%u %u", i, i * 1000);
        harness_format(harness, "SADD s element-%u", i);
        harness_format(harness, "SADD i %u", i * 1000);
        harness_format(harness, "HSET h field-%u %u %u x", i, i, i * 1000);
        harness_format(harness, "ZADD z %u.5 element-%u", i, i);
        harness_format(harness, "XADD x %u-1 f %u g h", i + 1, i);
    }
    harness_line(harness, "XDEL x 1-1 2-1");
    harness_line(harness, "XGROUP CREATE x g 0");
    harness_line(harness, "XGROUP CREATE x empty $ ENTRIESREAD 2");
    harness_line(harness, "XREADGROUP GROUP g alice COUNT 3 STREAMS x >");
    harness_line(harness, "XREADGROUP GROUP g bob COUNT 1 STREAMS x >");
    harness_line(harness, "XGROUP CREATECONSUMER x g carol");
    harness_line(harness, "HSET t a 1 b 2 c 3");
    harness_line(harness, "HPEXPIREAT t 1800000000000 FIELDS 1 b");
}

static const char *const keys[] = {"s01", "s02", "l", "s", "i", "h", "z", "x", "t"};

static const char *
restore(struct harness *harness, struct slice payload)
{
    struct slice argv[] = {SLICE("RESTORE"), SLICE("copy"), SLICE("0"), payload, SLICE("REPLACE")};
    return harness_run(harness, argv, ARRAY_COUNT(argv)).data;
}

static void
reseal(char *bytes, size_t size)
{
    uint64_t crc = crc64_update(0, slice_of(bytes, size - sizeof(crc)));
    memcpy(bytes + size - sizeof(crc), &crc, sizeof(crc));
}

/** Cut anywhere, or with bits turned, under a good checksum: refused, or a value that is sound. */
Test(dump, damage)
{
    uint64_t seed = random_system_seed();
    printf("dump damage: seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    struct harness *harness = harness_new();
    fill(harness, 40);
    for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
        struct slice payload = dump(harness, keys[k]);
        char *bytes = heap_alloc(payload.size);
        /* Each place where it might end, closed by a footer. */
        size_t step = MAX(payload.size / 100, (size_t)1);
        for (size_t size = 0; size + 10 < payload.size; size += step) {
            memcpy(bytes, payload.data, size);
            memcpy(bytes + size, payload.data + payload.size - 10, 2);
            reseal(bytes, size + 10);
            const char *reply = restore(harness, slice_of(bytes, size + 10));
            cr_expect_str_eq(reply, "-ERR Bad data format\r\n", "%s at %zu", keys[k], size);
        }
        for (uint32_t round = 0; round < 500; round++) {
            memcpy(bytes, payload.data, payload.size);
            for (uint64_t i = 1 + random_below(&random, 3); i > 0; i--) {
                bytes[random_below(&random, payload.size - 10)] ^=
                    (char)(1 << random_below(&random, 8));
            }
            reseal(bytes, payload.size);
            restore(harness, slice_of(bytes, payload.size));
            harness_line(harness, "SADD copy x");
            harness_line(harness, "ZADD copy 1 x");
            harness_line(harness, "HSET copy 1 x");
            harness_line(harness, "RPUSH copy x");
            harness_line(harness, "XADD copy MAXLEN 5 * f v");
        }
        heap_free(bytes);
        dump_free(payload);
    }
    harness_delete(harness);
}

/** Every bit of a payload as DUMP gave it counts. */
Test(dump, the_checksum_covers_all)
{
    struct harness *harness = harness_new();
    harness_line(harness, "RPUSH l a b c");
    struct slice payload = dump(harness, "l");
    char *bytes = (char *)(uintptr_t)payload.data;
    for (size_t bit = 0; bit < 8 * payload.size; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        cr_expect_str_eq(restore(harness, payload), NO_PAYLOAD);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    cr_expect_str_eq(restore(harness, payload), "+OK\r\n");
    dump_free(payload);
    harness_delete(harness);
}

static struct digest
digest_of(struct harness *harness, const char *name)
{
    struct slice key = slice_of_string(name);
    struct keyspace *keyspace = &harness->shard->keyspace;
    struct entry *entry =
        keyspace_find(keyspace, 0, key_slot(key), key, keyspace_hash(keyspace, key));
    struct digest digest = {0};
    struct value value;
    cr_assert_not_null(entry, "%s", name);
    entry_value(entry, &value);
    digest_mix_value(&digest, &value, false);
    return digest;
}

Test(dump, effects_carry_the_whole_value)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        struct harness *replica = harness_new();
        harness->is_borrowed = is_borrowed;
        fill(harness, 300);
        harness_line(harness, "PEXPIREAT z 1800000000000");
        /* What was copied is all that the replica hears of. */
        effects_clear(&harness->journal);
        for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
            harness_format(harness, "COPY %s %s-copied", keys[k], keys[k]);
            harness_format(harness, "RENAME %s %s-renamed", keys[k], keys[k]);
        }
        harness_replay(harness, replica);
        for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
            static const char *const suffixes[] = {"copied", "renamed"};
            for (size_t s = 0; s < 2; s++) {
                char key[64];
                snprintf(key, sizeof(key), "%s-%s", keys[k], suffixes[s]);
                struct digest ours = digest_of(harness, key);
                struct digest theirs = digest_of(replica, key);
                cr_expect(memcmp(&ours, &theirs, sizeof(ours)) == 0, "%s", key);
                cr_expect_eq(harness_deadline_ms(harness, key), harness_deadline_ms(replica, key));
            }
        }
        harness_delete(replica);
        harness_delete(harness);
    }
}

/* ---- fields with deadlines ---- */

static struct slice
payload_end(struct rdb_writer *writer, uint16_t version)
{
    rdb_write_u16(writer, version);
    rdb_write_u64(writer, crc64_update(0, rdb_writer_bytes(writer)));
    return rdb_writer_bytes(writer);
}

#define FIELD_TIMES "*3\r\n:1800000000000\r\n:-1\r\n:1900000000000\r\n"

Test(dump, fields_with_deadlines_are_valkeys)
{
    struct harness *harness = harness_new();
    harness_line(harness, "HSET h a 1 b 2 c 3");
    harness_line(harness, "HPEXPIREAT h 1800000000000 FIELDS 1 a");
    harness_line(harness, "HPEXPIREAT h 1900000000000 FIELDS 1 c");
    struct slice payload = dump(harness, "h");
    uint16_t version;
    memcpy(&version, payload.data + payload.size - 10, sizeof(version));
    cr_expect_eq(version, RDB_VERSION_VALKEY);
    cr_expect_eq(payload.data[0], RDB_TYPE_HASH_2);
    cr_expect_str_eq(restore(harness, payload), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "HPEXPIRETIME copy FIELDS 3 a b c"), FIELD_TIMES);
    cr_expect_str_eq(harness_line(harness, "HMGET copy a b c"),
                     "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    dump_free(payload);
    /* Without deadlines it is everybody's. */
    harness_line(harness, "HPERSIST h FIELDS 2 a c");
    payload = dump(harness, "h");
    memcpy(&version, payload.data + payload.size - 10, sizeof(version));
    cr_expect_eq(version, RDB_VERSION);
    dump_free(payload);
    harness_delete(harness);
}

Test(dump, fields_with_deadlines_as_redis_has_them)
{
    struct harness *harness = harness_new();
    struct rdb_writer writer;
    static const char *const fields[] = {"a", "b", "c"};
    static const int64_t deadlines_ms[] = {INT64_C(1800000000000), 0, INT64_C(1900000000000)};
    rdb_writer_create(&writer, true);
    rdb_write_u8(&writer, RDB_TYPE_HASH_METADATA);
    rdb_write_u64(&writer, (uint64_t)deadlines_ms[0]);
    rdb_write_length(&writer, 3);
    struct listpack *listpack = listpack_new(0);
    for (int i = 0; i < 3; i++) {
        int64_t ttl_ms = deadlines_ms[i] == 0 ? 0 : deadlines_ms[i] - deadlines_ms[0] + 1;
        rdb_write_length(&writer, (uint64_t)ttl_ms);
        rdb_write_string(&writer, slice_of_string(fields[i]));
        rdb_write_string(&writer, SLICE("v"));
        listpack = listpack_append(listpack, slice_of_string(fields[i]));
        listpack = listpack_append(listpack, SLICE("v"));
        listpack = listpack_append_integer(listpack, deadlines_ms[i]);
    }
    cr_expect_str_eq(restore(harness, payload_end(&writer, 12)), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "HPEXPIRETIME copy FIELDS 3 a b c"), FIELD_TIMES);
    harness_line(harness, "DEL copy");
    rdb_writer_clear(&writer);
    rdb_write_u8(&writer, RDB_TYPE_HASH_LISTPACK_EX);
    rdb_write_u64(&writer, (uint64_t)deadlines_ms[0]);
    rdb_write_string(&writer, listpack_bytes(listpack));
    cr_expect_str_eq(restore(harness, payload_end(&writer, 12)), "+OK\r\n");
    cr_expect_str_eq(harness_line(harness, "HPEXPIRETIME copy FIELDS 3 a b c"), FIELD_TIMES);
    /* Of another version the type is none. */
    rdb_writer_clear(&writer);
    rdb_write_u8(&writer, RDB_TYPE_HASH_LISTPACK_EX);
    rdb_write_u64(&writer, (uint64_t)deadlines_ms[0]);
    rdb_write_string(&writer, listpack_bytes(listpack));
    cr_expect_str_eq(restore(harness, payload_end(&writer, 11)), "-ERR Bad data format\r\n");
    listpack_delete(listpack);
    rdb_writer_destroy(&writer);
    harness_delete(harness);
}
