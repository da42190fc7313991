"""The result: labels, classes and criteria of a micrograph, and what a reader has to know."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nital.classes import (
    TINY_FRACTION,
    ClassRow,
    from_dark_to_bright,
    join_classes,
    tabulate_classes,
)
from nital.criteria import Criteria, RegionStatistics, criteria_of, evaluate
from nital.errors import InputError
from nital.settings import Settings

if TYPE_CHECKING:
    from nital.training import Training

FEW_PIXELS = 4
"""Superpixels smaller than this on average hold no texture; results with such carry a note."""


@dataclass(frozen=True)
class FineClasses:
    """Classes of a micrograph before they are joined: up to `settings.MAX_CLASSES`."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..n from the darkest to the brightest fine class, 0 = excluded."""

    statistics: RegionStatistics
    """Of each fine class, 1..n."""

    centres: NDArray[np.float64]
    """(n, channels): mean weighted features (`features.CHANNELS`) of each fine class."""

    @property
    def classes(self) -> tuple[ClassRow, ...]:
        """Area fraction and mean grey level of each."""
        return tabulate_classes(self.statistics)

    def classes_in(self, labels: NDArray[np.unsignedinteger]) -> tuple[int, ...]:
        """The class, in a map that was joined from these, of each fine class."""
        number = np.zeros(len(self.statistics.areas) + 1, np.int64)
        for fine, joined in zip(self.labels, labels, strict=True):
            number[fine] = joined
        return tuple(number[1:].tolist())

    def join(self, n_classes: int, out: NDArray[np.unsignedinteger]) -> RegionStatistics:
        """Write the classes to `out`, which may be `labels`; return their statistics.

        Where there are fewer fine classes than asked for, each is a class.
        """
        group = join_classes(self.centres, self.statistics.areas, n_classes)
        number = from_dark_to_bright(self.statistics.joined(group))[group]
        renumber(self.labels, np.append(0, number), out)
        return self.statistics.joined(number)


def criteria_with(
    regions: str,
    classes: RegionStatistics,
    pixels: NDArray[np.float32] | None,
    labels: NDArray[np.unsignedinteger],
) -> Criteria:
    """From the statistics of the classes where these are the regions; else `pixels` are needed."""
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

    fine: FineClasses | None = field(default=None, compare=False, repr=False)
    """What the classes were joined from; None in paper mode, which joins nothing, and where the
    labels of a large micrograph were written over them."""

    pixels: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(rows, cols, 3): the micrograph, where there are fine classes; not a copy."""

    def at(self, n_classes: int) -> "Segmentation":
        """The same segmentation with another number of classes; nothing is trained again.

        Two numbers of classes are two cuts of one tree: the classes of the smaller are those of the
        larger, some of them joined.

        Raises
        ------
        InputError
            If there are no fine classes.
        SettingError
            If `n_classes` is out of its range.
        """
        if self.fine is None or self.pixels is None:
            raise InputError(
                f"at({n_classes}): there are no fine classes in paper mode and of large"
                f" micrographs; segment again with n_classes={n_classes}"
            )
        settings = replace(self.settings, n_classes=n_classes)
        labels = np.empty_like(self.fine.labels)
        classes = self.fine.join(n_classes, labels)
        return replace(
            self,
            labels=labels,
            classes=tabulate_classes(classes),
            criteria=criteria_with(settings.regions, classes, self.pixels, labels),
            settings=settings,
        )

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
        notes = _notes_on_number(self)
        notes += [
            f"class {row.label} has only {row.n_pixels} of {self.labels.size} pixels: hardly a"
            " constituent"
            for row in self.classes
            if row.area_fraction < TINY_FRACTION
        ]
        if self.n_superpixels is not None:
            asked = self.settings.n_superpixels
            notes += _notes_on_superpixels(self.n_superpixels, asked, self.labels.size)
        return tuple(notes)


def _notes_on_number(result: Segmentation) -> list[str]:
    """What to know where other classes came out than were asked for."""
    asked, found = result.settings.n_classes, result.n_classes
    if found == asked:
        return []
    said = f"{found} classes instead of the {asked} asked for"
    if result.settings.mode == "fast":
        return [f"{said}: nothing else could be told apart"]
    if found < asked or result.training is None:
        return [f"{said}: the paper's rule stops at that many or fewer"]
    if result.training.stop_reason == "n_classes":
        counted = result.training.steps[-1].n_classes
        return [
            f"{said}: the paper's rule counted {counted} and then updated the network once more"
        ]
    limit = result.settings.max_iterations
    return [f"{said}: training ended at its limit of {limit} iterations"]


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
