#!/usr/bin/env python3
"""commands.py: the lists of commands in docs/commands.md and README.md, from the rows themselves.

    commands.py --write    ask both servers and write what is not as they say
    commands.py            the same, but only say what is stale: exit code 1

Each command comes from COMMAND DOCS of a running tessera-server; what is newer than redis-server 7.0
and what is still missing comes from comparing with COMMAND DOCS of redis-server. The programs are
those of TESSERA_SERVER and REDIS_SERVER, or where the build puts them; without both: exit code 77.
"""

import argparse
import difflib
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "server"))

from server import SKIP, Server, redis_path, tessera_path  # noqa: E402

DOCUMENT = "docs/commands.md"
README = "README.md"
BEGIN = "<!-- commands: written by ./dev docs -->\n"
END = "<!-- end of commands -->\n"

# (title, groups as COMMAND DOCS names them), in the order of the pages.
FAMILIES = (
    ("strings", ("string",)),
    ("keys", ("generic",)),
    ("bits and sketches", ("bitmap", "hyperloglog")),
    ("lists", ("list",)),
    ("hashes", ("hash",)),
    ("sets", ("set",)),
    ("sorted sets", ("sorted-set",)),
    ("streams", ("stream",)),
    ("geo", ("geo",)),
    ("transactions", ("transactions",)),
    ("pub/sub", ("pubsub",)),
    ("scripts and functions", ("scripting",)),
    ("connection", ("connection",)),
    ("server", ("server",)),
    ("cluster", ("cluster",)),
)


# What no row can tell: said behind the summary.
NOTES = {
    "CLUSTER": "There is no cluster mode yet: all but KEYSLOT answer that.",
}
# And what the short table says for it.
SHORT_NAMES = {"CLUSTER": "CLUSTER (KEYSLOT)"}


class Command:
    """One command, or a subcommand as `parent child`."""

    def __init__(self, name, fields, parent=None):
        self.name = name.upper()
        self.parent = parent
        self.since = fields.get("since", "")
        self.summary = fields.get("summary", "")
        self.group = fields.get("group", "")
        self.tokens = set(tokens_of(fields.get("arguments", [])))


def fields_of(flat):
    """The pairs of a RESP2 map."""
    words = [item.decode() if isinstance(item, bytes) else item for item in flat]
    return dict(zip(words[::2], words[1::2]))


def tokens_of(arguments):
    for argument in arguments:
        fields = fields_of(argument)
        if fields.get("token"):
            yield fields["token"].upper()
        yield from tokens_of(fields.get("arguments", []))


def commands_of(path):
    """{name: Command}, subcommands too, but for HELP, which each container has."""
    with Server(path) as server:
        reply = server.call("COMMAND", "DOCS")
    commands = {}

    def add(name, flat, parent):
        fields = fields_of(flat)
        command = Command(name.replace("|", " "), fields, parent)
        commands[command.name] = command
        children = fields.get("subcommands", [])
        for child, child_fields in zip(children[::2], children[1::2]):
            if not child.lower().endswith(b"|help"):
                add(child.decode(), child_fields, command)
    for name, flat in zip(reply[::2], reply[1::2]):
        add(name.decode(), flat, None)
    return commands


def family_of(command):
    for title, groups in FAMILIES:
        if command.group in groups:
            return title
    raise SystemExit(f"commands.py: {command.name} has the group '{command.group}', which no family "
                     "of the pages takes in: add it to FAMILIES")


def children_of(commands, command):
    return [c for c in commands.values() if c.parent is command]


def top(commands, title):
    """The commands of a family that are no subcommands, by name."""
    return sorted((c for c in commands.values() if c.parent is None and family_of(c) == title),
                  key=lambda c: c.name)


# ---- what both pages say of a command ----

def is_newer(command, theirs):
    return command.name not in theirs


def newer_options(command, theirs):
    """Options that redis-server's command of that name does not have."""
    peer = theirs.get(command.name)
    return sorted(command.tokens - peer.tokens) if peer is not None else []


def missing_options(command, theirs):
    peer = theirs.get(command.name)
    return sorted(peer.tokens - command.tokens) if peer is not None else []


def is_partial(commands, command, theirs):
    """A container some of whose subcommands are not there."""
    if command.name not in theirs:
        return False
    names = {c.name for c in children_of(commands, command)}
    return any(c.name not in names for c in children_of(theirs, theirs[command.name]))


def missing(commands, theirs):
    """Of redis-server's commands those that are not there; a container that is missing altogether
    stands for its subcommands."""
    return [c for c in theirs.values() if c.name not in commands
            and (c.parent is None or c.parent.name in commands)]


# ---- README.md ----

def short_name(commands, command, theirs):
    text = command.name
    if text in SHORT_NAMES:
        return SHORT_NAMES[text]
    if is_partial(commands, command, theirs):
        text += f" ({' '.join(sorted(c.name.split()[1] for c in children_of(commands, command)))})"
    elif newer_options(command, theirs):
        text += f" ({' '.join(newer_options(command, theirs))}*)"
    return text + ("*" if is_newer(command, theirs) else "")


def readme_part(commands, theirs):
    lines = ["| family | commands |", "|---|---|"]
    for title, _ in FAMILIES:
        names = [short_name(commands, c, theirs) for c in top(commands, title)]
        if names:
            lines.append(f"| {title} | {' '.join(names)} |")
    absent = [c for c in missing(commands, theirs) if c.parent is None]
    lines.append("")
    lines.append("[docs/commands.md](docs/commands.md) says what each of them does"
                 + (f", and names the {len(absent)} commands of redis-server 7.0 that are not there "
                    "yet." if absent else "."))
    return "\n".join(lines) + "\n"


def readme_of(text, commands, theirs):
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"commands.py: {README} has no lines {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + readme_part(commands, theirs) + END + behind


# ---- docs/commands.md ----

HEAD = """# Commands

All commands of Tessera, by family, as its own `COMMAND DOCS` tells them. This page is written by `./dev docs`, and a test
says when it is stale. *Since* is the version of Redis that brought the command, or of Valkey where the name bears a *.
What is not there yet stands at the end.

"""


def remarks(command, theirs):
    texts = [NOTES[command.name]] if command.name in NOTES else []
    newer, lacking = newer_options(command, theirs), missing_options(command, theirs)
    if newer:
        texts.append(f"Also takes {', '.join(newer)}*.")
    if lacking:
        texts.append(f"Does not take {', '.join(lacking)} yet.")
    return "".join(" " + text for text in texts)


def row(command, theirs):
    star = "*" if is_newer(command, theirs) else ""
    summary = command.summary.replace("|", "\\|") + remarks(command, theirs)
    return f"| {command.name}{star} | {command.since} | {summary} |"


def document(commands, theirs):
    text = HEAD
    for title, _ in FAMILIES:
        rows = []
        for command in top(commands, title):
            rows.append(row(command, theirs))
            rows += [row(child, theirs)
                     for child in sorted(children_of(commands, command), key=lambda c: c.name)]
        if rows:
            text += f"## {title[0].upper()}{title[1:]}\n\n| command | since | |\n|---|---|---|\n"
            text += "\n".join(rows) + "\n\n"
    text += "## Of redis-server 7.0, not there yet\n\n"
    absent = missing(commands, theirs)
    if not absent:
        return text + "Nothing.\n"
    text += "They answer as unknown commands and subcommands do.\n\n| family | commands |\n|---|---|\n"
    for title, _ in FAMILIES:
        names = sorted(c.name for c in absent if family_of(c) == title)
        if names:
            text += f"| {title} | {', '.join(names)} |\n"
    return text


# ---- pages ----

def page_read(name):
    try:
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def pages(commands, theirs):
    """[(name, as it is, as it should be)]"""
    readme = page_read(README)
    return [(DOCUMENT, page_read(DOCUMENT), document(commands, theirs)),
            (README, readme, readme_of(readme, commands, theirs))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="write the pages")
    args = parser.parse_args()
    tessera, redis = tessera_path(), redis_path()
    if tessera is None or redis is None:
        print("skipped: tessera-server and redis-server are needed")
        return SKIP
    stale_count = 0
    both = pages(commands_of(tessera), commands_of(redis))
    for name, is_now, should_be in both:
        if is_now == should_be:
            continue
        stale_count += 1
        if args.write:
            with open(os.path.join(ROOT, name), "w", encoding="utf-8") as file:
                file.write(should_be)
            print(f"{name}: written")
            continue
        print(f"{name}: stale, run ./dev docs:")
        sys.stdout.writelines(list(difflib.unified_diff(
            is_now.splitlines(True), should_be.splitlines(True), "as it is", "as it should be",
            n=0))[:40])
    print(f"{len(both) - stale_count} passed, {0 if args.write else stale_count} failed")
    return 1 if stale_count > 0 and not args.write else 0


if __name__ == "__main__":
    sys.exit(main())
