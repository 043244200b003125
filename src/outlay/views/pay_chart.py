"""Cost against volume, one line per way to pay, every crossing marked. HTML (works offline), PNG or SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from outlay.errors import EnvironmentProblem, InputError
from outlay.prices.compare import Comparison, Curves, Option
from outlay.views.pay import shown_crossings

# Okabe and Ito's palette, told apart with colour-blind eyes; the last two repeat with dashes.
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f7f7f",
    "#a6761d",
    "#7570b3",
    "#e7298a",
)
_DARK_COLOURS = (
    "#56b4e9",
    "#ff8c42",
    "#2ec99a",
    "#e39cc4",
    "#f0c05a",
    "#9fd8ff",
    "#b0b0b0",
    "#d9a860",
    "#a9a4e0",
    "#ff74b8",
)
_LIGHT_GROUND, _DARK_GROUND = "#ffffff", "#16181c"
_DASHES = ([1, 0], [6, 3], [2, 2])
_POINTS = 80
_WIDTH, _HEIGHT = 720, 420


def draw_costs(found: Comparison, low: Fraction, high: Fraction, path: Path, *, dark: bool = False) -> None:
    """Write the chart to `path`. Raises InputError for another ending than .html, .png or .svg."""
    if path.suffix not in (".html", ".png", ".svg"):
        raise InputError(f"--chart {path}: the file's name ends in .html, .png or .svg")
    try:
        import altair  # noqa: F401
    except ImportError:
        raise EnvironmentProblem("charts need altair and vl-convert-python: pip install 'outlay[charts]'") from None
    chart = _chart(found, low, high, dark)
    try:
        if path.suffix == ".html":
            ground = _DARK_GROUND if dark else _LIGHT_GROUND
            page = chart.to_html(inline=True).replace(
                "</head>", f"<style>body{{background:{ground}}}</style></head>", 1
            )
            path.write_text(page, encoding="utf-8")
        else:
            chart.save(str(path), scale_factor=2) if path.suffix == ".png" else chart.save(str(path))
    except OSError as error:
        raise InputError(f"cannot write the chart {path}: {error.strerror}") from None


def _scales(low: Fraction, high: Fraction) -> list[Fraction]:
    ratio = float(high / low)
    return [Fraction(f"{float(low) * ratio ** (n / _POINTS):.5g}") for n in range(_POINTS + 1)]


def _rows(found: Comparison, options: Sequence[Option], low: Fraction, high: Fraction) -> list[dict[str, Any]]:
    curves = Curves(found.trace)
    listed = found.trace.priced.total_pico
    near = {c.scale for c in shown_crossings(found, low, high)}
    rows = []
    for scale in sorted({*_scales(low, high), *near}):
        for option in options:
            costs = [curves.cost(way, scale) for way in option.ends]
            known = [cost for cost in costs if cost is not None]
            if len(known) == len(costs):
                rows.append(
                    {
                        "volume": float(scale * listed / 10**12), "way": option.id, "scale": float(scale),
                        "low": float(min(known) / 10**12), "high": float(max(known) / 10**12),
                        "cost": float(sum(known, Fraction(0)) / len(known) / 10**12),
                    }
                )  # fmt: skip
    return rows


def _data(values: list[dict[str, Any]]) -> Any:
    import altair as alt

    made: Any = alt.Data
    return made(values=values)


def _powers(values: Sequence[float]) -> list[float]:
    """Powers of ten from below the least value to above the greatest."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**n for n in range(low, high + 1)]


def _log(values: Sequence[float]) -> Any:
    import altair as alt

    return alt.Scale(type="log", domain=[min(values) * 0.9, max(values) * 1.1], nice=False)


def _axis(values: Sequence[float]) -> Any:
    import altair as alt

    return alt.Axis(values=_powers(values), labelExpr="'$' + format(datum.value, ',~f')")


def _chart(found: Comparison, low: Fraction, high: Fraction, dark: bool) -> Any:
    import altair as alt

    ink, ground, grid = ("#e8e8e8", _DARK_GROUND, "#33373e") if dark else ("#1f2328", _LIGHT_GROUND, "#e3e6ea")
    layers = [*_curves(found, low, high, dark), _dots(found, low, high, ink)]
    if low <= 1 <= high:
        layers += _here(found, ink)
    sub = (
        f"{len(found.trace):,} calls. Dots: two ways cost the same; large: the cheapest of all changes. "
        f"Price book {found.book.id}"
    )
    title = alt.TitleParams("What this usage costs under each way to pay", subtitle=sub, anchor="start", offset=12)
    return (
        alt.layer(*layers)
        .properties(width=_WIDTH, height=_HEIGHT, title=title, background=ground, padding=16)
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=ink, titleColor=ink, gridColor=grid, domainColor=grid, tickColor=grid, labelFontSize=12,
            titleFontSize=13, titleFontWeight="normal",
        )
        .configure_legend(labelColor=ink, titleColor=ink, labelFontSize=12, titleFontSize=12)
        .configure_title(color=ink, subtitleColor=ink, fontSize=16, subtitleFontSize=12)
    )  # fmt: skip


def _curves(found: Comparison, low: Fraction, high: Fraction, dark: bool) -> list[Any]:
    """A line per way, and a band where its figures are ranges."""
    import altair as alt

    rows = _rows(found, found.options, low, high)
    drawn = {row["way"] for row in rows}
    names = [option.id for option in found.options if option.id in drawn]
    palette = _DARK_COLOURS if dark else _COLOURS
    volumes = [row["volume"] for row in rows]
    costs = [row[end] for row in rows for end in ("low", "high") if row[end] > 0]
    x = alt.X("volume:Q", title="volume, USD at list price", scale=_log(volumes), axis=_axis(volumes))
    y = alt.Y("cost:Q", title="billed, USD", scale=_log(costs), axis=_axis(costs))
    colours = alt.Scale(domain=names, range=[palette[n % len(palette)] for n in range(len(names))])
    dashes = alt.Scale(domain=names, range=[_DASHES[n % len(_DASHES)] for n in range(len(names))])
    legend = alt.Legend(labelLimit=260, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1, symbolSize=300)
    colour = alt.Color("way:N", title="way to pay", sort=names, scale=colours, legend=legend)
    dash = alt.StrokeDash("way:N", title="way to pay", sort=names, scale=dashes, legend=legend)
    tip = [alt.Tooltip("way:N"), alt.Tooltip("scale:Q", format=".4~g")]
    tip += [alt.Tooltip(f"{end}:Q", format="$,.2f") for end in ("low", "high")]
    data = _data(rows)
    area = alt.Chart(data).mark_area(opacity=0.18, interpolate="linear")
    band = area.encode(x=x, y=alt.Y("low:Q", scale=_log(costs), axis=_axis(costs)), y2="high:Q", color=colour)
    line = alt.Chart(data).mark_line(strokeWidth=2.2).encode(x=x, y=y, color=colour, strokeDash=dash, tooltip=tip)
    return [band, line]


def _dots(found: Comparison, low: Fraction, high: Fraction, ink: str) -> Any:
    import altair as alt

    listed = found.trace.priced.total_pico
    rows = [
        {
            "volume": float(c.scale * listed / 10**12), "cost": float(c.usd_pico / 10**12), "below": c.below,
            "above": c.above, "main": c.cheapest,
        }
        for c in shown_crossings(found, low, high)
    ]  # fmt: skip
    tip = [alt.Tooltip("below:N", title="cheaper below"), alt.Tooltip("above:N", title="cheaper above")]
    tip += [alt.Tooltip(f"{name}:Q", format="$,.2f") for name in ("volume", "cost")]
    size = alt.condition("datum.main", alt.value(90), alt.value(22))
    points = alt.Chart(_data(rows)).mark_point(filled=True, color=ink, opacity=0.9)
    return points.encode(x="volume:Q", y="cost:Q", size=size, tooltip=tip)


def _here(found: Comparison, ink: str) -> list[Any]:
    import altair as alt

    here = _data([{"volume": found.trace.priced.total_pico / 10**12, "label": "this trace"}])
    rule = alt.Chart(here).mark_rule(color=ink, strokeDash=[4, 4]).encode(x="volume:Q")
    label = alt.Chart(here).mark_text(align="left", dx=4, dy=8, color=ink, baseline="top")
    return [rule, label.encode(x="volume:Q", y=alt.value(0), text="label:N")]
