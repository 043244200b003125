"""Cost per success of every arm with its range, and success against cost. SVG and PNG, on light or dark ground."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from outlay.economics.frontier import Point, hull
from outlay.errors import EnvironmentProblem, InputError
from outlay.experiments.report import Report
from outlay.views.bench import dollars, percent

_WIDTH = 640
_HEIGHT = 360
_ROW = 20
_LETTERS = 11
"""Size of the letters beside dots, in pixels; a letter is about 0.58 of it wide."""
_MOST = 40
"""Arms in a chart; the cheapest per success and those worth considering."""
_NAME = 34
"""Characters of an arm's name in a chart."""

LIGHT = {
    "ink": "#1f2328",
    "soft": "#6a737d",
    "ground": "#ffffff",
    "grid": "#e3e6ea",
    "worth": "#0072b2",
    "other": "#9aa3ad",
}
DARK = {
    "ink": "#e8e8e8",
    "soft": "#9aa3ad",
    "ground": "#16181c",
    "grid": "#33373e",
    "worth": "#56b4e9",
    "other": "#6d7681",
}


def write_picture(report: Report, path: Path, *, dark: bool = False) -> None:
    """Both charts in one picture. Raises InputError for another ending than .png or .svg, or nothing to draw."""
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"--png {path}: the file's name ends in .png or .svg")
    drawn = json.dumps(_spec(report, DARK if dark else LIGHT, both=True))
    converter = _converter()
    data = (
        converter.vegalite_to_svg(drawn).encode()
        if path.suffix == ".svg"
        else converter.vegalite_to_png(drawn, scale=2)
    )
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def svgs(report: Report, *, dark: bool) -> list[str]:
    """The two charts as SVG documents."""
    colours = DARK if dark else LIGHT
    converter = _converter()
    charts = [_ranges(report, colours), _scatter(report, colours)]
    return [str(converter.vegalite_to_svg(json.dumps(_finished(chart, colours).to_dict()))) for chart in charts]


def _converter() -> Any:
    try:
        import altair  # noqa: F401
        import vl_convert
    except ImportError:
        raise EnvironmentProblem("charts need altair and vl-convert-python: pip install 'outlay[charts]'") from None
    return vl_convert


def _spec(report: Report, colours: dict[str, str], *, both: bool) -> Any:
    _converter()
    import altair as alt

    charts = [_ranges(report, colours), _scatter(report, colours)]
    return _finished(alt.vconcat(*charts, spacing=32), colours).to_dict()


def _finished(chart: Any, c: dict[str, str]) -> Any:
    return (
        chart.properties(background=c["ground"], padding=16)
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=c["ink"], titleColor=c["soft"], gridColor=c["grid"], domainColor=c["grid"], tickColor=c["grid"],
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=260,
        )
        .configure_title(color=c["ink"], subtitleColor=c["soft"], fontSize=16, subtitleFontSize=12, anchor="start")
    )  # fmt: skip


def _rows(report: Report) -> list[dict[str, Any]]:
    ranked = report.ranked
    if not ranked:
        raise InputError("nothing to draw: no arm's cost per success can be stated")
    kept = ranked[:_MOST] + [row for row in ranked[_MOST:] if row.worth]
    rows = []
    for row in kept:
        assert row.cost.value is not None
        interval = row.cost.interval
        rows.append(
            {
                "arm": row.arm, "name": _short(row.arm), "value": row.cost.value / 1e12, "rate": 100 * row.rate,
                "low": None if interval is None else interval.low / 1e12,
                "high": None if interval is None else interval.high / 1e12,
                "cost": None if row.mean_cost is None else row.mean_cost / 1e12, "worth": row.worth,
                "says": f"{dollars(row.cost.value)}  ({percent(row.rate)})",
            }
        )  # fmt: skip
    return rows


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1].rstrip() + "…"


def _data(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    made: Any = alt.Data
    return made(values=rows)


def _dollar_axis(title: str, values: list[float]) -> tuple[Any, Any]:
    """A log scale with ticks at 1, 2 and 5 times the powers of ten, and its axis."""
    import altair as alt

    low, high = min(values), max(values)
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low * 0.8 <= m * 10.0**e <= high * 1.25]
    if len(ticks) > 12:
        ticks = [t for t in ticks if abs(math.log10(t) - round(math.log10(t))) < 1e-9]
    scale = alt.Scale(type="log", domain=[low * 0.8, high * 1.25], nice=False)
    return scale, alt.Axis(values=ticks, labelExpr="'$' + format(datum.value, '~g')", title=title)


def _ranges(report: Report, c: dict[str, str]) -> Any:
    """A dot with a bar per arm; the worthwhile ones in colour."""
    import altair as alt

    rows = _rows(report)
    ends = [v for row in rows for v in (row["value"], row["low"], row["high"]) if v]
    scale, axis = _dollar_axis("cost per success, USD (bars: 95 % range)", ends)
    names = [row["arm"] for row in rows]
    # Arms are told apart by their full names; the axis shows the short ones.
    shown = {row["arm"]: row["name"] for row in rows}
    label = f"{json.dumps(shown)}[datum.value]"
    y = alt.Y("arm:N", sort=names, title=None, axis=alt.Axis(labelExpr=label, grid=False, ticks=False, domain=False))
    colour = alt.condition("datum.worth", alt.value(c["worth"]), alt.value(c["other"]))
    base = alt.Chart(_data(rows)).encode(y=y)
    bar = (
        base.transform_filter("datum.low != null")
        .mark_rule(strokeWidth=3, opacity=0.55)
        .encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", color=colour)
    )
    dot = base.mark_circle(size=70, opacity=1).encode(x=alt.X("value:Q", scale=scale, axis=axis), color=colour)
    text = base.mark_text(align="left", dx=8, color=c["soft"], fontSize=11).encode(x=alt.value(_WIDTH), text="says:N")
    said = "Right: the cost, and the share of tries that succeed. Blue: no other arm succeeds as often for less."
    if len(rows) < len(report.ranked):
        said = f"{len(rows)} of {len(report.ranked)} arms. {said}"
    title = alt.TitleParams("What one success costs", subtitle=said)
    return alt.layer(bar, dot, text).properties(width=_WIDTH, height=max(60, _ROW * len(rows)), title=title)


def _scatter(report: Report, c: dict[str, str]) -> Any:
    """Success against cost per try; the line joins what mixing arms reaches."""
    import altair as alt

    rows = [row for row in _rows(report) if row["cost"]]
    if not rows:
        raise InputError("nothing to draw: no cost per try is known")
    costs = [row["cost"] for row in rows]
    scale, axis = _dollar_axis("cost of one try, USD", costs)
    top = min(100.0, max(row["rate"] for row in rows) * 1.25)
    x = alt.X("cost:Q", scale=scale, axis=axis)
    y = alt.Y("rate:Q", scale=alt.Scale(domain=[0, top]), title="tries that succeed, %")
    colour = alt.condition("datum.worth", alt.value(c["worth"]), alt.value(c["other"]))
    dots = alt.Chart(_data(rows)).mark_circle(size=80, opacity=0.9).encode(x=x, y=y, color=colour)
    names = [
        alt.Chart(_data([row]))
        .mark_text(align=align, baseline="middle", dx=dx, dy=dy, color=c["ink"], fontSize=_LETTERS)
        .encode(x=x, y=y, text="name:N")
        for row, align, dx, dy in _labels([row for row in rows if row["worth"]], rows, top)
    ]
    corner = [{"cost": p.cost, "rate": p.rate} for p in _line(rows, min(costs) * 0.8)]
    line = (
        alt.Chart(_data(corner))
        .mark_line(color=c["worth"], strokeDash=[4, 4], opacity=0.6, clip=True)
        .encode(x=x, y=y, order="cost:Q")
    )
    title = alt.TitleParams(
        "What more success costs",
        subtitle="Up is better, left is cheaper. The line is the best that choosing or mixing arms can reach.",
    )
    return alt.layer(line, dots, *names).properties(width=_WIDTH, height=_HEIGHT, title=title)


_PLACES = [(side, 15 * step) for step in (0, -1, 1, -2, 2, -3, 3) for side in ("left", "right")]
"""Where a name may stand, best first: beginning right of its dot or ending left of it, and how far lower."""


def _labels(
    rows: list[dict[str, Any]], others: list[dict[str, Any]], top: float
) -> list[tuple[dict[str, Any], Any, int, int]]:
    """Where each name stands beside its dot (side, offsets in pixels): on no other name, and on few dots."""
    costs = [row["cost"] for row in others]
    low, high = math.log(min(costs) * 0.8), math.log(max(costs) * 1.25)

    def at(row: dict[str, Any]) -> tuple[float, float]:
        return _WIDTH * (math.log(row["cost"]) - low) / (high - low), _HEIGHT * (1 - row["rate"] / top)

    dots = [(x - 6, x + 6, y - 6, y + 6) for x, y in map(at, others)]
    taken: list[tuple[float, float, float, float]] = []
    placed = []
    for row in sorted(rows, key=lambda row: -row["cost"]):
        x, y = at(row)
        wide = 0.58 * _LETTERS * len(row["name"])

        def box(
            side: str, dy: int, x: float = x, y: float = y, wide: float = wide
        ) -> tuple[float, float, float, float]:
            start = x + 9 if side == "left" else x - 9 - wide
            return start, start + wide, y + dy - _LETTERS / 2, y + dy + _LETTERS / 2

        def cost(place: tuple[str, int]) -> tuple[int, int]:
            here = box(*place)
            outside = here[0] < 0 or here[1] > _WIDTH + 120 or here[2] < 0
            names = sum(_meet(here, name) for name in taken)
            return 100 * names + 50 * outside + sum(_meet(here, dot) for dot in dots), abs(place[1])

        side, dy = min(_PLACES, key=cost)
        taken.append(box(side, dy))
        placed.append((row, side, 9 if side == "left" else -9, dy))
    return placed


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    """Two boxes (left, right, top, bottom) overlap."""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def _line(rows: list[dict[str, Any]], least: float) -> list[Point]:
    """The hull from the chart's left edge, in steps: straight lines bend on a log axis."""
    corners = [Point("", 0.0, 0.0), *hull([Point(row["arm"], row["cost"], row["rate"]) for row in rows])]
    steps = []
    for a, b in pairwise(corners):
        start = max(a.cost, least)
        for n in range(41):
            cost = start * (b.cost / start) ** (n / 40) if b.cost > start else b.cost
            share = (cost - a.cost) / (b.cost - a.cost) if b.cost > a.cost else 1.0
            steps.append(Point("", cost, a.rate + share * (b.rate - a.rate)))
    return steps
