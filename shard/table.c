#include "shard/table.h"

#include "shard/table_chain.h"

/*
 * table.c: linear hashing over buckets of one cache line.
 *
 *     bucket: [cell cell cell cell cell cell cell | cell or link]
 *                                                          `-> run: [cell cell ... | cell or link]
 *
 * Cells are packed to the front. A bucket with more than eight entries gives its last cell to a
 * link, behind which lies a run: an array that is exactly as long as it must be, so that crowded
 * buckets cost no half-empty second bucket; that is what lets tables be fuller than their buckets
 * are long. A lookup reads a bucket, and for about one key in four a run.
 *
 * Bucket i is for hashes whose low bits are i. With 2^L + s buckets, the first s have been split by
 * one more bit:
 *
 *     buckets 0 .. s-1 and 2^L .. 2^L+s-1: L+1 bits of the hash;     s .. 2^L-1: L bits
 *
 * Inserting above the load splits bucket s into s and 2^L + s; removing below it merges them. So
 * each step touches two buckets, however large the table. Room for buckets comes in the allocator's
 * size classes and is filled once it is there: a small table is one array that is reallocated class
 * by class, a large one a directory of segments of 64 KiB of which the last grows like a small
 * table. (The directory is an array too, and copied when it outgrows its class: 43 KB at 50M keys,
 * 0.9 MB at a billion.) Up to eight entries there is no bucket at all: the root is a run.
 *
 * A scan walks the hashes in the order of their reversed bits. There a bucket is an interval, a
 * split halves an interval and a merge joins two, so that a position stays good whatever happens
 * between two calls.
 *
 * Invariants: each entry lies in the bucket of its hash; no empty cell before a full one; a run has
 * at least two cells, so that unlinking never leaves a link to one.
 *
 * Rejected: cuckoo placing (fuller still, but an entry has two places and a scan misses those that
 * change theirs), chained overflow buckets of a line (half empty), doubling (a turn's worth of
 * copying).
 */

#define SEGMENT_BUCKETS 1024
#define SEGMENT_SIZE (SEGMENT_BUCKETS * BUCKET_SIZE)

/** From so many buckets on the last segment is allocated whole: at most 1/16 of the table is room
 * to grow. */
#define WHOLE_SEGMENTS_MIN (16 * SEGMENT_BUCKETS)

/** The first piece of a segment in a smaller table. */
#define SEGMENT_BUCKETS_FIRST 64

/** Entries a bucket: more make room, fewer give it up; between the others nothing moves. Measured:
 * bench/micro_table. */
#define LOAD_GROW 9
#define LOAD_FILL_NUM 27   /* 6.75: room that is there is filled while above this */
#define LOAD_SHRINK_NUM 25 /* 6.25 */
#define LOAD_DEN 4

/* ---- buckets ---- */

/** The largest power of two <= bucket_count (> 0). */
static inline uint32_t
table_level_count(const struct table *table)
{
    return UINT32_C(1) << (31 - __builtin_clz(table->bucket_count));
}

static inline uint32_t
table_bucket_index(const struct table *table, uint64_t hash)
{
    uint32_t mask = (uint32_t)(UINT64_MAX >> __builtin_clzll(table->bucket_count));
    uint32_t index = (uint32_t)hash & mask;
    return index < table->bucket_count ? index : index & (mask >> 1);
}

static inline bool
table_is_segmented(const struct table *table)
{
    return table->bucket_capacity > SEGMENT_BUCKETS;
}

static inline struct bucket *
table_bucket(const struct table *table, uint32_t index)
{
    struct bucket *buckets = table->root;
    if (UNLIKELY(table_is_segmented(table))) {
        buckets = ((struct bucket **)table->root)[index / SEGMENT_BUCKETS];
        index %= SEGMENT_BUCKETS;
    }
    return &buckets[index];
}

/** The hash bits that decide about bucket `index`. */
static unsigned
table_depth(const struct table *table, uint32_t index)
{
    uint32_t level_count = table_level_count(table);
    unsigned level = 31 - (unsigned)__builtin_clz(table->bucket_count);
    bool is_split = index >= level_count || index < table->bucket_count - level_count;
    return level + is_split;
}

static uint32_t
segment_count_of(uint32_t capacity)
{
    return (uint32_t)(((uint64_t)capacity + SEGMENT_BUCKETS - 1) / SEGMENT_BUCKETS);
}

/** Buckets in the last segment of a table of this capacity (> 0). */
static uint32_t
segment_last_of(uint32_t capacity)
{
    return (capacity - 1) % SEGMENT_BUCKETS + 1;
}

/** The next larger array of buckets that fills its size class. */
static uint32_t
segment_step_up(uint32_t bucket_count)
{
    return (uint32_t)(memory_class_size((bucket_count + 1) * BUCKET_SIZE) / BUCKET_SIZE);
}

static uint32_t
segment_step_down(uint32_t bucket_count)
{
    if (bucket_count <= 8) {
        return bucket_count - 1;
    }
    size_t size = bucket_count * BUCKET_SIZE;
    size_t step = (size_t)1 << (61 - __builtin_clzll(size - 1));
    ASSERT_SLOW(memory_class_size(size) == size);
    return (uint32_t)((size - step) / BUCKET_SIZE);
}

static uint32_t
capacity_above(uint32_t capacity)
{
    uint32_t rest = capacity % SEGMENT_BUCKETS;
    if (rest == 0 && capacity >= WHOLE_SEGMENTS_MIN) {
        return capacity + SEGMENT_BUCKETS;
    }
    if (rest == 0 && capacity > 0) {
        return capacity + SEGMENT_BUCKETS_FIRST;
    }
    return capacity - rest + segment_step_up(rest);
}

static uint32_t
capacity_below(uint32_t capacity)
{
    uint32_t last = segment_last_of(capacity);
    if (capacity > WHOLE_SEGMENTS_MIN) {
        return capacity - last;
    }
    if (capacity > SEGMENT_BUCKETS && last <= SEGMENT_BUCKETS_FIRST) {
        return capacity - last;
    }
    return capacity - last + segment_step_down(last);
}

static void
directory_resize(struct memory *memory, struct table *table, uint32_t old_count, uint32_t count)
{
    if (old_count <= 1 && count > 1) {
        struct bucket **directory = memory_alloc(memory, count * sizeof(*directory));
        directory[0] = table->root;
        table->root = directory;
    } else if (old_count > 1 && count <= 1) {
        struct bucket **directory = table->root;
        table->root = directory[0];
        memory_free(memory, directory, old_count * sizeof(*directory));
    } else if (count > 1) {
        table->root = memory_realloc(memory, table->root, old_count * sizeof(struct bucket *),
                                     count * sizeof(struct bucket *));
    }
}

/** One step up or down, or to 0. Buckets that come in are empty; those that go must be. */
static void
capacity_set(struct memory *memory, struct table *table, uint32_t capacity)
{
    uint32_t old_count = segment_count_of(table->bucket_capacity);
    uint32_t count = segment_count_of(capacity);
    uint32_t old_last = count >= old_count && old_count > 0 && count == old_count
                            ? segment_last_of(table->bucket_capacity)
                            : 0;
    if (count < old_count) {
        uint32_t index = old_count - 1;
        struct bucket *gone = old_count > 1 ? ((struct bucket **)table->root)[index] : table->root;
        memory_free(memory, gone, segment_last_of(table->bucket_capacity) * BUCKET_SIZE);
        directory_resize(memory, table, old_count, count);
        table->bucket_capacity = capacity;
        return;
    }
    directory_resize(memory, table, old_count, count);
    uint32_t last = segment_last_of(capacity);
    struct bucket **place = count > 1 ? &((struct bucket **)table->root)[count - 1]
                                      : (struct bucket **)(void *)&table->root;
    struct bucket *segment = old_last > 0 ? *place : NULL;
    segment = memory_realloc_aligned(memory, segment, old_last * BUCKET_SIZE, last * BUCKET_SIZE);
    if (last > old_last) {
        memset(segment + old_last, 0, (last - old_last) * BUCKET_SIZE);
    }
    *place = segment;
    table->bucket_capacity = capacity;
}

/* ---- growing and shrinking ---- */

static void
table_split(struct memory *memory, struct table *table, uint64_t hash_seed)
{
    uint32_t level_count = table_level_count(table);
    uint32_t target = table->bucket_count;
    uint32_t source = target - level_count;
    struct gather gather;
    gather_create(&gather);
    struct bucket *bucket = table_bucket(table, source);
    gather_bucket(&gather, memory, table, bucket);
    for (unsigned i = 0; i < gather.count; i++) {
        __builtin_prefetch(cell_entry(gather.cells[i]));
    }
    /* Those that stay to the front, those that go behind them. */
    unsigned stay_count = gather.count;
    for (unsigned i = 0; i < stay_count;) {
        uint64_t cell = gather.cells[i];
        if ((entry_hash(cell_entry(cell), hash_seed) & level_count) == 0) {
            i++;
        } else {
            gather.cells[i] = gather.cells[--stay_count];
            gather.cells[stay_count] = cell;
        }
    }
    table->bucket_count++;
    chain_fill(memory, table, bucket, gather.cells, stay_count);
    chain_fill(memory, table, table_bucket(table, target), gather.cells + stay_count,
               gather.count - stay_count);
    gather_destroy(&gather, memory);
}

static void
table_merge(struct memory *memory, struct table *table)
{
    uint32_t source = table->bucket_count - 1;
    table->bucket_count = source;
    uint32_t target = source - table_level_count(table);
    struct gather gather;
    gather_create(&gather);
    struct bucket *bucket = table_bucket(table, target);
    gather_bucket(&gather, memory, table, bucket);
    gather_bucket(&gather, memory, table, table_bucket(table, source));
    chain_fill(memory, table, bucket, gather.cells, gather.count);
    gather_destroy(&gather, memory);
}

/** The run of a tiny table becomes its first bucket. */
static void
table_unfold(struct memory *memory, struct table *table)
{
    uint64_t *run = table->root;
    unsigned count = (unsigned)table->count;
    table->root = NULL;
    capacity_set(memory, table, 1);
    table->bucket_count = 1;
    memcpy(table_bucket(table, 0)->cells, run, count * sizeof(uint64_t));
    run_resize(memory, table, run, count, 0);
}

/** And back, with at most eight entries. */
static void
table_fold(struct memory *memory, struct table *table)
{
    unsigned count = (unsigned)table->count;
    uint64_t *run = run_resize(memory, table, NULL, 0, count);
    memcpy(run, table_bucket(table, 0)->cells, count * sizeof(uint64_t));
    capacity_set(memory, table, 0);
    table->bucket_count = 0;
    table->root = run;
}

/** One more entry has come: room for it, one bucket at most. */
static void
table_grow(struct memory *memory, struct table *table, uint64_t hash_seed)
{
    uint64_t bucket_count = table->bucket_count;
    if (bucket_count < table->bucket_capacity) {
        if (table->count * LOAD_DEN > bucket_count * LOAD_FILL_NUM) {
            table_split(memory, table, hash_seed);
        }
    } else if (table->count > bucket_count * LOAD_GROW) {
        capacity_set(memory, table, capacity_above(table->bucket_capacity));
        table_split(memory, table, hash_seed);
    }
}

/** One entry has gone. */
static void
table_shrink(struct memory *memory, struct table *table)
{
    uint32_t bucket_count = table->bucket_count;
    if (bucket_count == 1) {
        if (table->count <= BUCKET_CELLS - 2) {
            table_fold(memory, table);
        }
        return;
    }
    /* In small tables one bucket more or less is a large part: what merged must not split again at
     * once. */
    bool is_sparse = table->count * LOAD_DEN < (uint64_t)bucket_count * LOAD_SHRINK_NUM &&
                     table->count * 10 < (uint64_t)(bucket_count - 1) * (LOAD_GROW * 9);
    if (!is_sparse) {
        return;
    }
    table_merge(memory, table);
    uint32_t below = capacity_below(table->bucket_capacity);
    if (table->bucket_count <= below) {
        capacity_set(memory, table, below);
    }
}

/* ---- public ---- */

static struct entry *
cells_find(const uint64_t *cells, unsigned count, struct slice key, uint64_t hash)
{
    for (unsigned i = 0; i < count; i++) {
        if (cells[i] >> CELL_TAG_SHIFT == hash >> HASH_TAG_SHIFT) {
            struct entry *entry = cell_entry(cells[i]);
            if (slice_equal(entry_key(entry), key)) {
                return entry;
            }
        }
    }
    return NULL;
}

static struct entry *
runs_find(uint64_t link, struct slice key, uint64_t hash)
{
    while (cell_is_link(link)) {
        const uint64_t *run = link_run(link);
        unsigned count = link_count(link);
        struct entry *entry = cells_find(run, count, key, hash);
        if (entry != NULL) {
            return entry;
        }
        link = run[count - 1];
    }
    return NULL;
}

struct entry *
table_find(const struct table *table, struct slice key, uint64_t hash)
{
    if (UNLIKELY(table->bucket_count == 0)) {
        return cells_find(table->root, (unsigned)table->count, key, hash);
    }
    const struct bucket *bucket = table_bucket(table, table_bucket_index(table, hash));
    for (unsigned match = bucket_match(bucket, hash); match != 0; match &= match - 1) {
        struct entry *entry = cell_entry(bucket->cells[__builtin_ctz(match)]);
        if (entry != NULL && slice_equal(entry_key(entry), key)) {
            return entry;
        }
    }
    return runs_find(bucket->cells[BUCKET_CELLS - 1], key, hash);
}

void
table_prefetch_bucket(const struct table *table, uint64_t hash)
{
    if (table->bucket_count > 0) {
        __builtin_prefetch(table_bucket(table, table_bucket_index(table, hash)));
    } else if (table->count > 0) {
        __builtin_prefetch(table->root);
    }
}

/** Both lines that a key with a short value takes. */
static inline void
entry_prefetch(const struct entry *entry)
{
    __builtin_prefetch(entry);
    __builtin_prefetch((const char *)entry + CACHE_LINE_SIZE);
}

static bool
cells_prefetch(const uint64_t *cells, unsigned count, uint64_t hash)
{
    for (unsigned i = 0; i < count; i++) {
        if (cells[i] >> CELL_TAG_SHIFT == hash >> HASH_TAG_SHIFT) {
            entry_prefetch(cell_entry(cells[i]));
            return true;
        }
    }
    return false;
}

bool
table_prefetch_entry(const struct table *table, uint64_t hash)
{
    if (table->bucket_count == 0) {
        cells_prefetch(table->root, (unsigned)table->count, hash);
        return true;
    }
    const struct bucket *bucket = table_bucket(table, table_bucket_index(table, hash));
    unsigned match = bucket_match(bucket, hash);
    if (LIKELY(match != 0)) {
        entry_prefetch(cell_entry(bucket->cells[__builtin_ctz(match)]));
        return true;
    }
    uint64_t link = bucket->cells[BUCKET_CELLS - 1];
    if (!cell_is_link(link)) {
        return true;
    }
    __builtin_prefetch(link_run(link));
    return false;
}

void
table_prefetch_overflow(const struct table *table, uint64_t hash)
{
    if (table->bucket_count > 0) {
        const struct bucket *bucket = table_bucket(table, table_bucket_index(table, hash));
        uint64_t link = bucket->cells[BUCKET_CELLS - 1];
        if (cell_is_link(link)) {
            cells_prefetch(link_run(link), link_count(link), hash);
        }
    }
}

void
table_insert(struct memory *memory, struct table *table, struct entry *entry, uint64_t hash,
             uint64_t hash_seed)
{
    uint64_t cell = cell_of(entry, hash);
    if (table->bucket_count == 0) {
        unsigned count = (unsigned)table->count;
        if (count < BUCKET_CELLS) {
            uint64_t *run = run_resize(memory, table, table->root, count, count + 1);
            run[count] = cell;
            table->root = run;
            table->count++;
            return;
        }
        table_unfold(memory, table);
    }
    chain_append(memory, table, table_bucket(table, table_bucket_index(table, hash)), cell);
    table->count++;
    table_grow(memory, table, hash_seed);
}

static uint64_t *
table_cell(struct table *table, const struct entry *entry, uint64_t hash)
{
    if (table->bucket_count > 0) {
        return chain_cell(table_bucket(table, table_bucket_index(table, hash)), entry);
    }
    uint64_t *run = table->root;
    for (unsigned i = 0; i < table->count; i++) {
        if (cell_entry(run[i]) == entry) {
            return &run[i];
        }
    }
    return NULL;
}

void
table_replace(struct table *table, const struct entry *old, struct entry *entry, uint64_t hash)
{
    uint64_t *cell = table_cell(table, old, hash);
    ASSERT(cell != NULL);
    *cell = cell_of(entry, hash);
}

void
table_remove(struct memory *memory, struct table *table, const struct entry *entry, uint64_t hash,
             uint64_t hash_seed)
{
    (void)hash_seed;
    uint64_t *cell = table_cell(table, entry, hash);
    ASSERT(cell != NULL);
    if (table->bucket_count == 0) {
        unsigned count = (unsigned)table->count;
        uint64_t *run = table->root;
        *cell = run[count - 1];
        table->root = run_resize(memory, table, run, count, count - 1);
        table->count--;
        return;
    }
    chain_remove(memory, table, table_bucket(table, table_bucket_index(table, hash)), cell);
    table->count--;
    table_shrink(memory, table);
}

size_t
table_size(const struct table *table)
{
    size_t size = table->overflow_size;
    uint32_t capacity = table->bucket_capacity;
    if (capacity > 0) {
        uint32_t count = segment_count_of(capacity);
        size += (count - 1) * SEGMENT_SIZE;
        size += memory_class_size(segment_last_of(capacity) * BUCKET_SIZE);
        if (count > 1) {
            size += memory_class_size(count * sizeof(struct bucket *));
        }
    }
    return size;
}

static uint64_t
bits_reverse(uint64_t x)
{
    x = __builtin_bswap64(x);
    x = (x >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    x = (x >> 2 & UINT64_C(0x3333333333333333)) | (x & UINT64_C(0x3333333333333333)) << 2;
    return (x >> 1 & UINT64_C(0x5555555555555555)) | (x & UINT64_C(0x5555555555555555)) << 1;
}

uint64_t
table_scan(const struct table *table, uint64_t position, table_visit_fn *visit, void *context)
{
    position &= (UINT64_C(1) << TABLE_POSITION_BITS) - 1;
    if (table->bucket_count == 0) {
        for (unsigned i = 0; i < table->count; i++) {
            visit(context, cell_entry(((const uint64_t *)table->root)[i]));
        }
        return 0;
    }
    uint64_t hash = bits_reverse(position) >> (64 - TABLE_POSITION_BITS);
    uint32_t index = table_bucket_index(table, hash);
    uint64_t interval = UINT64_C(1) << (TABLE_POSITION_BITS - table_depth(table, index));
    chain_visit(table_bucket(table, index), visit, context);
    uint64_t next = (position & ~(interval - 1)) + interval;
    return next >> TABLE_POSITION_BITS != 0 ? 0 : next;
}

struct entry *
table_random(const struct table *table, struct random *random)
{
    if (table->count == 0) {
        return NULL;
    }
    if (table->bucket_count == 0) {
        return cell_entry(((const uint64_t *)table->root)[random_below(random, table->count)]);
    }
    /* Any bucket, any of 32 places in it, until there is something: fair where no chain is longer.
     */
    struct entry *entries[RUN_CELLS_MAX];
    while (true) {
        uint32_t index = (uint32_t)random_below(random, table->bucket_count);
        unsigned count = chain_list(table_bucket(table, index), entries, RUN_CELLS_MAX);
        uint64_t choice = random_below(random, RUN_CELLS_MAX);
        if (choice < count) {
            return entries[choice];
        }
    }
}

bool
table_drain(struct memory *memory, struct table *table, table_visit_fn *visit, void *context)
{
    if (table->bucket_count == 0) {
        unsigned count = (unsigned)table->count;
        for (unsigned i = 0; i < count; i++) {
            visit(context, cell_entry(((const uint64_t *)table->root)[i]));
        }
        run_resize(memory, table, table->root, count, 0);
        *table = (struct table){.root = NULL};
        return true;
    }
    table->bucket_count--;
    struct gather gather;
    gather_create(&gather);
    gather_bucket(&gather, memory, table, table_bucket(table, table->bucket_count));
    for (unsigned i = 0; i < gather.count; i++) {
        __builtin_prefetch(cell_entry(gather.cells[i]));
    }
    for (unsigned i = 0; i < gather.count; i++) {
        visit(context, cell_entry(gather.cells[i]));
    }
    table->count -= gather.count;
    gather_destroy(&gather, memory);
    uint32_t last = segment_last_of(table->bucket_capacity);
    if (table->bucket_count <= table->bucket_capacity - last) {
        capacity_set(memory, table, table->bucket_capacity - last);
    }
    return table->count == 0 && table->bucket_count == 0;
}

struct table_recount {
    const struct table *table;
    uint64_t hash_seed;
    uint64_t count;
    uint32_t bucket_index;
    bool is_good;
};

static void
recount_visit(void *context, struct entry *entry)
{
    struct table_recount *recount = context;
    uint64_t hash = entry_hash(entry, recount->hash_seed);
    recount->count++;
    if (table_bucket_index(recount->table, hash) != recount->bucket_index) {
        recount->is_good = false;
    }
    if (table_find(recount->table, entry_key(entry), hash) != entry) {
        recount->is_good = false;
    }
}

bool
table_check(const struct table *table, uint64_t hash_seed)
{
    if (table->bucket_count == 0) {
        return table->count <= BUCKET_CELLS && (table->count > 0) == (table->root != NULL);
    }
    struct table_recount recount = {.table = table, .hash_seed = hash_seed, .is_good = true};
    uint64_t overflow_size = 0;
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        const struct bucket *bucket = table_bucket(table, i);
        recount.bucket_index = i;
        chain_visit(bucket, recount_visit, &recount);
        uint64_t link = bucket->cells[BUCKET_CELLS - 1];
        while (cell_is_link(link)) {
            overflow_size += memory_class_size(link_count(link) * sizeof(uint64_t));
            link = link_run(link)[link_count(link) - 1];
        }
    }
    return recount.is_good && recount.count == table->count &&
           overflow_size == table->overflow_size;
}
