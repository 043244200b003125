"""Tables, savepoints, questions and reports."""

import unittest

from stockroom.errors import Duplicate, Missing, NoSavepoint
from stockroom.query import Query
from stockroom.report import as_text, counts, sums
from stockroom.store import Store
from stockroom.table import Table


def boxes():
    return Table("boxes", unique=["code"], indexed=["place"], ordered=["weight"])


def box(number, place="a", weight=10):
    return {"code": f"B-{number}", "place": place, "weight": weight}


class Tables(unittest.TestCase):
    def test_a_deleted_record_is_missing(self):
        store = Store(boxes())
        number = store.insert("boxes", box(1))
        store.delete("boxes", number)
        with self.assertRaises(Missing):
            store.get("boxes", number)

    def test_a_unique_value_is_free_again_after_a_change(self):
        store = Store(boxes())
        number = store.insert("boxes", box(1))
        store.update("boxes", number, code="B-2")
        store.insert("boxes", box(1))
        with self.assertRaises(Duplicate):
            store.insert("boxes", box(2))


class Savepoints(unittest.TestCase):
    def setUp(self):
        self.store = Store(boxes())
        self.store.insert("boxes", box(1))

    def test_what_came_after_a_savepoint_is_undone(self):
        self.store.set("s")
        self.store.insert("boxes", box(2))
        self.store.update("boxes", 1, place="b")
        self.store.roll_back("s")
        self.assertEqual(counts(self.store.tables["boxes"], "place"), {"a": 1})
        self.assertEqual(len(self.store.journal), 1)

    def test_a_block_that_raises_leaves_nothing(self):
        with self.assertRaises(Duplicate), self.store.all_or_nothing():
            self.store.insert("boxes", box(2))
            self.store.insert("boxes", box(2))
        self.assertEqual(len(self.store.tables["boxes"]), 1)

    def test_a_released_savepoint_is_gone(self):
        self.store.set("s")
        self.store.release("s")
        with self.assertRaises(NoSavepoint):
            self.store.roll_back("s")

    def test_what_a_released_savepoint_did_is_undone_with_the_outer_one(self):
        self.store.set("outer")
        self.store.set("inner")
        self.store.insert("boxes", box(2, place="b"))
        self.store.release("inner")
        self.store.roll_back("outer")
        self.assertEqual(counts(self.store.tables["boxes"], "place"), {"a": 1})


class Questions(unittest.TestCase):
    def setUp(self):
        self.table = boxes()
        for number in range(20):
            self.table.insert(box(number, "abcd"[number % 4], 10 + number % 7))

    def test_the_smaller_index_is_asked(self):
        self.assertEqual(Query(self.table).where(place="a", code="B-4").plan(), "index code")
        self.assertEqual(Query(self.table).having(lambda row: True).plan(), "all rows")

    def test_ranges_include_both_ends(self):
        self.assertEqual(Query(self.table).between("weight", 15, 16).count(), 5)

    def test_order_and_most(self):
        found = Query(self.table).where(place="b").order_by("weight", down=True).at_most(2).rows()
        self.assertEqual([row["weight"] for row in found], [16, 15])

    def test_sums_as_text(self):
        text = as_text("Weights", sums(self.table, "place", lambda row: row["weight"]))
        self.assertEqual(text.splitlines()[-1], "all       257")


if __name__ == "__main__":
    unittest.main()
