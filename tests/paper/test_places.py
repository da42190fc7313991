"""Places: what the network sees around a pixel, and the grid at which it is drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from helpers.divided import image_of
from nital.image.windows import Window
from nital.paper import places as module
from nital.paper.network import Network, to_tensor
from nital.paper.places import Grid, Places

CPU = torch.device("cpu")
SHAPE = ROWS, COLS = 9, 12
WHOLE = slice(0, ROWS), slice(0, COLS)


def some_pixels(rows: int = ROWS, cols: int = COLS) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((rows, cols, 3), dtype=np.float32)


def network(n_layers: int = 2, seed: int = 0) -> Network:
    return Network(n_filters=6, n_layers=n_layers, n_responses=5, seed=seed)


def responses_of(net: Network, pixels: NDArray[np.float32]) -> Tensor:
    """(rows, cols, q), of the whole image."""
    found: Tensor = net(to_tensor(pixels, CPU))
    return found[0].permute(1, 2, 0)


def places(
    n_layers: int = 2,
    windows: tuple[Window, ...] = (WHOLE,),
    pixels: NDArray[np.float32] | None = None,
    excluded: NDArray[np.bool_] | None = None,
) -> Places:
    image = image_of(some_pixels() if pixels is None else pixels, excluded)
    return Places(image, windows, n_layers, CPU)


# --- what is around a pixel ---------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [SHAPE, (2 * 4 + 1, 2 * 4 + 1), (1, 20)])
def test_at_all_pixels_it_responds_as_to_the_whole_image(
    n_layers: int, shape: tuple[int, int]
) -> None:
    net, pixels = network(n_layers), some_pixels(*shape)
    order = np.random.default_rng(1).permutation(shape[0] * shape[1])
    known = places(n_layers, ((slice(0, shape[0]), slice(0, shape[1])),), pixels)
    found = net.at(known.around(known.included[order]))
    expected = responses_of(net, pixels).flatten(0, 1)[torch.from_numpy(order)]
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_its_gradient_is_that_of_the_whole_image(n_layers: int) -> None:
    net, known = network(n_layers), places(n_layers)
    target = torch.arange(ROWS * COLS) % 5
    weights = list(net.parameters())
    responses = (net.at(known.around(known.included)), responses_of(net, some_pixels()))
    one, other = (
        torch.autograd.grad(functional.cross_entropy(each.reshape(-1, 5), target), weights)
        for each in responses
    )
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


@given(st.data())
def test_windows_see_what_the_whole_image_has_around_them(data: st.DataObject) -> None:
    """Beyond its border nothing, beyond their own the image."""
    n_layers = data.draw(st.integers(1, 3))
    windows = []
    for _ in range(data.draw(st.integers(1, 3))):
        top, left = data.draw(st.integers(0, ROWS - 1)), data.draw(st.integers(0, COLS - 1))
        bottom = data.draw(st.integers(top + 1, ROWS))
        windows.append((slice(top, bottom), slice(left, data.draw(st.integers(left + 1, COLS)))))
    whole, parts = places(n_layers), places(n_layers, tuple(windows))
    numbers = whole.included.reshape(SHAPE)
    chosen = np.concatenate([numbers[window].ravel() for window in windows])
    one, other = whole.around(chosen), parts.around(parts.included)
    # The same places in another order may be there twice, where windows overlap.
    found = {tuple(row) for row in np.round(other.patches.numpy(), 6).tolist()}
    expected = {tuple(row) for row in np.round(one.patches.numpy(), 6).tolist()}
    assert found == expected
    assert [len(near) for near in other.near][-1:] == [len(near) for near in one.near][-1:]


@given(st.data())
def test_each_place_is_computed_once_and_is_within_reach(data: st.DataObject) -> None:
    n_layers = data.draw(st.integers(1, 4))
    everywhere = st.integers(0, ROWS * COLS - 1)
    pixels = np.array(data.draw(st.lists(everywhere, min_size=1, unique=True)))
    known = places(n_layers)
    around = known.around(known.included[pixels])
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
    known = places(3)
    chosen = known.included[[5, 17, 40]]
    first = known.around(chosen)
    known.around(known.included[:30])
    again = known.around(chosen)
    assert torch.equal(first.patches, again.patches)
    assert all(torch.equal(a, b) for a, b in zip(first.near, again.near, strict=True))


def test_included_are_those_that_are_not_excluded() -> None:
    excluded = np.random.default_rng(1).random(SHAPE) < 0.4
    windows = ((slice(0, 4), slice(2, 9)), (slice(5, 9), slice(0, 3)))
    known = places(2, windows, excluded=excluded)
    own = np.concatenate([each.ravel() for each in known.windows])
    outside = np.concatenate([excluded[window].ravel() for window in windows])
    assert known.included.tolist() == own[~outside].tolist()
    assert len(set(own.tolist())) == 4 * 7 + 4 * 3


# --- the grid -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_of_a_small_image_all_is_drawn(n_layers: int) -> None:
    net, excluded = network(n_layers), np.zeros(SHAPE, bool)
    excluded[2:5, 7] = True
    expected = responses_of(net, some_pixels()).argmax(dim=2).numpy()
    found = Grid(places(n_layers, excluded=excluded), n_layers).draw(net)
    assert (found[excluded] == -1).all()
    # Statistics are those of the included pixels.
    assert (found == expected)[~excluded].mean() > 0.9


def test_of_a_larger_one_every_nth_pixel_of_every_nth_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRID_PIXELS", ROWS * COLS // 9)
    net = network()
    known = places()
    chosen = known.windows[0][1::3, 1::3]
    with torch.no_grad():
        expected = net.at(known.around(chosen.ravel())).argmax(dim=1).reshape(3, 4)
    assert (Grid(known, 2).draw(net) == expected.numpy()).all()


def test_fewer_are_drawn_with_more_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRID_PIXELS", ROWS * COLS)
    shapes = [Grid(places(n), n).draw(network(n)).shape for n in (1, 2, 3)]
    assert shapes == [SHAPE, SHAPE, (3, 4)]


def test_where_all_is_excluded_nothing_is_drawn() -> None:
    found = Grid(places(excluded=np.ones(SHAPE, bool)), 2).draw(network())
    assert (found == -1).all()
