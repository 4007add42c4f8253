"""Front's list of events on a real Kafka: what no webhook brought is found there and produced, once;
without webhooks all of it is; commands list the same records."""

import bisect
import collections
import json
import os
import random
import threading
import time
import unittest
import urllib.parse

import avro
import front as scripted
import hooks
import kafka
import stage
import test_webhooks
from hooks import APP, COMPANY, RULE
from test_webhooks import produced, set_up

PAGE = 15
EVENTS = 3000
KILLS = 5
DROPPED = 20  # one in so many is never sent as a webhook
OFTEN = {"events.heal.every.ms": 1000, "events.heal.lag.ms": 0, "events.heal.overlap.ms": 5000}


class Events(scripted.Front):
    """A Front that lists events: filtered by their times, the oldest or the newest first, in
    pages of 15 with tokens."""

    def __init__(self):
        super().__init__()
        self.times, self.events = [], []  # by time
        self.on("/me", scripted.Answer(200, {"id": COMPANY, "name": "Test"}))

    def happen(self, payload):
        with self.lock:
            at = bisect.bisect_right(self.times, payload["emitted_at"])
            self.times.insert(at, payload["emitted_at"])
            self.events.insert(at, payload)
        return payload

    def take(self, request):
        parts = request.path.split("/")
        if parts[-1] != "events":
            return super().take(request)
        query = dict(urllib.parse.parse_qsl(request.query))
        with self.lock:
            self.journal.append(request)
            found = [e for e in self.events
                     if float(query.get("q[after]", 0)) <= e["emitted_at"]
                     < float(query.get("q[before]", "inf"))
                     and (len(parts) == 2 or e["conversation"]["id"] == parts[2])]
        if query.get("sort_order") != "asc":
            found.reverse()
        size = min(int(query.get("limit", PAGE)), PAGE if len(parts) == 2 else 100)
        first = 0
        if "page_token" in query:
            first = 1 + [e["id"] for e in found].index(query["page_token"])
        page = found[first:first + size]
        more = first + size < len(found)
        link = f"{self.url}{request.path}?limit={size}&page_token={page[-1]['id'] if page else ''}"
        return request, scripted.Answer(body={
            "_pagination": {"next": link if more else None}, "_results": page})

    def ids(self):
        with self.lock:
            return {e["id"] for e in self.events}


def event(number, **more):
    return hooks.event(f"evt_{number:x}", f"cnv_{number % 50}", **more)


class Scene(stage.Scene):
    def scene(self, **settings):
        on_stage = self.open_stage(front=Events())
        on_stage.events = f"events-{on_stage.group}"
        on_stage.create(on_stage.events, None)
        on_stage.settings.update({"events.topic": on_stage.events, **settings})
        return on_stage

    def wait_healed(self, on_stage, timeout_s=60):
        """All that Front lists is on the topic: its records by id."""
        def all_there():
            found = produced(on_stage)
            return found if on_stage.front.ids() <= found.keys() else None
        return stage.wait_for("each event of Front's list on the topic", all_there, timeout_s, 0.5)


class Poller(Scene):
    """Without webhooks."""

    def test_it_brings_each_event_once(self):
        on_stage = self.scene(**OFTEN)
        before = hooks.event("evt_before")
        before["emitted_at"] -= 100_000  # before the first start ever
        on_stage.front.happen(before)
        connector = on_stage.start()
        connector.wait_line("sync.new")
        for number in range(100):
            on_stage.front.happen(event(number))
        on_stage.front.events.remove(before)
        found = self.wait_healed(on_stage)
        self.assertEqual({len(outs) for outs in found.values()}, {1})
        self.assertNotIn("evt_before", found)
        self.assertEqual({o.fields["delivery"] for outs in found.values() for o in outs}, {"poll"})
        self.assertEqual({o.text("delivery") for outs in found.values() for o in outs}, {"poll"})
        self.assertEqual({o.fields["company_id"] for outs in found.values() for o in outs},
                         {COMPANY})
        metrics = connector.metrics()
        self.assertEqual(metrics['events_produced_total{delivery="poll"}'], 100)
        self.assertAlmostEqual(metrics["heal_watermark_timestamp_seconds"], time.time(), delta=30)

    def test_it_begins_where_the_settings_say(self):
        on_stage = self.scene(**OFTEN, **{"events.heal.from": 1_500_000_000_000})
        old = hooks.event("evt_old")
        old["emitted_at"] = 1_600_000_000.5
        on_stage.front.happen(old)
        on_stage.start()
        self.assertEqual(self.wait_healed(on_stage).keys(), {"evt_old"})

    def test_kills_lose_no_event_and_double_none(self):
        on_stage = self.scene(**OFTEN)
        both = [on_stage.start(), on_stage.start(**{"instance.id": "two"})]
        over = threading.Event()

        def happen():
            number = 0
            while not over.wait(0.005):  # the pace of a busy company, not a wait for a fact
                on_stage.front.happen(event(number))
                number += 1
        busy = threading.Thread(target=happen, daemon=True)
        busy.start()
        kills = on_stage.kill_in_turn(both, lambda: len(on_stage.front.ids()) >= 2000)
        over.set()
        busy.join()
        for connector in both:
            connector.wait_ready()
        found = self.wait_healed(on_stage)
        twice = [i for i, outs in found.items() if len(outs) > 1]
        print(f"  {kills} kills, {len(found)} events", flush=True)
        self.assertGreater(kills, 5)
        self.assertEqual(twice, [], "produced in a transaction, and yet twice")
        self.assertEqual(found.keys(), on_stage.front.ids())


class Traffic(hooks.Traffic):
    """Front's events, most of them as webhooks: one in so many is dropped."""

    def __init__(self, port, front, **more):
        super().__init__(port, **more)
        self.front, self.dropped = front, set()

    def deliver(self, caller, sent):
        number = int(sent.event_id[4:], 16)
        payload = self.front.happen(event(number))
        if number % DROPPED == 7:
            self.dropped.add(sent.event_id)
            return
        self.deliver_payload(caller, sent, payload)


class Healed(Scene):
    """Beside webhooks."""

    def scene(self, **settings):
        on_stage = super().scene(**settings)
        port = kafka.free_port()
        on_stage.settings.update(test_webhooks.settings_of(on_stage, port))
        return on_stage, port

    def judge(self, on_stage, traffic, label):
        found = self.wait_healed(on_stage)
        self.assertEqual(found.keys(), on_stage.front.ids())
        by = collections.Counter(o.fields["delivery"] for outs in found.values() for o in outs)
        repeats = sum(len(outs) - 1 for outs in found.values())
        for event_id in traffic.dropped:
            self.assertEqual([o.fields["delivery"] for o in found[event_id]], ["healed"])
        self.assertEqual(by.keys(), {"webhook", "healed"})
        lost = [s.event_id for s in traffic.sent if s.stored()
                and "webhook" not in [o.fields["delivery"] for o in found[s.event_id]]]
        self.assertEqual(lost, [], "answered 200, and only healed")
        print(f"  {label}: {by['webhook']} by webhooks, {by['healed']} healed "
              f"({len(traffic.dropped)} were dropped), {repeats} repeats", flush=True)
        return found, repeats

    def test_what_was_dropped_is_healed(self):
        on_stage, port = self.scene(**OFTEN)
        connector = on_stage.start()
        traffic = Traffic(port, on_stage.front).start(200)
        traffic.join()
        self.assertEqual(len(traffic.dropped), 10)
        found, repeats = self.judge(on_stage, traffic, "dropped")
        self.assertEqual(repeats, 0)
        some = found[min(traffic.dropped)][0]
        self.assertEqual((some.text("delivery"), some.text("origin"), some.text("ce_id")),
                         ("healed", "api", some.fields["id"]))
        self.assertIsNone(some.text("command-id"))
        self.assertEqual(connector.metrics()['events_produced_total{delivery="healed"}'], 10)

    def test_five_kills(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        chance = random.Random(seed)
        on_stage, port = self.scene(**{**OFTEN, "events.heal.overlap.ms": 60_000})
        connector = on_stage.start()
        traffic = Traffic(port, on_stage.front).start(EVENTS)
        for i in range(1, KILLS + 1):
            target = EVENTS * i // (KILLS + 2) + chance.randrange(-200, 200)
            stage.wait_for(f"{target} stored", lambda t=target: traffic.count() >= t, 120, 0.001)
            connector.kill()
            connector.start()
        traffic.join()
        self.judge(on_stage, traffic, f"SEED={seed}, {KILLS} kills")

    def test_one_receives_and_another_heals(self):
        on_stage, port = self.scene(**OFTEN)
        healing = on_stage.start(**{"webhooks.listen": "off"})
        healing.wait_line("sync.new")
        receiving = on_stage.start(**{"instance.id": "two"})
        traffic = Traffic(port, on_stage.front).start(500)
        traffic.join()
        found = self.wait_healed(on_stage)
        by = collections.Counter(o.fields["delivery"] for outs in found.values() for o in outs)
        self.assertEqual({len(outs) for outs in found.values()}, {1}, by)
        self.assertEqual(by["webhook"], len(traffic.sent) - len(traffic.dropped))
        self.assertEqual(receiving.metrics()['events_produced_total{delivery="webhook"}'],
                         by["webhook"])


class Commands(Scene):
    def test_lists_of_events_give_the_records_that_webhooks_give(self):
        on_stage = self.scene()
        made = [on_stage.front.happen(event(n, preview=n % 7 == 0)) for n in range(40)]
        on_stage.start()
        result = on_stage.ask("list-events")
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 40, 3))
        found = produced(on_stage)
        self.assertEqual(found.keys(), {e["id"] for e in made})
        for payload in made:
            out, = found[payload["id"]]
            self.compare(out, payload)
            self.assertEqual(out.text("operation"), "list-events")
            self.assertEqual(out.text("command-id"), result.command_id)
        one = on_stage.ask("list-conversation-events", {"conversation_id": "cnv_7"})
        self.assertEqual((one.outcome, one.items, one.pages), ("SUCCEEDED", 1, 1))
        both = produced(on_stage)["evt_7"]
        self.assertEqual([o.text("operation") for o in both],
                         ["list-events", "list-conversation-events"])
        self.compare(both[1], made[7])

    def compare(self, out, payload):
        """Field by field with what Front sent."""
        fields, cnv = out.fields, payload["conversation"]
        self.assertEqual(json.loads(fields["payload"]), payload)
        self.assertEqual((fields["id"], fields["type"], fields["webhook_type"],
                          fields["delivery"], fields["company_id"]),
                         (payload["id"], payload["type"], None, "poll", COMPANY))
        self.assertAlmostEqual(fields["emitted_at"].timestamp(), payload["emitted_at"], 3)
        got = fields["conversation"]
        self.assertEqual((got["id"], got["subject"], got["status"], got["status_id"],
                          got["is_private"], got["tag_ids"]),
                         (cnv["id"], cnv.get("subject"), cnv.get("status"), cnv.get("status_id"),
                          cnv.get("is_private"), [t["id"] for t in cnv.get("tags", [])]))
        for party in "source", "target":
            if party not in payload:
                self.assertIsNone(fields[party])
                continue
            data = payload[party]["data"]
            self.assertEqual(fields[party], {
                "type": payload[party]["_meta"]["type"],
                "ids": [d["id"] for d in (data if isinstance(data, list) else [data])]})
        self.assertEqual(out.key.decode(), cnv["id"])
        self.assertEqual((out.text("ce_id"), out.text("ce_subject"), out.text("ce_type")),
                         (payload["id"], cnv["id"], f"com.frontapp.{payload['type']}"))

    def test_with_events_brings_them_for_each_row(self):
        on_stage = self.scene()
        on_stage.front.on("/conversations", scripted.Answer(200, {
            "_pagination": {"next": None}, "_results": [{"id": "cnv_3"}, {"id": "cnv_4"}]}))
        for n in range(104):
            on_stage.front.happen(event(n))
        on_stage.create(on_stage.items_topic("conversations"), {"cleanup.policy": "compact"})
        on_stage.start()
        result = on_stage.ask("list-conversations", {"with": "events"})
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 7, 3))
        self.assertEqual(len(produced(on_stage)), 5)


if __name__ == "__main__":
    unittest.main()
