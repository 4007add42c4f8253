"""The commands of a chaos: a steady stream over many keys. A command's text is found again in
the API's journal, so that each execution is known to be its own."""

import time

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
LOOK = [(0.03, {"status": 500, "after_execution": False}), (0.02, {"fault": "reset"})]
FAULTS = {"add-comment": POST, "create-message-reply": POST, "update-conversation": SAFE,
          "get-conversation-by-id": SAFE, "list-conversation-comments": LOOK,
          "list-conversation-messages": LOOK}

# patch and get are safe to repeat; a twin is two comments with one text, one after the other.
KINDS = {"patch": 27, "comment": 38, "twin": 3, "reply": 10, "get": 19}


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

    def turn(self):
        now = time.monotonic()
        while self.due <= now:
            self.due += 1 / self.rate
            if len(self.commands) - len(self.stage.by_id) < self.ahead:
                self.send()

    def send(self):
        key = self.random.randrange(self.keys)
        kind, = self.random.choices(list(KINDS), KINDS.values())
        if kind == "twin":
            text = f"{key}-{self.next_of[key]}-twin"
            self.command(key, "comment", text)
            self.command(key, "comment", text)
        else:
            self.command(key, kind, None)

    def command(self, key, kind, text):
        number = self.next_of[key]
        self.next_of[key] += 1
        name = f"{key}-{number}-{kind}"
        text = text or name
        conversation = f"cnv_{key + 1}"
        params = {"conversation_id": conversation}
        if kind == "patch":
            place = self.stage.command(name, "update-conversation", params,
                                       {"custom_fields": {"Note": text}}, key=conversation)
        elif kind == "get":
            place = self.stage.command(name, "call", method="GET", query={"marker": text},
                                       path=f"/conversations/{conversation}", key=conversation)
        else:
            operation = "add-comment" if kind == "comment" else "create-message-reply"
            place = self.stage.command(name, operation, params, {"body": text},
                                       key=conversation)
        self.commands.append({"name": name, "key": key, "number": number, "kind": kind,
                              "text": text, "conversation": conversation, "place": place})
