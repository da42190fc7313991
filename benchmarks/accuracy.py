"""Fast mode against paper mode on labelled micrographs: agreement with the labels, and F.

    python benchmarks/accuracy.py FOLDER [--crop 192] [--seeds 5] [--out runs.csv]

FOLDER holds a folder a set, with `images` and `labels` of equal names in it. Every micrograph is
segmented with as many classes as its labels have; with --crop only its middle, where paper mode
would take hours. Paper mode runs to its own stop, or to the limit of iterations. Label 0 of the
sets named in --ignore-zero is not annotated. Every run is a line of --out, and is not done again.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import nital
from nital.settings import Settings


@dataclass(frozen=True)
class Labelled:
    """One micrograph with its reference."""

    folder: str
    name: str
    micrograph: nital.Micrograph
    reference: NDArray[np.int64]
    ignore: int | None

    @property
    def n_classes(self) -> int:
        """As many as the reference has."""
        return max(2, len(np.unique(self.reference[self.reference != self.ignore])))


@dataclass(frozen=True)
class Score:
    """One run."""

    folder: str
    name: str
    mode: str
    seed: int
    n_classes: int
    found: int
    iterations: int
    mean_iou: float
    ari: float
    f: float
    seconds: float


def labelled(data: Path, crop: int | None, ignore_zero: list[str]) -> Iterator[Labelled]:
    for path in sorted(data.glob("*/labels/*.png")):
        folder = path.parent.parent
        whole = nital.read_micrograph(folder / "images" / path.name)
        window = tuple(
            slice(max(0, (length - crop) // 2), max(0, (length - crop) // 2) + crop)
            if crop
            else slice(0, length)
            for length in whole.shape
        )
        micrograph = nital.Micrograph.from_array(whole.read(*window), name=path.stem)
        ignore = 0 if folder.name in ignore_zero else None
        reference = nital.read_labels(path)[window]
        yield Labelled(folder.name, path.stem, micrograph, reference, ignore)


def run(item: Labelled, mode: str, seed: int, limit: int) -> Score:
    changes = {"max_iterations": limit} if mode == "paper" else {}
    settings = Settings.of(mode, threads=torch.get_num_threads(), **changes)
    result = nital.segment(item.micrograph, item.n_classes, seed=seed, settings=settings)
    agreement = nital.compare(result.labels, item.reference, ignore=item.ignore)
    return Score(
        item.folder,
        item.name,
        mode,
        seed,
        item.n_classes,
        result.n_classes,
        len(result.history),
        agreement.mean_iou,
        agreement.ari,
        result.criteria.F,
        sum(result.seconds.values()),
    )


def table(scores: list[dict[str, str]]) -> Table:
    made = Table("set", "mode", "runs", "mean IoU", "ARI", "F", "classes found / asked", "seconds")
    for folder, mode in sorted({(row["folder"], row["mode"]) for row in scores}):
        rows = [row for row in scores if (row["folder"], row["mode"]) == (folder, mode)]
        mean = {key: fmean(float(row[key]) for row in rows) for key in list(rows[0])[4:]}
        made.add_row(
            folder,
            mode,
            str(len(rows)),
            *(f"{mean[key]:.3f}" for key in ("mean_iou", "ari")),
            f"{mean['f']:.5f}",
            f"{mean['found']:.2f} / {mean['n_classes']:.2f}",
            f"{mean['seconds']:.1f}",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--crop", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=500, help="paper mode's max_iterations")
    parser.add_argument("--modes", default="fast,paper")
    parser.add_argument("--ignore-zero", default="lom_weld", help="sets, between commas")
    parser.add_argument("--out", type=Path, default=Path("accuracy.csv"))
    given = parser.parse_args()
    columns = [field.name for field in fields(Score)]
    if not given.out.exists():
        given.out.write_text(",".join(columns) + "\n", encoding="utf-8")
    done = list(csv.DictReader(given.out.open(encoding="utf-8")))
    keys = {(row["folder"], row["name"], row["mode"], int(row["seed"])) for row in done}
    for seed in range(given.seeds):
        for item in labelled(given.data, given.crop, given.ignore_zero.split(",")):
            for mode in given.modes.split(","):
                if (item.folder, item.name, mode, seed) in keys:
                    continue
                with given.out.open("a", encoding="utf-8", newline="") as file:
                    csv.DictWriter(file, columns).writerow(
                        asdict(run(item, mode, seed, given.limit))
                    )
    Console().print(table(list(csv.DictReader(given.out.open(encoding="utf-8")))))


if __name__ == "__main__":
    main()
