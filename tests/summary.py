"""summary.py: what a run of `meson test` amounts to, counted in single tests.

One meson test is one program, which may hold hundreds of test cases. Each program is counted by
what it prints, in this order of preference:

  Criterion   [====] Synthesis: Tested: 12 | Passing: 11 | Failing: 1 | Crashing: 0
  scripts     N passed, N failed[, N skipped]      (every such line of its own is added)
  TAP         ok 1 - name / not ok 2 - name / ok 3 # SKIP why
  silence     one test, by its exit code

A program that failed without naming a failed test (it crashed, or ran out of time) counts as one
failure more, so that no failure is ever lost. The logs of programs that failed are printed, then
the total stands alone on the last line. Exit code 1 when anything failed or nothing ran.
"""

import json
import re
import sys

CRITERION = re.compile(
    r"Synthesis: Tested: (\d+) \| Pass\w+: (\d+) \| Fail\w+: (\d+) \| Crashing: (\d+)")
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.MULTILINE)
TAP_PLAN = re.compile(r"^1\.\.\d+", re.MULTILINE)
TAP = re.compile(r"^(not )?ok\b(.*)$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LOG_SIZE_MAX = 60_000  # enough for a failing seed and its history, not for a megabyte of dots


def count_output(text):
    """(passed, failed, skipped) as the program itself tells it, None when it tells nothing."""
    rows = CRITERION.findall(text)
    if rows:
        return (sum(int(row[1]) for row in rows),
                sum(int(row[2]) + int(row[3]) for row in rows), 0)
    rows = SCRIPT.findall(text)
    if rows:
        return tuple(sum(int(row[i] or 0) for row in rows) for i in range(3))
    if TAP_PLAN.search(text):
        rows = TAP.findall(text)
        skipped = sum(1 for bad, rest in rows if not bad and re.search(r"#\s*skip", rest, re.I))
        failed = sum(1 for bad, rest in rows if bad and not re.search(r"#\s*todo", rest, re.I))
        return len(rows) - failed - skipped, failed, skipped
    return None


def count_test(test):
    """(passed, failed, skipped) of one line of meson's log."""
    if test["result"] == "SKIP":
        return 0, 0, 1
    text = COLOUR.sub("", (test.get("stdout") or "") + "\n" + (test.get("stderr") or ""))
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    passed, failed, skipped = count_output(text) or (int(good), 0, 0)
    if good and failed == 0:
        return passed, 0, skipped
    return passed, max(failed, 1), skipped


def print_log(test):
    print(f"==== {test['name']}: {test['result']} (exit code {test.get('returncode')})")
    print("     " + " ".join(test.get("command") or []))
    for stream in ("stdout", "stderr"):
        text = (test.get(stream) or "").rstrip()
        if len(text) > LOG_SIZE_MAX:
            text = "[the beginning is left out]\n" + text[-LOG_SIZE_MAX:]
        if text:
            print(f"---- {stream}\n{text}")


def main():
    total = [0, 0, 0]
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                test = json.loads(line)
                counts = count_test(test)
                total = [a + b for a, b in zip(total, counts)]
                if counts[1] > 0:
                    print_log(test)
    passed, failed, skipped = total
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed > 0 or passed == 0 else 0


sys.exit(main())
