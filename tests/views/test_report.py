"""The report of a recorded run."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from recorded_run import RUN, Recorder, grow, start, whole
from rich.console import Console

from outlay.cli.report import command
from outlay.errors import InputError
from outlay.prices.book import load
from outlay.tokens import ZERO, Usage
from outlay.views.facts import Facts, RunFacts, gather
from outlay.views.report import Report, build, compute, render_markdown, render_table


def text(report: Report, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_table(report))
    return console.export_text()


def test_every_call_is_in_the_report_once(tmp_path: Path) -> None:
    recorder = whole(tmp_path)
    report = build(recorder.ledger, RUN, load())
    calls = list(recorder.ledger.calls())
    assert report.total.calls == len(calls) == sum(line.spend.calls for line in report.by_model)
    assert report.total.usage == sum((call.usage for call in calls), ZERO)
    assert report.total.cost_pico == sum(load().price(c).cost_pico or 0 for c in calls)
    assert sum(line.spend.known.total for line in report.agents) == report.total.known.total
    assert sum(line.spend.usage.net for line in report.by_role) == report.total.usage.net
    assert report.turns == 21


def test_what_tools_brought_in_adds_up_to_the_growth_of_the_contexts(tmp_path: Path) -> None:
    report = build(whole(tmp_path).ledger, RUN, load())
    lines = {line.name: line for line in report.by_tool}
    assert lines["shell"].calls == 17 and lines["edit"].calls == 8
    # Each turn of `grow` but the last adds 900 + 150 n tokens with its results, the answer's 300 left out.
    expected = sum(sum(900 + 150 * (turn + 1) for turn in range(turns - 1)) for turns in (6, 5, 9))
    brought = sum(line.brought_tokens or 0 for line in report.by_tool)
    assert abs(brought - expected) < 120
    assert abs(sum(line.share_brought or 0 for line in report.by_tool) - 1) < 1e-9


def test_the_tree_of_agents_has_children_under_their_parents(tmp_path: Path) -> None:
    report = build(whole(tmp_path).ledger, RUN, load())
    assert [(line.session.name, line.depth) for line in report.agents] == [
        ("main", 0), ("scout", 1), ("blocks/nested-lists", 1),
    ]  # fmt: skip
    assert report.agents[0].full == 16370 / 200_000


def test_the_bottom_line_follows_from_the_numbers(tmp_path: Path) -> None:
    report = build(whole(tmp_path).ledger, RUN, load())
    assert report.bottom_line == [
        "Succeeded: both checks pass (after 2 failed checks), 3 sessions and 21 turns in 3m22s, for $0.1321.",
        "48 % of the cost was cache writes and each net token was read again 4.2 times; "
        "subagents did 69 % of the net work for 65 % of the cost.",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_terminal(tmp_path: Path, width: int) -> None:
    shown = text(build(whole(tmp_path).ledger, RUN, load()), width)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert "…" not in shown
    for heading in ("NAME", "STATUS", "TURNS", "FULL", "COST", *(("STARTED", "COMPLETED") if width == 120 else ())):
        assert heading in shown
    assert "Bottom line" in shown and load().id in shown


def test_the_json_is_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = whole(tmp_path)
    recorder.ledger.close()
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    result = CliRunner().invoke(command, ["converter", "--format", "json"])
    report = msgspec.convert(json.loads(result.stdout), Report)
    assert report.run.outcome == "succeeded" and report.price_book == load().id
    for how in ("table", "markdown"):
        assert "subagents did 69 %" in CliRunner().invoke(command, ["--format", how]).stdout.replace("\n", " ")


def test_own_prices_of_the_goal_are_used(tmp_path: Path) -> None:
    own = {"claude-sonnet-5-5": {"input": 0, "output": 0}, "claude-haiku-4-5": {"input": 0, "output": 1}}
    report = build(whole(tmp_path, own_prices=own).ledger, RUN, load())
    assert report.total.cost_pico == 5 * 300 * 10**6
    assert report.price_book != load().id


def test_a_cost_that_is_not_known_is_said_so_with_the_reason(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    main = recorder.session("main", "main", "main")
    recorder.call(main, Usage(fresh=100, output=10), model="home-grown")
    report = build(recorder.ledger, RUN, load())
    assert report.total.cost_pico is None and report.tokenomics.usd_per_net_mtok.value is None
    assert "for an unknown cost." in report.bottom_line[0]
    shown = text(report, 80)
    assert "unknown (" in shown and "'home-grown'" in shown and "$0.00" not in shown


def test_lost_and_cut_calls_are_listed_with_what_they_may_have_cost(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    main = f"{RUN}:main"
    recorder.call(main, ZERO, status="lost", quality="unmeasured", possible=4 * 10**10)
    recorder.call(main, Usage(output=50), status="cut", quality="lower_bound", kind="cut", possible=2 * 10**10)
    recorder.call(main, ZERO, quality="unmeasured", possible=10**10)
    report = build(recorder.ledger, RUN, load())
    assert [fault.status for fault in report.faults] == ["failed", "lost", "cut", "unmeasured"]
    assert report.total.cost_pico is None and report.total.unmeasured == 3
    least = report.total.known.total
    cut_pico = 50 * 10 * 10**6
    assert report.total.possible_pico == 7 * 10**10 - cut_pico
    assert f"for ${least / 1e12:.4f} to ${(least + 7e10 - cut_pico) / 1e12:.4f}." in report.bottom_line[0]
    assert "≥ $" in text(report, 80)


def test_pauses_do_not_count_as_time_at_work(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    main = recorder.session("main", "main", "main")
    grow(recorder, main, 1, "claude-sonnet-5-5", "read")
    recorder.note(RUN, "run.paused", {})
    recorder.clock.pass_ms(3_600_000)
    recorder.note(RUN, "run.resumed", {"pid": 2})
    recorder.clock.pass_ms(5_000)
    recorder.end("failed", "tests")
    assert build(recorder.ledger, RUN, load()).run.wall_ms == 8_000 + 5_000


def test_a_run_whose_process_died_is_interrupted(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    assert gather(recorder.ledger, RUN).run.status == "running"
    recorder.clock.pass_ms(60_000)
    report = build(recorder.ledger, RUN, load())
    assert report.run.status == "interrupted"
    assert f"outlay resume {RUN}" in text(report, 80)
    assert report.bottom_line[0].startswith("Interrupted: 0 of 2 checks passed")


def test_imported_sessions_need_only_calls_and_sessions(tmp_path: Path) -> None:
    facts = gather(whole(tmp_path).ledger, RUN)
    imported = Facts(
        run=RunFacts(id="x", name="imported", status="ended", started_ms=0), sessions=facts.sessions, calls=facts.calls
    )
    report = compute(imported, load(), 0)
    assert report.by_tool[0].name == "shell" and report.by_tool[0].brought_tokens is None
    assert report.bottom_line[0].startswith("Ended, 3 sessions")
    assert "## By tool" in render_markdown(report)


def test_an_unknown_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run nope"):
        build(Recorder(tmp_path).ledger, "nope", load())


def test_an_imported_session_is_reported_like_a_run(tmp_path):
    """A transcript of Claude Code's layout: two calls, the second of a subagent."""
    import json

    from outlay.ledger import Ledger
    from outlay.readers.places import Place
    from outlay.readers.update import update
    from outlay.views.report import render_markdown, report_on

    project = tmp_path / "home" / ".claude" / "projects" / "-project"
    project.mkdir(parents=True)
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
    line = {
        "type": "assistant", "sessionId": "s-1234", "uuid": "u1", "requestId": "r1", "cwd": "/project",
        "version": "2.1.329", "timestamp": "2026-11-01T10:00:00.000Z",
        "message": {"id": "m1", "model": "claude-opus-5-5", "role": "assistant", "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": "hi"}], "usage": usage},
    }  # fmt: skip
    (project / "s-1234.jsonl").write_text(json.dumps(line) + "\n")
    with Ledger(tmp_path / "l.db") as ledger:
        update(ledger, [Place("claude", tmp_path / "home" / ".claude", "")])
        report = report_on(ledger, "s-12")
        assert report.total.usage.net == 35 and report.total.usage.gross == 135
        text = render_markdown(report)
        assert "0 of 0" not in text and "passed check" not in text
