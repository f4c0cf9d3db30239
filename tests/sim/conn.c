/*
 * conn.c: connections: what shard/client.c does around the router, with requests that are known
 * beforehand in the place of bytes.
 */
#include "sim.h"

#include "core/ring.h"
#include "shard/block.h"
#include "shard/durable.h"
#include "shard/execute.h"
#include "shard/multi.h"
#include "shard/router.h"
#include "shard/tracking.h"
#include "shard/value/raw.h"

#define TURN_REQUESTS_MAX 80

static void
conn_resume(struct lane *lane)
{
    container_of(lane, struct sim_wire, lane)->conn->is_ready = true;
}

void
sim_wire_delete(struct sim_wire *wire)
{
    wire->conn->wire = NULL;
    output_destroy(&wire->output);
    multi_discard(&wire->session);
    session_destroy(&wire->session);
    heap_free(wire);
}

/** Nobody may refer to it any more: the server frees its client here. */
static void
conn_ended(struct lane *lane)
{
    struct sim_wire *wire = container_of(lane, struct sim_wire, lane);
    sim_say(wire->conn->sim, "c%u is over", wire->conn->index);
    if (!wire->conn->is_abandoned) {
        sim_fail(wire->conn->sim, "c%u has ended by itself", wire->conn->index);
    }
    sim_wire_delete(wire);
}

static const struct lane_ops conn_lane_ops = {.resume = conn_resume, .ended = conn_ended};

void
sim_conn_create(struct sim *sim, uint32_t index)
{
    struct sim_conn *conn = &sim->conns[index];
    conn->sim = sim;
    conn->index = index;
    conn->shard = sim->shards[sim_below(sim, sim->shape.shard_count)];
    struct sim_wire *wire = heap_alloc(sizeof(*wire));
    conn->wire = wire;
    wire->conn = conn;
    session_create(&wire->session, conn->shard, index + 1, sim->now_ms);
    wire->session.protocol = conn->protocol;
    output_create(&wire->output);
    wire->taken_size = 0;
    wire->send_limit = UINT64_MAX;
    wire->held_mark = 0;
    lane_create(&wire->lane, conn->shard, &wire->session, &wire->output, &conn_lane_ops);
}

/** The arguments as they lie in a receive buffer, behind each other. *argv_out is for heap_free().
 */
static struct ring_buffer *
fill_buffer(const struct sim_op *ops, uint32_t count, struct slice **argv_out)
{
    size_t size = 0;
    size_t argument_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < ops[i].argc; j++) {
            size += ops[i].argv[j].size;
        }
        argument_count += ops[i].argc;
    }
    struct slice *argv = heap_alloc(argument_count * sizeof(*argv));
    *argv_out = argv;
    struct ring_buffer *buffer = heap_alloc(sizeof(*buffer) + size);
    *buffer = (struct ring_buffer){.data = (char *)(buffer + 1),
                                   .size = (uint32_t)size,
                                   .capacity = (uint32_t)size,
                                   .ref_count = 1};
    char *end = buffer->data;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < ops[i].argc; j++) {
            struct slice argument = ops[i].argv[j];
            memcpy(end, argument.data, argument.size);
            *argv++ = slice_of(end, argument.size);
            end += argument.size;
        }
    }
    return buffer;
}

/** A large argument may have been received into memory of its own, which counts in nobody's
 * account. */
static void
give_large_memory(const struct sim_conn *conn, struct slice *argv, struct request *request)
{
    for (uint32_t i = request->argc; i-- > 1 && request->large_raw == NULL;) {
        if (argv[i].size >= SIM_LARGE_SIZE && sim_below(conn->sim, 2) == 0) {
            struct memory *memory = &conn->shard->memory;
            struct raw *raw = raw_new(memory, argv[i].size, argv[i].size);
            memcpy(raw->data, argv[i].data, argv[i].size);
            memory_disown(memory, raw_block_size(raw));
            argv[i].data = raw->data;
            request->large_raw = raw;
        }
    }
}

static void
request_of_op(const struct sim_conn *conn, struct sim_op *op, struct slice *argv,
              struct request *request)
{
    memset(request, 0, sizeof(*request));
    request->argv = argv;
    request->argc = op->argc;
    give_large_memory(conn, argv, request);
    router_resolve(conn->shard, request);
    ASSERT(request->command == op->real);
    if (op->kind != KIND_REJECTED && op->verb != VERB_EXEC) {
        request->command = &op->row;
    }
}

static enum router_verdict
start_op(struct sim_conn *conn, struct sim_op *op, struct request *request,
         struct ring_buffer *buffer)
{
    request->db = conn->wire->session.db;
    request->protocol = conn->protocol;
    request->flags = op->is_muted ? REQUEST_MUTED : 0;
    if ((conn->wire->session.flags & SESSION_MULTI) != 0) {
        request->flags |= REQUEST_MULTI;
    }
    if ((conn->wire->session.flags & (SESSION_PUBSUB | SESSION_MONITOR)) != 0) {
        request->flags |= REQUEST_LIMITED;
    }
    request->session_id = conn->wire->session.id;
    uint32_t flags_before = conn->wire->session.flags;
    if ((flags_before & (SESSION_TRACKING | SESSION_CACHING)) != 0 &&
        tracking_adopt(&conn->wire->session, request->command)) {
        request->flags |= REQUEST_TRACK;
    }
    sim_subscribe_start(op);
    char text[200];
    sim_op_describe(op, text, sizeof(text));
    /* What runs at once must find itself started. */
    op->is_started = true;
    op->start_ms = conn->shard->now_ms;
    conn->started_count++;
    enum router_verdict verdict = router_start(conn->shard, &conn->wire->lane, request, buffer);
    if (verdict == ROUTER_STARTED && request->db != op->db && op->exec == NULL &&
        op->kind != KIND_REJECTED) {
        sim_fail(conn->sim, "%s starts in database %u", text, request->db);
    }
    if (verdict == ROUTER_STARTED && op->kind == KIND_REJECTED) {
        sim_witness_rejected(op);
    }
    if (verdict != ROUTER_STARTED) {
        op->is_started = false;
        conn->wire->session.flags = flags_before; /* it is adopted again */
        conn->started_count--;
        conn->sim->totals->full_count += verdict == ROUTER_FULL;
        conn->sim->totals->lane_full_count += conn->wire->lane.item_count >= LANE_ITEMS_MAX;
    }
    sim_say(conn->sim, "  %s: %s", text,
            verdict == ROUTER_STARTED   ? "started"
            : verdict == ROUTER_STALLED ? "stalled"
                                        : "full");
    return verdict;
}

/** Of requests that were not started; they get it again with the next try. */
static void
drop_large_memory(const struct sim_conn *conn, const struct request *requests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (requests[i].large_raw != NULL) {
            large_raw_drop(conn->shard, requests[i].large_raw);
        }
    }
}

/** What lies behind `size` bytes of the output leaves when `mark` is safe. */
static void
conn_hold(struct sim_conn *conn, uint64_t mark, uint64_t size)
{
    struct sim_wire *wire = conn->wire;
    if (!conn->sim->shape.has_crash || durable_is_safe(&conn->shard->durable, mark)) {
        return;
    }
    if (wire->held_mark == 0) {
        wire->send_limit = size;
    }
    wire->held_mark = MAX(wire->held_mark, mark);
}

void
sim_conn_release(struct sim_conn *conn)
{
    struct sim_wire *wire = conn->wire;
    if (wire->held_mark != 0 && durable_is_safe(&conn->shard->durable, wire->held_mark)) {
        wire->held_mark = 0;
        wire->send_limit = UINT64_MAX;
    }
}

uint32_t
sim_conn_held_count(const struct sim *sim)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        const struct sim_conn *conn = &sim->conns[i];
        count += !conn->is_abandoned && conn->wire->held_mark != 0;
    }
    return count;
}

/** As a client does it: parse some, start each, put back what may not start. */
void
sim_conn_turn(struct sim *sim, struct sim_conn *conn)
{
    struct request requests[TURN_REQUESTS_MAX];
    uint32_t first = conn->started_count;
    uint32_t budget = 1 + sim_below(sim, TURN_REQUESTS_MAX);
    if (sim->options.is_flood && sim->options.seed % 2 == 0) {
        budget = 1; /* many batches rather than many requests */
    }
    uint32_t count = MIN(conn->arrived_count - first, budget);
    bool is_buffer_kept = sim_below(sim, 4) != 0;
    sim_say(sim, "turn of c%u at %u", conn->index, conn->shard->index);
    conn->is_ready = false;
    bool has_more = conn->arrived_count - first > count;
    uint64_t size = conn->wire->taken_size + conn->wire->output.byte_count;
    uint64_t outer = durable_begin(&conn->shard->durable);
    struct slice *argv;
    struct ring_buffer *buffer = fill_buffer(&conn->ops[first], count, &argv);
    struct slice *next = argv;
    for (uint32_t i = 0; i < count; i++) {
        request_of_op(conn, &conn->ops[first + i], next, &requests[i]);
        next += conn->ops[first + i].argc;
    }
    for (uint32_t i = 0; i < count; i++) {
        enum router_verdict verdict =
            start_op(conn, &conn->ops[first + i], &requests[i], is_buffer_kept ? buffer : NULL);
        if (verdict != ROUTER_STARTED) {
            drop_large_memory(conn, &requests[i], count - i);
            /* A stalled one is started again when the lane says so. */
            has_more = verdict == ROUTER_FULL;
            break;
        }
    }
    conn->is_ready |= has_more;
    conn->is_put_off = conn->started_count - first < count;
    router_lane_end(conn->shard, &conn->wire->lane);
    conn_hold(conn, durable_end(&conn->shard->durable, outer), size);
    if (buffer->ref_count == 1) {
        memset(buffer->data, '#', buffer->size);
    }
    ring_buffer_unref(buffer);
    heap_free(argv);
}

/** It depends on a reply that is not there yet. */
static bool
op_lacks_base(const struct sim_op *op)
{
    return op->base != NULL && !op->base->is_answered;
}

bool
sim_conn_may_arrive(const struct sim_conn *conn)
{
    if (conn->sim->shape.theme == THEME_BANK && conn->index > 0 &&
        conn->sim->conns[0].answered_count == 0) {
        return false; /* the accounts are opened first */
    }
    return !conn->is_abandoned && conn->arrived_count < conn->op_count &&
           !op_lacks_base(&conn->ops[conn->arrived_count]) &&
           (!conn->waits_for_answers || conn->answered_count == conn->arrived_count);
}

void
sim_conn_arrive(struct sim *sim, struct sim_conn *conn)
{
    uint32_t count = 1 + sim_below(sim, sim->shape.pipeline_max);
    uint32_t end = MIN(conn->op_count, conn->arrived_count + count);
    while (conn->arrived_count < end && !op_lacks_base(&conn->ops[conn->arrived_count])) {
        struct sim_op *op = &conn->ops[conn->arrived_count++];
        if (op->base != NULL) {
            sim_bank_fill(op);
        }
    }
    conn->is_ready = true;
    sim_say(sim, "c%u has read up to %u", conn->index, conn->arrived_count);
}

void
sim_conn_abandon(struct sim *sim, struct sim_conn *conn)
{
    sim_say(sim, "c%u ends", conn->index);
    conn->is_abandoned = true;
    conn->is_ready = false;
    conn->waiting = NULL;
    if (conn->wire->session.blocker != NULL) {
        conn->wire->lane.output = NULL;
        block_end(&conn->wire->session, BLOCK_GONE);
        return;
    }
    lane_abandon(&conn->wire->lane);
}

bool
sim_conn_is_through(const struct sim_conn *conn)
{
    return conn->is_abandoned ? conn->wire == NULL : conn->answered_count == conn->op_count;
}

struct sim_conn *
sim_conn_pick(struct sim *sim, bool (*wanted)(const struct sim_conn *conn))
{
    struct sim_conn *found[SIM_CONNS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        if (wanted(&sim->conns[i])) {
            found[count++] = &sim->conns[i];
        }
    }
    return count == 0 ? NULL : found[sim_below(sim, count)];
}

bool
sim_conn_wants_turn(const struct sim_conn *conn)
{
    return conn->is_ready && !conn->is_abandoned;
}

bool
sim_conn_may_end(const struct sim_conn *conn)
{
    bool is_opening =
        conn->sim->shape.theme == THEME_BANK && conn->index == 0 && conn->answered_count == 0;
    return !conn->is_abandoned && conn->arrived_count > 0 && !is_opening;
}

bool
sim_conn_waits(const struct sim_conn *conn)
{
    return conn->waiting != NULL;
}
