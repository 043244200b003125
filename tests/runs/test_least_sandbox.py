"""A goal says the weakest sandbox that will do; nothing weaker is taken instead, and what was taken is recorded."""

import json
from pathlib import Path

from modelserver import Answer, Call, Tool, serving
from project import Project


def script(call: Call) -> Answer:
    turns = [("write", {"path": "done.txt", "content": "yes"}), ("finish", {"answer": "done"})]
    return Answer("", (Tool(*turns[call.turn]),))


def test_a_goal_that_wants_more_than_the_machine_has_does_not_start(tmp_path: Path) -> None:
    with serving(script) as server:
        project = Project(tmp_path, server.base_url("openai"))
        project.write_goal()
        project.goal.write_text(project.goal.read_text().replace("{path: workspace}", "{path: workspace, sandbox: vm}"))
        refused = project.outlay("run", str(project.goal), "--plain")
        assert refused.returncode == 2 and "tier vm is wanted" in refused.stderr
        assert json.loads(project.outlay("runs", "--json").stdout) == [] and server.records == []
        project.goal.write_text(project.goal.read_text().replace("sandbox: vm", "sandbox: strict"))
        project.run()
    with project.ledger() as ledger:
        assert next(ledger.events(types=["run.started"])).head["sandbox_tier"] == "strict"


def test_a_sandbox_that_runs_cannot_have_is_an_error_in_the_goal(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1")
    project.write_goal()
    project.goal.write_text(project.goal.read_text().replace("{path: workspace}", "{path: workspace, sandbox: none}"))
    refused = project.outlay("run", str(project.goal), "--plain")
    assert refused.returncode == 2 and "sandbox" in refused.stderr
