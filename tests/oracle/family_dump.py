"""family_dump.py: values change servers: what one DUMPs the other RESTOREs, and both have the same.

Random values of every type, with sizes around every threshold, are made on both servers. Each
server's payload is restored by each, the results are compared by DEBUG DIGEST-VALUE and encoding.
Strings, lists, sets of integers, and what is one listpack are the same bytes; sets and hashes with
a table have an order of their own. Wrong arguments, and payloads that somebody has changed, get the
same errors; with a checksum that fits they go to Tessera alone, for redis-server believes them: it
has to refuse them or to have a value that it can DUMP.
"""

import itertools
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from resp import Client, Error  # noqa: E402

SIZES = (1, 2, 3, 24, 25, 63, 64, 127, 128, 129, 130, 511, 512, 513, 600)
LIMITS = ((b"hash-max-listpack-entries", (b"512", b"8")), (b"hash-max-listpack-value", (b"64", b"8")),
          (b"zset-max-listpack-entries", (b"128", b"8")), (b"zset-max-listpack-value", (b"64", b"8")),
          (b"set-max-intset-entries", (b"512", b"8")), (b"list-max-listpack-size", (b"-2", b"-1", b"5")),
          (b"list-compress-depth", (b"0", b"1")), (b"rdbcompression", (b"yes", b"no")))
POLYNOMIAL = 0x95AC9329AC4BC9B5
FOOTER_SIZE = 10
VALUES_SHARE = 60  # a value takes as long as so many commands
KEY = b"{d}value"
COPY = b"{d}copy"
# What commands on values do with a key whose payload was bad somewhere.
TOUCHES = ((b"RPUSH", COPY, b"x"), (b"SADD", COPY, b"x"), (b"HSET", COPY, b"f", b"x"),
           (b"ZADD", COPY, b"1.5", b"x"), (b"XADD", COPY, b"*", b"f", b"x"), (b"APPEND", COPY, b"x"))


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc64(data):
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc


def sealed(data):
    """The payload with the checksum that its bytes have."""
    return data[:-8] + struct.pack("<Q", crc64(data[:-8]))


def text(rng):
    draw = rng.random()
    if draw < 0.3:
        return b"%d" % rng.choice((rng.randint(-200, 200), rng.randint(-70000, 70000),
                                   rng.randint(-2**33, 2**33), rng.randint(-2**63, 2**63 - 1)))
    if draw < 0.7:
        return b"element-%d" % rng.randint(0, 10**6)
    if draw < 0.75:
        return rng.choice((b"", b"-0", b"01", b"1.5", b" 1", b"9223372036854775808"))
    if draw < 0.97:
        return rng.randbytes(rng.choice((1, 11, 12, 20, 21, 63, 64, 65, 66)))
    return bytes(rng.choices(b"ab", k=rng.choice((246, 253, 254, 300, 4095, 4096, 9000))))


def score(rng):
    return rng.choice((b"%d" % rng.randint(-1000, 1000), b"%.17g" % rng.uniform(-10, 10), b"inf",
                       b"-inf", b"1e300", b"5e-324", b"4611686018427387904", b"9223372036854775807",
                       b"0.1", b"3.0000000000000004"))


def make_string(rng, _):
    value = rng.choice((text(rng), text(rng), rng.randbytes(rng.choice((1000, 1024, 1025, 20000))),
                        b"x" * rng.choice((44, 45, 100, 20000, 200000))))
    return [[b"SET", KEY, value]]


def make_list(rng, count):
    return [[b"RPUSH", KEY] + [text(rng) for _ in range(count)]]


def make_intset(rng, count):
    width = rng.choice((10**4, 10**9, 2**62))
    return [[b"SADD", KEY] + [b"%d" % rng.randint(-width, width) for _ in range(count)]]


def make_set(rng, count):
    return [[b"SADD", KEY] + [text(rng) for _ in range(count)]]


def make_hash(rng, count):
    if rng.random() < 0.5:
        return [[b"HSET", KEY] + [word for i in range(count) for word in (b"f%d" % i, b"%d" % i)]]
    return [[b"HSET", KEY] + [text(rng) for _ in range(2 * count)]]


def make_zset(rng, count):
    if rng.random() < 0.5:
        return [[b"ZADD", KEY] + [word for i in range(count) for word in (score(rng), b"m%d" % i)]]
    return [[b"ZADD", KEY] + [word for _ in range(count) for word in (score(rng), text(rng))]]


def make_stream(rng, count):
    commands = []
    for i in range(1, count + 1):
        fields = [b"a", text(rng)] if rng.random() < 0.8 else [text(rng) for _ in range(4)]
        commands.append([b"XADD", KEY, b"%d-%d" % (i * 10, rng.choice((0, 1, 2**40)))] + fields)
    for _ in range(rng.randint(0, 3)):
        commands.append([b"XTRIM", KEY, b"MAXLEN", b"%d" % rng.randint(0, count)])
    for name in (b"g", b"h", b"group-with-a-longer-name")[:rng.randint(0, 3)]:
        commands.append([b"XGROUP", b"CREATE", KEY, name, rng.choice((b"0", b"$", b"50"))])
        for consumer in (b"alice", b"bob", b"7")[:rng.randint(0, 3)]:
            commands.append([b"XREADGROUP", b"GROUP", name, consumer, b"COUNT",
                             b"%d" % rng.randint(1, 20), b"STREAMS", KEY, b">"])
        commands.append([b"XACK", KEY, name, b"10-0", b"20-1"])
    return commands


MAKERS = (make_string, make_list, make_intset, make_set, make_hash, make_zset, make_stream)
# Whose bytes have no order of their own, with the encodings of which that is true.
UNORDERED = {b"set": (b"hashtable", b"listpack"), b"hash": (b"hashtable",)}


class Exchange:
    """A connection to each server: ours first, then redis-server's."""

    def __init__(self, run, tessera, redis, seed):
        self.run = run
        self.rng = random.Random(f"dump {seed}")
        self.ours, self.theirs = self.clients = [Client(tessera.port), Client(redis.port)]
        self.numbers = itertools.count(1)
        self.name = ""

    def close(self):
        for client in self.clients:
            client.close()

    def ask(self, *words):
        return [client.ask(*words) for client in self.clients]

    def same(self, what, ours, theirs):
        self.run.check(f"{self.name} {what}", ours == theirs,
                       f"\n  redis-server: {theirs!r:.400}\n  tessera:      {ours!r:.400}")

    def equal(self, what, value, expected):
        self.run.check(f"{self.name} {what}", value == expected,
                       f"\n  expected: {expected!r:.400}\n  got:      {value!r:.400}")

    def encodings_agree(self, kind, ours, theirs):
        if kind == b"list" or (kind == b"set" and ours == b"listpack"):
            return theirs in (b"quicklist", b"hashtable")
        return ours == theirs

    def configure(self):
        for name, values in LIMITS:
            value = values[0] if self.rng.random() < 0.8 else self.rng.choice(values)
            self.ask(b"CONFIG", b"SET", name, value)

    def exchange(self):
        """One value, on both servers, from both servers."""
        maker = self.rng.choice(MAKERS)
        count = self.rng.choice(SIZES)
        if maker is make_stream:
            count = min(count, 300)
        self.name = f"{maker.__name__[5:]} {next(self.numbers)} of {count}:"
        self.ask(b"DEL", KEY, COPY)
        for command in maker(self.rng, count):
            self.ask(*command)
        kind = self.theirs.ask(b"TYPE", KEY)
        if kind == b"none":
            return
        if self.rng.random() < 0.3:
            self.configure()
        ttl = self.rng.choice((b"0", b"0", b"100000000"))
        digests = self.ask(b"DEBUG", b"DIGEST-VALUE", KEY)
        self.same("digest", *digests)
        payloads = self.ask(b"DUMP", KEY)
        self.payloads_agree(kind, payloads)
        for giver, payload in zip(("tessera", "redis-server"), payloads):
            for taker, client in zip(("tessera", "redis-server"), self.clients):
                reply = client.ask(b"RESTORE", COPY, ttl, payload, b"REPLACE")
                self.equal(f"{giver} to {taker}", reply, b"OK")
            ours, theirs = self.ask(b"PTTL", COPY)
            self.run.check(f"{self.name} deadline", abs(ours - theirs) < 5000,
                           f"{ours} and {theirs}")
            # A digest tells whether there is a deadline.
            self.ask(b"PERSIST", COPY)
            for taker, digest in zip(("tessera", "redis-server"),
                                     self.ask(b"DEBUG", b"DIGEST-VALUE", COPY)):
                self.equal(f"digest from {giver} on {taker}", digest, digests[0])
            ours, theirs = self.ask(b"OBJECT", b"ENCODING", COPY)
            self.run.check(f"{self.name} encoding", self.encodings_agree(kind, ours, theirs),
                           f"from {giver}: {ours} and {theirs}")
            if kind == b"stream":
                for words in ((b"XINFO", b"STREAM", COPY), (b"XINFO", b"GROUPS", COPY)):
                    ours, theirs = self.ask(*words)
                    self.same(words[1].decode(), without_radix(ours), without_radix(theirs))
        self.damage(payloads[0])

    def payloads_agree(self, kind, payloads):
        """Of what has an order and no times of its own, the bytes are the same."""
        encoding = self.ours.ask(b"OBJECT", b"ENCODING", KEY)
        if encoding in UNORDERED.get(kind, ()):
            self.same("size of the payload", *map(len, payloads))
        elif kind not in (b"stream", b"list"):
            self.same("payload", *payloads)

    def damage(self, payload):
        place = self.rng.randrange(len(payload))
        bad = bytearray(payload)
        bad[place] ^= 1 << self.rng.randrange(8)
        self.same("damaged", *self.ask(b"RESTORE", COPY, b"0", bytes(bad), b"REPLACE"))
        cut = payload[:self.rng.randrange(len(payload))]
        self.same("cut", *self.ask(b"RESTORE", COPY, b"0", cut, b"REPLACE"))
        if len(payload) > 5000:
            return
        for _ in range(4):
            bad = bytearray(payload)
            for _ in range(self.rng.randint(1, 3)):
                bad[self.rng.randrange(len(payload) - FOOTER_SIZE)] = self.rng.randrange(256)
            reply = self.ours.ask(b"RESTORE", COPY, b"0", sealed(bytes(bad)), b"REPLACE")
            if isinstance(reply, Error):
                self.equal("damaged, sealed", str(reply), "ERR Bad data format")
                continue
            again = self.ours.ask(b"DUMP", COPY)
            for words in TOUCHES:
                self.ours.ask(*words)
            self.equal("its DUMP", self.ours.ask(b"RESTORE", COPY, b"0", again, b"REPLACE"), b"OK")

    def arguments(self):
        """RESTORE with words of all kinds, right and wrong."""
        self.name = f"RESTORE {next(self.numbers)}:"
        payload = self.theirs.ask(b"DUMP", KEY) if self.rng.random() < 0.9 else b"bad"
        if payload is None:
            self.ask(b"SET", KEY, b"v")
            payload = self.theirs.ask(b"DUMP", KEY)
        numbers = (b"0", b"1", b"-1", b"255", b"256", b"100000000", b"3000000000000", b"x", b"",
                   b"9223372036854775807", b"9223372036854775808", b"1.5")
        # A relative deadline is far ahead, or both would not see the key's end alike.
        ttl = self.rng.choice(numbers[2:3] + numbers[5:] + (b"0", b"0"))
        words = [b"RESTORE", COPY, ttl, payload]
        for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
            words += self.rng.choice(([b"REPLACE"], [b"replace"], [b"ABSTTL"], [b"AbsTtl"],
                                      [b"IDLETIME", self.rng.choice(numbers)],
                                      [b"FREQ", self.rng.choice(numbers)], [b"IDLETIME"], [b"x"]))
        self.name += f" {words[2]} {words[4:]}"
        self.same("reply", *self.ask(*words))
        self.same("exists", *self.ask(b"EXISTS", COPY))
        # The access clock has 24 bits of seconds: what is longer wraps, elsewhere at another place.
        is_whole = not {b"9223372036854775807", b"3000000000000"} & set(words)
        if b"IDLETIME" in words and is_whole:
            ours, theirs = self.ask(b"OBJECT", b"IDLETIME", COPY)
            is_near = ours == theirs or (isinstance(ours, int) and isinstance(theirs, int) and
                                         abs(ours - theirs) % 0xFFFFFF < 10)
            self.run.check(f"{self.name} idle time", is_near, f"{ours} and {theirs}")
        if self.rng.random() < 0.5:
            self.ask(b"DEL", COPY)


def without_radix(value):
    """XINFO's answer without the nodes of a tree that everybody builds in his own way."""
    if not isinstance(value, list):
        return value
    kept, skip = [], False
    for item in value:
        if not skip and item not in (b"radix-tree-keys", b"radix-tree-nodes"):
            kept.append(item)
            continue
        skip = not skip
    return kept


def play(run, tessera, redis, seed, count):
    exchange = Exchange(run, tessera, redis, seed)
    limits = [(name, values[0]) for name, values in LIMITS]
    exchange.ask(b"FLUSHALL")
    try:
        for number in range(max(count // VALUES_SHARE, 20)):
            exchange.exchange()
            if number % 3 == 0:
                exchange.arguments()
            if run.enough:
                break
    finally:
        for name, value in limits:
            exchange.ask(b"CONFIG", b"SET", name, value)
        exchange.close()
