#include "core/process.h"

#include "core/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
