"""Superpixels: small regions of similar contrast and colour, by SLIC."""

import math

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import slic

from nital.errors import InputError, SettingError

PAPER_N_SUPERPIXELS = 50_000
PAPER_PIXELS_PER_SUPERPIXEL = 20
"""1000 x 1000 pixels over 50,000 superpixels."""


def preset_n_superpixels(shape: tuple[int, int]) -> int:
    """Number of superpixels to ask for on an image of this shape.

    The paper names 50,000 for images of 360 x 360 to 1920 x 1440 pixels. On 256 x 256 that would be
    nearly one superpixel per pixel, which leaves the majority rule nothing to decide. The number is
    therefore 50,000, but at most one per 20 pixels, the paper's ratio at 1000 x 1000.

    >>> preset_n_superpixels((1440, 1920)), preset_n_superpixels((256, 256))
    (50000, 3276)
    """
    by_size = max(1, math.prod(shape) // PAPER_PIXELS_PER_SUPERPIXEL)
    return min(PAPER_N_SUPERPIXELS, by_size)


def check_n_superpixels(n_superpixels: int, shape: tuple[int, int]) -> None:
    """Raise a SettingError unless an image of this shape can have this many superpixels."""
    if not 1 <= n_superpixels <= math.prod(shape):
        raise SettingError(
            f"n_superpixels {n_superpixels}: use 1 to {math.prod(shape)}, the pixels of this image"
        )


def find_superpixels(
    image: NDArray[np.float32], *, n_superpixels: int | None = None, compactness: float = 20.0
) -> NDArray[np.int64]:
    """Divide an image into superpixels with SLIC (Achanta et al. 2012).

    Parameters
    ----------
    image : (rows, cols, 3), float
        SLIC rescales it to [0, 1] and compares colours in CIELAB. Stack a grey image to three
        channels first: on two dimensions the same compactness gives a plain grid.
    n_superpixels : int, optional
        Number to ask for, 1 to the number of pixels; SLIC gives about as many. None: the paper's
        preset, see `preset_n_superpixels`.
    compactness : float
        Weight of spatial proximity against colour similarity; above 0.

    Returns
    -------
    (rows, cols) of int64
        0 to n - 1; every number is in use.

    Raises
    ------
    InputError, SettingError
        If the image does not have three channels, or a setting is out of its range.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"shape {image.shape}: SLIC needs (rows, cols, 3); stack grey to three")
    rows, cols = image.shape[:2]
    if n_superpixels is None:
        n_superpixels = preset_n_superpixels((rows, cols))
    check_n_superpixels(n_superpixels, (rows, cols))
    if not (math.isfinite(compactness) and compactness > 0):
        raise SettingError(f"compactness {compactness}: must be a finite number above 0")
    found = slic(
        image, n_segments=n_superpixels, compactness=compactness, start_label=0, channel_axis=-1
    )
    return np.unique(found, return_inverse=True)[1].reshape(rows, cols).astype(np.int64)
