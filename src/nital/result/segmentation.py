"""The result of a segmentation: labels, classes and criteria of a micrograph, and notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.light import EVEN, NOTABLE_DEPTH, Light
from nital.image.tone import scatter, tone_of
from nital.result.boundaries import (
    enlarge,
    mean_levels,
    nearest_pixels,
    noise_of,
    place_boundaries,
)
from nital.result.classes import (
    TINY_FRACTION,
    ClassRow,
    expanded_uncertainty,
    from_dark_to_bright,
    tabulate_classes,
)
from nital.result.consensus import Consensus, find_consensus
from nital.result.criteria import Criteria, criteria_with, measure_regions
from nital.result.fine import (
    FineClasses,
    as_good_as,
    curve_of,
    f_values,
    lowest,
    renumber,
)
from nital.result.joining import fractions_of
from nital.result.likeness import Likeness
from nital.settings import AUTO, Settings


class Details(Protocol):
    """Details of a result that are specific to its method."""

    def summary(self) -> dict[str, Any]:
        """The details, ready for JSON."""

    def note_on_number(self, result: "Segmentation") -> str:
        """Why the number of classes is not the one asked for."""

    def note_on_stop(self, result: "Segmentation") -> str:
        """What the result is if the work was stopped."""

    def more_notes(self, result: "Segmentation") -> list[str]:
        """Further notes for readers of the figures."""


@dataclass(frozen=True)
class JoinedDetails:
    """Details of a method that joins fine classes: there are none."""

    def summary(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def note_on_number(self, result: "Segmentation") -> str:
        """Why there are fewer classes than asked for."""
        return (
            "the image holds no more that its views agree on, with at least"
            f" {100 * TINY_FRACTION:g} % of the area each"
        )

    def note_on_stop(self, result: "Segmentation") -> str:
        """Which part is labelled."""
        return (
            "stopped before it was done: the figures are those of the"
            f" {100 - 100 * result.excluded_fraction:.1f} % of the pixels that have a class"
        )

    def more_notes(self, result: "Segmentation") -> list[str]:
        """None."""
        return []


@dataclass(frozen=True)
class Segmentation:
    """A segmented micrograph."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..k from the darkest to the brightest class, 0 = excluded."""

    classes: tuple[ClassRow, ...]
    """Area fraction and mean grey level of each class, in the order of the labels."""

    criteria: Criteria
    """F, F' and Q, for the regions set in the settings."""

    settings: Settings
    """As used, with presets and an `auto` device filled in."""

    seconds: dict[str, float] = field(compare=False)
    """Wall-clock seconds of each stage."""

    details: Details = JoinedDetails()
    """Details specific to the method; of paper mode, `paper.course.PaperDetails`."""

    fine: FineClasses | None = field(default=None, compare=False, repr=False)
    """The fine classes; None in paper mode, which joins nothing, and for a large micrograph, whose
    labels overwrite them."""

    views: tuple[FineClasses, ...] = field(default=(), compare=False, repr=False)
    """The fine classes of each disturbed view, at the pixels of the view; none for a model."""

    pixels: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(rows, cols, 3): the micrograph, if there are fine classes; not a copy."""

    agreement: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(rows, cols): fraction of the views, or of the repeats, that agree on the class; None for a
    single one."""

    curve: dict[int, tuple[float, float]] | None = None
    """If the number of classes was `auto`: mean F of each number over the views, or the repeats,
    and its standard deviation (n - 1), NaN for a single one."""

    as_good: tuple[int, ...] = ()
    """If the number of classes was `auto`: other numbers that are as good (`fine.as_good_as`)."""

    other_fractions: tuple[float, ...] | None = None
    """Area fractions, from dark to bright, if the fine classes were joined in another way that is
    nearly as good (`Joining.other_numbers`); None if there is none, if a person decided, and in
    paper mode."""

    light: Light = EVEN
    """The light that was removed first; even in paper mode, which leaves it as it is."""

    again: "Callable[[int], Segmentation] | None" = field(default=None, compare=False, repr=False)
    """Makes the segmentation with another number of classes, in paper mode of a micrograph in
    memory: of the same training, as far as it goes."""

    likeness: Likeness | None = None
    """Set if the classes are those of a model."""

    stopped: bool = False
    """Whether the work was stopped before it was done: pixels not labelled by then count as
    excluded."""

    @classmethod
    def of_fine(
        cls,
        fine: FineClasses,
        views: Sequence[FineClasses],
        pixels: NDArray[np.float32],
        settings: Settings,
        seconds: dict[str, float],
    ) -> "Segmentation":
        """Join the fine classes of each view, and find the consensus of the maps.

        Parameters
        ----------
        fine : FineClasses
            Of the micrograph.
        views : sequence of FineClasses
            Of its disturbed views, in maps of one shape. None for a model, whose fine classes have
            their `shares`, and if the labelling was stopped.
        pixels : (rows, cols, 3), float32 in [0, 1]
        settings : Settings
            `n_classes` may be `auto`.
        seconds : dict
            Of the stages before.
        """
        each = views or (fine,)
        curve, as_good = None, tuple[int, ...]()
        if settings.n_classes == AUTO:
            values = f_values([view.joining for view in each])
            curve = curve_of(values)
            n_classes = lowest(curve)
            as_good = as_good_as(values, n_classes)
        else:
            n_classes = int(settings.n_classes)
        maps = []
        for view in each:
            maps.append(np.empty_like(view.labels))
            view.join(n_classes, maps[-1])
        excluded = fine.labels == 0
        agreed = find_consensus(maps, nearest_pixels(excluded, maps[0].shape))
        labels = enlarge(agreed.labels, excluded.shape)
        labels[excluded] = 0
        if views and fine.reach:
            tone, field = tone_of(scatter(pixels[~excluded])), fine.light.field(excluded.shape)
            grey = tone.grey(pixels, field)
            noise, levels = noise_of([(grey, ~excluded)], fine.reach), mean_levels(labels, grey)
            labels = place_boundaries(labels, grey, fine.reach, noise, levels)
        agreement = nearest_pixels(agreed.agreement, excluded.shape)
        agreement[excluded] = 0
        agreed = replace(agreed, labels=labels, agreement=agreement)
        if fine.shares is not None:
            class_of = fine.joining.numbers(n_classes)
            agreed = replace(agreed, fractions=fractions_of(fine.shares, class_of))
        found = cls._of_consensus(agreed, pixels, settings, seconds)
        return replace(
            found,
            fine=fine,
            views=tuple(views),
            agreement=found.agreement if views else None,
            curve=curve,
            as_good=as_good,
            other_fractions=fine.other_fractions(n_classes, np.array(fine.classes_in(labels))),
            light=fine.light,
            stopped=fine.stopped,
        )

    @classmethod
    def of_maps(
        cls,
        maps: Sequence[NDArray[np.unsignedinteger]],
        pixels: NDArray[np.float32],
        settings: Settings,
        seconds: dict[str, float],
    ) -> "Segmentation":
        """Find the consensus of several label maps of one micrograph."""
        return cls._of_consensus(find_consensus(maps, maps[0] == 0), pixels, settings, seconds)

    @classmethod
    def _of_consensus(
        cls,
        found: Consensus,
        pixels: NDArray[np.float32],
        settings: Settings,
        seconds: dict[str, float],
    ) -> "Segmentation":
        measured = measure_regions(pixels, found.labels)
        number = from_dark_to_bright(measured)
        labels = np.empty_like(found.labels)
        renumber(found.labels, number, labels)
        classes = measured.joined(np.maximum(number[1:], 1))  # empty ones add nothing
        several, expanded = len(found.fractions) > 1, None
        if several:
            expanded = expanded_uncertainty(found.fractions)[np.argsort(number[1:], kind="stable")]
            expanded = expanded[np.count_nonzero(number[1:] == 0) :]
        return cls(
            labels=labels,
            classes=tabulate_classes(classes, expanded),
            criteria=criteria_with(settings.regions, classes, pixels, labels),
            settings=settings,
            seconds=seconds,
            pixels=pixels,
            agreement=found.agreement if several else None,
        )

    def at(self, n_classes: int) -> "Segmentation":
        """Return the same segmentation with another number of classes, without doing all anew.

        In fast mode the fine classes are joined again. In paper mode the training is the same, as
        far as it goes: to fewer classes it goes on, then all pixels are labelled.

        Raises
        ------
        InputError
            If the micrograph is a large one.
        SettingError
            If `n_classes` is out of its range.
        """
        settings = replace(self.settings, n_classes=n_classes)
        if self.again is not None:
            return self.again(n_classes)
        if self.pixels is None or self.fine is None:
            raise InputError(
                f"at({n_classes}): only for a micrograph in memory; segment again with"
                f" n_classes={n_classes}"
            )
        found = Segmentation.of_fine(self.fine, self.views, self.pixels, settings, self.seconds)
        return replace(
            found,
            curve=found.curve or self.curve,
            as_good=found.as_good or self.as_good,
            likeness=self.likeness,
        )

    @property
    def what_agrees(self) -> str:
        """What the classes are the consensus of, such as "8 disturbed views"."""
        if self.views:
            return f"{len(self.views)} disturbed views"
        return f"{self.settings.as_dict().get('repeats', 1)} repeats"

    @property
    def mean_agreement(self) -> float | None:
        """Mean of `agreement` over the included area."""
        if self.agreement is None:
            return None
        return float(self.agreement[self.labels > 0].mean(dtype=np.float64))

    @property
    def excluded_fraction(self) -> float:
        """Fraction of the pixels that belong to no class."""
        return 1 - sum(row.n_pixels for row in self.classes) / self.labels.size

    @property
    def n_classes(self) -> int:
        """Classes in the label map; in paper mode there can be fewer, or more, than asked for."""
        return len(self.classes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of these figures, in plain words."""
        notes, asked, found = [], self.settings.n_classes, self.n_classes
        if not self.stopped and asked not in (found, AUTO):
            why = self.details.note_on_number(self)
            notes.append(f"{found} classes instead of the {asked} asked for: {why}")
        if self.likeness is None:  # a field may show little of a model's class
            notes += [
                f"class {row.label} has only {row.n_pixels} of {self.labels.size} pixels: hardly a"
                " constituent"
                for row in self.classes
                if row.area_fraction < TINY_FRACTION
            ]
        if self.as_good and self.curve is not None:
            numbers = " or ".join(str(number) for number in self.as_good)
            notes.append(
                f"{numbers} classes are as good as {lowest(self.curve)} by F: the disturbed views"
                " do not tell them apart"
            )
        if self.other_fractions is not None:
            shares = ", ".join(f"{100 * share:.3g}" for share in self.other_fractions)
            notes.append(
                f"it can be divided into {len(self.other_fractions)} classes in another way that is"
                f" nearly as good, with {shares} % from dark to bright; compare other numbers of"
                " classes, or assign fine classes by hand"
            )
        if self.stopped:
            notes.append(self.details.note_on_stop(self))
        if self.light.depth >= NOTABLE_DEPTH:
            notes.append(
                f"uneven light was corrected: the darkest place had {100 * self.light.depth:.0f} %"
                " less than the lightest; if that is the specimen, and not the light, segment with"
                " light 'kept'"
            )
        if self.likeness is not None and self.likeness.is_far:
            notes.append(self.likeness.note)
        return (*notes, *self.details.more_notes(self))
