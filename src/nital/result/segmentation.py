"""The result: labels, classes and criteria of a micrograph, and what a reader has to know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.result.agreement import table_of
from nital.result.classes import (
    TINY_FRACTION,
    ClassRow,
    ClassTree,
    from_dark_to_bright,
    tabulate_classes,
)
from nital.result.consensus import find_consensus
from nital.result.criteria import Criteria, RegionStatistics, criteria_of, evaluate, measure_regions
from nital.settings import AUTO, Settings

if TYPE_CHECKING:
    from nital.paper.training import Training

AUTO_NUMBERS = range(2, 11)
"""Numbers of classes that `auto` chooses from: those that the paper compares."""

FEW_PIXELS = 4
"""Superpixels smaller than this on average hold no texture; results with such carry a note."""


FAR = 2.0
"""A micrograph is far from a model where it differs so many times more than those fitted to."""

LEAST_SHIFT = 0.4
"""Area fractions differ from field to field: a smaller shift is none."""


@dataclass(frozen=True)
class FineClasses:
    """Classes of a micrograph before they are joined: up to `settings.MAX_CLASSES`."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..n from the darkest to the brightest fine class, 0 = excluded."""

    statistics: RegionStatistics
    """Of each fine class, 1..n, in this micrograph."""

    tree: ClassTree
    """How they are joined; by their areas here, or in what a model was fitted to."""

    stopped: bool = False
    """Whether the labelling was ended before it was done."""

    @property
    def classes(self) -> tuple[ClassRow, ...]:
        """Area fraction and mean grey level of each."""
        return tabulate_classes(self.statistics, absent=True)

    def classes_in(self, labels: NDArray[np.unsignedinteger]) -> tuple[int, ...]:
        """The class, in another map, that most pixels of each fine class have; 0 if it has none."""
        n = max(len(self.statistics.areas), int(labels.max())) + 1
        table = np.zeros((n, n), np.int64)
        for fine, joined in zip(self.labels, labels, strict=True):  # row by row: they may be large
            table += table_of(fine, joined, n)
        table = table[1 : len(self.statistics.areas) + 1, 1:]
        return tuple(np.where(table.any(axis=1), table.argmax(axis=1) + 1, 0).tolist())

    def join(self, n_classes: int, out: NDArray[np.unsignedinteger]) -> RegionStatistics:
        """Write the classes to `out`, which may be `labels`; return their statistics.

        Where there are fewer fine classes than asked for, each is a class.
        """
        number = self.tree.numbers(n_classes)
        renumber(self.labels, np.append(0, number), out)
        return self.statistics.joined(number)


@dataclass(frozen=True)
class Likeness:
    """How far a micrograph is from those that a model was fitted to."""

    novelty: float
    """Mean squared distance of its features from the nearest cluster, as a multiple of that of
    the pixels fitted to."""

    shift: float
    """Share of its area that lies in other clusters than it does there, 0 to 1."""

    usual_novelty: float
    usual_shift: float
    """The largest of each among the micrographs fitted to."""

    @property
    def is_far(self) -> bool:
        """Whether it looks like another exposure, another magnification or another material."""
        return self.novelty > FAR * self.usual_novelty or self.shift > max(
            FAR * self.usual_shift, LEAST_SHIFT
        )


def criteria_with(
    regions: str,
    classes: RegionStatistics,
    pixels: NDArray[np.float32] | None,
    labels: NDArray[np.unsignedinteger],
) -> Criteria:
    """From the statistics of the classes where these are the regions, else from the pixels."""
    if regions == "classes" or pixels is None:
        return criteria_of(classes)
    return evaluate(pixels, labels, regions=regions)


def renumber(
    labels: NDArray[np.unsignedinteger],
    number: NDArray[np.int64],
    out: NDArray[np.unsignedinteger],
) -> None:
    """Write `number[labels]` to `out`, which may be `labels`, row by row: a copy might not fit."""
    table = number.astype(out.dtype)
    for row, found in zip(out, labels, strict=True):
        row[:] = table[found]


@dataclass(frozen=True)
class Segmentation:
    """A segmented micrograph."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..k from the darkest to the brightest class, 0 = excluded."""

    classes: tuple[ClassRow, ...]
    """Area fraction and mean grey level of each class, in the order of the labels."""

    criteria: Criteria
    """F, F' and Q, with the regions that the settings name."""

    settings: Settings
    """As they were used: nothing left to a preset or to `auto`."""

    seconds: dict[str, float] = field(compare=False)
    """Wall-clock seconds of each stage."""

    training: "Training | None" = None
    """Paper mode: what each iteration saw, and what ended it."""

    n_superpixels: int | None = None
    """Paper mode: how many superpixels SLIC gave."""

    members: tuple[FineClasses, ...] = field(default=(), compare=False, repr=False)
    """What the classes were joined from, for each repeat; none in paper mode, which joins nothing,
    and where the labels of a large micrograph were written over them."""

    pixels: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(rows, cols, 3): the micrograph, where there are fine classes; not a copy."""

    agreement: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(rows, cols): share of the repeats that give a pixel its class; None for a single one."""

    curve: dict[int, tuple[float, float]] | None = None
    """Where the number of classes was `auto`: mean F of each number over the repeats, and its
    standard deviation (n - 1), NaN for a single one."""

    likeness: Likeness | None = None
    """Where the classes are those of a model."""

    stopped: bool = False
    """Whether the work was ended before it was done: what is not labelled then counts as
    excluded."""

    @classmethod
    def of_fine(
        cls,
        members: Sequence[FineClasses],
        pixels: NDArray[np.float32],
        settings: Settings,
        seconds: dict[str, float],
    ) -> "Segmentation":
        """Join the fine classes of each repeat, and bring the maps to a consensus.

        Parameters
        ----------
        members : sequence of FineClasses
            Of one micrograph; one or more.
        pixels : (rows, cols, 3), float32 in [0, 1]
        settings : Settings
            `n_classes` may be `auto`.
        seconds : dict
            Of what was done before.
        """
        curve = None if settings.n_classes != AUTO else curve_of([each.tree for each in members])
        n_classes = settings.n_classes if curve is None else lowest(curve)
        maps = []
        for fine in members:
            labels = np.empty_like(fine.labels)
            classes = fine.join(int(n_classes), labels)
            maps.append(labels)
        if len(maps) == 1:
            return cls(
                labels=labels,
                classes=tabulate_classes(classes, absent=True),
                criteria=criteria_with(settings.regions, classes, pixels, labels),
                settings=settings,
                seconds=seconds,
                members=tuple(members),
                pixels=pixels,
                curve=curve,
                stopped=members[0].stopped,
            )
        return replace(
            cls.of_maps(maps, pixels, settings, seconds),
            members=tuple(members),
            curve=curve,
            stopped=members[0].stopped,
        )

    @classmethod
    def of_maps(
        cls,
        maps: Sequence[NDArray[np.unsignedinteger]],
        pixels: NDArray[np.float32],
        settings: Settings,
        seconds: dict[str, float],
    ) -> "Segmentation":
        """The consensus of several label maps of one micrograph."""
        found = find_consensus(maps)
        measured = measure_regions(pixels, found.labels)
        number = from_dark_to_bright(measured)
        labels = np.empty_like(found.labels)
        renumber(found.labels, number, labels)
        classes = measured.joined(np.maximum(number[1:], 1))  # one without a pixel adds nothing
        spread = dict(zip(number[1:].tolist(), found.fractions.std(axis=0, ddof=1), strict=False))
        return cls(
            labels=labels,
            classes=tuple(
                replace(row, spread=float(spread[row.label])) for row in tabulate_classes(classes)
            ),
            criteria=criteria_with(settings.regions, classes, pixels, labels),
            settings=settings,
            seconds=seconds,
            pixels=pixels,
            agreement=found.agreement,
        )

    @property
    def fine(self) -> FineClasses | None:
        """The fine classes of the first repeat, where there are any."""
        return self.members[0] if self.members else None

    def at(self, n_classes: int) -> "Segmentation":
        """The same segmentation with another number of classes; nothing is clustered again.

        Two numbers of classes are two cuts of one tree: of a single repeat, the classes of the
        smaller are those of the larger, some of them joined.

        Raises
        ------
        InputError
            If there are no fine classes.
        SettingError
            If `n_classes` is out of its range.
        """
        if self.pixels is None or not self.members:
            raise InputError(
                f"at({n_classes}): there are no fine classes in paper mode and of large"
                f" micrographs; segment again with n_classes={n_classes}"
            )
        settings = replace(self.settings, n_classes=n_classes, repeats=len(self.members))
        found = Segmentation.of_fine(self.members, self.pixels, settings, self.seconds)
        return replace(found, curve=found.curve or self.curve, likeness=self.likeness)

    @property
    def mean_agreement(self) -> float | None:
        """Mean of `agreement` over the included area."""
        if self.agreement is None:
            return None
        return float(self.agreement[self.labels > 0].mean(dtype=np.float64))

    @property
    def excluded_fraction(self) -> float:
        """Share of the pixels that belong to no class."""
        return 1 - sum(row.n_pixels for row in self.classes) / self.labels.size

    @property
    def n_classes(self) -> int:
        """Classes in the label map; in paper mode they can be fewer, or more, than asked for."""
        return len(self.classes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of these figures has to know, in plain words."""
        result_of_its_own = self.likeness is None  # a field may show little of a model's class
        notes = [] if self.stopped else _notes_on_number(self)
        notes += [
            f"class {row.label} has only {row.n_pixels} of {self.labels.size} pixels: hardly a"
            " constituent"
            for row in self.classes
            if row.area_fraction < TINY_FRACTION and result_of_its_own
        ]
        if self.stopped:
            notes.append(
                "stopped before it was done: the figures are those of the"
                f" {100 - 100 * self.excluded_fraction:.1f} % of the pixels that have a class"
                if self.settings.mode == "fast"
                else "stopped before training had ended"
            )
        if self.likeness is not None and self.likeness.is_far:
            notes.append(_note_on_likeness(self.likeness))
        if self.n_superpixels is not None:
            asked = self.settings.n_superpixels
            notes += _notes_on_superpixels(self.n_superpixels, asked, self.labels.size)
        return tuple(notes)


def curve_of(trees: Sequence[ClassTree]) -> dict[int, tuple[float, float]]:
    """Mean and standard deviation of F over the repeats, for each number of classes."""
    values = {k: [tree.criteria(k).F for tree in trees] for k in AUTO_NUMBERS}
    several = len(trees) > 1
    return {
        k: (float(np.mean(f)), float(np.std(f, ddof=1)) if several else math.nan)
        for k, f in values.items()
    }


def lowest(curve: dict[int, tuple[float, float]]) -> int:
    """The number of classes with the lowest mean F."""
    return min(curve, key=lambda k: curve[k][0])


def _notes_on_number(result: Segmentation) -> list[str]:
    """What to know where other classes came out than were asked for."""
    asked, found = result.settings.n_classes, result.n_classes
    if found == asked or asked == AUTO:
        return []
    said = f"{found} classes instead of the {asked} asked for"
    if result.settings.mode == "fast":
        least = f"{100 * TINY_FRACTION:g} %"
        return [f"{said}: the image holds no more that have {least} of the area"]
    if result.training is None or found < int(asked):
        return [f"{said}: the paper's rule stops at that many or fewer"]
    if result.training.stop_reason == "n_classes":
        counted = result.training.steps[-1].n_classes
        return [
            f"{said}: the paper's rule counted {counted} and then updated the network once more"
        ]
    limit = result.settings.max_iterations
    return [f"{said}: training ended at its limit of {limit} iterations"]


def _note_on_likeness(likeness: Likeness) -> str:
    return (
        f"unlike the micrographs that the model was fitted to: {likeness.novelty:.1f} times as far"
        f" from its classes (of those at most {likeness.usual_novelty:.1f}),"
        f" {100 * likeness.shift:.0f} % of the area elsewhere (at most"
        f" {100 * likeness.usual_shift:.0f} %); check exposure and magnification, or fit a model"
        " to such micrographs too"
    )


def _notes_on_superpixels(given: int, asked: int | None, n_pixels: int) -> list[str]:
    notes = []
    if n_pixels / given < FEW_PIXELS:
        notes.append(
            f"superpixels of {n_pixels / given:.1f} pixels on average are too small to hold a"
            " texture; ask for fewer"
        )
    if asked is not None and given < asked / 2:
        notes.append(
            f"SLIC gave {given} superpixels instead of the {asked} asked for, which may cross"
            " boundaries; ask for more, or raise the compactness"
        )
    return notes
