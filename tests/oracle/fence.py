"""fence.py: what was sent to a server before has had its effect on all of its cores.

A reply tells that one connection's core is done with a request. What else the request causes may
still be under way to other cores: a wait to be registered, a message, an invalidation, the end of a
connection. A test that goes on from another connection would then race with it, and a pause between
the two would only make that rarer. Mail between two cores keeps its order, so a question that every
core asks of every core (DBSIZE, on a connection to each) is answered behind all that any of them had
sent before: one round is one hop of everything that was under way.

    core 0  ──PUBLISH's message──▶ core 1          a round: core 0 ──DBSIZE──▶ core 1, core 2
    core 0  ──message──▶ core 2                             core 1 ──DBSIZE──▶ core 0, core 2 ...

A command that waits for a key gives no reply that could be waited for; CLIENT LIST tells that its
core has begun with it (the flag `b`), and a round behind that, that the keys' owners know of it.
A server of one thread has one connection here, whose round is one question.
"""

import re
import select
import time

from resp import Client

PATIENCE_S = 30
# Enough for what goes by way of three cores, and one for the last one's send.
ROUNDS_ALL = 4


def readable(client, timeout_s=0):
    """Has it a reply, or its end, to be read?"""
    return bool(client.data) or bool(select.select([client.socket], [], [], timeout_s)[0])


class Fence:
    """A connection to each core of one server."""

    def __init__(self, server):
        self.clients = []
        others, seen = [], set()
        count = self.core_count(server)
        deadline = time.monotonic() + PATIENCE_S
        while len(seen) < count:
            client = Client(server.port)
            core = re.search(rb" core=(\d+)", client.call(b"CLIENT", b"INFO"))
            core = core.group(1) if core else b"0"
            (others if core in seen else self.clients).append(client)
            seen.add(core)
            if time.monotonic() > deadline:
                raise TimeoutError(f"no connection to all of {count} cores, only to {seen}")
        for client in others:
            client.close()

    @staticmethod
    def core_count(server):
        with Client(server.port) as client:
            text = bytes(client.call(b"INFO", b"cores"))
        return max(1, len(re.findall(rb"^core\d+:", text, re.MULTILINE)))

    def close(self):
        for client in self.clients:
            client.close()

    def round(self, count=1):
        """`count` hops of what is under way between the cores."""
        for _ in range(count):
            for client in self.clients:
                client.send(b"DBSIZE")
            for client in self.clients:
                client.reply_raw()

    def call(self, *words):
        return self.clients[0].call(*words)

    def flags(self, ident):
        """The letters of a client, empty when it is gone."""
        line = bytes(self.call(b"CLIENT", b"LIST", b"ID", b"%d" % ident))
        found = re.search(rb" flags=(\S+)", line)
        return found.group(1) if found else b""

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not happen within {PATIENCE_S} s")

    def started(self, client, ident):
        """The command that may block has begun to wait, or has ended. Its keys' owners know of it
        one round later."""
        self.until(lambda: readable(client) or b"b" in self.flags(ident), f"client {ident}'s wait")

    def gone(self, idents):
        """These clients' connections were closed: they have left all cores."""
        for ident in idents:
            self.until(lambda i=ident: not self.flags(i), f"client {ident}'s end")
        self.round(ROUNDS_ALL)
