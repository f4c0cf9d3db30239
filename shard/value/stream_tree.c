#include "shard/value/stream_tree.h"

/*
 * stream_tree.c: a B+ tree from ids to values.
 *
 *                 [ . | 5-0 | 9-0 ]                 inner node: the bound of each child but the
 * first
 *                /       |         \
 *     [1-0 2-0 4-0] <-> [5-0 7-0] <-> [9-0 9-1]     leaves: ids and values, linked in order
 *
 * Streams grow at their end and lose their beginning, and so do lists of pending entries. So a full
 * leaf at the end is not split in halves: the new item begins a leaf of its own, and all leaves
 * behind the growing end are full. Looking at both ends takes no search at all. Elsewhere nodes
 * split in the middle, and a node that has become a quarter full joins a neighbour under the same
 * parent when both fill three quarters at most.
 *
 * A leaf is as large as it needs to be, in four sizes: most streams have one node, most consumers
 * hold a few entries. Items of a leaf lie together, id with value, so that a change moves one run
 * of bytes.
 *
 * Invariants: no node but an empty tree's root is empty; every id below a child is at or behind the
 * child's bound and in front of the next one's; all leaves are equally deep.
 *
 * Rejected: a radix tree over the ids' bytes (a block for each id where they are scattered, and
 * three for each where they are not), pointers to values (an allocation for each pending entry).
 */

#define LEAF_COUNT_MAX 64
#define INNER_COUNT_MAX 64
/** Below that a node looks for a neighbour to join. */
#define COUNT_LOW 16
/** No more than that together. */
#define COUNT_JOINED_MAX 48
/** 64 * 16^14 is beyond any count, even if all nodes are at a quarter. */
#define HEIGHT_MAX 15

struct inner {
    uint32_t count;
    struct stream_id bounds[INNER_COUNT_MAX]; /* the first one is not looked at */
    void *children[INNER_COUNT_MAX];
};

/** From the root to a leaf: nodes[height - 1] is the root, nodes[0] the leaf's parent. */
struct path {
    struct inner *nodes[HEIGHT_MAX];
    uint32_t indexes[HEIGHT_MAX];
};

/* ---- blocks ---- */

static void *
tree_alloc(struct object *object, struct stream_tree *tree, size_t size)
{
    tree->size += memory_class_size(size);
    return object_alloc(object, size);
}

static void
tree_free(struct object *object, struct stream_tree *tree, void *block, size_t size)
{
    tree->size -= memory_class_size(size);
    object_free(object, block, size);
}

/* ---- leaves ---- */

static inline unsigned char *
item_at(const struct stream_leaf *leaf, uint32_t index)
{
    return (unsigned char *)leaf->items + (size_t)index * leaf->item_size;
}

static inline struct stream_id
leaf_id(const struct stream_leaf *leaf, uint32_t index)
{
    struct stream_id id;
    memcpy(&id, item_at(leaf, index), sizeof(id));
    return id;
}

static inline size_t
leaf_size(const struct stream_leaf *leaf)
{
    return sizeof(*leaf) + (size_t)leaf->capacity * leaf->item_size;
}

/** The first item at or behind `id`, or the count. */
static uint32_t
leaf_search(const struct stream_leaf *leaf, struct stream_id id)
{
    uint32_t low = 0;
    uint32_t high = leaf->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (stream_id_compare(leaf_id(leaf, middle), id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct stream_leaf *
leaf_new(struct object *object, struct stream_tree *tree, uint32_t capacity)
{
    uint32_t item_size = (uint32_t)sizeof(struct stream_id) + tree->value_size;
    struct stream_leaf *leaf =
        tree_alloc(object, tree, sizeof(*leaf) + (size_t)capacity * item_size);
    *leaf = (struct stream_leaf){.capacity = (uint16_t)capacity, .item_size = item_size};
    return leaf;
}

/** Between its neighbours, either of which may be NULL. */
static void
leaf_link(struct stream_tree *tree, struct stream_leaf *leaf)
{
    *(leaf->previous != NULL ? &leaf->previous->next : &tree->first) = leaf;
    *(leaf->next != NULL ? &leaf->next->previous : &tree->last) = leaf;
}

static void
leaf_delete(struct object *object, struct stream_tree *tree, struct stream_leaf *leaf)
{
    *(leaf->previous != NULL ? &leaf->previous->next : &tree->first) = leaf->next;
    *(leaf->next != NULL ? &leaf->next->previous : &tree->last) = leaf->previous;
    tree_free(object, tree, leaf, leaf_size(leaf));
}

/** A new leaf behind this one. */
static struct stream_leaf *
leaf_new_behind(struct object *object, struct stream_tree *tree, struct stream_leaf *leaf,
                uint32_t capacity)
{
    struct stream_leaf *fresh = leaf_new(object, tree, capacity);
    fresh->previous = leaf;
    fresh->next = leaf->next;
    leaf_link(tree, fresh);
    return fresh;
}

/** Room for `count` items; the leaf may move, and its parent is told by path. */
static struct stream_leaf *
leaf_reserve(struct object *object, struct stream_tree *tree, const struct path *path,
             struct stream_leaf *leaf, uint32_t count)
{
    if (count <= leaf->capacity) {
        return leaf;
    }
    uint32_t capacity = leaf->capacity;
    while (capacity < count) {
        capacity *= 4;
    }
    ASSERT(capacity <= LEAF_COUNT_MAX);
    size_t size = sizeof(*leaf) + (size_t)capacity * leaf->item_size;
    uint64_t object_size_before = object->size;
    leaf = object_realloc(object, leaf, leaf_size(leaf), size);
    tree->size += object->size - object_size_before;
    leaf->capacity = (uint16_t)capacity;
    leaf_link(tree, leaf);
    if (tree->height == 0) {
        tree->root = leaf;
    } else {
        path->nodes[0]->children[path->indexes[0]] = leaf;
    }
    return leaf;
}

static void
leaf_insert(struct stream_leaf *leaf, uint32_t index, struct stream_id id)
{
    unsigned char *item = item_at(leaf, index);
    ASSERT(leaf->count < leaf->capacity);
    memmove(item + leaf->item_size, item, (size_t)(leaf->count - index) * leaf->item_size);
    memset(item, 0, leaf->item_size);
    memcpy(item, &id, sizeof(id));
    leaf->count++;
}

/* ---- down ---- */

static inline uint32_t
inner_search(const struct inner *inner, struct stream_id id)
{
    uint32_t low = 1;
    uint32_t high = inner->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (stream_id_compare(inner->bounds[middle], id) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

/** The leaf where `id` is, or would be. The tree is not empty. */
static struct stream_leaf *
descend(const struct stream_tree *tree, struct stream_id id, struct path *path)
{
    void *node = tree->root;
    for (uint32_t level = tree->height; level-- > 0;) {
        struct inner *inner = node;
        uint32_t index = inner_search(inner, id);
        path->nodes[level] = inner;
        path->indexes[level] = index;
        node = inner->children[index];
    }
    return node;
}

void
stream_tree_create(struct stream_tree *tree, uint32_t value_size)
{
    ASSERT(value_size % 8 == 0);
    *tree = (struct stream_tree){.value_size = value_size};
}

struct stream_place
stream_tree_seek(const struct stream_tree *tree, struct stream_id id)
{
    if (tree->root == NULL) {
        return (struct stream_place){0};
    }
    struct path path;
    struct stream_leaf *leaf = descend(tree, id, &path);
    uint32_t index = leaf_search(leaf, id);
    if (index == leaf->count) {
        return (struct stream_place){leaf->next, 0};
    }
    return (struct stream_place){leaf, index};
}

struct stream_place
stream_tree_seek_back(const struct stream_tree *tree, struct stream_id id)
{
    if (tree->root == NULL) {
        return (struct stream_place){0};
    }
    struct path path;
    struct stream_leaf *leaf = descend(tree, id, &path);
    uint32_t index = leaf_search(leaf, id);
    struct stream_place place = {leaf, index};
    if (index < leaf->count && stream_id_compare(leaf_id(leaf, index), id) == 0) {
        return place;
    }
    return stream_place_previous(place);
}

struct stream_place
stream_tree_find(const struct stream_tree *tree, struct stream_id id)
{
    struct stream_place place = stream_tree_seek(tree, id);
    if (place.leaf != NULL && stream_id_compare(stream_place_id(place), id) != 0) {
        place = (struct stream_place){0};
    }
    return place;
}

/* ---- insertion ---- */

static void
inner_insert(struct inner *inner, uint32_t index, struct stream_id bound, void *child)
{
    ASSERT(inner->count < INNER_COUNT_MAX);
    uint32_t behind = inner->count - index;
    memmove(inner->bounds + index + 1, inner->bounds + index, behind * sizeof(bound));
    memmove(inner->children + index + 1, inner->children + index, behind * sizeof(child));
    inner->bounds[index] = bound;
    inner->children[index] = child;
    inner->count++;
}

static void
root_grow(struct object *object, struct stream_tree *tree, struct stream_id bound, void *right)
{
    struct inner *root = tree_alloc(object, tree, sizeof(*root));
    ASSERT(tree->height < HEIGHT_MAX);
    root->count = 2;
    root->bounds[0] = STREAM_ID_MIN;
    root->children[0] = tree->root;
    root->bounds[1] = bound;
    root->children[1] = right;
    tree->root = root;
    tree->height++;
}

/** A node on `level` (leaves are below 0) has a new right neighbour: tell its parent. */
static void
parent_insert(struct object *object, struct stream_tree *tree, struct path *path,
              struct stream_id bound, void *right)
{
    for (uint32_t level = 0; level < tree->height; level++) {
        struct inner *inner = path->nodes[level];
        uint32_t index = path->indexes[level] + 1;
        if (inner->count < INNER_COUNT_MAX) {
            inner_insert(inner, index, bound, right);
            return;
        }
        struct inner *fresh = tree_alloc(object, tree, sizeof(*fresh));
        fresh->count = 0;
        struct stream_id fresh_bound = bound;
        if (index == inner->count) {
            inner_insert(fresh, 0, bound, right);
        } else {
            uint32_t kept = INNER_COUNT_MAX / 2;
            fresh->count = INNER_COUNT_MAX - kept;
            memcpy(fresh->bounds, inner->bounds + kept, fresh->count * sizeof(bound));
            memcpy(fresh->children, inner->children + kept, fresh->count * sizeof(right));
            inner->count = kept;
            fresh_bound = fresh->bounds[0];
            if (index <= kept) {
                inner_insert(inner, index, bound, right);
            } else {
                inner_insert(fresh, index - kept, bound, right);
            }
        }
        bound = fresh_bound;
        right = fresh;
    }
    root_grow(object, tree, bound, right);
}

/** `id` goes to `index` of a full leaf. */
static struct stream_place
leaf_split(struct object *object, struct stream_tree *tree, struct path *path,
           struct stream_leaf *leaf, uint32_t index, struct stream_id id)
{
    struct stream_place place;
    struct stream_leaf *fresh;
    if (leaf->next == NULL && index == leaf->count) {
        fresh = leaf_new_behind(object, tree, leaf, LEAF_COUNT_MAX / 4);
        place = (struct stream_place){fresh, 0};
    } else {
        uint32_t kept = LEAF_COUNT_MAX / 2;
        fresh = leaf_new_behind(object, tree, leaf, LEAF_COUNT_MAX);
        fresh->count = (uint16_t)(leaf->count - kept);
        memcpy(fresh->items, item_at(leaf, kept), (size_t)fresh->count * leaf->item_size);
        leaf->count = (uint16_t)kept;
        place = index <= kept ? (struct stream_place){leaf, index}
                              : (struct stream_place){fresh, index - kept};
    }
    leaf_insert(place.leaf, place.index, id);
    parent_insert(object, tree, path, leaf_id(fresh, 0), fresh);
    return place;
}

struct stream_place
stream_tree_insert(struct object *object, struct stream_tree *tree, struct stream_id id,
                   bool *is_new)
{
    *is_new = true;
    struct stream_leaf *last = tree->last;
    if (last == NULL) {
        tree->root = leaf_new(object, tree, 1);
        leaf_link(tree, tree->root);
        tree->height = 0;
        last = tree->last;
    } else if (last->count == last->capacity ||
               stream_id_compare(leaf_id(last, last->count - 1U), id) >= 0) {
        struct path path;
        struct stream_leaf *leaf = descend(tree, id, &path);
        uint32_t index = leaf_search(leaf, id);
        if (index < leaf->count && stream_id_compare(leaf_id(leaf, index), id) == 0) {
            *is_new = false;
            return (struct stream_place){leaf, index};
        }
        tree->count++;
        if (leaf->count == LEAF_COUNT_MAX) {
            return leaf_split(object, tree, &path, leaf, index, id);
        }
        leaf = leaf_reserve(object, tree, &path, leaf, leaf->count + 1U);
        leaf_insert(leaf, index, id);
        return (struct stream_place){leaf, index};
    }
    /* Behind all others, and there is room: the usual case needs no way down. */
    tree->count++;
    leaf_insert(last, last->count, id);
    return (struct stream_place){last, last->count - 1U};
}

/* ---- removal ---- */

/** The child at path's index on `level` is gone; so may be its parents. */
static void
parent_remove(struct object *object, struct stream_tree *tree, struct path *path, uint32_t level)
{
    for (; level < tree->height; level++) {
        struct inner *inner = path->nodes[level];
        uint32_t index = path->indexes[level];
        uint32_t behind = inner->count - index - 1;
        memmove(inner->bounds + index, inner->bounds + index + 1,
                behind * sizeof(inner->bounds[0]));
        memmove(inner->children + index, inner->children + index + 1,
                behind * sizeof(inner->children[0]));
        inner->count--;
        if (inner->count > 0) {
            return;
        }
        tree_free(object, tree, inner, sizeof(*inner));
    }
    tree->root = NULL;
    tree->height = 0;
}

static void
root_shrink(struct object *object, struct stream_tree *tree)
{
    while (tree->height > 0) {
        struct inner *root = tree->root;
        if (root->count > 1) {
            return;
        }
        tree->root = root->children[0];
        tree->height--;
        tree_free(object, tree, root, sizeof(*root));
    }
}

/** Of two neighbours on `level` the left one's index; false where there is nobody to join. */
static bool
neighbours(const struct path *path, uint32_t level, uint32_t *left)
{
    const struct inner *parent = path->nodes[level];
    uint32_t index = path->indexes[level];
    if (parent->count < 2) {
        return false;
    }
    *left = index + 1 < parent->count ? index : index - 1;
    return true;
}

/** Inner nodes from `level` upwards that have become small join their neighbours. */
static void
inner_join(struct object *object, struct stream_tree *tree, struct path *path, uint32_t level)
{
    for (; level + 1 < tree->height && path->nodes[level]->count < COUNT_LOW; level++) {
        uint32_t index;
        if (!neighbours(path, level + 1, &index)) {
            return;
        }
        struct inner *parent = path->nodes[level + 1];
        struct inner *left = parent->children[index];
        struct inner *right = parent->children[index + 1];
        if (left->count + right->count > COUNT_JOINED_MAX) {
            return;
        }
        memcpy(left->bounds + left->count, right->bounds, right->count * sizeof(left->bounds[0]));
        memcpy(left->children + left->count, right->children,
               right->count * sizeof(left->children[0]));
        /* Its own first bound was not kept right, the parent's was. */
        left->bounds[left->count] = parent->bounds[index + 1];
        left->count += right->count;
        tree_free(object, tree, right, sizeof(*right));
        path->indexes[level + 1] = index + 1;
        parent_remove(object, tree, path, level + 1);
    }
}

static void
leaf_join(struct object *object, struct stream_tree *tree, struct path *path)
{
    uint32_t index;
    if (tree->height == 0 || !neighbours(path, 0, &index)) {
        return;
    }
    struct inner *parent = path->nodes[0];
    struct stream_leaf *left = parent->children[index];
    struct stream_leaf *right = parent->children[index + 1];
    uint32_t count = (uint32_t)left->count + right->count;
    if (count > COUNT_JOINED_MAX) {
        return;
    }
    path->indexes[0] = index;
    left = leaf_reserve(object, tree, path, left, count);
    memcpy(item_at(left, left->count), right->items, (size_t)right->count * right->item_size);
    left->count = (uint16_t)count;
    leaf_delete(object, tree, right);
    path->indexes[0] = index + 1;
    parent_remove(object, tree, path, 0);
    inner_join(object, tree, path, 0);
}

bool
stream_tree_remove(struct object *object, struct stream_tree *tree, struct stream_id id)
{
    if (tree->root == NULL) {
        return false;
    }
    struct path path;
    struct stream_leaf *leaf = descend(tree, id, &path);
    uint32_t index = leaf_search(leaf, id);
    if (index == leaf->count || stream_id_compare(leaf_id(leaf, index), id) != 0) {
        return false;
    }
    unsigned char *item = item_at(leaf, index);
    memmove(item, item + leaf->item_size, (size_t)(leaf->count - index - 1) * leaf->item_size);
    leaf->count--;
    tree->count--;
    if (leaf->count == 0) {
        leaf_delete(object, tree, leaf);
        parent_remove(object, tree, &path, 0);
    } else if (leaf->count < COUNT_LOW) {
        leaf_join(object, tree, &path);
    }
    root_shrink(object, tree);
    return true;
}

bool
stream_tree_free_steps(struct object *object, struct stream_tree *tree, uint32_t step_count_max)
{
    for (uint32_t i = 0; tree->root != NULL && i < step_count_max; i++) {
        struct path path;
        struct stream_leaf *leaf = descend(tree, STREAM_ID_MIN, &path);
        ASSERT(leaf == tree->first);
        tree->count -= leaf->count;
        leaf_delete(object, tree, leaf);
        parent_remove(object, tree, &path, 0);
    }
    return tree->root == NULL;
}

/* ---- for tests ---- */

static bool
node_check(const struct stream_tree *tree, const void *node, uint32_t level,
           const struct stream_id *low, const struct stream_id *high)
{
    if (level > 0) {
        const struct inner *inner = node;
        bool is_good = inner->count > 0;
        for (uint32_t i = 0; is_good && i < inner->count; i++) {
            is_good =
                node_check(tree, inner->children[i], level - 1, i > 0 ? &inner->bounds[i] : low,
                           i + 1 < inner->count ? &inner->bounds[i + 1] : high);
        }
        return is_good;
    }
    const struct stream_leaf *leaf = node;
    bool is_good = leaf->count > 0 && leaf->count <= leaf->capacity &&
                   leaf->item_size == sizeof(struct stream_id) + tree->value_size;
    for (uint32_t i = 0; is_good && i < leaf->count; i++) {
        struct stream_id id = leaf_id(leaf, i);
        is_good = (low == NULL || stream_id_compare(*low, id) <= 0) &&
                  (high == NULL || stream_id_compare(id, *high) < 0) &&
                  (i == 0 || stream_id_compare(leaf_id(leaf, i - 1), id) < 0);
    }
    return is_good;
}

bool
stream_tree_check(const struct stream_tree *tree)
{
    if (tree->root == NULL) {
        return tree->count == 0 && tree->first == NULL && tree->last == NULL && tree->size == 0;
    }
    if (!node_check(tree, tree->root, tree->height, NULL, NULL)) {
        return false;
    }
    uint64_t count = 0;
    const struct stream_leaf *previous = NULL;
    for (const struct stream_leaf *leaf = tree->first; leaf != NULL; leaf = leaf->next) {
        if (leaf->previous != previous) {
            return false;
        }
        count += leaf->count;
        previous = leaf;
    }
    return previous == tree->last && count == tree->count;
}
