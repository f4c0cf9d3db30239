/*
 * lock.h: what a shard has lent, and who waits for it.
 * Locks exist only while something is lent or waited for; a shard without loans pays one
 * comparison.
 */
#pragma once

#include "core/list.h"
#include "core/slice.h"

/**
 * Modes, as in multi-granularity locking: keys are taken LOCK_SHARED or LOCK_EXCLUSIVE, the shard
 * itself with the matching intent by everybody, or whole.
 */
enum lock_mode {
    LOCK_INTENT_SHARED,
    LOCK_INTENT_EXCLUSIVE,
    LOCK_SHARED,
    LOCK_EXCLUSIVE,
};

/** Who asks. */
enum lock_kind {
    LOCK_KIND_SINGLE,  /* a batch's next request */
    LOCK_KIND_LOAN,    /* a transaction of another core, or of this one */
    LOCK_KIND_BLOCKER, /* a command that waits for a key */
};

struct lock;
struct lock_request;

struct lock_item {
    struct list_node link; /* in lock->queue, by ticket */
    struct lock *lock;
    struct lock_request *request;
    uint8_t mode;
};

/**
 * One requester at one shard: a transaction's part there, or a single that has to wait.
 * Everybody who queues has a ticket, smaller is older; a single draws its ticket when it begins to
 * wait, so it stands behind all that were there before it.
 */
struct lock_request {
    uint64_t ticket;
    bool is_held;
    uint8_t kind;     /* enum lock_kind: whom the owner of the table serves */
    bool is_borrower; /* holds across turns for another core, so that it can be wounded */
    bool is_wounded;  /* a wound is on its way */
    bool is_guards;   /* the guard's own: it is asked whether others may pass */
    uint32_t item_count;
    uint32_t item_capacity;
    struct lock_item *items; /* items[0]: the shard */
    struct list_node ready_link;
};

struct lock_table;

struct lock_table *lock_table_new(void);
void lock_table_delete(struct lock_table *table);

/** Requests that hold or wait; 0: nothing is locked, nobody has to ask. */
uint32_t lock_table_request_count(const struct lock_table *table);

/** Would a command that takes this key now get in the way of somebody who holds it or waits for it?
 */
bool lock_key_is_free(const struct lock_table *table, uint16_t db, struct slice key, uint64_t hash,
                      bool is_exclusive);
/** The same for the whole shard's sake: is the shard itself lent, or waited for? */
bool lock_shard_is_free(const struct lock_table *table, enum lock_mode mode);
/** Has somebody borrowed the key? A single that holds it for its moment is no borrower. */
bool lock_key_is_lent(const struct lock_table *table, uint16_t db, struct slice key, uint64_t hash);

/** Is the whole shard lent? */
bool lock_shard_is_lent(const struct lock_table *table);

/**
 * Somebody wants to have a key for itself, and nobody is in the way but the guard. False: he waits
 * on; the guard has put a request for the key in front of him, or one is there. True: the guard has
 * none there, or has dropped it. `is_borrower`: he wants it for another core. Owner thread.
 */
typedef bool lock_guard_fn(void *context, uint16_t db, struct slice key, uint64_t hash,
                           bool is_borrower);

/** From now on this is asked about each key; NULL: nobody is. With a guard the table's request
 * count is never 0, so that everybody comes here. */
void lock_table_guard_set(struct lock_table *table, lock_guard_fn *guard, void *context);

/** Begin a request for the shard in `mode`, with room for `key_count` keys. */
void lock_request_create(struct lock_request *request, uint64_t ticket, enum lock_mode shard_mode,
                         uint32_t key_count);
void lock_request_destroy(struct lock_request *request);

/** Stand in the shard's queue, then add keys (each once). The key's bytes are copied. */
void lock_request_enter(struct lock_table *table, struct lock_request *request);
void lock_request_add_key(struct lock_table *table, struct lock_request *request, uint16_t db,
                          struct slice key, uint64_t hash, bool is_exclusive);

/** Hold everything if nobody older waits for or holds any of it. */
bool lock_request_try(struct lock_table *table, struct lock_request *request);

/** Leave all queues. Requests that hold everything now are appended to `ready` by their ready_link.
 */
void lock_request_leave(struct lock_table *table, struct lock_request *request, struct list *ready);

/** The guard's own request leaves all queues while the guard is asked. Nobody is served by that:
 * whoever has asked comes next. */
void lock_request_drop(struct lock_table *table, struct lock_request *request);

/** Give everything back but stay in the queues at the ticket's place. */
void lock_request_yield(struct lock_table *table, struct lock_request *request, struct list *ready);

/** Call `wound` for each younger borrower that holds what `request` waits for, once for each
 * holding. */
typedef void lock_wound_fn(void *context, struct lock_request *younger);
void lock_request_wound(struct lock_table *table, struct lock_request *request,
                        lock_wound_fn *wound, void *context);

/** O(n) invariants, for the simulator. */
bool lock_table_is_valid(const struct lock_table *table);

/** Rules that the simulator leaves out on purpose, to see that it would notice. */
enum lock_fault {
    LOCK_FAULT_NO_WOUND = 1 << 0,
    LOCK_FAULT_NO_PLACE = 1 << 1, /* newcomers pass those who wait */
};
void lock_table_fault_set(struct lock_table *table, uint32_t faults);
