/*
 * persistence_load.c: the start: which files there are, and in which order things come to life.
 *
 *     appendonly yes   the folder's manifest; else a log of one file, as redis-server wrote them
 *                      before 7.0, which becomes the folder's base; else nothing is there yet
 *     appendonly no    the snapshot, if there is one
 *
 * Then the shards' logs begin, in files that the manifest names, and only then are clients served.
 * As redis-server, a server with appendonly does not look at the snapshot.
 */
#include "shard/persistence_internal.h"

#include "core/clock.h"
#include "core/heap.h"
#include "core/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
load_failed(struct persistence *persistence, const char *why)
{
    log_write(persistence->node->log, LOG_WARNING_LEVEL,
              "Fatal error loading the data. %s. Exiting.", why);
    persistence->shard->ops.shutdown(persistence->shard->core, SHUTDOWN_FAILED);
}

static void
served(struct persistence *persistence, int32_t result)
{
    (void)result;
    struct logs *logs = &persistence->logs;
    if (!logs->is_on) {
        atomic_store(&persistence->node->is_loading, false);
        log_write(persistence->node->log, LOG_NOTICE_LEVEL, "Ready to accept connections");
    }
    /* Else with the first files: logs_opened(). */
}

/** Everything is in memory: begin the logs, open the doors. */
static void
go_on(struct persistence *persistence)
{
    const struct config *config = persistence->shard->config;
    persistence->cut = (struct cut){.ends_load = true};
    if (config->appendonly) {
        logs_begin(persistence, true);
        persistence->cut.log = LOG_BEGINS;
        persistence->cut.generation = persistence->logs.generation;
    }
    persistence_cut(persistence, served);
}

static void
loaded(void *context, const struct loader_result *result)
{
    struct persistence *persistence = context;
    if (result->error != 0) {
        load_failed(persistence, result->text);
        return;
    }
    persistence->loaded_key_count = result->key_count;
    persistence->loaded_expired_count = result->expired_count;
    persistence->logs.base_size = result->size;
    persistence->logs.start_size = result->size;
    go_on(persistence);
}

/** A log of one file becomes the folder's first base. 0 or -errno. */
static int
adopt_file(struct persistence *persistence, const char *manifest_path)
{
    const struct config *config = persistence->shard->config;
    char folder[FILE_PATH_SIZE_MAX];
    char path[FILE_PATH_SIZE_MAX];
    char temporary[FILE_PATH_SIZE_MAX];
    struct aof_manifest manifest;
    persistence_log_folder(persistence, folder);
    persistence_log_path(persistence, config->appendfilename, path);
    persistence_log_path(persistence, "temp-manifest", temporary);
    log_write(persistence->node->log, LOG_NOTICE_LEVEL,
              "Migrating the old append only file %s into %s", config->appendfilename, folder);
    int rc = folder_make(folder);
    if (rc < 0) {
        return rc;
    }
    aof_manifest_create(&manifest);
    aof_manifest_add(&manifest,
                     &(struct aof_file){
                         .name = (char *)(uintptr_t)config->appendfilename, .seq = 1, .type = 'b'});
    size_t size;
    char *text = aof_manifest_format(&manifest, &size);
    rc = file_store(temporary, manifest_path, text, size);
    heap_free(text);
    aof_manifest_destroy(&manifest);
    if (rc == 0 && rename(config->appendfilename, path) < 0) {
        rc = -errno;
    }
    return rc < 0 ? rc : folder_sync(folder);
}

/** The manifest that is there is where the log goes on. */
static int
read_manifest(struct persistence *persistence, const char *path)
{
    char *text;
    size_t size;
    char error[256];
    int rc = file_read_all(path, &text, &size);
    if (rc < 0) {
        return rc;
    }
    rc =
        aof_manifest_parse(&persistence->logs.manifest, slice_of(text, size), error, sizeof(error));
    heap_free(text);
    if (rc < 0) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL, "%s: %s", path, error);
    }
    return rc;
}

static void
load_log(struct persistence *persistence)
{
    const struct config *config = persistence->shard->config;
    char name[FILE_PATH_SIZE_MAX];
    char path[FILE_PATH_SIZE_MAX];
    snprintf(name, sizeof(name), "%s.manifest", config->appendfilename);
    persistence_log_path(persistence, name, path);
    int rc = 0;
    if (!file_exists(path) && file_exists(config->appendfilename)) {
        rc = adopt_file(persistence, path);
    }
    if (rc == 0 && !file_exists(path)) {
        go_on(persistence);
        return;
    }
    rc = rc < 0 ? rc : read_manifest(persistence, path);
    if (rc < 0) {
        load_failed(persistence, strerror(-rc));
        return;
    }
    loader_start(persistence->shard, LOADER_AOF_MANIFEST, path, &persistence->libraries, loaded,
                 persistence);
}

static void
load_begin(struct persistence *persistence, int32_t result)
{
    (void)result;
    const struct config *config = persistence->shard->config;
    if (config->appendonly) {
        load_log(persistence);
    } else if (file_exists(config->dbfilename)) {
        loader_start(persistence->shard, LOADER_RDB, config->dbfilename, &persistence->libraries,
                     loaded, persistence);
    } else {
        go_on(persistence);
    }
}

void
persistence_begin(struct persistence *persistence)
{
    persistence->cut = (struct cut){.begins_load = true};
    persistence_cut(persistence, load_begin);
}
