"""Says whether assumptions.json and model.py have the form that house-rules.md asks for. Not whether they are right."""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = {
    "revenue": 5,
    "ebit": 5,
    "free_cash_flow": 5,
    "wacc": 0,
    "terminal_value": 0,
    "enterprise_value": 0,
    "equity_value": 0,
    "value_per_share": 0,
}


def form(value):
    if isinstance(value, dict):
        return {key: form(each) for key, each in value.items()}
    return (
        [form(each) for each in value]
        if isinstance(value, list)
        else "number"
        if isinstance(value, (int, float))
        else "no number"
    )


def main():
    template = re.search(
        r"^    (\{\"revenue_2025\".*?\})$", (HERE / "house-rules.md").read_text(), re.DOTALL | re.MULTILINE
    )[1]
    try:
        assumptions = json.loads((HERE / "assumptions.json").read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"assumptions.json: {error}")
    if form(assumptions) != form(json.loads(template)):
        sys.exit("assumptions.json has not the form of house-rules.md")
    sys.path.insert(0, str(HERE))
    from model import value

    figures = value(assumptions)
    for name, length in RESULTS.items():
        found = figures.get(name)
        if form(found) != (["number"] * length if length else "number"):
            sys.exit(f"value() gives no {name} of the right form: {found!r}")
    print(f"form is right; value per share {figures['value_per_share']:.2f} euros")


main()
