"""Studies: F as a function of the number of classes, or of compactness and superpixels."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.work.runs import Run

CRITERIA = ("F", "F'", "Q")


@dataclass(frozen=True)
class ClassStudy:
    """F, F' and Q over the number of classes (the paper's Fig. 10 and Table 2)."""

    n_classes: tuple[int, ...]
    repeats: tuple[int, ...]
    """Number of runs averaged for each number of classes."""

    mean_found: tuple[float, ...]
    """Mean number of classes in the label maps; in paper mode not always the number asked for."""

    mean: dict[str, tuple[float, ...]]
    """Mean of each criterion, by its name."""

    spread: dict[str, tuple[float, ...]]
    """Sample standard deviation (n - 1) over the repeats; NaN for a single one."""

    normalised: dict[str, tuple[float, ...]]
    """The means, scaled to [0, 1] over the numbers of classes."""

    ranking: dict[str, tuple[int, ...]]
    """Numbers of classes from the best (lowest mean) to the worst."""

    @property
    def best(self) -> int:
        """The number of classes with the lowest mean F, the criterion the paper recommends."""
        return self.ranking["F"][0]


def study_classes(runs: Iterable[Run]) -> ClassStudy:
    """Average runs over their seeds, for each number of classes.

    Of equal means (training may collapse to the same map), the lower number ranks first.
    """
    by_number: dict[int, list[Run]] = {}
    for run in runs:
        by_number.setdefault(run.n_classes, []).append(run)
    numbers = tuple(sorted(by_number))
    values = {
        name: [
            np.array([getattr(run, name.replace("'", "_prime")) for run in by_number[k]])
            for k in numbers
        ]
        for name in CRITERIA
    }
    mean = {name: tuple(float(v.mean()) for v in columns) for name, columns in values.items()}
    return ClassStudy(
        n_classes=numbers,
        repeats=tuple(len(by_number[k]) for k in numbers),
        mean_found=tuple(float(np.mean([run.n_found for run in by_number[k]])) for k in numbers),
        mean=mean,
        spread={
            name: tuple(float(v.std(ddof=1)) if len(v) > 1 else math.nan for v in columns)
            for name, columns in values.items()
        },
        normalised={name: normalise(column) for name, column in mean.items()},
        ranking={
            name: tuple(numbers[i] for i in np.argsort(column, kind="stable"))
            for name, column in mean.items()
        },
    )


def normalise(values: Sequence[float]) -> tuple[float, ...]:
    """Scale values to [0, 1]; equal values all become 0."""
    low, high = min(values), max(values)
    return tuple((value - low) / (high - low) if high > low else 0.0 for value in values)


@dataclass(frozen=True)
class SuperpixelStudy:
    """Mean F over compactness and number of superpixels (the paper's Fig. 11)."""

    compactness: tuple[float, ...]
    n_superpixels: tuple[int, ...]
    mean_f: NDArray[np.float64]
    """(compactness, n_superpixels)."""

    repeats: NDArray[np.int64]
    """(compactness, n_superpixels): number of runs averaged."""

    @property
    def best(self) -> tuple[float, int]:
        """Compactness and number of superpixels with the lowest mean F."""
        row, col = divmod(int(np.argmin(self.mean_f)), len(self.n_superpixels))
        return self.compactness[row], self.n_superpixels[col]


def study_superpixels(runs: Iterable[Run]) -> SuperpixelStudy:
    """Average F over the seeds, for each pair of compactness and number of superpixels.

    Raises
    ------
    InputError
        If the runs do not cover the whole grid.
    """
    by_pair: dict[tuple[float, int], list[float]] = {}
    for run in runs:
        by_pair.setdefault((run.compactness, run.n_superpixels), []).append(run.F)
    compactness = tuple(sorted({m for m, _ in by_pair}))
    n_superpixels = tuple(sorted({n for _, n in by_pair}))
    missing = [(m, n) for m in compactness for n in n_superpixels if (m, n) not in by_pair]
    if missing:
        raise InputError(f"compactness, superpixels {missing[0]}: no run; finish the study")
    grid = [[by_pair[m, n] for n in n_superpixels] for m in compactness]
    return SuperpixelStudy(
        compactness,
        n_superpixels,
        np.array([[np.mean(f) for f in row] for row in grid]),
        np.array([[len(f) for f in row] for row in grid]),
    )
