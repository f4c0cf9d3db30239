/*
 * object.c: how a key is kept: OBJECT.
 *
 * Reference counts exist for clients' sake only. A number below 10,000 is answered as redis-server
 * does when it shares one object among all keys; nothing is shared here, for an integer lies in its
 * entry.
 */
#include "shard/call.h"
#include "shard/command/families.h"

#include "core/config.h"
#include "shard/shard.h"

/** What redis-server answers for an object that all keys share, and how many numbers those are. */
#define REFCOUNT_SHARED 2147483647
#define REFCOUNT_SHARED_BELOW 10000

/* Replies null where the key is absent, and returns false. A lookup that counts, but a miss is no
 * event. */
static bool
object_look(struct call *call)
{
    if (view_exists(call->views[0])) {
        call->shard->counters.hit_count++;
        return true;
    }
    call->shard->counters.miss_count++;
    reply_null(call->reply);
    return false;
}

static void
object_encoding(struct call *call)
{
    if (object_look(call)) {
        const struct value *value = &call->views[0]->value;
        reply_bulk_string(call->reply, value_encoding_name((enum value_encoding)value->encoding));
    }
}

static void
object_refcount(struct call *call)
{
    if (!object_look(call)) {
        return;
    }
    const struct value *value = &call->views[0]->value;
    bool is_shared = value->type == VALUE_STRING && value->encoding == ENCODING_INT &&
                     value->integer >= 0 && value->integer < REFCOUNT_SHARED_BELOW;
    reply_i64(call->reply, is_shared ? REFCOUNT_SHARED : 1);
}

static void
object_freq(struct call *call)
{
    if (!object_look(call)) {
        return;
    }
    if (!view_is_lfu(call->shard)) {
        reply_error(call->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
        return;
    }
    reply_i64(call->reply, view_frequency(call->shard, call->views[0]->access));
}

static void
object_idletime(struct call *call)
{
    if (!object_look(call)) {
        return;
    }
    if (view_is_lfu(call->shard)) {
        reply_error(call->reply,
                    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note "
                    "that when switching between policies at runtime LRU and LFU data will take "
                    "some time to adjust.");
        return;
    }
    reply_i64(call->reply, (int64_t)view_idle_s(call->shard, call->views[0]->access));
}

static void
object_help(struct call *call)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    The name of the form in which the value is kept.",
        "FREQ <key>",
        "    How often the key is used: a logarithmic counter, kept under an LFU policy.",
        "IDLETIME <key>",
        "    Seconds since the key was last used, known under all other policies.",
        "REFCOUNT <key>",
        "    How many refer to the value.",
        NULL,
    };
    reply_help(call->reply, "OBJECT", lines);
}

static const char *const object_tips[] = {"nondeterministic_output", NULL};
static const struct command_argument one_key_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_END},
};

#define OBJECT_ROW(name_, since_, summary_)                                                        \
    .name = #name_, .parent = "object", .run = object_##name_,                                     \
    .flags = CMD_READONLY | CMD_NO_TOUCH | CMD_NO_COUNT, .arity = 3, .scope = SCOPE_KEYS,          \
    .key_specs = {KEYS_AT(2, KEY_RO)}, .key_spec_count = 1, .group = GROUP_GENERIC,                \
    .categories = ACL_KEYSPACE, .since = since_, .complexity = "O(1)", .summary = summary_,        \
    .tips = object_tips, .arguments = one_key_arguments

static const struct command object_subcommands[] = {
    {OBJECT_ROW(encoding, "2.2.3", "Tells in which form a value is kept.")},
    {OBJECT_ROW(freq, "4.0.0", "Tells how often a key is used.")},
    {OBJECT_ROW(idletime, "2.2.3", "Tells for how long a key has not been used.")},
    {OBJECT_ROW(refcount, "2.2.3", "Tells how many refer to a value.")},
    {
        .name = "help",
        .parent = "object",
        .run = object_help,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Lists what OBJECT can be asked.",
    },
};

static const struct command object_commands[] = {
    {
        .name = "object",
        .run = call_unknown_subcommand_error,
        .arity = -2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_GENERIC,
        .since = "2.2.3",
        .complexity = "Depends on subcommand.",
        .summary = "Tells how a key is kept.",
        .subcommands = object_subcommands,
        .subcommand_count = ARRAY_COUNT(object_subcommands),
    },
};

const struct command_family object_family = {
    .commands = object_commands,
    .count = ARRAY_COUNT(object_commands),
};
