/*
 * key_scan.c: looking over a whole database: KEYS, SCAN, RANDOMKEY, DBSIZE.
 *
 * KEYS, RANDOMKEY and DBSIZE ask all shards at once and merge. SCAN walks: its cursor is a place in
 * the order of slots, the same whoever owns them,
 *
 *     52         39 38                     0
 *     [   slot     |  position in the slot  ]      0: the beginning, and in the reply the end
 *
 * so a walk goes on where it stopped though slots have changed hands in between, and a key that is
 * there from first to last is seen: its slot is passed once, and table_scan() promises the rest. A
 * cursor holds no state here; any number of walks may be under way, abandoned or begun in the
 * middle.
 *
 * A walk does a bounded amount of work on each shard, then it answers with the cursor that it has,
 * be COUNT met or not: COUNT is a wish, and whoever wants all keys comes again until the cursor is
 * 0. Empty slots cost next to nothing, so that an empty database is passed in one call. Slots that
 * change owner at every step would make a walk hop without end: after SCAN_HOPS_MAX it answers,
 * too.
 *
 * A pattern whose only hash tag is spelled out, {user1}:*, can match in one slot alone; KEYS and
 * SCAN then look nowhere else.
 */
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/command/scan_collection.h"

#include "core/glob.h"
#include "core/heap.h"
#include "core/number.h"
#include "shard/shard.h"

/** Buckets and keys that a walk looks at on one shard at a time: under a millisecond, each a cache
 * miss. */
#define SCAN_STEPS_MAX 8192
#define SCAN_HOPS_MAX 2048
#define SCAN_COUNT_DEFAULT 10
#define SCAN_POSITION_MASK ((UINT64_C(1) << TABLE_POSITION_BITS) - 1)
/** Tries to find a key that is not past its deadline. */
#define RANDOM_TRIES_MAX 100

static_assert(TABLE_POSITION_BITS <= 39, "with 14 bits of slot a cursor stays below 2^53");

/* ---- which keys ---- */

struct key_filter {
    bool has_pattern;
    struct slice pattern;
    bool has_type;
    struct slice type;
    int32_t slot; /* the only one where the pattern can match, or -1 */
};

/* Which slot a pattern with a spelled-out hash tag, or without anything special, can match in; -1:
 * any. */
static int32_t
pattern_slot(struct slice pattern)
{
    if (glob_is_literal(pattern)) {
        return key_slot(pattern);
    }
    size_t open = 0;
    bool is_open = false;
    for (size_t i = 0; i < pattern.size; i++) {
        switch (pattern.data[i]) {
        case '*':
        case '?':
        case '[':
        case '\\':
            return -1;
        case '{':
            if (!is_open) {
                is_open = true;
                open = i;
            }
            break;
        case '}':
            if (is_open) {
                /* An empty tag means that the whole key is hashed. */
                return i == open + 1 ? -1 : key_slot(slice_of(pattern.data, i + 1));
            }
            break;
        default:
            break;
        }
    }
    return -1;
}

static void
filter_pattern_set(struct key_filter *filter, struct slice pattern)
{
    filter->has_pattern = !glob_is_all(pattern);
    filter->pattern = pattern;
    filter->slot = filter->has_pattern ? pattern_slot(pattern) : -1;
}

static bool
filter_passes(const struct key_filter *filter, const struct entry *entry, int64_t now_ms)
{
    if (filter->has_pattern && !glob_match(filter->pattern, entry_key(entry), false)) {
        return false;
    }
    if (filter->has_type) {
        const char *name = value_type_name((enum value_type)entry->type);
        if (!slice_is_word(filter->type, name)) {
            return false;
        }
    }
    int64_t deadline_ms = entry_deadline_ms(entry);
    return deadline_ms == ENTRY_NO_DEADLINE || deadline_ms > now_ms;
}

/* What a visit of a table needs. */
struct key_visit {
    const struct key_filter *filter;
    struct part *part;
    uint64_t seen_count;
};

static void
key_visit_entry(void *context, struct entry *entry)
{
    struct key_visit *visit = context;
    visit->seen_count++;
    if (filter_passes(visit->filter, entry, visit->part->now_ms)) {
        reply_bulk(&visit->part->reply, entry_key(entry));
        visit->part->number++;
    }
}

/* ---- KEYS ---- */

static void
key_keys_part(struct part *part)
{
    struct keyspace *keyspace = &part->shard->keyspace;
    struct key_filter filter = {0};
    filter_pattern_set(&filter, part->argv[1]);
    struct key_visit visit = {.filter = &filter, .part = part};
    uint32_t slot = filter.slot >= 0 ? (uint32_t)filter.slot : 0;
    uint32_t end = filter.slot >= 0 ? slot + 1 : SLOT_COUNT;
    for (;;) {
        slot = keyspace_slot_next(keyspace, part->db, slot);
        if (slot >= end) {
            break;
        }
        uint64_t position = 0;
        do {
            position = keyspace_scan(keyspace, part->db, slot, position, key_visit_entry, &visit);
        } while (position != 0);
        if (++slot >= end) {
            break;
        }
    }
}

/* All parts' keys as one array. */
static void
parts_reply(struct call *call)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += (uint64_t)call->parts[i].number;
    }
    reply_array(call->reply, count);
    if (call->reply->is_muted) {
        return;
    }
    for (uint32_t i = 0; i < call->part_count; i++) {
        output_splice(call->reply->output, &call->parts[i].bytes);
    }
}

/* ---- SCAN ---- */

struct scan_arguments {
    uint64_t cursor;
    uint64_t count;
    struct key_filter filter;
};

/* Replies the error, where there is somebody to tell (`call` is not NULL), and returns false. */
static bool
scan_parse(struct call *call, const struct slice *argv, uint32_t argc, struct scan_arguments *out)
{
    *out = (struct scan_arguments){.count = SCAN_COUNT_DEFAULT, .filter = {.slot = -1}};
    if (!scan_cursor_parse(argv[1], &out->cursor)) {
        reply_error(call->reply, "ERR invalid cursor");
        return false;
    }
    for (uint32_t i = 2; i < argc; i += 2) {
        if (i + 1 == argc) {
            call_syntax_error(call);
            return false;
        }
        struct slice value = argv[i + 1];
        if (slice_is_word(argv[i], "count")) {
            int64_t count;
            if (!number_parse_i64(value, &count)) {
                call_not_integer_error(call);
                return false;
            }
            if (count < 1) {
                call_syntax_error(call);
                return false;
            }
            out->count = (uint64_t)count;
        } else if (slice_is_word(argv[i], "match")) {
            filter_pattern_set(&out->filter, value);
        } else if (slice_is_word(argv[i], "type")) {
            out->filter.has_type = true;
            out->filter.type = value;
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

static bool
key_scan_check(struct call *call)
{
    struct scan_arguments arguments;
    return scan_parse(call, call->argv, call->argc, &arguments);
}

/* What travels with the part. */
struct scan_walk {
    uint64_t seen_count;
    uint32_t hop_count;
};

/* The first slot behind `slot` that is not this shard's. */
static uint32_t
owned_end(const struct shard *shard, uint32_t slot)
{
    while (slot < SLOT_COUNT && shard->node->slot_owner[slot] == shard->index) {
        slot++;
    }
    return slot;
}

/* Scan this shard's slots from *cursor to `end`, until COUNT is met or this shard's share is used
 * up. */
static void
scan_slots(struct part *part, const struct scan_arguments *arguments, struct scan_walk *walk,
           uint32_t end, uint64_t *cursor)
{
    struct keyspace *keyspace = &part->shard->keyspace;
    struct key_visit visit = {.filter = &arguments->filter, .part = part};
    uint32_t slot = (uint32_t)(*cursor >> TABLE_POSITION_BITS);
    uint64_t position = *cursor & SCAN_POSITION_MASK;
    uint64_t bucket_count = 0;
    while (walk->seen_count + visit.seen_count < arguments->count &&
           bucket_count + visit.seen_count < SCAN_STEPS_MAX) {
        if (position == 0) {
            slot = MIN(keyspace_slot_next(keyspace, part->db, slot), end);
        }
        if (slot == end) {
            break;
        }
        position = keyspace_scan(keyspace, part->db, slot, position, key_visit_entry, &visit);
        bucket_count++;
        slot += position == 0;
    }
    /* Where nothing follows, the walk need not come again to find that out. */
    if (position == 0) {
        slot = MIN(keyspace_slot_next(keyspace, part->db, slot), end);
    }
    walk->seen_count += visit.seen_count;
    *cursor = (uint64_t)slot << TABLE_POSITION_BITS | position;
}

/* Sets part->cursor to where the walk stands, and part->next_shard. The first turn runs wherever
 * the client's core is, and finds out whose the slot is. */
static void
key_scan_part(struct part *part)
{
    struct scan_arguments arguments;
    bool is_ok = scan_parse(NULL, part->argv, part->argc, &arguments);
    ASSERT(is_ok); /* key_scan_check() */
    if (part->data == NULL) {
        part->data = heap_alloc(sizeof(struct scan_walk));
        *(struct scan_walk *)part->data = (struct scan_walk){0};
        part->cursor = arguments.cursor;
        if (arguments.filter.slot >= 0 && part->cursor < (uint64_t)arguments.filter.slot
                                                             << TABLE_POSITION_BITS) {
            part->cursor = (uint64_t)arguments.filter.slot << TABLE_POSITION_BITS;
        }
    }
    struct scan_walk *walk = part->data;
    part->next_shard = -1;
    uint64_t cursor_end = (uint64_t)SLOT_COUNT << TABLE_POSITION_BITS;
    if (arguments.filter.slot >= 0) {
        cursor_end = (uint64_t)(arguments.filter.slot + 1) << TABLE_POSITION_BITS;
    }
    if (part->cursor < cursor_end) {
        uint32_t slot = (uint32_t)(part->cursor >> TABLE_POSITION_BITS);
        uint32_t end =
            MIN(owned_end(part->shard, slot), (uint32_t)(cursor_end >> TABLE_POSITION_BITS));
        if (slot < end) {
            scan_slots(part, &arguments, walk, end, &part->cursor);
        }
    }
    if (part->cursor >= cursor_end) {
        part->cursor = 0;
        return;
    }
    uint16_t owner = part->shard->node->slot_owner[part->cursor >> TABLE_POSITION_BITS];
    if (owner != part->shard->index && walk->seen_count < arguments.count &&
        walk->hop_count < SCAN_HOPS_MAX) {
        walk->hop_count++;
        part->next_shard = owner;
    }
}

static void
key_scan(struct call *call)
{
    ASSERT(call->part_count == 1);
    char digits[NUMBER_I64_SIZE_MAX];
    size_t size = number_format_u64(digits, call->parts[0].cursor);
    reply_array(call->reply, 2);
    reply_bulk(call->reply, slice_of(digits, size));
    parts_reply(call);
}

/* ---- RANDOMKEY, DBSIZE ---- */

/* A candidate and how many keys it stands for. */
static void
key_randomkey_part(struct part *part)
{
    struct keyspace *keyspace = &part->shard->keyspace;
    const struct key_filter filter = {.slot = -1};
    for (uint32_t i = 0; i < RANDOM_TRIES_MAX; i++) {
        struct entry *entry = keyspace_random(keyspace, part->db, &part->shard->random);
        if (entry == NULL) {
            return;
        }
        if (filter_passes(&filter, entry, part->now_ms)) {
            reply_bulk(&part->reply, entry_key(entry));
            part->number = (int64_t)keyspace->databases[part->db].key_count;
            return;
        }
    }
}

static void
key_randomkey(struct call *call)
{
    uint64_t key_count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        key_count += (uint64_t)call->parts[i].number;
    }
    if (key_count == 0) {
        reply_null(call->reply);
        return;
    }
    uint64_t drawn = random_below(&call->shard->random, key_count);
    uint32_t winner = 0;
    while (drawn >= (uint64_t)call->parts[winner].number) {
        drawn -= (uint64_t)call->parts[winner].number;
        winner++;
    }
    if (!call->reply->is_muted) {
        output_splice(call->reply->output, &call->parts[winner].bytes);
    }
}

static void
key_dbsize_part(struct part *part)
{
    part->number = (int64_t)part->shard->keyspace.databases[part->db].key_count;
}

static void
key_dbsize(struct call *call)
{
    int64_t key_count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        key_count += call->parts[i].number;
    }
    reply_i64(call->reply, key_count);
}

/* ---- rows ---- */

static const char *const keys_tips[] = {"request_policy:all_shards",
                                        "nondeterministic_output_order", NULL};
static const char *const scan_tips[] = {"nondeterministic_output", "request_policy:special", NULL};
static const char *const randomkey_tips[] = {"request_policy:all_shards", "nondeterministic_output",
                                             NULL};
static const char *const dbsize_tips[] = {"request_policy:all_shards", "response_policy:agg_sum",
                                          NULL};
static const struct command_argument keys_arguments[] = {
    {.kind = ARGUMENT_PATTERN, .name = "pattern"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument scan_arguments_docs[] = {
    {.kind = ARGUMENT_INTEGER, .name = "cursor"},
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .token = "MATCH", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {.kind = ARGUMENT_STRING,
     .name = "type",
     .token = "TYPE",
     .since = "6.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_END},
};
static const struct command_history scan_history[] = {
    {"6.0.0", "Takes `TYPE`."},
    {NULL, NULL},
};

static const struct command key_scan_commands[] = {
    {
        .name = "keys",
        .run = parts_reply,
        .part = key_keys_part,
        .flags = CMD_READONLY,
        .arity = 2,
        .scope = SCOPE_ALL,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE | ACL_DANGEROUS,
        .since = "1.0.0",
        .complexity = "O(N) with N keys in the database; in one slot when the hash tag is given.",
        .summary = "Lists all keys that match a pattern.",
        .tips = keys_tips,
        .arguments = keys_arguments,
    },
    {
        .name = "scan",
        .run = key_scan,
        .part = key_scan_part,
        .check = key_scan_check,
        .flags = CMD_READONLY,
        .arity = -2,
        .scope = SCOPE_WALK,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "2.8.0",
        .complexity = "O(1) for each call, O(N) for all calls until the cursor is 0 again.",
        .summary = "Lists the keys of a database a few at a time.",
        .history = scan_history,
        .tips = scan_tips,
        .arguments = scan_arguments_docs,
    },
    {
        .name = "randomkey",
        .run = key_randomkey,
        .part = key_randomkey_part,
        .flags = CMD_READONLY,
        .arity = 1,
        .scope = SCOPE_ALL,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Names any one key of the database.",
        .tips = randomkey_tips,
    },
    {
        .name = "dbsize",
        .run = key_dbsize,
        .part = key_dbsize_part,
        .flags = CMD_READONLY | CMD_FAST,
        .arity = 1,
        .scope = SCOPE_ALL,
        .group = GROUP_SERVER,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Counts the keys of the database.",
        .tips = dbsize_tips,
    },
};

const struct command_family key_scan_family = {
    .commands = key_scan_commands,
    .count = ARRAY_COUNT(key_scan_commands),
};
