"""A schema registry: commands that Confluent's serializer wrote, in one topic, of old and new
schemas; records of ours that Confluent's deserializer reads with nothing but the URL; a registry
that is down, slow, wrong, or lacks a schema. Apicurio is the real one; a stub has the rest."""

import collections
import json
import re
import signal
import unittest

import avro
import hooks
import kafka
import load
import registered
import registry
import stage
from front import Answer
from registered import Stub, error, html

GENERIC = registered.text_of("records/Command")
LIST = {"_results": [{"id": "crd_1", "name": "Ann"}, {"id": "crd_2", "name": "Ben"}],
        "_pagination": {"next": None}}


def own_registry(case):
    """A real one that may be stopped; not the one of all tests."""
    one = registry.Registry()
    case.addCleanup(one.remove)
    return one


def generic(operation, params=None, body=None, **fields):
    return {**avro.filled("records/Command"), "operation": operation, "params": params or {},
            "body": None if body is None else json.dumps(body), **fields}


def variant(*fields, name="UpdateConversation"):
    """A writer's schema of a typed command with just these fields."""
    return json.dumps({"type": "record", "name": name, "namespace": "front.command",
                       "fields": list(fields)})


CONVERSATION = {"name": "conversation_id", "type": "string"}


class Typed(stage.Play):
    """One topic with commands of many schemas, all through the real registry."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(registry_url=stage.world.registry().url)
        cls.addClassCleanup(cls.stage.close)
        cls.stage.settings["events.topic"] = cls.events = f"events-{cls.stage.group}"
        cls.stage.create(cls.events, None)
        cls.port = kafka.free_port()
        cls.stage.settings |= {"webhooks.listen": f"127.0.0.1:{cls.port}",
                               "events.heal.every.ms": 0,
                               "webhooks.app.keys": hooks.KEYS[hooks.APP]}
        cls.stage.front.on("/me", Answer(200, {"id": hooks.COMPANY, "name": "Test"}))
        cls.connector = cls.stage.start()

    def put(self, schema, record, key=None):
        """schema: a text. Its place."""
        value = self.stage.codec.encode(self.stage.commands, schema, record)
        self.assertEqual(value[0], 0)
        return self.stage.send(value, key)

    def call(self, schema, record):
        """The one call that the command makes, once it has succeeded; and its result."""
        self.front.forget()
        result = self.stage.answer(self.name_of(self.put(schema, record)))
        self.assertEqual(result.outcome, "SUCCEEDED", result.fields)
        request, = self.front.requests()
        return request, result

    def name_of(self, place):
        self.stage.flush()
        return f"{self.stage.commands}/{place[0][0]}/{place[0][1]}"

    def refused(self, schema, record):
        """Why, of a dead letter."""
        letter = self.stage.dead_letter(self.put(schema, record))
        return letter.text("__connect.errors.exception.class.name")

    def test_typed_and_generic_in_one_topic(self):
        typed = registered.text_of("commands/UpdateConversation")
        for n in range(20):
            self.put(typed, avro.filled("commands/UpdateConversation", command_id=f"typed-{n}",
                                        conversation_id=f"cnv_{n}", status="archived"))
            self.put(GENERIC, generic("update-conversation", {"conversation_id": f"cnv_{n}"},
                                      {"status": "open"}, command_id=f"generic-{n}"))
            self.stage.command(f"single-{n}", "update-conversation",
                               {"conversation_id": f"cnv_{n}"}, {"status": "spam"})
        seen = collections.Counter()
        for n in range(20):
            for kind in ("typed", "generic", "single"):
                result = self.stage.answer(f"{kind}-{n}")
                self.assertEqual((result.outcome, result.operation),
                                 ("SUCCEEDED", "update-conversation"))
        for request in self.front.requests():
            self.assertEqual(request.method, "PATCH")
            seen[request.path, request.json()["status"]] += 1
        self.assertEqual(seen, {(f"/conversations/cnv_{n}", status): 1 for n in range(20)
                                for status in ("archived", "open", "spam")})

    def test_old_and_new_writers_at_once(self):
        """Fields left out, in another order, and one that we do not have, which is passed over."""
        status = {"name": "status", "type": ["null", "string"], "default": None}
        newer = {"name": "invented_later", "type": "string", "default": "x"}
        both = {"name": "tag_ids", "type": ["null", {"type": "array", "items": "string"}],
                "default": None}
        writers = [
            (variant(CONVERSATION, status), {"status": "open"}),
            (variant(status, CONVERSATION), {"status": "open"}),
            (variant(status, both, CONVERSATION), {"status": "open", "tag_ids": ["t"]}),
            (variant(newer, CONVERSATION, status), {"status": "open"}),
            (registered.text_of("commands/UpdateConversation"), {"status": "open"}),
        ]
        for _ in range(3):
            for schema, fields in writers:
                record = {"conversation_id": "cnv_1", **fields}
                if "invented_later" in schema:
                    record["invented_later"] = "y"
                request, _ = self.call(schema, record)
                self.assertEqual((request.path, request.json()), ("/conversations/cnv_1", fields))

    def test_a_required_field_that_the_writer_lacks(self):
        place = self.put(variant({"name": "status", "type": "string"}), {"status": "open"})
        result = self.stage.answer(self.name_of(place))
        self.assertEqual((result.outcome, result.error["kind"]), ("REJECTED", "invalid-command"))
        self.assertIn("conversation_id", result.error["message"])

    def test_enums_and_unions_of_the_writer(self):
        enum = {"type": "enum", "name": "Status", "symbols": ["open", "archived", "spam"]}
        array = {"type": "array", "items": "string"}
        corners = [
            # an enum, alone and in unions in any order; its symbols count, not their numbers
            (enum, "archived", {"status": "archived"}, "status"),
            (["null", enum], "spam", {"status": "spam"}, "status"),
            ([enum, "null"], "open", {"status": "open"}, "status"),
            ({**enum, "symbols": ["spam", "open"]}, "open", {"status": "open"}, "status"),
            # unions without null, with one branch, with many
            ("string", "open", {"status": "open"}, "status"),
            (["string"], "open", {"status": "open"}, "status"),
            (["string", "null"], "open", {"status": "open"}, "status"),
            (["int", "null", "string", "boolean"], "open", {"status": "open"}, "status"),
            (["int", "null", "string"], None, {}, "status"),
            (["null", array], ["a", "b"], {"tag_ids": ["a", "b"]}, "tag_ids"),
            ([array, "null"], [], {"tag_ids": []}, "tag_ids"),
            ({"type": "array", "items": ["null", "string"]}, ["a"], {"tag_ids": ["a"]},
             "tag_ids"),
        ]
        for type_, value, body, field in corners:
            with self.subTest(type_=type_, value=value):
                schema = variant(CONVERSATION, {"name": field, "type": type_},
                                 {"name": "description", "type": "string"})
                request, _ = self.call(schema, {"conversation_id": "cnv_1", field: value,
                                                "description": "d"})
                self.assertEqual(request.json(), {**body, "description": "d"})

    def test_numbers_of_another_width(self):
        for type_, value in (("int", 7), ("long", 7), (["null", "int"], 7)):
            with self.subTest(type_=type_):
                request, _ = self.call(
                    variant({"name": "limit", "type": type_}, name="ListAccounts"),
                    {"limit": value})
                self.assertEqual(request.params(), [("limit", "7"), ("sort_order", "asc")])

    def test_what_has_another_type_is_a_dead_letter(self):
        self.assertEqual(self.refused(
            variant(CONVERSATION, {"name": "status", "type": "boolean"}),
            {"conversation_id": "cnv_1", "status": True}), "BadValue")

    def test_what_is_no_command_is_a_dead_letter(self):
        self.assertEqual(self.refused(json.dumps(
            {"type": "record", "name": "Order", "namespace": "shop",
             "fields": [{"name": "id", "type": "string"}]}), {"id": "1"}), "RecordUnknown")
        self.assertEqual(self.refused('"string"', "text"), "RecordUnknown")

    def test_results_events_items_and_replies_need_nothing_but_the_url(self):
        self.front.on("/contacts", Answer(200, LIST))
        place = self.stage.send(self.stage.codec.encode(
            self.stage.commands, GENERIC, generic("list-contacts")), "k",
            [("command-id", b"list"), ("reply-topic", self.stage.replies.encode())])
        result = self.stage.answer("list")
        self.assertEqual((result.outcome, result.items), ("SUCCEEDED", 2))
        self.assertEqual(self.stage.reply("list").fields, result.fields)
        answer = hooks.Caller(self.port).send(hooks.APP, hooks.envelope(hooks.event("evt_1")))
        self.assertEqual(answer.status, 200)
        for topic, name in ((self.stage.items_topic("contacts"), "front.resource.Contact"),
                            (self.events, "front.Event"),
                            (self.stage.results_topic, "front.Result")):
            with self.subTest(topic=topic):
                records = self.stage.records(topic)
                self.assertTrue(records)
                for out in records:
                    decoded = self.stage.codec.decode(topic, out.value)
                    self.assertTrue(decoded)
                    latest = stage.world.registry().latest(f"{topic}-value")
                    self.assertEqual(registered.schema_id(out.value), latest["id"])
                    schema = json.loads(latest["schema"])
                    self.assertEqual(f"{schema['namespace']}.{schema['name']}", name)
        contacts = [self.stage.codec.decode(o.topic, o.value)
                    for o in self.stage.records(self.stage.items_topic("contacts"))]
        self.assertEqual(sorted((c["id"], c["name"]) for c in contacts),
                         [("crd_1", "Ann"), ("crd_2", "Ben")])
        event, = [self.stage.codec.decode(self.events, o.value)
                  for o in self.stage.records(self.events)]
        self.assertEqual((event["id"], event["delivery"]), ("evt_1", "webhook"))
        self.assertEqual(place[0], (result.source_partition, result.source_offset))

    def test_dead_letters_stay_as_they_came(self):
        value = self.stage.codec.encode(self.stage.commands, '"string"', "text")
        letter = self.stage.dead_letter(self.stage.send(value, "k"))
        self.assertEqual((letter.key, letter.value), (b"k", value))

    def test_a_list_of_several_pages(self):
        """Its job in between is ours alone: single-object, whatever becomes of the registry."""
        following = {"next": self.front.url + "/tags?page_token=two"}
        self.front.on("/tags", Answer(200, {"_results": [{"id": "tag_1"}],
                                            "_pagination": following}),
                      Answer(200, {"_results": [{"id": "tag_2"}], "_pagination": {"next": None}}))
        self.put(GENERIC, generic("list-tags", command_id="pages"))
        result = self.stage.answer("pages")
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 2, 2))
        self.assertEqual([self.stage.codec.decode(o.topic, o.value)["id"]
                          for o in self.stage.records(self.stage.items_topic("tags"))],
                         ["tag_1", "tag_2"])
        self.assertEqual({o.value[:2] for o in self.stage.records(self.stage.jobs_topic)
                          if o.value}, {avro.MARKER})


class Tools(stage.Scene):
    """`check`, `schema register`, `send` and `tail`."""

    def configured(self, **settings):
        on_stage = self.open_stage(registry_url=stage.world.registry().url, **settings)
        conf = on_stage.folder / "tools.conf"
        conf.write_text("".join(f"{k} = {v}\n" for k, v in on_stage.settings.items()))
        return on_stage, ("-c", str(conf))

    def lines(self, *arguments):
        done = stage.run("check", "--json", *arguments)
        found = collections.defaultdict(list)
        for line in done.stdout.splitlines():
            line = json.loads(line)
            found[line["check"]].append(line)
        return done.returncode, found

    def test_register_makes_what_check_misses(self):
        on_stage, conf = self.configured(**{"schemas.register": "false"})
        code, found = self.lines(*conf)
        self.assertEqual(code, 2)
        self.assertTrue(found["registry"][0]["ok"])
        results = found["subject"][0]
        self.assertEqual((results["name"], results["ok"]),
                         (f"{on_stage.results_topic}-value", False))
        self.assertIn("schema register", results["fix"])
        self.assertIsNone(stage.world.registry().latest(f"{on_stage.results_topic}-value"))

        done = stage.run("schema", "register", *conf)
        self.assertEqual(done.returncode, 0, done.stderr)
        for topic in (on_stage.results_topic, on_stage.items_topic("contacts"),
                      on_stage.items_topic("drafts"), on_stage.commands):
            self.assertIn(f"{topic}-value", done.stdout)
            self.assertIsNotNone(stage.world.registry().latest(f"{topic}-value"))
        code, found = self.lines(*conf)
        self.assertTrue(all(line["ok"] for line in found["subject"]), found["subject"])
        again = stage.run("schema", "register", *conf)
        self.assertEqual(again.stdout, done.stdout)  # nothing new is made

    def test_register_by_name(self):
        on_stage, conf = self.configured(**{"schemas.subject.strategy": "topic-record"})
        done = stage.run("schema", "register", "front.command.UpdateCon*", *conf)
        self.assertEqual(done.returncode, 0, done.stderr)
        subjects = [line.split()[0] for line in done.stdout.splitlines()]
        self.assertIn(f"{on_stage.commands}-front.command.UpdateConversation", subjects)
        self.assertTrue(all(s.startswith(f"{on_stage.commands}-front.command.UpdateCon")
                            for s in subjects), subjects)
        self.assertLessEqual(set(subjects), set(stage.world.registry().subjects()))
        self.assertEqual(stage.run("schema", "register", "front.Nothing", *conf).returncode, 2)

    def test_check_says_that_a_schema_may_not_follow(self):
        on_stage, conf = self.configured()
        real = stage.world.registry()
        subject = f"{on_stage.results_topic}-value"
        real.register(subject, '{"type":"record","name":"Result","namespace":"front",'
                               '"fields":[{"name":"command_id","type":"int"}]}')
        status, _ = real.ask("PUT", f"/config/{subject}", {"compatibility": "BACKWARD"})
        self.assertEqual(status, 200)
        code, found = self.lines(*conf)
        self.assertEqual(code, 2)
        self.assertFalse(found["subject"][0]["ok"])
        self.assertIn("may not follow", found["subject"][0]["message"])
        done = stage.run("schema", "register", "front.Result", *conf)
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not take", done.stderr)

    def test_check_of_a_registry_that_is_not_there(self):
        _, conf = self.configured(**{"schemas.registry.url": "http://127.0.0.1:1/registry"})
        code, found = self.lines(*conf)
        self.assertEqual(code, 2)
        self.assertFalse(found["registry"][0]["ok"])
        self.assertIn("path", found["registry"][0]["fix"])

    def test_send_and_tail_speak_to_the_registry(self):
        on_stage, conf = self.configured()
        on_stage.start()
        for more in (["--typed"], []):
            done = stage.run("send", "update-conversation", "conversation_id=cnv_7",
                             "status=open", "--wait", "20", *more, *conf)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["outcome"], "SUCCEEDED")
        values = [o.value for o in on_stage.records(on_stage.commands)]
        self.assertEqual([v[0] for v in values], [0, 0])
        names = {on_stage.codec.client.get_schema(registered.schema_id(v)).schema_str.partition(
            '"name"')[2].split('"')[1] for v in values}
        self.assertEqual(names, {"UpdateConversation", "Command"})
        done = stage.run("tail", "results", "-o", "beginning", "-n", "2", "-e", *conf)
        self.assertEqual([json.loads(line)["payload"]["outcome"]
                          for line in done.stdout.splitlines()], ["SUCCEEDED"] * 2)


class Outage(stage.Scene):
    """The real registry is not there, at the start or later."""

    def reason(self, connector):
        return connector.page("/readyz")

    def test_down_at_the_start(self):
        real = own_registry(self)
        on_stage = self.open_stage(registry_url=real.url)
        connector = on_stage.start(ready=False)
        for n in range(20):
            on_stage.command(f"c-{n}", "update-conversation", {"conversation_id": f"cnv_{n}"},
                             {"status": "open"})
        on_stage.flush()
        connector.wait_line("registry.down")
        stage.wait_for("its assignment", lambda: connector.status()["kafka"]["assigned"])
        status, text = self.reason(connector)
        self.assertEqual(status, 503)
        self.assertIn("output schemas unresolved", text)
        self.assertEqual(on_stage.front.requests(), [])
        self.assertEqual(connector.metrics()["commands_received_total"], 0)
        real.start()
        connector.wait_ready()
        on_stage.settle()
        self.assertEqual(len(on_stage.front.requests()), 20)
        on_stage.check_counters()

    def test_a_webhook_before_the_schemas_are_known(self):
        """There is no id to write its event with: 429, as long as we are not ready."""
        real = own_registry(self)
        on_stage = self.open_stage(registry_url=real.url)
        events, port = f"events-{on_stage.group}", kafka.free_port()
        on_stage.create(events, None)
        on_stage.front.on("/me", Answer(200, {"id": hooks.COMPANY, "name": "Test"}))
        connector = on_stage.start(ready=False, **{
            "webhooks.listen": f"127.0.0.1:{port}", "webhooks.app.keys": hooks.KEYS[hooks.APP],
            "events.topic": events, "events.heal.every.ms": 0})
        connector.wait_line("registry.down")
        caller = hooks.Caller(port)
        self.addCleanup(caller.close)
        webhook = hooks.envelope(hooks.event("evt_9"))
        answer = caller.send(hooks.APP, webhook)
        self.assertEqual(answer.status, 429)
        self.assertTrue(answer.headers["Retry-After"])
        connector.wait_line("webhook.later.*registry")
        real.start()
        connector.wait_ready()
        self.assertEqual(caller.send(hooks.APP, webhook).status, 200)
        event, = [on_stage.codec.decode(events, o.value) for o in on_stage.records(events)]
        self.assertEqual(event["id"], "evt_9")

    def test_healing_knows_events_of_an_older_schema(self):
        """What is on the topic is known before a page is produced, though the registry is slow
        to tell the schema it was written with."""
        stub = Stub()
        self.addCleanup(stub.close)
        on_stage = self.open_stage(registry_url=stub.url)
        events, port = f"events-{on_stage.group}", kafka.free_port()
        on_stage.create(events, None)
        on_stage.front.on("/me", Answer(200, {"id": hooks.COMPANY, "name": "Test"}))
        on_stage.front.on("/events", Answer(200, {"_results": [hooks.event("evt_1"),
                                                               hooks.event("evt_2")],
                                                  "_pagination": {"next": None}}))
        on_stage.settings["events.topic"] = events
        older = stub.register("older", registered.text_of("records/Event"))
        with stub.lock:  # the same schema has another id in the subject that is used now
            stub.ids[older], text = '{"type":"string"}', stub.ids[older]
        stub.register(f"{events}-value", registered.text_of("records/Event"))
        with stub.lock:
            stub.ids[older] = text
        on_stage.producer.produce(events, registered.framed(older, text, avro.filled(
            "records/Event", id="evt_1", type="inbound", received_at=0, payload="{}",
            delivery="webhook")))
        on_stage.flush()
        path = f"/schemas/ids/{older}"
        stub.fault = lambda r: html(503) if r.path == path else None
        connector = on_stage.start(**{"events.heal.every.ms": 3_600_000, "events.heal.lag.ms": 0})
        connector.wait_line("heal.waits")
        stage.wait_for("two questions", lambda: len(stub.asked(path)) >= 2)
        self.assertEqual(len(on_stage.records(events)), 1)
        stub.fault = lambda r: None
        stage.wait_for("the other event", lambda: len(on_stage.records(events)) >= 2)
        self.assertEqual([avro_of(stub, o)["id"] for o in sorted(
            on_stage.records(events), key=lambda o: o.timestamp)], ["evt_1", "evt_2"])

    def test_down_at_the_start_ends_with_sigterm(self):
        real = own_registry(self)
        on_stage = self.open_stage(registry_url=real.url)
        connector = on_stage.start(ready=False)
        connector.wait_line("registry.down")
        stage.wait_for("its assignment", lambda: connector.status()["kafka"]["assigned"])
        self.assertEqual(connector.terminate(), 0)

    def test_down_later(self):
        """Only who has a schema that was never seen waits."""
        real = own_registry(self).start()
        on_stage = self.open_stage(registry_url=real.url)
        connector = on_stage.start()
        encode = on_stage.codec.encode
        known = encode(on_stage.commands, GENERIC, generic(
            "update-conversation", {"conversation_id": "cnv_1"}, {"status": "open"}))
        on_stage.send(known, "first")
        new = encode(on_stage.commands, variant(CONVERSATION, {"name": "status",
                                                               "type": "string"}),
                     {"conversation_id": "cnv_2", "status": "spam"})
        on_stage.settle()
        real.stop()
        waiting = [on_stage.send(new, "waits"), on_stage.send(known, "waits")]
        for n in range(50):
            on_stage.send(known, f"other-{n}")
        on_stage.flush()
        stage.wait_for("the others", lambda: on_stage.read(0.2) >= 0
                       and len(on_stage.results()) >= 51)
        connector.wait_line("registry.down")
        self.assertEqual(sorted(on_stage.missing()), sorted(w[0] for w in waiting))
        self.assertEqual(connector.metrics()['commands_open{state="schema"}'], 1)
        status, text = self.reason(connector)
        self.assertEqual(status, 200)
        self.assertIn("the schema registry does not answer", text)
        self.assertFalse(connector.status()["registry"]["up"])
        on_stage.front.forget()
        real.start()
        on_stage.settle()
        self.assertEqual([r.path for r in on_stage.front.requests()],
                         ["/conversations/cnv_2", "/conversations/cnv_1"])
        connector.wait_line("registry.up")
        on_stage.check_counters()

    def test_a_restart_of_the_connector_while_it_is_down(self):
        real = own_registry(self).start()
        on_stage = self.open_stage(registry_url=real.url)
        connector = on_stage.start()
        on_stage.command("before", "update-conversation", {"conversation_id": "cnv_1"}, {},
                         key="k")
        on_stage.settle()
        real.stop()
        self.assertEqual(connector.terminate(), 0)
        connector.start()
        on_stage.command("before", "update-conversation", {"conversation_id": "cnv_1"}, {},
                         key="k")
        on_stage.command("after", "update-conversation", {"conversation_id": "cnv_2"}, {},
                         key="k")
        on_stage.flush()
        connector.wait_line("registry.down")
        real.start()
        on_stage.settle()
        # what is in the results' tail was known before a command was looked at
        self.assertEqual([r.replayed for r in on_stage.by_id["before"]], [False, True])
        self.assertEqual([r.path for r in on_stage.front.requests()],
                         ["/conversations/cnv_1", "/conversations/cnv_2"])

    def test_killed_and_started_under_load(self):
        real = own_registry(self).start()
        on_stage = self.open_stage(registry_url=real.url)
        connector = on_stage.start()
        work = load.Load(on_stage, 40, 7)

        def unseen(number):
            """A command with a schema that nobody has seen, registered; to be sent later."""
            key = number % work.keys
            schema = variant(CONVERSATION, {"name": "command_id", "type": "string"},
                             {"name": "description", "type": "string", "doc": f"no. {number}"})
            return key, real.register(f"unseen-{number}", schema), schema

        def send_unseen(key, schema_id, schema):
            name = f"{key}-{work.next_of[key]}-patch"
            work.next_of[key] += 1
            work.names.append(name)
            on_stage.send(registered.framed(schema_id, schema, {
                "conversation_id": f"cnv_{key}", "command_id": name, "description": name}),
                f"key-{key}")

        for number, how in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
            work.send(150)
            later = [unseen(10 * number + n) for n in range(5)]
            send_unseen(*unseen(100 + number))
            # the reader knows the results' schema before the registry is away
            stage.wait_for("results", lambda: on_stage.read(0.1) and on_stage.results())
            real.stop(how)
            for one in later:
                send_unseen(*one)
                work.send(30)
            stage.wait_for("some to wait", lambda: on_stage.read(0.05) >= 0
                           and connector.metrics()['commands_open{state="schema"}'] >= 5)
            real.start()
        work.send(150)
        on_stage.settle(120)
        load.check(self, work)
        self.assertEqual(len(work.names), 3 * (150 + 1 + 5 * 31) + 150)
        self.assertTrue(connector.running())
        on_stage.check_counters()


class Strange(stage.Scene):
    """Answers of registries and proxies that Apicurio does not give: the stub's."""

    def open_stub(self, stub=None, **settings):
        stub = stub or Stub()
        self.addCleanup(stub.close)
        on_stage = self.open_stage(registry_url=stub.url, **settings)
        on_stage.decode = lambda name, out: avro_of(stub, out)
        return stub, on_stage

    def put(self, on_stage, stub, key="k", status="open"):
        """A command with a schema of its own, registered behind the client's back."""
        schema = variant(CONVERSATION, {"name": "status", "type": "string",
                                        "doc": f"{len(stub.ids)}"})
        number = stub.register("elsewhere", schema)
        return number, on_stage.send(registered.framed(number, schema, {
            "conversation_id": "cnv_9", "status": status}), key)

    def test_an_id_that_the_registry_does_not_know(self):
        """After a minute of 404 it is a dead letter; one that is registered meanwhile is not."""
        stub, on_stage = self.open_stub()
        connector = on_stage.start()
        schema = variant(CONVERSATION, {"name": "status", "type": "string"})
        record = {"conversation_id": "cnv_9", "status": "open"}
        unknown = on_stage.send(registered.framed(7, schema, record), "never")
        behind = on_stage.command("behind", "update-conversation", {"conversation_id": "c"}, {},
                                  key="never")
        late = on_stage.send(registered.framed(8, schema, record), "late")
        on_stage.flush()
        stage.wait_for("a second question", lambda: len(stub.asked("/schemas/ids/8")) >= 2)
        self.assertEqual(connector.page("/readyz")[0], 200)
        self.assertEqual(set(on_stage.missing()), {unknown[0], behind[0], late[0]})
        with stub.lock:
            stub.ids[8] = registered.render(schema)
        on_stage.answer(f"{on_stage.commands}/{late[0][0]}/{late[0][1]}")
        letter = on_stage.dead_letter(unknown, 90)
        self.assertEqual(letter.text("__connect.errors.exception.class.name"), "SchemaUnknown")
        self.assertIn("schema id 7", letter.text("__connect.errors.exception.message"))
        self.assertEqual(letter.value, registered.framed(7, schema, record))
        on_stage.settle()
        asked = len(stub.asked("/schemas/ids/7"))
        again = on_stage.send(registered.framed(7, schema, record), "again")
        on_stage.dead_letter(again)  # known to be unknown: not asked again
        self.assertEqual(len(stub.asked("/schemas/ids/7")), asked)
        on_stage.check_counters()

    def test_what_says_nothing_is_waited_for(self):
        stub, on_stage = self.open_stub()
        on_stage.start()
        strange = [error(500, 50001, "Error in the backend"), html(502), html(404), html(200),
                   error(401, 40101, "Unauthorized"), error(404, 404, "HTTP 404 Not Found"),
                   Answer(how="reset"), Answer(how="garbage"),
                   Answer(200, {"schema": "x" * 1000}, how="half")]
        for answer in strange:
            with self.subTest(answer=(answer.status, answer.how, answer.body[:60])):
                number, place = self.put(on_stage, stub)
                path = f"/schemas/ids/{number}"
                stub.fault = lambda r, p=path, a=answer: a if r.path == p else None
                on_stage.flush()
                stage.wait_for("three questions", lambda p=path: len(stub.asked(p + r"\?")) >= 3)
                self.assertEqual(on_stage.missing(), [place[0]])
                on_stage.command("goes-on", "update-conversation", {"conversation_id": "c"}, {})
                on_stage.answer("goes-on")
                on_stage.by_id.pop("goes-on")
                stub.fault = lambda r: None
                on_stage.settle()
        self.assertEqual(on_stage.dead_letters(), [])

    def test_one_question_for_many_commands(self):
        stub, on_stage = self.open_stub()
        on_stage.start()
        number, _ = self.put(on_stage, stub)
        path = f"/schemas/ids/{number}"
        stub.fault = lambda r: html(503) if r.path == path else None
        schema = stub.ids[number]
        for n in range(200):
            on_stage.send(registered.framed(number, schema, {
                "conversation_id": f"cnv_{n}", "status": "open"}), f"k-{n}")
        on_stage.flush()
        stage.wait_for("two questions", lambda: len(stub.asked(path)) >= 2)
        stub.fault = lambda r: None
        stub.forget()
        on_stage.settle()
        self.assertEqual(len(stub.asked(path)), 1)
        self.assertEqual(len(on_stage.front.requests()), 201)

    def test_several_urls_with_paths_and_a_user(self):
        second = Stub(path="/deep/registry", user=registered.USER)
        first = Stub(user=registered.USER)
        first.ids, first.subjects = second.ids, second.subjects
        self.addCleanup(first.close)
        secret = {"schemas.registry.username": registered.USER,
                  "schemas.registry.password": registered.PASSWORD,
                  "schemas.registry.url": f"http://127.0.0.1:1,{second.url},{first.url}"}
        _, on_stage = self.open_stub(second, **secret)
        connector = on_stage.start()
        self.put(on_stage, second)
        on_stage.settle()
        self.assertEqual(first.requests(), [])
        self.assertTrue(connector.status()["registry"]["up"])
        second.fault = lambda r: html(503)
        self.put(on_stage, second)
        on_stage.settle()  # the third answers
        self.assertTrue(first.asked("/schemas/ids/"))
        self.assertEqual(connector.status()["registry"]["url"], first.url)

    def test_one_that_never_answers(self):
        """The next one is asked when its time is over."""
        silent, stub = Stub(), Stub()
        self.addCleanup(silent.close)
        silent.fault = lambda r: Answer(how="none")
        _, on_stage = self.open_stub(stub, **{
            "schemas.registry.url": f"{silent.url}, {stub.url}"})
        connector = on_stage.start()
        self.assertTrue(silent.asked("/subjects/"))
        self.put(on_stage, stub)
        on_stage.settle()
        self.assertEqual(connector.status()["registry"]["url"], stub.url)
        self.assertEqual(silent.asked("/schemas/ids/"), [])  # who answered is asked first

    def test_a_password_that_changes(self):
        stub, on_stage = self.open_stub(Stub(user=registered.USER))
        secret = on_stage.folder / "password"
        secret.write_text("not it\n")
        connector = on_stage.start(ready=False, **{
            "schemas.registry.username": registered.USER,
            "schemas.registry.password": f"${{file:{secret}}}"})
        connector.wait_line("registry.down.*Unauthorized")
        secret.write_text(registered.PASSWORD + "\n")
        connector.wait_ready()
        self.assertNotIn(stub.asked("/subjects/")[0].headers["authorization"].split()[1],
                         connector.log.read_text())

    def test_tls_with_a_ca_of_our_own(self):
        folder = stage.pathlib.Path(stage.tempfile.mkdtemp(prefix="front-connector-tls."))
        self.addCleanup(stage.shutil.rmtree, folder)
        stub = Stub(certificate=folder)
        _, on_stage = self.open_stub(stub)
        stranger = on_stage.start(ready=False)
        stranger.wait_line("registry.down.*[Cc]ertificate")
        stranger.kill()
        on_stage.start(**{"schemas.registry.ca.file": stub.ca_file, "instance.id": "two"})
        self.put(on_stage, stub)
        on_stage.settle()

    def test_confluents_answers_without_the_right_to_register(self):
        """What is missing is said, and waited for; the list of what is missing is REJECTED."""
        stub, on_stage = self.open_stub(**{"schemas.register": "false"})
        connector = on_stage.start(ready=False)
        connector.wait_line("registry.missing: subject results-")
        stage.wait_for("its assignment", lambda: connector.status()["kafka"]["assigned"])
        status, text = connector.page("/readyz")
        self.assertEqual(status, 503)
        self.assertIn(f"{on_stage.results_topic}-value", text)
        self.assertEqual(stub.asked("POST .*/versions"), [])
        # as Confluent's own tools would have it: rendered anew
        stub.register(f"{on_stage.results_topic}-value", registered.text_of("records/Result"))
        connector.wait_ready()
        self.assertEqual(on_stage.ask("update-conversation", {"conversation_id": "c"}, {}).outcome,
                         "SUCCEEDED")
        result = on_stage.ask("list-contacts")
        self.assertEqual((result.outcome, result.error["kind"]), ("REJECTED", "schema-missing"))
        self.assertIn("contacts-value", result.error["message"])
        self.assertEqual(on_stage.front.requests("/contacts"), [])
        self.assertEqual(stub.asked("POST .*/versions"), [])

    def test_a_list_waits_for_the_schema_of_its_items(self):
        stub, on_stage = self.open_stub()
        on_stage.front.on("/contacts", Answer(200, LIST))
        connector = on_stage.start()
        stub.fault = lambda r: html(502)
        on_stage.command("list", "list-contacts", key="list")
        on_stage.command("other", "update-conversation", {"conversation_id": "c"}, {}, key="other")
        on_stage.answer("other")
        stage.wait_for("its state", lambda: connector.metrics()['commands_open{state="schema"}'])
        self.assertEqual(on_stage.front.requests("/contacts"), [])
        stub.fault = lambda r: None
        self.assertEqual(on_stage.answer("list").items, 2)
        on_stage.settle()

    def test_one_that_does_not_know_normalize(self):
        stub, on_stage = self.open_stub()
        stub.fault = (lambda r: error(400, 400, "Unknown parameter") if "normalize" in r.query
                      else None)
        on_stage.start()
        self.assertTrue(stub.asked(r"POST /subjects/results-[^/]*-value\?$"))
        on_stage.ask("update-conversation", {"conversation_id": "c"}, {})

    def test_one_that_does_not_take_our_schema(self):
        stub, on_stage = self.open_stub()
        stub.fault = (lambda r: error(409, 409, "Schema being registered is incompatible")
                      if r.path.endswith("/versions") else None)
        connector = on_stage.start(ready=False)
        connector.wait_line("does not take front.Result.*incompatible")
        self.assertEqual(on_stage.front.requests(), [])
        stub.fault = lambda r: None
        connector.wait_ready()

    def test_a_schema_that_is_not_avro(self):
        stub, on_stage = self.open_stub()
        on_stage.start()
        stub.fault = lambda r: registered.found(
            {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3";'}) \
            if r.path == "/schemas/ids/5" else None
        letter = on_stage.dead_letter(on_stage.send(b"\0\0\0\0\5rest"))
        self.assertEqual(letter.text("__connect.errors.exception.class.name"), "SchemaUnknown")
        self.assertIn("not Avro", letter.text("__connect.errors.exception.message"))

    def test_results_of_an_older_schema_are_known_before_a_command_is(self):
        """The tail of the results has an id that this process never saw, and the registry does
        not answer for it: the partition waits, and no command is executed twice."""
        stub, on_stage = self.open_stub()
        connector = on_stage.start()
        on_stage.command("twice", "update-conversation", {"conversation_id": "c"}, {}, key="k")
        on_stage.settle()
        self.assertEqual(connector.terminate(), 0)
        older, = [n for n in stub.ids if '"Result"' in stub.ids[n]]
        newer = 4711
        with stub.lock:  # the schema has another id from now on
            stub.ids[newer] = stub.ids[older]
            stub.subjects[f"{on_stage.results_topic}-value"] = [newer]
        stub.fault = lambda r: html(503) if r.path == f"/schemas/ids/{older}" else None
        connector.start()
        on_stage.command("twice", "update-conversation", {"conversation_id": "c"}, {}, key="k")
        on_stage.flush()
        stage.wait_for("three questions", lambda: len(stub.asked(f"/schemas/ids/{older}")) >= 3)
        self.assertIn("seeding", [p["state"] for p in connector.status()["partitions"]])
        self.assertEqual(len(on_stage.front.requests()), 1)
        stub.fault = lambda r: None
        on_stage.settle()
        self.assertEqual([r.replayed for r in on_stage.by_id["twice"]], [False, True])
        self.assertEqual(len(on_stage.front.requests()), 1)


def avro_of(stub, out):
    """By what the stub knows, whatever it answers just now."""
    parsed = avro.fastavro.parse_schema(json.loads(stub.ids[registered.schema_id(out.value)]))
    return avro.fastavro.schemaless_reader(avro.io.BytesIO(out.value[5:]), parsed, None)


if __name__ == "__main__":
    unittest.main()
