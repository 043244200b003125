"""The documented examples are run as they stand, and print what the pages say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT, agrees, blocks, play, steps

from outlay.runs.goal import load

PAGES = [ROOT / "README.md", ROOT / "docs" / "concepts.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
PAGES += [ROOT / "docs" / "reference" / name for name in ("config.md", "exports.md", "recordings.md")]
OTHERS = {"pay.md", "usage.md"}
"""Guides that are held to their word elsewhere."""
OURS = [page for page in PAGES if page.name not in OTHERS]


@pytest.mark.parametrize("page", [page for page in OURS if steps(page)], ids=lambda page: page.name)
def test_commands_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    todo = steps(page)
    printed = play(todo, tmp_path)
    assert len(printed) == len(todo), printed
    for step, output in zip(todo, printed, strict=True):
        assert agrees(step.shown, output), (
            f"{page.name}: $ {step.command}\n--- printed\n{output}\n"
            "(python tests/docs/doc_pages.py PAGE brings recording and page up to date)"
        )


@pytest.mark.parametrize("page", [page for page in OURS if blocks(page, "goal")], ids=lambda page: page.name)
def test_goal_files_are_read_without_a_warning(page: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for block in blocks(page, "goal"):
        goal = tmp_path / "GOAL.md"
        goal.write_text(block, encoding="utf-8")
        assert load(goal).warnings == ()


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    # In a process of its own: a command that another test has called on its own keeps another help option.
    check = [sys.executable, str(ROOT / "docs" / "generate_cli.py"), "--check"]
    assert subprocess.run(check, check=False).returncode == 0, "run: python docs/generate_cli.py"


def test_links_between_pages_lead_somewhere() -> None:
    missing = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert missing == []


def test_tests_that_the_guarantees_name_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}" in (ROOT / file).read_text(), f"{file}::{test}"
