/*
 * persistence.c: who asks for a snapshot, a rewrite, a reload or the end, and when.
 *
 *     SAVE BGSAVE SHUTDOWN save points ─┐                 ┌─ dump.rdb
 *                                       ├─▶ save_begin() ─┤
 *     BGREWRITEAOF growth CONFIG SET ───┘                 └─ base of the log ─▶ manifest
 *
 * One file is written at a time; who comes meanwhile is told so, or is next. Commands that wait for
 * the end (SAVE, DEBUG RELOAD, SHUTDOWN) leave their part here, and it is answered from here.
 */
#include "shard/persistence.h"

#include "core/heap.h"
#include "core/log.h"
#include "core/number.h"
#include "shard/persistence_internal.h"
#include "shard/router_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/** A save point that has failed is tried again after this. */
#define SAVE_RETRY_MS 5000

/* ---- the file thread ---- */

static void
work_done(struct ring_op *op, int32_t result)
{
    struct file_work *work = container_of(op, struct file_work, op);
    work->done(work->persistence, result);
}

void
persistence_work(struct persistence *persistence, struct file_work *work, ring_work_fn *run,
                 void *context, persistence_done_fn *done)
{
    work->op.done = work_done;
    work->persistence = persistence;
    work->done = done;
    ring_work(persistence->shard->ring, &work->op, run, context);
}

/* ---- sums over the shards ---- */

uint64_t
persistence_change_count(const struct persistence *persistence)
{
    const struct node *node = persistence->node;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        sum += atomic_load_explicit(&node->shards[i]->told.change_count, memory_order_relaxed);
    }
    return sum;
}

uint64_t
persistence_memory_used(const struct persistence *persistence)
{
    const struct node *node = persistence->node;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        sum += atomic_load_explicit(&node->shards[i]->told.memory_size, memory_order_relaxed);
    }
    return sum;
}

uint64_t
persistence_log_size(const struct persistence *persistence)
{
    const struct node *node = persistence->node;
    uint64_t sum = persistence->logs.start_size;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        sum += atomic_load_explicit(&node->shards[i]->told.aof_size, memory_order_relaxed);
    }
    return sum;
}

/* ---- parts that wait ---- */

/** For part->data: on the heap. */
static char *
part_text(const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    char *copy = heap_alloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

static void
answer(struct persistence *persistence, struct part **waiting, const char *error)
{
    struct part *part = *waiting;
    *waiting = NULL;
    if (part != NULL) {
        part->data = part_text(error);
        gather_part_home(persistence->shard->router, part);
    }
}

/* ---- saving ---- */

static bool
is_busy(const struct persistence *persistence)
{
    return persistence->save.state != SAVE_IDLE || persistence->reload_part != NULL ||
           persistence->logs.is_ending || persistence->node->is_loading;
}

/** CONFIG SET appendonly no was answered, and the last of the log is still written. */
static bool
is_log_ending(const struct persistence *persistence)
{
    return persistence->logs.is_ending && persistence->reload_part == NULL &&
           !persistence->node->is_loading;
}

/** Has a command asked for the snapshot that waits for it? Then its answer is all that a failure
 * changes: writes go on, as redis-server has it. */
static bool
is_waited_for(const struct persistence *persistence)
{
    return persistence->save_part != NULL || persistence->reload_part != NULL ||
           persistence->is_last_save;
}

static void
begin_snapshot(struct persistence *persistence)
{
    persistence->is_save_scheduled = false;
    persistence->save_count += persistence->reload_part == NULL && !persistence->is_last_save;
    persistence->save_try_ms = persistence->shard->now_ms;
    save_begin(persistence, SAVE_SNAPSHOT, LOG_STAYS);
}

static void
begin_rewrite(struct persistence *persistence)
{
    persistence->is_rewrite_scheduled = false;
    persistence->rewrite_count++;
    enum log_change log = LOG_STAYS;
    if (persistence->logs.is_on) {
        log = LOG_CUTS;
        /* What the manifest names is gone: the next one begins with the new base. */
        persistence->logs.is_listed &= !persistence->logs.is_lost;
    } else if (persistence->is_log_wanted) {
        log = LOG_BEGINS;
    }
    save_begin(persistence, SAVE_BASE, log);
}

/** Snapshots were refused because they could not be written: is that over? */
static void
refusal_settle(struct persistence *persistence)
{
    struct node *node = persistence->node;
    const struct config *config = persistence->shard->config;
    bool is_refused = persistence->has_save_failed && config->stop_writes_on_bgsave_error &&
                      config->save.count > 0;
    if (is_refused) {
        atomic_fetch_or(&node->write_refusal, DURABLE_REFUSAL_SNAPSHOT);
    } else {
        atomic_fetch_and(&node->write_refusal, ~(uint32_t)DURABLE_REFUSAL_SNAPSHOT);
    }
}

static void reload_go_on(struct persistence *persistence);

static void
shutdown_now(struct persistence *persistence)
{
    struct shard *shard = persistence->shard;
    shard->ops.shutdown(shard->core, persistence->shutdown_flags);
}

static void
shutdown_failed(struct persistence *persistence)
{
    log_write(persistence->node->log, LOG_WARNING_LEVEL,
              "Error trying to save the DB, can't exit.");
    persistence->is_shutting_down = false;
    answer(persistence, &persistence->shutdown_part, "ERR Errors trying to SHUTDOWN. Check logs.");
}

static void
snapshot_saved(struct persistence *persistence, int error)
{
    struct save *save = &persistence->save;
    int64_t now_ms = persistence->shard->now_ms;
    if (!is_waited_for(persistence) && error != -ECANCELED) {
        persistence->last_save_time_s = now_ms / 1000 - save->start_ms / 1000;
        persistence->has_save_failed = error != 0;
    }
    if (error == 0) {
        persistence->has_save_failed = false;
        persistence->last_save_s = now_ms / 1000;
        persistence->saved_change_count = save->start_change_count;
    }
    refusal_settle(persistence);
    answer(persistence, &persistence->save_part, error == 0 ? NULL : "ERR");
    if (persistence->reload_part != NULL) {
        if (error != 0) {
            atomic_store(&persistence->node->is_loading, false);
            answer(persistence, &persistence->reload_part, "ERR");
        } else {
            reload_go_on(persistence);
        }
    }
    bool is_last = persistence->is_last_save;
    persistence->is_last_save = false;
    if (!persistence->is_shutting_down) {
        return;
    }
    if (!is_last) {
        persistence_shutdown(persistence, persistence->shutdown_flags);
    } else if (error == 0 || (persistence->shutdown_flags & SHUTDOWN_FORCE) != 0) {
        shutdown_now(persistence);
    } else {
        shutdown_failed(persistence);
    }
}

static void
base_saved(struct persistence *persistence, int error)
{
    struct save *save = &persistence->save;
    if (error == -ECANCELED) {
        return; /* the log has been switched off meanwhile, or the server ends */
    }
    persistence->has_rewrite_failed = error != 0;
    persistence->last_rewrite_time_s = persistence->shard->now_ms / 1000 - save->start_ms / 1000;
    if (error == 0) {
        persistence->rewrite_failure_count = 0;
    } else {
        persistence->rewrite_failure_count++;
        persistence->save_try_ms = persistence->shard->now_ms;
    }
}

void
persistence_saved(struct persistence *persistence, enum save_kind kind, int error)
{
    persistence->save.state = SAVE_IDLE;
    atomic_store(&persistence->node->is_saving, false);
    if (kind == SAVE_SNAPSHOT) {
        snapshot_saved(persistence, error);
    } else {
        base_saved(persistence, error);
        if (persistence->is_shutting_down) {
            persistence_shutdown(persistence, persistence->shutdown_flags);
        }
    }
    if (!is_busy(persistence) && persistence->is_save_scheduled) {
        begin_snapshot(persistence);
    }
}

/* ---- commands ---- */

const char *
persistence_save(struct persistence *persistence, struct part *part)
{
    bool is_saving =
        persistence->save.state != SAVE_IDLE && persistence->save.kind == SAVE_SNAPSHOT;
    bool is_rewriting =
        persistence->save.state != SAVE_IDLE && !is_saving && persistence->reload_part == NULL;
    if ((is_rewriting || (is_log_ending(persistence) && !is_saving)) &&
        persistence->save_part == NULL && !persistence->is_shutting_down) {
        /* redis-server would write both at once: here it has its turn. */
        persistence->save_part = part;
        persistence->is_save_scheduled = true;
        return NULL;
    }
    if (is_busy(persistence)) {
        return "ERR Background save already in progress";
    }
    persistence->save_part = part;
    begin_snapshot(persistence);
    return NULL;
}

const char *
persistence_background_save(struct persistence *persistence, bool may_schedule, bool *is_scheduled)
{
    *is_scheduled = false;
    if (persistence->save.state != SAVE_IDLE && persistence->save.kind == SAVE_SNAPSHOT) {
        return "ERR Background save already in progress";
    }
    if (is_log_ending(persistence) && persistence->save.state == SAVE_IDLE) {
        persistence->is_save_scheduled = true; /* in a moment */
        return NULL;
    }
    if (is_busy(persistence)) {
        if (!may_schedule) {
            return "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE "
                   "SCHEDULE in order to schedule a BGSAVE whenever possible.";
        }
        persistence->is_save_scheduled = true;
        *is_scheduled = true;
        return NULL;
    }
    begin_snapshot(persistence);
    return NULL;
}

const char *
persistence_rewrite(struct persistence *persistence, bool *is_scheduled)
{
    *is_scheduled = false;
    if (persistence->save.state != SAVE_IDLE && persistence->save.kind == SAVE_BASE) {
        return "ERR Background append only file rewriting already in progress";
    }
    if (is_busy(persistence)) {
        persistence->is_rewrite_scheduled = true;
        *is_scheduled = true;
        return NULL;
    }
    begin_rewrite(persistence);
    return NULL;
}

int64_t
persistence_last_save_s(const struct persistence *persistence)
{
    return persistence->last_save_s;
}

/* ---- the end ---- */

static bool
wants_save_at_end(const struct persistence *persistence, uint32_t flags)
{
    return (flags & SHUTDOWN_SAVE) != 0 ||
           ((flags & SHUTDOWN_NOSAVE) == 0 && persistence->shard->config->save.count > 0);
}

void
persistence_shutdown(struct persistence *persistence, uint32_t flags)
{
    persistence->is_shutting_down = true;
    persistence->shutdown_flags = flags;
    if (persistence->node->is_loading || !wants_save_at_end(persistence, flags)) {
        shutdown_now(persistence);
        return;
    }
    if (persistence->save.state != SAVE_IDLE) {
        if (!persistence->is_last_save) {
            save_cancel(persistence); /* persistence_saved() calls again */
        }
        return;
    }
    persistence->is_last_save = true;
    log_write(persistence->node->log, LOG_NOTICE_LEVEL,
              "Saving the final RDB snapshot before exiting.");
    begin_snapshot(persistence);
}

const char *
persistence_shutdown_part(struct persistence *persistence, struct part *part, uint32_t flags)
{
    if (persistence->is_shutting_down) {
        return "ERR Errors trying to SHUTDOWN. Check logs.";
    }
    log_write(persistence->node->log, LOG_WARNING_LEVEL, "User requested shutdown...");
    persistence->shutdown_part = part;
    persistence_shutdown(persistence, flags);
    return NULL;
}

const char *
persistence_shutdown_abort(struct persistence *persistence)
{
    if (!persistence->is_shutting_down) {
        return "ERR No shutdown in progress.";
    }
    persistence->is_shutting_down = false;
    persistence->is_last_save = false;
    log_write(persistence->node->log, LOG_NOTICE_LEVEL, "Shutdown manually aborted.");
    answer(persistence, &persistence->shutdown_part, "ERR Errors trying to SHUTDOWN. Check logs.");
    return NULL;
}

/* ---- DEBUG RELOAD and LOADAOF ---- */

static void
reload_over(struct persistence *persistence, int32_t result)
{
    (void)result;
    atomic_store(&persistence->node->is_loading, false);
    answer(persistence, &persistence->reload_part,
           persistence->has_reload_failed ? persistence->reload_failure : NULL);
}

static void
reload_loaded(void *context, const struct loader_result *result)
{
    struct persistence *persistence = context;
    persistence->cut = (struct cut){.ends_load = true};
    persistence->has_reload_failed = result->error != 0;
    persistence->loaded_key_count = result->key_count;
    persistence->loaded_expired_count = result->expired_count;
    if (result->error != 0) {
        log_write(persistence->node->log, LOG_WARNING_LEVEL, "Loading anew failed: %s",
                  result->text);
    }
    persistence_cut(persistence, reload_over);
}

static void
reload_emptied(struct persistence *persistence, int32_t result)
{
    (void)result;
    if (persistence->is_reload_log) {
        return; /* persistence_tick() waits for the log to be written */
    }
    loader_start(persistence->shard, persistence->is_reload_merging ? LOADER_RDB_MERGE : LOADER_RDB,
                 persistence->shard->config->dbfilename, &persistence->libraries, reload_loaded,
                 persistence);
}

/** DEBUG LOADAOF: all that was logged is in the files. */
static void
reload_log_tick(struct persistence *persistence)
{
    const struct node *node = persistence->node;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        const struct shard_told *told = &node->shards[i]->told;
        if (atomic_load_explicit(&told->aof_size, memory_order_relaxed) !=
            atomic_load_explicit(&told->aof_written_size, memory_order_relaxed)) {
            return;
        }
    }
    char path[FILE_PATH_SIZE_MAX];
    char name[FILE_PATH_SIZE_MAX];
    persistence->is_reload_log = false;
    snprintf(name, sizeof(name), "%s.manifest", persistence->shard->config->appendfilename);
    persistence_log_path(persistence, name, path);
    loader_start(persistence->shard, LOADER_AOF_MANIFEST, path, &persistence->libraries,
                 reload_loaded, persistence);
}

static void
reload_go_on(struct persistence *persistence)
{
    if (persistence->is_reload_flushing) {
        libraries_clear(&persistence->libraries);
    }
    persistence->cut =
        (struct cut){.begins_load = true, .is_flush = persistence->is_reload_flushing};
    persistence_cut(persistence, reload_emptied);
}

const char *
persistence_reload(struct persistence *persistence, struct part *part, bool is_saving,
                   bool is_flushing, bool is_merging)
{
    if (is_busy(persistence)) {
        return "ERR Background save already in progress";
    }
    /* Nothing is changed from now on: what is saved is what is loaded. */
    atomic_store(&persistence->node->is_loading, true);
    persistence->reload_part = part;
    persistence->is_reload_flushing = is_flushing;
    persistence->is_reload_merging = is_merging;
    persistence->reload_failure = "ERR Error trying to load the RDB dump";
    persistence->is_reload_log = false;
    if (is_saving) {
        begin_snapshot(persistence);
    } else {
        reload_go_on(persistence);
    }
    return NULL;
}

const char *
persistence_load_log(struct persistence *persistence, struct part *part)
{
    if (is_busy(persistence)) {
        return "ERR Background save already in progress";
    }
    if (!persistence->logs.is_on) {
        return "ERR There is no append only file: appendonly is off";
    }
    atomic_store(&persistence->node->is_loading, true);
    persistence->reload_part = part;
    persistence->is_reload_flushing = true;
    persistence->reload_failure = "ERR Error trying to load the AOF files";
    persistence->is_reload_log = true;
    reload_go_on(persistence);
    return NULL;
}

/* ---- now and then ---- */

/** Is one of the save points reached? */
static bool
is_save_due(const struct persistence *persistence)
{
    const struct config *config = persistence->shard->config;
    int64_t now_ms = persistence->shard->now_ms;
    uint64_t changes = persistence_change_count(persistence) - persistence->saved_change_count;
    if (persistence->has_save_failed && now_ms - persistence->save_try_ms < SAVE_RETRY_MS) {
        return false;
    }
    for (uint32_t i = 0; i + 1 < config->save.count; i += 2) {
        int64_t seconds = 0;
        int64_t count = 0;
        bool is_ok = number_parse_i64(slice_of_string(config->save.items[i]), &seconds) &&
                     number_parse_i64(slice_of_string(config->save.items[i + 1]), &count);
        if (is_ok && changes >= (uint64_t)count && changes > 0 &&
            now_ms / 1000 - persistence->last_save_s > seconds) {
            log_write(persistence->node->log, LOG_NOTICE_LEVEL,
                      "%lld changes in %lld seconds. Saving...", (long long)count,
                      (long long)seconds);
            return true;
        }
    }
    return false;
}

/** Has the log grown as far as the configuration lets it? */
static bool
is_rewrite_due(const struct persistence *persistence)
{
    const struct config *config = persistence->shard->config;
    const struct logs *logs = &persistence->logs;
    if (!logs->is_on || !logs->is_listed || config->auto_aof_rewrite_percentage == 0) {
        return false;
    }
    uint64_t size = persistence_log_size(persistence);
    uint64_t base = MAX(logs->base_size, UINT64_C(1));
    uint64_t growth = size <= base ? 0 : (uint64_t)((double)(size - base) * 100 / (double)base);
    bool is_paused = persistence->has_rewrite_failed &&
                     persistence->shard->now_ms - persistence->save_try_ms < 60000;
    if (size < (uint64_t)config->auto_aof_rewrite_min_size || is_paused ||
        growth < (uint64_t)config->auto_aof_rewrite_percentage) {
        return false;
    }
    log_write(persistence->node->log, LOG_NOTICE_LEVEL,
              "Starting automatic rewriting of AOF on %llu%% growth", (unsigned long long)growth);
    return true;
}

void
persistence_tick(struct persistence *persistence)
{
    logs_tick(persistence);
    folder_tick(persistence);
    if (persistence->is_reload_log && persistence->cut_done == NULL) {
        reload_log_tick(persistence);
    }
    if (is_busy(persistence) || persistence->is_shutting_down) {
        return;
    }
    if (persistence->is_rewrite_scheduled) {
        begin_rewrite(persistence);
    } else if (persistence->is_save_scheduled || is_save_due(persistence)) {
        begin_snapshot(persistence);
    } else if (is_rewrite_due(persistence)) {
        begin_rewrite(persistence);
    }
}

void
persistence_configure(struct persistence *persistence, const struct config *old)
{
    const struct config *config = persistence->shard->config;
    refusal_settle(persistence);
    if (config->appendonly == old->appendonly || persistence->node->is_loading) {
        return;
    }
    if (config->appendonly) {
        persistence->is_log_wanted = true;
        persistence->is_rewrite_scheduled = true;
        return;
    }
    persistence->is_log_wanted = false;
    if (persistence->save.state != SAVE_IDLE && persistence->save.kind == SAVE_BASE) {
        save_cancel(persistence);
    }
    if (persistence->logs.is_on) {
        persistence->logs.is_on = false;
        persistence->logs.is_ending = true; /* the shards have stopped theirs: aof_stop() */
    }
}

void
persistence_flushed(struct persistence *persistence)
{
    bool is_saving =
        persistence->save.state != SAVE_IDLE && persistence->save.kind == SAVE_SNAPSHOT;
    if (is_saving && !is_waited_for(persistence)) {
        save_cancel(persistence);
    }
    persistence->is_save_scheduled |= persistence->shard->config->save.count > 0;
}

void
persistence_tick_end(struct persistence *persistence)
{
    logs_tick(persistence);
}

bool
persistence_is_working(const struct persistence *persistence)
{
    const struct save *save = &persistence->save;
    return save->state == SAVE_OPENING || save->state == SAVE_ENDING ||
           persistence->logs.is_task_running || persistence->logs.open_count > 0 ||
           persistence->logs.look != NULL;
}

bool
persistence_is_waiting(const struct persistence *persistence)
{
    const struct logs *logs = &persistence->logs;
    return is_busy(persistence) || persistence->is_save_scheduled ||
           persistence->is_rewrite_scheduled || logs->repairs != NULL || logs->tasks != NULL ||
           logs->is_lost || logs->look != NULL || persistence->shard->config->save.count > 0;
}

void
persistence_receive(struct persistence *persistence, struct mail *mail)
{
    if (mail->kind == MAIL_SNAPSHOT) {
        save_part_over(persistence);
        return;
    }
    ASSERT(mail->kind == MAIL_AOF);
    logs_receive(persistence, container_of(mail, struct aof_mail, mail));
}

/* ---- life ---- */

struct persistence *
persistence_new(struct shard *shard)
{
    struct persistence *persistence = heap_alloc(sizeof(*persistence));
    memset(persistence, 0, sizeof(*persistence));
    persistence->shard = shard;
    persistence->node = shard->node;
    persistence->last_save_s = shard->now_ms / 1000;
    persistence->last_save_time_s = -1;
    persistence->last_rewrite_time_s = -1;
    persistence_cut_create(persistence);
    persistence->logs.shards =
        heap_alloc(shard->node->shard_count * sizeof(*persistence->logs.shards));
    memset(persistence->logs.shards, 0,
           shard->node->shard_count * sizeof(*persistence->logs.shards));
    return persistence;
}

void
persistence_let_go(struct persistence *persistence)
{
    static const char text[] = "ERR the server is shutting down";
    answer(persistence, &persistence->save_part, text);
    answer(persistence, &persistence->reload_part, text);
    answer(persistence, &persistence->shutdown_part, text);
}

void
persistence_delete(struct persistence *persistence)
{
    save_abandon(persistence);
    logs_destroy(persistence);
    libraries_clear(&persistence->libraries);
    output_destroy(&persistence->output);
    heap_free(persistence);
}
