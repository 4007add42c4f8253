"""Lists as streams: every list of Front's, read with fastavro and compared field for field with the
JSON that Front sent, by rules of their own; topics on first use; nothing lost, nothing twice."""

import datetime
import itertools
import json
import re
import unittest
import urllib.parse

import confluent_kafka
from confluent_kafka import admin

import avro
import front as scripted
import stage
from sandbox import Sandbox

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
ALL = 83


def lists():
    return [o for o in avro.catalogue()["operations"] if o["list"] and o["resource"] != "events"]


def record_of(op):
    return avro.catalogue()["topics"][op["resource"]]["record"].rsplit(".", 1)[1]


# --- what a field must be: from the schema's names and the item alone ---

def last_segment(url):
    return urllib.parse.urlparse(url).path.rsplit("/", 1)[1]


def source_of(name, item):
    """The JSON that the field `name` of a record stands for."""
    if name in item:
        return item[name]
    if name.endswith("_ids"):
        found = item.get(name[:-len("_ids")] + "s")
        return None if found is None else [row["id"] for row in found]
    if name.endswith("_id"):
        stem = name[:-len("_id")]
        if isinstance(item.get(stem), dict):
            return item[stem]["id"]
        link = (item.get("_links") or {}).get("related", {}).get(stem)
        return None if link is None else last_segment(link)
    return None


def value_of(kind, value):
    """As fastavro reads it. kind: an Avro type; what is not of the type is None."""
    if isinstance(kind, list):
        return None if value is None else value_of(kind[1], value)
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if not isinstance(kind, dict):
        return value
    if kind.get("logicalType") == "timestamp-millis":
        return EPOCH + datetime.timedelta(milliseconds=round(value * 1000))
    if kind["type"] == "array":
        return [value_of(kind["items"], v) for v in value]
    return {f["name"]: value_of(f["type"], source_of(f["name"], value)) for f in kind["fields"]}


def normal(kind, value):
    """A text of free-form JSON in one spelling."""
    if isinstance(kind, list):
        return None if value is None else normal(kind[1], value)
    if kind == "string" and value[:1] in ("{", "["):
        return json.dumps(json.loads(value), sort_keys=True)
    if isinstance(kind, dict) and kind.get("type") == "array":
        return [normal(kind["items"], v) for v in value]
    if isinstance(kind, dict) and kind.get("type") == "record":
        return {f["name"]: normal(f["type"], value[f["name"]]) for f in kind["fields"]}
    return value


def key_of(record, item, parent):
    if record == "ContactNote":
        return f"{parent}/{round(item['created_at'] * 1000)}"
    if record == "SeenReceipt":
        return f"{last_segment(item['_links']['related']['message'])}/{item['seen_by']['handle']}"
    return item["id"]


class Whole(stage.Scene):
    """All lists of the sandbox."""

    def setUp(self):
        self.front = Sandbox()
        self.stage = self.open_stage(self.front)
        self.front.ask("/conversations/cnv_1/drafts", {"body": "draft", "channel_id": "cha_1",
                                                       "author_id": "tea_1"})
        self.ids = self.front.ask("/_sandbox/ids")

    def candidates(self, param):
        prefix = str(param["example"])[:4]
        found = [i for ids in self.ids.values() for i in ids if i.startswith(prefix)]
        return found if prefix.endswith("_") and found else [param["example"]]

    def choose(self, op):
        """Parameters of a list that is not empty, and its items as Front sends them."""
        names = [p["name"] for p in op["params"] if p["in"] == "path"]
        choices = [self.candidates(p) for p in op["params"] if p["in"] == "path"]
        for values in itertools.product(*choices):
            path = op["path"]
            for name, value in zip(names, values):
                path = path.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
            if any(p["name"] == "sort_order" for p in op["params"]):
                path += "?sort_order=asc"
            items = self.front.ask(path)["_results"]
            if items:
                return dict(zip(names, values)), items
        return self.fail(f"{op['name']}: all lists are empty")

    def test_every_list_arrives_typed_on_its_topic(self):
        self.assertEqual(len(lists()), ALL)
        wanted = {op["name"]: self.choose(op) for op in lists()}
        self.stage.start()
        for op in lists():
            self.stage.command(op["name"], op["name"], wanted[op["name"]][0])
        results = {op["name"]: self.stage.answer(op["name"], 120) for op in lists()}
        records = {topic: self.stage.records(self.stage.items_topic(topic))
                   for topic in {op["resource"] for op in lists()}}
        for op in lists():
            with self.subTest(list=op["name"]):
                params, items = wanted[op["name"]]
                result = results[op["name"]]
                self.assertEqual((result.outcome, result.error), ("SUCCEEDED", None))
                self.assertEqual((result.items, result.pages), (len(items), 1))
                self.assertEqual(json.loads(result.response)["_results"], items)
                got = [r for r in records[op["resource"]]
                       if r.text("command-id") == op["name"]]
                self.assertEqual(len(got), len(items))
                parent = list(params.values())[-1] if params else None
                for item in items:
                    self.check(op, parent, item, items, result, got)
        self.stage.settle()
        self.stage.check_counters()
        mistyped = self.stage.connectors[0].metrics()["items_mistyped_total"]
        self.assertEqual(mistyped, 0)

    def check(self, op, parent, item, items, result, got):
        name = record_of(op)
        mine = [r for r in got if json.loads(avro.decode(f"resources/{name}",
                                                         r.value)["_raw"]) == item]
        self.assertEqual(len(mine), items.count(item))  # the sandbox has equal notes
        self.assertEqual(mine[0].key.decode(), key_of(name, item, parent))
        source = f"{result.source_topic}/{result.source_partition}/{result.source_offset}"
        self.assertEqual(mine[0].header_list, [("command-id", op["name"].encode()),
                                               ("operation", op["name"].encode()),
                                               ("source", source.encode())])
        record = avro.decode(f"resources/{name}", mine[0].value)
        self.assertEqual(json.loads(record.pop("_raw")), item)
        self.assertEqual(record.pop("_parent_id"), parent)
        parsed, _ = avro.schema(f"resources/{name}")
        fields = [f for f in parsed["fields"] if f["name"] not in ("_raw", "_parent_id")]
        kind = {"type": "record", "fields": fields}
        self.assertEqual(normal(kind, record), value_of(kind, item))


class Pages(stage.Play):
    """Of a scripted Front: what a page may hold."""

    def items(self, suffix, command_id):
        return [r for r in self.stage.records(self.stage.items_topic(suffix))
                if r.text("command-id") == command_id]

    def ask_list(self, command_id, operation, path, answer, params=None):
        self.front.on(path, scripted.Answer(200, answer))
        self.stage.command(command_id, operation, params)
        return self.stage.answer(command_id)

    def test_items_that_break_their_type_arrive(self):
        broken = [{"id": "tag_1", "name": 5, "created_at": "yesterday", "is_private": True},
                  {"name": "no id"}, "no object", None,
                  {"id": "tag_2", "name": "fine", "new_at_front": {"a": [1, None]}}]
        before = self.connector.metrics()["items_mistyped_total"]
        result = self.ask_list("broken", "list-tags", "/tags", {"_results": broken})
        self.assertEqual((result.outcome, result.items), ("SUCCEEDED", len(broken)))
        got = {r.key: avro.decode("resources/Tag", r.value) for r in self.items("tags", "broken")}
        self.assertEqual(len(got), len(broken))
        self.assertEqual(sorted((json.loads(r["_raw"]) for r in got.values()), key=json.dumps),
                         sorted(broken, key=json.dumps))
        first = got[b"tag_1"]
        self.assertEqual((first["name"], first["created_at"], first["is_private"]),
                         (None, None, True))
        self.assertEqual(got[b"tag_2"]["name"], "fine")
        self.assertEqual(len([k for k in got if re.fullmatch(rb"[0-9a-f]{32}", k)]), 3)
        after = self.connector.metrics()
        self.assertEqual(after["items_mistyped_total"] - before, 4)
        self.assertGreaterEqual(
            after['items_mistyped_total{topic="%s"}' % self.stage.items_topic("tags")], 4)

    def test_an_unpaged_list_is_cut(self):
        teams = {"_results": [{"id": f"tim_{i}", "name": str(i)} for i in range(7)]}
        result = self.ask_list("cut", "list-teams", "/teams", teams, {"max_items": "3"})
        self.assertEqual((result.items, result.pages), (3, 1))
        self.assertEqual(sorted(r.key for r in self.items("teams", "cut")),
                         [b"tim_0", b"tim_1", b"tim_2"])
        self.assertEqual(self.front.requests()[0].query, "")

    def test_a_large_list_is_one_tick(self):
        rows = [{"id": f"tea_{i}", "username": "u" * 400} for i in range(12000)]
        result = self.ask_list("large", "list-teammates", "/teammates", {"_results": rows})
        self.assertEqual((result.outcome, result.items), ("SUCCEEDED", len(rows)))
        self.assertTrue(result.truncated)  # over results.max.bytes
        self.assertEqual({r.key.decode() for r in self.items("teammates", "large")},
                         {row["id"] for row in rows})

    def test_a_repeat_produces_no_items(self):
        tags = {"_results": [{"id": "tag_9"}]}
        self.ask_list("again", "list-company-tags", "/company/tags", tags)
        place = self.stage.command("again", "list-company-tags", partition=None)
        self.stage.settle()
        second = [r for r in self.stage.results() if r.command_id == "again"
                  and (r.source_partition, r.source_offset) == place[0]]
        if second[0].replayed:  # else it was written to another partition
            self.assertEqual(len(self.items("tags", "again")), 1)

    def test_an_item_larger_than_its_topic_takes(self):
        self.stage.create(self.stage.items_topic("signatures"), {"max.message.bytes": "3000"})
        fits_bare = {"id": "sig_1", "body": "x" * 1800}
        result = self.ask_list("bare", "list-team-signatures", "/teams/tim_1/signatures",
                               {"_results": [fits_bare]}, {"team_id": "tim_1"})
        self.assertEqual((result.outcome, result.items), ("SUCCEEDED", 1))
        record, = self.items("signatures", "bare")
        self.assertEqual(record.key, b"sig_1")
        record = avro.decode("resources/Signature", record.value)
        self.assertEqual((record["body"], json.loads(record["_raw"])), (None, fits_bare))
        result = self.ask_list("never", "list-team-signatures", "/teams/tim_1/signatures",
                               {"_results": [{"id": "sig_2", "body": "x" * 5000}]},
                               {"team_id": "tim_1"})
        self.assertEqual((result.outcome, result.error["kind"]), ("FAILED", "too-large"))
        for word in ("sig_2", "max.message.bytes", self.stage.items_topic("signatures")):
            self.assertIn(word, result.error["message"])
        self.assertEqual(self.items("signatures", "never"), [])


class Topics(stage.Scene):
    def setUp(self):
        self.stage = self.open_stage()
        self.front = self.stage.front
        self.front.on("/views", scripted.Answer(200, {"_results": [{"id": "lns_1"}]}))

    def test_a_topic_is_made_on_first_use_and_compacted(self):
        self.stage.start(**{"topics.partitions": 3})
        self.assertEqual(self.stage.ask("list-views").items, 1)
        topic = self.stage.items_topic("views")
        self.assertEqual(len(self.stage.admin.list_topics(topic).topics[topic].partitions), 3)
        resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
        config = self.stage.admin.describe_configs([resource])[resource].result(10)
        self.assertEqual(config["cleanup.policy"].value, "compact")
        self.assertEqual([r.key for r in self.stage.records(topic)], [b"lns_1"])

    def test_without_topics_create_it_is_refused_until_it_is_there(self):
        self.stage.start(**{"topics.create": "false"})
        refused = self.stage.ask("list-views")
        self.assertEqual((refused.outcome, refused.error["kind"]), ("REJECTED", "topic-missing"))
        for word in (self.stage.items_topic("views"), "topics.create", "compact"):
            self.assertIn(word, refused.error["message"])
        self.assertEqual(self.front.requests(), [])
        self.stage.create(self.stage.items_topic("views"))
        stage.wait_for("success", lambda: self.stage.ask("list-views").outcome == "SUCCEEDED")
        self.assertEqual([r.key for r in self.stage.records(self.stage.items_topic("views"))],
                         [b"lns_1"])

    def test_why_it_cannot_be_made_is_told(self):
        self.stage.start(**{"topics.replication.factor": 99})
        refused = self.stage.ask("list-views")
        self.assertEqual((refused.outcome, refused.error["kind"]), ("REJECTED", "topic-missing"))
        self.assertRegex(refused.error["message"], "(?i)replica.*create it")
        self.assertEqual(self.front.requests(), [])

    def test_a_topic_that_goes_away_fails_the_list_and_is_made_again(self):
        self.stage.start()
        self.assertEqual(self.stage.ask("list-views").items, 1)
        topic = self.stage.items_topic("views")
        with self.stage.denied(admin.ResourceType.TOPIC, topic, admin.AclOperation.WRITE):
            refused = self.stage.ask("list-views")
            self.assertEqual((refused.outcome, refused.error["kind"]),
                             ("FAILED", "topic-refused"))
            self.assertIn(topic, refused.error["message"])
        stage.wait_for("success", lambda: self.stage.ask("list-views").outcome == "SUCCEEDED")
        self.assertEqual(len(self.stage.records(topic)), 2)

    def test_what_the_client_refuses_in_the_tick(self):
        self.stage.start(**{"kafka.producer.message.max.bytes": 5000})
        topic = self.stage.items_topic("views")
        for size, outcome, kind in (3000, "SUCCEEDED", None), (6000, "FAILED", "topic-refused"):
            self.front.on("/views", scripted.Answer(200, {"_results": [
                {"id": f"lns_{size}", "name": "n" * size}, {"id": "lns_1", "name": "small"}]}))
            result = self.stage.ask("list-views")
            self.assertEqual((result.outcome, (result.error or {}).get("kind")), (outcome, kind))
        self.assertEqual(len(self.front.requests()), 2)
        got = {r.key: avro.decode("resources/View", r.value) for r in self.stage.records(topic)}
        self.assertEqual({key: record["name"] for key, record in got.items()},
                         {b"lns_3000": None, b"lns_1": "small"})
        self.assertEqual(json.loads(got[b"lns_3000"]["_raw"])["name"], "n" * 3000)

    def test_work_goes_on_while_a_topic_is_made(self):
        self.stage.start()
        for i in range(40):
            self.stage.command(f"w{i}", "update-conversation", {"conversation_id": f"cnv_{i}"},
                               {"status": "open"}, key=f"k{i}")
            if i == 5:
                self.stage.command("list", "list-views")
        self.assertEqual(self.stage.answer("list").items, 1)
        for i in range(40):
            self.assertEqual(self.stage.answer(f"w{i}").outcome, "SUCCEEDED")


class Killed(stage.Scene):
    def test_items_are_there_once_whatever_dies(self):
        on_stage = self.open_stage(**{"front.max.in.flight": 4})
        count, rows = 150, 20
        for i in range(count):
            on_stage.front.on(f"/teams/tim_{i}/tags", scripted.Answer(
                200, {"_results": [{"id": f"tag_{i}_{n}"} for n in range(rows)]}, delay_s=0.02))
        connector = on_stage.start()
        for i in range(count):
            on_stage.command(f"l{i}", "list-team-tags", {"team_id": f"tim_{i}"}, key=f"k{i}")
        on_stage.flush()
        for calls in (30, 70, 110):
            on_stage.wait_calls(calls)
            connector.kill()
            connector.start()
        on_stage.settle(90)
        got = [r.key.decode() for r in on_stage.records(on_stage.items_topic("tags"))]
        self.assertEqual(sorted(got), sorted(f"tag_{i}_{n}" for i in range(count)
                                             for n in range(rows)))
        self.assertTrue(all(r.items == rows for r in on_stage.results()))


if __name__ == "__main__":
    unittest.main()
