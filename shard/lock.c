/*
 * lock.c: queues by ticket.
 *
 * Each key that is lent or waited for has a queue, and so has the shard itself. All who want it
 * stand there by ticket, holders included:
 *
 *     key "a":   [T3 held] [T7 waits] [T9 waits]
 *     shard:     [T3 held, intent] [T7 intent] [T9 intent] [T12 whole, waits]
 *
 * A request holds nothing until it can hold all it wants here, so a shard never has to take back a
 * part; it may hold when nobody in front of it in any queue is in its way, and nobody behind it
 * holds what it wants. The latter happens when an older transaction comes late: then the younger is
 * wounded and steps back behind it, at the place it always had.
 *
 * Why no cycle: a request waits for older ones, or for younger ones that hold; the younger either
 * step back or hold everything everywhere and end without waiting. Singles that wait have a ticket
 * of their own for that reason: a single in two queues (its key's and the shard's) without one
 * could stand in front of a transaction in the first and behind it in the second.
 *
 * A guard may put itself in front of whoever is about to have a key for himself: a snapshot that
 * has still to write a large value. It is asked at the last moment, when nobody else is in the way,
 * so that it does not matter when a request came; and where nothing is locked the count of requests
 * says so in the one look that everybody takes already. Its own requests are in nobody's way until
 * it has been asked, and it may drop them then. Nobody has to be served for that: who has asked is
 * the next one at each key, and those who wait for the shard are served when he leaves.
 *
 * Rejected: readers-writer locks for each key with a holder list apart from the queue. A wounded
 * transaction must return to its ticket's place, in front of those who came while it held.
 */
#include "shard/lock.h"

#include "core/heap.h"

#define BUCKET_COUNT_MIN 64
#define KEY_INLINE_SIZE 48
#define LOCKS_SPARE_MAX 256
#define ITEMS_MIN 4

struct lock {
    struct lock *next; /* in its bucket, or among the spare ones */
    uint64_t hash;
    struct slice key;
    uint16_t db;
    bool is_shard;
    uint32_t whole_count; /* the shard's: items in SHARED or EXCLUSIVE mode */
    struct list queue;    /* of struct lock_item, by ticket */
    char inline_key[KEY_INLINE_SIZE];
};

struct lock_table {
    struct lock **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t lock_count;
    uint32_t request_count;
    uint32_t faults;
    uint32_t spare_count;
    struct lock *spare;
    lock_guard_fn *guard; /* or NULL */
    void *guard_context;
    struct lock shard;
};

/* [held or in front][wanted]: can both be? */
static const bool lock_compatible[4][4] = {
    [LOCK_INTENT_SHARED] = {true, true, true, false},
    [LOCK_INTENT_EXCLUSIVE] = {true, true, false, false},
    [LOCK_SHARED] = {true, false, true, false},
    [LOCK_EXCLUSIVE] = {false, false, false, false},
};

struct lock_table *
lock_table_new(void)
{
    struct lock_table *table = heap_alloc(sizeof(*table));
    *table = (struct lock_table){.bucket_count = BUCKET_COUNT_MIN};
    table->buckets = heap_alloc(BUCKET_COUNT_MIN * sizeof(*table->buckets));
    memset(table->buckets, 0, BUCKET_COUNT_MIN * sizeof(*table->buckets));
    table->shard.is_shard = true;
    list_create(&table->shard.queue);
    return table;
}

void
lock_table_delete(struct lock_table *table)
{
    ASSERT(table->lock_count == 0);
    while (table->spare != NULL) {
        struct lock *lock = table->spare;
        table->spare = lock->next;
        heap_free(lock);
    }
    heap_free(table->buckets);
    heap_free(table);
}

void
lock_table_fault_set(struct lock_table *table, uint32_t faults)
{
    table->faults = faults;
}

/** Is the rule left out? Constant false in release builds. */
static inline bool
fault_hit(const struct lock_table *table, enum lock_fault fault)
{
#ifdef TESSERA_SLOW_ASSERTS
    return (table->faults & fault) != 0;
#else
    (void)table;
    (void)fault;
    return false;
#endif
}

uint32_t
lock_table_request_count(const struct lock_table *table)
{
    return table->request_count;
}

void
lock_table_guard_set(struct lock_table *table, lock_guard_fn *guard, void *context)
{
    /* One more or less: whoever finds none at all asks for nothing. */
    table->request_count -= table->guard != NULL;
    table->guard = guard;
    table->guard_context = context;
    table->request_count += guard != NULL;
}

/** Its own inverse. */
static uint64_t
lock_hash(uint16_t db, uint64_t hash)
{
    return hash ^ ((uint64_t)db * 0x9e3779b97f4a7c15u);
}

static struct lock *
lock_find(const struct lock_table *table, uint16_t db, struct slice key, uint64_t hash)
{
    uint64_t mixed = lock_hash(db, hash);
    struct lock *lock = table->buckets[mixed & (table->bucket_count - 1)];
    while (lock != NULL &&
           (lock->hash != mixed || lock->db != db || !slice_equal(lock->key, key))) {
        lock = lock->next;
    }
    return lock;
}

static void
table_grow(struct lock_table *table)
{
    uint32_t count = table->bucket_count * 2;
    struct lock **buckets = heap_alloc(count * sizeof(*buckets));
    memset(buckets, 0, count * sizeof(*buckets));
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        struct lock *lock = table->buckets[i];
        while (lock != NULL) {
            struct lock *next = lock->next;
            lock->next = buckets[lock->hash & (count - 1)];
            buckets[lock->hash & (count - 1)] = lock;
            lock = next;
        }
    }
    heap_free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
}

static struct lock *
lock_obtain(struct lock_table *table, uint16_t db, struct slice key, uint64_t hash)
{
    struct lock *lock = lock_find(table, db, key, hash);
    if (lock != NULL) {
        return lock;
    }
    if (table->lock_count >= table->bucket_count) {
        table_grow(table);
    }
    lock = table->spare;
    if (lock != NULL) {
        table->spare = lock->next;
        table->spare_count--;
    } else {
        lock = heap_alloc(sizeof(*lock));
    }
    char *bytes = key.size <= KEY_INLINE_SIZE ? lock->inline_key : heap_alloc(key.size);
    if (key.size > 0) {
        memcpy(bytes, key.data, key.size);
    }
    lock->key = slice_of(bytes, key.size);
    lock->hash = lock_hash(db, hash);
    lock->db = db;
    lock->is_shard = false;
    lock->whole_count = 0;
    list_create(&lock->queue);
    struct lock **bucket = &table->buckets[lock->hash & (table->bucket_count - 1)];
    lock->next = *bucket;
    *bucket = lock;
    table->lock_count++;
    return lock;
}

static void
lock_dismiss(struct lock_table *table, struct lock *lock)
{
    struct lock **place = &table->buckets[lock->hash & (table->bucket_count - 1)];
    while (*place != lock) {
        place = &(*place)->next;
    }
    *place = lock->next;
    table->lock_count--;
    if (lock->key.size > KEY_INLINE_SIZE) {
        heap_free((void *)(uintptr_t)lock->key.data);
    }
    if (table->spare_count == LOCKS_SPARE_MAX) {
        heap_free(lock);
        return;
    }
    lock->next = table->spare;
    table->spare = lock;
    table->spare_count++;
}

static inline struct lock_item *
item_of(struct list_node *node)
{
    return container_of(node, struct lock_item, link);
}

/** Of a key, not of the shard: will the guard say whether this may be passed? */
static inline bool
item_is_guards(const struct lock_item *item)
{
    return item->request->is_guards && !item->lock->is_shard;
}

/** Is anybody in this queue in the way of a newcomer? */
static bool
lock_is_free(const struct lock *lock, enum lock_mode mode)
{
    for (struct list_node *node = list_first(&lock->queue); node != NULL;
         node = list_next(&lock->queue, node)) {
        const struct lock_item *item = item_of(node);
        if (!lock_compatible[item->mode][mode] && !item_is_guards(item)) {
            return false;
        }
    }
    return true;
}

bool
lock_shard_is_free(const struct lock_table *table, enum lock_mode mode)
{
    bool is_intent = mode == LOCK_INTENT_SHARED || mode == LOCK_INTENT_EXCLUSIVE;
    if (is_intent && table->shard.whole_count == 0) {
        return true;
    }
    return lock_is_free(&table->shard, mode);
}

bool
lock_key_is_free(const struct lock_table *table, uint16_t db, struct slice key, uint64_t hash,
                 bool is_exclusive)
{
    if (table->request_count == 0) {
        return true;
    }
    if (!lock_shard_is_free(table, is_exclusive ? LOCK_INTENT_EXCLUSIVE : LOCK_INTENT_SHARED)) {
        return false;
    }
    const struct lock *lock = lock_find(table, db, key, hash);
    if (lock != NULL && !lock_is_free(lock, is_exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED)) {
        return false;
    }
    return LIKELY(table->guard == NULL) || !is_exclusive ||
           table->guard(table->guard_context, db, key, hash, false);
}

bool
lock_shard_is_lent(const struct lock_table *table)
{
    if (LIKELY(table->shard.whole_count == 0)) {
        return false;
    }
    for (struct list_node *node = list_first(&table->shard.queue); node != NULL;
         node = list_next(&table->shard.queue, node)) {
        const struct lock_item *item = item_of(node);
        if (item->request->is_held && item->mode >= LOCK_SHARED) {
            return true;
        }
    }
    return false;
}

bool
lock_key_is_lent(const struct lock_table *table, uint16_t db, struct slice key, uint64_t hash)
{
    const struct lock *lock = lock_find(table, db, key, hash);
    if (lock == NULL) {
        return false;
    }
    for (struct list_node *node = list_first(&lock->queue); node != NULL;
         node = list_next(&lock->queue, node)) {
        const struct lock_request *request = item_of(node)->request;
        if (request->is_held && request->is_borrower) {
            return true;
        }
    }
    return false;
}

void
lock_request_create(struct lock_request *request, uint64_t ticket, enum lock_mode shard_mode,
                    uint32_t key_count)
{
    *request = (struct lock_request){.ticket = ticket, .item_capacity = key_count + 1};
    request->items = heap_alloc(sizeof(struct lock_item) * MAX(request->item_capacity, ITEMS_MIN));
    request->items[0].mode = (uint8_t)shard_mode;
    list_node_create(&request->ready_link);
}

void
lock_request_destroy(struct lock_request *request)
{
    ASSERT(!request->is_held);
    heap_free(request->items);
    request->items = NULL;
}

static void
item_enter(struct lock *lock, struct lock_request *request, struct lock_item *item)
{
    item->lock = lock;
    item->request = request;
    list_node_create(&item->link);
    /* Most come with the newest ticket: look from the end. */
    struct list_node *after = list_last(&lock->queue);
    while (after != NULL && item_of(after)->request->ticket > request->ticket) {
        after = list_prev(&lock->queue, after);
    }
    if (after == NULL) {
        list_push_front(&lock->queue, &item->link);
    } else {
        list_insert_after(after, &item->link);
    }
    if (lock->is_shard && (item->mode == LOCK_SHARED || item->mode == LOCK_EXCLUSIVE)) {
        lock->whole_count++;
    }
}

void
lock_request_enter(struct lock_table *table, struct lock_request *request)
{
    ASSERT(request->item_count == 0);
    item_enter(&table->shard, request, &request->items[0]);
    request->item_count = 1;
    table->request_count++;
}

void
lock_request_add_key(struct lock_table *table, struct lock_request *request, uint16_t db,
                     struct slice key, uint64_t hash, bool is_exclusive)
{
    ASSERT(request->item_count >= 1);
    ASSERT(request->item_count < request->item_capacity);
    struct lock_item *item = &request->items[request->item_count++];
    item->mode = is_exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED;
    item_enter(lock_obtain(table, db, key, hash), request, item);
}

/** Does `other` keep `item` from being held? */
static bool
item_blocks(const struct lock_table *table, const struct lock_item *other,
            const struct lock_item *item, bool is_in_front)
{
    if (lock_compatible[other->mode][item->mode] || item_is_guards(other)) {
        return false;
    }
    if (other->request->is_held) {
        return true;
    }
    return is_in_front && !fault_hit(table, LOCK_FAULT_NO_PLACE);
}

static bool
item_is_clear(const struct lock_table *table, const struct lock_item *item)
{
    const struct lock *lock = item->lock;
    bool is_intent = item->mode == LOCK_INTENT_SHARED || item->mode == LOCK_INTENT_EXCLUSIVE;
    if (is_intent && lock->whole_count == 0) {
        return true;
    }
    bool is_in_front = true;
    for (struct list_node *node = list_first(&lock->queue); node != NULL;
         node = list_next(&lock->queue, node)) {
        const struct lock_item *other = item_of(node);
        if (other == item) {
            is_in_front = false;
        } else if (item_blocks(table, other, item, is_in_front)) {
            return false;
        }
    }
    return true;
}

/** Does the guard let all keys of the request go that it wants for itself? */
static bool
guard_passes(const struct lock_table *table, const struct lock_request *request)
{
    bool is_free = true;
    for (uint32_t i = 1; i < request->item_count; i++) {
        const struct lock_item *item = &request->items[i];
        const struct lock *lock = item->lock;
        if (item->mode == LOCK_EXCLUSIVE &&
            !table->guard(table->guard_context, lock->db, lock->key,
                          lock_hash(lock->db, lock->hash), request->is_borrower)) {
            is_free = false; /* the others are told of, too: they are written side by side */
        }
    }
    return is_free;
}

bool
lock_request_try(struct lock_table *table, struct lock_request *request)
{
    ASSERT(!request->is_held);
    ASSERT(request->item_count == request->item_capacity);
    for (uint32_t i = 0; i < request->item_count; i++) {
        if (!item_is_clear(table, &request->items[i])) {
            return false;
        }
    }
    if (UNLIKELY(table->guard != NULL) && !guard_passes(table, request)) {
        return false;
    }
    request->is_held = true;
    return true;
}

/** After somebody left or yielded `lock`: those who can hold now do. */
static void
lock_serve(struct lock_table *table, struct lock *lock, struct list *ready)
{
    for (struct list_node *node = list_first(&lock->queue); node != NULL;
         node = list_next(&lock->queue, node)) {
        struct lock_item *item = item_of(node);
        struct lock_request *request = item->request;
        if (request->is_held) {
            continue;
        }
        if (lock_request_try(table, request)) {
            list_push_back(ready, &request->ready_link);
        } else if (item->mode == LOCK_EXCLUSIVE && !fault_hit(table, LOCK_FAULT_NO_PLACE)) {
            break; /* nobody passes a waiting exclusive request */
        }
    }
}

/** Out of all queues; the locks stay. */
static void
request_unlink(struct lock_table *table, struct lock_request *request)
{
    request->is_held = false;
    for (uint32_t i = 0; i < request->item_count; i++) {
        struct lock_item *item = &request->items[i];
        list_remove(&item->link);
        if (item->lock->is_shard && (item->mode == LOCK_SHARED || item->mode == LOCK_EXCLUSIVE)) {
            item->lock->whole_count--;
        }
    }
    ASSERT(table->request_count > 0);
    table->request_count--;
}

void
lock_request_drop(struct lock_table *table, struct lock_request *request)
{
    ASSERT(request->is_guards);
    request_unlink(table, request);
    for (uint32_t i = 1; i < request->item_count; i++) {
        if (list_is_empty(&request->items[i].lock->queue)) {
            lock_dismiss(table, request->items[i].lock);
        }
    }
    request->item_count = 0;
}

void
lock_request_leave(struct lock_table *table, struct lock_request *request, struct list *ready)
{
    request_unlink(table, request);
    for (uint32_t i = 0; i < request->item_count; i++) {
        struct lock *lock = request->items[i].lock;
        bool is_intent =
            lock->is_shard && lock->whole_count == 0 && request->items[i].mode < LOCK_SHARED;
        if (list_is_empty(&lock->queue)) {
            if (!lock->is_shard) {
                lock_dismiss(table, lock);
            }
        } else if (!is_intent) {
            lock_serve(table, lock, ready);
        }
    }
    request->item_count = 0;
}

void
lock_request_yield(struct lock_table *table, struct lock_request *request, struct list *ready)
{
    ASSERT(request->is_held);
    request->is_held = false;
    request->is_wounded = false;
    for (uint32_t i = 0; i < request->item_count; i++) {
        lock_serve(table, request->items[i].lock, ready);
    }
}

void
lock_request_wound(struct lock_table *table, struct lock_request *request, lock_wound_fn *wound,
                   void *context)
{
    if (request->is_held || fault_hit(table, LOCK_FAULT_NO_WOUND)) {
        return;
    }
    for (uint32_t i = 0; i < request->item_count; i++) {
        struct lock_item *item = &request->items[i];
        /* Those behind it in the queue are the younger ones. */
        for (struct list_node *node = list_next(&item->lock->queue, &item->link); node != NULL;
             node = list_next(&item->lock->queue, node)) {
            struct lock_item *other = item_of(node);
            struct lock_request *younger = other->request;
            if (younger->is_held && younger->is_borrower && !younger->is_wounded &&
                !lock_compatible[other->mode][item->mode]) {
                younger->is_wounded = true;
                wound(context, younger);
            }
        }
    }
}

static bool
queue_is_valid(const struct lock *lock)
{
    uint64_t ticket = 0;
    for (struct list_node *node = list_first(&lock->queue); node != NULL;
         node = list_next(&lock->queue, node)) {
        const struct lock_item *item = item_of(node);
        if (item->lock != lock || item->request->ticket < ticket) {
            return false;
        }
        ticket = item->request->ticket;
        for (struct list_node *later = list_next(&lock->queue, node); later != NULL;
             later = list_next(&lock->queue, later)) {
            const struct lock_item *other = item_of(later);
            if (item->request->is_held && other->request->is_held &&
                !lock_compatible[item->mode][other->mode]) {
                return false;
            }
        }
    }
    return true;
}

bool
lock_table_is_valid(const struct lock_table *table)
{
    if (!queue_is_valid(&table->shard)) {
        return false;
    }
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (const struct lock *lock = table->buckets[i]; lock != NULL; lock = lock->next) {
            if (list_is_empty(&lock->queue) || !queue_is_valid(lock)) {
                return false;
            }
        }
    }
    return true;
}
