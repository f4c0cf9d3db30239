/*
 * keyspace.h: what a shard holds: databases of slots of entries, with exact counts of keys and
 * bytes. Owner thread only. Everything that changes an entry goes through here, so that table,
 * wheel and counts agree. Keys are found whether their deadline has passed or not: whoever reads
 * compares it with the turn's clock.
 */
#pragma once

#include "core/hash.h"
#include "core/keyslot.h"
#include "core/memory.h"
#include "core/random.h"
#include "core/wheel.h"
#include "shard/entry.h"
#include "shard/table.h"

#include <assert.h>

/** One line, and nothing at all before its first key: arrays of slots are mapped, not written. */
struct slot {
    struct table table;
    /** Sum of entry_size() and of the collections' sizes, as far as they have been committed. */
    uint64_t byte_count;
    uint64_t read_count;
    uint64_t write_count;
};
static_assert(sizeof(struct slot) <= 64, "a slot is found with one line");

struct database {
    /** SLOT_COUNT slots, or NULL before the first key. */
    struct slot *slots;
    /** A bit for each slot that holds a key; comes with `slots`. */
    uint64_t *occupied;
    uint64_t key_count;
    /** The slots' sum. */
    uint64_t byte_count;
    /** Keys with a deadline. */
    uint64_t deadline_count;
    /** Sum of the deadlines, for their average. */
    unsigned __int128 deadline_sum_ms;
    /** What the wheel's nodes know their database by; follows the contents through SWAPDB. */
    uint32_t id;
    /** These contents' number at the last snapshot's cut. */
    uint32_t cut_db;
    /** The snapshot has still to look for entries here: what a flush takes out is not freed. */
    bool is_held;
};

/** Contents that a flush took out, or a large collection, on their way to be freed. */
struct keyspace_garbage {
    struct keyspace_garbage *next;
    /** A collection (is_object), which is still counted in the memory account; else `database`. */
    struct value value;
    struct database database;
    uint32_t slot_index;
};

/** A collection above this size is freed in steps by keyspace_collect(), one below at once: it is
 * freed in some microseconds, whatever it is made of. */
#define KEYSPACE_OBJECT_SIZE_LARGE (UINT64_C(16) << 10)

struct keyspace {
    struct memory *memory;
    struct wheel wheel;
    struct database *databases;
    uint32_t database_count;
    uint64_t hash_seed;
    /* ---- internal ---- */
    /** From a database's id to its number; KEYSPACE_NO_DATABASE for garbage. */
    uint32_t *numbers;
    uint32_t number_capacity;
    struct keyspace_garbage *garbage;
    /** Collections and keys of databases that keyspace_collect() has freed; for statistics. */
    uint64_t collected_count;
    /** entry_snapshot_bit() of new entries: 0 or 1. */
    uint8_t snapshot_bit;
};

#define KEYSPACE_NO_DATABASE UINT32_MAX
#define KEYSPACE_ID_FREE (UINT32_MAX - 1)

void keyspace_create(struct keyspace *keyspace, struct memory *memory, uint32_t database_count,
                     uint64_t hash_seed, int64_t now_ms);
void keyspace_destroy(struct keyspace *keyspace);

static inline uint64_t
keyspace_hash(const struct keyspace *keyspace, struct slice key)
{
    return hash_bytes(key.data, key.size, keyspace->hash_seed);
}

/** NULL where the database has no key yet. */
static inline struct slot *
keyspace_slot(const struct keyspace *keyspace, uint32_t db, uint32_t slot)
{
    struct slot *slots = keyspace->databases[db].slots;
    return slots == NULL ? NULL : &slots[slot];
}

static inline struct entry *
keyspace_find(const struct keyspace *keyspace, uint32_t db, uint32_t slot, struct slice key,
              uint64_t hash)
{
    struct slot *slots = keyspace->databases[db].slots;
    return slots == NULL ? NULL : table_find(&slots[slot].table, key, hash);
}

/**
 * A lookup ahead of time in steps, each over all keys of a batch: slot, bucket, entry, and the
 * overflow where that step says so (about one key in four). Each step needs what the one before it
 * has brought in; leaving one out costs time only.
 */
static inline void
keyspace_prefetch_slot(const struct keyspace *keyspace, uint32_t db, uint32_t slot)
{
    __builtin_prefetch(&keyspace->databases[db].slots[slot]);
}

static inline void
keyspace_prefetch_bucket(const struct keyspace *keyspace, uint32_t db, uint32_t slot, uint64_t hash)
{
    struct slot *slots = keyspace->databases[db].slots;
    if (slots != NULL) {
        table_prefetch_bucket(&slots[slot].table, hash);
    }
}

/** False: keyspace_prefetch_overflow() is one more step for this key. */
static inline bool
keyspace_prefetch_entry(const struct keyspace *keyspace, uint32_t db, uint32_t slot, uint64_t hash)
{
    struct slot *slots = keyspace->databases[db].slots;
    return slots == NULL || table_prefetch_entry(&slots[slot].table, hash);
}

static inline void
keyspace_prefetch_overflow(const struct keyspace *keyspace, uint32_t db, uint32_t slot,
                           uint64_t hash)
{
    struct slot *slots = keyspace->databases[db].slots;
    if (slots != NULL) {
        table_prefetch_overflow(&slots[slot].table, hash);
    }
}

/**
 * Store a value: a new entry where `entry` is NULL (the key must be absent then), else in place of
 * its value (`key` is not looked at). See entry_new() and entry_assign() for what becomes of raws.
 * A collection in `value` is charged; one that it replaces is freed, in steps if it is large.
 * Returns the entry, which may have moved.
 */
struct entry *keyspace_put(struct keyspace *keyspace, uint32_t db, uint32_t slot, uint64_t hash,
                           struct slice key, struct entry *entry, const struct value *value,
                           int64_t deadline_ms);

/** entry_string_resize() with the books kept. */
struct entry *keyspace_string_resize(struct keyspace *keyspace, uint32_t db, uint32_t slot,
                                     uint64_t hash, struct entry *entry,
                                     enum value_encoding encoding, size_t size, char **data);

/** ENTRY_NO_DEADLINE removes it. Returns the entry, which may have moved. */
struct entry *keyspace_deadline_set(struct keyspace *keyspace, uint32_t db, uint32_t slot,
                                    uint64_t hash, struct entry *entry, int64_t deadline_ms);

/** Keys and collections that wait to be freed in steps. */
uint64_t keyspace_garbage_count(const struct keyspace *keyspace);

/** Out of table and wheel, and freed with its value, a large collection in steps. */
void keyspace_remove(struct keyspace *keyspace, uint32_t db, uint32_t slot, uint64_t hash,
                     struct entry *entry);

/**
 * As keyspace_remove(), but raw or object are handed to the caller in `out` instead of freed (the
 * object in nobody's account); a value that lay in the entry is not: look at it before (`out` is a
 * string without bytes then).
 */
void keyspace_take(struct keyspace *keyspace, uint32_t db, uint32_t slot, uint64_t hash,
                   struct entry *entry, struct value *out);

/**
 * The entry's collection has become the one in `value`, on whatever core that was: the same one in
 * another size or at another place, with other deadlines of its elements, converted, or another
 * one. The old one is not looked at; `old_size` is what it was charged with. Returns the entry,
 * which may have moved.
 */
struct entry *keyspace_object_set(struct keyspace *keyspace, uint32_t db, uint32_t slot,
                                  uint64_t hash, struct entry *entry, const struct value *value,
                                  uint64_t old_size);

/** The entry's collection, charged with `old_size`, is gone already, freed or handed on: the entry
 * holds an empty string. */
void keyspace_object_release(struct keyspace *keyspace, uint32_t db, uint32_t slot,
                             struct entry *entry, uint64_t old_size);

/** Free a collection that is in nobody's account, a large one in steps (it is counted in this
 * core's memory until then). */
void keyspace_object_drop(struct keyspace *keyspace, const struct value *value);

/** Exchange two databases, in O(1). */
void keyspace_swap(struct keyspace *keyspace, uint32_t db_a, uint32_t db_b);

/** Empty a database at once; what it held is freed by keyspace_collect(). */
void keyspace_flush(struct keyspace *keyspace, uint32_t db);
void keyspace_flush_all(struct keyspace *keyspace);

/** Free flushed contents and large collections, about `step_count_max` entries and blocks. True:
 * nothing is left, or only what is held. */
bool keyspace_collect(struct keyspace *keyspace, uint32_t step_count_max);

/**
 * A key has reached its deadline, or elements of its collection theirs. It is still in its table,
 * but out of the wheel: the callee removes it with keyspace_remove(), gives it another deadline,
 * removes the elements (keyspace_object_set()), or puts it off (keyspace_put_off()).
 */
typedef void keyspace_due_fn(void *context, uint32_t db, uint32_t slot, uint64_t hash,
                             struct entry *entry);

/** wheel_advance() for keys: at most `step_count_max` nodes are touched. Returns how many were. */
uint32_t keyspace_advance(struct keyspace *keyspace, int64_t now_ms, uint32_t step_count_max,
                          keyspace_due_fn *due, void *context);

/** Nothing can be done now for what is due: it will be seen again with the next step. The entry's
 * collection is not looked at. */
void keyspace_put_off(struct keyspace *keyspace, struct entry *entry);

/** A key of the database, each about equally likely; NULL when it has none. */
struct entry *keyspace_random(const struct keyspace *keyspace, uint32_t db, struct random *random);

/** table_scan() of a slot: one bucket for each call. */
uint64_t keyspace_scan(const struct keyspace *keyspace, uint32_t db, uint32_t slot,
                       uint64_t position, table_visit_fn *visit, void *context);

/** The first slot >= `slot` that holds a key; SLOT_COUNT where there is none. */
uint32_t keyspace_slot_next(const struct keyspace *keyspace, uint32_t db, uint32_t slot);
/** The same of contents, also of those that a flush took out and that are held. */
uint32_t database_slot_next(const struct database *database, uint32_t slot);

/** Contents that are held, flushed ones first, as these are in somebody's way; NULL: there are
 * none. Good until databases are swapped or flushed. */
struct database *keyspace_held_next(struct keyspace *keyspace);
/** Contents by their id, wherever they are; they exist. As good as above. */
struct database *keyspace_contents(struct keyspace *keyspace, uint32_t id);

/** Bytes of a slot with its table. */
size_t keyspace_slot_size(const struct keyspace *keyspace, uint32_t db, uint32_t slot);

/** Recount all. O(n): for ASSERT_SLOW and tests. */
bool keyspace_check(const struct keyspace *keyspace);
