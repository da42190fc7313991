"""Sessions of the page without a page: their micrographs, their benches, their work."""

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

from helpers.pictures import make_views_small
from nital.app.state.bench import Bench
from nital.app.work.fields import FieldFile, Labelled, Trained
from nital.app.work.tasks import FITTED, segment_fields
from nital.app.work.worker import Reporter
from nital.fast.settings import FastSettings
from nital.image.synthetic import synthesize
from nital.paper.settings import PaperSettings
from nital.result.criteria import RegionStatistics
from nital.result.grouping import Grouping
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import Settings
from nital.storage.versions import versions

SHAPE = (64, 80)
THREE = FastSettings(n_classes=3)
PAPER = PaperSettings(n_classes=2, seed=5, n_filters=8, n_responses=6, max_iterations=4)
FILES = ("labels.tif", "fine.tif", "fine.csv", "overlay.png", "classes.csv")


def make_samples_small(patch: pytest.MonkeyPatch) -> None:
    """Enough for a few small images, and small views of them."""
    make_views_small(patch)
    patch.setattr("nital.series.sampling.SAMPLE_PIXELS", 2**12)


def see_steels_as_they_are(patch: pytest.MonkeyPatch) -> None:
    """The same, but a pixel of the view of a `steel` is one of its own."""
    make_samples_small(patch)
    patch.setattr("nital.fast.view.VIEW_PIXELS", SHAPE[0] * SHAPE[1])


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
    """Collects the messages of work, and stops it at the first message of a kind."""

    def __init__(self, stop_at: Callable[[Any], bool] = lambda _: False) -> None:
        self.messages: list[Any] = []
        self._stop_at, self._stopped = stop_at, False
        self.report = Reporter(self._receive, lambda: self._stopped)

    def _receive(self, message: Any) -> None:
        self.messages.append(message)
        self._stopped = self._stopped or self._stop_at(message)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


def ignore(_: object) -> None:
    pass


SILENT = Reporter(ignore, lambda: False)


def segmented(session: Path, fields: Sequence[FieldFile], settings: Settings = THREE) -> Model:
    """All of them, in a session."""
    segment_fields(SILENT, session, fields, settings, "same")
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


# --- benches ----------------------------------------------------------------------------------

AREA = 1200
"""Pixels of a labelled micrograph."""


def fit(bench: Bench, model: Model) -> None:
    write_model(bench.folder / FITTED, model, versions=versions(), force=True)
    bench.adopt_fitted()


def labelled(number: int, n: int, *, seed: int) -> Labelled:
    areas = np.random.default_rng(seed).multinomial(AREA, np.ones(n) / n).astype(float)
    return Labelled(number, tuple(areas.tolist()), seed / 100, bool(seed % 2), bool(seed % 3))


def summary(bench: Bench) -> tuple[Any, ...]:
    """All that can be read of a bench."""
    model = bench.model
    return (
        bench.fields,
        [field.name for field in bench.usable],
        [field.name for field in bench.labelled],
        (bench.settings, bench.exposure, bench.n_fine, bench.can_undo, bench.can_redo),
        bench.state(),
        described(model) if model is not None else None,
        [bench.fractions(field.number).tolist() for field in bench.labelled],
    )


def described(model: Grouping) -> tuple[Any, ...]:
    images = model.images if isinstance(model, Model) else ()
    return (model.class_of.tolist(), model.names, model.classes, model.settings, images)


def history(bench: Bench) -> list[tuple[Any, ...]]:
    """All models that it can go back to, and on to; it is then at the last of them."""
    while bench.can_undo:
        bench.undo()
    found = [] if bench.model is None else [described(bench.model)]
    while bench.can_redo:
        bench.redo()
        assert bench.model is not None
        found.append(described(bench.model))
    return found


def trained(number: int, *areas: float) -> Trained:
    """Classes of rising grey levels."""
    means = np.repeat(20.0 * np.arange(1, len(areas) + 1)[:, np.newaxis], 3, axis=1)
    statistics = RegionStatistics(np.array(areas), means, np.arange(len(areas)) / 7)
    labelled = Labelled(number, areas, 0.0, False, False)
    return Trained(PaperSettings(n_classes=2, n_superpixels=60), statistics, labelled)
