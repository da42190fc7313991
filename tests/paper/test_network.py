"""The network: torch's own initialisation, the paper's size, and what a pixel sees."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from nital.paper import network as module
from nital.paper.network import Network


def test_first_weights_are_those_of_torch() -> None:
    torch.manual_seed(7)
    expected = [
        nn.Conv2d(3, 100, 3, padding=1),
        nn.Conv2d(100, 100, 3, padding=1),
        nn.Conv2d(100, 50, 1),
    ]
    found = [layer for layer in Network(seed=7).layers if isinstance(layer, nn.Conv2d)]
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert ours.bias is not None
        assert theirs.bias is not None
        assert torch.equal(ours.bias, theirs.bias)


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Network(seed=1)
    assert torch.equal(torch.rand(4), expected)


def test_layers_follow_the_settings() -> None:
    network = Network(n_channels=1, n_filters=6, n_layers=3, n_responses=4)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d"] * 3 + ["Conv2d", "BatchNorm2d"]
    assert network(torch.rand(2, 1, 8, 9)).shape == (2, 4, 8, 9)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_pixel_sees_one_pixel_further_with_each_layer(n_layers: int) -> None:
    layers = Network(n_layers=n_layers, seed=0).layers
    convolutions = nn.Sequential(
        *(layer for layer in layers if not isinstance(layer, nn.BatchNorm2d))
    )
    image = torch.rand(1, 3, 15, 15)
    changed = image.clone()
    changed[0, :, 7, 7] += 1
    with torch.no_grad():
        moved = (convolutions(image) != convolutions(changed)).any(dim=1)[0]
    seen = moved.nonzero()
    assert seen.min() == 7 - n_layers
    assert seen.max() == 7 + n_layers


def test_batch_normalisation_uses_the_batch_in_either_mode() -> None:
    network = Network(n_filters=4, n_responses=3)
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(network.train()(image), network.eval()(image))


# --- bands of a whole image ---------------------------------------------------------------------


def with_gains_and_shifts(n_layers: int) -> Network:
    """A network with non-trivial gains and shifts of batch normalisation, as after training."""
    network = Network(n_filters=6, n_layers=n_layers, n_responses=5, seed=n_layers)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in network.layers:
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 2, generator=generator)
                layer.bias.uniform_(-1, 1, generator=generator)
    return network


@pytest.mark.parametrize("shape", [(1, 3, 9, 11), (2, 3, 5, 7), (1, 3, 1, 6), (1, 3, 12, 1)])
@pytest.mark.parametrize("band_pixels", [1, 25, 2**13])
def test_bands_give_what_the_whole_gives(
    shape: tuple[int, int, int, int], band_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BAND_PIXELS", band_pixels)
    network = with_gains_and_shifts(2).double()
    image = torch.rand(shape, generator=torch.Generator().manual_seed(3)).double()
    weights = [*network.parameters()]
    of_image = image.clone().requires_grad_()
    found, expected = network(of_image), network.layers(of_image)
    torch.testing.assert_close(found, expected)
    for responses in (found, expected):
        assert responses.shape == (shape[0], 5, *shape[2:])
    pull = torch.rand(found.shape, generator=torch.Generator().manual_seed(4)).double()
    torch.testing.assert_close(
        torch.autograd.grad((found * pull).sum(), [of_image, *weights]),
        torch.autograd.grad((expected * pull).sum(), [of_image, *weights]),
    )


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_gradients_of_bands_in_single_precision(
    n_layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BAND_PIXELS", 40)
    network = with_gains_and_shifts(n_layers)
    image = torch.rand(1, 9, 13, 3, generator=torch.Generator().manual_seed(3)).permute(0, 3, 1, 2)
    target = torch.arange(9 * 13).view(1, 9, 13) % 5
    found, expected = (
        torch.autograd.grad(functional.cross_entropy(responses, target), [*network.parameters()])
        for responses in (network(image), network.layers(image))
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
