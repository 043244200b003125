"""Ready policies: files that come with Outlay, to start from."""

from __future__ import annotations

from importlib import resources

from outlay.errors import InputError
from outlay.policy.toml_lines import nearest

READY = {
    "private": "privacy by default: everything stays on this device unless you name it",
    "local-only": "nothing leaves this device: no cloud model, no tool that carries data out",
    "one-vendor-health": "one vendor is trusted with health data, others only with what is not special",
    "enterprise-onprem": "company data stays with the model in your own rooms; clouds get public text and facts",
}
"""Name -> what it is."""


def ready(name: str) -> str:
    """The text of a ready policy. Raises InputError with the nearest name."""
    if name not in READY:
        raise InputError(f"no ready policy {name!r}{nearest(name, READY)}")
    return resources.files("outlay.policy").joinpath("ready", f"{name}.toml").read_text(encoding="utf-8")
