"""test_start.py: starting and stopping: log lines, ports, addresses, files, flags, signals."""

import os
import re
import signal
import socket
import stat

from harness import Skip, play, require
from resp import Client, Error
from server import free_port, wait_until


def ipv6_works():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_log_lines(start):
    with start() as server:
        log = server.log()
        line = re.compile(r"^\d+:M \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} [.\-*#] \S")
        for text in log.splitlines():
            require(line.match(text), "not Redis's line format:", repr(text))
            require(text.startswith(f"{server.pid}:"), "another pid:", text)
        require("Ready to accept connections" in log, log)
        require("I/O back end: " in log, log)
        os.kill(server.pid, signal.SIGTERM)
        require(server.wait_exit() == 0, "exit code", server.exit_code)
        require("Received SIGTERM" in server.log() and "bye bye" in server.log(), server.log())


def test_port_zero_with_unix_socket(start):
    path = f"/tmp/tessera-test-{os.getpid()}.sock"
    with start(port=0, args=("--unixsocket", path, "--unixsocketperm", "700")) as server:
        with Client(path) as client:
            require(client.call("PING") == b"PONG")
            require(client.call("CONFIG", "GET", "port")[1] == b"0")
            info = client.call("CLIENT", "INFO")
            require(b"addr=" + path.encode() + b":0" in info, info)
        require(stat.S_IMODE(os.stat(path).st_mode) == 0o700, "mode of the socket")
        files = os.popen(f"ss -Hltnp 2>/dev/null | grep pid={server.pid},").read()
        require(files == "", "still listens on TCP:", files)
    require(not os.path.exists(path), "the socket's file is left behind")


def test_unix_socket_serves_many(start):
    path = f"/tmp/tessera-test-{os.getpid()}.sock"
    with start(args=("--unixsocket", path)) as server:
        clients = [Client(path) for _ in range(20)] + [server.client() for _ in range(20)]
        for number, client in enumerate(clients):
            client.call("SET", f"u{number}", number)
        for number, client in enumerate(reversed(clients)):
            require(client.call("GET", f"u{number}") == str(number).encode())
        for client in clients:
            client.close()


def test_config_file_and_flags(start):
    config = """
# a comment, and an empty line

maxclients 321
timeout   0
client-output-buffer-limit pubsub 32mb 8mb 60
loglevel verbose
"""
    with start(config=config, args=("--maxclients", "123", "--tcp-keepalive", "77")) as server:
        with server.client() as client:
            for name, value in (("maxclients", b"123"), ("tcp-keepalive", b"77"),
                                ("loglevel", b"verbose")):
                require(client.call("CONFIG", "GET", name)[1] == value, name)


def test_standard_input_may_come_last(start):
    with start(args=("--maxclients", "55", "-")) as server:
        require(server.call("CONFIG", "GET", "maxclients")[1] == b"55")


def test_config_errors_end_the_start(start):
    for args in (("--no-such-directive", "1"), ("--maxclients", "x"), ("--loglevel", "nope"),
                 ("--shards", "-1")):
        server = start(args=args, wait=False)
        try:
            code = server.wait_exit()
            require(code == 1, args, "exit code", code, server.log())
            require(args[0][2:] in server.log(), args, "not named in", server.log())
        finally:
            server.stop()


def test_config_rewrite(start):
    with start(config="maxclients 100\n# mine\n") as server:
        with server.client() as client:
            client.call("CONFIG", "SET", "maxclients", "200", "timeout", "500")
            client.call("CONFIG", "REWRITE")
        with open(os.path.join(server.directory, "server.conf"), encoding="utf-8") as file:
            text = file.read()
        require("maxclients 200" in text and "timeout 500" in text and "# mine" in text, text)
        require("maxclients 100" not in text, text)


def test_what_matters_elsewhere_is_kept(start):
    """Directives about what is not there (replicas, a cluster, scripts) are taken from a file, by
    CONFIG SET, and written back."""
    told = {"repl-timeout": "33", "replica-priority": "7", "cluster-node-timeout": "500",
            "lua-time-limit": "9", "activerehashing": "no", "masterauth": "a b",
            "repl-diskless-load": "swapdb", "cluster-announce-hostname": "a.b",
            "enable-module-command": "yes", "shutdown-timeout": "0"}
    later = {"repl-backlog-size": "2097152", "slave-priority": "8", "jemalloc-bg-thread": "no",
             "propagation-error-behavior": "panic"}
    lines = "".join(f'{name} "{value}"\n' for name, value in told.items())
    with start(config=lines) as server, server.client() as client:
        for name, value in told.items():
            require(client.call("CONFIG", "GET", name)[1].decode() == value, name)
        for name, value in later.items():
            require(client.call("CONFIG", "SET", name, value) == b"OK", name)
        require(client.call("CONFIG", "REWRITE") == b"OK")
        with open(os.path.join(server.directory, "server.conf"), encoding="utf-8") as file:
            lines = file.read().split("\n")
    for line in ("repl-timeout \"33\"", "replica-priority 8", "repl-backlog-size 2mb",
                 "jemalloc-bg-thread no", "propagation-error-behavior panic",
                 "masterauth \"a b\""):
        require(line in lines, line, lines)


def test_ipv6_and_several_addresses(start):
    if not ipv6_works():
        raise Skip("no IPv6 loopback")
    with start(args=("--bind", "127.0.0.1", "127.0.0.2", "::1")) as server:
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            with Client((host, server.port)) as client:
                require(client.call("PING") == b"PONG", host)
        with Client(("::1", server.port)) as client:
            info = client.call("CLIENT", "INFO")
            require(b"addr=[::1]:" in info, info)
        try:
            Client(("127.0.0.3", server.port)).close()
            raise AssertionError("127.0.0.3 answers too")
        except OSError:
            pass


def test_optional_address_may_be_missing(start):
    with start(args=("--bind", "127.0.0.1", "-192.0.2.1")) as server:
        require(server.call("PING") == b"PONG")


def test_missing_address_ends_the_start(start):
    server = start(args=("--bind", "192.0.2.1"), wait=False)
    try:
        require(server.wait_exit() == 1, "exit code", server.exit_code)
        require("192.0.2.1" in server.log(), server.log())
    finally:
        server.stop()


def test_second_server_on_the_port_is_refused(start):
    with start() as server:
        second = start(port=server.port, wait=False)
        try:
            require(second.wait_exit() == 1, "exit code", second.exit_code)
            require("ddress already in use" in second.log(), second.log())
        finally:
            second.stop()
        require(server.call("PING") == b"PONG")


def test_shutdown_command_frees_the_port(start):
    for words in (("SHUTDOWN",), ("SHUTDOWN", "NOSAVE"), ("SHUTDOWN", "NOW", "FORCE")):
        with start() as server:
            with server.client() as client, server.client() as idle:
                client.send(*words)
                require(client.closed_within(10), "not closed")
                require(idle.closed_within(10), "the idle one is not closed")
            require(server.wait_exit() == 0, words, "exit code", server.exit_code)
            port = server.port
        with start(port=port) as again:
            require(again.call("PING") == b"PONG")


def test_sigterm_under_load(start):
    with start() as server:
        clients = [server.client() for _ in range(10)]
        for client in clients:
            for number in range(200):
                client.send("SET", f"k{number}", "v" * 100)
        os.kill(server.pid, signal.SIGTERM)
        require(server.wait_exit() == 0, "exit code", server.exit_code, server.log())
        for client in clients:
            client.close()


def test_sigint_ends_it_too(start):
    with start() as server:
        os.kill(server.pid, signal.SIGINT)
        require(server.wait_exit() == 0, "exit code", server.exit_code)


def test_signals_end_it_as_they_are_told_to(start):
    """shutdown-on-sigint and -sigterm: with or without a snapshot, whatever `save` says."""
    for name, number in (("shutdown-on-sigint", signal.SIGINT),
                         ("shutdown-on-sigterm", signal.SIGTERM)):
        for save, words, has_file in (("100 1", "default", True), ("100 1", "nosave", False),
                                      ("", "force save", True), ("", "default", False)):
            server = start(args=("--save", save))
            try:
                with server.client() as client:
                    require(client.call("CONFIG", "SET", name, words) == b"OK")
                    client.call("SET", "a", "1")
                server.process.send_signal(number)
                require(server.wait_exit() == 0, name, words, server.log())
                path = os.path.join(server.directory, "dump.rdb")
                require(os.path.exists(path) == has_file, name, words, server.log())
            finally:
                server.stop()


def test_pid_file_and_log_file(start):
    directory = f"/tmp/tessera-test-{os.getpid()}-{free_port()}"
    os.mkdir(directory)
    pid_path, log_path = os.path.join(directory, "pid"), os.path.join(directory, "log")
    server = start(args=("--pidfile", pid_path, "--logfile", log_path), wait=False)
    try:
        wait_until(lambda: os.path.exists(log_path) and
                   "Ready to accept" in open(log_path, encoding="utf-8").read(), 10, "the log")
        with open(pid_path, encoding="utf-8") as file:
            require(file.read().strip() == str(server.pid), "another pid")
    finally:
        server.stop()
    require(not os.path.exists(pid_path), "the pid file is left behind")
    os.remove(log_path)
    os.rmdir(directory)


def test_port_and_bind_change_at_run_time(start):
    with start() as server:
        port = free_port()
        with server.client() as client:
            reply = client.ask("CONFIG", "SET", "port", port)
            if isinstance(reply, Error):
                raise Skip(reply)
            with Client(port) as other:
                require(other.call("PING") == b"PONG")
            require(client.call("PING") == b"PONG", "the old connection is gone")
            try:
                Client(server.port).close()
                raise AssertionError("the old port still answers")
            except OSError:
                pass


def test_databases(start):
    with start(args=("--databases", "3")) as server:
        with server.client() as client:
            require(client.ask("SELECT", "2") == b"OK")
            require(isinstance(client.ask("SELECT", "3"), Error))


if __name__ == "__main__":
    play(globals())
