/*
 * model_list.c: what the commands on lists mean. A cell holds its list's elements behind each
 * other, each with a comma behind it: "e7,e9,". So keys are renamed, removed and compared as
 * strings are.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

struct list_run {
    struct sim_model *model;
    const struct sim_op *op;
    uint8_t protocol;
    struct sim_bytes *reply;
};

static struct sim_cell *
list_cell(const struct list_run *run, uint32_t position)
{
    return &run->model->cells[run->op->db][run->op->keys[position]];
}

static uint32_t
list_count(const struct sim_cell *cell)
{
    uint32_t count = 0;
    for (size_t i = 0; cell->exists && i < cell->size; i++) {
        count += cell->value[i] == ',';
    }
    return count;
}

static void
say_bulk(struct list_run *run, const char *bytes, size_t size)
{
    sim_bytes_format(run->reply, "$%zu\r\n%.*s\r\n", size, (int)size, bytes);
}

static void
list_push(struct list_run *run, uint32_t position, struct slice element, bool is_first)
{
    struct sim_cell *cell = list_cell(run, position);
    struct sim_bytes bytes = {0};
    if (!is_first && cell->exists) {
        sim_bytes_append(&bytes, cell->value, cell->size);
    }
    sim_bytes_append(&bytes, element.data, element.size);
    sim_bytes_append(&bytes, ",", 1);
    if (is_first && cell->exists) {
        sim_bytes_append(&bytes, cell->value, cell->size);
    }
    sim_cell_set(run->model, cell, bytes.data, bytes.size);
    free(bytes.data);
}

/** Takes an element out; `element` is for the caller to free. The list is there. */
static void
list_pop(struct list_run *run, uint32_t position, bool is_first, struct sim_bytes *element)
{
    struct sim_cell *cell = list_cell(run, position);
    size_t from = 0;
    size_t end = cell->size;
    if (is_first) {
        end = (size_t)((const char *)memchr(cell->value, ',', cell->size) - cell->value) + 1;
    } else {
        from = end - 1;
        while (from > 0 && cell->value[from - 1] != ',') {
            from--;
        }
    }
    sim_bytes_append(element, cell->value + from, end - from - 1);
    struct sim_bytes rest = {0};
    sim_bytes_append(&rest, cell->value, from);
    sim_bytes_append(&rest, cell->value + end, cell->size - end);
    if (rest.size == 0) {
        sim_cell_clear(run->model, cell);
    } else {
        sim_cell_set(run->model, cell, rest.data, rest.size);
    }
    free(rest.data);
}

static void
run_push(struct list_run *run)
{
    const struct sim_op *op = run->op;
    for (uint32_t i = 2; i < op->argc; i++) {
        list_push(run, 0, op->argv[i], op->verb == VERB_LPUSH);
    }
    sim_bytes_format(run->reply, ":%u\r\n", list_count(list_cell(run, 0)));
}

static void
run_range(struct list_run *run)
{
    const struct sim_cell *cell = list_cell(run, 0);
    sim_bytes_format(run->reply, "*%u\r\n", list_count(cell));
    for (size_t from = 0, i = 0; cell->exists && i < cell->size; i++) {
        if (cell->value[i] == ',') {
            say_bulk(run, cell->value + from, i - from);
            from = i + 1;
        }
    }
}

static void
say_nothing(struct list_run *run, bool is_array)
{
    sim_bytes_format(run->reply, run->protocol == 3 ? "_\r\n" : is_array ? "*-1\r\n" : "$-1\r\n");
}

/** From the key at `position`; SIM_NO_POSITION: there is nothing. */
static void
run_pop(struct list_run *run, uint32_t position)
{
    const struct sim_op *op = run->op;
    bool is_waiting = op->verb == VERB_BLPOP || op->verb == VERB_BRPOP;
    if (position == SIM_NO_POSITION) {
        say_nothing(run, is_waiting);
        return;
    }
    struct sim_bytes element = {0};
    bool is_move = op->verb == VERB_LMOVE || op->verb == VERB_BLMOVE;
    list_pop(run, position,
             is_move ? op->is_from_first : op->verb != VERB_BRPOP && op->verb != VERB_RPOP,
             &element);
    if (is_waiting) {
        const char *key = op->sim->keys[op->keys[position]];
        sim_bytes_format(run->reply, "*2\r\n");
        say_bulk(run, key, strlen(key));
    }
    say_bulk(run, element.data, element.size);
    if (is_move) {
        list_push(run, 1, slice_of(element.data, element.size), op->is_to_first);
    }
    free(element.data);
}

bool
sim_op_may_wait(const struct sim_op *op)
{
    return op->verb == VERB_BLPOP || op->verb == VERB_BRPOP || op->verb == VERB_BLMOVE;
}

uint32_t
sim_op_waited_count(const struct sim_op *op)
{
    return op->verb == VERB_BLMOVE ? 1 : op->key_count;
}

void
sim_list_run(struct sim_model *model, const struct sim_op *op, uint32_t position, uint8_t protocol,
             struct sim_bytes *reply)
{
    struct list_run run = {.model = model, .op = op, .protocol = protocol, .reply = reply};
    if (op->verb == VERB_LPUSH || op->verb == VERB_RPUSH) {
        run_push(&run);
    } else if (op->verb == VERB_LLEN) {
        sim_bytes_format(reply, ":%u\r\n", list_count(list_cell(&run, 0)));
    } else if (op->verb == VERB_LRANGE) {
        run_range(&run);
    } else {
        run_pop(&run, position);
    }
}
