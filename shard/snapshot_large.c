/*
 * snapshot_large.c: values that take many steps.
 *
 *     collection   locked (shared): readers go on          has an image: it may change
 *                  [head][element element ...][element ...][part 6] [part 91] [part 7] ... padding
 *     string       pinned: who changes it gets a copy
 *                  [head][    bytes, from where they lie   ]
 *
 * A collection changes in place. As long as nobody wants to change it, it is locked as a reader of
 * another core would lock it; when its owner does it gets an image (shard/value/image.h), and is
 * written without its lock and its entry from then on; when another core does, that waits
 * (snapshot_guard.c). Where there is no waiting (an EXEC that has closed all shards opens a key)
 * the rest is written at once, however long that takes.
 *
 * A record is one piece of the file. One that may become longer than SNAPSHOT_GATHER_SIZE_MAX takes
 * its range first, by what it can become at the most, and the rest is padded: a hole in the file
 * that costs no writing and no disk. Shorter ones are gathered and take what they need. In the form
 * of commands all are gathered, since RESTORE tells its payload's size in front.
 *
 * Rejected: counting first (a second walk over all elements, while others wait), the end of the
 * file for one shard alone (all others would have to stop).
 */
#include "shard/snapshot_internal.h"

#include "core/heap.h"
#include "persist/crc64.h"
#include "shard/router_internal.h"

#include <errno.h>

/** A string's head in a file: a mark and a size; most have one or two bytes, and the longest make
 * up for theirs by this part of their size. */
#define STRING_HEAD_SIZE 2
#define STRING_HEAD_SHIFT 10
/** Longest head of a node: two sizes and a form. */
#define NODE_HEAD_SIZE 32
/** A pending entry: id, time, count; and its id once more with its consumer. */
#define PENDING_SIZE 49
#define CONSUMER_SIZE 64
#define GROUP_SIZE 128

bool
snapshot_is_large_object(const struct entry *entry)
{
    if (LIKELY(!entry_has_object(entry))) {
        return false;
    }
    struct value value;
    entry_value(entry, &value);
    return object_size(value.object) > SNAPSHOT_OBJECT_SIZE_LARGE;
}

bool
snapshot_is_large_string(const struct entry *entry)
{
    if (LIKELY((entry->flags & ENTRY_IS_OUT_OF_LINE) == 0) || entry->type != VALUE_STRING) {
        return false;
    }
    struct value value;
    entry_value(entry, &value);
    return value.bytes.size > SNAPSHOT_STRING_SIZE_LARGE;
}

/* ---- how long a value can become ---- */

static uint64_t
list_size_max(const struct quicklist *list)
{
    uint64_t size = list->object.size;
    /* Packed nodes may be written unpacked. */
    const struct quicklist_node *node = list->compressed_count > 0 ? list->first : NULL;
    for (; node != NULL; node = node->next) {
        size += quicklist_node_size(node);
    }
    return size + (uint64_t)list->node_count * NODE_HEAD_SIZE;
}

static uint64_t
stream_size_max(const struct stream *stream)
{
    uint64_t size = stream->listpack_size + stream->nodes.count * NODE_HEAD_SIZE;
    for (uint32_t i = 0; i < stream->group_count; i++) {
        const struct stream_group *group = stream->groups[i];
        size += GROUP_SIZE + group->name_size + group->pending.count * PENDING_SIZE;
        for (uint32_t j = 0; j < group->consumer_count; j++) {
            size += CONSUMER_SIZE + group->consumers[j]->name_size;
        }
    }
    return size;
}

/** No serialization of the value is longer. */
static uint64_t
value_size_max(const struct value *value)
{
    uint64_t size = object_size(value->object);
    uint64_t count = object_count((enum value_type)value->type,
                                  (enum value_encoding)value->encoding, value->object);
    if (value->type == VALUE_LIST && value->encoding == ENCODING_QUICKLIST) {
        size = list_size_max(value->object);
    } else if (value->type == VALUE_STREAM) {
        size = stream_size_max(value->object);
    } else if (value->type == VALUE_SET && value->encoding == ENCODING_HASHTABLE) {
        size += count * STRING_HEAD_SIZE;
    } else if (value->type == VALUE_HASH && value->encoding == ENCODING_HASHTABLE) {
        size += count * (2 * STRING_HEAD_SIZE + sizeof(int64_t));
    } else if (value->type == VALUE_ZSET) {
        size += count * (STRING_HEAD_SIZE + sizeof(double));
    }
    return size + (size >> STRING_HEAD_SHIFT) + GROUP_SIZE;
}

/* ---- its bytes ---- */

static void
large_send(struct snapshot_large *large, struct snapshot_block *block)
{
    uint64_t size = block->vector.iov_len;
    snapshot_block_send(block, large->offset + large->size);
    large->size += size;
}

/** A block of the record, the next one. */
static void
large_put(struct snapshot_large *large, struct snapshot_block *block)
{
    struct slice bytes = snapshot_block_bytes(block);
    large->crc = crc64_update(large->crc, bytes);
    if (!large->is_placed) {
        if (large->gathered_last == NULL) {
            large->gathered_first = block;
        } else {
            large->gathered_last->next = block;
        }
        large->gathered_last = block;
        large->size += bytes.size;
        return;
    }
    if (UNLIKELY(large->size + bytes.size + RDB_PADDING_SIZE_MIN > large->range_size)) {
        /* A bound of ours is wrong: no file is better than a wrong one. */
        large->is_failed = true;
        snapshot_block_delete(block);
        snapshot_fail(large->snapshot->job, -EOVERFLOW);
        return;
    }
    large_send(large, block);
}

void
snapshot_large_put(struct snapshot_large *large)
{
    if (large->writer.size > 0) {
        large_put(large, snapshot_block_take(large->snapshot, &large->writer));
    }
}

static void
large_place(struct snapshot_large *large, uint64_t size)
{
    large->is_placed = true;
    large->range_size = size;
    large->offset = snapshot_range_take(large->snapshot, size);
    large->size = 0;
}

static void
large_send_gathered(struct snapshot_large *large)
{
    while (large->gathered_first != NULL) {
        struct snapshot_block *block = large->gathered_first;
        large->gathered_first = block->next;
        large_send(large, block);
    }
    large->gathered_last = NULL;
}

/** Fill what was taken and is not needed. */
static void
large_pad(struct snapshot_large *large)
{
    uint64_t left_size = large->range_size - large->size;
    while (left_size > 0) {
        uint64_t zero_count = rdb_write_padding(&large->writer, &left_size);
        struct snapshot_block *head = snapshot_block_take(large->snapshot, &large->writer);
        large->crc = crc64_update(large->crc, snapshot_block_bytes(head));
        large->crc = crc64_combine(large->crc, 0, zero_count);
        large_send(large, head);
        large->size += zero_count;
    }
}

static void
large_note(struct snapshot_large *large)
{
    ASSERT(large->size == large->range_size);
    snapshot_range_note(large->snapshot, &(struct rdb_chunk){.offset = large->offset,
                                                             .size = large->size,
                                                             .crc = large->crc,
                                                             .key_count = 1});
}

/** The payload is gathered: what stands around it, and all of it to the file. */
static void
large_end_command(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    snapshot_write_payload_end(&large->writer, large->type, large->crc);
    snapshot_large_put(large);
    uint64_t payload_size = large->size;
    snapshot_write_argument_head(&large->writer, payload_size);
    struct snapshot_block *head = snapshot_block_take(snapshot, &large->writer);
    snapshot_write_restore_end(&large->writer);
    struct snapshot_block *end = snapshot_block_take(snapshot, &large->writer);
    large_place(large, large->front->vector.iov_len + head->vector.iov_len + payload_size +
                           end->vector.iov_len);
    large_send(large, large->front);
    large->front = NULL;
    large_send(large, head);
    large_send_gathered(large);
    large_send(large, end);
    large->crc = 0;
}

/* ---- life ---- */

static struct snapshot_large *
large_new(struct snapshot *snapshot)
{
    struct snapshot_large *large = heap_alloc(sizeof(*large));
    *large = (struct snapshot_large){.snapshot = snapshot};
    rdb_writer_create(&large->writer, snapshot->job->is_compressing);
    return large;
}

/** image_drop_fn. */
static void
large_object_drop(void *context, const struct value *value)
{
    struct shard *shard = context;
    keyspace_object_drop(&shard->keyspace, value);
}

static void
large_value_release(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    if (large->raw != NULL) {
        raw_unpin(&snapshot->shard->memory, large->raw);
        return;
    }
    codec_writer_destroy(&large->codec);
    if (large->image != NULL) {
        image_delete(large->image, large_object_drop, snapshot->shard);
    } else {
        snapshot_settle(snapshot, large->entry);
    }
    if (large->is_locked) {
        snapshot_large_unlock(large);
    }
}

/** Written, or not wanted any more. */
static void
large_delete(struct snapshot_large *large)
{
    list_remove(&large->link);
    large_value_release(large);
    if (large->front != NULL) {
        snapshot_block_delete(large->front);
    }
    if (large->end != NULL) {
        snapshot_block_delete(large->end);
    }
    while (large->gathered_first != NULL) {
        struct snapshot_block *block = large->gathered_first;
        large->gathered_first = block->next;
        snapshot_block_delete(block);
    }
    rdb_writer_destroy(&large->writer);
    heap_free(large);
}

/* ---- strings ---- */

void
snapshot_string_begin(struct snapshot *snapshot, uint32_t cut_db, struct entry *entry)
{
    struct snapshot_large *large = large_new(snapshot);
    struct rdb_writer *writer = &large->writer;
    struct value value;
    entry_value(entry, &value);
    large->raw = value.raw;
    raw_pin(large->raw);
    snapshot_settle(snapshot, entry);
    uint64_t end_size = 0;
    if (snapshot->job->form == SNAPSHOT_COMMANDS) {
        snapshot_write_set_end(writer, entry);
        end_size = writer->size;
        large->end = snapshot_block_take(snapshot, writer);
        snapshot_write_select(snapshot, writer, cut_db);
        snapshot_write_set(writer, entry, large->raw->size);
    } else {
        snapshot_write_select(snapshot, writer, cut_db);
        snapshot_write_key(snapshot, writer, entry, &value);
        rdb_write_length(writer, large->raw->size);
    }
    /* Its size is known: there is no padding, and room for none is not asked for. */
    large_place(large, writer->size + large->raw->size + end_size);
    struct snapshot_block *head = snapshot_block_take(snapshot, writer);
    large->crc = crc64_update(0, snapshot_block_bytes(head));
    large_send(large, head);
    list_push_back(&snapshot->larges, &large->link);
}

static void
string_step(struct snapshot_large *large)
{
    struct raw *raw = large->raw;
    uint64_t size = MIN(raw->size - large->raw_offset, (uint64_t)SNAPSHOT_CHUNK_SIZE);
    struct snapshot_block *block =
        snapshot_block_of_raw(large->snapshot, raw, large->raw_offset, size);
    if (large->snapshot->job->form == SNAPSHOT_RDB) {
        large->crc = crc64_update(large->crc, snapshot_block_bytes(block));
    } else {
        large->crc = 0;
    }
    large->raw_offset += size;
    large_send(large, block);
    if (large->raw_offset < raw->size) {
        return;
    }
    if (large->end != NULL) {
        large_send(large, large->end);
        large->end = NULL;
    }
    large_note(large);
    large_delete(large);
}

/* ---- collections ---- */

struct snapshot_large *
snapshot_large_find(const struct snapshot *snapshot, const struct entry *entry)
{
    for (struct list_node *node = list_first(&snapshot->larges); node != NULL;
         node = list_next(&snapshot->larges, node)) {
        struct snapshot_large *large = container_of(node, struct snapshot_large, link);
        if (large->entry == entry) {
            return large;
        }
    }
    return NULL;
}

/** The head of the record, and its place in the file if it is long. */
static void
large_write_head(struct snapshot_large *large, uint32_t cut_db)
{
    struct snapshot *snapshot = large->snapshot;
    struct rdb_writer *writer = &large->writer;
    struct value value;
    entry_value(large->entry, &value);
    large->type = (uint8_t)codec_type(&value);
    if (snapshot->job->form == SNAPSHOT_COMMANDS) {
        snapshot->part->has_field_deadlines |= large->type == RDB_TYPE_HASH_2;
        snapshot_write_select(snapshot, writer, cut_db);
        snapshot_write_restore(writer, large->entry);
        large->front = snapshot_block_take(snapshot, writer);
        rdb_write_u8(writer, large->type);
    } else {
        snapshot_writer_room(snapshot, writer);
        snapshot_write_select(snapshot, writer, cut_db);
        snapshot_write_key(snapshot, writer, large->entry, &value);
        uint64_t size_max = writer->size + value_size_max(&value) + RDB_PADDING_SIZE_MIN;
        if (size_max > SNAPSHOT_GATHER_SIZE_MAX) {
            large_place(large, size_max);
        }
    }
    codec_writer_create(&large->codec, writer, &value);
}

struct snapshot_large *
snapshot_large_new(struct snapshot *snapshot, uint32_t db, uint32_t cut_db, struct entry *entry,
                   bool is_locking)
{
    struct snapshot_large *large = large_new(snapshot);
    large->entry = entry;
    large->db = (uint16_t)db;
    large->hash = entry_hash(entry, snapshot->shard->keyspace.hash_seed);
    if (is_locking && !snapshot_large_lock(large)) {
        heap_free(large);
        return NULL;
    }
    list_push_back(&snapshot->larges, &large->link);
    large_write_head(large, cut_db);
    return large;
}

bool
snapshot_large_begin(struct snapshot *snapshot, uint32_t db, uint32_t cut_db, struct entry *entry,
                     bool is_wanted)
{
    struct snapshot_large *large = snapshot_large_find(snapshot, entry);
    if (large == NULL) {
        /* What was flushed is out of everybody's reach. */
        large = snapshot_large_new(snapshot, db, cut_db, entry, db != KEYSPACE_NO_DATABASE);
        if (large == NULL) {
            return false;
        }
    }
    if (is_wanted) {
        snapshot_large_want(large);
    }
    return true;
}

static void
object_end(struct snapshot_large *large)
{
    if (large->snapshot->job->form == SNAPSHOT_COMMANDS) {
        large_end_command(large);
    } else if (large->is_placed) {
        large_pad(large);
    } else {
        large_place(large, large->size);
        large_send_gathered(large);
    }
    large_note(large);
}

static void
object_step(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    if (large->writer.bytes == NULL) {
        snapshot_writer_room(snapshot, &large->writer);
    }
    bool is_done = codec_write_step(&large->codec, SNAPSHOT_STEP_SIZE);
    if (is_done || large->writer.size >= SNAPSHOT_CHUNK_SIZE) {
        snapshot_large_put(large);
    }
    if (!is_done && !large->is_failed) {
        return;
    }
    if (!large->is_failed) {
        object_end(large);
    }
    large_delete(large);
}

void
snapshot_large_step(struct snapshot *snapshot)
{
    struct snapshot_large *large =
        container_of(list_first(&snapshot->larges), struct snapshot_large, link);
    if (large->raw != NULL) {
        string_step(large);
    } else {
        object_step(large);
    }
}

/** Write all the rest. */
void
snapshot_large_write_rest(struct snapshot_large *large)
{
    struct snapshot *snapshot = large->snapshot;
    list_remove(&large->link);
    list_push_front(&snapshot->larges, &large->link);
    while (list_first(&snapshot->larges) == &large->link) {
        object_step(large);
    }
}

bool
snapshot_large_finish(struct snapshot *snapshot, const struct entry *entry)
{
    struct snapshot_large *large = snapshot_large_find(snapshot, entry);
    if (large == NULL) {
        return false;
    }
    snapshot_large_write_rest(large);
    return true;
}

void
snapshot_large_drop_all(struct snapshot *snapshot)
{
    while (!list_is_empty(&snapshot->larges)) {
        large_delete(container_of(list_first(&snapshot->larges), struct snapshot_large, link));
    }
}
