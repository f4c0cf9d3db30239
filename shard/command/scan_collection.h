/*
 * scan_collection.h: what SSCAN, HSCAN and their kin have in common: cursor, MATCH, COUNT; SCAN
 * reads the same cursors.
 */
#pragma once

#include "shard/call.h"

struct scan_options {
    uint64_t cursor;
    uint64_t count;
    bool has_pattern;
    struct slice pattern;
    bool is_without_values;
};

/** A cursor as C's strtoul() reads it in base 10, less leading blanks: a sign is allowed (and
 * negates modulo 2^64), nothing at all is 0, and a zero byte ends the text. False: it is none. */
bool scan_cursor_parse(struct slice text, uint64_t *cursor);
/** The cursor, argument 2. Replies the error and returns false. */
bool scan_cursor_read(struct call *call, struct scan_options *options);
/** What follows it. Replies the error and returns false. */
bool scan_options_read(struct call *call, bool allows_novalues, struct scan_options *options);
/** The reply for a key that is not there. */
void scan_empty_reply(struct call *call);

bool scan_passes(const struct scan_options *options, struct slice text);

/** One step of the collection: call `visit` for what lies there; returns the next position. */
typedef uint64_t scan_step_fn(void *context, uint64_t position, bool is_counting);

/**
 * The whole reply. `step` is called twice over the same positions: first with is_counting, when it
 * adds the elements that it passes to *counted, then without, when it replies those that match and
 * counts them in *replied. `is_whole`: one step visits everything.
 */
void scan_reply(struct call *call, const struct scan_options *options, bool is_whole,
                scan_step_fn *step, void *context, uint64_t *counted, uint64_t *replied);
