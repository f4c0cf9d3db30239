/*
 * persistence_save.c: one file with all keys, from its first byte to its name.
 *
 *     OPENING   a temporary file beside the one that it is to replace
 *     CUTTING   all shards are closed for an instant: bits flip, logs are cut
 *     WALKING   every shard writes its chunks into the file (shard/snapshot.c)
 *     ENDING    head and tail, fsync, rename, fsync of the folder; for a log's base: the manifest
 *
 * The head is written last: only then is it known whether Valkey's version has to be named.
 * Whatever fails, the old file stays and the temporary one goes.
 */
#include "shard/persistence_internal.h"

#include "core/clock.h"
#include "core/heap.h"
#include "core/log.h"
#include "shard/router_internal.h"
#include "shard/version.h"
#include "shard/view.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Where the first chunk of a snapshot begins. */
static uint64_t
start_offset(const struct save *save)
{
    return (save->is_commands ? 0 : RDB_HEAD_SIZE) + save->libraries.size;
}

static void
save_over(struct persistence *persistence, int error)
{
    struct save *save = &persistence->save;
    struct log *log = persistence->node->log;
    if (save->job != NULL) {
        snapshot_job_delete(save->job);
        save->job = NULL;
    }
    rdb_writer_destroy(&save->libraries);
    if (save->fd >= 0) {
        close(save->fd);
        save->fd = -1;
    }
    if (error != 0) {
        log_write(log, LOG_WARNING_LEVEL, "%s failed: %s",
                  save->kind == SAVE_BASE ? "Background AOF rewrite" : "Background saving",
                  strerror(-error));
        (void)unlink(save->temporary);
        persistence_saved(persistence, save->kind, error);
        return;
    }
    log_write(log, LOG_NOTICE_LEVEL, "DB saved on disk: %llu keys, %llu bytes, %.3f seconds",
              (unsigned long long)save->written_key_count, (unsigned long long)save->written_size,
              (double)(clock_unix_ms() - save->start_ms) / 1000);
    if (save->kind == SAVE_BASE) {
        logs_rebase(persistence, save->cut_generation);
    } else {
        persistence_saved(persistence, save->kind, 0);
    }
}

/* ---- the end of the file ---- */

static int
write_at(int fd, const struct rdb_writer *writer, uint64_t offset)
{
    struct slice bytes = rdb_writer_bytes(writer);
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t size = pwrite(fd, bytes.data + done, bytes.size - done, (off_t)(offset + done));
        if (size < 0 && errno != EINTR) {
            return -errno;
        }
        done += size > 0 ? (size_t)size : 0;
    }
    return 0;
}

/** All parts' chunks, by their place. */
static struct rdb_chunk *
chunks_of(const struct snapshot_job *job, uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        *count += job->parts[i].chunk_count;
    }
    struct rdb_chunk *chunks = heap_alloc(MAX(*count, 1U) * sizeof(*chunks));
    uint32_t next = 0;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        const struct snapshot_part *part = &job->parts[i];
        for (uint32_t j = 0; j < part->chunk_count; j++) {
            chunks[next++] = part->chunks[j];
        }
    }
    qsort(chunks, *count, sizeof(*chunks), rdb_chunk_compare);
    return chunks;
}

static int
write_ends(const struct save *save)
{
    const struct snapshot_job *job = save->job;
    struct rdb_writer head;
    struct rdb_writer tail;
    uint32_t chunk_count;
    struct rdb_chunk *chunks = chunks_of(job, &chunk_count);
    bool has_field_deadlines = false;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        has_field_deadlines |= job->parts[i].has_field_deadlines;
    }
    rdb_writer_create(&head, false);
    rdb_writer_create(&tail, false);
    rdb_write_head(&head, &(struct rdb_head){
                              .version = has_field_deadlines ? RDB_VERSION_VALKEY : RDB_VERSION,
                              .server_version = TESSERA_REDIS_VERSION,
                              .now_s = save->start_ms / 1000,
                              .used_memory = save->used_memory,
                              .is_aof_base = save->kind == SAVE_BASE,
                          });
    rdb_write_bytes(&head, rdb_writer_bytes(&save->libraries));
    uint64_t end = atomic_load(&job->end_offset);
    rdb_write_tail(&tail, chunks, chunk_count, rdb_writer_bytes(&head), end, save->has_checksum);
    int rc = write_at(save->fd, &head, 0);
    if (rc == 0) {
        rc = write_at(save->fd, &tail, end);
    }
    rdb_writer_destroy(&head);
    rdb_writer_destroy(&tail);
    heap_free(chunks);
    return rc;
}

/** File thread. */
static int32_t
run_end(void *context)
{
    struct save *save = context;
    int rc = save->is_commands ? write_at(save->fd, &save->libraries, 0) : write_ends(save);
    return rc < 0 ? rc : file_replace(save->temporary, save->path);
}

static void
end_done(struct persistence *persistence, int32_t result)
{
    save_over(persistence, result);
}

static void
save_end(struct persistence *persistence)
{
    struct save *save = &persistence->save;
    struct snapshot_job *job = save->job;
    int error = atomic_load(&job->error);
    if (error == 0 && atomic_load(&job->is_given_up)) {
        error = -ECANCELED;
    }
    save->written_size = atomic_load(&job->end_offset);
    save->written_key_count = 0;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        save->written_key_count += job->parts[i].key_count;
    }
    if (error != 0) {
        save_over(persistence, error);
        return;
    }
    save->state = SAVE_ENDING;
    persistence_work(persistence, &save->work, run_end, save, end_done);
}

void
save_part_over(struct persistence *persistence)
{
    struct save *save = &persistence->save;
    if (++save->over_count == save->job->shard_count && save->state == SAVE_WALKING) {
        save_end(persistence);
    }
}

/* ---- the beginning ---- */

static void
cut_done(struct persistence *persistence, int32_t result)
{
    struct save *save = &persistence->save;
    (void)result;
    save->state = SAVE_WALKING;
    save->start_change_count = atomic_load(&persistence->cut.change_count);
    save->key_total = atomic_load(&persistence->cut.key_count);
    save->cut_generation = persistence->cut.generation;
    save->cut_log_size = persistence_log_size(persistence);
    if (save->over_count == save->job->shard_count) {
        save_end(persistence); /* there was next to nothing to write */
    }
}

static void
ring_write_chunk(struct shard *shard, struct ring_op *op, int fd, const struct iovec *vector,
                 uint32_t vector_count, uint64_t offset)
{
    ring_write(shard->ring, op, fd, vector, vector_count, offset);
}

static void
open_done(struct persistence *persistence, int32_t result)
{
    struct save *save = &persistence->save;
    struct shard *shard = persistence->shard;
    const struct config *config = shard->config;
    save->fd = result;
    if (save->is_cancelled && result >= 0) {
        save_over(persistence, -ECANCELED);
        return;
    }
    if (save->has_returned) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL,
                  "The folder %s was gone, and is there again: files are written there",
                  save->data_folder);
    }
    if (result < 0) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL,
                  "Failed opening the temp RDB file %s for saving: %s", save->temporary,
                  strerror(-result));
        save_over(persistence, result);
        return;
    }
    rdb_writer_create(&save->libraries, config->rdbcompression && !save->is_commands);
    if (save->is_commands) {
        libraries_write_commands(&persistence->libraries, &save->libraries);
    } else {
        libraries_write_records(&persistence->libraries, &save->libraries);
    }
    struct snapshot_job *job = snapshot_job_new(shard->node->shard_count, start_offset(save));
    save->job = job;
    job->form = save->is_commands ? SNAPSHOT_COMMANDS : SNAPSHOT_RDB;
    job->fd = save->fd;
    job->home = shard->index;
    job->is_compressing = config->rdbcompression;
    job->keeps_idle = view_is_lru(shard);
    job->keeps_frequency = view_is_lfu(shard);
    job->bytes_per_second_max = (uint64_t)config->snapshot_max_bytes_per_second;
    job->start_ns = shard->now_ns;
    job->write = ring_write_chunk;
    save->over_count = 0;
    save->state = SAVE_CUTTING;
    persistence->cut.job = job;
    if (persistence->cut.log == LOG_BEGINS) {
        persistence->cut.generation = logs_next_generation(persistence);
    }
    persistence_cut(persistence, cut_done);
}

/** File thread. */
static int32_t
run_open(void *context)
{
    struct save *save = context;
    int returned = folder_return(save->data_folder);
    if (returned < 0) {
        return returned;
    }
    save->has_returned = returned > 0;
    if (save->kind == SAVE_BASE) {
        int rc = folder_make(save->folder);
        if (rc < 0) {
            return rc;
        }
    }
    return file_open_new(save->temporary);
}

void
save_begin(struct persistence *persistence, enum save_kind kind, enum log_change log)
{
    struct save *save = &persistence->save;
    const struct config *config = persistence->shard->config;
    ASSERT(save->state == SAVE_IDLE);
    save->state = SAVE_OPENING;
    atomic_store(&persistence->node->is_saving, true);
    save->kind = kind;
    save->job = NULL;
    save->fd = -1;
    save->is_cancelled = false;
    save->is_commands = kind == SAVE_BASE && !config->aof_use_rdb_preamble;
    save->has_checksum = config->rdbchecksum;
    save->start_ms = persistence->shard->now_ms;
    save->used_memory = persistence_memory_used(persistence);
    save->has_returned = false;
    save->key_total = 0;
    snprintf(save->data_folder, sizeof(save->data_folder), "%s", config->dir);
    persistence->cut = (struct cut){.log = log};
    if (kind == SAVE_BASE) {
        char name[FILE_PATH_SIZE_MAX];
        snprintf(name, sizeof(name), "temp-rewriteaof-bg-%d.aof", (int)getpid());
        persistence_log_folder(persistence, save->folder);
        persistence_log_path(persistence, name, save->temporary);
        logs_base_name(persistence, save->is_commands, save->path);
        log_write(persistence->node->log, LOG_NOTICE_LEVEL,
                  "Background append only file rewriting started");
    } else {
        snprintf(save->temporary, sizeof(save->temporary), "temp-%d.rdb", (int)getpid());
        snprintf(save->path, sizeof(save->path), "%s", config->dbfilename);
        log_write(persistence->node->log, LOG_NOTICE_LEVEL, "Background saving started");
    }
    persistence_work(persistence, &save->work, run_open, save, open_done);
}

void
save_cancel(struct persistence *persistence)
{
    struct save *save = &persistence->save;
    save->is_cancelled = true;
    if (save->job != NULL && save->state != SAVE_ENDING) {
        atomic_store(&save->job->is_given_up, true);
    }
}

void
save_abandon(struct persistence *persistence)
{
    struct save *save = &persistence->save;
    if (save->state == SAVE_IDLE) {
        return;
    }
    if (save->job != NULL) {
        snapshot_job_delete(save->job);
    }
    rdb_writer_destroy(&save->libraries);
    if (save->fd >= 0) {
        close(save->fd);
        (void)unlink(save->temporary);
    }
}
