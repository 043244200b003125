"""What an agent is told when data may not go where it wants it: everything but the data."""

from __future__ import annotations

from collections.abc import Mapping

from outlay.policy.decide import cleared
from outlay.policy.types import Decision, Policy


def denial(policy: Policy, decision: Decision, origins: Mapping[str, str] | None = None) -> str:
    """The refusal in words: label, origin, reason, who is cleared, which releases exist, do not retry.

    `origins` says of data names where they came from, such as `tool result 7`; it must not hold the data itself.
    """
    origins = origins or {}
    label = ", ".join(f"{name} (from {origins[name]})" if name in origins else name for name in decision.label)
    lines = [f"Refused by the policy: this carries {label}, and may not go to {decision.recipient}."]
    lines += [f"- {why.says}" + (f" (line {why.line})" if why.line else "") for why in decision.because]
    who = cleared(policy, frozenset(decision.label), decision.purpose)
    together = " together" if len(decision.label) > 1 else ""
    names = " and ".join(decision.label)
    lines.append(f"Cleared for {names}{together}: {', '.join(who) if who else 'nobody'}.")
    ways = [f"{name} ({policy.releases[name].how})" for name in decision.releases]
    lines.append(f"Releases: {', '.join(ways) if ways else 'none'}.")
    lines.append("Do not retry, and do not send it another way: the answer stays the same.")
    return "\n".join(lines)
