"""Releases: the only ways in which a name comes off a label. Each gives the released bytes, or says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from outlay.errors import InputError
from outlay.policy import detectors, fact
from outlay.policy.decide import need_recipient, purpose_fits, release_fits
from outlay.policy.source import label_text
from outlay.policy.types import Label, Policy, Release


class Spent(msgspec.Struct, frozen=True):
    """What a run has released so far."""

    millibits: int = 0
    """Sum over all schema releases, in thousandths of a bit."""
    uses: dict[str, int] = {}
    """Times that each release was used."""
    approvals: frozenset[str] = frozenset()
    """Ids of the approvals that were used up."""


class Approval(msgspec.Struct, frozen=True):
    """A person's consent to hand over exactly these bytes, once, to one recipient."""

    id: str
    release: str
    sha256: str
    """Of the bytes that the person saw, in hexadecimal."""
    to: str


class Released(msgspec.Struct, frozen=True):
    """What comes out of a release."""

    content: bytes
    label: Label
    """The label without the names that came off. Empty: unlabelled data from now on."""
    to: str
    """The only recipient for whom the names are off; empty: for everybody."""
    spent: Spent


def ask(release: Release, content: bytes, to: str, id: str) -> Approval:
    """The approval that a person has to give for these bytes; it holds their hash, not them."""
    return Approval(id, release.name, hashlib.sha256(content).hexdigest(), to)


def release_fact(
    policy: Policy, name: str, text: str | bytes, label: Label, spent: Spent, purpose: str | None = None
) -> Released:
    """Let a fact out. Raises InputError when it does not fit the schema or the bits of the run are used up."""
    release = _need(policy, name, "schema", label, spent)
    if not purpose_fits(policy, release, policy.purpose if purpose is None else purpose):
        raise InputError(f"release {name} (line {release.line}): not for this purpose")
    assert release.schema is not None
    budget = policy.defaults.leak_bits_per_run
    if spent.millibits + release.millibits > budget * 1000:
        raise InputError(
            f"release {name}: {release.millibits / 1000:.1f} bits more would be above the {budget} bits of a run "
            f"({spent.millibits / 1000:.1f} are used)"
        )
    content = fact.fact(release.schema, text)
    after = _count(spent, release)
    return Released(content, label - release.data, "", after)


def release_approved(
    policy: Policy,
    name: str,
    content: bytes,
    label: Label,
    spent: Spent,
    approval: Approval,
    purpose: str | None = None,
) -> Released:
    """Let out what a person approved: these very bytes, once. Raises InputError for any others."""
    release = _need(policy, name, "human", label, spent)
    _check_fits(policy, release, approval.to, purpose)
    if approval.release != name:
        raise InputError(f"release {name}: the approval {approval.id} is for {approval.release}")
    if approval.id in spent.approvals:
        raise InputError(f"release {name}: the approval {approval.id} was used already")
    if approval.sha256 != hashlib.sha256(content).hexdigest():
        raise InputError(f"release {name}: the content is not what was approved ({approval.id})")
    _no_secret(policy, name, content.decode(errors="replace"))
    after = msgspec.structs.replace(_count(spent, release), approvals=spent.approvals | {approval.id})
    return Released(content, label - release.data, approval.to, after)


def release_redacted(
    policy: Policy, name: str, text: str, label: Label, spent: Spent, to: str, purpose: str | None = None
) -> Released:
    """Let a redacted text out to one recipient. Raises InputError when it may not go there or is too long."""
    release = _need(policy, name, "redact", label, spent)
    _check_fits(policy, release, to, purpose)
    if release.max_chars is not None and len(text) > release.max_chars:
        raise InputError(f"release {name}: {len(text):,} characters, at most {release.max_chars:,} may go")
    _no_secret(policy, name, text)
    content = detectors.redact(text, release.detectors).text.encode()
    return Released(content, label - release.data, to, _count(spent, release))


def _need(policy: Policy, name: str, how: str, label: Label, spent: Spent) -> Release:
    release = policy.releases.get(name)
    if release is None or release.how != how:
        raise InputError(f"the policy has no release {name!r} of the kind {how}")
    if not release.data & label:
        raise InputError(f"release {name} takes {_list(release.data)} off; the label is {_list(label)}")
    if hidden := sorted(n for n in label if _is_secret(policy, n)):
        raise InputError(f"release {name}: the label has {_list(hidden)}, and secrets are never released")
    if release.max_per_run is not None and spent.uses.get(name, 0) >= release.max_per_run:
        raise InputError(f"release {name} was used {release.max_per_run} times, the most in a run")
    return release


def _check_fits(policy: Policy, release: Release, to: str, purpose: str | None) -> None:
    purpose = policy.purpose if purpose is None else purpose
    if not release_fits(policy, release, need_recipient(policy, to), purpose):
        raise InputError(f"release {release.name} (line {release.line}): not for {to}")


def _no_secret(policy: Policy, name: str, text: str) -> None:
    if found := label_text(policy, text):
        raise InputError(f"release {name}: the content holds {_list(found)}, and secrets are never released")


def _is_secret(policy: Policy, name: str) -> bool:
    data = policy.data.get(name)
    return data is None or any(source.kind == "scan" for source in data.sources)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "empty"


def _count(spent: Spent, release: Release) -> Spent:
    uses = {**spent.uses, release.name: spent.uses.get(release.name, 0) + 1}
    return msgspec.structs.replace(spent, millibits=spent.millibits + release.millibits, uses=uses)
