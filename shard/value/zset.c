/*
 * zset.c: one sorted set behind two forms.
 *
 * A listpack holds members and scores in turn, in order: [member, score, member, score ...], just
 * as files and DUMP have it. A score that is a whole number up to 2^62 is stored as an integer (so
 * -0 becomes 0), any other as its shortest text that reads back the same. Everything there is a
 * walk; at the sizes where that is slower than a tree the set becomes one, and stays one until it
 * is stored anew.
 */
#include "shard/value/zset.h"

#include "core/number.h"

/** Whole numbers up to here, 2^62, are stored as integers in a listpack. */
#define SCORE_INTEGER_MAX 4611686018427387904.0

/* ---- listpack ---- */

static double
score_get(const struct listpack *listpack, uint32_t position)
{
    struct listpack_item item = listpack_get(listpack, position);
    if (item.is_integer) {
        return (double)item.integer;
    }
    double score = 0;
    bool is_number = number_parse_double(item.bytes, &score);
    ASSERT(is_number);
    return score;
}

static bool
score_is_integer(double score, int64_t *integer)
{
    if (!(score >= -SCORE_INTEGER_MAX && score <= SCORE_INTEGER_MAX)) {
        return false;
    }
    *integer = (int64_t)score;
    return (double)*integer == score;
}

/** An element in front of that at `position`; LISTPACK_NONE: at the end. */
static struct listpack *
pair_insert(struct listpack *listpack, uint32_t position, struct slice member, double score)
{
    int64_t integer;
    bool is_integer = score_is_integer(score, &integer);
    char digits[NUMBER_DOUBLE_SIZE_MAX];
    struct slice text = {0};
    if (!is_integer) {
        text = slice_of(digits, number_format_double(digits, score));
    }
    if (position == LISTPACK_NONE) {
        listpack = listpack_append(listpack, member);
        return is_integer ? listpack_append_integer(listpack, integer)
                          : listpack_append(listpack, text);
    }
    listpack = listpack_insert(listpack, &position, member);
    if (!is_integer) {
        return listpack_insert_after(listpack, &position, text);
    }
    position = listpack_next(listpack, position);
    return listpack_insert_integer(listpack, &position, integer);
}

/** Where the element goes: in front of this position. */
static uint32_t
pair_place(const struct listpack *listpack, struct slice member, double score)
{
    char digits[LISTPACK_DIGITS_SIZE];
    uint32_t at = listpack_first(listpack);
    while (at != LISTPACK_NONE) {
        uint32_t score_at = listpack_next(listpack, at);
        double other = score_get(listpack, score_at);
        if (other > score ||
            (other == score && slice_compare(listpack_text(listpack, at, digits), member) > 0)) {
            return at;
        }
        at = listpack_next(listpack, score_at);
    }
    return LISTPACK_NONE;
}

static uint32_t
pair_find(const struct listpack *listpack, struct slice member)
{
    return listpack_find(listpack, listpack_first(listpack), member, 1);
}

/* ---- both ---- */

static struct ztree *
tree_from_listpack(const struct listpack *listpack, uint64_t seed)
{
    struct ztree *tree = ztree_new(seed);
    char digits[LISTPACK_DIGITS_SIZE];
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE;) {
        uint32_t score_at = listpack_next(listpack, at);
        ztree_put(tree, listpack_text(listpack, at, digits), score_get(listpack, score_at));
        at = listpack_next(listpack, score_at);
    }
    return tree;
}

uint64_t
zset_count(const struct zset *zset)
{
    if (zset->object == NULL) {
        return 0;
    }
    return zset->encoding == ENCODING_LISTPACK ? listpack_count(zset->object) / 2
                                               : ztree_count(zset->object);
}

bool
zset_find(const struct zset *zset, struct slice member, double *score)
{
    if (zset->object == NULL) {
        return false;
    }
    if (zset->encoding != ENCODING_LISTPACK) {
        return ztree_find(zset->object, member, score);
    }
    uint32_t at = pair_find(zset->object, member);
    if (at == LISTPACK_NONE) {
        return false;
    }
    if (score != NULL) {
        *score = score_get(zset->object, listpack_next(zset->object, at));
    }
    return true;
}

bool
zset_rank(const struct zset *zset, struct slice member, uint64_t *rank, double *score)
{
    if (zset->object == NULL) {
        return false;
    }
    if (zset->encoding != ENCODING_LISTPACK) {
        return ztree_rank(zset->object, member, rank, score);
    }
    const struct listpack *listpack = zset->object;
    *rank = 0;
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE; (*rank)++) {
        uint32_t score_at = listpack_next(listpack, at);
        if (listpack_equal(listpack, at, member)) {
            if (score != NULL) {
                *score = score_get(listpack, score_at);
            }
            return true;
        }
        at = listpack_next(listpack, score_at);
    }
    return false;
}

static bool
fits_listpack(const struct listpack *listpack, const struct zset_limits *limits,
              struct slice member)
{
    return listpack_count(listpack) / 2 < limits->listpack_count &&
           member.size <= limits->listpack_member_size &&
           listpack_fits(listpack, listpack_item_size(member) + NUMBER_DOUBLE_SIZE_MAX);
}

enum ztree_put
zset_put(struct zset *zset, const struct zset_limits *limits, struct slice member, double score)
{
    if (zset->object == NULL) {
        zset->encoding = ENCODING_LISTPACK;
        zset->object = listpack_new(0);
    }
    if (zset->encoding == ENCODING_LISTPACK) {
        struct listpack *listpack = zset->object;
        uint32_t at = pair_find(listpack, member);
        bool is_new = at == LISTPACK_NONE;
        if (!is_new && score_get(listpack, listpack_next(listpack, at)) == score) {
            return ZTREE_SAME;
        }
        if (!is_new) {
            listpack = listpack_remove(listpack, &at, 2);
        }
        if (!is_new || fits_listpack(listpack, limits, member)) {
            at = pair_place(listpack, member, score);
            zset->object = pair_insert(listpack, at, member, score);
            return is_new ? ZTREE_ADDED : ZTREE_MOVED;
        }
        zset->object = tree_from_listpack(listpack, limits->seed);
        zset->encoding = ENCODING_SKIPLIST;
        listpack_delete(listpack);
    }
    return ztree_put(zset->object, member, score);
}

bool
zset_remove(struct zset *zset, struct slice member)
{
    if (zset->object == NULL) {
        return false;
    }
    if (zset->encoding != ENCODING_LISTPACK) {
        return ztree_remove(zset->object, member);
    }
    uint32_t at = pair_find(zset->object, member);
    if (at == LISTPACK_NONE) {
        return false;
    }
    zset->object = listpack_remove(zset->object, &at, 2);
    return true;
}

void
zset_remove_ranks(struct zset *zset, uint64_t from, uint64_t to)
{
    to = MIN(to, zset_count(zset));
    if (from >= to) {
        return;
    }
    if (zset->encoding == ENCODING_LISTPACK) {
        zset->object =
            listpack_remove_range(zset->object, (int64_t)(2 * from), (uint32_t)(2 * (to - from)));
    } else {
        ztree_remove_ranks(zset->object, from, to);
    }
}

void
zset_delete(struct zset *zset)
{
    if (zset->object != NULL) {
        object_delete(VALUE_ZSET, zset->encoding, zset->object);
        zset->object = NULL;
    }
}

void
zset_compact(struct zset *zset, const struct zset_limits *limits)
{
    if (zset->object == NULL || zset->encoding == ENCODING_LISTPACK ||
        zset_count(zset) > limits->listpack_count) {
        return;
    }
    struct zset_walk walk;
    struct ztree_item item;
    struct listpack *listpack = listpack_new(0);
    zset_walk_start(&walk, zset, 0, false);
    while (zset_next(&walk, &item)) {
        if (item.member.size > limits->listpack_member_size ||
            !listpack_fits(listpack, listpack_item_size(item.member) + NUMBER_DOUBLE_SIZE_MAX)) {
            listpack_delete(listpack);
            return;
        }
        listpack = pair_insert(listpack, LISTPACK_NONE, item.member, item.score);
    }
    zset_delete(zset);
    zset->encoding = ENCODING_LISTPACK;
    zset->object = listpack;
}

/* ---- ranges ---- */

uint64_t
zset_rank_of_score(const struct zset *zset, double score, bool is_after)
{
    if (zset->object == NULL) {
        return 0;
    }
    if (zset->encoding != ENCODING_LISTPACK) {
        return ztree_rank_of_score(zset->object, score, is_after);
    }
    const struct listpack *listpack = zset->object;
    uint64_t rank = 0;
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE; rank++) {
        uint32_t score_at = listpack_next(listpack, at);
        double other = score_get(listpack, score_at);
        if (is_after ? other > score : other >= score) {
            break;
        }
        at = listpack_next(listpack, score_at);
    }
    return rank;
}

uint64_t
zset_rank_of_member(const struct zset *zset, struct slice member, bool is_after)
{
    if (zset->object == NULL) {
        return 0;
    }
    if (zset->encoding != ENCODING_LISTPACK) {
        return ztree_rank_of_member(zset->object, member, is_after);
    }
    const struct listpack *listpack = zset->object;
    char digits[LISTPACK_DIGITS_SIZE];
    uint64_t rank = 0;
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE; rank++) {
        int order = slice_compare(listpack_text(listpack, at, digits), member);
        if (is_after ? order > 0 : order >= 0) {
            break;
        }
        at = listpack_next(listpack, listpack_next(listpack, at));
    }
    return rank;
}

void
zset_walk_start(struct zset_walk *walk, const struct zset *zset, uint64_t rank, bool is_backward)
{
    walk->listpack = NULL;
    walk->tree = NULL;
    walk->is_backward = is_backward;
    walk->position = LISTPACK_NONE;
    walk->place = (struct ztree_place){.leaf = ZTREE_NONE};
    if (rank >= zset_count(zset)) {
        return;
    }
    if (zset->encoding == ENCODING_LISTPACK) {
        walk->listpack = zset->object;
        walk->position = listpack_seek(walk->listpack, (int64_t)(2 * rank));
    } else {
        walk->tree = zset->object;
        walk->place = ztree_at(walk->tree, rank);
    }
}

bool
zset_next(struct zset_walk *walk, struct ztree_item *item)
{
    if (walk->tree != NULL) {
        if (walk->place.leaf == ZTREE_NONE) {
            return false;
        }
        *item = ztree_get(walk->tree, walk->place);
        walk->place = walk->is_backward ? ztree_previous(walk->tree, walk->place)
                                        : ztree_next(walk->tree, walk->place);
        return true;
    }
    if (walk->position == LISTPACK_NONE) {
        return false;
    }
    const struct listpack *listpack = walk->listpack;
    uint32_t score_at = listpack_next(listpack, walk->position);
    item->member = listpack_text(listpack, walk->position, walk->digits);
    item->score = score_get(listpack, score_at);
    if (walk->is_backward) {
        uint32_t previous = listpack_previous(listpack, walk->position);
        walk->position =
            previous == LISTPACK_NONE ? previous : listpack_previous(listpack, previous);
    } else {
        walk->position = listpack_next(listpack, score_at);
    }
    return true;
}

size_t
zset_score_text(const struct zset *zset, double score, char *out)
{
    int64_t integer;
    if (zset->encoding == ENCODING_LISTPACK && score_is_integer(score, &integer)) {
        return number_format_i64(out, integer);
    }
    return number_format_double(out, score);
}

uint64_t
zset_scan(const struct zset *zset, uint64_t cursor, ztree_scan_fn *visit, void *context)
{
    if (zset->object != NULL && zset->encoding != ENCODING_LISTPACK) {
        return ztree_scan(zset->object, cursor, visit, context);
    }
    struct zset_walk walk;
    struct ztree_item item;
    zset_walk_start(&walk, zset, 0, false);
    while (zset_next(&walk, &item)) {
        visit(context, item);
    }
    return 0;
}
