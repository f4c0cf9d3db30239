"""compare.py: redis-server and Tessera side by side, on one machine, in one run.

    ./dev bench                  all scenarios, some minutes
    ./dev bench pipelines idle   some of them
    ./dev bench --full           longer runs and more of them

Prints markdown tables, with the target beside each value that has one. See README.md here for the
method. A scenario is a function that takes the bench and yields tables; SCENARIOS names them all.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time

import feature_scenarios
import load_scenarios
import persistence_scenarios
import pubsub_scenarios
import value_scenarios
import weight_scenarios
from generators import find_generator
from servers import Server

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SCENARIOS = {
    "pipelines": load_scenarios.pipelines,
    "shards2": load_scenarios.shards2,
    "forward": load_scenarios.forward,
    "multi": load_scenarios.multi,
    "memory": weight_scenarios.memory,
    "connections": weight_scenarios.connections,
    "idle": weight_scenarios.idle,
    "expiry": weight_scenarios.expiry,
    "families": value_scenarios.families,
    "large": value_scenarios.large,
    "members": value_scenarios.members,
    "turns": value_scenarios.turns,
    "pubsub": pubsub_scenarios.pubsub,
    "transactions": feature_scenarios.transactions,
    "blocking": feature_scenarios.blocking,
    "persistence": persistence_scenarios.persistence,
}


class Bench:
    """What the scenarios share: programs, CPUs and how long to measure."""

    REDIS_NAME = "redis-server"

    def __init__(self, args):
        self.tessera_path = os.path.abspath(args.tessera)
        self.redis_path = os.path.abspath(args.redis)
        self.load_path = os.path.abspath(args.load)
        self.pace_path = os.path.abspath(args.pace)
        self.root = ROOT
        self.disk = args.disk
        self.only = args.only.split(",") if args.only else []
        self.scale = args.scale
        self.is_full = args.full
        self.pair_count = args.pairs or (9 if args.full else 5)
        self.seconds = args.seconds or (8 if args.full else 3)
        self.key_count = args.keys
        self.generator = find_generator()
        self.cpus = sorted(os.sched_getaffinity(0))

    def cpus_for(self, server_cpu_count):
        """(the server's CPUs, the load's CPUs): apart where there are enough, else shared."""
        server = self.cpus[:server_cpu_count]
        load = self.cpus[server_cpu_count:2 * server_cpu_count]
        return server, load or server

    def redis(self, cpus, extra=()):
        return Server(self.REDIS_NAME, self.redis_path, cpus, extra=extra)

    def tessera(self, cpus, shard_count, extra=()):
        name = f"tessera, {shard_count} shard{'s' if shard_count > 1 else ''}"
        return Server(name, self.tessera_path, cpus, shard_count, extra)

    @staticmethod
    def say(text):
        print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)

    def machine(self):
        """The lines that a reader of the numbers needs to know about where they come from."""
        model = platform.machine()
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
        with self.redis(self.cpus[:1]) as redis, self.tessera(self.cpus[:1], 1) as tessera:
            versions = f"{redis.version()}, {tessera.version()}"
            backend = tessera.info().get("io_backend")
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
                                capture_output=True, text=True, check=False).stdout.strip()
        lines = [
            f"- machine: {model}, {len(self.cpus)} CPUs usable, Linux {platform.release()}",
            f"- servers: {versions}" + (f" (commit {commit})" if commit else "")
            + (f", I/O by {backend}" if backend else ""),
            f"- load: {self.generator.name}; {self.pair_count} pairs of {self.seconds} s, "
            f"{self.key_count:,} keys; {time.strftime('%Y-%m-%d %H:%M')}",
        ]
        if len(self.cpus) < 2:
            lines.append("- only one CPU: server and load share it, so times mean little")
        return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="redis-server and Tessera side by side, as markdown tables",
        epilog="scenarios: " + "; ".join(f"{name}: {function.__doc__.rstrip('.')}"
                                         for name, function in SCENARIOS.items()))
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--full", action="store_true", help="longer, and 10M keys in one slot, 10M members in one value")
    parser.add_argument("--pairs", type=int, help="pairs of runs (5; full: 9)")
    parser.add_argument("--seconds", type=int, help="seconds of each run (3; full: 8)")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys loaded before (1000000)")
    parser.add_argument("--out", help="write the tables to this file too")
    parser.add_argument("--redis", default=os.path.join(ROOT, "build/oracle/redis-server"),
                        help="the peer; a program whose name begins with redis")
    parser.add_argument("--tessera", default=os.path.join(ROOT, "build/release/tessera-server"),
                        help="the server under test")
    parser.add_argument("--load", default=os.path.join(ROOT, "build/release/bench/load"),
                        help="the generator that knows cores, built of bench/load.c")
    parser.add_argument("--pace", default=os.path.join(ROOT, "build/release/bench/pace"),
                        help="the generator that keeps a rate, built of bench/pace.c")
    parser.add_argument("--only", metavar="FIGURE,...",
                        help="of persistence: " + ", ".join(persistence_scenarios.FIGURES))
    parser.add_argument("--scale", type=float, default=1.0,
                        help="of persistence: counts and times by this factor, to try it out (1)")
    parser.add_argument("--disk", metavar="FOLDER",
                        help="of persistence: where its temporary folders go (/var/tmp)")
    args = parser.parse_args()
    unknown = set(args.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}: choose of {', '.join(SCENARIOS)}")
    unknown = set((args.only or "").split(",")) - set(persistence_scenarios.FIGURES) - {""}
    if unknown:
        parser.error(f"no figure {', '.join(sorted(unknown))}: choose of "
                     f"{', '.join(persistence_scenarios.FIGURES)}")
    return args


def main():
    args = parse_arguments()
    # Leave through the servers' context managers, so that none is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench = Bench(args)
    out = open(args.out, "w", encoding="utf-8") if args.out else None

    def show(text):
        print(text, flush=True)
        if out:
            out.write(text + "\n")
            out.flush()

    show(bench.machine() + "\n")
    failures = 0
    for name in args.scenarios or SCENARIOS:
        try:
            for table in SCENARIOS[name](bench):
                show(table.markdown())
        except (RuntimeError, OSError) as error:
            failures += 1
            show(f"### {name}: could not be measured\n\n```\n{error}\n```\n")
    if out:
        out.close()
    return 1 if failures else 0


sys.exit(main())
