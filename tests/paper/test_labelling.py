"""Labelling: the strongest response of every pixel, in tiles or as a whole."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import nn

from helpers.divided import image_of
from nital.errors import Stopped
from nital.image import windows
from nital.paper import labelling
from nital.paper.labelling import label, predict
from nital.paper.network import Network, Statistics
from nital.paper.places import Places
from nital.result.criteria import measure_regions


def some_pixels(rows: int = 7, cols: int = 9) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((rows, cols, 3), dtype=np.float32)


# --- predict ------------------------------------------------------------------------------------


def test_labels_are_the_strongest_responses() -> None:
    network, pixels = Network(n_filters=5, n_responses=4, seed=1), some_pixels()
    labels = predict(network, pixels)
    with torch.no_grad():
        responses = network(torch.from_numpy(pixels.transpose(2, 0, 1)[np.newaxis].copy()))[0]
    assert labels.shape == (7, 9)
    assert labels.dtype == np.int64
    for row in range(7):
        for col in range(9):
            values = responses[:, row, col].tolist()
            assert values[labels[row, col]] >= max(values) - 1e-5


def test_prediction_changes_nothing_and_repeats() -> None:
    network, pixels = Network(n_filters=5, n_responses=4), some_pixels()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    first = predict(network, pixels)
    assert (first == predict(network, pixels)).all()
    assert (pixels == some_pixels()).all()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_of_equal_responses_the_lowest_wins() -> None:
    network = Network(n_filters=5, n_responses=6)
    last = network.layers[-1]
    assert isinstance(last, nn.BatchNorm2d)
    with torch.no_grad():  # the same responses at every pixel
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0, 0, 1, 1, 1, 0]))
    assert (predict(network, some_pixels()) == 2).all()


def test_pixels_with_equal_surroundings_get_the_same_label() -> None:
    network = Network(n_filters=6, n_responses=5, seed=2)
    labels = predict(network, np.tile(some_pixels(4, 5), (4, 4, 1)))[2:-2, 2:-2]
    assert (labels[4:] == labels[:-4]).all()
    assert (labels[:, 5:] == labels[:, :-5]).all()
    assert len(np.unique(labels)) > 1


def statistics_of(network: Network, pixels: NDArray[np.float32]) -> Statistics:
    rows, cols = pixels.shape[:2]
    windows = [(slice(0, rows), slice(0, cols))]
    places = Places(image_of(pixels), windows, network.n_layers, torch.device("cpu"))
    return network.statistics(places.around(places.included))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_with_the_statistics_of_all_pixels_it_labels_as_without(n_layers: int) -> None:
    network, pixels = Network(n_filters=6, n_layers=n_layers, n_responses=5), some_pixels(14, 19)
    known = predict(network, pixels, statistics_of(network, pixels))
    assert (known == predict(network, pixels)).mean() > 0.99  # sums have another order
    assert len(np.unique(known)) > 1


# --- labelling ----------------------------------------------------------------------------------


def outside(shape: tuple[int, int]) -> NDArray[np.bool_]:
    excluded = np.zeros(shape, bool)
    excluded[3:6, 2:9] = True
    return excluded


@pytest.mark.parametrize("side", [3, 5, 8, 40])
@pytest.mark.parametrize("block", [6, 40])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_tiles_are_those_of_the_whole(
    side: int, block: int, n_layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "TILE_SIDE", side)
    monkeypatch.setattr(windows, "BLOCK_SIDE", block)
    network, pixels = Network(n_filters=6, n_layers=n_layers, n_responses=5), some_pixels(14, 19)
    statistics = statistics_of(network, some_pixels(6, 6))  # whatever they are
    whole, excluded = predict(network, pixels, statistics), outside((14, 19))
    out = np.full((14, 19), 77, np.uint8)
    measured, stopped = label(network, image_of(pixels, excluded), statistics, out)
    assert (out == np.where(excluded, 0, whole + 1)).all()
    assert not stopped
    assert len(np.unique(whole)) > 1
    expected = measure_regions(pixels, out, 5)
    assert measured.areas.tolist() == expected.areas.tolist()
    assert_allclose(measured.means, expected.means, atol=1e-9)
    assert_allclose(measured.errors, expected.errors, atol=1e-6)


def test_without_statistics_it_has_those_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "TILE_SIDE", 4)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 6)
    network, pixels, excluded = Network(n_filters=6), some_pixels(14, 19), outside((14, 19))
    out = np.zeros((14, 19), np.uint8)
    label(network, image_of(pixels, excluded), None, out)
    assert (out == np.where(excluded, 0, predict(network, pixels) + 1)).all()


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_it_tells_how_far_it_is_and_can_be_stopped(
    stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "TILE_SIDE", 4)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 8)
    network, pixels, told = Network(n_filters=6), some_pixels(16, 8), list[int]()
    statistics = statistics_of(network, pixels)
    out, complete = np.zeros((16, 8), np.uint8), np.zeros((16, 8), np.uint8)
    label(network, image_of(pixels), statistics, complete)

    def on_rows(done: int, labels: NDArray[np.unsignedinteger]) -> None:
        told.append(done)
        assert (labels[:done] == complete[:done]).all()
        assert not labels[done:].any()
        assert not labels.flags.writeable
        if len(told) == stop_at:
            raise Stopped

    measured, stopped = label(network, image_of(pixels), statistics, out, on_rows)
    assert told == [4, 8, 12, 16][:stop_at]
    assert stopped == (stop_at < 4)
    assert measured.areas.sum() == 8 * 4 * stop_at


def test_stopped_before_anything_has_a_label_there_is_no_result() -> None:
    def on_rows(done: int, labels: object) -> None:
        raise Stopped

    network, pixels = Network(n_filters=6), some_pixels()
    excluded = np.ones(pixels.shape[:2], bool)
    with pytest.raises(Stopped):
        label(network, image_of(pixels, excluded), None, np.zeros((7, 9), np.uint8), on_rows)
