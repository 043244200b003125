"""Money as integers. The unit everywhere is the picodollar: 10**-12 USD (names end in `_pico`)."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from outlay.errors import InputError

PICO_PER_USD = 10**12
PICO_PER_USD_PER_MTOK = 10**6
"""1 USD per million tokens is 1,000,000 picodollars per token."""


def pico(usd: str | int | float | Decimal) -> int:
    """Picodollars of an amount in USD. Floats are read as their shortest decimal text, so 0.1 is exact.

    Raises InputError when it is no number, not finite, or finer than a picodollar.
    """
    try:
        exact = Decimal(str(usd)) * PICO_PER_USD
    except InvalidOperation:
        raise InputError(f"not an amount of money: {usd!r}") from None
    if not exact.is_finite() or exact != exact.to_integral_value():
        raise InputError(f"not an amount of money: {usd!r}")
    return int(exact)


def usd(amount_pico: int) -> Decimal:
    """The exact amount in USD."""
    return Decimal(amount_pico).scaleb(-12)


def show(amount_pico: int | None, *, digits: int | None = None) -> str:
    """`$1.23`, with more digits below a dollar; `unknown` for None."""
    if amount_pico is None:
        return "unknown"
    if digits is None:
        digits = 2 if abs(amount_pico) >= PICO_PER_USD or amount_pico == 0 else 4
    rounded = usd(amount_pico).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    sign = "-" if rounded < 0 else ""
    return f"{sign}${abs(rounded):,}"
