/*
 * persistence_log.c: which files the log has, and in which order.
 *
 * The manifest names a base and, in generations, one file for each shard. A cut (a rewrite's, a
 * flush's) ends a generation for all shards at once: each writes on into the next file, which at
 * that moment is only a place in its stream. Here the files are made, in the order of the cuts:
 *
 *     cut: flush            file of its own with the flush    gen 4
 *                           a file for each shard             gen 5   ─▶ manifest ─▶ AOF_MAIL_OPEN
 *     cut: rewrite          a file for each shard             gen 7   ─▶ manifest ─▶ AOF_MAIL_OPEN
 *     base is written       new base, nothing below gen 7             ─▶ manifest ─▶ unlink
 *
 * A shard's answers wait until its file is there, and a file is handed out only when a manifest
 * that names it is on disk. What cannot be written is tried again every second; meanwhile writes
 * are refused (node->write_refusal).
 *
 * A file that the writer calls spoiled is cut to what is known to be good and opened anew; the
 * writer brings the rest again.
 */
#include "shard/persistence_internal.h"

#include "core/heap.h"
#include "core/log.h"
#include "core/number.h"
#include "shard/durable.h"
#include "shard/router_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MS 1000

/** What one task's file work needs and brings: built on core 0, carried out on the file thread. */
struct log_task_files {
    char data_folder[FILE_PATH_SIZE_MAX]; /* `dir` */
    bool was_stored;                      /* the manifest has been on disk before */
    bool is_lost;                         /* and is gone: the new one waits for a new base */
    char folder[FILE_PATH_SIZE_MAX];
    char temporary[FILE_PATH_SIZE_MAX];
    char manifest_path[FILE_PATH_SIZE_MAX];
    struct aof_manifest manifest; /* as it will be */
    char *text;                   /* NULL: it is not listed yet */
    size_t text_size;
    char *barrier_path; /* NULL: none */
    const char *bytes;
    size_t size;
    uint32_t count;
    struct {
        char *name;
        char *path;
        int fd;
    } shards[];
};

/* ---- names ---- */

void
persistence_log_folder(const struct persistence *persistence, char path[FILE_PATH_SIZE_MAX])
{
    snprintf(path, FILE_PATH_SIZE_MAX, "%s", persistence->shard->config->appenddirname);
}

void
persistence_log_path(const struct persistence *persistence, const char *name,
                     char path[FILE_PATH_SIZE_MAX])
{
    char folder[FILE_PATH_SIZE_MAX];
    persistence_log_folder(persistence, folder);
    char *whole = aof_path(folder, name);
    snprintf(path, FILE_PATH_SIZE_MAX, "%s", whole);
    heap_free(whole);
}

static void
manifest_paths(const struct persistence *persistence, char *path, char *temporary)
{
    const char *base = persistence->shard->config->appendfilename;
    char *name = aof_manifest_name(base);
    char *temporary_name = aof_manifest_temporary_name(base);
    persistence_log_path(persistence, name, path);
    persistence_log_path(persistence, temporary_name, temporary);
    heap_free(name);
    heap_free(temporary_name);
}

void
logs_base_name(const struct persistence *persistence, bool is_commands,
               char path[FILE_PATH_SIZE_MAX])
{
    const struct logs *logs = &persistence->logs;
    char *name = aof_base_name(persistence->shard->config->appendfilename,
                               logs->manifest.base_seq_last + 1, !is_commands, false);
    persistence_log_path(persistence, name, path);
    heap_free(name);
}

/* ---- trouble ---- */

static void
log_trouble(struct persistence *persistence, int error, const char *what)
{
    struct logs *logs = &persistence->logs;
    struct node *node = persistence->node;
    if (logs->last_error != error) {
        logs->last_error = error;
        log_write(
            node->log, LOG_WARNING_LEVEL,
            "Error writing to the AOF file (%s): %s. Writes are refused until it works again.",
            what, strerror(-error));
    }
    atomic_store(&node->write_error, -error);
    atomic_fetch_or(&node->write_refusal, DURABLE_REFUSAL_LOG);
}

/** Has everything recovered? */
static void
log_settle(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    struct node *node = persistence->node;
    bool is_failed = logs->task_retry_ms != 0 || logs->is_lost;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        is_failed |= logs->shards[i].is_failed;
    }
    if (!is_failed && logs->last_error != 0) {
        logs->last_error = 0;
        atomic_fetch_and(&node->write_refusal, ~(uint32_t)DURABLE_REFUSAL_LOG);
        log_write(node->log, LOG_WARNING_LEVEL,
                  "AOF write error looks solved. Writes are accepted again.");
    }
}

void
logs_lose(struct persistence *persistence)
{
    persistence->logs.is_lost = true;
    log_trouble(persistence, -ENOENT, "its files are gone");
}

void
logs_found(struct persistence *persistence)
{
    persistence->logs.is_lost = false;
    log_settle(persistence);
}

/* ---- new files for all shards ---- */

static void
task_files_delete(struct log_task_files *files)
{
    aof_manifest_destroy(&files->manifest);
    for (uint32_t i = 0; i < files->count; i++) {
        heap_free(files->shards[i].name);
        heap_free(files->shards[i].path);
        if (files->shards[i].fd >= 0) {
            close(files->shards[i].fd);
        }
    }
    heap_free(files->barrier_path);
    heap_free(files->text);
    heap_free(files);
}

static struct log_task_files *
task_files_new(struct persistence *persistence, const struct log_task *task)
{
    const struct logs *logs = &persistence->logs;
    const char *base = persistence->shard->config->appendfilename;
    uint32_t count = persistence->node->shard_count;
    struct log_task_files *files = heap_alloc(sizeof(*files) + count * sizeof(files->shards[0]));
    memset(files, 0, sizeof(*files) + count * sizeof(files->shards[0]));
    snprintf(files->data_folder, sizeof(files->data_folder), "%s", persistence->shard->config->dir);
    persistence_log_folder(persistence, files->folder);
    manifest_paths(persistence, files->manifest_path, files->temporary);
    files->was_stored = logs->is_listed && logs->manifest.count > 0;
    aof_manifest_copy(&files->manifest, &logs->manifest);
    files->count = count;
    uint64_t seq = logs->manifest.seq_last;
    struct aof_file file = {.type = 'i', .has_generation = true};
    if (task->bytes != NULL) {
        file.name = aof_incr_name(base, ++seq);
        file.seq = seq;
        file.generation = task->generation - 1;
        files->barrier_path = aof_path(files->folder, file.name);
        files->bytes = task->bytes;
        files->size = task->size;
        aof_manifest_add(&files->manifest, &file);
        heap_free(file.name);
    }
    for (uint32_t i = 0; i < count; i++) {
        char *name = aof_incr_name(base, ++seq);
        file = (struct aof_file){.name = name,
                                 .seq = seq,
                                 .type = 'i',
                                 .has_generation = true,
                                 .generation = task->generation,
                                 .shard = i};
        aof_manifest_add(&files->manifest, &file);
        files->shards[i].name = name;
        files->shards[i].path = aof_path(files->folder, name);
        files->shards[i].fd = -1;
    }
    if (logs->is_listed) {
        files->text = aof_manifest_format(&files->manifest, &files->text_size);
    }
    return files;
}

static int
write_barrier(const struct log_task_files *files)
{
    int fd = file_open_new(files->barrier_path);
    if (fd < 0) {
        return fd;
    }
    int rc = file_write_all(fd, files->bytes, files->size);
    if (rc == 0 && fsync(fd) < 0) {
        rc = -errno;
    }
    close(fd);
    return rc;
}

/** File thread. */
static int32_t
run_task(void *context)
{
    struct log_task_files *files = context;
    int rc = folder_return(files->data_folder);
    if (rc >= 0) {
        rc = folder_make(files->folder);
    }
    files->is_lost = rc == 0 && files->was_stored && !file_exists(files->manifest_path);
    if (rc == 0 && files->barrier_path != NULL) {
        rc = write_barrier(files);
    }
    for (uint32_t i = 0; i < files->count && rc == 0; i++) {
        files->shards[i].fd = file_open_new(files->shards[i].path);
        rc = MIN(files->shards[i].fd, 0);
    }
    if (rc == 0 && files->text != NULL && !files->is_lost) {
        rc = file_store(files->temporary, files->manifest_path, files->text, files->text_size);
    }
    return rc < 0 ? rc : folder_sync(files->folder);
}

static void
file_open_at(struct persistence *persistence, uint32_t shard, char *name, int fd)
{
    struct log_shard *log_shard = &persistence->logs.shards[shard];
    struct log_file *file = heap_alloc(sizeof(*file));
    *file = (struct log_file){
        .next = log_shard->files, .number = log_shard->next_number++, .name = name};
    log_shard->files = file;
    struct aof_mail *mail = heap_alloc(sizeof(*mail));
    *mail = (struct aof_mail){.kind = AOF_MAIL_OPEN, .fd = fd};
    router_post(persistence->shard->router, shard, MAIL_AOF, &mail->mail);
}

static void task_start(struct persistence *persistence);

/** The first files are there: from now on clients are served. */
static void
logs_opened(struct persistence *persistence)
{
    struct node *node = persistence->node;
    if (atomic_load(&node->is_loading) && persistence->reload_part == NULL) {
        atomic_store(&node->is_loading, false);
        log_write(node->log, LOG_NOTICE_LEVEL, "Ready to accept connections");
    }
}

static void
task_done(struct persistence *persistence, int32_t result)
{
    struct logs *logs = &persistence->logs;
    struct log_task_files *files = logs->task_files;
    struct log_task *task = logs->tasks;
    logs->is_task_running = false;
    logs->task_files = NULL;
    if (result < 0 && atomic_load(&persistence->node->is_loading) &&
        persistence->reload_part == NULL) {
        task_files_delete(files);
        log_write(persistence->node->log, LOG_WARNING_LEVEL,
                  "Can't open or create the append-only files in %s: %s. Exiting.",
                  persistence->shard->config->appenddirname, strerror(-result));
        persistence->shard->ops.shutdown(persistence->shard->core, SHUTDOWN_FAILED);
        return;
    }
    if (result < 0) {
        task_files_delete(files);
        logs->task_retry_ms = persistence->shard->now_ms + RETRY_MS;
        log_trouble(persistence, result, "a new file");
        return;
    }
    logs->task_retry_ms = 0;
    aof_manifest_destroy(&logs->manifest);
    logs->manifest = files->manifest;
    aof_manifest_create(&files->manifest);
    for (uint32_t i = 0; i < files->count; i++) {
        file_open_at(persistence, i, files->shards[i].name, files->shards[i].fd);
        files->shards[i].name = NULL;
        files->shards[i].fd = -1;
    }
    if (files->is_lost) {
        logs->is_listed = false;
        logs_lose(persistence);
    }
    task_files_delete(files);
    logs->tasks = task->next;
    if (logs->tasks == NULL) {
        logs->tasks_last = NULL;
    }
    heap_free(task->bytes);
    heap_free(task);
    log_settle(persistence);
    logs_opened(persistence);
    task_start(persistence);
}

/** Is all before the cut on disk, at every shard? What follows a flush or a swap is worth nothing
 * without what was before it. */
static bool
is_cut_settled(const struct persistence *persistence, uint64_t cut_number)
{
    for (uint32_t i = 0; i < persistence->node->shard_count; i++) {
        if (persistence->logs.shards[i].cut_count < cut_number) {
            return false;
        }
    }
    return true;
}

/** The manifest is one thing at a time: tasks and a new base follow each other. */
static void
task_start(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    if (logs->tasks == NULL || logs->is_task_running || logs->task_retry_ms != 0 ||
        !is_cut_settled(persistence, logs->tasks->cut_number)) {
        return;
    }
    logs->is_task_running = true;
    logs->task_files = task_files_new(persistence, logs->tasks);
    persistence_work(persistence, &logs->task_work, run_task, logs->task_files, task_done);
}

void
logs_add(struct persistence *persistence, uint64_t generation, char *bytes, size_t size)
{
    struct logs *logs = &persistence->logs;
    struct log_task *task = heap_alloc(sizeof(*task));
    *task = (struct log_task){
        .generation = generation, .bytes = bytes, .size = size, .cut_number = logs->cut_count};
    logs->generation = generation;
    if (logs->tasks_last == NULL) {
        logs->tasks = task;
    } else {
        logs->tasks_last->next = task;
    }
    logs->tasks_last = task;
    task_start(persistence);
}

void
persistence_log_cut(struct persistence *persistence, uint64_t generation, char *bytes, size_t size,
                    bool is_behind_files)
{
    struct logs *logs = &persistence->logs;
    logs->cut_count += is_behind_files;
    logs_add(persistence, generation, bytes, size);
}

static void
forget_files(struct logs *logs, uint32_t shard_count)
{
    for (uint32_t i = 0; i < shard_count; i++) {
        struct log_shard *shard = &logs->shards[i];
        while (shard->files != NULL) {
            struct log_file *file = shard->files;
            shard->files = file->next;
            heap_free(file->name);
            heap_free(file);
        }
        *shard = (struct log_shard){0};
    }
}

uint64_t
logs_next_generation(const struct persistence *persistence)
{
    return persistence->logs.manifest.generation_last + 2;
}

void
logs_begin(struct persistence *persistence, bool is_listed)
{
    struct logs *logs = &persistence->logs;
    forget_files(logs, persistence->node->shard_count);
    logs->is_on = true;
    logs->is_listed = is_listed;
    logs->is_lost = false;
    logs->open_count = persistence->node->shard_count;
    /* The files themselves are asked for at the cut: aof_start(). */
    logs->generation = logs_next_generation(persistence);
    logs->cut_count = 0;
}

/* ---- a new base ---- */

/** File thread. The order is that of redis-server: the manifest first, then what it calls history
 * may go. */
static int32_t
run_base(void *context)
{
    struct log_base *base = context;
    int rc = file_store(base->temporary, base->manifest_path, base->text, base->text_size);
    if (rc < 0) {
        return rc;
    }
    for (uint32_t i = 0; i < base->unlink_count; i++) {
        int ignored = file_unlink(base->unlinks[i]); /* again with the next rewrite */
        (void)ignored;
    }
    return file_store(base->temporary, base->manifest_path, base->clean_text,
                      base->clean_text_size);
}

static void
base_delete(struct log_base *base)
{
    for (uint32_t i = 0; i < base->unlink_count; i++) {
        heap_free(base->unlinks[i]);
    }
    heap_free(base->unlinks);
    heap_free(base->text);
    heap_free(base->clean_text);
    aof_manifest_destroy(&base->manifest);
    heap_free(base);
}

static void
base_done(struct persistence *persistence, int32_t result)
{
    struct logs *logs = &persistence->logs;
    struct log_base *base = logs->base;
    logs->is_task_running = false;
    logs->base = NULL;
    if (result < 0) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL,
                  "The rewritten AOF is not used, its manifest could not be written: %s",
                  strerror(-result));
    } else {
        aof_manifest_destroy(&logs->manifest);
        logs->manifest = base->manifest;
        aof_manifest_create(&base->manifest);
        logs->is_listed = true;
        logs->base_size = base->base_size;
        /* The shards' counters go on; what they had at the cut is in the base now. */
        logs->start_size += base->base_size - base->cut_size;
        log_write(persistence->node->log, LOG_NOTICE_LEVEL,
                  "Background AOF rewrite finished successfully");
        logs_found(persistence);
    }
    base_delete(base);
    persistence_saved(persistence, SAVE_BASE, result);
    task_start(persistence);
}

static bool
base_start(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    const struct save *save = &persistence->save;
    if (logs->is_task_running) {
        return false;
    }
    struct log_base *base = heap_alloc(sizeof(*base));
    memset(base, 0, sizeof(*base));
    logs->base = base;
    manifest_paths(persistence, base->manifest_path, base->temporary);
    aof_manifest_copy(&base->manifest, &logs->manifest);
    uint64_t seq = 0;
    for (uint32_t i = 0; i < base->manifest.count; i++) {
        const struct aof_file *file = &base->manifest.files[i];
        bool is_old = file->type == 'i' && (!logs->is_on || !file->has_generation ||
                                            file->generation < logs->rebase_generation);
        seq = is_old ? MAX(seq, file->seq) : seq;
    }
    aof_manifest_retire(&base->manifest, seq);
    const char *name = strrchr(save->path, '/');
    struct aof_file file = {.name = (char *)(uintptr_t)(name == NULL ? save->path : name + 1),
                            .seq = logs->manifest.base_seq_last + 1,
                            .type = 'b'};
    aof_manifest_add(&base->manifest, &file);
    base->text = aof_manifest_format(&base->manifest, &base->text_size);
    base->unlinks = heap_alloc((base->manifest.count + 1) * sizeof(*base->unlinks));
    bool keeps_history = persistence->shard->config->aof_disable_auto_gc;
    for (uint32_t i = 0; i < base->manifest.count && !keeps_history; i++) {
        if (base->manifest.files[i].type == 'h') {
            char path[FILE_PATH_SIZE_MAX];
            persistence_log_path(persistence, base->manifest.files[i].name, path);
            char *copy = heap_alloc(strlen(path) + 1);
            memcpy(copy, path, strlen(path) + 1);
            base->unlinks[base->unlink_count++] = copy;
        }
    }
    if (!keeps_history) {
        aof_manifest_remove_history(&base->manifest);
    }
    base->clean_text = aof_manifest_format(&base->manifest, &base->clean_text_size);
    base->base_size = save->written_size;
    base->cut_size = save->cut_log_size;
    logs->is_task_running = true;
    persistence_work(persistence, &logs->task_work, run_base, base, base_done);
    return true;
}

void
logs_rebase(struct persistence *persistence, uint64_t generation)
{
    struct logs *logs = &persistence->logs;
    logs->rebase_generation = generation;
    logs->is_rebase_due = !base_start(persistence);
}

/* ---- spoiled files ---- */

static const char *
file_name(const struct log_shard *shard, uint64_t number)
{
    for (const struct log_file *file = shard->files; file != NULL; file = file->next) {
        if (file->number == number) {
            return file->name;
        }
    }
    ASSERT(false);
}

/** File thread: a descriptor. */
static int32_t
run_repair(void *context)
{
    struct log_repair *repair = context;
    int rc = folder_return(repair->data_folder);
    if (rc >= 0) {
        rc = folder_make(repair->folder);
    }
    if (rc < 0) {
        return rc;
    }
    rc = file_truncate(repair->path, repair->size);
    repair->was_missing = rc == -ENOENT;
    if (repair->was_missing) {
        /* What was in it is nowhere but in memory; the writer goes on until all is written anew. */
        return file_open_new(repair->path);
    }
    return rc < 0 ? rc : file_open_write(repair->path);
}

static void
repair_remove(struct logs *logs, struct log_repair *repair)
{
    struct log_repair **at = &logs->repairs;
    while (*at != repair) {
        at = &(*at)->next;
    }
    *at = repair->next;
}

static void
repair_done(struct ring_op *op, int32_t result)
{
    struct log_repair *repair = container_of(op, struct log_repair, work.op);
    struct persistence *persistence = repair->work.persistence;
    repair->is_running = false;
    if (result < 0) {
        persistence->logs.repair_ms = persistence->shard->now_ms + RETRY_MS;
        log_trouble(persistence, result, "truncate");
        return;
    }
    if (repair->was_missing) {
        logs_lose(persistence);
    }
    struct aof_mail *mail = heap_alloc(sizeof(*mail));
    *mail = (struct aof_mail){.kind = AOF_MAIL_RESTART, .fd = result, .size = repair->size};
    router_post(persistence->shard->router, repair->shard, MAIL_AOF, &mail->mail);
    repair_remove(&persistence->logs, repair);
    heap_free(repair);
}

static void
shard_failed(struct persistence *persistence, const struct aof_mail *mail)
{
    struct logs *logs = &persistence->logs;
    struct log_shard *shard = &logs->shards[mail->shard];
    struct log_repair *repair = heap_alloc(sizeof(*repair));
    *repair = (struct log_repair){.next = logs->repairs, .shard = mail->shard, .size = mail->size};
    snprintf(repair->data_folder, sizeof(repair->data_folder), "%s",
             persistence->shard->config->dir);
    persistence_log_folder(persistence, repair->folder);
    persistence_log_path(persistence, file_name(shard, mail->file_number), repair->path);
    logs->repairs = repair;
    shard->is_failed = true;
    if (logs->repair_ms <= persistence->shard->now_ms) {
        logs->repair_ms = persistence->shard->now_ms + RETRY_MS;
    }
    log_trouble(persistence, mail->error, mail->what);
}

static void
shard_closed(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    ASSERT(logs->open_count > 0);
    if (--logs->open_count == 0) {
        logs->is_ending = false;
        logs->is_lost = false;
        forget_files(logs, persistence->node->shard_count);
        log_settle(persistence);
    }
}

void
logs_receive(struct persistence *persistence, struct aof_mail *mail)
{
    switch (mail->kind) {
    case AOF_MAIL_FAILED:
        shard_failed(persistence, mail);
        break;
    case AOF_MAIL_RECOVERED:
        persistence->logs.shards[mail->shard].is_failed = false;
        log_settle(persistence);
        break;
    case AOF_MAIL_CUT:
        persistence->logs.shards[mail->shard].cut_count++;
        task_start(persistence);
        break;
    case AOF_MAIL_CLOSED:
        shard_closed(persistence);
        break;
    case AOF_MAIL_OPEN:
    case AOF_MAIL_RESTART:
    case AOF_MAIL_ASK:
    case AOF_MAIL_ANSWER:
    case AOF_MAIL_COMPLETE:
        ASSERT(false);
    }
    heap_free(mail);
}

/* ---- now and then ---- */

void
logs_tick(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    int64_t now_ms = persistence->shard->now_ms;
    if (logs->task_retry_ms != 0 && now_ms >= logs->task_retry_ms) {
        logs->task_retry_ms = 0;
        task_start(persistence);
        if (!logs->is_task_running) {
            log_settle(persistence);
        }
    }
    if (logs->is_rebase_due && !logs->is_task_running) {
        logs->is_rebase_due = !base_start(persistence);
    }
    if (logs->repairs == NULL || now_ms < logs->repair_ms) {
        return;
    }
    for (struct log_repair *repair = logs->repairs; repair != NULL; repair = repair->next) {
        if (!repair->is_running) {
            repair->is_running = true;
            repair->work.persistence = persistence;
            repair->work.op.done = repair_done;
            ring_work(persistence->shard->ring, &repair->work.op, run_repair, repair);
        }
    }
}

void
logs_destroy(struct persistence *persistence)
{
    struct logs *logs = &persistence->logs;
    forget_files(logs, persistence->node->shard_count);
    aof_manifest_destroy(&logs->manifest);
    while (logs->tasks != NULL) {
        struct log_task *task = logs->tasks;
        logs->tasks = task->next;
        heap_free(task->bytes);
        heap_free(task);
    }
    while (logs->repairs != NULL) {
        struct log_repair *repair = logs->repairs;
        logs->repairs = repair->next;
        heap_free(repair);
    }
    heap_free(logs->shards);
}
