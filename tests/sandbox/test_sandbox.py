#!/usr/bin/env python3
"""Tests of front-sandbox with nothing but the standard library.

    python3 tests/sandbox/test_sandbox.py [-v]      (FRONT_SANDBOX=path, default build/front-sandbox)
"""
import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("FRONT_SANDBOX", str(ROOT / "build" / "front-sandbox"))
CATALOGUE = json.loads((ROOT / "schemas" / "catalogue.json").read_text())
OPERATIONS = {op["name"]: op for op in CATALOGUE["operations"]}


def wait_for(what, claim, timeout_s=10):
    """Until claim() is true; fails saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {timeout_s} s")
        time.sleep(0.02)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Sandbox:
    """A running front-sandbox."""

    def __init__(self, *args):
        self.process = subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{PROGRAM} {args} did not start")
        self.ready = json.loads(line)
        self.url = self.ready["url"]
        self.port = urllib.parse.urlsplit(self.url).port
        self.conn = None

    def stop(self):
        if self.conn:
            self.conn.close()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self.process.stdout.close()
        return code

    def ask(self, method, path, body=None, token="test", timeout=10, headers=None):
        headers = dict(headers or {})
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if self.conn is None:
            self.conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        self.conn.timeout = timeout
        if self.conn.sock:
            self.conn.sock.settimeout(timeout)
        try:
            self.conn.request(method, path, body, headers)
            reply = self.conn.getresponse()
            return Answer(reply.status, reply.headers, reply.read())
        except (OSError, http.client.HTTPException):
            self.conn.close()
            self.conn = None
            raise

    def get(self, path, **kw):
        return self.ask("GET", path, **kw)

    def own(self, method, what, body=None):
        return self.ask(method, "/_sandbox/" + what, body, token=None)

    def fault(self, **kw):
        assert self.own("POST", "faults", kw).status == 201


class WithSandbox(unittest.TestCase):
    ARGS = ("--no-kafka", "--quota", "off")

    @classmethod
    def setUpClass(cls):
        cls.sb = Sandbox(*cls.ARGS)

    @classmethod
    def tearDownClass(cls):
        assert cls.sb.stop() == 0

    def setUp(self):
        self.assertEqual(self.sb.own("POST", "reset").status, 204)

    def ok(self, method, path, body=None, status=None):
        a = self.sb.ask(method, path, body)
        if status is None:
            self.assertIn(a.status, (200, 201, 202, 204), a.body)
        else:
            self.assertEqual(a.status, status, a.body)
        return a.json if a.body else None


def example_body(fields, full, n):
    """The fields' examples; handles and external ids are made new, as Front keeps them apart."""
    body = {}
    for f in fields:
        if f["type"] == "file" or not (full or f["required"]):
            continue
        if f["name"] == "handles":
            body[f["name"]] = [{"handle": f"walk{n}@example.com", "source": "email"}]
        elif f["type"] == "object":
            inner = example_body(f["fields"], full, n)
            body[f["name"]] = [inner] if f.get("array") else inner
        else:
            body[f["name"]] = f["example"]
    return body


def example_path(op, full):
    path, query = op["path"], []
    for p in op["params"]:
        if p["in"] == "path":
            path = path.replace("{%s}" % p["name"], urllib.parse.quote(str(p["example"]), safe=""))
        elif full or p["required"]:
            value = p["example"]
            if isinstance(value, dict):
                query += [(f"{p['name']}[{k}]", v) for k, v in value.items()]
            else:
                query.append((p["name"], str(value).lower() if value is True else value))
    return path + ("?" + urllib.parse.urlencode(query) if query else "")


def form(fields, files):
    mark = "sandboxboundary"
    out = b""
    for name, value in fields.items():
        out += f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, (filename, kind, data) in files.items():
        out += (f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"'
                f"\r\nContent-Type: {kind}\r\n\r\n").encode() + data + b"\r\n"
    return out + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def jwt(secret, **claims):
    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    text = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps(claims).encode())
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


class AllOperations(WithSandbox):
    def fits(self, fields, value, path):
        """The answer has what the shape requires, in the type it says."""
        self.assertIsInstance(value, dict, path)
        types = {"string": str, "boolean": bool, "long": int, "double": (int, float),
                 "time": (int, float), "object": dict, "shape": dict}
        for f in fields:
            at = f"{path}.{f['name']}"
            if f["name"] not in value:
                self.assertFalse(f.get("required"), f"{at} is missing")
                continue
            v = value[f["name"]]
            if v is None:
                continue
            for item in (v if f.get("array") else [v]):
                if f["type"] in types:
                    self.assertIsInstance(item, types[f["type"]], at)
                if f["type"] == "object":
                    self.fits(f["fields"], item, at)
                if f["type"] == "shape":
                    self.fits(CATALOGUE["shapes"][f["shape"]], item, at)

    def check_answer(self, op, a):
        kind, shape = op["answer"]["kind"], op["answer"].get("shape")
        if kind == "none":
            self.assertEqual(a.body, b"")
        elif kind == "binary":
            self.assertTrue(a.body)
        elif kind == "list":
            self.assertIn("_results", a.json)
            self.assertIn("self", a.json["_links"])
            self.assertTrue(not op["paged"] or "next" in a.json["_pagination"])
            for row in a.json["_results"]:
                self.fits(CATALOGUE["shapes"][shape], row, op["name"])
        else:
            self.fits(CATALOGUE["shapes"][shape], a.json, op["name"])

    def walk(self, full):
        for n, op in enumerate(OPERATIONS.values()):
            with self.subTest(op["name"]):
                body, headers = None, {}
                if op["body"]:
                    body = example_body(op["fields"], full, f"{n}{full}")
                    if op["one_of"] and not full:
                        body[op["one_of"][0]] = ["ada@example.com"]
                if op["file_required"]:
                    body, headers["Content-Type"] = form(
                        body, {"attachments": ("a.mp3", "audio/mpeg", b"sound")})
                token = jwt("s", iss="app", sub="cha_1z", jti="1", exp=time.time() + 10) \
                    if op["auth"] == "channel" else "test"
                a = self.sb.ask(op["method"], example_path(op, full), body, token, headers=headers)
                self.assertEqual(a.status, int(op["statuses"].split(",")[0]), a.body)
                self.check_answer(op, a)
                last = self.sb.own("GET", f"requests?since={n}").json[-1]
                self.assertEqual((last["operation"], last["executed"]), (op["name"], True))

    def test_each_answers_with_least_arguments(self):
        self.walk(False)

    def test_each_answers_with_all_arguments(self):
        self.walk(True)

    def test_lists_have_rows_of_the_seed(self):
        empty = []
        for op in OPERATIONS.values():
            if not op["list"]:
                continue
            path = re.sub(r"_1z", "_1", example_path(op, False))
            a = self.ok("GET", path)
            if not a["_results"]:
                empty.append(op["name"])
        self.assertEqual(empty, ["list-conversation-drafts"])

    def test_all_255(self):
        self.assertEqual(len(OPERATIONS), 255)


class State(WithSandbox):
    def test_contact_lives(self):
        made = self.ok("POST", "/contacts", {
            "name": "Zoe", "handles": [{"handle": "zoe@x.example", "source": "email"}],
            "list_names": ["VIP"]}, 201)
        path = "/contacts/" + made["id"]
        self.assertEqual(made["handles"], [{"handle": "zoe@x.example", "source": "email"}])
        self.assertEqual(made["lists"][0]["name"], "VIP")
        self.ok("PATCH", path, {"description": "new"}, 204)
        self.assertEqual(self.ok("GET", "/contacts/alt%3Aemail%3Azoe%40x.example")["description"], "new")
        self.assertIn(made["id"], [r["id"] for r in self.ok("GET", "/contacts")["_results"]])
        clash = self.sb.ask("POST", "/contacts",
                            {"handles": [{"handle": "zoe@x.example", "source": "email"}]})
        self.assertEqual(clash.status, 409)
        self.assertEqual(clash.json["_error"]["title"], "Conflict")
        self.assertTrue(clash.json["_error"]["message"].endswith("contact(s): " + made["id"]))
        self.ok("DELETE", path, None, 204)
        self.ok("GET", path, None, 404)
        self.ok("DELETE", path, None, 404)

    def test_conversation_changes(self):
        path = "/conversations/cnv_1"
        self.ok("PATCH", path, {"assignee_id": "tea_1", "status": "archived"}, 204)
        cnv = self.ok("GET", path)
        self.assertEqual((cnv["status"], cnv["assignee"]["id"]), ("archived", "tea_1"))
        self.ok("PATCH", path, {"status": "open"}, 204)
        self.assertEqual(self.ok("GET", path)["status"], "assigned")
        self.ok("PUT", path + "/assignee", {"assignee_id": None}, 204)
        self.assertEqual(self.ok("GET", path)["status"], "unassigned")
        self.ok("POST", path + "/tags", {"tag_ids": ["tag_3"]}, 204)
        self.ok("DELETE", path + "/tags", {"tag_ids": ["tag_1"]}, 204)
        self.assertEqual([t["id"] for t in self.ok("GET", path)["tags"]], ["tag_3"])
        tagged = self.ok("GET", "/tags/tag_3/conversations")["_results"]
        self.assertEqual([c["id"] for c in tagged], ["cnv_1"])
        self.ok("PATCH", path, {"inbox_id": "inb_3"}, 204)
        self.assertEqual([i["id"] for i in self.ok("GET", path + "/inboxes")["_results"]], ["inb_3"])
        types = [e["type"] for e in self.ok("GET", path + "/events")["_results"]]
        self.assertEqual(types[:3], ["move", "untag", "tag"])
        self.ok("DELETE", path, None, 400)
        self.ok("PATCH", path, {"status": "deleted"}, 204)
        trashed = self.ok("GET", "/conversations?q%5Bstatuses%5D=trashed")["_results"]
        self.assertEqual([c["id"] for c in trashed], ["cnv_1"])
        self.ok("DELETE", path, None, 204)
        self.ok("GET", path, None, 404)

    def test_comment_and_reply(self):
        made = self.ok("POST", "/conversations/cnv_2/comments",
                       {"author_id": "alt:email:tea_2@sandbox.example", "body": "hé ✓"}, 201)
        self.assertEqual((made["author"]["id"], made["body"]), ("tea_2", "hé ✓"))
        again = self.ok("POST", f"/comments/{made['id']}/replies", {"body": "yes"}, 201)
        self.assertTrue(again["_links"]["related"]["comment_replied_to"].endswith(made["id"]))
        self.assertEqual(self.ok("PATCH", f"/comments/{made['id']}/", {"body": "b"})["body"], "b")
        rows = self.ok("GET", "/conversations/cnv_2/comments")["_results"]
        self.assertEqual([r["id"] for r in rows[:2]], [again["id"], made["id"]])

    def test_messages(self):
        sent = self.ok("POST", "/channels/cha_1/messages",
                       {"to": ["crd_1@customer.example"], "body": "Hi", "subject": "S",
                        "options": {"archive": False, "tag_ids": ["tag_1"]}}, 202)
        self.assertEqual(sent["status"], "accepted")
        msg = self.ok("GET", "/messages/alt:uid:" + sent["message_uid"])
        self.assertEqual((msg["body"], msg["message_uid"]), ("Hi", sent["message_uid"]))
        cnv = urllib.parse.urlsplit(msg["_links"]["related"]["conversation"]).path
        self.assertEqual(self.ok("GET", cnv)["tags"][0]["id"], "tag_1")
        reply = self.ok("POST", cnv + "/messages", {"body": "Again"}, 202)
        rows = self.ok("GET", cnv + "/messages")["_results"]
        self.assertEqual([r["message_uid"] for r in rows],
                         [reply["message_uid"], sent["message_uid"]])
        imported = {"sender": {"handle": "a@b.c"}, "to": ["d@e.f"], "body": "old",
                    "external_id": "x1", "created_at": 1700000000, "metadata": {"is_inbound": True}}
        first = self.ok("POST", "/inboxes/inb_1/imported_messages", imported, 202)
        second = self.ok("POST", "/inboxes/inb_1/imported_messages", imported, 202)
        self.assertEqual(first["message_uid"], second["message_uid"])

    def test_drafts_need_their_version(self):
        made = self.ok("POST", "/conversations/cnv_1/drafts",
                       {"body": "d", "author_id": "tea_1", "channel_id": "cha_1"}, 200)
        path = "/drafts/" + made["id"]
        edited = self.ok("PATCH", path + "/", {"body": "e", "channel_id": "cha_1", "version": "1"})
        self.assertEqual((edited["body"], edited["version"]), ("e", "2"))
        self.ok("DELETE", path, {"version": "1"}, 409)
        self.ok("DELETE", path, {"version": "2"}, 204)

    def test_lists_without_id(self):
        self.ok("POST", "/contact_lists", {"name": "New"}, 204)
        rows = self.ok("GET", "/contact_lists")["_results"]
        self.assertEqual(rows[0]["name"], "New")
        path = f"/contact_lists/{rows[0]['id']}/contacts"
        self.ok("POST", path, {"contact_ids": ["alt:email:crd_2@customer.example"]}, 204)
        self.assertEqual([r["id"] for r in self.ok("GET", path)["_results"]], ["crd_2"])
        self.ok("DELETE", path, {"contact_ids": ["crd_2"]}, 204)
        self.assertEqual(self.ok("GET", path)["_results"], [])

    def test_files(self):
        body, kind = form({"body": "see", "author_id": "tea_1"},
                          {"attachments[0]": ("a.bin", "application/x-a", b"\x00\r\n--\xff")})
        a = self.sb.ask("POST", "/conversations/cnv_1/comments", body, headers={"Content-Type": kind})
        self.assertEqual(a.status, 201, a.body)
        file = a.json["attachments"][0]
        self.assertEqual((file["filename"], file["size"]), ("a.bin", 6))
        got = self.sb.get("/download/" + file["id"])
        self.assertEqual((got.body, got.headers["Content-Type"]), (b"\x00\r\n--\xff", "application/x-a"))
        body, kind = form({"name": "F", "handles[0][handle]": "f@x.y", "handles[0][source]": "email"},
                          {"avatar": ("a.png", "image/png", b"png")})
        a = self.sb.ask("POST", "/contacts", body, headers={"Content-Type": kind})
        self.assertEqual(a.status, 201, a.body)
        self.assertTrue(a.json["avatar_url"])

    def test_merge_contacts(self):
        merged = self.ok("POST", "/contacts/merge",
                         {"target_contact_id": "crd_1", "contact_ids": ["crd_1", "crd_2"]}, 200)
        self.assertEqual(len(merged["handles"]), 2)
        self.ok("GET", "/contacts/crd_2", None, 404)

    def test_errors_are_worded_like_front(self):
        a = self.sb.ask("POST", "/conversations/cnv_1/comments", {"author_id": 7})
        self.assertEqual(a.status, 400)
        self.assertEqual(a.json["_error"]["details"],
                         ["body.author_id: should be of type string, not integer",
                          "body.body: should be present"])
        for method, path, body, status in (
                ("GET", "/conversations/cnv_zzz", None, 404), ("GET", "/nowhere", None, 404),
                ("PATCH", "/conversations/cnv_1", b"{", 400), ("GET", "/contacts?limit=x", None, 400),
                ("GET", "/contacts?page_token=x", None, 400),
                ("PATCH", "/conversations/cnv_1", {"assignee_id": "tea_none"}, 404)):
            with self.subTest(path):
                a = self.sb.ask(method, path, body)
                self.assertEqual((a.status, a.json["_error"]["status"]), (status, status))
        self.assertNotIn("cnv_zzz", str(self.ok("GET", "/conversations")))

    def test_tokens(self):
        for token in (None, "invalid"):
            a = self.sb.get("/me", token=token)
            self.assertEqual((a.status, a.json["_error"]["title"]), (401, "Unauthenticated"))
        self.assertEqual(self.ok("GET", "/me")["id"], "cmp_sandbox")


class Paging(WithSandbox):
    ARGS = ("--no-kafka", "--quota", "off", "--fill", "130")

    def all_ids(self, path):
        ids, pages = [], []
        while path:
            page = self.ok("GET", path)
            pages.append(len(page["_results"]))
            ids += [r["id"] for r in page["_results"]]
            following = page["_pagination"]["next"]
            path = following and following[len(self.sb.url):]
        return ids, pages

    def test_pages(self):
        ids, pages = self.all_ids("/contacts?limit=40")
        self.assertEqual(pages, [40, 40, 40, 10])
        self.assertEqual(len(set(ids)), 130)
        self.assertEqual(self.all_ids("/contacts?limit=1000")[1], [100, 30])
        self.assertEqual(self.all_ids("/tags")[1], [50, 50, 30])
        up, _ = self.all_ids("/contacts?limit=100&sort_order=asc")
        self.assertEqual(up, ids[::-1])

    def test_a_growing_list_shifts_nothing(self):
        first = self.ok("GET", "/conversations?limit=100")
        self.ok("POST", "/channels/cha_1/messages", {"to": ["x@y.z"], "body": "b"}, 202)
        rest = self.ok("GET", first["_pagination"]["next"][len(self.sb.url):])
        ids = [r["id"] for r in first["_results"] + rest["_results"]]
        self.assertEqual((len(ids), len(set(ids))), (130, 130))

    def test_events_come_by_fifteen(self):
        for n in range(20):
            self.ok("POST", "/conversations/cnv_5/tags", {"tag_ids": [f"tag_{n + 2}"]}, 204)
        ids, pages = self.all_ids("/events?limit=100")
        self.assertEqual(pages, [15, 8])
        self.assertEqual(len(set(ids)), 23)
        up, pages = self.all_ids("/events?q%5Btypes%5D=tag&sort_order=asc")
        self.assertEqual((up, pages), (ids[19::-1], [15, 5]))
        self.assertEqual(self.all_ids("/events?sort_order=asc&limit=23")[1], [15, 8])
        for n in range(7):  # 30 events: the second page is full and the last one
            self.ok("POST", "/conversations/cnv_5/tags", {"tag_ids": [f"tag_{n + 30}"]}, 204)
        self.assertEqual(self.all_ids("/events")[1], [15, 15])
        self.assertEqual(self.all_ids("/conversations/cnv_5/events?limit=100")[1], [27])
        self.assertEqual(self.all_ids("/conversations/cnv_5/events?limit=20")[1], [20, 7])


class Events(WithSandbox):
    """Each change leaves its event: type, source and target as Front has them."""

    def new_events(self, known):
        rows = self.ok("GET", "/events?sort_order=asc&limit=15&q[after]=%.3f" % known)["_results"]
        return [r for r in rows if r["id"] not in ("evt_1", "evt_2", "evt_3")]

    def left_by(self, method, path, body=None):
        self.assertEqual(self.sb.own("POST", "reset").status, 204)
        self.ok(method, path, body)
        return self.new_events(0)

    @staticmethod
    def side(part):
        if part is None:
            return None
        data = part["data"]
        if isinstance(data, list):
            return part["_meta"]["type"], [d["id"] for d in data]
        return part["_meta"]["type"], data and data["id"]

    def test_changes_by_calls(self):
        cnv, api = "/conversations/cnv_1", ("api", None)
        inb = ("inboxes", ["inb_2"])
        for method, path, body, wanted in (
                ("PUT", cnv + "/assignee", {"assignee_id": "tea_2"},
                 [("assign", api, ("teammate", "tea_2"))]),
                ("PUT", "/conversations/cnv_2/assignee", {"assignee_id": None},
                 [("unassign", api, None)]),
                ("PATCH", cnv, {"status": "archived"}, [("archive", api, None)]),
                ("PATCH", cnv, {"status": "deleted"}, [("trash", api, None)]),
                ("PATCH", cnv, {"inbox_id": "inb_3"}, [("move", api, ("inboxes", ["inb_3"]))]),
                ("PATCH", cnv, {"tag_ids": ["tag_2", "tag_3"]},
                 [("untag", api, ("tag", "tag_1")), ("tag", api, ("tag", "tag_2")),
                  ("tag", api, ("tag", "tag_3"))]),
                ("PATCH", cnv, {"tag_ids": ["tag_1"]}, []),
                ("PATCH", cnv, {"status_id": "sts_2"}, [("ticket_status_update", api, None)]),
                ("PATCH", cnv, {"custom_fields": {"Custom field 3": "x"}},
                 [("custom_field_updated", api, ("custom_field", "fld_3"))]),
                ("POST", cnv + "/tags", {"tag_ids": ["tag_2"]}, [("tag", api, ("tag", "tag_2"))]),
                ("DELETE", cnv + "/tags", {"tag_ids": ["tag_1"]}, [("untag", api, ("tag", "tag_1"))]),
                ("POST", cnv + "/links", {"link_ids": ["top_2"]},
                 [("link_added", api, ("link", "top_2"))]),
                ("DELETE", cnv + "/links", {"link_ids": ["top_1"]},
                 [("link_removed", api, ("link", "top_1"))]),
                ("POST", cnv + "/comments", {"body": "b"}, [("comment", api, ("comment", None))]),
                ("POST", cnv + "/comments", {"body": "@tea_3!", "author_id": "tea_2"},
                 [("comment", ("teammate", "tea_2"), ("comment", None)),
                  ("mention", ("teammate", "tea_2"), ("comment", None))]),
                ("POST", cnv + "/messages", {"body": "b", "options": {"tag_ids": ["tag_3"]}},
                 [("out_reply", inb, ("message", None)), ("tag", api, ("tag", "tag_3")),
                  ("archive", api, None)]),
                ("POST", "/channels/cha_2/messages",
                 {"body": "b", "to": ["a@b.c"], "options": {"archive": False}},
                 [("outbound", inb, ("message", None))]),
                ("POST", "/channels/cha_2/incoming_messages",
                 {"body": "b", "sender": {"handle": "a@b.c"}}, [("inbound", inb, ("message", None))])):
            with self.subTest(f"{method} {path} {body}"):
                rows = self.left_by(method, path, body)
                seen = [(r["type"], self.side(r["source"]), self.side(r["target"])) for r in rows]
                for one, want in zip(seen, wanted):
                    if want[2] and want[2][1] is None:  # a new id
                        self.assertEqual((one[0], one[1], one[2][0]), (*want[:2], want[2][0]))
                    else:
                        self.assertEqual(one, want)
                self.assertEqual(len(seen), len(wanted))
                if wanted and path.startswith("/conv"):
                    self.assertEqual(rows[0]["conversation"]["id"], path.split("/")[2])

    def test_reopen_and_restore(self):
        path = "/conversations/cnv_1"
        for status in ("archived", "open", "deleted", "open"):
            self.ok("PATCH", path, {"status": status}, 204)
        self.assertEqual([r["type"] for r in self.new_events(0)],
                         ["archive", "reopen", "trash", "restore"])

    def test_filters_and_one_event(self):
        self.ok("POST", "/conversations/cnv_2/tags", {"tag_ids": ["tag_1"]}, 204)
        first = self.new_events(0)[0]
        at = first["emitted_at"]
        wait_for("the next millisecond", lambda: time.time() > at + 0.002)
        self.ok("POST", "/conversations/cnv_3/tags", {"tag_ids": ["tag_2"]}, 204)
        second = self.new_events(0)[1]
        for query, ids in (("q[after]=%.3f" % (at + 0.001), [second["id"]]),
                           ("q[before]=%.3f&q[types]=tag" % (second["emitted_at"] - 0.001), [first["id"]]),
                           ("q[types][]=tag&q[types][]=untag", [second["id"], first["id"]]),
                           ("q[types]=tag&q[inboxes]=inb_1", [first["id"]]),
                           ("q[types]=untag", [])):
            rows = self.ok("GET", "/events?" + query)["_results"]
            self.assertEqual([r["id"] for r in rows], ids, query)
        self.assertEqual(self.ok("GET", "/events/" + first["id"]), first)
        self.assertRegex(first["id"], "^evt_[0-9a-z]{6}$")
        self.ok("GET", "/events/evt_zzzzzz", None, 404)
        for bad in ("q[after]=yesterday", "sort_by=id", "sort_order=up", "page_token=x"):
            self.ok("GET", "/events?" + bad, None, 400)

    def test_what_is_gone_is_still_named(self):
        self.ok("POST", "/conversations/cnv_1/tags", {"tag_ids": ["tag_2"]}, 204)
        self.ok("DELETE", "/tags/tag_2", None, 204)
        self.ok("PATCH", "/conversations/cnv_1", {"status": "deleted"}, 204)
        self.ok("DELETE", "/conversations/cnv_1", None, 204)
        row = self.new_events(0)[0]
        self.assertEqual((row["target"]["data"]["id"], row["conversation"]["id"]), ("tag_2", "cnv_1"))


class Magic(WithSandbox):
    ARGS = ("--no-kafka", "--quota", "off", "--slow-ms", "150")

    def patch(self, which, **kw):
        return self.sb.ask("PATCH", "/conversations/cnv_" + which, {"status": "archived"}, **kw)

    def executed(self):
        return [r["executed"] for r in self.sb.own("GET", "requests").json]

    def test_429_twice_then_works(self):
        a = self.patch("429")
        self.assertEqual((a.status, a.headers["retry-after"]), (429, "1"))
        self.assertEqual([self.patch("429").status for _ in range(2)], [429, 204])
        self.assertEqual(self.executed(), [False, False, True])

    def test_500(self):
        self.assertEqual([self.patch("500").status for _ in range(3)], [500] * 3)
        self.assertEqual([self.patch("500_once").status for _ in range(2)], [500, 204])

    def test_404_and_301(self):
        self.assertEqual(self.patch("404").status, 404)
        a = self.patch("301")
        self.assertEqual(a.status, 301)
        self.assertTrue(a.headers["Location"].endswith("/conversations/cnv_1"))
        a = self.sb.ask("POST", "/conversations/cnv_301/comments", {"body": "b"})
        self.assertTrue(a.headers["Location"].endswith("/conversations/cnv_1/comments"))

    def test_slow(self):
        before = time.monotonic()
        self.assertEqual(self.patch("slow").status, 204)
        self.assertGreater(time.monotonic() - before, 0.14)

    def test_timeout_executes_and_never_answers(self):
        with self.assertRaises(TimeoutError):
            self.sb.ask("POST", "/conversations/cnv_timeout/comments", {"body": "b"}, timeout=0.3)
        row = self.sb.own("GET", "requests").json[0]
        self.assertEqual((row["executed"], row["status"], row["fault"]), (True, None, "timeout"))
        self.assertTrue(self.ok("GET", "/comments/" + row["made_id"])["body"])

    def test_reset(self):
        with self.assertRaises(ConnectionResetError):
            self.patch("reset")
        self.assertEqual(self.executed(), [False])

    def test_in_the_body_too(self):
        body = {"body": "b", "author_id": "tea_429"}
        codes = [self.sb.ask("POST", "/conversations/cnv_1/comments", body).status for _ in range(3)]
        self.assertEqual(codes, [429, 429, 201])

    def test_are_in_no_list(self):
        self.patch("slow")
        self.assertNotIn("cnv_slow", str(self.ok("GET", "/conversations")))


class Faults(WithSandbox):
    PATH = "/conversations/cnv_1/comments"

    def post(self, **kw):
        return self.sb.ask("POST", self.PATH, {"body": "b"}, **kw)

    def count(self):
        return len(self.ok("GET", self.PATH)["_results"]) - 1

    def test_status_before_and_after(self):
        self.sb.fault(operation="add-comment", status=503, count=1)
        self.assertEqual(([self.post().status for _ in range(2)], self.count()), ([503, 201], 1))
        self.sb.fault(operation="add-comment", status=500, count=1, after_execution=True)
        self.assertEqual((self.post().status, self.count()), (500, 2))

    def test_other_operations_are_spared(self):
        self.sb.fault(operation="update-conversation", status=500)
        self.assertEqual(self.post().status, 201)

    def test_connection_faults(self):
        for fault, error, executed in (
                ("reset", ConnectionResetError, 0), ("timeout", TimeoutError, 0),
                ("garbage_head", http.client.HTTPException, 0), ("half", http.client.HTTPException, 1)):
            with self.subTest(fault):
                before = self.count()
                self.sb.fault(operation="add-comment", fault=fault, count=1)
                with self.assertRaises(error):
                    self.post(timeout=0.3)
                self.assertEqual(self.count() - before, executed)

    def test_half_of_nothing(self):
        self.sb.fault(operation="update-conversation", fault="half", count=1)
        with self.assertRaises(http.client.HTTPException):
            self.sb.ask("PATCH", "/conversations/cnv_1", {"status": "archived"})
        self.assertEqual(self.ok("GET", "/conversations/cnv_1")["status"], "archived")

    def test_bodies(self):
        self.sb.fault(operation="add-comment", fault="garbage", count=1)
        a = self.post()
        self.assertEqual(a.status, 200)
        self.assertRaises(ValueError, lambda: a.json)
        self.sb.fault(operation="add-comment", fault="large", count=1)
        self.assertEqual(len(self.post().body), 20 << 20)
        self.sb.fault(operation="add-comment", fault="503html", count=1)
        a = self.post()
        self.assertEqual((a.status, a.headers["Content-Type"]), (503, "text/html"))
        self.assertEqual(self.count(), 2)

    def test_slow_match_probability_and_clear(self):
        self.sb.fault(fault="slow", delay_ms=120, match="cnv_1/comments", count=1)
        before = time.monotonic()
        self.assertEqual(self.post().status, 201)
        self.assertGreater(time.monotonic() - before, 0.1)
        self.sb.fault(status=500, probability=0.5)
        codes = {self.post().status for _ in range(60)}
        self.assertEqual(codes, {201, 500})
        self.sb.own("DELETE", "faults")
        self.assertEqual({self.post().status for _ in range(20)}, {201})
        self.assertEqual(self.sb.own("POST", "faults", {"fault": "no"}).status, 400)

    def test_clients_that_leave(self):
        self.sb.fault(operation="add-comment", fault="timeout")
        for _ in range(30):
            s = socket.create_connection(("127.0.0.1", self.sb.port))
            s.sendall(b"POST " + self.PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x"
                      b"\r\nContent-Length: 12\r\n\r\n{\"body\":\"b\"}")
            s.close()
        wait_for("their requests", lambda: len(self.sb.own("GET", "requests").json) == 30)
        wait_for("end of their connections",
                 lambda: len(os.listdir(f"/proc/{self.sb.process.pid}/fd")) < 25)


class Quota(unittest.TestCase):
    def burst(self, kind, n, *args):
        sb = Sandbox("--no-kafka", "--quota", kind, *args)
        try:
            answers = [sb.get("/me") for _ in range(n)]
            wait = answers[-1].headers.get("retry-after")
            wait_for("room in the window", lambda: sb.get("/me").status == 200, 3)
            return answers, wait
        finally:
            sb.stop()

    def test_each_window(self):
        for kind in ("fixed", "sliding", "bucket"):
            with self.subTest(kind):
                answers, wait = self.burst(f"{kind}:10", 12, "--speed", "60")
                codes = [a.status for a in answers]
                self.assertEqual(codes[:10], [200] * 10)
                self.assertEqual(codes[-1], 429)
                self.assertEqual(wait, "1")
                left = [int(a.headers["x-ratelimit-remaining"]) for a in answers[:10]]
                self.assertEqual(left, sorted(left, reverse=True))
                self.assertEqual(answers[0].headers["x-ratelimit-limit"], "10")
                reset = float(answers[-1].headers["x-ratelimit-reset"])
                self.assertLess(abs(reset - time.time()), 3)
                self.assertEqual(answers[-1].json["_error"]["title"], "Too many requests")

    def test_off_has_no_headers(self):
        answers, _ = self.burst("off", 1)
        self.assertNotIn("x-ratelimit-limit", answers[0].headers)

    def test_guard_of_one_resource(self):
        sb = Sandbox("--no-kafka", "--quota", "fixed:1000")
        try:
            def patch(n):
                return sb.ask("PATCH", f"/conversations/cnv_{n}", {"status": "archived"})
            answers = [patch(1) for _ in range(6)]
            self.assertEqual([a.status for a in answers], [204] * 5 + [429])
            self.assertEqual(answers[-1].headers["x-front-tier"], "2")
            self.assertEqual(patch(2).status, 204)
        finally:
            sb.stop()


class Journal(WithSandbox):
    def assert_once(self, *args):
        return subprocess.run([PROGRAM, "assert-once", "--url", self.sb.url, *args],
                              capture_output=True, text=True, timeout=10)

    def test_entries(self):
        self.ok("POST", "/conversations/cnv_1/comments?x=1", {"body": "b"}, 201)
        self.ok("POST", "/conversations/cnv_1/comments", {"body": "b" * 5000}, 201)
        rows = self.sb.own("GET", "requests").json
        self.assertEqual([r["query"] for r in rows], ["x=1", ""])
        self.assertEqual((rows[0]["body"], rows[0]["ids"], rows[0]["class"]),
                         ({"body": "b"}, ["cnv_1"], "C"))
        self.assertEqual(len(rows[1]["body_sha256"]), 64)
        since = self.sb.own("GET", f"requests?since={rows[0]['n']}").json
        self.assertEqual([r["n"] for r in since], [rows[1]["n"]])
        stats = self.sb.own("GET", "stats").json
        self.assertEqual(stats["operations"]["add-comment"], 2)
        self.sb.own("POST", "requests/clear")
        self.assertEqual(self.sb.own("GET", "requests").json, [])

    def test_assert_once(self):
        for n in range(2):
            self.ok("POST", "/conversations/cnv_1/comments", {"body": f"b{n}"}, 201)
            self.ok("PATCH", "/conversations/cnv_1", {"status": "archived"}, 204)
        self.assertEqual(self.assert_once().returncode, 0)
        self.ok("POST", "/conversations/cnv_1/comments", {"body": "b1"}, 201)
        found = self.assert_once()
        self.assertEqual(found.returncode, 1)
        self.assertEqual(json.loads(found.stdout)["operation"], "add-comment")
        self.assertEqual(self.assert_once("--allow-identical=b1").returncode, 0)
        self.assertEqual(self.assert_once("--allow-identical").returncode, 0)

    def test_refused_calls_do_not_count(self):
        self.sb.fault(operation="add-comment", status=500, count=1)
        for _ in range(2):
            self.sb.ask("POST", "/conversations/cnv_1/comments", {"body": "b"})
        self.assertEqual(self.assert_once().returncode, 0)


class Options(unittest.TestCase):
    def test_state_survives(self):
        def events_of(sb):
            return [(r["id"], r["type"], r["emitted_at"], r["source"]["_meta"]["type"],
                     r["target"] and r["target"]["data"]["id"], r["conversation"]["id"])
                    for r in sb.get("/events").json["_results"]]
        with tempfile.TemporaryDirectory() as folder:
            args = ("--no-kafka", "--quota", "off", "--state", folder + "/s.json")
            sb = Sandbox(*args)
            made = sb.ask("POST", "/conversations/cnv_1/comments", {"body": "kept"}).json
            self.assertEqual(sb.own("POST", "save").status, 204)
            events = events_of(sb)
            sb.stop()
            sb = Sandbox(*args)
            try:
                self.assertEqual(sb.get("/comments/" + made["id"]).json["body"], "kept")
                rows = sb.get("/conversations/cnv_1/comments").json["_results"]
                self.assertEqual(rows[0]["id"], made["id"])
                self.assertEqual(events_of(sb), events)
                more = sb.ask("PATCH", "/conversations/cnv_1", {"status": "archived"})
                self.assertEqual((more.status, len(events_of(sb))), (204, len(events) + 1))
                self.assertEqual(sb.get("/contacts/alt:email:crd_1@customer.example").json["id"], "crd_1")
                self.assertEqual(sb.get("/download/fil_1").body, b"Sandbox attachment fil_1\n")
            finally:
                sb.stop()

    def test_seed_repeats(self):
        seen = []
        for seed in ("7", "7", "8"):
            sb = Sandbox("--no-kafka", "--quota", "off", "--seed", seed)
            seen.append(sb.ask("POST", "/tags", {"name": "t"}).json["id"])
            sb.stop()
        self.assertEqual(seen[0], seen[1])
        self.assertNotEqual(seen[0], seen[2])

    def test_message_is_built_later(self):
        sb = Sandbox("--no-kafka", "--quota", "off", "--build-ms", "300")
        try:
            uid = sb.ask("POST", "/channels/cha_1/messages",
                         {"to": ["a@b.c"], "body": "x"}).json["message_uid"]
            self.assertEqual(sb.get("/messages/alt:uid:" + uid).status, 404)
            wait_for("message", lambda: sb.get("/messages/alt:uid:" + uid).status == 200)
        finally:
            sb.stop()

    def test_tokens(self):
        sb = Sandbox("--no-kafka", "--quota", "off", "--token", "t0k", "--app-secret", "key")
        try:
            self.assertEqual([sb.get("/me", token=t).status for t in ("t0k", "other")], [200, 401])
            path, body = "/channels/cha_1/inbound_messages", {
                "sender": {"handle": "a"}, "body": "b",
                "metadata": {"external_id": "e", "external_conversation_id": "c"}}
            claims = {"iss": "app", "sub": "cha_1", "jti": "1", "exp": int(time.time()) + 10}
            for token, status in ((jwt("key", **claims), 202), (jwt("bad", **claims), 401),
                                  (jwt("key", **{**claims, "exp": 1}), 401), ("t0k", 401),
                                  (jwt("key", **{**claims, "sub": "cha_2"}), 401)):
                self.assertEqual(sb.ask("POST", path, body, token).status, status)
        finally:
            sb.stop()

    def test_mistakes_are_said(self):
        for args in (["--quota", "odd"], ["--port", "x"], ["--state", "/dev/null/x", "word"],
                     ["--no-such"]):
            run = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=10)
            self.assertEqual(run.returncode, 2)
            self.assertIn("front-sandbox", run.stderr)

    def test_mock_kafka_listens(self):
        before = time.monotonic()
        sb = Sandbox("--topics", "a:1,b:2")
        self.assertLess(time.monotonic() - before, 3)
        host, port = sb.ready["bootstrap"].split(",")[0].rsplit(":", 1)
        socket.create_connection((host, int(port)), 2).close()
        self.assertEqual(sb.stop(), 0)


class Registry(unittest.TestCase):
    """The schema registry: Confluent's API, as much as clients use."""

    STRING, OTHER = '{"type": "string"}', '{"type":"record","name":"r","fields":[]}'

    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox("--no-kafka")
        cls.addClassCleanup(cls.sandbox.stop)

    def ask(self, method, path, schema=None, **more):
        answer = self.sandbox.ask(method, "/_sandbox/registry" + path,
                                  None if schema is None else {"schema": schema, **more})
        return answer.status, answer.json

    def wrong(self, code, answered):
        self.assertEqual((answered[0], answered[1]["error_code"]), (code // 100, code))

    def test_its_address_is_told(self):
        self.assertEqual(self.sandbox.ready["registry"], self.sandbox.url + "/_sandbox/registry")

    def test_a_schema_has_one_id_wherever_it_is(self):
        first = self.ask("POST", "/subjects/a%2Fb/versions", self.STRING)
        self.assertEqual(first[0], 200)
        number = first[1]["id"]
        for subject in ("a%2Fb", "other"):  # written otherwise it is the same
            self.assertEqual(self.ask("POST", f"/subjects/{subject}/versions",
                                      '{ "type" :"string"}'), (200, {"id": number}))
        self.assertEqual(self.ask("GET", f"/schemas/ids/{number}"), (200, {"schema": self.STRING}))
        second = self.ask("POST", "/subjects/other/versions", self.OTHER)[1]["id"]
        self.assertNotEqual(second, number)
        self.assertEqual(self.ask("GET", "/subjects/other/versions"), (200, [1, 2]))
        entry = {"subject": "other", "id": second, "version": 2, "schema": self.OTHER}
        for which in ("latest", "2"):
            self.assertEqual(self.ask("GET", f"/subjects/other/versions/{which}"), (200, entry))
        self.assertEqual(self.ask("POST", "/subjects/other?normalize=true", self.OTHER),
                         (200, entry))
        self.assertLessEqual({"a/b", "other"}, set(self.ask("GET", "/subjects")[1]))

    def test_what_there_is_not(self):
        self.ask("POST", "/subjects/there/versions", self.STRING)
        self.wrong(40401, self.ask("POST", "/subjects/none", self.STRING))
        self.wrong(40401, self.ask("GET", "/subjects/none/versions"))
        self.wrong(40401, self.ask("GET", "/subjects/none/versions/latest"))
        self.wrong(40402, self.ask("GET", "/subjects/there/versions/9"))
        self.wrong(40403, self.ask("POST", "/subjects/there", '"bytes"'))
        for number in ("999", "0", "-1", "x"):
            self.wrong(40403, self.ask("GET", f"/schemas/ids/{number}"))
        self.assertEqual(self.ask("GET", "/nothing"),
                         (404, {"error_code": 404, "message": "HTTP 404 Not Found"}))

    def test_what_is_no_avro(self):
        for schema in ("no JSON", '{"type": "record"}', '"nothing"'):
            self.wrong(42201, self.ask("POST", "/subjects/bad/versions", schema))
        self.wrong(42201, self.ask("POST", "/subjects/bad/versions", self.STRING,
                                   schemaType="PROTOBUF"))
        self.wrong(42201, self.ask("POST", "/subjects/bad/versions", self.STRING,
                                   references=[{"name": "x"}]))
        self.assertNotIn("bad", self.ask("GET", "/subjects")[1])

    def test_a_reset_keeps_it(self):
        number = self.ask("POST", "/subjects/kept/versions", self.STRING)[1]["id"]
        self.assertEqual(self.sandbox.ask("POST", "/_sandbox/reset").status, 204)
        self.assertEqual(self.ask("GET", f"/schemas/ids/{number}")[0], 200)

    def test_off(self):
        sandbox = Sandbox("--no-kafka", "--no-registry")
        self.addCleanup(sandbox.stop)
        self.assertIsNone(sandbox.ready["registry"])
        self.assertEqual(sandbox.ask("GET", "/_sandbox/registry/subjects").status, 404)


if __name__ == "__main__":
    unittest.main()
