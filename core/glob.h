/*
 * glob.h: the shell-like patterns of KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL rules.
 * Pure functions without state: any thread may call them.
 */
#pragma once

#include "core/slice.h"

/**
 * Whether the whole text matches: '*' any run, '?' any byte, [a-c] and [^a-c] classes, '\' takes
 * the next byte literally. Bytes, not characters. Case folding knows ASCII letters only. Time is at
 * most proportional to pattern.size * text.size; no recursion, no memory.
 *
 * The empty text matches the empty pattern only, not even "*": so it is for channels in Redis.
 * Where a lone "*" means "no filter" (KEYS, SCAN), glob_is_all() is asked first.
 */
bool glob_match(struct slice pattern, struct slice text, bool ignore_case);

/** No special byte in it: it matches itself alone, so a lookup answers it. */
bool glob_is_literal(struct slice pattern);

/** The pattern "*" itself. */
static inline bool
glob_is_all(struct slice pattern)
{
    return pattern.size == 1 && pattern.data[0] == '*';
}
