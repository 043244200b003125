"""What breakers and rules save: scripted agents that go wrong, each run twice, without rules and with them.

    python benchmarks/breakers.py [NAME ...]

Every run is real (command line, gateway, ledger, sandbox, checks) but for the model, which is a scripted server. Both
runs of an agent have the same bound of 60 turns, so what is saved here is the least: without any bound they would not
end. Cost is at the price in the goal file, USD per million tokens: input 3, output 15, cache reads 0.30, writes 3.75.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from modelserver import Answer, Call, Tool, serving
from outlay.agents.watch.settings import Breakers
from outlay.money import show
from outlay.prices import book as price_book
from outlay.views.facts import price_book as own_book
from outlay.views.facts import run_of
from project import ALL_TOOLS, Project

TURNS = 60
TEAM = f"""team:
  shape: lead
  main: main
  roles:
    - {{name: main, model: main, tools: {ALL_TOOLS}}}
    - {{name: worker, description: works, model: main, tools: [read, write, shell]}}
"""
OFF = [f"breakers.{name}=off" for name, _ in Breakers().all()]
NOTES = "A line of notes that has to be read again and again.\n" * 60


def use(tool: str, /, **arguments: object) -> Answer:
    return Answer("", (Tool(tool, arguments),), output_tokens=120)


def start(*names: str, wait: bool = True) -> Answer:
    agents = [{"name": name, "role": "worker", "task": f"work on {name}"} for name in names]
    return use("start", agents=agents, wait=wait)


def loops(call: Call) -> Answer:
    return use("read", path="notes.txt")


def repeats(call: Call) -> Answer:
    if call.turn % 2 == 0:
        return use("write", path="fix.py", content=f"attempt = {call.turn}\n")
    return use("shell", command="echo 'FAILED test_parse: expected 3, got 4'; exit 1")


def stalls(call: Call) -> Answer:
    return use("shell", command=f"sed -n {call.turn + 1}p notes.txt")


def polls(call: Call) -> Answer:
    if call.task.startswith("work"):
        return use("shell", command="sleep 300", timeout_s=600)
    return start("slow", wait=False) if call.turn == 0 else use("look", name="slow")


def hangs(call: Call) -> Answer:
    if call.task.startswith("work"):
        return use("shell", command="sleep 40", timeout_s=600) if call.turn == 0 else Answer("It came back.")
    return (
        start("slow") if call.turn == 0 else use("shell", command="touch done.txt") if call.turn == 1 else Answer("ok")
    )


def claims(call: Call) -> Answer:
    return Answer("All tests pass and the goal is reached.", output_tokens=300)


def talks(call: Call) -> Answer:
    return Answer(f"Plan {call.turn}: first I would think about it. " + "And then more. " * 400, output_tokens=4_000)


def delegates(call: Call) -> Answer:
    if call.task.startswith("work"):
        return use("read", path="notes.txt") if call.turn < 2 else Answer("I looked at it.")
    if call.results and "may start" in call.results[-1].content:
        return use("shell", command="touch done.txt")
    return start(f"a{call.turn}", f"b{call.turn}") if "done" not in str(call.results) else Answer("Done.")


def refuses(call: Call) -> Answer:
    return use("shell", command="touch done.txt") if call.turn == 0 else Answer("Done, I did it all myself.")


@dataclass(frozen=True)
class Agent:
    """A scripted agent, what it does wrong, and the rule that ends it."""

    wrong: str
    rule: str
    script: Callable[[Call], Answer]
    limits: tuple[str, ...] = ()
    """Limits of the run with rules, beyond the breakers that are always on."""
    goal: str = ""
    """Front matter of the run with rules."""


AGENTS = {
    "loops": Agent("reads the same file for ever", "same_call", loops),
    "repeats": Agent("tries the same failing fix", "same_failure", repeats),
    "stalls": Agent("reads on and changes nothing", "no_progress", stalls, ("breakers.no_progress.action=[warn, stop]",
                                                                            "breakers.no_progress.turns=20")),
    "polls": Agent("looks at a subagent again and again", "polling", polls),
    "hangs": Agent("waits for a subagent that hangs", "silent", hangs, ("breakers.silent.after=3s",)),
    "claims": Agent("claims success that is none", "same_failure", claims),
    "talks": Agent("plans and uses no tool", "talk", talks),
    "delegates": Agent("starts subagent after subagent", "spawns", delegates, ("spawns=4",)),
    "refuses": Agent("does all itself, must delegate half", "least_share", refuses, (),
                     "delegation: {least_share: 0.5}\n"),
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    outcome: str
    turns: int
    pico: int
    wall_s: float
    breakers: int


def run(agent: Agent, folder: Path, *, rules: bool) -> Ran:
    """One run of an agent."""
    with serving(agent.script) as server:
        it = Project(folder, server.base_url("openai"))
        (it.workspace / "notes.txt").write_text(NOTES)
        it.write_goal(team=TEAM, more=agent.goal if rules else "", task="Reach it.")
        limits = [f"turns={TURNS}", *(agent.limits if rules else OFF)]
        it.outlay("run", str(it.goal), "--plain", *[part for each in limits for part in ("--limit", each)], timeout=300)
    row = it.run_row()
    with it.ledger() as ledger:
        facts = run_of(ledger, row["id"])
        book = own_book(price_book.load(), facts)
        calls = list(ledger.calls())
        trips = list(ledger.events(types=["breaker.tripped"]))
    cost = sum(book.price(call).cost_pico or 0 for call in calls)
    return Ran(row["outcome"], sum(call.status == "ok" for call in calls), cost, facts.wall_ms / 1000, len(trips))


def main(names: list[str]) -> None:
    print("| agent | rule | without: outcome, turns, cost | with: outcome, turns, cost | saved |")
    print("|---|---|---|---|---|")
    for name in names or AGENTS:
        agent = AGENTS[name]
        with tempfile.TemporaryDirectory() as folder:
            bare, ruled = (run(agent, Path(folder) / str(rules), rules=rules) for rules in (False, True))
        saved = f"{show(bare.pico - ruled.pico)} ({1 - ruled.pico / bare.pico:.0%})"
        if bare.wall_s - ruled.wall_s > 10:
            saved += f", {bare.wall_s - ruled.wall_s:.0f} s"
        cells = [f"{ran.outcome}, {ran.turns}, {show(ran.pico)}" for ran in (bare, ruled)]
        print(f"| {agent.wrong} | `{agent.rule}` | {cells[0]} | {cells[1]} | {saved} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
