#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TESSERA_SYSTEM_MALLOC
#include <mimalloc.h>
#endif

/*
 * memory.c: allocation with exact books.
 * A mimalloc heap for each core, so that allocating takes no lock and no atomic; a block may be
 * freed by another thread, mimalloc hands it back to its page. The caller names a block's size when
 * it frees it, as it knows it anyway, and the books are kept by a formula that gives the
 * allocator's size classes:
 *
 *     8 | 16 32 48 64 80 96 112 128 | 160 192 224 256 | 320 384 448 512 | ... 128 KiB | whole pages
 *
 * Invariant: used_size is the sum of memory_class_size() of all live blocks; a test holds the
 * formula against mi_good_size().
 *
 * Rejected: mi_usable_size() (it reads the page's header, a cache miss for a block that nobody
 * needs any more), and mi_realloc() (it leaves a shrunken block in its old class, which the formula
 * cannot know).
 *
 * Blocks of 64-byte multiples are on cache lines by themselves as 2.0.9 lays its pages out; its
 * aligned allocation would take the next larger class for many sizes. So we ask plainly, look, and
 * only then insist.
 *
 * With TESSERA_SYSTEM_MALLOC the C library allocates, for sanitizers that want to see every block;
 * the books are the same.
 */

static _Noreturn void
memory_exhausted(size_t size)
{
    fprintf(stderr, "out of memory allocating %zu bytes\n", size);
    abort();
}

static inline void *
memory_count(struct memory *memory, void *block, size_t size)
{
    if (UNLIKELY(block == NULL)) {
        memory_exhausted(size);
    }
    memory->used_size += memory_class_size(size);
    memory->block_count++;
    if (memory->used_size > memory->peak_size) {
        memory->peak_size = memory->used_size;
    }
    return block;
}

static void
memory_uncount(struct memory *memory, size_t size)
{
    size_t class_size = memory_class_size(size);
    ASSERT(memory->used_size >= class_size);
    memory->used_size -= class_size;
    memory->block_count--;
}

#ifdef TESSERA_SYSTEM_MALLOC

void
memory_create(struct memory *memory)
{
    *memory = (struct memory){.heap = NULL};
}

void
memory_destroy(struct memory *memory)
{
    *memory = (struct memory){.heap = NULL};
}

static void *
heap_alloc(struct memory *memory, size_t size)
{
    (void)memory;
    return malloc(MAX(size, (size_t)1));
}

static void *
heap_alloc_zero(struct memory *memory, size_t size)
{
    (void)memory;
    return calloc(1, MAX(size, (size_t)1));
}

static void *
heap_alloc_aligned(struct memory *memory, size_t size)
{
    (void)memory;
    return aligned_alloc(CACHE_LINE_SIZE, size);
}

static void
heap_free(void *block)
{
    free(block);
}

#else

void
memory_create(struct memory *memory)
{
    *memory = (struct memory){.heap = mi_heap_new()};
    if (memory->heap == NULL) {
        memory_exhausted(0);
    }
}

void
memory_destroy(struct memory *memory)
{
    mi_heap_delete(memory->heap);
    *memory = (struct memory){.heap = NULL};
}

static void *
heap_alloc(struct memory *memory, size_t size)
{
    return mi_heap_malloc(memory->heap, size);
}

static void *
heap_alloc_zero(struct memory *memory, size_t size)
{
    return mi_heap_zalloc(memory->heap, size);
}

static void *
heap_alloc_aligned(struct memory *memory, size_t size)
{
    void *block = mi_heap_malloc(memory->heap, size);
    if (LIKELY(((uintptr_t)block & (CACHE_LINE_SIZE - 1)) == 0)) {
        return block;
    }
    mi_free(block);
    return mi_heap_malloc_aligned(memory->heap, size, CACHE_LINE_SIZE);
}

static void
heap_free(void *block)
{
    mi_free(block);
}

#endif

void *
memory_alloc(struct memory *memory, size_t size)
{
    return memory_count(memory, heap_alloc(memory, size), size);
}

void *
memory_alloc_zero(struct memory *memory, size_t size)
{
    return memory_count(memory, heap_alloc_zero(memory, size), size);
}

void *
memory_alloc_aligned(struct memory *memory, size_t size)
{
    ASSERT(size > 0);
    ASSERT(size % CACHE_LINE_SIZE == 0);
    return memory_count(memory, heap_alloc_aligned(memory, size), size);
}

void
memory_free(struct memory *memory, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    memory_uncount(memory, size);
    heap_free(block);
}

void *
memory_realloc(struct memory *memory, void *block, size_t old_size, size_t new_size)
{
#ifndef TESSERA_SYSTEM_MALLOC
    /* The system's allocator is used to catch overruns: there a block is exactly as large as it was
     * asked to be. */
    if (block != NULL && memory_class_size(old_size) == memory_class_size(new_size)) {
        return block;
    }
#endif
    void *new_block = memory_alloc(memory, new_size);
    if (block != NULL) {
        memcpy(new_block, block, MIN(old_size, new_size));
        memory_free(memory, block, old_size);
    }
    return new_block;
}

void *
memory_realloc_aligned(struct memory *memory, void *block, size_t old_size, size_t new_size)
{
    if (block != NULL && old_size == new_size) {
        return block;
    }
    void *new_block = memory_alloc_aligned(memory, new_size);
    if (block != NULL) {
        memcpy(new_block, block, MIN(old_size, new_size));
        memory_free(memory, block, old_size);
    }
    return new_block;
}
