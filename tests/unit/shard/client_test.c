#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(client, names)
{
    struct rig *rig = rig_new();
    const char *bad =
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
    cr_assert(rig_says(rig, "CLIENT ID", ":1\r\n"));
    cr_assert(rig_says(rig, "CLIENT GETNAME", "$-1\r\n"));
    cr_assert(rig_says(rig, "CLIENT SETNAME ab", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT SETNAME \"a b\"", bad));
    cr_assert(rig_says(rig, "CLIENT SETNAME \"a\\n\"", bad));
    cr_assert(rig_says(rig, "CLIENT SETNAME \"\\xff\"", bad));
    cr_assert(rig_says(rig, "CLIENT GETNAME", "$2\r\nab\r\n"));
    cr_assert(rig_says(rig, "CLIENT SETNAME \"\"", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT GETNAME", "$-1\r\n"));
    cr_assert(rig_says(rig, "CLIENT SETINFO LIB-NAME me", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT SETINFO LIB-VER 1.2", "+OK\r\n"));
    cr_assert_str_eq(rig->sessions[0]->library, "me");
    cr_assert_str_eq(rig->sessions[0]->library + strlen("me") + 1, "1.2");
    cr_assert(rig_says(rig, "CLIENT SETINFO lib-ver \"a b\"",
                       "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n"));
    cr_assert(rig_says(rig, "CLIENT SETINFO foo x", "-ERR Unrecognized option 'foo'\r\n"));
    rig_delete(rig);
}

Test(client, flags_and_replies)
{
    struct rig *rig = rig_new();
    struct session *session = rig->sessions[0];
    cr_assert(rig_says(rig, "CLIENT NO-EVICT x", "-ERR syntax error\r\n"));
    cr_assert(rig_says(rig, "CLIENT NO-EVICT on", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT NO-TOUCH on", "+OK\r\n"));
    cr_assert_eq(session->flags, SESSION_NO_EVICT | SESSION_NO_TOUCH);
    cr_assert(rig_says(rig, "CLIENT NO-EVICT off", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT NO-TOUCH off", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT REPLY x", "-ERR syntax error\r\n"));
    cr_assert(rig_says(rig, "CLIENT REPLY SKIP", ""));
    cr_assert_eq(session->flags, SESSION_REPLY_SKIP_NEXT);
    cr_assert(rig_says(rig, "CLIENT REPLY OFF", ""));
    cr_assert(rig_says(rig, "CLIENT REPLY ON", "+OK\r\n"));
    cr_assert_eq(session->flags, 0);
    cr_assert(rig_says(rig, "CLIENT GETREDIR", ":-1\r\n"));
    rig_delete(rig);
}

#define LINE(id, fd, name, age, flags, cmd, resp)                                                  \
    "id=" #id " addr=10.0.0." #id ":" fd " name=" name " age=" #age " idle=0 flags=" flags         \
    " db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 "   \
    "obl=0 oll=0 omem=0 tot-mem=%llu events=r cmd=" cmd " user=default redir=-1 resp=" resp        \
    " lib-name= lib-ver= core=0\n"

static char *
frame(char *out, size_t size, const char *mark, const char *text)
{
    snprintf(out, size, "%c%zu\r\n%s%s\r\n", mark[0], strlen(text) + strlen(mark + 1), mark + 1,
             text);
    return out;
}

Test(client, the_line_of_a_client)
{
    struct rig *rig = rig_new();
    struct session *session = rig->sessions[0];
    char text[1024];
    char expected[2048];
    harness_advance(rig->harness, 2500);
    static const struct command client_info = {.name = "info", .parent = "client"};
    session->last_command = &client_info;
    session->last_command_ms = rig->harness->shard->now_ms;
    snprintf(text, sizeof(text),
             LINE(1, "5000 laddr=10.0.0.9:6379 fd=8", "", 2, "N", "client|info", "2"),
             (unsigned long long)sizeof(struct session) + 26);
    cr_assert(rig_says(rig, "CLIENT INFO", frame(expected, sizeof(expected), "$", text)));
    harness_line(rig->harness, "HELLO 3 SETNAME me");
    session->flags |= SESSION_NO_EVICT | SESSION_UNIX_SOCKET;
    snprintf(text, sizeof(text),
             LINE(1, "5000 laddr=10.0.0.9:6379 fd=8", "me", 2, "Ue", "client|info", "3"),
             (unsigned long long)sizeof(struct session) + 26 + 3);
    cr_assert(rig_says(rig, "CLIENT INFO", frame(expected, sizeof(expected), "=txt:", text)));
    rig_delete(rig);
}

/** The ids in a CLIENT LIST reply: "1 2 3". */
static const char *
ids(struct rig *rig, const char *line, char out[64])
{
    size_t used = 0;
    out[0] = '\0';
    for (const char *at = harness_line(rig->harness, line); (at = strstr(at, "id=")) != NULL;
         at += 3) {
        unsigned long long id = strtoull(at + 3, NULL, 10);
        used += (size_t)snprintf(out + used, 64 - used, used == 0 ? "%llu" : " %llu", id);
    }
    return out;
}

Test(client, list_sorts_and_filters)
{
    struct rig *rig = rig_new();
    char out[64];
    /* The shard's list is not in the order of ids when connections were handed over. */
    list_remove(&rig->sessions[0]->shard_link);
    list_push_back(&rig->harness->shard->sessions, &rig->sessions[0]->shard_link);
    cr_assert_str_eq(ids(rig, "CLIENT LIST", out), "1 2 3");
    cr_assert_eq(rig->refresh_count, 3);
    cr_assert_str_eq(ids(rig, "CLIENT LIST TYPE normal", out), "1 2 3");
    cr_assert(rig_says(rig, "CLIENT LIST TYPE pubsub", "$0\r\n\r\n"));
    cr_assert(rig_says(rig, "CLIENT LIST TYPE slave", "$0\r\n\r\n"));
    cr_assert(rig_says(rig, "CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n"));
    cr_assert_str_eq(ids(rig, "CLIENT LIST ID 3 1 3 7 -1", out), "3 1 3");
    cr_assert(rig_says(rig, "CLIENT LIST ID 0", "$0\r\n\r\n"));
    cr_assert(rig_says(rig, "CLIENT LIST ID 1 a", "-ERR Invalid client ID\r\n"));
    cr_assert(rig_says(rig, "CLIENT LIST ID", "-ERR syntax error\r\n"));
    cr_assert(rig_says(rig, "CLIENT LIST TYPE", "-ERR syntax error\r\n"));
    cr_assert(rig_says(rig, "CLIENT LIST TYPE normal ID 3", "-ERR syntax error\r\n"));
    rig_delete(rig);
}

Test(client, kill_by_address_may_hit_the_asker)
{
    struct rig *rig = rig_new();
    cr_assert(rig_says(rig, "CLIENT KILL 10.0.0.7:1", "-ERR No such client\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL 10.0.0.2:5001", "+OK\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL 10.0.0.2:5001", "-ERR No such client\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL 10.0.0.1:5000", "+OK\r\n"));
    cr_assert_eq(rig->closed_count, 2);
    cr_assert_eq(rig->closed[0], 2);
    cr_assert_not(rig->is_after_reply[0]);
    cr_assert_eq(rig->closed[1], 1);
    cr_assert(rig->is_after_reply[1]);
    rig_delete(rig);
}

Test(client, kill_by_filters)
{
    struct rig *rig = rig_new();
    const char *id_error = "-ERR client-id should be greater than 0\r\n";
    const char *syntax = "-ERR syntax error\r\n";
    cr_assert(rig_says(rig, "CLIENT KILL ID a", id_error));
    cr_assert(rig_says(rig, "CLIENT KILL ID 0", id_error));
    cr_assert(rig_says(rig, "CLIENT KILL ID 2 TYPE", syntax));
    cr_assert(rig_says(rig, "CLIENT KILL FOO bar", syntax));
    cr_assert(rig_says(rig, "CLIENT KILL SKIPME foo", syntax));
    cr_assert(rig_says(rig, "CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL USER foo", "-ERR No such user 'foo'\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL ID 99", ":0\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL ID 1", ":0\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL TYPE pubsub SKIPME no", ":0\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL LADDR 10.0.0.8:1", ":0\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL MAXAGE 1", ":0\r\n"));
    cr_assert_eq(rig->closed_count, 0);
    cr_assert(rig_says(rig, "CLIENT KILL USER default ID 2 ADDR 10.0.0.2:5001", ":1\r\n"));
    cr_assert(rig_says(rig, "CLIENT KILL TYPE normal LADDR 10.0.0.9:6379 SKIPME no", ":2\r\n"));
    cr_assert_eq(rig->closed_count, 3);
    cr_assert_eq(rig->closed[1], 3);
    cr_assert_eq(rig->closed[2], 1);
    cr_assert(rig->is_after_reply[2]);
    rig_delete(rig);
}

Test(client, a_second_pause_only_lengthens_and_tightens)
{
    struct rig *rig = rig_new();
    struct shard *shard = rig->harness->shard;
    cr_assert(
        rig_says(rig, "CLIENT PAUSE a", "-ERR timeout is not an integer or out of range\r\n"));
    cr_assert(rig_says(rig, "CLIENT PAUSE -1", "-ERR timeout is negative\r\n"));
    cr_assert(
        rig_says(rig, "CLIENT PAUSE a foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"));
    cr_assert(rig_says(rig, "CLIENT PAUSE 1 all x",
                       "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try "
                       "CLIENT HELP.\r\n"));
    cr_assert_eq(shard->pause_until_ms, 0);
    cr_assert(rig_says(rig, "CLIENT PAUSE 1000 write", "+OK\r\n"));
    cr_assert_eq(shard->pause_until_ms, HARNESS_START_MS + 1000);
    cr_assert_not(shard->is_pause_all);
    cr_assert(rig_says(rig, "CLIENT PAUSE 500", "+OK\r\n"));
    cr_assert_eq(shard->pause_until_ms, HARNESS_START_MS + 1000);
    cr_assert(shard->is_pause_all);
    cr_assert(rig_says(rig, "CLIENT PAUSE 2000 WRITE", "+OK\r\n"));
    cr_assert_eq(shard->pause_until_ms, HARNESS_START_MS + 2000);
    cr_assert(shard->is_pause_all);
    harness_advance(rig->harness, 3000);
    cr_assert(rig_says(rig, "CLIENT PAUSE 1 write", "+OK\r\n"));
    cr_assert_not(shard->is_pause_all);
    cr_assert(rig_says(rig, "CLIENT UNPAUSE", "+OK\r\n"));
    cr_assert_eq(shard->pause_until_ms, 0);
    rig_delete(rig);
}
