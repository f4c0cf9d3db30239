/*
 * runner.c: runs the tests of a sanitizer build, each in a process of its own.
 *
 * A test is a child that ends with 0. One that aborts, runs out of time or fails a check does not,
 * and neither does one in which a sanitizer found a race or a leak, since it changes the exit code.
 * The last line is the one that Criterion prints, so that both builds are counted alike.
 *
 * The list of tests is the one thing in the house at file scope: a test announces itself before
 * main() runs, when there is nobody yet who could hand the list in.
 */
#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Criterion sets no limit; this one only ends what hangs, on a machine that crawls. */
#define TIMEOUT_S_DEFAULT 1200
/* What a run that comes to no end has spent its time on should stand in its log. */
#define SLOW_S 30
#define EXIT_CODE_SKIPPED 77

enum case_result {
    CASE_PASSED,
    CASE_FAILED,
    CASE_SKIPPED,
};

static struct runner_case *first_case;
static struct runner_case **last_link = &first_case;
static atomic_int failed_check_count;

void
runner_register(struct runner_case *test)
{
    *last_link = test;
    last_link = &test->next;
}

void
runner_fail(bool is_fatal, const char *file, int line, const char *condition, const char *format,
            ...)
{
    va_list values;
    atomic_fetch_add(&failed_check_count, 1);
    fprintf(stderr, "%s:%d: failed: %s:", file, line, condition);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    if (is_fatal) {
        _exit(1);
    }
}

_Noreturn void
runner_skip(const char *format, ...)
{
    va_list values;
    fprintf(stderr, "skipped:");
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    _exit(EXIT_CODE_SKIPPED);
}

void
runner_log(const char *level, const char *format, ...)
{
    va_list values;
    fprintf(stderr, "%s: ", level);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
}

_Noreturn static void
case_run(const struct runner_case *test)
{
    alarm(test->timeout > 0 ? (unsigned)test->timeout + 1 : TIMEOUT_S_DEFAULT);
    if (test->init != NULL) {
        test->init();
    }
    test->run();
    if (test->fini != NULL) {
        test->fini();
    }
    exit(atomic_load(&failed_check_count) > 0 ? 1 : 0);
}

static enum case_result
case_try(const struct runner_case *test)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        case_run(test);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return CASE_FAILED;
    }
    if (WIFSIGNALED(status)) {
        return test->signal == WTERMSIG(status) ? CASE_PASSED : CASE_FAILED;
    }
    if (WEXITSTATUS(status) == EXIT_CODE_SKIPPED) {
        return CASE_SKIPPED;
    }
    bool is_expected = test->signal == 0 && WEXITSTATUS(status) == test->exit_code;
    return is_expected ? CASE_PASSED : CASE_FAILED;
}

int
main(void)
{
    int counts[CASE_SKIPPED + 1] = {0};
    for (const struct runner_case *test = first_case; test != NULL; test = test->next) {
        time_t start_s = time(NULL);
        enum case_result result = test->disabled ? CASE_SKIPPED : case_try(test);
        int elapsed_s = (int)(time(NULL) - start_s);
        counts[result]++;
        if (elapsed_s >= SLOW_S) {
            fprintf(stderr, "[SLOW] %s::%s: %d s\n", test->suite, test->name, elapsed_s);
        }
        if (result == CASE_FAILED) {
            fprintf(stderr, "[FAIL] %s::%s\n", test->suite, test->name);
        }
    }
    printf("[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: 0\n",
           counts[CASE_PASSED] + counts[CASE_FAILED], counts[CASE_PASSED], counts[CASE_FAILED]);
    return counts[CASE_FAILED] > 0 ? 1 : 0;
}
