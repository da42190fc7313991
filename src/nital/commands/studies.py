"""The commands of the paper's studies: superpixels, number of classes, map of F."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nital.commands import arguments as arg
from nital.errors import SettingError
from nital.settings import FAST, Settings

if TYPE_CHECKING:
    from nital.work.jobs import Study
    from nital.work.studies import Run

# As in `cli`, what loads torch or matplotlib is imported where it is used.


def superpixels(
    image: arg.Image,
    compactness: Annotated[str, typer.Option(help="Values, as 1,20,100.")] = "1,20,100",
    superpixels: Annotated[
        str | None,
        typer.Option(help="Values, as 500,5000.", show_default="1/16, 1/4 and 1 of paper mode's"),
    ] = None,
    out: arg.Out = Path("nital-results"),
    page: arg.Page = None,
    force: arg.Force = False,
) -> None:
    """Draw superpixels over compactness and number, as the paper's Fig. 4."""
    from nital.commands.console import print_files
    from nital.image.files import read_micrograph
    from nital.work.jobs import draw_superpixels

    weights = arg.parse_numbers("compactness", compactness, float)
    micrograph = read_micrograph(image, page=page)
    numbers = arg.superpixel_numbers(superpixels, micrograph.shape, shares=(1 / 16, 1 / 4, 1))
    folder = out / image.stem / "superpixels"
    draw_superpixels(micrograph, folder, compactness=weights, n_superpixels=numbers, force=force)
    print_files(folder, ["grid.png"])


def classes(
    image: arg.Image,
    numbers: Annotated[str, typer.Option("--range", help="From:to, both included.")] = "2:10",
    repeats: arg.Repeats = 10,
    mode: arg.Mode = FAST.mode,
    seed: arg.Seed = FAST.seed,
    out: arg.Out = Path("nital-results"),
    scale: arg.Scale = FAST.scale,
    superpixels: arg.Superpixels = None,
    compactness: arg.Compactness = None,
    max_iterations: arg.MaxIterations = None,
    regions: arg.Regions = FAST.regions,
    device: arg.Device = None,
    threads: arg.Threads = None,
    workers: arg.Workers = 1,
    page: arg.Page = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Find the best number of classes: F, F' and Q over repeats, as the paper's Fig. 10.

    Each finished run is kept at once: stopped at any moment, the same command goes on from there.
    """
    from nital.commands import console
    from nital.image.files import read_micrograph
    from nital.output.results import class_study_summary, write_class_study
    from nital.work.jobs import Study
    from nital.work.studies import study_classes

    settings = Settings.of(
        mode=mode,
        seed=seed,
        scale=scale,
        n_superpixels=superpixels,
        compactness=compactness,
        max_iterations=max_iterations,
        regions=regions,
        device=device,
        threads=threads,
    )
    wanted = arg.parse_range(numbers)
    micrograph = read_micrograph(image, page=page)
    folder = out / image.stem / "classes"
    study = Study(
        "classes",
        micrograph,
        folder,
        settings,
        n_classes=wanted,
        compactness=[settings.compactness],
        n_superpixels=[settings.n_superpixels],
        repeats=repeats,
        force=force,
    )
    found = study_classes(_finish(study, workers))
    write_class_study(folder, found)
    if as_json:
        typer.echo(json.dumps(class_study_summary(found)))
    else:
        console.print_class_study(found)
        console.print_files(folder, ["criteria.png", "criteria.csv"])


def map_(
    image: arg.Image,
    compactness: Annotated[str, typer.Option(help="Values, as 5,20,80.")] = "5,10,20,40,80",
    superpixels: Annotated[
        str | None,
        typer.Option(help="Values, as 500,5000.", show_default="1/8 to 2 times the preset"),
    ] = None,
    repeats: arg.Repeats = 10,
    n_classes: arg.NClasses = str(FAST.n_classes),
    seed: arg.Seed = FAST.seed,
    out: arg.Out = Path("nital-results"),
    max_iterations: arg.MaxIterations = None,
    regions: arg.Regions = FAST.regions,
    device: arg.Device = None,
    threads: arg.Threads = None,
    workers: arg.Workers = 1,
    page: arg.Page = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Map F over compactness and number of superpixels, as the paper's Fig. 11.

    Each finished run is kept at once: stopped at any moment, the same command goes on from there.
    """
    from nital.commands import console
    from nital.image.files import read_micrograph
    from nital.output.results import superpixel_study_summary, write_superpixel_study
    from nital.work.jobs import Study
    from nital.work.studies import study_superpixels

    wanted = arg.parse_n_classes(n_classes)
    settings = Settings.of(
        mode="paper",
        n_classes=wanted,
        seed=seed,
        max_iterations=max_iterations,
        regions=regions,
        device=device,
        threads=threads,
    )
    weights = arg.parse_numbers("compactness", compactness, float)
    micrograph = read_micrograph(image, page=page)
    sizes = arg.superpixel_numbers(
        superpixels, micrograph.shape, shares=(1 / 8, 1 / 4, 1 / 2, 1, 2)
    )
    if len(weights) < 2 or len(sizes) < 2:
        raise SettingError("a map needs at least two values of compactness and two of superpixels")
    folder = out / image.stem / "map"
    study = Study(
        "map",
        micrograph,
        folder,
        settings,
        n_classes=[int(wanted)],
        compactness=weights,
        n_superpixels=sizes,
        repeats=repeats,
        force=force,
    )
    found = study_superpixels(_finish(study, workers))
    write_superpixel_study(folder, found)
    if as_json:
        typer.echo(json.dumps(superpixel_study_summary(found)))
    else:
        console.print_superpixel_study(found)
        console.print_files(folder, ["map.png", "map.csv"])


def _finish(study: "Study", workers: int) -> "list[Run]":
    """Do what is missing of a study, with a bar."""
    from nital.commands import console
    from nital.work.cluster import executor_of

    n_missing = len(study.missing)
    if n_missing < study.n_runs:
        console.say_note(f"{study.n_runs - n_missing} of {study.n_runs} runs were there already")
    n_done = study.n_runs - n_missing
    with executor_of(workers) as executor, console.run_bar(study.n_runs, n_done) as on_run:
        return study.finish(executor=executor, on_run=on_run)
