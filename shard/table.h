/*
 * table.h: the entries of one slot, found by key.
 * Owner thread only. Grows and shrinks one bucket at a time; holds pointers to entries, never owns
 * them.
 */
#pragma once

#include "core/memory.h"
#include "core/random.h"
#include "core/slice.h"
#include "shard/entry.h"

/** Scan positions are below 2^39. */
#define TABLE_POSITION_BITS 39

/**
 * Zeroed memory is an empty table. The hash of a key is hash_bytes(key, hash_seed), the seed the
 * same for every call on a table.
 */
struct table {
    /** A run of cells, one array of buckets, or a directory of such arrays: see table.c. */
    void *root;
    uint64_t count;
    /** 0: `root` is a run. */
    uint32_t bucket_count;
    /** Where bucket_count is heading, one bucket with each insert or remove. */
    uint32_t bucket_capacity;
    /** Bytes of the runs behind full buckets. */
    uint64_t overflow_size;
};

/** NULL where there is none. */
struct entry *table_find(const struct table *table, struct slice key, uint64_t hash);

/** The first step of a lookup ahead of time: bring the bucket's line in. */
void table_prefetch_bucket(const struct table *table, uint64_t hash);

/**
 * The second, once the bucket is in cache: bring in the entry that is likely meant. False: it lies
 * in the bucket's overflow if anywhere, which is on its way now, and table_prefetch_overflow() is
 * the third step.
 */
bool table_prefetch_entry(const struct table *table, uint64_t hash);
void table_prefetch_overflow(const struct table *table, uint64_t hash);

/** No entry has this key before. */
void table_insert(struct memory *memory, struct table *table, struct entry *entry, uint64_t hash,
                  uint64_t hash_seed);

/** The entry has moved; `old` may be freed memory already, its address alone counts. */
void table_replace(struct table *table, const struct entry *old, struct entry *entry,
                   uint64_t hash);

/** Unlinks only. */
void table_remove(struct memory *memory, struct table *table, const struct entry *entry,
                  uint64_t hash, uint64_t hash_seed);

static inline uint64_t
table_count(const struct table *table)
{
    return table->count;
}

/** Bytes that the table itself takes. */
size_t table_size(const struct table *table);

typedef void table_visit_fn(void *context, struct entry *entry);

/**
 * Visit one bucket; `position` is 0 at first and then what the last call returned; 0 again when all
 * is done. Whatever is in the table from the first call to the last is visited at least once,
 * however much the table grows or shrinks in between. `visit` must not insert or remove.
 */
uint64_t table_scan(const struct table *table, uint64_t position, table_visit_fn *visit,
                    void *context);

/** Each entry about equally likely; NULL when empty. */
struct entry *table_random(const struct table *table, struct random *random);

/** Visit and unlink entries (the callee frees them) from the end, at most one bucket; true: nothing
 * is left. */
bool table_drain(struct memory *memory, struct table *table, table_visit_fn *visit, void *context);

/** Recount everything: is each entry where its hash says, do the sums agree? O(n). */
bool table_check(const struct table *table, uint64_t hash_seed);
