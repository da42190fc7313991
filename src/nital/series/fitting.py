"""Fitting classes that many micrographs share.

Grey levels, weights and clusters come from a sample of pixels, equally many from each micrograph;
the clusters are joined once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.fast.clustering import (
    OnDivision,
    find_centres,
    nearest,
    squared_distances,
)
from nital.fast.labelling import order_clusters, sample_clusters
from nital.fast.settings import MAX_CLASSES, FastSettings
from nital.image.windows import sampled_windows
from nital.result.agreement import table_of
from nital.result.criteria import measure_regions
from nital.result.fine import curve_of, f_values, lowest
from nital.result.joining import Joining
from nital.result.likeness import Likeness
from nital.series.model import LEAST_SPREAD, Model
from nital.series.sampling import CommonSample, Looks, Opener, find_looks, take_common_sample
from nital.settings import AUTO

Floats = NDArray[np.float32]

EXPOSURES = ("auto", "same", "each")

CLEARLY = 0.95
"""Exposures are normalised only if that lowers the mean shift below this share of its value. If all
micrographs have one exposure and only area fractions vary, the two shifts are about the same."""

COMPARED = 32
"""At most this many of the fitted micrographs are compared with the model."""


@dataclass(frozen=True)
class FitStep:
    """Progress of a fit."""

    stage: str
    """`sampling`, `clustering` or `comparing`."""

    done: float
    """Share of the whole fit that is done, 0 to 1."""

    n_clusters: int
    """Clusters so far; 0 before there are any."""

    draw: Callable[[], NDArray[np.uint8]] | None
    """Draws the current classes on a subsampled first micrograph: (rows, cols), 0 where a pixel is
    excluded or, in a large micrograph, outside the sampled tiles. None before there are
    clusters."""


OnStep = Callable[[FitStep], None]


def fit_model(
    images: Sequence[Opener],
    settings: FastSettings,
    *,
    exposure: str = "auto",
    run_all: Callable[..., Iterable[Any]] = map,
    on_step: OnStep | None = None,
) -> Model:
    """Fit classes that several micrographs share.

    Each micrograph is opened a few times and not kept: memory use does not grow with their number.

    Parameters
    ----------
    images : sequence of callables
        Each opens a micrograph; `run_all` may call them in other processes.
    settings : FastSettings
        `n_classes` "auto": the number with the lowest F.
    exposure : {"auto", "same", "each"}
        `same`: all micrographs have one exposure. `each`: every micrograph was exposed
        separately, so its brightness and contrast are normalised first. `auto`: whichever makes
        the micrographs more alike, by the mean shift of their areas among the clusters.
    run_all : callable
        `map`, or the `map` of an executor.
    on_step : callable, optional
        Called after each micrograph read, and after each division of a cluster. It can't change
        the model. If it raises `nital.errors.Stopped`, that passes through: there is no model yet.

    Raises
    ------
    InputError
        If there is no image, one can't be read, or they hold fewer classes than asked for.
    SettingError
        If `exposure` is unknown, or a model can't have these settings.
    """
    if not len(images):
        raise InputError("no micrograph to fit a model to; name one or more")
    if exposure not in EXPOSURES:
        raise SettingError(f"exposure {exposure!r}: unknown; use one of {', '.join(EXPOSURES)}")
    if settings.mode != FastSettings.mode:
        raise SettingError(f"{settings}: a model needs fast mode")
    aligned = {"same": (False,), "each": (True,), "auto": (False, True)[: len(images)]}[exposure]
    n_each = len(images) + 1 + min(COMPARED, len(images))
    watch = _Watch(on_step, n_each * len(aligned))
    looks = find_looks(images, settings.light, run_all)
    found = [_fit(images, looks, settings, align, run_all, watch) for align in aligned]
    (model, shift), *others = found
    for other, with_other in others:
        if with_other < CLEARLY * shift:
            return other
    return model


class _Watch:
    """Reports the progress of fits; each micrograph and each clustering counts as one step."""

    def __init__(self, on_step: OnStep | None, n: int) -> None:
        self.on_step, self._n, self._over = on_step, n, 0
        self._now: tuple[CommonSample, Floats, int | str] | None = None

    def finish(self, stage: str) -> None:
        """Report that one more step is done."""
        self._over += 1
        self._tell(stage, 0)

    def show(self, sample: CommonSample, centres: Floats, n_classes: int | str) -> None:
        """Set the clusters to draw from now on."""
        self._now = sample, centres, n_classes

    def follow(self, sample: CommonSample, n_classes: int | str) -> OnDivision:
        """Return the callback for a clustering of a sample to call after each division."""

        def on_division(centres: Floats) -> None:
            self.show(sample, centres, n_classes)
            self._tell("clustering", len(centres) / MAX_CLASSES)

        return on_division

    def _tell(self, stage: str, more: float) -> None:
        if self.on_step is not None:
            n_clusters = 0 if self._now is None else len(self._now[1])
            draw = None if self._now is None else self._draw
            done = (self._over + more) / self._n
            self.on_step(FitStep(stage, done, n_clusters, draw))

    def _draw(self) -> NDArray[np.uint8]:
        assert self._now is not None
        sample, centres, n_classes = self._now
        preview = sample.preview
        assert preview is not None
        centres, joining = _order(sample, centres)
        number = joining.numbers(
            lowest(curve_of(f_values([joining]))) if n_classes == AUTO else int(n_classes)
        )
        drawn = number.astype(np.uint8)[nearest(preview.features, centres)]
        drawn[~preview.known] = 0
        return drawn


def _fit(
    images: Sequence[Opener],
    looks: Looks,
    settings: FastSettings,
    align: bool,
    run_all: Callable[..., Iterable[Any]],
    watch: _Watch,
) -> tuple[Model, float]:
    """Fit a model; return it and the mean shift of the micrographs it was fitted to."""
    on_image = None if watch.on_step is None else partial(watch.finish, "sampling")
    sample = take_common_sample(
        images,
        settings.scale,
        looks,
        align=align,
        run_all=run_all,
        on_image=on_image,
    )
    n_classes = settings.n_classes
    centres = find_centres(sample.values, watch.follow(sample, n_classes))
    centres, joining = _order(sample, centres)
    watch.finish("clustering")
    if n_classes == AUTO:
        n_classes = lowest(curve_of(f_values([joining])))
    watch.show(sample, centres, n_classes)
    settings = replace(settings, n_classes=n_classes)
    class_of = joining.numbers(int(settings.n_classes))
    if class_of.max() < 2:
        raise InputError("the micrographs hold a single class: there is nothing to tell apart")
    if class_of.max() < int(settings.n_classes):
        raise InputError(
            f"n_classes {settings.n_classes}: the micrographs hold no more than {class_of.max()}"
            " classes; ask for fewer"
        )
    spread = float(squared_distances(sample.values, centres).mean())
    model = Model(
        settings=settings,
        space=sample.space,
        centres=centres,
        shares=joining.statistics.areas / joining.statistics.areas.sum(),
        spread=max(spread, LEAST_SPREAD),
        joining=joining,
        class_of=class_of,
        usual=(1.0, 0.0),
        images=sample.images,
        names={},
    )
    chosen = np.linspace(0, len(images) - 1, min(COMPARED, len(images))).round().astype(int)
    novelties, shifts = [], []
    for likeness in run_all(partial(_compare, model), [images[i] for i in chosen]):
        novelties.append(likeness.novelty)
        shifts.append(likeness.shift)
        watch.finish("comparing")
    return replace(model, usual=(max(novelties), max(shifts))), sum(shifts) / len(shifts)


def _order(sample: CommonSample, centres: Floats) -> tuple[Floats, Joining]:
    """Return the centres of the fine classes, from dark to bright, and their joining."""
    centres = centres[np.unique(nearest(sample.values, centres))]  # those with pixels
    cluster = nearest(sample.values, centres) + 1
    beside = nearest(sample.around, centres) + 1
    n = len(centres)
    clusters = measure_regions(sample.pixels[np.newaxis], cluster[np.newaxis], n)
    pairs = table_of(cluster, beside, n + 1)
    number, joining = order_clusters(centres, clusters, pairs + pairs.T)
    return centres[np.argsort(number)], joining


def _compare(model: Model, open_image: Opener) -> Likeness:
    """Measure how far one micrograph is from the model."""
    view = model.space.view(open_image())
    windows = sampled_windows(view)
    return model.likeness(*sample_clusters(view, model.space, model.centres, windows))
