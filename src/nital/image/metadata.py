"""Metadata: what the TIFF of a microscope says of its image, the pixel size and the info bar."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tifffile

from nital.errors import InputError
from nital.image.micrograph import LEAST_LENGTH, MICROMETRES, MOST_LENGTH

AGREEMENT = 0.01
"""Pixel sizes that differ by this share or less are the same."""

FINEST_PRINT = 2.5
"""A TIFF resolution with pixels of this many µm or more (10 160 dots per inch or less, as 72 or
300) says how to print or scan an image, not what it shows, and is not used."""

# Besides the usual names: lengths that only metadata are written in; ImageJ's words, and its
# escape for µ.
_UNITS = MICROMETRES | {"pm": 1e-6, "m": 1e6, "micron": 1.0, "microns": 1.0, "\\u00b5m": 1.0}


@dataclass(frozen=True)
class PixelSize:
    """Edges of a pixel in µm, as one source gives them."""

    source: str
    x: float
    y: float


@dataclass(frozen=True)
class Metadata:
    """What a file says of its image."""

    sizes: tuple[PixelSize, ...] = ()
    """One for each source that gives any, the vendor's first."""

    bar_height: int = 0
    """Rows of the info bar at the bottom; 0 where none is known of."""

    def pixel_size(self, path: Path) -> float | None:
        """Edge of a pixel in µm; None where no source gives any.

        Raises
        ------
        InputError
            If pixels are not square, or sources disagree, by more than 1 %.
        """
        for size in self.sizes:
            if not math.isclose(size.x, size.y, rel_tol=AGREEMENT):
                raise InputError(
                    f"{path}: pixels of {size.x:g} x {size.y:g} µm by {size.source}, not square;"
                    " resample the image, or give their edge with --pixel-size"
                )
        for other in self.sizes[1:]:
            first = self.sizes[0]
            if not math.isclose(first.x, other.x, rel_tol=AGREEMENT):
                raise InputError(
                    f"{path}: pixels of {first.x:g} µm by {first.source}, but of {other.x:g} µm by"
                    f" {other.source}; say which with --pixel-size"
                )
        return self.sizes[0].x if self.sizes else None


def read_metadata(tiff: tifffile.TiffFile, shape: tuple[int, int]) -> Metadata:
    """What an open TIFF file says of its image of (rows, cols).

    What is damaged, or makes no sense, is as if it were not there.
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
        except Exception:  # metadata hold whatever some program wrote
            continue
        if all(LEAST_LENGTH <= size <= most for size in (x, y)):
            yield PixelSize(source, x, y)


# Edges of a pixel in µm, x and y; each raises whatever it likes where its source gives none.


def _zeiss(tiff: tifffile.TiffFile) -> tuple[float, float]:
    # Not `ap_pixel_size`: that is the pixel of the screen, whatever resolution is stored.
    _, value, unit = (tiff.sem_metadata or {})["ap_image_pixel_size"]
    size = value * _UNITS[unit.lower()]
    return size, size


def _fei(tiff: tifffile.TiffFile) -> tuple[float, float]:
    said = tiff.fei_metadata or {}
    scan = said.get("EScan", {}) | said.get("Scan", {})
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
    """From the pixels in a unit of so many µm."""
    tags = tiff.pages.first.tags
    x, y = (tags[f"{axis}Resolution"].value for axis in "XY")
    return x[1] / x[0] * unit, y[1] / y[0] * unit


def _read_bar_height(tiff: tifffile.TiffFile, shape: tuple[int, int]) -> int:
    """FEI stores the scanned image with the bar below it, and says how much was scanned."""
    try:
        image = (tiff.fei_metadata or {})["Image"]
        rows, cols = int(image["ResolutionY"]), int(image.get("ResolutionX", shape[1]))
    except Exception:  # as above
        return 0
    # Of another width, it has been resampled or cut since.
    return shape[0] - rows if 0 < rows < shape[0] and cols == shape[1] else 0
