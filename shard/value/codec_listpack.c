#include "shard/value/codec_internal.h"

#include "core/number.h"
#include "shard/value/ziplist.h"

/*
 * codec_listpack.c: small values of any age, as listpacks that can be trusted.
 *
 *     listpack  --(validated)------------------>  as it is, if each element is as ours would be
 *     ziplist   --(validated, appended)-------->  listpack
 *     zipmap    --(validated, appended)-------->  listpack: field, value, field, value ...
 *
 * A valid listpack may hold what our own never would: the text "5" as a string instead of a number,
 * or a number in more bytes than it needs. Searching relies on one spelling for each element, so
 * such a listpack is put together anew. An element's one size tells: no two encodings of a text
 * have the same.
 *
 * Elements that have to differ are looked up among each other while they are few, else put into a
 * table for the purpose.
 */

/** Up to here comparing each with each is quicker than a table. */
#define UNIQUE_SEARCH_COUNT_MAX 24

/** A string that is a number becomes one. */
static struct listpack *
listpack_append_item(struct listpack *listpack, const struct listpack_item *item)
{
    return item->is_integer ? listpack_append_integer(listpack, item->integer)
                            : listpack_append(listpack, item->bytes);
}

static bool
listpack_is_ours(const struct listpack *listpack)
{
    char digits[LISTPACK_DIGITS_SIZE];
    uint32_t end = listpack_size(listpack) - 1;
    uint32_t at = listpack_first(listpack);
    while (at != LISTPACK_NONE) {
        uint32_t next = listpack_next(listpack, at);
        size_t size = (next == LISTPACK_NONE ? end : next) - at;
        if (size != listpack_item_size(listpack_text(listpack, at, digits))) {
            return false;
        }
        at = next;
    }
    return true;
}

static struct listpack *
listpack_renew(struct listpack *listpack)
{
    struct listpack *renewed = listpack_new(listpack_size(listpack) - LISTPACK_SIZE_EMPTY);
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE;
         at = listpack_next(listpack, at)) {
        struct listpack_item item = listpack_get(listpack, at);
        renewed = listpack_append_item(renewed, &item);
    }
    listpack_delete(listpack);
    return renewed;
}

struct listpack *
codec_listpack_of(struct slice bytes)
{
    uint32_t count;
    if (!listpack_validate(bytes, &count)) {
        return NULL;
    }
    struct listpack *listpack = listpack_from_bytes(bytes);
    return listpack_is_ours(listpack) ? listpack : listpack_renew(listpack);
}

struct listpack *
codec_read_listpack(struct rdb_reader *reader)
{
    struct rdb_text text = {0};
    struct listpack *listpack = NULL;
    if (rdb_read_string(reader, &text)) {
        listpack = codec_listpack_of(text.bytes);
    }
    rdb_text_release(&text);
    return listpack;
}

struct listpack *
codec_read_ziplist(struct rdb_reader *reader)
{
    struct rdb_text text = {0};
    struct listpack *listpack = NULL;
    uint32_t count;
    if (rdb_read_string(reader, &text) && ziplist_validate(text.bytes, &count)) {
        struct ziplist_walk walk = ziplist_walk(text.bytes);
        struct listpack_item item;
        listpack = listpack_new(0);
        while (ziplist_next(&walk, &item)) {
            /* Elements can be larger in here than they were there, by a few bytes. */
            if (!item.is_integer && !listpack_fits(listpack, listpack_item_size(item.bytes))) {
                listpack_delete(listpack);
                listpack = NULL;
                break;
            }
            listpack = listpack_append_item(listpack, &item);
        }
    }
    rdb_text_release(&text);
    return listpack;
}

struct listpack *
codec_read_zipmap(struct rdb_reader *reader, size_t *text_size_max)
{
    struct rdb_text text = {0};
    struct listpack *listpack = NULL;
    uint32_t count;
    *text_size_max = 0;
    if (rdb_read_string(reader, &text) && zipmap_validate(text.bytes, &count)) {
        struct zipmap_walk walk = zipmap_walk(text.bytes);
        struct slice field;
        struct slice value;
        listpack = listpack_new(0);
        while (zipmap_next(&walk, &field, &value)) {
            if (!listpack_fits(listpack, listpack_item_size(field) + listpack_item_size(value))) {
                listpack_delete(listpack);
                listpack = NULL;
                break;
            }
            listpack = listpack_append(listpack_append(listpack, field), value);
            *text_size_max = MAX(*text_size_max, MAX(field.size, value.size));
        }
    }
    rdb_text_release(&text);
    return listpack;
}

/** Each with each. */
static bool
is_unique_by_search(const struct listpack *listpack, bool is_paired)
{
    char digits[LISTPACK_DIGITS_SIZE];
    uint32_t at = listpack_first(listpack);
    while (at != LISTPACK_NONE) {
        uint32_t next = listpack_next(listpack, at);
        if (is_paired) {
            next = listpack_next(listpack, next);
        }
        if (next == LISTPACK_NONE) {
            return true;
        }
        struct slice text = listpack_text(listpack, at, digits);
        if (listpack_find(listpack, next, text, is_paired) != LISTPACK_NONE) {
            return false;
        }
        at = next;
    }
    return true;
}

bool
codec_listpack_is_unique(const struct listpack *listpack, bool is_paired, uint64_t seed)
{
    uint32_t count = listpack_count(listpack);
    if (is_paired && count % 2 != 0) {
        return false;
    }
    if (count <= UNIQUE_SEARCH_COUNT_MAX) {
        return is_unique_by_search(listpack, is_paired);
    }
    char digits[LISTPACK_DIGITS_SIZE];
    bool is_unique = true;
    struct packed *packed = packed_new(seed, false);
    uint32_t at = listpack_first(listpack);
    while (is_unique && at != LISTPACK_NONE) {
        is_unique = packed_insert(packed, listpack_text(listpack, at, digits), slice_of(NULL, 0));
        at = listpack_next(listpack, at);
        if (is_paired) {
            at = listpack_next(listpack, at);
        }
    }
    packed_delete(packed);
    return is_unique;
}
