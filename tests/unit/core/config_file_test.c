/* config_file_test.c: files, the command line and CONFIG REWRITE; messages of redis-server 7.0.15
 * recorded. */
#include "core/config.h"

#include "core/config_internal.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FATAL "\n*** FATAL CONFIG FILE ERROR (Tessera " TESSERA_VERSION ") ***\n"

/** A folder of its own for each test; removed with what is in it by folder_delete(). */
struct folder {
    char path[64];
};

static struct folder
folder_new(void)
{
    struct folder folder = {"/tmp/tessera-config-XXXXXX"};
    cr_assert_not_null(mkdtemp(folder.path));
    return folder;
}

static char *
folder_file(const struct folder *folder, const char *name, const char *text)
{
    char *path = NULL;
    cr_assert_geq(asprintf(&path, "%s/%s", folder->path, name), 0);
    if (text != NULL) {
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        fputs(text, file);
        fclose(file);
    }
    return path;
}

static void
folder_delete(const struct folder *folder, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *path = folder_file(folder, names[i], NULL);
        unlink(path);
        free(path);
    }
    /* Fails where a temporary file was left behind. */
    cr_assert_eq(rmdir(folder->path), 0, "%s: %s", folder->path, strerror(errno));
}

static int
load(struct config *config, const char *text, char *error, size_t error_size)
{
    return config_load_text(config, slice_of_string(text), error, error_size);
}

/* ---- lines ---- */

static const struct {
    const char *text;
    uint32_t line;
    const char *shown;
    const char *why;
} oracle_errors[] = {
    {"foo bar\n", 1, "foo bar", "Bad directive or wrong number of arguments"},
    {"port abc\n", 1, "port abc", "argument couldn't be parsed into an integer"},
    {"port\n", 1, "port", "wrong number of arguments"},
    {"port 1 2\n", 1, "port 1 2", "wrong number of arguments"},
    {"# c\n\nport \"abc\n", 3, "port \"abc", "Unbalanced quotes in configuration line"},
    {"include /nonexist*\nfoo\n", 2, "foo", "Bad directive or wrong number of arguments"},
    {"include\n", 1, "include", "Bad directive or wrong number of arguments"},
    {"include a b\n", 1, "include a b", "Bad directive or wrong number of arguments"},
    {"rename-command\n", 1, "rename-command", "Bad directive or wrong number of arguments"},
    {"maxclients 0\n", 1, "maxclients 0", "argument must be between 1 and 4294967295 inclusive"},
    {"loglevel zz\n", 1, "loglevel zz",
     "argument(s) must be one of the following: debug, verbose, notice, warning"},
    {"client-output-buffer-limit normal 0\n", 1, "client-output-buffer-limit normal 0",
     "Wrong number of arguments in buffer limit configuration."},
    {"client-output-buffer-limit \"normal 0 0 0\" replica 0 0 0\n", 1,
     "client-output-buffer-limit \"normal 0 0 0\" replica 0 0 0",
     "Wrong number of arguments in buffer limit configuration."},
    {"client-output-buffer-limit \"normal 0 0 0\"\nfoo\n", 2, "foo",
     "Bad directive or wrong number of arguments"},
    {"client-output-buffer-limit\nbind\nsave\nfoo\n", 4, "foo",
     "Bad directive or wrong number of arguments"},
    {"save 1 a\n", 1, "save 1 a", "Invalid save parameters"},
    {"dir /nonexist\n", 1, "dir /nonexist", "No such file or directory"},
    {"  \t port\t0 \r\nfoo\n", 2, "foo", "Bad directive or wrong number of arguments"},
    {"loglevel 'zz\\'x'\n", 1, "loglevel 'zz\\'x'",
     "argument(s) must be one of the following: debug, verbose, notice, warning"},
    {"loglevel \"a\"b\n", 1, "loglevel \"a\"b", "Unbalanced quotes in configuration line"},
    {"loglevel 'a'b\n", 1, "loglevel 'a'b", "Unbalanced quotes in configuration line"},
    {"a\"\n", 1, "a\"", "Unbalanced quotes in configuration line"},
    {"\"por\\x74\" abc\n", 1, "\"por\\x74\" abc", "argument couldn't be parsed into an integer"},
    {"unixsocketperm 999\n", 1, "unixsocketperm 999",
     "argument couldn't be parsed as an octal number"},
    {"unixsocketperm 1777\n", 1, "unixsocketperm 1777",
     "argument must be between 0 and 777 inclusive"},
    {"oom-score-adj-values 1 2 3 4\n", 1, "oom-score-adj-values 1 2 3 4",
     "wrong number of arguments"},
    {"bind 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7\n", 1, "bind 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7",
     "Too many bind addresses specified."},
    {"port 1 #x\n", 1, "port 1 #x", "wrong number of arguments"},
    {"supervised x\n", 1, "supervised x",
     "argument(s) must be one of the following: upstart, systemd, auto, no"},
    {"io-threads 200\n", 1, "io-threads 200", "argument must be between 1 and 128 inclusive"},
    {"maxmemory-clients 101%\n", 1, "maxmemory-clients 101%",
     "percentage argument must be less or equal to 100"},
    {"proc-title-template \"\"\n", 1, "proc-title-template \"\"",
     "template format is invalid or contains unknown variables"},
    {"appendfilename a/b\n", 1, "appendfilename a/b",
     "appendfilename can't be a path, just a filename"},
    {"appenddirname \"\"\n", 1, "appenddirname \"\"", "appenddirname can't be empty"},
    {"unixsocketperm -1\n", 1, "unixsocketperm -1", "argument must be between 0 and 777 inclusive"},
    {"dbfilename \\\n", 1, "dbfilename \\", "dbfilename can't be a path, just a filename"},
    {"proc-title-template {title}\n", 1, "proc-title-template {title}",
     "template format is invalid or contains unknown variables"},
    {"tcp-backlog -1\n", 1, "tcp-backlog -1",
     "argument must be between 0 and 2147483647 inclusive"},
    {"enable-debug-command x\n", 1, "enable-debug-command x",
     "argument(s) must be one of the following: no, yes, local"},
    {"sentinel a\n", 1, "sentinel a", "sentinel directive while not in sentinel mode"},
    /* Ours. */
    {"rename-command FLUSHALL x\n", 1, "rename-command FLUSHALL x",
     "'rename-command' is not supported yet by this version of Tessera"},
    {"io-threads 4\n", 1, "io-threads 4",
     "'io-threads 4' is not supported: every core does its own input and output: set `shards`"},
    {"replicaof 10.0.0.1 6379\n", 1, "replicaof 10.0.0.1 6379",
     "'replicaof 10.0.0.1 6379' is not supported yet by this version of Tessera"},
};

Test(config_file, errors_are_told_as_redis_tells_them)
{
    for (size_t i = 0; i < ARRAY_COUNT(oracle_errors); i++) {
        struct config *config = config_new();
        char error[2048] = "";
        char expected[2048];
        snprintf(expected, sizeof(expected),
                 FATAL "Reading the configuration file, at line %u\n>>> '%s'\n%s",
                 oracle_errors[i].line, oracle_errors[i].shown, oracle_errors[i].why);
        cr_assert_eq(load(config, oracle_errors[i].text, error, sizeof(error)), -EINVAL, "%s",
                     oracle_errors[i].text);
        cr_assert_str_eq(error, expected, "%s\ninstead of\n%s", error, expected);
        config_delete(config);
    }
}

/** The directives of the redis.conf that Debian 12 installs, but for the paths that need its user.
 */
static const char debian_file[] =
    "bind 127.0.0.1 -::1\nprotected-mode yes\nport 6379\ntcp-backlog 511\ntimeout 0\n"
    "tcp-keepalive 300\ndaemonize yes\npidfile /run/redis/redis-server.pid\nloglevel notice\n"
    "logfile /var/log/redis/redis-server.log\ndatabases 16\nalways-show-logo no\n"
    "set-proc-title yes\nproc-title-template \"{title} {listen-addr} {server-mode}\"\n"
    "stop-writes-on-bgsave-error yes\nrdbcompression yes\nrdbchecksum yes\n"
    "dbfilename dump.rdb\nrdb-del-sync-files no\ndir /tmp\nreplica-serve-stale-data yes\n"
    "replica-read-only yes\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 5\n"
    "repl-diskless-sync-max-replicas 0\nrepl-diskless-load disabled\n"
    "repl-disable-tcp-nodelay no\nreplica-priority 100\nacllog-max-len 128\n"
    "lazyfree-lazy-eviction no\nlazyfree-lazy-expire no\nlazyfree-lazy-server-del no\n"
    "replica-lazy-flush no\nlazyfree-lazy-user-del no\nlazyfree-lazy-user-flush no\n"
    "oom-score-adj no\noom-score-adj-values 0 200 800\ndisable-thp yes\nappendonly no\n"
    "appendfilename \"appendonly.aof\"\nappenddirname \"appendonlydir\"\nappendfsync everysec\n"
    "no-appendfsync-on-rewrite no\nauto-aof-rewrite-percentage 100\n"
    "auto-aof-rewrite-min-size 64mb\naof-load-truncated yes\naof-use-rdb-preamble yes\n"
    "aof-timestamp-enabled no\nslowlog-log-slower-than 10000\nslowlog-max-len 128\n"
    "latency-monitor-threshold 0\nnotify-keyspace-events \"\"\nhash-max-listpack-entries 512\n"
    "hash-max-listpack-value 64\nlist-max-listpack-size -2\nlist-compress-depth 0\n"
    "set-max-intset-entries 512\nzset-max-listpack-entries 128\nzset-max-listpack-value 64\n"
    "hll-sparse-max-bytes 3000\nstream-node-max-bytes 4096\nstream-node-max-entries 100\n"
    "activerehashing yes\nclient-output-buffer-limit normal 0 0 0\n"
    "client-output-buffer-limit replica 256mb 64mb 60\n"
    "client-output-buffer-limit pubsub 32mb 8mb 60\nhz 10\ndynamic-hz yes\n"
    "aof-rewrite-incremental-fsync yes\nrdb-save-incremental-fsync yes\njemalloc-bg-thread yes\n";

Test(config_file, an_ordinary_file_loads)
{
    struct config *config = config_new();
    char error[1024] = "";
    cr_assert_eq(load(config, debian_file, error, sizeof(error)), 0, "%s", error);
    cr_assert(config->daemonize);
    cr_assert_str_eq(config->bind.items[1], "-::1");
    cr_assert_str_eq(config->dir, "/tmp");
    cr_assert_not(config_differs(config, config, "bind"));
    config_delete(config);
}

Test(config_file, quotes_and_escapes)
{
    struct config *config = config_new();
    char error[1024] = "";
    const char *text = "LOGFILE \"a\\\"b\\x41\\n\\t\\q\\\\ c\"\n"
                       "unixsocket 'x \"\\n\\'y'\npidfile a\"b c\"\nsyslog-ident '' # no";
    cr_assert_eq(load(config, text, error, sizeof(error)), -EINVAL);
    cr_assert_str_eq(config->logfile, "a\"bA\n\tq\\ c");
    cr_assert_str_eq(config->unixsocket, "x \"\\n'y");
    cr_assert_str_eq(config->pidfile, "ab c");
    cr_assert_eq(load(config, "logfile \"a\\x00b\"", error, sizeof(error)), -EINVAL);
    config_delete(config);
}

Test(config_file, random_words_survive_quoting)
{
    uint64_t seed = random_system_seed();
    struct random random;
    random_create(&random, seed);
    for (uint32_t round = 0; round < 20000; round++) {
        char bytes[3][24];
        struct slice words[3];
        struct config_text line = {0};
        uint32_t count = 1 + (uint32_t)random_below(&random, 3);
        for (uint32_t i = 0; i < count; i++) {
            size_t size = random_below(&random, sizeof(bytes[i]));
            for (size_t j = 0; j < size; j++) {
                /* Half of the bytes are those that mean something. */
                bytes[i][j] = random_below(&random, 2) == 0
                                  ? "\"'\\ \n\tx0#"[random_below(&random, 9)]
                                  : (char)random_below(&random, 256);
            }
            words[i] = slice_of(bytes[i], size);
            config_text_append(&line, i == 0 ? SLICE("") : SLICE(" "));
            config_text_append_quoted(&line, words[i]);
        }
        struct config_words split;
        cr_assert(config_words_split(&split, config_text_slice(&line)), "seed %" PRIu64, seed);
        cr_assert_eq(split.count, count, "seed %" PRIu64, seed);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(slice_equal(split.items[i], words[i]), "seed %" PRIu64 ": %s", seed,
                      line.data);
        }
        config_words_destroy(&split);
        config_text_destroy(&line);
    }
}

Test(config_file, random_text_neither_crashes_nor_sets_half_a_line)
{
    static const char *const pieces[] = {
        "port ",    "bind ",
        "timeout ", "client-output-buffer-limit ",
        "save ",    "\"",
        "'",        "\\",
        "\\x4",     " ",
        "\n",       "\r",
        "7",        "-1",
        "1mb",      "normal ",
        "0 ",       "include /nonexist*",
        "#",        "a",
        "latency-",
    };
    uint64_t seed = random_system_seed();
    struct random random;
    random_create(&random, seed);
    for (uint32_t round = 0; round < 5000; round++) {
        struct config *config = config_new();
        struct config_text text = {0};
        char error[2048] = "";
        for (uint64_t i = random_below(&random, 12); i > 0; i--) {
            config_text_append(&text,
                               slice_of_string(pieces[random_below(&random, ARRAY_COUNT(pieces))]));
        }
        int rc = config_load_text(config, config_text_slice(&text), error, sizeof(error));
        cr_assert_eq(rc < 0, error[0] != '\0', "seed %" PRIu64, seed);
        cr_assert_leq(config->port, 65535, "seed %" PRIu64, seed);
        config_text_destroy(&text);
        config_delete(config);
    }
}

/* ---- include ---- */

Test(config_file, includes_nest_and_globs_may_be_empty)
{
    struct folder folder = folder_new();
    char text[512];
    char error[1024] = "";
    char *one = folder_file(&folder, "one.conf", "timeout 5\nmaxclients 77\n");
    snprintf(text, sizeof(text), "maxclients 5\ninclude %s/o*.conf\ninclude %s/none*\ntimeout 6\n",
             folder.path, folder.path);
    char *main_file = folder_file(&folder, "main.conf", text);
    struct config *config = config_new();
    snprintf(text, sizeof(text), "include \"%s\"", main_file);
    cr_assert_eq(load(config, text, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(config->maxclients, 77);
    cr_assert_eq(config->timeout_s, 6);
    char *bad = folder_file(&folder, "bad.conf", "\nfoo\n");
    snprintf(text, sizeof(text), "include %s", bad);
    cr_assert_eq(load(config, text, error, sizeof(error)), -EINVAL);
    char expected[1024];
    snprintf(expected, sizeof(expected),
             FATAL "Reading the configuration file '%s', at line 2\n>>> 'foo'\n"
                   "Bad directive or wrong number of arguments",
             bad);
    cr_assert_str_eq(error, expected);
    config_delete(config);
    free(one);
    free(main_file);
    free(bad);
    folder_delete(&folder, (const char *const[]){"one.conf", "main.conf", "bad.conf"}, 3);
}

Test(config_file, a_file_that_includes_itself_ends)
{
    struct folder folder = folder_new();
    char text[128];
    char error[1024] = "";
    snprintf(text, sizeof(text), "include %s/a.conf\n", folder.path);
    free(folder_file(&folder, "a.conf", text));
    struct config *config = config_new();
    cr_assert_eq(load(config, text, error, sizeof(error)), -EINVAL);
    cr_assert_not_null(strstr(error, "Too many nested include directives"));
    cr_assert_eq(load(config, "include /nonexistent\n", error, sizeof(error)), -ENOENT);
    cr_assert_str_eq(error, "Fatal error, can't open config file '/nonexistent': No such file or "
                            "directory");
    config_delete(config);
    folder_delete(&folder, (const char *const[]){"a.conf"}, 1);
}

/* ---- the command line ---- */

#define ARGUMENT_COUNT_MAX 10

static int
load_arguments(struct config *config, const char *const *arguments, char *error, size_t error_size)
{
    char *argv[ARGUMENT_COUNT_MAX + 2] = {(char *)"tessera-server"};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)arguments[argc - 1];
    }
    return config_load(config, argc, argv, error, error_size);
}

Test(config_args, arguments_are_lines_behind_the_file)
{
    static const struct {
        const char *arguments[ARGUMENT_COUNT_MAX];
        uint32_t line;
        const char *shown;
        const char *why;
    } cases[] = {
        {{"--foo"}, 2, "foo", "Bad directive or wrong number of arguments"},
        {{"--port"}, 2, "port", "wrong number of arguments"},
        {{"--port", "1", "2"}, 2, "port \"1\" \"2\"", "wrong number of arguments"},
        {{"--port", "99999"},
         2,
         "port \"99999\"",
         "argument must be between 0 and 65535 inclusive"},
        {{"--port=5"}, 2, "port=5", "Bad directive or wrong number of arguments"},
        {{"--save", "--port", "abc"},
         3,
         "port \"abc\"",
         "argument couldn't be parsed into an integer"},
        {{"--save", "--foo"}, 3, "foo", "Bad directive or wrong number of arguments"},
        {{"--loglevel", "--save"},
         2,
         "loglevel \"--save\"",
         "argument(s) must be one of the following: debug, verbose, notice, warning"},
        {{"--port", "\"7"}, 2, "port \"\\\"7\"", "argument couldn't be parsed into an integer"},
        {{"--loglevel", "a b"},
         2,
         "loglevel \"a b\"",
         "argument(s) must be one of the following: debug, verbose, notice, warning"},
        {{"--timeout", "-5"},
         2,
         "timeout \"-5\"",
         "argument must be between 0 and 2147483647 inclusive"},
        {{"--logfile", "--port", "77", "--foo"},
         2,
         "logfile \"--port\" \"77\"",
         "wrong number of arguments"},
        {{"-port", "5"}, 2, "\"-port\" \"5\"", "Bad directive or wrong number of arguments"},
        {{"--oom-score-adj-values", "1", "-2", "--foo"},
         2,
         "oom-score-adj-values \"1\" \"-2\"",
         "wrong number of arguments"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct config *config = config_new();
        char error[1024] = "";
        char expected[1024];
        snprintf(expected, sizeof(expected),
                 FATAL "Reading the configuration file, at line %u\n>>> '%s'\n%s", cases[i].line,
                 cases[i].shown, cases[i].why);
        cr_assert_eq(load_arguments(config, cases[i].arguments, error, sizeof(error)), -EINVAL);
        cr_assert_str_eq(error, expected, "%s", error);
        config_delete(config);
    }
}

Test(config_args, a_file_and_arguments)
{
    struct folder folder = folder_new();
    char *path = folder_file(&folder, "a.conf", "port 1\ntimeout 9\n");
    struct config *config = config_new();
    char error[1024] = "";
    const char *good[ARGUMENT_COUNT_MAX] = {path,     "--port",    "7000", "--shards", "2",
                                            "--bind", "127.0.0.1", "::1",  "--save"};
    cr_assert_eq(load_arguments(config, good, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(config->port, 7000);
    cr_assert_eq(config->timeout_s, 9);
    cr_assert_eq(config->shards, 2);
    cr_assert_eq(config->bind.count, 2);
    cr_assert_str_eq(config->file_path, path);
    const char *bad[ARGUMENT_COUNT_MAX] = {path, "--port", "abc"};
    cr_assert_eq(load_arguments(config, bad, error, sizeof(error)), -EINVAL);
    cr_assert_not_null(strstr(error, "at line 4\n>>> 'port \"abc\"'"), "%s", error);
    config_delete(config);
    free(path);
    folder_delete(&folder, (const char *const[]){"a.conf"}, 1);
}

Test(config_args, questions_about_the_program)
{
    struct config *config = config_new();
    char error[1024] = "";
    const char *const help[] = {"--help", NULL};
    const char *const version[] = {"-v", NULL};
    const char *const nothing[] = {NULL};
    const char *const missing[] = {"/nonexistent.conf", NULL};
    cr_assert_eq(load_arguments(config, help, error, sizeof(error)), CONFIG_REQUEST_HELP);
    cr_assert_eq(load_arguments(config, version, error, sizeof(error)), CONFIG_REQUEST_VERSION);
    cr_assert_eq(load_arguments(config, nothing, error, sizeof(error)), 0);
    cr_assert_eq(load_arguments(config, missing, error, sizeof(error)), -ENOENT);
    cr_assert_str_eq(error, "Fatal error, can't open config file '/nonexistent.conf': No such "
                            "file or directory");
    config_delete(config);
}

/* ---- CONFIG REWRITE ---- */

static char *
file_text(const char *path)
{
    struct config_text text = {0};
    cr_assert_eq(config_file_read(&text, path), 0);
    return text.data;
}

static void
set(struct config *config, const char *name, const char *value)
{
    struct config_pair pair = {slice_of_string(name), slice_of_string(value)};
    char error[512] = "";
    cr_assert_eq(config_set(config, &pair, 1, CONFIG_PEER_LOCAL, error, sizeof(error)), 0, "%s",
                 error);
}

Test(config_rewrite, needs_a_file)
{
    struct config *config = config_new();
    char error[256];
    cr_assert_lt(config_rewrite(config, error, sizeof(error)), 0);
    cr_assert_str_eq(error, "ERR The server is running without a config file");
    config->file_path = config_string_copy(SLICE("/nonexistent/a.conf"));
    cr_assert_lt(config_rewrite(config, error, sizeof(error)), 0);
    cr_assert_str_eq(error, "ERR Rewriting config file: No such file or directory");
    config_delete(config);
}

Test(config_rewrite, keeps_what_is_true_and_changes_the_rest)
{
    struct folder folder = folder_new();
    char *path = folder_file(&folder, "a.conf",
                             "# hello\ntimeout 3\n\n\n  proto-max-bulk-len   64mb\nsave \"\"\n"
                             "include /nonexist*\nclient-output-buffer-limit replica 1mb 2mb 10\n"
                             "hash-max-ziplist-entries 100\ntimeout 4\nloglevel debug\ndir /tmp\n"
                             "client-output-buffer-limit pubsub 1mb 2mb 10\nport 0\n# tail");
    chmod(path, 0640);
    struct config *config = config_new();
    char error[512] = "";
    const char *arguments[ARGUMENT_COUNT_MAX] = {path, "--tcp-keepalive", "77"};
    cr_assert_eq(load_arguments(config, arguments, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(config_rewrite(config, error, sizeof(error)), 0, "%s", error);
    char *text = file_text(path);
    cr_assert_str_eq(text, "# hello\ntimeout 4\n\n\n  proto-max-bulk-len   64mb\nsave \"\"\n"
                           "include /nonexist*\nclient-output-buffer-limit replica 1mb 2mb 10\n"
                           "hash-max-ziplist-entries 100\nloglevel debug\ndir /tmp\n"
                           "client-output-buffer-limit pubsub 1mb 2mb 10\nport 0\n# tail\n"
                           "# Generated by CONFIG REWRITE\ntcp-keepalive 77\n");
    free(text);
    set(config, "loglevel", "notice");
    set(config, "hash-max-listpack-entries", "200");
    set(config, "client-output-buffer-limit", "normal 1mb 1025 3");
    set(config, "tcp-keepalive", "300");
    set(config, "bind", "127.0.0.1 -::1");
    set(config, "proc-title-template", "a \"{port}\"");
    cr_assert_eq(config_rewrite(config, error, sizeof(error)), 0, "%s", error);
    text = file_text(path);
    cr_assert_str_eq(text,
                     "# hello\ntimeout 4\n\n\n  proto-max-bulk-len   64mb\nsave \"\"\n"
                     "include /nonexist*\nclient-output-buffer-limit normal 1mb 1025 3\n"
                     "client-output-buffer-limit replica 1mb 2mb 10\n"
                     "client-output-buffer-limit pubsub 1mb 2mb 10\n"
                     "hash-max-listpack-entries 200\nloglevel notice\ndir /tmp\nport 0\n# tail\n"
                     "# Generated by CONFIG REWRITE\ntcp-keepalive 300\nbind 127.0.0.1 -::1\n"
                     "proc-title-template \"a \\\"{port}\\\"\"\n",
                     "%s", text);
    free(text);
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0640);
    config_delete(config);
    free(path);
    folder_delete(&folder, (const char *const[]){"a.conf"}, 1);
}

/** Set what the row takes at random; NOT_YET rows stay as they are. */
static void
set_random(struct config *config, const struct config_row *row, struct random *random)
{
    char value[128] = "";
    struct config_reason reason;
    switch (row->kind) {
    case CONFIG_KIND_BOOL:
        snprintf(value, sizeof(value), "%s", random_below(random, 2) == 0 ? "yes" : "no");
        break;
    case CONFIG_KIND_INT:
    case CONFIG_KIND_PERCENT:
        snprintf(value, sizeof(value), "%" PRIu64, random_below(random, 500));
        break;
    case CONFIG_KIND_OCTAL:
        snprintf(value, sizeof(value), "%o", (unsigned)random_below(random, 512));
        break;
    case CONFIG_KIND_MEMORY:
        snprintf(value, sizeof(value), "%" PRIu64 "%s", random_below(random, 9) + 1,
                 random_below(random, 2) == 0 ? "mb" : "000001");
        break;
    case CONFIG_KIND_ENUM: {
        uint32_t count = 0;
        while (row->words[count].word != NULL) {
            count++;
        }
        snprintf(value, sizeof(value), "%s", row->words[random_below(random, count)].word);
        break;
    }
    case CONFIG_KIND_STRING:
        for (size_t i = 0; i < 8; i++) {
            value[i] = "a\"' \\\n#\xff"[random_below(random, 8)];
        }
        break;
    case CONFIG_KIND_LIST:
        snprintf(value, sizeof(value), "%" PRIu64 " 7", random_below(random, 100));
        break;
    case CONFIG_KIND_LIMITS:
        snprintf(value, sizeof(value), "pubsub %" PRIu64 "kb 0 5", random_below(random, 5000));
        break;
    }
    struct slice word = slice_of_string(value);
    if ((row->flags & (CONFIG_NOT_YET | CONFIG_NEVER | CONFIG_KEPT)) == 0) {
        bool is_set = config_assign(config, row, &word, 1, &reason);
        MAYBE(is_set);
    }
}

Test(config_rewrite, random_changes_come_back)
{
    uint64_t seed = random_system_seed();
    struct random random;
    random_create(&random, seed);
    struct folder folder = folder_new();
    char *path = folder_file(&folder, "a.conf", "# first\ntimeout 1\nport 5\n");
    struct config *config = config_new();
    config->file_path = config_string_copy(slice_of_string(path));
    uint32_t row_count;
    const struct config_row *rows = config_rows(&row_count);
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 5; i++) {
            set_random(config, &rows[random_below(&random, row_count)], &random);
        }
        char error[1024] = "";
        cr_assert_eq(config_rewrite(config, error, sizeof(error)), 0, "%s", error);
        char *text = file_text(path);
        struct config *again = config_new();
        cr_assert_eq(load(again, text, error, sizeof(error)), 0, "seed %" PRIu64 ": %s", seed,
                     error);
        for (uint32_t i = 0; i < row_count; i++) {
            cr_assert_not(config_differs(config, again, rows[i].name), "seed %" PRIu64 ": %s\n%s",
                          seed, rows[i].name, text);
        }
        cr_assert_eq(config_rewrite(config, error, sizeof(error)), 0);
        char *same = file_text(path);
        cr_assert_str_eq(text, same, "seed %" PRIu64, seed);
        free(same);
        free(text);
        config_delete(again);
    }
    config_delete(config);
    free(path);
    folder_delete(&folder, (const char *const[]){"a.conf"}, 1);
}

Test(config_rewrite, a_symbolic_link_stays_one)
{
    struct folder folder = folder_new();
    char *target = folder_file(&folder, "target.conf", "timeout 1\n");
    char *path = folder_file(&folder, "link.conf", NULL);
    cr_assert_eq(symlink("target.conf", path), 0);
    struct config *config = config_new();
    char error[512] = "";
    config->file_path = config_string_copy(slice_of_string(path));
    config->timeout_s = 2;
    cr_assert_eq(config_rewrite(config, error, sizeof(error)), 0, "%s", error);
    struct stat status;
    cr_assert_eq(lstat(path, &status), 0);
    cr_assert(S_ISLNK(status.st_mode));
    char *text = file_text(target);
    cr_assert_not_null(strstr(text, "timeout 2\n"));
    free(text);
    config_delete(config);
    free(target);
    free(path);
    folder_delete(&folder, (const char *const[]){"target.conf", "link.conf"}, 2);
}
