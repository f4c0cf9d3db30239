"""weight_scenarios.py: what the servers weigh, at rest and with keys, and how keys die.

Each scenario takes the bench (compare.py) and yields tables.
"""

import bisect
import random
import resource
import socket
import time

from report import Table, verdict
from servers import encode

KIB, MIB = 1024, 1024 * 1024
# Bytes for each key, by (size of the value, has a deadline).
MEMORY_TARGETS = {(32, False): 76, (32, True): 104}
RSS_AGREES_WITHIN = 0.10
IDLE_CONN_COUNT = 10_000
IDLE_CONN_TARGET_BYTES = 1024
IDLE_CPU_TARGET_PERCENT = 0.5
TURN_TARGET_US = 1000
EXPIRY_SPREAD_S = 10
EXPIRY_GRACE_S = 0.1
EXPIRY_KEY_COUNT = 1_000_000
FAR_DEADLINE_S = 86_400
SEED = 1


def memory(bench):
    """Bytes for each key: 16-byte key; 8-, 32- and 200-byte value; with and without deadline."""
    table = Table("Bytes for each key, 16-byte key",
                  ["value", "deadline", "server", "used_memory/key (target)", "RSS/key",
                   "RSS over used_memory"],
                  f"{bench.key_count:,} keys into a fresh server; growth of used_memory and of RSS "
                  f"divided by the keys. The two should agree within {RSS_AGREES_WITHIN:.0%}.")
    cpus, _ = bench.cpus_for(1)
    for value_size in (8, 32, 200):
        for has_deadline in (False, True):
            for start in (bench.redis, lambda cpus: bench.tessera(cpus, 1)):
                with start(cpus) as server:
                    bench.say(f"memory: value {value_size}, deadline {has_deadline}, {server.name}")
                    used, rss = weigh_keys(bench, server, value_size, has_deadline)
                    target = None
                    if server.name != bench.REDIS_NAME:
                        target = MEMORY_TARGETS.get((value_size, has_deadline))
                    table.add(value_size, "yes" if has_deadline else "no", server.name,
                              verdict(used, at_most=target, digits=1), f"{rss:.1f}", rss / used)
    yield table


def weigh_keys(bench, server, value_size, has_deadline):
    used_before, rss_before = int(server.info()["used_memory"]), server.rss_bytes()
    value = b"v" * value_size
    choose = random.Random(SEED)
    def requests():
        for i in range(bench.key_count):
            if has_deadline:
                seconds = FAR_DEADLINE_S + choose.randrange(FAR_DEADLINE_S)
                yield encode("SET", b"key:%012d" % i, value, "EX", seconds)
            else:
                yield encode("SET", b"key:%012d" % i, value)
    server.client.pipe(requests())
    time.sleep(0.3)  # what was freed while tables grew goes back in the background
    count = server.client.command("DBSIZE")
    if count != bench.key_count:
        raise RuntimeError(f"{server.name} holds {count} keys of {bench.key_count}")
    return ((int(server.info()["used_memory"]) - used_before) / count,
            (server.rss_bytes() - rss_before) / count)


def raise_descriptor_limit(wanted):
    """How many descriptors this process and its children may have: `wanted` where permitted."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((wanted, max(hard, wanted)), (min(wanted, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            return limit[0]
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections(bench):
    """RSS for each of 10,000 idle connections."""
    spare = 200
    count = min(IDLE_CONN_COUNT, raise_descriptor_limit(IDLE_CONN_COUNT + spare) - spare)
    table = Table(f"{count:,} idle connections",
                  ["server", "RSS bytes/connection (target)", "with all connections, MiB",
                   "idle CPU %"],
                  "Each has sent one PING and read its answer."
                  + ("" if count == IDLE_CONN_COUNT else
                     f" Fewer than {IDLE_CONN_COUNT:,}: the limit of descriptors forbids more."))
    cpus, _ = bench.cpus_for(1)
    extra = ("--maxclients", str(count + 100))
    for start in (lambda: bench.redis(cpus, extra), lambda: bench.tessera(cpus, 1, extra)):
        with start() as server:
            bench.say(f"{count:,} connections to {server.name}")
            before = server.rss_bytes()
            sockets = []
            for _ in range(count):
                conn = socket.create_connection(("127.0.0.1", server.port))
                conn.sendall(b"PING\r\n")
                if conn.recv(64) != b"+PONG\r\n":
                    raise RuntimeError(f"{server.name} refused connection {len(sockets) + 1}")
                sockets.append(conn)
            time.sleep(0.5)
            rss = server.rss_bytes()
            target = None if server.name == bench.REDIS_NAME else IDLE_CONN_TARGET_BYTES
            table.add(server.name, verdict((rss - before) / count, at_most=target, digits=0),
                      rss / MIB, idle_cpu_percent(server, 3))
            for conn in sockets:
                conn.close()
    yield table


def idle_cpu_percent(server, seconds):
    before, start = server.cpu_s(), time.monotonic()
    time.sleep(seconds)
    return (server.cpu_s() - before) / (time.monotonic() - start) * 100


def idle(bench):
    """CPU and RSS of an empty server that nobody talks to."""
    table = Table("An empty, idle server",
                  ["server", "RSS MiB (target)", "CPU % of one core (target)"],
                  "Targets: 12 MiB and 2 MiB for each core; under 0.5 % of a core.")
    for shard_count in (0, 1, 2):
        cpus, _ = bench.cpus_for(max(1, shard_count))
        start = bench.tessera(cpus, shard_count) if shard_count else bench.redis(cpus)
        with start as server:
            bench.say(f"idle: {server.name}")
            rss = server.rss_bytes() / MIB
            time.sleep(1)
            is_peer = shard_count == 0
            table.add(server.name,
                      verdict(rss, at_most=None if is_peer else 12 + 2 * shard_count, digits=1),
                      verdict(idle_cpu_percent(server, 5),
                              at_most=None if is_peer else IDLE_CPU_TARGET_PERCENT))
    yield table


def expiry(bench):
    """How late keys go, and the longest turn while many go at once or one slot grows."""
    yield late_keys(bench)
    yield longest_turns(bench)


def late_keys(bench):
    table = Table("Keys that outlive their deadline",
                  ["server", "dead keys in memory 100 ms after their deadline, at most (target)",
                   "CPU s while they went"],
                  f"{EXPIRY_KEY_COUNT:,} keys, deadlines spread over {EXPIRY_SPREAD_S} s, no reads;"
                  " DBSIZE every 50 ms against the deadlines that were given.")
    cpus, _ = bench.cpus_for(1)
    for start in (lambda: bench.redis(cpus), lambda: bench.tessera(cpus, 1)):
        with start() as server:
            bench.say(f"expiry of {EXPIRY_KEY_COUNT:,} keys, {server.name}")
            late, cpu_s = watch_expiry(server)
            target = None if server.name == bench.REDIS_NAME else 0
            table.add(server.name, verdict(late, at_most=target), cpu_s)
    return table


def load_with_deadlines(server, count, spread_s, lead_s):
    """Load keys that die within `spread_s`, first `lead_s` from now; their deadlines in order."""
    first_ms = int((time.time() + lead_s) * 1000)
    choose = random.Random(SEED)
    deadlines = [first_ms + choose.randrange(int(spread_s * 1000)) for _ in range(count)]
    server.client.pipe(encode("SET", b"key:%012d" % i, b"v" * 32, "PXAT", deadline)
                       for i, deadline in enumerate(deadlines))
    if time.time() * 1000 > first_ms:
        raise RuntimeError("loading took longer than the first deadline's lead: raise it")
    deadlines.sort()
    return deadlines


def watch_expiry(server):
    deadlines = load_with_deadlines(server, EXPIRY_KEY_COUNT, EXPIRY_SPREAD_S, lead_s=20)
    time.sleep(max(0, deadlines[0] / 1000 - time.time() - 0.1))
    before, late_max = server.cpu_s(), 0
    while time.time() < deadlines[-1] / 1000 + 1:
        due_ms = (time.time() - EXPIRY_GRACE_S) * 1000
        alive = len(deadlines) - bisect.bisect_left(deadlines, due_ms)
        late_max = max(late_max, server.client.command("DBSIZE") - alive)
        time.sleep(0.05)
    return late_max, server.cpu_s() - before


def longest_turns(bench):
    growth_count = 10_000_000 if bench.is_full else 2_000_000
    table = Table("Longest turn (thread CPU time)", ["while", "server", "µs (target)", "keys left"],
                  "From INFO's longest_turn_us, reset before; loading in batches of 2,000."
                  + ("" if bench.is_full else " --full grows the slot to 10,000,000 keys."))
    cpus, _ = bench.cpus_for(1)
    with bench.tessera(cpus, 1) as server:
        bench.say(f"one slot grows to {growth_count:,} keys")
        server.reset_statistics()
        server.client.pipe(encode("SET", b"{slot}:%d" % i, b"v") for i in range(growth_count))
        table.add(f"one slot grows to {growth_count:,} keys", server.name,
                  verdict(server.longest_turn_us(), at_most=TURN_TARGET_US, digits=0),
                  server.client.command("DBSIZE"))
    with bench.tessera(cpus, 1) as server:
        bench.say(f"{EXPIRY_KEY_COUNT:,} keys expire within a second")
        deadlines = load_with_deadlines(server, EXPIRY_KEY_COUNT, 1, lead_s=20)
        server.reset_statistics()
        time.sleep(max(0, deadlines[-1] / 1000 + 2 - time.time()))
        left = server.client.command("DBSIZE")
        table.add(f"{EXPIRY_KEY_COUNT:,} keys expire within a second", server.name,
                  verdict(server.longest_turn_us(), at_most=TURN_TARGET_US, digits=0), left)
    return table
