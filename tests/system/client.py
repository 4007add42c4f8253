"""The independent client: commands in and results out with fastavro and Python's Kafka client, nothing
of ours but the published schemas. And the connector as a process."""
import io
import json
import os
import signal
import subprocess
import time
import urllib.request
import uuid

import confluent_kafka
import fastavro
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, "build", "front-connector")
OUTPUTS = ("commands", "results", "dead-letters")


def schema(path):
    with open(os.path.join(ROOT, "schemas", path), encoding="utf-8") as file:
        return json.load(file)


class Codec:
    """Single-object encoding of one schema."""

    def __init__(self, path):
        raw = schema(path)
        canonical = fastavro.schema.to_parsing_canonical_form(raw)
        mark = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
        self.prefix = b"\xc3\x01" + bytes.fromhex(mark)
        self.parsed = fastavro.parse_schema(raw)

    def encode(self, record):
        out = io.BytesIO()
        out.write(self.prefix)
        fastavro.schemaless_writer(out, self.parsed, record)
        return out.getvalue()

    def decode(self, data):
        assert data[:10] == self.prefix, data[:10]
        source = io.BytesIO(data[10:])
        record = fastavro.schemaless_reader(source, self.parsed)
        assert source.read() == b"", "bytes behind the datum"
        return record


class Topics:
    """A set of topics of its own for each test."""

    def __init__(self, bootstrap, partitions=4, configs=None):
        self.bootstrap = bootstrap
        self.name = "t" + uuid.uuid4().hex[:8]
        admin = AdminClient({"bootstrap.servers": bootstrap})
        new = [NewTopic("%s.%s" % (self.name, o), partitions, 1, config=(configs or {}).get(o, {}))
               for o in OUTPUTS]
        for future in admin.create_topics(new).values():
            future.result(30)

    def topic(self, output):
        return "%s.%s" % (self.name, output)

    def produce(self, records):
        """(key, value, headers) each; in order."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.bootstrap,
                                             "enable.idempotence": True,
                                             "partitioner": "murmur2_random"})
        failed = []

        def delivered(error, _):
            if error is not None:
                failed.append(error)
        for key, value, headers in records:
            producer.produce(self.topic("commands"), key=key, value=value, headers=headers or [],
                             on_delivery=delivered)
            producer.poll(0)
        assert producer.flush(30) == 0 and not failed, failed

    def read(self, output, count, deadline_s=60):
        """At least `count` records under read_committed, then what else comes within a second."""
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest", "isolation.level": "read_committed",
            "enable.auto.commit": False})
        consumer.subscribe([self.topic(output)])
        end, found = time.monotonic() + deadline_s, []
        while time.monotonic() < end:
            message = consumer.poll(1.0)
            if message is None:
                if len(found) >= count:
                    break
            elif message.error() is None:
                found.append(message)
        consumer.close()
        return found


class Connector:
    def __init__(self, folder, topics, front, **settings):
        self.folder, self.topics = folder, topics
        values = {
            "front.url": front.url, "front.token": "planted-secret-token",
            "kafka.bootstrap.servers": topics.bootstrap, "group.id": topics.name,
            "instance.id": "one", "commands.topics": topics.topic("commands"),
            "results.topic": topics.topic("results"),
            "dead.letters.topic": topics.topic("dead-letters"),
            "status.listen": "127.0.0.1:0"}
        values.update({k.replace("_", "."): v for k, v in settings.items()})
        self.settings = os.path.join(folder, "%s.conf" % values["instance.id"])
        self.log = os.path.join(folder, "%s.log" % values["instance.id"])
        values["status.listen"] = "127.0.0.1:%d" % free_port()
        self.status_url = "http://" + values["status.listen"]
        with open(self.settings, "w", encoding="utf-8") as file:
            file.writelines("%s = %s\n" % item for item in values.items())
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BINARY, "run", "-c", self.settings],
                                            stdout=log, stderr=log)
        return self

    def get(self, path):
        with urllib.request.urlopen(self.status_url + path, timeout=5) as answer:
            return answer.read().decode()

    def wait_ready(self, deadline_s=60):
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError("the connector ended: " + self.log_text()[-2000:])
            try:
                self.get("/readyz")
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError("not ready in time: " + self.log_text()[-2000:])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, deadline_s=60):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline_s)

    def identity(self):
        return json.loads(self.get("/status"))["identity"]

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
