/*
 * witness_block.c: those who wait for a key.
 *
 * A command that waits runs several times. When it finds nothing, the model has to have nothing for
 * it, too; when it is served, the model serves it from the same key. Besides:
 *
 *   - first come, first served: nobody is served from a key for which somebody older is registered;
 *   - no wake-up is lost: when no mail is under way, nobody waits for a key that has something;
 *   - a wait ends by itself only when its time has passed, and by CLIENT UNBLOCK only when that was
 *     said to have worked.
 */
#include "sim.h"

#include "shard/block_internal.h"
#include "shard/call.h"

#include <stdio.h>
#include <stdlib.h>

static const struct blocker *
op_blocker(const struct sim_op *op)
{
    const struct sim_wire *wire = op->conn->wire;
    return wire == NULL ? NULL : wire->session.blocker;
}

/** Its age among those who wait; 0: not known yet. */
static uint64_t
op_ticket(const struct sim_op *op)
{
    const struct blocker *blocker = op_blocker(op);
    return blocker == NULL ? op->ticket : blocker->ticket;
}

/** Does the key's owner know that it waits? While it is offered a key it has no blocker, and holds
 * the key. */
static bool
op_is_registered(const struct sim_op *op, uint32_t key)
{
    const struct blocker *blocker = op_blocker(op);
    if (blocker == NULL) {
        return op->ticket != 0;
    }
    for (uint32_t i = 0; i < blocker->part_count; i++) {
        if (blocker->parts[i].owner == op->sim->key_owners[key] &&
            blocker->parts[i].waiter_count > 0) {
            return true;
        }
    }
    return false;
}

static bool
op_waits_for(const struct sim_op *op, uint32_t key)
{
    for (uint32_t i = 0; i < sim_op_waited_count(op); i++) {
        if (op->keys[i] == key) {
            return true;
        }
    }
    return false;
}

static void
check_turn(struct sim_op *served, uint32_t key)
{
    struct sim *sim = served->sim;
    char text[2][200];
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        const struct sim_op *other = sim->conns[i].waiting;
        if (other != NULL && other != served && op_waits_for(other, key) &&
            op_is_registered(other, key) && op_ticket(other) < op_ticket(served)) {
            sim_op_describe(served, text[0], sizeof(text[0]));
            sim_op_describe(other, text[1], sizeof(text[1]));
            sim_fail(sim, "fair: %s is served before %s", text[0], text[1]);
        }
    }
}

bool
sim_op_sees(const struct sim_op *op, const struct call *call, uint32_t position)
{
    bool is_waited = position < sim_op_waited_count(op);
    return !sim_op_is_served_by_owner(op) || !is_waited || view_exists(call->views[position]);
}

bool
sim_op_is_served_by_owner(const struct sim_op *op)
{
    return op->conn->waiting == op && op_blocker(op) != NULL;
}

/** The key that it will take from; SIM_NO_POSITION: none. */
static uint32_t
source_of(struct sim_op *op, const struct call *call)
{
    struct sim *sim = op->sim;
    for (uint32_t i = 0; i < sim_op_waited_count(op); i++) {
        const struct sim_cell *cell = &sim->model.cells[op->db][op->keys[i]];
        if (sim_op_sees(op, call, i) && cell->exists) {
            return i;
        }
    }
    return SIM_NO_POSITION;
}

uint32_t
sim_list_source(struct sim_op *op, const struct call *call)
{
    bool takes = sim_op_may_wait(op) || op->verb == VERB_LMOVE || op->verb == VERB_LPOP ||
                 op->verb == VERB_RPOP;
    if (!takes) {
        return SIM_NO_POSITION;
    }
    if (!sim_op_may_wait(op)) {
        return op->sim->model.cells[op->db][op->keys[0]].exists ? 0 : SIM_NO_POSITION;
    }
    uint32_t position = source_of(op, call);
    if (op->conn->waiting == op && position != SIM_NO_POSITION) {
        check_turn(op, op->keys[position]);
    }
    return position;
}

void
sim_wait_begin(struct sim_op *op)
{
    struct sim_conn *conn = op->conn;
    if (conn->waiting == op || conn->is_abandoned) {
        return; /* it goes on, or nobody is there to wait */
    }
    char text[200];
    ASSERT(conn->waiting == NULL);
    conn->waiting = op;
    op->sim->totals->wait_count++;
    sim_op_describe(op, text, sizeof(text));
    sim_say(op->sim, "    waits: %s", text);
}

void
sim_wait_end(struct sim_op *op)
{
    if (op->conn->waiting == op) {
        op->conn->waiting = NULL;
        op->sim->totals->served_count++;
    }
}

void
sim_wait_look(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        struct sim_op *op = sim->conns[i].waiting;
        if (op != NULL) {
            op->ticket = op_ticket(op);
        }
    }
}

void
sim_wait_check(struct sim *sim)
{
    char text[200];
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        const struct sim_op *op = sim->conns[i].waiting;
        for (uint32_t j = 0; op != NULL && j < sim_op_waited_count(op); j++) {
            if (sim->model.cells[op->db][op->keys[j]].exists) {
                sim_op_describe(op, text, sizeof(text));
                sim_fail(sim, "wake-up: %s waits, and %s has something", text,
                         sim->keys[op->keys[j]]);
                return;
            }
        }
    }
}

void
sim_wait_unblock(struct sim_conn *conn, bool is_error)
{
    struct sim_op *op = conn->waiting;
    if (op == NULL || conn->wire == NULL) {
        return;
    }
    bool has_ended =
        block_end(&conn->wire->session, is_error ? BLOCK_UNBLOCK_ERROR : BLOCK_TIMEOUT);
    sim_say(conn->sim, "CLIENT UNBLOCK of c%u: %d", conn->index, has_ended);
    /* One that comes behind another that is under way has nothing to end. */
    if (has_ended) {
        op->unblocked = is_error ? SIM_UNBLOCK_ERROR : SIM_UNBLOCK_TIMEOUT;
    }
}

bool
sim_wait_may_be_over(const struct sim_op *op)
{
    return op->unblocked != SIM_UNBLOCK_NONE ||
           (op->is_begun && op->start_ms > 0 && op->number > 0 &&
            op->conn->shard->now_ms >= op->start_ms + op->number);
}

bool
sim_wait_answer_is_right(struct sim_op *op, const char *text, size_t size)
{
    static const char error[] = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    bool is_null = size > 0 && (text[0] == '_' || (size == 5 && text[1] == '-'));
    bool is_over = op->number > 0 && op->conn->shard->now_ms >= op->start_ms + op->number;
    bool is_error = size == sizeof(error) - 1 && memcmp(text, error, size) == 0;
    bool is_right = false;
    if (op->unblocked == SIM_UNBLOCK_ERROR) {
        is_right = is_error;
    } else if (op->unblocked == SIM_UNBLOCK_TIMEOUT || is_over) {
        is_right = is_null;
    }
    op->is_executed = true;
    op->conn->waiting = NULL;
    op->sim->totals->timeout_count++;
    return is_right;
}
