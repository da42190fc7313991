"""The commands that measure labelled fields: phases, report, export."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nital.commands import arguments as arg

Results = Annotated[
    list[Path],
    typer.Argument(help="Folders of results, or folders that hold some.", metavar="RESULT..."),
]


def phases(
    results: Results,
    points: Annotated[str, typer.Option(help="Rows x columns of the points counted.")] = "10x10",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for fields.csv, phases.csv, contacts.csv.", show_default="none"),
    ] = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Measure the phases of a specimen: area fractions with confidence intervals, regions.

    Every result is a field: a micrograph of its own, not a tile of another.
    """
    from nital.commands import console
    from nital.output.folders import find_results, measure_folders
    from nital.output.results import SPECIMEN_FILES, specimen_summary, write_specimen

    specimen = measure_folders(find_results(results), arg.parse_size(points, "--points"))
    for note in specimen.notes:
        console.say_note(note)
    if out is not None:
        write_specimen(out, specimen, force=force)
    if as_json:
        typer.echo(json.dumps(specimen_summary(specimen)))
        return
    console.print_specimen(specimen)
    if out is not None:
        console.print_files(out, list(SPECIMEN_FILES))


def report(
    results: Results,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file.",
            show_default="report.html in the folder of the result; of several, in this one",
        ),
    ] = None,
    force: arg.Force = False,
) -> None:
    """Write a page to print and sign: of one result, or of the fields of a specimen.

    One HTML file, with its pictures inside; it opens offline.
    """
    from nital.commands import console
    from nital.output.folders import find_results
    from nital.output.report import write_report
    from nital.output.results import REPORT_FILE

    found = find_results(results)
    if out is None:
        out = (found[0] if len(found) == 1 else Path()) / REPORT_FILE
    for note in write_report(found, out, force=force).notes:
        console.say_note(note)
    console.print_files(out.parent, [out.name])


def export(
    results: Results,
    to: Annotated[
        str, typer.Option(help="Between commas: csv, parquet, rois (ImageJ), geojson (QuPath).")
    ] = "csv,rois,geojson",
    force: arg.Force = False,
) -> None:
    """Write the regions of each result for other programs, into its folder."""
    from nital.commands import console
    from nital.output.folders import PhaseFolder, find_results
    from nital.output.results import EXPORT_FILES
    from nital.work.jobs import export_regions

    kinds = arg.parse_kinds(to, tuple(EXPORT_FILES))
    for folder in find_results(results):
        export_regions(PhaseFolder.read(folder), kinds, force=force)
        console.print_files(folder, [EXPORT_FILES[kind] for kind in kinds])
