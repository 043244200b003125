"""Warnings: what a policy says that is allowed but probably not meant."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from outlay.policy import vendors
from outlay.policy.decide import cleared, decide, ways_out
from outlay.policy.load import matches_nobody
from outlay.policy.selector import fits
from outlay.policy.toml_lines import Fault
from outlay.policy.types import Data, Policy, Recipient


def lint(policy: Policy) -> list[Fault]:
    """All warnings, in the order of the file."""
    found = {
        *_unlabelled(policy), *_data(policy), *_rules(policy), *_releases(policy), *_purposes(policy),
        *_models(policy), *_spellings(policy),
    }  # fmt: skip
    return sorted(Fault(policy.file, line, text) for line, text in found)


Found = Iterator[tuple[int, str]]


def _unlabelled(policy: Policy) -> Found:
    data = policy.data[policy.defaults.unlabelled]
    if any(rule.text == "any" for rule in data.may_go_to) and not data.never:
        line = next(rule.line for rule in data.may_go_to if rule.text == "any")
        yield line, f"unlabelled data ({data.name}) may go to any model and tool, send_email-like ones too"
    if not any(decide(policy, frozenset(), name).allowed for name in policy.models):
        yield data.may_line, f"unlabelled data ({data.name}) may go to no model, so no agent can work"


def _fit_purpose(policy: Policy, name: str) -> str:
    """The policy's purpose, or one that the data is for: a wrong purpose has a warning of its own."""
    purposes = policy.data[name].purposes
    return policy.purpose if not purposes or policy.purpose in purposes else min(purposes)


def _may_get(policy: Policy, recipient: str, name: str) -> bool:
    return decide(policy, frozenset((name,)), recipient, _fit_purpose(policy, name)).allowed


def _data(policy: Policy) -> Found:
    for data in policy.data.values():
        if not data.sources and data.name != policy.defaults.unlabelled:
            yield data.line, f"data {data.name} has no `from`, so nothing gets this label"
        if not cleared(policy, frozenset((data.name,)), _fit_purpose(policy, data.name)) and not _secret(data):
            ways = [r.name for r in policy.releases.values() if data.name in r.data]
            tail = f" but by release {', '.join(sorted(ways))}" if ways else ""
            why = "" if data.may_go_to else " (may_go_to is empty)"
            yield data.may_line, f"nobody may see data {data.name}{tail}{why}"
    if not any(_secret(data) for data in policy.data.values()):
        yield 1, 'no data has from = ["scan:secret"], so keys and passwords in texts are not found'


def _secret(data: Data) -> bool:
    return not data.may_go_to and any(source.kind == "scan" for source in data.sources)


def _rules(policy: Policy) -> Found:
    for data in policy.data.values():
        for key, rules in (("may_go_to", data.may_go_to), ("never", data.never)):
            for rule in rules:
                if matches_nobody(policy, rule):
                    yield rule.line, f"data {data.name}: {key} {rule.text!r} fits no model and no tool of this file"
        for rule in data.may_go_to:
            if any(never == rule.terms or set(never) <= set(rule.terms) for never in (n.terms for n in data.never)):
                yield rule.line, f"data {data.name}: may_go_to {rule.text!r} is forbidden by `never`"
            yield from _hops(policy, data, rule.line, [value for kind, value in rule.terms if kind == "model"])


def _hops(policy: Policy, data: Data, line: int, models: Iterable[str]) -> Found:
    for name in models:
        for hop in policy.models[name].hops[1:]:
            if not any(fits(rule, hop) for rule in data.may_go_to):
                yield (
                    line,
                    (
                        f"data {data.name} may go to model {name} but not to {hop.name}, which sees it on the way; "
                        f"allow vendor:{hop.name} or call the model directly"
                    ),
                )


def _releases(policy: Policy) -> Found:
    budget = policy.defaults.leak_bits_per_run * 1000
    for release in policy.releases.values():
        purpose = _fit_purpose(policy, min(release.data))
        bits = release.millibits / 1000
        if release.millibits > budget:
            yield release.line, f"release {release.name} tells up to {bits:.1f} bits, more than a run may"
        elif release.max_per_run and release.millibits * release.max_per_run > budget:
            times = budget // release.millibits
            yield release.line, f"release {release.name}: the bits of a run are used up after {times} uses"
        for rule in release.to:
            if matches_nobody(policy, rule):
                yield rule.line, f"release {release.name}: to {rule.text!r} fits no model and no tool of this file"
        recipients = [*policy.models.values(), *policy.tools.values()]
        if release.how == "redact" and not any(
            release in ways_out(policy, release.data, recipient, purpose) for recipient in recipients
        ):
            yield release.line, f"release {release.name} can be used for nobody (hops, `never` or purposes)"


def _purposes(policy: Policy) -> Found:
    wanted = {purpose for data in policy.data.values() for purpose in data.purposes}
    if policy.purpose and wanted and policy.purpose not in wanted:
        close = difflib.get_close_matches(policy.purpose, wanted, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(wanted))}"
        yield policy.lines.get("purpose", 1), f"no data is for the purpose {policy.purpose!r}{hint}"
    if not policy.purpose:
        for data in policy.data.values():
            if data.purposes:
                wanted_here = ", ".join(sorted(data.purposes))
                yield data.purposes_line, f"data {data.name} is for {wanted_here} only, and the file says no purpose"


def _models(policy: Policy) -> Found:
    for model in policy.models.values():
        if not any(_may_get(policy, model.name, name) for name in policy.data):
            yield model.line, f"model {model.name} may see nothing at all"
        yield from _endpoint(model)
    for tool in policy.tools.values():
        if not any(_may_get(policy, tool.name, name) for name in policy.data):
            yield tool.line, f"tool {tool.name} may be given nothing at all"


def _endpoint(model: Recipient) -> Found:
    own = model.hops[0]
    url = urlsplit(model.endpoint)
    host = url.hostname or ""
    owner = vendors.vendor_of_host(host)
    if own.place != "cloud" and owner is not None:
        yield model.line, f'model {model.name} has place = "{own.place}", and {host} belongs to {owner}'
    elif own.place == "device" and not _local(host):
        yield model.line, f'model {model.name} has place = "device", and {host} is another machine'
    if owner and owner not in {hop.vendor for hop in model.hops}:
        yield model.line, f'model {model.name}: {host} belongs to {owner}, which sees the text; write via = ["{owner}"]'
    if url.scheme == "http" and own.place == "cloud":
        yield model.line, f"model {model.name} is called without encryption (http)"


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _spellings(policy: Policy) -> Found:
    """Terms, regions, devices that are nearly another one's: probably a typo."""
    recipients = [*policy.models.values(), *policy.tools.values()]
    for kind in ("terms", "region", "device", "vendor"):
        seen: dict[str, int] = {}
        for recipient in recipients:
            own = recipient.hops[0]
            values = own.terms if kind == "terms" else {getattr(own, kind)} - {""}
            for value in values:
                close = [other for other in seen if other != value and _near(value, other)]
                if close:
                    told = kind.removesuffix("s")
                    yield recipient.line, f"{recipient.name}: {told} {value!r} looks like {close[0]!r}; is it the same?"
                seen.setdefault(value, recipient.line)


def _near(one: str, other: str) -> bool:
    if one.translate(_NO_DIGITS) == other.translate(_NO_DIGITS):
        return False  # laptop-1 and laptop-2, eu-west1 and eu-west3
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio() > 0.8


_NO_DIGITS = str.maketrans("", "", "0123456789")
