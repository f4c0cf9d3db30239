"""family_events.py: keyspace events of random commands, compared with redis-server's.

A batch of commands goes to both servers, and what a subscriber of "__key*" gets is compared. Each
key lies in one of a few hash tags. Behind each command each tag's fence key is set, whose own events
cut the stream: what stands between two of them on one tag belongs to one command, in its order.

    tag a:  lpush {a}1 | (fence) | | lpop {a}2, del {a}2 | ...

With one shard all events of all tags are one sequence. With several, nothing is promised between
keys of different cores: each tag has its own where each command waits for the answer to the one
before it; in a pipeline a key that comes back from a transaction may be overtaken by its core's
other keys, and each key has its own. Results of chance are left out, and deadlines lie hours ahead
or in the past: a value that is stored with a past one is gone at once here, and when somebody looks
there.
"""

import random
import re

from fence import Fence
from resp import Client

TAGS = (b"a", b"b", b"c", b"d", b"e")
BATCH = 60
ALL = "KEAmn"
CLASSES = (ALL, ALL, ALL, "KEA", "E$gmn", "K$lshzt", "KE$gxe", "K$", "EA", "KE$nm")

# {s} {l} {e} {h} {z} {x} {g} {p}: a key that mostly holds a string, list, set, hash, sorted set,
# stream, geo index, HyperLogLog; {k}: any; {i}: a small integer; {m}: a member or field.
LINES = """
GET {s}|SET {s} {m}|SET {s} {m} EX 10000|SET {s} {m} NX|SET {s} {m} XX|SET {s} {m} GET|SET {s} {i} KEEPTTL
SET {s} {m} NX GET|SETNX {s} {i}|SETEX {s} 10000 v|PSETEX {s} 100000000 v|SETEX {s} 0 v|GETSET {s} {m}
GETDEL {s}|GETEX {s}|GETEX {s} EX 10000|GETEX {s} PERSIST|GETEX {s} PXAT 1|GETEX {s} FOO|MGET {s} {s} {k}
MSET {s} 1 {s} 2 {s} 3|MSETNX {s} 1 {s} 2|APPEND {s} {m}|SETRANGE {s} {i} {m}|SETRANGE {s} 0 ""
SETRANGE {s} -1 x|INCR {s}|DECR {s}|INCRBY {s} {i}|DECRBY {s} {i}|INCRBYFLOAT {s} 1.5|STRLEN {s}
GETRANGE {s} 0 1|GETRANGE {s} a 1|SUBSTR {s} 0 1|LCS {s} {s}|LCS {s} {s} FOO|SET {s} {m} FOO
SETBIT {s} {i} 1|SETBIT {s} {i} 0|GETBIT {s} {i}|BITCOUNT {s}|BITPOS {s} 1|BITOP AND {s} {s} {s}
BITOP OR {s} {s}|BITOP NOT {s} {s}|BITFIELD {s} GET u8 0|BITFIELD {s} SET u8 {i} {i}
BITFIELD {s} INCRBY u8 {i} 1 GET u4 0|BITFIELD {s} OVERFLOW FAIL INCRBY u2 {i} 3|BITFIELD_RO {s} GET u8 0
BITFIELD {s} INCRBY u8 0 0|BITFIELD {s} OVERFLOW FAIL SET u2 {i} 9 SET u2 0 1
PFADD {p} {m} {m}|PFADD {p}|PFCOUNT {p}|PFCOUNT {p} {p}|PFMERGE {p} {p}|PFMERGE {p} {p} {k}|PFCOUNT {k} {p}
DEL {k}|DEL {k} {k} {k}|UNLINK {k} {k}|EXISTS {k} {k}|TOUCH {k}|TYPE {k}|TTL {k}|PTTL {k}|EXPIRETIME {k}
OBJECT ENCODING {k}|OBJECT REFCOUNT {k}|DUMP {k}|PERSIST {k}|EXPIRE {k} 10000|EXPIRE {k} -1
EXPIRE {k} 20000 NX|EXPIRE {k} 5000 GT|EXPIRE {k} 5000 LT|EXPIRE {k} x|PEXPIREAT {k} 1
PEXPIREAT {k} 9999999999999|RENAME {k} {k}|RENAMENX {k} {k}|COPY {k} {k}|COPY {k} {k} REPLACE
COPY {k} {k} DB 2|COPY {k} {k} DB 2 REPLACE|MOVE {k} 2|MOVE {k} 99|RANDOMKEY|DBSIZE|SELECT 2|SELECT 0
RESTORE {s} 0 BAD|MEMORY USAGE {k}|SORT {l} ALPHA|SORT {l} ALPHA STORE {l}|SORT {l} ALPHA LIMIT 50 1 STORE {l}
SADD {e} {m}|SADD {e} {m} {m} {i}|SREM {e} {m} {m}|SREM {e} {m}|SISMEMBER {e} {m}|SMISMEMBER {e} {m}
SMEMBERS {e}|SCARD {e}|SSCAN {e} 0|SSCAN {e} x|SRANDMEMBER {e}|SRANDMEMBER {e} x|SMOVE {e} {e} {m}
SPOP {e} 1000|SPOP {e} 0|SPOP {e} x|SINTER {e} {e}|SINTER {e} {k} {e}|SUNION {e} {e}|SDIFF {e} {e}
SINTERCARD 2 {e} {e}|SINTERCARD 1 {e} LIMIT -1|SINTERSTORE {e} {e} {e}|SUNIONSTORE {e} {e}
SUNIONSTORE {e} {e} {k}|SDIFFSTORE {e} {e} {e}|SINTERSTORE {k} {e} {e}
ZADD {z} {i} {m}|ZADD {z} {i} {m} {i} {m}|ZADD {z} NX {i} {m}|ZADD {z} XX {i} {m}|ZADD {z} GT CH {i} {m}
ZADD {z} INCR {i} {m}|ZADD {z} INCR 0 {m}|ZADD {z} NX INCR 1 {m}|ZADD {z} x {m}|ZINCRBY {z} {i} {m}
ZINCRBY {z} 0 {m}|ZREM {z} {m} {m}|ZCARD {z}|ZSCORE {z} {m}|ZMSCORE {z} {m}|ZRANK {z} {m}|ZREVRANK {z} {m}
ZRANGE {z} 0 -1|ZRANGE {z} x 1|ZRANGEBYSCORE {z} 0 5|ZREVRANGE {z} 0 1|ZRANGEBYLEX {z} - +|ZCOUNT {z} 0 1
ZLEXCOUNT {z} - +|ZRANDMEMBER {z}|ZSCAN {z} 0|ZRANGESTORE {z} {z} 0 1|ZRANGESTORE {z} {z} 50 51
ZREMRANGEBYRANK {z} 0 0|ZREMRANGEBYSCORE {z} {i} {i}|ZREMRANGEBYLEX {z} - [c|ZREMRANGEBYRANK {z} 0 -1
ZPOPMIN {z}|ZPOPMAX {z} 2|ZPOPMIN {z} 0|ZMPOP 2 {z} {z} MIN|ZMPOP 2 {z} {z} MAX COUNT 9
BZPOPMIN {z} {z} 0.001|BZPOPMAX {z} 0.001|BZMPOP 0.001 2 {z} {z} MIN COUNT 2
ZINTER 2 {z} {z}|ZUNION 2 {z} {k}|ZDIFF 2 {z} {z}|ZINTERCARD 2 {z} {z}|ZINTERSTORE {z} 2 {z} {z}
ZUNIONSTORE {z} 2 {z} {e}|ZDIFFSTORE {z} 2 {z} {z}|ZUNIONSTORE {k} 1 {z}
GEOADD {g} 13 38 {m} 15 37 {m}|GEOADD {g} XX 14 38 {m}|GEOPOS {g} {m}|GEOHASH {g} {m}|GEODIST {g} {m} {m}
GEORADIUS {g} 15 37 200 km|GEORADIUS {g} 15 37 200 km STORE {z}|GEORADIUS {g} 0 0 1 km STOREDIST {z}
GEORADIUS_RO {g} 15 37 200 km|GEOSEARCH {g} FROMLONLAT 15 37 BYRADIUS 200 km
GEOSEARCHSTORE {z} {g} FROMLONLAT 15 37 BYRADIUS 200 km|GEOSEARCHSTORE {z} {g} FROMLONLAT 0 0 BYRADIUS 1 km
HSET {h} {m} {i}|HSET {h} {m} {i} {m} {i}|HSETNX {h} {m} {i}|HMSET {h} {m} {i}|HDEL {h} {m} {m}|HDEL {h} {m}
HINCRBY {h} {m} {i}|HINCRBY {h} {m} 0|HINCRBY {h} {m} x|HINCRBYFLOAT {h} {m} 1.5|HGET {h} {m}|HMGET {h} {m}
HGETALL {h}|HLEN {h}|HSTRLEN {h} {m}|HEXISTS {h} {m}|HKEYS {h}|HVALS {h}|HSCAN {h} 0|HRANDFIELD {h}
LPUSH {l} {m}|RPUSH {l} {m} {m}|LPUSHX {l} {m}|RPUSHX {l} {m}|LLEN {l}|LINDEX {l} 0|LRANGE {l} 0 -1|LPOS {l} {m}
LSET {l} 0 {m}|LSET {l} 99 {m}|LINSERT {l} BEFORE {m} {m}|LREM {l} 0 {m}|LREM {l} 1 {m}|LTRIM {l} 0 2
LTRIM {l} 1 -1|LTRIM {l} 5 4|LPOP {l}|LPOP {l} 2|RPOP {l}|RPOP {l} 0|LMPOP 2 {l} {l} LEFT|LMPOP 1 {l} RIGHT COUNT 9
LMOVE {l} {l} LEFT RIGHT|LMOVE {l} {l} RIGHT LEFT|RPOPLPUSH {l} {l}|BLPOP {l} {l} 0.001|BRPOP {l} 0.001
BLMOVE {l} {l} LEFT LEFT 0.001|BRPOPLPUSH {l} {l} 0.001|BLMPOP 0.001 2 {l} {l} LEFT COUNT 2
XADD {x} {n}-1 f v|XADD {x} NOMKSTREAM {n}-1 f v|XADD {x} MAXLEN 3 {n}-1 f v|XTRIM {x} MAXLEN 2|XLEN {x}
XADD {x} MINID {n} {n}-1 f v|XDEL {x} {n}-1|XRANGE {x} - +|XREVRANGE {x} + -|XSETID {x} 9999-1
XGROUP CREATE {x} g 0|XGROUP CREATE {x} g 0 MKSTREAM|XGROUP SETID {x} g 0|XGROUP CREATECONSUMER {x} g {m}
XGROUP DELCONSUMER {x} g {m}|XGROUP DESTROY {x} g|XREADGROUP GROUP g {m} COUNT 2 STREAMS {x} >
XREADGROUP GROUP g {m} NOACK STREAMS {x} >|XREADGROUP GROUP g {m} STREAMS {x} 0|XREAD STREAMS {x} {x} 0 0
XREAD COUNT 1 STREAMS {x} 5|XACK {x} g {n}-1|XPENDING {x} g|XCLAIM {x} g {m} 0 {n}-1|XAUTOCLAIM {x} g {m} 0 0
XINFO STREAM {x}|XINFO GROUPS {x}|XINFO CONSUMERS {x} g|FLUSHDB|SWAPDB 0 2
"""
RARE = (b"FLUSHDB", b"SWAPDB")
RARE_CHANCE = 0.05
MULTI_CHANCE = 0.1


class Draw:
    """Random commands from the lines that the server knows."""

    def __init__(self, rng, known):
        self.rng = rng
        self.id = 0
        self.lines = [line.split(" ") for row in LINES.strip().split("\n") for line in row.split("|")]
        self.lines = [line for line in self.lines if line[0].encode() in known]

    def key(self, letter):
        if letter == "k":
            letter = self.rng.choice("selhzxgp")
        elif self.rng.random() < 0.03:
            letter = self.rng.choice("selhzxgp")
        return b"{%s}%s%d" % (self.rng.choice(TAGS), letter.encode(), self.rng.randint(1, 2))

    def word(self, word):
        if word == '""':
            return b""
        kind = re.search(r"\{(.)\}", word)
        if kind is None:
            return word.encode()
        letter = kind.group(1)
        if letter == "i":
            value = b"%d" % self.rng.randint(0, 12)
        elif letter == "m":
            value = self.rng.choice((b"a", b"b", b"c", b"3"))
        elif letter == "n":
            self.id += self.rng.randint(0, 1)
            value = b"%d" % max(1, self.id - self.rng.choice((0, 0, 3)))
        else:
            value = self.key(letter)
        return word.replace(kind.group(0), "\0").encode().replace(b"\0", value)

    def command(self):
        while True:
            words = [self.word(word) for word in self.rng.choice(self.lines)]
            if words[0] not in RARE or self.rng.random() < RARE_CHANCE:
                return words

    def group(self):
        """What stands between two fences."""
        if self.rng.random() >= MULTI_CHANCE:
            return [self.command()]
        commands = [self.command() for _ in range(self.rng.randint(1, 6))]
        # What answers before its turn, or waits for its key, has no place in a transaction here.
        commands = [c for c in commands if c[0] not in (*RARE, b"RANDOMKEY", b"DBSIZE")]
        return [[b"MULTI"], *commands, [b"EXEC"]]


def key_of(event):
    """The database and the key that an event is about."""
    channel, payload = event
    database, rest = channel.split(b"__:", 1)
    return (database.split(b"@")[1], rest if channel.startswith(b"__keyspace@") else payload)


def tag_of(event):
    return key_of(event)[1][1:2]


def is_fence(event):
    """The SET of a fence; that the key is new is another event."""
    return key_of(event)[1].endswith(b"}fence") and b"set" in (event[0].split(b":")[-1], event[1])


class Side:
    """One server: a connection that works and one that listens."""

    def __init__(self, server):
        self.worker, self.listener = Client(server.port), Client(server.port)
        self.fence = Fence(server)
        self.listener_id = self.listener.ask(b"CLIENT", b"ID")
        self.listener.ask(b"PSUBSCRIBE", b"__key*")

    def close(self):
        """Who counts patterns behind this finds none of ours."""
        self.worker.close()
        self.listener.close()
        self.fence.gone([self.listener_id])
        self.fence.close()

    def play(self, groups, fences_per_tag, is_paced):
        """The events of the groups, as they came."""
        fences = [[b"SET", b"{%s}fence" % tag, b"x"] for tag in TAGS]
        if is_paced:
            for group in groups:
                self.worker.pipeline(group)
                self.worker.pipeline(fences)
        else:
            self.worker.pipeline([command for group in groups for command in group + fences])
        self.worker.pipeline(fences)  # behind the answers: behind all events
        left = {tag: (len(groups) + 1) * fences_per_tag for tag in TAGS}
        events = []
        while any(left.values()):
            event = tuple(self.listener.reply()[2:4])
            events.append(event)
            left[tag_of(event)] -= is_fence(event)
        return events


def sequences(events, name_of):
    """The events by what name_of() says of each."""
    named = {}
    for event in events:
        named.setdefault(name_of(event), []).append(event)
    return named


def known_commands(client):
    """The first words of commands that the server has, in upper case."""
    return {row[0].upper() for row in client.ask(b"COMMAND")}


def first_difference(ours, theirs):
    at = 0
    while at < min(len(ours), len(theirs)) and ours[at] == theirs[at]:
        at += 1
    return at


def describe(groups, ours, theirs, per_group):
    """What both said around the difference, and of which command, if there are fences to count."""
    at = first_difference(ours, theirs)
    near = sum(map(is_fence, theirs[:at])) // per_group
    return (f"  near {groups[max(0, near - 1):near + 2]}\n"
            f"  redis-server: {theirs[max(0, at - 1):at + 6]}\n"
            f"  tessera:      {ours[max(0, at - 1):at + 6]}")


def configure(sides, classes):
    for side in sides:
        side.worker.ask(b"SELECT", b"0")
        side.worker.ask(b"FLUSHALL")
        side.worker.ask(b"CONFIG", b"SET", b"notify-keyspace-events", classes.encode())


def batch(run, sides, draw, classes, name):
    groups = [draw.group() for _ in range(BATCH)]
    is_one_shard = " --shards 1 " in f"{run.where} "
    is_paced = draw.rng.random() < 0.3
    per_group = ("K" in classes) + ("E" in classes)
    ours, theirs = [side.play(groups, per_group, is_paced) for side in sides]
    if is_one_shard:
        ours, theirs = {"all": ours}, {"all": theirs}
    else:
        ours, theirs = [sequences(events, tag_of if is_paced else key_of)
                        for events in (ours, theirs)]
    for where in sorted(ours | theirs):
        our_part, their_part = ours.get(where, []), theirs.get(where, [])
        if our_part != their_part:
            per = per_group * (len(TAGS) if is_one_shard else 1)
            run.fail(f"{name}: classes {classes}, {'paced' if is_paced else 'pipelined'}, {where}\n"
                     + describe(groups, our_part, their_part, per))
            return False
    run.passed += len(groups)
    return True


def deadlines(run, sides, name):
    """A key that dies by itself tells so, once."""
    configure(sides, ALL)
    expected = [(b"__keyspace@0__:{a}dies", b"expired"), (b"__keyevent@0__:expired", b"{a}dies")]
    for which, side in zip(("tessera", "redis-server"), sides):
        side.worker.ask(b"SET", b"{a}dies", b"v", b"PX", b"20")
        seen = [tuple(side.listener.reply()[2:4]) for _ in range(6)]
        died = [tuple(side.listener.reply()[2:4]) for _ in range(2)]
        run.check(f"{name} expired {which}", died == expected, f"{seen} {died}")


def play(run, tessera, redis, seed, count):
    """`count` commands in batches, each with classes of its own."""
    sides = [Side(tessera), Side(redis)]
    known = known_commands(sides[0].worker) & known_commands(sides[1].worker)
    for number in range(max(1, count // BATCH // 10)):
        name = f"--seed {seed} events, round {number}"
        rng = random.Random(f"{seed}/events/{number}")
        draw = Draw(rng, known)
        classes = rng.choice(CLASSES)
        configure(sides, classes)
        for _ in range(10):
            if not batch(run, sides, draw, classes, name):
                for side in sides:
                    side.close()
                sides = [Side(tessera), Side(redis)]
                break
        if run.enough:
            break
    deadlines(run, sides, "events")
    configure(sides, "")
    for side in sides:
        side.close()
