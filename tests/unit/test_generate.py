"""The generator: fingerprints, naming rules, corrections, and that what is committed is current.

Run: python3 -m unittest tests/unit/test_generate.py
"""
import json
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "schemas"))
import generate  # noqa: E402
from generator import avro, text  # noqa: E402

CATALOGUE = text.load(ROOT / "schemas/catalogue.json")
OVERRIDES = text.load(ROOT / "schemas/overrides.json")
OPS = {op["name"]: op for op in CATALOGUE["operations"]}

# contracts: which list feeds which topic
TOPICS = {
    "accounts": "list-accounts", "links": "list-links", "teammate-groups": "list-company-teammate-groups",
    "ticket-statuses": "list-company-ticket-statuses", "knowledge-bases": "list-knowledge-bases",
    "channels": "list-channels list-inbox-channels list-team-channels list-teammate-channels",
    "comments": "list-conversation-comments", "contact-notes": "list-notes",
    "drafts": "list-conversation-drafts", "seen-receipts": "get-message-seen-status",
    "contact-lists": "list-contact-lists list-groups list-team-contact-lists list-team-groups "
                     "list-teammate-contact-lists list-teammate-groups",
    "contacts": "list-account-contacts list-contacts list-contacts-in-contact-list "
                "list-contacts-in-group list-team-contacts list-teammate-contacts",
    "conversations": "list-assigned-conversations list-contact-conversations list-conversations "
                     "list-inbox-conversations list-link-conversations list-tagged-conversations "
                     "search-conversations",
    "custom-fields": "list-account-custom-fields list-contact-custom-fields "
                     "list-conversation-custom-fields list-custom-fields list-inbox-custom-fields "
                     "list-link-custom-fields list-teammate-custom-fields",
    "events": "list-conversation-events list-events",
    "inboxes": "list-company-teammate-group-team-inboxes list-conversation-inboxes list-inboxes "
               "list-team-inboxes list-teammate-inboxes list-teammate-private-inboxes",
    "knowledge-base-articles": "list-articles-in-a-category list-articles-in-a-knowledge-base",
    "knowledge-base-categories": "list-categories-in-a-knowledge-base",
    "messages": "list-conversation-messages",
    "message-templates": "get-child-templates list-message-templates list-team-message-templates "
                         "list-teammate-message-templates",
    "message-template-folders": "get-child-folders list-folders list-team-folders list-teammate-folders",
    "rules": "list-all-company-rules list-rules list-team-rules list-teammate-rules",
    "shifts": "list-shifts list-team-shifts list-teammate-shifts",
    "signatures": "list-team-signatures list-teammate-signatures",
    "time-offs": "list-team-time-offs list-teammate-time-offs", "views": "list-team-views list-views",
    "tags": "list-company-tags list-tag-children list-tags list-team-tags list-teammate-tags",
    "teammates": "list-comment-mentions list-company-teammate-group-teammates "
                 "list-conversation-followers list-inbox-access list-shifts-teammates list-teammates",
    "teams": "list-company-teammate-group-teams list-teams",
}


def schema(file):
    return text.load(ROOT / "schemas" / file)


def field(record, name):
    return next(f for f in record["fields"] if f["name"] == name)


def records(node):
    """Every record definition inside a schema."""
    if isinstance(node, list):
        for part in node:
            yield from records(part)
    elif isinstance(node, dict) and node.get("type") == "record":
        yield node
        for f in node["fields"]:
            yield from records(f["type"])
    elif isinstance(node, dict):
        yield from records([node[k] for k in ("items", "values", "type") if k in node])


class Fingerprints(unittest.TestCase):
    def test_known_vectors(self):
        for name, value in (("int", 0x7275D51A3F395C8F), ("string", 0x8F014872634503C7),
                            ("long", 0xD054E14493F41DB7)):
            self.assertEqual(avro.fingerprint(name), value)
            self.assertEqual(avro.fingerprint({"type": name, "doc": "dropped"}), value)

    def test_canonical_form(self):
        got = avro.canonical({
            "name": "R", "namespace": "n", "type": "record", "doc": "x", "aliases": ["Q"],
            "fields": [
                {"type": ["null", {"logicalType": "timestamp-millis", "type": "long"}],
                 "default": None, "name": "a", "doc": "y"},
                {"name": "b", "type": {"type": "map", "values": {"type": "array", "items": "R"}}},
                {"name": "c", "type": {"type": "enum", "name": "m.E", "symbols": ["X", "Y"]}},
                {"name": "d", "type": {"size": 4, "type": "fixed", "name": "F"}}]})
        self.assertEqual(got, '{"name":"n.R","type":"record","fields":['
                              '{"name":"a","type":["null","long"]},'
                              '{"name":"b","type":{"type":"map","values":{"type":"array","items":"n.R"}}},'
                              '{"name":"c","type":{"name":"m.E","type":"enum","symbols":["X","Y"]}},'
                              '{"name":"d","type":{"name":"n.F","type":"fixed","size":4}}]}')

    def test_the_c_table_has_them(self):
        table = (ROOT / "connector/codec/schemas_table.c").read_text()
        for path in (ROOT / "schemas").glob("*/*.avsc"):
            if path.parent.name != "released":
                self.assertIn("0x%016xULL" % avro.fingerprint(json.loads(path.read_text())), table)


class Current(unittest.TestCase):
    def test_what_is_committed_is_what_the_generator_writes(self):
        self.assertEqual(generate.stale_files(), [])

    def test_twice_the_same(self):
        self.assertEqual(generate.outputs(CATALOGUE), generate.outputs(CATALOGUE))

    def test_catalogue_is_formatted_by_the_generator(self):
        written = (ROOT / "schemas/catalogue.json").read_text()
        self.assertEqual(text.pretty(CATALOGUE) + "\n", written)


class Names(unittest.TestCase):
    def test_records_per_operation(self):
        self.assertEqual(avro.record_name("update-a-contact"), "UpdateAContact")
        self.assertEqual(len(OPS), 255)
        files = {p.stem for p in (ROOT / "schemas/commands").glob("*.avsc")}
        self.assertEqual(files, {avro.record_name(n) for n in OPS})

    def test_no_name_is_used_twice(self):
        seen = {}
        for path in sorted((ROOT / "schemas").glob("*/*.avsc")):
            for record in records(json.loads(path.read_text())):
                name = avro.full_name(record)[0]
                if name in seen and name != "front.Attachment":
                    self.fail("%s in %s and %s" % (name, seen[name], path.name))
                seen[name] = path.name
        self.assertEqual(len([n for n in seen if n.startswith("front.command.")]), 307)
        self.assertEqual(len(list((ROOT / "schemas/resources").glob("*.avsc"))), 27)

    def test_each_file_stands_alone(self):
        for path in (ROOT / "schemas").glob("*/*.avsc"):
            root = json.loads(path.read_text())
            self.assertTrue(root["namespace"].startswith("front"), path.name)
            defined = {avro.full_name(r)[0] for r in records(root)}
            for used in re.findall(r'"(front\.[A-Za-z.]+)"', avro.canonical(root)):
                self.assertIn(used, defined, path.name)


class Commands(unittest.TestCase):
    def test_only_path_params_are_not_nullable(self):
        for op in OPS.values():
            record = schema("commands/%s.avsc" % avro.record_name(op["name"]))
            path = {p["name"] for p in op["params"] if p["in"] == "path"}
            for inner in records(record):
                for f in inner["fields"]:
                    if inner is record and (f["name"] in path or f["name"] == "set_null"):
                        self.assertNotIsInstance(f["type"], list)
                    elif inner["name"] != "Attachment":
                        self.assertEqual((f["type"][0], f["default"]), ("null", None), op["name"])
            self.assertEqual(record["fields"][0]["name"], "command_id")
            self.assertEqual(record["fields"][-1]["name"], "set_null")
            self.assertEqual(record["fields"][-1]["default"], [])

    def test_order_of_a_paged_list(self):
        names = [f["name"] for f in schema("commands/ListContacts.avsc")["fields"]]
        self.assertEqual(names, ["command_id", "q", "limit", "page_token", "sort_by", "sort_order",
                                 "max_items", "with", "set_null"])

    def test_nested_names(self):
        options = field(schema("commands/CreateMessage.avsc"), "options")["type"][1]
        self.assertEqual(options["name"], "CreateMessageOptions")
        handles = field(schema("commands/CreateContact.avsc"), "handles")["type"][1]["items"]
        self.assertEqual(handles["name"], "CreateContactHandle")

    def test_types(self):
        cases = {
            "CreateCall started_at": {"type": "long", "logicalType": "timestamp-millis"},
            "CreateAnalyticsReport start": {"type": "long", "logicalType": "timestamp-millis"},
            "CreateAnalyticsReport filters": "string", "CreateAnalyticsExport columns": "string",
            "CreateContact custom_fields": "string", "ListContacts limit": "long",
            "ListContacts q": {"type": "map", "values": "string"},
            "UpdateConversation status": "string",
            "AddConversationFollowers ignore_errors": "boolean",
            "AddConversationTag tag_ids": {"type": "array", "items": "string"},
        }
        for name, want in cases.items():
            record, f = name.split()
            self.assertEqual(field(schema("commands/%s.avsc" % record), f)["type"][1], want, name)
        avatar = field(schema("commands/CreateContact.avsc"), "avatar")["type"][1]
        self.assertEqual(avro.full_name(avatar)[0], "front.Attachment")

    def test_free_form_objects(self):
        def free(fields):
            return sum((f["type"] == "json" and f["json"] == ["object"] and f["name"] != "filters")
                       + free(f.get("fields", [])) for f in fields)
        self.assertEqual(sum(free(op["fields"]) for op in OPS.values()), 14)

    def test_fields_as_counted_by_hand(self):
        # 768 in Front's descriptions, and six that update-message-template lacks there
        self.assertEqual(sum(len(op["params"]) + len(op["fields"]) for op in OPS.values()), 768 + 6)
        self.assertEqual(len(OPS["update-message-template"]["fields"]), 6)

    def test_every_value_has_an_example(self):
        def walk(fields):
            for f in fields:
                if f["type"] != "file":
                    self.assertIn("example", f)
                    self.assertEqual(isinstance(f["example"], list),
                                     bool(f.get("array")) or f.get("json") == ["array"])
                walk(f.get("fields", []))
        for op in OPS.values():
            walk(op["params"])
            walk(op["fields"])
            for p in op["params"]:
                if p["name"] == "limit":
                    self.assertLessEqual(p["example"], op["page_max"])


class OwnRecords(unittest.TestCase):
    def names(self, file):
        return [f["name"] for f in schema("records/%s.avsc" % file)["fields"]]

    def test_field_order_is_the_contract(self):
        self.assertEqual(self.names("Command"), (
            "command_id operation params body attachments method path query headers").split())
        self.assertEqual(self.names("Result"), (
            "command_id operation outcome http_status resource_id response content content_type "
            "truncated error attempts items pages replayed recovered received_at started_at "
            "finished_at quota source_topic source_partition source_offset request_digest").split())
        self.assertEqual(self.names("Event"), (
            "id type webhook_type emitted_at received_at company_id conversation source target "
            "payload delivery").split())

    def test_optional_fields_have_a_default(self):
        for name in ("Command", "Result", "Event", "Job"):
            for record in records(schema("records/%s.avsc" % name)):
                for f in record["fields"]:
                    if isinstance(f["type"], list):
                        self.assertEqual((f["type"][0], f["default"]), ("null", None))


class Resources(unittest.TestCase):
    def test_last_fields_and_nullability(self):
        for path in (ROOT / "schemas/resources").glob("*.avsc"):
            fields = json.loads(path.read_text())["fields"]
            self.assertEqual([f["name"] for f in fields[-2:]], ["_parent_id", "_raw"])
            self.assertEqual(fields[-1]["type"], "string")
            for f in fields[:-1]:
                self.assertEqual(f["type"][0], "null")

    def test_embedded_and_linked_resources_are_ids(self):
        names = {r["name"]: [f["name"] for f in r["fields"]] for r in CATALOGUE["resources"]}
        for wanted in ("assignee_id", "tag_ids", "link_ids", "last_message_id", "scheduled_reminders"):
            self.assertIn(wanted, names["Conversation"])
        self.assertIn("conversation_id", names["Message"])
        self.assertIn("author_id", names["Message"])
        self.assertIn("signature_id", names["Message"])
        self.assertIn("list_ids", names["Contact"])
        self.assertIn("message_id", names["SeenReceipt"])
        self.assertEqual(names["ContactNote"].count("author_id"), 1)
        for fields in names.values():
            self.assertEqual(len(fields), len(set(fields)))

    def test_keys(self):
        keys = {r["name"]: r["key"] for r in CATALOGUE["resources"]}
        for r in CATALOGUE["resources"]:
            if keys[r["name"]] == "id":
                self.assertIn("id", [f["name"] for f in r["fields"]])
        self.assertEqual({n for n, k in keys.items() if k != "id"}, {"ContactNote", "SeenReceipt"})
        made = {r["name"]: r["key_from"] for r in CATALOGUE["resources"] if r["key_from"] != ["id"]}
        self.assertEqual(made, {"ContactNote": ["_parent_id", "created_at"],
                                "SeenReceipt": ["_links.related.message", "seen_by.handle"]})

    def test_topics(self):
        got = {topic: " ".join(row["lists"]) for topic, row in CATALOGUE["topics"].items()}
        self.assertEqual(got, TOPICS)
        self.assertEqual(CATALOGUE["topics"]["drafts"]["record"], "front.resource.Message")
        self.assertEqual(CATALOGUE["topics"]["events"]["record"], "front.Event")


class Corrections(unittest.TestCase):
    def test_pagination_of_answers(self):
        paged = {n for n, op in OPS.items() if op["paged"]}
        said = {n for n, op in OPS.items() if op["answer"].get("pagination")}
        self.assertEqual(len(paged), 29)
        self.assertLessEqual(paged, said)  # the four tag lists by correction
        self.assertEqual(len(said - paged), 12)

    def test_answers(self):
        self.assertEqual(OPS["get-child-templates"]["answer"]["shape"], "MessageTemplate")
        self.assertEqual(OPS["list-notes"]["statuses"], "200,202")
        self.assertEqual(OPS["update-channel-status"]["auth"], "channel")
        self.assertEqual(OPS["create-message"]["one_of"], ["to", "cc", "bcc"])

    def test_every_shape_named_is_there(self):
        def walk(fields):
            for f in fields:
                if f["type"] == "shape":
                    self.assertIn(f["shape"], CATALOGUE["shapes"])
                walk(f.get("fields", []))
        for fields in CATALOGUE["shapes"].values():
            walk(fields)
        for op in OPS.values():
            if op["answer"]["kind"] in ("list", "object", "accepted"):
                self.assertIn(op["answer"]["shape"], CATALOGUE["shapes"])

    def test_overrides_name_only_operations_that_exist(self):
        lists = [n for k in "ABD" for n in OVERRIDES["class_of_post"][k]]
        lists += OVERRIDES["repeat_ok"]["membership_operations"]
        lists += [n for g in OVERRIDES["guards"].values() for n in g]
        lists += [n for k, v in OVERRIDES["corrections"].items() for n in v]
        lists += list(OVERRIDES["probes"]) + list(OVERRIDES["time"]) + list(OVERRIDES["help"])
        lists += [n for row in OVERRIDES["probes"].values() for n in row[1:]]
        lists += list(OVERRIDES["aliases"].values())
        self.assertEqual([n for n in lists if n not in OPS], [])
        self.assertEqual(set(OVERRIDES["probes"]), {n for n, o in OPS.items() if o["class"] == "C"})
        self.assertEqual(len(OVERRIDES["titles"]), 43)


if __name__ == "__main__":
    unittest.main()
