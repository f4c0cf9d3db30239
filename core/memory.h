/*
 * memory.h: a core's own heap and the exact count of what it holds.
 * Everything that a shard stores comes from here. Callers name the size again when they free, so
 * that accounting never reads the allocator's metadata; what is counted is what the allocator
 * really takes for a size.
 */
#pragma once

#include "core/base.h"

/**
 * Owner thread only. `used_size` is the sum of memory_class_size() over all blocks
 * that live.
 */
struct memory {
    /** The core's mimalloc heap; unused where the system's allocator stands in for it. */
    void *heap;
    uint64_t used_size;
    uint64_t peak_size;
    uint64_t block_count;
};

/** The heap belongs to the calling thread, which must be the one that uses it. */
void memory_create(struct memory *memory);

/** Everything must have been given back; blocks that were not are leaked, never freed under
 * somebody's feet. */
void memory_destroy(struct memory *memory);

/**
 * What the allocator really takes for a block of `size` bytes: 8, then steps of 16 up to 128, then
 * four classes for each doubling, whole pages above 128 KiB.
 */
static inline size_t
memory_class_size(size_t size)
{
    if (size <= 8) {
        return 8;
    }
    if (size <= 128) {
        return (size + 15) & ~(size_t)15;
    }
    if (size > 131072) {
        return (size + 4095) & ~(size_t)4095;
    }
    /* Four classes for each power of two: 128 | 160 192 224 256 | 320 384 448 512 | ... */
    size_t step = (size_t)1 << (61 - __builtin_clzll((unsigned long long)(size - 1)));
    return (size + step - 1) & ~(step - 1);
}

/** Never NULL: a server without memory says so on stderr and aborts. `size` may be 0. 16-aligned
 * from 16 bytes on. */
void *memory_alloc(struct memory *memory, size_t size) __attribute__((malloc, returns_nonnull));
void *memory_alloc_zero(struct memory *memory, size_t size)
    __attribute__((malloc, returns_nonnull));

/** A block that begins on a cache line. `size` is a multiple of 64. Freed with memory_free(). */
void *memory_alloc_aligned(struct memory *memory, size_t size)
    __attribute__((malloc, returns_nonnull));

/** `size` is what was asked for at allocation. NULL is allowed. */
void memory_free(struct memory *memory, void *block, size_t size);

/** Contents up to the smaller size are kept. NULL with size 0 allocates. */
void *memory_realloc(struct memory *memory, void *block, size_t old_size, size_t new_size)
    __attribute__((returns_nonnull));

/** The same for blocks of memory_alloc_aligned(); the block stays on a cache line. Both sizes are
 * multiples of 64. */
void *memory_realloc_aligned(struct memory *memory, void *block, size_t old_size, size_t new_size)
    __attribute__((returns_nonnull));

/**
 * A block changes hands between cores without being copied: the giver stops counting it, the taker
 * counts it. Each on its own thread. The taker frees it as its own.
 */
static inline void
memory_disown(struct memory *memory, size_t size)
{
    memory->used_size -= memory_class_size(size);
    memory->block_count--;
}

static inline void
memory_adopt(struct memory *memory, size_t size)
{
    memory->used_size += memory_class_size(size);
    memory->peak_size = MAX(memory->peak_size, memory->used_size);
    memory->block_count++;
}
