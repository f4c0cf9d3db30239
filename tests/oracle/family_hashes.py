"""family_hashes.py: random commands on hashes.

Fields come from small pools; bulk additions carry hashes over the thresholds of the encodings: 512
fields, 64 bytes of a field or a value. HSCAN NOVALUES and the deadlines of fields are newer than
the oracle: FIXED has their replies, as Valkey 9 documents them. Where chance decides (HRANDFIELD)
kinds and sizes are compared.
"""

from compare import Command, same_size, scan_all_pairs, unordered, unordered_pairs
from family_sets import scan

SIZES = (1, 2, 3, 5, 10, 30, 127, 128, 129, 200, 510, 511, 512, 513)


def field(v):
    draw = v.chance_value()
    if draw < 0.3:
        return b"%d" % v.random.randint(-5, 40)
    if draw < 0.85:
        return b"f%d" % v.random.randint(0, 60)
    if draw < 0.88:
        return v.bytes(v.choice((0, 1, 63, 64, 65, 66, 100, 247, 248, 249, 300)))
    return v.value()


def value(v):
    draw = v.chance_value()
    if draw < 0.3:
        return v.number()
    if draw < 0.5:
        return b"v%d" % v.random.randint(0, 99)
    if draw < 0.55:
        return v.bytes(v.choice((0, 1, 63, 64, 65, 66, 100, 230, 247, 248, 249, 300)))
    return v.value()


def fields(v, most=6):
    return [field(v) for _ in range(v.random.randint(1, most))]


def do_hset(v):
    args = [v.choice((b"HSET", b"HSET", b"HMSET")), v.key()]
    for name in fields(v):
        args += [name, value(v)]
    return args


def do_hset_small(v):
    """Short texts only, so that the hash has a chance to stay small."""
    args = [b"HSET", v.key()]
    for _ in range(v.random.randint(1, 6)):
        args += [b"f%d" % v.random.randint(0, 60), b"%d" % v.random.randint(-1000, 100000)]
    return args


def do_hset_bulk(v):
    key = v.key()
    start = v.choice((0, 0, 30))
    args = [b"HSET", key]
    for i in range(v.choice(SIZES)):
        args += [b"f%d" % (start + i), b"%d" % i]
    commands = [args]
    if v.chance(0.6):
        commands.insert(0, [b"DEL", key])
    if v.chance(0.5):
        commands.append([b"HSET", key, field(v), value(v)])
    return commands + [[b"OBJECT", b"ENCODING", key]]


def do_hsetnx(v):
    return [b"HSETNX", v.key(), field(v), value(v)]


def do_hget(v):
    return [v.choice((b"HGET", b"HGET", b"HEXISTS", b"HSTRLEN")), v.key(), field(v)]


def do_hmget(v):
    return [b"HMGET", v.key()] + fields(v)


def do_hgetall(v):
    return Command([v.case(b"HGETALL"), v.key()], unordered_pairs)


def do_hkeys(v):
    return Command([v.choice((b"HKEYS", b"HVALS")), v.key()], unordered)


def do_hdel(v):
    if v.chance(0.1):
        return [b"HDEL", v.key()] + [b"f%d" % i for i in range(v.choice(SIZES))]
    return [b"HDEL", v.key()] + fields(v)


def do_hlen(v):
    return [b"HLEN", v.key()]


def do_hincrby(v):
    key, name = v.key(), field(v)
    command = [b"HINCRBY", key, name, v.integer()]
    return [[b"HSET", key, name, v.number()], command] if v.chance(0.4) else command


def do_hincrbyfloat(v):
    key, name = v.key(), field(v)
    command = [b"HINCRBYFLOAT", key, name, v.float()]
    return [[b"HSET", key, name, v.float()], command] if v.chance(0.4) else command


def do_hrandfield(v):
    key = v.key()
    draw = v.chance_value()
    if draw < 0.2:
        return Command([b"HRANDFIELD", key, b"100000"], unordered)
    if draw < 0.4:
        return Command([b"HRANDFIELD", key, b"100000", v.case(b"WITHVALUES")], unordered_pairs)
    count = v.choice(([], [b"1"], [b"3"], [b"43"], [b"-1"], [b"-7"], [b"-200"], [b"0"], [b"x"],
                      [b"-9223372036854775808"], [b"-4611686018427387904", b"WITHVALUES"],
                      [b"2", b"WITHVALUES"], [b"-9", b"withvalues"], [b"1", b"VALUES"],
                      [b"1", b"WITHVALUES", b"x"]))
    return Command([b"HRANDFIELD", key] + count, same_size)


def do_hscan(v):
    command = scan(v, b"HSCAN", v.key(), b"100000")
    if isinstance(command, Command) and command.check.__name__ == "scan_all":
        command.check = scan_all_pairs
    return command


def do_other(v):
    """Other types and times, for hashes to run into and to lose."""
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
        return [[b"DEL", key], [b"SADD", key, b"1"]]
    if draw < 11:
        return [b"TYPE", key]
    return [[b"HLEN", key], [b"OBJECT", b"ENCODING", key]]


def do_config(v):
    if v.chance(0.5):
        return [b"CONFIG", b"SET", v.choice((b"hash-max-listpack-entries",
                                             b"hash-max-ziplist-entries")),
                v.choice((b"512", b"512", b"0", b"1", b"5", b"128"))]
    return [b"CONFIG", b"SET", v.choice((b"hash-max-listpack-value", b"hash-max-ziplist-value")),
            v.choice((b"64", b"64", b"0", b"8", b"300"))]


FAMILY = [(8, do_hset), (8, do_hset_small), (5, do_hset_bulk), (4, do_hsetnx), (9, do_hget),
          (5, do_hmget), (4, do_hgetall), (3, do_hkeys), (6, do_hdel), (3, do_hlen),
          (5, do_hincrby), (5, do_hincrbyfloat), (4, do_hrandfield), (4, do_hscan), (6, do_other),
          (0.5, do_config)]

# What commands newer than the oracle answer: the words, then the reply in RESP2.
FIXED = [
    ([b"DEL", b"f"], None),
    ([b"HSCAN", b"f", b"0", b"NOVALUES"], b"*2\r\n$1\r\n0\r\n*0\r\n"),
    ([b"HSET", b"f", b"a", b"1", b"b", b"2"], b":2\r\n"),
    ([b"HSCAN", b"f", b"0", b"NOVALUES"], b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
    ([b"HSCAN", b"f", b"0", b"novalues", b"MATCH", b"b", b"COUNT", b"5"],
     b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"),
    ([b"HSCAN", b"f", b"0", b"MATCH", b"b", b"NOVALUES"], b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"),
    ([b"HSCAN", b"f", b"0", b"NOVALUES", b"COUNT"], b"-ERR syntax error\r\n"),
    ([b"SADD", b"g", b"a"], None),
    ([b"SSCAN", b"g", b"0", b"NOVALUES"], b"-ERR syntax error\r\n"),
    ([b"DEL", b"f"], b":1\r\n"),
    ([b"HSETEX", b"f", b"NX", b"PXAT", b"99999999999999", b"FIELDS", b"3", b"a", b"1", b"b", b"2",
      b"c", b"3"],
     b":1\r\n"),
    ([b"HSETEX", b"f", b"NX", b"FIELDS", b"1", b"a", b"9"], b":0\r\n"),
    ([b"HSETEX", b"f", b"FNX", b"FIELDS", b"2", b"z", b"9", b"a", b"9"], b":0\r\n"),
    ([b"HSETEX", b"f", b"FXX", b"FIELDS", b"2", b"z", b"9", b"a", b"9"], b":0\r\n"),
    ([b"OBJECT", b"ENCODING", b"f"], b"$9\r\nhashtable\r\n"),
    ([b"HPEXPIRETIME", b"f", b"FIELDS", b"2", b"a", b"z"], b"*2\r\n:99999999999999\r\n:-2\r\n"),
    ([b"HSET", b"f", b"a", b"4"], b":0\r\n"),
    ([b"HINCRBY", b"f", b"b", b"5"], b":7\r\n"),
    ([b"HINCRBYFLOAT", b"f", b"c", b"0.5"], b"$3\r\n3.5\r\n"),
    ([b"HSETEX", b"f", b"KEEPTTL", b"FIELDS", b"1", b"c", b"6"], b":1\r\n"),
    ([b"HPEXPIRETIME", b"f", b"FIELDS", b"3", b"a", b"b", b"c"],
     b"*3\r\n:-1\r\n:99999999999999\r\n:99999999999999\r\n"),
    ([b"HPERSIST", b"f", b"FIELDS", b"3", b"a", b"b", b"z"], b"*3\r\n:-1\r\n:1\r\n:-2\r\n"),
    ([b"HEXPIREAT", b"f", b"99999999999", b"NX", b"FIELDS", b"3", b"b", b"c", b"z"],
     b"*3\r\n:1\r\n:0\r\n:-2\r\n"),
    ([b"HPEXPIREAT", b"f", b"99999999999001", b"LT", b"FIELDS", b"2", b"b", b"c"],
     b"*2\r\n:0\r\n:1\r\n"),
    ([b"HPEXPIREAT", b"f", b"99999999998998", b"LT", b"FIELDS", b"2", b"b", b"c"],
     b"*2\r\n:1\r\n:1\r\n"),
    ([b"HPEXPIREAT", b"f", b"99999999999999", b"GT", b"FIELDS", b"2", b"a", b"b"],
     b"*2\r\n:0\r\n:1\r\n"),
    ([b"HPEXPIREAT", b"f", b"99999999999999", b"XX", b"FIELDS", b"2", b"a", b"b"],
     b"*2\r\n:0\r\n:1\r\n"),
    ([b"HEXPIRETIME", b"f", b"FIELDS", b"2", b"a", b"b"], b"*2\r\n:-1\r\n:100000000000\r\n"),
    ([b"HTTL", b"f", b"FIELDS", b"2", b"a", b"z"], b"*2\r\n:-1\r\n:-2\r\n"),
    ([b"HPTTL", b"f", b"FIELDS", b"2", b"a", b"z"], b"*2\r\n:-1\r\n:-2\r\n"),
    ([b"HGETEX", b"f", b"PERSIST", b"FIELDS", b"3", b"a", b"b", b"z"],
     b"*3\r\n$1\r\n4\r\n$1\r\n7\r\n$-1\r\n",
     b"*3\r\n$1\r\n4\r\n$1\r\n7\r\n_\r\n"),
    ([b"HGETEX", b"f", b"PXAT", b"99999999999999", b"FIELDS", b"1", b"a"], b"*1\r\n$1\r\n4\r\n"),
    ([b"HEXPIRE", b"f", b"0", b"FIELDS", b"2", b"c", b"c"], b"*2\r\n:2\r\n:-2\r\n"),
    ([b"HGETDEL", b"f", b"FIELDS", b"2", b"b", b"b"], b"*2\r\n$1\r\n7\r\n$-1\r\n",
     b"*2\r\n$1\r\n7\r\n_\r\n"),
    ([b"HEXPIRE", b"f", b"10", b"FIELDS", b"2", b"a"],
     b"-ERR numfields should be greater than 0 and match the provided number of fields\r\n"),
    ([b"HEXPIRE", b"f", b"10", b"NO", b"FIELDS", b"1", b"a"], b"-ERR Unsupported option NO\r\n"),
    ([b"HPEXPIRE", b"f", b"-1", b"FIELDS", b"1", b"a"],
     b"-ERR invalid expire time in 'hpexpire' command\r\n"),
    ([b"HTTL", b"f", b"FIELDS", b"2", b"a"], b"-ERR syntax error\r\n"),
    ([b"HSETEX", b"f", b"EX", b"1", b"KEEPTTL", b"FIELDS", b"1", b"a", b"1"],
     b"-ERR syntax error\r\n"),
    ([b"HSETEX", b"f", b"EX", b"0", b"FIELDS", b"1", b"a", b"1"], b":1\r\n"),
    ([b"EXISTS", b"f"], b":0\r\n"),
    ([b"HSET", b"f", b"a", b"1"], b":1\r\n"),
    ([b"DEL", b"f", b"g"], b":2\r\n"),
]
