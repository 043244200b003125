"""What of a run's texts may leave in a file: nothing that its policy does not clear for whoever gets the file."""

from __future__ import annotations

from collections.abc import Iterable

from outlay.errors import InputError
from outlay.ledger import Ledger
from outlay.policy.clearance import STRANGERS, Clearance
from outlay.policy.decide import need_recipient
from outlay.policy.load import load_text
from outlay.policy.types import Label, Policy

NAMELESS = "(withheld by the run's policy; name who gets the file with --to)"


class Gate:
    """Lets texts out, or words in their place. Labels only grow within a session, so that what an agent says counts as
    made of all that it had heard."""

    def __init__(self, policy: Policy | None, sealed: bool, to: str | None) -> None:
        self._sealed = sealed
        self._to = to
        self._clearance = None if policy is None else Clearance(policy)
        self._kind = "tool" if policy is None or to not in policy.models else "model"
        self._label: Label = frozenset()
        self._every: Label = frozenset()
        self.withheld = 0

    def begin(self) -> None:
        """A session begins: it has heard nothing."""
        self._label = frozenset()

    def see(self, label: Iterable[str] | None) -> None:
        """Something with this label entered the session."""
        self._label |= frozenset(label or ())
        self._every |= self._label

    def text(self, text: str) -> str:
        """The text, or what stands for it."""
        return self._let(text, self._label)

    def always(self, text: str) -> str:
        """A text of the run as a whole, which may hold something of every session."""
        return self._let(text, self._every)

    def _let(self, text: str, label: Label) -> str:
        if not text or (self._clearance is None and not self._sealed):
            return text
        if self._clearance is None or self._to is None:
            self.withheld += 1
            return NAMELESS
        secret = self._clearance.secrets([text])
        whole = (label - {STRANGERS} or self._clearance.unlabelled) | secret
        forbidden = whole - self._clearance.names(self._to, self._kind)  # type: ignore[arg-type]
        if forbidden:
            self.withheld += 1
            return f"(withheld: {', '.join(sorted(forbidden))} may not go to {self._to})"
        return text


def open_gate(ledger: Ledger, run: str, to: str | None) -> Gate:
    """The gate of a run. Raises InputError for a recipient that its policy does not know, or when it has no policy."""
    loaded = list(ledger.events(f"{run}:policy", types=["policy.loaded"]))
    if not loaded:
        if to is not None:
            raise InputError(f"run {run} has no policy, so --to {to} decides nothing; leave it out")
        return Gate(None, False, None)
    if loaded[-1].payload is None:  # redacted: nobody can say any more what may go where
        return Gate(None, True, None)
    policy = load_text(loaded[-1].payload.decode("utf-8-sig"), f"policy of run {run}")
    if to is not None:
        need_recipient(policy, to)
    return Gate(policy, True, to)
