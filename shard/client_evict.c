/*
 * client_evict.c: maxmemory-clients: when all clients together take more memory than they may, the
 * largest are closed until the rest fits.
 *
 * Each core weighs its own clients some ten times a second, and tells the sum and the largest that
 * may be closed. Is the sum of all cores too large, the core with the largest of all closes it, and
 * its next ones as long as they are larger than any that the others have told; so no core has to
 * ask another. Clients with NO-EVICT are counted and spared.
 */
#include "core/heap.h"
#include "core/log.h"
#include "shard/client.h"
#include "shard/shard.h"

#include <stdatomic.h>
#include <stdlib.h>

struct client_weight {
    struct session *session;
    uint64_t size;
};

static int
weight_compare(const void *a, const void *b)
{
    const struct client_weight *x = a;
    const struct client_weight *y = b;
    return x->size < y->size ? 1 : -(x->size > y->size);
}

/** Bytes that all clients may take; INT64_MAX: as many as they like. */
static int64_t
limit_of(const struct config *config)
{
    int64_t limit = config->maxmemory_clients;
    if (limit < 0) { /* a part of maxmemory, where that is set */
        limit = (int64_t)(config->maxmemory / 100 * (uint64_t)-limit);
    }
    return limit == 0 ? INT64_MAX : limit;
}

/** Weigh the clients of this core. Returns their sum; `weights` has room for all. */
static int64_t
weigh(struct shard *shard, struct client_weight *weights)
{
    int64_t total_size = 0;
    uint32_t count = 0;
    for (struct list_node *node = list_first(&shard->sessions); node != NULL;
         node = list_next(&shard->sessions, node)) {
        struct session *session = container_of(node, struct session, shard_link);
        struct session_traffic traffic = session_traffic(session);
        uint64_t size = session_memory_size(session, &traffic);
        bool is_spared = (session->flags & (SESSION_NO_EVICT | SESSION_KILLED)) != 0;
        /* One that was told to go is as good as gone. */
        total_size += (session->flags & SESSION_KILLED) != 0 ? 0 : (int64_t)size;
        weights[count++] = (struct client_weight){.session = session, .size = is_spared ? 0 : size};
    }
    return total_size;
}

/** Of all other cores. */
static uint64_t
largest_elsewhere(const struct shard *shard)
{
    uint64_t largest_size = 0;
    for (uint32_t i = 0; i < shard->node->shard_count; i++) {
        if (i != shard->index) {
            uint64_t size = atomic_load_explicit(&shard->node->shards[i]->client_largest_size,
                                                 memory_order_relaxed);
            largest_size = MAX(largest_size, size);
        }
    }
    return largest_size;
}

static void
evict(struct shard *shard, const struct client_weight *weight)
{
    struct session *session = weight->session;
    log_write(shard->node->log, LOG_NOTICE_LEVEL,
              "Evicting client id=%llu addr=%s: its buffers take %llu bytes",
              (unsigned long long)session->id, session_address(session),
              (unsigned long long)weight->size);
    shard->counters.evicted_client_count++;
    session_close(session, false);
}

void
client_room_evict(struct client_room *room)
{
    struct shard *shard = room->shard;
    int64_t limit = limit_of(shard->config);
    if (limit == INT64_MAX && room->told_memory_size == 0) {
        return;
    }
    uint32_t count = limit == INT64_MAX ? 0 : shard->session_count;
    struct client_weight *weights = heap_alloc(MAX(count, 1U) * sizeof(*weights));
    int64_t size = count == 0 ? 0 : weigh(shard, weights);
    int64_t delta = size - room->told_memory_size;
    room->told_memory_size = size;
    int64_t total_size = delta + atomic_fetch_add_explicit(&shard->node->client_memory_size, delta,
                                                           memory_order_relaxed);
    uint32_t next = 0;
    if (total_size > limit) {
        qsort(weights, count, sizeof(*weights), weight_compare);
        uint64_t elsewhere_size = largest_elsewhere(shard);
        while (next < count && total_size > limit && weights[next].size > 0 &&
               weights[next].size >= elsewhere_size) {
            total_size -= (int64_t)weights[next].size;
            room->told_memory_size -= (int64_t)weights[next].size;
            evict(shard, &weights[next++]);
        }
        atomic_fetch_sub_explicit(&shard->node->client_memory_size, size - room->told_memory_size,
                                  memory_order_relaxed);
    }
    uint64_t largest_size = 0;
    for (uint32_t i = next; i < count; i++) {
        largest_size = MAX(largest_size, weights[i].size);
    }
    atomic_store_explicit(&shard->client_largest_size, largest_size, memory_order_relaxed);
    heap_free(weights);
}
