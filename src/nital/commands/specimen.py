"""The commands that measure labelled fields: phases, report, export."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nital.commands import options as opt
from nital.commands.parsing import parse_kinds, parse_size

Results = Annotated[
    Path,
    Parameter(name="RESULT", help="Folders of results, or folders that hold any.", required=True),
]


def phases(
    *results: Results,
    points: Annotated[
        str, opt.TEXT, Parameter(help="Rows x columns of the point-count grid.")
    ] = "10x10",
    out: Annotated[
        Path | None,
        Parameter(help="Folder for fields.csv, phases.csv, contacts.csv. Default: none."),
    ] = None,
    as_json: opt.Json = False,
    force: opt.Force = False,
) -> None:
    """Measure the phases of a specimen: area fractions with confidence intervals, regions.

    Each result is one field: a separate micrograph, not a tile of another.
    """
    from nital.commands import console, tables
    from nital.output.folders import find_results, measure_folders
    from nital.output.names import SPECIMEN_FILES
    from nital.output.specimens import specimen_summary, write_specimen

    specimen = measure_folders(find_results(results), parse_size(points, "--points"))
    for note in specimen.notes:
        console.say_note(note)
    if out is not None:
        write_specimen(out, specimen, force=force)
    if as_json:
        print(json.dumps(specimen_summary(specimen)))
        return
    tables.print_specimen(specimen)
    if out is not None:
        tables.print_files(out, list(SPECIMEN_FILES))


def report(
    *results: Results,
    out: Annotated[
        Path | None,
        Parameter(
            help="File for the report. Default: report.html, in the folder of a single result or"
            " in the current folder."
        ),
    ] = None,
    force: opt.Force = False,
) -> None:
    """Write a report to print and sign, on one result or on the fields of a specimen.

    One HTML file with embedded pictures; it opens offline.
    """
    from nital.commands import console, tables
    from nital.output.folders import find_results
    from nital.output.names import REPORT_FILE
    from nital.output.report.document import write_report

    found = find_results(results)
    if out is None:
        out = (found[0] if len(found) == 1 else Path()) / REPORT_FILE
    for note in write_report(found, out, force=force).notes:
        console.say_note(note)
    tables.print_files(out.parent, [out.name])


def export(
    *results: Results,
    to: Annotated[
        str,
        opt.TEXT,
        Parameter(help="Comma-separated: csv, parquet, rois (ImageJ), geojson (QuPath)."),
    ] = "csv,rois,geojson",
    force: opt.Force = False,
) -> None:
    """Write the regions of each result into its folder, for other programs."""
    from nital.commands import tables
    from nital.output.exports import export_regions
    from nital.output.folders import PhaseFolder, find_results
    from nital.output.names import EXPORT_FILES

    kinds = parse_kinds(to, tuple(EXPORT_FILES))
    for folder in find_results(results):
        export_regions(PhaseFolder.read(folder), kinds, force=force)
        tables.print_files(folder, [EXPORT_FILES[kind] for kind in kinds])
