"""test_node.py: ioredis and node-redis (tests/interop/node/clients.js) against servers.

Needs Node.js and the packages of package-lock.json; `./dev interop` installs both. Where they are
not installed this says so and counts as skipped: the usual tests depend on no registry.
"""

import os
import shutil
import subprocess
import sys

from clients import NODE_FOLDER, SHARDS, has_command
from harness import play, require
from server import SKIP

NODE = shutil.which("node") or shutil.which("nodejs")
RUN_TIMEOUT_S = 240
CASES_MIN = 22  # of the two packages that every Node.js of ours runs, ioredis 5 and node-redis 5

if NODE is None or not os.path.isdir(os.path.join(NODE_FOLDER, "node_modules")):
    print("skipped: the clients of Node.js are not installed; ./dev interop does that")
    sys.exit(SKIP)


def test_node_clients(server):
    tracking = has_command(server, "CLIENT", "TRACKING")
    done = subprocess.run([NODE, "clients.js", str(server.port), str(int(tracking))],
                          cwd=NODE_FOLDER, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    lines = done.stdout.splitlines()
    passed = [line for line in lines if line.startswith("ok ")]
    for line in lines:
        if line.startswith("skip "):
            print(line)
    require(done.returncode == 0 and len(passed) >= CASES_MIN,
            "\n".join(line for line in lines if not line.startswith(("ok ", "skip "))), done.stderr)


if __name__ == "__main__":
    play(globals(), SHARDS)
