"""A second opinion: the book beside LiteLLM's price list, rate by rate. Offline: the list that came with Outlay, that
of an installed litellm, or a file.

`python -m outlay.prices.second WHEEL DATE` writes the one that ships, from a wheel of litellm.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD
from outlay.prices.book import PriceBook
from outlay.prices.rates import Effective
from outlay.prices.snapshot import DATA

SHIPPED = DATA / "second.json"
INSIDE = "model_prices_and_context_window_backup.json"
PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "gemini": "google", "xai": "x-ai", "deepseek": "deepseek",
    "mistral": "mistral", "moonshot": "moonshotai", "zai": "zai", "groq": "groq", "minimax": "minimax",
    "azure": "azure", "cerebras": "cerebras", "bedrock": "aws", "bedrock_converse": "aws", "cohere_chat": "cohere",
}  # fmt: skip
"""LiteLLM's provider -> ours."""
_FIELDS = {
    "input_cost_per_token": "fresh", "output_cost_per_token": "output", "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}  # fmt: skip
_NOISE = Fraction(1, 1000)
"""Their numbers are binary floats; smaller differences are none."""


class PriceList(msgspec.Struct, frozen=True):
    """Another list of prices, in our words. What ships is one of these as JSON."""

    origin: str
    """Whose it is, its version, and when it was taken where that is known."""
    providers: dict[str, dict[str, dict[str, int]]]
    """Our provider -> id (without the provider) -> rate -> picodollars per token."""


class Difference(msgspec.Struct, frozen=True):
    """One rate on which the two lists disagree, in picodollars per token."""

    provider: str
    model: str
    rate: str
    ours: int
    theirs: int
    row: str


class Check(msgspec.Struct, frozen=True):
    """What the comparison found."""

    origin: str
    models: int
    rates: int
    differences: list[Difference]


def second_list(given: Path | None) -> PriceList:
    """The list to compare with: the given file or wheel, else the installed litellm's, else the one that ships."""
    if given is not None:
        return read_list(given)
    if (found := find_spec("litellm")) is not None and found.origin is not None:
        path = Path(found.origin).parent / INSIDE
        return msgspec.structs.replace(read_list(path), origin=f"litellm {version('litellm')}, as installed")
    return msgspec.json.decode(SHIPPED.read_bytes(), type=PriceList)


def read_list(path: Path) -> PriceList:
    """LiteLLM's list from its JSON file or from a wheel."""
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                raw = wheel.read(f"litellm/{INSIDE}")
        else:
            raw = path.read_bytes()
        table = msgspec.json.decode(raw)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise InputError(f"cannot read the price list {path}: {error}") from None
    if not isinstance(table, dict) or not (found := _compiled(table)):
        raise InputError(f"the price list {path} has no models in LiteLLM's format")
    return PriceList(path.name, found)


def check(book: PriceBook, other: PriceList, at_ms: int, provider: str = "") -> Check:
    """Every rate that both lists state for the same provider and exact id, at a moment; the base step only.

    `provider` limits it to one; raises InputError for one that the other list does not have.
    """
    if provider and provider not in other.providers:
        raise InputError(f"no provider {provider!r} in {other.origin}; there are {', '.join(sorted(other.providers))}")
    models = rates = 0
    differences: list[Difference] = []
    for place, table in other.providers.items():
        for id, theirs in table.items() if provider in ("", place) else ():
            card = book.rates(id, place, at_ms)
            if card is None:
                continue
            models += 1
            for rate, ours in _stated(card.at(0), theirs):
                rates += 1
                if abs(ours - theirs[rate]) > max(abs(theirs[rate]), 1) * _NOISE:
                    differences.append(Difference(place, id, rate, ours, theirs[rate], card.row))
    # Several ids of one model stand in their list; one line per row and disagreement is enough.
    kept = {(d.row, d.rate, d.theirs): d for d in reversed(differences)}
    return Check(other.origin, models, rates, sorted(kept.values(), key=lambda d: (d.row, d.rate, d.theirs)))


def _stated(card: Effective, theirs: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Our rates that the other list states, too; those that are only inferred from the input rate are left out."""
    for rate in theirs:
        ours: int | None = getattr(card, rate)
        if ours is not None and not (rate.startswith("cache_") and ours == card.fresh):
            yield rate, ours


def _compiled(table: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for key, entry in table.items():
        if not isinstance(entry, dict) or entry.get("mode") not in ("chat", "responses", "completion"):
            continue
        provider = PROVIDERS.get(str(entry.get("litellm_provider")))
        if provider and key.count("/") <= 1:
            stated = {name: entry.get(field) for field, name in _FIELDS.items()}
            rates = {n: round(Decimal(str(v)) * PICO_PER_USD) for n, v in stated.items() if isinstance(v, int | float)}
            found.setdefault(provider, {}).setdefault(key.rpartition("/")[2], rates)
    return found


if __name__ == "__main__":
    wheel = Path(sys.argv[1])
    taken = PriceList(f"litellm {wheel.name.split('-')[1]}, taken {sys.argv[2]}", read_list(wheel).providers)
    SHIPPED.write_bytes(msgspec.json.encode(taken))
    models = sum(map(len, taken.providers.values()))
    sys.stdout.write(f"{models} models of {taken.origin}, {SHIPPED.stat().st_size:,} bytes\n")
