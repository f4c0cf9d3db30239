"""test_python.py: redis-py against the server, as its users use it.

The version is what `import redis` finds: Debian's python3-redis in the usual run (4.3 on Debian 12,
which speaks RESP2 only), and a second time the newer one that `./dev interop` fetches
(--fetched), which speaks RESP3 as well; then all tests run in both protocols.
"""

import asyncio
import os
import sys
import threading

from clients import (FETCHED, PATIENCE_S, SHARDS, Worker, has_command, has_scripts, results,
                     wait_blocked)
from clients import wait_subscribers
from harness import Skip, play, require
from server import SKIP, wait_until

if "--fetched" in sys.argv:
    sys.argv.remove("--fetched")
    sys.path.insert(0, os.path.join(FETCHED, "python3-redis/usr/lib/python3/dist-packages"))
    if not os.path.isdir(sys.path[0]):
        print("skipped: the newer redis-py is not fetched; ./dev interop does that")
        sys.exit(SKIP)
try:
    import redis
    import redis.asyncio
    from redis.lock import Lock
except ImportError as missing:
    print(f"skipped: no python3-redis ({missing})")
    sys.exit(SKIP)

VERSION = tuple(int(part) for part in redis.__version__.split(".")[:2])
PROTOCOLS = (2, 3) if VERSION >= (5, 0) else (2,)
KEYS = [f"key:{number}" for number in range(40)]  # over all cores


def options_of(protocol):
    options = {"host": "127.0.0.1", "socket_timeout": PATIENCE_S, "decode_responses": True}
    if protocol == 3:
        options["protocol"] = 3
    return options


def connect(server, protocol=2, **options):
    return redis.Redis(port=server.port, **{**options_of(protocol), **options})


def each_protocol(test):
    """The test with one client after another, each in its protocol, over an empty keyspace."""
    def run(server):
        for protocol in PROTOCOLS:
            server.call("FLUSHALL")
            try:
                test(server, lambda **options: connect(server, protocol, **options))
            except Skip:
                raise
            except Exception as error:
                raise AssertionError(f"redis-py {redis.__version__}, RESP{protocol}") from error
    run.__name__ = test.__name__
    return run


def raises(kind, text, call, *args, **options):
    try:
        value = call(*args, **options)
    except kind as error:
        require(text in str(error), "another error:", error)
        return
    raise AssertionError(f"no error but {value!r}")


# ---- pipelines and transactions ----

@each_protocol
def test_pipelines(server, new):
    client = new()
    for transaction in (False, True):
        client.flushall()
        with client.pipeline(transaction=transaction) as pipe:
            for number, key in enumerate(KEYS):
                pipe.set(key, number).incr("total", number)
            pipe.mget(KEYS)
            pipe.rpush("list", *range(50)).lrange("list", 0, -1).hset("hash", mapping={"a": 1})
            replies = pipe.hgetall("hash").exists(*KEYS).execute()
        numbers = list(range(len(KEYS)))
        require(replies[0:80:2] == [True] * len(KEYS), replies[:10])
        require(replies[1:80:2] == [sum(numbers[:n + 1]) for n in numbers])
        require(replies[80] == [str(number) for number in numbers])
        require(replies[81:] == [50, [str(n) for n in range(50)], 1, {"a": "1"}, len(KEYS)],
                replies[81:])


@each_protocol
def test_errors_in_pipelines(server, new):
    client = new()
    client.set("text", "x")
    for transaction in (False, True):
        with client.pipeline(transaction=transaction) as pipe:
            pipe.set("a", int(transaction)).incr("text").lpush("text", 1).get("a")
            replies = pipe.execute(raise_on_error=False)
        require(replies[0] is True and replies[3] == str(int(transaction)), replies)
        require(isinstance(replies[1], redis.ResponseError)
                and "not an integer" in str(replies[1]), replies)
        require(isinstance(replies[2], redis.ResponseError)
                and "wrong kind of value" in str(replies[2]), replies)
        with client.pipeline(transaction=transaction) as pipe:
            raises(redis.ResponseError, "not an integer", pipe.set("b", 1).incr("text").execute)
        require(client.get("b") == "1")
    # An unknown command takes the transaction back before it begins.
    with client.pipeline(transaction=True) as pipe:
        pipe.set("a", "never").execute_command("NOPE")
        raises(redis.ResponseError, "unknown command", pipe.execute)
    require(client.get("a") == "1")


@each_protocol
def test_watch_loses_no_increment(server, new):
    threads, rounds, key, other = 6, 30, "counter", "mirror:1"

    def work():
        client = new()
        retries = 0
        for _ in range(rounds):
            with client.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch(key, other)
                        value = int(pipe.get(key) or 0)
                        pipe.multi()
                        pipe.set(key, value + 1).set(other, value + 1)
                        require(pipe.execute() == [True, True])
                        break
                    except redis.WatchError:
                        retries += 1
        return retries
    results([Worker(work) for _ in range(threads)])
    client = new()
    require(client.mget(key, other) == [str(threads * rounds)] * 2, client.mget(key, other))


@each_protocol
def test_watch_sees_each_kind_of_change(server, new):
    client, other = new(), new()

    def is_dirty(change):
        client.set("watched", "1")
        with client.pipeline() as pipe:
            pipe.watch("watched", "absent")
            change()
            pipe.multi()
            pipe.set("seen", "1")
            try:
                pipe.execute()
                return False
            except redis.WatchError:
                return True
    require(not is_dirty(lambda: other.get("watched")))
    require(not is_dirty(lambda: other.set("elsewhere", 1)))
    for change in (lambda: other.append("watched", "x"), lambda: other.delete("watched"),
                   lambda: other.set("absent", 1), other.flushall, lambda: other.swapdb(0, 1),
                   lambda: other.expire("watched", 100), lambda: other.rename("watched", "x")):
        require(is_dirty(change), "WATCH missed a change")
        other.flushall()


@each_protocol
def test_transfers_keep_their_sum(server, new):
    accounts = KEYS[:6]
    client = new()
    client.mset({key: 100 for key in accounts})
    stop = threading.Event()

    def move(seed):
        mover = new()
        for turn in range(60):
            source, target = accounts[(seed + turn) % 6], accounts[(seed * 2 + turn * 5 + 1) % 6]
            with mover.pipeline(transaction=True) as pipe:
                pipe.decrby(source, turn).incrby(target, turn).execute()

    def look():
        watcher, views = new(), 0
        while not stop.is_set():
            total = sum(int(value) for value in watcher.mget(accounts))
            require(total == 600, "MGET saw half a transaction:", total)
            with watcher.pipeline(transaction=True) as pipe:
                for key in accounts:
                    pipe.get(key)
                total = sum(int(value) for value in pipe.execute())
            require(total == 600, "MULTI saw half a transaction:", total)
            views += 1
        return views
    watchers = [Worker(look), Worker(look)]
    results([Worker(move, seed) for seed in range(4)])
    stop.set()
    require(all(views > 0 for views in results(watchers)))


@each_protocol
def test_transaction_helper(server, new):
    client = new()
    client.set("a", 1)

    def body(pipe):
        value = int(pipe.get("a"))
        pipe.multi()
        pipe.set("b", value + 1)
    require(client.transaction(body, "a") == [True] and client.get("b") == "2")


# ---- pub/sub ----

def take(subscription, count):
    """The next messages, each waited for."""
    messages = []
    while len(messages) < count:
        message = subscription.get_message(timeout=PATIENCE_S)
        require(message is not None, "no message; so far:", messages)
        messages.append((message["type"], message["pattern"], message["channel"], message["data"]))
    return messages


@each_protocol
def test_pubsub(server, new):
    client = new()
    subscription = client.pubsub()
    subscription.subscribe("news", "sport")
    require(take(subscription, 2) == [("subscribe", None, "news", 1),
                                      ("subscribe", None, "sport", 2)])
    subscription.psubscribe("n?ws", "s*")
    require(take(subscription, 2) == [("psubscribe", None, "n?ws", 3),
                                      ("psubscribe", None, "s*", 4)])
    require(client.publish("news", "one") == 2 and client.publish("nobody", "x") == 0)
    require(sorted(take(subscription, 2), key=str) == [
        ("message", None, "news", "one"), ("pmessage", "n?ws", "news", "one")])
    require(sorted(client.pubsub_channels()) == ["news", "sport"])
    require(client.pubsub_numpat() == 2)
    require(client.pubsub_numsub("news", "none") == [("news", 1), ("none", 0)])
    subscription.unsubscribe("news")
    require(take(subscription, 1) == [("unsubscribe", None, "news", 3)])
    subscription.punsubscribe()
    require([row[0] for row in take(subscription, 2)] == ["punsubscribe"] * 2)
    require(client.publish("sport", "two") == 1 and client.publish("news", "x") == 0)
    require(take(subscription, 1) == [("message", None, "sport", "two")])
    if client.connection_pool.connection_kwargs.get("protocol") != 3:
        # An ordinary reply in RESP3, which redis-py then takes for a message.
        subscription.ping("still")
        require(take(subscription, 1) == [("pong", None, None, "still")])
    subscription.close()
    wait_until(lambda: client.pubsub_channels() == [], PATIENCE_S, "the end of the subscription")


@each_protocol
def test_pubsub_order(server, new):
    """Subscribers on all cores see one channel's messages in one order, and each of them."""
    publishers, each, channel = 3, 60, "ordered"
    subscriptions = []
    for _ in range(6):
        subscription = new().pubsub(ignore_subscribe_messages=False)
        subscription.subscribe(channel)
        take(subscription, 1)
        subscriptions.append(subscription)

    def publish(name):
        client = new()
        for number in range(each):
            require(client.publish(channel, f"{name}:{number}") == 6)
    results([Worker(publish, name) for name in range(publishers)])
    seen = [[row[3] for row in take(subscription, publishers * each)]
            for subscription in subscriptions]
    require(all(view == seen[0] for view in seen), "the subscribers disagree")
    for name in range(publishers):
        own = [text for text in seen[0] if text.startswith(f"{name}:")]
        require(own == [f"{name}:{number}" for number in range(each)], own)
    for subscription in subscriptions:
        subscription.close()


@each_protocol
def test_pubsub_in_a_thread(server, new):
    client, got, done = new(), [], threading.Event()

    def handler(message):
        got.append((message["channel"], message["data"]))
        if len(got) == 10:
            done.set()
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(**{"by-name": handler})
    subscription.psubscribe(**{"by-pattern:*": handler})
    thread = subscription.run_in_thread(sleep_time=0.05)
    wait_subscribers(server, "by-name", 1)
    wait_until(lambda: client.pubsub_numpat() == 1, PATIENCE_S, "the pattern")
    for number in range(5):
        client.publish("by-name", number)
        client.publish(f"by-pattern:{number}", number)
    require(done.wait(PATIENCE_S), got)
    thread.stop()
    thread.join(PATIENCE_S)
    require([row[1] for row in got if row[0] == "by-name"] == list("01234"), got)
    require(len(got) == 10 and ("by-pattern:3", "3") in got, got)


@each_protocol
def test_shard_channels(server, new):
    client = new()
    subscription = client.pubsub()
    if hasattr(subscription, "ssubscribe"):
        subscription.ssubscribe("orders")
        require(take(subscription, 1) == [("ssubscribe", None, "orders", 1)])
        require(client.execute_command("SPUBLISH", "orders", "first") == 1)
        require(client.publish("orders", "not this") == 0)
        require(take(subscription, 1) == [("smessage", None, "orders", "first")])
        require(client.pubsub_shardchannels() == ["orders"])
        subscription.sunsubscribe("orders")
        require(take(subscription, 1) == [("sunsubscribe", None, "orders", 0)])
    else:  # the command and its replies as they are
        subscription.execute_command("SSUBSCRIBE", "orders")
        require(subscription.parse_response() == ["ssubscribe", "orders", 1])
        require(client.execute_command("SPUBLISH", "orders", "first") == 1)
        require(client.publish("orders", "not this") == 0)
        require(subscription.parse_response() == ["smessage", "orders", "first"])
        require(client.execute_command("PUBSUB", "SHARDCHANNELS") == ["orders"])
        subscription.execute_command("SUNSUBSCRIBE", "orders")
        require(subscription.parse_response() == ["sunsubscribe", "orders", 0])
    require(client.execute_command("SPUBLISH", "orders", "nobody") == 0)
    subscription.close()


@each_protocol
def test_keyspace_events(server, new):
    client = new()
    before = client.config_get("notify-keyspace-events")["notify-keyspace-events"]
    client.config_set("notify-keyspace-events", "KEA")
    try:
        subscription = client.pubsub(ignore_subscribe_messages=False)
        subscription.psubscribe("__key*__:*")
        take(subscription, 1)
        client.set("k", "v")
        client.expire("k", 100)
        client.delete("k")
        events = [(row[2], row[3]) for row in take(subscription, 6)]
        require(events == [("__keyspace@0__:k", "set"), ("__keyevent@0__:set", "k"),
                           ("__keyspace@0__:k", "expire"), ("__keyevent@0__:expire", "k"),
                           ("__keyspace@0__:k", "del"), ("__keyevent@0__:del", "k")], events)
        subscription.close()
    finally:
        client.config_set("notify-keyspace-events", before)


# ---- locks ----

class WatchLock(Lock):
    """redis-py's lock for a server without scripts: the steps that it runs as Lua, with WATCH."""

    def register_scripts(self):
        pass

    def do_release(self, expected_token):
        with self.redis.pipeline() as pipe:
            pipe.watch(self.name)
            require_owned(pipe.get(self.name), expected_token)
            pipe.multi()
            pipe.delete(self.name)
            pipe.execute()


def require_owned(token, expected):
    if not isinstance(token, bytes):
        token = (token or "").encode()
    if token != expected:
        raise redis.exceptions.LockError("not owned")


@each_protocol
def test_locks(server, new):
    kinds = [WatchLock]
    if has_scripts(server):
        kinds.append(Lock)
    for kind in kinds:
        inside, log = [], []

        def work(name, kind=kind, inside=inside, log=log):
            client = new()
            for turn in range(8):
                lock = client.lock("lock", timeout=PATIENCE_S, sleep=0.001, lock_class=kind)
                require(lock.acquire(blocking_timeout=PATIENCE_S))
                inside.append(name)
                require(len(inside) == 1, "two inside of the lock:", inside)
                require(lock.owned())
                log.append((name, turn))
                inside.pop()
                lock.release()
        results([Worker(work, name) for name in range(4)])
        require(len(log) == 32 and len(set(log)) == 32)
        client = new()
        first = client.lock("lock", timeout=100, lock_class=kind)
        second = client.lock("lock", timeout=100, lock_class=kind)
        require(first.acquire() and not second.acquire(blocking=False))
        require(first.locked() and not second.owned() and 0 < client.ttl("lock") <= 100)
        client.set("lock", "stolen")
        raises(redis.exceptions.LockError, "", first.release)
        client.delete("lock")


# ---- iteration ----

@each_protocol
def test_iterators(server, new):
    client = new()
    client.mset({f"scan:{number}": number for number in range(2000)})
    client.sadd("set", *range(1500))
    client.hset("hash", mapping={f"f{number}": number for number in range(1500)})
    client.zadd("zset", {f"m{number}": number + 0.5 for number in range(1500)})
    found = list(client.scan_iter("scan:*", count=50))
    require(len(found) == 2000 and set(found) == {f"scan:{n}" for n in range(2000)}, len(found))
    require(set(client.scan_iter(_type="zset")) == {"zset"})
    require({int(member) for member in client.sscan_iter("set", count=40)} == set(range(1500)))
    require(dict(client.hscan_iter("hash", count=40)) == {f"f{n}": str(n) for n in range(1500)})
    require(dict(client.zscan_iter("zset", count=40)) == {f"m{n}": n + 0.5 for n in range(1500)})


# ---- blocking ----

@each_protocol
def test_blocking_pops(server, new):
    client = new()
    require(client.blpop(["no", "nothing"], timeout=0.02) is None)
    cases = (
        (lambda c: c.blpop(KEYS[:4]), lambda: client.rpush(KEYS[2], "x"), [KEYS[2], "x"]),
        (lambda c: c.brpop(KEYS[:4]), lambda: client.rpush(KEYS[3], "y"), [KEYS[3], "y"]),
        (lambda c: c.brpoplpush("from", "to"), lambda: client.rpush("from", "z"), "z"),
        (lambda c: c.blmove("from", "to", PATIENCE_S, "LEFT", "RIGHT"),
         lambda: client.rpush("from", "w"), "w"),
        (lambda c: c.blmpop(PATIENCE_S, 3, *KEYS[:3], direction="LEFT", count=2),
         lambda: client.rpush(KEYS[1], "1", "2", "3"), [KEYS[1], ["1", "2"]]),
        (lambda c: c.bzpopmin(KEYS[5:8]), lambda: client.zadd(KEYS[6], {"m": 1.5}),
         [KEYS[6], "m", 1.5]),
        (lambda c: c.bzpopmax(KEYS[5:8]), lambda: client.zadd(KEYS[7], {"m": 1.5, "n": 2}),
         [KEYS[7], "n", 2.0]),
    )
    for wait, push, expected in cases:
        client.flushall()
        worker = Worker(lambda wait=wait: wait(new()))
        wait_blocked(server, 1)
        push()
        value = worker.result()
        value = list(value) if isinstance(value, tuple) else value
        require(value == expected, value, "is not", expected)
    require(int(server.info("clients")["blocked_clients"]) == 0)


@each_protocol
def test_waiters_are_served_in_turn(server, new):
    client, workers = new(), []
    for number in range(8):
        workers.append(Worker(lambda: new().blpop(["queue", KEYS[1], KEYS[2]], PATIENCE_S)))
        wait_blocked(server, number + 1)
    for number in range(8):
        require(client.rpush("queue", number) == 1)
    rows = [list(row) for row in results(workers)]
    require(rows == [["queue", str(number)] for number in range(8)], rows)


@each_protocol
def test_each_element_is_popped_once(server, new):
    consumers, elements = 5, 200
    queues = KEYS[:3]

    def consume():
        client, mine = new(), []
        while True:
            row = client.blpop(queues, PATIENCE_S)
            require(row is not None, "waited in vain")
            if row[1] == "end":
                return mine
            mine.append(row[1])

    def produce(name):
        client = new()
        for number in range(elements):
            client.rpush(queues[(name + number) % 3], f"{name}:{number}")
    workers = [Worker(consume) for _ in range(consumers)]
    results([Worker(produce, name) for name in range(3)])
    client = new()
    wait_until(lambda: not any(client.exists(queue) for queue in queues), PATIENCE_S, "empty")
    for _ in range(consumers):
        client.rpush(queues[0], "end")
    popped = [text for mine in results(workers) for text in mine]
    require(len(popped) == 3 * elements and len(set(popped)) == 3 * elements, len(popped))


@each_protocol
def test_client_unblock(server, new):
    if not has_command(server, "CLIENT", "UNBLOCK"):
        raise Skip("no CLIENT UNBLOCK yet")
    client = new()
    for error in (False, True):
        waiter = new(single_connection_client=True)
        waiter_id = waiter.client_id()
        worker = Worker(lambda waiter=waiter: waiter.blpop(KEYS[:3], PATIENCE_S))
        wait_blocked(server, 1)
        require(client.client_unblock(waiter_id, error) == 1)
        if error:
            raises(redis.ResponseError, "UNBLOCKED", worker.result)
        else:
            require(worker.result() is None)
    require(client.client_unblock(client.client_id()) == 0)


# ---- streams ----

@each_protocol
def test_stream_groups(server, new):
    client, entries, workers = new(), 60, 3
    client.xgroup_create("stream", "group", id="0", mkstream=True)

    def consume(name):
        consumer, seen = new(), []
        while True:
            reply = consumer.xreadgroup("group", name, {"stream": ">"}, count=4,
                                        block=PATIENCE_S * 1000)
            for entry_id, fields in rows_of(reply):
                if "end" in fields:
                    return seen, entry_id
                seen.append((entry_id, fields["n"]))
                require(consumer.xack("stream", "group", entry_id) == 1)
    threads = [Worker(consume, f"c{number}") for number in range(workers)]
    wait_blocked(server, workers)
    ids = [client.xadd("stream", {"n": number}) for number in range(entries)]
    wait_until(lambda: client.xinfo_groups("stream")[0]["last-delivered-id"] == ids[-1]
               and client.xpending("stream", "group")["pending"] == 0, PATIENCE_S, "the last entry")
    ends = []
    for number in range(workers):  # one each: whoever has got one leaves
        ends.append(client.xadd("stream", {"end": 1}))
        wait_until(lambda n=number: client.xpending("stream", "group")["pending"] == n + 1,
                   PATIENCE_S, "the end")
    views = results(threads)
    seen = sorted((row for view, _ in views for row in view), key=lambda row: int(row[1]))
    require(seen == [(ids[n], str(n)) for n in range(entries)], len(seen))
    pending = client.xpending("stream", "group")
    require(pending["pending"] == workers and pending["min"] == ends[0]
            and {row["name"] for row in pending["consumers"]} == {"c0", "c1", "c2"}, pending)
    rows = client.xpending_range("stream", "group", "-", "+", 10)
    require([row["message_id"] for row in rows] == ends
            and all(row["times_delivered"] == 1 for row in rows), rows)
    claimed = client.xautoclaim("stream", "group", "heir", min_idle_time=0, count=10)
    require([entry[0] for entry in claimed[1]] == ends, claimed)
    require(client.xack("stream", "group", *ends) == workers)
    require(client.xinfo_groups("stream")[0]["consumers"] == workers + 1)
    require(client.xtrim("stream", maxlen=1, approximate=False) == entries + workers - 1)


def rows_of(reply):
    """The entries of one stream's reply: a list in RESP2, a dictionary in RESP3."""
    if isinstance(reply, dict):
        return [row for batch in reply["stream"] for row in batch]
    return reply[0][1] if reply else []


@each_protocol
def test_stream_reads(server, new):
    client = new()
    first = client.xadd("stream", {"a": 1})
    require(rows_of(client.xread({"stream": "0"})) == [(first, {"a": "1"})])
    require(not client.xread({"stream": "$"}, block=20))
    worker = Worker(lambda: new().xread({"stream": "$", KEYS[1]: "$", KEYS[2]: "$"},
                                        block=PATIENCE_S * 1000))
    wait_blocked(server, 1)
    second = client.xadd("stream", {"b": 2})
    require(rows_of(worker.result()) == [(second, {"b": "2"})])
    require(client.xrange("stream") == [(first, {"a": "1"}), (second, {"b": "2"})])


# ---- the connection ----

@each_protocol
def test_names_and_kill(server, new):
    client, other = new(client_name="me"), new(client_name="victim")
    require(client.client_getname() == "me" and other.client_getname() == "victim")
    rows = {row["name"]: row for row in client.client_list()}
    require("me" in rows and "victim" in rows, rows)
    require(rows["me"]["cmd"] == "client|list" and rows["victim"]["cmd"] == "client|getname", rows)
    require(client.client_info()["name"] == "me")
    require(client.client_kill_filter(_id=rows["victim"]["id"]) == 1)
    wait_until(lambda: "victim" not in {row["name"] for row in client.client_list()},
               PATIENCE_S, "the end of the killed client")
    require(other.get("k") is None and other.client_getname() == "victim", "no new connection")


@each_protocol
def test_monitor(server, new):
    client = new()
    with new().monitor() as monitor:
        monitor.connection._sock.settimeout(PATIENCE_S)
        client.set("watched", "va lue")
        with client.pipeline(transaction=True) as pipe:
            pipe.incr("n").execute()
        commands = []
        while len(commands) < 4:
            row = monitor.next_command()
            require(row["client_address"] == "127.0.0.1" and row["db"] == 0, row)
            if not row["command"].startswith(("HELLO", "CLIENT", "INFO", "AUTH")):
                commands.append(row["command"])
    require(commands[0] == "SET watched va lue", commands)
    require(sorted(commands[1:]) == ["EXEC", "INCRBY n 1", "MULTI"], commands)


def test_invalidations_are_redirected(server):
    """Client-side caching as RESP2 does it: invalidations go to a subscribed connection."""
    if not has_command(server, "CLIENT", "TRACKING"):
        raise Skip("no CLIENT TRACKING yet")
    client, writer = connect(server, single_connection_client=True), connect(server)
    listener = connect(server, single_connection_client=True)
    listener_id = listener.client_id()
    subscription = listener.pubsub()
    subscription.connection = listener.connection  # the very one that the id belongs to
    subscription.subscribe("__redis__:invalidate")
    require(subscription.parse_response()[0] == "subscribe")
    require(client.client_tracking_on(clientid=listener_id))
    for key in KEYS[:5]:
        client.get(key)
        writer.set(key, "new")
        row = subscription.parse_response()
        require(row in (["message", "__redis__:invalidate", [key]], ["invalidate", [key]]), row)
    info = client.client_trackinginfo()
    require(info is not None)
    require(client.client_tracking_off())


def test_client_side_caching(server):
    """redis-py's own cache (from 5.1, RESP3 only)."""
    if VERSION < (5, 1):
        raise Skip(f"redis-py {redis.__version__} has no client-side caching")
    if not has_command(server, "CLIENT", "TRACKING"):
        raise Skip("no CLIENT TRACKING yet")
    from redis.cache import CacheConfig
    from redis.connection import CacheProxyConnection
    CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"  # the library asks for Redis 7.4
    cached = connect(server, 3, cache_config=CacheConfig(max_size=1000),
                     single_connection_client=True)
    writer = connect(server)
    writer.mset({key: "old" for key in KEYS})

    def gets():
        return int(server.info("commandstats").get("cmdstat_get", "calls=0,").split("=")[1]
                   .split(",")[0])
    require([cached.get(key) for key in KEYS] == ["old"] * len(KEYS))
    before = gets()
    require([cached.get(key) for key in KEYS] == ["old"] * len(KEYS))
    require(gets() == before, "the cache was not used")
    for key in KEYS[::2]:
        writer.set(key, "new")
    values = [cached.get(key) for key in KEYS]
    require(values == ["new", "old"] * (len(KEYS) // 2), values)
    require(gets() == before + len(KEYS) // 2, gets() - before)
    writer.flushall()
    require([cached.get(key) for key in KEYS] == [None] * len(KEYS))


def test_types_of_resp3(server):
    if 3 not in PROTOCOLS:
        raise Skip(f"redis-py {redis.__version__} speaks RESP2 only")
    client = connect(server, 3)
    client.hset("hash", mapping={"a": 1})
    client.sadd("set", "a", "b")
    client.zadd("zset", {"m": 1.5})
    require(client.hgetall("hash") == {"a": "1"} and client.smembers("set") == {"a", "b"})
    require(client.zscore("zset", "m") == 1.5)
    require(client.zrange("zset", 0, -1, withscores=True) == [["m", 1.5]])
    require(client.get("none") is None and client.config_get("port") == {"port": str(server.port)})
    require(client.execute_command("HELLO")["proto"] == 3)


def test_asyncio(server):
    """The asyncio client: many tasks over a pool."""
    async def story():
        client = redis.asyncio.Redis(port=server.port, **options_of(PROTOCOLS[-1]))
        waiters = [asyncio.ensure_future(client.blpop([key, "none"], PATIENCE_S))
                   for key in KEYS[:20]]
        while int((await client.info("clients"))["blocked_clients"]) < 20:
            await asyncio.sleep(0.005)
        await asyncio.gather(*(client.rpush(key, key) for key in KEYS[:20]))
        rows = await asyncio.gather(*waiters)
        require([list(row) for row in rows] == [[key, key] for key in KEYS[:20]], rows)
        async with client.pipeline(transaction=True) as pipe:
            require(await pipe.set("a", 1).incr("a").mget("a", "b").execute()
                    == [True, 2, ["2", None]])
        subscription = client.pubsub()
        await subscription.subscribe("channel")
        await subscription.get_message(timeout=PATIENCE_S)
        require(await client.publish("channel", "text") == 1)
        message = await subscription.get_message(timeout=PATIENCE_S)
        require(message is not None and message["data"] == "text", message)
        await subscription.unsubscribe()
        await subscription.close()
        await client.connection_pool.disconnect()
    asyncio.run(asyncio.wait_for(story(), 2 * PATIENCE_S))


if __name__ == "__main__":
    print(f"redis-py {redis.__version__}, RESP {' and '.join(map(str, PROTOCOLS))}")
    play(globals(), SHARDS)
