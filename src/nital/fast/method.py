"""Fast mode as a method: the implementation of `methods.Method`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.fast.clustering import find_centres
from nital.fast.disturbances import of_each_view
from nital.fast.features import CHANNELS
from nital.fast.labelling import OnRows, find_fine_classes, fine_classes_of_view, shares_of_views
from nital.fast.sampling import Sample, take_sample
from nital.fast.settings import CORRECTED, KEPT, FastSettings
from nital.fast.view import View, look_at
from nital.image.light import EVEN
from nital.image.micrograph import (
    LargeMicrograph,
    Micrograph,
    Source,
    check_least_side,
    too_large,
)
from nital.result.boundaries import enlarge
from nital.result.classes import tabulate_classes
from nital.result.clock import Clock
from nital.result.criteria import criteria_of
from nital.result.fine import FineClasses
from nital.result.segmentation import Segmentation
from nital.settings import AUTO

LEAST_SIDE = 5
"""Smallest side of an image, in pixels."""


class FastMethod:
    """Clusters of features, joined to classes."""

    settings = FastSettings

    def resolve(
        self, settings: FastSettings, micrograph: Micrograph | LargeMicrograph
    ) -> FastSettings:
        """Check the size of the image."""
        check_least_side(micrograph, LEAST_SIDE)
        if micrograph.is_large:
            _check_large(settings, micrograph)
        return settings

    def prepare(self, source: Source, settings: FastSettings) -> Sample:
        """Take the sample, which all numbers of classes share."""
        light = EVEN if settings.light == KEPT else None
        return take_sample(look_at(source, light=light), settings.scale, light=settings.light)

    def check_prepared(self, prepared: object, settings: FastSettings) -> None:
        """Refuse a sample that was prepared with other settings."""
        if not isinstance(prepared, Sample):
            raise InputError("prepared: not for mode fast; prepare with these settings")
        light = KEPT if prepared.light is None else CORRECTED
        for name, was in (("scale", prepared.scale), ("light", light)):
            asked = getattr(settings, name)
            if was != asked:
                raise InputError(
                    f"prepared with {name} {was}, not {asked}; prepare with these settings"
                )

    def segment(
        self,
        micrograph: Micrograph | LargeMicrograph,
        settings: FastSettings,
        prepared: Sample,
        *,
        out: NDArray[np.uint8] | None,
        on_rows: OnRows | None,
        on_step: object,
    ) -> Segmentation:
        """Find the fine classes of the micrograph and of its disturbed views, and join them."""
        clock = Clock()
        centres = find_centres(prepared.values)
        clock.lap("clustering")
        fine = find_fine_classes(prepared.seen, prepared, centres, out, on_rows)
        clock.lap("labels")
        if not isinstance(micrograph, Micrograph) or out is not None:
            fine = with_shares(fine, prepared)
            clock.lap("views")
            found = _join_in_place(fine, settings, clock.seconds)
        else:
            views = () if fine.stopped else _of_views(prepared, centres)
            clock.lap("views")
            found = Segmentation.of_fine(fine, views, micrograph.pixels, settings, clock.seconds)
        clock.lap("classes")
        return found

    def segment_each(
        self, micrograph: Micrograph, wanted: Sequence[FastSettings], prepared: Sample
    ) -> Iterator[Segmentation]:
        """Segment with several numbers of classes, for which fine classes are found once."""
        first = self.segment(micrograph, wanted[0], prepared, out=None, on_rows=None, on_step=None)
        yield first
        for settings in wanted[1:]:
            clock = Clock()
            found = first.at(int(settings.n_classes))
            clock.lap("classes")
            yield replace(found, settings=settings, seconds=clock.seconds)

    def group(self, wanted: Sequence[FastSettings], prepared: Sample) -> list[list[FastSettings]]:
        """Group all numbers of classes."""
        return [list(wanted)]


METHOD = FastMethod()


def _of_views(sample: Sample, centres: NDArray[np.float32]) -> tuple[FineClasses, ...]:
    """The fine classes of every disturbed view, at the pixels of the view of the sample."""

    def of(view: View) -> FineClasses | None:
        if view is sample.seen:
            return fine_classes_of_view(sample, view, centres)
        try:
            other = take_sample(view, sample.scale)
        except InputError:  # a few included pixels may be in none of a coarser view
            return None
        found = fine_classes_of_view(other, view, find_centres(other.values))
        return replace(found, labels=enlarge(found.labels, sample.seen.shape))

    found = of_each_view(sample.seen, of)
    return tuple(each for each in found if each is not None)


def with_shares(fine: FineClasses, sample: Sample) -> FineClasses:
    """Fine classes with their area fractions in each disturbed view, as they are there.

    Views that have fine classes of their own take too long for a large image, and can't follow what
    a person assigns to phases.

    Parameters
    ----------
    fine : FineClasses
        Of the micrograph, as `segment` found them.
    sample : Sample
        Of the same micrograph, prepared with the same settings.
    """
    if fine.stopped:
        return fine
    centres = fine.joining.centres[:, : len(CHANNELS)].astype(np.float32)
    return replace(fine, shares=shares_of_views(sample.seen, replace(sample, whole=None), centres))


def _check_large(settings: FastSettings, micrograph: Micrograph | LargeMicrograph) -> None:
    if settings.n_classes == AUTO:
        raise too_large(micrograph, "n_classes", AUTO, "a number")
    if settings.regions != "classes":
        raise too_large(micrograph, "regions", settings.regions, "'classes'")


def _join_in_place(
    fine: FineClasses, settings: FastSettings, seconds: dict[str, float]
) -> Segmentation:
    """Overwrite the fine labels with the classes: two maps of a large image might not fit."""
    n_classes = int(settings.n_classes)
    number = fine.joining.numbers(n_classes)
    uncertainty, other = fine.uncertainty_of(number), fine.other_fractions(n_classes, number)
    classes = fine.join(n_classes, fine.labels)
    return Segmentation(
        labels=fine.labels,
        classes=tabulate_classes(classes, uncertainty),
        criteria=criteria_of(classes),
        settings=settings,
        seconds=seconds,
        other_fractions=other,
        light=fine.light,
        stopped=fine.stopped,
    )
