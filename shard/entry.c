#include "shard/entry.h"

/*
 * entry.c: a key and its value in one block.
 *
 *     [key's deadline][deadline_ms, place, spare] header [key size] key value
 *      8, see below    16, only with a deadline   8       4, rare    n  8: integer or pointer,
 *                                                 ^ struct entry *         or the bytes
 *
 * The pointer is to the header, so that a lookup reads header and key without asking whether there
 * is a deadline.
 *
 * A collection whose elements have deadlines hangs in the wheel with the first of them, by the same
 * node. Where the key has a deadline, too, the node has the earlier one, and the key's own lies in
 * front of it. Elements' deadlines are told by whoever has the collection
 * (entry_element_deadline_set()): while it is lent nobody looks there.
 *
 * Invariant: the size of the block follows from the header alone, so that freeing
 * and counting need no size field. Hence the rule for changes: in place if the block's size class
 * stays the same, else into a new block.
 *
 * A 16-byte key and a 32-byte value: 8 + 16 + 32 = 56, class 64; with a deadline 72, class 80.
 *
 * Rejected: the deadline behind the header (a branch in each key comparison), deadlines in a table
 * of their own (24 bytes and a lookup for each), a pointer to a value object (a cache line and 8
 * bytes).
 */

/** Flags that say what lies in front of the header. */
#define FRONT_FLAGS (ENTRY_HAS_DEADLINE | ENTRY_HAS_ELEMENT_DEADLINE)

static inline size_t
front_size(unsigned flags)
{
    if (LIKELY((flags & FRONT_FLAGS) == 0)) {
        return 0;
    }
    return sizeof(struct wheel_node) + ((flags & FRONT_FLAGS) == FRONT_FLAGS ? sizeof(int64_t) : 0);
}

/** What is asked of the allocator. */
static size_t
entry_block_size_of(unsigned flags, size_t key_size, size_t value_size)
{
    return front_size(flags) + sizeof(struct entry) +
           (key_size >= ENTRY_KEY_SIZE_LONG ? sizeof(uint32_t) : 0) + key_size + value_size;
}

static size_t
entry_block_size(const struct entry *entry)
{
    return entry_block_size_of(entry->flags, entry_key(entry).size, entry->value_size);
}

static void *
entry_block(struct entry *entry)
{
    return (char *)entry - front_size(entry->flags);
}

static char *
entry_value_data(const struct entry *entry)
{
    struct slice key = entry_key(entry);
    return (char *)(uintptr_t)(key.data + key.size);
}

/** Raw or object; NULL also when the value lies in the entry. */
static void *
entry_pointer(const struct entry *entry)
{
    void *pointer = NULL;
    if ((entry->flags & ENTRY_IS_OUT_OF_LINE) != 0) {
        memcpy(&pointer, entry_value_data(entry), sizeof(pointer));
    }
    return pointer;
}

/** A block with header and key; the value and a deadline's node are not set but for `place`. */
static struct entry *
entry_block_new(struct memory *memory, unsigned front_flags, struct slice key, size_t value_size)
{
    ASSERT(key.size <= UINT32_MAX);
    ASSERT(value_size <= ENTRY_INLINE_SIZE_MAX);
    char *block = memory_alloc(memory, entry_block_size_of(front_flags, key.size, value_size));
    struct entry *entry = (struct entry *)(void *)(block + front_size(front_flags));
    *entry = (struct entry){.flags = (uint8_t)front_flags, .value_size = (uint16_t)value_size};
    if (entry_has_node(entry)) {
        *entry_node(entry) = (struct wheel_node){.place = WHEEL_NOWHERE};
    }
    char *data = entry->data;
    if (key.size >= ENTRY_KEY_SIZE_LONG) {
        uint32_t size = (uint32_t)key.size;
        memcpy(data, &size, sizeof(size));
        data += sizeof(size);
        entry->key_size = ENTRY_KEY_SIZE_LONG;
    } else {
        entry->key_size = (uint8_t)key.size;
    }
    if (key.size > 0) {
        memcpy(data, key.data, key.size);
    }
    return entry;
}

static void
entry_block_delete(struct memory *memory, struct entry *entry)
{
    memory_free(memory, entry_block(entry), entry_block_size(entry));
}

static bool
value_is_integer(const struct value *value)
{
    return value->type == VALUE_STRING && value->encoding == ENCODING_INT;
}

/**
 * Make the value fit for storing: a large string into a raw of its own, a small one out of its raw.
 * Returns what is to be deleted after the bytes have been copied, or NULL.
 */
static struct raw *
value_settle(struct memory *memory, struct value *value)
{
    ASSERT(value->type != VALUE_NONE);
    if (value->is_object || value_is_integer(value)) {
        value->raw = NULL;
        return NULL;
    }
    if (value->raw != NULL) {
        value->bytes = raw_bytes(value->raw);
        if (value->bytes.size > ENTRY_INLINE_SIZE_MAX) {
            return NULL;
        }
        struct raw *small = value->raw;
        value->raw = NULL;
        return small;
    }
    if (value->bytes.size > ENTRY_INLINE_SIZE_MAX) {
        struct raw *raw = raw_new(memory, value->bytes.size, value->bytes.size);
        memcpy(raw->data, value->bytes.data, value->bytes.size);
        value->raw = raw;
    }
    return NULL;
}

/** What a settled value takes in the entry. */
static size_t
value_inline_size(const struct value *value)
{
    if (value->is_object || value->raw != NULL || value_is_integer(value)) {
        return sizeof(uint64_t);
    }
    return value->bytes.size;
}

/** `value` is settled and the entry has room for it; its bytes may lie in this very entry. */
static void
entry_value_store(struct entry *entry, const struct value *value)
{
    char *data = entry_value_data(entry);
    entry->type = value->type & 7U;
    entry->encoding = value->encoding & 15U;
    entry->flags &= (uint8_t)~ENTRY_IS_OUT_OF_LINE;
    if (value->is_object || value->raw != NULL) {
        const void *pointer = value->is_object ? value->object : value->raw;
        memcpy(data, &pointer, sizeof(pointer));
        entry->flags |= ENTRY_IS_OUT_OF_LINE;
    } else if (value_is_integer(value)) {
        memcpy(data, &value->integer, sizeof(value->integer));
    } else if (value->bytes.size > 0) {
        memmove(data, value->bytes.data, value->bytes.size);
    }
    entry->value_size = (uint16_t)value_inline_size(value);
}

/** The deadline in front of the node. */
static int64_t *
entry_key_deadline(struct entry *entry)
{
    ASSERT((entry->flags & FRONT_FLAGS) == FRONT_FLAGS);
    return (int64_t *)(void *)((char *)entry_node(entry) - sizeof(int64_t));
}

/** The node hangs by `deadline_ms` from now on. */
static void
entry_hang(struct wheel *wheel, struct entry *entry, int64_t deadline_ms, uint32_t spare)
{
    struct wheel_node *node = entry_node(entry);
    node->spare = spare;
    if (node->deadline_ms == deadline_ms && node->place != WHEEL_NOWHERE) {
        return;
    }
    wheel_remove(wheel, node);
    node->deadline_ms = deadline_ms;
    wheel_add(wheel, node);
}

/** Deadlines without one are ENTRY_NO_DEADLINE; the entry has room for those that there are. */
static void
entry_deadlines_store(struct wheel *wheel, struct entry *entry, int64_t deadline_ms,
                      int64_t element_ms, uint32_t spare)
{
    if (!entry_has_node(entry)) {
        return;
    }
    int64_t first_ms = deadline_ms;
    if (entry_has_element_deadline(entry)) {
        first_ms = element_ms;
        if (entry_has_deadline(entry)) {
            *entry_key_deadline(entry) = deadline_ms;
            first_ms = MIN(deadline_ms, element_ms);
        }
    }
    entry_hang(wheel, entry, first_ms, spare);
}

static unsigned
front_flags_of(int64_t deadline_ms, int64_t element_ms)
{
    return (deadline_ms != ENTRY_NO_DEADLINE ? ENTRY_HAS_DEADLINE : 0U) |
           (element_ms != ENTRY_NO_DEADLINE ? ENTRY_HAS_ELEMENT_DEADLINE : 0U);
}

/**
 * An entry that has room for such a value and such deadlines: itself where its class fits, else a
 * new one with the same header, key, value (as far as there is room) and place in the wheel. The
 * old one is left for the caller to delete.
 */
static struct entry *
entry_reshape(struct memory *memory, struct wheel *wheel, struct entry *entry, unsigned front_flags,
              size_t value_size)
{
    struct slice key = entry_key(entry);
    bool had_node = entry_has_node(entry);
    size_t size = entry_block_size_of(front_flags, key.size, value_size);
    if ((entry->flags & FRONT_FLAGS) == front_flags &&
        memory_class_size(size) == memory_class_size(entry_block_size(entry))) {
#ifdef TESSERA_SYSTEM_MALLOC
        /* Here a block is no larger than it was asked to be. */
        if (size == entry_block_size(entry))
#endif
        {
            return entry;
        }
    }
    struct entry *fresh = entry_block_new(memory, front_flags, key, value_size);
    fresh->access = entry->access;
    fresh->type = entry->type;
    fresh->encoding = entry->encoding;
    fresh->flags = (uint8_t)((entry->flags & ~FRONT_FLAGS) | front_flags);
    size_t kept_size = MIN(value_size, (size_t)entry->value_size);
    memcpy(entry_value_data(fresh), entry_value_data(entry), kept_size);
    if (had_node && front_flags != 0) {
        *entry_node(fresh) = *entry_node(entry);
        wheel_relocate(wheel, entry_node(entry), entry_node(fresh));
        if ((entry->flags & FRONT_FLAGS) == FRONT_FLAGS && front_flags == FRONT_FLAGS) {
            *entry_key_deadline(fresh) = *entry_key_deadline(entry);
        }
    } else if (had_node) {
        wheel_remove(wheel, entry_node(entry));
    }
    return fresh;
}

struct entry *
entry_new(struct memory *memory, struct wheel *wheel, struct slice key, const struct value *value,
          int64_t deadline_ms, uint32_t spare)
{
    ASSERT(deadline_ms >= ENTRY_NO_DEADLINE);
    struct value settled = *value;
    struct raw *unused = value_settle(memory, &settled);
    unsigned front_flags = front_flags_of(deadline_ms, ENTRY_NO_DEADLINE);
    struct entry *entry = entry_block_new(memory, front_flags, key, value_inline_size(&settled));
    entry_value_store(entry, &settled);
    entry_deadlines_store(wheel, entry, deadline_ms, ENTRY_NO_DEADLINE, spare);
    if (unused != NULL) {
        raw_delete(memory, unused);
    }
    return entry;
}

/** Raw or object, which the entry no longer refers to. `was` is the entry's value at that time. */
static void
entry_pointer_delete(struct memory *memory, const struct value *was)
{
    if (was->is_object) {
        value_object_delete(was);
    } else {
        raw_delete(memory, was->raw);
    }
}

bool
entry_overwrite(struct entry *entry, const struct value *value)
{
    bool is_integer = value_is_integer(value);
    size_t size = is_integer ? sizeof(value->integer) : value->bytes.size;
    if ((entry->flags & (FRONT_FLAGS | ENTRY_IS_OUT_OF_LINE)) != 0 || value->is_object ||
        value->raw != NULL || entry->value_size != size || size == 0) {
        return false;
    }
    entry->type = value->type & 7U;
    entry->encoding = value->encoding & 15U;
    memmove(entry_value_data(entry), is_integer ? (const char *)&value->integer : value->bytes.data,
            size);
    return true;
}

struct entry *
entry_assign(struct memory *memory, struct wheel *wheel, struct entry *entry,
             const struct value *value, int64_t deadline_ms, uint32_t spare)
{
    ASSERT(deadline_ms >= ENTRY_NO_DEADLINE);
    struct value was = {.type = VALUE_NONE};
    void *old_pointer = entry_pointer(entry);
    if (UNLIKELY(old_pointer != NULL)) {
        entry_value(entry, &was);
    }

    struct value settled = *value;
    struct raw *unused = value_settle(memory, &settled);
    unsigned front_flags = front_flags_of(deadline_ms, ENTRY_NO_DEADLINE);
    struct entry *fresh =
        entry_reshape(memory, wheel, entry, front_flags, value_inline_size(&settled));
    /* The old entry still stands: the bytes may lie in it. */
    entry_value_store(fresh, &settled);
    entry_deadlines_store(wheel, fresh, deadline_ms, ENTRY_NO_DEADLINE, spare);
    if (fresh != entry) {
        entry_block_delete(memory, entry);
    }
    if (old_pointer != NULL && old_pointer != entry_pointer(fresh)) {
        entry_pointer_delete(memory, &was);
    }
    if (unused != NULL && unused != old_pointer) {
        raw_delete(memory, unused);
    }
    return fresh;
}

/** Both deadlines. */
static struct entry *
entry_deadlines_set(struct memory *memory, struct wheel *wheel, struct entry *entry,
                    int64_t deadline_ms, int64_t element_ms, uint32_t spare)
{
    ASSERT(deadline_ms >= ENTRY_NO_DEADLINE);
    unsigned front_flags = front_flags_of(deadline_ms, element_ms);
    struct entry *fresh = entry_reshape(memory, wheel, entry, front_flags, entry->value_size);
    entry_deadlines_store(wheel, fresh, deadline_ms, element_ms, spare);
    if (fresh != entry) {
        entry_block_delete(memory, entry);
    }
    return fresh;
}

struct entry *
entry_deadline_set(struct memory *memory, struct wheel *wheel, struct entry *entry,
                   int64_t deadline_ms, uint32_t spare)
{
    int64_t element_ms = ENTRY_NO_DEADLINE;
    if (UNLIKELY(entry_has_element_deadline(entry))) {
        struct value value;
        entry_value(entry, &value);
        element_ms = value_object_deadline_ms(&value);
    }
    return entry_deadlines_set(memory, wheel, entry, deadline_ms, element_ms, spare);
}

struct entry *
entry_element_deadline_set(struct memory *memory, struct wheel *wheel, struct entry *entry,
                           int64_t deadline_ms, uint32_t spare)
{
    return entry_deadlines_set(memory, wheel, entry, entry_deadline_ms(entry), deadline_ms, spare);
}

/** The out-of-line half of entry_string_resize(). `raw` is still the entry's. */
static struct entry *
entry_raw_resize(struct memory *memory, struct entry *entry, struct raw *raw, size_t size,
                 char **data)
{
    raw = raw_grow(memory, raw, size);
    memcpy(entry_value_data(entry), &raw, sizeof(raw));
    if (size > raw->size) {
        memset(raw->data + raw->size, 0, size - raw->size);
    }
    raw->size = size;
    *data = raw->data;
    return entry;
}

struct entry *
entry_string_resize(struct memory *memory, struct wheel *wheel, struct entry *entry,
                    enum value_encoding encoding, size_t size, char **data)
{
    ASSERT(entry->type == VALUE_STRING);
    ASSERT(entry->encoding != ENCODING_INT);
    struct raw *raw = entry_pointer(entry);
    entry->encoding = (uint32_t)encoding & 15U;
    if (raw != NULL) {
        return entry_raw_resize(memory, entry, raw, size, data);
    }
    ASSERT((entry->flags & ENTRY_IS_OUT_OF_LINE) == 0);
    size_t old_size = entry->value_size;
    if (size <= ENTRY_INLINE_SIZE_MAX) {
        unsigned front_flags = entry->flags & FRONT_FLAGS;
        struct entry *fresh = entry_reshape(memory, wheel, entry, front_flags, size);
        if (fresh != entry) {
            entry_block_delete(memory, entry);
        }
        fresh->value_size = (uint16_t)size;
        *data = entry_value_data(fresh);
        if (size > old_size) {
            memset(*data + old_size, 0, size - old_size);
        }
        return fresh;
    }
    raw = raw_new(memory, size, size);
    memcpy(raw->data, entry_value_data(entry), old_size);
    memset(raw->data + old_size, 0, size - old_size);
    *data = raw->data;
    struct value value = value_string(raw_bytes(raw), encoding);
    value.raw = raw;
    struct wheel_node node = {.place = WHEEL_NOWHERE};
    if (entry_has_node(entry)) {
        node = *entry_node(entry);
    }
    return entry_assign(memory, wheel, entry, &value, entry_deadline_ms(entry), node.spare);
}

void
entry_delete(struct memory *memory, struct wheel *wheel, struct entry *entry)
{
    if (entry_has_node(entry)) {
        wheel_remove(wheel, entry_node(entry));
    }
    if (entry_pointer(entry) != NULL) {
        struct value value;
        entry_value(entry, &value);
        entry_pointer_delete(memory, &value);
    }
    entry_block_delete(memory, entry);
}

void
entry_value(const struct entry *entry, struct value *out)
{
    *out = (struct value){.type = entry->type, .encoding = entry->encoding};
    const char *data = entry_value_data(entry);
    if ((entry->flags & ENTRY_IS_OUT_OF_LINE) != 0) {
        void *pointer;
        memcpy(&pointer, data, sizeof(pointer));
        if (entry->type != VALUE_STRING) {
            out->is_object = true;
            out->object = pointer;
        } else if (pointer != NULL) {
            out->raw = pointer;
            out->bytes = raw_bytes(out->raw);
        }
    } else if (out->encoding == ENCODING_INT) {
        memcpy(&out->integer, data, sizeof(out->integer));
    } else {
        out->bytes = slice_of(data, entry->value_size);
    }
}

void
entry_value_take(struct entry *entry, struct value *out)
{
    entry_value(entry, out);
    if (entry_pointer(entry) != NULL) {
        void *pointer = NULL;
        memcpy(entry_value_data(entry), &pointer, sizeof(pointer));
        entry->type = VALUE_STRING;
        entry->encoding = ENCODING_RAW;
    }
}

void
entry_object_set(struct entry *entry, const struct value *value)
{
    ASSERT(entry_has_object(entry));
    ASSERT(value->is_object);
    entry_value_store(entry, value);
}

size_t
entry_size(const struct entry *entry)
{
    size_t size = memory_class_size(entry_block_size(entry));
    if (!entry_has_object(entry)) {
        const struct raw *raw = entry_pointer(entry);
        size += raw != NULL ? raw_size(raw) : 0;
    }
    return size;
}
