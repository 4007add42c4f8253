"""`make demo`: it ends by itself with 0 and shows what it promises to show. The sandbox's mock
Kafka has no transactions, so this is also where at-least-once delivery runs without a broker."""

import contextlib
import os
import pty
import re
import subprocess
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT_S = 120
OUTCOMES = ["SUCCEEDED 201 tag_", "SUCCEEDED 204 cnv_1", "SUCCEEDED 204 tag_1", "SUCCEEDED 200",
            "SUCCEEDED 200", "CANCELLED", "SUCCEEDED 204 cnv_3",
            "SUCCEEDED 200 cmp_", "REJECTED", "IN_DOUBT"]
# Without GET /me: it is asked by the raw call and by each connector at its start.
JOURNAL = ["POST /tags 201", "PATCH /conversations/cnv_1 204", "DELETE /tags/tag_1 204",
           "GET /teammates 200", "GET /conversations 200", "POST /conversations/cnv_3/tags 204",
           "POST /conversations/cnv_timeout/messages no answer"]


def on_terminal(program):
    """Its exit code and all it writes to a terminal, without what moves the cursor."""
    mine, its = pty.openpty()
    with subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=its, stderr=its,
                          env={**os.environ, "TERM": "xterm", "NO_COLOR": ""}) as running:
        os.close(its)
        late = threading.Timer(LIMIT_S, running.terminate)
        late.start()
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while True:
                shown += os.read(mine, 65536)
        late.cancel()
    os.close(mine)
    return running.returncode, re.sub(r"\r|\033\[[?\d]*[A-Za-z]", "", shown.decode())


class Demo(unittest.TestCase):
    def test_each_command_its_result_and_the_journal_are_shown(self):
        code, shown = on_terminal(os.path.join(ROOT, "tests", "sandbox", "demo.sh"))
        self.assertEqual(code, 0, shown)
        outcomes = re.findall(r"^  ((?:SUCCEEDED|FAILED|REJECTED|EXPIRED|IN_DOUBT|CANCELLED).*)$",
                              shown, re.M)
        self.assertEqual(len(outcomes), len(OUTCOMES), shown)
        for found, wanted in zip(outcomes, OUTCOMES):
            self.assertTrue(found.startswith(wanted), f"{found!r} for {wanted!r}")
        self.assert_lists(shown)
        self.assert_events(shown)
        asked = shown.partition("What Front was asked\n")[2].splitlines()
        asked = [re.sub(", [0-9]+ times$", "", " ".join(line.split()))
                 for line in asked if " /me " not in line]
        self.assertEqual(asked, [call + " executed" for call in JOURNAL] +
                         ["and the list of events, for what no webhook brought",
                          "0 calls were executed more than once"])

    def assert_events(self, shown):
        """One that a command caused, by its webhook; one whose webhook was dropped."""
        events = re.findall(r"^  on front\.events: (\w+) evt_\w+, delivery (\w+), origin (\w+), "
                            r"key (\w+)$", shown, re.M)
        self.assertEqual(events, [("tag", "webhook", "api", "cnv_3"),
                                  ("inbound", "healed", "inboxes", "cnv_2")], shown)

    def assert_lists(self, shown):
        """One of 250 conversations with its bar, all of them on their topic; one cancelled."""
        whole, cancelled = re.findall(r"^  (\d+) items on (\d+) page\(s\)$", shown, re.M)[1:]
        self.assertEqual(whole, ("250", "10"), shown)
        self.assertIn("on the topic front.conversations: 250\n", shown)
        bars = [tuple(map(int, bar)) for bar in re.findall(
            r"list-conversations  \[#*\.*\] +(\d+) %  \d+ pages?, (\d+) of 250 items", shown)]
        self.assertGreater(len(set(bars)), 1, shown)
        self.assertEqual([share for share, _ in bars], [items * 100 // 250 for _, items in bars])
        self.assertLess(int(cancelled[0]), 250)


if __name__ == "__main__":
    unittest.main()
