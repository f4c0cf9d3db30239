"""harness.py: what every test file of this folder does: run its functions against servers of each
back end and shard count, and count.

A test is a function `test_name(server)` with a server of its own file's choice, or
`test_name(start)` where `start(**options)` starts further servers (see Server). It fails by
raising.
"""

import inspect
import sys
import time
import traceback

from server import BACKENDS, SKIP, Server, backend_works, tessera_path


class Skip(Exception):
    """This test cannot run here."""


def require(condition, *detail):
    """A check that also tells what it saw."""
    if not condition:
        raise AssertionError(" ".join(map(str, detail)) or "not so")


def play(module, shards=(1, 2)):
    """Run all tests of a module's dictionary; prints `N passed, N failed`, ends the program."""
    path = tessera_path()
    if path is None:
        print("skipped: no tessera-server")
        sys.exit(SKIP)
    wanted = sys.argv[1:]
    tests = [value for name, value in module.items()
             if name.startswith("test_") and callable(value)
             and (not wanted or any(word in name for word in wanted))]
    passed = failed = skipped = 0
    for backend in BACKENDS:
        if not backend_works(path, backend):
            print(f"io-backend {backend} does not work on this machine: left out")
            continue
        for count in shards:
            verdicts = play_cell(tests, path, backend, count)
            passed += verdicts.count("passed")
            failed += verdicts.count("failed")
            skipped += verdicts.count("skipped")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


def play_cell(tests, path, backend, shards):
    """All tests on one back end with one number of shards."""
    verdicts = []
    shared = None

    started = []

    def start(**options):
        options.setdefault("shards", shards)
        started.append(Server(path, backend=backend, **options))
        return started[-1]

    for test in tests:
        where = f"{test.__name__} ({backend}, {shards} shards)"
        began = time.monotonic()
        try:
            if "start" in inspect.signature(test).parameters:
                test(start)
            else:
                if shared is None or not shared.alive():
                    shared = start()
                shared.call("FLUSHALL")
                test(shared)
                require(shared.alive(), "the server is gone")
            verdict = "passed"
        except Skip as reason:
            verdict = "skipped"
            print(f"{where}: skipped: {reason}")
        except Exception:
            verdict = "failed"
            print(f"{where}: FAILED\n{traceback.format_exc()}", flush=True)
            if shared is not None:
                print(f"the end of the shared server's log:\n{shared.log()[-1500:]}")
                if shared.alive():
                    shared.stop(kill=True)
                shared = None
        # A test that is skipped or fails half-way leaves its servers behind.
        for server in started:
            if server is not shared and server.alive():
                server.stop(kill=True)
        started.clear()
        took = time.monotonic() - began
        if took > 3:
            print(f"{where}: {took:.1f} s")
        verdicts.append(verdict)
    if shared is not None:
        shared.stop()
    return verdicts
