"""oracle.py: the same commands to Tessera and to redis-server 7.0, and every byte compared.

    oracle.py [--seed N] [--count N | --long] [--shards 1,2,5] [--io-backend io_uring,epoll]
              [--family strings,bits,lists,keys,server,scenarios,streams] [--round N] [--peer PROGRAM]

A run is a matrix: back end x shards x family x protocol. Each cell plays rounds of some thousand
random commands on empty servers, in batches, and compares all data at the end of each round. A
round has a seed of its own, printed with a difference: `--seed S --family F --shards N --round R`
plays it alone. A difference is cut down to the few commands that make it, where that is cheap.

The end of a batch is found by an ECHO that answers with a word which nothing else answers with.
Batches whose bytes are the same are done at that; only others are cut into replies and compared one
by one, with the checks that some commands bring (compare.py).
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
import family_bits  # noqa: E402
import family_blocking  # noqa: E402
import family_dump  # noqa: E402
import family_events  # noqa: E402
import family_geo  # noqa: E402
import family_hashes  # noqa: E402
import family_keys  # noqa: E402
import family_lists  # noqa: E402
import family_pubsub  # noqa: E402
import family_server  # noqa: E402
import family_sets  # noqa: E402
import family_slowlog  # noqa: E402
import family_sort  # noqa: E402
import family_stream_type  # noqa: E402
import family_strings  # noqa: E402
import family_tracking  # noqa: E402
import family_zsets  # noqa: E402
import scenarios  # noqa: E402
import streams  # noqa: E402
from compare import (TIME_TOLERANCE_MS, Command, is_newer_encoding, scan_shape,  # noqa: E402
                     set_encoding_stored, unordered, unordered_pairs)
from resp import Client, encode, exchange, split  # noqa: E402
from server import BACKENDS, SKIP, Server, backend_works, redis_path, tessera_path  # noqa: E402
from vocabulary import Vocabulary, mutate  # noqa: E402

ROUND_COMMANDS = 4000
BATCH_COMMANDS = (250, 250, 1000, 30, 7, 1)  # how long a pipeline may be
BATCH_SMALL_ROUND = 500  # commands of a round without pipelining
COUNT_DEFAULT = 45_000
COUNT_LONG = 200_000
DIFFERENCES_MAX = 20
MUTATION_CHANCE = 0.06
MINIMIZE_S = 3.0
SHOW_BYTES = 300
DATABASE_COUNT = 16
DIGEST_PATIENCE_S = 2.0  # for keys that die on one server earlier than on the other
DIGEST_POLL_S = 0.05
# What chance would make of these kills, mutes, stops, or differs by nature.
NEVER_MUTATED = {b"SORT", b"SORT_RO", b"CLIENT", b"CLUSTER", b"COMMAND", b"CONFIG", b"DEBUG", b"INFO", b"LATENCY",
                 b"SLOWLOG", b"EVAL", b"EVAL_RO", b"FUNCTION", b"SCRIPT"}
# What differs on purpose or by nature, where it is allowed for, and why.
KNOWN = (
    ("SET IFEQ, DELIFEQ, MSETEX", "newer than redis-server 7.0: it is asked a script instead, and "
     "family_strings.FIXED has the replies that Valkey 9 documents"),
    ("CLIENT SETINFO, NO-TOUCH, KILL MAXAGE", "newer as well: left out"),
    ("CLUSTER KEYSLOT", "answers without cluster mode too: compared with the specification's CRC"),
    ("keys whose deadline has passed", "redis-server keeps and counts them until somebody asks: "
     "DBSIZE, RANDOMKEY and MEMORY USAGE come after a SCAN"),
    ("KEYS, CONFIG GET, COMMAND LIST", "in no order: compared as sets"),
    ("SCAN", "cursors and portions are the server's own: whole iterations are compared as sets"),
    ("RANDOMKEY, TIME, CLIENT ID", "chance: the type is compared, RANDOMKEY is a key that exists"),
    ("TTL, PTTL, EXPIRETIME, PEXPIRETIME of relative deadlines", "equal within some seconds"),
    ("OBJECT REFCOUNT and IDLETIME of small numbers", "redis-server shares them until COPY makes "
     "one of their own; what is shared is idle for all keys together"),
    ("MEMORY USAGE", "a number on both sides; each server needs what it needs"),
    ("HELLO", "same fields and types; version and id are our own"),
    ("CLIENT LIST and INFO", "no field may be missing; ours may have more"),
    ("INFO", "sections and fields, not values; scenarios.INFO_OWN lists what has no subject here"),
    ("HELP", "own words in the same form"),
    ("CONFIG GET *", "scenarios.CONFIG_OWN lists whose values are each server's own business"),
    ("OBJECT ENCODING of small sets", "listpack, as since redis-server 7.2; 7.0 says hashtable; what SDIFFSTORE "
     "stored may be an intset here and a hashtable there"),
    ("OBJECT ENCODING of small lists", "listpack, as since redis-server 7.2; 7.0 says quicklist"),
    ("HSCAN NOVALUES, deadlines of fields",
     "newer than redis-server 7.0: family_hashes.FIXED has the replies"),
    ("ZRANK, ZREVRANK WITHSCORE", "newer than redis-server 7.0: family_zsets.FIXED has the replies"),
    ("COMMANDLOG", "newer as well: redis-server is asked for its slow log, and family_slowlog.FIXED "
     "has the other replies"),
    ("DEBUG SDSLEN, HTSTATS, HTSTATS-KEY, STRUCTSIZE", "sizes of each server's own tables and blocks: the form is "
     "compared"),
    ("EVAL, FCALL, SCRIPT LOAD, FUNCTION LOAD", "there is no interpreter: only what is wrong without one is "
     "compared, and what there is when there is none"),
    ("SLOWLOG GET", "commands of a pipeline overlap on several cores: compared in any order"),
    ("keyspace events of SET with a past deadline", "expired comes at once here, with the next look "
     "there: left out; pipelines over several cores: each key's own order"),
    ("LATENCY", "times are chance; GRAPH and DOCTOR are drawn and worded by each server"),
    ("members of sets, fields of hashes", "in no order: compared as sets; SPOP, SRANDMEMBER, "
     "HRANDFIELD and ZRANDMEMBER choose by chance: kinds and sizes are compared"),
    ("QUIT while replies are off", "redis-server forgets to close; we close"),
    ("lines above 64 KiB that have their end", "taken or refused as reads happen to cut them"),
)
SERVER_SHARE = 8  # these commands are slower, and there is less to find: one for so many others
FAMILIES = {"strings": family_strings.FAMILY, "bits": family_bits.FAMILY,
            "lists": family_lists.FAMILY, "sets": family_sets.FAMILY, "hashes": family_hashes.FAMILY,
            "zsets": family_zsets.FAMILY, "stream_type": family_stream_type.FAMILY,
            "geo": family_geo.FAMILY, "sort": family_sort.FAMILY,
            "keys": family_keys.FAMILY, "server": family_server.FAMILY,
            "slowlog": family_slowlog.FAMILY}
# Not about keys.
FAMILIES_APART = ("server", "slowlog")

# How all of a value is read, by its type, what counts as the same then, and as the same encoding.
DATA = {
    b"list": ([b"LRANGE", b"0", b"-1"], None, None),
    b"set": ([b"SMEMBERS"], unordered, set_encoding_stored),
    b"hash": ([b"HGETALL"], unordered_pairs, None),
    b"zset": ([b"ZRANGE", b"0", b"-1", b"WITHSCORES"], None, None),
    b"stream": ([b"XINFO", b"STREAM"], None, None),
}


def shown(data):
    """Bytes for people, not longer than they care to read."""
    text = repr(bytes(data))[1:]
    return text if len(text) <= SHOW_BYTES else f"{text[:SHOW_BYTES]}... ({len(data)} bytes)"


def shown_command(args):
    return " ".join(shown(arg) if not arg.isalnum() else arg.decode() for arg in args)


class Pair:
    """A connection to each server, which are asked the same."""

    tokens = itertools.count()

    def __init__(self, tessera, redis):
        self.servers = (tessera, redis)
        self.clients = []
        self.protocol = 2
        self.connect()

    def connect(self):
        for client in self.clients:
            client.close()
        self.clients = [Client(server.port) for server in self.servers]

    def close(self):
        for client in self.clients:
            client.close()

    def batch(self, commands):
        """Both servers' replies to a batch as bytes, and whether each closed the connection."""
        token = b"token-%016d" % next(self.tokens)
        end = encode(b"ECHO", token)
        token = b"$%d\r\n%b\r\n" % (len(token), token)
        ours, theirs = [], []
        for command in commands:
            request = encode(*command.args)
            ours.append(request)
            theirs.append(encode(*command.peer) if command.peer else request)
        ours.append(end)
        theirs.append(end)
        return exchange(self.clients, [b"".join(ours), b"".join(theirs)], token=token)

    def clear(self, protocol):
        """Empty servers, fresh connections."""
        self.connect()
        self.protocol = protocol
        self.batch([Command([b"FLUSHALL"]), Command([b"HELLO", b"%d" % protocol])])


def same(command, ours, theirs):
    """None when the replies count as the same, else why not."""
    if ours == theirs or is_newer_encoding(command, ours, theirs):
        return None
    if command.check is None:
        return "other bytes"
    try:
        return command.check(ours, theirs)
    except Exception as error:  # a reply that cannot be read is a difference like any other
        return f"the check failed: {error!r}"


class Difference:
    """The first command of a batch that was answered otherwise."""

    def __init__(self, index, command, ours, theirs, why):
        self.index = index
        self.command = command
        self.ours = ours
        self.theirs = theirs
        self.why = why


def first_difference(commands, ours, theirs):
    """Compare what two servers said to a batch."""
    (our_bytes, we_closed), (their_bytes, they_closed) = ours, theirs
    if our_bytes == their_bytes and we_closed == they_closed:
        return None
    our_replies, their_replies = split(our_bytes), split(their_bytes)
    for index, command in enumerate(commands):
        a = our_replies[index] if index < len(our_replies) else b"(no reply)"
        b = their_replies[index] if index < len(their_replies) else b"(no reply)"
        why = same(command, a, b)
        if why:
            return Difference(index, command, a, b, why)
    if len(our_replies) != len(their_replies) or we_closed != they_closed:
        return Difference(len(commands) - 1, commands[-1], b"".join(our_replies[len(commands):]),
                          b"".join(their_replies[len(commands):]),
                          f"more replies, or closed: {we_closed} and {they_closed}")
    return None


class Run:
    """Counts and reports; one for the whole program."""

    def __init__(self, options):
        self.options = options
        self.passed = 0
        self.failed = 0
        self.where = ""
        self.kinds = {}  # what makes two differences the same kind -> the number of the first

    def fail(self, text, kind=None):
        """Count a difference, and print it unless another of its kind was printed."""
        self.failed += 1
        first = self.kinds.setdefault(kind or text, self.failed)
        if first != self.failed:
            print(f"--- difference {self.failed}: {self.where}: as {first}", flush=True)
            return
        print(f"--- difference {self.failed}: {self.where}\n{text}", flush=True)

    @property
    def enough(self):
        return len(self.kinds) >= DIFFERENCES_MAX

    def check(self, name, condition, detail=""):
        """One check of a scenario."""
        if condition:
            self.passed += 1
        else:
            self.fail(f"{name}: {detail}")

    # ---- random rounds ----

    def family(self, pair, name, protocol, count, others):
        """Rounds of random commands until `count` of them were compared."""
        functions = list(FAMILIES[name])
        if pair.servers[0].is_redis:
            functions = [row for row in functions if row[1] not in family_strings.NEWER]
        if others and name not in FAMILIES_APART:
            functions += family_keys.FAMILY_OTHER_TYPES
        weights = list(itertools.accumulate(weight for weight, _ in functions))
        functions = [function for _, function in functions]
        rounds = range((count + ROUND_COMMANDS - 1) // ROUND_COMMANDS)
        if self.options.round is not None:
            rounds = [self.options.round]
        for number in rounds:
            if self.enough:
                return
            seed = f"{self.options.seed}/{name}/{protocol}/{number}"
            vocabulary = Vocabulary(seed)
            size = min(ROUND_COMMANDS, count)
            base = self.where
            self.where = f"{base} --round {number} (protocol {protocol})"
            self.round(pair, vocabulary, functions, weights, protocol, size)
            self.where = base

    def draw(self, vocabulary, functions, weights):
        """The next command or commands."""
        drawn = vocabulary.random.choices(functions, cum_weights=weights)[0](vocabulary)
        if not isinstance(drawn, list) or not isinstance(drawn[0], bytes):
            several = drawn if isinstance(drawn, list) else [drawn]
            return [c if isinstance(c, Command) else Command(c) for c in several]
        if drawn[0] not in NEVER_MUTATED and vocabulary.chance(MUTATION_CHANCE):
            drawn = mutate(vocabulary, drawn)
        drawn[0] = vocabulary.case(drawn[0])
        return [Command(drawn)]

    def round(self, pair, vocabulary, functions, weights, protocol, size):
        pair.clear(protocol)
        history = []
        batch = vocabulary.choice(BATCH_COMMANDS)
        if batch < 30:
            size = min(size, BATCH_SMALL_ROUND)
        while len(history) < size:
            commands = []
            while len(commands) < batch:
                commands += self.draw(vocabulary, functions, weights)
            difference = first_difference(commands, *pair.batch(commands))
            if difference:
                self.passed += difference.index
                history += commands[:difference.index + 1]
                self.report(pair, difference, history, protocol)
                return
            self.passed += len(commands)
            history += commands
        self.compare_data(pair, history, protocol)

    def report(self, pair, difference, history, protocol):
        words = [word.upper() for word in difference.command.args[:2]]
        kind = (words[0], words[-1] if words[0] in NEVER_MUTATED else b"", difference.why,
                difference.ours[:20], difference.theirs[:20])
        few = None if kind in self.kinds else self.minimize(pair, history, protocol)
        lines = [f"  command {len(history)}: {shown_command(difference.command.args)}",
                 f"  why: {difference.why}",
                 f"  redis-server: {shown(difference.theirs)}",
                 f"  tessera:      {shown(difference.ours)}"]
        if few:
            lines.append("  reproduction:")
            lines += [f"    {shown_command(command.args)}" for command in few]
        self.fail("\n".join(lines), kind)

    def minimize(self, pair, history, protocol):
        """A short list of commands whose last one is answered otherwise, None if not found fast."""
        deadline = time.monotonic() + MINIMIZE_S

        def differs(commands):
            pair.clear(protocol)
            difference = first_difference(commands, *pair.batch(commands))
            return difference is not None and difference.index == len(commands) - 1

        try:
            size = 1
            while size < len(history) and not differs(history[-size:]):
                size *= 4
                if time.monotonic() > deadline:
                    return None
            few = history[-size:]
            step = max(1, len(few) // 2)
            while time.monotonic() < deadline:
                start = 0
                while start < len(few) - 1 and time.monotonic() < deadline:
                    without = few[:start] + few[min(start + step, len(few) - 1):]
                    if differs(without):
                        few = without
                    else:
                        start += step
                if step == 1:
                    break
                step //= 2
            return few if len(few) <= 12 and differs(few) else None
        except (OSError, TimeoutError):
            pair.connect()
            return None

    # ---- all data ----

    def compare_data(self, pair, history, protocol):
        """Every key of every database: value, deadline and encoding."""
        pair.connect()
        for database in range(DATABASE_COUNT):
            keys = []
            for index, reply in enumerate(pair.batch([Command([b"SELECT", b"%d" % database]),
                                                      Command([b"KEYS", b"*"])])):
                words = split(split(reply[0])[1].split(b"\r\n", 1)[1])
                keys.append({word.split(b"\r\n", 1)[1][:-2] for word in words})
            ours, theirs = keys
            if ours != theirs:
                self.fail(f"  keys of database {database} after the round: only tessera has "
                          f"{shown_command(ours - theirs)}; only redis-server has "
                          f"{shown_command(theirs - ours)}")
                return
            if not ours:
                continue
            keys = sorted(ours)
            types = split(pair.batch([Command([b"TYPE", key]) for key in keys])[0][0])
            commands = []
            for key, key_type in zip(keys, types):
                read, check, check_encoding = DATA.get(key_type[1:-2], ([b"GET"], None, None))
                commands += [Command([b"TYPE", key]),
                             Command([read[0], key] + read[1:], check),
                             Command([b"OBJECT", b"ENCODING", key], check_encoding),
                             Command([b"PEXPIRETIME", key], near_deadline)]
            # redis-server counts keys whose deadline has passed until SCAN comes across them.
            commands += [Command([b"SCAN", b"0", b"COUNT", b"100000"], scan_shape),
                         Command([b"DBSIZE"])]
            difference = first_difference(commands, *pair.batch(commands))
            if difference:
                self.fail(f"  data of database {database} after the round: "
                          f"{shown_command(difference.command.args)}: {difference.why}\n"
                          f"  redis-server: {shown(difference.theirs)}\n"
                          f"  tessera:      {shown(difference.ours)}")
                return
            self.passed += len(commands)
        self.compare_digests(pair)

    def compare_digests(self, pair):
        """DEBUG DIGEST of both, once redis-server has looked for keys whose deadline has passed. A
        key may die on one of them a little earlier: then they are asked again."""
        commands = []
        for database in range(DATABASE_COUNT):
            commands += [Command([b"SELECT", b"%d" % database]),
                         Command([b"SCAN", b"0", b"COUNT", b"100000"], scan_shape)]
        commands.append(Command([b"DEBUG", b"DIGEST"]))
        deadline = time.monotonic() + DIGEST_PATIENCE_S
        while True:
            difference = first_difference(commands, *pair.batch(commands))
            if difference is None:
                self.passed += 1
                return
            if time.monotonic() > deadline:
                break
            time.sleep(DIGEST_POLL_S)
        values = self.different_values(pair)
        self.fail(f"  {shown_command(difference.command.args)} after the round\n"
                  f"  redis-server: {shown(difference.theirs)}\n"
                  f"  tessera:      {shown(difference.ours)}\n"
                  f"  values: {values or 'the same'}", "digest")

    def different_values(self, pair):
        """Where the digests of values differ: databases and keys, a few of them."""
        found = []
        for database in range(DATABASE_COUNT):
            replies = pair.batch([Command([b"SELECT", b"%d" % database]), Command([b"KEYS", b"*"])])
            words = [word.split(b"\r\n", 1)[1][:-2] for reply in replies
                     for word in split(split(reply[0])[1].split(b"\r\n", 1)[1])]
            commands = [Command([b"DEBUG", b"DIGEST-VALUE", key]) for key in sorted(set(words))]
            replies = [split(reply[0]) for reply in pair.batch(commands)]
            found += [f"{database}: {shown(command.args[2])}"
                      for command, ours, theirs in zip(commands, *replies) if ours != theirs]
        return ", ".join(found[:10])


def near_deadline(ours, theirs):
    if ours[:1] != b":" or theirs[:1] != b":":
        return "not two integers"
    ours, theirs = int(ours[1:]), int(theirs[1:])
    if min(ours, theirs) < 0 or abs(ours - theirs) > TIME_TOLERANCE_MS:
        return "another deadline"
    return None


def command_info(run, server, redis):
    """What COMMAND tells, compared by a program of its own."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "command_info.py")
    result = subprocess.run([sys.executable, program, str(redis.port), str(server.port)],
                            capture_output=True, text=True, timeout=120)
    counts = re.search(r"^(\d+) passed, (\d+) failed", result.stdout, re.MULTILINE)
    if counts:
        run.passed += int(counts.group(1))
    if result.returncode != 0 or not counts:
        run.fail(f"  command_info.py:\n{result.stdout[-4000:]}{result.stderr[-2000:]}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=COUNT_DEFAULT,
                        help="commands of each family, protocol, shard count and back end")
    parser.add_argument("--long", action="store_const", const=COUNT_LONG, dest="count",
                        help=f"--count {COUNT_LONG}")
    parser.add_argument("--shards", default="1,2,5")
    parser.add_argument("--io-backend", default=",".join(BACKENDS))
    parser.add_argument("--family", default="strings,bits,lists,sets,hashes,zsets,stream_type,geo,keys,server,slowlog,"
                        "sort,blocking,multi,dump,events,pubsub,tracking,scenarios,streams")
    parser.add_argument("--round", type=int, help="play this round alone")
    parser.add_argument("--peer", help="test this program instead of tessera-server")
    parser.add_argument("--known", action="store_true", help="list what may differ, and why")
    return parser.parse_args()


def cell(run, options, server, redis):
    """Everything for one server."""
    families = options.family.split(",")
    pair = Pair(server, redis)
    others = all(not Client(s.port).ask(b"COMMAND", b"INFO", b"RPUSH", b"SADD", b"HSET", b"ZADD")
                 .count(None) for s in (server, redis))
    base = run.where
    for name in families:
        began, passed = time.monotonic(), run.passed
        run.where = f"{base} --family {name}"
        if name == "scenarios":
            scenarios.play(run, server, redis)
            if not server.is_redis:
                command_info(run, server, redis)
        elif name == "streams":
            streams.play(run, server, redis, options.seed, options.count)
        elif name == "dump":
            family_dump.play(run, server, redis, options.seed, options.count)
        elif name in ("blocking", "multi"):
            family_blocking.play(run, server, redis, options.seed, options.count // 4,
                                 name == "multi")
        elif name == "pubsub":
            family_pubsub.play(run, server, redis, options.seed, options.count)
        elif name == "tracking":
            family_tracking.play(run, server, redis, options.seed, options.count)
        elif name == "events":
            family_events.play(run, server, redis, options.seed,
                               options.count // SERVER_SHARE // 2)
        else:
            for protocol in (2, 3):
                count = options.count // SERVER_SHARE if name in FAMILIES_APART else options.count
                run.family(pair, name, protocol, count, others)
            if name == "server":
                pair.clear(2)
                pair.batch([Command([b"CONFIG", b"SET"] + family_server.CONFIG_RESTORED)])
            if name == "slowlog":
                pair.clear(2)
                pair.batch([Command([b"CONFIG", b"SET"] + family_slowlog.RESTORED)])
        took = time.monotonic() - began
        print(f"{base} {name}: {run.passed - passed} compared in {took:.1f} s", flush=True)
    pair.close()


def main():
    options = arguments()
    if options.known:
        print("\n".join(f"{what}: {why}" for what, why in KNOWN))
        return 0
    path = options.peer or tessera_path()
    redis = redis_path()
    if redis is None or path is None:
        print("skipped: " + ("no redis-server" if redis is None else "no tessera-server"))
        return SKIP
    run = Run(options)
    is_redis = "redis" in os.path.basename(path)
    for backend in options.io_backend.split(","):
        if not is_redis and not backend_works(path, backend):
            print(f"--io-backend {backend} does not work on this machine: left out")
            continue
        for shards in map(int, options.shards.split(",")):
            run.where = f"--seed {options.seed} --io-backend {backend} --shards {shards}"
            with Server(path, shards=shards, backend=backend) as server, Server(redis) as peer:
                try:
                    cell(run, options, server, peer)
                except Exception as error:
                    state = "runs" if server.alive() else f"ended with {server.process.returncode}"
                    run.fail(f"  {error!r}; the server {state}; end of its log:\n"
                             + server.log()[-2000:])
            if run.enough:
                break
        if run.enough:
            break
    print(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
