"""What a tool's results cost, what was wasted, and ratios from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outlay.economics.table import read_table
from outlay.economics.tokenomics import tokenomics
from outlay.economics.tool_cost import by_tool, of_uses
from outlay.economics.waste import wastes
from outlay.errors import InputError
from outlay.ledger import Call
from outlay.prices.book import PriceBook, load
from outlay.readers.trace import Use
from outlay.tokens import Usage
from outlay.views.tokenomics import render

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "tokenomics.csv"


@pytest.fixture
def book() -> PriceBook:
    return load().with_price("m", input="10", output="50", cache_read="1", cache_write_5m="20", cache_write_1h="30")


def call(n: int, input: int, output: int = 10, session: str = "s") -> Call:
    """Everything but 100 tokens is read from the cache."""
    usage = Usage(fresh=100, cache_read=input - 100, output=output)
    return Call(source="claude", key=f"k{n}", session=session, model="m", ended_ms=n, usage=usage, quality="exact")


def use(n: int, tool: str, target: str = "", chars: int = 0, failed: bool = False) -> Use:
    return Use(session="s", call=f"k{n}", tool=tool, target=target, chars=chars, failed=failed)


def test_results_cost_their_first_reading_and_every_later_one(book: PriceBook) -> None:
    calls = [call(1, 1000), call(2, 1410), call(3, 1500), call(4, 1600)]
    uses = [use(1, "Read", "a", chars=300), use(1, "Bash", "ls", chars=100)]
    costs = of_uses(calls, uses, [], book)
    assert [(c.first_read, c.read_again) for c in costs] == [(300, 600), (100, 200)]
    assert costs[0].first_read_pico == 300 * 10_000_000  # fresh, at 10 USD per million
    assert costs[0].read_again_pico is not None and costs[0].read_again_pico < 600 * 10_000_000
    assert list(by_tool(uses, costs)) == ["Read", "Bash"]


def test_results_are_not_read_again_after_a_compaction(book: PriceBook) -> None:
    uses = [use(1, "Read", "a", chars=10)]
    shrunk = [call(1, 1000), call(2, 2000), call(3, 500), call(4, 600)]
    assert of_uses(shrunk, uses, [], book)[0].read_again == 0
    grown = [call(1, 1000), call(2, 2000), call(3, 2100), call(4, 2200)]
    assert of_uses(grown, uses, [("s", "k2")], book)[0].read_again == 0
    assert of_uses(grown, uses, [], book)[0].read_again > 0


def test_every_kind_of_waste_is_found_once_and_has_its_money(book: PriceBook) -> None:
    uses = [
        use(1, "Bash", "make", failed=True), use(2, "Bash", "make"), use(3, "Read", "a.py"), use(4, "Read", "a.py"),
        use(5, "Edit", "a.py"), use(6, "Read", "a.py"), use(7, "Bash", "sleep 5"), use(8, "Bash", "sleep 5"),
        use(9, "Bash", "sleep 5"), use(10, "Bash", "sleep 5"),
    ]  # fmt: skip
    calls = [call(n, 1000 + n) for n in range(1, 12)]
    found = {w.kind: w for w in wastes(calls, uses, of_uses(calls, uses, [], book), book)}
    assert {kind: w.count for kind, w in found.items()} == {
        "failed": 1, "retried": 1, "read_again": 1, "polling": 2, "after_last_change": 5,
    }  # fmt: skip
    assert found["failed"].pico == 10 * 50_000_000
    assert found["after_last_change"].pico == sum(book.price(c).cost_pico or 0 for c in calls[5:10])


def test_the_example_table_gives_the_figures_of_the_public_run() -> None:
    main, subagents = read_table(EXAMPLE.read_text(), EXAMPLE.name)
    ratios = tokenomics(main, subagents, 0)
    assert [round(figure.value or 0, 3) for figure in (
        ratios.leverage, ratios.subagents_share_net, ratios.subagents_share_gross, ratios.cache_bloat_main
    )] == [2.794, 0.736, 0.572, 7.133]  # fmt: skip
    text = render(main, subagents)
    for figure in ("2.79", "73.6 %", "57.2 %", "$6.73", "$5.23", "7.13"):
        assert figure in text


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("fresh,output\n1,2", "must name the columns"), ("who,fresh,colour\nmain,1,2", "no column 'colour'"),
        ("who,fresh\nmain,12x\nall,5", "row 1 (main), fresh"), ("who,fresh\nmain,12", "a row `all`"),
        ("who,fresh\nmain,12\nall,5", "less than `main`"), ("who,fresh\nmain,1\nall,5\nsub,2", "already"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_work_is_refused_with_its_place(table: str, complaint: str) -> None:
    with pytest.raises(InputError, match=r"table\.csv") as error:
        read_table(table, "table.csv")
    assert complaint in str(error.value)


def test_a_row_without_a_cost_makes_costs_unknown_and_nothing_else() -> None:
    main, subagents = read_table("who,fresh,output,cost_usd\nmain,1K,100,0.5\nsub,2K,200,\n", "t")
    ratios: Any = tokenomics(main, subagents, 0)
    assert ratios.leverage.value == 2.0 and ratios.usd_per_net_mtok.value is None
