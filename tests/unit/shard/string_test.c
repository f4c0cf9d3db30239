/*
 * string_test.c: the string commands on one shard, each run as the owner's own and as a borrower's.
 */
#include "core/heap.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_FLOAT "-ERR value is not a valid float\r\n"

struct step {
    const char *line;
    const char *reply;
};

static void
steps_run_as(const struct step *steps, bool is_borrowed)
{
    struct harness *harness = harness_new();
    harness->is_borrowed = is_borrowed;
    for (; steps->line != NULL; steps++) {
        const char *reply = harness_line(harness, steps->line);
        cr_expect_str_eq(reply, steps->reply, "%s: %s instead of %s", steps->line, reply,
                         steps->reply);
    }
    struct harness *replica = harness_new();
    harness_replay(harness, replica);
    harness_expire(harness);
    harness_expire(replica);
    cr_expect(harness_equal(harness, replica));
    harness_delete(replica);
    harness_delete(harness);
}

/** Each table runs twice, and its effects are replayed on an empty shard. */
static void
steps_run(const struct step *steps)
{
    steps_run_as(steps, false);
    steps_run_as(steps, true);
}

Test(string, set_and_get)
{
    steps_run((const struct step[]){
        {"GET k", "$-1\r\n"},
        {"SET k v", "+OK\r\n"},
        {"GET k", "$1\r\nv\r\n"},
        {"SET k ''", "+OK\r\n"},
        {"GET k", "$0\r\n\r\n"},
        {"SET k \"a\\r\\n\\x00b\"", "+OK\r\n"},
        {"STRLEN k", ":5\r\n"},
        {"SET '' empty-key", "+OK\r\n"},
        {"GET ''", "$9\r\nempty-key\r\n"},
        {"set K other", "+OK\r\n"},
        {"GET K", "$5\r\nother\r\n"},
        {"SET n 12", "+OK\r\n"},
        {"GET n", "$2\r\n12\r\n"},
        {"SET n -9223372036854775808", "+OK\r\n"},
        {"GET n", "$20\r\n-9223372036854775808\r\n"},
        {"SET n 012", "+OK\r\n"},
        {"GET n", "$3\r\n012\r\n"},
        {0},
    });
}

Test(string, set_conditions)
{
    steps_run((const struct step[]){
        {"SET k 1 XX", "$-1\r\n"},
        {"SET k 1 NX", "+OK\r\n"},
        {"SET k 2 nx", "$-1\r\n"},
        {"SET k 2 xx", "+OK\r\n"},
        {"SET k 3 GET", "$1\r\n2\r\n"},
        {"SET k 4 NX GET", "$1\r\n3\r\n"},
        {"GET k", "$1\r\n3\r\n"},
        {"SET new 4 NX GET", "$-1\r\n"},
        {"GET new", "$1\r\n4\r\n"},
        {"SET none 4 XX GET", "$-1\r\n"},
        {"GET none", "$-1\r\n"},
        {"SET k 1 NX NX", "$-1\r\n"},
        {"SET k 1 NX XX", SYNTAX},
        {"SET k 1 XX NX", SYNTAX},
        {"SET k 1 foo", SYNTAX},
        {"SET k 1 PERSIST", SYNTAX},
        {"SET k 5 IFEQ 3", "+OK\r\n"},
        {"SET k 6 IFEQ 3", "$-1\r\n"},
        {"SET k 6 IFEQ 3 GET", "$1\r\n5\r\n"},
        {"SET k six GET IFEQ 5", "$1\r\n5\r\n"},
        {"GET k", "$3\r\nsix\r\n"},
        {"SET none 6 IFEQ 3", "$-1\r\n"},
        {"SET none 6 IFEQ ''", "$-1\r\n"},
        {"SET none 6 IFEQ 3 GET", "$-1\r\n"},
        {"SET k 6 IFEQ", SYNTAX},
        {"SET k 6 IFEQ 1 NX", SYNTAX},
        {"SET k 6 XX IFEQ 1", SYNTAX},
        {"SET k 6 IFEQ 1 IFEQ 1", SYNTAX},
        {"GET k", "$3\r\nsix\r\n"},
        {0},
    });
}

Test(string, set_expire_errors)
{
    steps_run((const struct step[]){
        {"SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v EX -1", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v PX 0", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v EXAT -5", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v PXAT 0", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v EX 9223372036854775", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
        {"SET k v EX 9223372036854775808", NOT_INTEGER},
        {"SET k v EX ten", NOT_INTEGER},
        {"SET k v EX 1.5", NOT_INTEGER},
        {"SET k v EX", SYNTAX},
        {"SET k v PXAT", SYNTAX},
        {"SET k v EX 1 PX 1", SYNTAX},
        {"SET k v EX 1 KEEPTTL", SYNTAX},
        {"SET k v KEEPTTL PXAT 1", SYNTAX},
        {"SET k v EXAT 1 PXAT 1", SYNTAX},
        {"GET k", "$-1\r\n"},
        {"SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n"},
        {"SETEX k x v", NOT_INTEGER},
        {"PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command\r\n"},
        {"SET k v EX 10 EX 20", "+OK\r\n"},
        {"SET k v PXAT 9223372036854775807", "+OK\r\n"},
        {"GET k", "$1\r\nv\r\n"},
        {0},
    });
}

Test(string, set_deadlines)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        harness->is_borrowed = is_borrowed;
        harness_line(harness, "SET k v EX 10");
        cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 10000);
        harness_line(harness, "SET k w KEEPTTL");
        cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 10000);
        harness_line(harness, "SET k w");
        cr_expect_eq(harness_deadline_ms(harness, "k"), ENTRY_NO_DEADLINE);
        harness_line(harness, "PSETEX k 1500 v");
        cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 1500);
        harness_line(harness, "SETEX k 15 v");
        cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 15000);
        harness_line(harness, "SET k v EXAT 1800000000");
        cr_expect_eq(harness_deadline_ms(harness, "k"), INT64_C(1800000000000));
        harness_line(harness, "INCRBYFLOAT f 1");
        harness_line(harness, "SET f 1 PX 100");
        harness_line(harness, "INCR f");
        harness_line(harness, "INCRBYFLOAT f 0.5");
        harness_line(harness, "APPEND f 0");
        harness_line(harness, "SETRANGE f 0 3");
        cr_expect_eq(harness_deadline_ms(harness, "f"), HARNESS_START_MS + 100);
        cr_expect_str_eq(harness_line(harness, "GET f"), "$4\r\n3.50\r\n");
        harness_line(harness, "GETSET f 1");
        cr_expect_eq(harness_deadline_ms(harness, "f"), ENTRY_NO_DEADLINE);
        /* Deadlines that have passed. */
        cr_expect_str_eq(harness_line(harness, "SET k v PXAT 1 GET"), "$1\r\nv\r\n");
        cr_expect_eq(harness_deadline_ms(harness, "k"), -2);
        cr_expect_str_eq(harness_line(harness, "SET k v EXAT 1"), "+OK\r\n");
        cr_expect_eq(harness_deadline_ms(harness, "k"), -2);
        struct harness *replica = harness_new();
        harness_replay(harness, replica);
        cr_expect(harness_equal(harness, replica));
        harness_delete(replica);
        harness_delete(harness);
    }
}

Test(string, expired_keys_are_gone)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        harness->is_borrowed = is_borrowed;
        harness_line(harness, "SET k v PX 10");
        harness_line(harness, "SET l 5 PX 10");
        harness_advance(harness, 9);
        cr_expect_str_eq(harness_line(harness, "GET k"), "$1\r\nv\r\n");
        harness_effects(harness);
        harness_advance(harness, 1);
        cr_expect_str_eq(harness_line(harness, "GET k"), "$-1\r\n");
        cr_expect_str_eq(harness_line(harness, "INCR l"), ":1\r\n");
        cr_expect_eq(harness->shard->counters.expired_count, 2);
        cr_expect_eq(harness->shard->keyspace.databases[0].key_count, 1);
        cr_expect_str_eq(harness_effects(harness), "DEL k\nDEL l\nINCR l\n");
        harness_delete(harness);
    }
}

Test(string, setnx_getset_getdel_delifeq)
{
    steps_run((const struct step[]){
        {"SETNX k 1", ":1\r\n"},
        {"SETNX k 2", ":0\r\n"},
        {"GETSET k 3", "$1\r\n1\r\n"},
        {"GETSET new abc", "$-1\r\n"},
        {"GETDEL new", "$3\r\nabc\r\n"},
        {"GETDEL new", "$-1\r\n"},
        {"DELIFEQ k 4", ":0\r\n"},
        {"DELIFEQ k 3", ":1\r\n"},
        {"DELIFEQ k 3", ":0\r\n"},
        {"DELIFEQ k ''", ":0\r\n"},
        {"SET k ''", "+OK\r\n"},
        {"DELIFEQ k ''", ":1\r\n"},
        {0},
    });
}

Test(string, getex)
{
    steps_run((const struct step[]){
        {"GETEX none EX 0", "$-1\r\n"},
        {"GETEX none EX", SYNTAX},
        {"GETEX none foo", SYNTAX},
        {"SET k v", "+OK\r\n"},
        {"GETEX k", "$1\r\nv\r\n"},
        {"GETEX k EX 0", "-ERR invalid expire time in 'getex' command\r\n"},
        {"GETEX k KEEPTTL", SYNTAX},
        {"GETEX k NX", SYNTAX},
        {"GETEX k PERSIST EX 10", SYNTAX},
        {"GETEX k EX 10 PERSIST", SYNTAX},
        {"GETEX k EX 10", "$1\r\nv\r\n"},
        {"GETEX k EX 10 EX 20", "$1\r\nv\r\n"},
        {"GETEX k PERSIST PERSIST", "$1\r\nv\r\n"},
        {"GETEX k PX 5000", "$1\r\nv\r\n"},
        {"GETEX k PXAT 1", "$1\r\nv\r\n"},
        {"GET k", "$-1\r\n"},
        {0},
    });
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v");
    harness_effects(harness);
    harness_line(harness, "GETEX k");
    harness_line(harness, "GETEX k PERSIST");
    harness_line(harness, "GETEX k EX 1");
    cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 1000);
    harness_line(harness, "GETEX k PERSIST");
    harness_line(harness, "GETEX k EXAT 5");
    cr_expect_str_eq(harness_effects(harness), "PEXPIREAT k 1700000001000\nPERSIST k\nDEL k\n");
    harness_delete(harness);
}

Test(string, ranges)
{
    steps_run((const struct step[]){
        {"SET k 'Hello World'", "+OK\r\n"},
        {"GETRANGE k 0 4", "$5\r\nHello\r\n"},
        {"SUBSTR k -5 -1", "$5\r\nWorld\r\n"},
        {"GETRANGE k 0 -1", "$11\r\nHello World\r\n"},
        {"GETRANGE k -100 100", "$11\r\nHello World\r\n"},
        {"GETRANGE k 5 3", "$0\r\n\r\n"},
        {"GETRANGE k -1 -5", "$0\r\n\r\n"},
        {"GETRANGE k 11 20", "$0\r\n\r\n"},
        {"GETRANGE k -100 -50", "$1\r\nH\r\n"},
        {"GETRANGE k -9223372036854775808 9223372036854775807", "$11\r\nHello World\r\n"},
        {"GETRANGE none 0 -1", "$0\r\n\r\n"},
        {"GETRANGE none x 1", NOT_INTEGER},
        {"GETRANGE k 0 x", NOT_INTEGER},
        {"SET n 12345", "+OK\r\n"},
        {"GETRANGE n 1 3", "$3\r\n234\r\n"},
        {"STRLEN n", ":5\r\n"},
        {"STRLEN none", ":0\r\n"},
        {"SETRANGE k 6 Redis", ":11\r\n"},
        {"GET k", "$11\r\nHello Redis\r\n"},
        {"SETRANGE n 7 x", ":8\r\n"},
        {"GETRANGE n 0 4", "$5\r\n12345\r\n"},
        {"SETRANGE none 0 ''", ":0\r\n"},
        {"SETRANGE none 536870912 ''", ":0\r\n"},
        {"GET none", "$-1\r\n"},
        {"SETRANGE new 3 abc", ":6\r\n"},
        {"STRLEN new", ":6\r\n"},
        {"SETRANGE k 536870912 ''", ":11\r\n"},
        {"SETRANGE k -1 x", "-ERR offset is out of range\r\n"},
        {"SETRANGE k x x", NOT_INTEGER},
        {"SETRANGE k 536870912 x",
         "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"},
        {"SETRANGE k 9223372036854775807 x",
         "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"},
        {"APPEND k !", ":12\r\n"},
        {"APPEND k ''", ":12\r\n"},
        {"APPEND made 12", ":2\r\n"},
        {"APPEND made 3", ":3\r\n"},
        {"INCR made", ":124\r\n"},
        {"APPEND empty ''", ":0\r\n"},
        {"GET empty", "$0\r\n\r\n"},
        {0},
    });
}

Test(string, counters)
{
    steps_run((const struct step[]){
        {"INCR n", ":1\r\n"},
        {"INCRBY n 41", ":42\r\n"},
        {"DECR n", ":41\r\n"},
        {"DECRBY n 50", ":-9\r\n"},
        {"INCRBY n -1", ":-10\r\n"},
        {"DECRBY n -20", ":10\r\n"},
        {"INCRBY n x", NOT_INTEGER},
        {"INCRBY n 9223372036854775808", NOT_INTEGER},
        {"INCRBY n 9223372036854775800", "-ERR increment or decrement would overflow\r\n"},
        {"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"},
        {"SET n -9223372036854775808", "+OK\r\n"},
        {"DECR n", "-ERR increment or decrement would overflow\r\n"},
        {"INCR n", ":-9223372036854775807\r\n"},
        {"SET n 01", "+OK\r\n"},
        {"INCR n", NOT_INTEGER},
        {"SET n ' 1'", "+OK\r\n"},
        {"INCR n", NOT_INTEGER},
        {"SET n ''", "+OK\r\n"},
        {"INCR n", NOT_INTEGER},
        {"SET f 10.50", "+OK\r\n"},
        {"INCR f", NOT_INTEGER},
        {"INCRBYFLOAT f 0.1", "$4\r\n10.6\r\n"},
        {"INCRBYFLOAT f -5", "$3\r\n5.6\r\n"},
        {"SET f 5.0e3", "+OK\r\n"},
        {"INCRBYFLOAT f 2.0e2", "$4\r\n5200\r\n"},
        {"INCR f", ":5201\r\n"},
        {"INCRBYFLOAT new 3", "$1\r\n3\r\n"},
        {"INCRBYFLOAT f x", NOT_FLOAT},
        {"INCRBYFLOAT f nan", NOT_FLOAT},
        {"INCRBYFLOAT f ' 1'", NOT_FLOAT},
        {"INCRBYFLOAT f '1 '", NOT_FLOAT},
        {"INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity\r\n"},
        {"INCRBYFLOAT f -inf", "-ERR increment would produce NaN or Infinity\r\n"},
        {"SET f abc", "+OK\r\n"},
        {"INCRBYFLOAT f 1", NOT_FLOAT},
        {0},
    });
}

Test(string, many)
{
    steps_run((const struct step[]){
        {"MSET a 1 b 2 a 3", "+OK\r\n"},
        {"MGET a b none a", "*4\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n"},
        {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"},
        {"MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n"},
        {"MSETNX c 1 a 9", ":0\r\n"},
        {"MSETNX c 1 c 2 d x", ":1\r\n"},
        {"MGET a c d", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\nx\r\n"},
        {"MSETEX 2 a 5 b 6 EX 100", ":1\r\n"},
        {"MSETEX 2 a 5 b 7 NX", ":0\r\n"},
        {"MSETEX 2 a 5 none 7 XX", ":0\r\n"},
        {"MSETEX 1 none 7 NX PX 5", ":1\r\n"},
        {"MSETEX 2 a x b y XX KEEPTTL", ":1\r\n"},
        {"MGET a b", "*2\r\n$1\r\nx\r\n$1\r\ny\r\n"},
        {"MSETEX 0 a x", "-ERR invalid numkeys value\r\n"},
        {"MSETEX -1 a x", "-ERR invalid numkeys value\r\n"},
        {"MSETEX a a x", "-ERR invalid numkeys value\r\n"},
        {"MSETEX 9223372036854775807 a x", "-ERR invalid numkeys value\r\n"},
        {"MSETEX 2147483647 a x", "-ERR wrong number of key-value pairs\r\n"},
        {"MSETEX 2 a x b", "-ERR wrong number of key-value pairs\r\n"},
        {"MSETEX 1 a x b", SYNTAX},
        {"MSETEX 1 a x GET", SYNTAX},
        {"MSETEX 1 a x NX XX", SYNTAX},
        {"MSETEX 1 a x EX 0", "-ERR invalid expire time in 'msetex' command\r\n"},
        {"MSETEX 1 a x PXAT 1", ":1\r\n"},
        {"GET a", "$-1\r\n"},
        {0},
    });
    struct harness *harness = harness_new();
    harness_line(harness, "MSETEX 2 a x b y PX 7");
    cr_expect_eq(harness_deadline_ms(harness, "a"), HARNESS_START_MS + 7);
    harness_line(harness, "MSETEX 2 b z c z KEEPTTL");
    cr_expect_eq(harness_deadline_ms(harness, "b"), HARNESS_START_MS + 7);
    cr_expect_eq(harness_deadline_ms(harness, "c"), ENTRY_NO_DEADLINE);
    harness_line(harness, "MSETEX 1 b z");
    cr_expect_eq(harness_deadline_ms(harness, "b"), ENTRY_NO_DEADLINE);
    harness_delete(harness);
}

Test(string, lcs)
{
    steps_run((const struct step[]){
        {"MSET a ohmytext b mynewtext", "+OK\r\n"},
        {"LCS a b", "$6\r\nmytext\r\n"},
        {"LCS a b LEN", ":6\r\n"},
        {"LCS a b IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n"
                        "*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n"},
        {"LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
         "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n"
         "$3\r\nlen\r\n:6\r\n"},
        {"LCS a none", "$0\r\n\r\n"},
        {"LCS none none IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"},
        {"LCS a a LEN", ":8\r\n"},
        {"LCS a b LEN IDX",
         "-ERR If you want both the length and indexes, please just use IDX.\r\n"},
        {"LCS a b MINMATCHLEN", SYNTAX},
        {"LCS a b MINMATCHLEN x", NOT_INTEGER},
        {"LCS a b foo", SYNTAX},
        {0},
    });
}

Test(string, lcs_refuses_large_tables)
{
    struct harness *harness = harness_new();
    harness->config->proto_max_bulk_len = 1 << 20;
    harness_line(harness, "SETRANGE a 1022 x");
    harness_line(harness, "SETRANGE b 254 x");
    cr_expect_str_eq(harness_line(harness, "LCS a b LEN"), ":255\r\n");
    harness_line(harness, "SETRANGE b 255 x");
    cr_expect_str_eq(
        harness_line(harness, "LCS a b LEN"),
        "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    harness_delete(harness);
}

Test(string, resp3)
{
    struct harness *harness = harness_new();
    harness->session->protocol = 3;
    cr_expect_str_eq(harness_line(harness, "GET k"), "_\r\n");
    cr_expect_str_eq(harness_line(harness, "SET k v XX"), "_\r\n");
    cr_expect_str_eq(harness_line(harness, "MGET k"), "*1\r\n_\r\n");
    cr_expect_str_eq(harness_line(harness, "GETDEL k"), "_\r\n");
    cr_expect_str_eq(harness_line(harness, "LCS a b IDX"),
                     "%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    cr_expect_str_eq(harness_line(harness, "INCRBYFLOAT f 1.5"), "$3\r\n1.5\r\n");
    harness_delete(harness);
}

Test(string, encodings)
{
    static const struct {
        const char *line;
        const char *encoding;
    } cases[] = {
        {"SET k 1", "int"},
        {"SET k -9223372036854775808", "int"},
        {"SET k 9223372036854775807", "int"},
        {"SET k 9223372036854775808", "embstr"},
        {"SET k 01", "embstr"},
        {"SET k -0", "embstr"},
        {"SET k ''", "embstr"},
        {"SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "embstr"},
        {"SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "raw"},
        {"SET k a", "embstr"},
        {"APPEND k b", "raw"},
        {"GETSET k 7", "int"},
        {"APPEND k ''", "raw"},
        {"INCR k", "int"},
        {"SETRANGE k 0 1", "raw"},
        {"SETRANGE k 0 ''", "raw"},
        {"INCRBYFLOAT k 1", "embstr"},
        {"DECR k", "int"},
        {"MSET k 5", "int"},
        {"SETEX k 100 5", "int"},
        {"GETDEL k", ""},
        {"SETRANGE k 0 1", "raw"},
        {"GETDEL k", ""},
        {"APPEND k 12", "int"},
        {"GETDEL k", ""},
        {"SETNX k 12", "int"},
        {"GETDEL k", ""},
        {"MSETNX k x", "embstr"},
        {"GETDEL k", ""},
        {"INCRBYFLOAT k 3", "embstr"},
        {"GETEX k EX 10", "embstr"},
    };
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        harness->is_borrowed = is_borrowed;
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            harness_line(harness, cases[i].line);
            const char *encoding = harness_encoding(harness, "k");
            cr_expect_str_eq(encoding, cases[i].encoding, "%s: %s", cases[i].line, encoding);
        }
        harness_delete(harness);
    }
}

Test(string, effects)
{
    struct harness *harness = harness_new();
    static const char *const lines[] = {
        "SET k v",     "SET k v EX 10",   "SET k w KEEPTTL",   "SET k v NX",
        "SETNX k v",   "SETNX l v",       "SETEX k 1 v",       "GETSET k w",
        "GET k",       "MSET a 1 b 2",    "INCRBYFLOAT a 0.5", "INCR b",
        "APPEND b x",  "SETRANGE b 0 ''", "GETDEL a",          "GETDEL a",
        "DELIFEQ l v", "SET b v PXAT 1",  "SET none v PXAT 1", "STRLEN b",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        harness_line(harness, lines[i]);
    }
    cr_expect_str_eq(harness_effects(harness), "SET k v\n"
                                               "SET k v PXAT 1700000010000\n"
                                               "SET k w PXAT 1700000010000\n"
                                               "SET l v\n"
                                               "SET k v PXAT 1700000001000\n"
                                               "SET k w\n"
                                               "SET a 1\n"
                                               "SET b 2\n"
                                               "SET a 1.5 KEEPTTL\n"
                                               "INCR b\n"
                                               "APPEND b x\n"
                                               "DEL a\n"
                                               "DEL l\n"
                                               "DEL b\n");
    harness_delete(harness);
}

/* ---- wrong types ---- */

Test(string, wrong_types)
{
    static const char *const lines[] = {
        "GET c",          "STRLEN c",        "GETRANGE c 0 1",  "APPEND c x", "SETRANGE c 0 x",
        "SET c v GET",    "SET c v IFEQ x",  "GETSET c v",      "GETDEL c",   "GETEX c EX 0",
        "DELIFEQ c v",    "INCR c",          "INCRBYFLOAT c x", "DECRBY c 1", "SUBSTR c 0 1",
        "SET c v NX GET", "SETRANGE c 0 ''",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct harness *harness = harness_new();
        harness_line(harness, "SET c v");
        /* Only strings exist here: let the entry claim to be something else for a moment. */
        struct slice key = SLICE("c");
        struct entry *entry = keyspace_find(&harness->shard->keyspace, 0, key_slot(key), key,
                                            keyspace_hash(&harness->shard->keyspace, key));
        entry->type = VALUE_LIST;
        const char *reply = harness_line(harness, lines[i]);
        cr_expect_str_eq(reply, WRONG_TYPE, "%s: %s", lines[i], reply);
        cr_expect_str_eq(harness_line(harness, "MGET c"), "*1\r\n$-1\r\n");
        cr_expect_str_eq(harness_line(harness, "LCS c c"),
                         "-ERR The specified keys must contain string values\r\n");
        entry->type = VALUE_STRING;
        cr_expect_str_eq(harness_line(harness, "GET c"), "$1\r\nv\r\n");
        harness_delete(harness);
    }
}

/* ---- large values ---- */

static struct slice
large_text(size_t size, char first)
{
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)(first + i % 23);
    }
    return slice_of(text, size);
}

static bool
reply_is(struct slice reply, struct slice text)
{
    char head[32];
    int head_size = snprintf(head, sizeof(head), "$%zu\r\n", text.size);
    return reply.size == (size_t)head_size + text.size + 2 &&
           memcmp(reply.data, head, (size_t)head_size) == 0 &&
           memcmp(reply.data + head_size, text.data, text.size) == 0;
}

/** Replies that point into a value keep its bytes, whatever happens to the key. */
Test(string, large_values_are_pinned)
{
    struct slice text = large_text(100000, 'a');
    struct slice other = large_text(70000, 'A');
    static const char *const changes[] = {"SET k x",    "GETDEL k",       "APPEND k x",
                                          "GETSET k 1", "SETRANGE k 5 !", "SET k v PXAT 1"};
    for (int mode = 0; mode < 8; mode++) {
        for (size_t i = 0; i < ARRAY_COUNT(changes); i++) {
            struct harness *harness = harness_new();
            harness->large_index = (mode & 1) != 0 ? 2 : 0;
            harness_run(harness, (struct slice[]){SLICE("SET"), SLICE("k"), other}, 3);
            harness_run(harness, (struct slice[]){SLICE("SET"), SLICE("k"), text}, 3);
            harness->large_index = 0;
            harness->is_reply_kept = true;
            harness->is_borrowed = (mode & 2) != 0;
            struct slice reply =
                harness_run(harness, (struct slice[]){SLICE("GET"), SLICE("k")}, 2);
            cr_expect(reply_is(reply, text));
            harness->is_reply_kept = false;
            harness->is_borrowed = (mode & 4) != 0;
            harness_line(harness, changes[i]);
            char *kept = output_flatten(&harness->kept);
            cr_expect(reply_is(slice_of(kept, harness->kept.byte_count), text), "%s", changes[i]);
            heap_free(kept);
            output_destroy(&harness->kept);
            output_create(&harness->kept);
            harness_delete(harness);
        }
    }
    free((char *)text.data);
    free((char *)other.data);
}

Test(string, large_arguments_are_taken)
{
    struct slice text = large_text(50000, 'a');
    struct harness *harness = harness_new();
    harness_line(harness, "SET k 1");
    uint64_t used_size = harness->shard->memory.used_size;
    harness->large_index = 2;
    harness_run(harness, (struct slice[]){SLICE("SET"), SLICE("k"), text}, 3);
    cr_expect_gt(harness->shard->memory.used_size, used_size + 50000);
    cr_expect_lt(harness->shard->memory.used_size, used_size + 70000);
    cr_expect(reply_is(harness_run(harness, (struct slice[]){SLICE("GETSET"), SLICE("k"), text}, 3),
                       text));
    /* Not stored, so not taken; appended, so copied. */
    harness_run(harness, (struct slice[]){SLICE("SETNX"), SLICE("k"), text}, 3);
    harness_run(harness, (struct slice[]){SLICE("APPEND"), SLICE("k"), text}, 3);
    cr_expect_str_eq(
        harness_run(harness, (struct slice[]){SLICE("APPEND"), SLICE("l"), text}, 3).data,
        ":50000\r\n");
    harness->large_index = 0;
    cr_expect_str_eq(harness_line(harness, "STRLEN k"), ":100000\r\n");
    harness_delete(harness);
    free((char *)text.data);
}

Test(string, append_to_a_large_string_copies_rarely)
{
    struct harness *harness = harness_new();
    harness->is_checked = false;
    harness->shard->journal = NULL;
    for (int i = 0; i < 200000; i++) {
        harness_run(harness, (struct slice[]){SLICE("APPEND"), SLICE("k"), SLICE("0123456789")}, 3);
    }
    cr_expect_str_eq(harness_line(harness, "STRLEN k"), ":2000000\r\n");
    harness_delete(harness);
}

Test(string, appends_stop_at_the_limit)
{
    struct harness *harness = harness_new();
    harness->config->proto_max_bulk_len = 1 << 20;
    struct slice text = large_text(1 << 20, 'a');
    harness_run(harness, (struct slice[]){SLICE("SET"), SLICE("k"), text}, 3);
    free((char *)text.data);
    cr_expect_str_eq(harness_line(harness, "APPEND k x"),
                     "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    cr_expect_str_eq(harness_line(harness, "APPEND k ''"), ":1048576\r\n");
    cr_expect_str_eq(harness_line(harness, "SETRANGE k 1048575 x"), ":1048576\r\n");
    cr_expect_str_eq(harness_line(harness, "SETRANGE k 1048576 x"),
                     "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    harness_delete(harness);
}

/* ---- counters and clocks ---- */

Test(string, hits_and_misses)
{
    struct harness *harness = harness_new();
    struct shard_counters *counters = &harness->shard->counters;
    harness_line(harness, "SET k v");
    harness_line(harness, "INCR n");
    cr_expect_eq(counters->hit_count + counters->miss_count, 0);
    harness_line(harness, "GET k");
    harness_line(harness, "GET none");
    harness_line(harness, "MGET k n none");
    cr_expect_eq(counters->hit_count, 3);
    cr_expect_eq(counters->miss_count, 2);
    harness_line(harness, "GETEX k");
    harness_line(harness, "SET k v GET");
    harness_line(harness, "GETDEL none");
    cr_expect_eq(counters->hit_count, 5);
    cr_expect_eq(counters->miss_count, 3);
    harness_delete(harness);
}

/* ---- random commands ---- */

/** What stands for %s is a key, for %v a value, for %t a time in ms, for %n a number. */
static const char *const templates[] = {
    "SET %s %v",
    "SET %s %v PX %t",
    "SET %s %v KEEPTTL",
    "SET %s %v NX GET PX %t",
    "SET %s %v XX EX 1",
    "SET %s %v IFEQ %v",
    "SETNX %s %v",
    "PSETEX %s %t %v",
    "GETSET %s %v",
    "GETDEL %s",
    "GETEX %s PX %t",
    "GETEX %s PERSIST",
    "GETEX %s EXAT 1",
    "MSET %s %v %s %v",
    "MSETNX %s %v %s %v",
    "MSETEX 2 %s %v %s %v PX %t",
    "APPEND %s %v",
    "SETRANGE %s %n %v",
    "INCR %s",
    "DECRBY %s %n",
    "INCRBYFLOAT %s 0.1",
    "INCRBYFLOAT %s %v",
    "DELIFEQ %s %v",
    "GET %s",
    "MGET %s %s",
    "SET %s %v PXAT 1000",
    "SET %s %v GET",
    "DEL %s",
};

static void
random_line(struct random *random, char *out, size_t size)
{
    static const char *const values[] = {"1",  "-7",  "2.5", "abc",
                                         "''", "1e2", "00",  "text-of-some-size"};
    const char *template = templates[random_below(random, ARRAY_COUNT(templates))];
    size_t at = 0;
    for (; *template != '\0'; template ++) {
        if (*template != '%') {
            out[at++] = *template;
            continue;
        }
        template ++;
        if (*template == 's') {
            at += (size_t)snprintf(out + at, size - at, "k%u", (unsigned)random_below(random, 6));
        } else if (*template == 'v') {
            at += (size_t)snprintf(out + at, size - at, "%s",
                                   values[random_below(random, ARRAY_COUNT(values))]);
        } else {
            at += (size_t)snprintf(out + at, size - at, "%u",
                                   1 + (unsigned)random_below(random, *template == 't' ? 60 : 40));
        }
    }
    out[at] = '\0';
}

Test(string, replayed_effects_give_the_same_data)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    for (int round = 0; round < 20; round++) {
        struct harness *harness = harness_new();
        struct harness *replica = harness_new();
        for (int i = 0; i < 300; i++) {
            char line[256];
            random_line(&random, line, sizeof(line));
            harness->session->db = (uint16_t)random_below(&random, 2);
            harness->is_borrowed = random_below(&random, 2) == 0;
            harness_line(harness, line);
            if (random_below(&random, 4) == 0) {
                harness_advance(harness, (int64_t)random_below(&random, 20));
            }
            if (random_below(&random, 30) == 0) {
                harness_expire(harness);
            }
        }
        harness_expire(harness);
        harness_replay(harness, replica);
        harness_expire(replica);
        cr_assert(harness_equal(harness, replica), "round %d", round);
        harness_delete(replica);
        harness_delete(harness);
    }
}
