"""Batches: how superpixels are drawn, and what labels are counted in."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from helpers.divided import divided, image_of
from nital.paper import batches
from nital.paper.batches import DrawnSuperpixels, WholeImage
from nital.paper.network import Network, Surroundings, to_tensor
from nital.paper.places import Places
from nital.paper.training import Trainer

CPU = torch.device("cpu")
SHAPE = ROWS, COLS = 9, 12

SQUARES = np.arange(ROWS)[:, np.newaxis] // 3 * 4 + np.arange(COLS) // 3
"""Twelve superpixels of 3 x 3 pixels."""


def some_pixels() -> NDArray[np.float64]:
    return np.random.default_rng(0).random((ROWS, COLS, 3))


def network(seed: int = 0) -> Network:
    """In double precision, in which the order of sums does not matter."""
    return Network(n_filters=6, n_responses=5, seed=seed).double()


def responses_of(net: Network, pixels: NDArray[np.float64]) -> Tensor:
    """(rows * cols, q), of the whole image."""
    found: Tensor = net(to_tensor(pixels.astype(np.float32), CPU).double())
    return found[0].permute(1, 2, 0).flatten(0, 1)


class Doubles(Places):
    """Places whose pixels are in double precision."""

    def around(self, places: NDArray[np.int64]) -> Surroundings:
        found = super().around(places)
        return Surroundings(found.patches.double(), found.near)


def drawn(
    superpixels: NDArray[np.int64] = SQUARES,
    excluded: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> DrawnSuperpixels:
    image, parts = image_of(some_pixels(), excluded), divided(superpixels)
    return DrawnSuperpixels(Doubles(image, parts.windows, 2, CPU), parts, CPU, seed)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three superpixels of nine pixels at a time."""
    monkeypatch.setattr(batches, "DRAWN_PIXELS", 27)
    monkeypatch.setattr(batches, "LEAST_DRAWN", 1)


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
    around = Doubles.around

    def watched(self: Doubles, places: NDArray[np.int64]) -> Surroundings:
        asked.append(numbers.ravel()[places])
        return around(self, places)

    numbers = np.full((ROWS + 4, COLS + 4), -1)
    numbers[2:-2, 2:-2] = np.arange(ROWS * COLS).reshape(SHAPE)
    monkeypatch.setattr(Doubles, "around", watched)
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


# --- counting again, and statistics -------------------------------------------------------------


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("sampled", [27, 60, 108])
def test_labels_are_counted_in_further_batches(
    sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of each superpixel, of which some are left over."""
    monkeypatch.setattr(batches, "SAMPLED_PIXELS", sampled)
    asked: list[int] = []
    around = Doubles.around

    def watched(self: Doubles, places: NDArray[np.int64]) -> Surroundings:
        asked.append(len(places))
        return around(self, places)

    monkeypatch.setattr(Doubles, "around", watched)
    net, source = network(), drawn()
    first = source.count(net, 0, 5)
    n_superpixels = round(sampled / 9)
    assert sum(asked) == 9 * n_superpixels
    assert max(asked) <= 27
    seen_by(source, 3)
    assert source.count(net, 0, 5) == first
    assert len(asked) - 3 == -(-n_superpixels // 3)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("seed", range(4))
def test_it_tells_whether_there_are_more_labels(seed: int) -> None:
    net, source = network(seed), drawn()
    n_labels = source.count(net, 0, 5)
    assert 2 <= n_labels <= 5
    for most in (5, 1, n_labels, 2, n_labels - 1, 5):
        found = source.count(net, 0, most)
        assert (found > most) == (n_labels > most)
        assert found <= n_labels
        assert found == n_labels or found > most


def test_of_the_whole_image_all_is_counted_at_once() -> None:
    source = WholeImage(image_of(some_pixels().astype(np.float32)), divided(SQUARES), CPU)
    assert source.count(Network(n_filters=6, n_responses=5), 4, 3) == 4


def test_statistics_are_those_of_the_sampled_superpixels() -> None:
    """Of all of them, if these are few."""
    net, source = network(), drawn()
    places = Doubles(image_of(some_pixels()), divided(SQUARES).windows, 2, CPU)
    expected = net.statistics(places.around(places.included))
    for one, other in zip(source.statistics(net), expected, strict=True):
        assert all(torch.allclose(a, b) for a, b in zip(one, other, strict=True))
    assert WholeImage(image_of(some_pixels()), divided(SQUARES), CPU).statistics(net) is None


# --- training -----------------------------------------------------------------------------------


def test_of_as_few_superpixels_as_are_drawn_the_training_is_that_of_the_whole_image() -> None:
    """The same pixels in another order: in double precision the same weights."""
    found = []
    for source in (drawn(), WholeImage(image_of(some_pixels()), divided(SQUARES), CPU)):
        net = network()
        trainer = Trainer(net, source, max_iterations=5, learning_rate=0.1, momentum=0.9)
        counts = [step.n_classes for step in trainer.train_to(0).steps]
        found.append((counts, list(net.parameters())))
    (counts, weights), (others, expected) = found
    assert counts == others
    assert all(torch.allclose(a, b, rtol=1e-4) for a, b in zip(weights, expected, strict=True))
