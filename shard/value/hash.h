/*
 * hash.h: a hash in whichever form it has: a listpack of fields and values, or a packed table. In a
 * table a field may have a deadline.
 * Any thread that holds the object (see object.h). A change may move or convert the object: the
 * handle then says what it is now, and view_object_edit() has to be told.
 *
 * Slices given out are good until the hash changes, and the digits' buffers are used again. Slices
 * given in must not lie in the hash, but for hash_remove().
 */
#pragma once

#include "core/random.h"
#include "core/slice.h"
#include "shard/value/packed.h"
#include "shard/value/value.h"

struct hash {
    enum value_encoding encoding;
    void *object; /* NULL: no hash yet; the first field set makes one */
    /** Fields whose deadline is not after this are not seen by hash_get() and whatever goes over
     * the fields; they are there until somebody removes them. 0: all are seen (files, digests). */
    int64_t now_ms;
};

/** Deadline of a field that stays until it is removed. */
#define HASH_NO_DEADLINE PACKED_NO_DEADLINE

/** Up to where a hash stays a listpack, and the seed of the tables that are made beyond. */
struct hash_limits {
    uint64_t listpack_count;
    uint64_t listpack_text_size;
    uint64_t seed;
};

#define HASH_DIGITS_SIZE 24

/** A field and its value, and room for their digits where they are numbers. */
struct hash_pair {
    struct slice field;
    struct slice value;
    int64_t deadline_ms; /* HASH_NO_DEADLINE: none */
    char field_digits[HASH_DIGITS_SIZE];
    char value_digits[HASH_DIGITS_SIZE];
};

/** Fields, those whose time is over included. */
uint64_t hash_count(const struct hash *hash);
/** Fields that are seen. O(1) unless some are not. */
uint64_t hash_count_seen(const struct hash *hash);
/** Are there fields that are not seen? O(1). */
bool hash_has_due(const struct hash *hash);
/** False: there is no such field. */
bool hash_get(const struct hash *hash, struct slice field, struct slice *value,
              char digits[HASH_DIGITS_SIZE]);
/** The same with all that there is to know of the field; *pair is good until it is used again. */
bool hash_find(const struct hash *hash, struct slice field, struct hash_pair *pair);
/** Each field that is seen equally likely. False: there is none. */
bool hash_random(const struct hash *hash, struct random *random, struct hash_pair *pair);

/** The field has no deadline then. True: the field is new. */
bool hash_set(struct hash *hash, const struct hash_limits *limits, struct slice field,
              struct slice value);
/** The same with a deadline, or HASH_NO_DEADLINE. A hash whose fields have deadlines is a table. */
bool hash_set_timed(struct hash *hash, const struct hash_limits *limits, struct slice field,
                    struct slice value, int64_t deadline_ms);
/** Another deadline, or HASH_NO_DEADLINE, for a field. False: there is no such field. */
bool hash_deadline_set(struct hash *hash, const struct hash_limits *limits, struct slice field,
                       int64_t deadline_ms);
/** True: it was there, seen or not. A hash that becomes empty stays one. */
bool hash_remove(struct hash *hash, struct slice field);
/** Remove the field if it is there but not seen any more. */
bool hash_remove_due(struct hash *hash, struct slice field);

/** Over all fields that are seen; a change of the hash ends the walk. */
struct hash_walk {
    struct hash hash;
    struct packed_walk packed;
    uint32_t position;
};

void hash_walk_start(struct hash_walk *walk, const struct hash *hash);
/** False: that was all. *pair is good until it is used again. */
bool hash_next(struct hash_walk *walk, struct hash_pair *pair);

typedef void hash_visit_fn(void *context, struct slice field, struct slice value);

/** Visit a few fields; positions as packed_scan() has them. Small hashes are visited whole. */
uint64_t hash_scan(const struct hash *hash, uint64_t position, hash_visit_fn *visit, void *context);
