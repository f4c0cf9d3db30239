/*
 * stream_pending.c: entries that were delivered and not acknowledged: XPENDING tells of them,
 * XCLAIM and XAUTOCLAIM give them to another consumer.
 *
 * A claim changes what is pending and never the entries: it is made first for all ids, and what was
 * claimed is replied afterwards, since XAUTOCLAIM's reply begins with where it has ended.
 *
 * A pending entry whose stream entry was deleted is taken off the lists when a claim comes upon it.
 */
#include "shard/command/families.h"
#include "shard/command/stream_internal.h"

#include "core/number.h"

/** XAUTOCLAIM looks at so many pending entries for each that it may claim. */
#define ATTEMPT_COUNT_FACTOR 10
#define AUTOCLAIM_COUNT_DEFAULT 100
/** redis-server sets memory for so many ids aside, which no address space has room for. */
#define AUTOCLAIM_COUNT_MAX (INT64_C(1) << 43)

/* ---- XPENDING ---- */

struct pending_options {
    int64_t idle_ms_min;
    int64_t count;
    struct stream_id first;
    struct stream_id last;
    uint32_t consumer_at; /* argument; 0: all consumers */
};

/** [IDLE ms] start end count [consumer]. False: an error is replied. */
static bool
pending_read(struct call *call, struct pending_options *options)
{
    *options = (struct pending_options){0};
    uint32_t index = 3;
    if (slice_is_word(call->argv[3], "idle")) {
        if (!call_integer(call, 4, &options->idle_ms_min, NULL)) {
            return false;
        }
        if (call->argc < 8) {
            call_syntax_error(call);
            return false;
        }
        index = 5;
    }
    if (!call_integer(call, index + 2, &options->count, NULL) ||
        !stream_bound_argument(call, index, false, &options->first) ||
        !stream_bound_argument(call, index + 1, true, &options->last)) {
        return false;
    }
    if (index + 3 < call->argc) {
        options->consumer_at = index + 3;
    }
    return true;
}

static void
summary_reply(struct reply *reply, const struct stream_group *group)
{
    reply_array(reply, 4);
    reply_i64(reply, (int64_t)group->pending.count);
    if (group->pending.count == 0) {
        reply_null(reply);
        reply_null(reply);
        reply_null_array(reply);
        return;
    }
    stream_id_reply(reply, stream_place_id(stream_tree_first(&group->pending)));
    stream_id_reply(reply, stream_place_id(stream_tree_last(&group->pending)));
    struct reply_later later = reply_later(reply);
    uint64_t count = 0;
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        if (consumer->pending.count > 0) {
            reply_array(reply, 2);
            reply_bulk(reply, stream_consumer_name(consumer));
            reply_bulk_i64(reply, (int64_t)consumer->pending.count);
            count++;
        }
    }
    reply_later_array(reply, later, count);
}

static void
details_reply(struct call *call, const struct stream_group *group,
              const struct pending_options *options)
{
    const struct stream_tree *tree = &group->pending;
    if (options->consumer_at > 0) {
        const struct stream_consumer *consumer =
            stream_consumer_find(group, call->argv[options->consumer_at]);
        if (consumer == NULL) {
            reply_array(call->reply, 0);
            return;
        }
        tree = &consumer->pending;
    }
    struct reply_later later = reply_later(call->reply);
    int64_t count = 0;
    for (struct stream_place at = stream_tree_seek(tree, options->first);
         count < options->count && at.leaf != NULL; at = stream_place_next(at)) {
        struct stream_id id = stream_place_id(at);
        if (stream_id_compare(id, options->last) > 0) {
            break;
        }
        const struct stream_pending *pending =
            options->consumer_at > 0 ? stream_pending_find(group, id) : stream_pending_at(at);
        int64_t idle_ms = call->now_ms - pending->delivery_ms;
        if (options->idle_ms_min != 0 && idle_ms < options->idle_ms_min) {
            continue;
        }
        reply_array(call->reply, 4);
        stream_id_reply(call->reply, id);
        reply_bulk(call->reply, stream_consumer_name(pending->consumer));
        reply_i64(call->reply, MAX(idle_ms, 0));
        reply_i64(call->reply, (int64_t)pending->delivery_count);
        count++;
    }
    reply_later_array(call->reply, later, (uint64_t)count);
}

static void
xpending_run(struct call *call)
{
    struct view *view = call->views[0];
    bool is_summary = call->argc == 3;
    struct pending_options options;
    if (!is_summary && (call->argc < 6 || call->argc > 9)) {
        call_syntax_error(call);
        return;
    }
    if ((!is_summary && !pending_read(call, &options)) ||
        !view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    const struct stream_group *group = stream_group_argument(call, view, call->argv[2]);
    if (group == NULL) {
        return;
    }
    if (is_summary) {
        summary_reply(call->reply, group);
    } else {
        details_reply(call, group, &options);
    }
}

/* ---- claiming ---- */

struct claim {
    struct stream_reader reader;
    int64_t idle_ms_min;
    int64_t delivery_ms;
    int64_t delivery_count; /* -1: one more, unless is_id_only */
    bool is_forced;
    bool is_id_only;
    bool is_told; /* an effect has told the group's last id */
};

/** It is pending, but the entry is there no more. */
static void
claim_forget(struct claim *claim, struct stream_id id)
{
    const struct stream_reader *reader = &claim->reader;
    const struct stream_pending *pending = stream_pending_find(reader->group, id);
    stream_effect_claim(reader, id, pending, pending->consumer);
    claim->is_told = true;
    stream_pending_remove(reader->stream, reader->group, id);
}

/** The entry is there. False: it is not pending, or was delivered too lately. The first claim that
 * comes to pass is the first that the consumer is seen by. */
static bool
claim_one(struct claim *claim, struct stream_id id)
{
    struct stream_reader *reader = &claim->reader;
    struct stream_pending *pending = stream_pending_find(reader->group, id);
    if (pending == NULL
            ? !claim->is_forced
            : claim->idle_ms_min > 0 &&
                  stream_now_ms(reader->call) - pending->delivery_ms < claim->idle_ms_min) {
        return false;
    }
    if (reader->consumer == NULL) {
        stream_consumer_visit(reader, reader->call->argv[3]);
    }
    if (pending == NULL) {
        pending = stream_pending_add(reader->stream, reader->group, id, reader->consumer);
        pending->delivery_count = 1;
    } else {
        stream_pending_give(reader->stream, reader->group, id, reader->consumer);
    }
    pending->delivery_ms = claim->delivery_ms;
    if (claim->delivery_count >= 0) {
        pending->delivery_count = (uint64_t)claim->delivery_count;
    } else if (!claim->is_id_only) {
        pending->delivery_count++;
    }
    stream_effect_claim(reader, id, pending, reader->consumer);
    claim->is_told = true;
    return true;
}

static void
claimed_reply(const struct claim *claim, struct stream_id id)
{
    struct reply *reply = claim->reader.call->reply;
    if (claim->is_id_only) {
        stream_id_reply(reply, id);
        return;
    }
    bool is_there = stream_one_reply(reply, claim->reader.stream, id);
    ASSERT(is_there);
}

/* ---- XCLAIM ---- */

/** FORCE, JUSTID, IDLE, TIME, RETRYCOUNT, LASTID from an argument on. False: an error is replied.
 */
static bool
claim_options_read(struct call *call, uint32_t index, struct claim *claim,
                   struct stream_id *last_id)
{
    for (uint32_t i = index; i < call->argc; i++) {
        struct slice word = call->argv[i];
        bool has_more = i + 1 < call->argc;
        bool is_good = true;
        if (slice_is_word(word, "force")) {
            claim->is_forced = true;
        } else if (slice_is_word(word, "justid")) {
            claim->is_id_only = true;
        } else if (has_more && slice_is_word(word, "idle")) {
            is_good = call_integer(call, ++i, &claim->delivery_ms,
                                   "ERR Invalid IDLE option argument for XCLAIM");
            if (is_good) {
                claim->delivery_ms =
                    (int64_t)((uint64_t)stream_now_ms(call) - (uint64_t)claim->delivery_ms);
            }
        } else if (has_more && slice_is_word(word, "time")) {
            is_good = call_integer(call, ++i, &claim->delivery_ms,
                                   "ERR Invalid TIME option argument for XCLAIM");
        } else if (has_more && slice_is_word(word, "retrycount")) {
            is_good = call_integer(call, ++i, &claim->delivery_count,
                                   "ERR Invalid RETRYCOUNT option argument for XCLAIM");
        } else if (has_more && slice_is_word(word, "lastid")) {
            is_good = stream_id_argument(call, ++i, last_id);
        } else {
            reply_error_format(call->reply, "ERR Unrecognized XCLAIM option '%.*s'", (int)word.size,
                               word.data);
            is_good = false;
        }
        if (!is_good) {
            return false;
        }
    }
    return true;
}

/** All words of XCLAIM; ids end in front of *ids_end. False: an error is replied. */
static bool
xclaim_read(struct call *call, struct claim *claim, struct stream_id *last_id, uint32_t *ids_end)
{
    if (!call_integer(call, 4, &claim->idle_ms_min,
                      "ERR Invalid min-idle-time argument for XCLAIM")) {
        return false;
    }
    struct stream_id id;
    uint32_t index = 5;
    while (index < call->argc && stream_id_parse(call->argv[index], 0, true, NULL, &id)) {
        index++;
    }
    *ids_end = index;
    /* A time that makes no sense, clients' clocks being what they are, is now; none is, too. */
    claim->delivery_ms = -1;
    if (!claim_options_read(call, index, claim, last_id)) {
        return false;
    }
    if (claim->delivery_ms < 0 || claim->delivery_ms > stream_now_ms(call)) {
        claim->delivery_ms = stream_now_ms(call);
    }
    return true;
}

static void
xclaim_run(struct call *call)
{
    struct view *view = call->views[0];
    struct claim claim = {.reader = {.call = call, .view = view}, .delivery_count = -1};
    struct stream_reader *reader = &claim.reader;
    call_count(call, view);
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    reader->group = stream_group_argument(call, view, call->argv[2]);
    struct stream_id last_id = STREAM_ID_MIN;
    uint32_t ids_end;
    if (reader->group == NULL || !xclaim_read(call, &claim, &last_id, &ids_end)) {
        return;
    }
    reader->stream = stream_of_view(view);
    bool is_ahead = stream_id_compare(last_id, reader->group->last_id) > 0;
    if (is_ahead) {
        reader->group->last_id = last_id;
    }
    struct reply_later later = reply_later(call->reply);
    uint64_t count = 0;
    for (uint32_t i = 5; i < ids_end; i++) {
        struct stream_id id;
        stream_id_parse(call->argv[i], 0, true, NULL, &id);
        if (!stream_has(reader->stream, id)) {
            if (stream_pending_find(reader->group, id) != NULL) {
                claim_forget(&claim, id);
            }
        } else if (claim_one(&claim, id)) {
            claimed_reply(&claim, id);
            count++;
        }
    }
    reply_later_array(call->reply, later, count);
    if (is_ahead && !claim.is_told) {
        stream_effect_group(reader);
    }
    if (is_ahead || claim.is_told) {
        stream_to_view_quiet(view, reader->stream);
    }
}

/* ---- XAUTOCLAIM ---- */

/** Ids as they are found; their number is bounded by what is pending. */
struct id_list {
    struct stream_id *ids;
    size_t count;
    size_t capacity;
};

static void
id_list_push(struct id_list *list, struct stream_id id)
{
    if (list->count == list->capacity) {
        list->capacity = MAX(list->capacity * 2, (size_t)AUTOCLAIM_COUNT_DEFAULT);
        list->ids = heap_realloc(list->ids, list->capacity * sizeof(id));
    }
    list->ids[list->count++] = id;
}

static bool
xautoclaim_read(struct call *call, struct claim *claim, struct stream_id *start, int64_t *count)
{
    if (!call_integer(call, 4, &claim->idle_ms_min,
                      "ERR Invalid min-idle-time argument for XAUTOCLAIM") ||
        !stream_bound_argument(call, 5, false, start)) {
        return false;
    }
    int64_t count_max = INT64_MAX / (int64_t)sizeof(struct stream_id);
    *count = AUTOCLAIM_COUNT_DEFAULT;
    for (uint32_t i = 6; i < call->argc; i++) {
        if (i + 1 < call->argc && slice_is_word(call->argv[i], "count")) {
            if (!call_integer_in(call, ++i, 1, count_max, count, "ERR COUNT must be > 0")) {
                return false;
            }
        } else if (slice_is_word(call->argv[i], "justid")) {
            claim->is_id_only = true;
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/** Returns where to go on; 0-0: all was looked at. */
static struct stream_id
autoclaim_walk(struct claim *claim, struct stream_id start, int64_t count, struct id_list *claimed,
               struct id_list *forgotten)
{
    struct stream_reader *reader = &claim->reader;
    uint64_t attempts = (uint64_t)count * ATTEMPT_COUNT_FACTOR;
    struct stream_place at = stream_tree_seek(&reader->group->pending, start);
    for (; attempts > 0 && count > 0 && at.leaf != NULL; attempts--) {
        struct stream_id id = stream_place_id(at);
        if (!stream_has(reader->stream, id)) {
            claim_forget(claim, id);
            id_list_push(forgotten, id);
            at = stream_tree_seek(&reader->group->pending, id);
            count--;
            continue;
        }
        if (claim_one(claim, id)) {
            id_list_push(claimed, id);
            count--;
        }
        at = stream_place_next(at);
    }
    return at.leaf != NULL ? stream_place_id(at) : STREAM_ID_MIN;
}

static void
xautoclaim_run(struct call *call)
{
    struct view *view = call->views[0];
    struct claim claim = {.reader = {.call = call, .view = view},
                          .delivery_ms = stream_now_ms(call),
                          .delivery_count = -1};
    struct stream_id start;
    int64_t count;
    if (!xautoclaim_read(call, &claim, &start, &count)) {
        return;
    }
    call_count(call, view);
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    claim.reader.group = stream_group_argument(call, view, call->argv[2]);
    if (claim.reader.group == NULL) {
        return;
    }
    if (count >= AUTOCLAIM_COUNT_MAX) {
        reply_error(call->reply, "ERR Insufficient memory, failed allocating transient memory, "
                                 "COUNT too high.");
        return;
    }
    claim.reader.stream = stream_of_view(view);
    struct id_list claimed = {0};
    struct id_list forgotten = {0};
    struct stream_id end = autoclaim_walk(&claim, start, count, &claimed, &forgotten);
    reply_array(call->reply, 3);
    stream_id_reply(call->reply, end);
    reply_array(call->reply, claimed.count);
    for (size_t i = 0; i < claimed.count; i++) {
        claimed_reply(&claim, claimed.ids[i]);
    }
    reply_array(call->reply, forgotten.count);
    for (size_t i = 0; i < forgotten.count; i++) {
        stream_id_reply(call->reply, forgotten.ids[i]);
    }
    heap_free(claimed.ids);
    heap_free(forgotten.ids);
    if (claim.is_told) {
        stream_to_view_quiet(view, claim.reader.stream);
    }
}

/* ---- documentation ---- */

static const char *const random_tips[] = {"nondeterministic_output", NULL};
static const struct command_history xpending_history[] = {
    {"6.2.0", "Takes `IDLE`, and bounds that are left out."}, {NULL, NULL}};
static const struct command_history xautoclaim_history[] = {
    {"7.0.0", "Also answers the ids of deleted entries, which are pending no more."}, {NULL, NULL}};

static const struct command_argument filter_arguments[] = {
    {.kind = ARGUMENT_INTEGER,
     .name = "min-idle-time",
     .token = "IDLE",
     .since = "6.2.0",
     .is_optional = true},
    {.kind = ARGUMENT_STRING, .name = "start"},
    {.kind = ARGUMENT_STRING, .name = "end"},
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_STRING, .name = "consumer", .is_optional = true},
    {0},
};
static const struct command_argument xpending_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "group"},
    {.kind = ARGUMENT_BLOCK, .name = "filters", .is_optional = true, .arguments = filter_arguments},
    {0},
};

#define CLAIM_ARGUMENTS                                                                            \
    {.kind = ARGUMENT_KEY, .name = "key"}, {.kind = ARGUMENT_STRING, .name = "group"},             \
        {.kind = ARGUMENT_STRING, .name = "consumer"},                                             \
    {                                                                                              \
        .kind = ARGUMENT_STRING, .name = "min-idle-time"                                           \
    }
#define JUSTID_ARGUMENT                                                                            \
    {                                                                                              \
        .kind = ARGUMENT_PURE_TOKEN, .name = "justid", .token = "JUSTID", .is_optional = true      \
    }

static const struct command_argument xclaim_arguments[] = {
    CLAIM_ARGUMENTS,
    {.kind = ARGUMENT_STRING, .name = "id", .is_multiple = true},
    {.kind = ARGUMENT_INTEGER, .name = "ms", .token = "IDLE", .is_optional = true},
    {.kind = ARGUMENT_UNIX_TIME,
     .name = "unix-time-milliseconds",
     .token = "TIME",
     .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "RETRYCOUNT", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "force", .token = "FORCE", .is_optional = true},
    JUSTID_ARGUMENT,
    {.kind = ARGUMENT_STRING, .name = "id", .token = "LASTID", .is_optional = true},
    {0},
};
static const struct command_argument xautoclaim_arguments[] = {
    CLAIM_ARGUMENTS,
    {.kind = ARGUMENT_STRING, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    JUSTID_ARGUMENT,
    {0},
};

static const struct command stream_pending_commands[] = {
    {.name = "xpending",
     .run = xpending_run,
     .flags = CMD_READONLY,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(log N + M) with N pending entries and M to look at; O(C) with C consumers "
                   "for the summary.",
     .summary = "Tells of entries that were delivered to a group and not acknowledged.",
     .history = xpending_history,
     .tips = random_tips,
     .arguments = xpending_arguments},
    {.name = "xclaim",
     .run = xclaim_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -6,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(log N) for each id with N pending entries.",
     .summary = "Gives entries that are pending to another consumer, as if delivered to it.",
     .tips = random_tips,
     .arguments = xclaim_arguments},
    {.name = "xautoclaim",
     .run = xautoclaim_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -6,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "6.2.0",
     .complexity = "O(log N) for each of `count` entries with N that are pending.",
     .summary = "Gives entries that have been pending for long to another consumer.",
     .history = xautoclaim_history,
     .tips = random_tips,
     .arguments = xautoclaim_arguments},
};

const struct command_family stream_pending_family = {stream_pending_commands,
                                                     ARRAY_COUNT(stream_pending_commands)};
