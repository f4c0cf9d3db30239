/*
 * latency_histogram.c: LATENCY HISTOGRAM: of each command, how many calls took no longer than
 * 1, 2, 4, ... microseconds.
 *
 * The histograms are those that INFO latencystats takes its percentiles from. redis-server's limits
 * are not quite powers of two: its own histogram has steps of 1/128 of an octave, and it shows
 * where the step of 2^n nanoseconds ends (1, 2, 4, 8, 16, 33, 66, 132 us ...). Clients may look for
 * those numbers, so they are the same here; calls are told apart by steps of 1/64, the histogram's.
 */
#include "core/heap.h"
#include "shard/command/info_internal.h"
#include "shard/command/latency_internal.h"

/** 2^10 ns is the first limit; the last holds everything. */
#define LIMIT_BITS_MIN 10
#define LIMIT_BITS_MAX 62

void
latency_histogram_part(struct part *part)
{
    part->data = info_part_new(part->shard, true, true);
}

/** Where redis-server's step of 2^bits nanoseconds ends. */
static uint64_t
limit_ns(uint32_t bits)
{
    return (UINT64_C(1) << bits) + (UINT64_C(1) << (bits - 7)) - 1;
}

static void
histogram_write(struct reply *reply, const struct clock_scale *scale,
                const struct stats_histogram *histogram, uint64_t total)
{
    reply_map(reply, 2);
    reply_bulk_string(reply, "calls");
    reply_i64(reply, (int64_t)total);
    reply_bulk_string(reply, "histogram_usec");
    struct reply_later later = reply_later(reply);
    uint64_t row_count = 0;
    uint64_t seen = 0;
    uint32_t bucket = 0;
    for (uint32_t bits = LIMIT_BITS_MIN; bits <= LIMIT_BITS_MAX && seen < total; bits++) {
        uint64_t seen_before = seen;
        while (bucket < STATS_HISTOGRAM_SIZE &&
               (bits == LIMIT_BITS_MAX ||
                clock_ticks_to_ns(scale, stats_bucket_end(bucket)) <= limit_ns(bits))) {
            seen += histogram->counts[bucket++];
        }
        if (seen > seen_before) {
            reply_i64(reply, (int64_t)(limit_ns(bits) / 1000));
            reply_i64(reply, (int64_t)seen);
            row_count++;
        }
    }
    reply_later_map(reply, later, row_count);
}

/** One command of all shards. False: its times were never taken. */
static bool
command_write(struct reply *reply, const struct clock_scale *scale,
              const struct info_command *const *commands, uint32_t count,
              struct stats_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t j = 0; j < commands[i]->bucket_count; j++) {
            histogram->counts[commands[i]->buckets[j].bucket] += commands[i]->buckets[j].count;
            total += commands[i]->buckets[j].count;
        }
    }
    if (total == 0) {
        return false;
    }
    char name[INFO_COMMAND_NAME_SIZE];
    info_command_name(name, commands[0]->command);
    reply_bulk_string(reply, name);
    histogram_write(reply, scale, histogram, total);
    return true;
}

/** Is it the command that the word names, or a subcommand of it? */
static bool
command_is_named(const struct command *command, struct slice word)
{
    char name[INFO_COMMAND_NAME_SIZE];
    info_command_name(name, command);
    return slice_is_word(word, name) ||
           (command->parent != NULL && slice_is_word(word, command->parent));
}

void
latency_histogram(struct call *call)
{
    const struct info_part **parts = heap_alloc(call->part_count * sizeof(*parts));
    for (uint32_t i = 0; i < call->part_count; i++) {
        parts[i] = call->parts[i].data;
    }
    struct info_sum sum = {.call = call, .part_count = call->part_count, .parts = parts};
    uint32_t count;
    const struct info_command **commands = info_commands_sorted(&sum, &count);
    struct stats_histogram *histogram = heap_alloc(sizeof(*histogram));
    const struct clock_scale *scale = &call->shard->node->clock_scale;
    struct reply_later later = reply_later(call->reply);
    uint64_t shown = 0;
    /* Word by word, as they were asked for; without words all, in one round. */
    uint32_t last = MAX(call->argc, 3u);
    for (uint32_t word = 2; word < last; word++) {
        uint32_t same;
        for (uint32_t i = 0; i < count; i += same) {
            same = info_commands_same(commands, count, i);
            if (call->argc == 2 || command_is_named(commands[i]->command, call->argv[word])) {
                shown += command_write(call->reply, scale, commands + i, same, histogram);
            }
        }
    }
    reply_later_map(call->reply, later, shown);
    heap_free(histogram);
    heap_free(commands);
    heap_free(parts);
}
