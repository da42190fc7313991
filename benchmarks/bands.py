"""Size bands as features, without a network: how far they separate constituents on labelled sets.

    python benchmarks/bands.py FOLDER [--areas 32,256,2048 --areas 32,1000 ...]

FOLDER holds a folder a set, with `images` and `labels` of equal names in it. docs/accuracy.md says
what the bands are and what became of them. Every other micrograph, from the first, is for choosing;
the others are for reporting. Means over micrographs of mean IoU / ARI, with as many classes as the
labels have; label 0 of the sets named in --ignore-zero is not annotated.
"""

import argparse
from itertools import groupby
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage

import nital
from accuracy import Labelled, labelled

LEVELS = 32
SMOOTHING = 1.0
N_CLUSTERS = 48
SEEDS = 2
SAMPLE_PIXELS = 20_000

Features = NDArray[np.float32]


def openings(grey: Features, levels: NDArray[np.float64], areas: list[int]) -> list[Features]:
    """Area openings (Vincent 1992): a grey level stays where at least so many pixels reach it.

    By threshold decomposition: connected components of what reaches each level.
    """
    opened = [np.full(grey.shape, 2 * levels[0] - levels[1], np.float32) for _ in areas]
    for level in levels:
        components, _ = ndimage.label(grey >= level)
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        for area, result in zip(areas, opened, strict=True):
            result[(sizes >= area)[components]] = level
    return opened


def size_bands(grey: Features, areas: list[int]) -> Features:
    """The grey level taken apart by the size of what is bright or dark: (rows, cols, bands).

    The first bands hold what openings of rising area take away, the next what closings fill, the
    last what is left: in grey levels, so that they add up.
    """
    grey = ndimage.gaussian_filter(grey, SMOOTHING)
    low, high = np.percentile(grey, (0.5, 99.5))
    clipped = np.clip(grey, low, high)
    bands, rest = [], grey
    for sign in (1, -1):
        levels = np.sort(sign * np.linspace(low, high, LEVELS + 1))[1:]
        before = sign * clipped
        for opened in openings(sign * grey, levels, areas):
            opened = np.minimum(opened, before)
            bands.append(before - opened)
            rest = rest - sign * bands[-1]
            before = opened
    return np.stack([*bands, rest], axis=-1)


def contrast(grey: Features) -> Features:
    """Local contrast, the root mean square of two bands of detail around: (rows, cols, 2)."""
    blurred = [ndimage.gaussian_filter(grey, sigma) for sigma in (1, 2, 4)]
    details = (grey - blurred[1], blurred[0] - blurred[2])
    squares = [ndimage.gaussian_filter(each**2, 12) for each in details]
    return np.sqrt(np.maximum(np.stack(squares, axis=-1), 0))


def features(grey: Features, areas: list[int]) -> Features:
    """(pixels, channels): each channel divided by the root of its standard deviation.

    So rare bands count more than in grey levels, and less than if all had the same spread.
    """
    channels = np.concatenate([size_bands(grey, areas), contrast(grey)], axis=2)
    flat = channels.reshape(-1, channels.shape[2])
    return (flat / np.sqrt(flat.std(axis=0) + 1e-6)).astype(np.float32)


def k_means(values: Features, k: int, seed: int, restarts: int = 1) -> tuple[NDArray, NDArray]:
    """Cluster of each row, and the centres, from a sample of the rows; k-means++ starts."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(values), min(SAMPLE_PIXELS, len(values)), replace=False)
    sample = torch.from_numpy(values[chosen])
    best: tuple[float, torch.Tensor] | None = None
    for _ in range(restarts):
        centres = sample[rng.integers(len(sample))][None]
        for _ in range(k - 1):
            far = torch.cdist(sample, centres).amin(dim=1).double().numpy() ** 2
            centres = torch.cat([centres, sample[rng.choice(len(sample), p=far / far.sum())][None]])
        for _ in range(40):
            nearest = torch.cdist(sample, centres).argmin(dim=1)
            for j in nearest.unique():
                centres[j] = sample[nearest == j].mean(dim=0)
        error = float((torch.cdist(sample, centres).amin(dim=1) ** 2).sum())
        if best is None or error < best[0]:
            best = error, centres
    assert best is not None
    pieces = torch.from_numpy(values).split(100_000)
    labels = torch.cat([torch.cdist(piece, best[1]).argmin(dim=1) for piece in pieces])
    return labels.numpy(), best[1].numpy()


def ward(centres: NDArray, areas: NDArray, k: int) -> NDArray[np.int64]:
    """Class of each cluster: the two whose union adds least to the squared error join, until k."""
    centres, areas = centres.astype(float), areas.astype(float)
    member = np.arange(len(centres))
    live = list(range(len(centres)))
    while len(live) > k:
        i, j = np.triu_indices(len(live), 1)
        a, b = np.array(live)[i], np.array(live)[j]
        weight = areas[a] * areas[b] / np.maximum(areas[a] + areas[b], 1)
        best = int(np.argmin(weight * ((centres[a] - centres[b]) ** 2).sum(axis=1)))
        keep, gone = int(a[best]), int(b[best])
        total = max(areas[keep] + areas[gone], 1)
        centres[keep] = (areas[keep] * centres[keep] + areas[gone] * centres[gone]) / total
        areas[keep] += areas[gone]
        member[member == gone] = keep
        live.remove(gone)
    return np.searchsorted(live, member)


def consensus(members: list[NDArray], k: int) -> NDArray[np.int64]:
    """k-means on which class each member gives a pixel; a rare class counts as a large one."""
    columns = []
    for labels in members:
        one_hot = np.eye(k, dtype=np.float32)[labels]
        columns.append(one_hot / np.sqrt(one_hot.mean(axis=0) + 1e-6))
    return k_means(np.concatenate(columns, axis=1), k, seed=0, restarts=5)[0]


def by_hand(labels: NDArray, item: Labelled) -> NDArray:
    """Each cluster given to the constituent that has most of it."""
    kept = item.reference != item.ignore
    votes = np.zeros((labels.max() + 1, item.reference.max() + 1))
    np.add.at(votes, (labels[kept], item.reference[kept]), 1)
    return votes.argmax(axis=1)[labels]


def class_maps(item: Labelled, texts: list[str]) -> dict[str, list[NDArray]]:
    """Maps of classes from 0, by what made them."""
    grey = item.micrograph.grey / np.float32(255)
    found: dict[str, list[NDArray]] = {}
    members: list[NDArray] = []
    for text in texts:
        channels = features(grey, [int(area) for area in text.split(",")])
        for seed in range(SEEDS):
            clusters, centres = k_means(channels, N_CLUSTERS, seed)
            areas = np.bincount(clusters, minlength=N_CLUSTERS)
            members.append(ward(centres, areas, item.n_classes)[clusters])
            hand = by_hand(clusters.reshape(grey.shape), item)
            found.setdefault(text, []).append(members[-1].reshape(grey.shape))
            found.setdefault(f"{text}, {N_CLUSTERS} clusters by hand", []).append(hand)
    found["consensus of all"] = [consensus(members, item.n_classes).reshape(grey.shape)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--areas", action="append", help="of openings, between commas")
    parser.add_argument("--ignore-zero", default="lom_weld", help="sets, between commas")
    given = parser.parse_args()
    texts = given.areas or ["32,256,2048", "32,1000", "100,1000", "100,2000", "60,600"]
    scores: dict[str, dict[str, list[nital.Agreement]]] = {}
    items = labelled(given.data, None, given.ignore_zero.split(","))
    for folder, alike in groupby(items, key=lambda item: item.folder):
        for place, item in enumerate(alike):
            half = f"{folder}, {('choosing', 'reporting')[place % 2]}"
            for name, maps in class_maps(item, texts).items():
                scores.setdefault(name, {}).setdefault(half, []).extend(
                    nital.compare(labels + 1, item.reference, ignore=item.ignore) for labels in maps
                )
    folders = sorted({folder for of_method in scores.values() for folder in of_method})
    table = Table("areas, pixels", *folders)
    for name, of_method in scores.items():
        table.add_row(
            name,
            *(
                f"{fmean(each.mean_iou for each in of_method[folder]):.3f} / "
                f"{fmean(each.ari for each in of_method[folder]):.3f}"
                for folder in folders
            ),
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
