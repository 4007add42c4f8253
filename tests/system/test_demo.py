"""`make demo`: it ends by itself with 0 and shows what it promises to show. The sandbox's mock
Kafka has no transactions, so this is also where at-least-once delivery runs without a broker."""

import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTCOMES = ["SUCCEEDED 201 tag_", "SUCCEEDED 204 cnv_1", "SUCCEEDED 204 tag_1", "SUCCEEDED 200",
            "SUCCEEDED 200 cmp_", "REJECTED", "IN_DOUBT"]
# Without GET /me: it is asked by the raw call and by each connector at its start.
JOURNAL = ["POST /tags 201", "PATCH /conversations/cnv_1 204", "DELETE /tags/tag_1 204",
           "GET /teammates 200", "POST /conversations/cnv_timeout/messages no answer"]


class Demo(unittest.TestCase):
    def test_each_command_its_result_and_the_journal_are_shown(self):
        done = subprocess.run([os.path.join(ROOT, "tests", "sandbox", "demo.sh")],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        outcomes = re.findall(r"^  ((?:SUCCEEDED|FAILED|REJECTED|EXPIRED|IN_DOUBT).*)$",
                              done.stdout, re.M)
        self.assertEqual(len(outcomes), len(OUTCOMES), done.stdout)
        for found, wanted in zip(outcomes, OUTCOMES):
            self.assertTrue(found.startswith(wanted), f"{found!r} for {wanted!r}")
        asked = done.stdout.partition("What Front was asked\n")[2].splitlines()
        asked = [" ".join(line.split()) for line in asked if " /me " not in line]
        self.assertEqual(asked, [call + " executed" for call in JOURNAL] +
                         ["0 calls were executed more than once"])


if __name__ == "__main__":
    unittest.main()
