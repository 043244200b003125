"""The report on trials as sentences and tables, for the terminal and for documents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from outlay.economics.paired import Paired
from outlay.experiments.report import COST_UNKNOWN, DISQUALIFYING, ArmRow, Report
from outlay.views.tables import Table, left, right


def dollars(pico: float | None) -> str:
    """An amount with at least two significant digits: $1.67, $0.431, $0.047, $0.0021."""
    if pico is None:
        return "unknown"
    if math.isinf(pico):
        return "no end"
    usd = pico / 1e12
    if usd >= 1 or usd == 0:
        return f"${usd:,.2f}" if usd < 1000 else f"${usd:,.0f}"
    return f"${usd:.3f}" if usd >= 0.0095 else f"${usd:.{1 - math.floor(math.log10(usd))}f}"


def percent(share: float) -> str:
    """`74.4 %`."""
    return f"{100 * share:.1f} %"


def headline(report: Report) -> list[str]:
    """What a reader takes away: the cheapest success, the most successes, the arms worth considering."""
    ranked = report.ranked
    if not ranked:
        return ["No arm's cost per success can be stated; the reasons stand below."]
    lines = []
    cheapest, best = ranked[0], max(ranked, key=lambda row: row.rate)
    if len(ranked) == 1:
        return [f"{cheapest.arm}: a success costs {_with_range(cheapest)}. {_of_100(cheapest)} tries succeed."]
    if report.mixed:
        return [
            "These arms tried different tasks, so their figures cannot be set against each other. "
            "Choose those of one kind with --arm or --task-subset."
        ]
    lines.append(
        f"A success costs least with {cheapest.arm}: {_with_range(cheapest)}. {_of_100(cheapest)} tries succeed."
    )
    if best is cheapest:
        lines.append("It also succeeds most often.")
    else:
        lines.append(f"Most tries succeed with {best.arm}: {_of_100(best)}. There a success costs {_with_range(best)}.")
    worth = [row for row in ranked if row.worth]
    if 1 < len(worth) < len(ranked):
        lines.append(
            f"Worth considering: {_list([row.arm for row in worth], most=6)}. "
            "Each other arm succeeds no more often than one of these that costs less per try."
        )
    if report.tied:
        lines.append(f"The tasks do not tell whether {cheapest.arm} is cheaper per success than {_list(report.tied)}.")
    return lines


def _list(names: Sequence[str], most: int = 3) -> str:
    return "; ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _with_range(row: ArmRow) -> str:
    shown = dollars(row.cost.value)
    if row.cost.interval is None:
        return shown
    return f"{shown} (95 % sure: {dollars(row.cost.interval.low)} to {dollars(row.cost.interval.high)})"


def _of_100(row: ArmRow) -> str:
    return f"{100 * row.rate:.0f} of 100"


def scope(report: Report) -> str:
    """`31 arms, 500 tasks, 12,500 trials`."""
    parts = [_count(len(report.rows), "arm")]
    if report.trials:
        parts += [_count(report.tasks, "task"), _count(report.trials, "trial")]
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def ranking(report: Report) -> Table:
    """Every ranked arm by rising cost per success."""
    rows = [_ranked(row) for row in report.ranked]
    columns = (
        left("arm", flexible=True), right("per success"), right("95 % range"), right("succeed"), right("per try"),
    )  # fmt: skip
    notes = []
    if any(row.worth for row in report.ranked):
        notes.append("* worth considering: no other arm succeeds as often for less per try.")
    if any(row.cost.label == "approximate" for row in report.ranked):
        notes.append("~ few tasks: the range is approximate.")
    if any(row.cost.label == "no interval" for row in report.ranked):
        notes.append("no range: only totals are published.")
    return Table("Cost per success", columns, tuple(rows), note=" ".join(notes))


def _ranked(row: ArmRow) -> tuple[str, ...]:
    interval = row.cost.interval
    span = "-" if interval is None else f"{dollars(interval.low)} to {dollars(interval.high)}"
    if row.cost.label == "approximate":
        span = f"~ {span}"
    return (
        f"{'*' if row.worth else ' '} {row.arm}", dollars(row.cost.value), span, percent(row.rate),
        dollars(row.mean_cost),
    )  # fmt: skip


def unranked(report: Report) -> list[str]:
    """A line per arm that has no place, with the reason."""
    lines, blind = [], []
    for row in report.rows:
        if row.ranked:
            continue
        text = row.why_not or row.cost.why
        if row.cost.label == "bound" and row.cost.interval is not None:
            text = f"{text}; a success costs {dollars(row.cost.interval.low)} at least"
        elif row.cost.label == "unranked" and row.cost.interval is not None:
            text = f"{text}: {dollars(row.cost.interval.low)} to {dollars(row.cost.interval.high)}"
        elif row.cost.label == "no interval" and row.cost.value is not None and row.stats is not None:
            text = f"{text}; a success costs {dollars(row.cost.value)}"
        elif text == COST_UNKNOWN:
            blind.append(f"{row.arm} ({percent(row.rate)})")
            continue
        elif row.cost.value is None and row.rate:
            text = f"{text}; {percent(row.rate)} of its tries succeed"
        lines.append(f"{row.arm}: {text}")
    if blind:
        lines.append(f"Cost unknown (in brackets: tries that succeed): {'; '.join(blind)}")
    return lines


def notes(report: Report) -> list[str]:
    """What else the published figures say against themselves, arms with the same remark together."""
    gathered: dict[str, list[str]] = {}
    shown = {row.arm: row.why_not for row in report.rows if not row.ranked}
    for finding in report.findings:
        if finding.kind in DISQUALIFYING or (finding.kind == "unknown cost" and finding.arm in shown):
            continue  # stands among the unranked already
        gathered.setdefault(finding.text, []).append(finding.arm)
    for row in report.rows:
        if row.tasks is not None and row.tasks < report.tasks and not report.mixed:
            gathered.setdefault(f"tried {row.tasks:,} of the {report.tasks:,} tasks", []).append(row.arm)
    return [f"{'; '.join(arms)}: {text}" for text, arms in gathered.items()]


def spending(report: Report) -> Table | None:
    """Where money and time went; None when only totals are published."""
    told = ("unranked", "bound", "no interval")  # no place among the others, but their money is known
    rows = [r.stats for r in report.rows if r.stats is not None and (r.ranked or r.cost.label in told)]
    if not rows:
        return None
    optional = [
        ("coordination", "agreeing", [s.coordination for s in rows], percent),
        ("checking", "checking", [s.verification for s in rows], percent),
        ("tokens/success", "tokens", [s.tokens_per_success for s in rows], thousands),
        ("time/success", "time", [s.time_per_success_ms for s in rows], duration),
    ]
    used = [(name, short, cells, show) for name, short, cells, show in optional if any(cells)]
    columns = [left("arm", flexible=True), right("spent"), right("on failures"), right("tries"), right("stopped")]
    columns += [right(name, short=short) for name, short, _, _ in used]
    table = []
    for i, s in enumerate(rows):
        cut = sum(n for name, n in s.endings.items() if name not in ("succeeded", "failed"))
        failed = "-" if s.failed_cost is None else percent(s.failed_cost)
        cells = [s.arm, dollars(s.total_pico), failed, f"{s.trials:,}", f"{cut:,}"]
        cells += ["-" if (value := values[i]) is None else show(value) for _, _, values, show in used]
        table.append(tuple(cells))
    note = "on failures: share of the money that went into tries without success. stopped: tries cut off or broken."
    return Table("Where the money went", tuple(columns), tuple(table), note=note)


def repeats(report: Report) -> Table | None:
    """pass@k, pass^k and how alike a task's repeats end; None without repeats."""
    rows = [row.stats for row in report.rows if row.stats is not None and row.stats.pass_at]
    if not rows:
        return None
    ks = sorted({k for s in rows for k in (1, 2, 3, 5, 10, max(s.pass_at)) if k in s.pass_at and k > 1})
    columns = [left("arm", flexible=True), right("1 try")]
    columns += [right(f"any of {k}") for k in ks] + [right(f"all {k}") for k in ks] + [right("alike")]
    table = []
    for s in rows:
        cells = [s.arm, percent(s.pass_at[1])]
        cells += [percent(s.pass_at[k]) if k in s.pass_at else "-" for k in ks]
        cells += [percent(s.pass_hat[k]) if k in s.pass_hat else "-" for k in ks]
        cells.append("-" if s.icc is None else f"{s.icc:.2f}")
        table.append(tuple(cells))
    note = "any of k: pass@k. all k: pass^k. alike: 1 when a task's repeats always end the same, 0 when by chance."
    return Table("Trying again", tuple(columns), tuple(table), note=note)


def comparison(pair: Paired, adjusted: tuple[float | None, float], several: bool) -> list[str]:
    """Two arms on their common tasks, in sentences."""
    p_cost, p_success = adjusted
    lines = [f"{pair.a} against {pair.b}, on {_count(pair.tasks, 'common task')}:"]
    if pair.ratio is None:
        lines.append(f"  Cost per success cannot be compared: {pair.why}.")
    elif pair.interval is None or p_cost is None:
        lines.append(f"  A success costs {pair.ratio:.2f} times as much; {pair.why}.")
    else:
        span = f"95 % sure: {times(pair.interval.low)} to {times(pair.interval.high)} times"
        lines.append(f"  A success costs {times(pair.ratio)} times as much ({span}; {chance(p_cost)}).")
        if p_cost < 0.05:
            lines.append(f"  So {pair.a if pair.ratio < 1 else pair.b} is cheaper per success.")
        elif pair.needed is None:
            lines.append("  So the two cost the same per success, as far as these tasks tell.")
        else:
            lines.append(
                f"  So which is cheaper per success stays open; about {_round(pair.needed):,} tasks would tell."
            )
    more = (
        f"On {_count(pair.only_a, 'task')} {pair.a} succeeds more, on {pair.only_b:,} {pair.b} ({chance(p_success)})."
    )
    lines.append(f"  {more}")
    if several:
        lines.append("  Chances are adjusted for the number of comparisons (Holm).")
    return lines


def _round(number: int) -> int:
    """To two digits: the figure is an extrapolation."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // step) * step


def times(ratio: float) -> str:
    """A factor with two significant digits or more."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def chance(p: float) -> str:
    """`p = 0.03`: the probability of such a difference between equal arms."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def pass_line(report: Report) -> str | None:
    """Cost of pass, where it is finite or a baseline was given."""
    if report.cost_of_pass is None or math.isinf(report.cost_of_pass):
        return None
    if len(report.rows) < 2 and report.baseline_pico is None:
        return None
    base = "" if report.baseline_pico is None else f", or a person at {dollars(report.baseline_pico)},"
    return (
        f"With the best choice of arm{base} for each task a success would cost {dollars(report.cost_of_pass)} "
        "on average (cost of pass)."
    )


def thousands(number: float) -> str:
    """`1,234` or `56k` or `7.8M`."""
    if number < 10_000:
        return f"{number:,.0f}"
    return f"{number / 1000:,.0f}k" if number < 1e6 else f"{number / 1e6:,.1f}M"


def duration(ms: float) -> str:
    """`48 s`, `12 min`, `3.4 h`."""
    seconds = ms / 1000
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def tables(report: Report) -> Iterable[Table]:
    """All tables after the first."""
    return [table for table in (spending(report), repeats(report)) if table is not None]
