"""A second opinion: the snapshot beside LiteLLM's price list, row by row. Offline: from an installed or given file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.money import PICO_PER_USD
from outlay.prices.book import PriceBook
from outlay.prices.rates import Effective

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


def locate(given: Path | None) -> Path:
    """The list to compare with: the given file or wheel, else the installed litellm's. Never fetched."""
    if given is not None:
        return given
    found = find_spec("litellm")
    if found is None or found.origin is None:
        raise InputError(
            "no second price list: install litellm, or `pip download --no-deps litellm` and name the wheel with --with"
        )
    return Path(found.origin).parent / INSIDE


def read_list(path: Path) -> Mapping[str, Any]:
    """LiteLLM's table from its JSON file or from a wheel."""
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                raw = wheel.read(f"litellm/{INSIDE}")
        else:
            raw = path.read_bytes()
        table = msgspec.json.decode(raw)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise InputError(f"cannot read the price list {path}: {error}") from None
    if not isinstance(table, dict):
        raise InputError(f"the price list {path} is no table of models")
    return table


def check(book: PriceBook, path: Path, at_ms: int) -> Check:
    """Every rate that both lists state for the same provider and exact id, at a moment; the base step only."""
    models = rates = 0
    differences: list[Difference] = []
    for provider, id, entry in _entries(read_list(path)):
        card = book.rates(id, provider, at_ms)
        if card is None:
            continue
        models += 1
        for name, ours, theirs in _pairs(card.at(0), entry):
            rates += 1
            if abs(ours - theirs) > max(abs(theirs), 1) * _NOISE:
                differences.append(Difference(provider, id, name, ours, theirs, card.row))
    # Several ids of one model stand in their list; one line per row and disagreement is enough.
    kept = {(d.row, d.rate, d.theirs): d for d in reversed(differences)}
    return Check(path.name, models, rates, sorted(kept.values(), key=lambda d: (d.row, d.rate, d.theirs)))


def _entries(table: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for key, entry in table.items():
        provider = PROVIDERS.get(entry.get("litellm_provider", "")) if isinstance(entry, dict) else None
        if provider and entry.get("mode") in ("chat", "responses", "completion") and key.count("/") <= 1:
            yield provider, key.rpartition("/")[2], entry


def _pairs(card: Effective, entry: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    for field, name in _FIELDS.items():
        ours, theirs = getattr(card, name), entry.get(field)
        inferred = name.startswith("cache_") and ours == card.fresh
        if ours is not None and not inferred and isinstance(theirs, int | float):
            yield name, ours, round(Decimal(str(theirs)) * PICO_PER_USD)
