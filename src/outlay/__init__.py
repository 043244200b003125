"""Outlay runs a team of LLM agents on a goal under enforced rules and says what each success cost."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from outlay.service.client import Client as Client


def __getattr__(name: str) -> object:
    """`outlay.Client`, imported only when it is asked for."""
    if name == "Client":
        import importlib

        return importlib.import_module("outlay.service.client").Client
    raise AttributeError(f"module 'outlay' has no attribute {name!r}")
