"""The command line, called in this process."""

from collections.abc import Callable
from dataclasses import dataclass

PAPER = ("--mode", "paper", "--n-filters", "8", "--n-responses", "6", "--max-iterations", "3")
"""Options that make paper mode a matter of milliseconds; fast mode needs none."""


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Nital = Callable[..., Outcome]
