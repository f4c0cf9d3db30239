/*
 * model.c: what the commands mean, one after the other: strings with deadlines in two databases.
 * Nothing here knows of shards. A key whose deadline has passed stays in its cell until something
 * else takes its place, since the server may have removed it or not; only counts can tell.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NO_DEADLINE INT64_MAX

/** One command at work. */
struct run {
    struct sim_model *model;
    const struct sim_op *op;
    uint8_t protocol;
    int64_t now_ms;
    /** Deadlines up to here are over; borrowed keys: those that were seen to be (is_over) only. */
    int64_t life_ms;
    struct sim_bytes *reply;
};

static struct sim_mark *
mark_of(struct sim_model *model, const struct sim_cell *cell)
{
    return &(&model->marks[0][0])[cell - &model->cells[0][0]];
}

/** Something has changed it: does everybody agree that it was there? */
static void
cell_mark(struct sim_model *model, const struct sim_cell *cell, bool is_certain)
{
    struct sim_mark *mark = mark_of(model, cell);
    mark->changed += is_certain;
    mark->perhaps += !is_certain;
}

static void
cell_empty(struct sim_cell *cell)
{
    free(cell->value);
    cell->value = NULL;
    cell->size = 0;
    cell->exists = false;
    cell->is_over = false;
    cell->deadline_ms = NO_DEADLINE;
}

void
sim_cell_clear(struct sim_model *model, struct sim_cell *cell)
{
    if (cell->exists) {
        cell_mark(model, cell, !cell->is_over);
    }
    cell_empty(cell);
}

/** `value` may be the cell's own. */
void
sim_cell_set(struct sim_model *model, struct sim_cell *cell, const char *value, size_t size)
{
    cell_mark(model, cell, true);
    char *copy = malloc(size + 1);
    ASSERT(copy != NULL);
    memcpy(copy, value, size);
    copy[size] = '\0';
    free(cell->value);
    cell->value = copy;
    cell->size = size;
    cell->exists = true;
    cell->is_over = false;
}

static struct sim_cell *
cell_of(const struct run *run, uint32_t db, uint32_t position)
{
    return &run->model->cells[db][run->op->keys[position]];
}

/** The cell, emptied when its time is over. */
static struct sim_cell *
cell_to_change(const struct run *run, uint32_t db, uint32_t position)
{
    struct sim_cell *cell = cell_of(run, db, position);
    if (cell->exists && !sim_cell_lives(cell, run->life_ms)) {
        cell_mark(run->model, cell, false);
        cell_empty(cell);
    }
    return cell;
}

static bool
lives(const struct run *run, const struct sim_cell *cell)
{
    return sim_cell_lives(cell, run->life_ms);
}

static void
say_number(struct run *run, int64_t number)
{
    sim_bytes_format(run->reply, ":%" PRId64 "\r\n", number);
}

static void
say_ok(struct run *run)
{
    sim_bytes_format(run->reply, "+OK\r\n");
}

static void
say_null(struct run *run)
{
    sim_bytes_format(run->reply, run->protocol == 3 ? "_\r\n" : "$-1\r\n");
}

static void
say_value(struct run *run, const struct sim_cell *cell)
{
    if (!lives(run, cell)) {
        say_null(run);
        return;
    }
    sim_bytes_format(run->reply, "$%zu\r\n", cell->size);
    sim_bytes_append(run->reply, cell->value, cell->size);
    sim_bytes_append(run->reply, "\r\n", 2);
}

/** As redis reads numbers: the shortest form only. */
static bool
parse_number(const struct sim_cell *cell, int64_t *number)
{
    char text[24];
    char again[24];
    if (cell->size == 0 || cell->size >= sizeof(text)) {
        return false;
    }
    memcpy(text, cell->value, cell->size);
    text[cell->size] = '\0';
    *number = strtoll(text, NULL, 10);
    snprintf(again, sizeof(again), "%" PRId64, *number);
    return strlen(again) == cell->size && memcmp(text, again, cell->size) == 0;
}

static void
run_set(struct run *run)
{
    const struct sim_op *op = run->op;
    struct sim_cell *cell = cell_to_change(run, op->db, 0);
    if ((op->option == SIM_SET_NX && cell->exists) || (op->option == SIM_SET_XX && !cell->exists)) {
        say_null(run);
        return;
    }
    if (op->option == SIM_SET_GET) {
        say_value(run, cell);
    } else {
        say_ok(run);
    }
    sim_cell_set(run->model, cell, op->values[0].data, op->values[0].size);
    if (op->option == SIM_SET_PX) {
        cell->deadline_ms = run->now_ms + op->number;
    } else if (op->option != SIM_SET_KEEPTTL) {
        cell->deadline_ms = NO_DEADLINE;
    }
}

static void
run_incrby(struct run *run)
{
    struct sim_cell *cell = cell_to_change(run, run->op->db, 0);
    int64_t number = 0;
    if (cell->exists && !parse_number(cell, &number)) {
        sim_bytes_format(run->reply, "-ERR value is not an integer or out of range\r\n");
        return;
    }
    number += run->op->number;
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%" PRId64, number);
    sim_cell_set(run->model, cell, digits, (size_t)size);
    say_number(run, number);
}

static void
run_splice(struct run *run)
{
    const struct sim_op *op = run->op;
    struct sim_cell *cell = cell_to_change(run, op->db, 0);
    size_t at = op->verb == VERB_APPEND ? cell->size : (size_t)op->number;
    size_t size = MAX(cell->size, at + op->values[0].size);
    char *bytes = calloc(1, size + 1);
    ASSERT(bytes != NULL);
    if (cell->size > 0) {
        memcpy(bytes, cell->value, cell->size);
    }
    memcpy(bytes + at, op->values[0].data, op->values[0].size);
    sim_cell_set(run->model, cell, bytes, size);
    free(bytes);
    say_number(run, (int64_t)size);
}

/** GETEX, PEXPIRE, PTTL, PERSIST. */
static void
run_deadline(struct run *run)
{
    const struct sim_op *op = run->op;
    struct sim_cell *cell = cell_of(run, op->db, 0);
    bool is_there = lives(run, cell);
    bool has_deadline = is_there && cell->deadline_ms != NO_DEADLINE;
    if (op->verb == VERB_PTTL) {
        say_number(run, !is_there       ? -2
                        : !has_deadline ? -1
                                        : MAX(cell->deadline_ms - run->now_ms, 0));
        return;
    }
    if (op->verb == VERB_GETEX) {
        say_value(run, cell);
    } else {
        say_number(run, op->verb == VERB_PERSIST ? has_deadline : is_there);
    }
    if (is_there) {
        bool is_removed = op->verb == VERB_PERSIST || op->number == 0;
        int64_t deadline_ms = is_removed ? NO_DEADLINE : run->now_ms + op->number;
        cell_mark(run->model, cell, deadline_ms != cell->deadline_ms);
        cell->deadline_ms = deadline_ms;
    }
}

static void
cell_move(struct sim_model *model, struct sim_cell *from, struct sim_cell *to)
{
    sim_cell_set(model, to, from->value, from->size);
    to->deadline_ms = from->deadline_ms;
    sim_cell_clear(model, from);
}

/** RENAME, RENAMENX, COPY, MOVE. */
static void
run_pair(struct run *run)
{
    const struct sim_op *op = run->op;
    bool is_rename = op->verb == VERB_RENAME || op->verb == VERB_RENAMENX;
    /* Reading a key that is over need not remove it. */
    struct sim_cell *from = cell_of(run, op->db, 0);
    struct sim_cell *to = cell_to_change(run, is_rename ? op->db : op->other_db, 1);
    bool is_there = lives(run, from);
    if (is_rename && !is_there) {
        sim_bytes_format(run->reply, "-ERR no such key\r\n");
        return;
    }
    bool may_replace = op->verb == VERB_RENAME || (op->verb == VERB_COPY && op->option != 0);
    if (!is_there || (to->exists && !may_replace)) {
        say_number(run, 0);
        return;
    }
    if (op->verb == VERB_COPY) {
        sim_cell_set(run->model, to, from->value, from->size);
        to->deadline_ms = from->deadline_ms;
    } else if (from != to) {
        cell_move(run->model, from, to);
    }
    if (op->verb == VERB_RENAME) {
        say_ok(run);
    } else {
        say_number(run, 1);
    }
}

static void
run_count(struct run *run)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < run->op->key_count; i++) {
        struct sim_cell *cell = cell_of(run, run->op->db, i);
        count += lives(run, cell);
        if (run->op->verb == VERB_DEL) {
            sim_cell_clear(run->model, cell);
        }
    }
    say_number(run, count);
}

static void
run_mset(struct run *run)
{
    const struct sim_op *op = run->op;
    bool is_free = true;
    for (uint32_t i = 0; i < op->key_count; i++) {
        is_free &= !lives(run, cell_to_change(run, op->db, i));
    }
    if (op->verb == VERB_MSETNX && !is_free) {
        say_number(run, 0);
        return;
    }
    for (uint32_t i = 0; i < op->key_count; i++) {
        struct sim_cell *cell = cell_of(run, op->db, i);
        sim_cell_set(run->model, cell, op->values[i].data, op->values[i].size);
        cell->deadline_ms = NO_DEADLINE;
    }
    if (op->verb == VERB_MSETNX) {
        say_number(run, 1);
    } else {
        say_ok(run);
    }
}

static void
run_mget(struct run *run)
{
    sim_bytes_format(run->reply, "*%u\r\n", run->op->key_count);
    for (uint32_t i = 0; i < run->op->key_count; i++) {
        say_value(run, cell_of(run, run->op->db, i));
    }
}

/** GET, GETSET, GETDEL, STRLEN, TYPE: the old value, and perhaps a new one. */
static void
run_read(struct run *run)
{
    const struct sim_op *op = run->op;
    struct sim_cell *cell = cell_of(run, op->db, 0);
    if (op->verb == VERB_STRLEN) {
        say_number(run, lives(run, cell) ? (int64_t)cell->size : 0);
        return;
    }
    if (op->verb == VERB_TYPE) {
        sim_bytes_format(run->reply, lives(run, cell) ? "+string\r\n" : "+none\r\n");
        return;
    }
    say_value(run, cell);
    if (op->verb == VERB_GETSET) {
        sim_cell_set(run->model, cell, op->values[0].data, op->values[0].size);
        cell->deadline_ms = NO_DEADLINE;
    } else if (op->verb == VERB_GETDEL) {
        sim_cell_clear(run->model, cell);
    }
}

void
sim_model_run(struct sim_model *model, const struct sim_op *op, uint8_t protocol, int64_t now_ms,
              struct sim_bytes *reply)
{
    struct run run = {.model = model,
                      .op = op,
                      .protocol = protocol,
                      .now_ms = now_ms,
                      .life_ms =
                          op->kind == KIND_TRANSACTION || op->exec != NULL ? INT64_MIN : now_ms,
                      .reply = reply};
    switch (op->verb) {
    case VERB_GET:
    case VERB_GETSET:
    case VERB_GETDEL:
    case VERB_STRLEN:
    case VERB_TYPE:
        run_read(&run);
        return;
    case VERB_SET:
        run_set(&run);
        return;
    case VERB_GETEX:
    case VERB_PEXPIRE:
    case VERB_PTTL:
    case VERB_PERSIST:
        run_deadline(&run);
        return;
    case VERB_APPEND:
    case VERB_SETRANGE:
        run_splice(&run);
        return;
    case VERB_INCRBY:
        run_incrby(&run);
        return;
    case VERB_MOVE:
    case VERB_RENAME:
    case VERB_RENAMENX:
    case VERB_COPY:
        run_pair(&run);
        return;
    case VERB_DEL:
    case VERB_EXISTS:
        run_count(&run);
        return;
    case VERB_MGET:
        run_mget(&run);
        return;
    case VERB_MSET:
    case VERB_MSETNX:
        run_mset(&run);
        return;
    case VERB_FLUSHALL:
    case VERB_FLUSHDB:
    case VERB_SWAPDB:
    case VERB_SELECT:
    case VERB_WATCH:
    case VERB_UNWATCH:
    case VERB_MULTI:
    case VERB_DISCARD:
        say_ok(&run);
        return;
    case VERB_PING:
        sim_bytes_format(reply, "+PONG\r\n");
        return;
    case VERB_ECHO:
        sim_bytes_format(reply, "$%zu\r\n%.*s\r\n", op->values[0].size, (int)op->values[0].size,
                         op->values[0].data);
        return;
    case VERB_DBSIZE:
    case VERB_KEYS:
    case VERB_SCAN:
    case VERB_RANDOMKEY:
    case VERB_WRONG:
    case VERB_EXEC:
    case VERB_LPUSH:
    case VERB_RPUSH:
    case VERB_LPOP:
    case VERB_RPOP:
    case VERB_LLEN:
    case VERB_LRANGE:
    case VERB_LMOVE:
    case VERB_BLPOP:
    case VERB_BRPOP:
    case VERB_BLMOVE:
    case VERB_PUBLISH:
    case VERB_SUBSCRIBE:
    case VERB_UNSUBSCRIBE:
    case VERB_TRACKING:
    case VERB_CACHING:
        return;
    }
    ASSERT(false);
}

void
sim_model_flush(struct sim_model *model, uint32_t db)
{
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        struct sim_cell *cell = &model->cells[db][key];
        if (cell->exists) {
            cell_mark(model, cell, cell->deadline_ms == NO_DEADLINE);
        }
        cell_empty(cell);
    }
}

void
sim_model_swap(struct sim_model *model)
{
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        struct sim_cell *a = &model->cells[0][key];
        struct sim_cell *b = &model->cells[1][key];
        struct sim_cell swap = *a;
        if (a->exists || b->exists) {
            bool is_certain = (a->exists && a->deadline_ms == NO_DEADLINE) ||
                              (b->exists && b->deadline_ms == NO_DEADLINE);
            cell_mark(model, a, is_certain);
            cell_mark(model, b, is_certain);
        }
        *a = *b;
        *b = swap;
    }
}

void
sim_model_destroy(struct sim_model *model)
{
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        sim_model_flush(model, db);
    }
}
