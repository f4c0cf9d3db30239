/*
 * stats_data.h: the memory of shard/stats.h, which lies in struct shard. Zeroed is empty and valid.
 */
#pragma once

#include "core/base.h"
#include "core/slice.h"

struct command;

/** Rows, subcommands included, that a server can have: under 400 today, twice that for short
 * probes. */
#define STATS_COMMAND_SLOT_BITS 10
#define STATS_COMMAND_SLOTS (1u << STATS_COMMAND_SLOT_BITS)

/** Different first words of error replies that are told apart. Clients can invent words through
 * scripts; what comes behind is counted by shard_counters alone. */
#define STATS_ERROR_KINDS_MAX 128
#define STATS_ERROR_CODE_SIZE 24

/** As many samples as give 1.6 s at 100 ms each, the span of redis-server's rates. */
#define STATS_SAMPLE_COUNT 16
#define STATS_SAMPLE_INTERVAL_MS 100

/**
 * Durations in ticks, log-linear: each doubling is cut into 64 equal steps, so a percentile is off
 * by 1.6 % at most. From 2^46 ticks on (some hours) all fall into the last bucket.
 */
#define STATS_HISTOGRAM_STEP_BITS 6
#define STATS_HISTOGRAM_TICK_BITS 46
#define STATS_HISTOGRAM_SIZE                                                                       \
    ((STATS_HISTOGRAM_TICK_BITS - STATS_HISTOGRAM_STEP_BITS + 1) << STATS_HISTOGRAM_STEP_BITS)

struct stats_histogram {
    uint64_t counts[STATS_HISTOGRAM_SIZE];
};

struct command_stats {
    const struct command *command; /* NULL: a free place */
    uint64_t call_count;
    uint64_t tick_count;
    uint64_t failed_count;             /* ran and replied an error */
    uint64_t rejected_count;           /* refused before it ran: arity, memory, rights */
    struct stats_histogram *histogram; /* NULL: never called while latency-tracking was on */
};

struct stats_error {
    char code[STATS_ERROR_CODE_SIZE]; /* "WRONGTYPE", zero-padded */
    uint64_t count;
};

/** A shard's totals at one instant. */
struct stats_sample {
    int64_t at_ms; /* 0: none yet */
    uint64_t command_count;
    uint64_t input_size;
    uint64_t output_size;
    uint64_t busy_ns;
    uint64_t idle_ns;
};

struct stats {
    struct command_stats commands[STATS_COMMAND_SLOTS];
    bool is_latency_ignored; /* latency-tracking no */
    uint32_t error_kind_count;
    struct stats_error errors[STATS_ERROR_KINDS_MAX];
    uint32_t sample_next;
    int64_t sample_due_ms;
    struct stats_sample samples[STATS_SAMPLE_COUNT];
};
