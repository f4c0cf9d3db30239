/*
 * image.h: what a collection was at one instant, for somebody who writes it step by step while it
 * changes. Owner thread only: a collection with an image is not lent to be changed.
 *
 * The structures (packed.c, ztree.c ...) call what begins with image_, before they change, move or
 * free something; each of these calls stands behind one look at object.image. Who writes uses
 * codec_image_new() and codec_image_step() of codec.h, and image_delete().
 */
#pragma once

#include "persist/rdb.h"
#include "shard/value/object.h"
#include "shard/value/stream_id.h"

struct image;

/** Something is about to be written into the image's writer. */
typedef void image_room_fn(void *context);
/** Write what a part holds now. */
typedef void image_write_fn(struct image *image, uint32_t part);
/** What a piece of the image's own was is the caller's from now on. */
typedef void image_drop_fn(void *context, const struct value *value);

struct image {
    /* ---- who writes it ---- */
    struct rdb_writer *writer;
    image_room_fn *room;
    void *context;
    struct memory *memory; /* the owner's account */
    /* ---- what it is of ---- */
    uint8_t type;     /* enum value_type */
    uint8_t encoding; /* enum value_encoding */
    uint8_t record;   /* enum rdb_type: the form whose head is written */
    /** Whose parts are still to be read, and not freed by anybody else. */
    struct object *object;
    /** Those that have this image, as long as they are somebody's. */
    struct object **holders;
    uint32_t holder_count;
    uint32_t holder_capacity;
    /** Those that are the image's own: whoever had them wanted to free them. */
    struct object **owned;
    uint32_t owned_count;
    uint32_t owned_capacity;
    /** What the walk comes to next. */
    uint32_t position;
    /* ---- of parts in any order: a bit for each says whether it is written ---- */
    image_write_fn *write;
    uint32_t part_count; /* parts from here on are younger than the image */
    uint64_t *written;
    /* ---- of nodes, in their order ---- */
    uint32_t block_count;
    /** What each of them held: a pointer, and IMAGE_BLOCK_ marks. In front of `position`: nothing.
     */
    uintptr_t *blocks;
    struct stream_id *ids; /* of a stream's nodes; of a list's: NULL */
};

/** A struct quicklist_compressed; else a listpack. */
#define IMAGE_BLOCK_COMPRESSED 1U
/** Whose it was does not need it any more: it is the image's. */
#define IMAGE_BLOCK_OWNED 2U
#define IMAGE_BLOCK_MARKS 3U

/** NULL: it has none. */
static inline struct image *
object_image(const void *object)
{
    if ((((const struct object_block *)object)->mark & 1) != 0) {
        return NULL;
    }
    return ((const struct object *)object)->image;
}

/* ---- life ---- */

/** Of a collection that has none. */
struct image *image_new(const struct value *value, struct rdb_writer *writer);
/** So many blocks, which the caller fills in, and their ids. */
void image_blocks_create(struct image *image, uint32_t block_count, bool has_ids);
/** So many parts, none of them written. */
void image_parts_create(struct image *image, uint32_t part_count, image_write_fn *write);
/** Written, or not wanted any more. What is the image's own is dropped. */
void image_delete(struct image *image, image_drop_fn *drop, void *context);

/* ---- for the structures ---- */

static inline bool
image_part_is_written(const struct image *image, uint32_t part)
{
    return part >= image->part_count || (image->written[part / 64] >> (part % 64) & 1) != 0;
}

/** The part needs no writing: it is younger than the image, or written. */
static inline void
image_part_settle(struct image *image, uint32_t part)
{
    if (part < image->part_count) {
        image->written[part / 64] |= UINT64_C(1) << (part % 64);
    }
}

/** The same for all parts in front of one. */
void image_parts_settle(struct image *image, uint32_t part);

/** Write the part, which is about to be changed, unless that is done. */
void image_part_keep(struct image *image, uint32_t part);
/** A part has another number now; who had that before is gone, and was written. */
void image_part_rename(struct image *image, uint32_t from, uint32_t to);

/** The part of a collection is about to be changed. */
static inline void
object_part_keep(struct object *object, uint32_t part)
{
    if (UNLIKELY(object->image != NULL)) {
        image_part_keep(object->image, part);
    }
}

/** Another object holds parts of the same collection from now on. */
void image_join(struct image *image, struct object *object);
/** An object goes, and no part is in it. */
void image_leave(struct image *image, struct object *object);
/** An object lies elsewhere now. */
void image_move(struct image *image, const struct object *from, struct object *to);
/** Is the block of a node still to be written? */
static inline bool
image_block_is_due(const struct image *image, uint32_t index)
{
    return index >= image->position && index < image->block_count &&
           (image->blocks[index] & IMAGE_BLOCK_OWNED) == 0;
}

/** The block with an id that is still to be written, or IMAGE_NO_BLOCK. */
#define IMAGE_NO_BLOCK UINT32_MAX
uint32_t image_block_find(const struct image *image, struct stream_id id);

/** The block, which is still to be written, is the image's from now on: the node's own, or a copy
 * of that. `mark`: IMAGE_BLOCK_COMPRESSED or 0. In the owner's account. */
void image_block_give(struct image *image, uint32_t index, void *block, unsigned mark);

static inline void *
image_block(const struct image *image, uint32_t index)
{
    return (void *)(image->blocks[index] & ~(uintptr_t)IMAGE_BLOCK_MARKS);
}

/** The block has been written, or will not be. */
void image_block_end(struct image *image, uint32_t index);

/** An object is about to be freed: it is the image's own instead, in the owner's account. */
void image_take(struct image *image, struct object *object);
