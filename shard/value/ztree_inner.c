/*
 * ztree_inner.c: the B+ tree above the leaves: where a bound lies, and what comes before it.
 *
 * An inner node has, for each child, a score that parts it from the one before, its id, and how
 * many elements are below it. Members are not repeated here: where scores are equal the first
 * element of the child is looked up, which costs a visit to its leaf but happens only among equal
 * scores. So a parting score may be older than the element it came from; it parts as well as
 * before.
 *
 * Ranks are sums of counts, on the way down or (from a leaf that the index has found) on the way up
 * by the parents. A node that is full is halved, but for the last one of its level when something
 * is appended: then a new one begins, so that sets that grow in order fill their nodes. Nodes that
 * run low are joined with a neighbour below the same parent.
 *
 * Ids of nodes that are gone are used again, and where a tree has lost most of its nodes those with
 * the last ids take smaller ones: else the table of ids would stay as long as it ever was.
 */
#include "shard/value/image.h"
#include "shard/value/ztree_internal.h"

/* ---- looking ---- */

/** The leaf of the first element below a node. */
static const struct ztree_leaf *
leaf_first_below(const struct ztree *tree, uint32_t id, uint32_t level)
{
    for (; level > 0; level--) {
        id = ztree_inner_of(tree, id)->children[0];
    }
    return ztree_leaf_of(tree, id);
}

/** Is the first element below child `index` below the bound? */
static bool
child_is_below(const struct ztree *tree, const struct ztree_inner *inner, uint32_t index,
               const struct ztree_bound *bound)
{
    const struct ztree_leaf *leaf =
        leaf_first_below(tree, inner->children[index], inner->level - 1U);
    if (bound->kind == ZTREE_BOUND_ITEM) {
        double score = ztree_leaf_scores(leaf)[0];
        if (score != bound->score) {
            return score < bound->score;
        }
    }
    int order = slice_compare(ztree_leaf_member(leaf, 0), bound->member);
    return bound->is_after ? order <= 0 : order < 0;
}

/** The last child whose first element is below the bound, or 0. */
static uint32_t
inner_search(const struct ztree *tree, const struct ztree_inner *inner,
             const struct ztree_bound *bound)
{
    uint32_t low = 0;
    uint32_t high = inner->node.count - 1U;
    if (bound->kind != ZTREE_BOUND_MEMBER) {
        high = 0;
        for (uint32_t i = 1; i < inner->node.count; i++) {
            low += inner->scores[i] < bound->score;
            high += inner->scores[i] <= bound->score;
        }
        if (bound->kind == ZTREE_BOUND_SCORE) {
            return bound->is_after ? high : low;
        }
    }
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (child_is_below(tree, inner, middle, bound)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

struct ztree_place
ztree_descend(const struct ztree *tree, const struct ztree_bound *bound, uint64_t *rank)
{
    uint64_t before = 0;
    uint32_t id = tree->root;
    for (uint32_t level = tree->height; level > 0; level--) {
        const struct ztree_inner *inner = ztree_inner_of(tree, id);
        uint32_t index = inner_search(tree, inner, bound);
        if (rank != NULL) {
            for (uint32_t i = 0; i < index; i++) {
                before += inner->counts[i];
            }
        }
        id = inner->children[index];
    }
    uint32_t index = ztree_leaf_search(ztree_leaf_of(tree, id), bound);
    if (rank != NULL) {
        *rank = before + index;
    }
    return (struct ztree_place){.leaf = id, .index = index};
}

static uint32_t
child_index(const struct ztree_inner *inner, uint32_t id)
{
    for (uint32_t i = 0; i < inner->node.count; i++) {
        if (inner->children[i] == id) {
            return i;
        }
    }
    ASSERT(false);
    return 0;
}

uint64_t
ztree_leaf_rank(const struct ztree *tree, uint32_t id)
{
    uint64_t rank = 0;
    uint32_t parent = ztree_node_of(tree, id)->parent;
    while (parent != ZTREE_NONE) {
        const struct ztree_inner *inner = ztree_inner_of(tree, parent);
        uint32_t index = child_index(inner, id);
        for (uint32_t i = 0; i < index; i++) {
            rank += inner->counts[i];
        }
        id = parent;
        parent = inner->node.parent;
    }
    return rank;
}

/** All leaves below a node; `level` 0: it is one. */
static void
leaves_below(const struct ztree *tree, uint32_t id, uint32_t level, ztree_leaf_fn *visit,
             void *context)
{
    if (level == 0) {
        visit(context, id);
        return;
    }
    const struct ztree_inner *inner = ztree_inner_of(tree, id);
    for (uint32_t i = 0; i < inner->node.count; i++) {
        leaves_below(tree, inner->children[i], level - 1, visit, context);
    }
}

void
ztree_leaves_behind(const struct ztree *tree, uint32_t leaf, ztree_leaf_fn *visit, void *context)
{
    uint32_t id = leaf;
    uint32_t parent = ztree_node_of(tree, leaf)->parent;
    while (parent != ZTREE_NONE) {
        const struct ztree_inner *inner = ztree_inner_of(tree, parent);
        for (uint32_t i = child_index(inner, id) + 1; i < inner->node.count; i++) {
            leaves_below(tree, inner->children[i], inner->level - 1, visit, context);
        }
        id = parent;
        parent = inner->node.parent;
    }
}

/* ---- changing ---- */

void
ztree_count_change(struct ztree *tree, uint32_t id, int64_t delta)
{
    for (uint32_t parent = ztree_node_of(tree, id)->parent; parent != ZTREE_NONE;) {
        struct ztree_inner *inner = ztree_inner_of(tree, parent);
        uint32_t index = child_index(inner, id);
        inner->counts[index] = (uint32_t)(inner->counts[index] + delta);
        id = parent;
        parent = inner->node.parent;
    }
}

static uint32_t
inner_new(struct ztree *tree, uint32_t level)
{
    struct ztree_inner *inner = object_alloc(&tree->object, sizeof(*inner));
    inner->node = (struct ztree_node){.parent = ZTREE_NONE};
    inner->level = level;
    return ztree_node_add(tree, inner);
}

static void
inner_delete(struct ztree *tree, uint32_t id)
{
    object_free(&tree->object, ztree_inner_of(tree, id), sizeof(struct ztree_inner));
    ztree_node_drop(tree, id);
}

static uint64_t
inner_sum(const struct ztree_inner *inner)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < inner->node.count; i++) {
        sum += inner->counts[i];
    }
    return sum;
}

/** Append children of one node, from `index` on, to another one of the same level. */
static void
children_move(struct ztree *tree, struct ztree_inner *from, uint32_t index, struct ztree_inner *to,
              uint32_t to_id)
{
    uint32_t count = from->node.count - index;
    ASSERT(to->node.count + count <= ZTREE_CHILDREN_MAX);
    memcpy(to->scores + to->node.count, from->scores + index, count * sizeof(double));
    memcpy(to->children + to->node.count, from->children + index, count * sizeof(uint32_t));
    memcpy(to->counts + to->node.count, from->counts + index, count * sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        ztree_node_of(tree, from->children[index + i])->parent = to_id;
    }
    to->node.count = (uint16_t)(to->node.count + count);
    from->node.count = (uint16_t)index;
}

static void
child_insert(struct ztree *tree, uint32_t inner_id, uint32_t index, uint32_t id, double score,
             uint32_t count)
{
    struct ztree_inner *inner = ztree_inner_of(tree, inner_id);
    ASSERT(inner->node.count < ZTREE_CHILDREN_MAX);
    uint32_t rest = inner->node.count - index;
    memmove(inner->scores + index + 1, inner->scores + index, rest * sizeof(double));
    memmove(inner->children + index + 1, inner->children + index, rest * sizeof(uint32_t));
    memmove(inner->counts + index + 1, inner->counts + index, rest * sizeof(uint32_t));
    inner->scores[index] = score;
    inner->children[index] = id;
    inner->counts[index] = count;
    inner->node.count++;
    ztree_node_of(tree, id)->parent = inner_id;
}

/** A new root above the old one, which holds all elements. */
static uint32_t
root_raise(struct ztree *tree)
{
    uint32_t id = inner_new(tree, tree->height + 1);
    child_insert(tree, id, 0, tree->root, 0, (uint32_t)tree->count);
    tree->root = id;
    tree->height++;
    return id;
}

static void node_add_right(struct ztree *tree, uint32_t left, uint32_t id, double score,
                           uint32_t count);

/** Is it the last one of its level? */
static bool
node_is_last(const struct ztree *tree, uint32_t id)
{
    uint32_t parent = ztree_node_of(tree, id)->parent;
    while (parent != ZTREE_NONE) {
        const struct ztree_inner *inner = ztree_inner_of(tree, parent);
        if (inner->children[inner->node.count - 1] != id) {
            return false;
        }
        id = parent;
        parent = inner->node.parent;
    }
    return true;
}

/** Halve a full node; or begin a new one where `index`, the place of the next child, is the end of
 * its level. Returns the node that the child goes to now, and where. */
static uint32_t
inner_split(struct ztree *tree, uint32_t id, uint32_t *index)
{
    struct ztree_inner *inner = ztree_inner_of(tree, id);
    /* One child at least goes along: an empty node would have no score. */
    uint32_t kept = node_is_last(tree, id) && *index == inner->node.count ? inner->node.count - 1U
                                                                          : inner->node.count / 2U;
    uint32_t right_id = inner_new(tree, inner->level);
    struct ztree_inner *right = ztree_inner_of(tree, right_id);
    children_move(tree, inner, kept, right, right_id);
    uint32_t moved = (uint32_t)inner_sum(right);
    node_add_right(tree, id, right_id, right->scores[0], moved);
    if (*index <= kept) {
        return id;
    }
    *index -= kept;
    return right_id;
}

/** Make a node known to the parent of `left`, right of it. Its `count` elements were counted for
 * `left` so far. */
static void
node_add_right(struct ztree *tree, uint32_t left, uint32_t id, double score, uint32_t count)
{
    uint32_t parent = ztree_node_of(tree, left)->parent;
    if (parent == ZTREE_NONE) {
        parent = root_raise(tree);
    }
    struct ztree_inner *inner = ztree_inner_of(tree, parent);
    uint32_t left_index = child_index(inner, left);
    inner->counts[left_index] -= count;
    if (inner->node.count < ZTREE_CHILDREN_MAX) {
        child_insert(tree, parent, left_index + 1, id, score, count);
        return;
    }
    /* The node above must know all that is below while it is halved. */
    inner->counts[left_index] += count;
    uint32_t index = left_index + 1;
    parent = inner_split(tree, parent, &index);
    child_insert(tree, parent, index, id, score, count);
    if (count > 0) {
        parent = ztree_node_of(tree, left)->parent;
        inner = ztree_inner_of(tree, parent);
        inner->counts[child_index(inner, left)] -= count;
    }
}

uint32_t
ztree_leaf_add_right(struct ztree *tree, uint32_t id, double score)
{
    uint32_t right_id = ztree_leaf_new(tree);
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    struct ztree_leaf *right = ztree_leaf_of(tree, right_id);
    right->previous = id;
    right->next = leaf->next;
    leaf->next = right_id;
    if (right->next == ZTREE_NONE) {
        tree->leaf_last = right_id;
    } else {
        ztree_leaf_of(tree, right->next)->previous = right_id;
    }
    node_add_right(tree, id, right_id, score, 0);
    return right_id;
}

/** The child is gone, and its elements are counted nowhere below `inner_id`. */
static void child_drop(struct ztree *tree, uint32_t inner_id, uint32_t index);

/** A root with one child is none. */
static void
root_lower(struct ztree *tree)
{
    while (tree->height > 0) {
        struct ztree_inner *root = ztree_inner_of(tree, tree->root);
        if (root->node.count > 1) {
            return;
        }
        uint32_t child = root->children[0];
        inner_delete(tree, tree->root);
        tree->root = child;
        tree->height--;
        ztree_node_of(tree, child)->parent = ZTREE_NONE;
    }
}

/** A node that runs low joins a neighbour, if both fit into one. */
static void
inner_settle(struct ztree *tree, uint32_t id)
{
    struct ztree_inner *inner = ztree_inner_of(tree, id);
    if (inner->node.parent == ZTREE_NONE) {
        root_lower(tree);
        return;
    }
    uint32_t parent_id = inner->node.parent;
    struct ztree_inner *parent = ztree_inner_of(tree, parent_id);
    uint32_t index = child_index(parent, id);
    if (inner->node.count == 0) {
        ASSERT(parent->counts[index] == 0);
        inner_delete(tree, id);
        child_drop(tree, parent_id, index);
        return;
    }
    for (uint32_t left = index == 0 ? 0 : index - 1; left <= index && left + 1 < parent->node.count;
         left++) {
        uint32_t left_id = parent->children[left];
        uint32_t right_id = parent->children[left + 1];
        struct ztree_inner *to = ztree_inner_of(tree, left_id);
        struct ztree_inner *from = ztree_inner_of(tree, right_id);
        if (to->node.count + from->node.count <= ZTREE_CHILDREN_JOINED) {
            /* The first child's own score may be older than the one above. */
            from->scores[0] = parent->scores[left + 1];
            children_move(tree, from, 0, to, left_id);
            parent->counts[left] += parent->counts[left + 1];
            inner_delete(tree, right_id);
            child_drop(tree, parent_id, left + 1);
            return;
        }
    }
}

static void
child_drop(struct ztree *tree, uint32_t inner_id, uint32_t index)
{
    struct ztree_inner *inner = ztree_inner_of(tree, inner_id);
    uint32_t rest = inner->node.count - index - 1;
    memmove(inner->scores + index, inner->scores + index + 1, rest * sizeof(double));
    memmove(inner->children + index, inner->children + index + 1, rest * sizeof(uint32_t));
    memmove(inner->counts + index, inner->counts + index + 1, rest * sizeof(uint32_t));
    inner->node.count--;
    if (inner->node.count < ZTREE_CHILDREN_LOW) {
        inner_settle(tree, inner_id);
    }
}

/** Take a leaf without elements out of chain and tree. */
static void
leaf_drop(struct ztree *tree, uint32_t id)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    uint32_t parent = leaf->node.parent;
    ASSERT(parent != ZTREE_NONE);
    if (UNLIKELY(tree->object.image != NULL) && tree->object.image->position == id) {
        tree->object.image->position = leaf->previous;
    }
    if (leaf->previous == ZTREE_NONE) {
        tree->leaf_first = leaf->next;
    } else {
        ztree_leaf_of(tree, leaf->previous)->next = leaf->next;
    }
    if (leaf->next == ZTREE_NONE) {
        tree->leaf_last = leaf->previous;
    } else {
        ztree_leaf_of(tree, leaf->next)->previous = leaf->previous;
    }
    uint32_t index = child_index(ztree_inner_of(tree, parent), id);
    ztree_leaf_delete(tree, id);
    child_drop(tree, parent, index);
}

/** All elements of the right leaf go to the left one, and it goes. */
static void
leaves_join(struct ztree *tree, uint32_t left_id, uint32_t right_id)
{
    struct ztree_leaf *right = ztree_leaf_of(tree, right_id);
    uint32_t count = right->node.count;
    for (uint32_t i = 0; i < count; i++) {
        ztree_index_move(tree, ztree_hash(tree, ztree_leaf_member(right, i)), right_id, left_id);
    }
    ztree_leaf_move(tree, right_id, 0, count, left_id);
    struct ztree_inner *parent = ztree_inner_of(tree, right->node.parent);
    uint32_t index = child_index(parent, right_id);
    parent->counts[index - 1] += parent->counts[index];
    parent->counts[index] = 0;
    leaf_drop(tree, right_id);
}

void
ztree_leaf_settle(struct ztree *tree, uint32_t id)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    size_t used = ztree_leaf_used(leaf);
    ztree_leaf_fit(tree, id, used / 4);
    leaf = ztree_leaf_of(tree, id);
    if (leaf->node.parent == ZTREE_NONE || used > ZTREE_LEAF_SIZE_LOW) {
        return;
    }
    if (leaf->node.count == 0) {
        leaf_drop(tree, id);
        return;
    }
    uint32_t neighbours[2] = {leaf->previous, leaf->next};
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t other_id = neighbours[i];
        if (other_id == ZTREE_NONE) {
            continue;
        }
        const struct ztree_leaf *other = ztree_leaf_of(tree, other_id);
        if (other->node.parent == leaf->node.parent &&
            ztree_leaf_used(other) + used <= ZTREE_LEAF_SIZE_JOINED) {
            leaves_join(tree, i == 0 ? other_id : id, i == 0 ? id : other_id);
            return;
        }
    }
}

/* ---- ids ---- */

/** A leaf is called `to` now: its neighbours and the index know it by its id. */
static void
leaf_renamed(struct ztree *tree, uint32_t from, uint32_t to)
{
    const struct ztree_leaf *leaf = ztree_leaf_of(tree, to);
    if (leaf->previous == ZTREE_NONE) {
        tree->leaf_first = to;
    } else {
        ztree_leaf_of(tree, leaf->previous)->next = to;
    }
    if (leaf->next == ZTREE_NONE) {
        tree->leaf_last = to;
    } else {
        ztree_leaf_of(tree, leaf->next)->previous = to;
    }
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        ztree_index_move(tree, ztree_hash(tree, ztree_leaf_member(leaf, i)), from, to);
    }
}

bool
ztree_ids_compact(struct ztree *tree)
{
    uint32_t used_count = tree->node_count - tree->node_free_count;
    if (LIKELY(tree->node_free_count <= used_count + ZTREE_ID_SLACK)) {
        return false;
    }
    uint32_t from = tree->node_count - 1;
    uint32_t to = ztree_node_rename(tree, from);
    const struct ztree_node *node = ztree_node_of(tree, to);
    if (node->parent == ZTREE_NONE) {
        tree->root = to;
    } else {
        struct ztree_inner *parent = ztree_inner_of(tree, node->parent);
        parent->children[child_index(parent, from)] = to;
    }
    if (node->size != 0) {
        if (UNLIKELY(tree->object.image != NULL)) {
            image_part_rename(tree->object.image, from, to);
        }
        leaf_renamed(tree, from, to);
        return true;
    }
    const struct ztree_inner *inner = ztree_inner_of(tree, to);
    for (uint32_t i = 0; i < node->count; i++) {
        ztree_node_of(tree, inner->children[i])->parent = to;
    }
    return true;
}
