"""A micrograph of clouds, and one that records which of its windows are read."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.fast.windows import Window
from nital.image.micrograph import Micrograph


def micrograph(rows: int = 96, cols: int = 128, seed: int = 0) -> Micrograph:
    grey = ndimage.gaussian_filter(np.random.default_rng(seed).random((rows, cols)), 2)
    return Micrograph.from_array((grey - grey.min()) / np.ptp(grey))


@dataclass
class Watched:
    """A micrograph that takes note of the windows that are read."""

    of: Micrograph
    read_windows: list[Window] = field(default_factory=list)
    name: str = "watched"
    sha256: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.of.shape

    @property
    def has_excluded(self) -> bool:
        return self.of.has_excluded

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        self.read_windows.append((rows, cols))
        return self.of.read(rows, cols)

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        return self.of.read_excluded(rows, cols)
