/*
 * config.h: what the server was told.
 * `struct config` is a snapshot: a plain struct that nobody changes once cores read it. CONFIG SET
 * clones it, sets the clone, hands the cores the clone, and deletes the old one when no core holds
 * it any more. So readers need no lock and no atomics, and a command sees one configuration from
 * its start to its end.
 *
 * Nothing here is tied to a thread: a config that is being set belongs to one thread, a snapshot to
 * all.
 */
#pragma once

#include "core/base.h"
#include "core/slice.h"

/* Each enumeration's values are the ints that the fields hold; the words are in config.c. */
enum config_io_backend { CONFIG_IO_BACKEND_AUTO, CONFIG_IO_BACKEND_URING, CONFIG_IO_BACKEND_EPOLL };
enum config_pipeline_order { CONFIG_PIPELINE_ORDER_OVERLAP, CONFIG_PIPELINE_ORDER_STRICT };
enum config_loglevel {
    CONFIG_LOGLEVEL_DEBUG,
    CONFIG_LOGLEVEL_VERBOSE,
    CONFIG_LOGLEVEL_NOTICE,
    CONFIG_LOGLEVEL_WARNING,
};
enum config_maxmemory_policy {
    CONFIG_MAXMEMORY_VOLATILE_LRU,
    CONFIG_MAXMEMORY_VOLATILE_LFU,
    CONFIG_MAXMEMORY_VOLATILE_RANDOM,
    CONFIG_MAXMEMORY_VOLATILE_TTL,
    CONFIG_MAXMEMORY_ALLKEYS_LRU,
    CONFIG_MAXMEMORY_ALLKEYS_LFU,
    CONFIG_MAXMEMORY_ALLKEYS_RANDOM,
    CONFIG_MAXMEMORY_NOEVICTION,
};
enum config_appendfsync {
    CONFIG_APPENDFSYNC_EVERYSEC,
    CONFIG_APPENDFSYNC_ALWAYS,
    CONFIG_APPENDFSYNC_NO,
};
/** Who may use DEBUG, change protected directives, load modules. */
enum config_protected_access {
    CONFIG_ACCESS_NO,
    CONFIG_ACCESS_YES,
    CONFIG_ACCESS_LOCAL,
};

enum config_acl_pubsub { CONFIG_ACL_PUBSUB_ALLCHANNELS, CONFIG_ACL_PUBSUB_RESETCHANNELS };
enum config_supervised {
    CONFIG_SUPERVISED_UPSTART,
    CONFIG_SUPERVISED_SYSTEMD,
    CONFIG_SUPERVISED_AUTO,
    CONFIG_SUPERVISED_NO,
};
enum config_oom_score {
    CONFIG_OOM_SCORE_NO,
    CONFIG_OOM_SCORE_RELATIVE,
    CONFIG_OOM_SCORE_ABSOLUTE,
};
enum config_sanitize { CONFIG_SANITIZE_NO, CONFIG_SANITIZE_YES, CONFIG_SANITIZE_CLIENTS };
enum config_diskless_load {
    CONFIG_DISKLESS_LOAD_DISABLED,
    CONFIG_DISKLESS_LOAD_ON_EMPTY_DB,
    CONFIG_DISKLESS_LOAD_SWAPDB,
};
enum config_propagation_error {
    CONFIG_PROPAGATION_ERROR_IGNORE,
    CONFIG_PROPAGATION_ERROR_PANIC,
    CONFIG_PROPAGATION_ERROR_PANIC_ON_REPLICAS,
};
/** What a cluster's clients are told to connect to. */
enum config_endpoint { CONFIG_ENDPOINT_IP, CONFIG_ENDPOINT_HOSTNAME, CONFIG_ENDPOINT_UNKNOWN };

/** Words of a directive that takes several. */
struct config_list {
    char **items;
    uint32_t count;
};

/** Classes of clients that have output limits of their own. */
enum config_client_class {
    CONFIG_CLIENT_NORMAL,
    CONFIG_CLIENT_REPLICA,
    CONFIG_CLIENT_PUBSUB,
    CONFIG_CLIENT_CLASS_COUNT,
};

/** 0 = no limit. A client is closed at `hard_bytes`, or after `soft_s` seconds above `soft_bytes`.
 */
struct config_output_limit {
    uint64_t hard_bytes;
    uint64_t soft_bytes;
    int64_t soft_s;
};

/** One field a directive, in the table's order. Units are in the names: _s, _ms, _us; memory is in
 * bytes. */
struct config {
#define CONFIG_BOOL(field, name, alias, start, flags, help) bool field;
#define CONFIG_INT(field, name, alias, least, most, start, flags, help) int64_t field;
#define CONFIG_OCTAL(field, name, alias, least, most, start, flags, help) int64_t field;
#define CONFIG_MEMORY(field, name, alias, least, most, start, flags, help) uint64_t field;
#define CONFIG_PERCENT(field, name, alias, start, flags, help) int64_t field;
#define CONFIG_ENUM(field, name, alias, words, start, flags, help) int32_t field;
#define CONFIG_STRING(field, name, alias, check, start, flags, help) char *field;
#define CONFIG_LIST(field, name, alias, check, least, most, start, flags, help)                    \
    struct config_list field;
#define CONFIG_LIMITS(field, name, alias, start, flags, help)                                      \
    struct config_output_limit field[CONFIG_CLIENT_CLASS_COUNT];
#include "core/config_table.h"

    /** Absolute path of the file that was loaded, which config_rewrite() rewrites; NULL without
     * one. */
    char *file_path;
};

/** The defaults. Ends the process when there is no memory for it. */
struct config *config_new(void);

/** A copy that shares nothing with the original. */
struct config *config_clone(const struct config *config);

/** NULL is fine. */
void config_delete(struct config *config);

/** What config_load() answers besides 0 and -errno: the caller prints and leaves. */
enum config_request {
    CONFIG_REQUEST_HELP = 1,
    CONFIG_REQUEST_VERSION = 2,
};

/**
 * Read the command line: a file first where one is named ("-" = standard input), then `--directive
 * value...`. 0, an enum config_request, or -errno with the message for the user (several lines,
 * none of them ending the last) in `error`. The config is then half set and of no use. At start,
 * before there are other threads.
 */
int config_load(struct config *config, int argc, char **argv, char *error,
                size_t error_size) MUST_CHECK;

/** Load the text of a configuration file. 0 or -errno as config_load(). */
int config_load_text(struct config *config, struct slice text, char *error,
                     size_t error_size) MUST_CHECK;

struct config_pair {
    struct slice name;
    struct slice value;
};

/** How far the client that sends CONFIG SET is trusted: it decides about protected directives
 * (`dir`). */
enum config_peer {
    CONFIG_PEER_REMOTE,
    CONFIG_PEER_LOCAL,
};

/**
 * CONFIG SET: all pairs or none. 0, or -EINVAL with the text of the error reply in `error` (with
 * its code word, without '-' and CRLF). Only decides and stores; what a new value brings about is
 * the caller's.
 */
int config_set(struct config *config, const struct config_pair *pairs, uint32_t pair_count,
               enum config_peer peer, char *error, size_t error_size) MUST_CHECK;

/** The text of CONFIG SET's error reply for a value that was fine by itself but could not be put to
 * work. */
void config_set_error(char *error, size_t error_size, struct slice name, const char *reason);

typedef void config_visit_fn(void *context, struct slice name, struct slice value);

/**
 * CONFIG GET: visit each directive (and each alias) that some pattern matches once, in the order of
 * the table. Patterns are globs without regard to case. The slices live until the visitor returns.
 */
void config_get(const struct config *config, const struct slice *patterns, uint32_t pattern_count,
                config_visit_fn *visit, void *context);

/** Does the directive `name` (no alias) have different values in the two? */
bool config_differs(const struct config *a, const struct config *b, const char *name);

/**
 * CONFIG REWRITE: bring the loaded file up to date, keeping comments, order and what did not
 * change; the file is replaced in one step. Blocks on the disk. 0, or -errno with the text of the
 * error reply in `error`.
 */
int config_rewrite(const struct config *config, char *error, size_t error_size) MUST_CHECK;

/** One directive as documentation shows it. */
struct config_help {
    const char *name;
    const char *alias;
    const char *start;
    const char *range;
    const char *help;
    bool is_mutable;
    bool is_supported;
};

typedef void config_help_fn(void *context, const struct config_help *help);

/** Visit every directive in the order of the table; the strings live until the visitor returns. */
void config_describe(config_help_fn *visit, void *context);
