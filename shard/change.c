/*
 * change.c: one place through which every change of a key is told, whoever made it: a command, a
 * loan that came home, expiry, a flush.
 */
#include "shard/change.h"

#include "shard/block.h"
#include "shard/tracking.h"
#include "shard/watch.h"

void
change_tell(struct shard *shard, const struct change *change)
{
    if ((shard->interest & INTEREST_WATCH) != 0 && !change->is_quiet) {
        watch_key_changed(shard, change->db, change->key, change->hash);
    }
    if ((shard->interest & INTEREST_BLOCK) != 0) {
        block_key_changed(shard, change->db, change->key, change->hash);
    }
    if ((shard->interest & INTEREST_TRACKING) != 0 && !change->is_quiet) {
        tracking_key_changed(shard, change);
    }
}

void
change_flush(struct shard *shard, uint32_t db)
{
    if ((shard->interest & INTEREST_WATCH) != 0) {
        watch_flushed(shard, db);
    }
    if ((shard->interest & INTEREST_BLOCK) != 0) {
        block_flushed(shard, db);
    }
    tracking_flushed(shard);
}

void
change_swap(struct shard *shard, uint32_t db_a, uint32_t db_b)
{
    if ((shard->interest & INTEREST_WATCH) != 0) {
        watch_swapped(shard, db_a, db_b);
    }
    if ((shard->interest & INTEREST_BLOCK) != 0) {
        block_swapped(shard, db_a, db_b);
    }
}
