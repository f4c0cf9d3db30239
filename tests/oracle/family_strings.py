"""family_strings.py: random commands on strings.

SET IFEQ, DELIFEQ and MSETEX are newer than the oracle: it is asked a script instead that does the
same with commands that it knows.
"""

from compare import Command

WRONGTYPE = "return {err='WRONGTYPE Operation against a key holding the wrong kind of value'}"
SCRIPT_DELIFEQ = f"""
local t = redis.call('TYPE', KEYS[1]).ok
if t == 'none' then return 0 end
if t ~= 'string' then {WRONGTYPE} end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])""".encode()
SCRIPT_SET_IFEQ = f"""
local t = redis.call('TYPE', KEYS[1]).ok
if t ~= 'none' and t ~= 'string' then {WRONGTYPE} end
local old = redis.call('GET', KEYS[1])
local matches = old and old == ARGV[2]
if matches then redis.call('SET', KEYS[1], ARGV[1], unpack(ARGV, 4)) end
if ARGV[3] == 'get' then return old end
return matches and {{ok='OK'}} or false""".encode()
SCRIPT_MSETEX = b"""
local found = 0
for i = 1, #KEYS do found = found + redis.call('EXISTS', KEYS[i]) end
if ARGV[1] == 'nx' and found > 0 then return 0 end
if ARGV[1] == 'xx' and found < #KEYS then return 0 end
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1 + i], unpack(ARGV, 2 + #KEYS)) end
return 1"""


def do_get(v):
    return [b"GET", v.key()]


def do_set(v):
    args = [b"SET", v.key(), v.value()]
    if v.chance(0.4):
        return args
    options = []
    for _ in range(v.choice((1, 1, 1, 2, 2, 3, 4))):
        draw = v.random.randrange(8)
        if draw < 2:
            options.append([v.case(v.choice((b"NX", b"XX")))])
        elif draw < 4:
            options.append([v.case(b"GET")])
        elif draw < 5:
            options.append([v.case(b"KEEPTTL")])
        elif draw < 7:
            options.append(v.deadline_option())
        elif v.chance(0.3):
            options.append([v.choice((b"", b"EXX", b"PERSIST", b"EX", b"0", b"nx "))])
    return args + [word for option in options for word in option]


def do_setnx(v):
    return [b"SETNX", v.key(), v.value()]


def do_setex(v):
    return [b"SETEX", v.key(), v.seconds(), v.value()]


def do_psetex(v):
    return [b"PSETEX", v.key(), v.milliseconds(), v.value()]


def do_getset(v):
    return [b"GETSET", v.key(), v.value()]


def do_getdel(v):
    return [b"GETDEL", v.key()]


def do_getex(v):
    args = [b"GETEX", v.key()]
    draw = v.random.randrange(10)
    if draw < 5:
        args += v.deadline_option()
    elif draw < 7:
        args.append(v.case(b"PERSIST"))
    elif draw < 8:
        args += v.deadline_option() + [v.case(v.choice((b"PERSIST", b"KEEPTTL", b"EX")))]
    elif draw < 9:
        args += [v.case(b"PERSIST")] + v.deadline_option()
    return args


def do_mget(v):
    return [b"MGET"] + v.keys(12)


def do_mset(v):
    args = [v.choice((b"MSET", b"MSET", b"MSETNX"))]
    for key in v.keys(8):
        args += [key, v.value()]
    if v.chance(0.03):
        args.pop()
    return args


def do_append(v):
    return [b"APPEND", v.key(), v.value()]


def do_strlen(v):
    return [b"STRLEN", v.key()]


def do_getrange(v):
    return [v.choice((b"GETRANGE", b"SUBSTR")), v.key(), v.integer(), v.integer()]


def do_setrange(v):
    draw = v.chance_value()
    if draw < 0.6:
        offset = v.random.randint(0, 100)
    elif draw < 0.62:
        offset = v.choice((4095, 16383, 20000))
    else:
        offset = v.choice((-1, 536870912, 536870913, 2**31, 2**32, 2**63 - 1, -2**63, 2**63,
                           "x", "", "1.0"))
    return [b"SETRANGE", v.key(), str(offset).encode(),
            v.choice((b"", v.short_value(), v.short_value()))]


def do_incr(v):
    return [v.choice((b"INCR", b"DECR")), v.key()]


def do_incrby(v):
    return [v.choice((b"INCRBY", b"DECRBY")), v.key(), v.integer()]


def do_incrbyfloat(v):
    return [b"INCRBYFLOAT", v.key(), v.float()]


def do_set_number(v):
    """A number for the next increments to work on."""
    return [b"SET", v.key(), v.number() if v.chance(0.5) else v.float()]


def do_lcs(v):
    """Two short values first, most of the time: lengths multiply."""
    first, second = v.key(), v.key()
    args = [b"LCS", first, second]
    for _ in range(v.random.randrange(4)):
        draw = v.random.randrange(5)
        if draw == 4:
            args += [v.case(b"MINMATCHLEN"),
                     v.choice((b"0", b"1", b"2", b"4", b"-1", b"x", v.integer()))]
        else:
            args.append(v.case(v.choice((b"LEN", b"IDX", b"WITHMATCHLEN", b"IDX"))))
    return [[b"SET", first, v.short_value()], [b"SET", second, v.short_value()], args]


def valid_deadline(v):
    """A deadline option that is never refused, as the script cannot say so the same way."""
    return v.choice(([], [], [b"EX", b"%d" % v.random.randint(10**5, 10**9)],
                     [b"PX", b"%d" % v.random.randint(10**8, 10**12)],
                     [b"EXAT", b"%d" % v.random.randint(3 * 10**9, 10**10)],
                     [b"PXAT", b"%d" % v.random.randint(3 * 10**12, 10**13)], [b"KEEPTTL"]))


def shuffled(v, options):
    v.random.shuffle(options)
    return [word for option in options for word in option]


def do_set_ifeq(v):
    key, value, comparison = v.key(), v.value(), v.value()
    deadline, get = valid_deadline(v), v.chance(0.4)
    options = [[v.case(b"IFEQ"), comparison]]
    if deadline:
        options.append([v.case(deadline[0])] + deadline[1:])
    if get:
        options.append([v.case(b"GET")])
    command = Command([b"SET", key, value] + shuffled(v, options), None,
                      [b"EVAL", SCRIPT_SET_IFEQ, b"1", key, value, comparison,
                       b"get" if get else b""] + deadline)
    return [[b"SET", key, comparison], command] if v.chance(0.6) else command


def do_delifeq(v):
    key, value = v.key(), v.value()
    command = Command([b"DELIFEQ", key, value], None,
                      [b"EVAL", SCRIPT_DELIFEQ, b"1", key, value])
    return [[b"SET", key, value], command] if v.chance(0.5) else command


def do_msetex(v):
    keys = v.keys(8)
    values = [v.value() for _ in keys]
    deadline = valid_deadline(v)
    condition = v.choice((b"", b"", b"nx", b"xx"))
    args = [b"MSETEX", b"%d" % len(keys)]
    for key, value in zip(keys, values):
        args += [key, value]
    options = [[v.case(word) for word in deadline[:1]] + deadline[1:]]
    if condition:
        options.append([v.case(condition.upper())])
    return Command(args + shuffled(v, options), None,
                   [b"EVAL", SCRIPT_MSETEX, b"%d" % len(keys), *keys, condition, *values,
                    *deadline])


FAMILY = [(8, do_get), (10, do_set), (3, do_setnx), (3, do_setex), (3, do_psetex), (3, do_getset),
          (3, do_getdel), (4, do_getex), (6, do_mget), (6, do_mset), (4, do_append),
          (3, do_strlen), (5, do_getrange), (5, do_setrange), (5, do_incr), (6, do_incrby),
          (5, do_incrbyfloat), (4, do_set_number), (3, do_lcs), (3, do_set_ifeq), (3, do_delifeq),
          (3, do_msetex)]

NEWER = (do_set_ifeq, do_delifeq, do_msetex)

# What commands newer than the oracle answer: the words, then the reply in RESP2.
FIXED = [
    ([b"DEL", b"f", b"g"], None),
    ([b"DELIFEQ"], b"-ERR wrong number of arguments for 'delifeq' command\r\n"),
    ([b"DELIFEQ", b"f"], b"-ERR wrong number of arguments for 'delifeq' command\r\n"),
    ([b"DELIFEQ", b"f", b"v", b"x"], b"-ERR wrong number of arguments for 'delifeq' command\r\n"),
    ([b"DELIFEQ", b"f", b"v"], b":0\r\n"),
    ([b"SET", b"f", b"v", b"IFEQ", b"v"], b"$-1\r\n"),
    ([b"SET", b"f", b"v", b"IFEQ", b"v", b"GET"], b"$-1\r\n"),
    ([b"EXISTS", b"f"], b":0\r\n"),
    ([b"SET", b"f", b"v"], b"+OK\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ"], b"-ERR syntax error\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ", b"v", b"NX"], b"-ERR syntax error\r\n"),
    ([b"SET", b"f", b"w", b"XX", b"IFEQ", b"v"], b"-ERR syntax error\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ", b"v", b"IFEQ", b"v"], b"-ERR syntax error\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ", b"v", b"EX", b"0"],
     b"-ERR invalid expire time in 'set' command\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ", b"x"], b"$-1\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ", b"x", b"GET"], b"$1\r\nv\r\n"),
    ([b"SET", b"f", b"w", b"IFEQ", b"v", b"GET"], b"$1\r\nv\r\n"),
    ([b"SET", b"f", b"12", b"IFEQ", b"w"], b"+OK\r\n"),
    ([b"SET", b"f", b"13", b"IFEQ", b"012"], b"$-1\r\n"),
    ([b"DELIFEQ", b"f", b"012"], b":0\r\n"),
    ([b"DELIFEQ", b"f", b"12"], b":1\r\n"),
    ([b"MSETEX"], b"-ERR wrong number of arguments for 'msetex' command\r\n"),
    ([b"MSETEX", b"1", b"f"], b"-ERR wrong number of arguments for 'msetex' command\r\n"),
    ([b"MSETEX", b"1", b"f", b"v"], b":1\r\n"),
    ([b"MSETEX", b"2", b"f", b"v", b"g", b"w", b"NX"], b":0\r\n"),
    ([b"EXISTS", b"g"], b":0\r\n"),
    ([b"MSETEX", b"2", b"f", b"v", b"g", b"w", b"XX"], b":0\r\n"),
    ([b"MSETEX", b"2", b"f", b"v", b"g", b"w", b"NX", b"XX"], b"-ERR syntax error\r\n"),
    ([b"MSETEX", b"1", b"f", b"v", b"EX", b"10", b"PX", b"10"], b"-ERR syntax error\r\n"),
    ([b"MSETEX", b"1", b"f", b"v", b"EX", b"10", b"KEEPTTL"], b"-ERR syntax error\r\n"),
    ([b"MSETEX", b"1", b"f", b"v", b"EX", b"0"],
     b"-ERR invalid expire time in 'msetex' command\r\n"),
    ([b"MSETEX", b"1", b"f", b"v", b"EX", b"x"],
     b"-ERR value is not an integer or out of range\r\n"),
    ([b"MSETEX", b"1", b"f", b"v", b"EX"], b"-ERR syntax error\r\n"),
    ([b"MSETEX", b"1", b"f", b"v", b"g", b"w"], b"-ERR syntax error\r\n"),
    ([b"PTTL", b"f"], b":-1\r\n"),
    ([b"DEL", b"f", b"g"], b":1\r\n"),
]
