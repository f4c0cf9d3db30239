/* log_test.c: what stands in the file, line by line. */
#include "core/log.h"

#include "core/base.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREAD_COUNT 4
#define THREAD_LINE_COUNT 2000

struct log_file {
    char path[64];
    struct log *log;
};

static void
log_file_create(struct log_file *file)
{
    snprintf(file->path, sizeof(file->path), "/tmp/log_test.XXXXXX");
    int fd = mkstemp(file->path);
    cr_assert_geq(fd, 0);
    close(fd);
    file->log = log_new();
    cr_assert_not_null(file->log);
    cr_assert_eq(log_open(file->log, file->path), 0);
}

static void
log_file_destroy(struct log_file *file)
{
    log_delete(file->log);
    unlink(file->path);
}

/** The file's whole content, NUL-terminated; the caller frees it. */
static char *
file_read(const char *path)
{
    FILE *stream = fopen(path, "r");
    cr_assert_not_null(stream);
    size_t size_max = 4 << 20;
    char *text = malloc(size_max);
    size_t size = fread(text, 1, size_max - 1, stream);
    text[size] = '\0';
    fclose(stream);
    return text;
}

static void
expect_text(const char *path, const char *pattern)
{
    char *text = file_read(path);
    regex_t regex;
    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    cr_expect_eq(regexec(&regex, text, 0, NULL, 0), 0, "%s does not match %s", text, pattern);
    regfree(&regex);
    free(text);
}

#define STAMP "[0-9]{2} [A-Z][a-z]{2} 20[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}"

Test(log, line_format_and_marks)
{
    struct log_file file;
    log_file_create(&file);
    log_level_set(file.log, LOG_DEBUG_LEVEL);
    log_write(file.log, LOG_DEBUG_LEVEL, "one %d", 1);
    log_write(file.log, LOG_VERBOSE_LEVEL, "two %s", "2");
    log_write(file.log, LOG_NOTICE_LEVEL, "three");
    log_role_set(file.log, LOG_ROLE_REPLICA);
    log_write(file.log, LOG_WARNING_LEVEL, "%s", "");
    char pattern[512];
    int pid = (int)getpid();
    snprintf(pattern, sizeof(pattern),
             "^%d:M " STAMP " \\. one 1\n%d:M " STAMP " - two 2\n%d:M " STAMP
             " \\* three\n%d:S " STAMP " # \n$",
             pid, pid, pid, pid);
    expect_text(file.path, pattern);
    log_file_destroy(&file);
}

Test(log, levels_below_are_dropped)
{
    struct log_file file;
    log_file_create(&file);
    cr_assert_eq(log_level_get(file.log), LOG_NOTICE_LEVEL);
    log_write(file.log, LOG_VERBOSE_LEVEL, "no");
    log_write(file.log, LOG_NOTICE_LEVEL, "yes");
    log_level_set(file.log, LOG_WARNING_LEVEL);
    log_write(file.log, LOG_NOTICE_LEVEL, "no");
    log_write(file.log, LOG_WARNING_LEVEL, "yes");
    expect_text(file.path, "^[^\n]* \\* yes\n[^\n]* # yes\n$");
    log_file_destroy(&file);
}

Test(log, long_messages_are_cut_and_errno_survives)
{
    struct log_file file;
    log_file_create(&file);
    char message[3000];
    memset(message, 'x', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    errno = ENOENT;
    log_write(file.log, LOG_NOTICE_LEVEL, "%s", message);
    cr_assert_eq(errno, ENOENT);
    log_write(file.log, LOG_NOTICE_LEVEL, "%m");
    char *text = file_read(file.path);
    char *end = strchr(text, '\n');
    cr_assert_not_null(end);
    cr_assert_eq(end - text + 1, LOG_LINE_SIZE_MAX);
    cr_assert_eq(end[-1], 'x');
    cr_assert_not_null(strstr(end, strerror(ENOENT)));
    free(text);
    log_file_destroy(&file);
}

Test(log, every_size_around_the_longest_line)
{
    struct log_file file;
    log_file_create(&file);
    char message[LOG_LINE_SIZE_MAX];
    memset(message, 'y', sizeof(message));
    int line_count = 0;
    for (int size = LOG_LINE_SIZE_MAX - 60; size < LOG_LINE_SIZE_MAX; size++) {
        log_write(file.log, LOG_NOTICE_LEVEL, "%.*s", size, message);
        line_count++;
    }
    char *text = file_read(file.path);
    char *line = text;
    for (int i = 0; i < line_count; i++) {
        char *end = strchr(line, '\n');
        cr_assert_not_null(end);
        cr_assert_leq(end - line + 1, LOG_LINE_SIZE_MAX);
        cr_assert_eq(end[-1], 'y');
        line = end + 1;
    }
    cr_assert_eq(*line, '\0');
    free(text);
    log_file_destroy(&file);
}

Test(log, a_path_that_cannot_be_opened_changes_nothing)
{
    struct log_file file;
    log_file_create(&file);
    cr_assert_eq(log_open(file.log, "/nonexistent/directory/log"), -ENOENT);
    log_write(file.log, LOG_NOTICE_LEVEL, "still here");
    expect_text(file.path, "^[^\n]* still here\n$");
    log_file_destroy(&file);
}

Test(log, a_rotated_file_is_let_go_and_lines_are_appended)
{
    struct log_file file;
    log_file_create(&file);
    char rotated[80];
    snprintf(rotated, sizeof(rotated), "%s.1", file.path);
    log_write(file.log, LOG_NOTICE_LEVEL, "old");
    cr_assert_eq(rename(file.path, rotated), 0);
    log_write(file.log, LOG_NOTICE_LEVEL, "old too");
    cr_assert_eq(log_open(file.log, file.path), 0);
    log_write(file.log, LOG_NOTICE_LEVEL, "new");
    cr_assert_eq(log_open(file.log, file.path), 0);
    log_write(file.log, LOG_NOTICE_LEVEL, "newer");
    expect_text(rotated, "^[^\n]* old\n[^\n]* old too\n$");
    expect_text(file.path, "^[^\n]* new\n[^\n]* newer\n$");
    unlink(rotated);
    log_file_destroy(&file);
}

Test(log, standard_output_is_the_default_and_comes_back)
{
    struct log_file file;
    log_file_create(&file);
    char out[80];
    snprintf(out, sizeof(out), "%s.out", file.path);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        /* In a child: the test's own output goes elsewhere. */
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) {
            _exit(1);
        }
        struct log *log = log_new();
        log_write(log, LOG_NOTICE_LEVEL, "first");
        int rc = log_open(log, file.path);
        log_write(log, LOG_NOTICE_LEVEL, "second");
        rc |= log_open(log, "");
        log_write(log, LOG_NOTICE_LEVEL, "third");
        log_delete(log);
        _exit(rc == 0 ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    expect_text(out, "^[^\n]* first\n[^\n]* third\n$");
    expect_text(file.path, "^[^\n]* second\n$");
    unlink(out);
    log_file_destroy(&file);
}

static void *
write_lines(void *argument)
{
    struct log *log = argument;
    for (int i = 0; i < THREAD_LINE_COUNT; i++) {
        log_write(log, LOG_NOTICE_LEVEL, "line %d of a thread, %s", i, "long enough to tear");
    }
    return NULL;
}

Test(log, threads_write_whole_lines_while_the_file_is_reopened)
{
    struct log_file file;
    log_file_create(&file);
    pthread_t threads[THREAD_COUNT];
    for (int i = 0; i < THREAD_COUNT; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, file.log), 0);
    }
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(log_open(file.log, file.path), 0);
    }
    for (int i = 0; i < THREAD_COUNT; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    char *text = file_read(file.path);
    int line_count = 0;
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        cr_assert_not_null(end);
        *end = '\0';
        cr_assert_eq(atoi(line), (int)getpid());
        cr_assert_str_eq(end - strlen("long enough to tear"), "long enough to tear");
        line = end + 1;
        line_count++;
    }
    cr_assert_eq(line_count, THREAD_COUNT * THREAD_LINE_COUNT);
    free(text);
    log_file_destroy(&file);
}
