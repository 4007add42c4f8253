"""The promise under fire: kill -9, fencing, aborts, oversize results, a broker that restarts,
SIGTERM, a rebalance. Every play ends with stage.settle(): one answer a command, none lost, none
twice, read with read_committed by an independent client."""

import os
import random
import re
import unittest

import confluent_kafka
from confluent_kafka import admin

import front as scripted
import kafka
import load
import stage

KEYS = 60
COMMANDS = 2000
KILLS = 5
ABORTED, STALE, BAD_RECORD, UNKNOWN = (
    f'transactions_total{{result="{end}"}}'
    for end in ("aborted", "stale", "bad-record", "unknown"))


class Fire(stage.Scene):
    """These tests kill things: each has a stage of its own."""

    def open_stage(self, front=None, **options):
        return super().open_stage(front or scripted.Front(delay_s=0.02), **options)


class KillNine(Fire):
    def test_five_kills_lose_nothing_and_double_no_post(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        print(f"  kill -9 five times, SEED={seed}", flush=True)
        chance = random.Random(seed)
        in_flight = 12
        on_stage = self.open_stage(**{"front.max.in.flight": in_flight})
        work = load.Load(on_stage, KEYS, seed)
        work.send(COMMANDS)
        connector = on_stage.start()
        for _ in range(KILLS):
            on_stage.wait_calls(len(on_stage.front.requests()) + chance.randrange(20, 300))
            connector.kill()
            connector.start().wait_ready()
        on_stage.settle(120)
        for doubt in load.check(self, work, KILLS, KILLS * in_flight):
            self.assertEqual(doubt.error["kind"], "restart")
        on_stage.check_counters()


class Fenced(Fire):
    def test_another_process_takes_the_transactional_id(self):
        on_stage = self.open_stage()
        work = load.Load(on_stage, 20, 7)
        work.send(300)
        connector = on_stage.start()
        on_stage.wait_calls(100)
        for _ in range(3):
            before = connector.metrics()[UNKNOWN]
            thief = confluent_kafka.Producer({
                "bootstrap.servers": on_stage.bootstrap, "log_level": 0,
                "transactional.id": f"{on_stage.group}.one"})
            thief.init_transactions(30)
            work.send(100)
            stage.wait_for("fenced tick", lambda b=before: connector.metrics()[UNKNOWN] > b)
        on_stage.settle()
        self.assertTrue(connector.running(), kafka.tail(connector.log))
        load.check(self, work)
        on_stage.check_counters()


class Aborted(Fire):
    def test_an_aborted_tick_is_written_again(self):
        """For a while the group takes no offsets: ticks are aborted, and what was in them comes
        out later without another call."""
        on_stage = self.open_stage()
        work = load.Load(on_stage, 30, 8)
        connector = on_stage.start()
        with on_stage.denied(admin.ResourceType.GROUP, on_stage.group, admin.AclOperation.READ):
            work.send(300)
            stage.wait_for("aborted ticks", lambda: connector.metrics()[ABORTED] >= 2)
        work.send(300)
        on_stage.settle(90)
        load.check(self, work)
        self.assertEqual(len(on_stage.front.requests()), len(work.names))
        on_stage.check_counters()

    def test_a_tick_of_an_old_generation_is_refused(self):
        """The group is told that our member left: until the connector hears of it, its ticks
        are refused; then it joins again and reads what was not committed. Its POSTs under way
        are in doubt."""
        in_flight = 12
        on_stage = self.open_stage(**{"front.max.in.flight": in_flight})
        work = load.Load(on_stage, 30, 8)
        connector = on_stage.start()
        evictions = 0
        while connector.metrics()[STALE] == 0:
            self.assertLess(evictions, 5, "no tick was refused")
            evictions += 1
            work.send(300)
            on_stage.wait_calls(len(on_stage.front.requests()) + 50)
            on_stage.evict("one")
            stage.wait_for("another assignment", lambda: len(re.findall(
                "group.assigned", connector.log.read_text())) > evictions)
        on_stage.settle(90)
        load.check(self, work, evictions, evictions * in_flight)
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
        connector = on_stage.start()
        on_stage.ask("get-contact", {"contact_id": "crd_1"})
        on_stage.configure(on_stage.results_topic, "max.message.bytes", "30000")
        for i in range(20):
            on_stage.command(f"small-{i}", "get-contact", {"contact_id": f"crd_{i}"})
        result = on_stage.ask("get-contact", {"contact_id": "crd_big"})
        self.assertEqual((result.outcome, result.truncated, result.response),
                         ("SUCCEEDED", True, None))
        self.assertGreater(connector.metrics()[BAD_RECORD], 0)
        on_stage.settle()
        on_stage.check_counters()


class BrokerRestart(Fire):
    def test_a_broker_restart_in_the_middle(self):
        if not hasattr(stage.world.kafka(), "process"):
            self.fail("KAFKA_BOOTSTRAP is set: this test must restart a broker of its own")
        on_stage = self.open_stage(**{"kafka.consumer.session.timeout.ms": 45000})
        work = load.Load(on_stage, KEYS, 9)
        work.send(600)
        connector = on_stage.start()
        on_stage.wait_calls(100)
        stage.world.kafka().restart()
        work.send(400)
        on_stage.settle(120)
        self.assertTrue(connector.running(), kafka.tail(connector.log))
        load.check_posts(self, work)
        # Ticks that fail may take a session, and with it the assignment; a call of the gate's
        # may be refused, but none is lost or doubled.
        load.check_outcomes(self, work, 64)
        on_stage.check_counters()

    def test_a_member_that_is_fenced_after_an_outage_joins_again(self):
        """librdkafka 2.0.2 fences itself when the answer to its join is lost with the broker. A
        rival stands in for the join that was lost; one that comes without an outage is real."""
        on_stage = self.open_stage(**{"kafka.consumer.session.timeout.ms": 45000})
        work = load.Load(on_stage, KEYS, 14)
        connector = on_stage.start()
        stage.world.kafka().restart()
        work.send(200)
        on_stage.wait_calls(100)
        self.rival(on_stage, lambda: "group.fenced" in connector.log.read_text())
        work.send(200)
        on_stage.settle(120)
        self.assertTrue(connector.running(), kafka.tail(connector.log))
        load.check_posts(self, work)
        load.check_outcomes(self, work, 64)
        on_stage.check_counters()
        self.rival(on_stage, lambda: not connector.running())
        self.assertEqual(connector.wait_end(), 1)
        self.assertIn("used twice", connector.log.read_text())

    def rival(self, on_stage, until):
        other = confluent_kafka.Consumer({
            "bootstrap.servers": on_stage.bootstrap, "group.id": on_stage.group,
            "group.instance.id": "one", "log_level": 0,
            "partition.assignment.strategy": "range", "enable.auto.commit": False,
            "session.timeout.ms": 6000})
        other.subscribe([on_stage.commands])
        stage.wait_for("the connector's end as a member", lambda: other.poll(0.1) or until(), 40)
        self.addCleanup(other.close)


class Terminated(Fire):
    def test_sigterm_drains_and_loses_nothing(self):
        on_stage = self.open_stage(scripted.Front(delay_s=0.2))
        work = load.Load(on_stage, KEYS, 10)
        work.send(400)
        connector = on_stage.start()
        for _ in range(3):
            on_stage.wait_calls(len(on_stage.front.requests()) + 30)
            self.assertEqual(connector.terminate(), 0, kafka.tail(connector.log))
            connector.start().wait_ready()
        on_stage.settle()
        load.check(self, work)
        # Drained means: not one call was made twice, safe to repeat or not.
        names = work.executed()
        self.assertEqual(len(names), len(set(names)))
        on_stage.check_counters()


class Rebalanced(Fire):
    def test_two_instances_come_and_go(self):
        on_stage = self.open_stage(scripted.Front(delay_s=0.05))
        work = load.Load(on_stage, KEYS, 11)
        work.send(600)
        one = on_stage.start()
        on_stage.wait_calls(60)
        two = on_stage.start(**{"instance.id": "two"})
        work.send(400)
        stage.wait_for("work on the second instance",
                       lambda: two.metrics()["commands_finished_total"] > 20)
        self.assertEqual(one.terminate(), 0, kafka.tail(one.log))
        work.send(200)
        on_stage.settle(90)
        load.check(self, work)
        on_stage.check_counters()

    def test_a_member_of_another_program_comes_and_goes(self):
        on_stage = self.open_stage()
        work = load.Load(on_stage, 30, 8)
        work.send(300)
        connector = on_stage.start()
        for _ in range(3):
            before = connector.metrics()["rebalances_total"]
            other = confluent_kafka.Consumer({
                "bootstrap.servers": on_stage.bootstrap, "group.id": on_stage.group,
                "partition.assignment.strategy": "range", "log_level": 0,
                "enable.auto.commit": False, "session.timeout.ms": 6000})
            other.subscribe([on_stage.commands])
            work.send(200)
            stage.wait_for("its assignment", lambda o=other: o.poll(0.1) or o.assignment())
            other.close()
            stage.wait_for("two rebalances", lambda b=before: (
                connector.metrics()["rebalances_total"] >= b + 4))
        on_stage.settle(90)
        load.check(self, work)
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
        work = load.Load(on_stage, 20, 12)
        work.send(400)
        connector = on_stage.start()
        on_stage.wait_calls(100)
        connector.kill()
        connector.start().wait_ready()
        stage.wait_for("all results", lambda: on_stage.read(0.2) >= 0 and not
                       on_stage.missing(), 60)
        load.check_posts(self, work)


class Paused(stage.Scene):
    def test_a_partition_with_a_full_window_goes_on_after_a_rebalance(self):
        """It is paused, is given back, comes again, and is fetched from its line on."""
        on_stage = self.open_stage(**{"commands.max.pending": 16, "shutdown.drain.ms": 100})
        on_stage.front.on("/conversations/cnv_slow", scripted.Answer(delay_s=4))
        one = on_stage.start()
        for n in range(60):
            on_stage.command(f"c{n}", "get-conversation-by-id", {
                "conversation_id": "cnv_1" if n else "cnv_slow"}, partition=0)
        on_stage.flush()
        stage.wait_for("a full window", lambda: any(
            p["paused"] for p in one.status()["partitions"]))
        on_stage.start(**{"instance.id": "two"})
        on_stage.settle()


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
