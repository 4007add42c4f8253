"""The promise under fire: kill -9, fencing, aborts, oversize results, a broker that restarts,
SIGTERM, a rebalance. Every play ends with stage.settle(): one answer a command, none lost, none
twice, read with read_committed by an independent client."""

import os
import random
import time
import unittest

import confluent_kafka
from confluent_kafka import admin

import front as scripted
import kafka
import stage

KEYS = 60
COMMANDS = 2000
KILLS = 5


class Load:
    """Commands over many keys, half of them safe to repeat (PATCH) and half not (POST). Each
    carries its name in its body, so that Front's journal tells which is which."""

    def __init__(self, on_stage, commands, keys, seed):
        self.stage, self.keys = on_stage, keys
        self.random = random.Random(seed)
        self.names, self.next_of = [], [0] * keys
        self.commands = commands

    def send(self, count=None):
        for _ in range(self.commands if count is None else count):
            key = self.random.randrange(self.keys)
            number = self.next_of[key]
            self.next_of[key] += 1
            post = self.random.random() < 0.5
            name = f"{key}-{number}-{'post' if post else 'patch'}"
            self.names.append(name)
            conversation = {"conversation_id": f"cnv_{key}"}
            if post:
                self.stage.command(name, "add-comment", conversation, {"body": name},
                                   key=f"key-{key}")
            else:
                self.stage.command(name, "update-conversation", conversation,
                                   {"description": name}, key=f"key-{key}")
        self.stage.flush()

    @staticmethod
    def place(name):
        key, number, _ = name.split("-")
        return int(key), int(number)

    def executed(self):
        """Names in the order in which Front got them."""
        names = []
        for request in self.stage.front.requests():
            body = request.json()
            names.append(body.get("body") or body.get("description"))
        return names


def check_posts(case, load):
    """No POST was executed twice; one whose outcome is known well was executed once."""
    times = {}
    for name in load.executed():
        if name.endswith("-post"):
            times[name] = times.get(name, 0) + 1
    twice = [n for n, count in times.items() if count > 1]
    case.assertEqual(twice, [], "POSTs that Front got twice")
    for result in load.stage.results():
        if result.command_id.endswith("-post") and result.outcome == "SUCCEEDED":
            case.assertEqual(times.get(result.command_id), 1, result.command_id)


def check_order(case, load, deaths):
    """Per key the results are in order, and Front got the calls in order: after a death calls
    whose result was not committed come again, so an order may step back once per death."""
    last = {}
    ordered = sorted(load.stage.results(), key=lambda r: (r.partition, r.offset))
    for result in ordered:
        key, number = load.place(result.command_id)
        case.assertEqual(number, last.get(key, -1) + 1, f"results of key {key}")
        last[key] = number
    # A POST in doubt may have been killed before it was sent: Front need not have seen it.
    unsent = {r.command_id for r in ordered if r.outcome == "IN_DOUBT"}
    expected = {}
    for name in load.names:
        expected.setdefault(load.place(name)[0], []).append(name)
    at, back, seen = {}, {}, set()
    for name in load.executed():
        key, number = load.place(name)
        if number < at.get(key, -1):
            back[key] = back.get(key, 0) + 1
        at[key] = number
        left_out = [n for n in expected[key][:number] if n not in seen and n not in unsent]
        case.assertEqual(left_out, [], f"not called before {name}")
        seen.add(name)
    case.assertLessEqual(max(back.values(), default=0), deaths, "calls of a key out of order")


def check_outcomes(case, load, in_doubt_at_most):
    """All SUCCEEDED, but for POSTs that a death caught between send and answer."""
    doubts = [r for r in load.stage.results() if r.outcome == "IN_DOUBT"]
    for result in load.stage.results():
        if result.outcome == "IN_DOUBT":
            case.assertTrue(result.command_id.endswith("-post"), result.command_id)
        else:
            case.assertEqual((result.outcome, result.error), ("SUCCEEDED", None))
    case.assertLessEqual(len(doubts), in_doubt_at_most)
    return doubts


class Fire(unittest.TestCase):
    """Each test has a stage of its own: these tests kill things."""

    maxDiff = 4000

    def open_stage(self, front=None, **options):
        on_stage = stage.Stage(front or scripted.Front(delay_s=0.02), **options)
        self.addCleanup(on_stage.close)
        return on_stage


class KillNine(Fire):
    def test_five_kills_lose_nothing_and_double_no_post(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        print(f"  kill -9 five times, SEED={seed}", flush=True)
        chance = random.Random(seed)
        in_flight = 12
        on_stage = self.open_stage(**{"front.max.in.flight": in_flight})
        load = Load(on_stage, COMMANDS, KEYS, seed)
        load.send()
        connector = on_stage.start()
        for _ in range(KILLS):
            before = len(on_stage.front.requests())
            time.sleep(chance.uniform(0.05, 0.7))
            stage.wait_for("progress", lambda b=before: len(on_stage.front.requests()) > b + 20)
            connector.kill()
            connector.start().wait_ready()
        on_stage.settle(120)
        self.assertEqual(sorted(r.command_id for r in on_stage.results()), sorted(load.names))
        check_posts(self, load)
        check_order(self, load, KILLS)
        doubts = check_outcomes(self, load, KILLS * in_flight)
        for doubt in doubts:
            self.assertEqual(doubt.error["kind"], "restart")
        on_stage.check_counters()


class Fenced(Fire):
    def test_another_process_takes_the_transactional_id(self):
        on_stage = self.open_stage()
        load = Load(on_stage, 600, 20, 7)
        load.send(300)
        connector = on_stage.start()
        stage.wait_for("half the work", lambda: len(on_stage.front.requests()) > 100)
        for _ in range(3):
            thief = confluent_kafka.Producer({
                "bootstrap.servers": on_stage.bootstrap, "log_level": 0,
                "transactional.id": f"{on_stage.group}.one"})
            thief.init_transactions(30)
            load.send(100)
            time.sleep(0.2)
        on_stage.settle()
        self.assertTrue(connector.running(), kafka.tail(connector.log))
        check_posts(self, load)
        check_order(self, load, 0)
        check_outcomes(self, load, 0)
        self.assertGreater(connector.metrics()['transactions_total{result="unknown"}'], 0)
        on_stage.check_counters()


class Aborted(Fire):
    def test_a_tick_of_an_old_generation_is_written_again(self):
        """A second member joins and leaves: ticks under way are refused by the coordinator."""
        on_stage = self.open_stage()
        load = Load(on_stage, 900, 30, 8)
        load.send(300)
        on_stage.start()
        for _ in range(3):
            other = confluent_kafka.Consumer({
                "bootstrap.servers": on_stage.bootstrap, "group.id": on_stage.group,
                "partition.assignment.strategy": "range", "log_level": 0,
                "enable.auto.commit": False, "session.timeout.ms": 6000})
            other.subscribe([on_stage.commands])
            load.send(200)
            for _ in range(10):
                other.poll(0.1)
            other.close()
        on_stage.settle(90)
        check_posts(self, load)
        check_order(self, load, 0)
        check_outcomes(self, load, 0)
        on_stage.check_counters()


class Oversize(Fire):
    def test_a_result_larger_than_results_max_bytes_is_truncated(self):
        on_stage = self.open_stage(**{"results.max.bytes": 50_000})
        on_stage.front.on("/contacts/crd_big", scripted.Answer(200, {
            "id": "crd_big", "name": "x" * 60_000}))
        on_stage.start()
        result = on_stage.ask("get-contact", {"contact_id": "crd_big"})
        self.assertEqual((result.outcome, result.truncated, result.response, result.resource_id),
                         ("SUCCEEDED", True, None, "crd_big"))
        on_stage.settle()
        on_stage.check_counters()

    def test_a_result_larger_than_its_topic_takes_goes_without_its_response(self):
        """The topic takes less than results.max.bytes allows: no tick is poisoned by it."""
        on_stage = self.open_stage(results_config={"max.message.bytes": "30000"})
        on_stage.front.on("/contacts/crd_big", scripted.Answer(200, {
            "id": "crd_big", "name": "x" * 60_000}))
        on_stage.start()
        for i in range(20):
            on_stage.command(f"small-{i}", "get-contact", {"contact_id": f"crd_{i}"})
        result = on_stage.ask("get-contact", {"contact_id": "crd_big"})
        self.assertEqual((result.outcome, result.truncated, result.response),
                         ("SUCCEEDED", True, None))
        self.assertEqual(on_stage.answer("small-19").outcome, "SUCCEEDED")
        on_stage.settle()
        on_stage.check_counters()

    def test_the_topic_is_made_smaller_while_the_connector_runs(self):
        """Refused by the broker, not by our measuring: the tick is aborted, never repeated
        unchanged, and what else was in it comes out. Random, since batches are compressed."""
        on_stage = self.open_stage()
        on_stage.front.on("/contacts/crd_big", scripted.Answer(200, {
            "id": "crd_big", "name": os.urandom(60_000).hex()}))
        on_stage.start()
        on_stage.ask("get-contact", {"contact_id": "crd_1"})
        topic = admin.ConfigResource(
            admin.ResourceType.TOPIC, on_stage.results_topic,
            incremental_configs=[admin.ConfigEntry(
                "max.message.bytes", "30000", incremental_operation=admin.AlterConfigOpType.SET)])
        altered = on_stage.admin.incremental_alter_configs([topic])
        altered[topic].result(30)
        asked = admin.ConfigResource(admin.ResourceType.TOPIC, on_stage.results_topic)
        stage.wait_for("the smaller limit", lambda: on_stage.admin.describe_configs(
            [asked])[asked].result(10)["max.message.bytes"].value == "30000")
        for i in range(20):
            on_stage.command(f"small-{i}", "get-contact", {"contact_id": f"crd_{i}"})
        result = on_stage.ask("get-contact", {"contact_id": "crd_big"})
        self.assertEqual((result.outcome, result.truncated, result.response),
                         ("SUCCEEDED", True, None))
        on_stage.settle()
        on_stage.check_counters()


class BrokerRestart(Fire):
    def test_a_broker_restart_in_the_middle(self):
        if not hasattr(stage.world.kafka(), "process"):
            self.fail("KAFKA_BOOTSTRAP is set: this test must restart a broker of its own")
        on_stage = self.open_stage()
        load = Load(on_stage, 1000, KEYS, 9)
        load.send(600)
        connector = on_stage.start()
        stage.wait_for("progress", lambda: len(on_stage.front.requests()) > 100)
        stage.world.kafka().restart()
        load.send(400)
        on_stage.settle(120)
        self.assertTrue(connector.running(), kafka.tail(connector.log))
        check_posts(self, load)
        # Ticks that fail may take a session, and with it the assignment; a call of the gate's
        # may be refused, but none is lost or doubled.
        check_outcomes(self, load, 64)
        on_stage.check_counters()


class Terminated(Fire):
    def test_sigterm_drains_and_loses_nothing(self):
        on_stage = self.open_stage(scripted.Front(delay_s=0.2))
        load = Load(on_stage, 400, KEYS, 10)
        load.send()
        connector = on_stage.start()
        for _ in range(3):
            before = len(on_stage.front.requests())
            stage.wait_for("progress", lambda b=before: len(on_stage.front.requests()) > b + 30)
            self.assertEqual(connector.terminate(), 0, kafka.tail(connector.log))
            got_before = len(on_stage.front.requests())
            connector.start().wait_ready()
            self.assertGreaterEqual(len(on_stage.front.requests()), got_before)
        on_stage.settle()
        check_posts(self, load)
        check_order(self, load, 0)
        check_outcomes(self, load, 0)
        # Drained means: not one call was made twice, safe to repeat or not.
        names = load.executed()
        self.assertEqual(len(names), len(set(names)))
        on_stage.check_counters()


class Rebalanced(Fire):
    def test_two_instances_come_and_go(self):
        on_stage = self.open_stage(scripted.Front(delay_s=0.05))
        load = Load(on_stage, 1200, KEYS, 11)
        load.send(600)
        one = on_stage.start()
        stage.wait_for("progress", lambda: len(on_stage.front.requests()) > 60)
        two = on_stage.start(**{"instance.id": "two"})
        load.send(400)
        stage.wait_for("work on the second instance",
                       lambda: two.metrics()["commands_finished_total"] > 20)
        self.assertEqual(one.terminate(), 0, kafka.tail(one.log))
        load.send(200)
        on_stage.settle(90)
        check_posts(self, load)
        check_order(self, load, 0)
        check_outcomes(self, load, 0)
        on_stage.check_counters()

    def test_one_instance_id_used_twice_ends_one_of_them_with_1(self):
        on_stage = self.open_stage()
        one = on_stage.start()
        two = on_stage.start(ready=False)
        stage.wait_for("end of one of them", lambda: not one.running() or not two.running(), 40)
        dead = two if one.running() else one
        self.assertEqual(dead.wait_end(), 1)
        self.assertIn("used twice", dead.log.read_text())


class AtLeastOnce(Fire):
    def test_kill_nine_with_delivery_at_least_once(self):
        """Nothing lost; a result may come twice, a POST may not be executed twice."""
        on_stage = self.open_stage(delivery="at-least-once")
        load = Load(on_stage, 400, 20, 12)
        load.send()
        connector = on_stage.start()
        stage.wait_for("progress", lambda: len(on_stage.front.requests()) > 100)
        connector.kill()
        connector.start().wait_ready()
        stage.wait_for("all results", lambda: on_stage.read(0.2) >= 0 and not
                       on_stage.missing(), 60)
        check_posts(self, load)


class LedgerString(Fire):
    def committed(self, on_stage, partition):
        consumer = confluent_kafka.Consumer({"bootstrap.servers": on_stage.bootstrap,
                                             "group.id": on_stage.group, "log_level": 0})
        place = consumer.committed(
            [confluent_kafka.TopicPartition(on_stage.commands, partition)], timeout=20)[0]
        consumer.close()
        return place

    def overwrite(self, on_stage, partition, offset, metadata=None):
        """None is the empty string; the client would write "" with its final NUL."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": on_stage.bootstrap,
                                             "group.id": on_stage.group, "log_level": 0,
                                             "enable.auto.commit": False})
        place = (on_stage.commands, partition, offset) + ((metadata,) if metadata else ())
        consumer.commit(offsets=[confluent_kafka.TopicPartition(*place)], asynchronous=False)
        consumer.close()

    def test_the_commit_line_and_its_string(self):
        on_stage = self.open_stage()
        connector = on_stage.start()
        for i in range(5):
            on_stage.command(f"c{i}", "get-contact", {"contact_id": f"crd_{i}"}, partition=1)
        on_stage.settle()
        self.assertEqual(connector.terminate(), 0)
        place = self.committed(on_stage, 1)
        self.assertEqual(place.offset, 5)
        self.assertTrue(place.metadata.startswith("FC1"), place.metadata)
        self.assertLess(len(place.metadata), 3500)

    def test_an_unreadable_string_stops_that_partition_only(self):
        on_stage = self.open_stage()
        self.overwrite(on_stage, 1, 0, "written by another tool")
        connector = on_stage.start(ready=False)
        on_stage.command("stopped", "get-contact", {"contact_id": "crd_1"}, partition=1)
        on_stage.command("goes-on", "get-contact", {"contact_id": "crd_2"}, partition=2)
        self.assertEqual(on_stage.answer("goes-on").outcome, "SUCCEEDED")
        self.assertNotIn("stopped", on_stage.by_id)
        status, text = connector.page("/readyz")
        self.assertNotEqual(status, 200)
        self.assertIn("stopped", text)
        self.assertIn(f"{on_stage.commands}", connector.log.read_text())

    def test_an_operators_reset_reads_from_there(self):
        on_stage = self.open_stage()
        for i in range(4):
            on_stage.command(f"c{i}", "get-contact", {"contact_id": f"crd_{i}"}, partition=0)
        on_stage.flush()
        self.overwrite(on_stage, 0, 2)
        on_stage.start()
        self.assertEqual(on_stage.answer("c2").outcome, "SUCCEEDED")
        self.assertEqual(on_stage.answer("c3").outcome, "SUCCEEDED")
        self.assertNotIn("c0", on_stage.by_id)


if __name__ == "__main__":
    unittest.main()
