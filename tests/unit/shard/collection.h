/*
 * collection.h: for tests of commands on collections: tables of command lines and replies, and
 * replies without an order.
 */
#pragma once

#include "harness.h"

struct step {
    const char *line;
    const char *reply;
};

/** Run a table (ended by a NULL line) as the owner's own commands and as a borrower's, and its
 * effects on an empty shard, which must hold the same afterwards. */
void steps_run(const struct step *steps);

/** Do both hold the same keys, types, deadlines, and the same elements (lists and sorted sets in
 * their order)? Prints the first difference. */
bool collections_equal(struct harness *a, struct harness *b);

/** The bulk strings of a reply that is an array, set or map of them, sorted in groups of
 * `group_size`; "a b c " with blanks behind each, good until the harness's next call with it. */
const char *reply_sorted(struct slice reply, uint32_t group_size, char *text, size_t text_size);

/** The bulk strings of a reply, in their order, below any nesting; returns how many. At most `max`
 * are stored. */
uint32_t reply_bulks(struct slice reply, struct slice *bulks, uint32_t max);

/** A command of words that printf() makes: blanks separate them. */
struct slice harness_format(struct harness *harness, const char *format, ...) PRINTF_LIKE(2, 3);
