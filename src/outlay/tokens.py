"""Token counters of one call, in the six classes of the glossary, disjoint but for `reasoning`."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one call consumed, in tokens. Counters only, never a price."""

    fresh: int = 0
    """Input read at full price: neither read from nor written to a cache."""
    cache_read: int = 0
    """Input read from the provider's cache."""
    cache_write_5m: int = 0
    """Input written to the provider's cache for five minutes."""
    cache_write_1h: int = 0
    """Input written to the provider's cache for one hour."""
    output: int = 0
    """Everything generated; reasoning is included once."""
    reasoning: int = 0
    """The part of `output` that was reasoning; never added to it."""
    web_searches: int = 0
    """Web searches that the provider ran and bills per request."""

    @property
    def input(self) -> int:
        """The whole request as the model read it: fresh + cache reads + cache writes."""
        return self.fresh + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def net(self) -> int:
        """New work: fresh + cache writes + output."""
        return self.fresh + self.cache_write_5m + self.cache_write_1h + self.output

    @property
    def gross(self) -> int:
        """Net + cache reads."""
        return self.net + self.cache_read

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            fresh=self.fresh + other.fresh,
            cache_read=self.cache_read + other.cache_read,
            cache_write_5m=self.cache_write_5m + other.cache_write_5m,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
            web_searches=self.web_searches + other.web_searches,
        )


ZERO = Usage()
