"""The command line: parse, call, print."""

import io
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from nital import __version__
from nital.commands import app as app_commands
from nital.commands import arguments as arg
from nital.commands import batch as batch_commands
from nital.commands import segment as segment_commands
from nital.commands import series as model_commands
from nital.commands import specimen as specimen_commands
from nital.commands import studies as study_commands
from nital.errors import InputError, NitalError
from nital.settings import FAST, Settings

# Modules that load torch, scikit-image or matplotlib are imported where they are used, so that help
# and mistakes answer at once.

app = typer.Typer(
    name="nital",
    help="Tells the constituents of a steel's microstructure apart, without labelled images.",
    epilog="--debug, anywhere, shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"nital {__version__}")
        raise typer.Exit


app.command()(segment_commands.segment)
app.command()(segment_commands.predict)
app.command()(model_commands.fit)
app.command()(model_commands.name)


@app.command()
def score(
    labels: Annotated[Path, typer.Argument(help="A label map.", metavar="LABELS")],
    image: Annotated[Path, typer.Option(help="The micrograph that it belongs to.")],
    reference: arg.Reference = None,
    ignore: arg.Ignore = None,
    regions: arg.Regions = FAST.regions,
    include_zero: Annotated[
        bool, typer.Option("--include-zero", help="Count label 0 as a class, not as excluded.")
    ] = False,
    page: arg.Page = None,
    as_json: arg.Json = False,
) -> None:
    """Score anyone's label map: F, F' and Q, and the agreement with a reference."""
    import numpy as np

    from nital.commands import console
    from nital.image.files import read_labels, read_micrograph
    from nital.output.results import agreement_summary, class_summary
    from nital.result.agreement import compare
    from nital.result.classes import tabulate_classes
    from nital.result.criteria import evaluate, measure_regions

    micrograph = read_micrograph(image, page=page)
    found = read_labels(labels)
    if found.min() < 0:
        raise InputError(f"{labels}: label {found.min()} is negative; use 0 or more")
    found += include_zero
    criteria = evaluate(micrograph.pixels, found, regions=regions)
    classes = tuple(
        replace(row, label=row.label - include_zero)
        for row in tabulate_classes(measure_regions(micrograph.pixels, found))
    )
    summary: dict[str, Any] = {
        "labels": str(labels),
        "image": str(image),
        "n_classes": len(classes),
        "excluded_fraction": float(np.mean(found == 0)),
        "classes": class_summary(classes),
        "criteria": asdict(criteria),
        "regions": regions,
    }
    agreement = None
    if reference is not None:
        agreement = compare(found, read_labels(reference), ignore=ignore)
        summary["agreement"] = agreement_summary(agreement)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    console.print_classes(classes, summary["excluded_fraction"])
    console.print_criteria(criteria, regions)
    if agreement is not None:
        console.print_agreement(agreement)


@app.command()
def fine(
    result: Annotated[Path, typer.Argument(help="A folder of results.", metavar="RESULT")],
    merge: Annotated[
        str | None,
        typer.Option(help='Phases, as "ferrite=1,4-6 pearlite=2,3" or "pearlite=2 ferrite=rest".'),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="The micrograph.", show_default="where it was when it was segmented"),
    ] = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Show the fine classes that a result was joined from, or put them together to phases.

    Without --merge: a contact sheet, on which each is lit up over the whole micrograph.
    """
    from nital.commands import console
    from nital.output.results import class_summary, phase_summary, write_contact_sheet, write_phases
    from nital.result.phases import name_phases
    from nital.work.jobs import open_result

    opened = open_result(result, image=image)
    classes = opened.fine.classes
    if merge is None:
        write_contact_sheet(result, opened.micrograph, opened.fine, opened.labels)
        if as_json:
            typer.echo(json.dumps({"fine_classes": class_summary(classes)}))
            return
        console.print_classes(classes, float((opened.fine.labels == 0).mean()))
        console.print_files(result, ["fine.png"])
        return
    phases = name_phases(opened.fine, arg.parse_phases(merge, len(classes)))
    write_phases(result, opened.micrograph, phases, force=force)
    if as_json:
        typer.echo(json.dumps(phase_summary(phases, opened.micrograph)))
        return
    console.print_phases(phases)
    console.print_criteria(phases.criteria, "phases")
    console.print_files(result, ["phases.png", "phases.tif", "phases.csv"])


app.command()(study_commands.superpixels)
app.command()(study_commands.classes)
app.command("map")(study_commands.map_)
app.command()(batch_commands.batch)
app.command()(specimen_commands.phases)
app.command()(specimen_commands.report)
app.command()(specimen_commands.export)
app.command("app")(app_commands.app)


@app.command()
def synth(
    fractions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Area fractions of ferrite, pearlite, bainite, side_plates, martensite.",
            show_default="ferrite=0.65 pearlite=0.35",
            metavar="CONSTITUENT=FRACTION...",
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Rows x columns in pixels.")] = "512x512",
    layout: Annotated[str, typer.Option(help="voronoi or banded.")] = "voronoi",
    grain_size: Annotated[float, typer.Option(help="Mean grain diameter in pixels.")] = 40.0,
    shading: Annotated[float, typer.Option(help="Share of the light lost across the field.")] = 0.1,
    noise: Annotated[float, typer.Option(help="Noise, as a share of full scale.")] = 0.02,
    seed: arg.Seed = FAST.seed,
    out: arg.Out = Path("nital-synthetic"),
    force: arg.Force = False,
) -> None:
    """Make a synthetic micrograph with an exact truth."""
    from nital.commands.console import print_files, print_truth
    from nital.image.synthetic import synthesize
    from nital.output.results import SYNTHETIC_FILES, write_synthetic
    from nital.storage.writing import staged

    made = synthesize(
        arg.parse_size(size),
        arg.parse_fractions(fractions or ["ferrite=0.65", "pearlite=0.35"]),
        layout=layout,
        grain_size=grain_size,
        shading=shading,
        noise=noise,
        seed=seed,
    )
    with staged(out, SYNTHETIC_FILES, force=force) as folder:
        write_synthetic(folder, made)
    print_truth(made.fractions)
    print_files(out, ["micrograph.png", "truth.tif", "truth.json"])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("nital-demo"),
    mode: arg.Mode = FAST.mode,
    seed: arg.Seed = FAST.seed,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Segment a synthetic ferrite-pearlite micrograph and compare with its exact truth."""
    from nital.image.synthetic import synthesize
    from nital.output.results import SYNTHETIC_FILES, write_synthetic
    from nital.storage.writing import staged

    made = synthesize((256, 256), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=28, seed=seed)
    with staged(out, SYNTHETIC_FILES, force=force) as folder:
        write_synthetic(folder, made)
    segment_commands.segment_and_print(
        out / "micrograph.png",
        out / "micrograph",
        Settings.of(mode=mode, n_classes=len(made.names), seed=seed),
        reference=out / "truth.tif",
        names=made.names,
        as_json=as_json,
        force=force,
    )


@contextmanager
def _errors_told(debug: bool) -> Iterator[None]:
    """Errors that the user can put right: one line, exit code 2, and no traceback."""
    try:
        yield
    except NitalError as error:
        if debug:
            raise
        from nital.commands.console import say_error

        say_error(str(error))
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        from nital.commands.console import say_error

        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            say_error("not enough memory; use a smaller image, or lower settings")
            sys.exit(2)
        say_error(
            f"unexpected: {type(error).__name__}: {error}; --debug shows where, please report"
        )
        sys.exit(1)


def _stop(signum: int, frame: object) -> NoReturn:
    """Leave through every `finally`, so that nothing half-written stays."""
    print("\nstopped; finished results and runs are kept", file=sys.stderr)
    sys.exit(128 + signum)


def main() -> None:
    """The command `nital`."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows knows no SIGHUP
            signal.signal(getattr(signal, name), _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without "±" still gets its table
            stream.reconfigure(errors="replace")
    # What tifffile logs of a damaged file is told by the error that follows.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with _errors_told(debug=len(arguments) < len(sys.argv) - 1):
        app(arguments)
