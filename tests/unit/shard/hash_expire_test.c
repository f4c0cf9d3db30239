/*
 * hash_expire_test.c: fields with deadlines as commands have them, and their end through the wheel.
 * Expectations are Valkey 9's, from its documentation and command tables.
 */
#include "collection.h"
#include "shard/field_expiry.h"
#include "shard/value/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NUMFIELDS                                                                                  \
    "-ERR numfields should be greater than 0 and match the provided number of fields\r\n"
#define BAD_TIME(command) "-ERR invalid expire time in '" command "' command\r\n"
#define AT "1700000100000"

/* ---- the wheel ---- */

static void
test_due(void *context, uint32_t db, uint32_t slot, uint64_t hash, struct entry *entry)
{
    struct harness *harness = context;
    int64_t deadline_ms = entry_deadline_ms(entry);
    if (deadline_ms != ENTRY_NO_DEADLINE && deadline_ms <= harness->shard->now_ms) {
        struct slice argv[] = {SLICE("DEL"), entry_key(entry)};
        effects_append(&harness->journal, (uint16_t)db, (uint16_t)slot, argv, 2);
        keyspace_remove(&harness->shard->keyspace, db, slot, hash, entry);
        return;
    }
    struct effects *journal = harness->shard->journal;
    harness->shard->journal = &harness->journal;
    field_expiry_step(harness->shard, (uint16_t)db, (uint16_t)slot, hash, entry);
    harness->shard->journal = journal;
}

/** Remove what has reached its deadline, keys and fields; returns how many steps it took. */
static uint32_t
wheel_run(struct harness *harness)
{
    struct keyspace *keyspace = &harness->shard->keyspace;
    uint32_t count =
        keyspace_advance(keyspace, harness->shard->now_ms, UINT32_MAX, test_due, harness);
    cr_assert(keyspace_check(keyspace));
    return count;
}

/* ---- commands ---- */

Test(hash_expire, deadlines_are_set_and_told)
{
    steps_run((const struct step[]){
        {"HSET h a 1 b 2 c 3", ":3\r\n"},
        {"OBJECT ENCODING h", "$8\r\nlistpack\r\n"},
        {"HEXPIRE h 100 XX FIELDS 1 a", "*1\r\n:0\r\n"},
        {"HEXPIRE h 100 GT FIELDS 1 a", "*1\r\n:0\r\n"},
        {"HEXPIRE h 100 FIELDS 1 z", "*1\r\n:-2\r\n"},
        {"HPERSIST h FIELDS 2 a z", "*2\r\n:-1\r\n:-2\r\n"},
        {"OBJECT ENCODING h", "$8\r\nlistpack\r\n"},
        {"HEXPIRE h 100 FIELDS 2 a z", "*2\r\n:1\r\n:-2\r\n"},
        {"OBJECT ENCODING h", "$9\r\nhashtable\r\n"},
        {"HTTL h FIELDS 3 a b z", "*3\r\n:100\r\n:-1\r\n:-2\r\n"},
        {"HPTTL h FIELDS 1 a", "*1\r\n:100000\r\n"},
        {"HEXPIRETIME h FIELDS 1 a", "*1\r\n:1700000100\r\n"},
        {"HPEXPIRETIME h FIELDS 1 a", "*1\r\n:" AT "\r\n"},
        {"HPEXPIRE h 1499 FIELDS 1 b", "*1\r\n:1\r\n"},
        {"HTTL h FIELDS 1 b", "*1\r\n:1\r\n"},
        {"HPEXPIRE h 1500 FIELDS 1 b", "*1\r\n:1\r\n"},
        {"HTTL h FIELDS 1 b", "*1\r\n:2\r\n"},
        {"HEXPIRE h 50 NX FIELDS 2 a c", "*2\r\n:0\r\n:1\r\n"},
        {"HEXPIRE h 60 GT FIELDS 2 a c", "*2\r\n:0\r\n:1\r\n"},
        {"HEXPIRE h 60 LT FIELDS 2 a c", "*2\r\n:1\r\n:0\r\n"},
        {"HEXPIRE h 70 xx gt fields 2 a c", "*2\r\n:1\r\n:1\r\n"},
        {"HPEXPIREAT h 9223372036854775807 FIELDS 1 a", "*1\r\n:1\r\n"},
        {"HPEXPIRETIME h FIELDS 1 a", "*1\r\n:9223372036854775807\r\n"},
        {"HPERSIST h FIELDS 4 a b c z", "*4\r\n:1\r\n:1\r\n:1\r\n:-2\r\n"},
        {"HPERSIST h FIELDS 1 a", "*1\r\n:-1\r\n"},
        {"HTTL h FIELDS 3 a b c", "*3\r\n:-1\r\n:-1\r\n:-1\r\n"},
        {"HEXPIRE h 0 LT FIELDS 3 a a z", "*3\r\n:2\r\n:-2\r\n:-2\r\n"},
        {"HEXPIREAT h 1600000000 FIELDS 1 b", "*1\r\n:2\r\n"},
        {"HKEYS h", "*1\r\n$1\r\nc\r\n"},
        {"HPEXPIRE h 0 FIELDS 1 c", "*1\r\n:2\r\n"},
        {"EXISTS h", ":0\r\n"},
        {"HEXPIRE h 10 FIELDS 2 a b", "*2\r\n:-2\r\n:-2\r\n"},
        {"HTTL h FIELDS 1 a", "*1\r\n:-2\r\n"},
        {"HPERSIST h FIELDS 1 a", "*1\r\n:-2\r\n"},
        {"EXISTS h", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(hash_expire, a_new_value_drops_the_deadline_and_a_counter_keeps_it)
{
    steps_run((const struct step[]){
        {"HSETEX h EX 100 FIELDS 4 a 1 b 2 c 3 d 4", ":1\r\n"},
        {"HSET h a 5", ":0\r\n"},
        {"HINCRBY h b 1000000", ":1000002\r\n"},
        {"HINCRBYFLOAT h c 1.5", "$3\r\n4.5\r\n"},
        {"HMSET h d 6", "+OK\r\n"},
        {"HPEXPIRETIME h FIELDS 4 a b c d", "*4\r\n:-1\r\n:" AT "\r\n:" AT "\r\n:-1\r\n"},
        {"HDEL h b", ":1\r\n"},
        {"HSETNX h b 1", ":1\r\n"},
        {"HTTL h FIELDS 1 b", "*1\r\n:-1\r\n"},
        {"COPY h copy", ":1\r\n"},
        {"RENAME h moved", "+OK\r\n"},
        {"HPEXPIRETIME moved FIELDS 1 c", "*1\r\n:" AT "\r\n"},
        {"HPEXPIRETIME copy FIELDS 1 c", "*1\r\n:" AT "\r\n"},
        {"EXPIRE copy 10", ":1\r\n"},
        {"PERSIST copy", ":1\r\n"},
        {"HPEXPIRETIME copy FIELDS 1 c", "*1\r\n:" AT "\r\n"},
        {"EXPIRE moved 1000", ":1\r\n"},
        {"SET copy x", "+OK\r\n"},
        {"TTL moved", ":1000\r\n"},
        {"HPERSIST moved FIELDS 1 c", "*1\r\n:1\r\n"},
        {"TTL moved", ":1000\r\n"},
        {NULL, NULL},
    });
}

Test(hash_expire, hsetex_hgetex_hgetdel)
{
    steps_run((const struct step[]){
        {"HSETEX h XX FIELDS 1 a 1", ":0\r\n"},
        {"HSETEX h FXX FIELDS 1 a 1", ":0\r\n"},
        {"EXISTS h", ":0\r\n"},
        {"HSETEX h NX FNX FIELDS 2 a 1 b 2", ":1\r\n"},
        {"OBJECT ENCODING h", "$8\r\nlistpack\r\n"},
        {"HSETEX h NX FIELDS 1 a 9", ":0\r\n"},
        {"HSETEX h FNX FIELDS 2 c 3 b 9", ":0\r\n"},
        {"HSETEX h FXX FIELDS 2 a 1 c 3", ":0\r\n"},
        {"HSETEX h xx fxx ex 100 fields 2 a 3 b 4", ":1\r\n"},
        {"HPEXPIRETIME h FIELDS 2 a b", "*2\r\n:" AT "\r\n:" AT "\r\n"},
        {"HSETEX h KEEPTTL FIELDS 2 a 5 c 6", ":1\r\n"},
        {"HPEXPIRETIME h FIELDS 2 a c", "*2\r\n:" AT "\r\n:-1\r\n"},
        {"HSETEX h FIELDS 1 a 7", ":1\r\n"},
        {"HTTL h FIELDS 2 a b", "*2\r\n:-1\r\n:100\r\n"},
        {"HSETEX h PXAT 1700000000001 FIELDS 1 a 8", ":1\r\n"},
        {"HPTTL h FIELDS 1 a", "*1\r\n:1\r\n"},
        {"HSETEX h EXAT 1 FIELDS 2 a 9 z 9", ":1\r\n"},
        {"HMGET h a z", "*2\r\n$-1\r\n$-1\r\n"},
        {"HGETEX h FIELDS 3 a b c", "*3\r\n$-1\r\n$1\r\n4\r\n$1\r\n6\r\n"},
        {"HTTL h FIELDS 1 b", "*1\r\n:100\r\n"},
        {"HGETEX h PERSIST FIELDS 3 a b c", "*3\r\n$-1\r\n$1\r\n4\r\n$1\r\n6\r\n"},
        {"HTTL h FIELDS 1 b", "*1\r\n:-1\r\n"},
        {"HGETEX h PX 500 FIELDS 2 b z", "*2\r\n$1\r\n4\r\n$-1\r\n"},
        {"HPTTL h FIELDS 1 b", "*1\r\n:500\r\n"},
        {"HGETEX h EX 0 FIELDS 2 b b", "*2\r\n$1\r\n4\r\n$-1\r\n"},
        {"HGETDEL h FIELDS 3 c z c", "*3\r\n$1\r\n6\r\n$-1\r\n$-1\r\n"},
        {"EXISTS h", ":0\r\n"},
        {"HGETDEL h FIELDS 1 a", "*1\r\n$-1\r\n"},
        {"HGETEX h EX 10 FIELDS 1 a", "*1\r\n$-1\r\n"},
        {"HSETEX h PX 0 FIELDS 1 a 1", ":1\r\n"},
        {"EXISTS h", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(hash_expire, wrong_arguments)
{
    steps_run((const struct step[]){
        {"HSET h a 1 b 2", ":2\r\n"},
        {"SET s x", "+OK\r\n"},
        {"HEXPIRE s 10 FIELDS 1 a", WRONG_TYPE},
        {"HTTL s FIELDS 1 a", WRONG_TYPE},
        {"HPERSIST s FIELDS 1 a", WRONG_TYPE},
        {"HSETEX s FIELDS 1 a 1", WRONG_TYPE},
        {"HGETEX s FIELDS 1 a", WRONG_TYPE},
        {"HGETDEL s FIELDS 1 a", WRONG_TYPE},
        {"HEXPIRE h 10 FIELDS 2 a", NUMFIELDS},
        {"HEXPIRE h 10 FIELDS 1 a b", NUMFIELDS},
        {"HEXPIRE h 10 FIELDS 0 a", NUMFIELDS},
        {"HEXPIRE h 10 FIELDS -1 a", NUMFIELDS},
        {"HEXPIRE h 10 FIELDS x a", NOT_INTEGER},
        {"HEXPIRE h 10 NX 1 a", NUMFIELDS},
        {"HEXPIRE h 10 NX a FIELDS", NUMFIELDS},
        {"HEXPIRE h 10 NO FIELDS 1 a", "-ERR Unsupported option NO\r\n"},
        {"HEXPIRE h 10 NX GT FIELDS 1 a",
         "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
        {"HEXPIRE h 10 LT GT FIELDS 1 a",
         "-ERR GT and LT options at the same time are not compatible\r\n"},
        {"HEXPIRE h x FIELDS 1 a", NOT_INTEGER},
        {"HEXPIRE h -1 FIELDS 1 a", BAD_TIME("hexpire")},
        {"HEXPIRE h 9223372036854775 FIELDS 1 a", BAD_TIME("hexpire")},
        {"HPEXPIRE h 9223372036854775807 FIELDS 1 a", BAD_TIME("hpexpire")},
        {"HEXPIREAT h 9223372036854776 FIELDS 1 a", BAD_TIME("hexpireat")},
        {"HPEXPIREAT h -5 FIELDS 1 a", BAD_TIME("hpexpireat")},
        {"HTTL h FIELDS 2 a", SYNTAX},
        {"HPTTL h FIELDS 0 a", SYNTAX},
        {"HEXPIRETIME h FIELDS x a", NOT_INTEGER},
        {"HPEXPIRETIME h FIELD 1 a", SYNTAX},
        {"HPERSIST h FIELDS 2 a", NUMFIELDS},
        {"HPERSIST h FIELD 1 a", SYNTAX},
        {"HGETDEL h FIELDS 2 a", NUMFIELDS},
        {"HSETEX h FIELDS 1 a 1 b", NUMFIELDS},
        {"HSETEX h FIELDS 2 a 1 b", NUMFIELDS},
        {"HSETEX h NX XX FIELDS 1 a 1", SYNTAX},
        {"HSETEX h FNX FXX FIELDS 1 a 1", SYNTAX},
        {"HSETEX h EX 1 PX 1 FIELDS 1 a 1", SYNTAX},
        {"HSETEX h KEEPTTL EX 1 FIELDS 1 a 1", SYNTAX},
        {"HSETEX h PERSIST FIELDS 1 a 1", SYNTAX},
        {"HSETEX h EX FIELDS 1 a 1", SYNTAX},
        {"HSETEX h EX -1 FIELDS 1 a 1", BAD_TIME("hsetex")},
        {"HSETEX h EX x FIELDS 1 a 1", NOT_INTEGER},
        {"HGETEX h KEEPTTL FIELDS 1 a", SYNTAX},
        {"HGETEX h PERSIST EX 1 FIELDS 1 a", SYNTAX},
        {"HGETEX h EX 1 FIELDS 2 a", NUMFIELDS},
        {"HGETEX h PX -1 FIELDS 1 a", BAD_TIME("hgetex")},
        {"HGETALL h", "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n"},
        {NULL, NULL},
    });
}

/* ---- the end of fields ---- */

Test(hash_expire, a_field_is_not_seen_from_its_deadline_on)
{
    struct harness *harness = harness_new();
    harness_line(harness, "HSET h a 1 b 2 c 3");
    harness_line(harness, "HPEXPIRE h 10 FIELDS 2 a b");
    harness_advance(harness, 9);
    cr_assert_str_eq(harness_line(harness, "HGET h a"), "$1\r\n1\r\n");
    harness_advance(harness, 1);
    cr_assert_str_eq(harness_line(harness, "HGET h a"), "$-1\r\n");
    cr_assert_str_eq(harness_line(harness, "HMGET h a c"), "*2\r\n$-1\r\n$1\r\n3\r\n");
    cr_assert_str_eq(harness_line(harness, "HEXISTS h a"), ":0\r\n");
    cr_assert_str_eq(harness_line(harness, "HSTRLEN h a"), ":0\r\n");
    cr_assert_str_eq(harness_line(harness, "HTTL h FIELDS 1 a"), "*1\r\n:-2\r\n");
    cr_assert_str_eq(harness_line(harness, "HGETALL h"), "*2\r\n$1\r\nc\r\n$1\r\n3\r\n");
    cr_assert_str_eq(harness_line(harness, "HKEYS h"), "*1\r\n$1\r\nc\r\n");
    cr_assert_str_eq(harness_line(harness, "HVALS h"), "*1\r\n$1\r\n3\r\n");
    cr_assert_str_eq(harness_line(harness, "HRANDFIELD h"), "$1\r\nc\r\n");
    cr_assert_str_eq(harness_line(harness, "HRANDFIELD h 5"), "*1\r\n$1\r\nc\r\n");
    cr_assert_str_eq(harness_line(harness, "HRANDFIELD h -2"), "*2\r\n$1\r\nc\r\n$1\r\nc\r\n");
    cr_assert_str_eq(harness_line(harness, "HSCAN h 0"),
                     "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n");
    cr_assert_str_eq(harness_line(harness, "HLEN h"), ":3\r\n", "those that wait are counted");
    cr_assert_str_eq(harness_line(harness, "HDEL h a"), ":0\r\n");
    cr_assert_str_eq(harness_line(harness, "HLEN h"), ":2\r\n");
    cr_assert_str_eq(harness_line(harness, "HINCRBY h b 7"), ":7\r\n");
    cr_assert_str_eq(harness_line(harness, "HTTL h FIELDS 1 b"), "*1\r\n:-1\r\n");
    harness_delete(harness);
}

Test(hash_expire, effects_say_what_was_changed)
{
    struct harness *harness = harness_new();
    harness_line(harness, "HSET h a 1 b 2 c 3 d 4 e 5");
    harness_line(harness, "HEXPIRE h 100 NX FIELDS 3 a z b");
    harness_line(harness, "HEXPIRE h 50 XX FIELDS 2 a c");
    harness_line(harness, "HPERSIST h FIELDS 2 a c");
    harness_line(harness, "HSETEX h FNX PX 20 FIELDS 1 f 6");
    harness_line(harness, "HSETEX h KEEPTTL FIELDS 1 b 7");
    harness_line(harness, "HSETEX h FXX FIELDS 1 b 8");
    harness_line(harness, "HGETEX h EXAT 1700000100 FIELDS 2 a z");
    harness_line(harness, "HGETEX h PERSIST FIELDS 2 a b");
    harness_line(harness, "HGETDEL h FIELDS 2 z e");
    harness_line(harness, "HEXPIRE h 0 FIELDS 2 d z");
    harness_line(harness, "HINCRBYFLOAT h f 0.5");
    harness_advance(harness, 20);
    harness_line(harness, "HSET h f 9");
    harness_line(harness, "HPEXPIRE h 5 FIELDS 2 f c");
    harness_advance(harness, 5);
    wheel_run(harness);
    harness_line(harness, "HPEXPIRE h 5 FIELDS 2 a b");
    harness_advance(harness, 5);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "EXISTS h"), ":0\r\n");
    const char *effects = harness_effects(harness);
    const char *want = "HSET h a 1 b 2 c 3 d 4 e 5\n"
                       "HPEXPIREAT h " AT " FIELDS 2 a b\n"
                       "HPEXPIREAT h 1700000050000 FIELDS 1 a\n"
                       "HPERSIST h FIELDS 1 a\n"
                       "HSETEX h PXAT 1700000000020 FIELDS 1 f 6\n"
                       "HSETEX h KEEPTTL FIELDS 1 b 7\n"
                       "HSET h b 8\n"
                       "HPEXPIREAT h " AT " FIELDS 1 a\n"
                       "HPERSIST h FIELDS 1 a\n"
                       "HDEL h e\n"
                       "HDEL h d\n"
                       "HSETEX h PXAT 1700000000020 FIELDS 1 f 6.5\n"
                       "HDEL h f\n"
                       "HSET h f 9\n"
                       "HPEXPIREAT h 1700000000025 FIELDS 2 f c\n";
    cr_assert_eq(strncmp(effects, want, strlen(want)), 0, "%s", effects);
    const char *rest = effects + strlen(want);
    /* Fields of a hash have no order. */
    bool is_good = strncmp(rest, "HDEL h f c\n", 11) == 0 || strncmp(rest, "HDEL h c f\n", 11) == 0;
    cr_assert(is_good, "%s", rest);
    cr_assert_str_eq(rest + 11, "HPEXPIREAT h 1700000000030 FIELDS 2 a b\nDEL h\n");
    harness_delete(harness);
}

Test(hash_expire, a_key_with_both_deadlines_hangs_by_the_first)
{
    struct harness *harness = harness_new();
    harness->is_checked = true;
    harness_line(harness, "HSET h a 1 b 2");
    harness_line(harness, "PEXPIRE h 100");
    harness_line(harness, "HPEXPIRE h 50 FIELDS 1 a");
    harness_line(harness, "HPEXPIRE h 500 FIELDS 1 b");
    cr_assert_eq(harness_deadline_ms(harness, "h"), HARNESS_START_MS + 100);
    harness_advance(harness, 50);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "HLEN h"), ":1\r\n");
    cr_assert_eq(harness_deadline_ms(harness, "h"), HARNESS_START_MS + 100);
    harness_line(harness, "PEXPIRE h 1000");
    harness_advance(harness, 60);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "HLEN h"), ":1\r\n");
    harness_line(harness, "PERSIST h");
    harness_line(harness, "PEXPIRE h 10");
    harness_advance(harness, 10);
    wheel_run(harness);
    cr_assert_eq(harness_deadline_ms(harness, "h"), -2);
    harness_line(harness, "HSETEX h PX 5 FIELDS 1 a 1");
    harness_line(harness, "SET h x");
    harness_advance(harness, 5);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "GET h"), "$1\r\nx\r\n");
    harness_line(harness, "HSETEX g PX 5 FIELDS 2 a 1 b 2");
    harness_line(harness, "HSETEX g PX 9 FIELDS 1 b 2");
    harness_line(harness, "RENAME g f");
    harness_line(harness, "COPY f e");
    harness_advance(harness, 5);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "HLEN f"), ":1\r\n");
    cr_assert_str_eq(harness_line(harness, "HLEN e"), ":1\r\n");
    harness_advance(harness, 4);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "DBSIZE"), ":1\r\n");
    harness_delete(harness);
}

Test(hash_expire, many_fields_at_once_go_in_small_steps)
{
    struct harness *harness = harness_new();
    for (int i = 0; i < 30000; i++) {
        harness_format(harness, "HSETEX h PX %d FIELDS 1 f%d v", i % 3 == 0 ? 20 : 10, i);
    }
    harness_advance(harness, 10);
    cr_assert_str_eq(harness_line(harness, "HGET h f1"), "$-1\r\n");
    cr_assert_geq(wheel_run(harness), 20000U / PACKED_EXPIRE_MAX);
    cr_assert_str_eq(harness_line(harness, "HLEN h"), ":10000\r\n");
    cr_assert_eq(harness->shard->counters.expired_field_count, 20000);
    struct harness *replica = harness_new();
    harness_replay(harness, replica);
    cr_assert(collections_equal(harness, replica));
    harness_advance(harness, 10);
    wheel_run(harness);
    cr_assert_str_eq(harness_line(harness, "EXISTS h"), ":0\r\n");
    harness_delete(replica);
    harness_delete(harness);
}

/* ---- race ---- */

#define FIELDS 300

struct model {
    struct harness *harness;
    struct random random;
    uint64_t seed;
    uint32_t versions[FIELDS]; /* 0: not there */
    int64_t deadlines[FIELDS];
};

static uint32_t
below(struct model *model, uint32_t end)
{
    return (uint32_t)random_below(&model->random, end);
}

static int64_t
model_now(const struct model *model)
{
    return model->harness->shard->now_ms;
}

/** A field whose time is over is not there for commands. */
static bool
model_has(const struct model *model, uint32_t i)
{
    return model->versions[i] != 0 && !packed_is_due(model->deadlines[i], model_now(model));
}

static void
model_set(struct model *model, uint32_t i, uint32_t version, int64_t deadline_ms)
{
    model->versions[i] = version;
    model->deadlines[i] = deadline_ms;
}

static void
model_check(struct model *model)
{
    char want[32];
    uint32_t count = 0;
    for (uint32_t i = 0; i < FIELDS; i++) {
        bool is_there = model_has(model, i);
        count += is_there;
        int64_t told = !is_there                                 ? -2
                       : model->deadlines[i] == HASH_NO_DEADLINE ? -1
                                                                 : model->deadlines[i];
        struct slice reply = harness_format(model->harness, "HPEXPIRETIME h FIELDS 1 f%u", i);
        snprintf(want, sizeof(want), "*1\r\n:%lld\r\n", (long long)told);
        cr_assert_str_eq(reply.data, want, "seed %llu: %u", (unsigned long long)model->seed, i);
        reply = harness_format(model->harness, "HGET h f%u", i);
        struct slice bulk;
        cr_assert_eq(reply_bulks(reply, &bulk, 1), is_there);
        cr_assert(!is_there || strtoul(bulk.data, NULL, 10) == model->versions[i]);
    }
    struct slice reply = harness_format(model->harness, "HKEYS h");
    struct slice bulks[FIELDS];
    cr_assert_eq(reply_bulks(reply, bulks, FIELDS), count);
}

/** EXPIRE and its conditions. */
static void
model_expire(struct model *model, uint32_t i)
{
    static const char *const words[] = {"", "NX ", "XX ", "GT ", "LT "};
    uint32_t word = below(model, ARRAY_COUNT(words));
    int64_t deadline_ms = model_now(model) + below(model, 200);
    struct slice reply = harness_format(model->harness, "HPEXPIREAT h %lld %sFIELDS 1 f%u",
                                        (long long)deadline_ms, words[word], i);
    int64_t old_ms = model->deadlines[i];
    bool has_old = old_ms != HASH_NO_DEADLINE;
    bool holds = word == 0 || (word == 1 && !has_old) || (word == 2 && has_old) ||
                 (word == 3 && has_old && deadline_ms > old_ms) ||
                 (word == 4 && (!has_old || deadline_ms < old_ms));
    const char *want = ":0\r\n";
    if (!model_has(model, i)) {
        want = ":-2\r\n";
    } else if (holds && deadline_ms <= model_now(model)) {
        want = ":2\r\n";
        model->versions[i] = 0;
    } else if (holds) {
        want = ":1\r\n";
        model->deadlines[i] = deadline_ms;
    }
    cr_assert_str_eq(reply.data + 4, want, "seed %llu", (unsigned long long)model->seed);
}

static void
model_step(struct model *model)
{
    struct harness *harness = model->harness;
    uint32_t i = below(model, FIELDS);
    uint32_t version = 1 + below(model, 100000);
    bool was_there = model_has(model, i);
    struct slice reply = {0};
    switch (below(model, 10)) {
    case 0:
    case 1:
        reply = harness_format(harness, "HSET h f%u %u", i, version);
        cr_assert_eq(reply.data[1] == '1', !was_there);
        model_set(model, i, version, HASH_NO_DEADLINE);
        return;
    case 2:
        reply =
            harness_format(harness, "HSETEX h PX %u FIELDS 1 f%u %u", 1 + version % 99, i, version);
        model_set(model, i, version, model_now(model) + 1 + version % 99);
        return;
    case 3:
        harness_format(harness, "HSETEX h KEEPTTL FIELDS 1 f%u %u", i, version);
        model_set(model, i, version, was_there ? model->deadlines[i] : HASH_NO_DEADLINE);
        return;
    case 4:
        reply = harness_format(harness, "HDEL h f%u", i);
        cr_assert_eq(reply.data[1] == '1', was_there);
        model->versions[i] = 0;
        return;
    case 5:
        harness_format(harness, "HPERSIST h FIELDS 1 f%u", i);
        model->deadlines[i] = was_there ? HASH_NO_DEADLINE : model->deadlines[i];
        return;
    case 6:
        harness_format(harness, "HINCRBY h f%u 1", i);
        model_set(model, i, was_there ? model->versions[i] + 1 : 1,
                  was_there ? model->deadlines[i] : HASH_NO_DEADLINE);
        return;
    default:
        model_expire(model, i);
    }
}

static void
model_race(bool is_borrowed)
{
    struct model *model = calloc(1, sizeof(*model));
    model->seed = random_system_seed();
    fprintf(stderr, "field deadlines race: seed %llu\n", (unsigned long long)model->seed);
    random_create(&model->random, model->seed);
    model->harness = harness_new();
    model->harness->is_borrowed = is_borrowed;
    for (uint32_t i = 0; i < FIELDS; i++) {
        model->deadlines[i] = HASH_NO_DEADLINE;
    }
    for (uint32_t step = 0; step < 20000; step++) {
        model_step(model);
        if (below(model, 20) == 0) {
            harness_advance(model->harness, 1 + below(model, 8));
        }
        if (below(model, 100) == 0) {
            wheel_run(model->harness);
        }
        if (step % 1000 == 0) {
            model_check(model);
        }
    }
    wheel_run(model->harness);
    model_check(model);
    struct harness *replica = harness_new();
    harness_replay(model->harness, replica);
    cr_assert(collections_equal(model->harness, replica));
    harness_delete(model->harness);
    model->harness = replica;
    model_check(model);
    harness_delete(replica);
    free(model);
}

Test(hash_expire, races_a_model)
{
    model_race(false);
}

Test(hash_expire, races_a_model_borrowed)
{
    model_race(true);
}
