/*
 * value.h: what a key holds, as handlers see it.
 * A view: strings point into the entry or its raw block and are good until the entry changes.
 */
#pragma once

#include "core/memory.h"
#include "core/slice.h"

/** The order is ours; files and replies have their own numbers and names. */
enum value_type {
    VALUE_NONE,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_SET,
    VALUE_ZSET,
    VALUE_HASH,
    VALUE_STREAM,
};

/** The words of OBJECT ENCODING. For strings the word only: how they are stored is the entry's
 * affair. */
enum value_encoding {
    ENCODING_INT,
    ENCODING_EMBSTR,
    ENCODING_RAW,
    ENCODING_LISTPACK,
    ENCODING_QUICKLIST,
    ENCODING_INTSET,
    ENCODING_HASHTABLE,
    ENCODING_SKIPLIST,
    ENCODING_STREAM,
};

struct raw;

struct value {
    /** enum value_type, enum value_encoding. */
    uint8_t type;
    uint8_t encoding;
    /** `object` is set: a collection. */
    bool is_object;
    union {
        /** A string with ENCODING_INT. */
        int64_t integer;
        /** Any other string. Where `raw` is set these are its bytes. */
        struct slice bytes;
        /** A collection; what it is follows from type and encoding. */
        void *object;
    };
    /** A string that lies in a block of its own; else NULL. */
    struct raw *raw;
};

static inline struct value
value_integer(int64_t integer)
{
    return (struct value){.type = VALUE_STRING, .encoding = ENCODING_INT, .integer = integer};
}

/** `encoding` is ENCODING_EMBSTR or ENCODING_RAW. The bytes stay the caller's. */
static inline struct value
value_string(struct slice bytes, enum value_encoding encoding)
{
    return (struct value){.type = VALUE_STRING, .encoding = (uint8_t)encoding, .bytes = bytes};
}

static inline struct value
value_object(enum value_type type, enum value_encoding encoding, void *object)
{
    return (struct value){
        .type = (uint8_t)type, .encoding = (uint8_t)encoding, .is_object = true, .object = object};
}

/** "embstr", "listpack" ...: as OBJECT ENCODING answers. */
const char *value_encoding_name(enum value_encoding encoding);

/** "string", "none" ...: as TYPE answers. */
const char *value_type_name(enum value_type type);

/* ---- collections: shard/value/object.h ---- */

/** What a collection takes beside its entry, in bytes. */
size_t value_object_size(const struct value *value);
/** The first deadline of a collection's elements; -1: none has one. */
int64_t value_object_deadline_ms(const struct value *value);
/** A deep copy, which is in nobody's account yet. */
struct value value_object_copy(const struct value *value);
/** Free a collection, at once, however large it is. It is in nobody's account any more. */
void value_object_delete(const struct value *value);
