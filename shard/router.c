/*
 * router.c: where a request runs.
 *
 *     keys of one shard, mine     execute at once
 *     keys of one shard, another  into the batch for it (batch.c)
 *     keys of several shards      a loan of all of them (transaction.c, lender.c)
 *     all shards                  part by part (gather.c), or closed first (transaction.c)
 *     no key                      at once, on this core
 *
 * Rules of order within a connection (each one's violation is a test's fault switch):
 *   - singles to one owner run in the order sent: one that must wait, and all behind it for the
 * same owner, go through the owner's batches, its own core's too;
 *   - a transaction starts when all earlier singles are answered; singles behind it start when its
 * RETURNs are mailed, which each mailbox delivers before them;
 *   - a command over all shards starts when all before it is answered and lets nothing pass.
 */
#include "shard/router.h"

#include "core/hash.h"
#include "core/heap.h"
#include "core/log.h"
#include "shard/block.h"
#include "shard/execute.h"
#include "shard/execute_multi.h"
#include "shard/grown_keys.h"
#include "shard/monitor.h"
#include "shard/multi.h"
#include "shard/refusal.h"
#include "shard/router_internal.h"
#include "shard/session.h"
#include "shard/stats.h"
#include "shard/subscriptions.h"
#include "shard/tracking.h"
#include "shard/value/raw.h"
#include "shard/view_set.h"
#include "shard/watch.h"

#include <stdio.h>

/** Of the name and of all arguments together, in the answer to an unknown command. */
#define UNKNOWN_SHOWN_MAX 128

struct unpin_mail {
    struct mail mail;
    struct raw *raw;
};

struct unwatch_mail {
    struct mail mail;
    uint64_t session_id;
};

struct router *
router_new(struct shard *shard, struct exchange *exchange)
{
    struct router *router = heap_alloc(sizeof(*router));
    uint32_t shard_count = shard->node->shard_count;
    *router = (struct router){.shard = shard, .exchange = exchange};
    router->open = heap_alloc(shard_count * sizeof(struct batch *));
    memset(router->open, 0, shard_count * sizeof(struct batch *));
    router->open_owners = heap_alloc(shard_count * sizeof(*router->open_owners));
    list_create(&router->ready);
    list_create(&router->waiting);
    list_create(&router->journaled);
    return router;
}

void
router_delete(struct router *router)
{
    batch_pool_destroy(router);
    heap_free(router->open);
    heap_free(router->open_owners);
    heap_free(router);
}

void
router_fault_set(struct router *router, uint32_t faults)
{
    router->faults = faults;
}

uint32_t
router_pending_count(const struct shard *shard)
{
    return shard->router->pending_count;
}

/* ---- routing ---- */

void
router_resolve(struct shard *shard, struct request *request)
{
    const struct command *command =
        command_resolve(shard->node->commands, request->argv, request->argc);
    request->command = command;
    request->multi = NULL;
    request->key_index = REQUEST_KEYS_MANY;
    request->owner = (uint16_t)shard->index;
    request->coordinator = (uint16_t)shard->index;
    if (command == NULL || command->only_key >= request->argc) {
        return;
    }
    uint32_t index = command->only_key;
    struct slice key = request->argv[index];
    request->key_index = index;
    request->hash = hash_bytes(key.data, key.size, shard->keyspace.hash_seed);
    request->slot = key_slot(key);
    request->owner = shard->node->slot_owner[request->slot];
}

void
router_prefetch(struct shard *shard, const struct request *requests, uint32_t count)
{
    ASSERT(count <= ROUTER_PREFETCH_MAX);
    const struct keyspace *keyspace = &shard->keyspace;
    const struct request *mine[ROUTER_PREFETCH_MAX];
    uint32_t mine_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct request *request = &requests[i];
        if (request->key_index != REQUEST_KEYS_MANY && request->owner == shard->index &&
            keyspace->databases[request->db].slots != NULL) {
            keyspace_prefetch_slot(keyspace, request->db, request->slot);
            mine[mine_count++] = request;
        }
    }
    for (uint32_t i = 0; i < mine_count; i++) {
        keyspace_prefetch_bucket(keyspace, mine[i]->db, mine[i]->slot, mine[i]->hash);
    }
    uint32_t overflow_count = 0;
    for (uint32_t i = 0; i < mine_count; i++) {
        if (!keyspace_prefetch_entry(keyspace, mine[i]->db, mine[i]->slot, mine[i]->hash)) {
            mine[overflow_count++] = mine[i];
        }
    }
    for (uint32_t i = 0; i < overflow_count; i++) {
        keyspace_prefetch_overflow(keyspace, mine[i]->db, mine[i]->slot, mine[i]->hash);
    }
}

/* ---- requests that end before they run ---- */

/** As redis-server shows them: an argument ends at its first NUL byte, all of them at 128 bytes. */
static void
reply_unknown_command(struct reply *reply, const struct request *request)
{
    char arguments[256];
    int size = 0;
    for (uint32_t i = 1; i < request->argc && size < UNKNOWN_SHOWN_MAX; i++) {
        struct slice argument = request->argv[i];
        int room = UNKNOWN_SHOWN_MAX - size;
        size += snprintf(arguments + size, sizeof(arguments) - (size_t)size, "'%.*s' ",
                         (int)MIN(argument.size, (size_t)room), argument.data);
    }
    struct slice name = request->argv[0];
    reply_error_format(reply, "ERR unknown command '%.*s', with args beginning with: %.*s",
                       (int)MIN(name.size, UNKNOWN_SHOWN_MAX), name.data, size, arguments);
}

/** A browser talks to us, perhaps tricked into it: what follows are not commands. */
static bool
is_http(const struct request *request)
{
    return slice_is_word(request->argv[0], "post") || slice_is_word(request->argv[0], "host:");
}

static void
reply_rejection(struct shard *shard, struct reply *reply, const struct request *request)
{
    const struct command *command = request->command;
    if (command == NULL) {
        reply_unknown_command(reply, request);
        return;
    }
    struct call call;
    call_prepare(&call, shard, request, reply, NULL);
    if (command->subcommand_count > 0 && request->argc >= 2) {
        call_unknown_subcommand_error(&call);
    } else if (command->scope == SCOPE_EXEC) {
        reply_error(reply, "EXECABORT Transaction discarded because of: wrong number of arguments "
                           "for 'exec' command");
        stats_reject(shard, command);
    } else {
        call_arity_error(&call);
        stats_reject(shard, command);
    }
}

static void
reject(struct shard *shard, struct lane *lane, const struct request *request)
{
    struct reply reply;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    reply_rejection(shard, &reply, request);
    stats_error(shard, reply.error_code);
    shard->counters.error_count++;
    if (request->large_raw != NULL) {
        large_raw_drop(shard, request->large_raw);
    }
}

/** Containers without a handler of their own need a subcommand; arity decides for the rest. */
static inline bool
is_acceptable(const struct request *request)
{
    const struct command *command = request->command;
    return command != NULL && command_arity_ok(command, request->argc) && command->run != NULL;
}

/** The row's check(): may end the command with an error, before anything has happened. */
static bool
passes_check(struct shard *shard, struct lane *lane, const struct request *request, void **shared)
{
    *shared = NULL;
    if (request->command->check == NULL) {
        return true;
    }
    struct reply reply;
    struct call call;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    call_prepare(&call, shard, request, &reply, lane->session);
    call.large_raw = NULL;
    if (request->command->check(&call)) {
        *shared = call.shared;
        return true;
    }
    call.large_raw = request->large_raw;
    call_finish(&call);
    return false;
}

/* ---- starting ---- */

static enum router_verdict
start_over_all(struct shard *shard, struct lane *lane, const struct request *request,
               struct ring_buffer *buffer)
{
    if (!lane_is_answered(lane)) {
        return ROUTER_STALLED;
    }
    void *shared;
    if (!passes_check(shard, lane, request, &shared)) {
        return ROUTER_STARTED;
    }
    if (request->command->scope == SCOPE_CLOSED) {
        transaction_start_closed(shard->router, lane, request, buffer, shared);
    } else {
        gather_start(shard->router, lane, request, buffer, shared);
    }
    return ROUTER_STARTED;
}

static enum router_verdict
start_single(struct shard *shard, struct lane *lane, const struct request *request,
             struct ring_buffer *buffer)
{
    struct router *router = shard->router;
    if (lane->transaction_count > 0 && !router_fault_hit(router, ROUTER_FAULT_NO_RETURN_FIRST)) {
        return ROUTER_STALLED;
    }
    if (lane->barrier_count > 0 || UNLIKELY(is_out_of_strict_order(shard, lane, request))) {
        return ROUTER_STALLED;
    }
    if (LIKELY(runs_here_now(shard, lane, request))) {
        execute_keys(shard, request, lane_output(lane));
        return ROUTER_STARTED;
    }
    return batch_add(router, lane, request, buffer) ? ROUTER_STARTED : ROUTER_FULL;
}

/** The row's refuses(): the session is in a state that does not go with the command. */
static bool
is_refused(struct shard *shard, struct lane *lane, const struct request *request)
{
    struct reply reply;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    if (!request->command->refuses(lane->session, &reply)) {
        return false;
    }
    struct call call;
    call_prepare(&call, shard, request, &reply, NULL);
    call_finish(&call);
    return true;
}

/** A command that may wait for its keys: whatever happens, nothing overtakes it. */
static enum router_verdict
start_blocking(struct shard *shard, struct lane *lane, struct request *request,
               struct view_set *set, struct ring_buffer *buffer)
{
    if (!lane_is_clear(lane)) {
        return ROUTER_STALLED;
    }
    request->owner = set->owner;
    if (set->is_one_owner) {
        block_start(shard->router, lane, request);
    } else {
        transaction_start_keys(shard->router, lane, request, set, buffer);
    }
    return ROUTER_STARTED;
}

/** A command that will need more keys than it names. */
static enum router_verdict
start_growing(struct shard *shard, struct lane *lane, struct request *request)
{
    if (!lane_is_clear(lane)) {
        return ROUTER_STALLED;
    }
    struct grown_keys grown;
    grown_keys_create(&grown);
    transaction_start_grown(shard->router, lane, request, &grown, 0);
    return ROUTER_STARTED;
}

/** Keys at places that only the arguments tell, perhaps of several owners. */
static enum router_verdict
start_many_keys(struct shard *shard, struct lane *lane, struct request *request,
                struct ring_buffer *buffer)
{
    struct view_set set;
    enum router_verdict verdict = ROUTER_STARTED;
    if (UNLIKELY(request->command->refuses != NULL) && is_refused(shard, lane, request)) {
        return ROUTER_STARTED;
    }
    if (!view_set_create(&set, shard, request)) {
        if (lane->barrier_count > 0) {
            view_set_destroy(&set);
            return ROUTER_STALLED;
        }
        execute_local(shard, request, lane->session, lane_output(lane));
    } else if (UNLIKELY((request->command->flags & CMD_BLOCKING) != 0) &&
               command_may_block(request)) {
        verdict = start_blocking(shard, lane, request, &set, buffer);
    } else if (UNLIKELY(request->command->grows != NULL) &&
               request->command->grows(request->argv, request->argc)) {
        verdict = start_growing(shard, lane, request);
    } else if (set.is_one_owner) {
        request->owner = set.owner;
        bool must_wait = request->command->is_after_all && is_behind_others(lane, set.owner);
        verdict = must_wait ? ROUTER_STALLED : start_single(shard, lane, request, buffer);
    } else if (lane->barrier_count > 0 ||
               (lane->single_count > 0 &&
                !router_fault_hit(shard->router, ROUTER_FAULT_NO_SINGLES_FIRST))) {
        verdict = ROUTER_STALLED;
    } else {
        void *shared;
        if (passes_check(shard, lane, request, &shared)) {
            transaction_start_keys(shard->router, lane, request, &set, buffer);
        }
    }
    view_set_destroy(&set);
    if (request->command->started != NULL && verdict == ROUTER_STARTED) {
        request->command->started(lane->session, request->argv, request->argc);
    }
    return verdict;
}

/** Does CLIENT PAUSE hold this command back? */
static bool
is_paused(const struct shard *shard, const struct lane *lane, const struct request *request)
{
    if (LIKELY(shard->pause_until_ms == 0) || shard->now_ms >= shard->pause_until_ms) {
        return false;
    }
    uint32_t flags = request->command->flags;
    if (request->command->scope == SCOPE_EXEC && lane->session->multi != NULL) {
        flags |= lane->session->multi->command_flags;
    }
    return shard->is_pause_all || (flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0;
}

/** A command without keys that may wait: for its time, or CLIENT UNBLOCK. */
static void
start_waiting(struct shard *shard, struct lane *lane, const struct request *request)
{
    struct reply reply;
    struct call call;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    call_prepare(&call, shard, request, &reply, lane->session);
    call.flags |= CALL_MAY_BLOCK;
    call_run(&call);
    if ((call.flags & CALL_BLOCKS) != 0) {
        block_begin(shard->router, lane, request, &call, NULL, 0, 0, INT64_MAX, BLOCK_TIMEOUT);
    }
    call_finish(&call);
}

/** A session that subscribes or monitors sends a command. FULL: it may, go on. */
static enum router_verdict
refuse_limited(struct shard *shard, struct lane *lane, const struct request *request)
{
    struct session *session = lane->session;
    if (lane->barrier_count > 0) {
        return ROUTER_STALLED; /* an UNSUBSCRIBE may be under way */
    }
    struct reply reply;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    if (!subscriptions_refuse(session, request->command, &reply)) {
        return ROUTER_FULL;
    }
    if (session->multi != NULL) {
        session->multi->is_aborted = true;
    }
    stats_reject(shard, request->command);
    stats_error(shard, reply.error_code);
    shard->counters.error_count++;
    if (request->large_raw != NULL) {
        large_raw_drop(shard, request->large_raw);
    }
    return ROUTER_STARTED;
}

/** A command that the state of the files forbids. True: the error is answered. */
static __attribute__((noinline)) bool
refuse_for_files(struct shard *shard, struct lane *lane, const struct request *request)
{
    char text[REFUSAL_TEXT_SIZE];
    const char *why = refusal_of(shard, lane, request, text);
    if (LIKELY(why == NULL)) {
        return false;
    }
    struct reply reply;
    reply_create(&reply, lane_output(lane), request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    if (request->command->scope == SCOPE_EXEC && lane->session->multi != NULL) {
        reply_error_format(&reply, "EXECABORT Transaction discarded because of: %s", why);
        multi_discard(lane->session);
    } else {
        reply_error(&reply, why);
    }
    if (lane->session->multi != NULL) {
        lane->session->multi->is_aborted = true;
    }
    stats_reject(shard, request->command);
    stats_error(shard, reply.error_code);
    shard->counters.error_count++;
    if (request->large_raw != NULL) {
        large_raw_drop(shard, request->large_raw);
    }
    return true;
}

static inline enum router_verdict
start_request(struct shard *shard, struct lane *lane, struct request *request,
              struct ring_buffer *buffer)
{
    if (UNLIKELY(!is_acceptable(request))) {
        if (lane->barrier_count > 0) {
            return ROUTER_STALLED; /* what it waits for may take another place in the lane */
        }
        if (request->command == NULL && is_http(request)) {
            log_write(
                shard->node->log, LOG_WARNING_LEVEL,
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or "
                "Host: commands to Tessera. Connection from %s aborted.",
                session_address(lane->session));
            session_close(lane->session, false);
            if (request->large_raw != NULL) {
                large_raw_drop(shard, request->large_raw);
            }
            return ROUTER_STARTED;
        }
        bool is_exec = request->command != NULL && request->command->scope == SCOPE_EXEC;
        if (is_exec) { /* in MULTI or not: what is watched is forgotten */
            if (!lane_is_clear(lane)) {
                return ROUTER_STALLED;
            }
            multi_discard(lane->session);
        }
        reject(shard, lane, request);
        if (lane->session->multi != NULL) {
            lane->session->multi->is_aborted = true;
        }
        return ROUTER_STARTED;
    }
    if (UNLIKELY(lane->item_count >= LANE_ITEMS_MAX) || UNLIKELY(is_paused(shard, lane, request))) {
        return ROUTER_STALLED;
    }
    if (UNLIKELY((shard->hurdles & HURDLE_FILES) != 0)) {
        if (lane->barrier_count > 0) {
            return ROUTER_STALLED;
        }
        if (refuse_for_files(shard, lane, request)) {
            return ROUTER_STARTED;
        }
    }
    if (UNLIKELY((request->flags & REQUEST_LIMITED) != 0)) {
        enum router_verdict verdict = refuse_limited(shard, lane, request);
        if (verdict != ROUTER_FULL) {
            return verdict;
        }
    }
    if (UNLIKELY((request->flags & REQUEST_MULTI) != 0) &&
        (request->command->flags & CMD_UNQUEUED) == 0) {
        return router_queue(shard, lane, request);
    }
    switch (request->command->scope) {
    case SCOPE_KEYS:
        if (LIKELY(request->key_index != REQUEST_KEYS_MANY)) {
            return start_single(shard, lane, request, buffer);
        }
        return start_many_keys(shard, lane, request, buffer);
    case SCOPE_LOCAL:
        if (lane->barrier_count > 0 ||
            (UNLIKELY(request->command->is_after_all) && !lane_is_answered(lane))) {
            return ROUTER_STALLED;
        }
        if (UNLIKELY(request->command->is_waiting)) {
            start_waiting(shard, lane, request);
            return ROUTER_STARTED;
        }
        execute_local(shard, request, lane->session, lane_output(lane));
        return ROUTER_STARTED;
    case SCOPE_EXEC:
        return router_start_exec(shard, lane, request, buffer);
    case SCOPE_ALL:
    case SCOPE_CLOSED:
    case SCOPE_WALK:
        return start_over_all(shard, lane, request, buffer);
    }
    ASSERT(false);
}

/** Most requests: one key, which is mine, and nothing is about that anybody would have to wait for.
 * Whatever is not so simple is for start_request() to look at. */
static inline bool
is_plain(const struct shard *shard, const struct lane *lane, const struct request *request)
{
    return request->key_index != REQUEST_KEYS_MANY && request->owner == shard->index &&
           (request->flags & (REQUEST_MULTI | REQUEST_LIMITED)) == 0 && lane->first == NULL &&
           lane->transaction_count == 0 && lock_table_request_count(shard->locks) == 0 &&
           shard->hurdles == 0 && command_arity_ok(request->command, request->argc);
}

static __attribute__((noinline)) enum router_verdict
start_monitored(struct shard *shard, struct lane *lane, struct request *request,
                struct ring_buffer *buffer)
{
    struct monitor_line *line = UNLIKELY((shard->hurdles & HURDLE_MONITOR) != 0)
                                    ? monitor_line_new(shard, lane, request)
                                    : NULL;
    enum router_verdict verdict = start_request(shard, lane, request, buffer);
    if (UNLIKELY(line != NULL)) {
        monitor_line_end(shard, lane, line, verdict == ROUTER_STARTED);
    }
    return verdict;
}

enum router_verdict
router_start(struct shard *shard, struct lane *lane, struct request *request,
             struct ring_buffer *buffer)
{
    if (LIKELY(is_plain(shard, lane, request))) {
        execute_key(shard, request, lane->output);
        shard->counters.command_count++;
        return ROUTER_STARTED;
    }
    enum router_verdict verdict = start_monitored(shard, lane, request, buffer);
    /* One that has to wait comes again, and counts once. */
    shard->counters.command_count += verdict == ROUTER_STARTED;
    return verdict;
}

void
router_lane_end(struct shard *shard, struct lane *lane)
{
    struct router *router = shard->router;
    ASSERT(router->open_lane == NULL || router->open_lane == lane);
    if (router->open_count > 0) {
        batch_send_open(router);
    }
}

/* ---- mail ---- */

bool
router_receive(struct shard *shard, struct mail *mail)
{
    struct router *router = shard->router;
    shard->counters.mail_received_count++;
    switch ((enum mail_kind)mail->kind) {
    case MAIL_BATCH:
        batch_receive(router, batch_of_mail(mail));
        return true;
    case MAIL_BATCH_HOME:
        batch_home(router, batch_of_mail(mail));
        return true;
    case MAIL_LOCK:
        lender_lock(router, loan_of_mail(mail));
        return true;
    case MAIL_GRANT:
        transaction_granted(router, loan_of_mail(mail));
        return true;
    case MAIL_GIVE_BACK:
        lender_take_back(router, loan_of_mail(mail));
        return true;
    case MAIL_RETURN:
        lender_return(router, loan_of_mail(mail));
        return true;
    case MAIL_DONE:
        transaction_done(router, loan_of_mail(mail));
        return true;
    case MAIL_WOUND:
        transaction_wounded(router, mail);
        return true;
    case MAIL_WOUND_HOME:
        lender_wound_home(router, mail);
        return true;
    case MAIL_PART:
        gather_part(router, mail);
        return true;
    case MAIL_PART_HOME:
        gather_home(router, mail);
        return true;
    case MAIL_UNPIN: {
        struct unpin_mail *unpin = container_of(mail, struct unpin_mail, mail);
        raw_unpin(&shard->memory, unpin->raw);
        heap_free(unpin);
        return true;
    }
    case MAIL_UNWATCH: {
        struct unwatch_mail *unwatch = container_of(mail, struct unwatch_mail, mail);
        watch_remove(shard, unwatch->session_id);
        heap_free(unwatch);
        return true;
    }
    case MAIL_PUBLISH:
        pubsub_receive(shard, mail);
        return true;
    case MAIL_UNSUBSCRIBE:
        subscriptions_receive(shard, mail);
        return true;
    case MAIL_TRACKING:
        tracking_receive(shard, mail);
        return true;
    case MAIL_STEP:
        lender_step(router, loan_of_mail(mail));
        return true;
    case MAIL_STEP_HOME:
        transaction_step_home(router, loan_of_mail(mail));
        return true;
    case MAIL_BLOCK:
        block_receive(router, mail);
        return true;
    case MAIL_BLOCK_PARKED:
        block_parked(mail);
        return true;
    case MAIL_BLOCK_CANCEL:
        block_cancel(router, mail);
        return true;
    case MAIL_BLOCK_HOME:
        block_home(router, mail);
        return true;
    case MAIL_RELEASE:
        lender_release(router, loan_of_mail(mail));
        return true;
    case MAIL_SNAPSHOT:
    case MAIL_LOADER:
    case MAIL_AOF:
    case MAIL_CONNECTION:
    case MAIL_LISTEN:
        return false;
    }
    ASSERT(false);
}

void
router_unwatch(struct shard *from, uint32_t owner, uint64_t session_id)
{
    if (owner == from->index) {
        watch_remove(from, session_id);
        return;
    }
    struct unwatch_mail *unwatch = heap_alloc(sizeof(*unwatch));
    unwatch->session_id = session_id;
    router_post(from->router, owner, MAIL_UNWATCH, &unwatch->mail);
}

void
router_unpin(struct shard *from, uint32_t owner, struct raw *raw)
{
    struct unpin_mail *unpin = heap_alloc(sizeof(*unpin));
    unpin->raw = raw;
    router_post(from->router, owner, MAIL_UNPIN, &unpin->mail);
}
