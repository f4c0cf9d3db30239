/*
 * snapshot.c: one shard's part of a snapshot, from the cut to its end.
 *
 * Each entry has a bit. All bits are equal while no snapshot runs; the cut flips the one that is
 * current, so that in one moment every entry is old: still to be written. Then two write, each what
 * it comes across, and make its bit current:
 *
 *     the walk        entry after entry, in the time that turns have left      (snapshot_walk.c)
 *     who changes it  the old value, before he changes it                  (snapshot_save_old)
 *
 * New entries are born with the current bit: they are not of this snapshot. So what is written is
 * exactly what was there at the cut, each key once, in no order, while commands go on.
 *
 *     cut   k1 old  k2 old  k3 old
 *     SET k2 ...    k2's old value is written, then changed
 *     walk  k1, k3 are written; k2 is current already
 *
 * A snapshot that is given up (an error, SHUTDOWN) walks on without writing: only when all bits are
 * equal again may the next one begin.
 *
 * Large values take many steps and have their own ways (snapshot_large.c), flushed contents are
 * held (snapshot_walk.c), bytes go to the file in chunks (snapshot_chunk.c).
 *
 * Invariants: shard->snapshot is NULL if and only if all entries have the keyspace's bit and no
 * contents are held. An entry that is lent exclusively is never old. No key is written twice.
 *
 * Rejected: fork() (a pause that grows with memory, copies of pages for each small write), copying
 * old values aside (the same bytes twice), a sequence number in each entry (8 bytes a key).
 */
#include "shard/snapshot.h"

#include "core/heap.h"
#include "shard/router_internal.h"
#include "shard/snapshot_internal.h"

#include <stdatomic.h>

/* ---- the job ---- */

struct snapshot_job *
snapshot_job_new(uint32_t shard_count, uint64_t start_offset)
{
    size_t size = sizeof(struct snapshot_job) + shard_count * sizeof(struct snapshot_part);
    struct snapshot_job *job = heap_alloc(size);
    memset(job, 0, size);
    job->fd = -1;
    job->shard_count = shard_count;
    job->start_offset = start_offset;
    atomic_init(&job->end_offset, start_offset);
    return job;
}

void
snapshot_job_delete(struct snapshot_job *job)
{
    for (uint32_t i = 0; i < job->shard_count; i++) {
        heap_free(job->parts[i].chunks);
    }
    heap_free(job);
}

/* ---- beginning and end ---- */

void
snapshot_cut(struct shard *shard, struct snapshot_job *job)
{
    ASSERT(shard->snapshot == NULL);
    ASSERT(job->write != NULL && shard->index < job->shard_count);
    struct keyspace *keyspace = &shard->keyspace;
    ASSERT(keyspace_held_next(keyspace) == NULL);
    struct snapshot *snapshot = heap_alloc(sizeof(*snapshot));
    *snapshot = (struct snapshot){
        .shard = shard, .job = job, .part = &job->parts[shard->index], .chunk_db = UINT32_MAX};
    list_create(&snapshot->larges);
    rdb_writer_create(&snapshot->chunk, job->is_compressing);
    rdb_writer_create(&snapshot->payload, job->is_compressing);
    keyspace->snapshot_bit ^= 1;
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        struct database *database = &keyspace->databases[db];
        database->cut_db = db;
        database->is_held = database->key_count > 0;
    }
    shard->snapshot = snapshot;
    lock_table_guard_set(shard->locks, snapshot_guard, snapshot);
}

static void
snapshot_delete(struct snapshot *snapshot)
{
    struct shard *shard = snapshot->shard;
    ASSERT(snapshot->write_count == 0);
    ASSERT(list_is_empty(&snapshot->larges));
    lock_table_guard_set(shard->locks, NULL, NULL);
    rdb_writer_destroy(&snapshot->chunk);
    rdb_writer_destroy(&snapshot->payload);
    heap_free(snapshot->spare);
    heap_free(snapshot);
    shard->snapshot = NULL;
}

static void
snapshot_end(struct snapshot *snapshot)
{
    struct shard *shard = snapshot->shard;
    struct snapshot_job *job = snapshot->job;
    struct snapshot_part *part = snapshot->part;
    snapshot_delete(snapshot);
    part->is_over = true;
    router_post(shard->router, job->home, MAIL_SNAPSHOT, &part->mail);
}

static void
snapshot_give_up(struct snapshot *snapshot)
{
    snapshot->is_given_up = true;
    snapshot_chunk_drop(snapshot);
    snapshot_large_drop_all(snapshot);
}

void
snapshot_abandon(struct shard *shard)
{
    struct snapshot *snapshot = shard->snapshot;
    snapshot_give_up(snapshot);
    for (struct database *it; (it = keyspace_held_next(&shard->keyspace)) != NULL;) {
        it->is_held = false;
    }
    atomic_store_explicit(&snapshot->job->is_given_up, true, memory_order_release);
    if (snapshot->write_count == 0) {
        snapshot_delete(snapshot);
    }
}

/* ---- before a change ---- */

void
snapshot_save_old(struct shard *shard, uint16_t db, struct entry *entry)
{
    struct snapshot *snapshot = shard->snapshot;
    if (snapshot->is_given_up) {
        snapshot_settle(snapshot, entry);
        return;
    }
    snapshot->part->saved_count++;
    uint32_t cut_db = shard->keyspace.databases[db].cut_db;
    if (UNLIKELY(snapshot_is_large_string(entry))) {
        snapshot_string_begin(snapshot, cut_db, entry);
    } else if (LIKELY(!snapshot_large_finish(snapshot, entry))) {
        snapshot_chunk_add(snapshot, cut_db, entry);
    }
    ASSERT(!snapshot_is_old(snapshot, entry));
}

bool
snapshot_puts_off(struct shard *shard, uint16_t db, struct entry *entry)
{
    struct snapshot *snapshot = shard->snapshot;
    if (LIKELY(!snapshot_is_old(snapshot, entry) || !snapshot_is_large_object(entry))) {
        return false;
    }
    return !snapshot->is_given_up &&
           snapshot_large_begin(snapshot, db, shard->keyspace.databases[db].cut_db, entry, true);
}

/* ---- background work ---- */

/** Nanoseconds until so many bytes may have been written; 0: they may. */
static uint64_t
limit_left_ns(const struct snapshot *snapshot)
{
    const struct snapshot_job *job = snapshot->job;
    if (job->bytes_per_second_max == 0) {
        return 0;
    }
    uint64_t size =
        atomic_load_explicit(&job->end_offset, memory_order_relaxed) - job->start_offset;
    uint64_t due_ns = job->start_ns +
                      (uint64_t)((unsigned __int128)size * 1000000000 / job->bytes_per_second_max);
    uint64_t now_ns = snapshot->shard->now_ns;
    return due_ns > now_ns ? due_ns - now_ns : 0;
}

bool
snapshot_is_urgent(const struct shard *shard)
{
    /* The larges that somebody waits for stand in front. */
    const struct list_node *node = list_first(&shard->snapshot->larges);
    return node != NULL && container_of(node, struct snapshot_large, link)->wanted_ns != 0;
}

/** Must it wait, for the disk or for the limit? */
static bool
is_held_back(const struct snapshot *snapshot)
{
    if (snapshot->is_given_up) {
        return false;
    }
    return snapshot->write_count >= SNAPSHOT_WRITES_MAX ||
           (limit_left_ns(snapshot) > 0 && !snapshot_is_urgent(snapshot->shard));
}

enum snapshot_progress {
    SNAPSHOT_MORE,  /* go on */
    SNAPSHOT_STUCK, /* until something else has happened */
    SNAPSHOT_OVER,
};

static enum snapshot_progress
step_once(struct snapshot *snapshot)
{
    if (is_held_back(snapshot)) {
        return SNAPSHOT_STUCK;
    }
    if (!list_is_empty(&snapshot->larges)) {
        snapshot_large_step(snapshot);
        return SNAPSHOT_MORE;
    }
    if (!snapshot->is_walk_over) {
        snapshot->is_blocked = false;
        snapshot_walk_step(snapshot);
        return snapshot->is_blocked && list_is_empty(&snapshot->larges) ? SNAPSHOT_STUCK
                                                                        : SNAPSHOT_MORE;
    }
    if (snapshot->chunk.size > 0) {
        snapshot_chunk_send(snapshot);
        return SNAPSHOT_MORE;
    }
    return snapshot->write_count > 0 ? SNAPSHOT_STUCK : SNAPSHOT_OVER;
}

bool
snapshot_step(struct shard *shard, uint64_t until_ns)
{
    struct snapshot *snapshot = shard->snapshot;
    /* Pairs with the release in snapshot_fail(). */
    if (UNLIKELY(!snapshot->is_given_up &&
                 atomic_load_explicit(&snapshot->job->is_given_up, memory_order_acquire))) {
        snapshot_give_up(snapshot);
    }
    enum snapshot_progress progress;
    do {
        progress = step_once(snapshot);
    } while (progress == SNAPSHOT_MORE && until_ns > 0 && clock_monotonic_ns() < until_ns);
    bool is_serve_due = snapshot->is_serve_due;
    snapshot->is_serve_due = false;
    if (progress == SNAPSHOT_OVER) {
        snapshot_end(snapshot);
    }
    if (is_serve_due) {
        lender_serve(shard->router);
    }
    /* At its end, too: contents that were held can be freed now. */
    return progress != SNAPSHOT_STUCK;
}

int64_t
snapshot_next_ms(const struct shard *shard)
{
    const struct snapshot *snapshot = shard->snapshot;
    if (snapshot->is_given_up || snapshot->write_count >= SNAPSHOT_WRITES_MAX) {
        return INT64_MAX;
    }
    uint64_t left_ns = limit_left_ns(snapshot);
    return left_ns == 0 ? INT64_MAX : shard->now_ms + 1 + (int64_t)(left_ns / 1000000);
}
