"""What bills and statements are today."""

import unittest

from ferry.billing import bill_car, bill_coach, bill_truck
from ferry.statement import statement

ANNA = {"name": "Anna", "card": "gold", "trips": 3, "country": "SE"}
OLAV = {"name": "Olav", "card": "", "trips": 60, "country": "NO"}


def car(**changes):
    return {"zone": 2, "date": "2026-07-04", "fuel_index": 112, "length_cm": 610, "people": 4, **changes}


class Bills(unittest.TestCase):
    def test_a_car_in_summer(self):
        bill = bill_car(car(), ANNA)
        self.assertEqual([bill["net"], bill["vat"], bill["total"]], [6374, 1594, 7968])
        self.assertEqual(bill["lines"][0], ("Car, zone 2", 5980))

    def test_a_truck_with_many_trips(self):
        crossing = {"zone": 3, "date": "2026-02-11", "fuel_index": 90, "weight_kg": 30100, "axles": 5}
        bill = bill_truck(crossing, OLAV)
        self.assertEqual([bill["net"], bill["vat"], bill["total"]], [27347, 0, 27347])
        self.assertEqual(bill["lines"][-2:], [("discount", -845), ("export, no VAT", 0)])

    def test_the_discount_of_a_coach_is_capped(self):
        crossing = {"zone": 3, "date": "2026-06-30", "fuel_index": 150, "length_cm": 1480, "seats": 72}
        self.assertEqual(bill_coach(crossing, ANNA)["lines"][-2], ("gold card", -4000))

    def test_what_is_missing_is_named(self):
        with self.assertRaisesRegex(ValueError, "missing people"):
            bill_car({"zone": 1, "date": "2026-01-01", "fuel_index": 100, "length_cm": 400}, ANNA)
        with self.assertRaisesRegex(ValueError, "no zone 4"):
            bill_car(car(zone=4), ANNA)


class Statements(unittest.TestCase):
    def test_one_customer_with_two_crossings(self):
        bills = [bill_car(car(), ANNA), bill_car(car(date="2026-07-20", people=1), ANNA), bill_car(car(), OLAV)]
        text = statement(bills, 2026, 7)
        self.assertIn("Statement 2026-07\n\nAnna\n  2026-07-04 car          79.68\n", text)
        self.assertIn("dearest: car on 2026-07-04", text)


if __name__ == "__main__":
    unittest.main()
