/*
 * node.c: a node as main makes it, without threads and sockets.
 */
#include "sim.h"

#include "shard/lock.h"
#include "shard/router.h"
#include "shard/stats.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct node *
sim_node_new(uint32_t shard_count, const struct command_table *table)
{
    size_t size = (sizeof(struct node) + CACHE_LINE_SIZE - 1) / CACHE_LINE_SIZE * CACHE_LINE_SIZE;
    struct node *node = aligned_alloc(CACHE_LINE_SIZE, size);
    ASSERT(node != NULL);
    memset(node, 0, size);
    node->shard_count = shard_count;
    node->commands = table;
    node->start_ms = SIM_START_MS;
    node->boot_id = 1;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        node->slot_owner[slot] = (uint16_t)((uint64_t)slot * shard_count / SLOT_COUNT);
    }
    atomic_init(&node->ticket_next, 1);
    atomic_init(&node->session_id_next, 1);
    return node;
}

void
sim_shards_create(struct shard **shards, struct node *node, const struct config *config,
                  struct exchange *exchange, uint64_t seed)
{
    struct shard_seed shard_seed = {.hash_seed = seed, .random_seed = seed, .now_ms = SIM_START_MS};
    node->shards = shards;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        shards[i] = calloc(1, sizeof(*shards[i]));
        ASSERT(shards[i] != NULL);
        shard_create(shards[i], node, i, config, exchange, &shard_seed);
        shards[i]->ops.raw_unpin = router_unpin;
    }
}

bool
sim_shards_destroy(struct shard **shards, uint32_t count)
{
    bool is_clean = true;
    for (uint32_t i = 0; i < count; i++) {
        struct shard *shard = shards[i];
        shard_clear(shard);
        if (shard->memory.used_size != 0 || shard->memory.block_count != 0) {
            fprintf(stderr, "shard %u: %llu bytes in %llu blocks are left\n", i,
                    (unsigned long long)shard->memory.used_size,
                    (unsigned long long)shard->memory.block_count);
            is_clean = false;
        }
        memory_destroy(&shard->memory);
        free(shard);
    }
    return is_clean;
}
