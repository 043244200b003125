"""Every grouping adds up to one total; days are local days; an unknown price is no price."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay.economics import usage_columns, usage_sql, zones
from outlay.economics.usage import GROUPINGS, Answer, Question, Tally, ask
from outlay.economics.usage_prices import plan
from outlay.economics.usage_sql import Sums, open_table, query, services
from outlay.ledger import Call, Ledger
from outlay.prices.book import PriceBook, load
from outlay.tokens import Usage
from outlay.views import usage as view

BOOK = """
[[price]]
model = "flat"
input = 1
output = 2
cache_read = 0.1
cache_write_5m = 1.25
cache_write_1h = 2
web_search = 0.01

[[price]]
model = "changes"
until = 2026-03-01T00:00:00Z
input = 3
output = 15

[[price]]
model = "changes"
from = 2026-03-01T00:00:00Z
input = 5
output = 25
fast = 2

[[price.tier]]
above_input_tokens = 1000
input = 10
output = 50
"""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    path = tmp_path / "book.toml"
    path.write_text(BOOK)
    return load([path])


def calls(number: int, seed: int = 1) -> list[Call]:
    """Calls of every kind, spread over a year."""
    r = random.Random(seed)
    made = []
    for n in range(number):
        session = f"s{r.randrange(9)}"
        sub = r.random() < 0.3
        made.append(
            Call(
                source=r.choice(["claude", "codex"]), key=f"k{n}", session=f"{session}/a" if sub else session,
                parent=session if sub else None, root=session, agent="a" if sub else "main",
                role=r.choice(["Explore", "Plan"]) if sub else "main", project=f"/home/me/p{r.randrange(3)}",
                model=r.choice(["flat", "changes", "nobody-knows"]), speed=r.choice(["", "", "fast"]),
                tools=r.choice(["", "Read", "Bash,Read,Read", "Edit,Bash"]),
                ended_ms=1_767_225_600_000 + r.randrange(365 * 86_400_000),
                quality=r.choice(["exact", "exact", "lower_bound", "residual", "unmeasured"]),
                recorded_cost_pico=r.choice([None, 5]),
                usage=Usage(
                    fresh=r.randrange(2000), cache_read=r.randrange(3) * 500, cache_write_5m=r.randrange(2) * 9,
                    cache_write_1h=r.randrange(2) * 7, output=100, reasoning=r.randrange(50),
                    web_searches=r.randrange(2),
                ),
            )
        )  # fmt: skip
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as opened:
        opened.write(lambda tx: tx.record_calls(calls(600)))
        yield opened


def added(answer: Answer) -> Tally:
    whole = Tally()
    for group in answer.groups:
        whole.add(group.tally)
    return whole


@pytest.mark.parametrize("by", GROUPINGS)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_every_grouping_adds_up_to_the_same_total(ledger: Ledger, book: PriceBook, by: str, zone: str) -> None:
    alone = ask(ledger, book, Question()).total
    answer = ask(ledger, book, Question(by=by, zone=zones.zone(zone)))
    assert added(answer) == answer.total == alone
    both = Tally()
    both.add(answer.main)
    both.add(answer.subagents)
    assert both == alone


def test_sums_cost_what_the_calls_cost_one_by_one(ledger: Ledger, book: PriceBook) -> None:
    priced = [book.price(call) for call in ledger.calls()]
    total = ask(ledger, book, Question()).total
    assert total.priced_pico == sum(p.cost_pico for p in priced if p.cost_pico is not None)
    assert total.unpriced_calls == sum(p.cost_pico is None for p in priced)
    by_model = {g.key: g.tally for g in ask(ledger, book, Question(by="model")).groups}
    for model in ("flat", "changes", "nobody-knows"):
        own = [book.price(c).cost_pico for c in ledger.calls("model = ?", (model,))]
        assert by_model[model].priced_pico == sum(cost for cost in own if cost is not None)


PEAKS = """
[[price]]
model = "peaks"
until = 2026-07-01T12:00:00Z
input = 1
output = 0
cache_read = 0
[[price]]
model = "peaks"
from = 2026-07-01T12:00:00Z
until = 2026-07-01T18:00:00Z
input = 2
output = 0
cache_read = 0
[[price]]
model = "peaks"
from = 2026-07-01T18:00:00Z
input = 3
output = 0
cache_read = 0
[[price]]
model = "peaks"
days = ["mon", "wed"]
hours = ["20:00", "06:30"]
input = 7
output = 0
cache_read = 0
"""


@pytest.mark.parametrize("columnar", [False, True])
def test_rows_for_hours_days_and_parts_of_a_day_are_those_of_the_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columnar: bool
) -> None:
    (tmp_path / "peaks.toml").write_text(PEAKS)
    book = load([tmp_path / "peaks.toml"])
    first = int(datetime(2026, 6, 28, tzinfo=UTC).timestamp() * 1000)
    times = [first + n * 1_800_000 for n in range(9 * 48)]
    usage = Usage(fresh=1_000_000, cache_read=2**32)
    made = [Call(source="claude", key=f"k{t}", session="s", model="peaks", ended_ms=t, quality="exact", usage=usage)
            for t in times]  # fmt: skip
    if columnar:
        monkeypatch.setattr(usage_sql, "MANY_CALLS", 1)
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.write(lambda tx: tx.record_calls(made))
        days = ask(ledger, book, Question(by="day")).groups
    for group in days:
        of_day = [
            c for c in made if datetime.fromtimestamp((c.ended_ms or 0) / 1000, UTC).date().isoformat() == group.key
        ]
        one_by_one = [book.price(call).cost_pico for call in of_day]
        assert group.tally.priced_pico == sum(cost for cost in one_by_one if cost is not None)
    assert sum(group.tally.calls for group in days) == len(made)


def test_an_unknown_model_has_an_unknown_cost_and_a_reason(ledger: Ledger, book: PriceBook) -> None:
    answer = ask(ledger, book, Question(by="model"))
    [group] = [g for g in answer.groups if g.key == "nobody-knows"]
    assert group.tally.cost_pico is None and group.tally.priced_pico == 0
    assert any("nobody-knows" in why for why in answer.unknown)


def shape(sums: Sums) -> object:
    rows = [Counter(tuple(map(str, row)) for row in rows) for rows in (sums.groups, sums.sides)]
    return rows, sums.unknown, sums.unmeasured, sums.keys, sums.first_ms, sums.last_ms


@pytest.mark.parametrize("by", GROUPINGS)
def test_the_columnar_copy_gives_the_same_answers_also_after_changes(ledger: Ledger, book: PriceBook, by: str) -> None:
    pytest.importorskip("duckdb")
    question = Question(by=by, zone=ZoneInfo("Europe/Vienna"))

    def both() -> tuple[object, object]:
        plans = {s.id: plan(book, s) for s in services(ledger)}
        columns = usage_columns.open_columns(ledger)
        assert columns is not None
        return shape(query(columns, question, plans)), shape(query(open_table(ledger), question, plans))

    first = both()
    assert first[0] == first[1]
    ledger.write(lambda tx: tx.record_calls([*calls(3, seed=2), *calls(610)[600:]]))
    second = both()
    assert second[0] == second[1] != first[1]


def test_filters_leave_out_what_was_not_asked_for(ledger: Ledger, book: PriceBook) -> None:
    everything = list(ledger.calls())
    march = (1_772_323_200_000, 1_775_001_600_000)
    for question, keeps in (
        (Question(sources=("codex",)), lambda c: c.source == "codex"),
        (Question(projects=("p1",)), lambda c: c.project == "/home/me/p1"),
        (Question(projects=("/home/me/p1", "p2")), lambda c: c.project != "/home/me/p0"),
        (Question(roots=("s3",)), lambda c: c.root == "s3"),
        (Question(since_ms=march[0], until_ms=march[1]), lambda c: march[0] <= c.ended_ms < march[1]),
        (Question(by="day", sources=("codex",), roots=("s3",)), lambda c: c.source == "codex" and c.root == "s3"),
    ):
        assert ask(ledger, book, question).total.calls == sum(map(keeps, everything))


@settings(max_examples=200)
@given(
    st.integers(-400_000_000, 400_000_000) | st.integers(1_500_000_000_000, 1_900_000_000_000),
    st.sampled_from(
        ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo", "Africa/Casablanca", "UTC"]
    ),
)
def test_a_day_in_sql_is_the_local_day_daylight_saving_included(at_ms: int, name: str) -> None:
    import sqlite3

    zone = ZoneInfo(name)
    expression = zones.day_expression(zone, min(at_ms, 1_500_000_000_000), 1_900_000_000_000)
    number = sqlite3.connect(":memory:").execute(f"SELECT {expression} FROM (SELECT {at_ms} AS ended_ms)").fetchone()[0]
    assert zones.day_of(number) == datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()


def test_the_json_contract_holds_exactly(ledger: Ledger, book: PriceBook) -> None:
    answer = ask(ledger, book, Question(by="model"))
    document = json.loads(view.as_json(answer, view.Extra("model", "UTC")))
    fields = {
        "calls", "fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "net", "gross",
        "cost_usd", "recorded_cost_usd", "unpriced_calls", "web_searches",
    }  # fmt: skip
    assert set(document["total"]) == fields | {"priced_cost_usd"} and document["total"]["cost_usd"] is None
    for group in document["groups"]:
        assert set(group) == fields | {"key"} | ({"priced_cost_usd"} if group["cost_usd"] is None else set())
    assert document["version"] == 1 and set(document["coverage"]) >= {"unpriced", "lower_bound_calls", "sources"}
    partial = json.loads(view.as_json(answer, view.Extra("model", "UTC", partial=True)))
    assert partial["total"]["cost_usd"] == document["total"]["priced_cost_usd"]
    assert "priced_cost_usd" not in partial["total"]


@pytest.mark.parametrize("by", GROUPINGS)
def test_the_table_fits_eighty_columns(ledger: Ledger, book: PriceBook, by: str) -> None:
    text = view.terminal(ask(ledger, book, Question(by=by)), view.Extra(by, "UTC"), 80, False, 31)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "total" in text and "without a price" in text
