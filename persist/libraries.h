/*
 * libraries.h: libraries of functions (FUNCTION LOAD), as texts. Whoever cannot run them can still
 * keep them: out of one file, into the next. Their code is never looked at but for its first line,
 * which says their name.
 *
 *     #!lua name=mylib          RDB: a record of its own, in front of the keys
 *     redis.register_...        AOF: FUNCTION LOAD, DELETE, FLUSH, RESTORE
 *
 * One thread at a time. A server has some dozens of them at the most: they are searched one by one.
 */
#pragma once

#include "persist/rdb.h"

struct library {
    /** By which it is known; all of its code where the first line says none. */
    struct slice name;
    struct slice code;
};

/** All zero: none. */
struct libraries {
    struct library *items;
    uint32_t count;
    uint32_t capacity;
};

/** Forget all of them, and free what they took. */
void libraries_clear(struct libraries *libraries);

/** Keep a copy of the code. False: there is one of that name, and `is_replacing` is not set. */
MUST_CHECK bool libraries_put(struct libraries *libraries, struct slice code, bool is_replacing);

/** NULL: there is none of that name. */
const struct library *libraries_find(const struct libraries *libraries, struct slice name);

/** The name in the first line of the code; what it points to is the code's, or static. Empty: it
 * says none. */
struct slice library_name(struct slice code);

/**
 * Carry out FUNCTION with these arguments, argv[0] the command's own name, as far as it changes
 * which libraries there are. NULL, or the text of an error, and nothing has changed.
 */
const char *libraries_apply(struct libraries *libraries, const struct slice *argv, uint32_t argc);

/** As records of an RDB file, which stand in front of its first key. */
void libraries_write_records(const struct libraries *libraries, struct rdb_writer *writer);

/** As commands of an AOF. */
void libraries_write_commands(const struct libraries *libraries, struct rdb_writer *writer);
