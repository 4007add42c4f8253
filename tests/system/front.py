"""A scripted Front on loopback: answers what a test says, keeps a journal of what it got.

It stands in Front's place where a test needs exact control of an answer, down to half a body or
a reset; `front-sandbox` is the one with a state."""

import base64
import hashlib
import hmac
import json
import socket
import socketserver
import struct
import threading
import time
import urllib.parse

REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content"}
LIMIT = 100_000_000


class Request:
    """One request as it came; `answered` is the status, 0 for none."""

    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body = method, headers, body
        path, _, query = target.partition("?")
        self.path, self.query = path, query
        self.at = time.time()
        self.answered = 0

    def params(self):
        return sorted(urllib.parse.parse_qsl(self.query, keep_blank_values=True))

    def json(self):
        return json.loads(self.body) if self.body else None

    def __repr__(self):
        return f"{self.method} {self.path}?{self.query} {self.body[:200]!r}"


class Answer:
    """What to answer. how: whole, none (hold the connection), half (break off inside the body),
    reset (RST without an answer), garbage (no HTTP), close (FIN without an answer)."""

    def __init__(self, status=200, body=None, how="whole", delay_s=0.0, headers=None,
                 content_type="application/json"):
        if body is None:
            body = {"id": "res_1", "_results": []} if status < 300 else {
                "_error": {"status": status, "title": f"Title {status}",
                           "message": f"Message {status}", "details": [f"detail {status}"]}}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if status == 204:
            self.body = b""
        self.status, self.how, self.delay_s = status, how, delay_s
        self.headers = headers or {}
        self.content_type = content_type

    def head(self):
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}",
                 f"x-ratelimit-limit: {LIMIT}", f"x-ratelimit-remaining: {LIMIT - 1}",
                 f"x-ratelimit-reset: {time.time() + 60:.3f}",
                 "Date: " + time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines.append(f"Content-Type: {self.content_type}")
        if self.status != 204:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        try:
            while self.turn():
                pass
        except (ConnectionError, ValueError, OSError):
            pass

    def turn(self):
        line = self.rfile.readline(70000).decode("latin-1").rstrip("\r\n")
        if not line:
            return False
        method, target, _ = line.split(" ")
        headers = {}
        while True:
            line = self.rfile.readline(70000).decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        return self.reply(self.server.front.take(Request(method, target, headers, body)))

    def reply(self, taken):
        request, answer = taken
        if answer.delay_s:
            time.sleep(answer.delay_s)
        if answer.how == "none":
            self.server.front.closing.wait(120)
            return False
        if answer.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.connection.close()
            return False
        if answer.how == "close":
            return False
        if answer.how == "garbage":
            self.wfile.write(b"this is not HTTP at all\r\n\r\n")
            return False
        request.answered = answer.status
        if answer.how == "half":
            self.wfile.write(answer.head() + answer.body[:len(answer.body) // 2])
            return False
        self.wfile.write(answer.head() + answer.body)
        return True


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256


class Front:
    """The server. on(): what a path answers, in turn; the last answer is repeated."""

    def __init__(self, delay_s=0.0):
        self.lock = threading.Lock()
        self.journal, self.script = [], {}
        self.delay_s = delay_s
        self.closing = threading.Event()
        self.server = Server(("127.0.0.1", 0), Connection)
        self.server.front = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def on(self, where, *answers):
        """where: a path without its encoding, or "METHOD path"."""
        with self.lock:
            self.script[where] = list(answers)

    def forget(self):
        with self.lock:
            self.journal.clear()

    def take(self, request):
        with self.lock:
            self.journal.append(request)
            path = urllib.parse.unquote(request.path)
            answers = self.script.get(f"{request.method} {path}") or self.script.get(path)
            if not answers:
                return request, Answer(delay_s=self.delay_s)
            return request, answers.pop(0) if len(answers) > 1 else answers[0]

    def requests(self, path=None):
        """The journal without the connector's own GET /me."""
        with self.lock:
            return [r for r in self.journal
                    if (r.path == path if path else r.path != "/me")]

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


def jwt_claims(token, secret):
    """The claims of an HS256 token, its signature checked."""
    head, claims, signature = token.split(".")

    def plain(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    expected = hmac.new(secret.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    if plain(signature) != expected or json.loads(plain(head))["alg"] != "HS256":
        raise AssertionError("the token is not signed with the secret")
    return json.loads(plain(claims))
