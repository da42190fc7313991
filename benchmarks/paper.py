"""The figures and tables of the paper that come from one micrograph, published beside measured.

    python benchmarks/paper.py MICROGRAPH --out FOLDER [--repeats 10] [--workers 2] [--only NAME...]

MICROGRAPH is the one in Fig. 6a of Kim, Inoue and Kasuya (2020), saved from the paper, or any
other. Writes plots and class maps to FOLDER, a folder a figure, and prints the tables. Finished
runs of Fig. 10 and 11 are kept there, and are not made again. Settings are those in the text of the
paper, each run on one thread; NAME is fig4, fig9, fig10 or fig11.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

import nital
from nital.image.micrograph import Micrograph
from nital.methods import prepare
from nital.output.render import class_colours
from nital.work.cluster import executor_of
from nital.work.studies import ClassStudy, study_classes, study_superpixels
from nital.work.study_folder import (
    Study,
    draw_superpixels,
    write_class_study,
    write_superpixel_study,
)

SETTINGS = replace(nital.PAPER, threads=1)

NUMBERS = range(2, 11)
"""Of classes, in Fig. 10 and Table 2."""

COMPACTNESS = (5.0, 10.0, 20.0, 40.0, 80.0)
N_SUPERPIXELS = (2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""Of Fig. 11; the paper's own values can't be read from it."""

MANUAL = (3, 65, 32)
"""Area fractions that the authors drew by hand (Fig. 9a), in %: pearlite, martensite, ferrite, from
dark to bright."""

TABLE_2 = {
    "F": ((3, 0), (4, 0.10), (2, 0.13), (6, 0.30), (5, 0.31)),
    "F'": ((3, 0), (4, 0.08), (2, 0.11), (6, 0.24), (5, 0.25)),
    "Q": ((4, 0), (3, 0.02), (9, 0.10), (8, 0.11), (6, 0.21)),
}
"""Published numbers of classes and normalised values, from the first rank to the fifth."""

console = Console(width=140)


def draw_map(labels: NDArray[np.unsignedinteger], path: Path) -> None:
    """Write a label map in the colours of its classes."""
    colours = np.vstack([np.zeros((1, 3), np.uint8), class_colours(int(labels.max()))])
    Image.fromarray(colours[labels]).save(path, optimize=True)


def fig4(micrograph: Micrograph, out: Path, repeats: int, executor: Executor | None) -> None:
    """Superpixels over compactness and number."""
    numbers = (1_000, 10_000, 50_000)
    draw_superpixels(micrograph, out, compactness=(1, 20, 100), n_superpixels=numbers, force=True)


def fig9(micrograph: Micrograph, out: Path, repeats: int, executor: Executor | None) -> None:
    """Maps of 3, 10 and 20 classes, of which that of 3 is Fig. 6b; fractions over the seeds."""
    superpixels = prepare(micrograph, SETTINGS)
    of_three = []
    for seed in range(repeats):
        settings = replace(SETTINGS, seed=seed)
        numbers = (3,) if seed else (20, 10, 3)
        found = nital.segment(micrograph, numbers[0], settings=settings, prepared=superpixels)
        for number in numbers:
            found = found.at(number)
            draw_map(found.labels, out / f"{number} classes, seed {seed}.png")
        of_three.append([100 * row.area_fraction for row in found.classes])
    table = Table("seed", "classes", "fractions, dark to bright, %", "off the manual analysis")
    for seed, fractions in enumerate(of_three):
        off = "-"
        if len(fractions) == len(MANUAL):
            off = f"{max(abs(a - b) for a, b in zip(fractions, MANUAL, strict=True)):.1f}"
        shown = " / ".join(f"{each:.1f}" for each in fractions)
        table.add_row(str(seed), str(len(fractions)), shown, off)
    table.add_row("manual (Fig. 9a)", "3", " / ".join(map(str, MANUAL)), "0")
    console.print(table)


def fig10(micrograph: Micrograph, out: Path, repeats: int, executor: Executor | None) -> None:
    """F, F' and Q over the number of classes, and their ranks (Table 2)."""
    varied = {"n_classes": NUMBERS}
    study = Study("classes", micrograph, out, SETTINGS, varied=varied, repeats=repeats)
    found = study_classes(study.finish(executor=executor))
    write_class_study(out, found)
    console.print(ranks(found))
    console.print(curve(found))


def ranks(found: ClassStudy) -> Table:
    """Table 2, published and measured."""
    table = Table("criterion", "", *(f"rank {i}" for i in range(1, 6)))
    for criterion, published in TABLE_2.items():
        table.add_row(criterion, "paper", *(f"{k} ({value:.2f})" for k, value in published))
        value_of = dict(zip(found.n_classes, found.normalised[criterion], strict=True))
        own = found.ranking[criterion][:5]
        table.add_row("", "nital", *(f"{k} ({value_of[k]:.2f})" for k in own))
    return table


def curve(found: ClassStudy) -> Table:
    """What Fig. 10a shows, in numbers."""
    table = Table("asked for", "found", *(f"{name}, mean ± s" for name in found.mean))
    for i, number in enumerate(found.n_classes):
        values = (f"{found.mean[name][i]:.4g} ± {found.spread[name][i]:.2g}" for name in found.mean)
        table.add_row(str(number), f"{found.mean_found[i]:.1f}", *values)
    return table


def fig11(micrograph: Micrograph, out: Path, repeats: int, executor: Executor | None) -> None:
    """Mean F of three classes over compactness and number of superpixels."""
    varied = {"compactness": COMPACTNESS, "n_superpixels": N_SUPERPIXELS}
    study = Study("map", micrograph, out, SETTINGS, varied=varied, repeats=repeats)
    found = study_superpixels(study.finish(executor=executor))
    write_superpixel_study(out, found)
    table = Table("compactness", *(f"{n:,}" for n in found.n_superpixels))
    for weight, row in zip(found.compactness, found.mean_f, strict=True):
        table.add_row(f"{weight:g}", *(f"{value:.4g}" for value in row))
    console.print(table)


FIGURES: dict[str, Callable[[Micrograph, Path, int, Executor | None], None]] = {
    each.__name__: each for each in (fig4, fig9, fig10, fig11)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("micrograph", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    given = parser.parse_args()
    if not given.micrograph.exists():
        console.print(f"skipped: {given.micrograph} is not there; save Fig. 6a of the paper as it")
        return
    micrograph = nital.read_micrograph(given.micrograph)
    with executor_of(given.workers) as executor:
        for name in given.only:
            out = given.out / name
            out.mkdir(parents=True, exist_ok=True)
            begun = time.perf_counter()
            FIGURES[name](micrograph, out, given.repeats, executor)
            console.print(f"{name}: {time.perf_counter() - begun:.0f} s, {out}")


if __name__ == "__main__":
    main()
