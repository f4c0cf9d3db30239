/*
 * client.c: what connections can be told and asked.
 *
 * Four kinds of subcommands: those about this connection run where it is; LIST and KILL ask every
 * core for its own connections (client_list.c, client_kill.c); PAUSE and UNPAUSE set a mark on
 * every shard, and the reply leaves when all have it, so that who reads OK knows that no other core
 * lets a write through any more. The marks are read where commands of connections start; what was
 * running then ends as usual.
 *
 * A second PAUSE may only lengthen and tighten the first: two tools that pause at the same time
 * both get what they asked for.
 */
#include "core/number.h"
#include "shard/command/client_internal.h"
#include "shard/command/families.h"
#include "shard/session.h"
#include "shard/shard.h"

static void
client_id(struct call *call)
{
    reply_i64(call->reply, (int64_t)call->session->id);
}

static void
client_getname(struct call *call)
{
    if (call->session->name == NULL) {
        reply_null(call->reply);
    } else {
        reply_bulk_string(call->reply, call->session->name);
    }
}

static void
client_setname(struct call *call)
{
    if (session_name_set(call->session, call->argv[2])) {
        reply_ok(call->reply);
    } else {
        reply_error(call->reply,
                    "ERR Client names cannot contain spaces, newlines or special characters.");
    }
}

static void
client_setinfo(struct call *call)
{
    struct slice option = call->argv[2];
    int option_size = (int)MIN(option.size, (size_t)INT32_MAX);
    bool is_set;
    if (slice_is_word(option, "lib-name")) {
        is_set = session_library_name_set(call->session, call->argv[3]);
    } else if (slice_is_word(option, "lib-ver")) {
        is_set = session_library_version_set(call->session, call->argv[3]);
    } else {
        reply_error_format(call->reply, "ERR Unrecognized option '%.*s'", option_size, option.data);
        return;
    }
    if (is_set) {
        reply_ok(call->reply);
    } else {
        reply_error_format(call->reply,
                           "ERR %.*s cannot contain spaces, newlines or special characters.",
                           option_size, option.data);
    }
}

/** ON or OFF for one flag of the session. */
static void
client_flag_set(struct call *call, uint32_t flag)
{
    if (slice_is_word(call->argv[2], "on")) {
        call->session->flags |= flag;
        reply_ok(call->reply);
    } else if (slice_is_word(call->argv[2], "off")) {
        call->session->flags &= ~flag;
        reply_ok(call->reply);
    } else {
        call_syntax_error(call);
    }
}

static void
client_no_evict(struct call *call)
{
    client_flag_set(call, SESSION_NO_EVICT);
}

static void
client_no_touch(struct call *call)
{
    client_flag_set(call, SESSION_NO_TOUCH);
}

static void
client_reply(struct call *call)
{
    struct session *session = call->session;
    if (slice_is_word(call->argv[2], "on")) {
        session->flags &= ~(SESSION_REPLY_OFF | SESSION_REPLY_SKIP_NEXT | SESSION_REPLY_SKIP);
        call->reply->is_muted = false;
        reply_ok(call->reply);
    } else if (slice_is_word(call->argv[2], "off")) {
        session->flags |= SESSION_REPLY_OFF;
        call->reply->is_muted = true; /* of an EXEC: what is still to come of it */
    } else if (slice_is_word(call->argv[2], "skip")) {
        if ((session->flags & SESSION_REPLY_OFF) == 0) {
            session->flags |= SESSION_REPLY_SKIP_NEXT;
        }
    } else {
        call_syntax_error(call);
    }
}

/** What PAUSE asks for. False: the error has been replied. */
static bool
client_pause_parse(struct call *call, int64_t *timeout_ms, bool *is_all)
{
    *is_all = true;
    if (call->argc > 4) {
        struct slice name = call->argv[1];
        reply_error_format(call->reply,
                           "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                           "CLIENT HELP.",
                           (int)MIN(name.size, (size_t)INT32_MAX), name.data);
        return false;
    }
    if (call->argc == 4) {
        *is_all = slice_is_word(call->argv[3], "all");
        if (!*is_all && !slice_is_word(call->argv[3], "write")) {
            reply_error(call->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return false;
        }
    }
    if (!call_integer(call, 2, timeout_ms, "ERR timeout is not an integer or out of range")) {
        return false;
    }
    if (*timeout_ms < 0) {
        reply_error(call->reply, "ERR timeout is negative");
        return false;
    }
    if (*timeout_ms > INT64_MAX - call->now_ms) {
        reply_error(call->reply, "ERR timeout is out of range");
        return false;
    }
    return true;
}

static bool
client_pause_check(struct call *call)
{
    int64_t timeout_ms;
    bool is_all;
    return client_pause_parse(call, &timeout_ms, &is_all);
}

/** The arguments have passed client_pause_check(). Ends at the same instant on every core: the time
 * of the coordinator counts. */
static void
client_pause_part(struct part *part)
{
    struct shard *shard = part->shard;
    int64_t timeout_ms = 0;
    bool is_number = number_parse_i64(part->argv[2], &timeout_ms);
    ASSERT(is_number);
    bool is_all = part->argc == 3 || slice_is_word(part->argv[3], "all");
    bool is_paused = shard->pause_until_ms > part->now_ms;
    shard->is_pause_all = is_all || (is_paused && shard->is_pause_all);
    shard_pause_set(shard, MAX(shard->pause_until_ms, part->now_ms + timeout_ms));
}

static void
client_pause(struct call *call)
{
    reply_ok(call->reply);
}

static void
client_unpause_part(struct part *part)
{
    shard_pause_set(part->shard, 0);
    part->shard->is_pause_all = false;
}

static void
client_unpause(struct call *call)
{
    reply_ok(call->reply);
}

static void
client_help(struct call *call)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Whether what the next command reads is tracked, in OPTIN or OPTOUT mode.",
        "GETNAME",
        "    The name of this connection.",
        "GETREDIR",
        "    Where invalidations of this connection go; -1 without tracking.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    This connection as LIST shows it.",
        "KILL <ip:port>",
        "    Close the connection from that address.",
        "KILL <filter> <value> [<filter> <value> ...]",
        "    Close the connections that all filters match. Filters are:",
        "    * ADDR (<ip:port>|<unixsocket>:0), LADDR (<ip:port>|<unixsocket>:0)",
        "      its own address, or the one that it came to",
        "    * ID <number>, USER <name>, TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "    * MAXAGE <seconds>",
        "      at least that old",
        "    * SKIPME (YES|NO)",
        "      spare this connection (default: yes)",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <number> ...]",
        "    A line for each connection.",
        "NO-EVICT (ON|OFF)",
        "    Spare this connection when memory is short.",
        "NO-TOUCH (ON|OFF)",
        "    Commands of this connection leave the access time of keys alone.",
        "PAUSE <milliseconds> [WRITE|ALL]",
        "    Let the commands of all clients, or those that write, wait.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether this connection gets replies; SKIP: not to the next command.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Note what library the client is.",
        "SETNAME <name>",
        "    Name this connection.",
        "TRACKING (ON|OFF) [REDIRECT <number>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT]",
        "         [NOLOOP]",
        "    Tell this connection, or another, when keys change that it has read.",
        "TRACKINGINFO",
        "    How this connection tracks.",
        "UNPAUSE",
        "    End a pause.",
        NULL,
    };
    reply_help(call->reply, "CLIENT", lines);
}

static const struct command_argument client_no_touch_arguments_enabled[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "on", .token = "ON"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "off", .token = "OFF"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_no_touch_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "enabled", .arguments = client_no_touch_arguments_enabled},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_setinfo_arguments_attr[] = {
    {.kind = ARGUMENT_STRING, .name = "libname", .token = "LIB-NAME"},
    {.kind = ARGUMENT_STRING, .name = "libver", .token = "LIB-VER"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_setinfo_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "attr", .arguments = client_setinfo_arguments_attr},
    {.kind = ARGUMENT_END},
};

static const char *const nondeterministic_output_tips[] = {"nondeterministic_output", NULL};

static const struct command_argument
    client_kill_arguments_filter_new_format_normal_master_slave_pubsub[] = {
        {.kind = ARGUMENT_PURE_TOKEN, .name = "normal", .token = "NORMAL"},
        {.kind = ARGUMENT_PURE_TOKEN, .name = "master", .token = "MASTER", .since = "3.2.0"},
        {.kind = ARGUMENT_PURE_TOKEN, .name = "slave", .token = "SLAVE"},
        {.kind = ARGUMENT_PURE_TOKEN, .name = "replica", .token = "REPLICA", .since = "5.0.0"},
        {.kind = ARGUMENT_PURE_TOKEN, .name = "pubsub", .token = "PUBSUB"},
        {.kind = ARGUMENT_END},
};

static const struct command_argument client_kill_arguments_filter_new_format[] = {
    {.kind = ARGUMENT_INTEGER,
     .name = "client-id",
     .token = "ID",
     .since = "2.8.12",
     .is_optional = true},
    {.kind = ARGUMENT_ONEOF,
     .name = "normal_master_slave_pubsub",
     .token = "TYPE",
     .since = "2.8.12",
     .is_optional = true,
     .arguments = client_kill_arguments_filter_new_format_normal_master_slave_pubsub},
    {.kind = ARGUMENT_STRING, .name = "username", .token = "USER", .is_optional = true},
    {.kind = ARGUMENT_STRING, .name = "ip:port", .token = "ADDR", .is_optional = true},
    {.kind = ARGUMENT_STRING,
     .name = "ip:port",
     .token = "LADDR",
     .since = "6.2.0",
     .is_optional = true},
    {.kind = ARGUMENT_STRING, .name = "yes/no", .token = "SKIPME", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_kill_arguments_filter[] = {
    {.kind = ARGUMENT_STRING, .name = "ip:port"},
    {.kind = ARGUMENT_ONEOF,
     .name = "new-format",
     .is_multiple = true,
     .arguments = client_kill_arguments_filter_new_format},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_unblock_arguments_reason[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "timeout", .token = "TIMEOUT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "error", .token = "ERROR"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument client_unblock_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "client-id"},
    {.kind = ARGUMENT_ONEOF,
     .name = "timeout_error",
     .is_optional = true,
     .arguments = client_unblock_arguments_reason},
    {.kind = ARGUMENT_END},
};
static const struct command_argument client_kill_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "filter", .arguments = client_kill_arguments_filter},
    {.kind = ARGUMENT_END},
};

static const struct command_history client_kill_history[] = {
    {"2.8.12", "Takes filters."},        {"2.8.12", "Filters by `ID`."},
    {"3.2.0", "`TYPE` knows `master`."}, {"5.0.0", "`TYPE` knows `replica`, and `slave` still."},
    {"6.2.0", "Filters by `LADDR`."},    {NULL, NULL},
};

static const struct command_argument client_list_arguments_normal_master_replica_pubsub[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "normal", .token = "NORMAL"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "master", .token = "MASTER"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "replica", .token = "REPLICA"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "pubsub", .token = "PUBSUB"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_list_arguments_id[] = {
    {.kind = ARGUMENT_INTEGER, .name = "client-id", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_list_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "normal_master_replica_pubsub",
     .token = "TYPE",
     .since = "5.0.0",
     .is_optional = true,
     .arguments = client_list_arguments_normal_master_replica_pubsub},
    {.kind = ARGUMENT_BLOCK,
     .name = "id",
     .token = "ID",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = client_list_arguments_id},
    {.kind = ARGUMENT_END},
};

static const struct command_history client_list_history[] = {
    {"2.8.12", "Shows the `id` of each client."},
    {"5.0.0", "Filters by `TYPE`."},
    {"6.0.0", "Shows the `user`."},
    {"6.2.0", "Shows `argv-mem`, `tot-mem`, `laddr` and `redir`; filters by `ID`."},
    {"7.0.0", "Shows `resp`, `multi-mem`, `rbs` and `rbp`."},
    {"7.0.3", "Shows `ssub`."},
    {NULL, NULL},
};

static const struct command_argument client_no_evict_arguments_enabled[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "on", .token = "ON"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "off", .token = "OFF"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_no_evict_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "enabled", .arguments = client_no_evict_arguments_enabled},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_pause_arguments_mode[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "write", .token = "WRITE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "all", .token = "ALL"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_pause_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "timeout"},
    {.kind = ARGUMENT_ONEOF,
     .name = "mode",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = client_pause_arguments_mode},
    {.kind = ARGUMENT_END},
};

static const struct command_history client_pause_history[] = {
    {"6.2.0", "Takes a mode, so that reads need not wait."},
    {NULL, NULL},
};

static const struct command_argument client_reply_arguments_on_off_skip[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "on", .token = "ON"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "off", .token = "OFF"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "skip", .token = "SKIP"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_reply_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "on_off_skip",
     .arguments = client_reply_arguments_on_off_skip},
    {.kind = ARGUMENT_END},
};

static const struct command_argument client_setname_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "connection-name"},
    {.kind = ARGUMENT_END},
};

static const struct command client_subcommands[] = {
    {
        .name = "getname",
        .parent = "client",
        .run = client_getname,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "2.6.9",
        .complexity = "O(1)",
        .summary = "Tells the name of this connection.",
    },
    {
        .name = "getredir",
        .parent = "client",
        .run = client_getredir,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Tells which connection gets the invalidations of this one.",
    },
    {
        .name = "help",
        .parent = "client",
        .run = client_help,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Lists what CLIENT can do.",
    },
    {
        .name = "id",
        .parent = "client",
        .run = client_id,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Tells the number of this connection.",
    },
    {
        .name = "info",
        .parent = "client",
        .run = client_info,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Describes this connection in a line.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "unblock",
        .parent = "client",
        .run = client_unblock,
        .part = client_unblock_part,
        .scope = SCOPE_ALL,
        .check = client_unblock_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "5.0.0",
        .complexity = "O(N) with N clients",
        .summary = "Ends the wait of a client that a command blocks, whichever core it is on.",
        .arguments = client_unblock_arguments,
    },
    {
        .name = "kill",
        .parent = "client",
        .run = client_kill,
        .part = client_kill_part,
        .scope = SCOPE_ALL,
        .check = client_kill_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "2.4.0",
        .complexity = "O(N) with N clients",
        .summary = "Closes connections, whichever core they are on.",
        .history = client_kill_history,
        .arguments = client_kill_arguments,
    },
    {
        .name = "list",
        .parent = "client",
        .run = client_list,
        .part = client_list_part,
        .scope = SCOPE_ALL,
        .check = client_list_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "2.4.0",
        .complexity = "O(N) with N clients",
        .summary = "Describes the connections of all cores, one a line.",
        .history = client_list_history,
        .tips = nondeterministic_output_tips,
        .arguments = client_list_arguments,
    },
    {
        .name = "no-evict",
        .parent = "client",
        .run = client_no_evict,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "7.0.0",
        .complexity = "O(1)",
        .summary = "Keeps this connection from being closed to save memory.",
        .arguments = client_no_evict_arguments,
    },
    {
        .name = "pause",
        .parent = "client",
        .run = client_pause,
        .part = client_pause_part,
        .scope = SCOPE_ALL,
        .check = client_pause_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "2.9.50",
        .complexity = "O(1)",
        .summary = "Makes the commands of all clients, or their writes, wait for a while.",
        .history = client_pause_history,
        .arguments = client_pause_arguments,
    },
    {
        .name = "reply",
        .parent = "client",
        .run = client_reply,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "3.2.0",
        .complexity = "O(1)",
        .summary = "Turns the replies to this connection on or off.",
        .arguments = client_reply_arguments,
    },
    {
        .name = "setname",
        .parent = "client",
        .run = client_setname,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "2.6.9",
        .complexity = "O(1)",
        .summary = "Names this connection.",
        .arguments = client_setname_arguments,
    },
    {
        .name = "caching",
        .parent = "client",
        .run = client_caching,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Says whether the keys of the next command are tracked.",
        .arguments = client_caching_arguments,
    },
    {
        .name = "tracking",
        .parent = "client",
        .run = client_tracking,
        .part = client_tracking_part,
        .scope = SCOPE_ALL,
        .check = client_tracking_check,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.0.0",
        .complexity = "O(1); O(N) for N prefixes.",
        .summary = "Turns on or off that this connection is told when keys change.",
        .arguments = client_tracking_arguments,
    },
    {
        .name = "trackinginfo",
        .parent = "client",
        .run = client_trackinginfo,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Tells how this connection tracks keys.",
    },
    {
        .name = "unpause",
        .parent = "client",
        .run = client_unpause,
        .part = client_unpause_part,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.2.0",
        .complexity = "O(N) with N paused clients",
        .summary = "Ends a pause before its time.",
    },
    {
        .name = "no-touch",
        .parent = "client",
        .run = client_no_touch,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 3,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "7.2.0",
        .complexity = "O(1)",
        .summary = "Keeps the commands of this connection from counting as accesses of keys.",
        .arguments = client_no_touch_arguments,
    },
    {
        .name = "setinfo",
        .parent = "client",
        .run = client_setinfo,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 4,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "7.2.0",
        .complexity = "O(1)",
        .summary = "Notes the name or the version of the client's library.",
        .arguments = client_setinfo_arguments,
    },
};

static const struct command client_commands[] = {
    {
        .name = "client",
        .flags = 0,
        .arity = -2,
        .group = GROUP_CONNECTION,
        .since = "2.4.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about connections.",
        .subcommands = client_subcommands,
        .subcommand_count = ARRAY_COUNT(client_subcommands),
    },
};

const struct command_family client_family = {
    .commands = client_commands,
    .count = ARRAY_COUNT(client_commands),
};
