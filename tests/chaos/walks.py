"""Judges the lists and syncs of a chaos: every item once, pages in their order, nothing behind a
result, no page called again without a reason, what was changed has come, the jobs topic at rest.

Rules as in checker.py. What the items topics hold is known by the header command-id: the list's
own, or that of a sync's run."""

import bisect
import collections
import itertools
import math
import re

# Pages that may still come after a request to cancel is in the log: its owner reads that log
# beside its work, and the page that is under way goes first.
LATE_PAGES = 10
# What may make a page's call come again: its owner is gone, or was evicted, before the page was
# committed; and one that was stopped makes a last call when it goes on, before it learns that it
# has no partitions any more. Without any of these each page is called once.
REASONS = re.compile(r"kill -9|SIGSTOP|SIGCONT|SIGTERM")
CLOCKS_MS = 5  # between the journal's clock and that of a result; a commit takes longer
AROUND_S = 1  # between a trouble and what is noted of a list


def lists(facts):
    """(command, its result, its items) of all lists that were answered."""
    for command in facts.commands:
        result = facts.result(command)
        if command["kind"] in ("list", "page") and result:
            yield command, result, facts.items.get(command["name"], [])


def lists_are_whole(facts):
    """What came is what the result says; of a list that succeeded all of it, else a beginning."""
    known = {c["name"] for c in facts.commands} | {r["command_id"] for r in facts.runs}
    known |= {job["record"]["command_id"] for job in newest(facts).values()
              if isinstance(job["record"], dict)}
    for name in set(facts.items) - known:
        yield None, f"{len(facts.items[name])} items of {name}, which nobody has a result of"
    for command, result, items in lists(facts):
        wanted = facts.collections[command["rows"]]
        wanted = (wanted if command["ascending"] else wanted[::-1])[:command["most"]]
        calls = facts.calls[command["text"]]
        for what in judge(result, items, wanted, command["limit"], refusals(calls)):
            yield command["name"], what
        if command["kind"] == "list":
            for what in behind(result, items):
                yield command["name"], what


def judge(result, items, wanted, limit, refused):
    """limit: None when only Front knows where its pages ended. refused: how often the walk may
    have begun anew, since Front refused a page token."""
    times = collections.Counter(item["id"] for item in items)
    if (result["items"] or 0) != len(items):
        yield f"{result['outcome']} with {result['items']} items, but {len(items)} came"
    strange = set(times) - set(wanted)
    if strange:
        yield f"items that it should not have: {sorted(strange)[:5]}"
        return
    twice = [i for i, n in times.items() if n > 1 + refused]
    if twice:
        yield f"{len(twice)} items came more than {1 + refused} time(s), as {twice[:5]}"
    if not refused:
        yield from in_order(items, wanted)
    if result["outcome"] != "SUCCEEDED":
        wanted = wanted[:len(times)]
        if limit and len(times) % limit:
            yield f"{result['outcome']} with {len(times)} items: no whole pages of {limit}"
    missing = set(wanted) - set(times)
    if missing:
        yield (f"{result['outcome']}, but {len(missing)} of {len(wanted)} items did not come, as "
               f"{sorted(missing)[:5]}")
    if not refused and limit and not missing:
        pages = math.ceil(len(wanted) / limit)
        if (result["pages"] or 0) != pages:
            yield f"{result['pages']} pages, not {pages}"
        yield from page_after_page(items, wanted, limit)


def behind(result, items):
    """Of a walk a tick has the items first."""
    late = [i["id"] for i in items if i["timestamp"] > result["timestamp"]]
    if late:
        yield f"{len(late)} items came after its result, as {late[:5]}"


def in_order(items, wanted):
    """In each partition as Front has them."""
    place = {row: n for n, row in enumerate(wanted)}
    last = {}
    for item in sorted(items, key=lambda i: i["offset"]):
        n = place[item["id"]]
        if n <= last.get(item["partition"], -1):
            yield f"{item['id']} came out of order in partition {item['partition']}"
        last[item["partition"]] = n


def page_after_page(items, wanted, limit):
    """Over all partitions too: a page is one tick, and the next one is called for when that is
    committed."""
    place = {row: n for n, row in enumerate(wanted)}
    moments = collections.defaultdict(list)
    for item in items:
        moments[place[item["id"]] // limit].append(item["timestamp"])
    pages = sorted(moments)
    for before, after in zip(pages, pages[1:]):
        if max(moments[before]) > min(moments[after]):
            yield f"page {after + 1} was produced before the end of page {before + 1}"


def refusals(calls):
    return sum(1 for c in calls if c["status"] == 400 and "page_token=" in c["query"])


def cancels_hold(facts):
    """Who is CANCELLED was asked to end; who was asked in time is."""
    asked = cancel_places(facts)
    for command, result, _ in lists(facts):
        key = job_key(facts, command)
        log = [j for j in facts.jobs if j["key"] == key]
        at = asked.get(key)
        if result["outcome"] == "CANCELLED":
            ends = [j["offset"] for j in log if j["record"] is None]
            if at is None or (ends and ends[0] < at):
                yield command["name"], "CANCELLED, but nobody asked for that"
        elif at is not None and any(j["offset"] < at for j in log):
            late = [j for j in log if j["offset"] > at and j["record"]]
            if len(late) > LATE_PAGES:
                yield command["name"], (f"{result['outcome']}, with {len(late)} pages after the "
                                        f"request to cancel")


def cancel_places(facts):
    """By job the offset of the first request to cancel it."""
    places = {}
    for job in facts.jobs:
        if job["key"].endswith("/cancel") and job["record"] is not None:
            places.setdefault(job["key"].removesuffix("/cancel"), job["offset"])
    return places


def job_key(facts, command):
    return f"{facts.commands_topic}/{command['place'][0]}/{command['place'][1]}"


def pages_are_called_once(facts):
    """Calls that Front answered whole: not more than pages, one for each trouble of the list's
    time that can lose an answer, and one that its cancelling broke off."""
    for command, result, _ in lists(facts):
        calls = facts.calls[command["text"]]
        if not calls:
            continue
        reasons = troubles(facts, calls[0]["at_ms"] / 1000, result["finished_at"] / 1000)
        whole = answered(calls)
        broken_off = result["outcome"] == "CANCELLED"
        allowed = (result["pages"] or 0) + reasons + broken_off
        if len(whole) > allowed:
            yield command["name"], (f"{len(whole)} calls for {result['pages']} pages, with "
                                    f"{reasons} troubles in its time")
    for name, runs in runs_of(facts).items():
        since = 0
        for run in runs:
            until = run["finished_at"] + CLOCKS_MS
            whole = answered([c for c in facts.calls_of_sync[name] if since < c["at_ms"] <= until])
            reasons = troubles(facts, since / 1000, until / 1000)
            if len(whole) > run["pages"] + reasons:
                yield None, (f"run {run['command_id']}: {len(whole)} calls for {run['pages']} "
                             f"pages, with {reasons} troubles in its time")
            since = until


def answered(calls):
    return [c for c in calls if c["status"] == 200 and c["fault"] in (None, "slow")]


def troubles(facts, since, until):
    return sum(1 for at, text in facts.trouble
               if since - AROUND_S <= at <= until + AROUND_S and REASONS.match(text))


# --- syncs ---


def runs_of(facts):
    """By sync its runs that have results, in the order of their starts."""
    runs = collections.defaultdict(list)
    for run in facts.runs:
        runs[run["command_id"].split("/")[1]].append(run)
    for those in runs.values():
        those.sort(key=start_of)
    return runs


def start_of(run):
    return int(run["command_id"].rpartition("/")[2])


def runs_are_whole(facts):
    """One result a run, its items once, one run after another; a list without a cursor, and the
    first run of one that has it, has all rows."""
    runs = runs_of(facts)
    for name in facts.syncs:
        if len(runs[name]) < 2:
            yield None, f"sync {name} has {len(runs[name])} runs"
    for name, those in runs.items():
        twice = [i for i, n in collections.Counter(r["command_id"] for r in those).items()
                 if n > 1]
        if twice:
            yield None, f"more than one result of {twice}"
        sync, whole, before = facts.syncs[name], False, None
        for run in those:
            items = facts.items.get(run["command_id"], [])
            wanted, limit = facts.collections[sync["rows"]][::-1], sync["params.limit"]
            if sync.get("cursor") and whole:
                came = {i["id"] for i in items}
                wanted, limit = [row for row in wanted if row in came], None
            calls = [c for c in facts.calls_of_sync[name]
                     if start_of(run) <= c["at_ms"] <= run["finished_at"]]
            for what in itertools.chain(judge(run, items, wanted, limit, refusals(calls)),
                                        behind(run, items)):
                yield None, f"run {run['command_id']}: {what}"
            if before and items and min(i["timestamp"] for i in items) < before["timestamp"]:
                yield None, f"run {run['command_id']} began before the one before it ended"
            whole = whole or run["outcome"] == "SUCCEEDED"
            before = run
        yield from unfinished(facts, name, those)


def unfinished(facts, name, runs):
    """Items without a result are those of the run that the sync's record has as its own."""
    ended = {run["command_id"] for run in runs}
    open_ = {run: len(items) for run, items in facts.items.items()
             if run.startswith(f"sync/{name}/") and run not in ended}
    rest = newest(facts).get(f"sync/{name}", {"record": None})["record"]
    wanted = ({rest["command_id"]: rest["items"]} if rest and rest["state"] == "running" else {})
    if open_ != wanted:
        yield None, f"sync {name}: items of runs without a result {open_}, by its record {wanted}"


def changes_arrive(facts):
    """What was changed before a run with a cursor began is there when it has succeeded, as it was
    then or newer."""
    changes, came = changes_of(facts), notes_of(facts)
    for name, runs in runs_of(facts).items():
        if not facts.syncs[name].get("cursor"):
            continue
        for run in runs:
            if run["outcome"] != "SUCCEEDED":
                continue
            for row, those in changes.items():
                wanted = newest_until(those, start_of(run) - 1)
                seen = newest_until(came.get(row, []), run["timestamp"])
                if wanted > seen:
                    yield None, (f"run {run['command_id']}: {row} was changed by number {wanted} "
                                 f"of its key before it began; number {seen} is there")


def changes_of(facts):
    """By contact when which change of its key was executed."""
    changes = collections.defaultdict(list)
    for command in facts.commands:
        if command["kind"] == "contact":
            changes[f"crd_{command['key'] + 1}"] += [
                (call["at_ms"], command["number"]) for call in facts.executions(command)]
    return {row: rising(those) for row, those in changes.items()}


def notes_of(facts):
    """By contact when which of its changes came onto the topic."""
    notes = collections.defaultdict(list)
    for items in facts.items.values():
        for item in items:
            if item["note"]:
                number = facts.of_text[item["note"]][0]["number"]
                notes[item["id"]].append((item["timestamp"], number))
    return {row: rising(those) for row, those in notes.items()}


def rising(moments):
    """By time the highest number so far."""
    highest, those = -1, []
    for at, number in sorted(moments):
        highest = max(highest, number)
        those.append((at, highest))
    return those


def newest_until(moments, at):
    n = bisect.bisect_right(moments, (at, math.inf))
    return moments[n - 1][1] if n else -1


# --- the jobs topic ---


def newest(facts):
    """By key its newest record."""
    return {job["key"]: job for job in sorted(facts.jobs, key=lambda j: j["offset"])}


def jobs_are_at_rest(facts):
    """Nothing is left of a list or of a request; of a sync its record."""
    live = {key for key, job in newest(facts).items() if job["record"] is not None}
    wanted = {f"sync/{name}" for name in facts.syncs}
    for key in sorted(live ^ wanted):
        yield None, f"jobs topic: {key} is {'left' if key in live else 'missing'}"


RULES = (lists_are_whole, cancels_hold, pages_are_called_once, runs_are_whole, changes_arrive,
         jobs_are_at_rest)


def summary(facts):
    those = list(lists(facts))
    outcomes = collections.Counter(r["outcome"] for c, r, _ in those if c["kind"] == "list")
    pages = sum(r["pages"] or 0 for _, r, _ in those)
    calls = sum(len(answered(facts.calls[c["text"]])) for c, _, _ in those)
    runs = collections.Counter(r["outcome"] for r in facts.runs)
    anew = sum(1 for c, _, _ in those if refusals(facts.calls[c["text"]]))
    yield (f"  {outcomes.total()} lists of many pages: "
           + ", ".join(f"{n} {o}" for o, n in outcomes.most_common())
           + f"; {len(cancel_places(facts))} asked to end, {anew} begun anew")
    yield f"  {sum(len(i) for _, _, i in those)} items in {pages} pages, {calls} calls for them"
    yield (f"  {runs.total()} runs of {len(facts.syncs)} syncs: "
           + ", ".join(f"{n} {o}" for o, n in runs.most_common())
           + f"; {stale(facts)} of {len(changes_of(facts))} changed rows are older on the topic "
             f"than at Front")


def stale(facts):
    """Rows whose newest record says less than Front does: a list and a sync that run at the same
    time produce what each of them saw."""
    last, changes = {}, changes_of(facts)
    for items in facts.items.values():
        for item in items:
            if item["id"] in changes and item["offset"] >= last.get(item["id"], (-1,))[0]:
                number = facts.of_text[item["note"]][0]["number"] if item["note"] else -1
                last[item["id"]] = item["offset"], number
    return sum(1 for row, those in changes.items()
               if those and last.get(row, (0, -1))[1] < those[-1][1])
