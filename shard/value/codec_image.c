#include "shard/value/codec_internal.h"

/*
 * codec_image.c: the rest of a value that is being written, while it changes (image.c).
 *
 *     [head: count] [member member ...]            as long as it stands still (codec_write.c)
 *                                     | image
 *                                     [part 6] [part 91] [part 7] [part 8] ...
 *                                      walk     kept      walk
 *
 * A part is a bucket of a packed table, or a leaf of a sorted tree. The count stands in front, so
 * what is written must be what was there then, to the element; in which order is nobody's business.
 * Nodes of lists and streams are written in their order (a stream's in codec_stream.c).
 *
 * The form is that of the head, whatever the table has become since: a hash whose first field gets
 * a deadline after it is written as one without.
 *
 * Invariant: the bytes are a value of state->value's type that equals what it was when the image
 * was made.
 */

/** Parts looked at in a step, written or not. */
#define LOOK_COUNT_MAX 1024

/* ---- hashes and sets ---- */

static void
write_item(void *context, const struct packed_item *item)
{
    const struct image *image = context;
    rdb_write_string(image->writer, item->member);
    if (image->record == RDB_TYPE_SET) {
        return;
    }
    rdb_write_string(image->writer, item->value);
    if (image->record == RDB_TYPE_HASH_2) {
        rdb_write_u64(image->writer, (uint64_t)item->deadline_ms);
    }
}

static void
write_bucket(struct image *image, uint32_t part)
{
    const struct packed *packed = (const struct packed *)image->object;
    packed_bucket_visit(packed, part, 0, write_item, image);
}

static void
packed_begin(struct image *image, const struct packed_walk *walk)
{
    const struct packed *packed = (const struct packed *)image->object;
    image_parts_create(image, packed->bucket_count, write_bucket);
    image->position = walk->bucket_index;
    if (walk->item_index > 0) {
        packed_bucket_visit(packed, walk->bucket_index, walk->item_index, write_item, image);
        image->position++;
    }
    image_parts_settle(image, image->position);
}

static bool
packed_write_next(struct image *image)
{
    const struct packed *packed = (const struct packed *)image->object;
    /* What was merged with others since then was kept. */
    if (image->position >= MIN(image->part_count, packed->bucket_count)) {
        return false;
    }
    uint32_t part = image->position++;
    if (!image_part_is_written(image, part)) {
        image_part_settle(image, part);
        write_bucket(image, part);
    }
    return true;
}

/* ---- sorted sets ---- */

/** From the element in front of `end` down to the leaf's first one: the highest comes first. */
static void
write_leaf_below(const struct image *image, uint32_t leaf, uint32_t end)
{
    const struct ztree *tree = (const struct ztree *)image->object;
    while (end > 0) {
        end--;
        struct ztree_item item = ztree_get(tree, (struct ztree_place){leaf, end});
        rdb_write_string(image->writer, item.member);
        rdb_write_double(image->writer, item.score);
    }
}

static void
write_leaf(struct image *image, uint32_t part)
{
    write_leaf_below(image, part, ztree_leaf_count((const struct ztree *)image->object, part));
}

static void
settle_leaf(void *context, uint32_t leaf)
{
    image_part_settle(context, leaf);
}

/** `place`: of the next element. */
static void
ztree_begin(struct image *image, struct ztree_place place)
{
    const struct ztree *tree = (const struct ztree *)image->object;
    if (place.leaf == ZTREE_NONE) {
        image_parts_create(image, 0, write_leaf);
        image->position = ZTREE_NONE;
        return;
    }
    image_parts_create(image, ztree_id_count(tree), write_leaf);
    write_leaf_below(image, place.leaf, place.index + 1);
    image_part_settle(image, place.leaf);
    ztree_leaves_behind(tree, place.leaf, settle_leaf, image);
    image->position = ztree_leaf_previous(tree, place.leaf);
}

static bool
ztree_write_next(struct image *image)
{
    const struct ztree *tree = (const struct ztree *)image->object;
    if (image->position == ZTREE_NONE) {
        return false;
    }
    uint32_t leaf = image->position;
    image->position = ztree_leaf_previous(tree, leaf);
    if (!image_part_is_written(image, leaf)) {
        image_part_settle(image, leaf);
        write_leaf(image, leaf);
    }
    return true;
}

/* ---- lists ---- */

/** Of all nodes; from `node` on they are to be written. */
static void
list_begin(struct image *image, struct quicklist_node *node)
{
    const struct quicklist *list = (const struct quicklist *)image->object;
    image_blocks_create(image, list->node_count, false);
    for (struct quicklist_node *it = list->first; it != node; it = it->next) {
        it->image_place = 0;
    }
    uint32_t count = 0;
    for (; node != NULL; node = node->next) {
        bool is_compressed = node->form == QUICKLIST_NODE_COMPRESSED;
        image->blocks[count++] = is_compressed
                                     ? (uintptr_t)node->compressed | IMAGE_BLOCK_COMPRESSED
                                     : (uintptr_t)node->listpack;
        node->image_place = count;
    }
    image->block_count = count;
}

static bool
list_write_next(struct codec_writer *state)
{
    struct image *image = state->image;
    if (image->position == image->block_count) {
        return false;
    }
    uint32_t index = image->position++;
    bool is_compressed = (image->blocks[index] & IMAGE_BLOCK_COMPRESSED) != 0;
    struct quicklist_node node = {.form = is_compressed ? QUICKLIST_NODE_COMPRESSED
                                                        : QUICKLIST_NODE_PLAIN};
    if (is_compressed) {
        node.compressed = image_block(image, index);
    } else {
        node.listpack = image_block(image, index);
    }
    codec_write_list_node(state, &node);
    image_block_end(image, index);
    return true;
}

/* ---- all ---- */

bool
codec_has_image(const struct value *value)
{
    if (value->encoding == ENCODING_STREAM) {
        return ((const struct stream *)value->object)->nodes.count < IMAGE_NO_BLOCK;
    }
    if (value->encoding == ENCODING_QUICKLIST) {
        return ((const struct quicklist *)value->object)->node_count <= QUICKLIST_IMAGE_NODES_MAX;
    }
    return value->encoding == ENCODING_HASHTABLE || value->encoding == ENCODING_SKIPLIST;
}

struct image *
codec_writer_image(struct codec_writer *state)
{
    const struct value *value = &state->value;
    ASSERT(state->image == NULL && codec_has_image(value));
    codec_write_begin(state);
    struct image *image = image_new(value, state->writer);
    image->record = (uint8_t)codec_type(value);
    state->image = image;
    if (value->encoding == ENCODING_SKIPLIST) {
        ztree_begin(image, state->zset.place);
    } else if (value->encoding == ENCODING_QUICKLIST) {
        list_begin(image, state->node);
    } else if (value->encoding == ENCODING_STREAM) {
        codec_image_stream_begin(state);
    } else {
        packed_begin(image, value->type == VALUE_SET ? &state->set.packed : &state->hash.packed);
    }
    return image;
}

static bool
write_next(struct codec_writer *state)
{
    struct image *image = state->image;
    if (image->encoding == ENCODING_QUICKLIST) {
        return list_write_next(state);
    }
    if (image->encoding == ENCODING_STREAM) {
        return codec_image_stream_next(state);
    }
    return image->encoding == ENCODING_SKIPLIST ? ztree_write_next(image)
                                                : packed_write_next(image);
}

bool
codec_image_step(struct codec_writer *state, size_t size_max)
{
    size_t start_size = state->writer->size;
    uint32_t look_count = 0;
    do {
        if (!write_next(state)) {
            return true;
        }
    } while (state->writer->size - start_size < size_max && ++look_count < LOOK_COUNT_MAX);
    return false;
}
