"""Chaos on a real Kafka: instances and brokers die, stop and come back while a stream of commands
runs against front-sandbox, which loses some of its answers; then all that came out is judged.

    build/venv/bin/python tests/chaos/chaos.py KILLS [seed=K] [brokers=1|3]

A run leaves its facts in build/chaos/SEED: `checker.py FOLDER` judges them again."""

import collections
import json
import os
import pathlib
import random
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

import avro  # noqa: E402
import checker  # noqa: E402
import stage  # noqa: E402
import traffic  # noqa: E402
import trouble  # noqa: E402
import walks  # noqa: E402
from sandbox import Sandbox  # noqa: E402

KEYS, PARTITIONS, INSTANCES = 48, 6, 3
ROWS = 150  # of each collection that is listed
RATE, AHEAD = 40, 1500
# From the last kill to the last answer: leases of 12 s, looks 10 s apart, all of it again when
# what was sent again is lost again; and the backlog.
SETTLE_S = 240
READ_S = 300  # a whole topic
REST_S = 60  # then: runs of each sync, and no list in the jobs topic
SETTINGS = {"in.doubt": "probe", "front.timeout.ms": 1000, "retry.backoff.ms": 100,
            "shutdown.drain.ms": 5000}
# The first one follows what the traffic changes.
SYNCS = {
    "people": {"operation": "list-contacts", "every.ms": 3000, "cursor": "updated_after",
               "overlap.ms": 1000, "params.limit": 20, "params.sort_by": "sync-people"},
    "labels": {"operation": "list-tags", "every.ms": 5000, "params.limit": 20,
               "params.sort_by": "sync-labels"}}


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
        sandbox = Sandbox("--fill", str(ROWS), "--seed", str(self.seed % 1000 + 1), "--journal",
                          "1000000", "--max-objects", "1000000", "--hold-ms", "5000")
        self.stage = stage.Stage(sandbox, PARTITIONS,
                                 bootstrap=self.cluster and self.cluster.bootstrap, **SETTINGS,
                                 **{f"sync.{name}.{key}": value for name, keys in SYNCS.items()
                                    for key, value in keys.items()})
        self.sandbox = sandbox
        for rows in traffic.TOPICS:
            self.stage.create(self.stage.items_topic(rows), {"cleanup.policy": "compact"})
        sandbox.ask("/me")  # the journal counts from the sandbox's start: this ties the clocks
        self.zero_ms = time.time() * 1000 - sandbox.requests()[0]["t_ms"]
        self.tag()
        sandbox.ask("/_sandbox/faults", traffic.faults())
        # Two sources of chance: how long a run takes does not change what is done to it.
        self.traffic = traffic.Traffic(self.stage, random.Random(chance.random()), KEYS, rate,
                                       AHEAD)
        self.trouble = trouble.Trouble(self.stage, self.cluster,
                                       random.Random(chance.random()), self.kills, INSTANCES)

    def tag(self):
        """So that the list of one tag has two pages, of many one row, of the others none."""
        for n in range(1, traffic.TAGGED + 1):
            tags = ["tag_1"] + [f"tag_{n}"] * (n > 1)
            self.sandbox.ask(f"/conversations/cnv_{n}", {"tag_ids": tags}, method="PATCH")

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
        amiss = self.traffic.amiss
        for what in (self.traffic.finish, lambda: self.stage.settle(SETTLE_S),
                     self.sync_again, self.rest, self.stage.check_counters, self.end):
            try:
                what()
            except AssertionError as e:
                amiss.append(str(e))
        return amiss

    def runs(self):
        return [r for r in self.stage.results() if r.source_topic is None]

    def sync_again(self):
        """Two more runs of each: the second began after all that was changed."""
        def counted():
            self.stage.read(0.2)
            return collections.Counter(r.command_id.rpartition("/")[0] for r in self.runs())

        before = counted()
        stage.wait_for("two more runs of each sync", lambda: all(
            counted()[f"sync/{name}"] >= before[f"sync/{name}"] + 2 for name in SYNCS), REST_S)

    def rest(self):
        """What was asked for too late or too early gets its tombstone as well."""
        def live():
            newest = {m.key(): m.value() for m in self.stage.scan(self.stage.jobs_topic)}
            return {key for key, value in newest.items() if value is not None}

        wanted = {f"sync/{name}".encode() for name in SYNCS}
        stage.wait_for("rest of the jobs topic", lambda: live() == wanted, REST_S, 0.5)

    def end(self):
        """All at once, so that what is read then does not change any more."""
        codes = [connector.terminate() for connector in self.stage.connectors]
        if any(codes):
            raise AssertionError(f"SIGTERM at the end: {codes}")
        while self.stage.read(0.5):
            pass

    def save(self, amiss):
        """All that the judge needs, in one folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        comments, messages = {}, {}
        journal = self.sandbox.requests()  # before calls of our own
        self.sandbox.ask("/_sandbox/faults", method="DELETE")
        for n in range(1, KEYS + 1):
            path = f"/conversations/cnv_{n}"
            comments[f"cnv_{n}"] = self.rows(f"{path}/comments")
            messages[f"cnv_{n}"] = self.rows(f"{path}/messages?limit=100")
        listed = {rows: [row["id"] for row in self.rows(
            f"/{rows}?limit=100&sort_order=asc")] for rows in set(traffic.LISTS.values())}
        for command in self.traffic.commands:
            command["place"] = command["place"][0] if command["place"] else None
        for connector, instance in zip(self.stage.connectors, self.trouble.instances):
            shutil.copy(connector.log, self.folder / f"{instance.name}.log")
        facts = {
            "kills": self.kills, "seed": self.seed, "brokers": self.n_brokers,
            "seconds": time.monotonic() - self.began, "zero_ms": self.zero_ms, "amiss": amiss,
            "counts": self.trouble.counts, "trouble": self.trouble.lines,
            "ends": self.trouble.ends, "commands": self.traffic.commands,
            "results": [self.row(r) for r in self.stage.results() if r.source_topic],
            "runs": [self.row(r) for r in self.runs()], "syncs": {
                name: {**keys, "rows": traffic.LISTS[keys["operation"]]}
                for name, keys in SYNCS.items()},
            "collections": listed, "of_rows": self.lists_of_rows(listed),
            "items": self.items(), "jobs": self.jobs(),
            "commands_topic": self.stage.commands,
            "dead_letters": len(self.stage.dead_letters()),
            "journal": journal, "comments": comments, "messages": messages}
        (self.folder / "facts.json").write_text(json.dumps(
            facts, default=lambda moment: moment.timestamp() * 1000))

    @staticmethod
    def row(result):
        return {**result.fields, "partition": result.partition, "offset": result.offset,
                "timestamp": result.timestamp, "response": None}

    def items(self):
        """By command_id what its list produced, in the order of each partition."""
        items = collections.defaultdict(list)
        for rows in sorted(traffic.TOPICS):
            for message in self.stage.scan(self.stage.items_topic(rows), READ_S):
                note = None
                if rows == "contacts":
                    fields = avro.decode("resources/Contact", message.value())["custom_fields"]
                    note = json.loads(fields or "{}").get("Note")
                headers = {name: value.decode() for name, value in message.headers()}
                items[headers["command-id"]].append({
                    "rows": rows, "id": message.key().decode(), "note": note,
                    "operation": headers["operation"], "parent": self.parent(headers, message),
                    "partition": message.partition(), "offset": message.offset(),
                    "timestamp": message.timestamp()[1]})
        return items

    @staticmethod
    def parent(headers, message):
        """Whose list it is of; None: of no row's."""
        if headers["operation"] not in walks.OF_ROWS:
            return None
        kind = walks.OF_ROWS[headers["operation"]][3]
        return avro.decode(f"resources/{kind}", message.value())["_parent_id"]

    def lists_of_rows(self, listed):
        """By the operation that reads it and by row what a row's list has."""
        return {operation: {row: [r["id"] for r in self.rows(
            f"/{rows}/{row}/{word}?limit=100&sort_order=asc")] for row in listed[rows]}
                for operation, (rows, word, _, _) in walks.OF_ROWS.items()}

    def jobs(self):
        """The jobs topic, record by record."""
        def row(message):
            record = message.value()
            if record and not message.key().endswith(b"/cancel"):
                fields = avro.decode("records/Job", record)
                record = {name: fields[name] for name in ("kind", "state", "command_id", "pages",
                                                          "items", "seq", "restarts")}
            else:
                record = record and record.decode()
            return {"key": message.key().decode(), "partition": message.partition(),
                    "offset": message.offset(), "record": record}

        return [row(m) for m in self.stage.scan(self.stage.jobs_topic, READ_S)]

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
