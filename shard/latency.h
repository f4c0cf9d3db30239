/*
 * latency.h: the latency monitor: when did something take too long, the worst of each second.
 * Each shard keeps its own series; LATENCY puts those of all shards together. Owner: the shard's
 * core.
 */
#pragma once

#include "shard/latency_data.h"
#include "shard/shard.h"

/** An event took longer than the monitor's threshold. */
void latency_add(struct shard *shard, enum latency_event event, uint64_t ms);

/** An event took so long. */
static inline void
latency_note(struct shard *shard, enum latency_event event, uint64_t ms)
{
    int64_t threshold_ms = shard->config->latency_monitor_threshold_ms;
    if (UNLIKELY(threshold_ms > 0) && ms >= (uint64_t)threshold_ms) {
        latency_add(shard, event, ms);
    }
}

/** Forget an event's samples. False: there were none. */
bool latency_reset(struct shard *shard, enum latency_event event);
/** Forget all; the monitor is empty and valid afterwards. */
void latency_destroy(struct shard *shard);

/** Sample `index` of a series, the oldest first. index < series->count. Any thread. */
const struct latency_sample *latency_sample_at(const struct latency_series *series, uint32_t index);
/** Add the samples of another shard: the worst of each second, the newest
 * LATENCY_SAMPLES_MAX. Any thread. */
void latency_merge(struct latency_series *series, const struct latency_series *other);
/** The event's name: "fast-command". */
const char *latency_event_name(enum latency_event event);
/** LATENCY_EVENT_COUNT where there is no such event. Names are in lower case, and exact. */
enum latency_event latency_event_find(struct slice name);
