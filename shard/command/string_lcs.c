/*
 * string_lcs.c: LCS: the longest run of bytes, gaps allowed, that two strings have in common.
 * The textbook's table: cell (i, j) is the answer's length for the first i bytes of a and the first
 * j of b.
 *
 *         ""  b[0] b[1]          cell = upper left + 1        where a[i-1] == b[j-1]
 *     ""   0   0    0                   max(upper, left)      elsewhere
 *   a[0]   0   .    .
 *   a[1]   0   .   answer        the answer itself: walk back from the last cell
 *
 * Of several longest answers redis-server gives a certain one; the walk goes to the left where both
 * neighbours are equal, and then gives the same. LEN alone needs two rows of the table; but it
 * refuses what redis-server refuses, whose limit is the size of the whole.
 */
#include "core/heap.h"
#include "shard/call.h"
#include "shard/command/families.h"

struct lcs_options {
    bool is_length_only;
    bool has_indexes;
    bool has_match_sizes;
    int64_t match_size_min;
};

struct lcs {
    struct slice a;
    struct slice b;
    uint32_t *cells; /* (a.size + 1) rows of (b.size + 1) */
};

static bool
lcs_options_read(struct call *call, struct lcs_options *options)
{
    *options = (struct lcs_options){0};
    for (uint32_t i = 3; i < call->argc; i++) {
        struct slice word = call->argv[i];
        if (slice_is_word(word, "idx")) {
            options->has_indexes = true;
        } else if (slice_is_word(word, "len")) {
            options->is_length_only = true;
        } else if (slice_is_word(word, "withmatchlen")) {
            options->has_match_sizes = true;
        } else if (slice_is_word(word, "minmatchlen") && i + 1 < call->argc) {
            i++;
            if (!call_integer(call, i, &options->match_size_min, NULL)) {
                return false;
            }
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    if (options->has_indexes && options->is_length_only) {
        reply_error(call->reply,
                    "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

/** Is the table within bounds? Replies the error. */
static bool
lcs_size_check(struct call *call, struct slice a, struct slice b)
{
    if (a.size >= UINT32_MAX - 1 || b.size >= UINT32_MAX - 1) {
        reply_error(call->reply, "ERR String too long for LCS");
        return false;
    }
    uint64_t cell_count = ((uint64_t)a.size + 1) * ((uint64_t)b.size + 1);
    uint64_t table_size;
    if (__builtin_mul_overflow(cell_count, sizeof(uint32_t), &table_size)) {
        reply_error(call->reply,
                    "ERR Insufficient memory, failed allocating transient memory for LCS");
        return false;
    }
    if (table_size > call->shard->config->proto_max_bulk_len) {
        reply_error(call->reply,
                    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return false;
    }
    return true;
}

/** One row from the one above it. */
static void
lcs_row(uint32_t *row, const uint32_t *above, char byte, struct slice b)
{
    row[0] = 0;
    for (size_t j = 1; j <= b.size; j++) {
        row[j] = b.data[j - 1] == byte ? above[j - 1] + 1 : MAX(above[j], row[j - 1]);
    }
}

static uint32_t
lcs_length(struct slice a, struct slice b)
{
    size_t row_size = (b.size + 1) * sizeof(uint32_t);
    uint32_t *above = heap_alloc(row_size);
    uint32_t *row = heap_alloc(row_size);
    memset(above, 0, row_size);
    for (size_t i = 0; i < a.size; i++) {
        lcs_row(row, above, a.data[i], b);
        uint32_t *swap = above;
        above = row;
        row = swap;
    }
    uint32_t length = above[b.size];
    heap_free(above);
    heap_free(row);
    return length;
}

static inline uint32_t *
lcs_row_at(const struct lcs *lcs, size_t i)
{
    return lcs->cells + i * (lcs->b.size + 1);
}

static void
lcs_fill(struct lcs *lcs)
{
    size_t row_size = (lcs->b.size + 1) * sizeof(uint32_t);
    lcs->cells = heap_alloc((lcs->a.size + 1) * row_size);
    memset(lcs->cells, 0, row_size);
    for (size_t i = 1; i <= lcs->a.size; i++) {
        lcs_row(lcs_row_at(lcs, i), lcs_row_at(lcs, i - 1), lcs->a.data[i - 1], lcs->b);
    }
}

/**
 * Walk back from (*i, *j) to the end of the next common run, and then through it: *i and *j are
 * where it begins. Returns its size; 0: there is none any more.
 */
static size_t
lcs_run_back(const struct lcs *lcs, size_t *i, size_t *j)
{
    while (*i > 0 && *j > 0 && lcs->a.data[*i - 1] != lcs->b.data[*j - 1]) {
        if (lcs_row_at(lcs, *i - 1)[*j] > lcs_row_at(lcs, *i)[*j - 1]) {
            --*i;
        } else {
            --*j;
        }
    }
    size_t size = 0;
    while (*i > 0 && *j > 0 && lcs->a.data[*i - 1] == lcs->b.data[*j - 1]) {
        --*i;
        --*j;
        size++;
    }
    return size;
}

static void
lcs_reply_bytes(struct call *call, const struct lcs *lcs)
{
    size_t i = lcs->a.size;
    size_t j = lcs->b.size;
    size_t left = lcs_row_at(lcs, i)[j];
    struct slice answer = slice_of(heap_alloc(left), left);
    for (size_t size; (size = lcs_run_back(lcs, &i, &j)) > 0;) {
        left -= size;
        memcpy((char *)answer.data + left, lcs->a.data + i, size);
    }
    ASSERT(left == 0);
    reply_bulk(call->reply, answer);
    heap_free((char *)answer.data);
}

static void
lcs_reply_range(struct call *call, size_t start, size_t size)
{
    reply_array(call->reply, 2);
    reply_i64(call->reply, (int64_t)start);
    reply_i64(call->reply, (int64_t)(start + size - 1));
}

static void
lcs_reply_indexes(struct call *call, const struct lcs *lcs, const struct lcs_options *options)
{
    size_t i = lcs->a.size;
    size_t j = lcs->b.size;
    uint32_t length = lcs_row_at(lcs, i)[j];
    uint64_t match_count = 0;
    reply_map(call->reply, 2);
    reply_bulk_string(call->reply, "matches");
    struct reply_later matches = reply_later(call->reply);
    for (size_t size; (size = lcs_run_back(lcs, &i, &j)) > 0;) {
        if ((int64_t)size < options->match_size_min) {
            continue;
        }
        match_count++;
        reply_array(call->reply, options->has_match_sizes ? 3 : 2);
        lcs_reply_range(call, i, size);
        lcs_reply_range(call, j, size);
        if (options->has_match_sizes) {
            reply_i64(call->reply, (int64_t)size);
        }
    }
    reply_later_array(call->reply, matches, match_count);
    reply_bulk_string(call->reply, "len");
    reply_i64(call->reply, length);
}

static void
lcs_run(struct call *call)
{
    call_count(call, call->views[0]);
    call_count(call, call->views[1]);
    for (uint32_t i = 0; i < 2; i++) {
        if (view_exists(call->views[i]) && call->views[i]->value.type != VALUE_STRING) {
            reply_error(call->reply, "ERR The specified keys must contain string values");
            return;
        }
    }
    char digits[2][24];
    struct lcs lcs = {.a = view_string(call->views[0], digits[0]),
                      .b = view_string(call->views[1], digits[1])};
    struct lcs_options options;
    if (!lcs_options_read(call, &options) || !lcs_size_check(call, lcs.a, lcs.b)) {
        return;
    }
    if (options.is_length_only) {
        reply_i64(call->reply, lcs_length(lcs.a, lcs.b));
        return;
    }
    lcs_fill(&lcs);
    if (options.has_indexes) {
        lcs_reply_indexes(call, &lcs, &options);
    } else {
        lcs_reply_bytes(call, &lcs);
    }
    heap_free(lcs.cells);
}

static const struct command_argument lcs_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key1"},
    {.kind = ARGUMENT_KEY, .name = "key2"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "len", .token = "LEN", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "idx", .token = "IDX", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "len", .token = "MINMATCHLEN", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "withmatchlen",
     .token = "WITHMATCHLEN",
     .is_optional = true},
    {0},
};

static const struct command string_lcs_commands[] = {
    {.name = "lcs",
     .run = lcs_run,
     .flags = CMD_READONLY | CMD_NO_COUNT,
     .arity = -3,
     .key_specs = {KEYS_FROM(1, 1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "7.0.0",
     .complexity = "O(N*M) where N and M are the sizes of the two strings.",
     .summary = "Finds the longest subsequence that two strings have in common.",
     .arguments = lcs_arguments},
};

const struct command_family string_lcs_family = {string_lcs_commands,
                                                 ARRAY_COUNT(string_lcs_commands)};
