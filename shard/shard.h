/*
 * shard.h: the data that one core owns, and what its commands need around it.
 * A shard is something that is polled, not a thread: it takes time and mail as input (core/reactor
 * does so in the server, tests/sim in the simulator).
 */
#pragma once

#include "core/clock.h"
#include "core/config.h"
#include "core/keyslot.h"
#include "core/list.h"
#include "core/memory.h"
#include "core/random.h"
#include "shard/commandlog_data.h"
#include "shard/durable_data.h"
#include "shard/keyspace.h"
#include "shard/latency_data.h"
#include "shard/stats_data.h"

struct command_table;
struct log;
struct node;
struct session;
struct session_traffic;

#define SHARD_COUNT_MAX 1024

/* What SHUTDOWN asked for: flags of shard_ops.shutdown. */
#define SHUTDOWN_NOSAVE (1u << 0)
#define SHUTDOWN_SAVE (1u << 1)
#define SHUTDOWN_NOW (1u << 2)
#define SHUTDOWN_FORCE (1u << 3)
#define SHUTDOWN_FAILED (1u << 4) /* the server cannot go on: an error to whoever started it */

/* One line: field, INFO name's help. One writer (the shard's core), read by message. */
#define SHARD_COUNTERS(X)                                                                          \
    X(command_count, "commands executed for connections of this core")                             \
    X(executed_count, "commands executed on this shard's keys")                                    \
    X(hit_count, "lookups by reading commands that found their key")                               \
    X(miss_count, "lookups by reading commands that did not")                                      \
    X(expired_count, "keys removed because their deadline had passed")                             \
    X(expired_field_count, "fields of hashes removed because their deadline had passed")           \
    X(evicted_client_count, "connections closed to make room for the others")                      \
    X(evicted_count, "keys removed to make room")                                                  \
    X(mail_sent_count, "messages posted to other cores")                                           \
    X(mail_received_count, "messages taken from other cores")                                      \
    X(mail_put_off_count, "requests put off because a mailbox was full")                           \
    X(forwarded_count, "requests sent to the owner of their key")                                  \
    X(loan_count, "transactions over several owners")                                              \
    X(wound_count, "grants given back to older transactions")                                      \
    X(connection_count, "connections accepted since the start")                                    \
    X(rejected_count, "connections refused because of maxclients")                                 \
    X(error_count, "error replies")                                                                \
    X(turn_count, "turns of the reactor")                                                          \
    X(longest_turn_ns, "CPU time of the longest turn since the last reset")                        \
    X(busy_ns, "time spent working")                                                               \
    X(idle_ns, "time spent waiting")                                                               \
    X(input_size, "bytes read from clients")                                                       \
    X(output_size, "bytes written to clients")                                                     \
    X(read_count, "times that bytes came from a client")                                           \
    X(write_count, "times that bytes went to a client")                                            \
    X(expire_ns, "time spent removing keys whose deadline had passed")
#define COUNTER_FIELD(name, help) uint64_t name;
/** Counters that core 0 reads without asking, told now and then. */
struct shard_told {
    _Atomic uint64_t change_count; /* changed keys since the start */
    _Atomic uint64_t aof_size;     /* bytes that this shard has appended to its log */
    _Atomic uint64_t aof_written_size;
    _Atomic uint64_t aof_synced_size;
    _Atomic uint64_t memory_size;     /* of the account */
    _Atomic uint64_t saved_key_count; /* keys that the running snapshot has written */
};

struct shard_counters {
    SHARD_COUNTERS(COUNTER_FIELD)
};

/** What all cores share: constant after the start, but for the atomics. */
struct node {
    uint32_t shard_count;
    struct shard **shards; /* by index; for what they tell, and while all are closed */
    const struct command_table *commands;
    struct log *log;
    char run_id[41];
    uint64_t boot_id; /* process_boot_id() */
    int64_t start_ms;
    _Atomic int32_t tcp_port; /* 0: none; changed by CONFIG SET, for INFO */
    char executable[4096];
    struct clock_scale clock_scale;
    const char *io_reason; /* back end and why, for INFO */
    const char *io_name;
    /** slot -> shard. Changed only while every shard is closed. */
    uint16_t slot_owner[SLOT_COUNT];
    /** The next ticket of a transaction: total order over all of them. */
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t ticket_next;
    /** The next client id: given at accept. */
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t session_id_next;
    /** Connections of all cores, for maxclients: added at accept, taken off at close. */
    _Alignas(CACHE_LINE_SIZE) _Atomic int64_t connection_count;
    /** Bytes that the clients of all cores take, for maxmemory-clients, as of each core's last
     * look. */
    _Alignas(CACHE_LINE_SIZE) _Atomic int64_t client_memory_size;
    struct commandlog_numbers commandlogs[COMMANDLOG_TYPE_COUNT]; /* see shard/commandlog.h */
    /** Files are being loaded: set before the cores start or while all shards are closed. */
    _Atomic bool is_loading;
    /** A snapshot or the log's base is being written. */
    _Atomic bool is_saving;
    /** Why writes are refused: enum durable_refusal. */
    _Atomic uint32_t write_refusal;
    _Atomic int32_t write_error; /* errno of a log that cannot be written */
};

/** What deadlines are compared with; 0 while files are loaded, which tell the end of each key that
 * has ended. */
#define shard_deadline_now(shard) ((shard)->now_ms & (shard)->clock_mask)

/** What a command may have to wait for, or be refused for, or told of. */
enum shard_hurdle {
    HURDLE_FILES = 1 << 0,   /* the state of the files: see shard/refusal.h; set once a turn */
    HURDLE_PAUSE = 1 << 1,   /* pause_until_ms is not 0 */
    HURDLE_MONITOR = 1 << 2, /* some core has monitors: see shard/monitor.h */
};

struct shard {
    uint32_t index;
    struct node *node;
    const struct config *config; /* this core's snapshot */
    struct memory memory;
    uint64_t memory_start_size; /* what the empty shard used when it was ready to serve */
    struct keyspace keyspace;
    struct random random;
    int64_t now_ms;      /* the turn's clock; deadlines are compared with it */
    int64_t clock_mask;  /* -1; 0 while files are loaded: then no deadline has passed */
    uint64_t now_ns;     /* the turn's monotonic clock */
    uint64_t last_ticks; /* CPU ticks at the end of the last command */
    /** Slow commands, large requests and replies; see shard/commandlog.h. */
    struct commandlog commandlog;
    bool is_expiry_paused; /* DEBUG SET-ACTIVE-EXPIRE 0 */
    struct shard_counters counters;
    uint64_t change_count; /* keys that were changed: "dirty" */
    struct shard_told told;
    struct stats stats;              /* by command and error code; see shard/stats.h */
    struct latency latency;          /* what took too long lately */
    int32_t cpu;                     /* the CPU that the core is pinned to, -1: none */
    struct effects *journal;         /* where effects go; NULL: nobody reads them */
    struct journal *journal_room;    /* shard/journal.h; `journal` points into it when it is read */
    struct durable durable;          /* what has reached the files, and who waits for it */
    struct ring *ring;               /* the core's, for files; NULL in the simulator */
    struct aof *aof;                 /* shard/aof.h; NULL: there is no append-only file */
    struct snapshot *snapshot;       /* shard/snapshot.h; NULL: none runs here */
    struct loader *loader;           /* shard/loader.h; NULL: nothing is loaded */
    struct persistence *persistence; /* shard/persistence.h; shard 0's only */
    uint32_t interest;       /* INTEREST_: who wants to hear of changed keys; see shard/change.h */
    uint64_t actor_id;       /* the session whose changes are being carried out */
    uint32_t actor_core;     /* its core, where it has read what is tracked */
    uint32_t notify_classes; /* NOTIFY_: events that are published; 0: none */
    struct effects *events;  /* of the command that runs; see shard/notify.h */
    struct watch_table *watches; /* shard/watch.h */
    struct pubsub *pubsub;       /* shard/pubsub.h */
    struct tracking *tracking;   /* shard/tracking.h */
    struct block_table *block;   /* shard/block.h */
    struct list sessions;        /* of the connections of this core */
    uint32_t session_count;
    /** Of the largest client here that may be evicted; other cores read it. */
    _Atomic uint64_t client_largest_size;
    struct lock_table *locks; /* what is lent; see shard/lock.h */
    struct router *router;    /* mail, batches and transactions under way; see shard/router.h */
    uint32_t hurdles;         /* HURDLE_ bits: 0, and a command is not looked at before it runs */
    int64_t pause_until_ms;   /* CLIENT PAUSE: commands of this core's clients wait; 0: no pause */
    bool is_pause_all;        /* reads too */
    struct shard_ops {
        /** Close the connection: at once, or when its replies have left. */
        void (*session_close)(void *core, struct session *session, bool after_reply);
        /** End the process, as SHUTDOWN asks; flags as parsed. */
        void (*shutdown)(void *core, uint32_t flags);
        /** Bytes that the connection has in its buffers. */
        void (*session_traffic)(void *core, struct session *session,
                                struct session_traffic *traffic);
        /** A reply that lent bytes of a string of shard `owner` has left from `from`: raw_unpin()
         * there. */
        void (*raw_unpin)(struct shard *from, uint32_t owner, struct raw *raw);
        /** Answers that waited for the disk may leave (shard/durable.h). NULL: nobody waits. */
        void (*durable_advanced)(void *core);
        /** CONFIG SET: put to work what has changed (listeners, log ...), at the coordinator while
         * all shards are closed, before any of them sees `now`. 0, or -errno with the error reply's
         * text; config_set_error() makes it. NULL: nothing to do. */
        int (*config_apply)(void *core, const struct config *old, const struct config *now,
                            char *error, size_t error_size);
    } ops;
    void *core; /* the reactor's, for ops */
};

struct exchange;

/** What is random or read from the world at the start; the simulator chooses it. */
struct shard_seed {
    uint64_t hash_seed; /* the same for all shards of a node */
    uint64_t random_seed;
    int64_t now_ms;
};

void shard_create(struct shard *shard, struct node *node, uint32_t index,
                  const struct config *config, struct exchange *exchange,
                  const struct shard_seed *seed);
/** Nothing of it is lent or under way. */
void shard_destroy(struct shard *shard);
/** The first half of it: all is freed but the memory's own books, which must be even then. */
void shard_clear(struct shard *shard);

/** Put into `told` what core 0 wants to know now and then. The shard's thread. */
void shard_tell(struct shard *shard);

/** Remove keys whose deadline is not after now_ms, touching at most `step_count_max`. Returns how
 * many it touched. Owner thread. */
uint32_t shard_expire(struct shard *shard, uint32_t step_count_max);

/** The key's time is over: out with it, with all who have to hear of it. Owner thread. */
void shard_key_expired(struct shard *shard, uint16_t db, uint16_t slot, uint64_t hash,
                       struct entry *entry);

/** Free flushed contents in steps. True: nothing is left. Owner thread. */
bool shard_collect(struct shard *shard, uint32_t step_count_max);

static inline void
shard_hurdle_set(struct shard *shard, enum shard_hurdle hurdle, bool is_there)
{
    shard->hurdles = is_there ? shard->hurdles | hurdle : shard->hurdles & ~(uint32_t)hurdle;
}

/** Commands of this core's clients wait until then; 0: no pause. */
static inline void
shard_pause_set(struct shard *shard, int64_t until_ms)
{
    shard->pause_until_ms = until_ms;
    shard_hurdle_set(shard, HURDLE_PAUSE, until_ms != 0);
}
