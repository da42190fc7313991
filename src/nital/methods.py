"""The front door: a micrograph goes in, its classes come out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.errors import InputError, SettingError
from nital.fast.clustering import find_centres
from nital.fast.labelling import OnRows, find_fine_classes
from nital.fast.sampling import Sample, take_sample
from nital.image.micrograph import LargeMicrograph, Micrograph, Source
from nital.result.classes import order_labels, tabulate_classes
from nital.result.criteria import criteria_of, measure_regions
from nital.result.segmentation import FineClasses, Segmentation, criteria_with
from nital.settings import FAST, Settings

if TYPE_CHECKING:
    from nital.paper.training import Step, Training

# What loads torch and scikit-image is imported in paper mode only.

Prepared = NDArray[np.int64] | Sample
"""What `prepare` finds on an image: the superpixel map in paper mode, the sample in fast mode."""

LEAST_SIDE = 5
"""Pixels; paper mode needs more where its network sees more at once."""


def segment(
    image: ArrayLike | Micrograph | LargeMicrograph,
    n_classes: int | str | None = None,
    *,
    seed: int | None = None,
    settings: Settings = FAST,
    excluded: ArrayLike | None = None,
    prepared: Prepared | None = None,
    out: NDArray[np.uint8] | None = None,
    on_step: "Callable[[Step], None] | None" = None,
    on_rows: OnRows | None = None,
) -> Segmentation:
    """Tell the constituents of one micrograph apart, without labels.

    Parameters
    ----------
    image : (rows, cols) or (rows, cols, channels), a Micrograph, or a LargeMicrograph
        Grey, grey with alpha, RGB or RGBA; bool, integer or float (`Micrograph.from_array`).
    n_classes, seed : int, optional
        Take the place of those in `settings` (3 and 0 there).
    settings : Settings
        Everything else that can alter the result; `FAST` or `PAPER` or made from one of them.
    excluded : (rows, cols) of bool, optional
        Pixels that belong to no class; they get the label 0.
    prepared : optional
        The result of `prepare` on this image with these settings, where it is at hand: repeats with
        other seeds or numbers of classes share it.
    out : (rows, cols), optional
        Fast mode writes the labels here, as into a `numpy.memmap` where they would not fit into
        memory.
    on_step, on_rows : callable, optional
        Called after each iteration; and, in fast mode, with the number of rows that are labelled
        and the map as far as it is. They can't alter the result, but end the work by raising
        `nital.errors.Stopped`: what there is by then is the result, and its `notes` say so.

    Raises
    ------
    InputError
        If the image can't be segmented: of no known kind, constant, not finite, too small.
    SettingError
        If a setting is out of its range or the device is not there.

    Notes
    -----
    The same image, settings and seed give the same labels, byte for byte, with the same versions of
    numpy and scipy; in paper mode on the same device with the same number of threads and the same
    versions of torch and scikit-image.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = np.repeat([[0.2, 0.8]], 16, axis=1).repeat(32, axis=0)
    >>> image += 0.05 * rng.random(image.shape)
    >>> [row.area_fraction for row in segment(image, n_classes=2).classes]
    [0.5, 0.5]
    """
    if n_classes is not None:
        settings = replace(settings, n_classes=n_classes)
    if seed is not None:
        settings = replace(settings, seed=seed)
    clock = _Clock()
    micrograph = _as_micrograph(image, excluded)
    settings = resolve(settings, micrograph)
    if out is not None:
        _check_out(out, micrograph, settings)
    if prepared is None:
        prepared = prepare(micrograph, settings)
    _check_prepared(prepared, micrograph, settings)
    clock.lap("preparation")
    seeds = range(settings.seed, settings.seed + settings.n_repeats)
    if isinstance(prepared, Sample):
        centres = [find_centres(prepared.values, seed) for seed in seeds]
        clock.lap("clustering")
        members = find_fine_classes(micrograph, prepared, centres, out, on_rows)
        clock.lap("labels")
        if isinstance(micrograph, Micrograph) and out is None:
            found = Segmentation.of_fine(members, micrograph.pixels, settings, clock.seconds)
        else:
            found = _join_in_place(members[0], settings, clock.seconds)
    else:
        if not isinstance(micrograph, Micrograph):  # `resolve` has refused it
            raise TypeError
        each: list[Segmentation] = []
        for seed in seeds:
            own = replace(settings, seed=seed)
            each.append(_segment_as_paper(micrograph, prepared, own, on_step))
            if each[-1].stopped:
                break
        clock.lap("training")
        found = replace(each[0], seconds=clock.seconds)
        if len(each) > 1:
            maps = [one.labels for one in each]
            found = Segmentation.of_maps(maps, micrograph.pixels, settings, clock.seconds)
            found = replace(found, stopped=each[-1].stopped)
    clock.lap("classes")
    return found


def segment_each(
    micrograph: Micrograph, wanted: Sequence[Settings], *, prepared: Prepared
) -> Iterator[Segmentation]:
    """Segment one micrograph with each of several settings, the same but for seed and `n_classes`.

    The results are those of `segment`. In fast mode they come seed by seed: the features are found
    once for all seeds, and the fine classes of a seed once for all numbers of classes.

    Parameters, errors: as for `segment`; `seconds` of the first result hold those of all labels.
    """
    if wanted[0].mode != "fast":
        for settings in wanted:
            yield segment(micrograph, settings=settings, prepared=prepared)
        return
    clock = _Clock()
    _check_prepared(prepared, micrograph, wanted[0])
    assert isinstance(prepared, Sample)
    seeds = list(dict.fromkeys(settings.seed for settings in wanted))
    centres = [find_centres(prepared.values, seed) for seed in seeds]
    clock.lap("clustering")
    found = find_fine_classes(micrograph, prepared, centres)
    clock.lap("labels")
    for seed, fine in zip(seeds, found, strict=True):
        for settings in wanted:
            if settings.seed == seed:
                used = resolve(settings, micrograph)
                result = Segmentation.of_fine([fine], micrograph.pixels, used, clock.seconds)
                clock.lap("classes")
                yield result
                clock = _Clock()


def prepare(source: Source, settings: Settings) -> Prepared:
    """What does not depend on the seed or on the number of classes, so that repeats can share it.

    Parameters
    ----------
    source : Source
        A micrograph; in paper mode it has to be a `Micrograph`.
    settings : Settings
        The scale; in paper mode the superpixels and their compactness.

    Returns
    -------
    In paper mode the superpixel map, (rows, cols) of int64; in fast mode the sample.
    """
    if settings.mode == "fast":
        return take_sample(source, settings.scale)
    from nital.paper.superpixels import find_superpixels

    return find_superpixels(
        source.read(slice(0, source.shape[0]), slice(0, source.shape[1])),
        n_superpixels=settings.n_superpixels,
        compactness=settings.compactness,
    )


def _join_in_place(
    fine: FineClasses, settings: Settings, seconds: dict[str, float]
) -> Segmentation:
    """Write the classes over the fine labels: two maps of a large image might not fit."""
    classes = fine.join(int(settings.n_classes), fine.labels)
    return Segmentation(
        labels=fine.labels,
        classes=tabulate_classes(classes),
        criteria=criteria_of(classes),
        settings=settings,
        seconds=seconds,
        stopped=fine.stopped,
    )


def _segment_as_paper(
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: Settings,
    on_step: "Callable[[Step], None] | None",
) -> Segmentation:
    from nital.paper.labelling import train_and_label

    training, raw = train_and_label(micrograph, superpixels, settings, on_step)
    return of_training(micrograph, raw, settings, training, int(superpixels.max()) + 1)


def of_training(
    micrograph: Micrograph,
    raw: NDArray[np.int64],
    settings: Settings,
    training: "Training",
    n_superpixels: int,
) -> Segmentation:
    """The result of paper mode, from what its network says of the pixels.

    Parameters
    ----------
    raw : (rows, cols)
        Labels, 0 or more; of excluded pixels they do not count.
    settings : Settings
        Resolved.
    n_superpixels : int
        That SLIC gave.
    """
    labels = order_labels(raw, micrograph.grey, micrograph.excluded)
    classes = measure_regions(micrograph.pixels, labels)
    return Segmentation(
        labels=labels,
        classes=tabulate_classes(classes),
        criteria=criteria_with(settings.regions, classes, micrograph.pixels, labels),
        settings=settings,
        seconds={},
        training=training,
        stopped=training.stop_reason == "stopped",
        n_superpixels=n_superpixels,
    )


def _check_prepared(
    prepared: Prepared, micrograph: Micrograph | LargeMicrograph, settings: Settings
) -> None:
    fast = settings.mode == "fast"
    if isinstance(prepared, Sample) != fast:
        raise InputError(f"prepared: not for mode {settings.mode}; prepare with these settings")
    if prepared.shape != micrograph.shape:
        raise InputError(
            f"prepared on an image of shape {prepared.shape}, not {micrograph.shape}; prepare this"
            " image"
        )
    if isinstance(prepared, Sample) and prepared.scale != settings.scale:
        raise InputError(
            f"prepared at scale {prepared.scale}, not {settings.scale}; prepare with these settings"
        )


def _check_out(
    out: NDArray[np.uint8], micrograph: Micrograph | LargeMicrograph, settings: Settings
) -> None:
    if settings.mode != "fast" or settings.n_repeats > 1 or settings.regions != "classes":
        raise InputError(
            f"out: only for a single repeat in fast mode with regions 'classes', not for {settings}"
        )
    if out.shape != micrograph.shape or out.dtype != np.uint8:
        raise InputError(
            f"out: shape {out.shape}, kind {out.dtype}; needs {micrograph.shape} and uint8"
        )


def resolve(settings: Settings, micrograph: Micrograph | LargeMicrograph) -> Settings:
    """Settings as they will be used on this micrograph: nothing left to a preset or to `auto`.

    Raises
    ------
    InputError, SettingError
        If `segment` would refuse them; this is all that it checks before it starts to work.
    """
    least = LEAST_SIDE if settings.mode == "fast" else 2 * settings.n_layers + 1
    if min(micrograph.shape) < least:
        raise InputError(
            f"{micrograph.name}: {micrograph.shape[0]} x {micrograph.shape[1]} pixels; no side may"
            f" be smaller than {least}"
        )
    if isinstance(micrograph, LargeMicrograph):
        for name, value, needed in (
            ("mode", settings.mode, "fast"),
            ("regions", settings.regions, "classes"),
            ("repeats", settings.n_repeats, 1),
        ):
            if value != needed:
                raise SettingError(
                    f"{name} {value!r}: needs the whole of {micrograph.name}"
                    f" ({micrograph.shape[0]} x {micrograph.shape[1]} pixels) in memory; use"
                    f" {needed!r}, or a part of the image"
                )
    settings = replace(settings, repeats=settings.n_repeats)
    if settings.mode == "fast":
        return settings
    import torch

    from nital.paper.device import resolve_device
    from nital.paper.superpixels import check_n_superpixels, preset_n_superpixels

    n_superpixels = settings.n_superpixels or preset_n_superpixels(micrograph.shape)
    check_n_superpixels(n_superpixels, micrograph.shape)
    return replace(
        settings,
        n_superpixels=n_superpixels,
        device=resolve_device(settings.device).type,
        threads=settings.threads or torch.get_num_threads(),
    )


def _as_micrograph(
    image: ArrayLike | Micrograph | LargeMicrograph, excluded: ArrayLike | None
) -> Micrograph | LargeMicrograph:
    if not isinstance(image, Micrograph | LargeMicrograph):
        return Micrograph.from_array(image, excluded=excluded)
    if excluded is not None:
        raise InputError("excluded: the micrograph has an excluded area of its own; set it there")
    return image


class _Clock:
    """Wall-clock seconds of the stages, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
