/*
 * snapshot_walk.c: every entry that was there at the cut, met at least once.
 *
 *     contents of a database -> slot by slot -> bucket by bucket -> entries whose bit is old
 *
 * The bit says what is done, so meeting an entry twice costs a look and nothing else. None is
 * missed: an entry stays in its slot for life, and table_scan() walks a slot in an order of hashes
 * that growing and shrinking do not change. A slot behind the walk can only get entries that are
 * born with the current bit.
 *
 * Contents are named by their id, which stays with them when SWAPDB gives them another number and
 * when a flush takes them out; what is flushed is held until the walk has been through it, and
 * comes first, so that its memory can go.
 *
 * Entries are seldom in the cache, and a miss takes as long as writing a small record. So those of
 * some buckets are gathered and asked for before the first is looked at.
 *
 * Rejected: a list of what is still to be written (memory for each key), holding slots still while
 * they are walked (a slot may hold fifty million keys).
 */
#include "shard/snapshot_internal.h"

/** Buckets looked at in a step, and entries after which it is enough. */
#define WALK_BUCKETS_MAX 16
#define WALK_FOUND_ENOUGH 48

/** False: it cannot be written now. */
static bool
walk_entry(struct snapshot *snapshot, const struct database *database, struct entry *entry)
{
    if (!snapshot_is_old(snapshot, entry)) {
        return true;
    }
    if (UNLIKELY(snapshot->is_given_up)) {
        snapshot_settle(snapshot, entry);
        return true;
    }
    if (UNLIKELY(snapshot_is_large_object(entry))) {
        uint32_t db = snapshot->shard->keyspace.numbers[database->id];
        return snapshot_large_begin(snapshot, db, database->cut_db, entry, false);
    }
    if (UNLIKELY(snapshot_is_large_string(entry))) {
        snapshot_string_begin(snapshot, database->cut_db, entry);
    } else {
        snapshot_chunk_add(snapshot, database->cut_db, entry);
    }
    return true;
}

static void
walk_found(void *context, struct entry *entry)
{
    struct snapshot *snapshot = context;
    if (UNLIKELY(snapshot->found_count == SNAPSHOT_FOUND_MAX)) {
        /* Only a hash that fails brings so many together. */
        snapshot->is_found_all = false;
        return;
    }
    __builtin_prefetch(entry);
    __builtin_prefetch((const char *)entry + CACHE_LINE_SIZE);
    snapshot->found[snapshot->found_count++] = entry;
}

static void
walk_crowded(void *context, struct entry *entry)
{
    struct snapshot *snapshot = context;
    const struct database *database =
        keyspace_contents(&snapshot->shard->keyspace, snapshot->walk_id);
    snapshot->is_found_all &= walk_entry(snapshot, database, entry);
}

/** False: nothing is left to walk through. */
static bool
walk_begin(struct snapshot *snapshot)
{
    const struct database *database = keyspace_held_next(&snapshot->shard->keyspace);
    if (database == NULL) {
        return false;
    }
    snapshot->is_walking = true;
    snapshot->walk_id = database->id;
    snapshot->walk_slot = database_slot_next(database, 0);
    snapshot->walk_position = 0;
    return true;
}

void
snapshot_walk_step(struct snapshot *snapshot)
{
    if (!snapshot->is_walking && !walk_begin(snapshot)) {
        snapshot->is_walk_over = true;
        return;
    }
    struct database *database = keyspace_contents(&snapshot->shard->keyspace, snapshot->walk_id);
    uint32_t slot = snapshot->walk_slot;
    uint64_t position = snapshot->walk_position;
    snapshot->found_count = 0;
    snapshot->is_found_all = true;
    for (uint32_t i = 0;
         i < WALK_BUCKETS_MAX && slot < SLOT_COUNT && snapshot->found_count < WALK_FOUND_ENOUGH;
         i++) {
        const struct table *table = &database->slots[slot].table;
        uint64_t next = table_scan(table, position, walk_found, snapshot);
        if (UNLIKELY(!snapshot->is_found_all)) {
            snapshot->is_found_all = true;
            (void)table_scan(table, position, walk_crowded, snapshot);
        }
        position = next;
        if (position == 0) {
            slot = database_slot_next(database, slot + 1);
        }
    }
    for (uint32_t i = 0; i < snapshot->found_count; i++) {
        snapshot->is_found_all &= walk_entry(snapshot, database, snapshot->found[i]);
    }
    if (!snapshot->is_found_all) {
        snapshot->is_blocked = true; /* and comes by again */
        return;
    }
    snapshot->walk_slot = slot;
    snapshot->walk_position = position;
    if (slot == SLOT_COUNT && list_is_empty(&snapshot->larges)) {
        database->is_held = false;
        snapshot->is_walking = false;
    }
}
