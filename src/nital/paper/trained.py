"""The trained network of one micrograph, and what it makes of it for any number of classes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import vector_to_parameters

from nital.errors import Stopped
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.paper.batches import DrawnSuperpixels, WholeImage
from nital.paper.course import PaperDetails, Step, Training
from nital.paper.device import repeatable
from nital.paper.labelling import Labels, OnRows, label
from nital.paper.network import Network
from nital.paper.places import Grid, Places
from nital.paper.settings import PaperSettings
from nital.paper.superpixels import Superpixels
from nital.paper.training import Trainer
from nital.result.classes import from_dark_to_bright, tabulate_classes
from nital.result.clock import Clock
from nital.result.criteria import criteria_with
from nital.result.fine import renumber
from nital.result.joining import Joining
from nital.result.segmentation import Segmentation

READ_EVERY = 16
"""On a GPU, counts are read once in this many iterations."""


class TrainedNetwork:
    """A network that is trained on one micrograph as far as it is asked to.

    Parameters
    ----------
    micrograph : Micrograph or LargeMicrograph
    superpixels : Superpixels
    settings : PaperSettings
        Resolved.
    """

    def __init__(
        self,
        micrograph: Micrograph | LargeMicrograph,
        superpixels: Superpixels,
        settings: PaperSettings,
    ) -> None:
        self._micrograph, self._superpixels, self._settings = micrograph, superpixels, settings
        device = torch.device(settings.device)
        self._network = Network(
            n_filters=settings.n_filters,
            n_layers=settings.n_layers,
            n_responses=settings.n_responses,
            seed=settings.seed,
        ).to(device)
        self._places = Places(micrograph, superpixels.windows, settings.n_layers, device)
        self._batches = (
            WholeImage(micrograph, superpixels, device)
            if settings.exact
            else DrawnSuperpixels(self._places, superpixels, device, settings.seed)
        )
        self._grid: Grid | None = None
        self._last: Segmentation | None = None
        self._trainer = Trainer(
            self._network,
            self._batches,
            max_iterations=settings.max_iterations,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            read_every=1 if device.type == "cpu" else READ_EVERY,
        )

    def segment(
        self,
        n_classes: int,
        *,
        out: NDArray[np.uint8] | None = None,
        on_rows: OnRows | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Segmentation:
        """Train to a number of classes, and label the micrograph.

        Parameters are those of `nital.segment`.
        """
        clock = Clock()
        with repeatable(self._settings.device, self._settings.threads):
            tell = None if on_step is None else self._telling(on_step)
            training = self._trainer.train_to(self._settings.join_from or n_classes, tell)
            clock.lap("training")
            found = self._same(training, n_classes) if out is None else None
            if found is None:
                found = self._label(training, n_classes, out, on_rows)
        clock.lap("labels")
        self._last = found
        return replace(found, seconds=clock.seconds)

    def recover(
        self,
        weights: NDArray[np.float32],
        training: Training,
        *,
        out: NDArray[np.uint8] | None = None,
        on_rows: OnRows | None = None,
    ) -> Segmentation:
        """Label the micrograph as after a training whose process was killed.

        Parameters
        ----------
        weights : (n,)
            Those that the network had (`Step.weights`).
        training : Training
        out, on_rows
            As for `segment`.
        """
        with repeatable(self._settings.device, self._settings.threads):
            there = torch.from_numpy(weights).to(self._settings.device)
            vector_to_parameters(there, self._network.parameters())
            return self._label(training, int(self._settings.n_classes), out, on_rows)

    def _same(self, training: Training, n_classes: int) -> Segmentation | None:
        """The last result, if it has the same weights: a count often falls by more than one."""
        last = self._last
        if last is None or last.stopped or self._settings.join_from is not None:
            return None
        assert isinstance(last.details, PaperDetails)
        assert last.details.training is not None
        if len(last.details.training.steps) != len(training.steps):
            return None
        settings = replace(self._settings, n_classes=n_classes)
        details = replace(last.details, training=training)
        stopped = training.stop_reason == "stopped"
        return replace(last, settings=settings, details=details, stopped=stopped)

    def _label(
        self,
        training: Training,
        n_classes: int,
        out: NDArray[np.uint8] | None,
        on_rows: OnRows | None,
    ) -> Segmentation:
        micrograph, settings = self._micrograph, replace(self._settings, n_classes=n_classes)
        many = settings.n_responses > np.iinfo(np.uint8).max
        labels: Labels = np.empty(micrograph.shape, np.uint16 if many else np.uint8)
        if out is not None:
            labels = out
        statistics = self._batches.statistics(self._network)
        measured, stopped = label(self._network, micrograph, statistics, labels, on_rows)
        number = from_dark_to_bright(measured)
        classes = measured.joined(np.maximum(number[1:], 1))  # empty ones add nothing
        if settings.join_from is not None:
            joined = Joining(classes.means, classes).numbers(n_classes)
            number, classes = np.append(0, joined)[number], classes.joined(joined)
        renumber(labels, number, labels)
        if number.max() <= np.iinfo(np.uint8).max:
            labels = labels.astype(np.uint8, copy=False)
        pixels = micrograph.pixels if isinstance(micrograph, Micrograph) else None
        return Segmentation(
            labels=labels,
            classes=tabulate_classes(classes),
            criteria=criteria_with(settings.regions, classes, pixels, labels),
            settings=settings,
            seconds={},
            details=PaperDetails(training, self._superpixels.n_in_image),
            again=None if pixels is None else self.segment,
            stopped=stopped or training.stop_reason == "stopped",
        )

    def _telling(self, on_step: Callable[[Step], None]) -> Callable[[Step], None]:
        """Let `on_step` ask for more than the record of an iteration."""

        def draw() -> NDArray[np.int64]:
            if self._grid is None:
                self._grid = Grid(self._places, self._settings.n_layers)
            return self._grid.draw(self._network)

        def tell(step: Step) -> None:
            on_step(replace(step, draw=draw, weights=self._trainer.weights))

        return tell


class Repeats:
    """Networks trained on one micrograph with successive seeds, side by side on the CPU.

    Parameters are those of `TrainedNetwork`.
    """

    def __init__(
        self, micrograph: Micrograph, superpixels: Superpixels, settings: PaperSettings
    ) -> None:
        self._pixels, self._settings = micrograph.pixels, settings
        self._each = [
            TrainedNetwork(micrograph, superpixels, replace(settings, seed=seed))
            for seed in range(settings.seed, settings.seed + settings.repeats)
        ]

    def segment(
        self,
        n_classes: int,
        *,
        out: NDArray[np.uint8] | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Segmentation:
        """Find the consensus of their maps.

        If it is stopped, of those that were made by then or, without any, of those under way.
        `on_step` is called by one at a time. Parameters are those of `nital.segment`.
        """
        settings = replace(self._settings, n_classes=n_classes)
        clock = Clock()
        told, stopped = Lock(), Event()

        def tell(step: Step) -> None:
            with told:
                if stopped.is_set():
                    raise Stopped
                try:
                    if on_step is not None:
                        on_step(step)
                except Stopped:
                    stopped.set()
                    raise

        def segment(network: TrainedNetwork) -> Segmentation | None:
            return None if stopped.is_set() else network.segment(n_classes, on_step=tell)

        n_at_a_time = n_side_by_side(settings)
        with (
            repeatable(settings.device, settings.threads),
            ThreadPoolExecutor(n_at_a_time) as executor,
        ):
            each = [one for one in executor.map(segment, self._each) if one is not None]
        clock.lap("training")
        made = [one for one in each if not one.stopped] or each
        agreed = Segmentation.of_maps([one.labels for one in made], self._pixels, settings, {})
        labels = agreed.labels
        if out is not None:
            out[:] = labels
            labels = out
        clock.lap("classes")
        return replace(
            agreed,
            labels=labels,
            seconds=clock.seconds,
            details=PaperDetails(),
            again=self.segment,
            stopped=stopped.is_set(),
        )


def n_side_by_side(settings: PaperSettings) -> int:
    """How many networks are trained at a time: exact ones take the memory of one already."""
    if settings.device != "cpu" or settings.exact:
        return 1
    return max(1, torch.get_num_threads() // (settings.threads or 1))
