/*
 * base.h: the few words that every room uses: assertions, hints, sizes.
 * Holds no state and no policy.
 */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Cache line of every machine that we run on; what two threads write stands at least this far
 * apart. */
#define CACHE_LINE_SIZE 64

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/** The caller has to look at the result: it is 0 or -errno. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index)                                                     \
    __attribute__((format(printf, format_index, first_index)))

/** Report a broken assumption of our own and abort. Any thread. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);

/** Our own mistakes, checked in release builds too. One condition each. */
#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (UNLIKELY(!(condition))) {                                                              \
            assert_failed(#condition, __FILE__, __LINE__);                                         \
        }                                                                                          \
    } while (0)

/** Checks that cost more than they find in production: debug, sanitizer and simulator builds. */
#ifdef TESSERA_SLOW_ASSERTS
#define ASSERT_SLOW(condition) ASSERT(condition)
#else
#define ASSERT_SLOW(condition) ((void)sizeof(condition))
#endif

/** Says that both outcomes are legal here. */
#define MAYBE(condition) ((void)sizeof(condition))

/** The structure that `member` is a part of. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/** Says that the CPU spins, so that it saves power and its sibling gets on. */
static inline void
cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
