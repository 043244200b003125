"""Trials made by hand, in dollars."""

from __future__ import annotations

from outlay.economics.trials import Trial
from outlay.money import pico


def trial(task: str, success: bool, usd: float | None, *, arm: str = "a", repeat: int = 0, **more: object) -> Trial:
    """A trial that succeeded or failed for that much money; None: nobody knows how much."""
    cost = None if usd is None else pico(usd)
    outcome = more.pop("outcome", "succeeded" if success else "failed")
    return Trial(
        task=task,
        arm=arm,
        repeat=repeat,
        success=success,
        cost_pico=cost,
        outcome=outcome,
        **more,  # type: ignore[arg-type]
    )


def arm(name: str, *rows: tuple[str, bool, float | None]) -> list[Trial]:
    """Trials of one arm; repeats of a task are numbered."""
    seen: dict[str, int] = {}
    made = []
    for task, success, usd in rows:
        made.append(trial(task, success, usd, arm=name, repeat=seen.get(task, 0)))
        seen[task] = seen.get(task, 0) + 1
    return made
