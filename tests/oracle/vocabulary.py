"""vocabulary.py: the words that random commands are made of.

Keys are few, so that commands meet each other's traces; some share a hash tag (one shard) and some
do not (several shards). Values and numbers sit around the thresholds where servers change their
mind: the longest embedded string, the ends of 64 bits, what looks like a number but is none.

No deadline that a generator makes falls within the run: it lies in the past or hours ahead, else
two servers would differ by the milliseconds between them. scenarios.py tests deadlines that pass.
"""

import random

KEYS = [b"a", b"b", b"c", b"k1", b"k2", b"k3", b"k4", b"{t}1", b"{t}2", b"{t}3", b"foo{t}bar",
        b"{u}1", b"{u}2", b"{}x", b"x{y", b"", b"\x00\xff\r\n", b"key with space", b"L" * 300]
DATABASES = [b"0", b"1", b"2", b"15"]
DATABASES_HOSTILE = [b"-1", b"16", b"x", b"", b"99999999999999999999", b"1.0", b" 1", b"4294967296"]

INTEGERS_HOSTILE = [
    b"0", b"1", b"-1", b"2", b"-2", b"10", b"100", b"-100", b"2147483647", b"-2147483648",
    b"2147483648", b"4294967295", b"4294967296", b"9223372036854775807", b"-9223372036854775808",
    b"9223372036854775806", b"-9223372036854775807", b"9223372036854775808",
    b"-9223372036854775809", b"18446744073709551615", b"99999999999999999999999999", b"", b" ",
    b" 1", b"1 ", b"+1", b"01", b"-0", b"00", b"1.0", b"1e3", b"0x10", b"abc", b"-", b"1\x00",
    b"9007199254740993", b"536870911", b"536870912"]
FLOATS_HOSTILE = [
    b"0", b"-0", b"1", b"1.5", b"-1.5", b"0.1", b"3.0e3", b"1e17", b"1e18", b"1e-5", b"5e-324",
    b"1e308", b"1e400", b"-1e400", b"1e4932", b"1e5000", b"nan", b"NaN", b"inf", b"-inf",
    b"+inf", b"infinity", b"", b" 1", b"1 ", b"+1", b".5", b"5.", b"1e", b"e1", b"0x1p3", b"0x10",
    b"1_0", b"1,5", b"--1", b"9" * 40, b"0." + b"3" * 40, b"1" + b"0" * 300,
    b"1.0000000000000000001",
    b"123456789012345678.5", b"-3.14159265358979323846", b"1\x002", b"abc", b"10.10"]
NEVER_KNOWN = [b"FOO", b"no such", b"", b"g\xc3\xa9t", b"GETT", b"foo\r\nbar", b"x" * 200, b"|",
               b"get|x"]
PATTERNS = [b"*", b"?", b"k?", b"k*", b"*t*", b"[a-c]", b"[^a]", b"[c-a]", b"\\*", b"{t}*", b"[",
            b"[a", b"", b"*{*}*", b"\\", b"[^", b"a", b"k[1-3]", b"*" * 20 + b"x", b"[\\]]", b"k[",
            b"\xff*",
            b"key with*", b"L*", b"[a-]", b"**", b"*?*"]


class Vocabulary:
    """Draws words from one seeded generator."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.choice = self.random.choice
        self.chance_value = self.random.random

    def chance(self, probability):
        return self.chance_value() < probability

    def key(self):
        return self.choice(KEYS)

    def keys(self, most=6):
        """Several keys, some of them twice."""
        count = self.random.choice((1, 1, 2, 2, 3, 4, most))
        keys = [self.key() for _ in range(count)]
        if count > 1 and self.chance(0.2):
            keys[-1] = keys[0]
        return keys

    def integer(self):
        draw = self.chance_value()
        if draw < 0.5:
            return b"%d" % self.random.randint(-20, 60)
        if draw < 0.6:
            return b"%d" % self.random.randint(-2**63, 2**63 - 1)
        return self.choice(INTEGERS_HOSTILE)

    def number(self):
        """A valid 64-bit integer."""
        if self.chance(0.7):
            return b"%d" % self.random.randint(-1000, 20000)
        return b"%d" % self.random.randint(-2**63, 2**63 - 1)

    def float(self):
        draw = self.chance_value()
        if draw < 0.3:
            return b"%d" % self.random.randint(-1000, 1000)
        if draw < 0.6:
            return b"%.*f" % (self.random.randint(0, 17), self.random.uniform(-1000, 1000))
        if draw < 0.65:
            return b"%.*e" % (self.random.randint(0, 17), self.random.uniform(-10, 10))
        return self.choice(FLOATS_HOSTILE)

    def bytes(self, size):
        if self.chance(0.5):
            return self.random.randbytes(size)
        return bytes(self.random.choices(b"abcdefgh \n", k=size)) if size < 4096 else b"q" * size

    def value(self):
        draw = self.chance_value()
        if draw < 0.25:
            return self.bytes(self.random.randint(0, 12))
        if draw < 0.45:
            return self.number()
        if draw < 0.6:
            return self.float()
        if draw < 0.7:
            return self.choice(INTEGERS_HOSTILE)
        if draw < 0.9:
            return self.bytes(self.random.choice((19, 20, 21, 31, 32, 43, 44, 45, 46, 63, 64, 65)))
        if draw < 0.985:
            return self.bytes(self.random.randint(50, 600))
        if draw < 0.9998:
            return self.bytes(self.random.choice((4095, 4096, 16383, 16384, 16385)))
        return self.bytes((1 << 20) + self.random.randint(-2, 2))

    def short_value(self):
        """For commands whose time or memory is the product of two lengths."""
        return self.bytes(self.random.randint(0, 60))

    def database(self):
        return self.choice(DATABASES) if self.chance(0.9) else self.choice(DATABASES_HOSTILE)

    def pattern(self):
        if self.chance(0.7):
            return self.choice(PATTERNS)
        return bytes(self.random.choices(b"*?[]^-\\ak1t{}", k=self.random.randint(0, 8)))

    def case(self, word):
        """The word as it is, in lower case or mixed."""
        draw = self.chance_value()
        if draw < 0.6:
            return word
        if draw < 0.8:
            return word.lower()
        return bytes(byte ^ 0x20 if 65 <= byte <= 90 and self.chance(0.5) else byte
                     for byte in word)

    # Deadlines, for each unit: far ahead, in the past, or no deadline at all.

    BAD_DEADLINES = [b"0", b"-1", b"-1000", b"-9223372036854775808", b"9223372036854775807",
                     b"9223372036854775", b"9223372036854776", b"-9223372036854775",
                     b"-9223372036854776", b"9223370000000000000",
                     b"99999999999999999999", b"abc", b"", b"1.5", b" 100000", b"nan"]

    def seconds(self):
        if self.chance(0.8):
            return b"%d" % self.random.randint(10**5, 10**9)
        return self.choice(self.BAD_DEADLINES)

    def milliseconds(self):
        if self.chance(0.8):
            return b"%d" % self.random.randint(10**8, 10**12)
        return self.choice(self.BAD_DEADLINES)

    def seconds_absolute(self):
        draw = self.chance_value()
        if draw < 0.7:
            return b"%d" % self.random.randint(3 * 10**9, 10**10)
        if draw < 0.8:
            return b"%d" % self.random.randint(1, 10**9)
        return self.choice(self.BAD_DEADLINES)

    def milliseconds_absolute(self):
        draw = self.chance_value()
        if draw < 0.7:
            return b"%d" % self.random.randint(3 * 10**12, 10**13)
        if draw < 0.8:
            return b"%d" % self.random.randint(1, 10**12)
        return self.choice(self.BAD_DEADLINES)

    def deadline_option(self):
        """[word, value] of SET and its kin."""
        word = self.choice((b"EX", b"PX", b"EXAT", b"PXAT"))
        value = {b"EX": self.seconds, b"PX": self.milliseconds, b"EXAT": self.seconds_absolute,
                 b"PXAT": self.milliseconds_absolute}[word]()
        return [self.case(word), value]


def deadline_could_pass(args):
    """Whether some number among the arguments might be read as a deadline within the run."""
    for arg in args[1:]:
        try:
            number = int(arg)
        except ValueError:
            continue
        if 0 < number < 10**8:
            return True
    return False


DEADLINE_COMMANDS = {b"EXPIRE", b"PEXPIRE", b"SETEX", b"PSETEX", b"SET", b"GETEX", b"MSETEX",
                     b"EXPIREAT", b"PEXPIREAT"}


def mutate(vocabulary, args):
    """The same command with something wrong: an argument too many, too few, twice, or another."""
    args = list(args)
    draw = vocabulary.random.randrange(4)
    place = vocabulary.random.randrange(1, len(args)) if len(args) > 1 else 0
    if draw == 0 and place:
        del args[place]
    elif draw == 1:
        args.append(vocabulary.choice((b"", b"x", b"NX", b"1", b"\x00", b"GET", vocabulary.key())))
    elif draw == 2 and place:
        args.insert(place, args[place])
    elif place:
        args[place] = vocabulary.choice((b"", b"abc", vocabulary.integer(), vocabulary.float(),
                                         vocabulary.key()))
    if args[0].upper() in DEADLINE_COMMANDS and deadline_could_pass(args):
        args = [args[0]] + [b"0" if deadline_could_pass([b"", arg]) else arg for arg in args[1:]]
    return args
