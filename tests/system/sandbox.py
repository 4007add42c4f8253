"""front-sandbox in Front's place: it has a state, so that what a lost call made can be found."""

import json
import pathlib
import subprocess
import urllib.request

from stage import kafka

TOKEN = "a-token-of-the-tests"
PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "build" / "front-sandbox"


class Sandbox:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "--no-kafka", "--port", "0", "--quota", "fixed:100000", "--guards", "off",
             *options], stdout=subprocess.PIPE, text=True,
            preexec_fn=kafka.die_with_parent)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def ask(self, path, data=None, method=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body,
                                         {"Authorization": "Bearer " + TOKEN}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fault(self, **fault):
        self.ask("/_sandbox/faults", fault)

    def requests(self, method=None):
        rows, since = [], 0
        while page := self.ask(f"/_sandbox/requests?limit=10000&since={since}"):
            rows += page
            since = page[-1]["n"]
        return [r for r in rows if method in (None, r["method"])]

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
