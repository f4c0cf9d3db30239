"""family_zsets.py: random commands on sorted sets.

Members come from small pools, so that sets meet and scores collide; bulk additions carry sets over
the thresholds of the encoding: 128 members, 64 bytes. Ranges of byte order are asked of sets whose
scores are all the same; the contract says nothing of others. WITHSCORE is newer than the oracle:
FIXED has its replies. Where chance decides (ZRANDMEMBER) kinds and sizes are compared.
"""

from compare import Command, same_size, scan_all_pairs, scan_shape

SIZES = (1, 2, 3, 5, 10, 30, 126, 127, 128, 129, 130, 200, 400)
SCORES = (b"0", b"-0", b"1", b"-1", b"1.5", b"2", b"3", b"0.1", b"1e3", b"inf", b"-inf", b"+inf",
          b"1e308", b"-1e308", b"5e-324", b"4503599627370496", b"4503599627370497",
          b"-4503599627370496", b"-4503599627370498", b"4611686018427387904",
          b"4611686018427388928", b"-4611686018427387904", b"-4611686018427388928",
          b"9223372036854775808", b"9007199254740993", b"1e17", b"1e16",
          b"123456789012345678", b"3.14159265358979", b"0.30000000000000004", b"-2.5e-10")
RANGE_COMMANDS = (b"ZRANGE", b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE", b"ZREVRANGE", b"ZRANGEBYLEX",
                  b"ZREVRANGEBYLEX")
# Sets for byte order: their scores are all the same.
LEX_KEYS = (b"lex", b"{t}lex", b"lexes")


def encoding(ours, theirs):
    """OBJECT ENCODING of a sorted set; those of other types are their own families' business."""
    if b"skiplist" in (ours + theirs) or ours[:1] == b"-" or theirs[:1] == b"-":
        return f"{ours!r} is not {theirs!r}"
    return None


def member(v):
    draw = v.chance_value()
    if draw < 0.3:
        return b"%d" % v.random.randint(-20, 60)
    if draw < 0.8:
        return b"m%d" % v.random.randint(0, 150)
    if draw < 0.86:
        return v.bytes(v.choice((0, 1, 63, 64, 65, 66, 100, 199, 200, 201, 300)))
    if draw < 0.9:
        return v.number()
    return v.value()


def score(v):
    draw = v.chance_value()
    if draw < 0.5:
        return b"%d" % v.random.randint(-10, 40)
    if draw < 0.7:
        return b"%.*f" % (v.random.randint(0, 17), v.random.uniform(-40, 40))
    if draw < 0.97:
        return v.choice(SCORES)
    return v.float()


def members(v, most=6):
    return [member(v) for _ in range(v.random.randint(1, most))]


def pairs(v, most=6):
    return [word for name in members(v, most) for word in (score(v), name)]


def valid_score(v):
    return v.choice(SCORES) if v.chance(0.4) else b"%d" % v.random.randint(-10, 40)


def do_zadd(v):
    args = [v.case(b"ZADD"), v.key()]
    if v.chance(0.4):
        args += [v.case(v.choice((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR")))
                 for _ in range(v.choice((1, 1, 1, 2, 2, 3)))]
    if any(word.upper() == b"INCR" for word in args[2:]) and v.chance(0.9):
        return args + [score(v), member(v)]
    return args + pairs(v)


def do_zadd_bulk(v):
    key = v.key()
    words, start = [], v.choice((0, 0, 50))
    for i in range(v.choice(SIZES)):
        words += [valid_score(v), b"m%d" % (start + i)]
    commands = [[b"ZADD", key] + words]
    if v.chance(0.5):
        commands.insert(0, [b"DEL", key])
    if v.chance(0.5):
        commands.append([b"ZADD", key, valid_score(v), member(v)])
    return commands + [Command([b"OBJECT", b"ENCODING", key], encoding),
                       [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]]


def do_zincrby(v):
    return [b"ZINCRBY", v.key(), score(v), member(v)]


def do_zrem(v):
    if v.chance(0.1):
        return [b"ZREM", v.key()] + [b"m%d" % i for i in range(v.choice(SIZES))]
    return [b"ZREM", v.key()] + members(v)


def do_look(v):
    return v.choice((lambda: [b"ZSCORE", v.key(), member(v)],
                     lambda: [b"ZMSCORE", v.key()] + members(v),
                     # Not to be mutated: WITHSCORE is the oracle's arity error.
                     lambda: Command([v.case(b"ZRANK"), v.key(), member(v)]),
                     lambda: Command([b"ZREVRANK", v.key(), member(v)]),
                     lambda: [b"ZCARD", v.key()]))()


def score_bound(v):
    draw = v.chance_value()
    if draw < 0.6:
        return v.choice((b"", b"", b"(")) + valid_score(v)
    if draw < 0.9:
        return v.choice((b"-inf", b"+inf", b"(inf", b"(-inf", b"(0", b"0", b"5", b"(5"))
    return v.choice((b"", b"(", b" 1", b"1 ", b"((1", b"[1", b"abc", b"nan", b"(nan", b"1e400",
                     b"0x10", b"1\x00x", b"-", b"+", b"infinity", b".5", b"5.", v.float()))


def lex_bound(v):
    draw = v.chance_value()
    if draw < 0.25:
        return v.choice((b"-", b"+"))
    if draw < 0.9:
        return v.choice((b"[", b"(")) + v.choice((member(v), b"m", b"m1", b"m50", b"m99", b""))
    return v.choice((b"", b"m1", b"--", b"+x", b"-\x00x", b"{m", b"1"))


def range_options(v, is_store):
    words = []
    if v.chance(0.3):
        limit = v.choice((b"0", b"1", b"3", b"10", b"-1", b"-5", b"200"))
        offset = v.choice((b"0", b"0", b"1", b"5", b"-1", b"150", b"x"))
        words.append([v.case(b"LIMIT"), offset, limit])
    if v.chance(0.4 if not is_store else 0.03):
        words.append([v.case(b"WITHSCORES")])
    v.random.shuffle(words)
    return [word for option in words for word in option]


def bounds(v, kind):
    if kind == b"BYSCORE":
        return [score_bound(v), score_bound(v)]
    if kind == b"BYLEX":
        return [lex_bound(v), lex_bound(v)]
    return [v.integer(), v.integer()]


def key_for(v, kind):
    return v.choice(LEX_KEYS) if kind == b"BYLEX" else v.key()


def do_zrange(v):
    kind = v.choice((b"", b"", b"BYSCORE", b"BYSCORE", b"BYLEX"))
    args = [v.case(b"ZRANGE"), key_for(v, kind)] + bounds(v, kind)
    options = [[v.case(kind)]] if kind else []
    if v.chance(0.4):
        options.append([v.case(b"REV")])
    options.append(range_options(v, False))
    v.random.shuffle(options)
    return args + [word for option in options for word in option]


def do_range_old(v):
    name = v.choice(RANGE_COMMANDS[1:])
    kind = b"BYSCORE" if b"SCORE" in name else b"BYLEX" if b"LEX" in name else b""
    args = [v.case(name), key_for(v, kind)] + bounds(v, kind)
    if kind or v.chance(0.1):
        return args + range_options(v, False)
    return args + ([v.case(b"WITHSCORES")] if v.chance(0.4) else [])


def do_zrangestore(v):
    kind = v.choice((b"", b"BYSCORE", b"BYLEX"))
    target = v.choice(LEX_KEYS) if kind == b"BYLEX" else v.key()
    args = [b"ZRANGESTORE", target, key_for(v, kind)] + bounds(v, kind)
    if kind:
        args.append(v.case(kind))
    if v.chance(0.3):
        args.append(v.case(b"REV"))
    args += range_options(v, True)
    return [args, Command([b"OBJECT", b"ENCODING", target], encoding)]


def do_count(v):
    if v.chance(0.6):
        return [b"ZCOUNT", v.key(), score_bound(v), score_bound(v)]
    return [b"ZLEXCOUNT", v.choice(LEX_KEYS), lex_bound(v), lex_bound(v)]


def do_zremrange(v):
    draw = v.random.randrange(3)
    if draw == 0:
        return [b"ZREMRANGEBYRANK", v.key(), v.integer(), v.integer()]
    if draw == 1:
        return [b"ZREMRANGEBYSCORE", v.key(), score_bound(v), score_bound(v)]
    return [b"ZREMRANGEBYLEX", v.choice(LEX_KEYS), lex_bound(v), lex_bound(v)]


def do_lex_fill(v):
    key = v.choice(LEX_KEYS)
    words = []
    for i in range(v.choice(SIZES)):
        words += [b"0", v.choice((b"m%d" % i, b"%d" % i, b"a%d" % i, b"m%03d" % i))]
    return [[b"ZADD", key] + words,
            Command([b"OBJECT", b"ENCODING", key], encoding)]


def do_pop(v):
    args = [v.choice((b"ZPOPMIN", b"ZPOPMAX")), v.key()]
    if v.chance(0.6):
        args.append(v.choice((b"0", b"1", b"2", b"5", b"50", b"1000", b"-1", b"x", b"",
                              b"9223372036854775807", b"9223372036854775808")))
    return args


def key_count(v, keys):
    return b"%d" % len(keys) if v.chance(0.93) else v.choice((b"0", b"-1", b"x", b"1", b"99", b""))


def do_zmpop(v):
    keys = v.keys()
    args = [b"ZMPOP", key_count(v, keys)] + keys + [v.case(v.choice((b"MIN", b"MAX", b"MAX")))]
    if v.chance(0.5):
        args += [v.case(b"COUNT"), v.choice((b"1", b"2", b"10", b"200", b"0", b"-1", b"x"))]
    if v.chance(0.05):
        args += v.choice(([b"COUNT", b"1"], [b"COUNT"], [b"x"], [b"MIN"]))
    return args


def do_zrandmember(v):
    args = [b"ZRANDMEMBER", v.key()]
    if v.chance(0.8):
        args.append(v.choice((b"0", b"1", b"3", b"10", b"60", b"127", b"1000", b"-1", b"-5",
                              b"-100", b"x", b"", b"-9223372036854775808")))
        if v.chance(0.5):
            args.append(v.case(v.choice((b"WITHSCORES", b"WITHSCORES", b"WITHSCORE"))))
    return Command(args, same_size)


def algebra_options(v, count, has_scoring, is_store):
    options = []
    if v.chance(0.4 if has_scoring else 0.05):
        weights = [v.choice((b"1", b"2", b"-1", b"0", b"0.5", b"inf", b"-inf", b"1e300"))
                   for _ in range(count)]
        if v.chance(0.05):
            weights[-1] = v.choice((b"x", b"nan", b""))
        options.append([v.case(b"WEIGHTS")] + weights)
    if v.chance(0.4 if has_scoring else 0.05):
        options.append([v.case(b"AGGREGATE"),
                        v.case(v.choice((b"SUM", b"MIN", b"MAX", b"MAX", b"AVG")))])
    if v.chance(0.5 if not is_store else 0.03):
        options.append([v.case(b"WITHSCORES")])
    v.random.shuffle(options)
    return [word for option in options for word in option]


def do_algebra(v):
    keys = v.keys(5)
    name = v.choice((b"ZUNION", b"ZUNION", b"ZINTER", b"ZINTER", b"ZDIFF"))
    return ([name, key_count(v, keys)] + keys +
            algebra_options(v, len(keys), name != b"ZDIFF", False))


def do_algebra_store(v):
    keys, target = v.keys(5), v.key()
    name = v.choice((b"ZUNIONSTORE", b"ZUNIONSTORE", b"ZINTERSTORE", b"ZDIFFSTORE"))
    args = ([name, target, key_count(v, keys)] + keys +
            algebra_options(v, len(keys), name != b"ZDIFFSTORE", True))
    return [args, Command([b"OBJECT", b"ENCODING", target], encoding),
            [b"ZRANGE", target, b"0", b"-1", b"WITHSCORES"]]


def do_zintercard(v):
    keys = v.keys()
    args = [b"ZINTERCARD", key_count(v, keys)] + keys
    if v.chance(0.5):
        args += [v.case(b"LIMIT"), v.choice((b"0", b"1", b"5", b"100", b"-1", b"x"))]
    return args


def do_zscan(v):
    key, draw = v.key(), v.chance_value()
    match = [v.case(b"MATCH"), v.choice((v.pattern(), b"m*", b"*1"))]
    if draw < 0.5:
        return Command([b"ZSCAN", key, b"0", v.case(b"COUNT"), b"100000"] +
                       (match if v.chance(0.4) else []), scan_all_pairs)
    if draw < 0.7:
        return Command([b"ZSCAN", key, v.choice((b"0", b"5", b"123456789"))] +
                       v.choice(([], match, [b"COUNT", b"3"])), scan_shape)
    options = v.choice(([], [b"COUNT", b"0"], [b"COUNT", b"x"], [b"COUNT"], [b"FOO"], [b"MATCH"]))
    return Command([b"ZSCAN", v.choice((key, b"no such key")),
                    v.choice((b"0", b"x", b"", b"-1", b"1.0"))] + options, scan_shape)


def do_other(v):
    """Other types and times, for sorted sets to run into and to lose."""
    draw = v.random.randrange(14)
    key = v.key()
    if draw < 2:
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
    if draw < 12:
        return [[b"DEL", key], [b"SADD", key] + [b"m%d" % i for i in range(v.choice((1, 5, 100)))]]
    if draw < 13:
        return [b"TYPE", key]
    return [b"ZADD", key, b"1"]


def do_config(v):
    """Another limit for a few additions, then the usual one again."""
    name, usual, limits = v.choice(((b"zset-max-listpack-entries", b"128", (b"0", b"1", b"5")),
                                    (b"zset-max-listpack-value", b"64", (b"0", b"1", b"3"))))
    commands = do_zadd_bulk(v) + do_algebra_store(v) + do_zrangestore(v) + [do_zadd(v)]
    setting = [b"CONFIG", b"SET", name]
    return [setting + [v.choice(limits)]] + commands + [setting + [usual]]


FAMILY = [(12, do_zadd), (5, do_zadd_bulk), (4, do_zincrby), (5, do_zrem), (10, do_look),
          (8, do_zrange), (6, do_range_old), (4, do_zrangestore), (5, do_count), (4, do_zremrange),
          (3, do_lex_fill), (4, do_pop), (4, do_zmpop), (3, do_zrandmember), (6, do_algebra),
          (5, do_algebra_store), (3, do_zintercard), (4, do_zscan), (7, do_other),
          (0.5, do_config)]

# What commands newer than the oracle answer: the words, then the reply in RESP2 and,
# where it is another one, in RESP3.
FIXED = [
    ([b"DEL", b"f"], None),
    ([b"ZADD", b"f", b"1", b"a", b"2.5", b"b"], b":2\r\n"),
    ([b"ZRANK", b"f", b"b", b"WITHSCORE"], b"*2\r\n:1\r\n$3\r\n2.5\r\n",
     b"*2\r\n:1\r\n,2.5\r\n"),
    ([b"ZREVRANK", b"f", b"b", b"withscore"], b"*2\r\n:0\r\n$3\r\n2.5\r\n",
     b"*2\r\n:0\r\n,2.5\r\n"),
    ([b"ZRANK", b"f", b"c", b"WITHSCORE"], b"*-1\r\n", b"_\r\n"),
    ([b"ZRANK", b"g", b"c", b"WITHSCORE"], b"*-1\r\n", b"_\r\n"),
    ([b"ZRANK", b"f", b"c"], b"$-1\r\n"),
    ([b"ZRANK", b"f", b"a", b"WITHSCORES"], b"-ERR syntax error\r\n"),
    ([b"ZRANK", b"f", b"a", b"WITHSCORE", b"x"],
     b"-ERR wrong number of arguments for 'zrank' command\r\n"),
    ([b"DEL", b"f"], b":1\r\n"),
]
