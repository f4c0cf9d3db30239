/*
 * block_table.c: the keys' side of a wait: who waits for which key of this shard, and how they are
 * served.
 *
 *     key "q" (db 0)  ─▶ [waiter, ticket 3] [waiter, ticket 8] ...      first come, first served
 *     ready: "q", "r"                                                   changed since the last look
 *
 * Keys that have changed are served directly behind the command, transaction or RETURN that changed
 * them: each waiter's command runs again, seeing only the key that woke it, until the key has
 * nothing left. Where loans are about, a waiter asks for the key under its ticket as everybody
 * does; it is older than whoever came while it waited, so nobody takes what it has waited for.
 */
#include "shard/block_internal.h"
#include "shard/change.h"
#include "shard/commandlog.h"
#include "shard/execute.h"
#include "shard/tracking.h"
#include "shard/view_set.h"

#include "core/heap.h"

#define BLOCK_BUCKETS_MIN 16

struct blocked_key {
    struct blocked_key *next;
    uint64_t hash;
    struct list waiters;
    struct list_node ready_link;
    uint16_t db;
    uint16_t slot;
    bool is_pinned; /* block_serve_ready() looks at it */
    size_t size;
    char bytes[];
};

/* ---- the table ---- */

static uint64_t
place_of(uint16_t db, uint64_t hash)
{
    return hash ^ (uint64_t)db * UINT64_C(0x9e3779b97f4a7c15);
}

static struct blocked_key **
find_key(const struct block_table *table, uint16_t db, struct slice key, uint64_t hash)
{
    struct blocked_key **place = &table->buckets[place_of(db, hash) & (table->bucket_count - 1)];
    while (*place != NULL && ((*place)->hash != hash || (*place)->db != db ||
                              !slice_equal(slice_of((*place)->bytes, (*place)->size), key))) {
        place = &(*place)->next;
    }
    return place;
}

static void
table_grow(struct block_table *table)
{
    if (table->key_count < table->bucket_count) {
        return;
    }
    uint32_t bucket_count = MAX(table->bucket_count * 2, (uint32_t)BLOCK_BUCKETS_MIN);
    struct blocked_key **buckets = heap_alloc(bucket_count * sizeof(struct blocked_key *));
    memset(buckets, 0, bucket_count * sizeof(struct blocked_key *));
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            struct blocked_key *key = table->buckets[i];
            table->buckets[i] = key->next;
            struct blocked_key **place =
                &buckets[place_of(key->db, key->hash) & (bucket_count - 1)];
            key->next = *place;
            *place = key;
        }
    }
    heap_free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = bucket_count;
}

static struct blocked_key *
key_get(struct block_table *table, const struct view *view)
{
    table_grow(table);
    struct blocked_key **place = find_key(table, view->db, view->key, view->hash);
    if (*place == NULL) {
        struct blocked_key *key = heap_alloc(sizeof(*key) + view->key.size);
        *key = (struct blocked_key){
            .hash = view->hash, .db = view->db, .slot = view->slot, .size = view->key.size};
        list_create(&key->waiters);
        list_node_create(&key->ready_link);
        if (view->key.size > 0) {
            memcpy(key->bytes, view->key.data, view->key.size);
        }
        *place = key;
        table->key_count++;
    }
    return *place;
}

static void
key_drop_unused(struct shard *shard, struct blocked_key *key)
{
    struct block_table *table = shard->block;
    if (!list_is_empty(&key->waiters) || key->is_pinned) {
        return;
    }
    if (list_node_is_linked(&key->ready_link)) {
        list_remove(&key->ready_link);
    }
    struct blocked_key **place =
        find_key(table, key->db, slice_of(key->bytes, key->size), key->hash);
    ASSERT(*place == key);
    *place = key->next;
    heap_free(key);
    if (--table->key_count == 0) {
        shard->interest &= ~(INTEREST_BLOCK | INTEREST_READY);
    }
}

/* ---- parts ---- */

void
block_register(struct shard *shard, struct blocker_part *part, const struct view *views,
               uint32_t view_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view_count; i++) {
        count += views[i].owner == shard->index && (views[i].flags & VIEW_WAITED) != 0;
    }
    part->waiters = heap_alloc(count * sizeof(*part->waiters));
    part->waiter_count = 0;
    for (uint32_t i = 0; i < view_count; i++) {
        if (views[i].owner != shard->index || (views[i].flags & VIEW_WAITED) == 0) {
            continue;
        }
        struct waiter *waiter = &part->waiters[part->waiter_count++];
        waiter->part = part;
        waiter->key = key_get(shard->block, &views[i]);
        list_node_create(&waiter->key_link);
        /* By age; mostly it is the youngest. */
        struct list *waiters = &waiter->key->waiters;
        struct list_node *node = list_last(waiters);
        while (node != NULL && container_of(node, struct waiter, key_link)->part->blocker->ticket >
                                   part->blocker->ticket) {
            node = list_prev(waiters, node);
        }
        if (node == NULL) {
            list_push_front(waiters, &waiter->key_link);
        } else {
            list_insert_after(node, &waiter->key_link);
        }
    }
    shard->interest |= INTEREST_BLOCK;
}

void
block_register_loan(struct shard *shard, struct loan *loan)
{
    block_register(shard, loan->block_part, loan->views, loan->view_count);
}

static void
unregister(struct shard *shard, struct blocker_part *part)
{
    wheel_remove(&shard->block->wheel, &part->retry);
    for (uint32_t i = 0; i < part->waiter_count; i++) {
        struct waiter *waiter = &part->waiters[i];
        list_remove(&waiter->key_link);
        key_drop_unused(shard, waiter->key);
    }
    heap_free(part->waiters);
    part->waiters = NULL;
    part->waiter_count = 0;
}

static void
part_post_home(struct router *router, struct blocker_part *part, uint64_t mark)
{
    router_answer(router, mark, part->blocker->request.coordinator, MAIL_BLOCK_HOME, &part->mail);
}

/** Keep the arguments that the first run has resolved (XREAD's "$"). */
static void
keep_resolved(struct blocker *blocker, const struct slice *argv)
{
    if (argv == blocker->argv) {
        return;
    }
    size_t size = 0;
    for (uint32_t i = 0; i < blocker->request.argc; i++) {
        size += argv[i].data != blocker->argv[i].data ? argv[i].size : 0;
    }
    char *end = heap_alloc(MAX(size, (size_t)1));
    ASSERT(blocker->resolved == NULL);
    blocker->resolved = end;
    for (uint32_t i = 0; i < blocker->request.argc; i++) {
        if (argv[i].data != blocker->argv[i].data) {
            memcpy(end, argv[i].data, argv[i].size);
            blocker->argv[i] = slice_of(end, argv[i].size);
            end += argv[i].size;
        }
    }
}

/** The command has found nothing, for the first time: wait from now on. */
static void
part_park(struct router *router, struct blocker_part *part, const struct call *call,
          const struct view_set *set)
{
    struct shard *shard = router->shard;
    struct blocker *blocker = part->blocker;
    blocker->ticket = atomic_fetch_add_explicit(&shard->node->ticket_next, 1, memory_order_relaxed);
    blocker->waited_count = call->block_view_count;
    keep_resolved(blocker, call->block_argv);
    block_register(shard, part, set->views, set->count);
    part->timeout_ms = call->block_timeout_ms;
    router_post(router, blocker->request.coordinator, MAIL_BLOCK_PARKED, &part->notice);
}

/** Of keys that are waited for, the command sees the one that woke it only. */
static bool
is_hidden(const struct blocker_part *part, const struct view_set *set, uint32_t index)
{
    const struct view *view = &set->views[index];
    if (part->is_first_try ||
        (view->db == part->woken_db && slice_equal(view->key, part->woken_key))) {
        return false;
    }
    for (uint32_t i = 0; i < part->blocker->waited_count; i++) {
        if (set->declared[i] == index) {
            return true;
        }
    }
    return view->owner != (uint16_t)part->owner;
}

/** Run the part's command. False: it goes on waiting. */
static bool
wait_run(struct router *router, struct blocker_part *part)
{
    struct shard *shard = router->shard;
    struct blocker *blocker = part->blocker;
    const struct request *request = &blocker->request;
    struct view_set set;
    struct reply reply;
    struct call call;
    view_set_create(&set, shard, request);
    struct view **views = heap_alloc(MAX(set.declared_count, 1U) * sizeof(struct view *));
    for (uint32_t i = 0; i < set.count; i++) {
        struct view *view = &set.views[i];
        if (is_hidden(part, &set, i)) {
            view_hide(view);
            view->flags |= VIEW_HIDDEN;
        } else {
            view_open(shard, view);
        }
    }
    for (uint32_t i = 0; i < set.declared_count; i++) {
        views[i] = &set.views[set.declared[i]];
    }
    reply_create(&reply, &blocker->output, request->protocol);
    reply.is_muted = (request->flags & REQUEST_MUTED) != 0;
    call_prepare(&call, shard, request, &reply, NULL);
    call.flags |= CALL_MAY_BLOCK | (part->is_first_try ? 0 : CALL_WOKEN);
    call.views = views;
    call.view_count = set.declared_count;
    struct commandlog_entry *others = commandlog_take(shard);
    call_run(&call);
    if (UNLIKELY((call.flags & CALL_TRACK) != 0) && part->is_first_try) {
        tracking_mark(&call, false);
    }
    bool is_blocked = (call.flags & CALL_BLOCKS) != 0;
    if (is_blocked && part->is_first_try) {
        part_park(router, part, &call, &set);
    }
    for (uint32_t i = 0; i < set.count; i++) {
        /* Hidden ones are not ours to commit. */
        set.views[i].flags &= (uint16_t) ~(VIEW_WAITED | VIEW_HIDDEN);
    }
    execute_commit(shard, request, &call, set.views, set.count);
    call_finish(&call);
    /* A command that goes on waiting has left none. */
    part->logged = commandlog_take(shard);
    commandlog_restore(shard, others);
    heap_free(views);
    view_set_destroy(&set);
    part->is_first_try = false;
    return !is_blocked;
}

/** Has nobody ended the wait yet? Then it cannot end elsewhere until the state is set again. */
static bool
part_claim(struct blocker_part *part)
{
    uint32_t waiting = BLOCKER_WAITING;
    return atomic_compare_exchange_strong_explicit(&part->blocker->state, &waiting, BLOCKER_SERVING,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/** Look at the part's keys in a millisecond, whether they change or not. */
static void
part_look_again(struct shard *shard, struct blocker_part *part)
{
    if (part->waiter_count > 0 && part->retry.place == WHEEL_NOWHERE) {
        part->retry.deadline_ms = shard->now_ms + 1;
        wheel_add(&shard->block->wheel, &part->retry);
    }
}

static void
part_unlock(struct router *router, struct blocker_part *part)
{
    if (part->is_lock_wanted) {
        part->is_lock_wanted = false;
        lock_request_leave(router->shard->locks, &part->wait, &router->ready);
        lock_request_destroy(&part->wait);
    }
}

/** What the key holds now. */
static uint8_t
key_type(const struct shard *shard, const struct blocked_key *key)
{
    struct entry *entry = keyspace_find(&shard->keyspace, key->db, key->slot,
                                        slice_of(key->bytes, key->size), key->hash);
    struct value value = {.type = VALUE_NONE};
    if (entry != NULL && !entry_is_over(entry, shard->now_ms)) {
        entry_value(entry, &value);
    }
    return value.type;
}

/** Is it what the command waits for? */
static bool
is_wanted(const struct command *command, uint8_t type)
{
    if (command->group == GROUP_LIST) {
        return type == VALUE_LIST;
    }
    if (command->group == GROUP_SORTED_SET) {
        return type == VALUE_ZSET;
    }
    /* A group's stream that is gone ends the wait with an error. */
    return type == VALUE_STREAM || (command->flags & CMD_WRITE) != 0;
}

/** What woke the part may have been taken while it waited for the locks: look at its other keys. */
static void
part_choose(const struct shard *shard, struct blocker_part *part)
{
    const struct command *command = part->blocker->request.command;
    const struct blocked_key *first = NULL;
    for (uint32_t i = 0; i < part->waiter_count; i++) {
        const struct blocked_key *key = part->waiters[i].key;
        if (!is_wanted(command, key_type(shard, key))) {
            continue;
        }
        struct slice name = slice_of(key->bytes, key->size);
        if (key->db == part->woken_db && slice_equal(name, part->woken_key)) {
            return;
        }
        first = first == NULL ? key : first;
    }
    if (first != NULL) {
        part->woken_key = slice_of(first->bytes, first->size);
        part->woken_db = first->db;
    }
}

/** It holds all that the command needs here: run it, or offer the key to its coordinator. */
static void
part_proceed(struct router *router, struct blocker_part *part)
{
    if (!part_claim(part)) {
        /* MAIL_BLOCK_CANCEL is on its way, or another owner runs the command, perhaps in vain: then
         * the key that is ready here must not be forgotten. */
        part_unlock(router, part);
        part_look_again(router->shard, part);
        return;
    }
    if (part->is_foreign) {
        ASSERT(part->is_lock_wanted); /* until block_offer_taken() */
        part->is_offer = true;
        if (router_fault_hit(router, ROUTER_FAULT_OFFER_UNLOCKED)) {
            part_unlock(router, part);
        }
        part_post_home(router, part, 0);
        return;
    }
    if (!part->is_first_try) {
        part_choose(router->shard, part);
    }
    uint64_t outer = durable_begin(&router->shard->durable);
    bool is_served = wait_run(router, part);
    uint64_t mark = durable_end(&router->shard->durable, outer);
    part_unlock(router, part);
    if (!is_served) {
        atomic_store_explicit(&part->blocker->state, BLOCKER_WAITING, memory_order_release);
        return;
    }
    unregister(router->shard, part);
    part->is_served = true;
    atomic_store_explicit(&part->blocker->state, BLOCKER_OVER, memory_order_release);
    part_post_home(router, part, mark);
}

/** Ask for all keys of the part: while it waits for them, another than the one that woke it may get
 * something. part_proceed() follows, perhaps at once. */
static void
part_ask(struct router *router, struct blocker_part *part)
{
    struct shard *shard = router->shard;
    struct view_set set;
    bool has_keys = view_set_create(&set, shard, &part->blocker->request);
    part->is_foreign = false;
    for (uint32_t i = part->blocker->waited_count; i < set.declared_count; i++) {
        part->is_foreign |= !part->is_first_try && set.views[set.declared[i]].owner != shard->index;
    }
    bool is_free = !part->is_foreign && lock_table_request_count(shard->locks) == 0;
    if (!is_free && has_keys) {
        uint64_t ticket = part->blocker->ticket;
        if (part->is_first_try || router_fault_hit(router, ROUTER_FAULT_NEW_TICKET)) {
            ticket = atomic_fetch_add_explicit(&shard->node->ticket_next, 1, memory_order_relaxed);
        }
        uint32_t key_count = 0;
        for (uint32_t i = 0; i < set.count; i++) {
            key_count += set.views[i].owner == shard->index;
        }
        lock_request_create(&part->wait, ticket, LOCK_INTENT_EXCLUSIVE, key_count);
        part->wait.kind = LOCK_KIND_BLOCKER;
        part->is_lock_wanted = true;
        lock_request_enter(shard->locks, &part->wait);
        for (uint32_t i = 0; i < set.count; i++) {
            const struct view *view = &set.views[i];
            if (view->owner == shard->index) {
                lock_request_add_key(shard->locks, &part->wait, view->db, view->key, view->hash,
                                     true);
            }
        }
        is_free = lock_request_try(shard->locks, &part->wait);
        if (!is_free) {
            /* Those behind it wait for it, and it may be older than who holds what it asks for. */
            lender_wound(router, &part->wait);
        }
    }
    view_set_destroy(&set);
    if (is_free || !has_keys) {
        part_proceed(router, part);
    }
}

/* ---- mail ---- */

void
block_receive(struct router *router, struct mail *mail)
{
    part_ask(router, container_of(mail, struct blocker_part, mail));
    lender_serve(router);
}

void
block_serve_locked(struct router *router, struct lock_request *request)
{
    part_proceed(router, container_of(request, struct blocker_part, wait));
}

void
block_cancel(struct router *router, struct mail *mail)
{
    struct block_cancel_mail *cancel = container_of(mail, struct block_cancel_mail, mail);
    struct blocker_part *part = cancel->part;
    heap_free(cancel);
    if (part->is_lock_wanted && list_node_is_linked(&part->wait.ready_link)) {
        list_remove(&part->wait.ready_link);
    }
    part_unlock(router, part);
    unregister(router->shard, part);
    part_post_home(router, part, 0);
    lender_serve(router);
}

void
block_offer_taken(struct router *router, struct blocker_part *part)
{
    ASSERT(part->is_offer);
    ASSERT(part->is_lock_wanted || router_fault_hit(router, ROUTER_FAULT_OFFER_UNLOCKED));
    part_unlock(router, part);
    unregister(router->shard, part);
    part->is_offer = false;
    part_post_home(router, part, 0);
}

/* ---- readiness ---- */

static void
key_ready(struct shard *shard, struct blocked_key *key)
{
    if (!list_node_is_linked(&key->ready_link)) {
        list_push_back(&shard->block->ready, &key->ready_link);
        shard->interest |= INTEREST_READY;
    }
}

void
block_key_changed(struct shard *shard, uint16_t db, struct slice key, uint64_t hash)
{
    struct blocked_key *blocked = *find_key(shard->block, db, key, hash);
    if (blocked != NULL) {
        key_ready(shard, blocked);
    }
}

void
block_flushed(struct shard *shard, uint32_t db)
{
    struct block_table *table = shard->block;
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (struct blocked_key *key = table->buckets[i]; key != NULL; key = key->next) {
            if (key->db == db || db == UINT32_MAX) {
                key_ready(shard, key);
            }
        }
    }
}

void
block_swapped(struct shard *shard, uint32_t db_a, uint32_t db_b)
{
    struct block_table *table = shard->block;
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (struct blocked_key *key = table->buckets[i]; key != NULL; key = key->next) {
            if (key->db == db_a || key->db == db_b) {
                key_ready(shard, key);
            }
        }
    }
}

static void
key_serve(struct shard *shard, struct blocked_key *key)
{
    struct router *router = shard->router;
    struct list_node *node = list_first(&key->waiters);
    key->is_pinned = true;
    while (node != NULL) {
        struct waiter *waiter = container_of(node, struct waiter, key_link);
        struct blocker_part *part = waiter->part;
        /* It may be gone after it is served; those behind it are others'. */
        node = list_next(&key->waiters, node);
        uint8_t type = key_type(shard, key);
        if (part->is_lock_wanted || !is_wanted(part->blocker->request.command, type)) {
            continue;
        }
        part->woken_key = slice_of(key->bytes, key->size);
        part->woken_db = key->db;
        part_ask(router, part);
    }
    key->is_pinned = false;
    key_drop_unused(shard, key);
}

void
block_part_due(struct shard *shard, struct wheel_node *node)
{
    struct blocker_part *part = container_of(node, struct blocker_part, retry);
    for (uint32_t i = 0; i < part->waiter_count; i++) {
        key_ready(shard, part->waiters[i].key);
    }
    block_serve_ready(shard);
}

void
block_serve_ready(struct shard *shard)
{
    struct block_table *table = shard->block;
    if (table->is_serving) {
        return;
    }
    table->is_serving = true;
    struct list_node *node;
    while ((node = list_pop_front(&table->ready)) != NULL) {
        key_serve(shard, container_of(node, struct blocked_key, ready_link));
    }
    table->is_serving = false;
    shard->interest &= ~INTEREST_READY;
}
