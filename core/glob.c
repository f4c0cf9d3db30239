/*
 * glob.c: one pass, one mark to return to.
 *
 * A pattern is a row of tokens, and each token but '*' takes exactly one byte. So when a match
 * fails behind a '*', only the last '*' has to try again one byte further on: whatever an earlier
 * one could take instead, the last one can take as well. There is one place to go back to, no
 * recursion, and the time is pattern times text at worst: pattern  a * b * c d          text  a x b
 * y c c d ^ star                     ^ star_text: "c d" failed here, next try one byte on
 *
 * The corners, all of which somebody's pattern relies on:
 * - A class that is never closed ends with the pattern, and counts: "[ab" is "[ab]". "[^" takes any
 * byte.
 * - ']' right behind '[' or "[^" closes: "[]" takes nothing, "[^]" everything.
 * - In a class, '\' takes the next byte literally, whatever the case; '-' is literal at the class's
 * ends or behind an escape, but "a-]" is a range up to ']'.
 * - Ranges may be reversed, and compare bytes as signed numbers: above 0x7f comes before 0.
 * - '\' as the last byte stands for itself.
 * - A '*' takes the empty run, but the empty text matches the empty pattern only: see glob.h.
 */
#include "core/glob.h"

static inline int
fold(char c, bool ignore_case)
{
    return ignore_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/** `at` stands behind the '['. Moves it behind the class and says whether the class takes the byte.
 */
static bool
class_match(struct slice pattern, size_t *at, char byte, bool ignore_case)
{
    const char *p = pattern.data + *at;
    const char *end = pattern.data + pattern.size;
    int c = fold(byte, ignore_case);
    bool matched = false;
    bool negated = p < end && *p == '^';
    p += negated;
    while (p < end && *p != ']') {
        if (*p == '\\' && end - p >= 2) {
            matched |= p[1] == byte;
            p += 2;
        } else if (end - p >= 3 && p[1] == '-') {
            /* Ordered first, folded afterwards: [Z-a] takes nothing when case is ignored. */
            int low = fold(MIN(p[0], p[2]), ignore_case);
            int high = fold(MAX(p[0], p[2]), ignore_case);
            matched |= c >= low && c <= high;
            p += 3;
        } else {
            matched |= fold(*p, ignore_case) == c;
            p++;
        }
    }
    p += p < end;
    *at = (size_t)(p - pattern.data);
    return matched != negated;
}

/** Whether the token at `at`, which is no '*', takes the byte. Moves `at` behind the token if so.
 */
static inline bool
token_match(struct slice pattern, size_t *at, char byte, bool ignore_case)
{
    char c = pattern.data[*at];
    if (c == '?') {
        *at += 1;
        return true;
    }
    if (c == '[') {
        *at += 1;
        return class_match(pattern, at, byte, ignore_case);
    }
    if (c == '\\' && *at + 1 < pattern.size) {
        *at += 1;
        c = pattern.data[*at];
    }
    *at += 1;
    return fold(c, ignore_case) == fold(byte, ignore_case);
}

bool
glob_match(struct slice pattern, struct slice text, bool ignore_case)
{
    if (text.size == 0) {
        return pattern.size == 0;
    }
    size_t at = 0;
    size_t text_at = 0;
    size_t star_at = SIZE_MAX;
    size_t star_text_at = 0;
    while (text_at < text.size) {
        if (at < pattern.size && pattern.data[at] == '*') {
            at++;
            if (at == pattern.size) {
                return true;
            }
            star_at = at;
            star_text_at = text_at;
            continue;
        }
        size_t next_at = at;
        if (at < pattern.size && token_match(pattern, &next_at, text.data[text_at], ignore_case)) {
            at = next_at;
            text_at++;
            continue;
        }
        if (star_at == SIZE_MAX) {
            return false;
        }
        star_text_at++;
        text_at = star_text_at;
        at = star_at;
    }
    while (at < pattern.size && pattern.data[at] == '*') {
        at++;
    }
    return at == pattern.size;
}

bool
glob_is_literal(struct slice pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        char c = pattern.data[i];
        if (c == '*' || c == '?' || c == '[' || c == '\\') {
            return false;
        }
    }
    return true;
}
