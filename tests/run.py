#!/usr/bin/env python3
"""Runs tests and sums up.

Usage: run.py unit FOLDER...   the unit test programs of the folders
       run.py all FOLDER...    those, the generator's tests and the system tests
A unit test program is a cmocka one: its own output is shown when it fails. The closing line is
"N passed, N failed"; the exit code is 1 when a test failed or none ran.
"""
import os
import re
import subprocess
import sys

PASSED = re.compile(rb"\[  PASSED  \] (\d+) test")
FAILED = re.compile(rb"\[  FAILED  \] (\d+) test")
RAN = re.compile(rb"^Ran (\d+) tests?", re.M)
UNFIT = re.compile(rb"(?:failures|errors|skipped)=(\d+)")
PROGRAM_LIMIT_S = 300
SUITE_LIMIT_S = 1200
SUITES = (  # interpreter, folder, program: Python's unittest
    ("python3", ".", "schemas/generate.py", "check"),
    ("python3", ".", "tests/unit/test_generate.py"),
    ("build/venv/bin/python", "tests/system", "test_bridge.py"),
    ("build/venv/bin/python", "tests/system", "-m", "unittest", "test_answers"),
    ("build/venv/bin/python", "tests/system", "-m", "unittest", "test_replies"),
)


def programs(folders):
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.startswith("test_") and "." not in name and os.access(path, os.X_OK):
                yield path


def run(path):
    """Passed and failed tests of one program."""
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=PROGRAM_LIMIT_S, check=False)
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = late.stdout or b"", "no end after %d s" % PROGRAM_LIMIT_S
    passed = sum(int(n) for n in PASSED.findall(output))
    failed = sum(int(n) for n in FAILED.findall(output))
    if code != 0:
        failed = max(failed, 1)
        sys.stdout.write(output.decode(errors="replace"))
    elif passed == 0:
        failed = 1
        print("no test ran")
    print("%s: %d passed, %d failed%s" % (path, passed, failed,
                                          "" if code == 0 else " (exit %s)" % code))
    sys.stdout.flush()
    return passed, failed


def run_suite(python, folder, *arguments):
    """A suite of unittest counts its tests, and a skipped one is a failure; a check counts as one."""
    command = [os.path.abspath(python) if "/" in python else python, "-W",
               "ignore::ResourceWarning", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, PYTHONPATH=os.path.abspath("tests/kafka")),
                              timeout=SUITE_LIMIT_S, check=False)
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = late.stdout or b"", "no end after %d s" % SUITE_LIMIT_S
    counted = RAN.search(output)
    ran = int(counted.group(1)) if counted else 1
    failed = sum(int(n) for n in UNFIT.findall(output))
    if code != 0:
        failed = max(failed, 1)
    if failed:
        sys.stdout.write(output.decode(errors="replace"))
    print("%s: %d passed, %d failed" % (" ".join(arguments), max(ran - failed, 0), failed))
    sys.stdout.flush()
    return max(ran - failed, 0), failed


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("unit", "all"):
        sys.exit(__doc__)
    sums = [run(path) for path in programs(sys.argv[2:])]
    if sys.argv[1] == "all":
        sums += [run_suite(*suite) for suite in SUITES]
    passed = sum(p for p, _ in sums)
    failed = sum(f for _, f in sums)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
