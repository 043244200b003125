"""Make the hidden cases of this task: crossings, and what the code as it is makes of them.

    python3 derive.py

Writes `probe/cases.json` and `hidden/expected.json` (with the digests of what must not be changed).
"""

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
SIZES = {"car": ("length_cm", 380, 900), "truck": ("weight_kg", 3500, 44000), "coach": ("length_cm", 900, 1900)}
COUNTS = {"car": ("people", 0, 10), "truck": ("axles", 1, 9), "coach": ("seats", 1, 81)}
UNCHANGED = ("rules.py", "tests/test_ferry.py")


def roll(low: int, high: int, *key: object) -> int:
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return low + int.from_bytes(digest[:8], "big") % (high - low + 1)


def crossing(kind: str, n: int) -> list[dict]:
    size, count = SIZES[kind], COUNTS[kind]
    given = {
        "zone": roll(1, 3, kind, n, "zone") if n % 20 else 7,
        "date": f"2026-{roll(1, 12, kind, n, 'month'):02}-{roll(1, 28, kind, n, 'day'):02}" if n % 23 else "2026-13-01",
        "fuel_index": roll(85, 170, kind, n, "fuel"),
        size[0]: roll(*size[1:], kind, n, "size"),
        count[0]: roll(*count[1:], kind, n, "count"),
    }
    customer = {
        "name": ["Anna", "Bo", "Cilla"][n % 3], "card": ["gold", "silver", "", "bronze"][roll(0, 3, kind, n, "card")],
        "trips": roll(0, 90, kind, n, "trips"), "country": ["SE", "NO", "DK"][roll(0, 2, kind, n, "country")],
    }  # fmt: skip
    if n % 29 == 5:
        del given[size[0]]
    if n % 31 == 6:
        del customer["trips"]
    return [given, customer]


def main() -> None:
    sys.path[:0] = [str(HERE / "workspace"), str(HERE / "probe")]
    sys.dont_write_bytecode = True
    from ask import answer

    cases = [
        {"module": "billing", "call": f"bill_{kind}", "arguments": crossing(kind, n)}
        for kind in SIZES
        for n in range(70)
    ]
    bills = [came["result"] for case in cases if "result" in (came := answer(case))]
    some = bills[::9]
    months = [("statement", some, 2026, month) for month in range(1, 13)] + [
        ("statement", [], 2026, 2),
        ("statement", bills[:1], 2026, 3),
    ]
    odd = [
        {"customer": "Zoe", "kind": "car", "date": "2026-05-09", "total": total, "vat": 5, "lines": []}
        for total in (-1250, 7, 7, 100_007)
    ]
    months += [("statement", odd, 2026, 5), ("statement", odd[:1], 2026, 5)]
    cases += [{"module": "statement", "call": call, "arguments": arguments} for call, *arguments in months]
    digests = {name: hashlib.sha256((HERE / "workspace" / name).read_bytes()).hexdigest() for name in UNCHANGED}
    sys.path.insert(0, str(HERE / "workspace"))
    from rules import broken

    truth = {
        "unchanged": digests,
        "broken_before": len(broken(HERE / "workspace" / "ferry")),
        "answers": [answer(case) for case in cases],
    }
    (HERE / "probe" / "cases.json").write_text(json.dumps(cases))
    (HERE / "hidden" / "expected.json").write_text(json.dumps(truth))


main()
