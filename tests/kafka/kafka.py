"""A real Apache Kafka broker (KRaft), or a cluster of three, for tests and the benchmark.

    python3 tests/kafka/kafka.py prepare     jars and class archive into build/kafka (make deps)
    python3 tests/kafka/kafka.py run         a broker in the foreground; prints its address

KAFKA_BOOTSTRAP set: that cluster is used and nothing is started. A broker that cannot start is
an error, never a reason to skip: the log's end is part of the message. The broker dies with the
process that started it (PR_SET_PDEATHSIG), so no test run leaves one behind."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOME = ROOT / "build" / "kafka"
START_DEADLINE_S = 90
PR_SET_PDEATHSIG = 1

JAVA = ["java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
{extra}
"""

# Read after PROPERTIES, so that these hold: all of it three times, two have to acknowledge. The
# nodes vote before any rule of the authorizer is known: as a super user.
CLUSTER = """\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
super.users=User:ANONYMOUS
"""

LOG4J = """\
Configuration:
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d{HH:mm:ss.SSS} %p %c{1}: %m%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: out
"""


class KafkaError(Exception):
    """The broker could not be prepared or started; the text says why."""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tail(path, lines=25):
    try:
        return "".join(pathlib.Path(path).read_text(errors="replace").splitlines(True)[-lines:])
    except OSError as e:
        return f"({e})"


def class_path():
    return str(HOME / "lib" / "*")


def prepare():
    """Fetches the jars and makes the class archive, once per pom.xml."""
    stamp = HOME / "ready"
    pom = (HERE / "pom.xml").read_text()
    if stamp.exists() and stamp.read_text() == pom:
        return
    for tool in ("java", "mvn"):
        if not shutil.which(tool):
            raise KafkaError(f"{tool} is not installed: make deps")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies",
         f"-DoutputDirectory={HOME / 'lib'}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True)
    if done.returncode:
        raise KafkaError("mvn could not fetch Kafka's jars:\n" + done.stdout[-2000:])
    (HOME / "log4j2.yaml").write_text(LOG4J)
    # The archive of loaded classes halves the start; it is written when this broker ends.
    broker = Kafka(archive="-XX:ArchiveClassesAtExit=")
    broker.start()
    broker.stop(signal.SIGTERM)
    broker.remove()
    stamp.write_text(pom)


class Kafka:
    """A broker of our own: start(), stop(), restart(); .bootstrap is its address."""

    def __init__(self, extra="", archive="-XX:SharedArchiveFile=", node=1, controllers=None):
        """controllers: the ports of all nodes' controllers; ours is the node's."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="front-connector-kafka."))
        self.port, controllers = free_port(), controllers or [free_port()]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.log = self.folder / "broker.log"
        self.properties = self.folder / "server.properties"
        self.properties.write_text(PROPERTIES.format(
            node=node, port=self.port, controller=controllers[node - 1], extra=extra,
            data=self.folder / "data",
            voters=",".join(f"{n}@127.0.0.1:{p}" for n, p in enumerate(controllers, 1))))
        self.archive = archive + str(HOME / "kafka.jsa")
        self.process = None
        self.format()

    def java(self, main, *arguments):
        return [*JAVA, self.archive, f"-Dlog4j2.configurationFile={HOME / 'log4j2.yaml'}",
                "-cp", class_path(), main, *arguments]

    def format(self):
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", class_path(),
                   "kafka.tools.StorageTool", "format",
                   "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(self.properties)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True)
        if done.returncode:
            raise KafkaError("the broker's storage could not be formatted:\n" + done.stdout[-2000:])

    def start(self):
        self.launch()
        self.wait()
        return self

    def launch(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.java("kafka.Kafka", str(self.properties)), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, cwd=self.folder)

    def wait(self):
        """Until the broker takes requests: it opens its port last."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise KafkaError(f"the broker ended with {self.process.returncode}; its log:\n"
                                 + tail(self.log))
            if self.is_open():
                return
            time.sleep(0.05)
        raise KafkaError(f"no answer from the broker within {START_DEADLINE_S} s; its log:\n"
                         + tail(self.log))

    def is_open(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def restart(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """Three brokers, each a controller too: two of them make a quorum."""

    def __init__(self):
        controllers = [free_port() for _ in range(3)]
        self.brokers = [Kafka(CLUSTER, node=n, controllers=controllers) for n in (1, 2, 3)]
        self.bootstrap = ",".join(b.bootstrap for b in self.brokers)

    def start(self):
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:  # a port opens when there is a quorum
            broker.wait()
        return self

    def remove(self):
        for broker in self.brokers:
            broker.remove()


class ForeignKafka:
    """The cluster that KAFKA_BOOTSTRAP names: never started, stopped or restarted by us."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def restart(self, how=signal.SIGTERM):
        raise KafkaError("KAFKA_BOOTSTRAP is set: a broker that is not ours is not restarted")

    def remove(self):
        pass


def start(extra=""):
    if os.environ.get("KAFKA_BOOTSTRAP"):
        return ForeignKafka(os.environ["KAFKA_BOOTSTRAP"])
    prepare()
    return Kafka(extra).start()


def main():
    try:
        if sys.argv[1:] == ["prepare"]:
            prepare()
        elif sys.argv[1:] == ["run"]:
            broker = start()
            print(broker.bootstrap, flush=True)
            try:
                signal.pause()
            except KeyboardInterrupt:
                broker.remove()
        else:
            sys.exit("usage: kafka.py prepare | run")
    except KafkaError as e:
        sys.exit(f"kafka: {e}")


if __name__ == "__main__":
    main()
