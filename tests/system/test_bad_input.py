"""Bad input is answered, never fatal, and costs no request to Front.

Undecodable records become dead letters as Kafka Connect writes them: key and bytes as received.
Decodable but wrong commands are REJECTED, naming the field and the nearest one. After each, the
next record is processed (Play.tearDown: every record has its one answer)."""

import json
import time
import unittest

import avro
import stage


def long_varint(n):
    """Avro's zigzag varint of a non-negative number."""
    n <<= 1
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def framed(name, payload):
    return avro.schema(name)[1] + payload


GOOD = avro.command("get-contact", {"contact_id": "crd_1"})


def text(value):
    return long_varint(len(value)) + value


class DeadLetters(stage.Play):
    stage_options = {"partitions": 1}

    def dies(self, value, reason, **more):
        """The record is a dead letter with this reason; Front sees nothing; the next one runs."""
        place = self.stage.send(value, key=b"\x00key\xff", headers=[("own", b"\xfe\x00")], **more)
        self.stage.command(f"next-{len(self.stage.sent)}", "get-contact",
                           {"contact_id": "crd_next"})
        letter = self.stage.dead_letter(place)
        self.assertEqual((letter.key, letter.value), (b"\x00key\xff", value))
        self.assertEqual(letter.headers["own"], b"\xfe\x00")
        expected = {"topic": self.stage.commands, "partition": str(place[0][0]),
                    "offset": str(place[0][1]), "connector.name": self.stage.group,
                    "task.id": "0", "stage": "VALUE_CONVERTER", "class.name": "front-connector",
                    "exception.class.name": reason}
        self.assertEqual({name: letter.text(f"__connect.errors.{name}") for name in expected},
                         expected)
        self.assertTrue(letter.text("__connect.errors.exception.message"))
        self.assertEqual(self.stage.answer(f"next-{len(self.stage.sent) - 1}").outcome,
                         "SUCCEEDED")
        self.assertEqual({r.path for r in self.front.requests()}, {"/contacts/crd_next"})

    def test_null_value(self):
        self.dies(None, "Empty")

    def test_unknown_framing(self):
        self.dies(b"plain text", "NotFramed")

    def test_json_in_an_avro_topic(self):
        self.dies(b"{\"operation\":\"x\"}", "WrongFormat")

    def test_registry_framing_without_a_registry(self):
        self.dies(b"\x00\x00\x00\x00\x07" + GOOD[10:], "SchemaUnknown")

    def test_unknown_fingerprint(self):
        self.dies(b"\xc3\x01" + bytes(range(8)) + GOOD[10:], "SchemaUnknown")

    def test_a_record_that_is_no_command(self):
        self.dies(framed("records/Job", b"\x00" * 40), "RecordUnknown")

    def test_every_truncation(self):
        """Cut after each byte behind the frame's header."""
        places = [(n, self.stage.send(GOOD[:n])) for n in range(10, len(GOOD))]
        self.stage.command("after-truncations", "get-contact", {"contact_id": "crd_next"})
        for n, place in places:
            letter = self.stage.dead_letter(place)
            self.assertEqual(letter.text("__connect.errors.exception.class.name"), "Truncated",
                             f"cut after {n} bytes")
        self.assertEqual(self.stage.answer("after-truncations").outcome, "SUCCEEDED")

    def test_truncated_header(self):
        self.dies(GOOD[:7], "NotFramed")

    def test_trailing_bytes(self):
        self.dies(GOOD + b"\x00", "TrailingBytes")

    def test_bad_utf8(self):
        self.dies(GOOD.replace(b"crd_1", b"crd\xff1"), "BadUtf8")

    def test_overlong_utf8(self):
        self.dies(GOOD.replace(b"crd_1", b"cr\xc0\xaf1"), "BadUtf8")

    def test_wrong_union_branch(self):
        self.dies(framed("records/Command", b"\x06" + GOOD[11:]), "BadValue")

    def test_wrong_boolean(self):
        good = avro.typed("update-teammate", teammate_id="tea_1", is_available=True)
        self.assertEqual(good.count(b"\x02\x01"), 1, "the one boolean, behind its union branch")
        self.dies(good.replace(b"\x02\x01", b"\x02\x02"), "BadValue")

    def test_ten_megabytes_announced_in_twenty_bytes(self):
        value = framed("records/Command", b"\x00" + long_varint(10_000_000) + b"abcd")
        self.assertLessEqual(len(value), 20)
        self.dies(value, "Truncated")

    def test_a_length_of_2_to_the_62(self):
        self.dies(framed("records/Command", b"\x00" + long_varint(1 << 62) + b"abcd"),
                  "Truncated")

    def test_a_negative_length(self):
        self.dies(framed("records/Command", b"\x00\x01abcd"), "BadValue")

    def test_a_map_that_announces_a_billion_entries(self):
        value = framed("records/Command", b"\x00" + text(b"x") + long_varint(1 << 30) + b"ab")
        self.dies(value, "TooLarge")

    def test_a_varint_that_never_ends(self):
        self.dies(framed("records/Command", b"\x00" + b"\xff" * 12), "BadValue")


class JsonDeadLetters(stage.Play):
    settings = {"commands.format": "json"}
    stage_options = {"partitions": 1}

    def dies(self, value, reason):
        place = self.stage.send(value)
        letter = self.stage.dead_letter(place)
        self.assertEqual(letter.value, value)
        self.assertEqual(letter.text("__connect.errors.exception.class.name"), reason)
        self.stage.send(json.dumps({"command_id": f"n{place[0][1]}", "operation": "list-tags"}))
        self.assertEqual(self.stage.answer(f"n{place[0][1]}").outcome, "SUCCEEDED")

    def test_not_json(self):
        self.dies(b"not json", "BadJson")

    def test_half_json(self):
        self.dies(b'{"operation": "list-tags"', "BadJson")

    def test_not_an_object(self):
        self.dies(b'["list-tags"]', "BadJson")

    def test_duplicate_keys(self):
        self.dies(b'{"operation": "list-tags", "operation": "list-inboxes"}', "BadJson")

    def test_bad_utf8(self):
        self.dies(b'{"operation": "list-tags\xff"}', "BadUtf8")

    def test_depth_bomb(self):
        self.dies(b'{"operation":"call","body":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
                  "TooDeep")

    def test_avro_in_a_json_topic(self):
        self.dies(GOOD, "WrongFormat")

    def test_an_unknown_field_is_rejected(self):
        self.stage.send(b'{"command_id": "unknown-field", "operatoin": "x", '
                        b'"operation": "list-tags"}')
        result = self.stage.answer("unknown-field")
        self.assertEqual((result.outcome, result.error["kind"]), ("REJECTED", "invalid-command"))
        self.assertIn("operatoin", result.error["message"])
        self.assertIn("operation", result.error["message"])


class Rejected(stage.Play):
    def rejects(self, kind, words, operation, params=None, body=None, **more):
        result = self.stage.ask(operation, params, body, **more)
        self.assertEqual((result.outcome, result.error and result.error["kind"]),
                         ("REJECTED", kind))
        for word in words:
            self.assertIn(word, result.error["message"])
        self.assertEqual((result.attempts, result.http_status), (0, None))
        self.assertEqual(self.front.requests(), [])

    def test_unknown_operation(self):
        self.rejects("unknown-operation", ["update-conversaton", "update-conversation"],
                     "update-conversaton", {"conversation_id": "cnv_1"})

    def test_missing_path_parameter(self):
        self.rejects("invalid-command", ["conversation_id"], "update-conversation", {},
                     {"status": "open"})

    def test_missing_body_field(self):
        self.rejects("invalid-command", ["body"], "add-comment", {"conversation_id": "cnv_1"},
                     {"author_id": "tea_1"})

    def test_missing_body(self):
        self.rejects("invalid-command", ["body"], "add-comment", {"conversation_id": "cnv_1"})

    def test_none_of_to_cc_bcc(self):
        self.rejects("invalid-command", ["to", "cc", "bcc"], "create-message",
                     {"channel_id": "cha_1"}, {"body": "Hello"})

    def test_unknown_parameter(self):
        self.rejects("invalid-command", ["conversation_ids", "conversation_id"],
                     "update-conversation", {"conversation_id": "cnv_1", "conversation_ids": "x"})

    def test_unknown_body_field(self):
        self.rejects("invalid-command", ["stauts", "status"], "update-conversation",
                     {"conversation_id": "cnv_1"}, {"stauts": "open"})

    def test_wrong_json_type(self):
        self.rejects("invalid-command", ["tag_ids"], "update-conversation",
                     {"conversation_id": "cnv_1"}, {"tag_ids": "tag_1"})

    def test_body_that_is_not_json(self):
        self.rejects("invalid-command", ["body"], "update-conversation",
                     {"conversation_id": "cnv_1"}, "{not json")

    def test_body_that_is_no_object(self):
        self.rejects("invalid-command", ["body"], "update-conversation",
                     {"conversation_id": "cnv_1"}, "[1]")

    def test_body_that_is_a_depth_bomb(self):
        self.rejects("invalid-command", ["body"], "update-conversation",
                     {"conversation_id": "cnv_1"},
                     '{"custom_fields":' + "[" * 100_000 + "]" * 100_000 + "}")

    def test_dots_in_a_path_value(self):
        for value in ("..", ".", ""):
            with self.subTest(value=value):
                self.rejects("invalid-command", ["conversation_id"], "update-conversation",
                             {"conversation_id": value}, {"status": "open"})

    def test_crlf_in_a_header_of_call(self):
        self.rejects("invalid-command", ["X-Own"], "call", method="GET", path="/tags",
                     call_headers={"X-Own": "a\r\nAuthorization: Bearer stolen"})

    def test_forbidden_headers_of_call(self):
        for name in ("Authorization", "host", "Content-Length", "transfer-encoding",
                     "Connection", "Expect", "Cookie", "Proxy-Authorization", "X-Front-Tier"):
            with self.subTest(header=name):
                self.rejects("invalid-command", [name], "call", method="GET", path="/tags",
                             call_headers={name: "x"})

    def test_bad_paths_of_call(self):
        for path in ("tags", "//host/tags", "/a/../b", "/a/./b", "/tags?x=1", "/tags#x",
                     "http://host/tags", "/a b\r\n"):
            with self.subTest(path=path):
                self.rejects("invalid-command", ["path"], "call", method="GET", path=path)

    def test_bad_method_of_call(self):
        self.rejects("invalid-command", ["method"], "call", method="TRACE", path="/tags")

    def test_call_fields_without_call(self):
        self.rejects("invalid-command", ["method"], "list-tags", method="GET", path="/tags")

    def test_files_that_do_not_go_with_the_operation(self):
        file = {"filename": "a", "content_type": None, "data": b"x", "url": None}
        self.rejects("attachment", ["list-tags takes no files"], "list-tags",
                     attachments=[file])
        self.rejects("attachment", ["attachments.url.allowed is not set"], "add-comment",
                     {"conversation_id": "cnv_1"}, {"body": "x"},
                     attachments=[{**file, "data": None, "url": "https://a.example/b"}])
        self.rejects("attachment", ["needs a file"], "add-call-recording",
                     {"channel_id": "cha_1", "external_call_id": "1"},
                     {"recording_type": "call"})

    def test_command_id_too_long(self):
        place = self.stage.send(avro.command("list-tags", command_id="x" * 256))
        self.stage.settle()
        result = next(r for r in self.stage.results() if self.stage.source(r) == place[0])
        self.assertEqual((result.outcome, result.error and result.error["kind"]),
                         ("REJECTED", "invalid-command"))
        self.assertEqual(self.front.requests(), [])

    def test_bad_headers(self):
        for name, value in (("deadline", b"soon"), ("priority", b"urgent"),
                            ("on-in-doubt", b"guess"), ("deadline", b"\xff")):
            with self.subTest(header=name, value=value):
                self.rejects("invalid-header", [name], "list-tags", headers=[(name, value)])

    def test_a_reply_partition_that_is_no_number(self):
        self.rejects("invalid-header", ["reply-partition"], "list-tags", headers=[
            ("reply-topic", self.stage.replies.encode()), ("reply-partition", b"one")])

    def test_a_reply_partition_that_does_not_exist(self):
        self.rejects("reply-topic", ["partition"], "list-tags", headers=[
            ("reply-topic", self.stage.replies.encode()), ("reply-partition", b"99")])

    def test_reply_topic_that_is_not_allowed(self):
        self.rejects("reply-topic", ["secret-topic"], "list-tags",
                     headers=[("reply-topic", b"secret-topic")])

    def test_reply_topic_that_does_not_exist(self):
        self.rejects("reply-topic", ["reply topic"], "list-tags",
                     headers=[("reply-topic", b"replies-that-are-not-there")])

    def test_deadline_passed(self):
        result = self.stage.ask("list-tags", headers=[
            ("deadline", str(int(time.time() * 1000) - 1).encode())])
        self.assertEqual((result.outcome, result.error["kind"], result.attempts),
                         ("EXPIRED", "deadline", 0))
        self.assertEqual(self.front.requests(), [])


if __name__ == "__main__":
    unittest.main()
