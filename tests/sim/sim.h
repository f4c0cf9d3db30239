/*
 * sim.h: a node of several shards in one thread, under a seeded scheduler, against a sequential
 * model.
 */
#pragma once

#include "core/heap.h"
#include "core/mailbox.h"
#include "core/random.h"
#include "net/output.h"
#include "shard/command.h"
#include "shard/effect.h"
#include "shard/lane.h"
#include "shard/request.h"
#include "shard/session.h"
#include "shard/shard.h"

#define SIM_SHARDS_MAX 8
#define SIM_CONNS_MAX 8
#define SIM_KEYS_MAX 12
#define SIM_DATABASES 2
/** From this size on a value may arrive in memory of its own. */
#define SIM_LARGE_SIZE 20000
#define SIM_START_MS INT64_C(1700000000000)

/** A growing run of bytes. */
struct sim_bytes {
    char *data;
    size_t size;
    size_t capacity;
};
void sim_bytes_append(struct sim_bytes *bytes, const void *data, size_t size);
void sim_bytes_format(struct sim_bytes *bytes, const char *format, ...) PRINTF_LIKE(2, 3);

enum sim_verb {
    /* one key */
    VERB_GET,
    VERB_SET, /* option: one of SIM_SET_ */
    VERB_GETSET,
    VERB_GETDEL,
    VERB_GETEX, /* number: PX, 0: PERSIST */
    VERB_APPEND,
    VERB_SETRANGE, /* number: offset */
    VERB_STRLEN,
    VERB_INCRBY,  /* number */
    VERB_PEXPIRE, /* number */
    VERB_PTTL,
    VERB_PERSIST,
    VERB_TYPE,
    VERB_MOVE, /* other_db */
    /* several */
    VERB_DEL,
    VERB_EXISTS,
    VERB_MGET,
    VERB_MSET,
    VERB_MSETNX,
    VERB_RENAME,
    VERB_RENAMENX,
    VERB_COPY, /* other_db; option: replace */
    /* all shards */
    VERB_DBSIZE,
    VERB_KEYS,
    VERB_SCAN,
    VERB_RANDOMKEY,
    VERB_FLUSHALL,
    VERB_FLUSHDB,
    VERB_SWAPDB,
    /* no key */
    VERB_PING,
    VERB_ECHO,
    VERB_SELECT, /* other_db */
    VERB_WRONG,  /* refused before it runs */
};

enum { SIM_SET_PLAIN, SIM_SET_NX, SIM_SET_XX, SIM_SET_GET, SIM_SET_PX, SIM_SET_KEEPTTL };

enum sim_kind {
    KIND_SINGLE,      /* the keys of one owner */
    KIND_TRANSACTION, /* of several */
    KIND_CLOSED,      /* all shards closed first */
    KIND_GATHER,      /* all shards asked */
    KIND_LOCAL,
    KIND_REJECTED,
};

/** One request: what is sent, and what has become of it. */
struct sim_op {
    /** A copy of the command's row whose functions tell the simulator when they run. */
    struct command row;
    const struct command *real;
    struct sim *sim;
    struct sim_conn *conn;
    uint32_t index; /* in its connection */
    enum sim_verb verb;
    enum sim_kind kind;
    uint16_t owner; /* of a single */
    uint16_t db;
    uint16_t other_db;
    uint32_t option;
    int64_t number;
    bool is_muted;
    uint32_t argc;
    struct slice *argv;
    uint32_t key_count;
    uint32_t *keys;
    struct slice *values; /* by position of the key; a value without a key is the first */
    /* ---- what has become of it ---- */
    bool is_started;
    bool is_begun; /* its first part or itself has run */
    bool is_executed;
    bool is_answered;
    uint32_t part_count;
    struct sim_bytes expected;
    uint32_t keys_certain;  /* KEYS and its like: bits of keys that must be in the answer ... */
    uint32_t keys_possible; /* ... and that may be */
    uint32_t keys_seen;     /* SCAN: looked at already */
    uint32_t count_min;     /* DBSIZE */
    uint32_t count_max;
};

/** What one key of one database holds. */
struct sim_cell {
    bool exists;
    char *value;
    size_t size;
    int64_t deadline_ms; /* INT64_MAX: none */
    bool is_over;        /* somebody's clock has passed its deadline already */
    /** Executed elsewhere and not yet carried into its owner's keyspace: nobody may look at it. */
    struct sim_op *pending;
    bool existed; /* before `pending` */
};

struct sim_model {
    struct sim_cell cells[SIM_DATABASES][SIM_KEYS_MAX];
};

/** Run `op` on the model and write its reply. model.c */
void sim_model_run(struct sim_model *model, const struct sim_op *op, uint8_t protocol,
                   int64_t now_ms, struct sim_bytes *reply);
void sim_model_flush(struct sim_model *model, uint32_t db);
void sim_model_swap(struct sim_model *model);
void sim_model_destroy(struct sim_model *model);
static inline bool
sim_cell_lives(const struct sim_cell *cell, int64_t now_ms)
{
    return cell->exists && !cell->is_over && cell->deadline_ms > now_ms;
}

/** What the server has of a connection: freed as soon as its lane says that it has ended. */
struct sim_wire {
    struct sim_conn *conn;
    struct session session;
    struct lane lane;
    struct output output;
};

struct sim_conn {
    struct sim *sim;
    uint32_t index;
    struct shard *shard;
    struct sim_wire *wire; /* NULL: ended */
    uint8_t protocol;
    struct sim_op *ops;
    uint32_t op_count;
    uint32_t arrived_count; /* of ops, read from the wire */
    uint32_t started_count;
    uint32_t answered_count;
    uint32_t executed_prefix; /* all before it are executed */
    bool waits_for_answers;   /* sends its next pipeline when the last one is answered */
    bool is_ready;
    bool is_put_off; /* in its last turn something could not start */
    bool is_abandoned;
    struct sim_bytes text;
    size_t text_offset;
};

/** What a seed draws for its history. history.c */
struct sim_shape {
    uint32_t shard_count;
    uint32_t conn_count;
    uint32_t key_count;
    uint32_t op_count_max; /* of a connection */
    uint32_t pipeline_max;
    uint32_t weight_single;
    uint32_t weight_multi;
    uint32_t weight_closed;
    uint32_t weight_gather;
    uint32_t weight_local;
    uint32_t key_span_max; /* keys of one command */
    bool has_deadlines;
    bool has_skew; /* cores look at the clock in their own turns */
    bool has_databases;
    bool has_large_values;
    bool has_endings;
    bool has_journal;
    bool is_strict;       /* pipeline-order strict */
    bool has_priorities;  /* links by a priority that changes now and then */
    uint32_t tag_percent; /* keys that share a slot with the one before */
};

struct sim_record {
    uint16_t db;
    uint32_t argc; /* 0: a place that was kept and not needed */
    struct slice *argv;
};

/** All effects of all shards in an order in which they can be replayed. replay.c */
struct sim_log {
    struct sim_record *records;
    size_t count;
    size_t capacity;
    size_t closed_place;
};

struct sim_options {
    uint64_t seed;
    uint32_t shard_count; /* 0: drawn */
    uint32_t router_faults;
    uint32_t lock_faults;
    bool is_verbose;
    bool is_flood; /* long pipelines that fill mailboxes and lanes */
};

struct sim {
    struct sim_options options;
    struct sim_shape shape;
    struct random random; /* of the scheduler */
    struct config *config;
    struct node *node;
    struct exchange *exchange;
    struct shard *shards[SIM_SHARDS_MAX];
    struct effects journals[SIM_SHARDS_MAX];
    uint32_t priorities[SIM_SHARDS_MAX][SIM_SHARDS_MAX];
    struct sim_conn conns[SIM_CONNS_MAX];
    char keys[SIM_KEYS_MAX][32];
    uint16_t key_slots[SIM_KEYS_MAX];
    uint16_t key_owners[SIM_KEYS_MAX];
    struct sim_model model;
    struct sim_op *closed; /* whose parts are under way */
    struct sim_log log;
    int64_t now_ms;
    uint64_t step_count;
    uint64_t step_count_max;
    uint64_t op_count;
    struct sim_totals *totals;
    bool has_failed;
    char failure[1024];
};

/** Remember the first failure. */
void sim_fail(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_say(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_op_describe(const struct sim_op *op, char *out, size_t size);

/** Draw shape and keys, then (with a node) the requests. history.c */
void sim_shape_draw(struct sim *sim, struct random *random);
void sim_history_draw(struct sim *sim, struct random *random);
void sim_history_destroy(struct sim *sim);

/** Make a node of so many shards. node.c */
struct node *sim_node_new(uint32_t shard_count, const struct command_table *table);
void sim_shards_create(struct shard **shards, struct node *node, const struct config *config,
                       struct exchange *exchange, uint64_t seed);
/** False: something of it was not given back. */
bool sim_shards_destroy(struct shard **shards, uint32_t count);

/** When requests run, and whether they may. witness.c */
void sim_witness_attach(struct sim_op *op);
void sim_witness_rejected(struct sim_op *op);
/** A RETURN arrives at its owner. */
struct loan;
void sim_witness_returned(struct sim *sim, uint32_t shard_index, const struct loan *loan);
/** Take what the connection's output holds and compare it. */
void sim_witness_answers(struct sim_conn *conn);

/** Move new effects of all shards into the log. replay.c */
void sim_log_collect(struct sim *sim);
void sim_log_keep_place(struct sim *sim);
void sim_log_destroy(struct sim_log *log);
/** Replay everything on an empty node of one shard and compare. */
void sim_log_check(struct sim *sim);
/** Compare the shards' data with the model's. */
void sim_data_check(struct sim *sim, struct shard *const *shards, uint32_t shard_count,
                    const char *whose);

/** What the histories of a run consisted of: shows that they are not too tame. */
struct sim_totals {
    uint64_t history_count;
    uint64_t op_count;
    uint64_t mail_count;
    uint64_t loan_count;
    uint64_t wound_count;
    uint64_t full_count;
    uint64_t lane_full_count;
    uint64_t abandoned_count;
    uint64_t expired_count;
    uint64_t revived_count;
    uint64_t effect_count;
};

/** One history from its seed. False: `failure` says what went wrong; the memory is lost then. sim.c
 */
bool sim_run(const struct sim_options *options, const struct command_table *table, char *failure,
             size_t failure_size, struct sim_totals *totals);
