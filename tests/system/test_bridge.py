"""The bridge as a whole: what Front answers becomes an outcome, what cannot be decoded a dead
letter, and neither kill -9, a second instance nor a fenced producer loses or doubles any."""

import random
import unittest

import confluent_kafka

import avro
import kafka
import load
import stage
from front import Answer

COMMANDS, KEYS, KILLS = 2000, 60, 5
MAX_IN_FLIGHT = 64  # the default: as many calls may be in doubt after a death

LIMITED = Answer(429, headers={"Retry-After": "1", "X-Front-Tier": "2"})
PATCH, POST, GET = "update-conversation", "add-comment", "get-conversation-by-id"

OUTCOMES = [  # operation, conversation, body, Front's answers, outcome, status, kind of error
    (PATCH, "cnv_1", {"status": "archived"}, [Answer(204)], "SUCCEEDED", 204, None),
    (POST, "cnv_2", {"body": "hi"}, [Answer(201)], "SUCCEEDED", 201, None),
    (GET, "cnv_3", None, [Answer(200)], "SUCCEEDED", 200, None),
    ("list-tags", None, None, [], "SUCCEEDED", 200, None),
    (GET, "cnv_404", None, [Answer(404)], "FAILED", 404, "front"),
    (GET, "cnv_403", None, [Answer(403)], "FAILED", 403, "front"),
    (GET, "cnv_garbage", None, [Answer(200, b"{not json")], "SUCCEEDED", 200, None),
    (GET, "cnv_500", None, [Answer(500)], "FAILED", 500, "retries-exhausted"),
    (POST, "cnv_500", {"body": "hi"}, [Answer(500)], "IN_DOUBT", 500, "no-answer"),
    (POST, "cnv_reset", {"body": "hi"}, [Answer(how="reset")], "IN_DOUBT", None, "no-answer"),
    (POST, "cnv_timeout", {"body": "hi"}, [Answer(how="none")], "IN_DOUBT", None, "no-answer"),
    (POST, "cnv_429", {"body": "hi"}, [LIMITED, LIMITED, Answer(201)], "SUCCEEDED", 201, None),
    ("update-conversaton", "cnv_1", None, [], "REJECTED", None, "unknown-operation"),
    (PATCH, "..", None, [], "REJECTED", None, "invalid-command"),
    (PATCH, None, None, [], "REJECTED", None, "invalid-command"),
    (PATCH, "cnv_1", {"statu": "open"}, [], "REJECTED", None, "invalid-command"),
    (PATCH, "cnv_1", {"status": 7}, [], "REJECTED", None, "invalid-command"),
]

GOOD = avro.command("list-tags", command_id="good")

DEAD_LETTERS = [  # value, reason
    (None, "Empty"), (b"plain", "NotFramed"), (b"\xc3\x01" + b"x" * 20, "SchemaUnknown"),
    (GOOD[:-3], "Truncated"), (GOOD + b"x", "TrailingBytes"),
    (b'{"operation":1}', "WrongFormat"),
    (GOOD[:10] + b"\x02\x80\x80\x80\x0axx", "Truncated"),
    (GOOD.replace(b"list-tags", b"list\xff\xfe\xfd\xfcs"), "BadUtf8"),
]


def path_of(operation, conversation):
    return f"/conversations/{conversation}" + ("/comments" if operation == POST else "")


class Bridge(stage.Scene):
    def finish(self, on_stage):
        """Every command has one answer, the counters add up, Front was shown the token; the
        instances that run end well."""
        on_stage.settle()
        on_stage.check_counters()
        self.assertEqual({r.headers["authorization"] for r in on_stage.front.requests()},
                         {f"Bearer {stage.TOKEN}"})
        for connector in on_stage.connectors:
            if connector.running():
                self.assertEqual(connector.terminate(), 0, kafka.tail(connector.log))

    def test_outcomes_by_what_front_answers(self):
        on_stage = self.open_stage(**{"front.timeout.ms": 2000, "retry.max.attempts": 2,
                                      "retry.backoff.ms": 10})
        for operation, conversation, _, answers, *_ in OUTCOMES:
            if answers:
                on_stage.front.on(path_of(operation, conversation), *answers)
        on_stage.start()
        for n, (operation, conversation, body, *_) in enumerate(OUTCOMES):
            params = {} if conversation is None else {"conversation_id": conversation}
            on_stage.command(f"c{n}", operation, params, body, key=f"k{n}")
        on_stage.settle()
        self.assertEqual(len(on_stage.results()), len(OUTCOMES))
        for n, (operation, conversation, _, _, *expected) in enumerate(OUTCOMES):
            with self.subTest(operation=operation, conversation=conversation):
                result = on_stage.answer(f"c{n}")
                self.assertEqual([result.outcome, result.http_status,
                                  result.error and result.error["kind"]], expected)
        self.assertIn("update-conversation", on_stage.answer("c12").error["message"])
        self.assertIn("status", on_stage.answer("c15").error["message"])
        self.assertEqual(on_stage.answer("c6").content, b"{not json")
        for conversation in ("cnv_500", "cnv_reset", "cnv_timeout"):
            path = path_of(POST, conversation)
            self.assertEqual(len(on_stage.front.requests(path)), 1, path)
        self.finish(on_stage)

    def test_what_cannot_be_decoded_is_a_dead_letter(self):
        on_stage = self.open_stage()
        on_stage.start()
        places = [on_stage.send(value, "k", [("trace", b"t%d" % n)])
                  for n, (value, _) in enumerate(DEAD_LETTERS)]
        on_stage.send(GOOD, "k")
        on_stage.settle()
        self.assertEqual([r.command_id for r in on_stage.results()], ["good"])
        self.assertEqual(len(on_stage.dead_letters()), len(DEAD_LETTERS))
        for n, (value, reason) in enumerate(DEAD_LETTERS):
            with self.subTest(value=value, reason=reason):
                letter = on_stage.dead_letter(places[n])
                self.assertEqual((letter.key, letter.value), (b"k", value))
                self.assertEqual(letter.text("trace"), f"t{n}")
                self.assertEqual(letter.text("__connect.errors.exception.class.name"), reason)
                self.assertEqual(letter.text("__connect.errors.topic"), on_stage.commands)
        self.finish(on_stage)

    def test_nothing_lost_nothing_twice_through_kill_9(self):
        """The deaths are spread over the whole work; one may come before the connector is
        ready again."""
        seed = 20261124
        chance = random.Random(seed)
        on_stage = self.open_stage()
        work = load.Load(on_stage, KEYS, seed)
        connector = on_stage.start()
        work.send(COMMANDS)
        for kill in range(1, KILLS + 1):
            on_stage.wait_calls(kill * COMMANDS // (KILLS + 1) - chance.randrange(100))
            connector.kill()
            connector.start()
        connector.wait_ready()
        on_stage.settle(120)
        load.check(self, work, KILLS, KILLS * MAX_IN_FLIGHT)
        self.finish(on_stage)

    def test_two_instances_share_and_hand_over(self):
        count = 600
        on_stage = self.open_stage()
        one = on_stage.start()

        def send(numbers):
            for n in numbers:
                on_stage.command(f"c{n}", POST, {"conversation_id": f"cnv_{n % 40}"},
                                 {"body": f"n{n}"}, key=f"k{n % 40}")
            on_stage.flush()

        send(range(count // 2))
        on_stage.start(**{"instance.id": "two"})
        send(range(count // 2, count))
        self.assertEqual(one.terminate(), 0, kafka.tail(one.log))
        on_stage.settle()
        self.assertEqual(sorted(r.command_id for r in on_stage.results()),
                         sorted(f"c{n}" for n in range(count)))
        self.assertEqual({r.outcome for r in on_stage.results()}, {"SUCCEEDED"})
        self.assertEqual([r.method for r in on_stage.front.requests()], ["POST"] * count)
        self.finish(on_stage)

    def test_typed_commands_headers_and_replies(self):
        on_stage = self.open_stage()
        on_stage.front.on(path_of(POST, "cnv_1"), Answer(201))
        on_stage.start()
        value = avro.typed(POST, conversation_id="cnv_1", body="typed")
        on_stage.send(value, "k", [("command-id", b"mine"), ("traceparent", b"00-a-b-01"),
                                   ("reply-topic", on_stage.replies.encode())])
        on_stage.send(value, "k", [("command-id", b"late"), ("deadline", b"1000")])
        on_stage.send(value, "k", [("command-id", b"odd"), ("priority", b"urgent")])
        mine = on_stage.answer("mine")
        self.assertEqual((mine.outcome, mine.operation), ("SUCCEEDED", POST))
        self.assertEqual([mine.text(name) for name in ("traceparent", "outcome", "http-status")],
                         ["00-a-b-01", "SUCCEEDED", "201"])
        self.assertEqual(on_stage.answer("late").outcome, "EXPIRED")
        self.assertEqual(on_stage.answer("odd").error["kind"], "invalid-header")
        on_stage.reply("mine")
        on_stage.settle()
        self.assertEqual([o.command_id for o in on_stage.out if o.topic == on_stage.replies],
                         ["mine"])
        self.assertEqual([r.json() for r in on_stage.front.requests()], [{"body": "typed"}])
        self.finish(on_stage)

    def test_fenced_producer_goes_on(self):
        on_stage = self.open_stage()
        on_stage.start()
        comment = {"conversation_id": "cnv_1"}
        on_stage.command("before", POST, comment, {"body": "a"}, key="k")
        on_stage.answer("before")
        rival = confluent_kafka.Producer({
            "bootstrap.servers": on_stage.bootstrap, "log_level": 0,
            "transactional.id": f"{on_stage.group}.one"})
        rival.init_transactions(30)
        on_stage.command("after", POST, comment, {"body": "b"}, key="k")
        on_stage.settle()
        self.assertEqual([r.command_id for r in on_stage.results()], ["before", "after"])
        self.assertEqual(len(on_stage.front.requests()), 2)
        self.finish(on_stage)


if __name__ == "__main__":
    unittest.main()
