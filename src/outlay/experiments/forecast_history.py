"""Past runs as a forecast sees them: what they were, what each role used, how long they took, how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from outlay.economics.spend import total
from outlay.errors import InputError
from outlay.experiments.forecast import Labels
from outlay.experiments.trial_run import run_book
from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.prices.rates import Effective, cost
from outlay.runs.goal_types import Goal
from outlay.runs.lookup import worked_ms
from outlay.runs.prepare import book_for, endpoint_of
from outlay.teams.team import CONDUCTED
from outlay.tokens import Usage

MOST = 500
"""Runs that are looked at, the newest; older ones say less of what models do now."""
_COUNTERS = ("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "web_searches")


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One run that ended."""

    run: str
    labels: Labels
    success: bool
    wall_s: float
    turns: int
    main: str
    """Name of the main session's role."""
    used: dict[str, Usage]
    """Role -> tokens of all its sessions."""
    sessions: dict[str, int]
    """Role -> how many of them there were."""
    cost_pico: int | None
    """At the prices of its own models; None when a call was not measured or has no price."""
    measured: bool


def history(ledger: Ledger, book: PriceBook, verdicts: Mapping[str, bool] | None = None) -> list[Past]:
    """The newest runs that ended by themselves or at a limit, oldest first. Cancelled ones say nothing about the task,
    nor do those that never called a model.

    verdicts: run -> whether a task's verifier passed it; without one a run's checks decide.
    """
    rows = ledger.rows(
        "SELECT id, goal_path, workspace, outcome, main FROM runs WHERE outcome IN ('succeeded', 'failed', 'stopped') "
        "AND id NOT IN (SELECT run FROM agents) ORDER BY started_ms DESC LIMIT ?",
        (MOST,),
    )
    types: dict[str, str] = {}
    found = []
    for row in reversed(rows):
        calls = list(ledger.calls("run = ?", (row["id"],)))
        if not any(call.status == "ok" for call in calls):
            continue
        spend = total(calls, run_book(ledger, row["id"], book))
        sessions = ledger.rows("SELECT id, role, model, parent FROM sessions WHERE run = ?", (row["id"],))
        main = next((s for s in sessions if s["id"] == row["main"]), None) or {"role": "", "model": "", "id": ""}
        used: dict[str, Usage] = {}
        for call in calls:
            used[call.role] = used.get(call.role, Usage()) + call.usage
        counted: dict[str, int] = {}
        for session in sessions:
            counted[session["role"]] = counted.get(session["role"], 0) + 1
        found.append(
            Past(
                run=row["id"],
                labels=Labels(
                    types.setdefault(row["goal_path"], task_type(Path(row["goal_path"]), row["workspace"])),
                    row["goal_path"],
                    _shape(main["role"], len(sessions)),
                    _model(ledger, row["id"], main["model"]),
                ),
                success=(verdicts or {}).get(row["id"], row["outcome"] == "succeeded"),
                wall_s=max(sum(worked_ms(ledger, row["id"])) / 1000, 0.001),
                turns=sum(call.status == "ok" for call in calls),
                main=main["role"],
                used=used,
                sessions=counted,
                cost_pico=spend.cost_pico,
                measured=not spend.unmeasured,
            )
        )
    return found


def _shape(main_role: str, sessions: int) -> str:
    return main_role if main_role in CONDUCTED else "lead" if sessions > 1 else "solo"


def _model(ledger: Ledger, run: str, name: str) -> str:
    """Id of the main session's model; its name in the goal where that is all there is."""
    started = next(iter(ledger.events(run, types=["run.started"])), None)
    spec = (started.head.get("models") or {}).get(name, name) if started else name
    return model_id(spec, name)


def model_id(spec: str, name: str) -> str:
    """`openai:qwen3@http://...` -> `qwen3`; a recording has no model but its name."""
    provider, _, rest = spec.partition(":")
    return name if provider in ("recorded", "manual") or not rest else rest.partition("@")[0]


def task_type(goal: Path, workspace: str) -> str:
    """Tags of the task that the goal belongs to, else the workspace that it works in."""
    file = goal.parent / "task.yaml"
    try:
        said: Any = yaml.safe_load(file.read_text()) if file.is_file() else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        said = None
    tags = said.get("tags") if isinstance(said, dict) else None
    return f"tags {', '.join(map(str, tags))}" if isinstance(tags, list) and tags else f"workspace {workspace}"


def labels_of(goal: Goal) -> Labels:
    """What a run of the goal will be known by."""
    name = goal.team.main_role.model
    return Labels(
        task_type(goal.path, str(goal.workspace.path)), str(goal.path), goal.team.shape,
        model_id(goal.models[name].spec, name),
    )  # fmt: skip


class Repricing(msgspec.Struct, frozen=True):
    """Prices of a goal's models, by role."""

    main: str
    roles: dict[str, Effective]

    def usd(self, past: Past) -> float | None:
        """What the run would have cost with the goal's models: roles of the same name take theirs, all others the main
        role's. None when it was not measured, or the model has no price for what was used."""
        if not past.measured:
            return None
        whole = 0
        for role, used in past.used.items():
            one, _ = cost(self.roles.get(role, self.roles[self.main]), used)
            if one is None:
                return None
            whole += one
        return whole / 1e12 if whole > 0 else None


def repricing(goal: Goal, at_ms: int) -> Repricing:
    """Raises InputError when a model of the goal has no price."""
    book = book_for(goal)
    roles = {}
    for role in goal.team.in_play:
        endpoint = endpoint_of(goal.models[role.model])
        card = book.rates(endpoint.model, endpoint.priced_as, at_ms)
        if card is None:
            raise InputError(
                f"{goal.path}: model {role.model!r} ({endpoint.model}) has no price, so its cost cannot be forecast; "
                f"give it one: models: {role.model}: price: {{input: ..., output: ...}}"
            )
        roles[role.name] = card.steps[0][1]  # calls are summed: what a long context costs more cannot be told
    return Repricing(goal.team.main, roles)


def counts(labels: Labels, past: Sequence[Past]) -> dict[str, int]:
    """How many past runs share each label."""
    return {
        name: sum(getattr(p.labels, name) == getattr(labels, name) for p in past) for name in Labels.__struct_fields__
    }
