"""What becomes of each answer of Front. Safe calls are repeated; a call that must not be repeated
and whose answer leaves doubt is IN_DOUBT and never sent again. Always exactly one result."""

import json
import threading
import unittest

import front as scripted
import stage
from front import Answer

FAST = {"retry.backoff.ms": 5, "retry.backoff.max.ms": 20, "retry.max.attempts": 3,
        "front.timeout.ms": 1500}


class Answers(stage.Play):
    settings = FAST

    def patch(self, *answers):
        """A call that is safe to repeat."""
        conversation = f"cnv_{self.id().rsplit('.', 1)[1]}_{answers[0].status}"
        self.front.on(f"/conversations/{conversation}", *answers)
        return self.stage.ask("update-conversation", {"conversation_id": conversation},
                              {"status": "open"})

    def post(self, *answers):
        """One that is not."""
        conversation = f"cnv_{self.id().rsplit('.', 1)[1]}_{answers[0].status}"
        self.front.on(f"/conversations/{conversation}/comments", *answers)
        return self.stage.ask("add-comment", {"conversation_id": conversation}, {"body": "Hi"})

    def called(self, times):
        self.assertEqual(len(self.front.requests()), times, self.front.requests())

    def test_success(self):
        result = self.post(Answer(201, {"id": "com_7", "body": "Hi"}))
        self.assertEqual((result.outcome, result.http_status, result.resource_id, result.error),
                         ("SUCCEEDED", 201, "com_7", None))
        self.assertEqual(json.loads(result.response), {"id": "com_7", "body": "Hi"})
        self.assertEqual(result.quota["limit"], scripted.LIMIT)

    def test_no_content(self):
        result = self.patch(Answer(204))
        self.assertEqual((result.outcome, result.http_status, result.response),
                         ("SUCCEEDED", 204, None))

    def test_refused_for_good(self):
        for status in (400, 403, 404, 409, 413, 422):
            for call in (self.patch, self.post):
                with self.subTest(status=status, call=call.__name__):
                    self.front.forget()
                    result = call(Answer(status))
                    self.assertEqual((result.outcome, result.http_status, result.error["kind"]),
                                     ("FAILED", status, "front"))
                    self.assertEqual((result.error["title"], result.error["message"],
                                      result.error["details"]),
                                     (f"Title {status}", f"Message {status}",
                                      [f"detail {status}"]))
                    self.called(1)

    def test_401_for_one_command_while_the_token_is_good(self):
        self.front.on("/me", Answer(200, {"id": "cmp_1"}))
        result = self.post(Answer(401))
        self.assertEqual((result.outcome, result.http_status), ("FAILED", 401))
        self.called(1)
        self.assertTrue(self.front.requests("/me"), "401 is confirmed by GET /me")

    def test_401_when_the_token_is_bad(self):
        self.front.on("/me", Answer(401))
        try:
            result = self.post(Answer(401))
        finally:
            self.front.on("/me", Answer(200, {"id": "cmp_1"}))
        self.assertEqual((result.outcome, result.error["kind"], result.http_status),
                         ("FAILED", "auth", 401))

    def test_429_is_waited_out_and_does_not_count(self):
        refused = [Answer(429, headers={"Retry-After": "0"}) for _ in range(5)]
        for call in (self.patch, self.post):
            with self.subTest(call=call.__name__):
                self.front.forget()
                result = call(*refused, Answer(200, {"id": "x_1"}))
                self.assertEqual((result.outcome, result.attempts), ("SUCCEEDED", 1))
                self.called(6)

    def test_safe_calls_are_repeated(self):
        for answer in (Answer(500), Answer(503), Answer(how="reset"), Answer(how="close"),
                       Answer(how="garbage"), Answer(how="none")):
            with self.subTest(answer=f"{answer.status} {answer.how}"):
                self.front.forget()
                result = self.patch(answer, Answer(200, {"id": "cnv_1"}))
                self.assertEqual((result.outcome, result.attempts), ("SUCCEEDED", 2))
                self.called(2)

    def test_safe_calls_give_up(self):
        for answer, kind in ((Answer(500), "retries-exhausted"),
                             (Answer(503), "retries-exhausted"),
                             (Answer(how="reset"), "retries-exhausted")):
            with self.subTest(answer=f"{answer.status} {answer.how}"):
                self.front.forget()
                result = self.patch(answer)
                self.assertEqual((result.outcome, result.error["kind"], result.attempts),
                                 ("FAILED", kind, 3))
                self.called(3)

    def test_unsafe_calls_are_in_doubt(self):
        for answer in (Answer(500), Answer(503), Answer(408), Answer(how="none"),
                       Answer(how="reset"), Answer(how="close"), Answer(how="garbage")):
            with self.subTest(answer=f"{answer.status} {answer.how}"):
                self.front.forget()
                result = self.post(answer, Answer(200, {"id": "second"}))
                self.assertEqual((result.outcome, result.error["kind"], result.attempts),
                                 ("IN_DOUBT", "no-answer", 1))
                self.called(1)

    def test_half_an_answer_proves_execution(self):
        result = self.post(Answer(201, {"id": "com_half", "body": "x" * 5000}, how="half"))
        self.assertEqual((result.outcome, result.http_status, result.response),
                         ("SUCCEEDED", 201, None))
        self.called(1)

    def test_garbage_instead_of_json_goes_to_content(self):
        result = self.post(Answer(200, b"<html>not JSON</html>", content_type="text/html"))
        self.assertEqual((result.outcome, result.response, result.content, result.content_type),
                         ("SUCCEEDED", None, b"<html>not JSON</html>", "text/html"))

    def test_json_that_is_broken_goes_to_content(self):
        result = self.post(Answer(200, b'{"id": "com_1", '))
        self.assertEqual((result.outcome, result.response, result.content),
                         ("SUCCEEDED", None, b'{"id": "com_1", '))

    def test_twenty_megabytes(self):
        result = self.post(Answer(200, {"id": "com_big", "body": "x" * 20_000_000}))
        self.assertEqual((result.outcome, result.response, result.truncated),
                         ("SUCCEEDED", None, True))
        self.called(1)

    def test_an_error_that_is_no_front_error(self):
        result = self.post(Answer(400, b"<h1>Bad Gateway</h1>", content_type="text/html"))
        self.assertEqual((result.outcome, result.error["kind"], result.http_status),
                         ("FAILED", "front", 400))

    def test_a_delete_of_what_is_gone_already_is_done_on_the_second_attempt(self):
        self.front.on("DELETE /tags/tag_1", Answer(500), Answer(404))
        result = self.stage.ask("delete-tag", {"tag_id": "tag_1"})
        self.assertEqual((result.outcome, result.attempts), ("SUCCEEDED", 2))


class NobodyThere(stage.Scene):
    """Never sent is no attempt: a call to a closed port is repeated, a POST as well."""

    def test_front_is_down_and_comes_back(self):
        probe = scripted.Front()
        port = probe.server.server_address[1]
        probe.close()
        on_stage = self.open_stage(**{**FAST, "front.url": f"http://127.0.0.1:{port}"})
        connector = on_stage.start(ready=False)
        on_stage.command("post", "add-comment", {"conversation_id": "cnv_1"}, {"body": "Hi"})
        on_stage.flush()
        connector.wait_line("front.unreachable")
        stage.wait_for("the command", lambda:
                       connector.metrics()["commands_received_total"] == 1)
        on_stage.read(1)
        self.assertNotIn("post", on_stage.by_id)
        comes = scripted.Server(("127.0.0.1", port), scripted.Connection)
        comes.front = on_stage.front
        threading.Thread(target=comes.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(comes.server_close)
        self.addCleanup(comes.shutdown)
        result = on_stage.answer("post", 40)
        self.assertEqual((result.outcome, result.attempts), ("SUCCEEDED", 1))
        self.assertEqual(len(on_stage.front.requests()), 1)
        on_stage.settle()
        on_stage.check_counters()


if __name__ == "__main__":
    unittest.main()
