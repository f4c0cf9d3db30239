"""durability_load.py: clients that know what a server has promised them.

Writers have two databases each and a model of them (durability_model.py). The shared database holds
what several clients change at once, in transactions over all cores, so that what must be true of it
is known whatever came first:

    accounts   money goes from one to another: the sum stays
    triples    three keys on different cores, always written together: equal
    tokens     elements that wander between lists, between sets, between names: each once
    counters   at least what was acknowledged, at most what was sent
    logs       RPUSH of numbered entries: each acknowledged one, in order for each client
    pool       SADD and SPOP: what was added and not popped

In a life that flushes, FLUSHALL (alone, or with new accounts in one MULTI) comes in between and
there are no writers and no tokens.
"""

import random
import threading
import time
from collections import Counter, deque

from durability_model import Maker, Model, branches, differences, read_all
from resp import Closed, Error, encode

SHARED_DB = 0
WRITER_COUNT = 3
SHARER_COUNT = 3
ACCOUNTS = [b"account:%d" % i for i in range(8)]
BALANCE = 1000
TRIPLES = [[b"triple:%d:%c" % (i, c) for c in b"abc"] for i in range(4)]
QUEUES = [b"queue:%d" % i for i in range(5)]
CREWS = [b"crew:%d" % i for i in range(4)]
PLACES = range(5)
TOKENS = [b"token%d" % i for i in range(12)]
COUNTERS = [b"counter:%d" % i for i in range(4)]
LOGS = [b"log:%d" % i for i in range(4)]
POOLS = [b"pool:%d" % i for i in range(2)]
DEPTH_MAX = 6
HISTORY_COUNT = 40
WAIT_S = 20


class Broken(Exception):
    """The server did not keep its word; the text says what about."""


class Writer:
    """A client with databases of its own."""

    def __init__(self, index, seed):
        self.pair = (1 + 2 * index, 2 + 2 * index)
        self.acked = Model(self.pair)
        self.ahead = Model(self.pair)
        self.in_flight = []
        self.history = deque(maxlen=HISTORY_COUNT)
        self.rng = random.Random(f"{seed}writer{index}")
        self.maker = Maker(self.rng, self.pair, b"%d" % index)

    def run(self, run):
        with run.client() as client:
            db = None
            while run.running():
                db = self.batch(client, db, run)

    def batch(self, client, db, run):
        payload = []
        if db is None or self.rng.random() < 0.05:
            db = self.rng.choice(self.pair)
            payload.append(encode(b"SELECT", b"%d" % db))
        is_selecting = bool(payload)
        ops = [self.maker.op(self.ahead, db, int(time.time() * 1000))
               for _ in range(self.rng.randrange(1, DEPTH_MAX + 1))]
        payload += [encode(*words) for op in ops for words in op.requests()]
        self.in_flight = ops[:]
        client.send_raw(b"".join(payload))
        if is_selecting:
            client.reply()
        for op in ops:
            replies = [client.reply() for _ in op.requests()]
            last = replies[-1] if op.is_multi else replies
            if isinstance(last, Error) or any(isinstance(reply, Error)
                                              for reply in [*replies, *(last or ())]):
                raise Broken(f"{op}: {replies}")
            self.acked.apply(op)
            self.history.append(op)
            self.in_flight.pop(0)
            run.counts["written"] += 1
        return db

    def check(self, client):
        """What the server has now is what was acknowledged, and what else may be there. Goes on
        from what is there."""
        before_ms = int(time.time() * 1000)
        found = {db: read_all(client, db) for db in self.pair}
        now_ms = int(time.time() * 1000) + 1
        reports = []
        for chosen, branch in branches(self.acked, self.in_flight):
            wrong = [f"db {db}: {text}" for db in self.pair
                     for text in differences(branch.dbs[db], found[db], before_ms, now_ms)]
            if not wrong:
                self.adopt(branch, now_ms)
                return
            reports.append((len(wrong), chosen, wrong))
        reports.sort(key=lambda report: report[0])
        _, chosen, wrong = reports[0]
        raise Broken(f"writer {self.pair}: nearest with {chosen} of what was in flight:\n  " +
                     "\n  ".join(wrong[:8]) + "\n acknowledged last:\n  " +
                     "\n  ".join(map(repr, self.history)) + "\n in flight:\n  " +
                     "\n  ".join(map(repr, self.in_flight)))

    def adopt(self, model, now_ms):
        for data in model.dbs.values():
            for name in [name for name, entry in data.items()
                         if entry[2] is not None and entry[2] <= now_ms]:
                del data[name]
        self.acked = model
        self.ahead = model.copy()
        self.in_flight = []

    def learn(self, client):
        """Take what is there for the truth."""
        model = Model(self.pair)
        for db in self.pair:
            model.dbs[db] = read_all(client, db)
        self.adopt(model, int(time.time() * 1000))


class Shared:
    """What must be true of the shared database."""

    def __init__(self, is_flushing):
        self.is_flushing = is_flushing
        self.lock = threading.Lock()
        self.next_value = 1
        self.forget()
        self.counts_base = Counter()
        self.log_base = {name: [] for name in LOGS}
        self.pool_base = {name: set() for name in POOLS}

    def forget(self):
        """What was sent and acknowledged since the last check."""
        self.sent = Counter()
        self.acked = Counter()
        self.triple_acks = [{} for _ in TRIPLES]  # value -> when acknowledged
        self.triple_sent = [set() for _ in TRIPLES]
        self.triple_floor = [0.0] * len(TRIPLES)  # latest start of an acknowledged write
        self.log_acked = {name: [] for name in LOGS}
        self.log_sent = {name: set() for name in LOGS}
        self.pool_added = {name: set() for name in POOLS}
        self.pool_sent = {name: set() for name in POOLS}
        self.pool_popped = {name: set() for name in POOLS}
        self.pool_pops = Counter()
        self.flush_count = 0  # under way

    def value(self):
        with self.lock:
            self.next_value += 1
            return b"%d" % self.next_value

    def create(self, client):
        client.call("MSET", *self.new_accounts())
        if not self.is_flushing:
            for index, token in enumerate(TOKENS):
                client.call("RPUSH", QUEUES[index % len(QUEUES)], token)
                client.call("SADD", CREWS[index % len(CREWS)], token)
                client.call("SET", b"place:%b:0" % token, token)

    @staticmethod
    def new_accounts():
        return [word for name in ACCOUNTS for word in (name, b"%d" % BALANCE)]

    def count(self, counts, name, amount):
        with self.lock:
            counts[name] += amount

    # ---- what clients do ----

    def triple_write(self, index, value, ask):
        """`ask` sends and waits; `value` None: the triple goes with a flush."""
        began = time.monotonic()
        with self.lock:
            self.triple_sent[index].add(value)
        ask()
        with self.lock:
            self.triple_acks[index][value] = time.monotonic()
            self.triple_floor[index] = max(self.triple_floor[index], began)

    def do_triple(self, client, rng):
        index = rng.randrange(len(TRIPLES))
        value = self.value()
        names = TRIPLES[index][:]
        rng.shuffle(names)
        commands = [(b"SET", name, value) for name in names]
        mset = (b"MSET", *(word for name in names for word in (name, value)))
        self.triple_write(index, value, lambda: queue_up(client, commands)
                          if rng.random() < 0.5 else client.call(*mset))

    def do_transfer(self, client, rng):
        source, target = rng.sample(ACCOUNTS, 2)
        amount = b"%d" % rng.randrange(1, 50)
        counter = rng.choice(COUNTERS)
        commands = [(b"DECRBY", source, amount), (b"INCR", counter), (b"INCRBY", target, amount)]
        if rng.random() < 0.3:
            commands.append((b"SET", b"noise:%d" % rng.randrange(20), b"n" * 40000, b"EX", b"1"))
        rng.shuffle(commands)
        self.count(self.sent, counter, 1)
        if rng.random() < 0.2:
            client.call(b"WATCH", source, target)
        if queue_up(client, commands) is not None:
            self.count(self.acked, counter, 1)

    def do_token(self, client, rng):
        kind = rng.randrange(4)
        sides = rng.choices((b"LEFT", b"RIGHT"), k=2)
        if kind == 0:
            client.call(b"LMOVE", *rng.sample(QUEUES, 2), *sides)
        elif kind == 1:
            client.call(b"BLMOVE", *rng.sample(QUEUES, 2), *sides, b"0.01")
        elif kind == 2:
            client.call(b"SMOVE", *rng.sample(CREWS, 2), rng.choice(TOKENS))
        else:
            token = rng.choice(TOKENS)
            here, there = rng.sample(PLACES, 2)
            client.ask(b"RENAMENX", b"place:%b:%d" % (token, here),
                       b"place:%b:%d" % (token, there))

    def do_counter(self, client, rng):
        counter = rng.choice(COUNTERS)
        count = rng.randrange(1, 8)
        self.count(self.sent, counter, count)
        client.pipeline([(b"INCR", counter)] * count)
        self.count(self.acked, counter, count)

    def do_log(self, client, rng):
        name = rng.choice(LOGS)
        entry = b"%d.%b" % (threading.get_ident(), self.value())
        self.log_sent[name].add(entry)
        client.call(b"RPUSH", name, entry)
        with self.lock:
            self.log_acked[name].append(entry)

    def do_pool(self, client, rng):
        name = rng.choice(POOLS)
        if rng.random() < 0.6:
            members = {self.value() for _ in range(rng.randrange(1, 4))}
            self.pool_sent[name] |= members
            client.call(b"SADD", name, *members)
            with self.lock:
                self.pool_added[name] |= members
            return
        count = rng.randrange(1, 3)
        with self.lock:
            self.pool_pops[name] += count
        popped = client.call(b"SPOP", name, count)
        with self.lock:
            self.pool_pops[name] -= count
            self.pool_popped[name] |= set(popped)

    def do_noise(self, client, rng):
        name = b"noise:%d" % rng.randrange(20)
        client.pipeline([(b"SET", name, b"1", b"PX", b"%d" % rng.randrange(1, 300)),
                         (b"INCRBYFLOAT", name, b"0.25"), (b"EXPIRE", name, b"1"),
                         (b"XADD", b"noisy", b"MAXLEN", b"~", b"50", b"*", b"f", b"v")])

    def do_flush(self, client, rng):
        def ask():
            if rng.random() < 0.5:
                result = queue_up(client, [(rng.choice((b"FLUSHALL", b"FLUSHDB")),),
                                           (b"MSET", *self.new_accounts())])
                if any(isinstance(reply, Error) for reply in result):
                    raise Broken(f"flush: {result}")
            else:
                client.call(b"FLUSHALL")
                client.call(b"MSET", *self.new_accounts())
        began = time.monotonic()
        with self.lock:
            self.flush_count += 1
            for sent in self.triple_sent:
                sent.add(None)
        ask()
        with self.lock:
            self.flush_count -= 1
            for index in range(len(TRIPLES)):
                self.triple_acks[index][None] = time.monotonic()
                self.triple_floor[index] = max(self.triple_floor[index], began)

    def run(self, run, index):
        rng = random.Random(f"{run.seed}sharer{index}")
        things = [self.do_triple, self.do_transfer, self.do_transfer, self.do_noise]
        if not self.is_flushing:
            things += [self.do_token, self.do_token, self.do_log, self.do_pool, self.do_counter]
        with run.client() as client:
            while run.running():
                if self.is_flushing and rng.random() < 0.02:
                    self.do_flush(client, rng)
                else:
                    rng.choice(things)(client, rng)
                run.counts["shared"] += 1

    # ---- what must be there ----

    def check(self, client, is_known=True):
        """`is_known`: what was acknowledged must be there; else only what is true anyhow."""
        client.call("SELECT", SHARED_DB)
        wrong = [*self.wrong_accounts(client), *self.wrong_triples(client, is_known)]
        if not self.is_flushing:
            wrong += self.wrong_tokens(client)
            wrong += self.wrong_counters(client, is_known)
            wrong += self.wrong_logs(client, is_known)
            wrong += self.wrong_pools(client, is_known)
        if wrong:
            raise Broken("shared database:\n  " + "\n  ".join(wrong))
        self.forget()

    def wrong_accounts(self, client):
        balances = [int(value or 0) for value in client.call("MGET", *ACCOUNTS)]
        sums = {len(ACCOUNTS) * BALANCE} | ({0} if self.is_flushing else set())
        if sum(balances) not in sums:
            yield f"money: {balances} is {sum(balances)}"

    def wrong_triples(self, client, is_known):
        for index, names in enumerate(TRIPLES):
            values = client.call("MGET", *names)
            value = values[0]
            if values != [value] * 3:
                yield f"half a transaction: {names} have {values}"
            elif is_known and self.triple_floor[index] > 0:
                if value not in self.triple_sent[index]:
                    yield f"{names} have {value}, older than what was acknowledged"
                elif value is None and self.flush_count > 0:
                    continue
                elif self.triple_acks[index].get(value, 1e30) < self.triple_floor[index]:
                    yield f"{names} have {value}, overwritten by an acknowledged write"

    @staticmethod
    def wrong_tokens(client):
        lists = [item for name in QUEUES for item in client.call("LRANGE", name, 0, -1)]
        crews = [item for name in CREWS for item in client.call("SMEMBERS", name)]
        places = [item for token in TOKENS for item in client.call(
            "MGET", *(b"place:%b:%d" % (token, place) for place in PLACES)) if item]
        for what, found in (("lists", lists), ("sets", crews), ("names", places)):
            if Counter(found) != Counter(TOKENS):
                yield f"tokens in {what}: {sorted(found)}"

    def wrong_counters(self, client, is_known):
        for name in COUNTERS:
            value = int(client.call("GET", name) or 0)
            low = self.counts_base[name] + self.acked[name]
            high = self.counts_base[name] + self.sent[name]
            if is_known and not low <= value <= high:
                yield f"{name} is {value}, not from {low} to {high}"
            self.counts_base[name] = value

    def wrong_logs(self, client, is_known):
        for name in LOGS:
            found = client.call("LRANGE", name, 0, -1)
            base = self.log_base[name]
            new = found[len(base):]
            if is_known:
                if found[:len(base)] != base:
                    yield f"{name}: what was there has changed"
                missing = set(self.log_acked[name]) - set(new)
                if missing:
                    yield f"{name} lacks {sorted(missing)[:5]} of {len(new)}"
                if len(set(new)) != len(new) or not set(new) <= self.log_sent[name]:
                    yield f"{name} has entries twice or out of nowhere"
                for entries in by_client(new).values():
                    if entries != sorted(entries):
                        yield f"{name}: not in order: {entries}"
            self.log_base[name] = found

    def wrong_pools(self, client, is_known):
        for name in POOLS:
            found = set(client.call("SMEMBERS", name))
            base = self.pool_base[name]
            sure = (base | self.pool_added[name]) - self.pool_popped[name]
            missing = sure - found
            if is_known and len(missing) > self.pool_pops[name]:
                yield f"{name} lacks {sorted(missing)[:5]}"
            extra = found - ((base | self.pool_sent[name]) - self.pool_popped[name])
            if is_known and extra:
                yield f"{name} has popped or unknown members: {sorted(extra)[:5]}"
            self.pool_base[name] = found


def by_client(entries):
    """Numbers of the entries for each client."""
    numbers = {}
    for entry in entries:
        who, _, number = entry.partition(b".")
        numbers.setdefault(who, []).append(int(number))
    return numbers


def queue_up(client, commands):
    """MULTI, the commands, EXEC: what EXEC replies."""
    replies = client.pipeline([(b"MULTI",), *commands, (b"EXEC",)], timeout_s=WAIT_S)
    for reply in replies:
        if isinstance(reply, Error):
            raise Broken(f"{commands}: {replies}")
    for reply in replies[-1] or ():
        if isinstance(reply, Error):
            raise Broken(f"{commands}: {replies[-1]}")
    return replies[-1]


class Run:
    """One server's time between its start and its end, with the clients' threads."""

    def __init__(self, server, seed):
        self.server = server
        self.seed = seed
        self.is_over = threading.Event()
        self.problems = []
        self.counts = Counter()
        self.threads = []

    def running(self):
        return not self.is_over.is_set() and not self.problems

    def client(self):
        return self.server.client(timeout_s=WAIT_S)

    def start(self, function, *arguments):
        """Run function(run, *arguments) beside this; the server's end ends it."""
        def body():
            try:
                function(self, *arguments)
            except (Closed, ConnectionError):
                if not self.is_over.is_set():
                    self.is_over.wait(2)  # the one who ends the server may just not have said it
                    if not self.is_over.is_set():
                        self.problems.append("the server closed a connection")
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(f"{type(error).__name__}: {error}"[:3000])
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        self.threads.append(thread)

    def join(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(WAIT_S)
            if thread.is_alive():
                raise Broken("a client hangs")
        if self.problems:
            raise Broken("\n".join(self.problems))
