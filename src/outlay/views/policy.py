"""Policies, shown: faults and warnings, one decision with its reasons, the table of data and models."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.policy.decide import cleared, decide, need_data, need_recipient
from outlay.policy.lint import lint
from outlay.policy.load import load
from outlay.policy.toml_lines import Fault, PolicyError
from outlay.policy.types import Decision, Hop, Policy, Release
from outlay.views.tables import Table, left, markdown

PLACES = (Path("policy.toml"), Path(".outlay/policy.toml"))
"""Where a policy is looked for when none is named."""
WAYS = {"schema": "fact", "human": "ask", "redact": "scrub"}
NOTE = "no: refused. fact, ask, scrub: refused, but a release by schema, by a person, by redaction exists."


def find(path: Path | None) -> Policy:
    """The policy that was named, or the one of this folder. Raises InputError."""
    if path is not None:
        return load(path)
    for place in PLACES:
        if place.exists():
            return load(place)
    raise InputError("no policy.toml here; name one with --policy FILE, or write one: outlay policy init")


# ---- check


class Checked(msgspec.Struct, frozen=True):
    """A policy file, looked through. Without errors there is a policy."""

    file: str
    errors: list[Fault]
    warnings: list[Fault]
    policy: Policy | None = None


def check(path: Path) -> Checked:
    """Read and lint. Raises InputError only when there is no such file."""
    try:
        policy = load(path)
    except PolicyError as error:
        return Checked(str(path), error.faults, [])
    return Checked(str(path), [], lint(policy), policy)


def check_lines(found: Checked) -> Iterator[str]:
    """What was found, a line each, and what the file has when it can be used."""
    for fault in found.errors:
        yield f"{fault.file}:{fault.line}: error: {fault.text}"
    for fault in found.warnings:
        yield f"{fault.file}:{fault.line}: warning: {fault.text}"
    if found.policy is None:
        yield f"{found.file}: {_many(len(found.errors), 'error')}; it cannot be used"
        return
    policy = found.policy
    parts = [
        _many(len(policy.models), "model"), _many(len(policy.tools), "tool"), f"{len(policy.data)} kinds of data",
        _many(len(policy.releases), "release"), _many(len(found.warnings), "warning"),
    ]  # fmt: skip
    yield f"{found.file}: {', '.join(parts)}"


def check_json(found: Checked) -> dict[str, Any]:
    """Errors and warnings with their lines."""
    told = {key: [{"line": f.line, "text": f.text} for f in getattr(found, key)] for key in ("errors", "warnings")}
    return {"file": found.file, "ok": not found.errors, **told}


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# ---- explain


def explain(policy: Policy, data: tuple[str, ...], to: str, purpose: str | None) -> Decision:
    """One decision. Raises InputError for names that the policy does not know."""
    return decide(policy, need_data(policy, data), need_recipient(policy, to).name, purpose)


def explain_json(policy: Policy, decision: Decision) -> dict[str, Any]:
    """The decision; keys are fixed."""
    hops = need_recipient(policy, decision.recipient).hops
    return {
        "allowed": decision.allowed,
        "label": list(decision.label),
        "recipient": decision.recipient,
        "hops": [{**msgspec.to_builtins(hop), "terms": sorted(hop.terms)} for hop in hops],
        "because": [msgspec.to_builtins(why) for why in decision.because],
        "releases": [_release_json(policy.releases[name]) for name in decision.releases],
    }


def _release_json(release: Release) -> dict[str, Any]:
    found: dict[str, Any] = {"name": release.name, "how": release.how, "data": sorted(release.data)}
    if release.how == "schema":
        found["bits"] = round(release.millibits / 1000, 1)
    return {**found, "line": release.line}


def explain_lines(policy: Policy, decision: Decision) -> Iterator[str]:
    """The decision for a terminal."""
    purpose = f", for {decision.purpose}" if decision.purpose else ""
    verdict = "allowed" if decision.allowed else "refused"
    yield f"{verdict:<10}{' + '.join(decision.label)} to {decision.recipient}{purpose}"
    hops = need_recipient(policy, decision.recipient).hops
    yield from _block("hops", [_hop(hop) for hop in hops])
    yield from _block("because", [f"line {why.line}: {why.says}" for why in decision.because])
    if not decision.allowed:
        who = cleared(policy, frozenset(decision.label), decision.purpose)
        both = f"{' and '.join(decision.label)} together: " if len(decision.label) > 1 else ""
        yield from _block("cleared", [both + (", ".join(who) if who else "nobody")])
        ways = [_release(policy.releases[name], policy) for name in decision.releases]
        yield from _block("releases", ways or ["none"])


def _block(label: str, lines: list[str]) -> Iterator[str]:
    width = max(40, shutil.get_terminal_size().columns - 10)
    for line in lines:
        parts = textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
        for part in parts:
            yield f"{label:<10}{part}"
            label = ""


def _hop(hop: Hop) -> str:
    facts = [hop.place, hop.vendor, hop.device, hop.region, *sorted(hop.terms)]
    between = ", on the way" if hop.kind == "via" else ""
    return f"{hop.name} ({', '.join(fact for fact in facts if fact)}{between})"


def _release(release: Release, policy: Policy) -> str:
    data = ", ".join(sorted(release.data))
    if release.how == "schema":
        most = f", {release.max_per_run} times a run" if release.max_per_run else ""
        tells = f"a fact of at most {release.millibits / 1000:.1f} bits{most}"
    elif release.how == "human":
        alone = "denied" if policy.defaults.unattended == "deny" else "waiting"
        tells = f"what a person approves ({alone} when nobody is there)"
    else:
        length = f" of at most {release.max_chars:,} characters" if release.max_chars else ""
        tells = f"a text{length} without {', '.join(release.detectors)}"
    return f"{release.name} (line {release.line}): takes {data} off {tells}"


# ---- matrix


class Cell(msgspec.Struct, frozen=True):
    """Whether one kind of data may go to one recipient; if not, by which releases something of it may."""

    allowed: bool
    releases: tuple[str, ...]
    shown: str


def matrix(policy: Policy, purpose: str | None = None, *, tools: bool = False) -> dict[str, dict[str, Cell]]:
    """Every kind of data, every model (and tool)."""
    recipients = [*policy.models, *(policy.tools if tools else ())]
    return {name: {to: _cell(policy, name, to, purpose) for to in recipients} for name in policy.data}


def _cell(policy: Policy, data: str, to: str, purpose: str | None) -> Cell:
    decision = decide(policy, frozenset((data,)), to, purpose)
    how = {policy.releases[name].how for name in decision.releases}
    ways = ",".join(word for kind, word in WAYS.items() if kind in how)
    return Cell(decision.allowed, decision.releases, "yes" if decision.allowed else ways or "no")


def matrix_tables(rows: dict[str, dict[str, Cell]], width: int) -> list[Table]:
    """The table, in as many parts as a terminal of that width needs."""
    first = min(max([4, *map(len, rows)]), 24)
    widths = {to: max([len(to), *(len(row[to].shown) for row in rows.values())]) for to in next(iter(rows.values()))}
    parts: list[list[str]] = [[]]
    used = first + 2
    for to, wide in widths.items():
        if parts[-1] and used + wide + 2 > width:
            parts.append([])
            used = first + 2
        parts[-1].append(to)
        used += wide + 2
    return [_part(rows, part) for part in parts]


def _part(rows: dict[str, dict[str, Cell]], part: list[str]) -> Table:
    lines = tuple((name, *(row[to].shown for to in part)) for name, row in rows.items())
    return Table("", (left("data", flexible=True), *(left(to) for to in part)), lines)


def matrix_markdown(rows: dict[str, dict[str, Cell]]) -> list[str]:
    """The whole table in Markdown."""
    return list(markdown(_part(rows, list(next(iter(rows.values()))))))


def matrix_json(policy: Policy, rows: dict[str, dict[str, Cell]], purpose: str | None) -> dict[str, Any]:
    """`data` -> recipient -> allowed and releases."""
    cells = {
        name: {to: {"allowed": cell.allowed, "releases": list(cell.releases)} for to, cell in row.items()}
        for name, row in rows.items()
    }
    return {"purpose": policy.purpose if purpose is None else purpose, "data": cells}
