"""Studies: what the number of classes, the compactness and the number of superpixels do to F.

A study is a list of runs. Each run is one segmentation with settings and a seed of its own; what it
gave is one `Run`. The runs go through any `concurrent.futures.Executor`, and come back one by one,
so that whoever called can keep each as soon as it is finished.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.fast.sampling import Sample
from nital.image.micrograph import Micrograph
from nital.methods import Prepared, prepare, segment_each
from nital.settings import MAX_SEED, Settings

MAX_REPEATS = 1000

SEEDS_AT_ONCE = 10
"""Where the features of an image do not stay in memory, they are found once for so many seeds."""

CRITERIA = ("F", "F'", "Q")

Key = tuple[int, float, int, int]
"""What tells the runs of a study apart: classes asked for, compactness, superpixels, seed."""


@dataclass(frozen=True)
class Run:
    """One finished run; one line of a journal."""

    n_classes: int
    """How many classes were asked for."""

    compactness: float
    n_superpixels: int
    """How many superpixels were asked for; 0 in fast mode."""

    seed: int
    n_found: int
    """Classes in the label map."""

    iterations: int
    """Of the training; 0 in fast mode, which has none."""

    stop_reason: str
    F: float
    F_prime: float
    Q: float
    seconds: float

    @property
    def key(self) -> Key:
        """What tells it apart from the other runs of its study."""
        return self.n_classes, self.compactness, self.n_superpixels, self.seed

    def as_row(self) -> dict[str, object]:
        """Values by column; numbers as Python writes them, which loses no digit."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, str]) -> "Run":
        """The run that `as_row` described.

        Raises
        ------
        InputError
            If a value is not of its kind.
        """
        kinds: dict[str, Callable[[str], object]] = {"int": int, "float": float, "str": str}
        try:
            values = {
                f.name: kinds[getattr(f.type, "__name__", "")](row[f.name]) for f in RUN_FIELDS
            }
        except ValueError as error:
            raise InputError(f"journal line {row}: {error}; move the journal away") from error
        return cls(**values)  # type: ignore[arg-type]


RUN_FIELDS = fields(Run)


def plan(
    settings: Settings,
    *,
    n_classes: Sequence[int],
    compactness: Sequence[float],
    n_superpixels: Sequence[int | None],
    repeats: int,
) -> list[Settings]:
    """Settings of every run: each combination, repeated with the seeds `seed`, `seed` + 1, ...

    Raises
    ------
    SettingError
        If a value is out of its range or `repeats` is below 1.
    """
    if not 1 <= repeats <= MAX_REPEATS:
        raise SettingError(f"repeats {repeats}: use 1 to {MAX_REPEATS}")
    if settings.seed + repeats - 1 > MAX_SEED:
        raise SettingError(f"seed {settings.seed}: leaves no room for {repeats} repeats")
    return [
        replace(
            settings,
            n_classes=k,
            compactness=m,
            n_superpixels=n,
            seed=settings.seed + repeat,
            repeats=1,
        )
        for m in compactness
        for n in n_superpixels
        for k in n_classes
        for repeat in range(repeats)
    ]


def key_of(settings: Settings) -> Key:
    """The key that a run with these settings will have."""
    return int(settings.n_classes), settings.compactness, settings.n_superpixels or 0, settings.seed


def run_together(micrograph: Micrograph, prepared: Prepared, runs: Sequence[Settings]) -> list[Run]:
    """Carry out runs that differ by their seed and their number of classes only.

    A plain function of plain values, so that any executor can send it out.
    """
    results = segment_each(micrograph, runs, prepared=prepared)
    return [
        Run(
            n_classes=int(result.settings.n_classes),
            compactness=result.settings.compactness,
            n_superpixels=result.settings.n_superpixels or 0,
            seed=result.settings.seed,
            n_found=result.n_classes,
            iterations=len(result.training.steps) if result.training else 0,
            stop_reason=result.training.stop_reason if result.training else "",
            F=result.criteria.F,
            F_prime=result.criteria.F_prime,
            Q=result.criteria.Q,
            seconds=sum(result.seconds.values()),
        )
        for result in results
    ]


def execute(
    micrograph: Micrograph, runs: Iterable[Settings], *, executor: Executor | None = None
) -> Iterator[Run]:
    """Carry out runs; yield each as soon as it is finished.

    What repeats can share (superpixels, the features of fast mode) is found once for each
    compactness and number of superpixels. In fast mode runs of one seed share their fine classes as
    well: they come together, for all numbers of classes.

    Parameters
    ----------
    micrograph : Micrograph
    runs : iterable of Settings
        As from `plan`: runs with the same superpixels stand together.
    executor : Executor, optional
        Where the runs go. None: here, one after the other.
    """
    for _, group in groupby(
        runs, key=lambda settings: (settings.compactness, settings.n_superpixels)
    ):
        alike = list(group)
        prepared = prepare(micrograph, alike[0])
        if executor is None:
            for together in _done_together(alike, prepared):
                yield from run_together(micrograph, prepared, together)
        else:
            futures = [
                executor.submit(run_together, micrograph, prepared, together)
                for together in _done_together(alike, prepared)
            ]
            try:
                for future in as_completed(futures):
                    yield from future.result()
            finally:
                for future in futures:
                    future.cancel()


def _done_together(runs: Sequence[Settings], prepared: Prepared) -> list[list[Settings]]:
    """Groups of runs: in fast mode all numbers of classes of a seed, or of several seeds."""
    if not isinstance(prepared, Sample):
        return [[settings] for settings in runs]
    seeds = sorted({settings.seed for settings in runs})
    n = SEEDS_AT_ONCE if prepared.whole is None else 1
    return [
        [settings for settings in runs if settings.seed in seeds[first : first + n]]
        for first in range(0, len(seeds), n)
    ]


@dataclass(frozen=True)
class ClassStudy:
    """F, F' and Q over the number of classes (the paper's Fig. 10 and Table 2)."""

    n_classes: tuple[int, ...]
    repeats: tuple[int, ...]
    """Runs that each number is averaged over."""

    mean_found: tuple[float, ...]
    """Mean number of classes in the label maps: in paper mode not always as many as asked for."""

    mean: dict[str, tuple[float, ...]]
    """Mean of each criterion, by its name."""

    spread: dict[str, tuple[float, ...]]
    """Sample standard deviation (n - 1) over the repeats; NaN for a single one."""

    normalised: dict[str, tuple[float, ...]]
    """The means, shifted and scaled to [0, 1] over the numbers of classes."""

    ranking: dict[str, tuple[int, ...]]
    """Numbers of classes from the best, the lowest mean, to the worst."""

    @property
    def best(self) -> int:
        """The number of classes with the lowest mean F, which the paper recommends to go by."""
        return self.ranking["F"][0]


def study_classes(runs: Iterable[Run]) -> ClassStudy:
    """Average runs over their seeds, for each number of classes.

    Equal means, as where training collapses to the same map, rank by the lower number.
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
    """Shift and scale to [0, 1]; equal values all become 0."""
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
    """(compactness, n_superpixels): runs that each mean is over."""

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
        raise InputError(f"no run for compactness and superpixels {missing[0]}; finish the study")
    grid = [[by_pair[m, n] for n in n_superpixels] for m in compactness]
    return SuperpixelStudy(
        compactness,
        n_superpixels,
        np.array([[np.mean(f) for f in row] for row in grid]),
        np.array([[len(f) for f in row] for row in grid]),
    )
