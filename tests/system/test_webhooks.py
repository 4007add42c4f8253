"""Webhooks: what Front sends, signed by an independent signer, is on the events topic before it is
answered 2xx, whatever dies. Read by an independent decoder."""

import collections
import json
import os
import pathlib
import random
import re
import signal
import time
import unittest

from confluent_kafka import admin

import avro
import hooks
import kafka
import stage
from front import Answer
from hooks import APP, CHANNEL, COMPANY, RULE

EVENTS = 3000
KILLS = 5
OUTAGE_S = 15
PUBLIC = "https://hooks.example.com/front"


def settings_of(on_stage, port, **more):
    return {"webhooks.listen": f"127.0.0.1:{port}", "events.topic": on_stage.events,
            "webhooks.app.keys": "older-key," + hooks.KEYS[APP],
            "webhooks.rule.keys": hooks.KEYS[RULE],
            "webhooks.channel.keys": hooks.KEYS[CHANNEL], "webhooks.public.url": PUBLIC, **more}


def set_up(on_stage, **more):
    """Webhooks too; the port they come to."""
    port = kafka.free_port()
    on_stage.events = f"events-{on_stage.group}"
    on_stage.create(on_stage.events, None)
    on_stage.settings.update(settings_of(on_stage, port, **more))
    on_stage.front.on("/me", Answer(200, {"id": COMPANY, "name": "Test"}))
    return port


def produced(on_stage):
    """The records of the events topic, decoded, by event id."""
    found = collections.defaultdict(list)
    for out in on_stage.records(on_stage.events):
        out.fields = avro.decode("records/Event", out.value)
        found[out.fields["id"]].append(out)
    return found


class Received(stage.Play):
    """One connector, one request at a time."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.port = set_up(cls.stage, **{"webhooks.max.body.bytes": 100_000})
        cls.connector = cls.stage.start()
        cls.stage.wait_calls(0)
        stage.wait_for("GET /me", lambda: cls.stage.front.journal)
        cls.connector.wait_line("front.me")

    def setUp(self):
        super().setUp()
        self.caller = hooks.Caller(self.port)
        self.addCleanup(self.caller.close)
        self.before = len(self.stage.records(self.stage.events))
        self.counted = self.connector.metrics()

    def one(self, event_id):
        outs = produced(self.stage)[event_id]
        self.assertEqual(len(outs), 1, event_id)
        return outs[0]

    def nothing_produced(self):
        self.assertEqual(len(self.stage.records(self.stage.events)), self.before)

    def count(self, name):
        return self.connector.metrics()[name] - self.counted[name]

    # --- events ---

    def test_a_full_event_of_an_application(self):
        payload = hooks.event("evt_full", "cnv_7")
        answer = self.caller.send(APP, hooks.envelope(payload))
        self.assertEqual((answer.status, answer.body), (200, b""))
        out = self.one("evt_full")
        self.assertEqual(out.key, b"cnv_7")
        fields = dict(out.fields)
        self.assertEqual(json.loads(fields.pop("payload")), payload)
        received = fields.pop("received_at")
        self.assertLess(abs(received.timestamp() - time.time()), 60)
        emitted = fields.pop("emitted_at")
        self.assertAlmostEqual(emitted.timestamp(), payload["emitted_at"], 3)
        conversation = fields.pop("conversation")
        self.assertAlmostEqual(conversation.pop("created_at").timestamp(), 1453770984.123, 3)
        self.assertEqual(conversation, {
            "id": "cnv_7", "type": None, "subject": "Où est ma commande ?",
            "status": "unassigned", "status_id": "sts_5x", "assignee_id": None,
            "tag_ids": ["tag_13", "tag_14"], "is_private": False})
        self.assertEqual(fields, {
            "id": "evt_full", "type": "inbound", "webhook_type": "inbound_received",
            "company_id": COMPANY, "delivery": "webhook",
            "source": {"type": "api", "ids": ["inb_55", "inb_56"]},
            "target": {"type": "message", "ids": ["msg_1q15qmtq"]}})
        self.assertEqual(
            {name: value for name, value in out.header_list if name != "ce_time"},
            {"content-type": b"application/avro", "ce_specversion": b"1.0",
             "ce_id": b"evt_full",
             "ce_source": f"https://api2.frontapp.com/companies/{COMPANY}".encode(),
             "ce_type": b"com.frontapp.inbound", "ce_subject": b"cnv_7",
             "delivery": b"webhook", "origin": b"api"})
        self.assertRegex(out.text("ce_time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")

    def test_a_preview_of_an_application(self):
        self.assertEqual(self.caller.send(APP, hooks.envelope(
            hooks.event("evt_preview", "cnv_8", preview=True))).status, 200)
        out = self.one("evt_preview")
        self.assertEqual((out.key, out.fields["source"], out.fields["conversation"]["id"]),
                         (b"cnv_8", None, "cnv_8"))
        self.assertIsNone(out.text("origin"))

    def test_a_rule(self):
        self.assertEqual(self.caller.send(RULE, hooks.event("evt_rule", "cnv_9")).status, 200)
        out = self.one("evt_rule")
        self.assertEqual((out.fields["company_id"], out.fields["webhook_type"]), (COMPANY, None))
        self.assertEqual(out.text("ce_source"),
                         f"https://api2.frontapp.com/companies/{COMPANY}")

    def test_a_repeat_is_answered_and_makes_no_second(self):
        for _ in range(3):
            self.assertEqual(self.caller.send(APP, hooks.envelope(
                hooks.event("evt_twice"))).status, 200)
        self.one("evt_twice")
        self.assertEqual(self.count('events_produced_total{delivery="webhook"}'), 1)
        self.assertEqual(self.count('webhook_requests_total{kind="app",code="200"}'), 3)
        self.assertEqual(self.count('webhook_duration_seconds_count{kind="app"}'), 3)
        self.assertEqual(self.count('event_delay_seconds_count{delivery="webhook"}'), 1)
        self.assertLess(abs(self.connector.metrics()["webhook_last_received_timestamp_seconds"]
                            - time.time()), 60)

    # --- channels ---

    def channel(self, kind, payload=None, **more):
        return self.caller.send(CHANNEL, {"type": kind, "payload": payload or {}, **more})

    def test_a_channel_is_made(self):
        answer = self.channel("authorization", {"channel_id": "cha_1"})
        self.assertEqual((answer.status, json.loads(answer.body)), (200, {
            "type": "success", "webhook_url": PUBLIC + CHANNEL}))

    def test_a_channels_message(self):
        for _ in range(2):
            answer = self.channel("message", {"id": "msg_77", "text": "hi"},
                                  metadata={"external_conversation_id": "mine-1"})
            self.assertEqual((answer.status, json.loads(answer.body)), (200, {
                "type": "success", "external_id": "msg_77",
                "external_conversation_id": "mine-1"}))
        out = self.one("message:msg_77")
        self.assertEqual(out.fields["type"], "channel_message")

    def test_a_channel_is_deleted(self):
        answer = self.caller.send(CHANNEL, {"type": "delete", "payload": {"channel_id": "cha_2"}},
                                  method="DELETE")
        self.assertEqual(answer.status, 200)
        found = [i for i in produced(self.stage) if i.startswith("delete:cha_2:")]
        self.assertEqual(len(found), 1)

    # --- the test of an address ---

    def test_a_challenge_is_echoed(self):
        answer = self.caller.send(APP, {"type": "sync", "authorization": {"id": COMPANY}},
                                  headers={"X-Front-Challenge": "a1b2c3"})
        self.assertEqual((answer.status, answer.body), (200, b"a1b2c3"))
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
        self.nothing_produced()

    def test_an_unsigned_challenge_is_not(self):
        answer = self.caller.request("POST", APP, b'{"type":"sync"}',
                                     {"X-Front-Challenge": "a1b2c3"})
        self.assertEqual((answer.status, answer.body), (401, b""))

    # --- what is refused ---

    def test_refusals(self):
        body = hooks.text(hooks.envelope(hooks.event("evt_refused")))
        now = int(time.time() * 1000)
        good = hooks.sign(APP, body)
        cases = {
            "other key": (APP, "POST", body, hooks.sign(APP, body, key="another"), 401),
            "other body": (APP, "POST", body + b" ", good, 401),
            "no signature": (APP, "POST", body, {
                k: v for k, v in good.items() if k != "X-Front-Signature"}, 401),
            "no timestamp": (APP, "POST", body, {
                k: v for k, v in good.items() if k == "X-Front-Signature"}, 401),
            "six minutes old": (APP, "POST", body, hooks.sign(APP, body, now - 360_000), 401),
            "six minutes ahead": (APP, "POST", body, hooks.sign(APP, body, now + 360_000), 401),
            "a rule's way of signing": (APP, "POST", body, hooks.sign(
                RULE, body, key=hooks.KEYS[APP]), 401),
            "an application's at a rule's address": (RULE, "POST", body, good, 401),
            "wrong method": (APP, "PUT", body, good, 405),
            "no such path": ("/webhooks/front/other", "POST", body, good, 404),
            "a page's path": ("/metrics", "GET", None, {}, 404),
        }
        for name, (path, method, sent, headers, status) in cases.items():
            with self.subTest(name):
                answer = self.caller.request(method, path, sent, headers)
                self.assertEqual((answer.status, answer.body), (status, b""))
        self.nothing_produced()
        self.assertEqual(self.count('webhook_requests_total{kind="app",code="401"}'), 7)
        self.assertEqual(self.count('webhook_requests_total{kind="app",code="405"}'), 1)
        self.assertEqual(self.count('webhook_requests_total{kind="unknown",code="404"}'), 2)

    def test_either_of_two_keys_is_good(self):
        for i, key in enumerate(("older-key", hooks.KEYS[APP])):
            self.assertEqual(self.caller.send(APP, hooks.envelope(
                hooks.event(f"evt_key_{i}")), key=key).status, 200)

    def test_a_body_that_is_too_large(self):
        answer = self.caller.send(APP, hooks.envelope(
            hooks.event("evt_large") | {"x": "x" * 120_000}))
        self.assertEqual(answer.status, 413)
        self.nothing_produced()
        stage.wait_for("count of it", lambda: self.count(
            'webhook_requests_total{kind="unknown",code="413"}') == 1)

    def test_what_is_signed_but_no_event_is_a_dead_letter(self):
        for body in (b'{"type":"inbound_received","payload":{"type":"inbound"}}', b"not JSON"):
            with self.subTest(body):
                before = len(self.stage.records(self.stage.dead_letters_topic))
                self.assertEqual(self.caller.send(APP, body).status, 200)
                dead = self.stage.records(self.stage.dead_letters_topic)
                self.assertEqual(len(dead), before + 1)
                last = max(dead, key=lambda out: out.timestamp)
                self.assertEqual(last.value, body)
                self.assertEqual(last.text("__connect.errors.exception.class.name"),
                                 "WebhookUnparsable")
                self.assertEqual(last.text("__connect.errors.connector.name"),
                                 self.stage.group)
                self.assertEqual(last.text("webhook"), "app")
        self.nothing_produced()

    def test_commands_go_on_beside_them(self):
        self.caller.send(APP, hooks.envelope(hooks.event("evt_beside")))
        self.assertEqual(self.stage.ask("get-contact", {"contact_id": "crd_1"}).outcome,
                         "SUCCEEDED")
        self.one("evt_beside")

    def tearDown(self):
        while self.stage.read(0.1):
            pass
        self.stage.out = [o for o in self.stage.out if o.topic != self.stage.dead_letters_topic]
        super().tearDown()
        log = self.connector.log.read_text()
        for secret in (*hooks.KEYS.values(), "Où est ma commande"):
            self.assertNotIn(secret, log)


class Keys(stage.Scene):
    def test_a_path_without_keys_is_not_there_until_its_file_has_one(self):
        on_stage = self.open_stage()
        file = on_stage.folder / "key"
        file.write_text("first-key\n")
        port = set_up(on_stage, **{"webhooks.app.keys": f"${{file:{file}}}",
                                   "webhooks.rule.keys": ""})
        connector = on_stage.start()
        caller = hooks.Caller(port)
        self.assertEqual(caller.send(RULE, hooks.event("evt_1")).status, 404)
        self.assertEqual(caller.send(APP, hooks.envelope(hooks.event("evt_2"))).status, 401)
        file.write_text(f"first-key, {hooks.KEYS[APP]}\n")
        connector.wait_line("webhook.keys")
        for key in ("first-key", hooks.KEYS[APP]):
            self.assertEqual(caller.send(APP, hooks.envelope(hooks.event("evt_2")),
                                         key=key).status, 200)
        file.write_text(f"{hooks.KEYS[APP]}\n")
        connector.wait_line(r"webhook.keys[^\n]*\n(.*\n)*.*webhook.keys")
        self.assertEqual(caller.send(APP, hooks.envelope(hooks.event("evt_3")),
                                     key="first-key").status, 401)
        self.assertNotIn("first-key", connector.log.read_text())

    def test_the_topic_is_missing_or_made(self):
        on_stage = self.open_stage()
        port = set_up(on_stage)
        missing = {"events.topic": f"other-{on_stage.group}", "topics.create": "false"}
        connector = on_stage.start(ready=False, **missing)
        self.assertEqual(connector.wait_end(), 2)
        self.assertRegex(connector.log.read_text(), f"topic other-{on_stage.group}: is missing")
        del missing["topics.create"]
        on_stage.start(**missing)
        on_stage.events = missing["events.topic"]
        self.assertEqual(hooks.Caller(port).send(
            APP, hooks.envelope(hooks.event("evt_1"))).status, 200)
        self.assertEqual(list(produced(on_stage)), ["evt_1"])


class Check(stage.Scene):
    def lines(self, on_stage, **more):
        conf = on_stage.folder / "check.conf"
        conf.write_text("".join(f"{k} = {v}\n" for k, v in (on_stage.settings | more).items()))
        done = stage.run("check", "-c", str(conf), "--json")
        return done.returncode, [line for line in map(json.loads, done.stdout.splitlines())
                                 if line["check"] in ("webhooks", "topic")]

    def test_check_says_all_of_webhooks(self):
        on_stage = self.open_stage()
        set_up(on_stage)
        code, lines = self.lines(on_stage)
        states = {line["name"]: line["state"] for line in lines}
        self.assertEqual(code, 0, lines)
        self.assertEqual({states[name] for name in (
            on_stage.events, on_stage.settings["webhooks.listen"], "webhooks.app.keys",
            "webhooks.rule.keys", "webhooks.channel.keys")}, {"ok"})
        code, lines = self.lines(on_stage, **{
            "webhooks.app.keys": "", "webhooks.rule.keys": "", "webhooks.channel.keys": ""})
        self.assertEqual(code, 2)
        self.assertIn("there are no keys", json.dumps(lines))
        code, lines = self.lines(on_stage, **{"webhooks.public.url": "",
                                              "events.topic": "missing-topic",
                                              "topics.create": "false"})
        self.assertEqual(code, 2)
        self.assertIn("answered 400", json.dumps(lines))
        self.assertIn("missing-topic", json.dumps(lines))


class Fire(stage.Scene):
    """What was answered 2xx is on the topic, whatever dies."""

    def all_stored(self, on_stage, traffic):
        """Every event answered 2xx is there; how many are there more than once."""
        found = produced(on_stage)
        lost = [s.event_id for s in traffic.sent if s.stored() and s.event_id not in found]
        self.assertEqual(lost, [], f"{len(lost)} were answered 200 and are not on the topic")
        return sum(len(outs) > 1 for outs in found.values())

    def test_five_kills_lose_nothing_that_was_answered(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        chance = random.Random(seed)
        on_stage = self.open_stage()
        port = set_up(on_stage)
        connector = on_stage.start()
        traffic = hooks.Traffic(port).start(EVENTS)
        for i in range(1, KILLS + 1):
            target = EVENTS * i // (KILLS + 1) + chance.randrange(-200, 200)
            stage.wait_for(f"{target} stored", lambda t=target: traffic.count() >= t, 120, 0.001)
            connector.kill()
            connector.start()
        traffic.join()
        apps = [s for s in traffic.sent if s.path == APP]
        self.assertEqual(len(traffic.sent), EVENTS)
        self.assertTrue(all(s.stored() for s in apps))
        cut = sum(0 in s.statuses() for s in traffic.sent)
        self.assertGreater(cut, 0, "no request was cut off: the kills hit nothing")
        twice = self.all_stored(on_stage, traffic)
        print(f"  SEED={seed}: {cut} requests without an answer, {twice} events there twice",
              flush=True)

    def outage(self, broker, stop, resume):
        on_stage = self.open_stage(bootstrap=broker.bootstrap)
        port = set_up(on_stage)
        connector = on_stage.start()
        traffic = hooks.Traffic(port).start()
        stage.wait_for("webhooks that are stored", lambda: traffic.count() >= 100)
        began = time.monotonic()
        stop()
        stopped = time.monotonic()
        stage.wait_for("the end of the outage", lambda: time.monotonic() >= stopped + OUTAGE_S,
                       OUTAGE_S + 5)
        ended = time.monotonic()
        resume()
        before = traffic.count()
        stage.wait_for("webhooks that are stored again", lambda: traffic.count() >= before + 100,
                       60)
        traffic.stop()
        self.judge(on_stage, traffic, stopped, ended)
        self.assertGreater(began, 0)
        stage.wait_for("an empty queue", lambda: connector.status()["webhooks"]["pending"] == 0)
        self.assertTrue(connector.running())
        found = produced(on_stage)
        missing = [s.event_id for s in traffic.sent if s.event_id not in found
                   and s.statuses() != [0]]
        self.assertEqual(missing, [], "received, and not there in the end")
        self.assertEqual({len(outs) for outs in found.values()}, {1})
        connector.wait_line("webhook.later")
        connector.wait_line("webhook.caught_up")
        self.assertEqual(connector.terminate(), 0)

    def judge(self, on_stage, traffic, stopped, ended):
        """While Kafka was away nothing was said to be stored, and 429 was said."""
        within = [status for s in traffic.sent for began, end, status in s.tries
                  if began > stopped and end < ended]
        self.assertEqual(set(within), {429}, collections.Counter(within))
        self.all_stored(on_stage, traffic)

    def test_kafka_away_for_15_seconds(self):
        broker = kafka.Kafka().start()
        self.addCleanup(broker.remove)
        self.outage(broker, lambda: broker.stop(signal.SIGTERM), broker.start)

    def test_kafka_frozen_for_15_seconds(self):
        broker = kafka.Kafka().start()
        self.addCleanup(broker.remove)
        self.outage(broker, lambda: broker.process.send_signal(signal.SIGSTOP),
                    lambda: broker.process.send_signal(signal.SIGCONT))

    def test_without_the_right_to_write_it_is_said_and_stored_later(self):
        on_stage = self.open_stage()
        port = set_up(on_stage)
        connector = on_stage.start()
        caller = hooks.Caller(port)
        self.assertEqual(caller.send(APP, hooks.envelope(hooks.event("evt_1"))).status, 200)
        with on_stage.denied(admin.ResourceType.TOPIC, on_stage.events,
                             admin.AclOperation.WRITE):
            self.assertEqual(caller.send(APP, hooks.envelope(hooks.event("evt_2"))).status, 429)
            connector.wait_line(f"event.again: {on_stage.events}")
        self.assertEqual(caller.send(APP, hooks.envelope(hooks.event("evt_2"))).status, 200)
        self.assertEqual({i: len(outs) for i, outs in produced(on_stage).items()},
                         {"evt_1": 1, "evt_2": 1})

    def test_sigterm_while_kafka_is_away_says_what_is_left(self):
        broker = kafka.Kafka().start()
        self.addCleanup(broker.remove)
        on_stage = self.open_stage(bootstrap=broker.bootstrap)
        port = set_up(on_stage, **{"shutdown.drain.ms": 1000})
        connector = on_stage.start()
        broker.stop(signal.SIGKILL)
        connector.wait_line("kafka.down")
        caller = hooks.Caller(port)
        for i in range(5):
            answer = caller.send(RULE, hooks.event(f"evt_{i}"))
            self.assertEqual(answer.status, 429)
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(connector.status()["webhooks"]["pending"], 5)
        self.assertEqual(connector.terminate(), 0)
        self.assertRegex(connector.log.read_text(), "events.left: 5 event")

    def test_a_topic_of_small_records(self):
        """None of its batches is refused, and an event that is too large becomes a dead letter."""
        on_stage = self.open_stage()
        port = set_up(on_stage)
        on_stage.configure(on_stage.events, "max.message.bytes", "3500")
        connector = on_stage.start()
        # Of one partition, and not made smaller by compression.
        traffic = hooks.Traffic(port, clients=16, make=lambda i: hooks.event(i) | {
            "x": os.urandom(600).hex()}).start(400)
        traffic.join()
        self.assertEqual({status for s in traffic.sent for status in s.statuses()}, {200})
        self.assertEqual(self.all_stored(on_stage, traffic), 0)
        self.assertEqual(len(produced(on_stage)), 400)
        self.assertEqual(connector.metrics()["dead_letters_total"], 0)
        large = hooks.event("evt_large") | {"x": "y" * 5000}
        caller = hooks.Caller(port)
        for _ in range(2):
            self.assertEqual(caller.send(APP, hooks.envelope(large)).status, 200)
        self.assertNotIn("evt_large", produced(on_stage))
        dead, = on_stage.records(on_stage.dead_letters_topic)
        self.assertEqual(dead.text("__connect.errors.exception.class.name"), "TooLarge")
        self.assertEqual(json.loads(avro.decode("records/Event", dead.value)["payload"]), large)

    def test_sigterm_answers_what_it_has(self):
        on_stage = self.open_stage()
        port = set_up(on_stage)
        connector = on_stage.start()
        traffic = hooks.Traffic(port).start()
        for _ in range(3):
            before = traffic.count()
            stage.wait_for("webhooks", lambda b=before: traffic.count() >= b + 100)
            self.assertEqual(connector.terminate(), 0)
            self.assertNotIn("events.left", connector.log.read_text())
            connector.start()
        traffic.stop()
        self.all_stored(on_stage, traffic)

    def test_two_instances_behind_a_balancer(self):
        on_stage = self.open_stage()
        ports = [set_up(on_stage), kafka.free_port()]
        one = on_stage.start()
        two = on_stage.start(**{"instance.id": "two",
                                "webhooks.listen": f"127.0.0.1:{ports[1]}"})
        balancer = hooks.Balancer(ports)
        self.addCleanup(balancer.close)
        traffic = hooks.Traffic(balancer.port).start(1500)
        stage.wait_for("webhooks", lambda: traffic.count() >= 500)
        two.kill()
        stage.wait_for("webhooks", lambda: traffic.count() >= 1000)
        two.start()
        traffic.join()
        self.assertEqual(len(traffic.sent), 1500)
        self.assertTrue(all(s.stored() for s in traffic.sent if s.path == APP))
        self.all_stored(on_stage, traffic)
        self.assertGreater(one.metrics()['events_produced_total{delivery="webhook"}'], 200)


if __name__ == "__main__":
    unittest.main()
