/*
 * log.c: each line is made on the writer's stack and handed over in one write(2).
 *
 * The file is open for appending, so the kernel puts lines behind each other whole, whoever writes
 * them: no lock, no buffer, no thread of its own, and what was logged before a crash is in the
 * file. A buffered log was rejected: it loses the lines that matter most, and the log is no hot
 * path.
 *
 * Reopening while others write: the descriptor number of the file never changes hands. The new file
 * is opened beside and moved onto the old number by dup3(), which the kernel does in one step, so a
 * writer that has read the number hits the old file or the new one but never a stranger's socket.
 * Invariant: file_fd, once it is not -1, stays the same and stays open until log_delete(). fd
 * (atomic) -> STDOUT_FILENO or file_fd
 */
#include "core/log.h"

#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LOG_IDENT_SIZE_MAX 128

struct log {
    /* ---- any thread reads ---- */
    _Atomic int fd;
    _Atomic int level;
    _Atomic int role;
    atomic_bool syslog_enabled;
    /* ---- main thread ---- */
    /** The log file's descriptor, -1 before there was a file. */
    int file_fd;
    /** openlog() keeps the pointer. */
    char ident[LOG_IDENT_SIZE_MAX];
};

struct log *
log_new(void)
{
    struct log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return NULL;
    }
    atomic_init(&log->fd, STDOUT_FILENO);
    atomic_init(&log->level, LOG_NOTICE_LEVEL);
    atomic_init(&log->role, LOG_ROLE_MASTER);
    atomic_init(&log->syslog_enabled, false);
    log->file_fd = -1;
    return log;
}

void
log_delete(struct log *log)
{
    if (log == NULL) {
        return;
    }
    if (log->file_fd >= 0) {
        close(log->file_fd);
    }
    if (atomic_load_explicit(&log->syslog_enabled, memory_order_relaxed)) {
        closelog();
    }
    free(log);
}

int
log_open(struct log *log, const char *path)
{
    if (path[0] == '\0') {
        atomic_store_explicit(&log->fd, STDOUT_FILENO, memory_order_relaxed);
        return 0;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return -errno;
    }
    if (log->file_fd < 0) {
        log->file_fd = fd;
    } else {
        int moved = dup3(fd, log->file_fd, O_CLOEXEC);
        int rc = moved < 0 ? -errno : 0;
        close(fd);
        if (rc < 0) {
            return rc;
        }
    }
    /* Publishes nothing but the number: the kernel's table is what the number means. */
    atomic_store_explicit(&log->fd, log->file_fd, memory_order_relaxed);
    return 0;
}

void
log_syslog(struct log *log, const char *ident, int facility)
{
    size_t size = MIN(strlen(ident), sizeof(log->ident) - 1);
    memcpy(log->ident, ident, size);
    log->ident[size] = '\0';
    openlog(log->ident, LOG_PID | LOG_NDELAY | LOG_NOWAIT, facility);
    /* Pairs with the acquire in log_write(): openlog() is done when the flag is seen. */
    atomic_store_explicit(&log->syslog_enabled, true, memory_order_release);
}

void
log_level_set(struct log *log, enum log_level level)
{
    ASSERT(level >= LOG_DEBUG_LEVEL);
    ASSERT(level <= LOG_WARNING_LEVEL);
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

enum log_level
log_level_get(const struct log *log)
{
    return (enum log_level)atomic_load_explicit(&log->level, memory_order_relaxed);
}

void
log_role_set(struct log *log, enum log_role role)
{
    atomic_store_explicit(&log->role, (int)role, memory_order_relaxed);
}

/** Everything before the message. Returns its size. */
static size_t
log_prefix(const struct log *log, enum log_level level, char *out, size_t size_max)
{
    static const char marks[] = {
        [LOG_DEBUG_LEVEL] = '.',
        [LOG_VERBOSE_LEVEL] = '-',
        [LOG_NOTICE_LEVEL] = '*',
        [LOG_WARNING_LEVEL] = '#',
    };
    int64_t now_us = clock_unix_us();
    struct tm tm;
    clock_local_time(now_us / 1000000, &tm);
    char time[32];
    size_t time_size = strftime(time, sizeof(time), "%d %b %Y %H:%M:%S", &tm);
    int role = atomic_load_explicit(&log->role, memory_order_relaxed);
    int size = snprintf(out, size_max, "%d:%c %.*s.%03d %c ", (int)getpid(), (char)role,
                        (int)time_size, time, (int)(now_us / 1000 % 1000), marks[level]);
    ASSERT(size > 0);
    ASSERT((size_t)size < size_max);
    return (size_t)size;
}

void
log_write(struct log *log, enum log_level level, const char *format, ...)
{
    static const int priorities[] = {
        [LOG_DEBUG_LEVEL] = LOG_DEBUG,
        [LOG_VERBOSE_LEVEL] = LOG_INFO,
        [LOG_NOTICE_LEVEL] = LOG_NOTICE,
        [LOG_WARNING_LEVEL] = LOG_WARNING,
    };
    if ((int)level < atomic_load_explicit(&log->level, memory_order_relaxed)) {
        return;
    }
    ASSERT(level <= LOG_WARNING_LEVEL);
    int errno_before = errno;
    /* One more: vsnprintf's NUL stands where the newline goes when the line is full. */
    char line[LOG_LINE_SIZE_MAX + 1];
    size_t prefix_size = log_prefix(log, level, line, LOG_LINE_SIZE_MAX);
    size_t room = LOG_LINE_SIZE_MAX - prefix_size;
    va_list arguments;
    va_start(arguments, format);
    /* %m in `format` means the caller's error. */
    errno = errno_before;
    int message_size = vsnprintf(line + prefix_size, room, format, arguments);
    va_end(arguments);
    size_t size = prefix_size + (message_size < 0 ? 0 : MIN((size_t)message_size, room - 1));
    line[size] = '\0';
    if (atomic_load_explicit(&log->syslog_enabled, memory_order_acquire)) {
        syslog(priorities[level], "%s", line + prefix_size);
    }
    line[size] = '\n';
    ssize_t written = write(atomic_load_explicit(&log->fd, memory_order_relaxed), line, size + 1);
    (void)written;
    errno = errno_before;
}
