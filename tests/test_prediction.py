"""Prediction: the strongest response of every pixel, the same in tiles as in one piece."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from nital.micrograph import Micrograph
from nital.network import Network
from nital.prediction import FrozenNetwork, freeze, label_window, predict


def test_labels_are_the_strongest_responses() -> None:
    network = Network(n_filters=5, n_responses=4, seed=1)
    pixels = np.random.default_rng(0).random((7, 9, 3), dtype=np.float32)
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
    network = Network(n_filters=5, n_responses=4)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    first = predict(network, pixels)
    assert (first == predict(network, pixels)).all()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


# --- a frozen network ---------------------------------------------------------------------------


def lively(n_layers: int) -> Network:
    """A network whose batch normalisation has gains and shifts of its own, as after training."""
    network = Network(n_filters=6, n_layers=n_layers, n_responses=5, seed=n_layers).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in network.layers:
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(-2, 2, generator=generator)
                layer.bias.uniform_(-1, 1, generator=generator)
    return network


def some_patches(n: int, side: int) -> Tensor:
    return torch.rand(n, side, side, 3, generator=torch.Generator().manual_seed(n)).double()


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_frozen_network_gives_what_its_patches_gave(n_layers: int) -> None:
    network, patches = lively(n_layers), some_patches(60, 2 * n_layers + 1)
    with torch.no_grad():
        expected = network.of_patches(patches)
    frozen = freeze(network, patches)
    found = frozen.responses(patches.permute(0, 3, 1, 2))
    assert found.shape == (60, 5, 1, 1)
    torch.testing.assert_close(found[:, :, 0, 0], expected)
    assert (frozen.receptive_radius, frozen.n_responses) == (n_layers, 5)


def test_other_patches_do_not_alter_what_is_frozen() -> None:
    network = lively(2)
    frozen, of_others = freeze(network, some_patches(60, 5)), freeze(network, some_patches(61, 5))
    patch = some_patches(1, 5).permute(0, 3, 1, 2)
    alone = frozen.responses(patch)
    with_others = frozen.responses(torch.cat([patch, 9 * patch]))[:1]
    torch.testing.assert_close(alone, with_others)
    assert not torch.allclose(alone, of_others.responses(patch))


def test_a_dead_filter_is_frozen_as_well() -> None:
    network, patches = lively(2), some_patches(60, 5)
    with torch.no_grad():
        network.layers[0].bias[2] = -100
        expected = network.of_patches(patches)
    found = freeze(network, patches).responses(patches.permute(0, 3, 1, 2))[:, :, 0, 0]
    torch.testing.assert_close(found, expected)


def test_freezing_leaves_network_and_patches_as_they_were() -> None:
    network, patches = lively(2), some_patches(60, 5)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    freeze(network, patches)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.equal(patches, some_patches(60, 5))


# --- windows and tiles --------------------------------------------------------------------------


def whole_numbers(n_layers: int = 2, n_responses: int = 6) -> FrozenNetwork:
    """Weights of whole numbers that add up to 0: on pixels of 1/64 all sums are exact."""
    rng = np.random.default_rng(0)
    sizes, kernels = [3, *[5] * n_layers, n_responses], [3] * n_layers + [1]
    weights = []
    for inputs, outputs, kernel in zip(sizes[:-1], sizes[1:], kernels, strict=True):
        drawn = rng.integers(0, 3, (outputs, inputs * kernel**2))
        drawn -= np.roll(drawn, 1, axis=1)
        weight = drawn.reshape(outputs, inputs, kernel, kernel).astype(np.float32)
        weights.append(torch.from_numpy(weight))
    biases = [torch.from_numpy(rng.integers(0, 2, n).astype(np.float32)) for n in sizes[1:]]
    return FrozenNetwork(tuple(weights), tuple(biases), n_layers)


def exact(rows: int, cols: int, excluded: NDArray[np.bool_] | None = None) -> Micrograph:
    """Pixels that are multiples of 1/64."""
    steps = np.random.default_rng(rows * cols).integers(0, 65, (rows, cols, 3))
    mask = np.zeros((rows, cols), bool) if excluded is None else excluded
    return Micrograph((steps / 64).astype(np.float32), mask, (0.0, 1.0))


def plain_labels(network: FrozenNetwork, micrograph: Micrograph) -> NDArray[np.int64]:
    """Labels of the whole image with its reflection around it, in one piece."""
    margin = (network.receptive_radius, network.receptive_radius)
    padded = np.pad(micrograph.pixels, [margin, margin, (0, 0)], mode="reflect")
    pixels = torch.from_numpy(padded).permute(2, 0, 1).unsqueeze(0).double()
    for weight, bias in zip(network.weights, network.biases, strict=True):
        pixels = nn.functional.conv2d(pixels, weight.double(), bias.double())
        if weight is not network.weights[-1]:
            pixels = pixels.clamp(min=0)
    responses = pixels[0].permute(1, 2, 0).numpy()
    labels = responses.argmax(axis=2) + 1  # numpy takes the first of equals
    return np.where(micrograph.excluded, 0, labels)


def label_all(network: FrozenNetwork, micrograph: Micrograph, **how: int) -> NDArray[np.generic]:
    rows, cols = (slice(0, length) for length in micrograph.shape)
    return label_window(network, micrograph, rows, cols, **how)[1]


@pytest.mark.parametrize("shape", [(13, 17), (5, 5), (3, 31)])
@pytest.mark.parametrize("tile", [1, 2, 5, 64, None])
def test_tiles_of_any_size_give_the_labels_of_the_whole(
    shape: tuple[int, int], tile: int | None
) -> None:
    network, micrograph = whole_numbers(), exact(*shape)
    found = label_all(network, micrograph, **({} if tile is None else {"tile": tile}))
    assert (found == plain_labels(network, micrograph)).all()
    assert len(np.unique(found)) > 2


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("shape", [(129, 65), (128, 64), (63, 127), (65, 1)])
def test_a_tile_that_hangs_over_by_a_pixel(shape: tuple[int, int], n_layers: int) -> None:
    network, micrograph = whole_numbers(n_layers), exact(*shape)
    assert (label_all(network, micrograph, tile=64) == plain_labels(network, micrograph)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14), st.integers(2, 14), st.integers(1, 16), st.integers(1, 3))
def test_any_image_in_any_tiles(rows: int, cols: int, tile: int, n_layers: int) -> None:
    network, micrograph = whole_numbers(n_layers), exact(rows, cols)
    assert (label_all(network, micrograph, tile=tile) == plain_labels(network, micrograph)).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(3, 12), st.integers(3, 12), st.integers(1, 5))
def test_any_window_is_a_part_of_the_whole(
    data: st.DataObject, rows: int, cols: int, tile: int
) -> None:
    excluded = np.random.default_rng(rows).random((rows, cols)) < 0.2
    network, micrograph = whole_numbers(), exact(rows, cols, excluded)
    window = []
    for length in (rows, cols):
        start = data.draw(st.integers(0, length - 1))
        window.append(slice(start, data.draw(st.integers(start + 1, length))))
    pixels, labels = label_window(network, micrograph, *window, tile=tile)
    assert (labels == plain_labels(network, micrograph)[tuple(window)]).all()
    assert (pixels == micrograph.pixels[tuple(window)]).all()


def test_windows_side_by_side_make_the_whole() -> None:
    network, micrograph = whole_numbers(), exact(23, 19)
    bands = [
        label_window(network, micrograph, slice(top, min(top + 4, 23)), slice(0, 19), tile=3)[1]
        for top in range(0, 23, 4)
    ]
    assert (np.concatenate(bands) == plain_labels(network, micrograph)).all()


def test_excluded_pixels_get_label_0_and_are_seen_by_their_neighbours() -> None:
    excluded = np.zeros((12, 15), bool)
    excluded[3:6, 4:9] = True
    network, masked, open_ = whole_numbers(), exact(12, 15, excluded), exact(12, 15)
    labels, everywhere = label_all(network, masked, tile=4), label_all(network, open_, tile=4)
    assert (labels[excluded] == 0).all()
    assert (labels[~excluded] == everywhere[~excluded]).all()
    assert everywhere.min() >= 1


@pytest.mark.parametrize(("n_responses", "kind"), [(255, np.uint8), (256, np.uint16)])
def test_the_smallest_kind_that_holds_the_labels(n_responses: int, kind: type) -> None:
    network = whole_numbers(1, n_responses)
    last = network.biases[-1]
    last[-1] = 10_000  # the last response is the strongest everywhere
    labels = label_all(network, exact(4, 5))
    assert labels.dtype == kind
    assert (labels == n_responses).all()


def test_of_equal_responses_the_lowest_wins() -> None:
    network = whole_numbers()
    for tensor in (network.weights[-1], network.biases[-1]):
        tensor[:] = 0
    network.biases[-1][2:5] = 1
    assert (label_all(network, exact(6, 7), tile=3) == 3).all()


@pytest.mark.parametrize("tile", [7, 16])
def test_tiles_of_a_network_as_it_is_trained(tile: int) -> None:
    network = Network(n_filters=8, n_responses=6, seed=3)
    pixels = np.random.default_rng(3).random((40, 33, 3), dtype=np.float32)
    micrograph = Micrograph.from_array(pixels)
    patches = torch.rand(500, 5, 5, 3, generator=torch.Generator().manual_seed(3))
    frozen = freeze(network, patches)
    found = label_all(frozen, micrograph, tile=tile)
    assert (found == label_all(frozen, micrograph)).all()
    assert (found == plain_labels(frozen, micrograph)).all()
