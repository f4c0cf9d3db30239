/*
 * batch.c: singles for another core. What one connection sends to one shard in a turn travels as
 * one message, an array of requests; the owner executes them in order, writes the replies behind
 * each other into the batch's output and mails it back. The connection takes each reply when its
 * turn comes:
 *
 *     lane:   [r0]      [r2]   [r3]            output of the batch:  "+OK|$3 abc|:7"
 *                \        \      \                                     r0   r2    r3
 *     batch to shard 3: r0, r2, r3  ──BATCH──▶  executed  ──BATCH_HOME──▶
 *
 * A request whose key is lent makes the batch wait where it stands, and all later batches of the
 * same lane behind it (its `followers`), so that singles of one connection to one owner run in the
 * order sent.
 *
 * A batch belongs to the coordinator's pool and keeps its output's chunk, so that in a steady state
 * forwarding allocates nothing.
 */
#include "core/heap.h"
#include "core/ring.h"
#include "shard/commandlog.h"
#include "shard/execute.h"
#include "shard/multi.h"
#include "shard/pubsub.h"
#include "shard/router_internal.h"
#include "shard/value/raw.h"
#include "shard/view_set.h"

#include <stdatomic.h>

#define BATCH_REQUESTS_MAX 32
#define BATCH_ARGUMENTS_MAX 128
#define BATCH_SPARE_MAX 64

struct batch {
    struct mail mail;
    struct batch *next; /* spare, or behind another of its lane */
    struct lane *lane;  /* the coordinator's; the owner compares it only */
    uint16_t coordinator;
    uint16_t owner;
    uint32_t count;
    uint32_t position;      /* owner: the next request to execute */
    uint32_t retired_count; /* coordinator: replies that were taken */
    uint32_t argument_count;
    bool is_first_held; /* owner: requests[position] holds its keys already */
    uint64_t mark;      /* owner: when its answers may leave */
    struct output output;
    struct commandlog_entry *logged; /* of its commands; only the coordinator knows the client */
    /* ---- owner, while it waits ---- */
    struct lock_request wait;
    struct list_node waiting_link;
    struct batch *follower_first;
    struct batch *follower_last;
    struct arguments arguments[BATCH_REQUESTS_MAX];
    struct slice storage[BATCH_ARGUMENTS_MAX];
    struct request requests[BATCH_REQUESTS_MAX];
};

struct batch *
batch_of_mail(struct mail *mail)
{
    return container_of(mail, struct batch, mail);
}

/* ---- coordinator ---- */

static struct batch *
batch_new(struct router *router, struct lane *lane, uint16_t owner)
{
    struct batch *batch = router->spare_batches;
    if (batch != NULL) {
        router->spare_batches = batch->next;
        router->spare_batch_count--;
    } else {
        batch = heap_alloc(sizeof(*batch));
        output_create(&batch->output);
    }
    batch->lane = lane;
    batch->coordinator = (uint16_t)router->shard->index;
    batch->owner = owner;
    batch->count = 0;
    batch->position = 0;
    batch->retired_count = 0;
    batch->argument_count = 0;
    batch->is_first_held = false;
    batch->mark = 0;
    batch->logged = NULL;
    batch->follower_first = NULL;
    batch->follower_last = NULL;
    batch->wait.items = NULL;
    list_node_create(&batch->waiting_link);
    return batch;
}

static void
batch_release(struct router *router, struct batch *batch)
{
    ASSERT(output_is_empty(&batch->output));
    if (router->spare_batch_count == BATCH_SPARE_MAX) {
        output_destroy(&batch->output);
        heap_free(batch);
        return;
    }
    batch->next = router->spare_batches;
    router->spare_batches = batch;
    router->spare_batch_count++;
}

void
batch_pool_destroy(struct router *router)
{
    while (router->spare_batches != NULL) {
        struct batch *batch = router->spare_batches;
        router->spare_batches = batch->next;
        output_destroy(&batch->output);
        heap_free(batch);
    }
}

/** The lane has taken one reply. item->source is the batch's output. */
static void
request_retire(struct shard *shard, struct lane_item *item)
{
    struct batch *batch = container_of(item->source, struct batch, output);
    struct request *request = container_of(item, struct request, item);
    uint32_t index = (uint32_t)(request - batch->requests);
    arguments_release(&batch->arguments[index]);
    multi_delete(shard, request->multi);
    if (batch->arguments[index].argv < batch->storage ||
        batch->arguments[index].argv >= batch->storage + BATCH_ARGUMENTS_MAX) {
        heap_free(batch->arguments[index].argv);
    }
    if (++batch->retired_count == batch->count) {
        batch_release(shard->router, batch);
    }
}

static void
batch_send(struct router *router, struct batch *batch)
{
    router->shard->counters.forwarded_count += batch->count;
    router->pending_count++;
    router_post(router, batch->owner, MAIL_BATCH, &batch->mail);
}

bool
batch_add(struct router *router, struct lane *lane, const struct request *request,
          struct ring_buffer *buffer)
{
    ASSERT(router->open_lane == NULL || router->open_lane == lane);
    uint16_t owner = request->owner;
    struct batch *batch = router->open[owner];
    if (batch != NULL && (batch->count == BATCH_REQUESTS_MAX ||
                          (batch->argument_count + request->argc > BATCH_ARGUMENTS_MAX &&
                           request->argc <= BATCH_ARGUMENTS_MAX))) {
        batch_send(router, batch);
        router->open[owner] = NULL;
        batch = NULL;
    }
    if (batch == NULL) {
        if (!mail_has_room(router->exchange, router->shard->index, owner) ||
            pubsub_is_clogged(router->shard->node->shards[owner])) {
            return false;
        }
        batch = batch_new(router, lane, owner);
        router->open_lane = lane;
        router->open[owner] = batch;
        bool is_listed = false;
        for (uint32_t i = 0; i < router->open_count; i++) {
            is_listed |= router->open_owners[i] == owner;
        }
        if (!is_listed) {
            router->open_owners[router->open_count++] = owner;
        }
        if (owner == router->shard->index) {
            lane->self_batch_count++;
        }
    }
    uint32_t index = batch->count++;
    struct request *copy = &batch->requests[index];
    *copy = *request;
    struct slice *storage = batch->storage + batch->argument_count;
    if (batch->argument_count + request->argc > BATCH_ARGUMENTS_MAX) {
        storage = heap_alloc(request->argc * sizeof(*storage));
    } else {
        batch->argument_count += request->argc;
    }
    arguments_keep(&batch->arguments[index], request, buffer, storage);
    copy->argv = storage;
    copy->item = (struct lane_item){.source = &batch->output,
                                    .is_muted = (request->flags & REQUEST_MUTED) != 0,
                                    .retire = request_retire};
    lane_push(lane, &copy->item);
    lane->has_mixed_owners =
        lane->single_count > 0 && (lane->has_mixed_owners || lane->single_owner != owner);
    lane->single_count++;
    lane->single_owner = owner;
    return true;
}

void
batch_send_open(struct router *router)
{
    for (uint32_t i = 0; i < router->open_count; i++) {
        uint16_t owner = router->open_owners[i];
        if (router->open[owner] != NULL) {
            batch_send(router, router->open[owner]);
            router->open[owner] = NULL;
        }
    }
    router->open_count = 0;
    router->open_lane = NULL;
}

void
batch_home(struct router *router, struct batch *batch)
{
    struct lane *lane = batch->lane;
    ASSERT(lane->single_count >= batch->count);
    router->pending_count--;
    lane->single_count -= batch->count;
    if (batch->owner == router->shard->index) {
        lane->self_batch_count--;
    }
    if (UNLIKELY(batch->logged != NULL)) {
        commandlog_settle(router->shard, batch->logged, lane->session);
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        lane_item_done(lane, &batch->requests[i].item);
    }
    /* The batch may be gone after this. */
    lane_emit(lane);
}

/* ---- owner ---- */

/** Stand in the queues for the keys of the next request. True: they were free after all. */
static bool
batch_wait(struct router *router, struct batch *batch)
{
    struct shard *shard = router->shard;
    const struct request *request = &batch->requests[batch->position];
    struct view_set set;
    view_set_create(&set, shard, request);
    uint64_t ticket = atomic_fetch_add_explicit(&shard->node->ticket_next, 1, memory_order_relaxed);
    lock_request_create(&batch->wait, ticket,
                        set.is_exclusive ? LOCK_INTENT_EXCLUSIVE : LOCK_INTENT_SHARED, set.count);
    lock_request_enter(shard->locks, &batch->wait);
    for (uint32_t i = 0; i < set.count; i++) {
        const struct view *view = &set.views[i];
        lock_request_add_key(shard->locks, &batch->wait, view->db, view->key, view->hash,
                             (view->flags & VIEW_EXCLUSIVE) != 0);
    }
    view_set_destroy(&set);
    return lock_request_try(shard->locks, &batch->wait);
}

static void
batch_execute_next(struct router *router, struct batch *batch)
{
    struct request *request = &batch->requests[batch->position++];
    uint64_t size_before = batch->output.byte_count;
    if (UNLIKELY(request->large_raw != NULL)) {
        commandlog_arm(router->shard);
    }
    execute_keys(router->shard, request, &batch->output);
    struct commandlog_entry *logged = commandlog_take(router->shard);
    if (UNLIKELY(logged != NULL)) {
        batch->logged = commandlog_join(logged, batch->logged);
    }
    request->item.reply_size = batch->output.byte_count - size_before;
}

/** Execute requests until the end (true) or until one has to wait (false). */
static bool
batch_run(struct router *router, struct batch *batch)
{
    struct shard *shard = router->shard;
    if (batch->is_first_held) {
        batch->is_first_held = false;
        batch_execute_next(router, batch);
        lock_request_leave(shard->locks, &batch->wait, &router->ready);
        lock_request_destroy(&batch->wait);
    }
    while (batch->position < batch->count) {
        if (UNLIKELY(!execute_is_free(shard, &batch->requests[batch->position]))) {
            if (!batch_wait(router, batch)) {
                return false;
            }
            batch_execute_next(router, batch);
            lock_request_leave(shard->locks, &batch->wait, &router->ready);
            lock_request_destroy(&batch->wait);
            continue;
        }
        batch_execute_next(router, batch);
    }
    return true;
}

static struct batch *
batch_find_waiting(struct router *router, const struct batch *batch)
{
    if (router_fault_hit(router, ROUTER_FAULT_NO_HOLD_BACK)) {
        return NULL;
    }
    for (struct list_node *node = list_first(&router->waiting); node != NULL;
         node = list_next(&router->waiting, node)) {
        struct batch *other = container_of(node, struct batch, waiting_link);
        if (other->lane == batch->lane) {
            return other;
        }
    }
    return NULL;
}

/** Run it and those of its lane behind it, as far as they come. */
static void
batch_run_chain(struct router *router, struct batch *batch)
{
    while (batch != NULL) {
        uint64_t outer = durable_begin(&router->shard->durable);
        bool is_at_end = batch_run(router, batch);
        uint64_t mark = durable_end(&router->shard->durable, outer);
        batch->mark = MAX(batch->mark, mark);
        if (!is_at_end) {
            list_push_back(&router->waiting, &batch->waiting_link);
            return;
        }
        struct batch *next = batch->follower_first;
        if (next != NULL) {
            next->follower_first = next->next;
            next->follower_last = next->next == NULL ? NULL : batch->follower_last;
        }
        batch->follower_first = NULL;
        router_answer(router, batch->mark, batch->coordinator, MAIL_BATCH_HOME, &batch->mail);
        batch = next;
    }
}

void
batch_receive(struct router *router, struct batch *batch)
{
    if (UNLIKELY(!list_is_empty(&router->waiting))) {
        struct batch *waiting = batch_find_waiting(router, batch);
        if (waiting != NULL) {
            batch->next = NULL;
            if (waiting->follower_first == NULL) {
                waiting->follower_first = batch;
            } else {
                waiting->follower_last->next = batch;
            }
            waiting->follower_last = batch;
            return;
        }
    }
    router_prefetch(router->shard, batch->requests, batch->count);
    batch_run_chain(router, batch);
    lender_serve(router);
}

void
batch_serve(struct router *router, struct lock_request *request)
{
    struct batch *batch = container_of(request, struct batch, wait);
    list_remove(&batch->waiting_link);
    batch->is_first_held = true;
    batch_run_chain(router, batch);
}
