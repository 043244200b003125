"""One trace under several ways: the winner, every crossing, and what is missing."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from click.testing import CliRunner

from outlay.cli.program import outlay
from outlay.errors import InputError
from outlay.ledger import Call, Entry, Ledger
from outlay.prices.book import load
from outlay.prices.compare import Curves, compare
from outlay.prices.keep import keep
from outlay.prices.plans import parse_plans
from outlay.prices.trace import from_calls, read_jsonl
from outlay.tokens import Usage

START = 1_790_000_000_000
HOUR = 3_600_000
MONTH = {"id": "month", "limit_usd": 60, "anchor": "subscription_anniversary"}
SPEED = {"prefill_tps": 20_000, "cached_tps": 200_000, "decode_tps": 2_000}
PLANS = {
    "plan": [
        {"id": "go", "fee_usd_month": 10, "windows": [MONTH], "data": ["public"]},
        {"id": "flat", "fee_usd_month": 30, "windows": [{**MONTH, "limit_usd": [100, 200]}], "overage": "payg"},
    ],
    "commit": [{"id": "deal", "minimum_usd": 40, "price": 0.5, "data": ["public", "secret"]}],
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def book():
    return load().with_price("m", input=1, output=0)


def calls(n=200, quality="exact", model="m"):
    return [
        Call(source="t", key=str(i), session=f"s{i // 10}", model=model, ended_ms=START + i * HOUR, quality=quality,
             role="scout" if i % 2 else "dev", usage=Usage(fresh=100_000))
        for i in range(n)
    ]  # fmt: skip


def write_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_break_evens_stand_where_arithmetic_puts_them():
    found = compare(from_calls(calls(), book()), parse_plans(PLANS, "x"), book())  # $20 at list
    at = {(c.below, c.above): float(c.scale) for c in found.crossings}
    assert at["per-token", "go"] == pytest.approx(0.5, rel=1e-5)
    assert at["per-token", "deal"] == pytest.approx(2, rel=1e-5)
    assert at["go + per-token", "deal"] == pytest.approx(5, rel=2e-2)  # calls are whole: the last one overshoots
    assert at["per-token", "flat (better end)"] == pytest.approx(1.5, rel=1e-5)
    assert found.winner is not None and found.winner.id == "go"
    assert found.second is not None and found.second.id == "per-token"
    assert found.regret == (10 * 10**12, 10 * 10**12)


def test_on_either_side_of_a_crossing_the_named_way_is_the_cheaper_one():
    trace = from_calls(calls(), book())
    found = compare(trace, parse_plans(PLANS, "x"), book())
    ways = {}
    for option in found.options:
        for n, way in enumerate(option.ends):
            ways[option.id if len(option.ends) == 1 else f"{option.id} ({('better', 'worse')[n]} end)"] = way
    curves = Curves(trace)
    for crossing in found.crossings:
        for name, other, scale in (
            (crossing.below, crossing.above, crossing.scale * Fraction(99_999, 100_000)),
            (crossing.above, crossing.below, crossing.scale * Fraction(100_001, 100_000)),
        ):
            one, two = curves.cost(ways[name], scale), curves.cost(ways[other], scale)
            assert one is None or two is None or one <= two


def test_a_way_that_refuses_calls_does_not_win():
    found = compare(from_calls(calls(), book()), parse_plans(PLANS, "x"), book(), scale=Fraction(5))
    by_id = {option.id: option for option in found.options}
    assert not by_id["go"].complete and by_id["go"].bills[0].blocked > 0
    assert found.winner is not None and found.winner.complete


def test_data_that_a_plan_does_not_allow_rules_it_out_with_the_reason():
    found = compare(from_calls(calls(), book()), parse_plans(PLANS, "x"), book(), data="secret")
    assert {out.id for out in found.ruled_out} == {"go", "flat"}
    assert all("secret" in out.why for out in found.ruled_out)


def test_a_plan_without_the_model_is_ruled_out_by_name():
    plans = parse_plans({"plan": [{"id": "p", "fee_usd_month": 1, "windows": [MONTH], "models": ["glm-*"]}]}, "x")
    found = compare(from_calls(calls(), book()), plans, book())
    assert [(out.id, out.why) for out in found.ruled_out] == [("p", "does not serve m")]


def test_the_plan_carries_the_models_it_serves_and_the_rest_is_paid_per_token():
    both = load().with_price("m", input=1, output=0).with_price("glm-x", input=1, output=0)
    plans = parse_plans({"plan": [{"id": "p", "fee_usd_month": 1, "windows": [MONTH], "models": ["glm-*"]}]}, "x")
    mixed = [
        *calls(100),
        *(c.__replace__(key=f"g{c.key}", model="glm-x") if hasattr(c, "__replace__") else c for c in []),
    ]
    mixed += [
        Call(source="t", key=f"g{i}", session="g", model="glm-x", ended_ms=START + i * HOUR, quality="exact",
             usage=Usage(fresh=100_000))
        for i in range(100)
    ]  # fmt: skip
    found = compare(from_calls(mixed, both), plans, both)
    assert found.winner is not None and found.winner.id == "p + per-token"
    assert found.winner.low == 11 * 10**12


def test_unmeasured_and_unpriced_calls_stop_the_comparison_unless_they_are_left_out_on_purpose():
    some = [*calls(10), *calls(5, quality="unmeasured")]
    with pytest.raises(InputError, match="5 of 15 calls were not measured"):
        compare(from_calls(some, book()), parse_plans(PLANS, "x"), book())
    other = [*calls(10), *calls(5, model="no-such-model")]
    with pytest.raises(InputError, match=r"5 of 15 calls have no price.*no-such-model"):
        compare(from_calls(other, book()), parse_plans(PLANS, "x"), book())
    found = compare(from_calls(other, book()), parse_plans(PLANS, "x"), book(), partial=True)
    assert found.trace.unpriced == 5 and found.trace.priced.total_pico == 10**12


def test_waiting_calls_are_delayed_and_said_to_be():
    plans = parse_plans(
        {"plan": [{"id": "w", "fee_usd_month": 1, "overage": "wait",
                   "windows": [{"id": "day", "limit_usd": 1, "anchor": "calendar_day"}]}]}, "x")  # fmt: skip
    found = compare(from_calls(calls(48), book()), plans, book())
    (option,) = (o for o in found.options if o.id == "w")
    assert option.complete and option.bills[0].delayed > 0 and option.bills[0].delay_ms > 0


def test_overage_under_a_cheaper_model_costs_its_price():
    cheap = book().with_price("cheap", input="0.1", output=0)
    plans = parse_plans(
        {"plan": [{"id": "f", "fee_usd_month": 1, "overage": "fallback", "fallback_model": "cheap",
                   "windows": [{**MONTH, "limit_usd": 10}]}]}, "x")  # fmt: skip
    found = compare(from_calls(calls(200), cheap), plans, cheap)
    (option,) = (o for o in found.options if o.id == "f")
    assert option.bills[0].billed == 10**12 + 100 * 10**10


# ---- the commands


def lines(n=100):
    return [
        {"at": "2026-10-01T00:00:00Z" if i == 0 else (START + i * HOUR) / 1000, "model": "gpt-5.4", "session": f"s{i}",
         "fresh": 100_000, "output": 10, "success": i % 2 == 0}
        for i in range(n)
    ]  # fmt: skip


def run(*arguments):
    result = CliRunner().invoke(outlay, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_compare_prints_every_figure_as_json(tmp_path):
    trace = write_lines(tmp_path / "t.jsonl", lines())
    found = json.loads(run("pay", "compare", "--trace", trace, "--json").output)
    assert found["schema"] == "outlay.pay.compare/1"
    assert found["trace"]["list"]["pico"] == 100 * (100_000 * 2_500_000 + 10 * 15_000_000)
    assert found["trace"]["successes"] == 50
    (payg,) = (w for w in found["ways"] if w["id"] == "per-token")
    for name in ("ListCost", "ContractedCost", "BilledCost", "EffectiveCost"):
        assert payg["ends"][0][name]["pico"] == found["trace"]["list"]["pico"]
    assert payg["ends"][0]["cost_per_success"]["pico"] * 50 == found["trace"]["list"]["pico"]


def test_the_commands_say_what_they_found_on_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    trace = write_lines(tmp_path / "t.jsonl", lines())
    for arguments in (
        ["pay", "compare", "--trace", trace], ["pay", "explain", "cursor-20", "--trace", trace],
        ["pay", "windows", "--trace", trace, "--at", "2026-12-01"], ["pay", "plans"], ["prices", "show", "gpt-5.4"],
        ["hardware", "fit", "dgx-spark"], ["hardware", "compare", "gpt-oss-120b"], ["claims"],
    ):  # fmt: skip
        result = run(*arguments)
        assert result.exit_code == 0 and result.output.strip(), arguments
        prose = ("book ", "note:", "Speeds", "A GB", "seen:", "100 calls")
        assert all(len(line) <= 80 or line.startswith(prose) for line in result.output.splitlines()), arguments


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"at": "2026-10-01", "model": "m", "fresh": -1, "output": 1}, "line 1: fresh is negative"),
        ({"at": "yesterday", "model": "m", "fresh": 1, "output": 1}, "no time"),
        ({"model": "m"}, "at"),
        ({"at": 1, "model": "m", "fresh": 1, "output": 1, "reasoning": 2}, "cannot exceed"),
    ],
)
def test_a_bad_line_of_a_trace_is_named(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        read_jsonl(write_lines(tmp_path / "t.jsonl", [row]), book())


def test_a_line_without_counters_is_unmeasured_and_not_free(tmp_path):
    rows = [*lines(3), {"at": "2026-10-02", "model": "gpt-5.4"}]
    trace = write_lines(tmp_path / "t.jsonl", rows)
    with pytest.raises(InputError, match="1 of 4 calls were not measured"):
        run("pay", "compare", "--trace", trace)
    assert "lower bounds" in run("pay", "compare", "--trace", trace, "--partial").output


def test_the_ledger_is_a_trace_too(home):
    home.mkdir()
    with Ledger(home / "ledger.db") as ledger:
        ledger.write(lambda t: t.record_calls(calls(30, model="gpt-5.4")))
    found = json.loads(run("pay", "compare", "--since", "2026-01-01", "--json").output)
    assert found["trace"]["calls"] == 30 and found["trace"]["successes"] is None


def test_an_empty_ledger_says_what_to_do():
    with pytest.raises(InputError, match=r"--trace FILE\.jsonl"):
        run("pay", "compare")


def test_charts_are_written_in_every_format(tmp_path):
    pytest.importorskip("altair")
    trace = write_lines(tmp_path / "t.jsonl", lines(20))
    files = [tmp_path / f"c.{ending}" for ending in ("html", "png", "svg")]
    run("pay", "compare", "--trace", trace, "--dark", *(x for file in files for x in ("--chart", file)))
    assert [file.read_bytes()[:4] for file in files[1:]] == [b"\x89PNG", b"<svg"]
    page = files[0].read_text()
    assert "vega" in page and "<script src=" not in page, "the page must work offline"
    with pytest.raises(InputError, match="ends in"):
        run("pay", "compare", "--trace", trace, "--chart", tmp_path / "c.gif")


def test_two_books_differ_by_the_row_that_differs(tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[[price]]\nmodel = "gpt-5.4"\nprovider = "openai"\ninput = 1\noutput = 15\ncache_read = 0.25\n'
    )
    trace = write_lines(tmp_path / "t.jsonl", lines(10))
    arguments = ["prices", "diff", "shipped", tmp_path / "mine.toml", "--trace", trace, "--json"]
    found = json.loads(run(*arguments).output)
    assert {c["rate"] for c in found["changes"] if c["provider"] == "openai" and c["model"] == "gpt-5.4"} >= {"fresh"}
    assert found["effects"][-1]["before_pico"] - found["effects"][-1]["after_pico"] == 10 * 100_000 * 1_500_000


def test_the_second_opinion_is_read_from_a_file(tmp_path):
    other = {
        "gpt-5.4": {
            "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06,
            "output_cost_per_token": 1.6e-05,
        },
        "claude-opus-4-6": {"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 5e-06},
    }  # fmt: skip
    (tmp_path / "litellm.json").write_text(json.dumps(other))
    found = json.loads(run("prices", "check", "--with", tmp_path / "litellm.json", "--json").output)
    assert (found["models"], found["rates"]) == (2, 3)
    assert [(d["model"], d["rate"], d["ours"], d["theirs"]) for d in found["differences"]] == [
        ("gpt-5.4", "output", 15_000_000, 16_000_000)
    ]


def test_a_second_opinion_needs_nothing_but_outlay(tmp_path):
    found = json.loads(run("prices", "check", "--provider", "mistral", "--json").output)
    assert "litellm" in found["origin"] and found["rates"] > 50
    assert ("mistral-large-latest", "output", 6_000_000, 1_500_000) in {
        (d["model"], d["rate"], d["ours"], d["theirs"]) for d in found["differences"]
    }
    with pytest.raises(InputError, match="there are anthropic"):
        run("prices", "check", "--provider", "nobody")
    (tmp_path / "no-list.json").write_text('{"a": {"mode": ["chat"], "litellm_provider": {}}, "b": 3}')
    with pytest.raises(InputError, match="no models in LiteLLM's format"):
        run("prices", "check", "--with", tmp_path / "no-list.json")


def a_run(home, book_id, outcome="succeeded"):
    """A ledger with one ended run of five calls."""
    home.mkdir(exist_ok=True)

    def write(t):
        t.open_stream("r1", "run")
        epoch = t.claim("r1", "test")
        t.append("r1", "r1", epoch, [Entry("run.started", {"price_book": book_id})])
        t.put("runs", id="r1", name="one", goal_path="g", workspace="w", status="ended", outcome=outcome,
              started_ms=START, ended_ms=START, main="s0")  # fmt: skip
        t.record_calls(
            Call(source="outlay", key=f"s0:{i}", run="r1", session="s0", model="gpt-5.4", ended_ms=START + i,
                 quality="exact", usage=Usage(fresh=100_000))
            for i in range(5)
        )  # fmt: skip
        t.release("test")

    with Ledger(home / "ledger.db") as ledger:
        ledger.write(write)


def test_a_runs_outcome_gives_its_cost_per_success(home):
    a_run(home, load().id)
    found = json.loads(run("pay", "compare", "--trace", "r1", "--json").output)
    assert (found["trace"]["successes"], found["trace"]["outcomes"]) == (1, 1)
    a_run(home, load().id, outcome="failed")
    assert "/success" not in run("pay", "compare", "--trace", "r1").output


def test_past_calls_are_priced_again_only_on_purpose_and_that_is_written_down(home, tmp_path):
    before = load()
    a_run(home, before.id)
    keep(before)
    mine = tmp_path / "mine.toml"
    mine.write_text('[[price]]\nmodel = "gpt-5.4"\ninput = 1\noutput = 1\n')
    found = json.loads(run("recost", "r1", "--prices", mine, "--json").output)
    assert found["before_book"] == before.id != found["after_book"]
    assert (found["effects"][-1]["before_pico"], found["effects"][-1]["after_pico"]) == (125 * 10**10, 5 * 10**11)
    (line,) = (home / "prices" / "recosts.jsonl").read_text().splitlines()
    assert json.loads(line)["what"] == "r1"


def test_a_run_whose_book_is_gone_is_not_priced_with_another_one(home):
    a_run(home, "0123456789abcdef")
    with pytest.raises(InputError, match="no price book '0123456789abcdef' is kept"):
        run("recost", "r1")


def test_plans_are_understood_in_the_words_of_price_pages():
    month = {"id": "month", "limit_usd": 60, "anchor": "anniversary"}
    own = {
        "plan": [{"id": "go", "fee_usd_month": 10, "windows": [MONTH], "overage": "drop"}],
        "credits": [{"id": "card", "usd_per_credit": Decimal("0.04"), "per_mtok": {"m": [25, 2, 0]}}],
        "gpu": [{"id": "box", "usd_h": 6, "gpus": 8, "capacity": SPEED}],
        "commit": [{"id": "deal", "minimum_usd": 40, "price": Decimal("0.5"), "beyond": Decimal("0.6")}],
    }
    theirs = {
        "plan": [
            {"id": "go", "scheme": "subscription", "fee_usd_month": 10, "windows": [month], "overage": "block",
             "meter": "list price $", "admission": "check-before"},
            {"id": "card", "scheme": "credits", "usd_per_1000": 40, "per_mtok": {"m": [25, 2, 0]}},
        ],
        "gpu": [{"id": "box", "usd_h_total": 48, "gpus": 8, "capacity": SPEED, "billing": "per GPU-second"}],
        "commit": [{"id": "deal", "minimum_usd": 40, "price": Decimal("0.5"), "overage_rate": Decimal("0.6")}],
    }  # fmt: skip
    found = [
        {option.id: option.low for option in compare(from_calls(calls(), book()), parse_plans(p, "x"), book()).options}
        for p in (own, theirs)
    ]
    assert found[0] == found[1] and {"go", "card", "box", "deal"} <= set(found[0])
    with pytest.raises(InputError, match="say the same"):
        parse_plans({"credits": [{**own["credits"][0], "usd_per_1000": 40}]}, "x")
    with pytest.raises(InputError, match=r"scheme 'rent' under \[\[plan\]\]"):
        parse_plans({"plan": [{**own["plan"][0], "scheme": "rent"}]}, "x")
