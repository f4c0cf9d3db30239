/*
 * memory.c: MEMORY, and what a key costs: MEMORY USAGE. What asks all shards is memory_report.c's.
 *
 * USAGE is answered from the view, so that it is the same for the key's owner and for one who has
 * borrowed it: the block of the entry, the value where it lies outside, and the key's share of the
 * slot's table.
 */
#include "shard/command/families.h"
#include "shard/command/memory_internal.h"
#include "shard/shard.h"

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
               MEMORY_TABLE_SHARE_SIZE;
    }
    if (value->encoding == ENCODING_INT) {
        return memory_class_size(size + sizeof(int64_t)) + MEMORY_TABLE_SHARE_SIZE;
    }
    if (value->bytes.size <= ENTRY_INLINE_SIZE_MAX) {
        return memory_class_size(size + value->bytes.size) + MEMORY_TABLE_SHARE_SIZE;
    }
    size_t outside = value->raw != NULL ? raw_size(value->raw)
                                        : memory_class_size(sizeof(struct raw) + value->bytes.size);
    return memory_class_size(size + sizeof(void *)) + outside + MEMORY_TABLE_SHARE_SIZE;
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
        "DOCTOR",
        "    What is wrong with the server's memory, if anything.",
        "MALLOC-STATS",
        "    What the allocator and each core have.",
        "PURGE",
        "    Let all cores give free pages back to the system.",
        "STATS",
        "    Where the server's memory goes.",
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

static const char *const report_tips[] = {"nondeterministic_output", "request_policy:all_shards",
                                          "response_policy:special", NULL};
static const char *const purge_tips[] = {"request_policy:all_shards",
                                         "response_policy:all_succeeded", NULL};

#define MEMORY_SERVER_ROW(row_name, row_run, row_part, row_tips, row_complexity, row_summary)      \
    .name = (row_name), .parent = "memory", .run = (row_run), .part = (row_part), .arity = 2,      \
    .scope = SCOPE_ALL, .group = GROUP_SERVER, .since = "4.0.0", .complexity = (row_complexity),   \
    .summary = (row_summary), .tips = (row_tips)

static const struct command memory_subcommands[] = {
    {MEMORY_SERVER_ROW("doctor", memory_doctor, memory_report_part, report_tips, "O(1)",
                       "Tells what is wrong with the server's memory, if anything.")},
    {MEMORY_SERVER_ROW("malloc-stats", memory_malloc_stats, memory_report_part, report_tips,
                       "O(N) with N connections", "Tells what the allocator and each core have.")},
    {MEMORY_SERVER_ROW("purge", memory_purge, memory_purge_part, purge_tips,
                       "Depends on how much memory is free.",
                       "Lets all cores give free pages back to the system.")},
    {MEMORY_SERVER_ROW("stats", memory_stats, memory_report_part, report_tips,
                       "O(N) with N connections", "Tells where the server's memory goes.")},
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
