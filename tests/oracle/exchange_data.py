"""exchange_data.py: data that travels between servers, and how all of it is looked at.

Three sources. `corners()` is fixed: every type and encoding with sizes around each threshold, texts
that are empty, binary, huge, compressible and not, numbers of all widths, streams with everything
that a stream can have. `values()` are random ones, with deadlines and in several databases.
`mutations()` are random commands of the oracle's families, so that whatever one server can do to
its data is in its log; among them transactions over several keys, and what empties and swaps databases.

`picture()` is all that a client can see of the data: for each key its type, the digest of its
value, its encoding and its deadline, for a stream also its groups and what they wait for. DEBUG DIGEST
comes last, when the looking has made redis-server forget the keys whose time is over. What a digest
leaves out is therefore compared too.
"""

import itertools
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
import family_bits  # noqa: E402
import family_dump  # noqa: E402
import family_geo  # noqa: E402
import family_hashes  # noqa: E402
import family_keys  # noqa: E402
import family_lists  # noqa: E402
import family_sets  # noqa: E402
import family_stream_type  # noqa: E402
import family_strings  # noqa: E402
import family_zsets  # noqa: E402
from compare import Command  # noqa: E402
from vocabulary import Vocabulary, mutate  # noqa: E402

DATABASES = (0, 0, 0, 1, 9, 15)
EMPTIED = (1, 9, 9, 9)  # not too often what the others fill
DATABASE_COUNT = 16
BATCH = 500
EXPIRY_PATIENCE_S = 5
PAST = b"over:"  # keys of that name die before the next server starts
NEAR = b"soon:"  # a deadline that the run does not reach, but an hour off would
MUTATION_CHANCE = 0.03
LEFT_OUT = (b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"CONFIG", b"DEBUG", b"BLPOP", b"BRPOP",
            b"BLMOVE",
            b"BRPOPLPUSH", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP")
NEVER_MUTATED = (b"CONFIG", b"DEBUG", b"SORT", b"SELECT")
KINDS = tuple(row for family in (family_strings, family_bits, family_lists, family_sets,
                                 family_hashes, family_zsets, family_stream_type, family_geo,
                                 family_keys)
              for row in family.FAMILY
              if row[1].__name__ not in ("do_config", "do_flush", "do_swapdb", "do_bulk_limit"))


# ---- fixed data ----

def numbered(word, *counts):
    return [(count, [b"%b%d" % (word, i) for i in range(count)]) for count in counts]


def pairs(names, values):
    return [word for pair in zip(names, values) for word in pair]


def corner_strings():
    rng = random.Random(3)
    values = [b"", b"\x00", b"0", b"-1", b"127", b"128", b"-128", b"-129", b"32767", b"32768",
              b"-32769", b"2147483647", b"2147483648", b"-2147483649", b"9223372036854775807",
              b"-9223372036854775808", b"9223372036854775808", b"00", b"-0", b"+1", b" 1", b"1.0",
              b"*3\r\n$3\r\nSET\r\n", b"#TS:1\r\n", b"\r\n", bytes(range(256))]
    values += [b"x" * size for size in (19, 20, 21, 43, 44, 45, 63, 64, 16383, 16384, 65536,
                                        300000)]
    values += [rng.randbytes(size) for size in (20, 21, 44, 45, 4096, 70000, 600000)]
    values += [b"ab" * 1500000, rng.randbytes(2500000)]
    yield from ([b"SET", b"string:%d" % i, value] for i, value in enumerate(values))
    yield [b"SET", b"", b"the empty key"]
    yield [b"SET", b"\x00\xff\r\n$-1\r\n*0", b"a binary key"]
    yield [b"SET", b"k" * 70000, b"a long key"]
    yield [b"SET", b"123", b"a key like a number"]
    yield [b"SETBIT", b"string:bits", b"70001", b"1"]
    yield [b"PFADD", b"string:sketch"] + [b"%d" % i for i in range(3000)]
    yield [b"PFADD", b"string:sparse", b"a", b"b"]


def corner_lists():
    yield [b"RPUSH", b"list:empty", b""]
    yield [b"RPUSH", b"list:numbers", b"0", b"12", b"13", b"-1", b"127", b"128", b"4095", b"4096",
           b"-4097",
           b"65536", b"8388608", b"2147483648", b"-9223372036854775808", b"1.5", b"007"]
    for count, items in numbered(b"item:", 1, 127, 128, 129, 1000):
        yield [b"RPUSH", b"list:%d" % count] + items
    for size in (63, 64, 4095, 4096, 8100, 8192, 8193, 20000):
        yield [b"RPUSH", b"list:of %d" % size, b"a", b"y" * size, b"b", b"z" * size]
    yield [b"RPUSH", b"list:huge"] + [b"%d:" % i + b"h" * 200 for i in range(4000)]


def corner_sets():
    yield [b"SADD", b"set:empty", b""]
    for count, _ in numbered(b"", 1, 127, 128, 129, 511, 512, 513):
        yield [b"SADD", b"set:int %d" % count] + [b"%d" % i for i in range(count)]
    for width in (2**15, 2**31, 2**63):
        yield [b"SADD", b"set:wide %d" % width, b"1", b"%d" % (width - 1), b"%d" % -width, b"-1"]
    for count, items in numbered(b"member:", 1, 127, 128, 129, 513, 20000):
        yield [b"SADD", b"set:%d" % count] + items
    for size in (63, 64, 65, 5000):
        yield [b"SADD", b"set:of %d" % size, b"m" * size, b"1", b"2"]
    yield [b"SADD", b"set:mixed"] + [b"%d" % i for i in range(20)] + [b"x"]


def corner_hashes():
    yield [b"HSET", b"hash:empty", b"", b""]
    for count, names in numbered(b"field:", 1, 127, 128, 129, 511, 512, 513, 20000):
        yield [b"HSET", b"hash:%d" % count] + pairs(names, (b"%d" % i for i in range(count)))
    for size in (63, 64, 65, 5000):
        yield [b"HSET", b"hash:of %d" % size, b"f", b"v" * size]
        yield [b"HSET", b"hash:named %d" % size, b"n" * size, b"1"]


def corner_zsets():
    yield [b"ZADD", b"zset:empty", b"0", b""]
    scores = (b"0", b"-0", b"1", b"-1", b"0.1", b"1e300", b"-1e300", b"5e-324", b"inf", b"-inf",
              b"9007199254740993", b"9223372036854775807", b"3.0000000000000004", b"4095", b"1e15",
              b"1e17")
    names = [b"m%d" % i for i in range(len(scores))]
    yield [b"ZADD", b"zset:scores"] + pairs(scores, names)
    yield [b"ZADD", b"zset:scores of a tree"] + pairs(scores, [name.ljust(65) for name in names])
    for count, names in numbered(b"member:", 1, 127, 128, 129, 20000):
        scores = (b"%.17g" % (i / 3) for i in range(count))
        yield [b"ZADD", b"zset:%d" % count] + pairs(scores, names)
    for size in (63, 64, 65, 5000):
        yield [b"ZADD", b"zset:of %d" % size, b"1", b"m" * size, b"1", b"n"]
    yield [b"GEOADD", b"zset:geo", b"13.361389", b"38.115556", b"Palermo", b"15.087269",
           b"37.502669",
           b"Catania"]


def corner_streams():
    def fill(key, count, size=5):
        for i in range(1, count + 1):
            names = (b"a", b"b") if i % 7 else (b"c%d" % (i % 3), b"d", b"e")
            yield [b"XADD", key, b"%d-%d" % (i * 10, i % 3)] + pairs(names,
                                                                     (b"%d" % i, b"v" * size, b""))

    for count in (1, 99, 100, 101, 250):
        yield from fill(b"stream:%d" % count, count)
    yield from fill(b"stream:large", 3000, 200)
    yield from fill(b"stream:emptied", 3)
    yield [b"XTRIM", b"stream:emptied", b"MAXLEN", b"0"]
    yield [b"XGROUP", b"CREATE", b"stream:made", b"g", b"$", b"MKSTREAM"]
    yield [b"XADD", b"stream:ids", b"18446744073709551614-18446744073709551615", b"", b""]
    yield [b"XADD", b"stream:ids", b"18446744073709551615-18446744073709551615", b"f", b"v"]
    yield [b"XADD", b"stream:set", b"5-5", b"f", b"v"]
    yield [b"XSETID", b"stream:set", b"100-1", b"ENTRIESADDED", b"77", b"MAXDELETEDID", b"99-9"]
    key = b"stream:groups"
    yield from fill(key, 120)
    for name, start, read in ((b"g", b"0", b"0"), (b"late", b"$", b"120"), (b"", b"500-0", b"-1"),
                              (b"lost", b"7-7", None)):
        yield [b"XGROUP", b"CREATE", key, name, start] + ([b"ENTRIESREAD", read] if read else [])
    for consumer, count in ((b"alice", b"10"), (b"bob", b"60"), (b"", b"5")):
        yield [b"XREADGROUP", b"GROUP", b"g", consumer, b"COUNT", count, b"STREAMS", key, b">"]
    yield [b"XGROUP", b"CREATECONSUMER", key, b"g", b"idle"]
    yield [b"XREADGROUP", b"GROUP", b"lost", b"noack", b"COUNT", b"3", b"NOACK", b"STREAMS", key,
           b">"]
    yield [b"XACK", key, b"g", b"10-1", b"30-0", b"200-2"]
    yield [b"XDEL", key, b"20-2", b"40-1", b"300-0", b"1200-0"]  # two of them wait for an answer
    yield [b"XCLAIM", key, b"g", b"carol", b"0", b"50-2", b"60-0", b"TIME", b"1700000000123",
           b"RETRYCOUNT", b"7"]


def corner_deadlines(now_ms):
    for number, deadline in enumerate((now_ms + 3600 * 1000, now_ms + 10**8, now_ms + 10**11,
                                       2**40, 2**42 - 1, 2**42, 2**45, 9 * 10**15)):
        name = NEAR + b"%d" % number
        if deadline > now_ms:
            yield [b"SET", name, b"v", b"PXAT", b"%d" % deadline]
            yield [b"RPUSH", name + b"l", b"v"]
            yield [b"PEXPIREAT", name + b"l", b"%d" % deadline]
    for number in range(5):
        yield [b"SET", PAST + b"%d" % number, b"v", b"PX", b"%d" % (1 + 60 * number)]
        yield [b"HSET", PAST + b"h%d" % number, b"f", b"v"]
        yield [b"PEXPIRE", PAST + b"h%d" % number, b"%d" % (1 + 60 * number)]


def corners(now_ms):
    """All fixed data as commands, in databases 0, 3 and 15."""
    yield [b"SELECT", b"0"]
    yield from corner_strings()
    yield from corner_lists()
    yield [b"SELECT", b"15"]
    yield from corner_sets()
    yield from corner_hashes()
    yield [b"SELECT", b"3"]
    yield from corner_zsets()
    yield from corner_streams()
    yield from corner_deadlines(now_ms)


# ---- random data ----

def values(rng, count, now_ms):
    """Random values of every type under names of their own, some with a deadline."""
    for number in range(count):
        maker = rng.choice(family_dump.MAKERS)
        size = rng.choice(family_dump.SIZES)
        if maker is family_dump.make_stream:
            size = min(size, 130)
        key = rng.choice((b"k%d", b"{t}%d", b"\xff\x00\r\n%d", b"%d")) % number
        if rng.random() < 0.1:
            key += rng.randbytes(rng.choice((50, 70, 300, 20000)))
        yield [b"SELECT", b"%d" % rng.choice(DATABASES)]
        for words in maker(rng, size):
            yield [key if word is family_dump.KEY else word for word in words]
        draw = rng.random()
        if draw < 0.2:
            yield [b"PEXPIREAT", key, b"%d" % (now_ms + rng.randint(10**7, 10**12))]
        elif draw < 0.25:
            name = PAST + key
            yield [b"RENAMENX", key, name]
            yield [b"PEXPIREAT", name, b"%d" % (now_ms + rng.randint(1, 300))]


def block(rng, vocabulary, newer):
    """A transaction, or what concerns all keys of a database."""
    draw = rng.random()
    if draw < 0.6:
        inside = [draw_command(rng, vocabulary, newer) for _ in range(rng.randint(1, 5))]
        return [[b"MULTI"]] + inside + [[b"EXEC" if rng.random() < 0.9 else b"DISCARD"]]
    if draw < 0.75:
        return [[b"SWAPDB", b"%d" % rng.choice(DATABASES), b"%d" % rng.choice(DATABASES)]]
    if draw < 0.85:
        return [[b"SELECT", b"%d" % rng.choice(EMPTIED)], [b"FLUSHDB"]]
    if draw < 0.855:
        return [[b"FLUSHALL"]]
    if draw < 0.94:
        return [[b"MULTI"], [b"SELECT", b"9"], [b"SET", b"before", b"1"], [b"FLUSHDB"],
                [b"SET", b"behind", b"2"],
                [b"SELECT", b"1"], [b"SET", b"elsewhere", b"3"], [b"EXEC"]]
    return [[b"MULTI"], [b"MSET", b"a", b"1", b"b", b"2", b"c", b"3"], [b"SWAPDB", b"0", b"1"],
            [b"DEL", b"a"], [b"EXEC"]]


def is_left_out(words):
    """What would wait, or is about the connection or the server."""
    name = bytes(words[0]).upper()
    return name in LEFT_OUT or any(bytes(word).upper() == b"BLOCK" for word in words)


def draw_command(rng, vocabulary, newer):
    """One random command that changes something, more often than not."""
    weights = CUMULATIVE
    while True:
        function = rng.choices(FUNCTIONS, cum_weights=weights)[0]
        if not newer and function in family_strings.NEWER:
            continue
        drawn = function(vocabulary)
        if not isinstance(drawn, list) or not isinstance(drawn[0], bytes):
            several = drawn if isinstance(drawn, list) else [drawn]
            drawn = rng.choice(several)
        if isinstance(drawn, Command):
            drawn = drawn.args
        if drawn[0].upper() not in NEVER_MUTATED and rng.random() < MUTATION_CHANCE:
            drawn = mutate(vocabulary, drawn)
        if not is_left_out(drawn):
            return drawn


FUNCTIONS = [function for _, function in KINDS]
CUMULATIVE = list(itertools.accumulate(weight for weight, _ in KINDS))


def mutations(rng, seed, count, newer):
    """About `count` random commands; `newer`: also those that only Tessera knows."""
    vocabulary = Vocabulary(f"exchange {seed}")
    made = 0
    while made < count:
        commands = (block(rng, vocabulary, newer) if rng.random() < 0.03
                    else [draw_command(rng, vocabulary, newer)])
        made += len(commands)
        yield from commands


# ---- to a server, and what it then has ----

def send(client, commands):
    """All commands in pipelines; what they answer does not matter, only that they do."""
    commands = iter(commands)
    while True:
        batch = list(itertools.islice(commands, BATCH))
        if not batch:
            return
        client.pipeline(batch)


def ask_all(client, commands):
    replies = []
    for start in range(0, len(commands), BATCH):
        replies += client.pipeline(commands[start:start + BATCH])
    return replies


# What XINFO tells of the server's own tree, and of the moments at which consumers were seen.
TREE = (b"radix-tree-keys", b"radix-tree-nodes")


def stream_shape(value, left_out):
    """XINFO STREAM FULL without the pairs of these names, at any depth."""
    if not isinstance(value, list):
        return value
    shape, skip = [], False
    for item in value:
        if skip:
            skip = False
        elif isinstance(item, bytes) and item in left_out:
            skip = True
        else:
            shape.append(stream_shape(item, left_out))
    return shape


def picture(client, *, has_access=None, has_seen=True):
    """{(database, key): (type, digest, encoding, deadline, access, stream)} and DEBUG DIGEST.
    `has_access`: FREQ or IDLETIME; `has_seen`: whether consumers' last moments are looked at."""
    found = {}
    left_out = TREE if has_seen else (*TREE, b"seen-time")
    for database in range(DATABASE_COUNT):
        client.call("SELECT", database)
        keys = sorted(client.call("KEYS", "*"))
        if not keys:
            continue
        access = ask_all(client,
                         [(b"OBJECT", has_access,
                           key) for key in keys]) if has_access else [None] * len(keys)
        rows = [ask_all(client, [(*words, key) for key in keys])
                for words in ((b"TYPE",), (b"DEBUG", b"DIGEST-VALUE"), (b"OBJECT", b"ENCODING"),
                              (b"PEXPIRETIME",))]
        for key, kind, digest, encoding, deadline, one in zip(keys, *rows, access):
            stream = None
            if kind == b"stream" and not has_access:  # it would count as a use
                stream = stream_shape(client.call("XINFO", "STREAM", key, "FULL", "COUNT", "0"),
                                      left_out)
            if isinstance(digest, list):
                digest = bytes(digest[0])
            used = (has_access, one) if has_access else None
            found[database, bytes(key)] = (bytes(kind), digest, encoding, deadline, used, stream)
    client.call("SELECT", 0)
    # A digest counts keys whose time is over until they are gone.
    client.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    deadline = time.monotonic() + EXPIRY_PATIENCE_S
    while key_count(client) > len(found) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found, bytes(client.call("DEBUG", "DIGEST"))


def key_count(client):
    """Keys of all databases, also those that are over but not gone."""
    text = bytes(client.call("INFO", "keyspace")).decode()
    return sum(int(count) for count in re.findall(r"keys=(\d+)", text))


NAMES = ("type", "digest", "encoding", "deadline", "access", "stream")
# Small lists and sets are listpacks here, as since redis-server 7.2.
SAME_ENCODINGS = ({b"listpack", b"quicklist"}, {b"listpack", b"hashtable"},
                  {b"intset", b"hashtable"}, {b"intset", b"listpack"})
# A string's form follows how it came to be.
STRING_ENCODINGS = {b"raw", b"embstr", b"int"}
ACCESS_TOLERANCE = {"IDLETIME": 60, "FREQ": 0}


def same_encoding(kind, ours, theirs, is_strict):
    if ours == theirs:
        return True
    if kind == b"string":
        return {ours, theirs} <= STRING_ENCODINGS
    if kind in (b"list", b"set"):
        return {ours, theirs} in SAME_ENCODINGS
    return not is_strict


def row_difference(ours, theirs, is_strict):
    """The name of the first difference between two keys' rows, None: none."""
    kind = ours[0]
    for name, a, b in zip(NAMES, ours, theirs):
        if name == "encoding":
            same = same_encoding(kind, a, b, is_strict)
        elif name == "access" and a and b:
            same = a[0] == b[0] and abs(a[1] - b[1]) <= ACCESS_TOLERANCE[a[0]]
        else:
            same = a == b
        if not same:
            return name
    return None


def innermost(wanted, got, where=""):
    """Where two replies begin to differ, and the items there."""
    if not isinstance(wanted, list) or not isinstance(got, list):
        return where, wanted, got
    for index, (a, b) in enumerate(zip(wanted, got)):
        if a != b:
            name = wanted[index - 1] if index % 2 and isinstance(wanted[index - 1],
                                                                 bytes) else b"%d" % index
            return innermost(a, b, f"{where} {name.decode('latin-1'):.20}")
    longer = max(wanted, got, key=len)
    first = longer[min(len(wanted), len(got)):][:1]
    return where, f"{len(wanted)} items", f"{len(got)} items: {first!r:.100}"


def difference(wanted, got, *, is_strict=True):
    """What is not the same in two pictures, as a text; None: nothing. `wanted` is from before and
    may have keys whose deadline has passed; digests are compared where it has none."""
    lost = [key for key in wanted[0] if key not in got[0] and not key[1].startswith(PAST)]
    extra = [key for key in got[0] if key not in wanted[0]]
    over = [key for key in got[0] if key[1].startswith(PAST)]
    found = []
    for what, keys in (("missing", lost), ("too many", extra), ("their time is over", over)):
        if keys:
            found.append(f"{len(keys)} keys {what}, such as {keys[:3]!r:.300}")
    for key, row in got[0].items():
        name = key in wanted[0] and row_difference(row, wanted[0][key], is_strict)
        if name:
            place = NAMES.index(name)
            where, was, now = innermost(wanted[0][key][place], row[place])
            found.append(f"{name}{where} of {key!r:.80} ({row[0].decode()}): wanted {was!r:.200}, "
                         f"got {now!r:.200}")
    if wanted[0].keys() == got[0].keys() and wanted[1] != got[1]:
        found.append(f"DEBUG DIGEST: wanted {wanted[1]!r}, got {got[1]!r}")
    return "\n  ".join(found[:8]) if found else None
