"""Tables and summary of a specimen."""

from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from nital.measure.specimen import Field, Specimen
from nital.output.names import SPECIMEN_FILES
from nital.storage.tables import write_table
from nital.storage.versions import versions
from nital.storage.writing import staged

CONTACT_COLUMNS = ("field", "phase", "with", "length", "unit")


def specimen_summary(specimen: Specimen) -> dict[str, Any]:
    """Return a specimen, ready for JSON; lengths in the unit of each field."""
    return {
        "phases": [
            {
                "phase": phase,
                "area_fraction": asdict(area),
                "point_fraction": asdict(points),
            }
            for phase, area, points in zip(
                specimen.phases, specimen.areas, specimen.points, strict=True
            )
        ],
        "fields": [
            {
                "field": field.name,
                "sha256": field.sha256,
                "pixel_size_um": field.pixel_size,
                "n_pixels": field.n_pixels,
                "phases": _phase_rows(field),
                "contacts": _contact_rows(field),
            }
            for field in specimen.fields
        ],
        "notes": list(specimen.notes),
        "versions": versions(),
    }


def _phase_rows(field: Field) -> list[dict[str, Any]]:
    """Return the measurements of each phase in a field."""
    rows = zip(
        field.phases,
        field.fractions,
        field.uncertainties,
        field.point_fractions,
        field.regions,
        strict=True,
    )
    return [
        {
            "phase": phase,
            "area_fraction": area,
            "uncertainty": uncertainty,
            "point_fraction": points,
        }
        | {key: value for key, value in asdict(regions).items() if key != "label"}
        for phase, area, uncertainty, points, regions in rows
    ]


def _contact_rows(field: Field) -> list[dict[str, Any]]:
    """Return the boundary length of each pair of phases in a field."""
    unit = "px" if field.pixel_size is None else "um"
    return [
        {"phase": one, "with": other, "length": float(field.contacts[i, j]), "unit": unit}
        for (i, one), (j, other) in combinations(enumerate(field.phases), 2)
    ]


def write_specimen(folder: Path, specimen: Specimen, *, force: bool = False) -> None:
    """Write the tables of a specimen: phases by field, phases over the fields, contacts."""
    with staged(folder, SPECIMEN_FILES, force=force) as aside:
        for name, rows, columns in (
            ("fields.csv", _phase_rows, ()),
            ("contacts.csv", _contact_rows, CONTACT_COLUMNS),  # no rows for a single phase
        ):
            table = [{"field": each.name} | row for each in specimen.fields for row in rows(each)]
            write_table(aside / name, table, columns)
        measured = zip(specimen.phases, specimen.areas, specimen.points, strict=True)
        table = [
            {"phase": phase}
            | asdict(area)
            | {f"points_{key}": value for key, value in asdict(points).items() if key != "n"}
            for phase, area, points in measured
        ]
        write_table(aside / "phases.csv", table)
