"""The view of a run while it works."""

import asyncio
import io
from pathlib import Path

import pytest
from recorded_run import RUN, Recorder, grow, start, whole
from rich.console import Console

from outlay.agents.dialog import dialog
from outlay.prices.book import load
from outlay.tokens import ZERO, Usage
from outlay.views.live import follow, screen
from outlay.views.report import build
from outlay.views.watch import RunWatch


def console(width: int = 80, *, terminal: bool = False) -> Console:
    return Console(width=width, height=24, file=io.StringIO(), record=True, force_terminal=terminal)


def drawn(watch: RunWatch, width: int = 80, height: int = 24) -> str:
    view, notices = watch.look()
    shown = console(width)
    shown.print(screen(view, notices, width, height))
    return shown.export_text()


def test_the_screen_shows_the_tree_with_money_checks_and_limits(tmp_path: Path) -> None:
    shown = drawn(RunWatch(start(tmp_path).ledger, RUN, load())).splitlines()
    assert shown[0].split() == ["converter", RUN, "running", "3m09s", "$0.1260", "20", "turns"]
    assert shown[2].split() == ["main", "running", "main", "main", "6", "6", "%", "$0.0405", "thinking"]
    assert shown[3].startswith("  scout") and "done" in shown[3]
    assert shown[5].split() == [
        "checks",
        "✗",
        "tests",
        "failed:",
        "exit",
        "1",
        "✗",
        "score",
        "failed:",
        "571",
        "(at",
        "least",
        "600)",
    ]
    assert "money ░░░░ 6 % of $2.00" in shown[6] and "turns █░░░ 20 % of 100" in shown[6]
    assert any("call failed: rate limit 429" in line for line in shown)


def test_a_second_look_reads_only_what_is_new_and_agrees_with_a_first_one(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    watch = RunWatch(recorder.ledger, RUN, load())
    _, first = watch.look()
    assert len(first) > 5
    developer = f"{RUN}:blocks/nested-lists"
    recorder.call(developer, Usage(fresh=1000, output=100), tools=(("shell", 100),))
    recorder.check("tests", 2, passed=True)
    view, second = watch.look()
    assert [notice.text for notice in second] == ["check tests passed"]
    fresh, _ = RunWatch(recorder.ledger, RUN, load()).look()
    assert view == fresh
    assert view.total == build(recorder.ledger, RUN, load()).total


def test_a_look_when_nothing_happened_tells_nothing(tmp_path: Path) -> None:
    watch = RunWatch(start(tmp_path).ledger, RUN, load())
    before, _ = watch.look()
    after, notices = watch.look()
    assert before == after and notices == []


def test_plain_lines_tell_what_matters_and_end_with_the_run(tmp_path: Path) -> None:
    shown = console()
    asyncio.run(follow(whole(tmp_path).ledger, RUN, load(), shown, plain=True))
    lines = [line[10:] for line in shown.export_text().splitlines()]
    assert lines == [
        "run started",
        "main  started (main, main)",
        "main  call failed: rate limit 429",
        "scout  started (scout, small)",
        "scout  done",
        "check tests failed: exit 1",
        "check score failed: 571 (at least 600)",
        "blocks/nested-lists  started (developer, main)",
        "blocks/nested-lists  done",
        "check tests passed",
        "check score passed: 603 (at least 600)",
        "main  done",
        "run succeeded: all checks pass",
    ]


@pytest.mark.parametrize("plain", [True, False])
def test_following_ends_when_the_run_ends(tmp_path: Path, plain: bool) -> None:
    recorder = start(tmp_path)

    async def scenario() -> None:
        watching = asyncio.create_task(follow(recorder.ledger, RUN, load(), shown, plain=plain))
        await asyncio.sleep(0)
        assert not watching.done()
        recorder.end()
        await asyncio.wait_for(watching, 120)

    shown = console(terminal=not plain)
    asyncio.run(scenario())
    assert "succeeded" in shown.export_text()


@pytest.mark.parametrize("plain", [True, False])
def test_following_a_run_whose_process_died_ends(tmp_path: Path, plain: bool) -> None:
    recorder = start(tmp_path)
    recorder.clock.pass_ms(60_000)
    asyncio.run(asyncio.wait_for(follow(recorder.ledger, RUN, load(), console(), plain=plain), 120))
    assert f"outlay resume {RUN}" in drawn(RunWatch(recorder.ledger, RUN, load()))


def test_following_a_resumed_run_tells_only_what_happened_since(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    recorder.note(RUN, "run.paused", {})
    recorder.note(RUN, "run.resumed", {"pid": 2})
    recorder.end("stopped", "limit usd")
    shown = console()
    asyncio.run(follow(recorder.ledger, RUN, load(), shown, plain=True))
    assert [line[10:] for line in shown.export_text().splitlines()] == ["run resumed", "run stopped: limit usd"]


def test_limits_that_a_resume_changed_count(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    recorder.note(RUN, "run.resumed", {"pid": 2, "limits": {"usd": 4 * 10**12}})
    view, _ = RunWatch(recorder.ledger, RUN, load()).look()
    assert [(gauge.name, gauge.bound) for gauge in view.gauges] == [("money", 4e12)]
    limits = build(recorder.ledger, RUN, load()).run.limits
    assert limits is not None and limits.usd_pico == 4 * 10**12


def test_many_sessions_leave_the_ones_at_work_on_the_screen(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    main = recorder.session("main", "main", "main")
    for number in range(60):
        session = recorder.session(f"main/worker-{number}", "worker", "small", main)
        if number % 20:
            recorder.end_session(session)
    watch = RunWatch(recorder.ledger, RUN, load())
    shown = drawn(watch, height=20).splitlines()
    assert len(shown) <= 20
    assert [n for n in (0, 20, 40) if any(f"worker-{n} " in line for line in shown)] == [0, 20, 40]
    assert any("sessions that ended" in line for line in shown)


def test_long_names_and_actions_do_not_break_the_lines(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    main = recorder.session("main", "main", "main")
    deep = recorder.session(f"main/{'a' * 40}", "developer", "main", main)
    recorder.call(deep, Usage(fresh=150_000, output=100), tools=(("shell" * 20, 100),))
    shown = drawn(RunWatch(recorder.ledger, RUN, load()))
    assert max(len(line) for line in shown.splitlines()) <= 80
    columns = shown.splitlines()[1].split()
    assert columns == ["NAME", "STATE", "ROLE", "MODEL", "TURNS", "FULL", "COST", "DOING"]
    assert "75 %" in shown and "aaaa…" in shown and shown.count("…") == 2


def test_limits_count_what_lost_calls_may_have_cost(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    main = recorder.session("main", "main", "main")
    recorder.call(main, ZERO, status="lost", quality="unmeasured", possible=10**12)
    view, notices = RunWatch(recorder.ledger, RUN, load()).look()
    assert view.gauges[0].name == "money" and view.gauges[0].share == 0.5
    assert notices[-1].text == "call lost, may have cost $1.00" and notices[-1].good is False


def test_a_look_is_cheap(tmp_path: Path) -> None:
    import time

    recorder = Recorder(tmp_path)
    main = recorder.session("main", "main", "main")
    grow(recorder, main, 60, "claude-sonnet-5-5", "read")
    watch = RunWatch(recorder.ledger, RUN, load())
    watch.look()
    begin = time.process_time()
    for _ in range(50):
        watch.look()
    assert (time.process_time() - begin) / 50 < 0.01


def test_what_the_rules_kept_from_happening_is_told_beside_the_rest(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    watch = RunWatch(recorder.ledger, RUN, load())
    watch.look()
    main = f"{RUN}:main"
    polling = {"breaker": "polling", "action": "warn", "numbers": {"times": 4, "bound": 3}}
    denied = {"point": "model", "session": "main", "recipient": "vendor", "label": ["mail"], "forbidden": ["mail"]}
    recorder.note(main, "breaker.tripped", polling)
    recorder.note(main, "policy.denied", denied, b"Refused by the policy.")
    recorder.note(main, "limit.refused", {"limit": "spawns", "bound": 3, "used": 3, "asked": 1})
    recorder.note(main, "model.replaced", {"from": "small", "to": "main"})
    _, notices = watch.look()
    assert [notice.text for notice in notices] == [
        "breaker polling: you looked 4 times at subagents that were still at work; warn",
        "policy denied model: mail may not go to vendor",
        "refused: spawns, bound 3",
        "went on with main",
    ]
    told = [said for said in dialog(recorder.ledger, main) if said.kind in ("breaker", "denied", "refused")]
    assert [said.text for said in told][1:] == ["Refused by the policy.", "spawns, bound 3"]
    assert all(said.is_error for said in told)


def test_the_rate_is_that_of_the_last_minutes_while_at_work_and_of_the_whole_time_afterwards(tmp_path: Path) -> None:
    recorder = start(tmp_path)
    watch = RunWatch(recorder.ledger, RUN, load())
    view, _ = watch.look()
    worked_min = view.wall_ms / 60_000
    assert view.rate.net_tokens_per_min == pytest.approx(view.total.usage.net / worked_min)
    assert view.rate.usd_pico_per_h == pytest.approx(view.total.known.total / worked_min * 60)
    recorder.clock.pass_ms(10 * 60_000)
    recorder.ledger.write(lambda t: t.renew("test"))
    assert watch.look()[0].rate.net_tokens_per_min == 0
    recorder.end()
    assert watch.look()[0].rate.net_tokens_per_min > 0
