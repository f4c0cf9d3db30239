#include "core/process.h"

#include "core/clock.h"
#include "core/heap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef TESSERA_SYSTEM_MALLOC /* a sanitizer's memory comes and goes by its own rules */
Test(process, sizes)
{
    size_t size = 64 << 20;
    uint64_t before = process_resident_size();
    cr_assert(before > 0);
    cr_assert(before < process_machine_memory_size());
    char *block = malloc(size);
    cr_assert_not_null(block);
    memset(block, 1, size);
    uint64_t after = process_resident_size();
    cr_assert(after >= before + size / 2, "%llu, then %llu", (unsigned long long)before,
              (unsigned long long)after);
    cr_assert_eq(block[size - 1], 1);
    free(block);
}
#endif

Test(process, cpu_time_grows_with_work)
{
    struct process_cpu before;
    struct process_cpu after;
    process_cpu(&before);
    uint64_t start_ns = clock_thread_cpu_ns();
    while (clock_thread_cpu_ns() - start_ns < 50000000) {
    }
    process_cpu(&after);
    int64_t used_us = after.user_us + after.system_us - before.user_us - before.system_us;
    cr_assert(used_us >= 20000, "%lld us", (long long)used_us);
}

Test(process, names)
{
    char text[256];
    char shorter[8];
    process_os_name(text, sizeof(text));
    cr_assert(strncmp(text, "Linux ", 6) == 0);
    process_os_name(shorter, sizeof(shorter));
    cr_assert_eq(strlen(shorter), sizeof(shorter) - 1);
    process_executable(text, sizeof(text));
    cr_assert_eq(text[0], '/');
    process_executable(shorter, sizeof(shorter));
    cr_assert_eq(strlen(shorter), sizeof(shorter) - 1);
    cr_assert_eq(process_id(), getpid());
    cr_assert(process_word_bits() == 64 || process_word_bits() == 32);
    cr_assert(process_compiler_version()[0] >= '1' && process_compiler_version()[0] <= '9');
}

Test(process, cpu_of_one_thread_is_part_of_all)
{
    struct process_cpu all;
    struct process_cpu mine;
    uint64_t start_ns = clock_thread_cpu_ns();
    while (clock_thread_cpu_ns() - start_ns < 20000000) {
    }
    process_thread_cpu(&mine);
    process_cpu(&all);
    cr_assert(mine.user_us + mine.system_us >= 10000);
    cr_assert(mine.user_us + mine.system_us <= all.user_us + all.system_us);
}

#ifndef TESSERA_SYSTEM_MALLOC /* a sanitizer's memory is no anonymous memory of the heap's */
Test(process, heap_and_anonymous_memory_grow_with_what_is_touched)
{
    size_t size = 64 << 20;
    uint64_t anonymous = process_anonymous_size();
    uint64_t heap = process_heap_size();
    char *block = heap_alloc(size);
    memset(block, 1, size);
    cr_assert(process_anonymous_size() >= anonymous + size / 2);
    cr_assert(process_heap_size() >= heap + size / 2);
    cr_assert(process_anonymous_size() < process_resident_size());
    heap_free(block);
}
#endif

static const struct process_title_variable variables[] = {
    {"title", "prog"}, {"port", "6379"}, {"port-name", "p"}, {"mode", ""}};

static void
expand(const char *pattern, const char *expected)
{
    char out[64];
    bool is_fine =
        process_title_expand(pattern, variables, ARRAY_COUNT(variables), out, sizeof(out));
    cr_expect_eq(is_fine, expected != NULL, "%s", pattern);
    if (is_fine && expected != NULL) {
        cr_expect_str_eq(out, expected, "%s: %s", pattern, out);
    }
}

Test(process, title_template)
{
    expand("{title} *:{port} {mode}", "prog *:6379");
    expand("  {mode} {port-name}{port}  ", "p6379");
    expand("a {mode} b", "a  b");
    expand("{{port} } {{{title}", "{port} } {prog");
    expand("", "");
    expand("{port", NULL);
    expand("{por}", NULL);
    expand("{", NULL);
    expand("{portx}", NULL);
    char longer[200];
    memset(longer, 'x', sizeof(longer));
    memcpy(longer + sizeof(longer) - 7, "{port}", 7);
    char cut[64];
    memset(cut, 'x', sizeof(cut));
    cut[sizeof(cut) - 1] = '\0';
    expand(longer, cut);
}

Test(process, title_takes_the_memory_of_the_arguments)
{
    char memory[] = "./prog\0--port\0"
                    "7000\0";
    size_t size = sizeof(memory) - 1;
    char *argv[] = {memory, memory + 7, memory + 14, NULL};
    struct process_title title;
    process_title_create(&title, 3, argv);
    cr_assert_eq(title.size, size);
    cr_assert_str_eq(argv[0], "./prog");
    cr_assert_str_eq(argv[1], "--port");
    cr_assert_str_eq(argv[2], "7000");
    cr_assert_str_eq(program_invocation_short_name, "prog");
    process_title_set(&title, "short");
    cr_assert_eq(memcmp(memory, "short\0\0\0\0", 9), 0);
    process_title_set(&title, "a text that is longer than all of the arguments");
    cr_assert_eq(memcmp(memory, "a text that is lon\0", size), 0);
    cr_assert_eq(memory[size - 1], '\0');
    process_title_set(&title, "");
    cr_assert_eq(memory[0] | memory[size - 2], 0);
    cr_assert_str_eq(argv[1], "--port");
    cr_assert_not_null(getenv("PATH"));
    for (uint32_t i = 0; argv[i] != NULL; i++) {
        free(argv[i]);
    }
}

Test(process, descriptor_limit)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 100;
    limit.rlim_max = 500;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    uint64_t possible;
    cr_assert_eq(process_descriptor_limit_raise(50, &possible), 100);
    cr_assert_eq(process_descriptor_limit_raise(300, &possible), 300);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(limit.rlim_cur, 300);
    uint64_t got = process_descriptor_limit_raise(UINT64_C(1) << 40, &possible);
    cr_assert_eq(got, 300);
    cr_assert_eq(possible, 500);
    cr_assert_eq(process_descriptor_limit_raise(possible, &possible), 500);
}
