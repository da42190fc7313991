"""How much the labels change when training goes on after the classes have settled.

    python benchmarks/settled.py FOLDER... [--n-classes 3]

FOLDERs hold micrographs. Each is trained until it has settled, then on to twice and five times as
many iterations, the same draws; the table says which share of the pixels then has another label,
among the fine classes and after they were joined.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import nital
from nital import fast
from nital.fast import find_fine_classes, train_on_sample
from nital.prediction import label_window
from nital.sampling import Sample
from nital.segmenter import prepare, resolve
from nital.settings import FAST

MORE = (1, 2, 5)


def labels_after(
    micrograph: nital.Micrograph, sample: Sample, iterations: int, n_classes: int
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """Fine labels and classes after so many iterations."""
    settings = resolve(replace(FAST, max_iterations=iterations), micrograph)
    (trained,) = train_on_sample(sample, settings, [settings.seed])
    everything = slice(0, micrograph.shape[0]), slice(0, micrograph.shape[1])
    _, fine = label_window(trained.network, micrograph, *everything)  # as the network numbers them
    classes = np.empty_like(fine)
    find_fine_classes(trained.network, micrograph, settings).join(n_classes, classes)
    return fine, classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--n-classes", type=int, default=3)
    given = parser.parse_args()
    table = Table(
        "micrograph",
        "settled after",
        *(f"{n} times, {what}, %" for n in MORE[1:] for what in ("fine", "joined")),
    )
    tolerance = fast.TOLERANCE
    worst = np.zeros(2 * len(MORE[1:]))
    for path in sorted(path for folder in given.folders for path in folder.iterdir()):
        micrograph = nital.read_micrograph(path)
        sample = prepare(micrograph, FAST)
        assert isinstance(sample, Sample)
        fast.TOLERANCE = tolerance
        result = nital.segment(micrograph, given.n_classes, prepared=sample)
        n = len(result.history)
        fast.TOLERANCE = -1.0  # from here on it never settles
        first, *later = (
            labels_after(micrograph, sample, times * n, given.n_classes) for times in MORE
        )
        assert (first[1] == result.labels).all()
        changed = [
            100 * float((now != before).mean())
            for labels in later
            for now, before in zip(labels, first, strict=True)
        ]
        worst = np.maximum(worst, changed)
        table.add_row(path.stem, str(n), *(f"{each:.2f}" for each in changed))
    table.add_row("largest", "", *(f"{each:.2f}" for each in worst))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
