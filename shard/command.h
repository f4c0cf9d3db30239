/*
 * command.h: one row for each command, next to its handler. The row is the only place that knows
 * the command's name, arity, flags, keys, categories and documentation; COMMAND, routing and
 * (later) ACL and cluster checks are derived from it. Rows are constant and shared by all cores.
 */
#pragma once

#include "core/slice.h"

struct call;
struct part;
struct reply;
struct session;

/* The flags that COMMAND INFO shows, with its names (shard/command/command_info.c). */
#define CMD_WRITE (1u << 0)
#define CMD_READONLY (1u << 1)
#define CMD_DENYOOM (1u << 2)
#define CMD_ADMIN (1u << 3)
#define CMD_PUBSUB (1u << 4)
#define CMD_NOSCRIPT (1u << 5)
#define CMD_BLOCKING (1u << 6)
#define CMD_LOADING (1u << 7)
#define CMD_STALE (1u << 8)
#define CMD_SKIP_MONITOR (1u << 9)
#define CMD_SKIP_SLOWLOG (1u << 10)
#define CMD_ASKING (1u << 11)
#define CMD_FAST (1u << 12)
#define CMD_NO_AUTH (1u << 13)
#define CMD_MAY_REPLICATE (1u << 14)
#define CMD_NO_MULTI (1u << 15)
#define CMD_NO_ASYNC_LOADING (1u << 16)
#define CMD_ALLOW_BUSY (1u << 17)
#define CMD_MOVABLE_KEYS (1u << 18)
#define CMD_NO_MANDATORY_KEYS (1u << 19) /* a call without keys is no mistake (EVAL ... 0) */
/* Ours alone, not shown. */
#define CMD_NO_TOUCH                                                                               \
    (1u << 24) /* does not count as an access of its keys (TTL, TYPE, OBJECT ...) */
#define CMD_NO_COUNT (1u << 25) /* its lookups do not count, or it counts them itself */
#define CMD_COUNT                                                                                  \
    (1u << 26) /* it writes, but its lookups are hits or misses (GETEX, GETSET ...)                \
                */

#define CMD_UNQUEUED (1u << 27)         /* runs at once between MULTI and EXEC, too */
#define CMD_WHILE_SUBSCRIBED (1u << 28) /* a RESP2 session that subscribes may still say it */

/* ACL categories that do not follow from flags or group; see command_categories(). */
#define ACL_KEYSPACE (1u << 0)
#define ACL_READ (1u << 1)
#define ACL_WRITE (1u << 2)
#define ACL_SET (1u << 3)
#define ACL_SORTEDSET (1u << 4)
#define ACL_LIST (1u << 5)
#define ACL_HASH (1u << 6)
#define ACL_STRING (1u << 7)
#define ACL_BITMAP (1u << 8)
#define ACL_HYPERLOGLOG (1u << 9)
#define ACL_GEO (1u << 10)
#define ACL_STREAM (1u << 11)
#define ACL_PUBSUB (1u << 12)
#define ACL_ADMIN (1u << 13)
#define ACL_FAST (1u << 14)
#define ACL_SLOW (1u << 15)
#define ACL_BLOCKING (1u << 16)
#define ACL_DANGEROUS (1u << 17)
#define ACL_CONNECTION (1u << 18)
#define ACL_TRANSACTION (1u << 19)
#define ACL_SCRIPTING (1u << 20)

enum command_group {
    GROUP_GENERIC,
    GROUP_STRING,
    GROUP_LIST,
    GROUP_SET,
    GROUP_SORTED_SET,
    GROUP_HASH,
    GROUP_PUBSUB,
    GROUP_TRANSACTIONS,
    GROUP_CONNECTION,
    GROUP_SERVER,
    GROUP_SCRIPTING,
    GROUP_HYPERLOGLOG,
    GROUP_CLUSTER,
    GROUP_GEO,
    GROUP_STREAM,
    GROUP_BITMAP,
};

/* What a command does with the keys of one specification, with COMMAND INFO's names. */
#define KEY_RO (1u << 0)
#define KEY_RW (1u << 1)
#define KEY_OW (1u << 2)
#define KEY_RM (1u << 3)
#define KEY_ACCESS (1u << 4)
#define KEY_UPDATE (1u << 5)
#define KEY_INSERT (1u << 6)
#define KEY_DELETE (1u << 7)
#define KEY_NOT_KEY (1u << 8)
#define KEY_INCOMPLETE (1u << 9)
#define KEY_VARIABLE_FLAGS (1u << 10)

/** Where keys stand among the arguments: https://redis.io/docs/latest/develop/reference/key-specs/
 */
struct key_spec {
    uint32_t flags;
    const char *notes; /* or NULL */
    enum { KEYS_BEGIN_NONE, KEYS_BEGIN_INDEX, KEYS_BEGIN_KEYWORD, KEYS_BEGIN_UNKNOWN } begin;
    int32_t begin_index; /* INDEX: position; KEYWORD: where the search starts (negative: from the
                            end) */
    const char *begin_keyword;
    enum { KEYS_FIND_NONE, KEYS_FIND_RANGE, KEYS_FIND_KEYNUM, KEYS_FIND_UNKNOWN } find;
    int32_t last;  /* RANGE: relative to the first key, negative from the end (-1: last argument) */
    int32_t step;  /* RANGE and KEYNUM */
    int32_t limit; /* RANGE with last -1: 0/1 all, n: the first 1/n of them */
    int32_t keynum_index; /* KEYNUM: of the number, relative to begin */
    int32_t keynum_first; /* KEYNUM: of the first key, relative to begin */
};

/** The usual cases. */
#define KEYS_AT(index, key_flags)                                                                  \
    {                                                                                              \
        .flags = (key_flags), .begin = KEYS_BEGIN_INDEX, .begin_index = (index),                   \
        .find = KEYS_FIND_RANGE, .last = 0, .step = 1                                              \
    }
#define KEYS_FROM(index, last_index, key_step, key_flags)                                          \
    {                                                                                              \
        .flags = (key_flags), .begin = KEYS_BEGIN_INDEX, .begin_index = (index),                   \
        .find = KEYS_FIND_RANGE, .last = (last_index), .step = (key_step)                          \
    }

enum argument_kind {
    ARGUMENT_END, /* closes an array of arguments */
    ARGUMENT_STRING,
    ARGUMENT_INTEGER,
    ARGUMENT_DOUBLE,
    ARGUMENT_KEY,
    ARGUMENT_PATTERN,
    ARGUMENT_UNIX_TIME,
    ARGUMENT_PURE_TOKEN,
    ARGUMENT_ONEOF,
    ARGUMENT_BLOCK,
};

/** For COMMAND DOCS. Arrays end with a zeroed element. */
struct command_argument {
    enum argument_kind kind;
    const char *name;
    const char *token;      /* or NULL */
    const char *since;      /* or NULL */
    int32_t key_spec_index; /* of ARGUMENT_KEY */
    bool is_optional;
    bool is_multiple;
    bool is_multiple_token;
    const struct command_argument *arguments; /* of ONEOF and BLOCK */
};

struct command_history {
    const char *since;
    const char *change;
};

/** Where a command runs. */
enum command_scope {
    SCOPE_KEYS,   /* at the owners of its keys: run() with a view of each */
    SCOPE_LOCAL,  /* at the core that holds the connection: run() */
    SCOPE_ALL,    /* part() on every shard at the same time, then run() merges call->parts */
    SCOPE_CLOSED, /* the same under an exclusive loan of all shards: the keyspace changes as a whole
                   */
    SCOPE_EXEC,   /* EXEC: where the queued commands say */
    SCOPE_WALK,   /* part() on one shard after the other, as each one's part says, then run() */
};

typedef void command_run_fn(struct call *call);
typedef void command_part_fn(struct part *part);

#define COMMAND_KEY_SPECS_MAX 4

/** No key at a place that is the same for all arguments, or several. */
#define COMMAND_KEYS_MANY UINT32_MAX

/** A key that a command line asks the router for; see command_views(). */
struct command_view {
    uint32_t index; /* among the arguments */
    uint16_t db;
    uint32_t flags; /* KEY_; exclusive with RW, OW or RM */
};

struct command {
    /* ---- hot ---- */
    const char *name; /* lower case; of a subcommand: "get" */
    command_run_fn *run;
    command_part_fn *part; /* SCOPE_ALL, CLOSED, WALK */
    uint32_t flags;
    int32_t arity; /* with the name; negative: at least */
    enum command_scope scope;
    uint32_t only_key;   /* the table's: the argument that is its only key, or COMMAND_KEYS_MANY */
    uint16_t view_flags; /* the table's: VIEW_ flags of that key */
    int32_t route_index; /* SCOPE_KEYS without key_specs (DEBUG OBJECT): the argument to route by */
    struct key_spec key_specs[COMMAND_KEY_SPECS_MAX];
    uint8_t key_spec_count;
    /** A key specification with KEY_VARIABLE_FLAGS: what it is for these arguments (SET with GET
     * also reads). NULL: as the specification says. Any thread. */
    uint32_t (*key_flags)(const struct slice *argv, uint32_t argc);
    /** SCOPE_KEYS whose keys are not all looked up in the selected database (COPY ... DB, MOVE):
     * takes the place of the key specifications in command_views(), with its contract. Where the
     * arguments name no database it says the selected one: the handler replies the error. NULL: as
     * usual. */
    int64_t (*views)(const struct slice *argv, uint32_t argc, uint16_t selected_db,
                     uint32_t database_count, struct command_view *out, uint32_t views_max);
    /** Checks arguments before anything else happens, where a command with several owners must fail
     * before its loan; or tells a SCOPE_ALL command to answer at once. May be NULL. Replies the
     * error and returns false to end the command. Runs at the coordinator, without views. */
    bool (*check)(struct call *call);
    /** Will these arguments need keys that they do not name? The handler asks for them with
     * call_key(). NULL: never. */
    bool (*grows)(const struct slice *argv, uint32_t argc);
    /** Of a CMD_BLOCKING command: may these arguments make it wait? NULL: always. */
    bool (*may_block)(const struct slice *argv, uint32_t argc);
    /** SCOPE_LOCAL: it may call call_block() without keys (WAIT). */
    bool is_waiting;
    /** What it replies when its time has passed, or the log is on disk (`is_synced`), if it waits
     * for that; NULL: a null array. */
    void (*timed_out)(struct reply *reply, bool is_synced);
    /** SCOPE_KEYS: does the session's state forbid it? Replies the error then. At the coordinator,
     * before anything else. NULL: never. */
    bool (*refuses)(const struct session *session, struct reply *reply);
    /** SCOPE_LOCAL, SCOPE_KEYS with keys that only the arguments tell: starts when all before it
     * has been answered (it takes something back at other cores that those may still be about to
     * set there), or (PUBLISH) all that was sent to other owners. */
    bool is_after_all;
    /** SCOPE_KEYS: the request is under way; what the session has to remember of it (WATCH). At the
     * coordinator. NULL: nothing. */
    void (*started)(struct session *session, const struct slice *argv, uint32_t argc);
    /** SCOPE_CLOSED: at the coordinator when all shards are closed, before their parts run; may set
     * call->shared for them. Replies the error and returns false to open the shards unchanged. */
    bool (*prepare)(struct call *call);
    /** The server's own: no client can name it, and no statistics count it. */
    bool is_internal;
    /* ---- documentation ---- */
    enum command_group group;
    uint32_t categories; /* ACL_ bits beside those that follow from flags and group */
    const char *since;
    const char *complexity;
    const char *summary;          /* one sentence of ours */
    bool is_system;               /* made for the server's own use (PFDEBUG): doc_flags syscmd */
    const char *deprecated_since; /* or NULL */
    const char *replaced_by;
    const struct command_history *history;    /* ends with {NULL, NULL}, or NULL */
    const char *const *tips;                  /* ends with NULL, or NULL */
    const struct command_argument *arguments; /* or NULL */
    const struct command *subcommands;
    uint32_t subcommand_count;
    /* Subcommands only: the container's name, set by COMMAND_PARENT in the row. */
    const char *parent;
};

/** A family: the rows of one file in shard/command/. */
struct command_family {
    const struct command *commands;
    uint32_t count;
};

/** All families, and the index over them. Built once at start, then read by every core. */
struct command_table;
struct command_table *command_table_new(void);
void command_table_delete(struct command_table *table);
/** The row for a name in any case; NULL: unknown. Any thread. */
const struct command *command_find(const struct command_table *table, struct slice name);
/** The row that `argv` means, subcommands resolved. With an unknown subcommand: the container
 * itself. */
const struct command *command_resolve(const struct command_table *table, const struct slice *argv,
                                      uint32_t argc);
/** Commands, without subcommands. */
uint32_t command_count(const struct command_table *table);
/** Commands and subcommands; command_at() has the commands first. */
uint32_t command_row_count(const struct command_table *table);
/** The row with this index, below command_row_count(). */
const struct command *command_at(const struct command_table *table, uint32_t index);
/** The place of a row in command_at(): dense, so that an array can count by it. Any thread, a hash
 * and a comparison. `command` is a row of this table. */
uint32_t command_index(const struct command_table *table, const struct command *command);

/** Does `argc` satisfy the row's arity? */
static inline bool
command_arity_ok(const struct command *command, uint32_t argc)
{
    return command->arity >= 0 ? argc == (uint32_t)command->arity
                               : argc >= (uint32_t)-command->arity;
}

struct command_key {
    uint32_t index; /* among the arguments */
    uint32_t flags; /* KEY_ */
};

/**
 * The keys of a command line, in the order of its key specifications. Returns their count, or -1
 * when the arguments are wrong for it (KEYNUM out of range). At most `keys_max` are stored; the
 * count may be larger: the caller comes again with more room.
 */
int64_t command_keys(const struct command *command, const struct slice *argv, uint32_t argc,
                     struct command_key *keys, uint32_t keys_max);

/**
 * The keys that the router opens for a SCOPE_KEYS command line, each in its database: those of
 * command_keys(), or what the row's views() says, or argument route_index of a row without key
 * specifications. The order is that of call->views. Count and return value as command_keys().
 */
int64_t command_views(const struct command *command, const struct slice *argv, uint32_t argc,
                      uint16_t selected_db, uint32_t database_count, struct command_view *views,
                      uint32_t views_max);

/** All ACL categories, those that follow from flags and group included. */
uint32_t command_categories(const struct command *command);

/** EVAL, EVALSHA, FCALL and the like: what they change only running their code can tell. */
static inline bool
command_runs_code(const struct command *command)
{
    return command->group == GROUP_SCRIPTING && command->key_spec_count > 0;
}
