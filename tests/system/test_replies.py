"""Where results go and what they carry: keys, partitions, headers, reply topics of the three
families (contract of the record headers)."""

import struct
import unittest

import avro
import stage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Replies(stage.Play):
    def ask(self, headers, command_id=None, operation="list-tags", key="k", **more):
        place = self.stage.send(avro.command(operation, command_id=command_id, **more), key,
                                headers)
        self.stage.flush()
        return place

    def test_headers_key_and_partition_of_a_result(self):
        place = self.ask([("command-id", b"the-id"), ("traceparent", TRACE.encode()),
                          ("tracestate", b"a=b")], key="the key")
        result = self.stage.answer("the-id")
        self.assertEqual(result.key, b"the key")
        self.assertEqual((result.partition, result.source_partition, result.source_offset),
                         (place[0][0], *place[0]))
        self.assertEqual(result.source_topic, self.stage.commands)
        expected = {"command-id": "the-id", "operation": "list-tags", "outcome": "SUCCEEDED",
                    "http-status": "200", "traceparent": TRACE, "tracestate": "a=b",
                    "source": f"{self.stage.commands}/{place[0][0]}/{place[0][1]}"}
        self.assertEqual({name: result.text(name) for name in expected}, expected)
        self.assertNotIn("traceparent", self.front.requests()[0].headers)

    def test_the_header_wins_over_the_field(self):
        self.ask([("command-id", b"from-header")], command_id="from-field")
        self.assertEqual(self.stage.answer("from-header").command_id, "from-header")

    def test_without_an_id_the_coordinates_are_it(self):
        place = self.ask(None)
        name = f"{self.stage.commands}/{place[0][0]}/{place[0][1]}"
        self.assertEqual(self.stage.answer(name).command_id, name)

    def test_a_null_key_stays_null(self):
        self.ask([("command-id", b"no-key")], key=None)
        self.assertIsNone(self.stage.answer("no-key").key)

    def test_own_family(self):
        self.ask([("command-id", b"own-1"), ("reply-topic", self.stage.replies.encode()),
                  ("reply-partition", b"3")])
        reply = self.stage.reply("own-1")
        self.assertEqual((reply.partition, reply.text("command-id")), (3, "own-1"))
        self.assertEqual(self.stage.answer("own-1").value, reply.value)

    def test_spring_family_with_a_uuid(self):
        correlation = bytes(range(16))
        self.ask([("kafka_correlationId", correlation),
                  ("kafka_replyTopic", self.stage.replies.encode()),
                  ("kafka_replyPartition", struct.pack(">i", 2))])
        reply = self.stage.reply("00010203-0405-0607-0809-0a0b0c0d0e0f")
        self.assertEqual(reply.partition, 2)
        self.assertEqual(reply.headers["kafka_correlationId"], correlation)

    def test_nestjs(self):
        self.ask([("kafka_correlationId", b"nest-1"),
                  ("kafka_replyTopic", self.stage.replies.encode()),
                  ("kafka_replyPartition", b"1")])
        reply = self.stage.reply("nest-1")
        self.assertEqual(reply.partition, 1)
        self.assertEqual(reply.headers["kafka_nest-is-disposed"], b"\x00")
        self.assertNotIn("kafka_nest-err", reply.headers)

    def test_nestjs_is_told_of_an_error(self):
        self.ask([("kafka_correlationId", b"nest-2"),
                  ("kafka_replyTopic", self.stage.replies.encode())], operation="no-such-thing")
        reply = self.stage.reply("nest-2")
        self.assertEqual(reply.outcome, "REJECTED")
        self.assertTrue(reply.headers["kafka_nest-err"])

    def test_smallrye_family(self):
        self.ask([("REPLY_CORRELATION_ID", b"rye-1"),
                  ("REPLY_TOPIC", self.stage.replies.encode()),
                  ("REPLY_PARTITION", struct.pack(">i", 0))])
        reply = self.stage.reply("rye-1")
        self.assertEqual(reply.partition, 0)
        self.assertEqual(reply.headers["REPLY_CORRELATION_ID"], b"rye-1")
        self.assertNotIn("REPLY_TOPIC", reply.headers)

    def test_bytes_that_are_no_text_become_hex(self):
        self.ask([("kafka_correlationId", b"\x01\xff"),
                  ("kafka_replyTopic", self.stage.replies.encode())])
        self.assertEqual(self.stage.reply("01ff").headers["kafka_correlationId"], b"\x01\xff")


class Priorities(stage.Play):
    """One request at a time: what waits is served by priority, oldest first."""
    settings = {"front.max.in.flight": 1}
    stage_options = {"partitions": 1}

    def test_order_of_what_waits(self):
        for i in range(20):
            self.stage.command(f"low-{i}", "get-contact", {"contact_id": f"low-{i}"},
                               headers=[("priority", b"low")])
        for i in range(20):
            self.stage.command(f"high-{i}", "get-contact", {"contact_id": f"high-{i}"},
                               headers=[("priority", b"high")])
        self.stage.settle()
        order = [r.path.rsplit("/", 1)[1] for r in self.front.requests()]
        high = sum(order.index(f"high-{i}") for i in range(20))
        low = sum(order.index(f"low-{i}") for i in range(20))
        self.assertLess(high, low, order)


if __name__ == "__main__":
    unittest.main()
