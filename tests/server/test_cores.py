"""test_cores.py: what must be one server although its cores share nothing: clients and settings
seen from every core, pauses, expiry, flushes, even spreading.
"""

import random
import select
import threading
import time

from harness import play, require
from resp import Error
from server import wait_until

# Enough connections that every core has some.
CONNECTIONS = 8


def connect(server, count=CONNECTIONS):
    return [server.client() for _ in range(count)]


def close(clients):
    for client in clients:
        client.close()


def cores(server):
    """The lines of `INFO cores` as dicts."""
    rows = []
    for name, text in server.info("cores").items():
        if name.startswith("core"):
            rows.append(dict(part.split("=", 1) for part in text.split(",") if "=" in part))
    return rows


def test_connections_spread_evenly(server):
    shards = len(cores(server))
    require(shards >= 1, server.call("INFO", "cores"))
    for count in (shards, 2 * shards, 50, 1000):
        clients = connect(server, count)
        for client in clients:
            client.call("PING")

        def even():
            held = [int(row["connections"]) for row in cores(server)]
            return sum(held) >= count and max(held) - min(held) <= max(2, count // 20)
        try:
            wait_until(even, 5, f"an even spread of {count} connections")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {server.call('INFO', 'cores')!r}") from error
        close(clients)
        wait_until(lambda: int(server.info("clients")["connected_clients"]) == 1, 10, "the closes")


def test_client_list_shows_all(server):
    clients = connect(server)
    ids = [client.call("CLIENT", "ID") for client in clients]
    require(len(set(ids)) == len(ids), "ids are given twice")
    for number, client in enumerate(clients):
        client.call("CLIENT", "SETNAME", f"name{number}")
    for client in clients:
        text = bytes(client.call("CLIENT", "LIST")).decode()
        for number, client_id in enumerate(ids):
            require(f"id={client_id} " in text and f"name=name{number} " in text, text)
        some = bytes(client.call("CLIENT", "LIST", "ID", ids[0], ids[-1], 10**9)).decode()
        require(len(some.splitlines()) == 2, some)
    close(clients)


def test_client_kill(server):
    clients = connect(server)
    first, last = clients[0], clients[-1]
    ids = [client.call("CLIENT", "ID") for client in clients]
    for number in range(1, CONNECTIONS - 3):
        require(first.call("CLIENT", "KILL", "ID", ids[number]) == 1, number)
        require(clients[number].closed_within(5), "not closed", number)
        require(first.call("CLIENT", "KILL", "ID", ids[number]) == 0, "killed twice")
    host, port = last.socket.getsockname()
    require(clients[-2].call("CLIENT", "KILL", f"{host}:{port}") == b"OK")
    require(last.closed_within(5), "not closed by address")
    require(isinstance(first.ask("CLIENT", "KILL", f"{host}:{port}"), Error))
    host, port = clients[-2].socket.getsockname()
    require(first.call("CLIENT", "KILL", "ADDR", f"{host}:{port}", "TYPE", "normal") == 1)
    require(clients[-2].closed_within(5), "not closed by filters")
    require(first.call("CLIENT", "KILL", "TYPE", "normal") >= 1)
    require(first.call("PING") == b"PONG", "SKIPME is yes unless said otherwise")
    require(clients[-3].closed_within(5), "not closed by type")
    first.send("CLIENT", "KILL", "ID", ids[0], "SKIPME", "no")
    require(first.reply() == 1, "the killer gets its reply")
    require(first.closed_within(5), "itself is not closed")
    close(clients)


def unanswered(clients, seconds, pause_end=float("inf")):
    """None of them gets a byte for so long. An answer that this program sees behind the end of the
    pause may have come in time."""
    end = time.monotonic() + seconds
    for client in clients:
        client.socket.settimeout(max(0.001, end - time.monotonic()))
        try:
            client.fill()
            require(time.monotonic() >= pause_end, "answered during the pause")
        except TimeoutError:
            pass
        client.socket.settimeout(30)


def test_pause_all(server):
    clients = connect(server)
    began = time.monotonic()
    clients[0].call("CLIENT", "PAUSE", "600", "ALL")
    for client in clients[1:]:
        client.send("GET", "k")
    unanswered(clients[1:], 0.3, began + 0.6)
    for client in clients[1:]:
        require(client.reply() is None)
    took = time.monotonic() - began
    require(0.55 < took < 30, f"the pause took {took:.2f} s")
    close(clients)


def test_unpause(server):
    """Only a pause of writes lets UNPAUSE through."""
    clients = connect(server)
    clients[0].call("CLIENT", "PAUSE", "60000", "WRITE")
    for number, client in enumerate(clients[1:]):
        client.send("SET", f"k{number}", "v")
    unanswered(clients[1:], 0.2)
    require(clients[0].call("DBSIZE") == 0)
    require(clients[0].call("CLIENT", "UNPAUSE") == b"OK")
    for client in clients[1:]:
        require(client.reply() == b"OK")
    require(clients[0].call("DBSIZE") == len(clients) - 1)
    close(clients)


def test_pause_write_lets_reads_pass(server):
    clients = connect(server)
    clients[0].call("MSET", "a", "1", "b", "1", "c", "1", "d", "1")
    clients[0].call("CLIENT", "PAUSE", "600000", "WRITE")
    for client in clients:
        require(client.call("MGET", "a", "b", "c", "d") == [b"1"] * 4)
    clients[0].call("CLIENT", "UNPAUSE")
    began = time.monotonic()
    clients[0].call("CLIENT", "PAUSE", "500", "WRITE")
    for number, client in enumerate(clients):
        client.send("INCR", "abcd"[number % 4])
    for client in clients:
        require(client.reply() >= 2)
    require(time.monotonic() - began > 0.45, "writes did not wait")
    close(clients)


def test_client_reply(server):
    for client in connect(server, 4):
        client.send("CLIENT", "REPLY", "OFF")
        for key in "abcd":
            client.send("SET", key, "1")
        client.send("MSET", "a", "2", "b", "2", "c", "2")
        client.send("NOPE")
        client.send("CLIENT", "REPLY", "ON")
        client.send("MGET", "a", "b", "c", "d")
        require(client.reply() == b"OK", "CLIENT REPLY ON is answered")
        require(client.reply() == [b"2", b"2", b"2", b"1"])
        client.send("CLIENT", "REPLY", "SKIP")
        client.send("MGET", "a", "b", "c", "d")
        client.send("GET", "b")
        require(client.reply() == b"2")
        client.close()


def test_config_set_is_seen_everywhere_at_once(server):
    clients = connect(server)
    for value in range(20):
        setter = clients[value % CONNECTIONS]
        setter.call("CONFIG", "SET", "tcp-keepalive", 100 + value, "timeout", 1000 + value)
        for client in clients:
            got = client.call("CONFIG", "GET", "tcp-keepalive", "timeout")
            got = dict(zip(got[::2], got[1::2]))
            require(got == {b"tcp-keepalive": b"%d" % (100 + value),
                            b"timeout": b"%d" % (1000 + value)}, got)
        # Both or none.
        require(isinstance(setter.ask("CONFIG", "SET", "timeout", "5", "maxclients", "x"), Error))
        require(clients[0].call("CONFIG", "GET", "timeout")[1] == b"%d" % (1000 + value))
    clients[0].call("CONFIG", "SET", "timeout", "0")
    close(clients)


def test_expired_keys_leave_without_reads(server):
    with server.client() as client:
        count = 20_000
        for lead_ms in (1500, 6000, 24000):  # how long this machine takes to set them
            deadline_ms = int(time.time() * 1000) + lead_ms
            requests = [("SET", f"k{n}", "v", "PXAT", deadline_ms + n % 500) for n in range(count)]
            require(client.pipeline(requests) == [b"OK"] * count)
            found = client.call("DBSIZE")
            if int(time.time() * 1000) < deadline_ms:
                require(found == count, found)
                break
        while time.time() * 1000 < deadline_ms + 500:
            time.sleep(0.01)
        wait_until(lambda: client.call("DBSIZE") == 0, 5, "the end of the keys")
        require(int(server.info("stats")["expired_keys"]) >= count)


def test_active_expire_off(server):
    with server.client() as client:
        require(client.call("DEBUG", "SET-ACTIVE-EXPIRE", "0") == b"OK")
        try:
            for n in range(50):
                client.call("SET", f"k{n}", "v", "PX", "1")
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                time.sleep(0.02)
            require(client.call("DBSIZE") == 50, "keys are gone although nothing may remove them")
            require(client.call("GET", "k7") is None, "a dead key is read")
            require(client.call("EXISTS", *[f"k{n}" for n in range(50)]) == 0)
        finally:
            client.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        wait_until(lambda: client.call("DBSIZE") == 0, 5, "the end of the keys")


def test_flush_of_many_keys(server):
    with server.client() as client, server.client() as other:
        for mode in ((), ("ASYNC",), ("SYNC",)):
            for start in range(0, 200_000, 20_000):
                client.pipeline([("SET", f"k{n}", "v" * 20) for n in range(start, start + 20_000)])
            require(client.call("DBSIZE") == 200_000)
            before = int(server.info("memory")["used_memory"])
            began = time.monotonic()
            client.call("FLUSHALL", *mode)
            took = time.monotonic() - began
            require(client.call("DBSIZE") == 0 and other.call("DBSIZE") == 0)
            require(other.call("GET", "k1") is None and other.call("SET", "k1", "x") == b"OK")
            require(took < 20, f"FLUSHALL took {took:.2f} s")
            wait_until(lambda: int(server.info("memory")["used_memory"]) < before - 8_000_000, 10,
                       "the memory back")


def test_what_is_freed_in_steps_is_counted(server):
    """A database counts by its keys, a large collection once, what is small not at all."""
    def numbers():
        memory = server.info("memory")
        return [int(memory[f"lazyfree{name}_objects"]) for name in ("_pending", "d")]

    with server.client() as client:
        wait_until(lambda: numbers()[0] == 0, 20, "the end of what was freed before")
        client.call("CONFIG", "RESETSTAT")
        client.call("SET", "small", 1)
        for key in ("a", "b", "c"):
            client.call("SADD", key, *range(5000, 15000))
        require(client.call("UNLINK", "small", "a") == 2)
        wait_until(lambda: numbers() == [0, 1], 20, "a large set")
        client.pipeline([("SET", f"key:{i}", i) for i in range(1000)])
        client.call("FLUSHALL", "ASYNC")
        wait_until(lambda: numbers() == [0, 1003], 20, "a database")
        client.call("CONFIG", "RESETSTAT")
        require(numbers() == [0, 0], numbers())


def test_dbsize_includes_what_was_answered(server):
    """A key that this connection was told to be set is counted, wherever it lives."""
    clients = connect(server)
    total = 0
    for number in range(500):
        client = clients[number % CONNECTIONS]
        client.call("SET", f"k{number}", "v")
        total += 1
        require(client.call("DBSIZE") == total, number)
        require(f"k{number}".encode() in client.call("KEYS", f"k{number}"))
    close(clients)


def test_multi_key_commands_are_atomic(server):
    """Readers of several keys on several cores never see half an MSET or RENAME."""
    names = [f"key{n}" for n in range(10)]
    server.call("MSET", *[word for name in names for word in (name, "0")])
    server.call("SET", "here", "token")
    stop = threading.Event()
    problems = []

    def write(seed):
        rng = random.Random(seed)
        with server.client() as client:
            while not stop.is_set():
                value = rng.randrange(10**9)
                order = rng.sample(names, len(names))
                client.call("MSET", *[word for name in order for word in (name, value)])

    def move():
        with server.client() as client:
            while not stop.is_set():
                client.ask("RENAME", "here", "there")
                client.ask("RENAME", "there", "here")

    def read(seed):
        rng = random.Random(seed)
        with server.client() as client:
            while not stop.is_set():
                values = client.call("MGET", *rng.sample(names, len(names)))
                if len(set(values)) != 1:
                    problems.append(values)
                if client.call("EXISTS", "here", "there") != 1:
                    problems.append("the renamed key is there twice or not at all")
    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)] + \
        [threading.Thread(target=read, args=(n,)) for n in range(3)] + \
        [threading.Thread(target=move)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 1.5
    while time.monotonic() < end and not problems:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    require(not problems, problems[:3])


def test_debug_sleep_stops_all(server):
    """While one connection's DEBUG SLEEP is under way all others are asked PING after PING: each
    has once to wait for its PONG as long as the sleep takes."""
    clients = connect(server)
    sleeper, others = clients[0], clients[1:]
    sleeper.send("DEBUG", "SLEEP", "0.4")
    last = {client.socket: time.monotonic() for client in others}
    longest = dict.fromkeys(last, 0.0)
    for client in others:
        client.send("PING")
    by_socket = {client.socket: client for client in others}
    left = set(by_socket)
    while left:
        readable, _, _ = select.select([sleeper.socket, *left], [], [], 30)
        require(readable, "no reply")
        for ready in [one for one in readable if one in by_socket]:
            require(by_socket[ready].reply() == b"PONG")
            now = time.monotonic()
            longest[ready] = max(longest[ready], now - last[ready])
            last[ready] = now
            if sleeper.socket in readable:
                left.discard(ready)
            else:
                by_socket[ready].send("PING")
    require(min(longest.values()) > 0.3, f"did not wait: {sorted(longest.values())}")
    require(sleeper.reply() == b"OK")
    close(clients)


def test_swapdb_and_select(server):
    clients = connect(server)
    clients[0].call("MSET", *[word for n in range(100) for word in (f"k{n}", "zero")])
    clients[1].call("SELECT", "1")
    clients[1].call("MSET", *[word for n in range(50) for word in (f"k{n}", "one")])
    require(clients[2].call("SWAPDB", "0", "1") == b"OK")
    for client in clients[2:]:
        require(client.call("DBSIZE") == 50)
        require(client.call("MGET", "k0", "k1", "k2", "k99") == [b"one"] * 3 + [None])
    require(clients[1].call("DBSIZE") == 100 and clients[1].call("GET", "k99") == b"zero")
    close(clients)


def test_monotonic_ids_and_totals(server):
    before = int(server.info("stats")["total_connections_received"])
    clients = connect(server, 40)
    for client in clients:
        for _ in range(10):
            client.call("SET", "k", "v")
    stats = server.info("stats")
    require(int(stats["total_connections_received"]) >= before + 40, stats)
    commands = server.info("commandstats")["cmdstat_set"]
    require(int(commands.split(",")[0].split("=")[1]) >= 400, commands)
    require(sum(int(row["commands"]) for row in cores(server)) >= 400)
    server.call("CONFIG", "RESETSTAT")
    require("cmdstat_set" not in server.info("commandstats"))
    close(clients)


def test_clock_stands_still_in_exec(server):
    """Over one core, several, and with all shards closed (DBSIZE)."""
    for more in ((), ("DBSIZE",)):
        with server.client() as client:
            client.call("SET", "clock-a", "1", "PX", "10")
            client.call("SET", "clock-b", "1", "PX", "10")
            client.call("MULTI")
            for words in (("GET", "clock-a"), more, ("DEBUG", "SLEEP", "0.05"), more,
                          ("GET", "clock-a"), ("EXISTS", "clock-b"), ("TTL", "clock-b")):
                if words:
                    client.call(*words)
            replies = client.call("EXEC")
            if replies[0] is None:
                continue  # this machine was too slow
            require(replies[-3:] == [b"1", 1, 0], more, replies)


if __name__ == "__main__":
    play(globals())
