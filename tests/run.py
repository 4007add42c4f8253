#!/usr/bin/env python3
"""Runs tests and sums up. The closing line is "N passed, N failed"; the exit code is 1 when a
test failed or none ran.

Usage: run.py [-k WORD]... FOLDER...

A folder holds test programs (cmocka; their output is shown when they fail) or test_*.py files
(unittest, all in one process). -k: only the tests whose names contain a WORD."""

import argparse
import os
import re
import subprocess
import sys
import time
import unittest

PASSED = re.compile(rb"\[  PASSED  \] (\d+) test")
FAILED = re.compile(rb"\[  FAILED  \] (\d+) test")
PROGRAM_LIMIT_S = 300


def programs(folder):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith("test_") and "." not in name and os.access(path, os.X_OK):
            yield path


def run_program(path):
    """Passed and failed tests of one program."""
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=PROGRAM_LIMIT_S, check=False)
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = late.stdout or b"", f"no end after {PROGRAM_LIMIT_S} s"
    passed = sum(int(n) for n in PASSED.findall(output))
    failed = sum(int(n) for n in FAILED.findall(output))
    if code != 0:
        failed = max(failed, 1)
        sys.stdout.write(output.decode(errors="replace"))
    elif passed == 0:
        failed = 1
        print("no test ran")
    print(f"{path}: {passed} passed, {failed} failed" + ("" if code == 0 else f" (exit {code})"),
          flush=True)
    return passed, failed


class Result(unittest.TextTestResult):
    """Counts tests, not sub-tests, and says how long each took."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.bad, self.began_s = set(), 0.0

    def startTest(self, test):
        self.began_s = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"      {time.monotonic() - self.began_s:.1f} s")

    def addError(self, test, err):
        self.bad.add(test.id())
        super().addError(test, err)

    def addFailure(self, test, err):
        self.bad.add(test.id())
        super().addFailure(test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.bad.add(test.id())
        super().addSubTest(test, subtest, err)

    def addSkip(self, test, reason):
        self.addFailure(test, (AssertionError, AssertionError(f"skipped: {reason}"), None))


def run_python(folder, words):
    """Passed and failed tests of a folder's test_*.py; a class that cannot be set up is one."""
    sys.path.insert(0, os.path.abspath(folder))
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{w}*" for w in words] or None
    suite = unittest.TestSuite(loader.loadTestsFromName(name[:-3])
                               for name in sorted(os.listdir(folder))
                               if re.fullmatch(r"test_\w+\.py", name))
    result = unittest.TextTestRunner(sys.stdout, verbosity=2, resultclass=Result).run(suite)
    print(f"{folder}: {result.testsRun} tests", flush=True)
    outside = sum(1 for name in result.bad if name.startswith(("setUp", "tearDown")))
    return result.testsRun - (len(result.bad) - outside), len(result.bad)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", dest="words", action="append", default=[])
    parser.add_argument("folders", nargs="+")
    options = parser.parse_args()
    sums = []
    for folder in options.folders:
        sums += [run_program(path) for path in programs(folder)]
        if any(re.fullmatch(r"test_\w+\.py", name) for name in os.listdir(folder)):
            sums.append(run_python(folder, options.words))
    passed, failed = (sum(column) for column in zip((0, 0), *sums))
    print(f"{passed} passed, {failed} failed")
    sys.exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
