"""The policy at the gateway: what a conversation holds, against everybody who would see it, before every attempt.

Other agents have one label for the whole conversation: what was said of their seat, and the secrets that stand in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.gateway.door import Caller
from outlay.gateway.endpoint import Endpoint
from outlay.gateway.passthrough import Asked
from outlay.ledger import Entry
from outlay.policy.clearance import Clearance
from outlay.policy.decide import Kind, need_data
from outlay.policy.types import Label, Policy
from outlay.wires.types import Message, Request, Text


def denied(
    clearance: Clearance, point: str, session: str, label: Label, recipient: str, kind: Kind
) -> tuple[Entry, str]:
    """A denial as an event, and in words. It holds the names of data, and never data."""
    names = clearance.names(recipient, "tool" if kind == "tool" else "model")
    words = clearance.denial(label, recipient, "tool" if kind == "tool" else "model")
    head = {
        "point": point,
        "session": session,
        "recipient": recipient,
        "label": sorted(label),
        "forbidden": sorted(label - names),
    }
    return Entry("policy.denied", head, words.encode()), words


def unknown(error: InputError, session: str, label: Label, model: str) -> tuple[Entry, str]:
    """The denial for a model that the policy does not know."""
    names, words = sorted(label), str(error)
    head = {"point": "model", "session": session, "recipient": model, "label": names, "forbidden": names}
    return Entry("policy.denied", head, words.encode()), words


def recipient(clearance: Clearance, endpoint: Endpoint) -> str:
    """The policy's name of the model at an endpoint. Raises InputError when it has none, or has it elsewhere."""
    return clearance.model([endpoint.name, endpoint.model], "" if endpoint.offline else endpoint.base_url)


def as_request(asked: Asked) -> Request:
    """What another agent sends, as a gate looks at it: all its texts in one message."""
    try:
        texts = list(_texts(msgspec.json.decode(asked.body)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        texts = [asked.body.decode("utf-8", "replace")]
    message = Message("user", (Text("\n".join(texts)),))
    return Request(asked.model, "", (), (message,), asked.max_output_tokens or 0)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


class SeatGate:
    """The gate of a gateway that serves agents by hand: labels by seat, for as long as it serves."""

    def __init__(
        self, policy: Policy, everybody: Label = frozenset(), seats: Mapping[str, Label] | None = None
    ) -> None:
        """everybody: what every session holds; empty is unlabelled data. seats: what those of one name hold besides."""
        self.clearance = Clearance(policy)
        self._everybody = everybody
        self._seats = dict(seats or {})
        self._scans = any(source.kind == "scan" for data in policy.data.values() for source in data.sources)

    def label(self, caller: Caller) -> Label:
        """What a conversation holds: that of its seat, and its subagents' is the same."""
        label = self._everybody | caller.label
        for seat, more in self._seats.items():
            if caller.name == seat or caller.name.startswith((f"{seat}/", f"{seat}-")):
                label |= more
        return label or self.clearance.unlabelled

    def __call__(self, caller: Caller, endpoint: Endpoint, request: Request) -> tuple[Entry, str] | None:
        """None to send it, else the denial as an event and in words."""
        label = self.label(caller)
        if self._scans:
            parts = (part for message in request.messages for part in message.parts)
            label |= self.clearance.secrets(part.text for part in parts if isinstance(part, Text))
        try:
            name = recipient(self.clearance, endpoint)
        except InputError as error:
            return unknown(error, caller.name, label, endpoint.name)
        if label <= self.clearance.names(name):
            return None
        return denied(self.clearance, "model", caller.name, label, name, "model")


def read_labels(policy: Policy, settings: Iterable[str]) -> tuple[Label, dict[str, Label]]:
    """Labels as written: `NAME[,NAME]` for every session, `SEAT=NAME[,NAME]` for those of one seat.

    Raises InputError for data that the policy does not know.
    """
    everybody: Label = frozenset()
    seats: dict[str, Label] = {}
    for setting in settings:
        seat, equals, names = setting.rpartition("=")
        label = need_data(policy, [name.strip() for name in names.split(",") if name.strip()])
        if not label or (equals and not seat):
            raise InputError(f"--label {setting!r} is not NAME or SEAT=NAME, such as health or coach=health,sleep")
        if seat:
            seats[seat] = seats.get(seat, frozenset()) | label
        else:
            everybody |= label
    return everybody, seats
