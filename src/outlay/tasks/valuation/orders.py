"""Make the order book: `python3 orders.py FILE`. The same rows every time; their sums are in hidden/truth.json."""

import hashlib
import sqlite3
import sys

CUSTOMERS = [
    "Aldermere",
    "Bergslag",
    "Calloway",
    "Dunholm",
    "Eskdale",
    "Fjordkraft",
    "Norrdok",
    "Gullvik",
    "Harrowgate",
    "Isfjell",
    "Kestrel Bay",
    "Lindesnes",
]
INSOLVENT = ("Norrdok", "Gullvik")
SEGMENTS = ("pumps", "valves", "service", "meters")
STATES = ("firm", "firm", "firm", "offered", "cancelled")


def roll(high: int, *key: object) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "big") % high


def main() -> None:
    book = sqlite3.connect(sys.argv[1])
    book.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, status TEXT)")
    book.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, segment TEXT, amount_eur INTEGER, status TEXT, delivery TEXT)"
    )
    for n, name in enumerate(CUSTOMERS, 1):
        # the book was lent before Norrdok's insolvency: that is in the news only
        book.execute(
            "INSERT INTO customers VALUES (?, ?, ?)", (n, name, "insolvent" if name == "Gullvik" else "active")
        )
    for n in range(1, 1901):
        segment = SEGMENTS[roll(100, n, "segment") * 4 // 100]
        scale = {"pumps": 1_750_000, "valves": 900_000, "service": 560_000, "meters": 60_000}[segment]
        year = (2025, 2026, 2026, 2026, 2027)[roll(5, n, "year")]
        book.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            (
                n, 1 + roll(len(CUSTOMERS), n, "customer"), segment, 20_000 + roll(scale, n, "amount") // 1000 * 1000,
                STATES[roll(5, n, "status")], f"{year}-{1 + roll(12, n, 'month'):02}-{1 + roll(28, n, 'day'):02}",
            ),
        )  # fmt: skip
    book.commit()
    if len(sys.argv) > 2:
        print(book.execute(
            "SELECT segment, SUM(amount_eur) / 1000 FROM orders JOIN customers ON customers.id = customer WHERE orders.status = 'firm' "
            f"AND delivery LIKE '2026%' AND name NOT IN {INSOLVENT} GROUP BY segment"
        ).fetchall())  # fmt: skip


main()
