/*
 * sim.c: the scheduler.
 *
 * Shards, routers, lanes, mailboxes and locks are the real ones; what is missing is threads,
 * sockets and the clock. In each step the seed decides what happens next:
 *
 *     deliver 1..4 messages on one link    any order between links, each link in order
 *     a connection's turn                  starts what it has read, until it stalls
 *     a connection reads its next pipeline
 *     time passes, a shard expires keys, flushed contents are freed
 *     a connection ends in the middle, or its wait by CLIENT UNBLOCK
 *
 * In some seeds each core looks at the clock for itself, so that some are behind.
 *
 * Some seeds pick links evenly, the others by priorities that change now and then: some
 * orders need one link to be slow for long. A link that is left out is served when no other has
 * mail, so every history ends; one that does not within its bound of steps is reported, as is one
 * in which nothing can happen any more though somebody still waits for an answer. Those who wait
 * for a key are roused then, when it is sure that there is nothing for them: time passes, or they
 * are unblocked.
 */
#include "sim.h"

#include "shard/block.h"
#include "shard/lock.h"
#include "shard/router.h"
#include "shard/router_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS_FOR_EACH_OP 2000
#define STEPS_BASE 20000

static const char *const mail_names[] = {
    [MAIL_BATCH] = "BATCH",
    [MAIL_BATCH_HOME] = "BATCH_HOME",
    [MAIL_LOCK] = "LOCK",
    [MAIL_GRANT] = "GRANT",
    [MAIL_GIVE_BACK] = "GIVE_BACK",
    [MAIL_RETURN] = "RETURN",
    [MAIL_DONE] = "DONE",
    [MAIL_WOUND] = "WOUND",
    [MAIL_WOUND_HOME] = "WOUND_HOME",
    [MAIL_PART] = "PART",
    [MAIL_PART_HOME] = "PART_HOME",
    [MAIL_UNPIN] = "UNPIN",
    [MAIL_UNWATCH] = "UNWATCH",
    [MAIL_STEP] = "STEP",
    [MAIL_STEP_HOME] = "STEP_HOME",
    [MAIL_PUBLISH] = "PUBLISH",
    [MAIL_UNSUBSCRIBE] = "UNSUBSCRIBE",
    [MAIL_BLOCK] = "BLOCK",
    [MAIL_BLOCK_PARKED] = "BLOCK_PARKED",
    [MAIL_BLOCK_CANCEL] = "BLOCK_CANCEL",
    [MAIL_BLOCK_HOME] = "BLOCK_HOME",
    [MAIL_TRACKING] = "TRACKING",
    [MAIL_RELEASE] = "RELEASE",
    [MAIL_AOF] = "AOF",
};

void
sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->has_failed) {
        return;
    }
    sim->has_failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, arguments);
    va_end(arguments);
    sim_say(sim, "FAILED: %s", sim->failure);
}

void
sim_say(struct sim *sim, const char *format, ...)
{
    if (!sim->options.is_verbose) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%6llu ", (unsigned long long)sim->step_count);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

uint32_t
sim_below(struct sim *sim, uint32_t bound)
{
    return (uint32_t)random_below(&sim->random, bound);
}

/* ---- mail ---- */

struct delivery {
    struct sim *sim;
    uint32_t to;
};

static void
sim_receive(void *context, struct mail *mail)
{
    struct delivery *delivery = context;
    struct sim *sim = delivery->sim;
    sim_say(sim, "%u -> %u %s", mail->from, delivery->to, mail_names[mail->kind]);
    if (mail->kind == MAIL_AOF) {
        sim->shards[delivery->to]->counters.mail_received_count++;
        sim_disk_receive(sim, delivery->to, mail);
        return;
    }
    if (mail->kind == MAIL_RETURN) {
        sim_disk_returned(sim, delivery->to, loan_of_mail(mail));
    }
    if (mail->kind == MAIL_RETURN ||
        (mail->kind == MAIL_STEP && loan_of_mail(mail)->step == LOAN_COMMIT)) {
        sim_witness_returned(sim, delivery->to, loan_of_mail(mail));
    }
    bool is_known = router_receive(sim->shards[delivery->to], mail);
    ASSERT(is_known);
    sim_disk_forget(sim, delivery->to);
}

static uint64_t
mail_under_way(const struct sim *sim)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        count += sim->shards[i]->counters.mail_sent_count;
        count -= sim->shards[i]->counters.mail_received_count;
    }
    return count;
}

static bool
deliver_on(struct sim *sim, uint32_t from, uint32_t to)
{
    struct delivery delivery = {.sim = sim, .to = to};
    uint32_t count = 1 + sim_below(sim, 4);
    return mail_receive_from(sim->exchange, to, from, count, sim_receive, &delivery) > 0;
}

static void
draw_priorities(struct sim *sim)
{
    for (uint32_t from = 0; from < sim->shape.shard_count; from++) {
        for (uint32_t to = 0; to < sim->shape.shard_count; to++) {
            sim->priorities[from][to] = sim_below(sim, 1u << 20);
        }
    }
}

/** The link of highest priority that has mail. */
static void
deliver_by_priority(struct sim *sim)
{
    uint32_t count = sim->shape.shard_count;
    bool is_tried[SIM_SHARDS_MAX][SIM_SHARDS_MAX] = {{false}};
    for (uint32_t tries = 0; tries < count * count; tries++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t link = 0; link < count * count; link++) {
            if (!is_tried[link / count][link % count] &&
                (best == UINT32_MAX || sim->priorities[link / count][link % count] >
                                           sim->priorities[best / count][best % count])) {
                best = link;
            }
        }
        if (deliver_on(sim, best / count, best % count)) {
            return;
        }
        is_tried[best / count][best % count] = true;
    }
}

static void
deliver_some(struct sim *sim)
{
    if (sim->shape.has_priorities) {
        if (sim_below(sim, sim->options.is_flood ? 5000 : 20) == 0) {
            draw_priorities(sim);
        }
        deliver_by_priority(sim);
        return;
    }
    uint32_t count = sim->shape.shard_count;
    uint32_t link = sim_below(sim, count * count);
    for (uint32_t i = 0; i < count * count; i++) {
        if (deliver_on(sim, link / count, link % count)) {
            return;
        }
        link = (link + 1) % (count * count);
    }
}

static void
flush_mail(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        mail_flush(sim->exchange, i);
    }
}

/* ---- steps ---- */

/** A core looks at the clock. */
static void
shard_looks(struct sim *sim, struct shard *shard)
{
    shard->now_ms = sim->now_ms;
    block_advance(shard);
}

static void
sim_expire(struct sim *sim, struct shard *shard)
{
    sim_say(sim, "expiry at %u", shard->index);
    shard_looks(sim, shard);
    shard_expire(shard, 1 + sim_below(sim, 64));
}

static void
sim_time_passes(struct sim *sim)
{
    sim->now_ms += 1 + sim_below(sim, 40);
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        if (!sim->shape.has_skew || sim_below(sim, 2) == 0) {
            shard_looks(sim, sim->shards[i]);
        }
    }
    sim_say(sim, "it is %lld", (long long)(sim->now_ms - SIM_START_MS));
}

static void
sim_look(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        struct shard *shard = sim->shards[i];
        if (!lock_table_is_valid(shard->locks)) {
            sim_fail(sim, "the lock table of shard %u is not valid", i);
        }
    }
    if (sim_below(sim, 200) == 0) {
        struct shard *shard = sim->shards[sim_below(sim, sim->shape.shard_count)];
        if (!keyspace_check(&shard->keyspace)) {
            sim_fail(sim, "the keyspace of shard %u does not add up", shard->index);
        }
    }
}

/** What happens beside requests and mail. */
static void
step_background(struct sim *sim)
{
    struct shard *shard = sim->shards[sim_below(sim, sim->shape.shard_count)];
    switch (sim_below(sim, 8)) {
    case 0:
        shard_collect(shard, 1 + sim_below(sim, 50));
        return;
    case 1:
        sim_look(sim);
        return;
    case 2:
        flush_mail(sim);
        return;
    case 3:
        if (sim->shape.has_endings && sim_below(sim, 4) == 0) {
            struct sim_conn *conn = sim_conn_pick(sim, sim_conn_may_end);
            if (conn != NULL) {
                sim_conn_abandon(sim, conn);
            }
        }
        return;
    default:
        /* With a journal, an answer may wait behind another one's: who was told to end is not
         * known.
         */
        if (sim->shape.theme == THEME_LISTS && !sim->shape.has_journal && sim_below(sim, 4) == 0) {
            struct sim_conn *conn = sim_conn_pick(sim, sim_conn_waits);
            if (conn != NULL) {
                sim_wait_unblock(conn, sim_below(sim, 2) == 0);
            }
            return;
        }
        if (!sim->shape.has_deadlines && sim->shape.theme != THEME_LISTS) {
            return;
        }
        if (sim_below(sim, 2) == 0) {
            sim_time_passes(sim);
        } else {
            sim_expire(sim, shard);
        }
        return;
    }
}

/** Answers that wait for the disk. */
static uint32_t
held_count(const struct sim *sim)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        count += sim->shards[i]->durable.held.count;
    }
    return count + sim_conn_held_count(sim);
}

/** No shard has anything under way for anybody. */
static bool
is_all_home(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        if (lock_table_request_count(sim->shards[i]->locks) != 0) {
            return false;
        }
    }
    return mail_under_way(sim) == 0;
}

static void
disk_step(struct sim *sim)
{
    if (sim_below(sim, 3) == 0) {
        (void)sim_disk_step(sim);
    }
    if (sim_below(sim, sim->shape.crash_often) == 0) {
        sim_disk_crash(sim);
    }
    if (sim_below(sim, 20) == 0) {
        sim_disk_mark(sim);
    }
    bool is_open = (sim->options.disk_faults & DISK_FAULT_CUT_OPEN) != 0;
    if (sim_below(sim, 50) == 0 && (is_open || is_all_home(sim))) {
        sim_disk_cut(sim);
    }
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        sim_disk_forget(sim, i);
    }
}

static void
take_answers(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        if (!sim->conns[i].is_abandoned) {
            sim_witness_answers(&sim->conns[i]);
        }
    }
}

/** False: nothing can happen any more. */
static bool
sim_step(struct sim *sim)
{
    sim->step_count++;
    if (sim->disk != NULL) {
        disk_step(sim);
    }
    struct sim_conn *turn = sim_conn_pick(sim, sim_conn_wants_turn);
    struct sim_conn *arrival = sim_conn_pick(sim, sim_conn_may_arrive);
    uint64_t mail_count = mail_under_way(sim);
    if (turn == NULL && arrival == NULL && mail_count == 0) {
        bool is_anybody_held = held_count(sim) > 0;
        sim_log_settle(sim);
        take_answers(sim);
        return is_anybody_held;
    }
    uint32_t drawn = sim_below(sim, 100);
    if (sim->options.is_flood && turn != NULL && !turn->is_put_off && sim_below(sim, 50) != 0) {
        sim_conn_turn(sim, turn);
    } else if (drawn < (sim->shape.has_deadlines ? 25 : 12)) {
        step_background(sim);
    } else if (drawn < 40 && arrival != NULL) {
        sim_conn_arrive(sim, arrival);
    } else if (turn != NULL && (drawn < 65 || mail_count == 0)) {
        sim_conn_turn(sim, turn);
    } else if (mail_count > 0) {
        deliver_some(sim);
    } else if (arrival != NULL) {
        sim_conn_arrive(sim, arrival);
    }
    take_answers(sim);
    sim_wait_look(sim);
    if (mail_under_way(sim) == 0 && held_count(sim) == 0) {
        sim_wait_check(sim);
        sim_cache_check(sim, false);
    }
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        sim_log_collect(sim, i);
    }
    return true;
}

/** Nothing happens by itself any more: end a wait. False: nobody waits. */
static bool
sim_rouse(struct sim *sim)
{
    bool is_anybody = false;
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        const struct sim_conn *conn = &sim->conns[i];
        is_anybody |= conn->waiting != NULL || (conn->is_abandoned && conn->wire != NULL);
    }
    if (!is_anybody) {
        return false;
    }
    sim_wait_check(sim);
    sim->now_ms += 1 + sim_below(sim, 300);
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        shard_looks(sim, sim->shards[i]);
    }
    struct sim_conn *conn = sim_conn_pick(sim, sim_conn_waits);
    if (conn != NULL && sim_below(sim, 3) == 0) {
        sim_wait_unblock(conn, sim_below(sim, 2) == 0);
    }
    sim->step_count++;
    take_answers(sim);
    return true;
}

static void
sim_play(struct sim *sim)
{
    sim->step_count_max = STEPS_BASE + STEPS_FOR_EACH_OP * sim->op_count;
    uint32_t quiet_count = 0;
    while (!sim->has_failed) {
        if (!sim_step(sim)) {
            /* What was too much for a mailbox enters it with a flush. */
            flush_mail(sim);
            if (++quiet_count == 2) {
                if (!sim_rouse(sim)) {
                    break;
                }
                quiet_count = 0;
            }
            if (sim->step_count > sim->step_count_max) {
                sim_fail(sim, "somebody waits for ever");
            }
            continue;
        }
        quiet_count = 0;
        if (sim->step_count > sim->step_count_max) {
            sim_fail(sim, "livelock: no end after %llu steps", (unsigned long long)sim->step_count);
        }
    }
    for (uint32_t i = 0; i < sim->shape.conn_count && !sim->has_failed; i++) {
        const struct sim_conn *conn = &sim->conns[i];
        if (!sim_conn_is_through(conn)) {
            char text[200];
            uint32_t next = MIN(conn->answered_count, conn->op_count - 1);
            sim_op_describe(&conn->ops[next], text, sizeof(text));
            sim_fail(sim, "stuck: %s waits for ever (%u arrived, %u started, %u answered)", text,
                     conn->arrived_count, conn->started_count, conn->answered_count);
        }
    }
}

/* ---- the end ---- */

static void
check_shard(struct sim *sim, struct shard *shard)
{
    if (lock_table_request_count(shard->locks) != 0) {
        sim_fail(sim, "end: shard %u still has %u lock requests", shard->index,
                 lock_table_request_count(shard->locks));
    }
    if (router_pending_count(shard) != 0) {
        sim_fail(sim, "end: shard %u still waits for %u requests", shard->index,
                 router_pending_count(shard));
    }
    while (shard_expire(shard, 1000) == 1000) {
    }
    if (!keyspace_check(&shard->keyspace)) {
        sim_fail(sim, "end: the keyspace of shard %u does not add up", shard->index);
    }
}

static void
check_conn(struct sim *sim, struct sim_conn *conn)
{
    char text[200];
    const struct lane *lane = conn->wire == NULL ? NULL : &conn->wire->lane;
    if (lane != NULL && (!lane_is_idle(lane) || lane->barrier_count != 0 || lane->item_count != 0 ||
                         lane->self_batch_count != 0)) {
        sim_fail(sim, "end: the lane of c%u is not idle", conn->index);
    }
    for (uint32_t i = 0; i < conn->op_count; i++) {
        if (conn->ops[i].is_started && !conn->ops[i].is_executed && conn->ops[i].exec == NULL &&
            !sim_exec_may_run_nothing(&conn->ops[i]) && !sim_op_may_wait(&conn->ops[i])) {
            sim_op_describe(&conn->ops[i], text, sizeof(text));
            sim_fail(sim, "end: %s has not run", text);
        }
    }
}

/** Bring home what the last expiries have told. */
static void
deliver_all(struct sim *sim)
{
    while (mail_under_way(sim) > 0 || held_count(sim) > 0) {
        sim_log_settle(sim);
        flush_mail(sim);
        if (mail_under_way(sim) > 0) {
            deliver_some(sim);
            flush_mail(sim);
        }
    }
    take_answers(sim);
}

static void
sim_check_end(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        sim->shards[i]->now_ms = sim->now_ms;
    }
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        check_shard(sim, sim->shards[i]);
    }
    deliver_all(sim);
    sim_cache_check(sim, true);
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        check_conn(sim, &sim->conns[i]);
    }
    sim_channels_check(sim);
    if (sim->shape.theme == THEME_BANK) {
        sim_bank_check(sim);
    }
    sim_log_settle(sim);
    sim_data_check(sim, sim->shards, sim->shape.shard_count, "the shards'");
    if (sim->shape.has_journal && !sim->has_failed) {
        sim_log_check(sim);
    }
    if (sim->disk != NULL && !sim->has_failed) {
        sim_disk_crash(sim);
    }
}

static void
sim_create(struct sim *sim, const struct sim_options *options, const struct command_table *table)
{
    struct random shape_random;
    struct random history_random;
    sim->options = *options;
    sim->now_ms = SIM_START_MS;
    random_create(&shape_random, options->seed);
    random_create(&history_random, options->seed ^ UINT64_C(0x9e3779b97f4a7c15));
    random_create(&sim->random, options->seed ^ UINT64_C(0xd1b54a32d192ed03));
    sim_shape_draw(sim, &shape_random);
    uint32_t count = sim->shape.shard_count;
    sim->config = config_new();
    sim->config->databases = SIM_DATABASES;
    sim->config->pipeline_order =
        sim->shape.is_strict ? CONFIG_PIPELINE_ORDER_STRICT : CONFIG_PIPELINE_ORDER_OVERLAP;
    if (sim->shape.has_crash) {
        sim->config->appendfsync = sim->shape.appendfsync;
    }
    sim->node = sim_node_new(count, table);
    sim->exchange = exchange_new(count);
    sim_shards_create(sim->shards, sim->node, sim->config, sim->exchange, options->seed);
    for (uint32_t i = 0; i < count; i++) {
        router_fault_set(sim->shards[i]->router, options->router_faults);
        lock_table_fault_set(sim->shards[i]->locks, options->lock_faults);
        if (sim->shape.has_journal) {
            sim_log_follow(sim, i);
        }
    }
    if (sim->shape.has_crash) {
        sim_disk_create(sim);
    }
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        sim_model_flush(&sim->model, db);
    }
    sim_history_draw(sim, &history_random);
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        sim_conn_create(sim, i);
    }
    draw_priorities(sim);
}

static void
sim_destroy(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        struct sim_conn *conn = &sim->conns[i];
        if (conn->wire != NULL) {
            sim_wire_delete(conn->wire);
        }
        free(conn->text.data);
        sim_cache_destroy(&conn->cache);
    }
    sim_log_settle(sim);
    if (sim->disk != NULL) {
        sim_disk_stop(sim);
    }
    for (uint32_t i = 0; i < sim->shape.shard_count && sim->shape.has_journal; i++) {
        sim_log_leave(sim, i);
    }
    /* Values that were being sent are given back now. */
    for (uint32_t round = 0; round < 2; round++) {
        flush_mail(sim);
        for (uint32_t to = 0; to < sim->shape.shard_count; to++) {
            struct delivery delivery = {.sim = sim, .to = to};
            for (uint32_t from = 0; from < sim->shape.shard_count; from++) {
                mail_receive_from(sim->exchange, to, from, UINT32_MAX, sim_receive, &delivery);
            }
        }
    }
    if (sim->disk != NULL) {
        sim_disk_destroy(sim);
    }
    if (!sim_shards_destroy(sim->shards, sim->shape.shard_count)) {
        sim_fail(sim, "end: the shards leave memory behind");
    }
    exchange_delete(sim->exchange);
    free(sim->node);
    config_delete(sim->config);
    sim_log_destroy(&sim->log);
    sim_model_destroy(&sim->model);
    sim_history_destroy(sim);
}

static void
sim_add_up(struct sim *sim)
{
    struct sim_totals *totals = sim->totals;
    totals->history_count++;
    totals->op_count += sim->op_count;
    totals->effect_count += sim->log.count;
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        const struct shard_counters *counters = &sim->shards[i]->counters;
        totals->mail_count += counters->mail_sent_count;
        totals->loan_count += counters->loan_count;
        totals->wound_count += counters->wound_count;
        totals->expired_count += counters->expired_count;
    }
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        totals->abandoned_count += sim->conns[i].is_abandoned;
    }
}

bool
sim_run(const struct sim_options *options, const struct command_table *table, char *failure,
        size_t failure_size, struct sim_totals *totals)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    ASSERT(sim != NULL);
    sim->totals = totals;
    sim_create(sim, options, table);
    sim_say(sim, "%u shards, %u connections, %u keys", sim->shape.shard_count,
            sim->shape.conn_count, sim->shape.key_count);
    for (uint32_t i = 0; i < sim->shape.key_count; i++) {
        sim_say(sim, "%s is of shard %u", sim->keys[i], sim->key_owners[i]);
    }
    sim_play(sim);
    if (!sim->has_failed) {
        sim_check_end(sim);
        sim_add_up(sim);
    }
    if (!sim->has_failed) {
        sim_destroy(sim);
    }
    bool is_right = !sim->has_failed;
    snprintf(failure, failure_size, "%s", sim->failure);
    if (is_right) {
        free(sim);
    }
    return is_right;
}
