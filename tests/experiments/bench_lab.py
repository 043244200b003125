"""Experiments whose truth is known: tasks in folders, arms that differ by model, a server that logs what it gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelserver import Answer, Call, Tool
from project import Project

ARMS = {"small": 2, "middle": 4, "large": 6}
"""Arm -> how many of the six tasks it does."""
PRICES = {"small": (1, 2), "middle": (2, 8), "large": (4, 20)}
"""USD per million tokens of input and output."""


def write_tasks(folder: Path, count: int = 6) -> None:
    """Tasks 1 to `count`; their verifier wants the word `good`, which agents are told and the checks do not ask."""
    for number in range(1, count + 1):
        for name, content in {
            "task.yaml": "verifier: {command: grep -qx good answer.txt && test -f /hidden/key}\n",
            "GOAL.md": "---\nchecks: [{name: there, command: test -f answer.txt}]\n---\n"
            f"This is task {number}. Write the word.\n",
            "workspace/README": f"task {number}\n",
            "hidden/key": "secret\n",
        }.items():
            path = folder / f"t{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


def write_experiment(it: Project, base_url: str, *, usd: float = 0.05, more: str = "", **arms: str) -> Path:
    """`experiment.yaml`: an arm for each model."""
    lines = ["tasks: ['tasks/*']", "common:", f"  limits: {{usd: {usd}}}", "arms:"]
    for name, (fresh, output) in PRICES.items():
        spec = f"openai-chat:{name}@{base_url}"
        price = f"{{input: {fresh}, output: {output}}}"
        lines.append(f"  {name}: {{models: {{main: {{spec: '{spec}', price: {price}, max_output: 1k}}}}}}")
    path = it.folder / "experiment.yaml"
    path.write_text("\n".join([*lines, more]) + "\n")
    return path


def script(call: Call) -> Answer:
    """Does what the arm can do: the truth of the experiment."""
    number = int(call.task.split("This is task ")[1].split(".")[0])
    word = "good" if number <= ARMS[call.model] else "bad"
    if call.turn == 0:
        return Answer("", (Tool("shell", {"command": f"echo {word} > answer.txt"}),), output_tokens=100 * number)
    return Answer("", (Tool("finish", {"answer": "done"}),), output_tokens=50)


def truth(records: list[dict[str, Any]], arm: str, repeats: int) -> tuple[float, float]:
    """Cost of all trials in USD by the server's own log, and cost per success."""
    fresh, output = PRICES[arm]
    used = [record["billed"] for record in records if record["model"] == arm]
    cost = sum((u["fresh"] + u["cache_read"]) * fresh + u["output"] * output for u in used) / 1e6
    return cost, cost / (ARMS[arm] * repeats)


def rows(it: Project, out: str) -> list[dict[str, Any]]:
    path = it.folder / out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
