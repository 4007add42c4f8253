"""What happens to the instances and the brokers in a chaos, all of it from one seed."""

import heapq
import itertools
import re
import signal
import time

import confluent_kafka

import stage

WAITING = re.compile(r"(kafka|tick)\.waiting")
PAUSE_S = 2.5  # between two troubles, on average
LULL_EVERY, LULL_S = 8, 25  # after so many kills, long enough for leases and looks to end
OUTAGE_S = 10  # two of three brokers down
LEAVE_S = 100  # drain, last tick and close of an instance told to end
# A static member that is back before its session ends keeps its partitions; after 6 s others
# have them.
AWAY_S = (0, 0, 0.5, 2, 8)


class Instance:
    """A connector, and what was done to it. state: up, stopped, down, leaving."""

    def __init__(self, on_stage, name):
        self.name = name
        self.connector = on_stage.start(ready=False, **{"instance.id": name})
        self.state, self.leave_by, self.log_size = "up", 0, 0

    def start(self):
        self.log_size = self.connector.log.stat().st_size
        self.connector.start()
        self.state = "up"

    def began(self):
        """Else a signal met a process that was not in its own code yet."""
        return self.connector.log.stat().st_size > self.log_size

    def signal(self, number):
        self.connector.process.send_signal(number)


class Trouble:
    def __init__(self, on_stage, cluster, random, kills, instances):
        self.stage, self.cluster, self.random, self.goal = on_stage, cluster, random, kills
        self.instances = [Instance(on_stage, f"chaos-{n + 1}") for n in range(instances)]
        self.counts = dict.fromkeys(("kills", "stops", "restarts", "broker_kills", "outages"), 0)
        self.lines, self.ends, self.down = [], [], []
        self.heap, self.order = [], itertools.count()
        self.over = self.outage_over = False
        self.later(2, self.next)

    # --- time ---

    def later(self, delay_s, what, *arguments):
        heapq.heappush(self.heap, (time.monotonic() + delay_s, next(self.order), what,
                                   arguments))

    def turn(self):
        while self.heap and self.heap[0][0] <= time.monotonic():
            _, _, what, arguments = heapq.heappop(self.heap)
            what(*arguments)
        for instance in self.instances:
            self.watch(instance)

    def ended(self):
        return self.over and not self.heap and not self.down and all(
            i.state == "up" for i in self.instances)

    def say(self, text):
        self.lines.append((time.time(), text))

    # --- what may come next ---

    def next(self):
        if self.counts["kills"] >= self.goal:
            self.over = True
            return
        before = self.counts["kills"]
        kinds = {self.kill: 60, self.stop: 22, self.restart: 12, self.roll: 2}
        if self.cluster:
            kinds[self.kill_broker] = 25
        if self.cluster and not self.outage_over and before >= self.goal // 2:
            kinds = {self.outage: 1}
        what, = self.random.choices(list(kinds), kinds.values())
        what()
        pause = min(max(self.random.expovariate(1 / PAUSE_S), 0.2), 8)
        kills = self.counts["kills"]
        if kills > before and kills % LULL_EVERY == 0:
            pause += LULL_S
        self.later(pause, self.next)

    def one(self, *states):
        those = [i for i in self.instances if i.state in states]
        return self.random.choice(those) if those else None

    def kill(self):
        instance = self.one("up", "stopped", "leaving")
        if not instance:
            return
        self.counts["kills"] += 1
        self.say(f"kill -9 {instance.name} ({instance.state})")
        instance.connector.kill()
        instance.state = "down"
        self.later(self.random.choice(AWAY_S), self.start, instance)

    def start(self, instance):
        self.say(f"start {instance.name}")
        instance.start()

    def stop(self):
        instance = self.one("up")
        if not instance:
            return
        seconds = self.random.uniform(1, 15)
        self.counts["stops"] += 1
        self.say(f"SIGSTOP {instance.name} for {seconds:.1f} s")
        instance.signal(signal.SIGSTOP)
        instance.state = "stopped"
        self.later(seconds, self.go_on, instance, instance.connector.process)

    def go_on(self, instance, process):
        if instance.connector.process is process and instance.state == "stopped":
            self.say(f"SIGCONT {instance.name}")
            instance.signal(signal.SIGCONT)
            instance.state = "up"

    def restart(self, instance=None):
        instance = instance or self.one("up")
        if not instance or instance.state != "up":
            return
        self.counts["restarts"] += 1
        self.say(f"SIGTERM {instance.name}")
        instance.signal(signal.SIGTERM)
        instance.state, instance.leave_by = "leaving", time.monotonic() + LEAVE_S

    def roll(self):
        """All of them, one after another."""
        for n, instance in enumerate(self.instances):
            self.later(4 * n, self.restart, instance)

    # --- brokers: never more than one down, but for the one outage ---

    def kill_broker(self):
        if self.down:
            return
        broker = self.random.choice(self.cluster.brokers)
        self.counts["broker_kills"] += 1
        self.fell(broker)
        self.later(self.random.uniform(1, 8), self.start_brokers)

    def outage(self):
        if self.down:
            return
        self.outage_over = True
        self.counts["outages"] += 1
        for broker in self.random.sample(self.cluster.brokers, 2):
            self.fell(broker)
        self.later(OUTAGE_S - 1, self.hear, [
            (i, i.connector.process, i.connector.log.stat().st_size) for i in self.instances])
        self.later(OUTAGE_S, self.start_brokers)

    def hear(self, before):
        """Who lives through an outage says what it waits for."""
        for instance, process, size in before:
            if instance.state != "up" or instance.connector.process is not process:
                continue
            page = instance.connector.page("/readyz")[1]
            log = instance.connector.log.read_bytes()[size:].decode(errors="replace")
            self.say(f"{instance.name} says: {page.strip()}")
            if page.strip() == "ok" and not WAITING.search(log):
                self.note_end(instance, "does not say what it waits for")

    def fell(self, broker):
        self.say(f"kill -9 broker {self.cluster.brokers.index(broker) + 1}")
        broker.stop()
        self.down.append(broker)

    def start_brokers(self):
        for broker in self.down:
            self.say(f"start broker {self.cluster.brokers.index(broker) + 1}")
            broker.launch()
        self.later(1, self.await_brokers)

    def await_brokers(self):
        """One that was down counts as up when it has caught up with all of its partitions; while
        it is away another may answer what it last heard."""
        if not all(b.is_open() for b in self.down):
            self.later(1, self.await_brokers)
            return
        try:
            topics = self.stage.admin.list_topics(timeout=2).topics.values()
        except confluent_kafka.KafkaException:
            topics = []
        whole = topics and all(len(p.isrs) == len(p.replicas) for t in topics
                               for p in t.partitions.values())
        if whole:
            self.down = []
            self.say("all brokers in sync")
        else:
            self.later(1, self.await_brokers)

    # --- what an instance does by itself ---

    def watch(self, instance):
        process = instance.connector.process
        if instance.state == "down":
            return
        code = process.poll()
        if instance.state == "leaving" and code is None:
            if time.monotonic() > instance.leave_by:
                self.note_end(instance, f"still running {LEAVE_S} s after SIGTERM")
                instance.connector.kill()
                instance.state = "down"
                self.later(1, self.start, instance)
        elif instance.state == "leaving" and (
                code == 0 or code == -signal.SIGTERM and not instance.began()):
            self.say(f"{instance.name} ended")
            instance.start()
        elif code is not None:
            self.note_end(instance, f"ended by itself with {code}")
            instance.state = "down"
            self.later(1, self.start, instance)

    def note_end(self, instance, what):
        log = stage.kafka.tail(instance.connector.log, 8)
        self.say(f"{instance.name} {what}")
        self.ends.append({"instance": instance.name, "what": what, "at": time.time(),
                          "brokers_down": len(self.down), "log": log})
