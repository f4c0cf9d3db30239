"""test_config.py: what CONFIG SET brings about in a running server: other addresses, limits, the
title in the process list; and that a change that fails leaves everything as it was.
"""

import os
import random
import shutil
import socket
import tempfile
import threading
import time

from harness import Skip, play, require
from resp import Client, Closed, Error, encode
from server import free_port, wait_until


def get(client, name):
    return client.call("CONFIG", "GET", name)[1].decode()


def refused(client, why, *words):
    reply = client.ask("CONFIG", "SET", *words)
    require(isinstance(reply, Error) and str(reply) == why, reply)


def failed(name, why):
    return f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"


def is_listening(address):
    try:
        Client(address).close()
        return True
    except OSError:
        return False


def title(server):
    with open(f"/proc/{server.pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").decode()


def file_limit(server):
    with open(f"/proc/{server.pid}/limits", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("Max open files")).split()[3])


def test_errors_name_the_directive_as_it_was_written(server):
    with server.client() as client:
        refused(client, failed("DATABASES", "can't set immutable config"), "DATABASES", 17)
        refused(client, failed("TIMEOUT", "duplicate parameter"), "timeout", 1, "TIMEOUT", 2)
        refused(client, failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
                "TimeOut", -1)
        require(get(client, "timeout") == "0")


def test_port_moves_and_connections_stay(start):
    with start() as server:
        clients = [server.client() for _ in range(8)]
        ports = [server.port]
        for _ in range(5):
            port = free_port()
            require(clients[0].call("CONFIG", "SET", "port", port) == b"OK")
            ports.append(port)
            require(not is_listening(ports[-2]), "the old port still answers")
            more = [Client(port) for _ in range(8)]
            for client in clients + more:
                require(client.call("PING") == b"PONG")
            clients += more
        server.port = ports[-1]
        require(server.info("server")["tcp_port"] == str(server.port))
        # Those that were closed are gone when their cores have heard of it.
        deadline = time.monotonic() + 10
        while server.info("clients")["connected_clients"] != str(len(clients) + 1):
            require(time.monotonic() < deadline, server.info("clients"))
        for client in clients:
            client.close()


def test_no_descriptor_is_left_behind(start):
    with start() as server:
        with server.client() as client:
            client.call("PING")
            before = server.file_count()
            for _ in range(30):
                require(client.call("CONFIG", "SET", "bind", "127.0.0.1") == b"OK")
                require(client.call("CONFIG", "SET", "bind", "127.0.0.1 ::1") == b"OK")
                require(client.call("CONFIG", "SET", "bind", "* -::*") == b"OK")
            replies = client.pipeline([("CONFIG", "SET", "bind", bind) for _ in range(50)
                                       for bind in ("127.0.0.1", "* -::*")])
            require(all(reply == b"OK" for reply in replies), replies)
            wait_until(lambda: server.file_count() == before, 5, "the end of the old sockets")


def test_bind_decides_who_is_heard(start):
    with start(args=("--bind", "127.0.0.1")) as server:
        with server.client() as client:
            require(not is_listening(("::1", server.port)))
            require(client.call("CONFIG", "SET", "bind", "127.0.0.1 ::1") == b"OK")
            require(is_listening(("::1", server.port)) and is_listening(server.port))
            require(client.call("CONFIG", "SET", "bind", "::1") == b"OK")
            require(is_listening(("::1", server.port)) and not is_listening(server.port))
            require(client.call("CONFIG", "SET", "bind", "-192.0.2.99 127.0.0.1") == b"OK")
            require(is_listening(server.port) and not is_listening(("::1", server.port)))
            require(client.call("CONFIG", "SET", "bind", "") == b"OK")
            require(not is_listening(server.port))
            require(client.call("CONFIG", "SET", "bind", "127.0.0.1") == b"OK")
            require(is_listening(server.port))


def test_no_port_at_all(start):
    with start() as server:
        with server.client() as client:
            require(client.call("CONFIG", "SET", "port", 0) == b"OK")
            require(not is_listening(server.port))
            require(client.call("PING") == b"PONG")
            require(b"tcp_port:0\r\n" in client.call("INFO", "server"))
            require(client.call("CONFIG", "SET", "port", server.port) == b"OK")
            require(is_listening(server.port))


def test_start_without_any_address_fails(start):
    server = start(args=("--bind", "127.0.0.1"), port=0, wait=False)
    require(server.wait_exit() == 1)
    require("Configured to not listen anywhere, exiting." in server.log(), server.log())
    server.stop()


def test_a_port_in_use_changes_nothing(start):
    no_port = failed("port", "Unable to listen on this port. Check server logs.")
    no_bind = failed("bind", "Failed to bind to specified addresses.")
    with start() as server, start() as other, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with server.client() as client:
            client.call("PING")
            before = server.file_count()
            for port in (taken.getsockname()[1], other.port):
                refused(client, no_port, "timeout", 7, "PORT", port, "maxclients", 77)
                refused(client, no_bind, "bind", "127.0.0.1 ::1", "port", port)
            refused(client, no_bind, "bind", "127.0.0.1 192.0.2.99")
            refused(client, no_bind, "bind", "127.0.0.1 127.0.0.1")
            refused(client, no_bind, "bind", "nonsense!")
            require(get(client, "port") == str(server.port))
            require(get(client, "bind") == "* -::*")
            require(get(client, "timeout") == "0" and get(client, "maxclients") == "10000")
            require(server.file_count() == before, "descriptors are left behind")
            require(is_listening(server.port) and is_listening(other.port))
            # A later directive that fails takes the new sockets back.
            port = free_port()
            refused(client, failed("dir", "can't set protected config"), "port", port, "dir", "/")
            require(not is_listening(port))
            require("Could not create server TCP listening socket" in server.log())


def test_new_sockets_are_taken_back(start):
    with start(args=("--enable-protected-configs", "yes")) as server:
        with server.client() as client:
            client.call("PING")
            before = server.file_count()
            port = free_port()
            refused(client, failed("dir", "No such file or directory"), "port", port, "dir",
                    "/nonexistent")
            require(not is_listening(port) and is_listening(server.port))
            wait_until(lambda: server.file_count() == before, 5, "the end of the new sockets")


def test_ports_move_under_load(start):
    """Connections come and go while the server moves: every one that is accepted is served."""
    with start() as server:
        ports = [free_port() for _ in range(2)]
        stop = threading.Event()
        broken, served = [], [0] * 4

        def visit(index, seed):
            draw = random.Random(seed)
            while not stop.is_set():
                try:
                    with Client(draw.choice(ports), timeout_s=20) as client:
                        for n in range(3):
                            if client.call("ECHO", str(n)) != str(n).encode():
                                broken.append("a wrong reply")
                        served[index] += 1
                except (ConnectionError, Closed):
                    pass  # its socket was closed before the server took it
                except Exception as error:
                    broken.append(repr(error))

        threads = [threading.Thread(target=visit, args=(i, i)) for i in range(4)]
        with server.client() as client:
            require(client.call("CONFIG", "SET", "port", ports[0]) == b"OK")
            for thread in threads:
                thread.start()
            for n in range(60):
                require(client.call("CONFIG", "SET", "port", ports[n % 2]) == b"OK")
                bind = ("127.0.0.1", "* -::*")[n // 2 % 2]
                require(client.call("CONFIG", "SET", "bind", bind) == b"OK")
            wait_until(lambda: all(served), 20, "service for all")
            stop.set()
            for thread in threads:
                thread.join()
            require(not broken, broken[:3])
            wait_until(lambda: b"connected_clients:1\r\n" in client.call("INFO", "clients"), 5,
                       "the end of all connections")


def test_moved_port_is_rewritten(start):
    with start(config="# mine\ntimeout 3\n") as server:
        port = free_port()
        with server.client() as client:
            require(client.call("CONFIG", "SET", "port", port, "bind", "127.0.0.1") == b"OK")
            require(client.call("CONFIG", "REWRITE") == b"OK")
        with open(os.path.join(server.directory, "server.conf"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        require(f"port {port}" in lines and "bind 127.0.0.1" in lines, lines)


def test_title(start):
    with start() as server:
        program = server.words[0]
        require(title(server) == f"{program} *:{server.port}", title(server))
        with server.client() as client:
            def show(template):
                require(client.call("CONFIG", "SET", "proc-title-template", template) == b"OK")
                return title(server)
            port = server.port
            require(show("{title} {port}/{tls-port} {unixsocket}{config-file}") ==
                    f"{program} {port}/0 -", title(server))
            require(show("  a {{{port}} {server-mode} ") == f"a {{{port}}}", title(server))
            require(show("x") == "x")
            require(show("{title} {listen-addr} {server-mode}") == f"{program} *:{port}")
            require(client.call("CONFIG", "SET", "bind", "127.0.0.1 ::1") == b"OK")
            require(title(server) == f"{program} 127.0.0.1:{port}", title(server))
            for template in ("{nothing}", "{title}", "", "{port"):
                refused(client, failed("proc-title-template", "template format is invalid or "
                                       "contains unknown variables"), "proc-title-template",
                        template)
            # Longer than argv and environment together: cut, and nothing else is harmed.
            require(show("y" * 3000).strip("y") == "")
            require(client.call("PING") == b"PONG")
    with start(args=("--set-proc-title", "no")) as server:
        require(title(server).split("\0") == server.words)
    with start(config="timeout 0\n", args=("--proc-title-template", "c {config-file}")) as server:
        require(title(server) == f"c {server.directory}/server.conf", title(server))


def test_title_without_tcp(start):
    directory = tempfile.mkdtemp(prefix="tessera-title-")
    path = os.path.join(directory, "sock")
    with start(args=("--unixsocket", path), port=0) as server:
        require(title(server) == f"{server.words[0]} unixsocket:{path}", title(server))
        with Client(path) as client:
            require(client.call("CONFIG", "SET", "port", free_port()) == b"OK")
            require(client.call("CONFIG", "SET", "port", 0) == b"OK")
        with Client(path) as client:
            require(client.call("PING") == b"PONG")
    shutil.rmtree(directory)


def test_maxclients_raises_the_limit_of_files(start):
    if shutil.which("prlimit") is None:
        raise Skip("no prlimit")
    with start(prefix=("prlimit", "--nofile=200:1000"), args=("--maxclients", "50")) as server:
        require(file_limit(server) == 200)
        with server.client() as client:
            require(client.call("CONFIG", "SET", "maxclients", 500) == b"OK")
            if file_limit(server) < 1000:
                require(500 < file_limit(server), file_limit(server))
            limit = file_limit(server)
            reply = client.ask("CONFIG", "SET", "maxclients", 100000)
            if not isinstance(reply, Error):
                raise Skip("may raise the hard limit")
            start_text = failed("maxclients", "The operating system is not able to handle the "
                                "specified number of clients, try with ")
            require(str(reply).startswith(start_text), reply)
            require(file_limit(server) == limit)
            require(get(client, "maxclients") == "500")
            possible = int(str(reply)[len(start_text):])
            require(900 < possible < 1000, possible)
            require(client.call("CONFIG", "SET", "maxclients", possible) == b"OK")
            require(file_limit(server) == 1000)


def test_maxclients_counts_at_once(server):
    with server.client() as client:
        require(client.call("CONFIG", "SET", "maxclients", 2) == b"OK")
        with server.client() as second:
            require(second.call("PING") == b"PONG")
            with server.client() as third:
                require(str(third.reply()) == "ERR max number of clients reached")
            require(client.call("CONFIG", "SET", "maxclients", 10000) == b"OK")
            require(server.call("PING") == b"PONG")


def test_limits_reach_connections_that_are_open(server):
    with server.client() as admin, server.client() as client, server.client() as other:
        require(client.call("SET", "k", b"x" * (2 << 20)) == b"OK")
        require(admin.call("CONFIG", "SET", "proto-max-bulk-len", 1 << 20) == b"OK")
        try:
            other.send("SET", "k", b"x" * ((1 << 20) + 1))
        except OSError:
            pass
        try:
            require("invalid bulk length" in str(other.reply()))
        except Closed:
            pass  # reset behind the error, since the value was not read
        client.send_raw(encode("SET", "k", b"x" * (1 << 20)))
        require(client.reply() == b"OK")
        require(admin.call("CONFIG", "SET", "proto-max-bulk-len", 512 << 20) == b"OK")
        require(client.call("SET", "k", b"x" * (2 << 20)) == b"OK")
        # Unread replies of a connection that was there before the limit.
        limit = "client-output-buffer-limit"
        require(admin.call("CONFIG", "SET", limit, "normal 1mb 0 0") == b"OK")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            client.send_raw(encode("GET", "k") * 40)
        except OSError:
            pass
        require(client.closed_within(20), "not closed")
        require(admin.call("CONFIG", "SET", limit, "normal 0 0 0") == b"OK")


def test_query_buffer_limit_reaches_open_connections(server):
    with server.client() as admin, server.client() as client:
        require(client.call("PING") == b"PONG")
        require(admin.call("CONFIG", "SET", "client-query-buffer-limit", "1mb") == b"OK")
        try:
            client.send_raw(b"*1000000\r\n" + b"$4\r\nabcd\r\n" * 300000)
        except OSError:
            pass
        require(client.closed_within(20), "not closed")
        require(admin.call("CONFIG", "SET", "client-query-buffer-limit", "1gb") == b"OK")


def keepalive_s(server, client):
    """How far off the kernel's next probe on the server's side is; None: it sends none."""
    here = "%04X" % client.socket.getsockname()[1]
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if fields[1].endswith(":%04X" % server.port) and fields[2].endswith(":" + here):
                kind, _, ticks = fields[5].partition(":")
                return int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == "02" else None
    raise AssertionError("no such connection")


def test_keepalive_of_new_connections(server):
    with server.client() as admin:
        for seconds in (0, 77, 300):
            require(admin.call("CONFIG", "SET", "tcp-keepalive", seconds) == b"OK")
            with server.client() as client:
                client.call("PING")
                # Acknowledgements have a timer of their own first.
                def settled():
                    left = keepalive_s(server, client)
                    return (left is None) if seconds == 0 else left and abs(left - seconds) < 10
                wait_until(settled, 5, f"a timer for {seconds} s")


def test_timeout_and_loglevel(start):
    with start() as server:
        with server.client() as admin, server.client() as client:
            client.call("PING")
            require(admin.call("CONFIG", "SET", "timeout", 1, "loglevel", "verbose") == b"OK")
            require(client.closed_within(10), "not closed")
            require("Closing idle client" in server.log())
        with server.client() as admin:
            require(admin.call("CONFIG", "SET", "loglevel", "warning") == b"OK")
            size = len(server.log())
            with server.client() as client:
                client.call("PING")
                require(client.closed_within(10), "not closed")
            require(len(server.log()) == size, server.log()[size:])


def test_daemon_with_pid_file_and_log(start):
    directory = tempfile.mkdtemp(prefix="tessera-daemon-")
    pid_path, log_path = os.path.join(directory, "pid"), os.path.join(directory, "log")
    server = start(args=("--daemonize", "yes", "--pidfile", pid_path, "--logfile", log_path,
                         "--dir", directory), wait=False)
    require(server.wait_exit() == 0, server.log())
    wait_until(lambda: os.path.exists(log_path) and
               "Ready to accept" in open(log_path, encoding="utf-8").read(), 20, "the log")
    with open(pid_path, encoding="ascii") as file:
        pid = int(file.read())
    with server.client() as client:
        require(client.call("INFO", "server").count(b"process_id:%d\r\n" % pid) == 1)
        require(os.getsid(pid) != os.getsid(0), "it is in our session")
        client.send("SHUTDOWN", "NOSAVE")
        require(client.closed_within(20), "still there")
    wait_until(lambda: not os.path.exists(pid_path), 20, "the end of the pid file")
    wait_until(lambda: "bye bye" in open(log_path, encoding="utf-8").read(), 20, "its end")
    require(server.log() == "", server.log())
    shutil.rmtree(directory, ignore_errors=True)
    server.stop()


def test_protected_mode_whatever_bind_says(start):
    """The message is redis-server's, so that who looks for it finds it."""
    words = os.popen("ip -o addr show scope global 2>/dev/null").read().split()
    addresses = [word.split("/")[0] for word in words if "/" in word]
    if not addresses:
        raise Skip("no address but loopback")
    with start() as server:
        with server.client() as admin:
            for bind in ("* -::*", "127.0.0.1 " + " ".join(addresses)):
                require(admin.call("CONFIG", "SET", "bind", bind) == b"OK")
                for address in addresses:
                    with Client((address, server.port)) as client:
                        text = str(client.reply())
                        require(text.startswith("DENIED Redis is running in protected mode because "
                                                "protected mode is enabled and no password is set "
                                                "for the default user. "), text)
                        require(text.endswith("in order for the server to start accepting "
                                              "connections from the outside."), text)
                        require(client.closed_within(5), "not closed")
            require(admin.call("CONFIG", "SET", "protected-mode", "no") == b"OK")
            for address in addresses:
                with Client((address, server.port)) as client:
                    require(client.call("PING") == b"PONG")


if __name__ == "__main__":
    play(globals())
