"""Lists and syncs with delivery=at-least-once on a real Kafka: nothing is lost, whoever is killed;
items and results may come again."""

import collections

import stage
import test_jobs
from stage import wait_for

SYNC = {"sync.people.operation": "list-contacts", "sync.people.every.ms": 4000}


class OnStage(test_jobs.OnStage):
    def setUp(self):
        self.front = test_jobs.Contacts(self.rows, self.delay_s)
        self.stage = stage.Stage(front=self.front, delivery="at-least-once")
        self.addCleanup(self.stage.close)
        self.items_topic = self.stage.items_topic("contacts")
        self.stage.create(self.items_topic, {"cleanup.policy": "compact"})

    def items_of(self):
        """By command_id how often each item came."""
        items = collections.defaultdict(collections.Counter)
        for record in self.stage.scan(self.items_topic):
            items[dict(record.headers())["command-id"].decode()][record.key().decode()] += 1
        return items

    def live_jobs(self):
        newest = {m.key(): m.value() for m in self.stage.scan(self.stage.jobs_topic)}
        return {key for key, value in newest.items() if value is not None}

    def wait_rest(self, *keys):
        wait_for("rest of the jobs topic", lambda: self.live_jobs() == set(keys), 60, 0.5)


class Killed(OnStage):
    rows, delay_s = 3000, 0.1

    def test_nothing_is_lost(self):
        both = [self.stage.start(**SYNC), self.stage.start(**SYNC, **{"instance.id": "two"})]
        self.stage.command("all", "list-contacts")
        self.stage.flush()
        kills = self.stage.kill_in_turn(
            both, lambda: "all" in self.stage.by_id and len(self.runs()) >= 3)
        for connector in both:
            connector.wait_ready()
        self.wait_rest(b"sync/people")
        for connector in both:
            self.assertEqual(connector.terminate(), 0)
        while self.stage.read(0.5):
            pass
        self.judge(kills)

    def runs(self):
        return [i for i in self.stage.by_id if i.startswith("sync/")]

    def judge(self, kills):
        everything, items = {f"crd_{n}" for n in range(self.rows)}, self.items_of()
        pages = 0
        for name, results in self.stage.by_id.items():
            self.assertEqual({r.outcome for r in results}, {"SUCCEEDED"}, name)
            self.assertEqual(set(items[name]), everything, name)
            pages += self.rows // test_jobs.PAGE
        again = sum(sum(times.values()) - len(times) for times in items.values())
        print(f"{len(self.runs())} runs and a list, {kills} kills, {self.calls()} calls for "
              f"{pages} pages, {again} items again")
        self.assertGreater(kills, 10)


class Refused(OnStage):
    """What is known of a job is written when its items are acknowledged, never beside them."""
    rows, delay_s = 100_000, 0.05

    def test_a_page_that_was_not_written_does_not_count(self):
        connector = self.stage.start()
        self.stage.command("endless", "list-contacts")
        self.stage.flush()
        wait_for("page 3", lambda: self.calls() > 3)
        self.stage.admin.delete_topics([self.items_topic])[self.items_topic].result(20)
        result = self.stage.answer("endless", 60)
        self.assertEqual((result.outcome, result.error["kind"]), ("FAILED", "topic-refused"))
        self.wait_rest()
        self.assertTrue(connector.running())


if __name__ == "__main__":
    stage.unittest.main()
