"""Fields: the micrographs of a session, what was found in each, and where its files are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.result.criteria import RegionStatistics
from nital.result.segmentation import Likeness
from nital.settings import Settings

if TYPE_CHECKING:
    from nital.paper.training import Training

FOUND = "found.npz"

_PLACES = {
    "--page": "below, of",
    "--pixel-size": "in the field below",
    "--crop-bottom": "by the line in the picture",
}
"""Where the page has what messages call by the name of an option."""

_NAME = "\0"
"""Stands for a name until all of the path is gone: a name may hold that of the file."""


@dataclass(frozen=True)
class FieldFile:
    """A micrograph of a session, as the worker has to know it."""

    number: int
    name: str
    path: Path
    pixel_size: float | None
    """Edge of a pixel in µm, as typed; None: what the file says."""

    crop_bottom: int | None
    """Rows cut off below; None: what the file says."""

    page: int | None = None
    """Of a file with several, from 1."""

    def open(self) -> Micrograph | LargeMicrograph:
        """The micrograph, by its own name; errors as of `open_micrograph`."""
        return self._open(self.crop_bottom)

    def open_whole(self) -> Micrograph | LargeMicrograph:
        """With what is cut off."""
        return self._open(0)

    def _open(self, crop_bottom: int | None) -> Micrograph | LargeMicrograph:
        with self.told():
            found = open_micrograph(
                self.path, page=self.page, pixel_size=self.pixel_size, crop_bottom=crop_bottom
            )
        return replace(found, name=self.name)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is wrong with the file is told by the name that people know, for the page."""
        try:
            yield
        except InputError as error:
            text = str(error).replace(str(self.path), _NAME).replace(self.path.name, _NAME)
            text = text.replace(_NAME, self.name)
            for option, place in _PLACES.items():
                text = text.replace(f"with {option}", place)
            raise InputError(text) from error


@dataclass(frozen=True)
class Opened:
    """What was found in a file."""

    number: int
    shape: tuple[int, int]
    """(rows, cols), with what is cut off."""

    cropped_bottom: int
    pixel_size: float | None
    """In µm; as typed, or as the file says."""


@dataclass(frozen=True)
class Labelled:
    """What came of one micrograph."""

    number: int
    areas: tuple[float, ...]
    """Pixels of each fine class."""

    excluded_fraction: float
    is_far: bool
    """Whether it is unlike those that the model was fitted to."""

    stopped: bool


@dataclass(frozen=True)
class Trained:
    """What came of one micrograph in paper mode."""

    settings: Settings
    """Resolved."""

    statistics: RegionStatistics
    """Of its classes."""

    labelled: Labelled


@dataclass(frozen=True)
class Found:
    """What was found of a micrograph beside its labels; kept as `found.npz`."""

    statistics: RegionStatistics
    """Of its fine classes; in paper mode, of its classes."""

    stopped: bool
    likeness: Likeness | None = None
    """Where the classes are those of a model."""

    training: "Training | None" = None
    """In paper mode."""

    n_superpixels: int | None = None
    """In paper mode: how many SLIC gave."""

    def write(self, folder: Path) -> None:
        """Keep it in the folder of what is shown of a micrograph."""
        more: dict[str, Any] = {}
        if self.likeness is not None:
            more["likeness"] = np.array(list(asdict(self.likeness).values()))
        if self.training is not None:
            more = arrays_of(self.training) | {"n_superpixels": np.array(self.n_superpixels)}
        np.savez(folder / FOUND, **asdict(self.statistics), stopped=self.stopped, **more)

    @classmethod
    def read(cls, folder: Path) -> "Found":
        """What was kept there."""
        with np.load(folder / FOUND) as kept:
            statistics = RegionStatistics(kept["areas"], kept["means"], kept["errors"])
            stopped = bool(kept["stopped"])
            if "likeness" in kept:
                return cls(statistics, stopped, Likeness(*kept["likeness"].tolist()))
            n_superpixels = int(kept["n_superpixels"])
            return cls(statistics, stopped, None, training_of(kept), n_superpixels)


def arrays_of(training: "Training") -> dict[str, Any]:
    """A training as arrays, to be kept."""
    return {
        "n_classes": np.array([step.n_classes for step in training.steps]),
        "losses": np.array([step.loss for step in training.steps]),
        "stop_reason": np.array(training.stop_reason),
    }


def training_of(kept: Mapping[str, NDArray[Any]]) -> "Training":
    """The training of `arrays_of`."""
    from nital.paper.training import Step, Training  # which loads torch

    steps = enumerate(zip(kept["n_classes"].tolist(), kept["losses"].tolist(), strict=True), 1)
    return Training(tuple(Step(i, *each) for i, each in steps), str(kept["stop_reason"]))


def shown_in(session: Path, number: int) -> Path:
    """The folder of what the viewer shows of a micrograph."""
    return session / "shown" / f"{number:03}"


def result_in(session: Path, number: int) -> Path:
    """The folder of results of a micrograph."""
    return session / "results" / f"{number:03}"
