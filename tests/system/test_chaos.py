"""A short chaos, and its judge: what was found right is broken in many ways, each of which the
judge must see. `make chaos` has the long ones."""

import copy
import os
import random
import statistics
import sys
import unittest

import stage

sys.path.insert(0, str(stage.ROOT / "tests" / "chaos"))
import chaos  # noqa: E402
import checker  # noqa: E402
import members  # noqa: E402

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
        for breaking in BREAKINGS:
            broken = copy.deepcopy(facts)
            rules = {rule for rule, _, _ in checker.judge(breaking(broken).joined())}
            self.assertIn(RULE_OF[breaking], rules, breaking.__name__)
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
                 and facts.by_name[r["command_id"]]["key"] == command["key"])
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


RULE_OF = {
    lost_result: "one_result_each", doubled_result: "one_result_each",
    dead_letter: "one_result_each", post_executed_twice: "no_post_twice",
    resource_twice: "no_post_twice", resource_gone: "success_is_true",
    results_name_one_resource: "success_is_true", success_not_executed: "success_is_true",
    results_swapped: "keys_in_order", executions_swapped: "keys_in_order",
    failed_for_nothing: "failures_are_explained", rejected: "failures_are_explained",
    doubt_of_what_is_there: "doubts_are_real", doubt_of_a_reply_that_is_there: "doubts_are_real",
    doubt_of_what_was_not_executed: "doubts_are_real", instance_ended: "run_ended_well"}
BREAKINGS = list(RULE_OF)


if __name__ == "__main__":
    unittest.main()
