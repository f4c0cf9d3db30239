/*
 * latency_report.c: LATENCY for eyes: GRAPH and DOCTOR.
 *
 * A graph has a column for each sample, the oldest at the left, four rows of three steps each
 * ('_', 'o', '#'; '|' below a column's top), and under each column how long ago it was, written
 * downwards:
 *
 *        #              54 ms, 12 seconds ago
 *     _ o|
 *     |_||
 *     ||||
 *
 *     3211
 *     1422
 *     ssss
 *
 * The doctor judges by arithmetic: how often, how far apart, how regular; what he advises depends
 * on the events that he saw and on the configuration.
 */
#include "core/heap.h"
#include "shard/command/info_internal.h"
#include "shard/command/latency_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define GRAPH_COLUMNS_MAX 80
#define GRAPH_ROWS 4
#define GRAPH_ROW_STEPS 3
#define GRAPH_STEPS (GRAPH_ROWS * GRAPH_ROW_STEPS)
/** "99999d", with its NUL. */
#define GRAPH_AGE_SIZE 8

/** What the numbers of a series say. */
struct latency_analysis {
    uint64_t low_ms;
    uint64_t high_ms;
    double average_ms;
    double deviation_ms; /* mean absolute */
    double period_s;     /* between two samples */
};

static void
latency_analyse(const struct latency_series *series, int64_t now_s,
                struct latency_analysis *analysis)
{
    ASSERT(series->count > 0);
    *analysis = (struct latency_analysis){.low_ms = UINT64_MAX};
    double sum = 0;
    for (uint32_t i = 0; i < series->count; i++) {
        uint64_t ms = latency_sample_at(series, i)->ms;
        analysis->low_ms = MIN(analysis->low_ms, ms);
        analysis->high_ms = MAX(analysis->high_ms, ms);
        sum += (double)ms;
    }
    analysis->average_ms = sum / series->count;
    for (uint32_t i = 0; i < series->count; i++) {
        double difference = (double)latency_sample_at(series, i)->ms - analysis->average_ms;
        analysis->deviation_ms += (difference < 0 ? -difference : difference) / series->count;
    }
    int64_t span_s = MAX(now_s - latency_sample_at(series, 0)->unix_s, INT64_C(0));
    analysis->period_s = (double)span_s / series->count;
}

/* ---- GRAPH ---- */

static void
graph_age(char out[GRAPH_AGE_SIZE], int64_t age_s)
{
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    age_s = MIN(MAX(age_s, INT64_C(0)), INT64_C(86400) * 99999);
    uint32_t unit = 0;
    while (unit < ARRAY_COUNT(units) - 1 && age_s < units[unit].seconds) {
        unit++;
    }
    snprintf(out, GRAPH_AGE_SIZE, "%u%c", (uint32_t)(age_s / units[unit].seconds) % 1000000,
             units[unit].letter);
}

static char
graph_glyph(uint32_t steps, uint32_t row)
{
    uint32_t below = row * GRAPH_ROW_STEPS;
    if (steps <= below) {
        return ' ';
    }
    return steps - below > GRAPH_ROW_STEPS ? '|' : "_o#"[steps - below - 1];
}

static void
graph_draw(const struct latency_series *series, int64_t now_s,
           const struct latency_analysis *analysis, struct output *out)
{
    uint32_t columns = MIN(series->count, (uint32_t)GRAPH_COLUMNS_MAX);
    uint32_t first = series->count - columns;
    char line[GRAPH_COLUMNS_MAX + 1];
    uint64_t range = analysis->high_ms - analysis->low_ms;
    line[columns] = '\n';
    for (uint32_t row = GRAPH_ROWS; row-- > 0;) {
        for (uint32_t i = 0; i < columns; i++) {
            uint64_t above = latency_sample_at(series, first + i)->ms - analysis->low_ms;
            uint32_t steps =
                1 +
                (range == 0 ? 0 : (uint32_t)((double)above * (GRAPH_STEPS - 1) / (double)range));
            line[i] = graph_glyph(steps, row);
        }
        output_append(out, line, columns + 1);
    }
    output_append(out, "\n", 1);
    char ages[GRAPH_COLUMNS_MAX][GRAPH_AGE_SIZE];
    size_t age_size = 0;
    for (uint32_t i = 0; i < columns; i++) {
        graph_age(ages[i], now_s - latency_sample_at(series, first + i)->unix_s);
        age_size = MAX(age_size, strlen(ages[i]));
    }
    for (size_t row = 0; row < age_size; row++) {
        for (uint32_t i = 0; i < columns; i++) {
            line[i] = row < strlen(ages[i]) ? ages[i][row] : ' ';
        }
        output_append(out, line, columns + 1);
    }
}

static void
reply_text(struct reply *reply, struct output *out)
{
    char *text = output_flatten(out);
    reply_verbatim(reply, slice_of(text, out->byte_count), "txt");
    heap_free(text);
    output_destroy(out);
}

void
latency_graph(struct call *call)
{
    enum latency_event event = latency_event_find(call->argv[2]);
    struct latency_series *sum = latency_sum(call);
    if (event == LATENCY_EVENT_COUNT || sum[event].count == 0) {
        struct slice name = call->argv[2];
        reply_error_format(call->reply, "ERR No samples available for event '%.*s'",
                           (int)MIN(name.size, (size_t)128), name.data);
        heap_free(sum);
        return;
    }
    struct latency_analysis analysis;
    int64_t now_s = call->now_ms / 1000;
    latency_analyse(&sum[event], now_s, &analysis);
    struct output out;
    output_create(&out);
    info_print(&out, "%s - high %llu ms, low %llu ms (all time high %llu ms)\n",
               latency_event_name(event), (unsigned long long)analysis.high_ms,
               (unsigned long long)analysis.low_ms, (unsigned long long)sum[event].max_ms);
    for (uint32_t i = 0; i < GRAPH_COLUMNS_MAX; i++) {
        output_append(&out, "-", 1);
    }
    output_append(&out, "\n", 1);
    graph_draw(&sum[event], now_s, &analysis, &out);
    reply_text(call->reply, &out);
    heap_free(sum);
}

/* ---- DOCTOR ---- */

static void
doctor_describe(const struct call *call, const struct latency_series *series,
                enum latency_event event, uint32_t number, struct output *out)
{
    struct latency_analysis analysis;
    latency_analyse(series, call->now_ms / 1000, &analysis);
    info_print(out,
               "%u. %s: %u spikes, %.0f ms on average, deviation %.0f ms, one in %.1f seconds; the "
               "worst ever took %llu ms.\n",
               number, latency_event_name(event), series->count, analysis.average_ms,
               analysis.deviation_ms, analysis.period_s, (unsigned long long)series->max_ms);
}

static void
doctor_advise_commands(const struct config *config, struct output *out)
{
    if (config->slowlog_log_slower_than_us < 0 || config->slowlog_max_len == 0) {
        info_print(out, "- Switch the slow log on (CONFIG SET slowlog-log-slower-than, in "
                        "microseconds): it names the commands that took long.\n");
    } else if (config->slowlog_log_slower_than_us / 1000 > config->latency_monitor_threshold_ms) {
        info_print(out,
                   "- The slow log begins at %lld us, above this monitor's %lld ms: lower "
                   "slowlog-log-slower-than to see the commands behind the spikes.\n",
                   (long long)config->slowlog_log_slower_than_us,
                   (long long)config->latency_monitor_threshold_ms);
    } else {
        info_print(out, "- SLOWLOG GET names the commands that took long, with their "
                        "arguments.\n");
    }
    info_print(out, "- Look for commands over whole collections or keyspaces (KEYS, SMEMBERS, "
                    "LRANGE 0 -1, SORT ...) and take their SCAN forms, ranges or limits.\n");
    info_print(out, "- A value belongs to one core: a hot large one slows the others of that core. "
                    "INFO cores shows how evenly the work is spread.\n");
}

static void
doctor_advise(const struct call *call, const struct latency_series *sum, struct output *out)
{
    const struct config *config = call->shard->config;
    info_print(out, "\nWhat may help:\n\n");
    if (sum[LATENCY_COMMAND].count > 0) {
        doctor_advise_commands(config, out);
    }
    if (sum[LATENCY_FAST_COMMAND].count > 0) {
        info_print(out, "- Commands that are fast by themselves were late: something else took the "
                        "CPU. See that each core of the server has a CPU of its own, that the "
                        "machine does not swap, and that no neighbour takes its time.\n");
    }
    if (sum[LATENCY_EXPIRE_CYCLE].count > 0) {
        info_print(out, "- Many keys die in the same moment: spread their deadlines by some "
                        "random seconds.\n");
    }
}

void
latency_doctor(struct call *call)
{
    struct latency_series *sum = latency_sum(call);
    uint32_t event_count = 0;
    for (uint32_t i = 0; i < LATENCY_EVENT_COUNT; i++) {
        event_count += sum[i].count > 0;
    }
    struct output out;
    output_create(&out);
    if (event_count == 0 && call->shard->config->latency_monitor_threshold_ms == 0) {
        info_print(&out, "The latency monitor is off. CONFIG SET latency-monitor-threshold "
                         "<milliseconds> switches it on.\n");
    } else if (event_count == 0) {
        info_print(&out, "No latency spike has been seen so far: nothing to complain about.\n");
    } else {
        info_print(&out, "Latency spikes were seen for %u kind%s of events:\n\n", event_count,
                   event_count == 1 ? "" : "s");
        uint32_t number = 0;
        for (uint32_t i = 0; i < LATENCY_EVENT_COUNT; i++) {
            if (sum[i].count > 0) {
                doctor_describe(call, &sum[i], (enum latency_event)i, ++number, &out);
            }
        }
        doctor_advise(call, sum, &out);
    }
    reply_text(call->reply, &out);
    heap_free(sum);
}
