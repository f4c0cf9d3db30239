/*
 * heap.h: plain memory that no account counts: buffers of connections, parsers and replies.
 * Any thread may free what another one allocated. Nothing here answers NULL: a process that cannot
 * get a few bytes for a reply cannot say so either, so exhaustion ends it.
 * What stores data goes through core/memory.h instead, which counts.
 */
#pragma once

#include "core/base.h"

#ifdef TESSERA_SYSTEM_MALLOC
#include <stdlib.h>
#include <string.h>
#else
#include <mimalloc.h>
#endif

/** mimalloc's own default. */
#define HEAP_PURGE_DELAY_MS 25

/** At least `size` bytes, uninitialised, aligned for any type. Never NULL, aborts on exhaustion. */
static inline void *
heap_alloc(size_t size)
{
#ifdef TESSERA_SYSTEM_MALLOC
    void *memory = malloc(size == 0 ? 1 : size);
#else
    void *memory = mi_malloc(size);
#endif
    ASSERT(memory != NULL);
    return memory;
}

/** `count` times `size` bytes, all zero, on cache lines of their own. Never NULL; for heap_free().
 */
static inline void *
heap_alloc_lines(size_t count, size_t size)
{
    ASSERT(size > 0 && count <= (SIZE_MAX / 2) / size);
    size_t rounded = (count * size + CACHE_LINE_SIZE - 1) / CACHE_LINE_SIZE * CACHE_LINE_SIZE;
    rounded = MAX(rounded, (size_t)CACHE_LINE_SIZE);
#ifdef TESSERA_SYSTEM_MALLOC
    void *memory = aligned_alloc(CACHE_LINE_SIZE, rounded);
    ASSERT(memory != NULL);
    memset(memory, 0, rounded);
#else
    void *memory = mi_zalloc_aligned(rounded, CACHE_LINE_SIZE);
    ASSERT(memory != NULL);
#endif
    return memory;
}

/** Give pages that become free back to the system with the call that frees them, or (the usual
 * way) in larger runs after a while: those may take milliseconds in whatever turn they fall. For
 * all threads; a hint. */
static inline void
heap_purge_at_once(bool is_at_once)
{
#ifdef TESSERA_SYSTEM_MALLOC
    (void)is_at_once;
#elif MI_MALLOC_VERSION >= 210
    mi_option_set(mi_option_purge_delay, is_at_once ? 0 : HEAP_PURGE_DELAY_MS);
#else
    mi_option_set(mi_option_decommit_delay, is_at_once ? 0 : HEAP_PURGE_DELAY_MS);
#endif
}

/** Give all wholly free pages of this thread back to the system now: as long as that takes. */
static inline void
heap_give_back(void)
{
#ifndef TESSERA_SYSTEM_MALLOC
    mi_collect(true);
#endif
}

/** NULL is nothing to free. Any thread. */
static inline void
heap_free(void *memory)
{
#ifdef TESSERA_SYSTEM_MALLOC
    free(memory);
#else
    mi_free(memory);
#endif
}

/** As realloc(), but never NULL: aborts on exhaustion. `memory` may be NULL. */
static inline void *
heap_realloc(void *memory, size_t size)
{
#ifdef TESSERA_SYSTEM_MALLOC
    memory = realloc(memory, size == 0 ? 1 : size);
#else
    memory = mi_realloc(memory, size);
#endif
    ASSERT(memory != NULL);
    return memory;
}
