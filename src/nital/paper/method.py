"""Paper mode as a method: the implementation of `methods.Method`; loads torch when used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.micrograph import (
    LargeMicrograph,
    Micrograph,
    Source,
    check_least_side,
    too_large,
)
from nital.paper.course import Step
from nital.paper.settings import PaperSettings
from nital.result.segmentation import Segmentation

if TYPE_CHECKING:
    from nital.paper.labelling import OnRows
    from nital.paper.superpixels import Superpixels


class PaperMethod:
    """Superpixels, and a network trained on the one image."""

    settings = PaperSettings

    def resolve(
        self, settings: PaperSettings, micrograph: Micrograph | LargeMicrograph
    ) -> PaperSettings:
        """Fill in the superpixels, the device and the threads."""
        check_least_side(micrograph, 2 * settings.n_layers + 1)
        if micrograph.is_large:
            _check_large(settings, micrograph)
        import torch

        from nital.paper.device import resolve_device
        from nital.paper.superpixels import check_n_superpixels, preset_n_superpixels

        device = resolve_device(settings.device).type
        # Drawn batches are too small for many threads: several networks make better use of them.
        alone = settings.repeats == 1 or settings.exact or device != "cpu"
        n_superpixels = settings.n_superpixels or preset_n_superpixels(micrograph.shape)
        check_n_superpixels(n_superpixels, micrograph.shape)
        return replace(
            settings,
            n_superpixels=n_superpixels,
            device=device,
            threads=settings.threads or (torch.get_num_threads() if alone else 1),
        )

    def prepare(self, source: Source, settings: PaperSettings) -> "Superpixels":
        """Find the superpixels."""
        from nital.paper.superpixels import preset_n_superpixels, sample_superpixels

        return sample_superpixels(
            source,
            n_superpixels=settings.n_superpixels or preset_n_superpixels(source.shape),
            compactness=settings.compactness,
            whole=settings.exact,
        )

    def check_prepared(self, prepared: object, settings: PaperSettings) -> None:
        """Refuse anything that is not superpixels, and a part of them if training is exact."""
        from nital.paper.superpixels import Superpixels

        if not isinstance(prepared, Superpixels):
            raise InputError("prepared: not for mode paper; prepare with these settings")
        if settings.exact and len(prepared.windows) > 1:
            raise InputError("prepared: not for exact training; prepare with these settings")

    def segment(
        self,
        micrograph: Micrograph | LargeMicrograph,
        settings: PaperSettings,
        prepared: "Superpixels",
        *,
        out: NDArray[np.uint8] | None,
        on_rows: "OnRows | None",
        on_step: Callable[[Step], None] | None,
    ) -> Segmentation:
        """Train with each seed; with several, find the consensus of the maps."""
        from nital.paper.trained import Repeats, TrainedNetwork

        n_classes = int(settings.n_classes)
        if settings.repeats > 1:
            assert isinstance(micrograph, Micrograph)  # others are refused
            repeats = Repeats(micrograph, prepared, settings)
            return repeats.segment(n_classes, out=out, on_step=on_step)
        trained = TrainedNetwork(micrograph, prepared, settings)
        return trained.segment(n_classes, out=out, on_rows=on_rows, on_step=on_step)

    def segment_each(
        self,
        micrograph: Micrograph,
        wanted: Sequence[PaperSettings],
        prepared: "Superpixels",
    ) -> Iterator[Segmentation]:
        """Train once for all numbers of classes of a seed: the smaller ones take longer."""
        from nital.paper.trained import TrainedNetwork

        for alike in self.group(wanted, prepared):
            used = [self.resolve(each, micrograph) for each in alike]
            trained = TrainedNetwork(micrograph, prepared, used[0])
            for number in sorted({int(each.n_classes) for each in used}, reverse=True):
                yield trained.segment(number)

    def group(
        self, wanted: Sequence[PaperSettings], prepared: "Superpixels"
    ) -> list[list[PaperSettings]]:
        """Group settings by seed: numbers of classes share a training."""
        alike: dict[int, list[PaperSettings]] = {}
        for each in wanted:
            alike.setdefault(each.seed, []).append(each)
        return list(alike.values())


METHOD = PaperMethod()


def _check_large(settings: PaperSettings, micrograph: Micrograph | LargeMicrograph) -> None:
    if settings.exact:
        raise too_large(micrograph, "exact", True, "False")
    if settings.repeats > 1:
        raise too_large(micrograph, "repeats", settings.repeats, "1")
    if settings.regions != "classes":
        raise too_large(micrograph, "regions", settings.regions, "'classes'")
    if settings.n_responses > (most := np.iinfo(np.uint8).max):
        raise too_large(micrograph, "n_responses", settings.n_responses, f"{most} or fewer")
