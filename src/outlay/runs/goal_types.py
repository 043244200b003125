"""What a goal file says, resolved: every default filled in, every path absolute, every name known to exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from outlay.agents.context.settings import Handoff
from outlay.agents.delegation import Delegation
from outlay.agents.watch.settings import Breakers
from outlay.agents.written import Count, Spawns, Tokens, UsdPico
from outlay.agents.written import Seconds as Seconds
from outlay.runs.notify import Notify
from outlay.teams.team import NextTier as NextTier
from outlay.teams.team import Shape as Shape
from outlay.teams.team import Team as Team

Provider = Literal[
    "anthropic", "openai", "openai-chat", "openai-responses", "google", "recorded", "manual",
    "claude-code", "codex", "opencode", "gemini-cli", "acp",
]  # fmt: skip
"""Who is asked: a model API, a recording, a person, or another agent that is driven (the second line)."""
Reasoning = Literal["", "low", "medium", "high"]
Deliver = Literal["success", "always", "never"]
LeastSandbox = Literal["strict", "vm"]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An own price of a model, USD per million tokens. A class that is not named has no price of its own."""

    input: Annotated[float, Meta(ge=0, description="Fresh input, USD per million tokens.")]
    output: Annotated[float, Meta(ge=0, description="Output, reasoning included, USD per million tokens.")]
    cache_read: Annotated[float | None, Meta(description="Input read from a cache.")] = None
    cache_write_5m: Annotated[float | None, Meta(description="Input written to a cache for five minutes.")] = None
    cache_write_1h: Annotated[float | None, Meta(description="Input written to a cache for one hour.")] = None


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the goal."""

    name: str
    """The name that the goal gives it; roles and menus use it."""
    spec: str
    """As written: `provider:model[@base_url]`."""
    provider: Provider
    model: str
    """The provider's own model id; for `recorded` and `manual` the absolute path of the file or folder; for
    another agent the model that it is to use."""
    base_url: str | None = None
    window: int | None = None
    """Size of the context window in tokens; None: as the price book knows it."""
    price: Price | None = None
    max_output: int | None = None
    """Most tokens that one call may generate; None: the default of the loop."""
    fallback: tuple[str, ...] = ()
    """Names of models to turn to, in order, when this one keeps failing."""
    reasoning: Reasoning = ""
    key_env: str | None = None
    """Environment variable that holds the key; None: the provider's usual one."""


class PassRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a check passes: by its exit code, or by a number it prints. With a bound on the number the exit code
    counts only if `exit` is given too."""

    exit: Annotated[
        int | None, Meta(description="Exit code that passes. Default 0, or any when a number is asked.")
    ] = None
    at_least: Annotated[float | None, Meta(description="The printed number must not be below this.")] = None
    at_most: Annotated[float | None, Meta(description="The printed number must not be above this.")] = None
    pattern: Annotated[
        str | None,
        Meta(description="Regular expression whose first group (or whole match) is the number; its last match counts."),
    ] = None

    @property
    def wants_number(self) -> bool:
        """Whether the rule looks at a printed number."""
        return self.at_least is not None or self.at_most is not None

    def number(self, output: str) -> float | None:
        """The number that `output` reports: the last match of `pattern`, or the last number printed; None if absent."""
        if self.pattern is None:
            found = _NUMBER.findall(output)
        else:
            found = [m.group(1) if m.re.groups else m.group() for m in re.finditer(self.pattern, output, re.MULTILINE)]
        try:
            return float(found[-1].replace(",", "")) if found else None
        except (ValueError, AttributeError):
            return None

    def passes(self, exit_code: int, output: str) -> bool:
        """Whether a command that ended by itself with `exit_code` and printed `output` passed."""
        wanted = 0 if self.exit is None and not self.wants_number else self.exit
        if wanted is not None and exit_code != wanted:
            return False
        if not self.wants_number:
            return True
        value = self.number(output)
        return value is not None and (
            (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        parts = [f"exit {self.exit or 0}"] if self.exit is not None or not self.wants_number else []
        parts += [f"at least {self.at_least:g}"] if self.at_least is not None else []
        parts += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(parts)


_NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An acceptance command. A run succeeds only when all its checks pass."""

    name: Annotated[str, Meta(description="Short name, unique in the goal.")]
    command: Annotated[str, Meta(description="Shell command, run in the sandbox at the top of the workspace.")]
    timeout_s: Annotated[Seconds, Meta(description="Longest time it may take.")] = field(default=600.0, name="timeout")
    rule: Annotated[PassRule, Meta(description="When it passes.")] = field(default=PassRule(), name="pass")


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of checks that must pass before the next is looked at."""

    name: Annotated[str, Meta(description="The milestone, unique in the goal.")]
    checks: Annotated[tuple[str, ...], Meta(description="Names of its checks.")]


class SessionLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on one session. None: no bound."""

    usd_pico: Annotated[UsdPico | None, Meta(description="Most money, USD.")] = field(default=None, name="usd")
    net_tokens: Annotated[Tokens | None, Meta(description="Most net tokens (fresh input + cache writes + output).")] = (
        None
    )
    turns: Annotated[Count | None, Meta(description="Most turns (model calls that were answered).")] = None
    output_tokens: Annotated[Tokens | None, Meta(description="Most output tokens: all that is generated.")] = None
    wall_s: Annotated[Seconds | None, Meta(description="Longest wall time.")] = field(default=None, name="wall")
    spawns: Annotated[Spawns | None, Meta(description="Most subagents that one session may start.")] = None


class SharedLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on what several sessions use together. None: no bound."""

    usd_pico: Annotated[UsdPico | None, Meta(description="Most money, USD.")] = field(default=None, name="usd")
    net_tokens: Annotated[Tokens | None, Meta(description="Most net tokens (fresh input + cache writes + output).")] = (
        None
    )
    turns: Annotated[Count | None, Meta(description="Most turns (model calls that were answered).")] = None
    output_tokens: Annotated[Tokens | None, Meta(description="Most output tokens: all that is generated.")] = None

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return any(bound is not None for bound in (self.usd_pico, self.net_tokens, self.turns, self.output_tokens))


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on a run, all its sessions together. None: no bound."""

    usd_pico: Annotated[UsdPico | None, Meta(description="Most money, USD.")] = field(default=None, name="usd")
    net_tokens: Annotated[Tokens | None, Meta(description="Most net tokens (fresh input + cache writes + output).")] = (
        None
    )
    turns: Annotated[Count | None, Meta(description="Most turns of all sessions together.")] = None
    output_tokens: Annotated[Tokens | None, Meta(description="Most output tokens: all that is generated.")] = None
    wall_s: Annotated[Seconds | None, Meta(description="Longest wall time, pauses left out.")] = field(
        default=None, name="wall"
    )
    subagents: Annotated[int, Meta(ge=0, description="Most subagents at work at the same time.")] = 8
    depth: Annotated[
        int, Meta(ge=0, description="How deep subagents may start subagents: 1 is only the main agent.")
    ] = 1
    spawns: Annotated[Spawns | None, Meta(description="Most subagents that may be started in all.")] = None
    session: Annotated[
        SessionLimits,
        Meta(
            description="Bounds on every single session; money and tokens of the subagents it starts count as its own."
        ),
    ] = SessionLimits()
    team: Annotated[
        SharedLimits, Meta(description="Bounds on every main agent with all its subagents (a gateway has several).")
    ] = SharedLimits()
    day: Annotated[
        SharedLimits,
        Meta(description="Bounds on all runs of this machine's ledger together, from midnight to midnight."),
    ] = SharedLimits()
    roles: Annotated[
        dict[str, SharedLimits], Meta(description="Bounds on all sessions of a role together, by the role's name.")
    ] = {}
    breakers: Annotated[Breakers, Meta(description="Stop-loss on symptoms.")] = Breakers()

    @property
    def all(self) -> tuple[Limits | SessionLimits | SharedLimits, ...]:
        """Every set of bounds."""
        return (self, self.session, self.team, self.day, *self.roles.values())

    @property
    def in_usd(self) -> bool:
        """Whether money is bounded anywhere, so that every model needs a price."""
        return any(each.usd_pico is not None for each in self.all)

    @property
    def bounded(self) -> bool:
        """Whether anything bounds the whole run."""
        bounds = (self.usd_pico, self.net_tokens, self.turns, self.output_tokens, self.wall_s)
        return any(bound is not None for bound in bounds)


class McpServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server of tools from outside: a command spoken to over its standard input and output, or a URL."""

    command: Annotated[str | None, Meta(description="Program to start.")] = None
    args: Annotated[tuple[str, ...], Meta(description="Its arguments.")] = ()
    env: Annotated[dict[str, str], Meta(description="Its environment.")] = {}
    url: Annotated[str | None, Meta(description="Address of a server that speaks streamable HTTP.")] = None


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the work is done."""

    path: Path
    """Folder or git repository, absolute."""
    exclude: tuple[str, ...] = ()
    """Patterns (as in .gitignore) of what is not copied into sessions."""
    protect: tuple[str, ...] = ()
    """Paths relative to the workspace that agents may not change."""
    hosts: tuple[str, ...] = ()
    """Hosts that commands may reach; empty: no network."""
    deliver: Deliver = "success"
    """When the result is written back to `path`."""
    at: str | None = None
    """Where commands see it besides `/workspace`."""
    sandbox: LeastSandbox = "strict"
    """The weakest sandbox that the run may have; on a machine without it the run does not start."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A goal file, read and resolved."""

    path: Path
    text: str
    """The whole file, as read."""
    name: str
    body: str
    """What is to be achieved."""
    models: dict[str, ModelSpec]
    team: Team
    checks: tuple[Check, ...]
    limits: Limits
    workspace: Workspace
    context: tuple[str, ...] = ()
    """Files to show to the main agent, relative to the workspace."""
    mcp: dict[str, McpServer] = {}
    databases: dict[str, str] = {}
    """Name -> environment variable that holds its URL."""
    skills: tuple[Path, ...] = ()
    """Folders that hold skills."""
    policy: Path | None = None
    gates: tuple[Gate, ...] = ()
    """Milestones in order."""
    delegation: Delegation = Delegation()
    handoff: Handoff = Handoff()
    notify: Notify = Notify()
    warnings: tuple[str, ...] = ()
    """What was read but is doubtful, one line each."""
