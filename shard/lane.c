/*
 * lane.c: replies in request order.
 *
 * As long as nothing is owed, replies go straight into the connection's output. From the first
 * request that another core answers (or that waits) on, each reply has an item in the lane's queue:
 *
 *     [remote: batch 7, 12 bytes] [local: 40 bytes] [remote: batch 9, ?] [local: 5 bytes]
 *          done: leaves               leaves            stops here          waits
 *
 * Local replies between two others share one item.
 */
#include "shard/lane.h"

#include "core/heap.h"
#include "shard/session.h"

/** Local replies that wait behind somebody else's. */
struct local_item {
    struct lane_item item;
    struct output output;
};

static void
local_item_retire(struct shard *shard, struct lane_item *item)
{
    (void)shard;
    struct local_item *local = container_of(item, struct local_item, item);
    output_destroy(&local->output);
    heap_free(local);
}

void
lane_create(struct lane *lane, struct shard *shard, struct session *session, struct output *output,
            const struct lane_ops *ops)
{
    *lane = (struct lane){.shard = shard, .session = session, .output = output, .ops = ops};
    if (session != NULL) {
        session->lane = lane;
    }
}

struct output *
lane_output(struct lane *lane)
{
    if (LIKELY(lane->first == NULL)) {
        ASSERT(lane->output != NULL);
        return lane->output;
    }
    struct lane_item *last = lane->last;
    if (last->retire == local_item_retire && !last->is_muted) {
        return last->source;
    }
    struct local_item *local = heap_alloc(sizeof(*local));
    local->item = (struct lane_item){.source = &local->output,
                                     .reply_size = LANE_REPLY_ALL,
                                     .is_done = true,
                                     .retire = local_item_retire};
    output_create(&local->output);
    lane_push(lane, &local->item);
    return &local->output;
}

struct output *
lane_push_output(struct lane *lane)
{
    /* Nothing starts before a command that blocks is answered: its reply alone is owed. */
    bool is_blocked = lane->first != NULL && lane->first == lane->last && !lane->first->is_done &&
                      lane->session->blocker != NULL;
    return is_blocked ? lane->output : lane_output(lane);
}

static void
item_count_size(struct lane *lane, struct lane_item *item)
{
    item->counted_size =
        item->reply_size == LANE_REPLY_ALL ? item->source->byte_count : item->reply_size;
    lane->waiting_size += item->counted_size;
}

void
lane_push(struct lane *lane, struct lane_item *item)
{
    item->next = NULL;
    item->counted_size = 0;
    struct lane_item *last = lane->last;
    if (last == NULL) {
        lane->first = item;
    } else {
        last->next = item;
        if (last->retire == local_item_retire) {
            item_count_size(lane, last); /* nothing more is written to it */
        }
    }
    lane->last = item;
    lane->item_count++;
}

void
lane_item_done(struct lane *lane, struct lane_item *item)
{
    ASSERT(!item->is_done);
    item->is_done = true;
    item_count_size(lane, item);
}

uint64_t
lane_waiting_size(const struct lane *lane)
{
    uint64_t size = lane->waiting_size;
    const struct lane_item *last = lane->last;
    if (last != NULL && last->retire == local_item_retire) {
        size += last->source->byte_count;
    }
    return size;
}

void
lane_emit(struct lane *lane)
{
    while (lane->first != NULL && lane->first->is_done) {
        struct lane_item *item = lane->first;
        lane->first = item->next;
        if (lane->first == NULL) {
            lane->last = NULL;
        }
        lane->item_count--;
        ASSERT(lane->waiting_size >= item->counted_size);
        lane->waiting_size -= item->counted_size;
        uint64_t size =
            item->reply_size == LANE_REPLY_ALL ? item->source->byte_count : item->reply_size;
        if (lane->output == NULL || item->is_muted) {
            output_consume(item->source, size);
        } else if (item->reply_size == LANE_REPLY_ALL) {
            output_splice(lane->output, item->source);
        } else {
            output_take(lane->output, item->source, size);
        }
        item->retire(lane->shard, item);
    }
    if (lane->output == NULL && lane_is_idle(lane)) {
        lane->ops->ended(lane);
        return;
    }
    if (lane->output != NULL) {
        lane->ops->resume(lane);
    }
}

void
lane_abandon(struct lane *lane)
{
    lane->output = NULL;
    lane_emit(lane);
}
