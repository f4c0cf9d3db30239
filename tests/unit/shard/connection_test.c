#include "rig.h"

#include <criterion/criterion.h>

Test(connection, ping_and_echo)
{
    struct rig *rig = rig_new();
    cr_assert(rig_says(rig, "PING", "+PONG\r\n"));
    cr_assert(rig_says(rig, "ping \"a b\"", "$3\r\na b\r\n"));
    cr_assert(rig_says(rig, "PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"));
    cr_assert(rig_says(rig, "ECHO x", "$1\r\nx\r\n"));
    rig_delete(rig);
}

Test(connection, select_checks_the_number)
{
    struct rig *rig = rig_new();
    const char *not_integer = "-ERR value is not an integer or out of range\r\n";
    const char *range = "-ERR DB index is out of range\r\n";
    cr_assert(rig_says(rig, "SELECT a", not_integer));
    cr_assert(rig_says(rig, "SELECT 99999999999999999999", not_integer));
    cr_assert(rig_says(rig, "SELECT 9999999999",
                       "-ERR value is out of range, value must between -2147483648 and "
                       "2147483647\r\n"));
    cr_assert(rig_says(rig, "SELECT 16", range));
    cr_assert(rig_says(rig, "SELECT -1", range));
    cr_assert_eq(rig->sessions[0]->db, 0);
    cr_assert(rig_says(rig, "SELECT 15", "+OK\r\n"));
    cr_assert_eq(rig->sessions[0]->db, 15);
    rig_delete(rig);
}

#define HELLO_FIELDS(proto)                                                                        \
    "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:" proto       \
    "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"      \
    "$7\r\nmodules\r\n*0\r\n"

Test(connection, hello_switches_the_protocol_last)
{
    struct rig *rig = rig_new();
    cr_assert(rig_says(rig, "HELLO", "*14\r\n" HELLO_FIELDS("2")));
    cr_assert(rig_says(rig, "HELLO 3", "%7\r\n" HELLO_FIELDS("3")));
    cr_assert(rig_says(rig, "CLIENT GETNAME", "_\r\n"));
    cr_assert(rig_says(rig, "HELLO", "%7\r\n" HELLO_FIELDS("3")));
    cr_assert(rig_says(rig, "HELLO 4", "-NOPROTO unsupported protocol version\r\n"));
    cr_assert(
        rig_says(rig, "HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"));
    cr_assert(rig_says(rig, "HELLO 2 foo", "-ERR Syntax error in HELLO option 'foo'\r\n"));
    cr_assert_eq(rig->sessions[0]->protocol, 3);
    cr_assert(rig_says(rig, "HELLO 2 AUTH default",
                       "-ERR Syntax error in HELLO option "
                       "'AUTH'\r\n"));
    cr_assert(rig_says(rig, "HELLO 2 SETNAME ok AUTH foo x",
                       "-WRONGPASS invalid username-password pair or user is disabled.\r\n"));
    cr_assert(rig_says(rig, "CLIENT GETNAME", "$2\r\nok\r\n"));
    cr_assert(rig_says(rig, "HELLO 2 SETNAME \"a b\"",
                       "-ERR Client names cannot contain spaces, newlines or special "
                       "characters.\r\n"));
    cr_assert(rig_says(rig, "HELLO 2 AUTH default any SETNAME \"\"", "*14\r\n" HELLO_FIELDS("2")));
    cr_assert(rig_says(rig, "CLIENT GETNAME", "$-1\r\n"));
    rig_delete(rig);
}

Test(connection, auth_knows_the_default_user_only)
{
    struct rig *rig = rig_new();
    cr_assert(rig_shows(rig, "AUTH x", "-ERR AUTH <password> called without any password"));
    cr_assert(rig_says(rig, "AUTH default x", "+OK\r\n"));
    cr_assert(rig_says(rig, "AUTH foo x",
                       "-WRONGPASS invalid username-password pair or user is disabled.\r\n"));
    cr_assert(rig_says(rig, "AUTH default x y", "-ERR syntax error\r\n"));
    rig_delete(rig);
}

Test(connection, reset_makes_it_new)
{
    struct rig *rig = rig_new();
    struct session *session = rig->sessions[0];
    harness_line(rig->harness, "HELLO 3 SETNAME abc");
    harness_line(rig->harness, "SELECT 3");
    harness_line(rig->harness, "CLIENT NO-TOUCH on");
    cr_assert(rig_says(rig, "CLIENT REPLY OFF", ""));
    cr_assert(rig_says(rig, "RESET", "+RESET\r\n"));
    cr_assert_eq(session->protocol, 2);
    cr_assert_eq(session->db, 0);
    cr_assert_eq(session->flags, 0);
    cr_assert_null(session->name);
    cr_assert_eq(session->id, 1);
    rig_delete(rig);
}

Test(connection, quit_closes_behind_its_reply)
{
    struct rig *rig = rig_new();
    cr_assert(rig_says(rig, "QUIT now", "+OK\r\n"));
    cr_assert_eq(rig->closed_count, 1);
    cr_assert_eq(rig->closed[0], 1);
    cr_assert(rig->is_after_reply[0]);
    cr_assert((rig->sessions[0]->flags & SESSION_CLOSE_AFTER_REPLY) != 0);
    rig_delete(rig);
}
