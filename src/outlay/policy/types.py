"""What a policy says: models, tools, data, releases."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Label = frozenset[str]
"""A set of data names. Joining two labels is their union; a bigger label may go to fewer recipients."""

PLACES = ("cloud", "onprem", "device")
HOW = ("schema", "human", "redact")


class Hop(msgspec.Struct, frozen=True):
    """One party that sees what is sent: the model's or tool's own server, or somebody in between."""

    kind: Literal["model", "tool", "via"]
    name: str
    """Name of the model or tool; of a hop in between its vendor."""
    place: str
    """`cloud`, `onprem` or `device`; a hop in between counts as cloud."""
    vendor: str
    device: str = ""
    region: str = ""
    terms: frozenset[str] = frozenset()
    """What the vendor promised, such as `no-train`. A hop in between promised nothing."""


class Recipient(msgspec.Struct, frozen=True):
    """A model or a tool with everybody who sees what it is sent."""

    kind: Literal["model", "tool"]
    name: str
    hops: tuple[Hop, ...]
    """Itself first, then `via` in the order of the file. Never empty."""
    endpoint: str = ""
    """URL of a model; the only one it may be called at."""
    effect: bool = False
    """A tool that changes the world outside the sandbox."""
    untrusted: bool = False
    """A tool whose results were written by strangers."""
    line: int = 0


class Rule(msgspec.Struct, frozen=True):
    """A selector: every term must fit the hop. Terms are (kind, value), such as `("vendor", "google")`."""

    text: str
    """As a canonical text: `vendor:google & term:no-train`."""
    terms: tuple[tuple[str, str], ...]
    line: int = 0


class Source(msgspec.Struct, frozen=True):
    """Where data comes from: kind `path`, `mcp`, `sql` or `scan`, and a pattern."""

    kind: str
    pattern: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.pattern}"


class Data(msgspec.Struct, frozen=True):
    """One kind of data: what it is and who may see it."""

    name: str
    sources: tuple[Source, ...] = ()
    may_go_to: tuple[Rule, ...] = ()
    never: tuple[Rule, ...] = ()
    """Stands above `may_go_to` and above every release."""
    purposes: frozenset[str] = frozenset()
    """Empty: any purpose."""
    line: int = 0
    may_line: int = 0
    """Line of `may_go_to`, else that of the table."""
    purposes_line: int = 0


class Release(msgspec.Struct, frozen=True):
    """One way in which a label comes off."""

    name: str
    data: frozenset[str]
    """Names that come off; others on the label stay."""
    how: Literal["schema", "human", "redact"]
    max_per_run: int | None = None
    schema: dict[str, Any] | None = None
    """JSON schema of a fact; see `fact`."""
    millibits: int = 0
    """Most that one use of a schema release can tell, in thousandths of a bit."""
    to: tuple[Rule, ...] = ()
    """Recipients of a redacted text."""
    max_chars: int | None = None
    """Longest text that may be redacted, in characters."""
    detectors: tuple[str, ...] = ()
    line: int = 0


class Defaults(msgspec.Struct, frozen=True):
    """What holds where nothing else is said."""

    unlabelled: str
    """The data name of what nobody labelled."""
    unattended: Literal["deny", "queue"] = "deny"
    """What becomes of a release that needs a person while nobody is there."""
    leak_bits_per_run: int = 256
    """Most bits that all schema releases of one run may tell together."""


class Policy(msgspec.Struct, frozen=True):
    """A policy file, understood. The order in which the file says things does not matter."""

    defaults: Defaults
    models: dict[str, Recipient]
    tools: dict[str, Recipient]
    """By pattern, such as `whoop/*`."""
    data: dict[str, Data]
    releases: dict[str, Release]
    purpose: str = ""
    file: str = ""
    lines: dict[str, int] = {}
    """Line of `models`, `tools`, `data`, `defaults`, `purpose`; missing where the file has none."""


class Because(msgspec.Struct, frozen=True):
    """Why one name of a label may, or may not, go to one hop."""

    data: str
    hop: str
    line: int
    """Line of the policy file; 0 for what no line says because the file does not know the name."""
    rule: str
    """The rule as written, such as `may_go_to vendor:google & term:no-train`."""
    says: str
    """One sentence for a person."""


class Decision(msgspec.Struct, frozen=True):
    """Whether a label may go to a recipient for a purpose, and why."""

    allowed: bool
    label: tuple[str, ...]
    """Sorted."""
    recipient: str
    hops: tuple[str, ...]
    because: tuple[Because, ...]
    """Allowed: one for every name and hop. Refused: only what forbids."""
    releases: tuple[str, ...] = ()
    """Names of the releases that would take a forbidden name off for this recipient."""
    purpose: str = ""

    @property
    def forbidden(self) -> frozenset[str]:
        """The names that may not go there."""
        return frozenset() if self.allowed else frozenset(reason.data for reason in self.because)
