"""resp.py: requests and replies as bytes, on plain sockets.

Two views of a reply: `Reader.take()` cuts the bytes of one reply out of what has arrived, without
interpreting them (that is what the oracle compares), and `parse()` turns such bytes into Python
values. Values keep their RESP type where Python would lose it, in small classes.
"""

import select
import socket
import time

REPLY_TIMEOUT_S = 30


class Incomplete(Exception):
    """The reply has not arrived whole."""


class Closed(Exception):
    """The server closed the connection."""


class Malformed(Exception):
    """These bytes are no RESP."""


class Error(Exception):
    """An error reply; raised by Client.call(), a value elsewhere."""

    def __eq__(self, other):
        return isinstance(other, Error) and self.args == other.args

    def __hash__(self):
        return hash(self.args)


class Simple(bytes):
    """A simple string, `+OK`."""


class Verbatim(bytes):
    """A verbatim string; the value begins behind the kind and its colon."""


class Push(list):
    """A push message of RESP3."""


class Set(list):
    """A set of RESP3, in the order of its arrival."""


class Map(list):
    """A map of RESP3 as a list of pairs, in the order of its arrival."""

    def get(self, key, default=None):
        return dict(self).get(key, default)


def encode(*words):
    """One request as RESP."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def reply_end(data, position):
    """Where the reply that starts at `position` ends. Raises Incomplete or Malformed."""
    remaining = 1
    find = data.find
    while remaining:
        line_end = find(b"\r\n", position)
        if line_end < 0:
            raise Incomplete
        kind = data[position]
        if kind in b"+-:_,#(":
            position = line_end + 2
            remaining -= 1
        elif kind in b"$=!":
            size = int(data[position + 1:line_end])
            position = line_end + 2
            if size >= 0:
                position += size + 2
                if position > len(data):
                    raise Incomplete
            remaining -= 1
        elif kind in b"*~>%|":
            count = int(data[position + 1:line_end])
            position = line_end + 2
            remaining -= 1
            if count > 0:
                remaining += count * 2 if kind in b"%|" else count
            if kind == ord("|"):
                remaining += 1
        else:
            raise Malformed(f"a reply cannot start with {bytes(data[position:position + 40])!r}")
    return position


def split(data):
    """The replies in `data` as a list of bytes; a last one that is not whole comes as it is."""
    replies = []
    position = 0
    while position < len(data):
        try:
            end = reply_end(data, position)
        except (Incomplete, Malformed, ValueError):
            end = len(data)
        replies.append(bytes(data[position:end]))
        position = end
    return replies


def parse(data):
    """The value of one whole reply."""
    value, position = parse_at(data, 0)
    if position != len(data):
        raise Malformed(f"{len(data) - position} bytes behind the reply")
    return value


def parse_at(data, position):
    line_end = data.find(b"\r\n", position)
    if line_end < 0:
        raise Incomplete
    kind, rest = data[position:position + 1], data[position + 1:line_end]
    position = line_end + 2
    if kind == b"+":
        return Simple(rest), position
    if kind == b"-":
        return Error(bytes(rest).decode("latin-1")), position
    if kind in (b":", b"("):
        return int(rest), position
    if kind == b"_":
        return None, position
    if kind == b"#":
        return rest == b"t", position
    if kind == b",":
        return float(rest), position
    if kind in (b"$", b"=", b"!"):
        size = int(rest)
        if size < 0:
            return None, position
        if len(data) < position + size + 2:
            raise Incomplete
        body = bytes(data[position:position + size])
        if kind == b"=":
            body = Verbatim(body)
        elif kind == b"!":
            body = Error(body.decode("latin-1"))
        return body, position + size + 2
    if kind in (b"*", b"~", b">"):
        count = int(rest)
        if count < 0:
            return None, position
        items = {b"*": list, b"~": Set, b">": Push}[kind]()
        for _ in range(count):
            item, position = parse_at(data, position)
            items.append(item)
        return items, position
    if kind == b"%":
        pairs = Map()
        for _ in range(int(rest)):
            key, position = parse_at(data, position)
            value, position = parse_at(data, position)
            pairs.append((key, value))
        return pairs, position
    raise Malformed(f"a reply cannot start with {kind!r}")


class Client:
    """A blocking connection."""

    def __init__(self, address, timeout_s=REPLY_TIMEOUT_S):
        """`address` is a port of 127.0.0.1, a (host, port) pair or the path of a Unix socket."""
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout_s)
            self.socket.connect(address)
        else:
            if isinstance(address, int):
                address = ("127.0.0.1", address)
            self.socket = socket.create_connection(address, timeout=timeout_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, *words):
        self.socket.sendall(encode(*words))

    def send_raw(self, data):
        self.socket.sendall(data)

    def fill(self):
        """Wait for more bytes. Raises Closed at the end of the stream or on a reset."""
        try:
            more = self.socket.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed("reset") from error
        if not more:
            raise Closed("end of stream")
        self.data += more

    def reply_raw(self):
        """The bytes of the next reply."""
        while True:
            try:
                end = reply_end(self.data, 0)
            except Incomplete:
                self.fill()
                continue
            reply = bytes(self.data[:end])
            del self.data[:end]
            return reply

    def reply(self):
        """The next reply as a value; an error is returned, not raised."""
        return parse(self.reply_raw())

    def call(self, *words):
        """Send one command and return its reply; an error reply is raised."""
        self.send(*words)
        value = self.reply()
        if isinstance(value, Error):
            raise value
        return value

    def ask(self, *words):
        """As call(), but an error reply is returned."""
        self.send(*words)
        return self.reply()

    def pipeline(self, requests, timeout_s=REPLY_TIMEOUT_S):
        """Send requests (tuples of words) at once, return the replies as values."""
        raw = exchange([self], [b"".join(encode(*words) for words in requests)],
                       count=len(requests), timeout_s=timeout_s)[0]
        return [parse(reply) for reply in raw]

    def closed_within(self, timeout_s):
        """Read and drop what comes until the server closes: True; False if it does not in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            readable, _, _ = select.select([self.socket], [], [], left)
            if readable:
                try:
                    if not self.socket.recv(1 << 18):
                        return True
                except OSError:
                    return True


def exchange(clients, payloads, *, token=None, count=None, timeout_s=REPLY_TIMEOUT_S):
    """Send each client its payload while reading what all of them get, until every one of them has
    `count` replies, or bytes that end with `token`, or is closed. With a token the result for each
    is (bytes before the token's reply, whether it was closed); with a count a list of replies."""
    out = [memoryview(payload) for payload in payloads]
    scanned = [0] * len(clients)  # with a count: bytes already cut
    found = [[] for _ in clients]
    closed = [False] * len(clients)
    done = [False] * len(clients)
    deadline = time.monotonic() + timeout_s
    poller = select.poll()
    numbers = {}
    for index, client in enumerate(clients):
        client.socket.setblocking(False)
        numbers[client.socket.fileno()] = index
        poller.register(client.socket, select.POLLIN | select.POLLOUT)

    def take(index):
        data = clients[index].data
        if token is not None:
            done[index] = data.endswith(token)
            return
        while len(found[index]) < count:
            try:
                end = reply_end(data, scanned[index])
            except Incomplete:
                return
            found[index].append(bytes(data[scanned[index]:end]))
            scanned[index] = end
        done[index] = True

    for index, client in enumerate(clients):
        take(index)
    while not all(done):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no reply: have {[bytes(c.data[-200:]) for c in clients]}, "
                               f"done {done}, unsent {[len(o) for o in out]}")
        for number, events in poller.poll(left * 1000):
            index = numbers[number]
            client = clients[index]
            if events & select.POLLOUT:
                if out[index]:
                    try:
                        sent = client.socket.send(out[index][:1 << 20])
                        out[index] = out[index][sent:]
                    except BlockingIOError:
                        pass
                    except (BrokenPipeError, ConnectionResetError):
                        out[index] = out[index][:0]
                if not out[index]:
                    poller.modify(client.socket, select.POLLIN)
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                try:
                    more = client.socket.recv(1 << 20)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    more = b""
                if more:
                    client.data += more
                    take(index)
                else:
                    closed[index] = done[index] = True
                    poller.unregister(client.socket)
                    if token is None and len(found[index]) < count:
                        raise Closed(f"after {len(found[index])} of {count} replies")
    result = []
    for index, client in enumerate(clients):
        client.socket.settimeout(REPLY_TIMEOUT_S)
        if token is None:
            del client.data[:scanned[index]]
            result.append(found[index])
        else:
            data = bytes(client.data)
            client.data.clear()
            whole = data.endswith(token)
            result.append((data[:-len(token)] if whole else data, not whole and closed[index]))
    return result
