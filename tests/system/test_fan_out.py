"""`with=`: the lists of each row of a list, on a real Kafka. Rows are known by their keys."""

import collections
import urllib.parse

import avro
import front as scripted
from stage import wait_for
from test_jobs import OnStage

PAGE = 100


class Conversations(scripted.Front):
    """A Front with so many conversations. Every third has 101 messages, two pages; every fourth
    no comments, the others two; number 5 goes before its lists are read."""

    def __init__(self, rows, delay_s=0.0):
        super().__init__(delay_s)
        self.rows = rows

    def ids(self, of):
        """What the list `of` a conversation has, None: all conversations."""
        if of is None:
            return [f"cnv_{n}" for n in range(self.rows)]
        number, name = int(of[0].removeprefix("cnv_")), of[1]
        count = {"messages": 101 if number % 3 == 0 else 1,
                 "comments": 0 if number % 4 == 0 else 2}[name]
        return [f"{name[:3]}_{number}_{n}" for n in range(count)]

    def take(self, request):
        parts = request.path.split("/")
        if parts[1] != "conversations" or len(parts) not in (2, 4):
            return super().take(request)
        with self.lock:
            self.journal.append(request)
        if request.path.startswith("/conversations/cnv_5/"):
            return request, scripted.Answer(404, {"_error": {"title": "Not found"}})
        query = dict(urllib.parse.parse_qsl(request.query))
        ids = self.ids(tuple(parts[2:]) or None)
        first, size = int(query.get("page_token", "0")), int(query.get("limit", len(ids) or 1))
        last = min(first + size, len(ids))
        link = f"{self.url}{request.path}?limit={size}&page_token={last}"
        return request, scripted.Answer(delay_s=self.delay_s, body={
            "_pagination": {"next": link if last < len(ids) else None},
            "_results": [{"id": i} for i in ids[first:last]]})

    def children(self, name):
        return [i for n in range(self.rows) if n != 5 for i in self.ids((f"cnv_{n}", name))]

    def pages(self):
        """Requests for all of it: rows, messages, comments; the row that went costs two."""
        rows = range(self.rows)
        return (-(-self.rows // PAGE) + sum(2 if n % 3 == 0 else 1 for n in rows) + self.rows)


class FanOut(OnStage):
    def scripted_front(self):
        return Conversations(self.rows, self.delay_s)

    def setUp(self):
        super().setUp()
        self.topics = {name: self.stage.items_topic(name)
                       for name in ("conversations", "messages", "comments")}
        for topic in self.topics.values():
            self.stage.create(topic, {"cleanup.policy": "compact"})

    def assert_whole(self, result):
        """All rows and all their lists once, under the operation that read them."""
        want = {"conversations": self.front.ids(None),
                **{name: self.front.children(name) for name in ("messages", "comments")}}
        operations = {"conversations": "list-conversations",
                      "messages": "list-conversation-messages",
                      "comments": "list-conversation-comments"}
        for name, ids in want.items():
            items = self.stage.records(self.topics[name])
            seen = collections.Counter(i.key.decode() for i in items)
            self.assertEqual([k for k, n in seen.items() if n > 1], [], f"{name} twice")
            self.assertEqual(set(seen), set(ids))
            self.assertEqual({i.text("operation") for i in items}, {operations[name]})
        self.assertEqual((result.outcome, result.items),
                         ("SUCCEEDED", sum(len(ids) for ids in want.values())))
        self.assert_no_job_left()

    def calls(self):
        return len([r for r in self.front.requests() if r.path.startswith("/conversations")])


class Whole(FanOut):
    rows = 7

    def test_each_row_brings_its_lists(self):
        self.stage.start()
        result = self.stage.ask("list-conversations", {"with": "messages,comments", "limit": "3"})
        self.assert_whole(result)
        self.assertEqual(self.calls(), 3 + self.front.pages() - 1)  # three pages of rows, not one
        self.assertEqual(result.pages, self.calls() - 2)  # two were answered 404
        for out in self.stage.records(self.topics["comments"]):
            comment = avro.decode("resources/Comment", out.value)
            self.assertEqual(comment["_parent_id"], f"cnv_{comment['id'].split('_')[1]}")

    def test_max_items_counts_conversations(self):
        self.front.rows = 2
        self.stage.start()
        result = self.stage.ask("list-conversations", {"with": "comments", "max_items": "2"})
        self.assertEqual((result.outcome, result.items, result.pages), ("SUCCEEDED", 4, 3))

    def test_a_list_that_there_is_not_is_refused(self):
        self.stage.start()
        result = self.stage.ask("list-conversations", {"with": "messages,tags"})
        self.assertEqual((result.outcome, result.error["kind"]), ("REJECTED", "invalid-command"))
        self.assertIn("no list `tags`", result.error["message"])
        self.assertIn("messages", result.error["message"])
        self.assertEqual(self.calls(), 0)

    def test_a_sync_has_them_too(self):
        connector = self.stage.start(**{
            "sync.talk.operation": "list-conversations", "sync.talk.every.ms": 3600000,
            "sync.talk.params.with": "messages,comments"})
        connector.wait_line("sync.new")

        def there():
            self.stage.read(0.2)
            return [o for o in self.stage.results() if o.command_id.startswith("sync/talk/")]
        result, = wait_for("the run's result", there)
        self.assertEqual((result.outcome, result.items),
                         ("SUCCEEDED", 7 + len(self.front.children("messages")) +
                          len(self.front.children("comments"))))


class Killed(FanOut):
    rows, delay_s = 600, 0.01

    def test_every_row_of_every_list_once(self):
        both = [self.stage.start(), self.stage.start(**{"instance.id": "two"})]
        self.stage.command("all", "list-conversations", {"with": "messages,comments"})
        self.stage.flush()
        kills = self.stage.kill_in_turn(both, lambda: "all" in self.stage.by_id)
        result = self.stage.by_id["all"][0]
        for connector in both:
            connector.wait_ready()
        self.stage.settle()
        self.assert_whole(result)
        print(f"{kills} kills, {self.calls()} calls for {self.front.pages()} pages")
        self.assertGreater(kills, 10)
        self.assertLessEqual(self.calls(), self.front.pages() + kills + 1)
