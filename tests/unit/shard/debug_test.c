#include "rig.h"

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
    "DEBUG OBJECT a",
    "DEBUG OBJECT",
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
    session_addresses_set(rig->sessions[0], "127.0.0.1:77", "");
    cr_assert(rig_says(rig, "DEBUG SLEEP 0", "+OK\r\n"));
    session_addresses_set(rig->sessions[0], "[::1]:77", "");
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

Test(debug, object_of_a_list_of_several_listpacks)
{
    struct rig *rig = rig_open(CONFIG_ACCESS_YES);
    rig->harness->config->list_max_listpack_size = 2;
    rig->harness->config->list_compress_depth = 1;
    harness_line(rig->harness, "RPUSH l a b c d e");
    /* 7 bytes around each listpack, 3 for each element. */
    cr_assert(rig_shows(rig, "DEBUG OBJECT l",
                        " ql_nodes:3 ql_avg_node:1.67 ql_listpack_max:2 ql_compressed:1 "
                        "ql_uncompressed_size:36\r\n"));
    harness_line(rig->harness, "RPUSH small a");
    cr_assert_not(rig_shows(rig, "DEBUG OBJECT small", "ql_nodes"));
    rig_delete(rig);
}

Test(debug, object)
{
    struct rig *rig = rig_open(CONFIG_ACCESS_YES);
    harness_line(rig->harness, "SET a 1");
    harness_line(rig->harness, "SET b 300");
    harness_line(rig->harness, "SET c 70000");
    harness_line(rig->harness, "SET d 7000000000");
    harness_line(rig->harness, "SET e abc PX 8000");
    cr_assert(rig_says(rig, "DEBUG OBJECT nokey", "-ERR no such key\r\n"));
    cr_assert(rig_shows(rig, "DEBUG OBJECT a", " refcount:1 encoding:int serializedlength:2 lru:"));
    cr_assert(rig_shows(rig, "DEBUG OBJECT b", "serializedlength:3 lru:"));
    cr_assert(rig_shows(rig, "DEBUG OBJECT c", "serializedlength:5 lru:"));
    cr_assert(rig_shows(rig, "DEBUG OBJECT d", "serializedlength:11 lru:"));
    harness_advance(rig->harness, 7000);
    cr_assert(rig_shows(rig, "DEBUG OBJECT e", "encoding:embstr serializedlength:4 lru:"));
    cr_assert(rig_shows(rig, "DEBUG OBJECT e", " lru_seconds_idle:7\r\n"));
    harness_advance(rig->harness, 1000);
    cr_assert(rig_says(rig, "DEBUG OBJECT e", "-ERR no such key\r\n"));
    rig_delete(rig);
}
