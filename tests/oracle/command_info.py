#!/usr/bin/env python3
"""Compare what COMMAND tells about each command with redis-server 7.0.

    command_info.py <port of redis-server> <port of tessera-server>

For each command that both know: COMMAND INFO (arity, flags, keys, categories, tips, key
specifications, subcommands) and COMMAND DOCS (since, group, deprecation, history, arguments) under
RESP2 and RESP3. Types of replies are compared too: a set is not an array. What is a set by contract
is compared as one. Summaries, complexities and what history says are in our own words and only have
to be there.

Prints each difference that nobody wants, and a last line `N passed, N failed`. Exit code 1: some failed.
"""

import socket
import sys

# Differences that are wanted: (command, path in the reply) -> why. A path matches its beginnings too.
WANTED = {
    ("set", "arguments"): "takes Valkey's IFEQ beside NX and XX",
    ("set", "history"): "takes Valkey's IFEQ",
    ("zrank", "arity"): "takes WITHSCORE of redis-server 7.2",
    ("zrank", "arguments"): "takes WITHSCORE of redis-server 7.2",
    ("zrank", "history"): "takes WITHSCORE of redis-server 7.2",
    ("zrank", "docs.fields"): "takes WITHSCORE of redis-server 7.2",
    ("zrevrank", "arity"): "takes WITHSCORE of redis-server 7.2",
    ("zrevrank", "arguments"): "takes WITHSCORE of redis-server 7.2",
    ("zrevrank", "history"): "takes WITHSCORE of redis-server 7.2",
    ("zrevrank", "docs.fields"): "takes WITHSCORE of redis-server 7.2",
    ("client|kill", "arguments"): "takes MAXAGE of later versions",
    ("client|kill", "history"): "takes MAXAGE of later versions",
    ("hscan", "arguments"): "takes NOVALUES of later versions",
    ("debug", "docs.fields"): "its subcommands are rows of their own here, and are documented",
    ("debug", "doc_flags"): "documented as any other command",
    ("debug", "subcommands"): "its subcommands are rows of their own here",
}

# Commands and subcommands of later versions, which redis-server 7.0 does not know.
OURS = {
    "delifeq": "Valkey 9",
    "msetex": "Valkey 9",
    "commandlog": "Valkey 8.1",
    "hexpire": "Valkey 9",
    "hexpireat": "Valkey 9",
    "hexpiretime": "Valkey 9",
    "hgetdel": "Valkey 9",
    "hgetex": "Valkey 9",
    "hpersist": "Valkey 9",
    "hpexpire": "Valkey 9",
    "hpexpireat": "Valkey 9",
    "hpexpiretime": "Valkey 9",
    "hpttl": "Valkey 9",
    "hsetex": "Valkey 9",
    "httl": "Valkey 9",
    "waitaof": "redis-server 7.2",
    "client|setinfo": "redis-server 7.2",
    "client|no-touch": "redis-server 7.2",
}

# Told in our own words.
OWN_WORDS = ("summary", "complexity")


class Simple(str):
    """A simple string: not the same as a bulk string."""


class Error(str):
    """An error reply."""


class Set(list):
    """A RESP3 set; in RESP2 it is a list as any other."""


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        data = b"*%d\r\n" % len(words)
        for word in words:
            word = word.encode()
            data += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(data)
        return self.read()

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            return self.file.read(size + 2)[:-2].decode()
        if kind == b"+":
            return Simple(rest.decode())
        if kind == b"-":
            return Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b"~":
            return Set(self.read() for _ in range(int(rest)))
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        raise ValueError(f"unexpected reply {line!r}")


def as_map(reply):
    """A map, which RESP2 has as a flat array."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2]))


def type_name(value):
    return {Simple: "simple string", Error: "error", Set: "set", type(None): "null"}.get(
        type(value), type(value).__name__)


def sort_key(value):
    return repr(value)


class Comparison:
    def __init__(self):
        self.passed = 0
        self.failures = []

    def check(self, command, path, theirs, ours):
        if type(theirs) is type(ours) and theirs == ours:
            self.passed += 1
            return
        for name, prefix in WANTED:
            if name == command and (path == prefix or path.startswith(prefix + ".")):
                self.passed += 1
                return
        self.failures.append(f"{command}: {path}: redis-server {theirs!r} ({type_name(theirs)}), "
                             f"we {ours!r} ({type_name(ours)})")

    def unordered(self, command, path, theirs, ours):
        """Lists and sets whose order means nothing."""
        self.check(command, path + ".type", type_name(theirs), type_name(ours))
        self.check(command, path, sorted(map(repr, theirs)), sorted(map(repr, ours)))

    def info(self, command, theirs, ours):
        fields = ("name", "arity", "flags", "first key", "last key", "step", "categories", "tips",
                  "key specs", "subcommands")
        if theirs is None or ours is None:
            self.check(command, "info", theirs, ours)
            return
        self.check(command, "info.size", len(theirs), len(ours))
        for index, field in enumerate(fields):
            a, b = theirs[index], ours[index]
            if field in ("flags", "categories", "tips"):
                self.unordered(command, field, a, b)
            elif field == "key specs":
                self.key_specs(command, a, b)
            elif field == "subcommands":
                self.check(command, "subcommands.type", type_name(a), type_name(b))
                known = {sub[0]: sub for sub in a}
                for sub in b:
                    if sub[0] in known:
                        self.info(sub[0], known[sub[0]], sub)
                    elif sub[0] not in OURS and (command, "subcommands") not in WANTED:
                        self.check(sub[0], "info", None, "there")
            else:
                self.check(command, field, a, b)

    def key_specs(self, command, theirs, ours):
        self.check(command, "key specs.type", type_name(theirs), type_name(ours))
        self.check(command, "key specs.count", len(theirs), len(ours))
        for index, (a, b) in enumerate(zip(theirs, ours)):
            path = f"key specs.{index}"
            self.check(command, path + ".type", type_name(a), type_name(b))
            a, b = as_map(a), as_map(b)
            self.check(command, path + ".fields", list(a), [name for name in b])
            for name in a:
                if name == "flags":
                    self.unordered(command, f"{path}.flags", a[name], b.get(name, []))
                elif name != "notes":
                    self.check(command, f"{path}.{name}", a[name], b.get(name))

    def docs(self, command, theirs, ours):
        self.check(command, "docs.type", type_name(theirs), type_name(ours))
        theirs, ours = as_map(theirs), as_map(ours)
        self.check(command, "docs.fields",
                   [name for name in theirs if (command, name) not in WANTED],
                   [name for name in ours if (command, name) not in WANTED])
        for name, a in theirs.items():
            b = ours.get(name)
            if b is None:
                self.check(command, name, "there", "missing")
            elif name in OWN_WORDS:
                self.check(command, name + ".type", type_name(a), type_name(b))
                self.check(command, name + ".is there", True, len(b) > 0)
            elif name == "history":
                self.check(command, "history.type", type_name(a), type_name(b))
                self.check(command, "history.since", [entry[0] for entry in a],
                           [entry[0] for entry in b])
            elif name == "doc_flags":
                self.unordered(command, name, a, b)
            elif name == "arguments":
                self.arguments(command, name, a, b)
            elif name == "subcommands":
                self.subcommands(command, a, b)
            else:
                self.check(command, name, a, b)

    def subcommands(self, command, theirs, ours):
        self.check(command, "docs.subcommands.type", type_name(theirs), type_name(ours))
        theirs, ours = as_map(theirs), as_map(ours)
        for name, docs in ours.items():
            if name in theirs:
                self.docs(name, theirs[name], docs)
            elif name not in OURS:
                self.check(name, "docs", None, "there")

    def arguments(self, command, path, theirs, ours):
        self.check(command, path + ".count", len(theirs), len(ours))
        for index, (a, b) in enumerate(zip(theirs, ours)):
            here = f"{path}.{index}"
            self.check(command, here + ".type", type_name(a), type_name(b))
            a, b = as_map(a), as_map(b)
            here += f"({a.get('name')})"
            self.check(command, here + ".fields", list(a), list(b))
            for name in a:
                if name == "arguments":
                    self.arguments(command, here, a[name], b.get(name, []))
                elif name == "flags":
                    self.unordered(command, here + ".flags", a[name], b.get(name, []))
                else:
                    self.check(command, f"{here}.{name}", a[name], b.get(name))


def compare(comparison, theirs, ours):
    known = {row[0] for row in theirs.call("COMMAND")}
    our_rows = ours.call("COMMAND")
    comparison.check("COMMAND COUNT", "", len(our_rows), ours.call("COMMAND", "COUNT"))
    listed = set(ours.call("COMMAND", "LIST"))
    for row in our_rows:
        name = row[0]
        comparison.check(name, "in COMMAND LIST", True, name in listed)
        if name not in known:
            if name not in OURS:
                comparison.check(name, "info", None, "there")
            continue
        their_row = theirs.call("COMMAND", "INFO", name)[0]
        comparison.info(name, their_row, ours.call("COMMAND", "INFO", name.upper())[0])
        their_docs = as_map(theirs.call("COMMAND", "DOCS", name))
        our_docs = as_map(ours.call("COMMAND", "DOCS", name.upper()))
        comparison.check(name, "docs.names", list(their_docs), list(our_docs))
        comparison.docs(name, their_docs[name], our_docs.get(name, {}))
    # Names as COMMAND INFO and DOCS look them up, and errors.
    for words in (("INFO", "nosuch"), ("INFO", "get|x"), ("INFO", "object|nosuch"), ("INFO", "object|"),
                  ("INFO", "|"), ("INFO", ""), ("DOCS", "nosuch"), ("DOCS", "object|"), ("nosuch",),
                  ("COUNT", "x"), ("LIST", "x"), ("LIST", "FILTERBY"), ("LIST", "FILTERBY", "x", "y"),
                  ("LIST", "FILTERBY", "MODULE", "x"), ("LIST", "FILTERBY", "ACLCAT", "nosuch"),
                  ("LIST", "FILTERBY", "PATTERN", "GET"), ("LIST", "FILTERBY", "PATTERN", ""),
                  ("GETKEYS",), ("GETKEYS", "get"), ("GETKEYS", "get", "k"),
                  ("GETKEYS", "get", "k", "x"), ("GETKEYS", "nosuch", "k"), ("GETKEYS", "ping", "x"),
                  ("GETKEYS", "object", "encoding", "k"), ("GETKEYS", "object", "nosuch", "k"),
                  ("GETKEYS", "object", "help"), ("GETKEYS", "mset", "a", "b", "c"),
                  ("GETKEYS", "mset", "a", "b", "c", "d"), ("GETKEYS", "del", "a", "a", "b"),
                  ("GETKEYS", "copy", "a", "b", "DB", "1"), ("GETKEYS", "move", "a", "1"),
                  ("GETKEYS", "memory", "usage", "k"), ("GETKEYS", "lcs", "a", "b"),
                  ("GETKEYSANDFLAGS", "set", "k", "v"), ("GETKEYSANDFLAGS", "set", "k", "v", "GET"),
                  ("GETKEYSANDFLAGS", "set", "k", "v", "ex", "10", "get"),
                  ("GETKEYSANDFLAGS", "set", "get", "get"),
                  ("GETKEYSANDFLAGS", "rename", "a", "b"), ("GETKEYSANDFLAGS", "copy", "a", "b")):
        text = "COMMAND " + " ".join(words)
        comparison.check(text, "reply", normal(theirs.call("COMMAND", *words)),
                         normal(ours.call("COMMAND", *words)))


def normal(reply):
    if isinstance(reply, Set):
        return Set(sorted(map(normal, reply), key=sort_key))
    if isinstance(reply, list):
        return [normal(element) for element in reply]
    return reply


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    comparison = Comparison()
    for protocol in (2, 3):
        theirs, ours = Client(int(sys.argv[1])), Client(int(sys.argv[2]))
        theirs.call("HELLO", str(protocol))
        ours.call("HELLO", str(protocol))
        compare(comparison, theirs, ours)
    for failure in dict.fromkeys(comparison.failures):
        print(failure)
    print(f"{comparison.passed} passed, {len(comparison.failures)} failed")
    sys.exit(1 if comparison.failures else 0)


if __name__ == "__main__":
    main()
