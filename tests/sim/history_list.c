/*
 * history_list.c: lists, and clients that wait for their elements. Each element that is pushed is
 * another one.
 */
#include "draw.h"

#include <stdio.h>

static void
draw_key_only(struct draw *draw, enum sim_verb verb, const char *word)
{
    draw->op->verb = verb;
    op_word(draw->op, word);
    draw_key(draw);
}

static void
draw_push(struct draw *draw)
{
    char text[32];
    if (draw_percent(draw, 50)) {
        draw_key_only(draw, VERB_LPUSH, "LPUSH");
    } else {
        draw_key_only(draw, VERB_RPUSH, "RPUSH");
    }
    uint32_t count = 1 + draw_below(draw, draw_percent(draw, 70) ? 1 : 4);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "e%u.%u.%u", draw->conn->index, draw->op->index, i);
        op_word(draw->op, text);
    }
}

/** 0: for ever. Seconds, in steps that binary fractions can say. */
static void
draw_timeout(struct draw *draw)
{
    char text[32];
    draw->op->number = draw_percent(draw, 60) ? 0 : 125 * (1 + (int64_t)draw_below(draw, 4));
    snprintf(text, sizeof(text), "%.3f", (double)draw->op->number / 1000);
    op_word(draw->op, draw->op->number == 0 ? "0" : text);
}

static void
draw_wait(struct draw *draw)
{
    if (draw_percent(draw, 50)) {
        draw_key_only(draw, VERB_BLPOP, "BLPOP");
    } else {
        draw_key_only(draw, VERB_BRPOP, "BRPOP");
    }
    uint32_t more = draw_below(draw, 3);
    for (uint32_t i = 0; i < more; i++) {
        draw_key(draw);
    }
    draw_timeout(draw);
}

static void
draw_move(struct draw *draw, bool waits)
{
    struct sim_op *op = draw->op;
    draw_key_only(draw, waits ? VERB_BLMOVE : VERB_LMOVE, waits ? "BLMOVE" : "LMOVE");
    draw_key(draw);
    op->is_from_first = draw_percent(draw, 50);
    op->is_to_first = draw_percent(draw, 50);
    op_word(op, op->is_from_first ? "LEFT" : "RIGHT");
    op_word(op, op->is_to_first ? "LEFT" : "RIGHT");
    if (waits) {
        draw_timeout(draw);
    }
}

static void
draw_look(struct draw *draw)
{
    switch (draw_below(draw, 4)) {
    case 0:
        draw_key_only(draw, VERB_LLEN, "LLEN");
        return;
    case 1:
        draw_key_only(draw, VERB_LRANGE, "LRANGE");
        op_word(draw->op, "0");
        op_word(draw->op, "-1");
        return;
    case 2:
        draw_key_only(draw, VERB_LPOP, "LPOP");
        return;
    default:
        draw_key_only(draw, VERB_RPOP, "RPOP");
        return;
    }
}

static void
draw_whole_keys(struct draw *draw)
{
    uint32_t drawn = draw_below(draw, 10);
    if (drawn < 4) {
        draw_key_only(draw, VERB_RENAME, "RENAME");
        draw_key(draw);
    } else if (drawn == 4) {
        draw_key_only(draw, VERB_RENAMENX, "RENAMENX");
        draw_key(draw);
    } else if (drawn == 5 && draw->sim->shape.weight_closed > 0) {
        draw->op->verb = VERB_FLUSHALL;
        op_word(draw->op, "FLUSHALL");
    } else if (drawn < 8) {
        draw_key_only(draw, VERB_DEL, "DEL");
        draw_key(draw);
    } else {
        draw_key_only(draw, VERB_EXISTS, "EXISTS");
        draw_key(draw);
    }
}

void
draw_list(struct draw *draw)
{
    const struct sim_shape *shape = &draw->sim->shape;
    uint32_t drawn = draw_below(draw, 100);
    if (drawn < shape->push_percent) {
        draw_push(draw);
    } else if (drawn < shape->push_percent + 10) {
        draw_look(draw);
    } else if (drawn < shape->push_percent + 15) {
        draw_whole_keys(draw);
    } else {
        switch (draw_below(draw, 4)) {
        case 0:
            draw_move(draw, false);
            return;
        case 1:
            draw_move(draw, true);
            return;
        default:
            draw_wait(draw);
            return;
        }
    }
}
