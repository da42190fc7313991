"""Large images: reading by windows gives what reading as a whole does; pyramids of labels."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.files import read_micrograph
from nital.image.labels import read_labels, write_label_pyramid
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.output.render import class_colours

pytestmark = pytest.mark.usefixtures("everything_is_large")

SHAPE = (70, 90)
GREY = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
PLANES = np.moveaxis(RGB, 2, 0)


def tiff(path: Path, array: NDArray[Any], **options: Any) -> Path:
    path = path / "a.tif"
    tifffile.imwrite(path, array, **options)
    return path


def opened(path: Path, **how: Any) -> LargeMicrograph:
    found = open_micrograph(path, **how)
    assert isinstance(found, LargeMicrograph)
    return found


def assert_the_same(found: LargeMicrograph, whole: Micrograph) -> None:
    """Check that every window, and all other data, are those of the micrograph."""
    assert found.shape == whole.shape
    for name in ("full_scale", "pixel_size", "name", "sha256"):
        assert getattr(found, name) == getattr(whole, name)
    rows, cols = whole.shape
    for window in (np.s_[0:rows, 0:cols], np.s_[15:33, 31:50], np.s_[rows - 1 : rows, 0:1]):
        assert (found.read(*window) == whole.pixels[window]).all()
        assert (found.read_excluded(*window) == whole.excluded[window]).all()
    assert (found.reduced(3) == whole.reduced(3)).all()


# --- TIFF ---------------------------------------------------------------------------------------

TIFFS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "plain": (GREY, {}),
    "plain RGB": (RGB, {}),
    "strips": (RGB, {"rowsperstrip": 7}),
    "strips, lzw": (RGB, {"rowsperstrip": 7, "compression": "lzw"}),
    "strips, lzw, predictor": (
        GREY.astype(np.uint16) * 7,
        {"rowsperstrip": 16, "compression": "lzw", "predictor": True},
    ),
    "one strip, deflate": (GREY, {"compression": "zlib"}),
    "tiles": (RGB, {"tile": (32, 48)}),
    "tiles, deflate": (GREY, {"tile": (32, 48), "compression": "zlib"}),
    "tiles, jpeg": (RGB, {"tile": (32, 48), "compression": "jpeg", "photometric": "rgb"}),
    "tiles, jpeg, ycbcr": (
        RGB,
        {"tile": (32, 48), "compression": "jpeg", "photometric": "ycbcr", "subsampling": (1, 1)},
    ),
    "planar": (PLANES, {"photometric": "rgb", "planarconfig": "separate"}),
    "planar, strips, lzw": (
        PLANES,
        {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 9, "compression": "lzw"},
    ),
    "planar, tiles": (
        PLANES,
        {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 48), "compression": "zlib"},
    ),
    "palette": (
        GREY,
        {
            "photometric": "palette",
            "colormap": np.arange(768, 0, -1).astype("u2").reshape(3, 256) * 80,
        },
    ),
    "palette, tiles": (
        GREY,
        {
            "photometric": "palette",
            "colormap": np.arange(768, dtype="u2").reshape(3, 256) * 80,
            "tile": (16, 16),
            "compression": "zlib",
        },
    ),
    "16 bit": (GREY.astype(np.uint16) * 200, {}),
    "12 bit, tiles": (GREY.astype(np.uint16) * 16, {"tile": (32, 32), "compression": "lzw"}),
    "16 bit, big-endian": (GREY.astype(np.uint16) * 200, {"byteorder": ">"}),
    "float": (GREY.astype(np.float32) / 300, {}),
    "float, tiles": (
        RGB.astype(np.float64) - 20,
        {"photometric": "rgb", "tile": (32, 32), "compression": "zlib"},
    ),
    "BigTIFF": (RGB, {"bigtiff": True, "tile": (32, 32)}),
    "white is 0": (GREY, {"photometric": "miniswhite"}),
    "1 bit": (GREY > 99, {"photometric": "minisblack"}),
    "CMYK": (np.dstack([RGB, GREY]), {"photometric": "separated"}),
    "transparent": (np.dstack([RGB, GREY // 128]), {"extrasamples": ["unassalpha"]}),
    "transparent, tiles": (
        np.dstack([GREY, GREY.T.reshape(SHAPE) // 128]),
        {"photometric": "minisblack", "extrasamples": ["unassalpha"], "tile": (32, 32)},
    ),
    "ImageJ": (GREY, {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}),
    "OME": (
        GREY,
        {
            "ome": True,
            "tile": (32, 32),
            "metadata": {
                "axes": "YX",
                "PhysicalSizeX": 250.0,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 250.0,
                "PhysicalSizeYUnit": "nm",
            },
        },
    ),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_a_large_tiff_is_what_is_read_of_it_as_a_whole(tmp_path: Path, kind: str) -> None:
    array, options = TIFFS[kind]
    path = tiff(tmp_path, array, **options)
    assert_the_same(opened(path), read_micrograph(path))


def test_a_small_tiff_and_other_kinds_are_read_as_a_whole(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert isinstance(open_micrograph(tmp_path / "a.png"), Micrograph)
    assert isinstance(open_micrograph(tiff(tmp_path, GREY[:10, :100])), Micrograph)
    assert isinstance(open_micrograph(tiff(tmp_path, GREY[:13, :77])), LargeMicrograph)


@pytest.mark.parametrize("options", [{}, {"tile": (32, 32)}, {"imagej": True}])
def test_a_page_of_a_large_stack(tmp_path: Path, options: dict[str, Any]) -> None:
    pages = np.stack([GREY, 255 - GREY, GREY // 2])
    if "imagej" not in options:
        options = options | {"photometric": "minisblack"}
    path = tiff(tmp_path, pages, **options)
    for page in (1, 2, 3):
        assert_the_same(opened(path, page=page), read_micrograph(path, page=page))
    with pytest.raises(InputError, match=r"stack of 3 pages; choose one with --page 1\.\.3"):
        open_micrograph(path)
    with pytest.raises(InputError, match="page 4 of 3"):
        open_micrograph(path, page=4)


def test_a_page_of_a_single_image(tmp_path: Path) -> None:
    path = tiff(tmp_path, GREY)
    assert_the_same(opened(path, page=1), read_micrograph(path))
    with pytest.raises(InputError, match="page 2 of 1"):
        open_micrograph(path, page=2)


def test_pages_without_directories_of_their_own(tmp_path: Path) -> None:
    pages = np.stack([GREY, 255 - GREY, GREY // 2])
    path = tiff(tmp_path, pages, photometric="minisblack", truncate=True)
    with pytest.raises(InputError, match=r"stack of 3 pages; choose one with --page 1\.\.3"):
        open_micrograph(path)
    assert_the_same(opened(path, page=2), read_micrograph(path, page=2))


@pytest.mark.parametrize("page", [0, -1])
def test_pages_are_counted_from_1(tmp_path: Path, page: int) -> None:
    path = tiff(tmp_path, GREY)
    with pytest.raises(InputError, match=rf"page {page}; pages are counted from 1"):
        open_micrograph(path, page=page)


def test_what_is_stored_as_it_is_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(zarr, "open_array")  # which reads the others
    path = tiff(tmp_path, GREY)
    assert_the_same(opened(path), read_micrograph(path))


def test_a_pixel_size_that_is_given_comes_first(tmp_path: Path) -> None:
    path = tiff(tmp_path, TIFFS["ImageJ"][0], **TIFFS["ImageJ"][1])
    assert opened(path).pixel_size == pytest.approx(0.25)
    assert opened(path, pixel_size=3.0).pixel_size == 3


# --- files that are not whole -------------------------------------------------------------------


CUT = ["plain", "16 bit", "planar", "strips, lzw", "tiles, deflate"]


def cut_file(folder: Path, kind: str) -> tuple[Path, bytes, int]:
    """A file, its bytes, and the offset of those of the image."""
    path = tiff(folder, TIFFS[kind][0], **TIFFS[kind][1])
    with tifffile.TiffFile(path) as file:
        start = min(file.pages[0].aspage().dataoffsets)
    return path, path.read_bytes(), start


@pytest.mark.parametrize("kind", CUT)
def test_any_cut_in_the_image_is_noticed(tmp_path: Path, kind: str) -> None:
    path, whole, start = cut_file(tmp_path, kind)
    for length in [*range(start, len(whole), 1499), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"a\.tif: cut short, {length} bytes"):
            open_micrograph(path)


@pytest.mark.parametrize("kind", CUT)
def test_any_cut_before_the_image_is_noticed(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    path, whole, start = cut_file(tmp_path, kind)
    for length in range(1, start, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.tif"):
            open_micrograph(path)


def test_a_cut_is_told_in_bytes(tmp_path: Path) -> None:
    path = tiff(tmp_path, GREY)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    n = len(whole)
    with pytest.raises(InputError, match=rf"a\.tif: cut short, {n - 100} bytes of at least {n}"):
        open_micrograph(path)


def test_damage_is_told_with_the_rows_where_it_is(tmp_path: Path) -> None:
    path = tiff(tmp_path, RGB, rowsperstrip=10, compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0].aspage()
        start, length = page.dataoffsets[4], page.databytecounts[4]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif: damaged, rows 0 to 70 can't be read"):
        open_micrograph(path)


def test_colours_that_are_not_supported(tmp_path: Path) -> None:
    path = tiff(tmp_path, RGB, photometric="cielab")
    with pytest.raises(InputError, match="CIELAB"):
        open_micrograph(path)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full(SHAPE, 9, np.uint16), "constant"),
        (np.where(GREY > 200, np.nan, 0.5).astype(np.float32), "NaN"),
        (np.zeros((*SHAPE, 5), np.uint8), "shape"),
    ],
)
def test_what_can_not_be_segmented(tmp_path: Path, array: NDArray[Any], said: str) -> None:
    options = {"photometric": "minisblack", "planarconfig": "contig"} if array.ndim == 3 else {}
    path = tiff(tmp_path, array, **options)
    with pytest.raises(InputError, match=rf"^a\.tif: .*{said}"):
        open_micrograph(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_micrograph(tmp_path / "a.tif")
    with pytest.raises(InputError, match="a folder, not a file"):
        open_micrograph(tmp_path)


# --- label maps ---------------------------------------------------------------------------------

LABELS = np.random.default_rng(2).integers(0, 4, (700, 1100)).astype(np.uint8)


def pyramid(
    path: Path, labels: NDArray[np.unsignedinteger], pixel_size: float | None = 0.25
) -> Path:
    write_label_pyramid(path / "labels.tif", labels, class_colours(3), pixel_size)
    return path / "labels.tif"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_pyramid_is_tiled_compressed_and_big(tmp_path: Path, dtype: type) -> None:
    path = pyramid(tmp_path, LABELS.astype(dtype))
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert file.is_ome
        assert len(file.pages) == 1
        (series,) = file.series
        assert len(series.levels) == 3
        for number, level in enumerate(series.levels):
            (page,) = level.pages
            assert isinstance(page, tifffile.TiffPage)
            assert page.is_tiled
            assert (page.tilelength, page.tilewidth) == (512, 512)
            assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            assert page.is_reduced == (number > 0)
            assert page.dtype == dtype
            assert (page.asarray() == LABELS[:: 2**number, :: 2**number]).all()
    assert path.stat().st_size < LABELS.nbytes * np.dtype(dtype).itemsize


@pytest.mark.parametrize(
    ("shape", "n_levels"),
    [((1, 1), 1), ((512, 512), 1), ((513, 7), 2), ((3, 1024), 2), ((1025, 1030), 3)],
)
def test_levels_are_added_until_one_tile_holds_all(
    tmp_path: Path, shape: tuple[int, int], n_levels: int
) -> None:
    labels = np.ones(shape, np.uint8)
    with tifffile.TiffFile(pyramid(tmp_path, labels)) as file:
        assert len(file.series[0].levels) == n_levels
        assert max(file.series[0].levels[-1].shape) <= 512


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_pyramid_comes_back_as_labels(tmp_path: Path, dtype: type) -> None:
    assert (read_labels(pyramid(tmp_path, LABELS.astype(dtype))) == LABELS).all()


def test_a_pyramid_shows_its_colours(tmp_path: Path) -> None:
    shown = read_micrograph(pyramid(tmp_path, LABELS)).pixels
    colours = np.vstack([np.zeros((1, 3)), class_colours(3)])
    assert (np.rint(255 * shown) == colours[LABELS]).all()


@pytest.mark.parametrize("size", [None, 0.25, 1.5])
def test_a_pyramid_knows_its_pixel_size(tmp_path: Path, size: float | None) -> None:
    assert opened(pyramid(tmp_path, LABELS, size)).pixel_size == size


def test_the_same_labels_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, again = (pyramid(tmp_path / name, LABELS) for name in ("one", "two"))
    assert first.read_bytes() == again.read_bytes()


def test_a_map_on_the_disk_is_written_as_one_in_memory(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "map", np.uint8, "w+", shape=LABELS.shape)
    mapped[:] = LABELS
    (tmp_path / "mapped").mkdir()
    assert pyramid(tmp_path / "mapped", mapped).read_bytes() == (
        pyramid(tmp_path, LABELS).read_bytes()
    )
