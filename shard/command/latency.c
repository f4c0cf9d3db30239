/*
 * latency.c: LATENCY: what took too long, and how the times of commands are spread.
 *
 * Each shard copies its series, a few kilobytes; the coordinator merges those of one event into one
 * (the worst of each second) and answers from that. HISTOGRAM reads the histograms of INFO instead,
 * which count every command, not only the slow ones.
 */
#include "shard/latency.h"

#include "core/heap.h"
#include "shard/command/families.h"
#include "shard/command/latency_internal.h"

void
latency_copy_part(struct part *part)
{
    struct latency_series *copies = heap_alloc(LATENCY_EVENT_COUNT * sizeof(*copies));
    for (uint32_t i = 0; i < LATENCY_EVENT_COUNT; i++) {
        const struct latency_series *series = part->shard->latency.series[i];
        if (series == NULL) {
            memset(&copies[i], 0, sizeof(copies[i]));
        } else {
            copies[i] = *series;
        }
    }
    part->data = copies;
}

struct latency_series *
latency_sum(const struct call *call)
{
    struct latency_series *sum = heap_alloc(LATENCY_EVENT_COUNT * sizeof(*sum));
    memset(sum, 0, LATENCY_EVENT_COUNT * sizeof(*sum));
    for (uint32_t i = 0; i < call->part_count; i++) {
        const struct latency_series *copies = call->parts[i].data;
        for (uint32_t j = 0; j < LATENCY_EVENT_COUNT; j++) {
            latency_merge(&sum[j], &copies[j]);
        }
    }
    return sum;
}

static void
latency_latest(struct call *call)
{
    struct latency_series *sum = latency_sum(call);
    struct reply_later later = reply_later(call->reply);
    uint64_t count = 0;
    for (uint32_t i = 0; i < LATENCY_EVENT_COUNT; i++) {
        if (sum[i].count == 0) {
            continue;
        }
        const struct latency_sample *last = latency_sample_at(&sum[i], sum[i].count - 1);
        reply_array(call->reply, 4);
        reply_bulk_string(call->reply, latency_event_name((enum latency_event)i));
        reply_i64(call->reply, last->unix_s);
        reply_i64(call->reply, (int64_t)last->ms);
        reply_i64(call->reply, (int64_t)sum[i].max_ms);
        count++;
    }
    reply_later_array(call->reply, later, count);
    heap_free(sum);
}

static void
latency_history(struct call *call)
{
    enum latency_event event = latency_event_find(call->argv[2]);
    if (event == LATENCY_EVENT_COUNT) {
        reply_array(call->reply, 0);
        return;
    }
    struct latency_series *sum = latency_sum(call);
    reply_array(call->reply, sum[event].count);
    for (uint32_t i = 0; i < sum[event].count; i++) {
        const struct latency_sample *sample = latency_sample_at(&sum[event], i);
        reply_array(call->reply, 2);
        reply_i64(call->reply, sample->unix_s);
        reply_i64(call->reply, (int64_t)sample->ms);
    }
    heap_free(sum);
}

/** part->number: a bit for each event that had samples. */
static void
latency_reset_part(struct part *part)
{
    for (uint32_t i = 0; i < LATENCY_EVENT_COUNT; i++) {
        bool is_named = part->argc == 2;
        for (uint32_t j = 2; j < part->argc; j++) {
            is_named |= latency_event_find(part->argv[j]) == (enum latency_event)i;
        }
        if (is_named && latency_reset(part->shard, (enum latency_event)i)) {
            part->number |= INT64_C(1) << i;
        }
    }
}

static void
latency_reset_run(struct call *call)
{
    uint64_t events = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        events |= (uint64_t)call->parts[i].number;
    }
    reply_i64(call->reply, __builtin_popcountll(events));
}

static void
latency_help(struct call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    A report about the spikes that were seen, with advice.",
        "GRAPH <event>",
        "    Draw the samples of an event.",
        "HISTORY <event>",
        "    The samples of an event: Unix time and milliseconds.",
        "LATEST",
        "    Of each event: name, time and milliseconds of the last sample, the most ever.",
        "RESET [<event> ...]",
        "    Forget the samples of these events, or of all.",
        "HISTOGRAM [<command> ...]",
        "    How the times of these commands, or of all, are spread: for powers of two of",
        "    microseconds, the calls that took no longer.",
        NULL,
    };
    reply_help(call->reply, "LATENCY", lines);
}

static const struct command_argument event_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "event"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument events_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "event", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument commands_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "command", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};

static const char *const nondeterministic_output_all_nodes_special_tips[] = {
    "nondeterministic_output", "request_policy:all_nodes", "response_policy:special", NULL};
static const char *const all_nodes_all_succeeded_tips[] = {"request_policy:all_nodes",
                                                           "response_policy:all_succeeded", NULL};

#define LATENCY_ROW(row_name, row_arity, row_since, row_complexity, row_summary)                   \
    .name = (row_name), .parent = "latency", .scope = SCOPE_ALL,                                   \
    .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, .arity = (row_arity),             \
    .group = GROUP_SERVER, .since = (row_since), .complexity = (row_complexity),                   \
    .summary = (row_summary)

static const struct command latency_subcommands[] = {
    {LATENCY_ROW("doctor", 2, "2.8.13", "O(1)", "Reports the spikes that were seen, with advice."),
     .part = latency_copy_part, .run = latency_doctor,
     .tips = nondeterministic_output_all_nodes_special_tips},
    {LATENCY_ROW("graph", 3, "2.8.13", "O(1)", "Draws the samples of an event."),
     .part = latency_copy_part, .run = latency_graph, .arguments = event_arguments,
     .tips = nondeterministic_output_all_nodes_special_tips},
    {
        .name = "help",
        .parent = "latency",
        .run = latency_help,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE,
        .arity = 2,
        .group = GROUP_SERVER,
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Lists what LATENCY can do.",
    },
    {LATENCY_ROW("histogram", -2, "7.0.0", "O(N) with N commands that have run",
                 "Tells how the times of commands are spread."),
     .part = latency_histogram_part, .run = latency_histogram, .arguments = commands_arguments,
     .tips = nondeterministic_output_all_nodes_special_tips},
    {LATENCY_ROW("history", 3, "2.8.13", "O(1)", "Lists the samples of an event."),
     .part = latency_copy_part, .run = latency_history, .arguments = event_arguments,
     .tips = nondeterministic_output_all_nodes_special_tips},
    {LATENCY_ROW("latest", 2, "2.8.13", "O(1)", "Shows the last sample of each event."),
     .part = latency_copy_part, .run = latency_latest,
     .tips = nondeterministic_output_all_nodes_special_tips},
    {LATENCY_ROW("reset", -2, "2.8.13", "O(1)", "Forgets the samples of events."),
     .part = latency_reset_part, .run = latency_reset_run, .arguments = events_arguments,
     .tips = all_nodes_all_succeeded_tips},
};

static const struct command latency_commands[] = {
    {
        .name = "latency",
        .flags = 0,
        .arity = -2,
        .group = GROUP_SERVER,
        .since = "2.8.13",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about what took too long.",
        .subcommands = latency_subcommands,
        .subcommand_count = ARRAY_COUNT(latency_subcommands),
    },
};

const struct command_family latency_family = {
    .commands = latency_commands,
    .count = ARRAY_COUNT(latency_commands),
};
