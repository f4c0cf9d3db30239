#include "shard/value/quicklist_internal.h"

#include "shard/value/image.h"

#include <lzf.h>

/*
 * quicklist_compress.c: the inner nodes of a list, packed by LZF.
 *
 *     depth 2     plain  plain  [LZF] [LZF] [LZF]  ...  [LZF]  plain  plain
 *
 * What is pushed and popped stays as it is; what lies deeper is packed when the list's growth lets
 * it sink below the depth, and unpacked when its shrinking lets it rise, or when it is changed. A
 * change opens a few neighbours, works as if there was no compression, and has the surroundings
 * packed again at its end. So the structure above (quicklist.c) knows two calls only: open before,
 * compress_near after.
 *
 * Readers never open anything: a list that is lent to several cores is read by all of them at once.
 * They unpack into memory of their own, which goes from node to node with them.
 *
 * A node that would not become smaller by more than COMPRESS_GAIN_SIZE is marked as such, and not
 * tried again until it has changed: random bytes would be packed in vain by every change nearby.
 *
 * Invariants: the first and the last node are never compressed, whatever the depth has been and is;
 * a compressed node unpacks to a valid listpack of its count.
 *
 * Rejected: walking all of a list when the depth is changed (it is a setting of the server, and a
 * list of ten million elements would stand still; as with redis-server, lists that are not touched
 * stay as they are), LZ4 (its ratio is no better on such short blocks, and RDB files carry LZF, so
 * that a packed node can be written as it is).
 */

/** Less is not worth unpacking it again. */
#define COMPRESS_GAIN_SIZE 8
/** Smaller listpacks are left alone: so much LZF needs to find anything. */
#define COMPRESS_SIZE_MIN 48
/** Nodes on either side of a change that it may have opened: a split, an insertion, two joins. */
#define NEAR_COUNT 4

/* ---- one node ---- */

static size_t
compressed_block_size(uint32_t compressed_size)
{
    return sizeof(struct quicklist_compressed) + compressed_size;
}

size_t
quicklist_node_size(const struct quicklist_node *node)
{
    return node->form == QUICKLIST_NODE_COMPRESSED ? node->compressed->size
                                                   : listpack_size(node->listpack);
}

size_t
quicklist_node_block_size(const struct quicklist_node *node)
{
    if (node->form == QUICKLIST_NODE_COMPRESSED) {
        return quicklist_compressed_block_size(node->compressed);
    }
    return object_size(node->listpack);
}

static void
compressed_unpack(const struct quicklist_compressed *compressed, struct listpack *listpack)
{
    unsigned int size = lzf_decompress(compressed->bytes, compressed->compressed_size,
                                       listpack->bytes, compressed->size);
    /* We packed it ourselves. */
    ASSERT(size == compressed->size);
}

const struct listpack *
quicklist_node_listpack(const struct quicklist_node *node, struct quicklist_scratch *scratch)
{
    if (node->form != QUICKLIST_NODE_COMPRESSED) {
        return node->listpack;
    }
    size_t size = sizeof(struct listpack) + node->compressed->size;
    if (size > scratch->size) {
        heap_free(scratch->listpack);
        scratch->listpack = object_block_new(size);
        scratch->size = object_size(scratch->listpack);
    }
    compressed_unpack(node->compressed, scratch->listpack);
    return scratch->listpack;
}

void
quicklist_scratch_release(struct quicklist_scratch *scratch)
{
    heap_free(scratch->listpack);
    *scratch = (struct quicklist_scratch){0};
}

/** Is what the node holds still to be written by the list's image? */
static bool
node_is_due(const struct quicklist *quicklist, const struct quicklist_node *node)
{
    const struct image *image = quicklist->object.image;
    return image != NULL && node->image_place != 0 &&
           image_block_is_due(image, node->image_place - 1U);
}

void
quicklist_node_copy_to_image(struct quicklist *quicklist, struct quicklist_node *node)
{
    ASSERT(node->form != QUICKLIST_NODE_COMPRESSED);
    if (node_is_due(quicklist, node)) {
        image_block_give(quicklist->object.image, node->image_place - 1U,
                         listpack_copy(node->listpack), 0);
    }
    node->image_place = 0;
}

void
quicklist_node_drop(struct quicklist *quicklist, struct quicklist_node *node)
{
    bool is_compressed = node->form == QUICKLIST_NODE_COMPRESSED;
    quicklist->object.size -= quicklist_node_block_size(node);
    quicklist->compressed_count -= is_compressed;
    void *block = is_compressed ? (void *)node->compressed : node->listpack;
    if (UNLIKELY(node_is_due(quicklist, node))) {
        image_block_give(quicklist->object.image, node->image_place - 1U, block,
                         is_compressed ? IMAGE_BLOCK_COMPRESSED : 0);
    } else {
        heap_free(block);
    }
    node->image_place = 0;
}

/** `compressed_size` bytes, which pack a listpack of `size` bytes, are what the node holds now. */
static void
node_set_compressed(struct quicklist *quicklist, struct quicklist_node *node, uint32_t size,
                    const void *bytes, uint32_t compressed_size)
{
    struct quicklist_compressed *compressed =
        object_alloc(&quicklist->object, compressed_block_size(compressed_size));
    compressed->size = size;
    compressed->compressed_size = compressed_size;
    memcpy(compressed->bytes, bytes, compressed_size);
    node->compressed = compressed;
    node->form = QUICKLIST_NODE_COMPRESSED;
    quicklist->compressed_count++;
}

void
quicklist_node_copy(struct quicklist *quicklist, struct quicklist_node *node,
                    const struct quicklist_node *from)
{
    const struct quicklist_compressed *compressed = quicklist_node_compressed(from);
    if (compressed != NULL) {
        node_set_compressed(quicklist, node, compressed->size, compressed->bytes,
                            compressed->compressed_size);
        return;
    }
    node->listpack = listpack_copy(from->listpack);
    node->form = from->form;
    quicklist->object.size += object_size(node->listpack);
}

void
quicklist_node_open(struct quicklist *quicklist, struct quicklist_node *node)
{
    if (LIKELY(node->form != QUICKLIST_NODE_COMPRESSED)) {
        return;
    }
    struct listpack *listpack = object_block_new(sizeof(*listpack) + node->compressed->size);
    compressed_unpack(node->compressed, listpack);
    quicklist_node_drop(quicklist, node);
    node->listpack = listpack;
    node->form = QUICKLIST_NODE_PLAIN;
    quicklist->object.size += object_size(listpack);
}

static void
node_compress(struct quicklist *quicklist, struct quicklist_node *node)
{
    ASSERT(node->form == QUICKLIST_NODE_PLAIN);
    uint32_t size = listpack_size(node->listpack);
    node->form = QUICKLIST_NODE_INCOMPRESSIBLE;
    if (size < COMPRESS_SIZE_MIN) {
        return;
    }
    uint32_t size_max = size - COMPRESS_GAIN_SIZE - 1;
    void *bytes = heap_alloc(size_max);
    uint32_t compressed_size = lzf_compress(node->listpack->bytes, size, bytes, size_max);
    if (compressed_size > 0) {
        quicklist_node_drop(quicklist, node);
        node_set_compressed(quicklist, node, size, bytes, compressed_size);
    }
    heap_free(bytes);
}

/* ---- which of them ---- */

/** Are there `depth` nodes and more on either side? */
static bool
node_is_deep(const struct quicklist_node *node, uint32_t depth)
{
    const struct quicklist_node *before = node->previous;
    const struct quicklist_node *behind = node->next;
    for (; depth > 0 && before != NULL && behind != NULL; depth--) {
        before = before->previous;
        behind = behind->next;
    }
    return depth == 0;
}

/** Compress some nodes from one on, which may be NULL, unless they are packed, have been tried or
 * are not deep enough. */
static void
compress_run(struct quicklist *quicklist, struct quicklist_node *node, uint32_t depth,
             bool is_backward)
{
    for (uint32_t i = 0; i < NEAR_COUNT && node != NULL; i++) {
        if (node->form == QUICKLIST_NODE_PLAIN && node_is_deep(node, depth)) {
            node_compress(quicklist, node);
        }
        node = is_backward ? node->previous : node->next;
    }
}

void
quicklist_compress_near(struct quicklist *quicklist, const struct quicklist_limits *limits,
                        struct quicklist_node *near)
{
    uint32_t depth = limits->compress_depth;
    if (LIKELY(depth == 0 && quicklist->compressed_count == 0)) {
        return;
    }
    struct quicklist_node *from_first = quicklist->first;
    struct quicklist_node *from_last = quicklist->last;
    for (uint32_t i = 0; i < MAX(depth, 1U) && from_first != NULL; i++) {
        quicklist_node_open(quicklist, from_first);
        quicklist_node_open(quicklist, from_last);
        from_first = from_first->next;
        from_last = from_last->previous;
    }
    if (depth == 0 || quicklist->node_count / 2 < depth || from_first == NULL) {
        return;
    }
    /* A change near an end may have let more than one node sink there. */
    compress_run(quicklist, from_first, depth, false);
    compress_run(quicklist, from_last, depth, true);
    compress_run(quicklist, near, depth, false);
    compress_run(quicklist, near, depth, true);
}
