/*
 * hyperloglog_test.c: HyperLogLogs as bytes against plain registers, and the commands on them, each
 * run as the owner's own and as a borrower's. Bytes and counts that stand here are redis-server's.
 */
#include "core/heap.h"
#include "core/keyslot.h"
#include "core/number.h"
#include "core/random.h"
#include "harness.h"
#include "shard/value/hyperloglog.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NO_SKETCH "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"
#define CORRUPT "-INVALIDOBJ Corrupted HLL object detected\r\n"
/** Nothing behind it: the runs of 16384 registers are missing. */
#define SPARSE_HEADER "HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80"

struct step {
    const char *line;
    const char *reply;
};

static void
steps_run_as(const struct step *steps, bool is_borrowed)
{
    struct harness *harness = harness_new();
    harness->is_borrowed = is_borrowed;
    for (; steps->line != NULL; steps++) {
        const char *reply = harness_line(harness, steps->line);
        cr_expect_str_eq(reply, steps->reply, "%s: %s instead of %s", steps->line, reply,
                         steps->reply);
    }
    struct harness *replica = harness_new();
    harness_replay(harness, replica);
    cr_expect(harness_equal(harness, replica));
    harness_delete(replica);
    harness_delete(harness);
}

/** Each table runs twice, and its effects are replayed on an empty shard. */
static void
steps_run(const struct step *steps)
{
    steps_run_as(steps, false);
    steps_run_as(steps, true);
}

static void
expect_bytes(struct harness *harness, const char *key, const char *bytes, size_t size)
{
    struct slice argv[] = {SLICE("GET"), slice_of_string(key)};
    struct slice reply = harness_run(harness, argv, 2);
    const char *begin = memchr(reply.data, '\n', reply.size);
    cr_assert_not_null(begin);
    struct slice value = slice_of(begin + 1, reply.size - 2 - (size_t)(begin + 1 - reply.data));
    cr_expect_eq(value.size, size);
    cr_expect(slice_equal(value, slice_of(bytes, size)), "the bytes of %s differ", key);
}

#define EXPECT_BYTES(harness, key, literal) expect_bytes(harness, key, literal, sizeof(literal) - 1)

/* ---- commands ---- */

Test(hyperloglog, bytes_are_those_of_redis_server)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        harness->is_borrowed = is_borrowed;
        cr_expect_str_eq(harness_line(harness, "PFADD h"), ":1\r\n");
        EXPECT_BYTES(harness, "h", "HYLL\1\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff");
        cr_expect_str_eq(harness_encoding(harness, "h"), "raw");
        cr_expect_str_eq(harness_line(harness, "PFADD h a"), ":1\r\n");
        EXPECT_BYTES(harness, "h", "HYLL\1\0\0\0\0\0\0\0\0\0\0\x80\x71\xa6\x84\x4e\x57");
        cr_expect_str_eq(harness_line(harness, "PFADD h b"), ":1\r\n");
        EXPECT_BYTES(harness, "h",
                     "HYLL\1\0\0\0\0\0\0\0\0\0\0\x80\x71\xa6\x84\x4b\xfb\x80\x42\x5a");
        cr_expect_str_eq(harness_line(harness, "PFADD h a b"), ":0\r\n");
        cr_expect_str_eq(harness_line(harness, "PFDEBUG DECODE h"),
                         "$32\r\nZ:12711 v:2,1 Z:3068 v:1,1 Z:603\r\n");
        harness_delete(harness);
    }
}

Test(hyperloglog, commands)
{
    steps_run((const struct step[]){
        {"PFCOUNT none", ":0\r\n"},
        {"PFADD h a b c a", ":1\r\n"},
        {"PFADD h a c", ":0\r\n"},
        {"PFCOUNT h", ":3\r\n"},
        {"PFCOUNT h none", ":3\r\n"},
        {"PFADD i c d e", ":1\r\n"},
        {"PFCOUNT h i h", ":5\r\n"},
        {"PFMERGE m h i none", "+OK\r\n"},
        {"PFCOUNT m", ":5\r\n"},
        {"PFMERGE m", "+OK\r\n"},
        {"PFDEBUG ENCODING m", "+sparse\r\n"},
        {"PFDEBUG TODENSE m", ":1\r\n"},
        {"PFDEBUG todense m", ":0\r\n"},
        {"PFDEBUG ENCODING m", "+dense\r\n"},
        {"STRLEN m", ":12304\r\n"},
        {"PFCOUNT m", ":5\r\n"},
        {"PFADD m x", ":1\r\n"},
        {"PFCOUNT m h", ":6\r\n"},
        {"PFMERGE h m", "+OK\r\n"},
        {"PFDEBUG ENCODING h", "+dense\r\n"},
        {"PFCOUNT h", ":6\r\n"},
        {"PFMERGE empty none", "+OK\r\n"},
        {"STRLEN empty", ":18\r\n"},
        {"PFDEBUG DECODE m", "-ERR HLL encoding is not sparse\r\n"},
        {"PFDEBUG NOPE m", "-ERR Unknown PFDEBUG subcommand 'NOPE'\r\n"},
        {"PFDEBUG NOPE none", "-ERR The specified key does not exist\r\n"},
        {0},
    });
}

Test(hyperloglog, refuses_what_is_none)
{
    steps_run((const struct step[]){
        {"SET n 123", "+OK\r\n"},
        {"PFADD n a", NO_SKETCH},
        {"PFCOUNT n", NO_SKETCH},
        {"PFCOUNT none n", NO_SKETCH},
        {"PFMERGE n", NO_SKETCH},
        {"PFDEBUG GETREG n", NO_SKETCH},
        {"SET s HYLLHYLLHYLLHYLLHYLL", "+OK\r\n"},
        {"PFADD s a", NO_SKETCH},
        {"SET s \"HYLL\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"", "+OK\r\n"},
        {"PFADD s a", NO_SKETCH},
        {"SET s \"" SPARSE_HEADER "\"", "+OK\r\n"},
        {"PFADD s", ":0\r\n"},
        {"PFADD s a", CORRUPT},
        {"PFCOUNT s", CORRUPT},
        {"PFCOUNT s n", CORRUPT},
        {"PFMERGE none s", CORRUPT},
        {"EXISTS none", ":0\r\n"},
        {"PFDEBUG GETREG s", CORRUPT},
        {"PFDEBUG TODENSE s", CORRUPT},
        {"PFDEBUG DECODE s", "$0\r\n\r\n"},
        /* A value behind the last register. */
        {"SET s \"" SPARSE_HEADER "\\x7f\\xff\\x80\"", "+OK\r\n"},
        {"PFCOUNT s", CORRUPT},
        {"PFMERGE none s", CORRUPT},
        {0},
    });
}

Test(hyperloglog, selftest)
{
    struct harness *harness = harness_new();
    cr_expect_str_eq(harness_line(harness, "PFSELFTEST"), "+OK\r\n");
    harness_delete(harness);
}

/** PFADD of numbers from `first` on. */
static void
add_numbers(struct harness *harness, const char *key, uint32_t first, uint32_t count)
{
    char digits[24];
    for (uint32_t i = first; i < first + count; i++) {
        struct slice argv[] = {SLICE("PFADD"), slice_of_string(key),
                               slice_of(digits, number_format_u64(digits, i))};
        harness_run(harness, argv, ARRAY_COUNT(argv));
    }
}

Test(hyperloglog, becomes_dense_at_the_configured_size)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        harness->is_borrowed = is_borrowed;
        harness->is_checked = false;
        harness->config->hll_sparse_max_bytes = 100;
        add_numbers(harness, "h", 0, 20);
        cr_expect_str_eq(harness_line(harness, "PFDEBUG ENCODING h"), "+sparse\r\n");
        add_numbers(harness, "h", 20, 20);
        cr_expect_str_eq(harness_line(harness, "PFDEBUG ENCODING h"), "+dense\r\n");
        cr_expect_str_eq(harness_line(harness, "PFCOUNT h"), ":40\r\n");
        harness->config->hll_sparse_max_bytes = 3000;
        add_numbers(harness, "i", 0, 5000);
        add_numbers(harness, "j", 4000, 5000);
        cr_expect_str_eq(harness_line(harness, "PFMERGE h i j"), "+OK\r\n");
        long count = strtol(harness_line(harness, "PFCOUNT h") + 1, NULL, 10);
        cr_expect(labs(count - 9000) < 300, "%ld", count);
        struct harness *replica = harness_new();
        replica->is_checked = false;
        harness_replay(harness, replica);
        cr_expect(harness_equal(harness, replica));
        harness_delete(replica);
        harness_delete(harness);
    }
}

/** PFCOUNT as the router runs it: with its keys to itself. */
static void
count_exclusively(struct harness *harness, const char *name, bool is_borrowed, char *reply_text)
{
    /* From the heap, or compilers hash it beforehand and warn of what they see then. */
    char *copy = strdup(name);
    struct slice key = slice_of_string(copy);
    struct slice argv[] = {SLICE("PFCOUNT"), key};
    struct keyspace *keyspace = &harness->shard->keyspace;
    struct view view = {.key = key,
                        .hash = keyspace_hash(keyspace, key),
                        .slot = key_slot(key),
                        .flags = VIEW_EXCLUSIVE};
    struct view *views[] = {&view};
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, 2);
    struct call call = {.command = command_resolve(harness->table, argv, 2),
                        .argv = argv,
                        .argc = 2,
                        .views = views,
                        .view_count = 1,
                        .reply = &reply,
                        .shard = harness->shards[is_borrowed ? 1 : 0],
                        .now_ms = harness->shard->now_ms,
                        .effects = &harness->journal};
    view_open(harness->shard, &view);
    call_run(&call);
    view_commit(harness->shard, &view);
    call_scratch_free(&call);
    size_t size = output.byte_count;
    char *bytes = output_flatten(&output);
    memcpy(reply_text, bytes, size);
    reply_text[size] = '\0';
    heap_free(bytes);
    output_destroy(&output);
    free(copy);
}

Test(hyperloglog, count_is_kept)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        char reply[64];
        harness_line(harness, "PFADD h a b");
        harness_line(harness, "PEXPIRE h 5000");
        count_exclusively(harness, "h", is_borrowed, reply);
        cr_expect_str_eq(reply, ":2\r\n");
        EXPECT_BYTES(harness, "h", "HYLL\1\0\0\0\2\0\0\0\0\0\0\0\x71\xa6\x84\x4b\xfb\x80\x42\x5a");
        struct harness *replica = harness_new();
        harness_replay(harness, replica);
        cr_expect(harness_equal(harness, replica));
        harness_delete(replica);
        effects_clear(&harness->journal);
        count_exclusively(harness, "h", is_borrowed, reply);
        cr_expect_eq(harness->journal.count, 0);
        cr_expect_eq(harness_deadline_ms(harness, "h"), HARNESS_START_MS + 5000);
        harness_line(harness, "PFADD h a");
        EXPECT_BYTES(harness, "h", "HYLL\1\0\0\0\2\0\0\0\0\0\0\0\x71\xa6\x84\x4b\xfb\x80\x42\x5a");
        harness_line(harness, "PFADD h c");
        cr_expect_str_eq(harness_line(harness, "PFCOUNT h"), ":3\r\n");
        /* What is kept is believed. */
        harness_line(harness, "SETRANGE h 8 \"\\x2a\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"");
        cr_expect_str_eq(harness_line(harness, "PFCOUNT h"), ":42\r\n");
        harness_delete(harness);
    }
}

/* ---- bytes ---- */

/** Sparse bytes that end where their memory ends, so that a sanitizer sees what reads on. */
static struct slice
exact_copy(struct slice bytes)
{
    char *copy = malloc(bytes.size);
    cr_assert_not_null(copy);
    memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

static struct slice
apply(struct slice bytes, const struct hyperloglog_plan *plan)
{
    char *data = malloc(plan->room);
    cr_assert_not_null(data);
    memcpy(data, bytes.data, bytes.size);
    size_t size = hyperloglog_sparse_apply(data, bytes.size, plan);
    cr_assert_leq(size, plan->room);
    struct slice fresh = exact_copy(slice_of(data, size));
    free(data);
    free((char *)bytes.data);
    return fresh;
}

static void
expect_registers(struct slice bytes, const uint8_t *model, int round)
{
    uint8_t registers[HYPERLOGLOG_REGISTER_COUNT] = {0};
    cr_assert(hyperloglog_merge(registers, bytes), "round %d", round);
    cr_assert_eq(memcmp(registers, model, sizeof(registers)), 0, "round %d", round);
}

Test(hyperloglog, sparse_and_dense_hold_what_plain_registers_hold)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct random random;
        random_create(&random, seed);
        uint8_t model[HYPERLOGLOG_REGISTER_COUNT] = {0};
        char *dense = malloc(HYPERLOGLOG_DENSE_SIZE);
        hyperloglog_create(dense);
        hyperloglog_dense_store(dense, model);
        char empty[HYPERLOGLOG_EMPTY_SIZE];
        hyperloglog_create(empty);
        struct slice sparse = exact_copy(slice_of(empty, sizeof(empty)));
        /* Few registers and few ranks, so that runs meet and merge. */
        uint64_t index_count = seed % 2 == 0 ? 200 : HYPERLOGLOG_REGISTER_COUNT;
        uint64_t rank_count = seed % 3 == 0 ? 32 : 3;
        for (int round = 0; round < 4000; round++) {
            struct hyperloglog_mark mark = {.index = (uint32_t)random_below(&random, index_count),
                                            .rank =
                                                1 + (uint32_t)random_below(&random, rank_count)};
            bool is_raise = mark.rank > model[mark.index];
            model[mark.index] = (uint8_t)MAX((uint32_t)model[mark.index], mark.rank);
            struct hyperloglog_plan plan;
            enum hyperloglog_outcome outcome =
                hyperloglog_sparse_plan(sparse, mark, UINT64_MAX, NULL, &plan);
            cr_assert_eq(outcome, is_raise ? HYPERLOGLOG_RAISED : HYPERLOGLOG_SAME,
                         "seed %llu, round %d", (unsigned long long)seed, round);
            if (is_raise) {
                sparse = apply(sparse, &plan);
            }
            cr_assert_eq(hyperloglog_dense_raise(dense, mark), is_raise);
            if (round % 50 == 0) {
                expect_registers(sparse, model, round);
                expect_registers(slice_of(dense, HYPERLOGLOG_DENSE_SIZE), model, round);
            }
        }
        uint64_t counts[3] = {0};
        cr_assert(hyperloglog_count(sparse, &counts[0]));
        cr_assert(hyperloglog_count(slice_of(dense, HYPERLOGLOG_DENSE_SIZE), &counts[1]));
        counts[2] = hyperloglog_registers_count(model);
        cr_expect_eq(counts[0], counts[1]);
        cr_expect_eq(counts[0], counts[2]);
        char *packed = malloc(HYPERLOGLOG_DENSE_SIZE);
        memcpy(packed, dense, HYPERLOGLOG_DENSE_SIZE);
        hyperloglog_dense_store(packed, model);
        cr_expect_eq(memcmp(packed, dense, HYPERLOGLOG_DENSE_SIZE), 0);
        free(packed);
        free(dense);
        free((char *)sparse.data);
    }
}

Test(hyperloglog, a_cursor_changes_nothing_but_the_time)
{
    struct random random;
    random_create(&random, 11);
    for (int round = 0; round < 200; round++) {
        char empty[HYPERLOGLOG_EMPTY_SIZE];
        hyperloglog_create(empty);
        struct slice with = exact_copy(slice_of(empty, sizeof(empty)));
        struct slice without = exact_copy(slice_of(empty, sizeof(empty)));
        /* Runs that meet again and again: few ranks, small steps. */
        uint32_t step_max = 1 + (uint32_t)random_below(&random, round % 4 == 0 ? 200 : 3);
        uint32_t index_end = round % 4 == 0 ? HYPERLOGLOG_REGISTER_COUNT : 600;
        for (int pass = 0; pass < 6; pass++) {
            struct hyperloglog_cursor cursor = {0};
            for (uint32_t index = 0; index < index_end;
                 index += 1 + (uint32_t)random_below(&random, step_max)) {
                struct hyperloglog_mark mark = {.index = index,
                                                .rank = 1 + (uint32_t)random_below(&random, 3)};
                struct hyperloglog_plan plan;
                enum hyperloglog_outcome outcome =
                    hyperloglog_sparse_plan(without, mark, 3000, NULL, &plan);
                if (outcome == HYPERLOGLOG_RAISED) {
                    without = apply(without, &plan);
                }
                cr_assert_eq(hyperloglog_sparse_plan(with, mark, 3000, &cursor, &plan), outcome);
                if (outcome == HYPERLOGLOG_RAISED) {
                    with = apply(with, &plan);
                }
                cr_assert(slice_equal(with, without), "seed 11, round %d", round);
                if (outcome == HYPERLOGLOG_PROMOTE) {
                    break;
                }
            }
        }
        free((char *)with.data);
        free((char *)without.data);
    }
}

Test(hyperloglog, any_bytes_are_survived)
{
    struct random random;
    random_create(&random, 12);
    uint8_t *registers = malloc(HYPERLOGLOG_REGISTER_COUNT);
    for (int round = 0; round < 20000; round++) {
        size_t size = HYPERLOGLOG_HEADER_SIZE + random_below(&random, 60);
        char *data = malloc(size);
        for (size_t i = 0; i < size; i++) {
            /* Long runs more often than chance would have them. */
            uint64_t byte = random_below(&random, 256);
            data[i] = (char)(random_below(&random, 4) == 0 ? 0x7f : byte);
        }
        char header[HYPERLOGLOG_EMPTY_SIZE];
        hyperloglog_create(header);
        memcpy(data, header, HYPERLOGLOG_HEADER_SIZE);
        struct slice bytes = slice_of(data, size);
        memset(registers, 0, HYPERLOGLOG_REGISTER_COUNT);
        uint64_t count;
        cr_assert_eq(hyperloglog_merge(registers, bytes), hyperloglog_count(bytes, &count));
        char *text = malloc(HYPERLOGLOG_TEXT_SIZE_MAX(size));
        cr_assert_leq(hyperloglog_sparse_text(bytes, text), HYPERLOGLOG_TEXT_SIZE_MAX(size));
        free(text);
        for (int i = 0; i < 5; i++) {
            struct hyperloglog_mark mark = {
                .index = (uint32_t)random_below(&random, HYPERLOGLOG_REGISTER_COUNT),
                .rank = 1 + (uint32_t)random_below(&random, 51)};
            struct hyperloglog_plan plan;
            if (hyperloglog_sparse_plan(bytes, mark, 3000, NULL, &plan) == HYPERLOGLOG_RAISED) {
                bytes = apply(bytes, &plan);
            }
        }
        free((char *)bytes.data);
    }
    free(registers);
}

Test(hyperloglog, estimates_are_near_the_truth)
{
    uint8_t registers[HYPERLOGLOG_REGISTER_COUNT] = {0};
    uint64_t next = 10;
    for (uint64_t i = 1; i <= 1000000; i++) {
        struct hyperloglog_mark mark = hyperloglog_mark(slice_of(&i, sizeof(i)));
        registers[mark.index] = (uint8_t)MAX((uint32_t)registers[mark.index], mark.rank);
        if (i == next) {
            double count = (double)hyperloglog_registers_count(registers);
            cr_expect(fabs(count - (double)i) <= 0.03 * (double)i, "%g of %llu", count,
                      (unsigned long long)i);
            next *= 10;
        }
    }
}
