"""The commands of a chaos: a steady stream over many keys. A command's text is found again in
the API's journal, so that each execution is known to be its own. A list has it in `sort_by`,
which front-sandbox does not look at."""

import heapq
import itertools
import subprocess
import time

import confluent_kafka

import stage
import walks

# What Front does to a call, by operation: chance, then the fault. Executed and lost, not
# executed and lost, broken answers, refusals; and slow ones, so that a kill finds calls running.
LOST = [
    (0.012, {"fault": "reset", "after_execution": True}),
    (0.012, {"fault": "reset", "after_execution": False}),
    (0.004, {"fault": "timeout", "after_execution": True}),
    (0.004, {"fault": "timeout", "after_execution": False}),
    (0.008, {"status": 500, "after_execution": True}),
    (0.008, {"status": 500, "after_execution": False}),
    (0.004, {"fault": "503html", "after_execution": False}),
]
POST = LOST + [
    (0.004, {"fault": "half"}),
    (0.004, {"status": 429, "after_execution": False, "retry_after": 1}),
    (0.005, {"status": 422, "after_execution": False}),
    (0.35, {"fault": "slow", "delay_ms": 150}),
]
SAFE = LOST + [
    (0.005, {"status": 422, "after_execution": False}),
    (0.20, {"fault": "slow", "delay_ms": 80}),
]
LIST = LOST + [
    (0.002, {"status": 422, "after_execution": False}),
    # Front does not know the page token any more: the walk begins anew.
    (0.001, {"status": 400, "after_execution": False, "match": "page_token"}),
    (0.20, {"fault": "slow", "delay_ms": 80}),
]
LOOK = [(0.03, {"status": 500, "after_execution": False}), (0.02, {"fault": "reset"})]
FAULTS = {"add-comment": POST, "create-message-reply": POST, "update-conversation": SAFE,
          "get-conversation-by-id": SAFE, "list-conversation-comments": LOOK,
          "list-conversation-messages": LOOK, "update-a-contact": SAFE, "list-contacts": LIST,
          "list-tags": LIST, "list-conversations": LIST,
          "list-tag-children": LIST, "list-tagged-conversations": LIST,
          "list-conversation-inboxes": LIST, "list-conversation-followers": LIST}

# patch, contact and get are safe to repeat; a twin is two comments with one text, one after the
# other; a page is a list that ends with its first one.
KINDS = {"patch": 24, "comment": 37, "twin": 3, "reply": 10, "get": 16, "contact": 6, "list": 3,
         "page": 1}
# What is listed: rows of these are changed meanwhile, but none comes or goes. The lists of each of
# their rows (walks.WITH) stay as they are too.
LISTS = {"list-contacts": "contacts", "list-tags": "tags", "list-conversations": "conversations"}
TOPICS = set(LISTS.values()) | {topic for _, _, topic, _ in walks.OF_ROWS.values()}
TAGGED = 120  # conversations that have the first tag: its list has two pages
OFTEN_WITH = 0.4  # of the lists whose rows have lists; each row is a call or two
WHOLE_WITH = 0.1  # how many of those have no max_items
LIMITS = 5, 5, 10, 25
MOST, CANCELLED = 0.3, 0.25  # how many of the lists have max_items, are asked to end
EARLY = 0.2  # how many of those soon after the command, when few have begun; else as a job
EARLY_S, CANCEL_S = 2, 0.4  # at the latest after that
TOOL_S = 60  # for a run of the command line


def faults():
    """For the sandbox, which throws one dice for all faults of a request: chances add up."""
    rows = []
    for operation, chances in FAULTS.items():
        level = 0
        for chance, fault in chances:
            level += chance
            rows.append({"operation": operation, "probability": level, **fault})
    return rows


class Traffic:
    """Sends `rate` commands a second, no more than `ahead` beyond the last answer."""

    def __init__(self, on_stage, random, keys, rate, ahead):
        self.stage, self.random = on_stage, random
        self.keys, self.rate, self.ahead = keys, rate, ahead
        self.commands, self.next_of = [], [0] * keys
        self.due = time.monotonic()
        self.cancels, self.tools, self.order = [], [], itertools.count()
        self.unbegun, self.begun, self.jobs = [], set(), None
        self.amiss = []  # what the command line did that it should not

    def turn(self):
        now = time.monotonic()
        while self.due <= now:
            self.due += 1 / self.rate
            if len(self.commands) - len(self.stage.by_id) < self.ahead:
                self.send()
        self.look_for_jobs()
        while self.cancels and self.cancels[0][0] <= now:
            self.cancel(*heapq.heappop(self.cancels)[2:])
        self.tools = [tool for tool in self.tools if not self.ended(*tool)]

    def send(self):
        key = self.random.randrange(self.keys)
        kind, = self.random.choices(list(KINDS), KINDS.values())
        if kind == "twin":
            text = f"{key}-{self.next_of[key]}-twin"
            self.command(key, "comment", text)
            self.command(key, "comment", text)
        elif kind in ("list", "page"):
            self.list(key, kind)
        else:
            self.command(key, kind, None)

    def command(self, key, kind, text):
        conversation = f"cnv_{key + 1}"
        params = {"conversation_id": conversation}
        name = self.name(key, kind)
        text = text or name
        if kind == "patch":
            call = "update-conversation", params, {"custom_fields": {"Note": text}}
        elif kind == "contact":
            call = ("update-a-contact", {"contact_id": f"crd_{key + 1}"},
                    {"custom_fields": {"Note": text}})
        elif kind == "get":
            call = "call", {}, None
        else:
            call = ("add-comment" if kind == "comment" else "create-message-reply", params,
                    {"body": text})
        raw = {"method": "GET", "query": {"marker": text},
               "path": f"/conversations/{conversation}"} if kind == "get" else {}
        self.put(key, kind, name, text, *call, **raw)

    def list(self, key, kind):
        """Some are asked to end, with a record or by the command line: in time or not."""
        name = self.name(key, kind)
        operation = self.random.choice(list(LISTS))
        limit, most, cancel = self.random.choice(LIMITS), None, None
        if kind == "page":
            most = self.random.randint(1, limit)
        elif self.random.random() < CANCELLED:
            limit, cancel = LIMITS[0], self.random.choice(("record", "tool"))
        elif self.random.random() < MOST:
            most = self.random.randint(limit + 1, 4 * limit)
        words = self.choose_with(operation) if kind == "list" else []
        if words and not cancel:
            limit = LIMITS[0]
            whole = self.random.random() < WHOLE_WITH
            most = None if whole else self.random.randint(limit + 1, 4 * limit)
        params = {"sort_by": name, "limit": str(limit)}
        if words:
            params["with"] = ",".join(words)
        order = self.random.choice((None, "asc", "desc"))  # None: the oldest come first
        if order:
            params["sort_order"] = order
        if most:
            params["max_items"] = str(most)
        command = self.put(key, kind, name, name, operation, params, None)
        command.update(rows=LISTS[operation], limit=limit, most=most,
                       ascending=order != "desc", cancel=cancel, words=words)
        if cancel:
            early, part = self.random.random() < EARLY, self.random.random()
            if early:
                self.cancel_in(part * EARLY_S, command)
            else:
                self.unbegun.append((command, part * CANCEL_S))

    def choose_with(self, operation):
        words = list(walks.WITH.get(LISTS[operation], ()))
        if not words or self.random.random() > OFTEN_WITH:
            return []
        return self.random.sample(words, self.random.randint(1, len(words)))

    def name(self, key, kind):
        return f"{key}-{self.next_of[key]}-{kind}"

    def put(self, key, kind, name, text, operation, params, body, **raw):
        """raw: of a call that has no operation."""
        conversation = f"cnv_{key + 1}"
        place = self.stage.command(name, operation, params, body, key=conversation, **raw)
        command = {"name": name, "key": key, "number": self.next_of[key], "kind": kind,
                   "text": text, "conversation": conversation, "place": place}
        self.next_of[key] += 1
        self.commands.append(command)
        return command

    # --- asking lists to end ---

    def look_for_jobs(self):
        """Those that are to be asked to end are so when their record is seen."""
        if not self.jobs:
            self.jobs = confluent_kafka.Consumer({
                "bootstrap.servers": self.stage.bootstrap, "group.id": "chaos-jobs",
                "isolation.level": "read_committed", "enable.auto.commit": False,
                "log_level": 0})
            self.jobs.assign([confluent_kafka.TopicPartition(self.stage.jobs_topic, p, 0)
                              for p in range(self.stage.partitions)])
        self.begun |= {m.key().decode() for m in self.jobs.consume(1000, 0) if not m.error()}
        for entry in list(self.unbegun):
            command, delay_s = entry
            if command["place"] and self.job(command) in self.begun:
                self.unbegun.remove(entry)
                self.cancel_in(delay_s, command)

    def job(self, command):
        partition, offset = command["place"][0]
        return f"{self.stage.commands}/{partition}/{offset}"

    def cancel_in(self, delay_s, command):
        heapq.heappush(self.cancels, (time.monotonic() + delay_s, next(self.order), command))

    def cancel(self, command):
        if not command["place"]:  # not acknowledged yet
            self.cancel_in(0.5, command)
            return
        job = self.job(command)
        if command["cancel"] == "record":
            self.stage.producer.produce(self.stage.jobs_topic, b"chaos", f"{job}/cancel",
                                        partition=command["place"][0][0])
            return
        conf = self.stage.connectors[0].conf
        tool = subprocess.Popen(
            [stage.BINARY, "jobs", "cancel", job, "-c", str(conf)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.tools.append((tool, job, time.monotonic() + TOOL_S))

    def ended(self, tool, job, until):
        """0: asked; 1: there is no such list any more, or not yet, or Kafka is away."""
        code = tool.poll()
        if code is None and time.monotonic() > until:
            tool.kill()
            code = tool.wait()
        if code not in (None, 0, 1):
            self.amiss.append(f"jobs cancel {job} ended with {code}: {tool.stderr.read()}")
        if code is not None:
            tool.stderr.close()
        return code is not None

    def finish(self):
        """What is still to be asked is asked, and the command line has ended."""
        self.stage.flush()
        self.jobs.close()
        while self.cancels or self.tools:
            while self.cancels and self.cancels[0][2]["place"]:
                self.cancel(heapq.heappop(self.cancels)[2])
            self.tools = [tool for tool in self.tools if not self.ended(*tool)]
            self.stage.read(0.05)
