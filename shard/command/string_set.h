/*
 * string_set.h: options that the commands which store strings share.
 */
#pragma once

#include "shard/call.h"

#define STRING_SET_NX (1u << 0)
#define STRING_SET_XX (1u << 1)
#define STRING_SET_GET (1u << 2)
#define STRING_SET_KEEPTTL (1u << 3)
#define STRING_SET_PERSIST (1u << 4)
#define STRING_SET_EX (1u << 5)
#define STRING_SET_PX (1u << 6)
#define STRING_SET_EXAT (1u << 7)
#define STRING_SET_PXAT (1u << 8)
#define STRING_SET_IFEQ (1u << 9)

struct string_set_options {
    uint32_t flags;          /* STRING_SET_ */
    uint32_t deadline_index; /* the argument with the time; 0: none */
    struct slice comparison; /* IFEQ's */
};

/** Read options from argv[index] on; `allowed` says which the command knows. Replies the error. */
bool string_set_options_read(struct call *call, uint32_t index, uint32_t allowed,
                             struct string_set_options *options);

/** The deadline that argv[index] means as the option `flag` (EX, PX, EXAT, PXAT). Replies the
 * error. */
bool string_set_deadline_read(struct call *call, uint32_t index, uint32_t flag,
                              int64_t *deadline_ms);

/** Store bytes with this deadline (it replaces the old one) and say so; a deadline that has passed
 * deletes the key. */
void string_set_store(struct call *call, struct view *view, struct slice bytes,
                      int64_t deadline_ms);
/** The same, but the key keeps the deadline that it has. */
void string_set_keep(struct call *call, struct view *view, struct slice bytes);
