"""Outlay runs a team of LLM agents on a goal under enforced rules and says what each success cost."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # typing itself takes longer to import than a status line to print
if TYPE_CHECKING:
    from outlay.service.client import Client as Client


def __getattr__(name: str) -> object:
    """`outlay.Client`, imported only when it is asked for."""
    if name == "Client":
        import importlib

        return importlib.import_module("outlay.service.client").Client
    raise AttributeError(f"module 'outlay' has no attribute {name!r}")
