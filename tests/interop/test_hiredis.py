"""test_hiredis.py: hiredis_client.c against servers, once with the hiredis of the system and once
with the one that `./dev interop` fetches.

    test_hiredis.py [PROGRAM]       PROGRAM: built against the system's hiredis

Debian 12's hiredis (0.14) reads RESP2 only, 1.0 and later RESP3 as well. The fetched one is source;
it is compiled together with the program here, so that neither can be out of date.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

from clients import FETCHED, FOLDER, SHARDS, has_command
from harness import Skip, play, require
from server import SKIP

PROGRAM_TIMEOUT_S = 120
SOURCES = ("alloc.c", "async.c", "hiredis.c", "net.c", "read.c", "sds.c", "sockcompat.c")
CASES_OF_BOTH = ["pipeline", "transaction", "pubsub", "blocking"]

system_program = None
if len(sys.argv) > 1 and "interop_hiredis" in sys.argv[1]:
    system_program = os.path.abspath(sys.argv.pop(1))


def run_program(server, program):
    version = tuple(map(int, subprocess.check_output([program, "--version"]).split(b".")))
    tracking = has_command(server, "CLIENT", "TRACKING")
    for protocol in (2, 3) if version >= (1, 0, 0) else (2,):
        server.call("FLUSHALL")
        done = subprocess.run([program, str(server.port), str(protocol), str(int(tracking))],
                              capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S)
        require(done.returncode == 0, f"hiredis {version}, RESP{protocol}:", done.stdout,
                done.stderr)
        expected = CASES_OF_BOTH + ["redirect"] * tracking
        if protocol == 3:
            expected = expected + ["types", "push_callback"] + ["tracking"] * tracking
        require(done.stdout.split() == [word for name in expected for word in ("ok", name)],
                done.stdout)


def test_system_hiredis(server):
    if system_program is None:
        raise Skip("built without libhiredis-dev")
    run_program(server, system_program)


def fetched_program():
    """The path of the program with the fetched hiredis, compiled at the first call."""
    sources = sorted(glob.glob(os.path.join(FETCHED, "hiredis-*", "")))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sources or compiler is None:
        raise Skip("hiredis with RESP3 is not fetched; ./dev interop does that")
    path = os.path.join(scratch.name, "hiredis_client")
    if not os.path.exists(path):
        include = os.path.join(scratch.name, "include")
        os.makedirs(include)
        os.symlink(os.path.abspath(sources[-1]), os.path.join(include, "hiredis"))
        files = [os.path.join(sources[-1], name) for name in SOURCES]
        subprocess.check_call([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-I", include,
                               os.path.join(FOLDER, "hiredis", "hiredis_client.c"), *files,
                               "-o", path])
    return path


def test_fetched_hiredis(server):
    run_program(server, fetched_program())


if __name__ == "__main__":
    if system_program is None and not os.path.isdir(FETCHED):
        print("skipped: neither libhiredis-dev nor what ./dev interop fetches is there")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        scratch = type("Scratch", (), {"name": folder})
        play(globals(), SHARDS)
