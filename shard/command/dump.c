/*
 * dump.c: a value as bytes and back: DUMP, RESTORE.
 *
 * What the bytes are, and that nothing in them is believed, is shard/value/codec.c's affair. Here a
 * key gets its value, its deadline and, where it is told, its access clock.
 *
 * The effect of RESTORE is a RESTORE that says everything: the deadline as a point in time, and
 * REPLACE. Its payload is the client's where redis-server 7.0 reads that too, else one of our own.
 */
#include "shard/call.h"
#include "shard/command/families.h"

#include "core/number.h"
#include "shard/notify.h"
#include "shard/shard.h"
#include "shard/value/codec.h"

/** Idle times count round after so many seconds. */
#define IDLE_S_END 0xffffff
/** What a new key begins with under an LFU policy. */
#define FREQUENCY_START 5

static void
dump_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_exists(view)) {
        reply_null(call->reply);
        return;
    }
    struct rdb_writer writer;
    rdb_writer_create(&writer, call->shard->config->rdbcompression);
    codec_write_payload(&writer, &view->value);
    reply_bulk(call->reply, rdb_writer_bytes(&writer));
    rdb_writer_destroy(&writer);
}

struct restore_options {
    bool is_replace;
    bool is_absolute;
    /** -1: not given. */
    int64_t idle_s;
    int64_t frequency;
};

/** Replies the error and returns false. */
static bool
restore_parse_options(struct call *call, struct restore_options *options)
{
    *options = (struct restore_options){.idle_s = -1, .frequency = -1};
    for (uint32_t i = 4; i < call->argc; i++) {
        bool has_next = i + 1 < call->argc;
        if (slice_is_word(call->argv[i], "replace")) {
            options->is_replace = true;
        } else if (slice_is_word(call->argv[i], "absttl")) {
            options->is_absolute = true;
        } else if (slice_is_word(call->argv[i], "idletime") && has_next &&
                   options->frequency == -1) {
            if (!call_integer(call, ++i, &options->idle_s, NULL)) {
                return false;
            }
            if (options->idle_s < 0) {
                reply_error(call->reply, "ERR Invalid IDLETIME value, must be >= 0");
                return false;
            }
        } else if (slice_is_word(call->argv[i], "freq") && has_next && options->idle_s == -1) {
            if (!call_integer(call, ++i, &options->frequency, NULL)) {
                return false;
            }
            if (options->frequency < 0 || options->frequency > 255) {
                reply_error(call->reply, "ERR Invalid FREQ value, must be >= 0 and <= 255");
                return false;
            }
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/** Replies the error and returns false. *deadline_ms may lie in the past. */
static bool
restore_parse_deadline(struct call *call, bool is_absolute, int64_t *deadline_ms)
{
    int64_t ttl_ms;
    if (!call_integer(call, 2, &ttl_ms, NULL)) {
        return false;
    }
    if (ttl_ms < 0) {
        reply_error(call->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    *deadline_ms = ttl_ms;
    if (ttl_ms == 0) {
        *deadline_ms = VIEW_NO_DEADLINE;
    } else if (!is_absolute && __builtin_add_overflow(ttl_ms, call->now_ms, deadline_ms)) {
        /* Beyond all time is over already, as in redis-server, whose sum wraps around. */
        *deadline_ms = 0;
    }
    return true;
}

static void
restore_set_access(struct call *call, struct view *view, const struct restore_options *options)
{
    view->flags |= VIEW_ACCESS;
    if (view_is_lfu(call->shard)) {
        uint32_t minutes = (uint32_t)((uint64_t)call->now_ms / 60000) & 0xffff;
        int64_t frequency = options->frequency < 0 ? FREQUENCY_START : options->frequency;
        view->access = minutes << 8 | (uint32_t)frequency;
    } else {
        uint32_t idle_s = (uint32_t)(MAX(options->idle_s, 0) % IDLE_S_END);
        view->access = (view_access_clock_s(call->shard) - idle_s) & 0xffffff;
    }
}

static void
restore_tell_effect(struct call *call, struct view *view, const struct restore_options *options)
{
    if (!call_has_effects(call)) {
        return;
    }
    if (!codec_payload_is_common(call->argv[3])) {
        call_effect_value(call, view);
        return;
    }
    char deadline[NUMBER_I64_SIZE_MAX];
    char number[NUMBER_I64_SIZE_MAX];
    bool has_deadline = view->deadline_ms != VIEW_NO_DEADLINE;
    struct slice argv[8] = {
        SLICE("RESTORE"),
        view->key,
        slice_of(deadline, number_format_i64(deadline, has_deadline ? view->deadline_ms : 0)),
        call->argv[3],
        SLICE("REPLACE"),
        SLICE("ABSTTL"),
    };
    uint32_t argc = 6;
    if (options->idle_s >= 0 || options->frequency >= 0) {
        bool is_idle = options->idle_s >= 0;
        argv[argc++] = is_idle ? SLICE("IDLETIME") : SLICE("FREQ");
        argv[argc++] = slice_of(
            number, number_format_i64(number, is_idle ? options->idle_s : options->frequency));
    }
    call_effect(call, view, argv, argc);
}

/** The value that the payload holds. Replies the error and returns false. */
static bool
restore_read(struct call *call, struct value *value)
{
    struct shard *shard = call->shard;
    struct codec_options options =
        codec_options_of(shard->config, shard->keyspace.hash_seed, &shard->memory,
                         call_scratch(call, CODEC_TEXT_SIZE));
    switch (codec_read_payload(call->argv[3], &options, value)) {
    case CODEC_PAYLOAD_GOOD:
        return true;
    case CODEC_PAYLOAD_UNKNOWN:
        reply_error(call->reply, "ERR DUMP payload version or checksum are wrong");
        return false;
    case CODEC_PAYLOAD_DAMAGED:
        break;
    }
    reply_error(call->reply, "ERR Bad data format");
    return false;
}

static void
restore_run(struct call *call)
{
    struct view *view = call->views[0];
    struct restore_options options;
    int64_t deadline_ms;
    struct value value;
    if (!restore_parse_options(call, &options)) {
        return;
    }
    if (!options.is_replace && view_exists(view)) {
        reply_error(call->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!restore_parse_deadline(call, options.is_absolute, &deadline_ms) ||
        !restore_read(call, &value)) {
        return;
    }
    bool was_there = view_exists(view);
    if (was_there) {
        /* Not to be taken for the same key with another value. */
        view_delete(call, view);
    }
    if (deadline_ms != VIEW_NO_DEADLINE && deadline_ms <= call->now_ms) {
        view_value_drop(call, &value);
        if (was_there) {
            call_effect_delete(call, view);
            call_event(call, view, NOTIFY_GENERIC, "del");
        }
    } else {
        view_value_set(call, view, &value);
        view_deadline_set(call, view, deadline_ms);
        restore_set_access(call, view, &options);
        restore_tell_effect(call, view, &options);
        call_event(call, view, NOTIFY_GENERIC, "restore");
    }
    reply_ok(call->reply);
}

static const char *const dump_tips[] = {"nondeterministic_output", NULL};
static const struct command_argument dump_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument restore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "ttl"},
    {.kind = ARGUMENT_STRING, .name = "serialized-value"},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "replace",
     .token = "REPLACE",
     .since = "3.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "absttl",
     .token = "ABSTTL",
     .since = "5.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_INTEGER,
     .name = "seconds",
     .token = "IDLETIME",
     .since = "5.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_INTEGER,
     .name = "frequency",
     .token = "FREQ",
     .since = "5.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_END},
};
static const struct command_history restore_history[] = {
    {"3.0.0", "REPLACE."},
    {"5.0.0", "ABSTTL."},
    {"5.0.0", "IDLETIME and FREQ."},
    {NULL, NULL},
};

static const struct command dump_commands[] = {
    {
        .name = "dump",
        .run = dump_run,
        .flags = CMD_READONLY,
        .arity = 2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "2.6.0",
        .complexity = "O(N) in the size of the value.",
        .summary = "Answers a value as bytes, which RESTORE makes a value of again.",
        .tips = dump_tips,
        .arguments = dump_arguments,
    },
    {
        .name = "restore",
        .run = restore_run,
        .flags = CMD_WRITE | CMD_DENYOOM,
        .arity = -4,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE | ACL_DANGEROUS,
        .since = "2.6.0",
        .complexity = "O(N) in the size of the value; O(N*log(N)) for sorted sets.",
        .summary = "Makes a key of the bytes that DUMP has answered.",
        .history = restore_history,
        .arguments = restore_arguments,
    },
};

const struct command_family dump_family = {
    .commands = dump_commands,
    .count = ARRAY_COUNT(dump_commands),
};
