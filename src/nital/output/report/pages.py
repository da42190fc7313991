"""What the report shows of each field, and its pictures."""

import base64
import io
import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nital.errors import InputError, reason_of
from nital.image.light import NOTABLE_DEPTH, Light
from nital.image.micrograph import step_within
from nital.measure.specimen import Field
from nital.output.folders import PhaseFolder, open_original
from nital.output.render import hex_of
from nital.output.report.record import Entry, record
from nital.output.results import OVERLAY_SIDE
from nital.result.likeness import Likeness
from nital.storage.tables import read_json

SINGLE_SIDE = 1000
"""Largest width and height of the pictures of a single result, in pixels."""

THUMBNAIL_SIDE = 300
MOST_SIDE, LEAST_SIDE = 640, 240
"""Limits for one of several fields: the more fields, the smaller their pictures."""

BATCH_PIXELS = 24_000_000
"""Pixels of all pictures of a report except thumbnails: some 10 to 15 MB of HTML."""

BAR_SHARE = 0.3
"""Largest length of a scale bar, as a share of the width."""


@dataclass(frozen=True)
class Picture:
    """A picture embedded in the file."""

    url: str
    width: int
    height: int


@dataclass(frozen=True)
class ScaleBar:
    """A length, and the share of a picture's width that it takes, 0 to 1."""

    text: str
    share: float


@dataclass(frozen=True)
class FieldPage:
    """What the report shows of one field."""

    field: Field
    summary: dict[str, Any]
    colours: tuple[str, ...]
    """Colour of each phase, as `#0072b2`."""

    overlay: Picture
    thumbnail: Picture
    original: Picture | None
    missing: str | None
    """Why the original is missing."""

    bar: ScaleBar | None
    criteria: dict[str, float]
    merged: bool
    """Whether a person assigned the fine classes to phases (`nital fine --merge`)."""

    likeness: Likeness | None
    light: Picture | None
    """The light that was removed, if it is notable."""

    record: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Name of the micrograph."""
        given: str | None = self.summary.get("name")
        return given or Path(self.summary["image"]).name

    @property
    def unit(self) -> str:
        """Unit of lengths; areas are in its square."""
        return "px" if self.field.pixel_size is None else "µm"

    @property
    def region(self) -> str:
        """What a region is in the criteria."""
        if self.merged:
            return "phase"
        by_class = self.summary["settings"]["regions"] == "classes"
        return "class" if by_class else "connected component"

    @property
    def light_depth(self) -> float:
        """How much darker the darkest place was than the lightest, 0 to 1."""
        depth: float = self.summary["light"]["depth"]
        return depth

    @property
    def fades(self) -> bool:
        """Whether the tint of the overlay fades where `agreeing` disagree."""
        return not self.merged and "mean_agreement" in self.summary

    @property
    def agreeing(self) -> str:
        """What the uncertainty is that of: the views of fast mode, or repeats."""
        repeats = self.summary["settings"].get("repeats")
        if repeats is None:
            return "disturbed views of the micrograph"
        return f"{repeats} repeats with different seeds"

    @property
    def contacts(self) -> list[tuple[str, str, float]]:
        """Pairs of phases that touch, and the length of their boundary."""
        pairs = combinations(enumerate(self.field.phases), 2)
        lengths = [(one, other, self.field.contacts[i, j]) for (i, one), (j, other) in pairs]
        return [(one, other, float(length)) for one, other, length in lengths if length]

    @property
    def is_uncertain(self) -> bool:
        """Whether any fraction has an uncertainty from `agreeing`."""
        return any(each is not None for each in self.field.uncertainties)

    def fraction(self, phase: str) -> float:
        """Area fraction of a phase, 0 to 1."""
        return self.field.fractions[self.field.phases.index(phase)]


# --- reading --------------------------------------------------------------------------------------


def picture_side(n_fields: int) -> int:
    """Return the largest width and height of the pictures of a field, in pixels."""
    if n_fields == 1:
        return SINGLE_SIDE
    return min(MOST_SIDE, max(LEAST_SIDE, math.isqrt(BATCH_PIXELS // (2 * n_fields))))


def read_page(folder: Path, side: int) -> FieldPage:
    """Measure a field and make its pictures; raises the errors of `PhaseFolder.read`."""
    found = PhaseFolder.read(folder)
    field, summary = found.measure(), found.summary
    colours = tuple(hex_of(colour) for colour in found.colours)
    del found  # free the map before the micrograph is loaded
    described = folder / "phases.json"
    merged = read_json(described) if described.is_file() else None
    overlay = _open_overlay(folder / ("overlay.png" if merged is None else "phases.png"))
    original, missing = None, None
    try:
        original = _picture(_read_original(summary), side)
    except (InputError, OSError) as error:
        missing = reason_of(error)
    likeness = summary.get("likeness")
    return FieldPage(
        field=field,
        summary=summary,
        colours=colours,
        overlay=_picture(overlay, side),
        thumbnail=_picture(overlay, min(side, THUMBNAIL_SIDE)),
        original=original,
        missing=missing,
        bar=_scale_bar(summary["shape"][1], field.pixel_size),
        criteria=(summary if merged is None else merged)["criteria"],
        merged=merged is not None,
        likeness=None if likeness is None else Likeness(**likeness),
        light=_light(summary, min(side, THUMBNAIL_SIDE)),
        record=tuple(record(summary, merged)),
    )


def _open_overlay(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise InputError(f"{path}: can't be read ({reason_of(error)}); segment again") from error


def _read_original(summary: dict[str, Any]) -> Image.Image:
    """Read the micrograph as it was segmented, subsampled like its overlay.

    Raises
    ------
    InputError
        If it is missing, or another one.
    """
    path = Path(summary["image"])
    if not path.exists():
        raise InputError(f"{path}: no such file")
    micrograph = open_original(path, summary)
    if micrograph.sha256 != summary["sha256"] or list(micrograph.shape) != summary["shape"]:
        raise InputError(f"{path}: not the segmented micrograph, its SHA-256 or size differs")
    pixels = micrograph.reduced(step_within(micrograph.shape, OVERLAY_SIDE))
    values = np.round(255 * pixels).astype(np.uint8)
    grey = bool((values == values[..., :1]).all())
    return Image.fromarray(values[..., 0] if grey else values)


def _picture(image: Image.Image, side: int) -> Picture:
    """Embed an image as JPEG, at most `side` pixels wide and high."""
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # Large pictures keep full colour resolution: chroma subsampling would blur the tints.
    fine = {"quality": 88, "subsampling": 0} if side > MOST_SIDE else {"quality": 75}
    image.save(data, "JPEG", **fine)
    encoded = base64.b64encode(data.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{encoded}", *image.size)


def _light(summary: dict[str, Any], side: int) -> Picture | None:
    """The light that was removed, from black where there was none to white where there was most;
    None unless it is notable."""
    if summary.get("light", {"depth": 0})["depth"] < NOTABLE_DEPTH:
        return None
    shape = tuple(summary["shape"])
    rows, cols = (max(2, round(length * side / max(shape))) for length in shape)
    field = Light(tuple(summary["light"]["coefficients"])).field((rows, cols))
    return _picture(Image.fromarray(np.round(255 * field / field.max()).astype(np.uint8)), side)


def _scale_bar(n_cols: int, pixel_size: float | None) -> ScaleBar | None:
    """Choose the longest round length of at most `BAR_SHARE` of a micrograph's width."""
    if pixel_size is None:
        return None
    width = n_cols * pixel_size
    power = 10.0 ** math.floor(math.log10(BAR_SHARE * width))
    fitting = (n * power for n in (1, 2, 5) if n * power <= BAR_SHARE * width)
    length = max(fitting, default=power)  # rounding of the logarithm may leave none
    text = f"{1000 * length:g} nm" if length < 1 else f"{length:,g} µm"
    return ScaleBar(text if length < 1000 else f"{length / 1000:g} mm", length / width)
