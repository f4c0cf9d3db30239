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

/** The process id. */
int64_t process_id(void);

/** "Linux 6.1.0 x86_64": system, release and machine. Always NUL-terminated. */
void process_os_name(char *out, size_t size);

/** Absolute path of the running program. Always NUL-terminated. */
void process_executable(char *out, size_t size);

/** "12.2.0": the compiler that built this program (clang names the GCC that it stands in for). */
const char *process_compiler_version(void);

/** 64 or 32. */
uint32_t process_word_bits(void);

/** The calling thread does nothing for so long, whatever signals arrive. */
void process_sleep_us(uint64_t duration_us);
