"""Sessions that last: clean-ups and handoffs in whole runs, and what a crash around them leaves."""

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelserver import Answer, Call, FaultPlan, Tool, serving
from outlay.agents.history import rebuild
from outlay.wires import codec
from outlay.wires.types import Request
from project import Project, prefix_holds

FACT = re.compile(r"FACT-\d+ is [a-z]+\d+")


class LongWorker:
    """A model that reads on for so many turns, notes the facts that it meets, and hands over honestly."""

    def __init__(self, turns: int, *, files: int = 10, talk: int = 0) -> None:
        self.turns = turns
        self.files = files
        self.talk = talk
        self.done = 0
        self.touched = False
        self.seen: list[str] = []

    def __call__(self, call: Call) -> Answer | FaultPlan:
        if any("fresh one now" in text for entry in call.news for text in entry.texts):
            facts = list(dict.fromkeys(FACT.findall(call.body.decode())))
            return Answer(
                json.dumps({"state": f"{self.done} files read", "facts": facts, "open": ["read on"]}), output_tokens=400
            )
        news = FACT.findall(" ".join(result.content for result in call.results))
        self.seen += [fact for fact in news if fact not in self.seen]
        if self.done >= self.turns:
            touched, self.touched = self.touched, True
            return Answer("Done.") if touched else Answer("", (Tool("shell", {"command": "touch done.txt"}),))
        self.done += 1
        path = f"f{self.done % self.files}.txt"
        said = f"noted: {' '.join(news)}" if news else "on"
        return Answer(said + " and so on" * (self.talk // 10), (Tool("read", {"path": path}),))


def project(
    tmp_path: Path, url: str, *, window: str, handoff: str = "economic", chars: int = 6_000, files: int = 10
) -> Project:
    it = Project(tmp_path, url)
    for n in range(files):
        (it.workspace / f"f{n}.txt").write_text(f"FACT-{n} is value{n}\n" + f"{n} line of text\n" * (chars // 15))
    off = "limits: {turns: 4000, breakers: {rereading: off, no_progress: off, same_call: off}}\n"
    it.write_goal(more=f"{off}handoff: {handoff}\n", task="read all of it")
    it.goal.write_text(it.goal.read_text().replace("    price:", f"    window: {window}\n    price:"))
    return it


def without_ids(record: dict[str, Any]) -> str:
    """A request without the ids of tool calls, in which the server counts its calls."""
    return re.sub(r'"(id|tool_call_id)":"[^"]*"', "", record["body"])


def heads(it: Project, kind: str) -> list[dict[str, Any]]:
    return [event.head for event in it.events(kind)]


def test_a_session_hands_over_to_a_fresh_context_and_nothing_named_is_lost(tmp_path: Path) -> None:
    worker = LongWorker(60, talk=4_000)
    with serving(worker, keep_bodies=True) as server:
        it = project(tmp_path, server.base_url("openai"), window="40k", handoff="threshold", chars=500)
        it.run()
        chapters, cleaned = heads(it, "context.replaced"), heads(it, "context.cleaned")
        assert chapters and all(head["by"] == "model" and head["why"] == "threshold" for head in chapters)
        assert [head["chapter"] for head in chapters] == list(range(2, len(chapters) + 2))
        assert all(head["cost_pico"] > 0 and head["numbers"]["context"] >= head["bound"] for head in chapters)
        assert len(worker.seen) == 10
        assert set(FACT.findall(server.records[-1]["body"])) == set(worker.seen)
        used = [record["usage"] for record in server.records]
        assert max(use["fresh"] + use["cache_read"] + use["output"] for use in used) < 40_000
        assert prefix_holds(server.records) or cleaned
        shown = it.outlay("show", "--session", "main").stdout
        assert "fresh context" in shown and "threshold" in shown and "files read" in shown
        assert it.chain_is_whole()


def test_economic_hands_over_long_before_the_window_is_full_and_says_why(tmp_path: Path) -> None:
    worker = LongWorker(120, files=9)
    with serving(worker) as server:
        it = project(tmp_path, server.base_url("openai"), window="200k")
        it.run()
        made = [*heads(it, "context.replaced"), *heads(it, "context.cleaned")]
        assert made
        for head in made:
            assert head["why"] == "economic" and head["numbers"]["context"] < 120_000
            numbers = head["numbers"]
            handed = "by" in head
            saves, costs = ("handoff_saves", "handoff_costs") if handed else ("clean_saves", "clean_costs")
            assert numbers[saves] >= numbers[costs] > 0 and numbers["horizon"] <= numbers["turns"]
            assert not handed or head["chapter"] == 2 or numbers["next_turn"] >= numbers["mean_turn"]


def test_never_lets_the_context_fill_until_the_session_ends(tmp_path: Path) -> None:
    with serving(LongWorker(200)) as server:
        it = project(tmp_path, server.base_url("openai"), window="30k", handoff="never")
        done = it.run(code=3)
        assert not it.events("context.replaced", "context.cleaned") and "context" in done.stdout


def test_a_model_that_gives_no_handoff_is_asked_again_and_then_the_record_has_to_do(tmp_path: Path) -> None:
    worker = LongWorker(40, talk=3_000)

    def stubborn(call: Call) -> Answer | FaultPlan:
        said = worker(call)
        asked = any("fresh one now" in t or "was no handoff" in t for e in call.news for t in e.texts)
        return Answer("I would rather read on", (Tool("read", {"path": "f1.txt"}),)) if asked else said

    with serving(stubborn) as server:
        it = project(tmp_path, server.base_url("openai"), window="30k", handoff="threshold", chars=500)
        it.run()
        head = heads(it, "context.replaced")[0]
        assert head["by"] == "record" and head["cost_pico"] > 0
        fresh = json.loads(it.events("context.replaced")[0].payload)["message"]["parts"][0]["text"]
        assert "Your last steps" in fresh and "read all of it" in fresh
        asked = [event for event in it.events("message.added") if event.head["kind"] == "handoff"]
        assert len(asked) == 2 * len(heads(it, "context.replaced"))


def test_an_overflow_that_nobody_foresaw_begins_a_fresh_context(tmp_path: Path) -> None:
    worker = LongWorker(20)
    refused: list[int] = []

    def overflowing(call: Call) -> Answer | FaultPlan:
        if call.turn == 8 and not refused:
            refused.append(call.n)
            return FaultPlan("overflow")
        return worker(call)

    with serving(overflowing) as server:
        it = project(tmp_path, server.base_url("openai"), window="200k")
        it.run()
        assert [head["why"] for head in heads(it, "context.replaced")] == ["overflow"]


def test_every_request_is_rebuilt_from_the_events_before_it_byte_for_byte(tmp_path: Path) -> None:
    with serving(LongWorker(90, talk=1_500), keep_bodies=True) as server:
        it = project(tmp_path, server.base_url("openai"), window="40k")
        it.run()
        events = list(it.events(stream=f"{it.run_row()['id']}:main"))
        intents = [n for n, event in enumerate(events) if event.type == "call.intent"]
        assert len(intents) == len(server.records)
        assert it.events("context.replaced") and it.events("context.cleaned")
        for n, record in zip(intents, server.records, strict=True):
            wire = codec(record["wire"])
            rebuilt = Request("m", "", (), tuple(rebuild(events[:n]).messages), 1)
            messages = json.loads(wire.body(rebuilt))["messages"]
            assert messages == [m for m in json.loads(record["body"])["messages"] if m["role"] != "system"], n


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sign", "talk", "chars", "offset"),
    [
        ("fresh one now", 4_000, 500, 0),
        ("fresh one now", 4_000, 500, 1),
        ("fresh one now", 4_000, 500, 2),
        ("cut here", 10, 9_000, 0),
    ],
)
def test_kill_9_around_a_handoff_or_a_clean_up_resumes_with_the_same_requests(
    tmp_path: Path, sign: str, talk: int, chars: int, offset: int
) -> None:
    whole = LongWorker(30, talk=talk)
    with serving(whole, keep_bodies=True) as server:
        it = project(tmp_path / "whole", server.base_url("openai"), window="30k", handoff="threshold", chars=chars)
        it.run()
        expected = [without_ids(record) for record in server.records]
    first = next(n for n, body in enumerate(expected) if sign in body) + offset

    def killing(model: LongWorker, at: int, victim: list[int]) -> Callable[[Call], Answer | FaultPlan]:
        answered: dict[int, Answer | FaultPlan] = {}

        def script(call: Call) -> Answer | FaultPlan:
            if call.n == at + 1:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(victim[0], signal.SIGKILL)
                return FaultPlan("stall")
            return answered.setdefault(call.n, model(call))

        return script

    victim: list[int] = []
    with serving(killing(LongWorker(30, talk=talk), first, victim), keep_bodies=True) as server:
        it = project(tmp_path / "killed", server.base_url("openai"), window="30k", handoff="threshold", chars=chars)
        process = it.start("run", str(it.goal), "--plain")
        victim.append(process.pid)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL
        done = it.outlay("resume", it.run_row()["id"], "--plain")
        assert done.returncode == 0, done.stderr + done.stdout
        bodies = [without_ids(record) for record in server.records]
        assert bodies[: first + 1] == expected[: first + 1]
        assert bodies[first + 1 :] == expected[first:], "the cut call is sent again, and all goes on the same"
        assert len(heads(it, "call.lost")) == 1 and it.chain_is_whole()


def test_roles_have_their_own_rule_and_a_wrong_word_is_named_with_its_line(tmp_path: Path) -> None:
    it = Project(tmp_path, "http://127.0.0.1:9/v1")
    it.write_goal(more="handoff: treshold\n")
    wrong = it.outlay("goal", "check", str(it.goal))
    assert wrong.returncode == 2 and "handoff" in wrong.stderr and "did you mean 'threshold'" in wrong.stderr
    it.write_goal(
        team="team: {roles: {main: {handoff: never}, scout: {description: r, handoff: {when: threshold, at: 0.5}}}}\n"
    )
    assert it.outlay("goal", "check", str(it.goal)).returncode == 0
    assert msgspec.json.decode(it.outlay("goal", "check", str(it.goal), "--json").stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("handoff", "turns", "least"), [("economic", 600, 20), ("threshold", 2_000, 2)])
def test_many_turns_never_exceed_the_window_and_lose_no_planted_fact(
    tmp_path: Path, handoff: str, turns: int, least: int
) -> None:
    worker = LongWorker(turns, files=40, talk=200)
    with serving(worker) as server:
        it = project(tmp_path, server.base_url("openai"), window="200k", files=40, handoff=handoff)
        it.outlay("run", str(it.goal), "--plain", timeout=900)
        assert it.run_row()["outcome"] == "succeeded" and len(server.records) > turns
        largest = max(sum(r["usage"][name] for name in ("fresh", "cache_read", "output")) for r in server.records)
        assert largest < 200_000
        chapters = heads(it, "context.replaced")
        assert len(chapters) >= least and all(head["by"] == "model" for head in chapters)
        last = msgspec.json.decode(it.events("context.replaced")[-1].payload)
        assert set(last["handed"]["facts"]) == {f"FACT-{n} is value{n}" for n in range(40)} == set(worker.seen)
        assert all(fact in last["message"]["parts"][0]["text"] for fact in worker.seen)
