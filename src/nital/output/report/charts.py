"""Bar charts of area fractions by field."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nital.measure.specimen import Specimen
from nital.output.numbers import percent
from nital.output.report.pages import FieldPage

CHART_SIZE = {"width": 720, "height": 120, "left": 56, "right": 716, "top": 8, "bottom": 102}
"""Size of a chart in pixels, and where its axes begin and end."""

_MOST_LABELS = 24
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)


class Bar(NamedTuple):
    """The bar of a field in a chart."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Area fractions of one phase by field; positions in pixels from the upper left."""

    phase: str
    colour: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[tuple[float, str], ...]
    mean: float
    low: float | None
    high: float | None
    """Ends of the 95 % confidence interval of the mean."""


# --- the chart ------------------------------------------------------------------------------------


def charts(pages: Sequence[FieldPage], specimen: Specimen) -> Iterator[Chart]:
    """Yield one chart per phase: area fraction by field, and the interval of the mean."""
    for phase, colour, found in zip(specimen.phases, pages[0].colours, specimen.areas, strict=True):
        fractions = [page.fraction(phase) for page in pages]
        ci95 = found.ci95
        low, high = (
            (None, None)
            if ci95 is None
            else (max(0.0, found.mean - ci95), min(1.0, found.mean + ci95))
        )
        top = _round_up(max(*fractions, high or 0.0))
        step = (CHART_SIZE["right"] - CHART_SIZE["left"]) / len(pages)
        width = min(0.8 * step, 40)
        every = -(-len(pages) // _MOST_LABELS)
        middles = [CHART_SIZE["left"] + (i + 0.5) * step for i in range(len(pages))]
        yield Chart(
            phase,
            colour,
            bars=tuple(
                Bar(
                    round(middle - width / 2, 2),
                    _place(share, top),
                    round(width, 2),
                    round(_place(0, top) - _place(share, top), 2),
                    f"{page.field.name}: {percent(share)}",
                )
                for middle, share, page in zip(middles, fractions, pages, strict=True)
            ),
            ticks=tuple((_place(v, top), f"{100 * v:g} %") for v in (0, top / 2, top)),
            labels=tuple(
                (round(middle, 2), str(number))
                for number, middle in enumerate(middles, start=1)
                if (number - 1) % every == 0
            ),
            mean=_place(found.mean, top),
            low=None if low is None else _place(low, top),
            high=None if high is None else _place(high, top),
        )


def _place(share: float, top: float) -> float:
    """Return the distance from the upper edge of a chart whose axis runs from 0 to `top`."""
    return round(CHART_SIZE["bottom"] - share / top * (CHART_SIZE["bottom"] - CHART_SIZE["top"]), 2)


def _round_up(share: float) -> float:
    """Return the end of an axis: the next round number not below a share.

    >>> _round_up(0.31), _round_up(0.8), _round_up(0)
    (0.4, 0.8, 0.0001)
    """
    power = 10.0 ** math.floor(math.log10(max(share, 1e-4)))
    return next(n * power for n in _NICE if n * power >= share or n == _NICE[-1])
