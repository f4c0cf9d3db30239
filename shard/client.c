/*
 * client.c: from bytes to requests to the router, within a budget.
 *
 *     readable ─▶ ready list ─▶ parse a batch ─▶ prefetch buckets ─▶ prefetch entries ─▶ start each
 *                     ▲                                                                    │
 *                     └── resume: a stall is over, replies came ◀── stalled: rewind ◀──────┘
 *
 * Parsing ahead lets the cache misses of a pipeline overlap: 30 GETs wait for memory twice, not
 * sixty times. A request that the router does not start yet is parsed again later, so nothing has
 * to remember it.
 *
 * A client lives until its connection is closed and its lane is empty: requests under way run on.
 * Closing happens at the head of client_run() only, never below a handler that was told to close.
 */
#include "shard/client.h"

#include "core/heap.h"
#include "core/log.h"
#include "shard/aof.h"
#include "shard/arguments.h"
#include "shard/block.h"
#include "shard/durable.h"
#include "shard/execute.h"
#include "shard/multi.h"
#include "shard/pubsub.h"
#include "shard/router.h"
#include "shard/shard.h"
#include "shard/tracking.h"
#include "shard/value/raw.h"

/** Sessions looked at in one tick. */
#define TICK_SESSIONS_MAX 1000
/** A connection that has been quiet for so long gives its memory back. */
#define TRIM_AFTER_MS 2000

struct client_postponed {
    struct request request;
    struct arguments arguments;
    struct slice storage[];
};

static inline struct client *
client_of_conn(struct conn *conn)
{
    return container_of(conn, struct client, conn);
}

static void
client_ready(struct client *client)
{
    if (!list_node_is_linked(&client->ready_link)) {
        list_push_back(&client->room->ready, &client->ready_link);
        client->room->ready_count++;
    }
}

static inline void
client_dirty(struct client *client)
{
    if (!list_node_is_linked(&client->conn.dirty_link)) {
        list_push_back(&client->room->dirty, &client->conn.dirty_link);
    }
}

static void
client_postponed_delete(struct client *client)
{
    arguments_release(&client->postponed->arguments);
    heap_free(client->postponed);
    client->postponed = NULL;
}

static void
client_delete(struct client *client)
{
    struct shard *shard = client->room->shard;
    ASSERT(client->is_conn_closed);
    if (list_node_is_linked(&client->ready_link)) {
        list_remove(&client->ready_link);
        client->room->ready_count--;
    }
    if (client->large_raw != NULL) {
        large_raw_drop(shard, client->large_raw);
    }
    if (client->postponed != NULL) {
        large_raw_drop(shard, client->postponed->request.large_raw);
        client_postponed_delete(client);
    }
    if (client->held_mark != 0) {
        list_remove(&client->held_link);
    }
    multi_discard(&client->session);
    session_destroy(&client->session);
    heap_free(client);
}

static bool
wants_to_close(const struct client *client)
{
    return (client->session.flags & (SESSION_CLOSE_AFTER_REPLY | SESSION_KILLED)) != 0;
}

/* ---- what the connection says ---- */

/** Add what has gone in and out since the last time to the core's counters. */
static void
count_traffic(struct client *client)
{
    struct shard_counters *counters = &client->room->shard->counters;
    counters->input_size += client->conn.received_size - client->counted_input_size;
    counters->output_size += client->conn.sent_size - client->counted_output_size;
    counters->read_count += client->conn.received_size != client->counted_input_size;
    counters->write_count += client->conn.send_count;
    client->conn.send_count = 0;
    client->counted_input_size = client->conn.received_size;
    client->counted_output_size = client->conn.sent_size;
}

static void
client_readable(struct conn *conn)
{
    struct client *client = client_of_conn(conn);
    count_traffic(client);
    client_ready(client);
}

static void
client_sent(struct conn *conn)
{
    struct client *client = client_of_conn(conn);
    count_traffic(client);
    if (UNLIKELY(wants_to_close(client))) {
        client_ready(client);
    }
}

static void
client_closed(struct conn *conn)
{
    struct client *client = client_of_conn(conn);
    struct shard *shard = client->room->shard;
    client->is_conn_closed = true;
    if (list_node_is_linked(&conn->dirty_link)) {
        list_remove(&conn->dirty_link);
    }
    count_traffic(client);
    shard_connection_ended(shard);
    if (client->session.blocker != NULL) {
        /* Its reply goes nowhere; with it the lane ends, now or when the reply is there. */
        client->lane.output = NULL;
        block_end(&client->session, BLOCK_GONE);
        return;
    }
    lane_abandon(&client->lane);
}

static void *
client_large_new(struct conn *conn, uint64_t size)
{
    struct client *client = client_of_conn(conn);
    if (client->large_raw != NULL) {
        return NULL;
    }
    struct memory *memory = &client->room->shard->memory;
    struct raw *raw = raw_new(memory, size, size);
    memory_disown(memory, raw_block_size(raw));
    client->large_raw = raw;
    return raw->data;
}

static void
client_large_drop(struct conn *conn, void *memory)
{
    struct client *client = client_of_conn(conn);
    ASSERT(client->large_raw != NULL && client->large_raw->data == memory);
    large_raw_drop(client->room->shard, client->large_raw);
    client->large_raw = NULL;
}

static const struct conn_ops client_conn_ops = {
    .readable = client_readable,
    .sent = client_sent,
    .drained = client_readable,
    .closed = client_closed,
    .large_new = client_large_new,
    .large_drop = client_large_drop,
};

/* ---- what the lane says ---- */

static void
client_resume(struct lane *lane)
{
    struct client *client = container_of(lane, struct client, lane);
    if (!output_is_empty(&client->conn.output)) {
        client_dirty(client);
    }
    client_ready(client);
}

static void
client_ended(struct lane *lane)
{
    client_delete(container_of(lane, struct client, lane));
}

/* ---- running ---- */

/** Parse what lies whole in the current buffer, and fetch what the requests will touch. */
static uint32_t
parse_batch(struct client *client, uint32_t count_max, struct ring_buffer **buffer,
            enum conn_state *state)
{
    struct client_room *room = client->room;
    struct conn *conn = &client->conn;
    struct resp_parser *parser = &conn->parser;
    uint32_t count = 0;
    uint32_t used = 0;
    while (count < count_max) {
        *state =
            conn_parse(conn, count == 0, room->storage + used, CLIENT_ARGUMENTS_MAX - used, buffer);
        if (*state != CONN_REQUEST) {
            break;
        }
        ASSERT(count == 0 || client->large_raw == NULL);
        struct request *request = &room->requests[count];
        request->argv = parser->argv;
        request->argc = parser->argc;
        request->db = client->session.db;
        request->large_raw = client->large_raw;
        client->large_raw = NULL;
        room->positions[count] = conn_position(conn);
        room->memories[count] = parser->memory;
        used += parser->argv == room->storage + used ? parser->argc : 0;
        count++;
        router_resolve(room->shard, request);
        if (request->large_raw != NULL) {
            break; /* its bytes would be gone when it had to be parsed again */
        }
    }
    if (count > 1) {
        router_prefetch(room->shard, room->requests, count);
    }
    return count;
}

/** What the session says about the request that is started next. */
static inline __attribute__((always_inline)) void
adopt_session(struct session *session, struct request *request, int64_t now_ms)
{
    request->db = session->db;
    request->session_id = session->id;
    request->protocol = session->protocol;
    request->flags = 0;
    if (UNLIKELY(session->flags != 0)) {
        if ((session->flags & SESSION_REPLY_SKIP_NEXT) != 0) {
            session->flags &= ~SESSION_REPLY_SKIP_NEXT;
            session->flags |= SESSION_REPLY_SKIP;
        } else {
            session->flags &= ~SESSION_REPLY_SKIP;
        }
        if ((session->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP)) != 0) {
            request->flags |= REQUEST_MUTED;
        }
        if ((session->flags & SESSION_NO_TOUCH) != 0) {
            request->flags |= REQUEST_NO_TOUCH;
        }
        if ((session->flags & (SESSION_PUBSUB | SESSION_MONITOR)) != 0) {
            request->flags |= REQUEST_LIMITED;
        }
        if ((session->flags & SESSION_MULTI) != 0) {
            request->flags |= REQUEST_MULTI;
        }
        if ((session->flags & (SESSION_TRACKING | SESSION_CACHING)) != 0 &&
            tracking_adopt(session, request->command)) {
            request->flags |= REQUEST_TRACK;
        }
    }
    session->last_command_ms = now_ms;
    if (request->command != NULL) {
        session->last_command = request->command;
    }
}

/** A request with a large argument cannot be parsed again: keep it as it is. */
static void
client_postpone(struct client *client, const struct request *request, struct ring_buffer *buffer)
{
    struct client_postponed *postponed =
        heap_alloc(sizeof(*postponed) + request->argc * sizeof(struct slice));
    postponed->request = *request;
    arguments_keep(&postponed->arguments, request, buffer, postponed->storage);
    postponed->request.argv = postponed->storage;
    client->postponed = postponed;
}

/** Try the request that had to wait. False: it still has to. */
static bool
start_postponed(struct client *client)
{
    struct client_postponed *postponed = client->postponed;
    struct shard *shard = client->room->shard;
    uint32_t flags_before = client->session.flags;
    /* An EXEC that it has waited for may have changed what the session says. */
    adopt_session(&client->session, &postponed->request, shard->now_ms);
    enum router_verdict verdict =
        router_start(shard, &client->lane, &postponed->request, postponed->arguments.buffer);
    if (verdict == ROUTER_FULL) {
        client_ready(client);
    }
    if (verdict == ROUTER_STARTED) {
        client_postponed_delete(client);
    } else {
        client->session.flags = flags_before;
    }
    return verdict == ROUTER_STARTED && !wants_to_close(client);
}

/** Requests [from, count) are not started now: put them back, or drop them with their connection.
 */
static void
put_back(struct client *client, uint32_t from, uint32_t count, struct ring_buffer *buffer)
{
    struct client_room *room = client->room;
    struct request *first = &room->requests[from];
    if (from == count) {
        return;
    }
    bool is_over = wants_to_close(client);
    bool is_large = room->requests[count - 1].large_raw != NULL;
    if (is_large && is_over) {
        large_raw_drop(room->shard, room->requests[count - 1].large_raw);
    } else if (is_large) {
        ASSERT(count == 1); /* a large one is a batch of its own */
        client_postpone(client, first, buffer);
    } else if (!is_over) {
        conn_rewind(&client->conn, room->positions[from]);
    }
    for (uint32_t i = from; i < count; i++) {
        heap_free(room->memories[i]);
    }
}

/** Start the parsed requests in order. False: no more for now. */
static bool
start_batch(struct client *client, uint32_t count, struct ring_buffer *buffer)
{
    struct client_room *room = client->room;
    struct shard *shard = room->shard;
    for (uint32_t i = 0; i < count; i++) {
        struct request *request = &room->requests[i];
        uint32_t flags_before = client->session.flags;
        adopt_session(&client->session, request, shard->now_ms);
        enum router_verdict verdict = router_start(shard, &client->lane, request, buffer);
        if (UNLIKELY(verdict != ROUTER_STARTED)) {
            if (verdict == ROUTER_FULL) {
                client_ready(client);
                shard->counters.mail_put_off_count++;
            }
            /* It is adopted again with the next try: what SKIP has muted stays to be muted. */
            client->session.flags = flags_before;
            put_back(client, i, count, buffer);
            return false;
        }
        heap_free(room->memories[i]);
        if (UNLIKELY(wants_to_close(client))) {
            put_back(client, i + 1, count, buffer);
            return false;
        }
    }
    return true;
}

/** No more requests come: the end, when everything under way is answered and sent. */
static void
client_finish(struct client *client)
{
    if (!output_is_empty(&client->conn.output)) {
        client_dirty(client);
    }
    if (!lane_is_idle(&client->lane)) {
        return;
    }
    if (client->has_error_pending) {
        client->has_error_pending = false;
        struct reply reply;
        reply_create(&reply, &client->conn.output, client->session.protocol);
        reply.is_muted = (client->session.flags & SESSION_REPLY_OFF) != 0;
        reply_error(&reply, client->conn.parser.error);
    }
    client_dirty(client);
    conn_close_after_output(&client->conn);
}

/** Reply bytes that are not sent: in the output, or behind replies that others still owe. */
static inline uint64_t
client_waiting_size(const struct client *client)
{
    return client->conn.output.byte_count + lane_waiting_size(&client->lane);
}

/** Is more waiting to be sent than the client's class may have? */
static bool
exceeds_output_limit(struct client *client)
{
    struct shard *shard = client->room->shard;
    bool is_pubsub = (client->session.flags & SESSION_PUBSUB) != 0;
    const struct config_output_limit *limit =
        &shard->config
             ->client_output_buffer_limit[is_pubsub ? CONFIG_CLIENT_PUBSUB : CONFIG_CLIENT_NORMAL];
    uint64_t size = client_waiting_size(client);
    if (limit->hard_bytes != 0 && size > limit->hard_bytes) {
        return true;
    }
    if (limit->soft_bytes == 0 || size <= limit->soft_bytes) {
        client->soft_limit_since_ms = 0;
        return false;
    }
    if (client->soft_limit_since_ms == 0) {
        client->soft_limit_since_ms = shard->now_ms;
    }
    return shard->now_ms - client->soft_limit_since_ms > limit->soft_s * 1000;
}

static void
log_close(struct client *client, const char *why)
{
    log_write(client->room->shard->node->log, LOG_WARNING_LEVEL,
              "Client id=%llu addr=%s closed: %s", (unsigned long long)client->session.id,
              session_address(&client->session), why);
}

/** A message was pushed. Whoever does not read his ones is cut here, for no publisher waits. */
static void
client_pushed(struct lane *lane)
{
    struct client *client = container_of(lane, struct client, lane);
    if (UNLIKELY(exceeds_output_limit(client))) {
        log_close(client, "output buffer limit reached");
        client->session.flags |= SESSION_KILLED;
        client->is_close_wanted = true;
        client_ready(client);
    } else if (!output_is_empty(&client->conn.output)) {
        client_dirty(client);
    }
}

static const struct lane_ops client_lane_ops = {
    .resume = client_resume, .pushed = client_pushed, .ended = client_ended};

/** Parse and start requests until there are none, one may not start, or the budget is used up.
 * True: the client has more to do in the next turn. */
static bool
client_run_requests(struct client *client)
{
    struct conn *conn = &client->conn;
    uint32_t budget = CLIENT_TURN_MAX;
    conn_limits_set(conn, (uint64_t)client->room->shard->config->proto_max_bulk_len,
                    client->room->shard->config->client_query_buffer_limit);
    if (client->postponed != NULL && !start_postponed(client)) {
        return false;
    }
    while (budget > 0) {
        if (pubsub_is_clogged(client->room->shard) || aof_is_clogged(client->room->shard)) {
            return true;
        }
        struct ring_buffer *buffer;
        enum conn_state state;
        uint32_t count = parse_batch(client, MIN(budget, CLIENT_BATCH_MAX), &buffer, &state);
        if (count > 0) {
            if (!start_batch(client, count, buffer)) {
                return false;
            }
            budget -= count;
            if (client_waiting_size(client) > CONN_OUTPUT_SIZE_MAX) {
                return false; /* drained() calls again, or the lane */
            }
            continue;
        }
        switch (state) {
        case CONN_WAITING:
            return false;
        case CONN_PROTOCOL_ERROR:
            client->has_error_pending = true;
            client->session.flags |= SESSION_CLOSE_AFTER_REPLY;
            return false;
        case CONN_TOO_LARGE:
            log_close(client, "query buffer limit reached");
            client->is_close_wanted = true;
            return true;
        case CONN_ENDED:
            client->session.flags |= SESSION_CLOSE_AFTER_REPLY;
            return false;
        case CONN_REQUEST:
            break;
        }
    }
    return true;
}

/** What the connection is owed since `size` must not leave before `mark` is safe. Two marks are
 * told apart, so that somebody who goes on writing gets his answers in the end. */
static __attribute__((noinline)) void
client_hold(struct client *client, uint64_t mark, uint64_t size)
{
    if (client->held_mark == 0) {
        client->held_mark = mark;
        client->conn.send_limit = size;
        list_push_back(&client->room->held, &client->held_link);
    } else if (client->next_held_mark == 0) {
        client->next_held_mark = mark;
        client->next_held_size = size;
    } else {
        client->next_held_mark = MAX(client->next_held_mark, mark);
    }
}

void
client_room_release(struct client_room *room)
{
    const struct durable *durable = &room->shard->durable;
    for (struct list_node *node = list_first(&room->held), *next = NULL; node != NULL;
         node = next) {
        next = list_next(&room->held, node);
        struct client *client = container_of(node, struct client, held_link);
        if (!durable_is_safe(durable, client->held_mark)) {
            continue;
        }
        if (client->next_held_mark != 0 && !durable_is_safe(durable, client->next_held_mark)) {
            client->held_mark = client->next_held_mark;
            client->conn.send_limit = client->next_held_size;
        } else {
            client->held_mark = 0;
            client->conn.send_limit = UINT64_MAX;
            list_remove(&client->held_link);
        }
        client->next_held_mark = 0;
        if (!client->is_conn_closed && !output_is_empty(&client->conn.output)) {
            client_dirty(client);
        }
    }
}

/** client_run_requests(), whose answers wait for what they have changed. */
static inline bool
client_run_held(struct client *client)
{
    struct durable *durable = &client->room->shard->durable;
    struct conn *conn = &client->conn;
    uint64_t size = conn->sent_size + conn->output.byte_count;
    uint64_t outer = durable_begin(durable);
    bool has_more = client_run_requests(client);
    uint64_t mark = durable_end(durable, outer);
    if (UNLIKELY(!durable_is_safe(durable, mark))) {
        client_hold(client, mark, size);
    }
    return has_more;
}

/** True: it wants another turn. May free the client. */
static bool
client_run(struct client *client)
{
    struct conn *conn = &client->conn;
    if (UNLIKELY(client->is_conn_closed)) {
        return false;
    }
    if (UNLIKELY(client->is_close_wanted || conn->is_failed)) {
        conn_close(conn);
        return false;
    }
    if (UNLIKELY(client->session.blocker != NULL) && conn->is_ended) {
        conn_close(conn); /* nobody is there any more to wait for */
        return false;
    }
    bool has_more = false;
    if (LIKELY(!wants_to_close(client)) && client_waiting_size(client) <= CONN_OUTPUT_SIZE_MAX) {
        client->room->shard->commandlog.client = &client->session;
        has_more = client_run_held(client);
        client->room->shard->commandlog.client = NULL;
        router_lane_end(client->room->shard, &client->lane);
    }
    if (UNLIKELY(exceeds_output_limit(client))) {
        log_close(client, "output buffer limit reached");
        conn_close(conn);
        return false;
    }
    if (UNLIKELY(wants_to_close(client))) {
        client_finish(client);
        return false;
    }
    if (!output_is_empty(&conn->output)) {
        client_dirty(client);
    }
    if (UNLIKELY(conn->input != NULL) && !has_more && !list_node_is_linked(&client->ready_link) &&
        lane_is_idle(&client->lane)) {
        /* Nobody knows for how long: paused, or its replies are not read. */
        conn_park(conn);
    }
    conn_balance(conn);
    return has_more;
}

bool
client_room_run(struct client_room *room)
{
    /* Those that become ready meanwhile have the next turn. */
    for (uint32_t count = room->ready_count; count > 0; count--) {
        struct list_node *node = list_pop_front(&room->ready);
        if (node == NULL) {
            break;
        }
        room->ready_count--;
        struct client *client = container_of(node, struct client, ready_link);
        if (client_run(client)) {
            client_ready(client);
        }
    }
    return room->ready_count > 0;
}

void
client_room_flush(struct client_room *room)
{
    struct list_node *node;
    while ((node = list_pop_front(&room->dirty)) != NULL) {
        conn_flush(container_of(node, struct conn, dirty_link));
    }
}

/* ---- ticks ---- */

static void
client_tick(struct client *client, int64_t timeout_ms)
{
    struct shard *shard = client->room->shard;
    struct session *session = &client->session;
    if (client->is_conn_closed) {
        return;
    }
    uint64_t moved_size = client->conn.received_size + client->conn.sent_size;
    if (moved_size != client->tick_moved_size) {
        /* A long argument on its way in, or a long reply on its way out, is no idleness. */
        client->tick_moved_size = moved_size;
        session->last_command_ms = shard->now_ms;
    }
    int64_t idle_ms = shard->now_ms - session->last_command_ms;
    if (exceeds_output_limit(client)) {
        log_close(client, "output buffer limit reached");
        client->is_close_wanted = true;
        client_ready(client);
    } else if (timeout_ms > 0 && idle_ms > timeout_ms && lane_is_idle(&client->lane) &&
               (session->flags & (SESSION_PUBSUB | SESSION_MONITOR)) == 0) {
        log_write(shard->node->log, LOG_VERBOSE_LEVEL, "Closing idle client");
        client->is_close_wanted = true;
        client_ready(client);
    } else if (idle_ms > TRIM_AFTER_MS) {
        conn_trim(&client->conn);
    }
}

void
client_room_tick(struct client_room *room)
{
    struct shard *shard = room->shard;
    int64_t timeout_ms = shard->config->timeout_s * 1000;
    uint32_t count = MIN(shard->session_count, TICK_SESSIONS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct list_node *node = list_pop_front(&shard->sessions);
        list_push_back(&shard->sessions, node);
        client_tick(client_of_session(container_of(node, struct session, shard_link)), timeout_ms);
    }
}

void
client_room_resume_all(struct client_room *room)
{
    struct list *sessions = &room->shard->sessions;
    for (struct list_node *node = list_first(sessions); node != NULL;
         node = list_next(sessions, node)) {
        client_ready(client_of_session(container_of(node, struct session, shard_link)));
    }
}

void
client_room_close(struct client_room *room)
{
    struct list *sessions = &room->shard->sessions;
    struct list_node *node = list_first(sessions);
    while (node != NULL) {
        /* A client with nothing under way is gone after this. */
        struct list_node *next = list_next(sessions, node);
        struct client *client = client_of_session(container_of(node, struct session, shard_link));
        if (!client->is_conn_closed) {
            conn_close(&client->conn);
        }
        node = next;
    }
}

/* ---- life ---- */

void
client_room_create(struct client_room *room, struct shard *shard, struct ring *ring)
{
    room->shard = shard;
    room->ring = ring;
    room->ready_count = 0;
    room->told_memory_size = 0;
    list_create(&room->ready);
    list_create(&room->dirty);
    list_create(&room->held);
}

struct client *
client_new(struct client_room *room, int fd, uint64_t id)
{
    struct shard *shard = room->shard;
    struct client *client = heap_alloc(sizeof(*client));
    client->room = room;
    client->large_raw = NULL;
    client->postponed = NULL;
    client->soft_limit_since_ms = 0;
    client->counted_input_size = 0;
    client->counted_output_size = 0;
    client->tick_moved_size = 0;
    client->is_close_wanted = false;
    client->is_conn_closed = false;
    client->has_error_pending = false;
    list_node_create(&client->ready_link);
    list_node_create(&client->held_link);
    client->held_mark = 0;
    client->next_held_mark = 0;
    session_create(&client->session, shard, id, shard->now_ms);
    client->session.fd = fd;
    conn_create(&client->conn, room->ring, fd, &client_conn_ops,
                (uint64_t)shard->config->proto_max_bulk_len,
                shard->config->client_query_buffer_limit);
    lane_create(&client->lane, shard, &client->session, &client->conn.output, &client_lane_ops);
    shard->counters.connection_count++;
    return client;
}

void
client_close(struct session *session, bool after_reply)
{
    struct client *client = client_of_session(session);
    session->flags |= SESSION_CLOSE_AFTER_REPLY;
    client->is_close_wanted |= !after_reply;
    client_ready(client);
}

void
client_traffic(struct session *session, struct session_traffic *traffic)
{
    const struct client *client = client_of_session(session);
    const struct conn *conn = &client->conn;
    traffic->query_size = conn->input_size;
    traffic->query_free_size = conn->input == NULL ? 0 : conn->input->capacity - conn->input->size;
    if (client->large_raw != NULL) {
        uint64_t arrived_size = MIN(conn->large_arrived, conn->large_size);
        traffic->query_size += arrived_size;
        traffic->query_free_size += conn->large_size - arrived_size;
    }
    traffic->output_size = client_waiting_size(client);
    traffic->output_memory_size = conn->output.memory_size;
}
