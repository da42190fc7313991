"""Fast mode: fine classes of every pixel."""

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from nital.errors import InputError, Stopped
from nital.fast import labelling
from nital.fast.clustering import find_centres, nearest
from nital.fast.features import CHANNELS
from nital.fast.labelling import (
    SURROUNDINGS_WEIGHT,
    OnRows,
    find_clusters,
    find_fine_classes,
    fine_classes_of_view,
    recover_clusters,
    sample_clusters,
)
from nital.fast.sampling import Sample, take_sample
from nital.fast.settings import MAX_CLASSES
from nital.fast.space import DISTANCE
from nital.fast.view import look_at
from nital.image import windows
from nital.image.micrograph import Micrograph
from nital.image.windows import blocks
from nital.methods import segment
from nital.result.boundaries import place_boundaries, reach_of
from nital.result.criteria import measure_regions
from nital.result.fine import FineClasses


def micrograph(excluded: NDArray[np.bool_] | None = None) -> Micrograph:
    grey = ndimage.gaussian_filter(np.random.default_rng(0).random((120, 100)), 2)
    return Micrograph.from_array((grey - grey.min()) / np.ptp(grey), excluded=excluded)


def sample_of(image: Micrograph, step: float = 1.0) -> Sample:
    return take_sample(look_at(image, step), "fine")


def found_in(image: Micrograph, step: float = 1.0) -> tuple[FineClasses, Sample]:
    """Its fine classes, and the sample that they come from."""
    sample = sample_of(image, step)
    return find_fine_classes(sample.seen, sample, find_centres(sample.values)), sample


@pytest.mark.parametrize("step", [0.6, 1.0, 1.7, 3.1])
@pytest.mark.parametrize("side", [2048, 48, 31])
def test_boundaries_are_placed_in_the_map_of_the_nearest_centres(
    step: float, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks and strips as in the whole."""
    image = micrograph()
    sample = sample_of(image, step)
    view, centres = sample.seen, find_centres(sample.values)
    rows, cols = view.places()
    assert sample.whole is not None
    nearest_ones = (nearest(sample.whole, centres) + 1)[rows][:, cols]
    reach = reach_of(step)
    noise, levels = view.noise(reach), sample.grey_of(centres)
    grey = image.grey / view.light.field(image.shape)
    expected = place_boundaries(nearest_ones, grey, reach, noise, levels)
    assert (expected != nearest_ones).mean() > 0.1
    monkeypatch.setattr(windows, "BLOCK_SIDE", side)
    monkeypatch.setattr(labelling, "_ROWS_AT_ONCE", side // 2)
    found = find_clusters(view, sample, centres)
    assert (found.labels == expected).all()


@pytest.mark.parametrize("scale", ["medium", "coarse"])
def test_boundaries_of_areas_of_texture_stay(scale: str) -> None:
    sample = take_sample(look_at(micrograph(), 1.0), scale)
    centres = find_centres(sample.values)
    clusters = find_clusters(sample.seen, sample, centres)
    assert (clusters.labels == nearest(sample.features(sample.seen, WHOLE), centres) + 1).all()


@pytest.mark.usefixtures("left_in_place")
def test_fine_classes_are_clusters_by_other_numbers() -> None:
    fine, sample = found_in(micrograph())
    centres = find_centres(sample.values)
    cluster = nearest(sample.features(sample.seen, WHOLE), centres)
    pairs = set(zip(cluster.flat, fine.labels.flat, strict=True))
    assert len(pairs) == fine.labels.max() == MAX_CLASSES == len(fine.joining.centres)
    number = np.array([label for _, label in sorted(pairs)])
    assert fine.joining.centres[number - 1, : len(CHANNELS)] == pytest.approx(centres)


@pytest.mark.usefixtures("left_in_place")
@pytest.mark.parametrize("step", [0.6, 1.0, 1.7])
def test_their_statistics_and_centres_are_those_of_their_pixels(step: float) -> None:
    image = micrograph()
    fine, sample = found_in(image, step)
    expected = measure_regions(image.pixels, fine.labels)
    assert fine.statistics.areas == pytest.approx(expected.areas)
    assert fine.statistics.means == pytest.approx(expected.means)
    assert fine.statistics.errors == pytest.approx(expected.errors, rel=1e-6)
    assert sample.whole is not None
    centres = find_centres(sample.values)
    cluster = nearest(sample.whole, centres)
    window = slice(0, cluster.shape[0]), slice(0, cluster.shape[1])
    enlarged = sample.seen.enlarged(cluster, window, (slice(0, 120), slice(0, 100)))
    pairs = set(zip(enlarged.flat, fine.labels.flat, strict=True))
    assert len(pairs) == len(fine.joining.centres)  # a fine class is one cluster
    for own, label in pairs:
        assert fine.joining.centres[label - 1, : len(CHANNELS)] == pytest.approx(centres[own])
    assert fine.labels.shape == image.shape


def test_they_rise_from_dark_to_bright() -> None:
    fine, _ = found_in(micrograph())
    greys = [row.mean_grey for row in fine.classes]
    assert greys == sorted(greys)


def test_excluded_pixels_get_no_class() -> None:
    excluded = np.zeros((120, 100), bool)
    excluded[:40] = True
    image = micrograph(excluded)
    fine, _ = found_in(image)
    assert ((fine.labels == 0) == excluded).all()


@pytest.mark.parametrize("step", [0.6, 1.7])
def test_excluded_pixels_get_no_class_at_any_sampling(step: float) -> None:
    rows, cols = np.indices((120, 100))
    excluded = np.hypot(rows - 50, cols - 60) > 45  # all but a round part
    fine, _ = found_in(micrograph(excluded), step)
    assert ((fine.labels == 0) == excluded).all()


def test_several_blocks_are_labelled_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    monkeypatch.setattr(windows, "TILE_SIDE", 32)
    image = micrograph()
    sample = sample_of(image)
    out, rows = np.zeros(image.shape, np.uint8), []
    centres = find_centres(sample.values)
    fine = find_fine_classes(sample.seen, sample, centres, out, lambda done, _: rows.append(done))
    assert fine.labels is out
    assert rows == [60, 60, 120, 120]
    # Blocks whose margin holds all of a small image have its features.
    monkeypatch.setattr(windows, "BLOCK_SIDE", 2048)
    whole = find_fine_classes(sample.seen, sample, centres)
    assert (whole.labels == fine.labels).mean() > 0.999


@pytest.mark.parametrize("step", [0.6, 1.7])
def test_blocks_of_a_view_are_told_by_the_rows_of_the_image(
    step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = micrograph()
    sample = sample_of(image, step)
    monkeypatch.setattr(windows, "BLOCK_SIDE", round(64 / step))
    rows: list[int] = []
    centres = find_centres(sample.values)
    whole = find_fine_classes(sample.seen, sample, centres, None, lambda done, _: rows.append(done))
    assert rows == sorted(rows)
    assert len(rows) == 4
    assert rows[0] == pytest.approx(60, abs=2)
    assert rows[-1] == 120
    monkeypatch.setattr(windows, "BLOCK_SIDE", 2048)
    assert (find_fine_classes(sample.seen, sample, centres).labels == whole.labels).all()


def test_three_grey_levels_are_three_fine_classes_and_no_more() -> None:
    grey = np.repeat([0.1, 0.5, 0.9], 40)[np.newaxis].repeat(90, axis=0)
    image = Micrograph.from_array(grey)
    fine, _ = found_in(image)
    labels = np.empty_like(fine.labels)
    fine.join(3, labels)
    assert (labels[:, 5:35] == 1).all()
    assert (labels[:, 45:75] == 2).all()
    assert (labels[:, 85:] == 3).all()


@pytest.mark.usefixtures("left_in_place")
def test_the_surroundings_of_a_fine_class_are_the_features_some_pixels_away() -> None:
    """Pixel by pixel."""
    fine, _ = found_in(micrograph())
    own = fine.joining.centres[:, : len(CHANNELS)]
    padded = np.full((120 + 2 * DISTANCE, 100 + 2 * DISTANCE, len(CHANNELS)), np.nan)
    padded[DISTANCE:-DISTANCE, DISTANCE:-DISTANCE] = own[fine.labels - 1]
    inside = (slice(DISTANCE, -DISTANCE),) * 2
    shifted = [
        np.roll(padded, shift, axis)[inside] for axis in (0, 1) for shift in (-DISTANCE, DISTANCE)
    ]
    for number, centre in enumerate(fine.joining.centres, start=1):
        expected = np.nanmean([s[fine.labels == number] for s in shifted], axis=(0, 1))
        assert centre[len(CHANNELS) :] == pytest.approx(SURROUNDINGS_WEIGHT * expected, abs=1e-4)


def test_an_image_too_small_to_have_surroundings_is_segmented_all_the_same() -> None:
    grey = np.repeat([0.1, 0.9], 5)[np.newaxis].repeat(9, axis=0)
    image = Micrograph.from_array(grey)
    fine, _ = found_in(image)
    own, around = np.split(fine.joining.centres, 2, axis=1)
    assert around == pytest.approx(SURROUNDINGS_WEIGHT * own)


# --- of a view ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("left_in_place")
@pytest.mark.parametrize("step", [0.6, 1.0, 1.7])
def test_fine_classes_of_a_view_are_at_its_own_pixels(step: float) -> None:
    fine, sample = found_in(micrograph(), step)
    found = fine_classes_of_view(sample, sample.seen, find_centres(sample.values))
    assert found.labels.shape == sample.seen.shape
    whole = slice(0, sample.seen.shape[0]), slice(0, sample.seen.shape[1])
    grey = sample.seen.grey(whole)
    expected = measure_regions(grey, found.labels)
    assert found.statistics.areas == pytest.approx(expected.areas)
    assert found.statistics.means == pytest.approx(expected.means)
    greys = [row.mean_grey for row in found.classes]
    assert greys == sorted(greys)
    # The same clusters, but ordered by the grey level of the view.
    back = sample.seen.enlarged(found.labels, whole, (slice(0, 120), slice(0, 100)))
    assert len(set(zip(back.flat, fine.labels.flat, strict=True))) == MAX_CLASSES
    ours, theirs = (each.joining.centres[:, : len(CHANNELS)] for each in (found, fine))
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


def test_excluded_pixels_of_a_view_have_a_label_and_count_nowhere() -> None:
    excluded = np.zeros((120, 100), bool)
    excluded[:40] = True
    sample = sample_of(micrograph(excluded))
    found = fine_classes_of_view(sample, sample.seen, find_centres(sample.values))
    assert (found.labels > 0).all()
    counts = np.bincount(found.labels[~excluded], minlength=len(found.statistics.areas) + 1)[1:]
    assert (found.statistics.areas == counts).all()
    assert found.statistics.areas.sum() == (~excluded).sum()


def test_a_view_of_several_blocks_has_the_fine_classes_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample, centres = sampled()
    whole = fine_classes_of_view(sample, sample.seen, centres)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    assert (fine_classes_of_view(sample, sample.seen, centres).labels == whole.labels).all()


@pytest.mark.usefixtures("left_in_place")
def test_the_clusters_of_some_windows_are_those_of_the_whole() -> None:
    sample, centres = sampled()
    counts, distance = sample_clusters(sample.seen, sample, centres, [WHOLE])
    expected = find_clusters(sample.seen, sample, centres)
    assert (counts == expected.counts).all()
    assert (counts == expected.statistics.areas).all()
    distances = ((sample.features(sample.seen, WHOLE)[:, :, np.newaxis] - centres) ** 2).sum(-1)
    assert distance == pytest.approx(distances.min(axis=-1).mean(), rel=1e-3)
    tiles = [np.s_[10:40, 5:50], np.s_[60:110, 30:100]]
    some, _ = sample_clusters(sample.seen, sample, centres, tiles)
    inside = np.concatenate([expected.labels[tile].ravel() for tile in tiles])
    assert (some == np.bincount(inside, minlength=len(centres) + 1)[1:]).all()


def test_of_no_pixels_there_is_no_distance() -> None:
    sample, centres = sampled()
    counts, distance = sample_clusters(sample.seen, sample, centres, [])
    assert not counts.any()
    assert distance == 0


# --- stopped ------------------------------------------------------------------------------------

WHOLE = np.s_[0:120, 0:100]


@functools.cache
def sampled() -> tuple[Sample, NDArray[np.float32]]:
    """The sample of the micrograph, in a single block, and some centres."""
    sample = sample_of(micrograph())
    return sample, find_centres(sample.values[::20])


@pytest.fixture
def four_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 60 x 50 pixels, with the features of the whole."""
    sampled()
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)


def stop_after(n: int) -> OnRows:
    """Stop the work after this many blocks."""
    seen: list[int] = []

    def on_rows(done: int, labels: NDArray[np.uint8]) -> None:
        seen.append(done)
        if len(seen) == n:
            raise Stopped

    return on_rows


def done_after(n: int) -> NDArray[np.bool_]:
    """The pixels of the first `n` of the four blocks."""
    done = np.zeros((120, 100), bool)
    for window in blocks(done.shape)[:n]:
        done[window] = True
    return done


@pytest.mark.usefixtures("four_blocks")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_is_not_labelled_when_it_is_stopped_stays_0(n: int) -> None:
    sample, centres = sampled()
    done = done_after(n)
    assert done.mean() == n / 4
    clusters = find_clusters(sample.seen, sample, centres, on_rows=stop_after(n))
    assert clusters.stopped
    expected = find_clusters(sample.seen, sample, centres).labels
    assert (clusters.labels == np.where(done, expected, 0)).all()


@pytest.mark.usefixtures("four_blocks")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_was_stopped_is_measured_on_what_is_labelled(n: int) -> None:
    image, (sample, own) = micrograph(), sampled()
    clusters = find_clusters(sample.seen, sample, own, on_rows=stop_after(n))
    expected = measure_regions(image.pixels, clusters.labels, len(own))
    assert (clusters.statistics.areas == expected.areas).all()
    assert clusters.statistics.means == pytest.approx(expected.means)
    distances = ((sample.features(sample.seen, WHOLE)[:, :, np.newaxis] - own) ** 2).sum(axis=-1)
    measured = np.vstack([distances[top : top + 60].min(axis=-1)[::8] for top in (0, 60)])
    seen = np.vstack([done_after(n)[top : top + 60][::8] for top in (0, 60)])
    assert clusters.distance == pytest.approx(measured[seen].mean(), rel=1e-3)
    # A pair within a block counts for both of its pixels.
    within = n * 2 * (60 * (50 - DISTANCE) + 50 * (60 - DISTANCE))
    assert clusters.pairs.sum() == within
    assert clusters.pairs[0].sum() == clusters.pairs[:, 0].sum() == 0


@pytest.mark.usefixtures("four_blocks")
def test_fine_classes_of_what_was_stopped_are_joined_by_what_is_labelled() -> None:
    image, (sample, centres) = micrograph(), sampled()
    fine = find_fine_classes(sample.seen, sample, centres, on_rows=stop_after(2))
    assert fine.stopped
    assert ((fine.labels > 0) == done_after(2)).all()
    expected = measure_regions(image.pixels, fine.labels)
    assert (fine.joining.statistics.areas == expected.areas).all()
    greys = [row.mean_grey for row in fine.classes]
    assert greys == sorted(greys)


@pytest.mark.usefixtures("four_blocks")
def test_what_is_stopped_is_there_where_it_is_wanted() -> None:
    image, (sample, centres) = micrograph(), sampled()
    out = np.zeros(image.shape, np.uint8)
    fine = find_fine_classes(sample.seen, sample, centres, out, stop_after(1))
    assert fine.labels is out
    expected = find_fine_classes(sample.seen, sample, centres, on_rows=stop_after(1))
    assert (out == expected.labels).all()


@pytest.mark.usefixtures("four_blocks")
def test_the_map_is_shown_as_far_as_it_is() -> None:
    sample, centres = sampled()
    shown: list[NDArray[np.uint8]] = []
    found = find_clusters(
        sample.seen, sample, centres, on_rows=lambda _, now: shown.append(now.copy())
    )
    assert not found.stopped
    assert len(shown) == 4
    for n, labels in enumerate(shown, start=1):
        assert (labels == np.where(done_after(n), found.labels, 0)).all()


@pytest.mark.usefixtures("four_blocks")
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_what_was_done_when_it_was_killed_is_recovered(n: int) -> None:
    image, (sample, centres) = micrograph(), sampled()
    whole = find_clusters(sample.seen, sample, centres)
    left = np.where(done_after(n), whole.labels, 5).astype(np.uint8)
    found = recover_clusters(sample.seen, sample, centres, left, n)
    assert found.labels is left
    assert (left == np.where(done_after(n), whole.labels, 0)).all()
    expected = measure_regions(image.pixels, left, len(centres))
    assert found.statistics.areas == pytest.approx(expected.areas)
    assert found.statistics.means == pytest.approx(expected.means)
    assert found.stopped == (n < 4)
    assert found.distance == pytest.approx(whole.distance, rel=0.5)


@pytest.mark.parametrize("error", [InputError, ValueError, KeyboardInterrupt])
def test_another_error_of_who_watches_is_not_kept(error: type[BaseException]) -> None:
    sample, centres = sampled()

    def fail(done: int, labels: NDArray[np.uint8]) -> None:
        raise error("odd")

    with pytest.raises(error, match="odd"):
        find_fine_classes(sample.seen, sample, centres, on_rows=fail)


@pytest.mark.parametrize("fill", [3, 77])
def test_what_is_not_reached_is_cleared(fill: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 96 * 96)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 50)
    image = np.where(np.arange(96) % 24 < 12, 0.3, 0.7) * np.ones((96, 1))
    out = np.full((96, 96), fill, np.uint8)

    def stop(done: int, labels: NDArray[np.uint8]) -> None:
        raise Stopped("stopped")

    segment(image, 2, out=out, on_rows=stop)
    assert set(np.unique(out[:48, :48])) == {1, 2}
    assert not out[48:].any()


@pytest.mark.usefixtures("small_views")
def test_who_watches_can_not_alter_the_map() -> None:
    image = np.where(np.arange(96) % 24 < 12, 0.3, 0.7) * np.ones((96, 1))

    def scribble(done: int, labels: NDArray[np.uint8]) -> None:
        labels[:] = 1

    with pytest.raises(ValueError, match="read-only"):
        segment(image, 2, on_rows=scribble)


def test_stopped_at_the_end_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 96 * 96)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 50)
    image = np.where(np.arange(96) % 24 < 12, 0.3, 0.7) * np.ones((96, 1))

    def stop_at_last(done: int, labels: NDArray[np.uint8]) -> None:
        if labels.all():
            raise Stopped("stopped")

    found = segment(image, 2, on_rows=stop_at_last)
    assert not found.stopped
    assert not found.notes
