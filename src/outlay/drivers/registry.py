"""The agents that can be driven."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from outlay.drivers import acp
from outlay.drivers.types import Agent, Driver

AGENTS: Mapping[str, Agent] = {
    agent.name: agent
    for agent in (
        Agent(
            name="claude-code",
            title="Claude Code",
            program="claude",
            package="@anthropic-ai/claude-code",
            tested="2.1.329",
            provider="anthropic",
            module="outlay.drivers.claude",
            steers=True,
        ),
        Agent(
            name="codex",
            title="Codex",
            program="codex",
            package="@openai/codex",
            tested="0.169.0",
            provider="openai-responses",
            module="outlay.drivers.codex",
        ),
        Agent(
            name="opencode",
            title="OpenCode",
            program="opencode",
            package="opencode-ai",
            tested="1.18.33",
            provider="openai-chat",
            module="outlay.drivers.opencode",
        ),
        Agent(
            name="gemini-cli",
            title="Gemini CLI",
            program="gemini",
            package="@google/gemini-cli",
            tested="0.61.0",
            provider="google",
            module="outlay.drivers.gemini",
        ),
        Agent(
            name="acp",
            title="an ACP agent",
            program="",
            package="",
            tested="",
            provider="openai-chat",
            module="outlay.drivers.acp",
        ),
    )
}


def provider_of(agent: Agent, model: str) -> str:
    """Where an agent's calls go unless the goal says otherwise. model: what the goal file says after the agent."""
    return acp.provider_of(model) if not agent.program else agent.provider


def driver_of(agent: Agent) -> Driver:
    """How this agent is driven; its module is loaded now."""
    driver: Driver = import_module(agent.module).DRIVER
    return driver
