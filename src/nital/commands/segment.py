"""The commands that label micrographs: segment, predict."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from nital.commands import options as opt
from nital.commands.parsing import check_names
from nital.errors import NitalError, SettingError
from nital.modes import settings_of
from nital.settings import Settings


def segment(
    *images: opt.Images,
    mode: opt.Mode = "fast",
    given: opt.AnySettings = opt.ANY_SETTINGS,
    comparing: opt.Comparing = opt.COMPARING,
    reading: opt.Reading = opt.READING,
    writing: opt.Writing = opt.WRITING,
) -> None:
    """Segment micrographs: label map, overlay, table of classes and summary of each.

    Exit code: 0, all done; 1, some of several images failed; 2, none done.
    """
    settings = settings_of(mode, **given.values)
    _segment_all(images, settings, comparing, reading, writing)


def predict(
    *images: opt.Images,
    model: Annotated[Path, Parameter(help="A model written by `nital fit`.")],
    comparing: opt.Comparing = opt.COMPARING,
    reading: opt.Reading = opt.READING,
    writing: opt.Writing = opt.WRITING,
) -> None:
    """Label micrographs with the classes of a model; writes the same files as `nital segment`.

    Exit code: 0, all done; 1, some of several images failed; 2, none done.
    """
    from nital.work.jobs import KnownModel

    known = KnownModel.read(model)
    _segment_all(images, known.model.settings, comparing, reading, writing, model=known)


def _segment_all(
    images: Sequence[Path],
    settings: Settings,
    comparing: opt.Comparing,
    reading: opt.Reading,
    writing: opt.Writing,
    **how: Any,
) -> None:
    """Segment files one after the other; a file that fails doesn't stop the rest."""
    from nital.commands.console import say_error

    check_names(images)
    if comparing.reference is not None and len(images) > 1:
        raise SettingError(
            f"--reference {comparing.reference}: belongs to one image, not {len(images)}"
        )
    how |= asdict(comparing) | asdict(reading)
    how |= {"as_json": writing.as_json, "force": writing.force}
    n_failed = 0
    for image in images:
        try:
            segment_and_print(image, writing.out / image.stem, settings, **how)
        except NitalError as error:
            if len(images) == 1:
                raise
            say_error(str(error))
            n_failed += 1
        except Exception as error:  # one bad file must not stop the rest
            if len(images) == 1:
                raise
            say_error(f"{image}: unexpected: {type(error).__name__}: {error}")
            n_failed += 1
    if n_failed:
        say_error(f"{n_failed} of {len(images)} images failed")
        raise SystemExit(2 if n_failed == len(images) else 1)


def segment_and_print(
    image: Path,
    folder: Path,
    settings: Settings,
    *,
    as_json: bool,
    names: tuple[str, ...] = (),
    **how: Any,
) -> None:
    """Segment one file into one folder, and print the result."""
    from nital.commands import console, tables
    from nital.work.jobs import segment_file

    with console.segmentation_bar(image.name, settings.as_dict().get("max_iterations")) as (
        on_step,
        on_rows,
    ):
        done = segment_file(image, folder, settings, on_step=on_step, on_rows=on_rows, **how)
    for note in done.segmentation.notes:
        console.say_note(f"{image.name}: {note}")
    if as_json:
        print(json.dumps(done.summary))
    else:
        tables.print_segmentation(image.name, done.segmentation, done.agreement, names)
        shown = ["overlay.png", "labels.zarr" if image.is_dir() else "labels.tif", "summary.json"]
        shown += [] if done.agreement is None else ["comparison.png"]
        tables.print_files(folder, shown)
