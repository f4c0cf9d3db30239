/*
 * log.h: the server's log: one line a message, in the form that Redis's log readers know.
 *     4711:M 21 Nov 2026 01:24:22.123 * message
 * log_write() from any thread at any time; the rest from the main thread.
 */
#pragma once

#include "core/base.h"

/** The words of `loglevel`, least important first. */
enum log_level { LOG_DEBUG_LEVEL, LOG_VERBOSE_LEVEL, LOG_NOTICE_LEVEL, LOG_WARNING_LEVEL };

/** The letter behind the process id: what this process is. */
enum log_role {
    LOG_ROLE_MASTER = 'M',
    LOG_ROLE_REPLICA = 'S',
    LOG_ROLE_SENTINEL = 'X',
    LOG_ROLE_CHILD = 'C'
};

/** Longest line with its prefix and newline; what is longer is cut, so that one write(2) carries
 * each line. */
#define LOG_LINE_SIZE_MAX 1024

struct log;

/** Writes to standard output, from notice upwards. NULL without memory. */
struct log *log_new(void);

/** No thread may write any more. NULL is allowed. */
void log_delete(struct log *log);

/**
 * From now on lines are appended to this file, which is created where missing; "" is standard
 * output. Opening the same path again is how a rotated file is let go. 0, or -errno with the log as
 * it was.
 */
MUST_CHECK int log_open(struct log *log, const char *path);

/** Copies every line to syslog too. `ident` is copied; `facility` is one of syslog's LOG_USER,
 * LOG_LOCAL0 .. */
void log_syslog(struct log *log, const char *ident, int facility);

/** Messages below `level` are dropped. Any thread. */
void log_level_set(struct log *log, enum log_level level);
enum log_level log_level_get(const struct log *log);

/** Any thread. */
void log_role_set(struct log *log, enum log_role role);

/**
 * One line. Any thread, never waits for another one; a line that cannot be written is lost. No
 * newline at the end of `format`. errno is left as it was.
 */
void log_write(struct log *log, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);
