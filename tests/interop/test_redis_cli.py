"""test_redis_cli.py: redis-cli against the server: its interactive mode on a terminal of its own,
and the modes in which it is a tool (--bigkeys, --pipe, --stat ...).

What runs until it is stopped (--stat, --latency, MONITOR, SUBSCRIBE) is read until it has printed
what is waited for, and then interrupted as a user would.
"""

import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

from clients import PATIENCE_S, SHARDS, Worker, wait_subscribers
from harness import play, require
from resp import encode
from server import SKIP, wait_until

CLI = shutil.which("redis-cli")
if CLI is None:
    print("skipped: no redis-cli")
    sys.exit(SKIP)
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def words_of(server, words):
    return [CLI, "-p", str(server.port), *map(str, words)]


def cli(server, *words, stdin=None, code=0):
    """What redis-cli prints, without the last line's end."""
    done = subprocess.run(words_of(server, words), input=stdin, capture_output=True,
                          timeout=PATIENCE_S,
                          **({"stdin": subprocess.DEVNULL} if stdin is None else {}))
    require(done.returncode == code, words, done.returncode, done.stdout[-500:], done.stderr)
    return done.stdout.decode().rstrip("\n")


class Terminal:
    """redis-cli on a pseudo terminal; a context manager that ends it."""

    def __init__(self, server, *words):
        self.seen = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "HOME": server.directory,
                       "REDISCLI_HISTFILE": "/dev/null"}
        self.process = subprocess.Popen(words_of(server, words), stdin=slave, stdout=slave,
                                        stderr=slave, close_fds=True, env=environment,
                                        start_new_session=True)
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def wait(self, pattern):
        """Until the pattern has appeared; returns the match and forgets what came before it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            text = ESCAPES.sub(b"", self.seen)
            match = re.search(pattern.encode(), text)
            if match:
                self.seen = text[match.end():]
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise TimeoutError(f"no {pattern!r} on the terminal but {text[-800:]!r}")
            try:
                piece = os.read(self.master, 1 << 16)
            except OSError:  # what a terminal says when its last user has gone
                piece = b""
            if not piece:
                raise EOFError(f"redis-cli ended without {pattern!r}: {text[-800:]!r}")
            self.seen += piece

    def type(self, line):
        os.write(self.master, line.encode() + b"\r")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def wait_end(self):
        """Its exit code; the terminal is read on, so that it cannot stand in the way."""
        def ended():
            if select.select([self.master], [], [], 0)[0]:
                try:
                    os.read(self.master, 1 << 16)
                except OSError:
                    pass
            return self.process.poll() is not None
        wait_until(ended, PATIENCE_S, "the end of redis-cli")
        return self.process.returncode


def fill(server):
    with server.client() as client:
        client.call("FLUSHALL")
        for number in range(200):
            client.call("SET", f"string:{number}", "x" * number)
        client.call("RPUSH", "list:big", *range(300))
        client.call("RPUSH", "list:small", 1)
        client.call("HSET", "hash:big", *[word for n in range(50) for word in (f"f{n}", n)])
        client.call("SADD", "set:big", *range(70))
        client.call("ZADD", "zset:big", *[word for n in range(90) for word in (n, f"m{n}")])
        client.call("XADD", "stream:big", "1-1", "a", "b")
        client.call("XADD", "stream:big", "1-2", "a", "b")


# ---- one command ----

def test_formats(server):
    require(cli(server, "SET", "k", "v") == "OK" and cli(server, "GET", "k") == "v")
    require(cli(server, "--no-raw", "GET", "k") == '"v"')
    require(cli(server, "--no-raw", "GET", "none") == "(nil)")
    cli(server, "RPUSH", "list", "a", "b,c", 'd"e')
    require(cli(server, "LRANGE", "list", 0, -1) == 'a\nb,c\nd"e')
    rows = list(csv.reader(io.StringIO(cli(server, "--csv", "LRANGE", "list", 0, -1)),
                           escapechar="\\", doublequote=False))
    require(rows == [["a", "b,c", 'd"e']], rows)
    require(json.loads(cli(server, "--json", "LRANGE", "list", 0, -1)) == ["a", "b,c", 'd"e'])
    cli(server, "HSET", "hash", "f", 1, "g", 2)
    require(json.loads(cli(server, "--json", "HGETALL", "hash")) == {"f": "1", "g": "2"})
    require(cli(server, "--no-raw", "-3", "HGETALL", "hash")
            == '1# "f" => "1"\n2# "g" => "2"')
    require(cli(server, "--no-raw", "-3", "ZADD", "z", 1.5, "m") == "(integer) 1")
    require(cli(server, "--no-raw", "-3", "ZSCORE", "z", "m") == "(double) 1.5")
    require(cli(server, "-n", 5, "DBSIZE") == "0" and cli(server, "DBSIZE") == "4")
    require(cli(server, "-r", 3, "INCR", "n") == "1\n2\n3")
    require(cli(server, "-x", "SET", "piped", stdin=b"by stdin") == "OK")
    require(cli(server, "GET", "piped") == "by stdin")
    require(cli(server, "INCR", "list").startswith("WRONGTYPE"))
    cli(server, "-e", "INCR", "list", code=1)
    require("redis_version" in cli(server, "INFO", "server"))
    require(cli(server, "CLUSTER", "INFO").startswith("ERR This instance has cluster support"))


def test_lines_of_stdin(server):
    output = cli(server, stdin=b"SET a 1\nINCR a\n\nLPUSH a x\nMULTI\nINCR a\nGET a\nEXEC\n")
    require(output.split("\n")[:2] == ["OK", "2"] and "WRONGTYPE" in output, output)
    require(output.endswith("OK\nQUEUED\nQUEUED\n3\n3"), output)


# ---- the interactive mode ----

def test_interactive(server):
    host = f"127.0.0.1:{server.port}"
    with Terminal(server) as terminal:
        terminal.wait(re.escape(f"{host}> "))

        def ask(line, answer, prompt="> "):
            """Never ahead of the prompt: what is typed before it is thrown away."""
            terminal.type(line)
            terminal.wait(r"\n" + answer)
            terminal.wait(re.escape(host + prompt))
        ask('SET greeting "hello \\"you\\""', "OK")
        ask("GET greeting", r'"hello \\"you\\""')
        ask("GET none", r"\(nil\)")
        ask("INCR greeting", r"\(error\) ERR value is not an integer")
        ask("NOPE", r"\(error\) ERR unknown command")
        ask("RPUSH l a b", r"\(integer\) 2")
        ask("LRANGE l 0 -1", r'1\) "a"\r\n2\) "b"')
        ask("3 INCR n", r"\(integer\) 3")
        ask("SELECT 3", "OK", "[3]> ")
        ask("MULTI", "OK", "[3](TX)> ")
        ask("SET k v", "QUEUED", "[3](TX)> ")
        ask("GET k", "QUEUED", "[3](TX)> ")
        ask("EXEC", r'1\) OK\r\n2\) "v"', "[3]> ")
        ask("MULTI", "OK", "[3](TX)> ")
        ask("DISCARD", "OK", "[3]> ")
        ask("HELLO 3", r'(?s:.*)"proto" => \(integer\) 3', "[3]> ")
        ask("help GET", "(?s:.*)summary: ", "[3]> ")  # of COMMAND DOCS
        terminal.type("exit")
        require(terminal.wait_end() == 0)


def test_interactive_blocks(server):
    with Terminal(server) as terminal:
        terminal.wait("> ")
        terminal.type("CLIENT SETNAME waiting")
        terminal.wait("OK\r\n")
        terminal.wait("> ")
        terminal.type("BLPOP q1 q2 0")
        wait_until(lambda: b"cmd=blpop" in b"".join(
            line for line in bytes(server.call("CLIENT", "LIST")).split(b"\n")
            if b"name=waiting" in line), PATIENCE_S, "BLPOP")
        server.call("RPUSH", "q2", "x")
        terminal.wait(r'1\) "q2"\r\n2\) "x"')
        terminal.wait("> ")
        terminal.type("PING")
        terminal.wait("PONG")


def test_subscribe(server):
    for words, push in (((), r"1\) "), (("-3",), r"1\) ")):
        with Terminal(server, *words, "SUBSCRIBE", "news") as terminal:
            terminal.wait(push + r'"subscribe"\r\n2\) "news"\r\n3\) \(integer\) 1')
            wait_subscribers(server, "news", 1)
            for number in range(20):
                require(server.call("PUBLISH", "news", f"text {number}") == 1)
                terminal.wait(push + rf'"message"\r\n2\) "news"\r\n3\) "text {number}"')
            terminal.interrupt()
            terminal.wait_end()
    wait_subscribers(server, "news", 0)


def test_interactive_subscribe(server):
    """RESP3: messages appear between commands, which go on working."""
    with Terminal(server, "-3") as terminal:
        terminal.wait("> ")
        terminal.type("PSUBSCRIBE n*")
        terminal.wait(r'"psubscribe"')
        wait_until(lambda: server.call("PUBSUB", "NUMPAT") == 1, PATIENCE_S, "the pattern")
        server.call("PUBLISH", "news", "now")
        terminal.wait(r'"pmessage"\r\n2\) "n\*"\r\n3\) "news"\r\n4\) "now"')
        terminal.interrupt()


def test_monitor(server):
    with Terminal(server, "MONITOR") as terminal:
        terminal.wait("OK\r\n")
        with server.client() as client:
            client.call("SET", "key one", 'a"b')
            client.call("MGET", "k1", "k2", "k3")
        terminal.wait(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "key one" "a\\"b"\r\n')
        terminal.wait(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "MGET" "k1" "k2" "k3"\r\n')
        terminal.interrupt()
        terminal.wait_end()


# ---- the tools ----

def test_scan(server):
    fill(server)
    names = cli(server, "--scan", "--pattern", "string:1?").split("\n")
    require(sorted(names) == sorted(f"string:{n}" for n in range(10, 20)), names)
    require(len(cli(server, "--scan").split("\n")) == 206)


def test_bigkeys(server):
    fill(server)
    text = cli(server, "--bigkeys")
    for line in ('Sampled 206 keys in the keyspace!',
                 'Biggest   list found \'"list:big"\' has 300 items',
                 'Biggest   hash found \'"hash:big"\' has 50 fields',
                 'Biggest string found \'"string:199"\' has 199 bytes',
                 'Biggest    set found \'"set:big"\' has 70 members',
                 'Biggest   zset found \'"zset:big"\' has 90 members',
                 'Biggest stream found \'"stream:big"\' has 2 entries',
                 '2 lists with 301 items', '200 strings with 19900 bytes'):
        require(line in text, line, "is not in", text)


def test_memkeys(server):
    fill(server)
    text = cli(server, "--memkeys")
    require("Sampled 206 keys in the keyspace!" in text, text)
    for kind, name in (("list", "list:big"), ("hash", "hash:big"), ("string", "string:199"),
                       ("set", "set:big"), ("zset", "zset:big"), ("stream", "stream:big")):
        match = re.search(rf"Biggest +{kind} found '\"(.*)\"' has (\d+) bytes", text)
        require(match and (match.group(1) == name or kind == "string"), kind, text)
        require(int(match.group(2)) == server.call("MEMORY", "USAGE", match.group(1),
                                                   "SAMPLES", "0"), match.group(0))


def test_hotkeys(server):
    before = server.call("CONFIG", "GET", "maxmemory-policy")[1]
    server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    try:
        fill(server)
        with server.client() as client:
            for _ in range(4000):
                client.call("GET", "string:150")
        text = cli(server, "--hotkeys")
    finally:
        server.call("CONFIG", "SET", "maxmemory-policy", before)
    require("Sampled 206 keys in the keyspace!" in text, text)
    found = re.findall(r'hot key found with counter: (\d+)\tkeyname: "(.*)"', text)
    require(found and max(found, key=lambda row: int(row[0]))[1] == "string:150", text)
    require("keys with counter" in text or found, text)


def test_pipe(server):
    requests = [encode("SET", f"k{n}", "x" * (n % 300)) for n in range(20000)]
    requests.append(encode("LPUSH", "k1", "no list"))
    done = subprocess.run(words_of(server, ["--pipe"]), input=b"".join(requests),
                          capture_output=True, timeout=2 * PATIENCE_S)
    require(b"errors: 1, replies: 20001" in done.stdout, done.stdout, done.stderr)
    require(b"WRONGTYPE" in done.stderr + done.stdout, done.stdout, done.stderr)
    require(server.call("DBSIZE") == 20000 and server.call("GET", "k299") == b"x" * 299)


def test_latency(server):
    for mode, pattern in (("--latency", r"min: \d+, max: \d+, avg: \d+\.\d\d \(\d+ samples\)"),
                          ("--latency-history",
                           r"min: \d+, max: \d+, avg: .*samples\) -- \d+\.\d\d seconds range")):
        with Terminal(server, mode, *(("-i", "1") if mode.endswith("history") else ())) as terminal:
            terminal.wait(pattern)
            terminal.interrupt()
            terminal.wait_end()


def test_stat(server):
    fill(server)
    with Terminal(server, "--stat", "-i", "0.02") as terminal:
        terminal.wait("keys +mem +clients +blocked +requests +connections")
        for _ in range(3):
            row = terminal.wait(r"\n206 +[\d.]+[KMG] +(\d+) +0 +(\d+) \(\+\d+\) +(\d+)")
            require(int(row.group(1)) >= 1 and int(row.group(2)) > 206, row.group(0))
        waiter = Worker(lambda: server.call("BLPOP", "waiting", PATIENCE_S))
        terminal.wait(r"\n206 +[\d.]+[KMG] +\d+ +1 +\d+ ")
        server.call("RPUSH", "waiting", "x")
        require(waiter.result() == [b"waiting", b"x"])
        terminal.interrupt()
        terminal.wait_end()


if __name__ == "__main__":
    play(globals(), SHARDS)
