"""family_tracking.py: sessions with several connections that track keys, redirect and change them.

Each step sends a pipeline of one connection to both servers and waits for its replies, then until no
push is under way between cores (fence.py); then every connection is asked for a PING with a word of
its own, so that what was pushed has arrived. Replies are compared in order, invalidations as what
each step brings to each connection: several cores promise no order between keys. In sessions that
use BCAST they are compared as sets, since redis-server gathers what happens in one turn of its loop.
That a push never comes too early for what it is about is seen in storms: connections read and write
at the same time, keep what they have read until they are told otherwise, and must hold nothing else
than what the server holds in the end.
"""

import os
import random
import re
import sys
import time
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from fence import ROUNDS_ALL, Fence  # noqa: E402
from resp import Client, Error, Push, Verbatim, encode, parse  # noqa: E402

CONNECTIONS = 5
STEPS_SHARE = 16  # a step with its PINGs takes as long as so many commands
SESSION_STEPS = 60
KEYS = [b"a", b"b", b"c", b"user:1", b"user:2", b"use", b"{x}1", b"{x}2", b"", b"\x00\xff\r\n",
        b"long" * 300]
PREFIXES = [b"", b"a", b"user:", b"use", b"u", b"{x}", b"\x00", b"long" * 300, b"nobody"]
OPTIONS = [b"OPTIN", b"OPTOUT", b"NOLOOP", b"NOLOOP"]
STORM_KEYS = [b"k%d" % i for i in range(12)]


class Id:
    """The id of a connection, which is another one on each server."""

    def __init__(self, index):
        self.index = index

    def __repr__(self):
        return f"id of c{self.index}"

    def __getitem__(self, _):
        return repr(self)


def key(rng):
    return rng.choice(KEYS)


def read(rng):
    k = key(rng)
    return rng.choice([
        [b"GET", k], [b"GET", k], [b"GET", k], [b"MGET"] + rng.sample(KEYS, 3),
        [b"EXISTS", k, key(rng)], [b"STRLEN", k], [b"TTL", k], [b"TYPE", k],
        [b"LRANGE", k, b"0", b"-1"], [b"HGETALL", k], [b"SINTER", k, key(rng)],
        [b"SINTERCARD", b"2", k, key(rng)], [b"ZRANGE", k, b"0", b"-1"], [b"PFCOUNT", k],
        [b"GETRANGE", k, b"0", b"2"], [b"LCS", k, key(rng)], [b"LLEN", k], [b"BITCOUNT", k],
        [b"DUMP", k], [b"GET"], [b"GETRANGE", k, b"x", b"y"], [b"DBSIZE"], [b"XLEN", k],
        [b"TOUCH", k], [b"XREAD", b"STREAMS", k, b"0"], [b"GEOPOS", k], [b"KEYS", b"*"]])


def write(rng):
    k = key(rng)
    value = str(rng.randrange(100)).encode()
    return rng.choice([
        [b"SET", k, value], [b"SET", k, value], [b"SET", k, value], [b"DEL", k],
        [b"DEL"] + rng.sample(KEYS, 3), [b"MSET", k, value, key(rng), value], [b"INCR", k],
        [b"APPEND", k, value], [b"RPUSH", k, value], [b"LPOP", k], [b"RENAME", k, key(rng)],
        [b"COPY", k, key(rng), b"REPLACE"], [b"SETNX", k, value], [b"SADD", k, value],
        [b"SUNIONSTORE", k, key(rng), key(rng)], [b"HSET", k, b"f", value],
        [b"LMOVE", k, key(rng), b"LEFT", b"RIGHT"], [b"GETDEL", k], [b"GETSET", k, value],
        [b"PFADD", k, value], [b"MSETNX", k, value, key(rng), value], [b"PEXPIREAT", k, b"1"],
        [b"UNLINK", k], [b"SET", k, value, b"GET"], [b"ZADD", k, b"1", value], [b"MOVE", k, b"1"],
        [b"BITOP", b"AND", k, key(rng)], [b"XADD", k, value + b"-1", b"f", value]])


def flush(rng):
    return rng.choice([[b"FLUSHALL"], [b"FLUSHDB"], [b"FLUSHDB"], [b"FLUSHALL", b"ASYNC"],
                       [b"SWAPDB", b"0", b"1"]])


def overlaps(a, b):
    return a.startswith(b) or b.startswith(a)


def prefixes(rng):
    """redis-server goes on after the overlap of a later pair, with two replies: not asked for."""
    if rng.random() < 0.1:
        return rng.choice([[b"a", b"ab"], [b"use", b"u"], [b"", b"a"], [b"{x}", b"{x}"]])
    names = []
    for name in rng.sample(PREFIXES, rng.choice((0, 1, 1, 2, 3))):
        if not any(overlaps(name, other) for other in names):
            names.append(name)
    return names


def tracking(rng, is_bcast):
    if rng.random() < 0.2:
        return [b"CLIENT", b"TRACKING", b"OFF"]
    words = [b"CLIENT", b"TRACKING", rng.choice([b"ON", b"on", b"ON", b"ON", b"x"])]
    tail = []
    if is_bcast and rng.random() < 0.7:
        tail.append([b"BCAST"])
        tail += [[b"PREFIX", name] for name in prefixes(rng)]
    elif is_bcast and rng.random() < 0.1:
        tail.append([b"PREFIX", b"a"])
    if rng.random() < 0.4:
        tail.append([rng.choice(OPTIONS)])
    if rng.random() < 0.4:
        tail.append([b"REDIRECT", rng.choice([Id(rng.randrange(CONNECTIONS))] * 12 +
                                             [b"0", b"-1", b"999999999", b"x"])])
    if rng.random() < 0.05:
        tail.append(rng.choice([[b"NOPE"], [b"REDIRECT"], [b"PREFIX"], [b"REDIRECT", Id(0)]]))
    if rng.random() < 0.1:
        tail.append([rng.choice(OPTIONS)])
    if rng.random() < 0.3:
        rng.shuffle(tail)
    return words + [word for words in tail for word in words]


def caching(rng):
    return [b"CLIENT", b"CACHING", rng.choice([b"YES", b"YES", b"NO", b"no", b"x"])]


def question(rng):
    return rng.choice([[b"CLIENT", b"TRACKINGINFO"], [b"CLIENT", b"INFO"],
                       [b"INFO", b"stats"], [b"INFO", b"clients"], [b"PING"], [b"NOPE"],
                       [b"SELECT", b"1"], [b"SELECT", b"0"]])


def transaction(rng, is_bcast):
    words = [[b"MULTI"]]
    for _ in range(rng.randrange(1, 6)):
        draw = rng.random()
        if draw < 0.45:
            words.append(read(rng))
        elif draw < 0.9:
            words.append(write(rng))
        elif draw < 0.93:
            words.append(flush(rng))
        elif draw < 0.97:
            words.append(caching(rng))
        else:
            words.append(tracking(rng, is_bcast))
    return words + [rng.choice([[b"EXEC"]] * 6 + [[b"DISCARD"]])]


def pipeline(rng, is_bcast):
    draw = rng.random()
    if draw < 0.15:
        return [caching(rng)] * (draw < 0.05) + transaction(rng, is_bcast)
    if draw < 0.17:
        return [[b"RESET"]]
    if draw < 0.19:
        return [[b"HELLO", rng.choice([b"2", b"3"])]]
    if draw < 0.23:
        return [[rng.choice([b"SUBSCRIBE", b"SUBSCRIBE", b"UNSUBSCRIBE"]),
                 rng.choice([b"__redis__:invalidate", b"other"])]]
    if draw < 0.35:
        return [tracking(rng, is_bcast)]
    if draw < 0.45:
        # By itself: a redirection is found broken, and a name of two databases read, by mail.
        return [question(rng)]
    makers = [read] * 8 + [write] * 5 + [caching, caching, flush]
    return [rng.choice(makers)(rng) for _ in range(rng.choice((1, 2, 3, 5, 8)))]


class Side:
    """All connections of one server, and what they got."""

    def __init__(self, server, protocols):
        self.port = server.port
        self.fence = Fence(server)
        self.clients = [None] * len(protocols)
        self.ids = [0] * len(protocols)
        self.gone = {}
        self.received = [[] for _ in protocols]
        self.serial = 0
        for index, protocol in enumerate(protocols):
            self.connect(index, protocol)

    def connect(self, index, protocol):
        self.clients[index] = Client(self.port)
        self.ids[index] = self.clients[index].ask(b"CLIENT", b"ID")
        self.gone[self.ids[index]] = f"id {self.serial} of c{index}"
        self.serial += 1
        if protocol == 3:
            self.clients[index].ask(b"HELLO", b"3")

    def reconnect(self, index, protocol):
        """The old connection is gone when this returns."""
        self.clients[index].close()
        self.fence.gone([self.ids[index]])
        self.connect(index, protocol)

    def words(self, line):
        return [b"%d" % self.ids[w.index] if isinstance(w, Id) else w for w in line]

    def step(self, index, lines, token):
        if lines:
            self.clients[index].send_raw(b"".join(encode(*self.words(w)) for w in lines))
        self.collect(index, token)
        self.fence.round(ROUNDS_ALL)
        for i in range(len(self.clients)):
            self.collect(i, token)

    def collect(self, index, token):
        """What a connection gets before it answers this PING."""
        client = self.clients[index]
        client.send(b"PING", token)
        while True:
            reply = parse(client.reply_raw())
            if reply in (token, [b"pong", token]):
                break
            self.received[index].append(reply)

    def close(self):
        """The next session finds none of the connections."""
        for client in self.clients:
            client.close()
        self.fence.gone(self.ids)
        self.fence.close()


def fields(side, reply):
    """What is compared of a reply: ids by the connections that they are of."""
    if isinstance(reply, Verbatim):
        reply = bytes(reply[4:]) if reply[3:4] == b":" else bytes(reply)
    if isinstance(reply, bytes) and reply.startswith(b"id="):
        found = re.findall(rb" (?:flags|redir|resp|sub)=\S*", reply)
        return [re.sub(rb"=(\d{1,18})$", lambda m: b"=" + str(
            side.gone.get(int(m.group(1)), m.group(1))).encode(), f) if b"redir" in f else
                f.replace(b"x", b"") for f in found]
    if isinstance(reply, bytes) and reply.startswith(b"# "):
        return re.findall(rb"tracking_\w+:\d+", reply)
    if hasattr(reply, "get") and reply.get(b"server") is not None:
        return reply.get(b"proto")
    if isinstance(reply, list) and reply[:2] == [b"server", b"redis"]:
        return reply[5]
    if isinstance(reply, list) and reply[:1] == [b"flags"]:
        return [reply[1], side.gone.get(reply[3], reply[3]), reply[5]]
    if hasattr(reply, "get") and reply.get(b"flags") is not None:
        redirect = reply.get(b"redirect")
        return [list(reply.get(b"flags")), side.gone.get(redirect, redirect),
                reply.get(b"prefixes")]
    return reply


def plain(value):
    """Sets and KEYS have no order."""
    if isinstance(value, list):
        items = [plain(v) for v in value]
        is_nested = any(isinstance(v, list) for v in value)
        return items if is_nested or value[:1] == [b"flags"] else sorted(items, key=repr)
    return value


def is_push(reply):
    return isinstance(reply, Push) or (isinstance(reply, list) and
                                       reply[:2] == [b"message", b"__redis__:invalidate"])


def lift(received):
    """redis-server pushes into the midst of EXEC's array to a connection that others redirect to:
    the array's last elements follow it then."""
    received = list(received)
    result = []
    while received:
        reply = received.pop(0)
        if isinstance(reply, list) and not is_push(reply):
            for push in [r for r in reply if is_push(r)]:
                result.append(push)
                reply.remove(push)
                reply.append(received.pop(0))
                while is_push(reply[-1]):
                    result.append(reply.pop())
                    reply.append(received.pop(0))
        result.append(reply)
    return result


def sorted_out(side, received, is_bcast):
    """(replies in order, keys of invalidations, flushes and broken redirections)"""
    replies, keys, others = [], [], []
    for reply in lift(received):
        what = None
        if isinstance(reply, Push) and reply[:1] == [b"invalidate"]:
            what = reply[1]
        elif is_push(reply) and reply[0] == b"message":
            what = reply[2]
        elif isinstance(reply, Push) and reply[:1] == [b"tracking-redir-broken"]:
            others.append((b"broken", side.gone.get(reply[1], reply[1])))
            continue
        else:
            replies.append(plain(fields(side, reply)))
            continue
        keys += what or []
        others += [] if what is not None else [b"flush"]
    if is_bcast:
        return replies, set(keys), set(others)
    return replies, Counter(keys), Counter(others)


def difference(sides, index, is_bcast):
    ours, theirs = (sorted_out(side, side.received[index], is_bcast) for side in sides)
    for what, a, b in zip(("replies", "invalidations", "others"), ours, theirs):
        if a != b:
            if what == "replies":
                at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
                a, b = a[at:at + 3], b[at:at + 3]
            return f"c{index}: {what}\n  redis-server: {b!r:.600}\n  tessera:      {a!r:.600}"
    return None


def expire(sides, control, rng):
    """A key's time passes; reading it makes sure that redis-server has seen that, too."""
    name = key(rng)
    for client in control:
        client.ask(b"SET", name, b"1")
    yield [b"GET", name]
    for client in control:
        client.ask(b"PEXPIRE", name, b"3")
    time.sleep(0.01)
    for client in control:
        while client.ask(b"EXISTS", name):
            pass


def session(run, tessera, redis, seed, number):
    rng = random.Random(f"tracking {seed} {number}")
    is_bcast = rng.random() < 0.4
    protocols = [rng.choice((2, 3, 3)) for _ in range(CONNECTIONS)]
    control = [Client(s.port) for s in (tessera, redis)]
    for client in control:
        client.ask(b"FLUSHALL")
    sides = [Side(s, protocols) for s in (tessera, redis)]
    history = []
    for step in range(SESSION_STEPS):
        index = rng.randrange(CONNECTIONS)
        token = b"token%d" % step
        if rng.random() < 0.04:
            history.append(f"c{index} reconnects")
            protocols[index] = rng.choice((2, 3))
            for side in sides:
                side.reconnect(index, protocols[index])
                side.step(index, [], token)
        elif rng.random() < 0.04:
            history.append(f"c{index} reads a key whose time passes")
            for line in expire(sides, control, rng):
                for side in sides:
                    side.step(index, [line], token)
            for side in sides:
                side.step(index, [], token)
        else:
            lines = pipeline(rng, is_bcast)
            history.append(f"c{index} {[[w[:24] for w in line] for line in lines]}")
            for side in sides:
                side.step(index, lines, token)
        problems = (difference(sides, i, is_bcast) for i in range(CONNECTIONS))
        problem = next(filter(None, problems), None)
        run.check(f"session {number} step {step}", problem is None,
                  f"{problem}\n  " + "\n  ".join(history[-12:]))
        if problem:
            break
        for side in sides:
            side.received = [[] for _ in protocols]
    for side in sides:
        side.close()
    for client in control:
        client.close()


# ---- storms ----

def storm_line(rng, serial):
    name = rng.choice(STORM_KEYS)
    value = b"v%d" % next(serial)
    return rng.choice([[b"GET", name]] * 5 + [
        [b"MGET"] + rng.sample(STORM_KEYS, 3), [b"SET", name, value], [b"SET", name, value],
        [b"MSET", name, value, rng.choice(STORM_KEYS), value], [b"DEL", name],
        [b"GETSET", name, value], [b"RENAME", name, rng.choice(STORM_KEYS)],
        [b"FLUSHDB"] if rng.random() < 0.1 else [b"PING"], [b"MULTI"], [b"EXEC"]])


class Cache:
    """A connection that keeps what it has read."""

    def __init__(self, port, options):
        self.client = Client(port)
        self.client.ask(b"HELLO", b"3")
        self.client.ask(b"CLIENT", b"TRACKING", b"ON", *options)
        self.values = {}
        self.queue = None

    def note(self, line, reply):
        if isinstance(reply, Error):
            return
        if line[0] == b"GET":
            self.values[line[1]] = reply
        elif line[0] == b"MGET":
            self.values.update(zip(line[1:], reply))

    def until(self, end):
        """The replies before this one."""
        replies = []
        while True:
            reply = self.client.reply()
            if reply == end:
                return replies
            replies.append(reply)

    def take(self, lines, replies):
        lines = iter(lines)
        for reply in replies:
            if isinstance(reply, Push):
                for name in self.values.copy() if reply[1] is None else reply[1]:
                    self.values.pop(name, None)
                continue
            line = next(lines)
            if line[0] == b"MULTI":
                self.queue = self.queue or []
            elif line[0] == b"EXEC" and isinstance(reply, list):
                for queued, one in zip(self.queue, reply):
                    self.note(queued, one)
                self.queue = None
            elif self.queue is not None and reply == b"QUEUED":
                self.queue.append(line)
            else:
                self.note(line, reply)


def storm(run, server, seed, rounds):
    """All read and write at the same time."""
    rng = random.Random(f"storm {seed}")
    serial = iter(range(1 << 40))
    control = Client(server.port)
    control.ask(b"FLUSHALL")
    fence = Fence(server)
    caches = [Cache(server.port, []) for _ in range(CONNECTIONS)]
    for number in range(rounds):
        lines = [[storm_line(rng, serial) for _ in range(rng.choice((5, 20, 60)))] + [[b"EXEC"]]
                 for _ in caches]
        token = b"storm%08d" % number
        end = encode(b"ECHO", token)
        for cache, some in zip(caches, lines):
            cache.client.send_raw(b"".join(encode(*line) for line in some) + end)
        found = [cache.until(token) for cache in caches]
        fence.round(ROUNDS_ALL)
        for i, cache in enumerate(caches):
            cache.client.send(b"PING", b"late")
            found[i] += cache.until(b"late")
        truth = dict(zip(STORM_KEYS, control.ask(b"MGET", *STORM_KEYS)))
        for i, cache in enumerate(caches):
            cache.queue = None
            cache.take(lines[i], found[i])
            wrong = {k: (v, truth[k]) for k, v in cache.values.items() if v != truth[k]}
            run.check(f"storm {number}", not wrong,
                      f"c{i} keeps what is not so (kept, true): {wrong!r:.600}")
            if wrong:
                return
    for cache in caches:
        cache.client.close()
    fence.close()
    control.close()


def limit(run, tessera, redis):
    """tracking-table-max-keys: names are forgotten, with an invalidation."""
    for server in (tessera, redis):
        control, client = Client(server.port), Client(server.port)
        control.ask(b"FLUSHALL")
        client.ask(b"HELLO", b"3")
        client.ask(b"CLIENT", b"TRACKING", b"ON")
        control.ask(b"CONFIG", b"SET", b"tracking-table-max-keys", b"20")
        for i in range(200):
            client.send(b"GET", b"limit%d" % i)
        client.send(b"PING", b"the end")
        told = set()
        left = 200
        deadline = time.monotonic() + 20
        # redis-server takes its time. One for each shard more, where they do not divide the limit.
        while (left > 25 or len(told) < 200 - left) and time.monotonic() < deadline:
            reply = client.reply()
            if reply == b"the end":
                client.send(b"PING", b"the end")
            told |= set(reply[1]) if isinstance(reply, Push) else set()
            stats = control.ask(b"INFO", b"stats")
            left = int(re.search(rb"tracking_total_keys:(\d+)", stats).group(1))
        control.ask(b"CONFIG", b"SET", b"tracking-table-max-keys", b"1000000")
        run.check("limit", 10 <= left <= 25 and len(told) == 200 - left,
                  f"{left} left, {len(told)} told")
        client.close()
        control.close()


def getredir(run, tessera, redis):
    for server in (tessera, redis):
        client, other = Client(server.port), Client(server.port)
        number = other.ask(b"CLIENT", b"ID")
        said = []
        for words in ([b"OFF"], [b"ON"], [b"ON", b"REDIRECT", b"%d" % number], [b"OFF"]):
            client.ask(b"CLIENT", b"TRACKING", *words)
            said.append(client.ask(b"CLIENT", b"GETREDIR"))
        run.check("getredir", said == [-1, 0, number, -1], f"{said} with {number}")
        client.close()
        other.close()


def play(run, tessera, redis, seed, count):
    """Sessions, then storms; `count` commands, as far as time is concerned."""
    for number in range(max(3, count // STEPS_SHARE // SESSION_STEPS)):
        session(run, tessera, redis, seed, number)
        if run.enough:
            return
    getredir(run, tessera, redis)
    storm(run, redis, seed, 3)
    storm(run, tessera, seed, max(5, count // 200))
    limit(run, tessera, redis)
