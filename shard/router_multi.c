/*
 * router_multi.c: where a transaction runs.
 * Between MULTI and EXEC commands are checked and queued on the connection's core. EXEC makes one
 * request of the queue, whose keys are those of all its commands and those under WATCH:
 *
 *     keys of this core, free    at once
 *     keys of one other core     with the batch for it, queue and all
 *     keys of several cores      a loan of all of them (transaction.c)
 *     commands over all shards   all are closed first (transaction_closed.c)
 *
 * A request that may not start yet gives the queue back to its session, and comes again.
 */
#include "core/heap.h"
#include "shard/execute_multi.h"
#include "shard/multi.h"
#include "shard/router_internal.h"
#include "shard/session.h"
#include "shard/stats.h"
#include "shard/view_set.h"

enum router_verdict
router_queue(struct shard *shard, struct lane *lane, struct request *request)
{
    struct multi *multi = lane->session->multi;
    struct reply reply;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    if ((request->command->flags & CMD_NO_MULTI) != 0) {
        multi->is_aborted = true;
        reply_error(&reply, "ERR Command not allowed inside a transaction");
        stats_reject(shard, request->command);
        stats_error(shard, reply.error_code);
        shard->counters.error_count++;
        if (request->large_raw != NULL) {
            large_raw_drop(shard, request->large_raw);
        }
        return ROUTER_STARTED;
    }
    multi_add(multi, request);
    request->large_raw = NULL;
    reply_simple(&reply, "QUEUED");
    return ROUTER_STARTED;
}

/** The queue and the watches are the request's from now on. */
static void
take_multi(struct session *session, struct request *request)
{
    request->multi = session->multi;
    request->multi->watches = session->watches;
    session->multi = NULL;
    session->watches = NULL;
    session->flags &= ~SESSION_MULTI;
}

/** The request could not start: it comes again. */
static void
give_back_multi(struct session *session, struct request *request)
{
    session->multi = request->multi;
    session->watches = request->multi->watches;
    session->multi->watches = NULL;
    session->flags |= SESSION_MULTI;
    request->multi = NULL;
}

/** EXEC without MULTI, or of a queue that will not run. */
static enum router_verdict
refuse_exec(struct shard *shard, struct lane *lane, struct request *request, const char *error)
{
    if (lane->session->multi != NULL) {
        if (!lane_is_clear(lane)) {
            return ROUTER_STALLED;
        }
        multi_discard(lane->session);
    }
    struct reply reply;
    struct call call;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    call_prepare(&call, shard, request, &reply, NULL);
    reply_error(&reply, error);
    call_finish(&call);
    return ROUTER_STARTED;
}

/** The keys are one owner's. */
static enum router_verdict
start_exec_single(struct shard *shard, struct lane *lane, struct request *request,
                  struct view_set *set, struct ring_buffer *buffer)
{
    bool has_local = request->multi->has_local;
    if (lane->transaction_count > 0 || is_out_of_strict_order(shard, lane, request) ||
        (has_local && lane->single_count > 0) ||
        ((request->multi->command_flags & CMD_PUBSUB) != 0 &&
         is_behind_others(lane, request->owner))) {
        /* SELECT and its like do not overtake what was sent before them. */
        return ROUTER_STALLED;
    }
    if (runs_here_now(shard, lane, request)) {
        execute_multi(shard, request, lane->session, lane_output(lane));
        multi_delete(shard, request->multi);
        request->multi = NULL;
        return ROUTER_STARTED;
    }
    if (has_local) {
        /* The session is here, and the keys are elsewhere or lent: borrow them. */
        transaction_start_keys(shard->router, lane, request, set, buffer);
        return ROUTER_STARTED;
    }
    return batch_add(shard->router, lane, request, buffer) ? ROUTER_STARTED : ROUTER_FULL;
}

static enum router_verdict
start_exec_planned(struct shard *shard, struct lane *lane, struct request *request,
                   struct ring_buffer *buffer)
{
    if (request->multi->has_whole) {
        if (!lane_is_clear(lane)) {
            return ROUTER_STALLED;
        }
        transaction_start_closed(shard->router, lane, request, buffer, NULL);
        return ROUTER_STARTED;
    }
    struct view_set set;
    bool has_keys = view_set_create(&set, shard, request);
    request->owner = has_keys ? set.owner : (uint16_t)shard->index;
    enum router_verdict verdict = ROUTER_STARTED;
    if (lane->barrier_count > 0) {
        verdict = ROUTER_STALLED;
    } else if (!has_keys || set.is_one_owner) {
        verdict = start_exec_single(shard, lane, request, &set, buffer);
    } else if (lane->single_count > 0 ||
               (request->multi->watches != NULL && lane->transaction_count > 0)) {
        /* Marks are of the session: those of an EXEC before it are taken back first. */
        verdict = ROUTER_STALLED;
    } else {
        transaction_start_keys(shard->router, lane, request, &set, buffer);
    }
    view_set_destroy(&set);
    return verdict;
}

/** EXEC: at once, with the batch for one other owner, or as a transaction over several. */
enum router_verdict
router_start_exec(struct shard *shard, struct lane *lane, struct request *request,
                  struct ring_buffer *buffer)
{
    struct session *session = lane->session;
    if (lane->barrier_count > 0) {
        return ROUTER_STALLED; /* what it waits for may take another place in the lane */
    }
    if (session->multi == NULL) {
        return refuse_exec(shard, lane, request, "ERR EXEC without MULTI");
    }
    if (session->multi->is_aborted) {
        return refuse_exec(shard, lane, request,
                           "EXECABORT Transaction discarded because of previous errors.");
    }
    multi_plan(session->multi, session->db, shard->keyspace.database_count);
    take_multi(session, request);
    enum router_verdict verdict = start_exec_planned(shard, lane, request, buffer);
    if (verdict != ROUTER_STARTED) {
        give_back_multi(session, request);
    }
    return verdict;
}
