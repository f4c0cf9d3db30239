/*
 * memory_report.c: MEMORY STATS, DOCTOR, MALLOC-STATS and PURGE: what memory goes where, and
 * whether that is as it should be.
 *
 * The numbers are INFO's, asked of all shards in the same way and added up by the same functions,
 * so that the two never disagree. What each database's tables take is arithmetic: a key's share of
 * a table whose buckets are 0.8 full, and a node of the wheel for a deadline.
 *
 * The doctor looks for what can be told from the sums alone: data that came and went (the peak is
 * far away), pages that the allocator keeps, RAM beyond the allocator, clients that do not read.
 * PURGE lets every core give back what it has free; it takes as long as that takes, on all of them.
 */
#include "core/heap.h"
#include "shard/command/info_internal.h"
#include "shard/command/memory_internal.h"

#include <stdio.h>

/** Below this used memory a doctor has nothing to look at. */
#define DOCTOR_USED_SIZE_LEAST (UINT64_C(5) << 20)
/** Gaps smaller than this are nobody's trouble. */
#define DOCTOR_GAP_SIZE_LEAST (UINT64_C(10) << 20)
#define DOCTOR_PEAK_RATIO 1.5
#define DOCTOR_GAP_RATIO 1.4
/** Bytes for each client from which their buffers are worth a look. */
#define DOCTOR_CLIENT_SIZE (UINT64_C(200) << 10)

#define REPORT_SECTIONS (1u << INFO_MEMORY | 1u << INFO_CLIENTS)

/** What the reports have in common, from the sums. */
struct report {
    struct info_sum sum;
    struct info_allocator allocator;
    uint64_t used;
    uint64_t peak;
    uint64_t start;
    uint64_t data;
    uint64_t resident;
    uint64_t key_count;
};

static double
ratio(uint64_t outer, uint64_t inner)
{
    return inner == 0 ? 0 : (double)outer / (double)inner;
}

static void
report_create(struct report *report, const struct call *call)
{
    info_sum_create(&report->sum, call);
    const struct info_sum *sum = &report->sum;
    report->allocator = info_allocator(sum);
    report->used = sum->memory_used_size;
    report->peak = MAX(sum->memory_peak_size, sum->memory_used_size);
    report->start = MIN(sum->memory_start_size, report->used);
    report->data = MIN(sum->data_size, report->used);
    report->resident = process_resident_size();
    report->key_count = 0;
    for (uint32_t i = 0; i < sum->part_count; i++) {
        report->key_count += sum->parts[i]->key_count;
    }
}

void
memory_report_part(struct part *part)
{
    info_collect(part, REPORT_SECTIONS);
}

/* ---- STATS ---- */

static void
stats_number(struct call *call, const char *name, uint64_t value)
{
    reply_bulk_string(call->reply, name);
    reply_i64(call->reply, (int64_t)value);
}

/** How much more the one is than the other, as a ratio and in bytes. */
static void
stats_gap(struct call *call, const char *ratio_name, const char *bytes_name, uint64_t outer,
          uint64_t inner)
{
    reply_bulk_string(call->reply, ratio_name);
    reply_double(call->reply, ratio(outer, inner));
    reply_bulk_string(call->reply, bytes_name);
    reply_i64(call->reply, (int64_t)outer - (int64_t)inner);
}

/** A map of its own for each database that has keys. Returns how many. */
static uint64_t
stats_databases(struct call *call, const struct info_sum *sum)
{
    uint64_t count = 0;
    for (uint32_t db = 0; db < sum->parts[0]->database_count; db++) {
        uint64_t key_count = 0;
        uint64_t deadline_count = 0;
        for (uint32_t i = 0; i < sum->part_count; i++) {
            key_count += sum->parts[i]->databases[db].key_count;
            deadline_count += sum->parts[i]->databases[db].deadline_count;
        }
        if (key_count > 0) {
            char name[32];
            snprintf(name, sizeof(name), "db.%u", db);
            reply_bulk_string(call->reply, name);
            reply_map(call->reply, 3);
            stats_number(call, "overhead.hashtable.main", key_count * MEMORY_TABLE_SHARE_SIZE);
            stats_number(call, "overhead.hashtable.expires",
                         deadline_count * sizeof(struct wheel_node));
            stats_number(call, "overhead.hashtable.slot-to-keys", 0);
            count++;
        }
    }
    return count;
}

static void
stats_allocator(struct call *call, const struct report *report)
{
    const struct info_allocator *allocator = &report->allocator;
    stats_number(call, "allocator.allocated", allocator->allocated);
    stats_number(call, "allocator.active", allocator->active);
    stats_number(call, "allocator.resident", allocator->resident);
    stats_gap(call, "allocator-fragmentation.ratio", "allocator-fragmentation.bytes",
              allocator->active, allocator->allocated);
    stats_gap(call, "allocator-rss.ratio", "allocator-rss.bytes", allocator->resident,
              allocator->active);
    stats_gap(call, "rss-overhead.ratio", "rss-overhead.bytes", report->resident,
              allocator->resident);
    stats_gap(call, "fragmentation", "fragmentation.bytes", report->resident, report->used);
}

void
memory_stats(struct call *call)
{
    struct report report;
    report_create(&report, call);
    struct reply_later later = reply_later(call->reply);
    stats_number(call, "peak.allocated", report.peak);
    stats_number(call, "total.allocated", report.used);
    stats_number(call, "startup.allocated", report.start);
    stats_number(call, "replication.backlog", 0);
    stats_number(call, "clients.slaves", 0);
    stats_number(call, "clients.normal", report.sum.session_memory_size);
    stats_number(call, "cluster.links", 0);
    stats_number(call, "aof.buffer", 0);
    stats_number(call, "lua.caches", 0);
    stats_number(call, "functions.caches", 0);
    uint64_t count = 10 + stats_databases(call, &report.sum);
    stats_number(call, "overhead.total", report.used - report.data);
    stats_number(call, "keys.count", report.key_count);
    stats_number(call, "keys.bytes-per-key",
                 report.key_count == 0 ? 0 : (report.used - report.start) / report.key_count);
    stats_number(call, "dataset.bytes", report.data);
    reply_bulk_string(call->reply, "dataset.percentage");
    reply_double(call->reply, 100 * MIN(ratio(report.data, report.used - report.start), 1.0));
    reply_bulk_string(call->reply, "peak.percentage");
    reply_double(call->reply, 100 * ratio(report.used, report.peak));
    stats_allocator(call, &report);
    reply_later_map(call->reply, later, count + 6 + 11);
    info_sum_destroy(&report.sum);
}

/* ---- DOCTOR ---- */

static bool
is_gap(uint64_t outer, uint64_t inner)
{
    return outer > inner + DOCTOR_GAP_SIZE_LEAST && ratio(outer, inner) > DOCTOR_GAP_RATIO;
}

static void
doctor_gaps(const struct report *report, struct output *out)
{
    const struct info_allocator *allocator = &report->allocator;
    if (is_gap(allocator->active, allocator->allocated)) {
        info_print(out,
                   " * The allocator has %.2f times the memory that is in use: pages are "
                   "partly free.\n   MEMORY PURGE gives back those that are wholly free.\n\n",
                   ratio(allocator->active, allocator->allocated));
    }
    if (is_gap(allocator->resident, allocator->active)) {
        info_print(out,
                   " * %.2f times what the allocator has is in RAM: free pages wait to be "
                   "given back.\n   MEMORY PURGE does so at once.\n\n",
                   ratio(allocator->resident, allocator->active));
    }
    if (is_gap(report->resident, allocator->resident)) {
        info_print(out,
                   " * The process takes %.2f times the RAM of its data and buffers: look for "
                   "mapped files and\n   other libraries' memory.\n\n",
                   ratio(report->resident, allocator->resident));
    }
}

static void
doctor_print(const struct report *report, struct output *out)
{
    if (report->used < DOCTOR_USED_SIZE_LEAST) {
        info_print(out, "There is so little data that nothing can be said about its memory.\n");
        return;
    }
    if (ratio(report->peak, report->used) > DOCTOR_PEAK_RATIO) {
        info_print(out,
                   " * At its peak memory was %.2f times of what it is now. What was freed "
                   "may still be\n   resident, and the ratios below tell of that.\n\n",
                   ratio(report->peak, report->used));
    }
    doctor_gaps(report, out);
    const struct info_sum *sum = &report->sum;
    if (sum->session_count > 0 &&
        sum->session_memory_size / sum->session_count > DOCTOR_CLIENT_SIZE) {
        info_print(out,
                   " * The buffers of a client take %llu bytes on average: CLIENT LIST shows "
                   "(tot-mem) who\n   does not read, client-output-buffer-limit bounds it.\n\n",
                   (unsigned long long)(sum->session_memory_size / sum->session_count));
    }
    if (output_is_empty(out)) {
        info_print(out, "No trouble with memory is to be seen.\n");
    }
}

static void
report_reply(struct call *call, struct output *out)
{
    char *text = output_flatten(out);
    reply_verbatim(call->reply, slice_of(text, out->byte_count), "txt");
    heap_free(text);
    output_destroy(out);
}

void
memory_doctor(struct call *call)
{
    struct report report;
    report_create(&report, call);
    struct output out;
    output_create(&out);
    doctor_print(&report, &out);
    report_reply(call, &out);
    info_sum_destroy(&report.sum);
}

/* ---- MALLOC-STATS, PURGE ---- */

void
memory_malloc_stats(struct call *call)
{
    struct report report;
    report_create(&report, call);
    struct output out;
    output_create(&out);
    info_print(&out, "%s: allocated %llu, active %llu, resident %llu\n", info_allocator_name(),
               (unsigned long long)report.allocator.allocated,
               (unsigned long long)report.allocator.active,
               (unsigned long long)report.allocator.resident);
    for (uint32_t i = 0; i < report.sum.part_count; i++) {
        const struct info_part *part = report.sum.parts[i];
        info_print(&out, "core %u: used %llu, peak %llu, keys and values %llu, clients %llu\n",
                   part->shard_index, (unsigned long long)part->memory_used_size,
                   (unsigned long long)part->memory_peak_size, (unsigned long long)part->data_size,
                   (unsigned long long)part->session_memory_size);
    }
    report_reply(call, &out);
    info_sum_destroy(&report.sum);
}

void
memory_purge_part(struct part *part)
{
    MAYBE(part->shard != NULL);
    heap_give_back();
}

void
memory_purge(struct call *call)
{
    reply_ok(call->reply);
}
