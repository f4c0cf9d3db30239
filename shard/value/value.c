#include "shard/value/value.h"

#include "shard/value/object.h"
#include "shard/value/packed.h"

/*
 * value.c: the names of types and encodings, and values that are collections, whatever these are:
 * object.c knows that.
 */

const char *
value_encoding_name(enum value_encoding encoding)
{
    switch (encoding) {
    case ENCODING_INT:
        return "int";
    case ENCODING_EMBSTR:
        return "embstr";
    case ENCODING_RAW:
        return "raw";
    case ENCODING_LISTPACK:
        return "listpack";
    case ENCODING_QUICKLIST:
        return "quicklist";
    case ENCODING_INTSET:
        return "intset";
    case ENCODING_HASHTABLE:
        return "hashtable";
    case ENCODING_SKIPLIST:
        return "skiplist";
    case ENCODING_STREAM:
        return "stream";
    }
    return "unknown";
}

const char *
value_type_name(enum value_type type)
{
    switch (type) {
    case VALUE_NONE:
        return "none";
    case VALUE_STRING:
        return "string";
    case VALUE_LIST:
        return "list";
    case VALUE_SET:
        return "set";
    case VALUE_ZSET:
        return "zset";
    case VALUE_HASH:
        return "hash";
    case VALUE_STREAM:
        return "stream";
    }
    return "unknown";
}

size_t
value_object_size(const struct value *value)
{
    ASSERT(value->is_object);
    return object_size(value->object);
}

int64_t
value_object_deadline_ms(const struct value *value)
{
    ASSERT(value->is_object);
    if (value->type == VALUE_HASH && value->encoding == ENCODING_HASHTABLE) {
        return packed_first_ms(value->object);
    }
    return PACKED_NO_DEADLINE;
}

struct value
value_object_copy(const struct value *value)
{
    ASSERT(value->is_object);
    return value_object(value->type, value->encoding,
                        object_copy(value->type, value->encoding, value->object));
}

void
value_object_delete(const struct value *value)
{
    ASSERT(value->is_object);
    object_delete(value->type, value->encoding, value->object);
}
