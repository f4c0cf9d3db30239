/*
 * raw.h: a string in a block of its own, for values too large to lie in their entry.
 * Owner thread only. It may be pinned while the kernel sends from it: pinned bytes neither move nor
 * change, and a pinned raw that is deleted lives until its last unpin.
 */
#pragma once

#include "core/memory.h"
#include "core/slice.h"

enum raw_flags {
    /** Deleted while pinned. */
    RAW_DELETED = 1,
};

struct raw {
    uint32_t pin_count;
    uint32_t flags;
    uint64_t size;
    uint64_t capacity;
    char data[];
};

/** `size` bytes long, with room for at least `capacity` (>= size). The bytes are not set. */
struct raw *raw_new(struct memory *memory, uint64_t size, uint64_t capacity);

/** At once, or with the last unpin. */
void raw_delete(struct memory *memory, struct raw *raw);

/**
 * Room for at least `capacity` bytes, with slack for more where `capacity` is above what there is:
 * an append in a loop costs amortised O(1). Contents and size stay. Takes `raw` and returns what
 * takes its place: a pinned one is copied and deleted.
 */
struct raw *raw_grow(struct memory *memory, struct raw *raw, uint64_t capacity);

/** The caller may write: as it is when nobody pins it, else a copy that takes its place. */
struct raw *raw_writable(struct memory *memory, struct raw *raw);

/** Gives back slack. Takes `raw` and returns what takes its place. */
struct raw *raw_trim(struct memory *memory, struct raw *raw);

/** What was asked of the allocator for it. */
static inline size_t
raw_block_size(const struct raw *raw)
{
    return sizeof(struct raw) + raw->capacity;
}

/** What it takes, in bytes. */
static inline size_t
raw_size(const struct raw *raw)
{
    return memory_class_size(raw_block_size(raw));
}

static inline struct slice
raw_bytes(const struct raw *raw)
{
    return (struct slice){.data = raw->data, .size = raw->size};
}

static inline void
raw_pin(struct raw *raw)
{
    raw->pin_count++;
}

/** Frees it when it was the last pin of a deleted one. */
void raw_unpin(struct memory *memory, struct raw *raw);
