/*
 * transaction_closed.c: an EXEC with commands that concern all shards (FLUSHALL, KEYS, CONFIG SET
 * ...). All shards are closed under one exclusive loan; then its commands run in steps, each of
 * them a round of mail to the shards that it concerns:
 *
 *     SET a 1, GET b   open a and b  ─▶  run both here  ─▶  commit
 *     FLUSHALL         a part on each shard  ─▶  merge the parts here
 *     SET a 2          open a  ─▶  run it here  ─▶  commit
 *
 * Nobody else sees anything between the steps. It is slow, and rare.
 */
#include "core/heap.h"
#include "shard/execute.h"
#include "shard/execute_multi.h"
#include "shard/multi.h"
#include "shard/transaction_internal.h"

enum program_state {
    PROGRAM_OPENING,
    PROGRAM_COMMITTING_GIVERS,
    PROGRAM_COMMITTING,
    PROGRAM_PARTS,
};

struct transaction_program {
    enum program_state state;
    uint32_t position; /* the next command */
    uint32_t end;      /* of the commands that the step runs */
    uint32_t waiting_count;
    uint32_t part_count;
    uint64_t start_ticks;
    int64_t now_ms; /* the clock stands still from the first command to the last */
    bool is_over;
    bool has_barrier;       /* a flush or a swap is among its commands */
    struct effects barrier; /* then: all that it has changed, in order */
    struct request request; /* the command of a step of parts */
};

static void program_next(struct router *router, struct transaction *transaction);

void
program_delete(struct transaction *transaction)
{
    if (transaction->program != NULL) {
        effects_destroy(&transaction->program->barrier);
    }
    heap_free(transaction->program);
}

/** Does the command change what all shards have at once (FLUSHALL, FLUSHDB, SWAPDB)? */
static bool
is_barrier(const struct command *command)
{
    return command->scope == SCOPE_CLOSED && (command->flags & CMD_WRITE) != 0;
}

/** With a flush among them, effects are told in one place, as they were made. */
static void
keep_effects(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    if (program->has_barrier && router->shard->journal != NULL) {
        effects_splice(&program->barrier, &transaction->effects);
        effects_clear(&transaction->effects);
        transaction->is_journaled |= program->barrier.count > 0;
    }
}

static void
keep_barrier(struct router *router, struct transaction *transaction, const struct multi_item *item)
{
    if (router->shard->journal == NULL) {
        return;
    }
    /* The options of a flush do not matter to whoever carries it out again. */
    uint32_t argc = item->argc == 2 ? 1 : item->argc;
    effects_append(&transaction->program->barrier, item->db, 0, item->argv, argc);
    transaction->is_journaled = true;
}

static bool
is_whole(const struct command *command)
{
    return command->scope == SCOPE_ALL || command->scope == SCOPE_CLOSED ||
           command->scope == SCOPE_WALK;
}

/** Ask the loan's owner for a step; transaction_step_home() follows. */
static void
ask(struct router *router, struct transaction *transaction, struct loan *loan, enum loan_step step)
{
    loan->step = (uint8_t)step;
    loan->now_ms = transaction->program->now_ms;
    transaction->program->waiting_count++;
    router_post(router, loan->owner, MAIL_STEP, &loan->mail);
}

/** All is done, or nothing runs: open the shards, answer. */
static void
program_end(struct router *router, struct transaction *transaction)
{
    struct lane *lane = transaction->lane;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        transaction->loans[i].is_unused = true;
        transaction->loans[i].view_count = 0;
    }
    multi_account(router->shard, &transaction->request, transaction->program->start_ticks);
    if (transaction->program->barrier.count > 0) {
        for (uint32_t i = 0; i < transaction->loan_count; i++) {
            transaction->loans[i].is_cut = true;
            transaction->loans[i].barrier = i == 0 ? &transaction->program->barrier : NULL;
        }
    }
    if (!transaction->is_journaled) {
        lane_item_done(lane, &transaction->item);
    }
    lane->barrier_count--;
    transaction_return(router, transaction);
    transaction->program->is_over = true;
}

/* ---- commands with keys, or with none ---- */

static void
drop_views(struct transaction *transaction)
{
    heap_free(transaction->views);
    heap_free(transaction->declared);
    transaction->views = NULL;
    transaction->declared = NULL;
    call_release(&transaction->call);
}

static void
commit(struct router *router, struct transaction *transaction, bool is_giver)
{
    struct transaction_program *program = transaction->program;
    program->state = is_giver ? PROGRAM_COMMITTING_GIVERS : PROGRAM_COMMITTING;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        if (loan->view_count > 0 && loan->is_giver == is_giver) {
            ask(router, transaction, loan, LOAN_COMMIT);
        }
    }
}

/** Does this queued command turn out to need more keys while it runs? It is a step of its own then,
 * as often as it asks for more: nobody changes anything meanwhile. */
static bool
is_growing(const struct multi_item *item)
{
    return item->command->grows != NULL && item->command->grows(item->argv, item->argc);
}

/** The step's command has run, or has asked for more keys and is to run again. */
static void
grown_step_end(struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    struct call *call = &transaction->call;
    call->grown = NULL;
    if ((call->flags & CALL_GROWS) != 0) {
        call->flags &= (uint16_t)~CALL_GROWS;
        program->end = program->position;
        return;
    }
    grown_keys_destroy(&transaction->grown);
}

static void
run_opened(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    bool grows = is_growing(&transaction->request.multi->items[program->position]);
    transaction->call.grown = grows ? &transaction->grown : NULL;
    multi_run(&transaction->call, transaction->request.multi, program->position, program->end,
              transaction->declared, transaction->lane->session);
    keep_effects(router, transaction);
    transaction_distribute(router, transaction);
    if (grows) {
        grown_step_end(transaction);
    }
    program->position = program->end;
    bool has_givers = false;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        struct loan *loan = &transaction->loans[i];
        loan->is_giver = loan_is_giver(loan);
        has_givers |= loan->is_giver;
    }
    /* A value that moves leaves its old owner's books first. */
    commit(router, transaction, has_givers);
}

/** The keys of a command that grows, those included that it has asked for. */
static bool
grown_step_views(struct router *router, struct transaction *transaction, struct view_set *set)
{
    struct transaction_program *program = transaction->program;
    struct multi_item *item = &transaction->request.multi->items[program->position];
    const struct grown_keys *grown = &transaction->grown;
    struct request request = transaction->request;
    program->end = program->position + 1;
    request.multi = NULL;
    request.command = item->command;
    request.argv = item->argv;
    request.argc = item->argc;
    request.db = item->db;
    bool has_keys = view_set_create_grown(set, router->shard, &request, grown->names, grown->count);
    item->declared_index = 0;
    item->declared_count = has_keys ? set->declared_count - grown->count : 0;
    return has_keys;
}

/** The keys of the commands up to the next one that is a step of its own. */
static bool
step_views(struct router *router, struct transaction *transaction, struct view_set *set)
{
    struct transaction_program *program = transaction->program;
    struct multi *multi = transaction->request.multi;
    program->end = program->position;
    while (program->end < multi->count && !is_whole(multi->items[program->end].command) &&
           !is_growing(&multi->items[program->end])) {
        program->end++;
    }
    return view_set_create_multi(set, router->shard, multi, program->position, program->end);
}

/** Commands up to the next one over all shards. False: they had no keys and have run. */
static bool
open_keys(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    struct multi *multi = transaction->request.multi;
    struct view_set set;
    bool grows = is_growing(&multi->items[program->position]);
    bool has_keys =
        grows ? grown_step_views(router, transaction, &set) : step_views(router, transaction, &set);
    if (has_keys) {
        transaction_lay_out(transaction, &set, 0);
        if (grows) {
            transaction->grown.ready_count = transaction->grown.count;
            transaction->grown.views =
                transaction->declared + (set.declared_count - transaction->grown.count);
        }
        program->state = PROGRAM_OPENING;
        for (uint32_t i = 0; i < transaction->loan_count; i++) {
            if (transaction->loans[i].view_count > 0) {
                ask(router, transaction, &transaction->loans[i], LOAN_OPEN);
            }
        }
    } else {
        multi_run(&transaction->call, multi, program->position, program->end, NULL,
                  transaction->lane->session);
        call_release(&transaction->call);
        program->position = program->end;
    }
    view_set_destroy(&set);
    return has_keys;
}

/* ---- commands over all shards ---- */

/** False: its check has answered already. */
static bool
start_parts(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    const struct multi_item *item = &transaction->request.multi->items[program->position];
    struct lane *lane = transaction->lane;
    struct call *call = &transaction->call;
    program->request = transaction->request;
    program->request.command = item->command;
    program->request.argv = item->argv;
    program->request.argc = item->argc;
    program->request.db = item->db;
    program->request.protocol = transaction->reply.protocol;
    transaction->reply.is_error = false;
    transaction->reply.start_size = transaction->output.byte_count;
    struct effects *effects = call->effects;
    struct effects *events = call->events;
    call_prepare(call, router->shard, &program->request, &transaction->reply, lane->session);
    call->effects = effects;
    call->events = events;
    call->large_raw = NULL;
    call->flags |= CALL_IN_MULTI;
    if ((item->command->check != NULL && !item->command->check(call)) ||
        (item->command->prepare != NULL && !item->command->prepare(call))) {
        call_finish(call);
        program->position++;
        return false;
    }
    program->part_count = item->command->scope == SCOPE_WALK ? 1 : transaction->loan_count;
    program->state = PROGRAM_PARTS;
    transaction->parts = heap_alloc(program->part_count * sizeof(struct part));
    for (uint32_t i = 0; i < program->part_count; i++) {
        part_create(&transaction->parts[i], router, &program->request, lane, call->shared);
        transaction->parts[i].is_in_multi = true;
    }
    if (is_barrier(item->command)) {
        keep_barrier(router, transaction, item);
    }
    for (uint32_t i = 0; i < program->part_count; i++) {
        uint32_t at = item->command->scope == SCOPE_WALK ? router->shard->index : i;
        transaction->loans[at].part = &transaction->parts[i];
        ask(router, transaction, &transaction->loans[at], LOAN_PART);
    }
    return true;
}

static void
merge_parts(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    struct part *parts = transaction->parts;
    struct call *call = &transaction->call;
    if (call->command->scope == SCOPE_WALK && parts[0].next_shard >= 0) {
        struct loan *loan = &transaction->loans[parts[0].next_shard];
        loan->part = &parts[0];
        ask(router, transaction, loan, LOAN_PART);
        return;
    }
    call->parts = parts;
    call->part_count = program->part_count;
    call_run(call);
    parts_account(call);
    call_finish(call);
    for (uint32_t i = 0; i < program->part_count; i++) {
        part_destroy(&parts[i]);
    }
    heap_free(parts);
    transaction->parts = NULL;
    call->parts = NULL;
    call->part_count = 0;
    call->shared = NULL;
    program->position++;
    program_next(router, transaction);
}

/* ---- from step to step ---- */

static void
program_next(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    const struct multi *multi = transaction->request.multi;
    while (program->position < multi->count) {
        bool is_under_way = is_whole(multi->items[program->position].command)
                                ? start_parts(router, transaction)
                                : open_keys(router, transaction);
        if (is_under_way) {
            return;
        }
    }
    program_end(router, transaction);
}

/** All steps that were asked for are home. */
static void
program_go_on(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = transaction->program;
    switch (program->state) {
    case PROGRAM_OPENING:
        run_opened(router, transaction);
        break;
    case PROGRAM_COMMITTING_GIVERS:
        commit(router, transaction, false);
        if (program->waiting_count == 0) {
            drop_views(transaction);
            program_next(router, transaction);
        }
        break;
    case PROGRAM_COMMITTING:
        drop_views(transaction);
        program_next(router, transaction);
        break;
    case PROGRAM_PARTS:
        merge_parts(router, transaction);
        break;
    }
}

void
transaction_step_home(struct router *router, struct loan *loan)
{
    struct transaction *transaction = loan->transaction;
    struct transaction_program *program = transaction->program;
    transaction->is_journaled |= loan->is_changing;
    if (--program->waiting_count > 0) {
        return;
    }
    struct shard *shard = router->shard;
    int64_t now_ms = shard->now_ms;
    shard->now_ms = program->now_ms;
    program_go_on(router, transaction);
    shard->now_ms = now_ms;
    if (program->is_over) {
        lane_emit(transaction->lane);
    }
}

void
program_start(struct router *router, struct transaction *transaction)
{
    struct transaction_program *program = heap_alloc(sizeof(*program));
    *program = (struct transaction_program){
        .start_ticks = router->shard->last_ticks,
        .now_ms = router->shard->now_ms,
    };
    transaction->program = program;
    const struct multi *multi = transaction->request.multi;
    for (uint32_t i = 0; i < multi->count; i++) {
        program->has_barrier |= is_barrier(multi->items[i].command);
    }
    transaction_begin(router, transaction, NULL);
    bool is_dirty = false;
    for (uint32_t i = 0; i < transaction->loan_count; i++) {
        is_dirty |= transaction->loans[i].is_dirty;
        /* What was dead at an owner stays so: no clock goes back. */
        program->now_ms = MAX(program->now_ms, transaction->loans[i].now_ms);
    }
    /* They are known to be clean, and taken back with RETURN: no longer keys of the program. */
    multi_watches_delete(transaction->request.multi->watches);
    transaction->request.multi->watches = NULL;
    if (is_dirty) {
        reply_null_array(&transaction->reply);
        program_end(router, transaction);
        return;
    }
    reply_array(&transaction->reply, transaction->request.multi->count);
    struct shard *shard = router->shard;
    int64_t now_ms = shard->now_ms;
    shard->now_ms = program->now_ms;
    program_next(router, transaction);
    shard->now_ms = now_ms;
}
