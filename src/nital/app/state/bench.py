"""The bench: one session of the page, its micrographs, their model, and what was decided.

It holds no picture and computes nothing but fractions of areas that are known. Every change is on
the disk before the next: reloading the page or starting the server again loses nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.app.work.fields import FieldFile, Labelled, Opened, Trained
from nital.app.work.tasks import FITTED
from nital.errors import InputError
from nital.image.files import read_json
from nital.measure.stereology import FieldStatistics, over_fields
from nital.output.render import colours_of, hex_of
from nital.output.results import versions
from nital.result.criteria import RegionStatistics
from nital.result.grouping import ClassName, Grouping
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import FAST, MAX_CLASSES, Settings
from nital.storage.writing import write_whole, writing

FILE = "bench.json"
MODEL, DECIDED = "model.nital", "decided.nital"
VERSION = 1

MOST_STEPS = 200
"""So many decisions can be undone."""


@dataclass(frozen=True)
class Field:
    """A micrograph on the bench."""

    file: FieldFile
    opened: Opened | None = None
    labelled: Labelled | None = None
    error: str | None = None
    """Why it can't be used, in words."""

    picture: int = 0
    """Rises with each change of what is shown of the micrograph."""

    version: int = 0
    """Rises with each change of its classes."""

    @property
    def number(self) -> int:
        """Its number on this bench; it is never given to another."""
        return self.file.number

    @property
    def name(self) -> str:
        """What it is called."""
        return self.file.name

    @property
    def n_rows(self) -> int:
        """Rows that are not cut off; 0 if it is not open."""
        return 0 if self.opened is None else self.opened.shape[0] - self.opened.cropped_bottom


class Bench:
    """One session.

    Parameters
    ----------
    folder : Path
        Of the session (`tasks` says what is in it); made if it is missing.

    Raises
    ------
    InputError
        If there is a session that this nital can't read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fields: dict[int, Field] = {}
        self.settings = FAST
        self.exposure = "auto"
        self.base: Grouping | None = None
        """As it was fitted, or, in paper mode, found."""

        self._models: list[Grouping] = []
        self._place = 0
        self._next = 1
        self.version = 0
        """Rises with every change, of whatever kind."""

        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FILE).is_file():
            self._read()

    # --- micrographs -----------------------------------------------------------------------------

    def add(self, path: Path, name: str) -> Field:
        """Put a micrograph on the bench; it has still to be opened (`tasks.open_field`).

        Where another has the same name, it gets a number.
        """
        names = {each.name for each in self.fields.values()}
        given, n = name, 1
        while name in names:
            n += 1
            name = f"{Path(given).stem} ({n}){Path(given).suffix}"
        field = Field(FieldFile(self._next, name, path, None, None))
        self._next += 1
        self._set(field)
        return field

    def remove(self, number: int) -> None:
        """Take a micrograph off the bench."""
        del self.fields[number]
        self._changed()

    def opened(self, found: Opened) -> None:
        """Take note of what was found in a file."""
        field = self.fields[found.number]
        self._set(replace(field, opened=found, error=None, picture=field.picture + 1))

    def failed(self, number: int, error: str) -> None:
        """Take note of why a micrograph can't be used."""
        self._set(replace(self.fields[number], error=error))

    def set_pixel_size(self, number: int, pixel_size: float | None) -> None:
        """Type the pixel size of a micrograph, in µm; None: what its file says."""
        field = self.fields[number]
        self._set(replace(field, file=replace(field.file, pixel_size=pixel_size)))

    def set_page(self, number: int, page: int | None) -> None:
        """Choose a page of a file with several, from 1; it has then to be opened again."""
        field = self.fields[number]
        file = replace(field.file, page=page, crop_bottom=None)
        self._set(replace(field, file=file, opened=None, labelled=None, error=None))

    def crop(self, number: int, n_rows: int) -> None:
        """Keep so many rows of a micrograph; it has then to be labelled again.

        Raises
        ------
        InputError
            If it has not so many, or none would be left.
        """
        field = self.fields[number]
        if field.opened is None:
            raise InputError(f"{field.name}: is not open yet; wait a moment")
        rows = field.opened.shape[0]
        if not 1 <= n_rows <= rows:
            raise InputError(
                f"{field.name}: {n_rows} rows of {rows} can't be kept; use 1 to {rows}"
            )
        cut = rows - n_rows
        if cut != field.opened.cropped_bottom:
            self._set(
                replace(
                    field,
                    file=replace(field.file, crop_bottom=cut),
                    opened=replace(field.opened, cropped_bottom=cut),
                    labelled=None,
                )
            )

    @property
    def usable(self) -> list[Field]:
        """Micrographs that are open."""
        return [each for each in self.fields.values() if each.opened and each.error is None]

    @property
    def labelled(self) -> list[Field]:
        """Micrographs that have classes."""
        return [each for each in self.usable if each.labelled]

    # --- classes ---------------------------------------------------------------------------------

    def set_settings(self, settings: Settings, exposure: str) -> None:
        """Take note of what the next segmentation will use."""
        self.settings, self.exposure = settings, exposure
        self._changed()

    def fitted(self) -> None:
        """Take the model that was fitted, in place of an older one; its labels are to come."""
        self.base = read_model(self.folder / FITTED)
        with writing(self.folder / MODEL):
            (self.folder / FITTED).replace(self.folder / MODEL)
        self._begin(self.base)
        self._changed()

    def trained(self, found: Trained) -> None:
        """Take note of the classes of one micrograph that paper mode found."""
        if found.labelled.number not in self.fields:
            return
        self.base = Grouping.of_classes(found.settings, found.statistics)
        self._begin(self.base)
        self.has_labelled(found.labelled)

    def _begin(self, base: Grouping) -> None:
        """Nothing is decided yet, and nothing labelled."""
        self._models, self._place = [base], 0
        for field in self.fields.values():
            self.fields[field.number] = replace(field, labelled=None)

    def has_labelled(self, found: Labelled) -> None:
        """Take note of what came of a micrograph."""
        field = self.fields.get(found.number)
        if field is not None:
            self._set(replace(field, labelled=found, error=None, version=field.version + 1))

    @property
    def model(self) -> Grouping | None:
        """As it was decided; None before anything is segmented."""
        return self._models[self._place] if self._models else None

    @property
    def is_fitted(self) -> bool:
        """Whether other micrographs can be labelled too: paper mode leaves no model for them."""
        return isinstance(self.base, Model)

    @property
    def n_fine(self) -> int:
        """Fine classes of the model."""
        return 0 if self.base is None else len(self.base.class_of)

    def decide(self, change: Callable[[Grouping], Grouping]) -> Grouping:
        """Change the model; what was undone before is forgotten.

        Raises
        ------
        InputError
            If there is no model, or the change can't be made.
        """
        if self.model is None:
            raise InputError("nothing is segmented yet; press Segment first")
        changed = change(self.model)
        if len(changed.class_of) != self.n_fine:
            raise InputError("these are other classes by now; decide again")
        self._models = [*self._models[: self._place + 1], changed][-MOST_STEPS - 1 :]
        self._place = len(self._models) - 1
        self._changed()
        return changed

    def join(self, number: int, other: int) -> None:
        """Join class `other` to `number`; all that are left keep their colours."""
        self.decide(lambda model: _with_colours(model).joined(number, other))

    def split(self, number: int) -> None:
        """Divide a class in two; the others keep their colours."""
        self.decide(lambda model: _with_colours(model).split(number))

    def call(self, number: int, name: str) -> None:
        """Name a class; two of one name become one. An empty name takes the name away."""

        def change(model: Grouping) -> Grouping:
            known = model.names.get(number)
            colour = None if known is None else known.colour
            names = {i: each for i, each in model.names.items() if i != number}
            if not name.strip():
                if colour is not None:
                    names[number] = ClassName(None, colour)
                return replace(model, names=dict(sorted(names.items())))
            for other, each in names.items():
                if each.name == name.strip():
                    return model.joined(other, number)
            return model.named({number: ClassName(name.strip(), colour)})

        self.decide(change)

    def colour(self, number: int, colour: str) -> None:
        """Give a class a colour, as `#0072b2`; another that was given it gets one that is free."""

        def change(model: Grouping) -> Grouping:
            kept = {
                i: ClassName(each.name) if each.colour == colour else each
                for i, each in model.names.items()
                if i != number and (each.name is not None or each.colour != colour)
            }
            known = model.names.get(number)
            mine = ClassName(known.name if known else None, colour)
            return replace(model, names={}).named({**kept, number: mine})

        self.decide(change)

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision to take back."""
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        """Whether a decision was taken back."""
        return self._place + 1 < len(self._models)

    def undo(self) -> None:
        """Take the last decision back."""
        if self.can_undo:
            self._place -= 1
            self._changed()

    def redo(self) -> None:
        """Take back the last `undo`."""
        if self.can_redo:
            self._place += 1
            self._changed()

    # --- figures ---------------------------------------------------------------------------------

    def fractions(self, number: int, model: Grouping | None = None) -> NDArray[np.float64]:
        """Area fraction of each class in a micrograph, (k,); of this model, or as decided."""
        model, labelled = model or self.model, self.fields[number].labelled
        assert model is not None
        assert labelled is not None
        sums = np.bincount(model.class_of, labelled.areas)[1:]
        share: NDArray[np.float64] = sums / sums.sum()
        return share

    def fine_fractions(self) -> NDArray[np.float64]:
        """Area fraction of each fine class over all labelled micrographs, (n,)."""
        total = np.sum([each.labelled.areas for each in self.labelled if each.labelled], axis=0)
        share: NDArray[np.float64] = total / total.sum()
        return share

    def statistics(self) -> list[FieldStatistics]:
        """Of each class, over the labelled micrographs."""
        each = [self.fractions(field.number) for field in self.labelled]
        return [over_fields(list(column)) for column in zip(*each, strict=True)]

    def phases(self, model: Grouping | None = None) -> list[str]:
        """What each class is called; of this model, or as decided."""
        model = model or self.model
        assert model is not None
        return [row.name or f"class {row.label}" for row in model.classes]

    def state(self) -> str:
        """What decides on results, as a text to compare: classes, names, micrographs with them."""
        fields = [(_described(each), each.version) for each in self.labelled]
        return json.dumps([self.model and _decision(self.model), fields])

    def touch(self) -> None:
        """Something beside the bench has changed that is shown with it."""
        self.version += 1

    def write_decided(self, name: str = DECIDED) -> Path:
        """Write the model as it was decided, for what is kept or for another purpose.

        Raises
        ------
        InputError
            If there is none.
        """
        if not isinstance(self.model, Model):
            raise InputError("paper mode leaves no model; segment in fast mode")
        path = self.folder / name
        write_model(path, self.model, versions=versions(), force=True)
        return path

    # --- on the disk -----------------------------------------------------------------------------

    def _set(self, field: Field) -> None:
        self.fields[field.number] = field
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        described = {
            "version": VERSION,
            "settings": self.settings.in_use,
            "exposure": self.exposure,
            "next": self._next,
            "place": self._place,
            "trained": None if self.is_fitted or self.base is None else _classes(self.base),
            "decisions": [_decision(model) for model in self._models],
            "fields": [_described(field) for field in self.fields.values()],
        }
        with writing(self.folder / FILE):
            write_whole(self.folder / FILE, json.dumps(described, indent=1))

    def _read(self) -> None:
        path = self.folder / FILE
        known = read_json(path)
        if not isinstance(known, dict) or known.get("version") != VERSION:
            raise InputError(f"{path}: of another version of nital; start a new session")
        try:
            if known["trained"]:
                self.base = _trained(known["trained"])
            elif known["decisions"]:
                self.base = read_model(self.folder / MODEL)
            self._take(known)
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            OverflowError,
        ) as error:
            raise InputError(f"{path}: damaged ({error}); start a new session") from error

    def _take(self, known: dict[str, Any]) -> None:
        self.settings = Settings(**known["settings"])
        self.exposure, self._next = known["exposure"], known["next"]
        self.fields = {each.number: each for each in map(_field, known["fields"])}
        if self.base is not None:
            base = self.base
            self._models = [_model_of(base, each) for each in known["decisions"]]
        self._place = min(known["place"], max(0, len(self._models) - 1))


def _with_colours(model: Grouping) -> Grouping:
    """The model with the colours of its classes fixed: they would follow the numbers."""
    rows = model.classes
    return model.named(
        {
            row.label: ClassName(row.name, hex_of(colour))
            for row, colour in zip(rows, colours_of(rows), strict=True)
        }
    )


def most_classes(model: Grouping | None) -> int:
    """The largest number of classes that a tree can be cut at."""
    if model is None:
        return MAX_CLASSES
    return max(2, int(model.tree.numbers(len(model.class_of)).max()))


def _classes(base: Grouping) -> dict[str, Any]:
    """The classes that paper mode found."""
    statistics = {name: each.tolist() for name, each in asdict(base.tree.statistics).items()}
    return {"settings": base.settings.in_use, "statistics": statistics}


def _trained(known: dict[str, Any]) -> Grouping:
    statistics = {name: np.array(each) for name, each in known["statistics"].items()}
    return Grouping.of_classes(Settings(**known["settings"]), RegionStatistics(**statistics))


def _decision(model: Grouping) -> dict[str, Any]:
    return {
        "class_of": model.class_of.tolist(),
        "names": {str(number): asdict(each) for number, each in model.names.items()},
    }


def _model_of(base: Grouping, decision: Mapping[str, Any]) -> Grouping:
    names = {int(number): ClassName(**each) for number, each in decision["names"].items()}
    if decision["class_of"] == base.class_of.tolist():  # paper mode may have found a single class
        return replace(base, names=names)
    return base.grouped(np.array(decision["class_of"], np.int64), names)


def _described(field: Field) -> dict[str, Any]:
    described = asdict(field)
    described["file"]["path"] = str(field.file.path)
    return described


def _field(described: dict[str, Any]) -> Field:
    file, opened, labelled = (described[key] for key in ("file", "opened", "labelled"))
    return Field(
        FieldFile(**{**file, "path": Path(file["path"])}),
        opened and Opened(**{**opened, "shape": tuple(opened["shape"])}),
        labelled and Labelled(**{**labelled, "areas": tuple(labelled["areas"])}),
        described["error"],
        described["picture"],
        described["version"],
    )
