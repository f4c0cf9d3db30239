#include "shard/value/stream_node.h"

/*
 * stream_node.c: how entries lie in a listpack.
 *
 *     [count] [deleted] [fields n] [field 1] .. [field n] [0]                 the head
 *     [flags] [ms] [sequence] [value 1] .. [value n] [elements]               fields as the head's
 *     [flags] [ms] [sequence] [m] [field 1] [value 1] .. [elements]           fields of its own
 *
 * ms and sequence count from the id that the node is found by, its first entry's. `elements` is how
 * many stand in front of it in the entry, for walking back. A deleted entry is marked by a flag and
 * stays until its node goes; count and deleted tell them apart. The layout is Redis's (rdb and DUMP
 * carry it), and so are the rules when a node is full: else what approximate trimming removes would
 * differ.
 *
 * The numbers are unsigned and wrap: an id is the sum modulo 2^64, number by number.
 *
 * Invariant: a node in a stream is one that stream_node_is_valid() accepts.
 *
 * Rejected: dropping deleted entries when many are (redis-server does not, and the bytes would
 * differ; streams lose whole nodes as a rule).
 */

#define FLAG_DELETED 1
#define FLAG_NODE_FIELDS 2

/** flags, ms, sequence. */
#define ENTRY_HEAD_COUNT 3
/** count, deleted, fields n. */
#define HEAD_COUNT 3

/** What stands in an integer's byte when it is below. */
#define BYTE_INTEGER_MAX 127

/* ---- elements ---- */

static int64_t
integer_at(const struct listpack *node, uint32_t position)
{
    unsigned char first = node->bytes[position];
    if (LIKELY(first <= BYTE_INTEGER_MAX)) {
        return first;
    }
    struct listpack_item item = listpack_get(node, position);
    ASSERT(item.is_integer);
    return item.integer;
}

/** As listpack_replace_integer(), which moves all that is behind, but for small numbers. */
static struct listpack *
integer_replace(struct listpack *node, uint32_t position, int64_t value)
{
    if (LIKELY(node->bytes[position] <= BYTE_INTEGER_MAX && value >= 0 &&
               value <= BYTE_INTEGER_MAX)) {
        node->bytes[position] = (unsigned char)value;
        return node;
    }
    return listpack_replace_integer(node, position, value);
}

uint32_t
stream_node_skip(const struct listpack *node, uint32_t position, uint32_t element_count)
{
    for (; element_count > 0 && position != LISTPACK_NONE; element_count--) {
        position = listpack_next(node, position);
    }
    return position;
}

/* ---- looking ---- */

int64_t
stream_node_count(const struct listpack *node)
{
    return integer_at(node, STREAM_NODE_COUNT_AT);
}

struct stream_node_head
stream_node_head(const struct listpack *node)
{
    struct stream_node_head head;
    uint32_t position = STREAM_NODE_COUNT_AT;
    head.count = integer_at(node, position);
    position = listpack_next(node, position);
    head.deleted_count = integer_at(node, position);
    position = listpack_next(node, position);
    head.field_count = (uint32_t)integer_at(node, position);
    head.fields_at = listpack_next(node, position);
    head.entries_at = stream_node_skip(node, head.fields_at, head.field_count + 1);
    return head;
}

struct stream_node_entry
stream_node_entry(const struct listpack *node, const struct stream_node_head *head,
                  struct stream_id master_id, uint32_t position)
{
    struct stream_node_entry entry = {.at = position};
    int64_t flags = integer_at(node, position);
    entry.is_deleted = (flags & FLAG_DELETED) != 0;
    entry.has_node_fields = (flags & FLAG_NODE_FIELDS) != 0;
    position = listpack_next(node, position);
    entry.id.ms = master_id.ms + (uint64_t)integer_at(node, position);
    position = listpack_next(node, position);
    entry.id.sequence = master_id.sequence + (uint64_t)integer_at(node, position);
    position = listpack_next(node, position);
    if (entry.has_node_fields) {
        entry.pair_count = head->field_count;
    } else {
        entry.pair_count = (uint32_t)integer_at(node, position);
        position = listpack_next(node, position);
    }
    entry.texts_at = position;
    return entry;
}

uint32_t
stream_node_entry_next(const struct listpack *node, const struct stream_node_entry *entry)
{
    uint32_t text_count = entry->has_node_fields ? entry->pair_count : 2 * entry->pair_count;
    return stream_node_skip(node, entry->texts_at, text_count + 1);
}

uint32_t
stream_node_entry_before(const struct listpack *node, const struct stream_node_head *head,
                         uint32_t position)
{
    if (position == head->entries_at) {
        return LISTPACK_NONE;
    }
    position = position == LISTPACK_NONE ? listpack_last(node) : listpack_previous(node, position);
    if (position < head->entries_at) {
        return LISTPACK_NONE;
    }
    int64_t element_count = integer_at(node, position);
    for (; element_count > 0; element_count--) {
        position = listpack_previous(node, position);
    }
    return position;
}

struct stream_id
stream_node_last_id(const struct listpack *node, struct stream_id master_id)
{
    struct stream_node_head head = stream_node_head(node);
    uint32_t position = stream_node_entry_before(node, &head, LISTPACK_NONE);
    ASSERT(position != LISTPACK_NONE);
    return stream_node_entry(node, &head, master_id, position).id;
}

/* ---- changing ---- */

struct listpack *
stream_node_new(size_t room_size, const struct slice *texts, uint32_t pair_count)
{
    struct listpack *node = listpack_new(room_size);
    node = listpack_append_integer(node, 0);
    node = listpack_append_integer(node, 0);
    node = listpack_append_integer(node, pair_count);
    for (uint32_t i = 0; i < pair_count; i++) {
        node = listpack_append(node, texts[2 * i]);
    }
    return listpack_append_integer(node, 0);
}

static bool
has_node_fields(const struct listpack *node, const struct slice *texts, uint32_t pair_count)
{
    uint32_t position = listpack_next(node, STREAM_NODE_COUNT_AT);
    position = listpack_next(node, position);
    if (integer_at(node, position) != pair_count) {
        return false;
    }
    for (uint32_t i = 0; i < pair_count; i++) {
        position = listpack_next(node, position);
        if (!listpack_equal(node, position, texts[2 * i])) {
            return false;
        }
    }
    return true;
}

struct listpack *
stream_node_append(struct listpack *node, struct stream_id master_id, struct stream_id id,
                   const struct slice *texts, uint32_t pair_count)
{
    bool is_same = has_node_fields(node, texts, pair_count);
    node = integer_replace(node, STREAM_NODE_COUNT_AT, stream_node_count(node) + 1);
    node = listpack_append_integer(node, is_same ? FLAG_NODE_FIELDS : 0);
    node = listpack_append_integer(node, (int64_t)(id.ms - master_id.ms));
    node = listpack_append_integer(node, (int64_t)(id.sequence - master_id.sequence));
    int64_t element_count = ENTRY_HEAD_COUNT + (int64_t)pair_count;
    if (!is_same) {
        node = listpack_append_integer(node, pair_count);
        element_count += (int64_t)pair_count + 1;
    }
    for (uint32_t i = 0; i < pair_count; i++) {
        if (!is_same) {
            node = listpack_append(node, texts[2 * i]);
        }
        node = listpack_append(node, texts[2 * i + 1]);
    }
    return listpack_append_integer(node, element_count);
}

struct listpack *
stream_node_mark(struct listpack *node, const struct stream_node_entry *entry)
{
    ASSERT(!entry->is_deleted);
    /* Flags are one byte in any case, so that nothing moves. */
    return integer_replace(node, entry->at, integer_at(node, entry->at) | FLAG_DELETED);
}

struct listpack *
stream_node_count_deleted(struct listpack *node, int64_t marked_count)
{
    int64_t count = stream_node_count(node) - marked_count;
    ASSERT(count > 0);
    node = integer_replace(node, STREAM_NODE_COUNT_AT, count);
    uint32_t position = listpack_next(node, STREAM_NODE_COUNT_AT);
    return integer_replace(node, position, integer_at(node, position) + marked_count);
}

/* ---- foreign bytes ---- */

/** Reads a listpack that listpack_validate() has accepted, element by element. */
struct reader {
    const struct listpack *node;
    uint32_t position; /* LISTPACK_NONE: at the end */
    bool is_broken;
};

static void
read_text(struct reader *reader)
{
    if (reader->position == LISTPACK_NONE) {
        reader->is_broken = true;
    } else {
        reader->position = listpack_next(reader->node, reader->position);
    }
}

/** 0 where something else stands there. */
static int64_t
read_integer(struct reader *reader)
{
    struct listpack_item item = {0};
    if (reader->position != LISTPACK_NONE) {
        item = listpack_get(reader->node, reader->position);
    }
    reader->is_broken = reader->is_broken || !item.is_integer;
    read_text(reader);
    return item.integer;
}

/** A number of things of which each takes an element at least. */
static uint32_t
read_count(struct reader *reader)
{
    int64_t count = read_integer(reader);
    if (count < 0 || count > (int64_t)listpack_size(reader->node)) {
        reader->is_broken = true;
    }
    return reader->is_broken ? 0 : (uint32_t)count;
}

static void
read_texts(struct reader *reader, uint64_t count)
{
    for (; count > 0 && !reader->is_broken; count--) {
        read_text(reader);
    }
}

/** Returns the entry's flags. */
static int64_t
read_entry(struct reader *reader, uint32_t field_count, struct stream_id master_id,
           struct stream_id *id)
{
    int64_t flags = read_integer(reader);
    reader->is_broken =
        reader->is_broken || flags < 0 || (flags & ~(FLAG_DELETED | FLAG_NODE_FIELDS)) != 0;
    id->ms = master_id.ms + (uint64_t)read_integer(reader);
    id->sequence = master_id.sequence + (uint64_t)read_integer(reader);
    uint64_t element_count = ENTRY_HEAD_COUNT + (uint64_t)field_count;
    if ((flags & FLAG_NODE_FIELDS) != 0) {
        read_texts(reader, field_count);
    } else {
        uint64_t pair_count = read_count(reader);
        read_texts(reader, 2 * pair_count);
        element_count = ENTRY_HEAD_COUNT + 1 + 2 * pair_count;
    }
    if (read_integer(reader) != (int64_t)element_count) {
        reader->is_broken = true;
    }
    return flags;
}

static bool
content_read(const struct listpack *node, struct stream_id master_id,
             struct stream_node_content *content)
{
    struct reader reader = {.node = node, .position = listpack_first(node)};
    uint32_t count = read_count(&reader);
    uint32_t deleted_count = read_count(&reader);
    uint32_t field_count = read_count(&reader);
    read_texts(&reader, field_count);
    if (read_integer(&reader) != 0 || reader.is_broken || count == 0) {
        return false;
    }
    *content = (struct stream_node_content){0};
    while (reader.position != LISTPACK_NONE && !reader.is_broken) {
        struct stream_id id;
        int64_t flags = read_entry(&reader, field_count, master_id, &id);
        bool is_first = content->count + content->deleted_count == 0;
        if (stream_id_compare(id, is_first ? master_id : content->last_id) < (is_first ? 0 : 1)) {
            return false;
        }
        content->last_id = id;
        if ((flags & FLAG_DELETED) != 0) {
            content->deleted_count++;
        } else {
            content->first_id = content->count == 0 ? id : content->first_id;
            content->count++;
        }
    }
    return !reader.is_broken && content->count == count && content->deleted_count == deleted_count;
}

bool
stream_node_is_valid(struct slice bytes, struct stream_id master_id,
                     struct stream_node_content *content)
{
    uint32_t count;
    if (!listpack_validate(bytes, &count) || count <= HEAD_COUNT) {
        return false;
    }
    struct listpack *node = listpack_from_bytes(bytes);
    bool is_valid = content_read(node, master_id, content);
    listpack_delete(node);
    return is_valid;
}
