"""Fast mode: fine classes of every pixel."""

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from nital.errors import InputError, Stopped
from nital.fast import windows
from nital.fast.clustering import find_centres, nearest
from nital.fast.features import CHANNELS
from nital.fast.labelling import SURROUNDINGS_WEIGHT, OnRows, find_clusters, find_fine_classes
from nital.fast.sampling import Sample, take_sample
from nital.fast.settings import MAX_CLASSES
from nital.fast.space import DISTANCE
from nital.fast.windows import blocks
from nital.image.micrograph import Micrograph
from nital.methods import segment
from nital.result.criteria import measure_regions


def micrograph(excluded: NDArray[np.bool_] | None = None) -> Micrograph:
    grey = ndimage.gaussian_filter(np.random.default_rng(0).random((120, 100)), 2)
    return Micrograph.from_array((grey - grey.min()) / np.ptp(grey), excluded=excluded)


def test_fine_classes_are_clusters_joined() -> None:
    image = micrograph()
    sample = take_sample(image, "fine")
    (fine,) = find_fine_classes(image, sample, [find_centres(sample.values, 4)])
    cluster = nearest(
        sample.features(image, (slice(0, 120), slice(0, 100))), find_centres(sample.values, 4)
    )
    for each in np.unique(cluster):
        assert len(np.unique(fine.labels[cluster == each])) == 1
    assert fine.labels.max() == MAX_CLASSES == len(fine.tree.centres)


def test_their_statistics_and_centres_are_those_of_their_pixels() -> None:
    image = micrograph()
    sample = take_sample(image, "fine")
    (fine,) = find_fine_classes(image, sample, [find_centres(sample.values, 0)])
    expected = measure_regions(image.pixels, fine.labels)
    assert fine.statistics.areas == pytest.approx(expected.areas)
    assert fine.statistics.means == pytest.approx(expected.means)
    assert fine.statistics.errors == pytest.approx(expected.errors, rel=1e-6)
    assert sample.whole is not None
    means = [sample.whole[fine.labels == i + 1].mean(axis=0) for i in range(MAX_CLASSES)]
    assert (
        np.abs(np.array(means) - fine.tree.centres[:, : len(CHANNELS)]).max() < 0.05
    )  # of centres, not of pixels


def test_they_rise_from_dark_to_bright() -> None:
    image = micrograph()
    sample = take_sample(image, "fine")
    (fine,) = find_fine_classes(image, sample, [find_centres(sample.values, 0)])
    greys = [row.mean_grey for row in fine.classes]
    assert greys == sorted(greys)


def test_several_seeds_come_out_as_each_alone() -> None:
    image = micrograph()
    sample = take_sample(image, "fine")
    centres = [find_centres(sample.values, seed) for seed in (3, 8)]
    together = find_fine_classes(image, sample, centres)
    alone = [find_fine_classes(image, sample, [own])[0] for own in centres]
    for one, other in zip(together, alone, strict=True):
        assert (one.labels == other.labels).all()
        assert (one.tree.centres == other.tree.centres).all()
    assert (together[0].labels != together[1].labels).any()


def test_excluded_pixels_get_no_class() -> None:
    excluded = np.zeros((120, 100), bool)
    excluded[:40] = True
    image = micrograph(excluded)
    sample = take_sample(image, "fine")
    (fine,) = find_fine_classes(image, sample, [find_centres(sample.values, 0)])
    assert ((fine.labels == 0) == excluded).all()


def test_several_blocks_are_labelled_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    monkeypatch.setattr(windows, "TILE_SIDE", 32)
    image = micrograph()
    sample = take_sample(image, "fine")
    out, rows = np.zeros(image.shape, np.uint8), []
    centres = [find_centres(sample.values, 0)]
    (fine,) = find_fine_classes(image, sample, centres, out, lambda done, _: rows.append(done))
    assert fine.labels is out
    assert rows == [60, 60, 120, 120]
    # Blocks whose margin holds all of a small image have its features.
    monkeypatch.setattr(windows, "BLOCK_SIDE", 2048)
    (whole,) = find_fine_classes(image, sample, [find_centres(sample.values, 0)])
    assert (whole.labels == fine.labels).mean() > 0.999


def test_three_grey_levels_are_three_fine_classes_and_no_more() -> None:
    grey = np.repeat([0.1, 0.5, 0.9], 40)[np.newaxis].repeat(90, axis=0)
    image = Micrograph.from_array(grey)
    sample = take_sample(image, "fine")
    (fine,) = find_fine_classes(image, sample, [find_centres(sample.values, 0)])
    labels = np.empty_like(fine.labels)
    fine.join(3, labels)
    assert (labels[:, 5:35] == 1).all()
    assert (labels[:, 45:75] == 2).all()
    assert (labels[:, 85:] == 3).all()


def test_the_surroundings_of_a_fine_class_are_the_features_some_pixels_away() -> None:
    """Pixel by pixel; a fine class is a few clusters, so it has their weighted mean."""
    image = micrograph()
    sample = take_sample(image, "fine")
    own = find_centres(sample.values, 0)
    (fine,) = find_fine_classes(image, sample, [own])
    cluster = nearest(sample.features(image, np.s_[0:120, 0:100]), own)
    padded = np.full((120 + 2 * DISTANCE, 100 + 2 * DISTANCE, len(CHANNELS)), np.nan)
    padded[DISTANCE:-DISTANCE, DISTANCE:-DISTANCE] = own[cluster]
    inside = (slice(DISTANCE, -DISTANCE),) * 2
    shifted = [
        np.roll(padded, shift, axis)[inside] for axis in (0, 1) for shift in (-DISTANCE, DISTANCE)
    ]
    clusters = range(len(own))
    around = np.array(
        [np.nanmean([s[cluster == c] for s in shifted], axis=(0, 1)) for c in clusters]
    )
    areas = np.bincount(cluster.ravel(), minlength=len(own))
    for number, centre in enumerate(fine.tree.centres, start=1):
        members = np.unique(cluster[fine.labels == number])
        expected = np.average(around[members], axis=0, weights=areas[members])
        assert centre[len(CHANNELS) :] == pytest.approx(SURROUNDINGS_WEIGHT * expected, abs=1e-4)


def test_an_image_too_small_to_have_surroundings_is_segmented_all_the_same() -> None:
    grey = np.repeat([0.1, 0.9], 5)[np.newaxis].repeat(9, axis=0)
    image = Micrograph.from_array(grey)
    sample = take_sample(image, "fine")
    (fine,) = find_fine_classes(image, sample, [find_centres(sample.values, 0)])
    own, around = np.split(fine.tree.centres, 2, axis=1)
    assert around == pytest.approx(SURROUNDINGS_WEIGHT * own)


# --- stopped ------------------------------------------------------------------------------------

WHOLE = np.s_[0:120, 0:100]


@functools.cache
def sampled() -> tuple[Sample, list[NDArray[np.float32]]]:
    """The sample of the micrograph, in a single block, and two sets of centres."""
    sample = take_sample(micrograph(), "fine")
    return sample, [find_centres(sample.values[::20], seed) for seed in (0, 1)]


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
    image, (sample, centres) = micrograph(), sampled()
    done = done_after(n)
    assert done.mean() == n / 4
    found = find_clusters(image, sample, centres, on_rows=stop_after(n))
    for clusters, own in zip(found, centres, strict=True):
        assert clusters.stopped
        expected = nearest(sample.features(image, WHOLE), own) + 1
        assert (clusters.labels == np.where(done, expected, 0)).all()


@pytest.mark.usefixtures("four_blocks")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_was_stopped_is_measured_on_what_is_labelled(n: int) -> None:
    image, (sample, (own, _)) = micrograph(), sampled()
    (clusters,) = find_clusters(image, sample, [own], on_rows=stop_after(n))
    expected = measure_regions(image.pixels, clusters.labels, len(own))
    assert (clusters.statistics.areas == expected.areas).all()
    assert clusters.statistics.means == pytest.approx(expected.means)
    distances = ((sample.features(image, WHOLE)[:, :, np.newaxis] - own) ** 2).sum(axis=-1)
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
    for fine in find_fine_classes(image, sample, centres, on_rows=stop_after(2)):
        assert fine.stopped
        assert ((fine.labels > 0) == done_after(2)).all()
        expected = measure_regions(image.pixels, fine.labels)
        assert (fine.tree.statistics.areas == expected.areas).all()
        greys = [row.mean_grey for row in fine.classes]
        assert greys == sorted(greys)


@pytest.mark.usefixtures("four_blocks")
def test_what_is_stopped_is_there_where_it_is_wanted() -> None:
    image, (sample, centres) = micrograph(), sampled()
    out = np.zeros(image.shape, np.uint8)
    (fine,) = find_fine_classes(image, sample, centres[:1], out, stop_after(1))
    assert fine.labels is out
    (expected,) = find_fine_classes(image, sample, centres[:1], on_rows=stop_after(1))
    assert (out == expected.labels).all()


@pytest.mark.usefixtures("four_blocks")
def test_the_first_map_is_shown_as_far_as_it_is() -> None:
    image, (sample, centres) = micrograph(), sampled()
    shown: list[NDArray[np.uint8]] = []
    found = find_clusters(image, sample, centres, on_rows=lambda _, now: shown.append(now.copy()))
    assert not any(clusters.stopped for clusters in found)
    assert (found[0].labels != found[1].labels).any()
    assert len(shown) == 4
    for n, labels in enumerate(shown, start=1):
        assert (labels == np.where(done_after(n), found[0].labels, 0)).all()


@pytest.mark.parametrize("error", [InputError, ValueError, KeyboardInterrupt])
def test_another_error_of_who_watches_is_not_kept(error: type[BaseException]) -> None:
    sample, centres = sampled()

    def fail(done: int, labels: NDArray[np.uint8]) -> None:
        raise error("odd")

    with pytest.raises(error, match="odd"):
        find_fine_classes(micrograph(), sample, centres, on_rows=fail)


@pytest.mark.parametrize("fill", [3, 77])
def test_what_is_not_reached_is_cleared(fill: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 50)
    image = np.where(np.arange(96) % 24 < 12, 0.3, 0.7) * np.ones((96, 1))
    out = np.full((96, 96), fill, np.uint8)

    def stop(done: int, labels: NDArray[np.uint8]) -> None:
        raise Stopped("stopped")

    segment(image, 2, out=out, on_rows=stop)
    assert set(np.unique(out[:48, :48])) == {1, 2}
    assert not out[48:].any()


def test_who_watches_can_not_alter_the_map() -> None:
    image = np.where(np.arange(96) % 24 < 12, 0.3, 0.7) * np.ones((96, 1))

    def scribble(done: int, labels: NDArray[np.uint8]) -> None:
        labels[:] = 1

    with pytest.raises(ValueError, match="read-only"):
        segment(image, 2, on_rows=scribble)


def test_stopped_at_the_end_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 50)
    image = np.where(np.arange(96) % 24 < 12, 0.3, 0.7) * np.ones((96, 1))

    def stop_at_last(done: int, labels: NDArray[np.uint8]) -> None:
        if labels.all():
            raise Stopped("stopped")

    found = segment(image, 2, on_rows=stop_at_last)
    assert not found.stopped
    assert not found.notes
