/*
 * command_keys_test.c: key specifications against command lines, and what follows for views and
 * categories.
 */
#include "shard/command.h"

#include <criterion/criterion.h>

#define WORDS_MAX 256

struct words {
    struct slice argv[WORDS_MAX];
    uint32_t argc;
};

static struct words
words_of(const char *line)
{
    struct words words = {.argc = 0};
    while (*line != '\0') {
        size_t size = strcspn(line, " ");
        words.argv[words.argc++] = slice_of(line, size);
        line += size;
        line += *line == ' ';
    }
    return words;
}

/* Do the specifications of `command` find exactly these positions? `expected` ends with 0; {-1}: an
 * error. */
static void
expect_keys(const struct command *command, const char *line, const int *expected)
{
    struct words words = words_of(line);
    struct command_key keys[16];
    int64_t count = command_keys(command, words.argv, words.argc, keys, 16);
    if (expected[0] < 0) {
        cr_expect_eq(count, -1, "%s: %lld keys", line, (long long)count);
        return;
    }
    int64_t i = 0;
    for (; expected[i] != 0; i++) {
        cr_assert(i < count, "%s: %lld keys", line, (long long)count);
        cr_expect_eq(keys[i].index, (uint32_t)expected[i], "%s: key %lld is %u", line, (long long)i,
                     keys[i].index);
    }
    cr_expect_eq(count, i, "%s: %lld keys", line, (long long)count);
}

#define EXPECT_KEYS(command, line, ...) expect_keys(command, line, (const int[]){__VA_ARGS__, 0})

Test(command_keys, ranges)
{
    struct command one = {.key_specs = {KEYS_AT(1, KEY_RO)}, .key_spec_count = 1};
    EXPECT_KEYS(&one, "get a", 1);
    EXPECT_KEYS(&one, "get a b", 1);
    EXPECT_KEYS(&one, "get", 0);
    struct command all = {.key_specs = {KEYS_FROM(1, -1, 1, KEY_RO)}, .key_spec_count = 1};
    EXPECT_KEYS(&all, "del a b c", 1, 2, 3);
    EXPECT_KEYS(&all, "del", 0);
    struct command pairs = {.key_specs = {KEYS_FROM(1, -1, 2, KEY_OW)}, .key_spec_count = 1};
    EXPECT_KEYS(&pairs, "mset a 1 b 2", 1, 3);
    EXPECT_KEYS(&pairs, "mset a 1 b", 1, 3);
    struct command but_last = {.key_specs = {KEYS_FROM(1, -2, 1, KEY_RW)}, .key_spec_count = 1};
    EXPECT_KEYS(&but_last, "blpop a b 0", 1, 2);
    EXPECT_KEYS(&but_last, "blpop 0", 0);
    struct command two = {.key_specs = {KEYS_AT(2, KEY_OW), KEYS_FROM(3, -1, 1, KEY_RO)},
                          .key_spec_count = 2};
    EXPECT_KEYS(&two, "bitop and d a b", 2, 3, 4);
}

Test(command_keys, keywords)
{
    struct command streams = {.key_specs = {{.begin = KEYS_BEGIN_KEYWORD,
                                             .begin_keyword = "streams",
                                             .begin_index = 1,
                                             .find = KEYS_FIND_RANGE,
                                             .last = -1,
                                             .step = 1,
                                             .limit = 2}},
                              .key_spec_count = 1};
    EXPECT_KEYS(&streams, "xread COUNT 2 STREAMS a b 0 0", 4, 5);
    EXPECT_KEYS(&streams, "xread streams a b c", 2);
    EXPECT_KEYS(&streams, "xread count 2 a 0", 0);
    EXPECT_KEYS(&streams, "xread a streams", 0);
    struct command store = {.key_specs = {{.begin = KEYS_BEGIN_KEYWORD,
                                           .begin_keyword = "keys",
                                           .begin_index = -2,
                                           .find = KEYS_FIND_RANGE,
                                           .last = -1,
                                           .step = 1}},
                            .key_spec_count = 1};
    EXPECT_KEYS(&store, "migrate host port x KEYS a b", 5, 6);
    EXPECT_KEYS(&store, "migrate host port x y z", 0);
}

Test(command_keys, counts)
{
    struct command eval = {.key_specs = {{.begin = KEYS_BEGIN_INDEX,
                                          .begin_index = 2,
                                          .find = KEYS_FIND_KEYNUM,
                                          .keynum_index = 0,
                                          .keynum_first = 1,
                                          .step = 1}},
                           .key_spec_count = 1};
    EXPECT_KEYS(&eval, "eval s 2 a b c", 3, 4);
    EXPECT_KEYS(&eval, "eval s 3 a b c", 3, 4, 5);
    EXPECT_KEYS(&eval, "eval s 0 a", 0);
    EXPECT_KEYS(&eval, "eval s 4 a b c", -1);
    EXPECT_KEYS(&eval, "eval s -1 a", -1);
    EXPECT_KEYS(&eval, "eval s x a", -1);
    EXPECT_KEYS(&eval, "eval s 9223372036854775807 a", -1);
    EXPECT_KEYS(&eval, "eval s", -1);
    eval.key_specs[0].step = 2;
    EXPECT_KEYS(&eval, "msetex s 2 a 1 b 2", 3, 5);
    EXPECT_KEYS(&eval, "msetex s 2 a 1", -1);
}

Test(command_keys, channels_are_no_keys_and_unknown_places_name_none)
{
    struct command channel = {.key_specs = {KEYS_AT(1, KEY_NOT_KEY)}, .key_spec_count = 1};
    EXPECT_KEYS(&channel, "spublish c m", 0);
    struct command unknown = {
        .key_specs = {KEYS_AT(1, KEY_RO), {.begin = KEYS_BEGIN_UNKNOWN, .find = KEYS_FIND_UNKNOWN}},
        .key_spec_count = 2};
    EXPECT_KEYS(&unknown, "sort a by b", 1);
}

static uint32_t
flags_by_argc(const struct slice *argv, uint32_t argc)
{
    return argc > 2 ? KEY_RW : KEY_OW;
}

Test(command_keys, flags_may_depend_on_the_arguments)
{
    struct command set = {.key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_VARIABLE_FLAGS)},
                          .key_spec_count = 1};
    struct words words = words_of("set k v");
    struct command_key key;
    cr_assert_eq(command_keys(&set, words.argv, 3, &key, 1), 1);
    cr_expect_eq(key.flags, KEY_RW | KEY_ACCESS);
    set.key_flags = flags_by_argc;
    command_keys(&set, words.argv, 3, &key, 1);
    cr_expect_eq(key.flags, KEY_RW);
    command_keys(&set, words.argv, 2, &key, 1);
    cr_expect_eq(key.flags, KEY_OW);
}

/* The count is told in full, the room is never left. */
Test(command_keys, says_how_much_room_it_needs)
{
    struct command all = {.key_specs = {KEYS_FROM(1, -1, 1, KEY_RM)}, .key_spec_count = 1};
    struct slice argv[200];
    for (uint32_t i = 0; i < 200; i++) {
        argv[i] = SLICE("k");
    }
    struct command_key keys[4] = {[3] = {.index = 77}};
    cr_expect_eq(command_keys(&all, argv, 200, keys, 3), 199);
    cr_expect_eq(keys[2].index, 3);
    cr_expect_eq(keys[3].index, 77);
    cr_expect_eq(command_keys(&all, argv, 200, NULL, 0), 199);
    struct command_view views[200];
    cr_expect_eq(command_views(&all, argv, 200, 5, 16, views, 200), 199);
    for (uint32_t i = 0; i < 199; i++) {
        cr_expect_eq(views[i].index, i + 1);
        cr_expect_eq(views[i].db, 5);
        cr_expect_eq(views[i].flags, KEY_RM);
    }
}

/* ---- views ---- */

struct view_case {
    const char *line;
    int64_t count;
    struct command_view views[3];
};

static void
expect_views(const struct command_table *table, const struct view_case *expected)
{
    struct words words = words_of(expected->line);
    struct command_view views[3] = {{0}};
    const struct command *command = command_resolve(table, words.argv, words.argc);
    cr_assert_not_null(command);
    int64_t count = command_views(command, words.argv, words.argc, 3, 16, views, 3);
    cr_assert_eq(count, expected->count, "%s: %lld", expected->line, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        cr_expect_eq(views[i].index, expected->views[i].index, "%s", expected->line);
        cr_expect_eq(views[i].db, expected->views[i].db, "%s: db %u", expected->line, views[i].db);
        const uint32_t exclusive = KEY_RW | KEY_OW | KEY_RM;
        cr_expect_eq((views[i].flags & exclusive) != 0, expected->views[i].flags != 0, "%s",
                     expected->line);
    }
}

Test(command_views, each_view_lies_in_its_database)
{
    static const struct view_case cases[] = {
        {"get k", 1, {{1, 3, 0}}},
        {"del a b a", 3, {{1, 3, 1}, {2, 3, 1}, {3, 3, 1}}},
        {"object encoding k", 1, {{2, 3, 0}}},
        {"memory usage k", 1, {{2, 3, 0}}},
        {"rename a b", 2, {{1, 3, 1}, {2, 3, 1}}},
        {"copy a b", 2, {{1, 3, 0}, {2, 3, 1}}},
        {"copy a a DB 7", 2, {{1, 3, 0}, {2, 7, 1}}},
        {"copy a b replace db 7", 2, {{1, 3, 0}, {2, 7, 1}}},
        {"copy a b db 7 db 8", 2, {{1, 3, 0}, {2, 8, 1}}},
        {"copy a b db", 2, {{1, 3, 0}, {2, 3, 1}}},
        {"copy a b db 16", 2, {{1, 3, 0}, {2, 3, 1}}},
        {"copy a b db -1", 2, {{1, 3, 0}, {2, 3, 1}}},
        {"copy a b db x", 2, {{1, 3, 0}, {2, 3, 1}}},
        {"copy a b db db", 2, {{1, 3, 0}, {2, 3, 1}}},
        {"move a 5", 2, {{1, 3, 1}, {1, 5, 1}}},
        {"move a 3", 2, {{1, 3, 1}, {1, 3, 1}}},
        {"move a 99", 2, {{1, 3, 1}, {1, 3, 1}}},
    };
    struct command_table *table = command_table_new();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        expect_views(table, &cases[i]);
    }
    command_table_delete(table);
}

Test(command_views, a_row_without_specifications_is_routed_by_an_argument)
{
    struct command object = {.route_index = 2};
    struct words words = words_of("debug object k");
    struct command_view view;
    cr_expect_eq(command_views(&object, words.argv, 3, 1, 16, &view, 1), 1);
    cr_expect_eq(view.index, 2);
    cr_expect_eq(view.db, 1);
    cr_expect_eq(view.flags, KEY_RO);
    cr_expect_eq(command_views(&object, words.argv, 2, 1, 16, &view, 1), 0);
}

/* ---- categories ---- */

Test(command_categories, follow_from_flags_and_group)
{
    struct command row = {.group = GROUP_STRING, .flags = CMD_WRITE | CMD_FAST};
    cr_expect_eq(command_categories(&row), ACL_STRING | ACL_WRITE | ACL_FAST);
    row =
        (struct command){.group = GROUP_GENERIC, .categories = ACL_KEYSPACE, .flags = CMD_READONLY};
    cr_expect_eq(command_categories(&row), ACL_KEYSPACE | ACL_READ | ACL_SLOW);
    row = (struct command){.group = GROUP_SERVER, .flags = CMD_ADMIN | CMD_BLOCKING | CMD_PUBSUB};
    cr_expect_eq(command_categories(&row),
                 ACL_ADMIN | ACL_DANGEROUS | ACL_BLOCKING | ACL_PUBSUB | ACL_SLOW);
    row = (struct command){.group = GROUP_SCRIPTING, .flags = CMD_READONLY};
    cr_expect_eq(command_categories(&row), ACL_SCRIPTING | ACL_SLOW);
    row = (struct command){.group = GROUP_CONNECTION, .subcommand_count = 1};
    cr_expect_eq(command_categories(&row), ACL_SLOW);
}
