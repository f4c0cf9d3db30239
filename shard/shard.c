/*
 * shard.c: what a shard does by itself, with time as its only input: expiry, freeing flushed
 * contents.
 */
#include "shard/shard.h"

#include "core/heap.h"
#include "shard/effect.h"
#include "shard/lock.h"
#include "shard/router.h"
#include "shard/stats.h"

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
    memory_create(&shard->memory);
    keyspace_create(&shard->keyspace, &shard->memory, (uint32_t)config->databases, seed->hash_seed,
                    seed->now_ms);
    random_create(&shard->random, seed->random_seed + index);
    list_create(&shard->sessions);
    shard->locks = lock_table_new();
    shard->router = router_new(shard, exchange);
    shard->ops.raw_unpin = router_unpin;
}

void
shard_destroy(struct shard *shard)
{
    router_delete(shard->router);
    lock_table_delete(shard->locks);
    stats_destroy(shard);
    keyspace_destroy(&shard->keyspace);
    memory_destroy(&shard->memory);
}

/** A deadline has come. What is lent stays until it is home: it is asked for again with the next
 * tick. */
static void
key_due(void *context, uint32_t db, uint32_t slot, uint64_t hash, struct entry *entry)
{
    struct shard *shard = context;
    struct slice key = entry_key(entry);
    if (entry_is_lent(entry) || lock_shard_is_lent(shard->locks)) {
        keyspace_deadline_set(&shard->keyspace, db, slot, hash, entry, entry_deadline_ms(entry));
        return;
    }
    if (shard->journal != NULL) {
        struct slice argv[] = {SLICE("DEL"), key};
        effects_append(shard->journal, (uint16_t)db, (uint16_t)slot, argv, 2);
    }
    keyspace_remove(&shard->keyspace, db, slot, hash, entry);
    shard->counters.expired_count++;
}

uint32_t
shard_expire(struct shard *shard, uint32_t step_count_max)
{
    if (UNLIKELY(shard->is_expiry_paused)) {
        return 0;
    }
    return keyspace_advance(&shard->keyspace, shard->now_ms, step_count_max, key_due, shard);
}

bool
shard_collect(struct shard *shard, uint32_t step_count_max)
{
    return keyspace_collect(&shard->keyspace, step_count_max);
}
