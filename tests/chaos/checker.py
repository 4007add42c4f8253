"""Judges a chaos from its facts alone: what was commanded, what came out (read_committed), what
the API's journal and state say.

    python3 tests/chaos/checker.py FOLDER

Each rule is a function that yields (command name or None, what is wrong)."""

import collections
import datetime
import json
import pathlib
import re
import sys
import urllib.parse

import walks

SHOWN = 8  # violations told in full
AROUND_S = 1.5  # log lines shown before and after a call or result
UNSEEDED_S = 60  # from a start without the results' tail to a doubt that it explains
ATTEMPTS = 8  # retry.max.attempts
POSTS = "comment", "reply"


class Facts:
    """facts.json with its tables joined: per command its calls and its results."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.__dict__.update(json.loads((self.folder / "facts.json").read_text()))
        self.unseeded = self.read_unseeded()
        self.joined()

    def read_unseeded(self):
        """(partition, when) of each time that an instance began without the results' tail."""
        those = []
        for log in self.folder.glob("*.log"):
            for at, line in log_lines(log):
                found = re.search(r"repeats.unknown: \S+/(\d+):", line)
                if found:
                    those.append((int(found.group(1)), at))
        return those

    def joined(self):
        """Makes the tables of what was read; again, when that was changed."""
        self.by_name = {c["name"]: c for c in self.commands}
        self.of_text = collections.defaultdict(list)
        for command in self.commands:
            self.of_text[command["text"]].append(command)
        self.calls = collections.defaultdict(list)
        self.calls_of_sync = collections.defaultdict(list)
        self.calls_of_rows = []  # for the lists of rows: they do not say whose command's
        for call in self.journal:
            call["at_ms"] = self.zero_ms + call["t_ms"]
            text = text_of(call)
            if text in self.of_text:
                self.calls[text].append(call)
            elif text and text.startswith("sync-"):
                self.calls_of_sync[text.removeprefix("sync-")].append(call)
            elif walks.of_row(self, call):
                self.calls_of_rows.append(call)
        self.results.sort(key=lambda r: (r["partition"], r["offset"]))
        self.by_place = collections.defaultdict(list)
        for result in self.results:
            self.by_place[result["source_partition"], result["source_offset"]].append(result)
        # What exists: id -> text, and the ids by text. A message's result names it by its uid.
        self.text_of_id, self.made, self.row_of = {}, collections.defaultdict(list), {}
        for kind, lists in (("comment", self.comments), ("reply", self.messages)):
            for rows in lists.values():
                for row in rows:
                    self.text_of_id[row["id"]] = (kind, row["body"])
                    self.made[kind, row["body"]].append(row["id"])
                    self.row_of[row["id"]] = row
        self.id_of_uid = {f"alt:uid:{row['message_uid']}": row["id"]
                          for rows in self.messages.values() for row in rows}
        self.named = {self.resource(r): c["name"] for c, r in self.posts()
                      if r["outcome"] == "SUCCEEDED" and r["resource_id"]}
        return self

    def result(self, command):
        """The one result of a command; None when there is none."""
        place = command["place"]
        those = self.by_place.get(tuple(place), []) if place else []
        return those[0] if those else None

    def executions(self, command):
        return [c for c in self.calls[command["text"]] if c["executed"]]

    def resource(self, result):
        """The id of what a result names."""
        name = result["resource_id"]
        return self.id_of_uid.get(name, name)

    def posts(self):
        """(command, its result) for all POSTs that have one, in the order of the results."""
        for result in self.results:
            command = self.by_name.get(result["command_id"])
            if command and command["kind"] in POSTS:
                yield command, result


def text_of(call):
    """The text that a command put into its call."""
    if call["method"] == "GET":
        query = dict(urllib.parse.parse_qsl(call["query"]))
        return query.get("marker") or query.get("sort_by")
    body = call["body"]
    if not isinstance(body, dict):
        return None
    return body.get("body") or (body.get("custom_fields") or {}).get("Note")


def load(folder):
    return Facts(folder)


# --- the rules ---


def run_ended_well(facts):
    for text in facts.amiss:
        yield None, text
    for end in facts.ends:
        yield None, (f"{end['instance']} {end['what']}, {end['brokers_down']} broker(s) down:\n"
                     + end["log"])


def one_result_each(facts):
    """Exactly one result per command, none without a command, no dead letter."""
    if facts.dead_letters:
        yield None, f"{facts.dead_letters} dead letters"
    places = set()
    for command in facts.commands:
        if not command["place"]:
            yield command["name"], "was never acknowledged by Kafka"
            continue
        place = tuple(command["place"])
        places.add(place)
        results = facts.by_place.get(place, [])
        if len(results) != 1:
            yield command["name"], f"{len(results)} results"
        for result in results:
            if result["command_id"] != command["name"]:
                yield command["name"], f"its result is called {result['command_id']}"
            if result["replayed"]:
                yield command["name"], "answered as a repeat"
    for place in set(facts.by_place) - places:
        yield facts.by_place[place][0]["command_id"], f"a result for {place}, not produced to"


def no_post_twice(facts):
    """Executed at most once per command, by the journal and by what exists."""
    for text, commands in facts.of_text.items():
        kind = commands[0]["kind"]
        if kind not in POSTS:
            continue
        executed, made = len(facts.executions(commands[0])), len(facts.made[kind, text])
        if executed > len(commands):
            yield commands[0]["name"], f"executed {executed} times for {len(commands)} command(s)"
        if made != executed:
            yield commands[0]["name"], f"executed {executed} times, but {made} exist"


def success_is_true(facts):
    """A SUCCEEDED POST names what exists with its text, no two the same; the others were
    executed."""
    named = {}
    for command, result in facts.posts():
        if result["outcome"] != "SUCCEEDED":
            continue
        name = facts.resource(result)
        if name in named:
            yield command["name"], f"names {name}, as the result of {named[name]} does"
        elif (command["kind"], command["text"]) == facts.text_of_id.get(name):
            named[name] = command["name"]
        elif not unnamed(facts, command, result):
            yield command["name"], f"names {name}, which is {facts.text_of_id.get(name)}"
    for text, commands in facts.of_text.items():
        succeeded = [c for c in commands
                     if (facts.result(c) or {}).get("outcome") == "SUCCEEDED"]
        if len(facts.executions(commands[0])) < len(succeeded):
            yield commands[0]["name"], "SUCCEEDED, but was never executed"


def unnamed(facts, command, result):
    """A 2xx whose body was lost proves the execution; which row it made may stay open, but
    only when more than one can be it."""
    broken = [c for c in facts.calls[command["text"]] if c["fault"] == "half" and c["executed"]]
    return (broken and 200 <= (result["http_status"] or 0) < 300
            and len(open_rows(facts, command, result)) > 1)


def keys_in_order(facts):
    """Per key the results, and the first executions, are in the order of the commands. A list of
    many pages frees its key after the first: its result may come later."""
    order, last = collections.defaultdict(list), {}
    for command in facts.commands:
        if command["kind"] != "list":
            order[command["key"]].append(command["number"])
    for result in facts.results:
        command = facts.by_name.get(result["command_id"])
        if not command or command["kind"] == "list":
            continue
        key, number = command["key"], command["number"]
        n = last.get(key, -1) + 1
        if n >= len(order[key]) or number != order[key][n]:
            yield command["name"], f"its result is number {n} of its key"
        last[key] = n
    first = collections.defaultdict(list)
    for commands in facts.of_text.values():
        done = facts.executions(commands[0])
        if commands[0]["kind"] not in POSTS:
            done = done[:1]  # what is safe to repeat may come again
        for command, call in zip(commands, done):
            first[command["key"]].append((call["n"], command["number"], command["name"]))
    for calls in first.values():
        highest = -1
        for _, number, name in sorted(calls):
            if number < highest:
                yield name, f"executed for the first time after number {highest} of its key"
            highest = max(highest, number)


def failures_are_explained(facts):
    """FAILED only after a refusal that Front was told to give, or as many lost attempts as are
    allowed, of a list on one page; a refused POST was not executed. Nothing is rejected or
    expired, nothing but lists cancelled."""
    for result in facts.results:
        command = facts.by_name.get(result["command_id"])
        if not command or result["outcome"] in ("SUCCEEDED", "IN_DOUBT"):
            continue
        if command["kind"] == "list" and result["outcome"] == "CANCELLED":
            continue  # walks.py
        calls = facts.calls[command["text"]]
        if command.get("words"):
            calls = calls + walks.calls_of_rows(facts, command, result)
        refused = any(c["fault"] == "status" and c["status"] == 422 for c in calls)
        lost = max(collections.Counter((c["path"], c["query"]) for c in calls
                                       if c["fault"] not in (None, "slow")).values(), default=0)
        why = result["error"]["kind"]
        if result["outcome"] != "FAILED":
            yield command["name"], f"{result['outcome']}: {result['error']}"
        elif why == "front" and result["http_status"] == 422 and refused:
            # Of twins one may have been executed; of all others none.
            if command["kind"] in POSTS and len(facts.executions(command)) >= len(
                    facts.of_text[command["text"]]):
                yield command["name"], "FAILED, but it was executed"
        elif not (why == "retries-exhausted" and lost >= ATTEMPTS
                  and command["kind"] not in POSTS):
            yield command["name"], f"FAILED without a reason in the journal: {result['error']}"


# --- doubt ---


def doubts_are_real(facts):
    for command, _, reason, fine in doubts(facts):
        if not fine:
            yield command["name"], f"IN_DOUBT could be decided: {reason}"


def doubts(facts):
    """(command, result, reason, whether nobody could decide it) for each IN_DOUBT. What there
    was to see is known from Front's lists: rows younger than the command's turn in its key and
    older than its result, without those that other results name."""
    for result in facts.results:
        if result["outcome"] != "IN_DOUBT":
            continue
        command = facts.by_name[result["command_id"]]
        yield command, result, *judge_doubt(facts, command, result)


def judge_doubt(facts, command, result):
    if command["kind"] not in POSTS:
        return "a call that is safe to repeat", False
    seen, there = result["error"]["details"], open_rows(facts, command, result)
    for row in seen:
        if row in facts.named:
            return f"{row} is the result of {facts.named[row]}", False
        if row not in there:
            return f"{row} is not of its time", False
    if set(there) - set(seen) and len(there) == 1:
        return f"{there[0]} was there and is not among its candidates", False
    if len(there) > 1:
        return f"{command['kind']}: several rows may be it", True
    if len(there) == 1:
        if facts.text_of_id[there[0]] != (command["kind"], command["text"]):
            return "one row, with another text", True
        at = result["finished_at"] / 1000
        if any(p == result["source_partition"] and at - UNSEEDED_S < began < at
               for p, began in facts.unseeded):
            return "one row, but the results before were not known to its owner", True
        return f"only {there[0]} can be it", False
    if command["kind"] == "reply":
        return "reply: not seen, which proves nothing", True
    # Absence proves: it was sent again, once; and that was lost as well.
    lost = [c for c in facts.calls[command["text"]]
            if not c["executed"] and c["fault"] not in (None, "slow")]
    if result["attempts"] >= 2 and lost:
        return "comment: sent again after the proof, and lost again", True
    return "not there, which proves that it was not executed", False


def open_rows(facts, command, result):
    """Ids of the rows that a look of this command could see and not attribute. A key's commands
    run one at a time: what others of its conversation made they had named before, or they made
    it later."""
    before = [r for r in facts.results if r["partition"] == result["partition"]
              and r["offset"] < result["offset"]
              and facts.by_name[r["command_id"]]["key"] == command["key"]
              and facts.by_name[r["command_id"]]["kind"] != "list"]
    since = before[-1]["finished_at"] / 1000 - 3 if before else 0
    until = result["finished_at"] / 1000 + 0.05  # the kernel's coarse clock
    lists = facts.comments if command["kind"] == "comment" else facts.messages
    return [row["id"] for row in lists[command["conversation"]]
            if row["author"] is None and row["id"] not in facts.named
            and since <= row.get("posted_at", row.get("created_at")) <= until]


RULES = (run_ended_well, one_result_each, no_post_twice, success_is_true, keys_in_order,
         failures_are_explained, doubts_are_real, *walks.RULES)


def judge(facts):
    """Violations: (rule, command name or None, what is wrong)."""
    return [(rule.__name__, name, what) for rule in RULES for name, what in rule(facts)]


# --- what is told ---


def summary(facts):
    outcomes = collections.Counter(r["outcome"] for r in facts.results)
    recovered = sum(1 for r in facts.results if r["recovered"])
    again = sum(1 for commands in facts.of_text.values()
                if commands[0]["kind"] in POSTS and sent_again(facts, commands))
    reasons = collections.Counter(re.sub(r"(com|msg)_\w+", r"\1_*", reason)
                                  for _, _, reason, _ in doubts(facts))
    calls = sum(len(c) for c in facts.calls.values())
    counts = ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in facts.counts.items())
    lines = [f"chaos: seed {facts.seed}, {facts.brokers} broker(s), {facts.seconds:.0f} s: {counts}",
             f"  {len(facts.commands)} commands, {calls} calls, {len(facts.results)} results: "
             + ", ".join(f"{n} {o}" for o, n in outcomes.most_common()),
             f"  {recovered} recovered, {again} not executed and sent again, "
             f"{outcomes['IN_DOUBT']} in doubt"]
    lines += [f"    {n} {reason}" for reason, n in reasons.most_common()]
    lines += walks.summary(facts)
    return "\n".join(lines)


def sent_again(facts, commands):
    """More calls than commands, not counting those that Front refused to take."""
    calls = [c for c in facts.calls[commands[0]["text"]] if c["status"] != 429]
    return len(calls) > len(commands)


def report(facts, violations):
    lines = []
    for rule, name, what in violations[:SHOWN]:
        lines.append(f"\n{rule}: {name or 'the run'}: {what}")
        if name in facts.by_name:
            lines += story(facts, facts.by_name[name])
    if len(violations) > SHOWN:
        lines.append(f"\n... and {len(violations) - SHOWN} more: " + str(collections.Counter(
            rule for rule, _, _ in violations)))
    return "\n".join(lines)


def story(facts, command):
    """All that is known of a command, in the order of time, with the log lines around it."""
    moments, events = [], []
    for call in facts.calls[command["text"]]:
        moments.append(call["at_ms"] / 1000)
        events.append((call["at_ms"] / 1000, f"call {call['n']}: {call['method']} {call['path']} "
                       f"status {call['status']} fault {call['fault']} executed "
                       f"{call['executed']} made {call['made_id']}"))
    for result in facts.by_place.get(tuple(command["place"] or ()), []):
        moments.append(result["finished_at"] / 1000)
        events.append((result["finished_at"] / 1000, f"result {result}"))
    for at, text in facts.trouble:
        if any(abs(at - m) < AROUND_S * 10 for m in moments):
            events.append((at, f"trouble: {text}"))
    for log in sorted(facts.folder.glob("*.log")):
        for at, line in log_lines(log):
            if any(abs(at - m) < AROUND_S for m in moments):
                events.append((at, f"{log.stem}: {line}"))
    yield f"  command {command}"
    for at, text in sorted(events):
        moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
        yield f"  {moment:%H:%M:%S.%f} {text}"


def log_lines(path):
    at = 0
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(\d{4}-\d\d-\d\dT[\d:.]+)Z (.*)", line)
        if found:
            at = datetime.datetime.fromisoformat(found.group(1) + "+00:00").timestamp()
            line = found.group(2)
        yield at, line


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    facts = load(sys.argv[1])
    violations = judge(facts)
    print(summary(facts))
    print(report(facts, violations))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
