/*
 * monitor.c: MONITOR: the connection is shown the commands of all clients of all cores from now on.
 * It subscribes to the topic of command lines, which every shard counts, and is confirmed when
 * every shard knows: a command that is sent behind the OK is seen, whichever core takes it. A
 * second MONITOR says nothing, as in redis-server. Inside EXEC it is refused: a transaction cannot
 * be followed by lines without end.
 */
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/session.h"
#include "shard/subscriptions.h"

static bool
monitor_check(struct call *call)
{
    struct session *session = call->session;
    if ((call->flags & CALL_IN_MULTI) != 0) {
        reply_error(call->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return false;
    }
    if ((session->flags & SESSION_MONITOR) != 0) {
        return false;
    }
    struct slice name = SLICE("");
    call->shared = subscriptions_add(session, TOPIC_MONITOR, &name, 1);
    return true;
}

static void
monitor_part(struct part *part)
{
    subscription_change_count(part->shard, part->shared, part->coordinator);
}

static void
monitor_run(struct call *call)
{
    struct subscription_change *change = call->shared;
    call->shared = NULL;
    subscription_change_end(change);
    subscription_change_delete(change);
    reply_ok(call->reply);
}

static const struct command monitor_commands[] = {
    {
        .name = "monitor",
        .check = monitor_check,
        .part = monitor_part,
        .run = monitor_run,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 1,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Shows the commands of all clients to this connection as they start.",
    },
};

const struct command_family monitor_family = {
    .commands = monitor_commands,
    .count = ARRAY_COUNT(monitor_commands),
};
