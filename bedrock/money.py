"""Amounts of money: Decimal all the way, added without rounding, written in plain digits."""

import decimal
from decimal import Decimal

EXACT = decimal.Context(prec=200, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow])


def add(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The exact sum; None stands for an unknown amount and adds nothing."""
    if one is None or other is None:
        return one if other is None else other
    return EXACT.add(one, other)


def text(amount: Decimal | None) -> str | None:
    """Plain digits without an exponent or needless zeros, at least two decimals: 1284.07, 0.50, 0.000003."""
    if amount is None:
        return None
    digits = f"{amount.normalize(EXACT):f}"
    whole, _, rest = digits.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"
