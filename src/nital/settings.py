"""Settings: everything that can alter a result, in one frozen record that is stored with it."""

import math
from dataclasses import dataclass, replace
from typing import Any

from nital.errors import SettingError

MAX_SEED = 2**32 - 1
MAX_THREADS = 1024


@dataclass(frozen=True)
class Settings:
    """How a micrograph is segmented. The defaults are those of fast mode.

    For paper mode start from `PAPER`, or from `Settings.of("paper", ...)`: the mode alone changes
    none of the other values.

    Raises
    ------
    SettingError
        If a value is out of its range.
    """

    mode: str = "fast"
    """`fast`: trains on a sample with balanced targets until the classes have settled, and joins
    them to `n_classes`. `paper`: Kim, Inoue and Kasuya (2020), on the whole image."""

    n_classes: int = 3
    """How many classes are asked for, 2 to `n_responses`. Paper mode stops training as soon as this
    many, or fewer, are left."""

    n_superpixels: int | None = None
    """How many superpixels SLIC is asked for on the whole image; on a sample of it in proportion.
    None: one per 20 pixels, the paper's own ratio at 1000 x 1000; in paper mode never more than its
    50,000 (`superpixels.preset_n_superpixels`)."""

    compactness: float = 20.0
    """SLIC's weight of nearness in space against likeness in colour; above 0."""

    n_layers: int = 2
    """3 x 3 convolution layers; each widens the view of a pixel by one pixel on every side."""

    n_filters: int = 64
    """Filters in each convolution layer, the paper's p (100 there)."""

    n_responses: int = 24
    """Responses of the classifier, the paper's q (50 there): classes that training starts with."""

    learning_rate: float = 0.05
    """Learning rate of the stochastic gradient descent; above 0. Fast mode lets it fall."""

    momentum: float = 0.9
    """Momentum of the stochastic gradient descent; 0 up to, not including, 1."""

    max_iterations: int = 500
    """Training stops here at the latest. The paper does not state its limit."""

    seed: int = 0
    """The one source of randomness: it sets the network's first weights, and what each step of fast
    mode draws; 0 to 2**32 - 1."""

    regions: str = "classes"
    """What the criteria take for a region: `classes`, all pixels of a class, or `components`, each
    connected piece of one."""

    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto`: the first of cuda, mps and cpu that is there."""

    threads: int | None = None
    """CPU threads; None leaves torch's own choice. In paper mode another number rounds sums in
    another order, so the same labels, byte for byte, need the same number. Fast mode trains with
    one; these are for the labelling."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingError(
                    f"{name} {getattr(self, name)!r}: unknown; use one of {', '.join(choices)}"
                )
        for name, least in _LEAST_WHOLE.items():
            _check_whole(name, getattr(self, name), least)
        for name in ("n_superpixels", "threads"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        for name in ("compactness", "learning_rate"):
            _check_positive(name, getattr(self, name))
        if not 0 <= self.momentum < 1:
            raise SettingError(f"momentum {self.momentum}: must be at least 0 and below 1")
        if self.n_classes > self.n_responses:
            raise SettingError(
                f"n_classes {self.n_classes}: more than the network's {self.n_responses} responses"
                f" can tell apart; ask for at most {self.n_responses}, or raise n_responses"
            )
        if self.threads is not None and self.threads > MAX_THREADS:
            raise SettingError(f"threads {self.threads}: too many; use 1 to {MAX_THREADS}")
        if self.seed > MAX_SEED:
            raise SettingError(f"seed {self.seed}: too large; use 0 to {MAX_SEED}")

    @classmethod
    def of(cls, mode: str, **changes: Any) -> "Settings":
        """The preset of this mode with changes; a change of None leaves the preset's value.

        >>> Settings.of("paper", n_classes=4, seed=None).n_filters
        100
        """
        if mode not in PRESETS:
            raise SettingError(f"mode {mode!r}: unknown; use one of {', '.join(PRESETS)}")
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(PRESETS[mode], **given)


REGIONS = ("classes", "components")

_CHOICES = {"mode": ("fast", "paper"), "regions": REGIONS, "device": ("auto", "cpu", "cuda", "mps")}
_LEAST_WHOLE = {
    "n_classes": 2,
    "n_layers": 1,
    "n_filters": 1,
    "n_responses": 2,
    "max_iterations": 1,
    "seed": 0,
}


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(f"{name} {value!r}: not a whole number; use {least} or more")
    if value < least:
        raise SettingError(f"{name} {value}: too small; use {least} or more")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise SettingError(f"{name} {value}: must be a finite number above 0")


FAST = Settings()
"""The default: seconds on a laptop, on micrographs of any size."""

PAPER = Settings(mode="paper", n_filters=100, n_responses=50, learning_rate=0.1)
"""The settings of Kim, Inoue and Kasuya (Scientific Reports 10, 17835, 2020)."""

PRESETS = {"fast": FAST, "paper": PAPER}
