"""Files: every usual kind of image is read correctly, and bad ones are refused with a reason."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.pictures import halves
from nital.errors import InputError
from nital.image.files import read_micrograph
from nital.image.labels import read_labels, write_labels
from nital.output.render import class_colours
from nital.storage.tables import read_columns, read_json, write_json, write_table

# Real micrographs, if any, are in a folder beside the project.
DATA = Path(__file__).parents[3] / "shared" / "data"
TRUNCATED = DATA / "bad" / "truncated.png"
GREY = halves()
RGB = np.random.default_rng(1).integers(0, 256, (16, 20, 3), dtype=np.uint8)
LABELS = np.random.default_rng(2).integers(1, 4, (16, 20)).astype(np.uint8)


def tiff(path: Path, array: NDArray[Any], **options: Any) -> Path:
    """Write a TIFF and return its path."""
    tifffile.imwrite(path, array, **options)
    return path


def pillow(path: Path, image: Image.Image, **options: Any) -> Path:
    """Write with Pillow and return the path."""
    image.save(path, **options)
    return path


def assert_shows(path: Path, expected: NDArray[Any], atol: float = 1e-6, **how: Any) -> None:
    """Check that the file is read as this image, with values in [0, 1]."""
    pixels = read_micrograph(path, **how).pixels
    wanted = expected if expected.ndim == 3 else expected[..., np.newaxis]
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, np.broadcast_to(wanted, pixels.shape), atol=atol)


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "wrong-ending.jpg"])
@pytest.mark.parametrize("array", [GREY, RGB], ids=["grey", "rgb"])
def test_8_bit(tmp_path: Path, name: str, array: NDArray[np.uint8]) -> None:
    kind = "PNG" if name.endswith("jpg") else None
    assert_shows(pillow(tmp_path / name, Image.fromarray(array), format=kind), array / 255)


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    path = pillow(tmp_path / "a.png", Image.fromarray(GREY))
    assert read_micrograph(str(path)).name == "a.png"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_keeps_its_16_bits(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(3).integers(1, 2**16, (8, 9, channels), dtype=np.uint16)
    values[0, 0] = 65535
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(values.squeeze()))
    assert_shows(path, values[..., :3] / 65535)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", "zstd", None])
def test_compressed_tiff(tmp_path: Path, compression: str | None) -> None:
    assert_shows(tiff(tmp_path / "a.tif", RGB, compression=compression), RGB / 255)


def test_planar_tiff(tmp_path: Path) -> None:
    planes = np.moveaxis(RGB, -1, 0).copy()
    path = tiff(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert_shows(path, RGB / 255)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_byte_orders_and_bigtiff(tmp_path: Path, byteorder: Any, bigtiff: bool) -> None:
    values = GREY.astype(np.uint16) * 257
    path = tiff(tmp_path / "a.tif", values, byteorder=byteorder, bigtiff=bigtiff)
    assert_shows(path, values / 65535)


def test_float_tiff(tmp_path: Path) -> None:
    values = (GREY / 255).astype(np.float32)
    assert_shows(tiff(tmp_path / "a.tif", values), values)


def test_tiff_where_white_is_0(tmp_path: Path) -> None:
    assert_shows(tiff(tmp_path / "a.tif", 255 - GREY, photometric="miniswhite"), GREY / 255)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_1_bit_tiff(tmp_path: Path, photometric: str) -> None:
    bright = GREY > 127
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, bright ^ (photometric == "miniswhite"), photometric=photometric)
    assert_shows(path, bright.astype(float))


def test_1_bit_png_and_fax(tmp_path: Path) -> None:
    bright = GREY > 127
    image = Image.fromarray(bright)
    assert_shows(pillow(tmp_path / "a.png", image), bright.astype(float))
    assert_shows(pillow(tmp_path / "a.tif", image, compression="group4"), bright.astype(float))


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif"])
@pytest.mark.parametrize("brightest", [255, 50])
def test_a_palette_image_shows_its_colours(tmp_path: Path, name: str, brightest: int) -> None:
    palette = np.linspace([0, 0, 0], [brightest, brightest // 2, 0], 256).astype(np.uint8)
    image = Image.fromarray(GREY).convert("P")
    image.putpalette(palette.tobytes())
    # Pillow writes the 16-bit colours of a TIFF as 256 times the 8-bit ones, not 257 times.
    assert_shows(pillow(tmp_path / name, image), palette[GREY] / 255, atol=0.005)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path: Path, name: str) -> None:
    colour = np.kron([[[200, 30, 30]], [[30, 60, 200]]], np.ones((8, 16, 1))).astype(np.uint8)
    path = pillow(tmp_path / name, Image.fromarray(colour).convert("CMYK"))
    micrograph = read_micrograph(path)
    assert not micrograph.excluded.any()
    np.testing.assert_allclose(micrograph.pixels, colour / 255, atol=0.05)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_transparent_pixels_are_excluded(tmp_path: Path, mode: str, name: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[3, 4], alpha[5, 6] = 0, 1
    image.putalpha(Image.fromarray(alpha))
    excluded = read_micrograph(pillow(tmp_path / name, image)).excluded
    assert np.argwhere(excluded).tolist() == [[3, 4]]


def test_a_transparent_palette_colour_is_excluded(tmp_path: Path) -> None:
    image = Image.fromarray(GREY).convert("P")
    value = int(np.asarray(image)[0, 0])
    path = pillow(tmp_path / "a.png", image, transparency=value)
    np.testing.assert_array_equal(read_micrograph(path).excluded, np.asarray(image) == value)


@pytest.mark.parametrize("array", [GREY, RGB], ids=["grey", "rgb"])
def test_a_transparent_colour_of_a_png_is_excluded(
    tmp_path: Path, array: NDArray[np.uint8]
) -> None:
    key = array[0, 0]
    path = tmp_path / "a.png"
    colour = int(key) if array.ndim == 2 else tuple(int(value) for value in key)
    pillow(path, Image.fromarray(array), transparency=colour)
    excluded = read_micrograph(path).excluded
    same = array == key
    np.testing.assert_array_equal(excluded, same if array.ndim == 2 else same.all(axis=2))


# --- stacks -------------------------------------------------------------------------------------

STACK = np.stack([GREY, 255 - GREY, GREY // 2])


def stack(path: Path, kind: str) -> Path:
    """A stack of three pages."""
    if kind == "gif":
        first, *others = [Image.fromarray(page) for page in STACK]
        return pillow(path.with_suffix(".gif"), first, save_all=True, append_images=others)
    options: dict[str, dict[str, Any]] = {
        "tiff": {"photometric": "minisblack"},
        "imagej": {"imagej": True},
        "one directory": {"photometric": "minisblack", "truncate": True},
    }
    return tiff(path.with_suffix(".tif"), STACK, **options[kind])


KINDS = pytest.mark.parametrize("kind", ["tiff", "imagej", "one directory", "gif"])


@KINDS
def test_pages_are_counted_from_1(tmp_path: Path, kind: str) -> None:
    path = stack(tmp_path / "a", kind)
    for page, expected in enumerate(STACK, start=1):
        assert_shows(path, expected / 255, page=page)


@KINDS
def test_a_stack_without_a_page_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=r"stack of 3 pages.*--page"):
        read_micrograph(stack(tmp_path / "a", kind))


@KINDS
@pytest.mark.parametrize("page", [-1, 0, 4])
def test_a_page_that_is_not_there_is_refused(tmp_path: Path, kind: str, page: int) -> None:
    with pytest.raises(InputError, match=f"page {page}"):
        read_micrograph(stack(tmp_path / "a", kind), page=page)


def test_a_page_of_a_single_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(GREY.astype(np.uint16)))
    assert read_micrograph(path, page=1).shape == GREY.shape
    with pytest.raises(InputError, match="page 2 of 1"):
        read_micrograph(path, page=2)


# --- pixel size ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "size"),
    [("um", 0.25), ("micron", 0.25), ("\\u00B5m", 0.25), ("nm", 0.00025), ("mm", 250.0)],
)
def test_pixel_size_from_imagej(tmp_path: Path, unit: str, size: float) -> None:
    path = tiff(tmp_path / "a.tif", GREY, imagej=True, resolution=(4, 4), metadata={"unit": unit})
    assert read_micrograph(path).pixel_size == pytest.approx(size)


@pytest.mark.parametrize("unit", ["inch", "pixel", ""])
def test_no_pixel_size_from_an_unknown_unit(tmp_path: Path, unit: str) -> None:
    path = tiff(tmp_path / "a.tif", GREY, imagej=True, resolution=(4, 4), metadata={"unit": unit})
    assert read_micrograph(path).pixel_size is None


def ome(path: Path, x: float, y: float, unit: str = "nm") -> Path:
    """An OME TIFF with these edges of a pixel."""
    metadata = {"axes": "YX", "PhysicalSizeX": x, "PhysicalSizeY": y}
    metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    return tiff(path, GREY, ome=True, metadata=metadata)


def test_pixel_size_from_ome(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", 250, 250)
    assert read_micrograph(path).pixel_size == pytest.approx(0.25)
    assert read_micrograph(path, pixel_size=0.5).pixel_size == 0.5


@pytest.mark.parametrize(("x", "y"), [(0, 0), (250, 0), (-250, -250), (1e30, 1e30)])
def test_a_pixel_size_that_makes_no_sense_is_left_out(tmp_path: Path, x: float, y: float) -> None:
    assert read_micrograph(ome(tmp_path / "a.ome.tif", x, y)).pixel_size is None


@pytest.mark.parametrize("resolution", [(0, 1), (1, 0), (0, 0)])
def test_a_resolution_that_makes_no_sense_is_left_out(
    tmp_path: Path, resolution: tuple[int, int]
) -> None:
    path = tiff(tmp_path / "a.tif", GREY, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    with tifffile.TiffFile(path, mode="r+") as file:
        for axis in "XY":
            file.pages[0].aspage().tags[f"{axis}Resolution"].overwrite(resolution)
    assert read_micrograph(path).pixel_size is None


def test_no_pixel_size_from_dots_per_inch(tmp_path: Path) -> None:
    png = pillow(tmp_path / "a.png", Image.fromarray(GREY), dpi=(300, 300))
    tif = tiff(tmp_path / "a.tif", GREY, resolution=(300, 300), resolutionunit=2)
    assert read_micrograph(png).pixel_size is None
    assert read_micrograph(tif).pixel_size is None


# --- what is refused ----------------------------------------------------------------------------


def test_a_file_cut_short_in_transfer() -> None:
    if not TRUNCATED.exists():
        pytest.skip("the truncated file is not on this machine")
    with pytest.raises(InputError, match=r"truncated\.png: .*export it again"):
        read_micrograph(TRUNCATED)


@pytest.mark.parametrize("kind", ["png", "16-bit png", "tiff", "lzw", "jpg", "gif", "bmp"])
def test_any_cut_is_noticed(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    path = tmp_path / "a"
    if kind == "16-bit png":
        path.write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257))
    elif kind in ("tiff", "lzw"):
        tiff(path, RGB, compression=kind if kind == "lzw" else None)
    else:
        pillow(path, Image.fromarray(RGB), format="JPEG" if kind == "jpg" else kind.upper())
    whole = path.read_bytes()
    # The last bytes of a PNG or GIF are its end marker: without them the image is complete.
    for length in [*range(1, 60), *range(60, len(whole) - 20, 17)]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_micrograph(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"II*\0garbage", "damaged"),
        (b"<svg/>", "not an image"),
    ],
)
def test_what_is_no_image(
    tmp_path: Path, content: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_micrograph(path)
    assert "BytesIO" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "says"), [("none.png", "no such file"), ("", "a folder")])
def test_what_is_not_there(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_micrograph(tmp_path / name)


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_micrograph(tmp_path / ("x" * 300))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    values = (GREY / 255).astype(np.float32)
    values[2, 3] = value
    with pytest.raises(InputError, match=r"a\.tif: 1 pixels .* row 2, column 3"):
        read_micrograph(tiff(tmp_path / "a.tif", values))


def test_complex_and_multispectral_tiff(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="complex"):
        read_micrograph(tiff(tmp_path / "a.tif", GREY.astype(np.complex64)))
    many = np.zeros((8, 8, 5), np.uint8)
    with pytest.raises(InputError, match="shape"):
        read_micrograph(
            tiff(tmp_path / "b.tif", many, photometric="minisblack", planarconfig="contig")
        )


# --- label maps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 255, 300])
@pytest.mark.parametrize("pixel_size", [None, 0.25, 0.1234567, 12.5])
def test_labels_come_back_as_they_were(tmp_path: Path, k: int, pixel_size: float | None) -> None:
    labels = np.arange(400).reshape(20, 20) % (k + 1)
    path = tmp_path / "labels.tif"
    stored: Any = labels.astype(np.uint8 if k < 256 else np.uint16)
    write_labels(path, stored, class_colours(k), pixel_size)
    np.testing.assert_array_equal(read_labels(path), labels)
    np.testing.assert_array_equal(tifffile.imread(path), stored)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), stored)
    found = read_micrograph(path).pixel_size
    assert found == (None if pixel_size is None else pytest.approx(pixel_size, rel=1e-5))


def test_labels_have_a_colour_table_for_imagej(tmp_path: Path) -> None:
    colours = class_colours(3)
    path = tmp_path / "labels.tif"
    write_labels(path, LABELS, colours, 0.5)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0].aspage()
        assert file.is_imagej
        assert page.colormap is not None
        np.testing.assert_array_equal(page.colormap[:, 1:4] // 257, colours.T)
        assert not page.colormap[:, 0].any()
    assert_shows(path, colours[LABELS - 1] / 255)


def test_16_bit_labels_have_a_look_up_table_for_imagej(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    write_labels(path, LABELS.astype(np.uint16), class_colours(300), None)
    with tifffile.TiffFile(path) as file:
        assert file.imagej_metadata is not None
        table = np.reshape(file.imagej_metadata["LUTs"], (3, 256))
    np.testing.assert_array_equal(table[:, 1:4], class_colours(3).T)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_grey_labels_keep_their_numbers(tmp_path: Path, name: str) -> None:
    path = pillow(tmp_path / name, Image.fromarray(LABELS))
    np.testing.assert_array_equal(read_labels(path), LABELS)


def test_palette_labels_keep_their_numbers(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS).convert("P")
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    path = pillow(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_labels(path), np.asarray(image))


def test_each_colour_is_a_class_and_black_is_0(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [0, 0, 200], [0, 200, 0], [200, 0, 0]], np.uint8)
    wanted = LABELS.astype(int)
    wanted[0] = 0
    path = pillow(tmp_path / "a.png", Image.fromarray(colours[wanted]))
    np.testing.assert_array_equal(read_labels(path), wanted)


def test_only_black_is_0(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [0, 0, 200], [0, 200, 0], [200, 0, 0]], np.uint8)
    path = pillow(tmp_path / "a.png", Image.fromarray(colours[LABELS]))
    assert read_labels(path).min() > 0  # 0 would be excluded when the map is scored


def test_whole_numbers_stored_as_floats(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", LABELS.astype(np.float32))
    np.testing.assert_array_equal(read_labels(path), LABELS)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_fractions_are_no_labels(tmp_path: Path, value: float) -> None:
    values = LABELS.astype(np.float32)
    values[1, 1] = value
    with pytest.raises(InputError, match="whole numbers"):
        read_labels(tiff(tmp_path / "a.tif", values))


def test_a_jpeg_is_no_label_map(tmp_path: Path) -> None:
    path = pillow(tmp_path / "a.png", Image.fromarray(LABELS), format="JPEG")
    with pytest.raises(InputError, match="JPEG"):
        read_labels(path)


def test_a_photograph_is_no_label_map(tmp_path: Path) -> None:
    path = pillow(tmp_path / "a.png", Image.fromarray(RGB))
    with pytest.raises(InputError, match="colours"):
        read_labels(path)


# --- tables -------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    path = pillow(tmp_path / "a.png", Image.fromarray(GREY))
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_micrograph(path).sha256 == expected


@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_grey_labels_stored_in_more_channels_keep_their_numbers(tmp_path: Path, mode: str) -> None:
    path = pillow(tmp_path / "a.png", Image.fromarray(LABELS).convert(mode))
    np.testing.assert_array_equal(read_labels(path), LABELS)


def test_labels_that_are_too_large(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", LABELS.astype(np.uint32) + 2**20)
    with pytest.raises(InputError, match="too large"):
        read_labels(path)


def test_colours_that_are_not_supported(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", np.zeros((16, 20, 3), np.uint8), photometric="cielab")
    with pytest.raises(InputError, match="CIELAB"):
        read_micrograph(path)


def test_tables_and_json(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", [{"class": 1, "area": None}, {"class": 2, "area": 0.5}])
    assert (tmp_path / "a.csv").read_text() == "class,area\n1,\n2,0.5\n"
    write_json(tmp_path / "a.json", {"µ": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"µ": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"F": float("nan")})


def test_columns_come_back_as_they_were_written(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 2)) ** 9
    rows = [{"dark": a, "name": "x", "rest": b} for a, b in values.tolist()]
    write_table(tmp_path / "a.csv", rows)
    found = read_columns(tmp_path / "a.csv", ("rest", "dark"))
    np.testing.assert_array_equal(found, values[:, ::-1])


@pytest.mark.parametrize(
    "content",
    [
        b"a,c\n1,2\n",
        b"a,b\n1\n",
        b"a,b\n1,x\n",
        b"a,b\n1,\n",
        b"a,b\n1,\xff\n",
        b"a,b\n1,nan\n",
        b"a,b\n1,-inf\n",
        b"a,b\n1," + b"9" * 200_000 + b"\n",
    ],
)
def test_columns_that_are_not_as_they_were_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv: can't be used"):
        read_columns(tmp_path / "a.csv", ("a", "b"))


def test_columns_of_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: can't be used"):
        read_columns(tmp_path / "a.csv", ("a", "b"))


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"µ": [1, None]})
    assert read_json(tmp_path / "a.json") == {"µ": [1, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json: damaged"):
        read_json(tmp_path / "a.json")


# --- real micrographs ---------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.exists(), reason=f"no real micrographs at {DATA}")
def test_real_micrographs_and_their_labels_are_read() -> None:
    for path in sorted(DATA.glob("*/images/*")):
        micrograph = read_micrograph(path)
        assert 0 <= micrograph.pixels.min() < micrograph.pixels.max() <= 1
        assert not micrograph.excluded.any()
        labels = path.parents[1] / "labels" / path.name
        if labels.exists():
            assert read_labels(labels).shape == micrograph.shape
            assert read_labels(labels).max() <= 3
