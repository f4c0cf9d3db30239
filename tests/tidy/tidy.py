"""tidy.py: the house rules that a compiler does not know.

    tidy.py --source ROOT --build BUILD     check a tree and the objects that were built of it
    tidy.py --self-test                     check the checks: a small bad tree breaks every rule

Each rule is a function that yields findings (path, line, reason) and stands in CHECKS. A finding is
printed as `path:line: reason`; the last line counts rules, `N passed, N failed`.

The rules read text with comments and literals blanked out, not a syntax tree: what they forbid is
plain enough for that, and the whole run takes about a second. The rule about state is the exception:
what a file keeps between calls is read from the objects' symbol tables, where no macro can hide it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

# What a folder may include. A folder stands on those above it; net and persist are neighbours.
FOLDERS = {
    "core": {"core"},
    "net": {"core", "net"},
    "persist": {"core", "persist"},
    "shard": {"core", "net", "persist", "shard"},
    "cluster": {"core", "net", "persist", "shard", "cluster"},
}
# Not the server: may include all of it.
SUPPORT_FOLDERS = ("bench", "tests")
LINE_COUNT_MAX = 800

TIME_HOME = ("core/clock.c", "core/clock.h")
TIME_WORDS = ("clock_gettime", "gettimeofday", "time", "clock", "ftime", "timespec_get", "times",
              "__rdtsc", "__rdtscp", "_rdtsc", "__builtin_ia32_rdtsc", "__builtin_ia32_rdtscp")
RANDOM_HOME = ("core/random.c", "core/random.h")
RANDOM_WORDS = ("getrandom", "getentropy", "rand", "rand_r", "srand", "random", "srandom",
                "drand48", "erand48", "lrand48", "mrand48", "arc4random", "arc4random_buf",
                "arc4random_uniform")
UNBOUNDED_WORDS = ("sprintf", "vsprintf", "strcpy", "stpcpy", "strcat", "gets", "strtok", "alloca",
                   "__builtin_alloca")

# Sections that are written to while the program runs. .data.rel.ro is not: the loader fills in
# its pointers and seals it.
MUTABLE_SECTION = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\.ldata|\.lbss|\*COM\*)")
# What sanitizers put there.
TOOLCHAIN_SYMBOL = re.compile(r"^(__asan|__odr_asan|__tsan|__ubsan|__sancov|\.L|_GLOBAL__)")
SYMBOL_LINE = re.compile(r"^[0-9a-f]+ (.{7}) (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]')
COMMENT_OR_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


class Tree:
    """The sources under `root`, read once."""

    def __init__(self, root, build):
        self.root = root
        self.build = build
        self.text = {}
        for folder in (*FOLDERS, *SUPPORT_FOLDERS):
            for directory, _, names in os.walk(os.path.join(root, folder)):
                for name in names:
                    if name.endswith((".c", ".h", ".py", ".sh")):
                        self.read(os.path.relpath(os.path.join(directory, name), root))
        for name in ("main.c", "dev"):
            if os.path.exists(os.path.join(root, name)):
                self.read(name)
        self.code = {path: blank(text) for path, text in self.text.items()
                     if path.endswith((".c", ".h"))}

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            self.text[path] = file.read()

    def server_sources(self):
        """Paths of the server's own .c and .h files."""
        return sorted(path for path in self.code if folder_of(path) not in SUPPORT_FOLDERS)


def blank(text):
    """The text without comments and without what stands in literals; lines keep their numbers."""
    def hide(match):
        kept = re.sub(r"[^\n]", " ", match.group())
        return kept if match.group()[0] == "/" else match.group()[0] + kept[1:-1] + match.group()[0]
    return COMMENT_OR_LITERAL.sub(hide, text)


def folder_of(path):
    return path.split("/")[0] if "/" in path else ""


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(tree, path):
    """(line, is_system, name) of each #include that is not commented out."""
    code = tree.code[path].split("\n")
    for number, line in enumerate(tree.text[path].split("\n"), 1):
        match = INCLUDE.match(line)
        if match and "include" in code[number - 1]:
            yield number, match.group(1) == "<", match.group(2)


def find_calls(tree, paths, words, homes, reason):
    """Calls of `words` outside of `homes`; members of that name (`op->time(`) are others."""
    call = re.compile(r"(?<![\w.>])(" + "|".join(words) + r")\s*\(")
    for path in paths:
        if path in homes:
            continue
        for match in call.finditer(tree.code[path]):
            yield path, line_of(tree.code[path], match.start()), f"{match.group(1)}(): {reason}"


def check_includes(tree):
    """Includes point downward."""
    for path in sorted(tree.code):
        folder = folder_of(path)
        for line, is_system, name in includes(tree, path):
            target = folder_of(name)
            if is_system:
                continue
            if target not in FOLDERS and target not in SUPPORT_FOLDERS:
                if folder not in SUPPORT_FOLDERS:
                    yield path, line, f'"{name}": write it from the root, as "core/base.h"'
            elif folder in FOLDERS and target not in FOLDERS[folder]:
                yield path, line, f'"{name}": {folder}/ may not know {target}/'
            elif folder == "" and target in SUPPORT_FOLDERS:
                yield path, line, f'"{name}": the server does not depend on {target}/'
            elif (name.endswith("_internal.h") and target != folder
                  and folder not in SUPPORT_FOLDERS):
                yield path, line, f'"{name}": internal to {target}/ and its tests'


def check_own_header(tree):
    """x.c includes x.h first, which proves that the header stands alone."""
    for path in tree.server_sources():
        header = path[:-2] + ".h"
        if not path.endswith(".c") or header not in tree.code:
            continue
        first = next(includes(tree, path), (1, False, "nothing"))
        if first[2] != header:
            yield path, first[0], f'includes "{first[2]}" before its own "{header}"'


def built_objects(tree):
    """(object, source) for each object of a source of the server, as Meson names them."""
    mangled = {path.replace("/", "_") + ".o": path for path in tree.server_sources()}
    for directory, _, names in os.walk(tree.build):
        if directory.endswith(".p"):
            for name in sorted(names):
                if name in mangled:
                    yield os.path.join(directory, name), mangled[name]


def check_state(tree):
    """No mutable file-scope state: two cores of one process would share it."""
    seen = set()
    for path, source in built_objects(tree):
        seen.add(source)
        table = subprocess.run(["objdump", "-t", path], capture_output=True, text=True, check=True)
        if "__gnu_lto_slim" in table.stdout:
            yield source, 1, f"{path} holds no machine code: give --build a tree without LTO"
            return
        for match in map(SYMBOL_LINE.match, table.stdout.split("\n")):
            if match is None or "d" in match.group(1) or TOOLCHAIN_SYMBOL.match(match.group(3)):
                continue
            if MUTABLE_SECTION.match(match.group(2)):
                name = match.group(3).split(".")[0]
                found = re.search(r"\b" + re.escape(name) + r"\b", tree.code[source])
                yield (source, line_of(tree.code[source], found.start()) if found else 1,
                       f"{name} is mutable file-scope state ({match.group(2)})")
    if not seen:
        yield "", 0, f"no object of the server under {tree.build}: nothing was checked"


def check_time(tree):
    """The clock is read in core/clock alone; everybody else is told the time."""
    return find_calls(tree, tree.server_sources(), TIME_WORDS, TIME_HOME,
                      "time is read in core/clock.c only")


def check_random(tree):
    """Randomness comes from core/random alone, so that a seed replays a run."""
    return find_calls(tree, tree.server_sources(), RANDOM_WORDS, RANDOM_HOME,
                      "randomness comes from core/random.c only")


def check_unbounded(tree):
    """No function that writes without knowing how much room there is."""
    return find_calls(tree, sorted(tree.code), UNBOUNDED_WORDS, (), "it has no bound")


def check_length(tree):
    """A file can be read at one sitting."""
    for path in sorted(tree.text):
        count = tree.text[path].count("\n")
        if count > LINE_COUNT_MAX:
            yield path, LINE_COUNT_MAX + 1, f"{count} lines, at most {LINE_COUNT_MAX}: split it"


CHECKS = (check_includes, check_own_header, check_state, check_time, check_random,
          check_unbounded, check_length)


def run(root, build):
    """Run all checks over a tree; {check: findings}."""
    tree = Tree(root, build)
    return {check: list(check(tree)) for check in CHECKS}


def report(results):
    failed = 0
    for check, findings in results.items():
        for path, line, reason in findings:
            print(f"{path}:{line}: {reason}")
        if findings:
            failed += 1
            print(f"    broken: {check.__doc__}")
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


# A tree in which every line that ends with a BAD mark breaks the rule that the mark names.
BAD_TREE = {
    "core/good.h": "int good_add(int a, int b);\n",
    "core/good.c": '#include "core/good.h"\n'
                   "#include <stdio.h>\n"
                   "/* time(NULL) and rand() in a comment */\n"
                   "static const char *const names[] = {\"sprintf(\", \"b\"};\n"
                   "static const int primes[] = {2, 3};\n"
                   "struct op { int (*time)(void); };\n"
                   "int good_add(int a, int b)\n"
                   "{\n"
                   "    char text[8];\n"
                   "    snprintf(text, sizeof(text), \"%s\", names[a & 1]);\n"
                   "    return a + b + primes[b & 1] + text[0];\n"
                   "}\n"
                   "int good_call(struct op *op);\n"
                   "int good_call(struct op *op) { return op->time(); }\n",
    "core/clock.c": "#include <time.h>\n"
                    "long clock_now(void);\n"
                    "long clock_now(void) { return time(NULL); }\n",
    "core/bad.h": "int bad_run(void);\n",
    "core/bad.c": "#include <stdlib.h>  // BAD check_own_header\n"
                  '#include "core/bad.h"\n'
                  '#include "shard/high.h"  // BAD check_includes\n'
                  "#include <stdio.h>\n"
                  "#include <string.h>\n"
                  "#include <time.h>\n"
                  "static int calls;  // BAD check_state\n"
                  "int bad_mode = 3;  // BAD check_state\n"
                  "static _Thread_local int bad_depth;  // BAD check_state\n"
                  "int bad_run(void)\n"
                  "{\n"
                  "    static char scratch[64];  // BAD check_state\n"
                  "    sprintf(scratch, \"%d\", 1);  // BAD check_unbounded\n"
                  "    strcpy(scratch, \"x\");  // BAD check_unbounded\n"
                  "    calls += rand();  // BAD check_random\n"
                  "    bad_depth += (int)time(NULL);  // BAD check_time\n"
                  "    struct timespec ts;\n"
                  "    clock_gettime(CLOCK_REALTIME, &ts);  // BAD check_time\n"
                  "    return calls + bad_depth + bad_mode + scratch[0];\n"
                  "}\n",
    "shard/high.h": "int high_run(void);\n",
    "shard/high.c": '#include "shard/high.h"\n'
                    '#include "core/good.h"\n'
                    '#include "core/secret_internal.h"  // BAD check_includes\n'
                    "int high_run(void) { return good_add(1, 2); }\n",
    "core/secret_internal.h": "int secret(void);\n",
    "net/wide.c": '#include "persist/file.h"  // BAD check_includes\n'
                  "int wide_run(void);\n"
                  "int wide_run(void) { return 0; }\n",
    "persist/file.h": "int file_run(void);\n",
    "persist/long.c": "\n" * LINE_COUNT_MAX + "/* one too many */  // BAD check_length\n",
}


def compile_tree(root, build):
    compiler = os.environ.get("CC", "cc").split()
    os.makedirs(build)
    for path in BAD_TREE:
        if path.endswith(".c"):
            target = os.path.join(build, path.replace("/", "_") + ".o")
            subprocess.run([*compiler, "-c", "-w", "-fPIC", "-I", root, "-o", target,
                            os.path.join(root, path)], check=True)


def self_test():
    """Every rule finds what it must in the bad tree, and nothing besides."""
    expected = {check: set() for check in CHECKS}
    with tempfile.TemporaryDirectory() as root:
        for path, text in BAD_TREE.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
            for number, line in enumerate(text.split("\n"), 1):
                if "BAD " in line:
                    expected[globals()[line.split("BAD ")[1]]].add((path, number))
        build = os.path.join(root, "build", "lib.p")
        compile_tree(root, build)
        results = run(root, os.path.join(root, "build"))
        without_objects = run(root, os.path.join(root, "nowhere"))[check_state]
    failed = 0
    for check in CHECKS:
        found = {(path, line) for path, line, _ in results[check]}
        if found != expected[check] or not found:
            failed += 1
            print(f"{check.__name__}: missed {sorted(expected[check] - found)}, "
                  f"invented {sorted(found - expected[check])}")
    if not without_objects:
        failed += 1
        print("check_state: content with no objects at all")
    print(f"{len(CHECKS) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description="the house rules that a compiler does not know")
    parser.add_argument("--source", default=".", help="root of the sources")
    parser.add_argument("--build", default="build/debug", help="a build of them, without LTO")
    parser.add_argument("--self-test", action="store_true", help="check the checks")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    return report(run(os.path.abspath(args.source), os.path.abspath(args.build)))


sys.exit(main())
