"""The command line: parse, call, print."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nital import __version__
from nital.arguments import (
    Compactness,
    Device,
    Force,
    Ignore,
    Image,
    Json,
    LearningRate,
    MaxIterations,
    Mode,
    Momentum,
    NClasses,
    NFilters,
    NLayers,
    NResponses,
    Out,
    Page,
    PixelSize,
    Reference,
    Regions,
    Repeats,
    Seed,
    Superpixels,
    Threads,
    check_names,
    parse_fractions,
    parse_numbers,
    parse_pixel_size,
    parse_range,
    parse_size,
    superpixel_numbers,
)
from nital.errors import InputError, NitalError, SettingError
from nital.settings import PAPER, Settings

if TYPE_CHECKING:
    from nital.micrograph import Micrograph
    from nital.storage import Journal

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


@app.command()
def segment(
    images: Annotated[list[Path], typer.Argument(help="Micrographs.", metavar="IMAGE...")],
    n_classes: NClasses = PAPER.n_classes,
    mode: Mode = PAPER.mode,
    seed: Seed = PAPER.seed,
    out: Out = Path("nital-results"),
    reference: Reference = None,
    ignore: Ignore = None,
    superpixels: Superpixels = None,
    compactness: Compactness = PAPER.compactness,
    max_iterations: MaxIterations = PAPER.max_iterations,
    learning_rate: LearningRate = PAPER.learning_rate,
    momentum: Momentum = PAPER.momentum,
    n_layers: NLayers = PAPER.n_layers,
    n_filters: NFilters = PAPER.n_filters,
    n_responses: NResponses = PAPER.n_responses,
    regions: Regions = PAPER.regions,
    device: Device = PAPER.device,
    threads: Threads = None,
    page: Page = None,
    pixel_size: PixelSize = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Segment micrographs: label map, overlay, table of classes and summary of each.

    Exit code: 0, all done; 1, some of several images failed; 2, none was done.
    """
    from nital.console import say_error

    settings = Settings(
        mode=mode,
        n_classes=n_classes,
        n_superpixels=superpixels,
        compactness=compactness,
        n_layers=n_layers,
        n_filters=n_filters,
        n_responses=n_responses,
        learning_rate=learning_rate,
        momentum=momentum,
        max_iterations=max_iterations,
        seed=seed,
        regions=regions,
        device=device,
        threads=threads,
    )
    size = parse_pixel_size(pixel_size)
    check_names(images)
    if reference is not None and len(images) > 1:
        raise SettingError(f"--reference {reference}: belongs to one image, not {len(images)}")
    n_failed = 0
    for image in images:
        try:
            _segment_file(
                image,
                out / image.stem,
                settings,
                reference=reference,
                ignore=ignore,
                page=page,
                pixel_size=size,
                as_json=as_json,
                force=force,
            )
        except NitalError as error:
            if len(images) == 1:
                raise
            say_error(str(error))
            n_failed += 1
    if n_failed:
        say_error(f"{n_failed} of {len(images)} images failed")
        raise typer.Exit(2 if n_failed == len(images) else 1)


@app.command()
def score(
    labels: Annotated[Path, typer.Argument(help="A label map.", metavar="LABELS")],
    image: Annotated[Path, typer.Option(help="The micrograph that it belongs to.")],
    reference: Reference = None,
    ignore: Ignore = None,
    regions: Regions = PAPER.regions,
    include_zero: Annotated[
        bool, typer.Option("--include-zero", help="Count label 0 as a class, not as excluded.")
    ] = False,
    page: Page = None,
    as_json: Json = False,
) -> None:
    """Score anyone's label map: F, F' and Q, and the agreement with a reference."""
    import numpy as np

    from nital import console
    from nital.agreement import compare
    from nital.classes import tabulate_classes
    from nital.criteria import evaluate
    from nital.files import read_labels, read_micrograph
    from nital.results import agreement_summary, class_summary

    micrograph = read_micrograph(image, page=page)
    found = read_labels(labels) + include_zero
    criteria = evaluate(micrograph.pixels, found, regions=regions)
    classes = class_summary(tabulate_classes(found, micrograph.grey))
    for row in classes:
        row["class"] -= include_zero
    summary: dict[str, Any] = {
        "labels": str(labels),
        "image": str(image),
        "n_classes": len(classes),
        "excluded_fraction": float(np.mean(found == 0)),
        "classes": classes,
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
    console.print_classes(classes)
    if summary["excluded_fraction"]:
        console.out.print(f"excluded (label 0): {100 * summary['excluded_fraction']:.2f} %")
    console.print_criteria(criteria, regions)
    if agreement is not None:
        console.print_agreement(agreement)


@app.command()
def superpixels(
    image: Image,
    compactness: Annotated[str, typer.Option(help="Values, as 1,20,100.")] = "1,20,100",
    superpixels: Annotated[
        str | None,
        typer.Option(help="Values, as 500,5000.  [default: a sixteenth, a quarter, all of 50,000]"),
    ] = None,
    out: Out = Path("nital-results"),
    page: Page = None,
    force: Force = False,
) -> None:
    """Draw superpixels over compactness and number, as the paper's Fig. 4."""
    from nital.console import out as stdout
    from nital.files import read_micrograph
    from nital.render import save_figure, superpixel_figure
    from nital.storage import staged
    from nital.superpixels import centre, find_superpixels

    weights = parse_numbers("compactness", compactness, float)
    micrograph = read_micrograph(image, page=page)
    numbers = superpixel_numbers(superpixels, micrograph.shape, shares=(1 / 16, 1 / 4, 1))
    with staged(out / image.stem / "superpixels", ("grid.png", "grid.csv"), force=force) as folder:
        maps = [
            [find_superpixels(micrograph.pixels, n_superpixels=n, compactness=m) for n in numbers]
            for m in weights
        ]
        window = centre(micrograph.shape, 256)
        given = [[int(each.max()) + 1 for each in row] for row in maps]
        figure = superpixel_figure(
            micrograph.pixels[window],
            [[each[window] for each in row] for row in maps],
            weights,
            numbers,
            given,
        )
        save_figure(figure, folder / "grid.png")
        lines = ["compactness,n_superpixels,given,mean_pixels"]
        for m, row in zip(weights, given, strict=True):
            for n, count in zip(numbers, row, strict=True):
                lines.append(f"{m:g},{n},{count},{micrograph.excluded.size / count:.2f}")
        (folder / "grid.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stdout.print(f"open {out / image.stem / 'superpixels' / 'grid.png'}")


@app.command()
def classes(
    image: Image,
    numbers: Annotated[str, typer.Option("--range", help="From:to, both included.")] = "2:10",
    repeats: Repeats = 10,
    mode: Mode = PAPER.mode,
    seed: Seed = PAPER.seed,
    out: Out = Path("nital-results"),
    superpixels: Superpixels = None,
    compactness: Compactness = PAPER.compactness,
    max_iterations: MaxIterations = PAPER.max_iterations,
    regions: Regions = PAPER.regions,
    device: Device = PAPER.device,
    threads: Threads = None,
    page: Page = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Find the best number of classes: F, F' and Q over repeats, as the paper's Fig. 10.

    Each finished run is kept at once: stopped at any moment, the same command goes on from there.
    """
    from nital import console
    from nital.files import read_micrograph
    from nital.render import criteria_figure, save_figure
    from nital.results import class_study_summary, write_table
    from nital.storage import staged
    from nital.studies import study_classes
    from nital.superpixels import preset_n_superpixels

    settings = Settings(
        mode=mode,
        seed=seed,
        n_superpixels=superpixels,
        compactness=compactness,
        max_iterations=max_iterations,
        regions=regions,
        device=device,
        threads=threads,
    )
    wanted = parse_range(numbers)
    micrograph = read_micrograph(image, page=page)
    n_superpixels = superpixels or preset_n_superpixels(micrograph.shape)
    folder = out / image.stem / "classes"
    runs = _run_study(
        "classes",
        image,
        micrograph,
        settings,
        folder,
        {"n_classes": wanted, "compactness": [compactness], "n_superpixels": [n_superpixels]},
        repeats,
        force,
    )
    study = study_classes(runs)
    summary = class_study_summary(study)
    with staged(folder, ("criteria.png", "criteria.csv", "summary.json"), force=True) as aside:
        figure = criteria_figure(study.n_classes, study.mean, study.spread, study.normalised)
        save_figure(figure, aside / "criteria.png")
        write_table(aside / "criteria.csv", summary["numbers"])
        (aside / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(summary))
        return
    console.print_class_study(study)
    console.out.print(f"best number of classes by F: {study.best}")
    preferred = [f"{name} prefers {order[0]}" for name, order in study.ranking.items()]
    console.out.print("; ".join(preferred))
    console.out.print(f"open {folder / 'criteria.png'}")


@app.command("map")
def map_(
    image: Image,
    compactness: Annotated[str, typer.Option(help="Values, as 5,20,80.")] = "5,10,20,40,80",
    superpixels: Annotated[
        str | None,
        typer.Option(help="Values, as 500,5000.  [default: 1/8, 1/4, 1/2, 1 and 2 of 50,000]"),
    ] = None,
    repeats: Repeats = 10,
    n_classes: NClasses = PAPER.n_classes,
    mode: Mode = PAPER.mode,
    seed: Seed = PAPER.seed,
    out: Out = Path("nital-results"),
    max_iterations: MaxIterations = PAPER.max_iterations,
    regions: Regions = PAPER.regions,
    device: Device = PAPER.device,
    threads: Threads = None,
    page: Page = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Map F over compactness and number of superpixels, as the paper's Fig. 11.

    Each finished run is kept at once: stopped at any moment, the same command goes on from there.
    """
    from nital import console
    from nital.files import read_micrograph
    from nital.render import contour_figure, save_figure
    from nital.results import superpixel_study_summary, write_table
    from nital.storage import staged
    from nital.studies import study_superpixels

    settings = Settings(
        mode=mode,
        n_classes=n_classes,
        seed=seed,
        max_iterations=max_iterations,
        regions=regions,
        device=device,
        threads=threads,
    )
    weights = parse_numbers("compactness", compactness, float)
    micrograph = read_micrograph(image, page=page)
    sizes = superpixel_numbers(superpixels, micrograph.shape, shares=(1 / 8, 1 / 4, 1 / 2, 1, 2))
    if len(weights) < 2 or len(sizes) < 2:
        raise SettingError("a map needs at least two values of compactness and two of superpixels")
    folder = out / image.stem / "map"
    runs = _run_study(
        "map",
        image,
        micrograph,
        settings,
        folder,
        {"n_classes": [n_classes], "compactness": weights, "n_superpixels": sizes},
        repeats,
        force,
    )
    study = study_superpixels(runs)
    summary = superpixel_study_summary(study)
    with staged(folder, ("map.png", "map.csv", "summary.json"), force=True) as aside:
        figure = contour_figure(study.compactness, study.n_superpixels, study.mean_f)
        save_figure(figure, aside / "map.png")
        write_table(aside / "map.csv", summary["pairs"])
        (aside / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(summary))
        return
    console.print_superpixel_study(study)
    console.out.print(f"lowest F: compactness {study.best[0]:g}, {study.best[1]:,} superpixels")
    console.out.print(f"open {folder / 'map.png'}")


@app.command()
def synth(
    fractions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Area fractions of ferrite, pearlite, bainite, side_plates, martensite."
            "  [default: ferrite=0.65 pearlite=0.35]",
            metavar="CONSTITUENT=FRACTION...",
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Rows x columns in pixels.")] = "512x512",
    layout: Annotated[str, typer.Option(help="voronoi or banded.")] = "voronoi",
    grain_size: Annotated[float, typer.Option(help="Mean grain diameter in pixels.")] = 40.0,
    shading: Annotated[float, typer.Option(help="Share of the light lost across the field.")] = 0.1,
    noise: Annotated[float, typer.Option(help="Noise, as a share of full scale.")] = 0.02,
    seed: Seed = PAPER.seed,
    out: Out = Path("nital-synthetic"),
    force: Force = False,
) -> None:
    """Make a synthetic micrograph with an exact truth."""
    from nital.console import out as stdout
    from nital.results import SYNTHETIC_FILES, write_synthetic
    from nital.storage import staged
    from nital.synthetic import synthesize

    made = synthesize(
        parse_size(size),
        parse_fractions(fractions or ["ferrite=0.65", "pearlite=0.35"]),
        layout=layout,
        grain_size=grain_size,
        shading=shading,
        noise=noise,
        seed=seed,
    )
    with staged(out, SYNTHETIC_FILES, force=force) as folder:
        write_synthetic(folder, made)
    for label, name in enumerate(made.names, start=1):
        stdout.print(f"truth {label}: {name}, {100 * made.fractions[name]:.2f} %")
    stdout.print(f"open {out / 'micrograph.png'} and {out / 'truth.tif'}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("nital-demo"),
    seed: Seed = PAPER.seed,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Segment a synthetic ferrite-pearlite micrograph and compare with its exact truth."""
    from nital.results import SYNTHETIC_FILES, write_synthetic
    from nital.storage import staged
    from nital.synthetic import synthesize

    made = synthesize((256, 256), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=28, seed=seed)
    with staged(out, SYNTHETIC_FILES, force=force) as folder:
        write_synthetic(folder, made)
    _segment_file(
        out / "micrograph.png",
        out / "micrograph",
        replace(PAPER, n_classes=len(made.names), seed=seed),
        reference=out / "truth.tif",
        names=made.names,
        as_json=as_json,
        force=force,
    )


def _segment_file(
    image: Path,
    folder: Path,
    settings: Settings,
    *,
    reference: Path | None = None,
    ignore: int | None = None,
    page: int | None = None,
    pixel_size: float | None = None,
    names: tuple[str, ...] = (),
    as_json: bool = False,
    force: bool = False,
) -> None:
    """Segment one file into one folder, and print what came out."""
    from nital import console
    from nital.agreement import compare
    from nital.files import read_labels, read_micrograph, sha256
    from nital.results import RESULT_FILES, summarise, write_result
    from nital.segmenter import segment
    from nital.storage import staged

    micrograph = read_micrograph(image, page=page, pixel_size=pixel_size)
    truth = None if reference is None else read_labels(reference)
    if truth is not None and truth.shape != micrograph.shape:
        raise InputError(
            f"{reference}: {truth.shape[0]} x {truth.shape[1]} pixels, the image has"
            f" {micrograph.shape[0]} x {micrograph.shape[1]}; they must be of the same field"
        )
    with staged(folder, RESULT_FILES, force=force) as aside:
        with console.iteration_bar(image.name, settings.max_iterations) as on_step:
            result = segment(micrograph, settings=settings, on_step=on_step)
        agreement = None if truth is None else compare(result.labels, truth, ignore=ignore)
        summary = summarise(
            result, micrograph, source=image, sha256=sha256(image), agreement=agreement
        )
        write_result(aside, result, micrograph, summary, reference=truth, agreement=agreement)
    for note in result.notes:
        console.say_note(f"{image.name}: {note}")
    if as_json:
        typer.echo(json.dumps(summary))
        return
    console.out.print(
        f"{image.name}: {result.n_classes} classes after {len(result.history)} iterations,"
        f" {sum(result.seconds.values()):.1f} s on {result.settings.device}"
    )
    console.print_classes(summary["classes"])
    console.print_criteria(result.criteria, settings.regions)
    if agreement is not None:
        console.print_agreement(agreement, names)
    shown = ["overlay.png", "labels.tif", "summary.json"]
    shown += [] if agreement is None else ["comparison.png"]
    console.out.print("open " + "\n     ".join(str(folder / name) for name in shown))


def _run_study(
    kind: str,
    image: Path,
    micrograph: "Micrograph",
    settings: Settings,
    folder: Path,
    grid: dict[str, Any],
    repeats: int,
    force: bool,
) -> list[Any]:
    """All runs of a study: those in its journal, and the rest, kept one by one."""
    from nital import console
    from nital.studies import RUN_FIELDS, Run, execute, key_of, plan

    wanted = plan(settings, **grid, repeats=repeats)
    journal = _open_journal(kind, image, settings, folder, [f.name for f in RUN_FIELDS], force)
    done = {run.key: run for run in map(Run.from_row, journal.rows)}
    missing = [each for each in wanted if key_of(each, micrograph.shape) not in done]
    if done:
        console.err.print(f"{len(wanted) - len(missing)} of {len(wanted)} runs were there already")
    with console.run_bar(len(wanted), len(wanted) - len(missing)) as on_run:
        for run in execute(micrograph, missing):
            journal.append(run.as_row())
            done[run.key] = run
            on_run(run)
    return [done[key_of(each, micrograph.shape)] for each in wanted]


def _open_journal(
    kind: str, image: Path, settings: Settings, folder: Path, fields: list[str], force: bool
) -> "Journal":
    import torch

    from nital.files import sha256
    from nital.results import versions
    from nital.segmenter import resolve_device
    from nital.storage import Journal

    common = asdict(settings)
    for varied in ("n_classes", "n_superpixels", "compactness", "seed"):
        del common[varied]
    common["device"] = resolve_device(settings.device).type
    common["threads"] = settings.threads or torch.get_num_threads()
    identity = {"study": kind, "sha256": sha256(image), **common, **versions()}
    return Journal.of_study(folder, fields, identity, force=force)


@contextmanager
def _errors_told(debug: bool) -> Iterator[None]:
    """Errors that the user can put right: one line, exit code 2, and no traceback."""
    try:
        yield
    except NitalError as error:
        if debug:
            raise
        from nital.console import say_error

        say_error(str(error))
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        from nital.console import say_error

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
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with _errors_told(debug=len(arguments) < len(sys.argv) - 1):
        app(arguments)
