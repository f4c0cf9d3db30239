/*
 * loader_report.c: what the log and INFO hear of a load.
 *
 * The share of the work that is done is told by positions: all files lie behind each other, and
 * each core says up to where it needs nothing more of them. They walk at their own pace, some past
 * whole files that hold nothing of theirs, so the mean of all positions is what is shown: it rises
 * from 0 to the size of all files, whoever does the work.
 */
#include "core/log.h"
#include "shard/loader_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPORT_INTERVAL_NS UINT64_C(1000000000)
#define MEGABYTE 1e6

/* ---- failures ---- */

/** What helps, by what was loaded. */
static const char *
advice(const struct load_file *file)
{
    if (file == NULL) {
        return "";
    }
    if (file->is_aof) {
        return " Make a backup of the folder, then have tessera-check look at it, which can cut "
               "off what cannot be read.";
    }
    return " Have tessera-check look at the file, or start with another one.";
}

bool
load_fail(struct load *load, int error, const struct load_file *file, uint64_t offset,
          const char *format, ...)
{
    bool is_blamed = false;
    if (!atomic_compare_exchange_strong_explicit(&load->is_blamed, &is_blamed, true,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return false;
    }
    struct loader_result *result = &load->result;
    size_t room = sizeof(result->text);
    va_list arguments;
    va_start(arguments, format);
    int size = 0;
    if (file != NULL && offset != UINT64_MAX) {
        size = snprintf(result->text, room, "%.300s, at offset %llu: ", file->path,
                        (unsigned long long)offset);
    } else if (file != NULL) {
        size = snprintf(result->text, room, "%.300s: ", file->path);
    }
    size_t used = MIN((size_t)MAX(size, 0), room - 1);
    size = vsnprintf(result->text + used, room - used, format, arguments);
    va_end(arguments);
    result->error = error;
    if (error != -ENOENT) { /* whoever asked for the file knows whether it must be there */
        log_write(load->home->node->log, LOG_WARNING_LEVEL, "Loading failed. %s.%s", result->text,
                  error == -EBADMSG ? advice(file) : "");
    }
    /* `error` and `text` are read when the phase has ended, which every core says by mail. */
    atomic_store_explicit(&load->is_failed, true, memory_order_relaxed);
    return false;
}

/* ---- progress ---- */

struct sum {
    uint64_t loaded_size;
    uint64_t key_count;
};

static struct sum
sum_up(const struct load *load)
{
    struct sum sum = {0, 0};
    for (uint32_t i = 0; i < load->core_count; i++) {
        const struct loader *core = &load->cores[i];
        sum.loaded_size += atomic_load_explicit(&core->position, memory_order_relaxed);
        sum.key_count += atomic_load_explicit(&core->held_count, memory_order_relaxed);
    }
    sum.loaded_size /= load->core_count;
    return sum;
}

static uint64_t
left_s(const struct load *load, uint64_t loaded_size, uint64_t spent_ns)
{
    if (loaded_size == 0 || loaded_size >= load->size) {
        return 0;
    }
    double rest = (double)(load->size - loaded_size) / (double)loaded_size;
    return (uint64_t)(rest * (double)spent_ns / 1e9 + 0.5);
}

bool
loader_progress(const struct shard *shard, struct loader_progress *progress)
{
    if (shard->loader == NULL) {
        return false;
    }
    const struct load *load = shard->loader->load;
    struct sum sum = sum_up(load);
    int64_t spent_ms = MAX(shard->now_ms - load->start_ms, 0);
    *progress = (struct loader_progress){
        .start_ms = load->start_ms,
        .total_size = load->size,
        .loaded_size = sum.loaded_size,
        .key_count = sum.key_count,
        .left_s = left_s(load, sum.loaded_size, (uint64_t)spent_ms * 1000000),
    };
    return true;
}

void
load_log_begin(struct load *load)
{
    const char *what = load->source == LOADER_RDB ? "RDB file" : "append-only file";
    log_write(load->home->node->log, LOG_NOTICE_LEVEL,
              "Loading the %s: %u file%s, %.1f MB, on %u core%s", what, load->file_count,
              load->file_count == 1 ? "" : "s", (double)load->size / MEGABYTE, load->core_count,
              load->core_count == 1 ? "" : "s");
}

void
load_log_progress(struct load *load, uint64_t now_ns)
{
    if (now_ns - load->report_ns < REPORT_INTERVAL_NS || load->size == 0) {
        return;
    }
    load->report_ns = now_ns;
    load_files_drop(load);
    struct sum sum = sum_up(load);
    uint64_t spent_ns = now_ns - load->play_ns;
    log_write(load->home->node->log, LOG_NOTICE_LEVEL,
              "Loading: %.0f %%, %llu keys, %.1f MB/s, about %llu s left",
              100.0 * (double)sum.loaded_size / (double)load->size,
              (unsigned long long)sum.key_count,
              (double)sum.loaded_size / MEGABYTE / ((double)MAX(spent_ns, 1) / 1e9),
              (unsigned long long)left_s(load, sum.loaded_size, spent_ns));
}

void
load_log_end(struct load *load)
{
    struct log *log = load->home->node->log;
    const struct loader_result *result = &load->result;
    if (load->libraries->count > 0) {
        log_write(log, LOG_WARNING_LEVEL,
                  "Libraries of functions: %u. They are kept, and written again with the data, but "
                  "this server cannot run them",
                  load->libraries->count);
    }
    if (result->error_count > 0) {
        log_write(log, LOG_WARNING_LEVEL, "%llu commands of the files were answered with an error",
                  (unsigned long long)result->error_count);
    }
    double spent_s = (double)result->spent_ns / 1e9;
    log_write(log, LOG_NOTICE_LEVEL,
              "DB loaded from %s: %.3f seconds, %llu keys, %llu keys whose time was over left out, "
              "%llu commands, %.1f MB/s",
              load->source == LOADER_RDB ? "disk" : "append only file", spent_s,
              (unsigned long long)result->key_count, (unsigned long long)result->expired_count,
              (unsigned long long)result->command_count,
              (double)result->size / MEGABYTE / MAX(spent_s, 1e-6));
}
