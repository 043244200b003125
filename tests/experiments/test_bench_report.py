"""The report: places, fronts, comparisons, refusals."""

import json
import math

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from experiments.published_samples import BOARD, board, board_arm, needs_data, put
from outlay.cli.bench import command
from outlay.economics.trials import Trial
from outlay.errors import InputError
from outlay.experiments.published import read_files
from outlay.experiments.report import build
from outlay.experiments.results import Results, Totals, write_jsonl
from outlay.money import PICO_PER_USD, pico
from outlay.views.bench import dollars, headline
from outlay.views.bench_html import page


def trials(arm, good, usd, n=60, repeats=1):
    """`good` of every 10 tasks succeed, each trial at that price."""
    return [
        Trial(task=f"t{i}", arm=arm, repeat=r, success=i % 10 < good, cost_pico=None if usd is None else pico(usd),
              outcome="succeeded" if i % 10 < good else "failed")
        for i in range(n) for r in range(repeats)
    ]  # fmt: skip


def results(*groups, totals=(), findings=()):
    made = tuple(trial for group in groups for trial in group)
    return Results(sources=("x",), format="test", trials=made, totals=totals, findings=findings)


def run(*arguments, **options):
    result = CliRunner().invoke(command, [str(a) for a in arguments], env={"COLUMNS": "80", "NO_COLOR": "1"}, **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "results.jsonl"
    groups = (trials("cheap", 3, "0.1"), trials("middle", 5, "0.5"), trials("dear", 9, "2.0"), trials("blind", 5, None))
    write_jsonl([trial for group in groups for trial in group], path)
    return path


def test_arms_are_placed_by_cost_per_success_and_the_front_is_marked():
    report = build(results(trials("dear", 9, "2.0"), trials("cheap", 3, "0.1"), trials("bad", 3, "0.5")))
    assert [row.arm for row in report.rows] == ["cheap", "bad", "dear"]
    assert [row.worth for row in report.rows] == [True, False, True]
    assert report.rows[0].cost.value == pytest.approx(0.1 / 0.3 * PICO_PER_USD)


def test_arms_that_cannot_be_ranked_come_last_with_a_reason():
    groups = (
        trials("good", 5, "1"),
        trials("unknown", 5, None),
        trials("hopeless", 0, "1"),
        trials("wide", 1, "1", n=11),
    )
    rows = {row.arm: row for row in build(results(*groups)).rows}
    assert rows["good"].ranked and not any(rows[a].ranked for a in ("unknown", "hopeless", "wide"))
    assert "60 of 60" in rows["unknown"].why_not and rows["hopeless"].cost.label == "bound"
    assert not any(rows[a].worth for a in ("unknown", "hopeless", "wide"))


def test_totals_alone_give_a_figure_without_a_range():
    total = Totals(arm="t", rate=0.5, trials=100, successes=50, mean_pico=10**12)
    row = build(results(totals=(total,))).rows[0]
    assert row.cost.value == 2 * 10**12 and row.cost.interval is None and row.rate_interval and row.ranked


def test_a_total_cost_stands_in_where_single_trials_have_none():
    total = Totals(arm="a", rate=0.5, trials=60, successes=30, mean_pico=10**12)
    row = build(results(trials("a", 5, None), totals=(total,))).rows[0]
    assert row.ranked and row.cost.value == pytest.approx(2e12) and row.cost.interval is None and row.stats


def test_the_first_is_not_called_cheaper_than_what_the_tasks_cannot_tell_apart():
    a, b = trials("a", 5, "1.00"), trials("b", 5, "1.01")
    shuffled = [t if i % 7 else Trial(task=t.task, arm="b", success=not t.success, cost_pico=t.cost_pico,
                outcome="failed" if t.success else "succeeded") for i, t in enumerate(b)]  # fmt: skip
    report = build(results(a, shuffled, trials("dear", 5, "9")))
    assert len(report.tied) == 1 and "dear" not in report.tied


def test_cost_of_pass_is_finite_with_a_person():
    found = results(trials("a", 5, "1"))
    assert build(found).cost_of_pass == math.inf
    assert build(found, baseline_pico=pico(9)).cost_of_pass == 5 * 10**12


def test_a_comparison_needs_single_tasks():
    found = results(trials("a", 5, "1"), totals=(Totals(arm="t", rate=0.5, mean_pico=1),))
    with pytest.raises(InputError, match="only totals"):
        build(found, [("a", "t")])


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0, "$0.00"), (1234.5, "$1,234"), (1.666, "$1.67"), (0.4314, "$0.431"), (0.0468, "$0.047"),
        (0.00314, "$0.0031"),
        (0.0000123, "$0.000012"),
    ],
)  # fmt: skip
def test_amounts_keep_two_digits_that_say_something(usd, shown):
    assert dollars(usd * 1e12) == shown


def test_the_terminal_report_says_the_main_thing_first(file):
    out = run("report", file)
    lines = out.splitlines()
    assert lines[1] == "4 arms, 60 tasks, 240 trials"
    assert lines[3].startswith("A success costs least with cheap: $0.333")
    assert "Not ranked" in out and "blind: cost unknown for 60 of 60 trials" in out.replace("\n    ", " ")
    assert max(map(len, lines)) <= 80


def test_long_names_give_way_to_the_figures(tmp_path):
    path = tmp_path / "r.jsonl"
    write_jsonl(trials("an arm whose name goes on and on " * 4, 5, "1"), path)
    table = next(line for line in run("report", path).splitlines() if "…" in line)
    assert len(table) <= 80 and "50.0 %" in table and "$1.00" in table


def test_two_arms_are_compared_in_words(file):
    out = " ".join(run("report", file, "--compare", "cheap", "dear").split())
    assert "cheap against dear, on 60 common tasks: A success costs 0.15 times as much" in out
    assert "So cheap is cheaper per success." in out and "On 0 tasks cheap succeeds more, on 36 dear" in out


def test_json_holds_every_figure_and_no_infinity(file):
    data = json.loads(run("report", file, "--json", "--compare", "cheap", "dear"))
    assert data["rows"][0]["cost"]["value"] == pytest.approx(1e12 / 3) and data["rows"][0]["stats"]["known_costs"] == 60
    assert data["comparisons"][0]["tasks"] == 60 and data["cost_of_pass"] is None


def test_markdown_is_a_document(file):
    out = run("report", file, "--markdown", "--compare", "cheap", "dear")
    assert out.startswith("# Cost per success: results.jsonl\n") and "| arm | per success | 95 % range |" in out
    assert "## Compared on the same tasks" in out


def test_the_page_needs_no_network_and_no_script_and_escapes_names():
    report = build(results(trials("<b>&evil", 5, "1"), trials("other", 6, "2")))
    text = page(report)
    assert "<script" not in text and "http-equiv" not in text
    assert "<b>&evil" not in text and "&lt;b&gt;&amp;evil" in text
    assert text.count("<svg") == 4  # two charts, light and dark


def test_pictures_are_written_and_other_endings_refused(file, tmp_path):
    run("report", file, "--png", tmp_path / "a.png", "--html", tmp_path / "a.html")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG") and "<svg" in (tmp_path / "a.html").read_text()
    run("report", file, "--png", tmp_path / "a.svg", "--dark")
    assert "#16181c" in (tmp_path / "a.svg").read_text()
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        run("report", file, "--png", tmp_path / "a.gif")


def test_tasks_can_be_listed_in_a_file(file, tmp_path):
    listed = tmp_path / "tasks.txt"
    listed.write_text("# the first two\nt0\nt1\n")
    assert "2 tasks" in run("report", file, "--task-subset", f"@{listed}", "--arm", "cheap")
    with pytest.raises(InputError, match="task-subset"):
        run("report", file, "--task-subset", "@missing")


def test_repeats_show_what_trying_again_brings(tmp_path):
    path = tmp_path / "r.jsonl"
    write_jsonl(trials("a", 5, "1", repeats=3), path)
    out = run("report", path)
    assert "any of 2" in out and "all 3" in out and "1.00" in out


def test_whatif_retries_with_an_own_or_an_assumed_likeness(file, tmp_path):
    data = json.loads(run("whatif", file, "--retries", "3", "--arm", "cheap", "--json"))["retries"][0]
    assert data["assumed"] == [0.86, 0.49] and not data["measured"] and data["each"] is None
    assert 0.3 < data["low"]["success"] < data["high"]["success"]
    given = json.loads(run("whatif", file, "--retries", "3", "--arm", "cheap", "--icc", "0", "--json"))["retries"][0]
    assert given["high"]["success"] == pytest.approx(1 - 0.7**3)
    path = tmp_path / "r.jsonl"
    write_jsonl(trials("a", 5, "1", repeats=2), path)
    own = json.loads(run("whatif", path, "--retries", "3", "--json"))["retries"][0]
    assert own["measured"] and own["high"]["success"] == pytest.approx(0.5)  # its repeats always end alike


def test_whatif_cascades_and_other_prices(file):
    out = run("whatif", file, "--cascade", "cheap,dear", "--price", "dear=x0.5")
    assert "$1.00" in out and "all, one after the other" in out and "90.0 %" in out
    data = json.loads(run("whatif", file, "--cascade", "cheap,dear", "--json"))
    assert data["cascade"]["expected"]["cost"] == pytest.approx(0.1e12 + 0.7 * 2e12)
    assert data["cascade"]["independent"] == pytest.approx(1 - 0.7 * 0.1)


def test_whatif_prices_tokens_by_rates(tmp_path):
    path = tmp_path / "r.jsonl"
    line = {"task": "t", "arm": "a", "success": True, "cost_usd": 9, "tokens": {"fresh": 10**6, "output": 10**6}}
    path.write_text("\n".join(json.dumps(line | {"task": t}) for t in "xyz"))
    data = json.loads(run("whatif", path, "--price", "a=input:3,output:15", "--json"))
    assert data["prices"][0][2]["cost"]["value"] == 18 * 10**12


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "say what to compute"),
        (["--icc", "0.5", "--cascade", "cheap,dear"], "--icc goes with"),
        (["--retries", "2", "--icc", "7"], "from 0 to 1"),
        (["--retries", "0"], "at least one"),
        (["--cascade", "cheap"], "two arms"),
        (["--cascade", "cheap,nobody"], "no arm 'nobody'"),
        (["--price", "cheap"], "ARM=PRICE"),
        (["--price", "cheap=x0"], "above 0"),
        (["--price", "cheap=input:3"], "input and output"),
        (["--price", "cheap=input:3,output:15"], "token counts"),
        (["--price", "cheap=nothing"], "PROVIDER:MODEL"),
        (["--retries", "2", "--false-accept", "2"], "between 0 and 1"),
    ],
)
def test_whatif_refuses_what_it_cannot_compute(file, flags, says):
    with pytest.raises(InputError, match=says):
        run("whatif", file, "--arm", "cheap", "--arm", "dear", *flags)


def test_contradicted_arms_are_named_and_not_ranked(tmp_path):
    rows = {f"t{i}": (i % 2 == 0, 1.0) for i in range(40)}
    path = put(tmp_path / "b.json", board(board_arm("wrong", rows, resolved=90.0), board_arm("right", rows)))
    out = " ".join(run("report", path).split())
    assert (
        "wrong: its headline says 90 %, its own rows 20 of 40 (50.00 %); a success costs $1.11 by the one, $2.00" in out
    )


@needs_data
def test_the_real_board_is_reported_with_ranges_for_24_arms():
    report = build(read_files([BOARD]))
    assert sum(row.cost.interval is not None for row in report.ranked) == 24
    first = report.rows[0]
    assert first.arm == "DeepSeek V3.2 Reasoner" and first.cost.interval
    assert [round(v / 1e12, 4) for v in (first.cost.value or 0, first.cost.interval.low, first.cost.interval.high)] == [
        0.0468, 0.0423, 0.0518,
    ]  # fmt: skip
    assert {row.arm for row in report.rows if not row.ranked} == {"Claude 3.7 Sonnet (20250219)", "Gemini 2.0 flash"}


def test_arms_of_different_benchmarks_are_not_set_against_each_other():
    totals = tuple(Totals(arm=b, rate=0.5, mean_pico=10**12, benchmark=b) for b in ("gaia", "commit0"))
    report = build(results(totals=totals))
    assert report.mixed and not any(row.worth for row in report.rows)
    one, other = trials("a", 5, "1"), [replace(t, task=f"other/{t.task}", arm="b") for t in trials("b", 5, "1")]
    assert build(results(one, other)).mixed and not build(results(one, trials("b", 5, "1"))).mixed
    assert "different tasks" in headline(build(results(one, other)))[0]


def test_arms_that_tried_fewer_tasks_are_named(tmp_path):
    path = tmp_path / "r.jsonl"
    write_jsonl([*trials("all", 5, "1"), *trials("half", 5, "1", n=30)], path)
    assert "half: tried 30 of the 60 tasks" in run("report", path)
