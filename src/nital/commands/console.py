"""The console: progress bars and messages on a terminal.

Results go to stdout, everything else to stderr. Bars appear only on a terminal.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from nital.fast.labelling import OnRows
    from nital.paper.course import Step
    from nital.work.batch import Outcome
    from nital.work.runs import Run


_WIDE = 200
"""Width in columns when writing to a file or a pipe, where tables should not be cut."""

out = Console(
    width=None if sys.stdout.isatty() else _WIDE, highlight=False, emoji=False, soft_wrap=True
)
err = Console(
    stderr=True,
    force_terminal=sys.stderr.isatty(),  # ignore FORCE_COLOR and the like
    highlight=False,
    emoji=False,
    soft_wrap=True,
)


def say_error(message: str) -> None:
    """Print an error on stderr, on one line."""
    err.print(f"[bold red]error:[/] {escape(message)}")


def say_note(message: str) -> None:
    """Print a note on the results on stderr, on one line."""
    err.print(f"[bold yellow]note:[/] {escape(message)}")


@contextmanager
def segmentation_bar(
    name: str, max_iterations: int | None
) -> Iterator[tuple["Callable[[Step], None]", "OnRows"]]:
    """Show a bar over the iterations of a training, or over the rows labelled.

    Yields two callbacks: one for each iteration, one that takes the rows done and the label map.
    """
    with _progress(TimeElapsedColumn()) as progress:
        task = progress.add_task(escape(name), total=max_iterations)

        def on_step(step: "Step") -> None:
            text = f"{escape(name)}: {step.n_classes} classes, loss {step.loss:.3f}"
            progress.update(task, completed=step.iteration, description=text)

        def on_rows(done: int, labels: "NDArray[np.uint8]") -> None:
            text = f"{escape(name)}: rows labelled"
            progress.update(task, completed=done, total=len(labels), description=text)

        yield on_step, on_rows


@contextmanager
def image_bar(n_images: int) -> Iterator["Callable[[Outcome], None]"]:
    """Show a bar over the micrographs of a batch, with the time left; yields its callback."""
    with _progress(TimeRemainingColumn()) as progress:
        task = progress.add_task("micrographs", total=n_images)
        n_failed = 0

        def on_outcome(outcome: "Outcome") -> None:
            nonlocal n_failed
            n_failed += outcome.status == "failed"
            text = escape(outcome.image) + (f", {n_failed} failed" if n_failed else "")
            progress.update(task, advance=1, description=text)

        yield on_outcome


@contextmanager
def run_bar(n_runs: int, n_done: int) -> Iterator["Callable[[Run], None]"]:
    """Show a bar over the runs of a study, with the time left; yields its callback."""
    with _progress(TimeRemainingColumn()) as progress:
        task = progress.add_task("runs", total=n_runs, completed=n_done)

        def on_run(run: "Run") -> None:
            text = f"{run.n_classes} classes, seed {run.seed}: F {run.F:.4g}"
            progress.update(task, advance=1, description=text)

        yield on_run


def _progress(last: Any) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        last,
        console=err,
        transient=True,
        disable=not err.is_terminal,
        speed_estimate_period=24 * 3600,  # a run may take minutes; rich's default is 30 s
    )
