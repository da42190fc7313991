"""The specimen: phases measured in its fields, and their statistics over the fields."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.measure.regions import RegionSummary, contact_lengths, summarise_regions
from nital.measure.stereology import FieldStatistics, count_points, over_fields

NAMED = "named"

GRID = (10, 10)
"""Rows and columns of the points that are counted: as many as E562 uses for a few per cent."""


@dataclass(frozen=True)
class Field:
    """Measurements of the phases of one micrograph."""

    name: str
    sha256: str | None
    """Of the file of the micrograph."""

    phases: tuple[str, ...]
    fractions: tuple[float, ...]
    """Area fraction of each phase, by all pixels, 0 to 1."""

    point_fractions: tuple[float, ...]
    """Point fraction of each phase on a grid, as counted by hand (`stereology.count_points`)."""

    n_pixels: int
    """Pixels that are not excluded."""

    pixel_size: float | None
    """In µm."""

    regions: tuple[RegionSummary, ...]
    """Of each phase."""

    contacts: NDArray[np.float64]
    """(k, k): length of the boundary between two phases, in the unit of the regions."""

    page: int | None = None
    """Of the file, if it has several."""

    origin: str | None = NAMED
    """What identifies a phase in other fields: the name given by a person, or the model with this
    SHA-256; None if the micrograph was segmented by itself."""

    uncertainties: tuple[float | None, ...] = ()
    """Expanded uncertainty of each fraction from how the picture was taken (`ClassRow`)."""


@dataclass(frozen=True)
class Specimen:
    """Fields of one specimen, and the statistics of each phase over them."""

    fields: tuple[Field, ...]
    phases: tuple[str, ...]
    areas: tuple[FieldStatistics, ...]
    """Of each phase, by all pixels."""

    points: tuple[FieldStatistics, ...]
    """Of each phase, by the points of the grid."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of these figures, in plain words."""
        notes = []
        if len(self.fields) == 1:
            notes.append(
                "one field: no confidence interval; its pixels say nothing about how much"
                " another field would differ: measure more fields"
            )
        elif len(origins := {field.origin for field in self.fields}) > 1 or None in origins:
            notes.append(
                "fields that were segmented one by one, or with different models: class numbers"
                " follow brightness, and may stand for different constituents in different fields;"
                " label them with one model (`nital fit`, `nital predict`)"
            )
        if len({field.pixel_size for field in self.fields}) > 1:
            notes.append("the pixel size differs between fields, or is not known for some of them")
        return tuple(notes)


def measure_field(
    labels: NDArray[np.unsignedinteger],
    phases: Sequence[str],
    *,
    name: str,
    sha256: str | None = None,
    pixel_size: float | None = None,
    points: tuple[int, int] = GRID,
    page: int | None = None,
    origin: str | None = NAMED,
    uncertainties: Sequence[float | None] | None = None,
) -> Field:
    """Measure one field.

    Parameters
    ----------
    labels : (rows, cols), 0..k
        Numbered in the order of `phases`; 0 is excluded.
    phases : sequence of k names
    pixel_size : float, optional
        Edge of a pixel in µm; without it lengths are in pixels.
    points : (int, int)
        Rows and columns of the grid of points; the default is reduced if a field is too small.
    name, sha256, page, origin, uncertainties
        As in `Field`.

    Raises
    ------
    InputError
        If every pixel is excluded, a label is above k, or the grid is too fine.
    """
    k = len(phases)
    if points == GRID:
        points = min(points[0], labels.shape[0] - 1), min(points[1], labels.shape[1] - 1)
    point_fractions = count_points(labels, k, points=points)
    counts = np.bincount(labels.ravel(), minlength=k + 1)[1:]
    return Field(
        name=name,
        sha256=sha256,
        phases=tuple(phases),
        fractions=tuple((counts / counts.sum()).tolist()),
        point_fractions=tuple(point_fractions.tolist()),
        n_pixels=int(counts.sum()),
        pixel_size=pixel_size,
        regions=summarise_regions(labels, k, pixel_size=pixel_size),
        contacts=contact_lengths(labels, k, pixel_size=pixel_size),
        page=page,
        origin=origin,
        uncertainties=tuple(uncertainties or [None] * k),
    )


def measure_specimen(fields: Sequence[Field]) -> Specimen:
    """Compute the statistics of the phases over the fields of a specimen.

    Raises
    ------
    InputError
        If there is no field, fields differ in their phases, or one micrograph comes twice: it is
        one field, and would make the interval too narrow.
    """
    if not fields:
        raise InputError("no field to measure; name one or more folders of results")
    phases = fields[0].phases
    known: dict[tuple[str, int | None], str] = {}
    for field in fields:
        if set(field.phases) != set(phases):
            raise InputError(
                f"{field.name}: has the phases {', '.join(field.phases)}, but {fields[0].name}"
                f" {', '.join(phases)}; label all fields with one model (`nital predict`)"
            )
        if field.sha256 is None:  # of an array, or an OME-Zarr folder
            continue
        same = known.setdefault((field.sha256, field.page), field.name)
        if same is not field.name:
            raise InputError(f"{field.name}: the same micrograph as {same}; name each field once")
    order = [[field.phases.index(phase) for phase in phases] for field in fields]
    pairs = list(zip(fields, order, strict=True))
    return Specimen(
        fields=tuple(fields),
        phases=phases,
        areas=tuple(
            over_fields([field.fractions[places[i]] for field, places in pairs])
            for i in range(len(phases))
        ),
        points=tuple(
            over_fields([field.point_fractions[places[i]] for field, places in pairs])
            for i in range(len(phases))
        ),
    )
