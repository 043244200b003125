"""The one door through which every model call leaves: limits, retries, metering, the ledger."""

from outlay.gateway.budget import Bounds, Budget
from outlay.gateway.door import Caller, Gateway
from outlay.gateway.endpoint import Endpoint

__all__ = ["Bounds", "Budget", "Caller", "Endpoint", "Gateway"]
