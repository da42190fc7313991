"""Feature spaces: a micrograph is adjusted to an exposure."""

import numpy as np
import pytest

from helpers.watched import micrograph
from nital.fast.features import dark_and_bright, smooth
from nital.fast.space import Exposure
from nital.image.micrograph import Micrograph


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.3, 0.5), (0.7, 0.1)])
def test_an_image_is_brought_to_the_exposure(gain: float, offset: float) -> None:
    image = micrograph()
    excluded = np.zeros(image.shape, bool)
    excluded[:, :40] = True
    changed = Micrograph.from_array(gain * image.grey + offset, excluded=excluded)
    view = Exposure(0.4, 0.5).align(changed)
    window = slice(0, image.shape[0]), slice(0, image.shape[1])
    smoothed = smooth(view.read(*window)[..., 0])[:, 40:]
    assert dark_and_bright(smoothed) == pytest.approx((0.4, 0.5), abs=0.005)
    assert view.shape == image.shape
    assert view.has_excluded
    assert (view.read_excluded(*window) == excluded).all()


def test_an_image_of_one_grey_level_is_brought_to_the_exposure_all_the_same() -> None:
    flat = Micrograph(np.full((9, 9, 3), 0.5, np.float32), np.zeros((9, 9), bool), (0, 1))
    seen = Exposure(0.4, 0.5).align(flat).read(slice(0, 9), slice(0, 9))
    assert np.isfinite(seen).all()
    assert np.ptp(seen) == 0
