"""A browser on the window: `outlay serve` as a process, Chromium steered by Playwright."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
PATIENCE_MS = 180_000
READY = "main[data-ready]"


@contextlib.contextmanager
def window(home: Path, environment: Mapping[str, str] = os.environ) -> Iterator[dict[str, str]]:
    """`outlay serve` as a process; its URL and its first link."""
    process = subprocess.Popen(
        [sys.executable, "-m", "outlay", "serve", "--port", "0", "--json"],
        env={**environment, "OUTLAY_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(180) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A browser; the test is skipped where Playwright is not installed."""
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as play:
        started = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield started
        finally:
            await started.close()


@contextlib.asynccontextmanager
async def browser(link: str, **options: Any) -> AsyncIterator[Any]:
    """A page that has entered by a link. Errors of the page fail the test."""
    async with chromium() as started:
        context = await started.new_context(viewport={"width": 1200, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        await page.goto(link)
        await page.wait_for_selector(READY)
        yield page
        assert problems == []


async def visit(page: Any, url: str) -> None:
    await page.goto(url)
    await page.wait_for_selector(READY)


async def focus(page: Any) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


async def tab_to(page: Any, words: str) -> None:
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await focus(page) == words:
            return
    raise AssertionError(f"the keyboard does not reach {words!r}")
