"""durability_model.py: what one client's databases hold, in Python, and what may be left of it.

A client of the kill loops has two databases for itself. It tells the model what was acknowledged;
what was in flight when the server died may be there or not, command by command, but a command that
touches what an earlier one has touched is there only with it, and none is there in part:

    acknowledged ──▶ Model ──┬─ + some of what was in flight, in order ──▶ one must equal the server
                             └─ + ...

Commands are made here too, by a seeded generator: it knows which keys hold what, so that each of
them succeeds and has one outcome only.
"""

import copy

LONG_AGO_MS = 1
FAR_MS = 4_000_000_000_000
SIZES = (0, 1, 8, 8, 8, 8, 8, 60, 60, 500, 3000, 70000)
NAMES = 9  # keys of each type
ALL = object()  # touches whatever there is in a database


class Op:
    """One thing that happens wholly or not at all: a command, or a MULTI with its commands."""

    def __init__(self, db, commands, is_multi=False):
        self.db = db
        self.commands = commands
        self.is_multi = is_multi

    def requests(self):
        if not self.is_multi:
            return list(self.commands)
        return [(b"MULTI",), *self.commands, (b"EXEC",)]

    def touched(self, pair):
        """Pairs (database, key), ALL for a database's whole."""
        touched = set()
        for words in self.commands:
            name = words[0]
            if name == b"FLUSHDB":
                touched.add((self.db, ALL))
            elif name == b"SWAPDB":
                touched |= {(db, ALL) for db in pair}
            else:
                touched |= {(self.db, key) for key in keys_of(words)}
                if name in (b"MOVE", b"COPY"):
                    touched |= {(db, key) for db in pair for key in keys_of(words)}
        return touched

    def __repr__(self):
        texts = [b" ".join(word[:40] for word in words).decode("latin-1")
                 for words in self.commands]
        return f"db {self.db}: {'MULTI ' if self.is_multi else ''}{'; '.join(texts)}"


def keys_of(words):
    name = words[0]
    if name in (b"MSET",):
        return words[1::2]
    if name in (b"DEL", b"UNLINK", b"SUNIONSTORE"):
        return words[1:]
    if name in (b"RENAME", b"LMOVE", b"SMOVE", b"COPY"):
        return words[1:3]
    if name == b"ZUNIONSTORE":
        return (words[1], *words[3:])
    return words[1:2]


def do_overlap(left, right):
    for db, key in left:
        if (db, ALL) in right or (db, key) in right:
            return True
        if key is ALL and any(other == db for other, _ in right):
            return True
    return False


class Model:
    """Two databases: key -> [type, value, deadline in ms or None]."""

    def __init__(self, pair):
        self.pair = pair
        self.dbs = {db: {} for db in pair}

    def clear(self):
        for data in self.dbs.values():
            data.clear()

    def copy(self):
        other = Model(self.pair)
        other.dbs = copy.deepcopy(self.dbs)
        return other

    def apply(self, op):
        for words in op.commands:
            name = words[0].decode().lower()
            getattr(self, "do_" + name)(self.dbs[op.db], op.db, *words[1:])

    # ---- commands ----

    def value(self, data, key, kind, new):
        entry = data.get(key)
        if entry is None:
            entry = data[key] = [kind, new, None]
        return entry

    @staticmethod
    def drop_if_empty(data, key):
        if not data[key][1]:
            del data[key]

    def do_set(self, data, _db, key, value, *rest):
        data[key] = ["string", value, int(rest[1]) if rest else None]

    def do_mset(self, data, _db, *words):
        for key, value in zip(words[::2], words[1::2]):
            data[key] = ["string", value, None]

    def do_append(self, data, _db, key, value):
        self.value(data, key, "string", b"")[1] += value

    def do_setrange(self, data, _db, key, offset, value):
        entry = self.value(data, key, "string", b"")
        old = entry[1].ljust(int(offset), b"\0")
        entry[1] = old[:int(offset)] + value + old[int(offset) + len(value):]

    def do_incrby(self, data, _db, key, amount):
        entry = self.value(data, key, "string", b"0")
        entry[1] = b"%d" % (int(entry[1]) + int(amount))

    def do_incr(self, data, db, key):
        self.do_incrby(data, db, key, 1)

    def do_rpush(self, data, _db, key, *items):
        self.value(data, key, "list", [])[1].extend(items)

    def do_lpush(self, data, _db, key, *items):
        for item in items:
            self.value(data, key, "list", [])[1].insert(0, item)

    def do_lpop(self, data, _db, key, count=b"1"):
        if key in data:
            del data[key][1][:int(count)]
            self.drop_if_empty(data, key)

    def do_rpop(self, data, _db, key):
        if key in data:
            data[key][1].pop()
            self.drop_if_empty(data, key)

    def do_ltrim(self, data, _db, key, _first, last):
        if key in data:
            del data[key][1][int(last) + 1:]

    def do_lmove(self, data, _db, source, target, where, whither):
        if source not in data:
            return
        items = data[source][1]
        item = items.pop(0 if where == b"LEFT" else -1)
        if not items and source != target:
            del data[source]
        to = self.value(data, target, "list", [])[1]
        to.insert(0 if whither == b"LEFT" else len(to), item)

    def do_hset(self, data, _db, key, *words):
        self.value(data, key, "hash", {})[1].update(zip(words[::2], words[1::2]))

    def do_hincrby(self, data, _db, key, field, amount):
        fields = self.value(data, key, "hash", {})[1]
        fields[field] = b"%d" % (int(fields.get(field, 0)) + int(amount))

    def do_hdel(self, data, _db, key, *fields):
        if key in data:
            for field in fields:
                data[key][1].pop(field, None)
            self.drop_if_empty(data, key)

    def do_sadd(self, data, _db, key, *members):
        self.value(data, key, "set", set())[1].update(members)

    def do_srem(self, data, _db, key, *members):
        if key in data:
            data[key][1].difference_update(members)
            self.drop_if_empty(data, key)

    def do_smove(self, data, _db, source, target, member):
        if source in data and member in data[source][1]:
            data[source][1].remove(member)
            self.value(data, target, "set", set())[1].add(member)
            if source in data:
                self.drop_if_empty(data, source)

    def store(self, data, key, kind, value):
        data.pop(key, None)
        if value:
            data[key] = [kind, value, None]

    def do_sunionstore(self, data, _db, target, *sources):
        sets = [data[key][1] for key in sources if key in data]
        self.store(data, target, "set", set().union(*sets))

    def do_zadd(self, data, _db, key, *words):
        scores = self.value(data, key, "zset", {})[1]
        scores.update((member, int(score)) for score, member in zip(words[::2], words[1::2]))

    def do_zincrby(self, data, _db, key, amount, member):
        scores = self.value(data, key, "zset", {})[1]
        scores[member] = scores.get(member, 0) + int(amount)

    def do_zrem(self, data, _db, key, *members):
        if key in data:
            for member in members:
                data[key][1].pop(member, None)
            self.drop_if_empty(data, key)

    def do_zpopmin(self, data, _db, key):
        if key in data:
            scores = data[key][1]
            del scores[min(scores, key=lambda member: (scores[member], member))]
            self.drop_if_empty(data, key)

    def do_zunionstore(self, data, _db, target, _count, *sources):
        sums = {}
        for key in sources:
            for member, score in data.get(key, (0, {}))[1].items():
                sums[member] = sums.get(member, 0) + score
        self.store(data, target, "zset", sums)

    def do_xadd(self, data, _db, key, number, *fields):
        self.value(data, key, "stream", [])[1].append((number, list(fields)))

    def do_xtrim(self, data, _db, key, _maxlen, count):
        if key in data:
            items = data[key][1]
            del items[:max(0, len(items) - int(count))]

    def do_del(self, data, _db, *keys):
        for key in keys:
            data.pop(key, None)

    do_unlink = do_del

    def do_rename(self, data, _db, source, target):
        entry = data.pop(source)
        data[target] = entry

    def do_copy(self, data, _db, source, target, *words):
        to = self.dbs[int(words[1])]
        if source in data:
            to[target] = copy.deepcopy(data[source])

    def do_move(self, data, _db, key, db):
        to = self.dbs[int(db)]
        if key in data and key not in to:
            to[key] = data.pop(key)

    def do_pexpireat(self, data, db, key, deadline_ms):
        if key in data:
            if int(deadline_ms) == LONG_AGO_MS:
                self.do_del(data, db, key)
            else:
                data[key][2] = int(deadline_ms)

    def do_persist(self, data, _db, key):
        if key in data:
            data[key][2] = None

    def do_flushdb(self, data, _db):
        data.clear()

    def do_swapdb(self, _data, _db, one, other):
        one, other = int(one), int(other)
        self.dbs[one], self.dbs[other] = self.dbs[other], self.dbs[one]


# ---- making commands ----

class Maker:
    """Commands of one client that all succeed on its model; `rng` decides all."""

    def __init__(self, rng, pair, tag):
        self.rng = rng
        self.pair = pair
        self.tag = tag
        self.number = 0

    def key(self, kind):
        return b"%b:%b:%d" % (kind, self.tag, self.rng.randrange(NAMES))

    def text(self):
        self.number += 1
        size = self.rng.choice(SIZES)
        return (b"%d." % self.number).ljust(size, b"%c" % (97 + self.number % 26))

    def small(self):
        self.number += 1
        return b"%d" % self.number

    def member(self):
        return b"m%d" % self.rng.randrange(40)

    def simple(self, now_ms):
        """One command, of any type, that needs nothing to be there."""
        rng, key, small, member = self.rng, self.key, self.small, self.member
        choices = (
            lambda: (b"SET", key(b"s"), self.text()),
            lambda: (b"SET", key(b"s"), self.text(), b"PXAT", b"%d" % (FAR_MS + rng.randrange(99))),
            lambda: (b"SET", b"e:%b:%b" % (self.tag, small()), b"soon over", b"PXAT",
                     b"%d" % (now_ms + rng.randrange(1, 3000))),
            lambda: (b"APPEND", key(b"s"), small()),
            lambda: (b"SETRANGE", key(b"s"), b"%d" % rng.randrange(40), small()),
            lambda: (b"INCR", key(b"n")),
            lambda: (b"INCRBY", key(b"n"), b"%d" % rng.randrange(-99, 99)),
            lambda: (b"MSET", *(word for _ in range(rng.randrange(2, 6))
                                for word in (key(b"s"), self.text()))),
            lambda: (rng.choice((b"RPUSH", b"LPUSH")), key(b"l"), small(), small()),
            lambda: (b"LPOP", key(b"l"), b"%d" % rng.randrange(1, 4)),
            lambda: (b"RPOP", key(b"l")),
            lambda: (b"LTRIM", key(b"l"), b"0", b"200"),
            lambda: (b"LMOVE", key(b"l"), key(b"l"), rng.choice((b"LEFT", b"RIGHT")),
                     rng.choice((b"LEFT", b"RIGHT"))),
            lambda: (b"LMOVE", key(b"l"), key(b"l"), b"LEFT", b"RIGHT"),
            lambda: (b"HSET", key(b"h"), member(), self.text(), member(), small()),
            lambda: (b"HINCRBY", b"i" + key(b"h"), member(), b"%d" % rng.randrange(99)),
            lambda: (b"HDEL", key(b"h"), member(), member()),
            lambda: (b"SADD", key(b"t"), member(), b"%d" % rng.randrange(300)),
            lambda: (b"SREM", key(b"t"), member()),
            lambda: (b"SMOVE", key(b"t"), key(b"t"), member()),
            lambda: (b"SUNIONSTORE", key(b"t"), key(b"t"), key(b"t")),
            lambda: (b"ZADD", key(b"z"), b"%d" % rng.randrange(99), member(),
                     b"%d" % rng.randrange(99), member()),
            lambda: (b"ZINCRBY", key(b"z"), b"%d" % rng.randrange(9), member()),
            lambda: (b"ZREM", key(b"z"), member()),
            lambda: (b"ZPOPMIN", key(b"z")),
            lambda: (b"ZUNIONSTORE", key(b"z"), b"2", key(b"z"), key(b"z")),
            lambda: (b"XADD", key(b"x"), b"%b-1" % small(), b"f", self.small()),
            lambda: (b"XTRIM", key(b"x"), b"MAXLEN", b"%d" % rng.randrange(50)),
            lambda: (b"DEL", key(b"s"), key(b"l"), key(b"h")),
            lambda: (b"UNLINK", key(b"t"), key(b"z"), key(b"n")),
            lambda: (b"PEXPIREAT", key(rng.choice((b"s", b"l", b"h"))),
                     b"%d" % (FAR_MS + rng.randrange(99))),
            lambda: (b"PEXPIREAT", key(b"s"), b"%d" % LONG_AGO_MS),
            lambda: (b"PERSIST", key(rng.choice((b"s", b"l", b"h")))),
            lambda: (b"COPY", *[key(b"h")] * 2, b"DB", b"%d" % rng.choice(self.pair), b"REPLACE"),
            lambda: (b"MOVE", key(rng.choice((b"s", b"l", b"z"))), None),
        )
        return rng.choice(choices)()

    def command(self, model, db, now_ms):
        """One command that succeeds in this state of the database, or None."""
        rng = self.rng
        if rng.random() < 0.05:
            names = [name for name in model.dbs[db] if name[:2] in (b"s:", b"l:", b"z:")]
            if not names:
                return None
            source = rng.choice(names)
            return (b"RENAME", source, self.key(source[:1]))
        words = self.simple(now_ms)
        if words[0] == b"MOVE":
            return (b"MOVE", words[1], b"%d" % self.other(db))
        if words[0] == b"COPY" and int(words[4]) == db:
            return None
        return words

    def other(self, db):
        return self.pair[1] if db == self.pair[0] else self.pair[0]

    def whole(self):
        """A command over a whole database."""
        if self.rng.random() < 0.6:
            return (b"FLUSHDB",)
        return (b"SWAPDB", b"%d" % self.pair[0], b"%d" % self.pair[1])

    def op(self, model, db, now_ms):
        """The next Op; the model is that behind all ops before it, and has had this one applied
        when it comes back."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.004:
            op = Op(db, [self.whole()])
            model.apply(op)
            return op
        count = 1 if chance < 0.75 else rng.randrange(2, 7)
        commands = []
        for index in range(count):
            words = None
            if count > 1 and index > 0 and rng.random() < 0.006:
                words = self.whole()
            while words is None:
                words = self.command(model, db, now_ms)
            commands.append(words)
            model.apply(Op(db, [words]))
        return Op(db, commands, is_multi=count > 1)


# ---- what the server has ----

READS = {b"string": (b"GET",), b"list": (b"LRANGE", b"0", b"-1"), b"hash": (b"HGETALL",),
         b"set": (b"SMEMBERS",), b"zset": (b"ZRANGE", b"0", b"-1", b"WITHSCORES"),
         b"stream": (b"XRANGE", b"-", b"+")}


def value_of(kind, reply):
    """A reply as the model keeps it."""
    if kind == b"string":
        return bytes(reply)
    if kind == b"list":
        return list(reply)
    if kind == b"set":
        return set(reply)
    if kind == b"hash":
        return dict(zip(reply[::2], reply[1::2]))
    if kind == b"zset":
        return {member: int(score) for member, score in zip(reply[::2], reply[1::2])}
    return [(bytes(number), list(fields)) for number, fields in reply]


def read_all(client, db):
    """What a database holds, as the model has it."""
    client.call("SELECT", db)
    names = client.call("KEYS", "*")
    kinds = client.pipeline([(b"TYPE", name) for name in names])
    kinds = [bytes(kind) for kind in kinds]
    pairs = [(name, kind) for name, kind in zip(names, kinds) if kind != b"none"]
    replies = client.pipeline([(READS[kind][0], name, *READS[kind][1:]) for name, kind in pairs]
                              + [(b"PEXPIRETIME", name) for name, _ in pairs], timeout_s=60)
    values, deadlines = replies[:len(pairs)], replies[len(pairs):]
    data = {}
    for (name, kind), value, deadline in zip(pairs, values, deadlines):
        if value is None or deadline == -2:
            continue  # over meanwhile
        data[bytes(name)] = [kind.decode(), value_of(kind, value),
                             None if deadline == -1 else deadline]
    return data


def differences(expected, found, before_ms, now_ms):
    """What is not so, as a list of texts; what was over by the clock `before_ms` must be gone, what
    is not over `now_ms` must be there."""
    texts = []
    for name in expected.keys() | found.keys():
        wanted, got = expected.get(name), found.get(name)
        if wanted == got:
            if wanted[2] is not None and wanted[2] <= before_ms:
                texts.append(f"{name}: over since {before_ms - wanted[2]} ms, yet there")
            continue
        if got is None and wanted[2] is not None and wanted[2] <= now_ms:
            continue
        texts.append(f"{name}: expected {repr(wanted)[:300]}, found {repr(got)[:300]}")
    return texts


def branches(model, in_flight):
    """Models of what may be there: with each set of ops in flight that is closed towards the past.
    The model itself, with none of them, comes first; then that with all of them."""
    touched = [op.touched(model.pair) for op in in_flight]
    needs = [[i for i in range(j) if do_overlap(touched[i], touched[j])]
             for j in range(len(in_flight))]
    count = len(in_flight)
    masks = [0, (1 << count) - 1, *range(1, (1 << count) - 1)]
    for mask in dict.fromkeys(masks):
        chosen = [j for j in range(count) if mask >> j & 1]
        if all(mask >> i & 1 for j in chosen for i in needs[j]):
            branch = model.copy() if chosen else model
            for j in chosen:
                branch.apply(in_flight[j])
            yield chosen, branch
