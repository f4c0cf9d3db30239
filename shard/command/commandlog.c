/*
 * commandlog.c: SLOWLOG and COMMANDLOG: show, count and clear the logs of shard/commandlog.h.
 *
 * SLOWLOG is COMMANDLOG's log `slow` under its old name. Each core writes its newest entries as
 * RESP and notes their numbers and sizes; the coordinator takes them over piece by piece, always
 * the highest number next, without looking into them:
 *
 *     part of core 0   [id 9 | id 4 | id 3]  ─┐
 *     part of core 1   [id 8 | id 7]         ─┴▶  9, 8, 7, 4, 3
 */
#include "shard/commandlog.h"

#include "core/heap.h"
#include "core/number.h"
#include "shard/command/families.h"

#define LOG_COUNT_DEFAULT 10

/** What one core has to show: entries' numbers and bytes, the newest first. part->data. */
struct log_piece {
    uint64_t id;
    uint64_t size;
};

/** What is asked for: SLOWLOG GET [count], COMMANDLOG GET count type, ... */
struct log_query {
    enum commandlog_type type;
    uint64_t count; /* UINT64_MAX: all */
};

/** Which log argv[index] names. False: none. */
static bool
log_type_read(struct slice word, enum commandlog_type *type)
{
    static const char *const words[] = {
        [COMMANDLOG_SLOW] = "slow",
        [COMMANDLOG_LARGE_REQUEST] = "large-request",
        [COMMANDLOG_LARGE_REPLY] = "large-reply",
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (slice_is_word(word, words[i])) {
            *type = (enum commandlog_type)i;
            return true;
        }
    }
    return false;
}

static bool
is_slowlog(const struct command *command)
{
    return strcmp(command->parent, "slowlog") == 0;
}

/** The query of a command line whose arity fits. NULL, or the error. */
static const char *
log_query_read(const struct command *command, const struct slice *argv, uint32_t argc,
               struct log_query *query)
{
    *query = (struct log_query){.type = COMMANDLOG_SLOW, .count = LOG_COUNT_DEFAULT};
    bool is_get = strcmp(command->name, "get") == 0;
    if (is_get && argc > 2) {
        int64_t count;
        if (!number_parse_i64(argv[2], &count) || count < -1) {
            return "ERR count should be greater than or equal to -1";
        }
        query->count = count < 0 ? UINT64_MAX : (uint64_t)count;
    }
    if (!is_slowlog(command) && !log_type_read(argv[argc - 1], &query->type)) {
        return "ERR type should be one of the following: slow, large-request, large-reply";
    }
    return NULL;
}

static bool
log_check(struct call *call)
{
    if (is_slowlog(call->command) && call->argc > 3) {
        reply_error_format(call->reply,
                           "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                           "SLOWLOG HELP.",
                           (int)MIN(call->argv[1].size, (size_t)128), call->argv[1].data);
        return false;
    }
    struct log_query query;
    const char *error = log_query_read(call->command, call->argv, call->argc, &query);
    if (error != NULL) {
        reply_error(call->reply, error);
    }
    return error == NULL;
}

static struct log_query
log_query_of_part(const struct part *part)
{
    struct log_query query;
    const char *error = log_query_read(part->command, part->argv, part->argc, &query);
    ASSERT(error == NULL);
    return query;
}

/* ---- GET ---- */

static void
log_entry_write(struct part *part, const struct commandlog_entry *entry)
{
    struct reply *reply = &part->reply;
    reply_array(reply, 6);
    reply_i64(reply, (int64_t)entry->id);
    reply_i64(reply, entry->unix_s);
    reply_i64(reply, (int64_t)MIN(entry->value, (uint64_t)INT64_MAX));
    reply_raw(reply, slice_of(entry->arguments, entry->arguments_size));
    reply_raw(reply, slice_of(entry->client, entry->client_size));
}

static void
log_get_part(struct part *part)
{
    struct log_query query = log_query_of_part(part);
    uint64_t count = MIN(commandlog_trim(part->shard, query.type), query.count);
    struct log_piece *pieces = heap_alloc(MAX(count, UINT64_C(1)) * sizeof(*pieces));
    const struct commandlog_entry *entry = part->shard->commandlog.lists[query.type].newest;
    for (uint64_t i = 0; i < count; i++, entry = entry->older) {
        uint64_t size_before = part->bytes.byte_count;
        log_entry_write(part, entry);
        pieces[i] = (struct log_piece){
            .id = entry->id,
            .size = part->bytes.byte_count - size_before,
        };
    }
    part->number = (int64_t)count;
    part->data = pieces;
}

/** The part whose next piece is the newest of all; there is one. part->cursor counts those taken.
 */
static struct part *
log_newest(const struct call *call)
{
    struct part *newest = NULL;
    uint64_t newest_id = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct part *part = &call->parts[i];
        const struct log_piece *pieces = part->data;
        if (part->cursor < (uint64_t)part->number &&
            (newest == NULL || pieces[part->cursor].id > newest_id)) {
            newest = part;
            newest_id = pieces[part->cursor].id;
        }
    }
    ASSERT(newest != NULL);
    return newest;
}

static void
log_get(struct call *call)
{
    struct log_query query;
    const char *error = log_query_read(call->command, call->argv, call->argc, &query);
    ASSERT(error == NULL);
    uint64_t count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += (uint64_t)call->parts[i].number;
        call->parts[i].cursor = 0;
    }
    count = MIN(count, query.count);
    reply_array(call->reply, count);
    for (uint64_t i = 0; i < count && !call->reply->is_muted; i++) {
        struct part *part = log_newest(call);
        const struct log_piece *pieces = part->data;
        output_take(call->reply->output, &part->bytes, pieces[part->cursor++].size);
    }
}

/* ---- LEN, RESET ---- */

static void
log_len_part(struct part *part)
{
    part->number = (int64_t)commandlog_trim(part->shard, log_query_of_part(part).type);
}

static void
log_len(struct call *call)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += call->parts[i].number;
    }
    reply_i64(call->reply, count);
}

static void
log_reset_part(struct part *part)
{
    commandlog_clear(part->shard, log_query_of_part(part).type);
}

static void
log_reset(struct call *call)
{
    reply_ok(call->reply);
}

/* ---- HELP ---- */

static void
slowlog_help(struct call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    The newest <count> entries (10 if not given, all if -1), each with its number,",
        "    Unix time, microseconds, arguments, and the address and name of its client.",
        "LEN",
        "    How many entries there are.",
        "RESET",
        "    Forget all entries.",
        NULL,
    };
    reply_help(call->reply, "SLOWLOG", lines);
}

static void
commandlog_help(struct call *call)
{
    static const char *const lines[] = {
        "GET <count> <type>",
        "    The newest <count> entries (all if -1) of a log: slow, large-request or",
        "    large-reply. Each has its number, Unix time, microseconds or bytes, arguments,",
        "    and the address and name of its client.",
        "LEN <type>",
        "    How many entries the log has.",
        "RESET <type>",
        "    Forget all entries of the log.",
        NULL,
    };
    reply_help(call->reply, "COMMANDLOG", lines);
}

/* ---- rows ---- */

static const struct command_argument type_oneof[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "slow", .token = "SLOW"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "large-request", .token = "LARGE-REQUEST"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "large-reply", .token = "LARGE-REPLY"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument slowlog_get_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument commandlog_get_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_ONEOF, .name = "type", .arguments = type_oneof},
    {.kind = ARGUMENT_END},
};

static const struct command_argument commandlog_type_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "type", .arguments = type_oneof},
    {.kind = ARGUMENT_END},
};

static const struct command_history slowlog_get_history[] = {
    {"4.0.0", "Tells the client's address and name."},
    {NULL, NULL},
};

static const char *const all_nodes_nondeterministic_tips[] = {"request_policy:all_nodes",
                                                              "nondeterministic_output", NULL};
static const char *const all_nodes_sum_tips[] = {
    "request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output", NULL};
static const char *const all_nodes_all_succeeded_tips[] = {"request_policy:all_nodes",
                                                           "response_policy:all_succeeded", NULL};

#define LOG_ROW(parent_name, row_name, row_arity, row_since, row_complexity, row_summary)          \
    .name = (row_name), .parent = (parent_name), .scope = SCOPE_ALL, .check = log_check,           \
    .flags = CMD_ADMIN | CMD_LOADING | CMD_STALE, .arity = (row_arity), .group = GROUP_SERVER,     \
    .since = (row_since), .complexity = (row_complexity), .summary = (row_summary)

#define LOG_HELP_ROW(parent_name, handler, row_since, row_summary)                                 \
    .name = "help", .parent = (parent_name), .run = (handler), .scope = SCOPE_LOCAL,               \
    .flags = CMD_LOADING | CMD_STALE, .arity = 2, .group = GROUP_SERVER, .since = (row_since),     \
    .complexity = "O(1)", .summary = (row_summary)

static const struct command slowlog_subcommands[] = {
    {LOG_ROW("slowlog", "get", -2, "2.2.12", "O(N) with N entries shown",
             "Shows the newest commands that took long."),
     .part = log_get_part, .run = log_get, .history = slowlog_get_history,
     .tips = all_nodes_nondeterministic_tips, .arguments = slowlog_get_arguments},
    {LOG_HELP_ROW("slowlog", slowlog_help, "6.2.0", "Lists what SLOWLOG can do.")},
    {LOG_ROW("slowlog", "len", 2, "2.2.12", "O(1)", "Counts the entries of the slow log."),
     .part = log_len_part, .run = log_len, .tips = all_nodes_sum_tips},
    {LOG_ROW("slowlog", "reset", 2, "2.2.12", "O(N) with N entries", "Clears the slow log."),
     .part = log_reset_part, .run = log_reset, .tips = all_nodes_all_succeeded_tips},
};

static const struct command commandlog_subcommands[] = {
    {LOG_ROW("commandlog", "get", 4, "8.1.0", "O(N) with N entries shown",
             "Shows the newest entries of a log of commands."),
     .part = log_get_part, .run = log_get, .tips = all_nodes_nondeterministic_tips,
     .arguments = commandlog_get_arguments},
    {LOG_HELP_ROW("commandlog", commandlog_help, "8.1.0", "Lists what COMMANDLOG can do.")},
    {LOG_ROW("commandlog", "len", 3, "8.1.0", "O(1)", "Counts the entries of a log of commands."),
     .part = log_len_part, .run = log_len, .tips = all_nodes_sum_tips,
     .arguments = commandlog_type_arguments},
    {LOG_ROW("commandlog", "reset", 3, "8.1.0", "O(N) with N entries", "Clears a log of commands."),
     .part = log_reset_part, .run = log_reset, .tips = all_nodes_all_succeeded_tips,
     .arguments = commandlog_type_arguments},
};

static const struct command commandlog_commands[] = {
    {
        .name = "slowlog",
        .flags = 0,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "2.2.12",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about the slow log.",
        .subcommands = slowlog_subcommands,
        .subcommand_count = ARRAY_COUNT(slowlog_subcommands),
    },
    {
        .name = "commandlog",
        .flags = 0,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "8.1.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about slow commands, large requests and large replies.",
        .subcommands = commandlog_subcommands,
        .subcommand_count = ARRAY_COUNT(commandlog_subcommands),
    },
};

const struct command_family commandlog_family = {
    .commands = commandlog_commands,
    .count = ARRAY_COUNT(commandlog_commands),
};
