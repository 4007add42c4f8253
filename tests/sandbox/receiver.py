"""A receiver of Front's webhooks, for tests: it checks signatures itself, with Python's hmac, and
remembers what came. What it answers is a script."""
import base64
import hashlib
import hmac
import http.server
import json
import socket
import struct
import threading
import time

APP_KEY, RULE_KEY, CHANNEL_KEY = "app-key-1", "rule-key-2", "channel-key-3"
HANG, RESET = "hang", "reset"


class Delivery:
    """One request as it came."""

    def __init__(self, method, path, headers, body, client):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.client = client  # the connection's other end

    @property
    def json(self):
        return json.loads(self.body)

    def all(self, name):
        return self.headers.get_all(name) or []

    @property
    def timestamp(self):
        return self.headers.get("X-Front-Request-Timestamp")

    @property
    def challenge(self):
        return self.headers.get("X-Front-Challenge")

    def verdict(self):
        """"good", or what is wrong with it, by Front's rules for its path."""
        signatures = self.all("X-Front-Signature")
        if not signatures:
            return "no signature"
        if len(signatures) > 1:
            return "two signatures"
        if self.path.endswith("/rule"):
            if self.timestamp is not None:
                return "a rule has no timestamp"
            mac = hmac.new(RULE_KEY.encode(), self.body, hashlib.sha1)
        else:
            if self.timestamp is None:
                return "no timestamp"
            if abs(int(self.timestamp) / 1000 - time.time()) > 300:
                return "old"
            key = CHANNEL_KEY if self.path.endswith("/channel") else APP_KEY
            text = self.body if self.body or self.method != "DELETE" else b"undefined"
            mac = hmac.new(key.encode(), self.timestamp.encode() + b":" + text, hashlib.sha256)
        wanted = base64.b64encode(mac.digest()).decode()
        return "good" if hmac.compare_digest(wanted, signatures[0]) else "wrong signature"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256


class Receiver:
    def __init__(self, port=0):
        self.seen, self.scripts, self.lock = [], {}, threading.Lock()
        self.running = self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self.echo = lambda value: ("text/plain", value)
        self.server = Server(("127.0.0.1", port), self.handler())
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def script(self, kind, *answers):
        """What the next requests get: a status, (status, headers[, body]), HANG or RESET; then 200
        and {"type":"success"}."""
        self.scripts["/" + kind] = list(answers)

    def of(self, kind):
        """What came for a webhook, without the challenges."""
        with self.lock:
            return [d for d in self.seen if d.path == "/" + kind and d.challenge is None]

    def challenges(self):
        with self.lock:
            return [d for d in self.seen if d.challenge is not None]

    def take(self, delivery):
        with self.lock:
            self.seen.append(delivery)
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
            answers = self.scripts.get(delivery.path)
            answer = answers.pop(0) if answers else 200
        self.gate.wait(20)
        with self.lock:
            self.running -= 1
        return answer

    def handler(outer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", -1  # an answer leaves in one piece

            def log_message(self, *_):
                pass

            def answer(self, status, headers, body):
                try:
                    self.write(status, headers, body)
                except OSError:  # the sender gave up, as some tests want
                    self.close_connection = True

            def write(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def take(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                delivery = Delivery(self.command, self.path, self.headers, body,
                                    self.client_address)
                if delivery.challenge is not None:
                    with outer.lock:
                        outer.seen.append(delivery)
                    kind, text = outer.echo(delivery.challenge)
                    self.answer(200, {"Content-Type": kind}, text.encode())
                    return
                answer = outer.take(delivery)
                if answer == RESET:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                               struct.pack("ii", 1, 0))
                    self.close_connection = True
                    return
                if answer == HANG:
                    self.connection.settimeout(20)
                    self.connection.recv(1)  # until the sender gives up
                    self.close_connection = True
                    return
                status, headers, body = (*answer, b'{"type":"success"}')[:3] \
                    if isinstance(answer, tuple) else (answer, {}, b'{"type":"success"}')
                self.answer(status, headers, body)

            do_POST = do_DELETE = take
        return Handler
