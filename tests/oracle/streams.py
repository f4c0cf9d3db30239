"""streams.py: raw bytes to both servers, whole or broken, cut at random places; what comes back and
whether the connection is closed must be the same.

Nothing marks the end of what a server has to say to broken bytes, so many connections run side by
side and all of them wait once, until everything is quiet and nothing differs, or for a while at
most. Then the sending side is shut, and both must close as well. Each connection uses keys of its
own, so that it does not matter in which order the servers serve them.
"""

import os
import random
import select
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from resp import encode  # noqa: E402

CONNECTIONS = 100
QUIET_S = 0.04
DIFFERENT_S = 1.5  # how long two different answers may take to become the same
STREAMS_SHARE = 20  # one stream for so many commands that a family is to play

SPECIAL = [
    b"\r\n", b"\n", b"\r\n\r\n\r\nPING\r\n", b"PING", b"PING\n", b"PING\r\nPING\r\n", b" PING \r\n",
    b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-10\r\nPING\r\n", b"*\r\n", b"*x\r\n", b"*1\r\n",
    b"*1\r\n$4\r\nPING\r\n", b"*1\r\n$4\r\nPINGxxPING\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$x\r\n",
    b"*1\r\n$\r\n", b"*1\r\n:1\r\n", b"*1\r\nPING\r\n", b"*1\r\n$4 \r\nPING\r\n",
    b"*1\r\n$+4\r\nPING\r\n", b"*1\r\n$04\r\nPING\r\n", b"*01\r\n$4\r\nPING\r\n",
    b"*+1\r\n$4\r\nPING\r\n", b"* 1\r\n$4\r\nPING\r\n", b"*1 \r\n$4\r\nPING\r\n",
    b"*1048577\r\n", b"*1048576\r\n", b"*2147483648\r\n", b"*9223372036854775808\r\n",
    b"*99999999999999999999999999\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n$536870912\r\n",
    b"*1\r\n$9223372036854775807\r\n", b"*1\r\n$99999999999999999999\r\n",
    b"*2147483647\r\n", b"*-9223372036854775808\r\nPING\r\n",
    b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000, b"x" * 70000, b"PING " + b"y" * 60000 + b"\r\n",
    b"*1\n$4\nPING\n", b"*1\r$4\rPING\r", b"*1\r\n$4\rxPING\r\n", b"*1\rx\n$4\r\nPING\r\n",
    b'PING "unbalanced\r\n', b"PING 'unbalanced\r\n", b'PING "a"b\r\n', b"PING 'a'b\r\n",
    b'PING "a\\x41\\n\\t\\"b"\r\n', b"PING 'it\\'s'\r\n", b'PING "\\xzz\\a\\b\\r"\r\n',
    b'PING ""\r\n',
    b"PING ''\r\n", b'"PING"\r\n', b'ECHO a"b c"d\r\n', b"ECHO \x00\r\n", b"ECHO a\x00b\r\n",
    b"\x00\r\n", b"\xff\xfe\r\n", b"GET\tx\r\n", b"ECHO\t \tx\t\r\n", b"ECHO a\vb\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"Host: x\r\n\r\nPING\r\n",
    b"*1\r\n$4\r\nPOST\r\n*1\r\n$4\r\nPING\r\n", b"*1\r\n$5\r\nhost:\r\n*1\r\n$4\r\nPING\r\n",
    b"post\r\nPING\r\n", b"HOST:\r\nPING\r\n",
    b"PING\r\nQUIT\r\nPING\r\n", b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n", b"quit x\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", b"*1\r\n$0\r\n\r\nPING\r\n", b"*2\r\n$0\r\n\r\n$0\r\n\r\n",
    b"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", b"$4\r\nPING\r\n", b"+OK\r\n", b"-ERR\r\n", b":1\r\n",
    b"%1\r\n+a\r\n+b\r\n", b"PING\r\n\x00*1\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n",
    b"CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n",
    b"CLIENT REPLY SKIP\r\nPING\r\nPING\r\n",
    b"CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n",
    b"CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n",
    # Not with a protocol error behind it: redis-server then forgets to close, since no reply ends.
    b"CLIENT REPLY OFF\r\nNOPE\r\nGET\r\n",
    b"CLIENT REPLY SKIP\r\nNOPE\r\nPING\r\n",
    b"CLIENT REPLY OFF\r\nRESET\r\nPING\r\n", b"HELLO 3\r\nRESET\r\nGET nokey\r\n",
    b"HELLO 3\r\nCLIENT REPLY OFF\r\nPING\r\nHELLO 3\r\nCLIENT REPLY ON\r\n",
    b"*1\r\n$4\r\nPING", b"*1\r\n$4\r\nPING\r", b"*1\r\n$4\r\nPIN", b"*1\r\n$4\r\n", b"*1\r\n$4\r",
    b"*1\r\n$4", b"*1\r", b"*", b"\r", b"*2\r\n$4\r\nECHO\r\n$100000\r\n" + b"z" * 100000 + b"\r\n",
    b"*2\r\n$4\r\nECHO\r\n$40000\r\n" + b"z" * 40000 + b"xy" + b"PING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$40000\r\n" + b"z" * 39999,
]
# redis-server forgets to close on QUIT while replies are off: we close, so it is not compared.
# A line above 64 KiB that has its end is taken or refused, as reads happen to cut it: none here.
# HELLO names each server's version, so what follows it cannot be compared byte for byte.
SPECIAL = [stream for stream in SPECIAL if not stream.startswith(b"HELLO")]


def request(rng, prefix):
    """One request that is fine, as an array or inline."""
    key = prefix + rng.choice((b"a", b"b", b"{x}c"))
    value = rng.choice((b"", b"v", b"12", b"x" * 50, b"y" * rng.randint(0, 3000),
                        rng.randbytes(rng.randint(0, 40)), b"\r\n$3\r\n", b"w" * 40000))
    words = rng.choice(([b"PING"], [b"PING", value], [b"ECHO", value], [b"SET", key, value],
                        [b"GET", key], [b"DEL", key], [b"APPEND", key, b"x"], [b"STRLEN", key],
                        [b"MSET", key, value, prefix + b"b", b"1"], [b"MGET", key, prefix + b"b"],
                        [b"INCR", prefix + b"n"], [b"NOPE", value[:20]], [b"GET"], []))
    if words and rng.random() < 0.25 and all(word.isalnum() for word in words):
        return b" ".join(words) + rng.choice((b"\r\n", b"\n"))
    return encode(*words)


def broken(rng, data):
    """The same with some bytes gone, doubled, or others."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not data:
            break
        # Near a frame's head, most of the time: values may be anything anyway.
        heads = [i for i, byte in enumerate(data[:4000]) if byte in b"*$\r\n"]
        place = rng.choice(heads) if heads and rng.random() < 0.7 else rng.randrange(len(data))
        place = min(len(data) - 1, max(0, place + rng.choice((0, 0, 0, 1, 1, 2, -1))))
        draw = rng.randrange(5)
        if draw == 0:
            del data[place]
        elif draw == 1:
            data[place] = rng.randrange(256)
        elif draw == 2:
            data[place] = rng.choice(b"*$\r\n -+0159x\x00'\"")
        elif draw == 3:
            data[place:place] = rng.choice((b"*", b"$", b"\r\n", b"\n", b"\r", b" ", b"9", b"-",
                                            b"\x00", b'"'))
        else:
            del data[place:place + rng.randint(1, 20)]
    return bytes(data)


def harmless(data):
    """Whether a stream that chance has bent still keeps to its own keys and finishes soon."""
    return not (b"536870912" in data and len(data) > 100)


def stream(rng, prefix):
    if rng.random() < 0.25:
        special = rng.choice(SPECIAL)
        before = b"".join(request(rng, prefix) for _ in range(rng.randrange(3)))
        # redis-server hangs up on HTTP at once, whether or not earlier replies are out already.
        is_http = b"post" in special.lower() or b"host:" in special.lower()
        return before + special if rng.random() < 0.5 and not is_http else special
    data = b"".join(request(rng, prefix) for _ in range(rng.randint(1, 8)))
    return broken(rng, data) if rng.random() < 0.7 else data


def cuts(rng, data):
    """The stream in pieces."""
    draw = rng.random()
    if draw < 0.3:
        return [data]
    if draw < 0.4 and len(data) < 200:
        return [data[i:i + 1] for i in range(len(data))]
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(1, 8)))
    pieces = [data[a:b] for a, b in zip([0] + places, places + [len(data)])]
    return [piece for piece in pieces if piece]


class Talk:
    """One connection, and what came back on it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent = bytearray()
        self.received = bytearray()
        self.closed = False

    def push(self):
        if self.unsent and not self.closed:
            try:
                del self.unsent[:self.socket.send(self.unsent)]
            except BlockingIOError:
                pass
            except OSError:
                self.unsent.clear()

    def pull(self):
        """Whether anything came."""
        try:
            more = self.socket.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            more = b""
        if more:
            self.received += more
        else:
            self.closed = True
        return True


def settle(pairs):
    """Read until all is quiet and the same, or different for long."""
    poller = select.poll()
    talks = {}
    for pair in pairs:
        for talk in pair:
            if not talk.closed:
                poller.register(talk.socket, select.POLLIN)
                talks[talk.socket.fileno()] = talk
    deadline = time.monotonic() + DIFFERENT_S
    quiet_since = time.monotonic()
    while talks:
        for number, _ in poller.poll(QUIET_S * 1000):
            talk = talks[number]
            if talk.pull():
                quiet_since = time.monotonic()
            if talk.closed:
                poller.unregister(number)
                del talks[number]
        for talk in list(talks.values()):
            talk.push()
        now = time.monotonic()
        unsent = any(talk.unsent for talk in talks.values())
        alike = all(len(a.received) == len(b.received) and a.closed == b.closed for a, b in pairs)
        if not unsent and alike and now - quiet_since >= QUIET_S or now > deadline:
            return


def differ(a, b):
    """Why two talks count as different, None if they do not."""
    if a.received != b.received:
        # After an error the connection is reset with input unread: replies may be lost on the way.
        return "other bytes"
    if a.closed != b.closed:
        return f"closed by {'tessera' if a.closed else 'redis-server'} alone"
    return None


def play_batch(run, ports, rng, number):
    pairs, datas, pieces = [], [], []
    for index in range(CONNECTIONS):
        data = stream(rng, b"s%d:%d:" % (number, index))
        while not harmless(data):
            data = stream(rng, b"s%d:%d:" % (number, index))
        datas.append(data)
        pieces.append(cuts(rng, data))
        pairs.append(tuple(Talk(port) for port in ports))
    try:
        for turn in range(max(map(len, pieces))):
            for pair, piece in zip(pairs, pieces):
                if turn < len(piece):
                    for talk in pair:
                        talk.unsent += piece[turn]
                        talk.push()
        settle(pairs)
        verdicts = [differ(a, b) for a, b in pairs]
        for pair in pairs:
            for talk in pair:
                if not talk.closed:
                    try:
                        talk.socket.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass
        settle(pairs)
        for index, (a, b) in enumerate(pairs):
            why = verdicts[index] or differ(a, b)
            if not why and not a.closed:
                why = "still open after the end of the stream"
            if why:
                run.fail(f"  stream {index} of batch {number}: {why}\n"
                         f"  sent in {len(pieces[index])} pieces: {shown(datas[index])}\n"
                         f"  redis-server: {shown(b.received)} closed={b.closed}\n"
                         f"  tessera:      {shown(a.received)} closed={a.closed}",
                         (why, bytes(a.received[-30:]), bytes(b.received[-30:])))
            else:
                run.passed += 1
    finally:
        for pair in pairs:
            for talk in pair:
                talk.socket.close()


def shown(data):
    text = repr(bytes(data))[1:]
    return text if len(text) < 400 else f"{text[:400]}... ({len(data)} bytes)"


def play(run, tessera, redis, seed, count):
    ports = (tessera.port, redis.port)
    for number in range(max(1, count // STREAMS_SHARE // CONNECTIONS)):
        if run.enough:
            return
        rng = random.Random(f"{seed}/streams/{number}")
        play_batch(run, ports, rng, number)
