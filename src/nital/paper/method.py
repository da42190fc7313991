"""Paper mode as a method: the implementation of `methods.Method`; loads torch when used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.image.micrograph import LargeMicrograph, Micrograph, Source, check_least_side
from nital.paper.course import PaperDetails, Step
from nital.paper.settings import PaperSettings
from nital.result.classes import order_labels, tabulate_classes
from nital.result.criteria import criteria_with, measure_regions
from nital.result.segmentation import Clock, Segmentation


class PaperMethod:
    """Superpixels, and a network trained on the one image."""

    settings = PaperSettings

    def resolve(
        self, settings: PaperSettings, micrograph: Micrograph | LargeMicrograph
    ) -> PaperSettings:
        """Fill in the superpixels, the device and the threads."""
        check_least_side(micrograph, 2 * settings.n_layers + 1)
        if micrograph.is_large:
            raise SettingError(
                f"mode 'paper': needs the whole of {micrograph.name} ({micrograph.shape[0]} x"
                f" {micrograph.shape[1]} pixels) in memory; use 'fast', or a part of the image"
            )
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

    def prepare(self, source: Source, settings: PaperSettings) -> NDArray[np.int64]:
        """Find the superpixel map, (rows, cols)."""
        from nital.paper.superpixels import find_superpixels

        return find_superpixels(
            source.read(slice(0, source.shape[0]), slice(0, source.shape[1])),
            n_superpixels=settings.n_superpixels,
            compactness=settings.compactness,
        )

    def check_prepared(self, prepared: object, settings: PaperSettings) -> None:
        """Refuse anything that is not a superpixel map."""
        if not isinstance(prepared, np.ndarray):
            raise InputError("prepared: not for mode paper; prepare with these settings")

    def segment(
        self,
        micrograph: Micrograph,
        settings: PaperSettings,
        prepared: NDArray[np.int64],
        *,
        out: object,
        on_rows: object,
        on_step: Callable[[Step], None] | None,
    ) -> Segmentation:
        """Train with each seed; with several, find the consensus of the maps."""
        if out is not None:
            raise InputError("out: only in fast mode; leave it out")
        clock = Clock()
        each: list[Segmentation] = []
        for seed in range(settings.seed, settings.seed + settings.repeats):
            own = replace(settings, seed=seed)
            each.append(_train(micrograph, prepared, own, on_step))
            if each[-1].stopped:
                break
        clock.lap("training")
        found = replace(each[0], seconds=clock.seconds)
        if len(each) > 1:
            maps = [one.labels for one in each]
            found = Segmentation.of_maps(maps, micrograph.pixels, settings, clock.seconds)
            found = replace(found, details=PaperDetails(), stopped=each[-1].stopped)
        clock.lap("classes")
        return found

    def segment_each(
        self,
        micrograph: Micrograph,
        wanted: Sequence[PaperSettings],
        prepared: NDArray[np.int64],
    ) -> Iterator[Segmentation]:
        """Train once for all numbers of classes of a seed: the smaller ones take longer."""
        from nital.paper.labelling import train_and_label_each

        for alike in self.group(wanted, prepared):
            used = {int(each.n_classes): self.resolve(each, micrograph) for each in alike}
            clock = Clock()
            for number, training, raw in train_and_label_each(
                micrograph, prepared, used[min(used)], list(used)
            ):
                details = PaperDetails(training, int(prepared.max()) + 1)
                found = of_training(micrograph, raw, used[number], details)
                clock.lap("training")
                yield replace(found, seconds=clock.seconds)
                clock = Clock()

    def group(
        self, wanted: Sequence[PaperSettings], prepared: NDArray[np.int64]
    ) -> list[list[PaperSettings]]:
        """Group settings by seed: numbers of classes share a training."""
        alike: dict[int, list[PaperSettings]] = {}
        for each in wanted:
            alike.setdefault(each.seed, []).append(each)
        return list(alike.values())


METHOD = PaperMethod()


def _train(
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: PaperSettings,
    on_step: Callable[[Step], None] | None,
) -> Segmentation:
    from nital.paper.labelling import train_and_label

    training, raw = train_and_label(micrograph, superpixels, settings, on_step)
    details = PaperDetails(training, int(superpixels.max()) + 1)
    return of_training(micrograph, raw, settings, details)


def of_training(
    micrograph: Micrograph,
    raw: NDArray[np.int64],
    settings: PaperSettings,
    details: PaperDetails,
) -> Segmentation:
    """Make the result of paper mode from the labels that its network assigns to the pixels.

    Parameters
    ----------
    raw : (rows, cols)
        Labels, 0 or more; those of excluded pixels do not count.
    settings : PaperSettings
        Resolved.
    details : PaperDetails
        Of a single training.
    """
    labels = order_labels(raw, micrograph.grey, micrograph.excluded)
    classes = measure_regions(micrograph.pixels, labels)
    return Segmentation(
        labels=labels,
        classes=tabulate_classes(classes),
        criteria=criteria_with(settings.regions, classes, micrograph.pixels, labels),
        settings=settings,
        seconds={},
        details=details,
        stopped=details.is_stopped,
    )
