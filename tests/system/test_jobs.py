"""Long lists on a real Kafka: page after page onto the topic of their resource, one result, whoever
is killed meanwhile. Items are known by their keys."""

import collections
import datetime
import json
import os
import pty
import re
import subprocess
import unittest
import urllib.parse

import confluent_kafka

import avro
import front as scripted
import stage
from stage import wait_for

PAGE = 100


class Contacts(scripted.Front):
    """A Front with so many contacts; a page token names the first row of its page."""

    def __init__(self, rows, delay_s=0.0):
        super().__init__(delay_s)
        self.rows, self.forgotten = rows, set()

    def take(self, request):
        if request.path != "/contacts":
            return super().take(request)
        with self.lock:
            self.journal.append(request)
            query = dict(urllib.parse.parse_qsl(request.query))
            token = query.get("page_token", "from-0")
            if token in self.forgotten:
                self.forgotten.remove(token)
                return request, scripted.Answer(400)
            first, size = int(token.removeprefix("from-")), int(query["limit"])
            last = min(first + size, self.rows)
            link = f"{self.url}/contacts?limit={size}&page_token=from-{last}"
            return request, scripted.Answer(delay_s=self.delay_s, body={
                "_pagination": {"next": link if last < self.rows else None},
                "_results": [{"id": f"crd_{n}", "name": f"Contact {n}"}
                             for n in range(first, last)]})


class OnStage(unittest.TestCase):
    rows, delay_s = 250, 0.0

    def setUp(self):
        self.front = self.scripted_front()
        self.stage = stage.Stage(front=self.front)
        self.addCleanup(self.stage.close)
        self.items_topic = self.stage.prefix + "contacts"
        self.stage.create(self.items_topic, {"cleanup.policy": "compact"})

    def scripted_front(self):
        return Contacts(self.rows, self.delay_s)

    def topic(self, topic):
        """What read_committed shows of a topic, all of it."""
        reader = confluent_kafka.Consumer({
            "bootstrap.servers": self.stage.bootstrap, "group.id": "nobody", "log_level": 0,
            "isolation.level": "read_committed", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "enable.partition.eof": True})
        parts = range(self.stage.partitions)
        reader.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in parts])
        records, ended = [], set()
        while len(ended) < len(parts):
            message = reader.poll(20)
            self.assertIsNotNone(message, f"{topic} cannot be read to its end")
            if message.error():
                self.assertEqual(message.error().code(),
                                 confluent_kafka.KafkaError._PARTITION_EOF, message.error())
                ended.add(message.partition())
            else:
                records.append(message)
        reader.close()
        return records

    def item_keys(self):
        return [m.key().decode() for m in self.topic(self.items_topic)]

    def assert_all_once(self, count):
        seen = collections.Counter(self.item_keys())
        self.assertEqual([k for k, n in seen.items() if n > 1], [], "twice")
        self.assertEqual(set(seen), {f"crd_{n}" for n in range(count)})

    def assert_no_job_left(self):
        newest = {m.key(): m.value() for m in self.topic(self.stage.jobs_topic)}
        self.assertEqual([k for k, v in newest.items() if v is not None], [])

    def calls(self):
        return len(self.front.requests("/contacts"))


class Lists(OnStage):
    def test_a_short_list_is_one_tick(self):
        self.front.rows = 7
        self.stage.start()
        result = self.stage.ask("list-contacts")
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 7, 1))
        self.assertIn("crd_6", result.response)
        self.assert_all_once(7)
        self.assertEqual(self.topic(self.stage.jobs_topic), [])

    def test_a_long_list_goes_on_as_a_job(self):
        connector = self.stage.start()
        result = self.stage.ask("list-contacts", key="k", headers=[
            ("reply-topic", self.stage.replies.encode()), ("traceparent", b"00-1-2-03")])
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 250, 3))
        self.assertEqual((result.response, result.http_status, result.attempts), (None, 200, 3))
        self.assertEqual((result.key, result.text("traceparent")), (b"k", "00-1-2-03"))
        self.assertEqual(self.stage.reply(result.command_id).items, 250)
        self.assert_all_once(250)
        self.assert_no_job_left()
        self.assertEqual(self.calls(), 3)
        metrics = connector.metrics()
        self.assertEqual(metrics['job_results_total{outcome="SUCCEEDED"}'], 1)
        self.assertEqual(metrics['job_items_total{operation="list-contacts"}'], 150)
        self.assertEqual(metrics['commands_returned_total{reason="became_job"}'], 1)

    def test_max_items_ends_it_in_a_later_page(self):
        self.stage.start()
        result = self.stage.ask("list-contacts", {"max_items": "130"})
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 130, 2))
        self.assert_all_once(130)

    def test_a_refused_token_begins_the_walk_anew(self):
        self.front.forgotten = {"from-200"}
        self.stage.start()
        result = self.stage.ask("list-contacts")
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 450, 5))
        self.assertEqual(set(self.item_keys()), {f"crd_{n}" for n in range(250)})

    def test_a_key_waits_for_the_first_page_only(self):
        self.front.delay_s = 0.5
        self.stage.start()
        self.stage.command("long", "list-contacts", key="k")
        self.stage.command("next", "get-conversation-by-id", {"conversation_id": "cnv_1"},
                           key="k")
        self.stage.answer("next")
        self.assertNotIn("long", self.stage.by_id)
        self.assertEqual(self.stage.answer("long").items, 250)


class Cancelled(OnStage):
    rows, delay_s = 100_000, 0.1

    def begun(self, params=None):
        """The connector and the job's id, when its third page was asked for."""
        connector = self.stage.start()
        place = self.stage.command("endless", "list-contacts", params)
        self.stage.flush()
        wait_for("page 3", lambda: self.calls() > 3)
        return connector, place[0][0], f"{self.stage.commands}/{place[0][0]}/{place[0][1]}"

    def jobs(self, connector, *arguments):
        return stage.run("jobs", *arguments, "-c", str(connector.conf))

    def test_by_a_record(self):
        _, partition, job = self.begun()
        self.stage.producer.produce(self.stage.jobs_topic, b"please", f"{job}/cancel",
                                    partition=partition)
        self.assert_cancelled()

    def test_by_the_command_line(self):
        connector, _, job = self.begun()
        said = self.jobs(connector)
        self.assertRegex(said.stdout, rf"^{job}  list-contacts  \d+ pages?, \d+ items\n$")
        self.assertEqual(self.jobs(connector, "cancel", job, "--watch").returncode, 2)
        row = json.loads(self.jobs(connector, "--json").stdout)
        self.assertEqual((row["job_id"], row["command_id"]), (job, "endless"))
        self.assertEqual(self.jobs(connector, "cancel", job).returncode, 0)
        self.assert_cancelled()
        self.assertEqual(self.jobs(connector).stdout, "")
        late = self.jobs(connector, "cancel", job)
        self.assertEqual(late.returncode, 1)
        self.assertIn("no list", late.stderr)
        self.assertEqual(self.jobs(connector, "stop", job).returncode, 2)

    def test_progress_is_shown_as_a_true_share_where_it_is_known(self):
        self.assert_watched({"max_items": "20000"}, r"\[(#*)(\.+)\] +(\d+) %  ")
        done, open_, share = re.search(r"\[(#*)(\.+)\] +(\d+) %", self.screens[-1]).groups()
        items, = re.findall(r"(\d+) of 20000 items", self.screens[-1])
        self.assertEqual(int(share), int(items) * 100 // 20000)
        self.assertEqual((len(done), len(done + open_)), (int(items) * 20 // 20000, 20))

    def test_progress_moves_where_the_end_is_not_known(self):
        self.assert_watched(None, r"\[\.*#\.*\] ")
        self.assertGreater(len({re.search(r"\[.*\]", s).group() for s in self.screens}), 1)

    def assert_watched(self, params, bar):
        """`jobs --watch` on a terminal: the screens of some seconds, each with one line."""
        connector, _, job = self.begun(params)
        mine, its = pty.openpty()
        self.addCleanup(os.close, mine)
        self.watch(connector, its)
        os.close(its)
        shown = ""
        while shown.count("\033[J") < 4:
            shown += os.read(mine, 65536).decode()
        self.screens = shown.split("\r\033[J\033[?7l")[1:4]
        for screen in self.screens:
            self.assertRegex(screen, rf"^{job}  list-contacts  {bar}\d+ pages, \d+( of 20000)? "
                                     r"items\r\n\033\[\?7h\033\[1A$")

    def test_progress_without_a_terminal_is_a_line_for_each_step(self):
        connector, _, job = self.begun()
        self.front.delay_s = 2.5  # longer than what is between two looks
        mine, its = os.pipe()
        self.watch(connector, its)
        os.close(its)
        with os.fdopen(mine) as lines:
            steps = [re.fullmatch(rf"{job}  list-contacts  (\d+) pages, \d+ items\n",
                                  lines.readline()) for _ in range(3)]
        first, second, third = (int(step.group(1)) for step in steps)
        self.assertLess(first, second)
        self.assertLess(second, third)

    def watch(self, connector, out):
        watcher = subprocess.Popen(
            [stage.BINARY, "jobs", "--watch", "-c", str(connector.conf)],
            stdin=subprocess.DEVNULL, stdout=out,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": ""})
        self.addCleanup(watcher.wait)
        self.addCleanup(watcher.kill)

    def assert_cancelled(self):
        result = self.stage.answer("endless")
        self.assertEqual((result.outcome, result.error["kind"]), ("CANCELLED", "cancelled"))
        self.assertEqual(result.items, len(self.item_keys()))
        self.assert_no_job_left()


class Killed(OnStage):
    rows, delay_s = 6000, 0.25

    def test_every_item_once_and_one_result(self):
        both = [self.stage.start(), self.stage.start(**{"instance.id": "two"})]
        self.stage.command("all", "list-contacts")
        self.stage.flush()
        kills = self.stage.kill_in_turn(both, lambda: "all" in self.stage.by_id)
        result = self.stage.by_id["all"][0]
        for connector in both:
            connector.wait_ready()
        self.stage.settle()
        pages = self.rows // PAGE
        self.assertEqual((result.outcome, result.items, result.pages),
                         ("SUCCEEDED", self.rows, pages))
        self.assert_all_once(self.rows)
        self.assert_no_job_left()
        print(f"{kills} kills, {self.calls()} calls for {pages} pages")
        self.assertGreater(kills, 10)
        self.assertLessEqual(self.calls(), pages + kills + 1)


class Many(OnStage):
    """10,000 lists that wait for their last page."""
    rows, count = 1, 10_000

    def job(self, n, partition):
        row = {field["name"]: field.get("default")
               for field in avro.schema("records/Job")[0]["fields"]}
        return avro.encode("records/Job", {
            **row, "job_id": f"{self.stage.commands}/{partition}/{n}", "kind": "list",
            "state": "running", "operation": "list-contacts", "command_id": f"many-{n}",
            "source_topic": self.stage.commands, "source_partition": partition,
            "source_offset": n, "page_token": "from-0", "pages": 1, "items": 0, "seq": 1,
            "received_at": 1_700_000_000_000, "started_at": 1_700_000_000_000,
            "created_at": 1_700_000_000_000, "updated_at": 1_700_000_000_000})

    def taken_s(self, connector, since):
        """Seconds from the assignment to the last partition taken over, and how many jobs."""
        log = connector.log.read_text()[since:]
        times = [datetime.datetime.fromisoformat(line.split()[0]) for line in log.splitlines()
                 if "group.assigned" in line or "jobs.taken" in line]
        jobs = [int(n) for n in re.findall(r"jobs\.taken: \S+ (\d+) job", log)]
        if len(jobs) < self.stage.partitions:
            return None
        return (times[-1] - times[0]).total_seconds(), sum(jobs)

    def test_ten_thousand_are_taken_over_and_each_ends_once(self):
        for n in range(self.count):
            partition = n % self.stage.partitions
            self.stage.producer.produce(
                self.stage.jobs_topic, self.job(n, partition),
                f"{self.stage.commands}/{partition}/{n}", partition=partition)
        self.stage.flush()
        connector = self.stage.start(**{"jobs.max.running": 100, "front.max.in.flight": 32})
        took_s, jobs = wait_for("take-over", lambda: self.taken_s(connector, 0))
        memory = connector.metrics()["process_resident_memory_bytes"] / 1e6
        print(f"{jobs} jobs in {took_s:.2f} s, {memory:.0f} MB")
        self.assertEqual(jobs, self.count)
        self.assertLess(took_s, 5)
        wait_for("call 500", lambda: self.calls() > 500, 60)
        connector.kill()
        since = len(connector.log.read_text())
        connector.start()
        took_s, jobs = wait_for("take-over", lambda: self.taken_s(connector, since), 60)
        print(f"after the kill {jobs} jobs in {took_s:.2f} s")
        self.assertLess(took_s, 5)

        def all_answered():
            self.stage.read(0.2)
            return len(self.stage.by_id) == self.count
        wait_for("result of each", all_answered, 120)
        while self.stage.read(0.5):
            pass
        self.assertEqual([i for i, outs in self.stage.by_id.items() if len(outs) > 1], [])
        self.assertEqual(len(self.topic(self.items_topic)), self.count)
        self.assert_no_job_left()
