"""A short chaos, and its judge: what was found right is broken in many ways, each of which the
judge must see. `make chaos` has the long ones."""

import os
import pickle
import random
import statistics
import sys
import unittest

import stage

sys.path.insert(0, str(stage.ROOT / "tests" / "chaos"))
import chaos  # noqa: E402
import checker  # noqa: E402
import members  # noqa: E402
import walks  # noqa: E402

KILLS = 4


class Chaos(unittest.TestCase):
    def test_a_few_kills_lose_nothing_double_nothing_and_doubt_only_what_is_doubtful(self):
        seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
        print(f"  {KILLS} kills, SEED={seed}", flush=True)
        run = chaos.Chaos(KILLS, seed)
        self.addCleanup(run.close)
        violations = run.run()
        facts = checker.load(run.folder)
        if violations:
            self.fail(checker.report(facts, violations) + f"\nthe facts are in {run.folder}")
        kept = pickle.dumps(facts)
        for rule, breakings in BREAKINGS.items():
            for breaking in breakings:
                broken = breaking(pickle.loads(kept)).joined()
                self.assertTrue(list(rule(broken)), f"{breaking.__name__} is not seen")
        run.forget()


class StaticMember(stage.Scene):
    def test_it_is_back_at_once_and_the_other_member_sees_nothing(self):
        seconds, seen = members.measure(self.open_stage(), 3)
        self.assertLess(statistics.median(seconds), 3)
        self.assertEqual(seen, 0)


def a_post(facts, outcome="SUCCEEDED", kind="comment"):
    """A command and its result, of the middle of the run."""
    those = [(c, r) for c, r in facts.posts() if r["outcome"] == outcome and c["kind"] == kind
             and len(facts.of_text[c["text"]]) == 1 and len(facts.calls[c["text"]]) == 1]
    return those[len(those) // 2]


def lost_result(facts):
    facts.results.remove(a_post(facts)[1])
    return facts


def doubled_result(facts):
    facts.results.append(dict(a_post(facts)[1], offset=1 << 40))
    return facts


def dead_letter(facts):
    facts.dead_letters += 1
    return facts


def post_executed_twice(facts):
    facts.journal.append(dict(facts.calls[a_post(facts)[0]["text"]][0]))
    return facts


def resource_twice(facts):
    command, result = a_post(facts)
    rows = facts.comments[command["conversation"]]
    rows.append(dict(facts.row_of[result["resource_id"]], id="com_other"))
    return facts


def resource_gone(facts):
    command, result = a_post(facts)
    facts.comments[command["conversation"]].remove(facts.row_of[result["resource_id"]])
    return facts


def results_name_one_resource(facts):
    command, result = a_post(facts)
    other = next(r for c, r in facts.posts() if c["kind"] == "comment" and r is not result
                 and r["outcome"] == "SUCCEEDED")
    other["resource_id"] = result["resource_id"]
    return facts


def success_not_executed(facts):
    command, _ = a_post(facts)
    facts.calls[command["text"]][0]["executed"] = False
    return facts


def results_swapped(facts):
    command, result = a_post(facts)
    other = next(r for r in facts.results if r is not result
                 and facts.by_name[r["command_id"]]["key"] == command["key"]
                 and facts.by_name[r["command_id"]]["kind"] != "list")
    result["offset"], other["offset"] = other["offset"], result["offset"]
    return facts


def executions_swapped(facts):
    command, _ = a_post(facts)
    call = facts.calls[command["text"]][0]
    other = next(c for t, c in facts.calls.items() if t != command["text"] and len(c) == 1
                 and facts.of_text[t][0]["key"] == command["key"])[0]
    call["n"], other["n"] = other["n"], call["n"]
    facts.journal.sort(key=lambda c: c["n"])
    return facts


def failed_for_nothing(facts):
    _, result = a_post(facts)
    result.update(outcome="FAILED", error={"kind": "front", "message": "", "details": []})
    return facts


def rejected(facts):
    _, result = a_post(facts)
    result.update(outcome="REJECTED", error={"kind": "x", "message": "", "details": []})
    return facts


def doubt_of_what_is_there(facts):
    _, result = a_post(facts)
    result.update(outcome="IN_DOUBT", error={"kind": "restart", "message": "", "details": [
        result["resource_id"]]}, resource_id=None)
    return facts


def doubt_of_what_was_not_executed(facts):
    command, result = a_post(facts)
    facts.calls[command["text"]][0]["executed"] = False
    facts.comments[command["conversation"]].remove(facts.row_of[result["resource_id"]])
    result.update(outcome="IN_DOUBT", error={"kind": "restart", "message": "", "details": []},
                  resource_id=None)
    return facts


def doubt_of_a_reply_that_is_there(facts):
    _, result = a_post(facts, kind="reply")
    result.update(outcome="IN_DOUBT", error={"kind": "restart", "message": "", "details": []},
                  resource_id=None)
    return facts


def instance_ended(facts):
    facts.ends.append({"instance": "x", "what": "ended", "brokers_down": 0, "log": ""})
    return facts


# --- lists ---


def a_list(facts, pages=3):
    """A list that succeeded, its result, and its items in the order in which Front has them."""
    those = [(c, r, items) for c, r, items in walks.lists(facts)
             if r["outcome"] == "SUCCEEDED" and r["pages"] >= pages and not c["cancel"]
             and not c.get("words")
             and not walks.refusals(facts.calls[c["text"]])]
    command, result, items = those[len(those) // 2]
    rows = facts.collections[command["rows"]]
    items.sort(key=lambda i: rows.index(i["id"]), reverse=not command["ascending"])
    return command, result, items


def list_without_result(facts):
    facts.results.remove(a_list(facts)[1])
    return facts


def list_with_two_results(facts):
    facts.results.append(dict(a_list(facts)[1], offset=1 << 40))
    return facts


def item_lost(facts):
    _, result, items = a_list(facts)
    del items[len(items) // 2]
    result["items"] -= 1  # or the count alone would tell
    return facts


def item_twice(facts):
    _, result, items = a_list(facts)
    items.append(dict(items[0], offset=1 << 40, timestamp=result["timestamp"]))
    result["items"] += 1
    return facts


def item_not_counted(facts):
    a_list(facts)[1]["items"] -= 1
    return facts


def item_of_another_list(facts):
    a_list(facts)[2][0]["id"] = "xyz_1"
    return facts


def items_without_a_list(facts):
    facts.items["nobody"] = facts.items[a_list(facts)[0]["name"]][:1]
    return facts


def items_swapped(facts):
    _, _, items = a_list(facts)
    one = items[0]
    other = next(i for i in items[1:] if i["partition"] == one["partition"])
    one["offset"], other["offset"] = other["offset"], one["offset"]
    return facts


def pages_swapped(facts):
    command, result, items = a_list(facts)
    for item in items[:command["limit"]]:
        item["timestamp"] = result["timestamp"]
    return facts


def item_behind_its_result(facts):
    _, result, items = a_list(facts)
    items[-1]["timestamp"] = result["timestamp"] + 1
    return facts


def cancelled_with_a_gap(facts):
    command, result, items = a_list(facts)
    del items[command["limit"]:2 * command["limit"]]
    result.update(outcome="CANCELLED", items=len(items), pages=result["pages"] - 1)
    return facts


def cancelled_in_a_page(facts):
    command, result, items = a_list(facts)
    del items[command["limit"] + 1:]
    result.update(outcome="CANCELLED", items=len(items), pages=2)
    return facts


# --- lists with the lists of each row ---


def a_fan(facts):
    """One that succeeded, its result, and its items: those of its rows' lists apart, list by list
    in the order in which they came."""
    those = []
    for command, result, items in walks.lists(facts):
        lists = [came for what, _, came, _ in walks.steps_of(facts, command, items)
                 if came and came[0]["parent"]] if command.get("words") else []
        if (len(lists) > 3 and result["outcome"] == "SUCCEEDED" and not command["cancel"]
                and not walks.refusals(facts.calls[command["text"]])):
            those.append((command, result, items, lists))
    return those[len(those) // 2]


def row_of_a_rows_list_lost(facts):
    _, result, items, lists = a_fan(facts)
    items.remove(lists[1][0])
    result["items"] -= 1
    return facts


def row_of_a_rows_list_twice(facts):
    _, result, items, lists = a_fan(facts)
    items.append(dict(lists[1][0], offset=1 << 40))
    result["items"] += 1
    return facts


def row_of_a_rows_list_not_counted(facts):
    a_fan(facts)[1]["items"] -= 1
    return facts


def pages_of_rows_lists_not_counted(facts):
    a_fan(facts)[1]["pages"] -= 1
    return facts


def row_of_another_rows_list(facts):
    _, _, _, lists = a_fan(facts)
    lists[1][0]["parent"] = "xyz_1"
    return facts


def rows_list_before_its_row(facts):
    _, _, items, lists = a_fan(facts)
    lists[0][0]["timestamp"] = min(i["timestamp"] for i in items) - 1
    return facts


def rows_lists_swapped(facts):
    _, result, _, lists = a_fan(facts)
    for item in lists[1]:
        item["timestamp"] = result["timestamp"]
    for item in lists[2]:
        item["timestamp"] = result["timestamp"] - 1
    return facts


def cancelled_with_a_rows_list_left_out(facts):
    _, result, items, lists = a_fan(facts)
    for item in lists[1]:
        items.remove(item)
    result.update(outcome="CANCELLED", items=len(items))
    return facts


def call_of_a_rows_list_again(facts):
    facts.journal += [dict(call) for call in walks.answered(facts.calls_of_rows)]
    facts.trouble = []
    return facts


def cancelled_unasked(facts):
    a_list(facts)[1]["outcome"] = "CANCELLED"
    return facts


def asked_to_end_in_vain(facts):
    command, _, _ = a_list(facts)
    log = [j for j in facts.jobs if j["key"] == walks.job_key(facts, command)]
    first = min(log, key=lambda j: j["offset"])
    later = [dict(first, offset=first["offset"] + 0.5 + n / 1000)
             for n in range(walks.LATE_PAGES + 1)]
    facts.jobs += [dict(first, key=first["key"] + "/cancel", record="please",
                        offset=first["offset"] + 0.1), *later]
    return facts


def call_of_a_page_again(facts):
    """For no reason: no trouble that could have lost its answer is told."""
    command, _, _ = a_list(facts)
    facts.journal.append(dict(facts.calls[command["text"]][1]))
    facts.trouble = []
    return facts


def pages_of_a_sync_again(facts):
    calls = walks.answered(facts.calls_of_sync["labels"])
    facts.journal += [dict(call) for call in calls]
    facts.trouble = []
    return facts


def a_run(facts, name="labels"):
    """The last but one that succeeded, and its items."""
    those = [r for r in walks.runs_of(facts)[name] if r["outcome"] == "SUCCEEDED"]
    return those[-2], facts.items.get(those[-2]["command_id"], [])


def run_without_result(facts):
    facts.runs.remove(a_run(facts)[0])
    return facts


def run_with_two_results(facts):
    facts.runs.append(dict(a_run(facts)[0], offset=1 << 40))
    return facts


def row_of_a_run_lost(facts):
    run, items = a_run(facts)
    del items[len(items) // 2]
    run["items"] -= 1
    return facts


def row_of_a_run_twice(facts):
    run, items = a_run(facts)
    items.append(dict(items[0], offset=1 << 40))
    run["items"] += 1
    return facts


def runs_at_a_time(facts):
    run, _ = a_run(facts)
    later = next(r for r in walks.runs_of(facts)["labels"]
                 if walks.start_of(r) > walks.start_of(run))
    facts.items[later["command_id"]][0]["timestamp"] = run["timestamp"] - 1
    return facts


def sync_stands_still(facts):
    facts.runs = [r for r in facts.runs if "labels" not in r["command_id"]]
    return facts


def change_lost(facts):
    run, _ = a_run(facts, "people")
    row = next(row for row, those in walks.changes_of(facts).items()
               if walks.newest_until(those, walks.start_of(run) - 1) >= 0)
    for items in facts.items.values():
        for item in items:
            if item["id"] == row:
                item["note"] = None
    return facts


def change_not_yet_there(facts):
    """A sync that misses one change, but not the one before it."""
    run, _ = a_run(facts, "people")
    row, number = max(((row, walks.newest_until(those, walks.start_of(run) - 1))
                       for row, those in walks.changes_of(facts).items()), key=lambda c: c[1])
    for items in facts.items.values():
        for item in items:
            if (item["id"] == row and item["note"]
                    and facts.of_text[item["note"]][0]["number"] >= number):
                item["timestamp"] = run["timestamp"] + 1
    return facts


def list_left_in_the_jobs_topic(facts):
    command, _, _ = a_list(facts)
    key = walks.job_key(facts, command)
    facts.jobs = [j for j in facts.jobs if j["key"] != key or j["record"]]
    return facts


def request_left_in_the_jobs_topic(facts):
    facts.jobs.append({"key": "x/0/0/cancel", "partition": 0, "offset": 1 << 40,
                       "record": "please"})
    return facts


def sync_gone_from_the_jobs_topic(facts):
    facts.jobs.append({"key": "sync/people", "partition": 0, "offset": 1 << 40, "record": None})
    return facts


def failed_list_for_nothing(facts):
    a_list(facts)[1].update(outcome="FAILED", http_status=422,
                            error={"kind": "front", "message": "", "details": []})
    return facts


BREAKINGS = {
    checker.one_result_each: (lost_result, doubled_result, dead_letter, list_without_result,
                              list_with_two_results),
    checker.no_post_twice: (post_executed_twice, resource_twice),
    checker.success_is_true: (resource_gone, results_name_one_resource, success_not_executed),
    checker.keys_in_order: (results_swapped, executions_swapped),
    checker.failures_are_explained: (failed_for_nothing, rejected, failed_list_for_nothing),
    checker.doubts_are_real: (doubt_of_what_is_there, doubt_of_a_reply_that_is_there,
                              doubt_of_what_was_not_executed),
    checker.run_ended_well: (instance_ended,),
    walks.lists_are_whole: (item_lost, item_twice, item_not_counted, item_of_another_list,
                            items_without_a_list, items_swapped, pages_swapped,
                            item_behind_its_result, cancelled_with_a_gap, cancelled_in_a_page,
                            row_of_a_rows_list_not_counted),
    walks.rows_have_their_lists: (row_of_a_rows_list_lost, row_of_a_rows_list_twice,
                                  pages_of_rows_lists_not_counted, row_of_another_rows_list,
                                  rows_list_before_its_row, rows_lists_swapped,
                                  cancelled_with_a_rows_list_left_out),
    walks.lists_of_rows_are_called_once: (call_of_a_rows_list_again,),
    walks.cancels_hold: (cancelled_unasked, asked_to_end_in_vain),
    walks.pages_are_called_once: (call_of_a_page_again, pages_of_a_sync_again),
    walks.runs_are_whole: (run_without_result, run_with_two_results, row_of_a_run_lost,
                           row_of_a_run_twice, runs_at_a_time, sync_stands_still),
    walks.changes_arrive: (change_lost, change_not_yet_there),
    walks.jobs_are_at_rest: (list_left_in_the_jobs_topic, request_left_in_the_jobs_topic,
                             sync_gone_from_the_jobs_topic)}


if __name__ == "__main__":
    unittest.main()
