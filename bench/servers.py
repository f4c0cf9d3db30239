"""servers.py: the servers under comparison: started, pinned, asked and weighed.

CPU time is that of the server's whole process, all of its threads, also those that ended meanwhile,
from its CPU clock in nanoseconds; so it knows nothing of ticks, and a kernel worker that does the
server's I/O counts as the server. Take it before and after what is to be measured: loading keys and
starting up then stay out of it.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time

START_TIMEOUT_S = 30
# Bytes sent before their replies are read: small enough that neither side's socket buffers fill up.
PIPE_BATCH_COUNT = 2000


class Resp:
    """A blocking connection that speaks RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 16)

    def close(self):
        self.file.close()
        self.socket.close()

    def command(self, *words):
        """The reply of one command; an error reply is raised."""
        self.socket.sendall(encode(*words))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise RuntimeError(f"unexpected reply {line!r}")

    def pipe(self, requests):
        """Send many encoded requests, each of which must be answered with +OK."""
        batch = []
        for request in requests:
            batch.append(request)
            if len(batch) == PIPE_BATCH_COUNT:
                self.pipe_batch(batch)
                batch = []
        if batch:
            self.pipe_batch(batch)

    def pipe_batch(self, batch):
        self.socket.sendall(b"".join(batch))
        expected = b"+OK\r\n" * len(batch)
        answer = self.file.read(len(expected))
        if answer != expected:
            raise RuntimeError(f"not all +OK while loading: {answer[:200]!r}")


def encode(*words):
    """One request as RESP."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running server. Use as a context manager: leaving it stops the server.

    It writes no files but those that `extra` asks for. They go to a folder of its own, which is
    removed with it, or to `directory`, which stays and may hold what the server is to load.
    """

    def __init__(self, name, path, cpus, shard_count=1, extra=(), directory=None,
                 start_timeout_s=START_TIMEOUT_S):
        self.name = name
        self.cpus = cpus
        self.shard_count = shard_count
        self.start_timeout_s = start_timeout_s
        self.port = free_port()
        self.keeps_directory = directory is not None
        self.directory = directory or tempfile.mkdtemp(prefix="tessera-bench-")
        words = [path, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", self.directory]
        if not os.path.basename(path).startswith("redis"):
            words += ["--shards", str(shard_count)]
        words += extra
        self.log = open(os.path.join(self.directory, "log"), "wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cpus)), *words], cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self.client = self.wait()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait(self):
        """The first connection, once the server takes any and has loaded what it found."""
        end = time.monotonic() + self.start_timeout_s
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                client = Resp(self.port)
                client.command("DBSIZE")  # an error while files are being loaded
                return client
            except (OSError, RuntimeError):
                time.sleep(0.01)
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
            raise RuntimeError(f"{self.name} did not start:\n{log.read()[-2000:]}")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        if not self.keeps_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def open(self):
        """One more connection."""
        return Resp(self.port)

    def cpu_s(self):
        """CPU seconds of all threads so far."""
        try:
            # The clock that clock_getcpuclockid() names for another process.
            return time.clock_gettime((~self.process.pid << 3) | 2)
        except OSError:
            total = 0
            tasks = f"/proc/{self.process.pid}/task"
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
            return total / 1e9

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def info(self):
        """All fields of INFO, and the raw lines under "lines"."""
        text = self.client.command("INFO", "everything").decode()
        fields = {"lines": text.split("\r\n")}
        for line in fields["lines"]:
            name, colon, value = line.partition(":")
            if colon:
                fields[name] = value
        return fields

    def version(self):
        fields = self.info()
        for name in ("tessera_version", "valkey_version", "redis_version"):
            if name in fields:
                return f"{name.split('_')[0]} {fields[name]}"
        return "unknown"

    def reset_statistics(self):
        self.client.command("CONFIG", "RESETSTAT")

    def longest_turn_us(self):
        """Thread CPU time of the longest reactor turn since the statistics were reset, or None."""
        value = self.info().get("longest_turn_us")
        return None if value is None else float(value)

    def core_keys(self):
        """Keys of each core, from the lines of INFO's section Cores; {} for other servers."""
        keys = {}
        for line in self.info()["lines"]:
            name, colon, rest = line.partition(":")
            if colon and name.startswith("core") and name[4:].isdigit():
                fields = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
                if "keys" in fields:
                    keys[int(name[4:])] = int(fields["keys"])
        return keys
