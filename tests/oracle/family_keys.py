"""family_keys.py: random commands on keys of any type, and on databases.

redis-server leaves a key whose deadline has passed in its place until somebody touches it, and
counts it: so DBSIZE, RANDOMKEY and MEMORY USAGE are asked after a SCAN over all keys.
"""

from compare import (Command, near, near_milliseconds, near_seconds, same_kind, scan_shape,
                     unordered)

SWEEP = Command([b"SCAN", b"0", b"COUNT", b"100000"], scan_shape)


def do_set(v):
    """Strings of every encoding, a part of them with a deadline."""
    if v.chance(0.5):
        return [b"SET", v.key(), v.value()]
    if v.chance(0.2):
        return [b"APPEND", v.key(), v.value()]
    return [b"SET", v.key(), v.value()] + v.deadline_option()


def do_other_type(v):
    return v.choice(([b"RPUSH", v.key(), b"x", b"y"], [b"SADD", v.key(), b"1", b"2"],
                     [b"HSET", v.key(), b"f", b"v"], [b"ZADD", v.key(), b"1", b"m"]))


def do_read(v):
    return [b"GET", v.key()]


def do_del(v):
    return [v.choice((b"DEL", b"UNLINK"))] + v.keys(4)


def do_exists(v):
    return [v.choice((b"EXISTS", b"TOUCH"))] + v.keys(8)


def do_type(v):
    return [b"TYPE", v.key()]


def do_expire(v):
    name = v.choice((b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"))
    value = {b"EXPIRE": v.seconds, b"PEXPIRE": v.milliseconds, b"EXPIREAT": v.seconds_absolute,
             b"PEXPIREAT": v.milliseconds_absolute}[name]()
    args = [name, v.key(), value]
    for _ in range(v.choice((0, 0, 1, 1, 2, 3))):
        args.append(v.case(v.choice((b"NX", b"XX", b"GT", b"LT"))) if v.chance(0.95)
                    else v.choice((b"", b"EX", b"foo", b"1")))
    return args


def do_ttl(v):
    if v.chance(0.5):
        return Command([v.choice((b"TTL", b"EXPIRETIME")), v.key()], near_seconds)
    return Command([v.choice((b"PTTL", b"PEXPIRETIME")), v.key()], near_milliseconds)


def do_persist(v):
    return [b"PERSIST", v.key()]


def do_rename(v):
    return [v.choice((b"RENAME", b"RENAMENX")), v.key(), v.key()]


def do_copy(v):
    args = [b"COPY", v.key(), v.key()]
    for _ in range(v.choice((0, 1, 1, 2, 2, 3))):
        if v.chance(0.5):
            args.append(v.case(b"REPLACE"))
        else:
            args += [v.case(b"DB"), v.database()]
    return args


def do_move(v):
    return [b"MOVE", v.key(), v.database()]


def do_randomkey(v):
    return [SWEEP, Command([b"RANDOMKEY"], same_kind)]


def do_keys(v):
    return Command([b"KEYS", v.pattern()], unordered)


def do_scan(v):
    args = [b"SCAN", v.choice((b"0", b"0", b"0", b"0", b"0", b"x", b"", b"-1", b"1.5", b" 0",
                               b"18446744073709551616"))]
    for _ in range(v.random.randrange(4)):
        draw = v.random.randrange(3)
        if draw == 0:
            args += [v.case(b"MATCH"), v.pattern()]
        elif draw == 1:
            args += [v.case(b"COUNT"), v.choice((b"1", b"10", b"1000", b"0", b"-1", b"x",
                                                 v.integer()))]
        else:
            args += [v.case(b"TYPE"), v.choice((b"string", b"STRING", b"list", b"set", b"nope",
                                                b""))]
    if v.chance(0.1):
        args.append(v.choice((b"MATCH", b"COUNT", b"TYPE", b"x")))
    return Command(args, scan_shape)


def do_dbsize(v):
    return [SWEEP, [b"DBSIZE"]]


def do_select(v):
    return [b"SELECT", v.database()]


def do_swapdb(v):
    return [b"SWAPDB", v.database(), v.database()]


def do_flush(v):
    args = [v.choice((b"FLUSHDB", b"FLUSHDB", b"FLUSHDB", b"FLUSHALL"))]
    draw = v.random.randrange(6)
    if draw < 2:
        args.append(v.case(v.choice((b"SYNC", b"ASYNC"))))
    elif draw < 3:
        args += v.choice(([b"x"], [b"SYNC", b"ASYNC"], [b""], [b"ASYNC", b"ASYNC"]))
    return args


def do_object(v):
    draw = v.random.randrange(10)
    if draw < 4:
        return [b"OBJECT", v.case(b"ENCODING"), v.key()]
    if draw < 5:
        return [b"OBJECT", v.case(b"FREQ"), v.key()]
    if draw < 6:
        # A copy of a number that redis-server shares is a number of its own: its 1 is our many.
        return Command([b"OBJECT", v.case(b"REFCOUNT"), v.key()], near(2**31))
    if draw < 8:
        # One that redis-server shares is as idle as nobody has used it under any key.
        return Command([b"OBJECT", v.case(b"IDLETIME"), v.key()], near(3600))
    return v.choice(([b"OBJECT", b"ENCODING"], [b"OBJECT"], [b"OBJECT", b"NOPE", v.key()],
                     [b"OBJECT", b"ENCODING", v.key(), b"x"], [b"OBJECT", b"", v.key()]))


def do_memory(v):
    args = [b"MEMORY", v.case(b"USAGE"), v.key()]
    if v.chance(0.4):
        args += [v.case(b"SAMPLES"), v.choice((b"0", b"5", b"-1", b"x", v.integer()))]
    if v.chance(0.1):
        args.append(b"x")
    return [SWEEP, Command(args, near(1 << 30))]


FAMILY = [(14, do_set), (5, do_read), (5, do_del), (6, do_exists), (4, do_type), (12, do_expire),
          (8, do_ttl), (3, do_persist), (7, do_rename), (8, do_copy), (5, do_move),
          (1, do_randomkey), (3, do_keys), (3, do_scan), (1, do_dbsize), (5, do_select),
          (1, do_swapdb), (0.3, do_flush), (5, do_object), (2, do_memory)]
FAMILY_OTHER_TYPES = [(4, do_other_type)]
