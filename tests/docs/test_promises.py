"""What docs/guarantees.md promises of whole runs and no other test shows."""

import gc
from pathlib import Path

import pytest

from modelserver import Answer, Call, Tool, serving
from outlay.ledger import Entry, Ledger, verify
from project import Project

KEY = "sk-test-0123456789abcdef"


def finish() -> Answer:
    return Answer("", (Tool("finish", {"answer": "done"}),))


def test_a_key_is_in_no_command_no_file_of_outlay_and_no_output(tmp_path: Path) -> None:
    look = "env; cat /proc/*/environ | tr '\\0' '\\n'; ps ax -o args 2>/dev/null; touch done.txt"
    steps = [Answer("", (Tool("shell", {"command": look}),)), finish()]
    with serving(lambda call: steps[call.turn]) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.environment["OPENAI_API_KEY"] = KEY
        it.write_goal()
        done = it.run("--record", str(tmp_path / "recording.jsonl"))
        assert "PATH=" in it.events("tool.result")[0].payload.decode()
        assert KEY not in done.stdout + done.stderr
        texts = [event.payload for event in it.events() if event.payload]
        assert texts and not any(KEY.encode() in text for text in texts)
    gc.collect()  # closes the ledger's last reader, and with it its side files go
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "ledger.db" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_file_that_its_owner_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if call.turn == 0:
            return Answer("", (Tool("write", {"path": "done.txt", "content": "of the agent"}),))
        (it.workspace / "done.txt").write_text("of the owner")
        return finish()

    with serving(script) as server:
        it = Project(tmp_path, server.base_url("openai"))
        it.write_goal()
        it.run()
    assert (it.workspace / "done.txt").read_text() == "of the owner"
    assert "not delivered" in it.run_row()["reason"] and "done.txt" in it.run_row()["reason"]


BAD = {
    "a broken goal file": ("models:", "modles:", (), {}),
    "no checks": ("checks:", "context: []\n#", (), {}),
    "an unknown provider": ("openai-chat:", "ollama:", (), {}),
    "a missing workspace": ("path: workspace", "path: elsewhere", (), {}),
    "a limit without a price": ("price:", "# price:", ("--limit", "usd=1"), {}),
    "a limit that is none": ("", "", ("--limit", "usdd=1"), {}),
    "a missing recording": ("", "", ("--model", "recorded:absent.jsonl"), {}),
    "no key": ("", "", ("--model", "anthropic:claude-sonnet-5-5"), {"ANTHROPIC_API_KEY": ""}),
    "no bubblewrap": ("", "", (), {"PATH": "/nowhere"}),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_told_briefly_with_code_2_and_leaves_nothing_behind(case: str, tmp_path: Path) -> None:
    old, new, arguments, environment = BAD[case]
    it = Project(tmp_path, "http://127.0.0.1:9/v1")
    it.environment |= environment
    it.write_goal()
    it.goal.write_text(it.goal.read_text().replace(old, new, 1))
    done = it.outlay("run", str(it.goal), *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("outlay: ") and "Traceback" not in done.stderr
    assert not it.home.exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["GOAL.md", "workspace"]


def test_a_removed_payload_is_gone_from_the_files_once_the_ledger_is_closed(tmp_path: Path) -> None:
    secret = b"the words that have to go"
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.write(lambda t: t.open_stream("s", "run"))
        epoch = ledger.write(lambda t: t.claim("s", "me"))
        ledger.write(lambda t: t.append("r", "s", epoch, [Entry("x", {}, secret), Entry("y", {}, b"kept")]))
        ledger.write(lambda t: t.conn.execute("DELETE FROM vault WHERE id = 1"))
        assert verify(ledger).problems == []
        ledger.reader.close()
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert b"kept" in left["ledger.db"]
    assert [name for name, content in left.items() if secret in content] == []
