/*
 * info.c: INFO: every shard copies its counters, the coordinator adds them up and writes.
 *
 * A part does not format: it copies numbers into one block, some hundred bytes unless commandstats
 * or latencystats are asked for, and the text is made once, where the reply is. So INFO costs a
 * core about as much as a short command, and dashboards may ask every second. Each shard's numbers
 * are of one instant; those of different shards are microseconds apart.
 *
 *     info_part | databases[] | errors[] | commands[] | buckets[]     one block for each shard
 *
 * The fields have redis-server's names where their subject exists here, because dashboards look for
 * them; what is switched off says so with the value that redis-server has then. Fields whose
 * subject does not exist (a fork, jemalloc's arenas) are left out rather than invented.
 */
#include "core/clock.h"
#include "core/heap.h"
#include "shard/block.h"
#include "shard/command/families.h"
#include "shard/command/info_internal.h"
#include "shard/pubsub.h"
#include "shard/session.h"
#include "shard/tracking.h"

#include <stdarg.h>
#include <stdio.h>

struct info_row {
    const char *name;
    const char *title;
    bool is_default;
};

#define INFO_ROW(id, section_name, section_title, in_default)                                      \
    {.name = (section_name), .title = (section_title), .is_default = (in_default)},
static const struct info_row info_rows[] = {INFO_SECTIONS(INFO_ROW)};

void
info_print(struct output *out, const char *format, ...)
{
    char text[INFO_LINE_SIZE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    output_append(out, text, MIN((size_t)size, sizeof(text) - 1));
}

uint32_t
info_sections(const struct slice *argv, uint32_t argc)
{
    uint32_t all = (UINT32_C(1) << INFO_SECTION_COUNT) - 1;
    uint32_t defaults = 0;
    for (uint32_t i = 0; i < INFO_SECTION_COUNT; i++) {
        defaults |= info_rows[i].is_default ? UINT32_C(1) << i : 0;
    }
    uint32_t sections = argc == 1 ? defaults : 0;
    for (uint32_t i = 1; i < argc; i++) {
        if (slice_is_word(argv[i], "default")) {
            sections |= defaults;
        } else if (slice_is_word(argv[i], "all") || slice_is_word(argv[i], "everything")) {
            sections |= all;
        }
        for (uint32_t j = 0; j < INFO_SECTION_COUNT; j++) {
            sections |= slice_is_word(argv[i], info_rows[j].name) ? UINT32_C(1) << j : 0;
        }
    }
    return sections;
}

/* ---- the part: numbers of one shard ---- */

static uint32_t
info_command_count(const struct stats *stats, bool has_histograms, uint64_t *bucket_count)
{
    uint32_t count = 0;
    *bucket_count = 0;
    for (uint32_t i = 0; i < STATS_COMMAND_SLOTS; i++) {
        const struct command_stats *place = &stats->commands[i];
        count += place->command != NULL;
        bool is_copied = has_histograms && place->histogram != NULL;
        for (uint32_t j = 0; is_copied && j < STATS_HISTOGRAM_SIZE; j++) {
            *bucket_count += place->histogram->counts[j] != 0;
        }
    }
    return count;
}

static void
info_commands_copy(const struct stats *stats, bool has_histograms, struct info_part *info,
                   struct info_bucket *buckets)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < STATS_COMMAND_SLOTS; i++) {
        const struct command_stats *place = &stats->commands[i];
        if (place->command == NULL) {
            continue;
        }
        struct info_command *command = &info->commands[at++];
        *command = (struct info_command){
            .command = place->command,
            .call_count = place->call_count,
            .tick_count = place->tick_count,
            .failed_count = place->failed_count,
            .rejected_count = place->rejected_count,
            .buckets = buckets,
        };
        bool is_copied = has_histograms && place->histogram != NULL;
        for (uint32_t j = 0; is_copied && j < STATS_HISTOGRAM_SIZE; j++) {
            if (place->histogram->counts[j] != 0) {
                *buckets++ =
                    (struct info_bucket){.bucket = j, .count = place->histogram->counts[j]};
                command->bucket_count++;
            }
        }
    }
    ASSERT(at == info->command_count);
}

struct info_part *
info_part_new(const struct shard *shard, bool has_commands, bool has_histograms)
{
    uint32_t database_count = shard->keyspace.database_count;
    uint64_t bucket_count = 0;
    uint32_t command_count =
        has_commands ? info_command_count(&shard->stats, has_histograms, &bucket_count) : 0;
    uint32_t error_count = shard->stats.error_kind_count;
    size_t size = sizeof(struct info_part) + database_count * sizeof(struct info_database) +
                  error_count * sizeof(struct stats_error) +
                  command_count * sizeof(struct info_command) +
                  bucket_count * sizeof(struct info_bucket);
    struct info_part *info = heap_alloc(size);
    *info = (struct info_part){
        .shard_index = shard->index,
        .database_count = database_count,
        .command_count = command_count,
        .error_count = error_count,
    };
    info->databases = (struct info_database *)(void *)(info + 1);
    info->errors = (struct stats_error *)(void *)(info->databases + database_count);
    info->commands = (struct info_command *)(void *)(info->errors + error_count);
    if (error_count > 0) {
        memcpy(info->errors, shard->stats.errors, error_count * sizeof(struct stats_error));
    }
    if (has_commands) {
        info_commands_copy(&shard->stats, has_histograms, info,
                           (struct info_bucket *)(void *)(info->commands + command_count));
    }
    return info;
}

static void
info_part_sessions(struct shard *shard, struct info_part *info)
{
    for (struct list_node *node = list_first(&shard->sessions); node != NULL;
         node = list_next(&shard->sessions, node)) {
        struct session *session = container_of(node, struct session, shard_link);
        struct session_traffic traffic = session_traffic(session);
        info->session_memory_size += session_memory_size(session, &traffic);
        info->session_input_size_max =
            MAX(info->session_input_size_max, traffic.query_size + traffic.query_free_size);
        info->session_output_size_max =
            MAX(info->session_output_size_max, traffic.output_memory_size);
    }
}

static void
info_part_databases(const struct shard *shard, struct info_part *info)
{
    for (uint32_t i = 0; i < info->database_count; i++) {
        const struct database *database = &shard->keyspace.databases[i];
        __int128 left_ms = (__int128)database->deadline_sum_ms -
                           (__int128)shard->now_ms * (__int128)database->deadline_count;
        info->databases[i] = (struct info_database){
            .key_count = database->key_count,
            .deadline_count = database->deadline_count,
            .left_sum_ms = left_ms < 0           ? 0
                           : left_ms > INT64_MAX ? INT64_MAX
                                                 : (int64_t)left_ms,
        };
        info->key_count += database->key_count;
        info->data_size += database->byte_count;
    }
}

void
info_collect(struct part *part, uint32_t sections)
{
    struct shard *shard = part->shard;
    bool has_histograms = (sections & 1u << INFO_LATENCYSTATS) != 0;
    bool has_commands = has_histograms || (sections & 1u << INFO_COMMANDSTATS) != 0;
    struct info_part *info = info_part_new(shard, has_commands, has_histograms);
    info->cpu = shard->cpu;
    info->counters = shard->counters;
    info->memory_used_size = shard->memory.used_size;
    shard_tell(shard);
    if (shard->persistence != NULL) {
        persistence_facts(shard->persistence, &info->persistence);
    }
    info->memory_peak_size = shard->memory.peak_size;
    info->memory_start_size = shard->memory_start_size;
    info->garbage_count = keyspace_garbage_count(&shard->keyspace);
    info->collected_count = shard->keyspace.collected_count;
    info->session_count = shard->session_count;
    info->channel_count = pubsub_channel_count(shard, TOPIC_CHANNEL);
    info->shard_channel_count = pubsub_channel_count(shard, TOPIC_SHARD_CHANNEL);
    info->pattern_count = pubsub_pattern_count(shard);
    info->blocked_count = block_client_count(shard);
    info->tracking_session_count = tracking_session_count(shard);
    info->tracking_key_count = tracking_key_count(shard);
    info->tracking_item_count = tracking_item_count(shard);
    info->tracking_prefix_count = tracking_prefix_total(shard);
    stats_recent(shard, &info->recent);
    info_part_databases(shard, info);
    if ((sections & (1u << INFO_CLIENTS | 1u << INFO_MEMORY)) != 0) {
        info_part_sessions(shard, info);
    }
    if ((sections & 1u << INFO_CPU) != 0) {
        process_thread_cpu(&info->cpu_thread);
    }
    if ((sections & 1u << INFO_CORES) != 0) {
        info->cpu_used_ns = clock_thread_cpu_ns();
    }
    part->data = info;
}

static void
info_part(struct part *part)
{
    info_collect(part, info_sections(part->argv, part->argc));
}

/* ---- the sum ---- */

static void
info_sum_add(struct info_sum *sum, const struct info_part *info)
{
    uint64_t longest_turn_ns = MAX(sum->counters.longest_turn_ns, info->counters.longest_turn_ns);
#define INFO_COUNTER_ADD(name, help) sum->counters.name += info->counters.name;
    SHARD_COUNTERS(INFO_COUNTER_ADD)
#undef INFO_COUNTER_ADD
    sum->counters.longest_turn_ns = longest_turn_ns;
    sum->memory_used_size += info->memory_used_size;
    sum->memory_peak_size += info->memory_peak_size;
    sum->memory_start_size += info->memory_start_size;
    sum->data_size += info->data_size;
    sum->garbage_count += info->garbage_count;
    sum->collected_count += info->collected_count;
    sum->session_count += info->session_count;
    sum->channel_count += info->channel_count;
    sum->shard_channel_count += info->shard_channel_count;
    sum->pattern_count = MAX(sum->pattern_count, info->pattern_count);
    sum->blocked_count += info->blocked_count;
    sum->tracking_session_count += info->tracking_session_count;
    sum->tracking_key_count += info->tracking_key_count;
    sum->tracking_item_count += info->tracking_item_count;
    sum->tracking_prefix_count = MAX(sum->tracking_prefix_count, info->tracking_prefix_count);
    sum->session_memory_size += info->session_memory_size;
    sum->session_input_size_max = MAX(sum->session_input_size_max, info->session_input_size_max);
    sum->session_output_size_max = MAX(sum->session_output_size_max, info->session_output_size_max);
}

void
info_sum_create(struct info_sum *sum, const struct call *call)
{
    const struct info_part **parts = heap_alloc(call->part_count * sizeof(*parts));
    *sum = (struct info_sum){
        .call = call,
        .config = call->shard->config,
        .node = call->shard->node,
        .part_count = call->part_count,
        .parts = parts,
    };
    for (uint32_t i = 0; i < call->part_count; i++) {
        parts[i] = call->parts[i].data;
        info_sum_add(sum, parts[i]);
    }
}

void
info_sum_destroy(struct info_sum *sum)
{
    heap_free((void *)sum->parts);
    sum->parts = NULL;
}

static void
info_sections_print(const struct info_sum *sum, uint32_t sections, struct output *out)
{
    static void (*const printers[])(const struct info_sum *, struct output *) = {
        [INFO_SERVER] = info_server,
        [INFO_CLIENTS] = info_clients,
        [INFO_MEMORY] = info_memory,
        [INFO_PERSISTENCE] = info_persistence,
        [INFO_STATS] = info_stats,
        [INFO_REPLICATION] = info_replication,
        [INFO_CPU] = info_cpu,
        [INFO_MODULES] = info_modules,
        [INFO_COMMANDSTATS] = info_commandstats,
        [INFO_ERRORSTATS] = info_errorstats,
        [INFO_LATENCYSTATS] = info_latencystats,
        [INFO_CLUSTER] = info_cluster,
        [INFO_CORES] = info_cores,
        [INFO_KEYSPACE] = info_keyspace,
    };
    static_assert(ARRAY_COUNT(printers) == INFO_SECTION_COUNT, "a printer for each section");
    for (uint32_t i = 0; i < INFO_SECTION_COUNT; i++) {
        if ((sections & UINT32_C(1) << i) != 0) {
            info_print(out, "%s# %s\r\n", output_is_empty(out) ? "" : "\r\n", info_rows[i].title);
            printers[i](sum, out);
        }
    }
}

static void
info(struct call *call)
{
    struct info_sum sum;
    info_sum_create(&sum, call);
    struct output out;
    output_create(&out);
    info_sections_print(&sum, info_sections(call->argv, call->argc), &out);
    char *text = output_flatten(&out);
    reply_verbatim(call->reply, slice_of(text, out.byte_count), "txt");
    heap_free(text);
    output_destroy(&out);
    info_sum_destroy(&sum);
}

static const struct command_argument info_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "section", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_history info_history[] = {
    {"7.0.0", "Takes several sections."},
    {NULL, NULL},
};

static const char *const nondeterministic_output_all_shards_special_tips[] = {
    "nondeterministic_output", "request_policy:all_shards", "response_policy:special", NULL};

static const struct command info_commands[] = {
    {
        .name = "info",
        .run = info,
        .part = info_part,
        .scope = SCOPE_ALL,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = -1,
        .group = GROUP_SERVER,
        .categories = ACL_DANGEROUS,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Tells how the server is and what it has done.",
        .history = info_history,
        .tips = nondeterministic_output_all_shards_special_tips,
        .arguments = info_arguments,
    },
};

const struct command_family info_family = {
    .commands = info_commands,
    .count = ARRAY_COUNT(info_commands),
};
