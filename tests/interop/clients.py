"""clients.py: what the drivers of this folder share: where the helpers of tests/server lie, which
commands a server has, and waiting for what another thread or process does.

Nothing here sleeps for a fixed time: a driver waits for an event (a count that the server reports,
a line on a terminal, a thread that ends) and gives up after PATIENCE_S.
"""

import os
import sys
import threading

FOLDER = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(FOLDER))
sys.path.insert(0, os.path.join(ROOT, "tests", "server"))

from resp import Error  # noqa: E402
from server import wait_until  # noqa: E402

PATIENCE_S = 30
# What `./dev interop` has fetched; nothing of it is needed by `./dev test`.
FETCHED = os.path.join(ROOT, "build", "clients")
NODE_FOLDER = os.path.join(FOLDER, "node")
SHARDS = (1, 2, 5)


def has_command(server, name, subcommand=None):
    """Whether the server knows a command, or a subcommand of one."""
    if subcommand is not None:
        name = f"{name}|{subcommand}"
    rows = server.call("COMMAND", "INFO", name)
    return bool(rows) and rows[0] is not None


def has_scripts(server):
    """Whether the server runs scripts: it knows their commands also where it does not."""
    with server.client() as client:
        return not isinstance(client.ask("SCRIPT", "LOAD", "return 1"), Error)


def wait_blocked(server, count):
    """Until as many clients wait in blocking commands."""
    wait_until(lambda: int(server.info("clients")["blocked_clients"]) == count, PATIENCE_S,
               f"{count} blocked clients")


def wait_subscribers(server, channel, count):
    """Until a channel has as many subscribers."""
    wait_until(lambda: server.call("PUBSUB", "NUMSUB", channel)[1] == count, PATIENCE_S,
               f"{count} subscribers of {channel}")


class Worker(threading.Thread):
    """A thread whose result or exception result() hands on."""

    def __init__(self, work, *args):
        super().__init__(daemon=True)
        self.work, self.args = work, args
        self.value = self.error = None
        self.start()

    def run(self):
        try:
            self.value = self.work(*self.args)
        except BaseException as error:  # handed to the waiting thread
            self.error = error

    def result(self):
        self.join(PATIENCE_S)
        if self.is_alive():
            raise TimeoutError(f"{self.work.__name__}{self.args} does not end")
        if self.error is not None:
            raise self.error
        return self.value


def results(workers):
    return [worker.result() for worker in workers]
