"""The stage of a system test: topics of its own on a real Kafka, a Front, connectors, and an
independent reader of all that comes out.

The broker is started once for a whole run (world.kafka()); every stage has topics and a group of
its own, so nothing is shared but the broker."""

import atexit
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid

import confluent_kafka
from confluent_kafka import admin

import avro
import front as scripted
import registered

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "kafka"))
import kafka  # noqa: E402
import registry  # noqa: E402

BUILD = ROOT / os.environ.get("BUILD", "build")
BINARY = str(BUILD / "front-connector")
TOKEN = "token-of-the-tests"
APP_UID, APP_SECRET = "app-uid", "app-secret-of-the-tests"
SECRETS = TOKEN, APP_SECRET, registered.PASSWORD


class World:
    """What one run of the tests shares."""

    broker = schema_registry = None

    def kafka(self):
        if not self.broker:
            self.broker = kafka.start()
            self.warm_up()
        return self.broker

    def registry(self):
        if not self.schema_registry:
            self.schema_registry = registry.launch()
            self.kafka()
        return self.schema_registry.wait()

    def warm_up(self):
        """Waits for the group and transaction coordinators, which are made on first use."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.broker.bootstrap,
                                             "transactional.id": "warm-up", "log_level": 0})
        producer.init_transactions(60)
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.broker.bootstrap,
                                             "group.id": "warm-up"})
        wait_for("group coordinator", lambda: self.answers(consumer), 60)
        consumer.close()

    @staticmethod
    def answers(consumer):
        try:
            consumer.committed([confluent_kafka.TopicPartition("warm-up", 0)], timeout=10)
            return True
        except confluent_kafka.KafkaException:
            return False

    def close(self):
        if self.broker:
            self.broker.remove()
            self.broker = None
        if self.schema_registry:
            self.schema_registry.remove()
            self.schema_registry = None


world = World()
atexit.register(world.close)


def wait_for(what, claim, timeout_s=30, every_s=0.05):
    """The first true value of claim(); fails saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {timeout_s} s")
        time.sleep(every_s)


def run(*arguments, timeout_s=60, env=None, stdin=None):
    """One run of the program to its end: exit code, stdout and stderr."""
    return subprocess.run([BINARY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL if stdin is None else None, input=stdin,
                          text=True, timeout=timeout_s, env=env, check=False)


def memory_mb(pid, field="VmRSS"):
    """What the kernel says of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M).group(1)) / 1024


class Connector:
    """A running `front-connector run`."""

    def __init__(self, folder, settings):
        self.port = kafka.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"connector-{uuid.uuid4().hex[:6]}"
        self.conf = folder / f"{self.name}.conf"
        self.log = folder / f"{self.name}.log"
        settings = {**settings, "status.listen": f"127.0.0.1:{self.port}"}
        self.conf.write_text("".join(f"{k} = {v}\n" for k, v in settings.items()))
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BINARY, "run", "-c", str(self.conf)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL,
                                            preexec_fn=kafka.die_with_parent)
        return self

    def page(self, path):
        """Status and text of a page; (0, why) when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            return 0, str(e)

    def status(self):
        return json.loads(self.page("/status")[1])

    def wait_ready(self, timeout_s=40):
        deadline = time.monotonic() + timeout_s
        while True:
            status, text = self.page("/readyz")
            if status == 200:
                return self
            if self.process.poll() is not None:
                raise AssertionError(f"the connector ended with {self.process.returncode}:\n"
                                     + kafka.tail(self.log))
            if time.monotonic() > deadline:
                raise AssertionError(f"not ready after {timeout_s} s ({text}):\n"
                                     + kafka.tail(self.log))
            time.sleep(0.02)

    def wait_line(self, pattern, timeout_s=30):
        try:
            return wait_for(f"line /{pattern}/ in the log",
                            lambda: re.search(pattern, self.log.read_text(errors="replace")),
                            timeout_s)
        except AssertionError as e:
            raise AssertionError(f"{e}; its end:\n{kafka.tail(self.log, 4)}") from None

    def metrics(self):
        """{'commands_received_total': sum over its series, 'x{label="v"}': value, ...}; a
        series that does not exist yet is 0."""
        status, text = self.page("/metrics")
        if status != 200:
            raise AssertionError(f"/metrics: {status} {text[:200]}")
        sums = collections.Counter()
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            name, _, value = line.rpartition(" ")
            name = name.removeprefix("front_connector_")
            sums[name] = float(value)
            if "{" in name:
                family = name.partition("{")[0]
                sums[family] = sums.get(family, 0) + float(value)
        return sums

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, timeout_s=40):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end(timeout_s)

    def wait_end(self, timeout_s=40):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {timeout_s} s:\n"
                                 + kafka.tail(self.log)) from None

    def running(self):
        return self.process and self.process.poll() is None


class Out:
    """A record that came out. `fields` is the decoded result, None for a dead letter."""

    def __init__(self, message):
        self.topic, self.partition = message.topic(), message.partition()
        self.offset = message.offset()
        self.key, self.value = message.key(), message.value()
        self.timestamp = message.timestamp()[1]
        self.headers = dict(message.headers() or [])
        self.header_list = message.headers() or []
        self.fields = None

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except (KeyError, TypeError):
            raise AttributeError(name) from None

    def text(self, header):
        value = self.headers.get(header)
        return None if value is None else value.decode()


class Stage:
    """Topics, a Front, connectors and what came out. close() must be called."""

    def __init__(self, front=None, partitions=4, results_config=None, bootstrap=None,
                 create=True, registry_url=None, **settings):
        self.codec = registered.Codec(registry_url) if registry_url else None
        self.bootstrap = bootstrap or world.kafka().bootstrap
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="front-connector-test."))
        self.front = front or scripted.Front()
        tag = uuid.uuid4().hex[:8]
        self.group = f"group-{tag}"
        self.commands, self.results_topic = f"commands-{tag}", f"results-{tag}"
        self.dead_letters_topic, self.replies = f"dead-letters-{tag}", f"replies-{tag}"
        self.jobs_topic, self.prefix = f"jobs-{tag}", f"items-{tag}."
        self.partitions = partitions
        self.connectors, self.sent = [], []
        self.admin = admin.AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": self.bootstrap, "linger.ms": 2, "log_level": 0,
            "partitioner": "murmur2_random", "message.max.bytes": 30_000_000,
            "enable.idempotence": True})  # a broker that dies doubles no command
        if create:
            self.create(self.commands, {"max.message.bytes": "20000000"})
            self.create(self.results_topic, results_config)
            self.create(self.dead_letters_topic, {"max.message.bytes": "30000000"})
            self.create(self.replies, None)
            self.create(self.jobs_topic, {"cleanup.policy": "compact"})
        self.settings = {
            "front.url": self.front.url, "front.token": TOKEN, "group.id": self.group,
            "front.app.uid": APP_UID, "front.app.secret": APP_SECRET,
            "instance.id": "one", "kafka.bootstrap.servers": self.bootstrap,
            "commands.topics": self.commands, "results.topic": self.results_topic,
            "dead.letters.topic": self.dead_letters_topic,
            "jobs.topic": self.jobs_topic, "resources.topic.prefix": self.prefix,
            "topics.create": "true",
            "reply.topics.allowed": "replies-.*", "kafka.consumer.session.timeout.ms": 6000,
            "kafka.consumer.heartbeat.interval.ms": 1000, "retry.backoff.ms": 20,
            "in.doubt": "report",  # looking takes 10 s and more: test_doubt.py has it
            **({"schemas.registry.url": registry_url, "schemas.register": "true"}
               if registry_url else {}),
            **settings}
        self.out, self.by_id = [], {}
        self.reader = None

    # --- Kafka ---

    def create(self, topic, config=None):
        new = admin.NewTopic(topic, self.partitions, -1, config=config or {})
        self.admin.create_topics([new])[topic].result(30)
        # A fresh topic is served when its leader is known to the broker's metadata.
        wait_for(f"topic {topic}", lambda: topic in self.admin.list_topics(timeout=10).topics)

    def configure(self, topic, name, value):
        """Changes a property of a topic; returns when the broker says that it holds."""
        change = admin.ConfigResource(admin.ResourceType.TOPIC, topic, incremental_configs=[
            admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)])
        self.admin.incremental_alter_configs([change])[change].result(30)
        wait_for(f"{name} of {topic}", lambda: self.configuration(topic, name) == value)

    def configuration(self, topic, name):
        asked = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
        return self.admin.describe_configs([asked])[asked].result(10)[name].value

    @contextlib.contextmanager
    def denied(self, kind, name, operation):
        """While it lasts nobody has the right to `operation` on this one resource."""
        rule = (kind, name, admin.ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation,
                admin.AclPermissionType.DENY)
        for future in self.admin.create_acls([admin.AclBinding(*rule)]).values():
            future.result(20)
        try:
            yield
        finally:
            for future in self.admin.delete_acls([admin.AclBindingFilter(*rule)]).values():
                future.result(20)

    def evict(self, instance):
        """Tells the group that a static member left, as Kafka's own tools do; the client has no
        call for it. LeaveGroup version 3, to the one broker."""
        def text(value):
            return struct.pack(">h", len(value)) + value.encode()

        request = (struct.pack(">hhi", 13, 3, 1) + text("evict") + text(self.group)
                   + struct.pack(">i", 1) + text("") + text(instance))
        host, _, port = self.bootstrap.partition(":")
        with socket.create_connection((host, int(port)), 10) as broker:
            broker.sendall(struct.pack(">i", len(request)) + request)
            answer = broker.makefile("rb")
            size, = struct.unpack(">i", answer.read(4))
            # Correlation id, throttle time, the group's error; then the members.
            error, = struct.unpack(">h", answer.read(size)[8:10])
        if error:
            raise AssertionError(f"LeaveGroup of {instance}: error {error}")

    def open_reader(self):
        self.reader = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": self.group + "-reader", "log_level": 0,
            "isolation.level": "read_committed", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "enable.partition.eof": False,
            "fetch.message.max.bytes": 30_000_000, "fetch.wait.max.ms": 50,
            "max.poll.interval.ms": 600_000})
        self.reader.assign([
            confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING)
            for topic in (self.results_topic, self.dead_letters_topic, self.replies)
            for p in range(self.partitions)])

    def read(self, timeout_s):
        """Takes in what is there, waiting at most timeout_s for the first record."""
        if not self.reader:
            self.open_reader()
        messages = self.reader.consume(1000, timeout_s)
        for message in messages:
            if message.error():
                continue
            out = Out(message)
            if out.topic != self.dead_letters_topic:
                out.fields = self.decode("records/Result", out)
                if out.topic == self.results_topic:
                    self.by_id.setdefault(out.command_id, []).append(out)
            self.out.append(out)
        return len(messages)

    def decode(self, name, out):
        """By the independent client: with a registry it knows nothing but that."""
        if self.codec:
            return self.codec.decode(out.topic, out.value)
        return avro.decode(name, out.value)

    def send(self, value, key=None, headers=None, partition=None):
        """Produces one command record; its place as (partition, offset), once flush() ran."""
        place = []

        def delivered(error, message):
            if error:
                raise AssertionError(f"the command could not be produced: {error}")
            place.append((message.partition(), message.offset()))

        arguments = {"partition": partition} if partition is not None else {}
        while True:
            try:
                self.producer.produce(self.commands, value, key, headers=headers,
                                      on_delivery=delivered, **arguments)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)
        self.sent.append(place)
        return place

    def flush(self):
        if self.producer.flush(30):
            raise AssertionError("commands could not be produced within 30 s")

    def command(self, command_id, operation, params=None, body=None, key=None, headers=None,
                partition=None, call_headers=None, **fields):
        """headers: the record's; call_headers: the command's own, for Front."""
        return self.send(avro.command(operation, params, body, command_id=command_id,
                                      headers=call_headers or {}, **fields), key, headers,
                         partition)

    # --- the connector ---

    def start(self, ready=True, **settings):
        connector = Connector(self.folder, {**self.settings, **settings})
        self.connectors.append(connector)
        return connector.wait_ready() if ready else connector

    def wait_calls(self, count, timeout_s=60):
        """Until Front has got so many calls."""
        wait_for(f"call {count} at Front", lambda: len(self.front.requests()) >= count,
                 timeout_s, 0.01)

    # --- what came out ---

    def results(self):
        return [o for o in self.out if o.topic == self.results_topic]

    def records(self, topic, timeout_s=30):
        """All that read_committed shows of a topic now."""
        return [Out(message) for message in self.scan(topic, timeout_s)]

    def scan(self, topic, timeout_s=30):
        """The same, message by message: a topic may be large."""
        partitions = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
        reader = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": self.group + "-records",
            "isolation.level": "read_committed", "enable.auto.commit": False, "log_level": 0,
            "enable.partition.eof": True, "fetch.wait.max.ms": 50})
        reader.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING)
                       for p in partitions])
        ended = set()
        deadline = time.monotonic() + timeout_s
        while len(ended) < len(partitions):
            if time.monotonic() > deadline:
                raise AssertionError(f"the end of {topic} was not reached within {timeout_s} s")
            for message in reader.consume(1000, 0.2):
                if not message.error():
                    yield message
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        reader.close()

    def items_topic(self, suffix):
        return self.settings["resources.topic.prefix"] + suffix

    def dead_letters(self):
        return [o for o in self.out if o.topic == self.dead_letters_topic]

    def answer(self, command_id, timeout_s=30):
        """The result of a command, waited for."""
        self.flush()
        deadline = time.monotonic() + timeout_s
        while command_id not in self.by_id:
            if time.monotonic() > deadline:
                raise AssertionError(f"no result of {command_id} within {timeout_s} s; "
                                     + self.explain())
            self.read(0.2)
        return self.by_id[command_id][0]

    def reply(self, command_id, timeout_s=20):
        """The copy of a result in the reply topic, waited for."""
        self.flush()

        def there():
            self.read(0.1)
            return [o for o in self.out
                    if o.topic == self.replies and o.command_id == command_id]
        return wait_for(f"reply to {command_id}", there, timeout_s)[0]

    def ask(self, operation, params=None, body=None, **more):
        """Sends a command and waits for its result."""
        command_id = f"ask-{uuid.uuid4().hex[:10]}"
        self.command(command_id, operation, params, body, **more)
        return self.answer(command_id)

    def dead_letter(self, place, timeout_s=30):
        """The dead letter of the record produced at `place`."""
        self.flush()
        partition, offset = place[0]
        deadline = time.monotonic() + timeout_s
        while True:
            for out in self.dead_letters():
                if (out.text("__connect.errors.partition") == str(partition)
                        and out.text("__connect.errors.offset") == str(offset)):
                    return out
            if time.monotonic() > deadline:
                raise AssertionError(f"no dead letter of {partition}/{offset}; "
                                     + self.explain())
            self.read(0.2)

    def source(self, out):
        if out.topic == self.dead_letters_topic:
            return (int(out.text("__connect.errors.partition")),
                    int(out.text("__connect.errors.offset")))
        return out.source_partition, out.source_offset

    def answers(self):
        """What answers a command: results and dead letters, not their copies, no sync's."""
        return [o for o in self.out if o.topic != self.replies
                and (o.fields is None or o.source_topic is not None)]

    def missing(self):
        """Places produced to that have no result and no dead letter yet."""
        answered = {self.source(o) for o in self.answers()}
        return [p[0] for p in self.sent if p and p[0] not in answered]

    def settle(self, timeout_s=60):
        """Waits until every command produced has its answer, then reads on for more of them;
        fails when one is missing or has two. The promise, as the outside sees it."""
        self.flush()
        deadline = time.monotonic() + timeout_s
        while self.missing():
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.missing())} of {len(self.sent)} commands have "
                                     f"no answer, as {self.missing()[:5]}; {self.explain()}")
            self.read(0.2)
        while self.read(0.4):
            pass
        seen = {}
        for out in self.answers():
            seen.setdefault(self.source(out), []).append(out)
        twice = {place: outs for place, outs in seen.items() if len(outs) > 1}
        if twice:
            raise AssertionError(f"{len(twice)} commands were answered twice, as "
                                 f"{list(twice)[:5]}")

    def explain(self):
        return "\n".join(f"{c.name}: exit {c.process.poll()}; {c.page('/status')[1][:1500]}\n"
                         + kafka.tail(c.log, 12) for c in self.connectors[-2:])

    def kill_in_turn(self, connectors, over, timeout_s=240):
        """kill -9 and a start every second, one after another, until it is over; how many."""
        kills, last, until = 0, time.monotonic(), time.monotonic() + timeout_s
        while not over():
            assert time.monotonic() < until, self.explain()
            self.read(0.05)
            if time.monotonic() - last >= 1:
                connector = connectors[kills % len(connectors)]
                connector.kill()
                connector.start()
                kills, last = kills + 1, time.monotonic()
        return kills

    def check_counters(self):
        """received = finished + dead letters + returned, and nothing open: on every living
        instance, on both of its pages."""
        for connector in self.connectors:
            if connector.running():
                counted = wait_for(f"end of open work of {connector.name}",
                                   lambda c=connector: self.counted(c), 10)
                for page, (received, *ended) in counted.items():
                    if received != sum(ended):
                        raise AssertionError(f"the counters of {page} do not add up: received, "
                                             f"finished, dead letters, returned: "
                                             f"{received}, {ended}")

    @staticmethod
    def counted(connector):
        """Received, finished, dead letters and returned by page; None while work is open."""
        m, identity = connector.metrics(), connector.status()["identity"]
        if m["commands_open"] or identity["open"]:
            return None
        m["dead_letters_total"] -= m['dead_letters_total{reason="WebhookUnparsable"}']
        return {"/metrics": [m[name] for name in (
                    "commands_received_total", "commands_finished_total", "dead_letters_total",
                    "commands_returned_total")],
                "/status": [identity[name] for name in (
                    "received", "finished", "dead_letters", "returned")]}

    def close(self):
        """Ends all of it. No log of a connector may hold a secret."""
        for connector in self.connectors:
            if connector.running():
                connector.kill()
        if self.reader:
            self.reader.close()
        self.front.close()
        leaks = [c.name for c in self.connectors
                 if any(secret in c.log.read_text(errors="replace") for secret in SECRETS)]
        shutil.rmtree(self.folder, ignore_errors=True)
        if leaks:
            raise AssertionError(f"a secret is in the log of {leaks}")


class Scene(unittest.TestCase):
    """A class of tests each of which opens a stage of its own."""

    maxDiff = 4000

    def open_stage(self, *arguments, **options):
        on_stage = Stage(*arguments, **options)
        self.addCleanup(on_stage.close)
        return on_stage


class Play(unittest.TestCase):
    """A class of tests on one stage: `settings` and `start` say which. After each test every
    command has exactly one answer and the counters add up."""

    settings = {}
    stage_options = {}
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.stage = Stage(**cls.stage_options, **cls.settings)
        cls.addClassCleanup(cls.stage.close)
        cls.connector = cls.stage.start()

    def setUp(self):
        self.front = self.stage.front
        self.front.forget()

    def tearDown(self):
        self.stage.settle()
        self.stage.check_counters()
