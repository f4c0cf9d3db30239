"""family_sets.py: random commands on sets.

Members come from small pools, so that sets meet; bulk additions carry sets over the thresholds of
every encoding: 128 members (listpack), 512 integers (intset), 64 bytes. Where chance decides (SPOP,
SRANDMEMBER) kinds and sizes are compared, and what SPOP has taken from is deleted behind it.
"""

from compare import (Command, near_seconds, same_size, scan_all, scan_shape, set_encoding,
                     set_encoding_stored, unordered)

SIZES = (1, 2, 3, 5, 10, 30, 126, 127, 128, 129, 130, 200)
SIZES_INTEGER = (1, 3, 10, 100, 510, 511, 512, 513, 514, 600)


def member(v):
    draw = v.chance_value()
    if draw < 0.4:
        return b"%d" % v.random.randint(-20, 60)
    if draw < 0.75:
        return b"m%d" % v.random.randint(0, 150)
    if draw < 0.8:
        return v.bytes(v.choice((0, 1, 63, 64, 65, 66, 100, 247, 248, 249, 300)))
    if draw < 0.84:
        return v.choice((b"32767", b"32768", b"-32768", b"-32769", b"2147483647", b"2147483648",
                         b"-2147483648", b"-2147483649", b"9223372036854775807"))
    if draw < 0.9:
        return v.number()
    return v.value()


def members(v, most=8):
    return [member(v) for _ in range(v.random.randint(1, most))]


def bulk(v):
    """So many members in a row that an encoding's limit is near."""
    if v.chance(0.5):
        start = v.choice((0, -300, 32600, 2**31 - 100))
        return [b"%d" % (start + i) for i in range(v.choice(SIZES_INTEGER))]
    start = v.choice((0, 0, 50))
    return [b"m%d" % (start + i) for i in range(v.choice(SIZES))]


def do_sadd(v):
    return [b"SADD", v.key()] + members(v)


def do_sadd_bulk(v):
    key = v.key()
    commands = [[b"SADD", key] + bulk(v)]
    if v.chance(0.5):
        commands.insert(0, [b"DEL", key])
    if v.chance(0.5):
        commands.append([b"SADD", key, member(v)])
    check = set_encoding if commands[0][0] == b"DEL" else set_encoding_stored
    return commands + [Command([b"OBJECT", b"ENCODING", key], check)]


def do_srem(v):
    if v.chance(0.1):
        return [b"SREM", v.key()] + bulk(v)
    return [b"SREM", v.key()] + members(v)


def do_sismember(v):
    return [b"SISMEMBER", v.key(), member(v)]


def do_smismember(v):
    return [b"SMISMEMBER", v.key()] + members(v)


def do_scard(v):
    return [b"SCARD", v.key()]


def do_smembers(v):
    return Command([v.case(b"SMEMBERS"), v.key()], unordered)


def do_spop(v):
    key = v.key()
    if v.chance(0.1):
        return Command([b"SPOP", b"no such key"] + v.choice(([], [b"3"], [b"0"], [b"x"])))
    if v.chance(0.3):
        return Command([b"SPOP", key, v.choice((b"100000", b"9223372036854775807"))], unordered)
    if v.chance(0.3):
        return Command([b"SPOP", key] + v.choice(([b"0"], [b"-1"], [b"x"], [b""], [b"1", b"2"],
                                                  [b"9223372036854775808"])))
    count = v.choice(([], [b"1"], [b"2"], [b"5"], [b"100"], [b"127"], [b"500"]))
    return [Command([v.case(b"SPOP"), key] + count, same_size), Command([b"SCARD", key]),
            [b"DEL", key]]


def do_srandmember(v):
    key = v.key()
    if v.chance(0.25):
        return Command([b"SRANDMEMBER", key, v.choice((b"100000", b"9223372036854775807"))],
                       unordered)
    count = v.choice(([], [b"1"], [b"2"], [b"10"], [b"43"], [b"-1"], [b"-7"], [b"-200"], [b"0"],
                      [b"x"], [b"-9223372036854775808"], [b"1", b"2"]))
    return Command([b"SRANDMEMBER", key] + count, same_size)


def do_smove(v):
    return [b"SMOVE", v.key(), v.key(), member(v)]


def do_algebra(v):
    return Command([v.case(v.choice((b"SINTER", b"SUNION", b"SDIFF")))] + v.keys(), unordered)


def do_store(v):
    key = v.key()
    name = v.choice((b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"))
    return [Command([name, key] + v.keys()),
            Command([b"OBJECT", b"ENCODING", key], set_encoding_stored),
            Command([b"SMEMBERS", key], unordered), Command([b"TTL", key], near_seconds)]


def do_store_hostile(v):
    """Plain, so that it is mutated."""
    return [v.choice((b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE")), v.key()] + v.keys()


def do_sintercard(v):
    keys = v.keys()
    count = b"%d" % len(keys) if v.chance(0.9) else v.choice((b"0", b"-1", b"x", b"1", b"99"))
    args = [b"SINTERCARD", count] + keys
    if v.chance(0.5):
        args += [v.case(b"LIMIT"), v.choice((b"0", b"1", b"5", b"100", b"-1", b"x"))]
    if v.chance(0.05):
        args += [v.choice((b"LIMIT", b"x", b"LIMI"))]
    return args


def scan(v, name, key, most):
    """All of it, or a portion, which is the server's own business."""
    match = [v.case(b"MATCH"), v.choice((v.pattern(), b"m*", b"*1", b"f*"))]
    draw = v.chance_value()
    if draw < 0.5:
        return Command([name, key, b"0", v.case(b"COUNT"), most] + (match if v.chance(0.4) else []),
                       scan_all)
    if draw < 0.7:
        return Command([name, key, v.choice((b"0", b"5", b"123456789"))] +
                       v.choice(([], match, [b"COUNT", b"3"])), scan_shape)
    cursor = v.choice((b"0", b"x", b"", b"-1", b"1.0"))
    options = v.choice(([], [b"COUNT", b"0"], [b"COUNT", b"x"], [b"COUNT"], [b"TYPE", b"set"],
                        [b"FOO"], [b"MATCH"], [b"COUNT", b"1", b"MATCH"]))
    return Command([name, v.choice((key, b"no such key")), cursor] + options, scan_shape)


def do_sscan(v):
    return scan(v, b"SSCAN", v.key(), b"100000")


def do_other(v):
    """Other types and times, for sets to run into and to lose."""
    draw = v.random.randrange(12)
    key = v.key()
    if draw < 3:
        return [b"SET", key, v.value()]
    if draw < 5:
        return [b"DEL", key]
    if draw < 6:
        return [b"PEXPIREAT", key, b"%d" % v.random.randint(3 * 10**12, 10**13)]
    if draw < 7:
        return [b"RENAME", key, v.key()]
    if draw < 8:
        return [b"COPY", key, v.key()] + v.choice(([], [b"REPLACE"]))
    if draw < 9:
        return v.choice(([b"GET", key], [b"INCR", key], [b"APPEND", key, b"x"], [b"STRLEN", key]))
    if draw < 10:
        return [b"HSET", key, b"f", b"v"]
    if draw < 11:
        return [b"TYPE", key]
    return Command([b"OBJECT", b"ENCODING", key], set_encoding_stored)


def do_config(v):
    """Another limit for a few additions, then the usual one again."""
    setting = [b"CONFIG", b"SET", b"set-max-intset-entries"]
    commands = do_sadd_bulk(v) + do_sadd_bulk(v) + [[b"SADD", v.key(), member(v)]]
    limit = v.choice((b"0", b"1", b"5", b"600"))
    return [setting + [limit]] + commands + [setting + [b"512"]]


FAMILY = [(12, do_sadd), (6, do_sadd_bulk), (7, do_srem), (5, do_sismember), (4, do_smismember),
          (3, do_scard), (4, do_smembers), (3, do_spop), (3, do_srandmember), (6, do_smove),
          (7, do_algebra), (6, do_store), (2, do_store_hostile), (4, do_sintercard), (4, do_sscan),
          (7, do_other), (0.5, do_config)]
