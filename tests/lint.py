#!/usr/bin/env python3
"""The rules of the house that a program can check. Prints "file:line: what" for each breach; the
exit code is 1 when there is one.

  format      clang-format 14 (others space some things otherwise) agrees, but for generated tables
  floors      a file includes its own floor or a lower one; library headers only where they belong
  banned      functions that overflow, lose errors or go past base/mem.c; threads in kafka/worker.c only
  length      no hand-written file above 800 lines
  shell       shellcheck
  generated   schemas, tables, sample settings and config/README.md are what their sources make
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINES_MAX = 800
FORMAT_VERSION = 14
FLOORS = {"base": 0, "net": 1, "codec": 2, "front": 3, "kafka": 3, "engine": 4, "cli": 5}
# A library's header, and the only files that may include it.
LIBRARIES = {
    "librdkafka/": ("connector/kafka/", "tests/sandbox/", "tests/unit/test_kafka", "tests/bench/"),
    "curl/": ("connector/net/", "tests/sandbox/", "tests/bench/", "connector/cli/version.c"),
    "microhttpd.h": ("connector/net/", "tests/sandbox/", "tests/bench/",
                     "connector/cli/version.c"),
    "avro.h": ("connector/codec/", "tests/bench/"),
    "uthash.h": ("connector/base/map.h",),
    "pthread.h": ("connector/kafka/", "connector/base/log.c", "tests/"),
}
BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|sscanf"
                    r"|alloca|malloc|calloc|realloc|strdup|strndup|asprintf|system|popen)\s*\(")
THREAD = re.compile(r"(?<!\w)pthread_create\s*\(")
SHELL = re.compile(rb"#!.*\bsh$|#!.*bash$", re.M)
# What may break a rule, and why.
ALLOWED = {
    ("banned", "connector/base/mem.c"): "the one place that allocates",
}


def tracked(*endings):
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
    return [name for name in names
            if name.endswith(endings) and os.path.isfile(os.path.join(ROOT, name))]


def text_of(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def head_of(name):
    with open(os.path.join(ROOT, name), "rb") as file:
        return file.readline(80)


def code_of(text):
    """The text with comments and strings blanked, lines kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def lines_matching(pattern, text):
    for number, line in enumerate(text.split("\n"), 1):
        for match in pattern.finditer(line):
            yield number, match


def check_format(sources):
    version = subprocess.run(["clang-format", "--version"], text=True, stdout=subprocess.PIPE,
                             check=True).stdout
    if f"version {FORMAT_VERSION}." not in version:
        print(f"format NOT checked: it wants clang-format {FORMAT_VERSION}, here is {version.strip()}")
        return
    hand = [name for name in sources if not name.endswith("_table.c")]
    done = subprocess.run(["clang-format", "--dry-run", *hand], cwd=ROOT, text=True,
                          stderr=subprocess.PIPE, check=True)
    for name, number in re.findall(r"^(\S+?):(\d+):\d+: warning", done.stderr, re.M):
        yield name, number, "not as clang-format has it"


def check_floors(sources):
    include = re.compile(r'^#include ([<"])([^>"]+)[>"]')
    for name in sources:
        parts = name.split("/")
        own = FLOORS.get(parts[1]) if parts[0] == "connector" and len(parts) > 2 else None
        for number, match in lines_matching(include, text_of(name)):
            target = match.group(2)
            floor = target.split("/")[0]
            if match.group(1) == '"' and own is not None:
                if floor not in FLOORS:
                    yield name, number, f"{target} is on no floor"
                elif FLOORS[floor] > own or (FLOORS[floor] == own and floor != parts[1]):
                    yield name, number, f"{target} is above {parts[1]}/ or beside it"
            for header, homes in LIBRARIES.items():
                if match.group(1) == "<" and target.startswith(header) \
                        and not name.startswith(homes):
                    yield name, number, f"<{target}> belongs in {', '.join(homes)}"


def check_banned(sources):
    for name in sources:
        code = code_of(text_of(name))
        if ("banned", name) not in ALLOWED:
            for number, match in lines_matching(BANNED, code):
                yield name, number, f"{match.group(1)}() is banned"
        if name.startswith("connector/") and name != "connector/kafka/worker.c":
            for number, _ in lines_matching(THREAD, code):
                yield name, number, "threads are made in kafka/worker.c only"


def check_length(sources):
    for name in sources:
        lines = text_of(name).count("\n")
        if lines > LINES_MAX and not name.endswith("_table.c"):
            yield name, lines, f"{lines} lines, more than {LINES_MAX}: one subject per file"


def check_shell(_):
    scripts = [name for name in tracked("") if SHELL.match(head_of(name))]
    done = subprocess.run(["shellcheck", "-f", "gcc", *scripts], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, check=False)
    for name, number, what in re.findall(r"^(\S+?):(\d+):\d+: (.*)$", done.stdout, re.M):
        yield name, number, what
    if done.returncode not in (0, 1):
        yield "tests/lint.py", 0, f"shellcheck ended with {done.returncode}"


def check_generated(_):
    done = subprocess.run([sys.executable, "schemas/generate.py", "check"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        yield "schemas", 0, f"run `make schemas`: {done.stdout.strip()}"
    for name, word in (("config/front-connector.conf", "print-sample"),
                       ("config/README.md", "print-settings-markdown")):
        made = subprocess.run(["build/front-connector", "internal", word], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, check=True).stdout
        if made != text_of(name):
            yield name, 0, "not what the settings table makes: run `make config`"


def main():
    sources = tracked(".c", ".h")
    checks = [check_format, check_floors, check_banned, check_length, check_shell, check_generated]
    breaches = 0
    for check in checks:
        for name, number, what in check(sources):
            print(f"{name}:{number}: {what}")
            breaches += 1
    print(f"lint: {len(sources)} C files, {breaches} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
