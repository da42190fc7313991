"""Settings common to all methods; each method adds its own fields in its own folder."""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nital.errors import SettingError

MAX_SEED = 2**32 - 1
MAX_REPEATS = 255

AUTO = "auto"
"""Used in place of a number of classes."""

AUTO_REPEATS = 10
"""Number of repeats over which the paper averages its criteria."""

REGIONS = ("classes", "components")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can alter a result, in one frozen record that is stored with it.

    Base class of `FastSettings` and `PaperSettings`, with the fields that they share.

    Parameters
    ----------
    n_classes : int or "auto"
        Number of classes; auto: the number with the lowest F.
    repeats : int, optional
        Number of runs, with seeds SEED, SEED + 1, ..., that are combined to a consensus, 1 to 255.
        Default: 1; with auto: 10.
    seed : int
        Seed of the random numbers, 0 to 2**32 - 1; the same seed gives the same result.
    regions : {"classes", "components"}
        Regions of the criteria: classes, all pixels of a class; or components, each connected piece
        of a class.

    Raises
    ------
    SettingError
        If a value is out of its range.
    """

    mode: ClassVar[str]
    """Name of the method for users, as given to `--mode`."""

    about: ClassVar[str]
    """What users choose it for, in a few words."""

    n_classes: int | str = 3
    repeats: int | None = None
    seed: int = 0
    regions: str = "classes"

    def __post_init__(self) -> None:
        check_choice("regions", self.regions, REGIONS)
        check_whole("seed", self.seed, 0)
        if self.n_classes != AUTO:
            check_whole("n_classes", self.n_classes, 2, f", or {AUTO!r}")
        if self.repeats is not None:
            check_whole("repeats", self.repeats, 1)
        if self.n_repeats > MAX_REPEATS:
            raise SettingError(f"repeats {self.repeats}: too many; use 1 to {MAX_REPEATS}")
        if self.seed > (last := MAX_SEED - self.n_repeats + 1):
            raise SettingError(
                f"seed {self.seed}: too large for {self.n_repeats} repeats; use 0 to {last}"
            )

    @property
    def n_repeats(self) -> int:
        """Number of repeats, with the default filled in."""
        return self.repeats or (AUTO_REPEATS if self.n_classes == AUTO else 1)

    @property
    def n_least(self) -> int:
        """The smallest number of classes that these settings can lead to."""
        return self.n_classes if isinstance(self.n_classes, int) else 2

    def as_dict(self) -> dict[str, Any]:
        """The mode and all fields by name, ready for JSON; `modes.settings_of` reads it back."""
        return {"mode": self.mode, **asdict(self)}


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise a SettingError unless the value is one of the choices."""
    if value not in choices:
        raise SettingError(f"{name} {value!r}: unknown; use one of {', '.join(choices)}")


def check_whole(name: str, value: object, least: int, otherwise: str = "") -> None:
    """Raise a SettingError unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(f"{name} {value!r}: not a whole number; use {least} or more{otherwise}")
    if value < least:
        raise SettingError(f"{name} {value}: too small; use {least} or more{otherwise}")


def check_positive(name: str, value: float) -> None:
    """Raise a SettingError unless the value is a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise SettingError(f"{name} {value}: must be a finite number above 0")
