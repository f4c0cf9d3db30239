/*
 * persistence_folder.c: a log whose files somebody has removed while it is written.
 *
 *     once a second, on the file thread      manifest, base, each shard's file: all there?
 *         yes                                nothing
 *         no, but `dir` is there (again)     writes are refused; rewrite ─▶ accepted again
 *         no, and `dir` is gone              writes are refused; look again
 *
 * Whoever has a removed file open can go on writing to it, and the kernel calls that a success; but
 * nothing of it will ever be read. So it takes a look from outside to find out. What is in memory
 * is whole: the log is written anew as soon as there is a folder. A folder that was removed and
 * made again is another one, though it has the same name: folder_return() goes there.
 *
 * A file that was renamed and is renamed back is the same as ever, and so is its log.
 *
 * Invariant: a look and other file work of the log never overlap, so that no file is missed that a
 * rewrite has just replaced.
 * Rejected: inotify (a descriptor and its events for what hardly ever happens), and asking for the
 * number of links of the open files at each sync (the writers would have to know names).
 */
#include "shard/persistence_internal.h"

#include "core/heap.h"
#include "core/log.h"
#include "core/ring_fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 1000
/** A rewrite that has failed is tried again after this. */
#define RETRY_MS 5000

/** What a look found. */
enum {
    LOOK_GOOD,
    LOOK_FILES_MISSING, /* or the log's folder with all of them */
};

struct folder_look {
    struct file_work work;
    char data_folder[FILE_PATH_SIZE_MAX];
    bool has_returned; /* it was gone, and is there again */
    uint32_t count;
    char *paths[];
};

/* ---- what is looked for ---- */

static void
look_add(const struct persistence *persistence, struct folder_look *look, const char *name)
{
    char path[FILE_PATH_SIZE_MAX];
    persistence_log_path(persistence, name, path);
    size_t size = strlen(path) + 1;
    look->paths[look->count] = heap_alloc(size);
    memcpy(look->paths[look->count++], path, size);
}

static struct folder_look *
look_new(const struct persistence *persistence)
{
    const struct logs *logs = &persistence->logs;
    const struct config *config = persistence->shard->config;
    uint32_t shard_count = persistence->node->shard_count;
    size_t size = sizeof(struct folder_look) + (shard_count + 2) * sizeof(char *);
    struct folder_look *look = heap_alloc(size);
    memset(look, 0, size);
    snprintf(look->data_folder, sizeof(look->data_folder), "%s", config->dir);
    char *manifest = aof_manifest_name(config->appendfilename);
    look_add(persistence, look, manifest);
    heap_free(manifest);
    for (uint32_t i = 0; i < logs->manifest.count; i++) {
        if (logs->manifest.files[i].type == 'b') {
            look_add(persistence, look, logs->manifest.files[i].name);
            break;
        }
    }
    for (uint32_t i = 0; i < shard_count; i++) {
        if (logs->shards[i].files != NULL) {
            look_add(persistence, look, logs->shards[i].files->name);
        }
    }
    return look;
}

static void
look_delete(struct folder_look *look)
{
    for (uint32_t i = 0; i < look->count; i++) {
        heap_free(look->paths[i]);
    }
    heap_free(look);
}

/** File thread: LOOK_, or -errno where there is no data folder. */
static int32_t
run_look(void *context)
{
    struct folder_look *look = context;
    int returned = folder_return(look->data_folder);
    if (returned < 0) {
        return returned;
    }
    look->has_returned = returned > 0;
    for (uint32_t i = 0; i < look->count; i++) {
        if (!file_exists(look->paths[i])) {
            return LOOK_FILES_MISSING;
        }
    }
    return LOOK_GOOD;
}

/* ---- what follows ---- */

static bool
may_rewrite(const struct persistence *persistence)
{
    int64_t since_ms = persistence->shard->now_ms - persistence->save_try_ms;
    return !persistence->has_rewrite_failed || since_ms >= RETRY_MS;
}

static void
look_done(struct persistence *persistence, int32_t result)
{
    struct logs *logs = &persistence->logs;
    struct folder_look *look = logs->look;
    bool has_returned = look->has_returned;
    logs->look = NULL;
    look_delete(look);
    if (!logs->is_on) {
        return;
    }
    if (has_returned) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL,
                  "The data folder was gone, and is there again");
    }
    if (result == LOOK_GOOD && logs->is_listed) {
        if (logs->is_lost) {
            logs_found(persistence);
        }
        return;
    }
    logs_lose(persistence);
    if (result >= 0 && may_rewrite(persistence)) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL,
                  "The append-only file is gone. It is written anew");
        persistence->is_rewrite_scheduled = true;
    }
}

void
folder_tick(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    struct ring *ring = persistence->shard->ring;
    bool is_settled = logs->is_on && (logs->is_listed || logs->is_lost) && logs->look == NULL &&
                      !logs->is_task_running && logs->tasks == NULL && logs->repairs == NULL &&
                      persistence->save.state == SAVE_IDLE && !persistence->is_shutting_down &&
                      !atomic_load(&persistence->node->is_loading);
    /* Faults are counted: this is none of the operations that a test means. */
    if (!is_settled || persistence->shard->now_ms < logs->look_ms ||
        ring_fault_is_set(ring_faults_of(ring), RING_FAULT_WORK)) {
        return;
    }
    logs->look_ms = persistence->shard->now_ms + LOOK_MS;
    logs->look = look_new(persistence);
    persistence_work(persistence, &logs->look->work, run_look, logs->look, look_done);
}
