/*
 * digest_test.c: DEBUG DIGEST and DIGEST-VALUE. The digests are redis-server's, asked for the same
 * commands; where a value is kept another way, or lies on other shards, they must be the same.
 */
#include "shards.h"

#include "shard/value/digest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Shards, and how many slots in a row belong to one. */
static const uint32_t layouts[][2] = {{1, SLOT_COUNT}, {3, 16}, {5, 1024}};

#define ZEROS "0000000000000000000000000000000000000000"
#define EXES_200                                                                                   \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxx"

static const char *const data_lines[] = {
    "SET int -9007199254740993",
    "SET small 7",
    "SET empty ''",
    "SET embstr tessera",
    "SET leading 007",
    "RPUSH list 1 two 003 -4 18446744073709551616",
    "SADD intset 3 1 2",
    "SADD set 3 one 02 -9223372036854775808",
    "HSET hash f v 1 2 -0 03",
    "ZADD zset 1 one 1.5 b 0.1 c -inf d inf e 1e100 f 12345678901234567890 g -3 7",
    "SET dead 7",
    "PEXPIREAT dead 4102444800000",
    "SADD deadset a",
    "PEXPIREAT deadset 4102444800001",
    "SET raw " EXES_200,
};

static const struct {
    const char *key;
    const char *digest;
} data_digests[] = {
    {"int", "c7d5f78fc3e2c070a5b7d08a974a58ad30fc6b18"},
    {"small", "53f1b03080b3509c7cdba884ac0dba4a1a925453"},
    {"empty", "8b3447c33a834b810e3e181b6fd6a2ee1020921c"},
    {"embstr", "628567acfa15b10bc46dc67a25d25b352d5082ec"},
    {"leading", "8e00a8fb3b4e9d75e4004709d98cda64c3823457"},
    {"raw", "992db580938b348a99a8e3e64873c29e8e10309b"},
    {"list", "2ce9e98d52432c9dd4d23e9f1a7c1c1ba057f176"},
    {"intset", "2a462a3f51a1db89738ebbeef0c47ce1bbc85246"},
    {"set", "e6145827ffaaf4aaa2a589c67a1e713db507e1e7"},
    {"hash", "5e503c25f21b963813830b1f35862bf4ca8986a3"},
    {"zset", "5f24f29743f1b8da6247e0a5d81114447eb93423"},
    {"dead", "b5744ecf5c8abac8bdcd437ce96775d1003c15d0"},
    {"deadset", "d2cbd331583ac8262020eec365e9cf098abacfdd"},
    {"none", ZEROS},
};

/* Of all of the above; and with SET int 1 in database 9, those two swapped, database 9 alone. */
#define DIGEST_ALL "936b697f4147ed7d7273ca29daca6428aaa582d9"
#define DIGEST_TWO "9b27a49e4367529758cab282ecd28f31d8907992"
#define DIGEST_SWAPPED "6b7689378e746c9ff78631268fba4f1cbec09767"
#define DIGEST_NINE "db3c8b83e78ce3e90d1d8c38c4e80c8527974f0e"

static struct shards *
open_new(uint32_t layout)
{
    struct shards *shards = shards_new(layouts[layout][0], layouts[layout][1]);
    shards->config->enable_debug_command = CONFIG_ACCESS_YES;
    return shards;
}

static void
data_write(struct shards *shards)
{
    for (size_t i = 0; i < ARRAY_COUNT(data_lines); i++) {
        cr_assert_neq(shards_line(shards, data_lines[i])[0], '-', "%s", data_lines[i]);
    }
}

static void
says(struct shards *shards, const char *line, const char *digest)
{
    char expected[64];
    snprintf(expected, sizeof(expected), "+%s\r\n", digest);
    const char *reply = shards_line(shards, line);
    cr_expect_str_eq(reply, expected, "%u shards: %s: %s instead of %s", shards->count, line, reply,
                     expected);
}

static void
says_value(struct shards *shards, const char *key, const char *digest)
{
    char line[128];
    char expected[64];
    snprintf(line, sizeof(line), "DEBUG DIGEST-VALUE %s", key);
    snprintf(expected, sizeof(expected), "*1\r\n+%s\r\n", digest);
    const char *reply = shards_line(shards, line);
    cr_expect_str_eq(reply, expected, "%u shards: %s: %s instead of %s", shards->count, line, reply,
                     expected);
}

Test(digest, sha1)
{
    static const struct {
        const char *text;
        uint32_t repeat_count;
        const char *digest;
    } cases[] = {
        /* FIPS 180's examples, then sizes around the ends of blocks. */
        {"abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
        {"a", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"a", 1, "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"},
        {"a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
        {"a", 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699"},
        {"a", 57, "f08f24908d682555111be7ff6f004e78283d989a"},
        {"a", 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5"},
        {"a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"},
        {"a", 65, "11655326c708d70319be2610e8a57d9a5b959d3b"},
        {"a", 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56"},
        {"a", 120, "f34c1488385346a55709ba056ddd08280dd4c6d6"},
        {"a", 127, "89d95fa32ed44a7c610b7ee38517ddf57e0bb975"},
        {"a", 128, "ad5b3fdbcb526778c2839d2f151ea753995e26a0"},
        {"a", 129, "d96debf1bdcbc896e6c134ea76e8141f40d78536"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t text_size = strlen(cases[i].text);
        size_t size = text_size * cases[i].repeat_count;
        char *bytes = malloc(size + 1);
        cr_assert_not_null(bytes);
        for (uint32_t j = 0; j < cases[i].repeat_count; j++) {
            memcpy(bytes + j * text_size, cases[i].text, text_size);
        }
        struct digest digest = {0};
        char text[DIGEST_TEXT_SIZE];
        digest_add(&digest, slice_of(bytes, size));
        digest_format(&digest, text);
        cr_expect_str_eq(text, cases[i].digest, "%zu bytes: %s", size, text);
        digest_add(&digest, slice_of(bytes, size));
        digest_format(&digest, text);
        cr_expect_str_eq(text, ZEROS, "twice the same is nothing");
        free(bytes);
    }
}

Test(digest, of_values)
{
    for (uint32_t layout = 0; layout < ARRAY_COUNT(layouts); layout++) {
        struct shards *shards = open_new(layout);
        data_write(shards);
        for (size_t i = 0; i < ARRAY_COUNT(data_digests); i++) {
            says_value(shards, data_digests[i].key, data_digests[i].digest);
        }
        cr_expect_str_eq(shards_line(shards, "DEBUG DIGEST-VALUE"), "*0\r\n");
        cr_expect_str_eq(shards_line(shards, "debug digest-VALUE small none small"),
                         "*3\r\n+53f1b03080b3509c7cdba884ac0dba4a1a925453\r\n+" ZEROS
                         "\r\n+53f1b03080b3509c7cdba884ac0dba4a1a925453\r\n");
        /* Of the selected database. */
        shards_line(shards, "SELECT 1");
        says_value(shards, "small", ZEROS);
        shards_delete(shards);
    }
}

Test(digest, of_all_databases)
{
    for (uint32_t layout = 0; layout < ARRAY_COUNT(layouts); layout++) {
        struct shards *shards = open_new(layout);
        says(shards, "DEBUG DIGEST", ZEROS);
        data_write(shards);
        says(shards, "DEBUG DIGEST", DIGEST_ALL);
        shards_line(shards, "SELECT 9");
        shards_line(shards, "SET int 1");
        says(shards, "DEBUG DIGEST", DIGEST_TWO);
        shards_line(shards, "SWAPDB 0 9");
        says(shards, "DEBUG DIGEST", DIGEST_SWAPPED);
        shards_line(shards, "SWAPDB 9 0");
        shards_line(shards, "SELECT 0");
        shards_line(shards, "FLUSHDB");
        says(shards, "DEBUG DIGEST", DIGEST_NINE);
        cr_expect_str_eq(shards_line(shards, "DEBUG DIGEST x"),
                         "-ERR unknown subcommand or wrong number of arguments for 'DIGEST'. Try "
                         "DEBUG HELP.\r\n");
        shards_delete(shards);
    }
}

/* What is past its deadline counts as long as it is there. */
Test(digest, of_the_dead)
{
    struct shards *shards = open_new(1);
    shards_line(shards, "SET dead 7 PX 10");
    shards_advance(shards, 20);
    says_value(shards, "dead", "b5744ecf5c8abac8bdcd437ce96775d1003c15d0");
    shards_line(shards, "GET dead");
    says_value(shards, "dead", ZEROS);
    says(shards, "DEBUG DIGEST", ZEROS);
    shards_delete(shards);
}

/* ---- the same content, kept otherwise ---- */

#define ELEMENTS 700

static void
elements_write(struct shards *shards, bool is_backward)
{
    static const char *const formats[] = {"SADD ints %u", "SADD texts m%u", "HSET hash f%u %u",
                                          "ZADD zset %u.25 m%u"};
    char line[64];
    for (uint32_t i = 0; i < ELEMENTS; i++) {
        unsigned element = is_backward ? ELEMENTS - 1 - i : i;
        for (size_t format = 0; format < ARRAY_COUNT(formats); format++) {
            snprintf(line, sizeof(line), formats[format], element, element);
            cr_assert_str_eq(shards_line(shards, line), ":1\r\n", "%s", line);
        }
        snprintf(line, sizeof(line), "RPUSH list e%u %u", i, i);
        shards_line(shards, line);
    }
}

static void
encodings_are(struct shards *shards, const char *const encodings[5])
{
    static const char *const keys[] = {"ints", "texts", "hash", "zset", "list"};
    char line[64];
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        snprintf(line, sizeof(line), "OBJECT ENCODING %s", keys[i]);
        const char *reply = shards_line(shards, line);
        cr_expect(strstr(reply, encodings[i]) != NULL, "%s: %s", line, reply);
    }
}

Test(digest, is_the_same_in_all_encodings)
{
    static const char *const large[] = {"hashtable", "hashtable", "hashtable", "skiplist",
                                        "quicklist"};
    static const char *const small[] = {"intset", "listpack", "listpack", "listpack", "listpack"};
    struct shards *shards = open_new(1);
    shards->is_checked = false;
    shards->config->list_max_listpack_size = 10;
    elements_write(shards, false);
    encodings_are(shards, large);
    char *digest = strdup(shards_line(shards, "DEBUG DIGEST"));
    /* redis-server's after the same commands. */
    cr_expect_str_eq(digest, "+a8df586aa3f566130fdf35173a594ecf0ae483ef\r\n");
    shards_delete(shards);

    shards = open_new(2);
    shards->is_checked = false;
    shards->config->set_max_intset_entries = 2 * ELEMENTS;
    shards->config->set_max_listpack_entries = 2 * ELEMENTS;
    shards->config->hash_max_listpack_entries = 2 * ELEMENTS;
    shards->config->zset_max_listpack_entries = 2 * ELEMENTS;
    elements_write(shards, true);
    encodings_are(shards, small);
    cr_expect_str_eq(shards_line(shards, "DEBUG DIGEST"), digest);
    shards_line(shards, "HSET hash f1 2");
    cr_expect_str_neq(shards_line(shards, "DEBUG DIGEST"), digest);
    shards_line(shards, "HSET hash f1 1");
    cr_expect_str_eq(shards_line(shards, "DEBUG DIGEST"), digest);
    free(digest);
    shards_delete(shards);
}
