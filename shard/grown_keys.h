/*
 * grown_keys.h: keys that a command turns out to need while it runs.
 * It begins with none, asks for what it misses, and is run again with them. Names are copied here
 * once and stay.
 */
#pragma once

#include "core/slice.h"

struct view;

struct grown_keys {
    struct slice *names; /* in the order in which they were asked for */
    uint32_t count;
    uint32_t capacity;
    uint32_t ready_count; /* of names: those that are borrowed */
    struct view **views;  /* [ready_count], the transaction's */
    uint32_t *table;      /* maps hashes of names to indexes + 1 */
    uint32_t table_size;  /* a power of two, or 0 */
};

void grown_keys_create(struct grown_keys *keys);
void grown_keys_destroy(struct grown_keys *keys);

/** The index of a name, which is added if it is new. */
uint32_t grown_keys_index(struct grown_keys *keys, struct slice name);
