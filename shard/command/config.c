/*
 * config.c: CONFIG: read, change, save, and start the statistics again.
 *
 * A configuration is a snapshot that nobody changes; CONFIG SET makes another one. It is made and
 * checked at the coordinator while all shards are closed, then every shard switches to it in its
 * own part, and the old one is deleted when the last has: no command ever sees half of a change, or
 * two configurations on two cores.
 *
 *     check     pairs? names known? values fine?         nothing is closed for a typing error
 *     prepare   clone, config_set(), config_apply()      sockets, limits: may still fail
 *     part      shard->config = new
 *     run       delete old, "+OK"
 *
 * REWRITE blocks its core on the disk: it is rare, and an answer before the file is safe would be a
 * lie.
 */
#include "core/config.h"
#include "core/heap.h"
#include "shard/aof.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/commandlog.h"
#include "shard/notify.h"
#include "shard/persistence.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/stats.h"

/** The longest error text: a directive's name and a sentence. */
#define CONFIG_ERROR_SIZE 1024

/** call->shared of CONFIG SET. */
struct config_change {
    struct config *now;
    struct config *old;
};

struct config_get_state {
    struct reply *reply;
    uint64_t count;
};

static void
config_command_get_visit(void *context, struct slice name, struct slice value)
{
    struct config_get_state *state = context;
    reply_bulk(state->reply, name);
    reply_bulk(state->reply, value);
    state->count++;
}

static void
config_command_get(struct call *call)
{
    struct config_get_state state = {.reply = call->reply};
    struct reply_later later = reply_later(call->reply);
    config_get(call->shard->config, call->argv + 2, call->argc - 2, config_command_get_visit,
               &state);
    reply_later_map(call->reply, later, state.count);
}

/** A changed copy of the shard's configuration; NULL: the error has been replied. */
static struct config *
config_command_changed(struct call *call)
{
    uint32_t count = (call->argc - 2) / 2;
    struct config_pair *pairs = heap_alloc(count * sizeof(*pairs));
    for (uint32_t i = 0; i < count; i++) {
        pairs[i] = (struct config_pair){
            .name = call->argv[2 + 2 * i],
            .value = call->argv[3 + 2 * i],
        };
    }
    bool is_local = call->session != NULL && session_is_local(call->session);
    char error[CONFIG_ERROR_SIZE] = "";
    struct config *now = config_clone(call->shard->config);
    int rc = config_set(now, pairs, count, is_local ? CONFIG_PEER_LOCAL : CONFIG_PEER_REMOTE, error,
                        sizeof(error));
    heap_free(pairs);
    if (rc < 0) {
        reply_error(call->reply, error);
        config_delete(now);
        return NULL;
    }
    return now;
}

static bool
config_command_set_check(struct call *call)
{
    if (call->argc % 2 != 0) {
        call_syntax_error(call);
        return false;
    }
    struct config *trial = config_command_changed(call);
    config_delete(trial);
    return trial != NULL;
}

static bool
config_command_set_prepare(struct call *call)
{
    struct config *now = config_command_changed(call);
    if (now == NULL) {
        return false;
    }
    struct shard *shard = call->shard;
    struct config *old = (struct config *)shard->config;
    char error[CONFIG_ERROR_SIZE] = "";
    if (shard->ops.config_apply != NULL &&
        shard->ops.config_apply(shard->core, old, now, error, sizeof(error)) < 0) {
        reply_error(call->reply, error);
        config_delete(now);
        return false;
    }
    struct config_change *change = heap_alloc(sizeof(*change));
    *change = (struct config_change){.now = now, .old = old};
    call->shared = change;
    return true;
}

static void
config_command_set_part(struct part *part)
{
    const struct config_change *change = part->shared;
    ASSERT(part->shard->config == change->old);
    part->shard->config = change->now;
    part->shard->stats.is_latency_ignored = !change->now->latency_tracking;
    commandlog_configure(part->shard);
    notify_configure(part->shard);
    if (part->shard->aof != NULL && !part->shard->config->appendonly &&
        !part->shard->aof->is_closing) {
        aof_stop(part->shard);
    }
    aof_configure(part->shard);
    if (part->shard->persistence != NULL) {
        persistence_configure(part->shard->persistence, change->old);
    }
}

static void
config_command_set(struct call *call)
{
    struct config_change *change = call->shared;
    config_delete(change->old);
    heap_free(change);
    call->shared = NULL;
    reply_ok(call->reply);
}

static void
config_command_rewrite(struct call *call)
{
    char error[CONFIG_ERROR_SIZE] = "";
    if (config_rewrite(call->shard->config, error, sizeof(error)) < 0) {
        reply_error(call->reply, error);
    } else {
        reply_ok(call->reply);
    }
}

static void
config_command_resetstat_part(struct part *part)
{
    stats_reset(part->shard);
}

static void
config_command_resetstat(struct call *call)
{
    reply_ok(call->reply);
}

static void
config_command_help(struct call *call)
{
    static const char *const lines[] = {
        "GET <pattern> [<pattern> ...]",
        "    Directives whose names match, and their values.",
        "SET <directive> <value> [<directive> <value> ...]",
        "    Change directives: all of them, or none.",
        "RESETSTAT",
        "    Start the statistics of INFO again.",
        "REWRITE",
        "    Bring the configuration file up to date.",
        NULL,
    };
    reply_help(call->reply, "CONFIG", lines);
}

static const struct command_argument config_get_arguments_parameter[] = {
    {.kind = ARGUMENT_STRING, .name = "parameter"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument config_get_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "parameter",
     .is_multiple = true,
     .arguments = config_get_arguments_parameter},
    {.kind = ARGUMENT_END},
};

static const struct command_history config_get_history[] = {
    {"7.0.0", "Takes several patterns."},
    {NULL, NULL},
};

static const struct command_argument config_set_arguments_parameter_value[] = {
    {.kind = ARGUMENT_STRING, .name = "parameter"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument config_set_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "parameter_value",
     .is_multiple = true,
     .arguments = config_set_arguments_parameter_value},
    {.kind = ARGUMENT_END},
};

static const struct command_history config_set_history[] = {
    {"7.0.0", "Sets several directives at once."},
    {NULL, NULL},
};

static const char *const all_nodes_all_succeeded_tips[] = {"request_policy:all_nodes",
                                                           "response_policy:all_succeeded", NULL};

static const struct command config_subcommands[] = {
    {
        .name = "get",
        .parent = "config",
        .run = config_command_get,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -3,
        .group = GROUP_SERVER,
        .since = "2.0.0",
        .complexity = "O(N) with N patterns",
        .summary = "Tells the values of directives.",
        .history = config_get_history,
        .arguments = config_get_arguments,
    },
    {
        .name = "help",
        .parent = "config",
        .run = config_command_help,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_SERVER,
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Lists what CONFIG can do.",
    },
    {
        .name = "resetstat",
        .parent = "config",
        .run = config_command_resetstat,
        .part = config_command_resetstat_part,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_SERVER,
        .since = "2.0.0",
        .complexity = "O(1)",
        .summary = "Starts the statistics of INFO again at zero.",
    },
    {
        .name = "rewrite",
        .parent = "config",
        .run = config_command_rewrite,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_SERVER,
        .since = "2.8.0",
        .complexity = "O(1)",
        .summary = "Writes what CONFIG SET has changed into the configuration file.",
    },
    {
        .name = "set",
        .parent = "config",
        .run = config_command_set,
        .part = config_command_set_part,
        .check = config_command_set_check,
        .prepare = config_command_set_prepare,
        .scope = SCOPE_CLOSED,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -4,
        .group = GROUP_SERVER,
        .since = "2.0.0",
        .complexity = "O(N) with N directives",
        .summary = "Changes directives on all cores at the same instant: all of them, or none.",
        .history = config_set_history,
        .tips = all_nodes_all_succeeded_tips,
        .arguments = config_set_arguments,
    },
};

static const struct command config_commands[] = {
    {
        .name = "config",
        .flags = 0,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "2.0.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about the configuration.",
        .subcommands = config_subcommands,
        .subcommand_count = ARRAY_COUNT(config_subcommands),
    },
};

const struct command_family config_family = {
    .commands = config_commands,
    .count = ARRAY_COUNT(config_commands),
};
