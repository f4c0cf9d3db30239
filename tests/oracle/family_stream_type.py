"""family_stream_type.py: random commands on streams, their groups and consumers.

(streams.py is something else: raw bytes on a connection.) Ids are small, so that they meet: those
of entries that are there, were deleted, or never were. Streams are short or some thousand entries
long, and the size of their nodes changes with stream-node-max-entries and -bytes, for XTRIM ~ must
cut where redis-server does. `*` is never used where the id shows, since two clocks differ; times of
deliveries and of consumers are compared with tolerance.
"""

from compare import TIME_TOLERANCE_MS, Command, both_errors, kind, parse, same_kind

KEYS = [b"a", b"b", b"k1", b"{t}1", b"{t}2", b"x{y", b"L" * 300]
GROUPS = (b"g1", b"g1", b"g1", b"g2", b"G3", b"", b"g\x00x", b"group with spaces", b"g" * 300)
CONSUMERS = (b"c1", b"c1", b"c2", b"c2", b"c3", b"", b"c\x00x", b"consumer", b"c" * 70)
NODE_ENTRIES = (b"1", b"2", b"3", b"5", b"10", b"100", b"100", b"100", b"0", b"1000")
NODE_BYTES = (b"4096", b"4096", b"4096", b"0", b"1", b"50", b"200", b"1000", b"100000")
IDS_HOSTILE = (b"", b"-", b"+", b"*", b"$", b">", b"0", b"0-0", b"0-1", b"1-", b"-1", b"1-*", b"5-*",
               b"1-1-1", b"a", b"a-1", b"1-a", b"01-1", b"1-01", b"+1", b"+1-1", b" 1-1", b"1 -1",
               b"1- 1", b"1--1", b"1--0", b"1-+3", b"1\x00-5", b"1-1\x00", b"18446744073709551615",
               b"18446744073709551615-18446744073709551615",
               b"18446744073709551615-18446744073709551614", b"18446744073709551616",
               b"0-18446744073709551615", b"9223372036854775807-9223372036854775807",
               b"9223372036854775808-0", b"(1-1", b"((1-1", b"(", b"(-", b"(+", b"(0-0",
               b"(18446744073709551615-18446744073709551615", b"(5", b"1" * 127, b"1" * 128,
               b"0x10", b"1e3", b"1.5", b"-1-1", b"00", b"-0")


# ---- replies with times ----

def near_times(places):
    """The same but for integers at the ends of paths that `places` accepts: those are times."""
    def walk(ours, theirs, path):
        if kind(ours) != kind(theirs):
            return f"{path}: {kind(ours)} is not {kind(theirs)}"
        if isinstance(ours, list):
            ours, theirs = list(ours), list(theirs)
            if len(ours) != len(theirs):
                return f"{path}: {len(ours)} elements are not {len(theirs)}"
            name = None
            for index, (a, b) in enumerate(zip(ours, theirs)):
                problem = walk(a, b, path + ((name, index),))
                if problem:
                    return problem
                name = a if isinstance(a, bytes) else None
            return None
        if isinstance(ours, int) and isinstance(theirs, int) and places(path):
            return None if abs(ours - theirs) <= TIME_TOLERANCE_MS else f"{path}: another time"
        return None if ours == theirs else f"{path}: {ours!r} is not {theirs!r}"

    def check(ours, theirs):
        if both_errors(ours, theirs):
            return "one is an error"
        return walk(flat(parse(ours)), flat(parse(theirs)), ())
    return check


def flat(value):
    """Maps as arrays of names and values."""
    if kind(value) == "Map":
        return [flat(x) for pair in value for x in pair]
    return [flat(x) for x in value] if isinstance(value, list) else value


# [[id, consumer, idle, count] ...]
pending_details = near_times(lambda path: len(path) == 2 and path[-1][1] == 2)
consumers_idle = near_times(lambda path: path[-1][0] == b"idle")


def full_time(path):
    """XINFO STREAM FULL: seen-time, and in the lists of pending entries what is behind the id, or
    behind id and consumer."""
    if path[-1][0] == b"seen-time":
        return True
    lists = [depth for depth, (name, _) in enumerate(path) if name == b"pending"]
    if not lists or lists[-1] != len(path) - 3:
        return False
    is_consumer = any(name == b"consumers" for name, _ in path)
    return path[-1][1] == (1 if is_consumer else 2)


stream_full = near_times(full_time)


# ---- words ----

def stream_key(v):
    return v.choice(KEYS) if v.chance(0.95) else v.key()


def group(v):
    return v.choice(GROUPS)


def consumer(v):
    return v.choice(CONSUMERS)


def small_id(v):
    draw = v.chance_value()
    if draw < 0.5:
        return b"%d-%d" % (v.random.randint(0, 40), v.random.randint(0, 4))
    if draw < 0.7:
        return b"%d" % v.random.randint(0, 60)
    return b"%d-%d" % (v.random.randint(0, 3000), v.random.randint(0, 1))


def entry_id(v):
    return small_id(v) if v.chance(0.95) else v.choice(IDS_HOSTILE)


def ids(v, most=6):
    return [entry_id(v) if v.chance(0.98) else v.value()[:40] for _ in
            range(v.random.randint(1, most))]


def bound(v):
    draw = v.chance_value()
    if draw < 0.15:
        return b"-"
    if draw < 0.3:
        return b"+"
    if draw < 0.45:
        return b"(" + small_id(v)
    return entry_id(v)


def field(v):
    draw = v.chance_value()
    if draw < 0.7:
        return v.choice((b"f1", b"f2", b"name", b"7", b"-1", b""))
    return v.value() if v.chance(0.1) else b"f%d" % v.random.randint(0, 30)


def value(v):
    draw = v.chance_value()
    if draw < 0.4:
        return b"%d" % v.random.randint(-300, 5000)
    if draw < 0.8:
        return v.bytes(v.choice((0, 1, 5, 18, 62, 63, 64, 65, 126, 127, 128, 300)))
    if draw < 0.82:
        return v.bytes(v.choice((4000, 4090, 4095, 4096, 5000)))
    return v.value()


def pairs(v):
    if v.chance(0.7):
        shape = v.choice(((b"f1",), (b"f1", b"f2"), (b"name", b"7")))
        return [word for name in shape for word in (name, value(v))]
    count = v.choice((1, 1, 2, 3, 10))
    return [word for _ in range(count) for word in (field(v), value(v))]


def count(v, most=30):
    return b"%d" % v.random.randint(-1, most) if v.chance(0.93) else v.integer()


def trim(v):
    """MAXLEN or MINID and their kin."""
    word = v.choice((b"MAXLEN", b"MAXLEN", b"MINID"))
    args = [v.case(word)]
    operator = v.choice((b"", b"", b"=", b"~", b"~", b"~"))
    if operator:
        args.append(operator)
    if word == b"MINID":
        args.append(entry_id(v))
    else:
        args.append(b"%d" % v.choice((0, 1, 2, 5, 10, 50, 100, 500, 1000)) if v.chance(0.95)
                    else v.integer())
    if (operator == b"~" and v.chance(0.5)) or v.chance(0.03):
        args += [v.case(b"LIMIT"), b"%d" % v.choice((0, 1, 2, 5, 10, 50, 100, 200, 1000))
                 if v.chance(0.95) else v.integer()]
    return args


# ---- entries ----

def next_ids(v, key, number):
    """XADDs whose ids rise whatever is there: `ms-*` above all that small_id() draws."""
    start = v.random.randint(1, 2500)
    step = v.choice((1, 1, 1, 2, 300))
    for i in range(number):
        form = b"%d-*" if v.chance(0.9) else b"%d-1"
        yield [b"XADD", key, form % (start + i // step)]


def do_xadd(v):
    args = [b"XADD", stream_key(v)]
    if v.chance(0.1):
        args.append(v.case(b"NOMKSTREAM"))
    if v.chance(0.15):
        args += trim(v)
    if v.chance(0.05):
        args.append(v.case(b"NOMKSTREAM"))
    draw = v.chance_value()
    if draw < 0.5:
        args.append(b"%d-*" % v.random.randint(0, 60))
    elif draw < 0.6:
        args.append(b"%d-*" % v.random.randint(0, 3000))
    else:
        args.append(entry_id(v))
    # See do_xadd_now().
    return [b"x" if arg == b"*" else arg for arg in args] + pairs(v)


def do_xadd_many(v):
    key = stream_key(v)
    commands = [[b"DEL", key]] if v.chance(0.5) else []
    shape = v.choice(((b"f1",), (b"f1", b"f2")))
    size = v.choice((1, 3, 18, 50))
    for args in next_ids(v, key, v.choice((5, 20, 101, 150, 300, 600))):
        if v.chance(0.03):
            args += pairs(v)
        else:
            args += [word for name in shape for word in (name, v.bytes(size))]
        commands.append(args)
    return commands + [[b"XLEN", key]]


def do_xadd_now(v):
    """`*`: then the stream goes, since its ids are each server's own."""
    key = stream_key(v)
    return [Command([b"XADD", key, b"*"] + pairs(v), same_kind),
            Command([b"XADD", key, b"*"] + pairs(v), same_kind), [b"DEL", key]]


def do_xlen(v):
    return [b"XLEN", stream_key(v)]


def do_xdel(v):
    return [b"XDEL", stream_key(v)] + ids(v, 12)


def do_xdel_many(v):
    """Much of a stream, in runs, so that nodes go."""
    key = stream_key(v)
    start = v.random.randint(0, 2000)
    return [[b"XDEL", key] + [b"%d-%d" % (start + i, j) for i in range(v.choice((5, 40, 200)))
                              for j in (0, 1)], [b"XLEN", key]]


def do_xtrim(v):
    key = stream_key(v)
    return [[b"XTRIM", key] + trim(v), info(key)]


def do_xsetid(v):
    args = [b"XSETID", stream_key(v), small_id(v) if v.chance(0.4) else
            b"%d-0" % v.random.randint(2900, 3100)]
    if v.chance(0.4):
        args += [v.case(b"ENTRIESADDED"), b"%d" % v.random.randint(0, 2000) if v.chance(0.9)
                 else v.integer()]
    if v.chance(0.4):
        args += [v.case(b"MAXDELETEDID"), entry_id(v)]
    return args


def do_xrange(v):
    args = [v.choice((b"XRANGE", b"XREVRANGE")), stream_key(v), bound(v), bound(v)]
    if v.chance(0.4):
        args += [v.case(b"COUNT"), count(v)]
    return args


def do_xrange_all(v):
    key = stream_key(v)
    return [[b"XRANGE", key, b"-", b"+"], [b"XREVRANGE", key, b"+", b"-", b"COUNT", b"300"]]


def read_streams(v, new):
    keys = [stream_key(v) for _ in range(v.choice((1, 1, 1, 2, 3)))]
    names = [new if v.chance(0.5) else b"0" if v.chance(0.3) else entry_id(v) for _ in keys]
    args = [v.case(b"STREAMS")] + keys + names
    if v.chance(0.02):
        del args[v.random.randrange(len(args))]
    return args


def do_xread(v):
    args = [b"XREAD"]
    if v.chance(0.5):
        args += [v.case(b"COUNT"), count(v)]
    return args + read_streams(v, b"$" if v.chance(0.8) else b">")


def do_xread_words(v):
    """Options that are not there, are too many, or look like others."""
    words = [b"COUNT", b"BLOCK", b"STREAMS", b"GROUP", b"NOACK", b"2", b"g1", b"a", b"0", b"x"]
    name = v.choice((b"XREAD", b"XREADGROUP"))
    args = [name] + [v.choice(words) for _ in range(v.random.randint(3, 8))]
    return None if blocks(args) else args


def do_xread_block(v):
    """BLOCK where something is there, so that nobody waits, or a word is wrong."""
    key = stream_key(v)
    first = [[b"DEL", key], [b"XADD", key, b"5-5", b"f1", b"v"]]
    time = v.choice((b"0", b"1000", b"-1", b"x", b"", b"9223372036854775807", b"1.5"))
    first.append([b"XREAD", b"BLOCK", time, b"STREAMS", key, b"0"])
    return first + [[b"XGROUP", b"CREATE", key, b"g1", b"0"],
                    [b"XREADGROUP", b"GROUP", b"g1", b"c1", b"BLOCK", time, b"STREAMS", key, b">"],
                    [b"XREADGROUP", b"GROUP", b"g1", b"c1", b"BLOCK", time, b"STREAMS", key, b"0"]]


def blocks(args):
    return any(arg.upper() == b"BLOCK" for arg in args)


# ---- groups ----

def do_xgroup_create(v):
    args = [b"XGROUP", v.case(b"CREATE"), stream_key(v), group(v),
            b"$" if v.chance(0.3) else b"0" if v.chance(0.4) else entry_id(v)]
    if v.chance(0.6):
        args.append(v.case(b"MKSTREAM"))
    if v.chance(0.3):
        args += [v.case(b"ENTRIESREAD"), count(v, 500)]
    return args


def do_xgroup_setid(v):
    args = [b"XGROUP", v.case(b"SETID"), stream_key(v), group(v),
            b"$" if v.chance(0.2) else b"0" if v.chance(0.5) else entry_id(v)]
    if v.chance(0.3):
        args += [v.case(b"ENTRIESREAD"), count(v, 500)]
    return args


def do_xgroup_consumer(v):
    return [b"XGROUP", v.choice((b"CREATECONSUMER", b"DELCONSUMER")), stream_key(v), group(v),
            consumer(v)]


def do_xgroup_destroy(v):
    return [b"XGROUP", b"DESTROY", stream_key(v), group(v)]


def do_xgroup_words(v):
    args = [v.choice((b"XGROUP", b"XINFO")),
            v.choice((b"CREATE", b"SETID", b"DESTROY", b"DELCONSUMER", b"STREAM", b"GROUPS",
                      b"CONSUMERS", b"x", b""))]
    words = [b"a", b"g1", b"0", b"c1", b"MKSTREAM", b"ENTRIESREAD", b"5", b"FULL", b"COUNT", b"$"]
    args += [v.choice(words) for _ in range(v.random.randint(0, 8))]
    return [Command(args, stream_full)]


def do_xreadgroup(v):
    args = [b"XREADGROUP", v.case(b"GROUP"), group(v), consumer(v)]
    if v.chance(0.7):
        args += [v.case(b"COUNT"), count(v)]
    if v.chance(0.15):
        args.append(v.case(b"NOACK"))
    return args + read_streams(v, b">" if v.chance(0.95) else b"$")


def do_group_life(v):
    """A group that reads on, gives back and forgets."""
    key, name = stream_key(v), v.choice(GROUPS[:4])
    commands = [[b"XGROUP", b"CREATE", key, name, b"0", b"MKSTREAM"]]
    for _ in range(v.random.randint(2, 6)):
        commands.append([b"XREADGROUP", b"GROUP", name, consumer(v), b"COUNT",
                         b"%d" % v.choice((1, 3, 20, 150)), b"STREAMS", key, b">"])
    commands.append([b"XACK", key, name] + ids(v, 10))
    commands += [Command([b"XPENDING", key, name, b"-", b"+", b"50"], pending_details),
                 [b"XPENDING", key, name], info_full(v, key)]
    return commands


def do_xack(v):
    return [b"XACK", stream_key(v), group(v)] + ids(v, 10)


def do_xpending(v):
    args = [b"XPENDING", stream_key(v), group(v)]
    if v.chance(0.75):
        if v.chance(0.25):
            args += [v.case(b"IDLE"), b"0" if v.chance(0.5) else v.choice((b"1000000", b"-5", b"x"))]
        args += [bound(v), bound(v), count(v)]
        if v.chance(0.4):
            args.append(consumer(v))
    if v.chance(0.05):
        args.append(v.value()[:20])
    return [Command(args, pending_details)]


def idle_min(v):
    """Far from what any entry has waited, so that both servers decide the same."""
    draw = v.chance_value()
    if draw < 0.7:
        return b"0"
    return b"1000000" if draw < 0.9 else v.choice((b"-1", b"x", b"", b"-9223372036854775808"))


def do_xclaim(v):
    args = [b"XCLAIM", stream_key(v), group(v), consumer(v), idle_min(v)] + ids(v, 8)
    for _ in range(v.choice((0, 0, 1, 1, 2, 4))):
        word = v.choice((b"FORCE", b"FORCE", b"JUSTID", b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID"))
        args.append(v.case(word))
        if word in (b"IDLE", b"TIME"):
            args.append(v.choice((b"0", b"5000000", b"-1", b"x", b"9223372036854775807",
                                  b"-9223372036854775808")))
        elif word == b"RETRYCOUNT":
            args.append(count(v))
        elif word == b"LASTID":
            args.append(entry_id(v))
    return args


def do_xautoclaim(v):
    args = [b"XAUTOCLAIM", stream_key(v), group(v), consumer(v), idle_min(v), bound(v)]
    if v.chance(0.6):
        # Memory for a huge COUNT is taken at once by redis-server.
        args += [v.case(b"COUNT"), v.choice((b"1", b"2", b"5", b"20", b"200", b"0", b"-1", b"x",
                                             b"9223372036854775807"))]
    if v.chance(0.3):
        args.append(v.case(b"JUSTID"))
    return args


# ---- what they tell ----

def info(key):
    return [b"XINFO", b"STREAM", key]


def info_full(v, key):
    args = [b"XINFO", b"STREAM", key, v.case(b"FULL")]
    if v.chance(0.6):
        args += [b"COUNT", v.choice((b"0", b"1", b"5", b"20", b"-1", b"x"))]
    return Command(args, stream_full)


def do_xinfo(v):
    key = stream_key(v)
    return [info(key), info_full(v, key), [b"XINFO", b"GROUPS", key],
            Command([b"XINFO", b"CONSUMERS", key, group(v)], consumers_idle)]


def do_xinfo_groups(v):
    return [b"XINFO", b"GROUPS", stream_key(v)]


def do_other(v):
    key = stream_key(v)
    draw = v.random.randrange(6)
    if draw < 2:
        return [[b"SET", key, b"x"], [b"XLEN", key], do_xadd(v), [b"TYPE", key]]
    if draw == 2:
        return [b"EXPIRE", key, b"%d" % 10**6]
    if draw == 3:
        return [b"RENAME", key, stream_key(v)]
    if draw == 4:
        other = stream_key(v)
        return [[b"COPY", key, other, b"REPLACE"], info_full(v, other)]
    return [[b"OBJECT", b"ENCODING", key], [b"TYPE", key]]


def do_delete(v):
    """Strings do not stay, and last ids come down again."""
    key = stream_key(v)
    return [[b"DEL", key], [b"XGROUP", b"CREATE", key, b"g1", b"0", b"MKSTREAM"]]


def do_config(v):
    return [[b"CONFIG", b"SET", b"stream-node-max-entries", v.choice(NODE_ENTRIES),
             b"stream-node-max-bytes", v.choice(NODE_BYTES)]]


def do_words(v):
    drawn = do_xread_words(v)
    return drawn if drawn else do_xlen(v)


# Nobody waits here: what a mutation makes of BLOCK could.
FAMILY = [(10, do_xadd), (3, do_xadd_many), (1, do_xadd_now), (2, do_xlen), (4, do_xdel),
          (1, do_xdel_many), (4, do_xtrim), (2, do_xsetid), (6, do_xrange), (1, do_xrange_all),
          (4, do_xread), (2, do_words), (1, do_xread_block), (4, do_xgroup_create),
          (3, do_xgroup_setid), (3, do_xgroup_consumer), (1, do_xgroup_destroy),
          (2, do_xgroup_words), (8, do_xreadgroup), (5, do_group_life), (4, do_xack),
          (5, do_xpending), (6, do_xclaim), (5, do_xautoclaim), (3, do_xinfo), (2, do_xinfo_groups),
          (2, do_other), (3, do_delete), (1, do_config)]
