/*
 * router_internal.h: what the rooms behind router.h share: batch, lender, transaction, gather.
 */
#pragma once

#include "core/list.h"
#include "net/output.h"
#include "shard/arguments.h"
#include "shard/call.h"
#include "shard/durable.h"
#include "shard/effect.h"
#include "shard/execute.h"
#include "shard/journal.h"
#include "shard/lock.h"
#include "shard/router.h"
#include "shard/shard.h"

struct batch;
struct blocker_part;
struct gather_node;
struct grown_keys;
struct hold;

struct router {
    struct shard *shard;
    struct exchange *exchange;
    uint32_t pending_count; /* batches, transactions and gathers under way for this core's lanes */
    uint32_t transaction_count; /* of those, transactions: their keys are not all back home */
    uint32_t faults;
    /* ---- coordinator: batches being filled for the lane whose turn it is ---- */
    struct lane *open_lane;
    struct batch **open; /* by owner */
    uint16_t *open_owners;
    uint32_t open_count;
    struct batch *spare_batches;
    uint32_t spare_batch_count;
    /* ---- owner ---- */
    struct list ready;   /* lock requests that hold everything now, to be served */
    struct list waiting; /* batches whose next request waits for a lock */
    struct list
        journaled; /* coordinator: transactions with parts that are not all in their files */
    bool is_serving;
    struct gather_node *held_parts; /* of commands over all shards, until this one is open again */
};

static inline bool
router_fault_hit(const struct router *router, enum router_fault fault)
{
#ifdef TESSERA_SLOW_ASSERTS
    return (router->faults & fault) != 0;
#else
    (void)router;
    (void)fault;
    return false;
#endif
}

static inline void
router_post(struct router *router, uint32_t to, enum mail_kind kind, struct mail *mail)
{
    mail->kind = (uint8_t)kind;
    mail_post(router->exchange, router->shard->index, to, mail);
    router->shard->counters.mail_sent_count++;
}

/** An answer that may leave when `mark` is safe (shard/durable.h). Returns the mark with which
 * further mail stays behind it. */
static inline uint64_t
router_answer(struct router *router, uint64_t mark, uint32_t to, enum mail_kind kind,
              struct mail *mail)
{
    if (LIKELY(durable_is_safe(&router->shard->durable, mark))) {
        router_post(router, to, kind, mail);
        return mark;
    }
    mail->kind = (uint8_t)kind;
    return durable_hold(&router->shard->durable, mark, to, mail);
}

/* ---- batch.c ---- */

/** Add a single to the batch for its owner. False: no room in the mailbox. */
bool batch_add(struct router *router, struct lane *lane, const struct request *request,
               struct ring_buffer *buffer);
void batch_send_open(struct router *router);
/** Owner: execute from where the batch stands until its end or until a request has to wait. */
void batch_receive(struct router *router, struct batch *batch);
/** Owner: the request that it waited for holds its keys. */
void batch_serve(struct router *router, struct lock_request *request);
/** Coordinator: replies are here. */
void batch_home(struct router *router, struct batch *batch);
struct batch *batch_of_mail(struct mail *mail);
void batch_pool_destroy(struct router *router);

/* ---- lender.c: the owner's side of loans ---- */

/** What the coordinator of an EXEC asks of a closed shard. */
enum loan_step {
    LOAN_OPEN,   /* open the views */
    LOAN_COMMIT, /* commit them */
    LOAN_PART,   /* run the part */
};

/** One owner's share of a transaction; travels as LOCK, GRANT, GIVE_BACK, RETURN and DONE. */
struct loan {
    struct mail mail;
    struct transaction *transaction;
    uint16_t owner;
    bool is_granted;    /* coordinator's */
    bool is_giver;      /* coordinator's: a value of it goes to another view as it is */
    bool is_unused;     /* RETURN of keys that were not touched: nothing to carry out */
    bool is_exclusive;  /* some of its keys may be changed */
    bool is_watched;    /* EXEC of a session that watches keys: their marks are asked for and taken
                           back */
    bool is_dirty;      /* GRANT's answer: one was changed */
    bool is_part;       /* RETURN: several owners journal it, each its part */
    bool is_kept;       /* RETURN: the keys stay lent until MAIL_RELEASE */
    bool is_changing;   /* MAIL_STEP_HOME: the journal has something of it, if only a key's end */
    uint8_t step;       /* enum loan_step: what MAIL_STEP asks for */
    int64_t now_ms;     /* GRANT: the owner's clock; MAIL_STEP: the EXEC's, which stands still */
    uint8_t shard_mode; /* enum lock_mode */
    uint64_t ticket;
    uint32_t view_count;
    struct view *views;              /* of this owner's keys, inside the transaction */
    struct part *part;               /* to be run by the owner with RETURN, or NULL */
    struct effects effects;          /* what the coordinator's handler changed here */
    struct effects events;           /* and what is to be told of it */
    uint64_t session_id;             /* whose command it is */
    bool is_cut;                     /* RETURN: the journal ends before it ... */
    const struct effects *barrier;   /* ... with this between the two, told to shard 0 */
    struct journal_part part_record; /* is_part: what the journal keeps of it */
    struct hold *hold;               /* owner's */
    struct blocker_part *block_part; /* RETURN: the command waits for keys of this loan */
    struct blocker_part *offer; /* LOCK: it takes the place of this part, which holds the key */
};

void lender_lock(struct router *router, struct loan *loan);
void lender_take_back(struct router *router, struct loan *loan);
void lender_return(struct router *router, struct loan *loan);
void lender_step(struct router *router, struct loan *loan);
/** The transaction is on disk everywhere: the keys are free; DONE follows once more. */
void lender_release(struct router *router, struct loan *loan);
void lender_wound_home(struct router *router, struct mail *mail);
/** Take back what younger transactions, not executing yet, have borrowed of what `request` waits
 * for. */
void lender_wound(struct router *router, struct lock_request *request);
/** Serve all who hold their keys since somebody left a queue. */
void lender_serve(struct router *router);

/* ---- transaction.c: the coordinator's side ---- */

struct view_set;
/** Start a transaction over the owners of the set's keys. Takes over request->large_raw. */
void transaction_start_keys(struct router *router, struct lane *lane, const struct request *request,
                            struct view_set *set, struct ring_buffer *buffer);
/** The same for a command that has waited for a key, under its old ticket; `part` holds the key. */
void transaction_start_offer(struct router *router, struct lane *lane,
                             const struct request *request, struct view_set *set,
                             struct blocker_part *part, uint16_t part_owner, uint64_t ticket,
                             int64_t deadline_ms, uint8_t wanted_end);
/** Start a command whose row says that it grows, with the keys that it is known to need beyond
 * those that it names. Takes over `grown`. `ticket` 0: draws one. */
void transaction_start_grown(struct router *router, struct lane *lane,
                             const struct request *request, struct grown_keys *grown,
                             uint64_t ticket);
/** Start one that closes all shards and runs the command's part on each. */
void transaction_start_closed(struct router *router, struct lane *lane,
                              const struct request *request, struct ring_buffer *buffer,
                              void *shared);
void transaction_granted(struct router *router, struct loan *loan);
void transaction_wounded(struct router *router, struct mail *mail);
void transaction_done(struct router *router, struct loan *loan);
void transaction_step_home(struct router *router, struct loan *loan);
/** Of this core's transactions whose parts are not all in their files: the lowest ticket in the
 * journal. None: no ticket below what this returns will be drawn here. */
uint64_t transaction_oldest_ticket(const struct router *router);
struct loan *loan_of_mail(struct mail *mail);
/** The loan that a WOUND is about. */
struct loan *loan_of_wound(struct mail *mail);

/* ---- gather.c: commands that ask all shards ---- */

void gather_start(struct router *router, struct lane *lane, const struct request *request,
                  struct ring_buffer *buffer, void *shared);
void gather_part(struct router *router, struct mail *mail);
void gather_home(struct router *router, struct mail *mail);
/** A part that was put off has its answer. The shard that it runs on. */
void gather_part_home(struct router *router, struct part *part);
/** A loan has been returned: run the parts that have waited for a closed shard. */
void gather_release(struct router *router);

void part_create(struct part *part, struct router *router, const struct request *request,
                 const struct lane *lane, void *shared);
void part_destroy(struct part *part);
/** The parts of a call took their time side by side: count the longest with it. */
void parts_account(struct call *call);
/** Run it on this shard. */
void part_run(struct router *router, struct part *part);

/* ---- what router.c and router_multi.c ask ---- */

/** Whole-shard loans, gathers: everything before them has been answered. */
static inline bool
lane_is_clear(const struct lane *lane)
{
    return lane->single_count == 0 && lane->transaction_count == 0 && lane->barrier_count == 0;
}

/** Nor does any reply wait for the disk: a lane whose RETURNs are mailed is clear before that. */
static inline bool
lane_is_answered(const struct lane *lane)
{
    return lane_is_clear(lane) && lane->first == NULL;
}

/** A single whose keys are this shard's, and nobody has them. */
static inline bool
runs_here_now(const struct shard *shard, const struct lane *lane, const struct request *request)
{
    return request->owner == shard->index && lane->self_batch_count == 0 &&
           execute_is_free(shard, request);
}

/** `pipeline-order strict`: requests to different owners do not overlap. */
static inline bool
is_out_of_strict_order(const struct shard *shard, const struct lane *lane,
                       const struct request *request)
{
    return lane->single_count > 0 && lane->single_owner != request->owner &&
           shard->config->pipeline_order == CONFIG_PIPELINE_ORDER_STRICT;
}

/** PUBLISH: who hears it may look for what was done before it, at any owner. */
static inline bool
is_behind_others(const struct lane *lane, uint16_t owner)
{
    return lane->single_count > 0 && (lane->has_mixed_owners || lane->single_owner != owner) &&
           !router_fault_hit(lane->shard->router, ROUTER_FAULT_EARLY_PUBLISH);
}

/* ---- router_multi.c ---- */

/** Queue a command between MULTI and EXEC. */
enum router_verdict router_queue(struct shard *shard, struct lane *lane, struct request *request);
/** EXEC. */
enum router_verdict router_start_exec(struct shard *shard, struct lane *lane,
                                      struct request *request, struct ring_buffer *buffer);
