"""What each source cannot show, whatever is done: said in every report."""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "claude": "Claude Code", "codex": "Codex", "gemini": "Gemini CLI", "opencode": "OpenCode", "outlay": "Outlay",
}  # fmt: skip

CANNOT_SHOW: Mapping[str, tuple[str, ...]] = {
    "claude": ("titles and prompt suggestions", "cancelled answers", "compaction, unless it ended in order"),
    "codex": ("cancelled calls",),
    "gemini": ("router calls", "cancelled calls"),
    "opencode": ("titles and summaries", "cancelled calls"),
    "outlay": (),
}
