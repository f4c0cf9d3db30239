"""scenarios.py: what is compared step by step rather than at random: deadlines that pass, whole
SCAN iterations, wrong arity of everything, HELP and unknown subcommands of every container, CONFIG
GET *, DEBUG and scripts (family_debug.py), fields of INFO, and the fixed replies of commands newer
than the oracle.
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
import family_debug  # noqa: E402
import family_hashes  # noqa: E402
import family_slowlog  # noqa: E402
import family_strings  # noqa: E402
import family_zsets  # noqa: E402
from compare import (client_line_fields, hello_fields, help_shape, same_kind,  # noqa: E402
                     same_shape)
from resp import Client, parse  # noqa: E402
from vocabulary import PATTERNS  # noqa: E402

# Commands that end, block or change the connection or the server even if their arity is wrong for
# what we want to see, or that only redis-server has by our own decision.
ARITY_LEFT_OUT = {b"shutdown", b"quit", b"monitor", b"sync", b"psync", b"subscribe", b"failover"}
SCAN_KEYS = 1200
SCAN_MAX_CALLS = 20000

INFO_SECTIONS = (b"server", b"clients", b"memory", b"stats", b"cpu", b"keyspace", b"cluster",
                 b"commandstats", b"errorstats", b"persistence")


class Both:
    """A connection to each server, for calls one by one."""

    def __init__(self, tessera, redis):
        self.servers = (tessera, redis)
        self.clients = [Client(tessera.port), Client(redis.port)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()

    def raw(self, *words):
        """Both replies as bytes."""
        for client in self.clients:
            client.send(*words)
        return tuple(client.reply_raw() for client in self.clients)

    def values(self, *words):
        return tuple(map(parse, self.raw(*words)))

    def same(self, run, *words, check=None):
        ours, theirs = self.raw(*words)
        problem = None
        if ours != theirs:
            problem = check(ours, theirs) if check else "other bytes"
        name = " ".join(w.decode("latin-1") if isinstance(w, bytes) else str(w) for w in words)
        run.check(name[:200], problem is None,
                  f"{problem}\n  redis-server: {theirs[:400]!r}\n  tessera:      {ours[:400]!r}")


def newer_commands(run, both):
    """SET IFEQ, DELIFEQ, MSETEX: fixed replies, in both protocols."""
    client = both.clients[0]
    for protocol in (2, 3):
        client.ask("HELLO", protocol)
        for words, expected, *resp3 in (family_strings.FIXED + family_hashes.FIXED +
                                        family_zsets.FIXED + family_slowlog.FIXED):
            client.send(*words)
            reply = client.reply_raw()
            if protocol == 3 and (resp3 or expected == b"$-1\r\n"):
                expected = resp3[0] if resp3 else b"_\r\n"
            run.check(f"RESP{protocol} {b' '.join(words).decode()}",
                      expected is None or reply == expected,
                      f"expected {expected!r}, got {reply!r}")
    client.ask("HELLO", 2)


def deadlines(run, both):
    """Keys with short deadlines are gone afterwards, everywhere, for every way to set one."""
    both.raw("FLUSHALL")
    now_ms = int(time.time() * 1000)
    soon_ms = now_ms + 900
    soon_s = soon_ms // 1000 + 1
    setters = [("SET", "{0}", "v", "PX", 700), ("SET", "{0}", "v", "EX", 1),
               ("SET", "{0}", "v", "PXAT", soon_ms), ("SET", "{0}", "v", "EXAT", soon_s),
               ("PSETEX", "{0}", 700, "v"), ("SETEX", "{0}", 1, "v")]
    later = [("PEXPIRE", "{0}", 700), ("EXPIRE", "{0}", 1), ("PEXPIREAT", "{0}", soon_ms),
             ("EXPIREAT", "{0}", soon_s), ("GETEX", "{0}", "PX", 700), ("GETEX", "{0}", "EX", 1),
             ("PEXPIRE", "{0}", 700, "NX"), ("EXPIRE", "{0}", 100, "GT"),
             ("PEXPIRE", "{0}", 700, "LT")]
    for number, words in enumerate(setters):
        both.same(run, *(str(word).format(f"s{number}") for word in words))
    for number, words in enumerate(later):
        both.same(run, "SET", f"l{number}", "v")
        both.same(run, *(str(word).format(f"l{number}") for word in words))
    # The deadline goes along, stays, or goes away: directly behind it was set, so that no pause of
    # this program comes near it.
    for words in (("RENAME", "m0", "n0"), ("COPY", "m1", "n1"), ("MOVE", "m2", "3"), ("INCR", "m3"),
                  ("SET", "m4", "w", "KEEPTTL"), ("SET", "m5", "w")):
        both.same(run, "SET", words[1], "5", "PX", 900)
        both.same(run, *words)
    names = [f"{a}{n}" for a, c in (("s", 6), ("l", 9), ("m", 6), ("n", 2)) for n in range(c)]
    deadline = max(soon_s, time.time() + 1.1)
    while time.time() < deadline + 0.05:
        time.sleep(0.02)
    for name in names:
        both.same(run, "GET", name)
        both.same(run, "TTL", name)
        both.same(run, "EXISTS", name)
    both.same(run, "SELECT", "3")
    both.same(run, "EXISTS", "m2")
    both.same(run, "DBSIZE")
    both.same(run, "SELECT", "0")
    both.same(run, "KEYS", "*", check=lambda a, b: None if sorted(parse(a)) == sorted(parse(b))
              else "other keys")


def scan_all(client, *options):
    """All keys that one iteration yields, None when it does not end."""
    cursor, found = b"0", []
    for _ in range(SCAN_MAX_CALLS):
        cursor, keys = client.call("SCAN", cursor, *options)
        found += keys
        if cursor == b"0":
            return found
    return None


def scans(run, both):
    """Whole iterations and KEYS over a thousand keys on all shards."""
    rng = random.Random(7)
    both.raw("FLUSHALL")
    for number in range(SCAN_KEYS):
        key = rng.choice((f"key:{number}", f"{{tag}}{number}", f"{number}", f"k[{number}]\\*"))
        for client in both.clients:
            client.send("SET", key, number)
        for client in both.clients:
            client.reply()
    options = [(), ("COUNT", 1), ("COUNT", 7), ("COUNT", 100000), ("MATCH", "key:1*"),
               ("MATCH", "{tag}*", "COUNT", 50), ("TYPE", "string"), ("TYPE", "list"),
               ("MATCH", "nope"), ("count", 30, "match", "*1", "type", "STRING"),
               ("MATCH", "k\\[*"), ("MATCH", "{tag}7")]
    for words in options:
        ours, theirs = (scan_all(client, *words) for client in both.clients)
        run.check(f"SCAN 0 {words}", ours is not None and set(ours) == set(theirs),
                  f"{len(set(ours or []) - set(theirs))} too many, "
                  f"{len(set(theirs) - set(ours or []))} missing of {len(set(theirs))}")
    patterns = PATTERNS + [b"key:?", b"key:[0-9]", b"{tag}*", b"k\\[*\\]*", b"*[5-9]", b"[^k]*"]
    for pattern in patterns:
        ours, theirs = both.values("KEYS", pattern)
        run.check(f"KEYS {pattern!r}", sorted(ours) == sorted(theirs),
                  f"{len(ours)} keys, not {len(theirs)}")
    both.same(run, "DBSIZE")
    both.same(run, "SWAPDB", "0", "9")
    both.same(run, "DBSIZE")
    both.same(run, "SELECT", "9")
    both.same(run, "DBSIZE")
    for client in both.clients:
        keys = set(client.call("KEYS", "*"))
        run.check("RANDOMKEY is a key", all(client.call("RANDOMKEY") in keys for _ in range(50)))
    both.same(run, "FLUSHALL")
    both.same(run, "RANDOMKEY")
    both.same(run, "SELECT", "0")


def command_rows(client):
    """{name: arity} of every command and subcommand that the server has."""
    rows = {}

    def add(row):
        rows[bytes(row[0])] = row[1]
        for subcommand in row[9]:
            add(subcommand)
    for row in client.call("COMMAND"):
        add(row)
    return rows


def arities(run, both):
    """Too few and too many arguments of every command that both have."""
    ours, theirs = map(command_rows, both.clients)
    for name in sorted(set(ours) & set(theirs)):
        if name in ARITY_LEFT_OUT:
            continue
        words = name.split(b"|")
        arity = theirs[name]
        counts = {abs(arity) - 1} if arity < 0 else {arity - 1, arity + 1, arity + 5}
        if ours[name] < 0 < arity:
            counts = {arity - 1}  # takes more here, and answers that with another error
        for count in counts:
            if count >= len(words):
                both.same(run, *words, *[b"x"] * (count - len(words)))
                both.same(run, *[word.upper() for word in words], *[b""] * (count - len(words)))


def containers(run, both):
    """HELP, unknown subcommands and none, of every command that has subcommands on both sides."""
    ours, theirs = map(command_rows, both.clients)
    names = {name.split(b"|")[0] for name in set(ours) & set(theirs) if b"|" in name}
    for name in sorted(names | {b"debug"}):
        if name + b"|help" in ours or name == b"debug":
            both.same(run, name, "HELP", check=help_shape)
            both.same(run, name, "help", "x")
        if name != b"command":
            both.same(run, name)
        for word in (b"nope", b"", b"NOPE", b"x\r\ny", b"h", b"n" * 200):
            both.same(run, name, word)
            both.same(run, name, word, "a", "b")


# Directives whose value is each server's own business, with the reason.
CONFIG_OWN = {
    b"dir": "own folder", b"port": "own port", b"pidfile": "own process", b"logfile": "own log",
    b"bind": "as started", b"save": "the oracle runs with --save ''",
    b"io-threads": "cores do their own input and output",
    b"syslog-ident": "own name", b"maxclients": "follows the limit of open files",
    b"oom-score-adj-values": "own defaults", b"proc-title-template": "own title",
    b"slaveof": "as started", b"replicaof": "as started",
}


def configuration(run, both):
    """CONFIG GET *: every directive of redis-server, with its value."""
    ours, theirs = both.values("CONFIG", "GET", "*")
    ours = dict(zip(ours[::2], ours[1::2]))
    theirs = dict(zip(theirs[::2], theirs[1::2]))
    missing = sorted(name.decode() for name in set(theirs) - set(ours))
    run.check("CONFIG GET * has every directive", not missing, f"missing: {' '.join(missing)}")
    for name in sorted(set(ours) & set(theirs) - set(CONFIG_OWN)):
        run.check(f"CONFIG GET {name.decode()}", ours[name] == theirs[name],
                  f"{ours[name]!r} is not {theirs[name]!r}")


def info_fields(text):
    rows, section = {}, b""
    for line in bytes(text).split(b"\r\n"):
        if line.startswith(b"# "):
            section = line[2:].lower()
            rows[section] = []
        elif b":" in line:
            rows.setdefault(section, []).append(line.split(b":", 1)[0])
    return rows


# INFO fields of redis-server whose subject does not exist here.
INFO_OWN = {
    b"server": {b"redis_git_sha1", b"redis_git_dirty", b"redis_build_id", b"multiplexing_api",
                b"atomicvar_api", b"gcc_version", b"io_threads_active", b"monotonic_clock",
                b"process_supervised", b"hz", b"configured_hz", b"lru_clock", b"executable"},
    b"clients": set(),
    # What jemalloc tells of itself.
    b"memory": {b"allocator_allocated", b"allocator_active", b"allocator_resident",
                b"allocator_frag_ratio", b"allocator_frag_bytes", b"allocator_rss_ratio",
                b"allocator_rss_bytes", b"rss_overhead_ratio", b"rss_overhead_bytes"},
    # There is no cycle that samples keys, and no reply buffer of a client that grows and shrinks.
    b"stats": {b"expire_cycle_cpu_milliseconds", b"reply_buffer_shrinks", b"reply_buffer_expands"},
    # No thread is the main one.
    b"cpu": {b"used_cpu_sys_main_thread", b"used_cpu_user_main_thread"},
    b"keyspace": set(), b"cluster": set(), b"persistence": set(),
}


def info(run, both):
    """INFO: the same sections in the same order, and no field missing whose subject exists."""
    for client in both.clients:
        client.ask("SET", "a", "1")
        client.ask("NOPE")
    for section in INFO_SECTIONS:
        ours, theirs = (info_fields(value) for value in both.values("INFO", section))
        run.check(f"INFO {section.decode()} has its headline", list(ours) == list(theirs),
                  f"{list(ours)} is not {list(theirs)}")
        if section in INFO_OWN:
            for name in theirs:
                missing = [field.decode() for field in theirs[name]
                           if field not in ours.get(name, []) and field not in INFO_OWN[section]]
                run.check(f"INFO {section.decode()} has the fields", not missing,
                          f"missing: {' '.join(missing)}")
    both.raw("FLUSHALL")


def connections(run, both):
    """HELLO, CLIENT INFO and LIST in both protocols, RESET."""
    for protocol in (3, 2):
        both.same(run, "HELLO", protocol, check=hello_fields)
        both.same(run, "CLIENT", "INFO", check=client_line_fields)
        both.same(run, "CLIENT", "LIST", check=client_line_fields)
        both.same(run, "GET", "no-such-key")
        both.same(run, "MGET", "no-such-key", "no-such-key")
        both.same(run, "SET", "no-such-key", "v", "XX")
        both.same(run, "RANDOMKEY")
        both.same(run, "LCS", "no-such-key", "no-such-key", "IDX")
        both.same(run, "CONFIG", "GET", "maxmemory")
        both.same(run, "COMMAND", "DOCS", "no-such-command")
        both.same(run, "INCRBYFLOAT", "f", "1.5")
        both.same(run, "MEMORY", "STATS", check=same_shape)
        both.same(run, "MEMORY", "DOCTOR", check=same_kind)
        both.same(run, "MEMORY", "MALLOC-STATS", check=same_kind)
        both.same(run, "MEMORY", "PURGE")
        both.same(run, "DEL", "f")
    both.same(run, "MODULE", "LIST")
    for words in (("LOAD", "/no/such.so"), ("LOADEX", "x", "CONFIG", "a", "b"), ("UNLOAD", "x")):
        both.same(run, "MODULE", *words)
    both.same(run, "ROLE")
    for word in ("READONLY", "READWRITE", "ASKING"):
        both.same(run, word)
    both.same(run, "MULTI")
    both.same(run, "MONITOR")
    both.same(run, "ROLE")
    both.same(run, "EXEC")
    both.same(run, "CLIENT", "SETNAME", "me")
    both.same(run, "SELECT", "5")
    both.same(run, "SET", "in5", "v")
    both.same(run, "RESET")
    both.same(run, "CLIENT", "GETNAME")
    both.same(run, "GET", "in5")
    both.same(run, "FLUSHALL")
    if both.servers[0].is_redis:
        return
    for slot_key in ("a", "{t}x", "foo{}", "", "{a}{b}", "x{y}z", "\x00"):
        value = both.clients[0].ask("CLUSTER", "KEYSLOT", slot_key)
        run.check(f"CLUSTER KEYSLOT {slot_key!r}", value == slot(slot_key.encode("latin-1")),
                  f"{value!r}")


def slot(key):
    """The slot of a key, as the cluster specification has it."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1:end]
    crc = 0
    for byte in key:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc & 16383


def play(run, tessera, redis):
    with Both(tessera, redis) as both:
        both.raw("FLUSHALL")
        connections(run, both)
        if not tessera.is_redis:
            newer_commands(run, both)
        deadlines(run, both)
        scans(run, both)
        arities(run, both)
        containers(run, both)
        family_debug.play(run, both)
        configuration(run, both)
        info(run, both)
        both.raw("FLUSHALL")
