"""Seeded corpora with their truth: totals and groups are exact, to the token and the picodollar."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shared_samples import SHARED, read_home

from outlay.economics import zones
from outlay.economics.usage import Question, ask
from outlay.ledger import Ledger
from outlay.money import pico
from outlay.prices.book import load

MAKER = SHARED / "tools" / "gen_transcripts.py"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not MAKER.exists(), reason="no generator: set OUTLAY_SHARED")]
CLASSES = {"calls": "calls", "input": "fresh", "output": "output", "cw5": "cache_write_5m", "cw1h": "cache_write_1h",
           "cread": "cache_read", "reasoning": "reasoning"}  # fmt: skip
GROUPS = {
    "day_utc": ("day", "UTC"), "day_tokyo": ("day", "Asia/Tokyo"), "day_newyork": ("day", "America/New_York"),
    "model": ("model", "UTC"), "project": ("project", "UTC"), "role": ("role", "UTC"), "tool": ("tool", "UTC"),
}  # fmt: skip


@pytest.fixture(scope="module", params=[7, 11, 2026])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 MB of Claude Code and 9 MB of Codex, as one home."""
    folder = tmp_path_factory.mktemp(f"corpus{request.param}")
    sizes = ["--claude-mb", "30", "--codex-mb", "9", "--seed", str(request.param)]
    command = [sys.executable, str(MAKER), "--out", str(folder), *sizes]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for tool in ("claude", "codex"):
        (folder / tool).rename(folder / f".{tool}")
    return folder


def close(a: int, b: float) -> bool:
    """The truth's costs are sums of floats."""
    return abs(a - pico(Decimal(repr(b)).quantize(Decimal("1e-12")))) <= 10**6


@pytest.mark.parametrize("tool", ["claude", "codex"])
def test_totals_and_groups_are_exact(corpus: Path, tool: str, tmp_path: Path) -> None:
    truth: dict[str, Any] = json.loads((corpus / "truth.json").read_text())[tool]
    with Ledger(tmp_path / "ledger.db") as ledger:
        read_home(ledger, corpus)
        book = load()
        total = ask(ledger, book, Question(sources=(tool,))).total
        assert {k: getattr(total, v) for k, v in CLASSES.items()} == {k: truth["total"][k] for k in CLASSES}
        assert total.cost_pico is not None and close(total.cost_pico, truth["total"]["cost"])
        for name, (by, zone) in GROUPS.items():
            answer = ask(ledger, book, Question(by=by, zone=zones.zone(zone), sources=(tool,)))
            expected = truth[f"by_{name}"]
            found = {g.key.rpartition("/")[2] if by == "project" else g.key: g.tally for g in answer.groups}
            assert set(found) == set(expected)
            if by != "role" or tool == "claude":
                classes = CLASSES if by != "tool" else {"calls": "calls"}  # the truth shares no tokens among tools
                for key, tally in found.items():
                    assert {k: getattr(tally, v) for k, v in classes.items()} == {k: expected[key][k] for k in classes}
                    assert close(tally.cost_pico or 0, expected[key]["cost"])
        if tool == "claude":
            assert len(ask(ledger, book, Question(by="session", sources=(tool,))).groups) == truth["sessions"]


def test_a_corpus_that_grows_gives_what_it_gives_whole(corpus: Path, tmp_path: Path) -> None:
    truth = json.loads((corpus / "truth.json").read_text())
    grown = tmp_path / "home"
    files = sorted(p for p in corpus.rglob("*.jsonl"))
    with Ledger(tmp_path / "ledger.db") as ledger:
        for share in (0.4, 0.9, 1.0):
            for path in files:
                target = grown / path.relative_to(corpus)
                target.parent.mkdir(parents=True, exist_ok=True)
                raw = path.read_bytes()
                if ".codex" in path.parts and share < 1:  # a fork never holds more of its parent than there is
                    continue
                target.write_bytes(raw[: int(len(raw) * share)])
            read_home(ledger, grown)
        total = ask(ledger, load(), Question()).total
        for name, field in CLASSES.items():
            assert getattr(total, field) == truth["claude"]["total"][name] + truth["codex"]["total"][name]
