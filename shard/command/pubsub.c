/*
 * pubsub.c: SUBSCRIBE and its kin, PUBLISH, PUBSUB.
 *
 * PUBLISH names its channel as a key (of a database that no client can select), so that it comes to
 * the channel's home, takes its place among the keys of a transaction, and finds the number of its
 * receivers in the view. SUBSCRIBE enters the session here, is counted by its channels' homes in
 * its parts, and is confirmed when they have: who has read the confirmation misses nothing. Where
 * this core counts all of it itself, it is answered at once.
 *
 * Confirmations are pushes: CLIENT REPLY OFF does not silence them.
 */
#include "core/heap.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/lane.h"
#include "shard/notify.h"
#include "shard/session.h"
#include "shard/subscriptions.h"

/* ---- PUBLISH ---- */

static int64_t
pubsub_publish_views(const struct slice *argv, uint32_t argc, uint16_t selected_db,
                     uint32_t database_count, struct command_view *out, uint32_t views_max)
{
    (void)argv;
    (void)argc;
    (void)selected_db;
    (void)database_count;
    if (views_max > 0) {
        out[0] = (struct command_view){.index = 1, .db = VIEW_DB_CHANNEL, .flags = KEY_RW};
    }
    return 1;
}

static int64_t
pubsub_spublish_views(const struct slice *argv, uint32_t argc, uint16_t selected_db,
                      uint32_t database_count, struct command_view *out, uint32_t views_max)
{
    int64_t count = pubsub_publish_views(argv, argc, selected_db, database_count, out, views_max);
    if (views_max > 0) {
        out[0].db = VIEW_DB_SHARD_CHANNEL;
    }
    return count;
}

static void
pubsub_publish_run(struct call *call)
{
    call_publish(call, call->views[0], call->argv[2]);
    reply_i64(call->reply, (int64_t)call->views[0]->receiver_count);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

static void
pubsub_confirm_one(struct reply *reply, const char *word, struct slice name, uint32_t count)
{
    reply_push(reply, 3);
    reply_bulk_string(reply, word);
    if (name.data == NULL) {
        reply_null(reply);
    } else {
        reply_bulk(reply, name);
    }
    reply_i64(reply, count);
}

/** One confirmation for each name, with the number of subscriptions behind it. */
static void
pubsub_confirm_names(const struct call *call, const struct subscription_change *change,
                     struct reply *reply)
{
    const char *word = call->command->name;
    uint32_t count = change->count_before;
    uint32_t next = 0;
    if (call->argc == 1) {
        for (; next < change->count; next++) {
            pubsub_confirm_one(reply, word, subscription_change_name(change, next), --count);
        }
        if (next == 0) {
            pubsub_confirm_one(reply, word, (struct slice){0}, count);
        }
        return;
    }
    for (uint32_t i = 1; i < call->argc; i++) {
        /* The change has each name once, where it was said first. */
        if (next < change->count &&
            slice_equal(subscription_change_name(change, next), call->argv[i])) {
            count = change->is_removal ? count - 1 : count + 1;
            next++;
        }
        pubsub_confirm_one(reply, word, call->argv[i], count);
    }
}

/** All shards have counted the change. */
static void
pubsub_finish(struct call *call, struct subscription_change *change)
{
    subscription_change_end(change);
    if (call->reply->is_muted) {
        struct reply push;
        reply_create(&push, lane_output(call->session->lane), call->reply->protocol);
        pubsub_confirm_names(call, change, &push);
        lane_pushed(call->session->lane);
    } else {
        pubsub_confirm_names(call, change, call->reply);
    }
    subscription_change_delete(change);
}

/** True: other shards have to count it. */
static bool
pubsub_begin(struct call *call, struct subscription_change *change)
{
    if (!subscription_change_is_local(call->shard, change)) {
        call->shared = change;
        return true;
    }
    subscription_change_count(call->shard, change, call->shard->index);
    pubsub_finish(call, change);
    return false;
}

static void
pubsub_change_part(struct part *part)
{
    subscription_change_count(part->shard, part->shared, part->coordinator);
}

static void
pubsub_change_run(struct call *call)
{
    struct subscription_change *change = call->shared;
    call->shared = NULL;
    pubsub_finish(call, change);
}

static bool
pubsub_subscribe(struct call *call, enum topic_kind kind)
{
    return pubsub_begin(call,
                        subscriptions_add(call->session, kind, call->argv + 1, call->argc - 1));
}

static bool
pubsub_unsubscribe(struct call *call, enum topic_kind kind)
{
    return pubsub_begin(call,
                        subscriptions_remove(call->session, kind, call->argv + 1, call->argc - 1));
}

static bool
pubsub_subscribe_check(struct call *call)
{
    return pubsub_subscribe(call, TOPIC_CHANNEL);
}

static bool
pubsub_psubscribe_check(struct call *call)
{
    return pubsub_subscribe(call, TOPIC_PATTERN);
}

static bool
pubsub_ssubscribe_check(struct call *call)
{
    /* As redis-server 7.0 has it, which lets SUBSCRIBE pass. */
    if ((call->flags & CALL_IN_MULTI) != 0) {
        reply_error(call->reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return false;
    }
    return pubsub_subscribe(call, TOPIC_SHARD_CHANNEL);
}

static bool
pubsub_unsubscribe_check(struct call *call)
{
    return pubsub_unsubscribe(call, TOPIC_CHANNEL);
}

static bool
pubsub_punsubscribe_check(struct call *call)
{
    return pubsub_unsubscribe(call, TOPIC_PATTERN);
}

static bool
pubsub_sunsubscribe_check(struct call *call)
{
    return pubsub_unsubscribe(call, TOPIC_SHARD_CHANNEL);
}

/* ---- PUBSUB ---- */

static void
pubsub_visit_channel(void *context, struct slice channel)
{
    struct part *part = context;
    reply_bulk(&part->reply, channel);
    part->number++;
}

static bool
pubsub_channels_check(struct call *call)
{
    if (call->argc <= 3) {
        return true;
    }
    struct slice name = call->argv[1];
    reply_error_format(
        call->reply,
        "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
        (int)MIN(name.size, (size_t)INT32_MAX), name.data);
    return false;
}

static void
pubsub_list_channels(struct part *part, enum topic_kind kind)
{
    struct slice pattern = part->argc == 3 ? part->argv[2] : (struct slice){0};
    pubsub_each_channel(part->shard, kind, pattern, pubsub_visit_channel, part);
}

static void
pubsub_channels_part(struct part *part)
{
    pubsub_list_channels(part, TOPIC_CHANNEL);
}

static void
pubsub_shardchannels_part(struct part *part)
{
    pubsub_list_channels(part, TOPIC_SHARD_CHANNEL);
}

static void
pubsub_channels_run(struct call *call)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += (uint64_t)call->parts[i].number;
    }
    reply_array(call->reply, count);
    for (uint32_t i = 0; i < call->part_count && !call->reply->is_muted; i++) {
        output_splice(call->reply->output, &call->parts[i].bytes);
    }
}

/** The numbers of the channels whose home this is; those of others stay 0. */
static void
pubsub_count_subscribers(struct part *part, enum topic_kind kind)
{
    const struct shard *shard = part->shard;
    uint64_t *counts = heap_alloc(part->argc * sizeof(*counts));
    for (uint32_t i = 2; i < part->argc; i++) {
        bool is_home = shard->node->slot_owner[key_slot(part->argv[i])] == shard->index;
        counts[i - 2] = is_home ? pubsub_subscriber_count(shard, kind, part->argv[i]) : 0;
    }
    part->data = counts;
}

static void
pubsub_numsub_part(struct part *part)
{
    pubsub_count_subscribers(part, TOPIC_CHANNEL);
}

static void
pubsub_shardnumsub_part(struct part *part)
{
    pubsub_count_subscribers(part, TOPIC_SHARD_CHANNEL);
}

static void
pubsub_numsub_run(struct call *call)
{
    reply_array(call->reply, (uint64_t)(call->argc - 2) * 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        uint64_t count = 0;
        for (uint32_t j = 0; j < call->part_count; j++) {
            count += ((const uint64_t *)call->parts[j].data)[i - 2];
        }
        reply_bulk(call->reply, call->argv[i]);
        reply_i64(call->reply, (int64_t)count);
    }
}

/** Every shard knows all patterns. */
static void
pubsub_numpat_run(struct call *call)
{
    reply_i64(call->reply, (int64_t)pubsub_pattern_count(call->shard));
}

static void
pubsub_help_run(struct call *call)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Channels with subscribers, all or those that match.",
        "NUMPAT",
        "    How many different patterns are subscribed to.",
        "NUMSUB [<channel> ...]",
        "    How many subscribers each channel has, those through patterns not counted.",
        "SHARDCHANNELS [<pattern>]",
        "    Shard channels with subscribers, all or those that match.",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    How many subscribers each shard channel has.",
        NULL,
    };
    reply_help(call->reply, "PUBSUB", lines);
}

/* ---- rows ---- */

static const struct command_argument publish_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "channel"},
    {.kind = ARGUMENT_STRING, .name = "message"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument spublish_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "shardchannel"},
    {.kind = ARGUMENT_STRING, .name = "message"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument subscribe_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "channel", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument unsubscribe_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "channel", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument psubscribe_patterns[] = {
    {.kind = ARGUMENT_PATTERN, .name = "pattern"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument psubscribe_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "pattern",
     .is_multiple = true,
     .arguments = psubscribe_patterns},
    {.kind = ARGUMENT_END},
};

static const struct command_argument punsubscribe_arguments[] = {
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument ssubscribe_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "shardchannel", .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument sunsubscribe_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "shardchannel", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument channels_arguments[] = {
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command pubsub_subcommands[] = {
    {
        .name = "shardchannels",
        .parent = "pubsub",
        .check = pubsub_channels_check,
        .part = pubsub_shardchannels_part,
        .run = pubsub_channels_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "7.0.0",
        .complexity = "O(N) with N shard channels",
        .summary = "Lists the shard channels that have subscribers.",
        .arguments = channels_arguments,
    },
    {
        .name = "shardnumsub",
        .parent = "pubsub",
        .part = pubsub_shardnumsub_part,
        .run = pubsub_numsub_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "7.0.0",
        .complexity = "O(N) with N names",
        .summary = "Tells how many subscribers shard channels have.",
        .arguments = sunsubscribe_arguments,
    },
    {
        .name = "help",
        .parent = "pubsub",
        .run = pubsub_help_run,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_PUBSUB,
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Lists what PUBSUB can do.",
    },
    {
        .name = "channels",
        .parent = "pubsub",
        .check = pubsub_channels_check,
        .part = pubsub_channels_part,
        .run = pubsub_channels_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "2.8.0",
        .complexity = "O(N) with N channels",
        .summary = "Lists the channels that have subscribers.",
        .arguments = channels_arguments,
    },
    {
        .name = "numpat",
        .parent = "pubsub",
        .run = pubsub_numpat_run,
        .scope = SCOPE_LOCAL,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_PUBSUB,
        .since = "2.8.0",
        .complexity = "O(1)",
        .summary = "Tells how many different patterns are subscribed to.",
    },
    {
        .name = "numsub",
        .parent = "pubsub",
        .part = pubsub_numsub_part,
        .run = pubsub_numsub_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "2.8.0",
        .complexity = "O(N) with N names",
        .summary = "Tells how many subscribers channels have.",
        .arguments = unsubscribe_arguments,
    },
};

static const struct command pubsub_commands[] = {
    {
        .name = "publish",
        .run = pubsub_publish_run,
        .scope = SCOPE_KEYS,
        .views = pubsub_publish_views,
        .is_after_all = true,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE | CMD_NO_COUNT,
        .arity = 3,
        .group = GROUP_PUBSUB,
        .since = "2.0.0",
        .complexity = "O(N+M) with N subscribers of the channel and M patterns of all clients",
        .summary = "Sends a message to all who subscribe to a channel.",
        .arguments = publish_arguments,
    },
    {
        .name = "spublish",
        .run = pubsub_publish_run,
        .scope = SCOPE_KEYS,
        .views = pubsub_spublish_views,
        .is_after_all = true,
        .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE | CMD_NO_COUNT,
        .arity = 3,
        .key_specs = {KEYS_AT(1, KEY_NOT_KEY)},
        .key_spec_count = 1,
        .group = GROUP_PUBSUB,
        .since = "7.0.0",
        .complexity = "O(N) with N subscribers of the shard channel",
        .summary = "Sends a message to all who subscribe to a shard channel.",
        .arguments = spublish_arguments,
    },
    {
        .name = "subscribe",
        .check = pubsub_subscribe_check,
        .part = pubsub_change_part,
        .run = pubsub_change_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_WHILE_SUBSCRIBED,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "2.0.0",
        .complexity = "O(N) with N channels",
        .summary = "Lets messages of channels come to this connection.",
        .arguments = subscribe_arguments,
    },
    {
        .name = "unsubscribe",
        .check = pubsub_unsubscribe_check,
        .part = pubsub_change_part,
        .run = pubsub_change_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_WHILE_SUBSCRIBED,
        .arity = -1,
        .group = GROUP_PUBSUB,
        .since = "2.0.0",
        .complexity = "O(N) with N channels",
        .summary = "Stops the messages of some or all channels.",
        .arguments = unsubscribe_arguments,
    },
    {
        .name = "psubscribe",
        .check = pubsub_psubscribe_check,
        .part = pubsub_change_part,
        .run = pubsub_change_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_WHILE_SUBSCRIBED,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "2.0.0",
        .complexity = "O(N) with N patterns",
        .summary = "Lets messages of all channels that match a pattern come to this connection.",
        .arguments = psubscribe_arguments,
    },
    {
        .name = "punsubscribe",
        .check = pubsub_punsubscribe_check,
        .part = pubsub_change_part,
        .run = pubsub_change_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_WHILE_SUBSCRIBED,
        .arity = -1,
        .group = GROUP_PUBSUB,
        .since = "2.0.0",
        .complexity = "O(N) with N patterns",
        .summary = "Stops the messages of some or all patterns.",
        .arguments = punsubscribe_arguments,
    },
    {
        .name = "ssubscribe",
        .check = pubsub_ssubscribe_check,
        .part = pubsub_change_part,
        .run = pubsub_change_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_WHILE_SUBSCRIBED,
        .arity = -2,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_NOT_KEY)},
        .key_spec_count = 1,
        .group = GROUP_PUBSUB,
        .since = "7.0.0",
        .complexity = "O(N) with N shard channels",
        .summary = "Lets messages of shard channels come to this connection.",
        .arguments = ssubscribe_arguments,
    },
    {
        .name = "sunsubscribe",
        .check = pubsub_sunsubscribe_check,
        .part = pubsub_change_part,
        .run = pubsub_change_run,
        .scope = SCOPE_ALL,
        .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_WHILE_SUBSCRIBED,
        .arity = -1,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_NOT_KEY)},
        .key_spec_count = 1,
        .group = GROUP_PUBSUB,
        .since = "7.0.0",
        .complexity = "O(N) with N shard channels",
        .summary = "Stops the messages of some or all shard channels.",
        .arguments = sunsubscribe_arguments,
    },
    {
        .name = "pubsub",
        .flags = 0,
        .arity = -2,
        .group = GROUP_PUBSUB,
        .since = "2.8.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands that tell who subscribes to what.",
        .subcommands = pubsub_subcommands,
        .subcommand_count = ARRAY_COUNT(pubsub_subcommands),
    },
};

const struct command_family pubsub_family = {
    .commands = pubsub_commands,
    .count = ARRAY_COUNT(pubsub_commands),
};
