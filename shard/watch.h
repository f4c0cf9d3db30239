/*
 * watch.h: which clients watch which keys of this shard, and for whom something has happened.
 * A client's watch here is found by its session id; a key's watchers by database and key. Marks
 * only grow: once dirty, a client's watch stays so until it is taken back. Owner thread only.
 */
#pragma once

#include "shard/shard.h"

struct watch_table;

struct watch_table *watch_table_new(void);
void watch_table_delete(struct watch_table *table);

/** The session watches this key from now on. Watching twice is watching once. */
void watch_add(struct shard *shard, uint64_t session_id, uint16_t db, struct slice key,
               uint64_t hash);
/** Has one of the keys that it watches here been changed since? */
bool watch_is_dirty(const struct shard *shard, uint64_t session_id);
/** UNWATCH, EXEC, DISCARD, the connection's end: forget all of the session's watches here. */
void watch_remove(struct shard *shard, uint64_t session_id);

/** What change.h tells. */
void watch_key_changed(struct shard *shard, uint16_t db, struct slice key, uint64_t hash);
/** Keys of the database that exist become dirty; UINT32_MAX: of all databases. Before the flush. */
void watch_flushed(struct shard *shard, uint32_t db);
/** Keys that exist in either database become dirty. */
void watch_swapped(struct shard *shard, uint32_t db_a, uint32_t db_b);
