"""Settings: everything that can alter a result, in one frozen record that is stored with it."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from nital.errors import SettingError

MAX_SEED = 2**32 - 1
MAX_THREADS = 1024
MAX_REPEATS = 255

AUTO = "auto"
"""In place of a number of classes."""

AUTO_REPEATS = 10
"""As many as the paper averages its criteria over."""

MAX_CLASSES = 24
"""Fast mode keeps at most so many fine classes: as many as a person would look through."""


@dataclass(frozen=True, repr=False)
class Settings:
    """How a micrograph is segmented. The defaults are those of fast mode.

    `Settings(mode="paper")`, which is `PAPER`, has those of Kim, Inoue and Kasuya (2020).

    Raises
    ------
    SettingError
        If a value is out of its range, or set for a mode that does not know it.
    """

    mode: str = "fast"
    """`fast`: pixels are clustered by the size, length and contrast of what they belong to, and
    the clusters joined to `n_classes`. `paper`: Kim, Inoue and Kasuya (2020), a network trained on
    the whole image."""

    n_classes: int | str = 3
    """How many classes are asked for: 2 to 24, in paper mode 2 to `n_responses`. Paper mode stops
    training as soon as this many, or fewer, are left. Fast mode finds the number itself if this is
    `auto`: of 2 to 10, the one with the lowest mean F over the repeats."""

    repeats: int | None = None
    """With how many seeds, from `seed` on, the micrograph is segmented; more than one are brought
    to a consensus. 1 to 255. None: 1, or 10 where the number of classes is `auto`."""

    seed: int = 0
    """The one source of randomness: where clustering starts, in paper mode the network's first
    weights; 0 to 2**32 - 1."""

    regions: str = "classes"
    """What the criteria take for a region: `classes`, all pixels of a class, or `components`, each
    connected piece of one."""

    scale: str = "fine"
    """Fast mode: what a class is made of. `fine`: the things themselves, such as particles and
    films; `medium` and `coarse`: areas filled with like things, over some 10 and some 40 pixels."""

    n_superpixels: int | None = None
    """Paper mode: how many superpixels SLIC is asked for. None: 50,000, but at most one per 20
    pixels, the paper's own ratio at 1000 x 1000 (`superpixels.preset_n_superpixels`)."""

    compactness: float = 20.0
    """Paper mode: SLIC's weight of nearness in space against likeness in colour; above 0."""

    n_layers: int = 2
    """Paper mode: 3 x 3 convolution layers; each widens the view of a pixel by one pixel on every
    side."""

    n_filters: int = 100
    """Paper mode: filters in each convolution layer, the paper's p."""

    n_responses: int = 50
    """Paper mode: responses of the classifier, the paper's q: classes that training starts with."""

    learning_rate: float = 0.1
    """Paper mode: learning rate of the stochastic gradient descent; above 0."""

    momentum: float = 0.9
    """Paper mode: momentum of the stochastic gradient descent; 0 up to, not including, 1."""

    max_iterations: int = 500
    """Paper mode: training stops here at the latest. The paper does not state its limit."""

    device: str = "auto"
    """Paper mode: `cpu`, `cuda`, `mps`, or `auto`: the first of cuda, mps and cpu that is there."""

    threads: int | None = None
    """Paper mode: CPU threads; None leaves torch's own choice. Another number rounds sums in
    another order, so the same labels, byte for byte, need the same number."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingError(
                    f"{name} {getattr(self, name)!r}: unknown; use one of {', '.join(choices)}"
                )
        for name, least in _LEAST_WHOLE.items():
            _check_whole(name, getattr(self, name), least)
        if self.n_classes != AUTO:
            _check_whole("n_classes", self.n_classes, 2, f", or {AUTO!r}")
        elif self.mode == "paper":
            raise SettingError(
                f"n_classes {AUTO!r}: paper mode needs a number; `nital classes` compares them"
            )
        for name in ("n_superpixels", "threads", "repeats"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        for name in ("compactness", "learning_rate"):
            _check_positive(name, getattr(self, name))
        if not 0 <= self.momentum < 1:
            raise SettingError(f"momentum {self.momentum}: must be at least 0 and below 1")
        wanted = self.n_classes if isinstance(self.n_classes, int) else 2
        if self.mode == "fast" and wanted > MAX_CLASSES:
            raise SettingError(f"n_classes {self.n_classes}: ask for at most {MAX_CLASSES}")
        if self.mode == "paper" and wanted > self.n_responses:
            raise SettingError(
                f"n_classes {self.n_classes}: more than the network's {self.n_responses} responses"
                f" can tell apart; ask for at most {self.n_responses}, or raise n_responses"
            )
        if self.threads is not None and self.threads > MAX_THREADS:
            raise SettingError(f"threads {self.threads}: too many; use 1 to {MAX_THREADS}")
        if self.n_repeats > MAX_REPEATS:
            raise SettingError(f"repeats {self.repeats}: too many; use 1 to {MAX_REPEATS}")
        if self.seed > (last := MAX_SEED - self.n_repeats + 1):
            raise SettingError(
                f"seed {self.seed}: too large for {self.n_repeats} repeats; use 0 to {last}"
            )
        for f in fields(self):
            mode = _ONLY_IN.get(f.name, self.mode)
            if mode != self.mode and getattr(self, f.name) != f.default:
                raise SettingError(
                    f"{f.name} {getattr(self, f.name)!r}: {self.mode} mode has no such setting;"
                    f" leave it out, or use mode {mode}"
                )

    @property
    def n_repeats(self) -> int:
        """Repeats, with nothing left to a default."""
        return self.repeats or (AUTO_REPEATS if self.n_classes == AUTO else 1)

    @property
    def in_use(self) -> dict[str, Any]:
        """The settings that this mode knows, by their names."""
        return {
            name: value
            for name, value in asdict(self).items()
            if _ONLY_IN.get(name, self.mode) == self.mode
        }

    @classmethod
    def of(cls, **changes: Any) -> "Settings":
        """The defaults with changes; a change of None leaves the default.

        >>> Settings.of(n_classes=4, seed=None)
        Settings(mode='fast', n_classes=4, repeats=None, seed=0, regions='classes', scale='fine')
        """
        return cls(**{name: value for name, value in changes.items() if value is not None})

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.in_use.items())
        return f"Settings({values})"


REGIONS = ("classes", "components")

SCALES = ("fine", "medium", "coarse")

_CHOICES = {
    "mode": ("fast", "paper"),
    "regions": REGIONS,
    "scale": SCALES,
    "device": ("auto", "cpu", "cuda", "mps"),
}
_ONLY_IN = {"scale": "fast"} | dict.fromkeys(
    (
        "n_superpixels",
        "compactness",
        "n_layers",
        "n_filters",
        "n_responses",
        "learning_rate",
        "momentum",
        "max_iterations",
        "device",
        "threads",
    ),
    "paper",
)
"""The mode to which a setting belongs, where it is not both."""

_LEAST_WHOLE = {
    "n_layers": 1,
    "n_filters": 1,
    "n_responses": 2,
    "max_iterations": 1,
    "seed": 0,
}


def _check_whole(name: str, value: object, least: int, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(f"{name} {value!r}: not a whole number; use {least} or more{otherwise}")
    if value < least:
        raise SettingError(f"{name} {value}: too small; use {least} or more{otherwise}")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise SettingError(f"{name} {value}: must be a finite number above 0")


FAST = Settings()
"""The default: seconds on a laptop, on micrographs of any size."""

PAPER = Settings(mode="paper")
"""The settings of Kim, Inoue and Kasuya (Scientific Reports 10, 17835, 2020)."""
