/*
 * history_exec.c: transactions of clients: WATCH, MULTI, what is queued, EXEC or DISCARD.
 * What is queued is drawn as any other request. SELECT in the queue is followed by a SELECT back,
 * since an EXEC may turn out not to run.
 *
 *     [WATCH a b] [GET a] [MULTI] [INCRBY a 2] [FLUSHDB] [GET c] [EXEC]
 *                                  └── queued: their `exec` ──┘
 */
#include "draw.h"

#include <stdlib.h>

/** The longest transaction, and the commands around it. */
#define QUEUE_MAX 6
#define AROUND_MAX 3

static void
draw_watch(struct draw *draw)
{
    struct sim_op *op = draw->op;
    op->verb = VERB_WATCH;
    op_word(op, "WATCH");
    uint32_t count = 1 + draw_below(draw, draw_percent(draw, 60) ? 1 : 3);
    for (uint32_t i = 0; i < count; i++) {
        draw_key(draw);
    }
    op->seen = calloc(op->key_count, sizeof(*op->seen));
    ASSERT(op->seen != NULL);
    if (draw->is_in_multi) {
        op->is_refused = true;
        sim_bytes_format(&op->expected, "-ERR WATCH inside MULTI is not allowed\r\n");
    }
}

static void
draw_word_alone(struct draw *draw, enum sim_verb verb, const char *word)
{
    draw->op->verb = verb;
    op_word(draw->op, word);
}

void
draw_exec_begin(struct draw *draw)
{
    draw_word_alone(draw, VERB_MULTI, "MULTI");
    draw->is_in_multi = true;
    draw->is_aborted = false;
    draw->multi_left = draw_below(draw, QUEUE_MAX);
    draw->multi_index = draw->op->index;
    draw->multi_db = draw->db;
}

/** EXEC or DISCARD: from now on the queue is known. */
void
draw_exec_end(struct draw *draw, bool is_discard)
{
    struct sim_op *op = draw->op;
    struct sim_op *ops = draw->conn->ops;
    draw->is_in_multi = false;
    draw->db = draw->multi_db;
    draw_word_alone(draw, is_discard ? VERB_DISCARD : VERB_EXEC, is_discard ? "DISCARD" : "EXEC");
    op->queue_first = draw->multi_index + 1;
    op->watch_first = draw->watch_first;
    draw->watch_first = op->index + 1;
    for (uint32_t i = op->queue_first; i < op->index; i++) {
        if (!ops[i].is_refused) {
            ops[i].exec = op;
            op->queue_count++;
        }
    }
    if (draw->is_aborted && !is_discard) {
        op->is_refused = true;
        sim_bytes_format(&op->expected,
                         "-EXECABORT Transaction discarded because of previous errors.\r\n");
    }
}

static void
draw_select_back(struct draw *draw)
{
    draw_word_alone(draw, VERB_SELECT, "SELECT");
    draw->op->other_db = draw->multi_db;
    op_number(draw->op, draw->multi_db);
}

static void
draw_queued(struct draw *draw)
{
    if (draw_percent(draw, 2)) {
        draw_watch(draw);
        return;
    }
    if (draw_percent(draw, 2)) {
        draw_word_alone(draw, VERB_UNWATCH, "UNWATCH");
        return;
    }
    draw_any(draw);
    draw->is_aborted |= draw->op->is_refused;
}

bool
draw_exec(struct draw *draw)
{
    uint32_t left = draw->conn->op_count - draw->op->index;
    if (draw->is_in_multi) {
        if (draw->multi_left > 0) {
            draw->multi_left--;
            draw_queued(draw);
        } else if (draw->db != draw->multi_db) {
            draw_select_back(draw);
            draw->op->db = draw->db;
            draw->db = draw->multi_db;
            return true;
        } else {
            draw_exec_end(draw, draw_percent(draw, 8));
        }
        return true;
    }
    if (draw->conn->protocol == 2 && draw->topic_count > 0) {
        return false; /* it may only subscribe */
    }
    if (left < QUEUE_MAX + AROUND_MAX || !draw_percent(draw, draw->sim->shape.exec_percent)) {
        return false;
    }
    uint32_t drawn = draw_below(draw, 20);
    if (drawn < 8) {
        draw_watch(draw);
    } else if (drawn == 8) {
        draw_word_alone(draw, VERB_UNWATCH, "UNWATCH");
        draw->watch_first = draw->op->index + 1;
    } else {
        draw_exec_begin(draw);
    }
    return true;
}
