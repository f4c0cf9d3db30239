/*
 * persistence_info.c: INFO's section about files. Names and order are redis-server's, so that
 * dashboards find what they look for; what belongs to a fork is 0 here.
 */
#include "shard/persistence_internal.h"

#include "shard/durable.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

struct text {
    char *at;
    size_t size;
    size_t used;
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

static void
loading_info(const struct persistence *persistence, struct text *text)
{
    struct loader_progress progress;
    bool is_loading = atomic_load(&persistence->node->is_loading);
    text_add(text, "loading:%d\r\nasync_loading:0\r\n", is_loading);
    if (is_loading && loader_progress(persistence->shard, &progress)) {
        double percent = progress.total_size == 0
                             ? 0
                             : 100.0 * (double)progress.loaded_size / (double)progress.total_size;
        text_add(text,
                 "loading_start_time:%lld\r\nloading_total_bytes:%llu\r\n"
                 "loading_rdb_used_mem:0\r\nloading_loaded_bytes:%llu\r\n"
                 "loading_loaded_perc:%.2f\r\nloading_eta_seconds:%llu\r\n",
                 (long long)(progress.start_ms / 1000), (unsigned long long)progress.total_size,
                 (unsigned long long)progress.loaded_size, percent,
                 (unsigned long long)progress.left_s);
    }
}

static void
save_info(const struct persistence *persistence, struct text *text)
{
    const struct save *save = &persistence->save;
    bool is_saving = save->state != SAVE_IDLE && save->kind == SAVE_SNAPSHOT;
    int64_t spent_s = (persistence->shard->now_ms - save->start_ms) / 1000;
    text_add(text,
             "current_cow_peak:0\r\ncurrent_cow_size:0\r\ncurrent_cow_size_age:0\r\n"
             "current_fork_perc:0.00\r\ncurrent_save_keys_processed:0\r\n"
             "current_save_keys_total:0\r\nrdb_changes_since_last_save:%llu\r\n"
             "rdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%lld\r\n"
             "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%lld\r\n"
             "rdb_current_bgsave_time_sec:%lld\r\nrdb_saves:%llu\r\nrdb_last_cow_size:0\r\n"
             "rdb_last_load_keys_expired:%llu\r\nrdb_last_load_keys_loaded:%llu\r\n",
             (unsigned long long)(persistence_change_count(persistence) -
                                  persistence->saved_change_count),
             is_saving, (long long)persistence->last_save_s,
             persistence->has_save_failed ? "err" : "ok", (long long)persistence->last_save_time_s,
             is_saving ? (long long)spent_s : -1LL, (unsigned long long)persistence->save_count,
             (unsigned long long)persistence->loaded_expired_count,
             (unsigned long long)persistence->loaded_key_count);
}

static void
log_info(const struct persistence *persistence, struct text *text)
{
    const struct save *save = &persistence->save;
    const struct logs *logs = &persistence->logs;
    const struct node *node = persistence->node;
    bool is_rewriting = save->state != SAVE_IDLE && save->kind == SAVE_BASE;
    int64_t spent_s = (persistence->shard->now_ms - save->start_ms) / 1000;
    text_add(text,
             "aof_enabled:%d\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\n"
             "aof_last_rewrite_time_sec:%lld\r\naof_current_rewrite_time_sec:%lld\r\n"
             "aof_last_bgrewrite_status:%s\r\naof_rewrites:%llu\r\n"
             "aof_rewrites_consecutive_failures:%llu\r\naof_last_write_status:%s\r\n"
             "aof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n",
             logs->is_on, is_rewriting, persistence->is_rewrite_scheduled,
             (long long)persistence->last_rewrite_time_s, is_rewriting ? (long long)spent_s : -1LL,
             persistence->has_rewrite_failed ? "err" : "ok",
             (unsigned long long)persistence->rewrite_count,
             (unsigned long long)persistence->rewrite_failure_count,
             (atomic_load(&node->write_refusal) & DURABLE_REFUSAL_LOG) != 0 ? "err" : "ok");
    if (!logs->is_on) {
        return;
    }
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        const struct shard_told *told = &node->shards[i]->told;
        uint64_t written = atomic_load_explicit(&told->aof_written_size, memory_order_relaxed);
        uint64_t size = atomic_load_explicit(&told->aof_size, memory_order_relaxed);
        waiting += size > written ? size - written : 0;
    }
    text_add(text,
             "aof_current_size:%llu\r\naof_base_size:%llu\r\naof_pending_rewrite:%d\r\n"
             "aof_buffer_length:%llu\r\naof_pending_bio_fsync:0\r\naof_delayed_fsync:0\r\n",
             (unsigned long long)persistence_log_size(persistence),
             (unsigned long long)logs->base_size, persistence->is_rewrite_scheduled,
             (unsigned long long)waiting);
}

size_t
persistence_info(const struct persistence *persistence, char *out, size_t size)
{
    struct text text = {.at = out, .size = size};
    loading_info(persistence, &text);
    save_info(persistence, &text);
    log_info(persistence, &text);
    return text.used;
}
