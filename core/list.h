/*
 * list.h: an intrusive doubly linked list.
 * A ring through a head that is no element: neither end is special, and a node leaves without
 * knowing its list. list: head <-> a <-> b <-> c <-> head      empty: head <-> head A node that is
 * in no list points to itself (list_node_create, list_remove) or is zeroed. A list and its nodes
 * belong to one thread, may not be copied or moved while linked, and own nothing. Elements are
 * found with container_of(). A loop over it is plain: for (struct list_node *node = list_first(l);
 * node != NULL; node = list_next(l, node)) and one that removes takes the next node before it
 * removes the current one.
 */
#pragma once

#include "core/base.h"

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

struct list {
    struct list_node head;
};

static inline void
list_create(struct list *list)
{
    list->head.prev = &list->head;
    list->head.next = &list->head;
}

static inline void
list_node_create(struct list_node *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool
list_node_is_linked(const struct list_node *node)
{
    return node->next != NULL && node->next != node;
}

static inline bool
list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

/** NULL when empty. */
static inline struct list_node *
list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

/** NULL when empty. */
static inline struct list_node *
list_last(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.prev;
}

/** NULL behind the last. `node` is in `list`. */
static inline struct list_node *
list_next(const struct list *list, const struct list_node *node)
{
    return node->next == &list->head ? NULL : node->next;
}

/** NULL before the first. `node` is in `list`. */
static inline struct list_node *
list_prev(const struct list *list, const struct list_node *node)
{
    return node->prev == &list->head ? NULL : node->prev;
}

/** `node` is in no list, `position` is in one. */
static inline void
list_insert_before(struct list_node *position, struct list_node *node)
{
    ASSERT_SLOW(!list_node_is_linked(node));
    node->prev = position->prev;
    node->next = position;
    position->prev->next = node;
    position->prev = node;
}

/** `node` is in no list, `position` is in one. */
static inline void
list_insert_after(struct list_node *position, struct list_node *node)
{
    list_insert_before(position->next, node);
}

static inline void
list_push_back(struct list *list, struct list_node *node)
{
    list_insert_before(&list->head, node);
}

static inline void
list_push_front(struct list *list, struct list_node *node)
{
    list_insert_before(list->head.next, node);
}

/** Out of whatever list it is in; a node that is in none stays so. */
static inline void
list_remove(struct list_node *node)
{
    if (list_node_is_linked(node)) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
    }
    list_node_create(node);
}

/** The first node, removed; NULL when empty. */
static inline struct list_node *
list_pop_front(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}

/** All of `from` behind the last of `to`, in order; `from` is empty then. */
static inline void
list_append(struct list *to, struct list *from)
{
    if (list_is_empty(from)) {
        return;
    }
    struct list_node *first = from->head.next;
    struct list_node *last = from->head.prev;
    first->prev = to->head.prev;
    last->next = &to->head;
    to->head.prev->next = first;
    to->head.prev = last;
    list_create(from);
}
