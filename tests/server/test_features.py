"""test_features.py: what a client holds over several commands, under load on four cores, with
clients that leave in the middle of it; for builds with sanitizers, true of every build.

Bankers move money between accounts of all cores in transactions, with and without WATCH, auditors
add it up; pushes, moves and blocked pops hand unique elements around; two subscribers of the same
channels compare what they saw. Beside them a crowd does what comes to mind in databases of its own:
queues, watches, waits, subscriptions, MONITOR, CLIENT KILL, PAUSE and UNBLOCK, RESET, SWAPDB, large
arguments; and leaves in the middle of everything. In a round that flushes, bankers also empty
everything (accounts are made anew in the same transaction; what was in the queues is lost then),
and the crowd takes from the queues.

    test_features.py [SECONDS [SEED]]      seconds for each round; FEATURES_SECONDS does the same
"""

import os
import random
import sys
import threading
import time
from collections import Counter

from harness import require
from resp import Closed, Map, Push, encode
from server import BACKENDS, SKIP, Server, backend_works, tessera_path, wait_until

SECONDS_DEFAULT = 4
SHARDS = 4
ACCOUNTS = [b"account:%d" % i for i in range(12)]
START_BALANCE = 1000
QUEUES = [b"queue:%d" % i for i in range(6)]
CHANNELS = [b"channel:%d" % i for i in range(4)]
CROWD_COUNT = 8
# Commands over all cores: in a queue each of them is a round of mail while all shards are closed.
WHOLE_WORDS = (b"FLUSHDB", b"DBSIZE", b"KEYS", b"RANDOMKEY", b"SCAN", b"CONFIG", b"SWAPDB", b"INFO",
               b"PUBSUB", b"SORT", b"SLOWLOG", b"CLIENT")
WAIT_S = 60
REPORTS = ("Sanitizer", "runtime error:", "assertion", "ASSERT", "broken assumption")


class Round:
    """What the threads of one round share."""

    def __init__(self, server, seed, seconds, is_flushing):
        self.server = server
        self.seed = seed
        self.end = time.monotonic() + seconds
        self.is_flushing = is_flushing
        self.problems = []
        self.counts = Counter()
        self.lock = threading.Lock()
        self.crowd_ids = []
        self.pushed = set()
        self.popped = Counter()
        self.is_over = threading.Event()
        self.heard = [{channel: [] for channel in CHANNELS} for _ in range(2)]

    def running(self):
        return time.monotonic() < self.end and not self.problems

    def client(self):
        return self.server.client(timeout_s=WAIT_S)

    def start(self, function, *arguments):
        def body():
            try:
                function(self, random.Random(f"{self.seed}{function.__name__}{arguments}"),
                         *arguments)
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(f"{function.__name__}{arguments}: {error!r}"[:600])
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        return thread


def total(values):
    return sum(int(value) for value in values if value is not None)


def new_accounts():
    return [word for name in ACCOUNTS for word in (name, b"%d" % START_BALANCE)]


def whole_command(rng):
    """A command over all shards, for a queue."""
    return rng.choice(((b"DBSIZE",), (b"CONFIG", b"SET", b"tcp-keepalive", b"100"),
                       (b"RANDOMKEY",), (b"KEYS", b"nothing*"), (b"PUBSUB", b"CHANNELS"),
                       (b"SWAPDB", b"1", b"2"), (b"SCAN", b"0"), (b"INFO", b"clients"),
                       (b"SORT", b"nothing", b"BY", b"w*", b"GET", b"v*")))


def queue_up(client, commands):
    """MULTI, the commands, EXEC: what EXEC replies."""
    replies = client.pipeline([(b"MULTI",), *commands, (b"EXEC",)], timeout_s=WAIT_S)
    for reply in replies[1:-1]:
        require(reply == b"QUEUED", "queued:", reply)
    return replies[-1]


def banker(round_, rng, _index):
    with round_.client() as client:
        while round_.running():
            source, target = rng.sample(ACCOUNTS, 2)
            amount = rng.randrange(1, 20)
            noise = [(b"SET", b"noise:%d" % rng.randrange(20), b"n" * rng.choice((5, 70000)))
                     for _ in range(rng.choice((0, 0, 1, 2)))]
            if rng.random() < 0.1:
                noise.append(whole_command(rng))
            if rng.random() < 0.2:
                noise.append((b"LPUSH", rng.choice(ACCOUNTS), b"wrong type"))
            if round_.is_flushing and rng.random() < 0.02:
                result = queue_up(client, [(b"FLUSHALL",), (b"MSET", *new_accounts())])
                require(result[0] == b"OK" and result[1] == b"OK", "flush:", result)
                continue
            if rng.random() < 0.5:
                result = queue_up(client, [(b"DECRBY", source, b"%d" % amount), *noise,
                                           (b"INCRBY", target, b"%d" % amount)])
                require(isinstance(result, list), "transfer:", result)
                round_.counts["transfers"] += 1
                continue
            client.call(b"WATCH", source, target)
            have = client.call(b"MGET", source, target)
            result = queue_up(client, [(b"SET", source, b"%d" % (int(have[0]) - amount)), *noise,
                                       (b"SET", target, b"%d" % (int(have[1]) + amount))])
            require(result is None or result[0] == b"OK", "watched transfer:", result)
            round_.counts["watched" if result is not None else "dirty"] += 1


def auditor(round_, rng, _index):
    wanted = len(ACCOUNTS) * START_BALANCE
    with round_.client() as client:
        while round_.running():
            kind = rng.randrange(3)
            if kind == 0:
                values = client.call(b"MGET", *ACCOUNTS)
            else:
                whole = [(b"DBSIZE",)] if kind == 2 else []
                values = queue_up(client, [(b"GET", name) for name in ACCOUNTS] + whole)
                values = values[:len(ACCOUNTS)]
            require(total(values) == wanted, "sum", total(values), "of", values)
            round_.counts["audits"] += 1


def producer(round_, rng, index):
    number = 0
    with round_.client() as client:
        while round_.running():
            items = []
            for _ in range(rng.choice((1, 1, 2, 4))):
                number += 1
                pad = b"" if rng.random() < 0.9 else b"x" * rng.choice((300, 70000, 200000))
                items.append(b"%d:%d:%b" % (index, number, pad))
            with round_.lock:
                round_.pushed.update(item[:40] for item in items)
            if rng.random() < 0.5:
                name = rng.choice(QUEUES)
                client.call(rng.choice((b"LPUSH", b"RPUSH")), name, *items)
            else:
                result = queue_up(client, [(b"RPUSH", rng.choice(QUEUES), item) for item in items])
                require(isinstance(result, list), "push:", result)
            round_.counts["pushes"] += len(items)
            if rng.random() < 0.2:
                time.sleep(0.002)


def pop_some(client, rng, timeout_s):
    """Pop by some command: the elements."""
    names = rng.sample(QUEUES, rng.randrange(1, 5))
    kind = rng.randrange(7)
    if kind <= 2:
        got = client.call(rng.choice((b"BLPOP", b"BRPOP")), *names, timeout_s)
        return [] if got is None else [got[1]]
    if kind == 3:
        got = client.call(b"BLMPOP", timeout_s, len(names), *names, b"LEFT", b"COUNT", b"3")
        return [] if got is None else got[1]
    if kind == 4:
        client.call(b"BLMOVE", names[0], rng.choice(QUEUES), b"LEFT", b"RIGHT", timeout_s)
        return []
    if kind == 5:
        client.call(b"BRPOPLPUSH", names[0], rng.choice(QUEUES), timeout_s)
        return []
    got = queue_up(client, [(b"LPOP", name) for name in names] + [(b"BLPOP", *names, b"0")])
    last = got[-1]
    return [one for one in got[:-1] if one is not None] + ([last[1]] if last is not None else [])


def consumer(round_, rng, _index):
    with round_.client() as client:
        idle = 0
        while not round_.problems and (round_.running() or idle < 12):
            items = pop_some(client, rng, rng.choice((b"0.01", b"0.05", b"0.3")))
            if not round_.running():
                idle = 0 if items else idle + 1
            with round_.lock:
                round_.popped.update(item[:40] for item in items)
            round_.counts["pops"] += len(items)


def publisher(round_, rng, index):
    number = 0
    with round_.client() as client:
        while round_.running():
            number += 1
            channel = rng.choice(CHANNELS)
            words = (b"PUBLISH", channel, b"%d:%d" % (index, number))
            if rng.random() < 0.3:
                heard = queue_up(client, [(b"INCR", b"noise:count"), words])[1]
            else:
                heard = client.call(*words)
            require(heard >= 2, "PUBLISH reached", heard)
            round_.counts["messages"] += 1
        for channel in CHANNELS:  # nothing is promised of the order of several channels
            client.call(b"PUBLISH", channel, b"end:%d" % index)


def subscriber(round_, _rng, index, ready):
    heard = round_.heard[index]
    ends = 0
    with round_.client() as client:
        client.call(b"HELLO", b"3")
        client.send(b"SUBSCRIBE", *CHANNELS)
        for _ in CHANNELS:
            client.reply()
        ready.set()
        while ends < 2 * len(CHANNELS) and not round_.problems:
            message = client.reply()
            require(isinstance(message, Push) and message[0] == b"message", message)
            heard[message[1]].append(message[2])
            ends += message[2].startswith(b"end:")


def watcher_of_all(round_, _rng):
    """MONITOR, read to its end."""
    with round_.client() as client:
        client.call(b"MONITOR")
        client.socket.settimeout(0.2)
        while round_.running():
            try:
                if not client.socket.recv(1 << 20):
                    return
            except TimeoutError:
                pass


# ---- the crowd ----

def crowd_request(round_, rng):
    key = b"c:%d" % rng.randrange(30)
    other = b"c:%d" % rng.randrange(30)
    size = rng.choice((10, 10, 10, 300, 70000, 150000))
    wait = rng.choice((b"0.01", b"0.03", b"0.2"))
    ident = b"1"
    if round_.crowd_ids:
        ident = b"%d" % rng.choice(round_.crowd_ids)
    channel = rng.choice(CHANNELS + [b"c:channel"])
    requests = [
        (b"MULTI",), (b"MULTI",), (b"EXEC",), (b"EXEC",), (b"EXEC",), (b"DISCARD",),
        (b"WATCH", key, other), (b"WATCH", key), (b"UNWATCH",),
        (b"SET", key, b"v" * size), (b"SET", key, b"v", b"PX", b"%d" % rng.randrange(1, 20)),
        (b"GET", key), (b"MSET", key, b"x" * size, other, b"y"), (b"MGET", key, other),
        (b"APPEND", key, b"tail"), (b"PEXPIRE", key, b"3"), (b"DEL", key, other),
        (b"RENAME", key, other), (b"COPY", key, other, b"REPLACE"),
        (b"COPY", key, other, b"DB", b"1", b"REPLACE"), (b"MOVE", key, b"2"),
        (b"LPUSH", key, b"e" * size, b"f"), (b"RPUSH", other, b"g" * size), (b"LPOP", key),
        (b"LPUSH", b"l:1", b"e" * size, b"f"), (b"RPUSH", b"l:2", b"g" * size),
        (b"RPUSH", b"l:3", b"g"), (b"RPUSH", b"l:%d" % rng.randrange(4), b"h"),
        (b"BLPOP", key, other, b"l:1", wait), (b"BRPOP", b"l:1", b"l:2", b"l:3", wait),
        (b"BLMOVE", b"l:1", b"l:2", b"LEFT", b"RIGHT", wait),
        (b"BLMOVE", b"l:%d" % rng.randrange(4), b"l:2", b"LEFT", b"RIGHT", wait),
        (b"BLMOVE", b"l:2", b"l:%d" % rng.randrange(4), b"RIGHT", b"LEFT", wait),
        (b"BRPOPLPUSH", key, b"l:3", wait), (b"BLMPOP", wait, b"2", b"l:1", b"l:3", b"RIGHT"),
        (b"BLPOP", b"l:%d" % rng.randrange(4), b"0"),
        (b"ZADD", b"z:1", b"1", key), (b"BZPOPMIN", b"z:1", b"z:2", b"z:3", wait),
        (b"BZMPOP", wait, b"2", b"z:1", b"z:2", b"MAX"), (b"ZADD", b"z:2", b"2", key),
        (b"XADD", b"x:%d" % rng.randrange(3), b"*", b"f", b"v" * size),
        (b"XREAD", b"BLOCK", b"20", b"STREAMS", b"x:0", b"x:1", b"$", b"$"),
        (b"XREAD", b"COUNT", b"2", b"BLOCK", b"20", b"STREAMS", b"x:1", b"x:2", b"0", b"$"),
        (b"XGROUP", b"CREATE", b"x:0", b"g", b"$", b"MKSTREAM"), (b"DEL", b"x:0"),
        (b"XREADGROUP", b"GROUP", b"g", b"me", b"BLOCK", b"20", b"STREAMS", b"x:0", b">"),
        (b"WAIT", b"1", b"5"), (b"SORT", b"l:1", b"BY", b"c:*", b"GET", b"c:*", b"ALPHA"),
        (b"SORT", b"l:1", b"BY", b"c:*", b"ALPHA", b"STORE", key),
        (b"SINTERSTORE", key, other, b"s:1"), (b"SADD", b"s:1", key), (b"SUNION", b"s:1", b"s:2"),
        (b"FLUSHDB",), (b"DBSIZE",), (b"KEYS", b"c:1*"), (b"RANDOMKEY",), (b"SCAN", b"0"),
        (b"CONFIG", b"SET", b"tcp-keepalive", b"100"), (b"SWAPDB", b"1", b"2"),
        (b"CONFIG", b"SET", b"notify-keyspace-events", rng.choice((b"", b"KEA", b"Kl"))),
        (b"SELECT", rng.choice((b"1", b"2"))), (b"INFO",), (b"CLIENT", b"LIST"),
        (b"SUBSCRIBE", channel), (b"UNSUBSCRIBE",), (b"UNSUBSCRIBE", channel),
        (b"PSUBSCRIBE", b"chan*"), (b"PUNSUBSCRIBE",), (b"PSUBSCRIBE", b"__key*"),
        (b"SSUBSCRIBE", b"c:shard"), (b"SUNSUBSCRIBE",), (b"SPUBLISH", b"c:shard", b"m" * size),
        (b"PUBLISH", b"c:channel", b"m" * size), (b"PUBSUB", b"NUMPAT"), (b"PUBSUB", b"CHANNELS"),
        (b"CLIENT", b"UNBLOCK", ident), (b"CLIENT", b"UNBLOCK", ident, b"ERROR"),
        (b"CLIENT", b"TRACKING", b"ON"), (b"CLIENT", b"TRACKING", b"OFF"),
        (b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", b"c:"),
        (b"CLIENT", b"REPLY", rng.choice((b"ON", b"ON", b"OFF", b"SKIP"))),
        (b"NO", b"SUCH"), (b"GET",), (b"SET", key, b"v" * size, b"NONSENSE"),
        (b"HELLO", rng.choice((b"2", b"3"))), (b"HELLO", b"3"), (b"EXEC",),
        (b"SET", key, b"v" * size), (b"SLOWLOG", b"GET"),
        (b"OBJECT", b"ENCODING", key), (b"GETRANGE", key, b"0", b"-1"),
    ]
    draw = rng.randrange(len(requests) + 4)
    if draw < len(requests):
        is_rare = requests[draw][0] in WHOLE_WORDS and rng.random() < 0.7
        return [(b"PING",) if is_rare else requests[draw]]
    rare = [[(b"MONITOR",)], [(b"RESET",), (b"SELECT", b"1")], [(b"QUIT",)],
            [(b"CLIENT", b"KILL", b"ID", ident)],
            [(b"CLIENT", b"PAUSE", b"%d" % rng.randrange(1, 15), rng.choice((b"ALL", b"WRITE")))]]
    if round_.is_flushing and rng.random() < 0.3:
        return [(b"BLPOP", *QUEUES, b"0.02")]
    return rare[rng.randrange(len(rare))] if rng.random() < 0.5 else [(b"PING",)]


def crowd(round_, rng, _index):
    """Connections that are used for a while and left in the middle of whatever it is."""
    while round_.running():
        try:
            with round_.client() as client:
                client.call(b"SELECT", rng.choice((b"1", b"2")))
                ident = client.call(b"CLIENT", b"ID")
                round_.crowd_ids.append(ident)
                del round_.crowd_ids[:-12]
                for _ in range(rng.randrange(1, 12)):
                    requests = [one for _ in range(rng.choice((1, 3, 10, 40)))
                                for one in crowd_request(round_, rng)]
                    data = b"".join(encode(*words) for words in requests)
                    if rng.random() < 0.05:
                        data = data[:rng.randrange(len(data))]
                    client.socket.settimeout(0.5)
                    client.send_raw(data)
                    listen(client, rng.choice((0, 0.001, 0.02)))
                round_.counts["crowd"] += 1
        except (Closed, OSError):
            pass


def listen(client, timeout_s):
    client.socket.settimeout(timeout_s)
    try:
        while client.socket.recv(1 << 20):
            pass
        raise Closed
    except (BlockingIOError, TimeoutError):
        pass


# ---- stories: what has once gone wrong ----

def large_behind_exec(server):
    """A large request that waits for an EXEC sees the session as the EXEC leaves it."""
    for number in range(5):
        with server.client(timeout_s=WAIT_S) as client:
            name = b"large:%d" % number
            replies = client.pipeline([(b"MULTI",), *((b"SET", key, b"1") for key in QUEUES),
                                       (b"SELECT", b"1"), (b"HELLO", b"3"), (b"EXEC",),
                                       (b"SET", name, b"b" * 70000), (b"HGETALL", b"h" * 70000)],
                                      timeout_s=WAIT_S)
            require(replies[-1].__class__ is Map, "HGETALL in RESP3:", replies[-1])
            require(client.call(b"STRLEN", name) == 70000, "the value is in another database")
            require(client.call(b"DEL", name) == 1)
            client.call(b"SELECT", b"0")
            require(client.call(b"EXISTS", name) == 0, "the value is in database 0")
            require(client.call(b"DEL", *QUEUES) == len(QUEUES))


def large_sort(server):
    """A SORT that grows keeps its large arguments."""
    with server.client(timeout_s=WAIT_S) as client:
        client.call(b"RPUSH", b"sorted", b"1", b"2", b"3")
        client.call(b"MSET", b"w1", b"3", b"w2", b"2", b"w3", b"1")
        require(client.call(b"SORT", b"sorted", b"BY", b"w*", b"GET", b"x" * 70000 + b"*", b"GET",
                            b"#") == [None, b"3", None, b"2", None, b"1"])
        require(client.call(b"SORT", b"sorted", b"BY", b"w*", b"STORE", b"y" * 70000) == 3)
        require(client.call(b"DEL", b"y" * 70000, b"sorted", b"w1", b"w2", b"w3") == 5)


def swap_wakes(server):
    """SWAPDB inside EXEC serves those who wait."""
    with server.client(timeout_s=WAIT_S) as one, server.client(timeout_s=WAIT_S) as other:
        other.pipeline([(b"SELECT", b"1"), (b"RPUSH", b"swapped", b"x"), (b"SELECT", b"0")])
        one.send(b"BLPOP", b"swapped", b"0")
        wait_until(lambda: server.info("clients")["blocked_clients"] == "1", WAIT_S, "a wait")
        require(queue_up(other, [(b"SWAPDB", b"0", b"1")]) == [b"OK"])
        require(one.reply() == [b"swapped", b"x"])


# ---- rounds ----

def run_round(server, seed, seconds, is_flushing):
    round_ = Round(server, seed, seconds, is_flushing)
    server.call(b"MSET", *new_accounts())
    ready = [threading.Event() for _ in range(2)]
    threads = [round_.start(subscriber, index, ready[index]) for index in range(2)]
    for event in ready:
        require(event.wait(WAIT_S), "no subscription")
    for function, count in ((banker, 4), (auditor, 2), (producer, 2), (consumer, 4),
                            (publisher, 2), (crowd, CROWD_COUNT)):
        threads += [round_.start(function, index) for index in range(count)]
    threads.append(round_.start(watcher_of_all))
    for thread in threads:
        thread.join(max(1, round_.end - time.monotonic()) + 2 * WAIT_S)
        if thread.is_alive():
            round_.problems.append(f"hangs: {thread}")
            break
    require(not round_.problems, round_.problems[:4])
    check_queues(round_)
    for channel, messages in round_.heard[0].items():
        require(messages == round_.heard[1][channel], "subscribers saw different orders:",
                messages[-5:], round_.heard[1][channel][-5:])
        for index in range(2):
            numbers = [int(one.split(b":")[1]) for one in messages
                       if one.startswith(b"%d:" % index)]
            require(numbers == sorted(set(numbers)), "messages out of order")
    return dict(round_.counts)


def check_queues(round_):
    twice = [item for item, count in round_.popped.items() if count > 1]
    require(not twice, "popped twice:", twice[:3])
    strangers = [item for item in round_.popped if item not in round_.pushed]
    require(not strangers, "never pushed:", strangers[:3])
    if round_.is_flushing:
        return
    with round_.client() as client:
        left = Counter(item[:40] for name in QUEUES for item in client.call(b"LRANGE", name, 0, -1))
    round_.popped.update(left)
    lost = [item for item in round_.pushed if round_.popped[item] != 1]
    require(not lost, len(lost), "lost:", lost[:3])


def ends_in_order(server, seed):
    """SHUTDOWN while clients wait, queue and watch."""
    rng = random.Random(seed)
    round_ = Round(server, seed, 1, False)
    clients = [server.client() for _ in range(20)]
    for client in clients:
        requests = [one for _ in range(20) for one in crowd_request(round_, rng)]
        client.send_raw(encode(b"SELECT", b"1") + b"".join(encode(*words) for words in requests))
    with server.client() as client:
        client.send(b"SHUTDOWN", b"NOSAVE")
        require(client.closed_within(WAIT_S), "the connection of SHUTDOWN stays open")
    code = server.wait_exit(WAIT_S)
    for client in clients:
        client.close()
    log = server.log()
    require(not any(report in log for report in REPORTS), log[:8000])
    require(code == 0, "exit code", code, log[-4000:])


def load(path, backend, seed, seconds, is_flushing):
    with Server(path, shards=SHARDS, backend=backend) as server:
        try:
            large_behind_exec(server)
            large_sort(server)
            swap_wakes(server)
            counts = run_round(server, seed, seconds, is_flushing)
        except Exception as error:
            log = server.log()
            raise RuntimeError(f"{error}\n{log[:200]}...\n{log[-9000:]}") from error
        require(server.alive(), server.log()[-8000:])
        ends_in_order(server, seed)
        return counts


def main():
    path = tessera_path()
    if path is None:
        print("skipped: no tessera-server")
        return SKIP
    seconds = float(sys.argv[1] if len(sys.argv) > 1 else
                    os.environ.get("FEATURES_SECONDS", SECONDS_DEFAULT))
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    passed = failed = 0
    for backend in os.environ.get("FEATURES_BACKENDS", " ".join(BACKENDS)).split():
        if not backend_works(path, backend):
            print(f"io-backend {backend} does not work on this machine: left out")
            continue
        for is_flushing in (False, True):
            name = f"{backend}, seed {seed}{', flushing' if is_flushing else ''}"
            try:
                print(f"{name}: {load(path, backend, seed, seconds, is_flushing)}", flush=True)
                passed += 1
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                print(f"{name}: FAILED {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
