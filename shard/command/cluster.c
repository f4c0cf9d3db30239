/*
 * cluster.c: CLUSTER on a node that is in no cluster.
 *
 * Clients look for a cluster by asking and reading the error, so all subcommands of redis-server
 * are known by name and arity and answer as its standalone mode does. KEYSLOT alone is a plain
 * function of the key, and slots exist here without a cluster too: it answers. ASKING, READONLY and
 * READWRITE, which clients of clusters send, answer as the others do.
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

/* ---- documentation ---- */

static const char *const nondeterministic_output_tips[] = {"nondeterministic_output", NULL};

static const struct command_argument slot_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument slots_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument slot_range_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "start-slot"},
    {.kind = ARGUMENT_INTEGER, .name = "end-slot"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument slot_ranges_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "start-slot_end-slot",
     .is_multiple = true,
     .arguments = slot_range_arguments},
    {.kind = ARGUMENT_END},
};

static const struct command_argument node_id_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument failover_option_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "force", .token = "FORCE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "takeover", .token = "TAKEOVER"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument failover_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "options",
     .is_optional = true,
     .arguments = failover_option_arguments},
    {.kind = ARGUMENT_END},
};

static const struct command_argument getkeysinslot_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot"},
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument keyslot_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "key"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument meet_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "ip"},
    {.kind = ARGUMENT_INTEGER, .name = "port"},
    {.kind = ARGUMENT_INTEGER, .name = "cluster_bus_port", .since = "4.0.0", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_history meet_history[] = {
    {"4.0.0", "Takes the port of the bus."},
    {NULL, NULL},
};

static const struct command_argument reset_mode_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "hard", .token = "HARD"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "soft", .token = "SOFT"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument reset_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "hard_soft",
     .is_optional = true,
     .arguments = reset_mode_arguments},
    {.kind = ARGUMENT_END},
};

static const struct command_argument set_config_epoch_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "config-epoch"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument setslot_subcommand_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "node-id", .token = "IMPORTING"},
    {.kind = ARGUMENT_STRING, .name = "node-id", .token = "MIGRATING"},
    {.kind = ARGUMENT_STRING, .name = "node-id", .token = "NODE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "stable", .token = "STABLE"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument setslot_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "slot"},
    {.kind = ARGUMENT_ONEOF, .name = "subcommand", .arguments = setslot_subcommand_arguments},
    {.kind = ARGUMENT_END},
};

static const struct command_history slots_history[] = {
    {"4.0.0", "Tells node ids."},
    {"7.0.0", "Tells further addresses of nodes."},
    {NULL, NULL},
};

#define CLUSTER_CHANGE (CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING)

/** A row: all of them belong to CLUSTER, run where the client is, and say that there is none. */
#define CLUSTER_ROW(row_name, row_arity, row_flags, row_since, row_complexity, row_summary)        \
    .name = (row_name), .parent = "cluster", .run = cluster_disabled, .scope = SCOPE_LOCAL,        \
    .group = GROUP_CLUSTER, .arity = (row_arity), .flags = (row_flags), .since = (row_since),      \
    .complexity = (row_complexity), .summary = (row_summary)

static const struct command cluster_subcommands[] = {
    {CLUSTER_ROW("addslots", -3, CLUSTER_CHANGE, "3.0.0", "O(N) with N slots", "Takes over slots."),
     .arguments = slots_arguments},
    {CLUSTER_ROW("addslotsrange", -4, CLUSTER_CHANGE, "7.0.0", "O(N) with N slots in the ranges",
                 "Takes over ranges of slots."),
     .arguments = slot_ranges_arguments},
    {CLUSTER_ROW("bumpepoch", 2, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Raises the configuration epoch."),
     .tips = nondeterministic_output_tips},
    {CLUSTER_ROW("count-failure-reports", 3, CMD_ADMIN | CMD_STALE, "3.0.0", "O(N) with N reports",
                 "Counts the nodes that believe a node has failed."),
     .tips = nondeterministic_output_tips, .arguments = node_id_arguments},
    {CLUSTER_ROW("countkeysinslot", 3, CMD_STALE, "3.0.0", "O(1)", "Counts the keys of a slot."),
     .arguments = slot_arguments},
    {CLUSTER_ROW("delslots", -3, CLUSTER_CHANGE, "3.0.0", "O(N) with N slots", "Gives up slots."),
     .arguments = slots_arguments},
    {CLUSTER_ROW("delslotsrange", -4, CLUSTER_CHANGE, "7.0.0", "O(N) with N slots in the ranges",
                 "Gives up ranges of slots."),
     .arguments = slot_ranges_arguments},
    {CLUSTER_ROW("failover", -2, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Lets a replica take its master's place."),
     .arguments = failover_arguments},
    {CLUSTER_ROW("flushslots", 2, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Gives up all slots of this node.")},
    {CLUSTER_ROW("forget", 3, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Removes a node from this node's view of the cluster."),
     .arguments = node_id_arguments},
    {CLUSTER_ROW("getkeysinslot", 4, CMD_STALE, "3.0.0", "O(log N) with N keys asked for",
                 "Lists keys of a slot."),
     .tips = nondeterministic_output_tips, .arguments = getkeysinslot_arguments},
    {CLUSTER_ROW("help", 2, CMD_LOADING | CMD_STALE, "5.0.0", "O(1)",
                 "Lists what CLUSTER can do.")},
    {CLUSTER_ROW("info", 2, CMD_STALE, "3.0.0", "O(1)", "Tells the state of the cluster."),
     .tips = nondeterministic_output_tips},
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
        .arguments = keyslot_arguments,
    },
    {CLUSTER_ROW("links", 2, CMD_STALE, "7.0.0", "O(N) with N nodes",
                 "Lists the connections to other nodes."),
     .tips = nondeterministic_output_tips},
    {CLUSTER_ROW("meet", -4, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Introduces this node to another one."),
     .history = meet_history, .arguments = meet_arguments},
    {CLUSTER_ROW("myid", 2, CMD_STALE, "3.0.0", "O(1)", "Tells the id of this node.")},
    {CLUSTER_ROW("nodes", 2, CMD_STALE, "3.0.0", "O(N) with N nodes",
                 "Lists the nodes as their configuration file does."),
     .tips = nondeterministic_output_tips},
    {CLUSTER_ROW("replicas", 3, CMD_ADMIN | CMD_STALE, "5.0.0", "O(1)",
                 "Lists the replicas of a node."),
     .tips = nondeterministic_output_tips, .arguments = node_id_arguments},
    {CLUSTER_ROW("replicate", 3, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Makes this node a replica of another."),
     .arguments = node_id_arguments},
    {CLUSTER_ROW("reset", -2, CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE, "3.0.0",
                 "O(N) with N known nodes, and the keys where they are dropped",
                 "Makes the node forget the cluster."),
     .arguments = reset_arguments},
    {CLUSTER_ROW("saveconfig", 2, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Writes the view of the cluster to disk.")},
    {CLUSTER_ROW("set-config-epoch", 3, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Gives a new node its configuration epoch."),
     .arguments = set_config_epoch_arguments},
    {CLUSTER_ROW("setslot", -4, CLUSTER_CHANGE, "3.0.0", "O(1)",
                 "Says which node a slot belongs to or moves to."),
     .arguments = setslot_arguments},
    {CLUSTER_ROW("shards", 2, CMD_STALE, "7.0.0", "O(N) with N nodes",
                 "Lists masters with their replicas and slots."),
     .tips = nondeterministic_output_tips},
    {CLUSTER_ROW("slaves", 3, CMD_ADMIN | CMD_STALE, "3.0.0", "O(1)",
                 "Lists the replicas of a node, by the older name."),
     .deprecated_since = "5.0.0", .replaced_by = "`CLUSTER REPLICAS`",
     .tips = nondeterministic_output_tips, .arguments = node_id_arguments},
    {CLUSTER_ROW("slots", 2, CMD_STALE, "3.0.0", "O(N) with N nodes",
                 "Lists ranges of slots with the nodes that serve them."),
     .deprecated_since = "7.0.0", .replaced_by = "`CLUSTER SHARDS`", .history = slots_history,
     .tips = nondeterministic_output_tips},
};

/** What a client of a cluster says about its own connection. */
#define CLUSTER_CLIENT_ROW(row_name, row_flags, row_summary)                                       \
    .name = (row_name), .run = cluster_disabled, .scope = SCOPE_LOCAL,                             \
    .flags = CMD_FAST | (row_flags), .arity = 1, .group = GROUP_CLUSTER,                           \
    .categories = ACL_CONNECTION, .since = "3.0.0", .complexity = "O(1)", .summary = (row_summary)

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
    {CLUSTER_CLIENT_ROW("asking", 0,
                        "Lets the next command reach a slot that is being moved here.")},
    {CLUSTER_CLIENT_ROW("readonly", CMD_LOADING | CMD_STALE,
                        "Lets this connection read from a replica of a cluster.")},
    {CLUSTER_CLIENT_ROW("readwrite", CMD_LOADING | CMD_STALE,
                        "Sends this connection's reads to the master of the slot again.")},
};

const struct command_family cluster_family = {
    .commands = cluster_commands,
    .count = ARRAY_COUNT(cluster_commands),
};
