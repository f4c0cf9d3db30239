/*
 * latency_data.h: the memory of shard/latency.h that lies in struct shard. Zeroed is empty and
 * valid.
 */
#pragma once

#include "core/base.h"

/** As many as redis-server keeps for each event. */
#define LATENCY_SAMPLES_MAX 160

/** What is watched: name. */
#define LATENCY_EVENTS(X)                                                                          \
    X(COMMAND, "command")                                                                          \
    X(FAST_COMMAND, "fast-command")                                                                \
    X(EXPIRE_CYCLE, "expire-cycle")
#define LATENCY_EVENT_ENUM(id, name) LATENCY_##id,
enum latency_event { LATENCY_EVENTS(LATENCY_EVENT_ENUM) LATENCY_EVENT_COUNT };

/** The worst of one second. */
struct latency_sample {
    int64_t unix_s;
    uint64_t ms;
};

struct latency_series {
    uint32_t count;
    uint32_t next;   /* the place of the next sample; the oldest stands there once all are taken */
    uint64_t max_ms; /* ever, or since the last reset */
    struct latency_sample samples[LATENCY_SAMPLES_MAX];
};

struct latency {
    struct latency_series *series[LATENCY_EVENT_COUNT]; /* NULL: no samples */
};
