#include "core/random.h"
#include "core/wheel.h"

#include <criterion/criterion.h>
#include <string.h>

/*
 * The wheel against an array that is searched: random deadlines from the past to the end of time,
 * random steps of time forwards and back, advances that are cut short, and nodes that move in
 * memory.
 */

#define NODE_COUNT 3000

struct item {
    struct wheel_node node;
    bool is_in;
};

struct model {
    struct memory memory;
    struct wheel wheel;
    struct random random;
    uint64_t seed;
    int64_t now_ms;
    struct item *items;
    uint32_t in_count;
    uint32_t due_count;
    bool is_behind_ok;
};

static void
model_create(struct model *model, uint64_t seed)
{
    *model = (struct model){.seed = seed, .now_ms = 1700000000000};
    memory_create(&model->memory);
    random_create(&model->random, seed);
    wheel_create(&model->wheel, &model->memory, model->now_ms);
    model->items = calloc(NODE_COUNT, sizeof(struct item));
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        model->items[i].node.place = WHEEL_NOWHERE;
        model->items[i].node.spare = i;
    }
}

static void
model_destroy(struct model *model)
{
    wheel_destroy(&model->wheel);
    cr_assert_eq(model->memory.used_size, 0);
    memory_destroy(&model->memory);
    free(model->items);
}

static int64_t
model_deadline(struct model *model)
{
    uint64_t kind = random_below(&model->random, 20);
    if (kind == 0) {
        return INT64_MAX - (int64_t)random_below(&model->random, 3);
    }
    if (kind == 1) {
        return MAX(0, model->now_ms - (int64_t)random_below(&model->random, 100000));
    }
    if (kind == 2) {
        /* A crowd on one millisecond. */
        return (model->now_ms / 10000 + 1) * 10000;
    }
    uint64_t bits = random_below(&model->random, 34);
    return model->now_ms + (int64_t)(random_next(&model->random) >> (63 - bits));
}

static void
model_due(void *context, struct wheel_node *node)
{
    struct model *model = context;
    struct item *item = &model->items[node->spare];
    cr_assert_eq(node, &item->node);
    cr_assert(item->is_in, "seed %lu", (unsigned long)model->seed);
    cr_assert_eq(node->place, WHEEL_NOWHERE);
    cr_assert_leq(node->deadline_ms, model->now_ms, "early, seed %lu", (unsigned long)model->seed);
    item->is_in = false;
    model->in_count--;
    model->due_count++;
    if (random_below(&model->random, 8) == 0) {
        node->deadline_ms = model_deadline(model);
        wheel_add(&model->wheel, node);
        item->is_in = true;
        model->in_count++;
    } else if (random_below(&model->random, 8) == 0) {
        struct item *other = &model->items[random_below(&model->random, NODE_COUNT)];
        wheel_remove(&model->wheel, &other->node);
        model->in_count -= other->is_in;
        other->is_in = false;
    }
}

static void
model_check(struct model *model)
{
    int64_t first_ms = INT64_MAX;
    uint32_t count = 0;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        const struct item *item = &model->items[i];
        count += item->is_in;
        if (item->is_in) {
            first_ms = MIN(first_ms, item->node.deadline_ms);
        }
        cr_assert_eq(item->is_in, item->node.place != WHEEL_NOWHERE);
    }
    cr_assert_eq(count, model->wheel.count);
    int64_t next_ms = wheel_next_ms(&model->wheel);
    if (count == 0) {
        cr_assert_eq(next_ms, INT64_MAX);
        cr_assert_not(wheel_is_behind(&model->wheel));
    } else if (first_ms > model->now_ms) {
        /* A small step back is waited for. */
        int64_t wait_ms = model->is_behind_ok ? 0 : 1000;
        cr_assert_leq(next_ms, first_ms + wait_ms, "late, seed %lu", (unsigned long)model->seed);
    }
    if (!wheel_is_behind(&model->wheel) && model->is_behind_ok) {
        cr_assert_gt(first_ms, model->now_ms, "seed %lu", (unsigned long)model->seed);
    }
}

static void
model_change(struct model *model)
{
    struct item *item = &model->items[random_below(&model->random, NODE_COUNT)];
    switch (random_below(&model->random, 4)) {
    case 0:
        wheel_remove(&model->wheel, &item->node);
        model->in_count -= item->is_in;
        item->is_in = false;
        break;
    case 1: {
        struct wheel_node moved = item->node;
        wheel_relocate(&model->wheel, &item->node, &moved);
        memset(&item->node, 0xee, sizeof(item->node));
        item->node = moved;
        wheel_relocate(&model->wheel, &moved, &item->node);
        break;
    }
    default:
        if (!item->is_in) {
            item->node.deadline_ms = model_deadline(model);
            wheel_add(&model->wheel, &item->node);
            item->is_in = true;
            model->in_count++;
        }
    }
}

static int64_t
model_step(struct model *model)
{
    uint64_t kind = random_below(&model->random, 100);
    if (kind == 0) {
        return (int64_t)random_below(&model->random, 40000000);
    }
    if (kind < 5) {
        return (int64_t)random_below(&model->random, 100000);
    }
    if (kind == 5) {
        return -(int64_t)random_below(&model->random, 900);
    }
    if (kind == 6) {
        return -(int64_t)random_below(&model->random, 5000000);
    }
    return (int64_t)random_below(&model->random, kind < 50 ? 3 : 400);
}

static void
model_run(uint64_t seed, bool is_back_allowed)
{
    struct model model;
    model_create(&model, seed);
    model.is_behind_ok = !is_back_allowed;
    for (unsigned i = 0; i < 3000; i++) {
        for (uint64_t k = random_below(&model.random, 20); k > 0; k--) {
            model_change(&model);
        }
        int64_t step = model_step(&model);
        if (step < 0 && !is_back_allowed) {
            step = 0;
        }
        model.now_ms = MAX(model.now_ms + step, 0);
        uint32_t step_count_max = random_below(&model.random, 2) == 0
                                      ? 1 + (uint32_t)random_below(&model.random, 20)
                                      : UINT32_MAX;
        uint32_t steps =
            wheel_advance(&model.wheel, model.now_ms, step_count_max, model_due, &model);
        cr_assert_leq(steps, step_count_max);
        if (steps < step_count_max) {
            cr_assert_not(wheel_is_behind(&model.wheel), "seed %lu", (unsigned long)seed);
        }
        if (i % 16 == 0) {
            model_check(&model);
        }
    }
    cr_assert_gt(model.due_count, 1000);
    /* Late by nothing once the clock has caught up and the steps suffice. */
    model.is_behind_ok = true;
    model.now_ms += 10000000;
    while (wheel_advance(&model.wheel, model.now_ms, 1000, model_due, &model) == 1000 ||
           wheel_is_behind(&model.wheel)) {
    }
    model_check(&model);
    model_destroy(&model);
}

Test(wheel, races_a_sorted_array)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        model_run(seed, false);
    }
}

Test(wheel, follows_a_clock_that_is_set_back)
{
    for (uint64_t seed = 100; seed <= 120; seed++) {
        model_run(seed, true);
    }
}

struct log {
    int64_t now_ms;
    int64_t last_ms;
    uint32_t count;
};

static void
log_due(void *context, struct wheel_node *node)
{
    struct log *log = context;
    cr_assert_leq(node->deadline_ms, log->now_ms);
    cr_assert_geq(node->deadline_ms, log->last_ms);
    log->last_ms = node->deadline_ms;
    log->count++;
}

Test(wheel, sleeping_until_next_ms_is_never_late)
{
    struct memory memory;
    memory_create(&memory);
    struct wheel wheel;
    wheel_create(&wheel, &memory, 12345);
    struct random random;
    random_create(&random, 3);
    static struct wheel_node nodes[200];
    for (unsigned i = 0; i < ARRAY_COUNT(nodes); i++) {
        int64_t delay_ms = (int64_t)(random_next(&random) >> (20 + random_below(&random, 44)));
        nodes[i] = (struct wheel_node){.deadline_ms = 12345 + delay_ms, .place = WHEEL_NOWHERE};
        wheel_add(&wheel, &nodes[i]);
    }
    struct log log = {.last_ms = 0};
    unsigned wake_count = 0;
    while (wheel.count > 0) {
        int64_t first_ms = INT64_MAX;
        for (unsigned i = 0; i < ARRAY_COUNT(nodes); i++) {
            if (nodes[i].place != WHEEL_NOWHERE) {
                first_ms = MIN(first_ms, nodes[i].deadline_ms);
            }
        }
        log.now_ms = wheel_next_ms(&wheel);
        cr_assert_leq(log.now_ms, first_ms);
        uint32_t count = log.count;
        wheel_advance(&wheel, log.now_ms, UINT32_MAX, log_due, &log);
        cr_assert(log.now_ms < first_ms || log.count > count);
        wake_count++;
    }
    cr_assert_eq(log.count, ARRAY_COUNT(nodes));
    cr_assert_lt(wake_count, 10 * ARRAY_COUNT(nodes));
    cr_assert_eq(wheel_next_ms(&wheel), INT64_MAX);
    wheel_destroy(&wheel);
    cr_assert_eq(memory.used_size, 0);
    memory_destroy(&memory);
}

Test(wheel, far_crowds_do_not_hold_up_near_deadlines)
{
    /* 200000 nodes of one coarse bucket, which is due to move inward just when others are due. */
    struct memory memory;
    memory_create(&memory);
    struct wheel wheel;
    int64_t boundary_ms = INT64_C(1) << 30;
    int64_t start_ms = boundary_ms - 60000;
    wheel_create(&wheel, &memory, start_ms);
    enum { FAR_COUNT = 200000, NEAR_COUNT = 1000 };
    struct wheel_node *far = calloc(FAR_COUNT, sizeof(*far));
    static struct wheel_node near[NEAR_COUNT];
    for (unsigned i = 0; i < FAR_COUNT; i++) {
        far[i] = (struct wheel_node){.deadline_ms = boundary_ms + 10000 + i % 1000,
                                     .place = WHEEL_NOWHERE};
        wheel_add(&wheel, &far[i]);
    }
    for (unsigned i = 0; i < NEAR_COUNT; i++) {
        near[i] = (struct wheel_node){.deadline_ms = boundary_ms - 500 + i, .place = WHEEL_NOWHERE};
        wheel_add(&wheel, &near[i]);
    }
    uint64_t full_size = memory.used_size;
    struct log log = {.last_ms = 0};
    for (int64_t now_ms = start_ms; now_ms < boundary_ms + 1000; now_ms++) {
        log.now_ms = now_ms;
        wheel_advance(&wheel, now_ms, 500, log_due, &log);
        cr_assert_eq(log.count, MIN(MAX(now_ms - (boundary_ms - 501), 0), NEAR_COUNT));
    }
    log.now_ms = boundary_ms + 20000;
    while (wheel.count > 0) {
        wheel_advance(&wheel, log.now_ms, 500, log_due, &log);
    }
    cr_assert_eq(log.count, FAR_COUNT + NEAR_COUNT);
    cr_assert_lt(memory.used_size, full_size / 4);
    free(far);
    wheel_destroy(&wheel);
    cr_assert_eq(memory.used_size, 0);
    memory_destroy(&memory);
}
