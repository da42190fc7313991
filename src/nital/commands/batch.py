"""The command that labels all micrographs of a folder: batch."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nital.commands import arguments as arg
from nital.errors import SettingError
from nital.settings import FAST


def batch(
    folder: Annotated[
        Path, typer.Argument(help="Micrographs, in sub-folders too.", metavar="FOLDER")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="A model that `nital fit` wrote.", show_default="one fitted to all of them"
        ),
    ] = None,
    n_classes: Annotated[
        int | None, typer.Option(help="Without --model: classes to tell apart.", show_default="3")
    ] = None,
    seed: arg.Seed = FAST.seed,
    scale: arg.Scale = FAST.scale,
    exposure: arg.Exposure = "auto",
    out: arg.Out = Path("nital-batch"),
    pattern: Annotated[str, typer.Option(help="Only files of such names, as 'field*.tif'.")] = "*",
    workers: arg.Workers = 1,
    scheduler: arg.Scheduler = None,
    page: arg.Page = None,
    pixel_size: arg.PixelSize = None,
    crop_bottom: arg.CropBottom = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Label all micrographs of a folder with one model: a folder of results for each, one table.

    Stopped or killed at any moment, the same command goes on from there. Micrographs that can't be
    used are told at the end. Exit code: 0, all done; 1, some failed; 2, none was done.
    """
    from nital.commands import console
    from nital.work.batch import FAILED, TABLE, Batch, find_images, fit_batch, plan_tasks
    from nital.work.cluster import executor_of
    from nital.work.jobs import KnownModel

    if model is not None and n_classes is not None:
        raise SettingError(f"--n-classes {n_classes}: the model has its own; leave one of both out")
    if scheduler is not None:  # workers have working directories of their own
        folder, out = folder.absolute(), out.absolute()
        model = None if model is None else model.absolute()
    images = find_images(folder, out, pattern)
    with executor_of(workers, scheduler) as executor:
        if model is not None:
            known = KnownModel.read(model)
        else:
            known = fit_batch(
                images,
                out,
                n_classes=n_classes or 3,
                seed=seed,
                scale=scale,
                exposure=exposure,
                executor=executor,
                force=force,
                page=page,
                crop_bottom=crop_bottom,
            )
        how = {
            "page": page,
            "pixel_size": arg.parse_pixel_size(pixel_size),
            "crop_bottom": crop_bottom,
        }
        work = Batch(plan_tasks(folder, out, images), out, known, how, force=force)
        with console.image_bar(len(images)) as on_outcome:
            outcomes = work.finish(executor=executor, on_outcome=on_outcome)
    failed = [each for each in outcomes if each.status == FAILED]
    if as_json:
        typer.echo(json.dumps({"out": str(out), "images": [asdict(each) for each in outcomes]}))
    else:
        console.print_batch(Counter(each.status for each in outcomes))
        if len(failed) < len(outcomes):
            console.print_files(out, [TABLE])
    for each in failed:
        named = each.image in each.reason
        console.say_error(each.reason if named else f"{each.image}: {each.reason}")
    if failed:
        console.say_error(f"{len(failed)} of {len(outcomes)} images failed")
        raise typer.Exit(2 if len(failed) == len(outcomes) else 1)
