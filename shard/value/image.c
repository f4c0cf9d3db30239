#include "shard/value/image.h"

#include "shard/value/quicklist.h"

/*
 * image.c: a collection that stands still for one, and goes on for all others.
 *
 * A collection of ten million members is written in many steps, and somebody wants to change it
 * between two of them. What he touches is a part: a bucket, a leaf, a node of some members. So he
 * writes this part first, as it is, and then changes it:
 *
 *     parts      0 1 2 3 4 5 6 7 8 9
 *     written    x x x . . . . . . .      the walk is at 3
 *     HSET       touches 7: 7 is written, then changed
 *     written    x x x . . . . x . .
 *
 * No part is written twice, and what comes into being later needs no writing at all; so all parts
 * together are what the collection was when the image was made, element by element, in some order.
 * That is the scheme of the whole snapshot (shard/snapshot.c) once more, inside one value.
 *
 * Parts have numbers. What the structure moves between parts (splits, merges) it moves between
 * parts that are written, which is all that keeps an element from being written twice or not at
 * all: whoever moves keeps both first.
 *
 * Where the order counts, in a list or a stream, the image takes down first what each node holds, a
 * pointer for some kilobytes. Whoever changes a node gives the image a copy of that, and whoever
 * frees it gives it away:
 *
 *     nodes      [a] [b] [c] [d] [e]          blocks   - - c d e      the walk is at 2
 *     RPUSH      [a] [b] [c] [d] [e+]         blocks   - - c d e'     e' is a copy of e
 *     LTRIM      [d] [e+]                     blocks   - - c d e'     c is the image's own
 *
 * An object that is deleted while it has an image becomes the image's own, and is freed when it is
 * written. Several objects may hold parts of one collection: a list that was cut in two.
 *
 * Invariants: an object has an image if and only if it is among the image's holders. A part that is
 * not written is as it was when the image was made.
 *
 * Rejected: a copy of each bucket that is changed (the same bytes twice, and memory for them until
 * the walk comes by), a version in each element (bytes for each of them, for the sake of a value in
 * a million), copying the whole on the first change (a second for ten million members).
 */

#define ROOM_COUNT_MIN 4

static void
objects_push(struct object ***objects, uint32_t *count, uint32_t *capacity, struct object *object)
{
    if (*count == *capacity) {
        *capacity = MAX(*capacity * 2, (uint32_t)ROOM_COUNT_MIN);
        *objects = heap_realloc(*objects, *capacity * sizeof(**objects));
    }
    (*objects)[(*count)++] = object;
}

static uint32_t
holder_index(const struct image *image, const struct object *object)
{
    for (uint32_t i = 0; i < image->holder_count; i++) {
        if (image->holders[i] == object) {
            return i;
        }
    }
    ASSERT(false);
    return 0;
}

/* ---- life ---- */

struct image *
image_new(const struct value *value, struct rdb_writer *writer)
{
    ASSERT(object_image(value->object) == NULL);
    struct image *image = heap_alloc(sizeof(*image));
    *image = (struct image){.writer = writer,
                            .type = value->type,
                            .encoding = value->encoding,
                            .object = value->object};
    image_join(image, value->object);
    return image;
}

void
image_parts_create(struct image *image, uint32_t part_count, image_write_fn *write)
{
    size_t size = ((size_t)part_count + 63) / 64 * sizeof(uint64_t);
    image->part_count = part_count;
    image->write = write;
    image->written = heap_alloc(MAX(size, sizeof(uint64_t)));
    memset(image->written, 0, size);
}

void
image_blocks_create(struct image *image, uint32_t block_count, bool has_ids)
{
    size_t room = MAX(block_count, UINT32_C(1));
    image->block_count = block_count;
    image->blocks = heap_alloc(room * sizeof(*image->blocks));
    image->ids = has_ids ? heap_alloc(room * sizeof(*image->ids)) : NULL;
}

void
image_delete(struct image *image, image_drop_fn *drop, void *context)
{
    while (image->holder_count > 0) {
        image->holders[--image->holder_count]->image = NULL;
    }
    for (uint32_t i = 0; i < image->owned_count; i++) {
        struct object *object = image->owned[i];
        object_charge(image->memory, -(int64_t)object->size);
        struct value value = value_object((enum value_type)image->type,
                                          (enum value_encoding)image->encoding, object);
        drop(context, &value);
    }
    for (uint32_t i = image->position; i < image->block_count; i++) {
        image_block_end(image, i);
    }
    heap_free(image->blocks);
    heap_free(image->ids);
    heap_free(image->holders);
    heap_free(image->owned);
    heap_free(image->written);
    heap_free(image);
}

/* ---- parts ---- */

void
image_part_keep(struct image *image, uint32_t part)
{
    if (image_part_is_written(image, part)) {
        return;
    }
    image_part_settle(image, part);
    image->room(image->context);
    image->write(image, part);
}

void
image_parts_settle(struct image *image, uint32_t part)
{
    uint32_t whole = part & ~UINT32_C(63);
    memset(image->written, 0xff, whole / 8);
    for (uint32_t i = whole; i < part; i++) {
        image_part_settle(image, i);
    }
}

void
image_part_rename(struct image *image, uint32_t from, uint32_t to)
{
    if (to < image->part_count) {
        uint64_t bit = UINT64_C(1) << (to % 64);
        uint64_t *word = &image->written[to / 64];
        *word = image_part_is_written(image, from) ? *word | bit : *word & ~bit;
    }
    if (image->position == from) {
        image->position = to;
    }
}

/* ---- blocks ---- */

static size_t
block_size(const struct image *image, uint32_t index)
{
    if ((image->blocks[index] & IMAGE_BLOCK_COMPRESSED) != 0) {
        return quicklist_compressed_block_size(image_block(image, index));
    }
    return object_size(image_block(image, index));
}

uint32_t
image_block_find(const struct image *image, struct stream_id id)
{
    uint32_t low = image->position;
    uint32_t high = image->block_count;
    /* Most changes are at the end, behind all that was there. */
    if (low == high || stream_id_compare(id, image->ids[high - 1]) > 0) {
        return IMAGE_NO_BLOCK;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (stream_id_compare(image->ids[middle], id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_found = low < image->block_count && stream_id_compare(image->ids[low], id) == 0 &&
                    image_block_is_due(image, low);
    return is_found ? low : IMAGE_NO_BLOCK;
}

void
image_block_give(struct image *image, uint32_t index, void *block, unsigned mark)
{
    ASSERT(image_block_is_due(image, index));
    ASSERT(((uintptr_t)block & IMAGE_BLOCK_MARKS) == 0);
    image->blocks[index] = (uintptr_t)block | mark | IMAGE_BLOCK_OWNED;
    object_charge(image->memory, (int64_t)block_size(image, index));
}

void
image_block_end(struct image *image, uint32_t index)
{
    if ((image->blocks[index] & IMAGE_BLOCK_OWNED) != 0) {
        object_charge(image->memory, -(int64_t)block_size(image, index));
        heap_free(image_block(image, index));
    }
    image->blocks[index] = 0;
}

/* ---- objects ---- */

void
image_join(struct image *image, struct object *object)
{
    ASSERT(object->image == NULL);
    object->image = image;
    objects_push(&image->holders, &image->holder_count, &image->holder_capacity, object);
}

void
image_leave(struct image *image, struct object *object)
{
    uint32_t index = holder_index(image, object);
    image->holders[index] = image->holders[--image->holder_count];
    object->image = NULL;
    if (image->object == object) {
        image->object = NULL;
    }
}

void
image_move(struct image *image, const struct object *from, struct object *to)
{
    image->holders[holder_index(image, from)] = to;
    if (image->object == from) {
        image->object = to;
    }
}

void
image_take(struct image *image, struct object *object)
{
    struct object *kept = image->object;
    image_leave(image, object);
    image->object = kept;
    objects_push(&image->owned, &image->owned_count, &image->owned_capacity, object);
    object_charge(image->memory, (int64_t)object->size);
}
