"""Goal files that are wrong: one line for each problem, with the line of the file and what to do."""

from pathlib import Path

import pytest

from outlay.errors import InputError
from outlay.runs.goal import load

MODELS = "models: {main: manual:m}"


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "GOAL.md"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def front(text: str) -> str:
    return f"---\n{MODELS}\n{text}\n---\nDo it.\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            front("team: {roles: {scout: {modle: main}}}"),
            "3: unknown key 'modle' in team.roles.scout; did you mean 'model'?",
        ),
        (front("limit: {usd: 2}"), "3: unknown key 'limit' in the front matter; did you mean 'limits'?"),
        (front("limits: {usd: two}"), "3: limits.usd wants an amount in USD such as 2 or 0.50, has 'two'"),
        (front("limits: {usd: -1}"), "3: limits.usd must be at least 0, is -1"),
        (front("limits: {turns: 1.5}"), "3: limits.turns wants a whole number, has '1.5'"),
        (front("limits: {turns: '60'}"), "3: limits.turns wants a whole number, has '60' (write it without quotes)"),
        (front("limits: {wall: 0}"), "3: limits.wall must be more than 0"),
        (front('policy: "a\\0b"'), "3: policy holds the character '\\x00', which has no place in it"),
        (front("policy: ~nobody-of-that-name/p"), "3: no policy file ~nobody-of-that-name/p in {folder}"),
        (
            front('checks: [{name: "a\\nb", command: x}]'),
            "3: 'a\\nb' is no name: one line of at most 60 characters",
        ),
        (front("limits: {turns: 0}"), "3: limits.turns must be at least 1, is 0"),
        (front("limits: {wall: 2 hours}"), "3: limits.wall wants a duration such as 90, 60s, 5m or 2h, has '2 hours'"),
        (
            front("limits: [usd]"),
            "3: limits wants keys (usd, net_tokens, turns, output_tokens, wall, subagents, depth, spawns, session, "
            "team, day, roles, breakers), has a list",
        ),
        (
            front("limits: {breakers: {same_cal: off}}"),
            "3: unknown key 'same_cal' in limits.breakers; did you mean 'same_call'?",
        ),
        (front("limits: {roles: {worker: {usd: 1}}}"), "3: no role 'worker' to limit; known: main"),
        (front("context: README.md"), "3: context wants a list, has 'README.md'; write [README.md]"),
        (front("context: [README.md]"), "3: no file README.md in the workspace {folder}"),
        (front("context: [../x]"), "3: '../x' must be a path inside the workspace, written from its top"),
        (front("policy: p.yaml"), "3: no policy file p.yaml in {folder}"),
        (front("skills: [s]"), "3: no skills folder s in {folder}"),
        (front("workspace: {path: w}"), "3: the workspace {folder}/w does not exist"),
        (front("workspace: {deliver: sucess}"), "3: workspace.deliver is 'sucess'; did you mean 'success'?"),
        (
            front("workspace: {hosts: [https://example.org]}"),
            "3: 'https://example.org' is no host name; write e.g. example.org (no scheme, no path)",
        ),
        (front("checks: [{name: a}]"), "3: 'command' is missing in checks[0]"),
        (front("checks:\n- {name: a, command: b}\n- {name: a, command: c}"), "5: a second check 'a'"),
        (
            front("checks: [{name: a, command: b, timeout: 5x}]"),
            "3: checks[0].timeout wants a duration such as 90, 60s, 5m or 2h, has '5x'",
        ),
        (
            front("checks: [{name: a, command: b, pass: {pattern: x}}]"),
            "3: a pattern needs a bound beside it: at_least or at_most",
        ),
        (
            front("checks: [{name: a, command: b, pass: {pattern: '(', at_least: 1}}]"),
            "3: the pattern is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        (front("team: {roles: {a: {model: mian}}}"), "3: unknown model 'mian' in role 'a'; did you mean 'main'?"),
        (front("team: {roles: {a: {models: [big]}}}"), "3: unknown model 'big' in role 'a'; known: main"),
        (front("team: {roles: {a: {tools: [reed]}}}"), "3: unknown tool 'reed' in role 'a'; did you mean 'read'?"),
        (front("team: {roles: [{name: a}, {name: a}]}"), "3: a second role 'a'"),
        (front("team: {roles: [{prompt: x}]}"), "3: a role without 'name'"),
        (front("team: {roles: [roles/a.md]}"), "3: no role file roles/a.md in {folder}"),
        (front("team: {main: boss, roles: {bos: {}}}"), "3: no role 'boss' for team.main; did you mean 'bos'?"),
        (front("team: {shape: leed}"), "3: team.shape is 'leed'; did you mean 'lead'?"),
        (front("mcp: {a: {args: [x]}}"), "3: the server 'a' needs either 'command' or 'url'"),
        (front("models: {main: manual:x}"), "3: 'models' stands twice in the front matter"),
        (front("a: b: c"), "3: not YAML: mapping values are not allowed here; put a text that holds `: ` in quotes"),
        (front("limits:\n\tusd: 2"), "4: indented with a tab; YAML wants spaces"),
        (front("limits: {usd: 2"), "3: not YAML: expected ',' or '}', but got the end"),
        (
            "---\nmodels: {main: claude-sonnet-5-5}\n---\nx",
            "2: model 'main': no provider in 'claude-sonnet-5-5'; did you mean 'anthropic:claude-sonnet-5-5'?",
        ),
        (
            "---\nmodels: {main: antropic:x}\n---\nx",
            "2: model 'main': unknown provider 'antropic'; did you mean 'anthropic'?",
        ),
        (
            "---\nmodels:\n  a: manual:x\n  b: {spec: manual:x, fallback: [c]}\n---\nx",
            "4: model 'b' has an unknown fallback 'c'; known: a",
        ),
        ("---\nmodels: {main: recorded:r.jsonl}\n---\nx", "2: model 'main': no recording at {folder}/r.jsonl"),
        ("Do it.\n", "1: no front matter: the first line must be `---`; `outlay goal new` writes a template"),
        ("---\nmodels: {}\n", "1: the front matter has no end: a line `---` is missing after it"),
        (f"---\n{MODELS}\n---\n\n", "4: no goal: the text after the front matter is empty; say what is wanted"),
        (f"---\n{MODELS}\n---\nnaïve\n".encode("latin-1"), "4: not UTF-8 (byte 0xef); save the file as UTF-8"),
    ],
)  # fmt: skip
def test_a_broken_goal_file_is_one_line_that_says_what_to_do(tmp_path: Path, text: str | bytes, wanted: str) -> None:
    assert problems(tmp_path, text) == [wanted.replace("{folder}", str(tmp_path))]


def test_all_problems_are_told_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        front("limits: {usd: x, trun: 1}\nchecks:\n- {name: a}\n- {name: b, command: c, pass: {exit: no}}\npolicy: p"),
    )
    assert [int(line.split(":")[0]) for line in found] == [3, 3, 5, 6, 7]


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="outlay goal new"):
        load(tmp_path / "GOAL.md")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        load(tmp_path)
