"""`outlay runs`, `show`, `report` and `ledger` on a recorded run."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded_run import RUN, start, whole

from outlay.cli.ledger import command as ledger_command
from outlay.cli.runs import command as runs_command
from outlay.cli.show import command as show_command
from outlay.errors import InputError, OutlayError
from outlay.prices.book import load
from outlay.views.dialog import dialog, find_session
from outlay.views.report import build
from outlay.views.run_list import list_runs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUTLAY_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(command: object, *words: str) -> Result:
    result = CliRunner().invoke(command, list(words))  # type: ignore[arg-type]
    if isinstance(result.exception, OutlayError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_list_of_runs_has_outcome_and_cost(home: Path) -> None:
    whole(home).ledger.close()
    shown = run(runs_command).stdout.splitlines()
    assert shown[0].split() == ["ID", "NAME", "OUTCOME", "STARTED", "WALL", "SESS", "TURNS", "COST"]
    row = shown[1].split()
    assert row[:3] == [RUN, "converter", "succeeded"] and row[-4:] == ["3m22s", "3", "21", "$0.1321"]
    listed = json.loads(run(runs_command, "--json").stdout)
    assert listed[0]["run"]["id"] == RUN


def test_the_list_agrees_with_the_report(home: Path) -> None:
    recorder = whole(home)
    line, report = list_runs(recorder.ledger, load())[0], build(recorder.ledger, RUN, load())
    assert (line.spend, line.run, line.turns) == (report.total, report.run, report.turns)


def test_an_interrupted_run_is_listed_as_that(home: Path) -> None:
    start(home).ledger.close()  # its lease ended long ago
    assert "interrupted" in run(runs_command).stdout
    shown = run(show_command).stdout
    assert f"no process works on this run; go on with: outlay resume {RUN}" in shown
    assert "interrupted" in shown.splitlines()[0]


def test_without_a_ledger_there_are_no_runs(home: Path) -> None:
    assert "no runs yet" in run(runs_command).stdout
    assert json.loads(run(runs_command, "--json").stdout) == []
    with pytest.raises(InputError, match="no ledger"):
        run(show_command)
    assert not (home / "ledger.db").exists()


def test_show_tells_how_a_run_ended(home: Path) -> None:
    whole(home).ledger.close()
    shown = run(show_command, "conv" + "erter").stdout
    assert (
        "succeeded  3m22s  $0.1321  21 turns  all checks" in shown
        and "✓ score passed: 603 (at least 600) (run 2)" in shown
    )
    assert "run succeeded: all checks pass" in shown
    as_json = json.loads(run(show_command, RUN[:4], "--json").stdout)
    assert as_json["run"]["outcome"] == "succeeded" and len(as_json["run"]["sessions"]) == 3


def test_show_follow_of_a_run_that_has_ended_shows_it_and_ends(home: Path) -> None:
    whole(home).ledger.close()
    assert run(show_command, "--follow").stdout.splitlines()[-1].endswith("run succeeded: all checks pass")


def test_the_dialog_of_a_session_has_its_tools_folded(home: Path) -> None:
    recorder = whole(home)
    recorder.note(
        f"{RUN}:scout", "call.result", {"key": "x", "stop": "tools"},
        b'{"role": "assistant", "parts": [{"type": "text", "text": "I look."}, '
        b'{"type": "tool_call", "id": "1", "name": "read", "arguments": "{\\"path\\": \\"a\\"}"}]}',
    )  # fmt: skip
    recorder.ledger.close()
    shown = run(show_command, "--session", "scout").stdout
    assert "  ← grep xxxxx" in shown and "(1,800 characters)" in shown
    assert "I look." in shown and '  → read {"path": "a"}' in shown
    assert max(len(line) for line in shown.splitlines()) < 140
    assert "x" * 1800 in run(show_command, "--session", "scout", "--unfold").stdout
    kinds = [said["kind"] for said in json.loads(run(show_command, "--session", "scout", "--json").stdout)]
    assert kinds[0] == "task" and kinds[-2:] == ["model", "tool_call"] and "ended" in kinds


def test_a_redacted_payload_is_shown_as_such(home: Path) -> None:
    recorder = whole(home)
    recorder.ledger.write(lambda t: t.conn.execute("DELETE FROM vault"))
    session = find_session(recorder.ledger, RUN, "nested-lists")
    assert {said.text for said in dialog(recorder.ledger, session) if said.kind == "tool_result"} == {"(redacted)"}
    assert build(recorder.ledger, RUN, load()).total.calls == 22


def test_an_unknown_session_lists_those_there_are(home: Path) -> None:
    whole(home).ledger.close()
    with pytest.raises(InputError, match="there are main, scout, blocks/nested-lists"):
        run(show_command, "--session", "nobody")
    with pytest.raises(InputError, match="--follow goes with --plain only"):
        run(show_command, "--follow", "--json")


def test_events_are_one_a_line(home: Path) -> None:
    recorder = whole(home)
    count = recorder.ledger.rows("SELECT count(*) AS n FROM events")[0]["n"]
    recorder.ledger.close()
    lines = run(show_command, "--events", "--json").stdout.splitlines()
    assert len(lines) == count and json.loads(lines[0])["type"] == "run.started"
    assert "check.finished" in run(show_command, "--events").stdout


def test_the_ledger_verifies_and_its_anchor_finds_a_cut_tail(home: Path) -> None:
    whole(home).ledger.close()
    assert "chain whole" in run(ledger_command, "verify").stdout
    anchors = home / "anchors.txt"
    anchors.write_text("# kept elsewhere\n" + run(ledger_command, "anchor").stdout)
    assert run(ledger_command, "verify", "--anchor", str(anchors)).exit_code == 0
    with sqlite3.connect(home / "ledger.db") as conn:
        conn.execute("DROP TRIGGER events_kept")
        conn.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    assert run(ledger_command, "verify").exit_code == 0
    broken = run(ledger_command, "verify", "--anchor", str(anchors))
    assert broken.exit_code == 1 and "anchored, but no longer there" in broken.stdout
    assert run(ledger_command, "path").stdout.strip() == str(home / "ledger.db")


def test_a_changed_event_breaks_the_chain(home: Path) -> None:
    whole(home).ledger.close()
    with sqlite3.connect(home / "ledger.db") as conn:
        conn.execute("DROP TRIGGER events_fixed")
        conn.execute("UPDATE events SET head = '{}' WHERE seq = 5")
    result = run(ledger_command, "verify", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"] == ["event 5: its content was changed"]


def test_anchors_that_are_none_are_named_by_line(home: Path) -> None:
    whole(home).ledger.close()
    (home / "a").write_text("1 abc\n")
    with pytest.raises(InputError, match="a:1: not `SEQ HASH`"):
        run(ledger_command, "verify", "--anchor", str(home / "a"))
