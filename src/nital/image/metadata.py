"""Metadata: the pixel size and the info bar, as recorded in the TIFF of a microscope."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tifffile

from nital.errors import InputError
from nital.image.lengths import LEAST_LENGTH, MICROMETRES, MOST_LENGTH

AGREEMENT = 0.01
"""Relative difference up to which pixel sizes count as the same."""

FINEST_PRINT = 2.5
"""A TIFF resolution with pixels of this many µm or more (10 160 dots per inch or less, such as 72
or 300) is that of a print or a scan, not of the specimen, and is not used."""

# Besides the usual names: units found only in metadata, ImageJ's words, and its escape for µ.
_UNITS = MICROMETRES | {"pm": 1e-6, "m": 1e6, "micron": 1.0, "microns": 1.0, "\\u00b5m": 1.0}


@dataclass(frozen=True)
class PixelSize:
    """Edges of a pixel in µm, as one source gives them."""

    source: str
    x: float
    y: float


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image file."""

    sizes: tuple[PixelSize, ...] = ()
    """One for each source that gives a pixel size, the vendor's first."""

    bar_height: int = 0
    """Rows of the info bar at the bottom; 0 if none is known."""

    def pixel_size(self, path: Path) -> float | None:
        """Edge of a pixel in µm; None if no source gives it.

        Raises
        ------
        InputError
            If pixels are not square, or sources disagree, by more than 1 %.
        """
        for size in self.sizes:
            if not math.isclose(size.x, size.y, rel_tol=AGREEMENT):
                raise InputError(
                    f"{path}: pixels of {size.x:g} x {size.y:g} µm in {size.source}, not square;"
                    " resample the image, or give their edge with --pixel-size"
                )
        for other in self.sizes[1:]:
            first = self.sizes[0]
            if not math.isclose(first.x, other.x, rel_tol=AGREEMENT):
                raise InputError(
                    f"{path}: pixels of {first.x:g} µm in {first.source}, but {other.x:g} µm in"
                    f" {other.source}; give the right edge with --pixel-size"
                )
        return self.sizes[0].x if self.sizes else None


def read_metadata(tiff: tifffile.TiffFile, shape: tuple[int, int]) -> Metadata:
    """Read the metadata of an open TIFF file, whose image has the shape (rows, cols).

    Metadata that are damaged or make no sense are ignored.
    """
    return Metadata(tuple(_read_sizes(tiff)), _read_bar_height(tiff, shape))


def _read_sizes(tiff: tifffile.TiffFile) -> Iterator[PixelSize]:
    for source, read, most in (
        ("Zeiss metadata", _zeiss, MOST_LENGTH),
        ("FEI metadata", _fei, MOST_LENGTH),
        ("OME metadata", _ome, MOST_LENGTH),
        ("ImageJ metadata", _imagej, MOST_LENGTH),
        ("TIFF resolution", _resolution, FINEST_PRINT),
    ):
        try:
            x, y = read(tiff)
        except Exception:  # programs write anything into metadata
            continue
        if all(LEAST_LENGTH <= size <= most for size in (x, y)):
            yield PixelSize(source, x, y)


# Edges of a pixel in µm, x and y; each raises any exception if its source gives none.


def _zeiss(tiff: tifffile.TiffFile) -> tuple[float, float]:
    # Not `ap_pixel_size`: that is the pixel of the screen, whatever the stored resolution.
    _, value, unit = (tiff.sem_metadata or {})["ap_image_pixel_size"]
    size = value * _UNITS[unit.lower()]
    return size, size


def _fei(tiff: tifffile.TiffFile) -> tuple[float, float]:
    metadata = tiff.fei_metadata or {}
    scan = metadata.get("EScan", {}) | metadata.get("Scan", {})
    return 1e6 * scan["PixelWidth"], 1e6 * scan["PixelHeight"]


def _ome(tiff: tifffile.TiffFile) -> tuple[float, float]:
    found = tifffile.xml2dict(tiff.ome_metadata or "")["OME"]["Image"]
    pixels = (found[0] if isinstance(found, list) else found)["Pixels"]
    x, y = (
        pixels[f"PhysicalSize{axis}"]
        * _UNITS[str(pixels.get(f"PhysicalSize{axis}Unit", "µm")).lower()]
        for axis in "XY"
    )
    return x, y


def _imagej(tiff: tifffile.TiffFile) -> tuple[float, float]:
    return _edges(tiff, _UNITS[str((tiff.imagej_metadata or {})["unit"]).lower()])


def _resolution(tiff: tifffile.TiffFile) -> tuple[float, float]:
    lengths = {tifffile.RESUNIT.INCH: 25_400.0, tifffile.RESUNIT.CENTIMETER: 1e4}
    return _edges(tiff, lengths[tifffile.RESUNIT(tiff.pages.first.resolutionunit)])


def _edges(tiff: tifffile.TiffFile, unit: float) -> tuple[float, float]:
    """Edges of a pixel from its resolution tags; `unit`: length of their unit in µm."""
    tags = tiff.pages.first.tags
    x, y = (tags[f"{axis}Resolution"].value for axis in "XY")
    return x[1] / x[0] * unit, y[1] / y[0] * unit


def _read_bar_height(tiff: tifffile.TiffFile, shape: tuple[int, int]) -> int:
    """Rows below the scanned image: FEI stores the bar there, and how many rows were scanned."""
    try:
        image = (tiff.fei_metadata or {})["Image"]
        rows, cols = int(image["ResolutionY"]), int(image.get("ResolutionX", shape[1]))
    except Exception:  # as above
        return 0
    # If the width differs, the image has been resampled or cropped since.
    return shape[0] - rows if 0 < rows < shape[0] and cols == shape[1] else 0
