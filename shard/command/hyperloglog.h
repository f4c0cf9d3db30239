/*
 * hyperloglog.h: what the files of HyperLogLog commands share: a view that holds one.
 */
#pragma once

#include "shard/call.h"
#include "shard/value/hyperloglog.h"

/** A HyperLogLog in a view, on its way to be changed. */
struct sketch {
    struct call *call;
    struct view *view;
    char *data; /* writable bytes; NULL: nothing was asked to be changed yet */
    struct slice bytes;
};

/** Is it one? An absent key is not. Replies the error. */
bool sketch_check(struct call *call, const struct view *view);

/** The sketch of a view that was checked. What is stored as an embedded string is edited at once,
 * as all that looks for changes does in redis-server. */
struct sketch sketch_open(struct call *call, struct view *view);

/** Make an empty one for an absent key. */
struct sketch sketch_create(struct call *call, struct view *view);

/** Let the bytes be writable, `size` of them. */
void sketch_edit(struct sketch *sketch, size_t size);

/** Make a sparse one dense. False: corrupt; nothing is changed. */
MUST_CHECK bool sketch_promote(struct sketch *sketch);

/** "INVALIDOBJ ...": the header is right, but what is behind it does not add up. */
void sketch_corrupt_error(struct call *call);
