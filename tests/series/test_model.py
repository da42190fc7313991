"""The model: a class is the same constituent everywhere; unlike micrographs are reported."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from helpers.pictures import make_views_few
from helpers.steels import (
    BRIGHT,
    DARK,
    MID,
    SIDE,
    STEEL_SIDE,
    field,
    fitted,
    inside,
    labels_of,
    of_steel,
    opened,
    steel,
    three_greys,
)
from nital.errors import Stopped
from nital.fast import labelling as fast
from nital.fast.settings import FastSettings
from nital.image import windows
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.result.agreement import compare
from nital.result.criteria import evaluate
from nital.result.grouping import ClassName
from nital.result.likeness import FAR, LEAST_SHIFT, Likeness
from nital.series.fitting import fit_model
from nital.series.model import Model

pytestmark = pytest.mark.usefixtures("small_samples")


@pytest.fixture(autouse=True)
def few_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them."""
    make_views_few(monkeypatch)


# --- one class, one constituent -----------------------------------------------------------------


@pytest.mark.parametrize(
    "greys",
    [
        (DARK, MID),
        (MID, BRIGHT),
        (DARK, BRIGHT),
        (BRIGHT, MID, DARK),
        pytest.param(
            (MID, DARK, BRIGHT),
            marks=pytest.mark.xfail(
                strict=True, reason="three broad areas are taken for uneven light"
            ),
        ),
    ],
)
def test_a_class_is_the_same_grey_in_every_micrograph(greys: tuple[float, ...]) -> None:
    assert_told_apart(greys)


def assert_told_apart(greys: tuple[float, ...]) -> None:
    labels = labels_of(three_greys(), field(*greys, seed=9))
    for place, grey in enumerate(greys):
        expected = 1 + (DARK, MID, BRIGHT).index(grey)
        assert (inside(labels, place, len(greys)) == expected).mean() > 0.99


def test_a_class_is_the_same_texture_in_every_micrograph() -> None:
    """Lamellae, spots and a plain matrix of one mean grey level; each field shows two of them."""
    rows, cols = np.mgrid[:SIDE, : SIDE // 2]
    lamellae = 0.5 + 0.25 * np.where(rows % 6 < 3, 1, -1)
    spots = 0.4 + 0.5 * ((rows % 12 < 5) & (cols % 12 < 5))
    textures = {"lamellae": lamellae, "spots": spots, "plain": np.full(rows.shape, 0.5)}
    noise = np.random.default_rng(0).normal(0, 0.015, (SIDE, SIDE))
    pairs = (("lamellae", "spots"), ("plain", "lamellae"), ("spots", "plain"))
    images = [np.hstack([textures[name] for name in pair]) + noise for pair in pairs]
    model = fit_model(opened(images), FastSettings(n_classes=3, scale="medium"), exposure="same")
    found: dict[str, set[int]] = {}
    for pair, image in zip(pairs, images, strict=True):
        labels = labels_of(model, image)
        for place, name in enumerate(pair):
            part = labels[8:-8, place * SIDE // 2 + 12 : (place + 1) * SIDE // 2 - 12]
            number = int(np.bincount(part.ravel()).argmax())
            assert (part == number).mean() > 0.95
            found.setdefault(name, set()).add(number)
    assert sorted(map(sorted, found.values())) == [[1], [2], [3]]


def test_a_class_that_is_not_there_has_a_row_without_a_pixel() -> None:
    model = fitted([field(DARK, MID), field(DARK, MID, seed=1), field(BRIGHT, BRIGHT, seed=2)])
    found = model.segment(Micrograph.from_array(field(BRIGHT, BRIGHT, seed=3)))
    assert [row.label for row in found.classes] == [1, 2, 3]
    for row in found.classes[:2]:
        assert (row.n_pixels, row.area_fraction, row.mean_grey) == (0, 0.0, None)
    assert found.classes[2].area_fraction == 1
    assert found.n_classes == 3
    assert not any("classes instead of" in note or "only" in note for note in found.notes)


def test_classes_rise_from_dark_to_bright() -> None:
    expected = 255 * np.array([DARK, MID, BRIGHT])
    assert [row.mean_grey for row in three_greys().classes] == pytest.approx(expected, abs=5)


def test_the_table_is_that_of_the_label_map() -> None:
    image = Micrograph.from_array(steel(5))
    found = of_steel().segment(image)
    for row in found.classes:
        assert row.n_pixels == (found.labels == row.label).sum()
        assert row.mean_grey == pytest.approx(255 * image.grey[found.labels == row.label].mean())
    assert sum(row.area_fraction for row in found.classes) == pytest.approx(1)


def test_fine_classes_add_up_to_classes() -> None:
    model = of_steel()
    found = model.segment(Micrograph.from_array(steel(5)))
    assert found.fine is not None
    assert (np.append(0, model.class_of)[found.fine.labels] == found.labels).all()
    assert len(found.fine.classes) == len(model.class_of)


def test_excluded_pixels_are_in_no_class() -> None:
    excluded = np.zeros((STEEL_SIDE, STEEL_SIDE), bool)
    excluded[:30, 10:] = True
    images = [steel(seed) for seed in range(2)]
    openers = [partial(Micrograph.from_array, image, excluded=excluded) for image in images]
    for exposure in ("same", "each"):
        model = fit_model(openers, FastSettings(n_classes=2), exposure=exposure)
        labels = model.segment(openers[0]()).labels
        assert ((labels == 0) == excluded).all()


@pytest.mark.parametrize("exposure", ["same", "each"])
def test_what_excluded_pixels_show_has_no_say(exposure: str) -> None:
    excluded = np.zeros((STEEL_SIDE, STEEL_SIDE), bool)
    excluded[60:] = True
    images = [steel(seed) for seed in range(2)]
    models = []
    for shown in (0.0, 1.0):
        pixels = [np.where(excluded, shown, image) for image in images]
        openers = [partial(Micrograph.from_array, each, excluded=excluded) for each in pixels]
        models.append(fit_model(openers, FastSettings(n_classes=2), exposure=exposure))
    assert (models[0].class_of == models[1].class_of).all()
    assert models[0].centres == pytest.approx(models[1].centres)


def test_a_large_micrograph_gives_the_labels_of_a_small_one() -> None:
    values = (255 * steel(5)).round().astype(np.uint8)
    large = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    out, rows = np.zeros(values.shape, np.uint8), []
    found = of_steel().segment(large, out=out, on_rows=lambda done, _: rows.append(done))
    assert found.labels is out
    assert (found.fine, found.pixels, rows) == (None, None, [STEEL_SIDE])
    assert (out == labels_of(of_steel(), values)).all()


def test_another_number_of_classes_is_joined_from_the_same_fine_classes() -> None:
    model, image = of_steel(), Micrograph.from_array(steel(5))
    found = model.segment(image)
    assert found.fine is not None
    finer = found.at(5)
    assert finer.likeness == found.likeness
    assert (finer.views, finer.agreement) == ((), None)
    joined = np.append(0, model.joining.numbers(5)).astype(np.uint8)[found.fine.labels]
    assert compare(finer.labels, joined).mean_iou == 1.0


def test_the_same_number_of_classes_is_the_same_result() -> None:
    found = of_steel().segment(Micrograph.from_array(steel(5)))
    assert (found.at(2).labels == found.labels).all()


def test_a_prediction_does_not_depend_on_those_before_it() -> None:
    model = of_steel("each")
    images = [steel(5), steel(6) * 0.5, field(DARK, BRIGHT)]
    there = [labels_of(model, image) for image in images]
    back = [labels_of(model, image) for image in reversed(images)]
    for one, other in zip(there, reversed(back), strict=True):
        assert (one == other).all()


# --- watched, and stopped -----------------------------------------------------------------------


def stop(done: int, labels: NDArray[np.uint8]) -> None:
    raise Stopped


@pytest.mark.parametrize("way", ["in memory", "out", "large"])
def test_a_prediction_that_is_stopped_keeps_what_is_labelled(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    model, values = of_steel(), (255 * steel(5)).round().astype(np.uint8)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    image: Micrograph | LargeMicrograph = Micrograph.from_array(values)
    if way == "large":
        image = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    whole = model.segment(image)
    out = np.zeros(values.shape, np.uint8) if way == "out" else None
    found = model.segment(image, out=out, on_rows=stop)
    assert out is None or found.labels is out
    view = model.space.view(image)
    done = np.zeros(values.shape, bool)
    done[view.window_of(windows.blocks(view.shape)[0])] = True
    n_done = int(done.sum())
    assert 0.2 < n_done / values.size < 0.3
    assert (found.labels == np.where(done, whole.labels, 0)).all()
    assert [row.label for row in found.classes] == [1, 2]
    for row in found.classes:
        assert row.n_pixels == (whole.labels[done] == row.label).sum()
        assert row.area_fraction == row.n_pixels / n_done
    assert (found.stopped, whole.stopped) == (True, False)
    said = (
        "stopped before it was done: the figures are those of the"
        f" {100 * n_done / values.size:.1f} % of the pixels that have a class"
    )
    assert said in found.notes
    assert said not in whole.notes
    clusters = fast.find_clusters(view, model.space, model.centres, None, stop)
    shares = clusters.counts / clusters.counts.sum()
    assert found.likeness is not None
    assert found.likeness.shift == pytest.approx(np.maximum(shares - model.shares, 0).sum())


# --- likeness -----------------------------------------------------------------------------------


def likeness(image: NDArray[Any], exposure: str = "same") -> Likeness:
    found = of_steel(exposure).segment(Micrograph.from_array(np.clip(image, 0, 1)))
    assert found.likeness is not None
    assert found.likeness.is_far == any("unlike the micrographs" in note for note in found.notes)
    return found.likeness


@pytest.mark.parametrize("exposure", ["same", "each"])
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_another_field_of_the_same_steel_is_not_far(exposure: str, seed: int) -> None:
    assert not likeness(steel(seed), exposure).is_far


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0), (0.5, 0.5)])
def test_another_brightness_is_far_where_all_should_have_the_same(
    gain: float, offset: float
) -> None:
    image = gain * steel(7) + offset
    assert likeness(image, "same").is_far
    assert not likeness(image, "each").is_far


@pytest.mark.parametrize("exposure", ["same", "each"])
def test_another_magnification_is_far(exposure: str) -> None:
    assert likeness(ndimage.zoom(steel(7), 3, order=1)[:128, :128], exposure).is_far
    assert likeness(steel(7, side=3 * STEEL_SIDE)[::3, ::3], exposure).is_far


@pytest.mark.parametrize("exposure", ["same", "each"])
def test_noise_is_far(exposure: str) -> None:
    assert likeness(np.random.default_rng(0).random((SIDE, SIDE)), exposure).is_far


def test_likeness_by_hand() -> None:
    """Pixel by pixel: the distance from the nearest centre in every eighth row of the view, and the
    shift of the pixels of the micrograph."""
    model, image = of_steel(), Micrograph.from_array(steel(5))
    view = model.space.view(image)
    whole = slice(0, view.shape[0]), slice(0, view.shape[1])
    features = model.space.features(view, whole)
    distance = ((features[..., np.newaxis, :] - model.centres) ** 2).sum(axis=-1, dtype=np.float64)
    cluster = distance.argmin(axis=-1)
    shares = np.bincount(cluster.ravel(), minlength=len(model.centres)) / cluster.size
    found = likeness(steel(5))
    expected = distance[::8].min(axis=-1).mean() / model.spread
    assert found.novelty == pytest.approx(expected, rel=1e-3)
    assert found.shift == pytest.approx(np.maximum(shares - model.shares, 0).sum(), abs=1e-3)
    assert (found.usual_novelty, found.usual_shift) == model.usual


def test_usual_is_the_largest_of_those_fitted_to() -> None:
    """Of all pixels of a view, where `segment` looks at some of its rows."""
    model = of_steel()
    found = []
    for seed in range(4):
        image = Micrograph.from_array(steel(seed))
        view = model.space.view(image)
        seen = fast.sample_clusters(view, model.space, model.centres, windows.blocks(view.shape))
        found.append(model.likeness(*seen))
    expected = max(each.novelty for each in found), max(each.shift for each in found)
    assert model.usual == pytest.approx(expected)
    others = [likeness(steel(seed)) for seed in range(4)]
    assert max(each.novelty for each in others) == pytest.approx(model.usual[0], rel=0.3)
    assert max(each.shift for each in others) == pytest.approx(model.usual[1], abs=0.02)


def test_far_is_twice_as_far_as_usual_and_small_shifts_never_are() -> None:
    assert not Likeness(FAR * 1.5, 0.1, 1.5, 0.05).is_far
    assert Likeness(FAR * 1.5 + 0.01, 0.1, 1.5, 0.05).is_far
    assert not Likeness(1.0, LEAST_SHIFT, 1.5, 0.05).is_far
    assert Likeness(1.0, LEAST_SHIFT + 0.01, 1.5, 0.05).is_far
    assert not Likeness(1.0, 0.59, 1.5, 0.3).is_far


def test_the_note_tells_both_figures_and_what_to_do() -> None:
    found = of_steel().segment(Micrograph.from_array(0.5 * steel(5)))
    assert found.likeness is not None
    *_, note = found.notes
    assert f"{found.likeness.novelty:.1f} times as far" in note
    assert f"{100 * found.likeness.shift:.0f} % of the area in other clusters" in note
    assert "check exposure and magnification, or fit a model" in note


# --- labels of what was decided -----------------------------------------------------------------


def changed_model() -> Model:
    """Five classes with names, colours or neither."""
    model = of_steel().at(4).split(2).moved(9, 1)
    return model.named({1: ClassName("pearlite", "#000001"), 3: ClassName(None, "#0072b2")})


@pytest.mark.parametrize("regions", ["classes", "components"])
@pytest.mark.parametrize("way", ["in memory", "out", "large"])
def test_segment_is_to_find_fine_classes_and_to_join_them(way: str, regions: str) -> None:
    model = changed_model()
    model = replace(model, settings=replace(model.settings, regions=regions))
    values = (255 * steel(5)).round().astype(np.uint8)
    image: Micrograph | LargeMicrograph = Micrograph.from_array(values)
    if way == "large":
        image = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    rooms = [np.full(values.shape, 77, np.uint8) if way == "out" else None for _ in range(2)]
    expected = model.segment(image, out=rooms[0])
    fine, likeness = model.find_fine_classes(image, out=rooms[1])
    before = fine.labels.copy()
    found = model.join(image, fine, likeness, out=rooms[1])
    assert found.labels.tobytes() == expected.labels.tobytes()
    assert found == replace(expected, labels=found.labels)
    assert found.labels.dtype == expected.labels.dtype == np.uint8
    assert (found.fine is not None) == (expected.fine is not None) == (way == "in memory")
    assert found.views == expected.views == ()
    assert (found.labels == np.append(0, model.class_of)[before]).all()
    if isinstance(image, Micrograph):
        criteria = evaluate(image.pixels, found.labels, regions=regions)
        assert found.criteria.F == pytest.approx(criteria.F)
    if way == "out":
        assert found.labels is fine.labels is rooms[1]
    else:
        assert (fine.labels == before).all()
    if found.fine is not None and expected.fine is not None:
        assert found.fine is fine
        assert (expected.fine.labels == fine.labels).all()


def test_fine_classes_once_found_are_joined_as_is_decided_later() -> None:
    image, changed = Micrograph.from_array(steel(5)), changed_model()
    fine, likeness = of_steel().find_fine_classes(image)
    found, expected = changed.join(image, fine, likeness), changed.segment(image)
    assert found.labels.tobytes() == expected.labels.tobytes()
    assert found == replace(expected, labels=found.labels)
    assert [row.name for row in found.classes] == ["pearlite", None, None, None, None]
    assert [row.colour for row in found.classes] == ["#000001", None, "#0072b2", None, None]


# --- uncertainty --------------------------------------------------------------------------------


def test_the_first_view_is_the_micrograph_as_it_is() -> None:
    image, model = Micrograph.from_array(steel(5)), of_steel()
    fine, _ = model.find_fine_classes(image)
    assert fine.shares is not None
    assert fine.shares.shape == (2, len(model.centres))
    assert fine.shares.sum(axis=1) == pytest.approx(1)
    view = model.space.view(image)
    counts = fast.find_clusters(view, model.space, model.centres).counts
    assert fine.shares[0] == pytest.approx(counts / counts.sum())


def test_the_uncertainty_is_that_of_the_joined_classes() -> None:
    image, model = Micrograph.from_array(steel(5)), of_steel()
    result = model.segment(image)
    assert result.fine is not None
    shares = result.fine.shares
    assert shares is not None
    for row in result.classes:
        joined = shares[:, model.class_of == row.label].sum(axis=1)
        assert row.uncertainty == pytest.approx(2 * joined.std(ddof=1))
    at_two = result.at(2)
    assert [row.uncertainty for row in at_two.classes] == pytest.approx(
        [row.uncertainty for row in model.at(2).segment(image).classes]
    )
    assert result.agreement is None


def test_a_finer_view_may_have_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    image, model = Micrograph.from_array(steel(5)), of_steel()
    view = model.space.view(image)
    expected = model.find_fine_classes(image)[0].shares
    monkeypatch.setattr(windows, "BLOCK_SIDE", max(view.shape))
    assert len(windows.blocks(view.shape)) == 1
    found = model.find_fine_classes(image)[0].shares
    assert found == pytest.approx(expected, abs=0.01)


def test_what_was_stopped_has_no_uncertainty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    model = of_steel()

    def stop(*_: object) -> None:
        raise Stopped("stopped")

    fine, _ = model.find_fine_classes(Micrograph.from_array(steel(5)), on_rows=stop)
    assert fine.shares is None


def test_of_several_blocks_the_sampled_tiles_stand_for_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, model = Micrograph.from_array(steel(5)), of_steel()
    expected = model.segment(image)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    monkeypatch.setattr(windows, "TILE_SIDE", 48)
    found = model.segment(image)
    assert found.fine is not None
    assert found.fine.shares is not None
    assert found.fine.shares.sum(axis=1) == pytest.approx(1)
    for row, other in zip(found.classes, expected.classes, strict=True):
        assert row.uncertainty == pytest.approx(other.uncertainty, abs=0.03)
        assert row.uncertainty is not None


# --- silhouette ---------------------------------------------------------------------------------


def silhouette(model: Model, image: Micrograph | LargeMicrograph) -> NDArray[np.uint8]:
    out = np.full(image.shape, 77, np.uint8)
    model.silhouette(image, out=out)
    return out


def silhouette_by_hand(model: Model, image: Micrograph) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixel by pixel of the view, in per cent and not rounded; and the class of the nearest
    centre; both at the pixels of the image."""
    view = model.space.view(image)
    features = model.space.features(view, (slice(0, view.shape[0]), slice(0, view.shape[1])))
    expected, nearest = np.zeros(view.shape), np.zeros(view.shape, int)
    for place in np.ndindex(view.shape):
        apart = features[place].astype(np.float64) - model.centres
        distance = np.sqrt((apart**2).sum(axis=1))
        nearest[place] = model.class_of[distance.argmin()]
        other = distance[model.class_of != nearest[place]].min()
        expected[place] = 100 * (1 - distance.min() / other)
    rows, cols = view.places()
    at = np.ix_(rows, cols)
    return np.where(image.excluded, 0, expected[at]), np.where(image.excluded, 0, nearest[at])


@pytest.mark.parametrize("exposure", ["same", "each"])
@pytest.mark.parametrize("k", [2, 7])
def test_the_silhouette_by_hand(exposure: str, k: int) -> None:
    excluded = np.zeros((30, 40), bool)
    excluded[:, :7] = True
    image = Micrograph.from_array(steel(5)[-30:, -40:], excluded=excluded)
    model = of_steel(exposure).at(k)
    expected, nearest = silhouette_by_hand(model, image)
    found = silhouette(model, image)
    placed = model.segment(image).labels
    assert (placed == nearest).mean() > 0.75  # boundaries are placed
    assert np.abs(found - expected).max() < 0.6  # rounded, and of single precision
    assert (found[excluded] == 0).all()
    assert np.ptp(found[~excluded]) > 30


def test_a_pixel_on_a_centre_is_sure_and_one_between_two_is_not() -> None:
    image = Micrograph.from_array(steel(5)[:20, :20])
    model = of_steel()
    view = model.space.view(image)
    features = model.space.features(view, (slice(0, view.shape[0]), slice(0, view.shape[1])))
    first, last = features[0, 0], features[-1, -1]
    for centres, value in (((first, last), 100), ((first + 1, first - 1), 0)):
        two = replace(
            model,
            centres=np.stack(centres),
            class_of=np.array([1, 2]),
        )
        assert silhouette(two, image)[0, 0] == pytest.approx(value, abs=1)


def test_who_joins_classes_makes_no_pixel_less_sure() -> None:
    image, model = Micrograph.from_array(steel(5)[:64, :64]), of_steel().at(8)
    before, surer = silhouette(model, image), 0
    for one, other in pairwise(range(1, 9)):
        joined = silhouette(model.joined(one, other), image)
        assert (joined >= before).all()
        surer += (joined > before).sum()
    assert surer


def test_the_silhouette_of_several_blocks_and_of_a_large_micrograph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = (255 * steel(5)).round().astype(np.uint8)
    image, model = Micrograph.from_array(values), of_steel()
    large = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    whole = silhouette(model, image)
    assert (silhouette(model, large) == whole).all()
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    for source in (image, large):
        assert np.abs(silhouette(model, source).astype(int) - whole).mean() < 0.5


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_what_was_done_when_the_process_was_killed_is_recovered(
    n_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)  # four blocks
    model, micrograph = of_steel(), Micrograph.from_array(steel(1))
    left, calls = np.zeros(micrograph.shape, np.uint8), 0

    def stop(done: int, labels: NDArray[np.uint8]) -> None:
        nonlocal calls
        calls += 1
        if calls == n_blocks:
            left[:] = labels  # as left on disk
            raise Stopped("stopped")

    stopped, known = model.find_fine_classes(micrograph, on_rows=stop)
    left[100:, 100:] = 1  # an unfinished block
    found, likeness = model.recover_fine_classes(micrograph, left, n_blocks)
    assert np.array_equal(found.labels, stopped.labels)
    assert found.statistics.areas == pytest.approx(stopped.statistics.areas)
    assert found.statistics.means == pytest.approx(stopped.statistics.means)
    assert found.stopped
    assert likeness.shift == pytest.approx(known.shift)
    assert likeness.novelty == pytest.approx(known.novelty, rel=0.1)  # of more rows
