"""test_check.py: tessera-check says what is wrong with files, and what it has fixed every server
loads.

Folders are made by servers, here and redis-server, then cut and damaged here. What recovery of a
server makes of a folder, and what redis-server makes of the fixed one, must be the same.
"""

import hashlib
import os
import random
import re
import shutil
import subprocess

from durability_files import dump_path, fill, folder, kill, log_folder, options
from harness import Skip, play, require
from server import Server, redis_path, tessera_path

# Files that are cut here stand for a power loss: in the same run of the machine nothing that was
# written would be missing.
EARLIER_RUN = ("env", "TESSERA_BOOT_ID=before the power loss")
os.environ["TESSERA_BOOT_ID"] = "after it"

GOOD, DAMAGED, FAILED = 0, 1, 2
TRIPLES = 40
CUTS = 25
FLIPS = 150
SEED = random.SystemRandom().randrange(1 << 32)
CRASHES = ("Sanitizer", "runtime error", "assertion", "ASSERT", "broken assumption")


def check(*words, code=None):
    """Run the program; what it said."""
    program = os.path.join(os.path.dirname(tessera_path()), "tessera-check")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True,
                          errors="replace", timeout=120)
    said = done.stdout + done.stderr
    require(done.returncode in (GOOD, DAMAGED, FAILED), "ended with", done.returncode, said)
    require(not any(word in said for word in CRASHES), said)
    if code is not None:
        require(done.returncode == code, f"{words}: {done.returncode} instead of {code}:\n{said}")
    return said


def redis(path, **more):
    if redis_path() is None:
        raise Skip("no redis-server")
    return Server(redis_path(), args=options(path, log="yes", **more))


def digest_of(server):
    with server:
        return server.call("DEBUG", "DIGEST")


def segments(path):
    names = sorted(name for name in os.listdir(log_folder(path)) if name.endswith(".incr.aof"))
    return [os.path.join(log_folder(path), name) for name in names]


def content(path):
    with open(path, "rb") as file:
        return file.read()


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)


def fingerprint(path):
    """All files below with their bytes."""
    found = {}
    for where, _, names in os.walk(path):
        for name in names:
            data = content(os.path.join(where, name))
            found[os.path.join(where, name)] = hashlib.sha1(data).hexdigest()
    return found


def write(server, rounds=TRIPLES):
    """Every type, and transactions over all cores: t1, t2 and t3 always have one value, which `seen`
    follows."""
    with server.client() as client:
        for i in range(rounds):
            client.call("MSET", "t1", i, "t2", i, "t3", i)
            client.call("SET", "seen", i)
            client.call("RPUSH", f"list{i % 5}", i)
            client.call("ZADD", "zset", i, f"m{i % 9}")
            client.call("SADD", "set", i)
            client.call("HSET", "hash", f"f{i}", "x" * (i % 70))
            client.call("XADD", "stream", f"{i + 1}-0", "a", i)
            client.call("SET", f"short{i % 3}", i, "PXAT", 4000000000000)


def triples_are_whole(server):
    values = {int(value or -1) for value in server.call("MGET", "t1", "t2", "t3")}
    seen = int(server.call("GET", "seen") or -1)
    return len(values) == 1 and seen <= max(values)


def killed_folder(start, path, policy="no", **more):
    """A folder as kill -9 leaves it; under `no` nothing in it is known to be on disk."""
    server = start(args=options(path, log="yes", policy=policy, **more), prefix=EARLIER_RUN)
    write(server)
    kill(server)


def test_good_folders(start):
    with folder() as path:
        server = start(args=options(path, log="yes"))
        write(server)
        fill(server)
        server.call("SAVE")
        digest = server.call("DEBUG", "DIGEST")
        said = check(dump_path(path), code=GOOD)
        require("316 keys: 307 string, 5 list, 1 set, 1 zset, 1 hash, 1 stream; 3 with a deadline"
                in said, said)
        require("index:" in said and "checksum right" in said, said)
        kill(server)
        before = fingerprint(path)
        said = check(path, code=GOOD)
        require(said.count("log of shard") == 2 and "dump.rdb" in said, said)
        check(log_folder(path), code=GOOD)
        check(os.path.join(log_folder(path), "appendonly.aof.manifest"), code=GOOD)
        require(fingerprint(path) == before, "a look changed something")
        # Nothing is torn; but only what is closed may be appended to.
        require("closed" in check(path, "--fix", code=GOOD))
        require(not [name for name in fingerprint(path) if ".cut" in name], os.listdir(path))
        with redis(path) as other:
            require(other.call("DEBUG", "DIGEST") == digest, "redis-server has something else")
            other.call("SET", "added", "there")
            other.call("INCR", "t1")
            digest = other.call("DEBUG", "DIGEST")
        require("appended by redis-server" in check(path, code=GOOD))
        require(digest_of(start(args=options(path, log="yes"))) == digest, "and back")
        check(path, code=GOOD)


def test_torn_segments_are_cut_at_one_point(start):
    rng = random.Random(SEED)
    with folder() as path, folder() as copy:
        killed_folder(start, path)
        whole = {name: content(name) for name in segments(path)}
        require(len(whole) >= 2, whole.keys())
        for turn in range(CUTS):
            victims = rng.sample(sorted(whole), rng.randint(1, len(whole)))
            for name, data in whole.items():
                put(name, data[:rng.randrange(len(data))] if name in victims else data)
            torn = {name: content(name) for name in whole}
            said = check(path)
            shutil.rmtree(copy)
            shutil.copytree(path, copy)
            check(path, "--fix", code=GOOD)
            before = fingerprint(path)
            check(path, code=GOOD)
            check(path, "--fix", code=GOOD)
            require(fingerprint(path) == before, "the second time changed something more")
            for name, data in torn.items():
                kept = os.path.commonprefix((content(name), data))
                aside = content(name + ".cut") if os.path.exists(name + ".cut") else b""
                require(data.endswith(aside) and len(kept) + len(aside) >= len(data), name, said)
            if turn % 5 == 0:
                compare_recoveries(start, path, copy)
            for name in os.listdir(log_folder(path)):
                if ".cut" in name:
                    os.unlink(os.path.join(log_folder(path), name))


def compare_recoveries(start, fixed, torn):
    with start(args=options(torn, log="yes", policy="no")) as server:
        require(triples_are_whole(server), f"seed {SEED}")
        digest = server.call("DEBUG", "DIGEST")
    # Not to be changed: the next cut begins with these files.
    with folder() as other:
        shutil.rmtree(other)
        shutil.copytree(fixed, other)
        with redis(other) as server:
            require(triples_are_whole(server), f"seed {SEED}")
            require(server.call("DEBUG", "DIGEST") == digest, f"not as recovery, seed {SEED}")


def test_transactions_that_are_not_everywhere(start):
    with folder() as path:
        killed_folder(start, path)
        victim = segments(path)[0]
        data = content(victim)
        # Ends with a right check line: nothing of it is torn, it only lacks what came behind.
        at = data.rindex(b"#tessera check", 0, len(data) * 2 // 3)
        put(victim, data[:data.index(b"\n", at) + 1])
        said = check(path, code=DAMAGED)
        require("a transaction in it is not in all of its files" in said, said)
        check(path, "--fix", code=GOOD)
        with redis(path) as server:
            require(triples_are_whole(server))


def test_damage_is_not_fixed(start):
    rng = random.Random(SEED)
    with folder() as path:
        killed_folder(start, path, policy="always")
        victim = rng.choice(segments(path))
        whole = content(victim)
        for _ in range(10):
            data = bytearray(whole)
            at = rng.randrange(len(data) // 2)
            data[at] ^= 1 << rng.randrange(8)
            put(victim, bytes(data))
            before = fingerprint(path)
            said = check(path, code=DAMAGED)
            require("DAMAGED at offset" in said and os.path.basename(victim) in said, said)
            said = check(path, "--fix", code=DAMAGED)
            require("nothing is changed" in said and fingerprint(path) == before, said)
        check(path, "--give-up", code=GOOD)
        check(path, code=GOOD)
        require(content(victim + ".cut") == bytes(data)[-len(content(victim + ".cut")):])
        with start(args=options(path, log="yes")) as server:
            require(triples_are_whole(server), f"seed {SEED}")
            digest = server.call("DEBUG", "DIGEST")
        with redis(path) as server:
            require(server.call("DEBUG", "DIGEST") == digest)


def test_missing_files_and_bad_manifests(start):
    with folder() as path:
        killed_folder(start, path)
        manifest = os.path.join(log_folder(path), "appendonly.aof.manifest")
        text = content(manifest)
        put(manifest, text + b"file x\n")
        require("line" in check(path, code=DAMAGED))
        put(manifest, text)
        os.unlink(segments(path)[0])
        require("no such file" in check(path, code=DAMAGED))
        require("nothing is changed" in check(path, "--fix", code=DAMAGED))


def test_words_and_places(start):
    with folder() as path:
        check(code=FAILED)
        check(path, path, code=FAILED)
        check("--nonsense", code=FAILED)
        check(path, code=FAILED)
        check(os.path.join(path, "nothing"), code=FAILED)
        require("--fix" in check("--help", code=GOOD))
        check("--version", code=GOOD)
        for data in (b"hello\n", b"# hello\n", b"\x00", b"\x7fELF"):
            text, log = os.path.join(path, "text"), os.path.join(path, "text.aof")
            put(text, data)
            put(log, data)
            require("neither" in check(text, code=FAILED))
            check(text, "--give-up", code=FAILED)
            require(content(text) == data, "something that is no log was cut")
            require(("DAMAGED" in check(log)) == (data[:1] != b"#"), "a comment alone is fine")
        put(text, b"")
        check(text, code=GOOD)


def test_what_is_told_of_a_cut(start):
    """In numbers that fit: what is kept and what is cut off make up the file."""
    with folder() as path:
        killed_folder(start, path)
        name = segments(path)[0]
        whole = content(name)
        put(name, whole[:-50])
        said = check(path)
        kept, size = re.search(r"keeps (\d+) of (\d+) bytes", said).groups()
        require(int(size) == len(whole) - 50, said)
        said = check(path, "--fix", code=GOOD)
        require(f"{int(size) - int(kept)} bytes are cut off" in said, said)
        aside = content(name + ".cut")
        require(whole[:-50].endswith(aside) and len(aside) >= int(size) - int(kept), len(aside))


def redis_folder(path, **more):
    with redis(path, **more) as server:
        write(server)
        digest = server.call("DEBUG", "DIGEST")
    return digest


def test_folders_of_redis(start):
    with folder() as path:
        digest = redis_folder(path)
        require("as redis-server's" in check(path, code=GOOD))
        last = segments(path)[-1]
        whole = content(last)
        put(last, whole[:-7])
        before = fingerprint(path)
        require("ends too early" in check(path, code=DAMAGED))
        require(fingerprint(path) == before)
        require("fixed, and good now" in check(path, "--fix", code=GOOD))
        require(content(last) + content(last + ".cut") == whole[:-7])
        require(digest_of(redis(path)) == digest_of(start(args=options(path, log="yes"))))
    with folder() as path:
        require(redis_folder(path) == digest)
        last = segments(path)[-1]
        at = whole.index(b"*3\r\n", len(whole) // 2)
        put(last, whole[:at] + b"@" + whole[at + 1:])
        before = fingerprint(path)
        check(path, code=DAMAGED)
        require("nothing is changed" in check(path, "--fix", code=DAMAGED))
        require(fingerprint(path) == before)
        check(path, "--give-up", code=GOOD)
        require(content(last) == whole[:at])
        require(content(last + ".cut") == b"@" + whole[at + 1:])
        with redis(path) as server:
            require(server.call("DBSIZE") > 0)


def test_single_files(start):
    with folder() as path:
        redis_folder(path)
        base = content(os.path.join(log_folder(path), "appendonly.aof.1.base.rdb"))
        log = content(segments(path)[-1])
        single = os.path.join(path, "appendonly.aof")
        for data in (log, base + log):
            put(single, data)
            check(single, code=GOOD)
            put(single, data[:-9])
            check(path, code=DAMAGED)
            check(single, code=DAMAGED)
            check(single, "--fix", code=GOOD)
            fixed = content(single)
            require(data.startswith(fixed) and len(data) - 150 < len(fixed) < len(data) - 9)
            put(single, data + b"*1\r\n$7\r\nUNHEARD\r\n")
            require("not known" in check(single, code=DAMAGED))
            require("nothing is changed" in check(single, "--fix", code=DAMAGED))
    with folder() as path:
        killed_folder(start, path)
        require("one file of a folder" in check(segments(path)[0], code=GOOD))


def test_snapshots_flipped_and_cut(start):
    rng = random.Random(SEED)
    with folder() as path:
        with start(args=options(path)) as server:
            write(server)
            server.call("SAVE")
        data = content(dump_path(path))
        check(dump_path(path), code=GOOD)
        for _ in range(FLIPS):
            at = rng.randrange(len(data) * 8)
            changed = bytearray(data)
            changed[at // 8] ^= 1 << at % 8
            put(dump_path(path), bytes(changed))
            before = fingerprint(path)
            check(dump_path(path), "--fix", code=DAMAGED)
            require(fingerprint(path) == before)
        for _ in range(FLIPS // 3):
            put(dump_path(path), data[:rng.randrange(len(data))])
            check(dump_path(path), code=DAMAGED)
        put(dump_path(path), data + b"more")
        require("4 bytes follow" in check(dump_path(path), code=GOOD))


def test_snapshots_of_redis(start):
    with folder() as path:
        with redis(path) as server:
            write(server)
            server.call("SAVE")
        said = check(dump_path(path), code=GOOD)
        require("version 7.0.15" in said and "index" not in said, said)
        head = b"REDIS0010\xfe\x00"
        end = b"\xff" + bytes(8)
        put(dump_path(path), head + b"\x00\x01a\x01x" + end)
        require("1 keys" in check(dump_path(path), code=GOOD))
        put(dump_path(path), head + b"\x00\x01a\x01x\x00\x01a\x01y\x00\x01b\x01y" + end)
        require("'a' of database 0 is there twice" in check(dump_path(path), code=DAMAGED))
        put(dump_path(path), head + b"\x00\x01a\x01x" + b"\xfe\x01\x00\x01a\x01x" + end)
        check(dump_path(path), code=GOOD)
        # A damaged value, and good ones behind it.
        put(dump_path(path), head + b"\x0b\x01n\x03abc" + b"\x00\x01a\x01x" + end)
        said = check(dump_path(path), code=DAMAGED)
        require("the key 'n'" in said and "1 string" in said, said)


if __name__ == "__main__":
    print(f"seed {SEED}")
    play(globals(), shards=(2,))
