"""Fields: the micrographs of a session, what was found in each, and where its files are."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.large import open_micrograph
from nital.image.light import EVEN, Light
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.modes import settings_of
from nital.paper.course import PaperDetails, Step, Training
from nital.paper.settings import PaperSettings
from nital.result.criteria import RegionStatistics
from nital.result.likeness import Likeness
from nital.settings import Settings
from nital.storage.writing import write_whole

FOUND = "found.npz"
TRAINING = "training.npz"

_PLACES = {
    "--page": "below, of",
    "--pixel-size": "in the field below",
    "--crop-bottom": "by the line in the picture",
}
"""Where the page has what messages of the command name by an option."""

_NAME = "\0"
"""Stands for the name until the path is replaced: a name may contain that of the file."""


@dataclass(frozen=True)
class FieldFile:
    """A micrograph of a session, as the worker needs it."""

    number: int
    name: str
    path: Path
    pixel_size: float | None
    """Edge of a pixel in µm, as typed; None: as in the file."""

    crop_bottom: int | None
    """Rows cut off below; None: as in the file."""

    page: int | None = None
    """Of a file with several, from 1."""

    def open(self) -> Micrograph | LargeMicrograph:
        """The micrograph, by its own name; errors as of `open_micrograph`."""
        return self._open(self.crop_bottom)

    def open_whole(self) -> Micrograph | LargeMicrograph:
        """The micrograph with the rows that are cut off."""
        return self._open(0)

    def _open(self, crop_bottom: int | None) -> Micrograph | LargeMicrograph:
        with self.naming_errors():
            found = open_micrograph(
                self.path, page=self.page, pixel_size=self.pixel_size, crop_bottom=crop_bottom
            )
        return replace(found, name=self.name)

    @contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Have errors name the micrograph as the page does, and not its file or an option."""
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
    """(rows, cols), with the rows that are cut off."""

    cropped_bottom: int
    pixel_size: float | None
    """In µm; as typed, or as in the file."""


@dataclass(frozen=True)
class Labelled:
    """The labels of one micrograph, in numbers."""

    number: int
    areas: tuple[float, ...]
    """Pixels of each fine class."""

    excluded_fraction: float
    is_far: bool
    """Whether it is unlike those that the model was fitted to."""

    stopped: bool
    shares: tuple[tuple[float, ...], ...] | None = None
    """As `FineClasses.shares`."""


@dataclass(frozen=True)
class Trained:
    """The result of one micrograph in paper mode."""

    settings: Settings
    """Resolved."""

    statistics: RegionStatistics
    """Of its classes."""

    labelled: Labelled


@dataclass(frozen=True)
class Found:
    """What was found of a micrograph beside its labels; stored as `found.npz`."""

    statistics: RegionStatistics
    """Of its fine classes; in paper mode, of its classes."""

    stopped: bool
    shares: NDArray[np.float64] | None = None
    """As `FineClasses.shares`."""

    light: Light = EVEN
    likeness: Likeness | None = None
    """Where the classes are those of a model."""

    details: PaperDetails | None = None
    """In paper mode."""

    def write(self, folder: Path) -> None:
        """Write it to the folder of what is shown of a micrograph."""
        more: dict[str, Any] = {"light": np.array(self.light.coefficients)}
        if self.shares is not None:
            more["shares"] = self.shares
        if self.likeness is not None:
            more["likeness"] = np.array(list(asdict(self.likeness).values()))
        if self.details is not None:
            more |= self.details.as_arrays()
        np.savez(folder / FOUND, **asdict(self.statistics), stopped=self.stopped, **more)

    @classmethod
    def read(cls, folder: Path) -> "Found":
        """Read what was written there."""
        with np.load(folder / FOUND) as kept:
            statistics = RegionStatistics(kept["areas"], kept["means"], kept["errors"])
            stopped = bool(kept["stopped"])
            if "likeness" in kept:
                light = Light(tuple(kept["light"].tolist()))
                likeness = Likeness(*kept["likeness"].tolist())
                return cls(statistics, stopped, kept.get("shares"), light, likeness)
            return cls(statistics, stopped, details=PaperDetails.of_arrays(kept))


@dataclass
class KeptTraining:
    """How far paper mode has come, stored as `training.npz` in case its process is killed."""

    settings: PaperSettings
    """Resolved."""

    n_superpixels: int
    steps: list[Step] = field(default_factory=list)
    weights: NDArray[np.float32] | None = None
    """After the last step."""

    n_rows: int = 0
    """Number of rows labelled since; 0 during the training."""

    def add(self, step: Step) -> None:
        """Add an iteration."""
        assert step.weights is not None
        self.steps.append(replace(step, draw=None, weights=None))
        self.weights = step.weights()

    @property
    def training(self) -> Training:
        """Its record, as if the training had been stopped, unless it was over."""
        reason = "stopped"
        if self.n_rows:
            wanted = self.settings.join_from or int(self.settings.n_classes)
            is_reached = self.steps[-1].n_classes <= wanted
            reason = "n_classes" if is_reached else "max_iterations"
        return Training(tuple(self.steps), reason)

    def write(self, session: Path) -> None:
        """Write it to the folder of the session."""
        assert self.weights is not None
        file = io.BytesIO()
        np.savez(
            file,
            **PaperDetails(self.training, self.n_superpixels).as_arrays(),
            settings=json.dumps(self.settings.as_dict()),
            weights=self.weights,
            n_rows=self.n_rows,
        )
        write_whole(session / TRAINING, file.getvalue())

    @classmethod
    def read(cls, session: Path) -> "KeptTraining":
        """Read what was written there."""
        with np.load(session / TRAINING) as kept:
            settings = settings_of(**json.loads(str(kept["settings"])))
            details = PaperDetails.of_arrays(kept)
            assert isinstance(settings, PaperSettings)
            assert details.training is not None
            assert details.n_superpixels is not None
            return cls(
                settings,
                details.n_superpixels,
                list(details.training.steps),
                kept["weights"],
                int(kept["n_rows"]),
            )


def shown_in(session: Path, number: int) -> Path:
    """The folder of what the viewer shows of a micrograph."""
    return session / "shown" / f"{number:03}"


def result_in(session: Path, number: int) -> Path:
    """The folder of results of a micrograph."""
    return session / "results" / f"{number:03}"
