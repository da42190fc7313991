"""The command line, called in this process or in one of its own."""

import os
import subprocess
import sys
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


def nital_alone(*arguments: object) -> Outcome:
    """The command in a process of its own, which has a single thread, as all that it starts have:
    the number of threads may change the last digit of a sum."""
    command = [sys.executable, "-m", "nital", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)
