"""family_blocking.py: sessions with several connections that wait for keys, and transactions.

One connection at a time sends something to both servers. Behind each step every connection that
waits is looked at: who has been answered by redis-server must be answered by us, with the same
bytes, and nobody else. Steps are short, so that a difference names the few that made it. Between two
steps the waits stand at the owners of their keys and the ends of connections are known everywhere
(fence.py), so that both servers see one order.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from fence import Fence, readable  # noqa: E402
from resp import Client, Closed  # noqa: E402

CONNECTIONS = 5
STEPS = 60
STEP_COMMANDS = 12  # a step takes as long as so many commands of other families
PATIENCE_S = 20.0
MOVES = (b"BLMOVE", b"BRPOPLPUSH")
LISTS = [b"l1", b"l2", b"l3", b"{t}l1", b"{t}l2"]
ZSETS = [b"z1", b"z2", b"{t}z"]
STREAMS = [b"s1", b"s2", b"{t}s"]
KEYS = LISTS + ZSETS + STREAMS
WATCHED = [b"l1", b"{t}l1", b"z1", b"n1", b"n2", b"{t}n"]


class Peers:
    """The same connections to both servers."""

    def __init__(self, run, servers):
        self.run = run
        self.servers = servers
        self.history = []
        self.fences = [Fence(server) for server in servers]
        self.clients = [self.connect() for _ in range(CONNECTIONS)]
        self.waiting = {}  # by number: the command's name
        self.is_broken = False

    def connect(self, protocol=2):
        pair = [Client(server.port) for server in self.servers]
        for client in pair:
            if protocol == 3:
                client.call(b"HELLO", b"3")
        ids = [client.call(b"CLIENT", b"ID") for client in pair]
        return pair + [ids]

    def fail(self, text):
        self.is_broken = True
        steps = "\n".join(f"    {step}" for step in self.history[-14:])
        self.run.fail(f"  {text}\n  steps:\n{steps}")

    def settle(self):
        """Whoever waits does so at the owners of its keys. A move between two cores that is offered
        a key in vain begins anew as a transaction, and then the next in the queue is offered it."""
        move_count = sum(name in MOVES for name in self.waiting.values())
        for _ in range(1 + move_count):
            for side, fence in enumerate(self.fences):
                for number in self.waiting:
                    client = self.clients[number]
                    fence.started(client[side], client[2][side])
                fence.round(2)

    def send(self, number, commands):
        """`commands`: lists of words; what is a tuple holds a word for each server."""
        self.history.append(f"connection {number}: {commands}")
        for side in (0, 1):
            for command in commands:
                self.clients[number][side].send(*[
                    word[side] if isinstance(word, tuple) else word for word in command])

    def read(self, number, side):
        try:
            return self.clients[number][side].reply_raw()
        except Closed:
            return b"(closed)"
        except TimeoutError:
            return b"(no reply)"

    def compare(self, number):
        """The next reply of a connection, which redis-server has given."""
        self.clients[number][0].socket.settimeout(PATIENCE_S)
        theirs, ours = self.read(number, 1), self.read(number, 0)
        if ours == theirs:
            self.run.passed += 1
        else:
            self.fail(f"connection {number}: redis-server {theirs!r}, tessera {ours!r}")
        return theirs

    def reconnect(self, number, protocol=2):
        *clients, ids = self.clients[number]
        for client in clients:
            client.close()
        for fence, ident in zip(self.fences, ids):
            fence.gone([ident])
        self.clients[number] = self.connect(protocol)
        self.waiting.pop(number, None)

    def look(self):
        """Who waits, and who does no more."""
        self.settle()
        for number in sorted(self.waiting):
            ours, theirs = self.clients[number][:2]
            while not self.is_broken and readable(theirs):
                self.waiting.pop(number, None)
                if self.compare(number) == b"(closed)":
                    self.reconnect(number)
                    break
            # What redis-server has sent may be a moment on its way.
            if number in self.waiting and readable(ours):
                if readable(theirs, PATIENCE_S):
                    self.waiting.pop(number)
                    self.compare(number)
                else:
                    self.fail(f"connection {number}: tessera {self.read(number, 0)!r}, "
                              "redis-server lets it wait")

    def step(self, number, commands):
        self.send(number, commands)
        for _ in commands:
            if not self.is_broken:
                self.compare(number)
        self.look()

    def step_waiting(self, number, command, has_timeout):
        self.send(number, [command])
        self.waiting[number] = command[0]
        self.look()
        if has_timeout and number in self.waiting and not self.is_broken:
            self.clients[number][1].socket.settimeout(PATIENCE_S)
            self.waiting.pop(number)
            self.compare(number)

    def close(self):
        """Nobody is left who could take from the next session's keys."""
        for *clients, _ in self.clients:
            for client in clients:
                client.close()
        for side, fence in enumerate(self.fences):
            fence.gone([ids[side] for _, _, ids in self.clients])
            fence.call(b"FLUSHALL")
            fence.close()


def some(rng, keys, most=3):
    return [rng.choice(keys) for _ in range(rng.randint(1, most))]


def end(rng):
    return rng.choice((b"LEFT", b"RIGHT"))


def wait_command(rng, timeout):
    """Milliseconds for streams."""
    block = b"%d" % (float(timeout) * 1000)
    lists, zsets, streams = some(rng, LISTS), some(rng, ZSETS), some(rng, STREAMS, 2)
    return rng.choice((
        [rng.choice((b"BLPOP", b"BRPOP"))] + lists + [timeout],
        [rng.choice((b"BLPOP", b"BRPOP"))] + lists + [timeout],
        [b"BLMOVE", rng.choice(LISTS), rng.choice(LISTS), end(rng), end(rng), timeout],
        [b"BRPOPLPUSH", rng.choice(LISTS), rng.choice(LISTS), timeout],
        [b"BLMPOP", timeout, b"%d" % len(lists)] + lists + [end(rng), b"COUNT", b"2"],
        [rng.choice((b"BZPOPMIN", b"BZPOPMAX"))] + zsets + [timeout],
        [b"BZMPOP", timeout, b"%d" % len(zsets)] + zsets + [b"MIN", b"COUNT", b"2"],
        [b"XREAD", b"BLOCK", block, b"STREAMS"] + streams + [b"$"] * len(streams),
        [b"XREADGROUP", b"GROUP", b"g", b"c", b"BLOCK", block, b"STREAMS"] + streams
        + [b">"] * len(streams)))


def change(rng, clock):
    clock[0] += 1
    value = b"v%d" % clock[0]
    return rng.choice((
        [rng.choice((b"RPUSH", b"LPUSH")), rng.choice(LISTS), value],
        [rng.choice((b"RPUSH", b"LPUSH")), rng.choice(LISTS), value, value + b"+"],
        [b"ZADD", rng.choice(ZSETS), b"%d" % rng.randint(0, 9), value],
        [b"XADD", rng.choice(STREAMS), b"%d-1" % clock[0], b"f", value],
        [b"LPOP", rng.choice(LISTS)], [b"DEL", rng.choice(KEYS)],
        [b"XGROUP", b"CREATE", rng.choice(STREAMS), b"g", b"$", b"MKSTREAM"]))


def rare_change(rng):
    source = rng.choice(LISTS)
    return rng.choice((
        [b"RENAME", source, rng.choice(LISTS)], [b"COPY", source, rng.choice(LISTS), b"REPLACE"],
        [b"SORT", source, b"ALPHA", b"STORE", rng.choice(LISTS)], [b"SET", rng.choice(KEYS), b"x"],
        [b"LMOVE", source, rng.choice(LISTS), end(rng), end(rng)], [b"FLUSHALL"],
        [b"XGROUP", b"DESTROY", rng.choice(STREAMS), b"g"], [b"LRANGE", source, b"0", b"-1"],
        [b"UNLINK", source], [b"ZUNIONSTORE", b"z1", b"2", b"z2", b"{t}z"]))


def waiting_step(rng, peers, clock):
    free = [n for n in range(CONNECTIONS) if n not in peers.waiting]
    number = rng.choice(free)
    draw = rng.random()
    if draw < 0.35 and len(free) > 1:
        has_timeout = rng.random() < 0.06
        peers.step_waiting(number, wait_command(rng, b"0.02" if has_timeout else b"0"),
                           has_timeout)
    elif draw < 0.75:
        peers.step(number, [change(rng, clock)])
    elif draw < 0.83:
        peers.step(number, [rare_change(rng)])
    elif draw < 0.90:
        # Keys of different cores are offered in no promised order: one key.
        key = rng.choice(LISTS)
        queue = rng.choice(([[b"RPUSH", key, b"x"], [b"LPOP", key]],
                            [[b"RPUSH", key, b"x", b"y"], [b"DEL", key], [b"RPUSH", key, b"z"]],
                            [[b"SET", key, b"x"], [b"DEL", key], [b"LPUSH", key, b"p", b"q"]],
                            [[b"BLPOP", key, b"0"], [b"BLMOVE", key, key, b"LEFT", b"LEFT", b"0"]]))
        peers.step(number, [[b"MULTI"]] + queue + [[b"EXEC"]])
    elif peers.waiting:
        target = rng.choice(sorted(peers.waiting))
        ids = tuple(b"%d" % i for i in peers.clients[target][2])
        if draw < 0.96:
            command = [b"CLIENT", b"UNBLOCK", ids] + rng.choice(([], [b"TIMEOUT"], [b"ERROR"]))
            peers.step(number, [command])
        elif draw < 0.98:
            peers.step(number, [[b"CLIENT", b"KILL", b"ID", ids]])
        else:
            peers.history.append(f"connection {target}: closed")
            peers.reconnect(target, rng.choice((2, 3)))


def queued(rng):
    key = rng.choice(WATCHED)
    return rng.choice((
        [b"SET", key, b"1"], [b"INCR", key], [b"RPUSH", key, b"a"], [b"ZADD", key, b"1", b"m"],
        [b"GET", key], [b"DEL", key], [b"MGET"] + WATCHED, [b"MSET", b"n1", b"5", b"n2", b"6"],
        [b"DBSIZE"], [b"KEYS", b"n1"], [b"FLUSHDB"], [b"PING"], [b"ECHO", key],
        [b"SELECT", rng.choice((b"0", b"1", b"99"))], [b"BLPOP", key, b"0"], [b"TYPE", key],
        [b"CONFIG", b"GET", b"hash-max-listpack-value"], [b"SCAN", b"0", b"MATCH", b"nothing"],
        [b"RENAME", b"n1", b"{t}n"], [b"WATCH", key], [b"UNWATCH"], [b"MULTI"], [b"GET"],
        [b"EXPIRE", key, b"1000"], [b"NOSUCH", key], [b"WAIT", b"0", b"0"], [b"EXEC", b"x"],
        [b"SWAPDB", b"0", b"1"], [b"RESET"] if rng.random() < 0.1 else [b"PERSIST", key]))


def multi_step(rng, peers):
    number = rng.randrange(CONNECTIONS)
    draw = rng.random()
    if draw < 0.2:
        peers.step(number, [[b"WATCH"] + some(rng, WATCHED)])
    elif draw < 0.5:
        peers.step(number, [[b"MULTI"]])
    elif draw < 0.55:
        peers.step(number, [[b"DISCARD"]])
    elif draw < 0.8:
        count = rng.choice((1, 1, 2, 6))
        peers.step(number, [command for command in (queued(rng) for _ in range(count))
                            if command[0] != b"BLPOP"] or [[b"PING"]])
        if rng.random() < 0.5:
            peers.step(number, [[b"EXEC"]])
    elif draw < 0.9:
        queue = [queued(rng) for _ in range(rng.randint(1, 8))]
        queue = [c for c in queue if c[0] not in (b"RESET", b"EXEC")]
        peers.step(number, [[b"DISCARD"], [b"MULTI"]] + queue + [[b"EXEC"]])
    else:
        peers.step(number, [[b"EXEC"]])


def play(run, tessera, redis, seed, count, is_multi):
    """`count` commands, as far as time is concerned."""
    base = run.where
    for number in range(max(2, count // STEP_COMMANDS // STEPS)):
        rng = random.Random(f"{seed}/{'multi' if is_multi else 'blocking'}/{number}")
        run.where = f"{base} session {number}"
        peers = Peers(run, (tessera, redis))
        for fence in peers.fences:
            fence.call(b"FLUSHALL")
        clock = [0]
        for _ in range(STEPS):
            if is_multi:
                multi_step(rng, peers)
            else:
                waiting_step(rng, peers, clock)
            if peers.is_broken:
                break
        peers.close()
        if run.enough:
            break
    run.where = base
