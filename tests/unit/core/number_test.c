/* number_test.c: numbers against naive models, and against answers that redis-server 7.0.15 gave.
 */
#include "core/number.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUND_COUNT 200000

/** Digit by digit in 128 bits. */
static bool
model_parse(struct slice text, bool is_signed, __int128 min, __int128 max, __int128 *value)
{
    size_t i = 0;
    bool negative = false;
    if (is_signed && text.size > 0 && text.data[0] == '-') {
        negative = true;
        i = 1;
    }
    size_t digit_count = text.size - i;
    if (digit_count == 0 || digit_count > 25) {
        return false;
    }
    if (text.data[i] == '0' && (digit_count > 1 || negative)) {
        return false;
    }
    __int128 result = 0;
    for (; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        result = result * 10 + (text.data[i] - '0');
    }
    *value = negative ? -result : result;
    return *value >= min && *value <= max;
}

static void
check_integer(struct slice text)
{
    __int128 expected = 0;
    int64_t i64 = 42;
    bool ok = model_parse(text, true, INT64_MIN, INT64_MAX, &expected);
    cr_assert_eq(number_parse_i64(text, &i64), ok, "i64 \"%.*s\"", (int)text.size, text.data);
    cr_assert_eq(i64, ok ? (int64_t)expected : 42, "i64 \"%.*s\"", (int)text.size, text.data);
    uint64_t u64 = 42;
    ok = model_parse(text, false, 0, UINT64_MAX, &expected);
    cr_assert_eq(number_parse_u64(text, &u64), ok, "u64 \"%.*s\"", (int)text.size, text.data);
    cr_assert_eq(u64, ok ? (uint64_t)expected : 42, "u64 \"%.*s\"", (int)text.size, text.data);
}

Test(number, integers_race_a_naive_parser)
{
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    for (int round = 0; round < ROUND_COUNT; round++) {
        /* On the heap and exactly as long as the text: a sanitizer sees a byte read too far. */
        size_t size = random_below(&random, 23);
        char *text = malloc(size + 1);
        for (size_t i = 0; i < size; i++) {
            text[i] = (char)('0' + random_below(&random, 10));
        }
        uint64_t mischief = random_below(&random, 8);
        if (size > 0 && mischief < 3) {
            text[0] = '-';
        } else if (size > 0 && mischief == 3) {
            text[random_below(&random, size)] = (char)random_next(&random);
        } else if (size > 0 && mischief == 4) {
            text[random_below(&random, size)] = "/:+- \0.e"[random_below(&random, 8)];
        }
        char *exact = realloc(text, MAX(size, (size_t)1));
        check_integer(slice_of(exact, size));
        free(exact);
    }
}

Test(number, integers_around_the_edges_of_range)
{
    static const char *const edges[] = {"9223372036854775807", "-9223372036854775808",
                                        "18446744073709551615", "9999999999999999999",
                                        "10000000000000000000"};
    for (size_t e = 0; e < ARRAY_COUNT(edges); e++) {
        for (int last = 0; last < 3; last++) {
            char text[32];
            size_t size = strlen(edges[e]);
            memcpy(text, edges[e], size);
            text[size - 1] = (char)(text[size - 1] + last - 1);
            check_integer(slice_of(text, size));
            text[size] = '0';
            check_integer(slice_of(text, size + 1));
        }
    }
    static const char *const corners[] = {"",   "-",  "0",   "-0", "00",  "01", "-01", "+1",
                                          " 1", "1 ", "--1", "1-", "0x1", "1a", "a"};
    for (size_t c = 0; c < ARRAY_COUNT(corners); c++) {
        check_integer(slice_of_string(corners[c]));
    }
    check_integer(SLICE("1\0"));
    check_integer(SLICE("\0"));
}

static void
check_format(uint64_t bits)
{
    char expected[32];
    char out[NUMBER_I64_SIZE_MAX];
    int size = snprintf(expected, sizeof(expected), "%" PRIi64, (int64_t)bits);
    cr_assert_eq(number_format_i64(out, (int64_t)bits), (size_t)size, "%s", expected);
    cr_assert_eq(memcmp(out, expected, (size_t)size), 0, "%s", expected);
    size = snprintf(expected, sizeof(expected), "%" PRIu64, bits);
    cr_assert_eq(number_format_u64(out, bits), (size_t)size, "%s", expected);
    cr_assert_eq(memcmp(out, expected, (size_t)size), 0, "%s", expected);
}

Test(number, integers_print_as_printf_prints_them)
{
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    for (int round = 0; round < ROUND_COUNT; round++) {
        uint64_t bits = random_next(&random) >> random_below(&random, 64);
        check_format(bits);
        check_format(0 - bits);
    }
    uint64_t power = 1;
    for (int i = 0; i < 20; i++) {
        check_format(power - 1);
        check_format(power);
        check_format(power + 1);
        check_format(0 - power);
        power *= 10;
    }
    check_format(INT64_MAX);
    check_format((uint64_t)INT64_MIN);
    check_format(UINT64_MAX);
}

struct text_case {
    struct slice text;
    /** What the oracle said: as a double (ZADD) and as a long double (INCRBYFLOAT). */
    bool is_double;
    bool is_long_double;
};

Test(number, floating_point_texts_as_the_oracle_takes_them)
{
    const struct text_case cases[] = {
        {SLICE("1"), true, true},         {SLICE("+1"), true, true},
        {SLICE(" 1"), false, false},      {SLICE("1 "), false, false},
        {SLICE("\t1"), false, false},     {SLICE("0x1p3"), true, true},
        {SLICE("0x1.8"), true, true},     {SLICE("0X1P-2"), true, true},
        {SLICE("0x"), false, false},      {SLICE("1e5000"), false, false},
        {SLICE("-1e5000"), false, false}, {SLICE("1e-5000"), false, false},
        {SLICE("1e-4940"), false, true},  {SLICE("1e400"), false, true},
        {SLICE("1e-400"), false, true},   {SLICE("1e-320"), true, true},
        {SLICE("1e308"), true, true},     {SLICE("inf"), true, true},
        {SLICE("-inf"), true, true},      {SLICE("+inf"), true, true},
        {SLICE("INFINITY"), true, true},  {SLICE("infi"), false, false},
        {SLICE("nan"), false, false},     {SLICE("NaN"), false, false},
        {SLICE("-nan"), false, false},    {SLICE("nan(1)"), false, false},
        {SLICE(""), false, false},        {SLICE("-"), false, false},
        {SLICE("+"), false, false},       {SLICE("."), false, false},
        {SLICE("-."), false, false},      {SLICE(".5"), true, true},
        {SLICE("5."), true, true},        {SLICE("1e"), false, false},
        {SLICE("1e+"), false, false},     {SLICE("-0"), true, true},
        {SLICE("-0.0"), true, true},      {SLICE("1\0002"), false, false},
        {SLICE("1\0"), false, false},     {SLICE("00012"), true, true},
        {SLICE("1_0"), false, false},     {SLICE("1.2.3"), false, false},
        {SLICE("1,5"), false, false},     {SLICE("+-1"), false, false},
        {SLICE("--1"), false, false},     {SLICE("1f"), false, false},
        {SLICE("1L"), false, false},
    };
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        double d = 42;
        long double ld = 42;
        const char *text = cases[c].text.data;
        cr_expect_eq(number_parse_double(cases[c].text, &d), cases[c].is_double, "%s", text);
        cr_expect_eq(number_parse_long_double(cases[c].text, &ld), cases[c].is_long_double, "%s",
                     text);
        if (cases[c].is_double) {
            cr_expect(d == strtod(text, NULL), "%s", text);
        } else {
            cr_expect(d == 42, "%s", text);
        }
        if (cases[c].is_long_double) {
            cr_expect(ld == strtold(text, NULL), "%s", text);
        } else {
            cr_expect(ld == 42, "%s", text);
        }
    }
}

Test(number, floating_point_texts_of_thousands_of_digits)
{
    static char zeros[6000];
    memset(zeros, '0', sizeof(zeros));
    double d = 42;
    long double ld = 42;
    zeros[5118] = '1';
    cr_assert(number_parse_long_double(slice_of(zeros, 5119), &ld));
    cr_assert(ld == 1);
    cr_assert_not(number_parse_long_double(slice_of(zeros, 5120), &ld));
    cr_assert(number_parse_double(slice_of(zeros, 5119), &d));
    cr_assert(d == 1);
    zeros[5118] = '0';
    cr_assert(number_parse_double(slice_of(zeros, sizeof(zeros)), &d));
    cr_assert(d == 0);
    zeros[0] = '1';
    cr_assert_not(number_parse_double(slice_of(zeros, 400), &d));
    cr_assert_not(number_parse_long_double(slice_of(zeros, 5001), &ld));
    cr_assert(number_parse_double(slice_of(zeros, 255), &d));
    cr_assert(number_parse_double(slice_of(zeros, 256), &d));
    cr_assert(number_parse_double(slice_of(zeros, 257), &d));
    cr_assert(d == 1e256);
}

Test(number, decimals_parse_to_the_bit_as_the_c_library_does)
{
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    for (int round = 0; round < ROUND_COUNT; round++) {
        char text[64];
        size_t size = 0;
        uint64_t sign = random_below(&random, 4);
        if (sign < 2) {
            text[size++] = "-+"[sign];
        }
        size_t digit_count = 1 + random_below(&random, 22);
        size_t point = random_below(&random, 25);
        for (size_t i = 0; i < digit_count; i++) {
            if (i == point) {
                text[size++] = '.';
            }
            text[size++] = (char)('0' + random_below(&random, 10));
        }
        if (random_below(&random, 4) == 0) {
            text[size++] = 'e';
            text[size++] = '-';
            text[size++] = (char)('0' + random_below(&random, 10));
        }
        text[size] = '\0';
        double d;
        cr_assert(number_parse_double(slice_of(text, size), &d), "%s", text);
        double d_expected = strtod(text, NULL);
        cr_assert_eq(memcmp(&d, &d_expected, sizeof(d)), 0, "%s", text);
        long double ld;
        cr_assert(number_parse_long_double(slice_of(text, size), &ld), "%s", text);
        long double ld_expected = strtold(text, NULL);
        cr_assert(ld == ld_expected, "%s", text);
        cr_assert_eq(signbit(ld) != 0, signbit(ld_expected) != 0, "%s", text);
    }
}

static void
expect_double(double value, const char *expected)
{
    char out[NUMBER_DOUBLE_SIZE_MAX];
    size_t size = number_format_double(out, value);
    cr_expect(slice_equal(slice_of(out, size), slice_of_string(expected)), "%.*s, expected %s",
              (int)size, out, expected);
}

Test(number, doubles_print_as_the_oracle_replies_them)
{
    expect_double(0, "0");
    expect_double(-0.0, "-0");
    expect_double(-1, "-1");
    expect_double(0.1, "0.10000000000000001");
    expect_double(1e16, "10000000000000000");
    expect_double(1e17, "1e+17");
    expect_double(-1e17, "-1e+17");
    expect_double(99999999999999984.0, "99999999999999984");
    expect_double(123456789012345678.0, "1.2345678901234568e+17");
    expect_double(1e-5, "1.0000000000000001e-05");
    expect_double(0.0001, "0.0001");
    expect_double(5e-324, "4.9406564584124654e-324");
    expect_double(-2.2250738585072014e-308, "-2.2250738585072014e-308");
    expect_double(DBL_MAX, "1.7976931348623157e+308");
    expect_double(HUGE_VAL, "inf");
    expect_double(-HUGE_VAL, "-inf");
    expect_double(9007199254740993.0, "9007199254740992");
    expect_double(1e23, "9.9999999999999992e+22");
    expect_double(NAN, "nan");
    expect_double(-NAN, "nan");
}

Test(number, doubles_print_as_printf_prints_them)
{
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    for (int round = 0; round < ROUND_COUNT; round++) {
        double value;
        uint64_t bits = random_next(&random);
        if (random_below(&random, 2) == 0) {
            memcpy(&value, &bits, sizeof(value));
        } else {
            value = (double)(int64_t)bits / (double)(UINT64_C(1) << random_below(&random, 64));
        }
        if (isnan(value)) {
            continue;
        }
        char expected[64];
        snprintf(expected, sizeof(expected), "%.17g", value);
        expect_double(value, expected);
    }
}

static void
expect_long_double(const char *text, const char *expected)
{
    long double value = strtold(text, NULL);
    char out[NUMBER_LONG_DOUBLE_SIZE_MAX];
    size_t size = number_format_long_double(out, value);
    cr_expect(slice_equal(slice_of(out, size), slice_of_string(expected)), "%.*s, expected %s",
              (int)size, out, expected);
}

Test(number, long_doubles_print_as_incrbyfloat_replies_them)
{
    expect_long_double("0", "0");
    expect_long_double("-0", "0");
    expect_long_double("0.1", "0.1");
    expect_long_double("-1.50", "-1.5");
    expect_long_double("100.50", "100.5");
    expect_long_double("10", "10");
    expect_long_double("3.2e3", "3200");
    expect_long_double("-1e-18", "0");
    expect_long_double("1e-18", "0");
    expect_long_double("1e-17", "0.00000000000000001");
    expect_long_double("5.1e-18", "0.00000000000000001");
    expect_long_double("-5.1e-18", "-0.00000000000000001");
    expect_long_double("0.99999999999999999999", "1");
    expect_long_double("inf", "inf");
    expect_long_double("-inf", "-inf");
    expect_long_double("nan", "nan");
#if LDBL_MANT_DIG == 64
    expect_long_double("100000000000000000.1", "100000000000000000.1015625");
    expect_long_double("123456789012345678901234567890", "123456789012345678899921813504");
#endif
    char out[NUMBER_LONG_DOUBLE_SIZE_MAX];
    cr_expect_eq(number_format_long_double(out, LDBL_MAX), 4933);
    cr_expect_eq(number_format_long_double(out, -LDBL_MAX), 4934);
}

Test(number, memory_sizes)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } cases[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"1b", true, 1},
        {"1B", true, 1},
        {"1K", true, 1000},
        {"2kB", true, 2048},
        {"1m", true, 1000000},
        {"3Mb", true, 3145728},
        {"1g", true, 1000000000},
        {"1gb", true, 1073741824},
        {"007k", true, 7000},
        {"", true, 0},
        {"kb", true, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"20000000000gb", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1kbb", false, 0},
        {"1.5kb", false, 0},
        {"1t", false, 0},
        {"0x10", false, 0},
        {"1%", false, 0},
    };
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        uint64_t bytes = 42;
        bool ok = number_parse_memory(slice_of_string(cases[c].text), &bytes);
        cr_expect_eq(ok, cases[c].ok, "\"%s\"", cases[c].text);
        if (cases[c].ok) {
            cr_expect_eq(bytes, cases[c].bytes, "\"%s\"", cases[c].text);
        }
    }
}
