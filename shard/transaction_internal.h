/*
 * transaction_internal.h: what transaction.c and transaction_closed.c share.
 */
#pragma once

#include "shard/grown_keys.h"
#include "shard/router_internal.h"
#include "shard/view_set.h"

struct transaction_program;

enum transaction_state {
    TRANSACTION_ASKING,
    TRANSACTION_RETURNING, /* executed, or (closed shards) the parts run */
};

struct transaction {
    struct lane_item item;
    struct lane *lane;
    struct shard *lane_shard; /* the coordinator, also when the lane is gone */
    struct transaction *next; /* of its lane, by ticket */
    struct output output;     /* the reply */
    enum transaction_state state;
    uint32_t loan_count;
    uint32_t granted_count;
    uint32_t home_count;
    uint32_t giver_count; /* RETURNs that have to be home before the others are mailed */
    bool may_block;       /* its command may wait for its keys */
    uint8_t wanted_end;   /* enum block_end: how its wait ends at the deadline */
    int64_t deadline_ms;  /* of a command that has waited before; INT64_MAX: as it says */
    bool is_growing;      /* its command may ask for more keys */
    struct grown_keys grown;
    bool is_barrier;         /* counts in lane->barrier_count */
    bool is_closed;          /* closes all shards instead of taking keys */
    bool is_retired;         /* its reply has been taken */
    bool is_journaled;       /* it has changed something: its reply waits for all owners' DONE */
    bool has_parts;          /* several owners journal it: they are told when all of them have */
    uint16_t *participants;  /* is_journaled: the owners that it borrowed from */
    uint64_t journal_ticket; /* has_parts: by which the journals name it */
    struct list_node journaled_link;
    uint32_t view_count;
    uint32_t declared_count;
    struct request request;
    struct arguments arguments;
    struct reply reply;
    struct call call;
    struct effects effects;
    struct effects events;
    struct view *views;                  /* [view_count], by owner */
    struct view **declared;              /* [declared_count] */
    struct part *parts;                  /* closed: [loan_count] */
    struct transaction_program *program; /* EXEC under closed shards, or NULL */
    struct loan loans[];
};

/** Prepare the reply and the call of a transaction that executes. */
void transaction_begin(struct router *router, struct transaction *transaction,
                       struct session *session);
/** Give each owner the effects and events that the handlers have recorded. */
void transaction_distribute(struct router *router, struct transaction *transaction);
/** Mail everything back. */
void transaction_return(struct router *router, struct transaction *transaction);
/** Does a value of this loan's go to another view as it is? */
bool loan_is_giver(const struct loan *loan);
/** One array of the set's views by owner, cut into the loans, whose owners are set; `declared` gets
 * the set's order. Loans of other owners have no views. */
void transaction_lay_out(struct transaction *transaction, const struct view_set *set,
                         uint16_t no_touch);

/* ---- transaction_closed.c ---- */

/** EXEC when all shards are closed: run it, step by step. */
void program_start(struct router *router, struct transaction *transaction);
/** Its reply has been taken, its mail is home. */
void program_delete(struct transaction *transaction);
