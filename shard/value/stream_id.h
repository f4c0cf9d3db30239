/*
 * stream_id.h: what names a stream's entries: milliseconds and a sequence number within them.
 */
#pragma once

#include "core/slice.h"

struct stream_id {
    uint64_t ms;
    uint64_t sequence;
};

#define STREAM_ID_MIN ((struct stream_id){0, 0})
#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})
/** "ms-sequence" at its longest. */
#define STREAM_ID_TEXT_SIZE 41
/** As files have it: both numbers with the highest byte first. */
#define STREAM_ID_BYTES_SIZE 16

/** -1, 0 or 1. */
static inline int
stream_id_compare(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms) {
        return a.ms < b.ms ? -1 : 1;
    }
    return (a.sequence > b.sequence) - (a.sequence < b.sequence);
}

static inline bool
stream_id_is_zero(struct stream_id id)
{
    return (id.ms | id.sequence) == 0;
}

/** The one behind. The last of all has none: then *id becomes 0-0, and it returns false. */
static inline bool
stream_id_increment(struct stream_id *id)
{
    id->sequence++;
    if (id->sequence == 0) {
        id->ms++;
        return id->ms != 0;
    }
    return true;
}

/** The one in front. 0-0 has none: then *id becomes the last of all, and it returns false. */
static inline bool
stream_id_decrement(struct stream_id *id)
{
    if (id->sequence == 0) {
        bool is_whole = id->ms != 0;
        id->ms--;
        id->sequence = UINT64_MAX;
        return is_whole;
    }
    id->sequence--;
    return true;
}

/** As clients read it. Returns the size. */
size_t stream_id_format(char text[STREAM_ID_TEXT_SIZE], struct stream_id id);

/** As files have it, STREAM_ID_BYTES_SIZE bytes that compare by memcmp. */
static inline void
stream_id_write(unsigned char bytes[STREAM_ID_BYTES_SIZE], struct stream_id id)
{
    uint64_t halves[2] = {__builtin_bswap64(id.ms), __builtin_bswap64(id.sequence)};
    memcpy(bytes, halves, sizeof(halves));
}

static inline struct stream_id
stream_id_read(const unsigned char bytes[STREAM_ID_BYTES_SIZE])
{
    uint64_t halves[2];
    memcpy(halves, bytes, sizeof(halves));
    return (struct stream_id){__builtin_bswap64(halves[0]), __builtin_bswap64(halves[1])};
}
