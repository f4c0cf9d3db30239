"""server.py: a server of its own for a test: started on a free port, asked, stopped by its pid.

The programs come from the environment (TESSERA_SERVER, REDIS_SERVER) or lie where the build puts
them. A server lives in its own temporary directory, which goes with it.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Client, Error

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20
POLL_S = 0.01
PORTS = (10240, 32768)
PORT_TRIES = 100
SKIP = 77  # exit code that tells meson so
BACKENDS = ("io_uring", "epoll")


def tessera_path():
    """The server under test, None when it has not been built."""
    found = os.environ.get("TESSERA_SERVER")
    if found:
        return found
    for build in ("release", "debug"):
        path = os.path.join(ROOT, "build", build, "tessera-server")
        if os.path.exists(path):
            return path
    return None


def redis_path():
    """redis-server 7.0, None where there is none."""
    path = os.environ.get("REDIS_SERVER") or os.path.join(ROOT, "build/oracle/redis-server")
    return path if os.path.exists(path) else None


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    """A port that nobody has, below those that the system gives to outgoing connections: none of
    them takes it before the server does."""
    chance = random.SystemRandom()
    for _ in range(PORT_TRIES):
        port = chance.randrange(*PORTS)
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def wait_until(condition, timeout_s, what="it"):
    """Poll until condition() is true and return its value. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout_s} s")
        time.sleep(POLL_S)


class Server:
    """One running server. Use as a context manager: leaving it stops the server."""

    def __init__(self, path, *, shards=None, backend=None, port=None, args=(), config=None,
                 wait=True, prefix=()):
        """`args` are further words of the command line, `config` the text of a configuration file,
        `port` 0 for none, `prefix` words before the program."""
        self.path = path = os.path.abspath(path)
        self.is_redis = "redis" in os.path.basename(path)
        self.directory = tempfile.mkdtemp(prefix="tessera-test-")
        self.port = free_port() if port is None else port
        self.log_path = os.path.join(self.directory, "log")
        words = [*prefix, path]
        if config is not None:
            config_path = os.path.join(self.directory, "server.conf")
            with open(config_path, "w", encoding="utf-8") as file:
                file.write(config)
            words.append(config_path)
        words += ["--port", str(self.port)]
        if self.is_redis:
            words += ["--save", "", "--appendonly", "no", "--dir", self.directory]
        else:
            if shards is not None:
                words += ["--shards", str(shards)]
            if backend is not None:
                words += ["--io-backend", backend]
        words += ["--enable-debug-command", "yes", *args]
        self.words = words
        self.exit_code = None
        try:
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen(words, cwd=self.directory, stdout=log,
                                                stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        except OSError:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self.pid = self.process.pid
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.stop(kill=True)
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_ready(self):
        """Until the log says that connections are taken."""
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{' '.join(self.words)} ended with "
                                   f"{self.process.returncode}:\n{self.log()[-3000:]}")
            return "Ready to accept connections" in self.log()
        wait_until(ready, START_TIMEOUT_S, f"start of {' '.join(self.words)}")

    def alive(self):
        return self.process.poll() is None

    def client(self, **options):
        return Client(self.port, **options)

    def call(self, *words):
        with self.client() as client:
            return client.call(*words)

    def info(self, section="everything"):
        """INFO as a dict of strings; the section's name in lower case."""
        text = self.call("INFO", section)
        rows = {}
        for line in bytes(text).decode().splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith("#"):
                rows[name] = value
        return rows

    def file_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_exit(self, timeout_s=STOP_TIMEOUT_S):
        self.exit_code = self.process.wait(timeout_s)
        return self.exit_code

    def stop(self, kill=False):
        """End it (SIGTERM, or SIGKILL if that does not help) and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.exit_code = self.process.returncode
        shutil.rmtree(self.directory, ignore_errors=True)
        return self.exit_code


def backend_works(path, backend):
    """Whether this machine lets the server use that back end."""
    try:
        with Server(path, shards=1, backend=backend) as server:
            try:
                return backend.encode() in server.call("INFO", "server").replace(b"-", b"_")
            except Error:
                return False
    except RuntimeError:
        return False
