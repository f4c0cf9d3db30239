/*
 * info_commands.c: INFO's sections by command and by error code.
 *
 * Each shard lists the commands that it has seen; here all lists are put in one, sorted by name,
 * and what stands for the same row is added up. Histograms are sparse on the way and become dense
 * for one command at a time, so that many commands on many cores need no more memory than one.
 */
#include "core/heap.h"
#include "shard/command/info_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void
info_command_name(char out[INFO_COMMAND_NAME_SIZE], const struct command *command)
{
    const char *parent = command->parent;
    snprintf(out, INFO_COMMAND_NAME_SIZE, "%s%s%s", parent == NULL ? "" : parent,
             parent == NULL ? "" : "|", command->name);
}

static int
info_command_compare(const void *a, const void *b)
{
    char name_a[INFO_COMMAND_NAME_SIZE];
    char name_b[INFO_COMMAND_NAME_SIZE];
    info_command_name(name_a, (*(const struct info_command *const *)a)->command);
    info_command_name(name_b, (*(const struct info_command *const *)b)->command);
    return strcmp(name_a, name_b);
}

const struct info_command **
info_commands_sorted(const struct info_sum *sum, uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < sum->part_count; i++) {
        *count += sum->parts[i]->command_count;
    }
    const struct info_command **commands = heap_alloc(*count * sizeof(*commands));
    uint32_t at = 0;
    for (uint32_t i = 0; i < sum->part_count; i++) {
        for (uint32_t j = 0; j < sum->parts[i]->command_count; j++) {
            commands[at++] = &sum->parts[i]->commands[j];
        }
    }
    if (at > 0) {
        qsort(commands, at, sizeof(*commands), info_command_compare);
    }
    return commands;
}

uint32_t
info_commands_same(const struct info_command **commands, uint32_t count, uint32_t at)
{
    uint32_t same = 1;
    while (at + same < count && commands[at + same]->command == commands[at]->command) {
        same++;
    }
    return same;
}

static double
info_ticks_to_us(const struct info_sum *sum, uint64_t ticks)
{
    return (double)clock_ticks_to_ns(&sum->node->clock_scale, ticks) / 1000;
}

void
info_commandstats(const struct info_sum *sum, struct output *out)
{
    uint32_t count;
    const struct info_command **commands = info_commands_sorted(sum, &count);
    uint32_t same;
    for (uint32_t i = 0; i < count; i += same) {
        same = info_commands_same(commands, count, i);
        struct info_command total = {0};
        for (uint32_t j = i; j < i + same; j++) {
            total.call_count += commands[j]->call_count;
            total.tick_count += commands[j]->tick_count;
            total.failed_count += commands[j]->failed_count;
            total.rejected_count += commands[j]->rejected_count;
        }
        char name[INFO_COMMAND_NAME_SIZE];
        info_command_name(name, commands[i]->command);
        double time_us = info_ticks_to_us(sum, total.tick_count);
        info_print(out,
                   "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                   "failed_calls=%llu\r\n",
                   name, (unsigned long long)total.call_count, (unsigned long long)time_us,
                   total.call_count == 0 ? 0 : time_us / (double)total.call_count,
                   (unsigned long long)total.rejected_count,
                   (unsigned long long)total.failed_count);
    }
    heap_free(commands);
}

static void
info_percentiles_print(const struct info_sum *sum, const struct stats_histogram *histogram,
                       uint64_t total, struct output *out)
{
    const struct config_list *percentiles = &sum->config->latency_tracking_info_percentiles;
    for (uint32_t i = 0; i < percentiles->count; i++) {
        double percentile = strtod(percentiles->items[i], NULL);
        uint64_t wanted = (uint64_t)ceil(percentile / 100 * (double)total);
        wanted = MIN(MAX(wanted, UINT64_C(1)), total);
        uint64_t seen = 0;
        uint32_t bucket = 0;
        while (bucket < STATS_HISTOGRAM_SIZE - 1 && (seen += histogram->counts[bucket]) < wanted) {
            bucket++;
        }
        info_print(out, "%sp%s=%.3f", i == 0 ? "" : ",", percentiles->items[i],
                   info_ticks_to_us(sum, stats_bucket_end(bucket)));
    }
}

void
info_latencystats(const struct info_sum *sum, struct output *out)
{
    if (!sum->config->latency_tracking) {
        return;
    }
    uint32_t count;
    const struct info_command **commands = info_commands_sorted(sum, &count);
    struct stats_histogram *histogram = heap_alloc(sizeof(*histogram));
    uint32_t same;
    for (uint32_t i = 0; i < count; i += same) {
        same = info_commands_same(commands, count, i);
        memset(histogram, 0, sizeof(*histogram));
        uint64_t total = 0;
        for (uint32_t j = i; j < i + same; j++) {
            for (uint64_t k = 0; k < commands[j]->bucket_count; k++) {
                const struct info_bucket *bucket = &commands[j]->buckets[k];
                histogram->counts[bucket->bucket] += bucket->count;
                total += bucket->count;
            }
        }
        if (total > 0) {
            char name[INFO_COMMAND_NAME_SIZE];
            info_command_name(name, commands[i]->command);
            info_print(out, "latency_percentiles_usec_%s:", name);
            info_percentiles_print(sum, histogram, total, out);
            info_print(out, "\r\n");
        }
    }
    heap_free(histogram);
    heap_free(commands);
}

static int
info_error_compare(const void *a, const void *b)
{
    return memcmp(((const struct stats_error *)a)->code, ((const struct stats_error *)b)->code,
                  STATS_ERROR_CODE_SIZE);
}

void
info_errorstats(const struct info_sum *sum, struct output *out)
{
    struct stats_error totals[STATS_ERROR_KINDS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sum->part_count; i++) {
        for (uint32_t j = 0; j < sum->parts[i]->error_count; j++) {
            const struct stats_error *error = &sum->parts[i]->errors[j];
            uint32_t at = 0;
            while (at < count && memcmp(totals[at].code, error->code, sizeof(error->code)) != 0) {
                at++;
            }
            if (at < count) {
                totals[at].count += error->count;
            } else if (count < STATS_ERROR_KINDS_MAX) {
                totals[count++] = *error;
            }
        }
    }
    if (count > 0) {
        qsort(totals, count, sizeof(totals[0]), info_error_compare);
    }
    for (uint32_t i = 0; i < count; i++) {
        info_print(out, "errorstat_%s:count=%llu\r\n", totals[i].code,
                   (unsigned long long)totals[i].count);
    }
}
