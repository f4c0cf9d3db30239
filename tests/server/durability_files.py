"""durability_files.py: folders that outlive a server, for tests that stop one and start the next."""

import os
import shutil
import tempfile
from contextlib import contextmanager

from harness import Skip
from resp import Error
from server import wait_until

COUNT = 300
HELD_S = 0.3  # what has not been answered by then is held
FAULT_KINDS = ("write", "sync", "work")


@contextmanager
def folder():
    """A data folder that goes with the test."""
    path = tempfile.mkdtemp(prefix="tessera-files-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def options(path, *, save="", log="no", policy="everysec", more=()):
    """Words of the command line."""
    return ("--dir", path, "--save", save, "--appendonly", log, "--appendfsync", policy, *more)


def fill(server, count=COUNT, tag="k", size=20):
    """`count` keys over all cores."""
    with server.client() as client:
        for start in range(0, count, 1000):
            replies = client.pipeline([("SET", f"{tag}{i}", f"{i}".ljust(size, "."))
                                       for i in range(start, min(start + 1000, count))])
            wrong = [reply for reply in replies if reply != b"OK"]
            if wrong:
                raise AssertionError(f"SET: {wrong[0]!r}")


def count_keys(server):
    return server.call("DBSIZE")


def dump_path(path):
    return os.path.join(path, "dump.rdb")


def log_folder(path):
    return os.path.join(path, "appendonlydir")


def wait_log(server, text, timeout_s=20):
    wait_until(lambda: text in server.log(), timeout_s, f"'{text}' in the log")


def wait_info(server, timeout_s=20, **wanted):
    """Until INFO persistence says so."""
    def is_so():
        rows = server.info("persistence")
        return all(rows[name] == value for name, value in wanted.items())
    wait_until(is_so, timeout_s, f"INFO {wanted}")


def fault(client, kind, error, *numbers):
    """DEBUG FILE-FAULT; Skip where the build has none. How often the last one hit."""
    reply = client.ask("DEBUG", "FILE-FAULT", kind, error, *numbers)
    if isinstance(reply, Error):
        if "unknown subcommand" in str(reply):
            raise Skip("a build without faults")
        raise reply
    return reply


def no_faults(client):
    for kind in FAULT_KINDS:
        fault(client, kind, "off")


def kill(server):
    """SIGKILL; its log."""
    server.process.kill()
    server.process.wait()
    log = server.log()
    server.stop()
    return log


def is_held(client):
    """No reply comes."""
    client.socket.settimeout(HELD_S)
    try:
        client.fill()
        return False
    except (TimeoutError, OSError):
        return True
    finally:
        client.socket.settimeout(30)
