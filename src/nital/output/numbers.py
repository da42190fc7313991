"""Formatting numbers for readers."""

import math


def percent(share: float, uncertainty: float | None = None) -> str:
    """Format a share of 1 in per cent; a small one is never rounded to zero.

    >>> percent(0.4167), percent(0.4167, 0.0031), percent(0.00001)
    ('41.67 %', '41.67 % ± 0.31 %', '<0.01 %')
    """
    if uncertainty is not None:
        return f"{percent(share)} ± {percent(uncertainty)}"
    return "<0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"


def quantity(value: float | None, digits: int = 3) -> str:
    """Format a value to `digits` significant digits without an exponent; None becomes –.

    >>> quantity(12345.6), quantity(0.00123456), quantity(9.999), quantity(None)
    ('12,300', '0.00123', '10.0', '–')
    """
    if value is None:
        return "–"
    rounded = float(f"{value:.{digits}g}")
    if not rounded:
        return "0"
    return f"{rounded:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"
