#include "shard/table_chain.h"

/*
 * table_chain.c: buckets that hold more than fits.
 * A full bucket gives its last cell to a link, behind which lies a run that is exactly as long as
 * it must be: one more entry reallocates it to the next class, 16 bytes apart. Beyond 32 cells
 * (only a hash that fails comes there) the run's last cell is a link again, so that no copy is
 * long.
 *
 * Invariants: no empty cell before a full one; a run has at least two cells; overflow_size of the
 * table is the sum of the runs' size classes.
 *
 * Rejected: overflow buckets of 32 or 64 bytes, which stay half empty on average.
 */

/* ---- runs: chains behind buckets, and the whole of a tiny table ---- */

uint64_t *
run_resize(struct memory *memory, struct table *table, uint64_t *run, unsigned old_count,
           unsigned count)
{
    size_t old_size = old_count * sizeof(uint64_t);
    size_t size = count * sizeof(uint64_t);
    table->overflow_size += count > 0 ? memory_class_size(size) : 0;
    table->overflow_size -= old_count > 0 ? memory_class_size(old_size) : 0;
    if (count == 0) {
        memory_free(memory, run, old_size);
        return NULL;
    }
    return memory_realloc(memory, run, old_size, size);
}

void
chain_append(struct memory *memory, struct table *table, struct bucket *bucket, uint64_t cell)
{
    unsigned count = bucket_count_cells(bucket);
    if (count < BUCKET_CELLS) {
        bucket->cells[count] = cell;
        return;
    }
    uint64_t *last = &bucket->cells[BUCKET_CELLS - 1];
    while (cell_is_link(*last)) {
        uint64_t *run = link_run(*last);
        count = link_count(*last);
        if (count < RUN_CELLS_MAX) {
            run = run_resize(memory, table, run, count, count + 1);
            run[count] = cell;
            *last = link_of(run, count + 1);
            return;
        }
        last = &run[count - 1];
    }
    uint64_t *run = run_resize(memory, table, NULL, 0, 2);
    run[0] = *last;
    run[1] = cell;
    *last = link_of(run, 2);
}

uint64_t *
chain_cell(struct bucket *bucket, const struct entry *entry)
{
    uint64_t *cells = bucket->cells;
    unsigned count = BUCKET_CELLS;
    while (true) {
        uint64_t last = cells[count - 1];
        for (unsigned i = 0; i < count; i++) {
            if (cell_entry(cells[i]) == entry && !cell_is_link(cells[i])) {
                return &cells[i];
            }
        }
        if (!cell_is_link(last)) {
            return NULL;
        }
        cells = link_run(last);
        count = link_count(last);
    }
}

void
chain_remove(struct memory *memory, struct table *table, struct bucket *bucket, uint64_t *hole)
{
    uint64_t *parent = &bucket->cells[BUCKET_CELLS - 1];
    if (!cell_is_link(*parent)) {
        uint64_t *last = &bucket->cells[bucket_count_cells(bucket) - 1];
        *hole = *last;
        *last = 0;
        return;
    }
    uint64_t *run = link_run(*parent);
    unsigned count = link_count(*parent);
    while (cell_is_link(run[count - 1])) {
        parent = &run[count - 1];
        run = link_run(*parent);
        count = link_count(*parent);
    }
    *hole = run[count - 1];
    if (count == 2) {
        *parent = run[0];
        run_resize(memory, table, run, 2, 0);
    } else {
        *parent = link_of(run_resize(memory, table, run, count, count - 1), count - 1);
    }
}

void
gather_create(struct gather *gather)
{
    gather->cells = gather->local;
    gather->count = 0;
    gather->capacity = GATHER_COUNT;
}

void
gather_destroy(struct gather *gather, struct memory *memory)
{
    if (gather->cells != gather->local) {
        memory_free(memory, gather->cells, gather->capacity * sizeof(uint64_t));
    }
}

static void
gather_add(struct gather *gather, struct memory *memory, uint64_t cell)
{
    if (gather->count == gather->capacity) {
        uint64_t *cells = memory_alloc(memory, 2 * gather->capacity * sizeof(uint64_t));
        memcpy(cells, gather->cells, gather->count * sizeof(uint64_t));
        gather_destroy(gather, memory);
        gather->cells = cells;
        gather->capacity *= 2;
    }
    gather->cells[gather->count++] = cell;
}

void
gather_bucket(struct gather *gather, struct memory *memory, struct table *table,
              struct bucket *bucket)
{
    uint64_t *cells = bucket->cells;
    unsigned count = bucket_count_cells(bucket);
    while (count > 0) {
        uint64_t last = cells[count - 1];
        bool is_linked = cell_is_link(last);
        for (unsigned i = 0; i < count - is_linked; i++) {
            gather_add(gather, memory, cells[i]);
        }
        if (cells != bucket->cells) {
            run_resize(memory, table, cells, count, 0);
        }
        cells = link_run(last);
        count = is_linked ? link_count(last) : 0;
    }
    memset(bucket, 0, sizeof(*bucket));
}

void
chain_fill(struct memory *memory, struct table *table, struct bucket *bucket, const uint64_t *cells,
           unsigned count)
{
    if (count <= BUCKET_CELLS) {
        memcpy(bucket->cells, cells, count * sizeof(uint64_t));
        return;
    }
    unsigned run_count = MIN(count - (BUCKET_CELLS - 1), (unsigned)RUN_CELLS_MAX);
    uint64_t *run = run_resize(memory, table, NULL, 0, run_count);
    memcpy(bucket->cells, cells, (BUCKET_CELLS - 1) * sizeof(uint64_t));
    memcpy(run, cells + BUCKET_CELLS - 1, run_count * sizeof(uint64_t));
    bucket->cells[BUCKET_CELLS - 1] = link_of(run, run_count);
    for (unsigned i = BUCKET_CELLS - 1 + run_count; i < count; i++) {
        chain_append(memory, table, bucket, cells[i]);
    }
}

void
chain_visit(const struct bucket *bucket, table_visit_fn *visit, void *context)
{
    const uint64_t *cells = bucket->cells;
    unsigned count = bucket_count_cells(bucket);
    while (count > 0) {
        uint64_t last = cells[count - 1];
        bool is_linked = cell_is_link(last);
        for (unsigned i = 0; i < count - is_linked; i++) {
            visit(context, cell_entry(cells[i]));
        }
        cells = link_run(last);
        count = is_linked ? link_count(last) : 0;
    }
}

unsigned
chain_list(const struct bucket *bucket, struct entry **out, unsigned capacity)
{
    const uint64_t *cells = bucket->cells;
    unsigned count = bucket_count_cells(bucket);
    unsigned listed_count = 0;
    while (count > 0) {
        uint64_t last = cells[count - 1];
        bool is_linked = cell_is_link(last);
        for (unsigned i = 0; i < count - is_linked; i++) {
            if (listed_count < capacity) {
                out[listed_count] = cell_entry(cells[i]);
            }
            listed_count++;
        }
        cells = link_run(last);
        count = is_linked ? link_count(last) : 0;
    }
    return listed_count;
}
