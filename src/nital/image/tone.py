"""Tone: the grey level of a colour micrograph, along the colours that it differs in most.

Tint etching gives constituents that differ in hue and hardly in luminance. The grey level of a
colour micrograph is therefore taken along the first principal axis of its colours. That of a grey
micrograph is its luminance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.image.micrograph import LUMINANCE, luminance


@dataclass(frozen=True)
class Tone:
    """How a colour becomes a grey level."""

    weights: tuple[float, float, float]
    """Of red, green and blue; their absolute values add up to 1."""

    def grey(
        self, pixels: NDArray[np.float32], light: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The grey level of colours, (..., 3) -> (...), under this light; in [0, 1] if they are.

        A negative weight counts how much of that colour is missing.
        """
        weights = np.array(self.weights, np.float32)
        grey = luminance(pixels) if self == GREY else pixels @ weights
        if light is not None:
            grey = grey / light
        return grey + np.float32(-weights[weights < 0].sum())


GREY = Tone(LUMINANCE)
"""That of grey micrographs: the luminance."""


def scatter(colours: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scatter of colours, (n, 3), about their mean, over their number: (3, 3); 0 if grey."""
    grey = colours[:, :1]
    if not len(colours) or (colours == grey).all():
        return np.zeros((3, 3))
    centred = colours - colours.mean(axis=0, dtype=np.float64)
    found: NDArray[np.float64] = centred.T @ centred / len(colours)
    return found


def tone_of(scatter: NDArray[np.float64]) -> Tone:
    """The tone for colours of this scatter; zeros: of grey."""
    if not scatter.any():
        return GREY
    axis = np.linalg.eigh(scatter)[1][:, -1]
    if axis @ LUMINANCE < 0:
        axis = -axis
    axis = axis / np.abs(axis).sum()
    return Tone((float(axis[0]), float(axis[1]), float(axis[2])))
