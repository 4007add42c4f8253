#!/usr/bin/env python3
"""The benchmark of `make bench`: the connector beside the floor (floor.c), in turn, with the
same commands on one real Kafka and the same answerer (answerer.c).

    BENCH_COMMANDS=n   commands of a run (20000)
    BENCH_PAIRS=n      runs of each program (5)

Prints figures and judges none of them; the exit code is 1 when a result is missing or there
are two. CPU is that of the whole process, from the kernel's clock of it; what the program
needs to start is taken off."""

import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
import avro  # noqa: E402
import confluent_kafka  # noqa: E402
from confluent_kafka import admin  # noqa: E402
import stage  # noqa: E402
from stage import kafka  # noqa: E402

BENCH = stage.BUILD / "tests" / "bench"
COMMANDS = int(os.environ.get("BENCH_COMMANDS", 20000))
PAIRS = int(os.environ.get("BENCH_PAIRS", 5))
STARTS = 5
KEYS = 5000
PARTITIONS = 4
IN_FLIGHT = 64
BODY = '{"assignee_id":"tea_6r55a","status":"archived","tag_ids":["tag_13o8r1","tag_14p0xx"]}'
RUN_LIMIT_S = 120
IDLE_S = 3


class Process:
    """What the kernel says of a process."""

    def __init__(self, pid):
        self.pid = pid
        self.clock = (~pid << 3) | 2  # clock_getcpuclockid(3): all its threads, user + system

    def cpu_s(self):
        return time.clock_gettime(self.clock)

    def memory_mb(self, field):
        return stage.memory_mb(self.pid, field)


class Floor:
    """The other program, started and stopped as stage.Connector is."""

    def __init__(self, folder, settings, value_bytes):
        self.log = folder / f"floor-{uuid.uuid4().hex[:6]}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(BENCH / "floor"), settings["kafka.bootstrap.servers"],
                 settings["commands.topics"], settings["results.topic"], settings["group.id"],
                 settings["front.url"], str(IN_FLIGHT), str(value_bytes), BODY],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=kafka.die_with_parent)

    def ready(self):
        return b"ready" in self.log.read_bytes()

    def kill(self):
        self.process.kill()
        self.process.wait()


class Connector(stage.Connector):
    def ready(self):
        return self.page("/readyz")[0] == 200


class Bench:
    """One Kafka, one answerer, one topic of commands; every run has a group and a results
    topic of its own."""

    def __init__(self, folder, items=0):
        self.folder = folder
        self.bootstrap = stage.world.kafka().bootstrap
        self.admin = admin.AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.answerer = subprocess.Popen([str(BENCH / "answerer"), str(items)],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         text=True, preexec_fn=kafka.die_with_parent)
        self.url = f"http://127.0.0.1:{int(self.answerer.stdout.readline())}"
        self.tag = uuid.uuid4().hex[:8]
        self.commands, self.none = f"commands-{self.tag}", f"none-{self.tag}"
        self.dead_letters = f"dead-letters-{self.tag}"
        for topic in (self.commands, self.none, self.dead_letters):
            self.create(topic)
        self.value_bytes = 1500  # until a result has been seen

    def create(self, topic, config=None):
        new = admin.NewTopic(topic, PARTITIONS, 1, config=config or {})
        self.admin.create_topics([new])[topic].result(30)
        stage.wait_for(f"topic {topic}",
                       lambda: topic in self.admin.list_topics(timeout=10).topics)

    def preload(self):
        """The commands, generic ones; each goes to the partition of its key."""
        producer = confluent_kafka.Producer({
            "bootstrap.servers": self.bootstrap, "linger.ms": 5, "log_level": 0,
            "partitioner": "murmur2_random", "queue.buffering.max.messages": COMMANDS + 1})
        for n in range(COMMANDS):
            key = f"cnv_{n % KEYS + 0x1000:x}"
            producer.produce(self.commands, avro.command(
                "update-conversation", {"conversation_id": key}, BODY,
                command_id=f"6c7f3c3e-7a43-4a53-9d0c-{n:012x}"), key)
            producer.poll(0)
        if producer.flush(60):
            raise AssertionError("the commands could not be produced within 60 s")

    def settings(self, commands):
        run = f"{self.tag}-{uuid.uuid4().hex[:6]}"
        self.create(f"results-{run}")
        self.create(f"jobs-{run}", {"cleanup.policy": "compact"})
        return {"front.url": self.url, "front.token": stage.TOKEN, "instance.id": "one",
                "front.max.in.flight": IN_FLIGHT, "kafka.bootstrap.servers": self.bootstrap,
                "commands.topics": commands, "results.topic": f"results-{run}",
                "jobs.topic": f"jobs-{run}",
                "dead.letters.topic": self.dead_letters, "group.id": f"group-{run}"}

    def start(self, program, settings):
        """The program, ready, and the seconds from exec until then."""
        began = time.monotonic()
        if program == "floor":
            started = Floor(self.folder, settings, self.value_bytes)
        else:
            started = Connector(self.folder, settings)
        def is_ready():
            if started.process.poll() is not None:
                raise AssertionError(f"{program} ended:\n{kafka.tail(started.log)}")
            return started.ready()
        stage.wait_for(f"ready {program}", is_ready, 30, 0.002)
        return started, time.monotonic() - began

    def idle(self, program):
        """A start without commands, and some seconds of rest."""
        started, ready_s = self.start(program, self.settings(self.none))
        process = Process(started.process.pid)
        start_cpu_s = process.cpu_s()
        time.sleep(IDLE_S)  # what is measured is a time without work
        figures = {"ready_s": ready_s, "start_cpu_s": start_cpu_s,
                   "idle_cpu_ms": (process.cpu_s() - start_cpu_s) / IDLE_S * 1000,
                   "idle_mb": process.memory_mb("VmRSS")}
        started.kill()
        return figures

    def load(self, program, start_cpu_s):
        """All commands once."""
        settings = self.settings(self.commands)
        began = time.monotonic()
        group = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "log_level": 0,
                                          "group.id": settings["group.id"]})
        started, _ = self.start(program, settings)
        process = Process(started.process.pid)
        places = [confluent_kafka.TopicPartition(self.commands, p) for p in range(PARTITIONS)]

        def all_committed():
            if started.process.poll() is not None:
                raise AssertionError(f"{program} ended:\n{kafka.tail(started.log)}")
            done = group.committed(places, timeout=10)
            return sum(max(p.offset, 0) for p in done) >= COMMANDS
        stage.wait_for("end of the commands", all_committed, RUN_LIMIT_S)
        cpu_s = process.cpu_s() - start_cpu_s
        peak_mb = process.memory_mb("VmHWM")
        started.kill()
        group.close()
        results = self.read(settings["results.topic"])
        return {"cpu_us": cpu_s / COMMANDS * 1e6, "peak_mb": peak_mb, **results,
                "wall_s": time.monotonic() - began}

    def read(self, topic):
        """Every result, counted by the command it answers; their size and their time."""
        reader = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": f"{topic}-reader", "log_level": 0,
            "isolation.level": "read_committed", "enable.auto.commit": False,
            "enable.partition.eof": True})
        reader.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING)
                       for p in range(PARTITIONS)])
        sources, times, ends, size, value = {}, [], 0, 0, 0
        deadline = time.monotonic() + 60
        while ends < PARTITIONS and time.monotonic() < deadline:
            for message in reader.consume(1000, 1):
                if message.error():
                    ends += 1
                    continue
                headers = dict(message.headers())
                source = headers["source"]
                sources[source] = sources.get(source, 0) + 1
                if headers["outcome"] != b"SUCCEEDED":
                    raise AssertionError(f"a command did not succeed: {headers}")
                times.append(message.timestamp()[1])
                value += len(message.value())
                size += len(message.value()) + len(message.key()) + sum(
                    len(n) + len(v) for n, v in message.headers())
        marks = sum(reader.get_watermark_offsets(confluent_kafka.TopicPartition(topic, p))[1]
                    for p in range(PARTITIONS)) - len(times)
        reader.close()
        twice = sum(1 for n in sources.values() if n > 1)
        if len(sources) != COMMANDS or twice:
            raise AssertionError(f"{COMMANDS} commands: {len(sources)} have a result, "
                                 f"{twice} more than one")
        span_s = max((max(times) - min(times)) / 1000, 0.001)
        return {"rate": COMMANDS / span_s, "value_bytes": round(value / COMMANDS),
                "record_bytes": size / COMMANDS, "transactions": marks / PARTITIONS}

    def close(self):
        self.answerer.kill()
        self.answerer.wait()


def machine():
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    version = stage.run("--version").stdout.split("\n")
    load = os.getloadavg()[0]
    return (f"{os.cpu_count()} cores, {cpu.group(1) if cpu else platform.machine()}, "
            f"Linux {platform.release()}, load {load:.1f} at the start\n"
            + ", ".join(line.strip() for line in version if line.strip()))


def median(rows, name):
    return statistics.median(row[name] for row in rows)


def show(rows):
    print(f"{'':10}" + "".join(f"{head:>14}" for head in (
        "commands/s", "CPU us/cmd", "peak MB", "bytes/result", "transactions")))
    for program, row in rows:
        print(f"{program:10}{row['rate']:14.0f}{row['cpu_us']:14.1f}{row['peak_mb']:14.1f}"
              f"{row['record_bytes']:14.0f}{row['transactions']:14.0f}")


def measure(bench):
    print(machine(), flush=True)
    bench.preload()
    idle = {p: [] for p in ("connector", "floor")}
    for _ in range(STARTS):
        idle["connector"].append(bench.idle("connector"))
    idle["floor"].append(bench.idle("floor"))
    start = {p: median(rows, "start_cpu_s") for p, rows in idle.items()}
    # One run that is not counted: it warms the broker up and tells the size of a result.
    bench.value_bytes = bench.load("connector", start["connector"])["value_bytes"]
    pairs = []
    for n in range(PAIRS):
        order = ("floor", "connector") if n % 2 == 0 else ("connector", "floor")
        pairs.append({program: bench.load(program, start[program]) for program in order})
    rows = [row for pair in pairs for row in pair.items()]
    print(f"{COMMANDS} commands over {KEYS} keys, {IN_FLIGHT} requests at a time, "
          f"{PARTITIONS} partitions")
    show(rows)
    of = {p: [row for name, row in rows if name == p] for p in ("connector", "floor")}
    print("medians")
    show([(p, {name: median(of[p], name) for name in of[p][0]}) for p in of])
    # Within a pair both had the same neighbours on the machine.
    cpu = sorted(pair["connector"]["cpu_us"] / pair["floor"]["cpu_us"] for pair in pairs)
    rate = statistics.median(pair["connector"]["rate"] / pair["floor"]["rate"]
                             for pair in pairs)
    print(f"connector / floor, median of the pairs: CPU {statistics.median(cpu):.2f} "
          f"({cpu[0]:.2f} to {cpu[-1]:.2f}; aim 1.5 or less), commands/s {rate:.2f}")
    of = idle["connector"]
    print(f"from exec to ready {median(of, 'ready_s'):.2f} s of {STARTS} starts (aim < 1), "
          f"longest {max(row['ready_s'] for row in of):.2f} s")
    print(f"memory idle {median(of, 'idle_mb'):.1f} MB (aim < 20), loaded at most "
          f"{max(r['peak_mb'] for p, r in rows if p == 'connector'):.1f} MB (aim < 64); floor "
          f"idle {median(idle['floor'], 'idle_mb'):.1f} MB")
    print(f"CPU to start {start['connector'] * 1000:.0f} ms, floor {start['floor'] * 1000:.0f} "
          f"ms; idle {median(of, 'idle_cpu_ms'):.1f} ms a second, floor "
          f"{median(idle['floor'], 'idle_cpu_ms'):.1f} ms")


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="front-connector-bench."))
    bench = None
    try:
        bench = Bench(folder)
        measure(bench)
    except (AssertionError, kafka.KafkaError) as e:
        sys.exit(f"bench: {e}")
    finally:
        if bench:
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
