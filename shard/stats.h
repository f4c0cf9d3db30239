/*
 * stats.h: what a core counts for each command and each error code, and how fast it went lately.
 * One writer, the shard's core, with plain additions; others learn the numbers by message (INFO).
 *
 * Commands are found by the address of their row: rows are constants that all cores share, and a
 * command has one whether it is a subcommand or not. stats_command() is a hash, a comparison and
 * four additions for a command that has run before.
 */
#pragma once

#include "shard/shard.h"
#include "shard/stats_data.h"

/** Frees what stats_command() has made; `shard->stats` is empty and valid afterwards. Zeroed memory
 * is created stats, so there is no stats_create(). */
void stats_destroy(struct shard *shard);
/** CONFIG RESETSTAT: counters and statistics start again at zero. */
void stats_reset(struct shard *shard);
/** The place of a row, taken if it is new. Asserts when there is none left. */
struct command_stats *stats_place(struct stats *stats, const struct command *command);
struct stats_histogram *stats_histogram_new(void);

static inline uint32_t
stats_hash(const struct command *command)
{
    uint64_t mixed = (uint64_t)(uintptr_t)command * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> (64 - STATS_COMMAND_SLOT_BITS));
}

static inline struct command_stats *
stats_find(struct stats *stats, const struct command *command)
{
    struct command_stats *place = &stats->commands[stats_hash(command)];
    return LIKELY(place->command == command) ? place : stats_place(stats, command);
}

/** Which bucket a duration falls into. */
static inline uint32_t
stats_bucket(uint64_t ticks)
{
    if (ticks >> STATS_HISTOGRAM_TICK_BITS != 0) {
        return STATS_HISTOGRAM_SIZE - 1;
    }
    uint32_t bits = 63 - (uint32_t)__builtin_clzll(ticks | 1);
    if (bits < STATS_HISTOGRAM_STEP_BITS) {
        return (uint32_t)ticks;
    }
    uint32_t shift = bits - STATS_HISTOGRAM_STEP_BITS;
    return (shift << STATS_HISTOGRAM_STEP_BITS) + (uint32_t)(ticks >> shift);
}

/** The largest duration that falls into a bucket. */
static inline uint64_t
stats_bucket_end(uint32_t bucket)
{
    uint32_t octave = bucket >> STATS_HISTOGRAM_STEP_BITS;
    if (octave == 0) {
        return bucket;
    }
    uint64_t step = (bucket & ((1u << STATS_HISTOGRAM_STEP_BITS) - 1)) +
                    (UINT64_C(1) << STATS_HISTOGRAM_STEP_BITS);
    return ((step + 1) << (octave - 1)) - 1;
}

/** A command ran for so many ticks on this core. */
static inline void
stats_command(struct shard *shard, const struct command *command, uint64_t ticks, bool failed)
{
    struct command_stats *place = stats_find(&shard->stats, command);
    place->call_count++;
    place->tick_count += ticks;
    place->failed_count += failed;
    if (!shard->stats.is_latency_ignored) {
        if (UNLIKELY(place->histogram == NULL)) {
            place->histogram = stats_histogram_new();
        }
        place->histogram->counts[stats_bucket(ticks)]++;
    }
}

/** A command was refused before it ran. */
static inline void
stats_reject(struct shard *shard, const struct command *command)
{
    stats_find(&shard->stats, command)->rejected_count++;
}

/** An error reply was sent; `code` is its first word, reply->error_code. */
void stats_error(struct shard *shard, const char *code);

void stats_sample_take(struct shard *shard);

/** Once a turn: remembers the totals if the last sample is old enough. */
static inline void
stats_sample(struct shard *shard)
{
    if (UNLIKELY(shard->now_ms >= shard->stats.sample_due_ms)) {
        stats_sample_take(shard);
    }
}

/**
 * What happened lately: the difference between now and the oldest sample of the last 1.6 s, or the
 * newest one where all are older (the core slept). `span` gets the differences, at_ms being the
 * milliseconds between; all zero where there is no sample.
 */
void stats_recent(const struct shard *shard, struct stats_sample *span);
