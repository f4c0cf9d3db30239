/*
 * connection.c: what a client says about its own connection: who it is, which protocol it speaks,
 * which database it means, and whether anybody is there.
 *
 * All of it is the session's, which lives on the core that holds the connection; so every row is
 * SCOPE_LOCAL and no mail is sent. Commands behind a SELECT in the same pipeline carry the new
 * database to other cores, because requests are made after the commands before them have run here.
 *
 * HELLO applies its options one after the other and stops at the first that is wrong, keeping those
 * before it, as redis-server does; only the protocol is switched last, so that a refused HELLO is
 * answered in the old one. There is one user without a password: AUTH accepts it with any word and
 * knows nobody else.
 */
#include "core/config.h"
#include "core/number.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/version.h"

#define CONNECTION_NAME_ERROR                                                                      \
    "ERR Client names cannot contain spaces, newlines or special characters."
#define CONNECTION_PASSWORD_ERROR "WRONGPASS invalid username-password pair or user is disabled."

static void
connection_ping(struct call *call)
{
    if (call->argc > 2) {
        call_arity_error(call);
    } else if (call->session != NULL && call->session->protocol == 2 &&
               (call->session->flags & SESSION_PUBSUB) != 0) {
        /* In RESP2 whoever subscribes tells replies from messages by their form. */
        reply_array(call->reply, 2);
        reply_bulk_string(call->reply, "pong");
        reply_bulk(call->reply, call->argc == 2 ? call->argv[1] : SLICE(""));
    } else if (call->argc == 2) {
        reply_bulk(call->reply, call->argv[1]);
    } else {
        reply_simple(call->reply, "PONG");
    }
}

static void
connection_echo(struct call *call)
{
    reply_bulk(call->reply, call->argv[1]);
}

static void
connection_quit(struct call *call)
{
    reply_ok(call->reply);
    session_close(call->session, true);
}

static void
connection_reset(struct call *call)
{
    session_reset(call->session);
    call->reply->protocol = call->session->protocol;
    call->reply->is_muted = false;
    reply_simple(call->reply, "RESET");
}

static void
connection_select(struct call *call)
{
    int64_t db;
    if (!number_parse_i64(call->argv[1], &db)) {
        call_not_integer_error(call);
    } else if (db < INT32_MIN || db > INT32_MAX) {
        reply_error(call->reply,
                    "ERR value is out of range, value must between -2147483648 and 2147483647");
    } else if (db < 0 || db >= call->shard->config->databases) {
        reply_error(call->reply, "ERR DB index is out of range");
    } else {
        call->session->db = (uint16_t)db;
        reply_ok(call->reply);
    }
}

/** The options of HELLO from `index` on. False: the error has been replied. */
static bool
connection_hello_options(struct call *call, uint32_t index)
{
    while (index < call->argc) {
        struct slice option = call->argv[index];
        uint32_t left = call->argc - index - 1;
        if (slice_is_word(option, "auth") && left >= 2) {
            if (!slice_equal(call->argv[index + 1], SLICE("default"))) {
                reply_error(call->reply, CONNECTION_PASSWORD_ERROR);
                return false;
            }
            index += 3;
        } else if (slice_is_word(option, "setname") && left >= 1) {
            if (!session_name_set(call->session, call->argv[index + 1])) {
                reply_error(call->reply, CONNECTION_NAME_ERROR);
                return false;
            }
            index += 2;
        } else {
            reply_error_format(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                               (int)MIN(option.size, (size_t)INT32_MAX), option.data);
            return false;
        }
    }
    return true;
}

static void
connection_hello(struct call *call)
{
    struct session *session = call->session;
    struct reply *reply = call->reply;
    int64_t protocol = session->protocol;
    if (call->argc >= 2) {
        if (!call_integer(call, 1, &protocol,
                          "ERR Protocol version is not an integer or out of range")) {
            return;
        }
        if (protocol < 2 || protocol > 3) {
            reply_error(reply, "NOPROTO unsupported protocol version");
            return;
        }
    }
    if (!connection_hello_options(call, 2)) {
        return;
    }
    session->protocol = (uint8_t)protocol;
    reply->protocol = session->protocol;
    reply_map(reply, 7);
    reply_bulk_string(reply, "server");
    reply_bulk_string(reply, "redis");
    reply_bulk_string(reply, "version");
    reply_bulk_string(reply, TESSERA_REDIS_VERSION);
    reply_bulk_string(reply, "proto");
    reply_i64(reply, protocol);
    reply_bulk_string(reply, "id");
    reply_i64(reply, (int64_t)session->id);
    reply_bulk_string(reply, "mode");
    reply_bulk_string(reply, "standalone");
    reply_bulk_string(reply, "role");
    reply_bulk_string(reply, "master");
    reply_bulk_string(reply, "modules");
    reply_array(reply, 0);
}

static void
connection_auth(struct call *call)
{
    if (call->argc > 3) {
        call_syntax_error(call);
    } else if (call->argc == 2) {
        reply_error(call->reply,
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?");
    } else if (!slice_equal(call->argv[1], SLICE("default"))) {
        reply_error(call->reply, CONNECTION_PASSWORD_ERROR);
    } else {
        reply_ok(call->reply);
    }
}

static const struct command_argument ping_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "message", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const char *const all_shards_all_succeeded_tips[] = {"request_policy:all_shards",
                                                            "response_policy:all_succeeded", NULL};

static const struct command_argument echo_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "message"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument select_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "index"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument hello_arguments_arguments_username_password[] = {
    {.kind = ARGUMENT_STRING, .name = "username"},
    {.kind = ARGUMENT_STRING, .name = "password"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument hello_arguments_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "protover"},
    {.kind = ARGUMENT_BLOCK,
     .name = "username_password",
     .token = "AUTH",
     .is_optional = true,
     .arguments = hello_arguments_arguments_username_password},
    {.kind = ARGUMENT_STRING, .name = "clientname", .token = "SETNAME", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument hello_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "arguments",
     .is_optional = true,
     .arguments = hello_arguments_arguments},
    {.kind = ARGUMENT_END},
};

static const struct command_history hello_history[] = {
    {"6.2.0", "Without `protover` it only reports."},
    {NULL, NULL},
};

static const struct command_argument auth_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "username", .since = "6.0.0", .is_optional = true},
    {.kind = ARGUMENT_STRING, .name = "password"},
    {.kind = ARGUMENT_END},
};

static const struct command_history auth_history[] = {
    {"6.0.0", "Takes a username."},
    {NULL, NULL},
};

static const struct command connection_commands[] = {
    {
        .name = "ping",
        .run = connection_ping,
        .scope = SCOPE_LOCAL,
        .flags = CMD_FAST | CMD_WHILE_SUBSCRIBED,
        .arity = -1,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers PONG, or the message that it was given.",
        .tips = all_shards_all_succeeded_tips,
        .arguments = ping_arguments,
    },
    {
        .name = "echo",
        .run = connection_echo,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers with its argument.",
        .arguments = echo_arguments,
    },
    {
        .name = "quit",
        .run = connection_quit,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY |
                 CMD_UNQUEUED | CMD_WHILE_SUBSCRIBED,
        .arity = -1,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers OK and closes the connection.",
    },
    {
        .name = "reset",
        .run = connection_reset,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY |
                 CMD_UNQUEUED | CMD_WHILE_SUBSCRIBED,
        .is_after_all = true,
        .arity = 1,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Brings the connection back to the state that a new one has.",
    },
    {
        .name = "select",
        .run = connection_select,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
        .arity = 2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Chooses the database that later commands of this connection work on.",
        .arguments = select_arguments,
    },
    {
        .name = "hello",
        .run = connection_hello,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY,
        .arity = -1,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Chooses the protocol of this connection and tells what the server is.",
        .history = hello_history,
        .arguments = hello_arguments,
    },
    {
        .name = "auth",
        .run = connection_auth,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY,
        .arity = -2,
        .group = GROUP_CONNECTION,
        .categories = ACL_CONNECTION,
        .since = "1.0.0",
        .complexity = "O(N) with N passwords of the user",
        .summary = "Says who the client is.",
        .history = auth_history,
        .arguments = auth_arguments,
    },
};

const struct command_family connection_family = {
    .commands = connection_commands,
    .count = ARRAY_COUNT(connection_commands),
};
