/*
 * info_internal.h: what the files of INFO share: which sections are asked for, what each shard
 * contributes, and their sum.
 */
#pragma once

#include "core/process.h"
#include "shard/call.h"
#include "shard/persistence.h"
#include "shard/shard.h"
#include "shard/stats.h"

/** name as asked for, title, in the order of the reply; whether a plain INFO shows it. */
#define INFO_SECTIONS(X)                                                                           \
    X(SERVER, "server", "Server", true)                                                            \
    X(CLIENTS, "clients", "Clients", true)                                                         \
    X(MEMORY, "memory", "Memory", true)                                                            \
    X(PERSISTENCE, "persistence", "Persistence", true)                                             \
    X(STATS, "stats", "Stats", true)                                                               \
    X(REPLICATION, "replication", "Replication", true)                                             \
    X(CPU, "cpu", "CPU", true)                                                                     \
    X(MODULES, "modules", "Modules", true)                                                         \
    X(COMMANDSTATS, "commandstats", "Commandstats", false)                                         \
    X(ERRORSTATS, "errorstats", "Errorstats", true)                                                \
    X(LATENCYSTATS, "latencystats", "Latencystats", false)                                         \
    X(CLUSTER, "cluster", "Cluster", true)                                                         \
    X(CORES, "cores", "Cores", true)                                                               \
    X(KEYSPACE, "keyspace", "Keyspace", true)

#define INFO_SECTION_ENUM(id, name, title, is_default) INFO_##id,
enum info_section { INFO_SECTIONS(INFO_SECTION_ENUM) INFO_SECTION_COUNT };

struct info_database {
    uint64_t key_count;
    uint64_t deadline_count;
    /** Milliseconds that its keys with a deadline have left, together. */
    int64_t left_sum_ms;
};

struct info_command {
    const struct command *command;
    uint64_t call_count;
    uint64_t tick_count;
    uint64_t failed_count;
    uint64_t rejected_count;
    /** Buckets of its histogram that are not empty, one block behind all commands' blocks before.
     */
    uint64_t bucket_count;
    const struct info_bucket *buckets;
};

struct info_bucket {
    uint64_t bucket;
    uint64_t count;
};

/** What one shard says, in one block: the arrays stand behind the struct. */
struct info_part {
    uint32_t shard_index;
    int32_t cpu;
    struct shard_counters counters;
    struct persistence_facts persistence; /* shard 0's */
    struct stats_sample recent;
    uint64_t cpu_used_ns;
    struct process_cpu cpu_thread;
    uint64_t memory_used_size;
    uint64_t memory_peak_size;
    uint64_t memory_start_size;
    uint64_t data_size;
    uint64_t key_count;
    uint64_t garbage_count;   /* keys and collections that wait to be freed in steps */
    uint64_t collected_count; /* those that were */
    uint64_t session_count;
    uint64_t channel_count;       /* subscribed channels whose home it is */
    uint64_t shard_channel_count; /* the same of sharded ones */
    uint64_t pattern_count;       /* every shard knows all */
    uint64_t blocked_count;       /* clients that wait */
    uint64_t tracking_session_count;
    uint64_t tracking_key_count;
    uint64_t tracking_item_count;
    uint64_t tracking_prefix_count; /* every shard knows all */
    uint64_t session_memory_size;
    uint64_t session_input_size_max;
    uint64_t session_output_size_max;
    uint32_t database_count;
    uint32_t command_count;
    uint32_t error_count;
    struct info_database *databases;
    struct info_command *commands;
    struct stats_error *errors;
};

/** All shards together, at the coordinator. */
struct info_sum {
    const struct call *call;
    const struct config *config;
    const struct node *node;
    uint32_t part_count;
    const struct info_part *const *parts;
    struct shard_counters counters;
    uint64_t memory_used_size;
    uint64_t memory_peak_size;
    uint64_t memory_start_size;
    uint64_t data_size;
    uint64_t garbage_count;
    uint64_t collected_count;
    uint64_t session_count;
    uint64_t channel_count;
    uint64_t shard_channel_count;
    uint64_t pattern_count;
    uint64_t blocked_count; /* clients that wait */
    uint64_t tracking_session_count;
    uint64_t tracking_key_count;
    uint64_t tracking_item_count;
    uint64_t tracking_prefix_count;
    uint64_t session_memory_size;
    uint64_t session_input_size_max;
    uint64_t session_output_size_max;
};

/** What the shard has counted, in one block with room for everything that is asked for. For
 * heap_free(). The shard's core. */
struct info_part *info_part_new(const struct shard *shard, bool has_commands, bool has_histograms);

/** The part of a shard for these sections (a bit for each), in part->data. */
void info_collect(struct part *part, uint32_t sections);

/** Adds up what the parts of a call have collected. */
void info_sum_create(struct info_sum *sum, const struct call *call);
void info_sum_destroy(struct info_sum *sum);

/** What the allocator has given out, what it has for that, and what lies in RAM. */
struct info_allocator {
    uint64_t allocated;
    uint64_t active;
    uint64_t resident;
};
struct info_allocator info_allocator(const struct info_sum *sum);
/** With its version. */
const char *info_allocator_name(void);

/** A bit for each section that the arguments ask for. */
uint32_t info_sections(const struct slice *argv, uint32_t argc);

/** Append one formatted piece of at most INFO_LINE_SIZE_MAX bytes. */
#define INFO_LINE_SIZE_MAX 5120
void info_print(struct output *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* info_server.c: what the process is and has */
void info_server(const struct info_sum *sum, struct output *out);
void info_clients(const struct info_sum *sum, struct output *out);
void info_memory(const struct info_sum *sum, struct output *out);
void info_cpu(const struct info_sum *sum, struct output *out);
void info_persistence(const struct info_sum *sum, struct output *out);
void info_replication(const struct info_sum *sum, struct output *out);
void info_modules(const struct info_sum *sum, struct output *out);
void info_cluster(const struct info_sum *sum, struct output *out);

/* info_stats.c: what it has done */
void info_stats(const struct info_sum *sum, struct output *out);
void info_cores(const struct info_sum *sum, struct output *out);
void info_keyspace(const struct info_sum *sum, struct output *out);

/* info_commands.c: by command and by error */
void info_commandstats(const struct info_sum *sum, struct output *out);
void info_errorstats(const struct info_sum *sum, struct output *out);
void info_latencystats(const struct info_sum *sum, struct output *out);

#define INFO_COMMAND_NAME_SIZE 64
/** "client|list" */
void info_command_name(char out[INFO_COMMAND_NAME_SIZE], const struct command *command);
/** All commands of all shards, by name, those of one name beside each other. For heap_free(). */
const struct info_command **info_commands_sorted(const struct info_sum *sum, uint32_t *count);
/** How many from `at` on are of the same command. */
uint32_t info_commands_same(const struct info_command **commands, uint32_t count, uint32_t at);
