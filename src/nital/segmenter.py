"""The front door: a micrograph goes in, its classes come out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nital.classes import ClassRow, join_classes, order_labels, rows_of, tabulate_classes
from nital.criteria import Criteria, RegionStatistics, criteria_of, evaluate, measure_regions
from nital.errors import InputError, SettingError
from nital.micrograph import LargeMicrograph, Micrograph, Source
from nital.network import Network
from nital.prediction import CPU_TILE, FrozenNetwork, freeze, label_window, predict
from nital.sampling import Sample, take_sample
from nital.settings import FAST, Settings
from nital.superpixels import (
    FEW_PIXELS,
    check_n_superpixels,
    find_superpixels,
    preset_n_superpixels,
)
from nital.training import Settled, Step, Training, balanced, train, whole_image

Prepared = NDArray[np.int64] | Sample
"""What `prepare` finds on an image: the superpixel map in paper mode, the sample in fast mode."""

HALF_LIFE = 12
"""Iterations in which fast mode's learning rate falls to half."""

CHECK_EVERY = 10
"""Fast mode asks every so many iterations whether the classes have settled."""

TOLERANCE = 0.003
"""Settled: since the last check at most this share of the probe's labels changed."""

PROBE_PIXELS = 4096
STATISTICS_PIXELS = 16_384
"""Over so many patches batch normalisation is frozen after training."""

BAND_PIXELS = 2**21
"""An image is labelled and measured in bands of about so many pixels."""

READ_EVERY = 16
"""On a GPU, paper mode's counts are read every so many iterations."""

TINY_FRACTION = 0.001
"""A class with a smaller share of the area gets a note: it is hardly a constituent."""


@dataclass(frozen=True)
class Segmentation:
    """A segmented micrograph."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..k from the darkest to the brightest class, 0 = excluded."""

    classes: tuple[ClassRow, ...]
    """Area fraction and mean grey level of each class, in the order of the labels."""

    criteria: Criteria
    """F, F' and Q, with the regions that the settings name."""

    history: tuple[Step, ...]
    """What each iteration saw."""

    stop_reason: str
    """What ended training: `n_classes`, `settled` or `max_iterations`."""

    n_superpixels: int
    """How many superpixels SLIC gave, in the sample where there was one."""

    sampled_fraction: float
    """Share of the included area that training drew from; 1 where it was the whole image."""

    settings: Settings
    """As they were used: nothing left to a preset or to `auto`."""

    seconds: dict[str, float] = field(compare=False)
    """Wall-clock seconds of each stage."""

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
        share = self.sampled_fraction
        if self.settings.mode == "fast":  # there, only superpixels of the included area count
            share *= 1 - self.excluded_fraction
        mean_size = share * self.labels.size / self.n_superpixels
        if mean_size < FEW_PIXELS:
            notes.append(
                f"superpixels of {mean_size:.1f} pixels on average are too small to hold a texture;"
                " ask for fewer"
            )
        asked_superpixels = self.settings.n_superpixels or self.n_superpixels
        asked_superpixels = round(asked_superpixels * share)
        if self.n_superpixels < asked_superpixels / 2:
            notes.append(
                f"SLIC gave {self.n_superpixels} superpixels instead of the {asked_superpixels}"
                " asked for, which may cross boundaries; ask for more, or raise the compactness"
            )
        return tuple(notes)


def _notes_on_number(result: Segmentation) -> list[str]:
    """What to know where other classes came out than were asked for."""
    asked, found = result.settings.n_classes, result.n_classes
    if found == asked:
        return []
    said = f"{found} classes instead of the {asked} asked for"
    if result.settings.mode == "fast":
        return [f"{said}: nothing else could be told apart"]
    if found < asked:
        return [f"{said}: the paper's rule stops at that many or fewer"]
    if result.stop_reason == "n_classes":
        counted = result.history[-1].n_classes
        return [
            f"{said}: the paper's rule counted {counted} and then updated the network once more"
        ]
    limit = result.settings.max_iterations
    return [f"{said}: training ended at its limit of {limit} iterations"]


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
    the same number of threads and the same versions of torch and scikit-image.

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
    if isinstance(prepared, Sample) != (settings.mode == "fast"):
        raise InputError(f"prepared: not for mode {settings.mode}; prepare with these settings")
    clock.lap("superpixels")
    if isinstance(prepared, Sample):
        return _segment_fast(micrograph, prepared, settings, clock, out, on_step, on_rows)
    if not isinstance(micrograph, Micrograph):  # `resolve` has refused it
        raise TypeError
    return _segment_as_paper(micrograph, prepared, settings, clock, on_step)


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


def _segment_fast(
    micrograph: Micrograph | LargeMicrograph,
    sample: Sample,
    settings: Settings,
    clock: "_Clock",
    out: NDArray[np.unsignedinteger] | None,
    on_step: Callable[[Step], None] | None,
    on_rows: Callable[[int], None] | None,
) -> Segmentation:
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
    number = join_classes(measured, settings.n_classes)
    table = number.astype(labels.dtype)
    for row in labels:  # in place: a second map might not fit into memory
        row[:] = table[row]
    classes = measured.joined(np.maximum(number[1:], 1))
    clock.lap("classes")
    criteria = criteria_of(classes)
    if settings.regions != "classes" and isinstance(micrograph, Micrograph):
        criteria = evaluate(micrograph.pixels, labels, regions=settings.regions)
    clock.lap("criteria")
    return Segmentation(
        labels=labels,
        classes=rows_of(classes),
        criteria=criteria,
        history=training.steps,
        stop_reason=training.stop_reason,
        n_superpixels=sample.n_superpixels,
        sampled_fraction=sample.fraction,
        settings=settings,
        seconds=clock.seconds,
    )


def label_dtype(settings: Settings) -> type[np.uint8 | np.uint16]:
    """Kind of the labels of fast mode."""
    return np.uint8 if settings.n_responses < 256 else np.uint16


def _train_on_sample(
    sample: Sample, settings: Settings, on_step: Callable[[Step], None] | None
) -> tuple[FrozenNetwork, Training]:
    """Fast mode's training: balanced targets, until the classes have settled."""
    device = torch.device(settings.device)
    network = _network(settings).to(device)
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
    if superpixels.shape != micrograph.shape:
        raise InputError(
            f"superpixels of shape {superpixels.shape}: the image has {micrograph.shape}; find them"
            " on this image"
        )
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
    classes = tabulate_classes(labels, micrograph.grey)
    clock.lap("classes")
    criteria = evaluate(micrograph.pixels, labels, regions=settings.regions)
    clock.lap("criteria")
    return Segmentation(
        labels=labels,
        classes=classes,
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
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(settings.threads or before[0])
    if settings.device == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=True
        ):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


class _Clock:
    """Wall-clock seconds of the stages, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
