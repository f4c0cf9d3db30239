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
#include "shard/journal.h"
#include "shard/lane.h"
#include "shard/request.h"
#include "shard/session.h"
#include "shard/shard.h"

#define SIM_SHARDS_MAX 8
#define SIM_CONNS_MAX 8
#define SIM_KEYS_MAX 12
#define SIM_DATABASES 2
#define SIM_PATTERNS 3
/** What can be subscribed to: a channel for each key, then the patterns. */
#define SIM_TOPICS (SIM_KEYS_MAX + SIM_PATTERNS)
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
    /* transactions */
    VERB_WATCH,
    VERB_UNWATCH,
    VERB_MULTI,
    VERB_EXEC,
    VERB_DISCARD,
    /* lists */
    VERB_LPUSH,
    VERB_RPUSH,
    VERB_LPOP,
    VERB_RPOP,
    VERB_LLEN,
    VERB_LRANGE,
    VERB_LMOVE,
    VERB_BLPOP, /* number: timeout in ms */
    VERB_BRPOP,
    VERB_BLMOVE,
    /* channels */
    VERB_PUBLISH,
    VERB_SUBSCRIBE, /* or PSUBSCRIBE */
    VERB_UNSUBSCRIBE,
    /* caches */
    VERB_TRACKING, /* cache: how, from now on */
    VERB_CACHING,
};

enum { SIM_SET_PLAIN, SIM_SET_NX, SIM_SET_XX, SIM_SET_GET, SIM_SET_PX, SIM_SET_KEEPTTL };

/** What a history is about. */
enum sim_theme {
    THEME_STRINGS,
    THEME_LISTS,    /* and those who wait for their elements */
    THEME_CHANNELS, /* and those who subscribe to them */
    THEME_BANK,     /* accounts, and a counter */
    THEME_CACHE,    /* strings, and those who keep what they have read */
};

/** How a connection tracks what it reads. */
enum sim_cache_mode { CACHE_OFF, CACHE_DEFAULT, CACHE_OPTIN, CACHE_BCAST, CACHE_MODES };

struct sim_cache_options {
    enum sim_cache_mode mode;
    bool is_noloop;
    const char *prefix; /* BCAST */
};

/** What CLIENT UNBLOCK has ended a wait with. */
enum sim_unblock { SIM_UNBLOCK_NONE, SIM_UNBLOCK_TIMEOUT, SIM_UNBLOCK_ERROR };

/** Of a list that is taken from: there is none. */
#define SIM_NO_POSITION UINT32_MAX

enum sim_kind {
    KIND_SINGLE,      /* the keys of one owner */
    KIND_TRANSACTION, /* of several */
    KIND_CLOSED,      /* all shards closed first */
    KIND_GATHER,      /* all shards asked */
    KIND_LOCAL,
    KIND_REJECTED,
};

/** How often a key was changed, as far as WATCH is concerned. */
struct sim_mark {
    uint64_t changed; /* by commands: EXEC must not run */
    uint64_t perhaps; /* EXEC may run or not: a deadline was about, or nothing came of it */
    int64_t deadline_ms;
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
    bool is_from_first; /* LMOVE: LEFT */
    bool is_to_first;
    bool is_refused; /* by the router; `expected` is the error */
    uint32_t argc;
    struct slice *argv;
    uint32_t key_count;
    uint32_t *keys;
    struct slice *values; /* by position of the key; a value without a key is the first */
    struct sim_op *exec;  /* queued: the EXEC or DISCARD that ends its transaction */
    uint32_t queue_first; /* EXEC: the queue is among the requests from here on ... */
    uint32_t queue_count;
    uint32_t watch_first; /* ... and the WATCHes are among those from here on */
    /* ---- what has become of it ---- */
    struct sim_mark *seen; /* WATCH: of its keys when it ran */
    uint32_t queue_run_count;
    uint64_t ticket; /* of one that waits */
    int64_t start_ms;
    enum sim_unblock unblocked;
    /* ---- accounts ---- */
    const struct sim_op *base; /* SET of what this GET has found and one more */
    int64_t found;
    /* ---- caches ---- */
    struct sim_cache_options cache; /* TRACKING */
    bool is_kept;                   /* a read: its reply may be */
    /* ---- channels ---- */
    uint32_t topic_count; /* SUBSCRIBE */
    uint32_t *topics;
    uint64_t *orders; /* the last messages of all channels when it was sent */
    uint32_t channel; /* PUBLISH */
    uint64_t order;   /* of its message in the channel, from 1 on */
    bool is_lent;     /* its channel is borrowed: the message leaves with RETURN */
    uint64_t promised_count;
    uint64_t heard_count;
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
    /* ---- the disk ---- */
    uint32_t *found_groups; /* for each key: of its shard, that it has seen; 0: none */
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
    struct sim_mark marks[SIM_DATABASES][SIM_KEYS_MAX];
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

void sim_cell_set(struct sim_model *model, struct sim_cell *cell, const char *value, size_t size);
void sim_cell_clear(struct sim_model *model, struct sim_cell *cell);

/** The same for commands on lists that are not on keys of any type; `position`: of the key that an
 * element is taken from, or SIM_NO_POSITION. model_list.c */
void sim_list_run(struct sim_model *model, const struct sim_op *op, uint32_t position,
                  uint8_t protocol, struct sim_bytes *reply);
bool sim_op_may_wait(const struct sim_op *op);
/** Of its keys: those that it waits for. */
uint32_t sim_op_waited_count(const struct sim_op *op);

/** What the server has of a connection: freed as soon as its lane says that it has ended. */
struct sim_wire {
    struct sim_conn *conn;
    struct session session;
    struct lane lane;
    struct output output;
    uint64_t taken_size; /* of the output, so far */
    uint64_t send_limit; /* what lies behind it waits for held_mark */
    uint64_t held_mark;  /* 0: nothing waits */
};

/** What a connection has heard by one subscription: numbers of messages, for each channel. */
struct sim_hearing {
    bool is_on;
    uint64_t asked[SIM_KEYS_MAX];     /* the last one when SUBSCRIBE was sent */
    uint64_t confirmed[SIM_KEYS_MAX]; /* when its confirmation was read */
    uint64_t last[SIM_KEYS_MAX];      /* heard; 0: none */
};

/** What a client keeps of a key; `value` NULL: that it does not exist. */
struct sim_kept {
    bool is_kept;
    char *value;
    size_t size;
};

/** As its replies have left it so far. */
struct sim_cache {
    struct sim_cache_options options;
    struct sim_kept kept[SIM_KEYS_MAX];
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
    struct sim_op *waiting; /* for a key */
    bool hears;             /* it subscribes now and then, or tracks what it reads */
    struct sim_cache cache;
    struct sim_hearing hearings[SIM_TOPICS];
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
    enum sim_theme theme;
    uint32_t push_percent; /* of the requests on lists */
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
    uint32_t exec_percent; /* WATCH, MULTI among the requests outside of transactions */
    uint32_t key_span_max; /* keys of one command */
    bool has_deadlines;
    bool has_skew; /* cores look at the clock in their own turns */
    bool has_databases;
    bool has_large_values;
    bool has_endings;
    bool has_journal;
    bool has_slow_disk;   /* answers wait for it, if there is a journal */
    bool is_strict;       /* pipeline-order strict */
    bool has_priorities;  /* links by a priority that changes now and then */
    bool has_crash;       /* the journals are written to a disk, and the machine stops */
    uint32_t crash_often; /* once in so many steps */
    enum config_appendfsync appendfsync;
    uint32_t tag_percent; /* keys that share a slot with the one before */
};

struct sim_record {
    uint64_t generation; /* cuts before it, twice; what stands at a cut is odd */
    uint16_t db;
    uint32_t argc;
    struct slice *argv;
};

/** All effects of all shards in an order in which they can be replayed. replay.c */
struct sim_log {
    struct sim_record *records;
    size_t count;
    size_t capacity;
    uint64_t generation_last;
};

/** A shard's journal is read into the log; what was read is safe some time later. */
struct sim_reader {
    struct journal_reader reader;
    struct sim *sim;
    struct shard *shard;
    uint64_t generation;
};

/** Rules of the log that can be left out. */
enum sim_disk_fault {
    DISK_FAULT_EARLY_ANSWERS = 1 << 0, /* answers leave before their changes are in the files */
    DISK_FAULT_NO_PARTS = 1 << 1,      /* no lines that name the participants */
    DISK_FAULT_CUT_OPEN = 1 << 2,      /* a cut does not close the shards */
    DISK_FAULT_EARLY_FILES = 1 << 3,   /* files are named before what they stand on is on disk */
    DISK_FAULT_EARLY_MARKS = 1 << 4,   /* transactions are complete before they are on disk */
    DISK_FAULT_BLIND_MARKS = 1 << 5,   /* ... before they are written */
};

struct sim_options {
    uint64_t seed;
    uint32_t shard_count; /* 0: drawn */
    uint32_t router_faults;
    uint32_t lock_faults;
    bool is_verbose;
    bool is_flood; /* long pipelines that fill mailboxes and lanes */
    bool is_crash; /* histories with a disk */
    uint32_t disk_faults;
};

struct sim {
    struct sim_options options;
    struct sim_shape shape;
    struct random random; /* of the scheduler */
    struct config *config;
    struct node *node;
    struct exchange *exchange;
    struct shard *shards[SIM_SHARDS_MAX];
    struct sim_reader readers[SIM_SHARDS_MAX];
    uint32_t priorities[SIM_SHARDS_MAX][SIM_SHARDS_MAX];
    struct sim_conn conns[SIM_CONNS_MAX];
    char keys[SIM_KEYS_MAX][32];
    uint16_t key_slots[SIM_KEYS_MAX];
    uint16_t key_owners[SIM_KEYS_MAX];
    struct sim_model model;
    uint64_t channel_orders[SIM_KEYS_MAX];          /* messages published */
    struct sim_op *closed;                          /* whose parts are under way */
    struct sim_op *exec;                            /* that runs: nobody else may */
    bool exec_existed[SIM_DATABASES][SIM_KEYS_MAX]; /* when it began ... */
    struct sim_mark exec_marks[SIM_DATABASES][SIM_KEYS_MAX];
    struct sim_log log;
    struct sim_disk *disk; /* NULL: none */
    int64_t now_ms;
    uint64_t step_count;
    uint64_t step_count_max;
    uint64_t op_count;
    struct sim_totals *totals;
    bool has_failed;
    char wrong[200]; /* the command of an EXEC whose reply is wrong */
    char failure[1024];
};

/** Remember the first failure. */
void sim_fail(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_say(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_op_describe(const struct sim_op *op, char *out, size_t size);

/** A number of the scheduler's, below `bound`. sim.c */
uint32_t sim_below(struct sim *sim, uint32_t bound);

/** Connections. conn.c */
void sim_conn_create(struct sim *sim, uint32_t index);
void sim_wire_delete(struct sim_wire *wire);
/** Start what has been read, until something has to wait. */
void sim_conn_turn(struct sim *sim, struct sim_conn *conn);
/** Read the next pipeline. */
void sim_conn_arrive(struct sim *sim, struct sim_conn *conn);
/** It ends in the middle. */
void sim_conn_abandon(struct sim *sim, struct sim_conn *conn);
bool sim_conn_is_through(const struct sim_conn *conn);
/** One of the connections for which `wanted` holds, evenly; NULL: none. */
struct sim_conn *sim_conn_pick(struct sim *sim, bool (*wanted)(const struct sim_conn *conn));
bool sim_conn_may_arrive(const struct sim_conn *conn);
bool sim_conn_wants_turn(const struct sim_conn *conn);
bool sim_conn_may_end(const struct sim_conn *conn);
bool sim_conn_waits(const struct sim_conn *conn);

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
/** A RETURN, or the commit of a step, arrives at its owner. */
struct loan;
void sim_witness_returned(struct sim *sim, uint32_t shard_index, const struct loan *loan);

/** EXEC and WATCH. witness_exec.c */
void sim_exec_begin(struct sim_op *exec);
/** One more of its commands has run. */
void sim_exec_step(struct sim_op *exec);
void sim_watch_run(struct sim_op *watch);
/** An EXEC none of whose commands has run: is there a reason? */
bool sim_exec_may_run_nothing(const struct sim_op *exec);
/** It has not run, and has answered so. */
void sim_exec_skipped(struct sim_op *exec);

/** Those who wait. witness_block.c */
struct call;
uint32_t sim_list_source(struct sim_op *op, const struct call *call);
/** Does the command, as it runs now, see the key? Not those that did not wake it. */
bool sim_op_sees(const struct sim_op *op, const struct call *call, uint32_t position);
/** It waits, and runs where its key is. */
bool sim_op_is_served_by_owner(const struct sim_op *op);
void sim_wait_begin(struct sim_op *op);
void sim_wait_end(struct sim_op *op);
/** After each step: keep what is known of those who wait. */
void sim_wait_look(struct sim *sim);
/** No mail is under way: does anybody wait for what is there? */
void sim_wait_check(struct sim *sim);
void sim_wait_unblock(struct sim_conn *conn, bool is_error);
/** Has the wait ended, perhaps, though its answer is not there yet (held behind others)? */
bool sim_wait_may_be_over(const struct sim_op *op);
/** The answer of one that was not served. */
bool sim_wait_answer_is_right(struct sim_op *op, const char *text, size_t size);

/** Accounts. history_bank.c */
void sim_bank_fill(struct sim_op *op);
bool sim_bank_answer_is_right(struct sim_op *op, const char *text, size_t size);
void sim_bank_check(struct sim *sim);

/** Channels. history_channel.c, witness_channel.c */
const char *sim_topic_name(const struct sim *sim, uint32_t topic);
bool sim_topic_matches(const struct sim *sim, uint32_t topic, uint32_t channel);
void sim_publish_run(struct sim_op *op, const struct call *call);
/** A borrowed channel comes home. */
void sim_publish_returned(struct sim *sim, uint64_t session_id, struct slice channel);
void sim_subscribe_start(struct sim_op *op);
void sim_subscribe_confirmed(struct sim_op *op);
/** Is the whole reply at the start of the text a message? Then it was taken. */
bool sim_message_take(struct sim_conn *conn, const char *text);
/** In the end: has everybody heard everything? */
void sim_channels_check(struct sim *sim);

/** The request begins to run: is everything done that has to be before? witness.c */
void sim_op_begin(struct sim_op *op);
void sim_op_executed(struct sim_op *op, const char *where);
/** The request in whose place it runs: EXEC of what was queued, else itself. */
static inline struct sim_op *
sim_op_whole(struct sim_op *op)
{
    return op->exec != NULL ? op->exec : op;
}

/** Caches. witness_cache.c */
void sim_cache_answered(struct sim_op *op, const char *text, size_t size);
/** Is the whole reply at the start of the text an invalidation? Then it was taken. */
bool sim_invalidation_take(struct sim_conn *conn, const char *text);
/** No mail is under way: does anybody keep what is not so? `is_end`: what is over is removed. */
void sim_cache_check(struct sim *sim, bool is_end);
void sim_cache_destroy(struct sim_cache *cache);

/** Take what the connection's output holds and compare it. answers.c */
void sim_witness_answers(struct sim_conn *conn);
/** Bytes of the reply at the start of `text`; 0: not all there. answers.c */
size_t sim_reply_size(const char *text, size_t size);

/** From now on what the shard changes goes into the log. replay.c */
void sim_log_follow(struct sim *sim, uint32_t index);
void sim_log_leave(struct sim *sim, uint32_t index);
/** Move new effects of the shard into the log; they are safe with it, or (chance) later. */
void sim_log_collect(struct sim *sim, uint32_t index);
/** Everything is in the log, and safe. */
void sim_log_settle(struct sim *sim);
void sim_log_destroy(struct sim_log *log);
/** Replay everything on an empty node of one shard and compare. */
void sim_log_check(struct sim *sim);
/** Compare the shards' data with the model's. */
void sim_data_check(struct sim *sim, struct shard *const *shards, uint32_t shard_count,
                    const char *whose);

/** The disk, which takes the place of the log's reader as far as time is concerned. disk.c */
void sim_disk_create(struct sim *sim);
void sim_disk_destroy(struct sim *sim);
/** The end of a turn of the shard: what it has journaled is on its way to its file. */
void sim_disk_flush(struct sim *sim, uint32_t index);
/** MAIL_AOF, which is taken. */
void sim_disk_receive(struct sim *sim, uint32_t to, struct mail *mail);
/** Core 0 asks which transactions are complete. */
void sim_disk_mark(struct sim *sim);
/** Something on the disk's side happens, perhaps. False: there is nothing that could. */
bool sim_disk_step(struct sim *sim);
/** All that is on its way is there, as far as the disk is concerned. */
void sim_disk_settle(struct sim *sim);
/** A cut of all logs, as a rewrite makes it: nothing is lent. */
void sim_disk_cut(struct sim *sim);
/** From here on the shards' logs write no more. */
void sim_disk_stop(struct sim *sim);
/** The machine stops here: would all be there that has to? The history itself goes on. */
void sim_disk_crash(struct sim *sim);
/** The command runs on the shard for itself, or under a loan. witness_disk.c */
void sim_disk_run(struct sim_op *op, const struct call *call);
void sim_disk_returned(struct sim *sim, uint32_t index, const struct loan *loan);
/** RETURN has been carried out, or a step is over. */
void sim_disk_forget(struct sim *sim, uint32_t index);
/** The log's reader: `count` records for the next group; a cut. */
void sim_disk_group(struct sim *sim, uint32_t index, size_t record_first, uint32_t record_count);
void sim_disk_barrier(struct sim *sim, uint32_t index, uint64_t generation);
/** Answers of this core wait in their connection. conn.c */
void sim_conn_release(struct sim_conn *conn);
uint32_t sim_conn_held_count(const struct sim *sim);

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
    uint64_t exec_count;
    uint64_t dirty_count;
    uint64_t wait_count;
    uint64_t served_count;
    uint64_t timeout_count;
    uint64_t publish_count;
    uint64_t heard_count;
    uint64_t kept_count;
    uint64_t invalidated_count;
    uint64_t crash_count;
    uint64_t crash_group_count;
    uint64_t crash_lost_count;
    uint64_t crash_dropped_count;
};

/** One history from its seed. False: `failure` says what went wrong; the memory is lost then. sim.c
 */
bool sim_run(const struct sim_options *options, const struct command_table *table, char *failure,
             size_t failure_size, struct sim_totals *totals);
