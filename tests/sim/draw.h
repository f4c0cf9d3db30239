/*
 * draw.h: drawing requests: what the files with the histories share.
 */
#pragma once

#include "sim.h"

struct draw {
    struct sim *sim;
    struct random *random;
    struct sim_conn *conn;
    struct sim_op *op;
    uint16_t db; /* selected by the requests so far */
    /* ---- between MULTI and EXEC ---- */
    bool is_in_multi;
    bool is_aborted;      /* something was refused */
    uint32_t multi_left;  /* commands to be queued */
    uint32_t multi_index; /* of MULTI in its connection */
    uint32_t watch_first; /* the first request whose WATCH the next EXEC sees */
    uint16_t multi_db;    /* selected before */
    /* ---- channels ---- */
    bool has_topic[SIM_TOPICS]; /* subscribed by the requests so far */
    uint32_t topic_count;
    /* ---- caches ---- */
    enum sim_cache_mode cache_mode; /* by the requests so far */
    bool is_announced;              /* CLIENT CACHING, for what comes next */
    /* ---- accounts ---- */
    uint32_t bank_step;
    int64_t bank_amount;
};

uint32_t draw_below(struct draw *draw, uint32_t bound);
bool draw_percent(struct draw *draw, uint32_t percent);
struct slice op_argument(struct sim_op *op, struct slice bytes);
void op_word(struct sim_op *op, const char *word);
void op_number(struct sim_op *op, int64_t number);
void op_key(struct sim_op *op, uint32_t key);
uint32_t draw_key(struct draw *draw);
void op_value(struct sim_op *op, struct slice bytes);
void draw_value(struct draw *draw);
int64_t draw_lifetime(struct draw *draw);

/** Draw the requests that are no transactions. history.c */
void draw_any(struct draw *draw);
/** The same about lists. history_list.c */
void draw_list(struct draw *draw);
/** MULTI; EXEC or DISCARD of what was queued since. */
void draw_exec_begin(struct draw *draw);
void draw_exec_end(struct draw *draw, bool is_discard);
/** Something about accounts. history_bank.c */
void draw_bank(struct draw *draw);
/** Something about channels; false: something else is wanted. history_channel.c */
bool draw_channel(struct draw *draw);
/** Something about caches; false: something else is wanted. history_cache.c */
bool draw_cache(struct draw *draw);
/** Any request, now that it is drawn: is its reply kept? */
void draw_cache_note(struct draw *draw);
/** Is it a part of a transaction (WATCH, MULTI, EXEC, what is queued)? Then it has been drawn.
 * history_exec.c */
bool draw_exec(struct draw *draw);
/** The row, the kind, the witness: when the arguments are complete. */
void draw_finish(struct draw *draw);
