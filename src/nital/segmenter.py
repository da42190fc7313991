"""The front door: a micrograph goes in, its classes come out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nital.classes import join_classes, order_labels, tabulate_classes
from nital.criteria import Criteria, RegionStatistics, criteria_of, evaluate, measure_regions
from nital.errors import InputError, SettingError
from nital.micrograph import LargeMicrograph, Micrograph, Source
from nital.network import Network
from nital.prediction import CPU_TILE, FrozenNetwork, freeze, label_window, predict
from nital.sampling import Sample, take_sample
from nital.segmentation import Segmentation
from nital.settings import FAST, Settings
from nital.superpixels import check_n_superpixels, find_superpixels, preset_n_superpixels
from nital.training import Settled, Step, Training, balanced, train, whole_image

Prepared = NDArray[np.int64] | Sample
"""What `prepare` finds on an image: the superpixel map in paper mode, the sample in fast mode."""

HALF_LIFE = 12
"""Iterations in which fast mode's learning rate falls to half."""

CHECK_EVERY = 10
"""Fast mode asks every so many iterations whether the classes have settled."""

TOLERANCE = 0.001
"""Settled: since the last check at most this share of the probe's labels changed."""

PROBE_PIXELS = 4096
STATISTICS_PIXELS = 16_384
"""Over so many patches batch normalisation is frozen after training."""

BAND_PIXELS = 2**21
"""An image is labelled and measured in bands of about so many pixels."""

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
        prepared = prepare(micrograph, settings)
    _check_prepared(prepared, micrograph, settings)
    if out is not None:
        _check_out(out, micrograph, settings)
    clock.lap("superpixels")
    if isinstance(prepared, Sample):
        fine = find_fine_classes(micrograph, prepared, settings, clock, out, on_step, on_rows)
        return _join(fine, micrograph, settings, clock, fine.labels)
    if not isinstance(micrograph, Micrograph):  # `resolve` has refused it
        raise TypeError
    return _segment_as_paper(micrograph, prepared, settings, clock, on_step)


def segment_each(
    micrograph: Micrograph,
    n_classes: Sequence[int],
    *,
    settings: Settings,
    prepared: Prepared,
) -> Iterator[Segmentation]:
    """Segment one micrograph into each of several numbers of classes.

    The results are those of `segment`, one after the other. Fast mode trains once, and joins the
    same fine classes to each number.

    Parameters, errors: as for `segment`; `seconds` of the first result hold those of the training.
    """
    if settings.mode != "fast":
        for k in n_classes:
            yield segment(micrograph, k, settings=settings, prepared=prepared)
        return
    clock = _Clock()
    settings = resolve(settings, micrograph)
    _check_prepared(prepared, micrograph, settings)
    assert isinstance(prepared, Sample)
    fine = find_fine_classes(micrograph, prepared, settings, clock)
    for k in n_classes:
        labels = np.empty_like(fine.labels)
        yield _join(fine, micrograph, replace(settings, n_classes=k), clock, labels)
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


@dataclass(frozen=True)
class FineClasses:
    """What fast mode finds before classes are joined; the same for every number of classes."""

    labels: NDArray[np.unsignedinteger]
    statistics: RegionStatistics
    training: Training
    sample: Sample


def find_fine_classes(
    micrograph: Micrograph | LargeMicrograph,
    sample: Sample,
    settings: Settings,
    clock: "_Clock | None" = None,
    out: NDArray[np.unsignedinteger] | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> FineClasses:
    """Train on the sample and label the micrograph with fine classes.

    Parameters: as for `segment`; the settings resolved.
    """
    clock = clock or _Clock()
    with _repeatable(settings):
        network, training = _train_on_sample(sample, settings, on_step)
        clock.lap("training")
        labels = out if out is not None else np.empty(micrograph.shape, label_dtype(settings))
        measured: RegionStatistics | None = None
        for rows, fine, of_band in _label_bands(network, micrograph):
            labels[rows] = fine
            measured = of_band if measured is None else measured + of_band
            if on_rows is not None:
                on_rows(rows.stop)
        clock.lap("prediction")
    assert measured is not None  # an image has rows
    return FineClasses(labels, measured, training, sample)


def _join(
    fine: FineClasses,
    micrograph: Micrograph | LargeMicrograph,
    settings: Settings,
    clock: "_Clock",
    labels: NDArray[np.unsignedinteger],
) -> Segmentation:
    """Join fine classes into `labels`, which may be those of `fine`."""
    number = join_classes(fine.statistics, settings.n_classes)
    table = number.astype(labels.dtype)
    for row, found in zip(labels, fine.labels, strict=True):  # a second map might not fit
        row[:] = table[found]
    classes = fine.statistics.joined(np.maximum(number[1:], 1))
    clock.lap("classes")
    criteria = _criteria(classes, micrograph, labels, settings)
    clock.lap("criteria")
    return Segmentation(
        labels=labels,
        classes=tabulate_classes(classes),
        criteria=criteria,
        history=fine.training.steps,
        stop_reason=fine.training.stop_reason,
        n_superpixels=fine.sample.n_superpixels,
        sampled_fraction=fine.sample.fraction,
        settings=settings,
        seconds=clock.seconds,
    )


def _criteria(
    classes: RegionStatistics,
    micrograph: Micrograph | LargeMicrograph,
    labels: NDArray[np.unsignedinteger],
    settings: Settings,
) -> Criteria:
    """From the statistics of the classes, where these are the regions that settings name."""
    if settings.regions == "classes" or not isinstance(micrograph, Micrograph):
        return criteria_of(classes)
    return evaluate(micrograph.pixels, labels, regions=settings.regions)


def label_dtype(settings: Settings) -> type[np.uint8 | np.uint16]:
    """Kind of the labels of fast mode."""
    return np.uint8 if settings.n_responses < 256 else np.uint16


def _train_on_sample(
    sample: Sample, settings: Settings, on_step: Callable[[Step], None] | None
) -> tuple[FrozenNetwork, Training]:
    """Fast mode's training: balanced targets, until the classes have settled.

    With one thread: these small products gain little from a second, which on a busy machine costs
    many times what it gains; and so the result does not depend on how many threads there are.
    """
    device = torch.device(settings.device)
    network = _network(settings).to(device)
    with using_threads(1):
        training = train(
            network,
            sample.batches(settings.seed, device),
            refine=balanced,
            n_classes=0,
            max_iterations=settings.max_iterations,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            half_life=HALF_LIFE,
            settled=Settled(network, sample.some_patches(PROBE_PIXELS).to(device), TOLERANCE),
            read_every=CHECK_EVERY,
            on_step=on_step,
        )
        return freeze(network, sample.some_patches(STATISTICS_PIXELS).to(device)), training


def _label_bands(
    network: FrozenNetwork, source: Source
) -> Iterator[tuple[slice, NDArray[np.unsignedinteger], RegionStatistics]]:
    """Fine labels and their statistics, band by band: rows, labels (rows, cols), statistics."""
    n_rows, n_cols = source.shape
    height = CPU_TILE * max(1, BAND_PIXELS // (CPU_TILE * n_cols))
    for top in range(0, n_rows, height):
        rows = slice(top, min(top + height, n_rows))
        pixels, labels = label_window(network, source, rows, slice(0, n_cols))
        yield rows, labels, measure_regions(pixels, labels, network.n_responses)


def _segment_as_paper(
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: Settings,
    clock: "_Clock",
    on_step: Callable[[Step], None] | None,
) -> Segmentation:
    device = torch.device(settings.device)
    with _repeatable(settings):
        network = _network(settings).to(device)
        training = train(
            network,
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
    criteria = _criteria(classes, micrograph, labels, settings)
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


def _network(settings: Settings) -> Network:
    return Network(
        n_filters=settings.n_filters,
        n_layers=settings.n_layers,
        n_responses=settings.n_responses,
        seed=settings.seed,
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
    wanted = np.dtype(label_dtype(settings))
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


def resolve_device(name: str) -> torch.device:
    """The device of this name; `auto` is the first of cuda, mps and cpu that is there.

    Raises
    ------
    SettingError
        If the device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, present in there.items() if present)
    if not there.get(name, False):
        present = ", ".join(device for device, present in there.items() if present)
        raise SettingError(f"device {name!r}: not on this machine; use one of auto, {present}")
    return torch.device(name)


def _as_micrograph(
    image: ArrayLike | Micrograph | LargeMicrograph, excluded: ArrayLike | None
) -> Micrograph | LargeMicrograph:
    if not isinstance(image, Micrograph | LargeMicrograph):
        return Micrograph.from_array(image, excluded=excluded)
    if excluded is not None:
        raise InputError("excluded: the micrograph has an excluded area of its own; set it there")
    return image


@contextmanager
def _repeatable(settings: Settings) -> Iterator[None]:
    """Fix what could alter the order of sums from run to run, and put it back afterwards.

    On CUDA, products may round their inputs to TF32.
    """
    precision = torch.get_float32_matmul_precision()
    if settings.device == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        with (
            using_threads(settings.threads or torch.get_num_threads()),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=True
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Have torch use `n` CPU threads, in the whole process, and put its number back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Wall-clock seconds of the stages, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
