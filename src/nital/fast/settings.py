"""The settings of fast mode."""

from dataclasses import dataclass
from typing import ClassVar

from nital.errors import SettingError
from nital.settings import Settings, check_choice

MAX_CLASSES = 24
"""Fast mode keeps at most this many fine classes: as many as a person would look through."""

SCALES = ("fine", "medium", "coarse")
CORRECTED, KEPT = LIGHTS = ("corrected", "kept")


@dataclass(frozen=True, kw_only=True)
class FastSettings(Settings):
    """Settings of fast mode, which takes seconds on a laptop and handles micrographs of any size.

    Pixels are clustered by the size, length and contrast of the objects that they belong to, and
    the clusters are joined to `n_classes`, 2 to 24. "auto" selects the number from 2 to 10 with the
    lowest mean F over the disturbed views.

    Parameters
    ----------
    scale : {"fine", "medium", "coarse"}
        What a class consists of. fine: particles, films, grains; medium, coarse: areas of uniform
        texture, averaged over about 10 and 40 pixels.
    light : {"corrected", "kept"}
        corrected: uneven light is found and removed first. kept: grey levels are used as they are.
    n_classes, regions
        As in `Settings`.

    Raises
    ------
    SettingError
        If a value is out of its range.
    """

    mode: ClassVar[str] = "fast"
    about: ClassVar[str] = "seconds, on micrographs of any size"

    scale: str = "fine"
    light: str = CORRECTED

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("scale", self.scale, SCALES)
        check_choice("light", self.light, LIGHTS)
        if self.n_least > MAX_CLASSES:
            raise SettingError(f"n_classes {self.n_classes}: ask for at most {MAX_CLASSES}")


FAST = FastSettings()
"""The default."""
