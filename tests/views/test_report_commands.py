"""What commands used of the machine, from their end to the report."""

import json
from pathlib import Path

from modelserver import Answer, Call, Tool, serving
from outlay.ledger import Event
from outlay.views.report_commands import command_lines, commands
from project import Project


def test_a_run_says_what_its_commands_used(tmp_path: Path) -> None:
    work = "head -c 3000000 /dev/zero >big; python3 -c 'x = bytearray(60_000_000)'; sum /dev/null; touch done.txt"
    turns = [("shell", {"command": work}), ("grep", {"pattern": "x"}), ("finish", {"answer": "done"})]

    def script(call: Call) -> Answer:
        return Answer("", (Tool(*turns[call.turn]),))

    with serving(script) as server:
        project = Project(tmp_path, server.base_url("openai"))
        project.write_goal()
        project.run()
    document = json.loads(project.outlay("report", "--format", "json").stdout)
    lines = {line["name"]: line for line in document["commands"]}
    assert set(lines) == {"shell", "grep", "done"} and lines["done"]["is_check"]
    assert lines["shell"]["commands"] == 1 and lines["shell"]["cpu_ms"] > 0
    assert 60_000_000 < lines["shell"]["memory_peak_bytes"] < 2 * 10**9
    with project.ledger() as ledger:
        heads = [event.head for event in ledger.events(types=["tool.result", "check.finished"])]
    assert all({"cpu_ms", "memory_peak_bytes", "written_bytes"} <= set(head) for head in heads)
    shown = project.outlay("report").stdout
    assert "What commands used" in shown and "check done" in shown


def test_what_was_not_measured_is_not_shown_as_nothing() -> None:
    old = Event(1, 0, "r", "r:main", 1, "tool.result", {"name": "shell", "cpu_ms": 40})
    none = Event(2, 0, "r", "r:main", 2, "tool.result", {"name": "read", "cpu_ms": None})
    lines = command_lines([old, none])
    assert [(line.name, line.memory_peak_bytes, line.written_bytes) for line in lines] == [("shell", None, None)]
    assert commands(lines).rows[0][1:] == ("1", "40ms", "–", "–")
