"""Batches: what the network sees around a pixel, and how superpixels are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nital.paper import batches
from nital.paper.batches import DrawnSuperpixels, Places, WholeImage
from nital.paper.network import Network, to_tensor
from nital.paper.training import train

CPU = torch.device("cpu")
SHAPE = ROWS, COLS = 9, 12

SQUARES = np.arange(ROWS)[:, np.newaxis] // 3 * 4 + np.arange(COLS) // 3
"""Twelve superpixels of 3 x 3 pixels."""


def some_pixels(rows: int = ROWS, cols: int = COLS) -> NDArray[np.float64]:
    """In double precision, in which the order of sums does not matter."""
    return np.random.default_rng(0).random((rows, cols, 3))


def network(n_layers: int = 2, seed: int = 0) -> Network:
    return Network(n_filters=6, n_layers=n_layers, n_responses=5, seed=seed).double()


def responses_of(net: Network, pixels: NDArray[np.float64]) -> Tensor:
    """(rows * cols, q), of the whole image."""
    found: Tensor = net(to_tensor(pixels, CPU))  # type: ignore[arg-type]
    return found[0].permute(1, 2, 0).flatten(0, 1)


def places(pixels: NDArray[np.float64]) -> Places:
    return Places(pixels, CPU)  # type: ignore[arg-type]


def drawn(
    superpixels: NDArray[np.int64] = SQUARES,
    excluded: NDArray[np.bool_] | None = None,
    pixels: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> DrawnSuperpixels:
    return DrawnSuperpixels(
        some_pixels() if pixels is None else pixels,  # type: ignore[arg-type]
        superpixels,
        np.zeros(SHAPE, bool) if excluded is None else excluded,
        CPU,
        seed,
    )


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three superpixels of nine pixels at a time."""
    monkeypatch.setattr(batches, "DRAWN_PIXELS", 27)
    monkeypatch.setattr(batches, "LEAST_DRAWN", 1)


# --- what is around a pixel ---------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [SHAPE, (2 * 4 + 1, 2 * 4 + 1), (1, 20)])
def test_at_all_pixels_it_responds_as_to_the_whole_image(
    n_layers: int, shape: tuple[int, int]
) -> None:
    net, pixels = network(n_layers), some_pixels(*shape)
    order = np.random.default_rng(1).permutation(shape[0] * shape[1])
    found = net.at(places(pixels).around(order, n_layers))
    assert torch.allclose(found, responses_of(net, pixels)[torch.from_numpy(order)])


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_its_gradient_is_that_of_the_whole_image(n_layers: int) -> None:
    net, pixels = network(n_layers), some_pixels()
    target = torch.arange(ROWS * COLS) % 5
    weights = list(net.parameters())
    around = places(pixels).around(np.arange(ROWS * COLS), n_layers)
    one, other = (
        torch.autograd.grad(functional.cross_entropy(each, target), weights)
        for each in (net.at(around), responses_of(net, pixels))
    )
    assert all(torch.allclose(a, b) for a, b in zip(one, other, strict=True))


@given(st.data())
def test_each_place_is_computed_once_and_is_within_reach(data: st.DataObject) -> None:
    n_layers = data.draw(st.integers(1, 4))
    everywhere = st.integers(0, ROWS * COLS - 1)
    pixels = np.array(data.draw(st.lists(everywhere, min_size=1, unique=True)))
    around = places(some_pixels()).around(pixels, n_layers)
    row, col = np.divmod(pixels, COLS)
    seen = np.zeros(SHAPE, bool)
    for r, c in zip(row, col, strict=True):
        reach = n_layers - 1
        seen[max(0, r - reach) : r + reach + 1, max(0, c - reach) : c + reach + 1] = True
    assert len(around.patches) == seen.sum()
    assert len(around.near) == n_layers - 1
    if around.near:
        assert len(around.near[-1]) == len(pixels)
    n_before = len(around.patches)
    for near in around.near:
        assert near.min() >= 0
        assert near.max() <= n_before
        n_before = len(near)


def test_places_may_be_asked_for_again() -> None:
    known = places(some_pixels())
    first = known.around(np.array([5, 17, 40]), 3)
    known.around(np.arange(30), 2)
    again = known.around(np.array([5, 17, 40]), 3)
    assert torch.equal(first.patches, again.patches)
    assert all(torch.equal(a, b) for a, b in zip(first.near, again.near, strict=True))


# --- drawing ------------------------------------------------------------------------------------


def seen_by(source: DrawnSuperpixels, n: int) -> list[tuple[NDArray[np.int64], int]]:
    """The superpixel of each pixel of the next batches, and how many there are."""
    net = network()
    return [(b.superpixel.numpy(), b.n_superpixels) for b in (source.next(net) for _ in range(n))]


@pytest.mark.usefixtures("few")
def test_whole_superpixels_are_drawn() -> None:
    for superpixel, n in seen_by(drawn(), 6):
        assert n == 3
        assert np.bincount(superpixel).tolist() == [9, 9, 9]


@pytest.mark.usefixtures("few")
def test_each_is_drawn_once_before_any_is_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[NDArray[np.int64]] = []
    around = Places.around

    def watched(self: Places, pixels: NDArray[np.int64], n_layers: int) -> object:
        asked.append(pixels)
        return around(self, pixels, n_layers)

    monkeypatch.setattr(Places, "around", watched)
    seen_by(drawn(), 8)
    for turn in (asked[:4], asked[4:]):
        assert sorted(np.concatenate(turn).tolist()) == list(range(ROWS * COLS))
        for pixels in turn:
            assert len(set(SQUARES.ravel()[pixels])) == 3
    assert [a.tolist() for a in asked[:4]] != [a.tolist() for a in asked[4:]]


@pytest.mark.usefixtures("few")
def test_the_responses_are_those_at_the_pixels_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """All drawn at once, in whatever order, they are those of the whole image."""
    monkeypatch.setattr(batches, "DRAWN_PIXELS", ROWS * COLS)
    net = network()
    batch, whole = drawn().next(net), responses_of(net, some_pixels())
    assert batch.n_superpixels == 12
    assert sorted(batch.responses.flatten().tolist()) == pytest.approx(
        sorted(whole.flatten().tolist())
    )


def test_excluded_pixels_are_not_drawn() -> None:
    excluded = np.zeros(SHAPE, bool)
    excluded[:3, :3] = True  # a whole superpixel
    excluded[4, 4:9] = True
    (superpixel, n), *_ = seen_by(drawn(excluded=excluded), 1)
    assert n == 11
    assert len(superpixel) == (~excluded).sum()
    assert np.bincount(superpixel, minlength=11).sum() == (~excluded).sum()
    assert sorted(np.bincount(superpixel)) == sorted(
        size for size in np.bincount(SQUARES[~excluded]) if size
    )


@pytest.mark.usefixtures("few")
def test_the_seed_decides_which_are_drawn() -> None:
    def course(seed: int) -> list[list[float]]:
        net, source = network(), drawn(seed=seed)
        return [source.next(net).responses.flatten().tolist() for _ in range(2)]

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_at_least_as_many_are_drawn_as_needed_or_there_are() -> None:
    ((_, n),) = seen_by(drawn(), 1)
    assert n == 12  # of 80
    rows = np.arange(ROWS * COLS).reshape(SHAPE)
    ((_, n),) = seen_by(drawn(rows), 1)
    assert n == 80 + 28  # 5000 pixels are more than there are


def test_some_are_the_same_whenever_asked() -> None:
    source = drawn()
    first = source.some(30, 2)
    seen_by(source, 2)
    again = source.some(30, 2)
    assert torch.equal(first.patches, again.patches)
    assert len(first.near[-1]) == 27  # three of nine pixels


# --- training -----------------------------------------------------------------------------------


def test_of_as_few_superpixels_as_are_drawn_the_training_is_that_of_the_whole_image() -> None:
    """The same pixels in another order: in double precision the same weights."""
    found = []
    for source in (
        drawn(),
        WholeImage(some_pixels(), SQUARES, np.zeros(SHAPE, bool), CPU),  # type: ignore[arg-type]
    ):
        net = network()
        ((_, training),) = train(
            net, source, [0], max_iterations=5, learning_rate=0.1, momentum=0.9
        )
        found.append(([step.n_classes for step in training.steps], list(net.parameters())))
    (counts, weights), (others, expected) = found
    assert counts == others
    assert all(torch.allclose(a, b) for a, b in zip(weights, expected, strict=True))
