"""family_sort.py: random SORT and SORT_RO.

Sources are short lists, sets and sorted sets of small numbers and words; weights and results lie in
strings and hashes whose names patterns make of the elements. Where the order is chance (a set that
is not sorted, equal weights) replies are compared as far as they are not.
"""

from compare import Command, same_kind, unordered

SOURCES = [b"src1", b"src2", b"{t}src", b"src3", b"absent"]
NUMBERS = [b"%d" % n for n in range(-3, 12)] + [b"1.5", b"-0.5", b"3e2", b"0x10", b"inf", b" 7", b""]
WORDS = [b"a", b"b", b"B", b"aa", b"ab", b"z", b"\xe9", b"a b", b"-1"]
BY = [b"w_*", b"w_*", b"{t}w_*", b"h_*->f", b"h_*->g", b"no_*", b"nosort", b"w_*->f", b"h_*->", b"*"]
GET = [b"#", b"w_*", b"h_*->f", b"h_*->none", b"no_*", b"const", b"{t}w_*", b"str_*", b"h_*->"]


def element(v, numeric):
    return v.choice(NUMBERS if numeric else NUMBERS + WORDS)


def do_fill(v):
    key = v.choice(SOURCES[:-1])
    numeric = v.chance(0.7)
    elements = list(dict.fromkeys(element(v, numeric) for _ in range(v.random.randint(1, 12))))
    kind = v.choice((b"RPUSH", b"SADD", b"ZADD"))
    if kind == b"ZADD":
        # SORT turns a small one into a skiplist there: this one is so on both sides.
        elements.append(b"0" * 66 + b"5")
    args = []
    for index, text in enumerate(elements):
        args += [b"%d" % index, text] if kind == b"ZADD" else [text]
    return [[b"DEL", key], [kind, key] + args]


def do_weights(v):
    commands = []
    for text in v.random.sample(NUMBERS + WORDS, 5):
        number = b"%d" % v.random.randint(-100, 100)
        commands.append(v.choice((
            [b"SET", b"w_" + text, number], [b"SET", b"{t}w_" + text, number],
            [b"HSET", b"h_" + text, b"f", number, b"g", v.choice(WORDS)],
            [b"SET", b"str_" + text, v.value()], [b"DEL", b"w_" + text])))
    return commands


def do_sort(v):
    args = [v.choice((b"SORT", b"SORT", b"SORT_RO")), v.choice(SOURCES)]
    by = v.choice(BY) if v.chance(0.6) else None
    gets = [v.choice(GET) for _ in range(v.choice((0, 0, 1, 2, 3)))]
    alpha = v.chance(0.4)
    limit = [b"LIMIT", b"%d" % v.random.randint(-2, 8), b"%d" % v.random.randint(-2, 8)] \
        if v.chance(0.3) else []
    options = [[b"BY", by]] if by else []
    options += [[b"GET", pattern] for pattern in gets]
    options += [[b"ALPHA"]] if alpha else []
    options += [limit] if limit else []
    if v.chance(0.5):
        options.append([v.choice((b"ASC", b"DESC"))])
    # Equal weights, and sets without an order, are chance.
    is_chance = by is not None and (b"*" not in by or alpha)
    if args[0] == b"SORT" and v.chance(0.3) and not is_chance:
        options.append([b"STORE", v.choice((b"dst", b"{t}dst", args[1]))])
    v.random.shuffle(options)
    args += [word for option in options for word in option]
    if not is_chance:
        return [Command(args)]
    return [Command(args, same_kind if limit else unordered)]


def do_sort_in_multi(v):
    commands = [[b"MULTI"]]
    for _ in range(v.random.randint(1, 3)):
        commands += v.choice((
            [[b"SORT", b"src1", b"BY", b"w_*", b"GET", b"#", b"GET", b"h_*->f"]],
            [[b"RPUSH", b"dst", b"9", b"1"]],
            [[b"SORT_RO", b"{t}src", b"BY", b"{t}w_*", b"DESC"]],
            [[b"SORT", b"src2", b"BY", b"w_*", b"STORE", b"dst"]], [[b"SET", b"w_1", b"50"]],
            [[b"SORT", b"dst", b"ALPHA", b"STORE", b"{t}dst"]]))
    return commands + [[b"EXEC"]]


def do_read(v):
    return [[b"TYPE", b"dst"], [b"DEL", v.choice((b"dst", b"{t}dst"))]]


def do_range(v):
    return [b"LRANGE", v.choice((b"dst", b"{t}dst")), b"0", b"-1"]


def do_wrong(v):
    return v.choice(([b"SORT"], [b"SORT", b"src1", b"LIMIT", b"1"], [b"SORT", b"str_a"],
                     [b"SORT_RO", b"src1", b"STORE", b"dst"], [b"SORT", b"src1", b"BY"],
                     [b"SORT", b"src1", b"LIMIT", b"a", b"1"], [b"SORT", b"src1", b"x"],
                     [b"COMMAND", b"GETKEYS", b"SORT", b"a", b"BY", b"x*", b"STORE", b"d"]))


FAMILY = [(4, do_fill), (4, do_weights), (14, do_sort), (2, do_sort_in_multi), (1, do_read),
          (2, do_range), (1, do_wrong)]
