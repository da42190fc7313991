"""Likeness of a micrograph to those that a model was fitted to."""

from dataclasses import dataclass

FAR = 2.0
"""A micrograph is far from a model if it deviates this many times more than those fitted to."""

LEAST_SHIFT = 0.4
"""Area fractions differ from field to field: a smaller shift does not count."""


@dataclass(frozen=True)
class Likeness:
    """Deviation of a micrograph from those that a model was fitted to."""

    novelty: float
    """Mean squared distance of its features from the nearest cluster, as a multiple of that of
    the pixels fitted to."""

    shift: float
    """Fraction of its area that is in other clusters than in those fitted to, 0 to 1."""

    usual_novelty: float
    usual_shift: float
    """The largest of each among the micrographs fitted to."""

    @property
    def is_far(self) -> bool:
        """Whether the exposure, the magnification or the material seems to be another."""
        return self.novelty > FAR * self.usual_novelty or self.shift > max(
            FAR * self.usual_shift, LEAST_SHIFT
        )

    @property
    def note(self) -> str:
        """Note on a result whose micrograph is far from the model."""
        return (
            f"unlike the micrographs that the model was fitted to: {self.novelty:.1f} times as far"
            f" from its classes (at most {self.usual_novelty:.1f} for those),"
            f" {100 * self.shift:.0f} % of the area in other clusters (at most"
            f" {100 * self.usual_shift:.0f} %); check exposure and magnification, or fit a model"
            " to such micrographs too"
        )
