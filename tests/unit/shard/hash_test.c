/*
 * hash_test.c: hashes as commands have them: each run as the owner's own and as a borrower's.
 */
#include "collection.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define OUT_OF_RANGE "-ERR value is out of range\r\n"

Test(hash, fields_come_and_go)
{
    steps_run((const struct step[]){
        {"HSET h a 1 b two a 3", ":2\r\n"},
        {"HSET h a 4 c ''", ":1\r\n"},
        {"HMSET h d x", "+OK\r\n"},
        {"HLEN h", ":4\r\n"},
        {"HGET h a", "$1\r\n4\r\n"},
        {"HGET h c", "$0\r\n\r\n"},
        {"HGET h z", "$-1\r\n"},
        {"HMGET h b z d", "*3\r\n$3\r\ntwo\r\n$-1\r\n$1\r\nx\r\n"},
        {"HEXISTS h c", ":1\r\n"},
        {"HEXISTS h z", ":0\r\n"},
        {"HSTRLEN h b", ":3\r\n"},
        {"HSTRLEN h z", ":0\r\n"},
        {"HSETNX h a 5", ":0\r\n"},
        {"HSETNX h e 5", ":1\r\n"},
        {"HDEL h a a z c", ":2\r\n"},
        {"HKEYS h", "*3\r\n$1\r\nb\r\n$1\r\nd\r\n$1\r\ne\r\n"},
        {"HVALS h", "*3\r\n$3\r\ntwo\r\n$1\r\nx\r\n$1\r\n5\r\n"},
        {"HGETALL h", "*6\r\n$1\r\nb\r\n$3\r\ntwo\r\n$1\r\nd\r\n$1\r\nx\r\n$1\r\ne\r\n$1\r\n5\r\n"},
        {"PEXPIREAT h 9999999999999", ":1\r\n"},
        {"HSET h f 1", ":1\r\n"},
        {"PEXPIRETIME h", ":9999999999999\r\n"},
        {"HDEL h b d e f", ":4\r\n"},
        {"EXISTS h", ":0\r\n"},
        {"HDEL h b", ":0\r\n"},
        {"HGETALL h", "*0\r\n"},
        {"HKEYS h", "*0\r\n"},
        {"HLEN h", ":0\r\n"},
        {"HMGET h a", "*1\r\n$-1\r\n"},
        {"HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n"},
        {"HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command\r\n"},
        {"EXISTS h", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(hash, other_types_are_refused)
{
    steps_run((const struct step[]){
        {"SET k v", "+OK\r\n"},
        {"SADD s a", ":1\r\n"},
        {"HSET h a 1", ":1\r\n"},
        {"HSET k a 1", WRONG_TYPE},
        {"HMSET s a 1", WRONG_TYPE},
        {"HSETNX k a 1", WRONG_TYPE},
        {"HGET k a", WRONG_TYPE},
        {"HMGET k a", WRONG_TYPE},
        {"HGETALL k", WRONG_TYPE},
        {"HDEL k a", WRONG_TYPE},
        {"HLEN k", WRONG_TYPE},
        {"HEXISTS k a", WRONG_TYPE},
        {"HKEYS k", WRONG_TYPE},
        {"HVALS k", WRONG_TYPE},
        {"HSTRLEN k a", WRONG_TYPE},
        {"HINCRBY k a 1", WRONG_TYPE},
        {"HINCRBYFLOAT k a 1", WRONG_TYPE},
        {"HRANDFIELD k", WRONG_TYPE},
        {"HRANDFIELD k 0", WRONG_TYPE},
        {"HSCAN k 0", WRONG_TYPE},
        {"GET h", WRONG_TYPE},
        {"STRLEN h", WRONG_TYPE},
        {"SADD h a", WRONG_TYPE},
        {"TYPE h", "+hash\r\n"},
        {"SET h v", "+OK\r\n"},
        {NULL, NULL},
    });
}

Test(hash, counters)
{
    steps_run((const struct step[]){
        {"HINCRBY h n 5", ":5\r\n"},
        {"HINCRBY h n -7", ":-2\r\n"},
        {"HINCRBY h n x", NOT_INTEGER},
        {"HSET h t abc", ":1\r\n"},
        {"HINCRBY h t 1", "-ERR hash value is not an integer\r\n"},
        {"HINCRBY h big 9223372036854775807", ":9223372036854775807\r\n"},
        {"HINCRBY h big 1", "-ERR increment or decrement would overflow\r\n"},
        {"HINCRBYFLOAT h n 0.5", "$4\r\n-1.5\r\n"},
        {"HINCRBYFLOAT h f 3.0e3", "$4\r\n3000\r\n"},
        {"HINCRBYFLOAT h f x", "-ERR value is not a valid float\r\n"},
        {"HINCRBYFLOAT h f inf", "-ERR value is NaN or Infinity\r\n"},
        {"HINCRBYFLOAT h t 1", "-ERR hash value is not a float\r\n"},
        {"HINCRBYFLOAT none f 1e5000", "-ERR value is not a valid float\r\n"},
        {"EXISTS none", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(hash, random_and_scan_arguments)
{
    steps_run((const struct step[]){
        {"HRANDFIELD h", "$-1\r\n"},
        {"HRANDFIELD h 3", "*0\r\n"},
        {"HRANDFIELD h 3 WITHVALUES", "*0\r\n"},
        {"HSCAN h 0 FOO", "*2\r\n$1\r\n0\r\n*0\r\n"},
        {"HSET h f v", ":1\r\n"},
        {"HRANDFIELD h", "$1\r\nf\r\n"},
        {"HRANDFIELD h 3", "*1\r\n$1\r\nf\r\n"},
        {"HRANDFIELD h 3 withvalues", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n"},
        {"HRANDFIELD h -2", "*2\r\n$1\r\nf\r\n$1\r\nf\r\n"},
        {"HRANDFIELD h -2 WITHVALUES", "*4\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\nf\r\n$1\r\nv\r\n"},
        {"HRANDFIELD h x", NOT_INTEGER},
        {"HRANDFIELD h 1 VALUES", SYNTAX},
        {"HRANDFIELD h 1 WITHVALUES x", SYNTAX},
        {"HRANDFIELD h -9223372036854775807 WITHVALUES", OUT_OF_RANGE},
        {"HRANDFIELD h 4611686018427387904 WITHVALUES", OUT_OF_RANGE},
        {"HSCAN h 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"},
        {"HSCAN h 0 NOVALUES", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nf\r\n"},
        {"HSCAN h 0 NOVALUES MATCH v", "*2\r\n$1\r\n0\r\n*0\r\n"},
        {"HSCAN h 0 MATCH", SYNTAX},
        {"HSCAN h 0 COUNT 0", SYNTAX},
        {"HSCAN h x", "-ERR invalid cursor\r\n"},
        {NULL, NULL},
    });
}

Test(hash, resp3_says_map)
{
    struct harness *harness = harness_new();
    harness->session->protocol = 3;
    harness_line(harness, "HSET h f v");
    cr_expect_str_eq(harness_line(harness, "HGETALL h"), "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    cr_expect_str_eq(harness_line(harness, "HGETALL none"), "%0\r\n");
    cr_expect_str_eq(harness_line(harness, "HKEYS h"), "*1\r\n$1\r\nf\r\n");
    cr_expect_str_eq(harness_line(harness, "HRANDFIELD h 1 WITHVALUES"),
                     "*1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    cr_expect_str_eq(harness_line(harness, "HGET h x"), "_\r\n");
    harness_delete(harness);
}

Test(hash, encodings_grow_with_their_fields)
{
    struct harness *harness = harness_new();
    for (int i = 0; i < 512; i++) {
        harness_format(harness, "HSET h f%d v%d", i, i);
    }
    cr_expect_str_eq(harness_encoding(harness, "h"), "listpack");
    harness_line(harness, "HSET h f0 other");
    cr_expect_str_eq(harness_encoding(harness, "h"), "listpack");
    harness_line(harness, "HSETNX h f512 v");
    cr_expect_str_eq(harness_encoding(harness, "h"), "hashtable");
    cr_expect_str_eq(harness_line(harness, "HGET h f0"), "$5\r\nother\r\n");
    cr_expect_str_eq(harness_line(harness, "HLEN h"), ":513\r\n");
    harness_format(harness, "HSET a f %064d", 1);
    cr_expect_str_eq(harness_encoding(harness, "a"), "listpack");
    harness_format(harness, "HSET a f %065d", 1);
    cr_expect_str_eq(harness_encoding(harness, "a"), "hashtable");
    harness_format(harness, "HSET b %065d v", 1);
    cr_expect_str_eq(harness_encoding(harness, "b"), "hashtable");
    harness_line(harness, "HDEL h f1 f2 f3");
    cr_expect_str_eq(harness_encoding(harness, "h"), "hashtable");
    harness_delete(harness);
}

Test(hash, ten_small_fields_stay_within_their_bytes)
{
    struct harness *harness = harness_new();
    /* The first key brings the database's tables. */
    harness_line(harness, "SET first{t} v");
    uint64_t before = harness->shard->memory.used_size;
    for (int i = 0; i < 1000; i++) {
        for (int field = 0; field < 10; field++) {
            harness_format(harness, "HSET k%07d{t} f%d v%d", i, field, field);
        }
    }
    double bytes = (double)(harness->shard->memory.used_size - before) / 1000;
    fprintf(stderr, "a hash of ten small fields: %.1f bytes\n", bytes);
    cr_expect_leq(bytes, 175.0);
    harness_delete(harness);
}

/* ---- a race against a model ---- */

#define FIELDS 900

struct model {
    struct harness *harness;
    struct random random;
    /** What belongs to each field: 0: it is not there. */
    uint32_t versions[FIELDS];
    uint32_t count;
};

static const char *
model_field(uint32_t i, char *buffer)
{
    snprintf(buffer, 128, i % 3 == 0 ? "%u" : i % 50 == 1 ? "field:%060u" : "field:%u", i);
    return buffer;
}

static const char *
model_value(uint32_t version, char *buffer)
{
    snprintf(buffer, 512, version % 2 == 0 ? "%u" : version % 99 == 1 ? "%0300u" : "v%u", version);
    return buffer;
}

static void
model_check(struct model *model)
{
    char field[128];
    char value[512];
    struct slice bulks[2 * FIELDS];
    for (uint32_t i = 0; i < FIELDS; i++) {
        struct slice reply = harness_format(model->harness, "HGET h %s", model_field(i, field));
        bool is_there = reply_bulks(reply, bulks, 1) == 1;
        cr_assert_eq(is_there, model->versions[i] != 0);
        cr_assert(!is_there ||
                  slice_equal(bulks[0], slice_of_string(model_value(model->versions[i], value))));
    }
    struct slice reply = harness_format(model->harness, "HGETALL h");
    cr_assert_eq(reply_bulks(reply, bulks, 0), 2 * model->count);
}

static void
model_step(struct model *model, uint32_t set_percent, uint32_t range)
{
    char field[128];
    char value[512];
    uint32_t i = (uint32_t)random_below(&model->random, range);
    bool was_there = model->versions[i] != 0;
    if (random_below(&model->random, 100) >= set_percent) {
        struct slice reply = harness_format(model->harness, "HDEL h %s", model_field(i, field));
        cr_assert_eq(reply.data[1] == '1', was_there);
        model->versions[i] = 0;
        model->count -= was_there;
        return;
    }
    bool is_careful = random_below(&model->random, 4) == 0;
    uint32_t version = 1 + (uint32_t)random_below(&model->random, 100000);
    struct slice reply =
        harness_format(model->harness, "%s h %s %s", is_careful ? "HSETNX" : "HSET",
                       model_field(i, field), model_value(version, value));
    cr_assert_eq(reply.data[1] == '1', !was_there);
    model->count += !was_there;
    if (!was_there || !is_careful) {
        model->versions[i] = version;
    }
}

static void
model_race(bool is_borrowed)
{
    uint64_t seed = random_system_seed();
    fprintf(stderr, "hash race: seed %llu\n", (unsigned long long)seed);
    struct model *model = calloc(1, sizeof(*model));
    model->harness = harness_new();
    model->harness->is_borrowed = is_borrowed;
    random_create(&model->random, seed);
    static const uint32_t percents[] = {60, 90, 20, 0, 95, 50};
    for (uint32_t phase = 0; phase < ARRAY_COUNT(percents); phase++) {
        for (uint32_t step = 0; step < 2500; step++) {
            model_step(model, percents[phase], phase == 0 ? 40 : FIELDS);
        }
        model_check(model);
    }
    struct harness *replica = harness_new();
    harness_replay(model->harness, replica);
    cr_assert(collections_equal(model->harness, replica), "seed %llu", (unsigned long long)seed);
    harness_delete(replica);
    harness_delete(model->harness);
    free(model);
}

Test(hash, races_a_model)
{
    model_race(false);
}

Test(hash, races_a_model_borrowed)
{
    model_race(true);
}

/* ---- drawing and scanning ---- */

Test(hash, drawn_fields_are_distinct_and_have_their_values)
{
    struct harness *harness = harness_new();
    for (int i = 0; i < 1000; i++) {
        harness_format(harness, "HSET h f%d v%d", i, i);
    }
    static const uint32_t counts[] = {1, 10, 300, 340, 999, 1000, 5000};
    for (uint32_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct slice bulks[2000];
        bool is_seen[1000] = {false};
        struct slice reply = harness_format(harness, "HRANDFIELD h %u WITHVALUES", counts[i]);
        uint32_t count = reply_bulks(reply, bulks, 2000);
        cr_assert_eq(count, 2 * MIN(counts[i], 1000U));
        for (uint32_t at = 0; at < count; at += 2) {
            uint32_t field = (uint32_t)strtoul(bulks[at].data + 1, NULL, 10);
            cr_assert(!is_seen[field]);
            is_seen[field] = true;
            cr_assert_eq(strtoul(bulks[at + 1].data + 1, NULL, 10), field);
        }
    }
    harness_delete(harness);
}

Test(hash, a_scan_answers_all_fields)
{
    struct harness *harness = harness_new();
    uint32_t seen[3000] = {0};
    char cursor[32] = "0";
    for (int i = 0; i < 3000; i++) {
        harness_format(harness, "HSET h f%d v%d", i, i);
    }
    do {
        struct slice bulks[100];
        struct slice reply = harness_format(harness, "HSCAN h %s", cursor);
        uint32_t count = reply_bulks(reply, bulks, 100);
        cr_assert(count % 2 == 1 && count < 100);
        for (uint32_t i = 1; i < count; i += 2) {
            seen[strtoul(bulks[i].data + 1, NULL, 10)]++;
        }
        snprintf(cursor, sizeof(cursor), "%.*s", (int)bulks[0].size, bulks[0].data);
    } while (strcmp(cursor, "0") != 0);
    for (uint32_t i = 0; i < 3000; i++) {
        cr_assert_eq(seen[i], 1);
    }
    harness_delete(harness);
}

Test(hash, a_float_counter_tells_its_result)
{
    struct harness *harness = harness_new();
    harness_line(harness, "HINCRBYFLOAT h f 1.5");
    harness_line(harness, "HINCRBY h n 2");
    harness_line(harness, "HSETNX h n 2");
    harness_line(harness, "HDEL h x");
    harness_line(harness, "HDEL h f n");
    cr_expect_str_eq(harness_effects(harness), "HSET h f 1.5\n"
                                               "HINCRBY h n 2\n"
                                               "HDEL h f n\n");
    harness_delete(harness);
}
