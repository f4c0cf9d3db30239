/*
 * check_keys.c: is a key in the file twice?
 *
 * A server that loads such a file stops, so a checker has to find it; but it must not need as much
 * memory as the server. Eight bytes are kept for each key, its hash, and sorted at the end. Only
 * what has the same hash as something else is looked at by name, in a second walk over the file:
 * for all but damaged files that is nothing.
 */
#include "core/hash.h"
#include "core/heap.h"
#include "shard/check_internal.h"

#include <stdlib.h>

#define CAPACITY_MIN 1024

static uint64_t
key_hash(uint64_t db, struct slice key)
{
    return hash_bytes(key.data, key.size, db);
}

void
check_keys_add(struct check_keys *keys, uint64_t db, struct slice key)
{
    if (keys->count == keys->capacity) {
        keys->capacity = MAX(keys->capacity * 2, (uint64_t)CAPACITY_MIN);
        keys->hashes = heap_realloc(keys->hashes, keys->capacity * sizeof(*keys->hashes));
    }
    keys->hashes[keys->count++] = key_hash(db, key);
}

static int
hash_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void
check_keys_sort(struct check_keys *keys)
{
    if (keys->count > 1) {
        qsort(keys->hashes, keys->count, sizeof(*keys->hashes), hash_compare);
    }
    keys->twin_count = 0;
    uint64_t *hashes = keys->hashes;
    for (uint64_t i = 1; i < keys->count; i++) {
        uint64_t hash = hashes[i];
        bool is_known = keys->twin_count > 0 && hashes[keys->twin_count - 1] == hash;
        if (hash == hashes[i - 1] && !is_known) {
            hashes[keys->twin_count++] = hash; /* in front of i: what is compared next stays */
        }
    }
    keys->firsts = heap_alloc_lines(MAX(keys->twin_count, 1), sizeof(*keys->firsts));
}

bool
check_keys_met_again(struct check_keys *keys, uint64_t db, struct slice key)
{
    uint64_t hash = key_hash(db, key);
    if (keys->twin_count == 0) {
        return false;
    }
    const uint64_t *found =
        bsearch(&hash, keys->hashes, keys->twin_count, sizeof(hash), hash_compare);
    if (found == NULL) {
        return false;
    }
    struct check_first *first = &keys->firsts[found - keys->hashes];
    if (first->bytes != NULL) {
        return first->db == db && slice_equal(slice_of(first->bytes, first->size), key);
    }
    first->bytes = heap_alloc(MAX(key.size, 1));
    memcpy(first->bytes, key.data, key.size);
    first->size = key.size;
    first->db = db;
    return false;
}

void
check_keys_destroy(struct check_keys *keys)
{
    for (uint64_t i = 0; keys->firsts != NULL && i < keys->twin_count; i++) {
        heap_free(keys->firsts[i].bytes);
    }
    heap_free(keys->firsts);
    heap_free(keys->hashes);
    *keys = (struct check_keys){0};
}
