"""The bridge on real Kafka: one result per command, nothing twice, through crashes."""
import json
import os
import random
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "kafka"))
import kafka  # noqa: E402
from client import Codec, Connector, Topics  # noqa: E402
from standin import Front  # noqa: E402

COMMAND = Codec("records/Command.avsc")
RESULT = Codec("records/Result.avsc")
TYPED_COMMENT = Codec("commands/AddComment.avsc")


def setUpModule():
    global broker
    broker = kafka.start()


def tearDownModule():
    broker.remove()


def command(operation, command_id=None, body=None, **params):
    return COMMAND.encode({"command_id": command_id, "operation": operation, "params": params,
                           "body": None if body is None else json.dumps(body),
                           "attachments": [], "method": None, "path": None, "query": {},
                           "headers": {}})


class Bridge(unittest.TestCase):
    def setUp(self):
        self.front = Front()
        self.folder = tempfile.TemporaryDirectory()
        self.connectors = []

    def tearDown(self):
        for connector in self.connectors:
            if connector.process.poll() is None:
                connector.kill()
            self.assertNotIn("planted-secret-token", connector.log_text())
        self.front.close()
        self.folder.cleanup()

    def connector(self, topics, **settings):
        connector = Connector(self.folder.name, topics, self.front, **settings)
        self.connectors.append(connector)
        return connector.start()

    def check_identity(self, connector):
        i = connector.identity()
        self.assertEqual(i["received"],
                         i["finished"] + i["dead_letters"] + i["returned"] + i["open"])

    def test_outcomes_by_what_front_answers(self):
        rows = [  # operation, params, body, outcome, status, kind
            ("update-conversation", {"conversation_id": "cnv_1"}, {"status": "archived"},
             "SUCCEEDED", 204, None),
            ("add-comment", {"conversation_id": "cnv_2"}, {"body": "hi"}, "SUCCEEDED", 201, None),
            ("get-conversation-by-id", {"conversation_id": "cnv_3"}, None, "SUCCEEDED", 200, None),
            ("list-tags", {}, None, "SUCCEEDED", 200, None),
            ("get-conversation-by-id", {"conversation_id": "cnv_404"}, None,
             "FAILED", 404, "front"),
            ("get-conversation-by-id", {"conversation_id": "cnv_403"}, None,
             "FAILED", 403, "front"),
            ("get-conversation-by-id", {"conversation_id": "cnv_garbage"}, None,
             "SUCCEEDED", 200, None),
            ("get-conversation-by-id", {"conversation_id": "cnv_500"}, None,
             "FAILED", 500, "retries-exhausted"),
            ("add-comment", {"conversation_id": "cnv_500"}, {"body": "hi"},
             "IN_DOUBT", 500, "no-answer"),
            ("add-comment", {"conversation_id": "cnv_reset"}, {"body": "hi"},
             "IN_DOUBT", None, "no-answer"),
            ("add-comment", {"conversation_id": "cnv_timeout"}, {"body": "hi"},
             "IN_DOUBT", None, "no-answer"),
            ("add-comment", {"conversation_id": "cnv_429"}, {"body": "hi"},
             "SUCCEEDED", 201, None),
            ("update-conversaton", {"conversation_id": "cnv_1"}, None,
             "REJECTED", None, "unknown-operation"),
            ("update-conversation", {"conversation_id": ".."}, None,
             "REJECTED", None, "invalid-command"),
            ("update-conversation", {}, None, "REJECTED", None, "invalid-command"),
            ("update-conversation", {"conversation_id": "cnv_1"}, {"statu": "open"},
             "REJECTED", None, "invalid-command"),
            ("update-conversation", {"conversation_id": "cnv_1"}, {"status": 7},
             "REJECTED", None, "invalid-command"),
        ]
        topics = Topics(broker.bootstrap)
        connector = self.connector(topics, front_timeout_ms=2000, retry_max_attempts=2,
                                   retry_backoff_ms=10)
        topics.produce([("k%d" % n, command(op, "c%d" % n, body, **params), None)
                        for n, (op, params, body, *_) in enumerate(rows)])
        results = {r["command_id"]: r for r in
                   (RESULT.decode(m.value()) for m in topics.read("results", len(rows)))}
        self.assertEqual(len(results), len(rows))
        for n, (op, params, _, outcome, status, kind) in enumerate(rows):
            with self.subTest(op=op, params=params):
                r = results["c%d" % n]
                self.assertEqual((r["outcome"], r["http_status"]), (outcome, status), r)
                self.assertEqual(r["error"] and r["error"]["kind"], kind)
        self.assertIn("update-conversation", results["c12"]["error"]["message"])
        self.assertIn("status", results["c15"]["error"]["message"])
        self.assertEqual(results["c6"]["content"], b"{not json")
        for path in ("/conversations/cnv_reset/comments", "/conversations/cnv_timeout/comments",
                     "/conversations/cnv_500/comments"):
            self.assertEqual(len([c for c in self.front.calls() if c["path"] == path]), 1, path)
        self.check_identity(connector)
        self.assertEqual(connector.stop(), 0)

    def test_what_cannot_be_decoded_is_a_dead_letter(self):
        good = command("list-tags", "good")
        bad = [(None, "Empty"), (b"plain", "NotFramed"), (b"\xc3\x01" + b"x" * 20, "SchemaUnknown"),
               (good[:-3], "Truncated"), (good + b"x", "TrailingBytes"),
               (b"{\"operation\":1}", "WrongFormat"), (good[:10] + b"\x02\x80\x80\x80\x0axx",
                                                       "Truncated"),
               (good.replace(b"list-tags", b"list\xff\xfe\xfd\xfcs"), "BadUtf8")]
        topics = Topics(broker.bootstrap)
        connector = self.connector(topics)
        topics.produce([("k", value, [("trace", b"t%d" % n)])
                        for n, (value, _) in enumerate(bad)] + [("k", good, None)])
        results = topics.read("results", 1)
        letters = topics.read("dead-letters", len(bad))
        self.assertEqual([RESULT.decode(m.value())["command_id"] for m in results], ["good"])
        self.assertEqual(len(letters), len(bad))
        for letter in letters:
            headers = dict(letter.headers())
            value, reason = bad[int(headers["trace"].decode()[1:])]
            self.assertEqual((letter.key(), letter.value()), (b"k", value))
            self.assertEqual(headers["__connect.errors.exception.class.name"].decode(), reason)
            self.assertEqual(headers["__connect.errors.topic"].decode(),
                             topics.topic("commands"))
        self.check_identity(connector)

    def test_nothing_lost_nothing_twice_through_kill_9(self):
        count, keys, kills = 2000, 60, 5
        chance = random.Random(20261124)
        topics = Topics(broker.bootstrap)
        records = []
        for n in range(count):
            conversation = "cnv_%d" % (n % keys)
            if n % 2:
                value = command("add-comment", "c%d" % n, {"body": "n%d" % n},
                                conversation_id=conversation)
            else:
                value = command("update-conversation", "c%d" % n, {"status": "archived",
                                                                   "description": "n%d" % n},
                                conversation_id=conversation)
            records.append((conversation, value, None))
        connector = self.connector(topics)
        connector.wait_ready()
        topics.produce(records)
        for kill in range(kills):
            target = (kill + 1) * count // (kills + 1) - chance.randrange(100)
            end = time.monotonic() + 60
            while len(self.front.calls()) < target and time.monotonic() < end:
                time.sleep(0.005)
            connector.kill()
            connector.start()
        messages = topics.read("results", count, deadline_s=120)
        results = [RESULT.decode(m.value()) for m in messages]
        ids = [r["command_id"] for r in results]
        self.assertEqual(len(ids), count)
        self.assertEqual(len(set(ids)), count, "a command has two results")
        bodies = {}
        for call in self.front.calls():
            if call["method"] == "POST" and call["executed"]:
                bodies[call["body"]] = bodies.get(call["body"], 0) + 1
        self.assertEqual([b for b, n in bodies.items() if n > 1], [], "a POST executed twice")
        doubts = 0
        for r in results:
            n = int(r["command_id"][1:])
            if r["outcome"] == "IN_DOUBT":
                self.assertEqual(n % 2, 1, "only a POST can be in doubt")
                doubts += 1
            else:
                self.assertEqual(r["outcome"], "SUCCEEDED", r)
                if n % 2:
                    self.assertEqual(bodies.get(json.dumps({"body": "n%d" % n})), 1)
        self.assertLessEqual(doubts, kills * 64)
        last = {}
        for message, r in zip(messages, results):
            key, n = message.key(), int(r["command_id"][1:])
            self.assertGreater(n, last.get(key, -1), "results of a key are out of order")
            last[key] = n
        first_calls, order = set(), {}
        for call in self.front.calls():
            n = int(json.loads(call["body"]).get("description",
                                                 json.loads(call["body"]).get("body"))[1:])
            if n in first_calls:
                continue
            first_calls.add(n)
            key = n % keys
            self.assertGreater(n, order.get(key, -1), "calls of a key are out of order")
            order[key] = n
        self.check_identity(connector.wait_ready())
        self.assertEqual(connector.stop(), 0)

    def test_two_instances_share_and_hand_over(self):
        count = 600
        topics = Topics(broker.bootstrap)
        records = [("k%d" % (n % 40), command("add-comment", "c%d" % n, {"body": "n%d" % n},
                                              conversation_id="cnv_%d" % (n % 40)), None)
                   for n in range(count)]
        one = self.connector(topics).wait_ready()
        topics.produce(records[:count // 2])
        two = self.connector(topics, instance_id="two").wait_ready()
        topics.produce(records[count // 2:])
        self.assertEqual(one.stop(), 0)
        results = [RESULT.decode(m.value()) for m in topics.read("results", count)]
        self.assertEqual(sorted(r["command_id"] for r in results),
                         sorted("c%d" % n for n in range(count)))
        self.assertEqual([r for r in results if r["outcome"] != "SUCCEEDED"], [])
        self.assertEqual(len([c for c in self.front.calls() if c["method"] == "POST"]), count)
        self.check_identity(two)

    def test_typed_commands_headers_and_replies(self):
        topics = Topics(broker.bootstrap)
        reply = topics.topic("dead-letters")  # any existing topic that is allowed
        connector = self.connector(topics, **{"reply_topics_allowed": ".*dead-letters"})
        value = TYPED_COMMENT.encode({"conversation_id": "cnv_1", "body": "typed"})
        topics.produce([("k", value, [("command-id", b"mine"), ("traceparent", b"00-a-b-01"),
                                      ("reply-topic", reply.encode())]),
                        ("k", value, [("command-id", b"late"), ("deadline", b"1000")]),
                        ("k", value, [("command-id", b"odd"), ("priority", b"urgent")])])
        found = {}
        for message in topics.read("results", 3):
            r = RESULT.decode(message.value())
            found[r["command_id"]] = (r, dict(message.headers()))
        r, headers = found["mine"]
        self.assertEqual((r["outcome"], r["operation"]), ("SUCCEEDED", "add-comment"))
        self.assertEqual(headers["traceparent"], b"00-a-b-01")
        self.assertEqual(headers["outcome"], b"SUCCEEDED")
        self.assertEqual(headers["http-status"], b"201")
        self.assertEqual(found["late"][0]["outcome"], "EXPIRED")
        self.assertEqual(found["odd"][0]["error"]["kind"], "invalid-header")
        replies = [m for m in topics.read("dead-letters", 1)]
        self.assertEqual([RESULT.decode(m.value())["command_id"] for m in replies], ["mine"])
        self.assertEqual([json.loads(c["body"]) for c in self.front.calls()],
                         [{"body": "typed"}])
        self.check_identity(connector)

    def test_fenced_producer_goes_on(self):
        import confluent_kafka
        topics = Topics(broker.bootstrap)
        connector = self.connector(topics).wait_ready()
        topics.produce([("k", command("add-comment", "before", {"body": "a"},
                                      conversation_id="cnv_1"), None)])
        topics.read("results", 1)
        rival = confluent_kafka.Producer({"bootstrap.servers": topics.bootstrap,
                                          "transactional.id": topics.name + ".one"})
        rival.init_transactions(30)
        topics.produce([("k", command("add-comment", "after", {"body": "b"},
                                      conversation_id="cnv_1"), None)])
        results = [RESULT.decode(m.value())["command_id"] for m in topics.read("results", 2)]
        self.assertEqual(results, ["before", "after"])
        self.assertEqual(len(self.front.calls()), 2)
        self.check_identity(connector)
        self.assertEqual(connector.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
