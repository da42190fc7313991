"""Micrographs of a few pixels, and fine classes of a label map."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from nital.fast.disturbances import DISTURBANCES
from nital.result.criteria import measure_regions
from nital.result.fine import FineClasses
from nital.result.joining import Joining


def make_views_small(patch: pytest.MonkeyPatch) -> None:
    """About 90 x 90 pixels, so that eight of them take no time."""
    patch.setattr("nital.fast.view.VIEW_PIXELS", 2**13)


def make_views_few(patch: pytest.MonkeyPatch) -> None:
    """Two."""
    patch.setattr("nital.fast.disturbances.DISTURBANCES", DISTURBANCES[:2])


def fine_classes(pixels: NDArray[np.float32], labels: NDArray[np.uint8]) -> FineClasses:
    """Those of a label map; each as far from each other."""
    statistics = measure_regions(pixels, labels)
    return FineClasses(labels, statistics, Joining(np.eye(len(statistics.areas)), statistics))


def halves(rows: int = 16, cols: int = 20) -> NDArray[np.uint8]:
    """A dark half above a bright one, with noise: grey, 8 bit."""
    level = np.where(np.arange(rows) < rows // 2, 60, 180)[:, np.newaxis]
    noise = np.random.default_rng(0).integers(0, 20, (rows, cols))
    return (level + noise).astype(np.uint8)


def write(path: Path, seed: int = 0) -> Path:
    """A micrograph in two halves, in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 20, (48, 60))
    tifffile.imwrite(path, (halves(48, 60) + noise).astype(np.uint8))
    return path
