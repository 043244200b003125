"""Running the goal's checks in the sandbox, on the workspace as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from outlay.ledger import Entry
from outlay.runs.goal_types import Check
from outlay.sandbox.types import Bounds, Command, Finished, Mount, Sandbox

SHOWN_CHARS = 3_000
"""How much of a failed check's output goes back to the main agent."""


class Checked(msgspec.Struct, frozen=True):
    """What one check gave."""

    check: Check
    finished: Finished
    output: str
    passed: bool
    value: float | None
    """The number it printed, where the rule asks for one."""

    @property
    def said(self) -> str:
        """One line: what was wanted and what came."""
        if self.finished.ended != "exited":
            return f"ended: {self.finished.ended.replace('_', ' ')} (limit {self.check.timeout_s:g} s)"
        came = f"exit {self.finished.exit_code}"
        if self.check.rule.wants_number:
            came += ", printed no number" if self.value is None else f", printed {self.value:g}"
        return f"{came}; wanted {self.check.rule}"

    def entry(self, round_number: int) -> Entry:
        """The event that records it."""
        head = {
            "name": self.check.name,
            "round": round_number,
            "passed": self.passed,
            "exit_code": self.finished.exit_code,
            "ended": self.finished.ended,
            "value": self.value,
            "wanted": str(self.check.rule),
            "wall_ms": self.finished.wall_ms,
            **msgspec.structs.asdict(self.finished.use),
        }
        return Entry("check.finished", head, self.output[-SHOWN_CHARS:].encode())


async def run_check(
    sandbox: Sandbox,
    check: Check,
    workspace: Path,
    *,
    protected: tuple[str, ...],
    hosts: tuple[str, ...],
    mounts: tuple[Mount, ...],
) -> Checked:
    """Run one check and judge it."""
    finished = await sandbox.run(
        Command(
            argv=("/bin/bash", "-c", check.command),
            workspace=workspace,
            protected=protected,
            hosts=hosts,
            mounts=mounts,
            bounds=Bounds(wall_s=check.timeout_s),
        )
    )
    output = (finished.head + finished.tail).decode(errors="replace")
    passed = finished.ended == "exited" and check.rule.passes(finished.exit_code, output)
    value = check.rule.number(output) if check.rule.wants_number else None
    return Checked(check, finished, output, passed, value)


def feedback(results: Sequence[Checked]) -> str:
    """What the main agent is told when checks fail: which, why, and the end of their output."""
    passed = [result.check.name for result in results if result.passed]
    failed = [result for result in results if not result.passed]
    lines = [f"{len(failed)} of {len(results)} checks failed" + (f"; passed: {', '.join(passed)}." if passed else ".")]
    for result in failed:
        lines += ["", f"## {result.check.name}: {result.said}", f"$ {result.check.command}"]
        lines.append(result.output[-SHOWN_CHARS:].strip() or "(no output)")
    return "\n".join(lines)
