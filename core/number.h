/*
 * number.h: numbers as text, and text as numbers, exactly as the protocol has them.
 * Pure functions without state: any thread may call them. Nothing is NUL-terminated, in or out.
 */
#pragma once

#include "core/slice.h"

/** Longest decimal 64-bit number, signed or not, and a byte to spare. */
#define NUMBER_I64_SIZE_MAX 21
/** Longest "%.17g": sign, 17 digits, dot, exponent of three digits: 24 bytes. */
#define NUMBER_DOUBLE_SIZE_MAX 32
/** Longest long double without an exponent: 4,933 digits, sign, dot and 17 decimals. */
#define NUMBER_LONG_DOUBLE_SIZE_MAX 5200
/** Text of this size or more is no long double, whatever it says. */
#define NUMBER_LONG_DOUBLE_TEXT_SIZE_MAX 5120

/**
 * The integer that the whole text is in its one canonical spelling: an optional '-', digits, no
 * leading zero, no
 * "-0", no blanks, no '+', within range. So parsing and formatting are inverses, and a value that
 * parses may be stored as a number. False leaves *value alone.
 */
bool number_parse_i64(struct slice text, int64_t *value);

/** As number_parse_i64 for 0 .. 2^64 - 1; no sign at all. */
bool number_parse_u64(struct slice text, uint64_t *value);

/** Decimal digits into `out`, which has room for NUMBER_I64_SIZE_MAX bytes. Returns how many were
 * written. */
size_t number_format_i64(char *out, int64_t value);
size_t number_format_u64(char *out, uint64_t value);

/**
 * The double that the whole text is, by strtod's grammar (hexadecimal, exponents, "inf" and
 * "infinity" too) less leading blanks and NaN. Text that overflows or underflows to zero is
 * refused, a subnormal is not. False leaves *value alone.
 */
bool number_parse_double(struct slice text, double *value);

/** As number_parse_double for long double; also refuses NUMBER_LONG_DOUBLE_TEXT_SIZE_MAX bytes or
 * more. */
bool number_parse_long_double(struct slice text, long double *value);

/**
 * As the protocol's doubles: the shorter of fixed and exponent form with up to 17 significant
 * digits; "inf",
 * "-inf", "nan". `out` has room for NUMBER_DOUBLE_SIZE_MAX bytes. Returns how many were written.
 */
size_t number_format_double(char *out, double value);

/**
 * Fixed form: up to 17 decimals, trailing zeros and a trailing dot cut, never an exponent, never
 * "-0"; "inf",
 * "-inf", "nan". `out` has room for NUMBER_LONG_DOUBLE_SIZE_MAX bytes. Returns how many were
 * written.
 */
size_t number_format_long_double(char *out, long double value);

/**
 * A size as configuration files spell it: digits and an optional unit in any case: b, k (1000), kb
 * (1024), m, mb, g, gb. False, *bytes untouched, on anything else and on what does not fit 64 bits.
 */
bool number_parse_memory(struct slice text, uint64_t *bytes);
