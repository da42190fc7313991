"""The report: one HTML file of a micrograph or a specimen, to be read offline, printed and signed.

It shows what `folders`, `specimen` and the summaries of the results say, and measures nothing.
"""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from nital import __version__
from nital.errors import InputError, reason_of
from nital.image.files import read_json
from nital.image.micrograph import step_within
from nital.measure.specimen import GRID, Field, Specimen, measure_specimen
from nital.output.folders import PhaseFolder, open_original
from nital.output.render import hex_of, percent
from nital.output.results import OVERLAY_SIDE
from nital.result.segmentation import Likeness
from nital.storage.writing import check_new, write_whole, writing

SINGLE_SIDE = 1000
"""Pictures of a single result are at most so many pixels wide and high."""

THUMBNAIL_SIDE = 300
MOST_SIDE, LEAST_SIDE = 640, 240
"""Pictures of one of several fields: the more fields, the smaller."""

BATCH_PIXELS = 24_000_000
"""Pixels of all pictures of a batch but the thumbnails: some 10 to 15 MB of HTML."""

BAR_SHARE = 0.3
"""A scale bar is at most this share of the width."""

CHART_SIZE = {"width": 720, "height": 120, "left": 56, "right": 716, "top": 8, "bottom": 102}
"""Pixels of a chart as a whole, and where its axes begin and end."""

_MOST_LABELS = 24
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Picture:
    """A picture inside the file."""

    url: str
    width: int
    height: int


@dataclass(frozen=True)
class ScaleBar:
    """A length, and the share of a picture's width that it takes, 0 to 1."""

    text: str
    share: float


class Entry(NamedTuple):
    """A line of the record of how a result was made."""

    group: str
    label: str
    text: str


@dataclass(frozen=True)
class FieldPage:
    """What the report shows of one field."""

    field: Field
    summary: dict[str, Any]
    colours: tuple[str, ...]
    """Of each phase, as `#0072b2`."""

    overlay: Picture
    thumbnail: Picture
    original: Picture | None
    missing: str | None
    """Why there is no original."""

    bar: ScaleBar | None
    criteria: dict[str, float]
    merged: bool
    """Whether a person put the phases together from fine classes (`nital fine --merge`)."""

    likeness: Likeness | None
    record: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Name of the micrograph."""
        given: str | None = self.summary.get("name")
        return given or Path(self.summary["image"]).name

    @property
    def unit(self) -> str:
        """Of lengths; areas are in its square."""
        return "px" if self.field.pixel_size is None else "µm"

    @property
    def region(self) -> str:
        """What the criteria take for a region."""
        if self.merged:
            return "phase"
        by_class = self.summary["settings"]["regions"] == "classes"
        return "class" if by_class else "connected component"

    @property
    def fades(self) -> bool:
        """Whether the tint of the overlay fades where repeats do not agree."""
        return not self.merged and "mean_agreement" in self.summary

    @property
    def contacts(self) -> list[tuple[str, str, float]]:
        """Pairs of phases that touch, and the length of their boundary."""
        pairs = combinations(enumerate(self.field.phases), 2)
        lengths = [(one, other, self.field.contacts[i, j]) for (i, one), (j, other) in pairs]
        return [(one, other, float(length)) for one, other, length in lengths if length]

    @property
    def spreads(self) -> list[dict[str, Any]]:
        """Rows of the classes, where they tell of a spread over repeats."""
        return [row for row in self.summary["classes"] if row.get("spread") is not None]

    def fraction(self, phase: str) -> float:
        """Area fraction of a phase, 0 to 1."""
        return self.field.fractions[self.field.phases.index(phase)]


class Bar(NamedTuple):
    """A field in a chart."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Area fractions of one phase by field; places in pixels from the upper left."""

    phase: str
    colour: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[tuple[float, str], ...]
    mean: float
    low: float | None
    high: float | None
    """Ends of the 95 % confidence interval of the mean."""


def write_report(folders: Sequence[Path], path: Path, *, force: bool = False) -> Specimen:
    """Write the report of one result, or of the fields of a specimen.

    Returns
    -------
    Specimen
        What the report tells of.

    Raises
    ------
    InputError
        If a result can't be read, or the fields don't belong together (`measure_specimen`).
    OutputError
        If there is a report and `force` is false, or it can't be written; an old one stays.
    """
    check_new(path, force=force)
    side = _side(len(folders))
    pages = [_read_page(folder, side) for folder in folders]  # one map in memory at a time
    specimen = measure_specimen([page.field for page in pages])
    text = render_report(pages, specimen, date=datetime.now().astimezone())
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return specimen


def render_report(pages: Sequence[FieldPage], specimen: Specimen, *, date: datetime) -> str:
    """The HTML of a report; `specimen` is that of the fields of the pages, in their order."""
    several = len(pages) > 1
    common = [
        entry for entry in pages[0].record if several and all(entry in p.record for p in pages)
    ]
    template = _environment().get_template("report.html.jinja")
    return template.render(
        pages=pages,
        specimen=specimen,
        charts=list(_charts(pages, specimen)) if several else [],
        common=common,
        notes=[*specimen.notes, *(() if several else pages[0].summary["notes"])],
        noted=_noted(pages),
        one_legend=len({frozenset(zip(p.field.phases, p.colours, strict=True)) for p in pages})
        == 1,
        date=date.isoformat(sep=" ", timespec="minutes"),
        points=f"{GRID[0]} × {GRID[1]}",
        version=__version__,
    )


def quantity(value: float | None, digits: int = 3) -> str:
    """A measured value with so many significant digits, and never an exponent; – for none.

    >>> quantity(12345.6), quantity(0.00123456), quantity(9.999), quantity(None)
    ('12,300', '0.00123', '10.0', '–')
    """
    if value is None:
        return "–"
    rounded = float(f"{value:.{digits}g}")
    if not rounded:
        return "0"
    return f"{rounded:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nital.output"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "quantity": quantity}
    environment.globals |= {"zip": zip, "chart_size": CHART_SIZE}
    return environment


# --- what is read ---------------------------------------------------------------------------------


def _side(n_fields: int) -> int:
    """Pixels that the pictures of a field are wide or high at most."""
    if n_fields == 1:
        return SINGLE_SIDE
    return min(MOST_SIDE, max(LEAST_SIDE, math.isqrt(BATCH_PIXELS // (2 * n_fields))))


def _read_page(folder: Path, side: int) -> FieldPage:
    """Measure a field, and make its pictures; errors as of `PhaseFolder.read`."""
    found = PhaseFolder.read(folder)
    field, summary = found.measure(), found.summary
    colours = tuple(hex_of(colour) for colour in found.colours)
    del found  # the map goes before the micrograph comes
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
        record=tuple(_record(summary, merged)),
    )


def _open_overlay(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise InputError(f"{path}: can't be read ({reason_of(error)}); segment again") from error


def _read_original(summary: dict[str, Any]) -> Image.Image:
    """The micrograph as it was segmented, reduced as its overlay is.

    Raises
    ------
    InputError
        If it is missing, or another one.
    """
    path = Path(summary["image"])
    if not path.exists():
        raise InputError(f"there is no {path}")
    micrograph = open_original(path, summary)
    if micrograph.sha256 != summary["sha256"] or list(micrograph.shape) != summary["shape"]:
        raise InputError(f"{path} is not what was segmented, its SHA-256 or its size is another")
    pixels = micrograph.reduced(step_within(micrograph.shape, OVERLAY_SIDE))
    values = np.round(255 * pixels).astype(np.uint8)
    grey = bool((values == values[..., :1]).all())
    return Image.fromarray(values[..., 0] if grey else values)


def _picture(image: Image.Image, side: int) -> Picture:
    """The image inside the file, as JPEG, at most `side` pixels wide and high."""
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # Halved colour channels would smear the tints into each other where there is room for better.
    fine = {"quality": 88, "subsampling": 0} if side > MOST_SIDE else {"quality": 75}
    image.save(data, "JPEG", **fine)
    encoded = base64.b64encode(data.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{encoded}", *image.size)


def _scale_bar(n_cols: int, pixel_size: float | None) -> ScaleBar | None:
    """The longest round length that is no more than `BAR_SHARE` of a micrograph's width."""
    if pixel_size is None:
        return None
    width = n_cols * pixel_size
    power = 10.0 ** math.floor(math.log10(BAR_SHARE * width))
    fitting = (n * power for n in (1, 2, 5) if n * power <= BAR_SHARE * width)
    length = max(fitting, default=power)  # the logarithm is rounded
    text = f"{1000 * length:g} nm" if length < 1 else f"{length:,g} µm"
    return ScaleBar(text if length < 1000 else f"{length / 1000:g} mm", length / width)


# --- what is told ---------------------------------------------------------------------------------


def _record(summary: dict[str, Any], merged: dict[str, Any] | None) -> Iterator[Entry]:
    """How a result was made, line by line."""
    yield from (Entry("Micrograph", *line) for line in _micrograph_lines(summary))
    for name, value in summary["settings"].items():
        yield Entry("Settings", name, "–" if value is None else str(value))
    yield from (Entry("Run", *line) for line in _run_lines(summary))
    if merged is not None:
        for row in merged["phases"]:
            members = ", ".join(map(str, row["fine_classes"]))
            yield Entry("Fine classes put together by hand", row["phase"], members)
    model = summary.get("model")
    if model is not None:
        yield Entry("Model", "file", model["path"])
        yield Entry("Model", "SHA-256", model["sha256"])
        exposures = {"same": "same for all", "each": "brought in line, micrograph by micrograph"}
        yield Entry("Model", "exposure", exposures.get(model["exposure"], model["exposure"]))
        yield Entry("Model", "fitted to", f"{model['n_images']} micrographs")
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    yield Entry("Software", "versions", versions)


def _micrograph_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of what is known of the image."""
    rows, cols = summary["shape"]
    size = summary["pixel_size_um"]
    yield "file", summary["image"]
    if summary["page"] is not None:
        yield "page", str(summary["page"])
    yield "SHA-256", summary["sha256"] or "none: a folder (OME-Zarr), no single file"
    yield "size", f"{cols:,} × {rows:,} pixels (width × height)"
    yield "pixel size", "not known: lengths are in pixels (px)" if size is None else f"{size:g} µm"
    yield "rows cropped at the bottom", f"{summary['cropped_bottom']:,}"
    yield "excluded area", percent(summary["excluded_fraction"])
    yield "values of black and white", " and ".join(f"{each:g}" for each in summary["full_scale"])


def _run_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of what came of the settings."""
    yield "classes asked for", str(summary["n_classes_asked"])
    yield "classes found", str(summary["n_classes"])
    for key, label in (
        ("n_superpixels", "superpixels"),
        ("iterations", "iterations"),
        ("stop_reason", "training ended by"),
    ):
        if summary.get(key) is not None:
            yield label, str(summary[key])
    for row in summary.get("n_classes_by_F", ()):
        mean = quantity(row["F"], 4)
        decimals = len(mean.partition(".")[2])
        spread = "" if row["F_std"] is None else f" ± {row['F_std']:,.{decimals}f}"
        yield f"mean F of {row['n_classes']} classes", mean + spread


def _noted(pages: Sequence[FieldPage]) -> dict[str, list[int]]:
    """Each note on a result, and the numbers of the fields that it is on, from 1."""
    noted: dict[str, list[int]] = {}
    for number, page in enumerate(pages, start=1):
        for note in page.summary["notes"]:
            noted.setdefault(note, []).append(number)
    return noted


# --- the chart ------------------------------------------------------------------------------------


def _charts(pages: Sequence[FieldPage], specimen: Specimen) -> Iterator[Chart]:
    """Bars of the area fraction by field, one chart a phase, with the interval of the mean."""
    for phase, colour, found in zip(specimen.phases, pages[0].colours, specimen.areas, strict=True):
        fractions = [page.fraction(phase) for page in pages]
        ci95 = found.ci95
        low, high = (
            (None, None)
            if ci95 is None
            else (max(0.0, found.mean - ci95), min(1.0, found.mean + ci95))
        )
        top = _round_up(max(*fractions, high or 0.0))
        step = (CHART_SIZE["right"] - CHART_SIZE["left"]) / len(pages)
        width = min(0.8 * step, 40)
        every = -(-len(pages) // _MOST_LABELS)
        middles = [CHART_SIZE["left"] + (i + 0.5) * step for i in range(len(pages))]
        yield Chart(
            phase,
            colour,
            bars=tuple(
                Bar(
                    round(middle - width / 2, 2),
                    _place(share, top),
                    round(width, 2),
                    round(_place(0, top) - _place(share, top), 2),
                    f"{page.field.name}: {percent(share)}",
                )
                for middle, share, page in zip(middles, fractions, pages, strict=True)
            ),
            ticks=tuple((_place(v, top), f"{100 * v:g} %") for v in (0, top / 2, top)),
            labels=tuple(
                (round(middle, 2), str(number))
                for number, middle in enumerate(middles, start=1)
                if (number - 1) % every == 0
            ),
            mean=_place(found.mean, top),
            low=None if low is None else _place(low, top),
            high=None if high is None else _place(high, top),
        )


def _place(share: float, top: float) -> float:
    """How far below the upper edge of a chart that reaches from 0 to `top`."""
    return round(CHART_SIZE["bottom"] - share / top * (CHART_SIZE["bottom"] - CHART_SIZE["top"]), 2)


def _round_up(share: float) -> float:
    """The end of an axis: the next round number that is not below a share.

    >>> _round_up(0.31), _round_up(0.8), _round_up(0)
    (0.4, 0.8, 0.0001)
    """
    power = 10.0 ** math.floor(math.log10(max(share, 1e-4)))
    return next(n * power for n in _NICE if n * power >= share or n == _NICE[-1])
