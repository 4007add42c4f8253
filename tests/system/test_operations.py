"""All 255 operations: with least and full arguments; as typed Avro, generic Avro and JSON. What
Front gets is what the catalogue says, and every answer comes back as a result.

The expected request is worked out here, from schemas/catalogue.json, by other code than the
connector's. The one that needs a file has one; files with the others: test_attachments.py."""

import base64
import json
import pathlib
import unittest
import urllib.parse

import avro
import front as scripted
import multipart
import stage

FILE = {"filename": "call.mp3", "content_type": "audio/mpeg", "data": b"\xff\xfbsound", "url": None}


def operations():
    return avro.catalogue()["operations"]


def files_of(op):
    return [FILE] if op["file_required"] else []


# --- the arguments: an operation's examples, all or only what must be there ---

def chosen_params(op, full):
    return [p for p in op["params"] if full or p["required"]]


def chosen_fields(op, full):
    """Top-level body fields; with nothing required one of `one_of` must be there."""
    fields = [f for f in op["fields"]
              if f["type"] != "file" and (full or f["required"]
                                          or f["name"] == (op["one_of"] or [None])[0])]
    return fields


def value_of(field, full):
    """The JSON value of a body field, the optional parts of an object only when `full`."""
    if field["type"] == "object":
        parts = {f["name"]: value_of(f, full) for f in field["fields"]
                 if f["type"] != "file" and (full or f["required"])}
        return [parts] if field.get("array") else parts
    return field["example"]


def body_of(op, full):
    return {f["name"]: value_of(f, full) for f in chosen_fields(op, full)}


# --- the three ways to write a command ---

def text(value):
    if isinstance(value, str):
        return value
    return json.dumps(value)


def generic_params(op, full):
    params = {}
    for p in chosen_params(op, full):
        if p["type"] == "map":
            params.update({f"{p['name']}[{k}]": text(v) for k, v in p["example"].items()})
        else:
            params[p["name"]] = text(p["example"])
    return params


def as_generic(op, full, command_id):
    body = body_of(op, full)
    return avro.command(op["name"], generic_params(op, full),
                        body if op["body"] and (body or op["body_required"]) else None,
                        command_id=command_id, attachments=files_of(op))


def as_json(op, full, command_id):
    record = {"command_id": command_id, "operation": op["name"],
              "params": generic_params(op, full)}
    for p in chosen_params(op, full):
        if p["type"] in ("long", "boolean"):
            record["params"][p["name"]] = p["example"]
    body = body_of(op, full)
    if op["body"] and (body or op["body_required"]):
        record["body"] = body
    record["attachments"] = [{**f, "data": base64.b64encode(f["data"]).decode()}
                             for f in files_of(op)]
    return json.dumps(record).encode()


def typed_value(field, full):
    if field["type"] == "object":
        parts = [f for f in field["fields"] if f["type"] != "file" and (full or f["required"])]
        made = {f["name"]: typed_value(f, full) for f in parts}
        return [made] if field.get("array") else made
    if field["type"] == "json":
        return json.dumps(field["example"])
    if field["type"] == "time":
        per_unit = 1 if field["time"] == "millis" else 1000
        return int(field["example"] * per_unit)
    return field["example"]


def typed_param(p):
    if p["type"] == "map":
        return {k: text(v) for k, v in p["example"].items()}
    return p["example"]


def as_typed(op, full, command_id):
    fields = {p["name"]: typed_param(p) for p in chosen_params(op, full)}
    fields.update({f["name"]: typed_value(f, full) for f in chosen_fields(op, full)})
    if op["file_required"]:
        fields[op["file_field"]] = FILE
    return avro.typed(op["name"], command_id=command_id, **fields)


# --- what Front must get ---

def expected_path(op):
    path = op["path"]
    for p in op["params"]:
        if p["in"] == "path":
            path = path.replace("{%s}" % p["name"],
                                urllib.parse.quote(str(p["example"]), safe=""))
    return path


def plain_path(op):
    """Not encoded: as the scripted Front looks it up."""
    return urllib.parse.unquote(expected_path(op))


def expected_query(op, full):
    pairs = []
    for p in chosen_params(op, full):
        if p["in"] != "query":
            continue
        if p["type"] == "map":
            pairs += [(f"{p['name']}[{k}]", text(v)) for k, v in p["example"].items()]
        else:
            pairs.append((p["name"], text(p["example"])))
    if op["paged"] and op["page_max"] and not any(name == "limit" for name, _ in pairs):
        pairs.append(("limit", str(op["page_max"])))
    sorts = any(p["name"] == "sort_order" for p in op["params"])
    if sorts and not any(name == "sort_order" for name, _ in pairs):
        pairs.append(("sort_order", "asc"))
    return sorted(pairs)


def normal_path(path):
    """Percent-encoding in one spelling, segment by segment."""
    return "/".join(urllib.parse.quote(urllib.parse.unquote(s), safe="")
                    for s in path.split("/"))


def canonical(method, path, query, body):
    return (method, normal_path(path), tuple(query),
            json.dumps(body, sort_keys=True) if body not in (None, {}) else None)


def expected(op, full):
    return op["auth"], canonical(op["method"], expected_path(op), expected_query(op, full),
                                 body_of(op, full) if op["body"] else None)


def got(request):
    auth = "channel" if request.headers["authorization"].count(".") == 2 else "token"
    return auth, canonical(request.method, request.path, request.params(), body_got(request))


def body_got(request):
    """Of a form its fields; this one has texts only, and its file is looked at elsewhere."""
    if not multipart.is_form(request):
        return request.json()
    return {p.name: p.data.decode() for p in multipart.parts(request) if p.filename is None}


def answer_of(op):
    """A plausible answer; its status is the first the catalogue lists."""
    status = int(op["statuses"].split(",")[0].split()[0])
    if op["list"]:
        return scripted.Answer(200, {"_pagination": {"next": None},
                                     "_results": [{"id": "row_1"}]})
    if op["binary"]:
        return scripted.Answer(200, b"\x00\x01 not JSON", content_type="image/png")
    return scripted.Answer(status, {"id": "res_1", "name": op["name"]})


class Operations:
    """The test of one way to write commands; the classes below say which."""

    stage_options = {"partitions": 4}

    def write(self, op, full, command_id):
        raise NotImplementedError

    def play(self, full):
        front = self.front
        size = "full" if full else "least"
        for op in operations():
            command_id = f"{size}/{op['name']}"
            front.on(f"{op['method']} {plain_path(op)}", answer_of(op))
            self.stage.send(self.write(op, full, command_id))
        results = {op["name"]: self.stage.answer(f"{size}/{op['name']}", 90)
                   for op in operations()}

        journal = {}
        for request in front.journal:
            journal.setdefault(got(request), []).append(request)
        for op in operations():
            with self.subTest(operation=op["name"], arguments=size):
                want = expected(op, full)
                near = [k for k in journal if k[1][:2] == want[1][:2]]
                self.assertIn(want, journal, f"Front got instead: {near}")
                self.check_request(op, journal[want][0])
                self.check_result(op, results[op["name"]])
        # GET /me is an operation as well, and the connector's own first request.
        self.assertEqual(len(front.requests()), len(operations()) - 1)

    def check_request(self, op, request):
        scheme, _, token = request.headers["authorization"].partition(" ")
        self.assertEqual(scheme, "Bearer")
        if op["auth"] == "channel":
            claims = scripted.jwt_claims(token, stage.APP_SECRET)
            channel = next((p["example"] for p in op["params"] if p["name"] == "channel_id"),
                           None)
            self.assertEqual((claims["iss"], claims["sub"]), (stage.APP_UID, channel))
        else:
            self.assertEqual(token, stage.TOKEN)
        if op["file_required"]:
            self.assertEqual([p for p in multipart.parts(request) if p.filename is not None],
                             [multipart.Part(op["file_field"], FILE["filename"],
                                             FILE["content_type"], FILE["data"])])
        elif request.body:
            self.assertEqual(request.headers["content-type"].partition(";")[0],
                             "application/json")

    def check_result(self, op, result):
        self.assertEqual((result.outcome, result.error), ("SUCCEEDED", None))
        self.assertEqual(result.operation, op["name"])
        self.assertEqual(result.attempts, 1)
        if op["list"]:
            self.assertEqual((result.items, result.pages), (1, 1))
            self.assertEqual(json.loads(result.response)["_results"], [{"id": "row_1"}])
        elif op["binary"]:
            self.assertEqual((result.content, result.content_type),
                             (b"\x00\x01 not JSON", "image/png"))

    def test_least_arguments(self):
        self.play(False)

    def test_full_arguments(self):
        self.play(True)


class GenericAvro(Operations, stage.Play):
    def write(self, op, full, command_id):
        return as_generic(op, full, command_id)


class TypedAvro(Operations, stage.Play):
    def write(self, op, full, command_id):
        return as_typed(op, full, command_id)


class Json(Operations, stage.Play):
    settings = {"commands.format": "json"}

    def write(self, op, full, command_id):
        return as_json(op, full, command_id)


class DryRun(unittest.TestCase):
    def test_a_form_is_shown_without_its_files(self):
        done = stage.run("send", "add-call-recording", "channel_id=cha_1z",
                         "external_call_id=call-1", "recording_type=call",
                         "--attach", f"{__file__};type=audio/mpeg", "--dry-run",
                         "-X", f"front.token={stage.TOKEN}",
                         "-X", "kafka.bootstrap.servers=127.0.0.1:1")
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = json.loads(done.stdout)
        self.assertEqual((shown["method"], shown["body"], shown["class"]), ("POST", None, "D"))
        self.assertEqual(shown["parts"], [
            {"name": "recording_type", "value": "call"},
            {"name": "attachments", "filename": pathlib.Path(__file__).name,
             "content_type": "audio/mpeg", "bytes": pathlib.Path(__file__).stat().st_size}])
        self.assertTrue(shown["url"].endswith("/channels/cha_1z/calls/call-1/recording"))
        self.assertTrue(shown["headers"]["content-type"].startswith("multipart/form-data; "))


class Special(stage.Play):
    """What no row of the catalogue shows."""

    def test_set_null_and_absent_are_different(self):
        self.stage.send(avro.typed("update-conversation", command_id="null-1",
                                   conversation_id="cnv_null", set_null=["assignee_id"]))
        self.assertEqual(self.stage.answer("null-1").outcome, "SUCCEEDED")
        self.assertEqual(self.front.requests()[0].json(), {"assignee_id": None})

    def test_generic_body_is_sent_byte_for_byte(self):
        body = '{ "status" :"open",  "custom_fields":{"é":1.50} }'
        self.stage.ask("update-conversation", {"conversation_id": "cnv_bytes"}, body)
        self.assertEqual(self.front.requests()[0].body, body.encode())

    def test_alias_is_resolved(self):
        result = self.stage.ask("list-responses")
        self.assertEqual(result.operation, avro.catalogue()["aliases"]["list-responses"])

    def test_an_array_repeats_its_query_key(self):
        self.stage.ask("list-conversations", {"q[statuses]": '["open","archived"]'})
        self.assertEqual(self.front.requests()[0].params(),
                         [("limit", "100"), ("q[statuses]", "archived"),
                          ("q[statuses]", "open"), ("sort_order", "asc")])
        self.assertNotIn("[", self.front.requests()[0].query)

    def test_path_values_are_one_segment(self):
        self.stage.ask("get-contact", {"contact_id": "alt:email:a/b c@x.y"})
        sent = self.front.requests()[0].path
        self.assertEqual(sent.count("/"), 2, sent)
        self.assertEqual(urllib.parse.unquote(sent), "/contacts/alt:email:a/b c@x.y")

    def test_raw_call(self):
        self.front.on("/conversations/cnv_9/tags", scripted.Answer(204))
        result = self.stage.ask("call", body={"tag_ids": ["tag_1"]}, method="DELETE",
                                path="/conversations/cnv_9/tags", query={"a": "b c"},
                                call_headers={"X-Own": "yes"})
        self.assertEqual(result.outcome, "SUCCEEDED")
        request = self.front.requests()[0]
        self.assertEqual((request.method, request.params(), request.json()),
                         ("DELETE", [("a", "b c")], {"tag_ids": ["tag_1"]}))
        self.assertEqual(request.headers["x-own"], "yes")

    def test_merged_conversation_is_called_once_more_with_the_new_id(self):
        self.front.on("/conversations/cnv_old", scripted.Answer(
            301, {}, headers={"Location": self.front.url + "/conversations/cnv_new"}))
        result = self.stage.ask("update-conversation", {"conversation_id": "cnv_old"},
                                {"status": "open"})
        self.assertEqual(result.outcome, "SUCCEEDED")
        self.assertEqual([r.path for r in self.front.requests()],
                         ["/conversations/cnv_old", "/conversations/cnv_new"])

    def test_all_operations_of_the_issue_are_there(self):
        self.assertEqual(len(avro.catalogue()["operations"]), 255)


if __name__ == "__main__":
    unittest.main()
