/*
 * shard.c: what a shard does by itself, with time as its only input: expiry, freeing flushed
 * contents.
 */
#include "shard/shard.h"

#include "core/heap.h"
#include "shard/aof.h"
#include "shard/block.h"
#include "shard/change.h"
#include "shard/commandlog.h"
#include "shard/durable.h"
#include "shard/effect.h"
#include "shard/field_expiry.h"
#include "shard/journal.h"
#include "shard/latency.h"
#include "shard/lock.h"
#include "shard/notify.h"
#include "shard/pubsub.h"
#include "shard/router.h"
#include "shard/snapshot_internal.h"
#include "shard/stats.h"
#include "shard/tracking.h"
#include "shard/watch.h"

#include <stdatomic.h>

void
shard_create(struct shard *shard, struct node *node, uint32_t index, const struct config *config,
             struct exchange *exchange, const struct shard_seed *seed)
{
    memset(shard, 0, sizeof(*shard));
    shard->index = index;
    shard->node = node;
    shard->config = config;
    shard->cpu = -1;
    shard->now_ms = seed->now_ms;
    shard->clock_mask = -1;
    memory_create(&shard->memory);
    keyspace_create(&shard->keyspace, &shard->memory, (uint32_t)config->databases, seed->hash_seed,
                    seed->now_ms);
    random_create(&shard->random, seed->random_seed + index);
    list_create(&shard->sessions);
    shard->locks = lock_table_new();
    shard->journal_room = journal_new();
    durable_create(&shard->durable);
    shard->events = heap_alloc(sizeof(*shard->events));
    effects_create(shard->events);
    shard->watches = watch_table_new();
    shard->pubsub = pubsub_new(node->shard_count);
    shard->tracking = tracking_new(node->shard_count);
    notify_configure(shard);
    shard->block = block_table_new(&shard->memory, seed->now_ms);
    shard->router = router_new(shard, exchange);
    shard->ops.raw_unpin = router_unpin;
    commandlog_configure(shard);
}

void
shard_clear(struct shard *shard)
{
    if (shard->snapshot != NULL) {
        snapshot_abandon(shard);
    }
    router_delete(shard->router);
    journal_delete(shard->journal_room);
    durable_destroy(&shard->durable);
    lock_table_delete(shard->locks);
    effects_destroy(shard->events);
    heap_free(shard->events);
    watch_table_delete(shard->watches);
    pubsub_delete(shard->pubsub);
    tracking_delete(shard->tracking);
    block_table_delete(shard->block);
    stats_destroy(shard);
    commandlog_destroy(shard);
    latency_destroy(shard);
    keyspace_destroy(&shard->keyspace);
}

void
shard_destroy(struct shard *shard)
{
    shard_clear(shard);
    memory_destroy(&shard->memory);
}

void
shard_key_expired(struct shard *shard, uint16_t db, uint16_t slot, uint64_t hash,
                  struct entry *entry)
{
    struct slice key = entry_key(entry);
    if (UNLIKELY(shard->snapshot != NULL)) {
        snapshot_before_change(shard, db, entry);
    }
    if (shard->journal != NULL) {
        struct slice argv[] = {SLICE("DEL"), key};
        effects_append(shard->journal, db, slot, argv, 2);
        journal_close(shard);
    }
    shard->counters.expired_count++;
    if (LIKELY(shard->interest == 0 && shard->notify_classes == 0)) {
        keyspace_remove(&shard->keyspace, db, slot, hash, entry);
        return;
    }
    /* Those who are told may look for the key. */
    char *copy = heap_alloc(MAX(key.size, (size_t)1));
    memcpy(copy, key.data, key.size);
    key.data = copy;
    keyspace_remove(&shard->keyspace, db, slot, hash, entry);
    notify_key(shard, db, key, NOTIFY_EXPIRED, "expired");
    struct change change = {.key = key, .hash = hash, .db = db, .slot = slot, .type = VALUE_NONE};
    change_key(shard, &change);
    heap_free(copy);
}

/** Steps of field_expiry in one call of shard_expire(): each takes some microseconds, as long as
 * tens of keys. */
#define FIELD_STEPS_MAX 24

struct shard_expiry {
    struct shard *shard;
    uint32_t field_step_count;
};

/** Is it still locked by a transaction that has changed it and waits for the disk? */
static bool
is_kept(const struct shard *shard, uint32_t db, const struct entry *entry, uint64_t hash)
{
    return UNLIKELY(shard->journal != NULL) && lock_table_request_count(shard->locks) > 0 &&
           !lock_key_is_free(shard->locks, (uint16_t)db, entry_key(entry), hash, true);
}

/** A deadline has come, the key's or that of a hash's fields. What is lent stays until it is home:
 * it is asked for again with the next tick. */
static void
key_due(void *context, uint32_t db, uint32_t slot, uint64_t hash, struct entry *entry)
{
    struct shard_expiry *expiry = context;
    struct shard *shard = expiry->shard;
    if (entry_is_lent(entry) || lock_shard_is_lent(shard->locks) ||
        is_kept(shard, db, entry, hash) ||
        (UNLIKELY(shard->snapshot != NULL) && snapshot_puts_off(shard, (uint16_t)db, entry))) {
        keyspace_put_off(&shard->keyspace, entry);
        return;
    }
    int64_t deadline_ms = entry_deadline_ms(entry);
    bool is_key_due = deadline_ms != ENTRY_NO_DEADLINE && deadline_ms <= shard->now_ms;
    if (UNLIKELY(entry_has_element_deadline(entry) && !is_key_due)) {
        if (expiry->field_step_count++ < FIELD_STEPS_MAX) {
            field_expiry_step(shard, (uint16_t)db, (uint16_t)slot, hash, entry);
        } else {
            keyspace_put_off(&shard->keyspace, entry);
        }
        return;
    }
    shard_key_expired(shard, (uint16_t)db, (uint16_t)slot, hash, entry);
}

uint32_t
shard_expire(struct shard *shard, uint32_t step_count_max)
{
    if (UNLIKELY(shard->is_expiry_paused || shard->clock_mask == 0)) {
        return 0;
    }
    struct shard_expiry expiry = {.shard = shard};
    if (UNLIKELY((shard->interest & INTEREST_READY) != 0)) {
        block_serve_ready(shard);
    }
    return keyspace_advance(&shard->keyspace, shard->now_ms, step_count_max, key_due, &expiry);
}

bool
shard_collect(struct shard *shard, uint32_t step_count_max)
{
    bool is_done = keyspace_collect(&shard->keyspace, step_count_max);
    return tracking_collect(shard, step_count_max) && is_done;
}

void
shard_tell(struct shard *shard)
{
    struct shard_told *told = &shard->told;
    atomic_store_explicit(&told->change_count, shard->change_count, memory_order_relaxed);
    atomic_store_explicit(&told->memory_size, shard->memory.used_size, memory_order_relaxed);
    if (shard->snapshot != NULL) {
        atomic_store_explicit(&told->saved_key_count, shard->snapshot->part->key_count,
                              memory_order_relaxed);
    }
    if (shard->aof != NULL) {
        aof_tell(shard);
    }
}
