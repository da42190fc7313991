"""Tables printed by the commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nital.output.numbers import percent
from nital.output.render import class_colours, colours_of

if TYPE_CHECKING:
    from collections import Counter

    from nital.measure.specimen import Field, Specimen
    from nital.measure.stereology import FieldStatistics
    from nital.result.agreement import Agreement
    from nital.result.classes import ClassRow
    from nital.result.criteria import Criteria
    from nital.result.phases import PhaseMap
    from nital.result.segmentation import Segmentation
    from nital.series.model import Model
    from nital.work.studies import ClassStudy, SuperpixelStudy

from nital.commands.console import out, say_note


def print_segmentation(
    name: str, result: "Segmentation", agreement: "Agreement | None", names: tuple[str, ...] = ()
) -> None:
    """Print the result for one micrograph; `names` of the reference classes from 1, if known."""
    how = f"{sum(result.seconds.values()):.1f} s"
    iterations = result.details.summary().get("iterations")
    if iterations is not None:
        how = f"{iterations} iterations, {how} on {result.settings.as_dict().get('device')}"
    out.print(f"{escape(name)}: {result.n_classes} classes, {how}")
    print_classes(result.classes, result.excluded_fraction)
    print_criteria(result.criteria, result.settings.regions)
    if result.mean_agreement is not None:
        out.print(
            f"{result.what_agrees} agree on {percent(result.mean_agreement)} of the area;"
            " ± is twice their standard deviation"
        )
    elif any(row.uncertainty is not None for row in result.classes):
        out.print("± is twice the standard deviation over disturbed views")
    if result.curve is not None:
        values = "   ".join(f"{k}: {mean:.4g}" for k, (mean, _) in result.curve.items())
        out.print(f"mean F by number of classes: {values}")
    if agreement is not None:
        print_agreement(agreement, names)


def print_files(folder: Path, names: list[str]) -> None:
    """Print the files to open."""
    out.print("open " + "\n     ".join(escape(str(folder / name)) for name in names))


def print_truth(fractions: dict[str, float]) -> None:
    """Print the constituents of a synthetic micrograph, in the order of their labels."""
    table = new_table("label", "constituent", "area fraction")
    for label, (name, share) in enumerate(fractions.items(), start=1):
        table.add_row(str(label), name, percent(share))
    out.print(table)


def print_model(model: "Model") -> None:
    """Print a model: its classes in the micrographs it was fitted to."""
    told = {"same": "one exposure for all", "each": "brightness and contrast normalised"}
    out.print(
        f"{len(model.images)} micrographs, {told[model.exposure]};"
        f" {len(model.class_of)} fine classes in {len(model.classes)} classes"
    )
    table = new_table("class", "", "name", "area fraction", "mean grey (0-255)", "fine classes")
    for row, colour in zip(model.classes, colours_of(model.classes), strict=True):
        swatch, share, grey, _ = _cells(row, colour)
        members = [i for i, number in enumerate(model.class_of, start=1) if number == row.label]
        name = escape(row.name or "")
        table.add_row(str(row.label), swatch, name, share, grey, _ranges(members))
    out.print(table)


def print_specimen(specimen: "Specimen") -> None:
    """Print the phases of a specimen, by field and over the fields."""
    fields = new_table("field", *map(escape, specimen.phases))
    for field in specimen.fields:
        pairs = zip(field.fractions, field.uncertainties, strict=True)
        share = dict(zip(field.phases, pairs, strict=True))
        fields.add_row(escape(field.name), *(percent(*share[phase]) for phase in specimen.phases))
    out.print(fields)
    n = len(specimen.fields)
    table = new_table("phase", "counted", "mean", "s", "95 % CI", "relative accuracy", "for 10 %")
    for phase, *measured in zip(specimen.phases, specimen.areas, specimen.points, strict=True):
        for how, each in zip(("all pixels", "points"), measured, strict=True):
            table.add_row(escape(phase), how, percent(each.mean), *_interval(each))
    out.print(f"over {n} field{'s' if n > 1 else ''} (ASTM E562, E1245)")
    out.print(table)
    if n == 1:
        _print_regions(specimen.fields[0])


def _print_regions(field: "Field") -> None:
    """Print the mean properties of the regions of each phase of a field."""
    table = new_table("phase", "regions", "mean area", "mean diameter", "aspect ratio")
    table.add_column("intercept along rows")
    table.add_column("along columns")
    for phase, found in zip(field.phases, field.regions, strict=True):
        unit = {"um": "µm", "px": "px"}[found.unit]
        cells = (
            (found.mean_area, f" {unit}²"),
            (found.mean_equivalent_diameter, f" {unit}"),
            (found.mean_aspect_ratio, ""),
            (found.intercept_along, f" {unit}"),
            (found.intercept_across, f" {unit}"),
        )
        texts = ["" if value is None else f"{value:.4g}{u}" for value, u in cells]
        table.add_row(escape(phase), f"{found.n_regions:,}", *texts)
    out.print(table)


def _interval(found: "FieldStatistics") -> tuple[str, ...]:
    """Format spread, interval, accuracy and further fields needed; empty if there are none."""
    if found.std is None or found.ci95 is None:
        return ("", "", "", "")
    accuracy = "" if found.relative_accuracy is None else f"{found.relative_accuracy:.1f} %"
    more = "" if found.more_fields is None else f"{found.more_fields} more"
    return percent(found.std), f"± {percent(found.ci95)}", accuracy, more


def print_batch(counts: "Counter[str]") -> None:
    """Print how many micrographs were done, kept from an earlier run, or failed."""
    out.print(", ".join(f"{n} {status}" for status, n in sorted(counts.items())))


def print_phases(phases: "PhaseMap") -> None:
    """Print the table of phases."""
    table = new_table("phase", "", "area fraction", "mean grey (0-255)", "pixels")
    table.add_column("fine classes")
    rows = zip(
        phases.names, phases.members, phases.classes, class_colours(len(phases.names)), strict=True
    )
    for name, members, row, colour in rows:
        table.add_row(escape(name), *_cells(row, colour), _ranges(members))
    out.print(table)


def _cells(row: "ClassRow", colour: NDArray[np.uint8]) -> tuple[Text | str, ...]:
    """Format the cells of a class: colour, area fraction, mean grey and pixels."""
    swatch = Text("  ", style=f"on #{bytes(colour).hex()}")
    share = percent(row.area_fraction, row.uncertainty)
    grey = "" if row.mean_grey is None else f"{row.mean_grey:.1f}"
    return swatch, share, grey, f"{row.n_pixels:,}"


def _ranges(numbers: Sequence[int]) -> str:
    """Format rising numbers as ranges: 1-4, 7.

    >>> _ranges([1, 2, 3, 4, 7, 9, 10])
    '1-4, 7, 9, 10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(texts)


def print_classes(classes: Sequence["ClassRow"], excluded_fraction: float) -> None:
    """Print the table of classes."""
    table = new_table("class", "", "area fraction", "mean grey (0-255)", "pixels")
    named = any(row.name is not None for row in classes)
    if named:
        table.add_column("name")
    for row, colour in zip(classes, colours_of(classes), strict=True):
        name = [escape(row.name or "")] if named else []
        table.add_row(str(row.label), *_cells(row, colour), *name)
    out.print(table)
    if excluded_fraction:
        out.print(f"excluded: {percent(excluded_fraction)} of the image")


def print_criteria(criteria: "Criteria", regions: str) -> None:
    """Print F, F' and Q on one line."""
    of = {"classes": "class", "phases": "phase"}.get(regions, "connected component")
    out.print(
        f"F = {criteria.F:.6g}   F' = {criteria.F_prime:.6g}   Q = {criteria.Q:.6g}"
        f"   (lower is better; a region is a {of})"
    )


def print_agreement(agreement: "Agreement", names: tuple[str, ...] = ()) -> None:
    """Print the agreement with a reference; `names` of its classes from 1, if known."""
    table = new_table("reference", "class", "IoU", "area, reference", "area, result", "difference")
    for row in agreement.classes:
        name = f" {names[row.reference - 1]}" if names else ""
        table.add_row(
            f"{row.reference}{name}",
            "none" if row.label is None else str(row.label),
            f"{row.iou:.3f}",
            percent(row.reference_fraction),
            percent(row.area_fraction),
            f"{100 * row.difference:+.2f} points",
        )
    out.print(table)
    for label, share in agreement.unmatched.items():
        out.print(f"class {label} ({percent(share)}) has no match in the reference")
    out.print(
        f"mean IoU {agreement.mean_iou:.3f}   pixel accuracy {agreement.accuracy:.3f}"
        f"   ARI {agreement.ari:.3f}   over {agreement.n_pixels:,} pixels"
    )


def print_class_study(study: "ClassStudy") -> None:
    """Print mean and spread by number of classes, then the ranking as in the paper's Table 2."""
    table = new_table("classes", "found", "runs", *(f"{name} ± s" for name in study.mean))
    for i, k in enumerate(study.n_classes):
        repeated = study.repeats[i] > 1
        values = [
            f"{study.mean[c][i]:.4g}" + (f" ± {study.spread[c][i]:.2g}" if repeated else "")
            for c in study.mean
        ]
        table.add_row(str(k), f"{study.mean_found[i]:.1f}", str(study.repeats[i]), *values)
    out.print(table)
    for k, found in zip(study.n_classes, study.mean_found, strict=True):
        if abs(found - k) >= 0.5:
            say_note(f"{k} classes asked for, the label maps have {found:.1f} on average")
    places = min(5, len(study.n_classes))
    ranks = new_table("rank", *("1st", "2nd", "3rd", "4th", "5th")[:places])
    for criterion, order in study.ranking.items():
        value = dict(zip(study.n_classes, study.normalised[criterion], strict=True))
        ranks.add_row(criterion, *(f"{k} ({value[k]:.2f})" for k in order[:places]))
    out.print(ranks)
    preferred = ", ".join(f"{name} prefers {order[0]}" for name, order in study.ranking.items())
    out.print(f"best number of classes, by F: {study.best}   ({preferred})")


def print_superpixel_study(study: "SuperpixelStudy") -> None:
    """Print mean F over compactness (down) and number of superpixels (across)."""
    table = new_table("compactness", *(f"n = {n:,}" for n in study.n_superpixels))
    for m, row in zip(study.compactness, study.mean_f, strict=True):
        table.add_row(f"{m:g}", *(f"{f:.4g}" for f in row))
    out.print(table)
    out.print(f"lowest mean F: compactness {study.best[0]:g}, {study.best[1]:,} superpixels")


def new_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
