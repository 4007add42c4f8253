#!/usr/bin/env python3
"""Runs tests and sums up. The closing line is "N passed, N failed"; the exit code is 1 when a
test failed or none ran.

Usage: run.py unit FOLDER...        the unit test programs of the folders
       run.py system [WORD]...      the system tests, or those whose names contain a WORD
       run.py all FOLDER...         both, the tests of the schemas' generator and the sandbox's

A unit test program is a cmocka one: its own output is shown when it fails. The system tests run
in one process of build/venv, with one Kafka."""

import os
import re
import subprocess
import sys
import time
import unittest

PASSED = re.compile(rb"\[  PASSED  \] (\d+) test")
FAILED = re.compile(rb"\[  FAILED  \] (\d+) test")
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
PROGRAM_LIMIT_S = 300
TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
VENV_PYTHON = os.path.join(ROOT, "build", "venv", "bin", "python")


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


def run_python(folder, words=()):
    """Passed and failed tests of a folder's test_*.py; a class that cannot be set up is one."""
    sys.path.insert(0, folder)
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{w}*" for w in words] or None
    suite = unittest.TestSuite(loader.loadTestsFromName(name[:-3])
                               for name in sorted(os.listdir(folder))
                               if re.fullmatch(r"test_\w+\.py", name))
    result = unittest.TextTestRunner(sys.stdout, verbosity=2, resultclass=Result,
                                     warnings="ignore").run(suite)
    outside = sum(1 for name in result.bad if name.startswith(("setUp", "tearDown")))
    return result.testsRun - (len(result.bad) - outside), len(result.bad)


def run_system():
    """The system tests need the client of build/venv: they run in a process of their own."""
    child = subprocess.Popen([VENV_PYTHON, os.path.join(TESTS, "run.py"), "system"],
                             stdout=subprocess.PIPE, text=True)
    output = []
    for line in child.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        output.append(line)
    counted = CLOSING.search("".join(output[-1:]))
    if child.wait() not in (0, 1) or not counted:
        print(f"the system tests ended with {child.returncode}")
        return 0, 1
    return int(counted.group(1)), int(counted.group(2))


def check_generated():
    """The generated schemas and tables are what the generator makes: counts as one test."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "schemas", "generate.py"), "check"],
                          check=False)
    return (1, 0) if done.returncode == 0 else (0, 1)


def main():
    mode, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if mode not in ("unit", "system", "all") or (mode != "system" and not rest):
        sys.exit(__doc__)
    if mode == "system":
        if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(
                os.path.dirname(VENV_PYTHON))):
            os.execv(VENV_PYTHON, [VENV_PYTHON, *sys.argv])
        sums = [run_python(os.path.join(TESTS, "system"), rest)]
    else:
        sums = [run_program(path) for folder in rest for path in programs(folder)]
    if mode == "all":
        sums += [check_generated(), run_python(os.path.join(TESTS, "unit")),
                 run_python(os.path.join(TESTS, "sandbox")), run_system()]
    passed, failed = (sum(column) for column in zip((0, 0), *sums))
    print(f"{passed} passed, {failed} failed")
    sys.exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
