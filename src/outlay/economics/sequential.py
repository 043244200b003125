"""Looking at an experiment before it ends, without fooling oneself: O'Brien-Fleming boundaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from outlay.economics.intervals import normal_quantile
from outlay.errors import InputError

_GRID = 401
"""Points of the grid on which the running score is integrated; boundaries are then good to about 1e-4."""


def spent(information: float, alpha: float = 0.05) -> float:
    """False-positive chance used up at that share (0 to 1) of the planned data, on both sides together.

    Lan and DeMets (1983) after O'Brien and Fleming: 2 - 2 Phi(z / sqrt(t)) on each side, z the quantile of alpha / 4.
    """
    return 2 * math.erfc(normal_quantile(1 - alpha / 4) / math.sqrt(information) / math.sqrt(2))


def boundaries(looks: int | Sequence[float], alpha: float = 0.05) -> list[float]:
    """|z| from which a comparison may stop at each look, so that all looks together err with probability `alpha`.

    `looks`: their number, evenly spaced, or the shares of the planned data at which they happen (rising, to 1).
    """
    shares = [(i + 1) / looks for i in range(looks)] if isinstance(looks, int) else list(looks)
    if not shares or any(b <= a for a, b in zip([0.0, *shares], shares, strict=False)) or shares[-1] > 1:
        raise InputError("looks lie at rising shares of the planned data, above 0 and at most 1")
    import numpy as np

    bounds: list[float] = []
    grid: Any = np.zeros(0)
    density: Any = grid
    past = 0.0
    for share in shares:
        step = share - past
        due = spent(share, alpha) - (spent(past, alpha) if past else 0.0)
        bound = _root(partial(_beyond, grid, density, share, step), due)
        bounds.append(bound)
        points = np.linspace(-bound * math.sqrt(share), bound * math.sqrt(share), _GRID)
        if past:
            apart = points[:, None] - grid[None, :]
            density = np.trapezoid(np.exp(-(apart**2) / (2 * step)) * density[None, :], grid, axis=1)
            density /= math.sqrt(2 * math.pi * step)
        else:
            density = np.exp(-(points**2) / (2 * share)) / math.sqrt(2 * math.pi * share)
        grid, past = points, share
    return bounds


def _beyond(grid: Any, density: Any, share: float, step: float, z: float) -> float:
    """The chance to have gone on until now and to be at or beyond +-z at this look."""
    import numpy as np
    from scipy.special import erfc

    if not len(grid):
        return math.erfc(z / math.sqrt(2))
    edge, reach = z * math.sqrt(share), math.sqrt(2 * step)
    out = (erfc((edge - grid) / reach) + erfc((edge + grid) / reach)) / 2
    return float(np.trapezoid(density * out, grid))


def _root(falling: Callable[[float], float], due: float) -> float:
    """The z at which a falling function equals `due`, by bisection between 0 and 12."""
    low, high = 0.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > due:
            low = middle
        else:
            high = middle
    return (low + high) / 2
