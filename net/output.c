/*
 * output.c: reply bytes on their way out.
 *
 *     first                                          last            spare
 *     [+OK.. $16400\r\n] -> (external: value) -> [\r\n :1 ....  ]     [        ]
 *      '- sent_size                                      ^ next reply
 *
 * Replies are written straight into the last chunk, and one vectored send takes the whole chain.
 * Appending never moves bytes that wait, so a send may be in flight meanwhile. The last chunk to
 * become empty is kept as the spare: a connection that asks and answers allocates nothing, and one
 * that falls idle gives the spare back with output_trim().
 *
 * Invariants: byte_count is the sum of all chunks' bytes less sent_size, which is less than the
 * first chunk's bytes unless nothing waits; each pin is released once. A chunk may be empty:
 * truncated, or reserved and then too small.
 *
 * Rejected: one growing buffer for each output (gigabytes to a slow reader would be copied over and
 * over); a ring of fixed size (what does not fit needs a chain anyway); a chunk boundary at each
 * mark, so that lengths can be linked in later (a memmove of less than a chunk is cheaper than the
 * allocation, and most such replies are short).
 */
#include "net/output.h"

#include "core/heap.h"

/** Long contents are copied into chunks of at most this room, so that they go while being sent. */
#define CHUNK_SIZE_MAX (256 * 1024 - sizeof(struct output_chunk))

void
output_create(struct output *output)
{
    *output = (struct output){0};
}

static inline uint64_t
chunk_byte_count(const struct output_chunk *chunk)
{
    return chunk->capacity == 0 ? chunk->external_size : chunk->size;
}

static inline const char *
chunk_bytes(const struct output_chunk *chunk)
{
    return chunk->capacity == 0 ? chunk->external_data : chunk->data;
}

static inline size_t
chunk_memory_size(const struct output_chunk *chunk)
{
    return sizeof(*chunk) + chunk->capacity;
}

/** A chunk of its own that is not yet in the chain; capacity 0 for lent bytes. */
static struct output_chunk *
chunk_new(struct output *output, uint32_t capacity)
{
    struct output_chunk *chunk = output->spare;
    if (capacity == OUTPUT_CHUNK_SIZE && chunk != NULL) {
        output->spare = NULL;
        chunk->next = NULL;
        chunk->size = 0;
        return chunk;
    }
    chunk = heap_alloc(sizeof(*chunk) + capacity);
    chunk->next = NULL;
    chunk->size = 0;
    chunk->capacity = capacity;
    if (capacity == 0) {
        chunk->external_size = 0;
        chunk->pin = NULL;
    }
    output->memory_size += chunk_memory_size(chunk);
    return chunk;
}

/** `chunk` has left the chain: keep it as the spare, or free it with its pin. */
static void
chunk_delete(struct output *output, struct output_chunk *chunk)
{
    if (chunk->capacity == OUTPUT_CHUNK_SIZE && output->spare == NULL) {
        output->spare = chunk;
        return;
    }
    if (chunk->capacity == 0 && chunk->pin != NULL) {
        chunk->pin->release(chunk->pin);
    }
    output->memory_size -= chunk_memory_size(chunk);
    heap_free(chunk);
}

/** Link `chunk` behind `position`; NULL: at the front. */
static void
chunk_link(struct output *output, struct output_chunk *position, struct output_chunk *chunk)
{
    struct output_chunk **link = position == NULL ? &output->first : &position->next;
    chunk->next = *link;
    *link = chunk;
    if (chunk->next == NULL) {
        output->last = chunk;
    }
}

/** Take all chunks behind `position` out of the chain and delete them; NULL: all. */
static void
chunks_drop(struct output *output, struct output_chunk *position)
{
    struct output_chunk *chunk = position == NULL ? output->first : position->next;
    if (position == NULL) {
        output->first = NULL;
        output->sent_size = 0;
    } else {
        position->next = NULL;
    }
    output->last = position;
    while (chunk != NULL) {
        struct output_chunk *next = chunk->next;
        chunk_delete(output, chunk);
        chunk = next;
    }
}

void
output_destroy(struct output *output)
{
    chunks_drop(output, NULL);
    output->byte_count = 0;
    output_trim(output);
    ASSERT(output->memory_size == 0);
}

void
output_trim(struct output *output)
{
    struct output_chunk *last = output->last;
    if (output->byte_count == 0 && last != NULL) {
        chunks_drop(output, NULL);
    }
    if (output->spare != NULL) {
        output->memory_size -= chunk_memory_size(output->spare);
        heap_free(output->spare);
        output->spare = NULL;
    }
}

char *
output_reserve_slow(struct output *output, uint32_t size)
{
    ASSERT(size <= OUTPUT_CHUNK_SIZE);
    struct output_chunk *last = output->last;
    bool is_behind_lent = last != NULL && last->capacity == 0;
    uint32_t capacity = is_behind_lent && size <= OUTPUT_CHUNK_SIZE_SMALL ? OUTPUT_CHUNK_SIZE_SMALL
                                                                          : OUTPUT_CHUNK_SIZE;
    struct output_chunk *chunk = chunk_new(output, capacity);
    chunk_link(output, last, chunk);
    return chunk->data;
}

void
output_append(struct output *output, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        struct output_chunk *last = output->last;
        uint32_t room = last == NULL ? 0 : last->capacity - last->size;
        if (room == 0) {
            if (size <= OUTPUT_CHUNK_SIZE) {
                output_reserve_slow(output, (uint32_t)size);
            } else {
                chunk_link(output, last, chunk_new(output, (uint32_t)MIN(size, CHUNK_SIZE_MAX)));
            }
            last = output->last;
            room = last->capacity - last->size;
        }
        uint32_t part = (uint32_t)MIN(size, room);
        memcpy(last->data + last->size, from, part);
        output_commit(output, part);
        from += part;
        size -= part;
    }
}

void
output_append_external(struct output *output, struct slice bytes, struct output_pin *pin)
{
    if (bytes.size == 0) {
        if (pin != NULL) {
            pin->release(pin);
        }
        return;
    }
    struct output_chunk *chunk = chunk_new(output, 0);
    chunk->external_data = bytes.data;
    chunk->external_size = bytes.size;
    chunk->pin = pin;
    chunk_link(output, output->last, chunk);
    output->byte_count += bytes.size;
}

void
output_splice(struct output *output, struct output *from)
{
    ASSERT(output != from);
    struct output_chunk *first = from->first;
    if (from->byte_count == 0) {
        chunks_drop(from, NULL);
        return;
    }
    if (first->next == NULL && first->capacity != 0 && first->size <= OUTPUT_CHUNK_SIZE) {
        output_append(output, first->data + from->sent_size, first->size - from->sent_size);
        from->byte_count = 0;
        chunks_drop(from, NULL);
        return;
    }
    if (from->sent_size > 0) {
        if (first->capacity == 0) {
            first->external_data += from->sent_size;
            first->external_size -= from->sent_size;
        } else {
            first->size -= (uint32_t)from->sent_size;
            memmove(first->data, first->data + from->sent_size, first->size);
        }
    }
    uint64_t spare_size = from->spare == NULL ? 0 : chunk_memory_size(from->spare);
    if (output->last == NULL) {
        output->first = first;
    } else {
        output->last->next = first;
    }
    output->last = from->last;
    output->byte_count += from->byte_count;
    output->memory_size += from->memory_size - spare_size;
    *from = (struct output){.spare = from->spare, .memory_size = spare_size};
}

struct output_mark
output_mark(struct output *output)
{
    struct output_chunk *last = output->last;
    return (struct output_mark){.chunk = last, .offset = last == NULL ? 0 : last->size};
}

/** Make room for `size` bytes at the front of the bytes that follow `position` (NULL: of all). */
static char *
front_reserve(struct output *output, struct output_chunk *position, uint32_t size)
{
    struct output_chunk *next = position == NULL ? output->first : position->next;
    if (next == NULL || next->capacity - next->size < size) {
        next = chunk_new(output, OUTPUT_CHUNK_SIZE_SMALL);
        chunk_link(output, position, next);
    } else {
        memmove(next->data + size, next->data, next->size);
    }
    next->size += size;
    return next->data;
}

void
output_insert(struct output *output, struct output_mark mark, struct slice bytes)
{
    ASSERT(bytes.size <= OUTPUT_INSERT_SIZE_MAX);
    struct output_chunk *chunk = mark.chunk;
    uint32_t size = (uint32_t)bytes.size;
    char *to;
    if (chunk == NULL || chunk->capacity == 0) {
        /* Nothing of what is sent partly can lie behind a mark, so the front is whole. */
        ASSERT(chunk != NULL || output->sent_size == 0);
        to = front_reserve(output, chunk, size);
    } else {
        ASSERT(mark.offset <= chunk->size);
        uint32_t tail_size = chunk->size - mark.offset;
        if (chunk->capacity - chunk->size < size && tail_size > 0) {
            struct output_chunk *tail = chunk_new(output, MAX(tail_size, OUTPUT_CHUNK_SIZE));
            memcpy(tail->data, chunk->data + mark.offset, tail_size);
            tail->size = tail_size;
            chunk->size = mark.offset;
            chunk_link(output, chunk, tail);
            tail_size = 0;
        }
        if (chunk->capacity - chunk->size >= size) {
            to = chunk->data + mark.offset;
            memmove(to + size, to, tail_size);
            chunk->size += size;
        } else {
            to = front_reserve(output, chunk, size);
        }
    }
    memcpy(to, bytes.data, size);
    output->byte_count += size;
}

void
output_truncate(struct output *output, struct output_mark mark, uint64_t byte_count_then)
{
    ASSERT(byte_count_then <= output->byte_count);
    ASSERT(mark.chunk != NULL || byte_count_then == 0);
    chunks_drop(output, mark.chunk);
    if (mark.chunk != NULL && mark.chunk->capacity != 0) {
        ASSERT(mark.offset <= mark.chunk->size);
        mark.chunk->size = mark.offset;
    }
    output->byte_count = byte_count_then;
}

uint32_t
output_vector(const struct output *output, struct iovec *vector, uint32_t vector_count_max)
{
    uint32_t count = 0;
    uint64_t sent_size = output->sent_size;
    const struct output_chunk *chunk = output->first;
    for (; chunk != NULL && count < vector_count_max; chunk = chunk->next) {
        uint64_t size = chunk_byte_count(chunk) - sent_size;
        if (size > 0) {
            const char *bytes = chunk_bytes(chunk) + sent_size;
            vector[count++] = (struct iovec){.iov_base = (char *)(uintptr_t)bytes, .iov_len = size};
        }
        sent_size = 0;
    }
    return count;
}

void
output_consume(struct output *output, uint64_t size)
{
    ASSERT(size <= output->byte_count);
    output->byte_count -= size;
    if (output->byte_count == 0) {
        chunks_drop(output, NULL);
        return;
    }
    size += output->sent_size;
    struct output_chunk *chunk = output->first;
    while (size >= chunk_byte_count(chunk)) {
        size -= chunk_byte_count(chunk);
        output->first = chunk->next;
        chunk_delete(output, chunk);
        chunk = output->first;
    }
    output->sent_size = size;
}

char *
output_flatten(const struct output *output)
{
    char *flat = heap_alloc(output->byte_count);
    size_t at = 0;
    uint64_t sent_size = output->sent_size;
    for (const struct output_chunk *chunk = output->first; chunk != NULL; chunk = chunk->next) {
        size_t size = chunk_byte_count(chunk) - sent_size;
        memcpy(flat + at, chunk_bytes(chunk) + sent_size, size);
        at += size;
        sent_size = 0;
    }
    ASSERT(at == output->byte_count);
    return flat;
}

void
output_take(struct output *output, struct output *from, uint64_t size)
{
    ASSERT(size <= from->byte_count);
    if (size == from->byte_count && size > OUTPUT_CHUNK_SIZE) {
        output_splice(output, from);
        return;
    }
    while (size > 0) {
        struct iovec part = {0};
        output_vector(from, &part, 1);
        struct output_chunk *chunk = from->first;
        uint64_t taken = MIN(size, part.iov_len);
        bool is_lent = chunk->capacity == 0 && taken == chunk->external_size;
        if (is_lent) {
            output_append_external(output, slice_of(part.iov_base, taken), chunk->pin);
            chunk->pin = NULL;
        } else {
            output_append(output, part.iov_base, taken);
        }
        output_consume(from, taken);
        size -= taken;
    }
}
