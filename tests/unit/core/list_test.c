/* list_test.c: the list against arrays. */
#include "core/list.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#define ITEM_COUNT 24
#define LIST_COUNT 2

struct item {
    int number;
    struct list_node node;
};

/** The numbers of the items in a list, in order. */
struct model {
    int numbers[ITEM_COUNT];
    int count;
};

static void
model_insert(struct model *model, int at, int number)
{
    memmove(model->numbers + at + 1, model->numbers + at,
            sizeof(int) * (size_t)(model->count - at));
    model->numbers[at] = number;
    model->count++;
}

static void
model_remove(struct model *model, int at)
{
    model->count--;
    memmove(model->numbers + at, model->numbers + at + 1,
            sizeof(int) * (size_t)(model->count - at));
}

/** Where the number stands; -1 where it does not. */
static int
model_find(const struct model *model, int number)
{
    for (int i = 0; i < model->count; i++) {
        if (model->numbers[i] == number) {
            return i;
        }
    }
    return -1;
}

static int
number_of(const struct list_node *node)
{
    return container_of(node, struct item, node)->number;
}

static void
check_same(const struct list *list, const struct model *model)
{
    int i = 0;
    for (struct list_node *node = list_first(list); node != NULL; node = list_next(list, node)) {
        cr_assert_lt(i, model->count);
        cr_assert_eq(number_of(node), model->numbers[i]);
        cr_assert(list_node_is_linked(node));
        i++;
    }
    cr_assert_eq(i, model->count);
    for (struct list_node *node = list_last(list); node != NULL; node = list_prev(list, node)) {
        i--;
        cr_assert_eq(number_of(node), model->numbers[i]);
    }
    cr_assert_eq(i, 0);
    cr_assert_eq(list_is_empty(list), model->count == 0);
}

/** Puts an item that is in no list somewhere. */
static void
insert_somewhere(struct random *random, struct list *list, struct model *model, struct item *items,
                 int number)
{
    struct list_node *node = &items[number].node;
    uint64_t way = random_below(random, model->count == 0 ? 2 : 4);
    if (way == 0) {
        list_push_back(list, node);
        model_insert(model, model->count, number);
    } else if (way == 1) {
        list_push_front(list, node);
        model_insert(model, 0, number);
    } else {
        int at = (int)random_below(random, (uint64_t)model->count);
        struct list_node *position = &items[model->numbers[at]].node;
        if (way == 2) {
            list_insert_before(position, node);
            model_insert(model, at, number);
        } else {
            list_insert_after(position, node);
            model_insert(model, at + 1, number);
        }
    }
}

Test(list, races_arrays)
{
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    struct item items[ITEM_COUNT] = {0};
    struct list lists[LIST_COUNT];
    struct model models[LIST_COUNT] = {0};
    list_create(&lists[0]);
    list_create(&lists[1]);
    for (int i = 0; i < ITEM_COUNT; i++) {
        items[i].number = i;
        if (i % 2 == 0) {
            list_node_create(&items[i].node);
        }
    }
    for (int round = 0; round < 100000; round++) {
        uint64_t which = random_below(&random, LIST_COUNT);
        int number = (int)random_below(&random, ITEM_COUNT);
        struct list_node *node = &items[number].node;
        if (random_below(&random, 50) == 0) {
            list_append(&lists[which], &lists[1 - which]);
            while (models[1 - which].count > 0) {
                model_insert(&models[which], models[which].count, models[1 - which].numbers[0]);
                model_remove(&models[1 - which], 0);
            }
        } else if (random_below(&random, 8) == 0) {
            struct list_node *popped = list_pop_front(&lists[which]);
            cr_assert_eq(popped == NULL, models[which].count == 0);
            if (popped != NULL) {
                cr_assert_eq(number_of(popped), models[which].numbers[0]);
                cr_assert_not(list_node_is_linked(popped));
                model_remove(&models[which], 0);
            }
        } else if (!list_node_is_linked(node)) {
            insert_somewhere(&random, &lists[which], &models[which], items, number);
        } else {
            list_remove(node);
            cr_assert_not(list_node_is_linked(node));
            list_remove(node);
            struct model *model = model_find(&models[0], number) >= 0 ? &models[0] : &models[1];
            model_remove(model, model_find(model, number));
        }
        check_same(&lists[0], &models[0]);
        check_same(&lists[1], &models[1]);
    }
}
