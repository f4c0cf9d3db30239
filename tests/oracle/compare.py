"""compare.py: what counts as the same reply.

Replies are compared as bytes. Where the contract leaves something open (order, time, chance), a
command brings one of the checks below, which gets both replies when their bytes differ. A check
returns None when it is content, else what it misses.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from resp import Error, Map, Push, Set, Simple, Verbatim, parse  # noqa: E402

TIME_TOLERANCE_MS = 4000


class Command:
    """One command of a stream: its words, the check of its replies, and what the oracle is asked
    instead where it does not know the command."""
    __slots__ = ("args", "check", "peer")

    def __init__(self, args, check=None, peer=None):
        self.args = args
        self.check = check
        self.peer = peer


def both_errors(ours, theirs):
    return ours[:1] == b"-" or theirs[:1] == b"-"


def kind(value):
    for kind_class in (Error, Simple, Verbatim, Push, Set, Map):
        if isinstance(value, kind_class):
            return kind_class.__name__
    return type(value).__name__


def unordered(ours, theirs):
    """Arrays or sets with the same elements in any order."""
    if both_errors(ours, theirs):
        return "one is an error"
    ours, theirs = parse(ours), parse(theirs)
    if kind(ours) != kind(theirs):
        return f"{kind(ours)} is not {kind(theirs)}"
    if sorted(map(repr, ours)) != sorted(map(repr, theirs)):
        return "other elements"
    return None


def same_kind(ours, theirs):
    """Values of the same type; what they are is chance. Nil is no value."""
    if both_errors(ours, theirs):
        return "one is an error"
    ours, theirs = kind(parse(ours)), kind(parse(theirs))
    return None if ours == theirs else f"{ours} is not {theirs}"


def near(tolerance):
    """Integers that differ by less than the tolerance; negative ones must be the same."""
    def check(ours, theirs):
        if ours[:1] != b":" or theirs[:1] != b":":
            return "not two integers"
        ours, theirs = parse(ours), parse(theirs)
        if min(ours, theirs) < 0:
            return "a negative integer"
        return None if abs(ours - theirs) <= tolerance else f"further apart than {tolerance}"
    return check


near_seconds = near(TIME_TOLERANCE_MS // 1000)
near_milliseconds = near(TIME_TOLERANCE_MS)


def scan_shape(ours, theirs):
    """[cursor, keys]: cursors and portions are the server's own business."""
    for name, reply in (("ours", ours), ("theirs", theirs)):
        if reply[:1] == b"-":
            return f"{name} is an error"
        value = parse(reply)
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], bytes)
                and value[0].isdigit() and isinstance(value[1], list)):
            return f"{name} is not [cursor, keys]"
    return None


def same_shape(ours, theirs):
    """The same nesting of types; arrays of any length, maps with the same keys."""
    def walk(a, b, path):
        if kind(a) != kind(b):
            return f"{path}: {kind(a)} is not {kind(b)}"
        if isinstance(a, Map):
            if [key for key, _ in a] != [key for key, _ in b]:
                return f"{path}: other fields"
            for (key, x), (_, y) in zip(a, b):
                problem = walk(x, y, f"{path}.{key}")
                if problem:
                    return problem
        elif isinstance(a, list) and a and b:
            return walk(a[0], b[0], f"{path}[0]")
        return None
    return walk(parse(ours), parse(theirs), "reply")


def hello_fields(ours, theirs):
    """HELLO: the same fields with the same types, but our version and id."""
    problem = same_shape(ours, theirs)
    if problem or both_errors(ours, theirs):
        return problem or "one is an error"
    own = {b"version", b"id"}

    def fields(value):
        pairs = value if isinstance(value, Map) else list(zip(value[::2], value[1::2]))
        return [(name, kind(field) if name in own else field) for name, field in pairs]
    ours, theirs = fields(parse(ours)), fields(parse(theirs))
    return None if ours == theirs else f"{ours} is not {theirs}"


def client_line_fields(ours, theirs):
    """CLIENT LIST and INFO: `name=value` words. Ours may have more fields, none may be missing."""
    if kind(parse(ours)) != kind(parse(theirs)):
        return "other type"
    if both_errors(ours, theirs):
        return "one is an error"

    def names(text):
        return [word.split(b"=", 1)[0] for word in bytes(text).split(b"\n")[0].split()]
    text, peer_text = parse(ours), parse(theirs)
    missing = [name for name in names(peer_text) if name not in names(text)]
    return f"fields {missing} are missing" if missing else None


def ignore(ours, theirs):
    """Whatever it is, as long as it is a reply."""
    return None


def help_shape(ours, theirs):
    """HELP: the words are our own; the type is the same and the first line names the command."""
    ours, theirs = parse(ours), parse(theirs)
    if kind(ours) != kind(theirs):
        return "other type"
    if not isinstance(ours, list) or {kind(x) for x in ours} != {kind(x) for x in theirs}:
        return "not an array of simple strings"
    same_name = bytes(ours[0]).split()[:1] == bytes(theirs[0]).split()[:1]
    return None if same_name else "other first line"


def same_size(ours, theirs):
    """Chosen by chance: the same type, and as many elements."""
    problem = same_kind(ours, theirs)
    ours, theirs = parse(ours), parse(theirs)
    if problem or not isinstance(ours, list):
        return problem
    if len(ours) != len(theirs) or {kind(x) for x in ours} != {kind(x) for x in theirs}:
        return f"{len(ours)} elements are not {len(theirs)}"
    return None


def pairs_of(value):
    """Fields and values, whichever way the protocol has them."""
    if isinstance(value, Map) or (value and isinstance(value[0], list)):
        return sorted(map(repr, value))
    return sorted(map(repr, zip(value[::2], value[1::2])))


def unordered_pairs(ours, theirs):
    """Maps, or arrays of pairs or of field, value ..., with the same pairs in any order."""
    if both_errors(ours, theirs):
        return "one is an error"
    ours, theirs = parse(ours), parse(theirs)
    if kind(ours) != kind(theirs) or len(ours) != len(theirs):
        return f"{kind(ours)} is not {kind(theirs)}, or the size differs"
    return None if pairs_of(ours) == pairs_of(theirs) else "other pairs"


def scan_all(ours, theirs):
    """[cursor, elements] of a scan that ends with one call."""
    problem = scan_shape(ours, theirs)
    if problem:
        return problem
    ours, theirs = parse(ours), parse(theirs)
    same = ours[0] == theirs[0] and sorted(ours[1]) == sorted(theirs[1])
    return None if same else "other elements"


def scan_all_pairs(ours, theirs):
    problem = scan_shape(ours, theirs)
    if problem:
        return problem
    ours, theirs = parse(ours), parse(theirs)
    same = ours[0] == theirs[0] and pairs_of(ours[1]) == pairs_of(theirs[1])
    return None if same else "other pairs"


def set_encoding(ours, theirs):
    """OBJECT ENCODING of a set: small ones are listpacks here, as since redis-server 7.2."""
    ours, theirs = parse(ours), parse(theirs)
    known = (ours, theirs) == (b"listpack", b"hashtable")
    return None if known else f"{ours!r} is not {theirs!r}"


def set_encoding_stored(ours, theirs):
    """The same where SDIFFSTORE may have made it: redis-server copies the first set and takes out
    the others, so that integers may be left in a hashtable; here they become an intset."""
    if (parse(ours), parse(theirs)) == (b"intset", b"hashtable"):
        return None
    return set_encoding(ours, theirs)


def is_newer_encoding(command, ours, theirs):
    """OBJECT ENCODING of a small list or set, asked by whichever family: listpacks here, as since
    redis-server 7.2."""
    words = [word.upper() for word in command.args[:2]]
    return (words == [b"OBJECT", b"ENCODING"] and ours == b"$8\r\nlistpack\r\n"
            and theirs in (b"$9\r\nquicklist\r\n", b"$9\r\nhashtable\r\n"))
