#include "shard/value/list_value.h"

#include "core/number.h"

/*
 * list_value.c: lists as small as they can be.
 *
 *     listpack  --(beyond list-max-listpack-size)-->  quicklist
 *         ^------(one node, half as large)---------------'
 *
 * Both ways are O(1): the listpack becomes the quicklist's first node, and back. That the way back
 * starts at half the size only keeps a list at the limit from swinging.
 */

struct list_value
list_value_new(void)
{
    return (struct list_value){.encoding = ENCODING_LISTPACK, .object = listpack_new(0)};
}

/* ---- looking ---- */

struct list_value_walk
list_value_walk(const struct list_value *list, uint64_t index, bool is_backward)
{
    struct list_value_walk walk = {.is_backward = is_backward};
    if (index >= list_value_count(list)) {
        return walk;
    }
    if (list->encoding == ENCODING_LISTPACK) {
        walk.listpack = list->object;
        walk.position = listpack_seek(walk.listpack, (int64_t)index);
        return walk;
    }
    ASSERT(list->encoding == ENCODING_QUICKLIST);
    uint32_t in_node;
    walk.node = quicklist_find(list->object, index, &in_node);
    walk.listpack = quicklist_node_listpack(walk.node, &walk.scratch);
    uint32_t count = walk.node->count;
    /* From the nearer end of the node. */
    walk.position =
        listpack_seek(walk.listpack, in_node <= count / 2 ? in_node : (int64_t)in_node - count);
    return walk;
}

bool
list_value_next(struct list_value_walk *walk, struct listpack_item *item)
{
    if (walk->position == LISTPACK_NONE) {
        if (walk->node == NULL) {
            return false;
        }
        walk->node = walk->is_backward ? walk->node->previous : walk->node->next;
        if (walk->node == NULL) {
            list_value_walk_end(walk);
            return false;
        }
        walk->listpack = quicklist_node_listpack(walk->node, &walk->scratch);
        walk->position =
            walk->is_backward ? listpack_last(walk->listpack) : listpack_first(walk->listpack);
    }
    *item = listpack_get(walk->listpack, walk->position);
    walk->position = walk->is_backward ? listpack_previous(walk->listpack, walk->position)
                                       : listpack_next(walk->listpack, walk->position);
    return true;
}

struct list_value_needle
list_value_needle(struct slice text)
{
    struct list_value_needle needle = {.text = text};
    needle.is_integer = number_parse_i64(text, &needle.integer);
    return needle;
}

/* ---- changing ---- */

void
list_value_grow(struct list_value *list, const struct quicklist_limits *limits,
                const struct slice *texts, uint32_t count)
{
    if (list->encoding == ENCODING_QUICKLIST) {
        return;
    }
    uint64_t size = listpack_size(list->object);
    for (uint32_t i = 0; i < count; i++) {
        size += texts[i].size;
    }
    if (size > limits->size_max ||
        (uint64_t)listpack_count(list->object) + count > limits->count_max) {
        list->object = quicklist_new(list->object);
        list->encoding = ENCODING_QUICKLIST;
    }
}

void
list_value_shrink(struct list_value *list, const struct quicklist_limits *limits)
{
    if (list->encoding == ENCODING_LISTPACK) {
        return;
    }
    const struct quicklist *quicklist = list->object;
    if (quicklist->first != quicklist->last || quicklist->count > limits->count_max / 2 ||
        (quicklist->first != NULL &&
         listpack_size(quicklist->first->listpack) > limits->size_max / 2)) {
        return;
    }
    list->object = quicklist_unwrap(list->object);
    list->encoding = ENCODING_LISTPACK;
}

void
list_value_push_first(struct list_value *list, const struct quicklist_limits *limits,
                      struct slice text)
{
    if (list->encoding == ENCODING_LISTPACK) {
        list->object = listpack_prepend(list->object, text);
    } else {
        quicklist_push_first(list->object, limits, text);
    }
}

void
list_value_push_last(struct list_value *list, const struct quicklist_limits *limits,
                     struct slice text)
{
    if (list->encoding == ENCODING_LISTPACK) {
        list->object = listpack_append(list->object, text);
    } else {
        quicklist_push_last(list->object, limits, text);
    }
}

void
list_value_insert(struct list_value *list, const struct quicklist_limits *limits, uint64_t index,
                  struct slice text)
{
    if (index == list_value_count(list)) {
        list_value_push_last(list, limits, text);
    } else if (list->encoding == ENCODING_LISTPACK) {
        uint32_t position = listpack_seek(list->object, (int64_t)index);
        list->object = listpack_insert(list->object, &position, text);
    } else {
        quicklist_insert(list->object, limits, quicklist_seek(list->object, index), text);
    }
}

void
list_value_replace(struct list_value *list, const struct quicklist_limits *limits, uint64_t index,
                   struct slice text)
{
    if (list->encoding == ENCODING_LISTPACK) {
        uint32_t position = listpack_seek(list->object, (int64_t)index);
        list->object = listpack_replace(list->object, position, text);
    } else {
        quicklist_replace(list->object, limits, quicklist_seek(list->object, index), text);
    }
}

void
list_value_remove(struct list_value *list, const struct quicklist_limits *limits, uint64_t index,
                  uint64_t count)
{
    if (list->encoding == ENCODING_LISTPACK) {
        list->object = listpack_remove_range(list->object, (int64_t)index, (uint32_t)count);
    } else {
        quicklist_remove(list->object, limits, index, count);
    }
}

uint64_t
list_value_remove_equal(struct list_value *list, const struct quicklist_limits *limits,
                        struct slice text, uint64_t count_max, bool is_backward)
{
    if (list->encoding == ENCODING_QUICKLIST) {
        return quicklist_remove_equal(list->object, limits, text, count_max, is_backward);
    }
    uint64_t removed_count;
    list->object =
        quicklist_listpack_remove_equal(list->object, text, count_max, is_backward, &removed_count);
    return removed_count;
}
