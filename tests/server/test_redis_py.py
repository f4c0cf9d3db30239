"""test_redis_py.py: a client library as it is, on top of the server."""

import sys
import threading

from harness import play, require
from server import SKIP

try:
    import redis
except ImportError:
    print("skipped: no python3-redis")
    sys.exit(SKIP)


def connect(server, **options):
    return redis.Redis(host="127.0.0.1", port=server.port, socket_timeout=20, **options)


def test_pipelines(server):
    client = connect(server)
    with client.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.set(f"k{number}", number)
        for number in range(5000):
            pipe.get(f"k{number}")
        pipe.mget([f"k{n}" for n in range(100)])
        replies = pipe.execute()
    require(replies[:5000] == [True] * 5000)
    require(replies[5000:10000] == [str(n).encode() for n in range(5000)])
    require(replies[10000] == [str(n).encode() for n in range(100)])


def test_decoded(server):
    client = connect(server, decode_responses=True)
    require(client.set("schlüssel", "grüße") and client.get("schlüssel") == "grüße")
    require(client.mset({"a": 1, "b": "x"}) and client.mget("a", "b", "c") == ["1", "x", None])
    require(client.set("a", 2, nx=True) is None and client.set("a", 2, xx=True, get=True) == "1")
    require(client.setex("e", 100, "v") and 99 <= client.ttl("e") <= 100)
    require(client.expire("e", 1000) and client.persist("e") and client.ttl("e") == -1)
    require(client.incrbyfloat("f", 1.5) == 1.5 and client.incr("n", 5) == 5)
    require(client.append("a", "xyz") == 4 and client.getrange("a", 1, -1) == "xyz")
    require(client.type("a") == "string" and client.object("encoding", "n") == "int")
    require(client.rename("a", "z") and client.exists("a", "z") == 1)
    require(client.copy("z", "zz") and client.getdel("zz") == "2xyz")
    require(client.memory_usage("z") > 0)


def test_scan_iter(server):
    client = connect(server)
    client.mset({f"key:{n}": n for n in range(3000)})
    require({int(key[4:]) for key in client.scan_iter("key:*", count=100)} == set(range(3000)))
    require(len(set(client.scan_iter("key:1?"))) == 10)
    require(list(client.scan_iter(_type="list")) == [])
    require(client.dbsize() == 3000 and len(client.keys("key:2*")) == 1111)


def test_client_and_info(server):
    client = connect(server, client_name="me")
    require(client.client_getname() == "me" and client.client_id() > 0)
    rows = client.client_list()
    require(any(row["name"] == "me" for row in rows), rows)
    require(all("addr" in row and "id" in row and "cmd" in row for row in rows), rows)
    info = client.info()
    for name in ("redis_version", "connected_clients", "used_memory", "uptime_in_seconds",
                 "total_commands_processed", "role", "tcp_port"):
        require(name in info, name, info)
    require(info["tcp_port"] == server.port)
    client.set("k", "v")
    require(client.info("keyspace")["db0"]["keys"] == 1)
    require(client.config_get("maxclients")["maxclients"].isdigit())
    require(client.config_set("tcp-keepalive", 64))
    require(client.command_count() > 50 and "get" in client.command())
    require(len(client.time()) == 2)
    require(client.client_kill_filter(_id=10**12) == 0)


def test_errors_are_raised(server):
    client = connect(server)
    client.set("a", "x")
    for call in (lambda: client.incr("a"), lambda: client.execute_command("NOPE"),
                 lambda: client.execute_command("GET"), lambda: client.rename("no", "where")):
        try:
            call()
            raise AssertionError("no error")
        except redis.ResponseError:
            pass
    with client.pipeline(transaction=False) as pipe:
        replies = pipe.set("b", 1).incr("a").get("b").execute(raise_on_error=False)
    require(replies[0] is True and isinstance(replies[1], redis.ResponseError)
            and replies[2] == b"1", replies)


def test_pool_of_threads(server):
    client = connect(server)
    problems = []

    def work(number):
        try:
            for turn in range(200):
                key = f"t{number}:{turn}"
                client.set(key, turn)
                client.incr("total")
                if client.get(key) != str(turn).encode():
                    problems.append(key)
        except Exception as error:
            problems.append(repr(error))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    require(not problems, problems[:3])
    require(int(client.get("total")) == 2000)


def test_databases(server):
    first, second = connect(server, db=0), connect(server, db=5)
    first.set("k", "0")
    second.set("k", "5")
    require(first.get("k") == b"0" and second.get("k") == b"5")
    require(first.move("k", 5) is False and first.move("k", 6) is True)
    second.flushdb()
    require(connect(server, db=6).get("k") == b"0")


if __name__ == "__main__":
    play(globals())
