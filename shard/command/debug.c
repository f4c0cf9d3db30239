/*
 * debug.c: DEBUG: what tests and the curious need.
 *
 * All of it is shut unless enable-debug-command opens it, to everybody or to clients of this
 * machine; that is checked before anything else. Wrong numbers of arguments get DEBUG's own error,
 * hence rows that take any number.
 *
 * SLEEP stops all cores at the same time, because its users want to see a server that answers
 * nobody. Each core sleeps in its own part, so they stop together but for the way of the mail. The
 * mails' way back makes the reply wait for the last of them.
 */
#include "core/glob.h"
#include "core/heap.h"
#include "core/process.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/session.h"
#include "shard/shard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/** Longest number that SLEEP is asked for; what is behind it does not matter. */
#define DEBUG_SECONDS_SIZE_MAX 64
/** A day: longer is a mistake, and must fit in microseconds. */
#define DEBUG_SECONDS_MAX 86400.0

static void
debug_refuse(struct call *call)
{
    reply_error(call->reply,
                "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                "\"local\", you can run it from a local connection, otherwise you need to set this "
                "option in the configuration file, and then restart the server.");
}

static bool
debug_check(struct call *call)
{
    enum config_protected_access access =
        (enum config_protected_access)call->shard->config->enable_debug_command;
    bool is_local = call->session != NULL && session_is_local(call->session);
    if (access == CONFIG_ACCESS_YES || (access == CONFIG_ACCESS_LOCAL && is_local)) {
        return true;
    }
    debug_refuse(call);
    return false;
}

/** DEBUG's answer to what it does not know, and to the wrong number of arguments. */
static void
debug_unknown(struct call *call)
{
    struct slice name = call->argv[1];
    reply_error_format(call->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG "
                       "HELP.",
                       (int)MIN(name.size, (size_t)128), name.data);
}

static bool
debug_check_argc(struct call *call, uint32_t argc)
{
    if (!debug_check(call)) {
        return false;
    }
    if (call->argc != argc) {
        debug_unknown(call);
        return false;
    }
    return true;
}

/** A number at the front of the text, else 0: as lenient as redis-server. */
static double
debug_seconds(struct slice text)
{
    char copy[DEBUG_SECONDS_SIZE_MAX + 1];
    size_t size = MIN(text.size, (size_t)DEBUG_SECONDS_SIZE_MAX);
    if (size > 0) {
        memcpy(copy, text.data, size);
    }
    copy[size] = '\0';
    double seconds = strtod(copy, NULL);
    return isnan(seconds) || seconds < 0 ? 0 : MIN(seconds, DEBUG_SECONDS_MAX);
}

static bool
debug_sleep_check(struct call *call)
{
    return debug_check_argc(call, 3);
}

static void
debug_sleep_part(struct part *part)
{
    process_sleep_us((uint64_t)(debug_seconds(part->argv[2]) * 1e6));
}

static void
debug_sleep(struct call *call)
{
    reply_ok(call->reply);
}

static bool
debug_set_active_expire_check(struct call *call)
{
    return debug_check_argc(call, 3);
}

static void
debug_set_active_expire_part(struct part *part)
{
    char first = part->argv[2].size > 0 ? part->argv[2].data[0] : '0';
    part->shard->is_expiry_paused = first < '1' || first > '9';
}

static void
debug_set_active_expire(struct call *call)
{
    reply_ok(call->reply);
}

/** Bytes of an RDB length. */
static uint64_t
debug_length_size(uint64_t length)
{
    return length < 64 ? 1 : length < 16384 ? 2 : length <= UINT32_MAX ? 5 : 9;
}

/** Bytes of a string in an RDB file that compresses nothing: numbers are kept as such. */
static uint64_t
debug_serialized_size(const struct value *value)
{
    if (value->encoding == ENCODING_INT) {
        int64_t integer = value->integer;
        if (integer >= INT8_MIN && integer <= INT8_MAX) {
            return 2;
        }
        if (integer >= INT16_MIN && integer <= INT16_MAX) {
            return 3;
        }
        if (integer >= INT32_MIN && integer <= INT32_MAX) {
            return 5;
        }
        char digits[24];
        struct view view = {.value = *value};
        return 1 + view_string(&view, digits).size;
    }
    return debug_length_size(value->bytes.size) + value->bytes.size;
}

static void
debug_object(struct call *call)
{
    /* The owner does not see the client; "local" has been settled by the check at its core. */
    if (call->shard->config->enable_debug_command == CONFIG_ACCESS_NO) {
        debug_refuse(call);
        return;
    }
    if (call->argc != 3) {
        debug_unknown(call);
        return;
    }
    const struct view *view = call->views[0];
    if (!view_exists(view)) {
        reply_error(call->reply, "ERR no such key");
        return;
    }
    uint64_t size = view->value.is_object ? value_object_size(&view->value)
                                          : debug_serialized_size(&view->value);
    uint32_t now = (uint32_t)(call->now_ms / 1000) & 0xffffff;
    char text[256];
    int text_size = snprintf(
        text, sizeof(text),
        "Value at:%p refcount:1 encoding:%s serializedlength:%llu lru:%u "
        "lru_seconds_idle:%u",
        (const void *)view->entry, value_encoding_name((enum value_encoding)view->value.encoding),
        (unsigned long long)size, view->access, (now - view->access) & 0xffffff);
    ASSERT(text_size > 0 && (size_t)text_size < sizeof(text));
    reply_simple(call->reply, text);
}

static void
debug_jmap(struct call *call)
{
    if (debug_check(call)) {
        debug_unknown(call);
    }
}

/** STRINGMATCH-LEN <pattern> <text> */
static void
debug_stringmatch_len(struct call *call)
{
    if (debug_check_argc(call, 4)) {
        reply_i64(call->reply, glob_match(call->argv[2], call->argv[3], false));
    }
}

static void
debug_change_repl_id(struct call *call)
{
    if (debug_check_argc(call, 2)) {
        reply_ok(call->reply);
    }
}

static void
debug_other(struct call *call)
{
    if (debug_check(call)) {
        debug_unknown(call);
    }
}

static void
debug_help(struct call *call)
{
    static const char *const lines[] = {
        "CHANGE-REPL-ID",
        "    Nothing, as long as there is no replication.",
        "OBJECT <key>",
        "    How the value of a key is kept. The length is that of an uncompressed dump.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether keys are removed at their deadline (1) or when they are next asked for (0).",
        "SLEEP <seconds>",
        "    Stop all cores; decimals are fine.",
        "STRINGMATCH-LEN <pattern> <text>",
        "    1 if the pattern matches the text, else 0.",
        NULL,
    };
    if (debug_check_argc(call, 2)) {
        reply_help(call->reply, "DEBUG", lines);
    }
}

static const struct command debug_subcommands[] = {
    {
        .name = "change-repl-id",
        .parent = "debug",
        .run = debug_change_repl_id,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Does nothing as long as there is no replication.",
    },
    {
        .name = "help",
        .parent = "debug",
        .run = debug_help,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Lists what DEBUG can do.",
    },
    {
        .name = "jmap",
        .parent = "debug",
        .run = debug_jmap,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Answers that there is no such thing.",
    },
    {
        .name = "object",
        .parent = "debug",
        .run = debug_object,
        .check = debug_check,
        .scope = SCOPE_KEYS,
        .route_index = 2,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_TOUCH,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Tells how the value of a key is kept.",
    },
    {
        .name = "set-active-expire",
        .parent = "debug",
        .run = debug_set_active_expire,
        .part = debug_set_active_expire_part,
        .scope = SCOPE_ALL,
        .check = debug_set_active_expire_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Turns the removal of keys at their deadline on or off.",
    },
    {
        .name = "sleep",
        .parent = "debug",
        .run = debug_sleep,
        .part = debug_sleep_part,
        .scope = SCOPE_ALL,
        .check = debug_sleep_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Stops all cores for some seconds.",
    },
    {
        .name = "stringmatch-len",
        .parent = "debug",
        .run = debug_stringmatch_len,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .summary = "Tells whether a pattern matches a text.",
    },
};

static const struct command debug_commands[] = {
    {
        .name = "debug",
        .run = debug_other,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds commands for tests and for looking inside.",
        .subcommands = debug_subcommands,
        .subcommand_count = ARRAY_COUNT(debug_subcommands),
    },
};

const struct command_family debug_family = {
    .commands = debug_commands,
    .count = ARRAY_COUNT(debug_commands),
};
