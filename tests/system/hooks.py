"""Front's side of webhooks, independent of ours: signs with hmac, sends, and repeats or does not,
as Front would. And a balancer of a few lines."""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import socket
import socketserver
import threading
import time

APP, RULE, CHANNEL = "/webhooks/front/app", "/webhooks/front/rule", "/webhooks/front/channel"
KEYS = {APP: "app-key-of-the-tests", RULE: "rule-key-of-the-tests",
        CHANNEL: "channel-key-of-the-tests"}
COMPANY = "cmp_55c8c149"
FRONT_PATIENCE_S = 5


def sign(path, body, timestamp=None, key=None):
    """The headers that make `body` Front's."""
    key = (key or KEYS[path]).encode()
    if path == RULE:
        digest = hmac.new(key, body, hashlib.sha1).digest()
        return {"X-Front-Signature": base64.b64encode(digest).decode()}
    timestamp = str(int(time.time() * 1000) if timestamp is None else timestamp)
    digest = hmac.new(key, timestamp.encode() + b":" + body, hashlib.sha256).digest()
    return {"X-Front-Signature": base64.b64encode(digest).decode(),
            "X-Front-Request-Timestamp": timestamp}


def event(event_id, conversation="cnv_1", origin="api", preview=False):
    """An event object as Front writes it."""
    made = {
        "_links": {"self": f"https://x.api.frontapp.com/events/{event_id}"}, "id": event_id,
        "type": "inbound", "emitted_at": round(time.time() - 1, 3),
        "conversation": {"_links": {"self": "https://x"}, "id": conversation}}
    if preview:
        return made
    made["conversation"] |= {
        "subject": "Où est ma commande ?", "status": "unassigned", "status_id": "sts_5x",
        "is_private": False, "created_at": 1453770984.123, "assignee": None,
        "tags": [{"id": "tag_13", "name": "robots"}, {"id": "tag_14"}]}
    made["source"] = {"_meta": {"type": origin}, "data": [{"id": "inb_55"}, {"id": "inb_56"}]}
    made["target"] = {"_meta": {"type": "message"}, "data": {"id": "msg_1q15qmtq", "body": "hi"}}
    return made


def envelope(payload, kind="inbound_received"):
    return {"type": kind, "authorization": {"id": COMPANY}, "payload": payload}


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Answer:
    def __init__(self, status, headers, body, took_s):
        self.status, self.headers, self.body, self.took_s = status, headers, body, took_s

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r} after {self.took_s:.2f} s"


class Caller:
    """One connection, kept while it works."""

    def __init__(self, port, patience_s=FRONT_PATIENCE_S):
        self.port, self.patience_s = port, patience_s
        self.connection = None

    def request(self, method, path, body, headers):
        """An Answer; OSError or http.client.HTTPException when there is none."""
        began = time.monotonic()
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                         timeout=self.patience_s)
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read(),
                          time.monotonic() - began)
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def send(self, path, value, method="POST", headers=None, **signing):
        """Signed; a value that is not bytes is sent as JSON."""
        body = value if isinstance(value, bytes) else text(value)
        return self.request(method, path, body, sign(path, body, **signing) | (headers or {}))

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Sent:
    """What became of one event: when its requests were, and what was said of each."""

    def __init__(self, path, event_id):
        self.path, self.event_id = path, event_id
        self.tries = []  # (began, ended, status; 0: no answer)

    def stored(self):
        return any(200 <= status < 300 for _, _, status in self.tries)

    def statuses(self):
        return [status for _, _, status in self.tries]


class Traffic:
    """Webhooks of several clients at once. Applications' are sent again until they are answered
    2xx, rules' never are. retry_s: how long to wait where no Retry-After says so."""

    def __init__(self, port, clients=8, retry_s=0.05, make=None):
        """make: the event of an id; else its conversation is one of fifty."""
        self.port, self.retry_s = port, retry_s
        self.make = make or (lambda i: event(i, f"cnv_{int(i[4:], 16) % 50}"))
        self.sent, self.faults = [], []
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.over = threading.Event()
        self.clients = [threading.Thread(target=self.client, daemon=True) for _ in range(clients)]
        self.wanted = 0

    def start(self, events=None):
        """events: how many; None: until stop()."""
        self.wanted = events
        for client in self.clients:
            client.start()
        return self

    def stop(self, timeout_s=60):
        self.over.set()
        self.join(timeout_s)

    def join(self, timeout_s=120):
        until = time.monotonic() + timeout_s
        for client in self.clients:
            client.join(max(0, until - time.monotonic()))
            if client.is_alive():
                raise AssertionError(f"webhooks are still sent after {timeout_s} s; "
                                     f"{self.count()} were stored")
        if self.faults:
            raise AssertionError(self.faults[0])

    def count(self):
        with self.lock:
            return sum(sent.stored() for sent in self.sent)

    def next(self):
        with self.lock:
            number = next(self.numbers)
            if self.over.is_set() or self.wanted is not None and number >= self.wanted:
                return None
            sent = Sent(RULE if number % 10 == 9 else APP, f"evt_{number:x}")
            self.sent.append(sent)
            return sent

    def client(self):
        caller = Caller(self.port)
        while True:
            sent = self.next()
            if not sent:
                break
            try:
                self.deliver(caller, sent)
            except Exception as e:  # what a thread says is lost otherwise
                self.faults.append(f"{sent.event_id}: {e!r}")
                break
        caller.close()

    def deliver(self, caller, sent):
        self.deliver_payload(caller, sent, self.make(sent.event_id))

    def deliver_payload(self, caller, sent, payload):
        while True:
            began, pause = time.monotonic(), self.retry_s
            try:
                answer = caller.send(sent.path, payload if sent.path == RULE
                                     else envelope(payload))
                status = answer.status
                if status == 429:
                    pause = float(answer.headers["Retry-After"])
                elif status != 200:
                    raise AssertionError(f"answered {answer}")
            except (OSError, http.client.HTTPException):
                status = 0
            with self.lock:
                sent.tries.append((began, time.monotonic(), status))
            if status == 200 or sent.path == RULE:
                return
            time.sleep(min(pause, 1))  # Front's patience, not a wait for a fact


class Balancer:
    """Hands each connection to the next of the ports that takes it."""

    def __init__(self, ports):
        turns, lock = itertools.count(), threading.Lock()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with lock:
                    turn = next(turns)
                for i in range(len(ports)):
                    try:
                        there = socket.create_connection(
                            ("127.0.0.1", ports[(turn + i) % len(ports)]), 5)
                        break
                    except OSError:
                        continue
                else:
                    return
                back = threading.Thread(target=pump, args=(there, self.request), daemon=True)
                back.start()
                pump(self.request, there)
                back.join(30)
                there.close()

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
