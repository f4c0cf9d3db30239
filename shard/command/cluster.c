/*
 * cluster.c: CLUSTER on a node that is in no cluster.
 *
 * Clients look for a cluster by asking and reading the error, so all subcommands of redis-server
 * are known by name and arity and answer as its standalone mode does. KEYSLOT alone is a plain
 * function of the key, and slots exist here without a cluster too: it answers.
 */
#include "core/keyslot.h"
#include "shard/call.h"
#include "shard/command/families.h"

static void
cluster_disabled(struct call *call)
{
    reply_error(call->reply, "ERR This instance has cluster support disabled");
}

static void
cluster_keyslot(struct call *call)
{
    reply_i64(call->reply, key_slot(call->argv[2]));
}

static const struct command_argument cluster_addslots_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_addslotsrange_arguments_start_slot_end_slot[] = {
    {.kind = ARGUMENT_INTEGER, .name = "start-slot"},
    {.kind = ARGUMENT_INTEGER, .name = "end-slot"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_addslotsrange_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "start-slot_end-slot",
     .is_multiple = true,
     .arguments = cluster_addslotsrange_arguments_start_slot_end_slot},
    {.kind = ARGUMENT_END},
};

static const char *const nondeterministic_output_tips[] = {"nondeterministic_output", NULL};

static const struct command_argument cluster_count_failure_reports_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_countkeysinslot_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_delslots_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_delslotsrange_arguments_start_slot_end_slot[] = {
    {.kind = ARGUMENT_INTEGER, .name = "start-slot"},
    {.kind = ARGUMENT_INTEGER, .name = "end-slot"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_delslotsrange_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "start-slot_end-slot",
     .is_multiple = true,
     .arguments = cluster_delslotsrange_arguments_start_slot_end_slot},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_failover_arguments_options[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "force", .token = "FORCE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "takeover", .token = "TAKEOVER"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_failover_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "options",
     .is_optional = true,
     .arguments = cluster_failover_arguments_options},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_forget_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_getkeysinslot_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot"},
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_keyslot_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "key"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_meet_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "ip"},
    {.kind = ARGUMENT_INTEGER, .name = "port"},
    {.kind = ARGUMENT_INTEGER, .name = "cluster_bus_port", .since = "4.0.0", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_history cluster_meet_history[] = {
    {"4.0.0", "Takes the port of the bus."},
    {NULL, NULL},
};

static const struct command_argument cluster_replicas_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_replicate_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_reset_arguments_hard_soft[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "hard", .token = "HARD"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "soft", .token = "SOFT"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_reset_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "hard_soft",
     .is_optional = true,
     .arguments = cluster_reset_arguments_hard_soft},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_set_config_epoch_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "config-epoch"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_setslot_arguments_subcommand[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id", .token = "IMPORTING"},
    {.kind = ARGUMENT_STRING, .name = "node-id", .token = "MIGRATING"},
    {.kind = ARGUMENT_STRING, .name = "node-id", .token = "NODE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "stable", .token = "STABLE"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_setslot_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot"},
    {.kind = ARGUMENT_ONEOF,
     .name = "subcommand",
     .arguments = cluster_setslot_arguments_subcommand},
    {.kind = ARGUMENT_END},
};

static const struct command_argument cluster_slaves_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id"},
    {.kind = ARGUMENT_END},
};

static const struct command_history cluster_slots_history[] = {
    {"4.0.0", "Tells node ids."},
    {"7.0.0", "Tells further addresses of nodes."},
    {NULL, NULL},
};

static const struct command cluster_subcommands[] = {
    {
        .name = "addslots",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N slots",
        .summary = "Takes over slots.",
        .arguments = cluster_addslots_arguments,
    },
    {
        .name = "addslotsrange",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -4,
        .group = GROUP_CLUSTER,
        .since = "7.0.0",
        .complexity = "O(N) with N slots in the ranges",
        .summary = "Takes over ranges of slots.",
        .arguments = cluster_addslotsrange_arguments,
    },
    {
        .name = "bumpepoch",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Raises the configuration epoch.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "count-failure-reports",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N reports",
        .summary = "Counts the nodes that believe a node has failed.",
        .tips = nondeterministic_output_tips,
        .arguments = cluster_count_failure_reports_arguments,
    },
    {
        .name = "countkeysinslot",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Counts the keys of a slot.",
        .arguments = cluster_countkeysinslot_arguments,
    },
    {
        .name = "delslots",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N slots",
        .summary = "Gives up slots.",
        .arguments = cluster_delslots_arguments,
    },
    {
        .name = "delslotsrange",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -4,
        .group = GROUP_CLUSTER,
        .since = "7.0.0",
        .complexity = "O(N) with N slots in the ranges",
        .summary = "Gives up ranges of slots.",
        .arguments = cluster_delslotsrange_arguments,
    },
    {
        .name = "failover",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Lets a replica take its master's place.",
        .arguments = cluster_failover_arguments,
    },
    {
        .name = "flushslots",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Gives up all slots of this node.",
    },
    {
        .name = "forget",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Removes a node from this node's view of the cluster.",
        .arguments = cluster_forget_arguments,
    },
    {
        .name = "getkeysinslot",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 4,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(log N) with N keys asked for",
        .summary = "Lists keys of a slot.",
        .tips = nondeterministic_output_tips,
        .arguments = cluster_getkeysinslot_arguments,
    },
    {
        .name = "help",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Lists what CLUSTER can do.",
    },
    {
        .name = "info",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Tells the state of the cluster.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "keyslot",
        .parent = "cluster",
        .run = cluster_keyslot,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N bytes of key",
        .summary = "Tells which slot a key belongs to.",
        .arguments = cluster_keyslot_arguments,
    },
    {
        .name = "links",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "7.0.0",
        .complexity = "O(N) with N nodes",
        .summary = "Lists the connections to other nodes.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "meet",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -4,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Introduces this node to another one.",
        .history = cluster_meet_history,
        .arguments = cluster_meet_arguments,
    },
    {
        .name = "myid",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Tells the id of this node.",
    },
    {
        .name = "nodes",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N nodes",
        .summary = "Lists the nodes as their configuration file does.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "replicas",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Lists the replicas of a node.",
        .tips = nondeterministic_output_tips,
        .arguments = cluster_replicas_arguments,
    },
    {
        .name = "replicate",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Makes this node a replica of another.",
        .arguments = cluster_replicate_arguments,
    },
    {
        .name = "reset",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE,
        .arity = -2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N known nodes, and the keys where they are dropped",
        .summary = "Makes the node forget the cluster.",
        .arguments = cluster_reset_arguments,
    },
    {
        .name = "saveconfig",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Writes the view of the cluster to disk.",
    },
    {
        .name = "set-config-epoch",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Gives a new node its configuration epoch.",
        .arguments = cluster_set_config_epoch_arguments,
    },
    {
        .name = "setslot",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING,
        .arity = -4,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Says which node a slot belongs to or moves to.",
        .arguments = cluster_setslot_arguments,
    },
    {
        .name = "shards",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "7.0.0",
        .complexity = "O(N) with N nodes",
        .summary = "Lists masters with their replicas and slots.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "slaves",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_ADMIN | CMD_STALE,
        .arity = 3,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Lists the replicas of a node, by the older name.",
        .deprecated_since = "5.0.0",
        .replaced_by = "`CLUSTER REPLICAS`",
        .tips = nondeterministic_output_tips,
        .arguments = cluster_slaves_arguments,
    },
    {
        .name = "slots",
        .parent = "cluster",
        .run = cluster_disabled,
        .scope = SCOPE_LOCAL,
        .flags = CMD_STALE,
        .arity = 2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "O(N) with N nodes",
        .summary = "Lists ranges of slots with the nodes that serve them.",
        .deprecated_since = "7.0.0",
        .replaced_by = "`CLUSTER SHARDS`",
        .history = cluster_slots_history,
        .tips = nondeterministic_output_tips,
    },
};

static const struct command cluster_commands[] = {
    {
        .name = "cluster",
        .flags = 0,
        .arity = -2,
        .group = GROUP_CLUSTER,
        .since = "3.0.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about the cluster.",
        .subcommands = cluster_subcommands,
        .subcommand_count = ARRAY_COUNT(cluster_subcommands),
    },
};

const struct command_family cluster_family = {
    .commands = cluster_commands,
    .count = ARRAY_COUNT(cluster_commands),
};
