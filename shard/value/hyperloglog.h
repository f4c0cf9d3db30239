/*
 * hyperloglog.h: how many different elements a set has seen, in 12 KiB at most, give or take 0.8 %.
 * The bytes are redis-server's, cached count included, so that they move between servers as plain
 * strings. Pure functions on those bytes: any thread may call them.
 */
#pragma once

#include "core/slice.h"

#define HYPERLOGLOG_REGISTER_COUNT 16384
#define HYPERLOGLOG_HEADER_SIZE 16
/** A sparse one that has seen nothing. */
#define HYPERLOGLOG_EMPTY_SIZE 18
/** Header and registers of six bits. */
#define HYPERLOGLOG_DENSE_SIZE (HYPERLOGLOG_HEADER_SIZE + HYPERLOGLOG_REGISTER_COUNT * 6 / 8)

/** What an element says: the register and the rank (1..51) that it has at least. */
struct hyperloglog_mark {
    uint32_t index;
    uint32_t rank;
};

struct hyperloglog_mark hyperloglog_mark(struct slice element);

/* ---- header ---- */

/** Is it one at all, by its header and size? What is inside a sparse one shows later. */
bool hyperloglog_is_valid(struct slice bytes);

/** Of a valid one. */
bool hyperloglog_is_dense(struct slice bytes);

/** HYPERLOGLOG_EMPTY_SIZE bytes: sparse, empty, its count cached. */
void hyperloglog_create(char *data);

/** The count that was computed last, when nothing changed since; else false. */
bool hyperloglog_cache_read(struct slice bytes, uint64_t *count);

#define HYPERLOGLOG_CACHE_OFFSET 8
#define HYPERLOGLOG_CACHE_SIZE 8
void hyperloglog_cache_store(char *data, uint64_t count);
/** Mark the cached count as out of date. */
void hyperloglog_cache_drop(char *data);

/* ---- dense ---- */

uint32_t hyperloglog_dense_get(const char *data, uint32_t index);

/** Raise a register to the mark's rank; false: it is as high already. */
bool hyperloglog_dense_raise(char *data, struct hyperloglog_mark mark);

/** HYPERLOGLOG_DENSE_SIZE bytes from registers of a byte each. Of the header only the encoding is
 * written. */
void hyperloglog_dense_store(char *data, const uint8_t *registers);

/* ---- sparse ---- */

enum hyperloglog_outcome {
    HYPERLOGLOG_SAME,    /* the register is as high already */
    HYPERLOGLOG_RAISED,  /* by what the plan says */
    HYPERLOGLOG_PROMOTE, /* it has to become dense first */
    HYPERLOGLOG_CORRUPT,
};

/** How a sparse one is to be changed. */
struct hyperloglog_plan {
    size_t at;       /* where opcodes are replaced */
    size_t merge_at; /* where neighbours of one value are looked for */
    size_t room;     /* bytes that the whole takes on the way */
    uint8_t old_size;
    uint8_t new_size;
    uint8_t opcodes[5];
};

/** Where the last mark was found, for marks in rising order; all zero: at the beginning. */
struct hyperloglog_cursor {
    size_t at;
    uint32_t first; /* the register that the opcode at `at` begins with */
};

/** Find out what raising a register takes, when a sparse one may grow to `size_max` bytes. `cursor`
 * may be NULL. */
enum hyperloglog_outcome hyperloglog_sparse_plan(struct slice bytes, struct hyperloglog_mark mark,
                                                 uint64_t size_max,
                                                 struct hyperloglog_cursor *cursor,
                                                 struct hyperloglog_plan *plan);

/** Carry a plan out. `data` has plan->room bytes, of which `size` are in use. Returns how many are
 * in use then, not more than plan->room. */
size_t hyperloglog_sparse_apply(char *data, size_t size, const struct hyperloglog_plan *plan);

/** The opcodes as text, "Z:16 v:1,2 ...", into `out`, which has room for
 * HYPERLOGLOG_TEXT_SIZE_MAX(size). Returns how much was written. */
size_t hyperloglog_sparse_text(struct slice bytes, char *out);
#define HYPERLOGLOG_TEXT_SIZE_MAX(size) ((size)*8)

/* ---- either ---- */

/** Raise registers of a byte each to those of `bytes`. False: corrupt; some may have been raised.
 */
MUST_CHECK bool hyperloglog_merge(uint8_t *registers, struct slice bytes);

/** Count. False: corrupt. */
MUST_CHECK bool hyperloglog_count(struct slice bytes, uint64_t *count);

uint64_t hyperloglog_registers_count(const uint8_t *registers);
