"""A stand-in for Front's API on loopback: answers by rules of the test and keeps a journal.

Ids decide: `..._404` is not found, `..._500` a server error, `..._timeout` executes and never answers,
`..._reset` executes and cuts the connection, `..._429` refuses twice. Everything else succeeds.
"""
import http.server
import json
import re
import socket
import socketserver
import struct
import threading

TOKEN = "planted-secret-token"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        front = self.server.front
        magic = re.search(r"_(404|500|400|403|409|422|503|timeout|reset|429|garbage|half)\b",
                          self.path)
        fault = magic.group(1) if magic else None
        if self.headers.get("authorization") != "Bearer " + TOKEN:
            return self.send(401, {"_error": {"status": 401, "title": "Unauthenticated",
                                              "message": "Invalid token"}})
        with front.lock:
            seen = front.seen[self.path] = front.seen.get(self.path, 0) + 1
            refused = fault == "429" and seen <= 2
            executed = not refused and (fault is None or fault in ("timeout", "reset", "429"))
            front.journal.append({"method": self.command, "path": self.path, "body": body,
                                  "executed": executed})
            number = len(front.journal)
        if refused:
            return self.send(429, {"_error": {"status": 429, "title": "Too many requests",
                                              "message": "wait"}}, {"retry-after": "1",
                                                                    "x-front-tier": "2"})
        if fault == "timeout":
            front.stop.wait(30)
            self.close_connection = True
            return None
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        if fault == "garbage":
            return self.send(200, b"{not json")
        if fault == "half":
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b"{\"id\":")
            self.close_connection = True
            return None
        if fault and fault.isdigit() and fault != "429":
            return self.send(int(fault), {"_error": {"status": int(fault), "title": "Planted",
                                                     "message": "planted " + fault}})
        if self.path == "/me":
            return self.send(200, {"id": "cmp_1", "name": "Test"})
        if self.command in ("PATCH", "DELETE", "PUT"):
            return self.send(204, None)
        if self.command == "POST":
            return self.send(201, {"id": "com_%d" % number})
        return self.send(200, {"id": "cnv_1", "_results": [], "_pagination": {"next": None}})

    def send(self, status, body, more=None):
        data = b"" if body is None else body if isinstance(body, bytes) else \
            json.dumps(body).encode()
        self.send_response(status)
        headers = {"x-ratelimit-limit": "1000000", "x-ratelimit-remaining": "999999",
                   "content-type": "application/json", "content-length": str(len(data))}
        headers.update(more or {})
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        """A connector that is killed cuts its connections."""


class Front:
    def __init__(self):
        self.lock = threading.Lock()
        self.journal = []
        self.seen = {}
        self.stop = threading.Event()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.front = self
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def calls(self):
        with self.lock:
            return [c for c in self.journal if c["path"] != "/me"]

    def close(self):
        self.stop.set()
        self.server.shutdown()
