#include "persist/rdb_skip.h"

/*
 * rdb_skip.c: past what nobody wants to see.
 *
 *     a string:   length, bytes          skip so many
 *                 C0 1, C1 2, C2 4       skip so many
 *                 C3 length length data  skip the first length
 *
 * A reader of a slice moves at once; one of a source moves by what it has in its buffer. The first
 * byte of a string tells whether it is a special one, so that is looked at before it is taken.
 *
 * Invariant: where rdb_read_string() succeeds, rdb_skip_string() does, and stops at the same byte.
 *
 * Rejected: reading a string and dropping it (what LZF has compressed would be unpacked, and a
 * string from a source gathered, only to find where it ends).
 */

/** The upper two bits of a special string's first byte, and what the others say. */
#define SPECIAL 0xC0
#define SPECIAL_I8 0xC0
#define SPECIAL_I16 0xC1
#define SPECIAL_I32 0xC2
#define SPECIAL_LZF 0xC3

bool
rdb_skip_bytes(struct rdb_reader *reader, uint64_t size)
{
    if (reader->error != 0) {
        return false;
    }
    while (size > 0) {
        if (rdb_reader_is_at_end(reader)) {
            return rdb_reader_fail(reader);
        }
        size_t part_size = (size_t)MIN(size, (uint64_t)(reader->end - reader->at));
        reader->at += part_size;
        size -= part_size;
    }
    return true;
}

bool
rdb_skip_length(struct rdb_reader *reader)
{
    uint64_t length;
    return rdb_read_length(reader, &length);
}

static bool
skip_special(struct rdb_reader *reader)
{
    uint8_t form;
    uint64_t size;
    if (!rdb_read_u8(reader, &form)) {
        return false;
    }
    switch (form) {
    case SPECIAL_I8:
        return rdb_skip_bytes(reader, 1);
    case SPECIAL_I16:
        return rdb_skip_bytes(reader, 2);
    case SPECIAL_I32:
        return rdb_skip_bytes(reader, 4);
    case SPECIAL_LZF:
        return rdb_read_length(reader, &size) && rdb_skip_length(reader) &&
               rdb_skip_bytes(reader, size);
    default:
        return rdb_reader_fail(reader);
    }
}

bool
rdb_skip_string(struct rdb_reader *reader)
{
    uint64_t size;
    if (reader->error != 0 || rdb_reader_is_at_end(reader)) {
        return rdb_reader_fail(reader);
    }
    if ((*reader->at & SPECIAL) == SPECIAL) {
        return skip_special(reader);
    }
    return rdb_read_length(reader, &size) && rdb_skip_bytes(reader, size);
}
