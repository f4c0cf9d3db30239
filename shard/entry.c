#include "shard/entry.h"

/*
 * entry.c: a key and its value in one block.
 *
 *     [deadline_ms, place, spare] header [key size] key value
 *      16, only with a deadline   8       4, rare    n  8: integer or pointer, or the bytes
 *                                 ^ struct entry *
 *
 * The pointer is to the header, so that a lookup reads header and key without asking whether there
 * is a deadline.
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

/** What is asked of the allocator. */
static size_t
entry_block_size_of(bool has_deadline, size_t key_size, size_t value_size)
{
    return (has_deadline ? sizeof(struct wheel_node) : 0) + sizeof(struct entry) +
           (key_size >= ENTRY_KEY_SIZE_LONG ? sizeof(uint32_t) : 0) + key_size + value_size;
}

static size_t
entry_block_size(const struct entry *entry)
{
    return entry_block_size_of(entry_has_deadline(entry), entry_key(entry).size, entry->value_size);
}

static void *
entry_block(struct entry *entry)
{
    return entry_has_deadline(entry) ? (void *)entry_node(entry) : (void *)entry;
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
entry_block_new(struct memory *memory, bool has_deadline, struct slice key, size_t value_size)
{
    ASSERT(key.size <= UINT32_MAX);
    ASSERT(value_size <= ENTRY_INLINE_SIZE_MAX);
    char *block = memory_alloc(memory, entry_block_size_of(has_deadline, key.size, value_size));
    struct entry *entry = (struct entry *)(void *)block;
    if (has_deadline) {
        *(struct wheel_node *)(void *)block = (struct wheel_node){.place = WHEEL_NOWHERE};
        entry = (struct entry *)(void *)(block + sizeof(struct wheel_node));
    }
    *entry = (struct entry){.flags = has_deadline ? ENTRY_HAS_DEADLINE : 0,
                            .value_size = (uint16_t)value_size};
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

static void
entry_deadline_store(struct wheel *wheel, struct entry *entry, int64_t deadline_ms, uint32_t spare)
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

/**
 * An entry that has room for such a value and, or not, for a deadline: itself where its class fits,
 * else a new one with the same header, key, value (as far as there is room) and place in the wheel.
 * The old one is left for the caller to delete.
 */
static struct entry *
entry_reshape(struct memory *memory, struct wheel *wheel, struct entry *entry, bool has_deadline,
              size_t value_size)
{
    struct slice key = entry_key(entry);
    bool had_deadline = entry_has_deadline(entry);
    size_t size = entry_block_size_of(has_deadline, key.size, value_size);
    if (had_deadline == has_deadline &&
        memory_class_size(size) == memory_class_size(entry_block_size(entry))) {
#ifdef TESSERA_SYSTEM_MALLOC
        /* Here a block is no larger than it was asked to be. */
        if (size == entry_block_size(entry))
#endif
        {
            return entry;
        }
    }
    struct entry *fresh = entry_block_new(memory, has_deadline, key, value_size);
    fresh->access = entry->access;
    fresh->type = entry->type;
    fresh->encoding = entry->encoding;
    fresh->flags =
        (uint8_t)((entry->flags & ~ENTRY_HAS_DEADLINE) | (has_deadline ? ENTRY_HAS_DEADLINE : 0));
    size_t kept_size = MIN(value_size, (size_t)entry->value_size);
    memcpy(entry_value_data(fresh), entry_value_data(entry), kept_size);
    if (had_deadline && has_deadline) {
        *entry_node(fresh) = *entry_node(entry);
        wheel_relocate(wheel, entry_node(entry), entry_node(fresh));
    } else if (had_deadline) {
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
    bool has_deadline = deadline_ms != ENTRY_NO_DEADLINE;
    struct entry *entry = entry_block_new(memory, has_deadline, key, value_inline_size(&settled));
    entry_value_store(entry, &settled);
    if (has_deadline) {
        entry_deadline_store(wheel, entry, deadline_ms, spare);
    }
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

struct entry *
entry_assign(struct memory *memory, struct wheel *wheel, struct entry *entry,
             const struct value *value, int64_t deadline_ms, uint32_t spare)
{
    ASSERT(deadline_ms >= ENTRY_NO_DEADLINE);
    struct value was;
    void *old_pointer = entry_pointer(entry);
    entry_value(entry, &was);

    struct value settled = *value;
    struct raw *unused = value_settle(memory, &settled);
    bool has_deadline = deadline_ms != ENTRY_NO_DEADLINE;
    struct entry *fresh =
        entry_reshape(memory, wheel, entry, has_deadline, value_inline_size(&settled));
    /* The old entry still stands: the bytes may lie in it. */
    entry_value_store(fresh, &settled);
    if (has_deadline) {
        entry_deadline_store(wheel, fresh, deadline_ms, spare);
    }
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

struct entry *
entry_deadline_set(struct memory *memory, struct wheel *wheel, struct entry *entry,
                   int64_t deadline_ms, uint32_t spare)
{
    ASSERT(deadline_ms >= ENTRY_NO_DEADLINE);
    bool has_deadline = deadline_ms != ENTRY_NO_DEADLINE;
    struct entry *fresh = entry_reshape(memory, wheel, entry, has_deadline, entry->value_size);
    if (has_deadline) {
        entry_deadline_store(wheel, fresh, deadline_ms, spare);
    }
    if (fresh != entry) {
        entry_block_delete(memory, entry);
    }
    return fresh;
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
        struct entry *fresh = entry_reshape(memory, wheel, entry, entry_has_deadline(entry), size);
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
    if (entry_has_deadline(entry)) {
        node = *entry_node(entry);
    }
    return entry_assign(memory, wheel, entry, &value, entry_deadline_ms(entry), node.spare);
}

void
entry_delete(struct memory *memory, struct wheel *wheel, struct entry *entry)
{
    if (entry_has_deadline(entry)) {
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
