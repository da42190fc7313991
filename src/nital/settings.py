"""Settings common to all methods; each method adds its own fields in its own folder."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nital.errors import SettingError

AUTO = "auto"
"""Used in place of a number of classes."""

REGIONS = ("classes", "components")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can alter a result, in one frozen record that is stored with it.

    Base class of `FastSettings` and `PaperSettings`, with the fields that they share.

    Parameters
    ----------
    n_classes : int or "auto"
        Number of classes; auto: the number with the lowest F.
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

    presets: ClassVar[Mapping[str, "Settings"]] = {}
    """Named settings to start from; none: the defaults are the only ones."""

    n_classes: int | str = 3
    regions: str = "classes"

    def __post_init__(self) -> None:
        check_choice("regions", self.regions, REGIONS)
        if self.n_classes != AUTO:
            check_whole("n_classes", self.n_classes, 2, f", or {AUTO!r}")

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
