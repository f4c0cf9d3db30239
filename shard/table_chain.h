/*
 * table_chain.h: a table's buckets and what hangs behind them: for table.c and its tests only.
 *
 *     bucket: [cell cell cell cell cell cell cell | cell or link]
 *                                                          `-> run: [cell cell ... | cell or link]
 *     cell:   [0 | 15 bits of the hash | 48 bits: the entry]
 *     link:   [1 | cells of the run    | 48 bits: the run]
 */
#pragma once

#include "shard/table.h"

#include <assert.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define CELL_POINTER_MASK ((UINT64_C(1) << 48) - 1)
#define CELL_LINK (UINT64_C(1) << 63)
#define CELL_TAG_SHIFT 48
#define HASH_TAG_SHIFT 49

#define BUCKET_CELLS 8
#define BUCKET_SIZE (BUCKET_CELLS * sizeof(uint64_t))

/** A longer chain goes on in another run, so that no run is long to copy. */
#define RUN_CELLS_MAX 32

/** Entries of a split or a merge that are kept on the stack; only a hash that fails brings more
 * together. */
#define GATHER_COUNT 128

struct bucket {
    uint64_t cells[BUCKET_CELLS];
};
static_assert(sizeof(struct bucket) == CACHE_LINE_SIZE, "a bucket is a line");

/* ---- cells ---- */

static inline uint64_t
cell_of(const struct entry *entry, uint64_t hash)
{
    ASSERT_SLOW(((uintptr_t)entry & ~CELL_POINTER_MASK) == 0);
    return (uint64_t)(uintptr_t)entry | (hash >> HASH_TAG_SHIFT) << CELL_TAG_SHIFT;
}

static inline struct entry *
cell_entry(uint64_t cell)
{
    return (struct entry *)(uintptr_t)(cell & CELL_POINTER_MASK);
}

static inline bool
cell_is_link(uint64_t cell)
{
    return (cell & CELL_LINK) != 0;
}

static inline uint64_t
link_of(const uint64_t *run, unsigned count)
{
    return CELL_LINK | (uint64_t)count << CELL_TAG_SHIFT | (uint64_t)(uintptr_t)run;
}

static inline uint64_t *
link_run(uint64_t link)
{
    return (uint64_t *)(uintptr_t)(link & CELL_POINTER_MASK);
}

static inline unsigned
link_count(uint64_t link)
{
    return (unsigned)(link >> CELL_TAG_SHIFT) & 0x7fff;
}

/** Bit i: cell i has the hash's tag (or is empty and the tag is 0). */
static inline unsigned
bucket_match(const struct bucket *bucket, uint64_t hash)
{
#if defined(__SSE2__)
    const __m128i *cells = (const __m128i *)(const void *)bucket->cells;
    __m128i tag = _mm_set1_epi32((int)(hash >> HASH_TAG_SHIFT));
    /* The high halves of the cells, four at a time, shifted down to the tags. */
    __m128i low = _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(_mm_load_si128(cells)),
                                                  _mm_castsi128_ps(_mm_load_si128(cells + 1)),
                                                  _MM_SHUFFLE(3, 1, 3, 1)));
    __m128i high = _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(_mm_load_si128(cells + 2)),
                                                   _mm_castsi128_ps(_mm_load_si128(cells + 3)),
                                                   _MM_SHUFFLE(3, 1, 3, 1)));
    low = _mm_cmpeq_epi32(_mm_srli_epi32(low, 16), tag);
    high = _mm_cmpeq_epi32(_mm_srli_epi32(high, 16), tag);
    __m128i words = _mm_packs_epi32(low, high);
    return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(words, words)) & 0xff;
#else
    unsigned match = 0;
    for (unsigned i = 0; i < BUCKET_CELLS; i++) {
        match |= (unsigned)(bucket->cells[i] >> CELL_TAG_SHIFT == hash >> HASH_TAG_SHIFT) << i;
    }
    return match;
#endif
}

static inline unsigned
bucket_count_cells(const struct bucket *bucket)
{
    unsigned count = 0;
    while (count < BUCKET_CELLS && bucket->cells[count] != 0) {
        count++;
    }
    return count;
}

/** The entries of a few buckets, taken out of them. */
struct gather {
    uint64_t *cells;
    unsigned count;
    unsigned capacity;
    uint64_t local[GATHER_COUNT];
};

uint64_t *run_resize(struct memory *memory, struct table *table, uint64_t *run, unsigned old_count,
                     unsigned count);

/** Behind the last cell of a chain. */
void chain_append(struct memory *memory, struct table *table, struct bucket *bucket, uint64_t cell);

/** The cell with this entry's address; NULL where there is none. */
uint64_t *chain_cell(struct bucket *bucket, const struct entry *entry);

/** Fill the hole with the chain's last cell. */
void chain_remove(struct memory *memory, struct table *table, struct bucket *bucket,
                  uint64_t *hole);

void gather_create(struct gather *gather);

void gather_destroy(struct gather *gather, struct memory *memory);

/** Empties the bucket. */
void gather_bucket(struct gather *gather, struct memory *memory, struct table *table,
                   struct bucket *bucket);

/** Fill an empty bucket. */
void chain_fill(struct memory *memory, struct table *table, struct bucket *bucket,
                const uint64_t *cells, unsigned count);

void chain_visit(const struct bucket *bucket, table_visit_fn *visit, void *context);

/** Up to `capacity` entries of a chain; returns how many it has. */
unsigned chain_list(const struct bucket *bucket, struct entry **out, unsigned capacity);
