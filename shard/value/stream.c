#include "shard/value/stream.h"

#include "core/number.h"
#include "shard/value/image.h"
#include "shard/value/stream_internal.h"

/*
 * stream.c: entries of a stream: adding, finding, removing, walking.
 *
 *     nodes:   [1-0] -> listpack 1-0 .. 7-2      a B+ tree (stream_tree.h) by the first entry's id
 *              [8-0] -> listpack 8-0 .. 8-99
 *              [9-0] -> listpack 9-0 ..          <- new entries
 *     groups:  sorted by name (stream_group.c)
 *
 * A node takes entries until it has so many bytes or entries as the configuration says, then the
 * next one begins, and the full one gives back its slack. A node that follows another one begins
 * with room for as much as that held, so that it does not grow by copies. An entry that is removed
 * is marked in its node, and the node goes with its last entry: where an entry is never changes.
 *
 * Whoever changes a node keeps it first, for somebody who writes the stream as it was (image.h).
 *
 * Invariants: each node is as stream_node.c has it, with an entry at least; ids rise from node to
 * node; `count` is the sum of the nodes', first_id that of the first entry. object.size counts the
 * stream, its trees, groups and consumers, and its listpacks.
 *
 * Rejected: entries as listpacks of their own (twenty bytes more for each), a list of nodes
 * (finding an id in ten million entries has to pass 100,000 of them).
 */

/** A listpack's element takes no more than this beyond its text. */
#define ITEM_OVERHEAD_SIZE_MAX 11
/** Elements of an entry, and of the head, that are no texts. */
#define ENTRY_ITEMS_MAX 9
/** A node that follows another one does not begin with more room than this. */
#define NODE_ROOM_SIZE_MAX 4096

size_t
stream_id_format(char text[STREAM_ID_TEXT_SIZE], struct stream_id id)
{
    size_t size = number_format_u64(text, id.ms);
    text[size++] = '-';
    return size + number_format_u64(text + size, id.sequence);
}

/* ---- life ---- */

struct stream *
stream_new(void)
{
    struct stream *stream = object_new(sizeof(*stream));
    stream_tree_create(&stream->nodes, sizeof(struct listpack *));
    return stream;
}

static size_t
ops_count(const void *object)
{
    return ((const struct stream *)object)->count;
}

static void *
ops_copy(const void *object)
{
    const struct stream *from = object;
    struct stream *stream = stream_new();
    for (struct stream_place at = stream_tree_first(&from->nodes); at.leaf != NULL;
         at = stream_place_next(at)) {
        const struct listpack *node = stream_node_at(at);
        stream_node_push(stream, stream_place_id(at), listpack_copy(node),
                         (uint64_t)stream_node_count(node));
    }
    stream->added_count = from->added_count;
    stream->last_id = from->last_id;
    stream->first_id = from->first_id;
    stream->deleted_id_max = from->deleted_id_max;
    stream_groups_copy(stream, from);
    return stream;
}

/** Nodes of a leaf at a time: their listpacks, then the leaf. False: that were not all. */
static bool
free_nodes(struct stream *stream, uint32_t *step_count_left)
{
    while (*step_count_left > 0 && stream->nodes.first != NULL) {
        struct stream_leaf *leaf = stream->nodes.first;
        while (leaf->count > 0 && *step_count_left > 0) {
            /* From its end, so that nothing moves; the tree's own count follows with the leaf. */
            struct stream_place place = {leaf, leaf->count - 1U};
            struct listpack *node = stream_node_at(place);
            stream->object.size -= object_size(node);
            stream->listpack_size -= object_size(node);
            listpack_delete(node);
            leaf->count--;
            *step_count_left -= 1;
        }
        if (leaf->count == 0) {
            stream_tree_free_steps(&stream->object, &stream->nodes, 1);
        }
    }
    return stream->nodes.first == NULL;
}

static bool
ops_free_steps(void *object, uint32_t step_count_max)
{
    struct stream *stream = object;
    if (!free_nodes(stream, &step_count_max)) {
        return false;
    }
    while (stream->group_count > 0) {
        if (step_count_max == 0) {
            return false;
        }
        struct stream_group *group = stream->groups[stream->group_count - 1];
        if (!stream_group_free_steps(stream, group, step_count_max)) {
            return false;
        }
        stream->group_count--;
        step_count_max--;
    }
    object_free(&stream->object, stream->groups,
                stream->group_capacity * sizeof(struct stream_group *));
    heap_free(stream);
    return true;
}

const struct object_ops stream_ops = {
    .count = ops_count,
    .copy = ops_copy,
    .free_steps = ops_free_steps,
};

void
stream_delete(struct stream *stream)
{
    object_delete(VALUE_STREAM, ENCODING_STREAM, stream);
}

/* ---- nodes ---- */

void
stream_node_push(struct stream *stream, struct stream_id master_id, struct listpack *node,
                 uint64_t count)
{
    bool is_new;
    struct stream_place place =
        stream_tree_insert(&stream->object, &stream->nodes, master_id, &is_new);
    ASSERT(is_new);
    stream_node_set(stream, place, 0, node);
    stream->count += count;
}

void
stream_node_keep(struct stream *stream, struct stream_place place)
{
    struct image *image = stream->object.image;
    if (LIKELY(image == NULL)) {
        return;
    }
    uint32_t index = image_block_find(image, stream_place_id(place));
    if (index != IMAGE_NO_BLOCK) {
        image_block_give(image, index, listpack_copy(stream_node_at(place)), 0);
    }
}

void
stream_join_image(struct stream *stream, struct stream *to)
{
    if (UNLIKELY(stream->object.image != NULL)) {
        image_join(stream->object.image, &to->object);
    }
}

static struct listpack *
node_take(struct stream *stream, struct stream_place place, uint64_t count)
{
    struct listpack *node = stream_node_at(place);
    stream->object.size -= object_size(node);
    stream->listpack_size -= object_size(node);
    stream->count -= count;
    stream_tree_remove(&stream->object, &stream->nodes, stream_place_id(place));
    return node;
}

void
stream_node_drop(struct stream *stream, struct stream_place place, uint64_t count)
{
    struct image *image = stream->object.image;
    uint32_t index = IMAGE_NO_BLOCK;
    if (UNLIKELY(image != NULL)) {
        index = image_block_find(image, stream_place_id(place));
    }
    struct listpack *node = node_take(stream, place, count);
    if (index != IMAGE_NO_BLOCK) {
        image_block_give(image, index, node, 0);
    } else {
        listpack_delete(node);
    }
}

void
stream_node_move(struct stream *stream, struct stream_place place, uint64_t count,
                 struct stream *to)
{
    struct stream_id master_id = stream_place_id(place);
    stream_node_push(to, master_id, node_take(stream, place, count), count);
}

/** May the node take an entry whose texts are `size` bytes together? */
static bool
node_has_room(const struct listpack *node, const struct stream_limits *limits, uint64_t size,
              uint64_t size_bound)
{
    uint64_t size_max = limits->size_max;
    if (size_max == 0 || size_max > STREAM_ENTRY_SIZE_MAX) {
        size_max = STREAM_ENTRY_SIZE_MAX;
    }
    if (listpack_size(node) + size >= size_max || !listpack_fits(node, size_bound)) {
        return false;
    }
    if (limits->count_max == 0) {
        return true;
    }
    int64_t count = stream_node_count(node);
    int64_t deleted_count;
    uint32_t position = listpack_next(node, STREAM_NODE_COUNT_AT);
    return listpack_integer(node, position, &deleted_count) &&
           (uint64_t)(count + deleted_count) < limits->count_max;
}

/** A node for this entry behind the last one, which is full or absent. */
static struct stream_place
node_begin(struct stream *stream, struct stream_id id, const struct slice *texts,
           uint32_t pair_count, uint64_t size_bound)
{
    size_t room_size = size_bound;
    struct stream_place last = stream_tree_last(&stream->nodes);
    if (last.leaf != NULL) {
        stream_node_keep(stream, last);
        struct listpack *full = stream_node_at(last);
        size_t old_size = object_size(full);
        room_size = MAX(room_size, MIN(listpack_size(full), (uint32_t)NODE_ROOM_SIZE_MAX));
        stream_node_set(stream, last, old_size, listpack_trim(full));
    }
    stream_node_push(stream, id, stream_node_new(room_size, texts, pair_count), 0);
    return stream_tree_last(&stream->nodes);
}

bool
stream_texts_fit(const struct slice *texts, uint32_t pair_count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < 2 * pair_count; i++) {
        size += texts[i].size;
    }
    uint64_t overhead = (2 * (uint64_t)pair_count + ENTRY_ITEMS_MAX) * ITEM_OVERHEAD_SIZE_MAX;
    return size + overhead + LISTPACK_SIZE_EMPTY <= STREAM_ENTRY_SIZE_MAX;
}

void
stream_append(struct stream *stream, const struct stream_limits *limits, struct stream_id id,
              const struct slice *texts, uint32_t pair_count)
{
    ASSERT(stream_id_compare(id, stream->last_id) > 0);
    uint64_t size = 0;
    for (uint32_t i = 0; i < 2 * pair_count; i++) {
        size += texts[i].size;
    }
    uint64_t size_bound =
        size + (2 * (uint64_t)pair_count + ENTRY_ITEMS_MAX) * ITEM_OVERHEAD_SIZE_MAX;
    struct stream_place place = stream_tree_last(&stream->nodes);
    if (place.leaf == NULL || !node_has_room(stream_node_at(place), limits, size, size_bound)) {
        place = node_begin(stream, id, texts, pair_count, size_bound);
    }
    stream_node_keep(stream, place);
    struct listpack *node = stream_node_at(place);
    size_t old_size = object_size(node);
    node = stream_node_append(node, stream_place_id(place), id, texts, pair_count);
    stream_node_set(stream, place, old_size, node);
    stream->count++;
    stream->added_count++;
    stream->last_id = id;
    if (stream->count == 1) {
        stream->first_id = id;
    }
}

/* ---- single entries ---- */

/** The entry that is there with this id. False: there is none. */
static bool
entry_find(const struct stream *stream, struct stream_id id, struct stream_place *place,
           struct stream_node_entry *entry)
{
    *place = stream_tree_seek_back(&stream->nodes, id);
    if (place->leaf == NULL) {
        return false;
    }
    const struct listpack *node = stream_node_at(*place);
    struct stream_id master_id = stream_place_id(*place);
    struct stream_node_head head = stream_node_head(node);
    uint32_t position = head.entries_at;
    while (position != LISTPACK_NONE) {
        *entry = stream_node_entry(node, &head, master_id, position);
        int order = stream_id_compare(entry->id, id);
        if (order >= 0) {
            return order == 0 && !entry->is_deleted;
        }
        position = stream_node_entry_next(node, entry);
    }
    return false;
}

bool
stream_has(const struct stream *stream, struct stream_id id)
{
    struct stream_place place;
    struct stream_node_entry entry;
    if (stream->count == 0 || stream_id_compare(id, stream->first_id) < 0) {
        return false;
    }
    return entry_find(stream, id, &place, &entry);
}

static struct stream_id
edge_id(const struct stream *stream, bool is_last)
{
    struct stream_walk walk;
    struct stream_id id;
    uint32_t pair_count;
    if (is_last) {
        stream_walk_start(&walk, stream, STREAM_ID_MAX, STREAM_ID_MIN, true);
    } else {
        stream_walk_start(&walk, stream, STREAM_ID_MIN, STREAM_ID_MAX, false);
    }
    return stream_walk_next(&walk, &id, &pair_count) ? id : STREAM_ID_MIN;
}

void
stream_first_id_update(struct stream *stream)
{
    stream->first_id = edge_id(stream, false);
}

struct stream_id
stream_last_entry_id(const struct stream *stream)
{
    return edge_id(stream, true);
}

bool
stream_remove(struct stream *stream, struct stream_id id)
{
    struct stream_place place;
    struct stream_node_entry entry;
    if (!entry_find(stream, id, &place, &entry)) {
        return false;
    }
    struct listpack *node = stream_node_at(place);
    if (stream_node_count(node) == 1) {
        stream_node_drop(stream, place, 1);
    } else {
        stream_node_keep(stream, place);
        size_t old_size = object_size(node);
        node = stream_node_count_deleted(stream_node_mark(node, &entry), 1);
        stream_node_set(stream, place, old_size, node);
        stream->count--;
    }
    if (stream_id_compare(id, stream->deleted_id_max) > 0) {
        stream->deleted_id_max = id;
    }
    if (stream->count == 0 || stream_id_compare(id, stream->first_id) == 0) {
        stream_first_id_update(stream);
    }
    return true;
}

/* ---- walking ---- */

/** Look at the node at walk->place from its first or last entry on. */
static void
walk_enter(struct stream_walk *walk)
{
    walk->node = NULL;
    walk->entry_at = LISTPACK_NONE;
    if (walk->place.leaf == NULL) {
        return;
    }
    walk->node = stream_node_at(walk->place);
    walk->master_id = stream_place_id(walk->place);
    struct stream_node_head head = stream_node_head(walk->node);
    walk->master_fields_at = head.fields_at;
    walk->master_field_count = head.field_count;
    walk->entries_at = head.entries_at;
    walk->entry_at = walk->is_backward ? stream_node_entry_before(walk->node, &head, LISTPACK_NONE)
                                       : head.entries_at;
    walk->text_at = LISTPACK_NONE;
}

void
stream_walk_start(struct stream_walk *walk, const struct stream *stream, struct stream_id from,
                  struct stream_id to, bool is_backward)
{
    *walk = (struct stream_walk){.from = from, .to = to, .is_backward = is_backward};
    walk->place = stream_tree_seek_back(&stream->nodes, from);
    if (walk->place.leaf == NULL && !is_backward) {
        walk->place = stream_tree_first(&stream->nodes);
    }
    walk_enter(walk);
}

/** Past what is left of the last entry's texts to where the next one begins. */
static void
walk_step(struct stream_walk *walk)
{
    if (walk->text_at == LISTPACK_NONE) {
        return; /* in a node's first entry, which nobody has looked at */
    }
    if (walk->is_backward) {
        struct stream_node_head head = {.entries_at = walk->entries_at};
        walk->entry_at = stream_node_entry_before(walk->node, &head, walk->entry_at);
    } else {
        uint32_t text_count =
            walk->field_at != LISTPACK_NONE ? walk->pairs_left : 2 * walk->pairs_left;
        walk->entry_at = stream_node_skip(walk->node, walk->text_at, text_count + 1);
    }
}

bool
stream_walk_next(struct stream_walk *walk, struct stream_id *id, uint32_t *pair_count)
{
    while (walk->node != NULL) {
        walk_step(walk);
        if (walk->entry_at == LISTPACK_NONE) {
            walk->place = walk->is_backward ? stream_place_previous(walk->place)
                                            : stream_place_next(walk->place);
            walk_enter(walk);
            continue;
        }
        struct stream_node_head head = {.field_count = walk->master_field_count};
        struct stream_node_entry entry =
            stream_node_entry(walk->node, &head, walk->master_id, walk->entry_at);
        walk->text_at = entry.texts_at;
        walk->pairs_left = entry.pair_count;
        walk->field_at = entry.has_node_fields ? walk->master_fields_at : LISTPACK_NONE;
        int from_order = stream_id_compare(entry.id, walk->from);
        int to_order = stream_id_compare(entry.id, walk->to);
        if (walk->is_backward ? to_order < 0 : to_order > 0) {
            break;
        }
        if (!entry.is_deleted && (walk->is_backward ? from_order <= 0 : from_order >= 0)) {
            *id = entry.id;
            *pair_count = entry.pair_count;
            return true;
        }
    }
    walk->node = NULL;
    return false;
}

void
stream_walk_pair(struct stream_walk *walk, struct listpack_item *field, struct listpack_item *value)
{
    ASSERT(walk->pairs_left > 0);
    walk->pairs_left--;
    if (walk->field_at != LISTPACK_NONE) {
        *field = listpack_get(walk->node, walk->field_at);
        walk->field_at = listpack_next(walk->node, walk->field_at);
    } else {
        *field = listpack_get(walk->node, walk->text_at);
        walk->text_at = listpack_next(walk->node, walk->text_at);
    }
    *value = listpack_get(walk->node, walk->text_at);
    walk->text_at = listpack_next(walk->node, walk->text_at);
}

/* ---- foreign streams ---- */

bool
stream_load_node(struct stream *stream, struct stream_id master_id, struct slice bytes)
{
    struct stream_node_content content;
    struct stream_place last = stream_tree_last(&stream->nodes);
    if (last.leaf != NULL && stream_id_compare(stream->last_id, master_id) >= 0) {
        return false;
    }
    if (!stream_node_is_valid(bytes, master_id, &content)) {
        return false;
    }
    if (stream->count == 0) {
        stream->first_id = content.first_id;
    }
    stream_node_push(stream, master_id, listpack_from_bytes(bytes), content.count);
    stream->last_id = content.last_id;
    return true;
}

bool
stream_load_end(struct stream *stream, uint64_t count)
{
    if (stream->count != count) {
        return false;
    }
    if (count > 0 && stream_id_compare(stream_last_entry_id(stream), stream->last_id) > 0) {
        return false;
    }
    for (uint32_t i = 0; i < stream->group_count; i++) {
        const struct stream_group *group = stream->groups[i];
        uint64_t pending_count = 0;
        for (uint32_t j = 0; j < group->consumer_count; j++) {
            pending_count += group->consumers[j]->pending.count;
        }
        if (pending_count != group->pending.count) {
            return false;
        }
    }
    return true;
}

/* ---- for tests ---- */

bool
stream_check(const struct stream *stream)
{
    if (!stream_tree_check(&stream->nodes)) {
        return false;
    }
    uint64_t count = 0;
    struct stream_id last_id = STREAM_ID_MIN;
    struct stream_id first_id = STREAM_ID_MIN;
    for (struct stream_place at = stream_tree_first(&stream->nodes); at.leaf != NULL;
         at = stream_place_next(at)) {
        struct stream_node_content content;
        struct stream_id master_id = stream_place_id(at);
        if (!stream_node_is_valid(listpack_bytes(stream_node_at(at)), master_id, &content) ||
            (count > 0 && stream_id_compare(last_id, master_id) >= 0)) {
            return false;
        }
        first_id = count == 0 ? content.first_id : first_id;
        last_id = content.last_id;
        count += content.count;
    }
    return count == stream->count && stream_id_compare(first_id, stream->first_id) == 0 &&
           stream_id_compare(last_id, stream->last_id) <= 0 && stream_groups_check(stream);
}
