"""What `outlay bench` does: reads results, computes, prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from outlay.errors import InputError
from outlay.experiments.published import read_files
from outlay.experiments.report import build
from outlay.experiments.results import Results, select
from outlay.money import pico
from outlay.views import bench_print


def load(files: Sequence[Path], tasks: Sequence[str], arms: Sequence[str]) -> Results:
    """The chosen part of the files."""
    return select(read_files(files), [name for part in tasks for name in _task_names(part)], arms)


def _task_names(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    try:
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--task-subset {text}: {error}") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def report(
    files: Sequence[Path], tasks: Sequence[str], arms: Sequence[str], as_json: bool, pairs: Sequence[tuple[str, str]],
    baseline: str | None, as_markdown: bool, html: Path | None, png: Path | None, dark: bool,
) -> None:  # fmt: skip
    """`outlay bench report`."""
    if as_json and as_markdown:
        raise InputError("--json and --markdown exclude each other")
    found = build(load(files, tasks, arms), pairs, baseline_pico=None if baseline is None else pico(baseline))
    if html is not None:
        from outlay.views.bench_html import write_page

        write_page(found, html)
    if png is not None:
        from outlay.views.bench_chart import write_picture

        write_picture(found, png, dark=dark)
    if as_json:
        click.echo(bench_print.as_json(found))
    elif as_markdown:
        click.echo(bench_print.as_markdown(found), nl=False)
    else:
        bench_print.print_report(found)
    for path in (html, png):
        if path is not None:
            click.echo(f"wrote {path}", err=True)


def whatif(**flags: object) -> None:
    """`outlay bench whatif`."""
    from outlay.views.bench_whatif import whatif as run

    run(**flags)  # type: ignore[arg-type]
