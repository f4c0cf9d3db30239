#include "shard/value/codec_internal.h"

#include "shard/value/intset.h"
#include "shard/value/listpack.h"

/*
 * codec_write.c: a value as bytes, at once or in steps.
 *
 *     string                        0
 *     list, either form             18: its listpacks, as they are
 *     set     intset                11   as it is
 *             listpack, table       2    member by member: RDB 10 has no listpack for sets
 *     hash    listpack              16   as it is
 *             table                 4    field and value
 *             table with deadlines  22   field, value and deadline: Valkey's
 *     zset    listpack              17   as it is
 *             tree                  5    from the highest on, as redis-server does: there each
 *                                        element that is read goes in at the front
 *     stream                        19
 *
 * What is one block is one string, whatever the step's size: it is small by the server's limits.
 * Everything else is written element by element, or node by node, and a step may end behind each.
 *
 * Invariant: the steps' bytes together are the same as when written at once.
 */

static bool
hash_has_deadlines(const struct value *value)
{
    return value->encoding == ENCODING_HASHTABLE &&
           packed_first_ms(value->object) != PACKED_NO_DEADLINE;
}

enum rdb_type
codec_type(const struct value *value)
{
    switch ((enum value_type)value->type) {
    case VALUE_STRING:
        return RDB_TYPE_STRING;
    case VALUE_LIST:
        return RDB_TYPE_LIST_QUICKLIST_2;
    case VALUE_SET:
        return value->encoding == ENCODING_INTSET ? RDB_TYPE_SET_INTSET : RDB_TYPE_SET;
    case VALUE_HASH:
        if (value->encoding == ENCODING_LISTPACK) {
            return RDB_TYPE_HASH_LISTPACK;
        }
        return hash_has_deadlines(value) ? RDB_TYPE_HASH_2 : RDB_TYPE_HASH;
    case VALUE_ZSET:
        return value->encoding == ENCODING_LISTPACK ? RDB_TYPE_ZSET_LISTPACK : RDB_TYPE_ZSET_2;
    case VALUE_STREAM:
        return RDB_TYPE_STREAM_LISTPACKS_2;
    case VALUE_NONE:
    default:
        break;
    }
    ASSERT(false);
    return RDB_TYPE_STRING;
}

/* ---- what is written at once ---- */

static void
write_string(struct rdb_writer *writer, const struct value *value)
{
    if (value->encoding == ENCODING_INT) {
        rdb_write_integer(writer, value->integer);
    } else {
        rdb_write_string(writer, value->bytes);
    }
}

static void
write_list_node(struct rdb_writer *writer, struct slice listpack)
{
    rdb_write_length(writer, CODEC_NODE_PACKED);
    rdb_write_string(writer, listpack);
}

/** True: the whole value was one piece. */
static bool
write_one_piece(struct rdb_writer *writer, const struct value *value)
{
    if (value->type == VALUE_STRING) {
        write_string(writer, value);
    } else if (value->type == VALUE_LIST && value->encoding == ENCODING_LISTPACK) {
        rdb_write_length(writer, 1);
        write_list_node(writer, listpack_bytes(value->object));
    } else if (value->encoding == ENCODING_INTSET) {
        rdb_write_string(writer, intset_bytes(value->object));
    } else if (value->encoding == ENCODING_LISTPACK && value->type != VALUE_SET) {
        rdb_write_string(writer, listpack_bytes(value->object));
    } else {
        return false;
    }
    return true;
}

/* ---- element by element ---- */

static struct set
set_of(const struct value *value)
{
    return (struct set){.encoding = (enum value_encoding)value->encoding, .object = value->object};
}

static struct hash
hash_of(const struct value *value)
{
    return (struct hash){.encoding = (enum value_encoding)value->encoding, .object = value->object};
}

static struct zset
zset_of(const struct value *value)
{
    return (struct zset){.encoding = (enum value_encoding)value->encoding, .object = value->object};
}

/** Counts that stand in front, and the walk. */
static void
write_start(struct codec_writer *state)
{
    const struct value *value = &state->value;
    struct rdb_writer *writer = state->writer;
    if (value->type == VALUE_LIST) {
        const struct quicklist *quicklist = value->object;
        rdb_write_length(writer, quicklist->node_count);
        state->node = quicklist->first;
    } else if (value->type == VALUE_SET) {
        struct set set = set_of(value);
        rdb_write_length(writer, set_count(&set));
        set_walk_start(&state->set, &set);
    } else if (value->type == VALUE_HASH) {
        struct hash hash = hash_of(value);
        rdb_write_length(writer, hash_count(&hash));
        hash_walk_start(&state->hash, &hash);
    } else if (value->type == VALUE_ZSET) {
        struct zset zset = zset_of(value);
        uint64_t count = zset_count(&zset);
        rdb_write_length(writer, count);
        zset_walk_start(&state->zset, &zset, count - 1, true);
    } else {
        ASSERT(value->type == VALUE_STREAM);
        codec_write_stream_start(state);
    }
}

void
codec_write_list_node(struct codec_writer *state, const struct quicklist_node *node)
{
    const struct quicklist_compressed *compressed = quicklist_node_compressed(node);
    if (compressed != NULL && state->writer->is_compressing) {
        rdb_write_length(state->writer, CODEC_NODE_PACKED);
        rdb_write_compressed(state->writer,
                             slice_of(compressed->bytes, compressed->compressed_size),
                             compressed->size);
    } else {
        const struct listpack *listpack = quicklist_node_listpack(node, &state->scratch);
        write_list_node(state->writer, listpack_bytes(listpack));
    }
}

/** False: there is none left. */
static bool
write_list_next(struct codec_writer *state)
{
    if (state->node == NULL) {
        return false;
    }
    codec_write_list_node(state, state->node);
    state->node = state->node->next;
    return true;
}

static bool
write_set_next(struct codec_writer *state)
{
    struct slice member;
    if (!set_next(&state->set, &member)) {
        return false;
    }
    rdb_write_string(state->writer, member);
    return true;
}

static bool
write_hash_next(struct codec_writer *state)
{
    struct hash_pair pair;
    if (!hash_next(&state->hash, &pair)) {
        return false;
    }
    rdb_write_string(state->writer, pair.field);
    rdb_write_string(state->writer, pair.value);
    if (hash_has_deadlines(&state->value)) {
        rdb_write_u64(state->writer, (uint64_t)pair.deadline_ms);
    }
    return true;
}

static bool
write_zset_next(struct codec_writer *state)
{
    struct ztree_item item;
    if (!zset_next(&state->zset, &item)) {
        return false;
    }
    rdb_write_string(state->writer, item.member);
    rdb_write_double(state->writer, item.score);
    return true;
}

static bool
write_next(struct codec_writer *state)
{
    switch ((enum value_type)state->value.type) {
    case VALUE_LIST:
        return write_list_next(state);
    case VALUE_SET:
        return write_set_next(state);
    case VALUE_HASH:
        return write_hash_next(state);
    case VALUE_ZSET:
        return write_zset_next(state);
    case VALUE_STREAM:
        return codec_write_stream_next(state);
    case VALUE_NONE:
    case VALUE_STRING:
    default:
        break;
    }
    ASSERT(false);
    return false;
}

/* ---- all ---- */

void
codec_writer_create(struct codec_writer *state, struct rdb_writer *writer,
                    const struct value *value)
{
    *state = (struct codec_writer){.writer = writer, .value = *value};
}

void
codec_writer_destroy(struct codec_writer *state)
{
    quicklist_scratch_release(&state->scratch);
    rdb_writer_destroy(&state->tail);
}

void
codec_write_begin(struct codec_writer *state)
{
    if (!state->is_started) {
        state->is_started = true;
        write_start(state);
    }
}

bool
codec_write_step(struct codec_writer *state, size_t size_max)
{
    if (state->image != NULL) {
        return codec_image_step(state, size_max);
    }
    size_t start_size = state->writer->size;
    if (!state->is_started) {
        state->is_started = true;
        if (write_one_piece(state->writer, &state->value)) {
            return true;
        }
        write_start(state);
    }
    do {
        if (!write_next(state)) {
            return true;
        }
    } while (state->writer->size - start_size < size_max);
    return false;
}

void
codec_write(struct rdb_writer *writer, const struct value *value)
{
    struct codec_writer state;
    codec_writer_create(&state, writer, value);
    bool is_done = codec_write_step(&state, SIZE_MAX);
    ASSERT(is_done);
    codec_writer_destroy(&state);
}
