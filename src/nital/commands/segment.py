"""The commands that label micrographs: segment, predict."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nital.commands import arguments as arg
from nital.errors import NitalError, SettingError
from nital.settings import FAST, Settings


def segment(
    images: Annotated[list[Path], typer.Argument(help="Micrographs.", metavar="IMAGE...")],
    n_classes: arg.NClasses = str(FAST.n_classes),
    mode: arg.Mode = FAST.mode,
    seed: arg.Seed = FAST.seed,
    out: arg.Out = Path("nital-results"),
    scale: arg.Scale = FAST.scale,
    repeats: arg.ConsensusRepeats = None,
    reference: arg.Reference = None,
    ignore: arg.Ignore = None,
    superpixels: arg.Superpixels = None,
    compactness: arg.Compactness = None,
    max_iterations: arg.MaxIterations = None,
    learning_rate: arg.LearningRate = None,
    momentum: arg.Momentum = None,
    n_layers: arg.NLayers = None,
    n_filters: arg.NFilters = None,
    n_responses: arg.NResponses = None,
    regions: arg.Regions = FAST.regions,
    device: arg.Device = None,
    threads: arg.Threads = None,
    page: arg.Page = None,
    pixel_size: arg.PixelSize = None,
    crop_bottom: arg.CropBottom = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Segment micrographs: label map, overlay, table of classes and summary of each.

    Exit code: 0, all done; 1, some of several images failed; 2, none was done.
    """
    settings = Settings.of(
        mode=mode,
        n_classes=arg.parse_n_classes(n_classes),
        repeats=repeats,
        scale=scale,
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
    _segment_all(
        images,
        out,
        settings,
        reference=reference,
        ignore=ignore,
        page=page,
        pixel_size=arg.parse_pixel_size(pixel_size),
        crop_bottom=crop_bottom,
        as_json=as_json,
        force=force,
    )


def predict(
    images: Annotated[list[Path], typer.Argument(help="Micrographs.", metavar="IMAGE...")],
    model: Annotated[Path, typer.Option(help="A model that `nital fit` wrote.")],
    out: arg.Out = Path("nital-results"),
    reference: arg.Reference = None,
    ignore: arg.Ignore = None,
    page: arg.Page = None,
    pixel_size: arg.PixelSize = None,
    crop_bottom: arg.CropBottom = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Label micrographs with the classes of a model; the files are those of `nital segment`.

    Exit code: 0, all done; 1, some of several images failed; 2, none was done.
    """
    from nital.work.jobs import KnownModel

    known = KnownModel.read(model)
    _segment_all(
        images,
        out,
        known.model.settings,
        model=known,
        reference=reference,
        ignore=ignore,
        page=page,
        pixel_size=arg.parse_pixel_size(pixel_size),
        crop_bottom=crop_bottom,
        as_json=as_json,
        force=force,
    )


def _segment_all(
    images: list[Path], out: Path, settings: Settings, *, reference: Path | None, **how: Any
) -> None:
    """Segment files one after the other; those that fail don't stop the rest."""
    from nital.commands.console import say_error

    arg.check_names(images)
    if reference is not None and len(images) > 1:
        raise SettingError(f"--reference {reference}: belongs to one image, not {len(images)}")
    n_failed = 0
    for image in images:
        try:
            segment_and_print(image, out / image.stem, settings, reference=reference, **how)
        except NitalError as error:
            if len(images) == 1:
                raise
            say_error(str(error))
            n_failed += 1
        except Exception as error:  # the rest of a batch is not lost to one odd file
            if len(images) == 1:
                raise
            say_error(f"{image}: unexpected: {type(error).__name__}: {error}")
            n_failed += 1
    if n_failed:
        say_error(f"{n_failed} of {len(images)} images failed")
        raise typer.Exit(2 if n_failed == len(images) else 1)


def segment_and_print(
    image: Path,
    folder: Path,
    settings: Settings,
    *,
    as_json: bool,
    names: tuple[str, ...] = (),
    **how: Any,
) -> None:
    """Segment one file into one folder, and print what came out."""
    from nital.commands import console
    from nital.work.jobs import segment_file

    with console.segmentation_bar(image.name, settings.max_iterations) as (on_step, on_rows):
        done = segment_file(image, folder, settings, on_step=on_step, on_rows=on_rows, **how)
    for note in done.segmentation.notes:
        console.say_note(f"{image.name}: {note}")
    if as_json:
        typer.echo(json.dumps(done.summary))
    else:
        console.print_segmentation(image.name, done.segmentation, done.agreement, names)
        shown = ["overlay.png", "labels.zarr" if image.is_dir() else "labels.tif", "summary.json"]
        shown += [] if done.agreement is None else ["comparison.png"]
        console.print_files(folder, shown)
