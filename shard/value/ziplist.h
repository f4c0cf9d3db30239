/*
 * ziplist.h: what small values of old files and payloads are: ziplists and zipmaps, to read only.
 * Pure functions over bytes that outlive the walks: any thread.
 *
 *     uint32_t count;
 *     if (!ziplist_validate(bytes, &count)) { damaged }
 *     struct ziplist_walk walk = ziplist_walk(bytes);
 *     while (ziplist_next(&walk, &item)) { ... }
 */
#pragma once

#include "shard/value/listpack.h"

/** Are these bytes, whoever made them, a ziplist through and through? *count: its elements. */
bool ziplist_validate(struct slice bytes, uint32_t *count);

struct ziplist_walk {
    const unsigned char *at;
};

/** Over bytes that ziplist_validate() accepts. */
struct ziplist_walk ziplist_walk(struct slice bytes);
/** False: that was all. */
bool ziplist_next(struct ziplist_walk *walk, struct listpack_item *item);

/** The same for zipmaps: *count is the fields with their values. */
bool zipmap_validate(struct slice bytes, uint32_t *count);

struct zipmap_walk {
    const unsigned char *at;
};

struct zipmap_walk zipmap_walk(struct slice bytes);
/** False: that was all. */
bool zipmap_next(struct zipmap_walk *walk, struct slice *field, struct slice *value);
