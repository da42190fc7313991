"""Paper mode against a naive transcription, second by second, and the cost of the criteria.

    python benchmarks/paper_mode.py

The naive loop is written as public implementations of the method are: the whole image through
torch's layers in their default memory order, and a Python loop over superpixels for the majority
labels. Both start from the same weights and take turns in the same run, after a warm-up of each.
The criteria of 1000 x 1000 pixels are timed likewise. docs/performance.md keeps the medians.
"""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn

from nital.criteria import evaluate
from nital.micrograph import Micrograph
from nital.network import Network
from nital.settings import PAPER
from nital.superpixels import find_superpixels
from nital.synthetic import synthesize
from nital.training import train, whole_image

SIZES = (256, 512)
ITERATIONS = 3
ROUNDS = 5


def naive(image: NDArray[np.float32], superpixels: NDArray[np.int64]) -> list[int]:
    """`ITERATIONS` of the naive loop; the count of classes in each."""
    q, p = PAPER.n_responses, PAPER.n_filters
    network = nn.Sequential(
        *(nn.Conv2d(3, p, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(p)),
        *(nn.Conv2d(p, p, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(p)),
        *(nn.Conv2d(p, q, 1), nn.BatchNorm2d(q)),
    )
    weights = Network(n_filters=p, n_responses=q, seed=0).parameters()
    for own, same in zip(network.parameters(), weights, strict=True):
        own.data.copy_(same.data)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    data = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis])
    order = np.argsort(superpixels, axis=None, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(superpixels.ravel()))[:-1])
    counts = []
    for _ in range(ITERATIONS):
        optimizer.zero_grad()
        responses = network(data)[0].permute(1, 2, 0).contiguous().view(-1, q)
        labels = responses.max(1)[1].numpy()
        counts.append(len(np.unique(labels)))
        for inside in members:
            found, votes = np.unique(labels[inside], return_counts=True)
            labels[inside] = found[np.argmax(votes)]
        nn.functional.cross_entropy(responses, torch.from_numpy(labels)).backward()
        optimizer.step()
    return counts


def paper_mode(image: NDArray[np.float32], superpixels: NDArray[np.int64]) -> list[int]:
    """`ITERATIONS` of nital's own loop; the count of classes in each."""
    network = Network(n_filters=PAPER.n_filters, n_responses=PAPER.n_responses, seed=0)
    excluded = np.zeros(superpixels.shape, bool)
    training = train(
        network,
        whole_image(image, superpixels, excluded, torch.device("cpu")),
        n_classes=0,
        max_iterations=ITERATIONS,
        learning_rate=PAPER.learning_rate,
        momentum=PAPER.momentum,
    )
    return [step.n_classes for step in training.steps]


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def side_by_side(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a busy machine slows them alike."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in taken.items()}


def iterations_table() -> Table:
    table = Table(
        "image", "superpixels", "naive, s", "paper mode, s", "ratio", title="An iteration"
    )
    for size in SIZES:
        image = Micrograph.from_array(synthesize((size, size)).image).pixels
        superpixels = find_superpixels(image)
        assert naive(image, superpixels) == paper_mode(image, superpixels)
        calls = {run.__name__: partial(run, image, superpixels) for run in (naive, paper_mode)}
        slow, quick = (taken / ITERATIONS for taken in side_by_side(calls).values())
        table.add_row(
            f"{size} x {size}",
            f"{superpixels.max() + 1:,}",
            f"{slow:.3f}",
            f"{quick:.3f}",
            f"{slow / quick:.2f}",
        )
    return table


def criteria_table() -> Table:
    rng = np.random.default_rng(0)
    colour = rng.random((1000, 1000, 3), dtype=np.float32)
    labels = rng.integers(1, 4, (1000, 1000)).astype(np.uint8)
    taken = side_by_side(
        {
            "colour, 3 classes": lambda: evaluate(colour, labels),
            "grey, 3 classes": lambda: evaluate(colour[..., 0], labels),
            "colour, 600,000 components": lambda: evaluate(colour, labels, regions="components"),
        }
    )
    table = Table("1000 x 1000", "ms", title="F, F' and Q together")
    for name, value in taken.items():
        table.add_row(name, f"{1000 * value:.0f}")
    return table


def processor() -> str:
    """Its name, where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    console = Console()
    console.print(
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads;"
        f" torch {torch.__version__}, numpy {np.__version__}; medians of {ROUNDS}"
    )
    console.print(iterations_table())
    console.print(criteria_table())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
