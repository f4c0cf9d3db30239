"""test_durability_faults.py: a disk that refuses, lies or dawdles: writes are refused, reads are
served, answers that wait keep waiting, all works again by itself, and what was acknowledged under
`always` is there after SIGKILL.

Faults come from the server's own fault layer (DEBUG FILE-FAULT, in builds for tests), from a full
file system (a tmpfs, where one may be mounted), from RLIMIT_FSIZE and from folders that are taken
away.
"""

import os
import random
import resource
import shutil
import subprocess
import time

from durability_files import (COUNT, count_keys, dump_path, fault, fill, folder, is_held, kill, log_folder,
                              no_faults, options, wait_info, wait_log)
from harness import Skip, play, require
from resp import Error
from server import wait_until

POINTS = "3600 1"
POLICIES = ("always", "everysec", "no")
IGNORE_FILE_SIZE = ("sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh")


def is_refused(reply):
    return isinstance(reply, Error) and str(reply).startswith("MISCONF")


def is_refusing(server):
    """Asked on a connection of its own: a write that is taken before the server knows that it
    cannot be written is held."""
    with server.client() as client:
        client.send("SET", "probe", "1")
        return not is_held(client) and is_refused(client.reply())


def wait_refusing(server):
    """Until writes are refused."""
    wait_until(lambda: is_refusing(server), 20, "MISCONF")


def wait_accepting(client):
    wait_until(lambda: not is_refused(client.ask("SET", "probe", "1")), 20, "the end of MISCONF")


def require_serving(client, expected=b"0"):
    """Reads are answered, also over all shards, and INFO."""
    require(client.call("GET", "k0").rstrip(b".") == expected, "GET")
    require(len(client.call("MGET", *(f"k{i}" for i in range(20)))) == 20, "MGET")
    require(client.call("EXISTS", "k1", "k2", "k3") == 3, "EXISTS")
    require(is_refused(client.ask("PING")), "PING tells it too")


def require_after_kill(start, path, wanted, policy):
    """All of `wanted` (key -> value) is there in the next server."""
    with start(args=options(path, log="yes", policy=policy), shards=3) as server:
        with server.client() as client:
            names = sorted(wanted)
            found = dict(zip(names, client.pipeline([("GET", name) for name in names])))
            wrong = [(name, wanted[name], found[name]) for name in names
                     if found[name] != wanted[name]]
            require(not wrong, f"{len(wrong)} of {len(names)} are lost:", wrong[:5], server.log())


# ---- the log cannot be written ----

def held_until_it_works(start, kind, error, numbers=()):
    """A write that is under way when the disk fails is answered when it works again."""
    for policy in POLICIES:
        if kind == "sync" and policy != "always":
            continue
        with folder() as path:
            server = start(args=options(path, log="yes", policy=policy))
            fill(server)
            with server.client() as client, server.client() as other:
                fault(other, kind, error, *numbers)
                client.send("SET", "held", "1")
                require(is_held(client), policy, "answered though it is nowhere")
                wait_refusing(server)
                require_serving(other)
                require(is_refused(other.ask("MSET", "a", "1", "b", "2")), "MSET")
                other.ask("MULTI")
                require(is_refused(other.ask("SET", "c", "1")), "in MULTI")
                require("EXECABORT" in str(other.ask("EXEC")))
                require(server.info("persistence")["aof_last_write_status"] == "err", "INFO")
                wait_log(server, "Error writing to the AOF file")
                require(is_held(client), policy, "answered while the disk does not work")
                no_faults(other)
                require(client.reply() == b"OK", "the held answer")
                wait_accepting(other)
                require(server.info("persistence")["aof_last_write_status"] == "ok", "INFO")
                wait_log(server, "AOF write error looks solved")
                require(other.ask("SET", "after", "1") == b"OK")
                require(other.ask("GET", "a") is None, "a refused command has run")
            kill(server)
            wanted = {f"k{i}": f"{i}".ljust(20, ".").encode() for i in range(COUNT)}
            require_after_kill(start, path, {**wanted, "held": b"1", "after": b"1"}, policy)


def test_full_disk(start):
    held_until_it_works(start, "write", "enospc")


def test_bytes_that_arrive_though_an_error_is_told(start):
    held_until_it_works(start, "write", "eio", (0, 0, 7))


def test_failed_sync(start):
    held_until_it_works(start, "sync", "eio")


def test_failed_sync_under_everysec(start):
    with folder() as path:
        server = start(args=options(path, log="yes", policy="everysec"))
        fill(server)
        with server.client() as client:
            fault(client, "sync", "eio")
            client.ask("SET", "a", "1")
            wait_refusing(server)
            require_serving(client)
            no_faults(client)
            wait_accepting(client)
            require(client.ask("SET", "b", "1") == b"OK")
        kill(server)
        require_after_kill(start, path, {"a": b"1", "b": b"1", "k7": b"7".ljust(20, b".")}, "no")


def test_one_error_is_no_more_than_a_pause(start):
    """A single failure: the answer comes by itself, and nobody need do anything."""
    for kind, error in (("write", "enospc"), ("sync", "eio"), ("write", "eio")):
        with folder() as path:
            server = start(args=options(path, log="yes", policy="always"))
            wanted = {}
            with server.client() as client:
                for number in range(5):
                    fault(client, kind, error, 1, 1)
                    for i in range(4):
                        name = f"{number}:{i}"
                        reply = client.ask("SET", name, name)
                        if is_refused(reply):
                            wait_accepting(client)
                            reply = client.ask("SET", name, name)
                        require(reply == b"OK", reply)
                        wanted[name] = name.encode()
            kill(server)
            require_after_kill(start, path, wanted, "always")


def test_short_writes(start):
    for size in (1, 100, 4096):
        with folder() as path:
            server = start(args=options(path, log="yes", policy="always"))
            with server.client() as client:
                fault(client, "write", "none", 0, 0, size)
                count = 20 if size == 1 else COUNT
                fill(server, count)
                require(client.call("MSET", "a", "1" * 5000 if size > 1 else "1", "b", "2") == b"OK")
                require(fault(client, "write", "off") > 0, "no write was short")
            kill(server)
            with start(args=options(path, log="yes")) as again:
                require(count_keys(again) == count + 2, count_keys(again))


def test_slow_sync_holds_what_depends_on_it(start):
    """Under always: the writer waits, who reads the key waits, others do not."""
    with folder() as path:
        with start(args=options(path, log="yes", policy="always"), shards=1) as server:
            fill(server)
            with server.client() as writer, server.client() as reader, server.client() as other:
                fault(other, "sync", "none", 0, 0, 0, 700)
                writer.send("SET", "slow", "1")
                time.sleep(0.1)
                reader.send("GET", "slow")
                began = time.monotonic()
                require(other.call("GET", "k5") is not None)
                require(time.monotonic() - began < 0.3, "a reader of another key waited")
                require(is_held(reader), "read what is not on disk")
                require(writer.reply() == b"OK")
                require(reader.reply() == b"1")
                no_faults(other)


def test_waitaof_waits_for_every_shard(start):
    """Under everysec: until the disk works again, wherever the key lies that was written."""
    with folder() as path:
        with start(args=options(path, log="yes"), shards=3) as server:
            fill(server)
            with server.client() as client, server.client() as other:
                require(client.call("WAITAOF", 1, 0, 0) == [1, 0])
                fault(other, "sync", "none", 0, 0, 0, 1500)
                for i in range(4):
                    client.call("SET", f"slow{i}", "1")
                    client.send("WAITAOF", 1, 0, 0)
                    require(is_held(client), "answered before the sync")
                    require(client.reply() == [1, 0])
                no_faults(other)


def test_slow_disk_loses_nothing(start):
    """Slow writes and syncs while clients write, then SIGKILL: what was answered is there."""
    for policy in POLICIES:
        with folder() as path:
            server = start(args=options(path, log="yes", policy=policy))
            wanted = {}
            with server.client() as client:
                fault(client, "write", "none", 0, 0, 0, 10)
                fault(client, "sync", "none", 0, 0, 0, 20)
                for number in range(30):
                    names = [f"{number}:{i}" for i in range(10)]
                    replies = client.pipeline([("SET", name, name) for name in names])
                    wanted.update((name, name.encode()) for name, reply in zip(names, replies)
                                  if reply == b"OK")
            kill(server)
            require(len(wanted) == 300, len(wanted))
            require_after_kill(start, path, wanted, policy)


def test_storm_of_errors(start):
    """Errors of all kinds come and go under `always`; a write that was answered is there."""
    rng = random.Random(os.environ.get("SEED", "storm"))
    with folder() as path:
        for _ in range(3):
            server = start(args=options(path, log="yes", policy="always"), shards=2)
            wanted = {}
            with server.client() as client, server.client() as trouble:
                until = time.monotonic() + 1.5
                number = 0
                while time.monotonic() < until:
                    if rng.random() < 0.2:
                        fault(trouble, rng.choice(("write", "sync")), rng.choice(("enospc", "eio")),
                              rng.randrange(3), rng.randrange(1, 4), rng.choice((0, 0, 5, 200)))
                    if rng.random() < 0.05:
                        trouble.ask("BGREWRITEAOF")
                    names = [f"{number}:{i}" for i in range(rng.randrange(1, 30))]
                    number += 1
                    replies = client.pipeline([("SET", name, name) for name in names])
                    wanted.update((name, name.encode()) for name, reply in zip(names, replies)
                                  if reply == b"OK")
            kill(server)
            require_after_kill(start, path, wanted, "always")


# ---- new files cannot be made ----

def test_no_new_files(start):
    """FLUSHALL needs new files of the log: its answer waits, and so does who writes behind it."""
    with folder() as path:
        server = start(args=options(path, log="yes", policy="always"))
        fill(server)
        with server.client() as client, server.client() as other:
            fault(other, "work", "enospc")
            client.send("FLUSHALL")
            require(is_held(client), "answered")
            wait_refusing(server)
            require(server.info("persistence")["aof_last_write_status"] == "err", "INFO")
            no_faults(other)
            require(client.reply() == b"OK")
            wait_accepting(other)
            require(other.call("SET", "new", "1") == b"OK")
        kill(server)
        with start(args=options(path, log="yes")) as again:
            require(again.call("GET", "new") == b"1" and again.call("GET", "k1") is None,
                    again.call("KEYS", "*"))


def test_kill_while_a_flush_waits(start):
    """The flush was not answered, and is not there."""
    with folder() as path:
        server = start(args=options(path, log="yes", policy="always"))
        fill(server)
        with server.client() as client, server.client() as other:
            fault(other, "work", "enospc")
            client.send("FLUSHALL")
            require(is_held(client), "answered")
        kill(server)
        with start(args=options(path, log="yes")) as again:
            require(count_keys(again) in (0, COUNT), count_keys(again))


def test_rewrite_fails_and_log_goes_on(start):
    for kind in ("write", "work"):
        with folder() as path:
            server = start(args=options(path, log="yes"))
            fill(server, 2000, size=500)
            with server.client() as client:
                fault(client, kind, "enospc", 0, 1 if kind == "work" else 0)
                client.call("BGREWRITEAOF")
                if kind == "work":
                    wait_info(server, aof_rewrite_in_progress="0", aof_last_bgrewrite_status="err")
                else:
                    wait_refusing(server)
                no_faults(client)
                wait_info(server, aof_rewrite_in_progress="0")
                wait_accepting(client)
                fill(server, 50, "more")
                client.call("BGREWRITEAOF")
                wait_info(server, aof_rewrite_in_progress="0", aof_last_bgrewrite_status="ok")
                fill(server, 50, "yet more")
            names = [name for name in os.listdir(log_folder(path)) if name.startswith("temp-")]
            require(not names, "left behind:", names)
            kill(server)
            with start(args=options(path, log="yes")) as again:
                require(count_keys(again) == 2101, count_keys(again))


# ---- snapshots cannot be written ----

def test_failed_snapshot_refuses_writes(start):
    for kind in ("write", "work"):
        with folder() as path:
            server = start(args=options(path, save=POINTS))
            fill(server)
            with server.client() as client:
                fault(client, kind, "enospc")
                client.call("BGSAVE")
                wait_info(server, rdb_bgsave_in_progress="0", rdb_last_bgsave_status="err")
                reply = client.ask("SET", "a", "1")
                require(is_refused(reply) and "RDB snapshot" in str(reply), reply)
                require_serving(client)
                require(isinstance(client.ask("SAVE"), Error), "SAVE")
                client.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
                require(client.ask("SET", "a", "1") == b"OK")
                client.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
                wait_refusing(server)
                no_faults(client)
                require(client.ask("SAVE") == b"OK")
                require(client.ask("SET", "b", "1") == b"OK")
                require(server.info("persistence")["rdb_last_bgsave_status"] == "ok", "INFO")
            require(sorted(os.listdir(path)) == ["dump.rdb"], os.listdir(path))
            kill(server)


def test_failed_snapshot_without_save_points_refuses_nothing(start):
    with folder() as path:
        with start(args=options(path)) as server:
            fill(server)
            with server.client() as client:
                fault(client, "write", "enospc")
                client.call("BGSAVE")
                wait_info(server, rdb_bgsave_in_progress="0", rdb_last_bgsave_status="err")
                require(client.ask("SET", "a", "1") == b"OK")
                no_faults(client)


def test_failed_snapshot_leaves_the_old_one(start):
    with folder() as path:
        server = start(args=options(path))
        fill(server)
        with server.client() as client:
            require(client.call("SAVE") == b"OK")
            before = open(dump_path(path), "rb").read()
            fill(server, 1000, "new")
            for kind, numbers in (("write", ()), ("work", (1, 1)), ("work", (0, 1))):
                fault(client, kind, "eio", *numbers)
                require(isinstance(client.ask("SAVE"), Error), kind)
                no_faults(client)
                require(open(dump_path(path), "rb").read() == before, "the old file has changed")
        require(sorted(os.listdir(path)) == ["dump.rdb"], os.listdir(path))
        kill(server)


# ---- without the fault layer ----

def test_folder_is_gone(start):
    """`dir` itself: neither snapshots nor new files work until there is one again."""
    for turn in range(2):
        with folder() as path:
            data = os.path.join(path, "data")
            os.mkdir(data)
            more = ("--enable-protected-configs", "yes")
            with start(args=options(data, save=POINTS, more=more)) as server:
                fill(server)
                with server.client() as client:
                    shutil.rmtree(data)
                    require(isinstance(client.ask("SAVE"), Error), "SAVE without a folder")
                    client.call("BGSAVE")
                    wait_refusing(server)
                    require_serving(client)
                    os.mkdir(data)
                    if turn == 0:
                        client.call("CONFIG", "SET", "dir", data)
                    require(client.ask("SAVE") == b"OK")
                    wait_accepting(client)
                    require(os.listdir(data) == ["dump.rdb"], os.listdir(data))
                    require(("is there again" in server.log()) == (turn == 1), server.log())
                server.process.kill()


def test_save_that_fails_refuses_nothing(start):
    """As with redis-server: who has sent SAVE knows it."""
    with folder() as path:
        with start(args=options(path, save=POINTS)) as server, server.client() as client:
            fill(server)
            os.mkdir(dump_path(path))
            for _ in range(2):
                require(str(client.ask("SAVE")) == "ERR", "SAVE over a folder")
                require(isinstance(client.ask("DEBUG", "RELOAD"), Error), "DEBUG RELOAD")
                require(client.ask("SET", "a", "1") == b"OK")
            info = server.info("persistence")
            require(info["rdb_last_bgsave_status"] == "ok" and info["rdb_saves"] == "2", info)
            require(isinstance(client.ask("SHUTDOWN"), Error), "SHUTDOWN")
            require(client.ask("SET", "a", "1") == b"OK")
            client.call("BGSAVE")
            wait_refusing(server)
            require(str(client.ask("SAVE")) == "ERR", "SAVE over a folder")
            require(is_refusing(server), "a failed SAVE has made it good")
            require(server.info("persistence")["rdb_saves"] == "4", "rdb_saves")
            os.rmdir(dump_path(path))
            require(client.ask("SAVE") == b"OK")
            require(client.ask("SET", "a", "1") == b"OK")
            require(os.listdir(path) == ["dump.rdb"], os.listdir(path))


def require_lost_log(start, data, remove, repair=None):
    """The log's files are taken away while it is written; `repair`, where it takes one, lets them be
    written again."""
    server = start(args=options(data, log="yes", policy="always"))
    fill(server)
    with server.client() as client:
        client.call("BGREWRITEAOF")
        wait_info(server, aof_rewrite_in_progress="0")
        fill(server, 20, "more")
        remove()
        if repair is not None:
            wait_refusing(server)
            require_serving(client)
            require(server.info("persistence")["aof_last_write_status"] == "err", "INFO")
            repair()
        wait_log(server, "AOF write error looks solved")
        wait_accepting(client)
        require(client.call("MSET", "b", "1", "c", "1") == b"OK")
        wait_info(server, aof_last_write_status="ok", aof_last_bgrewrite_status="ok")
    kill(server)
    with start(args=options(data, log="yes"), shards=3) as again:
        found = again.call("MGET", "k7", "more7", "probe", "b", "c")
        require(None not in found, found, again.log())
        require(count_keys(again) == COUNT + 23, count_keys(again))


def test_log_folder_is_gone(start):
    """It is made again, and all that is in memory written into it."""
    with folder() as path:
        require_lost_log(start, path, lambda: shutil.rmtree(log_folder(path)))


def test_a_file_of_the_log_is_gone(start):
    for word in (".manifest", ".base.rdb", ".incr.aof"):
        with folder() as path:
            def remove():
                names = [name for name in os.listdir(log_folder(path)) if name.endswith(word)]
                os.unlink(os.path.join(log_folder(path), max(names)))
            require_lost_log(start, path, remove)


def test_log_is_gone_with_its_data_folder(start):
    with folder() as path:
        data = os.path.join(path, "data")
        os.mkdir(data)
        require_lost_log(start, data, lambda: shutil.rmtree(data), lambda: os.mkdir(data))


def test_flush_while_the_folder_is_gone(start):
    """It needs new files: its answer waits until there is a folder, and is true then."""
    with folder() as path:
        data = os.path.join(path, "data")
        os.mkdir(data)
        server = start(args=options(data, log="yes", policy="always"))
        fill(server)
        with server.client() as client:
            shutil.rmtree(data)
            client.send("FLUSHALL")
            require(is_held(client), "answered")
            os.mkdir(data)
            require(client.reply() == b"OK")
            wait_accepting(client)
            wait_log(server, "AOF write error looks solved")
            require(client.ask("SET", "a", "1") == b"OK")
        kill(server)
        with start(args=options(data, log="yes"), shards=3) as again:
            require(sorted(again.call("KEYS", "*")) == [b"a", b"probe"], again.call("KEYS", "*"))


def test_read_only_folder_at_the_start(start):
    """The log cannot begin: the server says so and ends."""
    with folder() as path:
        with open(log_folder(path), "w", encoding="utf-8") as file:
            file.write("no folder")
        server = start(args=options(path, log="yes"), wait=False)
        try:
            code = server.wait_exit()
            require(code == 1, "exit code", code, server.log())
            require("appendonlydir" in server.log(), server.log())
        finally:
            server.stop()


def full_disk(start, path, free, is_disk_full=True, **server_options):
    """A disk that really is full: `free` makes room."""
    server = start(args=options(path, log="yes", policy="always", save=POINTS), **server_options)
    acknowledged = {}
    try:
        with server.client() as client:
            for number in range(100000):
                name = f"big{number}"
                client.send("SET", name, "v" * 3000)
                if is_held(client):
                    break
                reply = client.reply()
                if is_refused(reply):
                    break
                acknowledged[name] = b"v" * 3000
            else:
                raise AssertionError("the disk is never full")
            with server.client() as other:
                wait_refusing(server)
                require(other.call("GET", "big0") == b"v" * 3000)
                if is_disk_full:
                    require(isinstance(other.ask("SAVE"), Error), "SAVE on a full disk")
                require(server.info("persistence")["aof_last_write_status"] == "err", "INFO")
                free(server)
                wait_until(lambda: server.info("persistence")["aof_last_write_status"] == "ok", 20,
                           "the log's recovery")
                require(other.ask("SAVE") == b"OK")
                require(other.ask("SET", "after", "1") == b"OK")
                acknowledged["after"] = b"1"
    finally:
        server.process.kill()
        print(server.log()) if os.environ.get("SHOW_LOG") else None
    kill(server)
    require_after_kill(start, path, acknowledged, "always")


def test_full_file_system(start):
    with folder() as path:
        data = os.path.join(path, "disk")
        os.mkdir(data)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", data],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            raise Skip("no tmpfs may be mounted")

        def free(_server):
            subprocess.run(["mount", "-o", "remount,size=60m", data], check=True)
        try:
            full_disk(start, data, free)
        finally:
            subprocess.run(["umount", "-l", data], check=False)


def test_file_size_limit(start):
    """As a full disk, by RLIMIT_FSIZE: short writes, then EFBIG."""
    with folder() as path:
        limits = (1 << 20, resource.RLIM_INFINITY)

        def free(server):
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE,
                             (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        def start_limited(**choices):
            if "prefix" not in choices:
                return start(**choices)
            server = start(**choices)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
            return server
        full_disk(start_limited, path, free, False, prefix=IGNORE_FILE_SIZE)


# ---- settings ----

def test_policy_changes_under_load(start):
    """CONFIG SET appendfsync while clients write: what was answered is there."""
    with folder() as path:
        server = start(args=options(path, log="yes", policy="no"))
        wanted = {}
        with server.client() as client, server.client() as other:
            for number in range(120):
                names = [f"{number}:{i}" for i in range(20)]
                if number % 3 == 0:
                    require(other.call("CONFIG", "SET", "appendfsync",
                                       POLICIES[number // 3 % 3]) == b"OK")
                replies = client.pipeline([("SET", name, name) for name in names])
                require(replies == [b"OK"] * len(names), replies)
                wanted.update((name, name.encode()) for name in names)
                pairs = [word for name in names[:4] for word in (f"{{{name}}}m", "x")]
                require(other.call("MSET", *pairs) == b"OK")
                require(other.call("DBSIZE") > 0)
        kill(server)
        require_after_kill(start, path, wanted, "always")


if __name__ == "__main__":
    play(globals(), shards=(2,))
