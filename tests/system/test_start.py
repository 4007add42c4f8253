"""Starting: settings with mistakes, a missing token file, missing topics, missing rights, a Kafka
that is not there. Each says what is wrong and what to do, with the right exit code."""

import os
import pathlib
import subprocess
import tempfile
import unittest
import uuid

import confluent_kafka
from confluent_kafka import admin

import avro
import kafka
import load
import stage


class Settings(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.conf = pathlib.Path(self.folder.name) / "mine.conf"

    def refused(self, text, *arguments):
        """Both `run` and `check` end with 2; their stderr."""
        self.conf.write_text(text)
        said = []
        for command in ("run", "check"):
            done = stage.run(command, "-c", str(self.conf), *arguments)
            self.assertEqual(done.returncode, 2, done.stderr + done.stdout)
            said.append(done.stderr + done.stdout)
        return said[0]

    def test_three_mistakes_are_three_messages_with_lines(self):
        said = self.refused("kafka.bootstrap.servers = 127.0.0.1:1\n"
                            "front.tokn = x\n"
                            "front.token = abcd\n"
                            "front.max.in.flight = 5000\n"
                            "delivery = at-most-once\n")
        lines = [line for line in said.splitlines() if "mine.conf:" in line]
        self.assertEqual(len(lines), 3, said)
        for number, words in ((2, ["front.tokn", "front.token"]),
                              (4, ["front.max.in.flight", "1024"]),
                              (5, ["delivery", "at-least-once"])):
            line = next(line for line in lines if f"mine.conf:{number}:" in line)
            for word in words:
                self.assertIn(word, line)

    def test_a_key_twice_names_both_lines(self):
        said = self.refused("kafka.bootstrap.servers = 127.0.0.1:1\nfront.token = abcd\n"
                            "group.id = a\ngroup.id = b\n")
        self.assertRegex(said, r"mine\.conf:4: group\.id:.*3")

    def test_missing_token(self):
        self.assertIn("front.token", self.refused("kafka.bootstrap.servers = 127.0.0.1:1\n"))

    def test_missing_token_file(self):
        said = self.refused("kafka.bootstrap.servers = 127.0.0.1:1\n"
                            "front.token = ${file:/nowhere/front-token}\n")
        self.assertIn("/nowhere/front-token", said)

    def test_a_property_that_is_ours(self):
        said = self.refused("kafka.bootstrap.servers = 127.0.0.1:1\nfront.token = abcd\n"
                            "kafka.producer.transactional.id = mine\n")
        self.assertIn("transactional.id", said)

    def test_the_secret_is_not_printed(self):
        said = self.refused("kafka.bootstrap.servers = 127.0.0.1:1\n"
                            "front.token = very-secret-token\nfront.url = ftp://x\n")
        self.assertNotIn("very-secret-token", said)


class Preflight(stage.Scene):
    def setUp(self):
        self.stage = self.open_stage()

    def refused(self, **settings):
        """`run` ends with 2, `check` as well; what `run` said."""
        connector = self.stage.start(ready=False, **settings)
        self.assertEqual(connector.wait_end(60), 2, kafka.tail(connector.log))
        done = stage.run("check", "-c", str(connector.conf))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        return connector.log.read_text(), done.stdout

    def test_missing_topic(self):
        for key in ("commands.topics", "results.topic", "dead.letters.topic", "jobs.topic"):
            with self.subTest(setting=key):
                for said in self.refused(**{key: "no-such-topic", "topics.create": "false"}):
                    self.assertIn("no-such-topic", said)
                    self.assertIn("topics.create", said)

    def test_missing_topics_are_made_when_wanted(self):
        tag = uuid.uuid4().hex[:8]
        connector = self.stage.start(**{
            "topics.create": "true", "results.topic": f"made-results-{tag}",
            "dead.letters.topic": f"made-dead-{tag}", "jobs.topic": f"made-jobs-{tag}"})
        topics = self.stage.admin.list_topics(timeout=10).topics
        self.assertEqual(len(topics[f"made-results-{tag}"].partitions), self.stage.partitions)
        self.assertIn(f"made-dead-{tag}", topics)
        self.assertEqual(len(topics[f"made-jobs-{tag}"].partitions), self.stage.partitions)
        self.assertEqual(self.stage.configuration(f"made-jobs-{tag}", "cleanup.policy"),
                         "compact")
        self.assertEqual(connector.terminate(), 0)

    def refused_without(self, kind, name, operation):
        """Refused while the right is missing; what was said names the resource."""
        with self.stage.denied(kind, name, operation):
            said = self.refused()
        for text in said:
            self.assertIn(name, text)
        return said

    def test_no_right_to_the_transactional_id(self):
        for said in self.refused_without(admin.ResourceType.TRANSACTIONAL_ID,
                                         f"{self.stage.group}.one", admin.AclOperation.WRITE):
            self.assertRegex(said, "(?i)transactional")

    def test_no_right_to_write_results(self):
        self.refused_without(admin.ResourceType.TOPIC, self.stage.results_topic,
                             admin.AclOperation.WRITE)

    def test_no_right_to_read_commands(self):
        self.refused_without(admin.ResourceType.TOPIC, self.stage.commands,
                             admin.AclOperation.READ)

    def test_no_right_to_read_jobs(self):
        self.refused_without(admin.ResourceType.TOPIC, self.stage.jobs_topic,
                             admin.AclOperation.READ)

    def test_no_right_to_the_group(self):
        self.refused_without(admin.ResourceType.GROUP, self.stage.group,
                             admin.AclOperation.READ)

    def test_check_says_ok_when_all_is_well(self):
        connector = self.stage.start()
        self.assertEqual(connector.terminate(), 0)
        done = stage.run("check", "-c", str(connector.conf))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("FAIL", done.stdout)
        self.assertIn("0 of 28 are there; a list makes its own", done.stdout)


class KafkaUnreachable(stage.Scene):
    def test_waits_with_a_message_and_goes_on_when_it_comes(self):
        if os.environ.get("KAFKA_BOOTSTRAP"):
            self.fail("KAFKA_BOOTSTRAP is set: this test must stop a broker of its own")
        stage.world.kafka()
        broker = kafka.Kafka()
        self.addCleanup(broker.remove)
        broker.start()
        on_stage = self.open_stage(bootstrap=broker.bootstrap)
        broker.stop(15)
        connector = on_stage.start(ready=False)
        connector.wait_line(f"(?i)waiting.*|{broker.bootstrap}.*not reached", 20)
        self.assertIn(broker.bootstrap, connector.log.read_text())
        self.assertTrue(connector.running())
        broker.start()
        connector.wait_ready(60)
        on_stage.command("late", "list-tags")
        self.assertEqual(on_stage.answer("late").outcome, "SUCCEEDED")


class KafkaAway(stage.Scene):
    """Kafka goes away while we run, for longer than the session; who reads and who runs stay."""

    def test_run_and_tail_go_on_when_it_comes_back(self):
        broker = kafka.Kafka()
        self.addCleanup(broker.remove)
        broker.start()
        on_stage = self.open_stage(bootstrap=broker.bootstrap)
        # Without instance.id: a static member whose session ends may fence itself
        # (librdkafka 2.0.2) and end with 1, to be started again.
        del on_stage.settings["instance.id"]
        connector = on_stage.start()
        tail = subprocess.Popen([stage.BINARY, "tail", "results", "-c", str(connector.conf),
                                 "-o", "beginning"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(tail.stdout.close)
        self.addCleanup(tail.wait)
        self.addCleanup(tail.terminate)
        on_stage.command("before", "list-tags")
        self.assertIn('"before"', tail.stdout.readline())
        broker.stop(15)
        connector.wait_line("group.revoked", 30)
        broker.start()
        on_stage.command("after", "list-tags")
        self.assertEqual(on_stage.answer("after", 60).outcome, "SUCCEEDED")
        self.assertIn('"after"', tail.stdout.readline())
        self.assertIsNone(tail.poll())
        self.assertTrue(connector.running())
        on_stage.check_counters()


class SmallOffsets(stage.Scene):
    def test_the_window_shrinks_to_what_the_brokers_keep_with_an_offset(self):
        broker = kafka.start("offset.metadata.max.bytes=2100\noffsets.retention.minutes=60")
        self.addCleanup(broker.remove)
        on_stage = self.open_stage(bootstrap=broker.bootstrap, **{"front.max.in.flight": 128})
        said = stage.run("check", *(word for key, value in on_stage.settings.items()
                                    for word in ("-X", f"{key}={value}")))
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        for word in ("offset.metadata.max.bytes", "commands.max.pending",
                     "offsets.retention.minutes"):
            self.assertIn(word, said.stdout)
        on_stage.start()
        work = load.Load(on_stage, 60, 5)
        work.send(1500)
        on_stage.settle(60)
        load.check(self, work)


class LostOffsets(stage.Scene):
    @staticmethod
    def deleted(on_stage):
        try:
            on_stage.admin.delete_consumer_groups([on_stage.group])[on_stage.group].result(20)
            return True
        except confluent_kafka.KafkaException:
            return False

    def test_results_without_a_committed_offset_stop_the_partition(self):
        on_stage = self.open_stage(partitions=1)
        connector = on_stage.start()
        on_stage.command("first", "list-tags")
        on_stage.settle()
        self.assertEqual(connector.terminate(), 0)
        # A static member stays in the group until its session ends.
        stage.wait_for("end of the group", lambda: self.deleted(on_stage), 30, 0.5)
        again = on_stage.start(ready=False)
        again.wait_line("commands.start", 30)
        on_stage.read(1)
        self.assertEqual(len(on_stage.by_id["first"]), 1)
        self.assertEqual(len(on_stage.front.requests()), 1)


class Pages(stage.Play):
    def test_pages_and_metrics(self):
        self.stage.ask("list-tags")
        self.assertEqual(self.connector.page("/healthz")[0], 200)
        self.assertEqual(self.connector.page("/readyz")[0], 200)
        metrics = self.connector.metrics()
        for name in ('commands_finished_total{outcome="IN_DOUBT"}',
                     'commands_finished_total{outcome="SUCCEEDED"}',
                     'dead_letters_total{reason="BadUtf8"}',
                     'commands_returned_total{reason="revoked"}'):
            self.assertIn(name, metrics)
        self.assertGreater(metrics['commands_finished_total{outcome="SUCCEEDED"}'], 0)


if __name__ == "__main__":
    unittest.main()
