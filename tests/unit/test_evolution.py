"""Which schema may follow which: each rule of Avro's resolution, and what we released.

Run: python3 -m unittest tests/unit/test_evolution.py
"""
import copy
import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "schemas"))
import generate  # noqa: E402
from generator.evolution import problems  # noqa: E402


def record(*fields, name="R"):
    return {"type": "record", "name": name, "namespace": "n", "fields": list(fields)}


def field(name, type_="string", **more):
    return {"name": name, "type": type_, **more}


def enum(*symbols, **more):
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
A, B = field("a"), field("b", ["null", "string"], default=None)
TREE = record(field("kids", {"type": "array", "items": "R"}))

GOOD = [  # writer, reader
    ("string", "string"), ("int", "long"), ("int", "double"), ("long", "float"),
    ("float", "double"), ("string", "bytes"), ("bytes", "string"),
    (record(A), record(A)), (record(A, B), record(B, A)), (record(A, B), record(A)),
    (record(A), record(A, B)), (record(A), record(field("z", aliases=["a"]))),
    (record(A), {**record(A, name="S"), "aliases": ["R"]}),
    ("string", ["null", "string"]), (["null", "string"], ["string", "null"]),
    (["string"], "string"), ("int", ["null", "long"]), (["int", "long"], "long"),
    (enum("x"), enum("y", "x")), (enum("x", "y"), enum("x", default="x")),
    (MILLIS, MILLIS), (["null", MILLIS], ["null", MILLIS]), (TREE, TREE),
    ({"type": "array", "items": "int"}, {"type": "array", "items": ["null", "long"]}),
    ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}),
    ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 4}),
    ({"type": {"type": "string"}}, "string"),
]
BAD = [  # writer, reader, a part of what is said
    ("long", "int", "long became int"), ("string", "int", "string became int"),
    (record(A), record(A, field("c")), "R.c: is new and has no default"),
    (record(A), record(field("a", "int")), "R.a: string became int"),
    (record(A), record(A, name="S"), "called n.S"),
    (["null", "string"], "string", "null became string"),
    ("null", ["int", "string"], "no branch reads null"),
    (["null", "string"], ["null", "int"], "no branch reads string"),
    (record(B), record(field("b", "string")), "R.b: null became string"),
    (enum("x", "y"), enum("x"), "symbols y are gone"),
    (MILLIS, MICROS, "logical type"), (MILLIS, "long", "logical type"),
    ("long", MILLIS, "logical type"), (["null", MILLIS], ["null", MICROS], "no branch"),
    ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, "[]"),
    ({"type": "map", "values": "long"}, {"type": "map", "values": "int"}, "{}"),
    ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 5},
     "size"),
    (record(field("in", record(A, name="I"))), record(field("in", record(
        A, field("c", "int"), name="I"))), "R.in.c"),
    (record(field("x", record(A, name="I")), field("y", "I")),
     record(field("y", record(field("a", "int"), name="I")), field("x", "I")), "a: string"),
    (TREE, record(field("kids", {"type": "array", "items": "R"}), field("c")), "R.c"),
]


class Rules(unittest.TestCase):
    def test_what_may_follow(self):
        for writer, reader in GOOD:
            with self.subTest(writer=writer, reader=reader):
                self.assertEqual(problems(writer, reader), [])

    def test_what_may_not(self):
        for writer, reader, words in BAD:
            with self.subTest(writer=writer, reader=reader):
                found = problems(writer, reader)
                self.assertTrue(any(words in text for text in found), found)


class Released(unittest.TestCase):
    def released(self):
        for file in sorted((ROOT / "schemas/released").glob("*/*.avsc")):
            yield file, json.loads(file.read_text(encoding="utf-8"))

    def test_all_kinds_of_schemas_are_there(self):
        kinds = {file.parent.name for file, _ in self.released()}
        self.assertEqual(kinds, {"records", "resources", "commands"})

    def test_todays_schemas_may_follow(self):
        self.assertEqual(generate.broken_promises(), [])

    def test_a_field_without_a_default_would_be_seen_in_each_of_them(self):
        for file, schema in self.released():
            with self.subTest(file=file.name):
                broken = copy.deepcopy(schema)
                broken["fields"].append({"name": "brand_new", "type": "string"})
                self.assertEqual(len(problems(schema, broken)), 1)

    def test_another_type_would_be_seen_in_each_field(self):
        for file, schema in self.released():
            for number in range(len(schema["fields"])):
                broken = copy.deepcopy(schema)
                broken["fields"][number]["type"] = {"type": "fixed", "name": "Odd", "size": 1}
                with self.subTest(file=file.name, field=schema["fields"][number]["name"]):
                    self.assertTrue(problems(schema, broken))


if __name__ == "__main__":
    unittest.main()
