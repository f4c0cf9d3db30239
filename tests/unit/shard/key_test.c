/*
 * key_test.c: the commands on keys whatever they hold, over one shard and over several, and the
 * looks over a whole database. Expected replies are redis-server's.
 */
#include "shards.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NOT_INT "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"
#define NO_DATABASE "-ERR DB index is out of range\r\n"
#define SAME_OBJECT "-ERR source and destination objects are the same\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NX_CONFLICT "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"
#define NULL_BULK "$-1\r\n"

struct step {
    const char *line; /* "@ms": the clock moves on */
    const char *reply;
};

/* Shards, and how many slots in a row belong to one: with short runs most keys of a command lie
 * apart. */
static const uint32_t layouts[][2] = {{1, SLOT_COUNT}, {3, 16}, {5, 1024}};

/* Each table runs over several layouts; what the effects say must make the same data again. */
static void
steps_run(const struct step *steps)
{
    for (size_t layout = 0; layout < ARRAY_COUNT(layouts); layout++) {
        struct shards *shards = shards_new(layouts[layout][0], layouts[layout][1]);
        for (const struct step *step = steps; step->line != NULL; step++) {
            if (step->line[0] == '@') {
                shards_advance(shards, atoll(step->line + 1));
                continue;
            }
            const char *reply = shards_line(shards, step->line);
            cr_expect_str_eq(reply, step->reply, "%u shards: %s: %s instead of %s", shards->count,
                             step->line, reply, step->reply);
        }
        struct shards *replica = shards_new(2, 64);
        shards_replay(shards, replica);
        for (uint16_t db = 0; db < 4; db++) {
            shards->session.db = db;
            replica->session.db = db;
            for (char key[2] = "a"; key[0] <= 'e'; key[0]++) {
                static const char *const looks[] = {"get", "pexpiretime"};
                for (size_t look = 0; look < ARRAY_COUNT(looks); look++) {
                    char line[32];
                    snprintf(line, sizeof(line), "%s %s", looks[look], key);
                    char *there = strdup(shards_line(replica, line));
                    cr_expect_str_eq(there, shards_line(shards, line), "replayed: db %u, %s", db,
                                     line);
                    free(there);
                }
            }
        }
        shards_delete(replica);
        shards_delete(shards);
    }
}

#define STEPS(...) steps_run((const struct step[]){__VA_ARGS__, {NULL, NULL}})

Test(key, delete_exists_touch_type)
{
    STEPS({"del a", ":0\r\n"}, {"set a 1", "+OK\r\n"}, {"set b x", "+OK\r\n"},
          {"exists a b c a", ":3\r\n"}, {"touch a a c", ":2\r\n"}, {"type a", "+string\r\n"},
          {"type c", "+none\r\n"}, {"dbsize", ":2\r\n"}, {"del a c a", ":1\r\n"},
          {"unlink a b b", ":1\r\n"}, {"dbsize", ":0\r\n"}, {"exists a b", ":0\r\n"});
}

Test(key, expire_and_ttl)
{
    STEPS({"ttl a", ":-2\r\n"}, {"pttl a", ":-2\r\n"}, {"expiretime a", ":-2\r\n"},
          {"pexpiretime a", ":-2\r\n"}, {"expire a 10", ":0\r\n"}, {"set a v", "+OK\r\n"},
          {"ttl a", ":-1\r\n"}, {"pexpiretime a", ":-1\r\n"}, {"expire a 10", ":1\r\n"},
          {"ttl a", ":10\r\n"}, {"pttl a", ":10000\r\n"}, {"pexpiretime a", ":1700000010000\r\n"},
          {"expiretime a", ":1700000010\r\n"}, {"@499", NULL}, {"ttl a", ":10\r\n"}, {"@2", NULL},
          {"ttl a", ":9\r\n"}, {"pexpire a 1500", ":1\r\n"}, {"ttl a", ":2\r\n"},
          {"expireat a 1700000100", ":1\r\n"}, {"pexpireat a 1700000100499", ":1\r\n"},
          {"expiretime a", ":1700000100\r\n"}, {"pexpireat a 1700000100500", ":1\r\n"},
          {"expiretime a", ":1700000101\r\n"}, {"persist a", ":1\r\n"}, {"persist a", ":0\r\n"},
          {"persist b", ":0\r\n"}, {"ttl a", ":-1\r\n"}, {"pexpire a 5", ":1\r\n"}, {"@4", NULL},
          {"get a", "$1\r\nv\r\n"}, {"@1", NULL}, {"get a", NULL_BULK}, {"ttl a", ":-2\r\n"});
}

Test(key, a_deadline_in_the_past_deletes)
{
    STEPS({"set a v", "+OK\r\n"}, {"expire a 0", ":1\r\n"}, {"exists a", ":0\r\n"},
          {"set a v", "+OK\r\n"}, {"pexpire a -1", ":1\r\n"}, {"exists a", ":0\r\n"},
          {"set a v", "+OK\r\n"}, {"pexpireat a 1700000000000", ":1\r\n"}, {"exists a", ":0\r\n"},
          {"set a v", "+OK\r\n"}, {"expireat a 0", ":1\r\n"}, {"exists a", ":0\r\n"},
          {"set b v", "+OK\r\n"}, {"pexpire b -9223372036854775808", ":1\r\n"},
          {"exists b", ":0\r\n"});
}

Test(key, expire_conditions)
{
    STEPS({"set a v", "+OK\r\n"}, {"expire a 10 xx", ":0\r\n"}, {"expire a 10 gt", ":0\r\n"},
          {"expire a 10 lt", ":1\r\n"}, {"expire a 10 nx", ":0\r\n"}, {"expire a 10 gt", ":0\r\n"},
          {"expire a 10 lt", ":0\r\n"}, {"expire a 11 GT", ":1\r\n"},
          {"expire a 9 XX LT", ":1\r\n"}, {"ttl a", ":9\r\n"}, {"persist a", ":1\r\n"},
          {"expire a 5 xx lt", ":0\r\n"}, {"expire a 5 nx", ":1\r\n"}, {"expire a -1 lt", ":1\r\n"},
          {"exists a", ":0\r\n"}, {"expire a 10 nx xx", NX_CONFLICT},
          {"expire a 10 nx gt lt", NX_CONFLICT},
          {"expire a 10 gt lt", "-ERR GT and LT options at the same time are not compatible\r\n"},
          {"expire a x nx foo", "-ERR Unsupported option foo\r\n"}, {"expire a x", NOT_INTEGER},
          {"expire a 1.5", NOT_INTEGER});
}

Test(key, expire_overflow)
{
    STEPS({"set a v", "+OK\r\n"},
          {"expire a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
          {"expire a 9223372036854775", "-ERR invalid expire time in 'expire' command\r\n"},
          {"pexpire a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"},
          {"expireat a -9223372036854775808", "-ERR invalid expire time in 'expireat' command\r\n"},
          {"pexpireat a 9223372036854775807", ":1\r\n"},
          {"pexpiretime a", ":9223372036854775807\r\n"}, {"expiretime a", ":9223372036854776\r\n"});
}

Test(key, rename)
{
    STEPS({"rename a b", "-ERR no such key\r\n"}, {"rename a a", "-ERR no such key\r\n"},
          {"set a v", "+OK\r\n"}, {"rename a a", "+OK\r\n"}, {"renamenx a a", ":0\r\n"},
          {"pexpireat a 1700000100000", ":1\r\n"}, {"set b old", "+OK\r\n"},
          {"renamenx a b", ":0\r\n"}, {"rename a b", "+OK\r\n"}, {"get a", NULL_BULK},
          {"get b", "$1\r\nv\r\n"}, {"pexpiretime b", ":1700000100000\r\n"},
          {"set c plain", "+OK\r\n"}, {"rename c b", "+OK\r\n"}, {"ttl b", ":-1\r\n"},
          {"renamenx b d", ":1\r\n"}, {"get d", "$5\r\nplain\r\n"}, {"dbsize", ":1\r\n"});
}

Test(key, copy)
{
    STEPS({"copy a b", ":0\r\n"}, {"set a v", "+OK\r\n"}, {"copy a a", SAME_OBJECT},
          {"copy a a db 0", SAME_OBJECT}, {"pexpireat a 1700000100000", ":1\r\n"},
          {"copy a b", ":1\r\n"}, {"pexpiretime b", ":1700000100000\r\n"}, {"copy a b", ":0\r\n"},
          {"set c old", "+OK\r\n"}, {"expire c 5", ":1\r\n"}, {"persist a", ":1\r\n"},
          {"copy a c REPLACE", ":1\r\n"}, {"ttl c", ":-1\r\n"}, {"copy a a DB 1", ":1\r\n"},
          {"copy a a db 1", ":0\r\n"}, {"copy a d db 1 db 2", ":1\r\n"}, {"get d", NULL_BULK},
          {"select 1", "+OK\r\n"}, {"get a", "$1\r\nv\r\n"}, {"get d", NULL_BULK},
          {"select 2", "+OK\r\n"}, {"get d", "$1\r\nv\r\n"}, {"copy d a db x", NOT_INTEGER},
          {"copy d a db 16", NO_DATABASE}, {"copy d a db 99 foo", NO_DATABASE},
          {"copy d a db -1", NO_DATABASE}, {"copy d a db 2147483648", NOT_INT},
          {"copy d a db", SYNTAX}, {"copy d a foo db 99", SYNTAX}, {"copy d a", ":1\r\n"});
}

Test(key, move)
{
    STEPS({"move a 1", ":0\r\n"}, {"move a 0", SAME_OBJECT}, {"set a v", "+OK\r\n"},
          {"pexpireat a 1700000100000", ":1\r\n"}, {"move a 99", NO_DATABASE},
          {"move a -1", NO_DATABASE}, {"move a x", NOT_INTEGER}, {"move a 4294967297", NOT_INT},
          {"move a 1", ":1\r\n"}, {"get a", NULL_BULK}, {"set a again", "+OK\r\n"},
          {"move a 1", ":0\r\n"}, {"get a", "$5\r\nagain\r\n"}, {"select 1", "+OK\r\n"},
          {"get a", "$1\r\nv\r\n"}, {"pexpiretime a", ":1700000100000\r\n"});
}

/* Values that lie outside their entry change hands without a copy, also between shards. */
Test(key, large_values_move)
{
    struct shards *shards = shards_new(3, 1);
    char *large = malloc(100001);
    memset(large, 'x', 100000);
    large[100000] = '\0';
    struct slice set[] = {SLICE("set"), SLICE("a"), slice_of(large, 100000)};
    shards_run(shards, set, 3);
    cr_expect_str_eq(shards_line(shards, "rename a b"), "+OK\r\n");
    cr_expect_str_eq(shards_line(shards, "move b 1"), ":1\r\n");
    shards_line(shards, "select 1");
    cr_expect_str_eq(shards_line(shards, "copy b c db 2"), ":1\r\n");
    cr_expect_str_eq(shards_line(shards, "copy b d"), ":1\r\n");
    cr_expect_str_eq(shards_line(shards, "rename d b"), "+OK\r\n");
    cr_expect_str_eq(shards_line(shards, "strlen b"), ":100000\r\n");
    shards_line(shards, "select 2");
    struct slice get[] = {SLICE("get"), SLICE("c")};
    struct slice reply = shards_run(shards, get, 2);
    cr_assert_eq(reply.size, 9 + 100000 + 2);
    cr_expect_arr_eq(reply.data + 9, large, 100000);
    free(large);
    shards_delete(shards);
}

Test(key, effects_are_absolute_and_name_one_key)
{
    struct shards *shards = shards_new(3, 1);
    static const char *const lines[] = {
        "set a 1",
        "expire a 100",
        "expire a 100 nx",
        "persist a",
        "pexpire a 0",
        "set a 1",
        "expireat a 1700000050",
        "rename a b",
        "copy b c",
        "move c 1",
        "copy b b db 2",
        "del b b nosuch",
        "flushdb",
        "set a 2",
        "flushdb",
        "swapdb 1 2",
        "swapdb 1 1",
        "flushall sync",
        "flushall sync",
        "exists a",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        shards_line(shards, lines[i]);
    }
    cr_expect_str_eq(shards_effects(shards), "0 SET a 1\n"
                                             "0 PEXPIREAT a 1700000100000\n"
                                             "0 PERSIST a\n"
                                             "0 DEL a\n"
                                             "0 SET a 1\n"
                                             "0 PEXPIREAT a 1700000050000\n"
                                             "0 DEL a\n"
                                             "0 SET b 1 PXAT 1700000050000\n"
                                             "0 SET c 1 PXAT 1700000050000\n"
                                             "0 DEL c\n"
                                             "1 SET c 1 PXAT 1700000050000\n"
                                             "2 SET b 1 PXAT 1700000050000\n"
                                             "0 DEL b\n"
                                             "0 SET a 2\n"
                                             "0 FLUSHDB\n"
                                             "0 SWAPDB 1 2\n"
                                             "0 FLUSHALL\n");
    shards_delete(shards);
}

Test(key, flush_and_swap)
{
    STEPS({"set a 0", "+OK\r\n"}, {"copy a b", ":1\r\n"}, {"copy a c db 1", ":1\r\n"},
          {"flushdb foo", SYNTAX}, {"flushall sync async", SYNTAX}, {"dbsize", ":2\r\n"},
          {"swapdb 0 1", "+OK\r\n"}, {"dbsize", ":1\r\n"}, {"exists c", ":1\r\n"},
          {"swapdb 1 1", "+OK\r\n"}, {"swapdb x 0", "-ERR invalid first DB index\r\n"},
          {"swapdb 0 x", "-ERR invalid second DB index\r\n"},
          {"swapdb 4294967296 0", "-ERR invalid first DB index\r\n"}, {"swapdb 0 16", NO_DATABASE},
          {"swapdb -1 0", NO_DATABASE}, {"flushdb ASYNC", "+OK\r\n"}, {"dbsize", ":0\r\n"},
          {"select 1", "+OK\r\n"}, {"dbsize", ":2\r\n"}, {"flushall", "+OK\r\n"},
          {"dbsize", ":0\r\n"}, {"set a 1", "+OK\r\n"});
}

Test(key, object_and_memory)
{
    STEPS({"set a 9999", "+OK\r\n"}, {"set b 10000", "+OK\r\n"}, {"set c text", "+OK\r\n"},
          {"object encoding a", "$3\r\nint\r\n"}, {"object encoding c", "$6\r\nembstr\r\n"},
          {"object encoding d", NULL_BULK}, {"object refcount a", ":2147483647\r\n"},
          {"object refcount b", ":1\r\n"}, {"object refcount c", ":1\r\n"},
          {"object refcount d", NULL_BULK}, {"@5000", NULL}, {"object idletime a", ":5\r\n"},
          {"type a", "+string\r\n"}, {"object idletime a", ":5\r\n"}, {"touch a", ":1\r\n"},
          {"object idletime a", ":0\r\n"}, {"object freq d", NULL_BULK},
          {"object freq a",
           "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
           "note that when switching between policies at runtime LRU and LFU data will take some "
           "time to adjust.\r\n"},
          {"object nosuch a", "-ERR unknown subcommand 'nosuch'. Try OBJECT HELP.\r\n"},
          {"memory nosuch", "-ERR unknown subcommand 'nosuch'. Try MEMORY HELP.\r\n"},
          {"memory usage d", NULL_BULK}, {"memory usage d x", SYNTAX},
          {"memory usage a samples", SYNTAX}, {"memory usage a samples -1", SYNTAX},
          {"memory usage a samples x", NOT_INTEGER},
          /* 8 of header, 1 of key, 4 of value: 16; and a share of the table. */
          {"memory usage c", ":26\r\n"}, {"memory usage c samples 0 samples 5", ":26\r\n"});
}

/* ---- KEYS, SCAN, RANDOMKEY ---- */

/* The bulk strings of the last array in the reply, as a sorted, blank-separated line. */
static int
compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

#define KEYS_MAX 4096

struct key_list {
    char *keys[KEYS_MAX];
    uint32_t count;
};

static void
key_list_add(struct key_list *list, const char *reply)
{
    /* Sizes are lines that begin with '$'; the words stand in the lines behind them. */
    const char *at = strchr(reply, '*');
    for (at = strchr(at, '$'); at != NULL; at = strchr(at, '$')) {
        size_t size = strtoul(at + 1, NULL, 10);
        const char *word = strchr(at, '\n') + 1;
        cr_assert(list->count < KEYS_MAX);
        list->keys[list->count++] = strndup(word, size);
        at = word + size;
    }
}

static void
key_list_sort(struct key_list *list)
{
    qsort(list->keys, list->count, sizeof(list->keys[0]), compare_words);
}

static void
key_list_clear(struct key_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->keys[i]);
    }
    list->count = 0;
}

static void
expect_keys(struct shards *shards, const char *line, const char *expected)
{
    struct key_list list = {.count = 0};
    key_list_add(&list, shards_line(shards, line));
    key_list_sort(&list);
    char joined[256] = "";
    for (uint32_t i = 0; i < list.count; i++) {
        strncat(joined, list.keys[i], sizeof(joined) - strlen(joined) - 1);
        strncat(joined, i + 1 < list.count ? " " : "", sizeof(joined) - strlen(joined) - 1);
    }
    cr_expect_str_eq(joined, expected, "%s: %s instead of %s", line, joined, expected);
    key_list_clear(&list);
}

Test(key_scan, keys_by_pattern)
{
    for (size_t layout = 0; layout < ARRAY_COUNT(layouts); layout++) {
        struct shards *shards = shards_new(layouts[layout][0], layouts[layout][1]);
        shards_line(shards, "mset one 1 two 2 three 3 {t}a 4 {t}b 5 {}a 6 '' 7 dead 8 *a 9");
        shards_line(shards, "pexpire dead 5");
        expect_keys(shards, "keys t*", "three two");
        expect_keys(shards, "keys d*", "dead");
        shards_advance(shards, 5);
        expect_keys(shards, "keys d*", "");
        expect_keys(shards, "keys dead", "");
        expect_keys(shards, "keys *", " *a one three two {t}a {t}b {}a");
        expect_keys(shards, "keys one", "one");
        expect_keys(shards, "keys {t}*", "{t}a {t}b");
        expect_keys(shards, "keys {t}?", "{t}a {t}b");
        expect_keys(shards, "keys {t}a", "{t}a");
        expect_keys(shards, "keys {}*", "{}a");
        expect_keys(shards, "keys {*}*", "{t}a {t}b {}a");
        expect_keys(shards, "keys {[t]}*", "{t}a {t}b");
        expect_keys(shards, "keys \\{t}*", "{t}a {t}b");
        expect_keys(shards, "keys \\*a", "*a");
        expect_keys(shards, "keys ''", "");
        expect_keys(shards, "keys nosuch", "");
        shards_delete(shards);
    }
}

Test(key_scan, cursors_and_errors)
{
    STEPS({"scan 0", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"set a v", "+OK\r\n"},
          {"scan 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"scan ''", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"scan +0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"scan 18446744073709551615", "*2\r\n$1\r\n0\r\n*0\r\n"},
          {"scan -1", "*2\r\n$1\r\n0\r\n*0\r\n"},
          {"scan 18446744073709551616", "-ERR invalid cursor\r\n"},
          {"scan x", "-ERR invalid cursor\r\n"}, {"scan -", "-ERR invalid cursor\r\n"},
          {"scan x count x", "-ERR invalid cursor\r\n"}, {"scan 0 count x", NOT_INTEGER},
          {"scan 0 count 0", SYNTAX}, {"scan 0 match", SYNTAX}, {"scan 0 foo bar", SYNTAX},
          {"scan 0 count 9223372036854775807", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"scan 0 type String match a", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"scan 0 type list", "*2\r\n$1\r\n0\r\n*0\r\n"},
          {"scan 0 match b match *", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"},
          {"scan 0 match b", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"pexpire a 5", ":1\r\n"}, {"@5", NULL},
          {"scan 0", "*2\r\n$1\r\n0\r\n*0\r\n"});
}

/* Scan until the cursor is 0 again. Between the calls other keys come and go. */
static uint32_t
scan_all(struct shards *shards, const char *options, struct random *random, struct key_list *list)
{
    char cursor[32] = "0";
    uint32_t call_count = 0;
    do {
        char line[128];
        snprintf(line, sizeof(line), "scan %s %s", cursor, options);
        const char *reply = shards_line(shards, line);
        cr_assert_eq(strncmp(reply, "*2\r\n$", 5), 0);
        const char *begin = strchr(reply + 5, '\n') + 1;
        size_t size = strcspn(begin, "\r");
        memcpy(cursor, begin, size);
        cursor[size] = '\0';
        cr_assert(strtoull(cursor, NULL, 10) < UINT64_C(1) << 53);
        key_list_add(list, begin + size);
        call_count++;
        for (uint32_t i = 0; random != NULL && i < 20; i++) {
            snprintf(line, sizeof(line), "%s t:%llu v",
                     random_below(random, 3) == 0 ? "del" : "set",
                     (unsigned long long)random_below(random, 500));
            shards_line(shards, line);
        }
        cr_assert(call_count < 100000);
    } while (strcmp(cursor, "0") != 0);
    key_list_sort(list);
    return call_count;
}

/* Every key that is there from first to last is seen, though tables grow and shrink meanwhile. */
Test(key_scan, sees_all_that_stays)
{
    const uint64_t seed = random_system_seed();
    cr_log_info("seed %llu", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    for (size_t layout = 0; layout < ARRAY_COUNT(layouts); layout++) {
        struct shards *shards = shards_new(layouts[layout][0], layouts[layout][1]);
        shards->is_checked = false;
        for (uint32_t i = 0; i < 300; i++) {
            char line[64];
            /* A third of them in one slot, so that its table is worth splitting. */
            snprintf(line, sizeof(line), i % 3 == 0 ? "set {tag}:%u v" : "set s:%u v", i);
            shards_line(shards, line);
        }
        struct key_list list = {.count = 0};
        scan_all(shards, "count 7", &random, &list);
        for (uint32_t i = 0; i < 300; i++) {
            char key[32];
            const char *word = key;
            snprintf(key, sizeof(key), i % 3 == 0 ? "{tag}:%u" : "s:%u", i);
            cr_expect_not_null(
                bsearch(&word, list.keys, list.count, sizeof(list.keys[0]), compare_words),
                "%s, seed %llu", key, (unsigned long long)seed);
        }
        key_list_clear(&list);
        uint32_t call_count = scan_all(shards, "match {tag}:* count 1000", NULL, &list);
        cr_expect_eq(list.count, 100);
        cr_expect_eq(call_count, 1);
        key_list_clear(&list);
        shards_delete(shards);
    }
}

/* COUNT is about how many keys are looked at, and is met across shards in one call. */
Test(key_scan, count)
{
    struct shards *shards = shards_new(4, 4096);
    shards->is_checked = false;
    for (uint32_t i = 0; i < 1000; i++) {
        char line[64];
        snprintf(line, sizeof(line), "set k%u v", i);
        shards_line(shards, line);
    }
    struct key_list list = {.count = 0};
    cr_expect_eq(scan_all(shards, "count 1000", NULL, &list), 1);
    cr_expect_eq(list.count, 1000);
    key_list_clear(&list);
    cr_expect_eq(scan_all(shards, "count 5000", NULL, &list), 1);
    cr_expect_eq(list.count, 1000);
    key_list_clear(&list);
    /* Single keys in slots of their own: exactly ten for each call. */
    uint32_t call_count = scan_all(shards, "", NULL, &list);
    cr_expect(call_count > 90 && call_count <= 101, "%u calls", call_count);
    cr_expect_eq(list.count, 1000);
    key_list_clear(&list);
    shards_delete(shards);
}

/* An empty database is passed quickly, but no turn and no walk is without end. Four shards take
 * 3,000 keys in one call, one shard does not take 20,000. */
Test(key_scan, work_is_bounded)
{
    struct shards *shards = shards_new(4, 4096);
    shards->is_checked = false;
    shards_line(shards, "scan 0");
    cr_expect(shards->turn_count <= 5, "%u turns", shards->turn_count);
    struct key_list list = {.count = 0};
    for (uint32_t i = 0; i < 3000; i++) {
        char line[64];
        snprintf(line, sizeof(line), "set k%u v", i);
        shards_line(shards, line);
    }
    cr_expect_eq(scan_all(shards, "count 1000000", NULL, &list), 1);
    cr_expect_eq(list.count, 3000);
    key_list_clear(&list);
    shards_delete(shards);
    shards = shards_new(1, SLOT_COUNT);
    shards->is_checked = false;
    for (uint32_t i = 0; i < 20000; i++) {
        char line[64];
        snprintf(line, sizeof(line), "set {tag}k%u v", i);
        shards_line(shards, line);
    }
    uint32_t step_count = scan_all(shards, "match nosuch* count 1000000", NULL, &list);
    cr_expect(step_count > 2 && step_count < 8, "%u calls", step_count);
    shards_delete(shards);
    /* Each slot another owner: some calls, each of a bounded number of hops. */
    shards = shards_new(2, 1);
    shards->is_checked = false;
    shards_line(shards, "set k v");
    uint32_t call_count = scan_all(shards, "", NULL, &list);
    cr_expect(call_count > 1 && call_count < 20, "%u calls", call_count);
    cr_expect_eq(list.count, 1);
    key_list_clear(&list);
    shards_delete(shards);
}

/* Each key comes up, the dead do not. */
Test(key_scan, randomkey)
{
    struct shards *shards = shards_new(3, 1);
    cr_expect_str_eq(shards_line(shards, "randomkey"), NULL_BULK);
    shards_line(shards, "mset {x}0 v {x}1 v {x}2 v {x}3 v a v b v c v {x}dead v dead v");
    shards_line(shards, "pexpire dead 5");
    shards_line(shards, "pexpire {x}dead 5");
    shards_advance(shards, 5);
    uint32_t seen[256] = {0};
    for (uint32_t i = 0; i < 2000; i++) {
        const char *reply = shards_line(shards, "randomkey");
        const char *key = strchr(reply, '\n') + 1;
        cr_assert_null(strstr(key, "dead"));
        seen[(unsigned char)(key[0] == '{' ? key[3] : key[0])]++;
    }
    static const char names[] = "0123abc";
    for (const char *name = names; *name != '\0'; name++) {
        cr_expect(seen[(unsigned char)*name] > 20, "%c: %u", *name, seen[(unsigned char)*name]);
    }
    shards_line(shards, "del a b c {x}0 {x}1 {x}2 {x}3");
    cr_expect_str_eq(shards_line(shards, "randomkey"), NULL_BULK);
    shards_delete(shards);
}

/* The shard is drawn by its number of keys: one with nine of ten keys answers nine times of ten. */
Test(key_scan, randomkey_weighs_shards)
{
    struct shards *shards = shards_new(2, SLOT_COUNT / 2);
    shards->is_checked = false;
    uint32_t wanted[2] = {90, 10};
    for (uint32_t i = 0; wanted[0] + wanted[1] > 0; i++) {
        char line[64];
        snprintf(line, sizeof(line), "set k%u v", i);
        struct slice key = slice_of(line + 4, strcspn(line + 4, " "));
        uint32_t owner = shards->node.slot_owner[key_slot(key)];
        if (wanted[owner] > 0) {
            wanted[owner]--;
            shards_line(shards, line);
        }
    }
    uint32_t first_count = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        const char *reply = shards_line(shards, "randomkey");
        const char *key = strchr(reply, '\n') + 1;
        struct slice slice = slice_of(key, strcspn(key, "\r"));
        first_count += shards->node.slot_owner[key_slot(slice)] == 0;
    }
    cr_expect(first_count > 3400 && first_count < 3800, "%u", first_count);
    shards_delete(shards);
}

/* ---- COMMAND ---- */

Test(command, lookups_and_errors)
{
    struct shards *shards = shards_new(1, SLOT_COUNT);
    static const struct step steps[] = {
        {"command info nosuch object|nosuch object| get|x |", "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n"
                                                              "$-1\r\n"},
        {"command docs nosuch", "*0\r\n"},
        {"command nosuch", "-ERR unknown subcommand 'nosuch'. Try COMMAND HELP.\r\n"},
        {"command list filterby", SYNTAX},
        {"command list filterby module x", "*0\r\n"},
        {"command list filterby aclcat nosuch", "*0\r\n"},
        {"command list filterby pattern OBJECT|*q", "*1\r\n$11\r\nobject|freq\r\n"},
        {"command getkeys get k", "*1\r\n$1\r\nk\r\n"},
        {"command getkeys get k x", "-ERR Invalid number of arguments specified for command\r\n"},
        {"command getkeys nosuch k", "-ERR Invalid command specified\r\n"},
        {"command getkeys object nosuch k", "-ERR Invalid command specified\r\n"},
        {"command getkeys dbsize x", "-ERR The command has no key arguments\r\n"},
        {"command getkeysandflags rename a b",
         "*2\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+delete\r\n"
         "*2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+update\r\n"},
        {"command info touch",
         "*1\r\n*10\r\n$5\r\ntouch\r\n:-2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:-1\r\n:1\r\n"
         "*3\r\n+@keyspace\r\n+@read\r\n+@fast\r\n"
         "*2\r\n$26\r\nrequest_policy:multi_shard\r\n$23\r\nresponse_policy:agg_sum\r\n"
         "*1\r\n*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n$12\r\nbegin_search\r\n"
         "*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n"
         "$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n"
         "*6\r\n$7\r\nlastkey\r\n:-1\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        const char *reply = shards_line(shards, steps[i].line);
        cr_expect_str_eq(reply, steps[i].reply, "%s: %s", steps[i].line, reply);
    }
    shards->session.protocol = 3;
    cr_expect_str_eq(shards_line(shards, "command getkeysandflags get k"),
                     "*1\r\n*2\r\n$1\r\nk\r\n~2\r\n+RO\r\n+access\r\n");
    char count[32];
    snprintf(count, sizeof(count), ":%u\r\n", command_count(shards->table));
    cr_expect_str_eq(shards_line(shards, "command count"), count);
    shards_delete(shards);
}
