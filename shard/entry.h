/*
 * entry.h: a key with its value, in one allocation.
 * Owner thread only (or whom it is lent to). An entry belongs to whoever unlinked it last:
 * functions that may move it return its new address, which the caller puts in the table in place of
 * the old one.
 */
#pragma once

#include "core/hash.h"
#include "core/memory.h"
#include "core/slice.h"
#include "core/wheel.h"
#include "shard/value/raw.h"
#include "shard/value/value.h"

#include <assert.h>

/** Deadline of an entry that lives until it is deleted. Deadlines of keys are never negative. */
#define ENTRY_NO_DEADLINE INT64_C(-1)

/** Longest string that lies in the entry itself. */
#define ENTRY_INLINE_SIZE_MAX 1024

/** Keys from this size on keep their size in four bytes behind the header. */
#define ENTRY_KEY_SIZE_LONG 255

enum entry_flags {
    /** The key has a deadline: a wheel_node lies in front of the header. */
    ENTRY_HAS_DEADLINE = 1 << 0,
    /** The value is a pointer to a raw or to a collection. */
    ENTRY_IS_OUT_OF_LINE = 1 << 1,
    /** Equal to the shard's current bit: written by the running snapshot, or younger than it. */
    ENTRY_SNAPSHOT_BIT = 1 << 2,
    /** The key is lent or waited for: look into the lock table. */
    ENTRY_IS_LENT = 1 << 3,
    /** Elements of its collection have deadlines: the node is there, too, and hangs in the wheel by
     * the first of all; the key's own deadline, if it has one, lies in front of the node. */
    ENTRY_HAS_ELEMENT_DEADLINE = 1 << 4,
};

/** The header; key and value follow it, the deadline lies before it. Aligned to 8. */
struct entry {
    uint32_t access : 24;
    uint32_t type : 3;
    uint32_t encoding : 4;
    uint32_t reserved : 1;
    uint8_t flags;
    uint8_t key_size;
    /** Bytes of the value that lie in the entry. */
    uint16_t value_size;
    char data[];
};
static_assert(sizeof(struct entry) == 8, "a 16-byte key and a 32-byte value fit into 64 bytes");

/**
 * A new entry with copies of key and bytes. A raw or an object in `value` becomes the entry's (a
 * raw that is small enough to lie inline is copied and deleted). With a deadline it is added to the
 * wheel; `spare` is put in its node.
 */
struct entry *entry_new(struct memory *memory, struct wheel *wheel, struct slice key,
                        const struct value *value, int64_t deadline_ms, uint32_t spare);

/**
 * Another value and deadline for the same key; flags, access clock and spare stay. In place where
 * the size class stays the same. `value` may point into the entry itself, and may carry its own raw
 * or object, which are kept then; otherwise its old raw or object is deleted. A new deadline gets
 * `spare`. Returns the entry's new address.
 */
struct entry *entry_assign(struct memory *memory, struct wheel *wheel, struct entry *entry,
                           const struct value *value, int64_t deadline_ms, uint32_t spare);

/**
 * The same for what changes nothing but the bytes in the entry: a string or an integer in the place
 * of one that takes as many, of a key without a deadline that gets none. False: it is something
 * else, and nothing has been done.
 */
bool entry_overwrite(struct entry *entry, const struct value *value);

/** The key's deadline; ENTRY_NO_DEADLINE removes it. Looks into a collection whose elements have
 * deadlines. Returns the entry's new address. */
struct entry *entry_deadline_set(struct memory *memory, struct wheel *wheel, struct entry *entry,
                                 int64_t deadline_ms, uint32_t spare);

/**
 * Make a string (not ENCODING_INT) `size` bytes long and its bytes writable, for APPEND and
 * SETRANGE: what is there stays, what is new is zero. *data is where to write, good until the entry
 * changes. Returns the new address.
 */
struct entry *entry_string_resize(struct memory *memory, struct wheel *wheel, struct entry *entry,
                                  enum value_encoding encoding, size_t size, char **data);

/** Out of the wheel and freed, with its raw or object (at once, however large). Not out of the
 * table: do that first. */
void entry_delete(struct memory *memory, struct wheel *wheel, struct entry *entry);

/** The value as a view, good until the entry changes. */
void entry_value(const struct entry *entry, struct value *out);

/**
 * The entry lets go of its object or raw, which is the caller's from now on; `out` tells what it
 * was. The entry holds an empty string until the next entry_assign(). A value that lies in the
 * entry stays there, `out` looks at it. For handing values on (RENAME).
 */
void entry_value_take(struct entry *entry, struct value *out);

/**
 * Another collection for an entry that has one (the same one, grown elsewhere or converted, too).
 * The old one is not looked at: whoever changed it has seen to it. In place.
 */
void entry_object_set(struct entry *entry, const struct value *value);

/**
 * The first deadline of the collection's elements is another one than before, or
 * ENTRY_NO_DEADLINE: there is none any more. Whoever stores a collection that has deadlines calls
 * this after it: entry_new() and the others know of the key's only. The key's deadline, and `spare`
 * where the entry had one, stay. Returns the entry's new address.
 */
struct entry *entry_element_deadline_set(struct memory *memory, struct wheel *wheel,
                                         struct entry *entry, int64_t deadline_ms, uint32_t spare);

/** Bytes that it takes in memory: its block and raw. A collection counts apart: while the key is
 * lent, another core may be changing it, so nobody looks there. */
size_t entry_size(const struct entry *entry);

static inline size_t
entry_key_header_size(const struct entry *entry)
{
    return entry->key_size == ENTRY_KEY_SIZE_LONG ? sizeof(uint32_t) : 0;
}

/** Does it hold a collection? */
static inline bool
entry_has_object(const struct entry *entry)
{
    return (entry->flags & ENTRY_IS_OUT_OF_LINE) != 0 && entry->type != VALUE_STRING;
}

/** The key's bytes, where they lie. */
static inline struct slice
entry_key(const struct entry *entry)
{
    if (LIKELY(entry->key_size != ENTRY_KEY_SIZE_LONG)) {
        return (struct slice){.data = entry->data, .size = entry->key_size};
    }
    uint32_t size;
    memcpy(&size, entry->data, sizeof(size));
    return (struct slice){.data = entry->data + sizeof(size), .size = size};
}

static inline uint64_t
entry_hash(const struct entry *entry, uint64_t hash_seed)
{
    struct slice key = entry_key(entry);
    return hash_bytes(key.data, key.size, hash_seed);
}

static inline bool
entry_has_deadline(const struct entry *entry)
{
    return (entry->flags & ENTRY_HAS_DEADLINE) != 0;
}

static inline bool
entry_has_element_deadline(const struct entry *entry)
{
    return (entry->flags & ENTRY_HAS_ELEMENT_DEADLINE) != 0;
}

/** Is it in the wheel? */
static inline bool
entry_has_node(const struct entry *entry)
{
    return (entry->flags & (ENTRY_HAS_DEADLINE | ENTRY_HAS_ELEMENT_DEADLINE)) != 0;
}

/** Only for an entry that has one. */
static inline struct wheel_node *
entry_node(struct entry *entry)
{
    return (struct wheel_node *)(void *)((char *)entry - sizeof(struct wheel_node));
}

static inline struct entry *
entry_of_node(struct wheel_node *node)
{
    return (struct entry *)(void *)((char *)node + sizeof(struct wheel_node));
}

/** Of the key; ENTRY_NO_DEADLINE without one. */
static inline int64_t
entry_deadline_ms(const struct entry *entry)
{
    if (!entry_has_deadline(entry)) {
        return ENTRY_NO_DEADLINE;
    }
    const char *front = (const char *)entry - sizeof(struct wheel_node);
    if (UNLIKELY(entry_has_element_deadline(entry))) {
        return *(const int64_t *)(const void *)(front - sizeof(int64_t));
    }
    return ((const struct wheel_node *)(const void *)front)->deadline_ms;
}

/** Has the key's deadline passed? */
static inline bool
entry_is_over(const struct entry *entry, int64_t now_ms)
{
    int64_t deadline_ms = entry_deadline_ms(entry);
    return deadline_ms != ENTRY_NO_DEADLINE && deadline_ms <= now_ms;
}

/** The wheel has handed the entry out, but nothing can be done now: back into it. */
static inline void
entry_rehang(struct wheel *wheel, struct entry *entry)
{
    wheel_add(wheel, entry_node(entry));
}

/** 24 bits that belong to eviction: a clock of seconds, or the counter and decay time of LFU. */
static inline uint32_t
entry_access(const struct entry *entry)
{
    return entry->access;
}

static inline void
entry_access_set(struct entry *entry, uint32_t access)
{
    entry->access = access & 0xffffff;
}

static inline bool
entry_is_lent(const struct entry *entry)
{
    return (entry->flags & ENTRY_IS_LENT) != 0;
}

static inline void
entry_lent_set(struct entry *entry, bool is_lent)
{
    entry->flags =
        (uint8_t)(is_lent ? entry->flags | ENTRY_IS_LENT : entry->flags & ~ENTRY_IS_LENT);
}

/** 0 or 1, to compare with the shard's current bit. */
static inline unsigned
entry_snapshot_bit(const struct entry *entry)
{
    return (entry->flags & ENTRY_SNAPSHOT_BIT) != 0;
}

static inline void
entry_snapshot_bit_set(struct entry *entry, unsigned bit)
{
    entry->flags = (uint8_t)(bit != 0 ? entry->flags | ENTRY_SNAPSHOT_BIT
                                      : entry->flags & ~ENTRY_SNAPSHOT_BIT);
}
