"""The commands of the paper's studies: superpixels, number of classes, map of F."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nital.commands import options as opt
from nital.commands.parsing import parse_numbers, parse_range, superpixel_numbers
from nital.errors import SettingError
from nital.modes import settings_of
from nital.paper.settings import PaperSettings

if TYPE_CHECKING:
    from nital.work.runs import Run
    from nital.work.study_folder import Study

# As in `cli`, modules that load torch or matplotlib are imported where they are used.


def superpixels(
    image: opt.Image,
    /,
    *,
    compactness: Annotated[
        str,
        opt.TEXT,
        Parameter(help="Values, e.g. 1,20,100."),
    ] = "1,20,100",
    superpixels: Annotated[
        str | None,
        opt.TEXT,
        Parameter(help="Values, e.g. 500,5000. Default: 1/16, 1/4 and 1 times the preset."),
    ] = None,
    out: opt.Out = Path("nital-results"),
    page: opt.Page = None,
    force: opt.Force = False,
) -> None:
    """Draw superpixels over compactness and number, like the paper's Fig. 4."""
    from nital.commands.tables import print_files
    from nital.image.files import read_micrograph
    from nital.work.study_folder import draw_superpixels

    weights = parse_numbers("compactness", compactness, float)
    micrograph = read_micrograph(image, page=page)
    numbers = superpixel_numbers(superpixels, micrograph.shape, shares=(1 / 16, 1 / 4, 1))
    folder = out / image.stem / "superpixels"
    draw_superpixels(micrograph, folder, compactness=weights, n_superpixels=numbers, force=force)
    print_files(folder, ["grid.png"])


def classes(
    image: opt.Image,
    /,
    *,
    numbers: Annotated[
        str, opt.TEXT, Parameter(name="--range", help="Numbers of classes, from:to, both included.")
    ] = "2:10",
    repeats: opt.Repeats = 10,
    mode: opt.Mode = "fast",
    given: opt.StudySettings = opt.STUDY_SETTINGS,
    workers: opt.StudyWorkers = None,
    page: opt.Page = None,
    writing: opt.Writing = opt.WRITING,
) -> None:
    """Find the best number of classes: F, F' and Q over repeats, like the paper's Fig. 10.

    Each finished run is recorded at once; if stopped, the same command resumes where it left off.
    """
    from nital.commands import tables
    from nital.image.files import read_micrograph
    from nital.work.studies import study_classes
    from nital.work.study_folder import Study, class_study_summary, write_class_study

    settings = settings_of(mode, **given.values)
    varied = {"n_classes": parse_range(numbers)}
    micrograph = read_micrograph(image, page=page)
    folder = writing.out / image.stem / "classes"
    study = Study(
        "classes", micrograph, folder, settings, varied=varied, repeats=repeats, force=writing.force
    )
    found = study_classes(_finish(study, workers))
    write_class_study(folder, found)
    if writing.as_json:
        print(json.dumps(class_study_summary(found)))
    else:
        tables.print_class_study(found)
        tables.print_files(folder, ["criteria.png", "criteria.csv"])


def map_(
    image: opt.Image,
    /,
    *,
    compactness: Annotated[
        str, opt.TEXT, Parameter(help="Values, e.g. 5,20,80.")
    ] = "5,10,20,40,80",
    superpixels: Annotated[
        str | None,
        opt.TEXT,
        Parameter(help="Values, e.g. 500,5000. Default: 1/8 to 2 times the preset."),
    ] = None,
    repeats: opt.Repeats = 10,
    given: opt.MapSettings = opt.MAP_SETTINGS,
    workers: opt.StudyWorkers = None,
    page: opt.Page = None,
    writing: opt.Writing = opt.WRITING,
) -> None:
    """Map F over compactness and number of superpixels, like the paper's Fig. 11.

    Each finished run is recorded at once; if stopped, the same command resumes where it left off.
    """
    from nital.commands import tables
    from nital.image.files import read_micrograph
    from nital.work.studies import study_superpixels
    from nital.work.study_folder import Study, superpixel_study_summary, write_superpixel_study

    settings = settings_of(PaperSettings.mode, **given.values)
    weights = parse_numbers("compactness", compactness, float)
    micrograph = read_micrograph(image, page=page)
    sizes = superpixel_numbers(superpixels, micrograph.shape, shares=(1 / 8, 1 / 4, 1 / 2, 1, 2))
    if len(weights) < 2 or len(sizes) < 2:
        raise SettingError("a map needs at least two values of compactness and two of superpixels")
    varied = {"compactness": weights, "n_superpixels": sizes}
    folder = writing.out / image.stem / "map"
    study = Study(
        "map", micrograph, folder, settings, varied=varied, repeats=repeats, force=writing.force
    )
    found = study_superpixels(_finish(study, workers))
    write_superpixel_study(folder, found)
    if writing.as_json:
        print(json.dumps(superpixel_study_summary(found)))
    else:
        tables.print_superpixel_study(found)
        tables.print_files(folder, ["map.png", "map.csv"])


def _finish(study: "Study", workers: int | None) -> "list[Run]":
    """Do the missing runs of a study, with a progress bar."""
    from nital.commands import console
    from nital.work.cluster import executor_of

    n_missing = len(study.missing)
    if n_missing < study.n_runs:
        console.say_note(f"{study.n_runs - n_missing} of {study.n_runs} runs already done")
    n_done = study.n_runs - n_missing
    n_workers = study.n_workers if workers is None else workers
    with executor_of(n_workers) as executor, console.run_bar(study.n_runs, n_done) as on_run:
        return study.finish(executor=executor, on_run=on_run)
