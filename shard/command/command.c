/*
 * command.c: COMMAND: the table of commands as clients see it.
 *
 * Everything is read from the rows; INFO and DOCS, the long ones, have files of their own.
 */
#include "shard/command/command_internal.h"

#include "core/glob.h"
#include "core/heap.h"
#include "shard/command/families.h"
#include "shard/shard.h"

/** Keys of a command line that need no memory of their own. */
#define KEYS_ON_STACK 64

static void
command_all(struct call *call)
{
    if (call->argc > 1) {
        call_unknown_subcommand_error(call);
        return;
    }
    command_info_all(call);
}

static void
command_count_reply(struct call *call)
{
    reply_i64(call->reply, command_count(call->shard->node->commands));
}

/* ---- LIST ---- */

struct list_filter {
    enum { LIST_ALL, LIST_NONE, LIST_CATEGORY, LIST_PATTERN } kind;
    uint32_t category;
    struct slice pattern;
};

/* Replies the error and returns false. */
static bool
list_parse(struct call *call, struct list_filter *filter)
{
    *filter = (struct list_filter){.kind = LIST_ALL};
    if (call->argc == 2) {
        return true;
    }
    if (call->argc != 5 || !slice_is_word(call->argv[2], "filterby")) {
        call_syntax_error(call);
        return false;
    }
    if (slice_is_word(call->argv[3], "module")) {
        /* There are no modules. */
        filter->kind = LIST_NONE;
    } else if (slice_is_word(call->argv[3], "aclcat")) {
        filter->kind = LIST_NONE;
        for (const struct bit_name *name = command_category_names; name->name != NULL; name++) {
            if (slice_is_word(call->argv[4], name->name)) {
                filter->kind = LIST_CATEGORY;
                filter->category = name->bit;
            }
        }
    } else if (slice_is_word(call->argv[3], "pattern")) {
        filter->kind = LIST_PATTERN;
        filter->pattern = call->argv[4];
    } else {
        call_syntax_error(call);
        return false;
    }
    return true;
}

static bool
list_passes(const struct list_filter *filter, const struct command *command, struct slice name)
{
    switch (filter->kind) {
    case LIST_ALL:
        return true;
    case LIST_NONE:
        return false;
    case LIST_CATEGORY:
        return (command_categories(command) & filter->category) != 0;
    case LIST_PATTERN:
        return glob_match(filter->pattern, name, true);
    }
    return false;
}

static void
command_list(struct call *call)
{
    struct list_filter filter;
    if (!list_parse(call, &filter)) {
        return;
    }
    const struct command_table *table = call->shard->node->commands;
    struct reply_later later = reply_later(call->reply);
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_row_count(table); i++) {
        const struct command *command = command_at(table, i);
        char text[COMMAND_FULL_NAME_SIZE];
        struct slice name = command_full_name(command, text);
        if (list_passes(&filter, command, name)) {
            reply_bulk(call->reply, name);
            count++;
        }
    }
    reply_later_array(call->reply, later, count);
}

/* ---- GETKEYS ---- */

static bool
command_has_keys(const struct command *command)
{
    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        if ((command->key_specs[i].flags & KEY_NOT_KEY) == 0) {
            return true;
        }
    }
    return false;
}

/* The command that the arguments from the third on are, or NULL with the error replied. */
static const struct command *
getkeys_command(struct call *call)
{
    const struct slice *argv = call->argv + 2;
    uint32_t argc = call->argc - 2;
    const struct command *command = command_resolve(call->shard->node->commands, argv, argc);
    if (command == NULL || (command->subcommand_count > 0 && argc > 1)) {
        reply_error(call->reply, "ERR Invalid command specified");
        return NULL;
    }
    if (!command_has_keys(command)) {
        reply_error(call->reply, "ERR The command has no key arguments");
        return NULL;
    }
    if (!command_arity_ok(command, argc)) {
        reply_error(call->reply, "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    return command;
}

static void
getkeys_reply(struct call *call, const struct command_key *keys, int64_t count, bool has_flags)
{
    reply_array(call->reply, (uint64_t)count);
    for (int64_t i = 0; i < count; i++) {
        if (has_flags) {
            reply_array(call->reply, 2);
        }
        reply_bulk(call->reply, call->argv[2 + keys[i].index]);
        if (has_flags) {
            command_reply_bits(call->reply, command_key_flag_names, keys[i].flags, "");
        }
    }
}

static void
getkeys_run(struct call *call, bool has_flags)
{
    const struct command *command = getkeys_command(call);
    if (command == NULL) {
        return;
    }
    const struct slice *argv = call->argv + 2;
    uint32_t argc = call->argc - 2;
    struct command_key on_stack[KEYS_ON_STACK];
    struct command_key *keys = on_stack;
    int64_t count = command_keys(command, argv, argc, keys, KEYS_ON_STACK);
    if (count <= 0 && (command->flags & CMD_NO_MANDATORY_KEYS) == 0) {
        reply_error(call->reply, "ERR Invalid arguments specified for command");
        return;
    }
    if (count > KEYS_ON_STACK) {
        keys = heap_alloc((size_t)count * sizeof(*keys));
        count = command_keys(command, argv, argc, keys, (uint32_t)count);
    }
    getkeys_reply(call, keys, MAX(count, 0), has_flags);
    if (keys != on_stack) {
        heap_free(keys);
    }
}

static void
command_getkeys(struct call *call)
{
    getkeys_run(call, false);
}

static void
command_getkeysandflags(struct call *call)
{
    getkeys_run(call, true);
}

static void
command_help(struct call *call)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    What INFO tells about each command.",
        "COUNT",
        "    How many commands there are.",
        "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
        "    The names of all commands, or of those that pass.",
        "INFO [<command> ...]",
        "    Arity, flags, keys and categories of these commands, or of all.",
        "DOCS [<command> ...]",
        "    What these commands, or all, are for and what arguments they take.",
        "GETKEYS <full-command>",
        "    The keys in a command line.",
        "GETKEYSANDFLAGS <full-command>",
        "    The keys in a command line, and what is done with each.",
        NULL,
    };
    reply_help(call->reply, "COMMAND", lines);
}

/* ---- rows ---- */

static const char *const order_tips[] = {"nondeterministic_output_order", NULL};
static const struct command_argument names_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "command-name", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};
static const struct command_argument filter_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "module-name", .token = "MODULE"},
    {.kind = ARGUMENT_STRING, .name = "category", .token = "ACLCAT"},
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .token = "PATTERN"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument list_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "filterby",
     .token = "FILTERBY",
     .is_optional = true,
     .arguments = filter_arguments},
    {.kind = ARGUMENT_END},
};
static const struct command_history info_history[] = {
    {"7.0.0", "Without a name it tells about all commands."},
    {NULL, NULL},
};

#define COMMAND_ROW(name_, run_, arity_, since_, complexity_, summary_)                            \
    .name = (name_), .parent = "command", .run = (run_), .flags = CMD_LOADING | CMD_STALE,         \
    .arity = (arity_), .scope = SCOPE_LOCAL, .group = GROUP_SERVER, .categories = ACL_CONNECTION,  \
    .since = (since_), .complexity = (complexity_), .summary = (summary_)

static const struct command command_subcommands[] = {
    {COMMAND_ROW("count", command_count_reply, 2, "2.8.13", "O(1)", "Counts the commands.")},
    {COMMAND_ROW("list", command_list, -2, "7.0.0", "O(N) with N commands in all",
                 "Names all commands, or those that pass a filter."),
     .tips = order_tips, .arguments = list_arguments},
    {COMMAND_ROW("info", command_info, -2, "2.8.13", "O(N) with N commands to tell about",
                 "Tells arity, flags, keys and categories of commands."),
     .history = info_history, .tips = order_tips, .arguments = names_arguments},
    {COMMAND_ROW("docs", command_docs, -2, "7.0.0", "O(N) with N commands to tell about",
                 "Tells what commands are for and what arguments they take."),
     .tips = order_tips, .arguments = names_arguments},
    {COMMAND_ROW("getkeys", command_getkeys, -4, "2.8.13", "O(N) with N arguments",
                 "Finds the keys in a command line.")},
    {COMMAND_ROW("getkeysandflags", command_getkeysandflags, -4, "7.0.0", "O(N) with N arguments",
                 "Finds the keys in a command line, and what is done with each.")},
    {COMMAND_ROW("help", command_help, 2, "5.0.0", "O(1)", "Lists what COMMAND can be asked.")},
};

static const struct command command_commands[] = {
    {
        .name = "command",
        .run = command_all,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = -1,
        .scope = SCOPE_LOCAL,
        .group = GROUP_SERVER,
        .categories = ACL_CONNECTION,
        .since = "2.8.13",
        .complexity = "O(N) with N commands in all",
        .summary = "Tells about all commands.",
        .tips = order_tips,
        .subcommands = command_subcommands,
        .subcommand_count = ARRAY_COUNT(command_subcommands),
    },
};

const struct command_family command_family = {
    .commands = command_commands,
    .count = ARRAY_COUNT(command_commands),
};
