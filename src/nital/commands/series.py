"""The commands for classes shared between micrographs: fit, name."""

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from nital.commands import options as opt
from nital.commands.parsing import parse_colours, parse_names, parse_phases
from nital.errors import SettingError
from nital.fast.settings import FastSettings

ModelFile = Annotated[Path, Parameter(name="MODEL", help="A model written by `nital fit`.")]


def fit(
    *images: opt.Images,
    given: opt.FitSettings = opt.FIT_SETTINGS,
    exposure: opt.Exposure = "auto",
    out: Annotated[Path, Parameter(help="File for the model.")] = Path("model.nital"),
    workers: opt.Workers = 1,
    scheduler: opt.Scheduler = None,
    page: opt.Page = None,
    crop_bottom: opt.CropBottom = None,
    as_json: opt.Json = False,
    force: opt.Force = False,
) -> None:
    """Fit classes shared by many micrographs, and store them in a model."""
    from nital.commands import console, tables
    from nital.work.cluster import executor_of
    from nital.work.jobs import fit_files

    if scheduler is not None:  # workers have other working directories
        images = tuple(image.absolute() for image in images)
    with executor_of(workers, scheduler) as executor:
        model = fit_files(
            images,
            out,
            FastSettings(**given.values),
            exposure=exposure,
            page=page,
            crop_bottom=crop_bottom,
            force=force,
            executor=executor,
        )
    if as_json:
        print(json.dumps(_summary(out, model)))
        return
    tables.print_model(model)
    console.out.print(f"written: {out}", markup=False)


def name(
    model: ModelFile,
    /,
    *names: Annotated[
        str,
        Parameter(
            name="NAME",
            help="Names of classes, e.g. 1=pearlite 2=ferrite; with --fine, fine classes of"
            " phases, e.g. pearlite=1-4,9 ferrite=rest. Without any: show the classes.",
        ),
    ],
    colour: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, help="Colour of a name, e.g. pearlite=#0072b2."),
    ] = (),
    fine: Annotated[bool, opt.flag("Assign the model's fine classes to phases.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Name the classes of a model; every result has these names and colours."""
    from nital.commands import tables
    from nital.series.model_files import read_model
    from nital.work.jobs import name_classes

    if fine and not names:
        raise SettingError("--fine: names no phase; use PHASE=NUMBERS, e.g. pearlite=1-4,9")
    if names or colour:
        known = read_model(model)
        phases = parse_phases(" ".join(names), len(known.class_of), "--fine") if fine else None
        found = name_classes(
            model,
            {} if fine else parse_names(names),
            colours=parse_colours(colour),
            phases=phases,
        )
    else:
        found = read_model(model)
    if as_json:
        print(json.dumps(_summary(model, found)))
        return
    tables.print_model(found)


def _summary(path: Path, model: Any) -> dict[str, Any]:
    """Return a model, ready for JSON."""
    from nital.output.summary import class_summary

    return {
        "model": str(path),
        "settings": model.settings.as_dict(),
        "exposure": model.exposure,
        "images": [{"name": name, "sha256": sha256} for name, sha256 in model.images],
        "classes": class_summary(model.classes),
        "n_fine_classes": len(model.class_of),
    }
