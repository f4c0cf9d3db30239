#include "shard/value/quicklist.h"

#include "shard/value/image.h"
#include "shard/value/quicklist_internal.h"

/*
 * quicklist.c: a doubly linked chain of listpacks.
 *
 *     first                                                     last
 *       |                                                         |
 *     [count 3]  <------->  [count 408]  <------->  ...  <--->  [count 12]
 *       |                        |                                |
 *     listpack                listpack                         listpack
 *
 * A node is as large as list-max-listpack-size allows, its block's header included: with the
 * default it fills a block of exactly 8 KiB, and what is not an element's own bytes is some 32
 * bytes for each of these. An element that is larger than a node may be gets one to itself.
 *
 * Pushes and pops touch the nodes at the ends only. An insertion into a full node in the middle
 * goes to a neighbour with room, or splits the node at that place. Removals in the middle leave
 * small nodes behind: a node joins a neighbour once both together fill half a node at most, so that
 * the next insertions do not split it again at once.
 *
 * Which nodes are compressed is quicklist_compress.c's affair: a node is opened here before its
 * listpack is touched, and a change that has opened, linked or deleted nodes ends by handing over
 * the place where it was.
 *
 * Whoever changes a listpack keeps the node first, for somebody who writes the list as it was
 * (image.h); what is dropped goes there by itself.
 *
 * Invariants: no node is empty; each node's count is its listpack's, the list's is their sum;
 * object.size counts each node and what it holds.
 *
 * Rejected: an array of nodes (its growth copies all of it: with one element for each node that is
 * a long pause), a tree over the nodes (the counts of 25,000 nodes are what a list of ten million
 * short elements has to look at at worst), nodes with their listpack inside (each growth would have
 * to mend two neighbours).
 */

/** A node behind a full one starts with this part of its size: it is likely to grow. */
#define NODE_ROOM_SHARE 4

/** No text takes more bytes in a listpack than this beyond its own. */
#define ITEM_OVERHEAD_SIZE_MAX 11

/** A node's elements in positive list-max-listpack-size. */
#define NODE_COUNT_MAX 32767
/** And its bytes then. */
#define NODE_COUNTED_SIZE_MAX 8192

struct quicklist_limits
quicklist_limits_of(int64_t max_listpack_size)
{
    if (max_listpack_size >= 0) {
        int64_t count = MIN(MAX(max_listpack_size, 1), NODE_COUNT_MAX);
        return (struct quicklist_limits){.size_max = NODE_COUNTED_SIZE_MAX,
                                         .count_max = (uint64_t)count};
    }
    static const uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    size_t index = max_listpack_size < -5 ? 4 : (size_t)(-max_listpack_size - 1);
    return (struct quicklist_limits){.size_max = sizes[index], .count_max = UINT32_MAX};
}

/* ---- nodes ---- */

static struct quicklist_node *
node_new(struct quicklist *quicklist, struct listpack *listpack)
{
    struct quicklist_node *node = object_alloc(&quicklist->object, sizeof(*node));
    *node = (struct quicklist_node){.listpack = listpack, .count = listpack_count(listpack)};
    quicklist->object.size += object_size(listpack);
    quicklist->count += node->count;
    quicklist->node_count++;
    return node;
}

/** Between two neighbours, either of which may be NULL. */
static void
node_link(struct quicklist *quicklist, struct quicklist_node *node, struct quicklist_node *previous,
          struct quicklist_node *next)
{
    node->previous = previous;
    node->next = next;
    *(previous != NULL ? &previous->next : &quicklist->first) = node;
    *(next != NULL ? &next->previous : &quicklist->last) = node;
}

/** Out of the chain, and freed with its elements. */
static void
node_delete(struct quicklist *quicklist, struct quicklist_node *node)
{
    *(node->previous != NULL ? &node->previous->next : &quicklist->first) = node->next;
    *(node->next != NULL ? &node->next->previous : &quicklist->last) = node->previous;
    quicklist->count -= node->count;
    quicklist->node_count--;
    quicklist_node_drop(quicklist, node);
    object_free(&quicklist->object, node, sizeof(*node));
}

/** The node's listpack, `old_size` bytes large before, was changed and is `listpack` now, with
 * `count` elements. The node is open. */
static inline void
node_set(struct quicklist *quicklist, struct quicklist_node *node, size_t old_size,
         struct listpack *listpack, uint32_t count)
{
    quicklist->object.size += object_size(listpack) - old_size;
    quicklist->count += (uint64_t)count - node->count;
    node->listpack = listpack;
    node->count = count;
    node->form = QUICKLIST_NODE_PLAIN;
}

/** May so many bytes and elements be one node? */
static inline bool
node_is_allowed(const struct quicklist_limits *limits, uint64_t size, uint64_t count)
{
    return sizeof(struct listpack) + size <= limits->size_max && count <= limits->count_max;
}

static inline bool
node_has_room(const struct quicklist_limits *limits, const struct quicklist_node *node,
              struct slice text)
{
    uint64_t size = quicklist_node_size(node);
    uint64_t count = UINT64_C(1) + node->count;
    return node_is_allowed(limits, size + text.size + ITEM_OVERHEAD_SIZE_MAX, count) ||
           node_is_allowed(limits, size + listpack_item_size(text), count);
}

static void
node_push_last(struct quicklist *quicklist, struct quicklist_node *node, struct slice text)
{
    quicklist_node_keep(quicklist, node);
    size_t old_size = object_size(node->listpack);
    node_set(quicklist, node, old_size, listpack_append(node->listpack, text), node->count + 1);
}

static void
node_push_first(struct quicklist *quicklist, struct quicklist_node *node, struct slice text)
{
    quicklist_node_keep(quicklist, node);
    size_t old_size = object_size(node->listpack);
    node_set(quicklist, node, old_size, listpack_prepend(node->listpack, text), node->count + 1);
}

/** A node of one element between two neighbours, with room for more where more may follow. */
static void
node_insert(struct quicklist *quicklist, const struct quicklist_limits *limits,
            struct quicklist_node *previous, struct quicklist_node *next, struct slice text)
{
    size_t size = listpack_item_size(text);
    size_t room_size = limits->count_max < NODE_COUNT_MAX ? 0 : limits->size_max / NODE_ROOM_SHARE;
    bool is_end = previous == NULL || next == NULL;
    struct listpack *listpack = listpack_new(is_end ? MAX(size, room_size) : size);
    struct quicklist_node *node = node_new(quicklist, listpack_append(listpack, text));
    node_link(quicklist, node, previous, next);
}

/** The elements of a node, open, from a position on become a node behind it. Both have some then.
 */
static void
node_split(struct quicklist *quicklist, struct quicklist_node *node, uint32_t position)
{
    quicklist_node_keep(quicklist, node);
    struct listpack *listpack = node->listpack;
    struct listpack *rest = listpack_new(listpack_size(listpack) - position);
    rest = listpack_append_from(rest, listpack, position, UINT32_MAX);
    size_t old_size = object_size(listpack);
    listpack = listpack_remove(listpack, &position, UINT32_MAX);
    node_set(quicklist, node, old_size, listpack, listpack_count(listpack));
    node_link(quicklist, node_new(quicklist, rest), node, node->next);
}

/** Let a node and the one behind it be one, if they fill half a node at most. True: they are. */
static bool
node_join(struct quicklist *quicklist, const struct quicklist_limits *limits,
          struct quicklist_node *node, struct quicklist_node *next)
{
    if (node == NULL || next == NULL) {
        return false;
    }
    uint64_t size = UINT64_C(2) * (quicklist_node_size(node) + quicklist_node_size(next));
    uint64_t count = (uint64_t)node->count + next->count;
    if (!node_is_allowed(limits, size, 2 * count)) {
        return false;
    }
    quicklist_node_open(quicklist, node);
    quicklist_node_open(quicklist, next);
    quicklist_node_keep(quicklist, node);
    size_t old_size = object_size(node->listpack);
    struct listpack *listpack = node->listpack;
    listpack =
        listpack_append_from(listpack, next->listpack, listpack_first(next->listpack), next->count);
    node_set(quicklist, node, old_size, listpack, (uint32_t)count);
    node_delete(quicklist, next);
    return true;
}

/** A node in the middle of what was changed has become small, or smaller. The change is over. */
static void
node_settle(struct quicklist *quicklist, const struct quicklist_limits *limits,
            struct quicklist_node *node)
{
    struct quicklist_node *previous = node->previous;
    if (node_join(quicklist, limits, previous, node)) {
        node = previous;
    }
    node_join(quicklist, limits, node, node->next);
    quicklist_compress_near(quicklist, limits, node);
}

/* ---- life ---- */

struct quicklist *
quicklist_new(struct listpack *listpack)
{
    struct quicklist *quicklist = object_new(sizeof(*quicklist));
    if (listpack_is_empty(listpack)) {
        listpack_delete(listpack);
        return quicklist;
    }
    node_link(quicklist, node_new(quicklist, listpack), NULL, NULL);
    return quicklist;
}

struct listpack *
quicklist_unwrap(struct quicklist *quicklist)
{
    struct quicklist_node *node = quicklist->first;
    ASSERT(node == quicklist->last);
    ASSERT(quicklist->compressed_count == 0);
    if (UNLIKELY(quicklist->object.image != NULL)) {
        if (node != NULL) {
            quicklist_node_keep(quicklist, node);
        }
        image_leave(quicklist->object.image, &quicklist->object);
    }
    struct listpack *listpack = node == NULL ? listpack_new(0) : node->listpack;
    heap_free(node);
    heap_free(quicklist);
    return listpack;
}

void
quicklist_append(struct quicklist *quicklist, const struct quicklist_limits *limits,
                 struct listpack *listpack)
{
    ASSERT(!listpack_is_empty(listpack));
    node_link(quicklist, node_new(quicklist, listpack), quicklist->last, NULL);
    quicklist_compress_near(quicklist, limits, NULL);
}

/* ---- looking ---- */

struct quicklist_node *
quicklist_find(const struct quicklist *quicklist, uint64_t index, uint32_t *index_in_node)
{
    ASSERT(index < quicklist->count);
    struct quicklist_node *node;
    if (index <= quicklist->count / 2) {
        node = quicklist->first;
        for (; index >= node->count; node = node->next) {
            index -= node->count;
        }
    } else {
        uint64_t distance = quicklist->count - index;
        node = quicklist->last;
        for (; distance > node->count; node = node->previous) {
            distance -= node->count;
        }
        index = node->count - distance;
    }
    *index_in_node = (uint32_t)index;
    return node;
}

/* ---- changing ---- */

/** Where in a node, which is open, an element is. From the nearer end. */
static uint32_t
node_position(const struct quicklist_node *node, uint32_t index)
{
    int64_t count = node->count;
    return listpack_seek(node->listpack, index <= count / 2 ? index : (int64_t)index - count);
}

struct quicklist_place
quicklist_seek(struct quicklist *quicklist, uint64_t index)
{
    uint32_t index_in_node;
    struct quicklist_node *node = quicklist_find(quicklist, index, &index_in_node);
    quicklist_node_open(quicklist, node);
    return (struct quicklist_place){.node = node, .position = node_position(node, index_in_node)};
}

void
quicklist_push_first(struct quicklist *quicklist, const struct quicklist_limits *limits,
                     struct slice text)
{
    struct quicklist_node *node = quicklist->first;
    if (node != NULL && node_has_room(limits, node, text)) {
        node_push_first(quicklist, node, text);
    } else {
        node_insert(quicklist, limits, NULL, node, text);
        quicklist_compress_near(quicklist, limits, NULL);
    }
}

void
quicklist_push_last(struct quicklist *quicklist, const struct quicklist_limits *limits,
                    struct slice text)
{
    struct quicklist_node *node = quicklist->last;
    if (node != NULL && node_has_room(limits, node, text)) {
        node_push_last(quicklist, node, text);
    } else {
        node_insert(quicklist, limits, node, NULL, text);
        quicklist_compress_near(quicklist, limits, NULL);
    }
}

void
quicklist_insert(struct quicklist *quicklist, const struct quicklist_limits *limits,
                 struct quicklist_place place, struct slice text)
{
    struct quicklist_node *node = place.node;
    struct quicklist_node *previous = node->previous;
    if (node_has_room(limits, node, text)) {
        quicklist_node_keep(quicklist, node);
        size_t old_size = object_size(node->listpack);
        uint32_t position = place.position;
        struct listpack *listpack = listpack_insert(node->listpack, &position, text);
        node_set(quicklist, node, old_size, listpack, node->count + 1);
        quicklist_compress_near(quicklist, limits, node);
        return;
    }
    if (place.position != listpack_first(node->listpack)) {
        node_split(quicklist, node, place.position);
        previous = node;
        node = node->next;
    }
    if (previous != NULL && node_has_room(limits, previous, text)) {
        quicklist_node_open(quicklist, previous);
        node_push_last(quicklist, previous, text);
    } else if (node_has_room(limits, node, text)) {
        node_push_first(quicklist, node, text);
    } else {
        node_insert(quicklist, limits, previous, node, text);
    }
    /* What was split off may fit to what follows. */
    node_settle(quicklist, limits, node);
}

void
quicklist_replace(struct quicklist *quicklist, const struct quicklist_limits *limits,
                  struct quicklist_place place, struct slice text)
{
    struct quicklist_node *node = place.node;
    quicklist_node_keep(quicklist, node);
    struct listpack *listpack = node->listpack;
    size_t old_size = object_size(listpack);
    uint32_t next = listpack_next(listpack, place.position);
    uint32_t end = next != LISTPACK_NONE ? next : listpack_size(listpack) - 1;
    uint64_t size = listpack_size(listpack) - (end - place.position) + listpack_item_size(text);
    if (node->count == 1 || node_is_allowed(limits, size, node->count)) {
        listpack = listpack_replace(listpack, place.position, text);
        node_set(quicklist, node, old_size, listpack, node->count);
        quicklist_compress_near(quicklist, limits, node);
        return;
    }
    uint32_t position = place.position;
    listpack = listpack_remove(listpack, &position, 1);
    node_set(quicklist, node, old_size, listpack, node->count - 1);
    if (position == LISTPACK_NONE && node->next == NULL) {
        quicklist_push_last(quicklist, limits, text);
        return;
    }
    if (position == LISTPACK_NONE) {
        node = node->next;
        quicklist_node_open(quicklist, node);
        position = listpack_first(node->listpack);
    }
    struct quicklist_place gap = {.node = node, .position = position};
    quicklist_insert(quicklist, limits, gap, text);
}

void
quicklist_remove(struct quicklist *quicklist, const struct quicklist_limits *limits, uint64_t index,
                 uint64_t count)
{
    if (count == 0) {
        return;
    }
    ASSERT(index < quicklist->count && count <= quicklist->count - index);
    bool is_middle = index > 0 && index + count < quicklist->count;
    uint32_t node_count_before = quicklist->node_count;
    uint32_t index_in_node;
    struct quicklist_node *node = quicklist_find(quicklist, index, &index_in_node);
    struct quicklist_node *near = node;
    while (count > 0) {
        struct quicklist_node *next = node->next;
        uint32_t part = (uint32_t)MIN(count, (uint64_t)(node->count - index_in_node));
        near = node;
        if (part == node->count) {
            near = next;
            node_delete(quicklist, node);
        } else {
            quicklist_node_open(quicklist, node);
            quicklist_node_keep(quicklist, node);
            size_t old_size = object_size(node->listpack);
            uint32_t position = node_position(node, index_in_node);
            struct listpack *listpack = listpack_remove(node->listpack, &position, part);
            node_set(quicklist, node, old_size, listpack, node->count - part);
        }
        count -= part;
        node = next;
        index_in_node = 0;
    }
    if (is_middle) {
        /* Ends are left alone: there is no end to what is popped there. */
        node_settle(quicklist, limits, near);
    } else if (quicklist->node_count != node_count_before) {
        quicklist_compress_near(quicklist, limits, near);
    }
}

/** The node that begins with this index; one is split where none does. NULL: behind the end. */
static struct quicklist_node *
node_at(struct quicklist *quicklist, uint64_t index)
{
    if (index == quicklist->count) {
        return NULL;
    }
    uint32_t index_in_node;
    struct quicklist_node *node = quicklist_find(quicklist, index, &index_in_node);
    if (index_in_node == 0) {
        return node;
    }
    quicklist_node_open(quicklist, node);
    node_split(quicklist, node, node_position(node, index_in_node));
    return node->next;
}

struct quicklist *
quicklist_take(struct quicklist *quicklist, const struct quicklist_limits *limits, uint64_t index,
               uint64_t count)
{
    ASSERT(count > 0 && count <= quicklist->count && index <= quicklist->count - count);
    struct quicklist *taken = object_new(sizeof(*taken));
    if (UNLIKELY(quicklist->object.image != NULL)) {
        image_join(quicklist->object.image, &taken->object);
    }
    struct quicklist_node *end = node_at(quicklist, index + count);
    struct quicklist_node *first = node_at(quicklist, index);
    struct quicklist_node *before = first->previous;
    struct quicklist_node *last = end != NULL ? end->previous : quicklist->last;
    uint64_t size = 0;
    for (struct quicklist_node *node = first; node != end; node = node->next) {
        size += memory_class_size(sizeof(*node)) + quicklist_node_block_size(node);
        taken->node_count++;
        taken->compressed_count += quicklist_node_compressed(node) != NULL;
    }
    *(before != NULL ? &before->next : &quicklist->first) = end;
    *(end != NULL ? &end->previous : &quicklist->last) = before;
    first->previous = NULL;
    last->next = NULL;
    quicklist->count -= count;
    quicklist->object.size -= size;
    quicklist->node_count -= taken->node_count;
    quicklist->compressed_count -= taken->compressed_count;
    taken->first = first;
    taken->last = last;
    taken->count = count;
    taken->object.size += size;
    quicklist_compress_near(quicklist, limits, before != NULL ? before : end);
    quicklist_compress_near(taken, limits, NULL);
    return taken;
}

struct listpack *
quicklist_listpack_remove_equal(struct listpack *listpack, struct slice text, uint64_t count_max,
                                bool is_backward, uint64_t *removed_count)
{
    *removed_count = 0;
    uint32_t position = is_backward ? listpack_last(listpack) : listpack_first(listpack);
    while (position != LISTPACK_NONE && *removed_count < count_max) {
        if (!is_backward) {
            position = listpack_find(listpack, position, text, 0);
            if (position != LISTPACK_NONE) {
                listpack = listpack_remove(listpack, &position, 1);
                ++*removed_count;
            }
            continue;
        }
        uint32_t previous = listpack_previous(listpack, position);
        if (listpack_equal(listpack, position, text)) {
            listpack = listpack_remove(listpack, &position, 1);
            ++*removed_count;
        }
        position = previous;
    }
    return listpack;
}

/** Does a node hold an element that equals a text? A compressed one stays compressed. */
static bool
node_contains(const struct quicklist_node *node, struct slice text,
              struct quicklist_scratch *scratch)
{
    const struct listpack *listpack = quicklist_node_listpack(node, scratch);
    return listpack_find(listpack, listpack_first(listpack), text, 0) != LISTPACK_NONE;
}

/** The same in a node that is open. It may be gone then. */
static uint64_t
node_remove_equal(struct quicklist *quicklist, const struct quicklist_limits *limits,
                  struct quicklist_node *node, struct slice text, uint64_t count_max,
                  bool is_backward)
{
    struct quicklist_node *previous = node->previous;
    struct quicklist_node *next = node->next;
    quicklist_node_keep(quicklist, node);
    size_t old_size = object_size(node->listpack);
    uint64_t removed_count;
    struct listpack *listpack = quicklist_listpack_remove_equal(node->listpack, text, count_max,
                                                                is_backward, &removed_count);
    if (removed_count == 0) {
        return 0;
    }
    node_set(quicklist, node, old_size, listpack, node->count - (uint32_t)removed_count);
    /* Joins are with the side only that has been searched already. */
    struct quicklist_node *near = node;
    if (node->count == 0) {
        node_delete(quicklist, node);
        near = previous != NULL ? previous : next;
    } else if (is_backward) {
        node_join(quicklist, limits, node, next);
    } else if (node_join(quicklist, limits, previous, node)) {
        near = previous;
    }
    quicklist_compress_near(quicklist, limits, near);
    return removed_count;
}

uint64_t
quicklist_remove_equal(struct quicklist *quicklist, const struct quicklist_limits *limits,
                       struct slice text, uint64_t count_max, bool is_backward)
{
    uint64_t left_count = count_max;
    struct quicklist_scratch scratch = {0};
    struct quicklist_node *node = is_backward ? quicklist->last : quicklist->first;
    struct quicklist_node *next;
    for (; node != NULL && left_count > 0; node = next) {
        next = is_backward ? node->previous : node->next;
        /* What stays as it is need be neither unpacked nor kept. */
        if (node->form == QUICKLIST_NODE_COMPRESSED || quicklist->object.image != NULL) {
            if (!node_contains(node, text, &scratch)) {
                continue;
            }
            quicklist_node_open(quicklist, node);
        }
        left_count -= node_remove_equal(quicklist, limits, node, text, left_count, is_backward);
    }
    quicklist_scratch_release(&scratch);
    return count_max - left_count;
}

/* ---- as an object ---- */

static size_t
object_count_elements(const void *object)
{
    return ((const struct quicklist *)object)->count;
}

static void *
object_copy_quicklist(const void *object)
{
    const struct quicklist *from = object;
    struct quicklist *copy = object_new(sizeof(*copy));
    for (const struct quicklist_node *node = from->first; node != NULL; node = node->next) {
        struct quicklist_node *fresh = object_alloc(&copy->object, sizeof(*fresh));
        *fresh = (struct quicklist_node){.count = node->count};
        quicklist_node_copy(copy, fresh, node);
        node_link(copy, fresh, copy->last, NULL);
    }
    copy->count = from->count;
    copy->node_count = from->node_count;
    return copy;
}

static bool
object_free_quicklist(void *object, uint32_t step_count_max)
{
    struct quicklist *quicklist = object;
    for (; step_count_max > 0 && quicklist->first != NULL; step_count_max--) {
        node_delete(quicklist, quicklist->first);
    }
    if (quicklist->first != NULL) {
        return false;
    }
    heap_free(quicklist);
    return true;
}

const struct object_ops quicklist_ops = {
    .count = object_count_elements,
    .copy = object_copy_quicklist,
    .free_steps = object_free_quicklist,
};

/* ---- for tests ---- */

/** Is a node sound by itself? */
static bool
node_check(const struct quicklist_node *node, struct quicklist_scratch *scratch)
{
    const struct listpack *listpack = quicklist_node_listpack(node, scratch);
    uint32_t found;
    return node->count > 0 && listpack_validate(listpack_bytes(listpack), &found) &&
           found == node->count && listpack_size(listpack) == quicklist_node_size(node);
}

bool
quicklist_check(const struct quicklist *quicklist)
{
    struct quicklist sum = {.object.size = memory_class_size(sizeof(*quicklist))};
    struct quicklist_scratch scratch = {0};
    bool is_sound = true;
    const struct quicklist_node *previous = NULL;
    for (const struct quicklist_node *node = quicklist->first; node != NULL; node = node->next) {
        is_sound &= node->previous == previous && node_check(node, &scratch);
        sum.count += node->count;
        sum.node_count++;
        sum.compressed_count += quicklist_node_compressed(node) != NULL;
        sum.object.size += memory_class_size(sizeof(*node)) + quicklist_node_block_size(node);
        previous = node;
    }
    quicklist_scratch_release(&scratch);
    if (previous != NULL) {
        is_sound &= quicklist_node_compressed(quicklist->first) == NULL;
        is_sound &= quicklist_node_compressed(previous) == NULL;
    }
    return is_sound && quicklist->last == previous && quicklist->count == sum.count &&
           quicklist->node_count == sum.node_count &&
           quicklist->compressed_count == sum.compressed_count &&
           quicklist->object.size == sum.object.size;
}
