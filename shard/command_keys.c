/*
 * command_keys.c: which arguments are keys, and what categories a command belongs to.
 *
 * A row says where keys stand by up to four specifications: where to begin (a position, or behind a
 * keyword) and how to go on (a range, or a count that stands among the arguments). All who need
 * keys ask here: the router, COMMAND GETKEYS, cluster checks. Nothing is allocated; the caller
 * brings the room and comes again when it was too small.
 *
 * A specification may not fit the arguments at hand (a keyword that is not there, fewer arguments
 * than the range needs): it then names no key, and the handler finds the mistake. Only a count of
 * keys that is itself wrong, or larger than what stands behind it, is reported as -1, for the keys
 * cannot be told then.
 *
 * Rejected: a hand-written function for each command with odd keys. The specifications are what
 * clients see in COMMAND INFO, so they have to be right anyway.
 */
#include "shard/command.h"

#include "core/number.h"

/* Keys of a row with KEYS_BEGIN_UNKNOWN, at the most. */
#define UNKNOWN_PLACES_MAX 4

/* Where the keys of one command line are gathered, in the one form or in the other. */
struct key_sink {
    struct command_key *keys;
    struct command_view *views; /* when `keys` is NULL */
    uint32_t max;
    uint16_t db;
    int64_t count;
};

static void
sink_add(struct key_sink *sink, uint32_t index, uint32_t flags)
{
    if (sink->count < (int64_t)sink->max) {
        if (sink->keys != NULL) {
            sink->keys[sink->count] = (struct command_key){.index = index, .flags = flags};
        } else {
            sink->views[sink->count] =
                (struct command_view){.index = index, .db = sink->db, .flags = flags};
        }
    }
    sink->count++;
}

/* The argument behind the keyword; 0: it is not there. The last argument is no keyword, for nothing
 * stands behind it. */
static int64_t
keyword_find(const struct key_spec *spec, const struct slice *argv, uint32_t argc)
{
    int64_t at = spec->begin_index;
    if (at > 0) {
        for (; at < (int64_t)argc - 1; at++) {
            if (slice_equal_words(argv[at], slice_of_string(spec->begin_keyword))) {
                return at + 1;
            }
        }
        return 0;
    }
    for (at += argc; at > 1; at--) {
        if (at < (int64_t)argc &&
            slice_equal_words(argv[at], slice_of_string(spec->begin_keyword))) {
            return at + 1;
        }
    }
    return 0;
}

/* The position of the first key (or of what `find` counts from); 0: the specification names none.
 */
static int64_t
spec_begin(const struct key_spec *spec, const struct slice *argv, uint32_t argc)
{
    switch (spec->begin) {
    case KEYS_BEGIN_INDEX:
        return spec->begin_index;
    case KEYS_BEGIN_KEYWORD:
        return keyword_find(spec, argv, argc);
    case KEYS_BEGIN_NONE:
    case KEYS_BEGIN_UNKNOWN:
        break;
    }
    return 0;
}

/* The last key's position, from the first's. */
static int64_t
range_last(const struct key_spec *spec, int64_t first, uint32_t argc)
{
    if (spec->last >= 0) {
        return first + spec->last;
    }
    if (spec->limit <= 1) {
        return (int64_t)argc + spec->last;
    }
    return first + ((int64_t)argc - first) / spec->limit + spec->last;
}

/* Move *first from the start of the specification to its first key, and find the last. False: the
 * count is no number, or is larger than what stands behind it. */
static bool
keynum_bounds(const struct key_spec *spec, const struct slice *argv, uint32_t argc, int64_t *first,
              int64_t *last)
{
    int64_t at = *first + spec->keynum_index;
    int64_t count;
    if (at >= (int64_t)argc || !number_parse_i64(argv[at], &count)) {
        return false;
    }
    *first += spec->keynum_first;
    if (count < 0 || count > (int64_t)argc) {
        return false;
    }
    *last = *first + (count - 1) * spec->step;
    return count == 0 || *last < (int64_t)argc;
}

/* False: the arguments are wrong for it. */
static bool
spec_keys(const struct key_spec *spec, uint32_t flags, const struct slice *argv, uint32_t argc,
          struct key_sink *sink)
{
    int64_t first = spec_begin(spec, argv, argc);
    if (first == 0) {
        return true;
    }
    int64_t last = 0;
    switch (spec->find) {
    case KEYS_FIND_RANGE:
        last = range_last(spec, first, argc);
        break;
    case KEYS_FIND_KEYNUM:
        if (!keynum_bounds(spec, argv, argc, &first, &last)) {
            return false;
        }
        break;
    case KEYS_FIND_NONE:
    case KEYS_FIND_UNKNOWN:
        return true;
    }
    ASSERT(spec->step > 0);
    last = MIN(last, (int64_t)argc - 1);
    for (int64_t at = first; at <= last; at += spec->step) {
        sink_add(sink, (uint32_t)at, flags);
    }
    return true;
}

static int64_t
collect(const struct command *command, const struct slice *argv, uint32_t argc,
        struct key_sink *sink)
{
    ASSERT(command->key_spec_count <= COMMAND_KEY_SPECS_MAX);
    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        const struct key_spec *spec = &command->key_specs[i];
        if ((spec->flags & KEY_NOT_KEY) != 0) {
            continue;
        }
        uint32_t flags = spec->flags;
        if ((flags & KEY_VARIABLE_FLAGS) != 0 && command->key_flags != NULL) {
            flags = command->key_flags(argv, argc);
        }
        flags &= ~(KEY_VARIABLE_FLAGS | KEY_INCOMPLETE);
        if (!spec_keys(spec, flags, argv, argc, sink)) {
            return -1;
        }
    }
    return sink->count;
}

/* Keys that no specification can describe (SORT's STORE): the row's views() knows them. */
static bool
has_unknown_places(const struct command *command)
{
    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        if (command->key_specs[i].begin == KEYS_BEGIN_UNKNOWN) {
            return true;
        }
    }
    return false;
}

static int64_t
keys_of_views(const struct command *command, const struct slice *argv, uint32_t argc,
              struct command_key *keys, uint32_t keys_max)
{
    struct command_view views[UNKNOWN_PLACES_MAX];
    int64_t count = command->views(argv, argc, 0, 1, views, UNKNOWN_PLACES_MAX);
    ASSERT(count <= UNKNOWN_PLACES_MAX);
    for (int64_t i = 0; i < count && i < (int64_t)keys_max; i++) {
        keys[i] = (struct command_key){.index = views[i].index, .flags = views[i].flags};
    }
    return count;
}

int64_t
command_keys(const struct command *command, const struct slice *argv, uint32_t argc,
             struct command_key *keys, uint32_t keys_max)
{
    if (has_unknown_places(command) && command->views != NULL) {
        return keys_of_views(command, argv, argc, keys, keys_max);
    }
    struct key_sink sink = {.keys = keys, .max = keys_max};
    return collect(command, argv, argc, &sink);
}

int64_t
command_views(const struct command *command, const struct slice *argv, uint32_t argc,
              uint16_t selected_db, uint32_t database_count, struct command_view *views,
              uint32_t views_max)
{
    if (command->views != NULL) {
        return command->views(argv, argc, selected_db, database_count, views, views_max);
    }
    struct key_sink sink = {.views = views, .max = views_max, .db = selected_db};
    if (command->key_spec_count == 0) {
        if (command->route_index > 0 && (uint32_t)command->route_index < argc) {
            sink_add(&sink, (uint32_t)command->route_index, KEY_RO);
        }
        return sink.count;
    }
    return collect(command, argv, argc, &sink);
}

uint32_t
command_categories(const struct command *command)
{
    static const uint32_t group_categories[] = {
        [GROUP_STRING] = ACL_STRING,
        [GROUP_LIST] = ACL_LIST,
        [GROUP_SET] = ACL_SET,
        [GROUP_SORTED_SET] = ACL_SORTEDSET,
        [GROUP_HASH] = ACL_HASH,
        [GROUP_TRANSACTIONS] = ACL_TRANSACTION,
        [GROUP_CONNECTION] = ACL_CONNECTION,
        [GROUP_SCRIPTING] = ACL_SCRIPTING,
        [GROUP_HYPERLOGLOG] = ACL_HYPERLOGLOG,
        [GROUP_GEO] = ACL_GEO,
        [GROUP_STREAM] = ACL_STREAM,
        [GROUP_BITMAP] = ACL_BITMAP,
    };
    uint32_t categories = command->categories;
    /* A container does nothing itself. */
    if (command->subcommand_count == 0 && command->group < ARRAY_COUNT(group_categories)) {
        categories |= group_categories[command->group];
    }
    uint32_t flags = command->flags;
    if ((flags & CMD_WRITE) != 0) {
        categories |= ACL_WRITE;
    }
    /* Whether a script only reads is for the script to say. */
    if ((flags & CMD_READONLY) != 0 && command->group != GROUP_SCRIPTING) {
        categories |= ACL_READ;
    }
    if ((flags & CMD_ADMIN) != 0) {
        categories |= ACL_ADMIN | ACL_DANGEROUS;
    }
    if ((flags & CMD_PUBSUB) != 0) {
        categories |= ACL_PUBSUB;
    }
    if ((flags & CMD_BLOCKING) != 0) {
        categories |= ACL_BLOCKING;
    }
    return categories | ((flags & CMD_FAST) != 0 ? ACL_FAST : ACL_SLOW);
}
