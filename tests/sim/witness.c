/*
 * witness.c: in which order requests run, and that this order explains every reply.
 *
 * Each request carries a copy of its command's row whose functions pass through here. So the
 * simulator sees the very moment at which a handler runs, runs the same command on a sequential
 * model in that moment, and keeps the model's reply until the real one arrives:
 *
 *     invoked ──────── handler runs ──────── reply arrives
 *                           │                     ▲
 *                     model runs: expected reply ─┘ compared
 *
 * That is a proof of linearizability, history by history: the order of the runs is the sequential
 * order that has to exist, each request stands in it between its invocation and its reply, and all
 * replies are those of the model. A search for some order (Wing and Gong, Lowe) was rejected: it is
 * exponential where requests overlap as much as here, and finds no more. What the order has to obey
 * beyond that, by the rules within a connection and by what is lent, is checked in the same places.
 *
 * Commands that ask all shards are not one moment: each shard's answer is checked for itself. A key
 * that a transaction of another connection has changed, and that is still on its way home, may be
 * seen as it was or as it will be; what the connection itself was answered before must be seen.
 */
#include "sim.h"

#include "shard/call.h"
#include "shard/router_internal.h"

#include <stdio.h>
#include <stdlib.h>

static struct sim_op *
op_of_row(const struct command *row)
{
    return container_of((struct command *)(uintptr_t)row, struct sim_op, row);
}

static struct sim_cell *
op_cell(const struct sim_op *op, uint32_t position)
{
    bool is_other = position == 1 && (op->verb == VERB_COPY || op->verb == VERB_MOVE);
    return &op->sim->model.cells[is_other ? op->other_db : op->db][op->keys[position]];
}

/** Does the command ask for this key exclusively? */
static bool
op_changes(const struct sim_op *op, uint32_t position)
{
    return (op->real->flags & CMD_WRITE) != 0 && !(op->verb == VERB_COPY && position == 0);
}

/* ---- order within a connection ---- */

static bool
must_precede(const struct sim_op *earlier, const struct sim_op *later)
{
    if (earlier->exec != NULL) {
        return false; /* its EXEC stands for it */
    }
    if (sim_op_may_wait(earlier)) {
        return true;
    }
    switch (earlier->kind) {
    case KIND_REJECTED:
        return false;
    case KIND_LOCAL:
        return false;
    case KIND_CLOSED:
    case KIND_GATHER:
    case KIND_TRANSACTION:
        return later->kind != KIND_LOCAL || earlier->kind != KIND_TRANSACTION;
    case KIND_SINGLE:
        if (later->verb == VERB_PUBLISH) {
            return true; /* who hears it may look for what was done before it */
        }
        return later->kind != KIND_LOCAL &&
               (later->kind != KIND_SINGLE || earlier->owner == later->owner ||
                earlier->sim->shape.is_strict);
    }
    return true;
}

void
sim_op_begin(struct sim_op *op)
{
    struct sim_conn *conn = op->conn;
    struct sim *sim = op->sim;
    char text[2][200];
    op->is_begun = true;
    while (conn->executed_prefix < conn->op_count && conn->ops[conn->executed_prefix].is_executed) {
        conn->executed_prefix++;
    }
    for (uint32_t i = conn->executed_prefix; i < op->index; i++) {
        const struct sim_op *earlier = &conn->ops[i];
        if (!earlier->is_executed && must_precede(earlier, op) && !sim_wait_may_be_over(earlier) &&
            !sim_exec_may_run_nothing(earlier)) {
            sim_op_describe(earlier, text[0], sizeof(text[0]));
            sim_op_describe(op, text[1], sizeof(text[1]));
            sim_fail(sim, "order: %s runs before %s", text[1], text[0]);
            return;
        }
    }
}

void
sim_op_executed(struct sim_op *op, const char *where)
{
    char text[200];
    struct sim *sim = op->sim;
    if (op->is_executed) {
        sim_op_describe(op, text, sizeof(text));
        sim_fail(sim, "%s has run twice", text);
    }
    op->is_executed = true;
    if (sim->options.is_verbose) {
        sim_op_describe(op, text, sizeof(text));
        sim_say(sim, "    %s %s => %.60s", where, text,
                op->expected.size > 0 ? op->expected.data : "");
    }
}

/* ---- what runs ---- */

/** It runs now: alone, for itself or as a part of an EXEC. */
static void
op_enter(struct sim_op *op)
{
    struct sim *sim = op->sim;
    char text[2][200];
    struct sim_op *whole = sim_op_whole(op);
    if (sim->exec != NULL && sim->exec != whole && op->key_count > 0) {
        sim_op_describe(op, text[0], sizeof(text[0]));
        sim_op_describe(sim->exec, text[1], sizeof(text[1]));
        sim_fail(sim, "atomic: %s runs while %s does", text[0], text[1]);
        return;
    }
    if (op->exec != NULL) {
        if (sim->exec == NULL) {
            sim_exec_begin(op->exec);
        }
    } else if (!op->is_begun) {
        sim_op_begin(op);
    }
}

/** It has run. */
static void
op_leave(struct sim_op *op, const char *where)
{
    sim_op_executed(op, where);
    if (op->exec != NULL) {
        sim_exec_step(op->exec);
    }
}

static void
check_lent(struct sim_op *op, const struct call *call)
{
    char text[2][200];
    for (uint32_t i = 0; i < op->key_count; i++) {
        const struct sim_cell *cell = op_cell(op, i);
        if (cell->pending != NULL && cell->pending != sim_op_whole(op) &&
            sim_op_sees(op, call, i)) {
            sim_op_describe(op, text[0], sizeof(text[0]));
            sim_op_describe(cell->pending, text[1], sizeof(text[1]));
            sim_fail(op->sim, "lent: %s touches %s before %s is home", text[0],
                     op->sim->keys[op->keys[i]], text[1]);
            return;
        }
    }
}

/**
 * Two clocks look at a deadline: its owner's when the key is lent, and, where the key is borrowed
 * to be changed, that of the core that runs the command, which then takes the key away for good.
 * Those who borrow to read leave it to the owner's clock: else a key that one of them saw gone
 * would be found again by a later one. What is left is a reader whose key was lent before its
 * deadline and who waits for other keys, while another is told that it is gone: counted, and
 * allowed, since the two overlap.
 */
static void
look_at_clocks(struct sim_op *op, uint32_t position, const struct view *view, int64_t now_ms)
{
    struct sim *sim = op->sim;
    struct sim_cell *cell = op_cell(op, position);
    if (!cell->exists || cell->deadline_ms > sim->now_ms) {
        return;
    }
    bool is_shared =
        (op->kind == KIND_TRANSACTION || op->exec != NULL) && (view->flags & VIEW_EXCLUSIVE) == 0;
    bool is_in_steps = op->exec != NULL && op->exec->kind == KIND_CLOSED;
    if (cell->deadline_ms <= now_ms && !is_shared && !is_in_steps) {
        cell->is_over = true;
        return;
    }
    if (cell->is_over && view_exists(view)) {
        sim->totals->revived_count++;
        sim_say(sim, "    %s is alive again: it was lent before", sim->keys[op->keys[position]]);
    }
    cell->is_over = !view_exists(view);
}

/** The handler is about to run: the model is first. False: it will wait. */
static bool
run_on_model(struct sim_op *op, struct call *call)
{
    struct sim *sim = op->sim;
    struct sim_op *whole = sim_op_whole(op);
    check_lent(op, call);
    /* The steps of an EXEC may be many turns. */
    bool is_in_steps = whole->verb == VERB_EXEC && whole->kind == KIND_CLOSED;
    if ((call->now_ms != call->shard->now_ms && !is_in_steps) || call->now_ms > sim->now_ms) {
        sim_fail(sim, "a command runs with another time than its core's");
    }
    /* Under a loan, events and all else are on their way to the keys' owners. */
    bool is_mailed = call->events != call->shard->events;
    for (uint32_t i = 0; is_mailed && i < op->key_count; i++) {
        struct sim_cell *cell = op_cell(op, i);
        if (op_changes(op, i) && cell->pending == NULL) {
            cell->pending = whole;
            cell->existed = cell->exists;
        }
    }
    for (uint32_t i = 0; i < op->key_count && i < call->view_count; i++) {
        look_at_clocks(op, i, call->views[i], call->now_ms);
    }
    if (op->verb == VERB_PUBLISH) {
        sim_publish_run(op, call);
        return true;
    }
    if (op->verb >= VERB_TRACKING) {
        return true;
    }
    if (op->verb >= VERB_LPUSH) {
        uint32_t source = sim_list_source(op, call);
        if (source == SIM_NO_POSITION && sim_op_may_wait(op) && op->exec == NULL) {
            return false;
        }
        sim_list_run(&sim->model, op, source, op->conn->protocol, &op->expected);
        return true;
    }
    sim_model_run(&sim->model, op, op->conn->protocol, call->now_ms, &op->expected);
    if (op->verb == VERB_WATCH) {
        sim_watch_run(op);
    }
    return true;
}

/** The model has nothing for it. */
static void
run_and_wait(struct sim_op *op, struct call *call)
{
    char text[200];
    op->real->run(call);
    if ((call->flags & CALL_BLOCKS) == 0) {
        sim_op_describe(op, text, sizeof(text));
        sim_fail(op->sim, "wait: %s has found something, where the model has nothing", text);
        return;
    }
    sim_wait_begin(op);
}

static void
witness_run(struct call *call)
{
    struct sim_op *op = op_of_row(call->command);
    call->command = op->real;
    sim_disk_run(op, call);
    op_enter(op);
    if (op->kind == KIND_CLOSED || op->kind == KIND_GATHER) {
        if (op->kind == KIND_CLOSED) {
            sim_model_run(&op->sim->model, op, op->conn->protocol, op->sim->now_ms, &op->expected);
        }
    } else if (!run_on_model(op, call)) {
        run_and_wait(op, call);
        return;
    }
    sim_wait_end(op);
    char where[24];
    snprintf(where, sizeof(where), "runs at %u:", call->shard->index);
    op_leave(op, where);
    op->real->run(call);
    if ((call->flags & CALL_BLOCKS) != 0) {
        sim_fail(op->sim, "wait: a command waits, where the model has something for it");
    }
}

static bool
witness_check(struct call *call)
{
    struct sim_op *op = op_of_row(call->command);
    call->command = op->real;
    bool is_passed = op->real->check(call);
    if (!is_passed && op->verb >= VERB_SUBSCRIBE) {
        op_enter(op);
        op_leave(op, "runs at once:");
    }
    call->command = &op->row; /* the same call may go on to run() */
    return is_passed;
}

/* ---- parts ---- */

/** All shards are closed: from now on everybody sees what comes after it. */
static void
closed_begins(struct sim_op *op)
{
    struct sim *sim = op->sim;
    bool existed[SIM_DATABASES][SIM_KEYS_MAX];
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        for (uint32_t key = 0; key < sim->shape.key_count; key++) {
            const struct sim_cell *cell = &sim->model.cells[db][key];
            existed[db][key] = cell->exists;
            if (cell->pending != NULL) {
                sim_fail(sim, "lent: the shards are closed and %s is not home", sim->keys[key]);
            }
        }
    }
    if (sim->closed != NULL) {
        sim_fail(sim, "two commands have closed all shards");
    }
    sim->closed = op;
    if (op->verb == VERB_SWAPDB) {
        sim_model_swap(&sim->model);
    } else if (op->verb == VERB_FLUSHDB) {
        sim_model_flush(&sim->model, op->db);
    } else {
        sim_model_flush(&sim->model, 0);
        sim_model_flush(&sim->model, 1);
    }
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        for (uint32_t key = 0; key < sim->shape.key_count; key++) {
            struct sim_cell *cell = &sim->model.cells[db][key];
            cell->pending = sim_op_whole(op);
            cell->existed = existed[db][key];
        }
    }
}

static void
closed_part(struct sim_op *op, const struct part *part)
{
    struct sim *sim = op->sim;
    if (op->part_count == 1) {
        closed_begins(op);
    }
    if (op->part_count == sim->shape.shard_count) {
        sim->closed = NULL;
    }
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        for (uint32_t key = 0; key < sim->shape.key_count; key++) {
            if (sim->key_owners[key] == part->shard->index) {
                sim->model.cells[db][key].pending = NULL;
            }
        }
    }
}

/** What this shard may answer now about keys that are its own. */
static void
gather_part_of(struct sim_op *op, const struct part *part)
{
    struct sim *sim = op->sim;
    if (op->verb >= VERB_SUBSCRIBE) {
        return;
    }
    if (op->verb == VERB_SCAN) {
        uint32_t slot = part->data == NULL ? 0 : (uint32_t)(part->cursor >> TABLE_POSITION_BITS);
        if (sim->node->slot_owner[slot] != part->shard->index) {
            return;
        }
    }
    for (uint32_t key = 0; key < sim->shape.key_count; key++) {
        uint32_t bit = UINT32_C(1) << key;
        if (sim->key_owners[key] != part->shard->index || (op->keys_seen & bit) != 0) {
            continue;
        }
        op->keys_seen |= bit;
        const struct sim_cell *cell = &sim->model.cells[op->db][key];
        bool is_there = sim_cell_lives(cell, part->now_ms);
        bool may_be_there = cell->exists && cell->deadline_ms > part->now_ms;
        if (sim->exec != NULL && sim->exec != sim_op_whole(op)) {
            /* Between the steps of an EXEC, a shard may answer as it is then. */
            op->keys_possible |= bit;
            op->count_max++;
            continue;
        }
        if (cell->pending != NULL && cell->pending->conn != op->conn) {
            bool is_possible = cell->exists || cell->existed;
            op->keys_possible |= is_possible ? bit : 0;
            op->count_max += is_possible;
            continue;
        }
        op->keys_certain |= is_there ? bit : 0;
        op->keys_possible |= may_be_there ? bit : 0;
        op->count_min += is_there;
        op->count_max += cell->exists;
    }
}

static void
witness_part(struct part *part)
{
    struct sim_op *op = op_of_row(part->command);
    op->part_count++;
    op_enter(op);
    if (op->kind == KIND_CLOSED) {
        closed_part(op, part);
    } else {
        gather_part_of(op, part);
    }
    op->real->part(part);
}

void
sim_witness_attach(struct sim_op *op)
{
    op->row = *op->real;
    op->row.run = witness_run;
    if (op->real->part != NULL) {
        op->row.part = witness_part;
    }
    if (op->real->check != NULL) {
        op->row.check = witness_check;
    }
}

void
sim_witness_rejected(struct sim_op *op)
{
    op->is_begun = true;
    sim_op_executed(op, "refused:");
}

void
sim_witness_returned(struct sim *sim, uint32_t shard_index, const struct loan *loan)
{
    for (uint32_t i = 0; i < loan->view_count; i++) {
        const struct view *view = &loan->views[i];
        if (view_is_channel(view)) {
            sim_publish_returned(sim, loan->session_id, view->key);
            continue;
        }
        if ((view->flags & VIEW_EXCLUSIVE) == 0) {
            continue;
        }
        for (uint32_t key = 0; key < sim->shape.key_count; key++) {
            if (slice_equal(slice_of_string(sim->keys[key]), view->key)) {
                ASSERT(sim->key_owners[key] == shard_index);
                sim->model.cells[view->db][key].pending = NULL;
            }
        }
    }
}
