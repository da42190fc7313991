"""Metadata: the pixel size from every source in a TIFF, and cropping the info bar."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from helpers.pictures import halves
from nital.errors import InputError
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.large import open_micrograph
from nital.image.metadata import Metadata, PixelSize
from nital.image.micrograph import LargeMicrograph, Micrograph

# Reading as a whole and opening for reading by windows: both find the same.
pytestmark = pytest.mark.usefixtures("everything_is_large")
Read = Callable[..., Micrograph | LargeMicrograph]
READERS = pytest.mark.parametrize("read", [read_micrograph, open_micrograph])

SCANNED, COLS, BAR = 40, 48, 9
IMAGE = halves(SCANNED + BAR, COLS)

ZEISS = """\
0
0
1.25e-008
0.000000e+000
DP_DETECTOR_CHANNEL
Detector = InLens
AP_PIXEL_SIZE
Pixel Size = 99.0 nm
AP_IMAGE_PIXEL_SIZE
Image Pixel Size = {size}
AP_MAG
Mag =  10.00 K X
"""

FEI = """\
[User]
Date=03/14/2022

[Beam]
HV=5000
Scan=EScan

[{section}]
InternalScan=true
Dwelltime=3e-006
PixelWidth={x}
PixelHeight={y}
HorFieldsize=2.56e-006

[Image]
DigitalContrast=1
ResolutionX={cols}
ResolutionY={rows}

[PrivateFei]
DatabarHeight=59
"""


def zeiss(size: str) -> dict[str, Any]:
    """Options of a TIFF as written by SmartSEM."""
    text = ZEISS.format(size=size).replace("\n", "\r\n").encode("cp1252")
    return {"extratags": [(34118, "s", 0, text, True)]}


def fei(
    x: object = 2.5e-8,
    y: object = 2.5e-8,
    *,
    section: str = "Scan",
    tag: int = 34682,
    rows: object = SCANNED,
    cols: object = COLS,
) -> dict[str, Any]:
    """Options of a TIFF as written by FEI or Thermo Fisher."""
    text = FEI.format(x=x, y=y, section=section, rows=rows, cols=cols).replace("\n", "\r\n")
    return {"extratags": [(tag, "s", 0, text, True)]}


def resolution(x: float, y: float, unit: str) -> dict[str, Any]:
    """Options of a TIFF with a resolution per inch or centimetre."""
    return {"resolution": (x, y), "resolutionunit": unit}


def imagej(x: float, y: float) -> dict[str, Any]:
    """Options of a TIFF of ImageJ with edges in µm."""
    return {"imagej": True, "resolution": (1 / x, 1 / y), "metadata": {"unit": "um"}}


def ome(size: float) -> dict[str, Any]:
    """Options of an OME TIFF with pixels in µm."""
    sizes = {f"PhysicalSize{axis}": size for axis in "XY"}
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    return {"ome": True, "metadata": {"axes": "YX", **sizes, **units}}


def tiff(folder: Path, options: dict[str, Any], image: NDArray[Any] = IMAGE) -> Path:
    """Write a TIFF and return its path."""
    tifffile.imwrite(folder / "a.tif", image, **options)
    return folder / "a.tif"


# --- pixel size ---------------------------------------------------------------------------------


@READERS
@pytest.mark.parametrize(
    ("options", "size"),
    [
        (zeiss("12.50 nm"), 0.0125),
        (zeiss("1.25 µm"), 1.25),
        (zeiss("558.2 pm"), 0.0005582),
        (fei(), 0.025),
        (fei(tag=34680), 0.025),
        (fei(section="EScan"), 0.025),
        (imagej(0.25, 0.25), 0.25),
        (ome(0.25), 0.25),
        (resolution(254_000, 254_000, "inch"), 0.1),
        (resolution(40_000, 40_000, "centimeter"), 0.25),
    ],
)
def test_the_pixel_size_is_found(
    tmp_path: Path, read: Read, options: dict[str, Any], size: float
) -> None:
    assert read(tiff(tmp_path, options)).pixel_size == pytest.approx(size)


def test_two_readers_are_two_kinds(tmp_path: Path) -> None:
    path = tiff(tmp_path, fei())
    assert isinstance(read_micrograph(path), Micrograph)
    assert isinstance(open_micrograph(path), LargeMicrograph)


@READERS
@pytest.mark.parametrize("dots", [72, 96, 150, 200, 300, 600, 1200, 9600])
@pytest.mark.parametrize("unit", ["inch", "centimeter", "none"])
def test_the_resolution_of_a_print_is_no_pixel_size(
    tmp_path: Path, read: Read, dots: float, unit: str
) -> None:
    dots = dots / 2.54 if unit == "centimeter" else dots
    path = tiff(tmp_path, resolution(dots, dots, unit))
    assert read(path).pixel_size is None
    path = tiff(tmp_path, zeiss("12.50 nm") | resolution(dots, dots, unit))
    assert read(path).pixel_size == 0.0125


@pytest.mark.parametrize(
    "options",
    [
        zeiss("0 nm"),
        zeiss("-3 nm"),
        zeiss("nan nm"),
        zeiss("12.5"),
        zeiss("12.5 furlongs"),
        zeiss("12.5 m m"),
        zeiss("1e-9 nm"),
        zeiss("1e9 mm"),
        zeiss(""),
        fei(0, 0),
        fei(-1e-8, -1e-8),
        fei("nan", "nan"),
        fei("inf", "inf"),
        fei("", ""),
        fei(2.5e-8, ""),
        fei(section="IScan"),
        {"extratags": [(34682, "s", 0, "no sections", True)]},
        {"extratags": [(34118, "s", 0, "", True)]},
        {"extratags": [(34118, "H", 1, 7, True)]},
        {"description": "<OME><Image></OME>", "metadata": None},
        {"description": "not XML</OME>", "metadata": None},
    ],
)
def test_what_makes_no_sense_is_not_there(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tiff(tmp_path, options)
    assert read_micrograph(path).pixel_size is None
    assert open_micrograph(path).pixel_size is None


AGREEING = [
    (zeiss("100.0 nm") | resolution(101_000, 101_000, "centimeter"), 0.1),
    (fei(1e-7, 1e-7) | imagej(0.1005, 0.1005), 0.1),
    (fei(1e-7, 1e-7) | ome(0.0995), 0.1),
]
DISAGREEING = [
    (zeiss("100.0 nm") | resolution(98_000, 98_000, "centimeter"), "Zeiss", "TIFF resolution"),
    (fei(1e-7, 1e-7) | imagej(0.2, 0.2), "FEI", "ImageJ"),
    (fei(1e-7, 1e-7) | ome(0.0985), "FEI", "OME"),
]


@READERS
@pytest.mark.parametrize(("options", "size"), AGREEING)
def test_the_vendor_is_believed_where_sources_agree(
    tmp_path: Path, read: Read, options: dict[str, Any], size: float
) -> None:
    assert read(tiff(tmp_path, options)).pixel_size == pytest.approx(size, rel=1e-9)


@READERS
@pytest.mark.parametrize(("options", "vendor", "other"), DISAGREEING)
def test_sources_that_disagree_are_told(
    tmp_path: Path, read: Read, options: dict[str, Any], vendor: str, other: str
) -> None:
    path = tiff(tmp_path, options)
    said = rf"a\.tif: .*0\.1 µm in {vendor}.*, but .* µm in {other}.*--pixel-size"
    with pytest.raises(InputError, match=said):
        read(path)
    assert read(path, pixel_size=7.0).pixel_size == 7


@READERS
@pytest.mark.parametrize(
    "options",
    [fei(2.5e-8, 3e-8), imagej(0.25, 0.3), resolution(40_000, 41_000, "centimeter")],
)
def test_pixels_that_are_not_square_are_told(
    tmp_path: Path, read: Read, options: dict[str, Any]
) -> None:
    path = tiff(tmp_path, options)
    with pytest.raises(InputError, match=r"a\.tif: pixels of .* x .* not square.*--pixel-size"):
        read(path)
    assert read(path, pixel_size=7.0).pixel_size == 7


def test_one_per_cent_is_the_same() -> None:
    def found(*sizes: float) -> float | None:
        return Metadata(tuple(PixelSize("x", s, s) for s in sizes)).pixel_size(Path("a.tif"))

    assert found() is None
    assert found(1.0, 1.0099, 0.9901) == 1
    with pytest.raises(InputError):
        found(1.0, 1.0, 1.011)


def test_label_maps_need_no_pixel_size(tmp_path: Path) -> None:
    path = tiff(tmp_path, DISAGREEING[0][0], IMAGE // 100)
    assert (read_labels(path) == IMAGE // 100).all()


# --- info bar -----------------------------------------------------------------------------------


def assert_cropped(path: Path, image: NDArray[Any], n: int, **how: Any) -> None:
    """Check that both readers give the part of the image above `n` rows."""
    rows, cols = image.shape[0] - n, image.shape[1]
    whole, large = read_micrograph(path, **how), open_micrograph(path, **how)
    assert whole.cropped_bottom == large.cropped_bottom == n
    assert whole.shape == large.shape == (rows, cols)
    assert whole.full_scale == large.full_scale
    window = slice(0, rows), slice(0, cols)
    expected = Micrograph.from_array(image[:rows])
    for found in (whole, large):
        assert found.sha256 == whole.sha256
        assert (found.read(*window) == expected.pixels).all()
        assert not found.read_excluded(*window).any()
        assert (found.reduced(3) == expected.reduced(3)).all()


@pytest.mark.parametrize("tag", [34680, 34682])
@pytest.mark.parametrize("image", [IMAGE, IMAGE.astype(np.uint16) * 9])
def test_the_bar_that_fei_metadata_tell_of_is_cut_off(
    tmp_path: Path, tag: int, image: NDArray[Any]
) -> None:
    image = image.copy()
    image[SCANNED:] = np.iinfo(image.dtype).max  # must not change the full scale
    assert_cropped(tiff(tmp_path, fei(tag=tag), image), image, BAR)


@pytest.mark.parametrize(
    "options",
    [
        {},
        zeiss("12.50 nm"),
        fei(rows=SCANNED + BAR),
        fei(rows=SCANNED + 2 * BAR),
        fei(rows=0),
        fei(rows=-3),
        fei(rows=""),
        fei(rows="inf"),
        fei(cols=2 * COLS),
    ],
)
def test_nothing_is_cut_off_where_no_bar_is_told_of(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    assert_cropped(tiff(tmp_path, options), IMAGE, 0)


@pytest.mark.parametrize("options", [{}, fei(), {"rowsperstrip": 7, "compression": "zlib"}])
@pytest.mark.parametrize("n", [0, 1, 7, SCANNED + BAR - 1])
def test_so_many_rows_are_cut_off_as_are_asked_for(
    tmp_path: Path, options: dict[str, Any], n: int
) -> None:
    assert_cropped(tiff(tmp_path, options), IMAGE, n, crop_bottom=n)


def ome_zarr(path: Path) -> Path:
    """The image as OME-Zarr."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=IMAGE.shape, dtype=IMAGE.dtype)[:] = IMAGE
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    return path


@pytest.mark.parametrize(("crop_bottom", "n"), [(None, 0), (0, 0), (BAR, BAR)])
def test_rows_of_an_ome_zarr_are_cut_off(tmp_path: Path, crop_bottom: int | None, n: int) -> None:
    assert_cropped(ome_zarr(tmp_path / "a.zarr"), IMAGE, n, crop_bottom=crop_bottom)


@READERS
@pytest.mark.parametrize("n", [-1, SCANNED + BAR, 10**9])
def test_a_crop_that_can_not_be_is_told(tmp_path: Path, read: Read, n: int) -> None:
    for path in (tiff(tmp_path, fei()), ome_zarr(tmp_path / "a.zarr")):
        said = rf"{path.name}: {n} rows can't be cut off .* of 49; give 0 to 48 with --crop-bottom"
        with pytest.raises(InputError, match=said):
            read(path, crop_bottom=n)
