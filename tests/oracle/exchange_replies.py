"""exchange_replies.py: what commands about files answer, compared with redis-server byte by byte:
their errors, the directives, what is refused while something else runs or the folder has gone. And
the names of INFO persistence's fields.
"""

import os
import shutil
import time

from compare import unordered
from scenarios import Both, info_fields
from server import wait_until

TIMEOUT_S = 20
PATIENCE_S = 0.5
# Several chunks of a snapshot, so that the limit is felt.
SLOW_COUNT = 300
SLOW_SIZE = 4000
SLOW_S = 2.5
# Values for every directive: of its kind, of another, and nonsense.
YES_NO = (b"no", b"yes", b"YES", b"", b"1", b"maybe")
DIRECTIVES = {
    b"save": (b"", b"1", b"0", b"100 1", b"3600 1 300 100", b"100 1 200", b"-1 1", b"1 -1", b"0 1",
              b"1 0", b"x",
              b"1 x", b" 5  6 ", b"99999999999 1", b"60 1 60 1", b""),
    b"appendonly": (b"", b"maybe", b"1"),
    b"appendfsync": (b"always", b"no", b"EVERYSEC", b"sometimes", b"", b"everysec"),
    b"no-appendfsync-on-rewrite": YES_NO + (b"no",),
    b"auto-aof-rewrite-percentage": (b"0", b"100", b"-1", b"x", b"", b"2147483647", b"2147483648",
                                     b"100"),
    b"auto-aof-rewrite-min-size": (b"0", b"64mb", b"1gb", b"-1", b"x", b"", b"1.5mb", b"1tb",
                                   b"64mb"),
    b"aof-load-truncated": YES_NO + (b"yes",),
    b"aof-use-rdb-preamble": YES_NO + (b"yes",),
    b"aof-timestamp-enabled": YES_NO + (b"no",),
    b"rdbcompression": YES_NO + (b"yes",),
    b"rdbchecksum": YES_NO,
    b"stop-writes-on-bgsave-error": YES_NO + (b"yes",),
    b"rdb-del-sync-files": YES_NO + (b"no",),
    b"dbfilename": (b"", b"a/b", b"../x", b"a b", b".rdb", b"other.rdb", b"dump.rdb"),
    b"dir": (b"", b"/no/such/folder", b"x" * 300),
    b"appendfilename": (b"a", b"", b"a/b"),
    b"appenddirname": (b"a", b"", b"a/b"),
}
ERRORS = (
    ("SAVE", "x"), ("BGSAVE", "x"), ("BGSAVE", "SCHEDULE", "x"), ("BGSAVE", ""), ("LASTSAVE", "x"),
    ("BGREWRITEAOF", "x"), ("SHUTDOWN", "x"), ("SHUTDOWN", ""), ("SHUTDOWN", "SAVE", "NOSAVE"),
    ("SHUTDOWN", "NOSAVE", "SAVE"), ("SHUTDOWN", "ABORT", "NOW"), ("SHUTDOWN", "NOW", "ABORT"),
    ("SHUTDOWN", "ABORT", "ABORT"), ("SHUTDOWN", "ABORT"), ("SHUTDOWN", "abort"),
    ("SHUTDOWN", "NOW", "x"),
    ("SHUTDOWN", "SAVE", "NOW", "FORCE", "x", "y"), ("SHUTDOWN", "FORCE", "ABORT"),
    ("SHUTDOWN", "SAVE", "ABORT"), ("DEBUG", "RELOAD", "x"), ("DEBUG", "RELOAD", "NOSAVE", "x"),
    ("DEBUG", "RELOAD", "MERGE", "NOFLUSH", "NOSAVE", ""), ("DEBUG", "RELOAD", "NOSAVE"),
    ("CONFIG", "SET", "save"), ("CONFIG", "SET", "save", "1 1", "appendfsync", "never"),
    ("CONFIG", "GET", "save"),
    ("CONFIG", "SET", "appendfsync", "no", "appendfsync", "always"),
    ("CONFIG", "GET", "appendfsync"),
)
# Not a subject here, with the reason.
INFO_MISSING = {}
INFO_MORE = set()


def same_all(run, both, rows):
    for words in rows:
        both.same(run, *words)


def transactions(run, both):
    """What may stand in MULTI, and what it then answers."""
    for words in (("SAVE",), ("SHUTDOWN", "NOSAVE"), ("SHUTDOWN", "ABORT"), ("LASTSAVE", "x"),
                  ("BGSAVE", "x")):
        same_all(run, both, [("MULTI",), words, ("EXEC",)])
    same_all(run, both, [("MULTI",), ("BGREWRITEAOF", "x"), ("DISCARD",)])


def directives(run, both):
    for name, values in DIRECTIVES.items():
        for value in values:
            both.same(run, "CONFIG", "SET", name, value)
            if name not in (b"dir",):
                both.same(run, "CONFIG", "GET", name)
    both.same(run, "CONFIG", "GET", "append*", "aof-load*", "rdbc*", check=unordered)


def idle(both):
    def is_idle():
        for server in both.servers:
            rows = server.info("persistence")
            if any(rows[name] != "0" for name in ("rdb_bgsave_in_progress",
                                                  "aof_rewrite_in_progress",
                                                  "aof_rewrite_scheduled")):
                return False
        return True
    wait_until(is_idle, TIMEOUT_S, "the end of what is being written")


def info_same(run, both, name):
    """One field of INFO persistence, which a core may hear of a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        ours, theirs = (server.info("persistence").get(name) for server in both.servers)
        if ours == theirs or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    run.check(f"INFO {name}", ours == theirs, f"{ours!r} is not {theirs!r}")


def saves(run, both):
    """Each kind of save, one after the other, and what INFO has counted."""
    same_all(run, both, [("SET", "a", "1"), ("SET", "b", "2"), ("SAVE",)])
    for name in ("rdb_changes_since_last_save", "rdb_saves", "rdb_last_bgsave_status"):
        info_same(run, both, name)
    ours, theirs = both.values("LASTSAVE")
    run.check("LASTSAVE", abs(ours - theirs) <= 5 and abs(ours - time.time()) <= 5,
              f"{ours} and {theirs}")
    same_all(run, both, [("SET", "a", "3"), ("DEL", "b"), ("GET", "a"), ("DEL", "nothing")])
    info_same(run, both, "rdb_changes_since_last_save")
    for words in (("BGSAVE",), ("BGSAVE", "SCHEDULE"), ("bgsave", "schedule"), ("BGREWRITEAOF",)):
        both.same(run, *words)
        idle(both)
        for name in ("rdb_changes_since_last_save", "rdb_saves", "rdb_last_bgsave_status",
                     "aof_rewrites",
                     "aof_last_bgrewrite_status"):
            info_same(run, both, name)
    same_all(run, both, [("MULTI",), ("SET", "c", "1"), ("BGSAVE",), ("LASTSAVE",), ("EXEC",)][:3])
    ours, theirs = both.values("EXEC")
    run.check("BGSAVE in MULTI", ours == theirs, f"{ours} and {theirs}")
    idle(both)
    same_all(run, both, [("DEBUG", "RELOAD"), ("GET", "a"), ("DEBUG", "RELOAD", "nosave"),
                         ("DBSIZE",),
                         ("SET", "a", "after"), ("SET", "z", "after"),
                         ("DEBUG", "RELOAD", "NOSAVE", "MERGE", "NOFLUSH"), ("GET", "a"),
                         ("GET", "z"),
                         ("DEBUG", "RELOAD", "NOSAVE"), ("GET", "z"), ("DEBUG", "DIGEST")])
    for name in ("rdb_last_load_keys_loaded", "rdb_last_load_keys_expired", "loading"):
        info_same(run, both, name)


def slowly(both, is_slow):
    """Have both take about SLOW_S for what they write, so that one can ask meanwhile."""
    ours, theirs = both.clients
    rate, delay_us = SLOW_COUNT * SLOW_SIZE / SLOW_S, SLOW_S * 10**6 / SLOW_COUNT
    ours.call("CONFIG", "SET", "snapshot-max-bytes-per-second", int(rate) if is_slow else 0)
    theirs.call("CONFIG", "SET", "rdb-key-save-delay", int(delay_us) if is_slow else 0)


def meanwhile(run, both):
    """While a snapshot or a rewrite is under way."""
    for number in range(SLOW_COUNT):
        both.raw("SET", f"large:{number}", os.urandom(SLOW_SIZE))
    slowly(both, True)
    same_all(run, both, [("BGSAVE",), ("BGSAVE",), ("BGSAVE", "SCHEDULE"), ("SAVE",),
                         ("BGREWRITEAOF",),
                         ("BGREWRITEAOF",)])
    for name in ("rdb_bgsave_in_progress", "aof_rewrite_scheduled", "aof_rewrite_in_progress"):
        info_same(run, both, name)
    slowly(both, False)
    idle(both)
    info_same(run, both, "rdb_last_bgsave_status")
    info_same(run, both, "aof_rewrites")
    info_same(run, both, "rdb_saves")
    slowly(both, True)
    same_all(run, both, [("BGREWRITEAOF",), ("BGREWRITEAOF",), ("BGSAVE",)])
    for name in ("rdb_bgsave_in_progress", "aof_rewrite_scheduled", "aof_rewrite_in_progress"):
        info_same(run, both, name)
    slowly(both, False)
    # Ours has its turn when the rewrite is over.
    same_all(run, both, [("SET", "late", "1"), ("BGSAVE", "SCHEDULE"), ("SAVE",),
                         ("BGSAVE", "nonsense")])
    info_same(run, both, "rdb_changes_since_last_save")
    idle(both)


def log_on_and_off(run, both):
    """appendonly at run time."""
    same_all(run, both, [("CONFIG", "SET", "appendonly", "yes"), ("CONFIG", "GET", "appendonly")])
    idle(both)
    same_all(run, both, [("SET", "logged", "1"), ("DEBUG", "LOADAOF"), ("GET", "logged"),
                         ("DEBUG", "DIGEST"),
                         ("BGREWRITEAOF",)])
    idle(both)
    for name in ("aof_enabled", "aof_last_bgrewrite_status", "aof_last_write_status",
                 "aof_rewrite_in_progress"):
        info_same(run, both, name)
    fields(run, both)
    same_all(run, both, [("CONFIG", "SET", "appendonly", "YES"),
                         ("CONFIG", "SET", "appendonly", "no"),
                         ("CONFIG", "GET", "appendonly")])
    info_same(run, both, "aof_enabled")


def fields(run, both):
    """The same names in INFO persistence, in the same order."""
    ours, theirs = (info_fields(value)[b"persistence"] for value in both.values("INFO",
                                                                                "persistence"))
    missing = [name.decode() for name in theirs if name not in ours and name not in INFO_MISSING]
    more = [name.decode() for name in ours if name not in theirs and name not in INFO_MORE]
    run.check("INFO persistence has the fields", not missing, f"missing: {' '.join(missing)}")
    run.check("INFO persistence has no others", not more, f"more: {' '.join(more)}")
    known = [name for name in ours if name in theirs]
    run.check("INFO persistence is in order", known == [name for name in theirs if name in ours],
              f"{known}")


def status_is(both, status):
    return all(server.info("persistence")["rdb_last_bgsave_status"] == status
               for server in both.servers)


def saves_of(both):
    return [int(server.info("persistence")["rdb_saves"]) for server in both.servers]


def folder_gone(run, both, folders):
    """A snapshot cannot be written: what is refused then, and what makes it good again."""
    for client, folder in zip(both.clients, folders):
        os.mkdir(folder)
        client.call("CONFIG", "SET", "dir", folder)
    same_all(run, both, [("SAVE",), ("CONFIG", "SET", "save", "3600 1000000")])
    for folder in folders:
        run.check("SAVE writes where dir says", os.path.exists(os.path.join(folder, "dump.rdb")),
                  folder)
        shutil.rmtree(folder)
    saves_before = saves_of(both)
    same_all(run, both, [("SAVE",), ("GET", "a"), ("SET", "a", "0"), ("DEBUG", "RELOAD"),
                         ("SET", "a", "0"), ("PING",), ("SHUTDOWN",), ("SET", "a", "0")])
    for name in ("rdb_changes_since_last_save", "rdb_last_bgsave_status"):
        info_same(run, both, name)
    both.same(run, "BGSAVE")
    wait_until(lambda: status_is(both, "err"), TIMEOUT_S, "a failed save")
    both.same(run, "SAVE")
    for name in ("rdb_changes_since_last_save", "rdb_last_bgsave_time_sec"):
        info_same(run, both, name)
    # A scheduled one and SAVE were one before.
    ours, theirs = (now - before for now, before in zip(saves_of(both), saves_before))
    run.check("INFO rdb_saves", ours == theirs, f"{ours} more, not {theirs}")
    same_all(run, both, [("SET", "a", "1"), ("GET", "a"), ("DEL", "nothing"), ("MULTI",),
                         ("SET", "a", "1"),
                         ("EXEC",), ("FLUSHALL",), ("EXPIRE", "a", "100"), ("PUBLISH", "c", "m"),
                         ("PING",),
                         ("DEBUG", "RELOAD"), ("CONFIG", "SET", "stop-writes-on-bgsave-error",
                                               "no"), ("SET", "a", "2"),
                         ("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"), ("SET", "a", "3"),
                         ("CONFIG", "SET", "save", ""), ("SET", "a", "4"),
                         ("CONFIG", "SET", "save", "3600 1000000"),
                         ("SET", "a", "5")])
    for client, folder in zip(both.clients, folders):
        os.mkdir(folder)
        client.call("CONFIG", "SET", "dir", folder)
    both.same(run, "BGSAVE")
    wait_until(lambda: status_is(both, "ok"), TIMEOUT_S, "a good save")
    same_all(run, both, [("SET", "a", "6"), ("CONFIG", "SET", "save", ""), ("DEBUG", "DIGEST")])


def play(run, tessera, redis, folders, *, is_whole):
    """`folders`: two names that are free, for each server's files. `is_whole`: also what takes its
    time."""
    with Both(tessera, redis) as both:
        same_all(run, both, ERRORS)
        transactions(run, both)
        fields(run, both)
        saves(run, both)
        if is_whole:
            meanwhile(run, both)
        directives(run, both)
        log_on_and_off(run, both)
        folder_gone(run, both, folders)
