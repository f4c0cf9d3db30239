"""family_slowlog.py: random commands about what took long: SLOWLOG, COMMANDLOG, LATENCY.

What is logged by time is chance, so a group of commands sets thresholds first: 0, where every
command is logged, or -1. With several cores the commands of a pipeline overlap, and their order in
the log is that of their execution: logs are compared as multisets of what was logged. COMMANDLOG is
newer than redis-server 7.0, which is asked for its slow log instead; FIXED has the replies of what
7.0 lacks.
"""

from collections import Counter

from compare import Command, both_errors, kind, same_kind
from resp import Map, parse
from vocabulary import NEVER_KNOWN

TIME_TOLERANCE_S = 20
LOG_EVERYTHING = [b"CONFIG", b"SET", b"slowlog-log-slower-than", b"0"]
LOG_NOTHING = [b"CONFIG", b"SET", b"slowlog-log-slower-than", b"-1"]
COUNTS = [b"0", b"1", b"2", b"5", b"10", b"127", b"128", b"129", b"-1", b"-1", b"-2", b"x", b"",
          b"1.0", b" 1", b"2147483648", b"9223372036854775807", b"9223372036854775808"]
EVENTS = [b"command", b"fast-command", b"expire-cycle", b"nope", b"", b"COMMAND", b"fork"]
# Where redis-server's histograms of microseconds may end a step.
LIMITS = {((1 << bits) + (1 << (bits - 7)) - 1) // 1000 for bits in range(10, 63)}

# COMMANDLOG has no peer for these; replies as Valkey 9 documents them.
COUNT_ERROR = b"-ERR count should be greater than or equal to -1\r\n"
TYPE_ERROR = b"-ERR type should be one of the following: slow, large-request, large-reply\r\n"
FIXED = [
    ((b"CONFIG", b"SET", b"commandlog-request-larger-than", b"100"), b"+OK\r\n"),
    ((b"CONFIG", b"SET", b"commandlog-reply-larger-than", b"200"), b"+OK\r\n"),
    ((b"COMMANDLOG", b"RESET", b"large-request"), b"+OK\r\n"),
    ((b"COMMANDLOG", b"RESET", b"LARGE-REPLY"), b"+OK\r\n"),
    ((b"SET", b"log:a", b"x" * 68), b"+OK\r\n"),
    ((b"COMMANDLOG", b"LEN", b"large-request"), b":0\r\n"),
    ((b"SET", b"log:a", b"x" * 69), b"+OK\r\n"),
    ((b"COMMANDLOG", b"LEN", b"Large-Request"), b":1\r\n"),
    ((b"ECHO", b"y" * 191), b"$191\r\n" + b"y" * 191 + b"\r\n"),
    ((b"COMMANDLOG", b"LEN", b"large-reply"), b":0\r\n"),
    ((b"SET", b"log:b", b"y" * 192), b"+OK\r\n"),
    ((b"GET", b"log:b"), b"$192\r\n" + b"y" * 192 + b"\r\n"),
    ((b"COMMANDLOG", b"LEN", b"large-reply"), b":1\r\n"),
    ((b"COMMANDLOG", b"GET", b"0", b"large-reply"), b"*0\r\n"),
    ((b"DEL", b"log:a", b"log:b"), b":2\r\n"),
    ((b"COMMANDLOG", b"RESET", b"large-request"), b"+OK\r\n"),
    ((b"COMMANDLOG", b"LEN", b"large-request"), b":0\r\n"),
    ((b"CONFIG", b"SET", b"commandlog-request-larger-than", b"1048576"), b"+OK\r\n"),
    ((b"CONFIG", b"SET", b"commandlog-reply-larger-than", b"1048576"), b"+OK\r\n"),
    ((b"COMMANDLOG", b"GET", b"-2", b"slow"), COUNT_ERROR),
    ((b"COMMANDLOG", b"GET", b"x", b"nope"), COUNT_ERROR),
    ((b"COMMANDLOG", b"GET", b"1", b"nope"), TYPE_ERROR),
    ((b"COMMANDLOG", b"LEN", b""), TYPE_ERROR),
    ((b"COMMANDLOG", b"RESET", b"slowlog"), TYPE_ERROR),
    ((b"COMMANDLOG", b"GET", b"1"),
     b"-ERR wrong number of arguments for 'commandlog|get' command\r\n"),
    ((b"COMMANDLOG", b"GET", b"1", b"slow", b"x"),
     b"-ERR wrong number of arguments for 'commandlog|get' command\r\n"),
    ((b"COMMANDLOG", b"LEN"), b"-ERR wrong number of arguments for 'commandlog|len' command\r\n"),
    ((b"COMMANDLOG", b"RESET"),
     b"-ERR wrong number of arguments for 'commandlog|reset' command\r\n"),
    ((b"COMMANDLOG", b"NOPE"), b"-ERR unknown subcommand 'NOPE'. Try COMMANDLOG HELP.\r\n"),
    ((b"COMMANDLOG",), b"-ERR wrong number of arguments for 'commandlog' command\r\n"),
]


def entries_problem(entries):
    """What is wrong with the form of a log's entries, which come newest first."""
    for entry in entries:
        forms = [kind(field) for field in entry]
        if forms != ["int", "int", "int", "list", "bytes", "bytes"]:
            return f"an entry has {forms}"
        if entry[2] < 0 or b":" not in entry[4]:
            return f"{entry} has no duration or address"
    ids = [entry[0] for entry in entries]
    return None if ids == sorted(ids, reverse=True) else f"ids {ids}"


def is_about_logs(entry):
    """Such commands may be COMMANDLOG on one side and SLOWLOG on the other."""
    return entry[3][0].upper() in (b"SLOWLOG", b"COMMANDLOG")


def log(is_whole):
    """Logs; is_whole: nothing was left out, so that the same must be in both."""
    def check(ours, theirs):
        if both_errors(ours, theirs):
            return "one is an error"
        ours, theirs = parse(ours), parse(theirs)
        problem = entries_problem(ours) or entries_problem(theirs)
        if problem or len(ours) != len(theirs):
            return problem or f"{len(ours)} entries are not {len(theirs)}"
        if ours and abs(ours[0][1] - theirs[0][1]) > TIME_TOLERANCE_S:
            return "other times"
        a, b = (Counter(repr((e[3], e[5])) for e in entries if not is_about_logs(e))
                for entries in (ours, theirs))
        return f"{a - b} is not {b - a}" if is_whole and a != b else None
    return check


def length(v, is_whole):
    check = None if is_whole else same_kind
    if v.chance(0.4):
        return Command([b"COMMANDLOG", v.case(b"LEN"), v.case(b"slow")], check,
                       peer=[b"SLOWLOG", b"LEN"])
    return Command([b"SLOWLOG", v.case(b"LEN")], check)


def entries(v, count, is_whole):
    if v.chance(0.4):
        return Command([b"COMMANDLOG", v.case(b"GET"), count, v.case(b"slow")], log(is_whole),
                       peer=[b"SLOWLOG", b"GET", count])
    return Command([b"SLOWLOG", v.case(b"GET"), count], log(is_whole))


def reset(v):
    if v.chance(0.4):
        return Command([b"COMMANDLOG", v.case(b"RESET"), b"slow"], peer=[b"SLOWLOG", b"RESET"])
    return Command([b"SLOWLOG", v.case(b"RESET")])


def logged(v):
    """Commands of all sorts: long ones, of several keys, that fail, that are refused, secrets."""
    draw = v.random.randrange(12)
    if draw == 0:
        return [b"SET", v.key(), v.bytes(v.choice((0, 10, 127, 128, 129, 130, 1000, 70000)))]
    if draw == 1:
        return [v.choice((b"MGET", b"DEL", b"EXISTS"))] + \
            [v.key() for _ in range(v.choice((1, 2, 30, 31, 32, 33, 100)))]
    if draw == 2:
        return [b"MSET"] + [word for _ in range(v.choice((1, 2, 15, 16, 17)))
                            for word in (v.key(), v.short_value())]
    if draw == 3:
        return [v.choice((b"INCR", b"GET", b"STRLEN")), v.key()]
    if draw == 4:
        return [b"PING"] + [v.short_value() for _ in range(v.random.randrange(3))]
    if draw == 5:
        return [b"HELLO", b"3", b"AUTH", b"nobody", b"secret"]
    if draw == 6:
        return [v.choice(NEVER_KNOWN), v.short_value()]
    if draw == 7:
        return [b"SET", v.key(), b"v", v.choice((b"XX", b"NX", b"nope"))]
    if draw == 8:
        return [b"CONFIG", b"SET", b"slowlog-max-len", b"1000"]
    if draw == 9:
        return [b"CLIENT", b"SETNAME", v.choice((b"", b"me", b"you", b"a b"))]
    if draw == 10:
        return v.choice(([b"GET"], [b"GET", b"a", b"b"], [b"SLOWLOG", b"NOPE"], [b"SLOWLOG"]))
    return [b"DBSIZE"]


def do_log(v):
    """A log of some commands, from its beginning."""
    # A name that changes while a forwarded command is under way may be in its entry, or not yet.
    commands = [Command([b"CONFIG", b"SET", b"slowlog-max-len", b"1000"]), Command(LOG_EVERYTHING),
                reset(v)]
    drawn = [logged(v) for _ in range(v.choice((1, 5, 30)))]
    names = [words for words in drawn if words[:2] == [b"CLIENT", b"SETNAME"]]
    others = [words for words in drawn if words[:2] != [b"CLIENT", b"SETNAME"]]
    commands += [Command(words) for words in names[:1] + others]
    if v.chance(0.3):
        commands += transaction(v)
    commands.append(length(v, True))
    commands.append(entries(v, v.choice((b"-1", b"1000")), True))
    commands.append(Command(LOG_NOTHING))
    commands.append(length(v, True))
    return commands


def transaction(v):
    """What is queued is logged when it runs; EXEC itself is not."""
    queued = [v.choice(([b"SET", v.key(), b"v"], [b"MGET", v.key(), v.key()], [b"DBSIZE"],
                        [b"CLIENT", b"GETNAME"], [b"PING"], [b"INCR", v.key()],
                        [b"SET", v.key(), b"long" * 100], [b"STRLEN", v.key()]))
              for _ in range(v.choice((1, 3, 10)))]
    end = [b"DISCARD"] if v.chance(0.1) else [b"EXEC"]
    return [Command(words) for words in [[b"MULTI"]] + queued + [end]]


def do_log_bounded(v):
    """A log that is longer than it may be."""
    most = v.choice((0, 1, 2, 5, 20))
    commands = [Command([b"CONFIG", b"SET", b"slowlog-max-len", b"%d" % most]), reset(v),
                Command(LOG_EVERYTHING)]
    for _ in range(v.choice((1, most, 2 * most, 30))):
        commands.append(Command([b"STRLEN", v.key()]))
    commands.append(length(v, True))
    commands.append(entries(v, b"%d" % v.random.randint(-1, 30), False))
    most = v.choice((0, 1, 3, 1000))
    commands.append(Command([b"CONFIG", b"SET", b"slowlog-max-len", b"%d" % most]))
    commands.append(length(v, True))
    commands.append(entries(v, b"-1", False))
    commands.append(Command(LOG_NOTHING))
    return commands


def do_log_error(v):
    return v.choice((
        [b"SLOWLOG", v.case(b"GET"), v.choice((b"x", b"-2", b"", b"1.0", b"9223372036854775808"))],
        [b"SLOWLOG", v.case(b"GET"), b"1", v.choice((b"2", b"x"))],
        [b"SLOWLOG", b"GET", b"1", b"2", b"3"], [b"SLOWLOG"],
        [b"SLOWLOG", b"LEN", b"x"], [b"SLOWLOG", b"RESET", b"x"],
        [b"SLOWLOG", v.choice(NEVER_KNOWN)], [b"SLOWLOG", b"HELP", b"x"]))


def do_log_get(v):
    """Thresholds as they happen to be."""
    count = v.choice(COUNTS)
    if v.chance(0.2):
        return Command([b"SLOWLOG", v.case(b"GET")], log_form)
    return Command([b"SLOWLOG", v.case(b"GET"), count], log_form)


def log_form(ours, theirs):
    if both_errors(ours, theirs):
        return "one is an error"
    return entries_problem(parse(ours)) or entries_problem(parse(theirs))


def do_log_reset(v):
    return reset(v)


def do_config(v):
    name = v.choice((b"slowlog-log-slower-than", b"slowlog-max-len", b"latency-monitor-threshold"))
    value = v.choice((b"-1", b"-2", b"1000000000", b"x", b"", b"9223372036854775807", b"1kb",
                      b"9223372036854775808", b"1.5"))
    return [Command([b"CONFIG", b"SET", name, value]), Command([b"CONFIG", b"GET", name])]


# ---- LATENCY ----

def latest(ours, theirs):
    """The event that was made to happen is there on both sides; others may be."""
    for name, reply in (("ours", ours), ("theirs", theirs)):
        events = {row[0]: row for row in parse(reply)}
        if b"command" not in events:
            return f"{name} lacks the event"
        for row in events.values():
            if [kind(field) for field in row] != ["bytes", "int", "int", "int"] or row[2] > row[3]:
                return f"{name} has {row}"
    return None


def history(ours, theirs):
    for name, reply in (("ours", ours), ("theirs", theirs)):
        rows = parse(reply)
        if not rows or any(len(row) != 2 or row[1] < 15 for row in rows):
            return f"{name} has {rows}"
    return None


def do_latency(v):
    """An event that surely happens."""
    return [Command([b"CONFIG", b"SET", b"latency-monitor-threshold", b"15"]),
            Command([b"LATENCY", b"RESET"], same_kind),
            Command([b"DEBUG", b"SLEEP", b"0.02"]),
            Command([b"CONFIG", b"SET", b"latency-monitor-threshold", v.choice((b"0", b"100000"))]),
            Command([b"LATENCY", v.case(b"LATEST")], latest),
            Command([b"LATENCY", v.case(b"HISTORY"), b"command"], history),
            Command([b"LATENCY", v.case(b"GRAPH"), b"command"], graph),
            Command([b"LATENCY", v.case(b"DOCTOR")], same_kind),
            Command([b"LATENCY", v.case(b"RESET"), b"nope", b"command", b"command"]),
            Command([b"LATENCY", b"HISTORY", b"command"]),
            Command([b"LATENCY", b"GRAPH", b"command"]),
            Command([b"LATENCY", b"RESET"], same_kind)]


def graph(ours, theirs):
    """The same first two lines but for the times; the rest is drawn."""
    problem = same_kind(ours, theirs)
    if problem:
        return problem

    def head(reply):
        lines = bytes(parse(reply)).split(b"\n")
        return b" ".join(word for word in lines[0].split() if not word.isdigit()), lines[1]
    return None if head(ours) == head(theirs) else f"{head(ours)} is not {head(theirs)}"


def do_latency_nothing(v):
    draw = v.random.randrange(4)
    if draw == 0:
        return [b"LATENCY", v.case(v.choice((b"HISTORY", b"GRAPH"))), v.choice(EVENTS[2:])]
    if draw == 1:
        return [b"LATENCY", v.case(b"RESET")] + [v.choice(EVENTS[3:]) for _ in range(3)]
    if draw == 2:
        return Command([b"LATENCY", v.case(v.choice((b"DOCTOR", b"LATEST")))], same_kind)
    return v.choice(([b"LATENCY"], [b"LATENCY", v.choice(NEVER_KNOWN)], [b"LATENCY", b"HISTORY"],
                     [b"LATENCY", b"GRAPH"], [b"LATENCY", b"LATEST", b"x"],
                     [b"LATENCY", b"DOCTOR", b"x"], [b"LATENCY", b"HISTORY", b"a", b"b"],
                     [b"LATENCY", b"GRAPH", b"a", b"b"], [b"LATENCY", b"HELP", b"x"]))


def histogram_rows(reply):
    """{command: (calls, [(microseconds, calls so far)])}"""
    def pairs(value):
        return list(value) if isinstance(value, Map) else list(zip(value[::2], value[1::2]))
    rows = {}
    for name, fields in pairs(reply):
        fields = dict(pairs(fields))
        rows[name] = fields[b"calls"], pairs(fields[b"histogram_usec"])
    return rows


def histogram(ours, theirs):
    """The same commands and calls; steps that redis-server has, too, and that add up."""
    if kind(parse(ours)) != kind(parse(theirs)):
        return "other type"
    ours, theirs = histogram_rows(parse(ours)), histogram_rows(parse(theirs))
    counts = [{name: row[0] for name, row in rows.items()} for rows in (ours, theirs)]
    if counts[0] != counts[1]:
        return f"calls {counts[0]} are not {counts[1]}"
    for name, (calls, steps) in list(ours.items()) + list(theirs.items()):
        counted = [count for _, count in steps]
        if counted != sorted(set(counted)) or counted[-1:] != [calls]:
            return f"{name}: {calls} calls, {steps}"
        if not {us for us, _ in steps} <= LIMITS:
            return f"{name}: {steps}"
    return None


def do_histogram(v):
    commands = [Command([b"CONFIG", b"RESETSTAT"])]
    for _ in range(v.choice((0, 1, 10))):
        commands.append(Command(v.choice(([b"GET", v.key()], [b"SET", v.key(), b"v"], [b"PING"],
                                          [b"MGET", v.key(), v.key()], [b"DBSIZE"], [b"GET"],
                                          [b"CLIENT", b"GETNAME"], [b"CLIENT", b"ID"])),
                                same_kind))
    names = [v.case(v.choice((b"get", b"set", b"ping", b"mget", b"dbsize", b"client", b"nope",
                              b"client|id", b"client|nope", b"client|getname", b"")))
             for _ in range(v.choice((1, 1, 3, 6)))]
    if v.chance(0.3):
        # All commands, but none that only one of the servers was asked.
        names = []
    commands.append(Command([b"LATENCY", v.case(b"HISTOGRAM")] + names, histogram))
    return commands


def stat_rows(reply):
    """{name: {field: number}} of INFO's lines `name:field=number,...`."""
    rows = {}
    for line in bytes(parse(reply)).split(b"\r\n"):
        if b"=" in line:
            name, fields = line.split(b":", 1)
            rows[name] = dict(field.split(b"=") for field in fields.split(b","))
    return rows


def stats(ours, theirs):
    """The same names; the same numbers but for times."""
    if kind(parse(ours)) != kind(parse(theirs)):
        return "other type"
    ours, theirs = stat_rows(ours), stat_rows(theirs)
    if set(ours) != set(theirs):
        return f"{sorted(set(ours) - set(theirs))} and {sorted(set(theirs) - set(ours))}"
    for name, fields in theirs.items():
        if list(fields) != list(ours[name]):
            return f"{name}: {list(ours[name])} is not {list(fields)}"
        for field in fields.keys() & {b"calls", b"rejected_calls", b"failed_calls", b"count"}:
            if fields[field] != ours[name][field]:
                return f"{name}: {field} {ours[name][field]} is not {fields[field]}"
    return None


def do_stats(v):
    """What INFO says of commands and errors."""
    # Unknown commands are refused at once, also before an earlier RESETSTAT; PING waits for it.
    commands = [Command([b"CONFIG", b"RESETSTAT"]), Command([b"PING"])]
    commands += [Command(logged(v)) for _ in range(v.choice((0, 1, 10)))]
    if v.chance(0.5):
        commands += transaction(v)
    commands.append(Command([b"LPUSH", b"stats:list", b"x"], same_kind))
    commands.append(Command(v.choice(([b"GET", b"stats:list"], [b"INCR", b"stats:list"],
                                      [b"LPUSH", b"stats:list"], [b"CONFIG", b"NOPE"]))))
    commands.append(Command([b"DEL", b"stats:list"]))
    commands.append(Command([b"INFO", b"commandstats"], stats))
    commands.append(Command([b"INFO", b"errorstats"], stats))
    commands.append(Command([b"INFO", b"latencystats"], stats))
    return commands


def do_data(v):
    return v.choice(([b"SET", v.key(), v.short_value()], [b"GET", v.key()], [b"DEL", v.key()]))


FAMILY = [(8, do_log), (6, do_log_bounded), (10, do_log_error), (6, do_log_get), (2, do_log_reset),
          (6, do_config), (1, do_latency), (10, do_latency_nothing), (8, do_histogram), (6, do_stats),
          (10, do_data)]
RESTORED = [b"slowlog-log-slower-than", b"10000", b"slowlog-max-len", b"128",
            b"latency-monitor-threshold", b"0"]
