"""The result: fine classes of disturbed views, joined to any number without clustering again."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.pictures import fine_classes, make_views_small
from nital.errors import SettingError
from nital.fast.disturbances import DISTURBANCES
from nital.fast.settings import FAST, MAX_CLASSES, FastSettings
from nital.image.light import EVEN
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.synthetic import synthesize
from nital.methods import segment
from nital.paper.settings import PAPER
from nital.result.boundaries import (
    enlarge,
    mean_levels,
    nearest_pixels,
    noise_of,
    place_boundaries,
)
from nital.result.consensus import find_consensus
from nital.result.criteria import evaluate, measure_regions
from nital.result.fine import FineClasses, as_good_as, curve_of, f_values, lowest
from nital.result.joining import Joining
from nital.result.segmentation import Segmentation


@pytest.fixture(scope="module", autouse=True)
def small_views() -> Iterator[None]:
    """For fixtures of the module as well."""
    with pytest.MonkeyPatch.context() as patch:
        make_views_small(patch)
        yield


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


def majority(
    result: Segmentation, k: int, excluded: NDArray[np.bool_]
) -> NDArray[np.unsignedinteger]:
    """The consensus of the views when they have k classes each, at their own pixels."""
    maps = []
    for view in result.views:
        maps.append(np.empty_like(view.labels))
        view.join(k, maps[-1])
    return find_consensus(maps, excluded).labels


@pytest.mark.parametrize("k", [2, 3, 6])
def test_classes_are_the_consensus_of_the_views_with_their_boundaries_placed(
    micrograph: Micrograph, result: Segmentation, k: int
) -> None:
    found = result.at(k)
    excluded = micrograph.excluded
    outside = nearest_pixels(excluded, result.views[0].labels.shape)
    labels = enlarge(majority(result, k, outside), excluded.shape)
    labels[excluded] = 0
    grey = micrograph.grey / result.light.field(excluded.shape)
    assert result.fine is not None
    reach = result.fine.reach
    noise, levels = noise_of([(grey, ~excluded)], reach), mean_levels(labels, grey)
    placed = place_boundaries(labels, grey, reach, noise, levels)
    pairs = set(zip(found.labels.flat, placed.flat, strict=True))
    assert len(pairs) == k + 1


def test_there_are_eight_views_of_the_same_shape(result: Segmentation) -> None:
    assert len(result.views) == len(DISTURBANCES)
    assert {view.labels.shape for view in result.views} == {result.views[0].labels.shape}
    assert result.what_agrees == "8 disturbed views"
    assert all(view.labels.min() > 0 for view in result.views)
    first, *others = result.views
    assert all((view.labels != first.labels).any() for view in others)


def test_agreement_is_a_share_of_the_views(micrograph: Micrograph, result: Segmentation) -> None:
    assert result.agreement is not None
    assert result.agreement.shape == micrograph.shape
    assert (result.agreement[micrograph.excluded] == 0).all()
    known = result.agreement[~micrograph.excluded]
    assert 8 * known == pytest.approx(np.round(8 * known), abs=1e-4)
    assert known.min() >= 1 / 8
    assert known.max() == 1
    assert result.mean_agreement == pytest.approx(known.mean())


def test_what_excluded_pixels_show_has_no_part_in_it() -> None:
    image = synthesize((96, 120), {"ferrite": 0.6, "martensite": 0.4}, grain_size=20).image
    excluded = np.zeros(image.shape, bool)
    excluded[70:] = True
    found = [
        segment(np.where(excluded, np.float32(shown), image), 3, excluded=excluded)
        for shown in (0.0, 1.0)
    ]
    assert (found[0].labels == found[1].labels).all()
    assert found[0].agreement is not None
    assert found[1].agreement is not None
    assert (found[0].agreement == found[1].agreement).all()
    assert ((found[0].labels == 0) == excluded).all()


def test_the_uncertainty_is_twice_the_deviation_of_the_area_fractions_of_the_views(
    micrograph: Micrograph, result: Segmentation
) -> None:
    maps = []
    for view in result.views:
        maps.append(np.empty_like(view.labels))
        view.join(2, maps[-1])
    excluded = nearest_pixels(micrograph.excluded, maps[0].shape)
    shares = [(each[~excluded] == 1).mean() for each in maps]
    found = result.at(2)  # of two classes, the darker one is the same in each view
    expected = np.std(shares, ddof=1)
    assert [row.uncertainty for row in found.classes] == pytest.approx([2 * expected, 2 * expected])
    assert 0 < expected < 0.1


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


def test_most_of_each_fine_class_is_in_one_class(result: Segmentation) -> None:
    assert result.fine is not None
    for number, label in enumerate(result.fine.classes_in(result.labels), start=1):
        counts = np.bincount(result.labels[result.fine.labels == number])
        assert counts.argmax() == label


def test_criteria_of_components_are_those_of_the_map(micrograph: Micrograph) -> None:
    found = segment(micrograph, 3, settings=replace(FAST, regions="components")).at(2)
    expected = evaluate(micrograph.pixels, found.labels, regions="components")
    assert found.criteria == expected


def test_paper_mode_has_no_fine_classes(micrograph: Micrograph) -> None:
    found = segment(micrograph, settings=replace(PAPER, n_filters=6, max_iterations=2))
    assert found.fine is None


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


@pytest.mark.parametrize("k", [1, MAX_CLASSES + 1])
def test_a_number_out_of_range(result: Segmentation, k: int) -> None:
    with pytest.raises(SettingError, match=f"n_classes {k}"):
        result.at(k)


# --- F over the number of classes ---------------------------------------------------------------


def joining_of(seed: int) -> Joining:
    """Twelve fine classes of equal area, each with one random grey level."""
    rng = np.random.default_rng(seed)
    return Joining(
        rng.random((12, 2)), measure_regions(rng.random((1, 12), np.float32), np.arange(1, 13))
    )


def test_the_curve_is_mean_and_spread_of_f() -> None:
    joinings = [joining_of(0), joining_of(1), joining_of(2)]
    curve = curve_of(f_values(joinings))
    assert list(curve) == list(range(2, 11))
    for k, (mean, spread) in curve.items():
        values = [joining.criteria(k).F for joining in joinings]
        assert len(set(values)) == 3
        assert mean == pytest.approx(sum(values) / 3)
        assert spread == pytest.approx(math.sqrt(sum((f - mean) ** 2 for f in values) / 2))


def test_the_curve_of_one_view_has_no_spread() -> None:
    curve = curve_of(f_values([joining_of(0)]))
    assert [mean for mean, _ in curve.values()] == [joining_of(0).criteria(k).F for k in curve]
    assert all(math.isnan(spread) for _, spread in curve.values())


def test_the_lowest_mean_decides_and_of_equals_the_fewest_classes() -> None:
    assert lowest({2: (3.0, 0.0), 3: (1.0, 9.0), 4: (1.5, 0.0)}) == 3
    assert lowest({2: (3.0, 0.1), 3: (1.0, 0.9), 4: (1.0, 0.1)}) == 3
    assert lowest({2: (3.0, math.nan), 3: (4.0, math.nan), 4: (2.0, math.nan)}) == 4


def test_numbers_are_as_good_as_far_as_the_views_do_not_tell_them_apart() -> None:
    values = {
        2: np.array([1.5, 1.5, 3.9]),  # 0.3 higher than 3 on average, with a deviation of 0.72
        3: np.array([1.0, 2.0, 3.0]),
        4: np.array([1.6, 1.6, 3.7]),
        5: np.array([1.5, 2.5, 3.5]),  # always higher
        6: np.array([1.0, 2.1, 3.0]),  # beyond
    }
    assert as_good_as(values, 3) == (2, 4)
    assert as_good_as({k: each[:1] for k, each in values.items()}, 3) == ()


def test_numbers_that_the_fine_classes_do_not_suffice_for_are_not_as_good() -> None:
    same = np.array([1.0, 2.0, 3.0])
    assert as_good_as({2: same, 3: same, 4: same}, 2) == ()


def test_what_is_as_good_or_nearly_so_is_told(result: Segmentation) -> None:
    curve = {2: (1.0, 0.1), 3: (1.1, 0.1)}
    told = replace(
        result, curve=curve, as_good=(3, 4), other_fractions=(0.25, 0.1251, 0.0002), light=EVEN
    ).notes
    assert told[-2:] == (
        "3 or 4 classes are as good as 2 by F: the disturbed views do not tell them apart",
        "it can be divided into 3 classes in another way that is nearly as good, with 25, 12.5,"
        " 0.02 % from dark to bright; compare other numbers of classes, or assign fine classes by"
        " hand",
    )
    assert not any("as good" in note for note in replace(result, other_fractions=None).notes)


@pytest.mark.parametrize(("middle", "is_told"), [(1.0, True), (1.2, False)])
def test_the_fractions_of_another_joining_are_those_of_its_fine_classes(
    middle: float, is_told: bool
) -> None:
    fine, pixels = upper_half(stopped=False)
    centres = np.array([[0.0], [middle], [2.0]])
    fine = replace(fine, joining=Joining(centres, fine.statistics))
    found = Segmentation.of_fine(fine, [fine, fine], pixels, FastSettings(n_classes=2), {})
    assert (found.other_fractions is not None) == is_told
    if found.other_fractions is not None:
        both = [found.classes[0].area_fraction, found.other_fractions[0]]
        assert sorted(both) == pytest.approx([1 / 3, 2 / 3], abs=0.06)  # of 24 columns
        assert sum(found.other_fractions) == pytest.approx(1)
    stopped = replace(fine, stopped=True)
    alone = Segmentation.of_fine(stopped, (), pixels, FastSettings(n_classes=2), {})
    assert alone.other_fractions is None


def test_if_the_views_decide_for_the_other_joining_the_first_is_told() -> None:
    """Of three fine classes the middle one is slightly nearer to one side in the first view."""
    fine, pixels = upper_half(stopped=False)
    views = [
        replace(fine, joining=Joining(np.array([[0.0], [middle], [2.0]]), fine.statistics))
        for middle in (0.99, 1.01, 1.01)
    ]
    found = Segmentation.of_fine(views[0], views, pixels, FastSettings(n_classes=2), {})
    assert found.classes[0].area_fraction < 0.5
    assert found.other_fractions == pytest.approx([2 / 3, 1 / 3])


# --- stopped ------------------------------------------------------------------------------------


def upper_half(*, stopped: bool) -> tuple[FineClasses, NDArray[np.float32]]:
    """Three fine classes side by side in the upper half, none in the lower; and the pixels."""
    labels = np.repeat([[1, 2, 3]], 3, axis=1).repeat(8, axis=0).astype(np.uint8)
    pixels = np.repeat(labels[..., np.newaxis] / np.float32(4), 3, axis=2)
    labels[4:] = 0
    return replace(fine_classes(pixels, labels), stopped=stopped), pixels


@pytest.mark.parametrize("n_classes", [3, "auto"])
def test_what_was_stopped_says_of_how_much_its_figures_are(n_classes: int | str) -> None:
    settings = FastSettings(n_classes=n_classes)
    for stopped in (True, False):
        fine, pixels = upper_half(stopped=stopped)
        found = Segmentation.of_fine(fine, (), pixels, settings, {})
        assert found.stopped == stopped
        assert found.excluded_fraction == 0.5
        assert sum(row.area_fraction for row in found.classes) == pytest.approx(1)
        assert (found.agreement, found.views) == (None, ())
        assert [row.uncertainty for row in found.classes] == [None] * found.n_classes
        told = [note for note in found.notes if "stopped" in note]
        assert told == stopped * [
            "stopped before it was done: the figures are those of the 50.0 % of the pixels that"
            " have a class"
        ]


def test_another_number_of_classes_of_what_was_stopped_was_stopped_too() -> None:
    fine, pixels = upper_half(stopped=True)
    found = Segmentation.of_fine(fine, (), pixels, FastSettings(n_classes=3), {})
    other = found.at(2)
    assert (other.n_classes, other.stopped, other.notes) == (2, True, found.notes)
    assert ((other.labels == 0) == (fine.labels == 0)).all()


# --- of maps ------------------------------------------------------------------------------------


def test_maps_of_repeats_are_brought_to_their_consensus() -> None:
    rng = np.random.default_rng(0)
    truth = np.where(np.arange(40) < 15, 1, 2).astype(np.uint8)[np.newaxis].repeat(30, axis=0)
    pixels = np.repeat(truth[..., np.newaxis] / np.float32(3), 3, axis=2)
    maps = []
    for order in ([0, 1, 2], [0, 2, 1], [0, 1, 2]):
        flipped = np.where(rng.random(truth.shape) < 0.05, 3 - truth, truth)
        flipped[:3] = 0
        maps.append(np.array(order, np.uint8)[flipped])
    found = Segmentation.of_maps(maps, pixels, replace(PAPER, n_classes=2, repeats=3), {"a": 1.0})
    votes = np.sum([maps[0] == 1, maps[1] == 2, maps[2] == 1], axis=0)
    assert (found.labels[3:] == np.where(votes[3:] > 1, 1, 2)).all()
    assert (found.labels[:3] == 0).all()
    assert found.agreement is not None
    assert found.agreement[3:] == pytest.approx(np.maximum(votes, 3 - votes)[3:] / 3)
    shares = [votes_of[3:].mean() for votes_of in (maps[0] == 1, maps[1] == 2, maps[2] == 1)]
    assert found.classes[0].uncertainty == pytest.approx(2 * np.std(shares, ddof=1))
    assert (found.fine, found.views, found.what_agrees) == (None, (), "3 repeats")
    assert found.seconds == {"a": 1.0}
