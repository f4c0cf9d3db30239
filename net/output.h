/*
 * output.h: reply bytes on their way out: a chain of chunks, some of which point at bytes that lie
 * elsewhere (a large value in its entry) and are pinned until they have been sent.
 * One thread at a time owns an output; it may be handed to another core whole.
 */
#pragma once

#include "core/slice.h"

#include <assert.h>
#include <sys/uio.h>

/** Whoever lends bytes to an output. release() is called once, by the thread that then owns the
 * output, when the last byte has been sent or dropped. */
struct output_pin {
    void (*release)(struct output_pin *pin);
};

struct output_chunk {
    struct output_chunk *next;
    uint32_t size;             /* bytes in data[], when not external */
    uint32_t capacity;         /* of data[]; 0: external */
    const char *external_data; /* lent bytes */
    uint64_t external_size;
    struct output_pin *pin; /* NULL: the bytes outlive every output */
    char data[];
};

/** The room of a usual chunk: 4096 bytes with its head, a size that the allocator has without
 * slack, and enough for the replies of a usual pipeline. */
#define OUTPUT_CHUNK_SIZE 4056
/** The room of a chunk that follows lent bytes, where usually just a line end and a header go. */
#define OUTPUT_CHUNK_SIZE_SMALL 216
/** From this size on a stored value is sent from where it lies. */
#define OUTPUT_EXTERNAL_SIZE_MIN 16384

struct output {
    struct output_chunk *first;
    struct output_chunk *last;
    uint64_t byte_count;        /* all bytes that wait, lent ones included */
    uint64_t memory_size;       /* what the chunks themselves take, the spare one included */
    uint64_t sent_size;         /* of the first chunk's bytes, lent or not */
    struct output_chunk *spare; /* one empty chunk kept for the next reply, or NULL */
};

static_assert(sizeof(struct output_chunk) + OUTPUT_CHUNK_SIZE == 4096, "an allocator's size");

void output_create(struct output *output);
/** Frees all chunks and releases all pins. */
void output_destroy(struct output *output);
/** Frees the spare chunk, when the connection becomes idle. An empty output holds nothing then. */
void output_trim(struct output *output);

static inline bool
output_is_empty(const struct output *output)
{
    return output->byte_count == 0;
}

/** Room for `size` contiguous bytes (size <= OUTPUT_CHUNK_SIZE), to be followed by output_commit(),
 * with nothing in between. */
char *output_reserve_slow(struct output *output, uint32_t size);

static inline char *
output_reserve(struct output *output, uint32_t size)
{
    struct output_chunk *last = output->last;
    if (LIKELY(last != NULL && last->capacity - last->size >= size)) {
        return last->data + last->size;
    }
    return output_reserve_slow(output, size);
}

/** The first `size` bytes of what output_reserve() gave are written. */
static inline void
output_commit(struct output *output, uint32_t size)
{
    output->last->size += size;
    output->byte_count += size;
}

/** Copy bytes of any length. */
void output_append(struct output *output, const void *data, size_t size);
/** Append bytes that stay where they are until pin->release(), which comes at once for no bytes. */
void output_append_external(struct output *output, struct slice bytes, struct output_pin *pin);
/** Move everything of `from` behind what `output` holds; `from` is empty afterwards. Contents of
 * one chunk are copied, so that chunks do not change owners for a few bytes, and `from` keeps it as
 * its spare. */
void output_splice(struct output *output, struct output *from);

/** Move the first `size` bytes of `from` behind what `output` holds; lent bytes are not copied. */
void output_take(struct output *output, struct output *from, uint64_t size);

/** A place to come back to, for lengths that are known only behind their elements. Good until bytes
 * before it change: by output_consume(), output_truncate(), or an insertion at an earlier mark. */
struct output_mark {
    struct output_chunk *chunk; /* NULL: at the very start */
    uint32_t offset;
};
struct output_mark output_mark(struct output *output);
/** Insert bytes (at most OUTPUT_INSERT_SIZE_MAX) at the mark. Earlier bytes do not move and earlier
 * marks stay good, those behind it do not: marks are resolved last first. */
#define OUTPUT_INSERT_SIZE_MAX 64
void output_insert(struct output *output, struct output_mark mark, struct slice bytes);
/** Drop everything behind the mark; byte_count_then is output->byte_count as it was at the mark. */
void output_truncate(struct output *output, struct output_mark mark, uint64_t byte_count_then);

/** Describe what waits, at most `vector_count_max` parts, none of them empty. Returns the number of
 * parts. They stay good while bytes are appended, until output_consume(). */
uint32_t output_vector(const struct output *output, struct iovec *vector,
                       uint32_t vector_count_max);
/** `size` bytes from the front have been sent: free what they took. */
void output_consume(struct output *output, uint64_t size);
/** Copy all bytes out (tests, scripts): returns a block of byte_count bytes, for heap_free(). */
char *output_flatten(const struct output *output);
