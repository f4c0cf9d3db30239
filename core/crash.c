/*
 * crash.c: the handler of fatal signals. It may use what is safe in a signal handler only: write()
 * and backtrace_symbols_fd() to standard error (and not the log, whose file may be what is broken).
 */
#include "core/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define CRASH_FRAMES_MAX 64

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static void
crash_write(const char *text)
{
    ssize_t rc = write(STDERR_FILENO, text, strlen(text));
    (void)rc; /* nothing better is left to do */
}

static void
crash_handler(int signal_number)
{
    void *frames[CRASH_FRAMES_MAX];
    crash_write("\n=== TESSERA BUG REPORT: the server crashed by signal ");
    char digits[3] = {(char)('0' + signal_number / 10), (char)('0' + signal_number % 10), '\n'};
    ssize_t rc = write(STDERR_FILENO, digits, sizeof(digits));
    (void)rc;
    int count = backtrace(frames, CRASH_FRAMES_MAX);
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
    crash_write("=== please report this with what the server was doing\n");
    /* SA_RESETHAND has restored the default action: the fault happens again and ends the process.
     */
    raise(signal_number);
}

void
crash_report_set(bool is_enabled)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = is_enabled ? crash_handler : SIG_DFL;
    action.sa_flags = (int)(SA_NODEFER | SA_RESETHAND);
    for (uint32_t i = 0; i < ARRAY_COUNT(crash_signals); i++) {
        (void)sigaction(crash_signals[i], &action, NULL);
    }
}
