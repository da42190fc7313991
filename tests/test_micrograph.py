"""The micrograph: any kind of array becomes three float channels in [0, 1], or a clear error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.errors import InputError
from nital.micrograph import Micrograph, parse_length


def ramp(dtype: str, top: float, channels: int | None = None) -> NDArray[np.generic]:
    shape = (4, 6) if channels is None else (4, 6, channels)
    return np.linspace(0, top, int(np.prod(shape))).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "top", "scale"),
    [
        ("u1", 255, 255),
        ("u1", 31, 255),
        ("u2", 200, 255),
        ("u2", 1000, 1023),
        ("u2", 4095, 4095),
        ("u2", 4096, 16383),
        ("u2", 65535, 65535),
        ("i4", 300, 1023),
        ("f4", 0.5, 1),
        ("f8", 1.25, 1.25),
        ("f8", 1.0, 1),
        ("f4", 255.0, 255),
        ("f4", 4000.0, 4095),
        ("?", 1, 1),
    ],
)
def test_full_scale_is_that_of_the_detector(dtype: str, top: float, scale: float) -> None:
    image = ramp(dtype, top)
    micrograph = Micrograph.from_array(image)
    assert micrograph.full_scale == (0, scale)
    assert micrograph.pixels.dtype == np.float32
    assert micrograph.pixels[..., 1] == pytest.approx(image.astype(float) / scale, abs=1e-6)


@pytest.mark.parametrize("image", [ramp("f4", 1) - 0.25, ramp("f8", 1e6), ramp("i2", 9) - 4])
def test_other_ranges_are_stretched(image: NDArray[np.generic]) -> None:
    micrograph = Micrograph.from_array(image)
    assert micrograph.full_scale == (image.min(), image.max())
    assert micrograph.pixels.min() == 0
    assert micrograph.pixels.max() == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels(channels: int) -> None:
    image = ramp("u1", 255, channels)
    if channels in (2, 4):
        image[..., -1] = 255
    micrograph = Micrograph.from_array(image)
    colour = image[..., :3] if channels >= 3 else image[..., :1]
    assert (micrograph.pixels == (colour / 255).astype(np.float32)).all()
    assert micrograph.pixels.shape == (4, 6, 3)
    assert not micrograph.excluded.any()
    assert micrograph.pixels.flags.writeable


def test_transparent_pixels_are_excluded() -> None:
    image = ramp("u1", 255, 4)
    image[..., 3] = 255
    image[1, 2, 3] = 0
    given_mask = np.zeros((4, 6), bool)
    given_mask[0, 0] = True
    micrograph = Micrograph.from_array(image, excluded=given_mask)
    assert np.argwhere(micrograph.excluded).tolist() == [[0, 0], [1, 2]]
    assert given_mask.sum() == 1


def test_grey_is_the_luminance() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert Micrograph.from_array(image).grey[0] == pytest.approx([0.2125, 0.7154, 0.0721, 1])


@given(hnp.arrays(np.uint8, (3, 4, 3)).filter(lambda a: np.ptp(a.reshape(-1, 3), axis=0).any()))
def test_eight_bits_survive_exactly(image: NDArray[np.uint8]) -> None:
    pixels = Micrograph.from_array(image).pixels
    assert (np.round(pixels * 255).astype(np.uint8) == image).all()


def with_value(value: float) -> NDArray[np.float64]:
    image = np.full((4, 5), 0.5)
    image[2, 3] = value
    return image


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((0, 5)), "0 x 5"),
        (np.zeros((1, 1)), "1 x 1 pixels"),
        (np.array([[-1.7e308, 1.7e308]]), "rescale"),
        (np.zeros(7), r"\(7, 1\)|\(7,\)"),
        (np.zeros((2, 3, 4, 3)), r"\(2, 3, 4, 3\).*one page"),
        (np.zeros((5, 4, 7)), r"\(5, 4, 7\)"),
        (np.array([["a", "b"]]), "kind <U1"),
        (np.zeros((2, 2), complex), "kind complex"),
        (with_value(np.nan), "1 pixels are NaN or infinite, the first at row 2, column 3"),
        (with_value(-np.inf), "row 2, column 3"),
        (np.full((4, 5), 7, np.uint8), "constant"),
        (np.full((4, 5, 3), 0.25), "constant"),
        (np.dstack([ramp("u1", 255, 3), np.zeros((4, 6), np.uint8)]), "excluded or transparent"),
    ],
)
def test_bad_images(image: NDArray[np.generic], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Micrograph.from_array(image, name="field 3")
    with pytest.raises(InputError, match=r"^field 3"):
        Micrograph.from_array(image, name="field 3")


def test_an_excluded_area_of_another_shape() -> None:
    with pytest.raises(InputError, match=r"\(2, 2\).*\(4, 6\)"):
        Micrograph.from_array(ramp("u1", 255), excluded=np.zeros((2, 2), bool))


@pytest.mark.parametrize(
    ("text", "length"),
    [("0.25um", 0.25), ("250 nm", 0.25), ("0.25 µm", 0.25), ("1e-3mm", 1.0), ("2UM", 2.0)],
)
def test_lengths(text: str, length: float) -> None:
    assert parse_length(text) == pytest.approx(length)


@pytest.mark.parametrize("text", ["", "0.25", "um", "0um", "-1um", "1 furlong", "1e400um", "nanum"])
def test_bad_lengths(text: str) -> None:
    with pytest.raises(InputError, match=r"0\.25um"):
        parse_length(text)


@given(st.floats(1e-3, 1e3))
def test_lengths_round_trip(length: float) -> None:
    assert parse_length(f"{length!r}um") == length
