/*
 * command_docs.c: COMMAND DOCS: what people read about a command, from its row.
 */
#include "shard/command/command_internal.h"

#include "shard/shard.h"

static const char *const group_names[] = {
    [GROUP_GENERIC] = "generic",
    [GROUP_STRING] = "string",
    [GROUP_LIST] = "list",
    [GROUP_SET] = "set",
    [GROUP_SORTED_SET] = "sorted-set",
    [GROUP_HASH] = "hash",
    [GROUP_PUBSUB] = "pubsub",
    [GROUP_TRANSACTIONS] = "transactions",
    [GROUP_CONNECTION] = "connection",
    [GROUP_SERVER] = "server",
    [GROUP_SCRIPTING] = "scripting",
    [GROUP_HYPERLOGLOG] = "hyperloglog",
    [GROUP_CLUSTER] = "cluster",
    [GROUP_GEO] = "geo",
    [GROUP_STREAM] = "stream",
    [GROUP_BITMAP] = "bitmap",
};

static const char *const argument_kind_names[] = {
    [ARGUMENT_STRING] = "string",         [ARGUMENT_INTEGER] = "integer",
    [ARGUMENT_DOUBLE] = "double",         [ARGUMENT_KEY] = "key",
    [ARGUMENT_PATTERN] = "pattern",       [ARGUMENT_UNIX_TIME] = "unix-time",
    [ARGUMENT_PURE_TOKEN] = "pure-token", [ARGUMENT_ONEOF] = "oneof",
    [ARGUMENT_BLOCK] = "block",
};

#define ARGUMENT_OPTIONAL (1u << 0)
#define ARGUMENT_MULTIPLE (1u << 1)
#define ARGUMENT_MULTIPLE_TOKEN (1u << 2)

static const struct bit_name argument_flag_names[] = {
    {"optional", ARGUMENT_OPTIONAL},
    {"multiple", ARGUMENT_MULTIPLE},
    {"multiple_token", ARGUMENT_MULTIPLE_TOKEN},
    {NULL, 0},
};

static uint32_t
argument_flags(const struct command_argument *argument)
{
    return (argument->is_optional ? ARGUMENT_OPTIONAL : 0) |
           (argument->is_multiple ? ARGUMENT_MULTIPLE : 0) |
           (argument->is_multiple_token ? ARGUMENT_MULTIPLE_TOKEN : 0);
}

/* Leaves a field out that the row does not have. Returns 1 when there is one. */
static uint64_t
reply_text(struct reply *reply, const char *name, const char *text)
{
    if (text == NULL) {
        return 0;
    }
    reply_bulk_string(reply, name);
    reply_bulk_string(reply, text);
    return 1;
}

/* How deep arguments are nested: the rows' doing, and they have no more than this. */
#define ARGUMENT_DEPTH_MAX 8

static void
reply_arguments(struct reply *reply, const struct command_argument *arguments, uint32_t depth)
{
    ASSERT(depth < ARGUMENT_DEPTH_MAX);
    uint64_t count = 0;
    while (arguments[count].kind != ARGUMENT_END) {
        count++;
    }
    reply_array(reply, count);
    for (uint64_t i = 0; i < count; i++) {
        const struct command_argument *argument = &arguments[i];
        uint32_t flags = argument_flags(argument);
        struct reply_later later = reply_later(reply);
        uint64_t field_count = reply_text(reply, "name", argument->name);
        field_count += reply_text(reply, "type", argument_kind_names[argument->kind]);
        bool has_keys = argument->kind == ARGUMENT_KEY ||
                        (argument->kind == ARGUMENT_PATTERN && argument->key_spec_index > 0);
        if (has_keys && argument->key_spec_index >= 0) {
            reply_bulk_string(reply, "key_spec_index");
            reply_i64(reply, argument->key_spec_index);
            field_count++;
        }
        field_count += reply_text(reply, "token", argument->token);
        field_count += reply_text(reply, "since", argument->since);
        if (flags != 0) {
            reply_bulk_string(reply, "flags");
            command_reply_bits(reply, argument_flag_names, flags, "");
            field_count++;
        }
        if (argument->arguments != NULL) {
            reply_bulk_string(reply, "arguments");
            reply_arguments(reply, argument->arguments, depth + 1);
            field_count++;
        }
        reply_later_map(reply, later, field_count);
    }
}

static void
reply_history(struct reply *reply, const struct command_history *history)
{
    uint64_t count = 0;
    while (history[count].since != NULL) {
        count++;
    }
    reply_set(reply, count);
    for (uint64_t i = 0; i < count; i++) {
        reply_array(reply, 2);
        reply_bulk_string(reply, history[i].since);
        reply_bulk_string(reply, history[i].change);
    }
}

static void reply_docs(struct reply *reply, const struct command *command);

/* The fields of one command. */
static void
reply_row(struct reply *reply, const struct command *command)
{
    struct reply_later later = reply_later(reply);
    uint64_t count = reply_text(reply, "summary", command->summary);
    count += reply_text(reply, "since", command->since);
    count += reply_text(reply, "group", group_names[command->group]);
    count += reply_text(reply, "complexity", command->complexity);
    if (command->deprecated_since != NULL || command->is_system) {
        reply_bulk_string(reply, "doc_flags");
        reply_set(reply, 1);
        reply_simple(reply, command->is_system ? "syscmd" : "deprecated");
        count++;
    }
    count += reply_text(reply, "deprecated_since", command->deprecated_since);
    count += reply_text(reply, "replaced_by", command->replaced_by);
    if (command->history != NULL) {
        reply_bulk_string(reply, "history");
        reply_history(reply, command->history);
        count++;
    }
    if (command->arguments != NULL) {
        reply_bulk_string(reply, "arguments");
        reply_arguments(reply, command->arguments, 0);
        count++;
    }
    if (command->subcommand_count > 0 && !command->subcommands[0].is_internal) {
        reply_bulk_string(reply, "subcommands");
        reply_map(reply, command->subcommand_count);
        for (uint32_t i = 0; i < command->subcommand_count; i++) {
            reply_docs(reply, &command->subcommands[i]);
        }
        count++;
    }
    reply_later_map(reply, later, count);
}

/* Its name and its fields. Subcommands have no subcommands, so this calls itself once at most. */
static void
reply_docs(struct reply *reply, const struct command *command)
{
    char name[COMMAND_FULL_NAME_SIZE];
    reply_bulk(reply, command_full_name(command, name));
    reply_row(reply, command);
}

void
command_docs(struct call *call)
{
    const struct command_table *table = call->shard->node->commands;
    if (call->argc == 2) {
        uint32_t count = command_count(table);
        reply_map(call->reply, count);
        for (uint32_t i = 0; i < count; i++) {
            reply_docs(call->reply, command_at(table, i));
        }
        return;
    }
    /* What is not known is left out. */
    struct reply_later later = reply_later(call->reply);
    uint64_t count = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_lookup(table, call->argv[i]);
        if (command != NULL) {
            reply_docs(call->reply, command);
            count++;
        }
    }
    reply_later_map(call->reply, later, count);
}
