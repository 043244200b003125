"""What `outlay goal new` writes: a goal file that works as it stands once the goal is filled in."""

from __future__ import annotations

from outlay.runs.goal_types import Shape

_HEAD = """\
---
# Models by name: provider:model[@base_url]. Providers: anthropic, openai, google; any OpenAI-compatible server
# by its URL, e.g. openai:qwen3@http://127.0.0.1:8080/v1
models:
  main: anthropic:claude-sonnet-5-5
"""

_LEAD_MODELS = """\
  small: anthropic:claude-haiku-4-5
"""

_LEAD_TEAM = """
# The main agent may start these as subagents. A role may also be a file (Markdown with front matter), or the name of
# one in .outlay/agents or .claude/agents.
team:
  shape: lead
  roles:
    scout:
      description: Reads the code and answers questions about it; changes nothing.
      model: small
      tools: [read, glob, grep]
    developer:
      description: Does one well-described piece of work and tests it.
      model: main
      models: [small]          # what it may be started with besides its own model
"""

_PIPELINE = """
# An architect plans, a developer builds, a reviewer accepts or sends back; each begins with a fresh context. A role
# that is left out is built in.
team:
  shape: pipeline
  reviews: 2                 # the reviewer may send the work back so often
  roles:
    architect: {model: main}
    developer: {model: small}
    reviewer: {model: main}
"""

_COUNCIL = """
# Personas discuss, then the chair decides and does it. Models of different vendors disagree more.
team:
  shape: council
  rounds: 2                  # each persona speaks so often
  roles:
    builder: {model: small, description: the simplest thing that reaches the goal}
    skeptic: {model: small, description: what goes wrong or is missing}
    chair: {model: main}
"""

_RELAY = """
# The first tier tries; where the checks fail the next one goes on. It is as good as the checks are.
team:
  shape: relay
  next_tier: continues       # or starts_over: it does not see what the last one did
  roles:
    cheap: {model: small}
    strong: {model: main}
"""

_REST = """
# The run succeeds when all of these pass, run by Outlay in the sandbox.
checks:
  - name: tests
    command: python -m pytest -q
    timeout: 5m
  # - name: score
  #   command: python score.py
  #   pass: {at_least: 600, pattern: 'passed: (\\d+)'}

# Reaching one of these stops the run.
limits:
  usd: 2
  wall: 1h
  # net_tokens: 2M
  # turns: 200
  # subagents: 4               # at the same time
  # session: {usd: 0.50, turns: 60}

workspace:
  path: .
  # exclude: [data/]           # as in .gitignore; sessions do not see it
  # protect: [tests/]          # agents cannot change it
  # hosts: [example.org]          # commands reach no other host; default: none
  # deliver: success           # when the result is written back: success, always, never

# context: [README.md]         # files to show to the main agent
---
"""

_BODY = """\
Make the tests pass.

Say here what is wanted, how it is judged, and what must not change.
"""


_TEAMS: dict[Shape, str] = {"solo": "", "lead": _LEAD_TEAM, "pipeline": _PIPELINE, "council": _COUNCIL, "relay": _RELAY}


def template(shape: Shape = "solo") -> str:
    """The text of a new goal file for a team of this shape."""
    models = _HEAD + ("" if shape == "solo" else _LEAD_MODELS)
    return models + _TEAMS[shape] + _REST + _BODY
