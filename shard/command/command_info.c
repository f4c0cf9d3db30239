/*
 * command_info.c: COMMAND INFO: what clients need to know of a command to route it and check it,
 * from its row.
 *
 * Besides key specifications, old clients read a first key, a last key and a step. These are
 * derived: one specification of a fixed place and a range gives them directly; several are glued
 * together where each begins behind the one before it.
 */
#include "shard/command/command_internal.h"

#include "shard/shard.h"

/* In redis-server's order. CMD_MAY_REPLICATE is not shown. */
static const struct bit_name flag_names[] = {
    {"write", CMD_WRITE},
    {"readonly", CMD_READONLY},
    {"denyoom", CMD_DENYOOM},
    {"admin", CMD_ADMIN},
    {"pubsub", CMD_PUBSUB},
    {"noscript", CMD_NOSCRIPT},
    {"blocking", CMD_BLOCKING},
    {"loading", CMD_LOADING},
    {"stale", CMD_STALE},
    {"skip_monitor", CMD_SKIP_MONITOR},
    {"skip_slowlog", CMD_SKIP_SLOWLOG},
    {"asking", CMD_ASKING},
    {"fast", CMD_FAST},
    {"no_auth", CMD_NO_AUTH},
    {"no_mandatory_keys", CMD_NO_MANDATORY_KEYS},
    {"no_async_loading", CMD_NO_ASYNC_LOADING},
    {"no_multi", CMD_NO_MULTI},
    {"movablekeys", CMD_MOVABLE_KEYS},
    {"allow_busy", CMD_ALLOW_BUSY},
    {NULL, 0},
};

const struct bit_name command_category_names[] = {
    {"keyspace", ACL_KEYSPACE},
    {"read", ACL_READ},
    {"write", ACL_WRITE},
    {"set", ACL_SET},
    {"sortedset", ACL_SORTEDSET},
    {"list", ACL_LIST},
    {"hash", ACL_HASH},
    {"string", ACL_STRING},
    {"bitmap", ACL_BITMAP},
    {"hyperloglog", ACL_HYPERLOGLOG},
    {"geo", ACL_GEO},
    {"stream", ACL_STREAM},
    {"pubsub", ACL_PUBSUB},
    {"admin", ACL_ADMIN},
    {"fast", ACL_FAST},
    {"slow", ACL_SLOW},
    {"blocking", ACL_BLOCKING},
    {"dangerous", ACL_DANGEROUS},
    {"connection", ACL_CONNECTION},
    {"transaction", ACL_TRANSACTION},
    {"scripting", ACL_SCRIPTING},
    {NULL, 0},
};

const struct bit_name command_key_flag_names[] = {
    {"RO", KEY_RO},
    {"RW", KEY_RW},
    {"OW", KEY_OW},
    {"RM", KEY_RM},
    {"access", KEY_ACCESS},
    {"update", KEY_UPDATE},
    {"insert", KEY_INSERT},
    {"delete", KEY_DELETE},
    {"not_key", KEY_NOT_KEY},
    {"incomplete", KEY_INCOMPLETE},
    {"variable_flags", KEY_VARIABLE_FLAGS},
    {NULL, 0},
};

void
command_reply_bits(struct reply *reply, const struct bit_name *names, uint32_t bits,
                   const char *prefix)
{
    uint64_t count = 0;
    for (const struct bit_name *name = names; name->name != NULL; name++) {
        count += (bits & name->bit) != 0;
    }
    reply_set(reply, count);
    for (const struct bit_name *name = names; name->name != NULL; name++) {
        if ((bits & name->bit) != 0) {
            char text[32];
            size_t prefix_size = strlen(prefix);
            size_t name_size = strlen(name->name);
            ASSERT(prefix_size + name_size < sizeof(text));
            memcpy(text, prefix, prefix_size);
            memcpy(text + prefix_size, name->name, name_size + 1);
            reply_simple(reply, text);
        }
    }
}

struct slice
command_full_name(const struct command *command, char out[COMMAND_FULL_NAME_SIZE])
{
    size_t size = 0;
    if (command->parent != NULL) {
        size = strlen(command->parent);
        ASSERT(size + 1 < COMMAND_FULL_NAME_SIZE);
        memcpy(out, command->parent, size);
        out[size++] = '|';
    }
    size_t name_size = strlen(command->name);
    ASSERT(size + name_size <= COMMAND_FULL_NAME_SIZE);
    memcpy(out + size, command->name, name_size);
    return slice_of(out, size + name_size);
}

const struct command *
command_lookup(const struct command_table *table, struct slice full_name)
{
    const char *bar = full_name.size == 0 ? NULL : memchr(full_name.data, '|', full_name.size);
    if (bar == NULL) {
        return command_find(table, full_name);
    }
    size_t size = (size_t)(bar - full_name.data);
    struct slice words[] = {slice_of(full_name.data, size),
                            slice_of(bar + 1, full_name.size - size - 1)};
    const struct command *command = command_resolve(table, words, 2);
    /* Still the container: it has no such subcommand. */
    return command == NULL || command->parent == NULL ? NULL : command;
}

/* ---- keys ---- */

struct key_range {
    int32_t first;
    int32_t last;
    int32_t step;
};

static bool
spec_is_range(const struct key_spec *spec)
{
    return spec->begin == KEYS_BEGIN_INDEX && spec->find == KEYS_FIND_RANGE;
}

/* Of the argument, or from the end where negative. */
static int32_t
spec_last(const struct key_spec *spec)
{
    return spec->last >= 0 ? spec->begin_index + spec->last : spec->last;
}

static struct key_range
range_of(const struct command *command)
{
    const struct key_spec *specs = command->key_specs;
    if (command->key_spec_count == 1 && spec_is_range(&specs[0])) {
        return (struct key_range){specs[0].begin_index, spec_last(&specs[0]), specs[0].step};
    }
    struct key_range range = {0, 0, 0};
    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        if (!spec_is_range(&specs[i]) || specs[i].step != 1) {
            continue;
        }
        if (range.step != 0 && range.last != specs[i].begin_index - 1) {
            break;
        }
        if (range.step == 0) {
            range.first = specs[i].begin_index;
            range.step = 1;
        }
        range.last = spec_last(&specs[i]);
    }
    return range;
}

static void
reply_field(struct reply *reply, const char *name, int64_t value)
{
    reply_bulk_string(reply, name);
    reply_i64(reply, value);
}

static void
reply_type(struct reply *reply, const char *type)
{
    reply_map(reply, 2);
    reply_bulk_string(reply, "type");
    reply_bulk_string(reply, type);
    reply_bulk_string(reply, "spec");
}

static void
reply_begin(struct reply *reply, const struct key_spec *spec)
{
    switch (spec->begin) {
    case KEYS_BEGIN_INDEX:
        reply_type(reply, "index");
        reply_map(reply, 1);
        reply_field(reply, "index", spec->begin_index);
        return;
    case KEYS_BEGIN_KEYWORD:
        reply_type(reply, "keyword");
        reply_map(reply, 2);
        reply_bulk_string(reply, "keyword");
        reply_bulk_string(reply, spec->begin_keyword);
        reply_field(reply, "startfrom", spec->begin_index);
        return;
    case KEYS_BEGIN_NONE:
    case KEYS_BEGIN_UNKNOWN:
        break;
    }
    reply_type(reply, "unknown");
    reply_map(reply, 0);
}

static void
reply_find(struct reply *reply, const struct key_spec *spec)
{
    switch (spec->find) {
    case KEYS_FIND_RANGE:
        reply_type(reply, "range");
        reply_map(reply, 3);
        reply_field(reply, "lastkey", spec->last);
        reply_field(reply, "keystep", spec->step);
        reply_field(reply, "limit", spec->limit);
        return;
    case KEYS_FIND_KEYNUM:
        reply_type(reply, "keynum");
        reply_map(reply, 3);
        reply_field(reply, "keynumidx", spec->keynum_index);
        reply_field(reply, "firstkey", spec->keynum_first);
        reply_field(reply, "keystep", spec->step);
        return;
    case KEYS_FIND_NONE:
    case KEYS_FIND_UNKNOWN:
        break;
    }
    reply_type(reply, "unknown");
    reply_map(reply, 0);
}

static void
reply_specs(struct reply *reply, const struct command *command)
{
    reply_set(reply, command->key_spec_count);
    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        const struct key_spec *spec = &command->key_specs[i];
        reply_map(reply, spec->notes == NULL ? 3 : 4);
        if (spec->notes != NULL) {
            reply_bulk_string(reply, "notes");
            reply_bulk_string(reply, spec->notes);
        }
        reply_bulk_string(reply, "flags");
        command_reply_bits(reply, command_key_flag_names, spec->flags, "");
        reply_bulk_string(reply, "begin_search");
        reply_begin(reply, spec);
        reply_bulk_string(reply, "find_keys");
        reply_find(reply, spec);
    }
}

/* ---- replies ---- */

static void
reply_tips(struct reply *reply, const char *const *tips)
{
    uint64_t count = 0;
    while (tips != NULL && tips[count] != NULL) {
        count++;
    }
    reply_set(reply, count);
    for (uint64_t i = 0; i < count; i++) {
        reply_bulk_string(reply, tips[i]);
    }
}

/* Everything but the subcommands. */
static void
reply_row(struct reply *reply, const struct command *command)
{
    char name[COMMAND_FULL_NAME_SIZE];
    reply_array(reply, 10);
    reply_bulk(reply, command_full_name(command, name));
    reply_i64(reply, command->arity);
    command_reply_bits(reply, flag_names, command->flags, "");
    struct key_range range = range_of(command);
    reply_i64(reply, range.first);
    reply_i64(reply, range.last);
    reply_i64(reply, range.step);
    command_reply_bits(reply, command_category_names, command_categories(command), "@");
    reply_tips(reply, command->tips);
    reply_specs(reply, command);
}

static void
reply_info(struct reply *reply, const struct command *command)
{
    reply_row(reply, command);
    if (command->subcommand_count == 0 || command->subcommands[0].is_internal) {
        reply_set(reply, 0);
        return;
    }
    reply_array(reply, command->subcommand_count);
    for (uint32_t i = 0; i < command->subcommand_count; i++) {
        reply_row(reply, &command->subcommands[i]);
        reply_set(reply, 0);
    }
}

void
command_info_all(struct call *call)
{
    const struct command_table *table = call->shard->node->commands;
    uint32_t count = command_count(table);
    reply_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_info(call->reply, command_at(table, i));
    }
}

void
command_info(struct call *call)
{
    if (call->argc == 2) {
        command_info_all(call);
        return;
    }
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_lookup(call->shard->node->commands, call->argv[i]);
        if (command == NULL) {
            reply_null(call->reply);
        } else {
            reply_info(call->reply, command);
        }
    }
}
