#!/usr/bin/env python3
"""The long list of `make bench`: one list-contacts, the connector beside the floor
(list_floor.c), on one real Kafka and the same answerer (answerer.c).

    BENCH_ITEMS=n      items of the list (100000)

Prints figures and judges none of them; the exit code is 1 when an item is missing or is there
twice."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import types
import uuid

import confluent_kafka

import bench
from bench import avro, kafka

ITEMS = int(os.environ.get("BENCH_ITEMS", 100000))
LIMIT_S = 1800
SAMPLE_S = 0.5


class Lists(bench.Bench):
    def __init__(self, folder):
        super().__init__(folder, ITEMS)
        self.run_tag = uuid.uuid4().hex[:6]
        self.item_bytes = 1500  # until a record has been seen

    def connector(self):
        settings = self.settings(f"list-commands-{self.run_tag}")
        settings["resources.topic.prefix"] = f"list-{self.run_tag}."
        items = f"list-{self.run_tag}.contacts"
        for topic in (settings["commands.topics"], items):
            self.create(topic)
        started, _ = self.start("connector", settings)
        reader = reader_of(self.bootstrap, settings["results.topic"])
        producer = confluent_kafka.Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        producer.produce(settings["commands.topics"], avro.command(
            "list-contacts", {"limit": "100"}, None, command_id="list"), "contacts")
        producer.flush(10)

        def has_result():
            return any(not m.error() for m in reader.consume(10, 0.1))
        figures = watch(started, has_result, "connector")
        reader.close()
        return {**figures, **self.count(items)}

    def floor(self):
        topic = f"list-floor-{self.run_tag}"
        self.create(topic)
        log = self.folder / "list-floor.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [str(bench.BENCH / "list_floor"), self.bootstrap, topic, f"floor-{self.run_tag}",
                 self.url, str(self.item_bytes)], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, preexec_fn=kafka.die_with_parent)

        started = types.SimpleNamespace(process=process, log=log, kill=process.kill)
        figures = watch(started, lambda: b"done" in log.read_bytes(), "floor")
        process.wait()
        return {**figures, **self.count(topic)}

    def count(self, topic):
        """Each item once; then the topic goes, it is large."""
        reader = reader_of(self.bootstrap, topic)
        keys, records, size, ends = set(), 0, 0, 0
        deadline = time.monotonic() + 300
        while ends < bench.PARTITIONS and time.monotonic() < deadline:
            for message in reader.consume(10000, 1):
                if message.error():
                    ends += 1
                    continue
                keys.add(message.key())
                records += 1
                size += len(message.value())
        reader.close()
        self.admin.delete_topics([topic])
        if records != ITEMS or len(keys) != ITEMS:
            raise AssertionError(f"{ITEMS} items: {records} records, {len(keys)} keys")
        return {"item_bytes": round(size / records)}


def reader_of(bootstrap, topic):
    reader = confluent_kafka.Consumer({
        "bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "log_level": 0,
        "isolation.level": "read_committed", "enable.auto.commit": False,
        "enable.partition.eof": True})
    reader.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING)
                   for p in range(bench.PARTITIONS)])
    return reader


def watch(started, is_done, program):
    """Time, CPU and memory until the end; memory early and late tell growth from level."""
    process = bench.Process(started.process.pid)
    began, cpu_s, samples = time.monotonic(), process.cpu_s(), []
    next_sample = began
    while not is_done():
        if started.process.poll() is not None:
            raise AssertionError(f"{program} ended:\n{kafka.tail(started.log)}")
        if time.monotonic() - began > LIMIT_S:
            raise AssertionError(f"{program}: not done within {LIMIT_S} s")
        if time.monotonic() >= next_sample:
            samples.append(process.memory_mb("VmRSS"))
            next_sample += SAMPLE_S
    figures = {"seconds": time.monotonic() - began, "cpu_s": process.cpu_s() - cpu_s,
               "peak_mb": process.memory_mb("VmHWM"),
               "early_mb": max(samples[:len(samples) // 4 + 1]),
               "late_mb": max(samples[len(samples) * 3 // 4:])}
    started.kill()
    return figures


def show(program, row):
    print(f"{program:10}{ITEMS / row['seconds']:10.0f} items/s"
          f"{row['cpu_s'] / ITEMS * 1e6:8.1f} us CPU an item"
          f"{row['item_bytes']:7d} bytes an item; memory in the first quarter"
          f"{row['early_mb']:6.1f} MB, in the last{row['late_mb']:6.1f} MB", flush=True)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="front-connector-bench."))
    lists = None
    try:
        lists = Lists(folder)
        print(f"one list of {ITEMS} items, 100 on a page, load {os.getloadavg()[0]:.1f}",
              flush=True)
        connector = lists.connector()
        show("connector", connector)
        lists.item_bytes = connector["item_bytes"]
        floor = lists.floor()
        show("floor", floor)
        print(f"connector / floor: CPU {connector['cpu_s'] / floor['cpu_s']:.2f}, "
              f"items/s {floor['seconds'] / connector['seconds']:.2f}")
    except (AssertionError, kafka.KafkaError) as e:
        sys.exit(f"bench: {e}")
    finally:
        if lists:
            lists.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
