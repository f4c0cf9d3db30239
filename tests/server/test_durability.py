"""test_durability.py: kill -9 at random moments, over and over: nothing that was acknowledged is
lost, nothing is there by halves.

A life is one data folder under one set of options: a server starts, clients load it
(durability_load.py), it is killed, started anew (with another number of shards, perhaps killed again
while it loads), and asked what it has. Meanwhile somebody rewrites the log, saves, changes the fsync
policy and now and then switches the log off and on. A life ends with a clean stop, behind which
redis-server reads the folder too, where there is one.

    test_durability.py [--seconds N] [--loops N] [--seed TEXT] [--life NUMBER]

The seed decides options and commands; when things happen is up to the machine. The folder of a
failure is kept, and a copy of it as the server found it.
"""

import argparse
import itertools
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

from durability_load import Broken, Run, SHARER_COUNT, Shared, WRITER_COUNT, Writer
from resp import Closed
from server import (BACKENDS, SKIP, Server, backend_works, redis_path, tessera_path, wait_until)

SECONDS_DEFAULT = 40
POLICIES = ("always", "everysec", "no")
SHARD_COUNTS = (1, 2, 5)
DATABASES = 16
COPY_SIZE_MAX = 64 << 20
REPORTS = ("Sanitizer", "runtime error:", "assertion", "ASSERT", "broken assumption", "corrupt")


class Life:
    """One data folder, from empty to the clean stop."""

    def __init__(self, path, seed, backend, policy):
        self.path = path
        self.seed = seed
        self.rng = random.Random(seed)
        self.backend = backend
        self.policy = policy
        self.is_flushing = self.rng.random() < 0.25
        self.is_switching = self.rng.random() < 0.25
        self.has_preamble = self.rng.random() < 0.8
        self.grows = self.rng.random() < 0.3
        self.directory = tempfile.mkdtemp(prefix="tessera-kills-")
        self.shared = Shared(self.is_flushing)
        self.writers = [] if self.is_flushing else [Writer(i, seed) for i in range(WRITER_COUNT)]
        self.switching = threading.Lock()  # held while the log is off or beginning
        self.server = None
        self.shards = 0
        self.logs = []
        self.kill_count = 0
        self.written = 0

    def describe(self):
        return (f"{self.backend}, appendfsync {self.policy}"
                + (", flushing" if self.is_flushing else "")
                + (", switching" if self.is_switching else "")
                + ("" if self.has_preamble else ", no preamble"))

    # ---- servers ----

    def start(self, wait=True):
        self.shards = self.rng.choice(SHARD_COUNTS)
        args = ["--dir", self.directory, "--save", "", "--appendonly", "yes", "--appendfsync",
                self.policy, "--databases", DATABASES, "--aof-use-rdb-preamble",
                "yes" if self.has_preamble else "no", "--aof-timestamp-enabled",
                self.rng.choice(("yes", "no"))]
        if self.grows:
            args += ["--auto-aof-rewrite-min-size", "200kb", "--auto-aof-rewrite-percentage", "50"]
        self.server = Server(self.path, shards=self.shards, backend=self.backend, wait=wait,
                             args=[str(word) for word in args])

    def end(self):
        """The server is dead, or is to be: keep its log."""
        if self.server is not None:
            if self.server.alive():
                self.server.process.kill()
                self.server.process.wait()
            self.logs.append(f"({self.shards} shards)\n{self.server.log()}")
            self.server.stop()
            self.server = None

    def restart(self):
        """Behind a kill: the folder as it is goes into a copy, then a server on it; sometimes one
        that is killed while it loads comes first."""
        self.copy()
        if self.rng.random() < 0.2:
            self.start(wait=False)
            time.sleep(self.rng.uniform(0, 0.15))
            self.end()
        self.start()

    def copy(self):
        target = self.directory + ".before"
        shutil.rmtree(target, ignore_errors=True)
        size = sum(entry.stat().st_size for entry in os.scandir(
            os.path.join(self.directory, "appendonlydir")))
        if size < COPY_SIZE_MAX:
            shutil.copytree(self.directory, target)

    # ---- what goes on beside the clients ----

    def trouble(self, run, rng):
        """Rewrites, saves and settings."""
        with run.client() as client:
            while run.running():
                time.sleep(rng.uniform(0.005, 0.12))
                choice = rng.random()
                if choice < 0.45:
                    client.ask("BGREWRITEAOF")
                elif choice < 0.65:
                    client.ask("BGSAVE")
                elif choice < 0.8:
                    client.call("CONFIG", "SET", "appendfsync", rng.choice(POLICIES))
                elif choice < 0.9:
                    client.call("INFO", "persistence")
                elif self.is_switching:
                    with self.switching:
                        self.switch(client, rng)

    def switch(self, client, rng):
        client.call("CONFIG", "SET", "appendonly", "no")
        time.sleep(rng.uniform(0, 0.05))
        client.call("CONFIG", "SET", "appendonly", "yes")
        wait_until(lambda: self.log_is_on(client), 30, "appendonly yes")

    @staticmethod
    def log_is_on(client):
        text = bytes(client.call("INFO", "persistence")).decode()
        return all(line in text for line in ("aof_enabled:1\r\n", "aof_rewrite_in_progress:0\r\n",
                                             "aof_rewrite_scheduled:0\r\n"))

    def load_and_kill(self, loop):
        """Clients at work until the server is killed. False: the log may have been off."""
        seed = f"{self.seed} {loop} "
        run = Run(self.server, seed)
        for index in range(SHARER_COUNT):
            run.start(self.shared.run, index)
        for writer in self.writers:
            run.start(writer.run)
        run.start(self.trouble, random.Random(seed + "trouble"))
        until = time.monotonic() + self.rng.choice((0.05, 0.2, 0.4, 0.8)) * self.rng.random()
        while time.monotonic() < until and run.running():
            time.sleep(0.002)
        is_known = not self.is_switching or self.rng.random() < 0.8
        if is_known and not self.switching.acquire(timeout=60):  # pylint: disable=R1732
            raise Broken("the log was never switched on")
        code = self.server.process.poll()
        if code is not None:
            raise Broken(f"the server ended with {code}")
        self.server.process.kill()
        run.is_over.set()
        if is_known:
            self.switching.release()
        self.end()
        run.join()
        self.written += run.counts["written"] + run.counts["shared"]
        self.kill_count += 1
        return is_known

    # ---- the life ----

    def check(self, is_known):
        with self.server.client(timeout_s=20) as client:
            for writer in self.writers:
                if is_known:
                    writer.check(client)
                else:
                    writer.learn(client)
            self.shared.check(client, is_known)

    def play(self, loops, end_time):
        """Up to `loops` kills; returns how many."""
        self.start()
        with self.server.client() as client:
            self.shared.create(client)
        for loop in range(loops):
            is_known = self.load_and_kill(loop)
            self.restart()
            self.check(is_known)
            if time.monotonic() > end_time:
                break
        self.stop_cleanly()

    def stop_cleanly(self):
        run = Run(self.server, f"{self.seed} end")
        for writer in self.writers:
            run.start(writer.run)
        time.sleep(0.05)
        run.is_over.set()
        self.server.process.terminate()
        code = self.server.wait_exit()
        run.join()
        self.end()
        if code != 0:
            raise Broken(f"exit code {code} after SIGTERM")
        redis = redis_path()
        self.copy()
        if redis is not None and self.rng.random() < 0.5:
            self.server = Server(redis, args=("--dir", self.directory, "--databases",
                                              str(DATABASES), "--appendonly", "yes"))
        else:
            self.start()
        self.check(True)
        self.end()

    def problem(self):
        """What a failure's report needs."""
        self.end()
        path = os.path.join(self.directory, "logs")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(self.logs))
        return (f"{self.describe()}, {self.kill_count} kills; last server's log:\n"
                f"{self.logs[-1][-2500:] if self.logs else ''}\nkept: {self.directory}, "
                f"{self.directory}.before (as the last server found it), {path}")

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.directory + ".before", ignore_errors=True)


def play_life(life, loops, end_time):
    """True: all is well."""
    try:
        life.play(loops, end_time)
        for log in life.logs:
            for word in REPORTS:
                if word in log:
                    raise Broken(f"the log says {word}")
    except (Broken, Closed, OSError, RuntimeError, TimeoutError, KeyError) as error:
        where = "" if isinstance(error, Broken) else traceback.format_exc()
        print(f"FAILED {life.seed}: {type(error).__name__} {error}\n{where}{life.problem()}",
              flush=True)
        return False
    life.remove()
    return True


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--loops", type=int, default=0, help="kills in all; 0: as time allows")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--life", type=int, help="only this one of the seed's lives, over and over")
    parser.add_argument("--keep-going", action="store_true", help="after a failure too")
    return parser.parse_args()


def main():
    options = arguments()
    path = tessera_path()
    if path is None:
        print("skipped: no tessera-server")
        return SKIP
    backends = [backend for backend in BACKENDS if backend_works(path, backend)]
    cells = list(itertools.product(backends, POLICIES))
    seconds = options.seconds or (1e9 if options.loops else SECONDS_DEFAULT)
    end_time = time.monotonic() + seconds
    print(f"seed {options.seed}, {seconds:g} s", flush=True)
    passed = failed = kills = written = 0
    number = options.life or 0
    while time.monotonic() < end_time and not (options.loops and kills >= options.loops):
        backend, policy = cells[number % len(cells)]
        life = Life(path, f"{options.seed}/{number}", backend, policy)
        loops = life.rng.randrange(3, 9)
        if options.loops:
            loops = min(loops, options.loops - kills)
        is_well = play_life(life, loops, end_time)
        passed += is_well
        failed += not is_well
        kills += life.kill_count
        written += life.written
        if failed and not options.keep_going:
            break
        number += options.life is None
    print(f"{kills} kills, {written} acknowledged changes")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
