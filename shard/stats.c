/*
 * stats.c: the cold half of the counters: new rows, new error codes, samples.
 *
 * The table of commands is open addressing over the addresses of rows; rows never go away, so there
 * is no deletion, and a place once taken stays with its row. An index in the row itself was
 * rejected: rows are constants in the files of their families, and nothing numbers subcommands.
 *
 * Rates need a memory of the past. A timer would wake an idle core ten times a second, so samples
 * are taken by turns that happen anyway, and a reader that finds only old samples knows that
 * nothing happened since.
 */
#include "shard/stats.h"

#include "core/heap.h"
#include <stdio.h>

void
stats_destroy(struct shard *shard)
{
    struct stats *stats = &shard->stats;
    for (uint32_t i = 0; i < STATS_COMMAND_SLOTS; i++) {
        heap_free(stats->commands[i].histogram);
    }
    memset(stats, 0, sizeof(*stats));
}

void
stats_reset(struct shard *shard)
{
    bool is_latency_ignored = shard->stats.is_latency_ignored;
    /* The samples go too: they are differences from totals that begin again at zero. */
    stats_destroy(shard);
    shard->stats.is_latency_ignored = is_latency_ignored;
    memset(&shard->counters, 0, sizeof(shard->counters));
    shard->keyspace.collected_count = 0;
}

struct command_stats *
stats_place(struct stats *stats, const struct command *command)
{
    ASSERT(command != NULL);
    uint32_t start = stats_hash(command);
    for (uint32_t i = 0; i < STATS_COMMAND_SLOTS; i++) {
        struct command_stats *place = &stats->commands[(start + i) % STATS_COMMAND_SLOTS];
        if (place->command == NULL) {
            place->command = command;
        }
        if (place->command == command) {
            return place;
        }
    }
    ASSERT(!"more commands than STATS_COMMAND_SLOTS");
    return NULL;
}

struct stats_histogram *
stats_histogram_new(void)
{
    struct stats_histogram *histogram = heap_alloc(sizeof(*histogram));
    memset(histogram, 0, sizeof(*histogram));
    return histogram;
}

void
stats_error(struct shard *shard, const char *code)
{
    struct stats *stats = &shard->stats;
    char padded[STATS_ERROR_CODE_SIZE] = {0};
    snprintf(padded, sizeof(padded), "%s", code);
    for (uint32_t i = 0; i < stats->error_kind_count; i++) {
        if (memcmp(stats->errors[i].code, padded, sizeof(padded)) == 0) {
            stats->errors[i].count++;
            return;
        }
    }
    if (stats->error_kind_count < STATS_ERROR_KINDS_MAX) {
        struct stats_error *error = &stats->errors[stats->error_kind_count++];
        memcpy(error->code, padded, sizeof(padded));
        error->count = 1;
    }
}

static struct stats_sample
stats_totals(const struct shard_counters *counters, int64_t now_ms)
{
    return (struct stats_sample){
        .at_ms = now_ms,
        .command_count = counters->command_count,
        .input_size = counters->input_size,
        .output_size = counters->output_size,
        .busy_ns = counters->busy_ns,
        .idle_ns = counters->idle_ns,
    };
}

void
stats_sample_take(struct shard *shard)
{
    struct stats *stats = &shard->stats;
    stats->samples[stats->sample_next] = stats_totals(&shard->counters, shard->now_ms);
    stats->sample_next = (stats->sample_next + 1) % STATS_SAMPLE_COUNT;
    stats->sample_due_ms = shard->now_ms + STATS_SAMPLE_INTERVAL_MS;
}

void
stats_recent(const struct shard *shard, struct stats_sample *span)
{
    const struct stats *stats = &shard->stats;
    int64_t now_ms = shard->now_ms;
    int64_t oldest_ms = now_ms - STATS_SAMPLE_COUNT * STATS_SAMPLE_INTERVAL_MS;
    const struct stats_sample *found = NULL;
    /* From the oldest to the newest: the first that is young enough, else the last of all. */
    for (uint32_t i = 0; i < STATS_SAMPLE_COUNT; i++) {
        const struct stats_sample *sample =
            &stats->samples[(stats->sample_next + i) % STATS_SAMPLE_COUNT];
        if (sample->at_ms == 0 || sample->at_ms >= now_ms) {
            continue;
        }
        found = sample;
        if (sample->at_ms >= oldest_ms) {
            break;
        }
    }
    *span = (struct stats_sample){0};
    if (found != NULL) {
        struct stats_sample now = stats_totals(&shard->counters, now_ms);
        span->at_ms = now_ms - found->at_ms;
        span->command_count = now.command_count - found->command_count;
        span->input_size = now.input_size - found->input_size;
        span->output_size = now.output_size - found->output_size;
        span->busy_ns = now.busy_ns - found->busy_ns;
        span->idle_ns = now.idle_ns - found->idle_ns;
    }
}
