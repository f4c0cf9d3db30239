#include "core/random.h"
#include "shard/entry.h"

#include <criterion/criterion.h>
#include <string.h>

/*
 * Entries against plain copies: all transitions between sizes, encodings and deadlines, with values
 * that point into the entry that they replace, and books that end at zero.
 */

#define BYTES_MAX 5000

struct model {
    struct memory memory;
    struct wheel wheel;
    struct random random;
    uint64_t wheel_size;
    char key[70000];
    size_t key_size;
    char bytes[BYTES_MAX];
    size_t size;
    int64_t integer;
    bool is_integer;
    int64_t deadline_ms;
    struct entry *entry;
};

static void
model_create(struct model *model, uint64_t seed)
{
    memory_create(&model->memory);
    wheel_create(&model->wheel, &model->memory, 1000);
    random_create(&model->random, seed);
    /* The wheel keeps a spare block once it had one. */
    struct wheel_node node = {.deadline_ms = 5000, .place = WHEEL_NOWHERE};
    wheel_add(&model->wheel, &node);
    wheel_remove(&model->wheel, &node);
    model->wheel_size = model->memory.used_size;
}

static void
model_destroy(struct model *model)
{
    cr_assert_eq(model->memory.used_size, model->wheel_size);
    cr_assert_eq(model->wheel.count, 0);
    wheel_destroy(&model->wheel);
    cr_assert_eq(model->memory.used_size, 0);
    memory_destroy(&model->memory);
}

static void
model_check(const struct model *model)
{
    const struct entry *entry = model->entry;
    cr_assert(slice_equal(entry_key(entry), slice_of(model->key, model->key_size)));
    cr_assert_eq(entry_deadline_ms(entry), model->deadline_ms);
    cr_assert_eq(model->wheel.count, model->deadline_ms != ENTRY_NO_DEADLINE);
    cr_assert_eq(entry_access(entry), 0xabcdef);
    cr_assert(entry_is_lent(entry));
    cr_assert_eq(entry_snapshot_bit(entry), 1);
    struct value value;
    entry_value(entry, &value);
    cr_assert_eq(value.type, VALUE_STRING);
    if (model->is_integer) {
        cr_assert_eq(value.encoding, ENCODING_INT);
        cr_assert_eq(value.integer, model->integer);
    } else {
        cr_assert_eq(value.bytes.size, model->size);
        cr_assert_eq(memcmp(value.bytes.data, model->bytes, model->size), 0);
        cr_assert_eq(value.raw != NULL && value.bytes.data == value.raw->data, value.raw != NULL);
    }
    cr_assert_eq(entry_size(entry) + model->wheel_size, model->memory.used_size);
}

static size_t
model_random_size(struct model *model)
{
    switch (random_below(&model->random, 4)) {
    case 0:
        return random_below(&model->random, 8);
    case 1:
        return ENTRY_INLINE_SIZE_MAX - 4 + random_below(&model->random, 8);
    case 2:
        return random_below(&model->random, BYTES_MAX);
    default:
        return random_below(&model->random, 120);
    }
}

static int64_t
model_random_deadline(struct model *model)
{
    switch (random_below(&model->random, 3)) {
    case 0:
        return ENTRY_NO_DEADLINE;
    case 1:
        return model->deadline_ms;
    default:
        return (int64_t)random_below(&model->random, 100000);
    }
}

/** A value of the caller's or of the entry's own memory; the model's copy is set to the same. */
static struct value
model_random_value(struct model *model)
{
    struct value value = {.type = VALUE_NONE};
    if (model->entry != NULL) {
        entry_value(model->entry, &value);
    }
    uint64_t kind = random_below(&model->random, 6);
    if (kind == 0) {
        model->is_integer = true;
        model->integer = (int64_t)random_next(&model->random);
        return value_integer(model->integer);
    }
    if (kind == 1 && value.type != VALUE_NONE) {
        /* The same again: own raw, or own bytes. */
        return value;
    }
    if (kind == 2 && value.type != VALUE_NONE && !model->is_integer && value.bytes.size > 0) {
        size_t from = random_below(&model->random, value.bytes.size);
        size_t size = random_below(&model->random, value.bytes.size - from + 1);
        memmove(model->bytes, model->bytes + from, size);
        model->size = size;
        return value_string(slice_of(value.bytes.data + from, size), ENCODING_RAW);
    }
    model->is_integer = false;
    model->size = model_random_size(model);
    char first = (char)random_next(&model->random);
    for (size_t i = 0; i < model->size; i++) {
        model->bytes[i] = (char)(first + (char)i);
    }
    value = value_string(slice_of(model->bytes, model->size), ENCODING_EMBSTR);
    if (kind == 3) {
        struct raw *raw = raw_new(&model->memory, model->size, model->size + 10);
        memcpy(raw->data, model->bytes, model->size);
        value.raw = raw;
        value.bytes = raw_bytes(raw);
    }
    return value;
}

static void
model_change(struct model *model)
{
    uint64_t kind = random_below(&model->random, 8);
    if (kind == 0) {
        model->deadline_ms = model_random_deadline(model);
        model->entry =
            entry_deadline_set(&model->memory, &model->wheel, model->entry, model->deadline_ms, 9);
    } else if (kind < 3 && !model->is_integer) {
        size_t size = model->size + random_below(&model->random, 300);
        if (kind == 2) {
            size = random_below(&model->random, BYTES_MAX);
        }
        size = MIN(size, BYTES_MAX);
        char *data;
        model->entry = entry_string_resize(&model->memory, &model->wheel, model->entry,
                                           ENCODING_RAW, size, &data);
        if (size > model->size) {
            memset(model->bytes + model->size, 0, size - model->size);
        }
        model->size = size;
        if (size > 0) {
            size_t at = random_below(&model->random, size);
            data[at] = 'x';
            model->bytes[at] = 'x';
        }
        cr_assert_eq(model->entry->encoding, ENCODING_RAW);
    } else {
        int64_t deadline_ms = model_random_deadline(model);
        struct value value = model_random_value(model);
        model->deadline_ms = deadline_ms;
        model->entry =
            entry_assign(&model->memory, &model->wheel, model->entry, &value, deadline_ms, 9);
    }
    if (model->deadline_ms != ENTRY_NO_DEADLINE) {
        cr_assert_eq(entry_node(model->entry)->spare, 9);
        cr_assert_eq(entry_of_node(entry_node(model->entry)), model->entry);
    }
}

Test(entry, races_a_copy_through_all_transitions)
{
    static const size_t key_sizes[] = {0, 1, 16, 254, 255, 256, 300, 65536};
    static struct model model;
    for (unsigned k = 0; k < ARRAY_COUNT(key_sizes) * 4; k++) {
        model_create(&model, k);
        model.key_size = key_sizes[k / 4];
        memset(model.key, 'k', sizeof(model.key));
        model.entry = NULL;
        model.deadline_ms = ENTRY_NO_DEADLINE;
        model.deadline_ms = model_random_deadline(&model);
        struct value value = model_random_value(&model);
        model.entry = entry_new(&model.memory, &model.wheel, slice_of(model.key, model.key_size),
                                &value, model.deadline_ms, 9);
        entry_access_set(model.entry, 0xffabcdef);
        entry_lent_set(model.entry, true);
        entry_snapshot_bit_set(model.entry, 1);
        model_check(&model);
        for (unsigned i = 0; i < 3000; i++) {
            model_change(&model);
            model_check(&model);
        }
        entry_delete(&model.memory, &model.wheel, model.entry);
        model_destroy(&model);
    }
}

Test(entry, small_keys_and_values_take_the_promised_class)
{
    static struct model model;
    model_create(&model, 1);
    struct slice key = SLICE("key:000000000001");
    char bytes[32] = {0};
    struct value value = value_string(slice_of(bytes, 32), ENCODING_EMBSTR);
    struct entry *entry = entry_new(&model.memory, &model.wheel, key, &value, ENTRY_NO_DEADLINE, 0);
    cr_assert_eq(entry_size(entry), 64);
    entry = entry_deadline_set(&model.memory, &model.wheel, entry, 77, 0);
    cr_assert_eq(entry_size(entry), 80);
    entry_delete(&model.memory, &model.wheel, entry);
    model_destroy(&model);
}

Test(entry, a_value_that_is_taken_leaves_an_empty_string)
{
    static struct model model;
    model_create(&model, 1);
    static char bytes[3000];
    struct value value = value_string(slice_of(bytes, sizeof(bytes)), ENCODING_RAW);
    struct entry *entry =
        entry_new(&model.memory, &model.wheel, SLICE("k"), &value, ENTRY_NO_DEADLINE, 0);
    struct value taken;
    entry_value_take(entry, &taken);
    cr_assert_not_null(taken.raw);
    cr_assert_eq(taken.bytes.size, sizeof(bytes));
    entry_value(entry, &value);
    cr_assert_eq(value.bytes.size, 0);
    cr_assert_null(value.raw);
    entry = entry_assign(&model.memory, &model.wheel, entry, &taken, 5, 0);
    entry_value(entry, &value);
    cr_assert_eq(value.raw, taken.raw);
    entry_value_take(entry, &taken);
    entry_delete(&model.memory, &model.wheel, entry);
    raw_delete(&model.memory, taken.raw);
    model_destroy(&model);
}

Test(entry, a_pinned_raw_stays_as_it_is)
{
    static struct model model;
    model_create(&model, 1);
    static char bytes[3000];
    memset(bytes, 'a', sizeof(bytes));
    struct value value = value_string(slice_of(bytes, sizeof(bytes)), ENCODING_RAW);
    struct entry *entry =
        entry_new(&model.memory, &model.wheel, SLICE("k"), &value, ENTRY_NO_DEADLINE, 0);
    entry_value(entry, &value);
    struct raw *pinned = value.raw;
    raw_pin(pinned);
    raw_pin(pinned);
    char *data;
    entry = entry_string_resize(&model.memory, &model.wheel, entry, ENCODING_RAW, 3000, &data);
    data[0] = 'b';
    cr_assert_eq(pinned->data[0], 'a');
    entry_delete(&model.memory, &model.wheel, entry);
    raw_unpin(&model.memory, pinned);
    cr_assert_eq(memcmp(pinned->data, bytes, sizeof(bytes)), 0);
    raw_unpin(&model.memory, pinned);
    model_destroy(&model);
}

Test(entry, appending_copies_rarely)
{
    static struct model model;
    model_create(&model, 1);
    struct value value = value_string(SLICE("x"), ENCODING_RAW);
    struct entry *entry =
        entry_new(&model.memory, &model.wheel, SLICE("k"), &value, ENTRY_NO_DEADLINE, 0);
    unsigned move_count = 0;
    const char *last = NULL;
    for (size_t size = 2; size < 1000000; size++) {
        char *data;
        entry = entry_string_resize(&model.memory, &model.wheel, entry, ENCODING_RAW, size, &data);
        move_count += size > ENTRY_INLINE_SIZE_MAX && data != last;
        last = data;
        cr_assert_eq(data[size - 1], 0);
        data[size - 1] = 'y';
    }
    cr_assert_lt(move_count, 60);
    entry_value(entry, &value);
    struct raw *raw = value.raw;
    struct value trimmed;
    entry_value_take(entry, &trimmed);
    cr_assert_eq(raw, trimmed.raw);
    raw = raw_trim(&model.memory, raw);
    cr_assert_lt(raw_size(raw), 1010000);
    cr_assert_eq(raw->data[raw->size - 1], 'y');
    raw_delete(&model.memory, raw);
    entry_delete(&model.memory, &model.wheel, entry);
    model_destroy(&model);
}
