#!/usr/bin/env python3
"""Tests of front-sandbox's webhooks, judged by a receiver of their own (receiver.py).

    python3 tests/sandbox/test_webhooks.py [-v]     (FRONT_SANDBOX=path, default build/front-sandbox)
"""
import json
import pathlib
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from receiver import (APP_KEY, CHANNEL_KEY, HANG, RESET, RULE_KEY, Receiver)  # noqa: E402
from test_sandbox import PROGRAM, Sandbox, WithSandbox, jwt, wait_for  # noqa: E402

TYPES = """assign unassign archive reopen trash restore reminder comment mention inbound outbound
out_reply move forward tag untag sending_error message_bounce_error conversations_merged link_added
link_removed custom_field_updated macro_triggered topic_identified ticket_status_update call_started
call_abandoned call_queued call_on_hold call_parked call_resumed call_connected call_missed call_hangup
call_transferred call_transcript_added call_voicemail_transcript_added""".split()
LONG = {"inbound": "inbound_received", "outbound": "outbound_sent", "out_reply": "outbound_sent",
        "sending_error": "message_delivery_failed", "message_bounce_error": "message_delivery_failed",
        "move": "conversation_moved", "archive": "conversation_archived",
        "reopen": "conversation_reopened", "trash": "conversation_deleted",
        "restore": "conversation_restored", "reminder": "conversation_snooze_expired",
        "comment": "new_comment_added", "assign": "assignee_changed", "unassign": "assignee_changed",
        "tag": "tag_added", "untag": "tag_removed", "link_added": "link_added",
        "link_removed": "link_removed"}
KEYS = {"app": APP_KEY, "rule": RULE_KEY, "channel": CHANNEL_KEY}
CNV = "/conversations/cnv_1"


class WithReceiver(WithSandbox):
    def setUp(self):
        super().setUp()
        self.rc = Receiver()
        self.addCleanup(self.rc.close)
        self.addCleanup(self.sb.own, "DELETE", "webhooks")

    def hooks(self):
        return self.sb.own("GET", "webhooks").json

    def register(self, *kinds, **fields):
        for kind in kinds:
            a = self.sb.own("POST", "webhooks", {"kind": kind, "url": f"{self.rc.url}/{kind}",
                                                 "key": KEYS[kind], "retry_ms": 1, **fields})
            self.assertEqual(a.status, 201, a.body)
            wait_for("active webhook", lambda: self.hooks()[kind]["state"] == "active")

    def trigger(self, kind_of, status=202, **fields):
        a = self.sb.own("POST", "trigger", {"type": kind_of, **fields})
        self.assertEqual(a.status, status, a.body)
        return a.json

    def rows(self, **only):
        """The log's deliveries, all over, without challenges."""
        wait_for("end of the deliveries",
                 lambda: self.sb.own("GET", "stats").json["deliveries_open"] == 0, 20)
        rows = [r for r in self.sb.own("GET", "deliveries").json if r["type"] != "sync"]
        return [r for r in rows if all(r[k] == v for k, v in only.items())]

    def statuses(self, **only):
        return [[t["status"] for t in r["attempts"]] for r in self.rows(**only)]

    def arrived(self, kind, n):
        wait_for(f"{n} of the {kind} webhook", lambda: len(self.rc.of(kind)) >= n)
        self.rows()
        got = self.rc.of(kind)
        self.assertEqual(len(got), n, [d.body for d in got])
        return got

    def events(self):
        rows = self.ok("GET", "/events?sort_order=asc")["_results"]
        return [r for r in rows if len(r["id"]) > 5]  # not the seed's


class Registration(WithReceiver):
    def test_challenge_in_three_forms(self):
        for form, echo in (("text", lambda v: ("text/plain; charset=utf-8", v)),
                           ("form", lambda v: ("application/x-www-form-urlencoded", "challenge=" + v)),
                           ("json", lambda v: ("application/json", json.dumps({"challenge": v})))):
            with self.subTest(form):
                self.rc.echo = echo
                self.register("app")
                ask = self.rc.challenges()[-1]
                self.assertEqual((ask.json, ask.verdict()),
                                 ({"type": "sync", "authorization": {"id": "cmp_sandbox"}}, "good"))
        self.assertEqual(len({d.challenge for d in self.rc.challenges()}), 3)

    def test_a_wrong_echo_is_refused(self):
        for echo in (lambda v: ("text/plain", v + "x"), lambda v: ("text/plain", ""),
                     lambda v: ("application/json", json.dumps({"other": v})),
                     lambda v: ("application/json", v), lambda v: ("text/plain", "challenge=" + v),
                     lambda v: ("application/x-www-form-urlencoded", v)):
            self.rc.echo = echo
            self.sb.own("POST", "webhooks", {"kind": "app", "url": self.rc.url + "/app", "key": APP_KEY})
            wait_for("refusal", lambda: self.hooks()["app"]["state"] == "refused")
        self.assertIn("not echoed", self.hooks()["app"]["why"])
        self.ok("PATCH", CNV, {"status": "archived"}, 204)
        self.assertEqual([(r["state"], r["why"]) for r in self.rows()], [("skipped", "refused")])
        self.assertEqual([e["type"] for e in self.events()], ["archive"])
        self.rc.echo = lambda v: ("text/plain", v)
        self.sb.own("POST", "webhooks", {"kind": "app", "enabled": True})
        wait_for("acceptance", lambda: self.hooks()["app"]["state"] == "active")

    def test_the_receiver_may_start_later(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.sb.own("POST", "webhooks", {"url": f"http://127.0.0.1:{port}/app", "key": APP_KEY})
        wait_for("a try", lambda: self.hooks()["app"]["why"] == "nobody listens yet")
        later = Receiver(port)
        self.addCleanup(later.close)
        wait_for("active webhook", lambda: self.hooks()["app"]["state"] == "active")

    def test_without_challenge(self):
        self.register("app", challenge=False)
        self.register("rule", "channel")
        self.assertEqual(self.rc.challenges(), [])

    def test_mistakes_are_said_and_keys_are_not(self):
        url = self.rc.url
        for fields in ({}, {"url": url}, {"key": "k"}, {"url": "ftp://x", "key": "k"},
                       {"url": url, "key": "k", "kind": "odd"}, {"url": url, "key": "k", "retries": 11},
                       {"url": url, "key": "k", "odd": 1}, {"url": url, "key": "k", "payload": "half"},
                       {"url": url, "key": ""}, {"url": url, "key": 7}, 7, [7]):
            self.assertEqual(self.sb.own("POST", "webhooks", fields).status, 400, fields)
        self.assertEqual(self.hooks(), {"app": None, "rule": None, "channel": None})
        self.register("app", "rule", "channel")
        text = self.sb.own("GET", "webhooks").body.decode()
        for key in KEYS.values():
            self.assertNotIn(key, text)
        self.assertEqual([self.hooks()[k]["timeout_ms"] for k in KEYS], [5000, 5000, 7000])

    def test_options(self):
        sb = Sandbox("--no-kafka", "--quota", "off", "--app-secret", CHANNEL_KEY,
                     "--webhook-app", self.rc.url + "/app", "--webhook-app-key", APP_KEY,
                     "--webhook-rule", self.rc.url + "/rule", "--webhook-rule-key", RULE_KEY,
                     "--webhook-channel", self.rc.url + "/channel", "--webhook-payload", "preview",
                     "--webhook-retry-ms", "7")
        try:
            wait_for("active webhook",
                     lambda: sb.own("GET", "webhooks").json["app"]["state"] == "active")
            self.assertEqual(sb.own("GET", "webhooks").json["app"]["retry_ms"], 7)
            sb.ask("PATCH", CNV, {"status": "archived"})
            sb.own("POST", "trigger", {"type": "authorization"})
            for kind in KEYS:
                wait_for(kind, lambda: len(self.rc.of(kind)) == 1)
                self.assertEqual(self.rc.of(kind)[0].verdict(), "good")
            self.assertEqual(set(self.rc.of("rule")[0].json["conversation"]), {"id", "_links"})
        finally:
            self.assertEqual(sb.stop(), 0)
        run = subprocess.run([PROGRAM, "--no-kafka", "--webhook-rule", self.rc.url],
                             capture_output=True, text=True, timeout=10)
        self.assertEqual(run.returncode, 2)
        self.assertIn("--webhook-rule: key", run.stderr)


class ByThemselves(WithReceiver):
    def test_application(self):
        self.register("app")
        self.ok("POST", CNV + "/comments", {"body": "Grüße ✓ \u2028", "author_id": "tea_2"}, 201)
        got = self.arrived("app", 1)[0]
        event = self.events()[0]
        self.assertEqual((got.method, got.verdict()), ("POST", "good"))
        self.assertRegex(got.timestamp, "^[0-9]{13}$")
        self.assertEqual(got.json, {"type": "new_comment_added", "authorization": {"id": "cmp_sandbox"},
                                    "payload": event})
        self.assertEqual(event["target"]["data"]["body"], "Grüße ✓ \u2028")
        self.assertIn("Grüße ✓".encode(), got.body)
        row = self.rows()[0]
        self.assertEqual((row["event"], row["state"], row["webhook_type"], row["answer"]),
                         (event["id"], "done", "new_comment_added", '{"type":"success"}'))

    def test_rule(self):
        self.register("rule")
        self.ok("POST", CNV + "/tags", {"tag_ids": ["tag_2"]}, 204)
        got = self.arrived("rule", 1)[0]
        self.assertEqual((got.verdict(), got.json), ("good", self.events()[0]))

    def test_each_change_of_a_call_in_order(self):
        self.register("app", "rule", connections=1)
        self.ok("PATCH", CNV, {"assignee_id": "tea_1", "inbox_id": "inb_3", "status": "archived",
                               "status_id": "sts_2"}, 204)
        self.assertEqual([d.json["type"] for d in self.arrived("app", 3)],
                         ["assignee_changed", "conversation_moved", "conversation_archived"])
        self.assertEqual([d.json["type"] for d in self.arrived("rule", 4)],
                         ["assign", "move", "archive", "ticket_status_update"])
        # the event shows the end of the call, not its middle
        self.assertEqual(self.rc.of("rule")[0].json["conversation"]["status"], "archived")

    def test_preview(self):
        self.register("app", "rule", payload="preview")
        self.ok("POST", CNV + "/tags", {"tag_ids": ["tag_2"]}, 204)
        for payload in (self.arrived("app", 1)[0].json["payload"], self.arrived("rule", 1)[0].json):
            self.assertEqual(set(payload["target"]["data"]), {"id", "_links"})
            self.assertEqual(set(payload["conversation"]), {"id", "_links"})
            self.assertEqual(payload["target"]["_meta"]["type"], "tag")

    def test_types_chosen(self):
        self.register("app", types=["tag_added"])
        self.register("rule", types=["untag"])
        self.ok("POST", CNV + "/tags", {"tag_ids": ["tag_2"]}, 204)
        self.ok("DELETE", CNV + "/tags", {"tag_ids": ["tag_2"]}, 204)
        self.assertEqual(self.arrived("app", 1)[0].json["type"], "tag_added")
        self.assertEqual(self.arrived("rule", 1)[0].json["type"], "untag")

    def test_private_conversations_are_for_rules(self):
        self.register("app", "rule")
        self.ok("POST", "/conversations", {"type": "discussion", "teammate_ids": ["tea_1"],
                                           "subject": "s", "comment": {"body": "b"}}, 201)
        self.arrived("rule", 1)
        self.assertEqual([(r["state"], r["why"]) for r in self.rows(kind="app")],
                         [("skipped", "private")])
        self.assertEqual([e["type"] for e in self.events()], ["comment"])

    def test_imports_are_for_nobody(self):
        self.register("app", "rule")
        self.ok("POST", "/inboxes/inb_1/imported_messages",
                {"sender": {"handle": "a@b.c"}, "to": ["d@e.f"], "body": "old", "external_id": "x1",
                 "created_at": 1700000000, "metadata": {"is_inbound": True}}, 202)
        self.assertEqual({(r["state"], r["why"]) for r in self.rows()}, {("skipped", "mass action")})
        self.assertEqual([e["type"] for e in self.events()], ["inbound"])

    def test_a_lost_answer_still_fires(self):
        self.register("app")
        with self.assertRaises(TimeoutError):
            self.sb.ask("POST", "/conversations/cnv_timeout/comments", {"body": "b"}, timeout=0.3)
        self.assertEqual(self.arrived("app", 1)[0].json["payload"]["conversation"]["id"], "cnv_timeout")

    def test_reset_forgets_deliveries_and_keeps_webhooks(self):
        self.register("app")
        self.rc.gate.clear()
        self.ok("PATCH", CNV, {"status": "archived"}, 204)
        wait_for("delivery", lambda: len(self.rc.of("app")) == 1)
        self.assertEqual(self.sb.own("POST", "reset").status, 204)
        self.rc.gate.set()
        self.assertEqual(self.rows(), [])
        self.ok("PATCH", CNV, {"status": "archived"}, 204)
        self.arrived("app", 2)


class BuiltLater(WithReceiver):
    ARGS = (*WithSandbox.ARGS, "--build-ms", "200")

    def test_events_come_with_the_message(self):
        self.register("app", connections=1)
        uid = self.ok("POST", CNV + "/messages", {"body": "b", "options": {"tag_ids": ["tag_3"]}},
                      202)["message_uid"]
        before = self.events()
        if self.sb.get("/messages/alt:uid:" + uid).status == 404:  # not built by then
            self.assertEqual(before, [])
        got = [d.json["payload"] for d in self.arrived("app", 3)]
        self.assertEqual([e["type"] for e in got], ["out_reply", "tag", "archive"])
        self.assertEqual(self.events(), got)
        self.assertEqual(got[0]["target"]["data"]["message_uid"], uid)
        self.ok("GET", "/messages/alt:uid:" + uid)

    def test_reset_forgets_what_is_being_built(self):
        self.ok("POST", CNV + "/messages", {"body": "b"}, 202)
        self.assertEqual(self.sb.own("POST", "reset").status, 204)
        uid = self.ok("POST", CNV + "/messages", {"body": "b"}, 202)["message_uid"]
        wait_for("message", lambda: self.sb.get("/messages/alt:uid:" + uid).status == 200)
        self.assertEqual([e["type"] for e in self.events()], ["out_reply", "archive"])


class Bounds(WithReceiver):
    def test_events(self):
        made = self.trigger("archive", count=19999)["events"]
        self.ok("GET", "/events/evt_2", None, 404)
        rows = self.ok("GET", "/events?sort_order=asc")["_results"]
        self.assertEqual([r["id"] for r in rows[:2]], ["evt_3", made[0]])

    def test_deliveries(self):
        self.register("rule", connections=1, payload="preview")
        self.rc.gate.clear()
        self.assertEqual(len(self.trigger("archive", count=20000)["deliveries"]), 20000)
        made = self.trigger("archive")
        self.assertEqual((len(made["events"]), made["deliveries"]), (1, []))
        self.assertEqual(self.hooks()["rule"]["lost"], 1)
        self.ok("GET", "/events/" + made["events"][0])
        self.sb.own("DELETE", "webhooks")
        self.rc.gate.set()
        self.assertEqual(len(self.rows(state="skipped")), 20000)


class Repeats(WithReceiver):
    def test_what_is_repeated(self):
        self.register("app")
        for answer, seen in ((500, 500), (503, 503), (429, 429), (408, 408), (HANG, None),
                             (RESET, None)):
            with self.subTest(answer):
                self.sb.own("POST", "reset")
                self.rc.seen.clear()
                self.rc.script("app", answer, answer)
                self.sb.own("POST", "webhooks", {"timeout_ms": 1000 if answer == HANG else 10000})
                self.ok("PATCH", CNV, {"status": "archived"}, 204)
                got = self.arrived("app", 3)
                self.assertEqual(self.statuses(), [[seen, seen, 200]])
                self.assertEqual({d.verdict() for d in got}, {"good"})
                self.assertEqual(len({d.body for d in got}), 1)
        self.assertEqual(self.hooks()["app"]["retried"], 12)

    def test_three_more_and_no_further(self):
        self.register("app")
        self.rc.script("app", *[500] * 9)
        self.ok("PATCH", CNV, {"status": "archived"}, 204)
        self.arrived("app", 4)
        self.assertEqual([(r["state"], len(r["attempts"])) for r in self.rows()], [("failed", 4)])

    def test_final_answers(self):
        self.register("app")
        for status in (400, 401, 404, 410, 301):
            self.rc.script("app", status)
            self.ok("PATCH", CNV, {"status": "archived"}, 204)
            self.ok("PATCH", CNV, {"status": "open"}, 204)
            self.assertEqual(sorted(self.statuses())[-1], [status])
            self.sb.own("POST", "reset")

    def test_retry_after_is_honoured(self):
        self.register("app")
        self.rc.script("app", (429, {"Retry-After": "1"}))
        self.ok("PATCH", CNV, {"status": "archived"}, 204)
        first, second = self.rows()[0]["attempts"]
        self.assertGreaterEqual(second["t_ms"] - first["t_ms"], 1000)

    def test_each_try_has_its_own_time(self):
        self.register("app", retry_ms=30)
        self.rc.script("app", 500)
        self.ok("PATCH", CNV, {"status": "archived"}, 204)
        first, second = self.arrived("app", 2)
        self.assertLess(int(first.timestamp), int(second.timestamp))

    def test_rules_are_never_repeated(self):
        self.register("rule", "channel", timeout_ms=1000)
        for answer in (500, 429, HANG, RESET):
            self.rc.seen.clear()
            self.rc.script("rule", answer)
            self.rc.script("channel", answer)
            self.ok("POST", CNV + "/comments", {"body": "b"}, 201)
            self.trigger("authorization")
            self.arrived("rule", 1)
            self.arrived("channel", 1)
        self.assertEqual([len(r["attempts"]) for r in self.rows()], [1] * 8)
        self.assertEqual({r["state"] for r in self.rows()}, {"failed"})

    def test_kept_connections(self):
        self.register("app", "rule", connections=1)
        self.trigger("inbound", count=5)
        for kind, connections in (("app", 1), ("rule", 5)):
            got = self.arrived(kind, 5)
            self.assertEqual(len({d.client for d in got}), connections, kind)

    def test_disabled_after_failures(self):
        self.register("app", retries=0, disable_after=3)
        self.rc.script("app", 500, 200, 500, 500, 500)
        for n in range(5):
            self.ok("POST", CNV + "/comments", {"body": str(n)}, 201)
            self.rows()
        hook = self.hooks()["app"]
        self.assertEqual((hook["state"], hook["why"]), ("disabled", "3 deliveries in a row failed"))
        self.ok("POST", CNV + "/comments", {"body": "unheard"}, 201)
        self.assertEqual((self.rows()[-1]["state"], self.rows()[-1]["why"]), ("skipped", "disabled"))
        self.assertEqual(len(self.events()), 6)
        self.sb.own("POST", "webhooks", {"kind": "app", "enabled": True})
        self.ok("POST", CNV + "/comments", {"body": "heard"}, 201)
        got = self.arrived("app", 6)
        self.assertEqual(got[-1].json["payload"]["target"]["data"]["body"], "heard")

    def test_disabling_drops_what_waits(self):
        self.register("app", retries=0, disable_after=1, connections=1)
        self.rc.gate.clear()
        self.rc.script("app", 500)
        self.trigger("inbound", count=5)
        wait_for("the first", lambda: len(self.rc.of("app")) == 1)
        self.rc.gate.set()
        self.assertEqual([r["state"] for r in self.rows()], ["failed"] + ["skipped"] * 4)
        self.assertEqual(len(self.rc.of("app")), 1)


class Triggers(WithReceiver):
    def test_every_type(self):
        self.register("app", "rule")
        for name in TYPES:
            for kind in ("app", "rule"):
                with self.subTest(f"{name} {kind}"):
                    made = self.trigger(name, kind=kind)
                    self.rows()
                    got = self.rc.of(kind)[-1]
                    self.assertEqual(got.verdict(), "good")
                    event = got.json["payload"] if kind == "app" else got.json
                    self.assertEqual((event["type"], [event["id"]]), (name, made["events"]))
                    if kind == "app":
                        self.assertEqual(got.json["type"], LONG.get(name, name))
                    listed = self.ok("GET", "/events/" + event["id"])
                    self.assertEqual({k: listed[k] for k in ("type", "source", "target")},
                                     {k: event[k] for k in ("type", "source", "target")})
        self.assertEqual(len(self.rc.of("app")) + len(self.rc.of("rule")), 2 * len(TYPES))

    def test_by_itself_an_application_gets_its_types_only(self):
        self.register("app")
        for name in TYPES:
            self.trigger(name)
        got = self.arrived("app", len(LONG))
        self.assertEqual(sorted(d.json["payload"]["type"] for d in got), sorted(LONG))

    def test_the_world_follows(self):
        for name, claim in (("archive", lambda c: c["status"] == "archived"),
                            ("reopen", lambda c: c["status"] == "unassigned"),
                            ("assign", lambda c: c["assignee"]["id"] == "tea_1"),
                            ("unassign", lambda c: c["assignee"] is None),
                            ("tag", lambda c: "tag_3" in [t["id"] for t in c["tags"]]),
                            ("untag", lambda c: "tag_3" not in [t["id"] for t in c["tags"]]),
                            ("trash", lambda c: c["status"] == "deleted")):
            target = {"target": "tag_3"} if name.endswith("tag") else {}
            self.trigger(name, conversation="cnv_1", **target)
            self.assertTrue(claim(self.ok("GET", CNV)), name)
        self.trigger("inbound", conversation="cnv_1", body="from outside", subject="S")
        msg = self.ok("GET", CNV + "/messages")["_results"][0]
        self.assertEqual((msg["body"], msg["is_inbound"], msg["recipients"][0]["role"]),
                         ("from outside", True, "from"))

    def test_conversations(self):
        made = self.trigger("inbound", count=4)["events"]
        cnvs = [self.ok("GET", "/events/" + e)["conversation"]["id"] for e in made]
        self.assertEqual(cnvs, ["cnv_1", "cnv_2", "cnv_3", "cnv_1"])
        made = self.trigger("inbound", conversation="new", count=2)["events"]
        cnvs = [self.ok("GET", "/events/" + e)["conversation"]["id"] for e in made]
        self.assertEqual(len(set(cnvs) - {"cnv_1", "cnv_2", "cnv_3"}), 2)
        self.register("app", "rule")
        self.trigger("inbound", private=True)
        self.arrived("rule", 1)
        self.assertEqual(self.rows(kind="app")[0]["why"], "private")

    def test_sources(self):
        for source, want in (("rule", "rul_1"), ("teammate", "tea_1"), ("api", None)):
            made = self.trigger("archive", source=source)["events"][0]
            got = self.ok("GET", "/events/" + made)["source"]
            self.assertEqual((got["_meta"]["type"], got["data"] and got["data"]["id"]), (source, want))

    def test_preview_and_another_long_name(self):
        self.register("app")
        self.trigger("reminder", webhook_type="conversation_snoozed", payload="preview", kind="app")
        got = self.arrived("app", 1)[0].json
        self.assertEqual((got["type"], set(got["payload"]["conversation"])),
                         ("conversation_snoozed", {"id", "_links"}))

    def test_duplicates(self):
        self.register("app", "rule")
        made = self.trigger("inbound", duplicate=2, count=2)
        self.assertEqual(len(made["deliveries"]), 12)
        for kind in ("app", "rule"):
            got = self.arrived(kind, 6)
            ids = [(d.json.get("payload") or d.json)["id"] for d in got]
            self.assertEqual({i: ids.count(i) for i in ids}, {e: 3 for e in made["events"]})
            self.assertEqual({d.verdict() for d in got}, {"good"})

    def test_dropped_is_in_the_list(self):
        self.register("app", "rule")
        made = self.trigger("inbound", drop=True, count=20)
        self.trigger("archive")
        self.arrived("app", 1)
        self.arrived("rule", 1)
        self.assertEqual({r["state"] for r in self.rows(why="dropped")}, {"skipped"})
        ids, path = [], "/events?sort_order=asc&q[types]=inbound"
        while path:
            page = self.ok("GET", path)
            ids += [r["id"] for r in page["_results"]]
            path = page["_pagination"]["next"] and page["_pagination"]["next"][len(self.sb.url):]
        self.assertEqual(ids[3:], made["events"])

    def test_reordered(self):
        self.register("app", connections=1)
        made = self.trigger("inbound", reorder=True, count=30)
        ids = [d.json["payload"]["id"] for d in self.arrived("app", 30)]
        self.assertEqual(sorted(ids), sorted(made["events"]))
        self.assertNotEqual(ids, made["events"])

    def test_delayed(self):
        self.register("app", connections=1)
        late = self.trigger("inbound", delay_ms=150)
        soon = self.trigger("inbound")
        ids = [d.json["payload"]["id"] for d in self.arrived("app", 2)]
        self.assertEqual(ids, soon["events"] + late["events"])

    def test_many_at_once(self):
        self.register("app", connections=6)
        self.rc.gate.clear()
        self.trigger("inbound", count=200)
        wait_for("six at once", lambda: self.rc.running == 6)
        hook = self.hooks()["app"]
        self.assertEqual((hook["running"], hook["ready"]), (6, 194))
        self.rc.gate.set()
        got = self.arrived("app", 200)
        self.assertEqual(len({d.json["payload"]["id"] for d in got}), 200)
        self.assertEqual(self.rc.most_at_once, 6)
        self.assertEqual(self.statuses(), [[200]] * 200)

    def test_mistakes(self):
        self.register("app")
        for fields in ({}, {"type": "odd"}, {"type": "inbound", "kind": "odd"},
                       {"type": "inbound", "kind": "channel"}, {"type": "message", "kind": "app"},
                       {"type": "inbound", "kind": "rule"}, {"type": "message"},
                       {"type": "inbound", "count": 0}, {"type": "inbound", "count": "2"},
                       {"type": "inbound", "count": 20000, "duplicate": 20000},
                       {"type": "inbound", "odd": 1}, {"type": "inbound", "drop": 1},
                       {"type": "inbound", "source": "odd"}, {"type": "inbound", "payload": "odd"}, 7):
            self.assertEqual(self.sb.own("POST", "trigger", fields).status, 400, fields)
        self.trigger("inbound", 404, conversation="cnv_zzz")
        self.trigger("tag", 404, target="tag_zzz")
        self.assertEqual((self.rows(), self.events()), ([], []))

    def test_command_line(self):
        self.register("app", "rule")
        run = subprocess.run([PROGRAM, "trigger", "tag", "--url", self.sb.url, "--kind", "app",
                              "--target", "tag_2", "--conversation", "cnv_2", "--duplicate", "1",
                              "--bad-signature"], capture_output=True, text=True, timeout=10)
        self.assertEqual(run.returncode, 0, run.stderr)
        got = self.arrived("app", 2)
        self.assertEqual([d.json["payload"]["id"] for d in got], json.loads(run.stdout)["events"] * 2)
        self.assertEqual({d.verdict() for d in got}, {"wrong signature"})
        for args, code in ((["odd", "--url", self.sb.url], 1), (["tag"], 2), (["--url", self.sb.url], 2),
                           (["tag", "--url", "http://127.0.0.1:1"], 2), (["--odd"], 2),
                           (["tag", "--count", "x", "--url", self.sb.url], 2), (["--help"], 0)):
            run = subprocess.run([PROGRAM, "trigger", *args], capture_output=True, text=True, timeout=10)
            self.assertEqual(run.returncode, code, (args, run.stderr))


class Attacks(WithReceiver):
    def test_each(self):
        self.register("app", "rule")
        for attack, app, rule in (
                ("bad_signature", "wrong signature", "wrong signature"),
                ("no_signature", "no signature", "no signature"),
                ("two_signatures", "two signatures", "two signatures"),
                ("other_key", "wrong signature", "wrong signature"),
                ("flip_bit", "wrong signature", "wrong signature"),
                ("old_timestamp", "old", "good")):
            for kind, verdict in (("app", app), ("rule", rule)):
                with self.subTest(f"{attack} {kind}"):
                    self.rc.seen.clear()
                    self.trigger("inbound", kind=kind, **{attack: True})
                    got = self.arrived(kind, 1)[0]
                    self.assertEqual(got.verdict(), verdict)
                    self.assertEqual(self.rows()[-1]["attacks"], [attack])

    def test_only_what_is_said_is_wrong(self):
        self.register("app", connections=1)
        self.trigger("inbound", old_timestamp=True)
        self.trigger("inbound", timestamp_offset_ms=600000)
        self.trigger("inbound", two_signatures=True)
        old, early, two = self.arrived("app", 3)
        self.assertLess(int(old.timestamp), int(early.timestamp) - 1100000)
        for got in (old, early):  # the signature is right for its time
            at = got.timestamp
            got.headers.replace_header("X-Front-Request-Timestamp", at)
            self.assertEqual(self.verdict_at(got), "good")
        first, second = two.all("X-Front-Signature")
        del two.headers["X-Front-Signature"]
        two.headers["X-Front-Signature"] = first
        self.assertEqual(two.verdict(), "good")
        two.headers.replace_header("X-Front-Signature", second)
        self.assertEqual((two.verdict(), len(second)), ("wrong signature", len(first)))

    @staticmethod
    def verdict_at(got):
        """The verdict at the time the request claims."""
        import receiver
        real = receiver.time.time
        receiver.time.time = lambda: int(got.timestamp) / 1000
        try:
            return got.verdict()
        finally:
            receiver.time.time = real

    def test_a_flipped_body_stays_flipped(self):
        self.register("app")
        self.rc.script("app", 500)
        self.trigger("inbound", flip_bit=True)
        first, second = self.arrived("app", 2)
        self.assertEqual(first.body, second.body)
        self.assertEqual({first.verdict(), second.verdict()}, {"wrong signature"})

    def test_refusals_do_not_disable(self):
        self.register("app", disable_after=2)
        self.rc.script("app", *[401] * 5)
        self.trigger("inbound", bad_signature=True, count=5)
        self.assertEqual(self.statuses(), [[401]] * 5)
        self.assertEqual(self.hooks()["app"]["state"], "active")


class Channels(WithReceiver):
    def test_messages_by_a_custom_channel(self):
        self.register("channel", connections=1)
        self.ok("POST", "/channels/cha_1/messages", {"to": ["a@b.c"], "body": "by mail"}, 202)
        sent = self.ok("POST", "/channels/cha_2/messages", {"to": ["a@b.c"], "body": "by channel"}, 202)
        self.ok("POST", CNV + "/messages", {"body": "reply", "channel_id": "cha_2"}, 202)
        first, second = self.arrived("channel", 2)
        self.assertEqual((first.verdict(), second.verdict(), first.method), ("good", "good", "POST"))
        self.assertEqual((first.json["type"], first.json["payload"]["message_uid"]),
                         ("message", sent["message_uid"]))
        self.assertTrue(first.json["payload"]["id"].startswith("msg_"))
        self.assertEqual((second.json["payload"]["body"], second.json["metadata"]),
                         ("reply", {"external_conversation_id": "cnv_1"}))

    def test_what_the_channel_answers(self):
        self.register("channel", "rule", connections=1, types=["sending_error"])
        self.rc.script("channel", (200, {}, b'{"type":"success","external_id":"e7",'
                                            b'"external_conversation_id":"c7"}'),
                       500, (200, {}, b'{"type":"bad_request"}'), (200, {}, b"odd"))
        uids = []
        for n in range(4):
            uids.append(self.ok("POST", CNV + "/messages",
                                {"body": str(n), "channel_id": "cha_2"}, 202)["message_uid"])
            self.rows()
        got = self.arrived("rule", 3)
        self.assertEqual([(d.json["type"], d.json["target"]["data"]["message_uid"]) for d in got],
                         [("sending_error", uid) for uid in uids[1:]])
        self.assertEqual(got[0].json["source"]["_meta"]["type"], "recipient")
        msg = self.ok("GET", "/messages/alt:uid:" + uids[0])
        self.assertEqual((msg["metadata"], msg.get("error_type")), ({"external_id": "e7"}, None))
        self.assertEqual(self.ok("GET", CNV)["metadata"], {"external_conversation_ids": ["c7"]})
        self.assertEqual(self.rc.of("channel")[1].json["metadata"]["external_conversation_id"], "c7")

    def test_imported(self):
        self.register("channel")
        token = jwt("s", iss="app", sub="cha_2", jti="1", exp=4102444800)
        a = self.sb.ask("POST", "/channels/cha_2/inbound_messages",
                        {"sender": {"handle": "a"}, "body": "b",
                         "metadata": {"external_id": "e1", "external_conversation_id": "c1"}}, token)
        self.assertEqual(a.status, 202, a.body)
        got = self.arrived("channel", 1)[0].json
        self.assertEqual((got["type"], got["metadata"], got["payload"]["message_uid"]),
                         ("message_imported", {"external_conversation_id": "c1",
                                               "external_conversation_ids": ["c1"]},
                          a.json["message_uid"]))

    def test_callbacks(self):
        self.register("channel")
        for name in ("authorization", "list_addresses"):
            self.trigger(name, channel="cha_2")
            got = self.arrived("channel", 1)[0]
            self.assertEqual((got.method, got.verdict(), got.json),
                             ("POST", "good", {"type": name, "payload": {"channel_id": "cha_2"}}))
            self.rc.seen.clear()
        self.trigger("message_autoreply")
        got = self.arrived("channel", 1)[0]
        self.assertEqual((got.verdict(), got.json["type"]), ("good", "message_autoreply"))
        self.assertNotIn("id", got.json["payload"])
        self.assertIn("/messages/msg_", got.json["payload"]["_links"]["related"]["message_replied_to"])

    def test_delete(self):
        self.register("channel", connections=1)
        self.trigger("delete", channel="cha_2", kind="channel")
        self.trigger("delete", no_body=True)
        first, second = self.arrived("channel", 2)
        self.assertEqual((first.method, first.json, first.verdict()),
                         ("DELETE", {"type": "delete", "payload": {"channel_id": "cha_2"}}, "good"))
        self.assertEqual((second.method, second.body, second.verdict()), ("DELETE", b"", "good"))


class End(unittest.TestCase):
    def test_stops_with_deliveries_under_way(self):
        rc = Receiver()
        self.addCleanup(rc.close)
        sb = Sandbox("--no-kafka", "--quota", "off")
        try:
            for kind in ("app", "rule"):
                sb.own("POST", "webhooks", {"kind": kind, "url": rc.url + "/" + kind, "key": "k",
                                            "challenge": False})
            rc.gate.clear()
            sb.own("POST", "trigger", {"type": "inbound", "count": 50})
            sb.own("POST", "trigger", {"type": "inbound", "delay_ms": 60000})
            wait_for("deliveries", lambda: rc.running == 16)
            self.assertEqual(sb.stop(), 0)
        finally:
            sb.process.kill()  # a test that failed before the end


if __name__ == "__main__":
    unittest.main()
