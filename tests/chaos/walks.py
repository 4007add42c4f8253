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
# By what is listed, the lists of each of its rows: by word the operation that reads it, where its
# rows go, and what they are.
WITH = {"tags": {"children": ("list-tag-children", "tags", "Tag"),
                 "conversations": ("list-tagged-conversations", "conversations",
                                   "Conversation")},
        "conversations": {"inboxes": ("list-conversation-inboxes", "inboxes", "Inbox"),
                          "followers": ("list-conversation-followers", "teammates",
                                        "Teammate")}}
OF_ROWS = {operation: (rows, word, topic, kind) for rows, words in WITH.items()
           for word, (operation, topic, kind) in words.items()}
OPERATIONS = {(rows, word): operation for operation, (rows, word, _, _) in OF_ROWS.items()}


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
        calls = facts.calls[command["text"]]
        whole = None if command.get("words") else command["limit"]
        for what in judge(result, own(items), wanted_of(facts, command), command["limit"],
                          refusals(calls), whole, len(items)):
            yield command["name"], what
        if command["kind"] == "list":
            for what in behind(result, items):
                yield command["name"], what


def wanted_of(facts, command):
    rows = facts.collections[command["rows"]]
    return (rows if command["ascending"] else rows[::-1])[:command["most"]]


def own(items):
    """Those of the list itself, not of its rows' lists."""
    return [item for item in items if item["parent"] is None]


def judge(result, items, wanted, limit, refused, whole=None, counted=None):
    """limit: None when only Front knows where its pages ended. refused: how often the walk may
    have begun anew, since Front refused a page token. whole: the limit, when all pages are the
    list's own. counted: all items, when some are not."""
    times = collections.Counter(item["id"] for item in items)
    counted = len(items) if counted is None else counted
    if (result["items"] or 0) != counted:
        yield f"{result['outcome']} with {result['items']} items, but {counted} came"
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
        last = not whole and len(times) == len(wanted)  # the lists of its rows were next
        wanted = wanted[:len(times)]
        if limit and len(times) % limit and not last:
            yield f"{result['outcome']} with {len(times)} items: no whole pages of {limit}"
    missing = set(wanted) - set(times)
    if missing:
        yield (f"{result['outcome']}, but {len(missing)} of {len(wanted)} items did not come, as "
               f"{sorted(missing)[:5]}")
    if not refused and limit and not missing:
        pages = math.ceil(len(wanted) / limit)
        if whole and (result["pages"] or 0) != pages:
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
    return sum(1 for c in calls if is_refusal(c))


def is_refusal(call):
    return call["status"] == 400 and "page_token=" in call["query"]


# --- the lists of each row ---

ROW_LIST = re.compile(r"/(\w+)/(\w+)/(\w+)$")
ROWS_LIMIT = 100  # of a page of a row's list


def of_row(facts, call):
    """(operation, row) of a call for a row's list; None: it is none."""
    found = ROW_LIST.match(call["path"])
    if call["method"] != "GET" or not found:
        return None
    operation = OPERATIONS.get((found.group(1), found.group(3)))
    return (operation, found.group(2)) if operation in facts.of_rows else None


def calls_of_rows(facts, command, result):
    """All that may be its: those of other lists that ran at the same time as well."""
    calls = facts.calls[command["text"]]
    return [c for c in facts.calls_of_rows if calls and
            calls[0]["at_ms"] <= c["at_ms"] <= result["finished_at"] + CLOCKS_MS]


def steps_of(facts, command, items):
    """What must come one after the other: a page's rows, then for each of them its lists.
    (what, its ids, its items, its pages)"""
    wanted, limit = wanted_of(facts, command), command["limit"]
    came = collections.defaultdict(list)
    for item in items:
        came[item["operation"] if item["parent"] else None, item["parent"]].append(item)
    for at in range(0, len(wanted), limit):
        rows = wanted[at:at + limit]
        yield f"page {at // limit + 1}", rows, [i for i in came[None, None]
                                                if i["id"] in rows], 1
        for row in rows:
            for word in command["words"]:
                operation = OPERATIONS[command["rows"], word]
                ids = facts.of_rows[operation][row]
                yield (f"{word} of {row}", ids, came[operation, row],
                       max(1, math.ceil(len(ids) / ROWS_LIMIT)))


def rows_have_their_lists(facts):
    """Each row each of its lists, whole and once, before what follows; of a list that did not
    succeed a beginning of that."""
    for command, result, items in lists(facts):
        if command.get("words"):
            for what in judge_rows(facts, command, result, items):
                yield command["name"], what


def judge_rows(facts, command, result, items):
    anew = refusals(facts.calls[command["text"]])
    refused = collections.Counter(of_row(facts, c) for c in calls_of_rows(facts, command, result)
                                  if is_refusal(c))
    steps = list(steps_of(facts, command, items))
    told = sum(len(came) for _, _, came, _ in steps)
    if told != len(items):
        yield f"{len(items) - told} items of rows or lists that it does not have"
    first_gap, before = None, None
    for what, ids, came, _ in steps:
        times = collections.Counter(item["id"] for item in came)
        key = (came[0]["operation"], came[0]["parent"]) if came else None
        most = 1 + anew + refused.get(key, 0)
        if set(times) - set(ids):
            yield f"{what}: items that it does not have: {sorted(set(times) - set(ids))[:5]}"
        if any(n > most for n in times.values()):
            yield f"{what} came more than {most} time(s)"
        missing = [i for i in ids if i not in times]
        if missing and result["outcome"] == "SUCCEEDED":
            yield f"{what}: {len(missing)} of {len(ids)} did not come, as {missing[:5]}"
        elif missing and len(times) % ROWS_LIMIT:
            yield f"{what}: {len(times)} of {len(ids)} came, no whole page"
        if first_gap and came and not anew:
            yield f"{what} came, but not all of {first_gap} before it"
        first_gap = first_gap or (what if missing else None)
        if came and before and not anew and min(i["timestamp"] for i in came) < before[1]:
            yield f"{what} was produced before the end of {before[0]}"
        before = (what, max(i["timestamp"] for i in came)) if came else before
    pages = sum(n for _, _, _, n in steps)
    if result["outcome"] == "SUCCEEDED" and not anew and not refused and result["pages"] != pages:
        yield f"{result['pages']} pages, not {pages}"


def lists_of_rows_are_called_once(facts):
    """Over all lists, since a call does not say whose it is: not more than pages, and what the
    troubles of each list's time may have lost."""
    allowed = 0
    for command, result, items in lists(facts):
        calls = facts.calls[command["text"]]
        if command.get("words") and calls:
            allowed += (result["pages"] or 0) - len(answered(calls))
            allowed += result["outcome"] == "CANCELLED"
            allowed += troubles(facts, calls[0]["at_ms"] / 1000, result["finished_at"] / 1000)
    whole = len(answered(facts.calls_of_rows))
    if whole > allowed:
        yield None, f"{whole} calls for lists of rows, not more than {allowed}"


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
    for command, result, items in lists(facts):
        calls = facts.calls[command["text"]]
        if not calls:
            continue
        reasons = troubles(facts, calls[0]["at_ms"] / 1000, result["finished_at"] / 1000)
        whole = answered(calls)
        broken_off = result["outcome"] == "CANCELLED"
        pages = result["pages"] or 0
        if command.get("words") and not refusals(calls):
            pages = max(1, math.ceil(len(own(items)) / command["limit"]))
        allowed = pages + reasons + broken_off
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
            wanted, limit = facts.collections[sync["rows"]], sync["params.limit"]
            if sync.get("cursor") and whole:
                came = {i["id"] for i in items}
                wanted, limit = [row for row in wanted if row in came], None
            calls = [c for c in facts.calls_of_sync[name]
                     if start_of(run) <= c["at_ms"] <= run["finished_at"]]
            for what in itertools.chain(judge(run, items, wanted, limit, refusals(calls), limit),
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


RULES = (lists_are_whole, rows_have_their_lists, lists_of_rows_are_called_once, cancels_hold,
         pages_are_called_once, runs_are_whole, changes_arrive, jobs_are_at_rest)


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
    fanned = [(c, i) for c, _, i in those if c.get("words")]
    calls += len(answered(facts.calls_of_rows))
    yield f"  {sum(len(i) for _, _, i in those)} items in {pages} pages, {calls} calls for them"
    yield (f"  {len(fanned)} of them with the lists of each row: "
           f"{sum(len(own(i)) for _, i in fanned)} rows, "
           f"{sum(len(i) - len(own(i)) for _, i in fanned)} items of their lists")
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
