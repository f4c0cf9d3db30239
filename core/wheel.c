#include "core/wheel.h"

#include <assert.h>
#include <string.h>

/*
 * wheel.c: nine rings of 256 buckets, each level 128 times as coarse as the one inside it.
 *
 *     level 2: 16.4 s [. k . .]  ->  level 1: 128 ms [. . k .]  ->  level 0: 1 ms [k . . .]  -> due
 *
 * The tick of a level is the time shifted right by 7 bits for each level; a node goes to the finest
 * level whose ring reaches its deadline: fewer than 256 ticks away. A ring is twice as long as the
 * ratio to the next level, so the next bucket of a coarse level always fits into the finer one as a
 * whole, from a full window before it comes up. It is moved in during that window with steps that
 * are left over (the soft move) and only what is not moved by the end of it is moved with priority
 * (the hard move). So a bucket with a million far deadlines does not hold up the near ones.
 *
 * A bucket is a stack of chunks with 63 node pointers; only the top chunk is partly filled. A node
 * keeps its place, which is chunk number and index, so that removal swaps it with the last node of
 * its bucket:
 *
 *     bucket -> [next | n n n . . .] -> [next | n n n n n n] -> [0 | n n n n n n]
 *
 * Chunks come from blocks of 64 KiB; a block that falls empty goes back to the allocator, but for a
 * spare one.
 *
 * Invariants: no bucket of a tick before its level's present one holds a node; at most one ring,
 * the old one, is placed by another time: when the clock is set back by more than a second
 * everything moves from it into a fresh ring step by step. A smaller step back is waited for.
 *
 * Rejected: linked lists (two pointers more in each entry, and a cache miss for both neighbours at
 * removal), a heap (DEL and PERSIST are as common as expiry), and sampling (dead keys stay).
 */

#define WHEEL_CHUNK_NODES 63
#define WHEEL_BLOCK_CHUNKS 128
#define WHEEL_NO_CHUNK UINT32_MAX
#define WHEEL_NO_BLOCK UINT32_MAX
#define WHEEL_INDEX_MASK (WHEEL_BUCKET_COUNT - 1)
#define WHEEL_RING_BUCKETS (WHEEL_LEVEL_COUNT * WHEEL_BUCKET_COUNT)
#define WHEEL_WORDS (WHEEL_BUCKET_COUNT / 64)

/** Steps back that are waited for: clock discipline makes such; moving all nodes would cost more.
 */
#define WHEEL_BACK_MS_MAX 1000

/** How many nodes ahead of the present one are brought into the cache. */
#define WHEEL_PREFETCH_DISTANCE 8

struct wheel_chunk {
    /** The chunk below it in its bucket, or the next free one in its block. */
    uint32_t next;
    uint32_t bucket;
    struct wheel_node *nodes[WHEEL_CHUNK_NODES];
};
static_assert(sizeof(struct wheel_chunk) == 512, "blocks are 64 KiB");

struct wheel_block {
    /** NULL: this number is not in use. */
    struct wheel_chunk *chunks;
    uint32_t next;
    uint32_t previous;
    /** Chunks that were given back, as a list of indexes; those from touched_count on were never
     * used. */
    uint32_t free_chunk;
    uint16_t used_count;
    uint16_t touched_count;
};

struct wheel_bucket {
    uint32_t chunk;
    /** Nodes in the top chunk. */
    uint32_t count;
};

struct wheel_ring {
    /** All before this is done. */
    int64_t now_ms;
    uint64_t count;
    /** 0, or WHEEL_RING_BUCKETS for the other ring: what chunks call their bucket starts here. */
    uint32_t bucket_base;
    uint64_t occupied[WHEEL_LEVEL_COUNT][WHEEL_WORDS];
    struct wheel_bucket buckets[WHEEL_RING_BUCKETS];
};

/* ---- chunks and blocks ---- */

static struct wheel_chunk *
chunk_at(const struct wheel *wheel, uint32_t chunk)
{
    return &wheel->blocks[chunk / WHEEL_BLOCK_CHUNKS].chunks[chunk % WHEEL_BLOCK_CHUNKS];
}

static void
block_link(struct wheel *wheel, uint32_t index)
{
    struct wheel_block *block = &wheel->blocks[index];
    block->previous = WHEEL_NO_BLOCK;
    block->next = wheel->partial_block;
    if (block->next != WHEEL_NO_BLOCK) {
        wheel->blocks[block->next].previous = index;
    }
    wheel->partial_block = index;
}

static void
block_unlink(struct wheel *wheel, uint32_t index)
{
    struct wheel_block *block = &wheel->blocks[index];
    if (block->previous == WHEEL_NO_BLOCK) {
        wheel->partial_block = block->next;
    } else {
        wheel->blocks[block->previous].next = block->next;
    }
    if (block->next != WHEEL_NO_BLOCK) {
        wheel->blocks[block->next].previous = block->previous;
    }
}

/** A new block at the head of those with free chunks. */
static void
block_add(struct wheel *wheel)
{
    uint32_t index = wheel->unused_block;
    if (index != WHEEL_NO_BLOCK) {
        wheel->unused_block = wheel->blocks[index].next;
    } else {
        if (wheel->block_count == wheel->block_capacity) {
            uint32_t capacity = MAX(wheel->block_capacity * 2, 4U);
            ASSERT(capacity <= (1U << 26) / WHEEL_BLOCK_CHUNKS);
            wheel->blocks = memory_realloc(wheel->memory, wheel->blocks,
                                           wheel->block_capacity * sizeof(struct wheel_block),
                                           capacity * sizeof(struct wheel_block));
            wheel->block_capacity = capacity;
        }
        index = wheel->block_count++;
    }
    wheel->blocks[index] =
        (struct wheel_block){.chunks = memory_alloc_aligned(
                                 wheel->memory, WHEEL_BLOCK_CHUNKS * sizeof(struct wheel_chunk)),
                             .free_chunk = WHEEL_NO_CHUNK};
    wheel->empty_block_count++;
    block_link(wheel, index);
}

static void
block_delete(struct wheel *wheel, uint32_t index)
{
    struct wheel_block *block = &wheel->blocks[index];
    block_unlink(wheel, index);
    memory_free(wheel->memory, block->chunks, WHEEL_BLOCK_CHUNKS * sizeof(struct wheel_chunk));
    block->chunks = NULL;
    block->next = wheel->unused_block;
    wheel->unused_block = index;
    wheel->empty_block_count--;
}

static uint32_t
chunk_new(struct wheel *wheel)
{
    if (wheel->partial_block == WHEEL_NO_BLOCK) {
        block_add(wheel);
    }
    uint32_t index = wheel->partial_block;
    struct wheel_block *block = &wheel->blocks[index];
    uint32_t chunk = block->free_chunk;
    if (chunk != WHEEL_NO_CHUNK) {
        block->free_chunk = block->chunks[chunk].next;
    } else {
        chunk = block->touched_count++;
    }
    wheel->empty_block_count -= block->used_count == 0;
    if (++block->used_count == WHEEL_BLOCK_CHUNKS) {
        block_unlink(wheel, index);
    }
    return index * WHEEL_BLOCK_CHUNKS + chunk;
}

static void
chunk_delete(struct wheel *wheel, uint32_t chunk)
{
    uint32_t index = chunk / WHEEL_BLOCK_CHUNKS;
    struct wheel_block *block = &wheel->blocks[index];
    ASSERT(block->used_count > 0);
    block->chunks[chunk % WHEEL_BLOCK_CHUNKS].next = block->free_chunk;
    block->free_chunk = chunk % WHEEL_BLOCK_CHUNKS;
    if (block->used_count-- == WHEEL_BLOCK_CHUNKS) {
        block_link(wheel, index);
    }
    if (block->used_count == 0) {
        wheel->empty_block_count++;
        if (wheel->empty_block_count > 1) {
            block_delete(wheel, index);
        }
    }
}

/* ---- buckets ---- */

static struct wheel_ring *
ring_new(struct wheel *wheel, uint32_t bucket_base, int64_t now_ms)
{
    struct wheel_ring *ring = memory_alloc_zero(wheel->memory, sizeof(struct wheel_ring));
    ring->now_ms = now_ms;
    ring->bucket_base = bucket_base;
    for (uint32_t i = 0; i < WHEEL_RING_BUCKETS; i++) {
        ring->buckets[i].chunk = WHEEL_NO_CHUNK;
    }
    return ring;
}

static int64_t
ring_tick(const struct wheel_ring *ring, unsigned level)
{
    return ring->now_ms >> (level * WHEEL_LEVEL_BITS);
}

static bool
ring_is_occupied(const struct wheel_ring *ring, unsigned level, int64_t tick)
{
    unsigned index = (unsigned)tick & WHEEL_INDEX_MASK;
    return (ring->occupied[level][index / 64] >> (index % 64) & 1) != 0;
}

/** Which bucket a deadline belongs to at the ring's present time. */
static uint32_t
ring_place(const struct wheel_ring *ring, int64_t deadline_ms)
{
    int64_t deadline = MAX(deadline_ms, ring->now_ms);
    int64_t distance = deadline - ring->now_ms;
    unsigned level = 0;
    if (distance >= WHEEL_BUCKET_COUNT) {
        /* The level that fits by size alone; rounding of both ends can make it one more. */
        unsigned bits = 64 - (unsigned)__builtin_clzll((unsigned long long)distance);
        level = (bits - (WHEEL_LEVEL_BITS + 1) + WHEEL_LEVEL_BITS - 1) / WHEEL_LEVEL_BITS;
        level = MIN(level, (unsigned)WHEEL_LEVEL_COUNT - 1);
        if ((deadline >> (level * WHEEL_LEVEL_BITS)) - ring_tick(ring, level) >=
            WHEEL_BUCKET_COUNT) {
            level++;
        }
    }
    ASSERT_SLOW(level < WHEEL_LEVEL_COUNT);
    unsigned index = (unsigned)(deadline >> (level * WHEEL_LEVEL_BITS)) & WHEEL_INDEX_MASK;
    return level * WHEEL_BUCKET_COUNT + index;
}

static void
bucket_push(struct wheel *wheel, struct wheel_ring *ring, uint32_t bucket_index,
            struct wheel_node *node)
{
    struct wheel_bucket *bucket = &ring->buckets[bucket_index];
    if (bucket->chunk == WHEEL_NO_CHUNK || bucket->count == WHEEL_CHUNK_NODES) {
        uint32_t chunk_number = chunk_new(wheel);
        struct wheel_chunk *chunk = chunk_at(wheel, chunk_number);
        chunk->next = bucket->chunk;
        chunk->bucket = ring->bucket_base + bucket_index;
        if (bucket->chunk == WHEEL_NO_CHUNK) {
            unsigned index = bucket_index % WHEEL_BUCKET_COUNT;
            ring->occupied[bucket_index / WHEEL_BUCKET_COUNT][index / 64] |= UINT64_C(1)
                                                                             << (index % 64);
        }
        bucket->chunk = chunk_number;
        bucket->count = 0;
    }
    node->place = bucket->chunk * 64 + bucket->count;
    chunk_at(wheel, bucket->chunk)->nodes[bucket->count++] = node;
    ring->count++;
    wheel->count++;
}

/** The last node of a bucket that has one, out of it. */
static struct wheel_node *
bucket_pop(struct wheel *wheel, struct wheel_ring *ring, uint32_t bucket_index)
{
    struct wheel_bucket *bucket = &ring->buckets[bucket_index];
    uint32_t chunk_number = bucket->chunk;
    struct wheel_chunk *chunk = chunk_at(wheel, chunk_number);
    ASSERT(bucket->count > 0);
    struct wheel_node *node = chunk->nodes[--bucket->count];
    if (bucket->count == 0) {
        bucket->chunk = chunk->next;
        bucket->count = WHEEL_CHUNK_NODES;
        if (bucket->chunk == WHEEL_NO_CHUNK) {
            unsigned index = bucket_index % WHEEL_BUCKET_COUNT;
            ring->occupied[bucket_index / WHEEL_BUCKET_COUNT][index / 64] &=
                ~(UINT64_C(1) << (index % 64));
        }
        chunk_delete(wheel, chunk_number);
    }
    node->place = WHEEL_NOWHERE;
    ring->count--;
    wheel->count--;
    return node;
}

/** For loops that empty a bucket: its nodes lie all over the memory. */
static void
bucket_prefetch(const struct wheel *wheel, const struct wheel_ring *ring, uint32_t bucket_index)
{
    const struct wheel_bucket *bucket = &ring->buckets[bucket_index];
    if (bucket->count > WHEEL_PREFETCH_DISTANCE) {
        const struct wheel_chunk *chunk = chunk_at(wheel, bucket->chunk);
        __builtin_prefetch(chunk->nodes[bucket->count - 1 - WHEEL_PREFETCH_DISTANCE], 1);
    }
}

/** How many ticks after `tick` the level's next occupied bucket comes; -1: the others are empty. */
static int
ring_distance(const struct wheel_ring *ring, unsigned level, int64_t tick)
{
    unsigned start = (unsigned)(tick + 1) & WHEEL_INDEX_MASK;
    const uint64_t *words = ring->occupied[level];
    for (unsigned i = 0; i <= WHEEL_WORDS; i++) {
        unsigned word_index = (start / 64 + i) % WHEEL_WORDS;
        uint64_t word = words[word_index];
        if (i == 0) {
            word &= ~UINT64_C(0) << (start % 64);
        } else if (i == WHEEL_WORDS) {
            word &= ~(~UINT64_C(0) << (start % 64));
        }
        if (word != 0) {
            unsigned index = word_index * 64 + (unsigned)__builtin_ctzll(word);
            unsigned distance = ((index - start) & WHEEL_INDEX_MASK) + 1;
            return distance == WHEEL_BUCKET_COUNT ? -1 : (int)distance;
        }
    }
    return -1;
}

/** When the next bucket comes up, on whatever level; INT64_MAX: never. */
static int64_t
ring_event_ms(const struct wheel_ring *ring)
{
    int64_t event_ms = INT64_MAX;
    for (unsigned level = 0; level < WHEEL_LEVEL_COUNT; level++) {
        int64_t tick = ring_tick(ring, level);
        int distance = ring_distance(ring, level, tick);
        if (distance > 0) {
            event_ms = MIN(event_ms, (tick + distance) << (level * WHEEL_LEVEL_BITS));
        }
    }
    return event_ms;
}

/* ---- the wheel ---- */

void
wheel_create(struct wheel *wheel, struct memory *memory, int64_t now_ms)
{
    ASSERT(now_ms >= 0);
    *wheel = (struct wheel){.memory = memory,
                            .target_ms = now_ms,
                            .partial_block = WHEEL_NO_BLOCK,
                            .unused_block = WHEEL_NO_BLOCK};
    wheel->ring = ring_new(wheel, 0, now_ms);
}

void
wheel_destroy(struct wheel *wheel)
{
    for (uint32_t i = 0; i < wheel->block_count; i++) {
        memory_free(wheel->memory, wheel->blocks[i].chunks,
                    WHEEL_BLOCK_CHUNKS * sizeof(struct wheel_chunk));
    }
    memory_free(wheel->memory, wheel->blocks, wheel->block_capacity * sizeof(struct wheel_block));
    memory_free(wheel->memory, wheel->ring, sizeof(struct wheel_ring));
    memory_free(wheel->memory, wheel->old_ring, sizeof(struct wheel_ring));
    *wheel = (struct wheel){.memory = NULL};
}

void
wheel_add(struct wheel *wheel, struct wheel_node *node)
{
    ASSERT(node->place == WHEEL_NOWHERE);
    bucket_push(wheel, wheel->ring, ring_place(wheel->ring, node->deadline_ms), node);
}

void
wheel_remove(struct wheel *wheel, struct wheel_node *node)
{
    if (node->place == WHEEL_NOWHERE) {
        return;
    }
    struct wheel_chunk *chunk = chunk_at(wheel, node->place / 64);
    struct wheel_ring *ring = wheel->ring;
    uint32_t bucket_index = chunk->bucket - ring->bucket_base;
    if (bucket_index >= WHEEL_RING_BUCKETS) {
        ring = wheel->old_ring;
        bucket_index = chunk->bucket - ring->bucket_base;
    }
    uint32_t place = node->place;
    ASSERT(chunk->nodes[place % 64] == node);
    struct wheel_node *last = bucket_pop(wheel, ring, bucket_index);
    if (last != node) {
        chunk->nodes[place % 64] = last;
        last->place = place;
        node->place = WHEEL_NOWHERE;
    }
}

void
wheel_relocate(struct wheel *wheel, const struct wheel_node *old_node, struct wheel_node *new_node)
{
    uint32_t place = old_node->place;
    new_node->place = place;
    if (place != WHEEL_NOWHERE) {
        struct wheel_chunk *chunk = chunk_at(wheel, place / 64);
        ASSERT(chunk->nodes[place % 64] == old_node);
        chunk->nodes[place % 64] = new_node;
    }
}

/** Move nodes of one bucket to where they belong now, at most `step_count_max`. */
static uint32_t
wheel_cascade(struct wheel *wheel, struct wheel_ring *from, uint32_t bucket_index,
              uint32_t step_count_max)
{
    uint32_t step_count = 0;
    while (step_count < step_count_max && from->buckets[bucket_index].chunk != WHEEL_NO_CHUNK) {
        bucket_prefetch(wheel, from, bucket_index);
        struct wheel_node *node = bucket_pop(wheel, from, bucket_index);
        bucket_push(wheel, wheel->ring, ring_place(wheel->ring, node->deadline_ms), node);
        step_count++;
    }
    return step_count;
}

/** On all levels but the finest, the bucket `ahead` ticks from now: moved inward. */
static uint32_t
wheel_cascade_all(struct wheel *wheel, int64_t ahead, uint32_t step_count_max)
{
    struct wheel_ring *ring = wheel->ring;
    uint32_t step_count = 0;
    for (unsigned level = WHEEL_LEVEL_COUNT - 1; level > 0; level--) {
        int64_t tick = ring_tick(ring, level) + ahead;
        if (ring_is_occupied(ring, level, tick)) {
            uint32_t bucket = level * WHEEL_BUCKET_COUNT + ((uint32_t)tick & WHEEL_INDEX_MASK);
            step_count += wheel_cascade(wheel, ring, bucket, step_count_max - step_count);
        }
    }
    return step_count;
}

/** The nodes of the present millisecond. */
static uint32_t
wheel_fire(struct wheel *wheel, uint32_t step_count_max, wheel_due_fn *due, void *context)
{
    struct wheel_ring *ring = wheel->ring;
    uint32_t bucket = (uint32_t)ring->now_ms & WHEEL_INDEX_MASK;
    uint32_t step_count = 0;
    while (step_count < step_count_max && ring->buckets[bucket].chunk != WHEEL_NO_CHUNK) {
        bucket_prefetch(wheel, ring, bucket);
        due(context, bucket_pop(wheel, ring, bucket));
        step_count++;
    }
    return step_count;
}

/** Everything out of the ring that was placed by the time before the clock was set back. */
static uint32_t
wheel_drain(struct wheel *wheel, uint32_t step_count_max)
{
    struct wheel_ring *old_ring = wheel->old_ring;
    uint32_t step_count = 0;
    for (uint32_t i = 0; i < WHEEL_RING_BUCKETS && step_count < step_count_max; i++) {
        step_count += wheel_cascade(wheel, old_ring, i, step_count_max - step_count);
    }
    if (old_ring->count == 0) {
        memory_free(wheel->memory, old_ring, sizeof(struct wheel_ring));
        wheel->old_ring = NULL;
    }
    return step_count;
}

/** The clock was set back. */
static void
wheel_set_back(struct wheel *wheel, int64_t now_ms)
{
    struct wheel_ring *ring = wheel->ring;
    if (ring->count == 0) {
        ring->now_ms = now_ms;
    } else if (wheel->old_ring == NULL && now_ms < ring->now_ms - WHEEL_BACK_MS_MAX) {
        wheel->old_ring = ring;
        wheel->ring = ring_new(wheel, WHEEL_RING_BUCKETS - ring->bucket_base, now_ms);
    }
}

uint32_t
wheel_advance(struct wheel *wheel, int64_t now_ms, uint32_t step_count_max, wheel_due_fn *due,
              void *context)
{
    ASSERT(now_ms >= 0);
    wheel->target_ms = now_ms;
    if (UNLIKELY(now_ms < wheel->ring->now_ms)) {
        wheel_set_back(wheel, now_ms);
    }
    uint32_t step_count = 0;
    if (UNLIKELY(wheel->old_ring != NULL)) {
        step_count += wheel_drain(wheel, step_count_max);
    }
    struct wheel_ring *ring = wheel->ring;
    if (ring->now_ms > now_ms) {
        return step_count;
    }
    while (step_count < step_count_max) {
        step_count += wheel_cascade_all(wheel, 0, step_count_max - step_count);
        step_count += wheel_fire(wheel, step_count_max - step_count, due, context);
        if (step_count == step_count_max) {
            break;
        }
        if (ring->now_ms == now_ms) {
            step_count += wheel_cascade_all(wheel, 1, step_count_max - step_count);
            break;
        }
        ring->now_ms = MIN(ring_event_ms(ring), now_ms);
    }
    return step_count;
}

bool
wheel_is_behind(const struct wheel *wheel)
{
    const struct wheel_ring *ring = wheel->ring;
    if (wheel->old_ring != NULL) {
        return true;
    }
    if (ring->count == 0 || ring->now_ms > wheel->target_ms) {
        return false;
    }
    if (ring->now_ms < wheel->target_ms) {
        return true;
    }
    for (unsigned level = 0; level < WHEEL_LEVEL_COUNT; level++) {
        if (ring_is_occupied(ring, level, ring_tick(ring, level))) {
            return true;
        }
    }
    return false;
}

int64_t
wheel_next_ms(const struct wheel *wheel)
{
    const struct wheel_ring *ring = wheel->ring;
    if (wheel->count == 0) {
        return INT64_MAX;
    }
    if (wheel_is_behind(wheel)) {
        return wheel->target_ms;
    }
    if (ring_is_occupied(ring, 0, ring->now_ms)) {
        /* Waits for the clock that was set back a little. */
        return ring->now_ms;
    }
    int64_t next_ms = INT64_MAX;
    for (unsigned level = 0; level < WHEEL_LEVEL_COUNT; level++) {
        int64_t tick = ring_tick(ring, level);
        int distance = ring_distance(ring, level, tick);
        if (distance > 0) {
            /* Coarse buckets may move in from one tick ahead: no hurry, but with the next
             * millisecond. */
            int64_t event_ms = (tick + distance - (level > 0)) << (level * WHEEL_LEVEL_BITS);
            next_ms = MIN(next_ms, MAX(event_ms, ring->now_ms + 1));
        }
    }
    return next_ms;
}
