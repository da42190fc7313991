"""The commands that share classes between micrographs: fit, predict, name."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nital.commands import arguments as arg
from nital.errors import SettingError
from nital.settings import FAST

ModelFile = Annotated[Path, typer.Argument(help="A model that `nital fit` wrote.", metavar="MODEL")]


def fit(
    images: Annotated[list[Path], typer.Argument(help="Micrographs.", metavar="IMAGE...")],
    n_classes: arg.NClasses = str(FAST.n_classes),
    seed: arg.Seed = FAST.seed,
    scale: arg.Scale = FAST.scale,
    exposure: arg.Exposure = "auto",
    out: Annotated[Path, typer.Option(help="The file of the model.")] = Path("model.nital"),
    workers: arg.Workers = 1,
    scheduler: arg.Scheduler = None,
    page: arg.Page = None,
    crop_bottom: arg.CropBottom = None,
    as_json: arg.Json = False,
    force: arg.Force = False,
) -> None:
    """Find classes that many micrographs share, and keep them in a model."""
    from nital.commands import console
    from nital.work.cluster import executor_of
    from nital.work.jobs import fit_files

    if scheduler is not None:  # its workers may stand elsewhere
        images = [image.absolute() for image in images]
    with executor_of(workers, scheduler) as executor:
        model = fit_files(
            images,
            out,
            n_classes=arg.parse_n_classes(n_classes),
            seed=seed,
            scale=scale,
            exposure=exposure,
            page=page,
            crop_bottom=crop_bottom,
            force=force,
            executor=executor,
        )
    if as_json:
        typer.echo(json.dumps(_summary(out, model)))
        return
    console.print_model(model)
    console.out.print(f"written: {out}", markup=False)


def name(
    model: ModelFile,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of classes, as 1=pearlite 2=ferrite; with --fine, fine classes of phases,"
            " as pearlite=1-4,9 ferrite=rest. Without any: show the classes.",
            metavar="NAME...",
            show_default=False,
        ),
    ] = None,
    colour: Annotated[
        list[str] | None, typer.Option(help="Colour of a name, as pearlite=#0072b2.")
    ] = None,
    fine: Annotated[
        bool, typer.Option("--fine", help="Put the model's fine classes together to phases.")
    ] = False,
    as_json: arg.Json = False,
) -> None:
    """Name the classes of a model; names and colours follow into every result."""
    from nital.commands import console
    from nital.series.model_files import read_model
    from nital.work.jobs import name_classes

    if fine and not names:
        raise SettingError("--fine: names no phase; use PHASE=NUMBERS, as pearlite=1-4,9")
    if names or colour:
        known = read_model(model)
        phases = (
            arg.parse_phases(" ".join(names or []), len(known.class_of), "--fine") if fine else None
        )
        found = name_classes(
            model,
            {} if fine else arg.parse_names(names or []),
            colours=arg.parse_colours(colour or []),
            phases=phases,
        )
    else:
        found = read_model(model)
    if as_json:
        typer.echo(json.dumps(_summary(model, found)))
        return
    console.print_model(found)


def _summary(path: Path, model: Any) -> dict[str, Any]:
    """A model, ready for JSON."""
    from nital.output.results import class_summary

    return {
        "model": str(path),
        "settings": model.settings.in_use,
        "exposure": model.exposure,
        "images": [{"name": name, "sha256": sha256} for name, sha256 in model.images],
        "classes": class_summary(model.classes),
        "n_fine_classes": len(model.class_of),
    }
