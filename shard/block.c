/*
 * block.c: the client's side of a wait.
 *
 * A command that may block runs as others do, at its owner or under a loan. If it finds nothing, it
 * says so (call_block()), and a blocker takes the command's place in its lane: a copy of the
 * request, and a part for each owner of a key that is waited for. The owner registers the part
 * before anybody else gets at the key. When a key becomes ready, its owner runs the command again,
 * on that key alone, and the part comes home with the reply.
 *
 *     coordinator                         owner of k1             owner of k2
 *     BLPOP k1 k2: nothing there
 *       blocker [part 1][part 2] ──RETURN─▶ k1: waiter 1
 *                                └─RETURN────────────────────────▶ k2: waiter 2
 *                                                                  LPUSH k2 x: take the state, run
 *                                                                  BLPOP k2 x, unregister
 *       reply to the client      ◀─────────────BLOCK_HOME──────────┘
 *       the other parts          ──CANCEL─▶ unregister ──BLOCK_HOME─▶
 *
 * Exactly one of the owners and the coordinator (time, CLIENT UNBLOCK, the connection's end) ends a
 * wait: whoever moves `state` away from WAITING. It is the one word that cores share here; the
 * alternative, an offer that asks the coordinator first, costs two more messages for each element
 * and holds the key meanwhile.
 *
 * A move between two owners (BLMOVE) does need both keys: then the owner of the ready one locks it
 * under the blocker's old ticket and sends the part home as an offer; the coordinator starts the
 * command anew as a transaction under that ticket, which takes the part's place in the queue.
 */
#include "shard/block.h"

#include "core/heap.h"
#include "core/number.h"
#include "shard/aof.h"
#include "shard/block_internal.h"
#include "shard/commandlog.h"
#include "shard/execute.h"
#include "shard/session.h"
#include "shard/view_set.h"

#include <math.h>

/** How often those who wait for other cores' logs look: nobody tells them. */
#define POINT_LOOK_MS 5

struct block_table *
block_table_new(struct memory *memory, int64_t now_ms)
{
    struct block_table *table = heap_alloc(sizeof(*table));
    *table = (struct block_table){0};
    list_create(&table->ready);
    list_create(&table->point_waits);
    wheel_create(&table->wheel, memory, now_ms);
    return table;
}

void
block_table_delete(struct block_table *table)
{
    wheel_destroy(&table->wheel);
    heap_free(table->buckets);
    heap_free(table);
}

/* ---- life ---- */

static void
blocker_try_delete(struct blocker *blocker)
{
    if (!blocker->is_retired || blocker->home_count < blocker->part_count) {
        return;
    }
    output_destroy(&blocker->output);
    heap_free(blocker->resolved);
    heap_free(blocker->point);
    heap_free(blocker);
}

static void
blocker_retire(struct shard *shard, struct lane_item *item)
{
    (void)shard;
    struct blocker *blocker = container_of(item, struct blocker, item);
    blocker->is_retired = true;
    blocker_try_delete(blocker);
}

/** A copy of the request, which owes its lane a reply from now on. */
static struct blocker *
blocker_new(struct lane *lane, const struct request *request, const struct slice *argv,
            uint32_t part_count)
{
    size_t head_size = sizeof(struct blocker) + part_count * sizeof(struct blocker_part);
    size_t size = head_size + request->argc * sizeof(struct slice);
    for (uint32_t i = 0; i < request->argc; i++) {
        size += argv[i].size;
    }
    struct blocker *blocker = heap_alloc(size);
    memset(blocker, 0, head_size);
    blocker->argv = (struct slice *)((char *)blocker + head_size);
    char *end = (char *)(blocker->argv + request->argc);
    for (uint32_t i = 0; i < request->argc; i++) {
        blocker->argv[i] = slice_of(end, argv[i].size);
        if (argv[i].size > 0) {
            memcpy(end, argv[i].data, argv[i].size);
        }
        end += argv[i].size;
    }
    atomic_init(&blocker->state, BLOCKER_WAITING);
    blocker->lane = lane;
    blocker->shard = lane->shard;
    blocker->request = *request;
    blocker->request.argv = blocker->argv;
    blocker->request.large_raw = NULL;
    blocker->part_count = part_count;
    blocker->wanted_end = BLOCK_TIMEOUT;
    blocker->timer = (struct wheel_node){.place = WHEEL_NOWHERE};
    output_create(&blocker->output);
    blocker->item = (struct lane_item){.source = &blocker->output,
                                       .reply_size = LANE_REPLY_ALL,
                                       .is_muted = (request->flags & REQUEST_MUTED) != 0,
                                       .retire = blocker_retire};
    for (uint32_t i = 0; i < part_count; i++) {
        blocker->parts[i].blocker = blocker;
        blocker->parts[i].retry =
            (struct wheel_node){.place = WHEEL_NOWHERE, .spare = BLOCK_TIMER_PART};
    }
    lane_push(lane, &blocker->item);
    lane->barrier_count++;
    lane->session->blocker = blocker;
    lane->shard->block->client_count++;
    lane->shard->router->pending_count++;
    return blocker;
}

static void
timer_set(struct blocker *blocker, int64_t deadline_ms)
{
    if (deadline_ms != INT64_MAX) {
        blocker->timer.deadline_ms = deadline_ms;
        wheel_add(&blocker->shard->block->wheel, &blocker->timer);
    }
}

/** The reply is there. Ends the lane, perhaps. */
static void
blocker_done(struct blocker *blocker)
{
    struct lane *lane = blocker->lane;
    struct shard *shard = blocker->shard;
    wheel_remove(&shard->block->wheel, &blocker->timer);
    if (blocker->point != NULL) {
        list_remove(&blocker->point_link);
    }
    shard->block->client_count--;
    shard->router->pending_count--;
    lane->session->blocker = NULL;
    lane->barrier_count--;
    lane_item_done(lane, &blocker->item);
}

static void
cancel_parts(struct blocker *blocker)
{
    struct router *router = blocker->shard->router;
    for (uint32_t i = 0; i < blocker->part_count; i++) {
        struct blocker_part *part = &blocker->parts[i];
        if (part->is_out) {
            struct block_cancel_mail *cancel = heap_alloc(sizeof(*cancel));
            cancel->part = part;
            router_post(router, part->owner, MAIL_BLOCK_CANCEL, &cancel->mail);
        }
    }
}

/* ---- beginning ---- */

bool
call_block(struct call *call, int64_t timeout_ms, uint32_t waited_count, const struct slice *argv)
{
    if ((call->flags & CALL_MAY_BLOCK) == 0) {
        return false;
    }
    call->flags |= CALL_BLOCKS;
    call->block_point = NULL;
    call->block_timeout_ms = timeout_ms;
    call->block_argv = argv;
    call->block_view_count = waited_count;
    for (uint32_t i = 0; i < waited_count; i++) {
        call->views[i]->flags |= VIEW_WAITED;
    }
    return true;
}

bool
call_block_point(struct call *call, int64_t timeout_ms, struct aof_point *point,
                 enum block_point_use use)
{
    if (!call_block(call, timeout_ms, 0, call->argv)) {
        return false;
    }
    call->block_point = point;
    call->block_point_use = use;
    return true;
}

bool
call_block_timeout(struct call *call, uint32_t index, int64_t *timeout_ms)
{
    long double seconds;
    if (!number_parse_long_double(call->argv[index], &seconds)) {
        reply_error(call->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    long double ms = seconds * 1000;
    /* What no number of milliseconds can say is negative to redis-server, too. */
    bool is_out_of_range = !(ms < (long double)INT64_MAX && ms > (long double)INT64_MIN);
    *timeout_ms = is_out_of_range ? -1 : (int64_t)ceill(ms);
    if (*timeout_ms < 0) {
        reply_error(call->reply, "ERR timeout is negative");
        return false;
    }
    if (*timeout_ms > INT64_MAX - call->now_ms) {
        reply_error(call->reply, "ERR timeout is out of range");
        return false;
    }
    return true;
}

void
block_start(struct router *router, struct lane *lane, const struct request *request)
{
    struct blocker *blocker = blocker_new(lane, request, request->argv, 1);
    struct blocker_part *part = &blocker->parts[0];
    part->owner = request->owner;
    part->is_out = true;
    part->is_first_try = true;
    if (request->large_raw != NULL) {
        large_raw_drop(router->shard, request->large_raw); /* it was copied */
    }
    if (part->owner == router->shard->index) {
        part->mail.from = part->owner;
        block_receive(router, &part->mail);
    } else {
        router_post(router, part->owner, MAIL_BLOCK, &part->mail);
    }
}

static bool
has_waited(const struct view *views, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if ((views[i].flags & VIEW_WAITED) != 0) {
            return true;
        }
    }
    return false;
}

void
block_begin(struct router *router, struct lane *lane, const struct request *request,
            struct call *call, struct loan *loans, uint32_t loan_count, uint64_t ticket,
            int64_t deadline_ms, enum block_end end)
{
    struct shard *shard = router->shard;
    if (lane->output == NULL) {
        heap_free(call->block_point);
        return; /* nobody waits for the reply any more */
    }
    ASSERT(call->block_point == NULL || loan_count == 0);
    uint32_t part_count = 0;
    for (uint32_t i = 0; i < loan_count; i++) {
        part_count += has_waited(loans[i].views, loans[i].view_count);
    }
    struct blocker *blocker = blocker_new(lane, request, call->block_argv, part_count);
    blocker->ticket = ticket;
    blocker->waited_count = call->block_view_count;
    if (deadline_ms == INT64_MAX && call->block_timeout_ms > 0) {
        deadline_ms = shard->now_ms + call->block_timeout_ms;
    }
    blocker->wanted_end = end;
    timer_set(blocker, deadline_ms);
    if (call->block_point != NULL) {
        blocker->point = call->block_point;
        blocker->point_use = call->block_point_use;
        list_push_back(&shard->block->point_waits, &blocker->point_link);
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < loan_count; i++) {
        if (has_waited(loans[i].views, loans[i].view_count)) {
            struct blocker_part *part = &blocker->parts[next++];
            part->owner = loans[i].owner;
            part->is_out = true;
            loans[i].block_part = part;
        }
    }
}

/* ---- the end ---- */

/** Answer a wait that found nothing. */
static void
reply_end(struct blocker *blocker, enum block_end end)
{
    struct reply reply;
    reply_create(&reply, &blocker->output, blocker->request.protocol);
    if (end == BLOCK_UNBLOCK_ERROR) {
        reply_error(&reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else if (end == BLOCK_LOG_ENDED) {
        reply_error(&reply, BLOCK_LOG_ENDED_ERROR);
    } else if (end == BLOCK_TIMEOUT && blocker->request.command->timed_out != NULL) {
        bool is_synced =
            blocker->point != NULL && aof_point_is_synced(blocker->shard, blocker->point);
        blocker->request.command->timed_out(&reply, is_synced);
    } else if (end == BLOCK_TIMEOUT) {
        reply_null_array(&reply);
    }
}

static bool
blocker_end(struct blocker *blocker, enum block_end end)
{
    uint32_t waiting = BLOCKER_WAITING;
    if (!atomic_compare_exchange_strong_explicit(&blocker->state, &waiting, BLOCKER_OVER,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        return false;
    }
    struct lane *lane = blocker->lane;
    reply_end(blocker, end);
    blocker_done(blocker);
    cancel_parts(blocker);
    lane_emit(lane);
    return true;
}

bool
block_end(struct session *session, enum block_end end)
{
    struct blocker *blocker = session->blocker;
    if (blocker == NULL) {
        return false;
    }
    if (blocker_end(blocker, end)) {
        return true;
    }
    if (atomic_load_explicit(&blocker->state, memory_order_acquire) == BLOCKER_OVER) {
        return false; /* the reply is on its way */
    }
    /* An owner runs the command, for the first time or in vain: it ends when that is known. */
    blocker->wanted_end = end;
    wheel_remove(&blocker->shard->block->wheel, &blocker->timer);
    timer_set(blocker, blocker->shard->now_ms + 1);
    return true;
}

static void
timer_due(void *context, struct wheel_node *node)
{
    struct shard *shard = context;
    if (node->spare == BLOCK_TIMER_PART) {
        block_part_due(shard, node);
        return;
    }
    struct blocker *blocker = container_of(node, struct blocker, timer);
    if (!blocker_end(blocker, blocker->wanted_end)) {
        timer_set(blocker, shard->now_ms + 1);
    }
}

void
block_end_log_waits(struct shard *shard)
{
    struct list_node *node;
    while ((node = list_first(&shard->block->point_waits)) != NULL) {
        struct blocker *blocker = container_of(node, struct blocker, point_link);
        if (blocker->point_use != BLOCK_POINT_REPORTED) {
            blocker_end(blocker, BLOCK_LOG_ENDED);
        } else {
            list_remove(node);
            heap_free(blocker->point);
            blocker->point = NULL;
        }
    }
}

/** Those whose log is on disk need not wait any more. */
static void
look_at_points(struct shard *shard)
{
    struct list *waits = &shard->block->point_waits;
    for (struct list_node *node = list_first(waits), *next = NULL; node != NULL; node = next) {
        next = list_next(waits, node);
        struct blocker *blocker = container_of(node, struct blocker, point_link);
        if (blocker->point_use == BLOCK_POINT_ALL && aof_point_is_synced(shard, blocker->point)) {
            blocker_end(blocker, BLOCK_TIMEOUT);
        }
    }
}

void
block_advance(struct shard *shard)
{
    if (UNLIKELY(!list_is_empty(&shard->block->point_waits))) {
        look_at_points(shard);
    }
    if (UNLIKELY(shard->block->wheel.count > 0)) {
        wheel_advance(&shard->block->wheel, shard->now_ms, UINT32_MAX, timer_due, shard);
    }
}

int64_t
block_next_ms(const struct shard *shard)
{
    const struct block_table *table = shard->block;
    int64_t next_ms = table->wheel.count == 0 ? INT64_MAX : wheel_next_ms(&table->wheel);
    bool is_looking = UNLIKELY(!list_is_empty(&table->point_waits));
    return is_looking ? MIN(next_ms, shard->now_ms + POINT_LOOK_MS) : next_ms;
}

uint32_t
block_client_count(const struct shard *shard)
{
    return shard->block->client_count;
}

/** A part's command needs keys of other owners, too: run it as a transaction, in the blocker's
 * place and at its age. */
static void
take_offer(struct router *router, struct blocker_part *part)
{
    struct blocker *blocker = part->blocker;
    struct lane *lane = blocker->lane;
    struct view_set set;
    int64_t deadline_ms =
        blocker->timer.place == WHEEL_NOWHERE ? INT64_MAX : blocker->timer.deadline_ms;
    bool has_keys = view_set_create(&set, router->shard, &blocker->request);
    ASSERT(has_keys);
    /* Its own reply is empty; the transaction's stands behind it. */
    blocker_done(blocker);
    cancel_parts(blocker);
    transaction_start_offer(router, lane, &blocker->request, &set, part, part->owner,
                            blocker->ticket, deadline_ms, blocker->wanted_end);
    view_set_destroy(&set);
    lane_emit(lane);
}

void
block_parked(struct mail *mail)
{
    struct blocker_part *part = container_of(mail, struct blocker_part, notice);
    struct blocker *blocker = part->blocker;
    bool is_over = atomic_load_explicit(&blocker->state, memory_order_acquire) == BLOCKER_OVER;
    if (!is_over && blocker->timer.place == WHEEL_NOWHERE) {
        timer_set(blocker,
                  part->timeout_ms == 0 ? INT64_MAX : blocker->shard->now_ms + part->timeout_ms);
    }
}

void
block_home(struct router *router, struct mail *mail)
{
    struct blocker_part *part = container_of(mail, struct blocker_part, mail);
    struct blocker *blocker = part->blocker;
    part->is_out = false;
    if (part->is_offer) {
        take_offer(router, part);
        return;
    }
    blocker->home_count++;
    if (part->is_served) {
        struct lane *lane = blocker->lane;
        commandlog_settle(router->shard, part->logged, lane->session);
        blocker_done(blocker);
        cancel_parts(blocker);
        lane_emit(lane);
        return;
    }
    blocker_try_delete(blocker);
}
