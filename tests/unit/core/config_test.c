/* config_test.c: the table, CONFIG SET and CONFIG GET; answers of redis-server 7.0.15 recorded. */
#include "core/config.h"

#include "core/config_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/** What CONFIG GET answered without a configuration file, for each directive that both have. */
static const struct {
    const char *name;
    const char *value;
} oracle_defaults[] = {
    {"bind", "* -::*"},
    {"unixsocket", ""},
    {"unixsocketperm", "0"},
    {"tcp-backlog", "511"},
    {"tcp-keepalive", "300"},
    {"timeout", "0"},
    {"protected-mode", "yes"},
    {"maxclients", "10000"},
    {"client-query-buffer-limit", "1073741824"},
    {"client-output-buffer-limit",
     "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"},
    {"proto-max-bulk-len", "536870912"},
    {"requirepass", ""},
    {"aclfile", ""},
    {"acllog-max-len", "128"},
    {"acl-pubsub-default", "resetchannels"},
    {"tracking-table-max-keys", "1000000"},
    {"maxmemory-clients", "0"},
    {"bind-source-addr", ""},
    {"socket-mark-id", "0"},
    {"tls-port", "0"},
    {"tls-replication", "no"},
    {"tls-cluster", "no"},
    {"tls-cert-file", ""},
    {"tls-key-file", ""},
    {"tls-ca-cert-file", ""},
    {"tls-ca-cert-dir", ""},
    {"tls-key-file-pass", ""},
    {"tls-client-cert-file", ""},
    {"tls-client-key-file", ""},
    {"tls-client-key-file-pass", ""},
    {"tls-dh-params-file", ""},
    {"tls-auth-clients", "yes"},
    {"tls-protocols", ""},
    {"tls-ciphers", ""},
    {"tls-ciphersuites", ""},
    {"tls-prefer-server-ciphers", "no"},
    {"tls-session-caching", "yes"},
    {"tls-session-cache-size", "20480"},
    {"tls-session-cache-timeout", "300"},
    {"databases", "16"},
    {"daemonize", "no"},
    {"supervised", "no"},
    {"loglevel", "notice"},
    {"logfile", ""},
    {"syslog-enabled", "no"},
    {"syslog-facility", "local0"},
    {"always-show-logo", "no"},
    {"set-proc-title", "yes"},
    {"proc-title-template", "{title} {listen-addr} {server-mode}"},
    {"crash-log-enabled", "yes"},
    {"crash-memcheck-enabled", "yes"},
    {"disable-thp", "yes"},
    {"oom-score-adj", "no"},
    {"oom-score-adj-values", "0 200 800"},
    {"enable-debug-command", "no"},
    {"enable-protected-configs", "no"},
    {"enable-module-command", "no"},
    {"shutdown-timeout", "10"},
    {"shutdown-on-sigint", "default"},
    {"shutdown-on-sigterm", "default"},
    {"ignore-warnings", ""},
    {"hz", "10"},
    {"dynamic-hz", "yes"},
    {"io-threads", "1"},
    {"io-threads-do-reads", "no"},
    {"server_cpulist", ""},
    {"bio_cpulist", ""},
    {"aof_rewrite_cpulist", ""},
    {"bgsave_cpulist", ""},
    {"slowlog-log-slower-than", "10000"},
    {"slowlog-max-len", "128"},
    {"latency-tracking", "yes"},
    {"latency-tracking-info-percentiles", "50 99 99.9"},
    {"latency-monitor-threshold", "0"},
    {"notify-keyspace-events", ""},
    {"maxmemory", "0"},
    {"maxmemory-policy", "noeviction"},
    {"maxmemory-samples", "5"},
    {"maxmemory-eviction-tenacity", "10"},
    {"lfu-log-factor", "10"},
    {"lfu-decay-time", "1"},
    {"active-expire-effort", "1"},
    {"lazyfree-lazy-eviction", "no"},
    {"lazyfree-lazy-expire", "no"},
    {"lazyfree-lazy-server-del", "no"},
    {"lazyfree-lazy-user-del", "no"},
    {"lazyfree-lazy-user-flush", "no"},
    {"activerehashing", "yes"},
    {"activedefrag", "no"},
    {"active-defrag-ignore-bytes", "104857600"},
    {"active-defrag-threshold-lower", "10"},
    {"active-defrag-threshold-upper", "100"},
    {"active-defrag-cycle-min", "1"},
    {"active-defrag-cycle-max", "25"},
    {"active-defrag-max-scan-fields", "1000"},
    {"jemalloc-bg-thread", "yes"},
    {"hash-max-listpack-entries", "512"},
    {"hash-max-ziplist-entries", "512"},
    {"hash-max-listpack-value", "64"},
    {"hash-max-ziplist-value", "64"},
    {"list-max-listpack-size", "-2"},
    {"list-max-ziplist-size", "-2"},
    {"list-compress-depth", "0"},
    {"set-max-intset-entries", "512"},
    {"zset-max-listpack-entries", "128"},
    {"zset-max-ziplist-entries", "128"},
    {"zset-max-listpack-value", "64"},
    {"zset-max-ziplist-value", "64"},
    {"hll-sparse-max-bytes", "3000"},
    {"stream-node-max-bytes", "4096"},
    {"stream-node-max-entries", "100"},
    {"sanitize-dump-payload", "no"},
    {"busy-reply-threshold", "5000"},
    {"lua-time-limit", "5000"},
    {"dbfilename", "dump.rdb"},
    {"rdbcompression", "yes"},
    {"rdbchecksum", "yes"},
    {"rdb-del-sync-files", "no"},
    {"rdb-save-incremental-fsync", "yes"},
    {"stop-writes-on-bgsave-error", "yes"},
    {"appendonly", "no"},
    {"appendfilename", "appendonly.aof"},
    {"appenddirname", "appendonlydir"},
    {"appendfsync", "everysec"},
    {"no-appendfsync-on-rewrite", "no"},
    {"auto-aof-rewrite-percentage", "100"},
    {"auto-aof-rewrite-min-size", "67108864"},
    {"aof-load-truncated", "yes"},
    {"aof-use-rdb-preamble", "yes"},
    {"aof-disable-auto-gc", "no"},
    {"aof-timestamp-enabled", "no"},
    {"aof-rewrite-incremental-fsync", "yes"},
    {"replicaof", ""},
    {"slaveof", ""},
    {"masterauth", ""},
    {"masteruser", ""},
    {"replica-serve-stale-data", "yes"},
    {"slave-serve-stale-data", "yes"},
    {"replica-read-only", "yes"},
    {"slave-read-only", "yes"},
    {"replica-lazy-flush", "no"},
    {"slave-lazy-flush", "no"},
    {"replica-ignore-maxmemory", "yes"},
    {"slave-ignore-maxmemory", "yes"},
    {"replica-priority", "100"},
    {"slave-priority", "100"},
    {"replica-announce-ip", ""},
    {"slave-announce-ip", ""},
    {"replica-announce-port", "0"},
    {"slave-announce-port", "0"},
    {"replica-announced", "yes"},
    {"min-replicas-to-write", "0"},
    {"min-slaves-to-write", "0"},
    {"min-replicas-max-lag", "10"},
    {"min-slaves-max-lag", "10"},
    {"repl-backlog-size", "1048576"},
    {"repl-backlog-ttl", "3600"},
    {"repl-timeout", "60"},
    {"repl-ping-replica-period", "10"},
    {"repl-ping-slave-period", "10"},
    {"repl-disable-tcp-nodelay", "no"},
    {"repl-diskless-sync", "yes"},
    {"repl-diskless-sync-delay", "5"},
    {"repl-diskless-sync-max-replicas", "0"},
    {"repl-diskless-load", "disabled"},
    {"replica-ignore-disk-write-errors", "no"},
    {"propagation-error-behavior", "ignore"},
    {"cluster-enabled", "no"},
    {"cluster-config-file", "nodes.conf"},
    {"cluster-node-timeout", "15000"},
    {"cluster-require-full-coverage", "yes"},
    {"cluster-replica-validity-factor", "10"},
    {"cluster-slave-validity-factor", "10"},
    {"cluster-migration-barrier", "1"},
    {"cluster-replica-no-failover", "no"},
    {"cluster-slave-no-failover", "no"},
    {"cluster-allow-reads-when-down", "no"},
    {"cluster-announce-ip", ""},
    {"cluster-announce-port", "0"},
    {"cluster-announce-bus-port", "0"},
    {"cluster-port", "0"},
    {"cluster-announce-tls-port", "0"},
    {"cluster-announce-hostname", ""},
    {"cluster-preferred-endpoint-type", "ip"},
    {"cluster-allow-replica-migration", "yes"},
    {"cluster-allow-pubsubshard-when-down", "yes"},
    {"cluster-link-sendbuf-limit", "0"},
};

/** CONFIG SET name value: the error reply, or what CONFIG GET answers then.
 * enable-protected-configs is yes. */
static const struct {
    const char *name;
    const char *value;
    const char *answer;
} oracle_sets[] = {
    {"timeout", "100", "100"},
    {"timeout", "-1",
     "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 "
     "and 2147483647 inclusive"},
    {"timeout", "2147483648",
     "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 "
     "and 2147483647 inclusive"},
    {"timeout", "1kb",
     "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed "
     "into an integer"},
    {"maxclients", "0",
     "ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between "
     "1 and 4294967295 inclusive"},
    {"maxclients", "abc",
     "ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be "
     "parsed into an integer"},
    {"hz", "0", "1"},
    {"hz", "1000", "500"},
    {"hz", "-1",
     "ERR CONFIG SET failed (possibly related to argument 'hz') - argument must be between 0 and "
     "2147483647 inclusive"},
    {"loglevel", "VERBOSE", "verbose"},
    {"loglevel", "x",
     "ERR CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of "
     "the following: debug, verbose, notice, warning"},
    {"protected-mode", "No", "no"},
    {"protected-mode", "1",
     "ERR CONFIG SET failed (possibly related to argument 'protected-mode') - argument must be "
     "'yes' or 'no'"},
    {"client-query-buffer-limit", "1mb", "1048576"},
    {"client-query-buffer-limit", "1kb",
     "ERR CONFIG SET failed (possibly related to argument 'client-query-buffer-limit') - argument "
     "must be between 1048576 and 9223372036854775807 inclusive"},
    {"client-query-buffer-limit", "2G", "2000000000"},
    {"client-query-buffer-limit", "1x",
     "ERR CONFIG SET failed (possibly related to argument 'client-query-buffer-limit') - argument "
     "must be a memory value"},
    {"proto-max-bulk-len", "-1",
     "ERR CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - argument must be "
     "a memory value"},
    {"proto-max-bulk-len", "1gb", "1073741824"},
    {"maxmemory-policy", "ALLKEYS-LFU", "allkeys-lfu"},
    {"maxmemory-policy", "lru",
     "ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument(s) must "
     "be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, "
     "allkeys-lru, allkeys-lfu, allkeys-random, noeviction"},
    {"slowlog-log-slower-than", "-2",
     "ERR CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - argument "
     "must be between -1 and 9223372036854775807 inclusive"},
    {"latency-tracking-info-percentiles", "1 2.50 99.99", "1 2.5 99.99"},
    {"latency-tracking-info-percentiles", "", ""},
    {"latency-tracking-info-percentiles", "a",
     "ERR CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - "
     "Invalid latency-tracking-info-percentiles parameters"},
    {"latency-tracking-info-percentiles", "50 101",
     "ERR CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - "
     "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"},
    {"client-output-buffer-limit", "normal 0 0",
     "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong "
     "number of arguments in buffer limit configuration."},
    {"client-output-buffer-limit", "foo 0 0 0",
     "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Invalid "
     "client class specified in buffer limit configuration."},
    {"client-output-buffer-limit", "normal a 0 0",
     "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Error in "
     "hard, soft or soft_seconds setting in buffer limit configuration."},
    {"client-output-buffer-limit", "normal  0 0 0",
     "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong "
     "number of arguments in buffer limit configuration."},
    {"list-max-listpack-size", "-5", "-5"},
    {"list-max-ziplist-size", "7", "7"},
    {"hash-max-ziplist-value", "1kb", "1024"},
    {"hash-max-listpack-value", "zz",
     "ERR CONFIG SET failed (possibly related to argument 'hash-max-listpack-value') - argument "
     "must be a memory value"},
    {"appendfsync", "no", "no"},
    {"databases", "5",
     "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable "
     "config"},
    {"unixsocket", "x",
     "ERR CONFIG SET failed (possibly related to argument 'unixsocket') - can't set immutable "
     "config"},
    {"daemonize", "yes",
     "ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable "
     "config"},
    {"dbfilename", "a/b",
     "ERR CONFIG SET failed (possibly related to argument 'dbfilename') - dbfilename can't be a "
     "path, just a filename"},
    {"dbfilename", "x.rdb", "x.rdb"},
    {"proc-title-template", "{x}",
     "ERR CONFIG SET failed (possibly related to argument 'proc-title-template') - template format "
     "is invalid or contains unknown variables"},
    {"proc-title-template", "a {port} b", "a {port} b"},
    {"proc-title-template", "a {{b} }", "a {{b} }"},
    {"tcp-keepalive", "05",
     "ERR CONFIG SET failed (possibly related to argument 'tcp-keepalive') - argument couldn't be "
     "parsed into an integer"},
    {"port", "65536",
     "ERR CONFIG SET failed (possibly related to argument 'port') - argument must be between 0 and "
     "65535 inclusive"},
    {"active-expire-effort", "11",
     "ERR CONFIG SET failed (possibly related to argument 'active-expire-effort') - argument must "
     "be between 1 and 10 inclusive"},
    {"lfu-decay-time", "-1",
     "ERR CONFIG SET failed (possibly related to argument 'lfu-decay-time') - argument must be "
     "between 0 and 2147483647 inclusive"},
    {"maxmemory-clients", "101%",
     "ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage "
     "argument must be less or equal to 100"},
    {"maxmemory-clients", "-1",
     "ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - argument must be "
     "a memory or percent value"},
    {"oom-score-adj-values", "1 2",
     "ERR CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - wrong number "
     "of arguments"},
    {"oom-score-adj-values", "1 2 3000",
     "ERR CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - Invalid "
     "oom-score-adj-values, elements must be between -2000 and 2000."},
    {"save", "a",
     "ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters"},
    {"oom-score-adj", "x",
     "ERR CONFIG SET failed (possibly related to argument 'oom-score-adj') - argument(s) must be "
     "one of the following: no, yes, relative, absolute"},
    {"nosuch", "1", "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"},
    {"", "1", "ERR Unknown option or number of arguments for CONFIG SET - ''"},
    {"stream-node-max-bytes", "1MB", "1048576"},
    {"io-threads", "2",
     "ERR CONFIG SET failed (possibly related to argument 'io-threads') - can't set immutable "
     "config"},
    {"auto-aof-rewrite-percentage", "x",
     "ERR CONFIG SET failed (possibly related to argument 'auto-aof-rewrite-percentage') - "
     "argument couldn't be parsed into an integer"},
    {"appenddirname", "x",
     "ERR CONFIG SET failed (possibly related to argument 'appenddirname') - can't set immutable "
     "config"},
    {"SLAVE-priority", "x",
     "ERR CONFIG SET failed (possibly related to argument 'slave-priority') - argument couldn't be "
     "parsed into an integer"},
    {"TIMEOUT", "x",
     "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed "
     "into an integer"},
    {"dir", "/nonexist",
     "ERR CONFIG SET failed (possibly related to argument 'dir') - No such file or directory"},
    {"cluster-enabled", "yes",
     "ERR CONFIG SET failed (possibly related to argument 'cluster-enabled') - can't set immutable "
     "config"},
};

struct got {
    uint32_t count;
    char text[4096];
};

static void
got_add(void *context, struct slice name, struct slice value)
{
    struct got *got = context;
    size_t used = strlen(got->text);
    snprintf(got->text + used, sizeof(got->text) - used, "%.*s=%.*s;", (int)name.size, name.data,
             (int)value.size, value.data);
    got->count++;
}

/** CONFIG GET of one or two patterns as "name=value;...". */
static struct got
get(const struct config *config, const char *first, const char *second)
{
    struct got got = {0};
    struct slice patterns[2] = {slice_of_string(first)};
    if (second != NULL) {
        patterns[1] = slice_of_string(second);
    }
    config_get(config, patterns, second == NULL ? 1 : 2, got_add, &got);
    return got;
}

static int
set(struct config *config, const char *name, const char *value, char *error, size_t error_size)
{
    struct config_pair pair = {.name = slice_of_string(name), .value = slice_of_string(value)};
    return config_set(config, &pair, 1, CONFIG_PEER_REMOTE, error, error_size);
}

/** All directives as one text, to compare snapshots. */
static char *
dump(const struct config *config)
{
    struct config_text text = {0};
    uint32_t count;
    const struct config_row *rows = config_rows(&count);
    for (uint32_t i = 0; i < count; i++) {
        config_text_format(&text, "%s=", rows[i].name);
        config_value_print(&rows[i], config_row_value(&rows[i], config), &text);
        config_text_format(&text, "\n");
    }
    return text.data;
}

Test(config, every_default_prints_and_parses_back)
{
    struct config *config = config_new();
    uint32_t count;
    const struct config_row *rows = config_rows(&count);
    cr_assert_gt(count, 100);
    for (uint32_t i = 0; i < count; i++) {
        struct config *other = config_new();
        struct config_text text = {0};
        struct config_reason reason = {0};
        config_value_print(&rows[i], config_row_value(&rows[i], config), &text);
        struct slice word = config_text_slice(&text);
        cr_assert(config_assign(other, &rows[i], &word, 1, &reason), "%s: %s", rows[i].name,
                  reason.text);
        cr_assert(config_value_equal(&rows[i], config_row_value(&rows[i], config),
                                     config_row_value(&rows[i], other)),
                  "%s", rows[i].name);
        cr_assert_gt(strlen(rows[i].help), 5);
        config_text_destroy(&text);
        config_delete(other);
    }
    config_delete(config);
}

Test(config, names_and_aliases_are_lower_case_and_unique)
{
    uint32_t count;
    const struct config_row *rows = config_rows(&count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(config_row_find(slice_of_string(rows[i].name)), &rows[i], "%s", rows[i].name);
        if (rows[i].alias[0] != '\0') {
            cr_assert_eq(config_row_find(slice_of_string(rows[i].alias)), &rows[i]);
        }
    }
    cr_assert_null(config_row_find(SLICE("")));
    cr_assert_null(config_row_find(SLICE("timeou")));
    cr_assert_null(config_row_find(SLICE("timeoutx")));
}

Test(config, defaults_are_those_of_redis)
{
    struct config *config = config_new();
    for (size_t i = 0; i < ARRAY_COUNT(oracle_defaults); i++) {
        char expected[256];
        snprintf(expected, sizeof(expected), "%s=%s;", oracle_defaults[i].name,
                 oracle_defaults[i].value);
        struct got got = get(config, oracle_defaults[i].name, NULL);
        cr_assert_str_eq(got.text, expected);
    }
    cr_assert_eq(config->port, 6379);
    cr_assert_eq(config->bind.count, 2);
    cr_assert_eq(config->client_output_buffer_limit[CONFIG_CLIENT_PUBSUB].soft_s, 60);
    config_delete(config);
}

Test(config, set_answers_as_redis_does)
{
    for (size_t i = 0; i < ARRAY_COUNT(oracle_sets); i++) {
        struct config *config = config_new();
        config->enable_protected_configs = CONFIG_ACCESS_YES;
        char error[1024] = "";
        int rc = set(config, oracle_sets[i].name, oracle_sets[i].value, error, sizeof(error));
        if (rc < 0) {
            cr_assert_str_eq(error, oracle_sets[i].answer, "%s", error);
        } else {
            char expected[512];
            snprintf(expected, sizeof(expected), "%s=%s;", oracle_sets[i].name,
                     oracle_sets[i].answer);
            struct got got = get(config, oracle_sets[i].name, NULL);
            cr_assert_str_eq(got.text, expected);
        }
        config_delete(config);
    }
}

Test(config, set_of_several_is_all_or_nothing)
{
    struct config *config = config_new();
    char *before = dump(config);
    char error[512];
    struct config_pair pairs[] = {
        {SLICE("timeout"), SLICE("5")},
        {SLICE("bind"), SLICE("127.0.0.1")},
        {SLICE("client-output-buffer-limit"), SLICE("normal 1mb 2mb 3")},
        {SLICE("maxclients"), SLICE("0")},
    };
    cr_assert_eq(config_set(config, pairs, 4, CONFIG_PEER_LOCAL, error, sizeof(error)), -EINVAL);
    cr_assert_str_eq(error, "ERR CONFIG SET failed (possibly related to argument 'maxclients') - "
                            "argument must be between 1 and 4294967295 inclusive");
    char *after = dump(config);
    cr_assert_str_eq(before, after);
    free(after);
    cr_assert_eq(config_set(config, pairs, 3, CONFIG_PEER_LOCAL, error, sizeof(error)), 0);
    cr_assert_eq(config->timeout_s, 5);
    cr_assert_eq(config->bind.count, 1);
    cr_assert_str_eq(config->bind.items[0], "127.0.0.1");
    cr_assert_eq(config->client_output_buffer_limit[CONFIG_CLIENT_NORMAL].hard_bytes, 1 << 20);
    free(before);
    config_delete(config);
}

Test(config, set_refuses_a_name_twice_but_takes_an_alias_too)
{
    struct config *config = config_new();
    char error[512];
    struct config_pair twice[] = {{SLICE("TIMEOUT"), SLICE("5")}, {SLICE("timeout"), SLICE("6")}};
    cr_assert_eq(config_set(config, twice, 2, CONFIG_PEER_LOCAL, error, sizeof(error)), -EINVAL);
    cr_assert_str_eq(error, "ERR CONFIG SET failed (possibly related to argument 'timeout') - "
                            "duplicate parameter");
    struct config_pair capitals[] = {{SLICE("timeout"), SLICE("5")},
                                     {SLICE("TIMEOUT"), SLICE("6")}};
    cr_assert_eq(config_set(config, capitals, 2, CONFIG_PEER_LOCAL, error, sizeof(error)), -EINVAL);
    cr_assert_str_eq(error, "ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - "
                            "duplicate parameter");
    struct config_pair fixed[] = {{SLICE("Databases"), SLICE("5")}};
    cr_assert_eq(config_set(config, fixed, 1, CONFIG_PEER_LOCAL, error, sizeof(error)), -EINVAL);
    cr_assert_str_eq(error, "ERR CONFIG SET failed (possibly related to argument 'Databases') - "
                            "can't set immutable config");
    /* What is wrong with a value is said with the table's spelling. */
    struct config_pair wrong[] = {{SLICE("Loglevel"), SLICE("loud")}};
    cr_assert_eq(config_set(config, wrong, 1, CONFIG_PEER_LOCAL, error, sizeof(error)), -EINVAL);
    cr_assert_not_null(strstr(error, "argument 'loglevel')"));
    struct config_pair both[] = {{SLICE("hash-max-ziplist-entries"), SLICE("5")},
                                 {SLICE("hash-max-listpack-entries"), SLICE("6")}};
    cr_assert_eq(config_set(config, both, 2, CONFIG_PEER_LOCAL, error, sizeof(error)), 0);
    cr_assert_eq(config->hash_max_listpack_entries, 6);
    struct config_pair unknown[] = {{SLICE("timeout"), SLICE("5")}, {SLICE("x y"), SLICE("6")}};
    cr_assert_eq(config_set(config, unknown, 2, CONFIG_PEER_LOCAL, error, sizeof(error)), -EINVAL);
    cr_assert_str_eq(error, "ERR Unknown option or number of arguments for CONFIG SET - 'x y'");
    cr_assert_eq(config->timeout_s, 0);
    config_delete(config);
}

Test(config, protected_directives_ask_who_is_there)
{
    static const struct {
        enum config_protected_access access;
        enum config_peer peer;
        bool is_allowed;
    } cases[] = {
        {CONFIG_ACCESS_NO, CONFIG_PEER_LOCAL, false},
        {CONFIG_ACCESS_NO, CONFIG_PEER_REMOTE, false},
        {CONFIG_ACCESS_LOCAL, CONFIG_PEER_LOCAL, true},
        {CONFIG_ACCESS_LOCAL, CONFIG_PEER_REMOTE, false},
        {CONFIG_ACCESS_YES, CONFIG_PEER_LOCAL, true},
        {CONFIG_ACCESS_YES, CONFIG_PEER_REMOTE, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct config *config = config_new();
        config->enable_protected_configs = cases[i].access;
        struct config_pair pair = {SLICE("dir"), SLICE("/tmp/../tmp")};
        char error[512];
        int rc = config_set(config, &pair, 1, cases[i].peer, error, sizeof(error));
        cr_assert_eq(rc == 0, cases[i].is_allowed);
        if (rc == 0) {
            cr_assert_str_eq(config->dir, "/tmp");
        } else {
            cr_assert_str_eq(error, "ERR CONFIG SET failed (possibly related to argument 'dir') "
                                    "- can't set protected config");
        }
        config_delete(config);
    }
}

Test(config, what_is_not_there_yet_is_refused)
{
    static const struct {
        const char *name;
        const char *value;
        const char *why;
    } cases[] = {
        {"maxmemory", "1gb",
         "'maxmemory 1073741824' is not supported yet by this version of Tessera"},
        {"min-replicas-to-write", "1",
         "'min-replicas-to-write 1' is not supported yet by this version of Tessera"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct config *config = config_new();
        char error[512];
        char expected[512];
        cr_assert_eq(set(config, cases[i].name, cases[i].value, error, sizeof(error)), -EINVAL);
        snprintf(expected, sizeof(expected),
                 "ERR CONFIG SET failed (possibly related to argument '%s') - %s", cases[i].name,
                 cases[i].why);
        cr_assert_str_eq(error, expected);
        config_delete(config);
    }
}

Test(config, words_for_signals_are_kept_in_one_order)
{
    static const struct {
        const char *value;
        const char *shown; /* NULL: refused */
    } cases[] = {
        {"force save", "save force"},
        {"NOW", "now"},
        {"default now", "now"},
        {"default", "default"},
        {"save nosave", NULL},
        {"default x", NULL},
        {"", NULL},
        {"save SAVE", "save"},
        {"nosave now force", "nosave now force"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct config *config = config_new();
        char error[512];
        char expected[256];
        int rc = set(config, "shutdown-on-sigint", cases[i].value, error, sizeof(error));
        cr_expect_eq(rc == 0, cases[i].shown != NULL, "%s", cases[i].value);
        snprintf(expected, sizeof(expected), "shutdown-on-sigint=%s;",
                 cases[i].shown == NULL ? "default" : cases[i].shown);
        cr_expect_str_eq(get(config, "shutdown-on-sigint", NULL).text, expected);
        config_delete(config);
    }
}

Test(config, host_names_are_checked)
{
    struct config *config = config_new();
    char error[1024];
    char name[300];
    cr_expect_eq(set(config, "cluster-announce-hostname", "a-1.B", error, sizeof(error)), 0);
    cr_expect_eq(set(config, "cluster-announce-hostname", "", error, sizeof(error)), 0);
    cr_expect_eq(set(config, "cluster-announce-hostname", "a_b", error, sizeof(error)), -EINVAL);
    memset(name, 'a', sizeof(name));
    name[256] = '\0';
    cr_expect_eq(set(config, "cluster-announce-hostname", name, error, sizeof(error)), -EINVAL);
    name[255] = '\0';
    cr_expect_eq(set(config, "cluster-announce-hostname", name, error, sizeof(error)), 0);
    config_delete(config);
}

Test(config, get_takes_globs_aliases_and_names_once)
{
    struct config *config = config_new();
    cr_assert_str_eq(get(config, "timeout", "TIME*").text, "timeout=0;");
    cr_assert_str_eq(get(config, "TimeOut", "timeout").text, "TimeOut=0;");
    cr_assert_str_eq(get(config, "time*", "TimeOut").text, "timeout=0;");
    cr_assert_str_eq(get(config, "tim\\eout", NULL).text, "");
    cr_assert_str_eq(get(config, "tim\\e*", NULL).text, "timeout=0;");
    cr_assert_str_eq(get(config, "nosuch", "[").text, "");
    cr_assert_str_eq(get(config, "", NULL).text, "");
    cr_assert_str_eq(get(config, "*ziplist-entries", NULL).text,
                     "hash-max-ziplist-entries=512;zset-max-ziplist-entries=128;");
    cr_assert_str_eq(get(config, "slave-priority", "replica-priorit?").text,
                     "replica-priority=100;slave-priority=100;");
    uint32_t row_count;
    uint32_t name_count = 0;
    const struct config_row *rows = config_rows(&row_count);
    for (uint32_t i = 0; i < row_count; i++) {
        name_count += rows[i].alias[0] == '\0' ? 1 : 2;
    }
    cr_assert_eq(get(config, "*", "max*").count, name_count);
    config_delete(config);
}

Test(config, a_clone_shares_nothing)
{
    struct config *config = config_new();
    char error[256];
    config->file_path = config_string_copy(SLICE("/etc/x.conf"));
    struct config *clone = config_clone(config);
    cr_assert_eq(set(clone, "bind", "1.2.3.4 ::1", error, sizeof(error)), 0);
    cr_assert_eq(set(clone, "timeout", "9", error, sizeof(error)), 0);
    cr_assert(config_differs(config, clone, "bind"));
    cr_assert(config_differs(config, clone, "timeout"));
    cr_assert_not(config_differs(config, clone, "maxclients"));
    cr_assert_str_eq(clone->file_path, "/etc/x.conf");
    cr_assert_str_eq(config->bind.items[0], "*");
    config_delete(config);
    cr_assert_str_eq(clone->bind.items[1], "::1");
    config_delete(clone);
    config_delete(NULL);
}

/** The line of a directive in docs/configuration.md. */
static char *
describe_line(const struct config_help *help)
{
    struct config_text text = {0};
    config_text_format(&text, "| `%s`", help->name);
    if (help->alias[0] != '\0') {
        config_text_format(&text, " (`%s`)", help->alias);
    }
    if (help->start[0] == '\0') {
        config_text_format(&text, " | |");
    } else {
        config_text_format(&text, " | `%s` |", help->start);
    }
    config_text_format(&text, " %s | %s | %s |\n", help->range, help->is_mutable ? "yes" : "no",
                       help->help);
    return text.data;
}

static void
describe_check(void *context, const struct config_help *help)
{
    const char *document = context;
    char *line = describe_line(help);
    cr_expect_not_null(strstr(document, line), "docs/configuration.md lacks:\n%s", line);
    free(line);
}

/** The document is written by hand around lines that this test knows: it says which one is missing
 * or out of date. */
Test(config, every_directive_is_documented)
{
    struct config_text path = {0};
    struct config_text document = {0};
    const char *here = __FILE__;
    const char *inside = strstr(here, "tests/unit/core/config_test.c");
    cr_assert_not_null(inside);
    config_text_append(&path, slice_of(here, (size_t)(inside - here)));
    config_text_append(&path, SLICE("docs/configuration.md"));
    if (config_file_read(&document, path.data) < 0) {
        cr_skip_test("run from the build folder to check %s", path.data);
    }
    config_describe(describe_check, document.data);
    config_text_destroy(&path);
    config_text_destroy(&document);
}
