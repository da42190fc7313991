"""The bench file: how a bench is written to `bench.json` in the folder of its session, and read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nital.app.state.field import Field
from nital.app.work.fields import FieldFile, Labelled, Opened
from nital.errors import InputError
from nital.modes import settings_of
from nital.result.criteria import RegionStatistics
from nital.result.grouping import ClassName, Grouping
from nital.series.model import Model
from nital.series.model_files import read_model
from nital.settings import Settings
from nital.storage.tables import read_json
from nital.storage.writing import write_whole, writing

FILE = "bench.json"
MODEL = "model.nital"
VERSION = 2


@dataclass(frozen=True)
class BenchState:
    """What is stored of a bench."""

    settings: Settings
    exposure: str
    next_number: int
    """Of the next micrograph."""

    fields: Mapping[int, Field]
    """By their numbers."""

    base: Grouping | None
    """A model is not written, but read from `model.nital`; classes of paper mode are."""

    models: Sequence[Grouping]
    """The decisions, one after the other."""

    place: int
    """Of the current one among them."""


def write_bench(folder: Path, state: BenchState) -> None:
    """Write the whole file, or leave the old one; an `OutputError` if the disk refuses."""
    base = state.base
    content = {
        "version": VERSION,
        "settings": state.settings.as_dict(),
        "exposure": state.exposure,
        "next": state.next_number,
        "place": state.place,
        "trained": None if base is None or isinstance(base, Model) else _trained_to_json(base),
        "decisions": [decision_to_json(model) for model in state.models],
        "fields": [field_to_json(field) for field in state.fields.values()],
    }
    with writing(folder / FILE):
        write_whole(folder / FILE, json.dumps(content, indent=1))


def read_bench(folder: Path) -> BenchState:
    """What `write_bench` wrote.

    Raises
    ------
    InputError
        If it is damaged, or of another version of nital.
    """
    path = folder / FILE
    content = read_json(path)
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise InputError(f"{path}: of another version of nital; start a new session")
    try:
        return _state_from_json(folder, content)
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        OverflowError,
    ) as error:
        raise InputError(f"{path}: damaged ({error}); start a new session") from error


def decision_to_json(model: Grouping) -> dict[str, Any]:
    """The classes of a model and their names."""
    return {
        "class_of": model.class_of.tolist(),
        "names": {str(number): asdict(each) for number, each in model.names.items()},
    }


def field_to_json(field: Field) -> dict[str, Any]:
    """All that is known of a micrograph."""
    content = asdict(field)
    content["file"]["path"] = str(field.file.path)
    return content


def _state_from_json(folder: Path, content: Mapping[str, Any]) -> BenchState:
    base: Grouping | None = None
    if content["trained"]:
        base = _trained_from_json(content["trained"])
    elif content["decisions"]:
        base = read_model(folder / MODEL)
    models = (
        [] if base is None else [_decision_from_json(base, each) for each in content["decisions"]]
    )
    return BenchState(
        settings=settings_of(**content["settings"]),
        exposure=content["exposure"],
        next_number=content["next"],
        fields={each.number: each for each in map(_field_from_json, content["fields"])},
        base=base,
        models=models,
        place=min(content["place"], max(0, len(models) - 1)),
    )


def _decision_from_json(base: Grouping, content: Mapping[str, Any]) -> Grouping:
    names = {int(number): ClassName(**each) for number, each in content["names"].items()}
    if content["class_of"] == base.class_of.tolist():  # paper mode may have found a single class
        return replace(base, names=names)
    return base.grouped(np.array(content["class_of"], np.int64), names)


def _field_from_json(content: Mapping[str, Any]) -> Field:
    file, opened, labelled = (content[key] for key in ("file", "opened", "labelled"))
    return Field(
        FieldFile(**{**file, "path": Path(file["path"])}),
        opened and Opened(**{**opened, "shape": tuple(opened["shape"])}),
        labelled and _labelled_from_json(labelled),
        content["error"],
        content["picture"],
        content["version"],
    )


def _labelled_from_json(content: Mapping[str, Any]) -> Labelled:
    shares = content["shares"]
    if shares is not None:
        shares = tuple(map(tuple, shares))
    return Labelled(**{**content, "areas": tuple(content["areas"]), "shares": shares})


def _trained_to_json(base: Grouping) -> dict[str, Any]:
    """The classes that paper mode found."""
    statistics = {name: each.tolist() for name, each in asdict(base.joining.statistics).items()}
    return {"settings": base.settings.as_dict(), "statistics": statistics}


def _trained_from_json(content: Mapping[str, Any]) -> Grouping:
    statistics = {name: np.array(each) for name, each in content["statistics"].items()}
    return Grouping.of_classes(settings_of(**content["settings"]), RegionStatistics(**statistics))
