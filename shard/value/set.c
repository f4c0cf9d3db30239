#include "shard/value/set.h"

#include "core/number.h"
#include "shard/value/intset.h"
#include "shard/value/listpack.h"

/*
 * set.c: sets as small as they can be.
 *
 *     intset  --(a member that is no integer)-->  listpack  --(too many, too long)-->  packed table
 *        `--(more than set-max-intset-entries)----------------------------------------------^
 *
 * The way leads up only: a set that shrinks keeps its form, so that one at a limit does not swing
 * between two. Integers have one spelling, so that a set of them may be searched as numbers.
 */

static struct set
set_of(enum value_encoding encoding, void *object)
{
    return (struct set){.encoding = encoding, .object = object};
}

uint64_t
set_count(const struct set *set)
{
    if (set->object == NULL) {
        return 0;
    }
    return object_count(VALUE_SET, set->encoding, set->object);
}

static uint32_t
listpack_search(const struct listpack *listpack, struct slice member)
{
    return listpack_find(listpack, listpack_first(listpack), member, 0);
}

bool
set_contains(const struct set *set, struct slice member)
{
    int64_t value;
    if (set->object == NULL) {
        return false;
    }
    if (set->encoding == ENCODING_HASHTABLE) {
        return packed_find(set->object, member, NULL);
    }
    if (set->encoding == ENCODING_INTSET) {
        return number_parse_i64(member, &value) && intset_contains(set->object, value);
    }
    ASSERT(set->encoding == ENCODING_LISTPACK);
    return listpack_search(set->object, member) != LISTPACK_NONE;
}

struct slice
set_random(const struct set *set, struct random *random, char digits[SET_DIGITS_SIZE])
{
    if (set->encoding == ENCODING_HASHTABLE) {
        return packed_random(set->object, random).member;
    }
    if (set->encoding == ENCODING_INTSET) {
        return slice_of(digits, number_format_i64(digits, intset_random(set->object, random)));
    }
    const struct listpack *listpack = set->object;
    int64_t index = (int64_t)random_below(random, listpack_count(listpack));
    return listpack_text(listpack, listpack_seek(listpack, index), digits);
}

/* ---- growing ---- */

/** May a set with these many members, one of them so long, be a listpack? */
static bool
listpack_is_allowed(const struct set_limits *limits, uint64_t count, size_t member_size)
{
    return count <= limits->listpack_count && member_size <= limits->listpack_member_size;
}

/** All members into another form, with `count` members to come; an intset into either. */
static void
set_convert(struct set *set, const struct set_limits *limits, enum value_encoding encoding)
{
    struct set to = set_of(encoding, NULL);
    struct set_walk walk;
    struct slice member;
    set_walk_start(&walk, set);
    if (encoding == ENCODING_LISTPACK) {
        struct listpack *listpack = listpack_new(0);
        while (set_next(&walk, &member)) {
            listpack = listpack_append(listpack, member);
        }
        to.object = listpack;
    } else {
        to.object = packed_new(limits->seed, false);
        while (set_next(&walk, &member)) {
            packed_insert(to.object, member, slice_of(NULL, 0));
        }
    }
    set_delete(set);
    *set = to;
}

/** The longest of an intset's members is its first or its last. */
static size_t
intset_text_size_max(const struct intset *intset)
{
    char digits[SET_DIGITS_SIZE];
    uint32_t count = intset_count(intset);
    if (count == 0) {
        return 0;
    }
    size_t first_size = number_format_i64(digits, intset_get(intset, 0));
    size_t last_size = number_format_i64(digits, intset_get(intset, count - 1));
    return MAX(first_size, last_size);
}

static bool
set_add_to_intset(struct set *set, const struct set_limits *limits, struct slice member)
{
    int64_t value;
    bool is_added = false;
    size_t longest_size = intset_text_size_max(set->object);
    uint64_t count = intset_count(set->object);
    if (!number_parse_i64(member, &value)) {
        bool is_small = listpack_is_allowed(limits, count + 1, MAX(longest_size, member.size));
        set_convert(set, limits, is_small ? ENCODING_LISTPACK : ENCODING_HASHTABLE);
        return set_add(set, limits, member);
    }
    set->object = intset_add(set->object, value, &is_added);
    count += is_added;
    if (is_added && count > MIN(limits->intset_count, (uint64_t)INTSET_COUNT_MAX)) {
        bool is_small = listpack_is_allowed(limits, count, MAX(longest_size, member.size));
        set_convert(set, limits, is_small ? ENCODING_LISTPACK : ENCODING_HASHTABLE);
    }
    return is_added;
}

static bool
set_add_to_listpack(struct set *set, const struct set_limits *limits, struct slice member)
{
    struct listpack *listpack = set->object;
    if (listpack_search(listpack, member) != LISTPACK_NONE) {
        return false;
    }
    uint64_t count = listpack_count(listpack) + UINT64_C(1);
    if (listpack_is_allowed(limits, count, member.size) &&
        listpack_fits(listpack, listpack_item_size(member))) {
        set->object = listpack_append(listpack, member);
        return true;
    }
    set_convert(set, limits, ENCODING_HASHTABLE);
    return packed_insert(set->object, member, slice_of(NULL, 0));
}

static void
set_create(struct set *set, const struct set_limits *limits, struct slice member)
{
    int64_t value;
    if (limits->intset_count > 0 && number_parse_i64(member, &value)) {
        *set = set_of(ENCODING_INTSET, intset_new());
    } else if (listpack_is_allowed(limits, 1, member.size)) {
        *set = set_of(ENCODING_LISTPACK, listpack_new(0));
    } else {
        *set = set_of(ENCODING_HASHTABLE, packed_new(limits->seed, false));
    }
}

bool
set_add(struct set *set, const struct set_limits *limits, struct slice member)
{
    if (set->object == NULL) {
        set_create(set, limits, member);
    }
    if (set->encoding == ENCODING_HASHTABLE) {
        return packed_insert(set->object, member, slice_of(NULL, 0));
    }
    if (set->encoding == ENCODING_INTSET) {
        return set_add_to_intset(set, limits, member);
    }
    ASSERT(set->encoding == ENCODING_LISTPACK);
    return set_add_to_listpack(set, limits, member);
}

bool
set_remove(struct set *set, struct slice member)
{
    if (set->encoding == ENCODING_HASHTABLE) {
        return packed_remove(set->object, member);
    }
    if (set->encoding == ENCODING_INTSET) {
        int64_t value;
        bool is_removed = false;
        if (number_parse_i64(member, &value)) {
            set->object = intset_remove(set->object, value, &is_removed);
        }
        return is_removed;
    }
    ASSERT(set->encoding == ENCODING_LISTPACK);
    uint32_t position = listpack_search(set->object, member);
    if (position == LISTPACK_NONE) {
        return false;
    }
    set->object = listpack_remove(set->object, &position, 1);
    return true;
}

void
set_delete(struct set *set)
{
    object_delete(VALUE_SET, set->encoding, set->object);
    set->object = NULL;
}

/* ---- walking ---- */

void
set_walk_start(struct set_walk *walk, const struct set *set)
{
    walk->set = *set;
    walk->position = 0;
    if (set->object == NULL) {
        return;
    }
    if (set->encoding == ENCODING_HASHTABLE) {
        walk->packed = packed_walk(set->object);
    } else if (set->encoding == ENCODING_LISTPACK) {
        walk->position = listpack_first(set->object);
    }
}

bool
set_next(struct set_walk *walk, struct slice *member)
{
    const void *object = walk->set.object;
    if (object == NULL) {
        return false;
    }
    if (walk->set.encoding == ENCODING_HASHTABLE) {
        struct packed_item item;
        if (!packed_next(&walk->packed, &item)) {
            return false;
        }
        *member = item.member;
        return true;
    }
    if (walk->set.encoding == ENCODING_INTSET) {
        if (walk->position == intset_count(object)) {
            return false;
        }
        int64_t value = intset_get(object, walk->position++);
        *member = slice_of(walk->digits, number_format_i64(walk->digits, value));
        return true;
    }
    if (walk->position == LISTPACK_NONE) {
        return false;
    }
    *member = listpack_text(object, walk->position, walk->digits);
    walk->position = listpack_next(object, walk->position);
    return true;
}

struct set_scan_context {
    set_visit_fn *visit;
    void *context;
};

static void
set_scan_visit(void *context, const struct packed_item *item)
{
    struct set_scan_context *scan = context;
    scan->visit(scan->context, item->member);
}

uint64_t
set_scan(const struct set *set, uint64_t position, set_visit_fn *visit, void *context)
{
    if (set->encoding == ENCODING_HASHTABLE) {
        struct set_scan_context scan = {.visit = visit, .context = context};
        return packed_scan(set->object, position, set_scan_visit, &scan);
    }
    struct set_walk walk;
    struct slice member;
    set_walk_start(&walk, set);
    while (set_next(&walk, &member)) {
        visit(context, member);
    }
    return 0;
}
