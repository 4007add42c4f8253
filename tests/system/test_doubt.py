"""Calls that nobody knows the outcome of: what they made is found, what was not executed is sent
again, and nothing is ever executed twice. And a command that comes twice."""

import unittest

import stage
from sandbox import Sandbox

PROBE = {"in.doubt": "probe", "front.timeout.ms": 1000}


def posts(sandbox, path):
    return [r for r in sandbox.requests("POST") if r["path"] == path]


class Doubt(stage.Scene):
    def setUp(self):
        self.stage = self.open_stage(Sandbox(), **PROBE)
        self.front = self.stage.front

    def comment(self, name, conversation, text, key=None):
        self.stage.command(name, "add-comment", {"conversation_id": conversation},
                           {"body": text}, key=key or conversation)

    def comments(self, conversation):
        return self.front.ask(f"/conversations/{conversation}/comments")["_results"]

    def test_what_was_executed_is_found_and_what_was_not_is_sent_again(self):
        connector = self.stage.start()
        # Executed, and cut before the answer.
        self.front.fault(operation="add-comment", match="cut after", fault="reset", count=1,
                         after_execution=True)
        self.front.fault(operation="create-message-reply", match="cut after", fault="reset",
                         count=1, after_execution=True)
        self.comment("after", "cnv_1", "cut after")
        self.stage.command("reply", "create-message-reply", {"conversation_id": "cnv_2"},
                           {"body": "cut after"}, key="cnv_2")
        # Two with one text on purpose, the second cut before it was executed.
        self.comment("first", "cnv_3", "twin")
        first = self.stage.answer("first")
        self.front.fault(operation="add-comment", match="twin", fault="reset", count=1,
                         after_execution=False)
        self.comment("second", "cnv_3", "twin")
        after, reply, second = (self.stage.answer(name, 60)
                                for name in ("after", "reply", "second"))

        self.assertEqual((after.outcome, after.recovered), ("SUCCEEDED", True))
        self.assertEqual([c["id"] for c in self.comments("cnv_1") if c["body"] == "cut after"],
                         [after.resource_id])
        self.assertEqual(len(posts(self.front, "/conversations/cnv_1/comments")), 1)

        self.assertTrue(reply.outcome == "IN_DOUBT" or reply.recovered, reply.fields)
        self.assertEqual(len(posts(self.front, "/conversations/cnv_2/messages")), 1)

        self.assertEqual((first.outcome, second.outcome), ("SUCCEEDED", "SUCCEEDED"))
        twins = [c["id"] for c in self.comments("cnv_3") if c["body"] == "twin"]
        self.assertEqual(sorted(twins), sorted([first.resource_id, second.resource_id]))
        self.assertEqual(len(twins), 2)
        metrics = connector.metrics()
        self.assertEqual(metrics['in_doubt_total{resolution="not-executed"}'], 1)
        self.stage.check_counters()

    def test_a_new_owner_finds_what_the_killed_one_had_sent(self):
        connector = self.stage.start()
        self.front.fault(operation="add-comment", fault="slow", delay_ms=30000, count=1,
                         after_execution=True)
        self.comment("killed", "cnv_1", "in the middle")
        stage.wait_for("the request", lambda: posts(self.front, "/conversations/cnv_1/comments"))
        connector.kill()
        self.stage.start()
        result = self.stage.answer("killed", 60)
        self.assertEqual((result.outcome, result.recovered), ("SUCCEEDED", True))
        self.assertEqual([c["id"] for c in self.comments("cnv_1")
                          if c["body"] == "in the middle"], [result.resource_id])
        self.assertEqual(len(posts(self.front, "/conversations/cnv_1/comments")), 1)

    def test_a_repeated_id_is_answered_also_after_a_restart(self):
        connector = self.stage.start()
        self.comment("once", "cnv_1", "hello")
        first = self.stage.answer("once")
        connector.terminate()
        self.stage.start()
        self.comment("once", "cnv_1", "hello")
        self.comment("once", "cnv_1", "another text")
        self.comment("end", "cnv_1", "the end")
        self.stage.answer("end")
        results = [r for r in self.stage.results() if r.command_id == "once"]
        self.assertEqual([(r.outcome, r.replayed) for r in results],
                         [("SUCCEEDED", False), ("SUCCEEDED", True), ("REJECTED", False)])
        self.assertEqual(results[1].resource_id, first.resource_id)
        self.assertEqual(results[1].response, first.response)
        self.assertEqual(results[2].error["kind"], "command-id-reused")
        self.assertEqual(len(posts(self.front, "/conversations/cnv_1/comments")), 2)


if __name__ == "__main__":
    unittest.main()
