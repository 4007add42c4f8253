"""The other words of the command line: ops, schema, send, tail, --version."""

import json
import unittest

import avro
import front as scripted
import stage


class Help(unittest.TestCase):
    def ok(self, *arguments):
        done = stage.run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_version_names_the_libraries(self):
        said = self.ok("--version")
        for word in ("front-connector", "librdkafka", "curl"):
            self.assertIn(word, said)

    def test_an_unknown_word_names_the_nearest(self):
        done = stage.run("chek")
        self.assertEqual(done.returncode, 2)
        self.assertIn("check", done.stderr)

    def test_ops_finds_a_module_by_its_title(self):
        self.assertIn("create-inbox", self.ok("ops", "create inbox"))

    def test_ops_shows_all_of_one(self):
        said = self.ok("ops", "update-conversation")
        for word in ("PATCH", "/conversations/{conversation_id}", "assignee_id",
                     "conversations:write"):
            self.assertIn(word, said)

    def test_send_names_the_nearest_operation(self):
        done = stage.run("send", "update-conversaton", "conversation_id=cnv_1", "--dry-run",
                         "-X", "kafka.bootstrap.servers=127.0.0.1:1")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("update-conversation", done.stderr)

    def test_schema_show_is_the_file(self):
        for name in ("front.Result", "front.command.UpdateConversation"):
            path = ("records/Result" if name == "front.Result"
                    else "commands/UpdateConversation")
            self.assertEqual(self.ok("schema", "show", name),
                             (avro.SCHEMAS / f"{path}.avsc").read_text())

    def test_schema_list_has_all(self):
        self.assertGreaterEqual(len(self.ok("schema", "list").splitlines()), 255 + 27 + 4)


class SendAndTail(stage.Play):
    def send(self, *arguments):
        return stage.run("send", "-c", str(self.connector.conf), *arguments)

    def test_send_waits_for_the_result(self):
        for more in ((), ("--typed",)):
            done = self.send("update-conversation", "conversation_id=cnv_1", "status=open",
                             "--wait", "30", *more)
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
            self.assertIn("SUCCEEDED", done.stdout)
        self.assertEqual([r.json() for r in self.front.requests()], [{"status": "open"}] * 2)

    def test_a_result_that_is_no_success_ends_with_1(self):
        self.front.on("/contacts/crd_gone", scripted.Answer(404))
        done = self.send("get-contact", "contact_id=crd_gone", "--wait", "30")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("FAILED", done.stdout)

    def test_a_command_that_is_wrong_is_not_sent_and_ends_with_2(self):
        done = self.send("call", "--wait", "30", "method=TRACE", "path=/x")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(self.front.requests(), [])

    def test_tail_prints_json_lines(self):
        self.stage.command("tail-1", "list-tags", key="k")
        self.stage.answer("tail-1")
        done = stage.run("tail", "results", "-c", str(self.connector.conf), "-o", "beginning",
                         "-e", "--id", "tail-1")
        self.assertEqual(done.returncode, 0, done.stderr)
        line = json.loads(done.stdout.splitlines()[0])
        self.assertEqual((line["key"], line["payload"]["command_id"],
                          line["payload"]["outcome"]), ("k", "tail-1", "SUCCEEDED"))


if __name__ == "__main__":
    unittest.main()
