"""The tour of connector/README.md names every file, and no file that is not there."""

import pathlib
import re
import unittest

CONNECTOR = pathlib.Path(__file__).resolve().parents[2] / "connector"
TOUR = (CONNECTOR / "README.md").read_text()
FILE = re.compile(r"`([\w/]+\.[ch])`")
FLOOR = re.compile(r"^\| `([\w/]+/)` \| (.*) \|$", re.M)


class Tour(unittest.TestCase):
    def test_every_file_has_its_place(self):
        named = {floor + name for floor, files in FLOOR.findall(TOUR)
                 for name in FILE.findall(files)} | {"main.c"}
        there = {str(path.relative_to(CONNECTOR)) for path in CONNECTOR.rglob("*.[ch]")}
        contracts = {name for name in there
                     if name.endswith(".h") and name[:-1] + "c" in there}
        self.assertEqual(there - contracts - named, set(), "not in the tour")
        self.assertEqual(named - there, set(), "in the tour, but not there")

    def test_every_file_named_on_the_way_is_there(self):
        told = TOUR[:TOUR.index("## Every file")]
        self.assertEqual([name for name in FILE.findall(told)
                          if not (CONNECTOR / name).is_file()], [])


if __name__ == "__main__":
    unittest.main()
