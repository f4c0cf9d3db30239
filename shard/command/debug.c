/*
 * debug.c: DEBUG: what tests and the curious need.
 *
 * All of it is shut unless enable-debug-command opens it, to everybody or to clients of this
 * machine; that is checked before anything else. To redis-server DEBUG is one command without
 * subcommands, so it has one row here too; it finds its verb by name and number of arguments
 * itself, and answers what it does not know with an error of its own.
 *
 * The row closes all shards and asks them. What is answered by the coordinator alone is answered in
 * check(). SLEEP stops all cores at the same time, because its users want to see a server that
 * answers nobody: each core sleeps in its own part, so they stop together but for the way of the
 * mail, and the reply waits for the last. OBJECT asks all shards though one owns the key: a request
 * that is routed by its key runs where nobody knows the client, and whether it may. DIGEST reads
 * whole values, all as they are at one instant, and none may be lent to another core meanwhile:
 * that is what the shards are closed for. The others can do with it, and a row has one scope.
 */
#include "core/glob.h"
#include "core/heap.h"
#include "core/number.h"
#include "core/process.h"
#include "core/ring_fault.h"
#include "shard/command/debug_internal.h"
#include "shard/command/digest.h"
#include "shard/command/families.h"
#include "shard/command/persistence.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/value/quicklist.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/** Longest number that SLEEP is asked for; what is behind it does not matter. */
#define DEBUG_SECONDS_SIZE_MAX 64
/** A day: longer is a mistake, and must fit in microseconds. */
#define DEBUG_SECONDS_MAX 86400.0

#define DEBUG_SHUT_TEXT                                                                            \
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you "  \
    "can run it from a local connection, otherwise you need to set this option in the "            \
    "configuration file, and then restart the server."

static bool
debug_is_open(const struct call *call)
{
    enum config_protected_access access =
        (enum config_protected_access)call->shard->config->enable_debug_command;
    bool is_local = call->session != NULL && session_is_local(call->session);
    return access == CONFIG_ACCESS_YES || (access == CONFIG_ACCESS_LOCAL && is_local);
}

void
debug_unknown(struct call *call)
{
    struct slice name = call->argv[1];
    reply_error_format(call->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG "
                       "HELP.",
                       (int)MIN(name.size, (size_t)128), name.data);
}

/** A number at the front of the text, else 0: as lenient as redis-server. */
static double
debug_seconds(struct slice text)
{
    char copy[DEBUG_SECONDS_SIZE_MAX + 1];
    size_t size = MIN(text.size, (size_t)DEBUG_SECONDS_SIZE_MAX);
    if (size > 0) {
        memcpy(copy, text.data, size);
    }
    copy[size] = '\0';
    double seconds = strtod(copy, NULL);
    return isnan(seconds) || seconds < 0 ? 0 : MIN(seconds, DEBUG_SECONDS_MAX);
}

static void
debug_sleep_part(struct part *part)
{
    process_sleep_us((uint64_t)(debug_seconds(part->argv[2]) * 1e6));
}

void
debug_ok(struct call *call)
{
    reply_ok(call->reply);
}

static void
debug_set_active_expire_part(struct part *part)
{
    char first = part->argv[2].size > 0 ? part->argv[2].data[0] : '0';
    part->shard->is_expiry_paused = first < '1' || first > '9';
}

/** What is behind the line for a list of several listpacks. */
static int
debug_quicklist(const struct shard *shard, const struct value *value, char *text, size_t size_max)
{
    const struct quicklist *quicklist = value->object;
    uint64_t size = 0;
    for (const struct quicklist_node *node = quicklist->first; node != NULL; node = node->next) {
        size += quicklist_node_size(node);
    }
    return snprintf(text, size_max,
                    " ql_nodes:%u ql_avg_node:%.2f ql_listpack_max:%lld ql_compressed:%d "
                    "ql_uncompressed_size:%llu",
                    quicklist->node_count, (double)quicklist->count / quicklist->node_count,
                    (long long)shard->config->list_max_listpack_size,
                    quicklist->compressed_count > 0 || shard->config->list_compress_depth > 0,
                    (unsigned long long)size);
}

/** The owner writes the line into part->bytes. A collection that is lent has no size now: it is the
 * borrower's to change, only the header is ours to read. */
static void
debug_object_part(struct part *part)
{
    const struct shard *shard = part->shard;
    struct slice key = part->argv[2];
    uint16_t slot = key_slot(key);
    if (shard->node->slot_owner[slot] != shard->index) {
        return;
    }
    const struct entry *entry =
        keyspace_find(&shard->keyspace, part->db, slot, key, keyspace_hash(&shard->keyspace, key));
    if (entry == NULL || (entry_has_deadline(entry) && entry_deadline_ms(entry) <= shard->now_ms)) {
        return;
    }
    struct value value;
    entry_value(entry, &value);
    bool is_here = !value.is_object || !entry_is_lent(entry);
    uint64_t size = is_here ? debug_file_size(shard, &value) : 0;
    uint32_t now = (uint32_t)(shard->now_ms / 1000) & 0xffffff;
    char text[512];
    int text_size = snprintf(
        text, sizeof(text),
        "+Value at:%p refcount:1 encoding:%s serializedlength:%llu lru:%u lru_seconds_idle:%u",
        (const void *)entry, value_encoding_name((enum value_encoding)value.encoding),
        (unsigned long long)size, entry_access(entry), (now - entry_access(entry)) & 0xffffff);
    if (value.is_object && value.encoding == ENCODING_QUICKLIST && !entry_is_lent(entry)) {
        text_size +=
            debug_quicklist(shard, &value, text + text_size, sizeof(text) - (size_t)text_size);
    }
    ASSERT(text_size > 0 && (size_t)text_size < sizeof(text));
    output_append(&part->bytes, text, (size_t)text_size);
    output_append(&part->bytes, "\r\n", 2);
}

static void
debug_object(struct call *call)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct output *bytes = &call->parts[i].bytes;
        if (!output_is_empty(bytes)) {
            char *text = output_flatten(bytes);
            reply_raw(call->reply, slice_of(text, bytes->byte_count));
            heap_free(text);
            return;
        }
    }
    reply_error(call->reply, "ERR no such key");
}

/** STRINGMATCH-LEN <pattern> <text> */
static void
debug_stringmatch_len(struct call *call)
{
    reply_i64(call->reply, glob_match(call->argv[2], call->argv[3], false));
}

#ifdef TESSERA_SLOW_ASSERTS

static bool
debug_fault_kind(struct slice name, enum ring_fault_kind *kind)
{
    char copy[16] = "";
    memcpy(copy, name.data, MIN(name.size, sizeof(copy) - 1));
    return ring_fault_parse(copy, kind);
}

static bool
debug_fault_error(struct slice name, int32_t *error)
{
    static const struct {
        const char *name;
        int32_t error;
    } rows[] = {{"none", 0},        {"enospc", ENOSPC}, {"eio", EIO},     {"erofs", EROFS},
                {"enoent", ENOENT}, {"edquot", EDQUOT}, {"efbig", EFBIG}, {"eacces", EACCES}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (slice_is_word(name, rows[i].name)) {
            *error = rows[i].error;
            return true;
        }
    }
    return false;
}

/** FILE-FAULT <kind> <error> <pass> <fail> <size> <delay ms>; of the numbers some may be left out.
 */
static bool
debug_fault_parse(const struct call *call, enum ring_fault_kind *kind, struct ring_fault *fault)
{
    uint64_t numbers[4] = {0};
    if (call->argc < 4 || call->argc > 4 + ARRAY_COUNT(numbers) ||
        !debug_fault_kind(call->argv[2], kind) ||
        !debug_fault_error(call->argv[3], &fault->error)) {
        return false;
    }
    for (uint32_t i = 4; i < call->argc; i++) {
        if (!number_parse_u64(call->argv[i], &numbers[i - 4]) || numbers[i - 4] > UINT32_MAX) {
            return false;
        }
    }
    fault->pass_count = (uint32_t)numbers[0];
    fault->fail_count = (uint32_t)numbers[1];
    fault->size_max = (uint32_t)numbers[2];
    fault->delay_ms = (uint32_t)numbers[3];
    return true;
}

/** What goes wrong with the files of all cores from now on; OFF: nothing. Replies how often the
 * kind was hit since it was last set. */
static void
debug_file_fault(struct call *call)
{
    struct ring_faults *faults = ring_faults_of(call->shard->ring);
    enum ring_fault_kind kind;
    struct ring_fault fault = {0};
    bool is_off = call->argc == 4 && slice_is_word(call->argv[3], "off") &&
                  debug_fault_kind(call->argv[2], &kind);
    if (!is_off && !debug_fault_parse(call, &kind, &fault)) {
        reply_error(call->reply, "ERR DEBUG FILE-FAULT write|sync|work none|enospc|eio|...|off "
                                 "[pass [fail [size [delay-ms]]]]");
        return;
    }
    uint64_t hit_count = ring_fault_hit_count(faults, kind);
    ring_fault_set(faults, kind, is_off ? NULL : &fault);
    reply_i64(call->reply, (int64_t)hit_count);
}

#endif

static const char *const debug_help_lines[] = {
    "CHANGE-REPL-ID",
    "    Nothing, as long as there is no replication.",
    "CLIENT-EVICTION",
    "    What clients take, and maxmemory-clients.",
    "DICT-RESIZING <0|1>",
    "    Nothing: tables grow and shrink in small steps at any time.",
    "DIGEST",
    "    A fingerprint of all data: redis-server has the same for the same data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    A fingerprint of each value; zeros for a key that does not exist.",
    "ERROR <text>",
    "    An error reply with this text.",
    "HTSTATS <db>",
    "    How large the tables of a database are, over all slots.",
    "HTSTATS-KEY <key>",
    "    The same for a set, hash or sorted set that has a table.",
    "LISTPACK <key>",
    "    Show the elements of a listpack in the log.",
    "LOADAOF",
    "    Write what is left of the log, drop all data and load the log.",
    "LOG <text>",
    "    A line in the log.",
    "OBJECT <key>",
    "    How the value of a key is kept. The length is that in a snapshot.",
    "PAUSE-CRON <0|1>",
    "    Nothing: what is done now and then goes on.",
    "POPULATE <count> [<prefix> [<size>]]",
    "    Make the keys <prefix>:0, <prefix>:1 ... that are not there yet (prefix: key), with the",
    "    values value:0, value:1 ..., cut or filled up with zero bytes to a size. No log has them.",
    "PROTOCOL <kind>",
    "    A reply of a kind: string, integer, double, bignum, null, array, set, map, attrib, push,",
    "    verbatim, true, false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Nothing: all elements of lists are in listpacks.",
    "RELOAD [NOSAVE] [NOFLUSH] [MERGE]",
    "    Write a snapshot, drop all data and load it. NOSAVE: load the file that is there.",
    "    NOFLUSH: drop nothing; a key that is there already ends the load with an error.",
    "    MERGE: it gives way to the file's.",
    "REPLYBUFFER PEAK-RESET-TIME <ms|NEVER|RESET>, REPLYBUFFER RESIZING <0|1>",
    "    Nothing: a client has a reply buffer while it has replies.",
    "SDSLEN <key>",
    "    Sizes of a key and its string, and of the memory that they take.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether keys are removed at their deadline (1) or when they are next asked for (0).",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Nothing, as long as there are no scripts.",
    "SLEEP <seconds>",
    "    Stop all cores; decimals are fine.",
    "STRINGMATCH-LEN <pattern> <text>",
    "    1 if the pattern matches the text, else 0.",
    "STRUCTSIZE",
    "    Sizes of some structures.",
    NULL,
};

static void
debug_help(struct call *call)
{
    reply_help(call->reply, "DEBUG", debug_help_lines);
}

/* ---- which of them ---- */

struct debug_verb {
    const char *name;
    uint32_t argc;                    /* with DEBUG itself */
    bool is_open_ended;               /* any number of arguments more */
    bool (*check)(struct call *call); /* replies the error and ends it; NULL: all are right */
    void (*part)(struct part *part);  /* NULL: answered at once, by run() */
    void (*run)(struct call *call);
};

#define DEBUG_POPULATE(argc_)                                                                      \
    .name = "populate", .argc = (argc_), .check = debug_populate_check,                            \
    .part = debug_populate_part, .run = debug_ok

static const struct debug_verb debug_verbs[] = {
    {.name = "change-repl-id", .argc = 2, .run = debug_ok},
    {.name = "client-eviction", .argc = 2, .run = debug_client_eviction},
    {.name = "dict-resizing", .argc = 3, .run = debug_ok},
    {.name = "digest", .argc = 2, .part = digest_all_part, .run = digest_all_run},
    {.name = "digest-value",
     .argc = 2,
     .is_open_ended = true,
     .part = digest_keys_part,
     .run = digest_keys_run},
    {.name = "error", .argc = 3, .run = debug_error},
#ifdef TESSERA_SLOW_ASSERTS
    {.name = "file-fault", .argc = 4, .is_open_ended = true, .run = debug_file_fault},
#endif
    {.name = "help", .argc = 2, .run = debug_help},
    {.name = "htstats",
     .argc = 3,
     .check = debug_htstats_check,
     .part = debug_htstats_part,
     .run = debug_htstats_run},
    {.name = "htstats-key",
     .argc = 3,
     .part = debug_htstats_key_part,
     .run = debug_htstats_key_run},
    {.name = "listpack", .argc = 3, .part = debug_listpack_part, .run = debug_listpack_run},
    {.name = "log", .argc = 3, .run = debug_log},
    {.name = "object", .argc = 3, .part = debug_object_part, .run = debug_object},
    {.name = "pause-cron", .argc = 3, .run = debug_ok},
    {DEBUG_POPULATE(3)},
    {DEBUG_POPULATE(4)},
    {DEBUG_POPULATE(5)},
    {.name = "protocol", .argc = 3, .run = debug_protocol},
    {.name = "quicklist-packed-threshold", .argc = 3, .run = debug_quicklist_packed_threshold},
    {.name = "replybuffer", .argc = 4, .run = debug_replybuffer},
    {.name = "sdslen", .argc = 3, .part = debug_sdslen_part, .run = debug_sdslen_run},
    {.name = "set-active-expire", .argc = 3, .part = debug_set_active_expire_part, .run = debug_ok},
    {.name = "set-disable-deny-scripts", .argc = 3, .run = debug_ok},
    {.name = "sleep", .argc = 3, .part = debug_sleep_part, .run = debug_ok},
    {.name = "stringmatch-len", .argc = 4, .run = debug_stringmatch_len},
    {.name = "structsize", .argc = 2, .run = debug_structsize},
};

/** NULL: there is none of that name with so many arguments. */
static const struct debug_verb *
debug_find(const struct slice *argv, uint32_t argc)
{
    for (size_t i = 0; i < ARRAY_COUNT(debug_verbs); i++) {
        const struct debug_verb *verb = &debug_verbs[i];
        bool is_count = verb->is_open_ended ? argc >= verb->argc : argc == verb->argc;
        if (is_count && slice_is_word(argv[1], verb->name)) {
            return verb;
        }
    }
    return NULL;
}

static bool
debug_check(struct call *call)
{
    if (!debug_is_open(call)) {
        reply_error(call->reply, DEBUG_SHUT_TEXT);
        return false;
    }
    const struct debug_verb *verb = debug_find(call->argv, call->argc);
    if (verb == NULL) {
        debug_unknown(call);
        return false;
    }
    if (verb->part == NULL) {
        verb->run(call);
        return false;
    }
    return verb->check == NULL || verb->check(call);
}

static void
debug_part(struct part *part)
{
    debug_find(part->argv, part->argc)->part(part);
}

static void
debug_run(struct call *call)
{
    debug_find(call->argv, call->argc)->run(call);
}

/** Reloading takes its time, in which shards are closed and opened: rows of their own, that only
 * DEBUG leads to. */
static bool
debug_reload_is_open(struct call *call)
{
    if (!debug_is_open(call)) {
        reply_error(call->reply, DEBUG_SHUT_TEXT);
        return false;
    }
    return call->argc == 2 || debug_reload_check(call);
}

#define DEBUG_RELOAD_ROW(name_, part_, arity_)                                                     \
    .name = (name_), .parent = "debug", .is_internal = true, .run = debug_reload_run,              \
    .part = (part_), .check = debug_reload_is_open, .scope = SCOPE_ALL,                            \
    .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI, .arity = (arity_), \
    .group = GROUP_SERVER, .since = "1.0.0", .summary = "Reads the data anew from its files."

static const struct command debug_reload_commands[] = {
    {DEBUG_RELOAD_ROW("reload", debug_reload_part, -2)},
    {DEBUG_RELOAD_ROW("loadaof", debug_loadaof_part, 2)},
};

static const struct command debug_commands[] = {
    {
        .name = "debug",
        .is_system = true,
        .run = debug_run,
        .part = debug_part,
        .scope = SCOPE_CLOSED,
        .check = debug_check,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds commands for tests and for looking inside.",
        .subcommands = debug_reload_commands,
        .subcommand_count = ARRAY_COUNT(debug_reload_commands),
    },
};

const struct command_family debug_family = {
    .commands = debug_commands,
    .count = ARRAY_COUNT(debug_commands),
};
