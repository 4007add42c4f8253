#!/usr/bin/env python3
"""Requests as Front sends them, signed by Python's hmac: what the fuzzer mutates, and what the
tests of webhooks compare with. Each line is one request, and what must become of it.

Usage: corpus.py > build/corpus.jsonl   (make does)
"""
import base64
import hashlib
import hmac
import json
import sys

NOW_MS = 1700000000000
# The last key of each is in use; the one before was, until it was changed.
KEYS = {"app": ["app-key-old", "app-key-new"], "rule": ["rule-key-old", "rule-key-new"],
        "channel": ["channel-key-old", "channel-key-new"]}
API = "https://acme.api.frontapp.com"
COMPANY = "cmp_1x"
PUBLIC_URL = "https://hooks.example.com/in"
CNV = "cnv_1f"

# All types of Front's description: what causes them, and what they act on.
TYPES = """
assign teammate teammate; unassign rule -; archive teammate -; reopen rule -; trash teammate -;
restore teammate -; reminder reminder -; comment teammate comment; mention teammate comment;
inbound inboxes message; outbound inboxes message; out_reply inboxes message;
move teammate inboxes; forward teammate message; tag api tag; untag oauth_client tag;
sending_error recipient message; message_bounce_error recipient message;
conversations_merged teammate deleted_conversation_ids; link_added teammate link;
link_removed rule link; custom_field_updated teammate custom_field; macro_triggered teammate -;
topic_identified rule -; ticket_status_update teammate -; call_started teammate -;
call_abandoned teammate -; call_queued teammate -; call_on_hold teammate -;
call_parked teammate -; call_resumed teammate -; call_connected teammate -; call_missed - -;
call_hangup teammate -; call_transferred teammate teammate; call_transcript_added - comment;
call_voicemail_transcript_added - message
"""
# The application webhook's name of a type, where it has one.
LONG = {"inbound": "inbound_received", "outbound": "outbound_sent", "move": "conversation_moved",
        "archive": "conversation_archived", "reopen": "conversation_reopened",
        "trash": "conversation_deleted", "restore": "conversation_restored",
        "reminder": "conversation_snooze_expired", "comment": "new_comment_added",
        "assign": "assignee_changed", "unassign": "assignee_changed", "tag": "tag_added",
        "untag": "tag_removed", "sending_error": "message_delivery_failed",
        "message_bounce_error": "message_delivery_failed"}


def signature(kind, key, timestamp, body):
    key, body = key.encode(), body.encode()
    if kind == "rule":
        mac = hmac.new(key, body, hashlib.sha1)
    else:
        mac = hmac.new(key, timestamp.encode() + b":" + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def party(kind, full):
    ids = {"inboxes": ["inb_1", "inb_2"]}.get(kind, [f"{kind[:3]}_1"])

    def thing(name):
        link = {"self": f"{API}/{kind}s/{name}"}
        more = {"name": "Größe {[\"", "body": "<p>\n</p>", "is_2fa": False} if full else {}
        return {"_links": link, "id": name, **more}
    things = [thing(name) for name in ids]
    if kind == "deleted_conversation_ids":
        data = ["cnv_2", "cnv_3"]
    else:
        data = things if kind == "inboxes" else things[0]
    return {"_meta": {"type": kind}, "data": data}


def event(short, source, target, full):
    cnv = {"_links": {"self": f"{API}/conversations/{CNV}"}, "id": CNV}
    if full:
        cnv |= {"type": "conversation", "subject": "Größe \U0001f600", "status": "assigned",
                "assignee": {"id": "tea_1", "email": "a@example.com"}, "recipient": None,
                "tags": [{"id": "tag_1", "name": "x"}], "is_private": False,
                "created_at": 1453770984.123}
    out = {"_links": {"self": f"{API}/events/evt_{short}"}, "id": f"evt_{short}", "type": short,
           "emitted_at": 1699999998.123, "conversation": cnv}
    if source != "-":
        out["source"] = party(source, full)
    if target != "-":
        out["target"] = party(target, full)
    return out


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def request(name, kind, body, method="POST", challenge=None, signed=None, signer=-1, **expected):
    """`signed`: what is signed when it is not the body. `expected`: verdict, status, answer."""
    timestamp = None if kind == "rule" else str(NOW_MS - 1234)
    made = signature(kind, KEYS[kind][signer], timestamp or "", body if signed is None else signed)
    return {"name": name, "kind": kind, "method": method, "timestamp": timestamp,
            "challenge": challenge, "signature": made, "body": body,
            "verdict": "event", "status": 200, "answer": None, **expected}


def events():
    for row in TYPES.split(";"):
        short, source, target = row.split()
        for full in (True, False):
            size, ev = "full" if full else "preview", event(short, source, target, full)
            what = {"id": ev["id"], "type": short, "key": CNV, "payload": compact(ev)}
            envelope = {"type": LONG.get(short, short), "authorization": {"id": COMPANY},
                        "payload": ev}
            yield request(f"app {short} {size}", "app", compact(envelope), **what,
                          webhook_type=envelope["type"], company=COMPANY)
            yield request(f"rule {short} {size}", "rule", compact(ev), **what)


def callback(name, kind, payload, metadata=None, *, answer, event_id, method="POST", **more):
    body = compact({"type": kind, "authorization": {"id": COMPANY}, "payload": payload,
                    **({"metadata": metadata} if metadata is not None else {})})
    return request(f"channel {name}", "channel", body, method=method, answer=answer, id=event_id,
                   type=f"channel_{kind}", payload=body, company=COMPANY,
                   **{"key": event_id, **more})


def callbacks():
    sent = NOW_MS - 1234
    message = {"_links": {"self": f"{API}/messages/msg_1",
                          "related": {"conversation": f"{API}/conversations/{CNV}?x=/y"}},
               "id": "msg_1", "type": "custom", "text": "hi"}
    reply = {"_links": {"related": {"message_replied_to": f"{API}/messages/msg_7"}}, "text": "away"}
    yield callback("authorization", "authorization", {"channel_id": "cha_1"},
                   answer={"type": "success",
                           "webhook_url": PUBLIC_URL + "/webhooks/front/channel"},
                   event_id=f"authorization:cha_1:{sent}")
    yield callback("addresses", "list_addresses", {"channel_id": "cha_1"},
                   answer={"type": "success", "addresses": [],
                           "pagination": {"next_page_token": None}},
                   event_id=f"list_addresses:cha_1:{sent}")
    yield callback("message", "message", message, key=CNV, event_id="message:msg_1",
                   answer={"type": "success", "external_id": "msg_1",
                           "external_conversation_id": CNV})
    yield callback("message of a conversation we know", "message", message,
                   {"external_conversation_id": "our \"ü\" 7"}, key=CNV, event_id="message:msg_1",
                   answer={"type": "success", "external_id": "msg_1",
                           "external_conversation_id": "our \"ü\" 7"})
    yield callback("message without links", "message", {"id": "msg_2"}, {},
                   event_id="message:msg_2", answer={"type": "success", "external_id": "msg_2"})
    yield callback("autoreply", "message_autoreply", reply,
                   {"external_conversation_id": "ours"},
                   event_id=f"message_autoreply:msg_7:{sent}",
                   answer={"type": "success", "external_id": f"message_autoreply:msg_7:{sent}",
                           "external_conversation_id": "ours"})
    yield callback("imported", "message_imported", message, key=CNV, answer={},
                   event_id="message_imported:msg_1")
    yield callback("delete", "delete", {"channel_id": "cha_1"}, method="DELETE", answer=None,
                   event_id=f"delete:cha_1:{sent}")
    yield callback("new type", "message_seen", message, key=CNV, answer=None,
                   event_id="message_seen:msg_1")
    for name, signed in (("the word undefined", "undefined"), ("nothing", "")):
        yield request(f"channel delete that signs {name}", "channel", "", method="DELETE",
                      signed=signed, id=f"delete:{sent}", type="channel_delete",
                      key=f"delete:{sent}", payload="{}")


def tests_of_the_address():
    body = compact({"type": "sync", "authorization": {"id": COMPANY}})
    for kind in KEYS:
        yield request(f"{kind} sync", kind, body, verdict="nothing")
        yield request(f"{kind} sync with a challenge", kind, body, challenge="c~<1>",
                      verdict="nothing", text="c~<1>")
    yield request("app event with a challenge", "app", compact(event("inbound", "-", "-", False)),
                  challenge="c2", id="evt_inbound", type="inbound", key=CNV, text="c2")


def odd():
    dead = {"verdict": "dead-letter"}
    for kind in KEYS:
        for name, body in (("nothing", ""), ("no JSON", "{\"type\":"), ("an array", "[{}]"),
                           ("a string", "\"x\""), ("an empty object", "{}"),
                           ("no id", compact({"type": "inbound", "payload": {"type": "inbound"}})),
                           ("an id that is no string", compact({"type": "x", "id": 7})),
                           ("deep", "[" * 600), ("deep and closed", "[" * 600 + "]" * 600),
                           ("a lone surrogate", "{\"id\":\"\\ud800\"}"),
                           ("something behind", compact({
                               "id": "evt_1", "type": "message",
                               "payload": {"id": "evt_1", "type": "move"}}) + "x")):
            yield request(f"{kind} {name}", kind, body, **dead)
        yield request(f"{kind} signed with the old key", kind,
                      compact({"id": "evt_1", "type": "message",
                               "payload": {"id": "evt_1", "type": "move"}}), signer=0,
                      id="message:evt_1" if kind == "channel" else "evt_1",
                      **({"answer": {"type": "success", "external_id": "evt_1"}}
                         if kind == "channel" else {}))
    yield request("channel message that names nothing", "channel",
                  compact({"type": "message", "payload": {}}), answer={"type": "success"}, **dead)


def corpus():
    for part in (events, callbacks, tests_of_the_address, odd):
        yield from part()


def text():
    return "".join(compact(line) + "\n" for line in corpus())


if __name__ == "__main__":
    sys.stdout.write(text())
