/*
 * process.c: the few questions about the process itself.
 *
 * INFO wants numbers that only the kernel has. They are asked for here, so that the rooms above
 * make no system call and the simulator can run them unchanged. Nothing is cached: a cached
 * resident size would need an owner and an age, and reading /proc/self/statm takes some
 * microseconds, once for each INFO. getrusage() has a resident size too, but only the largest one
 * ever (ru_maxrss), hence the file.
 */
#include "core/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/** Seven numbers of at most 20 digits. */
#define PROCESS_STATM_SIZE_MAX 256

uint64_t
process_resident_size(void)
{
    char text[PROCESS_STATM_SIZE_MAX];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    /* Pages: all of the address space, then the resident ones. */
    unsigned long long total = 0;
    unsigned long long resident = 0;
    if (sscanf(text, "%llu %llu", &total, &resident) != 2) {
        return 0;
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
process_machine_memory_size(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page_size <= 0 ? 0 : (uint64_t)pages * (uint64_t)page_size;
}

void
process_cpu(struct process_cpu *cpu)
{
    struct rusage usage;
    *cpu = (struct process_cpu){0};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        cpu->user_us = (int64_t)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
        cpu->system_us = (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
    }
}

int64_t
process_id(void)
{
    return getpid();
}

void
process_os_name(char *out, size_t size)
{
    ASSERT(size > 0);
    struct utsname name;
    out[0] = '\0';
    if (uname(&name) == 0) {
        snprintf(out, size, "%s %s %s", name.sysname, name.release, name.machine);
    }
}

void
process_executable(char *out, size_t size)
{
    ASSERT(size > 0);
    ssize_t length = readlink("/proc/self/exe", out, size - 1);
    out[length < 0 ? 0 : length] = '\0';
}

const char *
process_compiler_version(void)
{
#define PROCESS_TEXT_OF(value) #value
#define PROCESS_TEXT(value) PROCESS_TEXT_OF(value)
    return PROCESS_TEXT(__GNUC__) "." PROCESS_TEXT(__GNUC_MINOR__) "." PROCESS_TEXT(
        __GNUC_PATCHLEVEL__);
#undef PROCESS_TEXT
#undef PROCESS_TEXT_OF
}

uint32_t
process_word_bits(void)
{
    return (uint32_t)sizeof(void *) * 8;
}

void
process_sleep_us(uint64_t duration_us)
{
    struct timespec left = {
        .tv_sec = (time_t)(duration_us / 1000000),
        .tv_nsec = (long)(duration_us % 1000000) * 1000,
    };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
