"""generators.py: who sends the load, and what it counted.

memtier_benchmark mixes SET and GET in one stream and tells p99.9. redis-benchmark, which every
machine with redis-tools has, does neither: there the ten GETs and the SET of the mix run one after
the other, and p99.9 stays empty. Requests are always the generator's own count.
"""

import csv
import json
import os
import shutil
import statistics
import subprocess
from dataclasses import dataclass

VALUE_SIZE = 64
VALUE = b"x" * VALUE_SIZE
GETS_PER_SET = 10


@dataclass
class Sample:
    """One run of one server."""

    requests: int
    rate: float
    cpu_us: float
    p50_ms: float = None
    p99_ms: float = None
    p999_ms: float = None


def pinned(cpus, words):
    return ["taskset", "-c", ",".join(map(str, cpus)), *words]


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}\nended with {done.returncode}: "
                           f"{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def drive(server, words):
    """Run a generator to its end: (what it printed, CPU seconds that the server spent on it).

    The server counts what went wrong, whatever a generator makes of it: error replies and keys that
    were not there end the scenario.
    """
    fields_before = server.info()
    cpu_before = server.cpu_s()
    text = run(words)
    cpu_s = server.cpu_s() - cpu_before
    fields = server.info()
    for name in ("total_error_replies", "keyspace_misses"):
        grown = int(fields.get(name, 0)) - int(fields_before.get(name, 0))
        if grown > 0:
            raise RuntimeError(f"{server.name}: {name} grew by {grown} under {words[3]}")
    return text, cpu_s


class Memtier:
    name = "memtier_benchmark"

    def __init__(self, path):
        self.path = path

    def key(self, index):
        return b"memtier-%d" % (index + 1)

    def mix(self, server, cpus, key_count, seconds, pipeline, conn_count, thread_count=1):
        """1:10 SET:GET over keys that were loaded before."""
        out = os.path.join(server.directory, "memtier.json")
        words = pinned(cpus, [
            self.path, "--server", "127.0.0.1", "--port", str(server.port), "--hide-histogram",
            "--threads", str(thread_count), "--clients", str(max(1, conn_count // thread_count)),
            "--pipeline", str(pipeline), "--data-size", str(VALUE_SIZE),
            "--ratio", f"1:{GETS_PER_SET}", "--key-minimum", "1", "--key-maximum", str(key_count),
            "--distinct-client-seed", "--test-time", str(seconds), "--json-out-file", out])
        _, cpu_s = drive(server, words)
        with open(out, encoding="utf-8") as file:
            stats = json.load(file)["ALL STATS"]
        total = stats["Totals"]
        if total.get("Connection Errors", 0) > 0:
            raise RuntimeError("memtier_benchmark lost connections")
        latency = total["Percentile Latencies"]
        return Sample(total["Count"], total["Ops/sec"], cpu_s * 1e6 / total["Count"],
                      latency["p50.00"], latency["p99.00"], latency["p99.90"])


class RedisBenchmark:
    name = "redis-benchmark"

    def __init__(self, path):
        self.path = path

    def key(self, index):
        return b"key:%012d" % index

    def once(self, server, cpus, key_count, count, pipeline, conn_count, thread_count, words):
        """(requests/s, row of the CSV table, CPU seconds) of `count` commands."""
        command = [self.path, "-h", "127.0.0.1", "-p", str(server.port), "-n", str(count),
                   "-P", str(pipeline), "-c", str(conn_count), "-r", str(key_count),
                   "-d", str(VALUE_SIZE), "--csv"]
        if thread_count > 1:
            command += ["--threads", str(thread_count)]
        text, cpu_s = drive(server, pinned(cpus, [*command, *words]))
        lines = [line for line in text.splitlines() if line.startswith('"')]
        row = list(csv.DictReader(lines))[-1]
        return float(row["rps"]), row, cpu_s

    def command(self, server, cpus, key_count, seconds, pipeline, conn_count, words,
                thread_count=1):
        """One command over and over; `__rand_int__` in a word becomes twelve random digits."""
        probe = 400 * pipeline
        rate, _, _ = self.once(server, cpus, key_count, probe, pipeline, conn_count, thread_count,
                               words)
        count = max(probe, int(rate * seconds))
        rate, row, cpu_s = self.once(server, cpus, key_count, count, pipeline, conn_count,
                                     thread_count, words)
        return Sample(count, rate, cpu_s * 1e6 / count, float(row["p50_latency_ms"]),
                      float(row["p99_latency_ms"]))

    def mix(self, server, cpus, key_count, seconds, pipeline, conn_count, thread_count=1):
        share = GETS_PER_SET / (GETS_PER_SET + 1)
        key = "key:__rand_int__"
        gets = self.command(server, cpus, key_count, seconds * share, pipeline, conn_count,
                            ["GET", key], thread_count)
        sets = self.command(server, cpus, key_count, seconds * (1 - share), pipeline, conn_count,
                            ["SET", key, VALUE.decode()], thread_count)
        return Sample(gets.requests + sets.requests,
                      1 / (share / gets.rate + (1 - share) / sets.rate),
                      gets.cpu_us * share + sets.cpu_us * (1 - share), gets.p50_ms, gets.p99_ms)


def find_generator():
    path = os.environ.get("MEMTIER") or shutil.which("memtier_benchmark")
    if path:
        return Memtier(path)
    return find_redis_benchmark()


def find_redis_benchmark():
    path = shutil.which("redis-benchmark")
    if not path:
        raise SystemExit("compare.py: neither memtier_benchmark nor redis-benchmark is here")
    return RedisBenchmark(path)


def own_load(path, server, cpus, source, seconds, pipeline, conn_count):
    words = [path, "-p", server.port, *source, "-t", seconds, "-P", pipeline, "-c", conn_count]
    text, cpu_s = drive(server, pinned(cpus, [str(word) for word in words]))
    fields = dict(part.split("=") for part in text.split())
    requests = int(fields["requests"])
    return Sample(requests, requests / float(fields["seconds"]), cpu_s * 1e6 / requests)


def core_aware_load(path, server, cpus, keys_path, mode, seconds, pipeline, conn_count):
    """GETs of keys that the connection's core owns (local) or does not (remote), by bench/load."""
    return own_load(path, server, cpus, ("-k", keys_path, "-m", mode), seconds, pipeline,
                    conn_count)


def lines_load(path, server, cpus, lines_path, seconds, pipeline, conn_count):
    """Requests drawn from the lines of a file, by bench/load."""
    return own_load(path, server, cpus, ("-l", lines_path), seconds, pipeline, conn_count)


def alternate(runs, pair_count):
    """Run {name: function} in turn, A B A B, so that a slow minute of the machine meets both."""
    samples = {name: [] for name in runs}
    for _ in range(pair_count):
        for name, function in runs.items():
            samples[name].append(function())
    return samples


def median(samples, field):
    values = [getattr(sample, field) for sample in samples]
    return None if None in values else statistics.median(values)


def ratios(samples, base, name, field):
    """(ratio of the medians, median of the pairs' ratios) of `name` over `base`."""
    pairs = [getattr(b, field) / getattr(a, field)
             for a, b in zip(samples[base], samples[name])]
    return median(samples[name], field) / median(samples[base], field), statistics.median(pairs)
