/*
 * stream_tree.h: an ordered map from stream ids to small values of one size, as a B+ tree.
 * A stream keeps its nodes in one, and who waits for what in others. It lives in a larger object
 * (object.h), which is named wherever blocks come and go. Any thread that holds that object.
 *
 * Places and values are good until the next change of the tree.
 */
#pragma once

#include "shard/value/object.h"
#include "shard/value/stream_id.h"

struct stream_leaf {
    struct stream_leaf *previous;
    struct stream_leaf *next;
    uint16_t count;
    uint16_t capacity;
    uint32_t item_size; /* of an id with its value */
    alignas(8) unsigned char items[];
};

struct stream_tree {
    /** A leaf where height is 0, else an inner node. NULL: empty. */
    void *root;
    struct stream_leaf *first;
    struct stream_leaf *last;
    uint64_t count;
    /** Bytes of its blocks, which object.size counts too. */
    uint64_t size;
    uint32_t height;
    uint32_t value_size; /* a multiple of 8; 0: a set of ids */
};

/** An item. `leaf` NULL: none. */
struct stream_place {
    struct stream_leaf *leaf;
    uint32_t index;
};

void stream_tree_create(struct stream_tree *tree, uint32_t value_size);
/** Free `step_count_max` (> 0) blocks or so, from the first items on. Those are gone, the rest can
 * be freed by more calls. True: all is gone, and it is an empty tree. Values own nothing here. */
bool stream_tree_free_steps(struct object *object, struct stream_tree *tree,
                            uint32_t step_count_max);

/** The tree, which lay in the object `from`, lies in `to` now; what it was before is forgotten. */
static inline void
stream_tree_move(struct object *to, struct stream_tree *tree_to, struct object *from,
                 struct stream_tree *tree_from)
{
    uint32_t value_size = tree_from->value_size;
    to->size += tree_from->size;
    from->size -= tree_from->size;
    *tree_to = *tree_from;
    stream_tree_create(tree_from, value_size);
}

/* ---- looking ---- */

struct stream_place stream_tree_find(const struct stream_tree *tree, struct stream_id id);
/** The first one at or behind `id`. */
struct stream_place stream_tree_seek(const struct stream_tree *tree, struct stream_id id);
/** The last one at or in front of `id`. */
struct stream_place stream_tree_seek_back(const struct stream_tree *tree, struct stream_id id);

static inline struct stream_place
stream_tree_first(const struct stream_tree *tree)
{
    return (struct stream_place){tree->first, 0};
}

static inline struct stream_place
stream_tree_last(const struct stream_tree *tree)
{
    return (struct stream_place){tree->last, tree->last != NULL ? tree->last->count - 1U : 0};
}

static inline struct stream_place
stream_place_next(struct stream_place place)
{
    if (place.index + 1 < place.leaf->count) {
        place.index++;
        return place;
    }
    return (struct stream_place){place.leaf->next, 0};
}

static inline struct stream_place
stream_place_previous(struct stream_place place)
{
    if (place.index > 0) {
        place.index--;
        return place;
    }
    struct stream_leaf *leaf = place.leaf->previous;
    return (struct stream_place){leaf, leaf != NULL ? leaf->count - 1U : 0};
}

static inline struct stream_id
stream_place_id(struct stream_place place)
{
    struct stream_id id;
    memcpy(&id, place.leaf->items + (size_t)place.index * place.leaf->item_size, sizeof(id));
    return id;
}

/** Aligned for any structure without wider members than 8 bytes. */
static inline void *
stream_place_value(struct stream_place place)
{
    return place.leaf->items + (size_t)place.index * place.leaf->item_size +
           sizeof(struct stream_id);
}

/* ---- changing ---- */

/** The place of `id`, which is added where it is not there yet (*is_new); its value is zero then.
 */
struct stream_place stream_tree_insert(struct object *object, struct stream_tree *tree,
                                       struct stream_id id, bool *is_new);
/** False: it was not there. */
bool stream_tree_remove(struct object *object, struct stream_tree *tree, struct stream_id id);

/** Are order, links, counts and bounds as they should be? For tests. */
bool stream_tree_check(const struct stream_tree *tree);
