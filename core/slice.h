/*
 * slice.h: a run of bytes that somebody else owns.
 * Arguments, keys and values travel as slices; bytes are never NUL-terminated and may hold any
 * byte.
 */
#pragma once

#include "core/base.h"

#include <string.h>

struct slice {
    const char *data;
    size_t size;
};

/** A slice of a string literal. */
#define SLICE(literal) ((struct slice){.data = (literal), .size = sizeof(literal) - 1})

static inline struct slice
slice_of(const void *data, size_t size)
{
    return (struct slice){.data = data, .size = size};
}

/** A slice of a NUL-terminated string, which must outlive it. */
static inline struct slice
slice_of_string(const char *string)
{
    return (struct slice){.data = string, .size = strlen(string)};
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/** Equal but for the case of ASCII letters. `lower` is a lower-case NUL-terminated word. */
static inline bool
slice_is_word(struct slice slice, const char *lower)
{
    size_t i = 0;
    for (; i < slice.size; i++) {
        unsigned char c = (unsigned char)slice.data[i];
        if (c >= 'A' && c <= 'Z') {
            c = (unsigned char)(c + ('a' - 'A'));
        }
        if (lower[i] == '\0' || c != (unsigned char)lower[i]) {
            return false;
        }
    }
    return lower[i] == '\0';
}

/** Equal but for the case of ASCII letters on either side. */
static inline bool
slice_equal_words(struct slice a, struct slice b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        unsigned char x = (unsigned char)a.data[i];
        unsigned char y = (unsigned char)b.data[i];
        x = (unsigned char)(x >= 'A' && x <= 'Z' ? x | 0x20 : x);
        y = (unsigned char)(y >= 'A' && y <= 'Z' ? y | 0x20 : y);
        if (x != y) {
            return false;
        }
    }
    return true;
}

/** Byte order as memcmp's, a prefix first: -1, 0 or 1. */
static inline int
slice_compare(struct slice a, struct slice b)
{
    size_t size = MIN(a.size, b.size);
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    if (order == 0) {
        return (a.size > b.size) - (a.size < b.size);
    }
    return order < 0 ? -1 : 1;
}
