/*
 * aof_text.h: AOF files for tests, built piece by piece, with check lines as the writer puts them.
 */
#pragma once

#include "core/heap.h"
#include "core/random.h"
#include "persist/aof_format.h"

#include <stdarg.h>
#include <stdio.h>

struct aof_text {
    char *bytes;
    size_t size;
    size_t capacity;
    /** The end of the last check line. */
    size_t check_end;
};

static inline char *
aof_text_room(struct aof_text *text, size_t size)
{
    if (text->capacity - text->size < size) {
        text->capacity = 2 * text->capacity + size;
        text->bytes = heap_realloc(text->bytes, text->capacity);
    }
    return text->bytes + text->size;
}

static inline void
aof_text_add(struct aof_text *text, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(aof_text_room(text, size), bytes, size);
        text->size += size;
    }
}

static inline void
aof_text_words(struct aof_text *text, uint32_t count, ...)
{
    va_list words;
    text->size += (size_t)snprintf(aof_text_room(text, 32), 32, "*%u\r\n", count);
    va_start(words, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *word = va_arg(words, const char *);
        size_t size = strlen(word);
        text->size += (size_t)snprintf(aof_text_room(text, size + 32), size + 32, "$%zu\r\n%s\r\n",
                                       size, word);
    }
    va_end(words);
}

static inline void
aof_text_head(struct aof_text *text, uint32_t shard_count, uint32_t shard, uint64_t generation,
              const uint16_t *owners)
{
    struct aof_segment_head head = {shard_count, shard, generation};
    text->size += aof_segment_format(aof_text_room(text, aof_segment_size_max()), &head, owners);
}

static inline void
aof_text_part(struct aof_text *text, const struct aof_part *part)
{
    text->size += aof_part_format(aof_text_room(text, aof_part_size_max(part)), part);
}

static inline void
aof_text_check(struct aof_text *text, uint64_t synced)
{
    uint64_t size = text->size - text->check_end;
    char *out = aof_text_room(text, AOF_CHECK_SIZE_MAX);
    uint64_t sum = aof_bytes_sum(slice_of(text->bytes + text->check_end, size));
    text->size += aof_check_format(out, size, sum, synced);
    text->check_end = text->size;
}

static inline void
aof_text_complete(struct aof_text *text, uint64_t ticket)
{
    text->size += aof_complete_format(aof_text_room(text, AOF_LINE_SIZE_MAX), ticket);
}

static inline void
aof_text_closed(struct aof_text *text)
{
    text->size += aof_closed_format(aof_text_room(text, AOF_CHECK_SIZE_MAX), text->size);
    text->check_end = text->size;
}

static inline struct slice
aof_text_slice(const struct aof_text *text)
{
    return slice_of(text->bytes, text->size);
}

static inline void
aof_text_destroy(struct aof_text *text)
{
    heap_free(text->bytes);
    *text = (struct aof_text){0};
}
