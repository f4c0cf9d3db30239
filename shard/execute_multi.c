/*
 * execute_multi.c: EXEC: queued commands on one set of views.
 * All keys that the commands name are opened once, the commands run one after the other on the same
 * views, so that each sees what those before it have made, and the views are committed once. So a
 * transaction is atomic for the same reason as a single command is: nobody else runs between.
 */
#include "shard/execute_multi.h"

#include "core/clock.h"
#include "core/heap.h"
#include "shard/commandlog.h"
#include "shard/effect.h"
#include "shard/execute.h"
#include "shard/latency.h"
#include "shard/multi.h"
#include "shard/notify.h"
#include "shard/shard.h"
#include "shard/stats.h"
#include "shard/tracking.h"
#include "shard/view_set.h"
#include "shard/watch.h"

void
multi_run(struct call *call, struct multi *multi, uint32_t from, uint32_t to,
          struct view **declared, struct session *session)
{
    struct reply *reply = call->reply;
    /* What a queued command says of the session holds for those behind it. */
    bool is_in_step = session != NULL && (multi->has_local || multi->has_whole);
    for (uint32_t i = from; i < to; i++) {
        struct multi_item *item = &multi->items[i];
        reply->is_error = false;
        reply->start_size = reply->output->byte_count;
        call->command = item->command;
        call->argv = item->argv;
        call->argc = item->argc;
        call->db = item->db;
        call->flags |= CALL_IN_MULTI;
        call->views = declared + item->declared_index;
        call->view_count = item->declared_count;
        call->session = item->command->scope == SCOPE_LOCAL ? session : NULL;
        call->large_raw = item->large_raw;
        bool is_tracked = is_in_step ? tracking_wants(session) : (call->flags & CALL_TRACK) != 0;
        call_run(call);
        call_account(call);
        /* Taken by a view, or still good until the commit. */
        item->large_raw = call->large_raw;
        call->large_raw = NULL;
        bool is_reader = (item->command->flags & CMD_READONLY) != 0;
        if (UNLIKELY(is_reader ? is_tracked : is_tracked || is_in_step)) {
            tracking_mark(call, !is_reader);
        }
    }
    if (session != NULL) {
        commandlog_settle(call->shard, commandlog_take(call->shard), session);
    }
}

void
multi_account(struct shard *shard, const struct request *request, uint64_t start_ticks)
{
    uint64_t spent_ticks = clock_ticks() - start_ticks;
    stats_command(shard, request->command, spent_ticks, false);
    latency_note(shard, LATENCY_COMMAND,
                 clock_ticks_to_ns(&shard->node->clock_scale, spent_ticks) / 1000000);
}

void
execute_multi(struct shard *shard, const struct request *request, struct session *session,
              struct output *output)
{
    struct multi *multi = request->multi;
    uint64_t start_ticks = shard->last_ticks;
    struct reply reply;
    reply_create(&reply, output, request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    struct view_set set;
    view_set_create_multi(&set, shard, multi, 0, multi->count);
    for (uint32_t i = 0; i < set.count; i++) {
        if (!view_is_channel(&set.views[i])) {
            keyspace_prefetch_bucket(&shard->keyspace, set.views[i].db, set.views[i].slot,
                                     set.views[i].hash);
        }
    }
    for (uint32_t i = 0; i < set.count; i++) {
        view_open(shard, &set.views[i]);
    }
    bool is_dirty = false;
    if (multi->watches != NULL) {
        is_dirty = watch_is_dirty(shard, request->session_id);
        watch_remove(shard, request->session_id);
    }
    if (is_dirty) {
        reply_null_array(&reply);
    } else {
        struct view *on_stack[VIEW_SET_INLINE_COUNT];
        struct view **declared = on_stack;
        if (set.declared_count > VIEW_SET_INLINE_COUNT) {
            declared = heap_alloc(set.declared_count * sizeof(struct view *));
        }
        for (uint32_t i = 0; i < set.declared_count; i++) {
            declared[i] = &set.views[set.declared[i]];
        }
        struct call call;
        call_prepare(&call, shard, request, &reply, NULL);
        reply_array(&reply, multi->count);
        multi_run(&call, multi, 0, multi->count, declared, session);
        execute_commit(shard, request, &call, set.views, set.count);
        call_release(&call);
        if (declared != on_stack) {
            heap_free(declared);
        }
    }
    multi_account(shard, request, start_ticks);
    view_set_destroy(&set);
}
