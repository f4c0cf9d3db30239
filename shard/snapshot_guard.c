/*
 * snapshot_guard.c: who wants a large collection that a snapshot is still to write.
 *
 *                      the owner itself                   another core
 *     nothing written  an image, and he goes on           lock, and he waits
 *     locked           an image, the lock goes            he waits
 *     has an image     he goes on                         lock, and he waits
 *
 * The lock table asks about each key that somebody is about to have for himself. What is written
 * under a lock (shared, ticket 0, held as a reader of another core would hold it) stands still. An
 * image lets the value change, but is its owner's: whoever borrows the value would have to ask the
 * owner about each change. So a borrower waits until all is written, and what he waits for goes
 * first.
 *
 * With its image a value parts from its entry: that is settled, and may be renamed, overwritten or
 * deleted. The image hangs on the value, and is found there.
 *
 * Invariant: a value that has an image is never lent to be changed.
 *
 * Rejected: images from the start (each change of a value that nobody else looks at would be kept),
 * a bit in the entry for values with images (RENAME and the others would have to carry it).
 */
#include "shard/snapshot_internal.h"

#include "shard/router_internal.h"

/* ---- locks ---- */

/** As a reader of another core would have it. */
bool
snapshot_large_lock(struct snapshot_large *large)
{
    struct shard *shard = large->snapshot->shard;
    struct lock_request *request = &large->request;
    struct slice key = entry_key(large->entry);
    lock_request_create(request, 0, LOCK_INTENT_SHARED, 1);
    request->is_borrower = true;
    request->is_wounded = true; /* so that nobody wounds it: it ends by itself */
    request->is_guards = true;
    lock_request_enter(shard->locks, request);
    lock_request_add_key(shard->locks, request, large->db, key, large->hash, false);
    if (!lock_request_try(shard->locks, request)) {
        lock_request_leave(shard->locks, request, &shard->router->ready);
        lock_request_destroy(request);
        large->snapshot->is_serve_due = true;
        return false;
    }
    large->is_locked = true;
    entry_lent_set(large->entry, true);
    return true;
}

/** The lock is about to go. */
static void
large_lock_end(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    struct slice key = entry_key(large->entry);
    large->request.is_held = false;
    if (!lock_key_is_lent(snapshot->shard->locks, large->db, key, large->hash)) {
        entry_lent_set(large->entry, false);
    }
    large->request.is_held = true;
    if (large->wanted_ns != 0) {
        uint64_t waited_ns = clock_monotonic_ns() - large->wanted_ns;
        snapshot->part->waited_ns_max = MAX(snapshot->part->waited_ns_max, waited_ns);
        large->wanted_ns = 0;
    }
    large->is_locked = false;
}

/** Others may have the key for themselves. */
void
snapshot_large_unlock(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    large_lock_end(large);
    lock_request_leave(snapshot->shard->locks, &large->request, &snapshot->shard->router->ready);
    lock_request_destroy(&large->request);
    snapshot->is_serve_due = true;
}

/** Somebody may have it who is asking the guard for it. */
static void
large_lock_drop(struct snapshot_large *large)
{
    large_lock_end(large);
    list_remove(&large->link); /* nobody waits for it: others come first */
    list_push_back(&large->snapshot->larges, &large->link);
    lock_request_drop(large->snapshot->shard->locks, &large->request);
    lock_request_destroy(&large->request);
}

/** Somebody waits for it: it goes first. */
void
snapshot_large_want(struct snapshot_large *large)
{
    if (large->wanted_ns != 0) {
        return;
    }
    large->wanted_ns = MAX(clock_monotonic_ns(), UINT64_C(1));
    large->snapshot->part->waited_count++;
    list_remove(&large->link);
    list_push_front(&large->snapshot->larges, &large->link);
}

/* ---- images ---- */

/** image_room_fn. */
static void
large_room(void *context)
{
    struct snapshot_large *large = context;
    if (UNLIKELY(large->is_failed)) {
        rdb_writer_clear(&large->writer);
    } else if (large->writer.size >= SNAPSHOT_CHUNK_SIZE) {
        snapshot_large_put(large);
    }
    if (large->writer.bytes == NULL) {
        snapshot_writer_room(large->snapshot, &large->writer);
    }
}

/** The entry is done with. */
static void
large_image_begin(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    large_room(large);
    large->image = codec_writer_image(&large->codec);
    large->image->room = large_room;
    large->image->context = large;
    large->image->memory = &snapshot->shard->memory;
    snapshot_settle(snapshot, large->entry);
    if (large->is_locked) {
        large_lock_drop(large);
    }
    large->entry = NULL;
}

/** What is being written of this entry's value while that may change; NULL: nothing. */
static struct snapshot_large *
large_of_image(const struct entry *entry)
{
    if (!entry_has_object(entry)) {
        return NULL;
    }
    struct value value;
    entry_value(entry, &value);
    const struct image *image = object_image(value.object);
    return image == NULL ? NULL : image->context;
}

/** Somebody wants to have an old collection for himself. */
static bool
guard_old(struct snapshot *snapshot, uint16_t db, struct entry *entry, bool is_borrower)
{
    uint32_t cut_db = snapshot->shard->keyspace.databases[db].cut_db;
    struct value value;
    entry_value(entry, &value);
    if (is_borrower || !codec_has_image(&value)) {
        return !snapshot_large_begin(snapshot, db, cut_db, entry, true);
    }
    struct snapshot_large *large = snapshot_large_find(snapshot, entry);
    if (large == NULL) {
        large = snapshot_large_new(snapshot, db, cut_db, entry, false);
    }
    large_image_begin(large);
    return true;
}

/** Somebody wants to have a collection with an image for himself. */
static bool
guard_image(struct snapshot_large *large, uint16_t db, struct entry *entry, uint64_t hash,
            bool is_borrower)
{
    if (!is_borrower) {
        if (large->is_locked) {
            large_lock_drop(large);
            large->entry = NULL;
        }
        return true;
    }
    if (!large->is_locked) {
        large->entry = entry;
        large->db = db;
        large->hash = hash;
        if (!snapshot_large_lock(large)) {
            large->entry = NULL;
            return false;
        }
    }
    snapshot_large_want(large);
    return false;
}

bool
snapshot_guard(void *context, uint16_t db, struct slice key, uint64_t hash, bool is_borrower)
{
    struct snapshot *snapshot = context;
    const struct keyspace *keyspace = &snapshot->shard->keyspace;
    if (snapshot->is_given_up || db >= keyspace->database_count) {
        return true;
    }
    struct entry *entry = keyspace_find(keyspace, db, key_slot(key), key, hash);
    if (entry == NULL) {
        return true;
    }
    if (!snapshot_is_old(snapshot, entry)) {
        struct snapshot_large *large = large_of_image(entry);
        return LIKELY(large == NULL) || guard_image(large, db, entry, hash, is_borrower);
    }
    return !snapshot_is_large_object(entry) || guard_old(snapshot, db, entry, is_borrower);
}

void
snapshot_finish_image(struct shard *shard, const struct entry *entry)
{
    struct snapshot_large *large = large_of_image(entry);
    ASSERT(large == NULL || large->snapshot == shard->snapshot);
    if (large != NULL) {
        snapshot_large_write_rest(large);
    }
}
