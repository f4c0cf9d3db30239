"""family_server.py: random commands about connections and the server, nothing that closes or mutes
one (scenarios.py does that step by step)."""

from compare import (Command, client_line_fields, hello_fields, ignore, near, same_kind, same_shape,
                     unordered)
from family_debug import do_debug_more, do_script
from vocabulary import NEVER_KNOWN

NAMES = [b"", b"me", b"a b", b"x\ny", b"\xff", b"n" * 100, b"!~", b"\x7f", b"default", b"\x00"]


def do_ping(v):
    return [b"PING"] + [v.short_value() for _ in range(v.choice((0, 0, 1, 1, 2)))]


def do_echo(v):
    return [b"ECHO", v.bytes(v.random.choice((0, 1, 10, 100, 1000, 16384)))]


def do_select(v):
    return [b"SELECT", v.database()]


def do_hello(v):
    args = [b"HELLO"]
    if v.chance(0.9):
        args.append(v.choice((b"2", b"3", b"3", b"4", b"1", b"0", b"-1", b"x", b"", b"3.0",
                              b"9" * 30)))
    for _ in range(v.choice((0, 0, 0, 1, 1, 2))):
        args += v.choice(([v.case(b"SETNAME"), v.choice(NAMES)], [v.case(b"SETNAME")],
                          [v.case(b"AUTH"), b"default", b"x"], [v.case(b"AUTH"), b"nobody", b"x"],
                          [v.case(b"AUTH"), b"default"], [b"NOPE"]))
    return Command(args, hello_fields)


def do_reset(v):
    """RESET also ends RESP3."""
    return [b"RESET"]


def do_name(v):
    return v.choice(([b"CLIENT", v.case(b"GETNAME")],
                     [b"CLIENT", v.case(b"SETNAME"), v.choice(NAMES)],
                     [b"CLIENT", b"SETNAME"], [b"CLIENT", b"GETNAME", b"x"]))


def do_client(v):
    draw = v.random.randrange(9)
    if draw == 0:
        return Command([b"CLIENT", v.case(b"ID")], same_kind)
    if draw == 1:
        return Command([b"CLIENT", v.case(b"INFO")], client_line_fields)
    if draw == 2:
        return Command([b"CLIENT", v.case(b"LIST")], client_line_fields)
    if draw == 3:
        return [b"CLIENT", b"LIST", v.case(v.choice((b"TYPE", b"ID", b"TYPE", b"NOPE"))),
                v.choice((b"master", b"replica", b"SLAVE", b"pubsub", b"nope", b"0", b"-1", b"x",
                          b"9223372036854775807", b""))]
    if draw == 4:
        return [b"CLIENT", v.case(b"NO-EVICT"), v.choice((b"on", b"OFF", b"x", b""))]
    if draw == 5:
        return v.choice(([b"CLIENT", b"KILL", b"127.0.0.1:1"], [b"CLIENT", b"KILL", b"x"],
                         [b"CLIENT", b"KILL", b"ID", b"9223372036854775807"],
                         [b"CLIENT", b"KILL", b"ID", b"x"], [b"CLIENT", b"KILL", b"ID", b"0"],
                         [b"CLIENT", b"KILL", b"ID"], [b"CLIENT", b"KILL"],
                         [b"CLIENT", b"KILL", b"TYPE", b"pubsub"],
                         [b"CLIENT", b"KILL", b"TYPE", b"nope"],
                         [b"CLIENT", b"KILL", b"USER", b"nobody"],
                         [b"CLIENT", b"KILL", b"ADDR", b"127.0.0.1:1", b"SKIPME", b"no"],
                         [b"CLIENT", b"KILL", b"LADDR", b"127.0.0.1:1"],
                         [b"CLIENT", b"KILL", b"SKIPME", b"maybe"],
                         [b"CLIENT", b"KILL", b"NOPE", b"x"],
                         [b"CLIENT", b"KILL", b"ID", b"9223372036854775807", b"SKIPME"]))
    if draw == 6:
        return v.choice(([b"CLIENT", b"UNPAUSE"], [b"CLIENT", b"PAUSE"],
                         [b"CLIENT", b"PAUSE", b"x"], [b"CLIENT", b"PAUSE", b"-1"],
                         [b"CLIENT", b"PAUSE", b"1", b"NOPE"], [b"CLIENT", b"PAUSE", b"0"],
                         [b"CLIENT", b"PAUSE", b"1", b"WRITE"], [b"CLIENT", b"PAUSE", b"1", b"all"],
                         [b"CLIENT", b"PAUSE", b"9223372036854775808"]))
    if draw == 7:
        return v.choice(([b"CLIENT", b"REPLY"], [b"CLIENT", b"REPLY", b"on"],
                         [b"CLIENT", b"REPLY", b"x"]))
    return [b"CLIENT", v.choice(NEVER_KNOWN), v.short_value()]


CONFIG_VALUES = {
    b"maxclients": (b"9000", b"0", b"-1", b"x", b""),
    b"timeout": (b"0", b"1000", b"-1", b"2147483648", b"x", b"1s"),
    b"tcp-keepalive": (b"0", b"60", b"300", b"-1", b"x"),
    b"client-query-buffer-limit": (b"1gb", b"2mb", b"1", b"x", b"-1", b"1048576", b"1.5mb"),
    b"proto-max-bulk-len": (b"512mb", b"1mb", b"1", b"x", b"2GB", b"512MB", b"1g", b"1k"),
    b"client-output-buffer-limit": (b"normal 0 0 0", b"normal 1gb 1gb 60", b"normal", b"x 0 0 0",
                                    b"normal 0 0 x", b"slave 256mb 64mb 60",
                                    b"normal 0 0 0 pubsub 32mb 8mb 60", b"replica 1 2 3", b""),
    b"loglevel": (b"notice", b"warning", b"NOTICE", b"nope", b""),
    b"protected-mode": (b"yes", b"no", b"maybe", b"YES", b""),
    b"hz": (b"10", b"100", b"x"),
    b"databases": (b"16", b"17"),
    b"no-such-directive": (b"1", b""),
    b"latency-tracking": (b"yes", b"no", b"x"),
    b"appendfsync": (b"always", b"everysec", b"no", b"never", b"EVERYSEC", b""),
    b"no-appendfsync-on-rewrite": (b"yes", b"no", b"x"),
    b"auto-aof-rewrite-percentage": (b"0", b"100", b"-1", b"2147483648", b"x"),
    b"auto-aof-rewrite-min-size": (b"64mb", b"0", b"1tb", b"-1", b"x"),
    b"aof-load-truncated": (b"yes", b"no", b"x"),
    b"aof-use-rdb-preamble": (b"yes", b"no", b""),
    b"aof-timestamp-enabled": (b"yes", b"no", b"x"),
    b"stop-writes-on-bgsave-error": (b"yes", b"no", b"x"),
    b"rdbcompression": (b"yes", b"no", b"x"),
    b"rdbchecksum": (b"yes", b"no"),
    b"appendfilename": (b"a", b""),
    b"repl-backlog-size": (b"1mb", b"1", b"2mb", b"0"),
    b"repl-timeout": (b"10", b"60", b"0", b"x"),
    b"repl-diskless-sync-delay": (b"0", b"5", b"-1"),
    b"replica-priority": (b"5", b"100", b"-1"),
    b"min-replicas-max-lag": (b"1", b"10", b"x"),
    b"repl-diskless-load": (b"disabled", b"swapdb", b"x"),
    b"propagation-error-behavior": (b"ignore", b"panic-on-replicas", b"x", b""),
    b"masterauth": (b"", b"secret"),
    b"cluster-node-timeout": (b"1000", b"15000", b"-1"),
    b"cluster-announce-hostname": (b"", b"a.b-c", b"a_b", b"x" * 256),
    b"cluster-preferred-endpoint-type": (b"ip", b"hostname", b"x"),
    b"cluster-allow-reads-when-down": (b"yes", b"no", b"x"),
    b"busy-reply-threshold": (b"1", b"5000", b"x"),
    b"acllog-max-len": (b"10", b"128", b"-1"),
    b"acl-pubsub-default": (b"allchannels", b"resetchannels", b"x"),
    b"shutdown-on-sigint": (b"default", b"force save", b"NOW", b"save nosave", b"default x", b"",
                            b"default force"),
    b"shutdown-on-sigterm": (b"default", b"nosave", b"default"),
    b"shutdown-timeout": (b"0", b"10", b"-1"),
    b"sanitize-dump-payload": (b"no", b"yes", b"clients", b"x"),
    b"activerehashing": (b"yes", b"no", b"x"),
    b"active-defrag-cycle-max": (b"30", b"25", b"100"),
    b"enable-module-command": (b"yes",),
    b"dbfilename": (b"a", b"a/b"),
}
CONFIG_NAMES = sorted(CONFIG_VALUES)
CONFIG_RESTORED = [b"maxclients", b"10000", b"timeout", b"0", b"client-query-buffer-limit", b"1gb",
                   b"proto-max-bulk-len", b"512mb", b"client-output-buffer-limit", b"normal 0 0 0",
                   b"protected-mode", b"yes", b"loglevel", b"notice", b"tcp-keepalive", b"300",
                   b"hz", b"10", b"latency-tracking", b"yes", b"appendfsync", b"everysec",
                   b"no-appendfsync-on-rewrite", b"no", b"auto-aof-rewrite-percentage", b"100",
                   b"auto-aof-rewrite-min-size", b"64mb", b"aof-load-truncated", b"yes",
                   b"aof-use-rdb-preamble", b"yes", b"aof-timestamp-enabled", b"no",
                   b"stop-writes-on-bgsave-error", b"yes", b"rdbcompression", b"yes",
                   b"repl-backlog-size", b"1mb", b"repl-timeout", b"60",
                   b"repl-diskless-sync-delay", b"5", b"replica-priority", b"100",
                   b"min-replicas-max-lag", b"10", b"repl-diskless-load", b"disabled",
                   b"propagation-error-behavior", b"ignore", b"masterauth", b"",
                   b"cluster-node-timeout", b"15000", b"cluster-announce-hostname", b"",
                   b"cluster-preferred-endpoint-type", b"ip",
                   b"cluster-allow-reads-when-down", b"no", b"busy-reply-threshold", b"5000",
                   b"acllog-max-len", b"128", b"acl-pubsub-default", b"resetchannels",
                   b"shutdown-timeout", b"10",
                   b"shutdown-on-sigint", b"default", b"shutdown-on-sigterm", b"default",
                   b"sanitize-dump-payload", b"no",
                   b"activerehashing", b"yes", b"active-defrag-cycle-max", b"25"]


def do_config_set(v):
    args = [b"CONFIG", v.case(b"SET")]
    for _ in range(v.choice((1, 1, 1, 2, 3))):
        name = v.choice(CONFIG_NAMES)
        args += [v.case(name.upper()).lower() if v.chance(0.8) else v.case(name.upper()),
                 v.choice(CONFIG_VALUES[name])]
    if v.chance(0.05):
        args.pop()
    names = [name.lower() for name in args[2::2]]
    return [args, Command([b"CONFIG", b"GET"] + names, unordered)]



def do_config_get(v):
    if v.chance(0.7):
        return [b"CONFIG", v.case(b"GET"), v.choice(CONFIG_NAMES)]
    if v.chance(0.1):
        return [b"CONFIG", b"SET", b"port", v.choice((b"x", b"-1", b"65536", b""))]
    return v.choice(([b"CONFIG", b"GET"], [b"CONFIG"], [b"CONFIG", b"NOPE"],
                     [b"CONFIG", b"RESETSTAT"], [b"CONFIG", b"RESETSTAT", b"x"],
                     [b"CONFIG", b"GET", b"no-such"], [b"CONFIG", b"GET", b""],
                     [b"CONFIG", b"SET"], [b"CONFIG", b"SET", b"maxclients"]))


GETKEYS_COMMANDS = [
    [b"GET", b"k"], [b"MGET", b"a", b"b"], [b"MSET", b"a", b"1", b"b", b"2"], [b"MSET", b"a"],
    [b"SET", b"k", b"v", b"GET"], [b"SET", b"k"], [b"RENAME", b"a", b"b"], [b"PING"], [b"NOPE"],
    [b"COPY", b"a", b"b", b"DB", b"1"], [b"DEL", b"a", b"b", b"c"], [b"LCS", b"a", b"b", b"LEN"],
    [b"OBJECT", b"ENCODING", b"k"], [b"OBJECT", b"HELP"], [b"MEMORY", b"USAGE", b"k"],
    [b"FLUSHALL"], [b"CONFIG", b"GET", b"x"], [b"EXISTS", b"a", b"a"], [b"get", b"k"],
    [b"GETEX", b"k", b"EX", b"1"],
    [b"SETRANGE", b"k", b"1", b"x"], [b"MOVE", b"k", b"1"], [b"SCAN", b"0"], [b"OBJECT"], [b""]]


def do_command(v):
    draw = v.random.randrange(8)
    if draw < 4:
        return [b"COMMAND", v.choice((b"GETKEYS", b"GETKEYS", b"GETKEYSANDFLAGS", b"getkeys"))] + \
            v.choice(GETKEYS_COMMANDS)
    if draw < 5:
        return Command([b"COMMAND", b"COUNT"], same_kind)
    if draw < 6:
        return v.choice(([b"COMMAND", b"INFO", b"nope"],
                         [b"COMMAND", b"INFO", b"nope", b"config|x"],
                         [b"COMMAND", b"DOCS", b"nope"], [b"COMMAND", b"NOPE"],
                         [b"COMMAND", b"GETKEYS"], [b"COMMAND", b"COUNT", b"x"],
                         [b"COMMAND", b"LIST", b"FILTERBY"],
                         [b"COMMAND", b"LIST", b"FILTERBY", b"NOPE", b"x"],
                         [b"COMMAND", b"LIST", b"FILTERBY", b"MODULE", b"x"],
                         [b"COMMAND", b"LIST", b"FILTERBY", b"ACLCAT", b"nope"],
                         [b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", b"nope*"],
                         [b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", b"get", b"x"]))
    if draw < 7:
        return Command([b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN",
                        v.choice((b"get", b"mset", b"p*expire", b"P*EXPIRE", b"[gs]et",
                                  b"config|*", b"client|[ip]*"))], unordered_newer)
    return Command([b"COMMAND", b"LIST"], same_shape)


NEWER = {b"delifeq", b"msetex", b"client|setinfo", b"client|no-touch"}


def unordered_newer(ours, theirs):
    """The same names, whatever is newer than the oracle."""
    from resp import parse
    if ours[:1] == b"-" or theirs[:1] == b"-":
        return "one is an error"
    ours = sorted(name for name in parse(ours) if name not in NEWER)
    return None if ours == sorted(parse(theirs)) else "other names"


def do_time(v):
    return Command([b"TIME"], same_shape)


def do_debug(v):
    return v.choice(([b"DEBUG", b"SET-ACTIVE-EXPIRE", b"1"], [b"DEBUG", b"SLEEP", b"0"],
                     [b"DEBUG", b"NOPE"], [b"DEBUG"], [b"DEBUG", b"OBJECT", b"no-such-key"],
                     [b"DEBUG", b"JMAP", b"x", b"y"],
                     Command([b"DEBUG", b"CHANGE-REPL-ID"], same_kind)))


def do_cluster(v):
    return v.choice(([b"CLUSTER", b"INFO"], [b"CLUSTER"], [b"CLUSTER", b"NODES"],
                     [b"CLUSTER", b"SLOTS"], [b"CLUSTER", b"MYID"], [b"CLUSTER", b"KEYSLOT"]))


def do_unknown(v):
    return [v.choice(NEVER_KNOWN)] + [v.short_value() for _ in range(v.random.randrange(5))]


def do_lolwut(v):
    return Command([b"LOLWUT"] + v.choice(([], [b"VERSION", b"5"], [b"x"])), ignore)


def do_info(v):
    return Command([b"INFO"] + v.choice(([b"server"], [b"clients", b"memory"], [b"all"],
                                         [b"default"], [b"everything"], [])), same_kind)


def do_info_nothing(v):
    return [b"INFO", v.choice((b"nope", b"", b"nope2"))]


def do_object_near(v):
    return Command([b"OBJECT", b"IDLETIME", b"no-such-key"], near(1))


FAMILY = [(5, do_ping), (5, do_echo), (3, do_select), (6, do_hello), (1, do_reset), (5, do_name),
          (12, do_client), (6, do_config_set), (4, do_config_get), (6, do_command), (1, do_time),
          (2, do_debug), (4, do_debug_more), (4, do_script), (2, do_cluster), (6, do_unknown), (1, do_lolwut), (1, do_info),
          (1, do_info_nothing), (1, do_object_near)]
