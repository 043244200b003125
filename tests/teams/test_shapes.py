"""Conducted shapes: who is asked, what is handed on, whose work counts; also after being killed at any point."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from modelserver import Answer, Call, Tool, serving
from outlay.economics.coordination import EVENTS, coordination
from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.prices.book import load as load_book
from outlay.runs.goal import load
from project import Project, until

Script = Callable[[Call], Answer]


def place_of(call: Call) -> str:
    """Which place of a shape a call comes from, by the words of its brief."""
    signs = {"architect": "Plan how to", "reviewer": "Review the work", "chair": "You chair", "persona": "You sit on"}
    return next((name for name, sign in signs.items() if sign in call.task), "worker")


def shell(command: str) -> Answer:
    return Answer("", (Tool("shell", {"command": command}),))


def finish(answer: str) -> Answer:
    return Answer("", (Tool("finish", {"answer": answer}),))


def pipeline_script(verdicts: list[str]) -> Script:
    """The developer adds a line each time; the reviewer says the verdicts in turn (by the lines that are there)."""

    def script(call: Call) -> Answer:
        match place_of(call):
            case "architect":
                return finish("Write a line into done.txt.")
            case "reviewer":
                if call.turn == 0:
                    return shell("echo reviewed >> done.txt; grep -c line done.txt")
                return finish(verdicts[int(call.results[-1].content.split()[-1]) - 1])
        return shell("echo line >> done.txt") if call.turn == 0 else finish("A line is written.")

    return script


def council_script(call: Call) -> Answer:
    match place_of(call):
        case "persona":
            name = call.task.split("council as ")[1].split()[0].strip(";")
            return Answer(f"{name} says {call.turn + 1}")
    return shell("echo decided > done.txt") if call.turn == 0 else finish("So it is.")


def relay_script(call: Call) -> Answer:
    file = "half.txt" if call.model == "scripted-small" else "done.txt"
    return shell(f"echo {call.model} >> {file}") if call.turn == 0 else finish(f"{call.model} did its best.")


def project(folder: Path, base_url: str, team: str, **goal: str) -> Project:
    it = Project(folder, base_url)
    it.write_goal(team=team, **goal)
    small = it.model.replace("scripted-large", "scripted-small")
    head, models, rest = it.goal.read_text().partition("  main:\n")
    it.goal.write_text(f"{head}  small: {{spec: '{small}', price: {{input: 1, output: 2}}}}\n{models}{rest}")
    return it


def test_a_pipeline_hands_on_the_plan_and_the_work_until_the_reviewer_accepts(tmp_path: Path) -> None:
    with serving(pipeline_script(["REVISE: one more", "ACCEPT"]), keep_bodies=True) as server:
        it = project(tmp_path, server.base_url("openai"), "team: {shape: pipeline}\n")
        it.run()
    assert (it.workspace / "done.txt").read_text() == "line\nline\n"  # what the reviewer wrote is dropped
    names = ["architect", "developer-1", "developer-2", "reviewer-1", "reviewer-2"]
    sessions = it.sessions()
    assert sorted(sessions) == ["main", *(f"main/{name}" for name in names)]
    assert {row["status"] for row in sessions.values()} == {"done"}
    second = next(r["body"] for r in server.records if "sent your predecessor's work back" in r["body"])
    assert "REVISE: one more" in second and "Write a line into done.txt." in second
    assert not [call for call in it.calls() if call.agent == "main"]


def test_what_was_told_and_heard_is_counted_once_and_at_its_price(tmp_path: Path) -> None:
    with serving(pipeline_script(["ACCEPT"])) as server:
        it = project(tmp_path, server.base_url("openai"), "team: {shape: pipeline}\n")
        it.run()
    run = it.run_row()["id"]
    with it.ledger() as ledger:
        calls = list(ledger.calls("run = ?", (run,)))
        book = load_book().with_price("scripted-large", input=3, output=15, cache_read=0.3)
        found = coordination(ledger.events(run=run, types=EVENTS), calls, book)
        tasks = [e for e in ledger.events(run=run, types=["message.added"]) if e.stream != f"{run}:main"]
    words = [json.loads(e.payload or b"")["parts"][0]["text"] for e in tasks]
    assert len(words) == 3  # architect, developer, reviewer; nothing else was said to anybody
    assert found.heard_tokens == round(sum(len(text) / 4 for text in words))
    answers = [call for call in calls if call.tools == "finish"]
    assert len(answers) == 3 and found.said_tokens == sum(call.usage.output for call in answers)
    heard = sum(len(text) / 4 for text in words)
    assert found.cost_pico == pytest.approx(heard * 3e6 + found.said_tokens * 15e6)
    report = json.loads(it.outlay("report", "--format", "json").stdout)
    assert report["coordination"]["said_tokens"] == found.said_tokens
    assert "went into telling each other things" in report["bottom_line"][1]


def test_a_pipeline_sends_work_back_no_oftener_than_it_may(tmp_path: Path) -> None:
    with serving(pipeline_script(["REVISE"] * 9)) as server:
        it = project(tmp_path, server.base_url("openai"), "team: {shape: pipeline, reviews: 1}\n")
        it.run()
    assert sorted(it.sessions())[1:] == ["main/architect", "main/developer-1", "main/developer-2", "main/reviewer-1"]


def test_a_council_speaks_in_rounds_and_the_chair_acts(tmp_path: Path) -> None:
    team = (
        "team:\n  shape: council\n  rounds: 3\n  roles:\n    optimist: {model: small, description: hopes}\n"
        "    pessimist: {description: fears}\n"
    )
    with serving(council_script, keep_bodies=True) as server:
        it = project(tmp_path, server.base_url("openai"), team)
        it.run()
    assert (it.workspace / "done.txt").read_text() == "decided\n"
    bodies = [record["body"] for record in server.records]
    assert sum("You sit on" in body for body in bodies) == 6
    chair = next(body for body in bodies if "You chair" in body)
    assert "optimist says 3" in chair and "pessimist says 3" in chair and "says 2" not in chair
    models = {name: row["model"] for name, row in it.sessions().items()}
    assert models == {"main": "main", "main/chair": "main", "main/optimist": "small", "main/pessimist": "main"}


@pytest.mark.parametrize("following", ["continues", "starts_over"])
def test_a_relay_turns_to_the_next_tier_only_when_the_checks_fail(tmp_path: Path, following: str) -> None:
    team = f"team: {{shape: relay, next_tier: {following}}}\n"
    with serving(relay_script, keep_bodies=True) as server:
        cheap = project(tmp_path / "a", server.base_url("openai"), team, check="test -f half.txt")
        cheap.run()
        assert {call.model for call in cheap.calls()} == {"scripted-small"}
        both = project(tmp_path / "b", server.base_url("openai"), team)
        both.run()
    assert [call.model for call in both.calls()] == ["scripted-small"] * 2 + ["scripted-large"] * 2
    assert (both.workspace / "half.txt").exists() == (following == "continues")
    told = any("Another agent has tried" in r["body"] for r in server.records if r["model"] == "scripted-large")
    assert told == (following == "continues")


def test_failing_checks_come_back_to_the_one_who_is_judged(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if place_of(call) != "worker":
            return finish("ACCEPT")
        failed = any("checks failed" in result.content for result in call.results)
        return shell("touch done.txt") if failed else finish("done")

    with serving(script) as server:
        it = project(tmp_path, server.base_url("openai"), "team: {shape: pipeline}\n")
        it.run()
    assert [e.head["passed"] for e in it.events("check.finished")] == [False, True]


def test_a_question_of_a_conducted_session_is_answered(tmp_path: Path) -> None:
    def script(call: Call) -> Answer:
        if place_of(call) == "architect" and call.turn == 0:
            return Answer("", (Tool("ask", {"question": "tabs or spaces?"}),))
        if place_of(call) == "architect":
            return finish(call.results[-1].content)
        return pipeline_script(["ACCEPT"])(call)

    with serving(script) as server:
        it = project(tmp_path, server.base_url("openai"), "team: {shape: pipeline}\n")
        it.run()
    assert (
        "Nobody can answer"
        in it.events("session.ended", stream=f"{it.run_row()['id']}:main/architect")[0].payload.decode()
    )


@pytest.mark.parametrize("shape", ["pipeline", "council", "relay"])
def test_a_team_that_is_killed_again_and_again_pays_for_every_step_once(tmp_path: Path, shape: str) -> None:
    script = {"pipeline": pipeline_script(["REVISE", "ACCEPT"]), "council": council_script, "relay": relay_script}[
        shape
    ]
    rng = random.Random(shape)

    def slow(call: Call) -> Answer:
        answer = script(call)
        return Answer(answer.text, answer.tools, delay_s=0.1)

    with serving(slow) as server:
        it = project(tmp_path, server.base_url("openai"), f"team: {{shape: {shape}}}\n")
        process = it.start("run", str(it.goal), "--plain")
        until(lambda: (it.home / "ledger.db").exists() and _runs(it), 120)
        run = _runs(it)[0]
        for _ in range(4):
            seen = len(server.records)
            wanted = seen + rng.randint(1, 2)
            until(
                lambda wanted=wanted, process=process: len(server.records) >= wanted or process.poll() is not None, 120
            )
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            process = it.start("resume", run, "--plain")
        out, err = process.communicate(timeout=300)
        if process.returncode:
            done = it.outlay("resume", run, "--plain")
            out, err = done.stdout, done.stderr
        assert it.run_row()["outcome"] == "succeeded", out + err
    expected = {"pipeline": "line\nline\n", "council": "decided\n", "relay": "scripted-large\n"}
    assert (it.workspace / "done.txt").read_text() == expected[shape]
    answered = [call for call in it.calls() if call.status == "ok"]
    assert len(answered) == {"pipeline": 9, "council": 6, "relay": 4}[shape]
    assert it.chain_is_whole()


def _runs(it: Project) -> list[str]:
    with Ledger(it.home / "ledger.db") as ledger:
        return [row["id"] for row in ledger.rows("SELECT id FROM runs")]


@pytest.mark.parametrize(
    ("team", "said"),
    [
        ("team: {shape: pipeline, rounds: 3}", "'rounds' is for shape council, the team's is pipeline"),
        ("team: {shape: pipeline, roles: {tester: {}}}", "a pipeline has no 'tester'"),
        ("team: {shape: council, roles: {only: {}}}", "a council of one (only)"),
        ("team: {shape: relay, roles: {only: {}}}", "a relay of one tier"),
        ("team: {shape: relay, main: small}", "a relay has no main agent"),
        ("team: {shape: council, roles: {a b: {}, c: {}}}", "'a b' is no name in a council"),
    ],
)
def test_a_team_that_cannot_work_is_named_before_anything_is_paid(tmp_path: Path, team: str, said: str) -> None:
    it = project(tmp_path, "http://127.0.0.1:9/v1", f"{team}\n")
    with pytest.raises(InputError) as caught:
        load(it.goal)
    assert said in str(caught.value)
