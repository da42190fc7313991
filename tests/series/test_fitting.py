"""Fitting: reproducible classes, one exposure or many, progress and stopping."""

import itertools
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from helpers.steels import (
    BRIGHT,
    DARK,
    MID,
    SIDE,
    STEEL_SIDE,
    field,
    fitted,
    inside,
    is_same,
    labels_of,
    of_steel,
    opened,
    steel,
    three_greys,
)
from nital.errors import InputError, SettingError, Stopped
from nital.fast import view
from nital.fast.settings import MAX_CLASSES, FastSettings
from nital.fast.view import look_at
from nital.image import windows as windows_module
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.paper.settings import PaperSettings
from nital.result.joining import Joining
from nital.series import fitting
from nital.series.fitting import FitStep, fit_model

pytestmark = pytest.mark.usefixtures("small_samples")


def patches(*shares: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Patches of 8 x 8 pixels, dark, mid and bright in these shares, with noise: (96, 96); and
    which of the three each pixel is, 1 to 3."""
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(np.repeat([0, 1, 2], np.multiply(shares, 144).round().astype(int)))
    place = drawn.reshape(12, 12).repeat(8, axis=0).repeat(8, axis=1)
    grey = np.array([DARK, MID, BRIGHT])[place]
    return grey + rng.normal(0, 0.015, (SIDE, SIDE)), place + 1


def test_one_micrograph_is_enough() -> None:
    image, _ = patches(1 / 3, 1 / 3, 1 / 3)
    model = fitted([image], exposure="auto")
    assert model.exposure == "same"
    other, truth = patches(1 / 2, 1 / 4, 1 / 4, seed=1)
    labels = labels_of(model, other)
    inner = np.s_[3::8, 3::8]  # in the middle of each patch
    assert (labels[inner] == truth[inner]).mean() > 0.97


def nearly_constant(side: int) -> NDArray[np.uint8]:
    """A single pixel differs from all others."""
    image = np.full((side, side), 128, np.uint8)
    image[0, 0] = 129
    return image


def test_more_classes_than_there_are_is_an_error() -> None:
    with pytest.raises(InputError, match=r"hold no more than \d+ classes; ask for fewer"):
        fitted([nearly_constant(60)], 24)


def test_no_micrograph_is_an_error() -> None:
    with pytest.raises(InputError, match="name one or more"):
        fitted([])


def test_settings_that_no_model_has_are_refused() -> None:
    with pytest.raises(SettingError, match="a model needs fast mode"):
        fit_model(opened([field(DARK, MID)]), PaperSettings())  # type: ignore[arg-type]


@pytest.mark.parametrize("exposure", ["same", "each"])
@pytest.mark.parametrize("block", [2048, 32])
def test_an_image_that_is_excluded_altogether_is_an_error(
    monkeypatch: pytest.MonkeyPatch, exposure: str, block: int
) -> None:
    model = of_steel(exposure)
    monkeypatch.setattr(windows_module, "BLOCK_SIDE", block)
    values = np.zeros((40, 50, 2), np.uint8)
    values[..., 0] = np.arange(50)
    large = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], (40, 50), name="glass.tif")
    with pytest.raises(InputError, match=r"glass\.tif: every pixel is excluded"):
        model.segment(large)
    with pytest.raises(InputError, match=r"glass\.tif: every pixel is excluded"):
        fit_model([lambda: large], FastSettings(n_classes=2), exposure=exposure)


# --- always the same ----------------------------------------------------------------------------


def test_the_same_images_give_the_same_model() -> None:
    images, settings = opened([steel(0), steel(1)]), FastSettings(n_classes=2)
    first = fit_model(images, settings, exposure="same")
    np.random.seed(1)  # noqa: NPY002 - the global generator is not used
    assert is_same(first, fit_model(images, settings, exposure="same"))
    assert not is_same(first, fit_model(images[:1], settings, exposure="same"))


def spawned() -> ProcessPoolExecutor:
    """A process in which views are as small as in this one."""
    small = f"import nital.fast.view; nital.fast.view.VIEW_PIXELS = {view.VIEW_PIXELS}"
    context = get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=exec, initargs=(small,))


@pytest.mark.parametrize(
    "make", [lambda: ThreadPoolExecutor(2), spawned], ids=["thread", "process"]
)
def test_an_executor_gives_the_same_model(make: Callable[[], Any]) -> None:
    images, settings = opened([steel(0), steel(1), steel(2) * 0.5]), FastSettings(n_classes=2)
    with make() as executor:
        together = fit_model(images, settings, exposure="each", run_all=executor.map)
    alone = fit_model(images, settings, exposure="each")
    assert is_same(replace(together, usual=alone.usual), alone)
    assert together.usual == pytest.approx(alone.usual, rel=1e-5)  # with other threads of BLAS


@pytest.mark.parametrize("exposure", ["same", "each", "auto"])
def test_each_image_is_opened_a_few_times_and_not_kept(exposure: str) -> None:
    alive: list[weakref.ref[Micrograph]] = []

    def open_image(seed: int) -> Micrograph:
        assert not [each for each in alive if each() is not None]
        found = Micrograph.from_array(field(DARK, MID, seed=seed), name=f"{seed}.png")
        alive.append(weakref.ref(found))
        return found

    model = fit_model(
        [partial(open_image, seed) for seed in range(4)],
        FastSettings(n_classes=2),
        exposure=exposure,
    )
    assert len(alive) == 4 * (2 + 3 * (2 if exposure == "auto" else 1))
    assert all(each() is None for each in alive)
    assert model.images == tuple((f"{seed}.png", None) for seed in range(4))


def test_of_many_images_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "COMPARED", 3)
    calls: list[int] = []

    def open_image(seed: int) -> Micrograph:
        calls.append(seed)
        return Micrograph.from_array(field(DARK, MID, seed=seed))

    fit_model([partial(open_image, seed) for seed in range(6)], FastSettings(n_classes=2))
    assert len(calls) == 2 * 6 + 2 * (2 * 6 + 3)
    assert calls[24:27] == calls[-3:] == [0, 2, 5]


# --- as many classes as F prefers ---------------------------------------------------------------


def cloudy(seed: int) -> NDArray[np.float64]:
    """No constituents."""
    grey = ndimage.gaussian_filter(np.random.default_rng(seed).random((64, 64)), 2)
    return (grey - grey.min()) / np.ptp(grey)


def f_of(joining: Joining, k: int) -> float:
    """F of a cut, from the areas, means and errors of its fine classes, class by class."""
    areas, means, errors = (getattr(joining.statistics, n) for n in ("areas", "means", "errors"))
    number, total = joining.numbers(k), 0.0
    for each in (number == label for label in range(1, k + 1)):
        mean = np.average(means[each], axis=0, weights=areas[each])
        apart = (areas[each] * ((means[each] - mean) ** 2).sum(axis=1)).sum()
        total += (errors[each].sum() + apart) / np.sqrt(areas[each].sum())
    return float(np.sqrt(k) * total / (1000 * areas.sum()))


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_auto_is_the_number_with_the_lowest_f(seed: int) -> None:
    images = opened([cloudy(seed), cloudy(seed + 10)])
    two = fit_model(images, FastSettings(n_classes=2), exposure="same")
    expected = 2 + int(np.argmin([f_of(two.joining, k) for k in range(2, 11)]))
    model = fit_model(images, FastSettings(n_classes="auto"), exposure="same")
    assert model.settings == FastSettings(n_classes=expected)
    assert is_same(model, two.at(expected))


# --- exposure -----------------------------------------------------------------------------------


def test_each_gives_an_image_and_its_affine_change_the_same_labels() -> None:
    model = of_steel("each")
    image = steel(5)
    expected = labels_of(model, image)
    for gain, offset in ((0.5, 0), (0.4, 0.5), (0.7, 0.1)):
        assert (
            labels_of(model, gain * image + offset) == expected
        ).mean() > 0.995  # an offset is not light


def test_each_fits_a_series_of_many_exposures() -> None:
    exposures = ((1, 0), (0.5, 0.05), (0.4, 0.5), (0.7, 0.2))
    images = [gain * steel(i) + offset for i, (gain, offset) in enumerate(exposures)]
    model = fitted(images, 2, "each")
    for i, image in enumerate(images):
        assert (
            labels_of(model, image) == labels_of(model, steel(i))
        ).mean() > 0.995  # an offset is not light


def test_same_takes_grey_levels_as_they_are() -> None:
    labels = labels_of(three_greys(), 0.4 * field(MID, BRIGHT))
    assert np.median(inside(labels, 0, 2)) == 1


def test_auto_brings_a_series_of_many_exposures_in_line() -> None:
    exposures = ((1, 0), (0.6, 0.1), (0.5, 0.4), (0.8, 0.2))
    images = [gain * steel(i) + offset for i, (gain, offset) in enumerate(exposures)]
    assert fitted(images, 2, "auto").exposure == "each"


def test_auto_leaves_a_series_of_one_exposure_alone() -> None:
    """Different area fractions change mean and contrast, as different exposures would."""
    shares = (1 / 6, 1 / 12, 3 / 4), (1 / 4, 1 / 6, 7 / 12), (5 / 12, 1 / 6, 5 / 12)
    images = [patches(*each, seed=i)[0] for i, each in enumerate(shares)]
    assert fitted(images, 3, "auto").exposure == "same"


def test_auto_is_one_of_the_two() -> None:
    images = [steel(0), 0.5 * steel(1)]
    auto = fitted(images, 2, "auto")
    assert is_same(auto, fitted(images, 2, auto.exposure))


def test_an_unknown_exposure_is_refused() -> None:
    with pytest.raises(SettingError, match="exposure 'dark': unknown; use one of auto, same, each"):
        fitted([field(DARK, MID)], exposure="dark")


# --- watched, and stopped -----------------------------------------------------------------------


@pytest.mark.parametrize("exposure", ["same", "each"])
@pytest.mark.parametrize("n_classes", [2, "auto"])
def test_a_fit_is_the_same_when_it_is_watched(exposure: str, n_classes: int | str) -> None:
    wanted, images = FastSettings(n_classes=n_classes), opened([steel(0), steel(1)])
    drawn: list[NDArray[np.uint8]] = []
    watched = fit_model(images, wanted, exposure=exposure, on_step=drawer(drawn))
    assert is_same(watched, fit_model(images, wanted, exposure=exposure))
    assert drawn


def drawer(drawn: list[NDArray[np.uint8]]) -> Callable[[FitStep], None]:
    """Draws at every step that offers it."""

    def draw(step: FitStep) -> None:
        if step.draw is not None:
            drawn.append(step.draw())

    return draw


def test_each_step_tells_how_far_a_fit_is() -> None:
    steps: list[FitStep] = []
    images = opened([steel(0), steel(1), steel(2)])
    fit_model(images, FastSettings(n_classes=2), exposure="auto", on_step=steps.append)
    found = ["sampling"] * 3 + ["clustering"] + ["comparing"] * 3
    stages = [step.stage for step in steps]
    assert [stage for stage, _ in itertools.groupby(stages)] == [*dict.fromkeys(found)] * 2
    assert (stages.count("sampling"), stages.count("comparing")) == (6, 6)
    shares = [step.done for step in steps]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
    first, *rest = steps
    assert (first.n_clusters, first.draw) == (0, None)
    clusters = [step.n_clusters for step in rest if step.stage == "clustering"]
    assert clusters == [*range(2, MAX_CLASSES + 1), MAX_CLASSES] * 2  # of both exposures
    assert all(step.draw is not None for step in rest if step.stage != "sampling")


@pytest.mark.parametrize("side", [200, 40])
def test_what_is_drawn_comes_to_be_the_classes(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr("nital.series.sampling.PREVIEW_SIDE", side)
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", SIDE * SIDE)
    excluded = np.zeros((SIDE, SIDE), bool)
    excluded[:20] = True
    values = field(DARK, MID, BRIGHT)
    drawn: list[NDArray[np.uint8]] = []
    opener = partial(Micrograph.from_array, values, excluded=excluded)
    model = fit_model([opener], FastSettings(n_classes=3), on_step=drawer(drawn))
    labels = model.segment(opener()).labels
    every = 1 if side == 200 else 3
    for each in drawn:
        assert each.dtype == np.uint8
        assert ((each == 0) == excluded[::every, ::every]).all()
        assert each.max() <= 3
    assert (drawn[-1] == labels[::every, ::every]).all()


@pytest.mark.usefixtures("left_in_place")
@pytest.mark.parametrize("side", [200, 40])
def test_of_a_large_micrograph_is_drawn_what_is_learned_from(
    monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr("nital.series.sampling.PREVIEW_SIDE", side)
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", STEEL_SIDE * STEEL_SIDE)
    monkeypatch.setattr(windows_module, "BLOCK_SIDE", 50)
    monkeypatch.setattr(windows_module, "TILE_SIDE", 25)
    monkeypatch.setattr(windows_module, "N_TILES", 5)
    drawn: list[NDArray[np.uint8]] = []
    images = opened([steel(0), steel(1)])
    model = fit_model(images, FastSettings(n_classes=2), exposure="same", on_step=drawer(drawn))
    labels = model.segment(images[0]()).labels
    learned = np.zeros(labels.shape, bool)
    for window in windows_module.sampled_windows(look_at(images[0](), 1.0)):
        learned[window] = True
    every = -(-len(labels) // side)
    expected = np.where(learned, labels, 0)[::every, ::every]
    assert (drawn[-1] == expected).all()


@pytest.mark.parametrize("stage", ["sampling", "clustering", "comparing"])
def test_a_fit_that_is_stopped_ends(stage: str) -> None:
    def stop(step: FitStep) -> None:
        if step.stage == stage:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        fit_model(opened([steel(0)]), FastSettings(n_classes=2), on_step=stop)


def test_the_comparison_of_a_large_micrograph_reads_its_tiles_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", STEEL_SIDE * STEEL_SIDE)
    monkeypatch.setattr(windows_module, "BLOCK_SIDE", 64)
    monkeypatch.setattr(windows_module, "TILE_SIDE", 16)
    monkeypatch.setattr(windows_module, "N_TILES", 4)
    read: list[tuple[NDArray[np.int64], float]] = []
    sample_clusters = fitting.sample_clusters

    def watched(*given: Any) -> tuple[NDArray[np.int64], float]:
        read.append(sample_clusters(*given))
        return read[-1]

    monkeypatch.setattr(fitting, "sample_clusters", watched)
    fit_model(opened([steel(0)]), FastSettings(n_classes=2), exposure="same")
    ((counts, _),) = read
    assert counts.sum() == 4 * 16 * 16


def test_what_is_nearly_constant_has_nothing_to_tell_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The only other pixel lies far from what is learned from."""
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 300 * 300)
    monkeypatch.setattr(windows_module, "BLOCK_SIDE", 200)
    monkeypatch.setattr(windows_module, "TILE_SIDE", 20)
    monkeypatch.setattr(windows_module, "N_TILES", 1)
    with pytest.raises(InputError, match="a single class: there is nothing to tell apart"):
        fit_model(opened([nearly_constant(300)]), FastSettings(n_classes=3), exposure="same")
