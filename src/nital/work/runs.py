"""Runs: one micrograph, segmented with many settings.

Each run is one segmentation with its own settings and seed; its outcome is a `Run`. Any
`concurrent.futures.Executor` can carry out the runs. They are yielded one by one, so that the
caller can record each as soon as it is finished.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby, product
from typing import Any, TypeGuard

from nital.errors import InputError, SettingError
from nital.image.micrograph import Micrograph
from nital.methods import method_of, prepare, segment_each
from nital.modes import settings_of
from nital.paper.settings import MAX_SEED, PaperSettings
from nital.settings import Settings

MAX_REPEATS = 1000

NO_SUPERPIXELS = {"compactness": 20.0, "n_superpixels": 0}
"""Values in the journal for a method without superpixels."""

Key = tuple[int, float, int, int]
"""Identifies a run within its study: classes asked for, compactness, superpixels, seed."""


@dataclass(frozen=True)
class Run:
    """One finished run; one line of a journal."""

    n_classes: int
    """Number of classes asked for."""

    compactness: float
    n_superpixels: int
    """Number of superpixels asked for; 0 in fast mode."""

    seed: int
    """0 in fast mode, which has none."""

    n_found: int
    """Classes in the label map."""

    iterations: int
    """Iterations of the training; 0 in fast mode, which has none."""

    stop_reason: str
    F: float
    F_prime: float
    Q: float
    seconds: float

    @property
    def key(self) -> Key:
        """Identifies the run within its study."""
        return self.n_classes, self.compactness, self.n_superpixels, self.seed

    def as_row(self) -> dict[str, object]:
        """Return the values by column; numbers as Python writes them, without loss of digits."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, str]) -> "Run":
        """Return the run described by a row of `as_row`.

        Raises
        ------
        InputError
            If a value has the wrong type.
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


def plan(settings: Settings, *, repeats: int, **varied: Sequence[Any]) -> list[Settings]:
    """Return the settings of every run: each combination with the seeds `seed`, `seed` + 1, ...

    A method without a seed gives the same result whenever it is run: its runs have no repeats. Runs
    that can go side by side have one thread each, if their number is not set.

    Parameters
    ----------
    varied : sequences of values, by the name of a setting
        The last one varies fastest.

    Raises
    ------
    SettingError
        If a value is out of range.
    """
    if not 1 <= repeats <= MAX_REPEATS:
        raise SettingError(f"repeats {repeats}: use 1 to {MAX_REPEATS}")
    seeds: list[dict[str, int]] = [{}]
    if (first := seed_of(settings)) is not None:
        if first + repeats - 1 > MAX_SEED:
            raise SettingError(f"seed {first}: too large for {repeats} repeats; use a smaller one")
        seeds = [{"seed": seed, "repeats": 1} for seed in range(first, first + repeats)]
    if go_side_by_side(settings):
        settings = replace(settings, threads=settings.threads or 1)
    return [
        settings_of(**settings.as_dict() | dict(zip(varied, values, strict=True)) | seed)
        for values in product(*varied.values())
        for seed in seeds
    ]


def go_side_by_side(settings: Settings) -> TypeGuard[PaperSettings]:
    """Whether repeats are best run in several processes.

    Fast mode has none; exact training takes the memory and the cores of the machine already.
    """
    return isinstance(settings, PaperSettings) and not settings.exact


def seed_of(settings: Settings) -> int | None:
    """The seed, or None for a method without one."""
    return getattr(settings, "seed", None)


def key_of(settings: Settings) -> Key:
    """Return the key of a run with these settings."""
    superpixels = _superpixels_of(settings)
    return (
        int(settings.n_classes),
        superpixels["compactness"],
        superpixels["n_superpixels"],
        seed_of(settings) or 0,
    )


def _superpixels_of(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name, None) or other for name, other in NO_SUPERPIXELS.items()}


def run_together(micrograph: Micrograph, prepared: Any, runs: Sequence[Settings]) -> list[Run]:
    """Carry out runs that differ only in seed and number of classes.

    A plain function of plain values, so that any executor can run it.
    """
    results = segment_each(micrograph, runs, prepared=prepared)
    return [
        Run(
            n_classes=int(result.settings.n_classes),
            **_superpixels_of(result.settings),
            seed=seed_of(result.settings) or 0,
            n_found=result.n_classes,
            iterations=result.details.summary().get("iterations", 0),
            stop_reason=result.details.summary().get("stop_reason", ""),
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

    Runs that differ only in seed and number of classes share what they can: in paper mode the
    superpixels; in fast mode all but the joining of fine classes.

    Parameters
    ----------
    micrograph : Micrograph
    runs : iterable of Settings
        As from `plan`: runs that differ only in seed and number of classes are adjacent.
    executor : Executor, optional
        Where the runs are carried out. Default: in this process, one after the other.
    """
    for _, alike in groupby(runs, key=_alike):
        wanted = list(alike)
        prepared = prepare(micrograph, wanted[0])
        groups = method_of(wanted[0].mode).group(wanted, prepared)
        if executor is None:
            for together in groups:
                yield from run_together(micrograph, prepared, together)
        else:
            futures = [
                executor.submit(run_together, micrograph, prepared, together) for together in groups
            ]
            try:
                for future in as_completed(futures):
                    yield from future.result()
            finally:
                for future in futures:
                    future.cancel()


def _alike(settings: Settings) -> dict[str, Any]:
    """The settings without seed and number of classes."""
    return settings.as_dict() | {"seed": None, "n_classes": None}
