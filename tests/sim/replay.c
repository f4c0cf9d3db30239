/*
 * replay.c: replaying all effects on an empty server gives the same data.
 *
 * Each shard has a journal of its own, read as the append-only file reads it. Their effects are
 * merged generation by generation, each in the order in which the scheduler saw them, which keeps
 * each shard's order; between shards the order does not matter, since an effect changes one key.
 * Those that change all shards stand between two generations.
 *
 * The replay's clock stands at the start of the history: deadlines are absolute, and what had died
 * by one has a DEL of its own.
 */
#include "sim.h"

#include "shard/durable.h"
#include "shard/router.h"
#include "shard/value/list_value.h"
#include "shard/view.h"

#include <stdio.h>
#include <stdlib.h>

static struct sim_record *
log_append(struct sim_log *log)
{
    if (log->count == log->capacity) {
        log->capacity = MAX(log->capacity * 2, (size_t)64);
        log->records = realloc(log->records, log->capacity * sizeof(*log->records));
        ASSERT(log->records != NULL);
    }
    struct sim_record *record = &log->records[log->count++];
    *record = (struct sim_record){0};
    return record;
}

static void
record_fill(struct sim_record *record, const struct effect *effect)
{
    record->db = effect->db;
    record->argc = effect->argc;
    record->argv = calloc(effect->argc, sizeof(*record->argv));
    ASSERT(record->argv != NULL);
    for (uint32_t i = 0; i < effect->argc; i++) {
        char *copy = malloc(effect->argv[i].size + 1);
        ASSERT(copy != NULL);
        if (effect->argv[i].size > 0) {
            memcpy(copy, effect->argv[i].data, effect->argv[i].size);
        }
        record->argv[i] = slice_of(copy, effect->argv[i].size);
    }
}

static void
log_add(struct sim *sim, const struct effect *effect, uint64_t generation)
{
    struct sim_record *record = log_append(&sim->log);
    record->generation = generation;
    sim->log.generation_last = MAX(sim->log.generation_last, generation);
    record_fill(record, effect);
}

static void
reader_read(struct journal_reader *reader, const struct journal *journal)
{
    struct sim_reader *sim_reader = container_of(reader, struct sim_reader, reader);
    struct effect_reader effects;
    struct effect effect;
    effect_reader_create(&effects, &journal->effects);
    for (uint32_t i = 0; i < journal->group_count; i++) {
        if (sim_reader->sim->disk != NULL) {
            sim_disk_group(sim_reader->sim, sim_reader->shard->index, sim_reader->sim->log.count,
                           journal->groups[i].effect_count);
        }
        for (uint32_t j = 0; j < journal->groups[i].effect_count; j++) {
            bool is_there = effect_read(&effects, &effect);
            ASSERT(is_there);
            log_add(sim_reader->sim, &effect, sim_reader->generation);
        }
    }
    effect_reader_destroy(&effects);
}

static void
reader_cut(struct journal_reader *reader, const struct effects *barrier)
{
    struct sim_reader *sim_reader = container_of(reader, struct sim_reader, reader);
    struct effect_reader effects;
    struct effect effect;
    sim_reader->generation += 2;
    if (barrier == NULL) {
        return;
    }
    if (sim_reader->sim->disk != NULL) {
        sim_disk_barrier(sim_reader->sim, sim_reader->shard->index, sim_reader->generation - 1);
    }
    effect_reader_create(&effects, barrier);
    while (effect_read(&effects, &effect)) {
        log_add(sim_reader->sim, &effect, sim_reader->generation - 1);
    }
    effect_reader_destroy(&effects);
}

void
sim_log_follow(struct sim *sim, uint32_t index)
{
    struct sim_reader *reader = &sim->readers[index];
    *reader = (struct sim_reader){.sim = sim,
                                  .shard = sim->shards[index],
                                  .reader = {.read = reader_read, .cut = reader_cut}};
    journal_reader_add(reader->shard, &reader->reader);
}

void
sim_log_leave(struct sim *sim, uint32_t index)
{
    journal_reader_remove(sim->shards[index], &sim->readers[index].reader);
}

/** The disk takes its time: what one call has read is safe with one of the next. */
void
sim_log_collect(struct sim *sim, uint32_t index)
{
    struct shard *shard = sim->shards[index];
    if (!sim->shape.has_journal) {
        return;
    }
    if (sim->disk != NULL) {
        if (sim_below(sim, 2) == 0) {
            sim_disk_flush(sim, index);
        }
        return;
    }
    uint64_t before = shard->durable.next_mark - 1;
    journal_read(shard);
    (void)durable_portion(&shard->durable); /* a cut may have read before */
    if (!sim->shape.has_slow_disk || random_below(&sim->random, 3) == 0) {
        durable_written(shard, sim->shape.has_slow_disk ? before : shard->durable.next_mark - 1);
    }
}

void
sim_log_settle(struct sim *sim)
{
    if (sim->disk != NULL) {
        sim_disk_settle(sim);
        return;
    }
    for (uint32_t i = 0; i < sim->shape.shard_count && sim->shape.has_journal; i++) {
        sim_log_collect(sim, i);
        durable_written(sim->shards[i], sim->shards[i]->durable.next_mark - 1);
    }
}

void
sim_log_destroy(struct sim_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        for (uint32_t j = 0; j < log->records[i].argc; j++) {
            free((void *)(uintptr_t)log->records[i].argv[j].data);
        }
        free(log->records[i].argv);
    }
    free(log->records);
}

/* ---- the empty server ---- */

struct replay {
    struct sim *sim;
    struct shard *shard;
    struct exchange *exchange;
    struct session session;
    struct lane lane;
    struct output output;
};

static void
replay_resume(struct lane *lane)
{
    (void)lane;
}

static const struct lane_ops replay_lane_ops = {.resume = replay_resume, .ended = replay_resume};

static void
replay_receive(void *context, struct mail *mail)
{
    struct replay *replay = context;
    bool is_known = router_receive(replay->shard, mail);
    ASSERT(is_known);
}

static void
replay_one(struct replay *replay, const struct sim_record *record)
{
    struct request request = {.argv = record->argv, .argc = record->argc, .db = record->db};
    router_resolve(replay->shard, &request);
    request.db = record->db;
    request.protocol = 2;
    request.flags = 0;
    enum router_verdict verdict = router_start(replay->shard, &replay->lane, &request, NULL);
    ASSERT(verdict == ROUTER_STARTED);
    router_lane_end(replay->shard, &replay->lane);
    while (mail_receive_from(replay->exchange, 0, 0, 16, replay_receive, replay) > 0) {
    }
    char *bytes = output_flatten(&replay->output);
    if (replay->output.byte_count == 0 || bytes[0] == '-') {
        sim_fail(replay->sim, "effects: %.*s %.*s is answered with %.*s", (int)record->argv[0].size,
                 record->argv[0].data, record->argc > 1 ? (int)record->argv[1].size : 0,
                 record->argc > 1 ? record->argv[1].data : "", (int)replay->output.byte_count,
                 bytes);
    }
    heap_free(bytes);
    output_consume(&replay->output, replay->output.byte_count);
}

void
sim_log_check(struct sim *sim)
{
    struct shard *shards[1];
    struct node *node = sim_node_new(1, sim->node->commands);
    struct replay replay = {.sim = sim, .exchange = exchange_new(1)};
    sim_shards_create(shards, node, sim->config, replay.exchange, sim->options.seed);
    replay.shard = shards[0];
    session_create(&replay.session, replay.shard, 1, SIM_START_MS);
    output_create(&replay.output);
    lane_create(&replay.lane, replay.shard, &replay.session, &replay.output, &replay_lane_ops);
    for (uint64_t generation = 0; generation <= sim->log.generation_last; generation++) {
        for (size_t i = 0; i < sim->log.count && !sim->has_failed; i++) {
            if (sim->log.records[i].generation == generation) {
                replay_one(&replay, &sim->log.records[i]);
            }
        }
    }
    replay.shard->now_ms = sim->now_ms;
    shard_expire(replay.shard, UINT32_MAX);
    sim_data_check(sim, shards, 1, "the effects'");
    if (sim->has_failed) {
        return;
    }
    output_destroy(&replay.output);
    session_destroy(&replay.session);
    if (!sim_shards_destroy(shards, 1)) {
        sim_fail(sim, "effects: the replay leaves memory behind");
    }
    exchange_delete(replay.exchange);
    free(node);
}

/* ---- comparing data ---- */

/** As a cell of the model has it. */
static void
list_read(const struct value *value, struct sim_bytes *out)
{
    ASSERT(value->type == VALUE_LIST);
    struct list_value list = {.encoding = value->encoding, .object = value->object};
    struct list_value_walk walk = list_value_walk(&list, 0, false);
    struct listpack_item item;
    while (list_value_next(&walk, &item)) {
        sim_bytes_append(out, item.bytes.data, item.bytes.size);
        sim_bytes_append(out, ",", 1);
    }
}

static void
compare_cell(struct sim *sim, const struct shard *shard, uint32_t db, uint32_t key,
             const char *whose)
{
    struct slice name = slice_of_string(sim->keys[key]);
    const struct sim_cell *cell = &sim->model.cells[db][key];
    struct entry *entry = keyspace_find(&shard->keyspace, db, sim->key_slots[key], name,
                                        keyspace_hash(&shard->keyspace, name));
    bool lives = sim_cell_lives(cell, sim->now_ms);
    if (entry == NULL || !lives) {
        if ((entry != NULL) != lives) {
            sim_fail(sim, "data: %s [db %u] should %sbe there in %s data", sim->keys[key], db,
                     lives ? "" : "not ", whose);
        }
        return;
    }
    struct view view = {0};
    char digits[24];
    entry_value(entry, &view.value);
    struct sim_bytes list = {0};
    struct slice value;
    if (sim->shape.theme == THEME_LISTS) {
        list_read(&view.value, &list);
        value = slice_of(list.data, list.size);
    } else {
        value = view_string(&view, digits);
    }
    if (!slice_equal(value, slice_of(cell->value, cell->size))) {
        sim_fail(sim, "data: %s [db %u] is '%.*s' in %s data, not '%.*s'", sim->keys[key], db,
                 (int)MIN(value.size, (size_t)100), value.data, whose,
                 (int)MIN(cell->size, (size_t)100), cell->value);
    }
    free(list.data);
    int64_t deadline_ms = entry_deadline_ms(entry);
    if (deadline_ms == ENTRY_NO_DEADLINE) {
        deadline_ms = INT64_MAX;
    }
    if (deadline_ms != cell->deadline_ms || entry_is_lent(entry)) {
        sim_fail(sim, "data: %s [db %u] dies at %lld in %s data, not %lld%s", sim->keys[key], db,
                 (long long)deadline_ms, whose, (long long)cell->deadline_ms,
                 entry_is_lent(entry) ? "; it is lent" : "");
    }
}

void
sim_data_check(struct sim *sim, struct shard *const *shards, uint32_t shard_count,
               const char *whose)
{
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        uint64_t count = 0;
        for (uint32_t key = 0; key < sim->shape.key_count; key++) {
            uint32_t owner = (uint32_t)((uint64_t)sim->key_slots[key] * shard_count / SLOT_COUNT);
            compare_cell(sim, shards[owner], db, key, whose);
            count += sim_cell_lives(&sim->model.cells[db][key], sim->now_ms);
        }
        for (uint32_t i = 0; i < shard_count; i++) {
            count -= shards[i]->keyspace.databases[db].key_count;
        }
        if (count != 0) {
            sim_fail(sim, "data: %s database %u has another number of keys", whose, db);
        }
    }
}
