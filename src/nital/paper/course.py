"""The record of a training, and the details of a result of paper mode; without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.paper.settings import PaperSettings
from nital.result.segmentation import JoinedDetails, Segmentation

FEW_PIXELS = 4
"""Superpixels smaller than this on average hold no texture; their results carry a note."""


@dataclass(frozen=True)
class Step:
    """Record of one iteration."""

    iteration: int
    """From 1."""

    n_classes: int
    """Number of classes with at least one pixel, counted before the refinement."""

    loss: float
    """Softmax cross-entropy against the refined labels."""

    draw: Callable[[], NDArray[np.int64]] | None = field(default=None, compare=False, repr=False)
    """Returns the labels by the network as it is, at pixels in a grid over the micrograph, or over
    the first of the windows of a large one: (rows, cols), 0 to q - 1, -1 = excluded. Set only
    during a call of `on_step`, else None."""

    weights: Callable[[], NDArray[np.float32]] | None = field(
        default=None, compare=False, repr=False
    )
    """Returns the weights that the network has, (n,). Set as `draw` is."""


@dataclass(frozen=True)
class Training:
    """Record of a training."""

    steps: tuple[Step, ...]
    stop_reason: str
    """What ended it: `n_classes`, `max_iterations`, or `stopped`, by `on_step`."""


@dataclass(frozen=True)
class PaperDetails:
    """Details of a result of paper mode, from its training."""

    training: Training | None = None
    """None for a consensus of several."""

    n_superpixels: int | None = None
    """Number of superpixels from SLIC; for a large image, at the mean size of those found."""

    def summary(self) -> dict[str, Any]:
        """The details, ready for JSON."""
        if self.training is None:
            return {}
        return {
            "n_superpixels": self.n_superpixels,
            "iterations": len(self.training.steps),
            "stop_reason": self.training.stop_reason,
        }

    def as_arrays(self) -> dict[str, Any]:
        """Arrays by name, from which `of_arrays` restores the details; of a single training."""
        assert self.training is not None
        return {
            "n_classes": np.array([step.n_classes for step in self.training.steps]),
            "losses": np.array([step.loss for step in self.training.steps]),
            "stop_reason": np.array(self.training.stop_reason),
            "n_superpixels": np.array(self.n_superpixels),
        }

    @classmethod
    def of_arrays(cls, stored: Mapping[str, NDArray[Any]]) -> "PaperDetails":
        """Restore the details from `as_arrays`."""
        pairs = zip(stored["n_classes"].tolist(), stored["losses"].tolist(), strict=True)
        steps = tuple(Step(i, *each) for i, each in enumerate(pairs, start=1))
        training = Training(steps, str(stored["stop_reason"]))
        return cls(training, int(stored["n_superpixels"]))

    def note_on_number(self, result: Segmentation) -> str:
        """Why the number of classes is not the one asked for."""
        assert isinstance(result.settings, PaperSettings)
        if result.settings.join_from is not None:
            return "training left no more classes with at least 0.1 % of the area each"
        if self.training is None or result.n_classes < int(result.settings.n_classes):
            return "the paper's rule stops at that many or fewer"
        if self.training.stop_reason == "n_classes":
            counted = self.training.steps[-1].n_classes
            where = "" if result.settings.exact else " in the superpixels drawn"
            return (
                f"the paper's rule counted {counted}{where} and then updated the network once more"
            )
        return f"training ended at its limit of {result.settings.max_iterations} iterations"

    def note_on_stop(self, result: Segmentation) -> str:
        """What the result is if the work was stopped."""
        if self.training is None or self.training.stop_reason == "stopped":
            return "stopped before training had ended"
        return JoinedDetails().note_on_stop(result)

    def more_notes(self, result: Segmentation) -> list[str]:
        """Further notes for readers of the figures."""
        if self.n_superpixels is None:
            return []
        assert isinstance(result.settings, PaperSettings)
        n_pixels, asked = result.labels.size, result.settings.n_superpixels
        notes = []
        if n_pixels / self.n_superpixels < FEW_PIXELS:
            notes.append(
                f"superpixels of {n_pixels / self.n_superpixels:.1f} pixels on average are too"
                " small to hold a texture; ask for fewer"
            )
        if asked is not None and self.n_superpixels < asked / 2:
            notes.append(
                f"SLIC gave {self.n_superpixels} superpixels instead of the {asked} asked for,"
                " which may cross boundaries; ask for more, or raise the compactness"
            )
        return notes
