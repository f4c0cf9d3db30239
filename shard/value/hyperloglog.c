#include "shard/value/hyperloglog.h"

#include "core/number.h"

#include <assert.h>
#include <math.h>

/*
 * hyperloglog.c: HyperLogLog in redis-server's bytes.
 * An element's hash names one of 16384 registers by its low 14 bits and a rank by the rest: how
 * many zeros come before the first one, plus one. A register keeps the highest rank that it has
 * seen. The count is estimated from how many registers have which rank, by Ertl's improved
 * estimator (https://arxiv.org/abs/1702.01284), which needs no table of corrections.
 *
 *     "HYLL" encoding 0 0 0 [count, 8 bytes; the top bit: out of date] then
 *     dense:   6 bits for each register, the lowest bits of a byte first
 *     sparse:  runs   00nnnnnn           n + 1 registers of 0
 *                     01nnnnnn nnnnnnnn  n + 1 registers of 0
 *                     1vvvvvnn           n + 1 registers of v + 1
 *
 * When two servers see the same elements their bytes are the same, for the runs change by fixed
 * rules: the run that has the register is split into at most three; then, from the run before it
 * on, equal neighbours are merged within five steps. A rank above 32, or growth beyond the size
 * allowed, makes it dense.
 *
 * The two that take time: finding a register in a sparse one passes eight runs at a time, adding up
 * their lengths within a word, up to the next run of two bytes; and dense registers are unpacked
 * eight at a time, by halving a word three times.
 *
 * Invariants: a valid sparse one has runs for exactly 16384 registers. Bytes come from clients, so
 * every function here holds for any bytes and says when they do not add up. A second byte that is
 * missing at the end counts as zero, for redis-server finds the string's terminator there.
 *
 * Rejected: unpacking a sparse one to change it (16 KiB of work for a byte).
 */

static const char hyperloglog_magic[4] = "HYLL";

enum {
    ENCODING_BYTE_DENSE = 0,
    ENCODING_BYTE_SPARSE = 1,
};

#define ENCODING_OFFSET 4

/** Low bits of the hash that name a register; the others make the rank. */
#define INDEX_BITS 14
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)
#define RANK_BITS (64 - INDEX_BITS)
static_assert(UINT64_C(1) << INDEX_BITS == HYPERLOGLOG_REGISTER_COUNT, "a register for each index");

/** What a run of a value can say. */
#define RUN_VALUE_MAX 32
#define RUN_VALUE_LENGTH_MAX 4
#define RUN_ZERO_LENGTH_MAX 64

/** How many runs are looked at for merging. */
#define MERGE_STEPS 5

#define HASH_SEED UINT64_C(0xadc83b19)

/* ---- elements ---- */

/** MurmurHash64A, public domain, by Austin Appleby. */
static uint64_t
murmur_hash(const char *data, size_t size, uint64_t seed)
{
    const uint64_t multiplier = UINT64_C(0xc6a4a7935bd1e995);
    uint64_t hash = seed ^ size * multiplier;
    size_t rest = size % sizeof(uint64_t);
    const char *end = data + (size - rest);
    for (; data < end; data += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        word *= multiplier;
        word ^= word >> 47;
        word *= multiplier;
        hash = (hash ^ word) * multiplier;
    }
    if (rest > 0) {
        uint64_t word = 0;
        memcpy(&word, data, rest);
        hash = (hash ^ word) * multiplier;
    }
    hash ^= hash >> 47;
    hash *= multiplier;
    return hash ^ hash >> 47;
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as they lie");

struct hyperloglog_mark
hyperloglog_mark(struct slice element)
{
    uint64_t hash = murmur_hash(element.data, element.size, HASH_SEED);
    /* A one behind the last bit ends the count there. */
    uint64_t rest = hash >> INDEX_BITS | UINT64_C(1) << RANK_BITS;
    return (struct hyperloglog_mark){.index = (uint32_t)(hash & INDEX_MASK),
                                     .rank = (uint32_t)__builtin_ctzll(rest) + 1};
}

/* ---- header ---- */

bool
hyperloglog_is_valid(struct slice bytes)
{
    if (bytes.size < HYPERLOGLOG_HEADER_SIZE ||
        memcmp(bytes.data, hyperloglog_magic, sizeof(hyperloglog_magic)) != 0) {
        return false;
    }
    unsigned char encoding = (unsigned char)bytes.data[ENCODING_OFFSET];
    return encoding == ENCODING_BYTE_SPARSE ||
           (encoding == ENCODING_BYTE_DENSE && bytes.size == HYPERLOGLOG_DENSE_SIZE);
}

bool
hyperloglog_is_dense(struct slice bytes)
{
    return bytes.data[ENCODING_OFFSET] == ENCODING_BYTE_DENSE;
}

void
hyperloglog_create(char *data)
{
    memset(data, 0, HYPERLOGLOG_HEADER_SIZE);
    memcpy(data, hyperloglog_magic, sizeof(hyperloglog_magic));
    data[ENCODING_OFFSET] = ENCODING_BYTE_SPARSE;
    /* One run of 16384 zeros. */
    data[HYPERLOGLOG_HEADER_SIZE] = 0x7f;
    data[HYPERLOGLOG_HEADER_SIZE + 1] = (char)0xff;
}

bool
hyperloglog_cache_read(struct slice bytes, uint64_t *count)
{
    memcpy(count, bytes.data + HYPERLOGLOG_CACHE_OFFSET, sizeof(*count));
    return *count >> 63 == 0;
}

void
hyperloglog_cache_store(char *data, uint64_t count)
{
    memcpy(data + HYPERLOGLOG_CACHE_OFFSET, &count, sizeof(count));
}

void
hyperloglog_cache_drop(char *data)
{
    char *top = data + HYPERLOGLOG_CACHE_OFFSET + HYPERLOGLOG_CACHE_SIZE - 1;
    *top = (char)((unsigned char)*top | 0x80);
}

/* ---- dense ---- */

/** Eight registers are six bytes. */
#define PACK_REGISTERS 8
#define PACK_SIZE 6

uint32_t
hyperloglog_dense_get(const char *data, uint32_t index)
{
    ASSERT(index < HYPERLOGLOG_REGISTER_COUNT);
    const unsigned char *bytes = (const unsigned char *)data + HYPERLOGLOG_HEADER_SIZE;
    uint32_t at = index * 6 / 8;
    uint32_t shift = index * 6 % 8;
    uint32_t bits = bytes[at];
    if (shift > 2) {
        bits |= (uint32_t)bytes[at + 1] << 8;
    }
    return bits >> shift & 63;
}

bool
hyperloglog_dense_raise(char *data, struct hyperloglog_mark mark)
{
    if (hyperloglog_dense_get(data, mark.index) >= mark.rank) {
        return false;
    }
    unsigned char *bytes = (unsigned char *)data + HYPERLOGLOG_HEADER_SIZE;
    uint32_t at = mark.index * 6 / 8;
    uint32_t shift = mark.index * 6 % 8;
    bytes[at] = (unsigned char)((bytes[at] & ~(63U << shift)) | mark.rank << shift);
    if (shift > 2) {
        bytes[at + 1] =
            (unsigned char)((bytes[at + 1] & ~(63U >> (8 - shift))) | mark.rank >> (8 - shift));
    }
    return true;
}

/** Six bits into each byte: 48 bits, halved three times. */
static inline uint64_t
pack_spread(uint64_t bits)
{
    bits = (bits & UINT64_C(0xffffff)) | (bits & UINT64_C(0xffffff000000)) << 8;
    bits = (bits & UINT64_C(0x00000fff00000fff)) | (bits & UINT64_C(0x00fff00000fff000)) << 4;
    return (bits & UINT64_C(0x003f003f003f003f)) | (bits & UINT64_C(0x0fc00fc00fc00fc0)) << 2;
}

/** The other way round. */
static inline uint64_t
pack_gather(uint64_t bytes)
{
    bytes = (bytes & UINT64_C(0x003f003f003f003f)) | (bytes & UINT64_C(0x3f003f003f003f00)) >> 2;
    bytes = (bytes & UINT64_C(0x00000fff00000fff)) | (bytes & UINT64_C(0x0fff00000fff0000)) >> 4;
    return (bytes & UINT64_C(0xffffff)) | (bytes & UINT64_C(0x00ffffff00000000)) >> 8;
}

/** All registers, a byte each. */
static void
dense_unpack(const char *data, uint8_t *registers)
{
    const char *packed = data + HYPERLOGLOG_HEADER_SIZE;
    for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT / PACK_REGISTERS; i++) {
        uint64_t bits = 0;
        memcpy(&bits, packed + (size_t)i * PACK_SIZE, PACK_SIZE);
        bits = pack_spread(bits);
        memcpy(registers + (size_t)i * PACK_REGISTERS, &bits, sizeof(bits));
    }
}

void
hyperloglog_dense_store(char *data, const uint8_t *registers)
{
    data[ENCODING_OFFSET] = ENCODING_BYTE_DENSE;
    char *packed = data + HYPERLOGLOG_HEADER_SIZE;
    for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT / PACK_REGISTERS; i++) {
        uint64_t bytes;
        memcpy(&bytes, registers + (size_t)i * PACK_REGISTERS, sizeof(bytes));
        bytes = pack_gather(bytes);
        memcpy(packed + (size_t)i * PACK_SIZE, &bytes, PACK_SIZE);
    }
}

/* ---- sparse: runs ---- */

struct run {
    uint32_t size; /* 1 or 2 bytes, the second perhaps behind the end */
    uint32_t length;
    uint32_t value;
};

/** The run at `at`, which is within `bytes`. */
static inline struct run
run_read(struct slice bytes, size_t at)
{
    unsigned char byte = (unsigned char)bytes.data[at];
    if ((byte & 0x80) != 0) {
        return (struct run){.size = 1, .length = (byte & 3U) + 1, .value = (byte >> 2 & 31U) + 1};
    }
    if ((byte & 0x40) == 0) {
        return (struct run){.size = 1, .length = (byte & 63U) + 1};
    }
    uint32_t low = at + 1 < bytes.size ? (unsigned char)bytes.data[at + 1] : 0;
    return (struct run){.size = 2, .length = ((byte & 63U) << 8 | low) + 1};
}

static inline uint8_t
run_of_value(uint32_t value, uint32_t length)
{
    return (uint8_t)(0x80U | (value - 1) << 2 | (length - 1));
}

/** A run of zeros to `out`; returns its size. */
static inline uint32_t
run_of_zeros(uint8_t *out, uint32_t length)
{
    if (length <= RUN_ZERO_LENGTH_MAX) {
        out[0] = (uint8_t)(length - 1);
        return 1;
    }
    out[0] = (uint8_t)(0x40U | (length - 1) >> 8);
    out[1] = (uint8_t)(length - 1);
    return 2;
}

/** What a search knows. */
struct run_place {
    size_t at;
    size_t before; /* the run before it; `at` itself: there is none */
    uint32_t first;
    uint32_t before_first;
};

/** How many of the eight bytes at `at` are whole runs of one byte, and the registers that they are
 * for: up to the first run of two bytes. */
static inline uint32_t
runs_sum(const char *data, uint32_t *length)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    uint64_t two_bytes = word & ~(word >> 1) & ones * 0x40;
    uint32_t count = two_bytes == 0 ? 8 : (uint32_t)__builtin_ctzll(two_bytes) / 8;
    if (count == 0) {
        return 0;
    }
    /* All ones in the bytes of values: their length has two bits only. */
    uint64_t values = (word >> 7 & ones) * 0xff;
    uint64_t lengths = (word & (ones * 0x3f & ~(values & ones * 0x3c))) + ones;
    lengths <<= 8 * (8 - count);
    const uint64_t pairs = UINT64_C(0x00ff00ff00ff00ff);
    lengths = (lengths & pairs) + (lengths >> 8 & pairs);
    *length = (uint32_t)(lengths * UINT64_C(0x0001000100010001) >> 48);
    return count;
}

/** Go on from `place` to the run that has the register. False: no run has. */
static bool
run_find(struct slice bytes, uint32_t index, struct run_place *place, struct run *run)
{
    while (place->at < bytes.size) {
        uint32_t length;
        uint32_t count =
            bytes.size - place->at >= 8 ? runs_sum(bytes.data + place->at, &length) : 0;
        if (count > 0 && place->first + length <= index) {
            /* The last of them is the run before the next one, but where it begins is not kept: it
             * ends where the next one begins. */
            place->at += count;
            place->first += length;
            place->before = place->at - 1;
            place->before_first = place->first - run_read(bytes, place->before).length;
            continue;
        }
        /* It is among them, or what comes is a run of two bytes. */
        for (uint32_t step = MAX(count, 1); step > 0; step--) {
            *run = run_read(bytes, place->at);
            if (index < place->first + run->length) {
                return true;
            }
            place->before = place->at;
            place->before_first = place->first;
            place->at += run->size;
            place->first += run->length;
        }
    }
    return false;
}

/* ---- sparse: changes ---- */

/** What takes the place of `run`, whose first register is `first`. */
static void
plan_split(struct hyperloglog_plan *plan, const struct run *run, uint32_t first,
           struct hyperloglog_mark mark)
{
    uint32_t before = mark.index - first;
    uint32_t behind = run->length - before - 1;
    uint32_t size = 0;
    plan->old_size = (uint8_t)run->size;
    if (before > 0) {
        if (run->value > 0) {
            plan->opcodes[size++] = run_of_value(run->value, before);
        } else {
            size += run_of_zeros(plan->opcodes + size, before);
        }
    }
    plan->opcodes[size++] = run_of_value(mark.rank, 1);
    if (behind > 0) {
        if (run->value > 0) {
            plan->opcodes[size++] = run_of_value(run->value, behind);
        } else {
            size += run_of_zeros(plan->opcodes + size, behind);
        }
    }
    ASSERT(size <= sizeof(plan->opcodes));
    plan->new_size = (uint8_t)size;
}

/** Where to begin the search for a register. */
static struct run_place
place_begin(const struct hyperloglog_cursor *cursor)
{
    size_t at = HYPERLOGLOG_HEADER_SIZE;
    uint32_t first = 0;
    if (cursor != NULL && cursor->at != 0) {
        at = cursor->at;
        first = cursor->first;
    }
    return (struct run_place){.at = at, .before = at, .first = first, .before_first = first};
}

enum hyperloglog_outcome
hyperloglog_sparse_plan(struct slice bytes, struct hyperloglog_mark mark, uint64_t size_max,
                        struct hyperloglog_cursor *cursor, struct hyperloglog_plan *plan)
{
    if (mark.rank > RUN_VALUE_MAX) {
        return HYPERLOGLOG_PROMOTE;
    }
    struct run_place place = place_begin(cursor);
    struct run run;
    bool is_found = run_find(bytes, mark.index, &place, &run);
    if (is_found && place.at == place.before && place.at != HYPERLOGLOG_HEADER_SIZE) {
        /* It is the cursor's own run, and the one before that is not known. */
        place = place_begin(NULL);
        is_found = run_find(bytes, mark.index, &place, &run);
    }
    if (!is_found) {
        return HYPERLOGLOG_CORRUPT;
    }
    if (cursor != NULL) {
        *cursor = (struct hyperloglog_cursor){.at = place.before, .first = place.before_first};
    }
    if (run.value >= mark.rank) {
        return HYPERLOGLOG_SAME;
    }
    plan->at = place.at;
    plan->merge_at = place.before;
    plan_split(plan, &run, place.first, mark);
    plan->room = bytes.size;
    if (plan->new_size > plan->old_size) {
        plan->room += (size_t)(plan->new_size - plan->old_size);
        if (plan->room > size_max) {
            return HYPERLOGLOG_PROMOTE;
        }
    }
    return HYPERLOGLOG_RAISED;
}

/** Merge equal neighbours. Returns the new size. */
static size_t
runs_merge(char *data, size_t size, size_t at)
{
    struct slice bytes = slice_of(data, size);
    for (uint32_t step = 0; step < MERGE_STEPS && at + 1 < bytes.size; step++) {
        struct run run = run_read(bytes, at);
        struct run next = run.value > 0 ? run_read(bytes, at + 1) : (struct run){0};
        if (run.value > 0 && next.value == run.value &&
            run.length + next.length <= RUN_VALUE_LENGTH_MAX) {
            memmove(data + at, data + at + 1, bytes.size - at - 1);
            bytes.size--;
            data[at] = (char)run_of_value(run.value, run.length + next.length);
        } else {
            at += run.size;
        }
    }
    return bytes.size;
}

size_t
hyperloglog_sparse_apply(char *data, size_t size, const struct hyperloglog_plan *plan)
{
    size_t behind = plan->at + plan->old_size;
    size_t new_size = size + plan->new_size - plan->old_size;
    ASSERT(plan->at < size && new_size <= plan->room);
    if (behind < size) {
        memmove(data + plan->at + plan->new_size, data + behind, size - behind);
    }
    /* Where the last run lacked its second byte, the last opcode falls behind the end likewise. */
    memcpy(data + plan->at, plan->opcodes, MIN(plan->new_size, new_size - plan->at));
    size = runs_merge(data, new_size, plan->merge_at);
    hyperloglog_cache_drop(data);
    return size;
}

static size_t
text_append(char *out, const struct run *run)
{
    size_t size = 0;
    out[size++] = run->value > 0 ? 'v' : run->size == 1 ? 'z' : 'Z';
    out[size++] = ':';
    if (run->value > 0) {
        size += number_format_u64(out + size, run->value);
        out[size++] = ',';
    }
    return size + number_format_u64(out + size, run->length);
}

size_t
hyperloglog_sparse_text(struct slice bytes, char *out)
{
    size_t size = 0;
    size_t at = HYPERLOGLOG_HEADER_SIZE;
    while (at < bytes.size) {
        struct run run = run_read(bytes, at);
        char word[2 * NUMBER_I64_SIZE_MAX];
        size_t word_size = text_append(word, &run);
        if (size > 0) {
            out[size++] = ' ';
        }
        memcpy(out + size, word, word_size);
        size += word_size;
        at += run.size;
    }
    return size;
}

/* ---- either: merging ---- */

static bool
sparse_merge(uint8_t *registers, struct slice bytes)
{
    uint32_t index = 0;
    size_t at = HYPERLOGLOG_HEADER_SIZE;
    while (at < bytes.size) {
        struct run run = run_read(bytes, at);
        if (run.length > HYPERLOGLOG_REGISTER_COUNT - index) {
            return false;
        }
        for (uint32_t i = 0; run.value > 0 && i < run.length; i++) {
            registers[index + i] = (uint8_t)MAX((uint32_t)registers[index + i], run.value);
        }
        index += run.length;
        at += run.size;
    }
    return index == HYPERLOGLOG_REGISTER_COUNT;
}

bool
hyperloglog_merge(uint8_t *registers, struct slice bytes)
{
    if (!hyperloglog_is_dense(bytes)) {
        return sparse_merge(registers, bytes);
    }
    uint8_t others[HYPERLOGLOG_REGISTER_COUNT];
    dense_unpack(bytes.data, others);
    for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT; i++) {
        registers[i] = MAX(registers[i], others[i]);
    }
    return true;
}

/* ---- either: counting ---- */

/** How many registers have each rank. */
struct histogram {
    uint32_t counts[64];
};

/** The estimator's part for registers that are still 0. */
static double
estimate_sigma(double x)
{
    if (x == 1.0) {
        return INFINITY;
    }
    double factor = 1.0;
    double sum = x;
    double before;
    do {
        x *= x;
        before = sum;
        sum += x * factor;
        factor += factor;
    } while (sum != before);
    return sum;
}

/** The estimator's part for registers at the highest rank. */
static double
estimate_tau(double x)
{
    if (x == 0.0 || x == 1.0) {
        return 0.0;
    }
    double factor = 1.0;
    double sum = 1.0 - x;
    double before;
    do {
        x = sqrt(x);
        before = sum;
        factor *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * factor;
    } while (sum != before);
    return sum / 3.0;
}

static uint64_t
histogram_estimate(const struct histogram *histogram)
{
    const double m = HYPERLOGLOG_REGISTER_COUNT;
    /* 1 / (2 ln 2) */
    const double alpha = 0.721347520444481703680;
    double z = m * estimate_tau((m - histogram->counts[RANK_BITS + 1]) / m);
    for (uint32_t rank = RANK_BITS; rank >= 1; rank--) {
        z += histogram->counts[rank];
        z *= 0.5;
    }
    z += m * estimate_sigma(histogram->counts[0] / m);
    return (uint64_t)llround(alpha * m * m / z);
}

/** Four tables, so that no increment waits for the one before it. */
static void
histogram_add_registers(struct histogram *histogram, const uint8_t *registers)
{
    uint32_t counts[4][64] = {0};
    for (uint32_t i = 0; i < HYPERLOGLOG_REGISTER_COUNT; i += 4) {
        for (uint32_t j = 0; j < 4; j++) {
            counts[j][registers[i + j] & 63]++;
        }
    }
    for (uint32_t rank = 0; rank < 64; rank++) {
        histogram->counts[rank] +=
            counts[0][rank] + counts[1][rank] + counts[2][rank] + counts[3][rank];
    }
}

static bool
histogram_add_sparse(struct histogram *histogram, struct slice bytes)
{
    uint32_t index = 0;
    size_t at = HYPERLOGLOG_HEADER_SIZE;
    while (at < bytes.size) {
        struct run run = run_read(bytes, at);
        if (run.length > HYPERLOGLOG_REGISTER_COUNT - index) {
            return false;
        }
        histogram->counts[run.value] += run.length;
        index += run.length;
        at += run.size;
    }
    return index == HYPERLOGLOG_REGISTER_COUNT;
}

bool
hyperloglog_count(struct slice bytes, uint64_t *count)
{
    if (hyperloglog_is_dense(bytes)) {
        uint8_t registers[HYPERLOGLOG_REGISTER_COUNT];
        dense_unpack(bytes.data, registers);
        *count = hyperloglog_registers_count(registers);
        return true;
    }
    struct histogram histogram = {0};
    if (!histogram_add_sparse(&histogram, bytes)) {
        return false;
    }
    *count = histogram_estimate(&histogram);
    return true;
}

uint64_t
hyperloglog_registers_count(const uint8_t *registers)
{
    struct histogram histogram = {0};
    histogram_add_registers(&histogram, registers);
    return histogram_estimate(&histogram);
}
