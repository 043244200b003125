"""Lay out the repository: the core as it stands in core/, and a module and tests for each kind of record.

python3 generate.py FOLDER
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
KINDS = """
article: sku!code, title@text, brand@text, weight_g#0..90000, price_cents#1..9999999, tax_class=food|book|standard, active?
supplier: number!code, name@text, country=SE|NO|DK|FI|DE, terms_days#0..120, rating#1..5, approved?
customer: number!code, name@text, country=SE|NO|DK|FI|DE, credit_cents#0..50000000, group=shop|trade|staff, blocked?
warehouse: code!code, title@text, city@text, doors#1..60, area_m2#50..200000, kind=dry|cold|frozen
shelf: code!code, aisle@text, level#0..12, depth_cm#20..240, load_kg#10..4000, hazard?
pallet: barcode!code, shelf_code@text, height_cm#10..260, weight_kg#1..1500, state=free|held|moving|gone
batch: number!code, sku@text, made_on$, expires_on$, quantity#0..1000000, recalled?
delivery: number!code, supplier_number@text, due_on$, door#1..60, pallets#0..66, state=announced|arrived|checked|closed
delivery_line: reference!code, delivery_number@text, sku@text, quantity#1..100000, damaged#0..100000
order: number!code, customer_number@text, placed_on$, priority#1..9, channel=web|phone|edi, state=new|picked|sent|closed
order_line: reference!code, order_number@text, sku@text, quantity#1..10000, price_cents#0..9999999
picklist: number!code, picker@text, zone=a|b|c|d, lines#0..400, minutes#0..600, done?
shipment: number!code, carrier@text, order_number@text, boxes#1..500, weight_g#1..9000000, sent_on$, state=packed|sent|lost|there
carrier: code!code, name@text, max_weight_g#100..9000000, days#1..30, tracked?
returned: number!code, order_number@text, sku@text, quantity#1..10000, reason=broken|wrong|late|other, received_on$
invoice: number!code, customer_number@text, issued_on$, amount_cents#0..999999999, state=open|paid|reminded|lost
payment: reference!code, invoice_number@text, paid_on$, amount_cents#1..999999999, method=card|bank|cash
credit_note: number!code, invoice_number@text, issued_on$, amount_cents#1..999999999, reason@text
price_list: code!code, title@text, valid_from$, valid_to$, currency=SEK|NOK|DKK|EUR, active?
discount: code!code, title@text, percent#1..90, least_cents#0..9999999, group=shop|trade|staff
stocktake: number!code, warehouse_code@text, counted_on$, lines#0..100000, state=planned|running|done
stocktake_line: reference!code, stocktake_number@text, sku@text, expected#0..1000000, counted#0..1000000
transfer: number!code, from_code@text, to_code@text, sent_on$, pallets#1..66, state=planned|moving|there
employee: badge!code, name@text, team=inbound|outbound|returns|office, hired_on$, hours#1..48, driver?
vehicle: plate!code, model@text, capacity_kg#100..40000, bought_on$, fuel=diesel|gas|electric, retired?
inspection: number!code, plate@text, done_on$, odometer_km#0..3000000, result=passed|minor|failed
incident: number!code, place@text, happened_on$, severity#1..5, kind=injury|damage|near, closed?
certificate: number!code, holder@text, issued_on$, expires_on$, kind=forklift|crane|hazard|food
"""

MODULE = '''"""{Title}: one record of the table `{table}`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from stockroom.errors import Invalid
from stockroom.rules import {rules}
from stockroom.store import Store
from stockroom.table import Row, Table

TABLE = "{table}"
{constants}

@dataclass(frozen=True)
class {Class}:
    """{sentence}"""

{fields}

    def validate(self) -> None:
        """Raises Invalid with the first rule that is broken."""
{validation}

    def to_row(self) -> Row:
        """As it is written to the table."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Row) -> {Class}:
        """From a row of the table; what else stands in the row is left out."""
        return cls(**{{field.name: row[field.name] for field in fields(cls)}})

    def differences(self, other: {Class}) -> dict[str, tuple[Any, Any]]:
        """Fields that differ: here, there."""
        mine, theirs = asdict(self), asdict(other)
        return {{name: (value, theirs[name]) for name, value in mine.items() if value != theirs[name]}}

    def describe(self) -> str:
        """One line for a person."""
        words = [{describe}]
        return ", ".join(word for word in words if word)

    def to_csv(self) -> str:
        """One line of CSV, fields in their order, `;` between them."""
        return ";".join([{to_csv}])

    @classmethod
    def from_csv(cls, line: str) -> {Class}:
        """Raises Invalid when the line has another number of fields, or one that cannot be read."""
        parts = line.rstrip("\\n").split(";")
        if len(parts) != {count}:
            raise Invalid("{name}", "line", f"{{len(parts)}} fields instead of {count}")
        record = cls(
{from_csv}
        )
        record.validate()
        return record


def table() -> Table:
    """An empty table for {plural}."""
    return Table(TABLE, unique=[{unique}], indexed=[{indexed}], ordered=[{ordered}])


def add(store: Store, record: {Class}) -> int:
    """Validate and insert; the new id. Raises Invalid and Duplicate."""
    record.validate()
    return store.insert(TABLE, record.to_row())


def change(store: Store, record: int, **changes: Any) -> {Class}:
    """Validate and update; the record as it is now. Raises Missing, Invalid and Duplicate."""
    changed = {Class}.from_row(store.get(TABLE, record) | changes)
    changed.validate()
    store.update(TABLE, record, **changes)
    return changed


def by_{unique_field}(store: Store, value: str) -> {Class} | None:
    """The one with this {unique_field}, if there is one."""
    found = store.tables[TABLE].indexes["{unique_field}"].ids(value)
    return {Class}.from_row(store.get(TABLE, min(found))) if found else None
{extra}'''
GROUPED = '''

def numbers_by_{field}(store: Store) -> dict[str, list[str]]:
    """{unique_field}s by {field}, each list in its order."""
    groups: dict[str, list[str]] = {{value: [] for value in {constant}}}
    for _, row in store.tables[TABLE]:
        groups[row["{field}"]].append(row["{unique_field}"])
    return {{value: sorted(found) for value, found in groups.items() if found}}
'''
TOTALLED = '''

def total_{field}(store: Store) -> int:
    """Sum of {field} over all {plural}."""
    return sum(row["{field}"] for _, row in store.tables[TABLE])
'''
RULES = '''"""Rules that fields of records keep, and how texts become values."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date

from stockroom.errors import Invalid

CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{1,19}")
LONGEST_TEXT = 120


def code(kind: str, field: str, value: str) -> None:
    if not CODE.fullmatch(value):
        raise Invalid(kind, field, f"{value!r} is no code: 2 to 20 capitals, digits and dashes")


def text(kind: str, field: str, value: str) -> None:
    if not value.strip() or len(value) > LONGEST_TEXT or ";" in value or "\\n" in value:
        raise Invalid(kind, field, f"1 to {LONGEST_TEXT} characters on one line, without a semicolon")


def whole(kind: str, field: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid(kind, field, f"{value!r} is no whole number from {low} to {high}")


def one_of(kind: str, field: str, value: str, options: Collection[str]) -> None:
    if value not in options:
        raise Invalid(kind, field, f"{value!r} is none of {', '.join(options)}")


def day(kind: str, field: str, value: str) -> None:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        raise Invalid(kind, field, f"{value!r} is no date") from None


def flag(kind: str, field: str, value: bool) -> None:
    if not isinstance(value, bool):
        raise Invalid(kind, field, f"{value!r} is neither true nor false")


def as_whole(kind: str, field: str, said: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,12}", said):
        raise Invalid(kind, field, f"{said!r} is no whole number")
    return int(said)


def as_flag(kind: str, field: str, said: str) -> bool:
    if said not in ("yes", "no"):
        raise Invalid(kind, field, f"{said!r} is neither yes nor no")
    return said == "yes"
'''
TEST = '''"""{Title}s: what is written is what is read, and what is wrong is refused."""

import unittest

from stockroom.errors import Duplicate, Invalid
from stockroom.records.{name} import {Class}, add, by_{unique_field}, change, table
from stockroom.store import Store


def {name}(**changes):
    given = dict(
{sample}
    )
    return {Class}(**(given | changes))


class {Class}s(unittest.TestCase):
    def setUp(self):
        self.store = Store(table())

    def test_a_line_of_csv_is_read_as_it_was_written(self):
        self.assertEqual({Class}.from_csv({name}().to_csv()), {name}())

    def test_a_line_with_a_field_too_many_is_refused(self):
        with self.assertRaises(Invalid):
            {Class}.from_csv({name}().to_csv() + ";more")

    def test_one_is_found_by_its_{unique_field}(self):
        add(self.store, {name}())
        self.assertEqual(by_{unique_field}(self.store, {name}().{unique_field}), {name}())
        self.assertIsNone(by_{unique_field}(self.store, "NOT-THERE"))

    def test_no_two_have_the_same_{unique_field}(self):
        add(self.store, {name}())
        with self.assertRaises(Duplicate):
            add(self.store, {name}())

    def test_a_change_is_validated(self):
        number = add(self.store, {name}())
        with self.assertRaises(Invalid):
            change(self.store, number, {unique_field}="not a code")
        self.assertEqual(by_{unique_field}(self.store, {name}().{unique_field}), {name}())

    def test_what_differs_is_named(self):
        self.assertEqual({name}().differences({name}({unique_field}="X-1")), {{"{unique_field}": ({name}().{unique_field}, "X-1")}})
{wrong}

if __name__ == "__main__":
    unittest.main()
'''
WRONG = """
    def test_{field}_is_checked(self):
        with self.assertRaises(Invalid) as caught:
            {name}({field}={value}).validate()
        self.assertEqual(caught.exception.field, "{field}")
"""
SIGNS = {"!": "code", "@": "text", "#": "whole", "=": "one_of", "$": "day", "?": "flag"}


class Field:
    """One field of a kind, as KINDS writes it."""

    def __init__(self, written: str) -> None:
        at = next(n for n, sign in enumerate(written) if sign in SIGNS)
        self.name, self.rule, rest = written[:at], SIGNS[written[at]], written[at + 1 :]
        self.bounds = rest.split("..") if self.rule == "whole" else []
        self.options = rest.split("|") if self.rule == "one_of" else []
        self.constant = self.name.upper() + "S"
        self.type = {"whole": "int", "flag": "bool"}.get(self.rule, "str")

    def check(self, kind: str) -> str:
        more = "".join(f", {bound}" for bound in self.bounds) + (f", {self.constant}" if self.options else "")
        return f'        {self.rule}("{kind}", "{self.name}", self.{self.name}{more})'

    def in_words(self) -> str:
        plain = self.name.replace("_", " ")
        if self.rule in ("code", "text", "day"):
            return f"self.{self.name}"
        return f'"{plain}" if self.{self.name} else ""' if self.rule == "flag" else f'f"{plain} {{self.{self.name}}}"'

    def written(self) -> str:
        if self.rule == "flag":
            return f'"yes" if self.{self.name} else "no"'
        return f"str(self.{self.name})" if self.rule == "whole" else f"self.{self.name}"

    def read(self, kind: str, at: int) -> str:
        convert = {"whole": "as_whole", "flag": "as_flag"}.get(self.rule)
        return (
            f'            {self.name}={convert}("{kind}", "{self.name}", parts[{at}]),'
            if convert
            else f"            {self.name}=parts[{at}],"
        )

    def sample(self) -> str:
        value = {"code": '"A-100"', "text": '"north"', "day": '"2026-03-09"', "flag": "False"}.get(self.rule)
        return value or (self.bounds[1] if self.bounds else f'"{self.options[0]}"')

    def wrong(self) -> str | None:
        return {
            "whole": f"{int(self.bounds[1]) + 1}" if self.bounds else "",
            "day": '"2026-02-30"',
            "one_of": '"none"',
            "text": '" "',
        }.get(self.rule)


def plural(name: str) -> str:
    words = name.replace("_", " ")
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith(("s", "f", "ch")) else "s")


def kind(line: str) -> tuple[str, str, str]:
    """Name, module and tests of one kind of record."""
    name, _, rest = line.partition(": ")
    found = [Field(each) for each in rest.split(", ")]
    key = found[0].name
    title = "".join(part.capitalize() for part in name.split("_"))
    choices, numbers = [f for f in found if f.options], [f for f in found if f.rule == "whole"]
    used = sorted(
        {f.rule for f in found} | {"as_whole" for f in numbers} | {"as_flag" for f in found if f.rule == "flag"}
    )
    constants = "".join(f"{f.constant} = {tuple(f.options)!r}\n".replace("'", '"') for f in choices)
    extra = "".join(GROUPED.format(field=f.name, unique_field=key, constant=f.constant) for f in choices)
    extra += "".join(TOTALLED.format(field=f.name, plural=plural(name)) for f in numbers[:2])
    quoted = lambda fields: ", ".join(f'"{f.name}"' for f in fields)  # noqa: E731
    module = MODULE.format(
        Title=title, Class=title, table=plural(name).replace(" ", "_"), rules=", ".join(used), constants=constants, name=name, count=len(found),
        sentence=f"One of the {plural(name)}.", fields="\n".join(f"    {f.name}: {f.type}" for f in found),
        validation="\n".join(f.check(name) for f in found), describe=", ".join(f.in_words() for f in found),
        to_csv=", ".join(f.written() for f in found), from_csv="\n".join(f.read(name, n) for n, f in enumerate(found)),
        plural=plural(name), unique=f'"{key}"', unique_field=key, extra=extra,
        indexed=quoted([f for f in found if f.rule in ("text", "one_of")]),
        ordered=quoted([f for f in found if f.rule in ("whole", "day")]),
    )  # fmt: skip
    wrong = "".join(WRONG.format(field=f.name, name=name, value=f.wrong()) for f in found if f.wrong())
    sample = "\n".join(f"        {f.name}={f.sample()}," for f in found)
    return name, module, TEST.format(Title=title, name=name, Class=title, unique_field=key, sample=sample, wrong=wrong)


def main() -> None:
    top = Path(sys.argv[1])
    shutil.copytree(HERE / "core", top, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (top / "stockroom" / "rules.py").write_text(RULES)
    records = top / "stockroom" / "records"
    records.mkdir()
    (records / "__init__.py").write_text('"""One module for each kind of record."""\n')
    for line in KINDS.strip().splitlines():
        name, module, tests = kind(line)
        (records / f"{name}.py").write_text(module)
        (top / "tests" / f"test_{name}.py").write_text(tests)


main()
