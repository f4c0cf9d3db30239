/*
 * latency_internal.h: what the files of LATENCY share.
 */
#pragma once

#include "shard/call.h"
#include "shard/latency.h"

/** All shards' samples together: LATENCY_EVENT_COUNT series, empty ones included. For heap_free().
 * Of a call whose parts are latency_copy_part()'s. */
struct latency_series *latency_sum(const struct call *call);
/** Copies the shard's series. */
void latency_copy_part(struct part *part);

/* latency_report.c */
void latency_graph(struct call *call);
void latency_doctor(struct call *call);

/* latency_histogram.c */
void latency_histogram_part(struct part *part);
void latency_histogram(struct call *call);
