/*
 * object_test.c: collections behind views against a model: two shards that own keys and borrow from
 * each other, transactions of many edits, commits in any order; the books are recounted after each.
 */
#include "shard/value/object.h"

#include "harness.h"
#include "shard/value/intset.h"
#include "shard/value/listpack.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_COUNT 8
#define VIEW_COUNT 4
#define ELEMENT_COUNT_MAX 200
/** Above what is freed at once, so that both ways are gone. */
#define LARGE_SIZE (KEYSPACE_OBJECT_SIZE_LARGE + 1000)

struct model {
    enum value_type type;
    int64_t deadline_ms;
    uint32_t count;
    int64_t elements[ELEMENT_COUNT_MAX];
    bool is_large; /* a list whose first element is a large text */
};

struct race {
    struct harness *harness;
    struct random random;
    struct model models[KEY_COUNT];
    char names[KEY_COUNT][16];
    char *large_text;
    /* ---- the running transaction ---- */
    struct call call;
    struct reply reply;
    struct output output;
    struct command command;
    struct view views[VIEW_COUNT];
    uint32_t keys[VIEW_COUNT];
    uint32_t view_count;
};

static uint64_t
below(struct race *race, uint64_t bound)
{
    return random_below(&race->random, bound);
}

static void
view_matches(const struct race *race, uint32_t at)
{
    const struct view *view = &race->views[at];
    const struct model *model = &race->models[race->keys[at]];
    cr_assert_eq(view->value.type, (uint8_t)model->type);
    cr_assert_eq(view->deadline_ms, model->deadline_ms);
    if (model->type == VALUE_STRING) {
        char digits[24];
        cr_assert(slice_equal(view_string(view, digits), SLICE("string")));
        return;
    }
    if (model->type == VALUE_NONE) {
        return;
    }
    uint32_t count = model->count + (model->is_large ? 1 : 0);
    cr_assert_eq(object_count(view->value.type, view->value.encoding, view_object(view)), count);
    if (view->value.encoding == ENCODING_INTSET) {
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_eq(intset_get(view_object(view), i), model->elements[i]);
        }
        return;
    }
    const struct listpack *listpack = view_object(view);
    uint32_t position = listpack_first(listpack);
    if (model->is_large) {
        cr_assert_eq(listpack_text_size(listpack, position), LARGE_SIZE);
        position = listpack_next(listpack, position);
    }
    for (uint32_t i = 0; i < model->count; i++) {
        int64_t value;
        cr_assert(listpack_integer(listpack, position, &value));
        cr_assert_eq(value, model->elements[i]);
        position = listpack_next(listpack, position);
    }
}

static void
model_delete(struct model *model)
{
    *model = (struct model){.type = VALUE_NONE, .deadline_ms = VIEW_NO_DEADLINE};
}

/** RPUSH of some numbers, growing ones, so that the same would do for a set. */
static void
push(struct race *race, struct view *view, struct model *model)
{
    if (model->type != VALUE_NONE && model->type != VALUE_LIST) {
        return;
    }
    struct listpack *listpack = view_exists(view) ? view_object(view) : listpack_new(0);
    model->type = VALUE_LIST;
    for (uint64_t i = below(race, 60) + 1; i > 0 && model->count < ELEMENT_COUNT_MAX; i--) {
        int64_t value = (int64_t)random_next(&race->random) >> below(race, 64);
        listpack = listpack_append_integer(listpack, value);
        model->elements[model->count++] = value;
    }
    if (listpack_is_empty(listpack)) {
        listpack = listpack_append_integer(listpack, 7);
        model->elements[model->count++] = 7;
    }
    if (!model->is_large && below(race, 4) == 0) {
        listpack = listpack_prepend(listpack, slice_of(race->large_text, LARGE_SIZE));
        model->is_large = true;
    }
    view_object_edit(&race->call, view, VALUE_LIST, ENCODING_LISTPACK, listpack);
}

/** LTRIM to the front part. */
static void
trim(struct race *race, struct view *view, struct model *model)
{
    if (model->type != VALUE_LIST) {
        return;
    }
    struct listpack *listpack = view_object(view);
    uint32_t kept = (uint32_t)below(race, model->count + 1);
    listpack = listpack_remove_range(listpack, kept + (model->is_large ? 1 : 0), UINT32_MAX);
    view_object_edit(&race->call, view, VALUE_LIST, ENCODING_LISTPACK, listpack);
    model->count = kept;
    if (listpack_is_empty(listpack)) {
        view_delete(&race->call, view);
        model_delete(model);
    }
}

/** SADD, with the conversion from intset to listpack and back, which no command does but all may.
 */
static void
add(struct race *race, struct view *view, struct model *model)
{
    if ((model->type != VALUE_NONE && model->type != VALUE_SET) ||
        model->count == ELEMENT_COUNT_MAX) {
        return;
    }
    int64_t value = model->count == 0 ? 1 : model->elements[model->count - 1] + 1;
    bool is_added;
    if (view_exists(view) && view->value.encoding == ENCODING_LISTPACK) {
        struct listpack *listpack = listpack_append_integer(view_object(view), value);
        view_object_edit(&race->call, view, VALUE_SET, ENCODING_LISTPACK, listpack);
    } else {
        struct intset *intset = view_exists(view) ? view_object(view) : intset_new();
        intset = intset_add(intset, value, &is_added);
        view_object_edit(&race->call, view, VALUE_SET, ENCODING_INTSET, intset);
    }
    model->type = VALUE_SET;
    model->elements[model->count++] = value;
    if (below(race, 3) == 0) {
        bool was_intset = view->value.encoding == ENCODING_INTSET;
        void *old = view_object(view);
        struct listpack *listpack = listpack_new(0);
        struct intset *intset = intset_new();
        for (uint32_t i = 0; i < model->count; i++) {
            listpack = listpack_append_integer(listpack, model->elements[i]);
            intset = intset_add(intset, model->elements[i], &is_added);
        }
        object_delete(VALUE_SET, view->value.encoding, old);
        object_delete(VALUE_SET, was_intset ? ENCODING_INTSET : ENCODING_LISTPACK,
                      was_intset ? (void *)intset : (void *)listpack);
        view_object_edit(&race->call, view, VALUE_SET,
                         was_intset ? ENCODING_LISTPACK : ENCODING_INTSET,
                         was_intset ? (void *)listpack : (void *)intset);
    }
}

/** What SUNIONSTORE does with the key that it stores to. */
static void
store(struct race *race, struct view *view, struct model *model)
{
    struct intset *intset = intset_new();
    bool is_added;
    int64_t deadline_ms = model->deadline_ms;
    model_delete(model);
    model->deadline_ms = deadline_ms;
    model->type = VALUE_SET;
    for (uint64_t i = below(race, 50) + 1; i > 0; i--) {
        int64_t value = (int64_t)model->count * 1000;
        intset = intset_add(intset, value, &is_added);
        model->elements[model->count++] = value;
    }
    view_object_set(&race->call, view, VALUE_SET, ENCODING_INTSET, intset);
}

static void
move(struct race *race, uint32_t from_at, uint32_t to_at)
{
    struct model *from = &race->models[race->keys[from_at]];
    struct model *to = &race->models[race->keys[to_at]];
    if (from->type == VALUE_NONE || from_at == to_at) {
        return;
    }
    int64_t deadline_ms = to->deadline_ms;
    *to = *from;
    if (below(race, 2) == 0) {
        view_value_move(&race->call, &race->views[from_at], &race->views[to_at]);
        model_delete(from);
    } else {
        struct value value = view_value_copy(&race->call, &race->views[from_at]);
        view_value_set(&race->call, &race->views[to_at], &value);
        to->deadline_ms = deadline_ms;
    }
    view_matches(race, from_at);
    view_matches(race, to_at);
}

static void
one_edit(struct race *race)
{
    uint32_t at = (uint32_t)below(race, race->view_count);
    struct view *view = &race->views[at];
    struct model *model = &race->models[race->keys[at]];
    int64_t deadline_ms = model->deadline_ms;
    switch (below(race, 10)) {
    case 0:
    case 1:
        push(race, view, model);
        break;
    case 2:
        trim(race, view, model);
        break;
    case 3:
    case 4:
        add(race, view, model);
        break;
    case 5:
        store(race, view, model);
        break;
    case 6:
        view_delete(&race->call, view);
        model_delete(model);
        break;
    case 7:
        if (model->type != VALUE_NONE) {
            model->deadline_ms = below(race, 2) == 0
                                     ? VIEW_NO_DEADLINE
                                     : race->call.now_ms + 1 + (int64_t)below(race, 50);
            view_deadline_set(&race->call, view, model->deadline_ms);
        }
        break;
    case 8:
        model_delete(model);
        model->type = VALUE_STRING;
        model->deadline_ms = deadline_ms;
        view_string_set(&race->call, view, SLICE("string"));
        break;
    default:
        move(race, at, (uint32_t)below(race, race->view_count));
        break;
    }
    view_matches(race, at);
}

static void
transaction_begin(struct race *race)
{
    struct shard *shard = race->harness->shards[below(race, 2)];
    race->call = (struct call){.command = &race->command,
                               .reply = &race->reply,
                               .shard = shard,
                               .coordinator = (uint16_t)shard->index,
                               .now_ms = shard->now_ms};
    output_create(&race->output);
    reply_create(&race->reply, &race->output, 2);
    race->view_count = 1 + (uint32_t)below(race, VIEW_COUNT);
    uint32_t first = (uint32_t)below(race, KEY_COUNT);
    for (uint32_t i = 0; i < race->view_count; i++) {
        uint32_t key_index = (first + i) % KEY_COUNT;
        struct slice key = slice_of_string(race->names[key_index]);
        struct shard *owner = race->harness->shards[key_index % 2];
        race->keys[i] = key_index;
        race->views[i] = (struct view){.key = key,
                                       .hash = keyspace_hash(&owner->keyspace, key),
                                       .slot = key_slot(key),
                                       .owner = (uint16_t)owner->index,
                                       .flags = view_flags(CMD_WRITE, false)};
        view_open(owner, &race->views[i]);
        struct model *model = &race->models[key_index];
        if (model->deadline_ms != VIEW_NO_DEADLINE && model->deadline_ms <= shard->now_ms) {
            model_delete(model);
        }
        view_matches(race, i);
    }
}

static void
transaction_end(struct race *race)
{
    uint32_t start = (uint32_t)below(race, race->view_count);
    for (uint32_t i = 0; i < race->view_count; i++) {
        struct view *view = &race->views[(start + i) % race->view_count];
        view_commit(race->harness->shards[view->owner], view);
    }
    call_scratch_free(&race->call);
    output_destroy(&race->output);
}

/** All that lives is what the keyspaces know of, and what waits to be freed. */
static void
books_match(struct race *race, uint64_t base_size[2])
{
    for (int i = 0; i < 2; i++) {
        struct shard *shard = race->harness->shards[i];
        cr_assert(keyspace_check(&shard->keyspace));
        if (shard->keyspace.garbage == NULL) {
            uint64_t objects_size = 0;
            for (uint32_t j = 0; j < KEY_COUNT; j++) {
                struct slice key = slice_of_string(race->names[j]);
                struct entry *entry = keyspace_find(&shard->keyspace, 0, key_slot(key), key,
                                                    keyspace_hash(&shard->keyspace, key));
                if (entry != NULL && entry_has_object(entry)) {
                    struct value value;
                    entry_value(entry, &value);
                    objects_size += value_object_size(&value);
                }
            }
            /* Slots, entries and the wheel take some; what is counted twice would add up. */
            cr_assert_geq(shard->memory.used_size, base_size[i] + objects_size);
            cr_assert_leq(shard->memory.used_size, base_size[i] + objects_size + (2U << 20));
        }
    }
}

static void
race_run(uint64_t seed, uint32_t transaction_count)
{
    struct race *race = calloc(1, sizeof(*race));
    race->harness = harness_new();
    race->command.flags = CMD_WRITE;
    race->large_text = malloc(LARGE_SIZE);
    memset(race->large_text, 'x', LARGE_SIZE);
    random_create(&race->random, seed);
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        snprintf(race->names[i], sizeof(race->names[i]), "key-%u", i);
        model_delete(&race->models[i]);
    }
    uint64_t base_size[2] = {race->harness->shards[0]->memory.used_size,
                             race->harness->shards[1]->memory.used_size};
    for (uint32_t i = 0; i < transaction_count; i++) {
        transaction_begin(race);
        for (uint64_t edits = below(race, 8); edits > 0; edits--) {
            one_edit(race);
        }
        transaction_end(race);
        harness_advance(race->harness, (int64_t)below(race, 3));
        if (below(race, 8) == 0) {
            harness_expire(race->harness);
        }
        if (below(race, 100) == 0) {
            for (uint32_t j = 0; j < KEY_COUNT; j++) {
                model_delete(&race->models[j]);
            }
            keyspace_flush_all(&race->harness->shards[0]->keyspace);
            keyspace_flush_all(&race->harness->shards[1]->keyspace);
        }
        shard_collect(race->harness->shards[below(race, 2)], 1 + (uint32_t)below(race, 30000));
        books_match(race, base_size);
    }
    harness_delete(race->harness);
    free(race->large_text);
    free(race);
}

Test(object, races_a_model)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < 20; i++) {
        race_run(seed + i, 400);
    }
}

Test(object, large_ones_are_freed_in_the_background)
{
    struct memory memory;
    struct keyspace keyspace;
    memory_create(&memory);
    keyspace_create(&keyspace, &memory, 1, 1, 0);
    struct slice key = SLICE("k");
    uint64_t hash = keyspace_hash(&keyspace, key);
    struct listpack *listpack = listpack_new(LARGE_SIZE);
    listpack = listpack_append(listpack, SLICE("x"));
    struct value value = value_object(VALUE_LIST, ENCODING_LISTPACK, listpack);
    uint64_t empty_size = memory.used_size;
    struct entry *entry = keyspace_put(&keyspace, 0, key_slot(key), hash, key, NULL, &value, -1);
    cr_assert(keyspace_check(&keyspace));
    uint64_t full_size = memory.used_size;
    cr_assert_gt(full_size, empty_size + LARGE_SIZE);
    keyspace_remove(&keyspace, 0, key_slot(key), hash, entry);
    cr_assert(keyspace_check(&keyspace));
    cr_assert_eq(keyspace.databases[0].byte_count, 0);
    cr_assert_not_null(keyspace.garbage);
    cr_assert_gt(memory.used_size, LARGE_SIZE);
    while (!keyspace_collect(&keyspace, 10)) {
    }
    cr_assert_lt(memory.used_size, full_size - LARGE_SIZE);
    /* A flush does not free a large one in one go either: one step, and it is garbage by itself. */
    listpack = listpack_append(listpack_new(LARGE_SIZE), SLICE("x"));
    value = value_object(VALUE_LIST, ENCODING_LISTPACK, listpack);
    keyspace_put(&keyspace, 0, key_slot(key), hash, key, NULL, &value, -1);
    keyspace_flush(&keyspace, 0);
    uint32_t calls = 1;
    while (!keyspace_collect(&keyspace, SLOT_COUNT)) {
        calls++;
    }
    cr_assert_geq(calls, 2);
    keyspace_destroy(&keyspace);
    cr_assert_eq(memory.used_size, 0);
    memory_destroy(&memory);
}

Test(object, counts_its_blocks)
{
    struct object *object = object_new(40);
    cr_assert_eq(object->size, 48);
    void *block = object_alloc(object, 100);
    cr_assert_eq(object->size, 48 + 112);
    memset(block, 'x', 100);
    block = object_realloc(object, block, 100, 1000);
    cr_assert_eq(object->size, 48 + 1024);
    cr_assert_eq(((char *)block)[99], 'x');
    block = object_realloc(object, block, 1000, 20);
    cr_assert_eq(object->size, 48 + 32);
    object_free(object, block, 20);
    cr_assert_eq(object->size, 48);
    block = object_realloc(object, NULL, 0, 20);
    cr_assert_eq(object->size, 48 + 32);
    object_free(object, block, 20);
    object_free(object, NULL, 20);
    heap_free(object);
}

Test(object, a_block_names_its_class_in_one_byte)
{
    for (size_t size = 9; size <= 131072; size++) {
        cr_assert_eq(object_block_class_size(size), memory_class_size(MAX(size, (size_t)16)));
    }
    size_t last = 131072;
    for (size_t size = 131073; size <= (size_t)3 << 30; size += size / 64) {
        size_t class_size = object_block_class_size(size);
        cr_assert(class_size >= size && class_size >= last && class_size % 4096 == 0);
        cr_assert_lt(class_size - size, size / 4);
        cr_assert_eq(object_block_class_size(class_size), class_size);
        last = class_size;
    }
}

Test(object, a_block_knows_its_size_as_it_grows_and_shrinks)
{
    unsigned char *object = object_block_new(1);
    size_t used_size = 1;
    for (; used_size < 300000; used_size += 1 + used_size / 50) {
        object = object_block_grow(object, used_size, used_size + 1 + used_size / 50);
        cr_assert_leq(used_size + 1 + used_size / 50, object_size(object));
        cr_assert_eq(object_size(object), object_block_size(object));
        memset(object + used_size, (int)(used_size & 127), 1 + used_size / 50);
    }
    for (size_t at = 1; at < used_size; at += 1 + at / 50) {
        cr_assert_eq(object[at], at & 127);
    }
    while (used_size > 1) {
        used_size = MAX(used_size * 9 / 10, (size_t)1);
        object = object_block_shrink(object, used_size);
        cr_assert_geq(object_size(object), used_size);
        cr_assert(object_size(object) <= 2 * used_size || object_size(object) == 16);
    }
    heap_free(object);
}
