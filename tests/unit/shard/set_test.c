/*
 * set_test.c: sets, alone and as commands: each run as the owner's own and as a borrower's.
 */
#include "collection.h"
#include "shard/value/set.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NOT_POSITIVE "-ERR value is out of range, must be positive\r\n"

Test(set, members_come_and_go)
{
    steps_run((const struct step[]){
        {"SADD s b a c a", ":3\r\n"},
        {"SADD s a", ":0\r\n"},
        {"SCARD s", ":3\r\n"},
        {"SISMEMBER s a", ":1\r\n"},
        {"SISMEMBER s A", ":0\r\n"},
        {"SMISMEMBER s a x ''", "*3\r\n:1\r\n:0\r\n:0\r\n"},
        {"SMEMBERS s", "*3\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\nc\r\n"},
        {"SADD s ''", ":1\r\n"},
        {"SREM s a x '' a", ":2\r\n"},
        {"PEXPIREAT s 9999999999999", ":1\r\n"},
        {"SADD s z", ":1\r\n"},
        {"PEXPIRETIME s", ":9999999999999\r\n"},
        {"SREM s b c z", ":3\r\n"},
        {"EXISTS s", ":0\r\n"},
        {"SREM s b", ":0\r\n"},
        {"SCARD s", ":0\r\n"},
        {"SMEMBERS s", "*0\r\n"},
        {"SISMEMBER s b", ":0\r\n"},
        {"SMISMEMBER s b", "*1\r\n:0\r\n"},
        {"SADD i 3 1 2 -5", ":4\r\n"},
        {"SMEMBERS i", "*4\r\n$2\r\n-5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"},
        {"SISMEMBER i 03", ":0\r\n"},
        {"SADD i 03", ":1\r\n"},
        {"SISMEMBER i 03", ":1\r\n"},
        {"SISMEMBER i 3", ":1\r\n"},
        {NULL, NULL},
    });
}

Test(set, other_types_are_refused)
{
    steps_run((const struct step[]){
        {"SET k v", "+OK\r\n"},
        {"SADD s a", ":1\r\n"},
        {"SADD k a", WRONG_TYPE},
        {"SREM k a", WRONG_TYPE},
        {"SISMEMBER k a", WRONG_TYPE},
        {"SMISMEMBER k a", WRONG_TYPE},
        {"SMEMBERS k", WRONG_TYPE},
        {"SCARD k", WRONG_TYPE},
        {"SPOP k", WRONG_TYPE},
        {"SPOP k 0", WRONG_TYPE},
        {"SRANDMEMBER k", WRONG_TYPE},
        {"SRANDMEMBER k 0", WRONG_TYPE},
        {"SSCAN k 0", WRONG_TYPE},
        {"SMOVE k s a", WRONG_TYPE},
        {"SMOVE s k a", WRONG_TYPE},
        {"SMOVE none k a", ":0\r\n"},
        {"SINTER none k", WRONG_TYPE},
        {"SUNION s k", WRONG_TYPE},
        {"SDIFF none k", WRONG_TYPE},
        {"SINTERCARD 2 s k", WRONG_TYPE},
        {"SUNIONSTORE d s k", WRONG_TYPE},
        {"GET s", WRONG_TYPE},
        {"INCR s", WRONG_TYPE},
        {"APPEND s x", WRONG_TYPE},
        {"HGET s f", WRONG_TYPE},
        {"HSET s f v", WRONG_TYPE},
        {"TYPE s", "+set\r\n"},
        {"SET s v", "+OK\r\n"},
        {"GET s", "$1\r\nv\r\n"},
        {NULL, NULL},
    });
}

Test(set, smove)
{
    steps_run((const struct step[]){
        {"SADD {t}a 1 x", ":2\r\n"},
        {"SADD {t}b y", ":1\r\n"},
        {"SMOVE {t}a {t}b x", ":1\r\n"},
        {"SMOVE {t}a {t}b x", ":0\r\n"},
        {"SISMEMBER {t}b x", ":1\r\n"},
        {"SADD {t}a y", ":1\r\n"},
        {"SMOVE {t}a {t}b y", ":1\r\n"},
        {"SCARD {t}b", ":2\r\n"},
        {"SMOVE {t}a {t}a 1", ":1\r\n"},
        {"SMOVE {t}a {t}a 2", ":0\r\n"},
        {"SMOVE {t}a {t}new 1", ":1\r\n"},
        {"EXISTS {t}a", ":0\r\n"},
        {"SMEMBERS {t}new", "*1\r\n$1\r\n1\r\n"},
        {NULL, NULL},
    });
}

Test(set, algebra)
{
    steps_run((const struct step[]){
        {"SADD a 1 2 3 4", ":4\r\n"},
        {"SADD b 3 4 5", ":3\r\n"},
        {"SADD c 4 x", ":2\r\n"},
        {"SINTER a b", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n"},
        {"SINTER a b c", "*1\r\n$1\r\n4\r\n"},
        {"SINTER a none b", "*0\r\n"},
        {"SUNION b a b", "*5\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n1\r\n$1\r\n2\r\n"},
        {"SDIFF a b c", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"},
        {"SDIFF a a", "*0\r\n"},
        {"SDIFF none a", "*0\r\n"},
        {"SINTERCARD 2 a b", ":2\r\n"},
        {"SINTERCARD 2 a b LIMIT 1", ":1\r\n"},
        {"SINTERCARD 2 a b limit 0", ":2\r\n"},
        {"SINTERCARD 2 a none", ":0\r\n"},
        {"SINTERCARD 0 a", "-ERR numkeys should be greater than 0\r\n"},
        {"SINTERCARD x a", "-ERR numkeys should be greater than 0\r\n"},
        {"SINTERCARD 2 a", "-ERR Number of keys can't be greater than number of args\r\n"},
        {"SINTERCARD 1 a LIMIT", SYNTAX},
        {"SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative\r\n"},
        {"SINTERCARD 1 a MIT 1", SYNTAX},
        {"SINTERSTORE d a b", ":2\r\n"},
        {"SMEMBERS d", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n"},
        {"PEXPIREAT d 9999999999999", ":1\r\n"},
        {"SDIFFSTORE d a d", ":2\r\n"},
        {"SMEMBERS d", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"},
        {"PEXPIRETIME d", ":-1\r\n"},
        {"SUNIONSTORE d d d", ":2\r\n"},
        {"SDIFFSTORE d d d", ":0\r\n"},
        {"EXISTS d", ":0\r\n"},
        {"SET d v", "+OK\r\n"},
        {"SUNIONSTORE d c", ":2\r\n"},
        {"TYPE d", "+set\r\n"},
        {"SET d v", "+OK\r\n"},
        {"SINTERSTORE d a none", ":0\r\n"},
        {"EXISTS d", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(set, random_and_scan_arguments)
{
    steps_run((const struct step[]){
        {"SPOP s", "$-1\r\n"},
        {"SPOP s 3", "*0\r\n"},
        {"SRANDMEMBER s", "$-1\r\n"},
        {"SRANDMEMBER s 3", "*0\r\n"},
        {"SADD s a", ":1\r\n"},
        {"SRANDMEMBER s", "$1\r\na\r\n"},
        {"SRANDMEMBER s -3", "*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"},
        {"SRANDMEMBER s 3", "*1\r\n$1\r\na\r\n"},
        {"SRANDMEMBER s x", NOT_INTEGER},
        {"SRANDMEMBER s 1 2", SYNTAX},
        {"SPOP s -1", NOT_POSITIVE},
        {"SPOP s x", NOT_POSITIVE},
        {"SPOP s 1 2", SYNTAX},
        {"SPOP s 0", "*0\r\n"},
        {"SPOP s", "$1\r\na\r\n"},
        {"EXISTS s", ":0\r\n"},
        {"SADD s 1", ":1\r\n"},
        {"SPOP s 5", "*1\r\n$1\r\n1\r\n"},
        {"EXISTS s", ":0\r\n"},
        {"SSCAN s x", "-ERR invalid cursor\r\n"},
        {"SSCAN s 0 FOO", "*2\r\n$1\r\n0\r\n*0\r\n"},
        {"SADD s ab cd", ":2\r\n"},
        {"SSCAN s 0 FOO", SYNTAX},
        {"SSCAN s 0 COUNT 0", SYNTAX},
        {"SSCAN s 0 COUNT x", NOT_INTEGER},
        {"SSCAN s 0 NOVALUES", SYNTAX},
        {"SSCAN s 7 MATCH c*", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\ncd\r\n"},
        {NULL, NULL},
    });
}

/* ---- encodings ---- */

static void
add_range(struct harness *harness, const char *key, const char *prefix, int from, int to)
{
    for (int i = from; i < to; i++) {
        harness_format(harness, "SADD %s %s%d", key, prefix, i);
    }
}

Test(set, encodings_grow_with_their_members)
{
    struct harness *harness = harness_new();
    add_range(harness, "i", "", 0, 512);
    cr_expect_str_eq(harness_encoding(harness, "i"), "intset");
    add_range(harness, "i", "", 512, 513);
    cr_expect_str_eq(harness_encoding(harness, "i"), "hashtable");
    add_range(harness, "l", "m", 0, 128);
    cr_expect_str_eq(harness_encoding(harness, "l"), "listpack");
    add_range(harness, "l", "m", 0, 129);
    cr_expect_str_eq(harness_encoding(harness, "l"), "hashtable");
    add_range(harness, "m", "", 0, 127);
    harness_line(harness, "SADD m x");
    cr_expect_str_eq(harness_encoding(harness, "m"), "listpack");
    add_range(harness, "n", "", 0, 128);
    harness_line(harness, "SADD n x");
    cr_expect_str_eq(harness_encoding(harness, "n"), "hashtable");
    harness_format(harness, "SADD o %064d", 1);
    cr_expect_str_eq(harness_encoding(harness, "o"), "listpack");
    harness_format(harness, "SADD o %065d", 1);
    cr_expect_str_eq(harness_encoding(harness, "o"), "hashtable");
    harness_line(harness, "SADD p 1");
    harness_format(harness, "SADD p %065d", 1);
    cr_expect_str_eq(harness_encoding(harness, "p"), "hashtable");
    cr_expect_str_eq(harness_line(harness, "SCARD n"), ":129\r\n");
    harness_delete(harness);
}

/* ---- races against a model ---- */

#define SETS 4
#define UNIVERSE 700

struct model {
    struct harness *harness;
    struct random random;
    bool is_member[SETS][UNIVERSE];
    uint32_t counts[SETS];
};

/** Half of the members are integers, some are long. */
static const char *
model_member(uint32_t i, char *buffer)
{
    if (i < 540) {
        snprintf(buffer, 128, "%u", i);
    } else if (i % 25 == 0) {
        snprintf(buffer, 128, "%0*u", 60 + (int)(i % 10), i);
    } else {
        snprintf(buffer, 128, "m%u", i);
    }
    return buffer;
}

static void
model_put(struct model *model, uint32_t set, uint32_t i, bool is_member)
{
    model->counts[set] += (uint32_t)is_member - model->is_member[set][i];
    model->is_member[set][i] = is_member;
}

static uint32_t
model_index(struct slice member)
{
    const char *digits = member.data;
    return (uint32_t)strtoul(*digits == 'm' ? digits + 1 : digits, NULL, 10);
}

static void
model_change(struct model *model, uint32_t set, bool is_adding)
{
    char buffer[128];
    uint32_t range = random_below(&model->random, 4) == 0 ? UNIVERSE : 530;
    uint32_t i = (uint32_t)random_below(&model->random, range);
    bool was_member = model->is_member[set][i];
    struct slice reply = harness_format(model->harness, "%s {t}%u %s", is_adding ? "SADD" : "SREM",
                                        set, model_member(i, buffer));
    cr_assert_eq(reply.data[1] == '1', was_member != is_adding);
    model_put(model, set, i, is_adding);
}

static void
model_pop(struct model *model, uint32_t set)
{
    struct slice members[UNIVERSE];
    uint32_t asked = (uint32_t)random_below(&model->random, 4) == 0
                         ? (uint32_t)random_below(&model->random, UNIVERSE)
                         : (uint32_t)random_below(&model->random, 5);
    struct slice reply = harness_format(model->harness, "SPOP {t}%u %u", set, asked);
    uint32_t count = reply_bulks(reply, members, UNIVERSE);
    cr_assert_eq(count, MIN(asked, model->counts[set]));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = model_index(members[i]);
        cr_assert(model->is_member[set][index], "popped twice, or never there");
        model_put(model, set, index, false);
    }
}

static void
model_store(struct model *model, uint32_t to, uint32_t a, uint32_t b)
{
    static const char *const names[] = {"SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"};
    uint32_t operation = (uint32_t)random_below(&model->random, 3);
    bool result[UNIVERSE];
    for (uint32_t i = 0; i < UNIVERSE; i++) {
        bool left = model->is_member[a][i];
        bool right = model->is_member[b][i];
        result[i] = operation == 0   ? left && right
                    : operation == 1 ? left || right
                                     : left && !right;
    }
    for (uint32_t i = 0; i < UNIVERSE; i++) {
        model_put(model, to, i, result[i]);
    }
    struct slice reply =
        harness_format(model->harness, "%s {t}%u {t}%u {t}%u", names[operation], to, a, b);
    cr_assert_eq(strtoul(reply.data + 1, NULL, 10), model->counts[to]);
}

static void
model_draw(struct model *model, uint32_t set)
{
    struct slice members[UNIVERSE];
    bool is_seen[UNIVERSE] = {false};
    uint32_t asked = (uint32_t)random_below(&model->random, 300);
    struct slice reply = harness_format(model->harness, "SRANDMEMBER {t}%u %u", set, asked);
    uint32_t count = reply_bulks(reply, members, UNIVERSE);
    cr_assert_eq(count, MIN(asked, model->counts[set]));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = model_index(members[i]);
        cr_assert(model->is_member[set][index]);
        cr_assert(!is_seen[index], "drawn twice");
        is_seen[index] = true;
    }
}

static void
model_check(struct model *model)
{
    struct slice members[UNIVERSE];
    for (uint32_t set = 0; set < SETS; set++) {
        struct slice reply = harness_format(model->harness, "SMEMBERS {t}%u", set);
        cr_assert_eq(reply_bulks(reply, members, UNIVERSE), model->counts[set]);
        for (uint32_t i = 0; i < model->counts[set]; i++) {
            char buffer[128];
            uint32_t index = model_index(members[i]);
            cr_assert(model->is_member[set][index]);
            cr_assert(slice_equal(members[i], slice_of_string(model_member(index, buffer))));
        }
    }
}

static void
model_race(bool is_borrowed)
{
    uint64_t seed = random_system_seed();
    fprintf(stderr, "set race: seed %llu\n", (unsigned long long)seed);
    struct model *model = calloc(1, sizeof(*model));
    model->harness = harness_new();
    model->harness->is_borrowed = is_borrowed;
    random_create(&model->random, seed);
    for (uint32_t step = 0; step < 12000; step++) {
        uint32_t set = (uint32_t)random_below(&model->random, SETS);
        uint32_t draw = (uint32_t)random_below(&model->random, 1000);
        if (draw < 4) {
            model_pop(model, set);
        } else if (draw < 10) {
            model_store(model, set, (uint32_t)random_below(&model->random, SETS),
                        (uint32_t)random_below(&model->random, SETS));
        } else if (draw < 20) {
            model_draw(model, set);
        } else {
            model_change(model, set, draw % 100 < 75);
        }
        if (step % 1000 == 0) {
            model_check(model);
        }
    }
    model_check(model);
    struct harness *replica = harness_new();
    harness_replay(model->harness, replica);
    cr_assert(collections_equal(model->harness, replica), "seed %llu", (unsigned long long)seed);
    harness_delete(replica);
    harness_delete(model->harness);
    free(model);
}

Test(set, races_a_model)
{
    model_race(false);
}

Test(set, races_a_model_borrowed)
{
    model_race(true);
}

/* ---- scanning ---- */

Test(set, a_scan_answers_what_is_there_throughout)
{
    struct harness *harness = harness_new();
    bool is_seen[2000] = {false};
    char cursor[32] = "0";
    uint32_t call_count = 0;
    add_range(harness, "s", "m", 0, 2000);
    do {
        struct slice members[200];
        struct slice reply = harness_format(harness, "SSCAN s %s COUNT 17", cursor);
        uint32_t count = reply_bulks(reply, members, 200);
        cr_assert(count >= 1 && count <= 200);
        for (uint32_t i = 1; i < count; i++) {
            is_seen[model_index(members[i]) % 2000] = true;
        }
        snprintf(cursor, sizeof(cursor), "%.*s", (int)members[0].size, members[0].data);
        cr_assert_lt(strtoull(cursor, NULL, 10), UINT64_C(1) << 53);
        /* The set grows fourfold and shrinks again; even members stay. */
        for (int i = 0; i < 60; i++) {
            int which = (int)(call_count * 60) + i;
            if (call_count < 60) {
                harness_format(harness, "SADD s m%d", 2000 + which);
            } else {
                harness_format(harness, "SREM s m%d m%d", 2000 + which - 3600,
                               (which % 1000) * 2 + 1);
            }
        }
        call_count++;
    } while (strcmp(cursor, "0") != 0);
    for (uint32_t i = 0; i < 2000; i += 2) {
        cr_assert(is_seen[i], "member %u", i);
    }
    cr_assert_gt(call_count, 100);
    harness_delete(harness);
}

Test(set, effects_name_one_key_each)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SADD {t}a 1 2");
    harness_line(harness, "SADD {t}a 2");
    harness_line(harness, "SMOVE {t}a {t}b 1");
    harness_line(harness, "SUNIONSTORE {t}b {t}a");
    harness_line(harness, "SPOP {t}b");
    harness_line(harness, "SPOP {t}a 7");
    harness_line(harness, "SINTERSTORE {t}x {t}y");
    cr_expect_str_eq(harness_effects(harness), "SADD {t}a 1 2\n"
                                               "SREM {t}a 1\n"
                                               "SADD {t}b 1\n"
                                               "DEL {t}b\n"
                                               "SADD {t}b 2\n"
                                               "SREM {t}b 2\n"
                                               "DEL {t}a\n");
    harness_delete(harness);
}

Test(set, resp3_says_set)
{
    struct harness *harness = harness_new();
    harness->session->protocol = 3;
    harness_line(harness, "SADD s a");
    cr_expect_str_eq(harness_line(harness, "SMEMBERS s"), "~1\r\n$1\r\na\r\n");
    cr_expect_str_eq(harness_line(harness, "SINTER s s"), "~1\r\n$1\r\na\r\n");
    cr_expect_str_eq(harness_line(harness, "SDIFF none"), "~0\r\n");
    cr_expect_str_eq(harness_line(harness, "SRANDMEMBER s 2"), "*1\r\n$1\r\na\r\n");
    cr_expect_str_eq(harness_line(harness, "SRANDMEMBER none"), "_\r\n");
    cr_expect_str_eq(harness_line(harness, "SPOP s 2"), "~1\r\n$1\r\na\r\n");
    cr_expect_str_eq(harness_line(harness, "SPOP s 2"), "~0\r\n");
    harness_delete(harness);
}
