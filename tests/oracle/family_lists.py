"""family_lists.py: random commands on lists.

Elements come from a small pool, so that LREM, LPOS and LINSERT find some; bulk pushes carry lists
over the size of a node (8 KiB, or what list-max-listpack-size says at the moment), and
list-compress-depth changes meanwhile, so that nodes are packed and unpacked. Small lists are
listpacks here, as since redis-server 7.2: compare.is_newer_encoding allows for that. Reads of a
whole list after changes in its middle, and the comparison of all data at the end of a round, find
elements that are lost or doubled.
"""

from compare import Command, set_encoding

KEYS = [b"a", b"b", b"k1", b"{t}1", b"{t}2", b"x{y", b"L" * 300]
SIZES = (1, 2, 3, 5, 10, 50, 127, 128, 129, 300, 407, 408, 409, 410, 820, 2000)
LISTPACK_SIZES = (b"-2", b"-2", b"-1", b"-3", b"-5", b"-9", b"0", b"1", b"2", b"3", b"10", b"128",
                  b"5000", b"2147483647")
COMPRESS_DEPTHS = (b"0", b"1", b"1", b"2", b"3")
ENDS = (b"LEFT", b"RIGHT")


def list_key(v):
    return v.choice(KEYS) if v.chance(0.93) else v.key()


def list_keys(v):
    """Often none of the first ones is there."""
    return [list_key(v) if v.chance(0.6) else b"absent%d" % i
            for i in range(v.choice((1, 1, 2, 3, 6)))]


def element(v):
    draw = v.chance_value()
    if draw < 0.4:
        return b"%d" % v.random.randint(-3, 15)
    if draw < 0.75:
        return b"e%d" % v.random.randint(0, 20)
    if draw < 0.85:
        return v.bytes(v.choice((0, 1, 18, 62, 63, 64, 65, 126, 127, 128, 300, 1000)))
    if draw < 0.865:
        return v.bytes(v.choice((4094, 4095, 4096, 8150, 8170, 8180, 8185, 8192, 9000, 70000)))
    return v.value()


def elements(v, most=8):
    return [element(v) for _ in range(v.random.randint(1, most))]


def index(v):
    draw = v.chance_value()
    if draw < 0.5:
        return b"%d" % v.random.randint(-12, 12)
    if draw < 0.85:
        return b"%d" % v.random.randint(-900, 900)
    return v.integer()


def end(v):
    return v.case(v.choice(ENDS)) if v.chance(0.98) else v.choice((b"", b"MIDDLE", b"left "))


def encoding_of(key):
    """Of a list most of the time; what is small may be a set as well."""
    return Command([b"OBJECT", b"ENCODING", key], set_encoding)


def do_push(v):
    return [v.choice((b"LPUSH", b"RPUSH", b"RPUSH", b"LPUSHX", b"RPUSHX")), list_key(v)] \
        + elements(v)


def do_push_bulk(v):
    """Up to some nodes of elements of one size."""
    key = list_key(v)
    size = v.choice((1, 2, 18, 18, 40, 64, 200))
    count = min(v.choice(SIZES), 60_000 // size)
    start = v.random.randint(0, 1000)
    args = [v.choice((b"LPUSH", b"RPUSH")), key]
    args += [(b"%d" % (start + i)).ljust(size if size > 2 else 0, b"x") for i in range(count)]
    commands = [args]
    if v.chance(0.6):
        commands.insert(0, [b"DEL", key])
    if v.chance(0.5):
        commands.append([v.choice((b"LPUSH", b"RPUSH")), key, element(v)])
    return commands + [[b"LLEN", key], encoding_of(key)]


def do_pop(v):
    args = [v.choice((b"LPOP", b"RPOP")), list_key(v)]
    draw = v.chance_value()
    if draw < 0.4:
        args.append(b"%d" % v.random.randint(0, 20))
    elif draw < 0.5:
        args.append(b"%d" % v.random.randint(0, 1000))
    elif draw < 0.55:
        args.append(v.integer())
    return args


def do_llen(v):
    return [b"LLEN", list_key(v)]


def do_lrange(v):
    return [b"LRANGE", list_key(v), index(v), index(v)]


def do_lrange_all(v):
    key = list_key(v)
    return [[b"LRANGE", key, b"0", b"-1"], encoding_of(key)]


def do_lindex(v):
    return [b"LINDEX", list_key(v), index(v)]


def do_lset(v):
    return [b"LSET", list_key(v), index(v), element(v)]


def do_lset_many(v):
    """In the middle, where nodes have neighbours."""
    key = list_key(v)
    return [[b"LSET", key, index(v), element(v)] for _ in range(6)] + [[b"LLEN", key]]


def do_linsert(v):
    where = v.case(v.choice((b"BEFORE", b"AFTER")))
    return [b"LINSERT", list_key(v), where if v.chance(0.98) else b"AT", element(v), element(v)]


def do_linsert_middle(v):
    """At a pivot that is put there, so that nodes are split."""
    key = list_key(v)
    pivot = b"pivot%d" % v.random.randint(0, 999)
    commands = [[b"LSET", key, index(v), pivot]]
    for _ in range(v.random.randint(1, 12)):
        commands.append([b"LINSERT", key, v.choice((b"BEFORE", b"AFTER")), pivot, element(v)])
    return commands


def do_lrem(v):
    draw = v.chance_value()
    count = b"%d" % v.random.randint(-4, 4) if draw < 0.9 else v.integer()
    return [b"LREM", list_key(v), count, element(v)]


def do_ltrim(v):
    if v.chance(0.5):
        return [b"LTRIM", list_key(v), b"%d" % v.random.randint(0, 30),
                b"%d" % v.random.randint(-30, -1)]
    return [b"LTRIM", list_key(v), index(v), index(v)]


def do_lpos(v):
    args = [b"LPOS", list_key(v), element(v)]
    for _ in range(v.choice((0, 1, 1, 2, 3))):
        word = v.choice((b"RANK", b"COUNT", b"MAXLEN"))
        low = -4 if word == b"RANK" else 0
        number = b"%d" % v.random.randint(low, 6) if v.chance(0.9) else v.integer()
        args += [v.case(word), number]
    return args


def do_lmove(v):
    return [b"LMOVE", list_key(v), list_key(v), end(v), end(v)]


def do_rpoplpush(v):
    return [b"RPOPLPUSH", list_key(v), list_key(v)]


def do_lmpop(v):
    keys = list_keys(v)
    count = b"%d" % len(keys) if v.chance(0.95) else v.integer()
    args = [b"LMPOP", count] + keys + [end(v)]
    if v.chance(0.5):
        number = b"%d" % v.random.randint(1, 12) if v.chance(0.9) else v.integer()
        args += [v.case(b"COUNT"), number]
    return args


def do_other(v):
    """A key of another type now and then, and ends of lists."""
    key = list_key(v)
    draw = v.random.randrange(8)
    if draw < 2:
        return [b"SET", key, element(v)]
    if draw == 2:
        return [b"GET", key]
    if draw == 3:
        return [b"APPEND", key, b"x"]
    if draw == 4:
        return [b"EXPIRE", key, b"%d" % 10**6]
    if draw == 5:
        return [b"RENAME", key, list_key(v)]
    if draw == 6:
        return [b"COPY", key, list_key(v), b"REPLACE"]
    return [b"DEL", key]


def do_del_other(v):
    """Strings do not stay, or every list command would only be refused."""
    key = v.choice(KEYS)
    return [[b"TYPE", key], [b"LLEN", key], [b"DEL", key], [b"RPUSH", key] + elements(v)]


def do_config(v):
    args = [b"CONFIG", b"SET"]
    if v.chance(0.8):
        args += [b"list-max-listpack-size", v.choice(LISTPACK_SIZES)]
    if v.chance(0.6) or len(args) == 2:
        args += [b"list-compress-depth", v.choice(COMPRESS_DEPTHS)]
    return [args]


FAMILY = [(12, do_push), (5, do_push_bulk), (10, do_pop), (3, do_llen), (5, do_lrange),
          (2, do_lrange_all), (5, do_lindex), (5, do_lset), (2, do_lset_many), (6, do_linsert),
          (3, do_linsert_middle), (6, do_lrem), (3, do_ltrim), (8, do_lpos), (6, do_lmove),
          (3, do_rpoplpush), (6, do_lmpop), (2, do_other), (2, do_del_other), (1, do_config)]
