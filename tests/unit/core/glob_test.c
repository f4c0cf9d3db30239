/* glob_test.c: patterns against a recursive matcher, and against what redis-server 7.0.15 matched.
 */
#include "core/glob.h"

#include "core/clock.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <inttypes.h>

struct glob_case {
    struct slice pattern;
    struct slice text;
    bool matches;
};

Test(glob, corners_as_the_oracle_matches_them)
{
    const struct glob_case cases[] = {
        {SLICE(""), SLICE(""), true},
        {SLICE(""), SLICE("a"), false},
        {SLICE("*"), SLICE(""), false},
        {SLICE("**"), SLICE(""), false},
        {SLICE("?*"), SLICE(""), false},
        {SLICE("*a*"), SLICE(""), false},
        {SLICE("*"), SLICE("a"), true},
        {SLICE("a**"), SLICE("a"), true},
        {SLICE("A"), SLICE("a"), false},
        {SLICE("["), SLICE("a"), false},
        {SLICE("[a"), SLICE("a"), true},
        {SLICE("[a"), SLICE("ab"), false},
        {SLICE("[ab"), SLICE("b"), true},
        {SLICE("[^"), SLICE("a"), true},
        {SLICE("[^"), SLICE("^"), true},
        {SLICE("[\\"), SLICE("\\"), true},
        {SLICE("[\\"), SLICE("a"), false},
        {SLICE("[a\\"), SLICE("\\"), true},
        {SLICE("[a\\"), SLICE("a"), true},
        {SLICE("[a-"), SLICE("a"), true},
        {SLICE("[a-"), SLICE("-"), true},
        {SLICE("[a-]"), SLICE("a"), true},
        {SLICE("[a-]"), SLICE("]"), true},
        {SLICE("[a-]"), SLICE("b"), false},
        {SLICE("[a-]"), SLICE("^"), true},
        {SLICE("[a-]]"), SLICE("^"), true},
        {SLICE("[^]"), SLICE("a"), true},
        {SLICE("[^]a]"), SLICE("a"), false},
        {SLICE("[^]a]"), SLICE("xa]"), true},
        {SLICE("[]a]"), SLICE("a"), false},
        {SLICE("[]"), SLICE("a"), false},
        {SLICE("[c-a]"), SLICE("b"), true},
        {SLICE("[\\a-c]"), SLICE("b"), false},
        {SLICE("[\\a-c]"), SLICE("-"), true},
        {SLICE("[\\]]"), SLICE("]"), true},
        {SLICE("[a\\-c]"), SLICE("b"), false},
        {SLICE("[a\\-c]"), SLICE("-"), true},
        {SLICE("[a\\]b"), SLICE("]"), true},
        {SLICE("\\"), SLICE("\\"), true},
        {SLICE("a\\"), SLICE("a\\"), true},
        {SLICE("\\\\"), SLICE("\\"), true},
        {SLICE("\\*"), SLICE("*"), true},
        {SLICE("\\*"), SLICE("a"), false},
        {SLICE("[*]"), SLICE("*"), true},
        {SLICE("[^a-c]"), SLICE("d"), true},
        {SLICE("[^a-c]"), SLICE("b"), false},
        {SLICE("[a-\xff]"), SLICE("b"), false},
        {SLICE("[a-\xff]"), SLICE("\xff"), true},
        {SLICE("[a-\xff]"), SLICE("\0"), true},
        {SLICE("[a-\xff]"), SLICE("A"), true},
        {SLICE("[a-\xff]"), SLICE("\xfe"), false},
        {SLICE("[\x80-\xff]"), SLICE("\x90"), true},
        {SLICE("[\x80-\xff]"), SLICE("a"), false},
        {SLICE("a*["), SLICE("ab"), false},
        {SLICE("a*[b"), SLICE("acb"), true},
        {SLICE("a*[^"), SLICE("ab"), true},
        {SLICE("[!a]"), SLICE("b"), false},
        {SLICE("[!a]"), SLICE("!"), true},
        {SLICE("[--a]"), SLICE("B"), true},
        {SLICE("[a-\\]"), SLICE("\\"), true},
        {SLICE("[a-\\]]"), SLICE("^]"), true},
        {SLICE("[\\\\-a]"), SLICE("_"), false},
        {SLICE("[^^]"), SLICE("^"), false},
        {SLICE("[^^]"), SLICE("a"), true},
        {SLICE("a\0b"), SLICE("a\0b"), true},
        {SLICE("*\0"), SLICE("a\0"), true},
        {SLICE("*[\\"), SLICE("x\\"), true},
        {SLICE("*\\"), SLICE("ab\\"), true},
    };
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        cr_expect_eq(glob_match(cases[c].pattern, cases[c].text, false), cases[c].matches,
                     "case %zu: %s with %s", c, cases[c].pattern.data, cases[c].text.data);
    }
}

Test(glob, case_is_ignored_as_the_oracle_ignores_it)
{
    static const struct {
        const char *pattern;
        bool matches;
    } cases[] = {
        {"[M]axmemory", true},    {"[\\M]axmemory", false}, {"[\\m]axmemory", true},
        {"[Z-a]axmemory", false}, {"[a-Z]axmemory", false}, {"[L-N]axmemory", true},
        {"[l-n]axmemory", true},  {"[^M]axmemory", false},  {"[^\\M]axmemory", true},
        {"M[9-B]xmemory", true},  {"m[?-a]xmemory", true},  {"m[@-B]xmemory", true},
        {"M[Y-b]xmemory", false}, {"MAX*", true},           {"\\MAX*", true},
    };
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        cr_expect_eq(glob_match(slice_of_string(cases[c].pattern), SLICE("maxmemory"), true),
                     cases[c].matches, "%s", cases[c].pattern);
    }
}

/** A class by its set of bytes, written down before anything is compared. Returns its size in the
 * pattern. */
static size_t
model_class(struct slice p, bool fold, bool taken[256])
{
    size_t i = 1;
    bool negated = i < p.size && p.data[i] == '^';
    i += negated;
    memset(taken, 0, 256);
    while (i < p.size && p.data[i] != ']') {
        size_t left = p.size - i;
        signed char first = (signed char)p.data[i];
        if (first == '\\' && left >= 2) {
            taken[(unsigned char)p.data[i + 1]] = true;
            i += 2;
            continue;
        }
        bool is_range = left >= 3 && p.data[i + 1] == '-';
        signed char last = is_range ? (signed char)p.data[i + 2] : first;
        int low = MIN(first, last);
        int high = MAX(first, last);
        low = fold && low >= 'A' && low <= 'Z' ? tolower(low) : low;
        high = fold && high >= 'A' && high <= 'Z' ? tolower(high) : high;
        for (int byte = -128; byte < 128; byte++) {
            int c = fold && byte >= 'A' && byte <= 'Z' ? tolower(byte) : byte;
            if (c >= low && c <= high) {
                taken[(unsigned char)byte] = true;
            }
        }
        i += is_range ? 3 : 1;
    }
    for (int byte = 0; byte < 256 && negated; byte++) {
        taken[byte] = !taken[byte];
    }
    return i < p.size ? i + 1 : i;
}

static bool
model_match(struct slice p, struct slice t, bool fold)
{
    if (p.size == 0) {
        return t.size == 0;
    }
    struct slice t_next = slice_of(t.data + 1, t.size - (t.size > 0));
    if (p.data[0] == '*') {
        struct slice p_next = slice_of(p.data + 1, p.size - 1);
        return model_match(p_next, t, fold) || (t.size > 0 && model_match(p, t_next, fold));
    }
    if (t.size == 0) {
        return false;
    }
    if (p.data[0] == '[') {
        bool taken[256];
        size_t size = model_class(p, fold, taken);
        return taken[(unsigned char)t.data[0]] &&
               model_match(slice_of(p.data + size, p.size - size), t_next, fold);
    }
    size_t size = p.data[0] == '\\' && p.size > 1 ? 2 : 1;
    char c = p.data[size - 1];
    bool same = c == t.data[0] || (fold && tolower(c) == tolower(t.data[0]));
    if (size == 1 && c == '?') {
        same = true;
    }
    return same && model_match(slice_of(p.data + size, p.size - size), t_next, fold);
}

Test(glob, races_a_recursive_matcher)
{
    static const char pattern_bytes[] = "aabbcAB***?[[]]^-\\\xff";
    static const char text_bytes[] = "aaabbbcABC]^-\\[*\xff";
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    uint64_t match_count = 0;
    for (int round = 0; round < 500000; round++) {
        char pattern[10];
        char text[8];
        size_t pattern_size = random_below(&random, sizeof(pattern) + 1);
        size_t text_size = 1 + random_below(&random, sizeof(text));
        for (size_t i = 0; i < pattern_size; i++) {
            pattern[i] = pattern_bytes[random_below(&random, sizeof(pattern_bytes) - 1)];
        }
        for (size_t i = 0; i < text_size; i++) {
            text[i] = text_bytes[random_below(&random, sizeof(text_bytes) - 1)];
        }
        bool fold = random_below(&random, 2) == 0;
        struct slice p = slice_of(pattern, pattern_size);
        struct slice t = slice_of(text, text_size);
        bool expected = model_match(p, t, fold);
        match_count += expected;
        cr_assert_eq(glob_match(p, t, fold), expected, "seed %" PRIu64 ": %.*s with %.*s", seed,
                     (int)p.size, p.data, (int)t.size, t.data);
    }
    /* The race says little where nothing ever matches. */
    cr_assert_gt(match_count, 10000);
}

Test(glob, many_stars_take_bounded_time)
{
    static char pattern[2001];
    static char text[20000];
    for (size_t i = 0; i + 1 < sizeof(pattern); i += 2) {
        pattern[i] = 'a';
        pattern[i + 1] = '*';
    }
    pattern[sizeof(pattern) - 1] = 'b';
    memset(text, 'a', sizeof(text));
    uint64_t start_ns = clock_thread_cpu_ns();
    cr_assert_not(
        glob_match(slice_of(pattern, sizeof(pattern)), slice_of(text, sizeof(text)), false));
    /* Some milliseconds even in a sanitizer's build; an exponential matcher never comes back. */
    cr_assert_lt(clock_thread_cpu_ns() - start_ns, UINT64_C(2000000000));
    text[sizeof(text) - 1] = 'b';
    cr_assert(glob_match(slice_of(pattern, sizeof(pattern)), slice_of(text, sizeof(text)), false));
}

Test(glob, literals_and_the_lone_star)
{
    cr_assert(glob_is_literal(SLICE("")));
    cr_assert(glob_is_literal(SLICE("key]^-{a}:1")));
    cr_assert_not(glob_is_literal(SLICE("key*")));
    cr_assert_not(glob_is_literal(SLICE("ke?")));
    cr_assert_not(glob_is_literal(SLICE("[k")));
    cr_assert_not(glob_is_literal(SLICE("k\\e")));
    cr_assert(glob_is_all(SLICE("*")));
    cr_assert_not(glob_is_all(SLICE("**")));
    cr_assert_not(glob_is_all(SLICE("")));
}
