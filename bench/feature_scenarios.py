"""feature_scenarios.py: what a client holds over several commands: transactions, blocked pops.

Each scenario takes the bench (compare.py) and yields tables.
"""

import os
import random
import socket
import statistics
import time
from dataclasses import dataclass

from generators import alternate, lines_load, median, ratios
from report import Table, verdict
from servers import encode

CONN_COUNT = 50
SET_COUNT = 10
LINE_COUNT = 20_000
VALUE = "v" * 64
PIPELINES = (1, 16)
SAME_CORE_TARGET = 0.6
TWO_CORES_TARGET = 1.2
PING_PONG_TARGETS = {1: 1.1, 2: 1.5}
PING_PONG_COUNT = 2_000
SEED = 1


# ---- MULTI/EXEC ----

def transaction_lines(path, tag_of):
    """Lines of MULTI, ten SETs, EXEC; `tag_of(transaction, place)` is the hash tag of a key."""
    draw = random.Random(SEED)
    with open(path, "w", encoding="utf-8") as file:
        for i in range(LINE_COUNT):
            sets = (f"SET key:{{{tag_of(i, k)}}}:{draw.randrange(1_000_000):06} {VALUE}"
                    for k in range(SET_COUNT))
            file.write("\t".join(("MULTI", *sets, "EXEC")) + "\n")


def transactions(bench):
    """MULTI/EXEC of ten SETs, keys of one core and of two."""
    cases = (("keys of one core, 1 shard", 1, lambda i, k: i, SAME_CORE_TARGET),
             ("keys of two cores, 2 shards", 2, lambda i, k: i * SET_COUNT + k, TWO_CORES_TARGET))
    table = Table("MULTI, ten SETs, EXEC: server CPU",
                  ["transactions", "pipeline", "redis-server, µs", "tessera, µs",
                   "ratio of medians (target)", "median of pairs"],
                  f"{CONN_COUNT} connections; CPU for each of the twelve replies.")
    for name, shard_count, tag_of, target in cases:
        cpus, load_cpus = bench.cpus_for(shard_count)
        for pipeline in PIPELINES:
            bench.say(f"transactions: {name}, pipeline {pipeline}")
            with bench.redis(cpus[:1]) as redis, bench.tessera(cpus, shard_count) as tessera:
                lines = os.path.join(redis.directory, "transactions")
                transaction_lines(lines, tag_of)
                samples = alternate({
                    "redis": lambda: lines_load(bench.load_path, redis, load_cpus, lines,
                                                bench.seconds, pipeline, CONN_COUNT),
                    "tessera": lambda: lines_load(bench.load_path, tessera, load_cpus, lines,
                                                  bench.seconds, pipeline, CONN_COUNT),
                }, bench.pair_count)
            ratio, pairs = ratios(samples, "redis", "tessera", "cpu_us")
            table.add(name, pipeline, f"{median(samples['redis'], 'cpu_us'):.3f}",
                      f"{median(samples['tessera'], 'cpu_us'):.3f}",
                      verdict(ratio, at_most=target), f"{pairs:.2f}")
    yield table


# ---- BLPOP ----

@dataclass
class PingPong:
    p50_us: float


class Line:
    """A connection that reads whole replies of a known size."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, *words):
        self.socket.sendall(encode(*words))

    def read(self, size):
        while size > 0:
            size -= len(self.socket.recv(size))


def ping_pong(server, ping, pong):
    """Each of two clients pushes what the other waits for, then waits itself."""
    first, second = Line(server.port), Line(server.port)
    times = []
    pushed = len(b":1\r\n")
    got_ping = len(encode(ping, "x"))
    got_pong = len(encode(pong, "x"))
    second.send("BLPOP", ping, "0")
    for _ in range(PING_PONG_COUNT):
        start = time.perf_counter()
        first.send("LPUSH", ping, "x")
        first.read(pushed)
        first.send("BLPOP", pong, "0")
        second.read(got_ping)
        second.send("LPUSH", pong, "x")
        second.read(pushed)
        second.send("BLPOP", ping, "0")
        first.read(got_pong)
        times.append((time.perf_counter() - start) * 1e6)
    first.socket.close()
    second.socket.close()
    return PingPong(statistics.median(times))


def blocking(bench):
    """Two clients that play ping-pong over BLPOP and LPUSH."""
    table = Table("Ping-pong over BLPOP and LPUSH: p50 of a round",
                  ["shards", "redis-server, µs", "tessera, µs", "ratio of medians (target)",
                   "median of pairs"],
                  f"{PING_PONG_COUNT:,} rounds: a push that wakes one client, whose push wakes the "
                  "other.")
    for shard_count, target in PING_PONG_TARGETS.items():
        cpus, _ = bench.cpus_for(shard_count)
        bench.say(f"blocking: {shard_count} shards")
        with bench.redis(cpus[:1]) as redis, bench.tessera(cpus, shard_count) as tessera:
            samples = alternate({"redis": lambda: ping_pong(redis, "ping:{a}", "pong:{b}"),
                                 "tessera": lambda: ping_pong(tessera, "ping:{a}", "pong:{b}")},
                                bench.pair_count)
        ratio, pairs = ratios(samples, "redis", "tessera", "p50_us")
        table.add(shard_count, f"{median(samples['redis'], 'p50_us'):.0f}",
                  f"{median(samples['tessera'], 'p50_us'):.0f}", verdict(ratio, at_most=target),
                  f"{pairs:.2f}")
    yield table
