"""A background agent in the browser: its question answered, new work given."""

import asyncio
from pathlib import Path

import pytest
from agent_lab import AgentLab, lab

from browser import browser, needs_chromium, window
from modelserver import Answer, Call, Tool


def script(call: Call) -> Answer:
    if call.turn == 0:
        return Answer("", (Tool("ask", {"question": "red or blue?"}),))
    return Answer(f"Chosen: {call.last or call.results[-1].content}")


async def _steer(link: str, it: AgentLab) -> None:
    async with browser(link) as page:
        await page.get_by_role("link", name="asker").click()
        await page.get_by_text("It asks: red or blue?").wait_for()
        await page.get_by_label("Answer").fill("blue, like the sea")
        await page.get_by_role("button", name="Send").click()
        await page.get_by_text("Go on with it").click()  # it has ended
        await page.get_by_label("New instructions").fill("now green")
        await page.get_by_role("button", name="Resume").click()
        await page.get_by_role("link", name="main", exact=True).click()
        await page.get_by_text("Chosen: ").nth(1).wait_for()
        await page.get_by_text("blue, like the sea").first.wait_for()
        await page.get_by_text("now green").first.wait_for()


@needs_chromium
@pytest.mark.slow
def test_a_question_is_answered_and_new_work_given_in_the_window(tmp_path: Path) -> None:
    with lab(tmp_path, script) as it:
        it.start("asker", "choose", "--role", "scout")
        environment = {name: value for name, value in it.environment.items() if value is not None}
        with window(it.home, environment) as told:
            asyncio.run(_steer(told["link"], it))
        it.agent("wait", "asker", "--timeout", "300")
        assert it.status("asker")["resumed"] == 1
        assert it.is_whole()
