/*
 * stream.c: commands that add and remove entries: XADD, XDEL, XTRIM, XSETID, and XLEN.
 *
 * XADD and XTRIM take the same words for trimming and read them by one function. What they tell the
 * journal is what came out: the id that the entry got, and the length or first id that trimming
 * has led to, so that it is the same wherever it is applied, whatever the size of nodes there.
 */
#include "shard/command/families.h"
#include "shard/command/stream_internal.h"

#include "core/config.h"
#include "core/number.h"
#include "shard/shard.h"

/** Approximate trimming looks at so many nodes' entries where LIMIT is not given. */
#define TRIM_NODE_COUNT_MAX 100
/** And at so many entries where a node has no limit, and at most. */
#define TRIM_COUNT_DEFAULT 10000
#define TRIM_COUNT_MAX 1000000

/** The options of XADD and XTRIM. */
struct add_options {
    bool is_trim;
    struct stream_trim trim;
    bool is_no_stream; /* NOMKSTREAM */
    bool has_id;       /* else "*" */
    bool has_sequence;
    struct stream_id id;
    uint32_t next; /* behind the options and the id */
};

/* ---- options ---- */

/** MAXLEN or MINID, [= | ~] and a threshold, from *index on, which becomes the threshold's. */
static bool
trim_read(struct call *call, struct add_options *options, uint32_t *index)
{
    if (options->is_trim) {
        reply_error(call->reply, "ERR syntax error, MAXLEN and MINID options at the same time are "
                                 "not compatible");
        return false;
    }
    options->is_trim = true;
    options->trim.is_by_id = slice_is_word(call->argv[*index], "minid");
    *index += 1;
    if (*index + 1 < call->argc) {
        struct slice word = call->argv[*index];
        options->trim.is_approximate = stream_text_is(word, '~');
        *index += options->trim.is_approximate || stream_text_is(word, '=');
    }
    if (options->trim.is_by_id) {
        return stream_id_argument(call, *index, &options->trim.id);
    }
    int64_t count;
    if (!call_integer(call, *index, &count, NULL)) {
        return false;
    }
    if (count < 0) {
        reply_error(call->reply, "ERR The MAXLEN argument must be >= 0.");
        return false;
    }
    options->trim.count_max = (uint64_t)count;
    return true;
}

static bool
limit_read(struct call *call, uint32_t index, int64_t *limit)
{
    if (!call_integer(call, index, limit, NULL)) {
        return false;
    }
    if (*limit < 0) {
        reply_error(call->reply, "ERR The LIMIT argument must be >= 0.");
        return false;
    }
    return true;
}

/** `limit` -1: none was given. */
static bool
limit_resolve(struct call *call, struct add_options *options, int64_t limit, bool is_xadd)
{
    if (limit > 0 && !options->is_trim) {
        reply_error(call->reply, "ERR syntax error, LIMIT cannot be used without specifying a "
                                 "trimming strategy");
        return false;
    }
    if (!is_xadd && !options->is_trim) {
        reply_error(call->reply, "ERR syntax error, XTRIM must be called with a trimming strategy");
        return false;
    }
    if (limit >= 0) {
        if (!options->trim.is_approximate) {
            reply_error(call->reply, "ERR syntax error, LIMIT cannot be used without the special "
                                     "~ option");
            return false;
        }
        options->trim.removed_max = (uint64_t)limit;
    } else if (options->trim.is_approximate) {
        uint64_t count;
        uint64_t node_count = (uint64_t)call->shard->config->stream_node_max_entries;
        if (__builtin_mul_overflow(node_count, (uint64_t)TRIM_NODE_COUNT_MAX, &count)) {
            count = TRIM_COUNT_MAX;
        }
        options->trim.removed_max = count == 0 ? TRIM_COUNT_DEFAULT : MIN(count, TRIM_COUNT_MAX);
    }
    return true;
}

/** False: an error is replied. */
static bool
options_read(struct call *call, bool is_xadd, struct add_options *options)
{
    *options = (struct add_options){.has_sequence = true};
    int64_t limit = -1;
    uint32_t index = 2;
    for (; index < call->argc; index++) {
        struct slice word = call->argv[index];
        bool has_more = index + 1 < call->argc;
        if (is_xadd && stream_text_is(word, '*')) {
            break;
        }
        if (has_more && (slice_is_word(word, "maxlen") || slice_is_word(word, "minid"))) {
            if (!trim_read(call, options, &index)) {
                return false;
            }
        } else if (has_more && slice_is_word(word, "limit")) {
            if (!limit_read(call, ++index, &limit)) {
                return false;
            }
        } else if (is_xadd && slice_is_word(word, "nomkstream")) {
            options->is_no_stream = true;
        } else if (is_xadd) {
            if (!stream_id_parse(word, 0, true, &options->has_sequence, &options->id)) {
                reply_error(call->reply,
                            "ERR Invalid stream ID specified as stream command argument");
                return false;
            }
            options->has_id = true;
            break;
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    options->next = index + 1;
    return limit_resolve(call, options, limit, is_xadd);
}

/* ---- XADD ---- */

/** The id that the entry gets. False: there is none above the last one. */
static bool
id_resolve(const struct call *call, const struct stream *stream, const struct add_options *options,
           struct stream_id *id)
{
    struct stream_id last = stream->last_id;
    if (!options->has_id) {
        *id = (struct stream_id){(uint64_t)stream_now_ms(call), 0};
        if (id->ms <= last.ms) {
            *id = last;
            stream_id_increment(id);
        }
    } else if (options->has_sequence || options->id.ms != last.ms) {
        *id = options->id;
    } else {
        *id = (struct stream_id){last.ms, last.sequence + 1};
    }
    return stream_id_compare(*id, last) > 0;
}

/** What trimming has led to, as arguments that lead to the same: 3 of them. */
static uint32_t
trim_effect(const struct add_options *options, const struct stream *stream, struct slice *argv,
            char text[STREAM_ID_TEXT_SIZE])
{
    if (!options->is_trim) {
        return 0;
    }
    argv[1] = SLICE("=");
    if (options->trim.is_by_id) {
        struct stream_id id = options->trim.id;
        if (options->trim.is_approximate) {
            id = stream->count > 0 ? stream->first_id : STREAM_ID_MAX;
        }
        argv[0] = SLICE("MINID");
        argv[2] = stream_id_text(text, id);
    } else {
        uint64_t count = options->trim.is_approximate ? stream->count : options->trim.count_max;
        argv[0] = SLICE("MAXLEN");
        argv[2] = slice_of(text, number_format_u64(text, count));
    }
    return 3;
}

static void
add_effect(struct call *call, struct view *view, const struct add_options *options,
           const struct stream *stream, struct stream_id id)
{
    if (!call_has_effects(call)) {
        return;
    }
    char trim_text[STREAM_ID_TEXT_SIZE];
    char id_text[STREAM_ID_TEXT_SIZE];
    uint32_t text_count = call->argc - options->next;
    struct slice *argv = call_scratch(call, (6 + (size_t)text_count) * sizeof(*argv));
    uint32_t argc = 0;
    argv[argc++] = SLICE("XADD");
    argv[argc++] = view->key;
    argc += trim_effect(options, stream, argv + argc, trim_text);
    argv[argc++] = stream_id_text(id_text, id);
    memcpy(argv + argc, call->argv + options->next, text_count * sizeof(*argv));
    call_effect(call, view, argv, argc + text_count);
}

/** The stream to add to, with the id to add. NULL: an error is replied, or null for NOMKSTREAM. */
static struct stream *
add_prepare(struct call *call, struct view *view, const struct add_options *options,
            struct stream_id *id)
{
    const struct slice *texts = call->argv + options->next;
    uint32_t pair_count = (call->argc - options->next) / 2;
    bool is_new = !view_exists(view);
    if (is_new && options->is_no_stream) {
        reply_null(call->reply);
        return NULL;
    }
    struct stream *stream = is_new ? stream_new() : view_object(view);
    const char *error = NULL;
    if (stream_id_compare(stream->last_id, STREAM_ID_MAX) == 0) {
        error = "ERR The stream has exhausted the last possible ID, unable to add more items";
    } else if (!id_resolve(call, stream, options, id)) {
        error = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    } else if (!stream_texts_fit(texts, pair_count)) {
        error = "ERR Elements are too large to be stored";
    }
    if (error == NULL) {
        return stream;
    }
    reply_error(call->reply, error);
    if (is_new) {
        stream_delete(stream);
    }
    return NULL;
}

static void
xadd_run(struct call *call)
{
    struct view *view = call->views[0];
    struct add_options options;
    if (!options_read(call, true, &options)) {
        return;
    }
    if (options.next + 2 > call->argc || (call->argc - options.next) % 2 == 1) {
        call_arity_error(call);
        return;
    }
    if (options.has_id && options.has_sequence && stream_id_is_zero(options.id)) {
        reply_error(call->reply, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    struct stream_id id;
    struct stream *stream = add_prepare(call, view, &options, &id);
    if (stream == NULL) {
        return;
    }
    struct stream_limits limits = stream_limits_of(call);
    stream_append(stream, &limits, id, call->argv + options.next, (call->argc - options.next) / 2);
    stream_id_reply(call->reply, id);
    uint64_t removed_count = 0;
    struct stream *rest = NULL;
    if (options.is_trim) {
        removed_count = stream_trim(stream, &options.trim, &rest);
    }
    stream_to_view(call, view, stream);
    stream_drop(call, rest);
    add_effect(call, view, &options, stream, id);
    call_event(call, view, NOTIFY_STREAM, "xadd");
    if (removed_count > 0) {
        call_event(call, view, NOTIFY_STREAM, "xtrim");
    }
}

/* ---- others ---- */

static void
xlen_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_STREAM)) {
        reply_i64(call->reply, view_exists(view) ? (int64_t)stream_of_view(view)->count : 0);
    }
}

static void
xtrim_run(struct call *call)
{
    struct view *view = call->views[0];
    struct add_options options;
    if (!options_read(call, false, &options) || !view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    struct stream *stream = stream_of_view(view);
    struct stream *rest = NULL;
    uint64_t removed_count = stream != NULL ? stream_trim(stream, &options.trim, &rest) : 0;
    reply_i64(call->reply, (int64_t)removed_count);
    if (removed_count == 0) {
        return;
    }
    stream_to_view(call, view, stream);
    stream_drop(call, rest);
    char text[STREAM_ID_TEXT_SIZE];
    struct slice argv[5] = {SLICE("XTRIM"), view->key};
    uint32_t argc = 2 + trim_effect(&options, stream, argv + 2, text);
    call_effect(call, view, argv, argc);
    call_event(call, view, NOTIFY_STREAM, "xtrim");
}

static void
xdel_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    struct stream_id id;
    for (uint32_t i = 2; i < call->argc; i++) {
        if (!stream_id_argument(call, i, &id)) {
            return;
        }
    }
    struct stream *stream = stream_of_view(view);
    int64_t removed_count = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        stream_id_argument(call, i, &id);
        removed_count += stream_remove(stream, id);
    }
    if (removed_count > 0) {
        stream_to_view(call, view, stream);
        call_effect_same(call, view);
        call_event(call, view, NOTIFY_STREAM, "xdel");
    }
    reply_i64(call->reply, removed_count);
}

struct setid_options {
    int64_t added_count; /* -1: not given */
    struct stream_id deleted_id_max;
};

static bool
setid_read(struct call *call, struct stream_id *id, struct setid_options *options)
{
    *options = (struct setid_options){.added_count = -1};
    if (!stream_id_argument(call, 2, id)) {
        return false;
    }
    for (uint32_t i = 3; i < call->argc; i += 2) {
        bool has_more = i + 1 < call->argc;
        if (has_more && slice_is_word(call->argv[i], "entriesadded")) {
            if (!call_integer(call, i + 1, &options->added_count, NULL)) {
                return false;
            }
            if (options->added_count < 0) {
                reply_error(call->reply, "ERR entries_added must be positive");
                return false;
            }
        } else if (has_more && slice_is_word(call->argv[i], "maxdeletedid")) {
            if (!stream_id_argument(call, i + 1, &options->deleted_id_max)) {
                return false;
            }
            if (stream_id_compare(*id, options->deleted_id_max) < 0) {
                reply_error(call->reply, "ERR The ID specified in XSETID is smaller than the "
                                         "provided max_deleted_entry_id");
                return false;
            }
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/** NULL: the stream may have this last id. */
static const char *
setid_error(const struct stream *stream, struct stream_id id, const struct setid_options *options)
{
    if (stream->count == 0) {
        return NULL;
    }
    if (stream_id_compare(id, stream_last_entry_id(stream)) < 0) {
        return "ERR The ID specified in XSETID is smaller than the target stream top item";
    }
    if (options->added_count != -1 && stream->count > (uint64_t)options->added_count) {
        return "ERR The entries_added specified in XSETID is smaller than the target stream "
               "length";
    }
    return NULL;
}

static void
xsetid_run(struct call *call)
{
    struct view *view = call->views[0];
    struct stream_id id;
    struct setid_options options;
    if (!setid_read(call, &id, &options)) {
        return;
    }
    if (!view_exists(view)) {
        reply_error(call->reply, "ERR no such key");
        return;
    }
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    struct stream *stream = stream_of_view(view);
    const char *error = setid_error(stream, id, &options);
    if (error != NULL) {
        reply_error(call->reply, error);
        return;
    }
    stream->last_id = id;
    if (options.added_count != -1) {
        stream->added_count = (uint64_t)options.added_count;
    }
    if (!stream_id_is_zero(options.deleted_id_max)) {
        stream->deleted_id_max = options.deleted_id_max;
    }
    stream_to_view_quiet(view, stream);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STREAM, "xsetid");
    reply_ok(call->reply);
}

/* ---- documentation ---- */

static const struct command_history xadd_history[] = {
    {"6.2.0", "Takes `NOMKSTREAM`, trims by `MINID`, and within a `LIMIT`."},
    {"7.0.0", "Takes `<ms>-*` as an id."},
    {NULL, NULL}};
static const struct command_history xtrim_history[] = {
    {"6.2.0", "Trims by `MINID`, and within a `LIMIT`."}, {NULL, NULL}};
static const struct command_history xsetid_history[] = {
    {"7.0.0", "Takes `entries_added` and `max_deleted_entry_id`."}, {NULL, NULL}};
static const char *const random_tips[] = {"nondeterministic_output", NULL};

static const struct command_argument strategy_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "maxlen", .token = "MAXLEN"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "minid", .token = "MINID", .since = "6.2.0"},
    {0},
};
static const struct command_argument operator_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "equal", .token = "="},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "approximately", .token = "~"},
    {0},
};
static const struct command_argument trim_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "strategy", .arguments = strategy_arguments},
    {.kind = ARGUMENT_ONEOF,
     .name = "operator",
     .is_optional = true,
     .arguments = operator_arguments},
    {.kind = ARGUMENT_STRING, .name = "threshold"},
    {.kind = ARGUMENT_INTEGER,
     .name = "count",
     .token = "LIMIT",
     .since = "6.2.0",
     .is_optional = true},
    {0},
};
static const struct command_argument xadd_id_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "auto_id", .token = "*"},
    {.kind = ARGUMENT_STRING, .name = "id"},
    {0},
};
static const struct command_argument pair_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "field"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};
static const struct command_argument xadd_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "nomkstream",
     .token = "NOMKSTREAM",
     .since = "6.2.0",
     .is_optional = true},
    {.kind = ARGUMENT_BLOCK, .name = "trim", .is_optional = true, .arguments = trim_arguments},
    {.kind = ARGUMENT_ONEOF, .name = "id_or_auto", .arguments = xadd_id_arguments},
    {.kind = ARGUMENT_BLOCK,
     .name = "field_value",
     .is_multiple = true,
     .arguments = pair_arguments},
    {0},
};
static const struct command_argument xtrim_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK, .name = "trim", .arguments = trim_arguments},
    {0},
};
static const struct command_argument key_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};
static const struct command_argument xdel_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "id", .is_multiple = true},
    {0},
};
static const struct command_argument xsetid_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "last-id"},
    {.kind = ARGUMENT_INTEGER,
     .name = "entries_added",
     .token = "ENTRIESADDED",
     .since = "7.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_STRING,
     .name = "max_deleted_entry_id",
     .token = "MAXDELETEDID",
     .since = "7.0.0",
     .is_optional = true},
    {0},
};

#define STREAM_ROW(name_, arity_, flags_, key_flags_)                                              \
    .name = #name_, .run = name_##_run, .arity = (arity_), .flags = (flags_),                      \
    .key_specs = {KEYS_AT(1, (key_flags_))}, .key_spec_count = 1, .group = GROUP_STREAM,           \
    .since = "5.0.0"

static const struct command stream_commands[] = {
    {.name = "xadd",
     .run = xadd_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .key_specs = {{.flags = KEY_RW | KEY_UPDATE,
                    .notes = "UPDATE instead of INSERT because of the optional trimming feature",
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_RANGE,
                    .last = 0,
                    .step = 1}},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(1) for the entry; O(N) with N entries to trim, whole nodes of them at once.",
     .summary = "Adds an entry to the end of a stream, which is created where it is absent.",
     .history = xadd_history,
     .tips = random_tips,
     .arguments = xadd_arguments},
    {STREAM_ROW(xlen, 2, CMD_READONLY | CMD_FAST, KEY_RO), .complexity = "O(1)",
     .summary = "Counts the entries of a stream.", .arguments = key_arguments},
    {STREAM_ROW(xdel, -3, CMD_WRITE | CMD_FAST, KEY_RW | KEY_DELETE),
     .complexity = "O(log N) for each id with N entries.",
     .summary = "Removes entries from a stream by their ids.", .arguments = xdel_arguments},
    {STREAM_ROW(xtrim, -4, CMD_WRITE, KEY_RW | KEY_DELETE),
     .complexity = "O(N) with N entries to drop, whole nodes of them at once.",
     .summary = "Drops entries from the beginning of a stream, down to a length or up to an id.",
     .history = xtrim_history, .tips = random_tips, .arguments = xtrim_arguments},
    {STREAM_ROW(xsetid, -3, CMD_WRITE | CMD_DENYOOM | CMD_FAST, KEY_RW | KEY_UPDATE),
     .complexity = "O(1)", .summary = "Sets what a stream knows of its own past.",
     .history = xsetid_history, .arguments = xsetid_arguments},
};

const struct command_family stream_family = {stream_commands, ARRAY_COUNT(stream_commands)};
