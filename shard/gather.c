/*
 * gather.c: commands that ask all shards, one at a time or all at once.
 * Each shard's part runs on that shard's core and comes home with what it contributes; the
 * command's run() merges them at the coordinator. A gather is a barrier in its lane: it starts when
 * everything before it is answered, and nothing behind it starts before it is.
 */
#include "core/clock.h"
#include "core/heap.h"
#include "shard/execute.h"
#include "shard/router_internal.h"
#include "shard/session.h"
#include "shard/value/raw.h"

struct gather_node {
    struct mail mail;
    struct gather_node *next; /* in router->held_parts */
    struct gather *gather;
    struct part *part;
};

struct gather {
    struct lane_item item;
    struct lane *lane;
    struct output output;
    uint32_t part_count;
    uint32_t home_count;
    struct request request;
    struct arguments arguments;
    void *shared;
    struct part *parts;
    struct gather_node nodes[];
};

void
part_create(struct part *part, struct router *router, const struct request *request,
            const struct lane *lane, void *shared)
{
    memset(part, 0, sizeof(*part));
    part->command = request->command;
    part->argv = request->argv;
    part->argc = request->argc;
    part->db = request->db;
    part->coordinator = (uint16_t)router->shard->index;
    part->session_id = lane->session->id;
    part->shared = shared;
    part->next_shard = -1;
    output_create(&part->bytes);
    reply_create(&part->reply, &part->bytes, request->protocol);
}

void
part_destroy(struct part *part)
{
    output_destroy(&part->bytes);
    heap_free(part->data);
}

void
part_run(struct router *router, struct part *part)
{
    struct shard *shard = router->shard;
    part->shard = shard;
    part->now_ms = shard_deadline_now(shard);
    part->effects = shard->journal;
    if ((part->command->flags & (CMD_READONLY | CMD_WRITE)) != 0) {
        durable_seen_all(&shard->durable);
    }
    uint64_t start_ticks = clock_ticks();
    part->command->part(part);
    journal_close(shard);
    shard->last_ticks = clock_ticks();
    part->tick_count += shard->last_ticks - start_ticks;
}

void
parts_account(struct call *call)
{
    uint64_t longest_ticks = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        longest_ticks = MAX(longest_ticks, call->parts[i].tick_count);
    }
    call->shard->last_ticks -= longest_ticks;
}

static void
gather_retire(struct shard *shard, struct lane_item *item)
{
    (void)shard;
    struct gather *gather = container_of(item, struct gather, item);
    for (uint32_t i = 0; i < gather->part_count; i++) {
        part_destroy(&gather->parts[i]);
    }
    arguments_release(&gather->arguments);
    output_destroy(&gather->output);
    heap_free(gather->arguments.argv);
    heap_free(gather->parts);
    heap_free(gather);
}

void
gather_start(struct router *router, struct lane *lane, const struct request *request,
             struct ring_buffer *buffer, void *shared)
{
    bool is_walk = request->command->scope == SCOPE_WALK;
    uint32_t count = is_walk ? 1 : router->shard->node->shard_count;
    struct gather *gather = heap_alloc(sizeof(*gather) + count * sizeof(struct gather_node));
    memset(gather, 0, sizeof(*gather));
    gather->lane = lane;
    gather->part_count = count;
    gather->request = *request;
    gather->shared = shared;
    struct slice *storage = heap_alloc(request->argc * sizeof(*storage));
    arguments_keep(&gather->arguments, request, buffer, storage);
    gather->request.argv = storage;
    output_create(&gather->output);
    gather->item = (struct lane_item){.source = &gather->output,
                                      .reply_size = LANE_REPLY_ALL,
                                      .is_muted = (request->flags & REQUEST_MUTED) != 0,
                                      .retire = gather_retire};
    gather->parts = heap_alloc(count * sizeof(struct part));
    lane_push(lane, &gather->item);
    lane->barrier_count++;
    router->pending_count++;
    for (uint32_t i = 0; i < count; i++) {
        part_create(&gather->parts[i], router, &gather->request, lane, shared);
        gather->nodes[i] = (struct gather_node){.gather = gather, .part = &gather->parts[i]};
    }
    for (uint32_t i = 0; i < count; i++) {
        /* A walk begins here; its part says where it goes on. */
        uint32_t to = is_walk ? router->shard->index : i;
        router_post(router, to, MAIL_PART, &gather->nodes[i].mail);
    }
}

void
gather_part(struct router *router, struct mail *mail)
{
    struct gather_node *node = container_of(mail, struct gather_node, mail);
    if (UNLIKELY(lock_shard_is_lent(router->shard->locks))) {
        /* Somebody has closed the shard, perhaps for several steps: nobody sees it between them. */
        node->next = router->held_parts;
        router->held_parts = node;
        return;
    }
    uint64_t outer = durable_begin(&router->shard->durable);
    node->part->mail = mail;
    part_run(router, node->part);
    uint64_t mark = durable_end(&router->shard->durable, outer);
    if (UNLIKELY(node->part->is_put_off)) {
        return;
    }
    router_answer(router, mark, node->part->coordinator, MAIL_PART_HOME, mail);
}

void
gather_part_home(struct router *router, struct part *part)
{
    ASSERT(part->is_put_off);
    router_post(router, part->coordinator, MAIL_PART_HOME, part->mail);
}

void
gather_release(struct router *router)
{
    struct gather_node *node = router->held_parts;
    if (LIKELY(node == NULL) || lock_shard_is_lent(router->shard->locks)) {
        return;
    }
    router->held_parts = NULL;
    while (node != NULL) {
        struct gather_node *next = node->next;
        gather_part(router, &node->mail);
        node = next;
    }
}

void
gather_home(struct router *router, struct mail *mail)
{
    struct gather_node *node = container_of(mail, struct gather_node, mail);
    struct gather *gather = node->gather;
    if (gather->request.command->scope == SCOPE_WALK && node->part->next_shard >= 0) {
        /* By way of this core, so that it stays behind the RETURNs that were mailed before it. */
        router_post(router, (uint32_t)node->part->next_shard, MAIL_PART, mail);
        return;
    }
    if (++gather->home_count < gather->part_count) {
        return;
    }
    struct lane *lane = gather->lane;
    struct reply reply;
    struct call call;
    reply_create(&reply, &gather->output, gather->request.protocol);
    reply.is_muted = gather->item.is_muted;
    call_prepare(&call, router->shard, &gather->request, &reply, lane->session);
    call.shared = gather->shared;
    call.parts = gather->parts;
    call.part_count = gather->part_count;
    call_run(&call);
    parts_account(&call);
    call_finish(&call);
    lane_item_done(lane, &gather->item);
    lane->barrier_count--;
    router->pending_count--;
    lane_emit(lane);
}
