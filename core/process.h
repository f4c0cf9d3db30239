/*
 * process.h: what the operating system says about this process and its machine.
 * Any thread; each call asks anew and costs a few system calls, so these are for INFO and for the
 * start, not for turns. What cannot be read is 0 or "".
 */
#pragma once

#include "core/base.h"

/** Bytes of RAM that the process occupies now. */
uint64_t process_resident_size(void);

/** Bytes of RAM that the machine has. */
uint64_t process_machine_memory_size(void);

/** CPU time of all threads since the start. */
struct process_cpu {
    int64_t user_us;
    int64_t system_us;
};
void process_cpu(struct process_cpu *cpu);
/** The same of the calling thread. */
void process_thread_cpu(struct process_cpu *cpu);

/** Bytes of RAM that hold pages of no file: the heap, and the threads' stacks. */
uint64_t process_anonymous_size(void);

/** Bytes that the allocator has taken from the system and may use, in RAM or not yet touched. */
uint64_t process_heap_size(void);

/** What ps shows as the command line: its memory, which holds `text` from now on. */
struct process_title {
    char *text;
    size_t size;
    /** argv[0] as it was. */
    char *program;
};

/** Take the memory of argv and of the environment, which move elsewhere and stay valid for the life
 * of the process. Once, on the main thread, before there are others; `argv` itself gets the new
 * places. */
void process_title_create(struct process_title *title, int argc, char **argv);

/** Show `text`, cut to what there is room for. One thread at a time. */
void process_title_set(struct process_title *title, const char *text);

/** A variable of a title's template, and what stands in its place. */
struct process_title_variable {
    const char *name;
    const char *value;
};

/** Put the values in the place of "{name}" and "{" in that of "{{", without blanks at both ends.
 * The result is NUL-terminated and cut where it is too long. False: a brace has no name that is
 * known. */
bool process_title_expand(const char *pattern, const struct process_title_variable *variables,
                          uint32_t variable_count, char *out, size_t size) MUST_CHECK;

/** Allow so many open descriptors, for all if that is allowed. Returns how many may be open now:
 * where it is less than `wanted`, nothing was changed, and *possible says what could be had. */
uint64_t process_descriptor_limit_raise(uint64_t wanted, uint64_t *possible);

/** The process id. */
int64_t process_id(void);

/** "Linux 6.1.0 x86_64": system, release and machine. Always NUL-terminated. */
void process_os_name(char *out, size_t size);

/** Absolute path of the running program. Always NUL-terminated. */
/** A number that stands for the machine's run since it was started, never 0; 0 where it cannot be
 * known. Tests play another run with TESSERA_BOOT_ID in the environment. */
uint64_t process_boot_id(void);
void process_executable(char *out, size_t size);

/** "12.2.0": the compiler that built this program (clang names the GCC that it stands in for). */
const char *process_compiler_version(void);

/** 64 or 32. */
uint32_t process_word_bits(void);

/** The calling thread does nothing for so long, whatever signals arrive. */
void process_sleep_us(uint64_t duration_us);
