"""The table of agents in terminals of all widths."""

import io

import pytest
from rich.console import Console

from outlay.service.agent import Agent
from outlay.views.agent_table import agent_tables
from outlay.views.tables import draw

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000


def agent(name: str, **more: object) -> Agent:
    facts: dict[str, object] = {
        "status": "timed_out", "role": "scout", "model": "openai-chat:scripted-large@http://localhost:1/v1", "run": "r",
        "folder": "/", "started_ms": NOW_MS, "ended_ms": NOW_MS + 61_000, "runtime_ms": 61_000, "resumed": 12,
        "turns": 1234, "dialog_tokens": 187_654, "window_tokens": 200_000, "full_percent": 93.8,
        "cost_pico": 12_345_600_000_000,
    }  # fmt: skip
    return Agent(name=name, **facts | more)  # type: ignore[arg-type]


def lines(agents: list[Agent], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    for table in agent_tables(agents, width, NOW_MS + 1000):
        console.print(draw(table, width))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 100, 131])
def test_all_columns_are_whole_in_a_narrow_terminal_but_for_long_names_and_models(width: int) -> None:
    child = agent("a-name-of-40-letters-that-takes-all-room/eye", model="main", ended_ms=None)
    it = agent("a-name-of-40-letters-that-takes-all-room", children=(child,))
    shown = lines([it, agent("at-work", status="running", pid=4_194_303, ended_ms=None)], width)
    assert max(map(len, shown)) <= width
    live, at_work, done, ended, below = (line.split() for line in shown)
    assert live == ["NAME", "STATUS", "MODEL", "PID", "START", "TIME", "RES", "TURNS", "DIALOG", "FULL", "COST"]
    assert done == ["NAME", "STATUS", "MODEL", "PID", "START", "END", "TIME", "RES", "TURNS", "DIALOG", "FULL", "COST"]
    assert at_work[0] == "at-work" and at_work[3] == "4194303"
    for row in (at_work, ended, below):
        assert row[-6:] == ["1m01s", "12", "1234", "188k", "94%", "$12.35"]
    assert below[0] == "-" and below[1] == "eye"


def test_what_matters_less_is_left_out_where_there_is_no_room() -> None:
    shown = lines([agent("tests-of-dates")], 56)
    assert max(map(len, shown)) <= 56
    assert shown[0].split() == ["NAME", "STATUS", "END", "TIME", "TURNS", "DIALOG", "FULL", "COST"]
    assert shown[1].split()[-5:] == ["1m01s", "1234", "188k", "94%", "$12.35"]


@pytest.mark.parametrize("width", [160, 80])
def test_a_moment_of_another_day_has_its_date(width: int) -> None:
    before = agent("old", status="done", started_ms=NOW_MS - 3 * DAY_MS)
    _, row = lines([before], width)
    started = row.split()[4]
    assert len(started) == 5 and started[2] == "-"
