"""The micrograph: any kind of array becomes three float channels in [0, 1], or a clear error."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.lengths import parse_length
from nital.image.micrograph import LargeMicrograph, Micrograph


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
    assert_allclose(micrograph.pixels[..., 1], image.astype(float) / scale, rtol=0, atol=1e-6)


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


# --- where it lies ------------------------------------------------------------------------------


def scan(array: NDArray[Any], **how: Any) -> LargeMicrograph:
    return LargeMicrograph.scan(lambda rows, cols: array[rows, cols], array.shape[:2], **how)


def tall(dtype: str, top: float, channels: int | None) -> NDArray[Any]:
    """More rows than are read at once, the brightest last, some transparent."""
    shape = (600, 7) if channels is None else (600, 7, channels)
    image = np.random.default_rng(0).random(shape)
    image[-1, -1] = 1
    image = (image * top).astype(dtype)
    if channels in (2, 4):
        image[..., -1] = 1
        image[100:520, 3, -1] = 0
    return image


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("dtype", "top"), [("u1", 255), ("u1", 90), ("u2", 4000), ("u2", 65535), ("f4", 1), ("f8", 1.3)]
)
def test_an_image_read_by_windows_is_the_image(dtype: str, top: float, channels: int) -> None:
    image = tall(dtype, top, channels)
    whole, large = Micrograph.from_array(image), scan(image)
    assert large.shape == whole.shape == (600, 7)
    assert large.full_scale == whole.full_scale
    assert large.has_excluded == whole.has_excluded == (channels in (2, 4))
    for window in (np.s_[0:600, 0:7], np.s_[500:530, 2:5], np.s_[599:600, 6:7]):
        pixels, excluded = large.read(*window), large.read_excluded(*window)
        assert pixels.dtype == np.float32
        assert (pixels == whole.read(*window)).all()
        assert (pixels == whole.pixels[window]).all()
        assert (excluded == whole.read_excluded(*window)).all()
        assert (excluded == whole.excluded[window]).all()
    for step in (1, 2, 7, 600, 1000):
        assert (large.reduced(step) == whole.reduced(step)).all()
        assert large.reduced(step).shape == whole.pixels[::step, ::step].shape


@pytest.mark.parametrize(
    "image", [tall("f4", 1, 3) - np.float32(0.25), tall("f8", 1e6, None), tall("i2", 900, 1) - 40]
)
def test_other_ranges_are_stretched_where_they_lie(image: NDArray[Any]) -> None:
    whole, large = Micrograph.from_array(image), scan(image)
    assert large.full_scale == whole.full_scale == (image.min(), image.max())
    assert (large.read(slice(0, 600), slice(0, 7)) == whole.pixels).all()


def test_what_is_known_of_it_is_kept() -> None:
    large = scan(tall("u1", 255, 3), pixel_size=0.5, name="a.tif", sha256="12")
    assert (large.pixel_size, large.name, large.sha256) == (0.5, "a.tif", "12")


def test_the_brightest_value_of_transparent_pixels_counts_the_same() -> None:
    image = tall("u2", 1000, 2)
    image[..., 1] = 65535
    assert scan(image).full_scale == Micrograph.from_array(image).full_scale == (0, 1023)


def fetches_of(array: NDArray[Any]) -> list[tuple[slice, slice]]:
    """The windows that are read when an image is opened."""
    fetched: list[tuple[slice, slice]] = []

    def fetch(rows: slice, cols: slice) -> NDArray[Any]:
        fetched.append((rows, cols))
        return array[rows, cols]

    LargeMicrograph.scan(fetch, array.shape[:2])
    return fetched


def test_8_bits_are_read_until_two_pixels_differ() -> None:
    image = np.zeros((2000, 3), np.uint8)
    image[600, 0] = 1
    assert len(fetches_of(image)) == 2
    image[0, 0] = 1
    assert len(fetches_of(image)) == 1


def test_other_kinds_are_read_once_from_end_to_end() -> None:
    fetched = fetches_of(tall("u2", 900, None))
    rows = [row for band, _ in fetched for row in range(band.start, band.stop)]
    assert rows == list(range(600))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((600, 5), 7, np.uint8), "constant, every pixel has the grey level 7;"),
        (np.full((600, 5), 700, np.uint16), "constant, every pixel has the grey level 700;"),
        (np.full((4, 5, 3), 0.25), "constant"),
        (with_value(np.nan), "1 pixels are NaN or infinite, the first at row 2, column 3"),
        (with_value(-np.inf), "row 2, column 3"),
        (np.array([[-1.7e308, 1.7e308]]), "rescale"),
        (np.zeros((5, 4, 7)), r"\(5, 4, 7\)"),
        (np.zeros((2, 2), complex), "kind complex"),
        (np.zeros((1, 1)), "1 x 1 pixels"),
        (np.zeros((4, 0)), "4 x 0 pixels"),
    ],
)
def test_bad_images_are_refused_where_they_lie(image: NDArray[Any], said: str) -> None:
    with pytest.raises(InputError, match=rf"^field 3: .*{said}"):
        scan(image, name="field 3")
    with pytest.raises(InputError, match=rf"^field 3: .*{said.split('grey')[0]}"):
        Micrograph.from_array(image, name="field 3")


def test_the_row_of_a_bad_value_is_that_of_the_image() -> None:
    image = np.linspace(0, 1, 600 * 4).reshape(600, 4)
    image[550, 3] = np.nan
    with pytest.raises(InputError, match="the first at row 550, column 3"):
        scan(image)


def test_one_colour_everywhere_is_constant_where_it_lies() -> None:
    image = np.empty((8, 9, 3), np.uint8)
    image[:] = 10, 20, 30
    with pytest.raises(InputError, match="constant"):
        scan(image)
