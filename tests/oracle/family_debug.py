"""family_debug.py: DEBUG's verbs that look inside and make things, scripts and functions as a server
answers for them that has none: at random among the server's commands, and step by step with values
whose size in a file is compared."""

import random
import re
import shlex

from compare import both_errors

SIZE_SEED = 5
SIZE_ROUNDS = 40
SIZE_EXACT_MAX = 1000  # bytes, and how many may be one more or less above


def words_of(line):
    """A command as people write it; escapes as in a Python string."""
    return [word.encode("latin-1").decode("unicode_escape").encode("latin-1")
            for word in shlex.split(line)]


def lines_of(text):
    return [words_of(line) for line in text.split("\n") if line]


# What a server without scripts and functions says. The oracle has none either.
SCRIPTS = lines_of(r"""
FUNCTION FLUSH
SCRIPT FLUSH
FUNCTION LIST
FUNCTION LIST WITHCODE
FUNCTION LIST LIBRARYNAME
FUNCTION LIST LIBRARYNAME a LIBRARYNAME b
FUNCTION LIST WITHCODE WITHCODE
FUNCTION LIST x
FUNCTION LIST libraryname x withcode
FUNCTION LIST LIBRARYNAME x x
FUNCTION LIST WITHCODE LIBRARYNAME
FUNCTION STATS
FUNCTION KILL
FUNCTION DUMP
FUNCTION FLUSH SYNC x
FUNCTION FLUSH x
FUNCTION FLUSH async
FUNCTION DELETE x
FUNCTION LOAD x y
FUNCTION RESTORE x
FUNCTION RESTORE x y
FUNCTION RESTORE x FLUSH
FUNCTION RESTORE x FLUSH z
FUNCTION RESTORE "\n\x00]\x9b\\@\x0f\x7f\xa2\xda"
FUNCTION RESTORE "\n\x00]\x9b\\@\x0f\x7f\xa2\xda" FLUSH
FUNCTION RESTORE "\n\x00]\x9b\\@\x0f\x7f\xa2\xda" z
FUNCTION RESTORE "\n\x00]\x9b\\@\x0f\x7f\xa2\xdb"
SCRIPT FLUSH x
SCRIPT FLUSH SYNC x
SCRIPT FLUSH async
SCRIPT EXISTS a b
SCRIPT KILL
EVALSHA x 0
EVALSHA x x
EVALSHA x -1
EVALSHA 0123456789012345678901234567890123456789 x
EVALSHA 0123456789012345678901234567890123456789 -1
EVALSHA 0123456789012345678901234567890123456789 1
EVALSHA 0123456789012345678901234567890123456789 1 k
EVALSHA_RO 0123456789012345678901234567890123456789 0
FCALL f 0
FCALL f x
FCALL_RO f 2 a
EVAL "return 1" 2 a
EVAL "return 1" x
EVAL "return 1" -1
EVAL_RO "return 1" 3 1
COMMAND GETKEYS EVAL x 1 a b
COMMAND GETKEYS EVALSHA x 2 a
COMMAND GETKEYS FCALL x 0
COMMAND GETKEYSANDFLAGS EVAL x 2 a b c
COMMAND GETKEYSANDFLAGS EVAL_RO x 2 a b c
""")

# What leaves the servers as they are.
DEBUG = lines_of(r"""
DEBUG PROTOCOL string
DEBUG PROTOCOL integer
DEBUG PROTOCOL double
DEBUG PROTOCOL null
DEBUG PROTOCOL array
DEBUG PROTOCOL set
DEBUG PROTOCOL map
DEBUG PROTOCOL attrib
DEBUG PROTOCOL verbatim
DEBUG PROTOCOL true
DEBUG PROTOCOL FALSE
DEBUG PROTOCOL bignum
DEBUG PROTOCOL x
DEBUG PROTOCOL
DEBUG PROTOCOL a b
DEBUG QUICKLIST-PACKED-THRESHOLD x
DEBUG QUICKLIST-PACKED-THRESHOLD -1
DEBUG QUICKLIST-PACKED-THRESHOLD 4gb
DEBUG QUICKLIST-PACKED-THRESHOLD 4293918721
DEBUG QUICKLIST-PACKED-THRESHOLD 4293918720
DEBUG QUICKLIST-PACKED-THRESHOLD 0
DEBUG LISTPACK no-such-key
DEBUG SDSLEN no-such-key
DEBUG HTSTATS x
DEBUG HTSTATS 99
DEBUG HTSTATS -1
DEBUG HTSTATS-KEY no-such-key
DEBUG SET-DISABLE-DENY-SCRIPTS 0
DEBUG REPLYBUFFER PEAK-RESET-TIME never
DEBUG REPLYBUFFER PEAK-RESET-TIME x
DEBUG REPLYBUFFER PEAK-RESET-TIME reset
DEBUG REPLYBUFFER RESIZING 1
DEBUG REPLYBUFFER x y
DEBUG REPLYBUFFER x
DEBUG PAUSE-CRON 0
DEBUG ERROR "hello world"
DEBUG ERROR "ERR a\r\nb"
DEBUG ERROR "a\n"
DEBUG ERROR ""
DEBUG ERROR a b
DEBUG LOG hello
DEBUG LOG
DEBUG STRUCTSIZE x
DEBUG POPULATE x
DEBUG POPULATE -1
DEBUG POPULATE 3 k -1
DEBUG POPULATE 3 k x
DEBUG POPULATE 3 k 1 2
DEBUG POPULATE 99999999999999999999
DEBUG POPULATE 0
""")

# What redis-server does not answer in a pipeline.
ALONE = lines_of(r"""
SCRIPT DEBUG x
SCRIPT DEBUG no
""")

# What makes keys, and who looks at them.
POPULATE = lines_of(r"""
DEBUG POPULATE 3
GET key:0
DEBUG POPULATE 3 k 10
GET k:2
DEBUG POPULATE 3 k 3
GET k:0
DEBUG POPULATE 3 m 3
GET m:0
GET m:2
DEBUG POPULATE 1 z 0
GET z:0
DEBUG POPULATE 1 z2 8
OBJECT ENCODING z2:0
DEBUG POPULATE 20 big 2000
GET big:19
DEBUG POPULATE 1000
DBSIZE
OBJECT ENCODING big:3
DEBUG LISTPACK key:0
DEBUG HTSTATS-KEY key:0
SET n 12
DEBUG SDSLEN n
HSET h a 1
DEBUG SDSLEN h
DEBUG LISTPACK h
DEBUG HTSTATS-KEY h
DEBUG DIGEST
""")

# The numbers are each server's own.
LOOSE = [(rb"key_sds_len:4, key_sds_avail:0, key_zmalloc: \d+, val_sds_len:5, val_sds_avail:\d+, "
          rb"val_zmalloc: \d+", [[b"SET", b"name", b"value"], [b"DEBUG", b"SDSLEN", b"name"]]),
         (rb"\[Dictionary HT\]\nHash table 0 stats \(main hash table\):\n table size: \d+\n number of "
          rb"elements: 1\n.*\[Expires HT\]\nHash table 0 stats \(main hash table\):\nNo stats "
          rb"available for empty dictionaries\n",
          [[b"SET", b"name", b"value"], [b"DEBUG", b"HTSTATS", b"0"]]),
         (rb"Hash table 0 stats \(main hash table\):\n table size: \d+\n number of elements: \d+\n",
          [[b"SADD", b"s"] + [b"m%d" % i for i in range(600)], [b"DEBUG", b"HTSTATS-KEY", b"s"]]),
         (rb"bits:64 ", [[b"DEBUG", b"STRUCTSIZE"]])]


def do_script(v):
    return [v.case(word) if index == 0 else word
            for index, word in enumerate(v.choice(SCRIPTS))]


def do_debug_more(v):
    if v.chance(0.1):
        return [b"DEBUG", v.case(b"POPULATE"), b"%d" % v.random.randrange(20),
                v.choice((b"key", b"p", b"{p}", b"")), b"%d" % v.random.randrange(20)]
    return v.choice(DEBUG)


def same_size(ours, theirs):
    """DEBUG OBJECT: the length in a file. Long strings may find other matches when they are
    compressed, and be some bytes longer or shorter."""
    if both_errors(ours, theirs):
        return "one is an error"
    ours, theirs = (int(re.search(rb"serializedlength:(\d+)", reply).group(1))
                    for reply in (ours, theirs))
    return None if abs(ours - theirs) <= theirs // SIZE_EXACT_MAX else f"{ours} is not {theirs}"


def some_text(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return "%d" % rng.randrange(-200, 200)
    if kind == 1:
        return "%d" % rng.randrange(-10**12, 10**12)
    if kind == 2:
        return "x" * rng.randrange(100)
    if kind == 3:
        return "ab" * rng.randrange(60)
    if kind == 4:
        return "".join(chr(97 + rng.randrange(26)) for _ in range(rng.randrange(80)))
    return "1.5"


def sizes(run, both):
    """serializedlength of small and middling values of all types."""
    rng = random.Random(SIZE_SEED)

    def look(*words):
        both.raw(*words)
        both.same(run, "DEBUG", "OBJECT", words[1], check=same_size)
    for number in range(SIZE_ROUNDS):
        count = rng.choice((1, 3, 10, 100, 300))
        texts = [some_text(rng) for _ in range(2 * count)]
        scores = [rng.choice((1, 2, 1.5, 1e300, -7)) for _ in range(count)]
        look("SET", f"string{number}", texts[0])
        look("APPEND", f"string{number}", texts[1])
        look("RPUSH", f"list{number}", *texts)
        look("SADD", f"set{number}", *texts)
        look("SADD", f"integers{number}", *range(0, 7 * count, 7))
        look("HSET", f"hash{number}", *texts)
        look("ZADD", f"zset{number}", *[w for pair in zip(scores, texts) for w in pair])
        for entry in range(count):
            both.raw("XADD", f"stream{number}", f"{entry + 1}-1", *texts[:2 * rng.randrange(1, 3)])
        look("XGROUP", "CREATE", f"stream{number}", "g", "0")


def push(run, both, protocol):
    """RESP3: a push in front of the reply."""
    both.same(run, "DEBUG", "PROTOCOL", "push")
    if protocol == 3:
        ours, theirs = (client.reply_raw() for client in both.clients)
        run.check("DEBUG PROTOCOL push", ours == theirs, f"{ours!r} is not {theirs!r}")


def play(run, both):
    """For scenarios.py: everything once, in both protocols."""
    for protocol in (2, 3):
        both.raw("FLUSHALL")
        both.raw("HELLO", protocol)
        for words in SCRIPTS + ALONE + DEBUG + POPULATE:
            both.same(run, *words)
        push(run, both, protocol)
        for pattern, lines in LOOSE:
            both.raw("FLUSHALL")
            for words in lines:
                replies = both.raw(*words)
            for name, reply in zip(("tessera", "redis-server"), replies):
                run.check(b" ".join(lines[-1]).decode(),
                          re.search(pattern, reply, re.DOTALL) is not None,
                          f"{name}: {reply!r}")
        both.raw("FLUSHALL")
    both.raw("HELLO", 2)
    sizes(run, both)
    both.raw("FLUSHALL")
