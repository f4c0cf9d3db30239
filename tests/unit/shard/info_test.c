#include "rig.h"

#include "core/random.h"
#include "shard/stats.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(info, sections)
{
    struct rig *rig = rig_new();
    cr_assert(rig_says(rig, "INFO foo", "$0\r\n\r\n"));
    cr_assert(rig_says(rig, "INFO keyspace", "$12\r\n# Keyspace\r\n\r\n"));
    cr_assert(rig_says(rig, "INFO KEYSPACE keyspace cluster",
                       "$44\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n\r\n"));
    cr_assert(rig_shows(rig, "INFO", "# Server\r\nredis_version:7.0.15\r\n"));
    cr_assert(rig_shows(rig, "INFO", "connected_clients:3\r\n"));
    cr_assert_null(strstr(harness_line(rig->harness, "INFO"), "# Commandstats"));
    cr_assert_null(strstr(harness_line(rig->harness, "INFO default"), "# Latencystats"));
    cr_assert(rig_shows(rig, "INFO all", "# Commandstats\r\n"));
    cr_assert(rig_shows(rig, "INFO everything", "# Latencystats\r\n"));
    cr_assert(rig_shows(rig, "INFO cores", "core0:cpu=-1,connections=3,keys=0,"));
    harness_line(rig->harness, "HELLO 3");
    cr_assert(rig_says(rig, "INFO cluster", "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"));
    rig_delete(rig);
}

Test(info, counts_keys_and_deadlines)
{
    struct rig *rig = rig_new();
    harness_line(rig->harness, "SET a 1");
    harness_line(rig->harness, "SET b 2 PX 1000");
    harness_line(rig->harness, "SET c 2 PX 3000");
    harness_line(rig->harness, "SELECT 3");
    harness_line(rig->harness, "SET d 2");
    cr_assert(rig_shows(rig, "INFO keyspace",
                        "db0:keys=3,expires=2,avg_ttl=2000\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n"));
    harness_advance(rig->harness, 500);
    cr_assert(rig_shows(rig, "INFO keyspace", "db0:keys=3,expires=2,avg_ttl=1500\r\n"));
    rig_delete(rig);
}

static const struct command *
row(struct rig *rig, const char *name, const char *subcommand)
{
    struct slice argv[2] = {slice_of_string(name), slice_of_string(subcommand)};
    return command_resolve(rig->harness->table, argv, subcommand[0] == '\0' ? 1 : 2);
}

Test(info, commands_and_errors_are_counted)
{
    struct rig *rig = rig_new();
    struct shard *shard = rig->harness->shard;
    /* One tick is one nanosecond. */
    shard->node->clock_scale.ns_per_tick_q32 = UINT64_C(1) << 32;
    for (uint32_t i = 1; i <= 100; i++) {
        stats_command(shard, row(rig, "get", ""), i * 1000, i % 10 == 0);
    }
    stats_reject(shard, row(rig, "get", ""));
    stats_command(shard, row(rig, "client", "list"), 5000, false);
    stats_error(shard, "ERR");
    stats_error(shard, "WRONGTYPE");
    stats_error(shard, "ERR");
    cr_assert(rig_shows(rig, "INFO commandstats",
                        "# Commandstats\r\n"
                        "cmdstat_client|list:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,"
                        "failed_calls=0\r\n"
                        "cmdstat_get:calls=100,usec=5050,usec_per_call=50.50,rejected_calls=1,"
                        "failed_calls=10\r\n"));
    cr_assert(
        rig_shows(rig, "INFO errorstats",
                  "# Errorstats\r\nerrorstat_ERR:count=2\r\nerrorstat_WRONGTYPE:count=1\r\n"));
    const char *reply = harness_line(rig->harness, "INFO latencystats");
    const char *line = strstr(reply, "latency_percentiles_usec_get:p50=");
    cr_assert_not_null(line);
    double p50;
    double p99;
    cr_assert_eq(sscanf(line, "latency_percentiles_usec_get:p50=%lf,p99=%lf", &p50, &p99), 2);
    cr_assert(p50 >= 50 && p50 <= 51, "p50 is %f", p50);
    cr_assert(p99 >= 99 && p99 <= 101, "p99 is %f", p99);
    cr_assert(rig_says(rig, "CONFIG RESETSTAT", "+OK\r\n"));
    cr_assert(rig_says(rig, "INFO commandstats errorstats latencystats",
                       "$50\r\n# Commandstats\r\n\r\n# Errorstats\r\n\r\n# Latencystats\r\n\r\n"));
    rig_delete(rig);
}

Test(info, histogram_buckets_cover_all_durations)
{
    struct random random;
    uint64_t seed = random_system_seed();
    random_create(&random, seed);
    cr_assert_eq(stats_bucket(UINT64_MAX), STATS_HISTOGRAM_SIZE - 1);
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t ticks = random_next(&random) >> (18 + random_below(&random, 46));
        uint32_t bucket = stats_bucket(ticks);
        cr_assert(bucket < STATS_HISTOGRAM_SIZE, "seed %llu", (unsigned long long)seed);
        uint64_t end = stats_bucket_end(bucket);
        cr_assert(ticks <= end, "seed %llu", (unsigned long long)seed);
        cr_assert(end - ticks <= ticks / 64, "seed %llu", (unsigned long long)seed);
        cr_assert(bucket == 0 || stats_bucket_end(bucket - 1) < ticks, "seed %llu",
                  (unsigned long long)seed);
    }
}

Test(info, rates_are_of_the_last_moments)
{
    struct rig *rig = rig_new();
    struct shard *shard = rig->harness->shard;
    struct stats_sample span;
    stats_recent(shard, &span);
    cr_assert_eq(span.command_count, 0);
    for (uint32_t i = 0; i < 50; i++) {
        shard->counters.command_count += 10;
        shard->counters.busy_ns += 25;
        shard->counters.idle_ns += 75;
        harness_advance(rig->harness, 100);
        stats_sample(shard);
        stats_sample(shard);
    }
    stats_recent(shard, &span);
    cr_assert_eq(span.at_ms, 1500);
    cr_assert_eq(span.command_count, 150);
    cr_assert(rig_shows(rig, "INFO stats", "instantaneous_ops_per_sec:100\r\n"));
    cr_assert(rig_shows(rig, "INFO cores", ",busy=0.250,"));
    /* A core that slept: nothing happened since its newest sample. */
    harness_advance(rig->harness, 60000);
    cr_assert(rig_shows(rig, "INFO stats", "instantaneous_ops_per_sec:0\r\n"));
    rig_delete(rig);
}

Test(info, fields_that_dashboards_read)
{
    static const char *const fields[] = {
        "redis_mode:standalone",
        "uptime_in_seconds:0",
        "process_id:",
        "tessera_version:",
        "maxclients:10000",
        "blocked_clients:0",
        "used_memory:",
        "used_memory_rss_human:",
        "used_memory_peak:",
        "maxmemory_policy:noeviction",
        "mem_fragmentation_ratio:",
        "mem_allocator:",
        "loading:0",
        "rdb_bgsave_in_progress:0",
        "rdb_last_bgsave_status:ok",
        "aof_enabled:0",
        "total_connections_received:0",
        "total_commands_processed:0",
        "keyspace_hits:0",
        "expired_keys:0",
        "evicted_keys:0",
        "role:master",
        "connected_slaves:0",
        "used_cpu_user:",
        "cluster_enabled:0",
        "# Modules",
        "longest_turn_us:",
    };
    struct rig *rig = rig_new();
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        cr_assert(rig_shows(rig, "INFO", fields[i]));
    }
    rig_delete(rig);
}
