"""value_scenarios.py: what commands on collections cost, and what large collections weigh.

Each scenario takes the bench (compare.py) and yields tables. A row that a server has no command for
says so, and the others go on.
"""

import os
import random
import time

from generators import (Sample, alternate, find_redis_benchmark, lines_load, median, ratios)
from report import Table, verdict
from servers import encode

CONN_COUNT = 50
PIPELINE = 16
# What redis-benchmark writes where it is not told otherwise.
DATA = "xxx"
RANDOM = "__rand_int__"
RANDOM_RANGE = 100_000
FAMILY_TARGET = 0.6
LARGE_TARGET = 0.5
LARGE_COUNT = 1_000_000
GROUP_BATCH_COUNT = 10_000
LINE_COUNT = 100_000
TURN_TARGET_US = 1000
# Elements in one command while a value is filled.
FILL_BATCH_COUNT = 1000
SEED = 1

# Bytes for each member of one value: (name, target).
MEMBER_TARGETS = {"set": 28, "hash": 40, "zset": 50, "list": 20.5}
SMALL_HASH_TARGET = 175
SMALL_HASH_COUNT = 100_000


# ---- filling ----

def fill(server, command, key, count, element):
    """Elements 0 to count - 1 of one value, many in each command. `element` answers its words."""
    batch = []
    for start in range(0, count, FILL_BATCH_COUNT):
        words = [command, key]
        for i in range(start, min(start + FILL_BATCH_COUNT, count)):
            words += element(i)
        batch.append(encode(*words))
        if len(batch) == 20:
            send_all(server, batch)
            batch = []
    send_all(server, batch)


def send_all(server, batch):
    server.client.socket.sendall(b"".join(batch))
    for _ in batch:
        server.client.reply()


def settle(server):
    """Wait until the server is done with what it does in the background."""
    for _ in range(200):
        before = server.cpu_s()
        time.sleep(0.1)
        if server.cpu_s() - before < 0.002:
            return


def empty(server):
    server.client.command("FLUSHALL")
    settle(server)


def knows(server, name):
    return server.client.command("COMMAND", "INFO", name)[0] is not None


# ---- families ----

def fill_list(server, count):
    fill(server, "RPUSH", "mylist", count, lambda i: (DATA,))


def fill_set(server, count):
    fill(server, "SADD", "myset", count, lambda i: (f"element:{i:012}",))


def fill_zset(server, count):
    fill(server, "ZADD", "myzset", count, lambda i: (i, f"element:{i:012}"))


# (name, words, how the value is filled, whether each request takes an element away).
FAMILY_TESTS = (
    ("lpush", ["LPUSH", "mylist", DATA], None, False),
    ("rpush", ["RPUSH", "mylist", DATA], None, False),
    ("lpop", ["LPOP", "mylist"], fill_list, True),
    ("rpop", ["RPOP", "mylist"], fill_list, True),
    ("sadd", ["SADD", "myset", f"element:{RANDOM}"], None, False),
    ("hset", ["HSET", "myhash", f"element:{RANDOM}", DATA], None, False),
    ("spop", ["SPOP", "myset"], fill_set, True),
    ("zadd", ["ZADD", "myzset", RANDOM, f"element:{RANDOM}"], None, False),
    ("zpopmin", ["ZPOPMIN", "myzset"], fill_zset, True),
    ("lrange_100", ["LRANGE", "mylist", "0", "99"], fill_list, False),
    ("lrange_300", ["LRANGE", "mylist", "0", "299"], fill_list, False),
    ("lrange_500", ["LRANGE", "mylist", "0", "499"], fill_list, False),
    ("lrange_600", ["LRANGE", "mylist", "0", "599"], fill_list, False),
    ("mset", ["MSET", *[word for _ in range(10) for word in (f"key:{RANDOM}", DATA)]], None, False),
    ("xadd", ["XADD", "mystream", "*", "myfield", DATA], None, False),
)


def families(bench):
    """redis-benchmark's tests of collections, pipeline 16."""
    server_cpus, load_cpus = bench.cpus_for(1)
    generator = find_redis_benchmark()
    table = Table(
        "Commands on collections, one core",
        ["test", "redis-server µs/request", "tessera µs/request", "redis-server requests/s",
         "tessera requests/s", "CPU, ratio of medians", "CPU, median of pair ratios (target)"],
        f"redis-benchmark's tests: {CONN_COUNT} connections, pipeline {PIPELINE}, {len(DATA)}-byte "
        f"values, elements at random among {RANDOM_RANGE:,}; the value is made afresh for each run; "
        f"{bench.pair_count} pairs. Server CPU.")
    for test in FAMILY_TESTS:
        with bench.redis(server_cpus) as redis, bench.tessera(server_cpus, 1) as tessera:
            if not knows(tessera, test[1][0]):
                table.add(test[0], None, None, None, None, None, "not there yet")
                continue
            bench.say(f"families: {test[0]}")
            def one(server, test=test):
                return family_run(bench, generator, server, load_cpus, test)
            try:
                samples = alternate({s.name: (lambda s=s: one(s)) for s in (redis, tessera)},
                                    bench.pair_count)
            except (RuntimeError, OSError) as error:
                bench.say(f"families: {test[0]}: {error}")
                table.add(test[0], None, None, None, None, None, "could not be measured")
                continue
            of_medians, of_pairs = ratios(samples, redis.name, tessera.name, "cpu_us")
            table.add(test[0], *pair_cells(samples, redis.name, tessera.name), of_medians,
                      verdict(of_pairs, at_most=FAMILY_TARGET))
    yield table


def family_run(bench, generator, server, load_cpus, test):
    """As many requests as take about the bench's seconds; of what takes elements away, as many as
    there are elements."""
    _, words, fill_value, is_taking = test
    empty(server)
    count = 300_000 * bench.seconds
    if words[0] in ("LRANGE", "MSET"):
        count //= 4
    if fill_value is not None:
        fill_value(server, count if is_taking else 1000)
        settle(server)
    rate, row, cpu_s = generator.once(server, load_cpus, RANDOM_RANGE, count, PIPELINE, CONN_COUNT,
                                      1, words)
    return Sample(count, rate, cpu_s * 1e6 / count, float(row["p50_latency_ms"]),
                  float(row["p99_latency_ms"]))


def pair_cells(samples, base, name):
    return (median(samples[base], "cpu_us"), median(samples[name], "cpu_us"),
            int(median(samples[base], "rate")), int(median(samples[name], "rate")))


# ---- large values ----

def member(i):
    return f"member:{i:010}"


def large_lines(draw):
    """{value: [(what, lines)]}: requests on each large value; `draw(n)` is a number below n."""
    def many(compose):
        return [compose() for _ in range(LINE_COUNT)]

    def some():
        return draw(LARGE_COUNT)

    def window(command, tail=""):
        def compose():
            first = draw(LARGE_COUNT - 10)
            return f"{command} {first} {first + 9}{tail}"
        return many(compose)
    return {
        "sorted set": [
            ("ZADD, another score", many(lambda: f"ZADD zset {some()} {member(some())}")),
            ("ZADD, a new member", many(lambda: f"ZADD zset {some()} n{draw(1 << 40)}")),
            ("ZSCORE", many(lambda: f"ZSCORE zset {member(some())}")),
            ("ZRANK", many(lambda: f"ZRANK zset {member(some())}")),
            ("ZRANGE of 10 by rank", window("ZRANGE zset")),
            ("ZRANGE of 10 by score",
             many(lambda: f"ZRANGE zset {some()} +inf BYSCORE LIMIT 0 10")),
        ],
        "hash": [
            ("HGET", many(lambda: f"HGET hash {member(some())}")),
            ("HSET", many(lambda: f"HSET hash {member(some())} v{draw(1 << 30)}")),
        ],
        "list": [
            ("LPUSH", many(lambda: f"LPUSH list {member(some())}")),
            ("LINDEX", many(lambda: f"LINDEX list {some()}")),
            ("LRANGE of 10", window("LRANGE list")),
            ("LSET", many(lambda: f"LSET list {some()} {member(some())}")),
        ],
        "stream": [
            ("XADD", ["XADD stream * field value"]),
            ("XRANGE of 10",
             many(lambda: f"XRANGE stream {1 + some()}-0 + COUNT 10")),
            ("XREADGROUP of 10", ["XREADGROUP GROUP g c COUNT 10 STREAMS stream >"]),
            ("XACK", many(lambda: f"XACK stream g {1 + some()}-0")),
        ],
    }


def fill_stream(server):
    batch = []
    for i in range(LARGE_COUNT):
        batch.append(encode("XADD", "stream", f"{i + 1}-0", "field", f"value:{i:010}"))
        if len(batch) == FILL_BATCH_COUNT:
            send_all(server, batch)
            batch = []
    send_all(server, batch)


LARGE_FILLS = {
    "sorted set": ("ZADD", lambda s: fill(s, "ZADD", "zset", LARGE_COUNT,
                                          lambda i: ((i * 7919) % LARGE_COUNT, member(i)))),
    "hash": ("HSET", lambda s: fill(s, "HSET", "hash", LARGE_COUNT,
                                    lambda i: (member(i), f"value:{i:06}"))),
    "list": ("RPUSH", lambda s: fill(s, "RPUSH", "list", LARGE_COUNT, lambda i: (member(i),))),
    "stream": ("XADD", fill_stream),
}


def prepare_group(server, what):
    """XREADGROUP finds all entries unread; XACK finds all of them delivered."""
    try:
        server.client.command("XGROUP", "DESTROY", "stream", "g")
    except RuntimeError:
        pass
    server.client.command("XGROUP", "CREATE", "stream", "g", "0")
    while what == "XACK":
        reply = server.client.command("XREADGROUP", "GROUP", "g", "c", "COUNT",
                                      str(GROUP_BATCH_COUNT), "STREAMS", "stream", ">")
        if reply is None:
            break
    settle(server)


def large(bench):
    """Commands on values of a million elements, pipeline 16."""
    server_cpus, load_cpus = bench.cpus_for(1)
    table = Table(
        f"Values of {LARGE_COUNT:,} elements, one core",
        ["value", "request", "redis-server µs/request", "tessera µs/request",
         "redis-server requests/s", "tessera requests/s", "CPU, ratio of medians",
         "CPU, median of pair ratios (target)"],
        f"bench/load, {CONN_COUNT} connections, pipeline {PIPELINE}, elements at random, "
        f"{bench.pair_count} pairs of {bench.seconds} s. Server CPU.")
    tests = large_lines(random.Random(SEED).randrange)
    for value, requests in tests.items():
        with bench.redis(server_cpus) as redis, bench.tessera(server_cpus, 1) as tessera:
            command, fill_value = LARGE_FILLS[value]
            if not knows(tessera, command):
                table.add(value, "", None, None, None, None, None, "not there yet")
                continue
            for server in (redis, tessera):
                bench.say(f"large: filling a {value} of {server.name}")
                fill_value(server)
                settle(server)
            for what, lines in requests:
                bench.say(f"large: {value}, {what}")
                add_large_row(bench, table, (redis, tessera), load_cpus, value, what, lines)
    yield table


def add_large_row(bench, table, servers, load_cpus, value, what, lines):
    path = os.path.join(servers[0].directory, "lines")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines)

    def one(server):
        if what in ("XREADGROUP of 10", "XACK"):
            prepare_group(server, what)
        # The unread entries must last for the run.
        seconds = bench.seconds if what != "XREADGROUP of 10" else 0.15
        return lines_load(bench.load_path, server, load_cpus, path, seconds, PIPELINE, CONN_COUNT)
    samples = alternate({s.name: (lambda s=s: one(s)) for s in servers}, bench.pair_count)
    base, name = servers[0].name, servers[1].name
    of_medians, of_pairs = ratios(samples, base, name, "cpu_us")
    table.add(value, what, *pair_cells(samples, base, name), of_medians,
              verdict(of_pairs, at_most=LARGE_TARGET))


# ---- weight ----

# (name, command, elements' words).
MEMBER_FILLS = (
    ("set", "SADD", "17-byte members", lambda i: (f"member:{i:010}",)),
    ("hash", "HSET", "16-byte fields, 12-byte values",
     lambda i: (f"field:{i:010}", f"value:{i:06}")),
    ("zset", "ZADD", "17-byte members", lambda i: (i * 0.5, f"member:{i:010}")),
    ("list", "RPUSH", "18-byte elements", lambda i: (f"element:{i:010}",)),
)


def members(bench):
    """Bytes for each member of large values, and of a small hash."""
    table = Table(f"Bytes for each member of one value of {LARGE_COUNT:,}",
                  ["value", "members", "server", "used_memory/member (target)", "RSS/member"],
                  "Growth of used_memory and of RSS of a fresh server, divided by the members.")
    cpus, _ = bench.cpus_for(1)
    starts = (bench.redis, lambda cpus: bench.tessera(cpus, 1))
    for name, command, what, element in MEMBER_FILLS:
        for start in starts:
            with start(cpus) as server:
                bench.say(f"members: {name}, {server.name}")
                used, rss = weigh(server, LARGE_COUNT,
                                  lambda s: fill(s, command, "value", LARGE_COUNT, element))
                target = None if server.name == bench.REDIS_NAME else MEMBER_TARGETS[name]
                table.add(name, what, server.name, verdict(used, at_most=target, digits=1),
                          f"{rss:.1f}")
    yield table
    yield small_hashes(bench, cpus, starts)


def weigh(server, count, fill_value):
    used_before, rss_before = int(server.info()["used_memory"]), server.rss_bytes()
    fill_value(server)
    settle(server)
    return ((int(server.info()["used_memory"]) - used_before) / count,
            (server.rss_bytes() - rss_before) / count)


def fill_small_hashes(server):
    batch = []
    for i in range(SMALL_HASH_COUNT):
        words = [word for k in range(10) for word in (f"field{k}", f"value{k}")]
        batch.append(encode("HSET", f"key:{i:012}", *words))
        if len(batch) == FILL_BATCH_COUNT:
            send_all(server, batch)
            batch = []
    send_all(server, batch)


def small_hashes(bench, cpus, starts):
    table = Table("A hash of ten small fields",
                  ["server", "used_memory/hash (target)", "RSS/hash"],
                  f"{SMALL_HASH_COUNT:,} hashes with 16-byte keys, ten fields of 6 bytes with values "
                  "of 6; the key is counted in.")
    for start in starts:
        with start(cpus) as server:
            bench.say(f"members: small hashes, {server.name}")
            used, rss = weigh(server, SMALL_HASH_COUNT, fill_small_hashes)
            target = None if server.name == bench.REDIS_NAME else SMALL_HASH_TARGET
            table.add(server.name, verdict(used, at_most=target, digits=1), f"{rss:.1f}")
    return table


# ---- turns ----

# Elements in one command while turns are measured: a command is one turn's work in any case.
TURN_BATCH_COUNT = 10

TURN_FILLS = (
    ("set", "SADD", lambda i: (f"member:{i:010}",)),
    ("set of integers", "SADD", lambda i: (i,)),
    ("hash", "HSET", lambda i: (f"field:{i:010}", f"value:{i:06}")),
    ("sorted set", "ZADD", lambda i: ((i * 7919) % 10_000_019, f"member:{i:010}")),
    ("list", "RPUSH", lambda i: (f"element:{i:010}",)),
    ("stream", "XADD", None),
)


def turns(bench):
    """The longest turn while one value grows to ten million members and while it is freed."""
    count = 10_000_000 if bench.is_full else 2_000_000
    table = Table(f"Longest turn (thread CPU time), one value of {count:,} members",
                  ["value", "while it grows, µs (target)", "while it is freed by UNLINK, µs (target)",
                   "while it expires, µs (target)"],
                  f"INFO's longest_turn_us, reset before; {TURN_BATCH_COUNT} members in each "
                  "command, 100 commands at a time."
                  + ("" if bench.is_full else " --full: 10,000,000 members."))
    cpus, _ = bench.cpus_for(1)
    for name, command, element in TURN_FILLS:
        with bench.tessera(cpus, 1) as server:
            if not knows(server, command):
                table.add(name, "not there yet", None, None)
                continue
            bench.say(f"turns: {name} of {count:,}")
            grows = turn_of(server, lambda: grow(server, command, element, count))
            freed = turn_of(server, lambda: free(server, ("UNLINK", "value")))
            grow(server, command, element, count)
            expired = turn_of(server, lambda: free(server, ("PEXPIRE", "value", "1")))
            table.add(name, *(verdict(us, at_most=TURN_TARGET_US, digits=0)
                              for us in (grows, freed, expired)))
    yield table


def turn_of(server, work):
    """Microseconds of the longest turn while `work` went on."""
    settle(server)
    server.reset_statistics()
    work()
    settle(server)
    return server.longest_turn_us()


def free(server, words):
    server.client.command(*words)
    time.sleep(0.1)
    settle(server)
    if server.client.command("EXISTS", "value") != 0:
        raise RuntimeError("the value is still there")


def grow(server, command, element, count):
    batch = []
    for start in range(0, count, TURN_BATCH_COUNT):
        if element is None:
            batch += [encode(command, "value", "*", "field", "value:%010d" % i)
                      for i in range(start, start + TURN_BATCH_COUNT)]
        else:
            words = [word for i in range(start, start + TURN_BATCH_COUNT) for word in element(i)]
            batch.append(encode(command, "value", *words))
        if len(batch) >= 100:
            send_all(server, batch)
            batch = []
    send_all(server, batch)
