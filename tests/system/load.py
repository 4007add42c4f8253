"""Many commands at once, and the promise as the outside sees it: no POST executed twice, every
key in order, doubt only where a death left it."""

import random


class Load:
    """Commands over many keys, half of them safe to repeat (PATCH) and half not (POST). Each
    carries its name in its body, so that Front's journal tells which is which."""

    def __init__(self, on_stage, keys, seed):
        self.stage, self.keys = on_stage, keys
        self.random = random.Random(seed)
        self.names, self.next_of = [], [0] * keys

    def send(self, count):
        for _ in range(count):
            key = self.random.randrange(self.keys)
            number = self.next_of[key]
            self.next_of[key] += 1
            post = self.random.random() < 0.5
            name = f"{key}-{number}-{'post' if post else 'patch'}"
            self.names.append(name)
            conversation = {"conversation_id": f"cnv_{key}"}
            if post:
                self.stage.command(name, "add-comment", conversation, {"body": name},
                                   key=f"key-{key}")
            else:
                self.stage.command(name, "update-conversation", conversation,
                                   {"description": name}, key=f"key-{key}")
        self.stage.flush()

    @staticmethod
    def place(name):
        key, number, _ = name.split("-")
        return int(key), int(number)

    def executed(self):
        """Names in the order in which Front got them."""
        names = []
        for request in self.stage.front.requests():
            body = request.json()
            names.append(body.get("body") or body.get("description"))
        return names


def check(case, load, deaths=0, in_doubt_at_most=0):
    """All of the promise, once the stage has settled; the doubtful results. `deaths` is how
    often calls may have been cut off from their results."""
    case.assertEqual(sorted(r.command_id for r in load.stage.results()), sorted(load.names))
    check_posts(case, load)
    check_order(case, load, deaths)
    return check_outcomes(case, load, in_doubt_at_most)


def check_posts(case, load):
    """No POST was executed twice; one whose outcome is known well was executed once."""
    times = {}
    for name in load.executed():
        if name.endswith("-post"):
            times[name] = times.get(name, 0) + 1
    twice = [n for n, count in times.items() if count > 1]
    case.assertEqual(twice, [], "POSTs that Front got twice")
    for result in load.stage.results():
        if result.command_id.endswith("-post") and result.outcome == "SUCCEEDED":
            case.assertEqual(times.get(result.command_id), 1, result.command_id)


def check_order(case, load, deaths):
    """Per key the results are in order, and Front got the calls in order: after a death calls
    whose result was not committed come again, so an order may step back once per death, but
    no call comes for the first time behind a later one."""
    last = {}
    ordered = sorted(load.stage.results(), key=lambda r: (r.partition, r.offset))
    for result in ordered:
        key, number = load.place(result.command_id)
        case.assertEqual(number, last.get(key, -1) + 1, f"results of key {key}")
        last[key] = number
    # A POST in doubt may have been killed before it was sent: Front need not have seen it.
    unsent = {r.command_id for r in ordered if r.outcome == "IN_DOUBT"}
    expected = {}
    for name in load.names:
        expected.setdefault(load.place(name)[0], []).append(name)
    at, first, back, seen = {}, {}, {}, set()
    for name in load.executed():
        key, number = load.place(name)
        if number < at.get(key, -1):
            back[key] = back.get(key, 0) + 1
        at[key] = number
        left_out = [n for n in expected[key][:number] if n not in seen and n not in unsent]
        case.assertEqual(left_out, [], f"not called before {name}")
        if name not in seen:
            case.assertGreater(number, first.get(key, -1), f"called late: {name}")
            first[key] = number
        seen.add(name)
    case.assertLessEqual(max(back.values(), default=0), deaths, "calls of a key out of order")


def check_outcomes(case, load, in_doubt_at_most):
    """All SUCCEEDED, but for POSTs that a death caught between send and answer."""
    doubts = [r for r in load.stage.results() if r.outcome == "IN_DOUBT"]
    for result in load.stage.results():
        if result.outcome == "IN_DOUBT":
            case.assertTrue(result.command_id.endswith("-post"), result.command_id)
        else:
            case.assertEqual((result.outcome, result.error), ("SUCCEEDED", None))
    case.assertLessEqual(len(doubts), in_doubt_at_most)
    return doubts
