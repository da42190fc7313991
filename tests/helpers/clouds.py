"""A micrograph of clouds."""

import numpy as np
from scipy import ndimage

from nital.image.micrograph import Micrograph


def micrograph(rows: int = 96, cols: int = 128, seed: int = 0) -> Micrograph:
    grey = ndimage.gaussian_filter(np.random.default_rng(seed).random((rows, cols)), 2)
    return Micrograph.from_array((grey - grey.min()) / np.ptp(grey))
