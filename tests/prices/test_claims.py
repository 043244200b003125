"""Statements about the cost of agents, recomputed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fractions import Fraction

import pytest

from outlay.errors import InputError
from outlay.prices.book import load
from outlay.prices.claims import answer, claims, compute
from outlay.views.claims import as_json, lines, page

NOW = 1_795_000_000_000
KNOWN = {claim.id: claim for claim in claims()}


def of(id, **changed):
    return answer(KNOWN[id], load(), NOW, {name: str(value) for name, value in changed.items()})


def test_the_six_times_cheaper_subscription_is_six_times_cheaper_only_when_full():
    assert of("six-times").holds and of("six-times").values["multiplier"] == 6
    assert not of("six-times", used=59).holds
    assert of("six-times").values["break_even_use"] == Fraction(100, 6)


def test_five_to_eight_tokens_per_credit_need_the_card_per_message():
    assert of("tokens-per-credit").values["five_from"] == Fraction("1.4")
    assert of("tokens-per-credit").values["eight_from"] == Fraction("2.24")
    assert not of("tokens-per-credit", list_per_message="1.39").holds


def test_the_margin_is_gone_above_a_mean_use_of_41_7_percent():
    assert float(of("margin-60").values["loss_above"]) == pytest.approx(41.67, abs=0.01)
    assert of("margin-60", use="41.6").holds and not of("margin-60", use="41.7").holds


def test_every_statement_has_an_answer_and_a_condition():
    assert len(KNOWN) == 7
    for claim in KNOWN.values():
        found = answer(claim, load(), NOW)
        assert claim.when and list(lines(found, 80)) and max(map(len, lines(found, 80))) <= 80


def test_a_wrong_input_is_answered_with_the_right_ones():
    with pytest.raises(InputError, match="it has fee, cap, used"):
        of("six-times", fees=3)
    with pytest.raises(InputError, match="division by zero"):
        of("six-times", fee=0)
    with pytest.raises(InputError, match="0 or more"):
        of("six-times", fee=-1)


@pytest.mark.parametrize("formula", ["__import__('os')", "a.b", "a[0]", "lambda: 1", "a ** a", "'x'"])
def test_a_formula_is_arithmetic_and_nothing_else(formula):
    with pytest.raises(InputError, match="a formula may hold"):
        compute(formula, {"a": Fraction(1)})


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_pages_script_computes_what_python_computes():
    found = [answer(claim, load(), NOW) for claim in KNOWN.values()]
    text = page(found, "book")
    data = re.search(r'id="data">(.*?)</script>', text)
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)
    assert data is not None and script is not None
    want = as_json(found, "book")["claims"]
    given = {f"{c['id']}.{name}": x["value"] for c in want for name, x in c["inputs"].items()}
    program = f"""
    const fields = {{}}, given = {json.dumps(given)};
    global.document = {{ getElementById: id => id === 'data' ? {{ textContent: {json.dumps(data[1])} }} :
      (fields[id] ??= {{ value: given[id], addEventListener() {{}} }}) }};
    {script[1].replace("field(claim, s.name).textContent = show(v);", "field(claim, s.name).raw = v;")}
    for (const claim of claims) compute(claim);
    const figures = Object.entries(fields).map(([name, field]) => [name, field.raw ?? field.textContent]);
    console.log(JSON.stringify(Object.fromEntries(figures)));
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    for claim in want:
        assert figures[f"{claim['id']}.verdict"] == ("holds" if claim["holds"] else "does not hold")
        for name, step in claim["computed"].items():
            assert figures[f"{claim['id']}.{name}"] == pytest.approx(step["value"])
