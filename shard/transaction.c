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
#include "shard/execute.h"
#include "shard/router_internal.h"
#include "shard/value/raw.h"
#include "shard/view_set.h"

#include <stdatomic.h>

enum transaction_state {
    TRANSACTION_ASKING,
    TRANSACTION_RETURNING, /* executed, or (closed shards) the parts run */
};

struct transaction {
    struct lane_item item;
    struct lane *lane;
    struct transaction *next; /* of its lane, by ticket */
    struct output output;     /* the reply */
    enum transaction_state state;
    uint32_t loan_count;
    uint32_t granted_count;
    uint32_t home_count;
    uint32_t giver_count; /* RETURNs that have to be home before the others are mailed */
    bool is_closed;       /* closes all shards instead of taking keys */
    bool is_retired;      /* its reply has been taken */
    uint32_t view_count;
    uint32_t declared_count;
    struct request request;
    struct arguments arguments;
    struct reply reply;
    struct call call;
    struct effects effects;
    struct view *views;     /* [view_count], by owner */
    struct view **declared; /* [declared_count] */
    struct part *parts;     /* closed: [loan_count] */
    struct loan loans[];
};

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
    }
    effects_destroy(&transaction->effects);
    arguments_release(&transaction->arguments);
    output_destroy(&transaction->output);
    heap_free(transaction->arguments.argv);
    heap_free(transaction->views);
    heap_free(transaction->declared);
    heap_free(transaction->parts);
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
    transaction->loan_count = loan_count;
    transaction->request = *request;
    struct slice *storage = heap_alloc(request->argc * sizeof(*storage));
    arguments_keep(&transaction->arguments, request, buffer, storage);
    transaction->request.argv = storage;
    output_create(&transaction->output);
    effects_create(&transaction->effects);
    transaction->item = (struct lane_item){.source = &transaction->output,
                                           .reply_size = LANE_REPLY_ALL,
                                           .is_muted = (request->flags & REQUEST_MUTED) != 0,
                                           .retire = transaction_retire};
    for (uint32_t i = 0; i < loan_count; i++) {
        effects_create(&transaction->loans[i].effects);
    }
    return transaction;
}

/** Draw the ticket, take the place in the lane, ask all owners. */
static void
transaction_launch(struct router *router, struct transaction *transaction)
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
    router->shard->counters.loan_count++;
    uint64_t ticket =
        atomic_fetch_add_explicit(&router->shard->node->ticket_next, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->ticket = ticket;
        loan->transaction = transaction;
        router_post(router, loan->owner, MAIL_LOCK, &loan->mail);
    }
}

/** Lay the set's views out by owner, and cut the array into loans. Returns the number of owners. */
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

static void
lay_out_views(struct transaction *transaction, const struct view_set *set, const uint16_t *owners,
              uint16_t no_touch)
{
    uint32_t *moved = heap_alloc(set->count * sizeof(*moved));
    uint32_t next = 0;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->owner = owners[i]; // NOLINT: filled by owners_of(), whose count loan_count is
        loan->views = &transaction->views[next];
        bool is_exclusive = false;
        for (uint32_t j = 0; j < set->count; j++) {
            if (set->views[j].owner == owners[i]) {
                moved[j] = next;
                transaction->views[next] = set->views[j];
                transaction->views[next].flags |= no_touch;
                is_exclusive |= (set->views[j].flags & VIEW_EXCLUSIVE) != 0;
                next++;
            }
        }
        loan->view_count = (uint32_t)(&transaction->views[next] - loan->views);
        loan->shard_mode = is_exclusive ? LOCK_INTENT_EXCLUSIVE : LOCK_INTENT_SHARED;
    }
    for (uint32_t i = 0; i < set->declared_count; i++) {
        transaction->declared[i] = &transaction->views[moved[set->declared[i]]];
    }
    heap_free(moved);
}

void
transaction_start_keys(struct router *router, struct lane *lane, const struct request *request,
                       struct view_set *set, struct ring_buffer *buffer)
{
    uint16_t owners[SHARD_COUNT_MAX];
    uint32_t owner_count = owners_of(set, owners);
    struct transaction *transaction = transaction_new(lane, request, buffer, owner_count);
    transaction->view_count = set->count;
    transaction->declared_count = set->declared_count;
    transaction->views = heap_alloc(set->count * sizeof(*transaction->views));
    transaction->declared = heap_alloc(set->declared_count * sizeof(struct view *));
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
    lay_out_views(transaction, set, owners,
                  view_flags(request->command->flags, is_no_touch) & VIEW_NO_TOUCH);
    transaction_launch(router, transaction);
}

void
transaction_start_closed(struct router *router, struct lane *lane, const struct request *request,
                         struct ring_buffer *buffer, void *shared)
{
    uint32_t shard_count = router->shard->node->shard_count;
    struct transaction *transaction = transaction_new(lane, request, buffer, shard_count);
    transaction->is_closed = true;
    transaction->parts = heap_alloc(shard_count * sizeof(struct part));
    transaction->call.shared = shared;
    for (uint32_t i = 0; i < shard_count; i++) {
        transaction->loans[i].owner = (uint16_t)i;
        transaction->loans[i].shard_mode = LOCK_EXCLUSIVE;
        part_create(&transaction->parts[i], router, &transaction->request, lane, shared);
    }
    lane->barrier_count++;
    transaction_launch(router, transaction);
}

/* ---- execution ---- */

static void
distribute_effects(struct router *router, struct transaction *transaction)
{
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &transaction->effects);
    while (effect_read(&reader, &effect)) {
        uint16_t owner = router->shard->node->slot_owner[effect.slot];
        for (uint32_t i = 0; i < transaction->loan_count; i++) {
            if (transaction->loans[i].owner == owner) {
                effects_append(&transaction->loans[i].effects, effect.db, effect.slot, effect.argv,
                               effect.argc);
            }
        }
    }
    effect_reader_destroy(&reader);
}

static void
run_keys(struct router *router, struct transaction *transaction)
{
    struct shard *shard = router->shard;
    struct call *call = &transaction->call;
    reply_create(&transaction->reply, &transaction->output, transaction->request.protocol);
    transaction->reply.is_muted = transaction->item.is_muted;
    call_prepare(call, shard, &transaction->request, &transaction->reply, NULL);
    call->views = transaction->declared;
    call->view_count = transaction->declared_count;
    if (call->effects != NULL) {
        call->effects = &transaction->effects;
    }
    /* Keys that are lent to others, too, live by their owner's clock alone. */
    for (uint32_t i = 0; i < transaction->view_count; i++) {
        if ((transaction->views[i].flags & VIEW_EXCLUSIVE) != 0) {
            view_expire(call, &transaction->views[i]);
        }
    }
    call_run(call);
    if (transaction->effects.count > 0) {
        distribute_effects(router, transaction);
    }
    /* The owners have yet to commit the views: what the handler allocated stays until then. */
    call_account(call);
}

static void
run_prepare(struct router *router, struct transaction *transaction)
{
    struct call *call = &transaction->call;
    void *shared = call->shared;
    reply_create(&transaction->reply, &transaction->output, transaction->request.protocol);
    transaction->reply.is_muted = transaction->item.is_muted;
    call_prepare(call, router->shard, &transaction->request, &transaction->reply,
                 transaction->lane->session);
    call->shared = shared;
    bool is_ready = transaction->request.command->prepare == NULL ||
                    transaction->request.command->prepare(call);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->is_unused = !is_ready;
        loan->part = &transaction->parts[i];
        loan->part->shared = call->shared;
    }
}

/** Does a value of this loan's go to another view as it is? */
static bool
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

/**
 * Mail the keys back. A value that moves leaves its old owner's books before its new owner has it,
 * who might free it at once: then the new owner's RETURN waits for the old one's DONE.
 */
static void
transaction_return(struct router *router, struct transaction *transaction)
{
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
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
    if (transaction->is_closed) {
        run_prepare(router, transaction);
    } else {
        run_keys(router, transaction);
        lane_item_done(lane, &transaction->item);
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
    }
    call_finish(call);
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        part_destroy(&transaction->parts[i]);
    }
    lane_item_done(lane, &transaction->item);
    lane->barrier_count--;
    lane_emit(lane);
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
    router->pending_count--;
    if (transaction->is_closed) {
        /* May end in transaction_retire(), which must not find it complete before its time. */
        transaction->home_count--;
        finish_closed(router, transaction);
        transaction->home_count++;
    } else {
        call_release(&transaction->call);
    }
    transaction_end(transaction);
}
