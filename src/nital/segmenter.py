"""The front door: a micrograph goes in, its classes come out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nital.classes import order_labels, tabulate_classes
from nital.criteria import measure_regions
from nital.device import repeatable, resolve_device
from nital.errors import InputError, SettingError
from nital.fast import find_fine_classes, network_of, train_on_sample
from nital.micrograph import LargeMicrograph, Micrograph, Source
from nital.prediction import label_dtype, predict
from nital.sampling import Sample, take_sample
from nital.segmentation import FineClasses, Segmentation, criteria_with
from nital.settings import FAST, Settings
from nital.superpixels import check_n_superpixels, find_superpixels, preset_n_superpixels
from nital.training import Step, Training, train, whole_image

Prepared = NDArray[np.int64] | Sample
"""What `prepare` finds on an image: the superpixel map in paper mode, the sample in fast mode."""

READ_EVERY = 16
"""On a GPU, paper mode's counts are read every so many iterations."""


def segment(
    image: ArrayLike | Micrograph | LargeMicrograph,
    n_classes: int | None = None,
    *,
    seed: int | None = None,
    settings: Settings = FAST,
    excluded: ArrayLike | None = None,
    prepared: Prepared | None = None,
    out: NDArray[np.unsignedinteger] | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
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
        memory; uint8, or uint16 for more than 255 responses.
    on_step, on_rows : callable, optional
        Called after each iteration, and with the number of rows that fast mode has labelled; they
        can't alter the result.

    Raises
    ------
    InputError
        If the image can't be segmented: of no known kind, constant, not finite, too small.
    SettingError
        If a setting is out of its range or the device is not there.

    Notes
    -----
    The same image, settings and seed give the same labels, byte for byte, on the same device with
    the same versions of torch and scikit-image; in paper mode with the same number of threads.

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
    clock.lap("prepare")
    if prepared is None:
        prepared = _begin(micrograph, settings)
    _check_prepared(prepared, micrograph, settings)
    if out is not None:
        _check_out(out, micrograph, settings)
    clock.lap("superpixels")
    if isinstance(prepared, Sample):
        (trained,) = train_on_sample(prepared, settings, [settings.seed], on_step)
        clock.lap("training")
        fine = find_fine_classes(trained.network, micrograph, settings, out, on_rows)
        clock.lap("prediction")
        return _join(fine, micrograph, prepared, trained.training, settings, clock, out)
    if not isinstance(micrograph, Micrograph):  # `resolve` has refused it
        raise TypeError
    return _segment_as_paper(micrograph, prepared, settings, clock, on_step)


def segment_each(
    micrograph: Micrograph, wanted: Sequence[Settings], *, prepared: Prepared
) -> Iterator[Segmentation]:
    """Segment one micrograph with each of several settings, the same but for seed and `n_classes`.

    The results are those of `segment`. In fast mode they come seed by seed: all seeds are trained
    as one batch, and each of them once for all numbers of classes.

    Parameters, errors: as for `segment`; `seconds` of the first result hold those of all trainings.
    """
    if wanted[0].mode != "fast":
        for settings in wanted:
            yield segment(micrograph, settings=settings, prepared=prepared)
        return
    clock = _Clock()
    wanted = [resolve(settings, micrograph) for settings in wanted]
    _check_prepared(prepared, micrograph, wanted[0])
    assert isinstance(prepared, Sample)
    seeds = list(dict.fromkeys(settings.seed for settings in wanted))
    for seed, trained in zip(seeds, train_on_sample(prepared, wanted[0], seeds), strict=True):
        clock.lap("training")
        fine = find_fine_classes(trained.network, micrograph, wanted[0])
        clock.lap("prediction")
        for settings in wanted:
            if settings.seed == seed:
                yield _join(fine, micrograph, prepared, trained.training, settings, clock)
                clock = _Clock()


def prepare(source: Source, settings: Settings) -> Prepared:
    """What does not depend on the seed or on the number of classes, so that repeats can share it.

    Parameters
    ----------
    source : Source
        A micrograph; in paper mode it has to be a `Micrograph`.
    settings : Settings
        The superpixels, their compactness, and how far the network sees.

    Returns
    -------
    In paper mode the superpixel map, (rows, cols) of int64; in fast mode the sample.
    """
    prepared = _begin(source, settings)
    return prepared.finished() if isinstance(prepared, Sample) else prepared


def _begin(source: Source, settings: Settings) -> Prepared:
    """As `prepare`, but superpixels of the sample may still be on their way."""
    n_superpixels = settings.n_superpixels or preset_n_superpixels(source.shape, settings.mode)
    if settings.mode == "fast":
        return take_sample(
            source,
            n_superpixels=n_superpixels,
            compactness=settings.compactness,
            receptive_radius=settings.n_layers,
        )
    everything = slice(0, source.shape[0]), slice(0, source.shape[1])
    return find_superpixels(
        source.read(*everything), n_superpixels=n_superpixels, compactness=settings.compactness
    )


def _join(
    fine: FineClasses,
    micrograph: Micrograph | LargeMicrograph,
    sample: Sample,
    training: Training,
    settings: Settings,
    clock: "_Clock",
    out: NDArray[np.unsignedinteger] | None = None,
) -> Segmentation:
    """Join fine classes; into `out` where it is given, which already holds the fine labels."""
    pixels = micrograph.pixels if isinstance(micrograph, Micrograph) else None
    kept = pixels is not None and out is None  # else two maps might not fit
    labels = np.empty_like(fine.labels) if kept else fine.labels
    classes = fine.join(settings.n_classes, labels)
    clock.lap("classes")
    criteria = criteria_with(settings.regions, classes, pixels, labels)
    clock.lap("criteria")
    return Segmentation(
        labels=labels,
        classes=tabulate_classes(classes),
        criteria=criteria,
        history=training.steps,
        stop_reason=training.stop_reason,
        n_superpixels=sample.n_superpixels,
        sampled_fraction=sample.fraction,
        settings=settings,
        seconds=clock.seconds,
        fine=fine if kept else None,
        pixels=pixels if kept else None,
    )


def _segment_as_paper(
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: Settings,
    clock: "_Clock",
    on_step: Callable[[Step], None] | None,
) -> Segmentation:
    device = torch.device(settings.device)
    with repeatable(settings.device, settings.threads):
        network = network_of(settings, settings.seed).to(device)
        (training,) = train(
            [network],
            whole_image(micrograph.pixels, superpixels, micrograph.excluded, device),
            n_classes=settings.n_classes,
            max_iterations=settings.max_iterations,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            read_every=1 if device.type == "cpu" else READ_EVERY,
            on_step=on_step,
        )
        clock.lap("training")
        raw = predict(network, micrograph.pixels)
        clock.lap("prediction")
    labels = order_labels(raw, micrograph.grey, micrograph.excluded)
    classes = measure_regions(micrograph.pixels, labels)
    clock.lap("classes")
    criteria = criteria_with(settings.regions, classes, micrograph.pixels, labels)
    clock.lap("criteria")
    return Segmentation(
        labels=labels,
        classes=tabulate_classes(classes),
        criteria=criteria,
        history=training.steps,
        stop_reason=training.stop_reason,
        n_superpixels=int(superpixels.max()) + 1,
        sampled_fraction=1.0,
        settings=settings,
        seconds=clock.seconds,
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
    if isinstance(prepared, Sample) and prepared.side != 2 * settings.n_layers + 1:
        raise InputError(
            f"prepared with patches of {prepared.side} x {prepared.side} pixels, not for"
            f" {settings.n_layers} layers; prepare with these settings"
        )


def _check_out(
    out: NDArray[np.unsignedinteger],
    micrograph: Micrograph | LargeMicrograph,
    settings: Settings,
) -> None:
    wanted = np.dtype(label_dtype(settings.n_responses))
    if settings.mode != "fast":
        raise InputError(f"out: mode {settings.mode} makes an array of its own; leave it away")
    if out.shape != micrograph.shape or out.dtype != wanted:
        raise InputError(
            f"out: shape {out.shape}, kind {out.dtype}; needs {micrograph.shape} and {wanted}"
        )


def resolve(settings: Settings, micrograph: Micrograph | LargeMicrograph) -> Settings:
    """Settings as they will be used on this micrograph: nothing left to a preset or to `auto`.

    Raises
    ------
    InputError, SettingError
        If `segment` would refuse them; this is all that it checks before it starts to work.
    """
    least = 2 * settings.n_layers + 1
    if min(micrograph.shape) < least:
        raise InputError(
            f"{micrograph.name}: {micrograph.shape[0]} x {micrograph.shape[1]} pixels; the network"
            f" sees {least} x {least} at once, so no side may be smaller"
        )
    if isinstance(micrograph, LargeMicrograph):
        for name, value, needed in (
            ("mode", settings.mode, "fast"),
            ("regions", settings.regions, "classes"),
        ):
            if value != needed:
                raise SettingError(
                    f"{name} {value!r}: needs the whole of {micrograph.name}"
                    f" ({micrograph.shape[0]} x {micrograph.shape[1]} pixels) in memory; use"
                    f" {needed!r}, or a part of the image"
                )
    n_superpixels = settings.n_superpixels or preset_n_superpixels(micrograph.shape, settings.mode)
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
