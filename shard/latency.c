/*
 * latency.c: series of samples, one for each event and second.
 *
 *     series   [ .. | 12 ms at :07 | 31 ms at :09 | 18 ms at :10 | .. ]   a ring of 160
 *
 * Only what passes latency-monitor-threshold arrives here, so a series comes into being with its
 * first sample. A second has one sample, its worst, on each shard and in the sum of the shards: the
 * merge goes through two ordered series side by side.
 * Invariant: samples of a series are in the order of time, a second at most once.
 */
#include "shard/latency.h"

#include "core/heap.h"

const struct latency_sample *
latency_sample_at(const struct latency_series *series, uint32_t index)
{
    ASSERT(index < series->count);
    uint32_t oldest = series->next + LATENCY_SAMPLES_MAX - series->count;
    return &series->samples[(oldest + index) % LATENCY_SAMPLES_MAX];
}

static void
series_add(struct latency_series *series, int64_t unix_s, uint64_t ms)
{
    series->max_ms = MAX(series->max_ms, ms);
    if (series->count > 0) {
        uint32_t last = (series->next + LATENCY_SAMPLES_MAX - 1) % LATENCY_SAMPLES_MAX;
        /* A clock that was set back goes on in the second that it had reached. */
        if (series->samples[last].unix_s >= unix_s) {
            series->samples[last].ms = MAX(series->samples[last].ms, ms);
            return;
        }
    }
    series->samples[series->next] = (struct latency_sample){.unix_s = unix_s, .ms = ms};
    series->next = (series->next + 1) % LATENCY_SAMPLES_MAX;
    series->count = MIN(series->count + 1, (uint32_t)LATENCY_SAMPLES_MAX);
}

void
latency_add(struct shard *shard, enum latency_event event, uint64_t ms)
{
    struct latency_series **series = &shard->latency.series[event];
    if (*series == NULL) {
        *series = heap_alloc(sizeof(**series));
        memset(*series, 0, sizeof(**series));
    }
    series_add(*series, shard->now_ms / 1000, ms);
}

bool
latency_reset(struct shard *shard, enum latency_event event)
{
    struct latency_series *series = shard->latency.series[event];
    shard->latency.series[event] = NULL;
    heap_free(series);
    return series != NULL;
}

void
latency_destroy(struct shard *shard)
{
    for (uint32_t i = 0; i < LATENCY_EVENT_COUNT; i++) {
        latency_reset(shard, (enum latency_event)i);
    }
}

void
latency_merge(struct latency_series *series, const struct latency_series *other)
{
    struct latency_series sum = {.max_ms = MAX(series->max_ms, other->max_ms)};
    uint32_t i = 0;
    uint32_t j = 0;
    while (i < series->count || j < other->count) {
        const struct latency_sample *a = i < series->count ? latency_sample_at(series, i) : NULL;
        const struct latency_sample *b = j < other->count ? latency_sample_at(other, j) : NULL;
        bool is_first = b == NULL || (a != NULL && a->unix_s <= b->unix_s);
        series_add(&sum, is_first ? a->unix_s : b->unix_s, is_first ? a->ms : b->ms);
        i += is_first;
        j += !is_first;
    }
    *series = sum;
}

#define LATENCY_EVENT_NAME(id, name) name,
static const char *const event_names[] = {LATENCY_EVENTS(LATENCY_EVENT_NAME)};

const char *
latency_event_name(enum latency_event event)
{
    ASSERT(event < LATENCY_EVENT_COUNT);
    return event_names[event];
}

enum latency_event
latency_event_find(struct slice name)
{
    uint32_t i = 0;
    while (i < LATENCY_EVENT_COUNT && !slice_equal(name, slice_of_string(event_names[i]))) {
        i++;
    }
    return (enum latency_event)i;
}
