"""Sessions of the page without a page: micrographs in them, and who listens to their work."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nital.app.work.fields import FieldFile
from nital.app.work.tasks import FITTED, segment_fields
from nital.app.work.worker import Tell
from nital.fast import clustering, sampling
from nital.image.synthetic import synthesize
from nital.output.results import versions
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import Settings

SHAPE = (64, 80)
THREE = Settings(n_classes=3, seed=5)
PAPER = Settings(mode="paper", n_classes=2, seed=5, n_filters=8, n_responses=6, max_iterations=4)
FILES = ("labels.tif", "fine.tif", "fine.csv", "overlay.png", "classes.csv")


def make_samples_small(patch: pytest.MonkeyPatch) -> None:
    """Enough for a few small images, and quickly clustered."""
    patch.setattr(sampling, "SAMPLE_PIXELS", 2**12)
    patch.setattr(clustering, "DRAWN", 1500)
    patch.setattr(clustering, "STARTS", 1)


@functools.cache
def steel(seed: int) -> NDArray[np.uint8]:
    """Do not alter it."""
    fractions = {"ferrite": 0.4 + 0.1 * seed, "pearlite": 0.6 - 0.1 * seed}
    made = synthesize(SHAPE, fractions, grain_size=16, shading=0, seed=seed)
    return np.round(255 * made.image).astype(np.uint8)


def uploaded(session: Path, number: int, suffix: str = ".png", **how: Any) -> FieldFile:
    """A micrograph that was dropped on the page as `field-1.png`."""
    path = session / "uploads" / f"{number:03}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = steel(number)
    if suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **({"rowsperstrip": 8, "compression": "zlib"} | how))
    return FieldFile(number, f"field-{number}{suffix}", path, None, None)


def with_glass(session: Path, *, rows: int) -> FieldFile:
    """A micrograph whose upper rows are transparent."""
    field = uploaded(session, 1)
    alpha = np.where(np.arange(SHAPE[0]) < rows, 0, 255).astype(np.uint8)
    layers = [steel(1), np.repeat(alpha[:, np.newaxis], SHAPE[1], axis=1)]
    Image.merge("LA", [Image.fromarray(each) for each in layers]).save(field.path)
    return field


class Listener:
    """Hears what work says, and stops it as soon as it says something of a kind."""

    def __init__(self, stop_at: Callable[[Any], bool] = lambda _: False) -> None:
        self.messages: list[Any] = []
        self._stop_at, self._stopped = stop_at, False
        self.tell = Tell(self._hear, lambda: self._stopped)

    def _hear(self, message: Any) -> None:
        self.messages.append(message)
        self._stopped = self._stopped or self._stop_at(message)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


def deaf(_: object) -> None:
    pass


DEAF = Tell(deaf, lambda: False)


def segmented(session: Path, fields: Sequence[FieldFile], settings: Settings = THREE) -> Model:
    """All of them, in a session."""
    segment_fields(DEAF, session, fields, settings, "same")
    return read_model(session / FITTED)


@dataclass(frozen=True)
class Session:
    """Micrographs that were segmented."""

    folder: Path
    fields: tuple[FieldFile, ...]
    model: Model

    @property
    def path(self) -> Path:
        return self.folder / FITTED


def decided(session: Path, model: Model) -> Path:
    write_model(session / "decided.nital", model, versions=versions(), force=True)
    return session / "decided.nital"
