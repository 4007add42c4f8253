"""Avro through a schema registry, by Confluent's Python client: another registry client, another
Avro and other framing code than the connector's. And a registry of a few lines for what the real
one does not do."""

import base64
import functools
import json
import re
import ssl
import subprocess
import urllib.parse

import confluent_kafka.schema_registry as registry
from confluent_kafka.schema_registry import avro as registry_avro
from confluent_kafka.serialization import MessageField, SerializationContext

import avro
import front as scripted

CONFLUENT = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
USER, PASSWORD = "registry-user", "password-of-the-registry"


def text_of(name):
    """The .avsc as it is in the repository; name as "records/Result"."""
    return (avro.SCHEMAS / f"{name}.avsc").read_text()


class Codec:
    """Writes and reads records of topics; knows nothing but the registry's URL."""

    def __init__(self, url):
        self.client = registry.SchemaRegistryClient({"url": url})
        self.deserializer = registry_avro.AvroDeserializer(self.client)

    @functools.lru_cache(None)
    def serializer(self, schema):
        return registry_avro.AvroSerializer(self.client, schema, conf={
            "auto.register.schemas": True,
            "subject.name.strategy": registry.topic_record_subject_name_strategy})

    def encode(self, topic, schema, record):
        """schema: its text."""
        return self.serializer(schema)(record, SerializationContext(topic, MessageField.VALUE))

    def decode(self, topic, value):
        if value[:1] != b"\0":
            raise AssertionError(f"a record of {topic} is not framed for a registry: "
                                 f"{value[:10].hex()}")
        return self.deserializer(value, SerializationContext(topic, MessageField.VALUE))


def schema_id(value):
    return int.from_bytes(value[1:5], "big")


class Stub(scripted.Front):
    """A registry with Confluent's answers. Like Confluent's it renders a schema anew, and a
    look-up without `normalize` finds only what was written as it is kept. fault: called with each
    Request; what it returns is answered instead, if it is not None."""

    def __init__(self, path="", user=None, certificate=None):
        """certificate: a folder for one of our own making; then it speaks TLS."""
        self.ids, self.subjects = {}, {}
        self.fault = lambda request: None
        self.first_id, self.path, self.user = 100001, path, user
        super().__init__()
        if certificate:
            self.speak_tls(certificate)
        self.url += path

    def speak_tls(self, folder):
        self.ca_file, key = str(folder / "ca.pem"), str(folder / "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", self.ca_file], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def take(self, request):
        with self.lock:
            self.journal.append(request)
        answer = self.fault(request)
        if answer is None:
            with self.lock:
                answer = self.answer(request)
        return request, answer

    def asked(self, pattern):
        """Requests whose method and target match."""
        with self.lock:
            return [r for r in self.journal
                    if re.search(pattern, f"{r.method} {r.path}?{r.query}")]

    def answer(self, request):
        if self.user and request.headers.get("authorization") != "Basic " + base64.b64encode(
                f"{self.user}:{PASSWORD}".encode()).decode():
            return error(401, 40101, "Unauthorized")
        if not request.path.startswith(self.path + "/"):
            return error(404, 404, "HTTP 404 Not Found")
        parts = [urllib.parse.unquote(p) for p in request.path[len(self.path) + 1:].split("/")]
        if parts == ["subjects"]:
            return found(sorted(self.subjects))
        if parts[:2] == ["schemas", "ids"]:
            number = int(parts[2])
            return found({"schema": self.ids[number]}) if number in self.ids else error(
                404, 40403, f"Schema {number} not found")
        if parts[0] == "compatibility":
            return found({"is_compatible": True, "messages": []})
        if request.method != "POST":
            return error(404, 404, "HTTP 404 Not Found")
        schema = request.json()["schema"]
        if parts[2:] == ["versions"]:
            return found({"id": self.register(parts[1], schema)})
        return self.look_up(parts[1], schema, "normalize=true" in request.query)

    def look_up(self, subject, schema, normalize):
        if subject not in self.subjects:
            return error(404, 40401, f"Subject '{subject}' not found.")
        for version, number in enumerate(self.subjects[subject], 1):
            if self.ids[number] == (render(schema) if normalize else schema):
                return found({"subject": subject, "version": version, "id": number,
                              "schema": self.ids[number]})
        return error(404, 40403, "Schema not found")

    def register(self, subject, schema):
        schema = render(schema)
        number = next((n for n, known in self.ids.items() if known == schema), None)
        if number is None:
            number = self.first_id + 7 * len(self.ids)
            self.ids[number] = schema
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number


def render(schema):
    return json.dumps(json.loads(schema), separators=(",", ":"))


def found(body):
    return scripted.Answer(200, json.dumps(body).encode(), headers=CONFLUENT)


def error(status, code, message):
    return scripted.Answer(status, {"error_code": code, "message": message})


def html(status):
    return scripted.Answer(status, b"<html><body>The proxy is not amused</body></html>",
                           content_type="text/html")


def framed(number, schema, record):
    """A record of a registry's framing, written without a registry. schema: its text."""
    return number.to_bytes(5, "big") + avro.datum(schema, record)
