/*
 * transaction.c: the coordinator's side of loans.
 * A transaction asks all owners of its keys in parallel, runs its command once on this core when
 * all have lent them, and mails the keys back with what became of them. Transactions of one lane
 * execute in ticket order. Until it executes, a wound makes it give one owner's grant back; that
 * owner grants again later.
 *
 *     [views of owner 0 | views of owner 2 | views of owner 5]   one array, cut into loans
 *
 * It is one allocation, apart from its connection, and lives until all its mail is home.
 */
#include "core/heap.h"
#include "shard/block.h"
#include "shard/commandlog.h"
#include "shard/execute.h"
#include "shard/execute_multi.h"
#include "shard/multi.h"
#include "shard/tracking.h"
#include "shard/transaction_internal.h"
#include "shard/value/raw.h"
#include "shard/view_set.h"
#include "shard/watch.h"

#include <stdatomic.h>

struct loan *
loan_of_mail(struct mail *mail)
{
    return container_of(mail, struct loan, mail);
}

static void
transaction_delete(struct transaction *transaction)
{
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        effects_destroy(&transaction->loans[i].effects);
        effects_destroy(&transaction->loans[i].events);
    }
    effects_destroy(&transaction->effects);
    effects_destroy(&transaction->events);
    arguments_release(&transaction->arguments);
    output_destroy(&transaction->output);
    heap_free(transaction->arguments.argv);
    heap_free(transaction->views);
    heap_free(transaction->declared);
    heap_free(transaction->parts);
    program_delete(transaction);
    grown_keys_destroy(&transaction->grown);
    multi_delete(transaction->lane_shard, transaction->request.multi);
    heap_free(transaction->participants);
    heap_free(transaction);
}

/** Its reply is taken and its mail is home: nothing refers to it any more. */
static void
transaction_end(struct transaction *transaction)
{
    if (transaction->is_retired && transaction->home_count == transaction->loan_count) {
        transaction_delete(transaction);
    }
}

static void
transaction_retire(struct shard *shard, struct lane_item *item)
{
    (void)shard;
    struct transaction *transaction = container_of(item, struct transaction, item);
    transaction->is_retired = true;
    transaction_end(transaction);
}

static struct transaction *
transaction_new(struct lane *lane, const struct request *request, struct ring_buffer *buffer,
                uint32_t loan_count)
{
    struct transaction *transaction =
        heap_alloc(sizeof(*transaction) + loan_count * sizeof(struct loan));
    memset(transaction, 0, sizeof(*transaction) + loan_count * sizeof(struct loan));
    transaction->lane = lane;
    transaction->lane_shard = lane->shard;
    transaction->loan_count = loan_count;
    transaction->request = *request;
    struct slice *storage = heap_alloc(request->argc * sizeof(*storage));
    arguments_keep(&transaction->arguments, request, buffer, storage);
    transaction->request.argv = storage;
    output_create(&transaction->output);
    effects_create(&transaction->effects);
    effects_create(&transaction->events);
    transaction->item = (struct lane_item){.source = &transaction->output,
                                           .reply_size = LANE_REPLY_ALL,
                                           .is_muted = (request->flags & REQUEST_MUTED) != 0,
                                           .retire = transaction_retire};
    for (uint32_t i = 0; i < loan_count; i++) {
        effects_create(&transaction->loans[i].effects);
        effects_create(&transaction->loans[i].events);
    }
    return transaction;
}

/** Draw the ticket (0) or keep the old one, take the place in the lane, ask all owners. */
static void
transaction_launch(struct router *router, struct transaction *transaction, uint64_t ticket)
{
    struct lane *lane = transaction->lane;
    lane_push(lane, &transaction->item);
    lane->transaction_count++;
    if (lane->transaction_last == NULL) {
        lane->transaction_first = transaction;
    } else {
        lane->transaction_last->next = transaction;
    }
    lane->transaction_last = transaction;
    router->pending_count++;
    router->transaction_count++;
    router->shard->counters.loan_count++;
    if (ticket == 0) {
        ticket =
            atomic_fetch_add_explicit(&router->shard->node->ticket_next, 1, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->ticket = ticket;
        loan->transaction = transaction;
        loan->session_id = transaction->request.session_id;
        router_post(router, loan->owner, MAIL_LOCK, &loan->mail);
    }
}

/** The shards that own the set's keys, each once. Returns their number. */
static uint32_t
owners_of(const struct view_set *set, uint16_t *owners)
{
    uint32_t owner_count = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t known = 0;
        while (known < owner_count && owners[known] != set->views[i].owner) {
            known++;
        }
        if (known == owner_count) {
            owners[owner_count++] = set->views[i].owner;
        }
    }
    return owner_count;
}

void
transaction_lay_out(struct transaction *transaction, const struct view_set *set, uint16_t no_touch)
{
    transaction->view_count = set->count;
    transaction->declared_count = set->declared_count;
    transaction->views = heap_alloc(set->count * sizeof(*transaction->views));
    transaction->declared = heap_alloc(set->declared_count * sizeof(struct view *));
    uint32_t *moved = heap_alloc(set->count * sizeof(*moved));
    uint32_t next = 0;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->views = &transaction->views[next];
        loan->is_exclusive = false;
        for (uint32_t j = 0; j < set->count; j++) {
            if (set->views[j].owner == loan->owner) {
                moved[j] = next;
                transaction->views[next] = set->views[j];
                transaction->views[next].flags |= no_touch;
                loan->is_exclusive |= (set->views[j].flags & VIEW_EXCLUSIVE) != 0;
                next++;
            }
        }
        loan->view_count = (uint32_t)(&transaction->views[next] - loan->views);
    }
    for (uint32_t i = 0; i < set->declared_count; i++) {
        transaction->declared[i] = &transaction->views[moved[set->declared[i]]];
    }
    heap_free(moved);
}

/** A transaction over the owners of the set's keys, to be launched. */
static struct transaction *
transaction_new_keys(struct lane *lane, const struct request *request, struct view_set *set,
                     struct ring_buffer *buffer)
{
    uint16_t owners[SHARD_COUNT_MAX];
    uint32_t owner_count = owners_of(set, owners);
    struct transaction *transaction = transaction_new(lane, request, buffer, owner_count);
    for (uint32_t i = 0; i < owner_count; i++) {
        transaction->loans[i].owner = owners[i];
    }
    bool is_no_touch = (request->flags & REQUEST_NO_TOUCH) != 0;
    /* Keys are slices of arguments; those that were copied lie elsewhere now. */
    for (uint32_t i = 0; transaction->arguments.copies != NULL && i < set->count; i++) {
        for (uint32_t j = 0; j < request->argc; j++) {
            if (set->views[i].key.data == request->argv[j].data &&
                set->views[i].key.size == request->argv[j].size) {
                set->views[i].key = transaction->request.argv[j];
                break;
            }
        }
    }
    transaction_lay_out(transaction, set,
                        view_flags(request->command->flags, is_no_touch) & VIEW_NO_TOUCH);
    for (uint32_t i = 0; i < owner_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->shard_mode = loan->is_exclusive ? LOCK_INTENT_EXCLUSIVE : LOCK_INTENT_SHARED;
    }
    transaction->deadline_ms = INT64_MAX;
    return transaction;
}

/** Nothing behind it starts before it is executed. */
static void
transaction_bar(struct transaction *transaction)
{
    transaction->is_barrier = true;
    transaction->lane->barrier_count++;
}

void
transaction_start_keys(struct router *router, struct lane *lane, const struct request *request,
                       struct view_set *set, struct ring_buffer *buffer)
{
    struct transaction *transaction = transaction_new_keys(lane, request, set, buffer);
    const struct multi *multi = request->multi;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        transaction->loans[i].is_watched = multi != NULL && multi->watches != NULL;
    }
    transaction->may_block = multi == NULL && command_may_block(request);
    /* What comes behind sees the session as it will be, or waits with it. */
    if (transaction->may_block || (multi != NULL && multi->has_local)) {
        transaction_bar(transaction);
    }
    transaction_launch(router, transaction, 0);
}

void
transaction_start_grown(struct router *router, struct lane *lane, const struct request *request,
                        struct grown_keys *grown, uint64_t ticket)
{
    struct view_set set;
    bool has_keys = view_set_create_grown(&set, router->shard, request, grown->names, grown->count);
    ASSERT(has_keys);
    struct transaction *transaction = transaction_new_keys(lane, request, &set, NULL);
    view_set_destroy(&set);
    transaction->grown = *grown;
    transaction->grown.ready_count = grown->count;
    transaction->grown.views = transaction->declared + (transaction->declared_count - grown->count);
    transaction->is_growing = true;
    transaction_bar(transaction);
    transaction_launch(router, transaction, ticket);
}

/** The command has asked for more keys: it starts anew with all of them, at its old age. */
static void
transaction_grow(struct router *router, struct transaction *transaction)
{
    effects_clear(&transaction->effects);
    effects_clear(&transaction->events);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        transaction->loans[i].is_unused = true;
    }
    struct grown_keys grown = transaction->grown;
    transaction->grown = (struct grown_keys){0};
    transaction_start_grown(router, transaction->lane, &transaction->request, &grown,
                            transaction->loans[0].ticket);
    /* With a large argument went its memory. It outlives this one's loans, which are home first. */
    transaction->call.large_raw = NULL;
}

void
transaction_start_offer(struct router *router, struct lane *lane, const struct request *request,
                        struct view_set *set, struct blocker_part *part, uint16_t part_owner,
                        uint64_t ticket, int64_t deadline_ms, uint8_t wanted_end)
{
    struct transaction *transaction = transaction_new_keys(lane, request, set, NULL);
    transaction->may_block = true;
    transaction->deadline_ms = deadline_ms;
    transaction->wanted_end = wanted_end;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        if (transaction->loans[i].owner == part_owner) {
            transaction->loans[i].offer = part;
        }
    }
    transaction_bar(transaction);
    transaction_launch(router, transaction, ticket);
}

void
transaction_start_closed(struct router *router, struct lane *lane, const struct request *request,
                         struct ring_buffer *buffer, void *shared)
{
    uint32_t shard_count = router->shard->node->shard_count;
    struct transaction *transaction = transaction_new(lane, request, buffer, shard_count);
    struct multi *multi = request->multi;
    transaction->is_closed = true;
    transaction->is_barrier = true;
    transaction->call.shared = shared;
    if (multi == NULL) {
        transaction->parts = heap_alloc(shard_count * sizeof(struct part));
    }
    for (uint32_t i = 0; i < shard_count; i++) {
        transaction->loans[i].owner = (uint16_t)i;
        bool is_open = multi != NULL && router_fault_hit(router, ROUTER_FAULT_EXEC_OPEN);
        transaction->loans[i].shard_mode = is_open ? LOCK_INTENT_EXCLUSIVE : LOCK_EXCLUSIVE;
        transaction->loans[i].is_watched = multi != NULL && multi->watches != NULL;
        if (multi == NULL) {
            part_create(&transaction->parts[i], router, &transaction->request, lane, shared);
        }
    }
    lane->barrier_count++;
    transaction_launch(router, transaction, 0);
}

/* ---- execution ---- */

/** Give each owner the records about its keys: effects, or events. */
static void
distribute(struct router *router, struct transaction *transaction, const struct effects *records,
           bool is_events)
{
    struct effect_reader reader;
    struct effect record;
    effect_reader_create(&reader, records);
    while (effect_read(&reader, &record)) {
        uint16_t owner = router->shard->node->slot_owner[record.slot];
        for (uint32_t i = 0; i < transaction->loan_count; i++) {
            struct loan *loan = &transaction->loans[i];
            if (loan->owner == owner) {
                effects_append(is_events ? &loan->events : &loan->effects, record.db, record.slot,
                               record.argv, record.argc);
            }
        }
    }
    effect_reader_destroy(&reader);
}

void
transaction_distribute(struct router *router, struct transaction *transaction)
{
    if (transaction->effects.count > 0) {
        transaction->is_journaled = true;
        distribute(router, transaction, &transaction->effects, false);
        effects_clear(&transaction->effects);
    }
    if (transaction->events.count > 0) {
        distribute(router, transaction, &transaction->events, true);
        effects_clear(&transaction->events);
    }
}

void
transaction_begin(struct router *router, struct transaction *transaction, struct session *session)
{
    struct call *call = &transaction->call;
    void *shared = call->shared;
    reply_create(&transaction->reply, &transaction->output, transaction->request.protocol);
    transaction->reply.is_muted = transaction->item.is_muted;
    call_prepare(call, router->shard, &transaction->request, &transaction->reply, session);
    call->shared = shared;
    if (call->effects != NULL) {
        call->effects = &transaction->effects;
    }
    call->events = &transaction->events;
}

/** EXEC: has a key under WATCH been changed? Then nothing runs. */
static bool
is_watch_dirty(const struct transaction *transaction)
{
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        if (transaction->loans[i].is_dirty) {
            return true;
        }
    }
    return false;
}

static void
run_keys(struct router *router, struct transaction *transaction)
{
    struct multi *multi = transaction->request.multi;
    struct call *call = &transaction->call;
    transaction_begin(router, transaction, NULL);
    if (multi != NULL && is_watch_dirty(transaction)) {
        reply_null_array(&transaction->reply);
        for (uint32_t i = 0; i < transaction->loan_count; i++) {
            transaction->loans[i].is_unused = true;
        }
        multi_account(router->shard, &transaction->request, router->shard->last_ticks);
        return;
    }
    /* Keys that are lent to others, too, live by their owner's clock alone. */
    for (uint32_t i = 0; i < transaction->view_count; i++) {
        if ((transaction->views[i].flags & VIEW_EXCLUSIVE) != 0) {
            view_expire(call, &transaction->views[i]);
        }
    }
    if (multi != NULL) {
        uint64_t start_ticks = router->shard->last_ticks;
        reply_array(&transaction->reply, multi->count);
        multi_run(call, multi, 0, multi->count, transaction->declared, transaction->lane->session);
        multi_account(router->shard, &transaction->request, start_ticks);
    } else {
        call->views = transaction->declared;
        call->view_count = transaction->declared_count;
        call->flags |= transaction->may_block ? CALL_MAY_BLOCK : 0;
        if (transaction->is_growing) {
            call->grown = &transaction->grown;
            call->view_count -= transaction->grown.ready_count;
        }
        call_run(call);
        call_account(call);
        if (UNLIKELY((call->flags & CALL_TRACK) != 0)) {
            tracking_mark(call, false);
        }
    }
    /* The owners have yet to commit the views: what the handlers allocated stays until then. */
    transaction_distribute(router, transaction);
}

static void
run_prepare(struct router *router, struct transaction *transaction)
{
    struct call *call = &transaction->call;
    transaction_begin(router, transaction, transaction->lane->session);
    /* What a part changes it tells for itself. */
    call->effects = router->shard->journal;
    bool is_ready = transaction->request.command->prepare == NULL ||
                    transaction->request.command->prepare(call);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->is_unused = !is_ready;
        loan->part = &transaction->parts[i];
        loan->part->shared = call->shared;
    }
}

bool
loan_is_giver(const struct loan *loan)
{
    for (uint32_t i = 0; i < loan->view_count; i++) {
        if ((loan->views[i].flags & VIEW_TAKEN) != 0) {
            return true;
        }
    }
    return false;
}

static void
mail_returns(struct router *router, struct transaction *transaction, bool is_giver)
{
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        if (loan->is_giver == is_giver) {
            router_post(router, loan->owner, MAIL_RETURN, &loan->mail);
        }
    }
}

/** What WATCH and EXEC do to the watches at this very core is done at once: what comes behind them
 * in their lane may run here before the RETURN has arrived. */
static void
settle_watches_here(struct shard *shard, struct loan *loan)
{
    if (loan->is_watched) {
        watch_remove(shard, loan->session_id);
        loan->is_watched = false;
    }
    for (uint32_t i = 0; i < loan->view_count; i++) {
        struct view *view = &loan->views[i];
        if ((view->flags & VIEW_WATCH) != 0) {
            watch_add(shard, loan->session_id, view->db, view->key, view->hash);
            view->flags &= (uint16_t)~VIEW_WATCH;
        }
    }
}

/** Several owners journal what it has changed: each is told of all, so that a file that is torn
 * behind one part and before another is known to be. Owners whose keys were read only are among
 * them: what was read there must be in the files before what followed from it. */
static void
make_parts(struct router *router, struct transaction *transaction)
{
    /* A cut stands between two files of everybody's: nobody has a part. */
    if (!transaction->is_journaled || transaction->loan_count == 1 ||
        transaction->loans[0].is_cut) {
        return;
    }
    transaction->has_parts = true;
    /* Its own may be old: it may have waited for its keys for hours. */
    transaction->journal_ticket =
        atomic_fetch_add_explicit(&router->shard->node->ticket_next, 1, memory_order_relaxed);
    list_push_back(&router->journaled, &transaction->journaled_link);
    transaction->participants =
        heap_alloc(transaction->loan_count * sizeof(*transaction->participants));
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        transaction->participants[i] = loan->owner;
        loan->is_part = true;
        loan->is_kept = !router_fault_hit(router, ROUTER_FAULT_PARTS_FREE);
        loan->part_record = (struct journal_part){
            .ticket = transaction->journal_ticket,
            .participant_count = transaction->loan_count,
            .participants = transaction->participants,
        };
    }
}

/**
 * Mail the keys back. A value that moves leaves its old owner's books before its new owner has it,
 * who might free it at once: then the new owner's RETURN waits for the old one's DONE.
 */
void
transaction_return(struct router *router, struct transaction *transaction)
{
    make_parts(router, transaction);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        if (loan->owner == router->shard->index) {
            settle_watches_here(router->shard, loan);
        }
        loan->is_giver = loan_is_giver(loan);
        transaction->giver_count += loan->is_giver;
    }
    mail_returns(router, transaction, true);
    if (transaction->giver_count == 0 || transaction->giver_count == transaction->loan_count) {
        transaction->giver_count = 0;
        mail_returns(router, transaction, false);
        transaction->lane->transaction_count--;
    }
}

/** All keys are here: run the command, answer, mail the keys back. */
static void
transaction_execute(struct router *router, struct transaction *transaction)
{
    struct lane *lane = transaction->lane;
    ASSERT(lane->transaction_first == transaction);
    ASSERT(transaction->state == TRANSACTION_ASKING);
    transaction->state = TRANSACTION_RETURNING;
    lane->transaction_first = transaction->next;
    if (lane->transaction_first == NULL) {
        lane->transaction_last = NULL;
    }
    if (transaction->is_closed && transaction->request.multi != NULL) {
        program_start(router, transaction);
        return;
    }
    if (transaction->is_closed) {
        run_prepare(router, transaction);
    } else {
        run_keys(router, transaction);
        commandlog_settle(router->shard, commandlog_take(router->shard), lane->session);
        if (LIKELY(!transaction->is_journaled)) {
            lane_item_done(lane, &transaction->item);
        }
        if (UNLIKELY((transaction->call.flags & CALL_GROWS) != 0)) {
            transaction_grow(router, transaction);
        }
        if ((transaction->call.flags & CALL_BLOCKS) != 0) {
            block_begin(router, lane, &transaction->request, &transaction->call, transaction->loans,
                        transaction->loan_count, transaction->loans[0].ticket,
                        transaction->deadline_ms, (enum block_end)transaction->wanted_end);
        }
        if (transaction->is_barrier) {
            transaction->is_barrier = false;
            lane->barrier_count--;
        }
    }
    transaction_return(router, transaction);
}

static void
lane_execute_ready(struct router *router, struct lane *lane)
{
    bool has_executed = false;
    while (lane->transaction_first != NULL &&
           lane->transaction_first->granted_count == lane->transaction_first->loan_count) {
        transaction_execute(router, lane->transaction_first);
        has_executed = true;
    }
    if (has_executed) {
        lane_emit(lane);
    }
}

void
transaction_granted(struct router *router, struct loan *loan)
{
    struct transaction *transaction = loan->transaction;
    ASSERT(!loan->is_granted);
    ASSERT(transaction->state == TRANSACTION_ASKING);
    loan->is_granted = true;
    transaction->granted_count++;
    lane_execute_ready(router, transaction->lane);
}

void
transaction_wounded(struct router *router, struct mail *mail)
{
    struct loan *loan = loan_of_wound(mail);
    struct transaction *transaction = loan->transaction;
    bool is_given_back = transaction->state == TRANSACTION_ASKING && loan->is_granted;
    uint16_t owner = mail->from;
    /* The wound's node goes first: the owner may want to wound again as soon as it has the keys. */
    router_post(router, owner, MAIL_WOUND_HOME, mail);
    if (is_given_back) {
        loan->is_granted = false;
        transaction->granted_count--;
        router_post(router, owner, MAIL_GIVE_BACK, &loan->mail);
    }
}

/* ---- the end ---- */

/** Closed shards: all parts have run, the reply can be made. */
static void
finish_closed(struct router *router, struct transaction *transaction)
{
    struct lane *lane = transaction->lane;
    struct call *call = &transaction->call;
    if (!transaction->loans[0].is_unused) {
        call->parts = transaction->parts;
        call->part_count = transaction->loan_count;
        call->session = lane->session;
        call_run(call);
        parts_account(call);
    }
    if (LIKELY(!call->command->is_internal)) {
        call_account(call);
    }
    call_release(call);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        part_destroy(&transaction->parts[i]);
    }
    lane_item_done(lane, &transaction->item);
    lane->barrier_count--;
    lane_emit(lane);
}

uint64_t
transaction_oldest_ticket(const struct router *router)
{
    const struct list_node *first = list_first(&router->journaled);
    if (first == NULL) {
        return atomic_load_explicit(&router->shard->node->ticket_next, memory_order_relaxed);
    }
    return container_of(first, const struct transaction, journaled_link)->journal_ticket;
}

/** All owners have their parts in their files: they may free their keys, and come home again. */
static void
parts_release(struct router *router, struct transaction *transaction)
{
    transaction->has_parts = false;
    list_remove(&transaction->journaled_link);
    transaction->home_count = 0;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        router_post(router, transaction->loans[i].owner, MAIL_RELEASE, &transaction->loans[i].mail);
    }
}

/** What it changed is safe. The last thing to do but for what is closed. */
static void
transaction_safe(struct transaction *transaction)
{
    transaction->is_journaled = false;
    lane_item_done(transaction->lane, &transaction->item);
}

void
transaction_done(struct router *router, struct loan *loan)
{
    struct transaction *transaction = loan->transaction;
    transaction->home_count++;
    if (transaction->giver_count > 0 && --transaction->giver_count == 0) {
        mail_returns(router, transaction, false);
        transaction->lane->transaction_count--;
        /* May end the lane; the transaction waits for the mail. */
        lane_emit(transaction->lane);
    }
    if (transaction->home_count < transaction->loan_count) {
        return;
    }
    if (UNLIKELY(transaction->is_journaled)) {
        struct lane *lane = transaction->lane;
        if (transaction->has_parts) {
            parts_release(router, transaction);
            transaction_safe(transaction);
            lane_emit(lane);
            return; /* they come home once more */
        }
        transaction_safe(transaction);
        /* Its end is here: lane_emit() must not find it. */
        transaction->home_count--;
        lane_emit(lane);
        transaction->home_count++;
    }
    router->pending_count--;
    router->transaction_count--;
    if (transaction->is_closed && transaction->program == NULL) {
        /* May end in transaction_retire(), which must not find it complete before its time. */
        transaction->home_count--;
        finish_closed(router, transaction);
        transaction->home_count++;
    } else {
        call_release(&transaction->call);
    }
    transaction_end(transaction);
}
