#!/usr/bin/env python3
"""load.py: a server under hostile load; made for sanitizer builds, true of every build.

For each back end one server with two shards. While a few honest clients run random pipelines whose
every reply is compared with a model, a crowd of others sends what comes to mind: pipelines of
commands over several cores, requests that are never finished, replies that are never read, nonsense,
and then goes: by FIN, by FIN after a pipeline whose replies are all wanted, by RST in the middle of a
request, killed by somebody else's CLIENT KILL. The server has to stay, to answer the honest ones
rightly, to give every descriptor back, to end with 0, and to leave no report of a sanitizer.

    load.py [SECONDS [SEED]]    seconds of load for each back end; LOAD_SECONDS, LOAD_SEED do the same
"""

import os
import random
import re
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from resp import Client, Closed, encode, exchange  # noqa: E402
from server import BACKENDS, SKIP, Server, backend_works, tessera_path, wait_until  # noqa: E402

SECONDS = 4.0
SHARDS = 2
CROWD_COUNT = 200
HONEST_COUNT = 4
BACK_TIMEOUT_S = 15
REPORTS = re.compile(r"Sanitizer|runtime error:|Assertion|assertion|broken assumption")


class Honest:
    """A client that knows what every reply has to be. Its keys are its own."""

    def __init__(self, port, name, rng):
        self.port = port
        self.rng = rng
        self.name = name.encode()
        self.data = {}
        self.client = self.connect()
        self.keys = [b"%b:%d" % (self.name, i) for i in range(12)]

    def connect(self):
        client = Client(self.port)
        client.call("SELECT", "9")  # the crowd flushes the others
        return client

    def value(self):
        kind = self.rng.randrange(40)
        size = self.rng.randrange(60)
        if kind == 0:
            size = self.rng.randrange(30000, 300000)
        elif kind < 4:
            size = self.rng.randrange(4000)
        return self.rng.randbytes(size)

    def some_keys(self):
        return [self.rng.choice(self.keys) for _ in range(self.rng.randrange(1, 6))]

    def step(self):
        """A request, and the bytes of its reply; the model is brought up to date."""
        data = self.data
        key = self.rng.choice(self.keys)
        kind = self.rng.randrange(11)
        if kind <= 1:
            data[key] = self.value()
            return (b"SET", key, data[key]), b"+OK\r\n"
        if kind <= 3:
            return (b"GET", key), bulk(data.get(key))
        if kind == 4:
            pairs = [(k, self.value()) for k in self.some_keys()]
            data.update(pairs)
            return (b"MSET", *[word for pair in pairs for word in pair]), b"+OK\r\n"
        if kind == 5:
            keys = self.some_keys()
            return (b"MGET", *keys), b"*%d\r\n" % len(keys) + b"".join(
                bulk(data.get(k)) for k in keys)
        if kind == 6:
            keys = self.some_keys()
            count = sum(data.pop(k, None) is not None for k in keys)
            return (b"DEL", *keys), b":%d\r\n" % count
        if kind == 7:
            tail = self.rng.randbytes(3)
            data[key] = data.get(key, b"") + tail
            return (b"APPEND", key, tail), b":%d\r\n" % len(data[key])
        if kind == 8 and data:
            source = self.rng.choice(list(data))
            data[key] = data.pop(source)
            return (b"RENAME", source, key), b"+OK\r\n"
        if kind == 9:
            return (b"ECHO", key), bulk(key)
        keys = self.some_keys()
        return (b"EXISTS", *keys), b":%d\r\n" % sum(k in data for k in keys)

    def run(self):
        """One pipeline. Raises AssertionError for a wrong reply, Closed if the server hangs up."""
        payload = bytearray()
        wanted = []
        muted_next = False
        for _ in range(self.rng.randrange(1, 120)):
            request, reply = self.step()
            if not muted_next and self.rng.randrange(50) == 0:
                payload += encode(b"CLIENT", b"REPLY", b"SKIP")
                muted_next = True
            payload += encode(*request)
            if not muted_next:
                wanted.append((request, reply))
            muted_next = False
        if self.rng.randrange(8) == 0:
            self.half_close(payload, wanted)
            return
        if self.rng.randrange(3) == 0:
            cut = self.rng.randrange(len(payload))
            self.client.send_raw(payload[:cut])
            time.sleep(0.001)
            payload = payload[cut:]
        replies = exchange([self.client], [bytes(payload)], count=len(wanted))[0]
        self.check(wanted, replies)

    def half_close(self, payload, wanted):
        """Send a pipeline and FIN: all replies come before the server's FIN."""
        self.client.socket.settimeout(30)
        with self.client as client:
            # Not more at once than the socket takes without the server being read from.
            replies = exchange([client], [bytes(payload) + encode(b"PING")],
                               count=len(wanted) + 1)[0][:-1]
            self.check(wanted, replies)
            # Now with replies that are read only behind the FIN.
            keys = self.some_keys()
            client.send_raw(encode(b"MGET", *keys) + encode(b"GET", keys[0]) + encode(b"ECHO", b"x"))
            client.socket.shutdown(socket.SHUT_WR)
            expected = (b"*%d\r\n" % len(keys) + b"".join(bulk(self.data.get(k)) for k in keys) +
                        bulk(self.data.get(keys[0])) + bulk(b"x"))
            got = bytearray(client.data)
            while more := client.socket.recv(1 << 20):
                got += more
            assert bytes(got) == expected, f"half-closed: {len(got)} of {len(expected)} bytes"
        self.client = self.connect()

    def check(self, wanted, replies):
        for (request, reply), got in zip(wanted, replies):
            if got != reply:
                raise AssertionError(f"{brief(request)}: {brief(got)} instead of {brief(reply)}")


class Guest:
    """One of the crowd. Nothing is expected of what it gets."""

    def __init__(self, port, rng):
        self.rng = rng
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.unsent = b""
        self.reads = rng.randrange(5) != 0
        self.received = 0

    def request(self):
        rng = self.rng
        key = b"guest:%d" % rng.randrange(50)
        other = b"guest:%d" % rng.randrange(50)
        kind = rng.randrange(26)
        size = rng.choice((10, 10, 10, 3000, 70000))
        fixed = {
            0: (b"GET", key), 1: (b"INCR", b"count:" + key), 2: (b"DEL", key, other),
            3: (b"RENAME", key, other), 4: (b"COPY", key, other, b"REPLACE"),
            5: (b"DBSIZE",), 6: (b"RANDOMKEY",), 7: (b"SCAN", b"0", b"COUNT", b"100"),
            8: (b"CLIENT", b"LIST"), 9: (b"CLIENT", b"INFO"), 10: (b"INFO",),
            11: (b"SELECT", b"%d" % rng.randrange(3)), 12: (b"NO", b"SUCH", b"COMMAND"),
            13: (b"CLIENT", b"REPLY", rng.choice((b"ON", b"OFF", b"SKIP"))),
            14: (b"PEXPIRE", key, b"5"), 15: (b"MGET",) + (key, other) * 10,
            16: (b"CLIENT", b"KILL", b"ID", b"%d" % rng.randrange(1, 100000)),
            17: (b"HELLO", rng.choice((b"2", b"3"))), 18: (b"KEYS", b"guest:1*"),
        }
        if kind in fixed:
            return encode(*fixed[kind])
        if kind == 19:
            return b"PING\r\n" + b'SET %b "quoted %b"\r\n' % (key, other)
        if kind == 20:
            return encode(b"MSET", key, b"x" * size, other, b"y" * size)
        if kind == 21 and rng.randrange(30) == 0:
            return encode(rng.choice((b"QUIT", b"RESET")))
        if kind == 22 and rng.randrange(40) == 0:
            return encode(b"CLIENT", b"PAUSE", b"%d" % rng.randrange(15),
                          rng.choice((b"ALL", b"WRITE")))
        if kind == 23 and rng.randrange(20) == 0:
            return encode(b"FLUSHDB") if rng.randrange(4) else b"*1\r\n!nonsense\r\n"
        return encode(b"SET", key, b"v" * size)

    def act(self):
        """Do something. False: it is gone."""
        rng = self.rng
        try:
            if self.reads:
                while more := self.socket.recv(1 << 18):
                    self.received += len(more)
                return self.leave()
        except BlockingIOError:
            pass
        except OSError:
            return self.leave()
        kind = rng.randrange(60)
        if kind == 0:
            return self.leave()
        if kind == 1:
            return self.leave(is_reset=True)
        if not self.unsent:
            self.unsent = b"".join(self.request() for _ in range(rng.randrange(1, 60)))
        end = len(self.unsent) if rng.randrange(3) else rng.randrange(len(self.unsent))
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent[:end]):]
        except BlockingIOError:
            return rng.randrange(20) != 0 or self.leave(is_reset=True)
        except OSError:
            return self.leave()
        if rng.randrange(100) == 0:
            self.unsent = b""
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return self.leave()
        return True

    def leave(self, is_reset=False):
        if is_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        return False


def bulk(value):
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def brief(words):
    text = repr(words)
    return text if len(text) < 200 else f"{text[:120]}...{text[-60:]} ({len(text)})"


def run_load(server, seconds, rng):
    """Load for so long. Returns the number of pipelines checked and of connections dropped."""
    honest = [Honest(server.port, f"honest{i}", rng) for i in range(HONEST_COUNT)]
    crowd = [Guest(server.port, rng) for _ in range(CROWD_COUNT)]
    checked = dropped = killed = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for index in rng.sample(range(CROWD_COUNT), 12):
            if not crowd[index].act():
                crowd[index] = Guest(server.port, rng)
                dropped += 1
        one = rng.choice(honest)
        try:
            one.run()
            checked += 1
        except (Closed, BrokenPipeError, ConnectionResetError):
            # Somebody drew its id: what of the pipeline was done is unknown, so it starts afresh.
            killed += 1
            honest[honest.index(one)] = Honest(server.port, f"again{killed}", rng)
    for guest in crowd:
        guest.leave(is_reset=rng.randrange(2) == 0)
    for one in honest:
        one.client.close()
    return checked, dropped, killed


def stalled_readers(server, rng):
    """Clients that ask for much and read nothing do not keep others from being served."""
    server.call("SET", "big", b"b" * 100000)
    stuck = []
    for _ in range(40):
        one = socket.create_connection(("127.0.0.1", server.port))
        one.setblocking(False)
        stuck.append(one)
    payload = encode(b"GET", b"big") * 2000 + encode(b"MGET", b"big", b"a", b"b") * 500
    for one in stuck:
        try:
            one.send(payload)
        except BlockingIOError:
            pass
    began = time.monotonic()
    with server.client() as client:
        for _ in range(20):
            assert client.call("GET", "big") == b"b" * 100000
    took = time.monotonic() - began
    for one in stuck:
        one.close()
    assert took < 15, f"20 GETs beside stalled readers took {took:.1f} s"


def paused_dribblers(server, rng):
    """Clients that send single bytes while they are paused use up nobody's buffers."""
    with server.client() as admin:
        admin.call("CLIENT", "PAUSE", "20000", "WRITE")
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
        for one in clients:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(encode(b"SET", b"dribble", b"1"))
        request = encode(b"SET", b"dribble", b"2")
        for _ in range(6):
            for byte in request:
                for one in clients:
                    one.sendall(bytes((byte,)))
        assert admin.call("CLIENT", "UNPAUSE") == b"OK"
        for one in clients:
            one.settimeout(20)
            got = b""
            while len(got) < 7 * 5:
                got += one.recv(1000)
            assert got == b"+OK\r\n" * 7, got
            one.close()


def all_given_back(server, files_before):
    """Every descriptor of those that left is closed, and no client is on the books."""
    def is_back():
        return server.file_count() <= files_before
    wait_until(is_back, BACK_TIMEOUT_S, "closing of all connections")
    with server.client() as client:
        # One of the files may be a connection whose core has not heard yet that it was closed.
        def is_alone():
            info = bytes(client.call("INFO", "clients")).decode()
            listed = bytes(client.call("CLIENT", "LIST")).decode().splitlines()
            return "connected_clients:1\r\n" in info and len(listed) == 1
        wait_until(is_alone, BACK_TIMEOUT_S, "leaving of all clients")


def ends_in_order(server, rng):
    """SHUTDOWN while requests are under way: connections are closed, the exit code is 0."""
    crowd = [Guest(server.port, rng) for _ in range(50)]
    for guest in crowd:
        for _ in range(3):
            if not guest.socket._closed:  # pylint: disable=protected-access
                guest.act()
    with server.client() as client:
        client.send("SHUTDOWN", "NOSAVE")
        assert client.closed_within(20), "the connection of SHUTDOWN stays open"
    code = server.wait_exit(20)
    for guest in crowd:
        guest.leave()
    assert code == 0, f"exit code {code}"


def main():
    path = tessera_path()
    if path is None:
        print("no server: build it, or name it in TESSERA_SERVER")
        return SKIP
    seconds = float(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LOAD_SECONDS", SECONDS))
    seed = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("LOAD_SEED", time.time()))
    print(f"LOAD_SEED={seed}, {seconds} s for each back end")
    passed = failed = 0
    for backend in BACKENDS:
        if not backend_works(path, backend):
            print(f"{backend}: left out, it does not work here")
            continue
        rng = random.Random(f"{seed}{backend}")
        server = Server(path, shards=SHARDS, backend=backend)
        try:
            server.call("PING")
            files_before = server.file_count() + 1
            steps = (("load", lambda: run_load(server, seconds, rng)),
                     ("stalled readers", lambda: stalled_readers(server, rng)),
                     ("paused dribblers", lambda: paused_dribblers(server, rng)),
                     ("all given back", lambda: all_given_back(server, files_before)),
                     ("ends in order", lambda: ends_in_order(server, rng)))
            for name, step in steps:
                began = time.monotonic()
                try:
                    result = step()
                    passed += 1
                    print(f"{backend}: {name}: ok {result or ''} {time.monotonic() - began:.1f} s")
                except Exception as error:  # pylint: disable=broad-except
                    failed += 1
                    print(f"{backend}: {name}: FAILED {type(error).__name__} {error}")
                    if not server.alive():
                        break
            log = server.log()
            if REPORTS.search(log):
                failed += 1
                print(f"{backend}: the log has a report:\n{log[:8000]}")
        finally:
            server.stop()
        if server.exit_code != 0:
            failed += 1
            print(f"{backend}: exit code {server.exit_code}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
