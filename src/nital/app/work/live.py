"""Live: what is reported and shown of work while it is under way."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nital.app.work.fields import FieldFile
from nital.app.work.worker import Reporter
from nital.fast.labelling import OnRows
from nital.image.micrograph import step_within
from nital.paper.settings import PaperSettings
from nital.series.fitting import FitStep
from nital.storage.writing import write_whole

if TYPE_CHECKING:
    from nital.paper.course import Step

LIVE = "live.bin"

LIVE_SIDE = 1000
"""The map under way is shown with so many rows and columns at most."""

LIVE_PAUSE = 0.15
"""Seconds between two pictures of a fit: drawing one takes about 50 ms, a round of it 3."""

_STAGES = {
    "sampling": "looking at grey levels and sizes",
    "clustering": "{0.n_clusters} clusters",
    "comparing": "comparing them with the micrographs",
}
"""What a fit is doing, by `FitStep.stage`."""


@dataclass(frozen=True)
class Stage:
    """What is under way."""

    text: str
    done: float | None = None
    """0 to 1, where it is known."""

    field: int | None = None
    """The number of the micrograph that is worked on."""

    live: "Live | None" = None
    detail: str = ""
    """How far it has come, in words that change from step to step."""

    may_end_early: bool = False
    """Whether it may end before `done` is 1."""


FIRST = Stage("finding classes", detail=_STAGES["sampling"])
"""The first stage of a fit."""


@dataclass(frozen=True)
class Live:
    """The map under way, in `live.bin`."""

    number: int
    """Of the picture, from 1."""

    rows: int
    cols: int
    """Of the picture; it shows the whole micrograph, without what is cut off."""

    n_classes: int
    n_done: int
    """Number of blocks, or iterations, that are done and can be kept; 0 while a model is fitted."""


class LiveMap:
    """Shows a map while it is made."""

    def __init__(self, report: Reporter, session: Path, fields: Sequence[FieldFile]) -> None:
        self._report, self._session, self._fields = report, session, fields
        self._n_shown, self._next = 0, 0.0
        self._trained: Live | None = None

    def fit(self, step: FitStep) -> None:
        """Show a step of a fit; for `on_step` of `fit_model`."""
        self._report.check()
        if time.monotonic() < self._next:
            return
        live = field = None
        if step.draw is not None:
            live, field = self._draw(step.draw(), 0), self._fields[0].number
            self._next = time.monotonic() + LIVE_PAUSE
        detail = _STAGES[step.stage].format(step)
        self._report(Stage(FIRST.text, step.done, field, live, detail))

    def label(self, place: int, class_of: NDArray[np.int64]) -> OnRows:
        """A function that follows the labelling of a micrograph.

        Labels 1 to n belong to these classes, (n,).
        """
        field = self._fields[place]
        shown_as = np.append(0, class_of).astype(np.uint8)
        n_blocks = 0

        def on_rows(done: int, labels: NDArray[np.uint8]) -> None:
            nonlocal n_blocks
            self._report.check()
            n_blocks += 1
            live = self._draw(shown_as[_small(labels)], n_blocks)
            share = (place + done / len(labels)) / len(self._fields)
            self._report(Stage(f"labelling {field.name}", share, field.number, live))

        return on_rows

    def train(self, step: "Step", raw: NDArray[np.int64] | None, settings: PaperSettings) -> None:
        """Show an iteration of paper mode; `raw` is as from `Step.draw`, None: as before."""
        field = self._fields[0]
        if raw is not None:  # raw numbers, so that a class keeps its colour
            self._trained = self._draw((_small(raw) + 1).astype(np.uint8), step.iteration)
        detail = f"iteration {step.iteration}, {step.n_classes} classes left"
        share = step.iteration / settings.max_iterations
        text = f"training on {field.name}"
        self._report(Stage(text, share, field.number, self._trained, detail, may_end_early=True))

    def _draw(self, classes: NDArray[np.uint8], n_done: int) -> Live:
        self._n_shown += 1
        write_whole(self._session / LIVE, classes.tobytes())
        rows, cols = classes.shape
        return Live(self._n_shown, rows, cols, int(classes.max()), n_done)


def _small(labels: NDArray[Any]) -> NDArray[Any]:
    """Every n-th row and column, so that `LIVE_SIDE` is not exceeded."""
    step = step_within(labels.shape, LIVE_SIDE)
    return labels[::step, ::step]
