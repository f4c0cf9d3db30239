"""test_load.py: a server under random load, with connections that are dropped at random and clients
that come and go on all cores, for some seconds; meant for builds with sanitizers, which write what
they find to the server's log and change its exit code.

    test_load.py [SECONDS]
"""

import os
import random
import sys
import threading
import time

from harness import require
from resp import Closed, encode, exchange
from server import BACKENDS, SKIP, Server, backend_works, tessera_path
from test_traffic import broken_talk, random_request

SECONDS_DEFAULT = 6
SHARDS = (1, 2, 3)
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
           "runtime error:", "assertion", "ASSERT")
ODD_REQUESTS = [("FLUSHALL",), ("FLUSHDB", "ASYNC"), ("KEYS", "*"), ("SCAN", "0", "COUNT", "100"),
                ("RANDOMKEY",), ("SWAPDB", "0", "1"), ("CONFIG", "SET", "tcp-keepalive", "100"),
                ("CLIENT", "LIST"), ("INFO",), ("CLIENT", "KILL", "ID", "5"),
                ("SET", "big", "b" * 70_000),
                ("GET", "big"), ("APPEND", "big", "x"), ("SET", "k1", "v", "PX", "2"),
                ("MSETNX", "k1", "1", "n1", "2"), ("COPY", "k1", "k2", "REPLACE"), ("HELLO", "3"),
                ("CLIENT", "PAUSE", "2", "ALL"), ("CLIENT", "NO-EVICT", "on"), ("COMMAND",),
                ("RESET",), ("LCS", "k1", "k2", "IDX"), ("SELECT", "1"), ("SELECT", "0"), ("CONFIG", "RESETSTAT")]


def talk(server, seed, end, problems):
    """Pipelines of random requests; some connections are left in the middle of their replies."""
    rng = random.Random(seed)
    while time.monotonic() < end:
        try:
            with server.client() as client:
                for _ in range(rng.randrange(1, 6)):
                    requests = [random_request(rng) if rng.random() < 0.93
                                else rng.choice(ODD_REQUESTS)
                                for _ in range(rng.choice((1, 5, 50, 300)))]
                    data = b"".join(encode(*words) for words in requests)
                    if rng.random() < 0.3:
                        client.send_raw(data[:rng.randrange(len(data))])
                        break
                    exchange([client], [data], count=len(requests), timeout_s=60)
        except (Closed, ConnectionError):
            pass  # killed by another, or dropped by itself
        except Exception as error:
            problems.append(repr(error)[:500])
            return


def drop(server, seed, end, problems):
    rng = random.Random(seed)
    while time.monotonic() < end:
        try:
            broken_talk(server, rng)
        except (Closed, ConnectionError):
            pass
        except Exception as error:
            problems.append(repr(error)[:500])
            return


def load(path, backend, shards, seconds):
    with Server(path, shards=shards, backend=backend) as server:
        end = time.monotonic() + seconds
        problems = []
        threads = [threading.Thread(target=talk, args=(server, seed, end, problems))
                   for seed in range(6)]
        threads += [threading.Thread(target=drop, args=(server, seed, end, problems))
                    for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require(server.alive(), "the server ended:", server.log()[-6000:])
        require(not problems, problems[:3])
        require(server.call("PING") == b"PONG")
        log_path = server.log_path
        server.process.terminate()
        code = server.wait_exit(120)
        with open(log_path, encoding="utf-8", errors="replace") as file:
            log = file.read()
        require(not any(report in log for report in REPORTS), log[-8000:])
        require(code == 0, "exit code", code, log[-6000:])


def main():
    path = tessera_path()
    if path is None:
        print("skipped: no tessera-server")
        return SKIP
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS_DEFAULT
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1")
    passed = failed = 0
    for backend in BACKENDS:
        if not backend_works(path, backend):
            print(f"io-backend {backend} does not work on this machine: left out")
            continue
        for shards in SHARDS:
            try:
                load(path, backend, shards, seconds)
                passed += 1
            except Exception as error:
                failed += 1
                print(f"{backend}, {shards} shards: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
