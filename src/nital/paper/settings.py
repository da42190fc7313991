"""The settings of paper mode."""

from dataclasses import dataclass, field
from typing import ClassVar

from nital.errors import SettingError
from nital.settings import AUTO, Settings, check_choice, check_positive, check_whole

MAX_THREADS = 1024
MAX_SEED = 2**32 - 1
MAX_REPEATS = 255

DEVICES = ("auto", "cpu", "cuda", "mps")

_LEAST_WHOLE = {"n_layers": 1, "n_filters": 1, "n_responses": 2, "max_iterations": 1}


@dataclass(frozen=True, kw_only=True)
class PaperSettings(Settings):
    """Settings of Kim, Inoue and Kasuya (2020): a network trained on the one image.

    Training stops as soon as `n_classes`, 2 to `n_responses`, or fewer are left.

    Parameters
    ----------
    n_superpixels : int, optional
        Number of superpixels that SLIC is asked for. Default: 50,000, but at most one per 20
        pixels, the paper's ratio at 1000 x 1000, and at least one per 55, that at 1920 x 1440.
    compactness : float
        SLIC's weight of spatial proximity against colour similarity; above 0.
    exact : bool
        Whether every iteration is on every pixel, as published, instead of on superpixels drawn at
        random, which is far quicker.
    join_from : int, optional
        Number of classes at which training stops; those left are joined to exactly `n_classes`, of
        at least 0.1 % of the area each, by their mean colours. Default: training stops at
        `n_classes`, as published, and may leave fewer, more, or classes of a few pixels.
    n_layers : int
        Number of 3 x 3 convolution layers; each extends the receptive field by one pixel on every
        side.
    n_filters : int
        Number of filters of each convolution layer, the paper's p.
    n_responses : int
        Number of responses of the classifier, the paper's q: the classes that training starts with.
    learning_rate : float
        Learning rate of the stochastic gradient descent; above 0.
    momentum : float
        Momentum of the stochastic gradient descent; at least 0 and below 1.
    max_iterations : int
        Largest number of iterations. The paper does not state its limit.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; auto: the first of cuda, mps and cpu that is available.
    threads : int, optional
        Number of CPU threads. It sets the order of sums and so their rounding: the same labels,
        byte for byte, need the same number. Default: torch's choice; 1 with repeats, which then
        run side by side.
    repeats : int
        Number of runs, with seeds SEED, SEED + 1, ..., that are combined to a consensus, 1 to 255.
    seed : int
        Seed of the random numbers, 0 to 2**32 - 1; the same seed gives the same result.
    n_classes, regions
        As in `Settings`; `n_classes` can't be auto.

    Raises
    ------
    SettingError
        If a value is out of its range.
    """

    mode: ClassVar[str] = "paper"
    about: ClassVar[str] = "the method as published"

    n_superpixels: int | None = field(default=None, metadata={"flag": "superpixels"})
    compactness: float = 20.0
    exact: bool = False
    join_from: int | None = None
    n_layers: int = 2
    n_filters: int = 100
    n_responses: int = 50
    learning_rate: float = 0.1
    momentum: float = 0.9
    max_iterations: int = 500
    device: str = "auto"
    threads: int | None = None
    repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_classes == AUTO:
            raise SettingError(
                f"n_classes {AUTO!r}: paper mode needs a number; `nital classes` compares several"
            )
        super().__post_init__()
        check_choice("device", self.device, DEVICES)
        if not isinstance(self.exact, bool):
            raise SettingError(f"exact {self.exact!r}: must be True or False")
        for name, least in _LEAST_WHOLE.items():
            check_whole(name, getattr(self, name), least)
        for name in ("n_superpixels", "threads"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        for name in ("compactness", "learning_rate"):
            check_positive(name, getattr(self, name))
        if not 0 <= self.momentum < 1:
            raise SettingError(f"momentum {self.momentum}: must be at least 0 and below 1")
        if self.n_least > self.n_responses:
            raise SettingError(
                f"n_classes {self.n_classes}: more than the network's {self.n_responses} responses"
                f" can tell apart; ask for at most {self.n_responses}, or raise n_responses"
            )
        if self.join_from is not None:
            check_whole("join_from", self.join_from, self.n_least)
            if self.join_from > self.n_responses:
                raise SettingError(
                    f"join_from {self.join_from}: more than the network's {self.n_responses}"
                    " responses; use fewer"
                )
        check_whole("seed", self.seed, 0)
        check_whole("repeats", self.repeats, 1)
        if self.repeats > MAX_REPEATS:
            raise SettingError(f"repeats {self.repeats}: too many; use 1 to {MAX_REPEATS}")
        if self.seed > (last := MAX_SEED - self.repeats + 1):
            raise SettingError(
                f"seed {self.seed}: too large for {self.repeats} repeats; use 0 to {last}"
            )
        if self.threads is not None and self.threads > MAX_THREADS:
            raise SettingError(f"threads {self.threads}: too many; use 1 to {MAX_THREADS}")


PAPER = PaperSettings()
"""The settings in the text of the paper (Scientific Reports 10, 17835, 2020)."""

NOTEBOOK = PaperSettings(
    n_classes=4, n_superpixels=4000, compactness=20.0, n_layers=4, n_responses=100
)
"""The settings of the notebook in the code that the authors released in 2024, which shows the
micrograph of the paper's Fig. 6a."""

SCRIPT = PaperSettings(
    n_superpixels=10_000,
    compactness=10.0,
    n_responses=100,
    learning_rate=1e-4,
    max_iterations=1000,
)
"""The defaults of the script in the same code."""

PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "script": SCRIPT}
"""By name; the first is the default."""

PaperSettings.presets = PRESETS
