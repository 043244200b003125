"""Which data names each recipient is cleared for, computed once: a check is then whether a label is a subset.

A label may go somewhere exactly when each of its names may, so the names that may are all there is to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from outlay.errors import InputError
from outlay.policy.decide import Kind, decide
from outlay.policy.denial import denial
from outlay.policy.source import label_text
from outlay.policy.toml_lines import nearest
from outlay.policy.types import Label, Policy

STRANGERS = "words of strangers"
"""A name that no policy can give to data (it has spaces): what a tool with `returns = "untrusted"` brought. It travels
as labels do, keeps nothing from a model, and closes tools with effects."""


class Clearance:
    """A policy for quick questions. It does not change; one serves a whole run or gateway."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.unlabelled: Label = frozenset((policy.defaults.unlabelled,))
        self._names: dict[tuple[str, Kind], Label] = {}

    def names(self, recipient: str, kind: Kind = "model") -> Label:
        """The data names that may go to a recipient, all its hops included; empty for one that is not known."""
        found = self._names.get((recipient, kind))
        if found is None:
            fit = (n for n in self.policy.data if decide(self.policy, frozenset((n,)), recipient, kind=kind).allowed)
            found = self._names[recipient, kind] = frozenset((*fit, STRANGERS))
        return found

    def allows(self, label: Label, recipient: str, kind: Kind = "model") -> bool:
        """Whether what carries the label may go to the recipient. An empty label is unlabelled data."""
        return (label or self.unlabelled) <= self.names(recipient, kind)

    def denial(self, label: Label, recipient: str, kind: Kind = "model", origin: str = "") -> str:
        """The refusal in words. `origin`: where the label came from; never the data."""
        names = frozenset(label - {STRANGERS}) or self.unlabelled
        decision = decide(self.policy, names, recipient, kind=kind)
        return denial(self.policy, decision, dict.fromkeys(decision.forbidden, origin) if origin else None)

    def secrets(self, texts: Iterable[str]) -> Label:
        """The names of the secrets that stand in texts, by the policy's patterns; empty when there are none."""
        return frozenset().union(*(label_text(self.policy, text) for text in texts))

    def model(self, names: Iterable[str], url: str) -> str:
        """The policy's name of a model that is known by `names` and called at `url` ("" when it calls nobody).

        Raises InputError when the policy has no such model, or another endpoint for it: it is called there and
        nowhere else.
        """
        names = list(names)
        known = self.policy.models
        name = next((name for name in names if name in known), None)
        if name is None:
            raise InputError(
                f"{self.policy.file}: the policy knows no model {names[0]!r}{nearest(names[0], known)}; "
                "write it under [models]"
            )
        endpoint = known[name].endpoint
        if url and endpoint and not _same_place(endpoint, url):
            raise InputError(f"{self.policy.file}: model {name} is called at {endpoint} and nowhere else, not at {url}")
        return name


def _same_place(endpoint: str, url: str) -> bool:
    """One server, and one path within the other (providers' addresses are written with and without `/v1`)."""
    one, other = urlsplit(endpoint), urlsplit(url)
    if (one.scheme, one.hostname, one.port) != (other.scheme, other.hostname, other.port):
        return False
    short, long = sorted((one.path.strip("/").split("/"), other.path.strip("/").split("/")), key=len)
    return short == [""] or long[: len(short)] == short
