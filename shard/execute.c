/*
 * execute.c: views opened, handler run, views committed.
 * The case that matters is one key at a fixed place: its hash and slot were computed when the
 * request was routed, its bucket and entry were prefetched, and nothing is allocated here.
 */
#include "shard/execute.h"

#include "core/clock.h"
#include "core/heap.h"
#include "shard/block.h"
#include "shard/change.h"
#include "shard/commandlog.h"
#include "shard/effect.h"
#include "shard/execute_multi.h"
#include "shard/journal.h"
#include "shard/lock.h"
#include "shard/notify.h"
#include "shard/shard.h"
#include "shard/stats.h"
#include "shard/tracking.h"
#include "shard/value/raw.h"
#include "shard/view_set.h"

static_assert(REQUEST_NO_TOUCH == CALL_NO_TOUCH && REQUEST_TRACK == CALL_TRACK,
              "call_prepare() takes them as they are");

void
call_prepare(struct call *call, struct shard *shard, const struct request *request,
             struct reply *reply, struct session *session)
{
    call->command = request->command;
    call->argv = request->argv;
    call->argc = request->argc;
    call->db = request->db;
    call->flags = request->flags & (REQUEST_NO_TOUCH | REQUEST_TRACK);
    call->views = NULL;
    call->view_count = 0;
    call->reply = reply;
    call->shard = shard;
    call->now_ms = shard_deadline_now(shard);
    call->session = session;
    call->parts = NULL;
    call->part_count = 0;
    call->shared = NULL;
    call->effects = shard->journal;
    call->scratch = NULL;
    call->large_raw = request->large_raw;
    call->coordinator = request->coordinator;
    call->events = shard->events;
    call->session_id = request->session_id;
}

void
large_raw_drop(struct shard *shard, struct raw *raw)
{
    memory_adopt(&shard->memory, raw_block_size(raw));
    raw_delete(&shard->memory, raw);
}

void
call_account(struct call *call)
{
    struct shard *shard = call->shard;
    struct reply *reply = call->reply;
    if (UNLIKELY((call->flags & (CALL_GROWS | CALL_BLOCKS)) != 0)) {
        return; /* it has not run yet: it comes again */
    }
    uint64_t ticks = clock_ticks();
    uint64_t spent_ticks = ticks - shard->last_ticks;
    stats_command(shard, call->command, spent_ticks, reply->is_error);
    shard->last_ticks = ticks;
    shard->counters.executed_count++;
    if (UNLIKELY(reply->is_error)) {
        stats_error(shard, reply->error_code);
        shard->counters.error_count++;
        commandlog_notice(call, spent_ticks);
    } else if (UNLIKELY(commandlog_wants(shard, spent_ticks))) {
        commandlog_notice(call, spent_ticks);
    }
}

void
call_release(struct call *call)
{
    if (UNLIKELY(call->scratch != NULL)) {
        call_scratch_free(call);
    }
    if (UNLIKELY(call->large_raw != NULL)) {
        large_raw_drop(call->shard, call->large_raw);
    }
}

void
call_finish(struct call *call)
{
    call_account(call);
    call_release(call);
}

static inline uint16_t
request_view_flags(const struct request *request)
{
    uint16_t no_touch = (request->flags & REQUEST_NO_TOUCH) != 0 ? VIEW_NO_TOUCH : 0;
    return request->command->view_flags | no_touch;
}

/** Those who are told of the changes may ask whose they are. */
static inline void
execute_commit_begin(struct shard *shard, const struct request *request)
{
    shard->actor_id = request->session_id;
}

static __attribute__((noinline)) void
execute_tell(struct shard *shard, struct call *call)
{
    shard->interest &= ~INTEREST_EVENTS;
    if (call->events->count > 0) {
        notify_publish(shard, call->events);
    }
    if ((shard->interest & INTEREST_READY) != 0) {
        block_serve_ready(shard);
    }
}

/** The views are committed: now their events can be seen, and those who wait be served. */
static inline void
execute_commit_end(struct shard *shard, struct call *call)
{
    journal_close(shard);
    if (UNLIKELY((shard->interest & (INTEREST_EVENTS | INTEREST_READY)) != 0)) {
        execute_tell(shard, call);
    }
}

void
execute_commit(struct shard *shard, const struct request *request, struct call *call,
               struct view *views, uint32_t view_count)
{
    execute_commit_begin(shard, request);
    for (uint32_t i = 0; i < view_count; i++) {
        view_commit(shard, &views[i]);
    }
    execute_commit_end(shard, call);
}

static inline void
execute_one_key(struct shard *shard, const struct request *request, struct reply *reply)
{
    struct view view;
    struct view *views[1] = {&view};
    view_prepare(&view, request->argv[request->key_index], request->hash, request->slot,
                 (uint16_t)shard->index, request->db, request_view_flags(request));
    view_open_key(shard, &view);
    struct call call;
    call_prepare(&call, shard, request, reply, NULL);
    call.views = views;
    call.view_count = 1;
    call_run(&call);
    if (UNLIKELY((call.flags & CALL_TRACK) != 0)) {
        tracking_mark(&call, false);
    }
    execute_commit_begin(shard, request);
    view_commit(shard, &view);
    execute_commit_end(shard, &call);
    call_finish(&call);
}

static void
execute_many_keys(struct shard *shard, const struct request *request, struct reply *reply)
{
    struct view_set set;
    struct call call;
    call_prepare(&call, shard, request, reply, NULL);
    bool has_keys = view_set_create(&set, shard, request);
    struct view *on_stack[VIEW_SET_INLINE_COUNT];
    struct view **views = on_stack;
    if (set.declared_count > VIEW_SET_INLINE_COUNT) {
        views = heap_alloc(set.declared_count * sizeof(struct view *));
    }
    uint16_t no_touch = request_view_flags(request) & VIEW_NO_TOUCH;
    for (uint32_t i = 0; i < set.count; i++) {
        struct view *view = &set.views[i];
        if (LIKELY(!view_is_channel(view))) {
            keyspace_prefetch_bucket(&shard->keyspace, view->db, view->slot, view->hash);
        }
    }
    for (uint32_t i = 0; i < set.count; i++) {
        struct view *view = &set.views[i];
        if (LIKELY(!view_is_channel(view))) {
            keyspace_prefetch_entry(&shard->keyspace, view->db, view->slot, view->hash);
        }
    }
    for (uint32_t i = 0; i < set.count; i++) {
        set.views[i].flags |= no_touch;
        view_open(shard, &set.views[i]);
    }
    for (uint32_t i = 0; i < set.declared_count; i++) {
        views[i] = &set.views[set.declared[i]];
    }
    if (has_keys) {
        call.views = views;
        call.view_count = set.declared_count;
    }
    call_run(&call);
    if (UNLIKELY((call.flags & CALL_TRACK) != 0)) {
        tracking_mark(&call, false);
    }
    execute_commit(shard, request, &call, set.views, set.count);
    call_finish(&call);
    if (views != on_stack) {
        heap_free(views);
    }
    view_set_destroy(&set);
}

void
execute_key(struct shard *shard, const struct request *request, struct output *output)
{
    struct reply reply;
    reply_create(&reply, output, request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    execute_one_key(shard, request, &reply);
}

void
execute_keys(struct shard *shard, const struct request *request, struct output *output)
{
    struct reply reply;
    reply_create(&reply, output, request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    if (LIKELY(request->key_index != REQUEST_KEYS_MANY)) {
        execute_one_key(shard, request, &reply);
    } else if (UNLIKELY(request->multi != NULL)) {
        execute_multi(shard, request, NULL, output);
    } else {
        execute_many_keys(shard, request, &reply);
    }
}

void
execute_local(struct shard *shard, const struct request *request, struct session *session,
              struct output *output)
{
    struct reply reply;
    reply_create(&reply, output, request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    struct call call;
    call_prepare(&call, shard, request, &reply, session);
    call_run(&call);
    call_finish(&call);
}

bool
execute_is_free(const struct shard *shard, const struct request *request)
{
    if (LIKELY(lock_table_request_count(shard->locks) == 0)) {
        return true;
    }
    if (request->key_index != REQUEST_KEYS_MANY) {
        return lock_key_is_free(shard->locks, request->db, request->argv[request->key_index],
                                request->hash, (request_view_flags(request) & VIEW_EXCLUSIVE) != 0);
    }
    struct view_set set;
    view_set_create(&set, shard, request);
    bool is_free = true;
    for (uint32_t i = 0; i < set.count && is_free; i++) {
        const struct view *view = &set.views[i];
        is_free = lock_key_is_free(shard->locks, view->db, view->key, view->hash,
                                   (view->flags & VIEW_EXCLUSIVE) != 0);
    }
    view_set_destroy(&set);
    return is_free;
}
