/*
 * hyperloglog_debug.c: looking into HyperLogLogs, and testing them: PFDEBUG, PFSELFTEST.
 * The self-test runs on the machine at hand what the unit tests ran where the server was built:
 * registers in memory against plain bytes, sparse against dense, and estimates against the truth.
 */
#include "core/heap.h"
#include "core/number.h"
#include "core/random.h"
#include "shard/command/families.h"
#include "shard/command/hyperloglog.h"

#include <limits.h>
#include <math.h>

/* ---- PFDEBUG ---- */

/** The registers; a sparse one becomes dense for that, as in redis-server. */
static void
pfdebug_getreg(struct call *call, struct sketch *sketch)
{
    if (!hyperloglog_is_dense(sketch->bytes)) {
        if (!sketch_promote(sketch)) {
            sketch_corrupt_error(call);
            return;
        }
        call_effect_set(call, sketch->view);
    }
    reply_array(call->reply, HYPERLOGLOG_REGISTER_COUNT);
    for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT; i++) {
        reply_i64(call->reply, hyperloglog_dense_get(sketch->bytes.data, i));
    }
}

static void
pfdebug_decode(struct call *call, struct sketch *sketch)
{
    if (hyperloglog_is_dense(sketch->bytes)) {
        reply_error(call->reply, "ERR HLL encoding is not sparse");
        return;
    }
    char *text = heap_alloc(HYPERLOGLOG_TEXT_SIZE_MAX(sketch->bytes.size));
    reply_bulk(call->reply, slice_of(text, hyperloglog_sparse_text(sketch->bytes, text)));
    heap_free(text);
}

static void
pfdebug_todense(struct call *call, struct sketch *sketch)
{
    bool is_sparse = !hyperloglog_is_dense(sketch->bytes);
    if (is_sparse) {
        if (!sketch_promote(sketch)) {
            sketch_corrupt_error(call);
            return;
        }
        call_effect_set(call, sketch->view);
    }
    reply_i64(call->reply, is_sparse);
}

static void
pfdebug_run(struct call *call)
{
    struct view *view = call->views[0];
    struct slice word = call->argv[1];
    if (!view_exists(view)) {
        reply_error(call->reply, "ERR The specified key does not exist");
        return;
    }
    if (!sketch_check(call, view)) {
        return;
    }
    struct sketch sketch = sketch_open(call, view);
    if (slice_is_word(word, "getreg")) {
        pfdebug_getreg(call, &sketch);
    } else if (slice_is_word(word, "decode")) {
        pfdebug_decode(call, &sketch);
    } else if (slice_is_word(word, "encoding")) {
        reply_simple(call->reply, hyperloglog_is_dense(sketch.bytes) ? "dense" : "sparse");
    } else if (slice_is_word(word, "todense")) {
        pfdebug_todense(call, &sketch);
    } else {
        reply_error_format(call->reply, "ERR Unknown PFDEBUG subcommand '%.*s'",
                           (int)MIN(word.size, (size_t)INT_MAX), word.data);
    }
}

/* ---- PFSELFTEST ---- */

#define SELFTEST_SEED UINT64_C(0x9f1057)
#define SELFTEST_ROUNDS 50
/** Elements of the estimates: enough for every rank that sparse ones can have. */
#define SELFTEST_ELEMENT_COUNT_MAX 1000000
/** Six standard errors of 1.04 / sqrt(16384): a sound estimator passes, one that is off does not.
 */
#define SELFTEST_ERROR_MAX (6 * 1.04 / 128)

/** Random ranks in dense registers, against bytes. */
static bool
selftest_registers(struct random *random, char *dense)
{
    uint8_t expected[HYPERLOGLOG_REGISTER_COUNT] = {0};
    uint8_t merged[HYPERLOGLOG_REGISTER_COUNT];
    hyperloglog_dense_store(dense, expected);
    for (uint32_t round = 0; round < SELFTEST_ROUNDS; round++) {
        for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT; i++) {
            struct hyperloglog_mark mark = {.index = i, .rank = (uint32_t)random_below(random, 64)};
            bool is_raise = mark.rank > expected[i];
            if (hyperloglog_dense_raise(dense, mark) != is_raise) {
                return false;
            }
            expected[i] = (uint8_t)MAX((uint32_t)expected[i], mark.rank);
        }
        memset(merged, 0, sizeof(merged));
        if (!hyperloglog_merge(merged, slice_of(dense, HYPERLOGLOG_DENSE_SIZE)) ||
            memcmp(merged, expected, sizeof(merged)) != 0) {
            return false;
        }
    }
    return true;
}

/** Both encodings of the same elements give the same count, and one that is near the truth. */
static bool
selftest_check(const char *dense, struct slice sparse, uint64_t element_count)
{
    uint64_t dense_count;
    uint64_t sparse_count;
    if (!hyperloglog_count(slice_of(dense, HYPERLOGLOG_DENSE_SIZE), &dense_count)) {
        return false;
    }
    if (sparse.size > 0 &&
        (!hyperloglog_count(sparse, &sparse_count) || sparse_count != dense_count)) {
        return false;
    }
    double difference = fabs((double)dense_count - (double)element_count);
    return difference <= ceil(SELFTEST_ERROR_MAX * (double)element_count);
}

/** Show the element to a sparse one. An empty slice: it would have to become dense. */
static struct slice
selftest_sparse_raise(char *sparse, struct slice bytes, struct hyperloglog_mark mark)
{
    struct hyperloglog_plan plan;
    if (bytes.size == 0) {
        return bytes;
    }
    switch (hyperloglog_sparse_plan(bytes, mark, HYPERLOGLOG_DENSE_SIZE, NULL, &plan)) {
    case HYPERLOGLOG_SAME:
        return bytes;
    case HYPERLOGLOG_RAISED:
        return slice_of(sparse, hyperloglog_sparse_apply(sparse, bytes.size, &plan));
    case HYPERLOGLOG_PROMOTE:
    case HYPERLOGLOG_CORRUPT:
        break;
    }
    return slice_of(NULL, 0);
}

static bool
selftest_estimates(struct random *random, char *dense, char *sparse)
{
    uint8_t registers[HYPERLOGLOG_REGISTER_COUNT] = {0};
    hyperloglog_create(dense);
    hyperloglog_dense_store(dense, registers);
    hyperloglog_create(sparse);
    struct slice sparse_bytes = slice_of(sparse, HYPERLOGLOG_EMPTY_SIZE);
    uint64_t seed = random_next(random);
    uint64_t checkpoint = 1;
    for (uint64_t i = 1; i <= SELFTEST_ELEMENT_COUNT_MAX; i++) {
        uint64_t element = seed ^ i;
        struct hyperloglog_mark mark = hyperloglog_mark(slice_of(&element, sizeof(element)));
        hyperloglog_dense_raise(dense, mark);
        sparse_bytes = selftest_sparse_raise(sparse, sparse_bytes, mark);
        if (i == checkpoint) {
            if (!selftest_check(dense, sparse_bytes, i)) {
                return false;
            }
            checkpoint *= 10;
        }
    }
    return true;
}

static void
pfselftest_run(struct call *call)
{
    struct random random;
    random_create(&random, SELFTEST_SEED);
    char *dense = heap_alloc(HYPERLOGLOG_DENSE_SIZE);
    char *sparse = heap_alloc(HYPERLOGLOG_DENSE_SIZE);
    hyperloglog_create(dense);
    if (!selftest_registers(&random, dense)) {
        reply_error(call->reply, "ERR TESTFAILED registers do not hold what was put into them");
    } else if (!selftest_estimates(&random, dense, sparse)) {
        reply_error(call->reply, "ERR TESTFAILED estimates are off");
    } else {
        reply_ok(call->reply);
    }
    heap_free(dense);
    heap_free(sparse);
}

/* ---- documentation ---- */

static const struct command_argument pfdebug_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "subcommand"},
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};

static const struct command hyperloglog_debug_commands[] = {
    {.name = "pfdebug",
     .is_system = true,
     .run = pfdebug_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_ADMIN,
     .arity = 3,
     .key_specs = {KEYS_AT(2, KEY_RW | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HYPERLOGLOG,
     .since = "2.8.9",
     .complexity = "N/A",
     .summary = "Shows what is inside a HyperLogLog, or makes it dense.",
     .arguments = pfdebug_arguments},
    {.name = "pfselftest",
     .is_system = true,
     .run = pfselftest_run,
     .scope = SCOPE_LOCAL,
     .flags = CMD_ADMIN,
     .arity = 1,
     .group = GROUP_HYPERLOGLOG,
     .since = "2.8.9",
     .complexity = "N/A",
     .summary = "Tests registers and estimates of HyperLogLogs."},
};

const struct command_family hyperloglog_debug_family = {hyperloglog_debug_commands,
                                                        ARRAY_COUNT(hyperloglog_debug_commands)};
