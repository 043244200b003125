"""Reads a policy file. Everything that is wrong in it is told at once, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from outlay.errors import InputError
from outlay.policy import fact, source, vendors
from outlay.policy.detectors import DETECTORS
from outlay.policy.selector import fits, parse_selector
from outlay.policy.toml_lines import Faults, PolicyError, Table, nearest, parse
from outlay.policy.types import HOW, PLACES, Data, Defaults, Hop, Policy, Recipient, Release, Rule

T = TypeVar("T")
MOST_BYTES = 4_000_000


def load(path: Path) -> Policy:
    """The policy in a file. Raises PolicyError with every fault and its line; InputError when there is no such file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} has more than {MOST_BYTES:,} bytes; that is no policy file")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the policy {path}: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    return load_text(text, str(path))


def load_text(text: str, file: str) -> Policy:
    """The policy in a text; `file` is its name in messages. Raises PolicyError."""
    values, lines = parse(text, file)
    faults = Faults(file)
    top = Table(values, (), lines, faults)
    _version(top)
    policy = Policy(
        purpose=top.text("purpose", ""),
        models=_models(top),
        tools=_tools(top),
        data=_data(top),
        releases=_releases(top),
        defaults=_defaults(top.table("defaults")),
        file=file,
        lines={str(place[0]): line for place, line in lines.items() if len(place) == 1},
    )
    top.finish()
    _names(top, policy)
    faults.raise_if_any()
    return policy


def _version(top: Table) -> None:
    version = top.whole("version", None)
    if version is None:
        top.fault("has no version; write version = 1 at the top")
    elif version != 1:
        top.fault(f"is {version}; this program reads version 1", "version")


def _defaults(table: Table) -> Defaults:
    unlabelled = table.text("unlabelled", None)
    unattended = table.word("unattended", ("deny", "queue"), "deny")
    table.ask("leak_bits_per_run")
    bits = table.values.get("leak_bits_per_run", 256)
    if not isinstance(bits, int) or isinstance(bits, bool) or bits < 0:
        table.fault("wants a whole number of bits", "leak_bits_per_run")
        bits = 256
    table.finish()
    return Defaults(unlabelled, "queue" if unattended == "queue" else "deny", bits)


# ---- models and tools


def _models(top: Table) -> dict[str, Recipient]:
    return {name: _model(name, table) for name, table in top.tables("models").items()}


def _model(name: str, table: Table) -> Recipient:
    hops = _hops(table, _own_hop(table, "model", name))
    endpoint = table.text("endpoint", None)
    if endpoint:
        _check_endpoint(table, endpoint)
    table.finish()
    return Recipient("model", name, hops, endpoint=endpoint, line=table.line())


def _tools(top: Table) -> dict[str, Recipient]:
    return {pattern: _tool(pattern, table) for pattern, table in top.tables("tools").items()}


def _tool(pattern: str, table: Table) -> Recipient:
    hops = _hops(table, _own_hop(table, "tool", pattern))
    returns = table.word("returns", ("trusted", "untrusted"), "trusted")
    effect = table.flag("effect")
    table.finish()
    return Recipient("tool", pattern, hops, effect=effect, untrusted=returns == "untrusted", line=table.line())


def _own_hop(table: Table, kind: Literal["model", "tool"], name: str) -> Hop:
    place = table.word("place", PLACES)
    device = table.text("device", "")
    if device and place != "device":
        table.fault(f'a device has place = "device", not {place!r}', "device")
    vendor = _vendor(table, "self" if place == "device" else None)
    terms = frozenset(text for text, _ in table.texts("terms"))
    return Hop(kind, name, place, vendor, device, table.text("region", ""), terms)


def _vendor(table: Table, default: str | None) -> str:
    vendor = table.text("vendor", default)
    if typo := vendors.typo_of(vendor):
        table.fault(f"is {vendor!r}; did you mean {typo!r}?", "vendor")
    return vendor


def _hops(table: Table, own: Hop) -> tuple[Hop, ...]:
    between = []
    for vendor, line in table.texts("via"):
        if typo := vendors.typo_of(vendor):
            table.fault_at(line, f"via has {vendor!r}; did you mean {typo!r}?")
        between.append(Hop("via", vendor, "cloud", vendor))
    return (own, *between)


def _check_endpoint(table: Table, endpoint: str) -> None:
    try:
        url = urlsplit(endpoint)
        right = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        table.fault(f"is no URL: {endpoint!r}", "endpoint")
        return
    if not right:
        table.fault(f"is no URL of a server: {endpoint!r}; write https://host/path", "endpoint")
    elif url.username or url.password or url.query:
        table.fault("holds a name, a key or a query; keys do not stand in a policy", "endpoint")


# ---- data


def _data(top: Table) -> dict[str, Data]:
    found = {}
    for name, table in top.tables("data").items():
        purposes = frozenset(text for text, _ in table.texts("purposes"))
        if "purposes" in table.values and not purposes:
            table.fault("is empty; leave it out when every purpose is right", "purposes")
        found[name] = Data(
            name,
            sources=_each(table, "from", source.parse_source),
            may_go_to=_rules(table, "may_go_to", required=True),
            never=_rules(table, "never"),
            purposes=purposes,
            line=table.line(),
            may_line=table.line("may_go_to"),
            purposes_line=table.line("purposes"),
        )
        if not name or "," in name or any(char.isspace() for char in name):
            table.fault("is no name for data: no spaces, no commas")
        table.finish()
    return found


def _rules(table: Table, key: str, *, required: bool = False) -> tuple[Rule, ...]:
    rules = _each(table, key, parse_selector, required=required)
    texts: dict[str, Rule] = {}
    for rule in sorted(rules, key=lambda rule: (rule.text, rule.line)):
        if rule.text in texts:
            table.fault_at(rule.line, f"{key} says {rule.text!r} twice")
        texts[rule.text] = rule
    return tuple(texts.values())


def _each(table: Table, key: str, read: Callable[[str, int], T], *, required: bool = False) -> tuple[T, ...]:
    found = []
    for text, line in table.texts(key, required=required):
        try:
            found.append(read(text, line))
        except ValueError as error:
            table.fault_at(line, f"{key}: {error}")
    return tuple(found)


# ---- releases


def _releases(top: Table) -> dict[str, Release]:
    return {name: _release(name, table) for name, table in top.tables("release").items()}


def _release(name: str, table: Table) -> Release:
    data = frozenset(text for text, _ in table.texts("data", required=True))
    if table.values.get("data") == []:
        table.fault("is empty; name the data that comes off", "data")
    how = table.word("how", HOW)
    most = table.whole("max_per_run", None)
    if how == "schema":
        table.ask("schema")
        schema = table.values.get("schema")
        problems: list[str] = []
        fact.check_schema(schema, problems.append)
        for problem in problems:
            table.fault_at(table.line("schema"), problem)
        table.finish()
        good = schema if isinstance(schema, dict) and not problems else None
        bits = fact.millibits(good) if good else 0
        return Release(name, data, "schema", most, good, bits, line=table.line())
    if how == "human":
        table.finish()
        return Release(name, data, "human", most, line=table.line())
    detectors = table.texts("detectors", required=True)
    for detector, line in detectors:
        if detector not in DETECTORS:
            table.fault_at(line, f"no detector {detector!r}{nearest(detector, DETECTORS)}")
    to = _rules(table, "to", required=True)
    for rule in to:
        if rule.text == "any":
            table.fault_at(rule.line, "to: a redacted text goes to somebody named, not to any")
    length = table.whole("max_chars", None)
    table.finish()
    names = tuple(sorted(detector for detector, _ in detectors))
    return Release(name, data, "redact", most, to=to, max_chars=length, detectors=names, line=table.line())


# ---- names that must exist


def _names(top: Table, policy: Policy) -> None:
    if not policy.models:
        top.fault("has no models; write [models]")
    if not policy.data:
        top.fault("has no data; write [data.NAME]")
    unlabelled = policy.defaults.unlabelled
    if unlabelled and unlabelled not in policy.data:
        top.fault(f"is {unlabelled!r}, which is no data{nearest(unlabelled, policy.data)}", "defaults", "unlabelled")
    for name in set(policy.models) & set(policy.tools):
        top.fault(f"{name!r} is a model, too; give the tool another name", "tools", name)
    for release in policy.releases.values():
        _release_names(top, policy, release)
    known = _Known(policy)
    for key, rule in _all_rules(policy):
        for kind, value in rule.terms:
            if problem := known.problem(kind, value):
                top.fault_at(rule.line, f"{key}: {problem}")


def _release_names(top: Table, policy: Policy, release: Release) -> None:
    for name in sorted(release.data):
        if name not in policy.data:
            top.fault(f"no data {name!r}{nearest(name, policy.data)}", "release", release.name, "data")
        elif any(s.kind == "scan" for s in policy.data[name].sources):
            top.fault(f"has {name!r}: secrets are never released", "release", release.name, "data")


def _all_rules(policy: Policy) -> Iterator[tuple[str, Rule]]:
    for data in policy.data.values():
        for rule in data.may_go_to:
            yield f"data.{data.name}.may_go_to", rule
        for rule in data.never:
            yield f"data.{data.name}.never", rule
    for release in policy.releases.values():
        for rule in release.to:
            yield f"release.{release.name}.to", rule


class _Known:
    """What selectors of a policy may name."""

    def __init__(self, policy: Policy) -> None:
        recipients = [*policy.models.values(), *policy.tools.values()]
        hops = [hop for recipient in recipients for hop in recipient.hops]
        self._values: dict[str, Iterable[str]] = {
            "model": policy.models,
            "tool": policy.tools,
            "place": PLACES,
            "vendor": {hop.vendor for hop in hops},
            "device": {hop.device for hop in hops} - {""},
            "region": {hop.region for hop in hops} - {""},
            "term": {term for hop in hops for term in hop.terms},
        }

    def problem(self, kind: str, value: str) -> str:
        """What is wrong with `kind:value`; empty when nothing is."""
        if kind == "any" or value in self._values[kind]:
            return ""
        if kind == "vendor" and value in vendors.KNOWN:
            return ""
        if kind == "tool" and any(fnmatchcase(value, p) or fnmatchcase(p, value) for p in self._values["tool"]):
            return ""
        return f"no {kind} {value!r}{nearest(value, self._values[kind])}"


def matches_nobody(policy: Policy, rule: Rule) -> bool:
    """Whether a rule fits no hop of the file. A rule for one tool of a pattern such as `whoop/*` may."""
    if any(kind == "tool" and value not in policy.tools for kind, value in rule.terms):
        return False
    recipients = [*policy.models.values(), *policy.tools.values()]
    return not any(fits(rule, hop) for recipient in recipients for hop in recipient.hops)


__all__ = ["PolicyError", "load", "load_text", "matches_nobody"]
