#!/usr/bin/env python3
"""Runs tests and sums up. The closing line is "N passed, N failed"; the exit code is 1 when a
test failed or none ran.

Usage: run.py unit FOLDER...        the unit test programs of the folders
       run.py system [WORD]...      the system tests, or those whose names contain a WORD
       run.py all FOLDER...         both, the tests of the schemas' generator and the sandbox's

A unit test program is a cmocka one: its own output is shown when it fails. The system tests run
in processes of build/venv, each with a Kafka of its own: they wait most of their time, so two of
them share the files out between them. What the second one says comes when the first has ended."""

import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

PASSED = re.compile(rb"\[  PASSED  \] (\d+) test")
FAILED = re.compile(rb"\[  FAILED  \] (\d+) test")
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
PROGRAM_LIMIT_S = 300
SYSTEM_PROCESSES = 2
CLAIMS = "TEST_CLAIMS"  # a folder: whoever makes a file there runs the tests of that name
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


def is_mine(name):
    """Nobody else runs these tests."""
    folder = os.environ.get(CLAIMS)
    if not folder:
        return True
    try:
        os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def run_python(folder, words=()):
    """Passed and failed tests of a folder's test_*.py, the largest first; a class that cannot be
    set up is one."""
    sys.path[:0] = [folder, os.path.join(TESTS, "kafka")]
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{w}*" for w in words] or None
    names = [name for name in os.listdir(folder) if re.fullmatch(r"test_\w+\.py", name)]
    names.sort(key=lambda name: (-os.path.getsize(os.path.join(folder, name)), name))
    passed = failed = 0
    for name in names:
        if not is_mine(name):
            continue
        suite = loader.loadTestsFromName(name[:-3])
        if suite.countTestCases() == 0:
            continue
        result = unittest.TextTestRunner(sys.stdout, verbosity=2, resultclass=Result,
                                         warnings="ignore").run(suite)
        outside = sum(1 for bad in result.bad if bad.startswith(("setUp", "tearDown")))
        passed += result.testsRun - (len(result.bad) - outside)
        failed += len(result.bad)
    return passed, failed


def run_system():
    """The system tests need the client of build/venv: they run in processes of their own."""
    with tempfile.TemporaryDirectory() as claims:
        children, outputs = [], []
        for _ in range(SYSTEM_PROCESSES):
            outputs.append(tempfile.TemporaryFile("w+"))
            children.append(subprocess.Popen(
                [VENV_PYTHON, os.path.join(TESTS, "run.py"), "system"], text=True,
                env={**os.environ, CLAIMS: claims},
                stdout=outputs[-1] if children else subprocess.PIPE))
        for line in children[0].stdout:
            outputs[0].write(line)
            sys.stdout.write(line)
            sys.stdout.flush()
        sums = [sum_of(child, output) for child, output in zip(children, outputs)]
    return tuple(sum(column) for column in zip(*sums))


def sum_of(child, output):
    child.wait()
    output.seek(0)
    text = output.read()
    if not child.stdout:
        sys.stdout.write(text)
    counted = CLOSING.search(text.rstrip().rpartition("\n")[2])
    if child.returncode not in (0, 1) or not counted:
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
