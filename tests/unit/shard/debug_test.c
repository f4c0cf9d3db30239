#include "rig.h"

#include "core/heap.h"

#include "core/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct rig *
rig_open(enum config_protected_access access)
{
    struct rig *rig = rig_new();
    rig->harness->config->enable_debug_command = (int32_t)access;
    return rig;
}

static const char *const debug_lines[] = {
    "DEBUG SLEEP 0",
    "DEBUG SET-ACTIVE-EXPIRE 0",
    "DEBUG STRINGMATCH-LEN a* abc",
    "DEBUG CHANGE-REPL-ID",
    "DEBUG HELP",
    "DEBUG JMAP",
    "DEBUG FOO",
};

Test(debug, is_shut_unless_opened)
{
    struct rig *rig = rig_open(CONFIG_ACCESS_NO);
    for (size_t i = 0; i < ARRAY_COUNT(debug_lines); i++) {
        cr_assert(rig_shows(rig, debug_lines[i], "-ERR DEBUG command not allowed. If the "));
    }
    cr_assert_not(rig->harness->shard->is_expiry_paused);
    rig_delete(rig);
    rig = rig_open(CONFIG_ACCESS_LOCAL);
    for (size_t i = 0; i < ARRAY_COUNT(debug_lines); i++) {
        cr_assert(rig_shows(rig, debug_lines[i], "-ERR DEBUG command not allowed. If the "));
    }
    snprintf(rig->sessions[0]->address, SESSION_ADDRESS_SIZE, "127.0.0.1:77");
    cr_assert(rig_says(rig, "DEBUG SLEEP 0", "+OK\r\n"));
    snprintf(rig->sessions[0]->address, SESSION_ADDRESS_SIZE, "[::1]:77");
    cr_assert(rig_says(rig, "DEBUG SLEEP 0", "+OK\r\n"));
    rig_delete(rig);
}

#define UNKNOWN(name)                                                                              \
    "-ERR unknown subcommand or wrong number of arguments for '" name "'. Try DEBUG HELP.\r\n"

Test(debug, answers_its_own_error)
{
    struct rig *rig = rig_open(CONFIG_ACCESS_YES);
    cr_assert(rig_says(rig, "DEBUG foo", UNKNOWN("foo")));
    cr_assert(rig_says(rig, "DEBUG SLEEP", UNKNOWN("SLEEP")));
    cr_assert(rig_says(rig, "DEBUG SLEEP 0 1", UNKNOWN("SLEEP")));
    cr_assert(rig_says(rig, "DEBUG JMAP", UNKNOWN("JMAP")));
    cr_assert(rig_says(rig, "DEBUG CHANGE-REPL-ID x", UNKNOWN("CHANGE-REPL-ID")));
    cr_assert(rig_says(rig, "DEBUG SET-ACTIVE-EXPIRE", UNKNOWN("SET-ACTIVE-EXPIRE")));
    cr_assert(rig_says(rig, "DEBUG OBJECT", UNKNOWN("OBJECT")));
    cr_assert(rig_says(rig, "DEBUG HELP x", UNKNOWN("HELP")));
    rig_delete(rig);
}

Test(debug, what_it_does)
{
    struct rig *rig = rig_open(CONFIG_ACCESS_YES);
    cr_assert(rig_says(rig, "DEBUG STRINGMATCH-LEN a*c abc", ":1\r\n"));
    cr_assert(rig_says(rig, "DEBUG STRINGMATCH-LEN a*d abc", ":0\r\n"));
    cr_assert(rig_says(rig, "DEBUG CHANGE-REPL-ID", "+OK\r\n"));
    cr_assert(rig_says(rig, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n"));
    cr_assert(rig->harness->shard->is_expiry_paused);
    cr_assert(rig_says(rig, "DEBUG SET-ACTIVE-EXPIRE 1", "+OK\r\n"));
    cr_assert_not(rig->harness->shard->is_expiry_paused);
    uint64_t start_ns = clock_monotonic_ns();
    cr_assert(rig_says(rig, "DEBUG SLEEP 0.002x", "+OK\r\n"));
    cr_assert(clock_monotonic_ns() - start_ns >= 2000000);
    cr_assert(rig_says(rig, "DEBUG SLEEP a", "+OK\r\n"));
    cr_assert(rig_says(rig, "DEBUG SLEEP -1", "+OK\r\n"));
    rig_delete(rig);
}

/** DEBUG OBJECT is routed by its argument; here its view is made by hand. */
static const char *
debug_object(struct rig *rig, const char *key, char out[512])
{
    struct harness *harness = rig->harness;
    struct slice argv[3] = {SLICE("debug"), SLICE("object"), slice_of_string(key)};
    struct view view = {
        .key = argv[2],
        .hash = keyspace_hash(&harness->shard->keyspace, argv[2]),
        .slot = key_slot(argv[2]),
        .flags = VIEW_NO_TOUCH,
    };
    struct view *views[1] = {&view};
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, 2);
    view_open(harness->shard, &view);
    struct call call = {
        .command = command_resolve(harness->table, argv, 3),
        .argv = argv,
        .argc = 3,
        .views = views,
        .view_count = 1,
        .reply = &reply,
        .shard = harness->shard,
        .now_ms = harness->shard->now_ms,
    };
    cr_assert_eq(call.command->route_index, 2);
    call.command->run(&call);
    view_commit(harness->shard, &view);
    char *text = output_flatten(&output);
    snprintf(out, 512, "%.*s", (int)output.byte_count, text);
    heap_free(text);
    output_destroy(&output);
    return out;
}

Test(debug, object)
{
    struct rig *rig = rig_open(CONFIG_ACCESS_YES);
    char out[512];
    harness_line(rig->harness, "SET a 1");
    harness_line(rig->harness, "SET b 300");
    harness_line(rig->harness, "SET c 70000");
    harness_line(rig->harness, "SET d 7000000000");
    harness_line(rig->harness, "SET e abc");
    cr_assert_str_eq(debug_object(rig, "nokey", out), "-ERR no such key\r\n");
    cr_assert_not_null(
        strstr(debug_object(rig, "a", out), " refcount:1 encoding:int serializedlength:2 lru:"));
    cr_assert_not_null(strstr(debug_object(rig, "b", out), "serializedlength:3 lru:"));
    cr_assert_not_null(strstr(debug_object(rig, "c", out), "serializedlength:5 lru:"));
    cr_assert_not_null(strstr(debug_object(rig, "d", out), "serializedlength:11 lru:"));
    harness_advance(rig->harness, 7000);
    cr_assert_not_null(
        strstr(debug_object(rig, "e", out), "encoding:embstr serializedlength:4 lru:"));
    cr_assert_not_null(strstr(out, "lru_seconds_idle:7\r\n"));
    rig->harness->config->enable_debug_command = CONFIG_ACCESS_NO;
    cr_assert_not_null(strstr(debug_object(rig, "e", out), "-ERR DEBUG command not allowed."));
    rig_delete(rig);
}
