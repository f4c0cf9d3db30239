"""test_fields.py: fields of hashes that die on time, on a real clock: unseen from their deadline on,
gone some milliseconds later without anybody looking, also where they were renamed or copied across
cores. What commands reply is in tests/unit and tests/oracle.
"""

import time

from harness import play, require
from server import wait_until as server_wait_until

FIELDS = 20000
TIMEOUT_S = 10


def wait_until(condition):
    server_wait_until(condition, TIMEOUT_S)


def millis():
    return int(time.time() * 1000)


def test_fields_go_without_being_looked_at(server):
    server.call("HSET", "h", *(word for i in range(100) for word in (f"f{i}", i)))
    began_ms = millis()
    require(server.call("HPEXPIRE", "h", 200, "FIELDS", 3, "f1", "f2", "nope") == [1, 1, -2])
    length = server.call("HLEN", "h")
    require(length == 100 or millis() >= began_ms + 200, length)
    wait_until(lambda: server.call("HLEN", "h") == 98)
    require(server.call("HMGET", "h", "f1", "f3") == [None, b"3"])
    require(server.call("TTL", "h") == -1)


def test_the_last_field_takes_the_key_along(server):
    server.call("HSETEX", "h", "PX", 40, "FIELDS", 2, "a", 1, "b", 2)
    server.call("SETEX", "other", 100, "x")
    wait_until(lambda: server.call("DBSIZE") == 1)
    require(server.call("EXISTS", "h") == 0)


def test_many_fields_of_one_hash_at_once(server):
    for lead_ms in (1500, 6000, 24000):  # how long this machine takes to set them
        deadline_ms = millis() + lead_ms
        for start in range(0, FIELDS, 1000):
            words = [word for i in range(start, start + 1000) for word in (f"f{i}", "v")]
            server.call("HSETEX", "big", "PXAT", deadline_ms, "FIELDS", 1000, *words)
        server.call("HSET", "big", "stays", 1)
        length = server.call("HLEN", "big")
        if millis() < deadline_ms:
            require(length == FIELDS + 1, length)
            break
    server_wait_until(lambda: millis() > deadline_ms, 30)
    require(server.call("HGETALL", "big") == [b"stays", b"1"])
    wait_until(lambda: server.call("HLEN", "big") == 1)


def test_a_paused_expiry_hides_only(server):
    server.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    server.call("HSET", "h", "a", 1, "b", 2)
    server.call("HPEXPIRE", "h", 10, "FIELDS", 1, "a")
    wait_until(lambda: server.call("HGET", "h", "a") is None)
    require(server.call("HLEN", "h") == 2)
    require(server.call("HKEYS", "h") == [b"b"])
    server.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    wait_until(lambda: server.call("HLEN", "h") == 1)


def test_deadlines_follow_their_hash(server):
    for i in range(8):
        at = millis() + 100000
        server.call("DEL", "from", f"to{i}", f"copy{i}")
        server.call("HSETEX", "from", "PXAT", at, "FIELDS", 2, "a", 1, "b", 2)
        server.call("HPEXPIRE", "from", 80, "FIELDS", 1, "b")
        require(server.call("COPY", "from", f"copy{i}") == 1)
        server.call("RENAME", "from", f"to{i}")
        for key in (f"to{i}", f"copy{i}"):
            require(server.call("HPEXPIRETIME", key, "FIELDS", 1, "a") == [at])
    wait_until(lambda: all(server.call("HLEN", f"{name}{i}") == 1
                           for name in ("to", "copy") for i in range(8)))


if __name__ == "__main__":
    play(globals())
