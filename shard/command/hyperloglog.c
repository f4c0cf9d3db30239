/*
 * hyperloglog.c: sketches of sets that count their elements: PFADD, PFCOUNT, PFMERGE.
 * A HyperLogLog is a string (shard/value/hyperloglog.h), so all goes through string views. An
 * element that changes nothing, and most do not once a sketch has seen many, leaves the bytes
 * unwritten; the others change a register, or a few bytes of runs, where they lie.
 *
 * PFCOUNT keeps its result in the string until the next change. So it has its one key to itself,
 * as its key specification says; where it only got the key together with other readers it answers
 * without keeping. Its effect is a SETRANGE of those eight bytes, which is exact and much shorter
 * than the string.
 *
 * Rejected: merging sparse sources run by run. The result has to have the very bytes that
 * redis-server gives, and these come from setting one register after the other; a cursor keeps that
 * from searching from the beginning each time.
 */
#include "shard/command/hyperloglog.h"

#include "core/number.h"
#include "shard/command/families.h"
#include "shard/notify.h"

/* ---- sketches ---- */

bool
sketch_check(struct call *call, const struct view *view)
{
    if (!view_check_type(call, view, VALUE_STRING)) {
        return false;
    }
    if (view_exists(view) && view->value.encoding != ENCODING_INT &&
        hyperloglog_is_valid(view->value.bytes)) {
        return true;
    }
    reply_error(call->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

void
sketch_corrupt_error(struct call *call)
{
    reply_error(call->reply, "INVALIDOBJ Corrupted HLL object detected");
}

void
sketch_edit(struct sketch *sketch, size_t size)
{
    sketch->data = view_string_edit(sketch->call, sketch->view, size);
    sketch->bytes = slice_of(sketch->data, size);
}

struct sketch
sketch_open(struct call *call, struct view *view)
{
    struct sketch sketch = {.call = call, .view = view, .bytes = view->value.bytes};
    if (view->value.encoding != ENCODING_RAW && (view->flags & VIEW_EXCLUSIVE) != 0) {
        sketch_edit(&sketch, sketch.bytes.size);
    }
    return sketch;
}

struct sketch
sketch_create(struct call *call, struct view *view)
{
    struct sketch sketch = {.call = call, .view = view};
    sketch_edit(&sketch, HYPERLOGLOG_EMPTY_SIZE);
    hyperloglog_create(sketch.data);
    return sketch;
}

static void
sketch_make_writable(struct sketch *sketch)
{
    if (sketch->data == NULL) {
        sketch_edit(sketch, sketch->bytes.size);
    }
}

bool
sketch_promote(struct sketch *sketch)
{
    uint8_t registers[HYPERLOGLOG_REGISTER_COUNT] = {0};
    if (!hyperloglog_merge(registers, sketch->bytes)) {
        return false;
    }
    sketch_edit(sketch, HYPERLOGLOG_DENSE_SIZE);
    hyperloglog_dense_store(sketch->data, registers);
    return true;
}

static enum hyperloglog_outcome
sketch_raise_dense(struct sketch *sketch, struct hyperloglog_mark mark)
{
    if (hyperloglog_dense_get(sketch->bytes.data, mark.index) >= mark.rank) {
        return HYPERLOGLOG_SAME;
    }
    sketch_make_writable(sketch);
    hyperloglog_dense_raise(sketch->data, mark);
    hyperloglog_cache_drop(sketch->data);
    return HYPERLOGLOG_RAISED;
}

/** Raise a register of a sparse sketch. PROMOTE: it has to become dense for that; it is unchanged.
 */
static enum hyperloglog_outcome
sketch_raise_sparse(struct sketch *sketch, struct hyperloglog_mark mark,
                    struct hyperloglog_cursor *cursor)
{
    struct hyperloglog_plan plan;
    uint64_t size_max = sketch->call->shard->config->hll_sparse_max_bytes;
    enum hyperloglog_outcome outcome =
        hyperloglog_sparse_plan(sketch->bytes, mark, size_max, cursor, &plan);
    if (outcome != HYPERLOGLOG_RAISED) {
        return outcome;
    }
    size_t old_size = sketch->bytes.size;
    if (sketch->data == NULL || plan.room > old_size) {
        sketch_edit(sketch, plan.room);
    }
    size_t size = hyperloglog_sparse_apply(sketch->data, old_size, &plan);
    if (size < plan.room) {
        sketch_edit(sketch, size);
    }
    return HYPERLOGLOG_RAISED;
}

/** SAME, RAISED or CORRUPT. */
static enum hyperloglog_outcome
sketch_raise(struct sketch *sketch, struct hyperloglog_mark mark)
{
    if (!hyperloglog_is_dense(sketch->bytes)) {
        enum hyperloglog_outcome outcome = sketch_raise_sparse(sketch, mark, NULL);
        if (outcome != HYPERLOGLOG_PROMOTE) {
            return outcome;
        }
        if (!sketch_promote(sketch)) {
            return HYPERLOGLOG_CORRUPT;
        }
    }
    return sketch_raise_dense(sketch, mark);
}

/* ---- commands ---- */

static void
pfadd_run(struct call *call)
{
    struct view *view = call->views[0];
    bool is_change = !view_exists(view);
    if (!is_change && !sketch_check(call, view)) {
        return;
    }
    struct sketch sketch = is_change ? sketch_create(call, view) : sketch_open(call, view);
    for (uint32_t i = 2; i < call->argc; i++) {
        enum hyperloglog_outcome outcome = sketch_raise(&sketch, hyperloglog_mark(call->argv[i]));
        if (outcome == HYPERLOGLOG_CORRUPT) {
            /* What came before it stays; nobody could tell that from the command. */
            if (is_change) {
                call_effect_set(call, view);
            }
            sketch_corrupt_error(call);
            return;
        }
        is_change |= outcome == HYPERLOGLOG_RAISED;
    }
    if (is_change) {
        sketch_make_writable(&sketch);
        hyperloglog_cache_drop(sketch.data);
        call_effect_same(call, view);
        call_event(call, view, NOTIFY_STRING, "pfadd");
    }
    reply_i64(call->reply, is_change);
}

/** The count of one key, kept in it. */
static void
pfcount_one(struct call *call, struct view *view)
{
    call_count(call, view);
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    if (!sketch_check(call, view)) {
        return;
    }
    struct sketch sketch = sketch_open(call, view);
    uint64_t count;
    if (!hyperloglog_cache_read(sketch.bytes, &count)) {
        if (!hyperloglog_count(sketch.bytes, &count)) {
            sketch_corrupt_error(call);
            return;
        }
        if ((view->flags & VIEW_EXCLUSIVE) != 0) {
            sketch_make_writable(&sketch);
            hyperloglog_cache_store(sketch.data, count);
            struct slice effect[] = {
                SLICE("SETRANGE"), view->key, SLICE("8"),
                slice_of(sketch.data + HYPERLOGLOG_CACHE_OFFSET, HYPERLOGLOG_CACHE_SIZE)};
            static_assert(HYPERLOGLOG_CACHE_OFFSET == 8, "the effect says so");
            call_effect(call, view, effect, ARRAY_COUNT(effect));
        }
    }
    reply_i64(call->reply, (int64_t)count);
}

/** The registers of all views that exist, a byte each. Replies the error. */
static bool
views_merge(struct call *call, uint8_t *registers, bool *is_any_dense)
{
    *is_any_dense = false;
    for (uint32_t i = 0; i < call->view_count; i++) {
        const struct view *view = call->views[i];
        call_count(call, view);
        if (!view_exists(view)) {
            continue;
        }
        if (!sketch_check(call, view)) {
            return false;
        }
        *is_any_dense |= hyperloglog_is_dense(view->value.bytes);
        if (!hyperloglog_merge(registers, view->value.bytes)) {
            sketch_corrupt_error(call);
            return false;
        }
    }
    return true;
}

static void
pfcount_run(struct call *call)
{
    if (call->view_count == 1) {
        pfcount_one(call, call->views[0]);
        return;
    }
    uint8_t registers[HYPERLOGLOG_REGISTER_COUNT] = {0};
    bool is_any_dense;
    if (views_merge(call, registers, &is_any_dense)) {
        reply_i64(call->reply, (int64_t)hyperloglog_registers_count(registers));
    }
}

/** Raise all registers of a sparse sketch. False: it has to become dense for that. */
static bool
sketch_raise_all(struct sketch *sketch, const uint8_t *registers)
{
    struct hyperloglog_cursor cursor = {0};
    for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT; i++) {
        if (registers[i] == 0) {
            continue;
        }
        struct hyperloglog_mark mark = {.index = i, .rank = registers[i]};
        enum hyperloglog_outcome outcome = sketch_raise_sparse(sketch, mark, &cursor);
        /* It has been merged without a mistake already. */
        ASSERT(outcome != HYPERLOGLOG_CORRUPT);
        if (outcome == HYPERLOGLOG_PROMOTE) {
            return false;
        }
    }
    return true;
}

static void
pfmerge_run(struct call *call)
{
    struct view *target = call->views[0];
    uint8_t registers[HYPERLOGLOG_REGISTER_COUNT] = {0};
    bool is_dense;
    if (!views_merge(call, registers, &is_dense)) {
        return;
    }
    struct sketch sketch =
        view_exists(target) ? sketch_open(call, target) : sketch_create(call, target);
    if (is_dense || !sketch_raise_all(&sketch, registers)) {
        /* The target's own registers are among those that were merged. */
        sketch_edit(&sketch, HYPERLOGLOG_DENSE_SIZE);
        hyperloglog_dense_store(sketch.data, registers);
    }
    sketch_make_writable(&sketch);
    hyperloglog_cache_drop(sketch.data);
    call_effect_set(call, target);
    call_event(call, target, NOTIFY_STRING, "pfadd");
    reply_ok(call->reply);
}

/* ---- documentation ---- */

static const struct command_argument pfadd_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "element", .is_optional = true, .is_multiple = true},
    {0},
};
static const struct command_argument pfcount_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {0},
};
static const struct command_argument pfmerge_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "destkey"},
    {.kind = ARGUMENT_KEY, .name = "sourcekey", .key_spec_index = 1, .is_multiple = true},
    {0},
};

static const struct command hyperloglog_commands[] = {
    {.name = "pfadd",
     .run = pfadd_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_HYPERLOGLOG,
     .since = "2.8.9",
     .complexity = "O(1) for each element.",
     .summary = "Shows elements to a HyperLogLog, which comes into being where there is none.",
     .arguments = pfadd_arguments},
    {.name = "pfcount",
     .run = pfcount_run,
     .flags = CMD_READONLY | CMD_NO_COUNT,
     .arity = -2,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS,
                    .notes = "RW because the count is kept in the key, on replicas too",
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_RANGE,
                    .last = -1,
                    .step = 1}},
     .key_spec_count = 1,
     .group = GROUP_HYPERLOGLOG,
     .since = "2.8.9",
     .complexity = "O(1) for one key, whose count is usually at hand. O(N) for N keys, each of "
                   "which takes much longer.",
     .summary = "Estimates how many different elements one or several HyperLogLogs have seen.",
     .arguments = pfcount_arguments},
    {.name = "pfmerge",
     .run = pfmerge_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_INSERT),
                   KEYS_FROM(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_HYPERLOGLOG,
     .since = "2.8.9",
     .complexity = "O(N) for N HyperLogLogs, each of which takes long.",
     .summary = "Lets a HyperLogLog be as if it had seen all that others have seen, too.",
     .arguments = pfmerge_arguments},
};

const struct command_family hyperloglog_family = {hyperloglog_commands,
                                                  ARRAY_COUNT(hyperloglog_commands)};
