"""Assumptions against the truth, and the model's figures against ours, computed anew. Nothing of the work runs here.

The score is the share of assumptions that are right times the share of other companies' figures that the model gets right.
"""

import json
from pathlib import Path

AMOUNT_OFF = 0.002
"""Relative: half a per cent would hide an order that was missed."""
RATE_OFF = 0.00051
FIGURE_OFF = 1e-6
LEAST_RIGHT = 0.6
"""Of the assumptions: what the deck alone says is not an analysis."""


def value(a: dict) -> dict:
    """The house rules, one after the other."""
    sizes, revenue = dict(a["revenue_2026"]), [sum(a["revenue_2026"].values())]
    for year in range(4):
        for segment in sizes:
            sizes[segment] *= 1 + a["growth"][segment][year]
        revenue.append(sum(sizes.values()))
    flow, ebit, last = [], [], a["revenue_2025"]
    for year in range(5):
        ebit.append(revenue[year] * a["ebit_margin"][year])
        working_capital = (revenue[year] - last) * a["working_capital_rate"]
        investment = revenue[year] * a["capex_rate"] - revenue[year] * a["depreciation_rate"]
        flow.append(ebit[year] - ebit[year] * a["tax_rate"][year] - investment - working_capital)
        last = revenue[year]
    equity_cost, debt_cost = a["risk_free"] + a["beta"] * a["premium"], a["cost_of_debt"] * (1 - a["tax_rate"][-1])
    wacc = equity_cost * (1 - a["debt_share"]) + debt_cost * a["debt_share"]
    terminal = flow[-1] * (1 + a["terminal_growth"]) / (wacc - a["terminal_growth"])
    enterprise = sum(flow[n] * (1 + wacc) ** -(n + 0.5) for n in range(5)) + terminal * (1 + wacc) ** -4.5
    equity = enterprise - a["net_debt"] - a["minority"]
    return {
        "revenue": revenue, "ebit": ebit, "free_cash_flow": flow, "wacc": wacc, "terminal_value": terminal,
        "enterprise_value": enterprise, "equity_value": equity, "value_per_share": equity / a["shares"],
    }  # fmt: skip


def leaves(figures: object, name: str = "") -> dict[str, float]:
    """Every number by its path."""
    if isinstance(figures, dict):
        return {
            k: v
            for key, each in figures.items()
            for k, v in leaves(each, f"{name}.{key}" if name else str(key)).items()
        }
    if isinstance(figures, list):
        return {k: v for n, each in enumerate(figures) for k, v in leaves(each, f"{name}[{n}]").items()}
    number = isinstance(figures, (int, float)) and not isinstance(figures, bool)
    return {name: float(figures)} if number else {}


def close(wanted: float, came: float | None, relative: float, absolute: float = 0.0) -> bool:
    return came is not None and abs(wanted - came) <= max(absolute, relative * abs(wanted))


def answers() -> dict:
    found = {}
    for line in Path("/answers").read_text(errors="replace").splitlines():
        try:
            answer = json.loads(line)
            found.setdefault(answer["n"], leaves(answer["figures"]))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            continue
    return found


def main() -> None:
    truth, came = leaves(json.loads(Path("/hidden/truth.json").read_text())), answers()
    own = came.get("own", {})
    right = [
        name
        for name, wanted in truth.items()
        if close(wanted, own.get(name), *((0, RATE_OFF) if abs(wanted) < 2 else (AMOUNT_OFF, 0)))
    ]
    print(
        f"assumptions: {len(right)} of {len(truth)} right; wrong or missing: {', '.join(sorted(set(truth) - set(right))[:6]) or 'none'}"
    )
    figures = [0, 0]
    for number, scenario in enumerate(json.loads(Path("/probe/scenarios.json").read_text())):
        for name, wanted in leaves(value(scenario)).items():
            figures[1] += 1
            figures[0] += close(wanted, came.get(number, {}).get(name), FIGURE_OFF)
    print(f"figures: {figures[0]} of {figures[1]} right, of companies that the model had not seen")
    if len(right) < LEAST_RIGHT * len(truth):
        print(f"nothing counts: less than {LEAST_RIGHT:.0%} of the assumptions are right\nscore: 0")
        return
    print(f"score: {len(right) / len(truth) * figures[0] / figures[1]:.4f}")


main()
