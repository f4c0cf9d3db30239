"""test_wait.py: WAITAOF, which answers when the server's own log is on disk, and what ends it."""

import time

from durability_files import folder, is_held, options
from harness import play, require
from resp import Error

KEYS = 20
NO_LOG = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."


def write(client, tag="a"):
    """Keys of all cores."""
    client.pipeline([("SET", f"{tag}{i}", "1") for i in range(KEYS)])


def wait_blocked(client):
    """Until one client waits."""
    end = time.monotonic() + 20
    while b"blocked_clients:1\r" not in client.call("INFO", "clients"):
        require(time.monotonic() < end, "nobody is blocked")


def test_is_answered_by_the_sync(start):
    for policy in ("always", "everysec"):
        with folder() as path, start(args=options(path, log="yes", policy=policy)) as server:
            with server.client() as client:
                for tag in "abc":
                    write(client, tag)
                    require(client.call("WAITAOF", 1, 0, 0) == [1, 0], policy)
                replies = client.pipeline([("SET", "x", "1"), ("WAITAOF", 1, 0, 0), ("GET", "x")])
                require(replies == [b"OK", [1, 0], b"1"], policy, replies)
                client.call("MSET", *(f"m{i}" for i in range(KEYS)))
                require(client.call("WAITAOF", 1, 0, 0) == [1, 0], policy)


def test_waits_as_long_as_nothing_is_synced(start):
    with folder() as path, start(args=options(path, log="yes", policy="no")) as server:
        with server.client() as client, server.client() as other:
            write(client)
            begin = time.monotonic()
            require(client.call("WAITAOF", 1, 0, 80) == [0, 0])
            require(time.monotonic() - begin >= 0.07, "too early")
            ident = client.call("CLIENT", "ID")
            for word, expected in (("TIMEOUT", [0, 0]),
                                   ("ERROR", Error("UNBLOCKED client unblocked via CLIENT UNBLOCK"))):
                client.send("WAITAOF", 1, 0, 0)
                wait_blocked(other)
                require(other.call("CLIENT", "UNBLOCK", ident, word) == 1, word)
                require(client.reply() == expected, word)
            client.send("WAITAOF", 1, 0, 0)
            require(is_held(client), "answered without a sync")
            # From now on it is synced, what lies there already, too.
            other.call("CONFIG", "SET", "appendfsync", "everysec")
            other.call("SET", "y", "1")
            require(client.reply() == [1, 0], "after everysec")


def test_ends_with_the_log(start):
    with folder() as path, start(args=options(path, log="yes", policy="no")) as server:
        with server.client() as client, server.client() as reporter, server.client() as other:
            write(client)
            client.send("WAITAOF", 1, 0, 0)
            wait_blocked(other)
            reporter.send("WAITAOF", 0, 1, 700)
            other.call("CONFIG", "SET", "appendonly", "no")
            require(client.reply() == Error(NO_LOG), "log off")
            require(client.ask("WAITAOF", 1, 0, 0) == Error(NO_LOG), "without a log")
            require(client.call("WAITAOF", 0, 0, 0) == [0, 0], "nothing asked for")
            require(reporter.reply() == [0, 0], "who only asks for replicas waits on")
            other.call("CONFIG", "SET", "appendfsync", "always", "appendonly", "yes")
            write(client, "b")
            require(client.call("WAITAOF", 1, 0, 0) == [1, 0], "with a new log")


def test_replicas_never_come(start):
    with folder() as path, start(args=options(path, log="yes", policy="always")) as server:
        with server.client() as client:
            write(client)
            for local in (0, 1):
                begin = time.monotonic()
                require(client.call("WAITAOF", local, 1, 60) == [1, 0], local)
                require(time.monotonic() - begin >= 0.05, "too early")


def test_does_not_block_in_multi(start):
    with folder() as path, start(args=options(path, log="yes", policy="no")) as server:
        with server.client() as client:
            write(client)
            client.call("MULTI")
            client.call("SET", "x", "1")
            client.call("WAITAOF", 1, 0, 0)
            require(client.call("EXEC") == [b"OK", [0, 0]])


def test_bad_arguments(server):
    for words, text in ((("2", "0", "0"), "ERR value is out of range, value must between 0 and 1"),
                        (("-1", "0", "0"), "ERR value is out of range, value must between 0 and 1"),
                        (("0", "-1", "0"), "ERR value is out of range, must be positive"),
                        (("0", "0", "-1"), "ERR timeout is negative"),
                        (("0", "0", "x"), "ERR timeout is not an integer or out of range")):
        with server.client() as client:
            require(client.ask("WAITAOF", *words) == Error(text), words,
                    client.ask("WAITAOF", *words))


if __name__ == "__main__":
    play(globals())
