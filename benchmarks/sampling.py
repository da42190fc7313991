"""Paper mode trained on drawn superpixels beside paper mode trained on every pixel.

    python benchmarks/sampling.py MICROGRAPH... --out FOLDER [--n-classes 3] [--seeds 10]

Of each micrograph the middle 256 x 256 pixels are segmented in both ways with each seed. They are
the same method if their maps agree as well as those of different seeds of the exact one do: the
table has the adjusted Rand index (ARI) of pairs of maps, the mean over the pairs and its standard
error over the seeds, and, as mean and standard deviation over the seeds, iterations, classes, F,
the area fraction of the largest class, and seconds.

Every map is a file of FOLDER, and is not made again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import nital
from nital.image.micrograph import Micrograph
from nital.paper.course import PaperDetails
from nital.result.agreement import compare

SIDE = 256
WAYS = {"drawn": False, "exact": True}


def middle(micrograph: Micrograph) -> Micrograph:
    """The middle `SIDE` x `SIDE` pixels."""
    rows, cols = (slice((n - SIDE) // 2, (n + SIDE) // 2) for n in micrograph.shape)
    return Micrograph.from_array(micrograph.pixels[rows, cols])


def run(
    path: Path, exact: bool, seed: int, n_classes: int, out: Path
) -> dict[str, NDArray[np.float64]]:
    """The map and the figures of one run."""
    file = out / f"{path.parent.parent.name} {path.stem} {n_classes} {exact} {seed}.npz"
    if not file.exists():
        settings = replace(nital.PAPER, n_classes=n_classes, seed=seed, exact=exact, threads=2)
        found = nital.segment(middle(nital.read_micrograph(path)), settings=settings)
        assert isinstance(found.details, PaperDetails)
        np.savez_compressed(
            file,
            labels=found.labels,
            iterations=found.details.summary()["iterations"],
            classes=found.n_classes,
            F=found.criteria.F,
            largest=100 * max(row.area_fraction for row in found.classes),
            seconds=found.seconds["training"],
        )
    return dict(np.load(file))


def agreement(one: Sequence[NDArray[np.uint8]], other: Sequence[NDArray[np.uint8]]) -> str:
    """Mean ARI of the pairs of different seeds, and its standard error over the seeds."""
    n = len(one)
    ari = np.full((n, n), np.nan)
    for i, j in product(range(n), repeat=2):
        if i != j:
            ari[i, j] = compare(one[i], other[j]).ari
    of_seeds = (np.nanmean(ari, axis=0) + np.nanmean(ari, axis=1)) / 2
    return f"{np.nanmean(ari):.3f} ± {of_seeds.std(ddof=1) / np.sqrt(n):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("micrographs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-classes", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    figures = ("iterations", "classes", "F", "largest", "seconds")
    table = Table("micrograph", "trained on", "ARI, itself", "ARI, exact", *figures)
    for path in given.micrographs:
        runs = {
            way: [run(path, exact, seed, given.n_classes, given.out) for seed in range(given.seeds)]
            for way, exact in WAYS.items()
        }
        maps = {way: [each["labels"] for each in done] for way, done in runs.items()}
        for way, done in runs.items():
            values = [np.array([float(each[name]) for each in done]) for name in figures]
            table.add_row(
                *(path.stem, way, agreement(maps[way], maps[way])),
                agreement(maps[way], maps["exact"]),
                *(f"{each.mean():.3g} ± {each.std(ddof=1):.2g}" for each in values),
            )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
