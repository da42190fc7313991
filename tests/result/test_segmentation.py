"""The result: one tree of classes, cut at any number without clustering again."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.pictures import fine_classes
from nital.errors import InputError, SettingError
from nital.fast.features import CHANNELS
from nital.fast.sampling import Sample
from nital.fast.settings import FAST, MAX_CLASSES, FastSettings
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.synthetic import synthesize
from nital.methods import prepare, segment
from nital.paper.settings import PAPER
from nital.result.classes import ClassTree
from nital.result.criteria import evaluate, measure_regions
from nital.result.fine import FineClasses, curve_of, lowest
from nital.result.segmentation import Segmentation


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    fractions = {"ferrite": 0.6, "martensite": 0.4}
    image = synthesize((96, 120), fractions, grain_size=20).image
    excluded = np.zeros(image.shape[:2], bool)
    excluded[:, :9] = True
    return Micrograph.from_array(image, excluded=excluded)


@pytest.fixture(scope="module")
def result(micrograph: Micrograph) -> Segmentation:
    return segment(micrograph, 3)


@pytest.mark.parametrize("k", [2, 3, 5, 8, MAX_CLASSES])
def test_another_number_is_what_segment_gives_for_it(
    micrograph: Micrograph, result: Segmentation, k: int
) -> None:
    found, expected = result.at(k), segment(micrograph, k)
    assert (found.labels == expected.labels).all()
    assert found == replace(expected, labels=found.labels)
    assert found.labels is not result.labels


def test_numbers_are_cuts_of_one_tree(result: Segmentation) -> None:
    for k in range(MAX_CLASSES, 2, -1):
        finer, coarser = result.at(k), result.at(k - 1)
        pairs = np.unique(np.stack([finer.labels.ravel(), coarser.labels.ravel()]), axis=1)
        assert pairs.shape[1] == finer.n_classes + 1  # each of them, and 0, has one parent


def test_as_many_classes_as_there_are_fine_ones_are_the_fine_ones(result: Segmentation) -> None:
    assert result.fine is not None
    assert len(result.fine.classes) == MAX_CLASSES
    assert (result.at(MAX_CLASSES).labels == result.fine.labels).all()


def test_fine_classes_are_numbered_and_measured(
    micrograph: Micrograph, result: Segmentation
) -> None:
    assert result.fine is not None
    labels, statistics = result.fine.labels, result.fine.statistics
    n = len(result.fine.classes)
    assert set(np.unique(labels)) == set(range(n + 1))
    assert ((labels == 0) == micrograph.excluded).all()
    expected = measure_regions(micrograph.pixels, labels)
    assert (statistics.areas == expected.areas).all()
    greys = [row.mean_grey for row in result.fine.classes]
    assert greys == sorted(greys)


def test_the_centre_of_a_fine_class_is_near_the_mean_of_its_features(
    micrograph: Micrograph, result: Segmentation
) -> None:
    sample = prepare(micrograph, FAST)
    assert isinstance(sample, Sample)
    assert result.fine is not None
    centres, labels = result.fine.tree.centres, result.fine.labels
    assert centres.shape == (len(result.fine.classes), 2 * len(CHANNELS))
    features = sample.features(micrograph, np.s_[0:96, 0:120])
    means = np.stack([features[labels == i + 1].mean(axis=0) for i in range(len(centres))])
    np.testing.assert_allclose(centres[:, : len(CHANNELS)], means, atol=0.05 * features.std())


def test_each_fine_class_is_in_one_class(result: Segmentation) -> None:
    assert result.fine is not None
    for number, label in enumerate(result.fine.classes_in(result.labels), start=1):
        assert set(result.labels[result.fine.labels == number]) == {label}


def test_criteria_of_components_are_those_of_the_map(micrograph: Micrograph) -> None:
    found = segment(micrograph, 3, settings=replace(FAST, regions="components")).at(2)
    expected = evaluate(micrograph.pixels, found.labels, regions="components")
    assert found.criteria == expected


def test_paper_mode_has_no_fine_classes(micrograph: Micrograph) -> None:
    found = segment(micrograph, settings=replace(PAPER, n_filters=6, max_iterations=2))
    assert found.fine is None
    with pytest.raises(InputError, match=r"at\(2\): .*segment again with n_classes=2"):
        found.at(2)


@pytest.mark.parametrize("kind", ["large", "out"])
def test_labels_that_were_written_over_have_no_fine_classes(
    micrograph: Micrograph, kind: str
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    if kind == "large":
        large = LargeMicrograph.scan(lambda rows, cols: image[rows, cols], image.shape)
        found = segment(large)
    else:
        found = segment(image, out=np.empty(image.shape, np.uint8))
    assert found.fine is None
    with pytest.raises(InputError, match=r"at\(2\): .*segment again with n_classes=2"):
        found.at(2)


@pytest.mark.parametrize("k", [1, MAX_CLASSES + 1])
def test_a_number_out_of_range(result: Segmentation, k: int) -> None:
    with pytest.raises(SettingError, match=f"n_classes {k}"):
        result.at(k)


# --- F over the number of classes ---------------------------------------------------------------


def tree_of(seed: int) -> ClassTree:
    """A tree of twelve classes of equal area, each with one random grey level."""
    rng = np.random.default_rng(seed)
    return ClassTree(
        rng.random((12, 2)), measure_regions(rng.random((1, 12), np.float32), np.arange(1, 13))
    )


def test_the_curve_is_mean_and_spread_of_f() -> None:
    trees = [tree_of(0), tree_of(1), tree_of(2)]
    curve = curve_of(trees)
    assert list(curve) == list(range(2, 11))
    for k, (mean, spread) in curve.items():
        values = [tree.criteria(k).F for tree in trees]
        assert len(set(values)) == 3
        assert mean == pytest.approx(sum(values) / 3)
        assert spread == pytest.approx(math.sqrt(sum((f - mean) ** 2 for f in values) / 2))


def test_the_curve_of_one_tree_has_no_spread() -> None:
    curve = curve_of([tree_of(0)])
    assert [mean for mean, _ in curve.values()] == [tree_of(0).criteria(k).F for k in curve]
    assert all(math.isnan(spread) for _, spread in curve.values())


def test_the_lowest_mean_decides_and_of_equals_the_fewest_classes() -> None:
    assert lowest({2: (3.0, 0.0), 3: (1.0, 9.0), 4: (1.5, 0.0)}) == 3
    assert lowest({2: (3.0, 0.1), 3: (1.0, 0.9), 4: (1.0, 0.1)}) == 3
    assert lowest({2: (3.0, math.nan), 3: (4.0, math.nan), 4: (2.0, math.nan)}) == 4


# --- stopped ------------------------------------------------------------------------------------


def upper_half(*, stopped: bool) -> tuple[FineClasses, NDArray[np.float32]]:
    """Three fine classes side by side in the upper half, none in the lower; and the pixels."""
    labels = np.repeat([[1, 2, 3]], 3, axis=1).repeat(8, axis=0).astype(np.uint8)
    pixels = np.repeat(labels[..., np.newaxis] / np.float32(4), 3, axis=2)
    labels[4:] = 0
    return replace(fine_classes(pixels, labels), stopped=stopped), pixels


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("n_classes", [3, "auto"])
def test_what_was_stopped_says_of_how_much_its_figures_are(
    n_classes: int | str, repeats: int
) -> None:
    settings = FastSettings(n_classes=n_classes, repeats=repeats)
    for stopped in (True, False):
        fine, pixels = upper_half(stopped=stopped)
        found = Segmentation.of_fine([fine] * repeats, pixels, settings, {})
        assert found.stopped == stopped
        assert found.excluded_fraction == 0.5
        assert sum(row.area_fraction for row in found.classes) == pytest.approx(1)
        told = [note for note in found.notes if "stopped" in note]
        assert told == stopped * [
            "stopped before it was done: the figures are those of the 50.0 % of the pixels that"
            " have a class"
        ]


def test_another_number_of_classes_of_what_was_stopped_was_stopped_too() -> None:
    fine, pixels = upper_half(stopped=True)
    found = Segmentation.of_fine([fine], pixels, FastSettings(n_classes=3), {})
    other = found.at(2)
    assert (other.n_classes, other.stopped, other.notes) == (2, True, found.notes)
    assert ((other.labels == 0) == (fine.labels == 0)).all()
