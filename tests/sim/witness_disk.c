/*
 * witness_disk.c: what must be in the files when the machine stops.
 *
 * Each group of the journals is known, with the request that it is of. What recovery leaves of the
 * files is read as text and laid beside the journals:
 *
 *     journal     [g0][g1][part of 7][g3][g4]
 *     file        [g0][g1][ left out][g3]~      fates: there, there, dropped, there, lost
 *
 * From the fates follow the checks:
 *
 *  - what a file says is what the journal said, in its order, so the order for each key holds;
 *  - nothing is lost in front of something that is there, nor dropped in front of what its keys
 *    were needed for, nor behind or in front of what concerns all shards;
 *  - a transaction over several shards is there on all of them or on none;
 *  - what was answered is there: after kill -9 always, after a power failure under `always`;
 *  - under `always`, what a reply was made of is there.
 *
 * That replaying all groups gives the model's data is checked at the end of each history
 * (replay.c), so the fates say all about the data after the crash.
 *
 * Rejected: replaying the files on a node and searching for prefixes of the connections' requests
 * that explain its data. Most values are overwritten soon, and a lost write under another one would
 * not be seen.
 */
#include "disk.h"

#include "persist/aof_reader.h"
#include "persist/recovery.h"
#include "shard/call.h"
#include "shard/multi.h"
#include "shard/transaction_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- whose a group is ---- */

void
sim_disk_run(struct sim_op *op, const struct call *call)
{
    struct sim *sim = op->sim;
    struct sim_disk *disk = sim->disk;
    if (disk == NULL) {
        return;
    }
    if (call->events == call->shard->events) {
        disk->shards[call->shard->index].running = sim_op_whole(op);
    }
    if (op->found_groups == NULL && op->key_count > 0) {
        op->found_groups = calloc(op->key_count, sizeof(*op->found_groups));
        ASSERT(op->found_groups != NULL);
    }
    for (uint32_t i = 0; i < op->key_count; i++) {
        bool is_other = i == 1 && (op->verb == VERB_COPY || op->verb == VERB_MOVE);
        uint32_t key = op->keys[i];
        op->found_groups[i] =
            disk->shards[sim->key_owners[key]].changed[is_other ? op->other_db : op->db][key];
    }
}

/** The request that the row is of; NULL: it is none of the connection's. */
static struct sim_op *
op_find(const struct sim_conn *conn, const struct command *row)
{
    uintptr_t at = (uintptr_t)row;
    if (at < (uintptr_t)conn->ops || at >= (uintptr_t)(conn->ops + conn->op_count)) {
        return NULL;
    }
    return sim_op_whole(container_of((struct command *)at, struct sim_op, row));
}

void
sim_disk_returned(struct sim *sim, uint32_t index, const struct loan *loan)
{
    if (sim->disk == NULL) {
        return;
    }
    const struct request *request = &loan->transaction->request;
    struct sim_op *op = NULL;
    if (loan->session_id >= 1 && loan->session_id <= sim->shape.conn_count) {
        const struct sim_conn *conn = &sim->conns[loan->session_id - 1];
        op = op_find(conn, request->command);
        for (uint32_t i = 0; request->multi != NULL && i < request->multi->count && op == NULL;
             i++) {
            op = op_find(conn, request->multi->items[i].command);
        }
    }
    sim->disk->shards[index].running = op;
    sim->disk->shards[index].returned = op;
}

void
sim_disk_forget(struct sim *sim, uint32_t index)
{
    if (sim->disk != NULL) {
        sim->disk->shards[index].running = NULL;
        sim->disk->shards[index].returned = NULL;
    }
}

/* ---- groups ---- */

static void
touched_add(struct disk_group *group, const struct sim_op *op)
{
    for (uint32_t i = 0; i < op->key_count; i++) {
        bool is_other = i == 1 && (op->verb == VERB_COPY || op->verb == VERB_MOVE);
        group->touched[is_other ? op->other_db : op->db] |= UINT32_C(1) << op->keys[i];
    }
}

void
disk_group_closed(struct sim_disk *disk, struct shard *shard, const struct journal_part *part,
                  size_t effects_offset)
{
    struct sim *sim = disk->sim;
    struct disk_shard *disk_shard = &disk->shards[shard->index];
    if (disk_shard->group_count == disk_shard->group_capacity) {
        disk_shard->group_capacity = MAX(disk_shard->group_capacity * 2, 64u);
        disk_shard->groups =
            realloc(disk_shard->groups, disk_shard->group_capacity * sizeof(*disk_shard->groups));
        ASSERT(disk_shard->groups != NULL);
    }
    struct disk_group *group = &disk_shard->groups[disk_shard->group_count++];
    *group = (struct disk_group){
        .op = disk_shard->running,
        .ticket = part == NULL ? 0 : part->ticket,
        .participant_count = part == NULL ? 0 : part->participant_count,
        .generation = sim->readers[shard->index].generation + DISK_GENERATION_FIRST,
    };
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &shard->journal_room->effects);
    reader.offset = effects_offset;
    while (effect_read(&reader, &effect)) {
        for (uint32_t key = 0; key < sim->shape.key_count && effect.argc > 1; key++) {
            if (slice_equal(effect.argv[1], slice_of_string(sim->keys[key]))) {
                group->changed[effect.db] |= UINT32_C(1) << key;
                disk_shard->changed[effect.db][key] = disk_shard->group_count;
            }
        }
    }
    effect_reader_destroy(&reader);
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        group->touched[db] = group->changed[db];
    }
    const struct sim_op *op = group->op;
    if (op != NULL) {
        touched_add(group, op);
        for (uint32_t i = op->queue_first; op->verb == VERB_EXEC && i < op->index; i++) {
            if (op->conn->ops[i].exec == op) {
                touched_add(group, &op->conn->ops[i]);
            }
        }
    }
}

void
sim_disk_group(struct sim *sim, uint32_t index, size_t record_first, uint32_t record_count)
{
    struct disk_shard *shard = &sim->disk->shards[index];
    ASSERT(shard->read_count < shard->group_count);
    struct disk_group *group = &shard->groups[shard->read_count++];
    group->record_first = record_first;
    group->record_count = record_count;
}

void
sim_disk_barrier(struct sim *sim, uint32_t index, uint64_t generation)
{
    struct sim_disk *disk = sim->disk;
    if (index != 0) {
        return;
    }
    size_t size = (disk->barrier_count + 1) * sizeof(*disk->barriers);
    disk->barriers = realloc(disk->barriers, size);
    ASSERT(disk->barriers != NULL);
    disk->barriers[disk->barrier_count++] = (struct disk_barrier){
        .op = disk->shards[0].returned, .generation = generation + DISK_GENERATION_FIRST};
}

/* ---- what the files say ---- */

struct crash {
    struct sim_disk *disk;
    struct sim *sim;
    const struct sim_bytes *remains;
    struct recovery_segment *segments;
    struct recovery_verdict *verdicts;
    bool is_power_lost;
    bool is_promised; /* what was answered must be there */
};

static const char *
crash_name(const struct crash *crash)
{
    return crash->is_power_lost ? "power" : "kill -9";
}

/** Where the reading of a shard's file stands. */
struct walk {
    struct crash *crash;
    uint32_t shard;
    uint32_t group; /* that is being read */
    uint32_t effect_count;
    uint32_t dropped_count;
    uint16_t db;
    bool is_multi;
};

static bool
is_in_hole(const struct recovery_verdict *verdict, uint64_t offset)
{
    for (uint32_t i = 0; i < verdict->hole_count; i++) {
        if (offset >= verdict->holes[i].begin && offset < verdict->holes[i].end) {
            return true;
        }
    }
    return false;
}

static void
walk_group_end(struct walk *walk)
{
    struct crash *crash = walk->crash;
    struct disk_group *group = &crash->disk->shards[walk->shard].groups[walk->group];
    if (walk->effect_count != group->record_count ||
        (walk->dropped_count != 0 && walk->dropped_count != walk->effect_count)) {
        sim_fail(crash->sim, "%s: shard %u: group %u has %u effects, %u of them left out, not %u",
                 crash_name(crash), walk->shard, walk->group, walk->effect_count,
                 walk->dropped_count, group->record_count);
        return;
    }
    group->fate = walk->dropped_count > 0 ? DISK_DROPPED : DISK_THERE;
    walk->group++;
    walk->effect_count = 0;
    walk->dropped_count = 0;
}

static bool
word_is(const struct aof_item *item, const char *word)
{
    return slice_equal(item->argv[0], slice_of_string(word));
}

static void
walk_command(struct walk *walk, const struct aof_item *item, bool is_dropped)
{
    struct crash *crash = walk->crash;
    const struct disk_shard *shard = &crash->disk->shards[walk->shard];
    if (word_is(item, "SELECT")) {
        if (!is_dropped) {
            walk->db = (uint16_t)(item->argv[1].data[0] - '0');
        }
        return;
    }
    if (word_is(item, "MULTI")) {
        walk->is_multi = true;
        return;
    }
    if (word_is(item, "EXEC")) {
        walk->is_multi = false;
        walk_group_end(walk);
        return;
    }
    const struct disk_group *group = &shard->groups[walk->group];
    bool is_right = walk->group < shard->read_count && walk->effect_count < group->record_count;
    if (is_right) {
        const struct sim_record *record =
            &crash->sim->log.records[group->record_first + walk->effect_count];
        is_right = record->argc == item->argc && (is_dropped || record->db == walk->db);
        for (uint32_t i = 0; i < item->argc && is_right; i++) {
            is_right = slice_equal(record->argv[i], item->argv[i]);
        }
    }
    if (!is_right) {
        sim_fail(crash->sim, "%s: shard %u: its file has %.*s %.*s where the journal has not",
                 crash_name(crash), walk->shard, (int)item->argv[0].size, item->argv[0].data,
                 item->argc > 1 ? (int)item->argv[1].size : 0,
                 item->argc > 1 ? item->argv[1].data : "");
        return;
    }
    walk->effect_count++;
    walk->dropped_count += is_dropped;
    if (!walk->is_multi) {
        walk_group_end(walk);
    }
}

static void
walk_file(struct crash *crash, uint32_t index)
{
    const struct disk_file *file = &crash->disk->files[index];
    const struct disk_shard *shard = &crash->disk->shards[file->shard];
    const struct recovery_verdict *verdict = &crash->verdicts[index];
    struct walk walk = {.crash = crash, .shard = file->shard};
    struct aof_reader reader;
    struct aof_item item;
    while (walk.group < shard->group_count &&
           shard->groups[walk.group].generation < file->generation) {
        walk.group++;
    }
    aof_reader_create_trusting(&reader, slice_of(crash->remains[index].data, verdict->end));
    while (!crash->sim->has_failed && aof_reader_next(&reader, &item)) {
        if (item.kind == AOF_COMMAND) {
            walk_command(&walk, &item, is_in_hole(verdict, item.offset));
        } else if (item.note.kind == AOF_NOTE_EMPTY && !item.note.is_more) {
            walk_group_end(&walk);
        }
    }
    if (!crash->sim->has_failed && item.kind != AOF_END) {
        sim_fail(crash->sim, "%s: shard %u: what is loaded of its file ends with %s",
                 crash_name(crash), file->shard, item.why);
    }
    aof_reader_destroy(&reader);
}

/* ---- what is right ---- */

static void
check_answered(struct crash *crash, const struct sim_op *op, enum disk_fate fate, uint32_t shard)
{
    char text[200];
    if (op != NULL && fate != DISK_THERE && op->is_answered && !op->is_muted &&
        crash->is_promised) {
        sim_op_describe(op, text, sizeof(text));
        sim_fail(crash->sim, "%s: %s was answered, and is not there on shard %u", crash_name(crash),
                 text, shard);
    }
}

static void
check_shard_groups(struct crash *crash, uint32_t index)
{
    const struct disk_shard *shard = &crash->disk->shards[index];
    bool is_any_lost = false;
    for (uint32_t i = 0; i < shard->group_count; i++) {
        const struct disk_group *group = &shard->groups[i];
        check_answered(crash, group->op, group->fate, index);
        if (group->fate == DISK_THERE && is_any_lost) {
            sim_fail(crash->sim, "%s: shard %u: group %u is there, and one before it is lost",
                     crash_name(crash), index, i);
        }
        is_any_lost |= group->fate == DISK_LOST;
        for (uint32_t k = i + 1; group->fate == DISK_DROPPED && k < shard->group_count; k++) {
            const struct disk_group *later = &shard->groups[k];
            bool is_built = later->generation != group->generation;
            for (uint32_t db = 0; db < SIM_DATABASES; db++) {
                is_built |= (later->touched[db] & group->changed[db]) != 0;
            }
            if (is_built && later->fate == DISK_THERE) {
                sim_fail(crash->sim, "%s: shard %u: group %u is there, and was built on %u",
                         crash_name(crash), index, k, i);
            }
        }
        crash->sim->totals->crash_group_count++;
        crash->sim->totals->crash_lost_count += group->fate == DISK_LOST;
        crash->sim->totals->crash_dropped_count += group->fate == DISK_DROPPED;
    }
}

static int
ticket_compare(const void *left, const void *right)
{
    const struct disk_group *const *a = left;
    const struct disk_group *const *b = right;
    return ((*a)->ticket > (*b)->ticket) - ((*a)->ticket < (*b)->ticket);
}

/** The parts of one transaction. */
static void
check_parts(struct crash *crash, struct disk_group *const *parts, size_t count)
{
    uint32_t there_count = 0;
    bool has_changed = false;
    bool is_one_generation = true;
    for (size_t i = 0; i < count; i++) {
        bool is_there = parts[i]->fate == DISK_THERE;
        there_count += is_there;
        has_changed |= is_there && parts[i]->record_count > 0;
        is_one_generation &= parts[i]->generation == parts[0]->generation;
    }
    if (has_changed && there_count != parts[0]->participant_count) {
        sim_fail(crash->sim, "%s: transaction %llu is there on %u of %u shards", crash_name(crash),
                 (unsigned long long)parts[0]->ticket, there_count, parts[0]->participant_count);
    }
    if (!is_one_generation) {
        sim_fail(crash->sim, "%s: transaction %llu is on both sides of a cut", crash_name(crash),
                 (unsigned long long)parts[0]->ticket);
    }
}

static void
check_transactions(struct crash *crash)
{
    size_t room = 1;
    size_t count = 0;
    for (uint32_t i = 0; i < crash->sim->shape.shard_count; i++) {
        room += crash->disk->shards[i].group_count;
    }
    struct disk_group **parts = calloc(room, sizeof(*parts));
    ASSERT(parts != NULL);
    for (uint32_t i = 0; i < crash->sim->shape.shard_count; i++) {
        struct disk_shard *shard = &crash->disk->shards[i];
        for (uint32_t k = 0; k < shard->group_count; k++) {
            if (shard->groups[k].ticket != 0) {
                parts[count++] = &shard->groups[k];
            }
        }
    }
    qsort(parts, count, sizeof(*parts), ticket_compare);
    for (size_t at = 0, end; at < count; at = end) {
        end = at + 1;
        while (end < count && parts[end]->ticket == parts[at]->ticket) {
            end++;
        }
        check_parts(crash, parts + at, end - at);
    }
    free(parts);
}

static bool
barrier_is_there(const struct crash *crash, uint64_t generation)
{
    for (uint32_t i = 0; i < crash->disk->file_count; i++) {
        const struct disk_file *file = &crash->disk->files[i];
        if (file->is_barrier && file->generation == generation) {
            return crash->verdicts[i].end == crash->segments[i].size;
        }
    }
    return false;
}

static void
check_barrier(struct crash *crash, const struct disk_barrier *barrier)
{
    bool is_there = barrier_is_there(crash, barrier->generation);
    check_answered(crash, barrier->op, is_there ? DISK_THERE : DISK_LOST, 0);
    for (uint32_t i = 0; i < crash->sim->shape.shard_count; i++) {
        const struct disk_shard *shard = &crash->disk->shards[i];
        for (uint32_t k = 0; k < shard->group_count; k++) {
            const struct disk_group *group = &shard->groups[k];
            bool is_before = group->generation < barrier->generation;
            if (is_there && is_before && group->fate != DISK_THERE) {
                sim_fail(crash->sim, "%s: shard %u: group %u is not there in front of a flush",
                         crash_name(crash), i, k);
            } else if (!is_there && !is_before && group->fate == DISK_THERE) {
                sim_fail(crash->sim, "%s: shard %u: group %u is there behind a lost flush",
                         crash_name(crash), i, k);
            }
        }
    }
}

/** Under `always`: what its reply was made of. */
static void
check_found(struct crash *crash, const struct sim_op *op)
{
    char text[200];
    const struct sim_op *whole = op->exec != NULL ? op->exec : op;
    if (!whole->is_answered || whole->is_muted || !op->is_executed || op->found_groups == NULL) {
        return;
    }
    for (uint32_t i = 0; i < op->key_count; i++) {
        uint32_t owner = crash->sim->key_owners[op->keys[i]];
        uint32_t found = op->found_groups[i];
        if (found != 0 && crash->disk->shards[owner].groups[found - 1].fate != DISK_THERE) {
            sim_op_describe(op, text, sizeof(text));
            sim_fail(crash->sim, "%s: %s was answered, and what it found at %s is not there",
                     crash_name(crash), text, crash->sim->keys[op->keys[i]]);
        }
    }
}

static void
check_all(struct crash *crash)
{
    struct sim *sim = crash->sim;
    bool is_always = sim->config->appendfsync == CONFIG_APPENDFSYNC_ALWAYS;
    crash->is_promised = is_always || !crash->is_power_lost;
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        check_shard_groups(crash, i);
    }
    check_transactions(crash);
    for (uint32_t i = 0; i < crash->disk->barrier_count; i++) {
        check_barrier(crash, &crash->disk->barriers[i]);
    }
    for (uint32_t i = 0; i < sim->shape.conn_count && is_always; i++) {
        for (uint32_t k = 0; k < sim->conns[i].op_count; k++) {
            check_found(crash, &sim->conns[i].ops[k]);
        }
    }
}

void
disk_check(struct sim_disk *disk, const struct sim_bytes *remains, bool is_power_lost)
{
    uint32_t count = disk->file_count;
    struct crash crash = {
        .disk = disk,
        .sim = disk->sim,
        .remains = remains,
        .segments = calloc(MAX(count, 1u), sizeof(*crash.segments)),
        .verdicts = calloc(MAX(count, 1u), sizeof(*crash.verdicts)),
        .is_power_lost = is_power_lost,
    };
    ASSERT(crash.segments != NULL && crash.verdicts != NULL);
    for (uint32_t i = 0; i < disk->sim->shape.shard_count; i++) {
        for (uint32_t k = 0; k < disk->shards[i].group_count; k++) {
            disk->shards[i].groups[k].fate = DISK_LOST;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        recovery_scan(&crash.segments[i], slice_of(remains[i].data, remains[i].size));
        recovery_place(&crash.segments[i], disk->files[i].generation, disk->files[i].shard);
        if (!is_power_lost) {
            recovery_boot(&crash.segments[i], disk->sim->node->boot_id);
        }
        recovery_boot(&crash.segments[i],
                      is_power_lost ? DISK_BOOT_ID + 2 : disk->sim->node->boot_id);
    }
    int error = recovery_decide(crash.segments, count, true, crash.verdicts);
    for (uint32_t i = 0; i < count; i++) {
        if (crash.verdicts[i].action == RECOVERY_REFUSE) {
            sim_fail(disk->sim, "%s: file %u (shard %u, generation %llu) is refused: %s",
                     crash_name(&crash), i, disk->files[i].shard,
                     (unsigned long long)disk->files[i].generation, crash.verdicts[i].why);
        } else if (error == 0 && !disk->files[i].is_barrier) {
            walk_file(&crash, i);
        }
    }
    if (!disk->sim->has_failed) {
        check_all(&crash);
    }
    recovery_verdicts_destroy(crash.verdicts, count);
    for (uint32_t i = 0; i < count; i++) {
        recovery_segment_destroy(&crash.segments[i]);
    }
    free(crash.verdicts);
    free(crash.segments);
}
