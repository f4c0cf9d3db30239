/*
 * number.c: integers by eights and pairs, floating point by the C library with short cuts.
 *
 * Parsing integers. Every SET asks whether its value is an integer, so "no" comes first: a size
 * above 20 or a first byte that is no digit ends it. What is left takes eight digits in one 64-bit
 * word: all bytes are checked by two masks, then neighbours are joined in three multiplications:
 *     "12345678" -> 1 2 3 4 5 6 7 8 -> 12 34 56 78 -> 1234 5678 -> 12345678
 * Nineteen digits never overflow 64 unsigned bits, so range is looked at once, at the end; only the
 * twentieth digit of an unsigned number needs a checked multiplication.
 *
 * Formatting integers. Two digits for each division by 100, from a table of pairs, into the place
 * where they belong: the size is known before the first digit is written.
 *
 * Floating point. A decimal of at most 19 digits whose digits fit the mantissa, divided by a power
 * of ten that is exact in the same type, is rounded once and therefore right (Clinger, "How to read
 * floating point numbers accurately", 1990). Scores and prices are nearly always such numbers. All
 * others go to strtod and strtold, which also decide the grammar. A shortest-digits printer (Ryu,
 * Grisu) was not taken: the protocol wants 17 digits, not the shortest; only whole numbers get a
 * short cut.
 */
#include "core/number.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digits are joined in this order");

/** More digits than this may overflow 64 bits. */
#define DIGITS_SAFE_MAX 19
/** Decimal text up to this size is copied to the stack for the C library; longer text is rare and
 * goes to the heap. */
#define DOUBLE_STACK_SIZE 256

static const uint64_t powers_of_ten[20] = {
    1ull,
    10ull,
    100ull,
    1000ull,
    10000ull,
    100000ull,
    1000000ull,
    10000000ull,
    100000000ull,
    1000000000ull,
    10000000000ull,
    100000000000ull,
    1000000000000ull,
    10000000000000ull,
    100000000000000ull,
    1000000000000000ull,
    10000000000000000ull,
    100000000000000000ull,
    1000000000000000000ull,
    10000000000000000000ull,
};

static const char digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                     "25262728293031323334353637383940414243444546474849"
                                     "50515253545556575859606162636465666768697071727374"
                                     "75767778798081828384858687888990919293949596979899";

static inline bool
is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

/** The value of eight ASCII digits; false when one is no digit. */
static inline bool
parse_eight(const char *text, uint64_t *value)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    uint64_t high = word & UINT64_C(0xf0f0f0f0f0f0f0f0);
    uint64_t carried = (word + UINT64_C(0x0606060606060606)) & UINT64_C(0xf0f0f0f0f0f0f0f0);
    if (high != UINT64_C(0x3030303030303030) || carried != UINT64_C(0x3030303030303030)) {
        return false;
    }
    word &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    word = (word * 10) + (word >> 8);
    word = ((word & UINT64_C(0x00ff00ff00ff00ff)) * 100) +
           ((word >> 16) & UINT64_C(0x00ff00ff00ff00ff));
    word = ((word & UINT64_C(0x0000ffff0000ffff)) * 10000) +
           ((word >> 32) & UINT64_C(0x0000ffff0000ffff));
    *value = word & UINT64_C(0xffffffff);
    return true;
}

/** The value of 1 .. DIGITS_SAFE_MAX digits; false when one is no digit. */
static inline bool
parse_digits(const char *text, size_t size, uint64_t *value)
{
    uint64_t result = 0;
    while (size >= 8) {
        uint64_t eight;
        if (!parse_eight(text, &eight)) {
            return false;
        }
        result = result * 100000000 + eight;
        text += 8;
        size -= 8;
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i])) {
            return false;
        }
        result = result * 10 + (uint64_t)(text[i] - '0');
    }
    *value = result;
    return true;
}

bool
number_parse_i64(struct slice text, int64_t *value)
{
    const char *digits = text.data;
    size_t size = text.size;
    if (size == 0 || size > 20) {
        return false;
    }
    bool negative = digits[0] == '-';
    digits += negative;
    size -= negative;
    if (size == 0 || size > DIGITS_SAFE_MAX) {
        return false;
    }
    if ((unsigned char)(digits[0] - '1') > 8) {
        if (digits[0] == '0' && size == 1 && !negative) {
            *value = 0;
            return true;
        }
        return false;
    }
    uint64_t magnitude;
    if (!parse_digits(digits, size, &magnitude)) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool
number_parse_u64(struct slice text, uint64_t *value)
{
    if (text.size == 0 || text.size > 20) {
        return false;
    }
    if (text.data[0] == '0' && text.size > 1) {
        return false;
    }
    size_t safe_size = MIN(text.size, (size_t)DIGITS_SAFE_MAX);
    uint64_t result;
    if (!parse_digits(text.data, safe_size, &result)) {
        return false;
    }
    if (text.size > safe_size) {
        char last = text.data[safe_size];
        if (!is_digit(last) || __builtin_mul_overflow(result, (uint64_t)10, &result) ||
            __builtin_add_overflow(result, (uint64_t)(last - '0'), &result)) {
            return false;
        }
    }
    *value = result;
    return true;
}

/** Decimal digits of a number, 1 .. 20. */
static inline size_t
digit_count(uint64_t value)
{
    /* 1233 / 4096 is a little above log10(2): the guess is right or one too small. */
    size_t bit_count = 64 - (size_t)__builtin_clzll(value | 1);
    size_t guess = (bit_count * 1233) >> 12;
    return guess + (value >= powers_of_ten[guess]) + (value == 0);
}

size_t
number_format_u64(char *out, uint64_t value)
{
    if (value < 10) {
        out[0] = (char)('0' + value);
        return 1;
    }
    size_t size = digit_count(value);
    char *end = out + size;
    while (value >= 100) {
        uint64_t rest = value % 100;
        value /= 100;
        end -= 2;
        memcpy(end, digit_pairs + rest * 2, 2);
    }
    if (value >= 10) {
        memcpy(end - 2, digit_pairs + value * 2, 2);
    } else {
        end[-1] = (char)('0' + value);
    }
    return size;
}

size_t
number_format_i64(char *out, int64_t value)
{
    if (value >= 0) {
        return number_format_u64(out, (uint64_t)value);
    }
    out[0] = '-';
    return 1 + number_format_u64(out + 1, 0 - (uint64_t)value);
}

/** A decimal without exponent: digits, as a whole number, over 10^fraction_count. */
struct decimal {
    uint64_t digits;
    size_t fraction_count;
    bool negative;
};

/** Only the plain form, up to DIGITS_SAFE_MAX digits; false says nothing about whether the text is
 * a number. */
static bool
decimal_parse(struct slice text, struct decimal *decimal)
{
    size_t i = 0;
    uint64_t digits = 0;
    size_t count = 0;
    size_t point = SIZE_MAX;
    decimal->negative = false;
    if (text.size > DIGITS_SAFE_MAX + 2) {
        return false;
    }
    if (text.size > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
        decimal->negative = text.data[0] == '-';
        i = 1;
    }
    for (; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.' && point == SIZE_MAX) {
            point = count;
        } else if (is_digit(c)) {
            digits = digits * 10 + (uint64_t)(c - '0');
            count++;
        } else {
            return false;
        }
    }
    decimal->digits = digits;
    decimal->fraction_count = point == SIZE_MAX ? 0 : count - point;
    return count > 0 && count <= DIGITS_SAFE_MAX;
}

static bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
number_parse_double(struct slice text, double *value)
{
    static const double powers[DIGITS_SAFE_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                                       1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                                       1e14, 1e15, 1e16, 1e17, 1e18, 1e19};
    struct decimal decimal;
    if (decimal_parse(text, &decimal) && decimal.digits <= (UINT64_C(1) << 53)) {
        double magnitude = (double)decimal.digits / powers[decimal.fraction_count];
        *value = decimal.negative ? -magnitude : magnitude;
        return true;
    }
    if (text.size == 0 || is_blank(text.data[0])) {
        return false;
    }
    char stack[DOUBLE_STACK_SIZE];
    char *string = text.size < sizeof(stack) ? stack : malloc(text.size + 1);
    if (string == NULL) {
        return false;
    }
    memcpy(string, text.data, text.size);
    string[text.size] = '\0';
    char *end;
    errno = 0;
    double result = strtod(string, &end);
    bool whole = end == string + text.size;
    bool out_of_range = errno == ERANGE && (isinf(result) || result == 0);
    if (string != stack) {
        free(string);
    }
    if (!whole || out_of_range || isnan(result)) {
        return false;
    }
    *value = result;
    return true;
}

bool
number_parse_long_double(struct slice text, long double *value)
{
    struct decimal decimal;
    if (decimal_parse(text, &decimal)) {
        /* The mantissa has 64 bits or more, and 10^19 = 2^19 * 5^19 needs 45 of them. */
        long double magnitude =
            (long double)decimal.digits / (long double)powers_of_ten[decimal.fraction_count];
        *value = decimal.negative ? -magnitude : magnitude;
        return true;
    }
    if (text.size == 0 || text.size >= NUMBER_LONG_DOUBLE_TEXT_SIZE_MAX || is_blank(text.data[0])) {
        return false;
    }
    char string[NUMBER_LONG_DOUBLE_TEXT_SIZE_MAX];
    memcpy(string, text.data, text.size);
    string[text.size] = '\0';
    char *end;
    errno = 0;
    long double result = strtold(string, &end);
    bool out_of_range = errno == ERANGE && (isinf(result) || result == 0);
    if (end != string + text.size || out_of_range || isnan(result)) {
        return false;
    }
    *value = result;
    return true;
}

/** The words for what has no digits; 0 for a finite value. */
static size_t
format_word(char *out, bool is_nan, bool is_inf, bool negative)
{
    if (is_nan) {
        memcpy(out, "nan", 3);
        return 3;
    }
    if (!is_inf) {
        return 0;
    }
    memcpy(out, negative ? "-inf" : "inf", negative ? 4 : 3);
    return negative ? 4 : 3;
}

size_t
number_format_double(char *out, double value)
{
    /* "%.17g" turns to exponents at 10^17; below, a whole number prints as the integer, but for -0.
     */
    if (value > -1e17 && value < 1e17 && value == (double)(int64_t)value &&
        (value != 0 || !signbit(value))) {
        return number_format_i64(out, (int64_t)value);
    }
    size_t word_size = format_word(out, isnan(value), isinf(value), value < 0);
    if (word_size > 0) {
        return word_size;
    }
    int size = snprintf(out, NUMBER_DOUBLE_SIZE_MAX, "%.17g", value);
    ASSERT(size > 0);
    ASSERT(size < NUMBER_DOUBLE_SIZE_MAX);
    return (size_t)size;
}

size_t
number_format_long_double(char *out, long double value)
{
    if (value > -1e18L && value < 1e18L && value == (long double)(int64_t)value) {
        return number_format_i64(out, (int64_t)value);
    }
    size_t word_size = format_word(out, isnan(value), isinf(value), value < 0);
    if (word_size > 0) {
        return word_size;
    }
    int printed = snprintf(out, NUMBER_LONG_DOUBLE_SIZE_MAX, "%.17Lf", value);
    ASSERT(printed > 0);
    ASSERT(printed < NUMBER_LONG_DOUBLE_SIZE_MAX);
    size_t size = (size_t)printed;
    while (out[size - 1] == '0') {
        size--;
    }
    if (out[size - 1] == '.') {
        size--;
    }
    if (size == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        size = 1;
    }
    return size;
}

bool
number_parse_memory(struct slice text, uint64_t *bytes)
{
    static const struct {
        char name[3];
        uint64_t factor;
    } units[] = {
        {.name = "", .factor = 1},
        {.name = "b", .factor = 1},
        {.name = "k", .factor = 1000},
        {.name = "kb", .factor = 1024},
        {.name = "m", .factor = 1000 * 1000},
        {.name = "mb", .factor = 1024 * 1024},
        {.name = "g", .factor = 1000 * 1000 * 1000},
        {.name = "gb", .factor = 1024 * 1024 * 1024},
    };
    uint64_t count = 0;
    size_t i = 0;
    for (; i < text.size && is_digit(text.data[i]); i++) {
        if (__builtin_mul_overflow(count, (uint64_t)10, &count) ||
            __builtin_add_overflow(count, (uint64_t)(text.data[i] - '0'), &count)) {
            return false;
        }
    }
    struct slice unit = slice_of(text.data + i, text.size - i);
    for (size_t u = 0; u < ARRAY_COUNT(units); u++) {
        if (slice_is_word(unit, units[u].name)) {
            return !__builtin_mul_overflow(count, units[u].factor, bytes);
        }
    }
    return false;
}
