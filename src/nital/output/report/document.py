"""The report as one HTML file.

It shows what `folders`, `specimen` and the summaries of the results provide, and measures nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from nital import __version__
from nital.measure.specimen import GRID, Specimen, measure_specimen
from nital.output.numbers import percent, quantity
from nital.output.report.charts import CHART_SIZE, charts
from nital.output.report.pages import FieldPage, picture_side, read_page
from nital.storage.writing import check_new, write_whole, writing


def write_report(folders: Sequence[Path], path: Path, *, force: bool = False) -> Specimen:
    """Write the report of one result, or of the fields of a specimen.

    Returns
    -------
    Specimen
        The specimen reported on.

    Raises
    ------
    InputError
        If a result can't be read, or the fields don't belong together (`measure_specimen`).
    OutputError
        If `path` exists and `force` is false, or it can't be written; an old report stays.
    """
    check_new(path, force=force)
    side = picture_side(len(folders))
    pages = [read_page(folder, side) for folder in folders]  # one map in memory at a time
    specimen = measure_specimen([page.field for page in pages])
    text = render_report(pages, specimen, date=datetime.now().astimezone())
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return specimen


def render_report(pages: Sequence[FieldPage], specimen: Specimen, *, date: datetime) -> str:
    """Return the HTML of a report; `specimen` has the fields of the pages, in their order."""
    several = len(pages) > 1
    common = [
        entry for entry in pages[0].record if several and all(entry in p.record for p in pages)
    ]
    template = _environment().get_template("report.html.jinja")
    return template.render(
        pages=pages,
        specimen=specimen,
        charts=list(charts(pages, specimen)) if several else [],
        common=common,
        notes=[*specimen.notes, *(() if several else pages[0].summary["notes"])],
        noted=_noted(pages),
        one_legend=len({frozenset(zip(p.field.phases, p.colours, strict=True)) for p in pages})
        == 1,
        date=date.isoformat(sep=" ", timespec="minutes"),
        points=f"{GRID[0]} × {GRID[1]}",
        version=__version__,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nital.output.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "quantity": quantity}
    environment.globals |= {"zip": zip, "chart_size": CHART_SIZE}
    return environment


def _noted(pages: Sequence[FieldPage]) -> dict[str, list[int]]:
    """Return each note on a result, and the numbers of its fields, from 1."""
    noted: dict[str, list[int]] = {}
    for number, page in enumerate(pages, start=1):
        for note in page.summary["notes"]:
            noted.setdefault(note, []).append(number)
    return noted
