/*
 * list_test.c: the commands on lists, each run as the owner's own and as a borrower's, with effects
 * replayed on an empty shard; moves between shards.
 */
#include "harness.h"
#include "shard/value/list_value.h"
#include "shards.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NOT_POSITIVE "-ERR value is out of range, must be positive\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NUMKEYS "-ERR numkeys should be greater than 0\r\n"
#define ABC "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"

struct step {
    const char *line;
    const char *reply;
};

static void
steps_run_as(const struct step *steps, bool is_borrowed)
{
    static const char *const keys[] = {"k", "l", "m", "{t}k"};
    struct harness *harness = harness_new();
    harness->is_borrowed = is_borrowed;
    for (; steps->line != NULL; steps++) {
        const char *reply = harness_line(harness, steps->line);
        cr_expect_str_eq(reply, steps->reply, "%s: %s instead of %s", steps->line, reply,
                         steps->reply);
    }
    struct harness *replica = harness_new();
    harness_replay(harness, replica);
    cr_expect(harness_equal(harness, replica));
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        char line[64];
        snprintf(line, sizeof(line), "LRANGE %s 0 -1", keys[i]);
        char *here = strdup(harness_line(harness, line));
        cr_expect_str_eq(here, harness_line(replica, line), "%s", keys[i]);
        free(here);
    }
    harness_delete(replica);
    harness_delete(harness);
}

static void
steps_run(const struct step *steps)
{
    steps_run_as(steps, false);
    steps_run_as(steps, true);
}

Test(lists, pushes_and_pops)
{
    steps_run((const struct step[]){
        {"LPUSHX k a", ":0\r\n"},
        {"RPUSHX k a", ":0\r\n"},
        {"EXISTS k", ":0\r\n"},
        {"RPUSH k b c", ":2\r\n"},
        {"LPUSH k a", ":3\r\n"},
        {"LRANGE k 0 -1", ABC},
        {"LPUSHX k 2 1", ":5\r\n"},
        {"RPUSHX k d", ":6\r\n"},
        {"LPOP k", "$1\r\n1\r\n"},
        {"RPOP k", "$1\r\nd\r\n"},
        {"LPOP k 0", "*0\r\n"},
        {"LPOP k -1", NOT_POSITIVE},
        {"LPOP k x", NOT_POSITIVE},
        {"LPOP k 1 2", "-ERR wrong number of arguments for 'lpop' command\r\n"},
        {"LPOP k 1", "*1\r\n$1\r\n2\r\n"},
        {"RPOP k 2", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n"},
        {"LLEN k", ":1\r\n"},
        {"RPOP k 100", "*1\r\n$1\r\na\r\n"},
        {"EXISTS k", ":0\r\n"},
        {"LPOP k", "$-1\r\n"},
        {"LPOP k 1", "*-1\r\n"},
        {"LPOP k 0", "*-1\r\n"},
        {"LLEN k", ":0\r\n"},
        {0},
    });
}

Test(lists, by_index)
{
    steps_run((const struct step[]){
        {"RPUSH k a b c", ":3\r\n"},
        {"LINDEX k 0", "$1\r\na\r\n"},
        {"LINDEX k -1", "$1\r\nc\r\n"},
        {"LINDEX k 3", "$-1\r\n"},
        {"LINDEX k -4", "$-1\r\n"},
        {"LINDEX k x", NOT_INTEGER},
        {"LINDEX none x", "$-1\r\n"},
        {"LRANGE k -100 100", ABC},
        {"LRANGE k 2 1", "*0\r\n"},
        {"LRANGE k 3 5", "*0\r\n"},
        {"LRANGE k -2 -2", "*1\r\n$1\r\nb\r\n"},
        {"LRANGE k 0 x", NOT_INTEGER},
        {"LRANGE none 0 -1", "*0\r\n"},
        {"LRANGE k -9223372036854775808 9223372036854775807", ABC},
        {"LSET k 1 B", "+OK\r\n"},
        {"LSET k -1 12", "+OK\r\n"},
        {"LSET k 3 x", "-ERR index out of range\r\n"},
        {"LSET k x x", NOT_INTEGER},
        {"LSET none x x", "-ERR no such key\r\n"},
        {"LRANGE k 0 -1", "*3\r\n$1\r\na\r\n$1\r\nB\r\n$2\r\n12\r\n"},
        {"LTRIM k 0 -1", "+OK\r\n"},
        {"LTRIM k 1 1", "+OK\r\n"},
        {"LRANGE k 0 -1", "*1\r\n$1\r\nB\r\n"},
        {"LTRIM k 5 9", "+OK\r\n"},
        {"EXISTS k", ":0\r\n"},
        {"LTRIM k 0 0", "+OK\r\n"},
        {"LTRIM k x 0", NOT_INTEGER},
        {0},
    });
}

Test(lists, by_value)
{
    steps_run((const struct step[]){
        {"RPUSH k a 1 b 1 01 1", ":6\r\n"},
        {"LPOS k 1", ":1\r\n"},
        {"LPOS k 1 RANK -1", ":5\r\n"},
        {"LPOS k 1 RANK 2", ":3\r\n"},
        {"LPOS k 1 COUNT 0", "*3\r\n:1\r\n:3\r\n:5\r\n"},
        {"LPOS k 1 count 2 rank -2", "*2\r\n:3\r\n:1\r\n"},
        {"LPOS k 1 COUNT 0 MAXLEN 4", "*2\r\n:1\r\n:3\r\n"},
        {"LPOS k 1 RANK 4", "$-1\r\n"},
        {"LPOS k x COUNT 1", "*0\r\n"},
        {"LPOS none x COUNT 1", "*0\r\n"},
        {"LPOS none x", "$-1\r\n"},
        {"LPOS k 1 RANK", SYNTAX},
        {"LPOS k 1 COUNT -1", "-ERR COUNT can't be negative\r\n"},
        {"LPOS k 1 MAXLEN -1", "-ERR MAXLEN can't be negative\r\n"},
        {"LPOS k 1 RANK -9223372036854775808 COUNT 1", "*3\r\n:5\r\n:3\r\n:1\r\n"},
        {"LINSERT k BEFORE 01 x", ":7\r\n"},
        {"LINSERT k AFTER 1 y", ":8\r\n"},
        {"LINSERT k AFTER none y", ":-1\r\n"},
        {"LINSERT none AFTER none y", ":0\r\n"},
        {"LINSERT none AT none y", SYNTAX},
        {"LREM k -2 1", ":2\r\n"},
        {"LREM k 0 nothing", ":0\r\n"},
        {"LREM none 0 1", ":0\r\n"},
        {"LREM k x 1", NOT_INTEGER},
        {"LRANGE k 0 -1",
         "*6\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\ny\r\n$1\r\nb\r\n$1\r\nx\r\n$2\r\n01\r\n"},
        {"LREM k 1 1", ":1\r\n"},
        {"LREM k -9223372036854775808 b", ":1\r\n"},
        {"RPUSH l 5 5 5", ":3\r\n"},
        {"LREM l 0 5", ":3\r\n"},
        {"EXISTS l", ":0\r\n"},
        {0},
    });
}

Test(lists, moves)
{
    steps_run((const struct step[]){
        {"RPUSH k a b c", ":3\r\n"},
        {"LMOVE k l LEFT RIGHT", "$1\r\na\r\n"},
        {"RPOPLPUSH k l", "$1\r\nc\r\n"},
        {"LRANGE l 0 -1", "*2\r\n$1\r\nc\r\n$1\r\na\r\n"},
        {"LMOVE l l left right", "$1\r\nc\r\n"},
        {"LRANGE l 0 -1", "*2\r\n$1\r\na\r\n$1\r\nc\r\n"},
        {"LMOVE k k LEFT LEFT", "$1\r\nb\r\n"},
        {"LMOVE k l RIGHT RIGHT", "$1\r\nb\r\n"},
        {"EXISTS k", ":0\r\n"},
        {"RPOPLPUSH k l", "$-1\r\n"},
        {"LMOVE l m UP LEFT", SYNTAX},
        {"LMOVE l m LEFT UP", SYNTAX},
        {"LMPOP 2 k l LEFT", "*2\r\n$1\r\nl\r\n*1\r\n$1\r\na\r\n"},
        {"RPUSH m 1 2 3", ":3\r\n"},
        {"LMPOP 2 k m right COUNT 2", "*2\r\n$1\r\nm\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n"},
        {"LMPOP 1 m right COUNT 20", "*2\r\n$1\r\nm\r\n*1\r\n$1\r\n1\r\n"},
        {"EXISTS m", ":0\r\n"},
        {"LMPOP 1 m LEFT", "*-1\r\n"},
        {"LMPOP 0 m LEFT", NUMKEYS},
        {"LMPOP x m LEFT", NUMKEYS},
        {"LMPOP 2 m LEFT", SYNTAX},
        {"LMPOP 1 m UP", SYNTAX},
        {"LMPOP 1 m LEFT COUNT", SYNTAX},
        {"LMPOP 1 m LEFT COUNT 0", "-ERR count should be greater than 0\r\n"},
        {"LMPOP 1 m LEFT COUNT 1 COUNT 1", SYNTAX},
        {0},
    });
}

Test(lists, wrong_type_both_ways)
{
    steps_run((const struct step[]){
        {"SET s v", "+OK\r\n"},
        {"RPUSH k a", ":1\r\n"},
        {"LPUSH s a", WRONGTYPE},
        {"RPUSHX s a", WRONGTYPE},
        {"LPOP s", WRONGTYPE},
        {"RPOP s 0", WRONGTYPE},
        {"LLEN s", WRONGTYPE},
        {"LRANGE s 0 1", WRONGTYPE},
        {"LINDEX s x", WRONGTYPE},
        {"LSET s x v", WRONGTYPE},
        {"LINSERT s BEFORE a b", WRONGTYPE},
        {"LREM s 0 a", WRONGTYPE},
        {"LTRIM s 0 1", WRONGTYPE},
        {"LPOS s a", WRONGTYPE},
        {"RPOPLPUSH s k", WRONGTYPE},
        {"RPOPLPUSH k s", WRONGTYPE},
        {"RPOPLPUSH none s", "$-1\r\n"},
        {"LMPOP 2 none s LEFT", WRONGTYPE},
        {"LMPOP 2 k s LEFT", "*2\r\n$1\r\nk\r\n*1\r\n$1\r\na\r\n"},
        {"RPUSH k a", ":1\r\n"},
        {"GET k", WRONGTYPE},
        {"APPEND k x", WRONGTYPE},
        {"INCR k", WRONGTYPE},
        {"SETBIT k 1 1", WRONGTYPE},
        {"TYPE k", "+list\r\n"},
        {"SET k v", "+OK\r\n"},
        {"GET k", "$1\r\nv\r\n"},
        {0},
    });
}

Test(lists, effects_act_on_one_key_each)
{
    struct harness *harness = harness_new();
    harness_line(harness, "RPUSH k a b c 4");
    cr_expect_str_eq(harness_effects(harness), "RPUSH k a b c 4\n");
    harness_line(harness, "LMOVE k l RIGHT LEFT");
    cr_expect_str_eq(harness_effects(harness), "RPOP k\nLPUSH l 4\n");
    harness_line(harness, "LMOVE k k LEFT RIGHT");
    cr_expect_str_eq(harness_effects(harness), "LPOP k\nRPUSH k a\n");
    harness_line(harness, "LMPOP 3 none k l RIGHT COUNT 9");
    cr_expect_str_eq(harness_effects(harness), "RPOP k 3\n");
    harness_line(harness, "LPUSHX k a");
    harness_line(harness, "LREM l 0 5");
    harness_line(harness, "LTRIM l 0 -1");
    harness_line(harness, "LINSERT l AFTER x y");
    harness_line(harness, "LPOP l 0");
    harness_line(harness, "LMPOP 1 k LEFT");
    harness_line(harness, "RPOPLPUSH k l");
    cr_expect_str_eq(harness_effects(harness), "");
    harness_delete(harness);
}

Test(lists, deadline_stays)
{
    struct harness *harness = harness_new();
    harness_line(harness, "RPUSH k a b");
    harness_line(harness, "EXPIRE k 100");
    harness_line(harness, "RPUSH k c");
    harness_line(harness, "LPOP k");
    harness_line(harness, "LMOVE k k LEFT LEFT");
    cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 100000);
    harness_delete(harness);
}

static void
fill(struct harness *harness, const char *key, uint32_t count)
{
    char text[24];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "element-%010u", i);
        struct slice argv[] = {SLICE("RPUSH"), slice_of_string(key), slice_of_string(text)};
        harness_run(harness, argv, 3);
    }
}

Test(lists, encodings)
{
    struct harness *harness = harness_new();
    harness->is_checked = false;
    fill(harness, "k", 400);
    cr_expect_str_eq(harness_encoding(harness, "k"), "listpack");
    fill(harness, "k", 20);
    cr_expect_str_eq(harness_encoding(harness, "k"), "quicklist");
    harness_line(harness, "RPOP k 100");
    cr_expect_str_eq(harness_encoding(harness, "k"), "quicklist");
    harness_line(harness, "LTRIM k 0 199");
    cr_expect_str_eq(harness_encoding(harness, "k"), "listpack");
    harness->config->list_max_listpack_size = 3;
    harness_line(harness, "RPUSH s 1 2 3");
    cr_expect_str_eq(harness_encoding(harness, "s"), "listpack");
    harness_line(harness, "LINSERT s BEFORE 2 x");
    cr_expect_str_eq(harness_encoding(harness, "s"), "quicklist");
    harness_line(harness, "LMPOP 1 s LEFT COUNT 3");
    cr_expect_str_eq(harness_encoding(harness, "s"), "listpack");
    cr_expect_str_eq(harness_line(harness, "LRANGE s 0 -1"), "*1\r\n$1\r\n3\r\n");
    harness->is_checked = true;
    harness_line(harness, "LPUSH k x");
    harness_line(harness, "DEL k s");
    harness_delete(harness);
}

/** What commands answer does not depend on what is compressed. */
Test(lists, compressed_lists_answer_the_same)
{
    static const char *const lines[] = {
        "LINDEX k 1000",
        "LRANGE k 100 110",
        "LRANGE k -900 -800",
        "LPOS k element-0000001500",
        "LPOS k element-0000000500 RANK -1",
        "LPOS k element-0000000500 COUNT 0 MAXLEN 700",
        "LSET k 1000 changed",
        "LINSERT k BEFORE changed before",
        "LINSERT k AFTER element-0000001700 after",
        "LREM k 1 element-0000000900",
        "LREM k -1 element-0000001100",
        "LREM k 0 element-9",
        "LPOP k 450",
        "RPOP k 450",
        "LMOVE k k LEFT RIGHT",
        "LTRIM k 100 -100",
        "COPY k m",
        "LRANGE m 0 -1",
        "LLEN k",
        "LMPOP 1 k LEFT COUNT 500",
        "LRANGE k 0 -1",
    };
    struct harness *plain = harness_new();
    struct harness *compressed = harness_new();
    plain->is_checked = compressed->is_checked = false;
    compressed->config->list_compress_depth = 1;
    fill(plain, "k", 2000);
    fill(compressed, "k", 2000);
    plain->is_checked = compressed->is_checked = true;
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        char *reply = strdup(harness_line(plain, lines[i]));
        cr_expect_str_eq(harness_line(compressed, lines[i]), reply, "%s", lines[i]);
        free(reply);
    }
    harness_delete(plain);
    harness_delete(compressed);
}

Test(lists, moves_between_shards)
{
    struct shards *shards = shards_new(4, 1);
    static const struct step steps[] = {
        {"RPUSH a 1 2 3", ":3\r\n"},
        {"LMOVE a b LEFT RIGHT", "$1\r\n1\r\n"},
        {"RPOPLPUSH a c", "$1\r\n3\r\n"},
        {"LMOVE a d RIGHT LEFT", "$1\r\n2\r\n"},
        {"EXISTS a b c d", ":3\r\n"},
        {"LMPOP 4 a b c d LEFT", "*2\r\n$1\r\nb\r\n*1\r\n$1\r\n1\r\n"},
        {"LMPOP 4 a b c d LEFT COUNT 5", "*2\r\n$1\r\nc\r\n*1\r\n$1\r\n3\r\n"},
        {"RPOPLPUSH d d", "$1\r\n2\r\n"},
        {"LRANGE d 0 -1", "*1\r\n$1\r\n2\r\n"},
        {0},
    };
    for (const struct step *step = steps; step->line != NULL; step++) {
        const char *reply = shards_line(shards, step->line);
        cr_expect_str_eq(reply, step->reply, "%s: %s", step->line, reply);
    }
    struct shards *replica = shards_new(4, 1);
    shards_replay(shards, replica);
    cr_expect_str_eq(shards_line(replica, "LRANGE d 0 -1"), "*1\r\n$1\r\n2\r\n");
    cr_expect_str_eq(shards_line(replica, "EXISTS a b c"), ":0\r\n");
    shards_delete(replica);
    shards_delete(shards);
}
