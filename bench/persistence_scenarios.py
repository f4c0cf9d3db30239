"""persistence_scenarios.py: what durability costs: the log, snapshots, and loading both.

One scenario of many figures, each of which can be taken alone (--only) and smaller (--scale). Both
servers write to one disk, each to a temporary folder of its own that is removed afterwards. The
load is pace.c, which tells longest answers and can keep a rate.

How long a snapshot takes is read off the folder: it is there when its file has got its name. So no
question disturbs the server while latencies are measured.
"""

import contextlib
import os
import select
import shutil
import statistics
import subprocess
import tempfile
import time
from types import SimpleNamespace

from generators import alternate, drive, median, pinned, ratios
from report import Table, number, verdict
from servers import Server, encode
from value_scenarios import fill, settle

MIB = 1 << 20
CONN_COUNT = 50
LOG_VALUE_SIZE = 64
LOG_KEY_COUNT = 1_000_000
# Keys of 16 bytes and values of 104: 600 MB of data.
SNAPSHOT_KEY_COUNT = 5_000_000
SNAPSHOT_VALUE_SIZE = 104
LOADED_SET_COUNT = 10_000_000
MEMBER_COUNT = 10_000_000
WEIGHED_KEY_COUNT = 1_000_000
WEIGHED_VALUE_SIZE = 32
EXTRA_RATE = 50_000
EXTRA_WARM_S = 10
FILL_PIPELINE = 100
START_TIMEOUT_S = 600
SNAPSHOT_TIMEOUT_S = 600
# A rate is found and a server made warm in so many seconds.
PROBE_S = 2
SECONDS_MIN = 0.5
COUNT_MIN = 1000
RAM_FILE_SYSTEMS = ("tmpfs", "ramfs", "devtmpfs")
SYNC_PROBE_COUNT = 100

ALWAYS_TARGETS = {1: 1.3, 16: 2}
EVERYSEC_PIPELINE = 30
EVERYSEC_TARGET = 0.5
LATENCY_TARGET = 1.5
EXTRA_TARGET_PERCENT = 5
SAVE_TARGET = 0.8
LOAD_TARGET = 0.6
LOG_LOAD_TARGET = 0.5
GIANT_TARGET_MS = 50
# Unchanged, as far as what else a server keeps lets one say so.
WEIGHT_TARGET = 1.01

NO_REWRITE = ("--auto-aof-rewrite-percentage", "0")


# ---- where ----

def mount_of(path):
    """(file system, device) that a path lies on."""
    best, found = "", ("unknown", "unknown")
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            fields, _, tail = line.partition(" - ")
            point = fields.split()[4].replace("\\040", " ")
            is_above = path == point or path.startswith(point.rstrip("/") + "/")
            if is_above and len(point) >= len(best):
                best, found = point, tuple(tail.split()[:2])
    return found


def find_disk(wanted, root):
    """The folder for temporary folders: --disk, else one that is not in memory."""
    candidates = [wanted] if wanted else ["/var/tmp", os.path.join(root, "build"), "."]
    for path in candidates:
        if (os.path.isdir(path) and os.access(path, os.W_OK)
                and mount_of(path)[0] not in RAM_FILE_SYSTEMS):
            return path
    raise RuntimeError("no folder on a disk: name one with --disk (is it in memory?)")


def sync_us(folder):
    """Median microseconds of writing 4 KiB behind a file and syncing it."""
    path = os.path.join(folder, "probe")
    times = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(SYNC_PROBE_COUNT):
        start = time.monotonic()
        os.write(fd, b"x" * 4096)
        os.fdatasync(fd)
        times.append((time.monotonic() - start) * 1e6)
    os.close(fd)
    os.unlink(path)
    return statistics.median(times)


class Lab:
    """What the figures share: the bench, the folder on the disk, and the table."""

    def __init__(self, bench, disk):
        self.bench = bench
        self.disk = disk
        self.table = Table("Durability", ["figure", "redis-server", "tessera",
                                          "tessera over redis-server, or as said (target)"])

    def add(self, figure, redis, tessera, result):
        self.table.add(figure, redis, tessera, result)
        self.bench.say(f"{figure}: {number(redis)} | {number(tessera)} | {number(result)}")

    def count(self, count):
        return max(COUNT_MIN, int(count * self.bench.scale))

    def seconds(self, seconds):
        return max(SECONDS_MIN, seconds * min(1, self.bench.scale))

    @contextlib.contextmanager
    def folder(self):
        path = tempfile.mkdtemp(prefix="tessera-bench-", dir=self.disk)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def start(self, name, cpus, folder, extra=()):
        """A server of either kind on its folder; it has loaded what it found there."""
        is_redis = name == self.bench.REDIS_NAME
        path = self.bench.redis_path if is_redis else self.bench.tessera_path
        return Server(name, path, cpus, len(cpus), extra, folder, START_TIMEOUT_S)

    def names(self, cpus):
        return self.bench.REDIS_NAME, f"tessera, {shards_of(cpus)}"

    @contextlib.contextmanager
    def fresh(self, name, cpus, extra=()):
        """An empty server on a folder of its own."""
        with self.folder() as folder, self.start(name, cpus, folder, extra) as server:
            yield server

    @contextlib.contextmanager
    def both(self, cpus, extra=()):
        """redis-server and Tessera side by side, empty: one works while the other waits."""
        redis, tessera = self.names(cpus)
        with self.fresh(redis, cpus, extra) as a, self.fresh(tessera, cpus, extra) as b:
            yield a, b

    def pace(self, server, cpus, *options):
        """One run of the generator to its end."""
        text, cpu_s = drive(server, pinned(cpus, pace_words(self.bench, server, options)))
        return pace_sample(text, cpu_s)

    def fill(self, server, cpus, key_count, value_size):
        self.bench.say(f"{key_count:,} keys into {server.name}")
        self.pace(server, cpus, "-o", "set", "-f", "-n", key_count, "-d", value_size,
                  "-P", FILL_PIPELINE)
        found = server.client.command("DBSIZE")
        if found != key_count:
            raise RuntimeError(f"{server.name} holds {found} keys of {key_count}")


def shards_of(cpus):
    return f"{len(cpus)} shard{'s' if len(cpus) > 1 else ''}"


def place_of(server_cpus, load_cpus):
    """For a row's name: what the server and the load run on."""
    text = f"{len(server_cpus)} CPU{'s' if len(server_cpus) > 1 else ''}"
    return text + (" shared with the load" if set(server_cpus) & set(load_cpus) else "")


# ---- load ----

def pace_words(bench, server, options):
    return [bench.pace_path, "-p", str(server.port), "-c", str(CONN_COUNT), *map(str, options)]


def pace_sample(text, cpu_s):
    fields = dict(part.split("=") for part in text.split() if "=" in part)
    requests, misses = int(fields["requests"]), int(fields["misses"])
    if misses > 0 or requests == 0:
        raise RuntimeError(f"the load: {requests} requests, {misses} keys missing")
    return SimpleNamespace(
        requests=requests, rate=requests / float(fields["seconds"]),
        cpu_us=cpu_s * 1e6 / requests, p999_us=float(fields["p999_us"]),
        longest_us=float(fields["max_us"]))


@contextlib.contextmanager
def pacing(lab, server, cpus, *options):
    """The generator beside what the caller does; yields what holds the sample afterwards."""
    holder = SimpleNamespace(sample=None)
    words = pinned(cpus, pace_words(lab.bench, server, ("-s", *options)))
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the load could not begin")
        yield holder
        text, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the load ended with {process.returncode}: {text}")
        holder.sample = pace_sample(text, 0)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def out_of_the_way(cpus):
    """This program looks at files now and then: not on the server's CPUs, where there are others."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- snapshots ----

def snapshot_path(server):
    return os.path.join(server.directory, "dump.rdb")


def snapshot_number(server):
    """Another one for each file that has borne the name."""
    try:
        status = os.stat(snapshot_path(server))
        return status.st_ino, status.st_mtime_ns
    except FileNotFoundError:
        return None


def wait_until_saved(server):
    """Until redis-server has noticed, too, that its child has ended."""
    end = time.monotonic() + SNAPSHOT_TIMEOUT_S
    while time.monotonic() < end:
        fields = server.info()
        if fields["rdb_bgsave_in_progress"] == "0":
            if fields["rdb_last_bgsave_status"] != "ok":
                raise RuntimeError(f"{server.name}: the snapshot has failed")
            return
        time.sleep(0.02)
    raise RuntimeError(f"{server.name}: the snapshot does not end")


def take_snapshot(server, meanwhile=lambda: time.sleep(0.002)):
    """Seconds from BGSAVE until its file is there; `meanwhile` is called over and over until then,
    also while the server does not answer because it forks. It is asked nothing more."""
    before, start = snapshot_number(server), time.monotonic()
    connection, is_answered = server.client.socket, False
    connection.sendall(encode("BGSAVE"))
    while not is_answered or snapshot_number(server) in (before, None):
        meanwhile()
        if not is_answered and select.select([connection], [], [], 0)[0]:
            server.client.reply()  # an error is raised
            is_answered = True
        if time.monotonic() - start > SNAPSHOT_TIMEOUT_S:
            raise RuntimeError(f"{server.name}: the snapshot does not end")
    return time.monotonic() - start


def snapshot(server, meanwhile=lambda: time.sleep(0.002)):
    """The same, and the next one may begin."""
    seconds = take_snapshot(server, meanwhile)
    wait_until_saved(server)
    return seconds


# ---- figures: the log ----

def log_samples(lab, server_cpus, load_cpus, policy, pipeline):
    """SETs into fresh servers with a log, in turn."""
    extra = ("--appendonly", "yes", "--appendfsync", policy, *NO_REWRITE)
    key_count = lab.count(LOG_KEY_COUNT)

    def one(name):
        options = ("-o", "set", "-n", key_count, "-d", LOG_VALUE_SIZE, "-P", pipeline, "-t")
        with lab.fresh(name, server_cpus, extra) as server:
            lab.pace(server, load_cpus, *options, lab.seconds(PROBE_S / 2))
            return lab.pace(server, load_cpus, *options, lab.seconds(lab.bench.seconds))

    names = lab.names(server_cpus)
    samples = alternate({name: (lambda name=name: one(name)) for name in names},
                        lab.bench.pair_count)
    return names, samples


def always(lab):
    """SETs a second with appendfsync always."""
    for cpu_count in (1, 2):
        server_cpus, load_cpus = lab.bench.cpus_for(cpu_count)
        for pipeline, target in ALWAYS_TARGETS.items():
            (redis, tessera), samples = log_samples(lab, server_cpus, load_cpus, "always", pipeline)
            what = "no pipeline" if pipeline == 1 else f"pipeline {pipeline}"
            lab.add(f"SETs/s, appendfsync always, {CONN_COUNT} clients, {what}; "
                    f"{place_of(server_cpus, load_cpus)}",
                    int(median(samples[redis], "rate")), int(median(samples[tessera], "rate")),
                    verdict(ratios(samples, redis, tessera, "rate")[1], at_least=target))


def everysec(lab):
    """CPU for each SET with everysec."""
    server_cpus, load_cpus = lab.bench.cpus_for(1)
    (redis, tessera), samples = log_samples(lab, server_cpus, load_cpus, "everysec",
                                            EVERYSEC_PIPELINE)
    lab.add(f"CPU µs for each SET, everysec, pipeline {EVERYSEC_PIPELINE}; "
            f"{place_of(server_cpus, load_cpus)}",
            median(samples[redis], "cpu_us"), median(samples[tessera], "cpu_us"),
            verdict(ratios(samples, redis, tessera, "cpu_us")[1], at_most=EVERYSEC_TARGET))


# ---- figures: snapshots ----

def latency(lab):
    """p99.9 of GETs at half load during BGSAVE."""
    key_count = lab.count(SNAPSHOT_KEY_COUNT)
    for cpu_count in (1, 2):
        server_cpus, load_cpus = lab.bench.cpus_for(cpu_count)
        with lab.both(server_cpus) as servers:
            for server in servers:
                lab.fill(server, load_cpus, key_count, SNAPSHOT_VALUE_SIZE)
            rates = {s.name: latency_rate(lab, s, load_cpus, key_count) for s in servers}
            samples = alternate(
                {s.name: (lambda s=s: latency_pair(lab, s, load_cpus, key_count, rates[s.name]))
                 for s in servers}, lab.bench.pair_count)
        place = place_of(server_cpus, load_cpus)
        quiet, noisy, longest, ratio = (
            [statistics.median(getattr(pair, field) for pair in samples[s.name]) for s in servers]
            for field in ("quiet_us", "noisy_us", "longest_us", "ratio"))
        lab.add(f"p99.9 of GETs at half load, µs; {place}", *quiet,
                f"at {rates[servers[0].name]:,} and {rates[servers[1].name]:,} GETs/s")
        lab.add(f"the same during BGSAVE of {key_count:,} keys", *noisy, "")
        lab.add("longest GET during BGSAVE, µs", *longest, "")
        lab.add(f"p99.9 during BGSAVE over p99.9 without; {place}", ratio[0], ratio[1],
                "tessera's: " + verdict(ratio[1], at_most=LATENCY_TARGET))


def latency_rate(lab, server, load_cpus, key_count):
    """Half of the GETs a second that the server can answer."""
    sample = lab.pace(server, load_cpus, "-o", "get", "-n", key_count, "-t",
                      lab.seconds(PROBE_S))
    return int(sample.rate / 2)


def latency_pair(lab, server, load_cpus, key_count, rate):
    options = ("-o", "get", "-n", key_count, "-r", rate)
    quiet = lab.pace(server, load_cpus, *options, "-t", lab.seconds(lab.bench.seconds))
    with out_of_the_way(load_cpus):
        with pacing(lab, server, load_cpus, *options) as load:
            seconds = take_snapshot(server)
    wait_until_saved(server)
    lab.bench.say(f"{server.name}: p99.9 {quiet.p999_us:.0f} µs, {load.sample.p999_us:.0f} µs "
                  f"during {seconds:.2f} s of BGSAVE")
    return SimpleNamespace(quiet_us=quiet.p999_us, noisy_us=load.sample.p999_us,
                           longest_us=load.sample.longest_us,
                           ratio=load.sample.p999_us / quiet.p999_us)


def memory_bytes(server):
    """What the server's process and its children hold, what they share counted once."""
    pids, total = [server.process.pid], 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                pids += [int(child) for child in file.read().split()]
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += next(int(line.split()[1]) for line in file
                              if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            continue  # a child that has just ended
    return total


def extra(lab):
    """Extra memory during BGSAVE under random SETs."""
    key_count = lab.count(SNAPSHOT_KEY_COUNT)
    server_cpus, load_cpus = lab.bench.cpus_for(2)
    samples = {}
    for name in lab.names(server_cpus):
        samples[name] = []
        with lab.fresh(name, server_cpus) as server:
            empty = int(server.info()["used_memory"])
            lab.fill(server, load_cpus, key_count, SNAPSHOT_VALUE_SIZE)
            data_size = int(server.info()["used_memory"]) - empty
            for _ in range(lab.bench.pair_count):
                samples[name].append(extra_once(lab, server, load_cpus, key_count, data_size))
    redis, tessera = samples
    percents = [median(samples[name], "percent") for name in (redis, tessera)]
    lab.add(f"extra memory during BGSAVE of {key_count:,} keys under {EXTRA_RATE:,} random SETs "
            "a second, MiB", *(median(samples[name], "extra_mib") for name in (redis, tessera)),
            f"at {median(samples[redis], 'rate'):,.0f} and {median(samples[tessera], 'rate'):,.0f} "
            "SETs/s")
    lab.add("the same in % of the data set", *percents,
            "tessera's: " + verdict(percents[1], at_most=EXTRA_TARGET_PERCENT))


def extra_once(lab, server, load_cpus, key_count, data_size):
    peak = 0

    def look():
        nonlocal peak
        peak = max(peak, memory_bytes(server))
        time.sleep(0.02)

    with pacing(lab, server, load_cpus, "-o", "set", "-n", key_count, "-d", SNAPSHOT_VALUE_SIZE,
                "-r", EXTRA_RATE) as load:
        # What is freed under this load comes back to the system late: the highest of some seconds.
        warm_s = lab.seconds(EXTRA_WARM_S)
        time.sleep(warm_s / 2)
        end = time.monotonic() + warm_s / 2
        while time.monotonic() < end:
            look()
        before = peak
        seconds = snapshot(server, look)
        look()
    extra_size = peak - before
    lab.bench.say(f"{server.name}: {extra_size / MIB:.1f} MiB more during {seconds:.2f} s")
    return SimpleNamespace(extra_mib=extra_size / MIB, percent=100 * extra_size / data_size,
                           rate=load.sample.rate)


def save(lab):
    """BGSAVE time."""
    key_count = lab.count(SNAPSHOT_KEY_COUNT)
    server_cpus, load_cpus = lab.bench.cpus_for(2)
    with lab.both(server_cpus) as servers:
        for server in servers:
            lab.fill(server, load_cpus, key_count, SNAPSHOT_VALUE_SIZE)
            snapshot(server)
        samples = alternate(
            {s.name: (lambda s=s: SimpleNamespace(seconds=snapshot(s))) for s in servers},
            lab.bench.pair_count)
        sizes = [os.path.getsize(snapshot_path(server)) / MIB for server in servers]
    redis, tessera = (server.name for server in servers)
    lab.add(f"snapshot of {key_count:,} keys, MiB", *sizes, "")
    lab.add(f"BGSAVE, s; {shards_of(server_cpus)}", median(samples[redis], "seconds"),
            median(samples[tessera], "seconds"),
            verdict(ratios(samples, redis, tessera, "seconds")[1], at_most=SAVE_TARGET))


# ---- figures: loading ----

def leave(server):
    """Have it end by itself, so that everything is in its files."""
    try:
        server.client.command("SHUTDOWN", "NOSAVE")
    except (OSError, RuntimeError):
        pass  # it has closed the connection
    server.process.wait(timeout=START_TIMEOUT_S)


def load_times(lab, cpus, prepare, words):
    """Starts on what `prepare` has left in a folder, in turn: (names, samples)."""
    names = lab.names(cpus)
    with contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(lab.folder()) for name in names}
        counts = {}
        for name, folder in folders.items():
            with lab.start(name, cpus, folder, words) as server:
                prepare(server)
                counts[name] = server.client.command("DBSIZE")
                leave(server)

        def one(name):
            start = time.monotonic()
            with lab.start(name, cpus, folders[name], words) as server:
                seconds = time.monotonic() - start
                if server.client.command("DBSIZE") != counts[name]:
                    raise RuntimeError(f"{name} has not loaded all keys")
            return SimpleNamespace(seconds=seconds)

        samples = alternate({name: (lambda name=name: one(name)) for name in names},
                            lab.bench.pair_count)
    return names, samples


def add_load(lab, what, names, samples, target):
    redis, tessera = names
    lab.add(what, median(samples[redis], "seconds"), median(samples[tessera], "seconds"),
            verdict(ratios(samples, redis, tessera, "seconds")[1], at_most=target))


def load(lab):
    """Start-up load time of a snapshot."""
    key_count = lab.count(SNAPSHOT_KEY_COUNT)
    server_cpus, load_cpus = lab.bench.cpus_for(2)

    def prepare(server):
        lab.fill(server, load_cpus, key_count, SNAPSHOT_VALUE_SIZE)
        snapshot(server)

    names, samples = load_times(lab, server_cpus, prepare, ())
    add_load(lab, f"start to ready with a snapshot of {key_count:,} keys, s; "
             f"{shards_of(server_cpus)}", names, samples, LOAD_TARGET)


def log_load(lab):
    """Start-up load time of a log."""
    set_count = lab.count(LOADED_SET_COUNT)
    server_cpus, load_cpus = lab.bench.cpus_for(2)
    names, samples = load_times(
        lab, server_cpus, lambda server: lab.fill(server, load_cpus, set_count, LOG_VALUE_SIZE),
        ("--appendonly", "yes", "--appendfsync", "no", *NO_REWRITE))
    add_load(lab, f"start to ready with a log of {set_count:,} SETs, s; {shards_of(server_cpus)}",
             names, samples, LOG_LOAD_TARGET)


# ---- figures: large values, weight ----

GIANT_FILLS = (
    ("set", "SADD", lambda i: (f"member:{i:010}",)),
    ("hash", "HSET", lambda i: (f"field:{i:010}", f"value:{i:06}")),
    ("sorted set", "ZADD", lambda i: ((i * 7919) % 10_000_019, f"member:{i:010}")),
    ("list", "RPUSH", lambda i: (f"element:{i:010}",)),
)


def giant(lab):
    """Longest wait of a write to a large value during BGSAVE."""
    member_count = lab.count(MEMBER_COUNT)
    cpus, _ = lab.bench.cpus_for(2)
    run_count = min(3, lab.bench.pair_count)
    for kind, command, element in GIANT_FILLS:
        longest, alone = [], []
        for name in lab.names(cpus):
            with lab.fresh(name, cpus) as server:
                lab.bench.say(f"a {kind} of {member_count:,} in {name}")
                fill(server, command, "value", member_count, element)
                settle(server)
                runs = [giant_once(server, command, element, member_count)
                        for _ in range(run_count)]
                longest.append(statistics.median(run.longest_ms for run in runs))
                alone.append(statistics.median(run.alone_ms for run in runs))
        lab.add(f"longest write to a {kind} of {member_count:,} during BGSAVE, ms", *longest,
                "tessera's: " + verdict(longest[1], at_most=GIANT_TARGET_MS, digits=1)
                + f"; without BGSAVE {alone[0]:.1f} and {alone[1]:.1f}")


def giant_once(server, command, element, member_count):
    """Writes one after the other, new members each time, for as long as a BGSAVE takes, and then
    for as long without."""
    client, next_index, longest_s = server.open(), member_count, 0

    def write():
        nonlocal next_index, longest_s
        request = encode(command, "value", *element(next_index))
        next_index += 1
        start = time.monotonic()
        client.socket.sendall(request)
        client.reply()
        longest_s = max(longest_s, time.monotonic() - start)

    seconds = snapshot(server, write)
    result = SimpleNamespace(longest_ms=longest_s * 1000)
    longest_s, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        write()
    result.alone_ms = longest_s * 1000
    client.close()
    return result


def weight(lab):
    """Memory for each key, with and without snapshots."""
    key_count = lab.count(WEIGHED_KEY_COUNT)
    cpus, load_cpus = lab.bench.cpus_for(1)
    never, after = [], []
    for name in lab.names(cpus):
        with lab.fresh(name, cpus) as server:
            empty = int(server.info()["used_memory"])
            weigh = lambda: (int(server.info()["used_memory"]) - empty) / key_count
            lab.fill(server, load_cpus, key_count, WEIGHED_VALUE_SIZE)
            settle(server)
            never.append(weigh())
            with pacing(lab, server, load_cpus, "-o", "set", "-n", key_count, "-d",
                        WEIGHED_VALUE_SIZE):
                snapshot(server)
            settle(server)
            after.append(weigh())
    lab.add(f"bytes for each key of 16 with a value of {WEIGHED_VALUE_SIZE} (used_memory), "
            "never a snapshot", *never, "")
    lab.add("the same after a BGSAVE under random SETs", *after,
            "over the former, tessera's: " + verdict(after[1] / never[1], at_most=WEIGHT_TARGET,
                                                     digits=3))


# Names for --only.
FIGURES = {
    "always": always,
    "everysec": everysec,
    "latency": latency,
    "extra": extra,
    "save": save,
    "load": load,
    "log-load": log_load,
    "giant": giant,
    "weight": weight,
}


def persistence(bench):
    """What durability costs: the log, snapshots, loading (--only, --scale, --disk)."""
    lab = Lab(bench, find_disk(bench.disk, bench.root))
    failures = []
    with lab.folder() as folder:
        probe_us = sync_us(folder)
    system, device = mount_of(lab.disk)
    lab.table.method = (
        f"Files in temporary folders in {lab.disk} ({system} on {device}; 4 KiB behind a file and "
        f"fdatasync: {probe_us:.0f} µs). {bench.pair_count} pairs, medians; ratios are medians of "
        "the pairs' ratios. CPU is the server's, all threads."
        + ("" if bench.scale == 1 else f" **Counts and times by --scale {bench.scale:g}**: try-out, "
           "no result."))
    for name in bench.only or FIGURES:
        bench.say(f"persistence: {name}")
        try:
            FIGURES[name](lab)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            lab.add(name, None, None, "could not be measured")
            failures.append(f"{name}: {error}")
    yield lab.table
    if failures:
        raise RuntimeError("\n".join(failures))
