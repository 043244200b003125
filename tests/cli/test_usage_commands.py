"""`outlay usage` and its neighbours, as typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outlay.ledger import Ledger
from outlay.prices.book import load
from outlay.views.imported import build

OUTLAY = [sys.executable, "-c", "from outlay.cli import main; main()"]
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "tokenomics.csv"


def line(id: str, at: str = "2026-01-05T08:00:00.000Z", **more: object) -> str:
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 2000, "output_tokens": 100}
    message = {"id": id, "model": "claude-opus-4-5-20251101", "stop_reason": "end_turn", "usage": usage, "content": []}
    whole = {
        "type": "assistant",
        "sessionId": "session-one",
        "cwd": "/home/me/app",
        "timestamp": at,
        "message": message,
    }
    return json.dumps({**whole, **more}, separators=(",", ":")) + "\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which Claude Code worked: a main agent and a subagent."""
    project = tmp_path / "home" / ".claude" / "projects" / "-home-me-app"
    (project / "session-one" / "subagents").mkdir(parents=True)
    (project / "session-one.jsonl").write_text(line("m1") + line("m2", "2026-01-06T08:00:00.000Z"))
    sub = line("m3", "2026-01-06T08:00:01.000Z", isSidechain=True, agentId="a1")
    (project / "session-one" / "subagents" / "agent-a1.jsonl").write_text(sub)
    meta = {"agentType": "Explore", "description": "look around", "finished": True}
    (project / "session-one" / "subagents" / "agent-a1.meta.json").write_text(json.dumps(meta))
    return tmp_path / "home"


def environment(home: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "CLAUDE_", "CODEX_"))}
    return env | {"HOME": str(home), "OUTLAY_HOME": str(home.parent / "state"), "TZ": "UTC", "COLUMNS": "80"}


def outlay(home: Path, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [*OUTLAY, *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_with_no_set_up_at_all_it_finds_what_is_there_and_answers(home: Path) -> None:
    text = outlay(home, "usage")
    assert "Claude Code · 5 Jan 2026 – 6 Jan 2026" in text
    assert [row.split()[:2] for row in text.splitlines()[3:6]] == [
        ["2026-01-05", "1"], ["2026-01-06", "2"], ["total", "3"],
    ]  # fmt: skip
    assert "$0.03" in text and "Leverage 0.50" in text and "Not in any transcript" in text
    assert all(len(row) <= 80 for row in text.splitlines())


def test_every_format_has_the_same_numbers(home: Path) -> None:
    document = json.loads(outlay(home, "usage", "--by", "role", "--json"))
    assert document["total"]["calls"] == 3 and document["total"]["cost_usd"] == pytest.approx(0.0255)
    assert {g["key"]: g["calls"] for g in document["groups"]} == {"main": 2, "Explore": 1}
    rows = outlay(home, "usage", "--by", "role", "--csv").splitlines()
    assert rows[0].startswith("role,calls,fresh") and rows[-1].startswith(
        "total,3,3000,6000,0,0,300,0,3300,9300,0.0255"
    )
    assert "| total | 3 |" in outlay(home, "usage", "--by", "role", "--markdown")


def test_a_price_book_of_ones_own_counts(home: Path, tmp_path: Path) -> None:
    book = tmp_path / "mine.toml"
    book.write_text('[[price]]\nmodel = "claude-opus-4-5-20251101"\ninput = 1000\noutput = 0\ncache_read = 0\n')
    document = json.loads(outlay(home, "usage", "--json", "--prices", str(book)))
    assert document["total"]["cost_usd"] == 3.0


def test_days_since_until_and_zones(home: Path) -> None:
    def calls(*arguments: str) -> int:
        return int(json.loads(outlay(home, "usage", "--json", *arguments))["total"]["calls"])

    assert calls("--since", "2026-01-06") == 2
    assert calls("--until", "2026-01-05") == 1
    assert calls("--since", "2026-01-05", "--until", "2026-01-05", "--timezone", "Pacific/Kiritimati") == 1
    assert calls("--since", "1h") == 0
    assert calls("--session", "session-one") == 3 and calls("--project", "app") == 3 and calls("--project", "ap") == 0
    assert calls("--source", "codex") == 0


def test_another_machine_stands_beside_this_one(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "laptop" / ".claude" / "projects" / "p"
    other.mkdir(parents=True)
    (other / "session-two.jsonl").write_text(line("m9", sessionId="session-two"))
    document = json.loads(outlay(home, "usage", "--json", "--from", f"laptop={tmp_path / 'laptop'}"))
    assert document["total"]["calls"] == 4


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--since", "soon"], "write a day"), (["--timezone", "Mars/Base"], "no time zone"),
        (["--home", "/nowhere/at/all"], "is no folder"), (["--from", "laptop"], "NAME=DIR"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "not before"), (["--by", "colour"], "colour"),
        (["--prices", "/nowhere.toml"], "/nowhere.toml"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(home: Path, arguments: list[str], complaint: str) -> None:
    error = outlay(home, "usage", *arguments, status=2)
    assert complaint in error and "Traceback" not in error


def test_nothing_to_read_is_said_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert "No calls found" in outlay(tmp_path / "home", "usage")


def test_files_that_cannot_be_read_at_all_are_in_the_coverage(home: Path) -> None:
    odd = home / ".claude" / "projects" / os.fsdecode(b"\xff")
    odd.mkdir()
    (odd / "s.jsonl").write_text(line("odd"))
    for _ in range(2):
        told = json.loads(outlay(home, "usage", "--json"))
        assert told["total"]["calls"] == 3
        assert [problem["what"] for problem in told["coverage"]["problems"]] == ["not read: its name is not UTF-8"]


def test_another_home_is_reported_alone(home: Path, tmp_path: Path) -> None:
    project = tmp_path / "other" / ".claude" / "projects" / "-home-you-app"
    project.mkdir(parents=True)
    (project / "session-two.jsonl").write_text(line("n1", sessionId="session-two") + "{broken\n")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    outlay(home, "usage", "--json")
    for name in ("other", "link"):
        told = json.loads(outlay(home, "usage", "--json", "--home", str(tmp_path / name)))
        assert told["total"]["calls"] == 1 and [g["calls"] for g in told["groups"]] == [1]
        assert all("session-two" in problem["path"] for problem in told["coverage"]["problems"])
    assert json.loads(outlay(home, "usage", "--json"))["total"]["calls"] == 4


def test_a_project_is_named_to_the_letter(home: Path) -> None:
    folders = home / ".claude" / "projects"
    for name in ("my_app", "my-app", "MY_APP"):
        (folders / name).mkdir()
        text = line(f"of {name}").replace("/home/me/app", f"/home/me/{name}")
        (folders / name / f"{name}.jsonl").write_text(text)
    assert json.loads(outlay(home, "usage", "--json", "--project", "my_app"))["total"]["calls"] == 1
    assert json.loads(outlay(home, "usage", "--json", "--project", "/home/me/my-app"))["total"]["calls"] == 1


def test_watching_prints_again_when_something_changed(home: Path) -> None:
    command = [*OUTLAY, "usage", "--watch", "--json"]
    process = subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["total"]["calls"] == 3
        with (home / ".claude" / "projects" / "-home-me-app" / "session-one.jsonl").open("a") as file:
            file.write(line("m4"))
        assert json.loads(process.stdout.readline())["total"]["calls"] == 4
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(300)


def test_an_audit_goes_from_file_and_line_to_the_cost(home: Path) -> None:
    outlay(home, "usage")
    text = outlay(home, "audit", "m2")
    assert "session-one.jsonl:2" in text and "cost     $0.00850000" in text and "anthropic/claude-opus-4-5" in text
    path = home / ".claude" / "projects" / "-home-me-app" / "session-one.jsonl"
    assert outlay(home, "audit", f"{path}:2") == text
    assert "begins several calls" in outlay(home, "audit", "m", status=2)
    assert "no call 'x'" in outlay(home, "audit", "x", status=2)


def test_the_status_line_is_kept_and_found_out_anew_in_the_background(home: Path) -> None:
    assert outlay(home, "statusline") == "today $0.00 · 0 new, 0 re-read tokens\n"
    [kept] = (home.parent / "state" / "statusline").iterdir()
    today = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    with (home / ".claude" / "projects" / "-home-me-app" / "session-one.jsonl").open("a") as file:
        file.write(line("m4", today))
    os.utime(kept, (1, 1))
    assert outlay(home, "statusline") == "today $0.00 · 0 new, 0 re-read tokens\n"
    for _ in range(2400):
        if "0.00" not in kept.read_text():
            break
        time.sleep(0.05)
    assert outlay(home, "statusline") == "today $0.0085 · 1.10k new, 2.00k re-read tokens\n"
    assert outlay(home, "statusline", "--session", "session-one").startswith("session $0.03 · today $0.0085")


def test_tokenomics_of_the_example(home: Path) -> None:
    text = outlay(home, "tokenomics", "--from-table", str(EXAMPLE))
    assert "2.79" in text and "$5.23" in text
    assert json.loads(outlay(home, "tokenomics", "--from-table", str(EXAMPLE), "--json"))["leverage"]["value"] > 2.79


def test_tool_costs_of_a_session_without_tools_are_none(home: Path) -> None:
    assert json.loads(outlay(home, "usage", "--tool-cost", "--json"))["tools"] == {}


def test_an_imported_session_has_the_same_report_as_a_run(home: Path) -> None:
    outlay(home, "usage")
    with Ledger(home.parent / "state" / "ledger.db") as ledger:
        report = build(ledger, "session-o", load())
        assert report is not None and build(ledger, "nothing", load()) is None
    assert [(agent.session.name, agent.session.role) for agent in report.agents] == [
        ("main", "main"),
        ("look around", "Explore"),
    ]
    assert report.tokenomics.leverage.value == 0.5
