/*
 * output_test.c: an output races a flat array of bytes; lent bytes are released once each.
 */
#include "net/output.h"

#include "core/heap.h"

#include <criterion/criterion.h>

#define MODEL_SIZE_MAX (8U << 20)
#define MARK_COUNT_MAX 8

struct pin {
    struct output_pin pin;
    char *bytes;
    uint32_t *released_count;
};

/** An output with all its bytes beside it, flat. */
struct model {
    struct output output;
    char *bytes;
    size_t size;
    struct {
        struct output_mark mark;
        size_t size;
    } marks[MARK_COUNT_MAX];
    uint32_t mark_count;
};

struct race {
    struct model models[2];
    uint64_t state;
    uint32_t lent_count;
    uint32_t released_count;
};

static uint32_t
race_random(struct race *race, uint32_t bound)
{
    race->state = race->state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(race->state >> 33) % bound;
}

static void
pin_release(struct output_pin *pin)
{
    struct pin *self = container_of(pin, struct pin, pin);
    (*self->released_count)++;
    heap_free(self->bytes);
    heap_free(self);
}

static void
bytes_random(struct race *race, char *bytes, size_t size)
{
    uint32_t first = race_random(race, 256);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(first + i * 13 + i / 200);
    }
}

static void
model_append(struct model *model, const char *bytes, size_t size)
{
    ASSERT(model->size + size <= MODEL_SIZE_MAX);
    memcpy(model->bytes + model->size, bytes, size);
    model->size += size;
}

static void
step_write(struct race *race, struct model *model)
{
    static const uint32_t bounds[] = {8, 300, OUTPUT_CHUNK_SIZE + 1, 20000, 600000};
    uint32_t kind = race_random(race, 40);
    uint32_t size = race_random(race, bounds[kind < 4 ? kind : kind % 3]);
    if (kind % 2 == 0 && size <= OUTPUT_CHUNK_SIZE) {
        char *out = output_reserve(&model->output, size);
        uint32_t used = size == 0 ? 0 : race_random(race, size + 1);
        bytes_random(race, out, used);
        model_append(model, out, used);
        output_commit(&model->output, used);
        return;
    }
    char *bytes = heap_alloc(size);
    bytes_random(race, bytes, size);
    output_append(&model->output, bytes, size);
    model_append(model, bytes, size);
    heap_free(bytes);
}

static void
step_lend(struct race *race, struct model *model)
{
    size_t size = race_random(race, 8) == 0 ? 0 : race_random(race, 40000);
    struct pin *pin = heap_alloc(sizeof(*pin));
    pin->pin.release = pin_release;
    pin->released_count = &race->released_count;
    pin->bytes = heap_alloc(size);
    bytes_random(race, pin->bytes, size);
    model_append(model, pin->bytes, size);
    race->lent_count++;
    output_append_external(&model->output, slice_of(pin->bytes, size), &pin->pin);
}

static void
step_mark(struct race *race, struct model *model)
{
    if (model->mark_count < MARK_COUNT_MAX) {
        model->marks[model->mark_count].mark = output_mark(&model->output);
        model->marks[model->mark_count].size = model->size;
        model->mark_count++;
    }
}

static void
step_insert(struct race *race, struct model *model)
{
    if (model->mark_count == 0) {
        return;
    }
    char bytes[OUTPUT_INSERT_SIZE_MAX];
    size_t size = race_random(race, sizeof(bytes) + 1);
    bytes_random(race, bytes, size);
    model->mark_count--;
    size_t at = model->marks[model->mark_count].size;
    output_insert(&model->output, model->marks[model->mark_count].mark, slice_of(bytes, size));
    ASSERT(model->size + size <= MODEL_SIZE_MAX);
    memmove(model->bytes + at + size, model->bytes + at, model->size - at);
    memcpy(model->bytes + at, bytes, size);
    model->size += size;
}

static void
step_truncate(struct race *race, struct model *model)
{
    if (model->mark_count == 0) {
        return;
    }
    model->mark_count--;
    model->size = model->marks[model->mark_count].size;
    output_truncate(&model->output, model->marks[model->mark_count].mark, model->size);
}

static void
step_send(struct race *race, struct model *model)
{
    struct iovec vector[5];
    uint32_t count = output_vector(&model->output, vector, 1 + race_random(race, 5));
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_gt(vector[i].iov_len, 0);
        cr_assert_leq(size + vector[i].iov_len, model->size);
        cr_assert(memcmp(vector[i].iov_base, model->bytes + size, vector[i].iov_len) == 0);
        size += vector[i].iov_len;
    }
    cr_assert_eq(count == 0, model->size == 0);
    size_t sent = race_random(race, 3) == 0 ? size : race_random(race, (uint32_t)size + 1);
    output_consume(&model->output, sent);
    model->size -= sent;
    memmove(model->bytes, model->bytes + sent, model->size);
    model->mark_count = 0;
}

static void
step_splice(struct model *to, struct model *from)
{
    model_append(to, from->bytes, from->size);
    output_splice(&to->output, &from->output);
    from->size = 0;
    from->mark_count = 0;
    cr_assert(output_is_empty(&from->output));
    cr_assert_null(from->output.first);
}

static void
race_step(struct race *race)
{
    uint32_t which = race_random(race, 2);
    struct model *model = &race->models[which];
    uint32_t kind = race_random(race, 100);
    if (model->size > MODEL_SIZE_MAX / 3) {
        kind = 90;
    }
    if (kind < 45) {
        step_write(race, model);
    } else if (kind < 52) {
        step_lend(race, model);
    } else if (kind < 65) {
        step_mark(race, model);
    } else if (kind < 75) {
        step_insert(race, model);
    } else if (kind < 78) {
        step_truncate(race, model);
    } else if (kind < 95) {
        step_send(race, model);
    } else if (kind < 98) {
        if (race->models[0].size + race->models[1].size < MODEL_SIZE_MAX / 3) {
            step_splice(model, &race->models[1 - which]);
        }
    } else if (model->mark_count == 0) {
        output_trim(&model->output);
        cr_assert(model->size > 0 || model->output.memory_size == 0);
    }
    cr_assert_eq(model->output.byte_count, model->size);
}

Test(output, races_a_flat_model, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct race race = {.state = seed};
        for (uint32_t i = 0; i < 2; i++) {
            output_create(&race.models[i].output);
            race.models[i].bytes = heap_alloc(MODEL_SIZE_MAX);
        }
        for (uint32_t step = 0; step < 400; step++) {
            race_step(&race);
        }
        for (uint32_t i = 0; i < 2; i++) {
            struct model *model = &race.models[i];
            char *flat = output_flatten(&model->output);
            cr_assert(memcmp(flat, model->bytes, model->size) == 0, "seed %lu",
                      (unsigned long)seed);
            heap_free(flat);
            output_destroy(&model->output);
            heap_free(model->bytes);
        }
        cr_assert_eq(race.lent_count, race.released_count, "seed %lu", (unsigned long)seed);
    }
}

Test(output, a_request_and_its_reply_reuse_one_chunk)
{
    struct output output;
    output_create(&output);
    output_append(&output, "first", 5);
    struct output_chunk *chunk = output.first;
    for (uint32_t i = 0; i < 10; i++) {
        output_consume(&output, output.byte_count);
        cr_assert_null(output.first);
        cr_assert_eq(output.memory_size, 4096);
        memcpy(output_reserve(&output, 3), "abc", 3);
        output_commit(&output, 3);
        cr_assert_eq(output.first, chunk);
    }
    output_consume(&output, 3);
    output_trim(&output);
    cr_assert_eq(output.memory_size, 0);
    output_destroy(&output);
}

Test(output, small_contents_are_copied_and_long_ones_change_owners)
{
    struct output to;
    struct output from;
    output_create(&to);
    output_create(&from);
    output_append(&to, "a", 1);
    output_append(&from, "b", 1);
    struct output_chunk *chunk = from.first;
    output_splice(&to, &from);
    cr_assert_eq(from.spare, chunk);
    cr_assert_eq(to.first, to.last);
    static const char block[3 * OUTPUT_CHUNK_SIZE] = "c";
    for (uint32_t i = 0; i < 3; i++) {
        output_append(&from, block, OUTPUT_CHUNK_SIZE);
    }
    struct output_chunk *first = from.first;
    output_splice(&to, &from);
    cr_assert_eq(to.first->next, first);
    cr_assert_eq(to.byte_count, 2 + sizeof(block));
    cr_assert_eq(from.memory_size, 0);
    output_destroy(&to);
    output_destroy(&from);
}
