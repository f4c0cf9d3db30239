/*
 * memory.c: what a key costs: MEMORY USAGE.
 *
 * Answered from the view, so that it is the same for the key's owner and for one who has borrowed
 * it: the block of the entry, the value where it lies outside, and the key's share of the slot's
 * table.
 */
#include "shard/call.h"
#include "shard/command/families.h"

#include "shard/shard.h"

/** A pointer in a bucket that is 0.8 full. */
#define TABLE_SHARE_SIZE 10

static size_t
key_memory_size(const struct view *view)
{
    const struct value *value = &view->value;
    size_t size = sizeof(struct entry) + view->key.size;
    if (view->key.size >= ENTRY_KEY_SIZE_LONG) {
        size += sizeof(uint32_t);
    }
    if (view->deadline_ms != VIEW_NO_DEADLINE) {
        size += sizeof(struct wheel_node);
    }
    if (value->is_object) {
        return memory_class_size(size + sizeof(void *)) + value_object_size(value) +
               TABLE_SHARE_SIZE;
    }
    if (value->encoding == ENCODING_INT) {
        return memory_class_size(size + sizeof(int64_t)) + TABLE_SHARE_SIZE;
    }
    if (value->bytes.size <= ENTRY_INLINE_SIZE_MAX) {
        return memory_class_size(size + value->bytes.size) + TABLE_SHARE_SIZE;
    }
    size_t outside = value->raw != NULL ? raw_size(value->raw)
                                        : memory_class_size(sizeof(struct raw) + value->bytes.size);
    return memory_class_size(size + sizeof(void *)) + outside + TABLE_SHARE_SIZE;
}

/* SAMPLES is for collections that have to be estimated; all sizes here are known. */
static void
memory_usage(struct call *call)
{
    for (uint32_t i = 3; i < call->argc; i += 2) {
        int64_t sample_count;
        if (!slice_is_word(call->argv[i], "samples") || i + 1 == call->argc) {
            call_syntax_error(call);
            return;
        }
        if (!call_integer(call, i + 1, &sample_count, NULL)) {
            return;
        }
        if (sample_count < 0) {
            call_syntax_error(call);
            return;
        }
    }
    if (!view_exists(call->views[0])) {
        reply_null(call->reply);
        return;
    }
    reply_i64(call->reply, (int64_t)key_memory_size(call->views[0]));
}

static void
memory_help(struct call *call)
{
    static const char *const lines[] = {
        "USAGE <key> [SAMPLES <count>]",
        "    Bytes that a key and its value take. They are counted exactly; SAMPLES is accepted.",
        NULL,
    };
    reply_help(call->reply, "MEMORY", lines);
}

static const struct command_argument usage_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "SAMPLES", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command memory_subcommands[] = {
    {
        .name = "usage",
        .parent = "memory",
        .run = memory_usage,
        .flags = CMD_READONLY | CMD_NO_TOUCH | CMD_NO_COUNT,
        .arity = -3,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(2, KEY_RO)},
        .key_spec_count = 1,
        .group = GROUP_SERVER,
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Tells how many bytes a key and its value take.",
        .arguments = usage_arguments,
    },
    {
        .name = "help",
        .parent = "memory",
        .run = memory_help,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_SERVER,
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Lists what MEMORY can be asked.",
    },
};

static const struct command memory_commands[] = {
    {
        .name = "memory",
        .run = call_unknown_subcommand_error,
        .arity = -2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_SERVER,
        .since = "4.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "Tells what takes memory.",
        .subcommands = memory_subcommands,
        .subcommand_count = ARRAY_COUNT(memory_subcommands),
    },
};

const struct command_family memory_family = {
    .commands = memory_commands,
    .count = ARRAY_COUNT(memory_commands),
};
