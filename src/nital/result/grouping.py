"""Grouping: fine classes joined to classes, by their features or by a person."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.errors import InputError
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.result.classes import (
    ClassRow,
    from_dark_to_bright,
    tabulate_classes,
)
from nital.result.criteria import RegionStatistics, criteria_with
from nital.result.fine import FineClasses, renumber
from nital.result.joining import Joining
from nital.result.likeness import Likeness
from nital.result.phases import number_fine_classes
from nital.result.segmentation import Segmentation
from nital.settings import Settings


@dataclass(frozen=True)
class ClassName:
    """Name and colour that a person gave to a class."""

    name: str | None
    """None if it has only a colour."""

    colour: str | None = None
    """Such as `#0072b2`; None: that of its number in the palette."""

    def __post_init__(self) -> None:
        nameless = self.name is None and self.colour is not None
        if not nameless and not (isinstance(self.name, str) and self.name.strip()):
            raise InputError(f"name {self.name!r}: not a name; use a text, such as 'pearlite'")
        if self.name is not None and re.fullmatch(r"class \d+", self.name.strip()):
            raise InputError(
                f"name {self.name!r}: reserved for classes without a name; use another"
            )
        if self.colour is not None and not (
            isinstance(self.colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", self.colour)
        ):
            raise InputError(f"{self.name}: colour {self.colour!r}: not #RRGGBB, such as #0072b2")


@dataclass(frozen=True)
class Grouping:
    """Fine classes, and the classes that they are joined to."""

    settings: Settings
    """`n_classes` is a number, not auto."""

    joining: Joining
    class_of: NDArray[np.int64]
    """(n,): the class of each fine class, 1..k from the darkest to the brightest."""

    names: Mapping[int, ClassName]
    """Of the classes that a person named."""

    @classmethod
    def of_classes(cls, settings: Settings, statistics: RegionStatistics) -> "Grouping":
        """Create a grouping of classes found directly, as by paper mode.

        Each is its own fine class; they are joined by their mean colours.

        Parameters
        ----------
        settings : Settings
            The settings with which they were found.
        statistics : RegionStatistics
            Of classes 1..n, from the darkest to the brightest.
        """
        each = np.arange(1, len(statistics.areas) + 1)
        return Grouping(settings, Joining(statistics.means, statistics), each, {})

    @property
    def classes(self) -> tuple[ClassRow, ...]:
        """Names, area fractions and mean grey levels of the classes in what was fitted to."""
        return self._named(tabulate_classes(self.joining.statistics.joined(self.class_of)))

    def named(self, names: Mapping[int, ClassName]) -> Self:
        """Return the grouping with names; classes that are not in `names` keep theirs.

        Classes with the same name are one phase, and have one colour.

        Raises
        ------
        InputError
            If there is no class of that number, or one name has two colours.
        """
        for number in names:
            self._check_class(number)
        found = dict(sorted({**self.names, **names}.items()))
        colours: dict[str, set[str]] = {}
        for each in found.values():
            if each.name is not None and each.colour is not None:
                colours.setdefault(each.name, set()).add(each.colour)
        for name, known in colours.items():
            if len(known) > 1:
                raise InputError(f"{name}: has the colours {', '.join(sorted(known))}; choose one")
        return replace(self, names=found)

    def regrouped(self, phases: Mapping[str, Sequence[int]]) -> Self:
        """Return the grouping with the fine classes assigned to named phases instead.

        Its classes are then the phases, numbered from the darkest to the brightest.

        Parameters
        ----------
        phases : mapping of name to numbers
            The fine classes of each of two or more phases; every fine class is in one of them.

        Raises
        ------
        InputError
            As for `nital.name_phases`; also if there is a single phase.
        """
        if len(phases) < 2:
            raise InputError(f"{', '.join(phases)}: a single phase; name two or more")
        number = number_fine_classes(len(self.class_of), phases)
        return self.grouped(number, {i: ClassName(name) for i, name in enumerate(phases, start=1)})

    def grouped(self, class_of: NDArray[np.int64], names: Mapping[int, ClassName]) -> Self:
        """Return the grouping with the fine classes joined to other classes.

        Parameters
        ----------
        class_of : (n,)
            The class of each fine class, from 1, in any order and with gaps; classes are renumbered
            from the darkest to the brightest.
        names : mapping
            Names of these classes.

        Raises
        ------
        InputError
            If there is a single class.
        """
        order = from_dark_to_bright(self.joining.statistics.joined(class_of))
        if order.max() < 2:
            raise InputError("a single class would be left; keep two or more apart")
        kept = {int(order[i]): name for i, name in names.items() if i < len(order) and order[i]}
        return replace(
            self,
            settings=replace(self.settings, n_classes=int(order.max())),
            class_of=order[class_of],
            names=dict(sorted(kept.items())),
        )

    def members(self, number: int) -> tuple[int, ...]:
        """The fine classes of a class, from 1."""
        return tuple((np.flatnonzero(self.class_of == number) + 1).tolist())

    def at(self, n_classes: int) -> Self:
        """Return the grouping with the fine classes joined to another number of classes.

        Classes that consist of the same fine classes as before keep their names.

        Raises
        ------
        InputError, SettingError
            If there are fewer classes, or the number is out of its range.
        """
        replace(self.settings, n_classes=n_classes)  # raises if it is out of range
        class_of = self.joining.numbers(n_classes)
        if class_of.max() != n_classes:
            raise InputError(
                f"n_classes {n_classes}: the micrographs hold no more than {class_of.max()}"
                " classes; ask for fewer"
            )
        old = {self.members(number): name for number, name in self.names.items()}
        fine = [tuple((np.flatnonzero(class_of == i) + 1).tolist()) for i in range(n_classes + 1)]
        return self.grouped(class_of, {i: old[own] for i, own in enumerate(fine) if own in old})

    def joined(self, number: int, other: int) -> Self:
        """Return the grouping with class `other` joined to `number`, whose name it gets.

        Raises
        ------
        InputError
            If there is no such class, or a single one would be left.
        """
        self._check_class(number)
        self._check_class(other)
        return self.grouped(np.where(self.class_of == other, number, self.class_of), self.names)

    def split(self, number: int) -> Self:
        """Return the grouping with a class split in two by its features; the larger keeps the name.

        Raises
        ------
        InputError
            If there is no such class, or it is a single fine class.
        """
        self._check_class(number)
        members = np.array(self.members(number))
        if len(members) < 2:
            raise InputError(f"class {number}: a single fine class; it can't be split further")
        half = self.joining.halves(members.tolist())
        if half.max() < 2:
            raise InputError(f"class {number}: its fine classes are alike; it can't be split")
        areas = [self.joining.statistics.areas[members[half == i] - 1].sum() for i in (1, 2)]
        class_of = self.class_of.copy()
        class_of[members[half == 1 + int(np.argmin(areas))] - 1] = self.class_of.max() + 1
        return self.grouped(class_of, self.names)

    def moved(self, fine: int, number: int | None) -> Self:
        """Return the grouping with a fine class moved to another class; None: to one of its own.

        Raises
        ------
        InputError
            If there is no such class, or a single one would be left.
        """
        if not 1 <= fine <= len(self.class_of):
            raise InputError(f"fine class {fine}: does not exist; use 1 to {len(self.class_of)}")
        if number is not None:
            self._check_class(number)
        elif len(self.members(int(self.class_of[fine - 1]))) == 1:
            return self
        class_of = self.class_of.copy()
        class_of[fine - 1] = self.class_of.max() + 1 if number is None else number
        return self.grouped(class_of, self.names)

    def other_fractions(self, areas: ArrayLike) -> tuple[float, ...] | None:
        """As `Joining.other_fractions`; None too if a person joined the fine classes.

        Parameters
        ----------
        areas : (n,)
            Of each fine class in a micrograph.
        """
        n_classes = int(self.class_of.max())
        if not np.array_equal(self.class_of, self.joining.numbers(n_classes)):
            return None
        return self.joining.other_fractions(n_classes, self.class_of, np.asarray(areas, float))

    def join(
        self,
        micrograph: Micrograph | LargeMicrograph,
        fine: FineClasses,
        likeness: Likeness | None,
        *,
        out: NDArray[np.uint8] | None = None,
    ) -> Segmentation:
        """Join the fine classes of a micrograph to these classes.

        Parameters
        ----------
        fine : FineClasses
            Those of this grouping, in the micrograph.
        likeness : Likeness, optional
            Of the micrograph to those of a model.
        out : (rows, cols), uint8, optional
            Array to write the labels to; the result then has no fine classes.
        """
        classes = fine.statistics.joined(self.class_of)
        joined = np.empty_like(fine.labels) if out is None else out
        renumber(fine.labels, np.append(0, self.class_of), joined)
        whole = isinstance(micrograph, Micrograph) and out is None
        pixels = micrograph.pixels if isinstance(micrograph, Micrograph) else None
        return Segmentation(
            labels=joined,
            classes=self._named(
                tabulate_classes(classes, fine.uncertainty_of(self.class_of), absent=True)
            ),
            criteria=criteria_with(self.settings.regions, classes, pixels, joined),
            settings=self.settings,
            seconds={},
            fine=fine if whole else None,
            pixels=pixels if whole else None,
            other_fractions=None if fine.stopped else self.other_fractions(fine.statistics.areas),
            light=fine.light,
            likeness=likeness,
            stopped=fine.stopped,
        )

    def _check_class(self, number: int) -> None:
        n = int(self.class_of.max())
        if not 1 <= number <= n:
            raise InputError(f"class {number}: there are classes 1 to {n}; name one of them")

    def _named(self, rows: Iterable[ClassRow]) -> tuple[ClassRow, ...]:
        named = {number: (each.name, each.colour) for number, each in self.names.items()}
        given = (named.get(row.label, (None, None)) for row in rows)
        return tuple(
            replace(row, name=name, colour=colour)
            for row, (name, colour) in zip(rows, given, strict=True)
        )
