"""The price book, shown: one model's rows, disagreements between lists, changes between books, re-pricing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from outlay import home
from outlay.clock import Clock
from outlay.errors import EnvironmentProblem, InputError
from outlay.money import show
from outlay.prices import snapshot as frozen
from outlay.prices.book import PriceBook, load, rebuild
from outlay.prices.calendar import moment
from outlay.prices.diff import Change, Effect, changes, effects, per_mtok, the_book
from outlay.prices.keep import folder, keep, kept_books, update
from outlay.prices.rates import Card
from outlay.prices.second import Check
from outlay.prices.trace import Trace
from outlay.runs.lookup import find_run, open_ledger
from outlay.views.tables import Table, left, right

VARIANTS = ("", "batch", "flex", "priority", "fast")


class Shown(msgspec.Struct, frozen=True):
    """One card of a model at a moment."""

    provider: str
    variant: str
    card: Card


def cards(book: PriceBook, model: str, provider: str, at_ms: int) -> list[Shown]:
    """Every card of a model at a moment: the maker's first, then other providers; raises InputError for none."""
    makers = book.provider_of(model, provider)
    places = [makers] if provider else list(dict.fromkeys([makers, *book.providers_of(model)]))
    found = []
    for place in places:
        for variant in VARIANTS:
            card = book.rates(model, place or "", at_ms, tier=variant)
            if card is not None and (not variant or card.row.endswith(f".{variant}")):
                found.append(Shown(place, variant, card))
    if not found:
        raise InputError(f"no price for {model!r}{_near(book, model)}; ids are exact. Add it to {folder()}/*.toml")
    return found


def _near(book: PriceBook, model: str) -> str:
    import difflib

    ids = {id for listed in book.listed().values() for id in listed}
    near = difflib.get_close_matches(model.lower(), ids, n=3)
    return f"; near: {', '.join(near)}" if near else ""


def cards_table(found: Sequence[Shown]) -> Table:
    """USD per million tokens, one line per step of each card."""
    rows = []
    for shown in found:
        for above, rates in shown.card.steps:
            name = shown.card.row if above < 0 else f"  above {above:,} input tokens"
            costs = [rates.fresh, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h, rates.output]
            search = "-" if rates.web_search is None else f"${rates.web_search / 10**12:g}"
            rows.append((name, *(per_mtok(cost) for cost in costs), search))
    columns = (
        left("row", flexible=True), right("input"), right("cache read", short="read"), right("write 5m", short="w 5m"),
        right("write 1h", short="w 1h"), right("output"), right("search"),
    )  # fmt: skip
    return Table("", columns, tuple(rows))


def cards_json(book: PriceBook, found: Sequence[Shown], at_ms: int) -> dict[str, Any]:
    """Cards as data; rates in picodollars per token."""
    return {
        "price_book": book.id, "source": book.source, "snapshot": book.snapshot_sha256, "date": book.date,
        "at": moment(at_ms).isoformat(),
        "cards": [
            {
                "provider": s.provider, "variant": s.variant, "row": s.card.row,
                "steps": [{"above_input_tokens": a, **msgspec.structs.asdict(r)} for a, r in s.card.steps],
            }
            for s in found
        ],
    }  # fmt: skip


def check_table(found: Check) -> Table:
    """Rates on which the lists disagree."""
    rows = tuple((d.row, d.rate, per_mtok(d.ours), per_mtok(d.theirs)) for d in found.differences)
    columns = (left("row", flexible=True), left("rate"), right("ours"), right("theirs"))
    return Table("Rates that differ, USD per million tokens", columns, rows)


def resolve(name: str) -> PriceBook:
    """`current`, `shipped`, a kept book's id, a user's TOML file, or a snapshot's JSON file."""
    if name == "current":
        return load()
    if name == "shipped":
        return rebuild(*frozen.read(frozen.FILE, frozen.manifest().sha256), load().own)
    if name.endswith(".toml"):
        return load([Path(name)])
    if name.endswith(".json"):
        return rebuild(*frozen.read(Path(name)), load().own)
    return the_book(kept_books(), name)


def changes_table(found: Sequence[Change]) -> Table:
    rows = tuple((c.provider, c.model, c.rate, per_mtok(c.before), per_mtok(c.after)) for c in found)
    columns = (left("provider"), left("model", flexible=True), left("rate"), right("before"), right("after"))
    return Table("", columns, rows)


def effects_table(found: Sequence[Effect]) -> Table:
    """What the change does to a trace, per model and in all."""
    rows = []
    for effect in found:
        both = effect.before_pico is not None and effect.after_pico is not None
        more = "unknown" if not both else show((effect.after_pico or 0) - (effect.before_pico or 0))
        cells = (effect.model or "all", f"{effect.calls:,}", show(effect.before_pico), show(effect.after_pico), more)
        rows.append(cells)
    columns = (left("model", flexible=True), right("calls"), right("before"), right("after"), right("change"))
    return Table("", columns, tuple(rows))


def compare_books(one: str, other: str, at_ms: int, trace: Trace | None) -> tuple[list[Change], list[Effect]]:
    """Changes between two books at a moment, and their effect on a trace."""
    books = resolve(one), resolve(other)
    return changes(*books, at_ms), effects(*books, trace.columns) if trace else []


def fetch(fetch_newest: bool) -> tuple[bool, frozen.Manifest]:
    """Compile a new snapshot from the installed genai-prices, or from the newest one that pip finds, and put it in
    force. Returns whether anything changed."""
    keep(load())
    if not fetch_newest:
        raw, about = frozen.installed()
        return update(raw, about), about
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", name, "genai-prices"])
        for wheel in place.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(place / "lib")
        program = f"import sys; sys.path.insert(0, {str(place / 'lib')!r}); from pathlib import Path; "
        program += "from outlay.prices.snapshot import installed, write; "
        program += f"write(*installed(), Path({name!r}))"
        _run([sys.executable, "-c", program])
        about = frozen.manifest(place / "snapshot.toml")
        return update((place / "snapshot.json").read_bytes(), about), about


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise EnvironmentProblem(
            f"cannot fetch the newest genai-prices: {told[0]}; `outlay prices update` takes the installed one"
        )


class Recost(msgspec.Struct, frozen=True):
    """One re-pricing, as it is kept in `prices/recosts.jsonl`."""

    at_ms: int
    what: str
    before_book: str
    after_book: str
    effects: list[Effect]


def recost(run: str | None, trace: Trace, before: str | None, after: Sequence[Path]) -> Recost:
    """Price a trace under the book of its time and under another one, and write down that this was done."""
    new = load(after)
    old = resolve(before) if before else _book_of(run)
    found = Recost(Clock().now_ms(), run or "ledger", old.id, new.id, effects(old, new, trace.columns))
    keep(new)
    with (home.ensure(folder()) / "recosts.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(found) + b"\n")
    return found


def _book_of(run: str | None) -> PriceBook:
    if run is None:
        raise InputError("name the book that the calls were priced with: --before ID|current|shipped|FILE.toml")
    with open_ledger() as ledger:
        started = next(iter(ledger.events(run=find_run(ledger, run), types=["run.started"])), None)
    if started is None:
        raise InputError(f"no run {run!r}; `outlay runs` lists the runs")
    wanted = str(started.head.get("price_book", ""))
    current = load()
    return current if wanted and current.id.startswith(wanted) else the_book(kept_books(), wanted or "?")
