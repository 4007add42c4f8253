#!/usr/bin/env python3
"""Breaks the engine, one way at a time, and asks whether the simulator sees it.

Usage: mutate.py BUILD [WORD...]

All breakings of mutations/*.txt, or those whose names contain a WORD; in a copy under
BUILD. Prints for each the seed and the rule that saw it. The exit code is 1 when one was
not seen, or does not fit the source any more."""

import glob
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SEEDS = 20000
LIMIT_S = 900


def blocks():
    for path in sorted(glob.glob(os.path.join(HERE, "mutations", "*.txt"))):
        text = open(path).read()
        for block in re.split(r"^== ", text, flags=re.M)[1:]:
            name, *lines = block.rstrip("\n").split("\n")
            lines = [l for l in lines if not l.startswith(" ")]  # a reason
            yield name, files(lines)


def files(lines):
    """For each file that is named: what goes and what comes."""
    named = {}
    for line in lines:
        if line.startswith(("connector/", "tests/")):
            own = named.setdefault(line, [])
        elif line:
            own.append(line)
    return {path: edits(own) for path, own in named.items()}


def edits(lines):
    """Pairs of old and new text: a run of '-' lines and the '+' lines behind it."""
    pairs, old, new = [], [], []
    for line in lines + ["-"]:
        if line.startswith("-") and new:
            pairs.append(("\n".join(old), "\n".join(new)))
            old, new = [], []
        if line.startswith("-"):
            old.append(line[1:])
        elif line.startswith("+"):
            new.append(line[1:])
    return pairs


def broken(source, pairs):
    for old, new in pairs:
        if source.count(old) != 1:
            raise ValueError(f"found {source.count(old)} times: {old.strip()}")
        source = source.replace(old, new)
    return source


def build(tree):
    return subprocess.run(["make", "-s", "build/simulator"], cwd=tree, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def judge(tree):
    """What the simulator says: the line of the rule, or None."""
    try:
        done = subprocess.run(["build/simulator", f"seeds={SEEDS}", "jobs=2"], cwd=tree,
                              timeout=LIMIT_S, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {LIMIT_S} s"
    if done.returncode == 0:
        return None
    said = done.stdout.decode(errors="replace").split("\n")
    rules = [l for l in said if "broken:" in l or "never happened" in l]
    return rules[-1] if rules else f"exit code {done.returncode}"


def main():
    scratch = os.path.join(ROOT, sys.argv[1], "mutations")
    words = sys.argv[2:]
    shutil.rmtree(scratch, ignore_errors=True)
    for part in ("connector", os.path.join("tests", "sim")):
        shutil.copytree(os.path.join(ROOT, part), os.path.join(scratch, part))
    shutil.copy(os.path.join(ROOT, "Makefile"), scratch)
    first = build(scratch)
    if first.returncode != 0 or judge_short(scratch):
        sys.exit(f"the engine as it is does not build or is red:\n{first.stdout}")
    seen, missed = 0, []
    for name, changes in blocks():
        if words and not any(w in name for w in words):
            continue
        verdict, ok = try_one(scratch, changes)
        if name.startswith("same:") and verdict.startswith("green"):
            print(f"same {name[6:]}\n       {verdict}", flush=True)
            continue
        seen += ok
        if not ok:
            missed.append(name)
        print(f"{'red ' if ok else 'NOT '} {name}\n       {verdict}", flush=True)
    print(f"{seen} seen, {len(missed)} not seen")
    for name in missed:
        print(f"not seen: {name}")
    sys.exit(1 if missed or not seen else 0)


def judge_short(tree):
    return subprocess.run(["build/simulator", "seeds=100"], cwd=tree, check=False,
                          stdout=subprocess.DEVNULL).returncode != 0


def try_one(scratch, changes):
    originals, texts = {}, {}
    for path, pairs in changes.items():
        full = os.path.join(scratch, path)
        originals[full] = open(full).read()
        try:
            texts[full] = broken(originals[full], pairs)
        except ValueError as e:
            return f"does not fit {path}: {e}", False
    began_s = time.monotonic()
    try:
        write(texts)
        done = build(scratch)
        if done.returncode != 0:
            return "does not build: " + done.stdout.strip()[-600:], False
        verdict = judge(scratch)
    finally:
        write(originals)
    if verdict is None:
        return f"green over {SEEDS} seeds ({time.monotonic() - began_s:.0f} s)", False
    return verdict, True


def write(texts):
    for path, text in texts.items():
        with open(path, "w") as f:
            f.write(text)


main()
