/*
 * persistence_info.c: INFO's section about files. Names and order are redis-server's, so that
 * dashboards find what they look for; what belongs to a fork is 0 here.
 *
 *     core 0, in its part of INFO     persistence_facts()        what goes on, what came of it
 *     every core, in its part         shard_tell()               changes, bytes of the log
 *     whoever answers, behind both    persistence_facts_show()   text
 *
 * Sums over the shards are taken last, when all of them have told: who has an answer sees its own
 * change counted.
 */
#include "shard/persistence_internal.h"

#include "shard/durable.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- core 0 ---- */

void
persistence_facts(const struct persistence *persistence, struct persistence_facts *facts)
{
    const struct save *save = &persistence->save;
    const struct logs *logs = &persistence->logs;
    const struct node *node = persistence->node;
    int64_t now_s = persistence->shard->now_ms / 1000;
    bool is_idle = save->state == SAVE_IDLE;
    uint32_t refusal = atomic_load(&node->write_refusal);
    *facts = (struct persistence_facts){
        .is_known = true,
        .is_loading = atomic_load(&node->is_loading),
        .is_saving = !is_idle && save->kind == SAVE_SNAPSHOT,
        .is_rewriting = !is_idle && save->kind == SAVE_BASE,
        .is_rewrite_scheduled = persistence->is_rewrite_scheduled,
        .has_save_failed = persistence->has_save_failed,
        .has_rewrite_failed = persistence->has_rewrite_failed,
        .has_log = logs->is_on,
        .has_log_failed = (refusal & DURABLE_REFUSAL_LOG) != 0,
        .spent_s = is_idle ? -1 : MAX(now_s - save->start_ms / 1000, INT64_C(0)),
        .save_key_total = is_idle ? 0 : save->key_total,
        .saved_change_count = persistence->saved_change_count,
        .last_save_s = persistence->last_save_s,
        .last_save_time_s = persistence->last_save_time_s,
        .save_count = persistence->save_count,
        .loaded_expired_count = persistence->loaded_expired_count,
        .loaded_key_count = persistence->loaded_key_count,
        .last_rewrite_time_s = persistence->last_rewrite_time_s,
        .rewrite_count = persistence->rewrite_count,
        .rewrite_failure_count = persistence->rewrite_failure_count,
        .log_start_size = logs->start_size,
        .log_base_size = logs->base_size,
    };
    facts->has_progress =
        facts->is_loading && loader_progress(persistence->shard, &facts->progress);
}

/* ---- any core ---- */

struct text {
    char *at;
    size_t size;
    size_t used;
};

/** What the shards have told. */
struct told_sum {
    uint64_t change_count;
    uint64_t log_size;
    uint64_t waiting_size;
    uint64_t saved_key_count;
};

static void PRINTF_LIKE(2, 3) text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text->at + text->used, text->size - text->used, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0 && (size_t)size < text->size - text->used);
    text->used += (size_t)size;
}

static struct told_sum
sum_up(const struct node *node)
{
    struct told_sum sum = {0};
    for (uint32_t i = 0; i < node->shard_count; i++) {
        const struct shard_told *told = &node->shards[i]->told;
        uint64_t written = atomic_load_explicit(&told->aof_written_size, memory_order_relaxed);
        uint64_t size = atomic_load_explicit(&told->aof_size, memory_order_relaxed);
        sum.change_count += atomic_load_explicit(&told->change_count, memory_order_relaxed);
        sum.saved_key_count += atomic_load_explicit(&told->saved_key_count, memory_order_relaxed);
        sum.log_size += size;
        sum.waiting_size += size > written ? size - written : 0;
    }
    return sum;
}

static double
percent(uint64_t part, uint64_t total)
{
    return total == 0 ? 0 : 100.0 * (double)MIN(part, total) / (double)total;
}

static void
show_loading(const struct persistence_facts *facts, struct text *text)
{
    const struct loader_progress *progress = &facts->progress;
    text_add(text, "loading:%d\r\nasync_loading:0\r\n", facts->is_loading);
    if (facts->has_progress) {
        text_add(text,
                 "loading_start_time:%lld\r\nloading_total_bytes:%llu\r\n"
                 "loading_rdb_used_mem:0\r\nloading_loaded_bytes:%llu\r\n"
                 "loading_loaded_perc:%.2f\r\nloading_eta_seconds:%llu\r\n",
                 (long long)(progress->start_ms / 1000), (unsigned long long)progress->total_size,
                 (unsigned long long)progress->loaded_size,
                 percent(progress->loaded_size, progress->total_size),
                 (unsigned long long)progress->left_s);
    }
}

static void
show_save(const struct persistence_facts *facts, const struct told_sum *sum, struct text *text)
{
    uint64_t done = MIN(sum->saved_key_count, facts->save_key_total);
    uint64_t changes = sum->change_count - facts->saved_change_count;
    text_add(text,
             "current_cow_peak:0\r\ncurrent_cow_size:0\r\ncurrent_cow_size_age:0\r\n"
             "current_fork_perc:%.2f\r\ncurrent_save_keys_processed:%llu\r\n"
             "current_save_keys_total:%llu\r\nrdb_changes_since_last_save:%llu\r\n"
             "rdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%lld\r\n"
             "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%lld\r\n"
             "rdb_current_bgsave_time_sec:%lld\r\nrdb_saves:%llu\r\nrdb_last_cow_size:0\r\n"
             "rdb_last_load_keys_expired:%llu\r\nrdb_last_load_keys_loaded:%llu\r\n",
             percent(done, facts->save_key_total), (unsigned long long)done,
             (unsigned long long)facts->save_key_total, (unsigned long long)changes,
             facts->is_saving, (long long)facts->last_save_s, facts->has_save_failed ? "err" : "ok",
             (long long)facts->last_save_time_s,
             facts->is_saving ? (long long)facts->spent_s : -1LL,
             (unsigned long long)facts->save_count, (unsigned long long)facts->loaded_expired_count,
             (unsigned long long)facts->loaded_key_count);
}

static void
show_log(const struct persistence_facts *facts, const struct told_sum *sum, struct text *text)
{
    text_add(text,
             "aof_enabled:%d\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\n"
             "aof_last_rewrite_time_sec:%lld\r\naof_current_rewrite_time_sec:%lld\r\n"
             "aof_last_bgrewrite_status:%s\r\naof_rewrites:%llu\r\n"
             "aof_rewrites_consecutive_failures:%llu\r\naof_last_write_status:%s\r\n"
             "aof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n",
             facts->has_log, facts->is_rewriting, facts->is_rewrite_scheduled,
             (long long)facts->last_rewrite_time_s,
             facts->is_rewriting ? (long long)facts->spent_s : -1LL,
             facts->has_rewrite_failed ? "err" : "ok", (unsigned long long)facts->rewrite_count,
             (unsigned long long)facts->rewrite_failure_count,
             facts->has_log_failed ? "err" : "ok");
    if (!facts->has_log) {
        return;
    }
    text_add(text,
             "aof_current_size:%llu\r\naof_base_size:%llu\r\naof_pending_rewrite:%d\r\n"
             "aof_buffer_length:%llu\r\naof_pending_bio_fsync:0\r\naof_delayed_fsync:0\r\n",
             (unsigned long long)(facts->log_start_size + sum->log_size),
             (unsigned long long)facts->log_base_size, facts->is_rewrite_scheduled,
             (unsigned long long)sum->waiting_size);
}

size_t
persistence_facts_show(const struct persistence_facts *facts, const struct node *node, char *out,
                       size_t size)
{
    struct text text = {.at = out, .size = size};
    struct told_sum sum = sum_up(node);
    show_loading(facts, &text);
    show_save(facts, &sum, &text);
    show_log(facts, &sum, &text);
    return text.used;
}
