"""The front door: a micrograph goes in, its classes come out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nital.classes import ClassRow, order_labels, tabulate_classes
from nital.criteria import Criteria, evaluate
from nital.errors import InputError, SettingError
from nital.micrograph import Micrograph
from nital.network import Network
from nital.prediction import predict
from nital.settings import PAPER, Settings
from nital.superpixels import (
    FEW_PIXELS,
    check_n_superpixels,
    find_superpixels,
    preset_n_superpixels,
)
from nital.training import Step, Training, train, whole_image

TINY_FRACTION = 0.001
"""A class with a smaller share of the area gets a note: it is hardly a constituent."""


@dataclass(frozen=True)
class Segmentation:
    """A segmented micrograph."""

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    """(rows, cols): 1..k from the darkest to the brightest class, 0 = excluded."""

    classes: tuple[ClassRow, ...]
    """Area fraction and mean grey level of each class, in the order of the labels."""

    criteria: Criteria
    """F, F' and Q, with the regions that the settings name."""

    history: tuple[Step, ...]
    """What each iteration saw."""

    stop_reason: str
    """The setting that ended training: `n_classes` or `max_iterations`."""

    n_superpixels: int
    """How many superpixels SLIC gave."""

    settings: Settings
    """As they were used: nothing left to a preset or to `auto`."""

    seconds: dict[str, float] = field(compare=False)
    """Wall-clock seconds of each stage."""

    @property
    def n_classes(self) -> int:
        """Classes in the label map; in paper mode they can be fewer, or more, than asked for."""
        return len(self.classes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of these figures has to know, in plain words."""
        asked = self.settings.n_classes
        notes = []
        if self.n_classes < asked:
            notes.append(
                f"{self.n_classes} classes instead of the {asked} asked for: the paper's rule stops"
                " at that many or fewer"
            )
        elif self.n_classes > asked and self.stop_reason == "n_classes":
            notes.append(
                f"{self.n_classes} classes instead of the {asked} asked for: the paper's rule"
                f" counted {self.history[-1].n_classes} and then updated the network once more"
            )
        elif self.n_classes > asked:
            notes.append(
                f"{self.n_classes} classes instead of the {asked} asked for: training ended at its"
                f" limit of {self.settings.max_iterations} iterations"
            )
        notes += [
            f"class {row.label} has only {row.n_pixels} of {self.labels.size} pixels: hardly a"
            " constituent"
            for row in self.classes
            if row.area_fraction < TINY_FRACTION
        ]
        mean_size = self.labels.size / self.n_superpixels
        if mean_size < FEW_PIXELS:
            notes.append(
                f"superpixels of {mean_size:.1f} pixels on average are too small to hold a texture;"
                " ask for fewer"
            )
        asked_superpixels = self.settings.n_superpixels or self.n_superpixels
        if self.n_superpixels < asked_superpixels / 2:
            notes.append(
                f"SLIC gave {self.n_superpixels} superpixels instead of the {asked_superpixels}"
                " asked for, which may cross boundaries; ask for more, or raise the compactness"
            )
        return tuple(notes)


def segment(
    image: ArrayLike | Micrograph,
    n_classes: int | None = None,
    *,
    seed: int | None = None,
    settings: Settings = PAPER,
    excluded: ArrayLike | None = None,
    superpixels: NDArray[np.int64] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Segmentation:
    """Tell the constituents of one micrograph apart, without labels.

    Parameters
    ----------
    image : (rows, cols) or (rows, cols, channels), or a Micrograph
        Grey, grey with alpha, RGB or RGBA; bool, integer or float (`Micrograph.from_array`).
    n_classes, seed : int, optional
        Take the place of those in `settings` (3 and 0 there).
    settings : Settings
        Everything else that can alter the result.
    excluded : (rows, cols) of bool, optional
        Pixels that belong to no class; they get the label 0.
    superpixels : (rows, cols) of int64, optional
        The result of `find_superpixels` on this image with these settings, where it is at hand.
    on_step : callable, optional
        Called after each iteration; it can't alter the result.

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
    >>> segment(image, n_classes=2, settings=Settings(max_iterations=3)).labels.shape
    (32, 32)
    """
    if n_classes is not None:
        settings = replace(settings, n_classes=n_classes)
    if seed is not None:
        settings = replace(settings, seed=seed)
    clock = _Clock()
    micrograph = _as_micrograph(image, excluded)
    settings = resolve(settings, micrograph)
    network = Network(
        n_filters=settings.n_filters,
        n_layers=settings.n_layers,
        n_responses=settings.n_responses,
        seed=settings.seed,
    )
    clock.lap("prepare")
    if superpixels is None:
        superpixels = find_superpixels(
            micrograph.pixels,
            n_superpixels=settings.n_superpixels,
            compactness=settings.compactness,
        )
    elif superpixels.shape != micrograph.shape:
        raise InputError(
            f"superpixels of shape {superpixels.shape}: the image has {micrograph.shape}; find them"
            " on this image"
        )
    clock.lap("superpixels")
    with _repeatable(settings.threads):
        network.to(settings.device)
        training = _train(network, micrograph, superpixels, settings, on_step)
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
        settings=settings,
        seconds=clock.seconds,
    )


def resolve(settings: Settings, micrograph: Micrograph) -> Settings:
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
    n_superpixels = settings.n_superpixels or preset_n_superpixels(micrograph.shape)
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


def _as_micrograph(image: ArrayLike | Micrograph, excluded: ArrayLike | None) -> Micrograph:
    if not isinstance(image, Micrograph):
        return Micrograph.from_array(image, excluded=excluded)
    if excluded is not None:
        raise InputError("excluded: the micrograph has an excluded area of its own; set it there")
    return image


def _train(
    network: Network,
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: Settings,
    on_step: Callable[[Step], None] | None,
) -> Training:
    return train(
        network,
        whole_image(
            micrograph.pixels, superpixels, micrograph.excluded, torch.device(settings.device)
        ),
        n_classes=settings.n_classes,
        max_iterations=settings.max_iterations,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        on_step=on_step,
    )


@contextmanager
def _repeatable(threads: int | None) -> Iterator[None]:
    """Fix what could alter the order of sums from run to run, and put it back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
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
