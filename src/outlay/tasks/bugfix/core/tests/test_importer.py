"""Imports: as a whole, or not at all."""

import unittest

from stockroom.importer import import_rows
from stockroom.query import Query
from stockroom.store import Store
from stockroom.table import Table


def row(code, shelf="north"):
    return {"code": code, "shelf": shelf}


class Imports(unittest.TestCase):
    def setUp(self):
        self.store = Store(Table("pallets", unique=["code"], indexed=["shelf"]))
        self.store.insert("pallets", row("P-1"))

    def test_a_row_that_fails_is_left_out_and_the_rest_is_written(self):
        done = import_rows(self.store, "pallets", [row("P-2", "south"), row("P-1", "south"), row("P-3", "south")])
        self.assertEqual((done.tries, len(done.ids), len(done.refused)), (2, 2, 1))

    def test_a_row_can_be_mended(self):
        done = import_rows(self.store, "pallets", [row("P-1", "south")], mend=lambda bad, error: {**bad, "code": "P-9"})
        self.assertEqual((done.tries, done.refused), (2, []))

    def test_an_import_that_is_given_up_leaves_the_shelves_as_they_were(self):
        done = import_rows(self.store, "pallets", [row("P-2"), row("P-1"), row("P-3"), row("P-1"), row("P-1")])
        self.assertEqual(done.ids, [])
        self.assertEqual(Query(self.store.tables["pallets"]).where(shelf="north").count(), 1)
        self.assertEqual(Query(self.store.tables["pallets"]).where(shelf="north").rows(), [row("P-1")])


if __name__ == "__main__":
    unittest.main()
