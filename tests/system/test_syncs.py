"""Syncs on a real Kafka: a list walked again and again, one result a run, every row once in each run,
whoever is killed meanwhile. A row's run is the command-id in its record's headers."""

import collections
import time

import avro
import stage
import test_jobs
from stage import wait_for

JOB = b"sync/people"


def sync(operation="list-contacts", **more):
    keys = {"operation": operation, **more}
    return {f"sync.people.{key}": value for key, value in keys.items()}


class OnStage(test_jobs.OnStage):
    def runs(self):
        """The results of all runs so far, in the order of their starts."""
        while self.stage.read(0.2):
            pass
        syncs = [o for o in self.stage.results() if o.command_id.startswith("sync/")]
        return sorted(syncs, key=lambda o: int(o.command_id.rpartition("/")[2]))

    def wait_runs(self, count, timeout_s=60):
        return wait_for(f"{count} runs", lambda: len(self.runs()) >= count and self.runs(),
                        timeout_s)

    def rows_by_run(self):
        rows = collections.defaultdict(collections.Counter)
        for message in self.topic(self.items_topic):
            run = dict(message.headers())["command-id"].decode()
            rows[run][message.key().decode()] += 1
        return rows

    def record(self):
        """The newest record of the sync; None: it was deleted, or never there."""
        records = [m.value() for m in self.topic(self.stage.jobs_topic) if m.key() == JOB]
        return avro.decode("records/Job", records[-1]) if records and records[-1] else None

    def jobs(self, connector, *arguments):
        return stage.run("jobs", *arguments, "-c", str(connector.conf))


class Runs(OnStage):
    def test_again_and_again(self):
        connector = self.stage.start(**sync(**{
            "every.ms": 3000, "cursor": "updated_after", "overlap.ms": 2000, "params.limit": 100}))
        first, second = self.wait_runs(2)[:2]
        for result in first, second:
            self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 250, 3))
            self.assertEqual((result.key, result.operation), (b"people", "list-contacts"))
            self.assertEqual((result.source_topic, result.source_partition, result.source_offset,
                              result.response), (None, None, None, None))
        rows = self.rows_by_run()[first.command_id]
        self.assertEqual(rows, collections.Counter(f"crd_{n}" for n in range(250)))
        started = [int(r.command_id.rpartition("/")[2]) for r in (first, second)]
        self.assertGreaterEqual(started[1] - started[0], 2000)
        asked = [dict(r.params()) for r in self.front.requests("/contacts")]
        self.assertNotIn("q[updated_after]", asked[0])
        self.assertEqual(int(asked[3]["q[updated_after]"]), (started[0] - 2000) // 1000)
        metrics = connector.metrics()
        at = metrics['sync_last_success_timestamp_seconds{sync="people"}']
        self.assertAlmostEqual(at, time.time(), delta=10)

    def test_what_users_see_between_two_runs(self):
        connector = self.stage.start(**sync(**{"every.ms": 600_000}))
        self.wait_runs(1)
        self.assertRegex(self.jobs(connector).stdout,
                         r"^sync/people  list-contacts  3 pages, 250 items, next run at 20\S+Z\n$")
        self.assertEqual(self.record()["state"], "waiting")
        nothing = self.jobs(connector, "cancel", "sync/people")
        self.assertEqual(nothing.returncode, 1)
        self.assertIn("waits for its next run", nothing.stderr)
        self.assertEqual(connector.metrics()['jobs{state="idle"}'], 1)

    def test_its_time_outlives_a_restart_and_its_record_goes_with_its_setting(self):
        connector = self.stage.start(**sync(**{"every.ms": 600_000}))
        self.wait_runs(1)
        self.assertEqual(connector.terminate(), 0)
        connector.start().wait_ready()
        connector.wait_line(r"taken over(?s:.*)taken over")
        self.assertEqual(connector.terminate(), 0)
        self.assertEqual(len(self.runs()), 1)
        self.assertEqual(self.calls(), 3)
        without = self.stage.start()
        without.wait_line(r"sync\.removed.* sync/people")
        wait_for("tombstone of the sync", lambda: self.record() is None)


class Cancelled(OnStage):
    rows, delay_s = 100_000, 0.1

    def test_a_cancel_ends_the_run_only(self):
        connector = self.stage.start(**sync(**{"every.ms": 1000}))
        wait_for("page 3", lambda: self.calls() > 3)
        self.assertEqual(self.jobs(connector, "cancel", "sync/people").returncode, 0)
        self.assertEqual(self.wait_runs(1)[0].outcome, "CANCELLED")
        self.front.rows = 7
        self.assertEqual(self.wait_runs(2)[1].outcome, "SUCCEEDED")


class Killed(OnStage):
    rows, delay_s = 3000, 0.25

    def test_every_row_once_a_run_and_one_result(self):
        settings = sync(**{"every.ms": 5000})
        both = [self.stage.start(**settings),
                self.stage.start(**settings, **{"instance.id": "two"})]
        kills = self.stage.kill_in_turn(both, lambda: len(self.stage.results()) >= 3)
        for connector in both:
            connector.wait_ready()
            self.assertEqual(connector.terminate(), 0)
        self.judge(self.runs(), kills)

    def judge(self, runs, kills):
        pages, rows, record = self.rows // test_jobs.PAGE, self.rows_by_run(), self.record()
        everything = collections.Counter(f"crd_{n}" for n in range(self.rows))
        self.assertEqual(len({r.command_id for r in runs}), len(runs), "one result a run")
        for result in runs:
            self.assertEqual((result.outcome, result.items, result.pages),
                             ("SUCCEEDED", self.rows, pages))
            self.assertEqual(rows.pop(result.command_id), everything)
        for before, after in zip(runs, runs[1:]):
            self.assertGreaterEqual(after.received_at, before.finished_at, "two at a time")
        for run, seen in rows.items():  # one that has not ended
            self.assertEqual((run, seen.total()), (record["command_id"], record["items"]))
            self.assertEqual(max(seen.values()), 1, "twice")
        fetched = sum(r.pages for r in runs)
        fetched += record["pages"] if record["state"] == "running" else 0
        print(f"{len(runs)} runs, {kills} kills, {self.calls()} calls for {fetched} pages")
        self.assertGreater(kills, 10)
        self.assertLessEqual(self.calls(), fetched + kills + 2)
