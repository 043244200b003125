"""Goal files that are right."""

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.errors import InputError
from outlay.money import PICO_PER_USD
from outlay.runs import goal as goal_module
from outlay.runs.goal_template import template
from outlay.runs.goal_types import Goal, PassRule, Shape
from outlay.runs.model_spec import PROVIDERS, parse_spec
from outlay.runs.yaml_lines import seconds, tokens

SHORTEST = """---
models: {main: anthropic:claude-sonnet-5-5}
checks: [{name: tests, command: python -m pytest -q}]
limits: {usd: 2}
---
Make the tests pass.
"""


def read(tmp_path: Path, text: str, **changes: object) -> Goal:
    path = tmp_path / "GOAL.md"
    path.write_text(text)
    return goal_module.load(path, **changes)  # type: ignore[arg-type]


def with_front(front: str) -> str:
    return f"---\n{front}\n---\nDo it.\n"


def test_the_shortest_goal_file_is_enough(tmp_path: Path) -> None:
    goal = read(tmp_path, SHORTEST)
    assert goal.body == "Make the tests pass."
    assert goal.name == tmp_path.name
    assert goal.workspace.path == tmp_path.resolve()
    assert goal.limits.usd_pico == 2 * PICO_PER_USD
    assert goal.team.shape == "solo" and list(goal.team.roles) == ["main"]
    assert goal.checks[0].rule.passes(0, "") and not goal.checks[0].rule.passes(1, "")
    assert not goal.warnings


@pytest.mark.parametrize("shape", get_args(Shape))
def test_the_template_is_a_goal_file_without_warnings(tmp_path: Path, shape: Shape) -> None:
    goal = read(tmp_path, template(shape))
    assert goal.team.shape == shape
    assert [role.name for role in goal.team.subagents] == (["scout", "developer"] if shape == "lead" else [])
    assert goal.warnings == ()


@pytest.mark.parametrize("shape", get_args(Shape))
def test_the_template_with_its_comments_taken_away_is_a_goal_file_too(tmp_path: Path, shape: Shape) -> None:
    (tmp_path / "README.md").touch()
    (tmp_path / "tests").mkdir()
    text = "\n".join(
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") and ("{" in line or ": " in line) else line
        for line in template(shape).splitlines()
        if not line.startswith("# ") or line.startswith("# context")
    )
    goal = read(tmp_path, text)
    assert goal.limits.session.turns == 60 and goal.limits.net_tokens == 2_000_000
    assert goal.checks[1].rule.at_least == 600
    assert goal.context == ("README.md",) and goal.workspace.hosts == ("example.org",)


def test_words_that_yaml_would_turn_into_something_else_stay_words(tmp_path: Path) -> None:
    text = with_front("name: no\nmodels: {on: manual:m, 1e3: manual:n}\nchecks: [{name: 1:30, command: yes}]")
    goal = read(tmp_path, text)
    assert (goal.name, list(goal.models), goal.checks[0].name, goal.checks[0].command) == (
        "no",
        ["on", "1e3"],
        "1:30",
        "yes",
    )


def test_numbers_are_read_by_what_is_wanted(tmp_path: Path) -> None:
    goal = read(
        tmp_path,
        with_front(
            "models: {main: {spec: manual:m, window: 200k}}\n"
            "limits: {usd: 0.1, net_tokens: 1.5M, turns: 1e3, wall: 1h30m, session: {wall: 90}}\n"
            "checks: [{name: a, command: b, timeout: 5m}, {name: c, command: d, timeout: 2}]"
        ),
    )
    assert goal.models["main"].window == 200_000
    assert (goal.limits.usd_pico, goal.limits.net_tokens, goal.limits.turns) == (10**11, 1_500_000, 1000)
    assert (goal.limits.wall_s, goal.limits.session.wall_s) == (5400.0, 90.0)
    assert [check.timeout_s for check in goal.checks] == [300.0, 2.0]


def test_keys_without_a_value_take_their_defaults(tmp_path: Path) -> None:
    goal = read(tmp_path, with_front("models: {main: manual:m}\nlimits:\nteam:\nchecks: ~\nworkspace: {path: }"))
    assert goal.limits.subagents == 8 and goal.workspace.path == tmp_path.resolve()
    assert any("no checks" in warning for warning in goal.warnings)


def test_line_ends_of_windows_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "g.md"
    path.write_bytes(b"\xef\xbb\xbf" + SHORTEST.replace("\n", "\r\n").encode())
    assert goal_module.load(path).body == "Make the tests pass."


def test_workspace_may_be_a_text_and_starts_at_the_goal_file(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    assert read(tmp_path, with_front("models: {main: manual:m}\nworkspace: repo")).workspace.path == tmp_path / "repo"


def test_another_workspace_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert read(tmp_path, SHORTEST, workspace=tmp_path / "other").workspace.path == tmp_path / "other"
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path, SHORTEST, workspace=tmp_path / "absent")


def test_models_can_be_changed_from_the_command_line(tmp_path: Path) -> None:
    front = with_front(
        "models: {main: manual:a, small: manual:b}\nteam: {roles: {scout: {model: small}, dev: {model: small}}}"
    )
    goal = read(tmp_path, front, models=["openai:x@http://127.0.0.1:1/v1"])
    assert goal.models["main"].base_url == "http://127.0.0.1:1/v1"
    goal = read(tmp_path, front, models=["scout=openai:y"])
    assert goal.team.roles["scout"].model == "scout" and goal.models["scout"].model == "y"
    assert goal.team.roles["dev"].model == "small"
    assert read(tmp_path, front, models=["small=google:g"]).models["small"].provider == "google"
    assert read(tmp_path, front, models=["dev=main"]).team.roles["dev"].model == "main"
    with pytest.raises(InputError, match="no role or model 'scuot'; did you mean 'scout'"):
        read(tmp_path, front, models=["scuot=openai:y"])


def test_a_goal_without_models_takes_the_one_of_the_command_line(tmp_path: Path) -> None:
    goal = read(tmp_path, with_front("limits: {usd: 1}"), models=["openai:x"])
    assert goal.models["main"].spec == "openai:x"
    with pytest.raises(InputError, match=r"GOAL\.md:2: no model: write"):
        read(tmp_path, with_front("limits: {usd: 1}"))


def test_a_spec_may_hold_colons_and_at_signs(tmp_path: Path) -> None:
    spec = parse_spec("m", "openai:qwen3:8b@q4@http://127.0.0.1:8080/v1", tmp_path)
    assert (spec.model, spec.base_url) == ("qwen3:8b@q4", "http://127.0.0.1:8080/v1")
    assert parse_spec("m", "manual:box", tmp_path).model == str(tmp_path / "box")
    assert PROVIDERS[0] == "anthropic"


def test_a_number_that_a_check_prints_is_the_last_one_or_the_pattern() -> None:
    assert PassRule(at_least=600).passes(1, "of 652\n603 passed\n610")
    assert not PassRule(at_least=600).passes(0, "nothing here")
    assert PassRule(at_least=600, pattern=r"passed: (\d+)").passes(1, "passed: 12\npassed: 601 of 652")
    assert not PassRule(at_least=600, pattern=r"passed: (\d+)").passes(0, "601 of 652")
    assert not PassRule(at_least=1, exit=0).passes(1, "5")
    assert PassRule(at_most=0.5).passes(0, "loss 4.9e-1") and PassRule(at_least=1000).passes(0, "1,024")
    assert PassRule(exit=3).passes(3, "") and not PassRule(exit=3).passes(0, "")


def test_durations_and_token_counts() -> None:
    assert [seconds(text) for text in ("90", "60s", "1.5h", "1h30m", "2d")] == [90, 60, 5400, 5400, 172800]
    assert [seconds(text) for text in ("", "5x", "-1", "1:30", "m", "1 m")] == [None] * 6
    assert [tokens(text) for text in ("200k", "1.5M", "200_000", "1e6", "0.5", "x")] == [
        200_000, 1_500_000, 200_000, 1_000_000, None, None,
    ]  # fmt: skip


@given(st.text(alphabet=st.sampled_from("abm:{}[]-\n ,'\"#&*!|>%@`~?1.\t\x00é")))
def test_no_front_matter_brings_anything_but_a_goal_or_an_input_error(front: str) -> None:
    try:
        goal_module.parse(with_front(front), Path(__file__), models=["openai:x"])
    except InputError as error:
        assert all(line.split(":")[1].isdigit() for line in str(error).splitlines())


def test_the_json_schema_in_the_docs_is_current() -> None:
    docs = Path(__file__).parents[2] / "docs" / "reference" / "goal.schema.json"
    current = json.loads(json.dumps(goal_module.json_schema()))
    assert json.loads(docs.read_text()) == current, "run: outlay goal schema > docs/reference/goal.schema.json"


def test_the_goal_files_in_the_docs_are_right(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "reference" / "goal.md").read_text()
    examples = [block.split("```")[0] for block in docs.split("```goal\n")[1:]]
    assert len(examples) == 2
    for example in examples:
        assert read(tmp_path, example).warnings == ()
