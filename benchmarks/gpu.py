"""Paper mode on a GPU: the same as on the CPU, and how fast.

    python benchmarks/gpu.py [--device cuda] [--cpu-threads 16]

Needs torch, numpy and scipy; without scikit-image superpixels are squares. Micrographs are
synthetic. First 256 x 256 pixels are segmented on both devices, drawn and exact, with three seeds:
they have the same first weights and the same draws, but sums in another order and, in products,
TF32, so the table has the counts of both and the adjusted Rand index (ARI) of their maps beside
that of two seeds on the CPU. Then 1000 x 1000 pixels are timed: exact, drawn, and ten repeats.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import torch

import nital
from nital.image.micrograph import Micrograph
from nital.methods import prepare, resolve
from nital.paper.course import PaperDetails
from nital.paper.superpixels import Superpixels
from nital.paper.trained import Repeats, TrainedNetwork
from nital.result.agreement import compare
from nital.result.segmentation import Segmentation

SIDE = 4
"""Of a square superpixel, where there is no SLIC: about 20 pixels."""

SEEDS = range(3)


def steel(side: int) -> Micrograph:
    """Ferrite and pearlite."""
    parts = {"ferrite": 0.7, "pearlite": 0.3}
    made = nital.synthesize((side, side), parts, grain_size=30, seed=0)
    return Micrograph.from_array(made.image)


def superpixels_of(micrograph: Micrograph) -> Superpixels:
    """Those of SLIC, or squares."""
    if find_spec("skimage"):
        found: Superpixels = prepare(micrograph, nital.PAPER)
        return found
    row, col = np.indices(micrograph.shape) // SIDE
    squares = row * (int(col.max()) + 1) + col
    whole = (slice(0, micrograph.shape[0]), slice(0, micrograph.shape[1]))
    return Superpixels(micrograph.shape, (whole,), (squares,))


def counts_of(found: Segmentation) -> list[int]:
    """The classes left after each iteration."""
    assert isinstance(found.details, PaperDetails)
    assert found.details.training is not None
    return [step.n_classes for step in found.details.training.steps]


def compare_devices(device: str) -> list[dict[str, object]]:
    """The same trainings on both devices."""
    micrograph, rows = steel(256), []
    superpixels = superpixels_of(micrograph)
    for exact in (False, True):
        maps: dict[tuple[str, int], Segmentation] = {}
        for name, seed in ((name, seed) for name in ("cpu", device) for seed in SEEDS):
            asked = replace(nital.PAPER, device=name, seed=seed, exact=exact, max_iterations=60)
            settings = resolve(asked, micrograph)
            maps[name, seed] = TrainedNetwork(micrograph, superpixels, settings).segment(3)
        again = TrainedNetwork(micrograph, superpixels, settings).segment(3)
        of_seeds = [
            compare(maps["cpu", a].labels, maps["cpu", b].labels).ari
            for a in SEEDS
            for b in SEEDS
            if a < b
        ]
        for seed in SEEDS:
            one, other = maps["cpu", seed], maps[device, seed]
            counts, others = counts_of(one), counts_of(other)
            alike = [a == b for a, b in zip(counts, others, strict=False)]
            rows.append(
                {
                    "exact": exact,
                    "seed": seed,
                    "iterations": [len(counts), len(others)],
                    "equal counts at first": alike.index(False) if False in alike else len(alike),
                    "ARI of devices": round(compare(one.labels, other.labels).ari, 3),
                    "ARI of seeds": round(float(np.mean(of_seeds)), 3),
                }
            )
        last = maps[device, SEEDS[-1]]
        rows[-1]["the same bytes twice"] = bool((again.labels == last.labels).all())
    return rows


def timed(run: Callable[[], Segmentation], device: str) -> dict[str, object]:
    """Seconds of a run after one that warms up, and memory on the device."""
    run()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - begun
    row: dict[str, object] = {"seconds": round(seconds, 3), "classes": found.n_classes}
    if isinstance(found.details, PaperDetails) and found.details.training is not None:
        n = len(counts_of(found))
        row |= {"iterations": n, "s an iteration": round(found.seconds["training"] / n, 4)}
    if device == "cuda":
        row["GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--cpu-threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.cpu_threads)
    name = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    print(json.dumps({"device": name, "torch": torch.__version__}))
    for row in compare_devices(given.device):
        print(json.dumps(row), flush=True)
    micrograph = steel(1000)
    superpixels = superpixels_of(micrograph)
    for what, change in (
        ("drawn", {}),
        ("exact", {"exact": True, "max_iterations": 60}),
        ("drawn, 10 repeats", {"repeats": 10}),
        ("exact, 10 repeats", {"exact": True, "max_iterations": 60, "repeats": 10}),
    ):
        asked = replace(nital.PAPER, device=given.device, **change)
        settings = resolve(asked, micrograph)
        kind = Repeats if settings.repeats > 1 else TrainedNetwork
        row = timed(
            lambda k=kind, s=settings: k(micrograph, superpixels, s).segment(3), given.device
        )
        print(json.dumps({"1000 x 1000": what} | row), flush=True)


if __name__ == "__main__":
    main()
