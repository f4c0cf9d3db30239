#include "shard/value/codec_internal.h"

#include "core/number.h"

/*
 * codec_zset.c: sorted sets.
 *
 *     3, 5     count, (member, score): the score is text, or a double
 *     12, 17   a ziplist, a listpack: member, score, member, score ... in order
 *
 * The first two become a tree, and then a listpack where they fit one: so a negative zero, for
 * which a listpack has no spelling, is kept in a set that was a tree. Of the other two, the order
 * and the scores are checked, for everything that searches relies on them.
 */

static bool
read_pairs(struct rdb_reader *reader, uint8_t type, const struct zset_limits *limits,
           struct zset *zset)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    *zset = (struct zset){.encoding = ENCODING_SKIPLIST, .object = ztree_new(limits->seed)};
    struct rdb_text member = {0};
    bool is_read = true;
    for (; is_read && count > 0; count--) {
        double score;
        is_read = codec_read_member(reader, &member) &&
                  (type == RDB_TYPE_ZSET_2 ? rdb_read_double(reader, &score)
                                           : rdb_read_double_text(reader, &score)) &&
                  score == score && ztree_count(zset->object) < UINT32_MAX &&
                  ztree_put(zset->object, member.bytes, score) == ZTREE_ADDED;
    }
    rdb_text_release(&member);
    if (is_read) {
        zset_compact(zset, limits);
    }
    return is_read;
}

/** False: it is no number. */
static bool
score_of(const struct listpack *listpack, uint32_t position, double *score)
{
    struct listpack_item item = listpack_get(listpack, position);
    if (item.is_integer) {
        *score = (double)item.integer;
        return true;
    }
    return number_parse_double(item.bytes, score);
}

/** Of whole pairs: are the scores numbers, and the pairs in order? */
static bool
listpack_is_ordered(const struct listpack *listpack)
{
    char digits[2][LISTPACK_DIGITS_SIZE];
    struct slice last_member = {0};
    double last_score = 0;
    uint32_t turn = 0;
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE; turn++) {
        struct slice member = listpack_text(listpack, at, digits[turn % 2]);
        double score;
        at = listpack_next(listpack, at);
        if (!score_of(listpack, at, &score)) {
            return false;
        }
        at = listpack_next(listpack, at);
        if (turn > 0 && (last_score > score ||
                         (last_score == score && slice_compare(last_member, member) >= 0))) {
            return false;
        }
        last_member = member;
        last_score = score;
    }
    return true;
}

static void
zset_grow(struct zset *zset, const struct zset_limits *limits)
{
    struct ztree *tree = ztree_new(limits->seed);
    struct zset_walk walk;
    struct ztree_item item;
    zset_walk_start(&walk, zset, 0, false);
    while (zset_next(&walk, &item)) {
        ztree_put(tree, item.member, item.score);
    }
    zset_delete(zset);
    *zset = (struct zset){.encoding = ENCODING_SKIPLIST, .object = tree};
}

static bool
read_listpack(struct rdb_reader *reader, uint8_t type, const struct zset_limits *limits,
              struct zset *zset)
{
    struct listpack *listpack =
        type == RDB_TYPE_ZSET_LISTPACK ? codec_read_listpack(reader) : codec_read_ziplist(reader);
    if (listpack == NULL) {
        return false;
    }
    *zset = (struct zset){.encoding = ENCODING_LISTPACK, .object = listpack};
    if (!codec_listpack_is_unique(listpack, true, limits->seed) || !listpack_is_ordered(listpack)) {
        return false;
    }
    if (zset_count(zset) > limits->listpack_count) {
        zset_grow(zset, limits);
    }
    return true;
}

bool
codec_read_zset(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                struct value *value)
{
    struct zset zset = {.encoding = ENCODING_LISTPACK};
    bool is_read = type == RDB_TYPE_ZSET || type == RDB_TYPE_ZSET_2
                       ? read_pairs(reader, type, &options->zset, &zset)
                       : read_listpack(reader, type, &options->zset, &zset);
    if (!is_read || zset_count(&zset) == 0) {
        zset_delete(&zset);
        return false;
    }
    *value = value_object(VALUE_ZSET, zset.encoding, zset.object);
    return true;
}
