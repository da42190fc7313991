"""What stands behind choices of the engine: tiles and memory order, precision, batches of networks.

    python benchmarks/choices.py MICROGRAPH...    some minutes on two cores

Tiles and batches of networks are timed, alternatives taking turns; medians of five. Precision is
emulated on any machine: what goes into each product of the prediction is rounded as a GPU would
round it, and the share of the pixels that get another class is counted.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

import nital
from nital.device import using_threads
from nital.fast import find_fine_classes, network_of, train_on_sample
from nital.network import Network
from nital.prediction import FrozenNetwork, freeze
from nital.sampling import Sample, batches_of_each
from nital.segmenter import prepare, resolve
from nital.settings import FAST
from nital.training import balanced, train
from speed import side_by_side

ROUNDS = 5
SIDE = 1000
TILES = (32, 64, 128, 256, 512, SIDE)
FORMATS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
NETWORKS = (2, 5, 10)
STEPS = 20
N_CLASSES = 3


def tiles() -> Table:
    """Rate of prediction over the side of a tile and the order of the memory."""
    table = Table("tile", *FORMATS, title=f"Prediction of {SIDE} x {SIDE}, GFLOP/s")
    network = network_of(FAST, seed=0)
    frozen = freeze(network, torch.rand(2048, 5, 5, 3))
    work = 2 * sum(weight.numel() for weight in frozen.weights) * SIDE**2 / 1e9
    image = torch.rand(1, 3, SIDE + 4, SIDE + 4)

    def predict(tile: int, order: torch.memory_format) -> None:
        weights = tuple(weight.contiguous(memory_format=order) for weight in frozen.weights)
        in_order = FrozenNetwork(weights, frozen.biases, frozen.receptive_radius)
        with torch.inference_mode():
            for top in range(0, SIDE, tile):
                for left in range(0, SIDE, tile):
                    piece = image[..., top : top + tile + 4, left : left + tile + 4]
                    in_order.responses(piece.contiguous(memory_format=order)).argmax(dim=1)

    for tile in TILES:
        calls = {name: partial(predict, tile, order) for name, order in FORMATS.items()}
        taken = side_by_side(calls, ROUNDS)
        table.add_row(str(tile), *(f"{work / each:.0f}" for each in taken.values()))
    return table


def as_tf32(values: Tensor) -> Tensor:
    """Rounded to 10 bits of mantissa, the range of float32 kept."""
    return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


PRECISIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "TF32": as_tf32,
    "float16": lambda values: values.half().float(),
    "bfloat16": lambda values: values.bfloat16().float(),
}


class Rounded(FrozenNetwork):
    """A network whose products get rounded inputs; their sums are not rounded."""

    rounding: Callable[[Tensor], Tensor]

    def responses(self, pixels: Tensor) -> Tensor:
        values = pixels
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = functional.relu(values) if number else values
            rounded = type(self).rounding(values), type(self).rounding(weight)
            values = functional.conv2d(*rounded, bias)
        return values


def precisions(paths: list[Path]) -> Table:
    """Share of the pixels that get another class, in percent."""
    table = Table("micrograph", *PRECISIONS, title=f"Other classes of {N_CLASSES}, %")
    columns: list[list[float]] = [[] for _ in PRECISIONS]
    for path in paths:
        micrograph = nital.read_micrograph(path)
        settings = resolve(FAST, micrograph)
        sample = prepare(micrograph, settings)
        assert isinstance(sample, Sample)
        (trained,) = train_on_sample(sample, settings, [0])
        exact = trained.network
        networks = [exact]
        for name, rounding in PRECISIONS.items():
            kind = type(name, (Rounded,), {"rounding": staticmethod(rounding)})
            networks.append(kind(exact.weights, exact.biases, exact.receptive_radius))
        found = [find_fine_classes(network, micrograph, settings) for network in networks]
        first, *others = (np.empty_like(each.labels) for each in found)
        for each, labels in zip(found, (first, *others), strict=True):
            each.join(N_CLASSES, labels)
        changed = [100 * float((other != first).mean()) for other in others]
        for column, value in zip(columns, changed, strict=True):
            column.append(value)
        table.add_row(path.stem, *(f"{value:.2f}" for value in changed))
    table.add_row("median", *(f"{statistics.median(column):.2f}" for column in columns))
    table.add_row("largest", *(f"{max(column):.2f}" for column in columns))
    return table


def batches_of_networks(path: Path) -> Table:
    """Seconds of a step of n networks, trained as one batch and one after the other."""
    table = Table("networks", "as one batch, ms a step", "one after the other")
    settings = resolve(FAST, nital.read_micrograph(path))
    sample = prepare(nital.read_micrograph(path), settings)
    assert isinstance(sample, Sample)

    def steps(seeds: list[int]) -> None:
        networks: list[Network] = [network_of(settings, seed) for seed in seeds]
        train(
            networks,
            batches_of_each(sample, seeds, torch.device("cpu")),
            refine=balanced,
            n_classes=0,
            max_iterations=STEPS,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            read_every=STEPS,
        )

    def one_after_the_other(seeds: list[int]) -> None:
        for seed in seeds:
            steps([seed])

    with using_threads(1):
        for n in NETWORKS:
            seeds = list(range(n))
            alone = partial(one_after_the_other, seeds)
            taken = side_by_side({"batch": partial(steps, seeds), "alone": alone}, ROUNDS)
            table.add_row(str(n), *(f"{1000 * each / STEPS:.0f}" for each in taken.values()))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("micrographs", type=Path, nargs="+")
    given = parser.parse_args()
    console = Console(width=100)
    console.print(tiles())
    console.print(batches_of_networks(given.micrographs[0]))
    console.print(precisions(given.micrographs))


if __name__ == "__main__":
    main()
