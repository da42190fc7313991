"""Console: tables, progress bars and messages on a terminal.

Results go to stdout, all else to stderr. Bars show on a terminal only.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from nital.output.render import class_colours, colours_of, percent

if TYPE_CHECKING:
    from collections import Counter

    from nital.fast.labelling import OnRows
    from nital.measure.specimen import Field, Specimen
    from nital.measure.stereology import FieldStatistics
    from nital.paper.training import Step
    from nital.result.agreement import Agreement
    from nital.result.classes import ClassRow
    from nital.result.criteria import Criteria
    from nital.result.phases import PhaseMap
    from nital.result.segmentation import Segmentation
    from nital.series.model import Model
    from nital.work.batch import Outcome
    from nital.work.studies import ClassStudy, Run, SuperpixelStudy

_WIDE = 200
"""Columns of a table in a file or a pipe, where nothing should be cut."""

out = Console(
    width=None if sys.stdout.isatty() else _WIDE, highlight=False, emoji=False, soft_wrap=True
)
err = Console(
    stderr=True,
    force_terminal=sys.stderr.isatty(),  # a wish for colour in the environment makes no terminal
    highlight=False,
    emoji=False,
    soft_wrap=True,
)


def say_error(message: str) -> None:
    """One line on stderr."""
    err.print(f"[bold red]error:[/] {escape(message)}")


def say_note(message: str) -> None:
    """One line on stderr: what a reader of the figures has to know."""
    err.print(f"[bold yellow]note:[/] {escape(message)}")


@contextmanager
def segmentation_bar(
    name: str, max_iterations: int
) -> Iterator[tuple["Callable[[Step], None]", "OnRows"]]:
    """A bar over the iterations of a training, or over the rows that are labelled.

    Yields what to call after each iteration, and with the rows done and the map.
    """
    with _progress(TimeElapsedColumn()) as progress:
        task = progress.add_task(escape(name), total=max_iterations)

        def on_step(step: "Step") -> None:
            text = f"{escape(name)}: {step.n_classes} classes, loss {step.loss:.3f}"
            progress.update(task, completed=step.iteration, description=text)

        def on_rows(done: int, labels: "NDArray[np.uint8]") -> None:
            text = f"{escape(name)}: rows labelled"
            progress.update(task, completed=done, total=len(labels), description=text)

        yield on_step, on_rows


@contextmanager
def image_bar(n_images: int) -> Iterator["Callable[[Outcome], None]"]:
    """A bar over the micrographs of a batch, with the time left; yields what to call after each."""
    with _progress(TimeRemainingColumn()) as progress:
        task = progress.add_task("micrographs", total=n_images)
        n_failed = 0

        def on_outcome(outcome: "Outcome") -> None:
            nonlocal n_failed
            n_failed += outcome.status == "failed"
            text = escape(outcome.image) + (f", {n_failed} failed" if n_failed else "")
            progress.update(task, advance=1, description=text)

        yield on_outcome


@contextmanager
def run_bar(n_runs: int, n_done: int) -> Iterator["Callable[[Run], None]"]:
    """A bar over the runs of a study, with the time left; yields what to call after each."""
    with _progress(TimeRemainingColumn()) as progress:
        task = progress.add_task("runs", total=n_runs, completed=n_done)

        def on_run(run: "Run") -> None:
            text = f"{run.n_classes} classes, seed {run.seed}: F {run.F:.4g}"
            progress.update(task, advance=1, description=text)

        yield on_run


def print_segmentation(
    name: str, result: "Segmentation", agreement: "Agreement | None", names: tuple[str, ...] = ()
) -> None:
    """What came of one micrograph; `names` of the reference's classes from 1, where known."""
    how = f"{sum(result.seconds.values()):.1f} s"
    if result.training is not None:
        n = len(result.training.steps)
        how = f"{n} iterations, {how} on {result.settings.device}"
    out.print(f"{escape(name)}: {result.n_classes} classes, {how}")
    print_classes(result.classes, result.excluded_fraction)
    print_criteria(result.criteria, result.settings.regions)
    if result.mean_agreement is not None:
        out.print(
            f"{result.settings.n_repeats} repeats agree on {percent(result.mean_agreement)} of the"
            " area; ± is the standard deviation over them"
        )
    if result.curve is not None:
        values = "   ".join(f"{k}: {mean:.4g}" for k, (mean, _) in result.curve.items())
        out.print(f"mean F by number of classes: {values}")
    if agreement is not None:
        print_agreement(agreement, names)


def print_files(folder: Path, names: list[str]) -> None:
    """Which files to open."""
    out.print("open " + "\n     ".join(escape(str(folder / name)) for name in names))


def print_truth(fractions: dict[str, float]) -> None:
    """The constituents of a synthetic micrograph, in the order of their labels."""
    table = _table("label", "constituent", "area fraction")
    for label, (name, share) in enumerate(fractions.items(), start=1):
        table.add_row(str(label), name, percent(share))
    out.print(table)


def print_model(model: "Model") -> None:
    """A model: its classes in what it was fitted to."""
    told = {"same": "one exposure for all", "each": "brightness and contrast brought in line"}
    out.print(
        f"{len(model.images)} micrographs, {told[model.exposure]};"
        f" {len(model.class_of)} fine classes in {len(model.classes)} classes"
    )
    table = _table("class", "", "name", "area fraction", "mean grey (0-255)", "fine classes")
    for row, colour in zip(model.classes, colours_of(model.classes), strict=True):
        swatch, share, grey, _ = _cells(row, colour)
        members = [i for i, number in enumerate(model.class_of, start=1) if number == row.label]
        name = escape(row.name or "")
        table.add_row(str(row.label), swatch, name, share, grey, _ranges(members))
    out.print(table)


def print_specimen(specimen: "Specimen") -> None:
    """The phases of a specimen, field by field and over the fields."""
    fields = _table("field", *map(escape, specimen.phases))
    for field in specimen.fields:
        share = dict(zip(field.phases, field.fractions, strict=True))
        fields.add_row(escape(field.name), *(percent(share[phase]) for phase in specimen.phases))
    out.print(fields)
    n = len(specimen.fields)
    table = _table("phase", "counted", "mean", "s", "95 % CI", "relative accuracy", "for 10 %")
    for phase, *measured in zip(specimen.phases, specimen.areas, specimen.points, strict=True):
        for how, each in zip(("all pixels", "points"), measured, strict=True):
            table.add_row(escape(phase), how, percent(each.mean), *_interval(each))
    out.print(f"over {n} field{'s' if n > 1 else ''} (ASTM E562, E1245)")
    out.print(table)
    if n == 1:
        _print_regions(specimen.fields[0])


def _print_regions(field: "Field") -> None:
    """What the regions of each phase of a field are like."""
    table = _table("phase", "regions", "mean area", "mean diameter", "aspect ratio")
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
    """Spread, interval, accuracy and fields still needed; empty where there are none."""
    if found.std is None or found.ci95 is None:
        return ("", "", "", "")
    accuracy = "" if found.relative_accuracy is None else f"{found.relative_accuracy:.1f} %"
    more = "" if found.more_fields is None else f"{found.more_fields} more"
    return percent(found.std), f"± {percent(found.ci95)}", accuracy, more


def print_batch(counts: "Counter[str]") -> None:
    """How many micrographs were done, kept from an earlier run, or failed."""
    out.print(", ".join(f"{n} {status}" for status, n in sorted(counts.items())))


def print_phases(phases: "PhaseMap") -> None:
    """The table of phases."""
    table = _table("phase", "", "area fraction", "mean grey (0-255)", "pixels")
    table.add_column("fine classes")
    rows = zip(
        phases.names, phases.members, phases.classes, class_colours(len(phases.names)), strict=True
    )
    for name, members, row, colour in rows:
        table.add_row(escape(name), *_cells(row, colour), _ranges(members))
    out.print(table)


def _cells(row: "ClassRow", colour: NDArray[np.uint8]) -> tuple[Text | str, ...]:
    """What tables tell of a class: its colour, area fraction, mean grey and pixels."""
    swatch = Text("  ", style=f"on #{bytes(colour).hex()}")
    share = percent(row.area_fraction)
    if row.spread is not None:
        share += f" ± {percent(row.spread)}"
    grey = "" if row.mean_grey is None else f"{row.mean_grey:.1f}"
    return swatch, share, grey, f"{row.n_pixels:,}"


def _ranges(numbers: Sequence[int]) -> str:
    """Rising numbers as one writes them: 1-4, 7.

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
    """The table of classes."""
    table = _table("class", "", "area fraction", "mean grey (0-255)", "pixels")
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
    """F, F' and Q on one line."""
    of = {"classes": "class", "phases": "phase"}.get(regions, "connected component")
    out.print(
        f"F = {criteria.F:.6g}   F' = {criteria.F_prime:.6g}   Q = {criteria.Q:.6g}"
        f"   (lower is better; a region is a {of})"
    )


def print_agreement(agreement: "Agreement", names: tuple[str, ...] = ()) -> None:
    """The table of agreement with a reference; `names` of its classes from 1, where known."""
    table = _table("reference", "class", "IoU", "area, reference", "area, found", "difference")
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
        out.print(f"class {label} ({percent(share)}) has no partner in the reference")
    out.print(
        f"mean IoU {agreement.mean_iou:.3f}   pixel accuracy {agreement.accuracy:.3f}"
        f"   ARI {agreement.ari:.3f}   over {agreement.n_pixels:,} pixels"
    )


def print_class_study(study: "ClassStudy") -> None:
    """Mean and spread per number of classes, then the ranking as in the paper's Table 2."""
    table = _table("classes", "found", "runs", *(f"{name} ± s" for name in study.mean))
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
            say_note(f"asked for {k} classes, the label maps have {found:.1f} on average")
    places = min(5, len(study.n_classes))
    ranks = _table("rank", *("1st", "2nd", "3rd", "4th", "5th")[:places])
    for criterion, order in study.ranking.items():
        value = dict(zip(study.n_classes, study.normalised[criterion], strict=True))
        ranks.add_row(criterion, *(f"{k} ({value[k]:.2f})" for k in order[:places]))
    out.print(ranks)
    preferred = ", ".join(f"{name} prefers {order[0]}" for name, order in study.ranking.items())
    out.print(f"best number of classes, by F: {study.best}   ({preferred})")


def print_superpixel_study(study: "SuperpixelStudy") -> None:
    """Mean F over compactness (down) and number of superpixels (across)."""
    table = _table("compactness", *(f"n = {n:,}" for n in study.n_superpixels))
    for m, row in zip(study.compactness, study.mean_f, strict=True):
        table.add_row(f"{m:g}", *(f"{f:.4g}" for f in row))
    out.print(table)
    out.print(f"lowest mean F: compactness {study.best[0]:g}, {study.best[1]:,} superpixels")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _progress(last: Any) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        last,
        console=err,
        transient=True,
        disable=not err.is_terminal,
        speed_estimate_period=24 * 3600,  # a run may take minutes; rich forgets after 30 s
    )
