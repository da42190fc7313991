"""Lengths: the edge of a pixel as written by people and files, in µm."""

import math
import re

from nital.errors import InputError

MICROMETRES = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4}
"""Length of each unit in µm; µ may be the micro sign or the Greek letter."""

LEAST_LENGTH, MOST_LENGTH = 1e-6, 1e6
"""Range of the edge of a pixel in µm, a picometre to a metre; anything else is a mistake."""


def parse_length(text: str) -> float:
    """Convert a number with a unit, such as `0.25um` or `250 nm`, to a length in µm.

    Raises
    ------
    InputError
        If it is not a length, or not between a picometre and a metre.

    Examples
    --------
    >>> parse_length("250nm")
    0.25
    """
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(\D+?)\s*", text)
    unit = MICROMETRES.get(found[2].lower()) if found else None
    try:
        length = float(found[1]) * unit if found and unit else math.nan
    except ValueError:
        length = math.nan
    if not LEAST_LENGTH <= length <= MOST_LENGTH:
        raise InputError(
            f"length {text!r}: not a number with its unit, e.g. 0.25um or 250nm, between 1e-6um"
            " and 1e6um"
        )
    return length
