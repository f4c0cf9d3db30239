"""exchange.py: files change servers: what Tessera writes redis-server 7.0 loads, and the other way
round, and both then have the same data; also what both answer to commands about files.

    exchange.py [--seed N] [--rounds N] [--shards 1,2,5] [--io-backend io_uring,epoll]
                [--only rdb,log,old,reload,fields,functions,replies] [--keep]

A snapshot goes round: one server writes it, redis-server and Tessera with each number of shards
load it, what they have is compared with each other and with what the writer had, and one of them
writes the next. A folder of logs goes from hand to hand as in a relay: each server loads it, is compared
with what the server before had, goes on writing (random commands, transactions, rewrites of both
kinds, emptied and swapped databases), and stops. Libraries of functions, which Tessera cannot run,
come back to redis-server as they left it. redis-check-rdb and redis-check-aof look at
whatever Tessera leaves. Everything that chance decides follows from the seed, which is printed.
"""

import argparse
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
import exchange_data as data  # noqa: E402
import exchange_replies  # noqa: E402
from resp import Closed, Error  # noqa: E402
from server import (BACKENDS, SKIP, Server, backend_works, redis_path, tessera_path,  # noqa: E402
                    wait_until)

PARTS = ("rdb", "log", "old", "reload", "fields", "functions", "replies")
ROUNDS = 1
VALUE_COUNT = 150
MUTATION_COUNT = 1500
POLICIES = ("noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lfu")
LIMITS = {"hash-max-listpack-entries": (512, 8), "hash-max-listpack-value": (64, 8),
          "zset-max-listpack-entries": (128, 8), "zset-max-listpack-value": (64, 8),
          "set-max-intset-entries": (512, 8), "list-max-listpack-size": (-2, -1, 5),
          "list-compress-depth": (0, 1), "stream-node-max-entries": (100, 7),
          "stream-node-max-bytes": (4096, 300), "rdbcompression": ("yes", "no")}
REDIS = 0  # in place of a number of shards
DIFFERENCES_MAX = 10
SAVE_TIMEOUT_S = 30
PAST_MS = 310  # all keys that are to die before the next start are dead by then


class Exchange:
    """The whole run: counts, folders, servers."""

    def __init__(self, options, tessera, redis, backends):
        self.options = options
        self.tessera = tessera
        self.redis = redis
        self.backends = backends
        self.shards = [int(word) for word in options.shards.split(",")]
        self.passed = self.failed = self.started = 0
        self.where = ""
        self.rng = random.Random(options.seed)

    @property
    def enough(self):
        return self.failed >= DIFFERENCES_MAX

    def check(self, name, condition, detail=""):
        if condition:
            self.passed += 1
            return True
        self.failed += 1
        print(f"--- difference {self.failed}: --seed {self.options.seed} {self.where}: {name}\n  "
              f"{detail}"[:2000], flush=True)
        return False

    def same(self, name, wanted, got, **options):
        problem = data.difference(wanted, got, **options)
        return self.check(name, problem is None, problem)

    @contextmanager
    def folder(self):
        path = tempfile.mkdtemp(prefix="tessera-exchange-")
        failed = self.failed
        try:
            yield path
        finally:
            if self.options.keep and self.failed > failed:
                print(f"kept: {path}", flush=True)
            else:
                shutil.rmtree(path, ignore_errors=True)
                shutil.rmtree(path + ".before", ignore_errors=True)

    def start(self, shards, path, words=()):
        """redis-server (`shards` REDIS) or Tessera on that data folder."""
        args = ("--dir", path, "--save", "", "--lfu-decay-time", "0", *map(str, words))
        self.started += 1
        if shards == REDIS:
            return Server(self.redis, args=args)
        backend = self.backends[self.started % len(self.backends)]
        return Server(self.tessera, args=args, shards=shards, backend=backend)

    def limits(self):
        """Words of the command line: mostly the defaults."""
        words = []
        for name, values in LIMITS.items():
            words += [f"--{name}",
                      values[0] if self.rng.random() < 0.7 else self.rng.choice(values)]
        return words

    def checked(self, tool, *words):
        """What redis-check-rdb or redis-check-aof says about Tessera's files."""
        program = shutil.which(tool)
        if program is None:
            return
        result = subprocess.run([program, *words], capture_output=True, text=True, timeout=60,
                                check=False)
        self.check(f"{tool} {os.path.basename(words[0])}", result.returncode == 0,
                   result.stdout[-1000:])


def name_of(shards):
    return "redis-server" if shards == REDIS else f"tessera with {shards} shards"


def pass_deadlines(since_ms):
    """Wait until the keys that were to die are over."""
    left_ms = since_ms + PAST_MS - time.time() * 1000
    if left_ms > 0:
        time.sleep(left_ms / 1000)


def wait_idle(server, word):
    """Until a save or a rewrite that runs has ended well."""
    def idle():
        rows = server.info("persistence")
        return rows[f"{word}_in_progress"] == "0" and rows["aof_rewrite_scheduled"] == "0"
    wait_until(idle, SAVE_TIMEOUT_S, f"the end of {word}")


def save(run, server, client):
    if run.rng.random() < 0.5:
        client.call("SAVE")
    else:
        client.call("BGSAVE")
        wait_idle(server, "rdb_bgsave")
        status = server.info("persistence")["rdb_last_bgsave_status"]
        run.check("BGSAVE", status == "ok", server.log()[-1000:])


def rewrite(run, server, client):
    client.call("BGREWRITEAOF")
    wait_idle(server, "aof_rewrite")
    status = server.info("persistence")["aof_last_bgrewrite_status"]
    run.check("BGREWRITEAOF", status == "ok", server.log()[-1000:])


# ---- snapshots ----

def give_access(run, client, policy, count):
    """Access data of their own for some keys, through RESTORE."""
    option = "FREQ" if policy.endswith("lfu") else "IDLETIME"
    limit = 255 if option == "FREQ" else 10**6
    for number in range(count):
        value = client.call("DUMP", "list:129" if number % 2 else "string:3")
        client.call("RESTORE", f"access:{number}", 0, value, option, run.rng.randint(1, limit))


def write_first(run, shards, path, words, commands, policy):
    """The data as the giver has it, in a snapshot. With access data: taken before the snapshot."""
    has_access = access_word(policy)
    began_ms = time.time() * 1000
    with run.start(shards, path, words) as server, server.client() as client:
        client.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        if shards == REDIS and run.rng.random() < 0.5:
            client.call("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "200b")
        data.send(client, commands)
        if has_access:
            client.call("SELECT", 0)
            give_access(run, client, policy, 20)
        save(run, server, client)
        pass_deadlines(began_ms)
        return data.picture(client, has_access=has_access)


def access_word(policy):
    if policy == "noeviction":
        return None
    return "FREQ" if policy.endswith("lfu") else "IDLETIME"


def load_and_look(run, shards, path, words, policy, *, saves=False):
    """What a server has of the folder's snapshot; it may write it anew."""
    with run.start(shards, path, words) as server, server.client() as client:
        found = data.picture(client, has_access=access_word(policy))
        if saves:
            save(run, server, client)
        complaints = [line for line in server.log().splitlines() if " # " in line
                      and "WARNING" not in line
                      and "Redis" not in line and "Configuration loaded" not in line
                      and "Server initialized" not in line]
        run.check(f"{name_of(shards)} loads without complaint", not complaints,
                  "\n".join(complaints[:5]))
        return found


def snapshot_round(run, giver, commands, policy):
    """giver -> redis-server and all numbers of shards; the last of them writes -> redis-server."""
    words = [*run.limits(), "--maxmemory-policy", policy]
    run.where = f"rdb from {name_of(giver)}, {policy}"
    with run.folder() as path:
        wanted = write_first(run, giver, path, words, commands, policy)
        dump = os.path.join(path, "dump.rdb")
        with open(dump, "rb") as file:
            magic = file.read(9)
        run.check("version of the file", magic == b"REDIS0010", magic)
        run.checked("redis-check-rdb", dump)
        theirs = load_and_look(run, REDIS, path, words, policy)
        run.same("redis-server has what the giver had", wanted, theirs, is_strict=False)
        for shards in run.shards:
            is_last = shards == run.shards[-1]
            ours = load_and_look(run, shards, path, words, policy, saves=is_last)
            run.same(f"{name_of(shards)} has what redis-server has of the same file", theirs, ours)
        run.checked("redis-check-rdb", dump)
        again = load_and_look(run, REDIS, path, words, policy)
        run.same("redis-server has what the last one wrote", theirs, again)


def play_rdb(run, seed):
    now_ms = int(time.time() * 1000)
    policies = run.rng.sample(POLICIES, 3)
    givers = (run.rng.choice(run.shards), REDIS)
    for giver in givers:
        rng = random.Random(f"rdb {seed}")
        commands = list(data.corners(now_ms)) + list(data.values(rng, VALUE_COUNT, now_ms))
        snapshot_round(run, giver, commands, policies.pop())


# ---- logs ----

def log_words(rng):
    return ["--appendonly", "yes", "--appendfsync", rng.choice(("always", "everysec", "no")),
            "--aof-use-rdb-preamble", rng.choice(("yes", "no")),
            "--aof-timestamp-enabled", rng.choice(("yes", "no")), "--auto-aof-rewrite-percentage",
            "0"]


def mutate(run, rng, shards, server, client, seed):
    """Random commands, with rewrites of both kinds between them."""
    for number in range(rng.randint(1, 3)):
        data.send(client, data.mutations(rng, f"{seed}/{number}", MUTATION_COUNT // 2,
                                         shards != REDIS))
        client.ask("DISCARD")
        if rng.random() < 0.5:
            client.call("CONFIG", "SET", "aof-use-rdb-preamble", rng.choice(("yes", "no")))
        if rng.random() < 0.3:
            client.call("CONFIG", "SET", "aof-timestamp-enabled", rng.choice(("yes", "no")))
        draw = rng.random()
        if draw < 0.4:
            rewrite(run, server, client)
        elif draw < 0.5:
            client.call("CONFIG", "SET", "appendonly", "no")
            data.send(client, data.mutations(rng, f"{seed}/{number}/off", 50, shards != REDIS))
            client.ask("DISCARD")
            client.call("CONFIG", "SET", "appendonly", "yes")
            wait_idle(server, "aof_rewrite")


def stop(run, server, client):
    """A clean end: nothing of the log may be missing then."""
    if run.rng.random() < 0.5:
        client.send("SHUTDOWN")
        client.closed_within(SAVE_TIMEOUT_S)
    else:
        os.kill(server.pid, signal.SIGTERM)
    run.check("exit code", server.wait_exit() == 0, server.log()[-1000:])


def relay(run, seed, path, runners, first_commands, wanted=None):
    """The folder goes from server to server; what the last one had."""
    began_ms = time.time() * 1000
    failed = run.failed
    for number, shards in enumerate(runners):
        rng = random.Random(f"relay {seed} {number}")
        base = run.where
        run.where = f"{base}, {number + 1}. {name_of(shards)}"
        server = run.start(shards, path, log_words(rng))
        try:
            with server.client() as client:
                if wanted is not None:
                    got = data.picture(client, has_seen=False)
                    run.same("what the one before had", wanted, got, is_strict=False)
                client.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
                if number == 0 and first_commands:
                    began_ms = time.time() * 1000
                    data.send(client, first_commands)
                    if rng.random() < 0.5:
                        rewrite(run, server, client)
                mutate(run, rng, shards, server, client, f"{seed}/{number}")
                pass_deadlines(began_ms)
                wanted = data.picture(client, has_seen=False)
                stop(run, server, client)
        except Exception:
            print(f"--- {run.where}: the end of its log:\n{server.log()[-2000:]}", flush=True)
            raise
        finally:
            server.stop()
        if shards == REDIS:
            wanted = loaded_by_redis(run, path)
        else:
            check_log(run, path)
        if run.options.keep and run.failed == failed:
            shutil.rmtree(path + ".before", ignore_errors=True)
            shutil.copytree(path, path + ".before")
        run.where = base
        if run.enough:
            break
    return wanted


def loaded_by_redis(run, path):
    """What redis-server finds in its own folder, a copy of it: not all of what a stream knows of
    its groups is in its log."""
    with run.folder() as copy:
        shutil.copytree(os.path.join(path, "appendonlydir"), os.path.join(copy, "appendonlydir"))
        with run.start(REDIS, copy, ["--appendonly", "yes"]) as server, server.client() as client:
            return data.picture(client, has_seen=False)


def check_log(run, path):
    for manifest in glob.glob(os.path.join(path, "appendonlydir", "*.manifest")):
        run.checked("redis-check-aof", manifest)


def play_log(run, seed):
    now_ms = int(time.time() * 1000)
    for first in ("tessera", "redis"):
        ours = [run.rng.choice(run.shards) for _ in range(3)]
        runners = ([ours[0], REDIS, ours[1], REDIS] if first == "tessera"
                   else [REDIS, ours[0], REDIS, ours[1], ours[2]])
        run.where = f"log, {first} first"
        rng = random.Random(f"log {seed}")
        commands = list(data.corners(now_ms)) + list(data.values(rng, VALUE_COUNT, now_ms))
        with run.folder() as path:
            relay(run, f"{seed}/{first}", path, runners, commands)


def play_old(run, seed):
    """What redis-server wrote before it had folders: one file, with and without a snapshot in
    front, made of a folder's files. redis-server itself says what is in it."""
    now_ms = int(time.time() * 1000)
    for preamble in ("yes", "no", "none"):
        run.where = f"old file, preamble {preamble}"
        with run.folder() as path, run.folder() as other:
            wanted = write_old(run, seed, path, preamble, now_ms)
            shutil.copy(os.path.join(path, "appendonly.aof"), other)
            runners = (run.rng.choice(run.shards), REDIS)
            relay(run, f"old {seed} {preamble}", path, runners, None, wanted)
            relay(run, f"old {seed} {preamble} redis", other, (REDIS, run.rng.choice(run.shards)),
                  None, wanted)


def write_old(run, seed, path, preamble, now_ms):
    """appendonly.aof in the folder, of a base and what came behind it; what it has."""
    rng = random.Random(f"old {seed}")
    words = ["--appendonly", "yes", "--aof-use-rdb-preamble",
             "no" if preamble == "none" else preamble]
    with run.start(REDIS, path, words) as server, server.client() as client:
        data.send(client, data.values(rng, VALUE_COUNT // 2, now_ms))
        if preamble != "none":
            rewrite(run, server, client)
        data.send(client, data.mutations(rng, f"old {seed}", MUTATION_COUNT // 2, False))
        client.ask("DISCARD")
        stop(run, server, client)
    wanted = loaded_by_redis(run, path)
    folder = os.path.join(path, "appendonlydir")
    names = sorted(name for name in os.listdir(folder) if not name.endswith(".manifest"))
    names.sort(key=lambda name: ".base." not in name)
    with open(os.path.join(path, "appendonly.aof"), "wb") as file:
        for name in names:
            with open(os.path.join(folder, name), "rb") as piece:
                shutil.copyfileobj(piece, file)
    shutil.rmtree(folder)
    return wanted


# ---- DEBUG RELOAD, DEBUG LOADAOF ----

def play_reload(run, seed):
    now_ms = int(time.time() * 1000)
    for shards in run.shards[:2]:
        rng = random.Random(f"reload {seed} {shards}")
        run.where = f"DEBUG RELOAD, {name_of(shards)}"
        with run.folder() as path, run.start(shards, path, log_words(rng)) as server, \
                server.client() as client:
            data.send(client, data.values(rng, VALUE_COUNT // 3, now_ms))
            data.send(client, data.mutations(rng, f"reload {seed}", MUTATION_COUNT // 3, True))
            client.ask("DISCARD")
            time.sleep(PAST_MS / 1000)
            wanted = data.picture(client, has_seen=False)
            for words in (("RELOAD",), ("RELOAD", "NOSAVE"), ("RELOAD", "MERGE", "NOFLUSH"),
                          ("LOADAOF",),
                          ("reload", "noflush", "nosave", "merge"), ("LOADAOF",)):
                reply = client.ask("DEBUG", *words)
                if run.check(f"DEBUG {words}", reply == b"OK", repr(reply)):
                    got = data.picture(client, has_seen=False)
                    run.same(f"after DEBUG {words}", wanted, got, is_strict=False)
            # What is written between goes along with LOADAOF, and not with NOSAVE.
            client.call("SET", "between", "1")
            client.call("DEBUG", "LOADAOF")
            run.check("LOADAOF has the latest", client.call("GET", "between") == b"1")
            client.call("DEBUG", "RELOAD", "NOSAVE")
            run.check("NOSAVE has the snapshot", client.call("GET", "between") is None)


# ---- deadlines of fields ----

def fields_picture(client):
    found = data.picture(client)
    for database, key in list(found[0]):
        row = found[0][database, key]
        if row[0] == b"hash":
            client.call("SELECT", database)
            names = sorted(client.call("HKEYS", key))
            deadlines = client.call("HPEXPIRETIME", key, "FIELDS", len(names), *names)
            found[0][database, key] = row[:-1] + (list(zip(names, deadlines)),)
    client.call("SELECT", 0)
    return found


def play_fields(run, seed):
    """Only Valkey's files can say them: they are written in its form, and load again here."""
    rng = random.Random(f"fields {seed}")
    now_ms = int(time.time() * 1000)
    for log in ("no", "yes"):
        run.where = f"fields, appendonly {log}"
        words = ["--appendonly", log, "--aof-use-rdb-preamble", rng.choice(("yes", "no"))]
        with run.folder() as path:
            with run.start(run.shards[-1], path, words) as server, server.client() as client:
                for number in range(40):
                    key = rng.choice(("h%d", "{t}h%d")) % number
                    names = [b"f%d" % i for i in range(rng.choice((1, 2, 20, 600)))]
                    client.call("HSET", key, *data.pairs(names, names))
                    for name in rng.sample(names, rng.randint(0, len(names))):
                        client.call("HPEXPIREAT", key, now_ms + rng.randint(10**7, 10**12),
                                    "FIELDS", 1, name)
                    client.call("HPEXPIRE", key, 100, "FIELDS", 1, names[-1])
                    if number == 20 and log == "yes":
                        rewrite(run, server, client)
                time.sleep(0.15)
                wanted = fields_picture(client)
                if log == "no":
                    save(run, server, client)
                    run.check("its form", file_begin(path) == b"VALKEY080", file_begin(path))
                else:
                    client.call("DEBUG", "RELOAD")
                    run.same("after DEBUG RELOAD", wanted, fields_picture(client), is_strict=False)
                    client.call("DEBUG", "LOADAOF")
                    run.same("after DEBUG LOADAOF", wanted, fields_picture(client), is_strict=False)
                stop(run, server, client)
            for shards in run.shards:
                with run.start(shards, path, words) as server, server.client() as client:
                    run.same(f"on {name_of(shards)}", wanted, fields_picture(client),
                             is_strict=False)
                    if shards == run.shards[-1] and log == "no":
                        for key in client.call("KEYS", "*"):
                            names = client.call("HKEYS", key)
                            client.call("HPERSIST", key, "FIELDS", len(names), *names)
                        save(run, server, client)
                        run.check("the common form again", file_begin(path) == b"REDIS0010",
                                  file_begin(path))


def file_begin(path):
    with open(os.path.join(path, "dump.rdb"), "rb") as file:
        return file.read(9)


# ---- libraries of functions ----

LIBRARY_NAMES = ("one", "two", "three", "Two", "with_long_code")


def function_of(name):
    """Unlike those of other libraries, also if case does not count."""
    return f"f{LIBRARY_NAMES.index(name)}"


def library(name, number):
    filling = "-- and so on\n" * (400 if name == "with_long_code" else number % 3)
    return (f"#!lua name={name}\n-- {number}\n{filling}"
            f"redis.register_function('{function_of(name)}', function() return {number} end)\n")


def libraries_of(client):
    """name -> code, as redis-server tells it."""
    rows = [dict(zip(row[::2], row[1::2])) for row in client.call("FUNCTION", "LIST", "WITHCODE")]
    return {row[b"library_name"]: row[b"library_code"] for row in rows}


def same_libraries(run, wanted, client):
    found = libraries_of(client)
    run.check("libraries", found == wanted, f"wanted {wanted!r:.800}\n  found {found!r:.800}")


def change_libraries(rng, client, count):
    """Each command that changes them; some of them fail."""
    dump = client.call("FUNCTION", "DUMP")
    for _ in range(count):
        name = rng.choice(LIBRARY_NAMES)
        words = rng.choice((("LOAD",), ("LOAD", "REPLACE"), ("LOAD", "REPLACE"), ("DELETE", name),
                            ("FLUSH",), ("RESTORE", dump), ("RESTORE", dump, "REPLACE"),
                            ("RESTORE", dump, "FLUSH")))
        if words[0] == "LOAD":
            words += (library(name, rng.randrange(1000)),)
        client.ask("MULTI") if rng.random() < 0.2 else None
        client.ask("FUNCTION", *words)
        client.ask("EXEC")
        if rng.random() < 0.2:
            dump = client.call("FUNCTION", "DUMP")
    client.call("FUNCTION", "LOAD", "REPLACE", library(rng.choice(LIBRARY_NAMES), 1000))


def checker_says(run, path):
    """What tessera-check says of the folder, which is good."""
    program = os.path.join(os.path.dirname(run.tessera), "tessera-check")
    result = subprocess.run([program, path], capture_output=True, text=True, timeout=60,
                            check=False)
    run.check("tessera-check", result.returncode == 0, result.stdout[-1000:])
    return result.stdout


def through_tessera(run, rng, shards, path, words, wanted):
    """Load, do what must not touch them, write."""
    said = f"libraries of functions: {len(wanted)}: "
    run.check("tessera-check counts them", said in checker_says(run, path), said)
    is_log = "yes" in words
    with run.start(shards, path, words) as server, server.client() as client:
        run.check("the log tells", f"Libraries of functions: {len(wanted)}." in server.log(),
                  server.log()[-1000:])
        if rng.random() < 0.5:
            client.call("FLUSHALL")
        client.call("SET", "here", "1")
        if is_log and rng.random() < 0.3:
            client.call("DEBUG", "LOADAOF")
        if rng.random() < 0.5:
            client.call("DEBUG", "RELOAD")
            reply = client.ask("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")
            run.check("with all of it there already", isinstance(reply, Error), repr(reply))
            client.call("DEBUG", "RELOAD", "MERGE", "NOFLUSH")
        if not is_log:
            save(run, server, client)
        elif rng.random() < 0.6:
            rewrite(run, server, client)
        client.call("SET", "there", "1")
        stop(run, server, client)
    run.check("tessera-check counts what was written", said in checker_says(run, path), said)


def play_functions(run, seed):
    """redis-server -> Tessera with each number of shards -> redis-server, again and again."""
    for number, kind in enumerate(("snapshot", "preamble", "commands")):
        rng = random.Random(f"functions {seed} {number}")
        words = ["--appendonly", "no"] if kind == "snapshot" else [
            "--appendonly", "yes", "--aof-use-rdb-preamble", "yes" if kind == "preamble" else "no",
            "--auto-aof-rewrite-percentage", "0"]
        with run.folder() as path:
            wanted = {}
            for turn, shards in enumerate(run.shards):
                run.where = f"functions, {kind}, {turn + 1}. redis-server"
                with run.start(REDIS, path, words) as server, server.client() as client:
                    same_libraries(run, wanted, client)
                    change_libraries(rng, client, 20)
                    if kind != "snapshot" and rng.random() < 0.5:
                        rewrite(run, server, client)
                        change_libraries(rng, client, 5)
                    wanted = libraries_of(client)
                    if kind == "snapshot":
                        save(run, server, client)
                    stop(run, server, client)
                run.where = f"functions, {kind}, {turn + 1}. {name_of(shards)}"
                through_tessera(run, rng, shards, path, words, wanted)
                if kind == "snapshot":
                    run.checked("redis-check-rdb", os.path.join(path, "dump.rdb"))
                else:
                    check_log(run, path)
            with run.start(REDIS, path, words) as server, server.client() as client:
                same_libraries(run, wanted, client)
                reply = client.ask("FCALL", function_of(next(iter(wanted)).decode()), 0)
                run.check("they can be called", isinstance(reply, int), repr(reply))


# ---- all of it ----

def play_replies(run, _):
    words = ("--enable-protected-configs", "yes")
    for shards in run.shards[:2]:
        run.where = f"replies of {name_of(shards)}"
        with run.folder() as ours, run.folder() as theirs:
            with run.start(shards, ours, words) as server, run.start(REDIS, theirs, words) as peer:
                folders = [os.path.join(path, "gone") for path in (ours, theirs)]
                exchange_replies.play(run, server, peer, folders, is_whole=shards == run.shards[1])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--shards", default="1,2,5")
    parser.add_argument("--io-backend", default=",".join(BACKENDS))
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--keep", action="store_true", help="leave the files of what differs")
    return parser.parse_args()


def main():
    options = arguments()
    tessera, redis = tessera_path(), redis_path()
    if redis is None or tessera is None:
        print("skipped: " + ("no redis-server" if redis is None else "no tessera-server"))
        return SKIP
    backends = [name for name in options.io_backend.split(",") if backend_works(tessera, name)]
    if not backends:
        print("no back end works on this machine")
        return 1
    print(f"--seed {options.seed}", flush=True)
    run = Exchange(options, tessera, redis, backends)
    parts = {"rdb": play_rdb, "log": play_log, "old": play_old, "reload": play_reload,
             "fields": play_fields, "functions": play_functions, "replies": play_replies}
    for number in range(options.rounds):
        for name in options.only.split(","):
            began, passed = time.monotonic(), run.passed
            try:
                parts[name](run, f"{options.seed}/{number}")
            except (OSError, RuntimeError, ValueError, Error, Closed) as error:
                run.check(name, False, repr(error)[-3000:])
            took = time.monotonic() - began
            print(f"{name}: {run.passed - passed} compared in {took:.1f} s", flush=True)
            if run.enough:
                break
        if run.enough:
            break
    print(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
