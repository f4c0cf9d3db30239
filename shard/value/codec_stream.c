#include "shard/value/codec_internal.h"

/*
 * codec_stream.c: streams, of all three ages.
 *
 *     count of nodes, (id of the first entry: a string of 16 bytes, listpack)
 *     entries, last id                                   ids are two lengths here
 *     first id, highest deleted id, entries ever added   since type 19
 *     count of groups, and for each
 *         name, last id, entries read                    the last since type 19
 *         count pending, (16 bytes id, time of delivery, deliveries)
 *         count of consumers, and for each
 *             name, time seen, time active               the last since type 21; not kept here
 *             count pending, (16 bytes id)
 *
 * Type 15 knows nothing of what was deleted: then the stream has had as many entries as it has, and
 * how far a group has come is told from that. The stream checks what it is given (stream.h): nodes
 * rise, each pending entry has one consumer, the sums agree.
 */

/* ---- writing ---- */

enum stream_phase {
    STREAM_NODES,
    STREAM_GROUPS,
    STREAM_PENDING,
    STREAM_CONSUMERS,
    STREAM_CONSUMER_PENDING,
};

static void
write_id(struct rdb_writer *writer, struct stream_id id)
{
    rdb_write_length(writer, id.ms);
    rdb_write_length(writer, id.sequence);
}

static void
write_id_bytes(struct rdb_writer *writer, struct stream_id id)
{
    unsigned char bytes[STREAM_ID_BYTES_SIZE];
    stream_id_write(bytes, id);
    rdb_write_bytes(writer, slice_of(bytes, sizeof(bytes)));
}

void
codec_write_stream_start(struct codec_writer *state)
{
    const struct stream *stream = state->value.object;
    state->stream = (struct codec_stream_walk){.place = stream_tree_first(&stream->nodes)};
    rdb_write_length(state->writer, stream->nodes.count);
}

static void
write_node(struct rdb_writer *writer, struct stream_id id, const struct listpack *node)
{
    rdb_write_length(writer, STREAM_ID_BYTES_SIZE);
    write_id_bytes(writer, id);
    rdb_write_string(writer, listpack_bytes(node));
}

/** What stands behind the nodes. */
static void
write_tail(struct rdb_writer *writer, const struct stream *stream)
{
    rdb_write_length(writer, stream->count);
    write_id(writer, stream->last_id);
    write_id(writer, stream->first_id);
    write_id(writer, stream->deleted_id_max);
    rdb_write_length(writer, stream->added_count);
    rdb_write_length(writer, stream->group_count);
}

static void
write_group(struct rdb_writer *writer, const struct stream_group *group)
{
    rdb_write_string(writer, stream_group_name(group));
    write_id(writer, group->last_id);
    rdb_write_length(writer, (uint64_t)group->read_count);
    rdb_write_length(writer, group->pending.count);
}

static void
write_consumer(struct rdb_writer *writer, const struct stream_consumer *consumer)
{
    rdb_write_string(writer, stream_consumer_name(consumer));
    rdb_write_u64(writer, (uint64_t)consumer->seen_ms);
    rdb_write_length(writer, consumer->pending.count);
}

static void
write_pending(struct rdb_writer *writer, struct stream_place place)
{
    const struct stream_pending *pending = stream_pending_at(place);
    write_id_bytes(writer, stream_place_id(place));
    rdb_write_u64(writer, (uint64_t)pending->delivery_ms);
    rdb_write_length(writer, pending->delivery_count);
}

/** All items of a phase are written: on to what comes then. */
static bool
phase_next(struct codec_writer *state)
{
    const struct stream *stream = state->value.object;
    struct codec_stream_walk *walk = &state->stream;
    const struct stream_group *group =
        walk->group_index < stream->group_count ? stream->groups[walk->group_index] : NULL;
    switch ((enum stream_phase)walk->phase) {
    case STREAM_NODES:
        write_tail(state->writer, stream);
        walk->phase = STREAM_GROUPS;
        return true;
    case STREAM_GROUPS:
        if (group == NULL) {
            return false;
        }
        write_group(state->writer, group);
        walk->place = stream_tree_first(&group->pending);
        walk->phase = STREAM_PENDING;
        return true;
    case STREAM_PENDING:
        rdb_write_length(state->writer, group->consumer_count);
        walk->consumer_index = 0;
        walk->phase = STREAM_CONSUMERS;
        return true;
    case STREAM_CONSUMERS:
        if (walk->consumer_index == group->consumer_count) {
            walk->group_index++;
            walk->phase = STREAM_GROUPS;
            return true;
        }
        write_consumer(state->writer, group->consumers[walk->consumer_index]);
        walk->place = stream_tree_first(&group->consumers[walk->consumer_index]->pending);
        walk->phase = STREAM_CONSUMER_PENDING;
        return true;
    case STREAM_CONSUMER_PENDING:
        walk->consumer_index++;
        walk->phase = STREAM_CONSUMERS;
        return true;
    default:
        break;
    }
    ASSERT(false);
    return false;
}

bool
codec_write_stream_next(struct codec_writer *state)
{
    struct codec_stream_walk *walk = &state->stream;
    if (walk->place.leaf == NULL) {
        return phase_next(state);
    }
    if (walk->phase == STREAM_NODES) {
        write_node(state->writer, stream_place_id(walk->place), stream_node_at(walk->place));
    } else if (walk->phase == STREAM_PENDING) {
        write_pending(state->writer, walk->place);
    } else {
        ASSERT(walk->phase == STREAM_CONSUMER_PENDING);
        write_id_bytes(state->writer, stream_place_id(walk->place));
    }
    walk->place = stream_place_next(walk->place);
    return true;
}

/* ---- writing what changes ---- */

/** Bytes of the tail that are copied at a time. */
#define TAIL_PIECE_SIZE 16384

void
codec_image_stream_begin(struct codec_writer *state)
{
    struct image *image = state->image;
    const struct stream *stream = state->value.object;
    struct codec_stream_walk *walk = &state->stream;
    uint32_t count = 0;
    bool has_nodes = walk->phase == STREAM_NODES;
    image_blocks_create(image, has_nodes ? (uint32_t)stream->nodes.count : 0, true);
    while (has_nodes && walk->place.leaf != NULL) {
        image->ids[count] = stream_place_id(walk->place);
        image->blocks[count++] = (uintptr_t)stream_node_at(walk->place);
        walk->place = stream_place_next(walk->place);
    }
    image->block_count = count;
    struct rdb_writer *writer = state->writer;
    rdb_writer_create(&state->tail, writer->is_compressing);
    state->writer = &state->tail;
    while (codec_write_stream_next(state)) {
    }
    state->writer = writer;
}

bool
codec_image_stream_next(struct codec_writer *state)
{
    struct image *image = state->image;
    if (image->position < image->block_count) {
        uint32_t index = image->position++;
        write_node(state->writer, image->ids[index], image_block(image, index));
        image_block_end(image, index);
        return true;
    }
    size_t size = MIN(state->tail.size - state->tail_offset, (size_t)TAIL_PIECE_SIZE);
    if (size == 0) {
        return false;
    }
    rdb_write_bytes(state->writer, slice_of(state->tail.bytes + state->tail_offset, size));
    state->tail_offset += size;
    return true;
}

/* ---- reading ---- */

static bool
read_id(struct rdb_reader *reader, struct stream_id *id)
{
    return rdb_read_length(reader, &id->ms) && rdb_read_length(reader, &id->sequence);
}

static bool
read_id_bytes(struct rdb_reader *reader, struct stream_id *id)
{
    unsigned char bytes[STREAM_ID_BYTES_SIZE];
    if (!rdb_read_bytes(reader, bytes, sizeof(bytes))) {
        return false;
    }
    *id = stream_id_read(bytes);
    return true;
}

static bool
read_nodes(struct rdb_reader *reader, struct stream *stream)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    struct rdb_text id = {0};
    struct rdb_text bytes = {0};
    bool is_read = true;
    for (; is_read && count > 0; count--) {
        is_read = rdb_read_string(reader, &id) && id.bytes.size == STREAM_ID_BYTES_SIZE &&
                  rdb_read_string(reader, &bytes) &&
                  stream_load_node(stream, stream_id_read((const unsigned char *)id.bytes.data),
                                   bytes.bytes);
    }
    rdb_text_release(&id);
    rdb_text_release(&bytes);
    return is_read;
}

static bool
read_tail(struct rdb_reader *reader, uint8_t type, struct stream *stream, uint64_t *count)
{
    struct stream_id first_id;
    if (!rdb_read_length(reader, count) || !read_id(reader, &stream->last_id)) {
        return false;
    }
    if (type == RDB_TYPE_STREAM_LISTPACKS) {
        stream->added_count = *count;
        return true;
    }
    /* The first id is known from the nodes. */
    return read_id(reader, &first_id) && read_id(reader, &stream->deleted_id_max) &&
           rdb_read_length(reader, &stream->added_count);
}

static bool
read_pending(struct rdb_reader *reader, struct stream *stream, struct stream_group *group)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        struct stream_id id;
        uint64_t delivery_ms;
        uint64_t delivery_count;
        if (!read_id_bytes(reader, &id) || !rdb_read_u64(reader, &delivery_ms) ||
            !rdb_read_length(reader, &delivery_count)) {
            return false;
        }
        struct stream_pending *pending = stream_pending_add(stream, group, id, NULL);
        if (pending == NULL) {
            return false;
        }
        pending->delivery_ms = (int64_t)delivery_ms;
        pending->delivery_count = delivery_count;
    }
    return true;
}

static bool
read_consumer(struct rdb_reader *reader, uint8_t type, struct stream *stream,
              struct stream_group *group)
{
    struct rdb_text name = {0};
    struct stream_consumer *consumer = NULL;
    uint64_t seen_ms;
    uint64_t active_ms;
    uint64_t count = 0;
    if (codec_read_member(reader, &name) && rdb_read_u64(reader, &seen_ms) &&
        (type != RDB_TYPE_STREAM_LISTPACKS_3 || rdb_read_u64(reader, &active_ms)) &&
        rdb_read_length(reader, &count)) {
        consumer = stream_consumer_create(stream, group, name.bytes, (int64_t)seen_ms);
    }
    rdb_text_release(&name);
    if (consumer == NULL) {
        return false;
    }
    for (; count > 0; count--) {
        struct stream_id id;
        if (!read_id_bytes(reader, &id) || !stream_pending_assign(stream, group, id, consumer)) {
            return false;
        }
    }
    return true;
}

/** False: it is none. */
static bool
read_read_count(struct rdb_reader *reader, uint8_t type, const struct stream *stream,
                struct stream_id last_id, int64_t *read_count)
{
    if (type == RDB_TYPE_STREAM_LISTPACKS) {
        *read_count = stream_read_count_at(stream, last_id);
        return true;
    }
    uint64_t number;
    if (!rdb_read_length(reader, &number)) {
        return false;
    }
    *read_count = (int64_t)number;
    return *read_count >= STREAM_READ_COUNT_UNKNOWN;
}

static bool
read_group(struct rdb_reader *reader, uint8_t type, struct stream *stream)
{
    struct rdb_text name = {0};
    struct stream_group *group = NULL;
    struct stream_id last_id;
    int64_t read_count;
    if (codec_read_member(reader, &name) && read_id(reader, &last_id) &&
        read_read_count(reader, type, stream, last_id, &read_count)) {
        group = stream_group_create(stream, name.bytes, last_id, read_count);
    }
    rdb_text_release(&name);
    uint64_t count;
    if (group == NULL || !read_pending(reader, stream, group) || !rdb_read_length(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!read_consumer(reader, type, stream, group)) {
            return false;
        }
    }
    return true;
}

static bool
read_stream(struct rdb_reader *reader, uint8_t type, struct stream *stream)
{
    uint64_t count;
    uint64_t group_count;
    if (!read_nodes(reader, stream)) {
        return false;
    }
    struct stream_id nodes_last_id = stream->last_id;
    if (!read_tail(reader, type, stream, &count) || !rdb_read_length(reader, &group_count)) {
        return false;
    }
    for (; group_count > 0; group_count--) {
        if (!read_group(reader, type, stream)) {
            return false;
        }
    }
    if (!stream_load_end(stream, count)) {
        return false;
    }
    /* XSETID may have set it in front of deleted entries whose marks still lie in the last node;
     * what is added here has to come behind those too. */
    if (stream_id_compare(stream->last_id, nodes_last_id) < 0) {
        stream->last_id = nodes_last_id;
    }
    return true;
}

bool
codec_read_stream(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                  struct value *value)
{
    (void)options;
    struct stream *stream = stream_new();
    if (!read_stream(reader, type, stream)) {
        stream_delete(stream);
        return false;
    }
    *value = value_object(VALUE_STREAM, ENCODING_STREAM, stream);
    return true;
}
