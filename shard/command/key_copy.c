/*
 * key_copy.c: values that change their key: RENAME, RENAMENX, COPY, MOVE.
 *
 * Each works on two views that may belong to two shards, and for COPY ... DB and MOVE to two
 * databases. Renaming and moving hand the value over, copying duplicates it; the deadline goes
 * along in all cases. The effects are told for each key apart (SET ... PXAT or RESTORE for one, DEL
 * for the other), since the journals that they go to may be different ones.
 *
 * Which database the second key lies in stands among the arguments; copy_views() and move_views()
 * read it for the router before the command runs. They say nothing about mistakes: the handler
 * replies those.
 */
#include "shard/call.h"
#include "shard/command/families.h"

#include "core/number.h"
#include "shard/notify.h"
#include "shard/shard.h"

#define SAME_OBJECT_ERROR "ERR source and destination objects are the same"

static void
value_hand_over(struct call *call, struct view *from, struct view *to)
{
    view_value_move(call, from, to);
    call_effect_delete(call, from);
    call_effect_value(call, to);
}

/* False: an error or a refusal was replied. */
static bool
rename_run(struct call *call, bool is_nx)
{
    struct view *from = call->views[0];
    struct view *to = call->views[1];
    if (!view_exists(from)) {
        reply_error(call->reply, "ERR no such key");
        return false;
    }
    if (is_nx && view_exists(to)) {
        reply_i64(call->reply, 0);
        return false;
    }
    if (from != to) {
        value_hand_over(call, from, to);
        call_event(call, from, NOTIFY_GENERIC, "rename_from");
        call_event(call, to, NOTIFY_GENERIC, "rename_to");
    }
    return true;
}

static void
key_rename(struct call *call)
{
    if (rename_run(call, false)) {
        reply_ok(call->reply);
    }
}

static void
key_renamenx(struct call *call)
{
    if (rename_run(call, true)) {
        reply_i64(call->reply, 1);
    }
}

/* A database number as these commands take it: an int, then within what there is. */
static bool
database_parse(struct call *call, uint32_t index, uint16_t *db)
{
    int64_t number;
    if (!call_integer(call, index, &number, NULL)) {
        return false;
    }
    if (number < INT32_MIN || number > INT32_MAX) {
        reply_error(call->reply, "ERR value is out of range, value must between -2147483648 and "
                                 "2147483647");
        return false;
    }
    if (number < 0 || number >= (int64_t)call->shard->keyspace.database_count) {
        reply_error(call->reply, "ERR DB index is out of range");
        return false;
    }
    *db = (uint16_t)number;
    return true;
}

/* For the router: the database that argv[index] names, or the selected one. */
static uint16_t
database_of(struct slice argument, uint16_t selected_db, uint32_t database_count)
{
    int64_t number;
    if (!number_parse_i64(argument, &number) || number < 0 || number >= (int64_t)database_count) {
        return selected_db;
    }
    return (uint16_t)number;
}

static int64_t
two_views(struct command_view first, struct command_view second, struct command_view *out,
          uint32_t views_max)
{
    if (views_max > 0) {
        out[0] = first;
    }
    if (views_max > 1) {
        out[1] = second;
    }
    return 2;
}

#define COPY_SOURCE_FLAGS (KEY_RO | KEY_ACCESS)
#define COPY_TARGET_FLAGS (KEY_OW | KEY_UPDATE)

static int64_t
copy_views(const struct slice *argv, uint32_t argc, uint16_t selected_db, uint32_t database_count,
           struct command_view *out, uint32_t views_max)
{
    if (argc < 3) {
        return -1;
    }
    uint16_t db = selected_db;
    for (uint32_t i = 3; i + 1 < argc; i++) {
        if (slice_is_word(argv[i], "db")) {
            db = database_of(argv[i + 1], selected_db, database_count);
            i++;
        }
    }
    return two_views(
        (struct command_view){.index = 1, .db = selected_db, .flags = COPY_SOURCE_FLAGS},
        (struct command_view){.index = 2, .db = db, .flags = COPY_TARGET_FLAGS}, out, views_max);
}

/* Replies the error and returns false. */
static bool
copy_parse(struct call *call, uint16_t *db, bool *is_replace)
{
    *db = call->db;
    *is_replace = false;
    for (uint32_t i = 3; i < call->argc; i++) {
        if (slice_is_word(call->argv[i], "replace")) {
            *is_replace = true;
        } else if (slice_is_word(call->argv[i], "db") && i + 1 < call->argc) {
            if (!database_parse(call, i + 1, db)) {
                return false;
            }
            i++;
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

static void
key_copy(struct call *call)
{
    uint16_t db;
    bool is_replace;
    if (!copy_parse(call, &db, &is_replace)) {
        return;
    }
    struct view *from = call->views[0];
    struct view *to = call->views[1];
    ASSERT(to->db == db);
    if (from == to) {
        reply_error(call->reply, SAME_OBJECT_ERROR);
        return;
    }
    /* The source alone counts as a lookup: the row cannot say that. */
    call_count(call, from);
    if (!view_exists(from) || (view_exists(to) && !is_replace)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct value value = view_value_copy(call, from);
    if (view_exists(to)) {
        view_delete(call, to);
    }
    view_value_set(call, to, &value);
    if (from->deadline_ms != VIEW_NO_DEADLINE) {
        view_deadline_set(call, to, from->deadline_ms);
    }
    call_effect_value(call, to);
    call_event(call, to, NOTIFY_GENERIC, "copy_to");
    reply_i64(call->reply, 1);
}

#define MOVE_FLAGS (KEY_RW | KEY_ACCESS | KEY_UPDATE)

static int64_t
move_views(const struct slice *argv, uint32_t argc, uint16_t selected_db, uint32_t database_count,
           struct command_view *out, uint32_t views_max)
{
    if (argc < 3) {
        return -1;
    }
    uint16_t db = database_of(argv[2], selected_db, database_count);
    return two_views((struct command_view){.index = 1, .db = selected_db, .flags = MOVE_FLAGS},
                     (struct command_view){.index = 1, .db = db, .flags = MOVE_FLAGS}, out,
                     views_max);
}

static void
key_move(struct call *call)
{
    uint16_t db;
    if (!database_parse(call, 2, &db)) {
        return;
    }
    struct view *from = call->views[0];
    struct view *to = call->views[1];
    ASSERT(to->db == db);
    if (from == to) {
        reply_error(call->reply, SAME_OBJECT_ERROR);
        return;
    }
    if (!view_exists(from) || view_exists(to)) {
        reply_i64(call->reply, 0);
        return;
    }
    value_hand_over(call, from, to);
    call_event(call, from, NOTIFY_GENERIC, "move_from");
    call_event(call, to, NOTIFY_GENERIC, "move_to");
    reply_i64(call->reply, 1);
}

static const struct command_argument rename_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_KEY, .name = "newkey", .key_spec_index = 1},
    {.kind = ARGUMENT_END},
};
static const struct command_argument copy_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "source"},
    {.kind = ARGUMENT_KEY, .name = "destination", .key_spec_index = 1},
    {.kind = ARGUMENT_INTEGER, .name = "destination-db", .token = "DB", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "replace", .token = "REPLACE", .is_optional = true},
    {.kind = ARGUMENT_END},
};
static const struct command_argument move_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "db"},
    {.kind = ARGUMENT_END},
};
static const struct command_history renamenx_history[] = {
    {"3.2.0", "The same name twice is no error."},
    {NULL, NULL},
};

static const struct command key_copy_commands[] = {
    {
        .name = "rename",
        .run = key_rename,
        .flags = CMD_WRITE,
        .arity = 3,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE),
                      KEYS_AT(2, KEY_OW | KEY_UPDATE)},
        .key_spec_count = 2,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Gives a value another key, replacing what that key held.",
        .arguments = rename_arguments,
    },
    {
        .name = "renamenx",
        .run = key_renamenx,
        .flags = CMD_WRITE | CMD_FAST,
        .arity = 3,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE),
                      KEYS_AT(2, KEY_OW | KEY_INSERT)},
        .key_spec_count = 2,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Gives a value another key, where that key is not there yet.",
        .history = renamenx_history,
        .arguments = rename_arguments,
    },
    {
        .name = "copy",
        .run = key_copy,
        .flags = CMD_WRITE | CMD_DENYOOM,
        .arity = -3,
        .scope = SCOPE_KEYS,
        .views = copy_views,
        .key_specs = {KEYS_AT(1, COPY_SOURCE_FLAGS), KEYS_AT(2, COPY_TARGET_FLAGS)},
        .key_spec_count = 2,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "6.2.0",
        .complexity = "O(N) for a collection with N nested items, O(1) for a string.",
        .summary =
            "Copies a value with its deadline to another key, in another database if wanted.",
        .arguments = copy_arguments,
    },
    {
        .name = "move",
        .run = key_move,
        .flags = CMD_WRITE | CMD_FAST,
        .arity = 3,
        .scope = SCOPE_KEYS,
        .views = move_views,
        .key_specs = {KEYS_AT(1, MOVE_FLAGS)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Moves a key to another database, where it is not there yet.",
        .arguments = move_arguments,
    },
};

const struct command_family key_copy_family = {
    .commands = key_copy_commands,
    .count = ARRAY_COUNT(key_copy_commands),
};
