/*
 * multi.c: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 * What is queued, and who runs it where, is shard/router.c's and shard/multi.h's business; these
 * handlers say what belongs to the session. WATCH marks its views, and the owner of each key
 * registers the session when it commits them.
 */
#include "shard/multi.h"

#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/session.h"

static void
multi_multi(struct call *call)
{
    struct session *session = call->session;
    if (session->multi != NULL) {
        reply_error(call->reply, "ERR MULTI calls can not be nested");
        return;
    }
    session->multi = multi_new();
    session->flags |= SESSION_MULTI;
    reply_ok(call->reply);
}

/** The router has decided everything before this could run. */
static void
multi_exec(struct call *call)
{
    reply_error(call->reply, "ERR EXEC without MULTI");
}

static void
multi_discard_run(struct call *call)
{
    if (call->session->multi == NULL) {
        reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    multi_discard(call->session);
    reply_ok(call->reply);
}

static void
multi_unwatch_run(struct call *call)
{
    if (call->session != NULL) {
        multi_unwatch(call->session);
    }
    reply_ok(call->reply);
}

static bool
multi_watch_refused(const struct session *session, struct reply *reply)
{
    if (session->multi == NULL) {
        return false;
    }
    reply_error(reply, "ERR WATCH inside MULTI is not allowed");
    return true;
}

static void
multi_watch_run(struct call *call)
{
    for (uint32_t i = 0; i < call->view_count; i++) {
        call->views[i]->flags |= VIEW_WATCH;
    }
    reply_ok(call->reply);
}

static void
multi_watch_started(struct session *session, const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 1; i < argc; i++) {
        multi_watch(session, session->db, argv[i]);
    }
}

/* ---- rows ---- */

static const struct command_argument watch_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command multi_commands[] = {
    {
        .name = "multi",
        .run = multi_multi,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY | CMD_UNQUEUED,
        .arity = 1,
        .scope = SCOPE_LOCAL,
        .group = GROUP_TRANSACTIONS,
        .since = "1.2.0",
        .complexity = "O(1)",
        .summary = "Begins a transaction: what follows is queued until EXEC.",
    },
    {
        .name = "exec",
        .run = multi_exec,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_SLOWLOG | CMD_UNQUEUED,
        .arity = 1,
        .scope = SCOPE_EXEC,
        .group = GROUP_TRANSACTIONS,
        .since = "1.2.0",
        .complexity = "That of the queued commands.",
        .summary = "Runs all queued commands, with nothing of anybody else's between them.",
    },
    {
        .name = "discard",
        .run = multi_discard_run,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY | CMD_UNQUEUED,
        .arity = 1,
        .scope = SCOPE_LOCAL,
        .is_after_all = true,
        .group = GROUP_TRANSACTIONS,
        .since = "2.0.0",
        .complexity = "O(N) for N queued commands.",
        .summary = "Drops the queued commands and what is watched.",
    },
    {
        .name = "watch",
        .run = multi_watch_run,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY | CMD_NO_TOUCH |
                 CMD_NO_COUNT | CMD_UNQUEUED,
        .arity = -2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO)},
        .key_spec_count = 1,
        .refuses = multi_watch_refused,
        .started = multi_watch_started,
        .group = GROUP_TRANSACTIONS,
        .since = "2.2.0",
        .complexity = "O(1) for each key.",
        .summary = "Makes the next EXEC depend on keys: it runs only if none of them was changed.",
        .arguments = watch_arguments,
    },
    {
        .name = "unwatch",
        .run = multi_unwatch_run,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY,
        .arity = 1,
        .scope = SCOPE_LOCAL,
        .is_after_all = true,
        .group = GROUP_TRANSACTIONS,
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Forgets all watched keys.",
    },
};

const struct command_family multi_family = {multi_commands, ARRAY_COUNT(multi_commands)};
