"""A team: its roles and the shape in which they work."""

from __future__ import annotations

from typing import Literal

import msgspec

from outlay.agents.role import Role

Shape = Literal["solo", "lead", "pipeline", "council", "relay"]
NextTier = Literal["continues", "starts_over"]
CONDUCTED: frozenset[Shape] = frozenset({"pipeline", "council", "relay"})
"""Shapes whose main session thinks nothing: code of ours opens the sessions of its roles in turn."""


class Team(msgspec.Struct, frozen=True):
    """The roles and the shape in which they work."""

    shape: Shape
    main: str
    """Name of the role whose work the checks judge: the main agent's; of a conducted team the developer, the chair,
    the last tier."""
    roles: dict[str, Role]
    reviews: int = 2
    """`pipeline`: how often at most the reviewer may send the work back."""
    rounds: int = 2
    """`council`: how often each persona speaks."""
    next_tier: NextTier = "continues"
    """`relay`: whether a tier goes on with the work of the one before it, or from the beginning."""

    @property
    def conducted(self) -> bool:
        return self.shape in CONDUCTED

    @property
    def subagents(self) -> tuple[Role, ...]:
        """The roles that the main agent may start; none but in shape `lead`."""
        return tuple(role for role in self.roles.values() if role.name != self.main) if self.shape == "lead" else ()

    @property
    def in_play(self) -> tuple[Role, ...]:
        """The roles that may work, the one that is judged first."""
        main = self.roles[self.main]
        others = tuple(role for role in self.roles.values() if role.name != self.main)
        return (main, *(others if self.conducted else self.subagents))

    @property
    def main_role(self) -> Role:
        """Role of the main session. In a conducted team it has no tools and is never asked to think."""
        main = self.roles[self.main]
        return Role(name=self.shape, model=main.model) if self.conducted else main
