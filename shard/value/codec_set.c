#include "shard/value/codec_internal.h"

#include "shard/value/intset.h"
#include "shard/value/listpack.h"

/*
 * codec_set.c: sets: 2 is a count and strings, 11 an intset, 20 a listpack.
 *
 * Small forms stay as they are while their count is within the limits; what is not is added member
 * by member, and takes the form that it would have got by SADD. A member that comes twice is
 * damage.
 */

static bool
read_strings(struct rdb_reader *reader, const struct set_limits *limits, struct set *set)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    if (count > MAX(limits->intset_count, limits->listpack_count)) {
        *set =
            (struct set){.encoding = ENCODING_HASHTABLE, .object = packed_new(limits->seed, false)};
    }
    struct rdb_text text = {0};
    bool is_read = true;
    for (; is_read && count > 0; count--) {
        is_read = codec_read_member(reader, &text) && set_add(set, limits, text.bytes);
    }
    rdb_text_release(&text);
    return is_read;
}

/** All members into another set, which takes the place of this one. */
static bool
set_refill(struct set *set, const struct set_limits *limits)
{
    struct set from = *set;
    struct set_walk walk;
    struct slice member;
    bool is_unique = true;
    *set = (struct set){.encoding = ENCODING_INTSET};
    set_walk_start(&walk, &from);
    while (is_unique && set_next(&walk, &member)) {
        is_unique = set_add(set, limits, member);
    }
    set_delete(&from);
    return is_unique;
}

static bool
read_intset(struct rdb_reader *reader, const struct set_limits *limits, struct set *set)
{
    struct rdb_text text = {0};
    bool is_read = rdb_read_string(reader, &text) && intset_validate(text.bytes);
    if (is_read) {
        *set = (struct set){.encoding = ENCODING_INTSET, .object = intset_from_bytes(text.bytes)};
    }
    rdb_text_release(&text);
    if (is_read && set_count(set) > limits->intset_count) {
        return set_refill(set, limits);
    }
    return is_read;
}

static bool
read_listpack(struct rdb_reader *reader, const struct set_limits *limits, struct set *set)
{
    struct listpack *listpack = codec_read_listpack(reader);
    if (listpack == NULL) {
        return false;
    }
    *set = (struct set){.encoding = ENCODING_LISTPACK, .object = listpack};
    if (listpack_count(listpack) > limits->listpack_count) {
        return set_refill(set, limits);
    }
    return codec_listpack_is_unique(listpack, false, limits->seed);
}

bool
codec_read_set(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
               struct value *value)
{
    struct set set = {.encoding = ENCODING_INTSET};
    bool is_read;
    if (type == RDB_TYPE_SET) {
        is_read = read_strings(reader, &options->set, &set);
    } else if (type == RDB_TYPE_SET_INTSET) {
        is_read = read_intset(reader, &options->set, &set);
    } else {
        is_read = read_listpack(reader, &options->set, &set);
    }
    if (!is_read || set_count(&set) == 0) {
        set_delete(&set);
        return false;
    }
    *value = value_object(VALUE_SET, set.encoding, set.object);
    return true;
}
