"""Well-known statements about what agents cost, recomputed with their inputs open to change.

Formulas are data (`data/claims.toml`): numbers, names, + - * /, comparisons, min and max. They are computed in exact
fractions here, and by the page's own script in a browser; both read the same text.
"""

from __future__ import annotations

import ast
import operator
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD_PER_MTOK
from outlay.prices.book import PriceBook
from outlay.prices.own import amount
from outlay.prices.snapshot import DATA

Value = Fraction | bool
_OPERATIONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.GtE: operator.ge, ast.LtE: operator.le, ast.Gt: operator.gt, ast.Lt: operator.lt,
}  # fmt: skip


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure that may be changed."""

    name: str
    unit: str
    value: Decimal | int | None = None
    rate: str = ""
    """`model class`: the price book's rate, in USD per million tokens."""
    seen: str = ""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure that is computed."""

    name: str
    formula: str
    unit: str


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One statement."""

    id: str
    says: str
    reading: str
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    holds: str
    when: str


class Answer(msgspec.Struct, frozen=True):
    """A statement under its inputs."""

    claim: Claim
    values: dict[str, Fraction]
    holds: bool


def claims() -> list[Claim]:
    """Every statement that is shipped."""
    table = tomllib.loads((DATA / "claims.toml").read_text(), parse_float=Decimal)
    return [msgspec.convert(entry, Claim) for entry in table["claim"]]


def answer(claim: Claim, book: PriceBook, at_ms: int, changed: Mapping[str, str] | None = None) -> Answer:
    """Compute a statement. Raises InputError for an input that it does not have, or a rate without a price."""
    given = dict(changed or {})
    names = [i.name for i in claim.inputs]
    if unknown := [name for name in given if name not in names]:
        raise InputError(f"claim {claim.id!r} has no input {unknown[0]!r}; it has {', '.join(names)}")
    values: dict[str, Fraction] = {}
    for each in claim.inputs:
        if each.name in given:
            values[each.name] = amount(given[each.name], f"--set {each.name}")
        elif each.rate:
            values[each.name] = _rate(each.rate, book, at_ms)
        else:
            values[each.name] = Fraction(each.value or 0)
    for step in claim.steps:
        values[step.name] = Fraction(compute(step.formula, values))
    return Answer(claim, values, bool(compute(claim.holds, values)))


def _rate(text: str, book: PriceBook, at_ms: int) -> Fraction:
    model, name = text.split()
    card = book.rates(model, "", at_ms)
    found = None if card is None else getattr(card.at(0), name)
    if found is None:
        raise InputError(f"no {name} price for {model!r}; give it with --set, or add it to your price book")
    return Fraction(found, PICO_PER_USD_PER_MTOK)


def compute(formula: str, values: Mapping[str, Fraction]) -> Value:
    """The value of a formula. Raises InputError when it divides by zero."""
    try:
        found: Value = _value(ast.parse(formula, mode="eval").body, values)
        return found
    except ZeroDivisionError:
        raise InputError(f"{formula}: division by zero; change the inputs") from None


def _value(node: ast.expr, values: Mapping[str, Fraction]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(Decimal(str(node.value)))
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATIONS:
        return _OPERATIONS[type(node.ops[0])](_value(node.left, values), _value(node.comparators[0], values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        return {"min": min, "max": max}[node.func.id](_value(argument, values) for argument in node.args)
    raise InputError(f"a formula may hold numbers, names, + - * /, comparisons, min and max, not {ast.dump(node)}")
