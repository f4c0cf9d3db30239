/*
 * criterion.h: as much of Criterion's interface as our tests use, for sanitizer builds alone.
 * Criterion keeps its state in memory at addresses that ThreadSanitizer has reserved for itself, so
 * that no program with both gets to its first test; and it leaks, which AddressSanitizer reports.
 * Tests are the same files in all builds: they include <criterion/criterion.h>, and the build says
 * whose. runner.c runs them.
 */
#pragma once
/* As the real one, which the compiler's warnings do not reach either. */
#pragma GCC system_header

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** One Test(); the names of the options are Criterion's. */
struct runner_case {
    const char *suite;
    const char *name;
    void (*run)(void);
    struct runner_case *next;
    /* ---- options that a Test() may give ---- */
    void (*init)(void);
    void (*fini)(void);
    int signal;
    int exit_code;
    double timeout;
    bool disabled;
    const char *description;
};

/** Before main(). The case is the test file's and lives as long as the program. */
void runner_register(struct runner_case *test);

/** Print what failed; a fatal failure ends the test's process. Any thread of a test. */
void runner_fail(bool is_fatal, const char *file, int line, const char *condition,
                 const char *format, ...);

/** End the test's process; the test does not count. */
_Noreturn void runner_skip(const char *format, ...);

void runner_log(const char *level, const char *format, ...);

#define Test(Suite, Name, ...)                                                                     \
    static void Suite##_##Name##_run(void);                                                        \
    static struct runner_case Suite##_##Name##_case = {                                            \
        .suite = #Suite, .name = #Name, .run = Suite##_##Name##_run, ##__VA_ARGS__};               \
    __attribute__((constructor)) static void Suite##_##Name##_register(void)                       \
    {                                                                                              \
        runner_register(&Suite##_##Name##_case);                                                   \
    }                                                                                              \
    static void Suite##_##Name##_run(void)

#define RUNNER_CHECK(is_fatal, condition, text, ...)                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            runner_fail(is_fatal, __FILE__, __LINE__, text, " " __VA_ARGS__);                      \
        }                                                                                          \
    } while (0)
#define RUNNER_ASSERT(condition, ...) RUNNER_CHECK(true, condition, #condition, ##__VA_ARGS__)
#define RUNNER_EXPECT(condition, ...) RUNNER_CHECK(false, condition, #condition, ##__VA_ARGS__)

#define cr_assert(condition, ...) RUNNER_ASSERT(condition, ##__VA_ARGS__)
#define cr_assert_not(condition, ...) RUNNER_ASSERT(!(condition), ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...) RUNNER_ASSERT((a) == (b), ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...) RUNNER_ASSERT((a) != (b), ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...) RUNNER_ASSERT((a) < (b), ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...) RUNNER_ASSERT((a) <= (b), ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...) RUNNER_ASSERT((a) > (b), ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...) RUNNER_ASSERT((a) >= (b), ##__VA_ARGS__)
#define cr_assert_null(a, ...) RUNNER_ASSERT((a) == NULL, ##__VA_ARGS__)
#define cr_assert_not_null(a, ...) RUNNER_ASSERT((a) != NULL, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) RUNNER_ASSERT(strcmp((a), (b)) == 0, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) RUNNER_ASSERT(strcmp((a), (b)) != 0, ##__VA_ARGS__)
#define cr_assert_str_empty(a, ...) RUNNER_ASSERT((a)[0] == '\0', ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...)                                                          \
    RUNNER_ASSERT(memcmp((a), (b), (size)) == 0, ##__VA_ARGS__)
#define cr_assert_arr_neq(a, b, size, ...)                                                         \
    RUNNER_ASSERT(memcmp((a), (b), (size)) != 0, ##__VA_ARGS__)
#define cr_assert_float_eq(a, b, epsilon, ...)                                                     \
    RUNNER_ASSERT(fabs((double)(a) - (double)(b)) <= (epsilon), ##__VA_ARGS__)
#define cr_assert_fail(...) RUNNER_CHECK(true, false, "failure", ##__VA_ARGS__)
#define cr_fatal(...) RUNNER_CHECK(true, false, "failure", ##__VA_ARGS__)

#define cr_skip_test(...) runner_skip(" " __VA_ARGS__)

#define cr_expect(condition, ...) RUNNER_EXPECT(condition, ##__VA_ARGS__)
#define cr_expect_not(condition, ...) RUNNER_EXPECT(!(condition), ##__VA_ARGS__)
#define cr_expect_eq(a, b, ...) RUNNER_EXPECT((a) == (b), ##__VA_ARGS__)
#define cr_expect_neq(a, b, ...) RUNNER_EXPECT((a) != (b), ##__VA_ARGS__)
#define cr_expect_lt(a, b, ...) RUNNER_EXPECT((a) < (b), ##__VA_ARGS__)
#define cr_expect_leq(a, b, ...) RUNNER_EXPECT((a) <= (b), ##__VA_ARGS__)
#define cr_expect_gt(a, b, ...) RUNNER_EXPECT((a) > (b), ##__VA_ARGS__)
#define cr_expect_geq(a, b, ...) RUNNER_EXPECT((a) >= (b), ##__VA_ARGS__)
#define cr_expect_null(a, ...) RUNNER_EXPECT((a) == NULL, ##__VA_ARGS__)
#define cr_expect_not_null(a, ...) RUNNER_EXPECT((a) != NULL, ##__VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) RUNNER_EXPECT(strcmp((a), (b)) == 0, ##__VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) RUNNER_EXPECT(strcmp((a), (b)) != 0, ##__VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...)                                                          \
    RUNNER_EXPECT(memcmp((a), (b), (size)) == 0, ##__VA_ARGS__)
#define cr_expect_float_eq(a, b, epsilon, ...)                                                     \
    RUNNER_EXPECT(fabs((double)(a) - (double)(b)) <= (epsilon), ##__VA_ARGS__)
#define cr_expect_fail(...) RUNNER_CHECK(false, false, "failure", ##__VA_ARGS__)

#define cr_log_info(...) runner_log("info", __VA_ARGS__)
#define cr_log_warn(...) runner_log("warning", __VA_ARGS__)
#define cr_log_error(...) runner_log("error", __VA_ARGS__)
