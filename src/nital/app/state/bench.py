"""The bench: one session of the page, its micrographs, their model, and what was decided.

It holds no picture and computes nothing but fractions of areas that are known. Every change is on
the disk before the next: reloading the page or starting the server again loses nothing.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nital.app.state import decisions
from nital.app.state.bench_file import (
    FILE,
    MODEL,
    BenchState,
    decision_to_json,
    field_to_json,
    read_bench,
    write_bench,
)
from nital.app.state.field import Field
from nital.app.work.fields import FieldFile, Labelled, Opened, Trained
from nital.app.work.tasks import FITTED
from nital.errors import InputError
from nital.fast.settings import FAST
from nital.measure.stereology import FieldStatistics, over_fields
from nital.result.classes import expanded_uncertainty
from nital.result.grouping import Grouping
from nital.result.joining import fractions_of
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import Settings
from nital.storage.versions import versions
from nital.storage.writing import writing

DECIDED = "decided.nital"
"""The model as it was decided, written where it is needed."""

MOST_STEPS = 200
"""So many decisions can be undone."""


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
        self.settings: Settings = FAST
        self.exposure = "auto"
        self.base: Grouping | None = None
        """The model as it was fitted, or the classes that paper mode found."""

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
        """Add a micrograph; it has still to be opened (`tasks.open_field`).

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
        """Remove a micrograph."""
        del self.fields[number]
        self._changed()

    def set_opened(self, found: Opened) -> None:
        """Store what was found in a file."""
        field = self.fields[found.number]
        self._set(replace(field, opened=found, error=None, picture=field.picture + 1))

    def set_error(self, number: int, error: str) -> None:
        """Store why a micrograph can't be used."""
        self._set(replace(self.fields[number], error=error))

    def set_pixel_size(self, number: int, pixel_size: float | None) -> None:
        """Set the pixel size of a micrograph, in µm; None: what its file says."""
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
        """Store what the next segmentation will use."""
        self.settings, self.exposure = settings, exposure
        self._changed()

    def adopt_fitted(self) -> None:
        """Replace the model by the one that was fitted last; its labels are to come."""
        self.base = read_model(self.folder / FITTED)
        with writing(self.folder / MODEL):
            (self.folder / FITTED).replace(self.folder / MODEL)
        self._begin(self.base)
        self._changed()

    def set_trained(self, found: Trained) -> None:
        """Store the classes of one micrograph that paper mode found."""
        if found.labelled.number not in self.fields:
            return
        self.base = Grouping.of_classes(found.settings, found.statistics)
        self._begin(self.base)
        self.set_labelled(found.labelled)

    def _begin(self, base: Grouping) -> None:
        """Start with nothing decided and nothing labelled."""
        self._models, self._place = [base], 0
        for field in self.fields.values():
            self.fields[field.number] = replace(field, labelled=None)

    def set_labelled(self, found: Labelled) -> None:
        """Store how a micrograph was labelled."""
        field = self.fields.get(found.number)
        if field is not None:
            self._set(replace(field, labelled=found, error=None, version=field.version + 1))

    @property
    def model(self) -> Grouping | None:
        """The model as it was decided; None before anything is segmented."""
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
        self.decide(lambda model: decisions.join(model, number, other))

    def split(self, number: int) -> None:
        """Divide a class in two; the others keep their colours."""
        self.decide(lambda model: decisions.split(model, number))

    def rename(self, number: int, name: str) -> None:
        """Name a class; two of one name become one. An empty name removes the name."""
        self.decide(lambda model: decisions.rename(model, number, name))

    def recolour(self, number: int, colour: str) -> None:
        """Give a class a colour, as `#0072b2`; another that was given it gets one that is free."""
        self.decide(lambda model: decisions.recolour(model, number, colour))

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision to undo."""
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        """Whether a decision was undone."""
        return self._place + 1 < len(self._models)

    def undo(self) -> None:
        """Undo the last decision."""
        if self.can_undo:
            self._place -= 1
            self._changed()

    def redo(self) -> None:
        """Make the decision again that was undone last."""
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

    def uncertainties(self, number: int) -> list[float | None]:
        """Expanded uncertainty of each of `fractions`, as decided; None where there is none."""
        model, labelled = self.model, self.fields[number].labelled
        assert model is not None
        assert labelled is not None
        if labelled.shares is None:
            return [None] * int(model.class_of.max())
        return [*expanded_uncertainty(fractions_of(np.array(labelled.shares), model.class_of))]

    def fine_fractions(self) -> NDArray[np.float64]:
        """Area fraction of each fine class over all labelled micrographs, (n,)."""
        total = np.sum([each.labelled.areas for each in self.labelled if each.labelled], axis=0)
        share: NDArray[np.float64] = total / total.sum()
        return share

    def statistics(self) -> list[FieldStatistics]:
        """Statistics of the fraction of each class, over the labelled micrographs."""
        each = [self.fractions(field.number) for field in self.labelled]
        return [over_fields(list(column)) for column in zip(*each, strict=True)]

    def phases(self, model: Grouping | None = None) -> list[str]:
        """The name of each class; of this model, or as decided."""
        model = model or self.model
        assert model is not None
        return [row.name or f"class {row.label}" for row in model.classes]

    def state(self) -> str:
        """What results depend on, as a text to compare: classes, names, micrographs with them."""
        fields = [(field_to_json(each), each.version) for each in self.labelled]
        return json.dumps([self.model and decision_to_json(self.model), fields])

    def touch(self) -> None:
        """Have everything shown again: something has changed that is shown with the bench."""
        self.version += 1

    def write_decided(self, name: str = DECIDED) -> Path:
        """Write the model as it was decided.

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
        state = BenchState(
            settings=self.settings,
            exposure=self.exposure,
            next_number=self._next,
            fields=self.fields,
            base=self.base,
            models=self._models,
            place=self._place,
        )
        write_bench(self.folder, state)

    def _read(self) -> None:
        state = read_bench(self.folder)
        self.settings, self.exposure = state.settings, state.exposure
        self._next = state.next_number
        self.fields = dict(state.fields)
        self.base = state.base
        self._models, self._place = list(state.models), state.place
