"""Chaos on a real Kafka: instances and brokers die, stop and come back while a stream of commands
runs against front-sandbox, which loses some of its answers; then all that came out is judged.

    build/venv/bin/python tests/chaos/chaos.py KILLS [seed=K] [brokers=1|3]

A run leaves its facts in build/chaos/SEED: `checker.py FOLDER` judges them again."""

import json
import os
import pathlib
import random
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

import checker  # noqa: E402
import stage  # noqa: E402
import traffic  # noqa: E402
import trouble  # noqa: E402
from sandbox import Sandbox  # noqa: E402

KEYS, PARTITIONS, INSTANCES = 48, 6, 3
RATE, AHEAD = 40, 1500
# From the last kill to the last answer: leases of 12 s, looks 10 s apart, all of it again when
# what was sent again is lost again; and the backlog.
SETTLE_S = 240
SETTINGS = {"in.doubt": "probe", "front.timeout.ms": 1000, "retry.backoff.ms": 100,
            "shutdown.drain.ms": 5000}


class Chaos:
    def __init__(self, kills, seed, brokers=1, rate=RATE):
        self.kills, self.seed, self.n_brokers = kills, seed, brokers
        self.folder = stage.BUILD / "chaos" / str(seed)
        self.began = time.monotonic()
        self.cluster = stage.kafka.Cluster() if brokers == 3 else None
        self.stage = None
        try:
            self.open(rate)
        except BaseException:
            self.close()
            raise

    def open(self, rate):
        if self.cluster:
            self.cluster.start()
        chance = random.Random(self.seed)
        sandbox = Sandbox("--fill", str(KEYS), "--seed", str(self.seed % 1000 + 1), "--journal",
                          "1000000", "--max-objects", "1000000", "--hold-ms", "5000")
        self.stage = stage.Stage(sandbox, PARTITIONS,
                                 bootstrap=self.cluster and self.cluster.bootstrap, **SETTINGS)
        self.sandbox = sandbox
        sandbox.ask("/me")  # the journal counts from the sandbox's start: this ties the clocks
        self.zero_ms = time.time() * 1000 - sandbox.requests()[0]["t_ms"]
        sandbox.ask("/_sandbox/faults", traffic.faults())
        # Two sources of chance: how long a run takes does not change what is done to it.
        self.traffic = traffic.Traffic(self.stage, random.Random(chance.random()), KEYS, rate,
                                       AHEAD)
        self.trouble = trouble.Trouble(self.stage, self.cluster,
                                       random.Random(chance.random()), self.kills, INSTANCES)

    def run(self):
        """The violations found; the summary is printed."""
        while not self.trouble.ended():
            self.trouble.turn()
            self.traffic.turn()
            self.stage.read(0.02)
        late = self.settle()
        self.save(late)
        facts = checker.load(self.folder)
        violations = checker.judge(facts)
        print(checker.summary(facts), flush=True)
        return violations

    def settle(self):
        """Waits for the rest, and for the counters of those that live; what was amiss."""
        amiss = []
        for what in (lambda: self.stage.settle(SETTLE_S), self.stage.check_counters):
            try:
                what()
            except AssertionError as e:
                amiss.append(str(e))
        return amiss

    def save(self, amiss):
        """All that the judge needs, in one folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        comments, messages = {}, {}
        self.sandbox.ask("/_sandbox/faults", method="DELETE")
        for n in range(1, KEYS + 1):
            path = f"/conversations/cnv_{n}"
            comments[f"cnv_{n}"] = self.rows(f"{path}/comments")
            messages[f"cnv_{n}"] = self.rows(f"{path}/messages?limit=100")
        for command in self.traffic.commands:
            command["place"] = command["place"][0] if command["place"] else None
        for connector, instance in zip(self.stage.connectors, self.trouble.instances):
            shutil.copy(connector.log, self.folder / f"{instance.name}.log")
        facts = {
            "kills": self.kills, "seed": self.seed, "brokers": self.n_brokers,
            "seconds": time.monotonic() - self.began, "zero_ms": self.zero_ms, "amiss": amiss,
            "counts": self.trouble.counts, "trouble": self.trouble.lines,
            "ends": self.trouble.ends, "commands": self.traffic.commands,
            "results": [{**r.fields, "partition": r.partition, "offset": r.offset,
                         "response": None} for r in self.stage.results()],
            "dead_letters": len(self.stage.dead_letters()),
            "journal": self.sandbox.requests(), "comments": comments, "messages": messages}
        (self.folder / "facts.json").write_text(json.dumps(
            facts, default=lambda moment: moment.timestamp() * 1000))

    def rows(self, path):
        rows = []
        while path:
            page = self.sandbox.ask(path)
            rows += page["_results"]
            path = (page.get("_pagination") or {}).get("next")
            path = path and path.removeprefix(self.sandbox.url)
        return rows

    def close(self):
        if self.stage:
            self.stage.close()
        if self.cluster:
            self.cluster.remove()

    def forget(self):
        """For a green run of the tests."""
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    options = dict(a.split("=", 1) for a in sys.argv[2:])
    if len(sys.argv) < 2 or not sys.argv[1].isdigit() or set(options) - {"seed", "brokers"}:
        sys.exit(__doc__)
    seed = int(options.get("seed") or random.randrange(1 << 30))
    brokers = int(options.get("brokers") or 1)
    if brokers not in (1, 3) or (brokers == 3 and os.environ.get("KAFKA_BOOTSTRAP")):
        sys.exit("brokers is 1 or 3; with 3 KAFKA_BOOTSTRAP must not be set")
    print(f"chaos: KILLS={sys.argv[1]} SEED={seed} BROKERS={brokers}", flush=True)
    run = Chaos(int(sys.argv[1]), seed, brokers)
    try:
        violations = run.run()
    finally:
        run.close()
    if violations:
        print(checker.report(checker.load(run.folder), violations))
        sys.exit(f"chaos: {len(violations)} violation(s); the facts are in {run.folder}")


if __name__ == "__main__":
    main()
