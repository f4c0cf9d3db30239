"""load_scenarios.py: throughput, latency and CPU under load.

Each scenario takes the bench (compare.py) and yields tables.
"""

import os
import statistics

from generators import (VALUE, alternate, core_aware_load, find_redis_benchmark, median, ratios)
from report import Table, verdict
from servers import encode

LOAD_COLUMNS = ["pipeline", "server", "requests/s", "p50 ms", "p99 ms", "p99.9 ms",
                "CPU µs/request"]
RATIO_COLUMNS = ["CPU, ratio of medians", "CPU, median of pair ratios (target)"]

# CPU for each request over redis-server's, by pipeline.
CPU_RATIO_TARGETS = {1: 0.92, 30: 0.45, 100: 0.35}
MULTI_RATIO_TARGET = 1.0
FORWARD_TARGET_US = 0.25
CONN_COUNT = 50
MULTI_KEY_COUNT = 10
MULTI_PIPELINE = 16
# Hash tags that are asked for their owner, and the keys under each: some megabytes of entries, so
# that neither side lives in the processor's first-level caches alone.
FORWARD_TAG_COUNT = 64
FORWARD_KEYS_PER_TAG = 500


def load_keys(bench, server, key):
    bench.say(f"loading {bench.key_count:,} keys into {server.name}")
    server.client.pipe(encode("SET", key(i), VALUE) for i in range(bench.key_count))


def add_load_row(table, label, name, samples, *more):
    table.add(label, name, int(median(samples, "rate")), median(samples, "p50_ms"),
              median(samples, "p99_ms"), median(samples, "p999_ms"), median(samples, "cpu_us"),
              *more)


def ratio_cells(samples, base, name, target=None):
    of_medians, of_pairs = ratios(samples, base, name, "cpu_us")
    return of_medians, verdict(of_pairs, at_most=target)


def pipelines(bench):
    """One core against redis-server, pipelines 1, 30 and 100, 1:10 SET:GET."""
    server_cpus, load_cpus = bench.cpus_for(1)
    table = Table(
        "One core: server on one CPU, load on another", LOAD_COLUMNS + RATIO_COLUMNS,
        f"{bench.generator.name}, {CONN_COUNT} connections, {len(VALUE)}-byte values, 1:10 SET:GET "
        f"over {bench.key_count:,} keys, {bench.pair_count} pairs of {bench.seconds} s, medians.")
    with bench.redis(server_cpus) as redis, bench.tessera(server_cpus, 1) as tessera:
        servers = (redis, tessera)
        for server in servers:
            load_keys(bench, server, bench.generator.key)
        for pipeline in CPU_RATIO_TARGETS:
            bench.say(f"pipeline {pipeline}")
            def one(server, seconds=bench.seconds, pipeline=pipeline):
                return bench.generator.mix(server, load_cpus, bench.key_count, seconds, pipeline,
                                           CONN_COUNT)
            for server in servers:
                one(server, 1)
            samples = alternate({s.name: (lambda s=s: one(s)) for s in servers}, bench.pair_count)
            add_load_row(table, pipeline, redis.name, samples[redis.name], 1.0, "")
            add_load_row(table, pipeline, tessera.name, samples[tessera.name],
                         *ratio_cells(samples, redis.name, tessera.name,
                                      CPU_RATIO_TARGETS[pipeline]))
    yield table


def shards2(bench):
    """Two shards against one and against redis-server; one connection alone against two shards."""
    server_cpus, load_cpus = bench.cpus_for(2)
    place = f"server on CPUs {server_cpus}, load on CPUs {load_cpus}"
    with (bench.redis(server_cpus) as redis,
          bench.tessera(server_cpus, 1) as single,
          bench.tessera(server_cpus, 2) as double):
        servers = (redis, single, double)
        for server in servers:
            load_keys(bench, server, bench.generator.key)
        yield two_against_one(bench, servers, load_cpus, place)
        yield one_connection(bench, (redis, double), load_cpus, place)


def two_against_one(bench, servers, load_cpus, place):
    table = Table(f"Two shards against one: {place}",
                  LOAD_COLUMNS + ["requests/s over redis-server's"],
                  f"{bench.generator.name}, 2 threads, {CONN_COUNT} connections, medians of "
                  f"{bench.pair_count} runs in turn.")
    for pipeline in (1, 30, 100):
        bench.say(f"two shards, pipeline {pipeline}")
        samples = alternate(
            {s.name: (lambda s=s: bench.generator.mix(
                s, load_cpus, bench.key_count, bench.seconds, pipeline, CONN_COUNT, 2))
             for s in servers}, bench.pair_count)
        for server in servers:
            add_load_row(table, pipeline, server.name, samples[server.name],
                         ratios(samples, servers[0].name, server.name, "rate")[1])
    return table


def one_connection(bench, servers, load_cpus, place):
    base, double = servers
    table = Table(f"One connection, two shards: {place}",
                  LOAD_COLUMNS + ["requests/s over redis-server's (target)"],
                  f"{bench.generator.name}, 1 thread, 1 connection, {bench.pair_count} pairs, "
                  "median of pair ratios.")
    for pipeline in (1, 10, 30, 100):
        bench.say(f"one connection, pipeline {pipeline}")
        samples = alternate(
            {s.name: (lambda s=s: bench.generator.mix(
                s, load_cpus, bench.key_count, bench.seconds, pipeline, 1))
             for s in servers}, bench.pair_count)
        add_load_row(table, pipeline, base.name, samples[base.name], "")
        add_load_row(table, pipeline, double.name, samples[double.name],
                     verdict(ratios(samples, base.name, double.name, "rate")[1], at_least=1.0))
    return table


def write_owned_keys(server, path):
    """Keys under many hash tags, each with the core that owns it, as the server's INFO tells."""
    before = server.core_keys()
    if not before:
        raise RuntimeError("the server's INFO has no section Cores with keys for each core")
    with open(path, "w", encoding="ascii") as file:
        for tag in range(FORWARD_TAG_COUNT):
            keys = [f"{{tag{tag}}}:{i}" for i in range(FORWARD_KEYS_PER_TAG)]
            server.client.pipe(encode("SET", key, VALUE) for key in keys)
            after = server.core_keys()
            owner = max(after, key=lambda core: after[core] - before.get(core, 0))
            before = after
            file.writelines(f"{owner} {key}\n" for key in keys)


def forward(bench):
    """What a request costs more when another core owns its key."""
    server_cpus, load_cpus = bench.cpus_for(2)
    table = Table("A forwarded request over a local one, 2 shards",
                  ["pipeline", "connections", "local µs", "forwarded µs", "difference µs (target)",
                   "local requests/s", "forwarded requests/s"],
                  f"CPU of both cores, GET of {len(VALUE)}-byte values, {bench.pair_count} pairs of "
                  f"{bench.seconds} s; difference: median of the pairs'.")
    with bench.tessera(server_cpus, 2) as server:
        path = os.path.join(server.directory, "keys")
        write_owned_keys(server, path)
        for pipeline, conn_count in ((30, 8), (100, 8), (30, CONN_COUNT)):
            bench.say(f"forwarding, pipeline {pipeline}, {conn_count} connections")
            samples = alternate(
                {mode: (lambda mode=mode: core_aware_load(
                    bench.load_path, server, load_cpus, path, mode, bench.seconds, pipeline,
                    conn_count)) for mode in ("local", "remote")}, bench.pair_count)
            differences = [remote.cpu_us - local.cpu_us
                           for local, remote in zip(samples["local"], samples["remote"])]
            table.add(pipeline, conn_count, median(samples["local"], "cpu_us"),
                      median(samples["remote"], "cpu_us"),
                      verdict(statistics.median(differences), at_most=FORWARD_TARGET_US, digits=3),
                      int(median(samples["local"], "rate")), int(median(samples["remote"], "rate")))
    yield table


def multi(bench):
    """MGET and MSET of ten keys over two shards."""
    server_cpus, load_cpus = bench.cpus_for(2)
    generator = find_redis_benchmark()
    key = "key:__rand_int__"
    commands = {
        "MGET": ["MGET", *[key] * MULTI_KEY_COUNT],
        "MSET": ["MSET", *[word for _ in range(MULTI_KEY_COUNT) for word in (key, VALUE.decode())]],
    }
    table = Table(f"{MULTI_KEY_COUNT} keys in one command, 2 shards",
                  ["command", *LOAD_COLUMNS[1:], *RATIO_COLUMNS],
                  f"{generator.name}, {CONN_COUNT} connections, pipeline {MULTI_PIPELINE}, keys at "
                  f"random among {bench.key_count:,}, {bench.pair_count} pairs.")
    with bench.redis(server_cpus) as redis, bench.tessera(server_cpus, 2) as tessera:
        servers = (redis, tessera)
        for server in servers:
            load_keys(bench, server, generator.key)
        for name, words in commands.items():
            bench.say(f"{name} of {MULTI_KEY_COUNT} keys")
            samples = alternate(
                {s.name: (lambda s=s: generator.command(
                    s, load_cpus, bench.key_count, bench.seconds, MULTI_PIPELINE, CONN_COUNT,
                    words)) for s in servers}, bench.pair_count)
            add_load_row(table, name, redis.name, samples[redis.name], 1.0, "")
            add_load_row(table, name, tessera.name, samples[tessera.name],
                         *ratio_cells(samples, redis.name, tessera.name, MULTI_RATIO_TARGET))
    yield table
