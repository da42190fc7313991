"""Fields of a steel as files, and as the page keeps them."""

import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nital.image.synthetic import synthesize
from nital.output.numbers import percent

MIDDLE, LARGE = 900, 6_000
"""Rows of a square micrograph that takes seconds, and of one that takes long, since its view has
several blocks."""


def grains(seed: int, rows: int = 240, cols: int = 320) -> NDArray[np.float32]:
    shares = {"ferrite": 0.4 + 0.05 * seed, "pearlite": 0.6 - 0.05 * seed}
    return synthesize((rows, cols), shares, grain_size=24, seed=seed).image


def in_bits(pixels: NDArray[np.float32], kind: type[np.unsignedinteger]) -> NDArray[Any]:
    return np.round(pixels * np.iinfo(kind).max).astype(kind)


def write_tiff(path: Path, pixels: NDArray[Any], pixel_size: float) -> Path:
    """With the pixel size in µm."""
    per_cm = 10_000 / pixel_size
    tifffile.imwrite(path, pixels, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    return path


def fractions_of(labels: NDArray[Any]) -> list[str]:
    return [percent(float(np.mean(labels == i))) for i in range(1, labels.max() + 1)]


def copy_session(folder: Path, root: Path) -> Path:
    """As another session; its micrograph stays where it is."""
    return Path(shutil.copytree(folder, root / secrets.token_urlsafe(16)))
