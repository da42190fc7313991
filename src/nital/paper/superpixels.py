"""Superpixels: small regions of similar contrast and colour, by SLIC."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.image.micrograph import Source
from nital.image.windows import Window, sampled_windows

PAPER_N_SUPERPIXELS = 50_000
FEWEST_PIXELS = 20
"""Pixels of a superpixel: 1000 x 1000 pixels over 50,000 superpixels."""

MOST_PIXELS = 1920 * 1440 / PAPER_N_SUPERPIXELS
"""Pixels of a superpixel in the paper's largest images: 55."""


def preset_n_superpixels(shape: tuple[int, int]) -> int:
    """Number of superpixels to ask for on an image of this shape.

    The paper names 50,000 for images of 360 x 360 to 1920 x 1440 pixels. On 256 x 256 that would be
    nearly one superpixel per pixel, which leaves the majority rule nothing to decide; on a hundred
    megapixels each would have 45 x 45 pixels. The number is therefore 50,000, but at most one per
    20 pixels, the paper's ratio at 1000 x 1000, and at least one per 55, that at 1920 x 1440.

    >>> preset_n_superpixels((1440, 1920)), preset_n_superpixels((256, 256))
    (50000, 3276)
    >>> preset_n_superpixels((14400, 19200))
    5000000
    """
    n_pixels = math.prod(shape)
    least, most = round(n_pixels / MOST_PIXELS), max(1, n_pixels // FEWEST_PIXELS)
    return min(max(PAPER_N_SUPERPIXELS, least), most)


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
    from skimage.segmentation import slic  # slow to load

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


@dataclass(frozen=True)
class Superpixels:
    """Superpixels of a micrograph or, if it is large, of windows spread over it."""

    shape: tuple[int, int]
    """(rows, cols) of the micrograph."""

    windows: tuple[Window, ...]
    maps: tuple[NDArray[np.int64], ...]
    """(rows, cols) of each window; numbers go on from window to window, from 0."""

    @property
    def n_superpixels(self) -> int:
        """Their number in all windows."""
        return int(self.maps[-1].max()) + 1

    @property
    def n_in_image(self) -> int:
        """Their number in the whole micrograph, at the mean size of those that were found."""
        share = sum(each.size for each in self.maps) / math.prod(self.shape)
        return round(self.n_superpixels / share)


def sample_superpixels(
    source: Source, *, n_superpixels: int, compactness: float, whole: bool
) -> Superpixels:
    """Find the superpixels that a training draws from.

    Parameters
    ----------
    source : Source
    n_superpixels : int
        Number to ask for in the whole image; windows get their share.
    compactness : float
        As for `find_superpixels`.
    whole : bool
        Whether to find those of the whole image, however large.

    Raises
    ------
    InputError
        If every pixel is excluded.
    """
    windows = [(slice(0, source.shape[0]), slice(0, source.shape[1]))]
    if not whole:
        windows = sampled_windows(source)
    if all(source.read_excluded(*window).all() for window in windows):
        raise InputError("every pixel is excluded or transparent")
    maps: list[NDArray[np.int64]] = []
    n_found = 0
    for window in windows:
        pixels = source.read(*window)
        n_pixels = math.prod(pixels.shape[:2])
        share = n_pixels / math.prod(source.shape)
        n = min(max(1, round(n_superpixels * share)), n_pixels)
        maps.append(find_superpixels(pixels, n_superpixels=n, compactness=compactness) + n_found)
        n_found = int(maps[-1].max()) + 1
    return Superpixels(source.shape, tuple(windows), tuple(maps))
