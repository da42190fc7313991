"""Fast mode as a method: the implementation of `methods.Method`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.fast.clustering import find_centres
from nital.fast.labelling import OnRows, find_fine_classes
from nital.fast.sampling import Sample, take_sample
from nital.fast.settings import FastSettings
from nital.image.micrograph import LargeMicrograph, Micrograph, Source, check_least_side
from nital.result.classes import tabulate_classes
from nital.result.criteria import criteria_of
from nital.result.fine import FineClasses
from nital.result.segmentation import Clock, Segmentation

LEAST_SIDE = 5
"""Smallest side of an image, in pixels."""

SEEDS_AT_ONCE = 10
"""If the features of an image do not stay in memory, this many seeds share one computation."""


class FastMethod:
    """Clusters of features, joined to classes."""

    settings = FastSettings

    def resolve(
        self, settings: FastSettings, micrograph: Micrograph | LargeMicrograph
    ) -> FastSettings:
        """Fill in the number of repeats."""
        check_least_side(micrograph, LEAST_SIDE)
        if micrograph.is_large:
            _check_large(settings, micrograph)
        return replace(settings, repeats=settings.n_repeats)

    def prepare(self, source: Source, settings: FastSettings) -> Sample:
        """Take the sample, whose features all seeds share."""
        return take_sample(source, settings.scale)

    def check_prepared(self, prepared: object, settings: FastSettings) -> None:
        """Refuse a sample that was prepared with other settings."""
        if not isinstance(prepared, Sample):
            raise InputError("prepared: not for mode fast; prepare with these settings")
        if prepared.scale != settings.scale:
            raise InputError(
                f"prepared at scale {prepared.scale}, not {settings.scale}; prepare with these"
                " settings"
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
        """Find the fine classes of each seed, join them, and find the consensus."""
        if out is not None:
            _check_out(out, micrograph, settings)
        clock = Clock()
        seeds = range(settings.seed, settings.seed + settings.n_repeats)
        centres = [find_centres(prepared.values, seed) for seed in seeds]
        clock.lap("clustering")
        members = find_fine_classes(micrograph, prepared, centres, out, on_rows)
        clock.lap("labels")
        if isinstance(micrograph, Micrograph) and out is None:
            found = Segmentation.of_fine(members, micrograph.pixels, settings, clock.seconds)
        else:
            found = _join_in_place(members[0], settings, clock.seconds)
        clock.lap("classes")
        return found

    def segment_each(
        self, micrograph: Micrograph, wanted: Sequence[FastSettings], prepared: Sample
    ) -> Iterator[Segmentation]:
        """Segment seed by seed.

        Features are found once for all seeds, and fine classes once per seed for all numbers of
        classes.
        """
        clock = Clock()
        seeds = list(dict.fromkeys(settings.seed for settings in wanted))
        centres = [find_centres(prepared.values, seed) for seed in seeds]
        clock.lap("clustering")
        found = find_fine_classes(micrograph, prepared, centres)
        clock.lap("labels")
        for seed, fine in zip(seeds, found, strict=True):
            for settings in wanted:
                if settings.seed == seed:
                    used = self.resolve(settings, micrograph)
                    result = Segmentation.of_fine([fine], micrograph.pixels, used, clock.seconds)
                    clock.lap("classes")
                    yield result
                    clock = Clock()

    def group(self, wanted: Sequence[FastSettings], prepared: Sample) -> list[list[FastSettings]]:
        """Group all numbers of classes of a seed, or of several seeds."""
        seeds = sorted({settings.seed for settings in wanted})
        n = SEEDS_AT_ONCE if prepared.whole is None else 1
        return [
            [settings for settings in wanted if settings.seed in seeds[first : first + n]]
            for first in range(0, len(seeds), n)
        ]


METHOD = FastMethod()


def _check_large(settings: FastSettings, micrograph: Micrograph | LargeMicrograph) -> None:
    for name, value, needed in (
        ("regions", settings.regions, "classes"),
        ("repeats", settings.n_repeats, 1),
    ):
        if value != needed:
            raise SettingError(
                f"{name} {value!r}: needs the whole of {micrograph.name}"
                f" ({micrograph.shape[0]} x {micrograph.shape[1]} pixels) in memory; use"
                f" {needed!r}, or a part of the image"
            )


def _check_out(
    out: NDArray[np.uint8], micrograph: Micrograph | LargeMicrograph, settings: FastSettings
) -> None:
    if settings.n_repeats > 1 or settings.regions != "classes":
        raise InputError(
            f"out: only for a single repeat with regions 'classes', not for {settings}"
        )
    if out.shape != micrograph.shape or out.dtype != np.uint8:
        raise InputError(
            f"out: shape {out.shape}, kind {out.dtype}; needs {micrograph.shape} and uint8"
        )


def _join_in_place(
    fine: FineClasses, settings: FastSettings, seconds: dict[str, float]
) -> Segmentation:
    """Overwrite the fine labels with the classes: two maps of a large image might not fit."""
    classes = fine.join(int(settings.n_classes), fine.labels)
    return Segmentation(
        labels=fine.labels,
        classes=tabulate_classes(classes),
        criteria=criteria_of(classes),
        settings=settings,
        seconds=seconds,
        stopped=fine.stopped,
    )
