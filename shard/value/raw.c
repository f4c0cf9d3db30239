#include "shard/value/raw.h"

#include <string.h>

/*
 * raw.c: large strings.
 * One block: header and bytes, so that a value is received into and sent from the place where it
 * stays. The kernel may still read a value that a client has already overwritten; such a raw is
 * pinned by the sender, counted here, and the owner of the key just lets go of it.
 *
 *     entry -> [pin_count flags size capacity | bytes ... | slack]
 *
 * Invariants: size <= capacity, and the block is as large as raw_block_size() says. What is pinned
 * is never changed.
 *
 * Rejected: reference counts for all values; only senders share a value, and only for a while.
 */

/** Appends double a string up to this slack, then add it: a large string must not waste as much
 * again. */
#define RAW_SLACK_SIZE_MAX (UINT64_C(1) << 20)

struct raw *
raw_new(struct memory *memory, uint64_t size, uint64_t capacity)
{
    ASSERT(size <= capacity);
    struct raw *raw = memory_alloc(memory, sizeof(struct raw) + capacity);
    *raw = (struct raw){.size = size, .capacity = capacity};
    return raw;
}

void
raw_delete(struct memory *memory, struct raw *raw)
{
    ASSERT((raw->flags & RAW_DELETED) == 0);
    if (raw->pin_count > 0) {
        raw->flags |= RAW_DELETED;
        return;
    }
    memory_free(memory, raw, raw_block_size(raw));
}

void
raw_unpin(struct memory *memory, struct raw *raw)
{
    ASSERT(raw->pin_count > 0);
    raw->pin_count--;
    if (raw->pin_count == 0 && (raw->flags & RAW_DELETED) != 0) {
        memory_free(memory, raw, raw_block_size(raw));
    }
}

/** Takes `raw`; what takes its place has exactly this capacity. */
static struct raw *
raw_replace(struct memory *memory, struct raw *raw, uint64_t capacity)
{
    ASSERT(capacity >= raw->size);
    struct raw *copy = raw_new(memory, raw->size, capacity);
    memcpy(copy->data, raw->data, raw->size);
    raw_delete(memory, raw);
    return copy;
}

struct raw *
raw_grow(struct memory *memory, struct raw *raw, uint64_t capacity)
{
    if (capacity <= raw->capacity) {
        return raw_writable(memory, raw);
    }
    uint64_t slack = MIN(capacity, RAW_SLACK_SIZE_MAX);
    /* The size class's own slack is room, too. */
    uint64_t room = memory_class_size(sizeof(struct raw) + capacity + slack) - sizeof(struct raw);
    return raw_replace(memory, raw, room);
}

struct raw *
raw_writable(struct memory *memory, struct raw *raw)
{
    return raw->pin_count == 0 ? raw : raw_replace(memory, raw, raw->capacity);
}

struct raw *
raw_trim(struct memory *memory, struct raw *raw)
{
    if (memory_class_size(sizeof(struct raw) + raw->size) == raw_size(raw)) {
        return raw;
    }
    return raw_replace(memory, raw, raw->size);
}
