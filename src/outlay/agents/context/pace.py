"""How a session's context grows and how much of it is found in the cache, from its own answers."""

from __future__ import annotations

from dataclasses import dataclass

FORGET = 0.8
"""What an earlier turn counts, against the turn after it: the share of cache hits follows the last dozen turns."""


@dataclass
class Pace:
    """Counted from `call.result`, live and after a crash."""

    turns: int = 0
    """Answers of the session."""
    chapter: int = 1
    """How many contexts the session has had, the present one included."""
    chapter_turns: int = 0
    """Answers in the present context."""
    chapter_read: int = 0
    """Tokens that its calls read."""
    base_tokens: int = 0
    """What the first call of this context read: its system prompt, tools and first message."""
    context_tokens: int = 0
    """The context after the last answer; 0 when it was changed since."""
    _known: float = 0.0
    _hits: float = 0.0

    def heard(self, input_tokens: int, cache_read: int, output_tokens: int) -> None:
        """An answer came. Nothing is learnt from one without usage but that it came."""
        self.turns += 1
        self.chapter_turns += 1
        if not input_tokens:
            return
        self.chapter_read += input_tokens
        again = min(self.context_tokens, input_tokens)
        self._known = self._known * FORGET + again
        self._hits = self._hits * FORGET + min(cache_read, again)
        self.base_tokens = self.base_tokens or input_tokens
        self.context_tokens = input_tokens + output_tokens

    def cleaned(self) -> None:
        """Something was taken out of the context: the next call finds only a part of it in the cache."""
        self.context_tokens = 0

    def begin(self) -> None:
        """A fresh context begins."""
        self.chapter += 1
        self.chapter_turns = self.chapter_read = self.base_tokens = self.context_tokens = 0

    @property
    def hit_share(self) -> float:
        """Share of what was sent before that came from the cache. 1 while nothing is known."""
        return self._hits / self._known if self._known else 1.0
