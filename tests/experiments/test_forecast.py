"""Forecasts: exact where the answer is known, wide where nothing is, and as often right as they say."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from outlay.errors import InputError
from outlay.experiments.forecast import (
    COST,
    LABELS,
    SUCCESS,
    TIME,
    Labels,
    Prior,
    leave_one_out,
    predict,
    rate,
)
from outlay.experiments.forecast_arms import forecast
from outlay.experiments.forecast_check import calibrate
from outlay.experiments.forecast_history import Past
from outlay.experiments.simulate import DEFAULTS, assumptions, efficiency, overhead, simulate
from outlay.runs.goal import parse
from outlay.runs.goal_types import Goal
from outlay.tokens import Usage
from project import Project

SAME = Labels("type", "goal", "solo", "small")
OTHER = Labels("other type", "other goal", "lead", "large")


def drawn(prior: Prior, dice: random.Random, runs: int) -> tuple[list[float], list[Labels]]:
    """Runs whose truth is the prior's own."""
    effects: dict[tuple[str, str], float] = {}
    everything = dice.gauss(prior.centre, math.sqrt(prior.everything))
    values, labels = [], []
    for _ in range(runs):
        kind = dice.randrange(3)
        label = Labels(f"t{kind}", f"g{kind}{dice.randrange(3)}", dice.choice("sl"), dice.choice("ab"))
        value = everything + dice.gauss(0, math.sqrt(prior.noise))
        for name, variance in zip(LABELS, prior.effects, strict=True):
            key = (name, getattr(label, name))
            value += effects.setdefault(key, dice.gauss(0, math.sqrt(variance)))
        values.append(value)
        labels.append(label)
    return values, labels


def past(n: int, *, usd: float = 0.5, labels: Labels = SAME, success: bool = True) -> Past:
    used = {"main": Usage(fresh=round(usd * 1e6))}
    return Past(
        run=str(n), labels=labels, success=success, wall_s=60.0, turns=10, main="main", used=used,
        sessions={"main": 1}, cost_pico=round(usd * 1e12), measured=True,
    )  # fmt: skip


def goal_at(folder: Path, more: str = "", price: str = "{input: 1, output: 2}") -> Goal:
    (folder / "GOAL.md").write_text(
        f"---\nmodels: {{main: {{spec: 'openai:small@http://127.0.0.1:1/v1', price: {price}}}}}\n"
        f"checks: [{{name: done, command: 'true'}}]\n{more}---\ngo\n"
    )
    return parse((folder / "GOAL.md").read_text(), folder / "GOAL.md")


def test_with_one_group_a_rate_is_laplaces_rule_and_pulled_less_by_strangers() -> None:
    for values in ([1.0], [1.0, 1.0, 0.0], [0.0] * 40):
        found = predict(values, [SAME] * len(values), SAME, SUCCESS)
        assert found.centre == pytest.approx((sum(values) + 1) / (len(values) + 2))
        stranger = predict(values, [SAME] * len(values), OTHER, SUCCESS)
        assert abs(stranger.centre - 0.5) < abs(found.centre - 0.5)
        assert stranger.spread > found.spread
    nothing = rate(predict([], [], SAME, SUCCESS))
    assert nothing.expected == 0.5 and (nothing.low, nothing.high) == pytest.approx((0.1, 0.9), abs=1e-6)


def test_leaving_one_out_in_closed_form_is_forecasting_it_from_the_others() -> None:
    for prior in (COST, TIME):
        values, labels = drawn(prior, random.Random(3), 12)
        for n, found in enumerate(leave_one_out(values, labels, prior)):
            rest = values[:n] + values[n + 1 :], labels[:n] + labels[n + 1 :]
            one = predict(*rest, labels[n], prior)
            assert (found.centre, found.spread, found.df) == pytest.approx((one.centre, one.spread, one.df))


def test_ranges_hold_as_many_runs_as_they_say_when_the_prior_is_true() -> None:
    held, of = 0, 0
    for seed in range(60):
        values, labels = drawn(COST, random.Random(seed), 25)
        for value, found in zip(values, leave_one_out(values, labels, COST), strict=True):
            held += found.quantile(0.1) <= value <= found.quantile(0.9)
            of += 1
    assert held / of == pytest.approx(0.8, abs=0.02)


def test_more_history_makes_a_forecast_narrower_and_no_history_says_so(tmp_path: Path) -> None:
    goal = goal_at(tmp_path, "limits: {usd: 2}\n")
    before = forecast("it", goal, [], 0)
    assert before.cost is not None and before.basis == "no history: a guess from published runs"
    assert before.cost.highest == 2.0 and before.success.expected == 0.5
    labels = before.labels
    spans = []
    for runs in (1, 3, 30):
        found = forecast("it", goal, [past(n, labels=labels) for n in range(runs)], 0)
        assert found.cost is not None
        spans.append(found.cost.high / found.cost.low)
    assert spans == sorted(spans, reverse=True) and found.cost.middle == pytest.approx(0.5, rel=0.05)
    assert found.basis == "30 runs of this goal" and found.roles[0].usd == pytest.approx(0.5)
    assert forecast("it", goal, [past(1, labels=OTHER)], 0).basis == "thin: 0 of this goal, 0 of its kind, 1 in all"


def test_past_tokens_are_priced_at_what_the_goals_models_cost_now(tmp_path: Path) -> None:
    runs = [past(n, labels=forecast("it", goal_at(tmp_path), [], 0).labels) for n in range(20)]
    dear = forecast("it", goal_at(tmp_path, price="{input: 10, output: 20}"), runs, 0)
    cheap = forecast("it", goal_at(tmp_path), runs, 0)
    assert dear.cost and cheap.cost
    assert dear.cost.middle / cheap.cost.middle == pytest.approx(10, rel=0.15)
    without = parse("---\nmodels: {main: 'openai:none@http://127.0.0.1:1/v1'}\n---\ngo\n", tmp_path / "GOAL.md")
    assert forecast("it", without, runs, 0).cost is None
    assert "has no price" in forecast("it", without, runs, 0).why_no_cost


def test_calibration_sees_whether_labels_help() -> None:
    dice = random.Random(5)
    runs = []
    for n in range(60):
        hard = n % 2 == 0
        labels = Labels("t", "hard" if hard else "easy", "solo", "m")
        usd = (5.0 if hard else 0.1) * dice.lognormvariate(0, 0.3)
        runs.append(past(n, usd=usd, labels=labels, success=not hard))
    found = calibrate(runs)
    assert found.cost is not None and found.cost.pinball < 0.5 * found.cost.plain
    assert found.success.brier < 0.05 < found.success.plain
    assert [c.wanted for c in found.cost.coverage] == [0.5, 0.8, 0.95]
    assert found.cost.coverage[2].share >= 0.9
    with pytest.raises(InputError, match="needs at least 10 runs"):
        calibrate(runs[:9])


def figures(**given: float) -> dict[str, float]:
    quiet = {"scatter": 0, "own_eye": 0, "checks_see": 0, "others_eye": 0, "review_sees": 0, "false_alarm": 0}
    return quiet | given


def test_simulated_teams_agree_with_arithmetic(tmp_path: Path) -> None:
    solo = goal_at(tmp_path)
    (one,) = simulate({"solo": solo}, assumptions([], figures(steps=20, mistake=0.05)))
    assert one.success == pytest.approx(math.exp(-1), abs=0.01) and one.steps == pytest.approx(20)
    assert one.wrong == pytest.approx(1 - math.exp(-1), abs=0.01) and one.overhead == pytest.approx(0)
    assert one.usd[0] == pytest.approx(20 * 0.05) and one.time_s[0] == pytest.approx(20 * 15)
    team = "team: {shape: SHAPE, main: a, roles: {a: {model: main}, b: {model: main}, c: {model: main}}}\n"
    lead = goal_at(tmp_path, team.replace("SHAPE", "lead"))
    council = goal_at(tmp_path, "team: {shape: council}\n")
    found = simulate({"lead": lead, "council": council}, assumptions([], figures(mistake=0)))
    assert [each.overhead for each in found] == pytest.approx([2.85, 2.63])
    assert [each.success for each in found] == [1.0, 1.0]
    (bound,) = simulate({"it": goal_at(tmp_path, "limits: {turns: 10}\n")}, assumptions([], figures()))
    assert bound.limited == 1.0 and bound.success == 0.0 and bound.usd_per_success == math.inf


def test_reviews_and_rounds_of_checks_raise_success_and_cost(tmp_path: Path) -> None:
    team = "team: {shape: pipeline}\n"
    solo, pipeline = simulate({"s": goal_at(tmp_path), "p": goal_at(tmp_path, team)}, assumptions([], {}))
    assert pipeline.success > solo.success and pipeline.usd[0] > solo.usd[0] and pipeline.wrong < solo.wrong
    fewer, more = (
        simulate({"s": goal_at(tmp_path)}, assumptions([], {"check_rounds": rounds}))[0] for rounds in (0, 3)
    )
    assert more.success > fewer.success and more.steps > fewer.steps


def test_published_overheads_and_efficiencies_follow_from_their_turns() -> None:
    """Kim et al. 2025 (arXiv 2512.08296), Table 5: single agent, independent, decentralised, centralised, hybrid."""
    successes, turns = (0.466, 0.370, 0.477, 0.463, 0.452), (7.2, 11.4, 26.1, 27.7, 44.3)
    found = [overhead(each, 7.2) for each in turns]
    assert np.round(np.array(found) * 100).tolist() == [0, 58, 263, 285, 515]
    effective = [round(efficiency(s, t, 7.2), 3) for s, t in zip(successes, turns, strict=True)]
    assert effective == pytest.approx([0.466, 0.234, 0.132, 0.120, 0.074], abs=0.0011)


def test_every_assumption_is_named_and_bad_ones_are_refused() -> None:
    found = {one.name: one for one in assumptions([past(1)], {"mistake": 0.2})}
    assert found.keys() == {one.name for one in DEFAULTS}
    assert (found["mistake"].value, found["mistake"].source) == (0.2, "--assume")
    assert (found["steps"].value, found["steps"].source) == (10, "one of your runs")
    assert found["step_usd"].value == pytest.approx(0.05)
    for name, value in (("mistakes", 0.1), ("mistake", 1.5), ("steps", 0), ("mend", -1), ("mend", math.nan)):
        with pytest.raises(InputError, match="--assume"):
            assumptions([], {name: value})


def test_the_command_forecasts_from_real_runs_and_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    it = Project(tmp_path / "p", "http://127.0.0.1:1")
    first_run = Path(__file__).parents[2] / "docs" / "guides" / "first-run"
    shutil.copytree(first_run, it.folder / "first")
    guess = json.loads(it.outlay("forecast", "first/GOAL.md", "--json").stdout)["forecasts"][0]
    assert guess["runs"] == 0 and guess["basis"].startswith("no history")
    it.goal = it.folder / "first" / "GOAL.md"
    it.run()
    arm = "cheap={models: {main: {spec: 'recorded:first/recording.jsonl', price: {input: 0.1, output: 0.1}}}}"
    done = it.outlay("forecast", "first/GOAL.md", "--arm", "it={}", "--arm", arm, "--simulate", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    one, cheap = told["forecasts"]
    assert one["known"] == {"type": 1, "goal": 1, "shape": 1, "model": 1} and one["basis"].startswith("thin")
    assert one["cost"]["expected"] < guess["cost"]["expected"] and cheap["cost"]["middle"] < one["cost"]["middle"]
    assert {row["name"]: row["source"] for row in told["assumptions"]}["steps"] == "one of your runs"
    assert "Assumptions" in it.outlay("forecast", "first/GOAL.md", "--assume", "mistake=0.01").stdout
    for arguments, words in (
        ((), "name the goal file"),
        (("nothing.md",), "cannot read the goal nothing.md"),
        (("first/GOAL.md", "--assume", "mistake"), "write NAME=NUMBER"),
        (("first/GOAL.md", "--arm", "solo"), "no arm 'solo'"),
        (("first/GOAL.md", "--arm", "a={teem: {}}"), "teem"),
        (("--calibrate",), "needs at least 10 runs that ended; the ledger has 1"),
        (("--calibrate", "--simulate"), "go with a goal file"),
    ):
        bad = it.outlay("forecast", *arguments)
        assert bad.returncode == 2 and words in bad.stderr, (arguments, bad.stderr)
