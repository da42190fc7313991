"""The network: torch's own initialisation, the paper's size, and what a pixel sees."""

import torch
from torch import nn

from nital.network import Network


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
        assert torch.equal(ours.bias, theirs.bias)


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Network(seed=1)
    assert torch.equal(torch.rand(4), expected)


def test_layers_follow_the_settings() -> None:
    network = Network(n_filters=6, n_layers=3, n_responses=4)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d"] * 3 + ["Conv2d", "BatchNorm2d"]
    assert network(torch.rand(2, 3, 8, 9)).shape == (2, 4, 8, 9)


def test_a_pixel_sees_its_receptive_radius_and_no_further() -> None:
    convolutions = nn.Sequential(
        *(layer for layer in Network(seed=0).layers if not isinstance(layer, nn.BatchNorm2d))
    )
    image = torch.rand(1, 3, 15, 15)
    changed = image.clone()
    changed[0, :, 7, 7] += 1
    with torch.no_grad():
        moved = (convolutions(image) != convolutions(changed)).any(dim=1)[0]
    radius = Network().receptive_radius
    seen = moved.nonzero()
    assert seen.min() == 7 - radius
    assert seen.max() == 7 + radius


def test_batch_normalisation_uses_the_batch_in_either_mode() -> None:
    network = Network(n_filters=4, n_responses=3)
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(network.train()(image), network.eval()(image))
