/*
 * listpack_test.c: listpacks against an array of strings, against bytes that redis-server wrote,
 * and against bytes that nobody should have written.
 */
#include "shard/value/listpack.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ELEMENT_COUNT_MAX 300
#define TEXT_SIZE_MAX 20000

struct text {
    char *data;
    size_t size;
};

struct model {
    struct random random;
    struct listpack *listpack;
    uint32_t count;
    struct text texts[ELEMENT_COUNT_MAX];
};

static uint64_t
below(struct model *model, uint64_t bound)
{
    return random_below(&model->random, bound);
}

static uint64_t
seed_new(void)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %" PRIu64 "\n", seed);
    return seed;
}

/* ---- texts ---- */

static const int64_t integer_limits[] = {
    0,       127,      128,        4095,        4096,      -1,        32767, -32768,
    8388607, -8388608, 2147483647, -2147483648, INT64_MAX, INT64_MIN, -4096, 100};

static const size_t size_limits[] = {0,   1,   20,   21,   62,   63,    64,    65,    124,
                                     125, 126, 4094, 4095, 4096, 16376, 16377, 16378, 16379};

static struct text
any_text(struct model *model)
{
    struct text text = {.data = malloc(TEXT_SIZE_MAX)};
    switch (below(model, 6)) {
    case 0: {
        int64_t value = integer_limits[below(model, ARRAY_COUNT(integer_limits))];
        int64_t step = (int64_t)below(model, 3) - 1;
        if ((step < 0 && value > INT64_MIN) || (step > 0 && value < INT64_MAX)) {
            value += step;
        }
        text.size = (size_t)snprintf(text.data, TEXT_SIZE_MAX, "%" PRId64, value);
        return text;
    }
    case 1: {
        uint64_t bits = random_next(&model->random) >> below(model, 64);
        text.size = (size_t)snprintf(text.data, TEXT_SIZE_MAX, "%" PRId64, (int64_t)bits);
        return text;
    }
    case 2: {
        static const char *const nearly[] = {"-0",
                                             "007",
                                             "+1",
                                             "1.5",
                                             " 1",
                                             "1 ",
                                             "-",
                                             "00",
                                             "9223372036854775808",
                                             "-9223372036854775809"};
        const char *chosen = nearly[below(model, ARRAY_COUNT(nearly))];
        text.size = (size_t)snprintf(text.data, TEXT_SIZE_MAX, "%s", chosen);
        return text;
    }
    case 3:
        text.size = size_limits[below(model, ARRAY_COUNT(size_limits))];
        break;
    default:
        text.size = below(model, 6);
        break;
    }
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] = (char)("ab\xff\0"[below(model, 4)]);
    }
    return text;
}

static struct slice
bytes_of(struct text text)
{
    return slice_of(text.data, text.size);
}

static void
model_insert(struct model *model, uint32_t index, struct text text)
{
    memmove(model->texts + index + 1, model->texts + index,
            (model->count - index) * sizeof(struct text));
    model->texts[index] = text;
    model->count++;
}

static void
model_remove(struct model *model, uint32_t index, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(model->texts[index + i].data);
    }
    memmove(model->texts + index, model->texts + index + count,
            (model->count - index - count) * sizeof(struct text));
    model->count -= count;
}

/** Integers stored as integers, strings as strings, each in the shortest form: then the bytes are
 * those of a listpack filled in one go. */
static void
matches(struct model *model)
{
    struct listpack *listpack = model->listpack;
    uint32_t count;
    cr_assert(listpack_validate(listpack_bytes(listpack), &count));
    cr_assert_eq(count, model->count);
    cr_assert_eq(listpack_count(listpack), model->count);
    cr_assert_eq(listpack_is_empty(listpack), count == 0);
    cr_assert_leq(sizeof(struct listpack) + listpack_size(listpack), object_size(listpack));
    struct listpack *fresh = listpack_new(0);
    char digits[LISTPACK_DIGITS_SIZE];
    uint32_t position = listpack_first(listpack);
    uint32_t sum_size = LISTPACK_SIZE_EMPTY;
    for (uint32_t i = 0; i < model->count; i++) {
        struct slice expected = bytes_of(model->texts[i]);
        cr_assert_neq(position, LISTPACK_NONE);
        cr_assert(slice_equal(listpack_text(listpack, position, digits), expected));
        cr_assert_eq(listpack_text_size(listpack, position), expected.size);
        position = listpack_next(listpack, position);
        sum_size += (uint32_t)listpack_item_size(expected);
        fresh = listpack_append(fresh, expected);
    }
    cr_assert_eq(position, LISTPACK_NONE);
    cr_assert_eq(sum_size, listpack_size(listpack));
    cr_assert(slice_equal(listpack_bytes(fresh), listpack_bytes(listpack)));
    listpack_delete(fresh);
    position = listpack_last(listpack);
    for (uint32_t i = model->count; i-- > 0;) {
        cr_assert(listpack_equal(listpack, position, bytes_of(model->texts[i])));
        position = listpack_previous(listpack, position);
    }
    cr_assert_eq(position, LISTPACK_NONE);
}

static void
look_for(struct model *model)
{
    struct listpack *listpack = model->listpack;
    uint32_t skip = (uint32_t)below(model, 3);
    uint32_t start = model->count == 0 ? 0 : (uint32_t)below(model, model->count);
    struct text text = any_text(model);
    if (model->count > 0 && below(model, 2) == 0) {
        struct text there = model->texts[below(model, model->count)];
        memcpy(text.data, there.data, there.size);
        text.size = there.size;
    }
    uint32_t expected = LISTPACK_NONE;
    for (uint32_t i = start; i < model->count; i += skip + 1) {
        if (slice_equal(bytes_of(model->texts[i]), bytes_of(text))) {
            expected = listpack_seek(listpack, i);
            break;
        }
    }
    cr_assert_eq(listpack_find(listpack, listpack_seek(listpack, start), bytes_of(text), skip),
                 expected);
    int64_t index = (int64_t)below(model, 2 * ELEMENT_COUNT_MAX) - ELEMENT_COUNT_MAX;
    uint32_t position = listpack_seek(listpack, index);
    int64_t from_first = index < 0 ? index + model->count : index;
    if (from_first < 0 || from_first >= model->count) {
        cr_assert_eq(position, LISTPACK_NONE);
    } else {
        cr_assert(listpack_equal(listpack, position, bytes_of(model->texts[from_first])));
    }
    free(text.data);
}

static void
insert(struct model *model)
{
    struct text text = any_text(model);
    int64_t value;
    uint32_t index = (uint32_t)below(model, model->count + 1);
    uint32_t position = listpack_seek(model->listpack, index);
    bool is_integer = sscanf(text.data, "%" SCNd64, &value) == 1;
    char digits[32];
    is_integer = is_integer && text.size == (size_t)snprintf(digits, 32, "%" PRId64, value) &&
                 memcmp(digits, text.data, text.size) == 0;
    if (below(model, 4) == 0) {
        index = 0;
        model->listpack = listpack_prepend(model->listpack, bytes_of(text));
    } else if (index == model->count && below(model, 2) == 0) {
        model->listpack = is_integer ? listpack_append_integer(model->listpack, value)
                                     : listpack_append(model->listpack, bytes_of(text));
    } else if (index > 0 && below(model, 2) == 0) {
        position = listpack_seek(model->listpack, index - 1);
        model->listpack = listpack_insert_after(model->listpack, &position, bytes_of(text));
        cr_assert(listpack_equal(model->listpack, position, bytes_of(text)));
    } else {
        model->listpack = is_integer ? listpack_insert_integer(model->listpack, &position, value)
                                     : listpack_insert(model->listpack, &position, bytes_of(text));
        cr_assert(listpack_equal(model->listpack, position, bytes_of(text)));
    }
    model_insert(model, index, text);
}

static void
replace(struct model *model)
{
    struct text text = any_text(model);
    uint32_t index = (uint32_t)below(model, model->count);
    uint32_t position = listpack_seek(model->listpack, index);
    if (below(model, 4) == 0) {
        text.size = (size_t)snprintf(text.data, TEXT_SIZE_MAX, "%u", index * 1000);
        model->listpack = listpack_replace_integer(model->listpack, position, index * 1000);
    } else {
        model->listpack = listpack_replace(model->listpack, position, bytes_of(text));
    }
    int64_t value;
    bool is_integer = listpack_integer(model->listpack, position, &value);
    cr_assert_eq(is_integer, listpack_get(model->listpack, position).is_integer);
    free(model->texts[index].data);
    model->texts[index] = text;
}

static void
remove_some(struct model *model)
{
    uint32_t index = (uint32_t)below(model, model->count);
    uint32_t count = 1 + (uint32_t)below(model, below(model, 8) == 0 ? model->count : 3);
    uint32_t position = listpack_seek(model->listpack, index);
    uint32_t removed = MIN(count, model->count - index);
    if (below(model, 2) == 0) {
        int64_t from = below(model, 2) == 0 ? index : (int64_t)index - model->count;
        model->listpack = listpack_remove_range(model->listpack, from, count);
        model_remove(model, index, removed);
        return;
    }
    model->listpack = listpack_remove(model->listpack, &position, count);
    model_remove(model, index, removed);
    cr_assert_eq(position, listpack_seek(model->listpack, index));
}

/** Two halves, joined again. */
static void
split_and_join(struct model *model)
{
    uint32_t index = (uint32_t)below(model, model->count + 1);
    struct listpack *tail = listpack_new(below(model, 100));
    tail = listpack_append_from(tail, model->listpack, listpack_seek(model->listpack, index),
                                UINT32_MAX);
    model->listpack = listpack_remove_range(model->listpack, index, UINT32_MAX);
    cr_assert_eq(listpack_count(tail) + listpack_count(model->listpack), model->count);
    model->listpack = listpack_append_from(model->listpack, tail, listpack_first(tail), UINT32_MAX);
    listpack_delete(tail);
}

static void
resize(struct model *model)
{
    struct listpack *copy;
    switch (below(model, 3)) {
    case 0:
        model->listpack = listpack_trim(model->listpack);
        cr_assert_eq(
            object_size(model->listpack),
            object_block_class_size(sizeof(struct listpack) + listpack_size(model->listpack)));
        break;
    case 1:
        model->listpack = listpack_reserve(model->listpack, below(model, 5000));
        break;
    default:
        copy = listpack_copy(model->listpack);
        listpack_delete(model->listpack);
        model->listpack = copy;
        break;
    }
}

Test(listpack, races_a_model)
{
    struct model *model = calloc(1, sizeof(*model));
    random_create(&model->random, seed_new());
    for (int round = 0; round < 20; round++) {
        model->listpack = listpack_new(below(model, 50));
        uint64_t bound = 1 + below(model, ELEMENT_COUNT_MAX - 1);
        for (int i = 0; i < 1500; i++) {
            uint64_t what = below(model, 12);
            if (what < 5 && model->count < bound) {
                insert(model);
            } else if (what < 7 && model->count > 0) {
                replace(model);
            } else if (what < 10 && model->count > 0) {
                remove_some(model);
            } else if (what == 10) {
                split_and_join(model);
            } else {
                resize(model);
            }
            look_for(model);
            if (model->count < 20 || i % 16 == 0) {
                matches(model);
            }
        }
        matches(model);
        model_remove(model, 0, model->count);
        listpack_delete(model->listpack);
    }
    free(model);
}

Test(listpack, bytes_are_redis_bytes)
{
    /* RPUSH of these, then DUMP, by redis-server 7.0.15. */
    static const char *const texts[] = {
        "0",
        "127",
        "128",
        "-1",
        "4095",
        "4096",
        "-4096",
        "-4097",
        "32767",
        "32768",
        "-32768",
        "-32769",
        "8388607",
        "8388608",
        "-8388608",
        "-8388609",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "9223372036854775807",
        "-9223372036854775808",
        "",
        "a",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "-0",
        "007",
        "12345678901234567890",
        "+1",
        "1.5"};
    static const char *const expected =
        "2c0100001f0000017f01c08002dfff02cfff02f1001003d00002f1ffef03f1ff7f03f200800004f10080"
        "03f2ff7fff04f2ffff7f04f30000800005f200008004f3ffff7fff05f3ffffff7f05f400000080000000"
        "0009f30000008005f4ffffff7fffffffff09f4ffffffffffffff7f09f400000000000000800980018161"
        "02bf78787878787878787878787878787878787878787878787878787878787878787878787878787878"
        "787878787878787878787878787878787878787878787840e04078787878787878787878787878787878"
        "787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
        "78787878787842822d3003833030370494313233343536373839303132333435363738393015822b3103"
        "83312e3504ff";
    struct listpack *listpack = listpack_new(0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        listpack = listpack_append(listpack, slice_of_string(texts[i]));
    }
    struct slice bytes = listpack_bytes(listpack);
    char hex[1024];
    cr_assert_lt(bytes.size, sizeof(hex) / 2);
    for (size_t i = 0; i < bytes.size; i++) {
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes.data[i]);
    }
    cr_assert_str_eq(hex, expected);
    listpack_delete(listpack);
}

/** The last bytes of listpacks with one large string, as redis-server 7.0.15 wrote them: where
 * lengths of elements take one more byte. */
Test(listpack, lengths_are_redis_lengths)
{
    static const struct {
        size_t size;
        unsigned char tail[6];
        size_t tail_size;
    } cases[] = {
        {124, {0x78, 0x7e, 0xff}, 3},
        {125, {0x78, 0x7f, 0xff}, 3},
        {126, {0x78, 0x01, 0x80, 0xff}, 4},
        {4095, {0x78, 0x20, 0x81, 0xff}, 4},
        {4096, {0x78, 0x20, 0x85, 0xff}, 4},
        {16377, {0x78, 0x7f, 0xfe, 0xff}, 4},
        {16378, {0x78, 0x00, 0xff, 0xff, 0xff}, 5},
        {16379, {0x78, 0x01, 0x80, 0x80, 0xff}, 5},
        {2097145, {0x78, 0x7f, 0xff, 0xfe, 0xff}, 5},
        {2097146, {0x78, 0x00, 0xff, 0xff, 0xff, 0xff}, 6},
        {268435449, {0x78, 0x7f, 0xff, 0xff, 0xfe, 0xff}, 6},
        {268435450, {0x00, 0xff, 0xff, 0xff, 0xff, 0xff}, 6},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char *text = malloc(cases[i].size);
        memset(text, 'x', cases[i].size);
        struct listpack *listpack = listpack_new(0);
        listpack = listpack_append(listpack, slice_of(text, cases[i].size));
        struct slice bytes = listpack_bytes(listpack);
        size_t tail_size = cases[i].tail_size;
        cr_assert_eq(memcmp(bytes.data + bytes.size - tail_size, cases[i].tail, tail_size), 0,
                     "size %zu", cases[i].size);
        uint32_t count;
        cr_assert(listpack_validate(bytes, &count));
        cr_assert_eq(listpack_text_size(listpack, listpack_last(listpack)), cases[i].size);
        listpack_delete(listpack);
        free(text);
    }
}

Test(listpack, counts_beyond_its_header)
{
    struct listpack *listpack = listpack_new(0);
    for (uint32_t i = 0; i < 70000; i++) {
        listpack = listpack_append_integer(listpack, i);
        if (i > 65530 && i < 65540) {
            cr_assert_eq(listpack_count(listpack), i + 1);
        }
    }
    uint32_t count;
    cr_assert(listpack_validate(listpack_bytes(listpack), &count));
    cr_assert_eq(count, 70000);
    int64_t value = 0;
    cr_assert(listpack_integer(listpack, listpack_seek(listpack, 69998), &value));
    cr_assert_eq(value, 69998);
    cr_assert(listpack_integer(listpack, listpack_seek(listpack, -69999), &value));
    cr_assert_eq(value, 1);
    cr_assert_eq(listpack_seek(listpack, 70000), LISTPACK_NONE);
    cr_assert_eq(listpack_seek(listpack, -70001), LISTPACK_NONE);
    cr_assert_eq(listpack_seek(listpack, INT64_MIN), LISTPACK_NONE);
    listpack = listpack_remove_range(listpack, 0, 10000);
    cr_assert_eq(listpack_count(listpack), 60000);
    listpack = listpack_remove_range(listpack, 100, 50000);
    cr_assert_eq(listpack_count(listpack), 10000);
    cr_assert(listpack_validate(listpack_bytes(listpack), &count));
    listpack_delete(listpack);
}

/* ---- foreign bytes ---- */

/** What passed the validation may be used in every way. */
static void
use(struct model *model, struct slice bytes, uint32_t expected_count)
{
    char digits[LISTPACK_DIGITS_SIZE];
    struct listpack *listpack = listpack_from_bytes(bytes);
    cr_assert_eq(listpack_count(listpack), expected_count);
    uint32_t count = 0;
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE;
         at = listpack_next(listpack, at)) {
        struct slice text = listpack_text(listpack, at, digits);
        cr_assert_neq(listpack_find(listpack, listpack_first(listpack), text, 0), LISTPACK_NONE);
        count++;
    }
    cr_assert_eq(count, expected_count);
    for (uint32_t at = listpack_last(listpack); at != LISTPACK_NONE;
         at = listpack_previous(listpack, at)) {
        count--;
    }
    cr_assert_eq(count, 0);
    for (int i = 0; i < 8; i++) {
        struct text text = any_text(model);
        uint32_t at = listpack_seek(listpack, (int64_t)below(model, 40) - 20);
        if (at == LISTPACK_NONE || i % 3 == 0) {
            listpack = listpack_insert(listpack, &at, bytes_of(text));
        } else if (i % 3 == 1) {
            listpack = listpack_replace(listpack, at, bytes_of(text));
        } else {
            listpack = listpack_remove(listpack, &at, 1 + (uint32_t)below(model, 3));
        }
        free(text.data);
    }
    cr_assert(listpack_validate(listpack_bytes(listpack), &count));
    cr_assert_eq(listpack_count(listpack), count);
    listpack_delete(listpack);
}

/** Change a few bytes, mostly to those that mean something. */
static size_t
damage(struct model *model, unsigned char *bytes, size_t size)
{
    static const unsigned char telling[] = {0,    1,    127,  0x80, 0x81, 0xBF, 0xC0, 0xDF, 0xE0,
                                            0xEF, 0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xFE, 0xFF};
    for (uint64_t i = below(model, 4); i > 0; i--) {
        bytes[below(model, size)] = telling[below(model, ARRAY_COUNT(telling))];
    }
    if (below(model, 4) == 0) {
        bytes[below(model, size)] ^= (unsigned char)(1U << below(model, 8));
    }
    if (below(model, 4) == 0) {
        size = below(model, size + 1);
    }
    if (size >= LISTPACK_SIZE_EMPTY && below(model, 4) != 0) {
        /* So that more than the header is looked at. */
        uint32_t total = (uint32_t)size;
        memcpy(bytes, &total, sizeof(total));
        bytes[size - 1] = 0xFF;
        if (below(model, 2) == 0) {
            bytes[4] = 0xFF;
            bytes[5] = 0xFF;
        }
    }
    return size;
}

Test(listpack, validates_whatever_comes)
{
    struct model *model = calloc(1, sizeof(*model));
    random_create(&model->random, seed_new());
    uint32_t accepted = 0;
    for (int round = 0; round < 100000; round++) {
        struct listpack *listpack = listpack_new(0);
        for (uint64_t i = below(model, 12); i > 0; i--) {
            struct text text = any_text(model);
            size_t size_max = below(model, 30) == 0 ? 5000 : 70;
            text.size = MIN(text.size, size_max);
            listpack = listpack_append(listpack, bytes_of(text));
            free(text.data);
        }
        /* In a block of its very size, so that a sanitizer sees each byte too many. */
        size_t size = listpack_size(listpack);
        unsigned char *bytes = malloc(size);
        memcpy(bytes, listpack->bytes, size);
        listpack_delete(listpack);
        size_t damaged_size = damage(model, bytes, size);
        unsigned char *exact = malloc(MAX(damaged_size, (size_t)1));
        memcpy(exact, bytes, damaged_size);
        uint32_t count;
        if (listpack_validate(slice_of(exact, damaged_size), &count)) {
            use(model, slice_of(exact, damaged_size), count);
            accepted++;
        }
        free(exact);
        free(bytes);
    }
    cr_assert_gt(accepted, 1000);
    free(model);
}
