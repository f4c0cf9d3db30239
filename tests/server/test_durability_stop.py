"""test_durability_stop.py: how a server ends, and what is in the files then: SIGTERM, SHUTDOWN with
all its words, with and without save points and log, also when saving fails."""

import os
import signal
import time

from durability_files import (COUNT, count_keys, dump_path, fault, fill, folder, kill, log_folder,
                              options, wait_info)
from harness import play, require
from resp import Closed, Error
from server import wait_until

POINTS = "3600 1"
MANY = 60000


def begin(start, path, count=COUNT, **choices):
    server = start(args=options(path, **choices))
    fill(server, count)
    return server


def end(server, *words):
    """SHUTDOWN with words, SIGTERM without; the exit code."""
    if words:
        with server.client() as client:
            client.send(*words)
            if not client.closed_within(20):
                raise AssertionError(f"{words}: still there")
    else:
        os.kill(server.pid, signal.SIGTERM)
    code = server.wait_exit()
    if code != 0:
        print(f"exit code {code}; the end of the log:\n{server.log()[-3000:]}")
    server.stop()
    return code


def has_dump(path):
    return os.path.exists(dump_path(path))


def require_keys(start, path, count, **choices):
    with start(args=options(path, **choices)) as server:
        require(count_keys(server) == count, f"{count_keys(server)} keys, not {count}",
                server.log())


def leftovers(path):
    return [name for root in (path, log_folder(path)) if os.path.isdir(root)
            for name in os.listdir(root) if name.startswith("temp-")]


def test_ends_with_the_snapshot_that_is_due(start):
    for words, save, is_saved in (
            ((), POINTS, True), ((), "", False),
            (("SHUTDOWN",), POINTS, True), (("SHUTDOWN",), "", False),
            (("SHUTDOWN", "SAVE"), "", True), (("SHUTDOWN", "NOSAVE"), POINTS, False),
            (("SHUTDOWN", "NOW"), POINTS, True), (("SHUTDOWN", "NOW", "FORCE"), "", False),
            (("SHUTDOWN", "SAVE", "NOW", "FORCE"), "", True)):
        with folder() as path:
            server = begin(start, path, save=save)
            code = end(server, *words)
            require(code == 0, words, "exit code", code)
            require(has_dump(path) == is_saved, words, "save", save, "dump:", has_dump(path))
            require(not leftovers(path), leftovers(path))
            require_keys(start, path, COUNT if is_saved else 0)


def test_ends_with_the_log(start):
    for policy in ("always", "everysec", "no"):
        for words in ((), ("SHUTDOWN",), ("SHUTDOWN", "NOSAVE"), ("SHUTDOWN", "NOW", "FORCE")):
            with folder() as path:
                server = begin(start, path, log="yes", policy=policy)
                code = end(server, *words)
                require(code == 0, words, "exit code", code)
                require(not has_dump(path), "a snapshot nobody asked for")
                require_keys(start, path, COUNT, log="yes")


def test_log_and_snapshot_together(start):
    with folder() as path:
        server = begin(start, path, log="yes", save=POINTS)
        require(end(server) == 0)
        require(has_dump(path), "no snapshot")
        require_keys(start, path, COUNT, log="yes")
        require_keys(start, path, COUNT)


def test_clean_log_loads_without_complaint(start):
    with folder() as path:
        server = begin(start, path, log="yes", policy="no")
        server.call("FLUSHALL")
        fill(server, 50)
        server.call("MSET", *(f"m{i}" for i in range(40)))
        require(end(server) == 0)
        with start(args=options(path, log="yes"), shards=3) as again:
            require(count_keys(again) == 70, count_keys(again))
            require(" # " not in again.log(), again.log())


def test_wrong_words_end_nothing(server):
    for words in (("NOSAVE", "SAVE"), ("ABORT", "NOW"), ("LATER",)):
        with server.client() as client:
            reply = client.ask("SHUTDOWN", *words)
            require(reply == Error("ERR syntax error"), words, reply)
    with server.client() as client:
        reply = client.ask("SHUTDOWN", "ABORT")
        require(reply == Error("ERR No shutdown in progress."), reply)


def test_failed_save_keeps_the_server(start):
    with folder() as path:
        server = begin(start, path, save=POINTS)
        os.mkdir(dump_path(path))
        with server.client() as client:
            reply = client.ask("SHUTDOWN")
            require(isinstance(reply, Error) and "Errors trying to SHUTDOWN" in str(reply), reply)
            require(client.call("GET", "k1") is not None, "no data")
            os.kill(server.pid, signal.SIGTERM)
            wait_until(lambda: server.log().count("can't exit") >= 2, 20, "the second refusal")
            require(server.alive(), server.log())
        os.rmdir(dump_path(path))
        code = end(server)
        require(code == 0, "exit code", code)
        require(not leftovers(path), leftovers(path))
        require_keys(start, path, COUNT)


def test_force_ends_without_the_snapshot(start):
    with folder() as path:
        server = begin(start, path, save=POINTS, log="yes")
        os.mkdir(dump_path(path))
        code = end(server, "SHUTDOWN", "FORCE")
        require(code == 0, "exit code", code)
        os.rmdir(dump_path(path))
        require_keys(start, path, COUNT, log="yes")


def test_abort_while_it_saves(start):
    with folder() as path:
        server = begin(start, path, save=POINTS)
        with server.client() as client, server.client() as other:
            fault(other, "work", "none", 0, 0, 0, 300)
            client.send("SHUTDOWN")
            time.sleep(0.05)
            reply = other.ask("SHUTDOWN", "ABORT")
            require(reply == b"OK", reply)
            reply = client.reply()
            require(isinstance(reply, Error) and "Errors trying to SHUTDOWN" in str(reply), reply)
            fault(other, "work", "off")
            wait_info(server, rdb_bgsave_in_progress="0")
            require(other.call("SET", "k0", "again") == b"OK")
            require(other.ask("SHUTDOWN", "ABORT") == Error("ERR No shutdown in progress."))
        code = end(server)
        require(code == 0, "exit code", code)
        require_keys(start, path, COUNT)


def test_ends_while_something_is_saved(start):
    """A snapshot or a rewrite is under way, with the disk slow, when the end comes."""
    for words in (("BGSAVE",), ("BGREWRITEAOF",)):
        for last in ((), ("SHUTDOWN",), ("SHUTDOWN", "NOSAVE"), ("SHUTDOWN", "SAVE")):
            with folder() as path:
                server = begin(start, path, save=POINTS, log="yes", count=5000)
                with server.client() as client:
                    fault(client, "write", "none", 0, 0, 0, 20)
                    client.call(*words)
                    fill(server, 20, "late")
                code = end(server, *last)
                require(code == 0, words, last, "exit code", code)
                require(not leftovers(path), words, last, leftovers(path))
                require_keys(start, path, 5020, log="yes")
                if last != ("SHUTDOWN", "NOSAVE"):
                    require_keys(start, path, 5020)


def test_end_while_loading_spoils_nothing(start):
    for log in ("no", "yes"):
        with folder() as path:
            server = begin(start, path, MANY, save=POINTS, log=log)
            require(end(server) == 0)
            loading = start(args=options(path, save=POINTS, log=log), wait=False)
            wait_until(lambda: "oading" in loading.log() or not loading.alive(), 20, "loading")
            os.kill(loading.pid, signal.SIGTERM)
            code = loading.wait_exit()
            log_text = loading.log()
            loading.stop()
            require(code == 0, "exit code", code, log_text)
            require_keys(start, path, MANY, save=POINTS, log=log)


def test_save_points_fire(start):
    with folder() as path:
        with start(args=options(path, save="1 10")) as server:
            fill(server, 9)
            last = server.call("LASTSAVE")
            time.sleep(1.5)
            require(not has_dump(path), "too few changes for it")
            server.call("MSET", *(f"more{i}" for i in range(10)))
            wait_until(lambda: has_dump(path), 20, "the save point")
            wait_info(server, rdb_bgsave_in_progress="0", rdb_last_bgsave_status="ok")
            require(server.call("LASTSAVE") >= last)
            kill(server)
        require_keys(start, path, 14)


def test_kill_leaves_the_old_snapshot(start):
    """SIGKILL in the middle of a save: the last one is still there, whole."""
    with folder() as path:
        server = begin(start, path)
        require(server.call("SAVE") == b"OK")
        with server.client() as client:
            fault(client, "write", "none", 0, 0, 1000, 5)
            fill(server, 3000, "new", size=200)
            client.call("BGSAVE")
        kill(server)
        require_keys(start, path, COUNT)


def test_missing_folder_ends_the_start(start):
    server = start(args=options("/nonexistent/folder"), wait=False)
    try:
        require(server.wait_exit() == 1, "exit code", server.exit_code)
        require("/nonexistent/folder" in server.log(), server.log())
    finally:
        server.stop()


def test_client_waits_for_shutdown_alone(start):
    """While the last snapshot is written others are served."""
    with folder() as path:
        server = begin(start, path, save=POINTS)
        with server.client() as client, server.client() as other:
            fault(other, "work", "none", 0, 0, 0, 200)
            client.send("SHUTDOWN")
            try:
                replies = [other.ask("GET", "k1") for _ in range(20)]
                require(all(reply is not None for reply in replies), replies)
            except Closed:
                pass
            require(client.closed_within(20), "not closed")
        require(server.wait_exit() == 0, "exit code", server.exit_code)
        server.stop()
        require_keys(start, path, COUNT)


def test_flushall_is_not_undone_by_a_snapshot(start):
    with folder() as path:
        server = begin(start, path, save=POINTS)
        server.call("SAVE")
        full_size = os.path.getsize(dump_path(path))
        server.call("FLUSHALL")
        wait_until(lambda: os.path.getsize(dump_path(path)) < full_size, 20, "an empty snapshot")
        kill(server)
        require_keys(start, path, 0)


def test_flushall_ends_a_snapshot_under_way(start):
    with folder() as path:
        with start(args=options(path, more=("--snapshot-max-bytes-per-second", "1mb"))) as server:
            fill(server, MANY, size=200)
            server.call("BGSAVE")
            server.call("FLUSHALL")
            wait_info(server, rdb_bgsave_in_progress="0")
            require(not has_dump(path), "what was flushed is in a file")
            require(server.info("persistence")["rdb_last_bgsave_status"] == "ok", "no failure")


def test_what_was_allowed_once_is_loaded(start):
    """Strings longer than proto-max-bulk-len is by now."""
    with folder() as path:
        server = begin(start, path, log="yes")
        with server.client() as client:
            client.call("SETRANGE", "range", 2_000_000, "end")
            client.call("SETBIT", "bit", 2_000_000 * 8, 1)
            client.call("DEL", "range", "bit")
        require(end(server) == 0)
        require_keys(start, path, COUNT, log="yes", more=("--proto-max-bulk-len", "1mb"))


if __name__ == "__main__":
    play(globals())
