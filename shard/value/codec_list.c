#include "shard/value/codec_internal.h"

/*
 * codec_list.c: lists.
 *
 *     1    count, strings
 *     10   a ziplist
 *     14   count, ziplists
 *     18   count, nodes: 1 and a string that is the only element, or 2 and a listpack
 *
 * A node that our limits allow is taken whole; the elements of any other are pushed one by one, so
 * that nodes have the size that this server's configuration says. One node alone that is allowed is
 * a list in the form of a listpack.
 */

static void
list_push(struct list_value *list, const struct quicklist_limits *limits, struct slice text)
{
    list_value_grow(list, limits, &text, 1);
    list_value_push_last(list, limits, text);
}

/** Takes the listpack. */
static void
list_push_node(struct list_value *list, const struct quicklist_limits *limits,
               struct listpack *listpack)
{
    if (listpack_is_empty(listpack)) {
        listpack_delete(listpack);
        return;
    }
    bool is_allowed = sizeof(*listpack) + listpack_size(listpack) <= limits->size_max &&
                      listpack_count(listpack) <= limits->count_max;
    if (!is_allowed) {
        char digits[LISTPACK_DIGITS_SIZE];
        for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE;
             at = listpack_next(listpack, at)) {
            list_push(list, limits, listpack_text(listpack, at, digits));
        }
        listpack_delete(listpack);
        return;
    }
    if (list_value_count(list) == 0) {
        object_delete(VALUE_LIST, list->encoding, list->object);
        *list = (struct list_value){.encoding = ENCODING_LISTPACK, .object = listpack};
        return;
    }
    if (list->encoding == ENCODING_LISTPACK) {
        list->object = quicklist_new(list->object);
        list->encoding = ENCODING_QUICKLIST;
    }
    quicklist_append(list->object, limits, listpack);
}

static bool
read_strings(struct rdb_reader *reader, uint64_t count, const struct quicklist_limits *limits,
             struct list_value *list)
{
    struct rdb_text text = {0};
    bool is_read = true;
    for (; is_read && count > 0; count--) {
        is_read = codec_read_member(reader, &text);
        if (is_read) {
            list_push(list, limits, text.bytes);
        }
    }
    rdb_text_release(&text);
    return is_read;
}

static bool
read_node(struct rdb_reader *reader, uint8_t type, const struct quicklist_limits *limits,
          struct list_value *list)
{
    uint64_t form = CODEC_NODE_PACKED;
    if (type == RDB_TYPE_LIST_QUICKLIST_2 && !rdb_read_length(reader, &form)) {
        return false;
    }
    if (form == CODEC_NODE_PLAIN) {
        return read_strings(reader, 1, limits, list);
    }
    if (form != CODEC_NODE_PACKED) {
        return false;
    }
    struct listpack *listpack = type == RDB_TYPE_LIST_QUICKLIST_2 ? codec_read_listpack(reader)
                                                                  : codec_read_ziplist(reader);
    if (listpack == NULL) {
        return false;
    }
    list_push_node(list, limits, listpack);
    return true;
}

static bool
read_list(struct rdb_reader *reader, uint8_t type, const struct quicklist_limits *limits,
          struct list_value *list)
{
    uint64_t count = 1;
    if (type != RDB_TYPE_LIST_ZIPLIST && !rdb_read_length(reader, &count)) {
        return false;
    }
    if (type == RDB_TYPE_LIST) {
        return read_strings(reader, count, limits, list);
    }
    for (; count > 0; count--) {
        if (!read_node(reader, type, limits, list)) {
            return false;
        }
    }
    return true;
}

bool
codec_read_list(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                struct value *value)
{
    struct list_value list = list_value_new();
    if (!read_list(reader, type, &options->list, &list) || list_value_count(&list) == 0) {
        object_delete(VALUE_LIST, list.encoding, list.object);
        return false;
    }
    *value = value_object(VALUE_LIST, list.encoding, list.object);
    return true;
}
