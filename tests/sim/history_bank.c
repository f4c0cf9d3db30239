/*
 * history_bank.c: accounts on all shards, and a counter (the last key).
 * Clients move amounts from account to account inside of MULTI, look at all accounts at once, and
 * count up by WATCH, GET, SET of one more. The sum of the accounts is the same in every look, and
 * the counter's end is the number of EXECs that ran: two promises that need no model.
 */
#include "draw.h"

#include <stdio.h>
#include <stdlib.h>

#define AMOUNT_AT_START 1000

enum step { STEP_NONE, STEP_TAKE, STEP_GIVE, STEP_LOOK, STEP_EXEC, STEP_GET, STEP_MULTI, STEP_SET };

static uint32_t
counter_key(const struct sim *sim)
{
    return sim->shape.key_count - 1;
}

static void
add_key(struct draw *draw, uint32_t key)
{
    op_key(draw->op, key);
    op_word(draw->op, draw->sim->keys[key]);
}

static void
draw_open(struct draw *draw)
{
    char text[24];
    draw->op->verb = VERB_MSET;
    op_word(draw->op, "MSET");
    for (uint32_t i = 0; i < draw->sim->shape.key_count; i++) {
        bool is_counter = i == counter_key(draw->sim);
        add_key(draw, i);
        snprintf(text, sizeof(text), "%d", is_counter ? 0 : AMOUNT_AT_START);
        op_value(draw->op, slice_of_string(text));
    }
}

static void
draw_look(struct draw *draw)
{
    draw->op->verb = VERB_MGET;
    op_word(draw->op, "MGET");
    for (uint32_t i = 0; i < counter_key(draw->sim); i++) {
        add_key(draw, i);
    }
}

static void
draw_amount(struct draw *draw, int64_t amount)
{
    draw->op->verb = VERB_INCRBY;
    op_word(draw->op, "INCRBY");
    add_key(draw, draw_below(draw, counter_key(draw->sim)));
    draw->op->number = amount;
    op_number(draw->op, amount);
}

static void
draw_counter(struct draw *draw, enum sim_verb verb, const char *word)
{
    draw->op->verb = verb;
    op_word(draw->op, word);
    add_key(draw, counter_key(draw->sim));
}

static void
draw_first(struct draw *draw)
{
    uint32_t left = draw->conn->op_count - draw->op->index;
    uint32_t drawn = left < 6 ? 0 : draw_below(draw, 10);
    if (drawn < 3) {
        draw_look(draw);
    } else if (drawn < 7) {
        draw_exec_begin(draw);
        draw->bank_step = STEP_TAKE;
        draw->bank_amount = 1 + draw_below(draw, 100);
    } else {
        draw_counter(draw, VERB_WATCH, "WATCH");
        draw->op->seen = calloc(1, sizeof(*draw->op->seen));
        ASSERT(draw->op->seen != NULL);
        draw->bank_step = STEP_GET;
    }
}

void
draw_bank(struct draw *draw)
{
    struct sim_op *op = draw->op;
    if (op->conn->index == 0 && op->index == 0) {
        draw_open(draw);
        return;
    }
    switch ((enum step)draw->bank_step) {
    case STEP_NONE:
        draw_first(draw);
        return;
    case STEP_TAKE:
        draw_amount(draw, -draw->bank_amount);
        draw->bank_step = STEP_GIVE;
        return;
    case STEP_GIVE:
        draw_amount(draw, draw->bank_amount);
        draw->bank_step = draw_percent(draw, 50) ? STEP_LOOK : STEP_EXEC;
        return;
    case STEP_LOOK:
        draw_look(draw);
        draw->bank_step = STEP_EXEC;
        return;
    case STEP_EXEC:
        draw_exec_end(draw, false);
        draw->bank_step = STEP_NONE;
        return;
    case STEP_GET:
        draw_counter(draw, VERB_GET, "GET");
        draw->bank_step = STEP_MULTI;
        return;
    case STEP_MULTI:
        draw_exec_begin(draw);
        draw->bank_step = STEP_SET;
        return;
    case STEP_SET:
        draw_counter(draw, VERB_SET, "SET");
        op_value(op, SLICE("?"));
        op->base = op - 2;
        draw->bank_step = STEP_EXEC;
        return;
    }
}

/** It is known by now what GET has found. */
void
sim_bank_fill(struct sim_op *op)
{
    char text[24];
    ASSERT(op->base->is_answered);
    free((void *)(uintptr_t)op->argv[2].data);
    int size = snprintf(text, sizeof(text), "%lld", (long long)op->base->found + 1);
    char *copy = malloc((size_t)size + 1);
    ASSERT(copy != NULL);
    memcpy(copy, text, (size_t)size + 1);
    op->argv[2] = slice_of(copy, (size_t)size);
    op->values[0] = op->argv[2];
}

/** A reply of MGET over all accounts, or of GET of the counter. */
bool
sim_bank_answer_is_right(struct sim_op *op, const char *text, size_t size)
{
    int64_t sum = 0;
    uint32_t count = 0;
    const char *end = text + size;
    for (const char *next = text; next < end; next = (const char *)memchr(next, '\n', size) + 1) {
        if (next[0] != '$' && next[0] != '*') {
            sum += strtoll(next, NULL, 10);
            count++;
        }
    }
    if (op->verb == VERB_GET) {
        op->found = sum;
        return true;
    }
    uint32_t wanted = counter_key(op->sim);
    return op->verb != VERB_MGET || (count == wanted && sum == (int64_t)wanted * AMOUNT_AT_START);
}

void
sim_bank_check(struct sim *sim)
{
    const struct sim_cell *cell = &sim->model.cells[0][counter_key(sim)];
    uint64_t run_count = 0;
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        for (uint32_t j = 0; j < sim->conns[i].op_count; j++) {
            const struct sim_op *op = &sim->conns[i].ops[j];
            run_count += op->base != NULL && op->is_executed;
        }
    }
    if (cell->exists && strtoull(cell->value, NULL, 10) != run_count) {
        sim_fail(sim, "bank: the counter is %s after %llu increments", cell->value,
                 (unsigned long long)run_count);
    }
}
