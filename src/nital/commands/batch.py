"""The command batch, which labels all micrographs of a folder."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nital.commands import options as opt
from nital.errors import SettingError
from nital.fast.settings import FastSettings


def batch(
    folder: Annotated[Path, Parameter(help="Folder of micrographs; includes sub-folders.")],
    /,
    *,
    model: Annotated[
        Path | None,
        Parameter(help="A model written by `nital fit`. Default: one fitted to all of them."),
    ] = None,
    n_classes: Annotated[
        int | None, opt.WHOLE, Parameter(help="Without --model: number of classes. Default: 3.")
    ] = None,
    given: opt.SampleSettings = opt.SAMPLE_SETTINGS,
    exposure: opt.Exposure = "auto",
    out: opt.Out = Path("nital-batch"),
    pattern: Annotated[str, Parameter(help="Only matching file names, e.g. 'field*.tif'.")] = "*",
    workers: opt.Workers = 1,
    scheduler: opt.Scheduler = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
    force: opt.Force = False,
) -> None:
    """Label all micrographs of a folder with one model: a folder of results for each, one table.

    If stopped or killed, the same command resumes where it left off. Micrographs that can't be used
    are listed at the end. Exit code: 0, all done; 1, some failed; 2, none done.
    """
    from nital.commands import console, tables
    from nital.work.batch import FAILED, TABLE, Batch, find_images, fit_batch, plan_tasks
    from nital.work.cluster import executor_of
    from nital.work.jobs import KnownModel

    if model is not None and n_classes is not None:
        raise SettingError(
            f"--n-classes {n_classes}: --model sets the number; use only one of them"
        )
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
                FastSettings(n_classes=n_classes or 3, **given.values),
                exposure=exposure,
                executor=executor,
                force=force,
                page=reading.page,
                crop_bottom=reading.crop_bottom,
            )
        work = Batch(plan_tasks(folder, out, images), out, known, asdict(reading), force=force)
        with console.image_bar(len(images)) as on_outcome:
            outcomes = work.finish(executor=executor, on_outcome=on_outcome)
    failed = [each for each in outcomes if each.status == FAILED]
    if as_json:
        print(json.dumps({"out": str(out), "images": [asdict(each) for each in outcomes]}))
    else:
        tables.print_batch(Counter(each.status for each in outcomes))
        if len(failed) < len(outcomes):
            tables.print_files(out, [TABLE])
    for each in failed:
        named = each.image in each.reason
        console.say_error(each.reason if named else f"{each.image}: {each.reason}")
    if failed:
        console.say_error(f"{len(failed)} of {len(outcomes)} images failed")
        raise SystemExit(2 if len(failed) == len(outcomes) else 1)
