#!/usr/bin/env python3
"""The webhooks of `make bench`: signed events from one load (webhook_load.c), received by the
connector and by the floor (webhook_floor.c) in turn, on one real Kafka.

    BENCH_WEBHOOKS=n      events of a run (40000)
    BENCH_PAIRS=n         runs of each (5)

Prints figures and judges none of them; the exit code is 1 when an event was not answered 200, is
missing or is there twice."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid

import bench
from bench import kafka, stage
from list_bench import reader_of

EVENTS = int(os.environ.get("BENCH_WEBHOOKS", 40000))
PAIRS = int(os.environ.get("BENCH_PAIRS", 5))
CONNECTIONS, ALONE, ID_BYTES = 64, 500, 12
WARM = 500  # before the clock runs: topics' leaders and connections are known then
KEY = "key-of-the-benchmark"


class Webhooks(bench.Bench):
    def run(self, program):
        topic = f"hooks-{uuid.uuid4().hex[:8]}"
        self.create(topic)
        started, port = getattr(self, f"start_{program}")(topic)
        try:
            return self.measure(started, port, topic)
        finally:
            started.kill()
            started.wait()
            self.admin.delete_topics([topic])[topic].result(30)

    def start_connector(self, topic):
        port = kafka.free_port()
        settings = self.settings(self.none) | {
            "events.topic": topic, "webhooks.listen": f"127.0.0.1:{port}",
            "webhooks.app.keys": KEY}
        started, _ = self.start("connector", settings)
        return started.process, port

    def start_floor(self, topic):
        process = subprocess.Popen(
            [str(bench.BENCH / "webhook_floor"), self.bootstrap, topic, KEY],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            preexec_fn=kafka.die_with_parent)
        return process, int(process.stdout.readline())

    def measure(self, started, port, topic):
        process = bench.Process(started.pid)
        load(port, WARM, CONNECTIONS, 0)
        cpu_s = process.cpu_s()
        figures = load(port, EVENTS, CONNECTIONS, WARM)
        figures["cpu_us"] = (process.cpu_s() - cpu_s) / EVENTS * 1e6
        figures["alone_ms"] = load(port, ALONE, 1, WARM + EVENTS)["p50_ms"]
        figures["peak_mb"] = process.memory_mb("VmHWM")
        self.count(topic, WARM + EVENTS + ALONE)
        return figures

    def count(self, topic, events):
        """Each event once."""
        reader = reader_of(self.bootstrap, topic)
        records, ends, ids = 0, 0, set()
        while ends < bench.PARTITIONS:
            for message in reader.consume(10000, 5):
                if message.error():
                    ends += 1
                else:
                    records += 1
                    at = message.value().index(b"evt_")
                    ids.add(message.value()[at:at + ID_BYTES])
        reader.close()
        if records != events or len(ids) != events:
            raise AssertionError(f"{events} events: {records} records, {len(ids)} ids")


def load(port, events, connections, first):
    """So many events, from that number on."""
    done = subprocess.run(
        [str(bench.BENCH / "webhook_load"), str(port), KEY, str(events), str(connections), str(first)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        timeout=300, check=False)
    if done.returncode:
        raise AssertionError(f"load: {done.stderr}")
    figures = json.loads(done.stdout)
    if figures["refused"]:
        raise AssertionError(f"{figures['refused']} webhooks were not answered 200")
    return figures


def show(program, rows):
    def middle(name):
        return statistics.median(row[name] for row in rows)
    print(f"{program:10}{EVENTS / middle('seconds'):9.0f} webhooks/s"
          f"{middle('cpu_us'):8.1f} us CPU an event"
          f"   p50{middle('p50_ms'):6.2f} ms, p99{middle('p99_ms'):7.2f} ms;"
          f" one at a time p50{middle('alone_ms'):6.2f} ms;{middle('peak_mb'):6.1f} MB", flush=True)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="front-connector-bench."))
    hooks = None
    try:
        hooks = Webhooks(folder, 0)
        print(f"{EVENTS} signed webhooks of {CONNECTIONS} connections, each answered when Kafka "
              f"has it; medians of {PAIRS} runs, load {os.getloadavg()[0]:.1f}", flush=True)
        rows = {"connector": [], "floor": []}
        for _ in range(PAIRS):
            for program, figures in rows.items():
                figures.append(hooks.run(program))
        for program, figures in rows.items():
            show(program, figures)
        ratios = sorted(c["cpu_us"] / f["cpu_us"] for c, f in zip(*rows.values()))
        print(f"connector / floor: CPU {statistics.median(ratios):.2f} "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f})")
    except (AssertionError, kafka.KafkaError) as e:
        sys.exit(f"bench: {e}")
    finally:
        if hooks:
            hooks.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
