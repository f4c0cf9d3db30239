/*
 * memory_internal.h: what the files of MEMORY share: memory.c, which has the rows and asks one key,
 * and memory_report.c, which asks all shards.
 */
#pragma once

#include "shard/call.h"

/** A key's share of its table: a pointer in a bucket that is 0.8 full. */
#define MEMORY_TABLE_SHARE_SIZE 10

/** STATS, DOCTOR, MALLOC-STATS: the part of each shard. */
void memory_report_part(struct part *part);
void memory_stats(struct call *call);
void memory_doctor(struct call *call);
void memory_malloc_stats(struct call *call);
void memory_purge_part(struct part *part);
void memory_purge(struct call *call);
