#!/usr/bin/env python3
"""Runs the unit test programs of the folders given and sums up.

Usage: run.py unit FOLDER...
Each program is a cmocka one: its own output is shown when it fails. The closing line is
"N passed, N failed"; the exit code is 1 when a test failed or none ran.
"""
import os
import re
import subprocess
import sys

PASSED = re.compile(rb"\[  PASSED  \] (\d+) test")
FAILED = re.compile(rb"\[  FAILED  \] (\d+) test")
PROGRAM_LIMIT_S = 300


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


def main():
    if len(sys.argv) < 3 or sys.argv[1] != "unit":
        sys.exit(__doc__)
    sums = [run(path) for path in programs(sys.argv[2:])]
    passed = sum(p for p, _ in sums)
    failed = sum(f for _, f in sums)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
