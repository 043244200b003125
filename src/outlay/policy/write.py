"""A policy as TOML, in one fixed form: what is read from it is the same policy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from outlay.policy.types import Data, Policy, Recipient, Release, Rule


def write(policy: Policy, head: str = "") -> str:
    """The policy file. `head` is a comment at its top, lines without `#`."""
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    lines.append("version = 1")
    if policy.purpose:
        lines.append(f"purpose = {text(policy.purpose)}")
    defaults = policy.defaults
    lines += [
        "",
        "[defaults]",
        f"unlabelled = {text(defaults.unlabelled)}",
        f"unattended = {text(defaults.unattended)}",
        f"leak_bits_per_run = {defaults.leak_bits_per_run}",
        "",
        "[models]",
        *(_recipient(model) for model in policy.models.values()),
    ]
    for data in policy.data.values():
        lines += ["", *_data(data)]
    if policy.tools:
        lines += ["", "[tools]", *(_recipient(tool) for tool in policy.tools.values())]
    for release in policy.releases.values():
        lines += ["", *_release(release)]
    return "\n".join(lines) + "\n"


def text(value: str) -> str:
    """A TOML string."""
    escaped = re.sub(
        r'[\x00-\x1f\x7f"\\]', lambda m: f"\\u{ord(m[0]):04x}" if m[0] not in '"\\' else "\\" + m[0], value
    )
    return f'"{escaped}"'


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(text(value) for value in values) + "]"


def _value(value: object) -> str:
    """Any value of a schema."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        return text(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _recipient(recipient: Recipient) -> str:
    own, *between = recipient.hops
    parts = [f"place = {text(own.place)}"]
    parts += [f"{key} = {text(value)}" for key in ("device", "vendor", "region") if (value := getattr(own, key))]
    if own.terms:
        parts.append(f"terms = {_list(sorted(own.terms))}")
    if between:
        parts.append(f"via = {_list(hop.vendor for hop in between)}")
    if recipient.endpoint:
        parts.append(f"endpoint = {text(recipient.endpoint)}")
    if recipient.effect:
        parts.append("effect = true")
    if recipient.untrusted:
        parts.append('returns = "untrusted"')
    return f"{_key(recipient.name)} = {{ {', '.join(parts)} }}"


def _data(data: Data) -> Iterator[str]:
    yield f"[data.{_key(data.name)}]"
    if data.sources:
        yield f"from = {_list(map(str, data.sources))}"
    yield f"may_go_to = {_rules(data.may_go_to)}"
    if data.never:
        yield f"never = {_rules(data.never)}"
    if data.purposes:
        yield f"purposes = {_list(sorted(data.purposes))}"


def _rules(rules: Iterable[Rule]) -> str:
    return _list(rule.text for rule in rules)


def _release(release: Release) -> Iterator[str]:
    yield f"[release.{_key(release.name)}]"
    yield f"data = {_list(sorted(release.data))}"
    yield f"how = {text(release.how)}"
    if release.max_per_run is not None:
        yield f"max_per_run = {release.max_per_run}"
    if release.schema is not None:
        yield f"schema = {_value(release.schema)}"
    if release.how == "redact":
        yield f"to = {_rules(release.to)}"
        if release.max_chars is not None:
            yield f"max_chars = {release.max_chars}"
        yield f"detectors = {_list(release.detectors)}"
