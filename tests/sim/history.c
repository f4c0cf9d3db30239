/*
 * history.c: what clients ask for, drawn from the seed before anything runs.
 * Few keys, so that requests collide; some share a slot, so that one command has several keys of
 * one shard. Written values are different from each other as far as possible, so that a reply tells
 * which write it saw. Everything is drawn first: the schedule does not change what is asked, and a
 * fault that is switched on meets the same requests.
 *
 * A history has a theme: strings of all kinds; lists and those who wait for them; channels;
 * accounts and a counter; strings and caches. Transactions of clients are part of all of them.
 */
#include "draw.h"

#include <stdio.h>
#include <stdlib.h>

/** Keys of a wide command: more than views, batches and stacks have room for. */
#define WIDE_KEY_COUNT_MAX 160

/* ---- requests ---- */

static void
draw_set(struct draw *draw)
{
    struct sim_op *op = draw->op;
    static const char *const words[] = {[SIM_SET_NX] = "NX",
                                        [SIM_SET_XX] = "XX",
                                        [SIM_SET_GET] = "GET",
                                        [SIM_SET_PX] = "PX",
                                        [SIM_SET_KEEPTTL] = "KEEPTTL"};
    op_word(op, "SET");
    draw_key(draw);
    draw_value(draw);
    op->option = draw_percent(draw, 40) ? SIM_SET_PLAIN : draw_below(draw, 6);
    if (draw->sim->shape.has_deadlines && draw_percent(draw, 40)) {
        op->option = SIM_SET_PX;
    }
    if (op->option == SIM_SET_PX && !draw->sim->shape.has_deadlines) {
        op->option = SIM_SET_GET;
    }
    if (op->option != SIM_SET_PLAIN) {
        op_word(op, words[op->option]);
    }
    if (op->option == SIM_SET_PX) {
        op_number(op, draw_lifetime(draw));
    }
}

static void
draw_deadline(struct draw *draw)
{
    struct sim_op *op = draw->op;
    switch (draw_below(draw, 4)) {
    case 0:
        op->verb = VERB_PEXPIRE;
        op_word(op, "PEXPIRE");
        draw_key(draw);
        op_number(op, draw_lifetime(draw));
        return;
    case 1:
        op->verb = VERB_PTTL;
        op_word(op, "PTTL");
        draw_key(draw);
        return;
    case 2:
        op->verb = VERB_PERSIST;
        op_word(op, "PERSIST");
        draw_key(draw);
        return;
    default:
        op->verb = VERB_GETEX;
        op_word(op, "GETEX");
        draw_key(draw);
        if (draw_percent(draw, 30)) {
            op_word(op, "PERSIST");
        } else {
            op_word(op, "PX");
            op_number(op, draw_lifetime(draw));
        }
        return;
    }
}

static void
draw_plain(struct draw *draw, enum sim_verb verb, const char *word)
{
    draw->op->verb = verb;
    op_word(draw->op, word);
    draw_key(draw);
}

static void
draw_move(struct draw *draw)
{
    struct sim_op *op = draw->op;
    draw_plain(draw, VERB_MOVE, "MOVE");
    op->other_db = (uint16_t)(1 - draw->db);
    op_number(op, op->other_db);
    op_key(op, op->keys[0]);
}

static void
draw_single(struct draw *draw)
{
    struct sim_op *op = draw->op;
    bool has_deadlines = draw->sim->shape.has_deadlines;
    uint32_t drawn = draw_below(draw, has_deadlines ? 32 : 19);
    if (drawn < 4) {
        draw_plain(draw, VERB_GET, "GET");
    } else if (drawn < 8) {
        op->verb = VERB_SET;
        draw_set(draw);
    } else if (drawn < 10) {
        draw_plain(draw, VERB_APPEND, "APPEND");
        draw_value(draw);
    } else if (drawn < 13) {
        draw_plain(draw, VERB_INCRBY, "INCRBY");
        op->number = 1 + draw_below(draw, 5);
        op_number(op, op->number);
    } else if (drawn == 13) {
        draw_plain(draw, VERB_GETSET, "GETSET");
        draw_value(draw);
    } else if (drawn == 14) {
        draw_plain(draw, VERB_GETDEL, "GETDEL");
    } else if (drawn == 15) {
        draw_plain(draw, VERB_STRLEN, "STRLEN");
    } else if (drawn == 16) {
        draw_plain(draw, VERB_TYPE, "TYPE");
    } else if (drawn == 17) {
        draw_plain(draw, VERB_SETRANGE, "SETRANGE");
        op->number = draw_below(draw, 60);
        op_number(op, op->number);
        draw_value(draw);
    } else if (drawn == 18) {
        draw_plain(draw, VERB_DEL, "DEL");
    } else if (drawn == 19 && draw->sim->shape.has_databases) {
        draw_move(draw);
    } else {
        draw_deadline(draw);
    }
}

static void
draw_copy(struct draw *draw)
{
    struct sim_op *op = draw->op;
    draw_plain(draw, VERB_COPY, "COPY");
    uint32_t key = draw_key(draw);
    op->other_db = draw->db;
    if (key == op->keys[0] || (draw->sim->shape.has_databases && draw_percent(draw, 40))) {
        op->other_db = (uint16_t)(1 - draw->db);
        op_word(op, "DB");
        op_number(op, op->other_db);
    }
    if (draw_percent(draw, 50)) {
        op->option = 1;
        op_word(op, "REPLACE");
    }
}

static void
draw_rename(struct draw *draw)
{
    if (draw_percent(draw, 70)) {
        draw_plain(draw, VERB_RENAME, "RENAME");
    } else {
        draw_plain(draw, VERB_RENAMENX, "RENAMENX");
    }
    draw_key(draw);
}

static void
draw_multi(struct draw *draw)
{
    static const struct {
        enum sim_verb verb;
        const char *word;
    } rows[] = {{VERB_MGET, "MGET"},     {VERB_MGET, "MGET"},     {VERB_MSET, "MSET"},
                {VERB_MSET, "MSET"},     {VERB_MSETNX, "MSETNX"}, {VERB_DEL, "DEL"},
                {VERB_EXISTS, "EXISTS"}, {VERB_EXISTS, "TOUCH"},  {VERB_DEL, "UNLINK"}};
    uint32_t drawn = draw_below(draw, 14);
    if (drawn >= 12) {
        draw_copy(draw);
        return;
    }
    if (drawn >= ARRAY_COUNT(rows)) {
        draw_rename(draw);
        return;
    }
    struct sim_op *op = draw->op;
    op->verb = rows[drawn].verb;
    op_word(op, rows[drawn].word);
    uint32_t count = 2 + draw_below(draw, draw->sim->shape.key_span_max - 1);
    if (draw_percent(draw, 3)) {
        count += draw_below(draw, WIDE_KEY_COUNT_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        draw_key(draw);
        if (op->verb == VERB_MSET || op->verb == VERB_MSETNX) {
            draw_value(draw);
        }
    }
}

static void
draw_closed(struct draw *draw)
{
    struct sim_op *op = draw->op;
    uint32_t drawn = draw_below(draw, draw->sim->shape.has_databases ? 5 : 3);
    if (drawn == 0) {
        op->verb = VERB_FLUSHALL;
        op_word(op, "FLUSHALL");
    } else if (drawn < 3) {
        op->verb = VERB_FLUSHDB;
        op_word(op, "FLUSHDB");
    } else {
        op->verb = VERB_SWAPDB;
        op_word(op, "SWAPDB");
        op_number(op, drawn == 3 ? 0 : 1);
        op_number(op, drawn == 3 ? 1 : 0);
    }
}

static void
draw_gather(struct draw *draw)
{
    struct sim_op *op = draw->op;
    switch (draw_below(draw, 4)) {
    case 0:
        op->verb = VERB_KEYS;
        op_word(op, "KEYS");
        op_word(op, "*");
        return;
    case 1:
        op->verb = VERB_SCAN;
        op_word(op, "SCAN");
        op_number(op, 0);
        op_word(op, "COUNT");
        op_number(op, 100000);
        return;
    case 2:
        op->verb = VERB_RANDOMKEY;
        op_word(op, "RANDOMKEY");
        return;
    default:
        op->verb = VERB_DBSIZE;
        op_word(op, "DBSIZE");
        return;
    }
}

static void
draw_local(struct draw *draw)
{
    struct sim_op *op = draw->op;
    uint32_t drawn = draw_below(draw, 4);
    if (drawn == 0) {
        op->verb = VERB_PING;
        op_word(op, "PING");
    } else if (drawn == 1) {
        op->verb = VERB_ECHO;
        op_word(op, "ECHO");
        draw_value(draw);
    } else if (drawn == 2 && draw->sim->shape.has_databases) {
        op->verb = VERB_SELECT;
        op_word(op, "SELECT");
        op->other_db = (uint16_t)draw_below(draw, SIM_DATABASES);
        op_number(op, op->other_db);
        draw->db = op->other_db;
    } else {
        op->verb = VERB_WRONG;
        op->is_refused = true;
        op_word(op, "GET");
        sim_bytes_format(&op->expected, "-ERR wrong number of arguments for 'get' command\r\n");
    }
}

static enum sim_kind
op_kind(const struct sim *sim, struct sim_op *op)
{
    if (op->is_refused) {
        return KIND_REJECTED;
    }
    switch (op->real->scope) {
    case SCOPE_LOCAL:
    case SCOPE_EXEC:
        return KIND_LOCAL;
    case SCOPE_CLOSED:
        return KIND_CLOSED;
    case SCOPE_ALL:
    case SCOPE_WALK:
        return KIND_GATHER;
    case SCOPE_KEYS:
        break;
    }
    if (op->verb == VERB_PUBLISH) {
        op->owner = sim->key_owners[op->channel];
        return KIND_SINGLE;
    }
    op->owner = sim->key_owners[op->keys[0]];
    for (uint32_t i = 1; i < op->key_count; i++) {
        if (sim->key_owners[op->keys[i]] != op->owner) {
            return KIND_TRANSACTION;
        }
    }
    return KIND_SINGLE;
}

/** Where EXEC runs follows from all that it needs. */
static enum sim_kind
exec_kind(const struct sim *sim, struct sim_op *exec)
{
    const struct sim_op *ops = exec->conn->ops;
    enum sim_kind kind = KIND_LOCAL;
    if (exec->is_refused) {
        return KIND_REJECTED;
    }
    for (uint32_t i = exec->watch_first; i < exec->index; i++) {
        const struct sim_op *op = &ops[i];
        if (op->exec != exec && op->verb != VERB_WATCH) {
            continue;
        }
        if (op->kind == KIND_CLOSED || op->kind == KIND_GATHER) {
            return KIND_CLOSED;
        }
        uint32_t count = op->verb == VERB_PUBLISH ? 1 : op->key_count;
        for (uint32_t j = 0; j < count && op->kind != KIND_REJECTED; j++) {
            uint16_t owner = op->verb == VERB_PUBLISH ? op->owner : sim->key_owners[op->keys[j]];
            if (kind == KIND_LOCAL) {
                kind = KIND_SINGLE;
                exec->owner = owner;
            } else if (exec->owner != owner) {
                kind = KIND_TRANSACTION;
            }
        }
    }
    return kind;
}

void
draw_any(struct draw *draw)
{
    const struct sim_shape *shape = &draw->sim->shape;
    if (shape->theme == THEME_LISTS) {
        draw_list(draw);
        return;
    }
    if (shape->theme == THEME_CHANNELS && draw_channel(draw)) {
        return;
    }
    if (shape->theme == THEME_CACHE && draw_cache(draw)) {
        return;
    }
    uint32_t total = shape->weight_single + shape->weight_multi + shape->weight_closed +
                     shape->weight_gather + shape->weight_local;
    uint32_t drawn = draw_below(draw, total);
    if (drawn < shape->weight_single) {
        draw_single(draw);
    } else if ((drawn -= shape->weight_single) < shape->weight_multi) {
        draw_multi(draw);
    } else if ((drawn -= shape->weight_multi) < shape->weight_closed) {
        draw_closed(draw);
    } else if ((drawn -= shape->weight_closed) < shape->weight_gather) {
        draw_gather(draw);
    } else {
        draw_local(draw);
    }
}

void
draw_finish(struct draw *draw)
{
    struct sim_op *op = draw->op;
    op->real = command_resolve(draw->sim->node->commands, op->argv, op->argc);
    ASSERT(op->real != NULL);
    op->kind = op->verb == VERB_EXEC ? exec_kind(draw->sim, op) : op_kind(draw->sim, op);
    sim_witness_attach(op);
}

static void
draw_op(struct draw *draw)
{
    draw->op->db = draw->db;
    if (draw->sim->shape.theme == THEME_BANK) {
        draw_bank(draw);
    } else if (!draw_exec(draw)) {
        draw_any(draw);
        draw->op->is_muted = !sim_op_may_wait(draw->op) && draw->op->verb < VERB_TRACKING &&
                             draw->sim->shape.theme != THEME_CHANNELS && draw_percent(draw, 3);
    }
    if (draw->sim->shape.theme == THEME_CACHE) {
        draw_cache_note(draw);
    }
    draw_finish(draw);
}

/* ---- shape and keys ---- */

static void
draw_shape(struct sim *sim, struct random *random)
{
    struct draw draw = {.sim = sim, .random = random};
    struct sim_shape *shape = &sim->shape;
    shape->shard_count = 2 + draw_below(&draw, SIM_SHARDS_MAX - 1);
    shape->conn_count =
        draw_percent(&draw, 10) ? 5 + draw_below(&draw, 4) : 2 + draw_below(&draw, 3);
    shape->key_count = 2 + draw_below(&draw, 7);
    shape->op_count_max = 5 + draw_below(&draw, 36);
    shape->pipeline_max = 1 + draw_below(&draw, 20);
    shape->weight_single = 1 + draw_below(&draw, 60);
    shape->weight_multi = draw_below(&draw, 60);
    shape->weight_closed = draw_percent(&draw, 50) ? 0 : draw_below(&draw, 15);
    shape->weight_gather = draw_percent(&draw, 50) ? 0 : draw_below(&draw, 15);
    shape->weight_local = draw_below(&draw, 5);
    shape->exec_percent = draw_percent(&draw, 30) ? 0 : draw_below(&draw, 60);
    shape->key_span_max = 2 + draw_below(&draw, 5);
    shape->has_deadlines = draw_percent(&draw, 60);
    shape->has_skew = draw_percent(&draw, 40);
    shape->has_databases = draw_percent(&draw, 40);
    shape->has_large_values = draw_percent(&draw, 40);
    shape->has_endings = draw_percent(&draw, 25);
    shape->has_journal = draw_percent(&draw, 50);
    shape->has_slow_disk = draw_percent(&draw, 50);
    shape->has_priorities = draw_percent(&draw, 60);
    shape->tag_percent = draw_below(&draw, 60);
    shape->is_strict = draw_percent(&draw, 15);
    uint32_t theme = draw_below(&draw, 100);
    if (theme < 20) {
        shape->theme = THEME_CHANNELS;
        shape->has_deadlines = false;
        shape->has_databases = false;
        shape->key_count = MIN(shape->key_count, 5u);
        shape->exec_percent /= 2;
        shape->conn_count = 2 + draw_below(&draw, SIM_CONNS_MAX - 1);
    } else if (theme < 30) {
        shape->theme = THEME_BANK;
        shape->has_deadlines = false;
        shape->has_databases = false;
        shape->key_count = 3 + draw_below(&draw, 5);
        shape->tag_percent /= 3;
        shape->conn_count = 2 + draw_below(&draw, SIM_CONNS_MAX - 1);
    } else if (theme < 60) {
        shape->theme = THEME_LISTS;
        shape->push_percent = 20 + draw_below(&draw, 50);
        shape->has_deadlines = false;
        shape->has_databases = false;
        shape->key_count = MIN(shape->key_count, 5u);
        shape->exec_percent /= 2;
        shape->conn_count = 2 + draw_below(&draw, SIM_CONNS_MAX - 1);
    } else if (theme < 78) {
        shape->theme = THEME_CACHE;
        shape->has_databases = false;
        shape->key_count = MIN(shape->key_count, 5u);
        shape->exec_percent /= 2;
        shape->conn_count = 2 + draw_below(&draw, SIM_CONNS_MAX - 1);
    }
    if (sim->options.shard_count != 0) {
        shape->shard_count = sim->options.shard_count;
    }
    if (sim->options.is_crash) {
        shape->has_crash = true;
        shape->has_journal = true;
        shape->crash_often = 4 + draw_below(&draw, 60);
        static const enum config_appendfsync policies[] = {
            CONFIG_APPENDFSYNC_ALWAYS, CONFIG_APPENDFSYNC_EVERYSEC, CONFIG_APPENDFSYNC_NO};
        shape->appendfsync = policies[draw_below(&draw, ARRAY_COUNT(policies))];
    }
    if (sim->options.is_flood) {
        shape->conn_count = 2;
        shape->op_count_max = 12000;
        shape->pipeline_max = 12000;
        shape->weight_single = 1000;
        shape->weight_multi = sim->options.seed % 2 == 0 ? 2 : 0;
        shape->weight_gather = 0;
        shape->weight_closed = 0;
        shape->exec_percent = 0;
        shape->theme = THEME_STRINGS;
        shape->has_endings = false;
        shape->has_priorities = true;
        shape->has_large_values = false;
    }
}

static void
draw_keys(struct draw *draw)
{
    struct sim *sim = draw->sim;
    for (uint32_t i = 0; i < sim->shape.key_count; i++) {
        char *key = sim->keys[i];
        size_t room = sizeof(sim->keys[i]);
        if (i > 0 && draw_percent(draw, sim->shape.tag_percent)) {
            uint32_t like = draw_below(draw, i);
            char tag[sizeof(sim->keys[0])];
            memcpy(tag, sim->keys[like], sizeof(tag));
            bool is_tagged = tag[0] == '{';
            tag[is_tagged ? strcspn(tag, "}") : strlen(tag)] = '\0';
            snprintf(key, room, "{%.12s}%u", tag + is_tagged, i);
        } else {
            snprintf(key, room, "k%u", draw_below(draw, 1000) * SIM_KEYS_MAX + i);
        }
        sim->key_slots[i] = key_slot(slice_of_string(key));
        /* As sim_node_new() lays slots out. */
        sim->key_owners[i] =
            (uint16_t)((uint64_t)sim->key_slots[i] * sim->shape.shard_count / SLOT_COUNT);
    }
}

void
sim_history_draw(struct sim *sim, struct random *random)
{
    struct draw draw = {.sim = sim, .random = random};
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        struct sim_conn *conn = &sim->conns[i];
        conn->index = i;
        conn->op_count = 1 + draw_below(&draw, sim->shape.op_count_max);
        if (sim->options.is_flood) {
            conn->op_count = sim->shape.op_count_max;
        }
        conn->ops = calloc(conn->op_count, sizeof(*conn->ops));
        ASSERT(conn->ops != NULL);
        conn->protocol = draw_percent(&draw, 30) ? 3 : 2;
        conn->waits_for_answers = draw_percent(&draw, 40);
        draw.conn = conn;
        draw.db = 0;
        draw.watch_first = 0;
        draw.topic_count = 0;
        draw.bank_step = 0;
        memset(draw.has_topic, 0, sizeof(draw.has_topic));
        conn->hears = draw_percent(&draw, 60);
        draw.cache_mode = CACHE_OFF;
        draw.is_announced = false;
        if (sim->shape.theme == THEME_CACHE && conn->hears) {
            conn->protocol = 3;
        }
        for (uint32_t j = 0; j < conn->op_count; j++) {
            draw.op = &conn->ops[j];
            draw.op->sim = sim;
            draw.op->conn = conn;
            draw.op->index = j;
            draw_op(&draw);
        }
        sim->op_count += conn->op_count;
    }
}

void
sim_shape_draw(struct sim *sim, struct random *random)
{
    struct draw draw = {.sim = sim, .random = random};
    draw_shape(sim, random);
    draw_keys(&draw);
}

void
sim_history_destroy(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        struct sim_conn *conn = &sim->conns[i];
        for (uint32_t j = 0; j < conn->op_count; j++) {
            for (uint32_t k = 0; k < conn->ops[j].argc; k++) {
                free((void *)(uintptr_t)conn->ops[j].argv[k].data);
            }
            free(conn->ops[j].argv);
            free(conn->ops[j].keys);
            free(conn->ops[j].values);
            free(conn->ops[j].seen);
            free(conn->ops[j].topics);
            free(conn->ops[j].orders);
            free(conn->ops[j].found_groups);
            free(conn->ops[j].expected.data);
        }
        free(conn->ops);
    }
}
