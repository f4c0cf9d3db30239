/*
 * block_internal.h: what block.c (the client's side) and block_table.c (the keys' side) share.
 */
#pragma once

#include "core/list.h"
#include "core/mailbox.h"
#include "core/wheel.h"
#include "net/output.h"
#include "shard/block.h"
#include "shard/router_internal.h"

#include <stdatomic.h>

/** Who decides how the wait ends: one compare-and-swap away from BLOCKER_WAITING. */
enum blocker_state {
    BLOCKER_WAITING,
    BLOCKER_SERVING, /* an owner runs the command */
    BLOCKER_OVER,    /* served, or ended by the coordinator */
};

/** What a timer in a shard's block wheel belongs to: wheel_node.spare. */
enum block_timer {
    BLOCK_TIMER_BLOCKER,
    BLOCK_TIMER_PART,
};

/** A key that a part waits for. */
struct waiter {
    struct list_node key_link; /* in blocked_key->waiters, by ticket */
    struct blocked_key *key;
    struct blocker_part *part;
};

/** One owner's share of a wait. */
struct blocker_part {
    struct mail mail;
    struct mail notice; /* MAIL_BLOCK_PARKED */
    struct blocker *blocker;
    int64_t timeout_ms; /* with the notice; 0: none */
    uint16_t owner;
    bool is_out; /* coordinator's: it is at its owner */
    /* ---- what it comes home with ---- */
    struct commandlog_entry *logged; /* of its command; only the coordinator knows the client */
    bool is_served;                  /* the reply is in the blocker's output */
    bool is_offer; /* held for the transaction that needs other owners' keys, too */
    /* ---- the owner's ---- */
    bool is_first_try;   /* MAIL_BLOCK: it has not run yet */
    bool is_lock_wanted; /* `wait` stands in the queues */
    bool is_foreign;     /* it needs keys of other owners, too: an offer */
    struct lock_request wait;
    struct slice woken_key; /* the one to be served from; in blocked_key or in the arguments */
    uint16_t woken_db;
    struct wheel_node retry; /* when the keys are to be looked at again; spare: BLOCK_TIMER_PART */
    uint32_t waiter_count;
    struct waiter *waiters;
};

struct blocker {
    _Atomic uint32_t state;
    struct lane_item item;
    struct lane *lane;
    struct shard *shard; /* the coordinator */
    struct output output;
    struct request request;
    struct slice *argv;    /* in this allocation */
    char *resolved;        /* arguments that the first run has replaced, or NULL */
    uint64_t ticket;       /* its age among those who wait */
    uint32_t waited_count; /* of the declared keys: those that are waited for */
    struct wheel_node timer;
    enum block_end wanted_end; /* when the timer is due */
    struct aof_point *point;   /* of the logs; NULL: none */
    enum block_point_use point_use;
    struct list_node point_link;
    bool is_retired;
    uint32_t home_count;
    uint32_t part_count;
    struct blocker_part parts[];
};

/** To an owner: the wait is over. The owner frees it. */
struct block_cancel_mail {
    struct mail mail;
    struct blocker_part *part;
};

struct block_table {
    /* ---- the keys of this shard that are waited for ---- */
    struct blocked_key **buckets;
    uint32_t bucket_count; /* a power of two, or 0 */
    uint32_t key_count;
    bool is_serving;
    struct list ready; /* keys that have changed, in that order */
    /* ---- the clients of this core that wait ---- */
    struct wheel wheel;
    uint32_t client_count;
    struct list point_waits; /* blockers that wait for a log */
};

/** Wait at this shard, which owns the part, for those of the views that are marked. */
void block_register(struct shard *shard, struct blocker_part *part, const struct view *views,
                    uint32_t view_count);

/** A part's retry is due. Its owner's thread. */
void block_part_due(struct shard *shard, struct wheel_node *node);
