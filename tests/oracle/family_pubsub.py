"""family_pubsub.py: sessions with several connections that subscribe, publish and change keys.

Each step sends a pipeline of one connection to both servers and waits for its replies, then until no
push is under way between cores (fence.py); then every connection is asked for a PING with a word of
its own, so that whatever the step has pushed has arrived. Replies are compared in order. Messages are compared in the order of each channel, since several cores promise no more,
confirmations in the order of their counts (UNSUBSCRIBE without names leaves channels in no order).
RESP2 and RESP3 connections stand side by side. Monitors are compared by the lines of one client.
"""

import os
import random
import re
import sys
from collections import Counter, defaultdict

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from fence import ROUNDS_ALL, Fence  # noqa: E402
from resp import Client, Closed, Verbatim, encode, parse  # noqa: E402

CONNECTIONS = 5
STEPS_SHARE = 12  # a step with its PINGs takes as long as so many commands
SESSION_STEPS = 60
CHANNELS = [b"a", b"b", b"news", b"news.it", b"{x}1", b"{x}2", b"", b"ch\r\nan", b"\x00\xff",
            b"long" * 40, b"__keyspace@0__:k1", b"__keyevent@0__:set", b"__keyevent@0__:del"]
PATTERNS = [b"*", b"a", b"n*", b"news.??", b"[ab]", b"__key*__:*", b"__keyevent@*__:set", b"",
            b"\\*", b"{x}*", b"__keyspace@0__:k*"]
KEYS = [b"k1", b"k2", b"k3", b"{x}k"]
NOTIFY = [b"", b"", b"KEA", b"K$", b"Eg", b"AE", b"KEm", b"KE$gn"]
MESSAGES = [b"", b"x", b"hello", b"m" * 64, b"m" * 1000, b"m" * 5000, b"m" * 20000, b"\r\n"]
CONFIRMATIONS = (b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"ssubscribe",
                 b"sunsubscribe")
MESSAGE_WORDS = (b"message", b"pmessage", b"smessage")


def message(rng):
    return rng.choice(MESSAGES) + str(rng.randrange(1000)).encode()


def subscription(rng, may_be_all=True):
    word = rng.choice([b"SUBSCRIBE", b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE",
                       b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"])
    names = PATTERNS if word[:1] == b"P" else CHANNELS
    count = rng.choice((1, 1, 1, 2, 3, 5))
    if b"UNSUB" in word and may_be_all and rng.random() < 0.2:
        count = 0
    return [word] + [rng.choice(names) for _ in range(count)]


def change(rng):
    key = rng.choice(KEYS)
    return rng.choice([[b"SET", key, b"1"], [b"DEL", key], [b"INCR", key], [b"APPEND", key, b"1"],
                       [b"GET", key], [b"EXPIRE", key, b"100"], [b"PERSIST", key]])


def publish(rng):
    word = rng.choice([b"PUBLISH", b"PUBLISH", b"PUBLISH", b"SPUBLISH"])
    return [word, rng.choice(CHANNELS), message(rng)]


def question(rng):
    return rng.choice([
        [b"PUBSUB", b"CHANNELS"], [b"PUBSUB", b"CHANNELS", rng.choice(PATTERNS)],
        [b"PUBSUB", b"SHARDCHANNELS"], [b"PUBSUB", b"SHARDCHANNELS", rng.choice(PATTERNS)],
        [b"PUBSUB", b"NUMPAT"], [b"PUBSUB", b"NUMSUB"], [b"PUBSUB", b"NUMSUB"] + CHANNELS,
        [b"PUBSUB", b"SHARDNUMSUB"] + CHANNELS, [b"CLIENT", b"INFO"], [b"INFO", b"stats"],
        [b"PUBSUB"], [b"PUBSUB", b"NOPE"], [b"PUBSUB", b"CHANNELS", b"a", b"b"], [b"SUBSCRIBE"],
        [b"PUBLISH", b"a"], [b"PING"], [b"PING", b"x"], [b"NOPE"], [b"CONFIG", b"GET", b"databases", b"x"]])


def transaction(rng):
    words = [[b"MULTI"]]
    # Not both: a RESP2 client would find its own messages, or events, among the replies.
    makers = (publish, change) if rng.random() < 0.7 else (
        lambda _: subscription(rng, False), lambda _: [b"ECHO", b"x"])
    for _ in range(rng.randrange(1, 5)):
        words.append(rng.choice(makers)(rng))
    return words + [[b"EXEC"]]


def pipeline(rng, protocol):
    draw = rng.random()
    if draw < 0.12 and protocol == 2:
        return transaction(rng)
    if draw < 0.15:
        return [[b"RESET"]]
    if draw < 0.18:
        return [[b"HELLO", rng.choice([b"2", b"3"])]]
    makers = [subscription, subscription, publish, publish, publish, change, change, question]
    return [rng.choice(makers)(rng) for _ in range(rng.choice((1, 1, 2, 4, 8)))]


class Side:
    """All connections of one server, and what they got."""

    def __init__(self, server, protocols):
        self.fence = Fence(server)
        self.clients = [Client(server.port) for _ in protocols]
        self.ids = [client.ask(b"CLIENT", b"ID") for client in self.clients]
        self.received = [[] for _ in protocols]
        for client, protocol in zip(self.clients, protocols):
            if protocol == 3:
                client.ask(b"HELLO", b"3")

    def step(self, index, words, token):
        self.clients[index].send_raw(b"".join(encode(*w) for w in words))
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
        """The next session finds none of the subscriptions."""
        for client in self.clients:
            client.close()
        self.fence.gone(self.ids)
        self.fence.close()


def fields(reply):
    """What is compared of CLIENT INFO and INFO."""
    if isinstance(reply, Verbatim):
        reply = bytes(reply[4:])
    if isinstance(reply, bytes) and reply.startswith(b"id="):
        return re.findall(rb" (?:sub|psub|ssub|flags|db|resp|multi)=\S*", reply)
    if isinstance(reply, bytes) and reply.startswith(b"# Stats"):
        return re.findall(rb"pubsub\w+:\d+", reply)
    if isinstance(reply, list) and reply[:2] == [b"server", b"redis"]:
        return [x for x in reply if x not in (reply[3], reply[7])]
    if hasattr(reply, "get") and reply.get(b"server") is not None:
        return reply.get(b"proto")
    if isinstance(reply, list) and all(isinstance(x, bytes) for x in reply):
        return sorted(reply)
    return repr(reply)


def sorted_out(received):
    """(replies in order, messages by channel, counts of confirmations, confirmed names)"""
    replies, channels, counts, names = [], defaultdict(list), [], Counter()
    for reply in received:
        word = reply[0] if isinstance(reply, list) and reply else None
        if word in MESSAGE_WORDS:
            channels[tuple(reply[:-1])].append(reply[-1])
        elif word in CONFIRMATIONS and len(reply) == 3:
            counts.append((word, reply[2]))
            names[(word, reply[1])] += 1
        else:
            replies.append(fields(reply))
    # Events come from the cores of their keys, without an order between them.
    for channel, messages in channels.items():
        if channel[-1].startswith(b"__key"):
            messages.sort()
    return replies, dict(channels), counts, names


def difference(ours, theirs):
    for what, a, b in zip(("replies", "messages", "counts", "names"), sorted_out(ours),
                          sorted_out(theirs)):
        if a == b:
            continue
        if isinstance(a, list):
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            a, b = a[at:at + 3], b[at:at + 3]
        elif what == "messages":
            bad = [key for key in {*a, *b} if a.get(key) != b.get(key)][:3]
            a, b = ({key: [m[-30:] for m in side.get(key, [])][-6:] for key in bad}
                    for side in (a, b))
        return f"{what}\n  redis-server: {b!r:.600}\n  tessera:      {a!r:.600}"
    return None


def session(run, tessera, redis, seed, number):
    rng = random.Random(f"pubsub {seed} {number}")
    protocols = [rng.choice((2, 2, 3)) for _ in range(CONNECTIONS)]
    control = [Client(s.port) for s in (tessera, redis)]
    for client in control:
        client.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"")
        client.ask(b"FLUSHALL")
    sides = [Side(s, protocols) for s in (tessera, redis)]
    history = []
    for step in range(SESSION_STEPS):
        if rng.random() < 0.05:
            value = rng.choice(NOTIFY)
            history.append(f"notify {value}")
            for client in control:
                client.ask(b"CONFIG", b"SET", b"notify-keyspace-events", value)
        index = rng.randrange(CONNECTIONS)
        words = pipeline(rng, protocols[index])
        if words[0][0] == b"HELLO":
            protocols[index] = 3 if words[0][1] == b"3" else 2
        if words[0][0] == b"RESET":
            protocols[index] = 2
        history.append(f"c{index} {[[w[:24] for w in line] for line in words]}")
        token = b"token%d" % step
        for side in sides:
            side.step(index, words, token)
        # RESP2 refuses HELLO while it subscribes: what holds is what the server says.
        problem = None
        for i in range(CONNECTIONS):
            problem = difference(sides[0].received[i], sides[1].received[i])
            if problem:
                problem = f"c{i}: {problem}"
                break
        name = f"session {number} step {step}"
        run.check(name, problem is None, f"{problem}\n  " + "\n  ".join(history[-8:]))
        if problem:
            break
        for side in sides:
            side.received = [[] for _ in protocols]
    for side in sides:
        side.close()
    for client in control:
        client.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"")
        client.close()


def monitor_lines(server, words):
    """What a monitor sees of one client's commands, without times and addresses."""
    monitor, client = Client(server.port), Client(server.port)
    monitor.ask(b"MONITOR")
    for line in words:
        client.send(*line)
        try:
            client.reply_raw()
        except Closed:
            break
    client.send(b"ECHO", b"the end")
    lines = []
    while not lines or b"the end" not in lines[-1]:
        lines.append(re.sub(rb"^\+[0-9.]+ \[(\d+) [^\]]*\]", rb"[\1]", monitor.reply_raw()))
    monitor.close()
    client.close()
    return lines


def monitors(run, tessera, redis, seed):
    rng = random.Random(f"monitor {seed}")
    words = []
    for _ in range(150):
        draw = rng.random()
        if draw < 0.2:
            words += transaction(rng)
        elif draw < 0.3:
            words.append([b"SELECT", str(rng.randrange(18)).encode()])
        elif draw < 0.4:
            words.append(rng.choice([[b"AUTH", b"secret"], [b"AUTH", b"u", b"secret"],
                                     [b"HELLO", b"2", b"AUTH", b"default", b"secret"],
                                     [b"CONFIG", b"GET", b"databases"], [b"NOPE"], [b"GET"], [b"DISCARD"],
                                     [b"EXEC"], [b"KEYS", b"\x00\xff\t\"\\"], [b"DBSIZE"],
                                     [b"SET", b"k1", b"x" * 40000], [b"MGET"] + KEYS]))
        else:
            words.append(change(rng) if draw < 0.8 else publish(rng))
    words = [w for w in words if w[0] not in (b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE")
             and b"UNSUB" not in w[0]]
    ours, theirs = (monitor_lines(s, words) for s in (tessera, redis))
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
    run.check("monitor", ours == theirs,
              f"line {at}: {ours[at or 0:][:3]!r:.500} is not {theirs[at or 0:][:3]!r:.500}")


def play(run, tessera, redis, seed, count):
    """Sessions of both protocols; `count` commands, as far as time is concerned."""
    for number in range(max(2, count // STEPS_SHARE // SESSION_STEPS)):
        session(run, tessera, redis, seed, number)
        if run.enough:
            return
    monitors(run, tessera, redis, seed)
