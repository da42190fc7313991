"""The yardstick: methods side by side on micrographs whose constituents are known.

    python benchmarks/accuracy.py FOLDER [--methods fast-fine,forest ...] [--seeds 3] [--crop 192]

FOLDER holds a folder a set, with `images` and `labels` of equal names in it; label 0 of the sets
named in --ignore-zero is not annotated. From `sem_uhcs_textures`, with its `classes.csv`, collages
of three textures are put together. To these come synthetic micrographs of the constituent pairs of
the paper's Figs. 5 to 7. Every method is told how many classes there are, and no more, but:

    forest   sees 20 labelled pixels of each class, as a person would click them
    by hand  gives each of fast mode's fine classes to the constituent that has most of it

Every run is a line of --out, and is not done again. The table has a row for each set and method;
`choosing` are every other micrograph, from the first, by which settings may be chosen.
Needs scikit-learn: pip install 'nital[benchmarks]'.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_multiotsu
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier

import nital
from nital.modes import settings_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Labels = NDArray[np.integer]

SYNTHETIC = {
    "fig5 ferrite, bainite": ((512, 512), {"ferrite": 0.6, "bainite": 0.4}, 20.0),
    "fig6 ferrite, pearlite, martensite": (
        (512, 512),
        {"ferrite": 0.32, "pearlite": 0.03, "martensite": 0.65},
        60.0,
    ),
    "fig7 360 x 360": ((360, 360), {"ferrite": 0.4, "side_plates": 0.3, "pearlite": 0.3}, 40.0),
}
N_SYNTHETIC = 6
N_COLLAGES = 12
PATCH = 150
"""Rows and columns of a texture in a collage; three times three of them."""

CLICKS = 20


@dataclass(frozen=True)
class Known:
    """One micrograph with its reference."""

    folder: str
    name: str
    half: str
    micrograph: nital.Micrograph
    reference: NDArray[np.int64]
    ignore: int | None = None

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which pixels have a label."""
        return self.reference != self.ignore

    @property
    def n_classes(self) -> int:
        """As many as the reference has."""
        return max(2, len(np.unique(self.reference[self.kept])))


@dataclass(frozen=True)
class Score:
    """One run."""

    folder: str
    name: str
    half: str
    method: str
    seed: int
    n_classes: int
    found: int
    mean_iou: float
    accuracy: float
    ari: float
    area_error: float
    """Mean absolute difference of the area fractions, in points."""

    seconds: float


def labelled(data: Path, crop: int | None, ignore_zero: list[str]) -> Iterator[Known]:
    """Micrographs that people labelled; with `crop` only their middle."""
    for folder in sorted({path.parent.parent for path in data.glob("*/labels/*.png")}):
        for place, path in enumerate(sorted((folder / "labels").glob("*.png"))):
            whole = nital.read_micrograph(folder / "images" / path.name)
            window = tuple(
                slice(max(0, (length - crop) // 2), max(0, (length - crop) // 2) + crop)
                if crop
                else slice(0, length)
                for length in whole.shape
            )
            yield Known(
                folder.name,
                path.stem,
                half(place),
                nital.Micrograph.from_array(whole.read(*window), name=path.stem),
                nital.read_labels(path)[window],
                0 if folder.name in ignore_zero else None,
            )


def synthetic() -> Iterator[Known]:
    """Drawn micrographs, whose truth is exact."""
    for name, (shape, fractions, grain_size) in SYNTHETIC.items():
        for seed in range(N_SYNTHETIC):
            made = nital.synthesize(shape, fractions, grain_size=grain_size, seed=seed)
            micrograph = nital.Micrograph.from_array(made.image, name=str(seed))
            yield Known(name, str(seed), half(seed), micrograph, made.truth.astype(np.int64))


def collages(textures: Path) -> Iterator[Known]:
    """Patches of three micrographs, one of each kind of texture, in a Latin square."""
    with (textures / "classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = sorted({row["class"] for row in rows})
    for seed in range(N_COLLAGES):
        rng = np.random.default_rng(seed)
        chosen = [rng.choice([row["file"] for row in rows if row["class"] == k]) for k in kinds]
        greys = [nital.read_micrograph(textures / "images" / name).grey for name in chosen]
        image = np.empty((PATCH * len(kinds), PATCH * len(kinds)), np.float32)
        truth = np.empty(image.shape, np.int64)
        for i, j in np.ndindex(len(kinds), len(kinds)):
            kind = (i + j) % len(kinds)
            row, col = (int(rng.integers(length - PATCH)) for length in greys[kind].shape)
            window = np.s_[i * PATCH : (i + 1) * PATCH, j * PATCH : (j + 1) * PATCH]
            image[window] = greys[kind][row : row + PATCH, col : col + PATCH]
            truth[window] = kind + 1
        micrograph = nital.Micrograph.from_array(image, name=f"collage {seed}")
        yield Known("collages", f"{seed}: {' '.join(chosen)}", half(seed), micrograph, truth)


def half(place: int) -> str:
    return ("choosing", "reporting")[place % 2]


# --- methods: a micrograph with its reference and a seed -> labels --------------------------------


def multi_otsu(item: Known, seed: int) -> Labels:
    grey = item.micrograph.grey
    return np.digitize(grey, threshold_multiotsu(grey, classes=item.n_classes))


def k_means(item: Known, seed: int) -> Labels:
    """Gaussian means and local deviations at four scales, each divided by its deviation."""
    grey, channels = item.micrograph.grey, []
    for sigma in (1, 2, 4, 8):
        mean = ndimage.gaussian_filter(grey, sigma)
        square = ndimage.gaussian_filter(grey**2, sigma)
        channels += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    values = np.stack(channels, axis=-1).reshape(grey.size, -1)
    values = values / (values.std(axis=0) + 1e-9)
    found = KMeans(item.n_classes, n_init=3, random_state=seed).fit_predict(values)
    return found.reshape(grey.shape)


def forest(item: Known, seed: int) -> Labels:
    """What a few clicks give in trainable segmentation."""
    features = multiscale_basic_features(item.micrograph.grey, sigma_min=1, sigma_max=16)
    flat, reference = features.reshape(item.reference.size, -1), item.reference.ravel()
    rng = np.random.default_rng(seed)
    clicked = np.concatenate(
        [
            rng.choice(where := np.flatnonzero(reference == value), min(CLICKS, len(where)), False)
            for value in np.unique(reference[item.kept.ravel()])
        ]
    )
    trees = RandomForestClassifier(100, random_state=seed, n_jobs=-1)
    trees.fit(flat[clicked], reference[clicked])
    return trees.predict(flat).reshape(item.reference.shape) + 1


def segmented(item: Known, seed: int, mode: str = "fast", **changes: object) -> nital.Segmentation:
    if mode == "paper":
        changes["seed"] = seed
    settings = settings_of(mode, n_classes=item.n_classes, **changes)
    return nital.segment(item.micrograph, settings=settings)


def by_nital(item: Known, seed: int, **changes: object) -> Labels:
    return segmented(item, seed, **changes).labels


def by_hand(item: Known, seed: int, **changes: object) -> Labels:
    fine = segmented(item, seed, **changes).fine
    assert fine is not None
    votes = np.zeros((len(fine.classes) + 1, item.reference.max() + 1))
    np.add.at(votes, (fine.labels[item.kept], item.reference[item.kept]), 1)
    return votes.argmax(axis=1)[fine.labels] + 1


SCALES = ("fine", "medium", "coarse")
METHODS: dict[str, Callable[[Known, int], Labels]] = {
    "multi-otsu": multi_otsu,
    "k-means": k_means,
    "paper": partial(by_nital, mode="paper", max_iterations=100),
    **{f"fast-{scale}": partial(by_nital, scale=scale) for scale in SCALES},
    "forest": forest,
    **{f"hand-{scale}": partial(by_hand, scale=scale) for scale in SCALES},
}
ONCE = {
    "multi-otsu",
    *(f"{kind}-{scale}" for kind in ("fast", "hand") for scale in SCALES),
}
"""No seed alters them."""


def run(item: Known, method: str, seed: int) -> Score:
    start = time.perf_counter()
    labels = METHODS[method](item, seed)
    seconds = time.perf_counter() - start
    reference = item.reference + (item.ignore is None)  # where 0 is a class, `compare` needs a 1
    found = nital.compare(labels + 1, reference, ignore=item.ignore)
    return Score(
        folder=item.folder,
        name=item.name,
        half=item.half,
        method=method,
        seed=seed,
        n_classes=item.n_classes,
        found=len(np.unique(labels)),
        mean_iou=found.mean_iou,
        accuracy=found.accuracy,
        ari=found.ari,
        area_error=100 * fmean(abs(row.difference) for row in found.classes),
        seconds=seconds,
    )


def kept(path: Path) -> list[dict[str, str]]:
    """The runs that are done."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def keep(path: Path, run: "DataclassInstance") -> None:
    """Add a run as a line."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(run)])
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(run))


def table(scores: list[dict[str, str]]) -> Table:
    columns = ("mean IoU", "choosing", "reporting", "worst", "accuracy", "ARI", "area, points", "s")
    made = Table("set", "method", "runs", *columns)
    for folder in sorted({row["folder"] for row in scores}):
        for method in METHODS:
            rows = [row for row in scores if (row["folder"], row["method"]) == (folder, method)]
            if not rows:
                continue

            def mean(key: str, rows: list[dict[str, str]] = rows) -> float:
                return fmean(float(row[key]) for row in rows) if rows else float("nan")

            halves = [
                mean("mean_iou", [row for row in rows if row["half"] == each])
                for each in ("choosing", "reporting")
            ]
            worst = min(
                mean("mean_iou", [row for row in rows if row["name"] == name])
                for name in {row["name"] for row in rows}
            )
            made.add_row(
                folder,
                method,
                str(len(rows)),
                *(f"{value:.3f}" for value in (mean("mean_iou"), *halves, worst)),
                *(f"{mean(key):.3f}" for key in ("accuracy", "ari")),
                *(f"{mean(key):.1f}" for key in ("area_error", "seconds")),
            )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--crop", type=int, help="of the labelled sets, only the middle")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default=",".join(each for each in METHODS if each != "paper"))
    parser.add_argument("--ignore-zero", default="lom_weld", help="sets, between commas")
    parser.add_argument("--out", type=Path, default=Path("accuracy.csv"))
    given = parser.parse_args()
    keys = {
        (row["folder"], row["name"], row["method"], int(row["seed"])) for row in kept(given.out)
    }
    items = list(labelled(given.data, given.crop, given.ignore_zero.split(",")))
    if not given.crop:
        items += [*synthetic(), *collages(given.data / "sem_uhcs_textures")]
    for method in given.methods.split(","):
        for item in items:
            for seed in range(1 if method in ONCE else given.seeds):
                if (item.folder, item.name, method, seed) not in keys:
                    keep(given.out, run(item, method, seed))
    Console(width=160).print(table(kept(given.out)))


if __name__ == "__main__":
    main()
