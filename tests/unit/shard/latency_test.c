#include "shard/latency.h"

#include "core/random.h"
#include "shard/commandlog.h"
#include "shard/stats.h"
#include "shards.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct shards *
monitored_new(uint32_t count)
{
    struct shards *shards = shards_new(count, 100);
    /* One tick is one nanosecond. */
    shards->node.clock_scale.ns_per_tick_q32 = UINT64_C(1) << 32;
    shards->config->latency_monitor_threshold_ms = 5;
    return shards;
}

static void
monitored_delete(struct shards *shards)
{
    for (uint32_t i = 0; i < shards->count; i++) {
        latency_destroy(shards->shards[i]);
        commandlog_destroy(shards->shards[i]);
        stats_destroy(shards->shards[i]);
    }
    shards_delete(shards);
}

static bool
says(struct shards *shards, const char *line, const char *expected)
{
    const char *reply = shards_line(shards, line);
    if (strcmp(reply, expected) == 0) {
        return true;
    }
    fprintf(stderr, "%s\n  expected: %s\n  got:      %s\n", line, expected, reply);
    return false;
}

Test(latency, the_worst_of_each_second_is_kept)
{
    struct shards *shards = monitored_new(3);
    cr_assert(says(shards, "LATENCY LATEST", "*0\r\n"));
    latency_note(shards->shards[0], LATENCY_COMMAND, 4);
    cr_assert(says(shards, "LATENCY LATEST", "*0\r\n"));
    latency_note(shards->shards[0], LATENCY_COMMAND, 5);
    latency_note(shards->shards[2], LATENCY_COMMAND, 9);
    latency_note(shards->shards[0], LATENCY_COMMAND, 7);
    shards_advance(shards, 1000);
    latency_note(shards->shards[1], LATENCY_COMMAND, 6);
    latency_note(shards->shards[1], LATENCY_EXPIRE_CYCLE, 8);
    cr_assert(says(shards, "LATENCY HISTORY command",
                   "*2\r\n*2\r\n:1700000000\r\n:9\r\n*2\r\n:1700000001\r\n:6\r\n"));
    cr_assert(says(shards, "LATENCY LATEST",
                   "*2\r\n*4\r\n$7\r\ncommand\r\n:1700000001\r\n:6\r\n:9\r\n"
                   "*4\r\n$12\r\nexpire-cycle\r\n:1700000001\r\n:8\r\n:8\r\n"));
    cr_assert(says(shards, "LATENCY HISTORY Command", "*0\r\n"));
    cr_assert(says(shards, "LATENCY HISTORY fast-command", "*0\r\n"));
    cr_assert(says(shards, "LATENCY RESET fast-command nonsense", ":0\r\n"));
    cr_assert(says(shards, "LATENCY RESET expire-cycle expire-cycle", ":1\r\n"));
    cr_assert(says(shards, "LATENCY RESET", ":1\r\n"));
    cr_assert(says(shards, "LATENCY RESET", ":0\r\n"));
    monitored_delete(shards);
}

Test(latency, commands_are_slow_or_fast_ones)
{
    struct shards *shards = monitored_new(1);
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, 2);
    struct slice keys[] = {SLICE("KEYS"), SLICE("*")};
    struct slice get[] = {SLICE("GET"), SLICE("k")};
    struct call call = {.argc = 2, .reply = &reply, .shard = shards->shards[0]};
    call.session = &shards->session;
    call.session_id = 1;
    call.argv = keys;
    call.command = command_resolve(shards->table, keys, 2);
    commandlog_notice(&call, UINT64_C(6999999));
    call.argv = get;
    call.command = command_resolve(shards->table, get, 2);
    commandlog_notice(&call, UINT64_C(8000000));
    commandlog_notice(&call, UINT64_C(4999999));
    output_destroy(&output);
    cr_assert(says(shards, "LATENCY LATEST",
                   "*2\r\n*4\r\n$7\r\ncommand\r\n:1700000000\r\n:6\r\n:6\r\n"
                   "*4\r\n$12\r\nfast-command\r\n:1700000000\r\n:8\r\n:8\r\n"));
    monitored_delete(shards);
}

Test(latency, series_race_a_list_of_seconds)
{
    enum { SECONDS = 400 };
    uint64_t seed = random_system_seed();
    struct random random;
    random_create(&random, seed);
    for (uint32_t round = 0; round < 50; round++) {
        struct shards *shards = monitored_new(1 + (uint32_t)random_below(&random, 4));
        uint64_t worst[SECONDS] = {0};
        uint64_t max_ms = 0;
        uint32_t now = 0;
        /* Each core has all of the last seconds only while none of its own fell out. */
        uint32_t busy = 1 + (uint32_t)random_below(&random, 3);
        while (now < SECONDS - 3) {
            for (uint64_t i = random_below(&random, busy + 1); i > 0; i--) {
                uint64_t ms = 5 + random_below(&random, 1000);
                latency_note(shards->shards[random_below(&random, shards->count)],
                             LATENCY_FAST_COMMAND, ms);
                worst[now] = MAX(worst[now], ms);
                max_ms = MAX(max_ms, ms);
            }
            uint32_t step = (uint32_t)random_below(&random, 3);
            now += step;
            shards_advance(shards, (int64_t)step * 1000);
        }
        struct latency_series sum = {.count = 0};
        for (uint32_t i = 0; i < shards->count; i++) {
            const struct latency_series *series =
                shards->shards[i]->latency.series[LATENCY_FAST_COMMAND];
            if (series != NULL) {
                latency_merge(&sum, series);
            }
        }
        uint32_t at = sum.count;
        uint32_t seen = 0;
        for (uint32_t i = SECONDS; i-- > 0 && seen < LATENCY_SAMPLES_MAX;) {
            if (worst[i] > 0) {
                cr_assert_gt(at, 0, "seed %" PRIu64, seed);
                const struct latency_sample *sample = latency_sample_at(&sum, --at);
                cr_assert_eq(sample->unix_s, SHARDS_START_MS / 1000 + i, "seed %" PRIu64, seed);
                cr_assert_eq(sample->ms, worst[i], "seed %" PRIu64, seed);
                seen++;
            }
        }
        cr_assert_eq(at, 0, "seed %" PRIu64, seed);
        cr_assert_eq(sum.max_ms, max_ms, "seed %" PRIu64, seed);
        monitored_delete(shards);
    }
}

static const struct command *
row(struct shards *shards, const char *name, const char *subcommand)
{
    struct slice argv[2] = {slice_of_string(name), slice_of_string(subcommand)};
    return command_resolve(shards->table, argv, subcommand[0] == '\0' ? 1 : 2);
}

Test(latency, histograms_of_all_cores_are_added)
{
    struct shards *shards = monitored_new(2);
    cr_assert(says(shards, "LATENCY HISTOGRAM", "*0\r\n"));
    const struct command *get = row(shards, "get", "");
    static const uint32_t times_us[] = {1, 1, 3, 30, 31, 120};
    for (uint32_t i = 0; i < ARRAY_COUNT(times_us); i++) {
        stats_command(shards->shards[i % 2], get, times_us[i] * UINT64_C(1000), false);
    }
    stats_command(shards->shards[1], row(shards, "config", "get"), 500, false);
    stats_command(shards->shards[0], row(shards, "config", "set"), 500, false);
    cr_assert(says(shards, "LATENCY HISTOGRAM GET",
                   "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:6\r\n$14\r\nhistogram_usec\r\n*8\r\n"
                   ":1\r\n:2\r\n:4\r\n:3\r\n:33\r\n:5\r\n:132\r\n:6\r\n"));
    const char *one = "*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:1\r\n";
    char expected[512];
    snprintf(expected, sizeof(expected), "*4\r\n$10\r\nconfig|get\r\n%s$10\r\nconfig|set\r\n%s",
             one, one);
    cr_assert(says(shards, "LATENCY HISTOGRAM config nonsense", expected));
    snprintf(expected, sizeof(expected), "*2\r\n$10\r\nconfig|set\r\n%s", one);
    cr_assert(says(shards, "LATENCY HISTOGRAM config|SET strlen", expected));
    shards->session.protocol = 3;
    cr_assert(says(shards, "LATENCY HISTOGRAM config|set",
                   "%1\r\n$10\r\nconfig|set\r\n%2\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n"
                   "%1\r\n:1\r\n:1\r\n"));
    cr_assert_eq(strncmp(shards_line(shards, "LATENCY HISTOGRAM"), "%3\r\n", 4), 0);
    monitored_delete(shards);
}

Test(latency, graph_and_doctor)
{
    struct shards *shards = monitored_new(2);
    cr_assert(
        says(shards, "LATENCY GRAPH command", "-ERR No samples available for event 'command'\r\n"));
    cr_assert(says(shards, "LATENCY GRAPH x", "-ERR No samples available for event 'x'\r\n"));
    cr_assert_not_null(strstr(shards_line(shards, "LATENCY DOCTOR"), "No latency spike"));
    static const uint32_t times_ms[] = {10, 20, 120, 60};
    for (uint32_t i = 0; i < ARRAY_COUNT(times_ms); i++) {
        latency_note(shards->shards[i % 2], LATENCY_COMMAND, times_ms[i]);
        shards_advance(shards, i == 1 ? 100000 : 5000);
    }
    const char *graph = shards_line(shards, "LATENCY GRAPH command");
    cr_assert_not_null(strstr(graph, "command - high 120 ms, low 10 ms (all time high 120 ms)\n"));
    cr_assert_not_null(strstr(graph, "\n  # \n  | \n  |#\n_o||\n\n1115\nmm0s\n  s \n"), "%s",
                       graph);
    const char *report = shards_line(shards, "LATENCY DOCTOR");
    cr_assert_not_null(strstr(report, "1. command: 4 spikes, 52 ms on average"), "%s", report);
    cr_assert_not_null(strstr(report, "the worst ever took 120 ms"));
    latency_reset(shards->shards[0], LATENCY_COMMAND);
    latency_reset(shards->shards[1], LATENCY_COMMAND);
    shards->config->latency_monitor_threshold_ms = 0;
    cr_assert_not_null(strstr(shards_line(shards, "LATENCY DOCTOR"), "monitor is off"));
    monitored_delete(shards);
}
