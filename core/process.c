/*
 * process.c: the few questions about the process itself.
 *
 * INFO wants numbers that only the kernel has. They are asked for here, so that the rooms above
 * make no system call and the simulator can run them unchanged. Nothing is cached: a cached
 * resident size would need an owner and an age, and reading /proc/self/statm takes some
 * microseconds, once for each INFO. getrusage() has a resident size too, but only the largest one
 * ever (ru_maxrss), hence the file.
 *
 * The title in the process list is the memory where the kernel put argv and, right behind it, the
 * environment. Both are copied away, then the text may be as long as both were:
 *
 *     argv[0] \0 argv[1] \0 ... environ[0] \0 ...       before
 *     title \0 \0 \0 \0 ...                             after; ps reads up to the first zero
 *
 * prctl(PR_SET_MM) could name other memory, but needs a privilege; PR_SET_NAME has 15 bytes only.
 */
#include "core/process.h"

#include "core/hash.h"

#include "core/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/** Seven numbers of at most 20 digits. */
#define PROCESS_STATM_SIZE_MAX 256

/** Bytes in RAM, and those of them that belong to files. */
static void
process_statm(uint64_t *resident_size, uint64_t *file_size)
{
    char text[PROCESS_STATM_SIZE_MAX];
    *resident_size = 0;
    *file_size = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0) {
        return;
    }
    text[size] = '\0';
    /* Pages: all of the address space, the resident ones, and those of the latter that files back.
     */
    unsigned long long total = 0;
    unsigned long long resident = 0;
    unsigned long long shared = 0;
    if (sscanf(text, "%llu %llu %llu", &total, &resident, &shared) != 3) {
        return;
    }
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    *resident_size = (uint64_t)resident * page_size;
    *file_size = (uint64_t)shared * page_size;
}

uint64_t
process_resident_size(void)
{
    uint64_t resident_size;
    uint64_t file_size;
    process_statm(&resident_size, &file_size);
    return resident_size;
}

uint64_t
process_anonymous_size(void)
{
    uint64_t resident_size;
    uint64_t file_size;
    process_statm(&resident_size, &file_size);
    return resident_size - MIN(file_size, resident_size);
}

uint64_t
process_machine_memory_size(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page_size <= 0 ? 0 : (uint64_t)pages * (uint64_t)page_size;
}

static void
process_usage(int who, struct process_cpu *cpu)
{
    struct rusage usage;
    *cpu = (struct process_cpu){0};
    if (getrusage(who, &usage) == 0) {
        cpu->user_us = (int64_t)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
        cpu->system_us = (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
    }
}

void
process_cpu(struct process_cpu *cpu)
{
    process_usage(RUSAGE_SELF, cpu);
}

void
process_thread_cpu(struct process_cpu *cpu)
{
    process_usage(RUSAGE_THREAD, cpu);
}

uint64_t
process_heap_size(void)
{
#ifdef TESSERA_SYSTEM_MALLOC
    struct mallinfo2 info = mallinfo2();
    return (uint64_t)info.arena + info.hblkhd;
#else
    size_t commit = 0;
    mi_process_info(NULL, NULL, NULL, NULL, NULL, &commit, NULL, NULL);
    return commit;
#endif
}

/* ---- the title ---- */

/** A copy that lives as long as the process: it stands in for what the C library points to. */
static char *
process_keep(const char *text)
{
    char *copy = strdup(text);
    ASSERT(copy != NULL);
    return copy;
}

void
process_title_create(struct process_title *title, int argc, char **argv)
{
    ASSERT(argc > 0);
    char *end = argv[0];
    title->text = argv[0];
    title->program = process_keep(argv[0]);
    for (int i = 0; i < argc; i++) {
        if (argv[i] == end) {
            end = argv[i] + strlen(argv[i]) + 1;
        }
        argv[i] = process_keep(argv[i]);
    }
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        if (*variable == end) {
            end = *variable + strlen(*variable) + 1;
        }
        *variable = process_keep(*variable);
    }
    title->size = (size_t)(end - title->text);
    program_invocation_name = title->program;
    const char *name = strrchr(title->program, '/');
    program_invocation_short_name =
        name == NULL ? title->program : title->program + (name - title->program) + 1;
}

void
process_title_set(struct process_title *title, const char *text)
{
    size_t length = MIN(strlen(text), title->size - 1);
    memcpy(title->text, text, length);
    memset(title->text + length, 0, title->size - length);
}

bool
process_title_expand(const char *pattern, const struct process_title_variable *variables,
                     uint32_t variable_count, char *out, size_t size)
{
    ASSERT(size > 0);
    size_t at = 0;
    while (*pattern != '\0') {
        const char *value = NULL;
        size_t step = 1;
        size_t value_size = 1;
        if (pattern[0] != '{' || pattern[1] == '{') {
            value = pattern;
            step += pattern[0] == '{';
        }
        for (uint32_t i = 0; value == NULL && i < variable_count; i++) {
            size_t name_size = strlen(variables[i].name);
            if (strncmp(pattern + 1, variables[i].name, name_size) == 0 &&
                pattern[1 + name_size] == '}') {
                value = variables[i].value;
                value_size = strlen(value);
                step = name_size + 2;
            }
        }
        if (value == NULL) {
            return false;
        }
        bool is_leading_blank = at == 0 && value_size == 1 && *value == ' ';
        value_size = is_leading_blank ? 0 : MIN(value_size, size - 1 - at);
        memcpy(out + at, value, value_size);
        at += value_size;
        pattern += step;
    }
    while (at > 0 && out[at - 1] == ' ') {
        at--;
    }
    out[at] = '\0';
    return true;
}

/* ---- descriptors ---- */

uint64_t
process_descriptor_limit_raise(uint64_t wanted, uint64_t *possible)
{
    struct rlimit before;
    if (getrlimit(RLIMIT_NOFILE, &before) < 0) {
        *possible = wanted;
        return wanted;
    }
    *possible = MAX(before.rlim_cur, before.rlim_max);
    if (before.rlim_cur >= wanted) {
        return before.rlim_cur;
    }
    struct rlimit limit = {.rlim_cur = wanted, .rlim_max = MAX(before.rlim_max, wanted)};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return before.rlim_cur;
    }
    *possible = wanted;
    return wanted;
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

uint64_t
process_boot_id(void)
{
    char text[64];
    const char *played = getenv("TESSERA_BOOT_ID");
    if (played != NULL) {
        return hash_bytes(played, strlen(played), 0) | 1;
    }
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL) {
        return 0;
    }
    size_t size = fread(text, 1, sizeof(text), file);
    fclose(file);
    return size < 32 ? 0 : hash_bytes(text, size, 0) | 1;
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
