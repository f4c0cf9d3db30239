/*
 * lender.c: the owner's side of loans.
 *
 *     LOCK ─▶ queue by ticket ─▶ all free: open the views, GRANT ─▶ ... ─▶ RETURN: commit, leave,
 * DONE ▲                                  │ └── GIVE_BACK ◀── WOUND ◀──────────┘ an older one waits
 * for what this one holds
 *
 * A hold is this shard's record of one loan. It owns the node of the WOUND, so it outlives the loan
 * until that node is home.
 */
#include "core/heap.h"
#include "shard/block.h"
#include "shard/change.h"
#include "shard/notify.h"
#include "shard/router_internal.h"
#include "shard/tracking.h"
#include "shard/watch.h"

struct hold {
    struct lock_request request;
    struct mail wound;
    struct loan *loan;   /* the coordinator's, readable while its mail is here or lent to it */
    uint64_t grant_mark; /* what stays behind the grant waits for it; see router_answer() */
    uint16_t coordinator;
    bool is_granted;   /* the grant has been answered: what comes now is behind it */
    bool is_wound_out; /* the wound's node is under way */
    bool is_over;      /* returned; only waits for the wound's node */
};

struct loan *
loan_of_wound(struct mail *mail)
{
    return container_of(mail, struct hold, wound)->loan;
}

static void
hold_delete(struct hold *hold)
{
    lock_request_destroy(&hold->request);
    heap_free(hold);
}

static void
hold_grant(struct router *router, struct hold *hold)
{
    struct shard *shard = router->shard;
    struct loan *loan = hold->loan;
    for (uint32_t i = 0; i < loan->view_count; i++) {
        const struct view *view = &loan->views[i];
        if (!view_is_channel(view)) {
            keyspace_prefetch_bucket(&shard->keyspace, view->db, view->slot, view->hash);
        }
    }
    uint64_t outer = durable_begin(&shard->durable);
    for (uint32_t i = 0; i < loan->view_count; i++) {
        struct view *view = &loan->views[i];
        view_open(shard, view);
        if (view->entry != NULL) {
            entry_lent_set(view->entry, true);
        }
    }
    uint64_t mark = durable_end(&shard->durable, outer);
    loan->now_ms = shard->now_ms;
    /* Behind the opening, which may have found a watched key whose time is over. */
    if (!router_fault_hit(router, ROUTER_FAULT_EARLY_WATCH)) {
        loan->is_dirty = loan->is_watched && watch_is_dirty(shard, loan->session_id);
    }
    hold->grant_mark = router_answer(router, mark, hold->coordinator, MAIL_GRANT, &loan->mail);
    hold->is_granted = true;
    if (UNLIKELY(hold->is_wound_out)) {
        router_answer(router, hold->grant_mark, hold->coordinator, MAIL_WOUND, &hold->wound);
    }
}

/** Entries of exclusive views are nobody else's: they are home before the commit moves them. */
static void
mark_exclusive_home(struct loan *loan)
{
    for (uint32_t i = 0; i < loan->view_count; i++) {
        struct view *view = &loan->views[i];
        if (view->entry != NULL && (view->flags & VIEW_EXCLUSIVE) != 0) {
            entry_lent_set(view->entry, false);
        }
    }
}

/** Those of shared views are home when nobody else has borrowed them. Before the loan leaves the
 * queues, since whoever holds the keys next finds them free. */
static void
mark_shared_home(struct shard *shard, struct loan *loan)
{
    loan->hold->request.is_held = false;
    for (uint32_t i = 0; i < loan->view_count; i++) {
        struct view *view = &loan->views[i];
        if ((view->flags & VIEW_EXCLUSIVE) != 0 ||
            lock_key_is_lent(shard->locks, view->db, view->key, view->hash)) {
            continue;
        }
        /* A key whose time was over found nothing, but the entry may still be there: others had it,
         * and were home before this one. */
        struct entry *entry = view->entry;
        if (entry == NULL) {
            entry = keyspace_find(&shard->keyspace, view->db, view->slot, view->key, view->hash);
        }
        if (entry != NULL) {
            entry_lent_set(entry, false);
        }
    }
    loan->hold->request.is_held = true;
}

static void
hold_wound(void *context, struct lock_request *younger)
{
    struct router *router = context;
    struct hold *hold = container_of(younger, struct hold, request);
    ASSERT(!hold->is_wound_out);
    hold->is_wound_out = true;
    router->shard->counters.wound_count++;
    /* The grant may still wait for the disk, or for its turn: the wound has to come behind it. */
    if (LIKELY(hold->is_granted)) {
        router_answer(router, hold->grant_mark, hold->coordinator, MAIL_WOUND, &hold->wound);
    }
}

void
lender_wound(struct router *router, struct lock_request *request)
{
    lock_request_wound(router->shard->locks, request, hold_wound, router);
}

void
lender_lock(struct router *router, struct loan *loan)
{
    struct shard *shard = router->shard;
    struct hold *hold = heap_alloc(sizeof(*hold));
    hold->loan = loan;
    hold->coordinator = loan->mail.from;
    hold->is_granted = false;
    hold->is_wound_out = false;
    hold->is_over = false;
    loan->hold = hold;
    lock_request_create(&hold->request, loan->ticket, (enum lock_mode)loan->shard_mode,
                        loan->view_count);
    hold->request.is_borrower = true;
    hold->request.kind = LOCK_KIND_LOAN;
    lock_request_enter(shard->locks, &hold->request);
    for (uint32_t i = 0; i < loan->view_count; i++) {
        const struct view *view = &loan->views[i];
        lock_request_add_key(shard->locks, &hold->request, view->db, view->key, view->hash,
                             (view->flags & VIEW_EXCLUSIVE) != 0);
    }
    if (router_fault_hit(router, ROUTER_FAULT_EARLY_WATCH)) {
        loan->is_dirty = loan->is_watched && watch_is_dirty(shard, loan->session_id);
    }
    if (UNLIKELY(loan->offer != NULL)) {
        block_offer_taken(router, loan->offer);
        loan->offer = NULL;
        lender_serve(router);
        return;
    }
    if (lock_request_try(shard->locks, &hold->request)) {
        hold_grant(router, hold);
        return;
    }
    lender_wound(router, &hold->request);
}

void
lender_take_back(struct router *router, struct loan *loan)
{
    struct hold *hold = loan->hold;
    mark_exclusive_home(loan);
    mark_shared_home(router->shard, loan);
    hold->is_granted = false;
    lock_request_yield(router->shard->locks, &hold->request, &router->ready);
    lender_serve(router);
}

/** Carry what the coordinator's handlers made of the keys into the keyspace. */
static void
loan_commit(struct shard *shard, struct loan *loan)
{
    shard->actor_id = loan->session_id;
    shard->actor_core = loan->mail.from;
    for (uint32_t i = 0; i < loan->view_count; i++) {
        view_commit(shard, &loan->views[i]);
    }
    if (shard->journal != NULL && loan->effects.count > 0) {
        effects_splice(shard->journal, &loan->effects);
    }
    if (UNLIKELY(loan->events.count > 0)) {
        notify_publish(shard, &loan->events);
    }
}

void
lender_step(struct router *router, struct loan *loan)
{
    struct shard *shard = router->shard;
    int64_t now_ms = shard->now_ms;
    shard->now_ms = loan->now_ms;
    uint64_t outer = durable_begin(&shard->durable);
    /* The steps of an EXEC are one group, closed when the loan is returned. */
    journal_keep_open(shard, true);
    switch ((enum loan_step)loan->step) {
    case LOAN_OPEN:
        for (uint32_t i = 0; i < loan->view_count; i++) {
            view_open(shard, &loan->views[i]);
        }
        break;
    case LOAN_COMMIT:
        loan_commit(shard, loan);
        if (UNLIKELY((shard->interest & INTEREST_READY) != 0)) {
            block_serve_ready(shard);
        }
        loan->view_count = 0;
        break;
    case LOAN_PART:
        part_run(router, loan->part);
        loan->part = NULL;
        break;
    }
    shard->now_ms = now_ms;
    loan->is_changing = journal_is_open(shard);
    /* What was found is told when it is where `appendfsync` wants it. */
    uint64_t mark = durable_end(&shard->durable, outer);
    router_answer(router, mark, loan->hold->coordinator, MAIL_STEP_HOME, &loan->mail);
}

/** What was changed here is one group, or this owner's part of the transaction. */
static void
loan_journal(struct shard *shard, struct loan *loan)
{
    journal_keep_open(shard, false);
    if (shard->journal != NULL && UNLIKELY(loan->is_cut)) {
        journal_close(shard);
        journal_cut(shard, loan->barrier);
        return;
    }
    if (shard->journal != NULL && loan->is_part) {
        journal_close_group(shard, &loan->part_record);
    } else {
        journal_close(shard);
    }
}

/** The keys are free: those who wait for them are served. `loan` may be gone: the coordinator has
 * been told. */
static void
hold_serve(struct router *router, struct hold *hold)
{
    if (hold->is_wound_out) {
        hold->is_over = true;
    } else {
        hold_delete(hold);
    }
    gather_release(router);
    lender_serve(router);
}

/** Out of the queues. */
static void
loan_unlock(struct router *router, struct loan *loan)
{
    mark_shared_home(router->shard, loan);
    lock_request_leave(router->shard->locks, &loan->hold->request, &router->ready);
}

/** The end of one that nobody else has a part of. `mark`: when DONE may leave. */
static void
loan_leave(struct router *router, struct loan *loan, uint64_t mark)
{
    struct hold *hold = loan->hold;
    loan_unlock(router, loan);
    bool is_late = loan->block_part != NULL && router_fault_hit(router, ROUTER_FAULT_LATE_WAIT);
    /* The coordinator's from here on: it may free the loan at any moment. */
    router_answer(router, mark, hold->coordinator, MAIL_DONE, &loan->mail);
    hold_serve(router, hold);
    if (is_late) {
        block_register_loan(router->shard, loan);
    }
}

/** DONE says that this owner has its part in its file; MAIL_RELEASE that all have. */
static void
loan_leave_part(struct router *router, struct loan *loan, uint64_t mark)
{
    struct hold *hold = loan->hold;
    bool is_kept = loan->is_kept;
    if (!is_kept) {
        loan_unlock(router, loan);
    }
    router_answer(router, mark, hold->coordinator, MAIL_DONE, &loan->mail);
    if (!is_kept) {
        hold_serve(router, hold);
    }
}

/** ROUTER_FAULT_LATE_TRACKING: the commit registers no reads. Returns of which views. */
static uint64_t
reads_forget(struct router *router, struct loan *loan)
{
    uint64_t views = 0;
    if (router_fault_hit(router, ROUTER_FAULT_LATE_TRACKING)) {
        for (uint32_t i = 0; i < MIN(loan->view_count, UINT32_C(64)); i++) {
            views |= (uint64_t)((loan->views[i].flags & VIEW_TRACK) != 0) << i;
            loan->views[i].flags &= (uint16_t)~VIEW_TRACK;
        }
    }
    return views;
}

/** ... but this does, too late. */
static void
reads_register(struct shard *shard, const struct loan *loan, uint16_t coordinator, uint64_t views)
{
    for (uint32_t i = 0; i < 64 && views >> i != 0; i++) {
        if ((views >> i & 1) != 0) {
            shard->actor_id = loan->session_id;
            shard->actor_core = coordinator;
            tracking_read(shard, &loan->views[i]);
        }
    }
}

void
lender_return(struct router *router, struct loan *loan)
{
    struct shard *shard = router->shard;
    uint16_t coordinator = loan->hold->coordinator;
    uint64_t late_reads = reads_forget(router, loan);
    uint64_t outer = durable_begin(&shard->durable);
    mark_exclusive_home(loan);
    if (loan->is_watched) {
        watch_remove(shard, loan->session_id);
    }
    if (!loan->is_unused) {
        uint32_t hidden = router_fault_hit(router, ROUTER_FAULT_NO_WATCH_MARKS)
                              ? shard->interest & INTEREST_WATCH
                              : 0;
        shard->interest &= ~hidden;
        loan_commit(shard, loan);
        shard->interest |= hidden;
        if (loan->part != NULL) {
            part_run(router, loan->part);
        }
    }
    loan_journal(shard, loan);
    if (!loan->is_unused) {
        if (loan->block_part != NULL && !router_fault_hit(router, ROUTER_FAULT_LATE_WAIT)) {
            block_register_loan(shard, loan);
        }
    }
    /* Also what an EXEC's steps have made ready while the shard was closed. */
    if (UNLIKELY((shard->interest & INTEREST_READY) != 0) &&
        !router_fault_hit(router, ROUTER_FAULT_NO_WAKE)) {
        block_serve_ready(shard); /* they queue behind this loan, ahead of younger ones */
    }
    uint64_t mark = durable_end(&shard->durable, outer);
    if (loan->is_part) {
        loan_leave_part(router, loan, mark);
    } else {
        loan_leave(router, loan, mark);
        reads_register(shard, loan, coordinator, late_reads);
    }
}

void
lender_release(struct router *router, struct loan *loan)
{
    struct hold *hold = loan->is_kept ? loan->hold : NULL;
    uint16_t coordinator = loan->mail.from;
    if (hold != NULL) {
        loan_unlock(router, loan);
    }
    /* Nothing waits for this but the loan's memory. */
    router_post(router, coordinator, MAIL_DONE, &loan->mail);
    if (hold != NULL) {
        hold_serve(router, hold);
    }
}

void
lender_wound_home(struct router *router, struct mail *mail)
{
    (void)router;
    struct hold *hold = container_of(mail, struct hold, wound);
    ASSERT(hold->is_wound_out);
    hold->is_wound_out = false;
    if (hold->is_over) {
        hold_delete(hold);
    }
}

void
lender_serve(struct router *router)
{
    if (LIKELY(list_is_empty(&router->ready)) || router->is_serving) {
        return;
    }
    /* Serving may end other waits; those come to the end of the same list. */
    router->is_serving = true;
    struct list_node *node;
    while ((node = list_pop_front(&router->ready)) != NULL) {
        struct lock_request *request = container_of(node, struct lock_request, ready_link);
        switch ((enum lock_kind)request->kind) {
        case LOCK_KIND_SINGLE:
            batch_serve(router, request);
            break;
        case LOCK_KIND_LOAN:
            hold_grant(router, container_of(request, struct hold, request));
            break;
        case LOCK_KIND_BLOCKER:
            block_serve_locked(router, request);
            break;
        }
    }
    router->is_serving = false;
}
