"""What an agent is told when a breaker trips: the symptom with its numbers, and what is asked of it."""

from __future__ import annotations

from outlay.agents.watch.detectors import Numbers

_SYMPTOMS = {
    "rereading": "in the last {turns} turns your context was read {ratio} times for each new token (bound {bound:g})",
    "no_progress": "in {turns} turns no check passed, no file changed and no subagent finished",
    "same_failure": "the same failure came {times} times without a change in approach",
    "same_call": "you made the same call of {tool} with the same arguments {times} times and nothing changed between",
    "polling": "you looked {times} times at subagents that were still at work",
    "silent": "nothing came for {silent_s:g} s",
    "talk": "your last {turns} answers used no tool and took {output_tokens} tokens",
}
_BRIEF = {
    "rereading": "{ratio} reads per token",
    "no_progress": "{turns} turns",
    "same_failure": "{times} times",
    "same_call": "{tool}, {times} times",
    "polling": "{times} looks",
    "silent": "{silent_s:g} s",
    "talk": "{output_tokens:,} tokens",
}
_ASKS = {
    "rereading": "Delegate reading or finish in fewer, larger steps.",
    "no_progress": "Take another way to the goal now: change something, run a check, or finish.",
    "same_failure": "Do not try that again: find out why it fails, then change something else than before.",
    "same_call": "Its result will not change. Take another way.",
    "polling": "Use wait, which returns when they end, or do other work.",
    "silent": "What you were doing was cut off. Take another way.",
    "talk": "Act: call a tool, or finish.",
}


def symptom(breaker: str, numbers: Numbers) -> str:
    """The symptom in a half sentence."""
    return _SYMPTOMS[breaker].format(**numbers)


def brief(breaker: str, numbers: Numbers) -> str:
    """The symptom in a few words, for tables."""
    return _BRIEF[breaker].format(**numbers)


def warning(breaker: str, numbers: Numbers) -> str:
    """The message to the agent."""
    return f"Breaker {breaker}: {symptom(breaker, numbers)}. {_ASKS[breaker]}"
