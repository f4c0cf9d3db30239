"""pubsub_scenarios.py: what it costs to publish.

One publisher, N subscribers of one channel. The publisher sends PUBLISHes one by one, or some in a
pipeline, and waits until every subscriber has all of them before it goes on, so that no server can
save work by falling behind. CPU for each delivered message is the server process's, the publisher's
request included. Yields tables.
"""

import select
import socket
from dataclasses import dataclass

from generators import alternate, median, ratios
from report import Table, verdict
from servers import encode

MESSAGE = b"m" * 64
CHANNEL = b"news"
# (subscribers, shards, target of CPU over redis-server's)
CASES = ((1, 1, 1.2), (50, 2, 0.7), (1000, 2, 0.7))
PIPELINES = (1, 16)
DELIVERIES_PER_SECOND = 120_000  # of work for each second of a run, about what one CPU delivers
PUBLISHES_MAX_PER_SECOND = 20_000
FRAME_SIZE = len(encode(b"message", CHANNEL, MESSAGE))
RECEIVE_SIZE = 1 << 16
TIMEOUT_S = 60


@dataclass
class Sample:
    cpu_us: float  # of the server, for each delivered message


class Audience:
    """Subscribers of the channel, and how many bytes they have got together."""

    def __init__(self, port, count):
        self.sockets = []
        self.poller = select.epoll()
        self.by_number = {}
        confirmation_size = len(encode(b"subscribe", CHANNEL)) + len(b":1\r\n")
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
            connection.sendall(encode("SUBSCRIBE", CHANNEL))
            left = confirmation_size
            while left > 0:
                left -= len(connection.recv(left))
            connection.setblocking(False)
            self.sockets.append(connection)
            self.by_number[connection.fileno()] = connection
            self.poller.register(connection.fileno(), select.EPOLLIN)

    def wait(self, size):
        """Read until all of them have got `size` bytes more, together."""
        while size > 0:
            events = self.poller.poll(TIMEOUT_S)
            if not events:
                raise RuntimeError(f"{size} bytes of messages did not come")
            for number, _ in events:
                size -= len(self.by_number[number].recv(RECEIVE_SIZE))
        if size < 0:
            raise RuntimeError("more messages than were published")

    def close(self):
        self.poller.close()
        for connection in self.sockets:
            connection.close()


def run(server, audience, count, pipeline, publish_count):
    request = encode("PUBLISH", CHANNEL, MESSAGE) * pipeline
    answer = b":%d\r\n" % count * pipeline
    publisher = server.client
    cpu_before = server.cpu_s()
    for _ in range(publish_count // pipeline):
        publisher.socket.sendall(request)
        audience.wait(FRAME_SIZE * count * pipeline)
        if publisher.file.read(len(answer)) != answer:
            raise RuntimeError("PUBLISH reached another number of subscribers")
    delivered = publish_count // pipeline * pipeline * count
    return Sample((server.cpu_s() - cpu_before) * 1e6 / delivered)


def pubsub(bench):
    """PUBLISH of 64 bytes to 1, 50 and 1,000 subscribers, against redis-server."""
    table = Table(
        "Publish and subscribe",
        ["subscribers", "pipeline", "server", "CPU µs/delivered message", "CPU, ratio of medians",
         "CPU, median of pair ratios (target)"],
        f"One publisher, {len(MESSAGE)}-byte messages; the next pipeline goes out when all "
        f"subscribers have the last one; {bench.pair_count} pairs of runs, medians.")
    for count, shards, target in CASES:
        cpus, _ = bench.cpus_for(shards)
        with bench.redis(cpus) as redis, bench.tessera(cpus, shards) as tessera:
            servers = (redis, tessera)
            audiences = {s.name: Audience(s.port, count) for s in servers}
            for pipeline in PIPELINES:
                bench.say(f"{count} subscribers, pipeline {pipeline}")
                publish_count = min(DELIVERIES_PER_SECOND * bench.seconds // count,
                                    PUBLISHES_MAX_PER_SECOND * bench.seconds)
                def one(server, publishes, count=count, pipeline=pipeline):
                    return run(server, audiences[server.name], count, pipeline, publishes)
                for server in servers:
                    one(server, max(publish_count // 10, pipeline))
                samples = alternate(
                    {s.name: (lambda s=s, n=publish_count: one(s, n)) for s in servers},
                    bench.pair_count)
                of_medians, of_pairs = ratios(samples, redis.name, tessera.name, "cpu_us")
                table.add(count, pipeline, redis.name, median(samples[redis.name], "cpu_us"), 1.0,
                          "")
                table.add(count, pipeline, tessera.name, median(samples[tessera.name], "cpu_us"),
                          of_medians, verdict(of_pairs, at_most=target))
            for audience in audiences.values():
                audience.close()
    yield table
